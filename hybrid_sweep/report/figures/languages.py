"""Small multiples: monolingual RR@10 over the share, one panel per language, in the same units per
inch.

A mean of languages hides who pays. Languages that were trained on come first; panels of the others
are shaded, and their curves have another line and colour.
"""

from math import ceil

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybrid_sweep.report.figures.curve import (
    LEVELS,
    Look,
    Panel,
    curve,
    levels_of,
    panel,
    seed_means,
)
from hybrid_sweep.report.figures.fewer import fewer
from hybrid_sweep.report.figures.style import BLUE, GREY, PURPLE, WIDE, legible, sheet, styled
from hybrid_sweep.report.figures.verdict_marks import covers, marks
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.results import MACRO, languages

TRAINED = Look(BLUE, "-", scale=0.65, stretch=0.0)
UNSEEN = Look(PURPLE, (0, (4, 1.5)), scale=0.65, stretch=0.0)
SHADE = "#f1f1f1"


def split(sweep: Sweep, results: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the languages with monolingual questions: those trained on, or all where that is not
    recorded; and the others.
    """
    trained, names = sweep.trained_languages, languages(results)
    seen = [name for name in names if name in trained or not trained]
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
        names, left_out = fewer(results, [*seen, *unseen])
        panels = _panels(sweep, results, names)
        frames = [shown.drawn for shown in panels.values()]
        whole = (
            pd.concat(frames)
            if frames
            else curve(sweep, results, (*sweep.measures.mono.place, MACRO))
        )
        edges = [shown.limits for shown in panels.values()]
        span = max((high - low for low, high in edges), default=1.0)
        handles = marks(set(whole["verdict"].dropna()) if frames else set(), whole)
        if unseen:
            for look, label in ((TRAINED, "trained on"), (UNSEEN, "not trained on (shaded)")):
                handles.append(Line2D([], [], color=look.colour, ls=look.line, lw=1.5, label=label))
        for kind in _near(panels, span):
            label = BASELINES[kind]
            handles.append(Line2D([], [], color=GREY, ls=LEVELS[kind], lw=1.1, label=label))
        note = (
            f"{sweep.measures.mono.title} by language over the share r of cross-lingual batches;"
            " all panels have the same units per inch. Dashes: r = 0 minus the margin of"
            f" {sweep.margin:g}. {covers(whole)} Verdicts at 5 % each, not adjusted for the number"
            f" of languages.{left_out}"
        )
        wide = columns(len(panels))
        rows = max(ceil(len(panels) / wide), 1)
        height = (1.35 if rows < 3 else 1.05) * rows + 0.35
        figure = sheet(WIDE, height, note, corner, handles)
        grid = figure.add_gridspec(rows, wide)
        for place, (name, shown) in enumerate(panels.items()):
            axes = figure.add_subplot(grid[place // wide, place % wide])
            _draw_panel(axes, name, shown, span, name in unseen)
            if place + wide < len(panels):
                axes.set_xticklabels([])
            else:
                axes.set_xlabel("share r", labelpad=1)
                axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        return figure


def _panels(sweep: Sweep, results: pd.DataFrame, names: list[str]) -> dict[str, Panel]:
    """Return the panel of each language."""
    seeds = seed_means(sweep, *sweep.measures.mono.place, names)
    panels = {}
    for name in names:
        what = (*sweep.measures.mono.place, name)
        drawn, levels = curve(sweep, results, what), levels_of(results, *what)
        panels[name] = Panel(what, drawn, seeds[name], levels, sweep.margin)
    return panels


def _near(panels: dict[str, Panel], span: float) -> list[str]:
    """Return the baselines with a level that a panel may show, in their own order."""
    near = set()
    for shown in panels.values():
        low, high = shown.limits
        for kind, level in shown.levels.items():
            if abs(level - (low + high) / 2) <= span / 2:
                near.add(kind)
    return [kind for kind in BASELINES if kind in near]


def _draw_panel(axes: Axes, name: str, shown: Panel, span: float, is_unseen: bool) -> None:
    """Draw the curve of a language under its name, shaded where it was not trained on."""
    panel(axes, shown, UNSEEN if is_unseen else TRAINED, span)
    title = legible(name)
    axes.set_title(f"{title}, not trained on" if is_unseen else title, pad=3)
    if is_unseen:
        axes.set_facecolor(SHADE)
    axes.locator_params(axis="y", nbins=5)
