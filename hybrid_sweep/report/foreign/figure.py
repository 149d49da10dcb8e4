"""The curve of other people's systems: the mean at each level of a factor, with its interval."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hybrid_sweep.report.figures.curve import DASHES
from hybrid_sweep.report.figures.style import BLUE, GREY, WIDE, legible, sheet, styled
from hybrid_sweep.report.figures.verdict_marks import VERDICTS
from hybrid_sweep.report.foreign.words import Told
from hybrid_sweep.report.results import picked

MOST_TICKS = 12  # levels that are named on the axis of a scale


def draw(told: Told) -> Figure:
    """Return the figure: the mean at the baseline plus each paired change, its 90 % interval, the
    margin, and the mark of each verdict.
    """
    rows = picked(told.results, *told.main.place)
    base = next((row["mean"] for row in rows if row["ratio"] == 0), np.nan)
    note = (
        f"{told.name}: the mean at {told.at(0.0)} plus the paired change, with its 90 %"
        f" interval. Dashes: minus the margin of {told.sweep.margin:g}. Marks: square the baseline,"
        " triangle up superior, circle non-inferior, diamond open, triangle down degraded, empty"
        " circle not tested."
    )
    with styled():
        figure = sheet(WIDE, 3.0, legible_note(note), legible(told.sweep.name))
        axes = figure.add_subplot()
        names = [legible(told.levels.name(row["ratio"])) for row in rows]
        places = [row["ratio"] for row in rows]
        if not told.levels.is_scale:
            places = [float(place) for place in range(len(rows))]
        axes.axhline(base, color=GREY, lw=0.6, zorder=1)
        axes.axhline(base - told.sweep.margin, color="black", lw=0.9, ls=DASHES, zorder=1)
        for place, row in zip(places, rows, strict=True):
            y = base if row["ratio"] == 0 else base + row["delta"]
            if pd.notna(row["delta_low_90"]):
                ends = [base + row["delta_low_90"], base + row["delta_high_90"]]
                axes.plot([place, place], ends, color=BLUE, lw=1.2, zorder=2)
            mark = VERDICTS[row["verdict"] or "untested"]
            face = BLUE if mark.filled else "white"
            axes.plot(place, y, mark.shape, ms=mark.size, mfc=face, mec=BLUE, zorder=3)
        if not told.levels.is_scale or len(rows) <= MOST_TICKS:
            axes.set_xticks(places, names)
        axes.set_xlabel(legible(told.levels.factor), labelpad=2)
        axes.set_ylabel(legible(told.name), labelpad=2)
        return figure


def legible_note(text: str) -> str:
    """Return a note as matplotlib prints it: no formula in it."""
    return text.replace("$", r"\$")
