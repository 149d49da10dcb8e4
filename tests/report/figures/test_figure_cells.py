"""Heat maps: which ratios, which numbers, what is written, marked, hatched and framed."""

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure

from hybrid_sweep.report.figures import cells as fc
from hybrid_sweep.report.figures.style import CHANGE, LEVEL, width_of


@pytest.mark.parametrize(
    ("ratios", "most", "kept"),
    [
        ([0.0, 0.5, 1.0], 4, [0.0, 0.5, 1.0]),
        ([i / 10 for i in range(11)], 4, [0.0, 0.3, 0.7, 1.0]),
        ([i / 10 for i in range(11)], 3, [0.0, 0.5, 1.0]),
        ([0.0, 0.01, 0.02, 0.03, 1.0], 4, [0.0, 0.02, 0.03, 1.0]),
        ([1.0, 0.9, 0.75, 0.5, 0.25, 0.1, 0.0], 4, [0.0, 0.25, 0.75, 1.0]),
        ([0.5], 4, [0.5]),
    ],
)
def test_the_ratios_shown_span_the_sweep(ratios: list[float], most: int, kept: list[float]) -> None:
    found, rest = fc.chosen(ratios, most)
    assert found == kept and sorted([*found, *rest]) == sorted(ratios)


def test_what_is_left_out_is_said_with_where_it_stands() -> None:
    assert fc.left_out([], "results.csv") == ""
    assert fc.left_out([0.1, 0.75], "results.csv").endswith("r = 0.1, 0.75, in results.csv.")


@pytest.mark.parametrize(
    ("value", "digits", "sign", "text"),
    [
        (0.4519, 3, False, ".452"),
        (0.4519, 2, False, ".45"),
        (1.0, 3, False, "1.000"),
        (0.9999, 3, False, "1.000"),
        (0.012, 3, True, "+.012"),
        (-0.012, 3, True, "\u2212.012"),
        (-0.0001, 3, True, ".000"),
        (0.0, 2, True, ".00"),
        (-0.2, 1, False, "\u2212.2"),
        (1263.6, 0, False, "1264"),
        (0.0, 0, False, "0"),
    ],
)
def test_numbers_are_short_and_never_minus_nothing(
    value: float, digits: int, sign: bool, text: str
) -> None:
    assert fc.number(value, digits, sign=sign) == text


def test_as_many_digits_as_fit_and_none_where_none_do() -> None:
    values = np.array([0.123, np.nan, -0.5])
    wide = width_of(fc.number(-0.5, 3, sign=True))
    assert fc.fitting(values, (2, 3), wide + 0.1, sign=True) == 3
    assert fc.fitting(values, (2, 3), wide - 0.1, sign=True) == 2
    assert fc.fitting(values, (2, 3), 5.0, sign=True) is None
    plain = np.array([0.123])
    assert fc.fitting(plain, (2, 3), width_of(".123")) == 3
    assert fc.fitting(plain, (2, 3), width_of(".123"), bold=True) == 2


def drawn(values: Any, **options: Any) -> Any:
    axes = Figure().add_subplot()
    sign = options.pop("sign", False)
    scale = TwoSlopeNorm(0, -1, 1) if sign else Normalize(0, 1)
    colours = fc.ColourScale(CHANGE if sign else LEVEL, scale, sign)
    fc.cells(axes, np.array(values), colours, fc.Overlay(**{"digits": 2, **options}))
    return axes


def texts(axes: Any) -> dict[tuple[int, int], str]:
    return {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text()
        for text in axes.texts
    }


def test_cells_hold_their_numbers_and_gaps_none() -> None:
    axes = drawn([[0.25, np.nan], [0.5, 1.0]])
    [mesh] = [each for each in axes.collections if isinstance(each, QuadMesh)]
    assert mesh.get_array().filled(-1).tolist() == [[0.25, -1], [0.5, 1.0]]
    assert texts(axes) == {(0, 0): ".25", (1, 0): ".50", (1, 1): "1.00"}
    assert axes.get_ylim() == (2, 0)  # row 0 on top
    ground = [patch for patch in axes.patches if patch.get_hatch() == fc.GAP_HATCH]
    assert [(patch.get_width(), patch.get_height()) for patch in ground] == [(2, 2)]


def test_marks_point_the_way_of_what_is_significant() -> None:
    shown = np.array([[0, 1], [-1, 0]])
    for digits in (2, None):
        axes = drawn([[0.1, 0.3], [-0.3, -0.1]], sign=True, digits=digits, shown=shown)
        marks = {
            (int(line.get_ydata()[0]), int(line.get_xdata()[0])): line.get_marker()
            for line in axes.lines
        }
        assert marks == {(0, 1): "^", (1, 0): "v"}


def test_falls_are_hatched_where_no_number_has_room_for_its_sign() -> None:
    for digits, wanted in ((2, set()), (None, {(1, 0), (1, 1)})):
        axes = drawn([[0.1, 0.3], [-0.3, -0.1]], sign=True, digits=digits)
        hatched = {
            patch.get_xy()[::-1] for patch in axes.patches if patch.get_hatch() == fc.FALL_HATCH
        }
        assert hatched == wanted
        assert bool(axes.texts) == (digits is not None)


def test_framed_and_bold_cells() -> None:
    where = np.array([[True, False], [False, True]])
    axes = drawn([[0.1, 0.3], [0.3, 0.1]], framed=where, bold=~where)
    frames = {
        patch.get_xy()
        for patch in axes.patches
        if patch.get_hatch() is None and patch.get_linewidth() > 0.5
    }
    assert frames == {(0, 0), (1, 1)}
    bold = {
        (int(t.get_position()[1]), int(t.get_position()[0]))
        for t in axes.texts
        if t.get_weight() == "bold"
    }
    assert bold == {(0, 1), (1, 0)}


def test_the_key_names_the_ends_of_its_colours() -> None:
    axes = Figure().add_subplot()
    fc.key(axes, fc.ColourScale(CHANGE, TwoSlopeNorm(0, -0.2, 0.2), sign=True), "change")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["\u2212.200", ".000", "+.200"]
    assert axes.get_xlim() == pytest.approx((-0.2, 0.2)) and axes.get_title(loc="left") == ""
    assert axes.get_title() == "change"


def test_names_stand_upright_where_they_are_wider_than_a_cell() -> None:
    for names, turned in (
        (["de", "en"], [0, 0]),
        (["0", "0.5", "untrained"], [0, 0, 90]),
        (["arabic", "zh"], [90, 0]),
    ):
        axes = Figure().add_subplot()
        colours = fc.ColourScale(LEVEL, Normalize(0, 1))
        fc.cells(axes, np.zeros((1, len(names))), colours, fc.Overlay())
        fc.label(axes, ["x"], names, 14.0)
        assert [text.get_rotation() for text in axes.get_xticklabels()] == turned
    axes = Figure().add_subplot()
    fc.label(axes, [], ["arabic", "german", "zh"], 14.0)
    assert {text.get_rotation() for text in axes.get_xticklabels()} == {90}
