"""The power of a planned sweep: variances from mean squares, and the chance of a verdict against
sweeps that are drawn question by question and tested as a report tests them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybrid_sweep.report import power
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.load import load
from hybrid_sweep.report.power import Variances
from tests.report import published_variances
from tests.report.conftest import World

LIKE = [Variances(0.5, 2e-5, 0.01, 0.03, 0.2), Variances(1.0, 6e-5, 0.02, 0.04, 0.2)]


def drawn(shape: tuple[int, int], rng: np.random.Generator) -> list[np.ndarray]:
    """Changes (seeds, questions) of `LIKE` without a loss; seeds' effects correlate at .8."""
    n_seeds, n_questions = shape
    common = rng.standard_normal((n_seeds, 1))
    question = rng.standard_normal(n_questions)
    changes = []
    for one in LIKE:
        own = rng.standard_normal((n_seeds, 1))
        # `CORRELATION` holds for the whole effect of a seed, that of its cells included
        cells = rng.standard_normal(shape) * one.rest**0.5
        seed = (0.8**0.5 * common + 0.2**0.5 * own) * one.seed**0.5
        changes.append(seed + one.question**0.5 * question + cells)
    return changes


@pytest.mark.parametrize(("shape", "margin"), [((3, 500), 0.03), ((5, 500), 0.02)])
def test_the_power_is_that_of_sweeps_drawn_question_by_question(
    shape: tuple[int, int], margin: float
) -> None:
    rng = np.random.default_rng(8)
    holds, widths = [], []
    for _ in range(700):
        changes = drawn(shape, rng)
        floor = st.typical_inflation(changes)
        effects = [st.crossed_estimate(y, None, floor) for y in changes]
        lows = [st.bounds(effect, 0.9)[0] for effect in effects]
        holds.append([low > -margin for low in lows])
        widths.append([effect.mean - low for effect, low in zip(effects, lows, strict=True)])
    rows = power.expected(LIKE, shape[0], shape[1], margin)
    for place, row in enumerate(rows):
        assert row.power == pytest.approx(np.mean(holds, axis=0)[place], abs=0.07)
        assert row.half_width == pytest.approx(np.mean(widths, axis=0)[place], rel=0.05)
        assert 0.1 < row.power < 0.99 and not row.too_few


def test_variances_are_those_that_were_drawn() -> None:
    rng = np.random.default_rng(4)
    found = [power._variances(0.5, drawn((6, 4000), rng)[0]) for _ in range(150)]
    for key, rel in (("seed", 0.2), ("question", 0.1), ("rest", 0.02)):
        mean = np.mean([getattr(one, key) for one in found])
        assert mean == pytest.approx(getattr(LIKE[0], key), rel=rel)


def test_variances_of_a_sweep_equal_their_formulas(make_sweep: Callable[..., Path]) -> None:
    """By pandas alone: mean squares of the table of seeds by questions."""
    sweep = load([make_sweep(World(questions=60))])
    frame = sweep.frame[
        (sweep.frame["setting"] == "monolingual") & (sweep.frame["kind"] == "trained")
    ]
    cells = frame.groupby(["ratio", "seed", "group_id"], observed=True)["RR@10"].mean().unstack()
    found = power.variances_of(sweep)
    assert [one.ratio for one in found] == [0.5, 1.0]
    for one in found:
        y = cells.loc[one.ratio] - cells.loc[0.0]
        s, g = y.shape
        rest = y.sub(y.mean(axis=1), axis=0).sub(y.mean(axis=0), axis=1) + y.to_numpy().mean()
        e = (rest**2).to_numpy().sum() / ((s - 1) * (g - 1))
        a, b = g * y.mean(axis=1).var(ddof=1), s * y.mean(axis=0).var(ddof=1)
        assert one.rest == pytest.approx(e)
        assert one.seed == pytest.approx(max(a - e, 0) / g, abs=1e-12)
        assert one.question == pytest.approx(max(b - e, 0) / s, abs=1e-12)


def test_more_seeds_more_power_and_few_questions_none() -> None:
    powers = [power.expected(LIKE, count, 500, 0.02)[1].power for count in (3, 5, 8, 12, 20)]
    assert powers == sorted(powers) and powers[0] < 0.5 < powers[-1]
    needed = power.seeds_for(LIKE, 500, 0.02)
    for place, count in enumerate(needed):
        at = [power.expected(LIKE, int(count) - k, 500, 0.02)[place].power for k in (0, 1)]
        assert at[0] >= 0.8 > at[1]
    assert all(row.too_few and row.power == 0 for row in power.expected(LIKE, 9, 40, 0.02))
    assert power.seeds_for(LIKE, 40, 0.02) == [float("inf")] * 2


def test_ratios_that_were_not_published_take_the_nearest() -> None:
    rows = power.nearest(LIKE, [0.0, 0.1, 0.7, 0.8])
    assert [(row.ratio, row.rest) for row in rows] == [(0.1, 0.03), (0.7, 0.03), (0.8, 0.04)]


def test_every_published_sweep_is_kept() -> None:
    kept = power.published()
    names = {one["name"].partition(" on ")[0] for one in kept}
    assert names == {folder.name for folder in published_variances.folders()}
    assert all(power.variances_from(one) for one in kept)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shape", "added"])
def test_published_variances_are_those_of_the_published_rows(name: str) -> None:
    folder = published_variances.EXPERIMENTS / name
    kept = [one for one in power.published() if one["name"].partition(" on ")[0] == name]
    assert kept == published_variances.of(folder)
