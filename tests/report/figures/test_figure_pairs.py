"""Heat maps of pairs: every number from its row of the results, marks for what is significant, gaps
for what is missing.
"""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh

from hybrid_sweep.report.figures import pairs as fp
from hybrid_sweep.report.load import load
from hybrid_sweep.report.results import aggregate, pick
from tests.report.figures.figure_words import words

LANGUAGES = ("de", "en", "fr")


def drawn(sweep_dir: Path, *, settings: tuple[str, ...] = ()) -> tuple[pd.DataFrame, Any]:
    sweep = load([sweep_dir])
    if settings:
        sweep = dataclasses.replace(sweep, frame=sweep.frame[sweep.frame["setting"].isin(settings)])
    results = aggregate(sweep)
    return results, fp.draw(sweep, results, "toy · 0123abcd")


def maps(figure: Any) -> dict[str, Any]:
    titles = {axes.get_title(loc="left"): axes for axes in figure.axes}
    # the others are keys
    return {title: axes for title, axes in titles.items() if title.startswith("r =")}


def mesh(axes: Any) -> np.ndarray:
    [found] = [each for each in axes.collections if isinstance(each, QuadMesh)]
    return np.ma.filled(found.get_array().astype(float), np.nan)


def row(results: pd.DataFrame, query: str, passage: str, ratio: float) -> pd.Series:
    setting, scope = (
        ("monolingual", query) if query == passage else ("cross-lingual", f"{query}>{passage}")
    )
    found = pick(results, setting, "RR@10", scope)
    return found[found["ratio"] == ratio].iloc[0]


def test_every_cell_is_the_row_of_its_pair(sweep_dir: Path) -> None:
    results, figure = drawn(sweep_dir)
    found = maps(figure)
    assert list(found) == [
        "r = 0",
        "r = 0.5",
        "r = 0.5 against r = 0",
        "r = 1",
        "r = 1 against r = 0",
    ]
    for ratio in (0.0, 0.5, 1.0):
        levels = mesh(found[f"r = {ratio:g}"])
        for i, query in enumerate(LANGUAGES):
            for j, passage in enumerate(LANGUAGES):
                wanted = row(results, query, passage, ratio)
                assert levels[i, j] == pytest.approx(wanted["mean"]), (query, passage, ratio)
                if ratio:
                    changes = mesh(found[f"r = {ratio:g} against r = 0"])
                    assert changes[i, j] == pytest.approx(wanted["delta"])


def test_the_first_row_of_a_map_is_the_first_query_language(sweep_dir: Path) -> None:
    results, figure = drawn(sweep_dir)
    axes = maps(figure)["r = 0"]
    assert [text.get_text() for text in axes.get_yticklabels()] == list(
        LANGUAGES
    ) and axes.get_ylim() == (3, 0)
    assert [text.get_text() for text in axes.get_xticklabels()] == list(LANGUAGES)
    place = {text.get_position(): text.get_text() for text in axes.texts}
    written = {(int(y), int(x)): text for (x, y), text in place.items()}
    assert written[(0, 1)] == f"{row(results, 'de', 'en', 0.0)['mean']:.3f}".lstrip("0")
    assert written[(1, 0)] == f"{row(results, 'en', 'de', 0.0)['mean']:.3f}".lstrip("0")


def test_marks_stand_where_the_change_is_significant_and_nowhere_else(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    moves = world(
        questions=120, mono=lambda ratio: -0.3 * (ratio > 0.6), cross=lambda ratio: 0.3 * ratio
    )
    results, figure = drawn(make_sweep(moves))
    found: list[str | None] = []
    for ratio in (0.5, 1.0):
        axes = maps(figure)[f"r = {ratio:g} against r = 0"]
        marks = {
            (int(line.get_ydata()[0]), int(line.get_xdata()[0])): line.get_marker()
            for line in axes.lines
        }
        for i, query in enumerate(LANGUAGES):
            for j, passage in enumerate(LANGUAGES):
                wanted = row(results, query, passage, ratio)
                sign = (
                    {1: "^", -1: "v"}[int(np.sign(wanted["delta"]))]
                    if wanted["p_holm"] < 0.05
                    else None
                )
                assert marks.get((i, j)) == sign, (query, passage, ratio)
                found.append(sign)
    assert {"^", "v", None} == set(found)
    assert {"significant rise", "significant fall"} <= {text for text, *_ in words(figure)}


def test_the_change_is_centred_on_nothing(sweep_dir: Path) -> None:
    _, figure = drawn(sweep_dir)
    axes = maps(figure)["r = 1 against r = 0"]
    [found] = [each for each in axes.collections if isinstance(each, QuadMesh)]
    assert found.norm(0.0) == 0.5 and found.norm.vmin == -found.norm.vmax
    levels = next(
        each for each in maps(figure)["r = 0"].collections if isinstance(each, QuadMesh)
    ).norm
    others = next(
        each for each in maps(figure)["r = 1"].collections if isinstance(each, QuadMesh)
    ).norm
    assert (levels.vmin, levels.vmax) == (others.vmin, others.vmax)


def test_the_diagonal_is_framed(sweep_dir: Path) -> None:
    _, figure = drawn(sweep_dir)
    for axes in maps(figure).values():
        frames = {
            patch.get_xy()
            for patch in axes.patches
            if patch.get_hatch() is None and patch.get_linewidth() > 0.5
        }
        assert frames == {(0, 0), (1, 1), (2, 2)}


def test_without_cross_lingual_rows_only_the_diagonal_is_there(sweep_dir: Path) -> None:
    _, figure = drawn(sweep_dir, settings=("monolingual", "multilingual"))
    for axes in maps(figure).values():
        assert np.isfinite(mesh(axes)).tolist() == np.eye(3, dtype=bool).tolist()
    assert "not measured or missing" in {text for text, *_ in words(figure)}


def test_a_missing_ratio_is_a_map_of_gaps_that_says_so(sweep_dir: Path) -> None:
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t050s{seed}")
    _, figure = drawn(sweep_dir)
    found = maps(figure)
    assert (
        np.isnan(mesh(found["r = 0.5, missing"])).all()
        and np.isnan(mesh(found["r = 0.5 against r = 0"])).all()
    )


def test_without_ratio_0_there_is_no_row_of_changes(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    _, figure = drawn(make_sweep(world(questions=15), ratios=(0.5, 1.0)))
    assert list(maps(figure)) == ["r = 0.5", "r = 1"]
    assert not any("Lower row" in text for text, *_ in words(figure))


def test_too_many_ratios_are_named_with_their_place(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    ratios = [i / 10 for i in range(11)]
    _, figure = drawn(make_sweep(world(questions=10), ratios=ratios, seeds=(0,)))
    levels = [title for title in maps(figure) if "against" not in title]
    assert levels == ["r = 0", "r = 0.3", "r = 0.7", "r = 1"]
    said = " ".join(text for text, *_ in words(figure)).replace("\u00a0", " ")
    assert "r = 0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9, in results.csv" in said
    assert "nothing is tested" in said and "significant rise" not in said


def test_baselines_are_in_the_notes(make_sweep: Callable[..., Path], world: Any) -> None:
    results, figure = drawn(make_sweep(world(questions=15), bm25=True))
    said = " ".join(text for text, *_ in words(figure)).replace("\u00a0", " ")
    for kind, name in (("untrained", "untrained"), ("bm25", "BM25")):
        for setting in ("monolingual", "cross-lingual"):
            assert (
                f"{name} {setting} {pick(results, setting, 'RR@10', kind=kind)['mean'][0]:.3f}"
                in said
            )
