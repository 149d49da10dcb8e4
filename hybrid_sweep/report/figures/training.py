"""Training and dev curves: the loss of all batches and of each kind, and the scores on the split
dev, per ratio.
"""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybrid_sweep.report.figures.cells import chosen, left_out
from hybrid_sweep.report.figures.style import LEVEL, WIDE, sheet, styled
from hybrid_sweep.report.figures.training_curves import DEV, KINDS, Training, over_seeds
from hybrid_sweep.report.render.numbers import counted

MOST = 5  # ratios whose bands can still be told apart
LINES: list[Any] = ["-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (9, 2))]
LOSSES = dict(
    zip(
        KINDS,
        ["Loss, all batches", "Loss, monolingual batches", "Loss, cross-lingual batches"],
        strict=True,
    )
)
SCORES = dict(zip(DEV, ["Monolingual MRR@10 on dev", "Cross-lingual MRR@10 on dev"], strict=True))


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
    losses = {
        kind: over_seeds(training.loss[training.loss["kind"] == kind], "loss") for kind in KINDS
    }
    scores = {name: over_seeds(training.dev[training.dev["name"] == name], "value") for name in DEV}
    upper = [kind for kind in KINDS if losses[kind]["mean"].notna().any()]
    lower = [name for name in DEV if scores[name]["mean"].notna().any()]
    if not upper:
        return None
    with styled():
        ratios, rest = chosen(sorted(set(training.loss["ratio"])), MOST)
        shades = np.linspace(0.36, 1.0, len(ratios)) if len(ratios) > 1 else [0.8]
        looks = {
            ratio: {"color": LEVEL(shade), "ls": line}
            for ratio, shade, line in zip(ratios, shades, LINES, strict=False)
        }
        handles = [
            Line2D([], [], lw=1.4, label=f"r = {ratio:g}", **look) for ratio, look in looks.items()
        ]
        note = (
            "Lines: mean over seeds; bands: lowest to highest seed. Loss: means of windows of"
            f" {training.window} steps, each batch counted once, a gap where a window has no batch"
            " of the kind."
        )
        if not lower:
            note += " No scores on the dev split were recorded (eval.dev_every)."
        for reason, count in sorted(Counter(training.absent.values()).items()):
            note += f" {counted(count, 'run')} left out: {reason}."
        note += left_out(rest, "steps.parquet of each run")
        figure = sheet(WIDE, 3.7 if lower else 2.0, note, corner, handles, stroke=3.2)
        rows = figure.add_gridspec(2 if lower else 1, 1)
        spread = pd.concat([losses[kind] for kind in upper])
        spread = spread[spread["ratio"].isin(ratios)]
        low, high = float(spread["low"].min()), float(spread["high"].max())
        air = 0.05 * (high - low) or 0.05
        grid = rows[0].subgridspec(1, len(upper))
        for place, kind in enumerate(upper):
            axes = figure.add_subplot(grid[place])
            _panel(axes, losses[kind], looks, LOSSES[kind])
            axes.set_ylim(low - air, high + air)  # one scale: the kinds compare by eye
            axes.set_xlim(0, float(spread["step"].max()) + training.window / 2)
        if lower:
            grid = rows[1].subgridspec(1, len(lower))
            for place, name in enumerate(lower):
                _panel(figure.add_subplot(grid[place]), scores[name], looks, SCORES[name])
        return figure
