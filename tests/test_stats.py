"""The statistics by themselves: what they import, and that they are those of a report."""

import doctest
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hybrid_sweep as hs
from hybrid_sweep import stats
from hybrid_sweep.report import statistics
from hybrid_sweep.report.load import load
from hybrid_sweep.report.results import aggregate, picked
from tests.report.conftest import World, write_sweep
from tests.report.folders import runs_of

DOCUMENT = Path(__file__).parents[1] / "docs" / "statistics.md"
REPORT = DOCUMENT.with_name("report.md")
# What the program needs, and the statistics do not.
ELSE = "torch hydra omegaconf matplotlib pytorch_lightning transformers wandb pydantic yaml bm25s"


def test_they_import_numpy_scipy_and_pandas_alone() -> None:
    code = (
        "import sys, json\n"
        "from hybrid_sweep import stats\n"
        "import hybrid_sweep as hs\n"
        "assert hs.stats is stats\n"
        "own = sorted(name for name in sys.modules if name.startswith('hybrid_sweep'))\n"
        f"others = sorted(set('{ELSE}'.split()) & sys.modules.keys())\n"
        "print(json.dumps([own, others]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own, others = json.loads(done.stdout)
    assert others == []
    assert own == [
        "hybrid_sweep",
        "hybrid_sweep.report",
        "hybrid_sweep.report.clusters",
        "hybrid_sweep.report.looks",
        "hybrid_sweep.report.statistics",
        "hybrid_sweep.stats",
    ]


def test_the_names_are_those_of_the_reports() -> None:
    assert hs.stats is stats
    for name in set(stats.__all__) - {"changes", "Looks"}:
        assert getattr(stats, name) is getattr(statistics, name)


@pytest.fixture(scope="module")
def sweep_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("stats"), World(questions=30, has={"de": 0.6}))


def rows_of(sweep_dir: Path) -> pd.DataFrame:
    parts = []
    for path in runs_of(sweep_dir).glob("t*/per_query.parquet"):
        table = pd.read_parquet(path)
        table = table[table["setting"] == "monolingual"]
        names = {"query_lang": "language", "query_id": "query", "group_id": "group"}
        parts.append(table.rename(columns=names | {"RR@10": "value"}))
    columns = ["ratio", "seed", "language", "query", "group", "value"]
    return pd.concat(parts)[columns].sample(frac=1, random_state=3)


def test_changes_are_those_of_a_report(sweep_dir: Path) -> None:
    found = stats.changes(rows_of(sweep_dir), "ratio", 0.0, 0.01)
    expected = picked(aggregate(load([sweep_dir])), "monolingual", "RR@10")[1:]
    assert found["ratio"].tolist() == [row["ratio"] for row in expected] == [0.5, 1.0]
    names = ["mean", "delta", "delta_low", "delta_high", "delta_low_90", "delta_high_90"]
    for name in [*names, "p", "p_holm", "p_loss", "p_loss_holm", "n_questions"]:
        values: list[Any] = [row[name] for row in expected]  # type: ignore[literal-required]
        assert found[name].to_numpy() == pytest.approx(values, rel=1e-7, abs=1e-10), name
    assert found["verdict"].tolist() == [row["verdict"] for row in expected]
    assert set(found["interval"]) == {"crossed"} and set(found["n_seeds"]) == {3}
    few = rows_of(sweep_dir)
    few = few[few["seed"] < 2]
    found = stats.changes(few, "ratio", 0.0, 0.01)
    assert set(found["interval"]) == {"conditional"} and set(found["verdict"]) == {"untested"}


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda rows: rows.drop(columns="value"), "value"),
        (lambda rows: rows.assign(value=float("nan")), "finite"),
        (lambda rows: pd.concat([rows, rows.head(1)]), "twice"),
        (lambda rows: rows.iloc[1:], "same queries"),
        (lambda rows: rows[rows["ratio"] > 0], "baseline"),
        (lambda rows: rows[(rows["ratio"] > 0) == (rows["seed"] > 0)], "in common"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(sweep_dir: Path, change: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        stats.changes(change(rows_of(sweep_dir)), "ratio", 0.0, 0.01)


def test_the_examples_of_the_document() -> None:
    failed, tried = doctest.testfile(str(DOCUMENT), module_relative=False)
    assert failed == 0 and tried > 5


def test_the_error_rates_are_those_of_the_report(  # which has them from the simulations
) -> None:
    mine, whole = DOCUMENT.read_text(encoding="utf-8"), REPORT.read_text(encoding="utf-8")
    now = []
    seeds = ""
    for line in whole.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 9 and cells[1] == "before":
            seeds = cells[0]
        if len(cells) == 9 and cells[1] == "now":
            now.append([seeds, *cells[2:]])
    assert len(now) == 3
    for row in now:
        assert f"| {' | '.join(row)} |" in mine
