"""Heat maps of language pairs: RR@10 of every query and passage language at each ratio, and its
change to r = 0.

The diagonal, framed, is monolingual retrieval, the rest cross-lingual: the two sides of the trade
in one picture.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hybrid_sweep.report.figures.cells import (
    Array,
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
from hybrid_sweep.report.figures.style import CHANGE, LEVEL, WIDE, sheet, styled, width_of
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.results import MEANS, pick

BAR = 0.13  # inches: the height of a colour bar
EDGE = 0.3  # inches that the title of the rows and the air about their names take


def matrices(results: pd.DataFrame, column: str) -> tuple[list[str], dict[float, Array]]:
    """Return the languages, L of them, and by ratio the (L, L) values of a column of RR@10: rows
    query, columns passage language.

    NaN where the results have no value.
    """
    rows = results[
        (results["kind"] == "trained")
        & (results["measure"] == "RR@10")
        & ~results["scope"].isin(MEANS)
    ]
    rows = rows[rows["setting"].isin(["monolingual", "cross-lingual"])]
    pairs = [scope.split(">") if ">" in scope else [scope, scope] for scope in rows["scope"]]
    names = sorted({name for pair in pairs for name in pair})
    place = {name: i for i, name in enumerate(names)}
    found = {
        float(ratio): np.full((len(names), len(names)), np.nan)
        for ratio in sorted(set(rows["ratio"]))
    }
    for (query, passage), ratio, value in zip(pairs, rows["ratio"], rows[column], strict=True):
        found[float(ratio)][place[query], place[passage]] = value
    return names, found


def significant(results: pd.DataFrame) -> dict[float, NDArray[np.int_]]:
    """Return (L, L) for each ratio: +1 or -1 where the change to r = 0 is a significant rise or
    fall, Holm over the pair's ratios.
    """
    _, delta = matrices(results, "delta")
    _, p = matrices(results, "p_holm")
    return {
        ratio: np.where(p[ratio] < 0.05, np.sign(delta[ratio]), 0).astype(np.int_)
        for ratio in delta
    }


def draw(sweep: Sweep, results: pd.DataFrame, corner: str) -> Figure:
    """Return the figure; `corner` is the short line of origin at its lower right.

    Up to four ratios, three where there are more than eight languages: lowest, highest and between;
    it says which are left out. A ratio without a finished point is a matrix of gaps. Without r = 0
    there is no second row.
    """
    with styled():
        names, means = matrices(results, "mean")
        _, deltas = matrices(results, "delta")
        marks = significant(results)
        ratios, rest = chosen(planned(sweep), 4 if len(names) <= 8 else 3)
        size = max(len(names), 1)
        gap = np.full((size, size), np.nan)
        levels = {ratio: means.get(ratio, gap) for ratio in ratios}
        changed = [ratio for ratio in ratios if ratio > 0]
        paired = 0.0 in means and any(
            np.isfinite(deltas.get(ratio, gap)).any() for ratio in changed
        )
        columns = max(len(ratios) + (0 if paired and 0.0 in ratios else 1), 2)
        # in two columns of the figure
        edge = EDGE + 2 * max((width_of(name) for name in names), default=0.0) / 72
        across = (WIDE - edge - 0.08 * columns) / columns / size
        down = 0.26 if size <= 8 else 0.16 if size <= 12 else 0.12
        down = max(down, 1.0 / size)
        room = 72 * across - 1.5
        known = np.concatenate([levels[ratio].ravel() for ratio in ratios])
        digits = fitting(known, (2, 3), room) if 72 * down > 9 else None
        moved = np.concatenate(
            [deltas.get(ratio, gap).ravel() for ratio in changed] or [gap.ravel()]
        )
        signed = fitting(moved, (2, 3), room, sign=True) if 72 * down > 16 else None
        known, moved = known[np.isfinite(known)], np.abs(moved[np.isfinite(moved)])
        level = (
            Normalize(float(known.min()), float(known.max()) + 1e-9)
            if len(known)
            else Normalize(0, 1)
        )
        reach = max(float(moved.max()), 1e-3) if len(moved) else 1.0
        change = TwoSlopeNorm(0.0, -reach, reach)
        full = all(np.isfinite(levels[ratio]).all() for ratio in ratios)
        crossed = any(marks[ratio].any() for ratio in changed if ratio in marks)
        note = (
            "MRR@10 by query language (rows) and passage language (columns); each passage language"
            " is a pool of its own."
        )
        if paired:
            note += " Lower row: mean paired change to r = 0."
            if crossed:
                note += " Significant: 5 %, Holm over the ratios of a pair, not over the pairs."
            if not crossed and (results["delta_interval"] == "conditional").any():
                note += " With so few seeds nothing is tested."
        note += _baselines(results) + left_out(rest, "results.csv")
        legend = handles(
            marks=paired and crossed,
            falls=paired and signed is None,
            gaps=not full,
            frame="monolingual (same language)",
        )
        height = (2 if paired else 1) * (down * size + 0.32 + turned(names, room)) + (
            0.42 if not paired else 0.3
        )
        figure = sheet(WIDE, height, note, corner, legend)
        grid = figure.add_gridspec(2 if paired else 1, columns)
        diagonal = np.eye(size, dtype=bool)
        for place, ratio in enumerate(ratios):
            axes = figure.add_subplot(grid[0, place])
            cells(
                axes,
                levels[ratio],
                LEVEL,
                level,
                digits=digits,
                framed=diagonal if len(names) else None,
            )
            missing = "" if ratio in means else ", missing"
            axes.set_title(f"r = {ratio:g}{missing}", pad=3)
            _name(axes, names, room, left=place == 0, below=not paired or ratio == 0)
            if paired and ratio > 0:
                axes = figure.add_subplot(grid[1, place])
                delta, shown = deltas.get(ratio, gap), marks.get(ratio)
                cells(
                    axes,
                    delta,
                    CHANGE,
                    change,
                    digits=signed,
                    sign=True,
                    shown=shown,
                    framed=diagonal,
                )
                axes.set_title(f"r = {ratio:g} against r = 0", pad=3)
                _name(axes, names, room, left=ratio == changed[0], below=True)
        spot = grid[1, ratios.index(0.0)] if paired and 0.0 in ratios else grid[0, columns - 1]
        slack = max(down * size - 0.9, 0.02)
        bars = spot.subgridspec(4, 1, height_ratios=[slack, BAR, BAR, slack])
        scales: list[Any] = [(LEVEL, level, "MRR@10", False)]
        scales += [(CHANGE, change, "change to r = 0", True)] if paired else []
        for row, (colours, scale, title, sign) in enumerate(scales):
            key(figure.add_subplot(bars[1 + row]), colours, scale, title, sign=sign)
        return figure


def _baselines(results: pd.DataFrame) -> str:
    """Return the means of the baselines, in a sentence; "" where there are none."""
    parts = []
    for kind, name in BASELINES.items():
        found = {
            setting: pick(results, setting, "RR@10", kind=kind)["mean"]
            for setting in ("monolingual", "cross-lingual")
        }
        parts += [
            f"{name} {setting} {mean.iloc[0]:.3f}" for setting, mean in found.items() if len(mean)
        ]
    return f" Baselines, mean: {', '.join(parts)}." if parts else ""


def _name(axes: Any, names: list[str], room: float, *, left: bool, below: bool) -> None:
    label(axes, names if left else [], names if below else [], room)
    if left:
        axes.set_ylabel("query language", labelpad=2)
    if below:
        axes.set_xlabel("passage language", labelpad=2)
