"""A heat map that can be read without its colours: numbers where they fit, marks for what is shown,
hatching for gaps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ColourScale:
    """From values to colours; sign: whether the values are changes."""

    colours: Colormap
    scale: Normalize
    sign: bool = False


@dataclass(frozen=True)
class Overlay:
    """What is drawn over the colours of a matrix (R, C).

    digits: of the numbers in the cells, None for none. shown: (R, C) +1 or -1 where a rise or a
    fall is significant. bold: (R, C) numbers to stress. framed: (R, C) cells.
    """

    digits: int | None = None
    shown: NDArray[np.int_] | None = None
    bold: NDArray[np.bool_] | None = None
    framed: NDArray[np.bool_] | None = None


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
        others = [ratio for ratio in ratios if ratio not in kept]
        distance = [round(abs(ratio - value), 9) for ratio in others]
        kept.add(others[distance.index(min(distance))])
    return sorted(kept), [ratio for ratio in ratios if ratio not in kept]


def left_out(ratios: Sequence[float], where: str) -> str:
    """Return a sentence on the ratios that a figure has no room for; "" where it shows them all."""
    if not ratios:
        return ""
    names = ", ".join(f"{ratio:g}" for ratio in ratios)
    return f" Not drawn for want of room: r = {names}, in {where}."


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """Return a number as short as a cell wants it: ".452", "+.012", "\u2212.012", "1.000", "37"."""
    text = f"{abs(value):.{digits}f}"
    if digits and text.startswith("0."):
        text = text[1:]
    rounded = round(value, digits)
    if rounded < 0:
        return MINUS + text
    return "+" + text if sign and rounded > 0 else text


def fitting(
    values: Array, digits: Sequence[int], room: float, *, sign: bool = False, bold: bool = False
) -> int | None:
    """Return the most digits of those offered with which every value is narrower than `room`
    points; None where none is.
    """
    weight = "bold" if bold else "normal"
    finite = values[np.isfinite(values)]
    for count in sorted(digits, reverse=True):
        texts = {number(float(value), count, sign=sign) for value in finite}
        if max((width_of(text, weight=weight) for text in texts), default=0.0) <= room:
            return count
    return None


def cells(axes: Axes, values: Array, colours: ColourScale, overlay: Overlay) -> None:
    """Draw a matrix (R, C), row 0 on top; NaN cells are gaps, grey and hatched.

    Falls without a number are hatched, which tells them from rises without the colours.
    """
    n_rows, n_columns = values.shape
    axes.set_xlim(0, n_columns)
    axes.set_ylim(n_rows, 0)
    axes.grid(False)
    axes.tick_params(length=0, pad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)
    gaps: dict[str, Any] = {"fc": GAP, "ec": "#ffffff", "hatch": GAP_HATCH}
    axes.add_patch(Rectangle((0, 0), n_columns, n_rows, lw=0, zorder=0.5, **gaps))
    # Not an image: viewers blur small ones. The cells' white edges are drawn with them.
    axes.pcolormesh(
        np.ma.masked_invalid(values),
        cmap=colours.colours,
        norm=colours.scale,
        edgecolors="white",
        linewidth=0.3,
        zorder=1,
    )
    if colours.sign and overlay.digits is None:
        fall: dict[str, Any] = {"fill": False, "ec": "#00000055", "hatch": FALL_HATCH, "lw": 0}
        for row, column in _true_cells(values < 0):
            axes.add_patch(Rectangle((column, row), 1, 1, zorder=1.5, **fall))
    for row, column in _true_cells(np.isfinite(values)):
        _fill_cell(axes, values, (row, column), colours, overlay)
    if overlay.framed is not None:
        frame: dict[str, Any] = {"fill": False, "ec": "black", "lw": 0.9, "clip_on": False}
        for row, column in _true_cells(overlay.framed):
            axes.add_patch(Rectangle((column, row), 1, 1, zorder=2, **frame))


def _true_cells(chosen: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the row and the column of the cells that are true."""
    rows, columns = np.nonzero(chosen)
    return zip(rows, columns, strict=True)


def _fill_cell(
    axes: Axes, values: Array, place: tuple[int, int], colours: ColourScale, overlay: Overlay
) -> None:
    """Write the number of a cell and draw its mark, in what can be read on its colour."""
    row, column = place
    value = float(values[place])
    colour = ink(colours.colours(colours.scale(value)))
    is_written = overlay.digits is not None
    if overlay.digits is not None:
        is_bold = overlay.bold is not None and bool(overlay.bold[place])
        axes.text(
            column + 0.5,
            row + (0.54 if overlay.shown is None else 0.64),
            number(value, overlay.digits, sign=colours.sign),
            size=SMALL,
            color=colour,
            weight="bold" if is_bold else "normal",
            ha="center",
            va="center",
            zorder=3,
        )
    mark = 0 if overlay.shown is None else int(overlay.shown[place])
    if mark:
        height = row + (0.21 if is_written else 0.5)
        shape = "^" if mark > 0 else "v"
        look: dict[str, Any] = {"ms": MARK, "mfc": colour, "mec": colour, "mew": 0.3}
        axes.plot(column + 0.5, height, shape, zorder=3, **look)


def label(axes: Axes, rows: Sequence[str], columns: Sequence[str], room: float) -> None:
    """Name the rows at the left and the columns; [] for no names. Names wider than `room` points
    stand upright, and all of them where those are the most.
    """
    rows, columns = list(map(legible, rows)), list(map(legible, columns))
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
    widest = max(map(width_of, columns), default=0.0)
    return widest / 72 if widest > room - 1 else 0.0


def key(axes: Axes, colours: ColourScale, title: str, digits: int = 3) -> None:
    """Fill axes with a horizontal bar of the colours and the values at its ends and middle."""
    scale = colours.scale
    low, high = float(scale.vmin or 0.0), float(scale.vmax or 0.0)
    steps = np.linspace(low, high, 65)
    middles = (steps[None, 1:] + steps[None, :-1]) / 2
    axes.pcolormesh(steps, [0, 1], middles, cmap=colours.colours, norm=scale, rasterized=False)
    axes.set_xlim(low, high)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_yticks([])
    ends = [low, (low + high) / 2, high]
    texts = [number(value, digits, sign=colours.sign) for value in ends]
    axes.set_xticks(ends, texts, fontsize=SMALL)
    axes.tick_params(length=2, pad=1.5)
    labels = axes.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
    axes.set_title(title, fontsize=7, pad=2.5)


def handles(
    *, marks: bool = False, falls: bool = False, gaps: bool = False, frame: str = ""
) -> list[Any]:
    """Return the handles of a legend for what the cells show beside colours."""
    legend: list[Any] = []
    if frame:
        legend.append(Patch(fc="white", ec="black", lw=0.9, label=frame))
    if marks:
        look: dict[str, Any] = {"ls": "", "ms": 4, "mfc": "black", "mec": "black"}
        legend.append(Line2D([], [], marker="^", label="significant rise", **look))
        legend.append(Line2D([], [], marker="v", label="significant fall", **look))
    if falls:
        legend.append(Patch(fc="white", ec=GREY, hatch=FALL_HATCH, lw=0.4, label="a fall"))
    if gaps:
        label = "not measured or missing"
        legend.append(Patch(fc=GAP, ec="white", hatch=GAP_HATCH, lw=0, label=label))
    return legend
