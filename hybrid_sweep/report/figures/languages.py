"""Small multiples: monolingual RR@10 over the share, one panel per language, in the same units per
inch.

A mean of languages hides who pays. Languages that were trained on come first; panels of the others
are shaded, and their curves have another line and colour.
"""

from math import ceil
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybrid_sweep.report.figures.curve import (
    LEVELS,
    covers,
    curve,
    limits,
    marks,
    panel,
    seed_means,
)
from hybrid_sweep.report.figures.style import BLUE, GREY, PURPLE, WIDE, legible, sheet, styled
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.results import MACRO, MONO, languages, pick

TRAINED: dict[str, Any] = {"colour": BLUE, "line": "-"}
UNSEEN: dict[str, Any] = {"colour": PURPLE, "line": (0, (4, 1.5))}
SHADE = "#f1f1f1"


def split(sweep: Sweep, results: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the languages with monolingual questions: those trained on, or all where that is not
    recorded; and the others.
    """
    known, names = sweep.trained_languages, languages(results)
    seen = [name for name in names if name in known or not known]
    return seen, [name for name in names if name not in seen]


def columns(count: int) -> int:
    """Return how many panels stand side by side: at most four, which keeps an axis readable, and no
    row all but empty.
    """
    return ceil(count / ceil(count / 4)) if count else 1


def draw(sweep: Sweep, results: pd.DataFrame, corner: str) -> Figure:
    """Return the figure; `corner` is the short line of origin at its lower right.

    Every panel has its own level and the same span, so that drops compare by eye. Bands, marks and
    gaps as in the curve.
    """
    with styled():
        seen, unseen = split(sweep, results)
        names = [*seen, *unseen]
        found = seed_means(sweep, *MONO)
        drawn = {name: curve(sweep, results, (*MONO, name)) for name in names}
        edges = {name: limits(drawn[name], found[name], sweep.margin) for name in names}
        span = max((high - low for low, high in edges.values()), default=1.0)
        tested = {verdict for frame in drawn.values() for verdict in frame["verdict"].dropna()}
        whole = pd.concat(drawn.values()) if names else curve(sweep, results, (*MONO, MACRO))
        handles = marks(tested, whole)
        if unseen:
            handles += [
                Line2D([], [], color=look["colour"], ls=look["line"], lw=1.5, label=label)
                for look, label in ((TRAINED, "trained on"), (UNSEEN, "not trained on (shaded)"))
            ]
        middle = {name: (low + high) / 2 for name, (low, high) in edges.items()}
        near = {
            kind
            for kind in BASELINES
            for name in names
            for level in pick(results, *MONO, name, kind=kind)["mean"]
            if abs(level - middle[name]) <= span / 2
        }
        handles += [
            Line2D([], [], color=GREY, ls=LEVELS[kind], lw=1.1, label=label)
            for kind, label in BASELINES.items()
            if kind in near
        ]
        wide = columns(len(names))
        rows = ceil(len(names) / wide)
        note = (
            "Monolingual MRR@10 by language over the share r of cross-lingual batches; all panels"
            f" have the same units per inch. Dashes: r = 0 minus the margin of {sweep.margin:g}."
            f" {covers(whole)} Verdicts at 5 % each, not adjusted for the number of languages."
        )
        figure = sheet(
            WIDE, (1.35 if rows < 3 else 1.05) * max(rows, 1) + 0.35, note, corner, handles
        )
        grid = figure.add_gridspec(max(rows, 1), wide)
        for place, name in enumerate(names):
            axes = figure.add_subplot(grid[place // wide, place % wide])
            look = {**(UNSEEN if name in unseen else TRAINED), "scale": 0.65, "stretch": 0.0}
            panel(
                axes,
                (*MONO, name),
                drawn[name],
                found[name],
                results,
                sweep.margin,
                span=span,
                **look,
            )
            shown = legible(name)
            axes.set_title(f"{shown}, not trained on" if name in unseen else shown, pad=3)
            if name in unseen:
                axes.set_facecolor(SHADE)
            axes.locator_params(axis="y", nbins=5)
            if place + wide < len(names):
                axes.set_xticklabels([])
            else:
                axes.set_xlabel("share r", labelpad=1)
                axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        return figure
