"""Language bias by query language and ratio: how much of the top 10 is in the query's language, and
the rank distance.

All numbers are rows of the results but one column: "pool", the share of a language among the
passages, which no preference at all would give, is from metrics.json.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.figures.cells import Array, cells, fitting, handles, key, label, turned
from hybrid_sweep.report.figures.curve import planned
from hybrid_sweep.report.figures.style import LEVEL, WIDE, sheet, styled, width_of
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.results import MACRO, MEANS
from hybrid_sweep.report.rows import ResultRow

# Measure, title, digits that may be written, what the colour bar says.
MAPS = [
    ("same@10", "Same-language share of the top 10", (2, 3), "share"),
    ("RD", "Rank distance of relevant passages", (0,), "ranks"),
]
POOL = "pool"
ROW = 0.135  # inches
EDGE = 0.2  # inches: the air about the names of the rows


def matrix(
    sweep: Sweep, results: pd.DataFrame, measure: str
) -> tuple[list[str], list[str], Array, NDArray[np.bool_]]:
    """Return the names of the rows (the mean of the languages, then each) and columns (ratios, then
    baselines), (R, C) means, and (R, C) whether the change to r = 0 is significant (5 %, Holm over
    the ratios). NaN where there is no value.
    """
    rows = results[(results["setting"] == "multilingual") & (results["measure"] == measure)]
    names = [MACRO, *sorted(set(rows["scope"]) - set(MEANS))]
    ratios = planned(sweep)
    kinds = [kind for kind in BASELINES if (rows["kind"] == kind).any()]
    columns: dict[Any, int] = {ratio: i for i, ratio in enumerate(ratios)}
    columns |= {kind: len(ratios) + i for i, kind in enumerate(kinds)}
    values = np.full((len(names), len(columns)), np.nan)
    shown = np.zeros(values.shape, dtype=bool)
    for row in records(rows[rows["scope"].isin(names)], ResultRow):
        place = (
            names.index(row["scope"]),
            columns[row["ratio"] if row["kind"] == "trained" else row["kind"]],
        )
        values[place], shown[place] = row["mean"], row["p_holm"] < 0.05
    return (
        names,
        [*(f"{ratio:g}" for ratio in ratios), *(BASELINES[kind] for kind in kinds)],
        values,
        shown,
    )


def pool_share(sweep: Sweep, names: list[str]) -> Array | None:
    """Return (R, 1) the share of each language among the passages, by metrics.json; NaN for a mean,
    None where not recorded.
    """
    for point in sweep.finished:
        passages = sweep.metrics[point.run_id].get("passages") or {}
        if passages.get("*") and all(name in passages for name in names if name != MACRO):
            share = [np.nan if name == MACRO else passages[name] / passages["*"] for name in names]
            share[0] = float(np.nanmean(share)) if len(share) > 1 else np.nan
            return np.array(share)[:, None]
    return None


def draw(sweep: Sweep, results: pd.DataFrame, corner: str) -> Figure:
    """Return the figure; `corner` is the short line of origin at its lower right. Side by side, or
    one above the other where the numbers would not fit; a measure without rows is left out.
    """
    with styled():
        found = []
        for measure, title, digits, unit in MAPS:
            names, columns, values, shown = matrix(sweep, results, measure)
            colour = values[:, : len(planned(sweep))]
            if not np.isfinite(colour).any():
                continue
            share = pool_share(sweep, names) if measure == "same@10" else None
            if share is not None:
                columns, values = [*columns, POOL], np.concatenate([values, share], axis=1)
                shown = np.concatenate([shown, np.zeros(share.shape, dtype=bool)], axis=1)
            found.append((title, unit, digits, names, columns, values, shown, colour))
        edge = (
            EDGE
            + max((width_of(name) for each in found for name in ["mean", *each[3]]), default=0.0)
            / 72
        )
        beside = len(found) > 1 and all(
            width_of(each[0], 8) < 72 * (WIDE / 2 - edge) for each in found
        )
        room = _room(len(found), edge, max((len(each[4]) for each in found), default=1))
        beside = beside and all(
            fitting(each[5], each[2], room, bold=True) is not None for each in found
        )
        if found and not beside:
            room = _room(1, edge, max(len(each[4]) for each in found))
        ratios = [ratio for ratio in planned(sweep) if ratio > 0]
        note = (
            "By query language (rows) over a pool of all languages, and the ratio r (columns);"
            " lower is less bias. Colours span the trained points."
        )
        if any(each[6].any() for each in found):
            note += " Bold: the change to r = 0 is significant (5 %, Holm over the ratios)."
        if any(POOL in each[4] for each in found):
            note += (
                " Pool: the language's share of the passages, what no preference would give"
                " (metrics.json)."
            )
        gaps = any(np.isnan(each[7]).any() for each in found)
        if not found:
            note = (
                "No multilingual setting was evaluated, or no point is finished: there is no"
                " language bias to show."
            )
        heights = [
            ROW * len(each[3]) + 0.65 + max(turned(each[4], room), 0.1) for each in found
        ] or [0.3]
        figure = sheet(
            WIDE, max(heights) if beside else sum(heights), note, corner, handles(gaps=gaps)
        )
        grid = figure.add_gridspec(*((1, len(found)) if beside else (max(len(found), 1), 1)))
        for place, (title, unit, digits, names, columns, values, shown, colour) in enumerate(found):
            inner = grid[place].subgridspec(2, 1, height_ratios=[ROW * len(names), 0.1])
            axes = figure.add_subplot(inner[0])
            scale = Normalize(float(np.nanmin(colour)), float(np.nanmax(colour)) + 1e-9, clip=True)
            written = fitting(values, digits, room, bold=bool(shown.any()))
            cells(axes, values, LEVEL, scale, digits=written, bold=shown)
            axes.xaxis.tick_top()
            axes.tick_params(length=0, pad=1)
            label(axes, ["mean" if name == MACRO else name for name in names], columns, room)
            for edge in (len(ratios) + (0.0 in planned(sweep)), len(columns) - (POOL in columns)):
                axes.axvline(edge, color="white", lw=2.5, zorder=2)
            axes.axhline(1, color="white", lw=2.5, zorder=2)
            axes.set_title(title)
            key(figure.add_subplot(inner[1]), LEVEL, scale, unit, digits=max(digits))
        return figure


def _room(beside: int, edge: float, columns: int) -> float:
    """Return points that a number has in a cell."""
    return 72 * (WIDE / max(beside, 1) - edge) / columns - 2
