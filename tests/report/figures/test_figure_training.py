"""Training curves: what is drawn is the mean and the range over the seeds, gaps are gaps, and what
is left out is said.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.report.figures import training as ft
from hybrid_sweep.report.figures.training_curves import DEV, KINDS, Training
from hybrid_sweep.report.load import SweepPoint
from tests.report.figures.figure_words import legible, words

STEPS = [10.0, 30.0, 50.0]


def made(
    ratios: list[float], *, dev: bool = True, seeds: tuple[int, ...] = (0, 1, 2), absent: int = 0
) -> Training:
    """Series by hand: the loss falls with the step, and a seed shifts it; cross-lingual batches are
    absent in window two.
    """
    loss = [
        {
            "ratio": ratio,
            "seed": seed,
            "kind": kind,
            "step": step,
            "loss": 4 - step / 20 + seed / 10 + ratio,
        }
        for ratio in ratios
        for seed in seeds
        for kind in KINDS
        for step in STEPS
        if (kind, ratio) not in [("monolingual", 1.0), ("cross-lingual", 0.0)]
    ]
    frame = pd.DataFrame(loss)
    frame.loc[(frame["kind"] == "cross-lingual") & (frame["step"] == 30.0), "loss"] = np.nan
    scores = [
        {"ratio": ratio, "seed": seed, "name": name, "step": step, "value": step / 100 + seed / 50}
        for ratio in ratios
        for seed in seeds
        for name in DEV
        for step in (20, 40)
    ]
    columns = ["ratio", "seed", "name", "step", "value"]
    missing = {
        SweepPoint("trained", 0.5, 9 + i, f"gone{i}"): "no steps.parquet" for i in range(absent)
    }
    return Training(frame, pd.DataFrame(scores if dev else [], columns=columns), 20, missing)


def lines(axes: Any) -> dict[str, Any]:
    return {line.get_gid(): line for line in axes.lines}


def by_title(figure: Any) -> dict[str, Any]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def said(figure: Any) -> str:
    return " ".join(text for text, *_ in words(figure)).replace("\u00a0", " ")


def test_lines_are_means_and_bands_the_range_of_the_seeds() -> None:
    figure = ft.draw(made([0.0, 0.5, 1.0]), "toy · 0123abcd")
    assert figure is not None and legible(figure) == []
    found = by_title(figure)
    assert list(found) == [*ft.LOSSES.values(), *ft.SCORES.values()]
    axes = found["Loss, all batches"]
    for ratio, band in zip((0.0, 0.5, 1.0), axes.collections, strict=True):
        mean = np.array([4 - step / 20 + 0.1 + ratio for step in STEPS])
        assert lines(axes)[f"r = {ratio:g}"].get_ydata() == pytest.approx(mean)
        edges = {(round(float(x), 6), round(float(y), 6)) for x, y in band.get_paths()[0].vertices}
        for step, middle in zip(STEPS, mean, strict=True):
            assert {(step, round(middle - 0.1, 6)), (step, round(middle + 0.1, 6))} <= edges
    dev = found[ft.SCORES[DEV[1]]]
    assert lines(dev)["r = 0.5"].get_ydata() == pytest.approx([0.22, 0.42])


def test_kinds_of_batches_are_apart_and_on_one_scale() -> None:
    found = by_title(ft.draw(made([0.0, 0.5, 1.0]), "toy"))
    assert set(lines(found["Loss, monolingual batches"])) == {"r = 0", "r = 0.5"}
    assert set(lines(found["Loss, cross-lingual batches"])) == {"r = 0.5", "r = 1"}
    assert len({found[title].get_ylim() for title in ft.LOSSES.values()}) == 1
    assert len({found[title].get_xlim() for title in ft.LOSSES.values()}) == 1


def test_a_window_without_a_batch_of_the_kind_is_a_gap_and_its_neighbours_are_marked() -> None:
    line = lines(by_title(ft.draw(made([0.0, 0.5]), "toy"))["Loss, cross-lingual batches"])[
        "r = 0.5"
    ]
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False] and line.get_marker() == "."


def test_without_dev_and_with_runs_left_out_it_says_so() -> None:
    figure = ft.draw(made([0.0, 1.0], dev=False, absent=2), "toy · 0123abcd")
    assert list(by_title(figure)) == list(ft.LOSSES.values()) and legible(figure) == []
    assert "2 runs left out: no steps.parquet." in said(figure) and "eval.dev_every" in said(figure)
    assert "windows of 20 steps" in said(figure)
    assert "left out" not in said(ft.draw(made([0.0, 1.0]), "toy"))


def test_of_many_ratios_five_are_drawn_and_the_others_named() -> None:
    figure = ft.draw(made([i / 10 for i in range(11)]), "toy · 0123abcd")
    found = lines(by_title(figure)["Loss, all batches"])
    assert list(found) == ["r = 0", "r = 0.2", "r = 0.5", "r = 0.7", "r = 1"]
    assert len({str(line._dash_pattern) for line in found.values()}) == 5
    assert "r = 0.1, 0.3, 0.4, 0.6, 0.8, 0.9, in steps.parquet of each run" in said(figure)
    assert legible(figure) == []


def test_one_ratio_one_seed_and_no_record_at_all() -> None:
    figure = ft.draw(made([0.5], seeds=(0,)), "toy")
    assert figure is not None and legible(figure) == []
    empty = made([0.5], dev=False)
    assert ft.draw(Training(empty.loss.iloc[:0], empty.dev, 1, {}), "toy") is None
