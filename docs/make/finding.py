"""Draw the panel of the README from the published table of experiments/shape.

    python docs/make/finding.py

The file carries the numbers that it shows (PNG text `Description`, JSON), so that a test can
compare them with the table without comparing pixels, which depend on the version of matplotlib.
"""

import json
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybrid_sweep.report.figures.style import BLUE, GREEN, GREY, settle, styled

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "experiments" / "shape" / "results.csv"
PANEL = ROOT / "docs" / "finding.png"
MARGIN = 0.01
TITLE = "Monolingual MRR@10 holds within the margin up to r = 0.25; cross-lingual rises"
COLUMNS = ["ratio", "delta", "delta_low_90", "delta_high_90"]


def changes(setting: str) -> pd.DataFrame:
    """Return the changes of MRR@10 to r = 0 with their 90 % intervals, by ratio."""
    table = pd.read_csv(TABLE)
    chosen = table["kind"].eq("trained") & table["scope"].eq("macro")
    chosen &= table["setting"].eq(setting) & table["measure"].eq("RR@10")
    return table.loc[chosen, COLUMNS].fillna(0.0).round(6).sort_values("ratio")


def shown() -> dict[str, list[list[float]]]:
    """Return what the panel shows: rows of ratio, change, and the ends of its interval."""
    settings = ("monolingual", "cross-lingual")
    return {setting: changes(setting).to_numpy().tolist() for setting in settings}


def curve(axes: Axes, setting: str, colour: str, marker: str) -> None:
    """Draw one curve with its band."""
    rows = changes(setting)
    axes.fill_between(
        rows["ratio"], rows["delta_low_90"], rows["delta_high_90"], color=colour, alpha=0.2, lw=0
    )
    axes.plot(rows["ratio"], rows["delta"], color=colour, marker=marker, ms=5, lw=1.8)


def panel() -> Figure:
    """Return the figure."""
    with styled():
        figure = Figure(figsize=(5.6, 3.1), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color="black", lw=0.6)
        axes.axhline(-MARGIN, color="black", lw=1, ls="--")
        curve(axes, "cross-lingual", GREEN, "s")
        curve(axes, "monolingual", BLUE, "o")
        axes.set_title(TITLE)
        axes.set_xlabel("share r of cross-lingual batches")
        axes.set_ylabel("change of MRR@10 from r = 0")
        axes.set_xlim(-0.02, 1.02)
        axes.text(0.8, 0.03, "cross-lingual", color=GREEN, fontsize=8, ha="center")
        axes.text(0.45, -0.021, "monolingual", color=BLUE, fontsize=8, ha="center")
        axes.text(0.02, -MARGIN - 0.001, "margin: a loss of 0.01", fontsize=7, va="top")
        axes.text(0.02, 0.057, "bands: 90 % intervals", color=GREY, fontsize=7, va="top")
        axes.set_ylim(-0.034, 0.062)
        settle(figure)
        return figure


def main() -> None:
    """Write the panel."""
    with styled():
        panel().savefig(
            PANEL, dpi=200, metadata={"Software": None, "Description": json.dumps(shown())}
        )


if __name__ == "__main__":
    main()
