"""What all figures share: their look, their paper, colours that survive a grey print, and how they
are written.

Figures are drawn without pyplot and without the reader's matplotlibrc, so that no state of a
session enters a file. Made for a two-column page: 7 in wide, or 3.4 in for one column, with no text
under 6.5 pt at that size.
"""

import io
import os
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import rc_context
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import text_to_path

from hybrid_sweep.utils.files import atomic_write
from hybrid_sweep.utils.parent_process import end_with_parent

WIDE, NARROW = 7.0, 3.4  # inches: the width of a two-column page, and of one column
SMALL = 6.5
# the first comes with matplotlib: the same bytes on every machine
FONTS = ["DejaVu Sans", "Verdana", "Arial"]
# The parts of matplotlib's settings that these figures depend on: as they were shipped, then ours.
PARTS = (
    *(
        "axes",
        "errorbar",
        "figure",
        "font",
        "grid",
        "hatch",
        "image",
        "legend",
        "lines",
        "markers",
        "patch",
        "path",
    ),
    *("pcolor", "pdf", "savefig", "scatter", "svg", "text", "xaxis", "xtick", "yaxis", "ytick"),
)
STYLE: Any = {
    **{
        name: value
        for name, value in matplotlib.rcParamsDefault.items()
        if name.split(".")[0] in PARTS
    },
    "font.family": "sans-serif",
    "font.sans-serif": FONTS,
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
    # In the SVG too, where the words are those of an author's drawing program: they can be
    # searched, translated and set in the font of the paper. A machine without DejaVu takes the next
    # of FONTS; what must look alike everywhere is the PDF.
    "svg.fonttype": "none",
}
GREY = "#555555"
# Okabe and Ito's colours, darkened where they stand on white.
BLUE, OCHRE, GREEN, PURPLE, ORANGE = "#0072B2", "#B36B00", "#008060", "#A0478A", "#B34A00"
# Light to dark for levels; dark on both sides of white for changes, whose sign a grey print does
# not show: marks must.
LEVEL: Colormap = LinearSegmentedColormap.from_list(
    "level", ["#f2f7fb", "#9ccbe6", BLUE, "#003352"]
)
CHANGE: Colormap = LinearSegmentedColormap.from_list(
    "change", ["#7a2f00", "#dd8646", "#ffffff", "#64abd9", "#00507f"]
)
NAME = 46  # characters of a name that are shown
LINE = 8.4  # points from one line of small print to the next


@contextmanager
def styled() -> Iterator[None]:
    """Draw and write in the project's style, whatever matplotlibrc or rcParams say."""
    with rc_context(STYLE):
        yield


def width_of(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """Return the width in points of one line of text, before any renderer exists."""
    font = FontProperties(family=FONTS[0], size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0])


def wrapped(text: str, width: float, size: float = SMALL) -> list[str]:
    """Return lines of a text that are at most so many points wide; a longer word stands alone, and
    "r = 0" and "5 %" stay whole.
    """
    lines: list[str] = []
    bound = re.sub(r"(r =|\d) (?=[\d%])", lambda match: match[0].replace(" ", "\u00a0"), text)
    for word in bound.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def legible(name: str) -> str:
    """Return a name as matplotlib prints it: no formula, no control character, its middle left out
    where it is long.
    """
    name = "".join(sign if sign.isprintable() else " " for sign in name)
    name = name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[-NAME // 2 + 1 :]}"
    return name.replace("$", r"\$")


def ink(colour: Any) -> str:
    """Return black or white, whichever contrasts more with a ground (WCAG 2 relative luminance): at
    least 4.5 to 1.
    """
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(colour)
    ]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else "white"


class Sheet(Figure):
    """A figure that a notebook shows, though pyplot knows nothing of it."""

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG: what IPython asks a value for."""
        with styled(), io.BytesIO() as file:
            self.savefig(file, format="png", dpi=150)
            return file.getvalue()


def sheet(
    width: float,
    height: float,
    notes: str,
    corner: str,
    handles: Sequence[Any] = (),
    stroke: float = 1.4,
) -> Figure:
    """Return a figure whose drawing is `height` inches high, above its foot: a legend, notes as
    long as it needs, and its origin.

    handles: of the legend, wrapped to as many rows as the width wants; stroke: the length of its
    lines, in ems. corner: the short line of origin, at the lower right.
    """
    with styled():
        room = 72 * width - 8
        lines = wrapped(notes, room) if notes else []
        tail = lines[-1] if lines else ""
        own_line = not lines or width_of(tail) + width_of(corner) + 10 > room
        rows = _rows(handles, room, stroke)
        foot = (LINE * (len(lines) + own_line) + 11.5 * len(rows) + 3) / 72
        total = height + foot
        figure = Sheet(
            figsize=(width, total),
            layout=ConstrainedLayoutEngine(rect=(0, foot / total, 1, height / total)),
        )
        for place, line in enumerate(lines):
            at = (3 + LINE * (len(lines) - 1 - place + own_line)) / 72 / total
            figure.text(4 / 72 / width, at, line, fontsize=SMALL, color=GREY)
        figure.text(
            1 - 4 / 72 / width, 3 / 72 / total, corner, fontsize=SMALL, color=GREY, ha="right"
        )
        for place, row in enumerate(reversed(rows)):
            at = (LINE * (len(lines) + own_line) + 11.5 * place + 2) / 72 / total
            legend = figure.legend(
                handles=row,
                loc="lower left",
                bbox_to_anchor=(0, at),
                ncols=len(row),
                frameon=False,
                handlelength=stroke,
                columnspacing=1.2,
                handletextpad=0.5,
                borderpad=0.1,
                borderaxespad=0.2,
            )
            legend.set_in_layout(False)
        return figure


def _rows(handles: Sequence[Any], room: float, stroke: float) -> list[list[Any]]:
    """Return the handles of a legend in rows that fit."""
    rows: list[list[Any]] = []
    used = 0.0
    for handle in handles:
        needed = width_of(str(handle.get_label()), 6.8) + 6.8 * (stroke + 0.5 + 1.2)
        if not rows or used + needed > room:
            rows.append([])
            used = 0.0
        rows[-1].append(handle)
        used += needed
    return rows


def settle(figure: Figure) -> None:
    """Lay a figure out for good: one layout for all formats, rounded.

    The solver of the layout leaves noise in the last bits that differs from run to run, and the ids
    of an SVG show it.
    """
    with styled():
        figure.draw_without_rendering()
        places = [axes.get_position() for axes in figure.axes]
        # unlike "none", it spares a trial drawing before each format is written
        figure.set_layout_engine(None)
        for axes, place in zip(figure.axes, places, strict=True):
            axes.set_position(
                (
                    round(place.x0, 6),
                    round(place.y0, 6),
                    round(place.width, 6),
                    round(place.height, 6),
                )
            )


def save(figure: Figure, folder: Path, name: str) -> tuple[Path, Path, Path]:
    """Write NAME.png (200 dpi), NAME.pdf and NAME.svg into `folder`, each whole or not at all.

    The same figure gives the same bytes: no date and no program name, and the ids within the SVG
    are made from its name, so that several of them can stand in one page.
    """
    png, pdf, svg = (folder / f"{name}.{kind}" for kind in ("png", "pdf", "svg"))
    nothing: dict[Path, dict[str, Any]] = {
        png: {"Software": None},
        pdf: {"CreationDate": None, "Creator": None, "Producer": None},
        svg: {"Date": None, "Creator": None},
    }
    settle(figure)
    with rc_context({**STYLE, "svg.hashsalt": f"hybrid-sweep {name}"}):
        for path, metadata in nothing.items():
            with atomic_write(path) as temporary:
                figure.savefig(temporary, dpi=200, metadata=metadata)
    return png, pdf, svg


def _follow() -> None:
    """Ignore interrupts, which the parent answers, and end when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def save_all(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write several figures by their names as `save` does, as many at once as there are cores;
    their paths, in order.

    Most of a report's time is this, and drawing does not leave the interpreter's lock: so
    processes, not threads.
    """
    with ProcessPoolExecutor(
        min(len(figures), os.cpu_count() or 1) or 1, initializer=_follow
    ) as pool:
        written = pool.map(save, figures.values(), repeat(folder), figures)
        return [path for paths in written for path in paths]
