"""The curve: monolingual MRR@10 against the cross-lingual share, and below it what the share buys.

Panels, line styles and marker shapes carry the meaning without the colours, for the colour-blind
and for a grey print.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    OCHRE,
    ORANGE,
    PURPLE,
    SMALL,
    WIDE,
    sheet,
    styled,
)
from hybrid_sweep.report.figures.verdict_marks import (
    VERDICTS,
    covers,
    hatch,
    is_paired,
    mark_missing,
    marks,
    weak,
)
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.measures import POOLED_PRECISION, SAME_LANGUAGE, Measures
from hybrid_sweep.report.results import ENGLISH, MACRO, block, pick
from hybrid_sweep.report.without_monolingual import EMPTY, lacks_monolingual

SHARE_LABEL = "share r of cross-lingual batches"
DASHES = (0, (5, 2.5))  # the line at r = 0 minus the margin


class PanelStyle(NamedTuple):
    """What a panel of the curve shows: its rows of the results, its title, colour and line."""

    what: tuple[str, str, str]  # setting, measure, scope
    title: str
    colour: str
    line: Any


def styles(measures: Measures) -> dict[str, PanelStyle]:
    """Return the panels of the curve of a report, by their names."""
    mono, cross = measures.mono, measures.cross
    mean, english = f"{mono.title}, mean of languages", f"{mono.title}, English"
    precision, same = POOLED_PRECISION, "Same-language share of top 10"
    return {
        "macro": PanelStyle((*mono.place, MACRO), mean, BLUE, "-"),
        "english": PanelStyle((*mono.place, ENGLISH), english, OCHRE, (0, (4, 1.5))),
        "cross": PanelStyle((*cross.place, MACRO), cross.title, GREEN, (0, (6, 1.5, 1, 1.5))),
        "pooled": PanelStyle((*precision.place, MACRO), precision.title, PURPLE, (0, (2, 1))),
        "bias": PanelStyle((*SAME_LANGUAGE.place, MACRO), same, ORANGE, (0, (7, 2))),
    }


# the lines of the baselines
LEVELS: dict[str, Any] = {"untrained": (0, (1, 1.5)), "bm25": (0, (6, 1.5, 1, 1.5))}


@dataclass(frozen=True)
class Panel:
    """One curve over r.

    what: setting, measure and scope. drawn: as `curve` gives it. seeds: one of `seed_means`.
    levels: of the baselines, as `levels_of` gives them. margin: that of the sweep.
    """

    what: tuple[str, str, str]
    drawn: pd.DataFrame
    seeds: pd.DataFrame
    levels: dict[str, float]
    margin: float

    @property
    def tested(self) -> bool:
        """Return whether its rows have verdicts: only monolingual ones do."""
        return self.what[0] == "monolingual"

    @property
    def limits(self) -> tuple[float, float]:
        """Return the lowest and highest value that it must show."""
        return limits(self.drawn, self.seeds, self.margin if self.tested else 0.0)


@dataclass(frozen=True)
class Look:
    """How a panel is drawn.

    scale: of the markers. words: whether the margin line is named. stretch: see `baselines`.
    """

    colour: str
    line: Any
    scale: float = 1.0
    words: bool = False
    stretch: float = 0.25


def curve(sweep: Sweep, results: pd.DataFrame, what: tuple[str, str, str]) -> pd.DataFrame:
    """Return what one panel draws, one row per planned ratio, NaN where no point is finished.

    `y` is the mean at ratio 0 plus the paired difference, which is the plain mean unless seeds are
    missing; `bottom` and `top` are the 90 % interval of that difference, so that the lower edge
    against the margin line is the verdict. Without ratio 0 they are the plain mean and its own 95 %
    interval.
    """
    rows = pick(results, *what)
    base = rows[rows["ratio"] == 0]["mean"].to_numpy()
    if len(base):
        rows["y"] = (base[0] + rows["delta"]).fillna(rows["mean"])
        rows["bottom"] = base[0] + rows["delta_low_90"]
        rows["top"] = base[0] + rows["delta_high_90"]
        rows.loc[rows["ratio"] == 0, ["bottom", "top"]] = base[0]
    else:
        rows["y"], rows["bottom"], rows["top"] = rows["mean"], rows["low"], rows["high"]
    return rows.set_index("ratio").reindex(planned(sweep)).rename_axis("ratio").reset_index()


def levels_of(
    results: pd.DataFrame, setting: str, measure: str, scope: str = MACRO
) -> dict[str, float]:
    """Return the means of the baselines that have one, by kind."""
    levels = {}
    for kind in BASELINES:
        for level in pick(results, setting, measure, scope, kind=kind)["mean"]:
            levels[kind] = float(level)
    return levels


def seed_means(
    sweep: Sweep, setting: str, measure: str, scopes: Collection[str]
) -> dict[str, pd.DataFrame]:
    """Return the mean of every trained run, by scope: rows are the planned ratios, columns the
    seeds, NaN where a point is missing.

    scopes: those that are wanted, of macro and every language or ordered pair.
    """
    part = block(sweep, setting, measure)
    if part is None:
        return {}
    count = np.bincount(part.domain)
    runs, means = [], []
    for place, point in enumerate(sweep.finished):
        if point.kind == "trained":
            runs.append((point.ratio, point.seed))
            means.append(np.bincount(part.domain, weights=part.values[place]) / count)
    by_run = np.array(means).reshape(-1, len(count))
    named = dict(zip(part.names, by_run.T, strict=True))
    columns = {MACRO: by_run.mean(axis=1)}
    columns |= {name: named[name] for name in scopes if name in named}
    index = pd.MultiIndex.from_tuples(runs, names=["ratio", "seed"])
    wide = pd.DataFrame(columns, index=index).unstack("seed")
    there = [scope for scope in columns if scope in scopes]
    return {scope: pd.DataFrame(wide[scope]).reindex(planned(sweep)) for scope in there}


def planned(sweep: Sweep) -> list[float]:
    """Return the ratios of the trained points, finished or not."""
    return sorted({point.ratio for point in sweep.points if point.kind == "trained"})


def limits(drawn: pd.DataFrame, seeds: pd.DataFrame, margin: float) -> tuple[float, float]:
    """Return the lowest and highest value that a panel must show, with some air; the margin line
    included.
    """
    base = drawn[drawn["ratio"] == 0]["y"].to_numpy(dtype=np.float64)
    parts = [
        drawn[["y", "bottom", "top"]].to_numpy(dtype=np.float64),
        seeds.to_numpy(dtype=np.float64),
        base - margin,
    ]
    values = np.concatenate([part.ravel() for part in parts])
    low, high = 0.0, 1.0
    if np.isfinite(values).any():
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
    air = max(0.08 * (high - low), 1e-3)
    # the words under the margin line need room
    return low - (2 * air if margin else air), high + air


def baselines(
    axes: Axes,
    levels: dict[str, float],
    ends: tuple[float, float],
    stretch: float = 0.25,
    named: float | None = None,
) -> None:
    """Level lines by kind where they fit; words with an arrow at the edge where a line would
    flatten the curve.

    ends: the curve's first and last value; stretch: how far the y axis may grow for a line, as a
    share of its height, 0 also leaves the words of the lines to a legend; named: a level under
    which words stand at the left. The words stand on the side where the curve's end is farther
    away; those of lines close together are stacked.
    """
    low, high = axes.get_ylim()
    room = stretch * (high - low)
    near = {kind: level for kind, level in levels.items() if low - room <= level <= high + room}
    for level in near.values():
        low, high = min(low, level - 0.3 * room), max(high, level + 0.3 * room)
    axes.set_ylim(low, high)
    words = []
    for kind, level in levels.items():
        if kind in near:
            axes.axhline(level, color=GREY, lw=1.1, ls=LEVELS[kind], zorder=1)
        name = f"{BASELINES[kind]} {level:.3f}"
        if level < low:
            words.append(LevelLabel(True, 0.02, f"\u2193 {name}"))
        elif level > high:
            words.append(LevelLabel(True, 0.98, f"\u2191 {name}"))
        elif stretch:
            words.append(LevelLabel(False, (level - low) / (high - low), name))
    # above the lines in the lower half, below them in the upper one
    _write_levels(axes, [text for text in words if text.height < 0.5], ends, named, upper=False)
    _write_levels(axes, [text for text in words if text.height >= 0.5], ends, named, upper=True)


class LevelLabel(NamedTuple):
    """The words of a baseline: whether its level is off the panel, and their height in it, from 0
    to 1.
    """

    off: bool
    height: float
    text: str


def _write_levels(
    axes: Axes,
    words: list[LevelLabel],
    ends: tuple[float, float],
    named: float | None,
    *,
    upper: bool,
) -> None:
    """Write the words of the baselines in the upper or the lower half of a panel; see
    `baselines`.
    """
    low, high = axes.get_ylim()
    # a line's own words stand next to it
    words = sorted(words, key=lambda one: (one.off, -one.height if upper else one.height))
    heights = [one.height for one in words]
    stacked = len(words) > 1 and abs(heights[0] - heights[1]) < 0.15
    for place, (_, height, text) in enumerate(words):
        if stacked:
            height = min(heights) if upper else max(heights)
        beside = low + height * (high - low)
        right = abs(ends[1] - beside) > abs(ends[0] - beside)
        offset = 2 + 8 * place * stacked
        if named is not None and abs(height - (named - low) / (high - low) + 0.1) < 0.15:
            right = True
        axes.annotate(
            text,
            (0.98 if right else 0.02, height),
            (0, -offset if upper else offset),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=SMALL,
            color=GREY,
            va="top" if upper else "bottom",
            ha="right" if right else "left",
            # a curve or a line behind them stays legible
            bbox={"fc": "white", "alpha": 0.8, "lw": 0, "pad": 0.6},
        )


def _margin(axes: Axes, base: float, margin: float, words: bool) -> None:
    axes.axhline(base, color=GREY, lw=0.6, zorder=1)
    axes.axhline(base - margin, color="black", lw=0.9, ls=DASHES, zorder=3)
    if words:
        axes.annotate(
            f"r = 0 minus the margin of {margin:g}",
            (0.02, base - margin),
            (0, -2.5),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=SMALL,
            va="top",
        )


def panel(axes: Axes, shown: Panel, look: Look, span: float) -> None:
    """Draw one curve over r with its band, its seeds, its marks, the margin and the baselines.

    Args:
        axes: which are filled.
        shown: what is drawn.
        look: how it is drawn.
        span: the least height of the y axis, in units of the measure.
    """
    low, high = shown.limits
    air = max(span - (high - low), 0.0) / 2
    axes.set_ylim(low - air, high + air)
    _draw_lines(axes, shown, look)
    _draw_marks(axes, shown, look)
    drawn = shown.drawn
    base = drawn[(drawn["ratio"] == 0) & drawn["y"].notna()]["y"].to_numpy()
    if shown.tested and len(base):
        _margin(axes, float(base[0]), shown.margin, look.words)
    ends = drawn["y"].dropna().to_numpy()
    if len(ends):
        named = float(base[0]) - shown.margin if look.words and len(base) else None
        baselines(axes, shown.levels, (float(ends[0]), float(ends[-1])), look.stretch, named)
    share_axis(axes)


def _draw_lines(axes: Axes, shown: Panel, look: Look) -> None:
    """Draw the band of a curve, a thin line for each seed, and the curve."""
    drawn, seeds = shown.drawn, shown.seeds
    x, y, bottom, top = (
        drawn[name].to_numpy(dtype=np.float64) for name in ("ratio", "y", "bottom", "top")
    )
    band: dict[str, Any] = {"fc": look.colour, "ec": look.colour, "alpha": 0.2, "lw": 0}
    axes.fill_between(x, bottom, top, hatch=hatch(drawn), zorder=1, **band)
    if np.isfinite(y).sum() == 1:  # a band over one ratio has no width
        axes.vlines(x, bottom, top, color=look.colour, lw=1.0, zorder=2)
    dots: dict[str, Any] = {"marker": ".", "ms": 3, "mew": 0}
    for seed in seeds.columns:
        values = seeds[seed].to_numpy()
        axes.plot(x, values, "-", color=look.colour, alpha=0.3, lw=0.5, zorder=2, **dots)
    axes.plot(x, y, ls=look.line, color=look.colour, lw=1.5 * look.scale**0.5, zorder=4)


def _draw_marks(axes: Axes, shown: Panel, look: Look) -> None:
    """Draw the mark of each ratio: its verdict; where rows have none, filled where the difference
    to r = 0 is significant (5 %, Holm).
    """
    for row in records(shown.drawn, dict[str, Any]):
        ratio = row["ratio"]
        if np.isnan(row["y"]):
            mark_missing(axes, ratio)
            continue
        if shown.tested:
            mark = VERDICTS[row["verdict"]]
            filled = mark.filled
        else:
            mark = VERDICTS["baseline" if ratio == 0 else "non-inferior"]
            filled = ratio == 0 or row["p_holm"] < 0.05
        axes.plot(
            ratio,
            row["y"],
            mark.shape,
            ms=look.scale * mark.size,
            mfc=look.colour if filled else "white",
            mec=look.colour,
            mew=1.0,
            zorder=5,
            clip_on=False,
        )


def share_axis(axes: Axes, air: float = 0.03) -> None:
    """Set the ends and ticks of an x axis from r = 0 to r = 1."""
    axes.set_xlim(-air, 1 + air)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])


def _panels(sweep: Sweep, results: pd.DataFrame) -> dict[str, Panel]:
    """Return the panels that have rows, by their names in `styles`; the macro one in any case but
    where there is nothing monolingual.
    """
    nothing = pd.DataFrame(index=planned(sweep))
    seeds: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    panels = {}
    views = styles(sweep.measures).values()
    for name, view in styles(sweep.measures).items():
        is_wanted = name == "macro" and not lacks_monolingual(results)
        if not is_wanted and pick(results, *view.what).empty:
            continue
        setting, measure, scope = view.what
        if (setting, measure) not in seeds:
            wanted = [one.what[2] for one in views if one.what[:2] == (setting, measure)]
            seeds[setting, measure] = seed_means(sweep, setting, measure, wanted)
        panels[name] = Panel(
            what=view.what,
            drawn=curve(sweep, results, view.what),
            seeds=seeds[setting, measure].get(scope, nothing),
            levels=levels_of(results, *view.what),
            margin=sweep.margin,
        )
    return panels


def draw(sweep: Sweep, results: pd.DataFrame, corner: str) -> Figure:
    """Return the whole figure; `corner` is the short line of origin at its lower right.

    Macro and English have the same units per inch, so that their drops compare by eye.
    """
    with styled():
        panels, named = _panels(sweep, results), styles(sweep.measures)
        upper: list[str] = [name for name in ("macro", "english") if name in panels]
        upper = upper or [name for name in ("cross", *panels) if name in panels][:1]
        lower = [name for name in panels if name not in upper]
        macro = panels[upper[0]].drawn
        verdicts: set[str] = set()
        for name in upper:
            verdicts |= set(panels[name].drawn["verdict"].dropna())
        note = covers(macro)
        if is_paired(macro) and not weak(macro):
            row = "Lower row: a" if panels[upper[0]].tested else "A"
            note += f" {row} filled marker differs from r = 0 (5 %, Holm)."
        if lacks_monolingual(results):
            note += f" Monolingual retrieval is {EMPTY[0].lower()}{EMPTY[1:]}"
        height = 4.4 if lower else 2.7
        figure = sheet(WIDE, height, note, corner, marks(verdicts, macro))
        rows = figure.add_gridspec(2 if lower else 1, 1, height_ratios=[1.45, 1] if lower else None)
        edges = [panels[name].limits for name in upper]
        span = max(high - low for low, high in edges)
        grid = rows[0].subgridspec(1, len(upper), width_ratios=[1.8, 1][: len(upper)])
        for place, name in enumerate(upper):
            _draw_panel(figure.add_subplot(grid[place]), named[name], panels[name], span)
        if lower:
            grid = rows[1].subgridspec(1, len(lower))
            for place, name in enumerate(lower):
                _draw_panel(figure.add_subplot(grid[place]), named[name], panels[name], 0.0)
        return figure


def _draw_panel(axes: Axes, view: PanelStyle, shown: Panel, span: float) -> None:
    """Draw a panel of the curve under its title; the macro one is the largest, and names its
    margin.
    """
    is_macro = shown.tested and shown.what[2] == MACRO
    look = Look(view.colour, view.line, scale=1.0 if is_macro else 0.8, words=is_macro)
    panel(axes, shown, look, span)
    axes.set_title(view.title)
    axes.set_xlabel(SHARE_LABEL, labelpad=2)
