"""Sweeps side by side: what raising the ratio does in each, where each stands, and the same against
the examples seen.

A sweep keeps its line style and the shape of its marks in every panel, which tell it apart without
its colour; how a mark is filled is the verdict at the sweep's own margin.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.comparison.table import Comparison
from hybrid_sweep.report.figures.curve import DASHES, SHARE_LABEL, curve, share_axis
from hybrid_sweep.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    OCHRE,
    ORANGE,
    PURPLE,
    SMALL,
    WIDE,
    legible,
    sheet,
    styled,
)
from hybrid_sweep.report.figures.verdict_marks import weak
from hybrid_sweep.report.results import MACRO

LIMIT = 6  # sweeps that can be told apart in one panel
# up to so many sweeps have bands; more have bars side by side, since bands would hide each other
BANDS = 3
LOOKS: list[tuple[str, Any, str]] = [
    (BLUE, "-", "o"),
    (ORANGE, (0, (5, 1.6)), "s"),
    (GREEN, (0, (1.2, 1.2)), "^"),
    (PURPLE, (0, (7, 1.5, 1.2, 1.5)), "D"),
    (OCHRE, (0, (3, 1.2, 1, 1.2, 1, 1.2)), "v"),
    ("#333333", (0, (11, 2.5)), "P"),
]
# How a mark is filled, and what it means: at the sweep's own margin.
FILLS = {
    "full": ("non-inferior (or r = 0)", ("baseline", "superior", "non-inferior")),
    "left": ("degraded", ("degraded",)),
    "none": ("open, or not tested", ("inconclusive", "untested")),
}
SIZE = 5.2  # points: half of a mark can be seen to be empty
LETTERS = "ABCDEF"


@dataclass(frozen=True)
class PanelColumns:
    """The columns of `lines_of` that a panel draws.

    scale: the unit of the x axis. tested: whether the rows have verdicts.
    """

    x: str = "ratio"
    y: str = "y"
    bottom: str = "bottom"
    top: str = "top"
    scale: float = 1.0
    tested: bool = True


CHANGE = PanelColumns(y="change", bottom="change_bottom", top="change_top")


def lines_of(comparison: Comparison, what: tuple[str, str, str]) -> list[pd.DataFrame]:
    """Return what the panels draw of each sweep: `figures.curve` with the change to r = 0 (0 there)
    and its interval beside it.

    Columns of the change: change, change_bottom, change_top; all NaN where ratio 0 is not finished.
    """
    frames = []
    for sweep, results in zip(comparison.sweeps, comparison.results, strict=True):
        drawn = curve(sweep, results, what)
        base = (drawn["ratio"] == 0) & drawn["y"].notna()
        for name, source in [
            ("change", "delta"),
            ("change_bottom", "delta_low_90"),
            ("change_top", "delta_high_90"),
        ]:
            drawn[name] = drawn[source].where(~base, 0.0)
        frames.append(drawn)
    return frames


def _fill(row: dict[str, Any], tested: bool) -> str:
    """Return the fill style of a mark; where there are no verdicts, filled if it differs from r = 0
    at Holm-adjusted 5 %.
    """
    if not tested:
        return "full" if row["ratio"] == 0 or row["p_holm"] < 0.05 else "none"
    for fill, (_, verdicts) in FILLS.items():
        if row["verdict"] in verdicts:
            return fill
    return "none"


def _dodge(values: np.ndarray, index: int, count: int, width: float) -> np.ndarray:
    """Return places beside each other on the x axis, centred on the value."""
    return values + (index - (count - 1) / 2) * width


def _draw(axes: Axes, drawn: Sequence[pd.DataFrame], columns: PanelColumns) -> None:
    """Draw one line per sweep."""
    places = [frame[columns.x].to_numpy(dtype=np.float64) / columns.scale for frame in drawn]
    finite = np.concatenate([values[np.isfinite(values)] for values in places])
    span = float(np.ptp(finite)) if len(finite) else 1.0
    is_crowded = len(drawn) > BANDS
    for index, (frame, place) in enumerate(zip(drawn, places, strict=True)):
        if is_crowded:
            place = _dodge(place, index, len(drawn), 0.011 * span)
        _draw_interval(axes, frame, place, columns, index, is_crowded)
        colour, line, _ = LOOKS[index]
        middle = frame[columns.y].to_numpy(dtype=np.float64)
        axes.plot(place, middle, ls=line, color=colour, lw=1.3, zorder=4)
        rows = records(frame, dict[str, Any])
        for at, value, row in zip(place, middle, rows, strict=True):
            if np.isfinite(at) and np.isfinite(value):
                _draw_mark(axes, at, value, index, _fill(row, columns.tested))
            elif np.isfinite(at) and pd.isna(row["status"]):  # planned, and no point finished
                _draw_missing(axes, at, colour)


def _draw_interval(
    axes: Axes,
    frame: pd.DataFrame,
    place: np.ndarray,
    columns: PanelColumns,
    index: int,
    is_crowded: bool,
) -> None:
    """Draw the intervals of a sweep as a band, or as bars where bands would hide each other."""
    colour, line, _ = LOOKS[index]
    low, high = (frame[name].to_numpy(dtype=np.float64) for name in (columns.bottom, columns.top))
    if is_crowded:
        axes.vlines(place, low, high, color=colour, lw=0.9, alpha=0.8, zorder=2)
        return
    look: dict[str, Any] = {"fc": colour, "ec": colour, "alpha": 0.13, "lw": 0}
    axes.fill_between(place, low, high, hatch="/////" if weak(frame) else None, zorder=1, **look)
    for edge in (low, high):
        axes.plot(place, edge, ls=line, color=colour, lw=0.5, alpha=0.8, zorder=2)


def _draw_mark(axes: Axes, at: float, value: float, index: int, fill: str) -> None:
    """Draw the mark of a point of a sweep."""
    colour, _, mark = LOOKS[index]
    look: dict[str, Any] = {"ls": "", "marker": mark, "ms": SIZE, "mew": 0.8, "zorder": 5}
    filled: dict[str, Any] = {"color": colour, "fillstyle": fill, "mfcalt": "white"}
    axes.plot(at, value, clip_on=False, **look, **filled)
    # empty, not transparent: the line must not run through it
    if fill == "none":
        axes.plot(at, value, mfc="white", mec=colour, **look)


def _draw_missing(axes: Axes, at: float, colour: str) -> None:
    """Draw a cross above the x axis."""
    axes.plot(
        at,
        0.03,
        "x",
        color=colour,
        ms=4.5,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
        zorder=6,
    )


def _share(axes: Axes) -> None:
    share_axis(axes, 0.04)
    axes.set_xlabel(SHARE_LABEL, labelpad=2)


def _margins(axes: Axes, comparison: Comparison) -> None:
    """Draw a line at 0 and one at minus each margin, with the letters of its sweeps where they
    state several.
    """
    axes.axhline(0, color=GREY, lw=0.6, zorder=1)
    if not comparison.has_monolingual:  # a margin is stated for monolingual retrieval
        return
    margins = [sweep.margin for sweep in comparison.sweeps]
    for margin in sorted(set(margins)):
        text = f"margin {margin:g}"
        if len(set(margins)) > 1:
            pairs = zip(LETTERS, margins, strict=False)
            text += f" of {' '.join(letter for letter, own in pairs if own == margin)}"
        axes.axhline(-margin, color="black", lw=0.8, ls=DASHES, zorder=3)
        axes.annotate(
            text,
            (0.01, -margin),
            (0, -2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=SMALL,
            va="top",
            # a band behind it stays legible
            bbox={"fc": "white", "alpha": 0.8, "lw": 0, "pad": 0.6},
        )


def _legend(comparison: Comparison, drawn: list[pd.DataFrame]) -> list[Any]:
    handles: list[Any] = []
    for index, name in enumerate(comparison.names):
        colour, line, mark = LOOKS[index]
        # The letter keeps a name that begins with an underscore in the legend.
        words = f"{LETTERS[index]}: {legible(name)}"
        handles.append(
            Line2D([], [], ls=line, color=colour, marker=mark, ms=SIZE, lw=1.3, label=words)
        )
    shown: set[str] = set()
    for frame in drawn:
        shown |= set(frame["verdict"].dropna())
    for fill, (meaning, verdicts) in FILLS.items():
        if shown & set(verdicts):
            look: dict[str, Any] = {"fillstyle": fill, "mfcalt": "white"}
            handles.append(
                Line2D([], [], ls="", marker="o", color="black", ms=SIZE, label=meaning, **look)
            )
    if len(drawn) <= BANDS:
        handles.append(Patch(fc="#d0d0d0", ec=GREY, lw=0, label="90 % interval of the change"))
    return handles


def _notes(comparison: Comparison, drawn: list[pd.DataFrame]) -> str:
    over = "Changes are to each sweep's own r = 0"
    if comparison.has_monolingual:
        over += ", marks at its own margin"
    if len(drawn) > BANDS:
        over += "; bars: 90 % intervals; marks of one ratio stand side by side"
    parts = [f"{over}."]
    if any(weak(frame) for frame in drawn):
        parts.append("Some intervals are over questions only (too few seeds).")
    if any(frame["y"].isna().any() for frame in drawn):
        parts.append("×: missing.")
    parts.append("Cross-lingual: a filled mark differs from r = 0 (5 %, Holm).")
    return " ".join(parts)


def draw(comparison: Comparison) -> Figure:
    """Return the whole figure: change and level of monolingual retrieval, then cross-lingual
    retrieval and the change by examples seen; where nothing is monolingual, change and level of
    cross-lingual retrieval.

    The two panels of the change have one y axis. A panel for which no sweep has anything is left
    out.
    """
    with styled():
        about, across_languages = comparison.leading, comparison.measures.cross
        tested = comparison.has_monolingual
        drawn, cross = (
            lines_of(comparison, (*one.place, MACRO)) for one in (about, across_languages)
        )
        examples = [frame["examples_cross_lingual"].to_numpy(dtype=np.float64) for frame in drawn]
        seen = any(np.isfinite(counts).any() for counts in examples)
        across = tested and any(frame["y"].notna().any() for frame in cross)
        change = replace(CHANGE, tested=tested)
        marks = [sweep.fingerprint for sweep in comparison.sweeps]
        corner = " · ".join([*marks, legible(comparison.on)] if comparison.on else marks)
        lower = across + seen
        figure = sheet(
            WIDE,
            4.6 if lower else 2.5,
            _notes(comparison, drawn),
            corner,
            _legend(comparison, drawn),
        )
        rows = figure.add_gridspec(2 if lower else 1, 1, height_ratios=[1.2, 1] if lower else None)
        grid = rows[0].subgridspec(1, 2, width_ratios=[1.35, 1])
        axes = figure.add_subplot(grid[0])
        _draw(axes, drawn, change)
        _margins(axes, comparison)
        axes.set_title(f"{about.title}, change to r = 0")
        _share(axes)
        level = figure.add_subplot(grid[1])
        _draw(level, drawn, PanelColumns(tested=tested))
        level.set_title(about.title)
        _share(level)
        place = 0
        grid = rows[1].subgridspec(1, lower) if lower else grid
        if across:
            other = figure.add_subplot(grid[place])
            _draw(other, cross, PanelColumns(tested=False))
            other.set_title(across_languages.title)
            _share(other)
            place += 1
        if seen:
            budget = figure.add_subplot(grid[place], sharey=axes)
            _draw(budget, drawn, replace(change, x="examples_cross_lingual", scale=1000))
            _margins(budget, comparison)
            budget.set_title(f"{about.title}, change, by examples seen")
            budget.set_xlabel("cross-lingual examples of a run, thousands", labelpad=2)
        return figure
