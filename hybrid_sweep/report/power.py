"""What a planned sweep can show: the width of its intervals and its power, from the variances of a
finished one.

The variance of a change to ratio 0 with S seeds and G questions comes from three parts (the module
`statistics`): of a single seed, of a single question, and of the rest. They are estimated from a
finished sweep by its mean squares A, B and E with its own numbers of seeds s and questions g,

    rest E,    seed max(A - E, 0) / g,    question max(B - E, 0) / s,

and give the planned sweep's: A = E + G seed, B - E = S question. Sweeps with these variances and no
loss are then drawn and tested as a report tests them.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.blocks import MACRO
from hybrid_sweep.report.critical_values import interpolated
from hybrid_sweep.report.curves import curves, grid
from hybrid_sweep.report.load import Sweep

DRAWS = 10_000
SEED = 20261130
CORRELATION = 0.8  # of the seeds' effects between ratios, as in experiments/shape
WANTED = 0.8  # the power that `seeds_for` looks for
MOST_SEEDS = 100  # that it looks through
PUBLISHED = Path(__file__).with_name("published_variances.yaml")


@dataclass(frozen=True)
class Variances:
    """Of the change of one ratio to ratio 0: variances of one seed's effect on the mean, of one
    question's, and of one cell of seed and question beyond these.

    carrying: share of the questions that effectively carry the change.
    """

    ratio: float
    seed: float
    question: float
    rest: float
    carrying: float


@dataclass(frozen=True)
class Power:
    """What is expected at one ratio: half the width of the 90 % interval, and the chance that a
    ratio without any loss is called non-inferior.

    too_few: whether so few questions carry the change that none is, whatever the number of seeds.
    """

    ratio: float
    half_width: float
    power: float
    too_few: bool


def variances_of(sweep: Sweep) -> list[Variances]:
    """Return the variances of the changes of a finished sweep by the measure that it was loaded
    for, monolingual, mean of languages; [] where no ratio has `MIN_SEEDS` seeds in common with
    ratio 0.
    """
    shaped = [
        curve
        for curve in curves(sweep)
        if (curve.setting, curve.measure) == sweep.measures.mono.place and curve.scope == MACRO
    ]
    runs = grid(sweep)
    base = runs.get(0.0, {})
    rows = []
    for curve in shaped:
        for ratio, seeds in runs.items():
            common = [seed for seed in seeds if seed in base]
            if ratio == 0 or len(common) < st.MIN_SEEDS or len(curve.questions) < 2:
                continue
            here, there = [seeds[seed] for seed in common], [base[seed] for seed in common]
            y = curve.y[here] - curve.y[there]
            rows.append(_variances(ratio, y))
    return rows


def _variances(ratio: float, y: st.Array) -> Variances:
    """Return the variances of y, (seeds, questions)."""
    n_seeds, n_questions = y.shape
    _, seeds, questions, rest = (float(value) for value in st.mean_squares(y))
    return Variances(
        ratio,
        max(seeds - rest, 0.0) / n_questions,
        max(questions - rest, 0.0) / n_seeds,
        rest,
        float(st.carrying(y)) / n_questions,
    )


def published() -> list[dict[str, Any]]:
    """Return what is kept of the published sweeps: name, collection, questions, seeds, and ratios,
    each with the fields of `Variances`.
    """
    sweeps: list[dict[str, Any]] = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    return sweeps


def variances_from(sweep: Mapping[str, Any]) -> list[Variances]:
    """Return the variances of one of the sweeps of `published`."""
    return [Variances(**row) for row in sweep["ratios"]]


def nearest(variances: Sequence[Variances], ratios: Sequence[float]) -> list[Variances]:
    """Return for each of the ratios above 0 the variances of the nearest ratio that has some."""
    rows = []
    for ratio in sorted(ratio for ratio in ratios if ratio > 0):
        like = min(variances, key=lambda one: abs(one.ratio - ratio))
        rows.append(dataclasses.replace(like, ratio=ratio))
    return rows


def expected(
    variances: Sequence[Variances], n_seeds: int, n_questions: int, margin: float
) -> list[Power]:
    """Return what a sweep without any loss would show, at each ratio.

    Args:
        variances: of the ratios that are planned.
        n_seeds: planned; at least `MIN_SEEDS`.
        n_questions: of the monolingual setting.
        margin: of non-inferiority.
    """
    return list(_expected(tuple(variances), n_seeds, n_questions, margin))


@functools.lru_cache(maxsize=256)
def _expected(
    variances: tuple[Variances, ...], n_seeds: int, n_questions: int, margin: float
) -> tuple[Power, ...]:
    rest = np.array([one.rest for one in variances])
    of_seeds = rest + n_questions * np.array([one.seed for one in variances])
    of_questions = n_seeds * np.array([one.question for one in variances])
    df_questions = n_questions - 1.0
    rng = np.random.default_rng([SEED, n_seeds, n_questions])
    shape = (DRAWS, n_seeds, len(variances))
    effects = CORRELATION**0.5 * rng.standard_normal((*shape[:2], 1))
    effects = effects + (1 - CORRELATION) ** 0.5 * rng.standard_normal(shape)
    effects *= np.sqrt(of_seeds)
    question = np.sqrt(of_questions) * rng.standard_normal((DRAWS, 1))
    noise = rng.chisquare(df_questions, (DRAWS, 1)) / df_questions
    mean = n_seeds**0.5 * effects.mean(axis=1) + question
    seeds = effects.var(axis=1, ddof=1)
    smallest = np.maximum(rest, np.finfo(np.float64).tiny)
    floor = np.median(seeds / smallest, axis=1, keepdims=True)
    squares = (seeds, rest + of_questions * noise, np.broadcast_to(rest, seeds.shape))
    counts = (n_seeds, n_questions, df_questions)
    size = np.sqrt(n_seeds * n_questions)
    estimated = st.from_squares(mean / size, squares, counts, floor)
    share = st.shares_of_seeds(estimated)[0]
    half = interpolated(0.9, share, n_seeds - 1, df_questions) * estimated.se
    holds = mean / size - half > -margin
    few = n_questions * margin < st.MIN_LOST
    rows = []
    for place, one in enumerate(variances):
        too_few = few or one.carrying * n_questions < st.MIN_CARRYING
        power = 0.0 if too_few else float(holds[:, place].mean())
        rows.append(Power(one.ratio, float(half[:, place].mean()), power, too_few))
    return tuple(rows)


def seeds_for(variances: Sequence[Variances], n_questions: int, margin: float) -> list[float]:
    """Return for each ratio the least number of seeds with a power of `WANTED`; inf where
    `MOST_SEEDS` are too few, so that more questions or a larger margin would be needed.

    Args:
        variances: of the ratios that are planned.
        n_questions: of the monolingual setting.
        margin: of non-inferiority.
    """
    numbers = []
    for place in range(len(variances)):

        def has_power(n_seeds: int, place: int = place) -> bool:
            return expected(variances, n_seeds, n_questions, margin)[place].power >= WANTED

        too_few, enough = st.MIN_SEEDS - 1, MOST_SEEDS
        if not has_power(enough):
            numbers.append(float("inf"))
            continue
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            if has_power(middle):
                enough = middle
            else:
                too_few = middle
        numbers.append(float(enough))
    return numbers
