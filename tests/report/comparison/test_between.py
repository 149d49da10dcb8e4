"""Differences between sweeps against brute force, what pairs their seeds, and the error rates, by
simulation.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from benchmarks.calibration import PLACES, Two, difference, excludes_zero, half_widths
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.comparison.between import INDEPENDENT, apart, footing, independent
from hybrid_sweep.report.load import load
from tests.report.comparison.pairs_of_sweeps import (
    configured,
    edit,
    marked,
    renamed,
    rewrite,
    runs_of,
)


def cells(
    seeds: int, questions: int, key: int, seed_sd: float = 0.3, question_sd: float = 1.0
) -> np.ndarray:
    """y[s, g] with seed, question and rest; the questions' part is the same for every key."""
    rng, shared = np.random.default_rng([seeds, questions, key]), np.random.default_rng(questions)
    question = question_sd * shared.standard_normal(questions)
    return (
        question
        + seed_sd * rng.standard_normal((seeds, 1))
        + rng.standard_normal((seeds, questions))
    )


def brute_force(
    first: list[list[float]], other: list[list[float]]
) -> tuple[float, float, list[float]]:
    """Mean and standard error of independent seeds on shared questions, and the parts of the
    variance, term by term.
    """
    n_questions = len(first[0])
    pairs = list(
        zip(
            *[[sum(column) / len(y) for column in zip(*y, strict=True)] for y in (first, other)],
            strict=True,
        )
    )
    gaps = [a - b for a, b in pairs]
    mean = sum(gaps) / n_questions
    spread = sum((gap - mean) ** 2 for gap in gaps) / (n_questions - 1)
    parts, rest = [], 0.0
    for y in (first, other):
        n = len(y)
        grand = sum(map(sum, y)) / n / n_questions
        by_seed = [sum(row) / n_questions for row in y]
        by_question = [sum(column) / n for column in zip(*y, strict=True)]
        seeds = n_questions * sum((m - grand) ** 2 for m in by_seed) / (n - 1)
        left = sum(
            (y[s][g] - by_seed[s] - by_question[g] + grand) ** 2
            for s in range(n)
            for g in range(n_questions)
        ) / ((n - 1) * (n_questions - 1))
        parts.append(max(seeds, left) / n)
        rest += left / n
    parts.append(max(spread - rest, 0.0))
    return mean, math.sqrt(sum(parts) / n_questions), parts


@pytest.mark.parametrize("seeds", [(3, 3), (5, 5), (3, 7), (6, 10)])
@pytest.mark.parametrize("question_sd", [0.0, 1.0])
def test_independent_seeds_equal_a_brute_force(seeds: tuple[int, int], question_sd: float) -> None:
    first, other = (cells(n, 40, key, question_sd=question_sd) for key, n in enumerate(seeds))
    # a question that is harder in one sweep
    other += 0.3 * np.random.default_rng(9).standard_normal(40)
    found = independent(first, other)
    mean, se, parts = brute_force(first.tolist(), other.tolist())
    assert (found.mean, found.se) == (pytest.approx(mean), pytest.approx(se))
    assert found.parts == pytest.approx(tuple(parts))
    assert found.interval == INDEPENDENT and found.n_seeds == min(seeds)
    low, high = st.bounds(found, 0.95)
    assert (low + high) / 2 == pytest.approx(mean)
    assert st.p_value(dataclasses.replace(found, mean=high - mean)) == pytest.approx(0.05, rel=1e-9)


@pytest.mark.parametrize("dfs", [(2, 2), (2, 9), (4, 4)])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.6, 0.3), (0.05, 0.05), (0.9, 0.09)])
def test_the_distribution_is_that_of_drawn_sums(
    dfs: tuple[int, int], shares: tuple[float, float]
) -> None:
    """A million draws of the two Student's t and the questions' part: what is beyond the critical
    values of 5, 1 and .1 % is as much as that, but for four standard errors.
    """
    rng = np.random.default_rng([*dfs, round(100 * shares[0])])
    total = np.sqrt(1 - sum(shares)) * rng.standard_t(200, 1_000_000)
    for df, share in zip(dfs, shares, strict=True):
        total += np.sqrt(share) * rng.standard_t(df, 1_000_000)
    for level in (0.05, 0.01, 0.001):
        split = [np.array([share]) for share in shares]
        size = st.critical_value(1 - level, split, dfs, 200.0)
        beyond = np.mean(np.abs(total) > size)
        assert beyond == pytest.approx(level, abs=4 * np.sqrt(level / 1e6) + 0.01 * level)


@pytest.mark.parametrize("df", [2, 4, 9])
def test_a_second_sweep_without_noise_of_seeds_changes_nothing(df: int) -> None:
    share = np.array([0.1, 0.5, 0.99])
    one = st.critical_value(0.95, [share], (df,), 300.0)
    two = st.critical_value(0.95, [share, 0 * share], (df, 5), 300.0)
    assert two == pytest.approx(one, rel=1e-4)


def test_seeds_that_agree_by_chance_do_not_narrow_the_interval() -> None:
    """Equal means of all seeds of a sweep: its seeds' part is that of the rest, which is the least
    that it can be.
    """
    first, other = (y - y.mean(axis=1, keepdims=True) for y in (cells(3, 40, 1), cells(6, 40, 2)))
    found = independent(first, other)
    rests = [st.mean_squares(y)[3] / len(y) for y in (first, other)]
    assert found.parts is not None and found.parts[:2] == pytest.approx(rests)


def test_what_questions_have_in_common_is_no_noise() -> None:
    """The difficulty of a question cancels out; a sample of other questions would not help."""
    easy, hard = (cells(5, 200, key, question_sd=sd) for key, sd in [(1, 0.0), (1, 30.0)])
    same = [cells(5, 200, 2, question_sd=sd) for sd in (0.0, 30.0)]
    assert independent(easy, same[0]).se == pytest.approx(independent(hard, same[1]).se, rel=1e-6)


def test_too_few_seeds_leave_the_questions_alone() -> None:
    first, other = cells(2, 50, 1), cells(6, 50, 2)
    found = independent(first, other)
    gap = first.mean(axis=0) - other.mean(axis=0)
    assert found.interval == "conditional"
    assert found.se == pytest.approx(scipy.stats.sem(gap)) and found.mean == pytest.approx(
        gap.mean()
    )


def by_seed(y: np.ndarray, seeds: list[int]) -> dict[int, np.ndarray]:
    return dict(zip(seeds, y, strict=True))


def test_seeds_are_paired_only_where_their_numbers_mean_the_same() -> None:
    first, other = cells(4, 60, 1), cells(4, 60, 2)
    here, there = by_seed(first, [0, 1, 2, 3]), by_seed(other[[2, 0, 1, 3]], [2, 0, 1, 7])
    paired, seeds = apart(here, there, 59.0, True)
    wanted = st.crossed_estimate(first[:3] - other[:3], 59.0)
    assert seeds == ([0, 1, 2], [0, 1, 2]) and paired.interval == "crossed"
    assert (paired.mean, paired.se, paired.df) == (wanted.mean, wanted.se, wanted.df)
    free, seeds = apart(here, there, 59.0, False)
    assert free.interval == INDEPENDENT and seeds == ([0, 1, 2, 3], [0, 1, 2, 7])
    assert free.mean == pytest.approx(first.mean() - other.mean())
    few, seeds = apart(here, by_seed(other, [3, 4, 5, 6]), 59.0, True)  # one seed in common is none
    assert few.interval == INDEPENDENT and seeds[1] == [3, 4, 5, 6]
    # no interval over seeds either way: pairs
    two, seeds = apart(by_seed(first[:2], [0, 1]), there, 59.0, True)
    assert two.interval == "conditional" and seeds == ([0, 1], [0, 1])
    assert two.mean == pytest.approx((first[:2] - other[:2]).mean())


@pytest.fixture
def two(make_sweep: Callable[..., Path], world: Any) -> tuple[Path, Path]:
    small = world(questions=12)
    return make_sweep(small, name="a"), renamed(make_sweep(small, name="b"), "b")


def shared(first: Path, other: Path) -> tuple[str, ...]:
    found = footing(load([other]), load([first]))
    assert found.refusal == "" and found.whole
    return found.by_seed


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("max_steps: 200", "max_steps: 300", ("batches", "initial weights")),
        ("size: 64", "size: 32", ("initial weights",)),
        ("size: 64", "size: 64\n  budget: fixed_monolingual", ("batches", "initial weights")),
        ("name: tiny", "name: tiny\n  hidden_size: 256", ("batches",)),
        ("trainer:", "more:\n  x:\n    name: y\ntrainer:", ("initial weights",)),
    ],
)
def test_what_a_seed_draws_alike_in_two_sweeps(
    two: tuple[Path, Path], old: str, new: str, wanted: Any
) -> None:
    configured(two[1], old, new)
    assert shared(*two) == wanted


def test_a_pretrained_model_has_no_seed_of_its_own(two: tuple[Path, Path]) -> None:
    for sweep in two:
        configured(sweep, "name: tiny", "name: some/encoder")
    configured(two[1], "max_steps: 200", "max_steps: 300")
    assert shared(*two) == ("batches",)
    configured(two[1], "size: 64", "size: 32")
    assert shared(*two) == ()
    for sweep in two:
        # adapters start at random
        configured(sweep, "name: some/encoder", "name: some/encoder\n  lora_rank: 8")
    assert shared(*two) == ("initial weights",)
    marked(two[1], model="beef")
    assert shared(*two) == ()


def test_another_training_collection_has_other_batches(two: tuple[Path, Path]) -> None:
    marked(two[1], more={"other": {"collection": "dead"}})
    assert shared(*two) == ("initial weights",)


def test_sweeps_on_other_questions_are_not_tested(two: tuple[Path, Path]) -> None:
    first, other = two
    assert footing(load([other]), load([first])).languages == ("de", "en", "fr")
    for run in runs_of(other).iterdir():
        rewrite(
            run,
            lambda frame: frame[(frame["query_lang"] != "de") | (frame["query_id"] != "g00003.de")],
        )
    found = footing(load([other]), load([first]))
    assert (found.languages, found.whole, found.refusal) == (("en", "fr"), False, "")
    for run in runs_of(other).iterdir():
        rewrite(run, lambda frame: frame.assign(query_id="x" + frame["query_id"]))
    assert (
        footing(load([other]), load([first])).refusal
        == "no language has the same questions in both"
    )
    marked(other, collection="dead")
    assert footing(load([other]), load([first])).refusal == "another collection"
    for path in runs_of(other).glob("*/provenance.json"):
        edit(path, lambda found: found.pop("fingerprints"))
    assert footing(load([other]), load([first])).refusal == "the collection is not recorded"


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(3, 3), (5, 5), (10, 10), (3, 10), (5, 10)])
@pytest.mark.parametrize("n_questions", [30, 2000])
def test_error_rate_of_independent_seeds_in_closed_form(
    seeds: tuple[int, int], n_questions: int
) -> None:
    """20,000 repetitions of sufficient statistics for each pair of seed variances, for two rests
    and four questions' variances.

    P(p < a) of a true null is at most 1.3 a for a = 5, 1 and .1 %, but for three standard errors of
    the simulation; and so is what lies wholly beyond a margin that is the truth (one-sided, the 90 %
    interval): at most 5.6 %.
    """
    rng = np.random.default_rng([*seeds, n_questions])
    for one, two, questions, scale in itertools.product(*PLACES):
        truth = Two(seeds, n_questions, (one, two), questions, (1.0, scale))
        found = difference(truth, 20_000, rng)
        for level in (0.05, 0.01, 0.001):
            rate = np.mean(excludes_zero(found, 1 - level))
            assert rate <= 1.3 * level + 3 * math.sqrt(level / 20_000), (truth, level, rate)
        beyond = found.mean[excludes_zero(found, 0.90)]
        sides = [np.sum(beyond > 0), np.sum(beyond < 0)]
        assert max(sides) / 20_000 <= 0.056, truth


GRID = list(itertools.product((0, 0.3), (0, 1.0), (0, 0.5), (0, 1.0)))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(3, 3), (5, 5), (10, 10), (3, 5)])
def test_error_rate_of_independent_seeds_cell_by_cell(seeds: tuple[int, int]) -> None:
    """60 questions in three languages and 20 of them in a fourth, through `contributions`; 4,000
    repetitions each.

    sds: seed in the first sweep, seed in the other, question that differs between the sweeps,
    question that does not.
    """
    counts = (60, 60, 20)
    domain = np.repeat(np.arange(3), counts)
    group = np.concatenate([np.arange(count) for count in counts])
    for sds in GRID:
        rng = np.random.default_rng([*seeds, *(round(10 * sd) for sd in sds)])
        common = sds[3] * rng.standard_normal((4000, 1, 60))[:, :, group]
        sides = []
        for n, seed_sd in zip(seeds, sds, strict=False):
            x = (
                rng.standard_normal((4000, n, len(domain)))
                + seed_sd * rng.standard_normal((4000, n, 1))
                + common
            )
            x += sds[2] * rng.standard_normal((4000, 1, 60))[:, :, group]
            y, df = st.contributions(x.reshape(-1, len(domain)), domain, group)
            sides.append(y.reshape(4000, n, -1))
        found = independent(sides[0], sides[1], df)
        assert np.mean(excludes_zero(found, 0.95)) <= 0.07, sds
        assert np.mean(found.mean > half_widths(found, 0.90)) <= 0.07, sds


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_error_rate_of_pairs_whatever_a_seed_shares(n_seeds: int, share: float) -> None:
    """Pairing is right for any correlation of the two runs of a seed, that of none included; 4,000
    repetitions.
    """
    rng = np.random.default_rng([n_seeds, round(10 * share)])
    both = rng.standard_normal((4000, n_seeds, 1))
    sides = [
        0.4
        * (math.sqrt(share) * both + math.sqrt(1 - share) * rng.standard_normal((4000, n_seeds, 1)))
        + rng.standard_normal((4000, n_seeds, 100))
        for _ in range(2)
    ]
    found = st.crossed_estimate(sides[0] - sides[1])
    wrong = np.mean(excludes_zero(found, 0.95))
    assert wrong <= 0.07
    if n_seeds >= 5:
        # Where seeds move both sides alike they do not matter, and the interval is wider than it
        # would have to be.
        assert wrong >= (0.03 if share < 1 else 0.001)


@pytest.mark.slow
def test_taking_paired_seeds_for_independent_is_safe_where_they_move_together() -> None:
    """A seed or two in common, whose runs move together: the interval of seeds apart covers at
    least as often.
    """
    rng = np.random.default_rng(5)
    both = rng.standard_normal((4000, 5, 1))
    first, other = (
        0.4 * both + 0.2 * rng.standard_normal((4000, 5, 1)) + rng.standard_normal((4000, 5, 100))
        for _ in "ab"
    )
    found = independent(first, other)
    assert np.mean(excludes_zero(found, 0.95)) <= 0.05
