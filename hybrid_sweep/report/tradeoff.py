"""What a ratio costs in monolingual retrieval for what it buys: Pareto front, price, and languages
that win or lose.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.contrasts import (
    Moments,
    contrast,
    moments,
    ratio_interval,
    with_typical_floor,
)
from hybrid_sweep.report.curves import Curve, Draws, complete, grid, resampled
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.looks import fractions_of
from hybrid_sweep.report.measures import Measure
from hybrid_sweep.report.paired_rows import largest, monolingual, unpaired
from hybrid_sweep.report.results import MACRO, languages, measures_of, picked
from hybrid_sweep.report.rows import DerivedRow
from hybrid_sweep.report.statistics import Array


def _about(mono: Measure) -> DerivedRow:
    """Return what a row on the mean of monolingual retrieval is about."""
    return {"setting": mono.setting, "measure": mono.measure, "scope": MACRO}


def on_front(first: Array, second: Array) -> NDArray[np.bool_]:
    """Return which of the points (..., R) no other one beats: at least as good on both axes, better
    on one; higher is better.
    """
    # equal points stay equal whatever the order of a sum
    a, b = np.round(first, 12), np.round(second, 12)
    at_least = (a[..., None, :] >= a[..., :, None]) & (b[..., None, :] >= b[..., :, None])
    better = (a[..., None, :] > a[..., :, None]) | (b[..., None, :] > b[..., :, None])
    return ~np.asarray((at_least & better).any(axis=-1))


def _of(shaped: list[Curve], setting: str, measure: str) -> Curve | None:
    """Return the curve of the mean over all languages or pairs."""
    return next(
        (c for c in shaped if (c.setting, c.measure, c.scope) == (setting, measure, MACRO)), None
    )


@dataclass(frozen=True)
class Beaten:
    """Of each ratio the rival that is most clearly better on both axes, and its adjusted p."""

    rival: NDArray[np.intp]
    p_holm: Array


def beaten(first: Moments, second: Moments) -> Beaten:
    """Return for each ratio the one that is most clearly better on both axes.

    The p of a pair is the larger of the one-sided p of the two axes, since both must be shown
    (intersection-union test); Holm's adjustment goes over all ordered pairs. NaN without a crossed
    interval. first, second: moments of two curves over the same ratios; higher is better.
    """
    count = len(first.mean)
    better, worse = np.nonzero(~np.eye(count, dtype=bool))
    eye = np.eye(count)
    p = np.zeros(len(better))
    for points in (first, second):
        gain = contrast(points, eye[better] - eye[worse])
        if gain.interval != "crossed":
            return Beaten(np.zeros(count, dtype=np.intp), np.full(count, np.nan))
        loss = dataclasses.replace(gain, mean=-gain.mean)
        p = np.maximum(p, st.p_of_loss(loss, 0.0))
    p_holm, rivals = np.full((count, count), np.inf), np.full((count, count), np.inf)
    p_holm[worse, better], rivals[worse, better] = st.holm(p.tolist()), p
    rival = np.argmin(rivals, axis=1)
    return Beaten(rival, p_holm[np.arange(count), rival])


def fronts(sweep: Sweep, shaped: list[Curve], draws: Draws) -> list[DerivedRow]:
    """Return a row per ratio and axis: whether another ratio is shown to be better on both axes,
    whether it is on the Pareto front by the means, and in which share of the bootstrap samples.

    Over the seeds that have every ratio; [] where there is none. Both axes have the same draws in
    each sample.
    """
    ratios, seeds, index = complete(sweep)
    mono = _of(shaped, *sweep.measures.mono.place)
    if mono is None or not seeds or len(ratios) < 2:
        return []
    rows: list[DerivedRow] = []
    base = (mono.y[index], resampled(draws, mono, index))
    for measure in sweep.measures.traded:
        other = _of(shaped, *measure.place)
        if other is None:
            continue
        gains = measure.better * other.y[index]
        front = on_front(base[0].mean(axis=(1, 2)), gains.mean(axis=(1, 2)))
        share = on_front(base[1], measure.better * resampled(draws, other, index)).mean(axis=0)
        axes = []
        for y, df_questions in ((base[0], mono.df_questions), (gains, other.df_questions)):
            axis = with_typical_floor(moments(y, df_questions))
            fractions = fractions_of(sweep.looks, len(seeds))
            axes.append(dataclasses.replace(axis, fractions=fractions))
        tested = beaten(*axes)
        for i, ratio in enumerate(ratios):
            row: DerivedRow = {
                **_about(sweep.measures.mono),
                "statistic": "front",
                "against": measure.key,
                "ratio": ratio,
                "value": share[i],
                "interval": "bootstrap" if len(seeds) >= st.MIN_SEEDS else "conditional",
                "n_seeds": len(seeds),
                "n_questions": len(mono.asked),
                "by_means": "on the front" if front[i] else "off the front",
                "word": "not tested",
            }
            if not np.isnan(tested.p_holm[i]):
                shown = tested.p_holm[i] < 0.05
                row |= {
                    "rival": ratios[tested.rival[i]],
                    "p_holm": tested.p_holm[i],
                    "word": "dominated" if shown else "not shown to be dominated",
                }
            rows.append(row)
    return rows


def aligned(
    first: Array, second: Array, questions: tuple[NDArray[np.str_], NDArray[np.str_]]
) -> Array:
    """Return two matrices (S, G1) and (S, G2) over the union of their questions: (2, S, G), means
    and variances kept.

    A question that a curve lacks contributes that seed's mean. The deviations of the others grow by
    G / G1, as the weight of a question in a mean over fewer does, and by what keeps the estimated
    variance over questions unbiased.
    """
    union = np.union1d(*questions)
    total, y = len(union), []
    for values, ids in zip((first, second), questions, strict=True):
        own = len(ids)
        mean = values.mean(axis=-1, keepdims=True)
        spread = np.zeros((*values.shape[:-1], total))
        stretch = total / own * np.sqrt(own / max(own - 1, 1) * (total - 1) / total)
        spread[..., np.searchsorted(union, ids)] = stretch * (values - mean)
        y.append(mean + spread)
    return np.stack(y)


def prices(sweep: Sweep, results: pd.DataFrame, shaped: list[Curve]) -> list[DerivedRow]:
    """Return a row per ratio above 0 and axis: what is lost in monolingual retrieval per unit
    gained on that axis, against ratio 0.

    Over the seeds that both ratios have, so that it is the quotient of two changes of the results.
    The interval is Fieller's, over seeds and questions shared by the two. There is a price only
    where the gain is shown: positive, with a crossed interval, and significant after Holm's
    adjustment over the ratios.
    """
    runs, mono = grid(sweep), _of(shaped, *sweep.measures.mono.place)
    base = runs.get(0.0, {})
    rows: list[DerivedRow] = []
    for measure in sweep.measures.traded if mono is not None and base else ():
        other = _of(shaped, *measure.place)
        if other is None or mono is None:
            continue
        gains = {row["ratio"]: row for row in picked(results, *measure.place)}
        for ratio, seeds in runs.items():
            common = [seed for seed in seeds if seed in base]
            if ratio == 0 or not common:
                continue
            here, there = [seeds[seed] for seed in common], [base[seed] for seed in common]
            loss = mono.y[there] - mono.y[here]
            gain = measure.better * (other.y[here] - other.y[there])
            pair = aligned(loss, gain, (mono.questions, other.questions))
            row: DerivedRow = {
                **_about(sweep.measures.mono),
                "statistic": "price",
                "against": measure.key,
                "ratio": ratio,
                "n_seeds": len(common),
                "n_questions": len(np.union1d(mono.asked, other.asked)),
                "interval": "none",
                "word": "no gain shown",
            }
            change = gains[ratio]
            shown = change["p_holm"] < 0.05 and measure.better * change["delta"] > 0
            if shown and pair.shape[-1] > 1:
                both = moments(pair, min(mono.df_questions, other.df_questions))
                fractions = fractions_of(sweep.looks, len(common))
                both = dataclasses.replace(both, fractions=fractions)
                low, high = ratio_interval(both)
                value = float(both.mean[0] / both.mean[1])
                word = "stated" if value > 0 else "no loss"
                row |= {
                    "value": value,
                    "low": float(low),
                    "high": float(high),
                    "interval": "crossed",
                    "word": word,
                }
            rows.append(row)
    return rows


def largest_within(results: pd.DataFrame) -> list[DerivedRow]:
    """Return the largest ratio still non-inferior with the interval of the true one, of the mean
    over languages; [] where nothing is tested.

    The true one is the largest of the planned ratios up to which no loss exceeds the margin. It is
    at least the ratio that the fixed-sequence test reaches, and below the first ratio that is
    degraded: each with an error of at most 5 %, so that both hold with 90 %.
    """
    changes = monolingual(results)
    rows = [row for row in changes if row["verdict"] != "untested"]
    if not rows:
        return []
    best = largest(results)
    planned = sorted({row["ratio"] for row in changes} | {0.0, *unpaired(results)})
    degraded = [row["ratio"] for row in rows if row["verdict"] == "degraded"]
    possible = [ratio for ratio in planned if not degraded or ratio < min(degraded)]
    return [
        {
            **_about(measures_of(results).mono),
            "statistic": "largest",
            "value": np.nan if best is None else best,
            "low": 0.0 if best is None else best,
            "high": possible[-1],
            "interval": "crossed",
            "word": "none shown" if best is None else "shown",
            "n_seeds": min(row["delta_seeds"] for row in rows),
            "n_questions": rows[0]["n_questions"],
        }
    ]


def winners(results: pd.DataFrame) -> list[DerivedRow]:
    """Return a row per language and ratio above 0: its paired change with the p of the results,
    adjusted over the languages and ratios.

    "winner" and "loser" ask for adjusted 5 % and a crossed interval.
    """
    changes = [row for scope in languages(results) for row in monolingual(results, scope)]
    changes.sort(key=lambda row: row["ratio"])
    rows: list[DerivedRow] = []
    for row in changes:
        word = "not shown"
        if row["p_holm"] < 0.05:
            word = "winner" if row["delta"] > 0 else "loser"
        rows.append(
            {
                **_about(measures_of(results).mono),
                "statistic": "language",
                "scope": row["scope"],
                "ratio": row["ratio"],
                "value": row["delta"],
                "low": row["delta_low"],
                "high": row["delta_high"],
                "interval": row["delta_interval"],
                "p": row["p"],
                "p_holm": row["p_holm"],
                "word": word,
                "n_seeds": row["delta_seeds"],
                "n_questions": row["n_questions"],
            }
        )
    return rows
