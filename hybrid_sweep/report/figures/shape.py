"""The shape of the curve: changes of monolingual RR@10 to r = 0, the isotonic fit with its band,
and the straight line.

The changes and their intervals are rows of the results, the fit and the slope of the derived
statistics.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.figures.curve import DASHES, SHARE_LABEL, levels_of, planned, share_axis
from hybrid_sweep.report.figures.drawable import drawable
from hybrid_sweep.report.figures.style import BLUE, GREY, NARROW, ORANGE, sheet, styled
from hybrid_sweep.report.figures.verdict_marks import (
    CROSS,
    GONE,
    VERDICTS,
    mark_missing,
    verdict_mark,
)
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.render.numbers import between, p_words, signed
from hybrid_sweep.report.results import MACRO, measures_of, pick
from hybrid_sweep.report.rows import DerivedRow

INTERVAL: dict[str, Any] = {"color": "black", "lw": 0.8, "marker": "_", "ms": 4}
WHOLE: dict[str, Any] = {"color": "black", "lw": 0.9, "ls": (0, (1, 1.5))}
FITTED: dict[str, Any] = {"color": ORANGE, "lw": 1.1, "ls": (0, (6, 1.5, 1, 1.5))}


def changes(sweep: Sweep, results: pd.DataFrame) -> pd.DataFrame:
    """Return one row per planned ratio: `delta` with its 90 % interval `low`, `high`, `verdict`,
    and whether it is `finished`.

    0 at r = 0; NaN where there is no finished point or none to compare it with.
    """
    rows = pick(results, *sweep.measures.mono.place).set_index("ratio").reindex(planned(sweep))
    drawn = pd.DataFrame(
        {
            "delta": rows["delta"],
            "low": rows["delta_low_90"],
            "high": rows["delta_high_90"],
            "verdict": rows["verdict"],
            "finished": rows["mean"].notna(),
        }
    )
    if 0.0 in drawn.index and drawn["finished"][0.0]:
        drawn.loc[0.0, ["delta", "low", "high"]] = 0.0
    return drawn.rename_axis("ratio").reset_index()


def _curve(derived: pd.DataFrame, statistic: str) -> pd.DataFrame:
    chosen = (derived["statistic"] == statistic) & (derived["setting"] == "monolingual")
    chosen &= derived["scope"] == MACRO
    return derived[chosen].sort_values("ratio", kind="stable")


def line(drawn: pd.DataFrame, slope: float) -> tuple[list[float], list[float]]:
    """Return the straight line's ends, the lowest and highest ratio, and its values there.

    It goes through the middle of the points, as least squares does, and no further than they do.
    """
    points = drawn[drawn["delta"].notna()]
    ends = [float(points["ratio"].min()), float(points["ratio"].max())]
    start = float(points["delta"].mean() - slope * points["ratio"].mean())
    return ends, [start + slope * ratio for ratio in ends]


def draw(sweep: Sweep, results: pd.DataFrame, derived: pd.DataFrame, corner: str) -> Figure:
    """Return the figure, one column wide; `corner` is the short line of origin at its lower right.

    derived: as `report.derived` gives it; without rows of the curve, or with fewer than three
    seeds, the points stand alone.
    """
    with styled():
        drawn = changes(sweep, results)
        derived = drawable(derived)
        fit, slope = _curve(derived, "isotonic"), _curve(derived, "slope")
        note = (
            f"Change of {sweep.measures.mono.name} (mean of languages) to r = 0. Dashes: the"
            f" margin of {sweep.margin:g}."
        )
        if len(slope):
            note += f" {_slope(records(slope, DerivedRow)[0])}"
        note += _baselines(results)
        if not len(fit) and not len(slope):
            note += (
                " No fit: r = 0, one more ratio and three seeds that have every ratio are needed."
            )
        if set(results[results["setting"] == "monolingual"]["delta_interval"]) & {"conditional"}:
            note += " Intervals over questions only (too few seeds)."
        figure = sheet(NARROW, 2.15, note, corner, _handles(drawn, fit, slope))
        axes = figure.add_subplot()
        axes.axhline(0, color=GREY, lw=0.6, zorder=1)
        axes.axhline(-sweep.margin, color="black", lw=0.9, ls=DASHES, zorder=2)
        _draw_band(axes, _curve(derived, "band"))
        _draw_fits(axes, drawn, fit, slope)
        _draw_changes(axes, drawn)
        share_axis(axes, 0.04)
        axes.set_xlabel(SHARE_LABEL, labelpad=2)
        axes.set_ylabel("change to r = 0", labelpad=2)
        return figure


def _handles(drawn: pd.DataFrame, fit: pd.DataFrame, slope: pd.DataFrame) -> list[Any]:
    """Return the handles of the legend."""
    verdicts = set(drawn[drawn["delta"].notna()]["verdict"])
    handles: list[Any] = [verdict_mark(name) for name in VERDICTS if name in verdicts]
    if drawn["low"].notna().any():
        handles.append(Line2D([], [], label="90 % interval", **INTERVAL))
    if not drawn["finished"].all():
        handles.append(Line2D([], [], color="black", label=GONE, **CROSS))
    if len(fit):
        word = str(fit["word"].iloc[0])
        handles.append(Line2D([], [], color=BLUE, lw=1.4, label=f"isotonic fit ({word})"))
        if fit["low"].notna().any():
            handles.append(Patch(fc=BLUE, alpha=0.2, lw=0, label="its 95 % band"))
            handles.append(Line2D([], [], label="95 % band, whole curve", **WHOLE))
    if len(slope):
        handles.append(Line2D([], [], label="least squares", **FITTED))
    return handles


def _draw_band(axes: Axes, band: pd.DataFrame) -> None:
    """Draw the edges of the band that holds the whole curve."""
    for side in ("low", "high"):
        axes.plot(band["ratio"], band[side], zorder=2.5, gid=f"band {side}", **WHOLE)


def _draw_fits(axes: Axes, drawn: pd.DataFrame, fit: pd.DataFrame, slope: pd.DataFrame) -> None:
    """Draw the isotonic fit with its band, and the straight line."""
    if len(fit):
        x, y, low, high = (
            fit[name].to_numpy(dtype=np.float64) for name in ("ratio", "value", "low", "high")
        )
        axes.fill_between(x, low, high, fc=BLUE, alpha=0.2, lw=0, zorder=1.5)
        axes.plot(x, y, color=BLUE, lw=1.4, zorder=3, gid="isotonic")
    if len(slope):
        ends, values = line(drawn, float(slope["value"].iloc[0]))
        axes.plot(ends, values, zorder=3, gid="line", **FITTED)


def _draw_changes(axes: Axes, drawn: pd.DataFrame) -> None:
    """Draw the change of each ratio, its interval and the mark of its verdict."""
    for row in records(drawn, dict[str, Any]):
        ratio, delta = row["ratio"], row["delta"]
        if not row["finished"]:
            mark_missing(axes, ratio)
        if np.isnan(delta):
            continue
        axes.plot([ratio, ratio], [row["low"], row["high"]], zorder=4, **INTERVAL)
        shape, filled, size, _ = VERDICTS[row["verdict"] or "untested"]
        look: dict[str, Any] = {"ms": 0.7 * size, "mec": "black", "mew": 0.8}
        axes.plot(ratio, delta, shape, mfc="black" if filled else "white", zorder=5, **look)


def _baselines(results: pd.DataFrame) -> str:
    """Return how far the baselines are from r = 0, in a sentence; "" where that is not known."""
    mono = measures_of(results).mono
    rows = pick(results, *mono.place)
    base = rows[rows["ratio"] == 0]["mean"]
    levels = levels_of(results, *mono.place)
    if not len(base) or not levels:
        return ""
    parts = [f"{BASELINES[kind]} {signed(levels[kind] - base.iloc[0])}" for kind in levels]
    return f" Against r = 0: {', '.join(parts)}."


def _slope(row: DerivedRow) -> str:
    """Return the slope in words, with its interval."""
    text = f"Slope per unit of r: {signed(row['value'])}"
    if pd.notna(row["low"]):
        text += f", 95 % {between(row['low'], row['high'])}"
    return text + (f", {p_words(row['p'])}." if pd.notna(row["p"]) else ".")
