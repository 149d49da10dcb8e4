"""Words beside points: on no other word, on no point, within the frame, near their own points, the
same each time.
"""

import numpy as np
import pytest

from hybrid_sweep.report.figures import labels as fl

FRAME = (0.0, 0.0, 220.0, 170.0)


def box(middle: tuple[float, float], width: float) -> fl.Box:
    return (middle[0] - width / 2, middle[1] - 3.5, middle[0] + width / 2, middle[1] + 3.5)


def crowd(seed: int, count: int = 11, spread: float = 50.0) -> list[tuple[float, float]]:
    rng = np.random.default_rng(seed)
    spots = rng.uniform(-spread, spread, (count, 2)) + np.array([110.0, 85.0])
    return [(float(x), float(y)) for x, y in spots]


@pytest.mark.parametrize("seed", range(30))
def test_eleven_points_in_a_crowd_have_words_of_their_own(seed: int) -> None:
    points, widths = crowd(seed), [44.0] * 11
    marks = [(x - 3.0, y - 3.0, x + 3.0, y + 3.0) for x, y in points]
    middles = fl.places(points, widths, FRAME, marks, [])
    boxes = [box(middle, width) for middle, width in zip(middles, widths, strict=True)]
    for place, here in enumerate(boxes):
        assert all(fl._overlap(here, other) == 0 for other in boxes[:place])
        assert all(fl._overlap(here, mark) == 0 for mark in marks)
        assert here[0] >= 0 and here[1] >= 0 and here[2] <= 220 and here[3] <= 170


def test_words_of_a_lonely_point_touch_it_and_stay_nearer_to_it_than_to_others() -> None:
    assert (
        fl._away(box(fl.places([(100, 80)], [40], FRAME, [], [])[0], 40), (100, 80))
        <= fl.DISTANCES[0] + 1
    )
    points = [(100.0, 80.0), (125.0, 80.0)]
    for point, other, middle in zip(
        points, points[::-1], fl.places(points, [40, 40], FRAME, [], []), strict=True
    ):
        assert fl._away(box(middle, 40), point) < fl._away(box(middle, 40), other)


def test_soft_boxes_are_kept_off_where_it_costs_little() -> None:
    free = fl.places([(100, 80)], [40], FRAME, [], [])[0]
    soft = [(free[0] - 20, free[1] - 4, free[0] + 20, free[1] + 4)]
    assert fl._overlap(box(fl.places([(100, 80)], [40], FRAME, [], soft)[0], 40), soft[0]) == 0


def test_points_at_the_edge_keep_their_words_inside() -> None:
    points = [(1.0, 1.0), (219.0, 1.0), (1.0, 169.0), (219.0, 169.0)]
    for middle in fl.places(points, [50.0] * 4, FRAME, [], []):
        left, low, right, high = box(middle, 50.0)
        assert left >= 0 and low >= 0 and right <= 220 and high <= 170


def test_the_same_points_have_the_same_places() -> None:
    first, second = (fl.places(crowd(3), [44.0] * 11, FRAME, [], []) for _ in range(2))
    assert first == second
