"""The shape: changes and intervals of the results, the isotonic fit, its band and the slope of the
derived statistics.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.report.figures import shape as fs
from hybrid_sweep.report.figures.verdict_marks import VERDICTS
from hybrid_sweep.report.load import load
from hybrid_sweep.report.results import MACRO, aggregate, pick
from tests.report.figures.figure_words import legible, words

MONO = ("monolingual", "RR@10")
ABOUT = {"setting": "monolingual", "measure": "RR@10", "scope": MACRO}
FIT = [(0.0, 0.0, 0.0, 0.0), (0.5, -0.004, -0.01, -0.001), (1.0, -0.02, -0.03, -0.012)]


def rows(interval: str = "simultaneous") -> pd.DataFrame:
    """Derived statistics by hand; those of another curve must not be drawn."""
    fit = [
        {
            "statistic": "isotonic",
            "ratio": ratio,
            "value": value,
            "low": low,
            "high": high,
            "word": "falling",
        }
        | {"interval": interval}
        for ratio, value, low, high in FIT
    ]
    band = [row | {"statistic": "band", "word": ""} for row in fit]
    slope = {
        "statistic": "slope",
        "ratio": np.nan,
        "value": -0.017,
        "low": -0.03,
        "high": -0.004,
        "p": 0.012,
    }
    mine = [ABOUT | row for row in [*fit, *band, slope | {"word": "falls", "interval": "crossed"}]]
    return pd.DataFrame(mine + [row | {"scope": "de", "value": 0.5} for row in mine])


def drawn(sweep_dir: Path, derived: pd.DataFrame) -> tuple[Any, pd.DataFrame, Any]:
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    return sweep, results, fs.draw(sweep, results, derived, "toy · 0123abcd")


def said(figure: Any) -> str:
    return " ".join(text for text, *_ in words(figure)).replace("\u00a0", " ")


def test_points_are_the_changes_with_their_intervals_and_verdicts(sweep_dir: Path) -> None:
    sweep, results, figure = drawn(sweep_dir, rows())
    [axes] = figure.axes
    found = pick(results, *MONO)
    points = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert [float(line.get_ydata()[0]) for line in points] == pytest.approx(
        [0.0, *found["delta"][1:]]
    )
    assert [line.get_marker() for line in points] == [
        VERDICTS[verdict][0] for verdict in found["verdict"]
    ]
    bars = [line for line in axes.lines if line.get_marker() == "_"]
    ends = [[float(end) for end in line.get_ydata()] for line in bars]
    wanted = [[0.0, 0.0], *zip(found["delta_low_90"][1:], found["delta_high_90"][1:], strict=True)]
    assert np.array(ends) == pytest.approx(np.array(wanted))
    level = [line for line in axes.lines if line.get_linestyle() == "--" and line.get_gid() is None]
    assert [line.get_ydata()[0] for line in level] == [-sweep.margin]


def test_the_fit_and_its_band_are_the_derived_rows(sweep_dir: Path) -> None:
    _, _, figure = drawn(sweep_dir, rows())
    [axes] = figure.axes
    [fit] = [line for line in axes.lines if line.get_gid() == "isotonic"]
    assert list(zip(fit.get_xdata(), fit.get_ydata(), strict=True)) == [
        (r, value) for r, value, *_ in FIT
    ]
    [band] = axes.collections
    edges = {(float(x), float(y)) for x, y in band.get_paths()[0].vertices}
    assert {(r, low) for r, _, low, _ in FIT} | {(r, high) for r, *_, high in FIT} <= edges
    assert "isotonic fit (falling)" in said(figure) and "its 95 % band" in said(figure)
    edges = [line for line in axes.lines if str(line.get_gid()).startswith("band")]
    assert [list(line.get_ydata()) for line in edges] == [
        [low for *_, low, _ in FIT],
        [high for *_, high in FIT],
    ]


def test_the_line_has_the_slope_and_goes_through_the_middle(sweep_dir: Path) -> None:
    _, results, figure = drawn(sweep_dir, rows())
    [line] = [line for line in figure.axes[0].lines if line.get_gid() == "line"]
    start, end = line.get_ydata()
    assert end - start == pytest.approx(-0.017)
    assert (start + end) / 2 == pytest.approx(np.mean([0.0, *pick(results, *MONO)["delta"][1:]]))
    assert "Slope per unit of r: -0.017, 95 % [-0.030, -0.004], p = 0.012." in said(figure)


def test_it_is_the_least_squares_line_of_its_points() -> None:
    drawn = pd.DataFrame({"ratio": [0.0, 0.1, 0.5, 1.0], "delta": [0.0, 0.01, -0.02, -0.01]})
    slope, start = np.polyfit(drawn["ratio"], drawn["delta"], 1)
    ends, values = fs.line(drawn, float(slope))
    assert ends == [0.0, 1.0] and values == pytest.approx([start, start + slope])


def test_it_ends_where_the_points_do() -> None:
    drawn = pd.DataFrame({"ratio": [0.0, 0.25, 0.75, 1.0], "delta": [0.0, 0.01, 0.03, np.nan]})
    ends, values = fs.line(drawn, 0.04)
    assert ends == [0.0, 0.75] and values == pytest.approx([0.0, 0.03])


def test_without_derived_rows_the_points_stand_alone(sweep_dir: Path) -> None:
    _, _, figure = drawn(sweep_dir, rows().iloc[:0])
    assert (
        not figure.axes[0].collections
        and "No fit" in said(figure)
        and "isotonic" not in said(figure)
    )
    assert legible(figure) == []


def test_a_missing_ratio_is_a_gap(sweep_dir: Path) -> None:
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t050s{seed}")
    _, _, figure = drawn(sweep_dir, rows())
    [axes] = figure.axes
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "x"] == [0.5]
    assert "no finished point" in said(figure)
    spots = {
        float(line.get_xdata()[0])
        for line in axes.lines
        if line.get_marker() in ("s", "o", "D", "v", "^")
    }
    assert spots == {0.0, 1.0}


def test_without_ratio_0_nothing_is_called_missing(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    _, _, figure = drawn(make_sweep(world(questions=15), ratios=(0.5, 1.0)), rows().iloc[:0])
    assert not [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert "no finished point" not in said(figure)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_few_seeds_have_intervals_over_questions_and_no_line(
    make_sweep: Callable[..., Path], world: Any, seeds: tuple[int, ...]
) -> None:
    derived = rows("conditional").assign(interval="conditional")
    _, _, figure = drawn(make_sweep(world(questions=15), seeds=seeds), derived)
    assert "Intervals over questions only" in said(figure)
    assert "No fit" in said(figure)
    assert "Slope" not in said(figure)
    [axes] = figure.axes
    assert not axes.collections
    assert not [line for line in axes.lines if line.get_gid() in ("isotonic", "line")]
    assert not any(len(line.get_xdata()) for line in axes.lines if "band" in str(line.get_gid()))


def test_it_is_one_column_wide_and_legible(make_sweep: Callable[..., Path], world: Any) -> None:
    _, _, figure = drawn(make_sweep(world(), ratios=[i / 10 for i in range(11)], bm25=True), rows())
    assert figure.get_figwidth() == 3.4 and legible(figure) == []
