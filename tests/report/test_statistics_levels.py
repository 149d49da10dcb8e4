"""From levels at two ratios to the verdict, by simulation: seeds and questions shared by both, as
in a paired sweep.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks.calibration import half_widths
from hybrid_sweep.report import statistics as st

# The grid of levels: standard deviations of seed x ratio, question x ratio and (question x
# language) x ratio, with those of the seed (0.5) and the question (3) themselves and of the
# languages' shared question difficulty on top; the rest's is 1.
LEVELS = list(itertools.product((0, 0.05, 0.3), (0, 0.5, 2), (0, 1)))


def levels(
    n_seeds: int, counts: Sequence[int], sds: Sequence[float], repetitions: int = 2000
) -> tuple[np.ndarray, np.ndarray, float]:
    """Contributions (repetitions, seeds, questions) at ratio 0 and at another of the same truth,
    from rows of levels.

    Seed and question are alike at both ratios, as in a paired sweep; language l has the first
    counts[l] questions.
    """
    rng = np.random.default_rng([n_seeds, *counts, *(round(100 * sd) for sd in sds)])
    domain = np.repeat(np.arange(len(counts)), counts)
    group = np.concatenate([np.arange(count) for count in counts])
    seed_ratio, question_ratio, language_ratio = sds
    shared = 0.5 * rng.standard_normal((repetitions, n_seeds, 1))
    shared = shared + 3 * rng.standard_normal((repetitions, 1, max(counts)))[:, :, group]
    found, df = [], 0.0
    for _ in range(2):
        x = shared + rng.standard_normal((repetitions, n_seeds, len(domain)))
        x += seed_ratio * rng.standard_normal((repetitions, n_seeds, 1))
        x += question_ratio * rng.standard_normal((repetitions, 1, max(counts)))[:, :, group]
        x += language_ratio * rng.standard_normal((repetitions, 1, len(domain)))
        y, df = st.contributions(x.reshape(-1, len(domain)), domain, group)
        found.append(y.reshape(repetitions, n_seeds, -1))
    return found[0], found[1], df


def at(estimated: st.Estimate, places: Any) -> st.Estimate:
    """The estimate of some of the repetitions."""
    assert estimated.parts is not None
    return dataclasses.replace(
        estimated,
        mean=estimated.mean[places],
        se=estimated.se[places],
        parts=tuple(part[places] for part in estimated.parts),
    )


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
@pytest.mark.parametrize("counts", [(40, 40, 40), (60, 40, 12)])
def test_error_rate_of_the_paired_difference_of_two_levels(
    n_seeds: int, counts: tuple[int, ...]
) -> None:
    """From levels to the verdict, 2,000 repetitions at each place of `LEVELS`: the difference of
    two ratios of the same truth is significant at 5 % in at most 7 %, its interval covers in at least 93 %, and it is called non-inferior at a true effect of
    exactly minus the margin, or degraded at no margin at all, in at most 7 %."""
    margin = 0.4
    for sds in LEVELS:
        base, other, df = levels(n_seeds, counts, sds)
        found = st.crossed_estimate(other - base, df)
        covers = abs(found.mean) <= half_widths(found, 0.95)
        # Interpolated, but for those that lie nearest to the border, where the interval and p of
        # the program itself are asked.
        nearest = np.argsort(abs(abs(found.mean) - half_widths(found, 0.95)))[:40]
        low, high = st.bounds(at(found, nearest), 0.95)
        covers[nearest] = (low <= 0) & (high >= 0)
        assert np.array_equal(st.p_value(at(found, nearest)) >= 0.05, covers[nearest]), sds
        assert covers.mean() >= 0.93, sds
        worst = st.crossed_estimate(other - base - margin, df)
        half = half_widths(worst, 0.90)
        low, high = worst.mean - half, worst.mean + half
        nearest = np.argsort(np.minimum(abs(low + margin), abs(high + margin)))[:40]
        low[nearest], high[nearest] = st.bounds(at(worst, nearest), 0.90)
        holds, is_degraded = low > -margin, high < -margin
        assert np.mean(holds) <= 0.07, sds
        assert np.mean(is_degraded) <= 0.07, sds
        # The rates are those of the verdict itself: it is asked where it is nearest to either of
        # its borders.
        for k in nearest:
            one = dataclasses.replace(at(worst, k), carrying=np.inf)
            verdict = st.verdict(one, margin, 1.0, float(st.p_of_loss(one, margin)))
            assert (st.holds(verdict), verdict == "degraded") == (holds[k], is_degraded[k]), sds


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_a_second_seed_set_at_the_same_ratio_is_not_degraded(n_seeds: int) -> None:
    """A/A with reciprocal ranks: two seed sets of one ratio share the questions and nothing else,
    2,000 repetitions.

    At the margin of .01 "degraded" is never said in more than one of a hundred, and a difference is
    significant in at most 7.
    """
    rng = np.random.default_rng(n_seeds)
    n_questions, wrong, significant = 400, 0, 0
    for _ in range(2000):
        easy = rng.normal(0, 2, (1, n_questions))
        sets = []
        for _ in range(2):
            logit = (
                easy
                + rng.normal(0, 0.05, (n_seeds, 1))
                + rng.normal(0, 0.5, (n_seeds, n_questions))
            )
            rank = np.rint(1 + 9 * np.exp(-logit))
            sets.append(np.where(rank <= 10, 1 / rank, 0.0))
        found = st.crossed_estimate(sets[1] - sets[0])
        p = float(st.p_value(found))
        p_loss = float(st.p_of_loss(found, 0.01))
        wrong += st.verdict(found, 0.01, p, p_loss) == "degraded"
        significant += p < 0.05
    assert wrong / 2000 <= 0.01 and significant / 2000 <= 0.07
