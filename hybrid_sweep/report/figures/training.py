"""Training and dev curves: the loss of all batches and of each kind, and the scores on the split
dev, per ratio.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybrid_sweep.report.figures.cells import chosen, left_out
from hybrid_sweep.report.figures.style import LEVEL, WIDE, sheet, styled
from hybrid_sweep.report.figures.training_curves import DEV, KINDS, Training, over_seeds
from hybrid_sweep.report.measures import CROSS_LINGUAL, MONOLINGUAL
from hybrid_sweep.report.render.numbers import counted

MOST = 5  # ratios whose bands can still be told apart
LINES: list[Any] = ["-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (9, 2))]
LOSSES = {kind: f"Loss, {kind} batches" for kind in KINDS}
SCORES = dict(
    zip(DEV, [f"{MONOLINGUAL.title} on dev", f"{CROSS_LINGUAL.title} on dev"], strict=True)
)


def _panel(
    axes: Axes, series: pd.DataFrame, looks: dict[float, dict[str, Any]], title: str
) -> None:
    """Draw a line and a band over the seeds for each ratio, at the steps that it has; gaps where no
    seed has a value.
    """
    for ratio, look in looks.items():
        mine = series[series["ratio"] == ratio]
        if mine["mean"].notna().any():
            step, mean, low, high = (
                mine[name].to_numpy(dtype=np.float64) for name in ("step", "mean", "low", "high")
            )
            axes.fill_between(step, low, high, color=look["color"], alpha=0.15, lw=0)
            # a value between gaps has no line
            marker = "." if len(step) < 2 or np.isnan(mean).any() else ""
            axes.plot(step, mean, lw=1.2, marker=marker, ms=4, gid=f"r = {ratio:g}", **look)
    axes.set_title(title)
    axes.set_xlabel("optimiser step", labelpad=2)
    axes.locator_params(axis="x", nbins=5)


def draw(training: Training, corner: str) -> Figure | None:
    """Return the figure, or None where no run has a record; `corner` is the short line of origin at
    its lower right.

    Lines are means over the seeds, bands run from the lowest to the highest seed. Up to five
    ratios; it says which are left out, and which runs have no record.
    """
    losses, scores = {}, {}
    for kind in KINDS:
        series = over_seeds(training.loss[training.loss["kind"] == kind], "loss")
        if series["mean"].notna().any():
            losses[kind] = series
    for name in DEV:
        series = over_seeds(training.dev[training.dev["name"] == name], "value")
        if series["mean"].notna().any():
            scores[name] = series
    if not losses:
        return None
    with styled():
        ratios, rest = chosen(sorted(set(training.loss["ratio"])), MOST)
        looks = _looks(ratios)
        handles = []
        for ratio, look in looks.items():
            handles.append(Line2D([], [], lw=1.4, label=f"r = {ratio:g}", **look))
        note = _note(training, bool(scores)) + left_out(rest, "steps.parquet of each run")
        figure = sheet(WIDE, 3.7 if scores else 2.0, note, corner, handles, stroke=3.2)
        rows = figure.add_gridspec(2 if scores else 1, 1)
        spread = pd.concat(losses.values())
        spread = spread[spread["ratio"].isin(ratios)]
        low, high = float(spread["low"].min()), float(spread["high"].max())
        air = 0.05 * (high - low) or 0.05
        grid = rows[0].subgridspec(1, len(losses))
        for place, (kind, series) in enumerate(losses.items()):
            axes = figure.add_subplot(grid[place])
            _panel(axes, series, looks, LOSSES[kind])
            axes.set_ylim(low - air, high + air)  # one scale: the kinds compare by eye
            axes.set_xlim(0, float(spread["step"].max()) + training.window / 2)
        if scores:
            grid = rows[1].subgridspec(1, len(scores))
            for place, (name, series) in enumerate(scores.items()):
                _panel(figure.add_subplot(grid[place]), series, looks, SCORES[name])
        return figure


def _looks(ratios: Sequence[float]) -> dict[float, dict[str, Any]]:
    """Return the colour and the line style of each ratio."""
    shades = np.linspace(0.36, 1.0, len(ratios)) if len(ratios) > 1 else [0.8]
    looks = {}
    for ratio, shade, line in zip(ratios, shades, LINES, strict=False):
        looks[ratio] = {"color": LEVEL(shade), "ls": line}
    return looks


def _note(training: Training, has_scores: bool) -> str:
    note = (
        "Lines: mean over seeds; bands: lowest to highest seed. Loss: means of windows of"
        f" {training.window} steps, each batch counted once, a gap where a window has no batch"
        " of the kind."
    )
    if not has_scores:
        note += " No scores on the dev split were recorded (eval.dev_every)."
    for reason, count in sorted(Counter(training.absent.values()).items()):
        note += f" {counted(count, 'run')} left out: {reason}."
    return note
