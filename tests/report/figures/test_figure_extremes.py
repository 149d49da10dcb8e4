"""Every figure at the ends of what a sweep can be: drawn, legible, the same bytes each time, from
real derived rows.
"""

import dataclasses
import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.figures import bias, bias_maps, front, languages, pairs, shape, style
from hybrid_sweep.report.figures import curve as figures
from hybrid_sweep.report.load import Sweep, load
from hybrid_sweep.report.results import aggregate
from tests.report.conftest import World, write_sweep
from tests.report.figures.figure_words import legible

CORNER = "reproduce · 3 seeds · 2,604 questions · 0123abcd"
MANY = tuple("ar bn de en es fa fi fr hi id ja ko ru sw te th yo zh".split())
ELEVEN = [i / 10 for i in range(11)]
# Each is drawn from (sweep, results, derived).
FIGURES: dict[str, Callable[[Sweep, pd.DataFrame, pd.DataFrame], Any]] = {
    "curve": lambda sweep, results, _: figures.draw(sweep, results, CORNER),
    "languages": lambda sweep, results, _: languages.draw(sweep, results, CORNER),
    "pairs": lambda sweep, results, _: pairs.draw(sweep, results, CORNER),
    "bias": lambda sweep, results, _: bias.draw(sweep, results, CORNER),
    "bias-maps": lambda sweep, results, _: bias_maps.draw(sweep, results, CORNER),
    "front": lambda sweep, results, rows: front.draw(sweep, results, rows, CORNER),
    "shape": lambda sweep, results, rows: shape.draw(sweep, results, rows, CORNER),
}


def reported(sweep: Sweep) -> Sweep:
    """The sweep with a report of the bias in the metrics of each run."""
    names = sorted(set(sweep.frame["query_lang"].astype(str)))
    maps = np.random.default_rng(7).dirichlet(np.ones(len(names)), size=len(names)).tolist()
    report = {
        "languages": names,
        "answer_rr": maps,
        "first_relevant": maps,
        "first_retrieved": maps,
    }
    counts = {name: 10 + place for place, name in enumerate(names)}
    passages = {**counts, "*": sum(counts.values())}
    metrics = {
        run: found | {"bias": report, "passages": passages} for run, found in sweep.metrics.items()
    }
    return dataclasses.replace(sweep, metrics=metrics)


def analysed(sweep: Sweep) -> tuple[Sweep, pd.DataFrame, pd.DataFrame]:
    sweep = reported(sweep)
    results = aggregate(sweep)
    return sweep, results, derived(sweep, results)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("extremes")


@pytest.fixture(scope="module")
def many(root: Path) -> Iterator[tuple[Sweep, pd.DataFrame, pd.DataFrame]]:
    """18 languages, six of them not trained on, 11 ratios, one of which failed, one seed, both
    baselines.
    """
    world = World(questions=12, languages=MANY, has={"yo": 0.7, "sw": 0.8})
    sweep_dir = write_sweep(root / "many", world, ratios=ELEVEN, seeds=(0,), bm25=True)
    shutil.rmtree(sweep_dir.parent.parent / "runs" / "t050s0")
    yield analysed(dataclasses.replace(load([sweep_dir]), trained_languages=MANY[:12]))


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_eighteen_languages_eleven_ratios_and_one_seed(name: str, many: Any) -> None:
    figure = FIGURES[name](*many)
    assert legible(figure) == []
    assert figure.get_figheight() < 9.2  # a page of text


SMALL: dict[str, tuple[World, dict[str, Any]]] = {
    "one language": (World(questions=20, languages=("en",)), {}),
    "two languages, eleven ratios": (
        World(questions=20, languages=("de", "en")),
        {"ratios": ELEVEN, "bm25": True},
    ),
    "nine languages": (World(questions=12, languages=MANY[:9]), {"seeds": (0, 1)}),
    "long names": (
        World(questions=12, languages=("chinese-simplified", "english", "portuguese")),
        {"bm25": True},
    ),
    "only ratio 0": (World(questions=20), {"ratios": (0.0,)}),
    "no ratio 0": (World(questions=20), {"ratios": (0.25, 1.0)}),
    "no seed has every ratio": (World(questions=20), {"seeds": (0, 1, 2)}),
    "one question": (World(questions=1), {"seeds": (0,), "untrained": ()}),
}


@pytest.fixture(scope="module")
def small(root: Path) -> Callable[[str], Any]:
    known: dict[str, Any] = {}

    def get(case: str) -> Any:
        if case not in known:
            world, options = SMALL[case]
            sweep_dir = write_sweep(root / case, world, **options)
            if case == "no seed has every ratio":
                for run in ("t000s0", "t050s1", "t100s2"):
                    shutil.rmtree(sweep_dir.parent.parent / "runs" / run)
            known[case] = analysed(load([sweep_dir]))
        return known[case]

    return get


QUICK = ("one language", "no ratio 0")


@pytest.mark.parametrize(
    "case",
    [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in SMALL],
)
@pytest.mark.parametrize("name", FIGURES)
def test_small_and_broken_sweeps(name: str, case: str, small: Callable[[str], Any]) -> None:
    assert legible(FIGURES[name](*small(case))) == []


@pytest.fixture(scope="module")
def some_settings(small: Callable[[str], Any]) -> Callable[[tuple[str, ...]], Any]:
    """Gives nine languages with some settings alone, analysed once for all figures."""

    @functools.cache
    def get(settings: tuple[str, ...]) -> Any:
        sweep = small("nine languages")[0]
        frame = sweep.frame[sweep.frame["setting"].isin(settings)]
        return analysed(dataclasses.replace(sweep, frame=frame))

    return get


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [("monolingual", "multilingual"), ("monolingual",), ("multilingual",)]
)
@pytest.mark.parametrize("name", FIGURES)
def test_settings_that_were_not_evaluated(
    name: str, settings: tuple[str, ...], some_settings: Callable[[tuple[str, ...]], Any]
) -> None:
    assert legible(FIGURES[name](*some_settings(settings))) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_the_same_sweep_gives_the_same_bytes(
    name: str, small: Callable[[str], Any], tmp_path: Path
) -> None:
    found = [
        style.save(FIGURES[name](*small("two languages, eleven ratios")), tmp_path / str(i), name)
        for i in range(2)
    ]
    assert [path.suffix for path in found[0]] == [".png", ".pdf", ".svg"]
    for first, second in zip(*found, strict=True):
        content = first.read_bytes()
        assert content == second.read_bytes() and b"/Type3" not in content
        assert str(tmp_path).encode() not in content
