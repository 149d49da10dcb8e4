"""The shape of a curve over the ratios: its slope, an isotonic fit with a band, and whether it
turns back.

Everything here is over the seeds that have every ratio, so that no step between two ratios is a
change of seeds.
"""

import numpy as np
import scipy.optimize

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.contrasts import Moments, contrast, moments, with_typical_floor
from hybrid_sweep.report.curves import Curve, Draws, complete, resampled
from hybrid_sweep.report.load import Sweep
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


def band(change: Array, resampled_change: Array, half: Array, falling: bool) -> tuple[Array, Array]:
    """Return a band (R,), (R,) that holds the whole of a monotone curve with a chance of 95 %, if
    the intervals do at each ratio.

    change: (R,), to the first ratio; resampled_change: (B, R), of the bootstrap; half: (R,), half
    the widths of the 95 % intervals. The intervals are stretched by what the bootstrap says it
    takes to hold at all ratios at once (the quantile of the largest deviation over that of one).
    Both ends are then made monotone, which keeps a monotone curve inside, since isotonic regression
    keeps order, as sorting does (Chernozhukov et al. 2009); in both directions, and the wider
    counts, unless no curve of the other direction fits between the ends. A bootstrap of the
    isotonic fit itself would not do: on a plateau its coverage falls to a quarter.
    """
    spread = np.abs(resampled_change - change)
    single = np.quantile(spread, 0.95, axis=0)
    moved = np.divide(spread, single, out=np.zeros_like(spread), where=single > TINY)
    half = half * max(float(np.quantile(moved.max(axis=1), 0.95)), 1.0)
    low, high = change - half, change + half
    # A rising curve fits if no upper end lies below an earlier lower end, a falling one the other
    # way round.
    fits = {
        False: bool((np.maximum.accumulate(low) <= high).all()),
        True: bool((np.minimum.accumulate(high) >= low).all()),
    }
    ways = [way for way in fits if fits[way] or way == falling]
    lows, highs = ([_monotone(end, way) for way in ways] for end in (low, high))
    return np.min(lows, axis=0), np.max(highs, axis=0)


def _isotonic(ratios: list[float], points: Moments, means: Array) -> list[DerivedRow]:
    """Return the rows of the isotonic fit; means: (B, R), of the bootstrap."""
    change = points.mean - points.mean[0]
    fitted, falling = isotonic(change)
    eye = np.eye(len(ratios))
    estimated = contrast(points, eye - eye[0])
    half = st.half_width(estimated, 0.95)
    half[0] = 0.0
    low, high = band(change, means - means[:, :1], half, falling)
    word = "flat" if np.ptp(fitted) < TINY else "falling" if falling else "rising"
    interval = "bootstrap" if estimated.interval == "crossed" else estimated.interval
    rows: list[DerivedRow] = []
    for i, ratio in enumerate(ratios):
        rows.append(
            {
                "statistic": "isotonic",
                "ratio": ratio,
                "value": fitted[i],
                "low": low[i],
                "high": high[i],
                "interval": interval,
                "word": word,
            }
        )
    return rows


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


def shapes(sweep: Sweep, shaped: list[Curve], draws: Draws) -> list[DerivedRow]:
    """Return rows of slope, isotonic and reversal of each curve, as `derived` describes them; []
    where no seed has all ratios.

    The p of the slopes are adjusted over the curves. The isotonic rows are there only with ratio 0.
    """
    ratios, seeds, index = complete(sweep)
    if len(ratios) < 2 or not seeds:
        return []
    rows: list[DerivedRow] = []
    for curve in shaped:
        if len(curve.questions) < 2:
            continue
        y = curve.y[index]
        here = with_typical_floor(moments(y, curve.df_questions))
        _, falling = isotonic(here.mean - here.mean[0])
        parts = [_slope(ratios, here)]
        parts += _isotonic(ratios, here, resampled(draws, curve, index)) if ratios[0] == 0 else []
        parts.append(_reversal(ratios, here, falling))
        about: DerivedRow = {
            "setting": curve.setting,
            "measure": curve.measure,
            "scope": curve.scope,
        }
        about |= {"n_seeds": len(seeds), "n_questions": len(curve.questions)}
        rows += [about | part for part in parts]
    slopes = [row for row in rows if row["statistic"] == "slope"]
    for row, p_holm in zip(slopes, st.holm([float(row["p"]) for row in slopes]), strict=True):
        way = "rises" if row["value"] > 0 else "falls"
        row |= {"p_holm": p_holm, "word": way if p_holm < 0.05 else "not shown"}
    return rows
