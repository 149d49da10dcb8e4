"""Where a model looks for answers: query language against answer language in the pool of all
languages, per ratio.

These matrices come from metrics.json of the trained runs ("bias", written by the evaluation),
averaged over the seeds, and not from the results: a per-query row does not tell the languages of
its passages.
"""

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

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
from hybrid_sweep.report.figures.curve import planned
from hybrid_sweep.report.figures.fewer import fewer
from hybrid_sweep.report.figures.style import LEVEL, WIDE, sheet, styled, width_of
from hybrid_sweep.report.load import Sweep

# Name in the report, title, what the colour bar says.
MAPS = [
    ("answer_rr", "Mean reciprocal rank of the answer, other answers out of the pool", "MRR"),
    ("first_relevant", "Language of the first relevant passage", "share"),
    ("first_retrieved", "Language of the first passage of any kind", "share"),
]
NOTE = (
    "Query language (rows) against the language of the answer (columns) in the pool of all"
    " languages, by ratio r, mean over seeds; rows of the shares sum to 1. A strong"
    " diagonal is a preference for the query's own language. From metrics.json of each run."
)
HEADING = 0.12  # inches: the name of a row of matrices
EDGE = 0.2  # inches: the air about the names of the rows


def reports(sweep: Sweep) -> tuple[list[str], dict[str, dict[float, Array]]]:
    """Return the languages, L of them, and by the names of `MAPS` and ratio the (L, L) means over
    seeds: rows query languages.

    ([], {}) unless every finished trained run has a report on the languages of this collection. NaN
    where no run has a value.
    """
    here = sorted(str(name) for name in sweep.frame["query_lang"].unique())
    points = [point for point in sweep.finished if point.kind == "trained"]
    recorded = [sweep.metrics[point.run_id].get("bias") or {} for point in points]
    names = recorded[0].get("languages", []) if recorded else []
    # A further collection whose evaluation left no report must not show that of the one it was
    # trained on.
    if not names or not set(here) <= set(names):
        return [], {}
    for report in recorded:
        if report.get("languages") != names or any(name not in report for name, *_ in MAPS):
            return [], {}
    maps: dict[str, dict[float, Array]] = {}
    for name, *_ in MAPS:
        by_ratio: dict[float, list[Array]] = {}
        for point, report in zip(points, recorded, strict=True):
            by_ratio.setdefault(point.ratio, []).append(np.array(report[name], dtype=np.float64))
        maps[name] = {ratio: _mean(np.stack(runs)) for ratio, runs in by_ratio.items()}
    return list(names), maps


def _mean(stack: Array) -> Array:
    """Return the mean of (S, L, L) over S, of the values that are there."""
    finite = np.isfinite(stack)
    count = finite.sum(axis=0)
    total = np.where(finite, stack, 0.0).sum(axis=0)
    mean: Array = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _fewer(
    results: pd.DataFrame, names: list[str], maps: dict[str, dict[float, Array]]
) -> tuple[list[str], dict[str, dict[float, Array]], str]:
    """Return the languages that are shown, their rows and columns of the maps, and a sentence on
    the others.
    """
    kept, words = fewer(results, names)
    if not words:
        return names, maps, words
    places = [names.index(name) for name in kept]
    some: dict[str, dict[float, Array]] = {}
    for name, by_ratio in maps.items():
        some[name] = {ratio: whole[np.ix_(places, places)] for ratio, whole in by_ratio.items()}
    return kept, some, words.replace("results.csv", "each run's metrics.json")


def draw(sweep: Sweep, results: pd.DataFrame, corner: str) -> Figure | None:
    """Return the figure, or None where the runs have no reports; `corner` is the short line of
    origin at its lower right.

    Up to four ratios, three where there are more than eight languages, as in the heat maps of
    pairs.
    """
    names, maps = reports(sweep)
    if not names:
        return None
    with styled():
        names, maps, words = _fewer(results, names, maps)
        size = len(names)
        ratios, rest = chosen(planned(sweep), 4 if size <= 8 else 3)
        edge = EDGE + max(map(width_of, names)) / 72
        across = (WIDE - edge - 0.07 * (len(ratios) + 1)) / (len(ratios) + 0.5) / size
        down = 0.19 if size <= 8 else 0.16 if size <= 12 else 0.115
        down = max(down, 0.8 / size)
        room = 72 * across - 1.5
        gap = np.full((size, size), np.nan)
        drawn = {}
        for name, by_ratio in maps.items():
            drawn[name] = np.stack([by_ratio.get(ratio, gap) for ratio in ratios])
        holes = any(np.isnan(matrices).any() for matrices in drawn.values())
        height = len(MAPS) * (down * size + HEADING + 0.3) + 0.2 + turned(names, room)
        note = NOTE + left_out(rest, "each run's metrics.json") + words
        figure = sheet(WIDE, height, note, corner, handles(gaps=holes))
        heights = [HEADING, down * size] * len(MAPS)
        widths = [*([1.0] * len(ratios)), 0.5]
        shape = len(heights), len(widths)
        grid = figure.add_gridspec(*shape, height_ratios=heights, width_ratios=widths)
        for row, (name, title, unit) in enumerate(MAPS):
            values = drawn[name][np.isfinite(drawn[name])]
            highest = max(float(values.max(initial=0.0)), 1e-3)
            colours = ColourScale(LEVEL, Normalize(0.0, highest))
            digits = fitting(values, (2, 3), room) if 72 * down > 9 else None
            overlay = Overlay(digits, framed=np.eye(size, dtype=bool))
            heading = figure.add_subplot(grid[2 * row, :])
            heading.set_axis_off()
            heading.text(0, 0, title, fontsize=8, va="bottom").set_in_layout(False)
            below = names if row == len(MAPS) - 1 else []
            for place, (ratio, matrix) in enumerate(zip(ratios, drawn[name], strict=True)):
                axes = figure.add_subplot(grid[2 * row + 1, place])
                cells(axes, matrix, colours, overlay)
                missing = "" if ratio in maps[name] else ", missing"
                axes.set_title(f"r = {ratio:g}{missing}", pad=3, fontsize=7.5)
                label(axes, names if place == 0 else [], below, room)
            slack = max(down * size - 0.13, 0.02) / 2
            column = grid[2 * row + 1, len(ratios)]
            bar = column.subgridspec(3, 1, height_ratios=[slack, 0.13, slack])
            key(figure.add_subplot(bar[1]), colours, unit, digits=2)
        return figure
