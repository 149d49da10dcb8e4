"""The trade: points and intervals from the results, the front from the derived rows, words on
nothing but free ground.
"""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from hybrid_sweep.report.figures import front as ff
from hybrid_sweep.report.load import load
from hybrid_sweep.report.results import MACRO, aggregate, pick
from tests.report.figures.figure_words import legible, words

MONO = ("monolingual", "RR@10")
SIDES = [("cross-lingual", "RR@10"), ("multilingual", "same@10")]


def front(
    ratios: list[float],
    on: dict[str, list[float]],
    frequency: float = 0.42,
    interval: str = "bootstrap",
) -> pd.DataFrame:
    """Rows "front" of derived statistics, by hand; `on` names the ratios on the front by what they
    are weighed against.
    """
    rows = [
        {
            "statistic": "front",
            **{
                "setting": "monolingual",
                "measure": "RR@10",
                "scope": MACRO,
                "against": f"{setting} {measure}",
            },
            **{"ratio": ratio, "value": frequency + ratio / 10, "interval": interval},
            "word": "not shown to be dominated",
            "by_means": (
                "on the front" if ratio in on.get(f"{setting} {measure}", []) else "off the front"
            ),
        }
        for setting, measure in SIDES
        for ratio in ratios
    ]
    other = {
        "statistic": "price",
        "against": "cross-lingual RR@10",
        "ratio": 1.0,
        "value": 9.0,
        "word": "stated",
        "interval": "crossed",
    }
    return pd.DataFrame([*rows, {**rows[0], **other}] if rows else [{**other}])


EVERY = {"cross-lingual RR@10": [0.5, 1.0], "multilingual same@10": [0.0, 1.0]}


def drawn(sweep_dir: Path, derived: pd.DataFrame | None = None) -> tuple[Any, pd.DataFrame, Any]:
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    derived = front([0.0, 0.5, 1.0], EVERY) if derived is None else derived
    return sweep, results, ff.draw(sweep, results, derived, "toy · 0123abcd")


def marked(axes: Any) -> dict[str, tuple[float, float]]:
    found = {line.get_gid(): line for line in axes.lines if str(line.get_gid()).startswith("r =")}
    return {
        gid: (float(line.get_xdata()[0]), float(line.get_ydata()[0])) for gid, line in found.items()
    }


def said(figure: Any) -> str:
    return " ".join(text for text, *_ in words(figure)).replace("\u00a0", " ")


def test_points_and_intervals_are_those_of_the_curve(sweep_dir: Path) -> None:
    _, results, figure = drawn(sweep_dir)
    y = pick(results, *MONO)
    for axes, side in zip(figure.axes, SIDES, strict=True):
        x = pick(results, *side)
        assert marked(axes) == {
            f"r = {ratio:g}": pytest.approx((x["mean"][i], y["mean"][i]))
            for i, ratio in enumerate((0.0, 0.5, 1.0))
        }
        bars = sorted(
            tuple(np.ravel([line.get_xdata(), line.get_ydata()]))
            for line in axes.lines
            if line.get_linewidth() == 0.7
        )
        wanted = []
        for i in (1, 2):
            ends = [x["mean"][0] + x[f"delta_{side}_90"][i] for side in ("low", "high")]
            wanted.append((*ends, y["mean"][i], y["mean"][i]))
            ends = [y["mean"][0] + y[f"delta_{side}_90"][i] for side in ("low", "high")]
            wanted.append((x["mean"][i], x["mean"][i], *ends))
        assert np.array(bars) == pytest.approx(np.array(sorted(wanted)))


def test_the_front_joins_the_points_on_it_and_fills_them(sweep_dir: Path) -> None:
    _, _, figure = drawn(sweep_dir)
    for axes, on in zip(figure.axes, EVERY.values(), strict=True):
        [line] = [line for line in axes.lines if line.get_gid() == "front"]
        spots = [spot for gid, spot in marked(axes).items() if float(gid[4:]) in on]
        joined = sorted(zip(line.get_xdata(), line.get_ydata(), strict=True))
        assert np.array(joined) == pytest.approx(np.array(sorted(spots)))
        assert list(line.get_xdata()) == sorted(line.get_xdata())
        filled = {
            line.get_gid()
            for line in axes.lines
            if line.get_marker() in "so" and line.get_mfc() != "white"
        }
        assert filled == {f"r = {ratio:g}" for ratio in on}


def test_words_say_the_ratio_and_how_often_it_is_on_the_front(sweep_dir: Path) -> None:
    _, _, figure = drawn(sweep_dir)
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == ["0 (42 %)", "0.5 (47 %)", "1 (52 %)"]


def test_right_is_better_on_both_sides(sweep_dir: Path) -> None:
    _, _, figure = drawn(sweep_dir)
    cross, bias = (axes.get_xlim() for axes in figure.axes)
    assert cross[0] < cross[1] and bias[0] > bias[1]


def test_without_rows_of_the_front_the_points_stand_alone(sweep_dir: Path) -> None:
    _, _, figure = drawn(sweep_dir, front([0.5], {}).iloc[:0])
    for axes in figure.axes:
        assert len(marked(axes)) == 3 and [text.get_text() for text in axes.texts] == [
            "0",
            "0.5",
            "1",
        ]
        assert all(len(line.get_xdata()) == 0 for line in axes.lines if line.get_gid() == "front")
    assert "No front" in said(figure) and "Pareto" not in said(figure)


def test_a_missing_ratio_has_no_point_and_is_named(sweep_dir: Path) -> None:
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t050s{seed}")
    _, _, figure = drawn(sweep_dir, front([0.0, 1.0], EVERY))
    assert all(set(marked(axes)) == {"r = 0", "r = 1"} for axes in figure.axes)
    assert "Missing: r = 0.5." in said(figure)


def test_the_margin_is_a_line(sweep_dir: Path) -> None:
    sweep, results, figure = drawn(sweep_dir)
    level = pick(results, *MONO)["mean"][0] - sweep.margin
    for axes in figure.axes:
        assert [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"] == [
            pytest.approx(level)
        ]


def test_baselines_are_points_where_they_fit_and_words_where_not(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    sweep_dir = make_sweep(world(cross=lambda ratio: -0.28 + 0.1 * ratio), bm25=True)
    _, results, figure = drawn(sweep_dir)
    inside = 0
    for axes, side in zip(figure.axes, SIDES, strict=True):
        for kind, shape in ff.SHAPES.items():
            x, y = (pick(results, *what, kind=kind)["mean"][0] for what in (side, MONO))
            fits = all(
                low <= v <= high
                for v, (low, high) in ((x, sorted(axes.get_xlim())), (y, axes.get_ylim()))
            )
            spots = [
                (line.get_xdata()[0], line.get_ydata()[0])
                for line in axes.lines
                if line.get_marker() == shape
            ]
            assert spots == ([(x, y)] if fits else [])
            assert fits or f"{x:.3f}" in said(figure).split("Beyond the axes")[1]
            inside += fits
    assert inside


def test_one_side_or_none(sweep_dir: Path) -> None:
    sweep = load([sweep_dir])
    for settings, count in (
        (("monolingual", "multilingual"), 1),
        (("monolingual",), 0),
        (("cross-lingual",), 0),
    ):
        part = dataclasses.replace(sweep, frame=sweep.frame[sweep.frame["setting"].isin(settings)])
        figure = ff.draw(part, aggregate(part), front([0.0, 0.5, 1.0], EVERY), "toy")
        assert len(figure.axes) == count and legible(figure) == []
        assert ("No trade-off to show" in said(figure)) == (count == 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_eleven_ratios_that_lie_together_keep_their_words_apart(
    make_sweep: Callable[..., Path], world: Any, seed: int
) -> None:
    ratios = [i / 10 for i in range(11)]
    flat = world(questions=25, seed=seed, mono=lambda _: 0.0, cross=lambda ratio: 0.02 * ratio)
    derived = front(ratios, {"cross-lingual RR@10": ratios, "multilingual same@10": ratios[::2]})
    _, _, figure = drawn(make_sweep(flat, ratios=ratios), derived)
    assert legible(figure) == []
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert len(axes.texts) == 11
        for text in axes.texts:
            box = Text.get_window_extent(text)  # without the line that leads to it
            for x, y in axes.transData.transform(list(marked(axes).values())):
                assert not (box.x0 < x < box.x1 and box.y0 < y < box.y1), text.get_text()


def test_two_seeds_have_no_front(make_sweep: Callable[..., Path], world: Any) -> None:
    derived = front([0.0, 0.5, 1.0], EVERY, interval="conditional")
    _, _, figure = drawn(make_sweep(world(questions=15), seeds=(0, 1)), derived)
    lines = [line for axes in figure.axes for line in axes.lines if line.get_gid() == "front"]
    assert not any(len(line.get_xdata()) for line in lines)
    assert "No front" in said(figure)
    assert "%)" not in said(figure).split("Beyond")[0]
