"""The band over all ratios at once and the knee: against plain loops, and their error rates."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.stats

from hybrid_sweep.report import simultaneous
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.contrasts import Moments, contrast, moments, with_typical_floor

RATIOS = np.array([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
EYE = np.eye(len(RATIOS))
CHANGES = EYE - EYE[0]


def drawn(
    rng: np.random.Generator,
    truth: np.ndarray,
    counts: tuple[int, int],
    sds: tuple[float, float],
    shared: tuple[float, float] = (0.5, 0.5),
) -> Moments:
    """The moments of a sweep about a truth; sds of ratio x seed and ratio x question, the rest's is
    1; shared: the correlation between ratios of the seeds' effects and of the rest.
    """

    def effects(correlation: float, *shape: int) -> np.ndarray:
        common, own = rng.standard_normal(shape), rng.standard_normal((len(truth), *shape))
        return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own

    seeds, questions = counts
    y = truth[:, None, None] + sds[0] * effects(shared[0], seeds, 1)
    y = y + sds[1] * effects(0.5, 1, questions) + effects(shared[1], seeds, questions)
    return with_typical_floor(moments(y, questions - 1.0))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A tenth of the draws of a report. Each number sets other ones: their error of 2 % averages
    out.
    """
    monkeypatch.setattr(simultaneous, "DRAWS", 1000)
    monkeypatch.setattr(simultaneous, "CHUNK", 1000)

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            monkeypatch.setattr(simultaneous, "SEED", number)
            yield number

    return numbers()


def test_the_band_is_the_intervals_stretched_by_one_factor() -> None:
    points = drawn(np.random.default_rng(0), np.zeros(7), (5, 100), (0.3, 0.2))
    low, high = simultaneous.band(points)
    alone = contrast(points, CHANGES[1:])
    half = st.half_width(alone, 0.95)
    factor = (high - low)[1:] / (2 * half)
    assert np.ptp(factor) < 1e-9 and (low[0], high[0]) == (0, 0)
    assert (low + high)[1:] / 2 == pytest.approx(alone.mean)
    # less than Bonferroni's; little, where the floor makes each interval wider than 95 % needs
    assert 1.02 < factor[0] < 0.8 * (st.half_width(alone, 1 - 0.05 / 6) / half).max()


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.99])
def test_with_many_seeds_it_is_the_maximum_of_normal_deviates(correlation: float) -> None:
    """200 seeds: the quantile of the largest of six normal deviates that correlate as differences
    to one control do, by brute force.
    """
    rng = np.random.default_rng(1)
    points = drawn(rng, np.zeros(7), (200, 200), (2.0, 0.0), (correlation, correlation))
    found = simultaneous.stretch(points, CHANGES[1:])
    shared = rng.standard_normal((100_000, 1))
    deviates = (rng.standard_normal((100_000, 6)) + shared) / np.sqrt(2)
    wanted = np.quantile(np.abs(deviates).max(axis=1), 0.95) / scipy.stats.norm.ppf(0.975)
    assert found == pytest.approx(wanted, rel=0.03)


def test_equal_ratios_are_one() -> None:
    y = np.random.default_rng(2).standard_normal((2, 4, 50))
    points = moments(np.concatenate([y, y[1:], y[1:], y[1:]]), 49.0)
    assert simultaneous.stretch(points, np.eye(5)[1:] - np.eye(5)[0]) == pytest.approx(1, abs=0.02)
    same = moments(np.concatenate([y[:1]] * 3), 49.0)
    assert simultaneous.stretch(same, np.eye(3)[1:] - np.eye(3)[0]) == 1.0
    low, high = simultaneous.band(same)
    assert not low.any() and not high.any()


def test_two_seeds_have_the_band_over_questions_alone() -> None:
    points = drawn(np.random.default_rng(3), np.zeros(7), (2, 60), (0.1, 0.5))
    low, high = simultaneous.band(points)
    half = st.half_width(contrast(points, CHANGES[1:]), 0.95)
    assert (1.05 < (high - low)[1:] / 2 / half).all() and ((high - low)[1:] / 2 / half < 1.5).all()


@pytest.mark.slow
@pytest.mark.usefixtures("interpolated")
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_the_band_holds_every_ratio_at_once(n_seeds: int, quick: Iterator[int]) -> None:
    """At least 92 % of 400 sweeps for each pair of variance components, 95 % less what chance may
    do to one of 30 places, also where seeds' effects correlate less over the ratios than the rests
    do, from which their correlation is taken.
    """
    rng = np.random.default_rng(n_seeds)
    for sds in [(0.0, 0.0), (0.15, 0.1), (0.0, 0.5), (0.4, 0.0), (1.0, 0.2)]:
        for shared in [(0.0, 0.9), (0.9, 0.0)]:
            held = 0
            for _ in itertools.islice(quick, 400):
                low, high = simultaneous.band(drawn(rng, np.zeros(7), (n_seeds, 40), sds, shared))
                held += bool((low <= 1e-12).all() and (high >= -1e-12).all())
            assert held / 400 >= 0.92, (sds, shared)


def ends(change: np.ndarray, half: float) -> tuple[np.ndarray, np.ndarray]:
    width = np.where(RATIOS > 0, half, 0.0)
    return change - width, change + width


def knee(change: np.ndarray, half: float, flat_first: bool = True) -> list[float]:
    return simultaneous.knee(RATIOS, change, ends(change, half), flat_first)


def test_a_knee_is_found_where_it_is() -> None:
    late = -np.maximum(RATIOS - 0.6, 0)
    best, low, high = knee(late, 0.02)
    assert best == pytest.approx(0.6, abs=0.006) and low < 0.6 < high and high - low < 0.2
    early = np.minimum(RATIOS, 0.3)
    best, low, high = knee(early, 0.02, flat_first=False)
    assert best == pytest.approx(0.3, abs=0.006) and low < 0.3 < high and high - low < 0.25


@pytest.mark.parametrize("flat_first", [True, False])
def test_no_knee_where_the_band_allows_a_line_or_no_change(flat_first: bool) -> None:
    assert knee(-RATIOS, 0.001, flat_first) == []
    assert knee(-RATIOS, 0.0, flat_first) == []
    assert knee(np.zeros(7), 0.1, flat_first) == []
    assert knee(-np.maximum(RATIOS - 0.6, 0), 0.5, flat_first) == []
    there_and_back = np.array([0, 0, 1, 2, 0, 0, 0.0])
    assert knee(there_and_back, 0.1, flat_first) == []


def test_the_interval_of_the_knee_is_that_of_a_search_over_heights() -> None:
    """Each knee that some height of the curve fits between the ends, by brute force."""
    change = -np.maximum(RATIOS - 0.55, 0) + np.array([0, 0.01, -0.01, 0.01, 0, 0.01, -0.01])
    low, high = ends(change, 0.04)
    heights = np.linspace(-2, 2, 4001)[:, None]
    allowed = []
    for place in np.linspace(0, 1, simultaneous.KNEES)[1:-1]:
        curve = heights * simultaneous.basis_of(RATIOS, place, True)
        if ((low - 1e-9 <= curve) & (curve <= high + 1e-9)).all(axis=1).any():
            allowed.append(place)
    found = simultaneous.knee(RATIOS, change, (low, high), True)
    assert found[1] <= found[0] <= found[2]
    assert found[1:] == pytest.approx([min(allowed), max(allowed)], abs=0.006)


@pytest.mark.slow
@pytest.mark.usefixtures("interpolated")
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_error_rates_of_the_knee(n_seeds: int, quick: Iterator[int]) -> None:
    """A straight line is given a knee in at most 7 % of 400 sweeps, and the interval of a knee that
    is named holds the true one in at least 93 % of those.
    """
    rng: Any = np.random.default_rng(n_seeds)
    wrong = named = missed = 0
    for _ in itertools.islice(quick, 400):
        line = drawn(rng, -0.8 * RATIOS, (n_seeds, 60), (0.1, 0.1))
        change = line.mean - line.mean[0]
        wrong += bool(simultaneous.knee(RATIOS, change, simultaneous.band(line), True))
        bent = drawn(rng, -4 * np.maximum(RATIOS - 0.5, 0), (n_seeds, 60), (0.1, 0.1))
        change = bent.mean - bent.mean[0]
        places = simultaneous.knee(RATIOS, change, simultaneous.band(bent), True)
        if places:
            named += 1
            missed += not places[1] - 0.005 <= 0.5 <= places[2] + 0.005
    assert wrong <= 28 and named >= 300 and missed <= 0.07 * named, (wrong, named, missed)
