"""Averaged weights against trained ratios, on both axes at once.

Each average is compared with each trained ratio, paired by seed and question. It *dominates* the
ratio where it is not worse by the margin on either axis, and better on one. On each axis d is the
mean paired difference, average less ratio, with the crossed interval of `statistics`. The p of the
claim is

    max(p(d_mono > -m), p(d_cross > -m), min(1, 2 min(p(d_mono > 0), p(d_cross > 0)))),

each a one-sided p: all three parts must be shown (intersection-union test, Berger 1982), and the
last one, better on either axis, is adjusted for its two chances (Bonferroni). The margin m is that
of the sweep, on both axes: one measure, one unit. Where too few questions carry a difference for
non-inferiority (`statistics.too_few_questions`), better on both axes is asked for instead. The
reverse claim, that the ratio dominates the average, is the same with the signs turned. Holm's
adjustment goes over all averages and ratios, in either direction.

An average with all weight on one parent is that parent: it is shown, and not tested.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.blocks import MACRO, block
from hybrid_sweep.report.columns import frame_of
from hybrid_sweep.report.curves import grid
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.looks import fractions_of
from hybrid_sweep.report.measures import Measure
from hybrid_sweep.report.merged.load import Merged
from hybrid_sweep.report.merged.rows import MergedRow
from hybrid_sweep.report.scope_parts import parts
from hybrid_sweep.report.statistics import Array, Estimate
from hybrid_sweep.runs.merging import Mixture

ALPHA = 0.05


@dataclass(frozen=True)
class Axis:
    """One axis of the comparison: y (ratios and mixtures, seeds, questions or clusters of these),
    and the df of the last. n_questions: how many there are. asked: as in `statistics.Estimate`.
    """

    y: Array
    df: float
    n_questions: int
    asked: float | None


@dataclass(frozen=True)
class Subjects:
    """What is compared: ratios, then mixtures, in the order of the first axis of `Axis.y`; over the
    seeds that have all of them. runs: (subjects, seeds) places in `Sweep.finished`.
    """

    ratios: tuple[float, ...]
    mixtures: tuple[Mixture, ...]
    seeds: tuple[int, ...]
    runs: NDArray[np.intp]


def subjects(merged: Merged) -> Subjects:
    """Return what is compared in a sweep with averages."""
    trained = grid(merged.sweep)
    by_seed = [*trained.values(), *merged.index.values()]
    common = set.intersection(*(set(runs) for runs in by_seed))
    seeds = sorted(common)
    index = [[runs[seed] for seed in seeds] for runs in by_seed]
    places = np.array(index, dtype=np.intp).reshape(len(by_seed), len(seeds))
    return Subjects(tuple(trained), tuple(merged.index), tuple(seeds), places)


def _axis(sweep: Sweep, measure: Measure, chosen: Subjects) -> Axis | None:
    whole = block(sweep, *measure.place)
    if whole is None:
        return None
    (part,) = parts(whole, {MACRO: whole.names})
    return Axis(part.y[0][chosen.runs], part.df, len(whole.questions), part.asked)


@dataclass(frozen=True)
class Pair:
    """A subject against a ratio: the places of both, and the difference on each axis."""

    subject: int
    against: int
    mono: Estimate
    cross: Estimate

    @property
    def is_tested(self) -> bool:
        """Return whether seeds and questions are crossed on both axes."""
        return self.mono.interval == self.cross.interval == "crossed"


def _differences(axis: Axis, pairs: Sequence[tuple[int, int]], sweep: Sweep) -> list[Estimate]:
    """Return the paired difference of each pair, with the floor that these have in common."""
    values = [axis.y[subject] - axis.y[other] for subject, other in pairs]
    floor = st.typical_inflation(values)
    fractions = fractions_of(sweep.looks, axis.y.shape[1])
    estimates = []
    for y in values:
        estimate = st.crossed_estimate(y, axis.df, floor)
        estimates.append(dataclasses.replace(estimate, fractions=fractions, asked=axis.asked))
    return estimates


def compare(merged: Merged) -> pd.DataFrame:
    """Return merged.csv: a row for each trained ratio, and for each average against each ratio;
    empty where no seed has all of them, or an axis has no rows.
    """
    sweep = merged.sweep
    chosen = subjects(merged)
    axes = [_axis(sweep, one, chosen) for one in (sweep.measures.mono, sweep.measures.cross)]
    mono, cross = axes
    if mono is None or cross is None or not chosen.seeds or not chosen.mixtures:
        return frame_of([], MergedRow)
    count = len(chosen.ratios)
    averages = range(count, count + len(chosen.mixtures))
    # Each with a floor of its own: the changes of trained ratios are those of results.csv.
    pairs: list[Pair] = []
    for places in (
        [(ratio, 0) for ratio in range(count)],
        list(itertools.product(averages, range(count))),
    ):
        of_mono, of_cross = (_differences(axis, places, sweep) for axis in (mono, cross))
        for place, first, second in zip(places, of_mono, of_cross, strict=True):
            pairs.append(Pair(*place, first, second))
    rows = [_row(pair, chosen, mono, cross) for pair in pairs]
    _test(rows, pairs, chosen, sweep.margin)
    _mark_nearest(rows)
    return frame_of(rows, MergedRow)


def _row(pair: Pair, chosen: Subjects, mono: Axis, cross: Axis) -> MergedRow:
    row: MergedRow = {
        "monolingual": float(mono.y[pair.subject].mean()),
        "cross_lingual": float(cross.y[pair.subject].mean()),
        "against": chosen.ratios[pair.against],
        "interval": pair.mono.interval,
        "n_seeds": len(chosen.seeds),
        "n_questions": mono.n_questions,
        "word": "",
    }
    if pair.subject < len(chosen.ratios):
        ratio = chosen.ratios[pair.subject]
        row |= {"kind": "trained", "ratio": ratio, "mean_ratio": ratio}
    else:
        mixture = chosen.mixtures[pair.subject - len(chosen.ratios)]
        row |= {
            "kind": "averaged",
            "mixture": mixture.label,
            "alpha": mixture.alpha,
            "ratios": " ".join(map(repr, mixture.ratios)),
            "shares": " ".join(map(repr, mixture.shares)),
            "mean_ratio": mixture.mean_ratio,
        }
    if pair.subject == pair.against:  # the lowest ratio, which all are compared with
        return row
    low, high = st.bounds(pair.mono, 0.95)
    row |= {"mono_delta": float(pair.mono.mean), "mono_low": low, "mono_high": high}
    low, high = st.bounds(pair.cross, 0.95)
    row |= {"cross_delta": float(pair.cross.mean), "cross_low": low, "cross_high": high}
    return row


def _test(
    rows: Sequence[MergedRow], pairs: Sequence[Pair], chosen: Subjects, margin: float
) -> None:
    """Add p-values and words to the rows of averages that are none of their parents."""
    tested = []
    for row, pair in zip(rows, pairs, strict=True):
        place = pair.subject - len(chosen.ratios)
        if place < 0:
            continue
        if chosen.mixtures[place].is_parent:
            row["word"] = "parent"
        elif not pair.is_tested:
            row["word"] = "not tested"
        else:
            tested.append((row, pair))
    both = [float(st.p_value(estimate)) for _, pair in tested for estimate in _axes_of(pair)]
    claims = []
    for _, pair in tested:
        claims += [p_dominates(pair.mono, pair.cross, margin)]
        claims += [p_dominates(_turned(pair.mono), _turned(pair.cross), margin)]
    both_holm, claims_holm = st.holm(both), st.holm(claims)
    for place, (row, _) in enumerate(tested):
        first, second = 2 * place, 2 * place + 1
        row |= {"mono_p": both[first], "mono_p_holm": both_holm[first]}
        row |= {"cross_p": both[second], "cross_p_holm": both_holm[second]}
        row |= {"p_average": claims[first], "p_average_holm": claims_holm[first]}
        row |= {"p_trained": claims[second], "p_trained_holm": claims_holm[second]}
        row["word"] = "not shown"
        if claims_holm[first] < ALPHA:
            row["word"] = "average dominates"
        elif claims_holm[second] < ALPHA:
            row["word"] = "training dominates"


def _axes_of(pair: Pair) -> tuple[Estimate, Estimate]:
    return pair.mono, pair.cross


def _turned(effect: Estimate) -> Estimate:
    return dataclasses.replace(effect, mean=-effect.mean)


def p_dominates(mono: Estimate, cross: Estimate, margin: float) -> float:
    """Return the p of: not worse by the margin on either axis, and better on one; see the module's
    docstring.

    Args:
        mono: the difference in monolingual retrieval, with a crossed interval.
        cross: that in cross-lingual retrieval.
        margin: loss that counts as none, on either axis.
    """
    better = [_p_above(effect, 0.0) for effect in (mono, cross)]
    if any(st.too_few_questions(effect, margin) for effect in (mono, cross)):
        return max(better)
    kept = [_p_above(effect, -margin) for effect in (mono, cross)]
    return max(*kept, min(1.0, 2 * min(better)))


def _p_above(effect: Estimate, bound: float) -> float:
    """Return the one-sided p of a true difference of at most `bound`."""
    p: Any = st.p_of_loss(_turned(effect), bound)
    return float(p)


def _mark_nearest(rows: Sequence[MergedRow]) -> None:
    """Note, of each trained ratio, the averages that are nearest to it on either axis, by the
    means; parents do not count.
    """
    of_averages = [row for row in rows if row["kind"] == "averaged" and row["word"] != "parent"]
    for ratio in sorted({row["against"] for row in of_averages}):
        here = [row for row in of_averages if row["against"] == ratio]
        first = min(here, key=lambda row: abs(row["mono_delta"]))
        second = min(here, key=lambda row: abs(row["cross_delta"]))
        second["nearest"] = "cross-lingual"
        first["nearest"] = "both" if first is second else "monolingual"
