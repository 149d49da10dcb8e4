"""What a report writes, figures and all: which files, which bytes, how fast, and what it
imports.
"""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.load import load
from hybrid_sweep.report.report import Report, write_report
from hybrid_sweep.report.results import aggregate
from tests.report.folders import edit, runs_of

# without steps and bias reports no others
FIGURES = ["curve", "languages", "pairs", "bias", "front", "shape"]
NAMES = ["results.csv", "results.parquet", "derived.csv", "measures.csv"]
NAMES += [f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf", "svg")]
NAMES += ["report.md", "report.html", "table.tex"]


@pytest.mark.slow
def test_files_console_and_answer(sweep_dir: Path) -> None:
    report = write_report([sweep_dir])
    assert [path.name for path in report.paths] == NAMES and all(
        path.parent == sweep_dir for path in report.paths
    )
    assert sorted(path.name for path in sweep_dir.iterdir()) == sorted(
        [*NAMES, "plan.jsonl", "points.json"]
    )
    assert report.exit_code == 0 and report.missing == () and report.warnings == ()
    table = report.console.splitlines()
    assert [line.split()[0] for line in table[2:6]] == ["0", "0.5", "1", "untrained"]
    assert report.answer.split(";")[0] in " ".join(report.console.split())
    assert table[-1] == f"figure: {sweep_dir / 'curve.png'}"
    text = (sweep_dir / "report.md").read_text()
    assert text.split("**")[1] == report.answer
    wanted, written = (
        derived(load([sweep_dir]), report.results),
        pd.read_csv(sweep_dir / "derived.csv"),
    )
    pd.testing.assert_series_equal(written["value"], wanted["value"])
    assert set(written["statistic"]) >= {"slope", "isotonic", "front", "price", "language"}
    csv, parquet = (
        pd.read_csv(sweep_dir / "results.csv"),
        pd.read_parquet(sweep_dir / "results.parquet"),
    )
    pd.testing.assert_frame_equal(
        csv.fillna({name: "" for name in parquet.select_dtypes("str")}),
        parquet,
        check_dtype=False,
        rtol=1e-12,
    )


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_order_of_rows_or_points(sweep_dir: Path) -> None:
    first = {path.name: path.read_bytes() for path in write_report([sweep_dir]).paths}
    for number, path in enumerate(sorted(runs_of(sweep_dir).glob("*/per_query.parquet"))):
        pd.read_parquet(path).sample(frac=1, random_state=number).to_parquet(path, index=False)
    edit(sweep_dir / "points.json", lambda plan: plan["points"].reverse())
    for run in runs_of(sweep_dir).iterdir():
        edit(
            run / "provenance.json",
            lambda found: found.update(hardware={"cpu": "other"}, times={"train": 9}),
        )
    assert {path.name: path.read_bytes() for path in write_report([sweep_dir]).paths} == first


@pytest.mark.slow
def test_bm25_stands_in_every_table_and_figure(make_sweep: Callable[..., Path], world: Any) -> None:
    sweep_dir = make_sweep(world(has={"de": 0.6, "fr": 0.8}), bm25=True)
    report = write_report([sweep_dir])
    assert report.exit_code == 0 and report.warnings == ()
    found = report.results.query(
        "kind == 'bm25' and setting == 'monolingual' and measure == 'RR@10'"
    )
    assert found["scope"].tolist() == ["macro", "de", "en", "fr"] and found[
        "interval"
    ].unique().tolist() == ["conditional"]
    macro = found["mean"].iloc[0]
    assert [line.split()[0] for line in report.console.splitlines()[2:7]] == [
        "0",
        "0.5",
        "1",
        "untrained",
        "BM25",
    ]
    text = (sweep_dir / "report.md").read_text()
    by_ratio, by_language = (
        text.split(title)[1].split("##")[0] for title in ("## By ratio", "MRR@10 by language")
    )
    assert f"| BM25 | 1 | {macro:.3f} |" in by_ratio
    for scope, mean in zip(found["scope"].iloc[1:], found["mean"].iloc[1:], strict=True):
        assert f"| {scope} | BM25 | {mean:.3f} |" in by_language
        assert f"| {scope} | untrained |" in by_language
    assert (
        "| BM25 | `b000s0` |" in text
        and "bm25s" in text
        and "Level lines: untrained and BM25." in text
    )
    page = (sweep_dir / "report.html").read_text()
    assert page.count("<td>BM25</td>") == 1 + 3 + 1  # by ratio, by language, provenance
    assert f"BM25 & 1 & ${macro:.3f}$" in (sweep_dir / "table.tex").read_text()


@pytest.mark.slow
def test_neither_torch_nor_hydra_nor_pyplot_is_imported(sweep_dir: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hybrid_sweep.report.report import"
        f" write_report\nwrite_report([Path({str(sweep_dir)!r})])\nprint([name for name in"
        " ('torch', 'hydra', 'omegaconf', 'transformers', 'matplotlib.pyplot') if name in"
        " sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("verdict", "seeds", "interval", "expected"),
    [
        ("inconclusive", 9.0, "crossed", True),
        ("inconclusive", float("inf"), "crossed", False),
        ("degraded", float("nan"), "crossed", False),
        ("", float("nan"), "conditional", True),
    ],
)
def test_more_seeds_are_asked_for_where_they_could_settle_something(
    sweep_dir: Path, verdict: str, seeds: float, interval: str, expected: bool
) -> None:
    results = aggregate(load([sweep_dir]))
    report = Report("", "", sweep_dir, (), (), (), results, 0)
    results = results.copy()
    results["verdict"], results["seeds_to_settle_low"] = "non-inferior", float("nan")
    assert not dataclasses.replace(report, results=results).more_seeds
    last = (
        (results["setting"] == "monolingual")
        & (results["measure"] == "RR@10")
        & (results["ratio"] == 1)
    )
    last &= (results["scope"] == "macro") & (results["kind"] == "trained")
    results.loc[last, ["verdict", "seeds_to_settle_low", "delta_interval"]] = (
        verdict,
        seeds,
        interval,
    )
    assert dataclasses.replace(report, results=results).more_seeds == expected
