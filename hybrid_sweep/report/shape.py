"""The shape of a curve over the ratios: its slope, a band that holds at all ratios at once, an
isotonic fit, its knee, and whether it turns back.

Everything here is over the seeds that have every ratio, so that no step between two ratios is a
change of seeds.
"""

import dataclasses

import numpy as np
import scipy.optimize

from hybrid_sweep.report import simultaneous
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.contrasts import Moments, contrast, moments, with_typical_floor
from hybrid_sweep.report.curves import Curve, complete
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.looks import fractions_of
from hybrid_sweep.report.results import MACRO, MONO
from hybrid_sweep.report.rows import DerivedRow
from hybrid_sweep.report.statistics import Array

TINY = 1e-12  # a difference of means that is smaller is the rounding of equal ones


def slope_weights(ratios: Array) -> Array:
    """Return c with sum_r c_r m_r = the least-squares slope of m over the ratios; needs two
    different ones.
    """
    centred: Array = ratios - ratios.mean()
    weights: Array = centred / (centred**2).sum()
    return weights


def _monotone(change: Array, falling: bool) -> Array:
    """Return the closest monotone curve of one direction that starts at 0: isotonic regression
    within a bound, by clipping.
    """
    fit: Array = scipy.optimize.isotonic_regression(change, increasing=not falling).x
    return np.minimum(fit, 0.0) if falling else np.maximum(fit, 0.0)


def isotonic(change: Array) -> tuple[Array, bool]:
    """Return the closest monotone curve to the changes (R,) to a first ratio, which itself stays 0,
    and whether it falls.

    Least squares over the other ratios, in the direction with the smaller sum. The weights are
    equal because every ratio has the same seeds and questions, so that the changes are known about
    equally well. The start is fixed: left free, the first mean would be pooled with a plateau after
    it, and every change on the plateau would come out too large.
    """
    fits = {falling: _monotone(change, falling) for falling in (False, True)}
    falling = bool(((fits[True] - change) ** 2).sum() < ((fits[False] - change) ** 2).sum())
    return fits[falling], falling


def _slope(ratios: list[float], points: Moments) -> DerivedRow:
    slope = contrast(points, slope_weights(np.array(ratios)))
    low, high = st.bounds(slope, 0.95)
    p = st.p_value(slope) if slope.interval == "crossed" else np.nan
    return {
        "statistic": "slope",
        "value": slope.mean,
        "low": low,
        "high": high,
        "interval": slope.interval,
        "p": p,
    }


def monotone_band(low: Array, high: Array, falling: bool) -> tuple[Array, Array]:
    """Return a band (R,), (R,) that holds every monotone curve that the band (low, high) holds.

    low, high: (R,), of a band about the changes to the first ratio that holds the whole curve.
    Both ends are made monotone, which keeps a monotone curve inside, since isotonic regression
    keeps order, as sorting does (Chernozhukov et al. 2009); in both directions, and the wider
    counts, unless no curve of the other direction fits between the ends. A bootstrap of the
    isotonic fit itself would not do: on a plateau its coverage falls to a quarter.
    """
    # A rising curve fits if no upper end lies below an earlier lower end, a falling one the other
    # way round.
    fits = {
        False: bool((np.maximum.accumulate(low) <= high).all()),
        True: bool((np.minimum.accumulate(high) >= low).all()),
    }
    ways = [way for way in fits if fits[way] or way == falling]
    lows, highs = ([_monotone(end, way) for way in ways] for end in (low, high))
    return np.min(lows, axis=0), np.max(highs, axis=0)


def _isotonic(ratios: list[float], change: Array, ends: tuple[Array, Array]) -> list[DerivedRow]:
    """Return the rows of the isotonic fit; ends: of the band that holds at all ratios at once."""
    fitted, falling = isotonic(change)
    low, high = monotone_band(*ends, falling)
    word = "flat" if np.ptp(fitted) < TINY else "falling" if falling else "rising"
    rows: list[DerivedRow] = []
    for i, ratio in enumerate(ratios):
        rows.append(
            {
                "statistic": "isotonic",
                "ratio": ratio,
                "value": fitted[i],
                "low": low[i],
                "high": high[i],
                "word": word,
            }
        )
    return rows


def _band(ratios: list[float], change: Array, ends: tuple[Array, Array]) -> list[DerivedRow]:
    """Return the rows of the band itself."""
    rows: list[DerivedRow] = []
    for i, ratio in enumerate(ratios):
        low, high = ends[0][i], ends[1][i]
        rows.append(
            {"statistic": "band", "ratio": ratio, "value": change[i], "low": low, "high": high}
        )
    return rows


def _knee(
    ratios: list[float], change: Array, ends: tuple[Array, Array], about: Curve
) -> DerivedRow:
    """Return where a curve leaves its start, or reaches its end, if the band tells."""
    flat_first = about.setting == MONO[0]
    places = simultaneous.knee(np.array(ratios), change, ends, flat_first)
    row: DerivedRow = {"statistic": "knee", "word": "none identified"}
    if places:
        word = "flat, then a line" if flat_first else "a line, then flat"
        row |= {"value": places[0], "low": places[1], "high": places[2], "word": word}
    return row


def _whole(ratios: list[float], points: Moments, about: Curve) -> list[DerivedRow]:
    """Return what rests on the band that holds at all ratios at once: itself, the isotonic fit, and
    of a mean over languages or pairs the knee.
    """
    change = points.mean - points.mean[0]
    ends = simultaneous.band(points)
    rows = _isotonic(ratios, change, ends) + _band(ratios, change, ends)
    interval = "conditional"
    if points.n_seeds >= st.MIN_SEEDS:
        interval = "simultaneous"
        rows += [_knee(ratios, change, ends, about)] if about.scope == MACRO else []
    return [row | {"interval": interval} for row in rows]


def _reversal(ratios: list[float], points: Moments, falling: bool) -> DerivedRow:
    """Return whether the curve both rises and falls: all pairs of ratios, Holm over the pairs.

    "not monotone" asks for a significant move each way, not only for one against the fit. So a
    monotone curve of either direction is called so with a chance of at most 5 %, however its
    direction was chosen.
    """
    row: DerivedRow = {"statistic": "reversal", "word": "no reversal shown", "interval": "none"}
    lower, higher = np.triu_indices(len(ratios), 1)
    eye = np.eye(len(ratios))
    moves = contrast(points, eye[higher] - eye[lower])
    if moves.interval != "crossed":
        return row
    p = st.p_value(moves)
    p_holm = np.array(st.holm(p.tolist()))
    against = moves.mean > 0 if falling else moves.mean < 0
    if not against.any():
        return {**row, "interval": moves.interval}
    along = (p_holm < 0.05) & ~against & (moves.mean != 0)
    significant = against & (p_holm < 0.05)
    shown = bool(significant.any() and along.any())
    # The largest of the significant moves; where none is, the one nearest to it.
    size = (
        np.where(significant, np.abs(moves.mean), -1.0)
        if shown
        else np.where(against, -p_holm, -np.inf)
    )
    size = size if shown else np.where(size == size.max(), np.abs(moves.mean), -1.0)
    i = int(np.argmax(size))
    low, high = st.bounds(moves, 0.95)
    return {
        **row,
        "against": f"r = {ratios[lower[i]]:g}",
        "ratio": ratios[higher[i]],
        "value": moves.mean[i],
        "low": low[i],
        "high": high[i],
        "interval": moves.interval,
        "p": p[i],
        "p_holm": p_holm[i],
        "word": "not monotone" if shown else "no reversal shown",
    }


def shapes(sweep: Sweep, shaped: list[Curve]) -> list[DerivedRow]:
    """Return rows of slope, band, isotonic, knee and reversal of each curve, as `DerivedRow`
    describes them; [] where no seed has all ratios.

    The p of the slopes are adjusted over the curves. Band, fit and knee are there only with ratio
    0.
    """
    ratios, seeds, index = complete(sweep)
    if len(ratios) < 2 or not seeds:
        return []
    rows: list[DerivedRow] = []
    for curve in shaped:
        if len(curve.questions) < 2:
            continue
        here = with_typical_floor(moments(curve.y[index], curve.df_questions))
        here = dataclasses.replace(here, fractions=fractions_of(sweep.looks, len(seeds)))
        _, falling = isotonic(here.mean - here.mean[0])
        parts = [_slope(ratios, here)]
        parts += _whole(ratios, here, curve) if ratios[0] == 0 else []
        parts.append(_reversal(ratios, here, falling))
        about: DerivedRow = {
            "setting": curve.setting,
            "measure": curve.measure,
            "scope": curve.scope,
        }
        about |= {"n_seeds": len(seeds), "n_questions": len(curve.asked)}
        rows += [about | part for part in parts]
    slopes = [row for row in rows if row["statistic"] == "slope"]
    for row, p_holm in zip(slopes, st.holm([float(row["p"]) for row in slopes]), strict=True):
        way = "rises" if row["value"] > 0 else "falls"
        row |= {"p_holm": p_holm, "word": way if p_holm < 0.05 else "not shown"}
    return rows
