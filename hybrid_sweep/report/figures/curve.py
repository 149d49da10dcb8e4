"""The curve: monolingual MRR@10 against the cross-lingual share, and below it what the share buys.

Panels, line styles and marker shapes carry the meaning without the colours, for the colour-blind
and for a grey print.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

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
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.results import ENGLISH, MACRO, block, pick

# What a panel shows: setting, measure, scope, its title, colour and line style. {scope} stands for
# the languages.
PANELS: dict[str, tuple[tuple[str, str, str], str, str, Any]] = {
    "macro": (("monolingual", "RR@10", MACRO), "Monolingual MRR@10, mean of languages", BLUE, "-"),
    "english": (
        ("monolingual", "RR@10", ENGLISH),
        "Monolingual MRR@10, English",
        OCHRE,
        (0, (4, 1.5)),
    ),
    "cross": (
        ("cross-lingual", "RR@10", MACRO),
        "Cross-lingual MRR@10",
        GREEN,
        (0, (6, 1.5, 1, 1.5)),
    ),
    "pooled": (("multilingual", "AP", MACRO), "Multilingual mAP", PURPLE, (0, (2, 1))),
    "bias": (
        ("multilingual", "same@10", MACRO),
        "Same-language share of top 10",
        ORANGE,
        (0, (7, 2)),
    ),
}
# the lines of the baselines
LEVELS: dict[str, Any] = {"untrained": (0, (1, 1.5)), "bm25": (0, (6, 1.5, 1, 1.5))}
# Marker, filled, size and meaning of each verdict: the shape alone tells them apart.
VERDICTS: dict[str, tuple[str, bool, float, str]] = {
    "baseline": ("s", True, 5.0, "r = 0"),
    "superior": ("^", True, 6.5, "superior (a gain)"),
    "non-inferior": ("o", True, 5.5, "non-inferior"),
    "inconclusive": ("D", False, 5.0, "inconclusive"),
    "degraded": ("v", True, 7.0, "degraded"),
    "untested": ("o", False, 5.5, "not tested"),
}
CROSS: dict[str, Any] = {"ls": "", "marker": "x", "ms": 5}
GONE = "no finished point"


def curve(sweep: Sweep, results: pd.DataFrame, what: tuple[str, str, str]) -> pd.DataFrame:
    """Return what one panel draws, one row per planned ratio, NaN where no point is finished.

    `y` is the mean at ratio 0 plus the paired difference, which is the plain mean unless seeds are
    missing; `bottom` and `top` are the 90 % interval of that difference, so that the lower edge
    against the margin line is the verdict. Without ratio 0 they are the plain mean and its own 95 %
    interval.
    """
    found = pick(results, *what)
    base = found[found["ratio"] == 0]["mean"].to_numpy()
    if len(base):
        found["y"] = (base[0] + found["delta"]).fillna(found["mean"])
        found["bottom"], found["top"] = (
            base[0] + found["delta_low_90"],
            base[0] + found["delta_high_90"],
        )
        found.loc[found["ratio"] == 0, ["bottom", "top"]] = base[0]
    else:
        found["y"], found["bottom"], found["top"] = found["mean"], found["low"], found["high"]
    return found.set_index("ratio").reindex(planned(sweep)).rename_axis("ratio").reset_index()


def seed_means(sweep: Sweep, setting: str, measure: str) -> dict[str, pd.DataFrame]:
    """Return the mean of every trained run, by scope: rows are the planned ratios, columns the
    seeds, NaN where a point is missing.

    Scopes: macro and every language or ordered pair.
    """
    part = block(sweep, setting, measure)
    if part is None:
        return {}
    places = [place for place, point in enumerate(sweep.finished) if point.kind == "trained"]
    count = np.bincount(part.domain)
    by_run = np.array(
        [np.bincount(part.domain, weights=part.values[place]) / count for place in places]
    )
    points = [(sweep.finished[place].ratio, sweep.finished[place].seed) for place in places]
    columns = dict(zip(part.names, by_run.reshape(-1, len(count)).T, strict=True))
    index = pd.MultiIndex.from_tuples(points, names=["ratio", "seed"])
    wide = pd.DataFrame(
        {MACRO: by_run.reshape(-1, len(count)).mean(axis=1), **columns}, index=index
    ).unstack("seed")
    return {
        scope: pd.DataFrame(wide[scope]).reindex(planned(sweep)) for scope in [MACRO, *part.names]
    }


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
    low, high = (
        (float(np.nanmin(values)), float(np.nanmax(values)))
        if np.isfinite(values).any()
        else (0.0, 1.0)
    )
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
    # whether the level is off the panel, its height in it, from 0 to 1, and what is said
    words = []
    for kind, level in levels.items():
        if kind in near:
            axes.axhline(level, color=GREY, lw=1.1, ls=LEVELS[kind], zorder=1)
        arrow, height = (
            ("\u2193 ", 0.02) if level < low else ("\u2191 ", 0.98) if level > high else ("", None)
        )
        height = (level - low) / (high - low) if height is None else height
        if arrow or stretch:
            words.append((bool(arrow), height, f"{arrow}{BASELINES[kind]} {level:.3f}"))
    for upper in (False, True):  # above the lines in the lower half, below them in the upper one
        here = [each for each in words if (each[1] >= 0.5) == upper]
        # a line's own words stand next to it
        here.sort(key=lambda each: (each[0], -each[1] if upper else each[1]))
        heights = [height for _, height, _ in here]
        stacked = len(here) > 1 and abs(heights[0] - heights[1]) < 0.15
        for place, (_, height, text) in enumerate(here):
            height = (min if upper else max)(heights) if stacked else height
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
    axes.axhline(base - margin, color="black", lw=0.9, ls=(0, (5, 2.5)), zorder=3)
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


def panel(
    axes: Axes,
    what: tuple[str, str, str],
    drawn: pd.DataFrame,
    seeds: pd.DataFrame,
    results: pd.DataFrame,
    margin: float,
    *,
    span: float,
    colour: str,
    line: Any,
    scale: float = 1.0,
    words: bool = False,
    stretch: float = 0.25,
) -> set[str]:
    """Draw one curve over r with its band, its seeds, its marks, the margin and the baselines; the
    verdicts that it marks.

    drawn: as `curve` gives it; seeds: one of `seed_means`. span: the least height of the y axis;
    scale: of the markers; words: whether the margin line is named; stretch: see `baselines`.
    """
    tested = what[0] == "monolingual"
    low, high = limits(drawn, seeds, margin if tested else 0.0)
    air = max(span - (high - low), 0.0) / 2
    axes.set_ylim(low - air, high + air)
    x = drawn["ratio"].to_numpy(dtype=np.float64)
    bottom, top = (drawn[side].to_numpy(dtype=np.float64) for side in ("bottom", "top"))
    hatch = "/////" if weak(drawn) else None
    axes.fill_between(x, bottom, top, fc=colour, alpha=0.2, ec=colour, hatch=hatch, lw=0, zorder=1)
    for seed in seeds.columns:
        axes.plot(
            x,
            seeds[seed].to_numpy(),
            "-",
            color=colour,
            alpha=0.3,
            lw=0.5,
            marker=".",
            ms=3,
            mew=0,
            zorder=2,
        )
    axes.plot(
        x,
        drawn["y"].to_numpy(dtype=np.float64),
        ls=line,
        color=colour,
        lw=1.5 * scale**0.5,
        zorder=4,
    )
    marked = set()
    for row in records(drawn, dict[str, Any]):
        if np.isnan(row["y"]):
            mark_missing(axes, row["ratio"])
            continue
        # Only monolingual rows have a verdict; elsewhere a filled marker is a difference to r = 0
        # at Holm-adjusted 5 %.
        verdict = row["verdict"] if tested else "baseline" if row["ratio"] == 0 else "non-inferior"
        shape, filled, size, _ = VERDICTS[verdict]
        face = (
            colour if filled and (tested or row["ratio"] == 0 or row["p_holm"] < 0.05) else "white"
        )
        axes.plot(
            row["ratio"],
            row["y"],
            shape,
            ms=scale * size,
            mfc=face,
            mec=colour,
            mew=1.0,
            zorder=5,
            clip_on=False,
        )
        if tested:
            marked.add(verdict)
    base = drawn[(drawn["ratio"] == 0) & drawn["y"].notna()]["y"].to_numpy()
    if tested and len(base):
        _margin(axes, float(base[0]), margin, words)
    ends = drawn["y"].dropna().to_numpy()
    levels = {
        kind: float(level)
        for kind in BASELINES
        for level in pick(results, *what, kind=kind)["mean"]
    }
    if len(ends):
        named = float(base[0]) - margin if words and len(base) else None
        baselines(axes, levels, (float(ends[0]), float(ends[-1])), stretch, named)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    return marked


def mark_missing(axes: Axes, ratio: float) -> None:
    """Draw a cross on the x axis where a planned ratio has no finished point; `GONE` names it in
    the legend.
    """
    axes.plot(
        ratio,
        0.0,
        color="black",
        transform=axes.get_xaxis_transform(),
        clip_on=False,
        zorder=6,
        **CROSS,
    )


def weak(drawn: pd.DataFrame) -> bool:
    """Return whether the band of a curve covers the questions alone."""
    paired = drawn["delta_interval"].isin(["crossed", "conditional"])
    column = "delta_interval" if paired.any() else "interval"
    return bool((drawn[column] == "conditional").any())


def marks(verdicts: set[str], drawn: pd.DataFrame) -> list[Any]:
    """Return the handles of a legend: the verdicts that occur, a seed, missing points, and the band
    of a curve.
    """
    handles: list[Any] = []
    for name, (shape, filled, size, meaning) in VERDICTS.items():
        if name in verdicts:
            face = "black" if filled else "white"
            handles.append(
                Line2D(
                    [], [], ls="", marker=shape, ms=0.8 * size, mfc=face, mec="black", label=meaning
                )
            )
    handles.append(Line2D([], [], color=GREY, lw=0.5, marker=".", ms=3, label="one seed"))
    if drawn["y"].isna().any():
        handles.append(Line2D([], [], color="black", label=GONE, **CROSS))
    band = (
        "90 % interval of the difference to r = 0"
        if _paired(drawn)
        else "95 % interval of the mean"
    )
    handles.append(
        Patch(fc="#c8c8c8", hatch="/////" if weak(drawn) else None, ec=GREY, lw=0, label=band)
    )
    return handles


def _paired(drawn: pd.DataFrame) -> bool:
    return bool(((drawn["ratio"] == 0) & drawn["y"].notna()).any())


def covers(drawn: pd.DataFrame) -> str:
    """Return what the intervals of a curve cover, in a sentence."""
    return (
        "Intervals over"
        f" {'questions only (too few seeds)' if weak(drawn) else 'seeds and questions'}."
    )


def draw(sweep: Sweep, results: pd.DataFrame, corner: str) -> Figure:
    """Return the whole figure; `corner` is the short line of origin at its lower right.

    Macro and English have the same units per inch, so that their drops compare by eye.
    """
    with styled():
        whats = {
            name: what
            for name, (what, *_) in PANELS.items()
            if name == "macro" or not pick(results, *what).empty
        }
        drawn = {name: curve(sweep, results, what) for name, what in whats.items()}
        found = {key: seed_means(sweep, *key) for key in {what[:2] for what in whats.values()}}
        nothing = pd.DataFrame(index=planned(sweep))
        seeds = {name: found[what[:2]].get(what[2], nothing) for name, what in whats.items()}
        upper: list[str] = [name for name in ("macro", "english") if name in whats]
        lower: list[str] = [name for name in whats if name not in upper]
        edges = [limits(drawn[name], seeds[name], sweep.margin) for name in upper]
        tested = set(drawn["macro"]["verdict"].dropna())
        note = covers(drawn["macro"])
        if _paired(drawn["macro"]) and not weak(drawn["macro"]):
            note += " Lower row: a filled marker differs from r = 0 (5 %, Holm)."
        if "english" in whats:
            tested |= set(drawn["english"]["verdict"].dropna())
        figure = sheet(WIDE, 4.4 if lower else 2.7, note, corner, marks(tested, drawn["macro"]))
        rows = figure.add_gridspec(2 if lower else 1, 1, height_ratios=[1.45, 1] if lower else None)
        widest = max(high - low for low, high in edges)
        layout: list[tuple[Any, list[str], float]] = [
            (rows[0].subgridspec(1, len(upper), width_ratios=[1.8, 1][: len(upper)]), upper, widest)
        ]
        if lower:
            layout.append((rows[1].subgridspec(1, len(lower)), lower, 0.0))
        for grid, names, span in layout:
            for place, name in enumerate(names):
                what, title, colour, line = PANELS[name]
                axes = figure.add_subplot(grid[place])
                main = name == "macro"
                look: dict[str, Any] = {
                    "colour": colour,
                    "line": line,
                    "scale": 1.0 if main else 0.8,
                    "words": main,
                }
                panel(
                    axes, what, drawn[name], seeds[name], results, sweep.margin, span=span, **look
                )
                axes.set_title(title)
                axes.set_xlabel("share r of cross-lingual batches", labelpad=2)
        return figure
