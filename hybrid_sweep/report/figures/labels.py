"""Words beside points that do not cover each other: a greedy search over places around each
point.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, sin
from typing import Any

from matplotlib.axes import Axes

from hybrid_sweep.report.figures.style import GREY, SMALL, width_of

Box = tuple[float, float, float, float]  # left, bottom, right, top; points
Spot = tuple[float, float]
# points from a point to the nearest edge of its words
DISTANCES = (5.5, 9.0, 14.0, 20.0, 28.0, 38.0, 50.0, 64.0)
AROUND = 16  # directions tried
HEIGHT = 7.6  # points: a line of small print
LEADER = 8.0  # words farther away are tied to their point by a line
CLEAR = 9.0  # points that words should keep from the points of others


def _overlap(a: Box, b: Box) -> float:
    """Return the area that two boxes share."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)


def _away(box: Box, point: Spot) -> float:
    """Return the distance of a point from a box."""
    return hypot(
        max(box[0] - point[0], 0.0, point[0] - box[2]),
        max(box[1] - point[1], 0.0, point[1] - box[3]),
    )


def _line(start: Spot, end: Spot) -> list[Spot]:
    """Return points along the line from a point to its words."""
    return [
        (start[0] + t / 8 * (end[0] - start[0]), start[1] + t / 8 * (end[1] - start[1]))
        for t in range(2, 8)
    ]


def _around(point: Spot, width: float, distance: float) -> Iterator[Spot]:
    """Yield middles of words around a point, whose edges are so far from it."""
    for step in range(AROUND):
        angle = 2 * pi * step / AROUND + pi / 2
        yield (
            point[0] + cos(angle) * (distance + width / 2),
            point[1] + sin(angle) * (distance + HEIGHT / 2),
        )


def _box(middle: Spot, width: float) -> Box:
    """Return the box of words."""
    x, y = middle
    return (x - width / 2 - 1, y - HEIGHT / 2, x + width / 2 + 1, y + HEIGHT / 2)


@dataclass(frozen=True)
class _Crowd:
    """What words keep off: the frame's outside, hard and soft boxes, the words already placed, and
    the points of others.
    """

    frame: Box
    hard: Sequence[Box]
    soft: Sequence[Box]
    labels: Sequence[Box]
    others: Sequence[Spot]

    def cost(self, point: Spot, middle: Spot, width: float) -> float:
        """Return what the words of a point cost at a place, without their distance."""
        box = _box(middle, width)
        outside = (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, self.frame)
        cost = 1000 * (outside + sum(_overlap(box, other) for other in self.hard))
        cost += 0.4 * sum(_overlap(box, other) for other in self.soft)
        near = _away(box, point)
        if near > LEADER:
            for spot in _line(point, middle):
                cost += 20 * any(_away(label, spot) < 1 for label in self.labels)
        for other in self.others:
            away = _away(box, other)
            cost += 3 * max(CLEAR - away, 0.0) + (40 if away < near + 2 else 0)
        return cost


def places(
    points: Sequence[Spot],
    widths: Sequence[float],
    frame: Box,
    taken: Sequence[Box],
    soft: Sequence[Box],
) -> list[Spot]:
    """Return the middle of the words of each point; all lengths in points, the order of the points
    is the order of choice.

    Words keep within `frame` and off the boxes `taken` and each other where that is possible at
    all, off `soft` ones where it costs little, and nearer to their own points than to others. The
    same input gives the same places.
    """
    hard, labels, middles = list(taken), list[Box](), []
    for own, (point, width) in enumerate(zip(points, widths, strict=True)):
        others = [other for place, other in enumerate(points) if place != own]
        crowd = _Crowd(frame, hard, soft, labels, others)
        best: tuple[float, Spot] | None = None
        for distance in DISTANCES:
            for middle in _around(point, width, distance):
                cost = distance + crowd.cost(point, middle, width)
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, middle)
        assert best is not None
        middle = best[1]
        box = _box(middle, width)
        hard.append(box)
        labels.append(box)
        if _away(box, point) > LEADER:
            hard += [(left - 1, low - 1, left + 1, low + 1) for left, low in _line(point, middle)]
        middles.append(middle)
    return middles


def annotate(
    axes: Axes,
    points: Sequence[Spot],
    words: Sequence[str],
    bars: Sequence[Box],
    marker: float = 6.0,
) -> None:
    """Write words beside points given in data units, with a thin line where they stand far off.

    bars: (left, bottom, right, top) in data units that words keep off where they can. The layout of
    the figure must stand: call it last, after `settle`; the words do not move it any more.
    """
    scale = 72.0 / axes.figure.dpi

    def at(x: float, y: float) -> Spot:
        seen = axes.transData.transform((x, y))
        return float(seen[0]) * scale, float(seen[1]) * scale

    def box(bar: Box) -> Box:
        corners = [at(bar[0], bar[1]), at(bar[2], bar[3])]
        left, right = sorted(corner[0] for corner in corners)
        low, high = sorted(corner[1] for corner in corners)
        return left - 0.5, low - 0.5, right + 0.5, high + 0.5

    extent = axes.bbox
    frame = (extent.x0 * scale, extent.y0 * scale, extent.x1 * scale, extent.y1 * scale)
    spots = [at(*point) for point in points]
    half = marker / 2 + 0.5
    taken = [(x - half, y - half, x + half, y + half) for x, y in spots]
    widths = [width_of(text) for text in words]
    chosen = places(spots, widths, frame, taken, [box(bar) for bar in bars])
    for point, spot, text, (x, y), width in zip(points, spots, words, chosen, widths, strict=True):
        away = max(abs(x - spot[0]) - width / 2, abs(y - spot[1]) - HEIGHT / 2)
        leader: dict[str, Any] | None = None
        if away > LEADER:
            leader = {"arrowstyle": "-", "lw": 0.4, "color": GREY}
            leader |= {"shrinkA": 0, "shrinkB": marker / 2}
        note = axes.annotate(
            text,
            point,
            (round(x - spot[0], 3), round(y - spot[1], 3)),
            textcoords="offset points",
            fontsize=SMALL,
            ha="center",
            va="center",
            zorder=6,
            # lines behind the words leave them legible
            bbox={"fc": "white", "alpha": 0.7, "lw": 0, "pad": 0.3},
            arrowprops=leader,
        )
        note.set_in_layout(False)
