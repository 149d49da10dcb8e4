"""Language bias: the numbers of the results, and the pool's shares and the maps of metrics.json
where it has them.
"""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from hybrid_sweep.report.figures import bias as fb
from hybrid_sweep.report.figures import bias_maps as fm
from hybrid_sweep.report.load import Sweep, load
from hybrid_sweep.report.results import MACRO, aggregate, pick
from tests.report.figures.figure_words import words

LANGUAGES = ["de", "en", "fr"]


def mesh(axes: Any) -> np.ndarray:
    [found] = [each for each in axes.collections if isinstance(each, QuadMesh)]
    return np.ma.filled(found.get_array().astype(float), np.nan)


def maps(figure: Any, prefix: str = "") -> dict[str, Any]:
    found = {axes.get_title(loc="left"): axes for axes in figure.axes}
    return {title: axes for title, axes in found.items() if title.startswith(prefix)}


def said(figure: Any) -> str:
    return " ".join(text for text, *_ in words(figure)).replace("\u00a0", " ")


def with_metrics(sweep: Sweep, make: Callable[[Any], dict[str, Any]]) -> Sweep:
    metrics = {point.run_id: sweep.metrics[point.run_id] | make(point) for point in sweep.finished}
    return dataclasses.replace(sweep, metrics=metrics)


def test_every_cell_is_the_mean_of_its_row(make_sweep: Callable[..., Path], world: Any) -> None:
    sweep = load([make_sweep(world(has={"de": 0.6, "fr": 0.8}), bm25=True)])
    results = aggregate(sweep)
    figure = fb.draw(sweep, results, "toy · 0123abcd")
    for measure, title, *_ in fb.MAPS:
        axes = maps(figure)[title]
        values = mesh(axes)
        assert [text.get_text() for text in axes.get_yticklabels()] == ["mean", *LANGUAGES]
        shown = [text.get_text() for text in axes.get_xticklabels()]
        assert shown == ["0", "0.5", "1", "untrained", "BM25"] and values.shape == (4, 5)
        for i, scope in enumerate([MACRO, *LANGUAGES]):
            trained = pick(results, "multilingual", measure.measure, scope)
            assert values[i, :3].tolist() == pytest.approx(trained["mean"].tolist())
            for j, kind in ((3, "untrained"), (4, "bm25")):
                level = pick(results, "multilingual", measure.measure, scope, kind=kind)["mean"][0]
                assert values[i, j] == pytest.approx(level)


def test_bold_numbers_are_the_significant_changes(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    sweep = load([make_sweep(world(questions=80))])
    results = aggregate(sweep)
    top = (results["measure"] == "same@10") & (results["ratio"] == 1.0)
    results.loc[top & (results["scope"] == "de"), ["p", "p_holm"]] = [0.03, 0.06]
    results.loc[top & (results["scope"] == "en"), ["p", "p_holm"]] = [0.01, 0.02]
    axes = maps(fb.draw(sweep, results, "toy"))[fb.MAPS[0][1]]
    bold = {
        (int(text.get_position()[1]), int(text.get_position()[0]))
        for text in axes.texts
        if text.get_weight() == "bold"
    }
    wanted = set()
    for i, scope in enumerate([MACRO, *LANGUAGES]):
        found = pick(results, "multilingual", "same@10", scope)
        wanted |= {(i, j) for j, p in enumerate(found["p_holm"]) if p < 0.05}
    assert bold == wanted and (2, 2) in wanted and (1, 2) not in wanted


def test_the_pool_is_the_share_of_the_passages(sweep_dir: Path) -> None:
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    figure = fb.draw(sweep, results, "toy")
    assert "Pool:" not in said(figure)
    counted = with_metrics(
        sweep, lambda point: {"passages": {"de": 24, "en": 40, "fr": 36, "*": 100}}
    )
    figure = fb.draw(counted, results, "toy")
    axes = maps(figure)[fb.MAPS[0][1]]
    assert axes.get_xticklabels()[-1].get_text() == "pool"
    assert mesh(axes)[:, -1].tolist() == pytest.approx(
        [np.mean([0.24, 0.4, 0.36]), 0.24, 0.4, 0.36]
    )
    assert "pool" not in [text.get_text() for text in maps(figure)[fb.MAPS[1][1]].get_xticklabels()]
    assert "metrics.json" in said(figure)


def test_a_missing_ratio_is_a_column_of_gaps(sweep_dir: Path) -> None:
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t050s{seed}")
    sweep = load([sweep_dir])
    figure = fb.draw(sweep, aggregate(sweep), "toy")
    for _, title, *_ in fb.MAPS:
        assert np.isnan(mesh(maps(figure)[title])).any(axis=0).tolist() == [
            False,
            True,
            False,
            False,
        ]
    assert "not measured or missing" in said(figure)


def test_without_a_multilingual_setting_it_says_so(sweep_dir: Path) -> None:
    sweep = load([sweep_dir])
    sweep = dataclasses.replace(sweep, frame=sweep.frame[sweep.frame["setting"] == "monolingual"])
    assert "No multilingual setting was evaluated" in said(fb.draw(sweep, aggregate(sweep), "toy"))


def reported(point: Any) -> dict[str, Any]:
    """A report whose maps tell their run; the language fr has no answer in de."""
    base = np.arange(9).reshape(3, 3) / 20 + point.ratio / 10 + point.seed / 100
    rows: list[list[float | None]] = base.tolist()
    rows[2][0] = None
    both = {"first_relevant": (base / 2).tolist(), "first_retrieved": (base / 4).tolist()}
    return {"bias": {"languages": LANGUAGES, "answer_rr": rows, **both}}


def test_maps_are_the_means_over_seeds(sweep_dir: Path) -> None:
    sweep = with_metrics(load([sweep_dir]), reported)
    figure = fm.draw(sweep, aggregate(sweep), "toy")
    assert figure is not None
    shown = [axes for axes in figure.axes if axes.get_title(loc="left").startswith("r =")]
    assert [axes.get_title(loc="left") for axes in shown] == ["r = 0", "r = 0.5", "r = 1"] * 3
    base = np.arange(9).reshape(3, 3) / 20 + 0.01  # the mean of seeds 0, 1, 2
    for place, axes in enumerate(shown):
        values, wanted = mesh(axes), (base + (place % 3) * 0.05) / (1, 2, 4)[place // 3]
        if place < 3:
            assert np.isnan(values[2, 0])
            values[2, 0] = wanted[2, 0]
        assert values == pytest.approx(wanted)
    assert "not measured or missing" in said(figure) and "metrics.json" in said(figure)


def test_a_value_that_some_seeds_have_is_their_mean(sweep_dir: Path) -> None:
    def partly(point: Any) -> dict[str, Any]:
        report = reported(point)
        if point.seed == 1:
            report["bias"]["answer_rr"][0][0] = None
        return report

    _, maps_ = fm.reports(with_metrics(load([sweep_dir]), partly))
    assert maps_["answer_rr"][0.0][0, 0] == pytest.approx((0.0 + 0.02) / 2)


def test_a_missing_ratio_has_maps_of_gaps(sweep_dir: Path) -> None:
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t050s{seed}")
    sweep = load([sweep_dir])
    figure = fm.draw(with_metrics(sweep, reported), aggregate(sweep), "toy")
    assert np.isnan(mesh(maps(figure)["r = 0.5, missing"])).all()


def test_there_are_no_maps_unless_every_trained_run_has_them(sweep_dir: Path) -> None:
    sweep = load([sweep_dir])
    assert fm.draw(sweep, aggregate(sweep), "toy") is None
    full = with_metrics(sweep, reported)
    assert fm.draw(full, aggregate(full), "toy") is not None
    trained = next(point for point in full.finished if point.kind == "trained")
    untrained = next(point for point in full.finished if point.kind == "untrained")
    for run_id, shown in ((trained.run_id, False), (untrained.run_id, True)):
        metrics = {**full.metrics, run_id: {"run_id": run_id}}
        one = dataclasses.replace(full, metrics=metrics)
        assert (fm.draw(one, aggregate(sweep), "toy") is not None) == shown


def test_maps_of_other_languages_are_not_those_of_this_collection(sweep_dir: Path) -> None:
    sweep = with_metrics(load([sweep_dir]), reported)

    def elsewhere(point: Any) -> dict[str, Any]:
        return {"bias": reported(point)["bias"] | {"languages": ["ar", "en", "fr"]}}

    assert fm.reports(sweep)[0] == LANGUAGES
    assert fm.reports(with_metrics(sweep, elsewhere)) == ([], {})
