"""Small multiples: a panel per language, its own numbers, one span for all, unseen languages told
apart.
"""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from hybrid_sweep.report.figures import languages as fl
from hybrid_sweep.report.figures.verdict_marks import VERDICTS
from hybrid_sweep.report.load import load
from hybrid_sweep.report.results import aggregate, pick
from tests.report.figures.figure_words import words

MONO = ("monolingual", "RR@10")


def drawn(sweep_dir: Path, trained: tuple[str, ...] | None = None) -> tuple[Any, Any, Any]:
    sweep = load([sweep_dir])
    if trained is not None:
        sweep = dataclasses.replace(sweep, trained_languages=trained)
    results = aggregate(sweep)
    return sweep, results, fl.draw(sweep, results, "toy · 0123abcd")


def titles(figure: Any) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_each_panel_draws_its_language_and_the_paired_band(sweep_dir: Path) -> None:
    sweep, results, figure = drawn(sweep_dir)
    assert titles(figure) == ["de", "en", "fr"]
    for axes, name in zip(figure.axes, ["de", "en", "fr"], strict=True):
        rows = pick(results, *MONO, name)
        curve = max(
            (line for line in axes.lines if len(line.get_xdata()) == 3),
            key=lambda line: line.get_linewidth(),
        )
        assert curve.get_ydata().tolist() == pytest.approx(rows["mean"].tolist())
        [band] = axes.collections
        edges = band.get_paths()[0].vertices
        high = max(y for x, y in edges if x == 1.0)
        low = min(y for x, y in edges if x == 1.0)
        assert low == pytest.approx(rows["mean"][0] + rows["delta_low_90"][2])
        assert high == pytest.approx(rows["mean"][0] + rows["delta_high_90"][2])
        levels = {
            round(float(line.get_ydata()[0]), 9)
            for line in axes.lines
            if line.get_linestyle() == "--"
        }
        assert levels == {round(rows["mean"][0] - sweep.margin, 9)}
        marks = [line.get_marker() for line in axes.lines if len(line.get_xdata()) == 1]
        assert marks == [VERDICTS[verdict][0] for verdict in rows["verdict"]]


def test_seeds_are_the_means_of_their_runs(sweep_dir: Path) -> None:
    sweep, _, figure = drawn(sweep_dir)
    frame = sweep.frame[
        (sweep.frame["setting"] == "monolingual") & (sweep.frame["query_lang"] == "en")
    ]
    wanted = frame[frame["kind"] == "trained"].groupby(["seed", "ratio"])["RR@10"].mean()
    seeds = [line.get_ydata() for line in figure.axes[1].lines if line.get_linewidth() == 0.5]
    assert [list(map(float, line)) for line in seeds] == [
        pytest.approx(wanted.loc[seed].tolist()) for seed in range(3)
    ]


def test_all_panels_have_the_same_span_at_their_own_level(sweep_dir: Path) -> None:
    _, _, figure = drawn(sweep_dir)
    limits = np.array([axes.get_ylim() for axes in figure.axes])
    assert np.ptp(limits[:, 1] - limits[:, 0]) < 1e-9
    assert np.ptp(limits[:, 0]) > 1e-3
    figure.draw_without_rendering()
    heights = [axes.bbox.height for axes in figure.axes]
    assert max(heights) - min(heights) < 1e-6


def test_languages_that_were_not_trained_on_come_last_and_look_different(sweep_dir: Path) -> None:
    _, _, figure = drawn(sweep_dir, trained=("en", "fr"))
    assert titles(figure) == ["en", "fr", "de, not trained on"]
    shades = [to_hex(axes.get_facecolor()) for axes in figure.axes]
    assert shades == ["#ffffff", "#ffffff", fl.SHADE]
    curves = [
        max(axes.lines, key=lambda line: line.get_linewidth() * len(line.get_xdata()))
        for axes in figure.axes
    ]
    assert len({(line.get_color(), str(line.get_linestyle())) for line in curves}) == 2
    said = {text for text, *_ in words(figure)}
    assert {"trained on", "not trained on (shaded)"} <= said


@pytest.mark.parametrize("trained", [(), ("de", "en", "fr")])
def test_nothing_is_told_apart_where_all_were_trained_on_or_nobody_knows(
    sweep_dir: Path, trained: tuple[str, ...]
) -> None:
    _, _, figure = drawn(sweep_dir, trained=trained)
    assert titles(figure) == ["de", "en", "fr"]
    assert not any("trained on" in text for text, *_ in words(figure))


def test_a_missing_ratio_is_a_gap_in_every_panel(sweep_dir: Path) -> None:
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t050s{seed}")
    _, _, figure = drawn(sweep_dir)
    assert "no finished point" in [text for text, *_ in words(figure)]
    for axes in figure.axes:
        assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "x"] == [0.5]
        lines = [line for line in axes.lines if len(line.get_xdata()) == 3]
        assert len(lines) == 4 and all(np.isnan(line.get_ydata()[1]) for line in lines)


def test_a_baseline_within_reach_is_a_line_and_a_far_one_words(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    _, results, figure = drawn(make_sweep(world(has={"de": 0.6}), bm25=True))
    near = 0
    for axes, name in zip(figure.axes, ["de", "en", "fr"], strict=True):
        low, high = axes.get_ylim()
        for kind, word in (("bm25", "BM25"), ("untrained", "untrained")):
            level = pick(results, *MONO, name, kind=kind)["mean"][0]
            lines = [line for line in axes.lines if set(line.get_ydata()) == {level}]
            noted = [text for text in axes.texts if f"{word} {level:.3f}" in text.get_text()]
            assert (len(lines), len(noted)) == ((1, 0) if low < level < high else (0, 1))
            near += low < level < high
    assert near


@pytest.mark.parametrize(
    ("count", "wide"), [(0, 1), (1, 1), (3, 3), (4, 4), (5, 3), (6, 3), (7, 4), (9, 3), (18, 4)]
)
def test_no_row_of_panels_is_all_but_empty(count: int, wide: int) -> None:
    assert fl.columns(count) == wide
