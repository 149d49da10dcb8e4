"""Differences of changes on other scales, against a brute force."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.report.comparison.report import read, write_comparison
from hybrid_sweep.report.comparison.scales import on_scales, sentences
from hybrid_sweep.report.comparison.table import Comparison, compare
from tests.report.comparison.pairs_of_sweeps import configured
from tests.report.folders import runs_of
from tests.report.test_other_measures import interval

TRANSFORMS: dict[str, Callable[[float], tuple[float, float]]] = {
    "RR@10": lambda mean: (mean, 1.0),
    "log(RR@10)": lambda mean: (math.log(mean), 1 / mean),
    "log(1 - RR@10)": lambda mean: (math.log(1 - mean), -1 / (1 - mean)),
    "logit(RR@10)": lambda mean: (math.log(mean / (1 - mean)), 1 / (mean * (1 - mean))),
}


@pytest.fixture
def pair(make: Callable[..., Path]) -> tuple[Path, Path]:
    return make("a"), configured(make("b", seed=1, noise=0.3), "name: tiny", "name: other")


def compared(folders: tuple[Path, Path]) -> Comparison:
    sweeps, warnings = read(folders)
    return compare(sweeps, warnings)


def scaled(sweep_dir: Path, name: str, ratio: float, measure: str) -> np.ndarray:
    """(S, G) contributions on a scale; all languages have all questions."""
    rows = []
    for seed in (0, 1, 2):
        run = runs_of(sweep_dir) / f"{name}t{round(ratio * 100):03d}s{seed}"
        table = pd.read_parquet(run / "per_query.parquet")
        table = table[table["setting"] == "monolingual"]
        rows.append(table.groupby("group_id")["RR@10"].mean().to_numpy())
    y = np.array(rows)
    value, slope = TRANSFORMS[measure](float(y.mean()))
    return value + slope * (y - y.mean())


def test_differences_of_changes_equal_a_brute_force(pair: tuple[Path, Path]) -> None:
    rows = on_scales(compared(pair))
    assert sorted(set(rows["measure"])) == sorted(TRANSFORMS)
    for measure in TRANSFORMS:
        mine = rows[(rows["measure"] == measure) & (rows["ratio"] == 1.0)].iloc[0]
        changes = []
        for folder, name in zip(pair, "ab", strict=True):
            top, base = (scaled(folder, name, ratio, measure) for ratio in (1.0, 0.0))
            changes.append(top - base)
        expected = interval(changes[1] - changes[0], 0.0)
        assert (mine["value"], mine["low"], mine["high"]) == pytest.approx(expected, rel=1e-6)


def test_on_its_own_scale_it_is_that_of_the_comparison(pair: tuple[Path, Path]) -> None:
    comparison = compared(pair)
    rows = on_scales(comparison)
    plain = rows[rows["measure"] == "RR@10"].reset_index(drop=True)
    table = comparison.table
    chosen = (table["statistic"] == "difference of changes") & (table["scope"] == "macro")
    chosen &= (table["setting"] == "monolingual") & (table["measure"] == "RR@10")
    pd.testing.assert_frame_equal(plain, table[chosen].reset_index(drop=True))


def test_they_are_written_and_told(pair: tuple[Path, Path], tmp_path: Path, undrawn: Any) -> None:
    comparison = compared(pair)
    made = write_comparison(comparison, tmp_path / "out")
    rows = pd.read_csv(tmp_path / "out" / "scales.csv")
    assert len(rows) == 8
    (line,) = sentences(on_scales(comparison))
    assert "r = 1" in line and all(f"{measure} " in line for measure in TRANSFORMS)
    assert "by scale" in made.console


def test_without_the_same_questions_there_is_nothing(make: Callable[..., Path]) -> None:
    first = make("a")
    other = configured(make("b", questions=20), "name: tiny", "name: other")
    rows = on_scales(compared((first, other)))
    assert rows.empty and sentences(rows) == []
