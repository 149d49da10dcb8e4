"""The report as its caller sees it: files, console, exit code, refusals."""

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.report import report_files
from hybrid_sweep.report.figures import style
from hybrid_sweep.report.load import load
from hybrid_sweep.report.report import write_report
from hybrid_sweep.report.results import aggregate
from tests import snapshots
from tests.refused import refused
from tests.report.folders import edit, runs_of
from tests.report.sections import new_lines, parts_of, section

PLAN = ["plan.jsonl", "points.json"]
NAMES = [
    "results.csv",
    "results.parquet",
    "derived.csv",
    "measures.csv",
    "curve.png",
    "report.md",
    "report.html",
    "table.tex",
]
pytestmark = pytest.mark.usefixtures("undrawn")


def test_the_texts_of_a_report_are_those_that_are_stored(sweep_dir: Path) -> None:
    report = write_report([sweep_dir])
    text = (sweep_dir / "report.md").read_text()
    assert str(sweep_dir.parent) not in text
    snapshots.check("report/report.md", text)
    snapshots.check("report/table.tex", (sweep_dir / "table.tex").read_text())
    snapshots.check("report/console", report.console.replace(str(sweep_dir), "SWEEP_DIR"))


EXAMPLES = ["examples_monolingual", "examples_cross_lingual"]


def test_results_need_nothing_but_the_per_query_tables(sweep_dir: Path) -> None:
    first = pd.read_csv(write_report([sweep_dir]).paths[0])
    before = (sweep_dir / "report.md").read_text()
    for run in runs_of(sweep_dir).iterdir():
        (run / "config.yaml").unlink()
        (run / "provenance.json").unlink()
        (run / "metrics.json").write_text(json.dumps({"run_id": run.name}))
    report = write_report([sweep_dir])
    found = pd.read_csv(report.paths[0])
    # those are metrics.json's
    assert first[EXAMPLES].notna().any(axis=None) and found[EXAMPLES].isna().all(axis=None)
    pd.testing.assert_frame_equal(found.drop(columns=EXAMPLES), first.drop(columns=EXAMPLES))
    snapshots.check(
        "report/nothing but the tables", new_lines((sweep_dir / "report.md").read_text(), before)
    )


def test_bm25_of_another_collection_is_refused(make_sweep: Callable[..., Path], world: Any) -> None:
    sweep_dir = make_sweep(world(questions=10), bm25=True)
    edit(
        runs_of(sweep_dir) / "b000s0" / "provenance.json",
        lambda found: found["fingerprints"].update(collection="dead"),
    )
    with refused("report.fingerprints_mixed", "collection"):
        write_report([sweep_dir])


@pytest.fixture
def further(make_sweep: Callable[..., Path], world: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep whose points were asked for two further collections, and have been evaluated on the
    first.
    """
    sweep_dir = make_sweep(world(questions=10), bm25=True)
    edit(
        sweep_dir / "points.json",
        lambda plan: [row.update(also=["near", "far"]) for row in plan["points"]],
    )
    for run in runs_of(sweep_dir).iterdir():
        folder = run / "evaluations" / "near"
        folder.mkdir(parents=True)
        table = pd.read_parquet(run / "per_query.parquet")
        table[["RR@10", "collection"]] = pd.DataFrame(
            {"RR@10": table["RR@10"] / 2, "collection": "bank"}
        )
        table.to_parquet(folder / "per_query.parquet", index=False)
        metrics = {
            "run_id": run.name,
            "collection": "bank",
            "languages": ["de", "en", "fr"],
            "fingerprint": "beef",
        }
        (folder / "metrics.json").write_text(json.dumps(metrics))
        made = {
            "git": {"commit": "later", "dirty": False},
            "versions": {"torch": "2.14.0"},
            "times": {"evaluate": 1.5},
        }
        (folder / "provenance.json").write_text(json.dumps(made))
    return sweep_dir


def test_each_further_collection_has_a_report_of_its_own(further: Path) -> None:
    report = write_report([further], allow_missing=True)
    alone = [path.read_bytes() for path in report.paths]
    assert {path.name for path in (further / "on-near").iterdir()} == set(NAMES)
    here, there = (
        pd.read_csv(folder / "results.csv").query("measure == 'RR@10'")
        for folder in (further, further / "on-near")
    )
    assert (there["mean"] * 2).to_numpy() == pytest.approx(here["mean"].to_numpy(), rel=1e-6)
    text = (further / "on-near" / "report.md").read_text()
    main = (further / "report.md").read_text()
    assert "| 0.5 | 6,400 | 6,400 |" in text
    # Not only the collection that was trained on, and the code that trained and that which
    # evaluated.
    told = [text.splitlines()[0] + "\n"]
    told += [
        new_lines(section(text, title), section(main, title))
        for title in ("How it was measured", "Provenance")
    ]
    snapshots.check("report/on a further collection", "\n".join(told))
    assert "0123456789abcdef" in section(text, "Provenance") and "2.14.0" not in main
    assert str(further / "on-near" / "report.html") in parts_of(report.console)[2]
    edit(further / "points.json", lambda plan: [row.pop("also") for row in plan["points"]])
    # the main report knows nothing of it
    assert [path.read_bytes() for path in write_report([further]).paths] == alone


def test_evaluations_by_different_code_are_warned_about(further: Path) -> None:
    place = runs_of(further) / "t050s1/evaluations/near/provenance.json"
    edit(place, lambda found: found["git"].update(commit="latest", dirty=True))
    edit(place, lambda found: found["versions"].update(torch="2.15.0"))
    report = write_report([further])
    assert report.warnings == ()  # of the main report
    there, main = ((folder / "report.md").read_text() for folder in (further / "on-near", further))
    told = [line for line in there.splitlines() if line.startswith("- **Warning**")]
    told.append(new_lines(section(there, "Provenance"), section(main, "Provenance")))
    snapshots.check("report/evaluations by different code", "\n".join(told))


@pytest.mark.slow
def test_a_further_collection_without_a_result_does_not_take_the_others_along(
    further: Path,
) -> None:
    report = write_report([further])
    assert report.exit_code == 1
    far = parts_of(report.console)[1].replace(str(further), "SWEEP_DIR")
    snapshots.check("report/a further collection without a result", far + "\n")
    assert (further / "on-near" / "curve.png").is_file() and not (further / "on-far").exists()
    assert write_report([further], allow_missing=True).exit_code == 0


@pytest.mark.slow
def test_points_that_lack_a_further_collection_are_missing_there(further: Path) -> None:
    edit(
        further / "points.json", lambda plan: [row.update(also=["near"]) for row in plan["points"]]
    )
    (runs_of(further) / "t050s1" / "evaluations" / "near" / "metrics.json").unlink()
    report = write_report([further])
    assert report.exit_code == 1 and report.missing == ()
    assert report.console.count("t050s1") == parts_of(report.console)[1].count("t050s1") == 1
    edit(
        further / "points.json",
        lambda plan: [row.pop("also") for row in plan["points"] if row["run_id"] == "t050s1"],
    )
    assert write_report([further]).exit_code == 0  # it was never asked for there


def test_points_that_read_other_texts_of_a_further_collection_are_refused_there(
    further: Path,
) -> None:
    edit(
        runs_of(further) / "t050s1/evaluations/near/metrics.json",
        lambda found: found.update(fingerprint="dead"),
    )
    near = parts_of(write_report([further]).console)[2]
    snapshots.check("report/other texts of a further collection", near + "\n")


@pytest.mark.parametrize("run_id", ["t000s0", "t050s2", "u000s0"])
def test_a_missing_run_is_reported(
    make_sweep: Callable[..., Path], world: Any, run_id: str
) -> None:
    sweep_dir = make_sweep(world(questions=10))
    (runs_of(sweep_dir) / run_id / "metrics.json").unlink()
    report = write_report([sweep_dir])
    assert report.exit_code == 1 and [point.run_id for point in report.missing] == [run_id]
    # how many are missing, and how many were planned
    assert re.findall(r"\d+", report.answer)[-2:] == ["1", "10"]
    (line,) = (line for line in report.console.splitlines() if run_id in line)
    listed = section((sweep_dir / "report.md").read_text(), "Missing points")
    snapshots.check(f"report/missing {run_id}", f"{line}\n\n{listed}")
    assert "missing" in (sweep_dir / "results.csv").read_text()
    assert write_report([sweep_dir], allow_missing=True).exit_code == 0


def test_no_run_can_be_deleted_unnoticed(make_sweep: Callable[..., Path], world: Any) -> None:
    sweep_dir = make_sweep(world(questions=10))
    for run in sorted(runs_of(sweep_dir).iterdir()):
        aside = run.rename(sweep_dir / "aside")
        sweep = load([sweep_dir])
        assert list(sweep.missing) == [run.name]
        assert aggregate(sweep).query("status == 'missing'")["run_ids"].tolist() == [run.name]
        aside.rename(run)


def test_a_ratio_without_points_keeps_its_line(make_sweep: Callable[..., Path], world: Any) -> None:
    sweep_dir = make_sweep(world(questions=10))
    for seed in range(3):
        (runs_of(sweep_dir) / f"t050s{seed}" / "metrics.json").unlink()
    line = write_report([sweep_dir]).console.splitlines()[3]
    assert re.findall(r"[\d.]+", line) == ["0.5", "0", "3"]
    snapshots.check("report/a ratio without points", line + "\n")


def test_mixed_versions_and_code_are_warned_about(sweep_dir: Path) -> None:
    edit(
        runs_of(sweep_dir) / "t050s1" / "provenance.json",
        lambda found: found["versions"].update(torch="2.9.0"),
    )
    edit(
        runs_of(sweep_dir) / "t100s1" / "provenance.json",
        lambda found: found["git"].update(dirty=True),
    )
    report = write_report([sweep_dir])
    texts = report.console, (sweep_dir / "report.md").read_text()
    lines = [
        line
        for text in texts
        for line in text.splitlines()
        if any(said in line for said in report.warnings)
    ]
    assert len(report.warnings) == 3 and report.exit_code == 0
    snapshots.check("report/mixed versions and code", "\n".join(lines) + "\n")


def replace(run: Path, old: str, new: str) -> None:
    path = run / "config.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("size: 64", "size: 32", "batch.size"),
        ("name: tiny", "name: big", "model.name"),
        ("200", "300", "trainer.max_steps"),
    ],
)
def test_points_with_other_settings_are_refused(
    sweep_dir: Path, old: str, new: str, key: str
) -> None:
    replace(runs_of(sweep_dir) / "t100s1", old, new)
    with refused("report.settings_mixed", key):
        write_report([sweep_dir])
    assert sorted(path.name for path in sweep_dir.iterdir()) == PLAN


def test_two_sweeps_of_one_setting_give_one_report_in_the_first_folder(
    make: Callable[..., Path],
) -> None:
    first, other = make("a"), make("b", seeds=(3, 4), untrained=())
    report = write_report([first, other])
    rows = report.results.query("kind == 'trained' and scope == 'macro' and measure == 'RR@10'")
    assert (
        set(rows["seeds"]) == {"0 1 2 3 4"}
        and "a + b" in (first / "report.md").read_text().splitlines()[0]
    )
    assert sorted(path.name for path in first.iterdir()) == sorted([*NAMES, *PLAN])
    assert sorted(path.name for path in other.iterdir()) == PLAN


def test_settings_that_cannot_change_the_numbers_may_differ(sweep_dir: Path) -> None:
    """Those of a collection, of further training collections and of further evaluations too."""
    also = "\neval:\n  also:\n    near:\n      name: xquad_r\nmore:\n  other:\n    path: /here"
    replace(runs_of(sweep_dir) / "t050s0", "seed: 0", f"seed: 0{also}")
    replace(
        runs_of(sweep_dir) / "t050s1",
        "seed: 1",
        f"seed: 1{also.replace('xquad_r', 'mlqa_r').replace('here', 'there')}",
    )
    replace(
        runs_of(sweep_dir) / "t050s0", "name: toy", "name: toy\n  revision: a\n  on_error: strict"
    )
    replace(
        runs_of(sweep_dir) / "t050s1", "name: toy", "name: toy\n  revision: b\n  on_error: skip"
    )
    replace(
        runs_of(sweep_dir) / "t100s1",
        "seed: 1",
        "seed: 1\nsweep:\n  name: other\npaths:\n  outputs: elsewhere",
    )
    replace(runs_of(sweep_dir) / "t100s0", "seed: 0", "seed: 0\nsweep:\n  name: one")
    assert write_report([sweep_dir]).warnings == ()


def test_a_sweep_over_added_steps_is_one_setting(sweep_dir: Path) -> None:
    """batch.budget=fixed_monolingual varies batch.added, from which the ratio follows."""
    for run in runs_of(sweep_dir).glob("t*"):
        ratio = int(run.name[1:4]) / 200
        added = f"  budget: fixed_monolingual\n  added: {ratio / (1 - ratio)}\n"
        replace(run, "trainer:", f"{added}trainer:")
    assert write_report([sweep_dir]).warnings == ()


def test_another_collection_is_refused(sweep_dir: Path) -> None:
    edit(
        runs_of(sweep_dir) / "t100s1" / "provenance.json",
        lambda found: found["fingerprints"].update(collection="dead"),
    )
    with refused("report.fingerprints_mixed", "collection"):
        write_report([sweep_dir])


def test_a_folder_that_cannot_be_written(sweep_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report([sweep_dir])
    before = (sweep_dir / "results.csv").read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with refused("report.unwritable", "No space left"):
        write_report([sweep_dir])
    assert (sweep_dir / "results.csv").read_bytes() == before
    assert sorted(path.name for path in sweep_dir.iterdir()) == sorted([*NAMES, *PLAN])


def killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_writer_of_figures_that_is_killed_is_one_line(
    sweep_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_files, "save_all", style.save_all)
    monkeypatch.setattr(style, "save", killed)
    with refused("report.process_killed"):
        write_report([sweep_dir])


@pytest.mark.slow
def test_smaller_pools_are_set_beside_the_whole_all_paired(further: Path) -> None:
    """Each size has a report; where a loss grows with the pool, the difference of changes says so,
    of the same runs.
    """
    edit(
        further / "points.json",
        lambda plan: [row.update(also=["near", "near_pool_30"]) for row in plan["points"]],
    )
    for run in runs_of(further).iterdir():
        shutil.copytree(run / "evaluations" / "near", run / "evaluations" / "near_pool_30")
        small = run / "evaluations" / "near_pool_30" / "per_query.parquet"
        table = pd.read_parquet(small)
        table["RR@10"] = 1.0  # in the small pool no ratio loses anything
        table.to_parquet(small, index=False)
    report = write_report([further])
    assert report.exit_code == 0
    *_, pools = parts_of(report.console)
    heading, _, differs, *_ = pools.split("\n\n")
    snapshots.check("report/smaller pools", f"{heading}\n\n{differs}\n")
    found = pd.read_csv(further / "on-near" / "pools" / "comparison.csv")
    assert (
        set(found["sweep"]) == {"30 passages", "all passages"}
        and (further / "on-near_pool_30").is_dir()
    )
    whole = pd.read_csv(further / "on-near" / "results.csv").query(
        "setting == 'monolingual' and measure == 'RR@10'"
    )
    twice = found.query(
        "statistic == 'difference of changes' and setting == 'monolingual' and scope == 'macro'"
    )
    wanted = whole.query("scope == 'macro' and ratio > 0")
    assert twice["ratio"].tolist() == wanted["ratio"].tolist() and set(twice["against"]) == {
        "30 passages"
    }
    for ours, theirs in (
        ("value", "delta"),
        ("low", "delta_low"),
        ("high", "delta_high"),
        ("p", "p"),
    ):
        assert twice[ours].to_numpy() == pytest.approx(
            wanted[theirs].to_numpy(), rel=1e-6, nan_ok=True
        )
    assert not (further / "pools").exists()


@pytest.mark.slow
def test_centred_vectors_are_set_beside_the_encoded_ones(further: Path) -> None:
    edit(
        further / "points.json",
        lambda plan: [row.update(also=["centred", "near"]) for row in plan["points"]],
    )
    for run in runs_of(further).iterdir():
        shutil.copytree(run / "evaluations" / "near", run / "evaluations" / "centred")
        table = pd.read_parquet(run / "per_query.parquet")
        table.to_parquet(run / "evaluations" / "centred" / "per_query.parquet", index=False)
    report = write_report([further])
    assert report.exit_code == 0 and (further / "on-centred" / "results.csv").is_file()
    *_, centring = parts_of(report.console)
    heading, _, differs, *_ = centring.split("\n\n")
    snapshots.check("report/centring", f"{heading}\n\n{differs}\n")
    compared = pd.read_csv(further / "centring" / "comparison.csv")
    assert set(compared["sweep"]) == {"as encoded", "means subtracted"}
    assert (compared.query("statistic == 'difference'")["value"] == 0).all()


def test_more_pools_than_a_figure_holds_are_told(further: Path) -> None:
    names = [f"pool_{size}" for size in range(1, 7)]
    edit(further / "points.json", lambda plan: [row.update(also=names) for row in plan["points"]])
    *_, told = parts_of(write_report([further]).console)
    snapshots.check("report/more pools than a figure holds", told + "\n")


def test_a_value_of_any_length_is_cut_in_a_warning(sweep_dir: Path) -> None:
    for run, value in (("t050s0", "x" * 5000), ("t050s1", "2")):
        path = runs_of(sweep_dir) / run / "config.yaml"
        path.write_text(
            path.read_text().replace("max_steps: 200", f"max_steps: 200\n  devices: {value}")
        )
    (warning,) = write_report([sweep_dir]).warnings
    assert len(warning) < 300 and re.search(r"trainer\.devices\W+2\W+xxx", warning)
