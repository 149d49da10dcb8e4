"""Contrasts and ratios of curves against the estimate of the combined matrix, and Fieller's
interval against a root finder.
"""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as some

from benchmarks.calibration import excludes_zero
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.contrasts import contrast, moments, ratio_interval


def curves(n: int, n_seeds: int, n_questions: int, seed: int = 0) -> np.ndarray:
    """n matrices that share some of their seeds' and questions' luck."""
    rng = np.random.default_rng([seed, n, n_seeds, n_questions])
    common = 0.3 * rng.standard_normal((1, n_seeds, 1)) + rng.standard_normal((1, 1, n_questions))
    own = 0.2 * rng.standard_normal((n, n_seeds, 1)) + 0.5 * rng.standard_normal(
        (n, 1, n_questions)
    )
    return (
        rng.standard_normal((n, 1, 1))
        + common
        + own
        + rng.standard_normal((n, n_seeds, n_questions))
    )


@given(some.integers(0, 999), some.integers(1, 5), some.integers(1, 6), some.integers(2, 20))
@settings(max_examples=80, deadline=None)
def test_a_contrast_has_the_estimate_of_the_weighted_sum(
    seed: int, n: int, n_seeds: int, n_questions: int
) -> None:
    y = curves(n, n_seeds, n_questions, seed)
    c = np.random.default_rng(seed).standard_normal(n)
    found, wanted = contrast(moments(y, 7.5), c), st.crossed_estimate(np.tensordot(c, y, 1), 7.5)
    for name in ("mean", "se", "df"):
        assert float(getattr(found, name)) == pytest.approx(
            float(getattr(wanted, name)), rel=1e-9
        ), name
    assert (found.interval, found.n_seeds, found.n_questions) == (
        wanted.interval,
        n_seeds,
        n_questions,
    )


def test_equal_points_differ_by_exactly_nothing() -> None:
    """Their moments come from other sums than their difference: rounding must not look like an
    effect.
    """
    y = curves(2, 4, 300)[[0, 0, 1]] * 0.1
    found = contrast(moments(y, 299.0), np.array([[-1.0, 1.0, 0.0], [1.0, 0.0, -1.0]]))
    assert (found.mean[0], found.se[0], st.p_value(found)[0]) == (0.0, 0.0, 1.0)
    assert found.se[1] > 0
    # Weights that do not cancel to the last bit, as those of a slope.
    slope = contrast(moments(y[[0, 0, 0]], 299.0), np.array([-0.3, 0.1, 0.2]))
    assert (slope.mean, slope.se, st.p_value(slope)) == (0.0, 0.0, 1.0)


def test_one_question_has_no_interval() -> None:
    found = contrast(
        moments(np.concatenate([curves(2, 3, 2)], axis=-1), 0.0), np.array([1.0, -1.0])
    )
    assert found.interval == "none" and np.isnan(found.se)


@pytest.mark.parametrize("n_seeds", [3, 4, 8])
def test_the_ends_of_a_ratio_are_where_the_crossed_test_begins_to_reject(n_seeds: int) -> None:
    """A root finder on `statistics.estimate` of the combined matrix, which knows nothing of
    moments.
    """
    loss, gain = curves(2, n_seeds, 40, 3)
    loss, gain = 0.3 + 0.2 * loss, 3.0 + 0.3 * gain

    def excess(q: float) -> float:
        tested = st.crossed_estimate(loss - q * gain)
        return abs(float(tested.mean)) - float(st.half_width(tested, 0.95))

    low, high = ratio_interval(moments(np.stack([loss, gain]), 39.0))
    centre = loss.mean() / gain.mean()
    assert low < centre < high and excess(centre) < 0
    assert low == pytest.approx(scipy.optimize.brentq(excess, centre - 5, centre), abs=1e-9)
    assert high == pytest.approx(scipy.optimize.brentq(excess, centre, centre + 5), abs=1e-9)


def test_dependence_of_loss_and_gain_counts() -> None:
    """A loss that is a fixed share of the gain is known exactly, although both are uncertain."""
    gain = 2.0 + 0.3 * curves(1, 4, 50)[0]
    low, high = ratio_interval(moments(np.stack([0.25 * gain, gain]), 49.0))
    assert (low, high) == pytest.approx((0.25, 0.25), abs=1e-9)
    shuffled = gain[:, np.random.default_rng(0).permutation(50)] * 0.25
    low, high = ratio_interval(moments(np.stack([shuffled, gain]), 49.0))
    assert high - low > 0.005


def test_a_gain_that_may_be_nothing_has_no_bound() -> None:
    loss, gain = curves(2, 4, 50, 1)
    gain = gain - gain.mean() + 0.01
    low, high = ratio_interval(moments(np.stack([loss, gain]), 49.0))
    assert np.isinf(low) or np.isinf(high)


def test_many_ratios_at_once_are_those_of_each() -> None:
    pairs = [np.stack([curves(1, 3, 30, k)[0], 5 + curves(1, 3, 30, 9 + k)[0]]) for k in range(4)]
    low, high = ratio_interval(moments(np.stack(pairs), 29.0))
    for k, pair in enumerate(pairs):
        alone = ratio_interval(moments(pair, 29.0))
        assert (float(low[k]), float(high[k])) == pytest.approx(
            (float(alone[0]), float(alone[1])), rel=1e-9
        )


def rejected(estimated: st.Estimate) -> np.ndarray:
    """Give 0 in the place of a p below 5 % and 1 of any other, from interpolated intervals: an end
    is searched with some 500 tests.
    """
    return np.where(excludes_zero(estimated, 0.95), 0.0, 1.0)


def test_the_interpolated_interval_of_a_price_is_that_of_the_integral(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise, means = np.random.default_rng(0).standard_normal((10, 2, 4, 50)), np.array([1.0, 2.0])
    found = moments(noise + means[:, None, None], 49.0)
    whole = ratio_interval(found)
    monkeypatch.setattr(st, "p_value", rejected)
    assert np.array(ratio_interval(found)) == pytest.approx(np.array(whole), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
@pytest.mark.parametrize("correlation", [-0.8, 0.0, 0.8])
def test_coverage_of_a_price(
    n_seeds: int, correlation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,000 repetitions at a price of 0.2, where the gain is at least six standard errors: at least
    93 % of the intervals hold it, over seed and question standard deviations 0 to 0.5 (rest 1),
    with loss and gain correlated in every part."""
    n_questions, repetitions = 50, 2000
    for seed_sd, question_sd in [(0, 0), (0.05, 0), (0.5, 0), (0, 0.5), (0.15, 0.3)]:
        rng = np.random.default_rng(
            [n_seeds, round(10 * correlation + 10), round(100 * seed_sd), round(10 * question_sd)]
        )

        def pair(*shape: int) -> np.ndarray:
            a, b = rng.standard_normal((2, repetitions, *shape))  # noqa: B023
            return np.stack([a, correlation * a + np.sqrt(1 - correlation**2) * b], axis=1)

        y = (
            seed_sd * pair(n_seeds, 1)
            + question_sd * pair(1, n_questions)
            + pair(n_seeds, n_questions)
        )
        se = np.sqrt(
            seed_sd**2 / n_seeds + question_sd**2 / n_questions + 1 / (n_seeds * n_questions)
        )
        gain = 6 * se * max(1, 2.5 * (n_seeds == 3))  # three seeds need a larger one to show
        y[:, 1] += gain
        y[:, 0] += 0.2 * gain
        found = moments(y, n_questions - 1.0)
        p = st.p_value(contrast(found, np.array([0.0, 1.0])))
        shown, clear = p < 0.05, p < 0.045  # an end runs off to infinity as p nears 5 %
        with monkeypatch.context() as patch:
            patch.setattr(st, "p_value", rejected)
            low, high = ratio_interval(found)
        where = (n_seeds, correlation, seed_sd, question_sd)
        assert shown.mean() > 0.9, where
        assert np.mean((low <= 0.2) & (high >= 0.2)) >= 0.93, where
        assert np.mean(((low <= 0.2) & (high >= 0.2))[shown]) >= 0.93, where
        assert np.isfinite(low[clear]).all() and np.isfinite(high[clear]).all(), where
