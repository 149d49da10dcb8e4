"""The figure: what it draws, that its bytes are reproducible, and that its text stays text."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid_sweep.report.figures import curve as figures
from hybrid_sweep.report.figures import style
from hybrid_sweep.report.load import load
from hybrid_sweep.report.measures import DEFAULT, measures_on
from hybrid_sweep.report.results import aggregate, pick
from tests.report.figures.figure_words import legible, words

PANELS = figures.styles(measures_on(DEFAULT))
MACRO = PANELS["macro"][0]


def drawn(sweep_dir: Path) -> tuple[Any, Any, Any]:
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    return sweep, results, figures.draw(sweep, results, "toy · 0123abcd")


@pytest.mark.slow
def test_bytes_are_reproducible_and_hold_no_date(sweep_dir: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        style.save(drawn(sweep_dir)[2], tmp_path / name, "curve")
    for name in ("curve.png", "curve.pdf", "curve.svg"):
        content = (tmp_path / "a" / name).read_bytes()
        assert content == (tmp_path / "b" / name).read_bytes()
        assert b"Date" not in content and b"Matplotlib" not in content
    png = (tmp_path / "a" / "curve.png").read_bytes()
    assert struct.unpack(">II", png[16:24]) == (1400, 943)  # 7 in at 200 dpi
    pdf = (tmp_path / "a" / "curve.pdf").read_bytes()
    assert b"/Type3" not in pdf and b"/FontFile2" in pdf


def test_the_band_is_the_paired_interval_that_the_verdict_reads(sweep_dir: Path) -> None:
    sweep, results, _ = drawn(sweep_dir)
    curve = figures.curve(sweep, results, MACRO)
    rows = pick(results, *MACRO)
    base = rows["mean"][0]
    assert curve["y"].tolist() == pytest.approx(rows["mean"].tolist())
    assert curve["bottom"].tolist() == pytest.approx([base, *(base + rows["delta_low_90"][1:])])
    assert curve["top"].tolist() == pytest.approx([base, *(base + rows["delta_high_90"][1:])])


def test_a_missing_ratio_is_a_gap(sweep_dir: Path) -> None:
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t050s{seed}")
    sweep, results, figure = drawn(sweep_dir)
    assert np.isnan(figures.curve(sweep, results, MACRO)["y"]).tolist() == [False, True, False]
    for axes in figure.axes:
        assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "x"] == [0.5]
    assert "no finished point" in [text for text, *_ in words(figure)]
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert len(lines) == 1 + 3 and all(np.isnan(line.get_ydata()[1]) for line in lines)


def test_a_missing_seed_does_not_move_the_curve(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    sweep_dir = make_sweep(world(seed_sd=0.05), seeds=(0, 1, 2, 3))
    shutil.rmtree(sweep_dir.parent.parent / "runs" / "t050s3")
    sweep, results, _ = drawn(sweep_dir)
    curve, rows = figures.curve(sweep, results, MACRO), pick(results, *MACRO)
    assert curve["y"][1] == pytest.approx(rows["mean"][0] + rows["delta"][1])
    assert curve["y"][1] != pytest.approx(rows["mean"][1], abs=1e-4)


def test_seed_means(sweep_dir: Path) -> None:
    sweep, results, _ = drawn(sweep_dir)
    for what, *_ in PANELS.values():
        seeds = figures.seed_means(sweep, *what[:2], [what[2]])[what[2]]
        assert seeds.mean(axis=1).tolist() == pytest.approx(pick(results, *what)["mean"].tolist())
        assert seeds.shape == (3, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": (0,)},
        {"seeds": (0, 1), "untrained": ()},
        {"ratios": (0.0,)},
        {"ratios": (0.5, 1.0)},
    ],
)
def test_it_draws_whatever_there_is(
    make_sweep: Callable[..., Path], world: Any, tmp_path: Path, changes: Any
) -> None:
    style.save(drawn(make_sweep(world(questions=15), **changes))[2], tmp_path, "curve")
    assert (tmp_path / "curve.png").stat().st_size > 10_000


def test_one_language_and_no_english(
    make_sweep: Callable[..., Path], world: Any, tmp_path: Path
) -> None:
    titles = {
        ("de",): [
            "Monolingual MRR@10, mean of languages",
            "Multilingual mAP",
            "Same-language share of top 10",
        ],
        ("de", "fr"): [
            "Monolingual MRR@10, mean of languages",
            "Cross-lingual MRR@10",
            "Multilingual mAP",
            "Same-language share of top 10",
        ],
    }
    for languages, wanted in titles.items():
        figure = drawn(
            make_sweep(
                world(questions=15, languages=languages), ratios=(0.0,), name="-".join(languages)
            )
        )[2]
        assert [axes.get_title(loc="left") for axes in figure.axes] == wanted


def test_a_far_untrained_encoder_does_not_flatten_the_curve(sweep_dir: Path) -> None:
    _, results, figure = drawn(sweep_dir)
    level = pick(results, *MACRO, kind="untrained")["mean"][0]
    low, high = figure.axes[0].get_ylim()
    assert level < low and high - low < 0.3
    notes = [text.get_text() for text in figure.axes[0].texts]
    assert f"\u2193 untrained {level:.3f}" in notes and "r = 0 minus the margin of 0.01" in notes


def test_bm25_is_a_level_line_in_every_panel_or_words_at_its_edge(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    _, results, figure = drawn(make_sweep(world(has={"de": 0.6}), bm25=True))
    shown = []
    for axes, (what, *_) in zip(figure.axes, PANELS.values(), strict=True):
        level = pick(results, *what, kind="bm25")["mean"][0]
        [note] = [text for text in axes.texts if "BM25" in text.get_text()]
        low, high = axes.get_ylim()
        lines = [line for line in axes.lines if set(line.get_ydata()) == {level}]
        assert note.get_text().endswith(f"BM25 {level:.3f}") and len(lines) == (low < level < high)
        shown.append(bool(lines))
    assert True in shown


@pytest.mark.slow
def test_words_of_a_baseline_do_not_cover_those_of_the_margin(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    sweep, results, _ = drawn(make_sweep(world()))
    base = pick(results, *MACRO)["mean"][0]
    for below in (0.0, 0.01, 0.015, 0.02, 0.03, 0.04):
        near = results.copy()
        near.loc[near["kind"] == "untrained", "mean"] = base - below
        assert legible(figures.draw(sweep, near, "toy · 0123abcd")) == [], below


def test_words_of_two_level_lines_do_not_cover_each_other() -> None:
    from matplotlib.figure import Figure

    near = [
        {"untrained": 0.01, "bm25": 0.02},
        {"untrained": 0.52, "bm25": 0.521},
        {"untrained": 0.9, "bm25": 0.595},
    ]
    for levels in [*near, {"untrained": 0.1, "bm25": 0.9}, {"untrained": 0.52, "bm25": 0.58}]:
        figure = Figure(figsize=(2.3, 1.4))
        axes = figure.add_subplot()
        axes.set_ylim(0.5, 0.6)
        figures.baselines(axes, levels, (0.52, 0.58))
        figure.draw_without_rendering()
        first, second = (text.get_window_extent() for text in axes.texts)
        assert not first.overlaps(second), levels
