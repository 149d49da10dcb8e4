"""Language bias by query language and ratio: how much of the top 10 is in the query's language, and
the rank distance.

All numbers are rows of the results but one column: "pool", the share of a language among the
passages, which no preference at all would give, is from metrics.json.
"""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.figures.cells import (
    Array,
    ColourScale,
    Overlay,
    cells,
    fitting,
    handles,
    key,
    label,
    turned,
)
from hybrid_sweep.report.figures.curve import planned
from hybrid_sweep.report.figures.fewer import fewer
from hybrid_sweep.report.figures.style import LEVEL, WIDE, sheet, styled, width_of
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.measures import RANK_DISTANCE, SAME_LANGUAGE, Measure
from hybrid_sweep.report.results import MACRO, MEANS, languages
from hybrid_sweep.report.rows import ResultRow


class Map(NamedTuple):
    """A map of the figure: measure, title, digits that may be written, and what the colour bar
    says.
    """

    measure: Measure
    title: str
    digits: tuple[int, ...]
    unit: str


MAPS = [
    Map(SAME_LANGUAGE, SAME_LANGUAGE.title, (2, 3), "share"),
    Map(RANK_DISTANCE, f"{RANK_DISTANCE.title} of relevant passages", (0,), "ranks"),
]
POOL = "pool"
ROW = 0.135  # inches
EDGE = 0.2  # inches: the air about the names of the rows


@dataclass(frozen=True)
class Matrix:
    """What a map shows.

    rows: their names, the mean of the languages, then each. columns: ratios, then baselines, then
    "pool" where it is known. values: (R, C), NaN where there is none. shown: (R, C) whether the
    change to r = 0 is significant. n_ratios: number of columns that are ratios.
    """

    rows: list[str]
    columns: list[str]
    values: Array
    shown: NDArray[np.bool_]
    n_ratios: int

    @property
    def trained(self) -> Array:
        """Return the values of the ratios, whose colours are spread over them."""
        return self.values[:, : self.n_ratios]


def matrix(sweep: Sweep, results: pd.DataFrame, measure: Measure) -> Matrix:
    """Return the means of a measure by query language and ratio; significant is 5 %, Holm over the
    ratios.
    """
    setting, name = measure.place
    rows = results[(results["setting"] == setting) & (results["measure"] == name)]
    names = [MACRO, *sorted(set(rows["scope"]) - set(MEANS))]
    ratios = planned(sweep)
    kinds = [kind for kind in BASELINES if (rows["kind"] == kind).any()]
    values = np.full((len(names), len(ratios) + len(kinds)), np.nan)
    shown = np.zeros(values.shape, dtype=bool)
    for row in records(rows[rows["scope"].isin(names)], ResultRow):
        if row["kind"] == "trained":
            column = ratios.index(row["ratio"])
        else:
            column = len(ratios) + kinds.index(row["kind"])
        place = names.index(row["scope"]), column
        values[place] = row["mean"]
        shown[place] = row["p_holm"] < 0.05
    columns = [f"{ratio:g}" for ratio in ratios] + [BASELINES[kind] for kind in kinds]
    return Matrix(names, columns, values, shown, len(ratios))


def _with_pool(sweep: Sweep, whole: Matrix) -> Matrix:
    """Return a matrix with the column "pool", or the same one where it is not recorded."""
    share = pool_share(sweep, whole.rows)
    if share is None:
        return whole
    return Matrix(
        rows=whole.rows,
        columns=[*whole.columns, POOL],
        values=np.concatenate([whole.values, share], axis=1),
        shown=np.concatenate([whole.shown, np.zeros(share.shape, dtype=bool)], axis=1),
        n_ratios=whole.n_ratios,
    )


def pool_share(sweep: Sweep, names: list[str]) -> Array | None:
    """Return (R, 1) the share of each language among the passages, by metrics.json; NaN for a mean,
    None where not recorded.
    """
    languages = [name for name in names if name != MACRO]
    for point in sweep.finished:
        passages = sweep.metrics[point.run_id].get("passages") or {}
        if passages.get("*") and all(name in passages for name in languages):
            share = np.full(len(names), np.nan)
            for place, name in enumerate(names):
                if name != MACRO:
                    share[place] = passages[name] / passages["*"]
            if languages:
                share[0] = float(np.nanmean(share))
            return share[:, None]
    return None


def _maps(sweep: Sweep, results: pd.DataFrame) -> list[tuple[Map, Matrix]]:
    """Return the maps that have a value at a ratio."""
    maps = []
    for one in MAPS:
        whole = matrix(sweep, results, one.measure)
        if not np.isfinite(whole.trained).any():
            continue
        if one.measure == SAME_LANGUAGE:
            whole = _with_pool(sweep, whole)
        maps.append((one, _some(whole, [MACRO, *fewer(results, whole.rows[1:])[0]])))
    return maps


def _some(whole: Matrix, names: list[str]) -> Matrix:
    """Return some rows of a matrix."""
    if names == whole.rows:
        return whole
    places = [whole.rows.index(name) for name in names]
    return dataclasses.replace(
        whole, rows=names, values=whole.values[places], shown=whole.shown[places]
    )


def _stand_beside(maps: list[tuple[Map, Matrix]], edge: float) -> tuple[bool, float]:
    """Return whether the maps stand side by side, which they do where titles and numbers fit, and
    the points that a number has in a cell.
    """
    most = max((len(whole.columns) for _, whole in maps), default=1)
    room = _room(len(maps), edge, most)
    beside = len(maps) > 1
    for one, whole in maps:
        if width_of(one.title, 8) >= 72 * (WIDE / 2 - edge):
            beside = False
        if fitting(whole.values, one.digits, room, bold=True) is None:
            beside = False
    return beside, room if beside or not maps else _room(1, edge, most)


def _note(maps: list[tuple[Map, Matrix]]) -> str:
    if not maps:
        return (
            "No multilingual setting was evaluated, or no point is finished: there is no"
            " language bias to show."
        )
    note = (
        "By query language (rows) over a pool of all languages, and the ratio r (columns);"
        " lower is less bias. Colours span the trained points."
    )
    if any(whole.shown.any() for _, whole in maps):
        note += " Bold: the change to r = 0 is significant (5 %, Holm over the ratios)."
    if any(POOL in whole.columns for _, whole in maps):
        note += (
            " Pool: the language's share of the passages, what no preference would give"
            " (metrics.json)."
        )
    return note


def draw(sweep: Sweep, results: pd.DataFrame, corner: str) -> Figure:
    """Return the figure; `corner` is the short line of origin at its lower right. Side by side, or
    one above the other where the numbers would not fit; a measure without rows is left out.
    """
    with styled():
        maps = _maps(sweep, results)
        names = [name for _, whole in maps for name in ("mean", *whole.rows)]
        edge = EDGE + max((width_of(name) for name in names), default=0.0) / 72
        beside, room = _stand_beside(maps, edge)
        heights = []
        for _, whole in maps:
            upright = max(turned(whole.columns, room), 0.1)
            heights.append(ROW * len(whole.rows) + 0.65 + upright)
        height = 0.3
        if maps:
            height = max(heights) if beside else sum(heights)
        legend = handles(gaps=any(np.isnan(whole.trained).any() for _, whole in maps))
        note = _note(maps) + fewer(results, languages(results))[1]
        figure = sheet(WIDE, height, note, corner, legend)
        count = max(len(maps), 1)
        grid = figure.add_gridspec(1, count) if beside else figure.add_gridspec(count, 1)
        for place, (one, whole) in enumerate(maps):
            inner = grid[place].subgridspec(2, 1, height_ratios=[ROW * len(whole.rows), 0.1])
            axes = figure.add_subplot(inner[0])
            colours = _colours(whole)
            _draw_map(axes, one, whole, colours, room)
            bar = figure.add_subplot(inner[1])
            key(bar, colours, one.unit, digits=max(one.digits))
        return figure


def _colours(whole: Matrix) -> ColourScale:
    low, high = float(np.nanmin(whole.trained)), float(np.nanmax(whole.trained))
    return ColourScale(LEVEL, Normalize(low, high + 1e-9, clip=True))


def _draw_map(axes: Axes, one: Map, whole: Matrix, colours: ColourScale, room: float) -> None:
    """Draw a map under its title, with lines between the mean and the languages, and between
    ratios, baselines and the pool.
    """
    digits = fitting(whole.values, one.digits, room, bold=bool(whole.shown.any()))
    cells(axes, whole.values, colours, Overlay(digits, bold=whole.shown))
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=1)
    rows = ["mean" if name == MACRO else name for name in whole.rows]
    label(axes, rows, whole.columns, room)
    for edge in (whole.n_ratios, len(whole.columns) - (POOL in whole.columns)):
        axes.axvline(edge, color="white", lw=2.5, zorder=2)
    axes.axhline(1, color="white", lw=2.5, zorder=2)
    axes.set_title(one.title)


def _room(beside: int, edge: float, columns: int) -> float:
    """Return points that a number has in a cell."""
    return 72 * (WIDE / max(beside, 1) - edge) / columns - 2
