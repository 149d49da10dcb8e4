"""The words that a figure really draws, with their boxes: what the tests of all figures look at."""

import io
from typing import Any

import pytest
from matplotlib.text import Text

from hybrid_sweep.report.figures.style import settle, styled

SMALLEST = 6.5  # points
DPI = 200


def words(figure: Any) -> list[tuple[str, float, Any]]:
    """Text, size in points and box in pixels of everything written, at the 200 dpi of the PNG;
    ticks beyond an axis are not.
    """
    found: dict[int, tuple[str, float, Any]] = {}
    with pytest.MonkeyPatch.context() as patch:
        plain = Text.draw

        def draw(self: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
            if self.get_visible() and self.get_text().strip():
                box = Text.get_window_extent(self, renderer)
                found[id(self)] = (self.get_text(), float(self.get_fontsize()), box)
            plain(self, renderer, *args, **kwargs)

        patch.setattr(Text, "draw", draw)
        settle(figure)
        with styled():
            # the drawing of the PNG, not packed
            figure.savefig(io.BytesIO(), format="raw", dpi=DPI)
    return list(found.values())


def legible(figure: Any) -> list[str]:
    """What is wrong with the words of a figure: too small, beyond the paper, one over another; []
    where nothing is.
    """
    found, wrong = words(figure), []
    width, height = figure.get_size_inches() * DPI
    for place, (text, size, box) in enumerate(found):
        if size < SMALLEST:
            wrong.append(f"{text!r} has {size} pt")
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1:
            wrong.append(f"{text!r} leaves the paper")
        for other, _, there in found[:place]:
            across = min(box.x1, there.x1) - max(box.x0, there.x0)
            down = min(box.y1, there.y1) - max(box.y0, there.y0)
            if across > 1.5 and down > 2.5:  # pixels: boxes hold the air above and below letters
                wrong.append(f"{text!r} lies over {other!r}")
    return wrong
