"""Warnings of a sweep whose numbers are right and mean nothing: each fault planted once, and none on
a sound sweep.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.report import guards
from hybrid_sweep.report.load import load
from hybrid_sweep.report.report import write_report
from hybrid_sweep.report.results import aggregate
from tests.report.folders import edit, runs_of

Make = Callable[..., Path]


def told(sweep_dir: Path) -> list[str]:
    sweep = load([sweep_dir])
    return guards.warnings(sweep, aggregate(sweep))


def copied(sweep_dir: Path, source: str, target: str) -> None:
    """Put the rows of one run in the place of another's."""
    own = {"ratio": int(target[1:4]) / 100, "seed": int(target[-1]), "run_id": target}
    frame = pd.read_parquet(runs_of(sweep_dir) / source / "per_query.parquet")
    path = runs_of(sweep_dir) / target / "per_query.parquet"
    kept = {name: value for name, value in own.items() if name in frame.columns}
    frame.assign(**kept).to_parquet(path, index=False)


def test_a_sound_sweep_has_no_warning(sweep_dir: Path) -> None:
    assert told(sweep_dir) == []


def test_ratios_that_are_all_one_are_told(sweep_dir: Path) -> None:
    for seed in range(3):
        for ratio in ("050", "100"):
            copied(sweep_dir, f"t000s{seed}", f"t{ratio}s{seed}")
    [warning] = told(sweep_dir)
    assert warning.startswith("all ratios of a seed have the same ranks")


def test_one_ratio_that_is_as_the_first_is_no_fault(sweep_dir: Path) -> None:
    for seed in range(3):
        copied(sweep_dir, f"t000s{seed}", f"t050s{seed}")
    assert told(sweep_dir) == []


@pytest.mark.parametrize("ratio", ["000", "050", "100"])
def test_seeds_that_are_copies_are_told(sweep_dir: Path, ratio: str) -> None:
    copied(sweep_dir, f"t{ratio}s0", f"t{ratio}s2")
    [warning] = told(sweep_dir)
    assert warning.startswith(f"seeds 0 and 2 have the same ranks at r = {int(ratio) / 100:g}")


def test_a_table_that_is_not_what_its_run_measured_is_told(sweep_dir: Path) -> None:
    sweep = load([sweep_dir])
    mono = sweep.frame[sweep.frame["setting"] == "monolingual"]
    means = mono.groupby(["run_id", "query_lang"], observed=True)["RR@10"].mean()
    for run_id, mean in means.groupby("run_id", observed=True).mean().items():
        path = runs_of(sweep_dir) / str(run_id) / "metrics.json"
        edit(path, lambda found, mean=mean: found.update({"monolingual/RR@10": mean}))
    assert told(sweep_dir) == []
    path = runs_of(sweep_dir) / "t050s1" / "metrics.json"
    edit(path, lambda found: found.update({"monolingual/RR@10": 0.123}))
    [warning] = told(sweep_dir)
    assert warning.startswith("run t050s1 (r = 0.5, seed 1): metrics.json has")


def test_training_that_ends_below_its_start_is_told(make_sweep: Make, world: Any) -> None:
    sound = make_sweep(world(mono=lambda r: -0.1 * r), name="sound")
    floor = float(
        load([sound])
        .frame.query("kind == 'untrained' and setting == 'monolingual'")["RR@10"]
        .mean()
    )
    best = float(
        load([sound]).frame.query("kind == 'trained' and setting == 'monolingual'")["RR@10"].mean()
    )
    assert floor < best and told(sound) == []
    path = runs_of(sound) / "u000s0" / "per_query.parquet"
    pd.read_parquet(path).assign(**{"RR@10": 1.0}).to_parquet(path, index=False)
    [warning] = told(sound)
    assert warning.startswith("training ends below the untrained encoder at r = 0, 0.5 and 1 (")


@pytest.mark.parametrize(
    ("margin", "words"),
    [(0, "the margin is 0"), (1.0, "the margin of 1 is"), (0.4, "the margin of")],
)
def test_a_margin_that_nothing_passes_or_fails_is_told(
    make_sweep: Make, margin: float, words: str
) -> None:
    [warning] = told(make_sweep(margin=margin))
    assert warning.startswith(words)


def test_a_curve_that_begins_at_0_is_told(make_sweep: Make) -> None:
    """No answer of ratio 0 is among the first ten, so that there is no loss to measure."""
    sweep_dir = make_sweep()
    for path in runs_of(sweep_dir).glob("*t000*/per_query.parquet"):
        rows = pd.read_parquet(path)
        rows.assign(**{"RR@10": 0.0}).to_parquet(path, index=False)
    assert any("is 0.000: " in warning for warning in told(sweep_dir))


@pytest.mark.usefixtures("undrawn")
def test_one_question_has_no_interval_and_says_so(make_sweep: Make, world: Any) -> None:
    folder = make_sweep(world(questions=1))
    assert [text for text in told(folder) if text.startswith("1 question: no interval")]
    write_report([folder])
    for name in ("report.md", "report.html"):
        text = (folder / name).read_text()
        assert not re.search(r"[+-]?\bnan\b", text) and "there are none" not in text


@pytest.mark.usefixtures("undrawn")
def test_warnings_stand_at_the_top_of_report_page_and_console(sweep_dir: Path) -> None:
    plan = json.loads((sweep_dir / "points.json").read_text())
    plan["margin"] = 0
    (sweep_dir / "points.json").write_text(json.dumps(plan))
    report = write_report([sweep_dir])
    lines = (sweep_dir / "report.md").read_text().splitlines()
    place = next(k for k, line in enumerate(lines) if line.startswith("- **Warning**: the margin"))
    assert place < next(k for k, line in enumerate(lines) if line.startswith("## "))
    page = (sweep_dir / "report.html").read_text()
    assert page.index("Warning: the margin is 0") < page.index("</header>")
    assert "warning: the margin is 0" in report.console and report.exit_code == 0
