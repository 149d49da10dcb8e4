"""A published sweep with averages gives their tables back from its own rows, and a change in any
file of them is found.
"""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hybrid_sweep.commands import report_verbs
from hybrid_sweep.report import load, publish, published_rows, report_files
from hybrid_sweep.report.merged import figure
from hybrid_sweep.report.merged.load import load_merged
from hybrid_sweep.report.report import write_report
from hybrid_sweep.utils import records
from hybrid_sweep.utils.files import read_json, write_json
from tests.refused import refused
from tests.report.folders import edit, runs_of
from tests.report.merged.averages import change, write_averages

ENDS = (0.0, 1.0)
MIXTURES = [(ENDS, (0.75, 0.25)), (ENDS, (0.5, 0.5)), ((0.0, 0.5, 1.0), (1 / 3,) * 3)]
TABLES = ("results.csv", "derived.csv", "merged.csv", "on-near/results.csv", "on-near/merged.csv")


def drawn_averages(averaged, corner):
    return corner if averaged else None


@pytest.fixture(autouse=True)
def quick(undrawn, monkeypatch):
    """Writes reports without drawing, the figure of averages too."""
    monkeypatch.setattr(report_files, "drawn_averages", drawn_averages)
    monkeypatch.setattr(figure, "svg", lambda *args: "<svg></svg>")


_numbers: dict[tuple[str, str], Any] = {}


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a function makes of the trained points, which no test here changes."""

    def call(sweep, *more):
        key = function.__name__, sweep.name
        if key not in _numbers:
            _numbers[key] = function(sweep, *more)
        return copy.copy(_numbers[key])

    return call


@pytest.fixture
def tables_alone(monkeypatch):
    """Makes the tables of a report, and no text and page of it."""
    for name in ("markdown", "html", "latex"):
        monkeypatch.setattr(report_files, name, lambda *args: "")
    for name in ("aggregate", "derived", "findings", "other_measures", "answer"):
        monkeypatch.setattr(report_files, name, remembered(getattr(report_files, name)))
    monkeypatch.setattr(publish, "TEXTS", (".csv",))


def evaluate_elsewhere(sweep_dir: Path) -> None:
    """Let every run of a sweep, and every average, be evaluated on a further collection."""
    for name in ("points.json", "merged.json"):
        edit(
            sweep_dir / name,
            lambda content: [row.update(also=["near"]) for row in content["points"]],
        )
    for run in runs_of(sweep_dir).iterdir():
        place = run / "evaluations" / "near"
        place.mkdir(parents=True)
        rows = pd.read_parquet(run / "per_query.parquet")
        rows = rows.assign(collection="bank", rank_max=2 * rows["rank_max"], AP=rows["AP"] / 2)
        rows.to_parquet(place / "per_query.parquet", index=False)
        metrics = {"run_id": run.name, "collection": "bank", "languages": ["de", "en"]}
        (place / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def averaged(make_sweep, world) -> Path:
    """A sweep with three averages of each seed, on two collections; its folder."""
    small = world(questions=20, languages=("de", "en"))
    sweep_dir: Path = make_sweep(small)
    write_averages(sweep_dir, small, MIXTURES)
    evaluate_elsewhere(sweep_dir)
    return sweep_dir


_published: list[Path] = []  # the folder that was published first, to be copied


@pytest.fixture
def published(averaged: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not _published:
        folder = tmp_path_factory.mktemp("kept") / "published"
        publish.freeze(averaged, folder)
        _published.append(folder)
    return Path(shutil.copytree(_published[0], tmp_path / "published"))


@pytest.mark.slow
def test_averages_are_published_and_give_their_tables_again(
    averaged: Path, published: Path, tmp_path: Path
) -> None:
    write_report([averaged])
    for name in (*TABLES, "report.html", "on-near/report.html"):
        assert (published / name).read_bytes() == (averaged / name).read_bytes(), name
    for name in ("merged.png", "on-near/merged.png"):
        assert (published / name).is_file()
        assert "(merged.png)" in (published / name).with_name("report.md").read_text()
    assert publish.differences(published) == []
    thawed = publish.thaw(published, tmp_path / "thawed")
    assert records.merged(thawed) == records.merged(averaged)
    for on in ("", "near"):
        pair = [load_merged([at], load.load([at], on), on) for at in (thawed, averaged)]
        frames = [merged.sweep.frame for merged in pair]
        pd.testing.assert_frame_equal(frames[0], frames[1], check_categorical=False)
        assert pair[0].index == pair[1].index and pair[0].missing == ()


@pytest.mark.slow
def test_rows_of_averages_stand_in_the_files_of_the_rows_once(
    averaged: Path, published: Path, tmp_path: Path
) -> None:
    entries = {entry["run_id"] for entry in records.merged(averaged)}
    assert len(entries) == 9
    for name in ("", "near"):
        rows = published_rows.read(published, name)
        assert entries < set(rows["run_id"].to_pylist())
    assert entries < set(read_json(published / "runs.json"))
    publish.freeze(averaged, tmp_path / "second", publish.Beside(rows_of=(published,)))
    assert not list((tmp_path / "second").glob("*.parquet"))
    assert entries < set(
        read_json(tmp_path / "second" / "rows.json")["on-near.parquet"]["published"]
    )
    assert publish.differences(tmp_path / "second") == []


@pytest.mark.slow
def test_no_path_and_no_word_of_the_author_is_published(averaged: Path, tmp_path: Path) -> None:
    entry = records.merged(averaged)[0]
    change(averaged / "merged.json", note="/home/someone")
    edit(averaged / "merged.json", lambda content: content["points"][0].update(at="/home/someone"))
    run = runs_of(averaged) / entry["run_id"]
    with open(run / "config.yaml", "a") as file:
        file.write("paths:\n  outputs: /home/someone\nkeep:\n  model: true\n")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(
        text.replace("name: tiny", "name: tiny\n  path: /home/someone")
    )
    edit(run / "provenance.json", lambda content: content.update(merged={"at": "/home/someone"}))
    publish.freeze(averaged, tmp_path / "published")
    for path in (tmp_path / "published").rglob("*"):
        assert path.is_dir() or b"someone" not in path.read_bytes(), path


def other_share(folder: Path) -> None:
    edit(folder / "merged.json", lambda content: content["points"][0].update(shares=[0.7, 0.3]))


def other_parent(folder: Path) -> None:
    parents = ["t000s1", "t100s0"]
    edit(folder / "merged.json", lambda content: content["points"][0].update(parents=parents))


def other_seed(folder: Path) -> None:
    """The first two have changed places."""

    def exchange(content: dict[str, Any]) -> None:
        first, second = content["points"][:2]
        for name in ("seed", "parents"):
            first[name], second[name] = second[name], first[name]

    edit(folder / "merged.json", exchange)


def no_settings(folder: Path) -> None:
    edit(folder / "runs.json", lambda content: content.pop("m750-250s0"))
    for path in (folder / "per_query.parquet", folder / "on-near.parquet"):
        rows = pq.read_table(path)
        pq.write_table(rows.filter(pc.not_equal(rows["run_id"], "m750-250s0")), path)


def no_rows(folder: Path) -> None:
    path = folder / "per_query.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.filter(pc.not_equal(rows["run_id"], "m750-250s0")), path)


def no_row(folder: Path) -> None:
    path = folder / "on-near.parquet"
    rows = pq.read_table(path)
    place = pc.index(rows["run_id"], "m750-250s0").as_py()
    pq.write_table(pa.concat_tables([rows.slice(0, place), rows.slice(place + 1)]), path)


def other_ranks(folder: Path) -> None:
    path = folder / "per_query.parquet"
    rows = pq.read_table(path)
    here = pc.equal(rows["run_id"], "m750-250s0")
    ranks = pc.if_else(here, pc.add(rows["rank_min"], 1), rows["rank_min"])
    place = rows.column_names.index("rank_min")
    pq.write_table(rows.set_column(place, "rank_min", ranks), path)


def stale_table(folder: Path) -> None:
    (folder / "old").mkdir()
    shutil.copy(folder / "merged.csv", folder / "old" / "merged.csv")


def other_table(folder: Path) -> None:
    path = folder / "on-near" / "merged.csv"
    path.write_text(path.read_text().replace("not shown", "average dominates", 1))


def no_table(folder: Path) -> None:
    (folder / "merged.csv").unlink()


BROKEN = {
    other_share: "merged.csv: line",
    other_parent: "merged.csv: line",
    other_seed: "merged.csv: line",
    no_settings: "merged.csv: line",
    no_rows: "merged.csv: line",
    no_row: "on-near/merged.csv: line",
    other_ranks: "merged.csv: line",
    stale_table: "old/merged.csv: is there",
    other_table: "on-near/merged.csv: line",
    no_table: "merged.csv: absent",
}


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN)
def test_a_change_in_any_file_of_averages_is_found(
    published: Path, tables_alone: None, broken: Callable[[Path], None]
) -> None:
    broken(published)
    assert any(BROKEN[broken] in line for line in publish.differences(published))


@pytest.mark.slow
def test_a_list_that_lacks_an_average_is_refused(published: Path, tmp_path: Path) -> None:
    edit(published / "merged.json", lambda content: content["points"].pop(0))
    with refused("freeze.run_unnamed", "m750-250s0"):
        publish.differences(published)
    (published / "merged.json").unlink()
    with refused("freeze.run_unnamed", "m333-333-333s0"):
        publish.thaw(published, tmp_path / "thawed")


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"run_id": "t000s0"}, "freeze.average_is_point"),
        ({"run_id": "../../elsewhere"}, "names.run_id"),
        ({"shares": [1e308, 0.5]}, "records.field"),
        ({"also": ["../x"]}, "names.collection"),
    ],
)
def test_a_hostile_list_is_not_written_anywhere(
    tmp_path: Path, values: dict[str, object], key: str
) -> None:
    point = {"run_id": "t000s0", "ratio": 0.0, "seed": 0, "kind": "trained"}
    plan = {"name": "toy", "margin": 0.01, "points": [point]}
    entry = {"seed": 0, "ratios": [0.0, 1.0], "shares": [0.5, 0.5], "parents": ["t000s0", "x"]}
    contents = {
        "points.json": plan,
        "runs.json": {},
        "merged.json": {"points": [{"run_id": "m", **entry, **values}]},
    }
    for name, content in contents.items():
        write_json(tmp_path / "published" / name, content)
    with refused(key, "merged.json"):
        publish.thaw(tmp_path / "published", tmp_path / "thawed")
    assert sorted(path.name for path in tmp_path.rglob("*.json")) == sorted(contents)


def test_an_average_without_a_result_is_not_published(averaged: Path, tmp_path: Path) -> None:
    entry = records.merged(averaged)[0]
    (runs_of(averaged) / entry["run_id"] / "evaluations" / "near" / "metrics.json").unlink()
    with refused("freeze.averages_missing", "merged.json", "alpha 0.25", "seed 0"):
        publish.freeze(averaged, tmp_path / "published")
    assert not (tmp_path / "published").exists()


@pytest.mark.slow
def test_an_average_of_some_seeds_is_published_as_it_is_reported(
    averaged: Path, tmp_path: Path
) -> None:
    """The author has left a seed out by --seeds: the report says so, and so does the published one."""
    edit(averaged / "merged.json", lambda content: content["points"].pop(0))
    publish.freeze(averaged, tmp_path / "published")
    assert "was made of other seeds alone" in (tmp_path / "published" / "report.md").read_text()
    assert publish.differences(tmp_path / "published") == []


def test_measures_that_averages_lack_are_not_lost_in_silence(
    averaged: Path, tmp_path: Path
) -> None:
    for run in runs_of(averaged).iterdir():
        if run.name.startswith(("t", "u")):
            rows = pd.read_parquet(run / "per_query.parquet").assign(**{"P@5": 0.2})
            rows.to_parquet(run / "per_query.parquet", index=False)
    with refused("freeze.averages_missing", "P@5"):
        publish.freeze(averaged, tmp_path / "published")


@pytest.mark.slow
def test_averages_come_and_go_when_a_sweep_is_published_again(
    averaged: Path, published: Path
) -> None:
    before = {path.name: path.read_bytes() for path in published.iterdir() if path.is_file()}
    (published / "merged.csv").write_text("old\n")
    publish.renew(published)
    after = {path.name: path.read_bytes() for path in published.iterdir() if path.is_file()}
    assert after == before
    (averaged / "merged.json").unlink()
    publish.freeze(averaged, published)
    assert not list(published.rglob("merged.*")) and publish.differences(published) == []
    assert not set(read_json(published / "runs.json")) & {"m750-250s0"}


@pytest.mark.slow
def test_a_published_sweep_with_averages_is_reported_elsewhere(
    averaged: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report_verbs.report([str(published), "--out", "mine", "--measure", "nDCG@10"]) == 0
    assert report_verbs.report([str(published), "--out", "mine"]) == 0
    for name in TABLES:
        assert (tmp_path / "mine" / name).read_bytes() == (published / name).read_bytes()
    assert (tmp_path / "mine" / "by-nDCG@10" / "merged.csv").is_file()
    assert not (tmp_path / "mine" / "merged.json").exists()
