"""Curves over the ratios as matrices of what each question contributes, and their two-way
bootstrap.

The bootstrap draws seeds and questions independently and gives every curve the same draws, since
all settings share the runs and the questions: what is said of two curves at once, as a Pareto
front, keeps their dependence.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.results import MACRO, Block, block, scopes, select
from hybrid_sweep.report.statistics import Array

REPLICATES = 1000
CHUNK = 100  # replicates at once: bounds the memory


@dataclass(frozen=True)
class Curve:
    """y (runs of `Sweep.finished`, questions): contributions to a mean; `questions`: their group
    ids, sorted, or where these are in clusters the clusters; `asked`: the group ids.
    """

    setting: str
    measure: str
    scope: str
    y: Array
    df_questions: float
    questions: NDArray[np.str_]
    asked: NDArray[np.str_]


def curves(sweep: Sweep) -> list[Curve]:
    """Return the monolingual curve of every scope, and the mean over languages or pairs of what
    else has a shape, if it is there.
    """
    shaped = []
    for setting, measure in (one.place for one in sweep.measures.shaped):
        whole = block(sweep, setting, measure)
        if whole is None:
            continue
        for scope, names in scopes(sweep, whole).items():
            if scope == MACRO or setting == sweep.measures.mono.setting:
                shaped.append(_curve(setting, measure, scope, select(whole, names)))
    return shaped


def _curve(setting: str, measure: str, scope: str, part: Block) -> Curve:
    y, df = part.contributions()
    return Curve(setting, measure, scope, y, df, part.units, part.questions)


def grid(sweep: Sweep) -> dict[float, dict[int, int]]:
    """Return the finished trained runs: ratio -> seed -> position in `Sweep.finished`, both in
    order.
    """
    runs: dict[float, dict[int, int]] = {}
    for index, point in enumerate(sweep.finished):
        if point.kind == "trained":
            runs.setdefault(point.ratio, {})[point.seed] = index
    return runs


def complete(sweep: Sweep) -> tuple[list[float], list[int], NDArray[np.intp]]:
    """Return the finished ratios, the seeds that have all of them, and the positions (ratios,
    seeds) of their runs.
    """
    runs = grid(sweep)
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in runs.values()))) if runs else []
    index = [[by_seed[seed] for seed in seeds] for by_seed in runs.values()]
    return list(runs), seeds, np.array(index, dtype=np.intp).reshape(len(runs), len(seeds))


@dataclass(frozen=True)
class Draws:
    """Weights of a two-way bootstrap: seeds (B, S), and questions (B, G) in the order of the sorted
    ids `questions`.
    """

    seeds: Array
    weights: NDArray[np.uint16]
    questions: NDArray[np.str_]


def draw(n_seeds: int, shaped: list[Curve]) -> Draws:
    """Return multinomial weights of the seeds and of all questions of the curves, from a generator
    seeded by their numbers.

    Of S seeds S - 1 are drawn, of G questions G: with S draws of S the variance of the seeds would
    come out (S - 1) / S too small, a third at three seeds (McCarthy and Snowden 1985). With fewer
    than `MIN_SEEDS` seeds the seeds stay as they are. The weights' product counts the variance of
    seed x question three times (Owen 2007): the spread is never too small.
    """
    questions = np.unique(np.concatenate([curve.questions for curve in shaped]))
    rng = np.random.default_rng([20240806, n_seeds, len(questions)])
    seeds = np.ones((REPLICATES, n_seeds))
    if n_seeds >= st.MIN_SEEDS:
        seeds = rng.multinomial(n_seeds - 1, np.full(n_seeds, 1 / n_seeds), size=REPLICATES).astype(
            np.float64
        )
    # How often a question is drawn has a mean of 1 (Poisson): above 65,535 with a probability below
    # 1 / 65,536!.
    weights = np.empty((REPLICATES, len(questions)), dtype=np.uint16)
    for row in weights:
        row[:] = np.bincount(
            rng.integers(0, len(questions), len(questions)), minlength=len(questions)
        )
    return Draws(seeds, weights, questions)


def resampled(draws: Draws, curve: Curve, index: NDArray[np.intp]) -> Array:
    """Return the means (B, R) of a curve at the runs index (R, S) under each replicate's weights.

    A replicate in which none of the curve's questions was drawn, which takes a language of very
    few, has its plain means.
    """
    columns = np.searchsorted(draws.questions, curve.questions)
    y = curve.y[index.ravel()]  # (R S, G)
    means = np.empty((len(draws.seeds), len(index)))
    for start in range(0, len(means), CHUNK):
        part = slice(start, start + CHUNK)
        weights = draws.weights[part][:, columns].astype(np.float64)
        weights[weights.sum(axis=1) == 0] = 1.0
        by_run = (weights @ y.T / weights.sum(axis=1, keepdims=True)).reshape(-1, *index.shape)
        means[part] = (by_run * draws.seeds[part, None, :]).sum(axis=2) / draws.seeds[part].sum(
            axis=1
        )[:, None]
    return means
