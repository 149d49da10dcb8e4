"""Trained ratios and averages of weights: both axes against each other, and each against the share
of cross-lingual batches, or the mean of it in an average.
"""

import io
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.figures.labels import Box, Spot, annotate
from hybrid_sweep.report.figures.style import BLUE, GREY, ORANGE, WIDE, settle, sheet, styled
from hybrid_sweep.report.measures import Measures
from hybrid_sweep.report.merged.rows import MergedRow

HEIGHT = 2.7  # inches
STEPS = 21  # of a line that words keep off
TRAINED: dict[str, Any] = {"color": BLUE, "ls": "-", "marker": "o", "ms": 4.5, "lw": 1.2}
PAIR: dict[str, Any] = {"color": ORANGE, "ls": "--", "marker": "D", "ms": 3.8, "lw": 1.1}
PAIR |= {"mfc": "white"}
SOUP: dict[str, Any] = {"color": ORANGE, "ls": "", "marker": "*", "ms": 8}
BARS: dict[str, Any] = {"lw": 0.7, "alpha": 0.55, "zorder": 1.5}


def curves(rows: pd.DataFrame) -> list[tuple[str, list[MergedRow]]]:
    """Return what is drawn: the trained ratios, and the averages of each set of parents."""
    near = records(rows[rows["against"] == rows["against"].min()], MergedRow)
    parts: dict[str, list[MergedRow]] = {}
    for row in near:
        parts.setdefault(row["ratios"], []).append(row)
    return [(name, sorted(part, key=lambda row: row["mean_ratio"])) for name, part in parts.items()]


def _style(name: str) -> dict[str, Any]:
    if not name:
        return TRAINED
    return PAIR if name.count(" ") == 1 else SOUP


def _gid(name: str) -> str:
    """Return what a curve is called in an SVG."""
    return f"average-of-{name.replace(' ', '-')}" if name else "trained"


def _word(row: MergedRow) -> str:
    """Return the word beside a point; "" for an average that stands on a trained point."""
    if row["kind"] == "trained":
        return f"r = {row['ratio']:g}"
    if row["word"] == "parent":
        return ""
    return f"{row['alpha']:g}" if np.isfinite(row["alpha"]) else "mean"


def draw(rows: pd.DataFrame, measures: Measures, margin: float, corner: str) -> Figure:
    """Return the figure.

    Args:
        rows: of merged.csv.
        measures: of the report.
        margin: of the sweep.
        corner: the line of origin at the lower right.
    """
    with styled():
        parts = curves(rows)
        figure = sheet(WIDE, HEIGHT, _note(rows, margin), corner, _handles(parts))
        grid = figure.add_gridspec(1, 3, width_ratios=(1.3, 1, 1))
        trade = figure.add_subplot(grid[0])
        spots: list[Spot] = []
        words: list[str] = []
        lines: list[Box] = []
        for name, part in parts:
            across = [row["cross_lingual"] for row in part]
            up = [row["monolingual"] for row in part]
            trade.plot(across, up, **_style(name), gid=f"trade-{_gid(name)}")
            line = list(zip(across, up, strict=True))
            lines += _along_line(line)
            for row, spot in zip(part, line, strict=True):
                if _word(row):
                    spots.append(spot)
                    words.append(_word(row))
        trade.set_xlabel(measures.cross.name, labelpad=2)
        trade.set_ylabel(measures.mono.name, labelpad=2)
        for place, axis in enumerate(("mono", "cross"), 1):
            axes = figure.add_subplot(grid[place])
            for name, part in parts:
                _along(axes, name, part, axis)
            axes.set_xlabel("r, or mean r of an average", labelpad=2)
            axes.set_ylabel(measures.mono.name if axis == "mono" else measures.cross.name)
        settle(figure)  # words find their places by the layout
        annotate(trade, spots, words, lines)
        return figure


def svg(rows: pd.DataFrame, measures: Measures, margin: float) -> str:
    """Return the figure as an element of a page: the same rows give the same text."""
    drawn = draw(rows, measures, margin, "")
    nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with styled(), rc_context({"svg.hashsalt": "hybrid-sweep merged"}), io.StringIO() as file:
        drawn.savefig(file, format="svg", metadata=nothing)
        text = file.getvalue()
    # Its style would be that of all drawings of the page.
    return re.sub(r"<style.*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)


def _along_line(line: list[Spot]) -> list[Box]:
    """Return small boxes along a line, which words keep off."""
    boxes: list[Box] = []
    for start, end in pairwise(line):
        first, last = np.array(start), np.array(end)
        steps = first + np.linspace(0, 1, STEPS)[:, None] * (last - first)
        boxes += [(*low, *high) for low, high in pairwise(steps.tolist())]
    return boxes


def _along(axes: Axes, name: str, part: list[MergedRow], axis: str) -> None:
    """Draw one axis of a curve over the ratio, with the intervals of its differences."""
    style = _style(name)
    place = [row["mean_ratio"] for row in part]
    column = "monolingual" if axis == "mono" else "cross_lingual"
    level = [float(row[column]) for row in part]  # type: ignore[literal-required]
    axes.plot(place, level, **style, gid=f"{axis}-{_gid(name)}")
    for row, x, y in zip(part, place, level, strict=True):
        delta, low, high = (float(row[f"{axis}_{end}"]) for end in ("delta", "low", "high"))  # type: ignore[literal-required]
        if np.isfinite(low) and row["word"] != "parent":
            axes.plot([x, x], [y + low - delta, y + high - delta], color=style["color"], **BARS)


def _note(rows: pd.DataFrame, margin: float) -> str:
    if not len(rows):
        return "No seed has every trained ratio and every average."
    lowest = rows["against"].min()
    kind = "crossed" if (rows["interval"] == "crossed").all() else "conditional"
    covers = "seeds and questions" if kind == "crossed" else "questions only, at these seeds"
    return (
        "Left: up and right is better; words: r of a trained point, alpha of an average. Middle"
        f" and right: bars are 95 % intervals of the paired difference to r = {lowest:g}"
        f" ({covers}). Margin of the comparison on both axes: {margin:g}."
    )


def _handles(parts: list[tuple[str, list[MergedRow]]]) -> list[Any]:
    handles: list[Any] = []
    for name, _ in parts:
        ratios = ", ".join(f"{float(text):g}" for text in name.split())
        label = f"average of the weights at r = {ratios}" if name else "trained at r"
        handles.append(Line2D([], [], label=label, **_style(name)))
    bars = {name: value for name, value in BARS.items() if name != "zorder"}
    handles.append(Line2D([], [], color=GREY, label="95 % interval", **bars))
    return handles
