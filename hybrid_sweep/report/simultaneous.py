"""Intervals that hold at all ratios at once (max-t), and the knee of a curve that they allow.

The 95 % intervals of single ratios are stretched by one factor: the 95 % quantile, over sweeps
drawn without any change, of the largest |change| at a ratio as a share of half the width of its
interval there.
What is drawn are the means of S seeds' effects and of the questions', and the variances that
the interval of each ratio is made from, with the median over the ratios as the floor of A / E. The
share of seeds in the variance of each ratio is that of its estimate. The seeds' effects correlate
over the ratios as the rests do, whose degrees of freedom are many, where a few seeds alone would
say that all ratios move together; the questions' correlate as their mean squares do.
"""

import functools

import numpy as np
import scipy.linalg

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.contrasts import Moments, contrast
from hybrid_sweep.report.statistics import Array

LEVEL = 0.95
DRAWS = 10_000
CHUNK = 2000  # draws at once: bounds the memory
SEED = 20261130
# What of the correlations is left after shrinking: a factor of equal ratios has a Cholesky root.
SHRUNK = 1 - 1e-9
KNOTS = 129  # of the interpolated critical values
KNEES = 201  # knees that are tried, evenly over the ratios
ROUNDING = 1e-12


def _root(products: Array, weights: Array) -> Array:
    """Return a lower root of the correlations of contrasts with these mean cross-products."""
    covariance = weights @ products @ weights.T
    size = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    size = np.where(size > 0, size, np.inf)
    correlation = SHRUNK * covariance / np.outer(size, size)
    np.fill_diagonal(correlation, 1.0)
    root: Array = scipy.linalg.cholesky(correlation, lower=True)
    return root


def stretch(points: Moments, weights: Array) -> float:
    """Return the factor by which the 95 % intervals of contrasts must grow to hold all at once; at
    least 1.

    Args:
        points: moments of a curve, without leading axes.
        weights: (contrasts, ratios); a contrast without any variance does not count.
    """
    estimated = contrast(points, weights)
    moves = np.asarray(estimated.se) > 0
    if estimated.interval == "none" or moves.sum() < 2:
        return 1.0
    weights = weights[moves]
    share = np.zeros(len(weights))
    if estimated.parts is not None:
        [share] = st.shares_of_seeds(contrast(points, weights))
    roots = _root(points.rest, weights), _root(points.questions, weights)
    rng = np.random.default_rng([SEED, points.n_seeds, points.n_questions, len(weights)])
    largest = np.empty(DRAWS)
    for start in range(0, DRAWS, CHUNK):
        drawn = _statistics(rng, roots, share, (points.n_seeds, points.df_questions))
        largest[start : start + CHUNK] = np.max(np.abs(drawn), axis=1)
    return max(float(np.quantile(largest, LEVEL)), 1.0)


def _statistics(
    rng: np.random.Generator,
    roots: tuple[Array, Array],
    share: Array,
    counts: tuple[int, float],
) -> Array:
    """Return statistics (CHUNK, contrasts) under no true change, each as a share of half the width
    of its interval, which is drawn with it: 1 where it ends at 0.
    """
    n_seeds, df_questions = counts
    normal = rng.standard_normal((CHUNK, len(share))) @ roots[1].T
    chi_square = rng.chisquare(df_questions, normal.shape) / df_questions
    of_questions = (1 - share) * chi_square
    mean = np.sqrt(1 - share) * normal
    of_seeds = np.zeros((CHUNK, len(share)))
    if n_seeds >= st.MIN_SEEDS:
        effects = rng.standard_normal((CHUNK, n_seeds, len(share))) @ roots[0].T
        mean += np.sqrt(share) * effects.mean(axis=1) * np.sqrt(n_seeds)
        variance = effects.var(axis=1, ddof=1)
        # the floor of every ratio is the median over them; the estimated share has it already
        floored = np.maximum(variance, np.median(variance, axis=1, keepdims=True))
        of_seeds = share * floored / floored.mean(axis=0)
    total = of_seeds + of_questions
    critical = st.t_quantile(0.5 + LEVEL / 2, df_questions)
    if n_seeds >= st.MIN_SEEDS:
        critical = _critical(of_seeds / total, n_seeds - 1, df_questions)
    statistics: Array = mean / np.sqrt(total) / critical
    return statistics


@functools.lru_cache(maxsize=64)
def _table(df_seeds: int, df_questions: float) -> tuple[Array, Array]:
    """Return angles whose squared sines are shares of the seeds, and their critical values."""
    angle = np.linspace(0, np.pi / 2, KNOTS)
    return angle, st.critical_value(LEVEL, [np.sin(angle) ** 2], (df_seeds,), df_questions)


def _critical(share: Array, df_seeds: int, df_questions: float) -> Array:
    """Return critical values for many shares of the seeds, interpolated."""
    angle, values = _table(df_seeds, df_questions)
    critical: Array = np.interp(np.arcsin(np.sqrt(np.clip(share, 0, 1))), angle, values)
    return critical


def band(points: Moments) -> tuple[Array, Array]:
    """Return both ends (ratios,) of a band about the changes to the first ratio that holds the
    whole curve with a chance of 95 %; 0 at the first ratio.
    """
    eye = np.eye(len(points.mean))
    weights = eye - eye[0]
    estimated = contrast(points, weights)
    half = st.half_width(estimated, LEVEL) * stretch(points, weights)
    half[0] = 0.0
    change = np.asarray(estimated.mean)
    return change - half, change + half


def _within(basis: Array, low: Array, high: Array) -> tuple[float, float]:
    """Return the smallest and largest height of a curve basis * height between two ends; the first
    above the second where there is none.
    """
    at_zero = basis < ROUNDING
    if (low[at_zero] > ROUNDING).any() or (high[at_zero] < -ROUNDING).any():
        return np.inf, -np.inf
    least, most = low[~at_zero] / basis[~at_zero], high[~at_zero] / basis[~at_zero]
    return float(least.max(initial=-np.inf)), float(most.min(initial=np.inf))


def basis_of(ratios: Array, knee: float, flat_first: bool) -> Array:
    """Return a curve that is flat up to the knee and then a line of slope 1, or the other way
    round; 0 at the first ratio.
    """
    basis: Array = np.minimum(ratios, knee) - ratios[0]
    if flat_first:
        basis = np.maximum(ratios - knee, 0.0)
    return basis


def knee(ratios: Array, change: Array, ends: tuple[Array, Array], flat_first: bool) -> list[float]:
    """Return the lowest and highest knee for which some curve of `basis_of` lies within a band,
    after the best of these by least squares; [] where a straight line, or no change at all, lies
    within it too, or no such curve does.

    The interval holds the knee of a curve of this form with the chance with which the band holds
    the curve. Knees beyond the last but one ratio leave a single point off the flat part.
    """
    low, high = ends
    if len(ratios) < 3 or ((low <= ROUNDING).all() and (high >= -ROUNDING).all()):
        return []
    least, most = _within(ratios - ratios[0], low, high)
    if least <= most:
        return []
    tried = np.linspace(ratios[0], ratios[-1], KNEES)[1:-1]
    allowed, errors = [], []
    for place in tried:
        basis = basis_of(ratios, place, flat_first)
        least, most = _within(basis, low, high)
        allowed.append(least <= most)
        height = (basis @ change) / (basis @ basis)
        errors.append(float(((change - height * basis) ** 2).sum()))
    inside = np.array(allowed)
    if not inside.any():
        return []
    best = int(np.argmin(np.where(inside, errors, np.inf)))
    return [float(tried[best]), float(tried[inside][0]), float(tried[inside][-1])]
