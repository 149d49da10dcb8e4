"""The marks of verdicts and of missing points, and the legend that explains them: the same in every
figure.
"""

from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hybrid_sweep.report.figures.style import GREY


class Mark(NamedTuple):
    """The mark of a verdict, whose shape alone tells it apart; size in points."""

    shape: str
    filled: bool
    size: float
    meaning: str


VERDICTS = {
    "baseline": Mark("s", True, 5.0, "r = 0"),
    "superior": Mark("^", True, 6.5, "superior (a gain)"),
    "non-inferior": Mark("o", True, 5.5, "non-inferior"),
    "inconclusive": Mark("D", False, 5.0, "inconclusive"),
    "degraded": Mark("v", True, 7.0, "degraded"),
    "untested": Mark("o", False, 5.5, "not tested"),
}
CROSS: dict[str, Any] = {"ls": "", "marker": "x", "ms": 5}
GONE = "no finished point"


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


def hatch(drawn: pd.DataFrame) -> str | None:
    """Return the hatch of a band that covers the questions alone."""
    return "/////" if weak(drawn) else None


def verdict_mark(verdict: str) -> Line2D:
    """Return the handle of a legend for a verdict."""
    shape, filled, size, meaning = VERDICTS[verdict]
    face = "black" if filled else "white"
    return Line2D([], [], ls="", marker=shape, ms=0.8 * size, mfc=face, mec="black", label=meaning)


def marks(verdicts: set[str], drawn: pd.DataFrame) -> list[Any]:
    """Return the handles of a legend: the verdicts that occur, a seed, missing points, and the band
    of a curve.
    """
    handles: list[Any] = [verdict_mark(name) for name in VERDICTS if name in verdicts]
    handles.append(Line2D([], [], color=GREY, lw=0.5, marker=".", ms=3, label="one seed"))
    if drawn["y"].isna().any():
        handles.append(Line2D([], [], color="black", label=GONE, **CROSS))
    band = "95 % interval of the mean"
    if is_paired(drawn):
        band = "90 % interval of the difference to r = 0"
    handles.append(Patch(fc="#c8c8c8", hatch=hatch(drawn), ec=GREY, lw=0, label=band))
    return handles


def is_paired(drawn: pd.DataFrame) -> bool:
    """Return whether a curve has a point at ratio 0, which the others are compared with."""
    return bool(((drawn["ratio"] == 0) & drawn["y"].notna()).any())


def covers(drawn: pd.DataFrame) -> str:
    """Return what the intervals of a curve cover, in a sentence."""
    covered = "questions only (too few seeds)" if weak(drawn) else "seeds and questions"
    return f"Intervals over {covered}."
