"""A heat map that can be read without its colours: numbers where they fit, marks for what is shown,
hatching for gaps.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from hybrid_sweep.report.figures.style import GREY, SMALL, ink, legible, width_of

Array = NDArray[np.float64]
GAP, GAP_HATCH = "#dcdcdc", "xxxx"
FALL_HATCH = "////"  # cells that fall, where there is no room for a number with its sign
MARK = 2.6
MINUS = "\u2212"


def chosen(ratios: Sequence[float], most: int) -> tuple[list[float], list[float]]:
    """Return at most so many of the sorted ratios, the first and the last among them and the others
    evenly spread; and the rest.
    """
    ratios = sorted(ratios)
    if len(ratios) <= most:
        return ratios, []
    wanted = np.linspace(ratios[0], ratios[-1], most)[1:-1]
    kept = {ratios[0], ratios[-1]}
    for value in wanted:
        kept.add(
            min(
                (ratio for ratio in ratios if ratio not in kept),
                key=lambda ratio: (round(abs(ratio - value), 9), ratio),
            )
        )
    return sorted(kept), [ratio for ratio in ratios if ratio not in kept]


def left_out(ratios: Sequence[float], where: str) -> str:
    """Return a sentence on the ratios that a figure has no room for; "" where it shows them all."""
    return (
        f" Not drawn for want of room: r = {', '.join(f'{ratio:g}' for ratio in ratios)}, in"
        f" {where}."
        if ratios
        else ""
    )


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """Return a number as short as a cell wants it: ".452", "+.012", "\u2212.012", "1.000", "37"."""
    text = f"{abs(value):.{digits}f}"
    if digits and text.startswith("0."):
        text = text[1:]
    rounded = round(value, digits)
    return (MINUS if rounded < 0 else "+" if sign and rounded > 0 else "") + text


def fitting(
    values: Array, digits: Sequence[int], room: float, *, sign: bool = False, bold: bool = False
) -> int | None:
    """Return the most digits of those offered with which every value is narrower than `room`
    points; None where none is.
    """
    weight = "bold" if bold else "normal"
    known = values[np.isfinite(values)]
    for count in sorted(digits, reverse=True):
        texts = {number(float(value), count, sign=sign) for value in known}
        if max((width_of(text, weight=weight) for text in texts), default=0.0) <= room:
            return count
    return None


def cells(
    axes: Axes,
    values: Array,
    colours: Colormap,
    scale: Normalize,
    *,
    digits: int | None,
    sign: bool = False,
    shown: NDArray[np.int_] | None = None,
    bold: NDArray[np.bool_] | None = None,
    framed: NDArray[np.bool_] | None = None,
) -> None:
    """Draw a matrix (R, C), row 0 on top; NaN cells are gaps, grey and hatched.

    digits: of the numbers in the cells, None for none; sign: they are changes, and falls without a
    number are hatched. shown: (R, C) +1 or -1 where a rise or a fall is significant. bold: (R, C)
    numbers to stress. framed: (R, C) cells.
    """
    n_rows, n_columns = values.shape
    axes.set_xlim(0, n_columns)
    axes.set_ylim(n_rows, 0)
    axes.grid(False)
    axes.tick_params(length=0, pad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.add_patch(
        Rectangle(
            (0, 0), n_columns, n_rows, fc=GAP, ec="#ffffff", hatch=GAP_HATCH, lw=0, zorder=0.5
        )
    )
    # Not an image: viewers blur small ones. The cells' white edges are drawn with them.
    axes.pcolormesh(
        np.ma.masked_invalid(values),
        cmap=colours,
        norm=scale,
        edgecolors="white",
        linewidth=0.3,
        zorder=1,
    )
    if sign and digits is None:
        for row, column in zip(*np.nonzero(values < 0), strict=True):
            box = Rectangle(
                (column, row), 1, 1, fill=False, ec="#00000055", hatch=FALL_HATCH, lw=0, zorder=1.5
            )
            axes.add_patch(box)
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        value = float(values[row, column])
        colour = ink(colours(scale(value)))
        mark = 0 if shown is None else int(shown[row, column])
        if digits is not None:
            strong = bold is not None and bool(bold[row, column])
            place = (column + 0.5, row + (0.64 if shown is not None else 0.54))
            text = number(value, digits, sign=sign)
            weight = "bold" if strong else "normal"
            axes.text(
                *place,
                text,
                size=SMALL,
                color=colour,
                weight=weight,
                ha="center",
                va="center",
                zorder=3,
            )
        if mark:
            height = row + (0.21 if digits is not None else 0.5)
            shape = "^" if mark > 0 else "v"
            axes.plot(
                column + 0.5, height, shape, ms=MARK, mfc=colour, mec=colour, mew=0.3, zorder=3
            )
    if framed is not None:
        for row, column in zip(*np.nonzero(framed), strict=True):
            axes.add_patch(
                Rectangle(
                    (column, row), 1, 1, fill=False, ec="black", lw=0.9, zorder=2, clip_on=False
                )
            )


def label(axes: Axes, rows: Sequence[str], columns: Sequence[str], room: float) -> None:
    """Name the rows at the left and the columns; [] for no names. Names wider than `room` points
    stand upright, and all of them where those are the most.
    """
    rows, columns = ([legible(name) for name in names] for names in (rows, columns))
    wide = [width_of(name) > room - 1 for name in columns]
    most = 2 * sum(wide) > len(columns)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=SMALL)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, fontsize=SMALL)
    for text, turned in zip(axes.get_xticklabels(), wide, strict=True):
        text.set_rotation(90 if turned or most else 0)


def turned(columns: Sequence[str], room: float) -> float:
    """Return inches that upright names below (or above) the columns add to a figure; see
    `label`.
    """
    return max((width_of(name) for name in columns if width_of(name) > room - 1), default=0.0) / 72


def key(
    axes: Axes,
    colours: Colormap,
    scale: Normalize,
    title: str,
    *,
    digits: int = 3,
    sign: bool = False,
) -> None:
    """Fill axes with a horizontal bar of the colours and the values at its ends and middle."""
    low, high = float(scale.vmin or 0.0), float(scale.vmax or 0.0)
    steps = np.linspace(low, high, 65)
    axes.pcolormesh(
        steps,
        [0, 1],
        (steps[None, 1:] + steps[None, :-1]) / 2,
        cmap=colours,
        norm=scale,
        rasterized=False,
    )
    axes.set_xlim(low, high)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_yticks([])
    ends = [low, (low + high) / 2, high]
    axes.set_xticks(ends, [number(value, digits, sign=sign) for value in ends], fontsize=SMALL)
    axes.tick_params(length=2, pad=1.5)
    labels = axes.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
    axes.set_title(title, fontsize=7, pad=2.5)


def handles(
    *, marks: bool = False, falls: bool = False, gaps: bool = False, frame: str = ""
) -> list[Any]:
    """Return the handles of a legend for what the cells show beside colours."""
    found: list[Any] = []
    if frame:
        found.append(Patch(fc="white", ec="black", lw=0.9, label=frame))
    if marks:
        for shape, word in (("^", "rise"), ("v", "fall")):
            text = f"significant {word}"
            found.append(
                Line2D([], [], ls="", marker=shape, ms=4, mfc="black", mec="black", label=text)
            )
    if falls:
        found.append(Patch(fc="white", ec=GREY, hatch=FALL_HATCH, lw=0.4, label="a fall"))
    if gaps:
        found.append(
            Patch(fc=GAP, ec="white", hatch=GAP_HATCH, lw=0, label="not measured or missing")
        )
    return found
