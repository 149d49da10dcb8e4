"""Heat maps of language pairs: RR@10 of every query and passage language at each ratio, and its
change to r = 0.

The diagonal, framed, is monolingual retrieval, the rest cross-lingual: the two sides of the trade
in one picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hybrid_sweep.report.figures.cells import (
    Array,
    ColourScale,
    Overlay,
    cells,
    chosen,
    fitting,
    handles,
    key,
    label,
    left_out,
    turned,
)
from hybrid_sweep.report.figures.curve import levels_of, planned
from hybrid_sweep.report.figures.fewer import among, fewer
from hybrid_sweep.report.figures.style import CHANGE, LEVEL, WIDE, sheet, styled, width_of
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.results import MEANS, measures_of

BAR = 0.13  # inches: the height of a colour bar
EDGE = 0.3  # inches that the title of the rows and the air about their names take


def matrices(results: pd.DataFrame, column: str) -> tuple[list[str], dict[float, Array]]:
    """Return the languages, L of them, and by ratio the (L, L) values of a column of the report's
    measure: rows query, columns passage language.

    NaN where the results have no value.
    """
    rows = results[
        (results["kind"] == "trained")
        & (results["measure"] == measures_of(results).name)
        & ~results["scope"].isin(MEANS)
    ]
    rows = rows[rows["setting"].isin(["monolingual", "cross-lingual"])]
    pairs = []
    for scope in rows["scope"]:
        query, _, passage = scope.partition(">")
        pairs.append((query, passage or query))
    names = sorted({name for pair in pairs for name in pair})
    place = {name: i for i, name in enumerate(names)}
    by_ratio = {}
    for ratio in sorted(set(rows["ratio"])):
        by_ratio[float(ratio)] = np.full((len(names), len(names)), np.nan)
    for (query, passage), ratio, value in zip(pairs, rows["ratio"], rows[column], strict=True):
        by_ratio[float(ratio)][place[query], place[passage]] = value
    return names, by_ratio


def _languages(results: pd.DataFrame) -> list[str]:
    """Return the languages of the rows of `matrices`, sorted."""
    rows = results[(results["kind"] == "trained") & (results["measure"] == "RR@10")]
    rows = rows[rows["setting"].isin(["monolingual", "cross-lingual"])]
    names = {name for scope in set(rows["scope"]) - set(MEANS) for name in scope.split(">")}
    return sorted(names)


def significant(results: pd.DataFrame) -> dict[float, NDArray[np.int_]]:
    """Return (L, L) for each ratio: +1 or -1 where the change to r = 0 is a significant rise or
    fall, Holm over the pair's ratios.
    """
    _, delta = matrices(results, "delta")
    _, p = matrices(results, "p_holm")
    marks = {}
    for ratio, change in delta.items():
        marks[ratio] = np.where(p[ratio] < 0.05, np.sign(change), 0).astype(np.int_)
    return marks


@dataclass(frozen=True)
class Matrices:
    """The matrices of the figure.

    names: L languages. ratios: those with room, `rest` the others. levels, changes: (L, L) by
    ratio, NaN where there is no value. marks: as `significant` gives them. finished: ratios with a
    level.
    """

    names: list[str]
    ratios: list[float]
    rest: list[float]
    levels: dict[float, Array]
    changes: dict[float, Array]
    marks: dict[float, NDArray[np.int_]]
    finished: set[float]

    @property
    def size(self) -> int:
        """Return the number of rows of a matrix, at least 1."""
        return max(len(self.names), 1)

    @property
    def is_paired(self) -> bool:
        """Return whether there is a second row, of the changes to r = 0."""
        finite = [np.isfinite(values).any() for values in self.changes.values()]
        return 0.0 in self.finished and any(finite)

    @property
    def has_marks(self) -> bool:
        """Return whether a change is significant."""
        return any(self.marks[ratio].any() for ratio in self.changes if ratio in self.marks)


@dataclass(frozen=True)
class Dimensions:
    """The measures of the figure.

    columns: of matrices. down: inches of a row of cells. room: points that a number has in a cell.
    """

    columns: int
    down: float
    room: float

    def fitting(self, values: Mapping[float, Array], least: float, sign: bool) -> int | None:
        """Return the digits of the numbers of some matrices; None where a row is less than `least`
        points high, or they are too wide.
        """
        if 72 * self.down <= least:
            return None
        return fitting(_joined(values), (2, 3), self.room, sign=sign)


def _joined(values: Mapping[float, Array]) -> Array:
    """Return the finite values of all matrices in one row."""
    parts = [matrix.ravel() for matrix in values.values()]
    joined = np.concatenate(parts) if parts else np.zeros(0)
    return joined[np.isfinite(joined)]


def _matrices(sweep: Sweep, results: pd.DataFrame) -> Matrices:
    names, means = matrices(results, "mean")
    _, deltas = matrices(results, "delta")
    ratios, rest = chosen(planned(sweep), 4 if len(names) <= 8 else 3)
    size = max(len(names), 1)
    gap = np.full((size, size), np.nan)
    return Matrices(
        names=names,
        ratios=ratios,
        rest=rest,
        levels={ratio: means.get(ratio, gap) for ratio in ratios},
        changes={ratio: deltas.get(ratio, gap) for ratio in ratios if ratio > 0},
        marks=significant(results),
        finished=set(means),
    )


def _dimensions(shown: Matrices) -> Dimensions:
    size = shown.size
    takes_first = shown.is_paired and 0.0 in shown.ratios  # the bars stand below r = 0
    columns = max(len(shown.ratios) + (0 if takes_first else 1), 2)
    # the names stand in two columns of the figure
    edge = EDGE + 2 * max((width_of(name) for name in shown.names), default=0.0) / 72
    across = (WIDE - edge - 0.08 * columns) / columns / size
    down = 0.26 if size <= 8 else 0.16 if size <= 12 else 0.12
    return Dimensions(columns, max(down, 1.0 / size), 72 * across - 1.5)


def _scales(shown: Matrices) -> tuple[ColourScale, ColourScale]:
    """Return the colours of the levels and of the changes."""
    levels = _joined(shown.levels)
    level = Normalize(0, 1)
    if len(levels):
        level = Normalize(float(levels.min()), float(levels.max()) + 1e-9)
    moved = np.abs(_joined(shown.changes))
    reach = max(float(moved.max()), 1e-3) if len(moved) else 1.0
    change = TwoSlopeNorm(0.0, -reach, reach)
    return ColourScale(LEVEL, level), ColourScale(CHANGE, change, sign=True)


def _note(shown: Matrices, results: pd.DataFrame) -> str:
    note = (
        f"{measures_of(results).title} by query language (rows) and passage language (columns);"
        " each passage language is a pool of its own."
    )
    if shown.is_paired:
        note += " Lower row: mean paired change to r = 0."
        if shown.has_marks:
            note += " Significant: 5 %, Holm over the ratios of a pair, not over the pairs."
        elif (results["delta_interval"] == "conditional").any():
            note += " With so few seeds nothing is tested."
    return note + _baselines(results) + left_out(shown.rest, "results.csv")


def draw(sweep: Sweep, results: pd.DataFrame, corner: str) -> Figure:
    """Return the figure; `corner` is the short line of origin at its lower right.

    Up to four ratios, three where there are more than eight languages: lowest, highest and between;
    it says which are left out. A ratio without a finished point is a matrix of gaps. Without r = 0
    there is no second row.
    """
    with styled():
        few, words = fewer(results, _languages(results))
        shown = _matrices(sweep, among(results, few))
        page = _dimensions(shown)
        level, change = _scales(shown)
        is_paired = shown.is_paired
        level_digits = page.fitting(shown.levels, 9, sign=False)
        change_digits = page.fitting(shown.changes, 16, sign=True)
        legend = handles(
            marks=is_paired and shown.has_marks,
            falls=is_paired and change_digits is None,
            gaps=not all(np.isfinite(values).all() for values in shown.levels.values()),
            frame="monolingual (same language)",
        )
        row = page.down * shown.size + 0.32 + turned(shown.names, page.room)
        height = 2 * row + 0.3 if is_paired else row + 0.42
        figure = sheet(WIDE, height, _note(shown, results) + words, corner, legend)
        grid = figure.add_gridspec(2 if is_paired else 1, page.columns)
        diagonal = np.eye(shown.size, dtype=bool)
        for place, ratio in enumerate(shown.ratios):
            axes = figure.add_subplot(grid[0, place])
            framed = diagonal if shown.names else None
            cells(axes, shown.levels[ratio], level, Overlay(level_digits, framed=framed))
            missing = "" if ratio in shown.finished else ", missing"
            axes.set_title(f"r = {ratio:g}{missing}", pad=3)
            is_last = not is_paired or ratio == 0
            _name(axes, shown.names, page.room, left=place == 0, below=is_last)
            if is_paired and ratio > 0:
                axes = figure.add_subplot(grid[1, place])
                overlay = Overlay(change_digits, shown.marks.get(ratio), framed=diagonal)
                cells(axes, shown.changes[ratio], change, overlay)
                axes.set_title(f"r = {ratio:g} against r = 0", pad=3)
                is_first = ratio == min(shown.changes)
                _name(axes, shown.names, page.room, left=is_first, below=True)
        spot = grid[0, page.columns - 1]
        if is_paired and 0.0 in shown.ratios:
            spot = grid[1, shown.ratios.index(0.0)]
        slack = max(page.down * shown.size - 0.9, 0.02)
        bars = spot.subgridspec(4, 1, height_ratios=[slack, BAR, BAR, slack])
        key(figure.add_subplot(bars[1]), level, sweep.measures.title)
        if is_paired:
            key(figure.add_subplot(bars[2]), change, "change to r = 0")
        return figure


def _baselines(results: pd.DataFrame) -> str:
    """Return the means of the baselines, in a sentence; "" where there are none."""
    levels, measures = {}, measures_of(results)
    for measure in (measures.mono, measures.cross):
        levels[measure.setting] = levels_of(results, *measure.place)
    parts = []
    for kind, name in BASELINES.items():
        for setting, by_kind in levels.items():
            if kind in by_kind:
                parts.append(f"{name} {setting} {by_kind[kind]:.3f}")
    return f" Baselines, mean: {', '.join(parts)}." if parts else ""


def _name(axes: Any, names: list[str], room: float, *, left: bool, below: bool) -> None:
    label(axes, names if left else [], names if below else [], room)
    if left:
        axes.set_ylabel("query language", labelpad=2)
    if below:
        axes.set_xlabel("passage language", labelpad=2)
