"""Slope, monotone fit, band and reversal against polyfit, pooling by hand, scipy and plain loops;
their error rates.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as some

from hybrid_sweep.report import simultaneous
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.contrasts import contrast, moments, with_typical_floor
from hybrid_sweep.report.curves import Curve, complete, curves
from hybrid_sweep.report.load import load
from hybrid_sweep.report.shape import (
    _monotone,
    _reversal,
    _whole,
    isotonic,
    monotone_band,
    shapes,
    slope_weights,
)

Make = Callable[..., Path]
RATIOS = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]
lists = some.lists(some.floats(-1, 1).map(lambda x: round(x, 2)), min_size=2, max_size=9).map(
    np.array
)


def pooled(values: np.ndarray) -> list[float]:
    """Pool adjacent violators, by hand: merge neighbouring blocks while the earlier one is
    larger.
    """
    blocks: list[list[float]] = []
    for value in values:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    return [float(np.mean(block)) for block in blocks for _ in block]


@given(lists)
@settings(max_examples=200, deadline=None)
def test_the_rising_fit_pools_adjacent_violators(values: np.ndarray) -> None:
    assert _monotone(values, falling=False) == pytest.approx(
        np.maximum(pooled(values), 0), abs=1e-12
    )
    assert _monotone(values, falling=True) == pytest.approx(
        -np.maximum(pooled(-values), 0), abs=1e-12
    )


@given(lists)
@settings(max_examples=200, deadline=None)
def test_the_monotone_fit_is_the_better_of_two_with_a_fixed_start(values: np.ndarray) -> None:
    """scipy's weighted fit, the start held by a weight of a billion, in both directions."""
    change = values - values[0]
    weights = np.ones(len(change))
    weights[0] = 1e9
    both = [
        scipy.optimize.isotonic_regression(change, weights=weights, increasing=up).x
        for up in (True, False)
    ]
    misfit = [((fit - change) ** 2).sum() for fit in both]
    found, falling = isotonic(change)
    assert ((found - change) ** 2).sum() == pytest.approx(min(misfit), abs=1e-6)
    if abs(misfit[0] - misfit[1]) > 1e-6:
        assert falling == (misfit[1] < misfit[0])
        assert found == pytest.approx(both[int(falling)], abs=1e-6)
    assert found[0] == 0


def test_a_plateau_is_not_pooled_with_the_start() -> None:
    """Left free, the start would move up to the plateau's mean, and each change on it would look
    like a loss.
    """
    found, falling = isotonic(np.array([0.0, 0.01, 0.008, 0.012, -0.1]))
    assert falling and found.tolist() == pytest.approx([0, 0, 0, 0, -0.1])


def test_slope_equals_polyfit(sweep_dir: Path) -> None:
    sweep = load([sweep_dir])
    ratios, _, index = complete(sweep)
    found = curves(sweep)
    rows = {
        (r["setting"], r["measure"], r["scope"]): r
        for r in shapes(sweep, found)
        if r["statistic"] == "slope"
    }
    assert len(rows) == len(found) == 4 + 4
    for curve in found:
        means = curve.y[index].mean(axis=(1, 2))
        row = rows[curve.setting, curve.measure, curve.scope]
        assert row["value"] == pytest.approx(np.polyfit(ratios, means, 1)[0], rel=1e-9)
        # The slope of each question at each seed, and the crossed interval of their mean.
        each = np.polyfit(ratios, curve.y[index].reshape(len(ratios), -1), 1)[0].reshape(3, -1)
        floor = st.typical_inflation([curve.y[i] - curve.y[index[0]] for i in index[1:]])
        wanted = st.crossed_estimate(each, curve.df_questions, floor)
        assert (row["low"], row["high"]) == pytest.approx(st.bounds(wanted, 0.95), rel=1e-9)
        assert row["p"] == pytest.approx(st.p_value(wanted), rel=1e-7)
    p_holm = st.holm([row["p"] for row in rows.values()])
    assert [row["p_holm"] for row in rows.values()] == p_holm
    assert [row["word"] for row in rows.values()] == [
        ("rises" if row["value"] > 0 else "falls") if p < 0.05 else "not shown"
        for row, p in zip(rows.values(), p_holm, strict=True)
    ]


def fake(y: np.ndarray) -> Curve:
    """A curve whose runs are those of y (R, S, G) in order."""
    ids = np.array([f"g{i:04d}" for i in range(y.shape[2])])
    rows = y.reshape(-1, y.shape[2])
    return Curve("monolingual", "RR@10", "macro", rows, y.shape[2] - 1.0, ids, ids)


def noisy(
    truth: Any, n_seeds: int, n_questions: int, sds: tuple[float, float], seed: int
) -> np.ndarray:
    """y (R, S, G) about a truth, with ratio x seed, ratio x question and rest (1)."""
    rng = np.random.default_rng([seed, n_seeds, n_questions])
    truth = np.asarray(truth, dtype=float)[:, None, None]
    n = len(truth)
    y = sds[0] * rng.standard_normal((n, n_seeds, 1)) + sds[1] * rng.standard_normal(
        (n, 1, n_questions)
    )
    return truth + y + rng.standard_normal((n, n_seeds, n_questions))


def bands(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
    points = with_typical_floor(moments(y, y.shape[2] - 1.0))
    rows = _whole(RATIOS[: len(y)], points, fake(y))
    rows = [row for row in rows if row["statistic"] == "isotonic"]
    return *(np.array([row[name] for row in rows]) for name in ("value", "low", "high")), rows


def test_the_band_holds_the_fit_and_is_monotone_where_the_direction_is_shown() -> None:
    for seed in range(20):
        y = noisy([0, -0.02, 0, -0.1, -0.3, -0.6, -1.5], 4, 60, (0.05, 0.2), seed)
        value, low, high, rows = bands(y)
        assert (low <= value + 1e-12).all() and (value <= high + 1e-12).all()
        assert (low[0], value[0], high[0]) == (0, 0, 0)
        assert (np.diff(low) <= 1e-12).all() and (np.diff(high) <= 1e-12).all() and high.max() == 0
        assert {row["word"] for row in rows} == {"falling"} and {
            row["interval"] for row in rows
        } == {"simultaneous"}


def test_the_band_leaves_the_direction_open_where_it_is_not_shown() -> None:
    both = 0
    for seed in range(40):
        _, low, high, _ = bands(noisy([0.0] * 5, 4, 60, (0.05, 0.2), seed))
        both += (low[1:] < 0).all() and (high[1:] > 0).all()
    assert both >= 37  # a direction is shown by chance one time in twenty at most


def test_the_ends_of_the_monotone_band_are_pooled() -> None:
    low = np.array([0.0, -0.15, -0.1, -0.5])
    high = np.array([0.0, -0.02, 0.05, -0.3])
    for ends, wanted in zip(monotone_band(low, high, True), (low, high), strict=True):
        assert ends.tolist() == pytest.approx([min(-v, 0.0) for v in pooled(-wanted)], abs=1e-12)


def test_equal_points_have_a_flat_fit_and_no_band() -> None:
    y = np.repeat(noisy([0.0], 3, 30, (0.1, 0.1), 0), 3, axis=0)
    value, low, high, rows = bands(y)
    assert not value.any() and not low.any() and not high.any()
    assert {row["word"] for row in rows} == {"flat"}


def turn(truth: Any, seed: int = 0, n_seeds: int = 5) -> dict[str, Any]:
    y = noisy(truth, n_seeds, 80, (0.02, 0.1), seed)
    found = moments(y, 79.0)
    return _reversal(RATIOS[: len(y)], found, isotonic(found.mean - found.mean[0])[1])


def test_a_curve_that_falls_and_comes_back_is_not_monotone() -> None:
    row = turn([0, -0.1, -0.5, -2.0, -1.5, -1.0, -0.6])
    assert (row["word"], row["against"], row["ratio"]) == ("not monotone", "r = 0.5", 1.0)
    assert row["value"] == pytest.approx(1.4, abs=0.2) and row["low"] > 0.5 and row["p_holm"] < 0.05


@pytest.mark.parametrize(
    "truth", [[0, -0.2, -0.5, -1, -2, -2, -2], [0, 0, 0, 0, 0, 0, 3], [0, 0, 0, 0, 0, 0, 0]]
)
def test_a_monotone_curve_is_not_called_otherwise(truth: list[float]) -> None:
    wrong = sum(turn(truth, seed)["word"] == "not monotone" for seed in range(40))
    assert wrong <= 4  # one in twenty on average at most


def test_one_significant_move_is_no_reversal_whatever_was_fitted() -> None:
    """A rise alone is a rise: that the other direction was fitted would not make it a turn."""
    y = noisy([0, 2, 2, 2], 5, 80, (0.02, 0.1), 0)
    assert _reversal(RATIOS[:4], moments(y, 79.0), True)["word"] == "no reversal shown"


def test_reversal_equals_plain_loops_over_the_pairs() -> None:
    y = noisy([0, 0.5, -0.6, 0.4, -0.5, -0.4], 4, 60, (0.05, 0.2), 2)
    pairs, p, moves = list(itertools.combinations(range(6), 2)), [], []
    for i, j in pairs:
        tested = st.crossed_estimate(y[j] - y[i])
        moves.append(tested)
        p.append(float(st.p_value(tested)))
    p_holm = st.holm(p)
    found = _reversal(RATIOS[:6], moments(y, 59.0), True)
    against = [k for k in range(len(pairs)) if moves[k].mean > 0 and p_holm[k] < 0.05]
    k = max(against, key=lambda k: moves[k].mean)
    assert found["word"] == "not monotone"
    assert (found["against"], found["ratio"]) == (
        f"r = {RATIOS[pairs[k][0]]:g}",
        RATIOS[pairs[k][1]],
    )
    assert (found["value"], found["p"], found["p_holm"]) == pytest.approx(
        (moves[k].mean, p[k], p_holm[k]), rel=1e-8
    )
    assert (found["low"], found["high"]) == pytest.approx(st.bounds(moves[k], 0.95), rel=1e-8)


def test_two_seeds_claim_nothing(make_sweep: Make, world: Any) -> None:
    sweep = load([make_sweep(world(mono=lambda r: -0.3 * r, noise=0.02), seeds=(0, 1))])
    found = curves(sweep)
    rows = shapes(sweep, found)
    assert {row["interval"] for row in rows if row["statistic"] != "reversal"} == {"conditional"}
    assert {row["word"] for row in rows if row["statistic"] == "slope"} == {"not shown"}
    assert {row["word"] for row in rows if row["statistic"] == "reversal"} == {"no reversal shown"}
    assert all(np.isnan(row["p"]) for row in rows if row["statistic"] == "slope")


REPETITIONS = 2000  # a standard error of half a point at 5 %


@pytest.mark.slow
@pytest.mark.usefixtures("interpolated")
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
@pytest.mark.parametrize(
    "truth",
    [[0] * 5, [0, -0.05, -0.15, -0.2, -0.4], [0, 0, 0, 0, -0.8]],
    ids=["flat", "line", "knee"],
)
def test_the_band_holds_the_whole_of_a_monotone_curve(
    n_seeds: int, truth: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """600 repetitions for each pair of ratio x seed and ratio x question standard deviations
    (rest 1): at least 93 %.

    A bootstrap of the fit itself held the plateau of the third curve in a quarter of the
    repetitions.
    """
    monkeypatch.setattr(simultaneous, "DRAWS", 1000)
    monkeypatch.setattr(simultaneous, "CHUNK", 1000)
    # the error of one set of so few draws would be that of all repetitions
    for sds in [(0.0, 0.0), (0.15, 0.1), (0.0, 0.5), (0.4, 0.0)]:
        held = 0
        for repetition in range(600):
            monkeypatch.setattr(simultaneous, "SEED", repetition)
            _, low, high, _ = bands(noisy(truth, n_seeds, 40, sds, repetition))
            held += bool((low <= np.array(truth) + 1e-12).all() & (truth <= high + 1e-12).all())
        assert held / 600 >= 0.93, sds


@pytest.mark.slow
@pytest.mark.usefixtures("interpolated")
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_error_rates_of_slope_and_reversal(n_seeds: int) -> None:
    """2,000 repetitions: a flat curve is given a slope at 5 % at most 7 % of the time, and a
    monotone one, flat or with a step, is called not monotone at most 7 % of the time."""
    for sds in [(0.0, 0.0), (0.15, 0.1), (0.0, 0.5), (0.4, 0.0)]:
        sloped = turned = 0
        for repetition in range(REPETITIONS):
            y = noisy([0, 0, 0, 0, -0.8 * (repetition % 2)], n_seeds, 40, sds, repetition)
            found = moments(y, 39.0)
            turned += (
                _reversal(RATIOS[:5], found, isotonic(found.mean - found.mean[0])[1])["word"]
                == "not monotone"
            )
            if repetition % 2 == 0:
                sloped += (
                    float(st.p_value(contrast(found, slope_weights(np.array(RATIOS[:5]))))) < 0.05
                )
        assert sloped <= 0.07 * REPETITIONS / 2 and turned <= 0.07 * REPETITIONS, sds
