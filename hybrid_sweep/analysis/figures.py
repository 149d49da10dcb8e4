"""The curve: monolingual MRR@10 against the cross-lingual share, and below it what the share buys.

Made for the full width of a two-column page (7 in, no text under 6.5 pt) and drawn without pyplot, so that no state of
a session enters the file. Colours are Okabe and Ito's, darkened where they stand on white; panels, line styles and marker
shapes carry the meaning without them, for the colour-blind and for a grey print.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hybrid_sweep.analysis.results import MACRO, block, pick, records
from hybrid_sweep.analysis.table import BASELINES, Sweep
from hybrid_sweep.store import atomic_write

STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same bytes on every machine
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.4,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 6.8,
    "pdf.fonttype": 42,  # TrueType: text stays text
}
GREY = "#555555"
SMALL = 6.5
# What a panel shows: setting, measure, scope, its title, colour and line style. {scope} stands for the languages.
ENGLISH = "en"
PANELS: dict[str, tuple[tuple[str, str, str], str, str, Any]] = {
    "macro": (("monolingual", "RR@10", MACRO), "Monolingual MRR@10, mean of languages", "#0072B2", "-"),
    "english": (("monolingual", "RR@10", ENGLISH), "Monolingual MRR@10, English", "#B36B00", (0, (4, 1.5))),
    "cross": (("cross-lingual", "RR@10", MACRO), "Cross-lingual MRR@10", "#008060", (0, (6, 1.5, 1, 1.5))),
    "pooled": (("multilingual", "AP", MACRO), "Multilingual mAP", "#A0478A", (0, (2, 1))),
    "bias": (("multilingual", "same@10", MACRO), "Same-language share of top 10", "#B34A00", (0, (7, 2))),
}
LEVELS: dict[str, Any] = {"untrained": (0, (1, 1.5)), "bm25": (0, (6, 1.5, 1, 1.5))}  # the lines of the baselines
# Marker, filled, size and meaning of each verdict: the shape alone tells them apart.
VERDICTS: dict[str, tuple[str, bool, float, str]] = {
    "baseline": ("s", True, 5.0, "r = 0"),
    "superior": ("^", True, 6.5, "superior (a gain)"),
    "non-inferior": ("o", True, 5.5, "non-inferior"),
    "inconclusive": ("D", False, 5.0, "inconclusive"),
    "degraded": ("v", True, 7.0, "degraded"),
    "untested": ("o", False, 5.5, "not tested"),
}


def curve(sweep: Sweep, results: pd.DataFrame, what: tuple[str, str, str]) -> pd.DataFrame:
    """What one panel draws, one row per planned ratio, NaN where no point is finished.

    `y` is the mean at ratio 0 plus the paired difference, which is the plain mean unless seeds are missing; `bottom`
    and `top` are the 90 % interval of that difference, so that the lower edge against the margin line is the verdict.
    Without ratio 0 they are the plain mean and its own 95 % interval.
    """
    found = pick(results, *what)
    base = found[found["ratio"] == 0]["mean"].to_numpy()
    if len(base):
        found["y"] = (base[0] + found["delta"]).fillna(found["mean"])
        found["bottom"], found["top"] = base[0] + found["delta_low_90"], base[0] + found["delta_high_90"]
        found.loc[found["ratio"] == 0, ["bottom", "top"]] = base[0]
    else:
        found["y"], found["bottom"], found["top"] = found["mean"], found["low"], found["high"]
    return found.set_index("ratio").reindex(_planned(sweep)).rename_axis("ratio").reset_index()


def seed_means(sweep: Sweep, what: tuple[str, str, str]) -> pd.DataFrame:
    """The mean of every trained run: rows are the planned ratios, columns the seeds, NaN where a point is missing."""
    setting, measure, scope = what
    part = block(sweep, setting, measure)
    rows = []
    for point, values in zip(sweep.finished, part.values if part else [], strict=part is not None):
        if part is not None and point.kind == "trained":
            means = np.bincount(part.domain, weights=values) / np.bincount(part.domain)
            mean = means.mean() if scope == MACRO else means[part.names.index(scope)]
            rows.append((point.ratio, point.seed, float(mean)))
    frame = pd.DataFrame(rows, columns=["ratio", "seed", "mean"])
    return frame.pivot(index="ratio", columns="seed", values="mean").reindex(_planned(sweep))


def _planned(sweep: Sweep) -> list[float]:
    return sorted({point.ratio for point in sweep.points if point.kind == "trained"})


def _limits(drawn: pd.DataFrame, seeds: pd.DataFrame, margin: float) -> tuple[float, float]:
    """Lowest and highest value that a panel must show, with some air; the margin line included."""
    base = drawn[drawn["ratio"] == 0]["y"].to_numpy(dtype=np.float64)
    parts = [drawn[["y", "bottom", "top"]].to_numpy(dtype=np.float64), seeds.to_numpy(dtype=np.float64), base - margin]
    values = np.concatenate([part.ravel() for part in parts])
    low, high = (float(np.nanmin(values)), float(np.nanmax(values))) if np.isfinite(values).any() else (0.0, 1.0)
    air = max(0.08 * (high - low), 1e-3)
    return low - (2 * air if margin else air), high + air  # the words under the margin line need room


def _baselines(axes: Axes, levels: dict[str, float], ends: tuple[float, float]) -> None:
    """Level lines by kind where they fit; words with an arrow at the edge where a line would flatten the curve.

    The words stand on the side where the curve's end is farther away; those of lines close together are stacked.
    """
    low, high = axes.get_ylim()
    room = 0.25 * (high - low)
    near = {kind: level for kind, level in levels.items() if low - room <= level <= high + room}
    for level in near.values():
        low, high = min(low, level - 0.3 * room), max(high, level + 0.3 * room)
    axes.set_ylim(low, high)
    words = []  # with their height in the panel, from 0 to 1
    for kind, level in levels.items():
        if kind in near:
            axes.axhline(level, color=GREY, lw=1.1, ls=LEVELS[kind], zorder=1)
        arrow, height = ("\u2193 ", 0.02) if level < low else ("\u2191 ", 0.98) if level > high else ("", None)
        height = (level - low) / (high - low) if height is None else height
        words.append((height, f"{arrow}{BASELINES[kind]} {level:.3f}"))
    for upper in (False, True):  # above the lines in the lower half, below them in the upper one
        here = sorted((each for each in words if (each[0] >= 0.5) == upper), reverse=upper)
        stacked = len(here) > 1 and abs(here[0][0] - here[-1][0]) < 0.15
        for place, (height, text) in enumerate(here):
            height = here[-1][0] if stacked else height
            beside = low + height * (high - low)
            right = abs(ends[1] - beside) > abs(ends[0] - beside)
            offset = 2 + 8 * place * stacked
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
                bbox={"fc": "white", "alpha": 0.8, "lw": 0, "pad": 0.6},  # a curve or a line behind them stays legible
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


def _panel(axes: Axes, sweep: Sweep, results: pd.DataFrame, name: str, span: float) -> list[str]:
    """Draw one panel; `span` is the least height of its y axis. Returns the verdicts that it marks."""
    what, title, colour, line = PANELS[name]
    drawn, seeds = curve(sweep, results, what), seed_means(sweep, what)
    tested = what[0] == "monolingual"
    low, high = _limits(drawn, seeds, sweep.margin if tested else 0.0)
    air = max(span - (high - low), 0.0) / 2
    axes.set_ylim(low - air, high + air)
    x = drawn["ratio"].to_numpy(dtype=np.float64)
    bottom, top = (drawn[side].to_numpy(dtype=np.float64) for side in ("bottom", "top"))
    hatch = "/////" if _weak(drawn) else None
    axes.fill_between(x, bottom, top, fc=colour, alpha=0.2, ec=colour, hatch=hatch, lw=0, zorder=1)
    for seed in seeds.columns:
        axes.plot(x, seeds[seed].to_numpy(), "-", color=colour, alpha=0.3, lw=0.5, marker=".", ms=3, mew=0, zorder=2)
    axes.plot(x, drawn["y"].to_numpy(dtype=np.float64), ls=line, color=colour, lw=1.5, zorder=4)
    marked = []
    for row in records(drawn):
        if np.isnan(row["y"]):
            axes.plot(row["ratio"], 0.03, "x", color="black", ms=5, transform=axes.get_xaxis_transform(), clip_on=False)
            place = (row["ratio"], 0.06)
            axes.annotate(
                "missing", place, xycoords=("data", "axes fraction"), fontsize=SMALL, rotation=90, ha="center"
            )
            continue
        # Only monolingual rows have a verdict; elsewhere a filled marker is a difference to r = 0 at Holm-adjusted 5 %.
        verdict = row["verdict"] if tested else "baseline" if row["ratio"] == 0 else "non-inferior"
        shape, filled, size, _ = VERDICTS[verdict]
        face = colour if filled and (tested or row["ratio"] == 0 or row["p_holm"] < 0.05) else "white"
        size *= 1.0 if name == "macro" else 0.8
        axes.plot(row["ratio"], row["y"], shape, ms=size, mfc=face, mec=colour, mew=1.0, zorder=5, clip_on=False)
        marked.append(verdict if tested else "")
    base = drawn[(drawn["ratio"] == 0) & drawn["y"].notna()]["y"].to_numpy()
    if tested and len(base):
        _margin(axes, float(base[0]), sweep.margin, words=name == "macro")
    ends = drawn["y"].dropna().to_numpy()
    levels = {kind: float(level) for kind in BASELINES for level in pick(results, *what, kind=kind)["mean"]}
    if len(ends):
        _baselines(axes, levels, (float(ends[0]), float(ends[-1])))
    axes.set_title(title)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    return marked


def _weak(drawn: pd.DataFrame) -> bool:
    """Whether the band of a curve covers the questions alone."""
    paired = drawn["delta_interval"].isin(["crossed", "conditional"])
    column = "delta_interval" if paired.any() else "interval"
    return bool((drawn[column] == "conditional").any())


def _legend(figure: Figure, verdicts: set[str], drawn: pd.DataFrame, corner: str) -> None:
    """Two lines at the foot: the marks, then how to read the rest, and the figure's origin."""
    handles: list[Any] = []
    for name, (shape, filled, size, meaning) in VERDICTS.items():
        if name in verdicts:
            face = "black" if filled else "white"
            handles.append(Line2D([], [], ls="", marker=shape, ms=0.8 * size, mfc=face, mec="black", label=meaning))
    handles.append(Line2D([], [], color=GREY, lw=0.5, marker=".", ms=3, label="one seed"))
    paired = drawn[(drawn["ratio"] == 0) & drawn["y"].notna()].shape[0] > 0
    band = "90 % interval of the difference to r = 0" if paired else "95 % interval of the mean"
    handles.append(Patch(fc="#c8c8c8", hatch="/////" if _weak(drawn) else None, ec=GREY, lw=0, label=band))
    place: Any = {"loc": "lower left", "bbox_to_anchor": (0.0, 0.025), "borderpad": 0.2, "borderaxespad": 0.3}
    figure.legend(handles=handles, ncols=len(handles), frameon=False, handlelength=1.1, columnspacing=1.3, **place)
    over = "questions only (too few seeds)" if _weak(drawn) else "seeds and questions"
    note = f"Intervals over {over}."
    if paired and not _weak(drawn):
        note += " Lower row: a filled marker differs from r = 0 (5 %, Holm)."
    figure.text(0.008, 0.008, note, fontsize=SMALL, color=GREY)
    figure.text(0.995, 0.008, corner, fontsize=SMALL, color=GREY, ha="right")


def draw(sweep: Sweep, results: pd.DataFrame, corner: str) -> Figure:
    """The whole figure; `corner` is the short line of origin at its lower right.

    Macro and English have the same units per inch, so that their drops compare by eye.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(7.0, 4.7), layout=ConstrainedLayoutEngine(rect=(0, 0.07, 1, 0.93)))
        english = not pick(results, *PANELS["english"][0]).empty
        upper = ["macro", "english"] if english else ["macro"]
        lower = [name for name in ("cross", "pooled", "bias") if not pick(results, *PANELS[name][0]).empty]
        rows = figure.add_gridspec(2 if lower else 1, 1, height_ratios=[1.45, 1] if lower else None)
        grid = rows[0].subgridspec(1, len(upper), width_ratios=[1.8, 1][: len(upper)])
        spans = []
        for name in upper:
            what = PANELS[name][0]
            low, high = _limits(curve(sweep, results, what), seed_means(sweep, what), sweep.margin)
            spans.append(high - low)
        verdicts: set[str] = set()
        for place, name in enumerate(upper):
            verdicts |= set(_panel(figure.add_subplot(grid[place]), sweep, results, name, max(spans)))
        if lower:
            grid = rows[1].subgridspec(1, len(lower))
            for place, name in enumerate(lower):
                _panel(figure.add_subplot(grid[place]), sweep, results, name, 0.0)
        for axes in figure.axes:
            axes.set_xlabel("share r of cross-lingual batches", labelpad=2)
        _legend(figure, verdicts, curve(sweep, results, PANELS["macro"][0]), corner)
        return figure


def save(figure: Figure, folder: Path) -> tuple[Path, Path]:
    """Write curve.png (200 dpi) and curve.pdf into `folder`, each whole or not at all; no date, no program name."""
    png, pdf = folder / "curve.png", folder / "curve.pdf"
    with rc_context(STYLE):
        with atomic_write(png) as path:
            figure.savefig(path, dpi=200, metadata={"Software": None})
        with atomic_write(pdf) as path:
            figure.savefig(path, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return png, pdf
