"""A published sweep gives its tables back from its own rows, and a changed number in either is
found.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some
from matplotlib.figure import Figure
from PIL import Image

from hybrid_sweep.commands import report_verbs
from hybrid_sweep.report import load, publish, published_rows, published_runs, report_files
from hybrid_sweep.report.publish import lighten
from hybrid_sweep.report.report import write_report
from hybrid_sweep.runs import finished
from hybrid_sweep.utils import plan_log
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_json
from tests.refused import refused
from tests.report.conftest import logged
from tests.report.folders import edit, runs_of

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what takes seconds to publish lies, for each test to copy: the sweeps are the same
    every time.
    """
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def published(sweep_dir: Path, kept: Path, tmp_path: Path) -> Path:
    if not (kept / "published").exists():
        publish.freeze(sweep_dir, kept / "published")
    return Path(shutil.copytree(kept / "published", tmp_path / "published"))


def spoil_ranks(folder: Path) -> None:
    """Let no relevant passage of a published folder be found first."""
    rows = pq.read_table(folder / "per_query.parquet")
    ranks = rows["rank_min"].to_numpy().copy()
    ranks[ranks == 1] = 2
    rows = rows.set_column(rows.column_names.index("rank_min"), "rank_min", pa.array(ranks))
    pq.write_table(rows, folder / "per_query.parquet")


@pytest.mark.slow
def test_a_published_sweep_has_the_report_of_the_sweep_and_gives_it_again(
    sweep_dir: Path, published: Path
) -> None:
    write_report([sweep_dir])
    for name in ("results.csv", "derived.csv", "table.tex", "report.html"):
        assert (published / name).read_bytes() == (sweep_dir / name).read_bytes()
    whole, kept = ((folder / "report.md").read_text() for folder in (sweep_dir, published))
    assert kept == publish.without_figures(whole) != whole
    assert re.findall(r"!\[[^\]]*\]\(([^)]*)\)", kept) == ["curve.png"]
    assert (published / "curve.png").is_file() and publish.differences(published) == []


def test_a_section_of_figures_alone_goes_with_them() -> None:
    text = "# A\n\n## Maps\n\n![Pairs](pairs.png)\n\n![Bias](bias.png)\n\n## B\n\n### C\n\nwords\n"
    assert publish.without_figures(text) == "# A\n\n## B\n\n### C\n\nwords\n"
    kept = "## Curve\n\n![The curve](curve.png)\n\n## B\n\nwords\n\n## End\n"
    assert publish.without_figures(kept) == kept.removesuffix("## End\n")


def test_a_heading_that_an_earlier_version_left_is_no_difference(tmp_path: Path) -> None:
    made, there = tmp_path / "made.md", tmp_path / "there.md"
    made.write_text("# A\n\n## B\n\nwords\n")
    there.write_text("# A\n\n## Maps\n\n## B\n\nwords\n")
    assert publish._first_difference(there, made) == ""
    there.write_text("# A\n\n## Maps\n\nwords\n\n## B\n\nwords\n")
    assert publish._first_difference(there, made) != ""


def test_the_log_of_the_plan_is_published_and_read_again(published: Path, tmp_path: Path) -> None:
    assert plan_log.stated(plan_log.read(published).plans, 0.01)[0]
    [measured] = [
        line
        for line in (published / "report.md").read_text().splitlines()
        if line.startswith("- Margin of non-inferiority")
    ]
    assert measured.endswith("stated before the first point was finished.")
    plan = json.loads((published / "points.json").read_text())
    plan["margin"] = 0.2
    (published / "points.json").write_text(json.dumps(plan))
    plan_log.add(published, logged(plan, finished=4))
    assert plan_log.read(publish.thaw(published, tmp_path / "out")).plans[-1].margin == 0.2
    assert publish.differences(published)  # the report was made with another


def test_rows_come_back_as_they_were(sweep_dir: Path, published: Path, tmp_path: Path) -> None:
    thawed = publish.thaw(published, tmp_path / "thawed")
    for point in load.load([sweep_dir]).points:
        one, other = (
            pq.read_table(folder.parent.parent / "runs" / point.run_id / "per_query.parquet")
            for folder in (sweep_dir, thawed)
        )
        order = [(name, "ascending") for name in finished.KEY]
        kept = [
            each.select(published_rows.ROWS.names)
            .cast(published_rows.ROWS)
            .sort_by(order)
            .to_pandas()
            for each in (one, other)
        ]
        assert kept[0].equals(kept[1])


@pytest.mark.slow
def test_a_changed_cell_and_a_changed_row_are_found(published: Path) -> None:
    lines = (published / "results.csv").read_text().splitlines()
    (published / "results.csv").write_text(
        "\n".join([lines[0], lines[1].replace("0.", "0.9", 1), *lines[2:]]) + "\n"
    )
    (found,) = publish.differences(published)
    assert "results.csv: line 2 is" in found
    (published / "results.csv").write_text("\n".join(lines) + "\n")
    assert publish.differences(published) == []
    spoil_ranks(published)
    assert any("results.csv: line" in line for line in publish.differences(published))


@pytest.mark.slow
def test_further_collections_are_published_too(sweep_dir: Path, tmp_path: Path) -> None:
    edit(
        sweep_dir / "points.json",
        lambda plan: [row.update(also=["near"]) for row in plan["points"]],
    )
    for run in runs_of(sweep_dir).iterdir():
        place = run / "evaluations" / "near"
        place.mkdir(parents=True)
        rows = pd.read_parquet(run / "per_query.parquet")
        rows.assign(
            collection="bank", rank_min=2 * rows["rank_min"], rank_max=2 * rows["rank_max"]
        ).to_parquet(place / "per_query.parquet", index=False)
        metrics = {
            "run_id": run.name,
            "collection": "bank",
            "languages": ["de", "en", "fr"],
            "fingerprint": "beef",
        }
        (place / "metrics.json").write_text(json.dumps(metrics))
        (place / "provenance.json").write_text(
            json.dumps({"git": {"commit": "later"}, "hardware": {"cpu": "mine"}})
        )
    write_report([sweep_dir])
    folder = tmp_path / "published"
    publish.freeze(sweep_dir, folder)
    for name in ("results.csv", "on-near/results.csv", "on-near/report.html"):
        assert (folder / name).read_bytes() == (sweep_dir / name).read_bytes()
    assert "Code of the evaluation: commit later" in (folder / "on-near/report.md").read_text()
    assert publish.differences(folder) == [] and "mine" not in (folder / "runs.json").read_text()
    shutil.copy(folder / "per_query.parquet", folder / "on-near.parquet")
    assert any("on-near/results.csv: line" in line for line in publish.differences(folder))


@pytest.fixture
def against(two: tuple[Path, Path], kept: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two published sweeps, the second with its comparison with the first."""
    if not (kept / "second").exists():
        publish.freeze(two[0], kept / "first")
        publish.freeze(two[1], kept / "second", publish.Beside((kept / "first",)))
    first, second = (
        Path(shutil.copytree(kept / name, tmp_path / name)) for name in ("first", "second")
    )
    return first, second


@pytest.mark.slow
def test_a_comparison_with_a_published_sweep_is_published_too(
    two: tuple[Path, Path], against: tuple[Path, Path]
) -> None:
    first, second = against
    write_report(two)
    for name in ("comparison.csv", "comparison.md", "comparison.tex"):
        assert (second / "vs-first" / name).read_bytes() == (two[0] / "vs-b" / name).read_bytes()
    assert (second / "vs-first" / "comparison.png").is_file()
    pages = {str(path.relative_to(second)) for path in second.rglob("*.html")}
    assert pages == {"report.html", "vs-first/comparison.html"}
    assert (
        not list(first.glob("vs-*"))
        and publish.differences(first) == publish.differences(second) == []
    )
    (second / "vs-first" / "comparison.csv").write_text("old\n")
    publish.freeze(two[1], second)  # what was compared once is compared again
    assert publish.differences(second) == []


@pytest.mark.slow
def test_a_comparison_is_made_anew_from_the_rows_of_both(against: tuple[Path, Path]) -> None:
    first, second = against
    spoil_ranks(first)
    assert any("vs-first/comparison.csv: line" in line for line in publish.differences(second))
    shutil.rmtree(first)
    with refused("freeze.not_published", "first"):
        publish.differences(second)


@pytest.mark.slow
def test_what_cannot_be_compared_is_not_published(
    two: tuple[Path, Path], against: tuple[Path, Path], tmp_path: Path
) -> None:
    first, _ = against
    with refused("freeze.elsewhere", "elsewhere/third", first):
        publish.freeze(two[1], tmp_path / "elsewhere" / "third", publish.Beside((first,)))
    with refused("freeze.no_difference"):
        publish.freeze(two[0], tmp_path / "third", publish.Beside((first,)))
    assert not (tmp_path / "third").exists() and not (tmp_path / "elsewhere").exists()


def test_a_table_that_is_gone_is_found(published: Path) -> None:
    (published / "table.tex").unlink()
    assert publish.differences(published) == [
        f"{published / 'table.tex'}: absent, though the report has it"
    ]


def test_no_path_account_or_machine_is_published(sweep_dir: Path, tmp_path: Path) -> None:
    for run in (sweep_dir.parents[1] / "runs").iterdir():
        with open(run / "config.yaml", "a") as file:
            file.write(
                "paths:\n  outputs: /home/someone\nlogger:\n  entity: someone\nkeep:\n  model:"
                " true\n"
            )
    publish.freeze(sweep_dir, tmp_path / "published")
    text = (tmp_path / "published" / "runs.json").read_text()
    assert "someone" not in text and '"hardware"' not in text and '"times"' not in text
    config = read_json(tmp_path / "published" / "runs.json")["t050s1"]["config"]
    assert config["batch"] == {"size": 64, "cross_lingual_ratio": 0.5} and not {
        "paths",
        "logger",
        "keep",
    } & set(config)


def test_the_places_of_lexicons_are_not_published() -> None:
    lexicon = {"xa-xb": "/home/someone/xa-xb.txt"}
    stored = {"batch": {"size": 64, "code_switch": {"share": 0.5, "lexicon": lexicon}}}
    assert published_runs._settings(stored) == {
        "batch": {"size": 64, "code_switch": {"share": 0.5}}
    }


def test_publishing_again_replaces_the_report_and_keeps_the_readme(
    sweep_dir: Path, published: Path
) -> None:
    (published / "README.md").write_text("What was asked.\n")
    (published / "results.csv").write_text("old\n")
    written = publish.freeze(sweep_dir, published)
    assert (published / "README.md").read_text() == "What was asked.\n" and publish.differences(
        published
    ) == []
    assert {"README.md", "per_query.parquet", "runs.json", "points.json", "results.csv"} <= set(
        written
    )


def test_an_unfinished_sweep_is_not_published(sweep_dir: Path, tmp_path: Path) -> None:
    (sweep_dir.parents[1] / "runs" / "t050s1" / "metrics.json").unlink()
    with refused("freeze.points_missing", "1 of 10"):
        publish.freeze(sweep_dir, tmp_path / "published")
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize(
    ("spoil", "key"),
    [
        ("points.json", "records.json"),
        ("runs.json", "records.json"),
        ("per_query.parquet", "freeze.table_unreadable"),
    ],
)
def test_a_folder_without_a_published_sweep_is_refused(
    published: Path, tmp_path: Path, spoil: str, key: str
) -> None:
    (published / spoil).write_text("{half")
    with refused(key, spoil):
        publish.thaw(published, tmp_path / "thawed")


@given(some.lists(some.integers(1, 2**40), min_size=1, max_size=30), some.integers(0, 2**32 - 1))
def test_packing_loses_nothing(ranks: list[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    first = np.array(ranks, np.int64)
    measures = {
        "rank_max": np.where(draw.random(len(first)) < 0.5, first, first + 3),
        "RR@10": np.where(
            draw.random(len(first)) < 0.5, np.where(first <= 10, 1 / first, 0.0), 0.25
        ),
        "AP": np.where(draw.random(len(first)) < 0.5, 1 / first, draw.random(len(first))),
        "nDCG@10": np.where(draw.random(len(first)) < 0.5, np.nan, draw.random(len(first))),
        "R@100": np.where(first <= 100, 1.0, draw.integers(0, 2, len(first))),
    }
    rows: dict[str, Any] = {field.name: np.zeros(len(first)) for field in published_rows.ROWS}
    rows |= {"rank_min": first, **measures}
    before = pa.table(
        {field.name: pa.array(rows[field.name]).cast(field.type) for field in published_rows.ROWS}
    )
    small = published_rows.packed(before)
    after = published_rows.unpacked(small)
    for name in published_rows.ROWS.names:
        assert np.array_equal(
            after[name].to_numpy(), before[name].to_numpy(), equal_nan=name in measures
        )
    assert small["R@100"].null_count >= int((first <= 100).sum())


@pytest.mark.slow
def test_a_report_that_is_made_otherwise_is_renewed_from_its_rows(
    against: tuple[Path, Path],
) -> None:
    """Tables and comparisons are written anew; rows, settings and the words of a reader stay."""
    folder, _ = against
    kept = [*folder.glob("*.parquet"), folder / "runs.json", folder / "points.json"]
    before = {path: path.read_bytes() for path in kept}
    (folder / "README.md").write_text("ours")
    for path in folder.rglob("*.csv"):
        path.write_text("old\n")
    assert publish.differences(folder)
    publish.renew(folder)
    assert publish.differences(folder) == [] and (folder / "README.md").read_text() == "ours"
    assert {path: path.read_bytes() for path in kept} == before and len(kept) > 2
    assert "<html" in (folder / "report.html").read_text()


def files_of(folder: Path) -> dict[str, bytes]:
    """Give the content of all files of a folder by their names."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_of_the_figures_only_the_main_one_is_published_unless_all_are_asked_for(
    sweep_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there of an earlier set goes, and a picture of the reader's own stays."""
    two = {"curve": "a figure", "languages": "another"}
    monkeypatch.setattr(report_files, "drawn", lambda *args: two)
    folder = tmp_path / "published"
    publish.freeze(sweep_dir, folder, publish.Beside(figures=True))
    assert (folder / "languages.png").is_file()
    (folder / "sketch.png").write_text("ours")
    (folder / "curve.svg").write_text("of an earlier report")
    publish.renew(folder)
    drawn = {path.name for path in folder.iterdir() if path.suffix in publish.KINDS}
    assert drawn == {"curve.png", "sketch.png"}


def test_a_published_figure_looks_the_same_in_a_third_of_the_bytes(tmp_path: Path) -> None:
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.fill_between([0, 1], [0, 1], [1, 3], alpha=0.2)
    axes.plot([0, 1], [0.5, 2], marker="o")
    path = tmp_path / "curve.png"
    figure.savefig(path, dpi=200)
    before, size = np.asarray(Image.open(path).convert("RGB"), np.int16), path.stat().st_size
    lighten(path)
    after = np.asarray(Image.open(path).convert("RGB"), np.int16)
    assert np.abs(before - after).mean() < 1 and np.abs(before - after).max() < 16
    assert path.stat().st_size < size / 2


@pytest.fixture
def shared(sweep_dir: Path, published: Path, tmp_path: Path) -> Path:
    """The same sweep published once more, as second, without rows of its own."""
    folder = tmp_path / "second"
    publish.freeze(sweep_dir, folder, publish.Beside(rows_of=(published,)))
    return folder


@pytest.mark.slow
def test_rows_that_stand_in_another_published_folder_are_not_stored_again(
    published: Path, shared: Path, tmp_path: Path
) -> None:
    assert not (shared / "per_query.parquet").exists()
    stored = read_json(shared / "rows.json")["per_query.parquet"]
    runs = read_json(shared / "runs.json")
    assert {name: sorted(ids) for name, ids in stored.items()} == {"published": sorted(runs)}
    assert publish.differences(shared) == []
    assert published_rows.read(shared, "").equals(published_rows.read(published, ""))
    spoil_ranks(published)
    assert any("results.csv: line" in line for line in publish.differences(shared))
    shutil.rmtree(published)
    with refused("freeze.rows_elsewhere", "second/rows.json", "published/per_query.parquet"):
        publish.thaw(shared, tmp_path / "thawed")


@pytest.mark.slow
def test_only_equal_rows_are_shared(sweep_dir: Path, published: Path, tmp_path: Path) -> None:
    """A run of which one rank differs keeps its rows."""
    rows = published_rows.own(published / "per_query.parquet")
    assert rows is not None
    ranks = rows["rank_min"].to_numpy().copy()
    ranks[0] += 1
    place = rows.column_names.index("rank_min")
    other = rows["run_id"][0].as_py()
    published_rows.write(
        rows.set_column(place, "rank_min", pa.array(ranks)), published / "per_query.parquet"
    )
    folder = tmp_path / "second"
    publish.freeze(sweep_dir, folder, publish.Beside(rows_of=(published,)))
    kept = published_rows.own(folder / "per_query.parquet")
    assert kept is not None and set(kept["run_id"].to_pylist()) == {other}
    stored = read_json(folder / "rows.json")["per_query.parquet"]["published"]
    assert other not in stored and stored
    assert publish.differences(folder) == []


@pytest.mark.parametrize("stored", ['{"per_query.parquet": {"../published": ["a"]}}', "[1]", "{"])
def test_a_damaged_list_of_rows_is_refused(shared: Path, tmp_path: Path, stored: str) -> None:
    (shared / "rows.json").write_text(stored)
    with pytest.raises(UserError) as error:
        publish.thaw(shared, tmp_path / "thawed")
    assert error.value.key in ("names.folder", "records.field", "records.json")


@pytest.mark.slow
def test_a_published_sweep_is_reported_into_a_folder_of_the_readers(
    sweep_dir: Path,
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_report([sweep_dir])
    before = files_of(published)
    monkeypatch.chdir(tmp_path)
    assert report_verbs.report([str(published)]) == 0
    made = tmp_path / "outputs" / "published" / "published"
    said = capsys.readouterr().out
    assert "outputs/published/published/report.html" in said and str(tmp_path / "tmp") not in said
    for name in ("results.csv", "report.md", "report.html"):
        assert (made / name).read_bytes() == (sweep_dir / name).read_bytes()
    assert files_of(published) == before and not (made / "points.json").exists()
    assert report_verbs.report([str(published), "--out", "mine", "--measure", "nDCG@10"]) == 0
    assert (tmp_path / "mine" / "by-nDCG@10" / "report.md").is_file()


@pytest.mark.slow
def test_two_published_sweeps_are_compared(
    two: tuple[Path, Path],
    against: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = against
    assert report_verbs.report([str(first), str(second), "--out", "both"]) == 0
    made = tmp_path / "both" / "vs-b"
    assert (made / "comparison.csv").read_bytes() == (
        second / "vs-first" / "comparison.csv"
    ).read_bytes()
    assert "both/vs-b/comparison.html" in capsys.readouterr().out
    assert not list(first.glob("vs-*"))
