"""Weighted sums of several curves' points, each with the crossed estimate of `statistics`, from
moments taken once.

The mean squares of a contrast sum_r c_r y[r] are quadratic forms c' M c of the mean cross-products
M of the y[r], so that every pair of ratios, the slope and a ratio of two effects cost no further
pass over the questions.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid_sweep.report import looks
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.statistics import Array

# what is this small a share of the terms it is the difference of is 0: points that are equal
ROUNDING = 1e-12


@dataclass(frozen=True)
class Moments:
    """Means (..., R) and mean cross-products (..., R, R) of R matrices y[..., r, s, g] that share
    seeds and questions.

    `floor` is the least A / E of a contrast, as in `statistics.from_squares`; `fractions` are those
    of `looks`.
    """

    mean: Array
    seeds: Array
    questions: Array
    rest: Array
    n_seeds: int
    n_questions: int
    df_questions: float
    floor: Any = 0.0
    fractions: tuple[float, ...] = looks.SINGLE


def moments(y: Array, df_questions: float) -> Moments:
    """Return the moments of y[..., r, s, g].

    Those of seeds and rest are 0 with a single seed, those of questions and rest with a single
    question.
    """
    n_seeds, n_questions = y.shape[-2:]
    mean = y.mean(axis=(-2, -1))
    seeds = y.mean(axis=-1) - mean[..., None]
    questions = y.mean(axis=-2) - mean[..., None]
    rest = y - mean[..., None, None] - seeds[..., :, None] - questions[..., None, :]
    rest = rest.reshape(*rest.shape[:-2], -1)
    more, others = max(n_seeds - 1, 1), max(n_questions - 1, 1)
    return Moments(
        mean,
        n_questions / more * (seeds @ seeds.swapaxes(-2, -1)),
        n_seeds / others * (questions @ questions.swapaxes(-2, -1)),
        rest @ rest.swapaxes(-2, -1) / (more * others),
        n_seeds,
        n_questions,
        df_questions,
    )


def _form(products: Array, c: Array) -> Array:
    value = np.einsum("...i,...ij,...j->...", c, products, c)
    size = np.einsum("...i,...ij,...j->...", np.abs(c), np.abs(products), np.abs(c))
    return np.where(value > ROUNDING * size, value, 0.0)


def contrast(points: Moments, c: Array) -> st.Estimate:
    """Return the estimate of sum_r c_r mean_r for weights c[..., r]: that of `statistics.estimate`
    for sum_r c_r y[r].
    """
    mean = (points.mean * c).sum(axis=-1)
    mean = np.where(
        np.abs(mean) > ROUNDING * (np.abs(points.mean) * np.abs(c)).sum(axis=-1), mean, 0.0
    )
    counts = (points.n_seeds, points.n_questions, points.df_questions)
    if points.n_questions < 2 or points.df_questions <= 0:
        nan = np.full(mean.shape, np.nan)
        return st.Estimate(mean, nan, nan, *counts, "none")
    seeds, questions, rest = (
        _form(products, c) for products in (points.seeds, points.questions, points.rest)
    )
    if points.n_seeds >= st.MIN_SEEDS:
        estimated = st.from_squares(mean, (seeds, questions, rest), counts, points.floor)
        return dataclasses.replace(estimated, fractions=points.fractions)
    se = np.sqrt(questions / (points.n_seeds * points.n_questions))
    return st.Estimate(mean, se, np.full(mean.shape, points.df_questions), *counts, "conditional")


def with_typical_floor(points: Moments) -> Moments:
    """Return the moments of the curve over the ratios with the median of A / E over the changes to
    its first ratio as the floor of every contrast: `statistics.typical_inflation`.

    The moments have no leading axes.
    """
    changes = np.eye(len(points.mean))[1:] - np.eye(len(points.mean))[0]
    seeds, rest = (_form(products, changes) for products in (points.seeds, points.rest))
    there = rest > 0
    floor = float(np.median(seeds[there] / rest[there])) if there.any() else 0.0
    return dataclasses.replace(points, floor=floor)


def _accepted(points: Moments, ratio: Array, level: float) -> Any:
    """Return whether mean_0 = ratio * mean_1 is not rejected; ratio is (..., k)."""
    wide = dataclasses.replace(
        points,
        mean=points.mean[..., None, :],
        seeds=points.seeds[..., None, :, :],
        questions=points.questions[..., None, :, :],
        rest=points.rest[..., None, :, :],
    )
    tested = contrast(wide, np.stack([np.ones_like(ratio), -ratio], axis=-1))
    return st.p_value(tested) >= 1 - level


def ratio_interval(pair: Moments, level: float = 0.95) -> tuple[Array, Array]:
    """Return both ends of the interval of mean_0 / mean_1 of a pair of curves (R = 2), by Fieller's
    (1954) inversion.

    It holds every ratio q for which mean_0 - q mean_1 = 0 is not rejected by the crossed test, so
    that it has that test's coverage and takes the dependence of the two into account. It is bounded
    where mean_1 differs from 0 at 1 - level, and an end is infinite where it lies more than a
    thousand times the distance of the linearised interval away.
    """
    centre = pair.mean[..., 0] / pair.mean[..., 1]
    linear = contrast(pair, np.stack([np.ones_like(centre), -centre], axis=-1))
    reach = st.half_width(linear, level) / np.abs(pair.mean[..., 1])
    # Degrees of freedom and floors change along q: the outermost q that is accepted counts, found
    # on a grid first.
    steps = np.concatenate([np.linspace(0, 3, 121)[1:], np.geomspace(3.2, 1000, 80)])
    side = np.array([-1.0, 1.0])
    tried = centre[..., None, None] + (reach[..., None] * side)[..., None] * steps
    accepted = _accepted(pair, tried.reshape(*centre.shape, -1), level).reshape(tried.shape)
    last = np.where(
        accepted.any(axis=-1), len(steps) - 1 - np.argmax(accepted[..., ::-1], axis=-1), -1
    )
    inner = np.where(last >= 0, steps[last], 0.0)
    outer = steps[np.minimum(last + 1, len(steps) - 1)]
    for _ in range(45):
        middle = (inner + outer) / 2
        inside = _accepted(pair, centre[..., None] + (reach[..., None] * side) * middle, level)
        inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
    ends = centre[..., None] + reach[..., None] * side * inner
    ends = np.where((last == len(steps) - 1) & (reach[..., None] > 0), side * np.inf, ends)
    return ends[..., 0], ends[..., 1]
