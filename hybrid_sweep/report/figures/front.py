"""The trade: monolingual RR@10 against what the cross-lingual share buys, one point per ratio, the
Pareto front joined.

Positions and intervals are those of the curve, from the results; who is on the front, and how often
in the bootstrap, are the rows "front" of the derived statistics.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.figures.curve import DASHES, curve, levels_of
from hybrid_sweep.report.figures.drawable import drawable
from hybrid_sweep.report.figures.labels import Box, Spot, annotate
from hybrid_sweep.report.figures.style import GREEN, GREY, ORANGE, WIDE, settle, sheet, styled
from hybrid_sweep.report.figures.verdict_marks import covers
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.measures import SAME_LANGUAGE, Measure, Measures
from hybrid_sweep.report.results import MACRO, measures_of, pick


class Side(NamedTuple):
    """A side of the trade: its measure, its name, what the axis adds to it, and its colour."""

    measure: Measure
    name: str
    more: str
    colour: str


def sides(measures: Measures) -> list[Side]:
    """Return the sides of the trade in a report."""
    same = Side(SAME_LANGUAGE, "same-language share", " of the top 10, less to the right", ORANGE)
    return [Side(measures.cross, measures.cross.name, "", GREEN), same]


SHAPES = {"untrained": "X", "bm25": "P"}
STRETCH = 0.25  # how far an axis may grow for a baseline, as a share of its length


@dataclass
class Labels:
    """Words that wait for the layout: where each belongs, what it says, and what all keep off."""

    spots: list[Spot] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    bars: list[Box] = field(default_factory=list)

    def add(self, spot: Spot, text: str) -> None:
        """Add a word beside a point."""
        self.spots.append(spot)
        self.texts.append(text)


@dataclass(frozen=True)
class Trade:
    """A panel of the figure.

    drawn: as `points` gives it. x, y: the ends of its axes. inside, outside: the baselines within
    and beyond them, by kind.
    """

    side: Side
    drawn: pd.DataFrame
    x: Spot
    y: Spot
    inside: dict[str, Spot]
    outside: dict[str, Spot]


def points(
    sweep: Sweep, results: pd.DataFrame, derived: pd.DataFrame, against: Measure
) -> pd.DataFrame:
    """Return one row per planned ratio: x and y with the ends of their intervals, `front` (bool)
    and `frequency`.

    The intervals are the 90 % ones of the paired difference to r = 0, laid about the mean there.
    NaN where no point is finished, and a NaN frequency where the derived statistics have no row.
    """
    y = curve(sweep, results, (*sweep.measures.mono.place, MACRO))
    x = curve(sweep, results, (*against.place, MACRO))
    rows = derived[(derived["statistic"] == "front") & (derived["against"] == against.key)]
    by_ratio = rows.set_index("ratio").reindex(y["ratio"])
    return pd.DataFrame(
        {
            "ratio": y["ratio"],
            "x": x["y"],
            "x_low": x["bottom"],
            "x_high": x["top"],
            "y": y["y"],
            "y_low": y["bottom"],
            "y_high": y["top"],
            "front": (by_ratio["by_means"] == "on the front").to_numpy(),
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


def _panel(sweep: Sweep, results: pd.DataFrame, derived: pd.DataFrame, side: Side) -> Trade:
    """Return what the panel of a side shows."""
    drawn = points(sweep, results, derived, side.measure)
    across = levels_of(results, *side.measure.place)
    up = levels_of(results, *measures_of(results).mono.place)
    spots = {kind: (across[kind], up[kind]) for kind in across if kind in up}
    x = _reach(*_ends(drawn, "x"), [spot[0] for spot in spots.values()])
    y = _reach(*_ends(drawn, "y"), [spot[1] for spot in spots.values()])
    panel = Trade(side, drawn, x, y, {}, {})
    for kind, spot in spots.items():
        is_inside = x[0] <= spot[0] <= x[1] and y[0] <= spot[1] <= y[1]
        (panel.inside if is_inside else panel.outside)[kind] = spot
    return panel


def _ends(drawn: pd.DataFrame, axis: str) -> Spot:
    """Return the lowest and the highest end of the intervals along an axis."""
    values = drawn[[axis, f"{axis}_low", f"{axis}_high"]].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def _draw_front(axes: Axes, drawn: pd.DataFrame, colour: str) -> list[Box]:
    """Draw the line of the front, and return what words keep off: the line, not its whole box."""
    front = drawn[drawn["front"] & drawn["x"].notna() & drawn["y"].notna()].sort_values(["x", "y"])
    axes.plot(front["x"], front["y"], color=colour, lw=1.3, ls="-", zorder=2, gid="front")
    bars = []
    for start, end in pairwise(front[["x", "y"]].to_numpy(dtype=np.float64)):
        steps = start + np.linspace(0, 1, 21)[:, None] * (end - start)
        bars += [(*low, *high) for low, high in pairwise(steps.tolist())]
    return bars


def _draw_points(axes: Axes, drawn: pd.DataFrame, colour: str, words: Labels) -> None:
    """Draw the points and their intervals; their words are added to those that wait."""
    thin: dict[str, Any] = {"color": colour, "alpha": 0.55, "lw": 0.7, "zorder": 1.5}
    for row in records(drawn[drawn["x"].notna() & drawn["y"].notna()], dict[str, Any]):
        x, y, ratio = row["x"], row["y"], row["ratio"]
        if np.isfinite(row["x_low"]) and ratio > 0:
            axes.plot([row["x_low"], row["x_high"]], [y, y], **thin)
            words.bars.append((row["x_low"], y, row["x_high"], y))
        if np.isfinite(row["y_low"]) and ratio > 0:
            axes.plot([x, x], [row["y_low"], row["y_high"]], **thin)
            words.bars.append((x, row["y_low"], x, row["y_high"]))
        shape = "s" if ratio == 0 else "o"
        face = colour if row["front"] else "white"
        axes.plot(x, y, shape, ms=5, mfc=face, mec=colour, mew=1.0, zorder=4, gid=f"r = {ratio:g}")
        often = "" if np.isnan(row["frequency"]) else f" ({100 * row['frequency']:.0f} %)"
        words.add((x, y), f"{ratio:g}{often}")


def _draw_panel(axes: Axes, panel: Trade, margin: float, named: str) -> Labels:
    """Draw a panel, and return the words that are written when the layout stands.

    Args:
        axes: which are filled.
        panel: what is drawn.
        margin: that of the sweep.
        named: what the axis of monolingual retrieval is called.
    """
    side, drawn = panel.side, panel.drawn
    axes.set_xlim(*(panel.x[::-1] if side.measure.better < 0 else panel.x))
    axes.set_ylim(*panel.y)
    words = Labels(bars=_draw_front(axes, drawn, side.colour))
    _draw_points(axes, drawn, side.colour, words)
    base = drawn[(drawn["ratio"] == 0) & drawn["y"].notna()]["y"]
    if len(base):
        level = float(base.iloc[0]) - margin
        axes.axhline(level, color="black", lw=0.9, ls=DASHES, zorder=1)
        words.bars.append((panel.x[0], level, panel.x[1], level))
    for kind, spot in panel.inside.items():
        axes.plot(*spot, SHAPES[kind], ms=6, mfc=GREY, mec="white", mew=0.5, zorder=3)
        words.add(spot, BASELINES[kind])
    axes.set_xlabel(side.name + side.more, labelpad=2)
    axes.set_ylabel(named, labelpad=2)
    return words


def draw(sweep: Sweep, results: pd.DataFrame, derived: pd.DataFrame, corner: str) -> Figure:
    """Return the figure, a panel for each side of the trade that was measured; `corner` is the line
    of origin at its lower right.

    derived: as `report.derived` gives it; without rows "front", or with fewer than three seeds,
    the points stand alone. Up and right is better in both.
    """
    with styled():
        panels = []
        derived = drawable(derived)
        is_there = not pick(results, *sweep.measures.mono.place).empty
        for side in sides(sweep.measures):
            if is_there and not pick(results, *side.measure.place).empty:
                panels.append(_panel(sweep, results, derived, side))
        note = _note(sweep, results, panels)
        figure = sheet(WIDE, 2.9 if panels else 0.3, note, corner, _handles(panels))
        grid = figure.add_gridspec(1, max(len(panels), 1))
        waiting = []
        for place, panel in enumerate(panels):
            axes = figure.add_subplot(grid[place])
            named = sweep.measures.mono.name
            waiting.append((axes, _draw_panel(axes, panel, sweep.margin, named)))
        settle(figure)  # words find their places by the layout
        for axes, words in waiting:
            annotate(axes, words.spots, words.texts, words.bars)
        return figure


def _note(sweep: Sweep, results: pd.DataFrame, panels: list[Trade]) -> str:
    if not panels:
        return (
            "No trade-off to show: monolingual and cross-lingual or multilingual points are needed."
        )
    drawn = pd.concat([panel.drawn for panel in panels])
    note = "Words: the ratio r"
    if drawn["frequency"].notna().any():
        note += " and how often the bootstrap has it on the front"
    intervals = covers(curve(sweep, results, (*sweep.measures.mono.place, MACRO)))
    note += f". Dashes: r = 0 minus the margin of {sweep.margin:g}. {intervals}"
    if not drawn["front"].any():
        note += (
            " No front: two ratios and three seeds that have every ratio are needed, and two"
            " questions."
        )
    first = panels[0].drawn
    missing = first[first["y"].isna()]["ratio"]
    if len(missing):
        note += f" Missing: r = {', '.join(f'{ratio:g}' for ratio in missing)}."
    return note + _beyond(panels)


def _beyond(panels: list[Trade]) -> str:
    """Return a sentence with the levels of the baselines beyond the axes; "" where there are
    none.
    """
    levels: dict[str, list[str]] = {}
    for panel in panels:
        for kind, (across, up) in panel.outside.items():
            parts = levels.setdefault(kind, [f"{BASELINES[kind]}: monolingual {up:.3f}"])
            parts.append(f"{panel.side.name} {across:.3f}")
    if not levels:
        return ""
    return f" Beyond the axes: {'; '.join(map(', '.join, levels.values()))}."


def _handles(panels: list[Trade]) -> list[Any]:
    handles: list[Any] = []
    if not panels:
        return handles
    drawn = pd.concat([panel.drawn for panel in panels])
    finished = drawn["y"].notna()
    hollow: dict[str, Any] = {"ls": "", "ms": 4, "mfc": "white", "mec": "black"}
    if drawn["front"].any():
        front = Line2D([], [], color="black", lw=1.3, marker="o", ms=4, label="Pareto front")
        handles.append(front)
    if drawn["front"].any() and (~drawn["front"] & finished).any():
        handles.append(Line2D([], [], marker="o", label="off the front", **hollow))
    if finished.any() and drawn.iloc[0]["ratio"] == 0:
        handles.append(Line2D([], [], marker="s", label="r = 0", **hollow))
    lows = [panel.drawn[["x_low", "y_low"]].to_numpy()[1:] for panel in panels]
    if any(np.isfinite(values).any() for values in lows):
        label = "90 % interval of the difference to r = 0"
        handles.append(Line2D([], [], color=GREY, lw=0.7, label=label))
    grey: dict[str, Any] = {"ls": "", "ms": 5, "mfc": GREY, "mec": GREY}
    for kind, shape in SHAPES.items():
        if any(kind in panel.inside for panel in panels):
            handles.append(Line2D([], [], marker=shape, label=BASELINES[kind], **grey))
    return handles
