"""merged.json is data: an average counts only where its run is that average, of points of the
sweep.
"""

import json
import shutil

import pytest

from hybrid_sweep.report.load import load
from hybrid_sweep.report.merged.load import load_merged
from hybrid_sweep.utils import records
from tests.refused import refused
from tests.report.folders import edit, runs_of
from tests.report.merged.averages import change, write_averages

ENDS = (0.0, 1.0)
MIXTURES = [(ENDS, (0.7, 0.3)), (ENDS, (0.4, 0.6))]


@pytest.fixture
def averaged(make_sweep, world):
    """A sweep with two averages of each of three seeds; gives its folder and their entries."""
    sweep_dir = make_sweep()
    return sweep_dir, write_averages(sweep_dir, world(), MIXTURES)


def read(sweep_dir):
    return load_merged([sweep_dir], load([sweep_dir]))


def test_averages_stand_behind_the_trained_points(averaged):
    sweep_dir, entries = averaged
    merged = read(sweep_dir)
    sweep = load([sweep_dir])
    assert [mixture.shares for mixture in merged.mixtures] == [(0.7, 0.3), (0.4, 0.6)]
    assert merged.missing == () and merged.sweep.missing == {}
    finished = merged.sweep.finished
    assert finished[: len(sweep.trained)] == sweep.trained
    for entry in entries:
        mixture = next(m for m in merged.mixtures if list(m.shares) == entry["shares"])
        assert finished[merged.index[mixture][entry["seed"]]].run_id == entry["run_id"]
    count = len(merged.sweep.frame) // len(finished)
    for place, point in enumerate(finished):
        rows = merged.sweep.frame.iloc[place * count : (place + 1) * count]
        assert set(rows["run_id"]) == {point.run_id}


def test_a_sweep_without_averages_has_none(make_sweep):
    assert read(make_sweep()) is None


def test_a_seed_without_an_average_that_others_have_is_told(make_sweep, world):
    sweep_dir = make_sweep()
    write_averages(sweep_dir, world(), MIXTURES[:1], seeds=(0, 2))
    (line,) = read(sweep_dir).missing
    assert "alpha 0.3" in line and "seed 1" in line and "hybrid-sweep merge" in line
    (runs_of(sweep_dir) / "t000s1" / "metrics.json").unlink()
    assert read(sweep_dir).missing == ()  # without every ratio the seed is in no comparison


def break_run(sweep_dir, entry):
    (runs_of(sweep_dir) / entry["run_id"] / "metrics.json").unlink()


def break_record(sweep_dir, entry):
    change(runs_of(sweep_dir) / entry["run_id"] / "merge.json", shares=[0.5, 0.5])


def drop_record(sweep_dir, entry):
    (runs_of(sweep_dir) / entry["run_id"] / "merge.json").unlink()


def name_a_trained_run(sweep_dir, entry):
    edit(sweep_dir / "merged.json", lambda content: content["points"][0].update(run_id="t100s0"))


def break_parent(sweep_dir, entry):
    edit(
        sweep_dir / "merged.json",
        lambda content: content["points"][0].update(parents=["t000s1", "t100s1"]),
    )


def replace_parent(sweep_dir, entry):
    """The sweep has another run in the place of a parent now, as after a command with other
    settings.
    """
    parents = ["a-run-of-before", "t100s0"]
    change(runs_of(sweep_dir) / entry["run_id"] / "merge.json", parents=parents)
    edit(sweep_dir / "merged.json", lambda content: content["points"][0].update(parents=parents))


def other_shares(sweep_dir, entry):
    """Both records say other shares than those that were evaluated."""
    for path in (sweep_dir / "merged.json", runs_of(sweep_dir) / entry["run_id"] / "merge.json"):
        text = path.read_text().replace("[0.7, 0.3]", "[0.69, 0.31]", 1)
        path.write_text(text)


def other_seed(sweep_dir, entry):
    """The rows are those of another seed."""
    import pandas as pd

    path = runs_of(sweep_dir) / entry["run_id"] / "per_query.parquet"
    pd.read_parquet(path).assign(seed=1).to_parquet(path, index=False)


def no_values(sweep_dir, entry):
    import pandas as pd

    path = runs_of(sweep_dir) / entry["run_id"] / "per_query.parquet"
    rows = pd.read_parquet(path)
    rows.loc[3, "RR@10"] = float("nan")
    rows.to_parquet(path, index=False)


def no_counts(sweep_dir, entry):
    import pandas as pd

    path = runs_of(sweep_dir) / entry["run_id"] / "per_query.parquet"
    rows = pd.read_parquet(path)
    rows["n_relevant"] = rows["n_relevant"].astype("float64").where(rows.index > 0)
    rows.to_parquet(path, index=False)


def link_run(sweep_dir, entry):
    folder = runs_of(sweep_dir) / entry["run_id"]
    shutil.move(folder, folder.parent.parent / "elsewhere")
    folder.symlink_to(folder.parent.parent / "elsewhere")


def other_rows(sweep_dir, entry):
    import pandas as pd

    path = runs_of(sweep_dir) / entry["run_id"] / "per_query.parquet"
    rows = pd.read_parquet(path)
    rows["group_id"] = rows["group_id"] + "x"
    rows.to_parquet(path, index=False)


@pytest.mark.parametrize(
    "broken",
    [
        break_run,
        break_record,
        drop_record,
        name_a_trained_run,
        break_parent,
        replace_parent,
        other_seed,
        no_values,
        no_counts,
        link_run,
        other_rows,
    ],
)
def test_what_is_not_that_average_is_told_as_missing(averaged, broken):
    sweep_dir, entries = averaged
    broken(sweep_dir, entries[0])
    merged = read(sweep_dir)
    (line,) = merged.missing
    assert "alpha 0.3" in line and "seed 0" in line
    assert broken is no_values or "hybrid-sweep merge" in line
    assert sorted(merged.index[merged.mixtures[0]]) == [1, 2]


def test_shares_that_were_not_evaluated_are_told_as_missing(averaged):
    sweep_dir, entries = averaged
    other_shares(sweep_dir, entries[0])
    merged = read(sweep_dir)
    assert len(merged.unusable) == 1 and "alpha 0.31" in merged.unusable[0]
    assert "seed 0" in merged.unusable[0] and (0.69, 0.31) not in [
        m.shares for m in merged.mixtures
    ]


@pytest.mark.parametrize("name", ["run_id", "seed"])
def test_an_average_that_is_listed_twice_is_refused(averaged, name):
    sweep_dir, entries = averaged
    other = {**entries[1], name: entries[0][name]}
    edit(sweep_dir / "merged.json", lambda content: content["points"].append(other))
    with refused("records.field", "merged.json", "twice", kind=records.Broken):
        read(sweep_dir)


@pytest.mark.parametrize(
    "values",
    [
        {"run_id": "../elsewhere"},
        {"run_id": 7},
        {"seed": "0"},
        {"seed": -1},
        {"ratios": [0.0]},
        {"ratios": [1.0, 0.0]},
        {"ratios": [0.0, 0.0]},
        {"ratios": [0.0, 2.0]},
        {"shares": [0.7, 0.2]},
        {"shares": [1.5, -0.5]},
        {"shares": [1.0]},
        {"shares": ["0.7", "0.3"]},
        {"parents": ["t000s0", "/etc/passwd"]},
        {"parents": ["t000s0"]},
        {"also": ["../x"]},
    ],
)
def test_a_hostile_list_of_averages_is_refused(averaged, values):
    sweep_dir, _ = averaged
    edit(sweep_dir / "merged.json", lambda content: content["points"][0].update(values))
    keys = {"run_id": "names.run_id", "parents": "names.run_id", "also": "names.collection"}
    ((name, value),) = values.items()
    key = "records.field"
    if name in keys and value not in (7, ["t000s0"]):
        key = keys[name]
    with refused(key, "merged.json", kind=records.Broken):
        read(sweep_dir)


@pytest.mark.parametrize("content", ["[]", '{"points": {}}', '{"points": [3]}', "{}"])
def test_a_list_of_another_form_is_refused(averaged, content):
    sweep_dir, _ = averaged
    (sweep_dir / "merged.json").write_text(content)
    with refused("records.field", "merged.json", kind=records.Broken):
        read(sweep_dir)


def test_a_link_in_its_place_is_not_followed(averaged):
    sweep_dir, entries = averaged
    (sweep_dir / "merged.json").rename(sweep_dir.parent / "other.json")
    (sweep_dir / "merged.json").symlink_to(sweep_dir.parent / "other.json")
    with refused("records.not_regular", "merged.json", kind=records.Broken):
        read(sweep_dir)
    assert json.loads((sweep_dir.parent / "other.json").read_text())["points"] == entries


def test_a_further_collection_has_the_averages_that_were_asked_for_it(averaged):
    sweep_dir, _ = averaged
    assert load_merged([sweep_dir], load([sweep_dir]), "other") is None
    edit(sweep_dir / "merged.json", lambda content: content["points"][0].update(also=["other"]))
    merged = load_merged([sweep_dir], load([sweep_dir]), "other")
    assert merged.mixtures == []
    assert [line.split(":")[0][-6:] for line in merged.missing] == ["seed 0", "seed 1", "seed 2"]
