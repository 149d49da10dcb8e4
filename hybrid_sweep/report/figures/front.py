"""The trade: monolingual RR@10 against what the cross-lingual share buys, one point per ratio, the
Pareto front joined.

Positions and intervals are those of the curve, from the results; who is on the front, and how often
in the bootstrap, are the rows "front" of the derived statistics.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.figures.curve import covers, curve
from hybrid_sweep.report.figures.labels import Box, annotate
from hybrid_sweep.report.figures.style import GREEN, GREY, ORANGE, WIDE, settle, sheet, styled
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.results import MACRO, MONO, pick

# Setting, measure, its name, what the axis adds to it, colour, and whether less is better.
SIDES: list[tuple[str, str, str, str, str, bool]] = [
    ("cross-lingual", "RR@10", "cross-lingual MRR@10", "", GREEN, False),
    (
        "multilingual",
        "same@10",
        "same-language share",
        " of the top 10, less to the right",
        ORANGE,
        True,
    ),
]
SHAPES = {"untrained": "X", "bm25": "P"}
STRETCH = 0.25  # how far an axis may grow for a baseline, as a share of its length


def points(
    sweep: Sweep, results: pd.DataFrame, derived: pd.DataFrame, setting: str, measure: str
) -> pd.DataFrame:
    """Return one row per planned ratio: x and y with the ends of their intervals, `front` (bool)
    and `frequency`.

    The intervals are the 90 % ones of the paired difference to r = 0, laid about the mean there.
    NaN where no point is finished, and a NaN frequency where the derived statistics have no row.
    """
    y, x = (curve(sweep, results, (*what, MACRO)) for what in (MONO, (setting, measure)))
    rows = derived[
        (derived["statistic"] == "front") & (derived["against"] == f"{setting} {measure}")
    ]
    by_ratio = rows.set_index("ratio").reindex(y["ratio"])
    return pd.DataFrame(
        {
            "ratio": y["ratio"],
            **{"x": x["y"], "x_low": x["bottom"], "x_high": x["top"]},
            **{"y": y["y"], "y_low": y["bottom"], "y_high": y["top"]},
            "front": (by_ratio["word"] == "on the front").to_numpy(),
            "frequency": by_ratio["value"].to_numpy(dtype=np.float64),
        }
    )


def _reach(low: float, high: float, levels: list[float]) -> tuple[float, float]:
    """Return the ends of an axis: the points, some air, and the baselines that lie near."""
    length = max(high - low, 1e-3)
    near = [level for level in levels if low - STRETCH * length <= level <= high + STRETCH * length]
    low, high = min([low, *near]), max([high, *near])
    air = 0.12 * max(high - low, 1e-3)
    return low - air, high + air


def _baselines(results: pd.DataFrame, setting: str, measure: str) -> dict[str, tuple[float, float]]:
    found = {}
    for kind in BASELINES:
        pair = [pick(results, *what, kind=kind)["mean"] for what in ((setting, measure), MONO)]
        if all(len(mean) for mean in pair):
            found[kind] = (float(pair[0].iloc[0]), float(pair[1].iloc[0]))
    return found


def _panel(
    axes: Axes, drawn: pd.DataFrame, colour: str
) -> tuple[list[tuple[float, float]], list[str], list[Box]]:
    """Draw the points, their intervals and the front; where the words go, what they say, and what
    they keep off.
    """
    front = drawn[drawn["front"] & drawn["x"].notna() & drawn["y"].notna()].sort_values(["x", "y"])
    joined = front[["x", "y"]].to_numpy(dtype=np.float64)
    axes.plot(front["x"], front["y"], color=colour, lw=1.3, ls="-", zorder=2, gid="front")
    spots, words, bars = [], [], []
    for start, end in pairwise(joined):
        # words keep off the line, not off its whole box
        steps = start + np.linspace(0, 1, 21)[:, None] * (end - start)
        bars += [(*low, *high) for low, high in pairwise(steps.tolist())]
    for row in records(drawn[drawn["x"].notna() & drawn["y"].notna()], dict[str, Any]):
        x, y = row["x"], row["y"]
        if np.isfinite(row["x_low"]) and row["ratio"] > 0:
            axes.plot(
                [row["x_low"], row["x_high"]], [y, y], color=colour, alpha=0.55, lw=0.7, zorder=1.5
            )
            bars.append((row["x_low"], y, row["x_high"], y))
        if np.isfinite(row["y_low"]) and row["ratio"] > 0:
            axes.plot(
                [x, x], [row["y_low"], row["y_high"]], color=colour, alpha=0.55, lw=0.7, zorder=1.5
            )
            bars.append((x, row["y_low"], x, row["y_high"]))
        shape = "s" if row["ratio"] == 0 else "o"
        face = colour if row["front"] else "white"
        axes.plot(
            x, y, shape, ms=5, mfc=face, mec=colour, mew=1.0, zorder=4, gid=f"r = {row['ratio']:g}"
        )
        often = "" if np.isnan(row["frequency"]) else f" ({100 * row['frequency']:.0f} %)"
        spots.append((x, y))
        words.append(f"{row['ratio']:g}{often}")
    return spots, words, bars


def draw(sweep: Sweep, results: pd.DataFrame, derived: pd.DataFrame, corner: str) -> Figure:
    """Return the figure, a panel for each side of the trade that was measured; `corner` is the line
    of origin at its lower right.

    derived: as `report.derived` gives it; without rows "front" the points stand alone. Up and
    right is better in both.
    """
    with styled():
        sides = [
            side
            for side in SIDES
            if not pick(results, *side[:2]).empty and not pick(results, *MONO).empty
        ]
        found = [points(sweep, results, derived, *side[:2]) for side in sides]
        ends: list[Any] = []
        off: dict[str, list[str]] = {}
        for side, drawn in zip(sides, found, strict=True):
            levels = _baselines(results, *side[:2])
            limits = []
            for axis, place in (("x", 0), ("y", 1)):
                values = drawn[[axis, f"{axis}_low", f"{axis}_high"]].to_numpy(dtype=np.float64)
                values = values[np.isfinite(values)]
                low, high = (
                    (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
                )
                limits.append(_reach(low, high, [level[place] for level in levels.values()]))
            inside = {
                kind: spot
                for kind, spot in levels.items()
                if all(
                    low <= value <= high for value, (low, high) in zip(spot, limits, strict=True)
                )
            }
            for kind, spot in levels.items():
                if kind not in inside:
                    said = off.setdefault(kind, [f"{BASELINES[kind]}: monolingual {spot[1]:.3f}"])
                    said.append(f"{side[2]} {spot[0]:.3f}")
            ends.append((limits, inside))
        figure = sheet(
            WIDE,
            2.9 if sides else 0.3,
            _note(sweep, found, off, results),
            corner,
            _handles(found, ends),
        )
        grid = figure.add_gridspec(1, max(len(sides), 1))
        waiting = []
        for place, (side, drawn, (limits, inside)) in enumerate(
            zip(sides, found, ends, strict=True)
        ):
            axes = figure.add_subplot(grid[place])
            axes.set_xlim(*(limits[0][::-1] if side[5] else limits[0]))
            axes.set_ylim(*limits[1])
            spots, words, bars = _panel(axes, drawn, side[4])
            base = drawn[(drawn["ratio"] == 0) & drawn["y"].notna()]["y"]
            if len(base):
                level = float(base.iloc[0]) - sweep.margin
                axes.axhline(level, color="black", lw=0.9, ls=(0, (5, 2.5)), zorder=1)
                bars.append((*(limits[0][0], level), *(limits[0][1], level)))
            for kind, spot in inside.items():
                axes.plot(*spot, SHAPES[kind], ms=6, mfc=GREY, mec="white", mew=0.5, zorder=3)
                spots.append(spot)
                words.append(BASELINES[kind])
            axes.set_xlabel(side[2] + side[3], labelpad=2)
            axes.set_ylabel("monolingual MRR@10", labelpad=2)
            waiting.append((axes, spots, words, bars))
        settle(figure)  # words find their places by the layout
        for axes, spots, words, bars in waiting:
            annotate(axes, spots, words, bars)
        return figure


def _note(
    sweep: Sweep, found: list[pd.DataFrame], off: dict[str, list[str]], results: pd.DataFrame
) -> str:
    if not found:
        return (
            "No trade-off to show: monolingual and cross-lingual or multilingual points are needed."
        )
    note = "Words: the ratio r"
    if any(drawn["frequency"].notna().any() for drawn in found):
        note += " and how often the bootstrap has it on the front"
    note += (
        f". Dashes: r = 0 minus the margin of {sweep.margin:g}."
        f" {covers(curve(sweep, results, (*MONO, MACRO)))}"
    )
    if not any(drawn["front"].any() for drawn in found):
        note += " No seed has every ratio, or there is one ratio only: no front is drawn."
    missing = [f"{ratio:g}" for ratio in found[0][found[0]["y"].isna()]["ratio"]]
    note += f" Missing: r = {', '.join(missing)}." if missing else ""
    return note + (
        f" Beyond the axes: {'; '.join(', '.join(said) for said in off.values())}." if off else ""
    )


def _handles(found: list[pd.DataFrame], ends: list[Any]) -> list[Any]:
    handles: list[Any] = []
    if any(drawn["front"].any() for drawn in found):
        handles.append(
            Line2D([], [], color="black", lw=1.3, marker="o", ms=4, label="Pareto front")
        )
    if any((~drawn["front"] & drawn["y"].notna()).any() for drawn in found):
        handles.append(
            Line2D([], [], ls="", marker="o", ms=4, mfc="white", mec="black", label="off the front")
        )
    if any(drawn["y"].notna().any() and drawn.iloc[0]["ratio"] == 0 for drawn in found):
        handles.append(
            Line2D([], [], ls="", marker="s", ms=4, mfc="white", mec="black", label="r = 0")
        )
    if any(drawn[["x_low", "y_low"]].notna().to_numpy()[1:].any() for drawn in found):
        handles.append(
            Line2D([], [], color=GREY, lw=0.7, label="90 % interval of the difference to r = 0")
        )
    for kind, shape in SHAPES.items():
        if any(kind in inside for _, inside in ends):
            handles.append(
                Line2D([], [], ls="", marker=shape, ms=5, mfc=GREY, mec=GREY, label=BASELINES[kind])
            )
    return handles
