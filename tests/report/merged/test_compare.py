"""merged.csv against loops over the per-query rows, the quadrature behind its intervals, and Holm's
adjustment of statsmodels.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.clusters import CLUSTER
from hybrid_sweep.report.columns import records
from hybrid_sweep.report.load import load
from hybrid_sweep.report.merged.compare import compare, p_dominates
from hybrid_sweep.report.merged.load import load_merged
from hybrid_sweep.report.merged.rows import COLUMNS, MergedRow
from hybrid_sweep.report.merged.text import sentence
from hybrid_sweep.report.results import aggregate, picked
from tests.report.behrens_fisher import beyond
from tests.report.folders import runs_of
from tests.report.merged.averages import write_averages

ENDS = (0.0, 1.0)
MIXTURES = [
    (ENDS, (1.0, 0.0)),
    (ENDS, (0.7, 0.3)),
    (ENDS, (0.4, 0.6)),
    ((0.0, 0.5, 1.0), (1 / 3,) * 3),
]
RATIOS = (0.0, 0.5, 1.0)
SEEDS = (0, 1, 2)
AXES = {"mono": "monolingual", "cross": "cross-lingual"}


def made(sweep_dir: Path) -> tuple[pd.DataFrame, Any]:
    merged = load_merged([sweep_dir], load([sweep_dir]))
    assert merged is not None
    return compare(merged), merged


@pytest.fixture
def averaged(make_sweep: Callable[..., Path], world: Any) -> Path:
    its = world(has={"de": 0.6, "fr": 0.8}, questions=60)
    sweep_dir = make_sweep(its)
    write_averages(sweep_dir, dataclasses.replace(its, mono=lambda r: 0.0), MIXTURES)
    return sweep_dir


@functools.cache
def values(sweep_dir: Path, run_id: str, setting: str) -> dict[tuple[str, str], dict[str, float]]:
    """RR@10 by domain (languages) and question of one run, from its table."""
    rows = pd.read_parquet(runs_of(sweep_dir) / run_id / "per_query.parquet")
    rows = rows[rows["setting"] == setting]
    by_domain: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows.to_dict("records"):
        domain = (row["query_lang"], row["passage_lang"])
        by_domain.setdefault(domain, {})[row["group_id"]] = row["RR@10"]
    return by_domain


def macro(by_domain: dict[tuple[str, str], dict[str, float]]) -> float:
    return float(np.mean([np.mean(list(one.values())) for one in by_domain.values()]))


def by_question(by_domain: dict[tuple[str, str], dict[str, float]]) -> dict[str, float]:
    """What each question contributes to the macro mean, as docs/statistics.md has it."""
    questions = sorted({group for one in by_domain.values() for group in one})
    mean, total = macro(by_domain), len(questions)
    parts = dict.fromkeys(questions, mean)
    for one in by_domain.values():
        n, own = len(one), float(np.mean(list(one.values())))
        stretch = math.sqrt(n / (n - 1) * (total - 1) / total)
        for group, value in one.items():
            parts[group] += total / len(by_domain) * stretch * (value - own) / n
    return parts


def one_sided(y: np.ndarray, df: float, floor: float, bound: float) -> float:
    """P of a true mean of at most `bound`, by mean squares in loops and adaptive quadrature."""
    seeds, questions = y.shape
    mean = y.mean()
    a = questions * ((y.mean(axis=1) - mean) ** 2).sum() / (seeds - 1)
    b = seeds * ((y.mean(axis=0) - mean) ** 2).sum() / (questions - 1)
    rest = y - y.mean(axis=1)[:, None] - y.mean(axis=0)[None, :] + mean
    e = (rest**2).sum() / ((seeds - 1) * (questions - 1))
    of_seeds, of_questions = max(a, e, floor * e), max(b - e, 0.0)
    se = math.sqrt((of_seeds + of_questions) / (seeds * questions))
    share = of_seeds / (of_seeds + of_questions)
    both = beyond(abs(mean - bound) / se, share, seeds - 1, df)
    return both / 2 if mean > bound else 1 - both / 2


def test_every_mean_and_difference_is_that_of_loops_over_the_rows(averaged: Path) -> None:
    frame, _ = made(averaged)
    assert list(frame.columns) == list(COLUMNS)
    rows = records(frame, MergedRow)
    assert len(rows) == len(RATIOS) + len(MIXTURES) * len(RATIOS)
    for row in rows:
        own = {}
        for seed in SEEDS:
            if row["kind"] == "trained":
                own[seed] = f"t{round(row['ratio'] * 100):03d}s{seed}"
            else:
                shares = [float(text) for text in row["shares"].split()]
                own[seed] = f"m{'-'.join(str(round(1000 * s)) for s in shares)}s{seed}"
        for axis, setting in AXES.items():
            level, delta = [], []
            for seed in SEEDS:
                other = f"t{round(row['against'] * 100):03d}s{seed}"
                level.append(macro(values(averaged, own[seed], setting)))
                delta.append(level[-1] - macro(values(averaged, other, setting)))
            column = "monolingual" if axis == "mono" else "cross_lingual"
            assert row[column] == pytest.approx(np.mean(level), abs=1e-8)  # type: ignore[literal-required]
            if not (row["kind"] == "trained" and row["ratio"] == row["against"]):
                assert row[f"{axis}_delta"] == pytest.approx(np.mean(delta), abs=1e-8)  # type: ignore[literal-required]
        assert row["n_seeds"] == 3


def test_the_p_of_dominance_is_that_of_quadrature_over_the_rows(averaged: Path) -> None:
    """One pair, with the floor of all pairs, by the formula in docs/merging.md."""
    frame, merged = made(averaged)
    row = records(frame[(frame["alpha"] == 0.3) & (frame["against"] == 0.5)], MergedRow)[0]
    p: dict[tuple[str, float], float] = {}
    margin = merged.sweep.margin
    for axis, setting in AXES.items():
        tables: dict[str, list[dict[str, float]]] = {}
        runs = {f"t{round(100 * ratio):03d}": None for ratio in RATIOS}
        runs |= {
            f"m{'-'.join(str(round(1000 * s)) for s in shares)}": None for _, shares in MIXTURES
        }
        for name in runs:
            tables[name] = [by_question(values(averaged, f"{name}s{s}", setting)) for s in SEEDS]
        y = {
            name: np.array([list(one.values()) for one in several])
            for name, several in tables.items()
        }
        inflations = []
        for first, second in itertools.product(
            [n for n in y if n[0] == "m"], [n for n in y if n[0] == "t"]
        ):
            _, a, _, e = st.mean_squares(y[first] - y[second])
            if e > 0:
                inflations.append(float(a / e))
        floor = float(np.median(inflations))
        counts = [len(one) for one in values(averaged, "t000s0", setting).values()]
        tau = {}
        for one in values(averaged, "t000s0", setting).values():
            for group in one:
                tau[group] = tau.get(group, 0.0) + 1 / len(one) ** 2
        square = np.array(list(tau.values()))
        df = float(square.sum() ** 2 / (square**2).sum() - 1)
        assert len(counts) == (3 if axis == "mono" else 6)
        for bound in (0.0, -margin):
            p[axis, bound] = one_sided(y["m700-300"] - y["t050"], df, floor, bound)
    # 60 questions times .01 are too few for non-inferiority: both must be better
    assert row["p_average"] == pytest.approx(max(p["mono", 0.0], p["cross", 0.0]), rel=1e-5)
    assert row["mono_p"] == pytest.approx(2 * min(p["mono", 0.0], 1 - p["mono", 0.0]), rel=1e-5)
    assert row["p_trained"] == pytest.approx(max(1 - p["mono", 0.0], 1 - p["cross", 0.0]), rel=1e-5)


def estimate(mean: float, se: float, carrying: float = 50.0) -> st.Estimate:
    """A difference of 10,000 questions and 3 seeds of which only seeds matter."""
    parts = (se**2 * 30_000, 0.0)
    return st.Estimate(
        mean, se, 2.0, 3, 10_000, 9_999.0, "crossed", (0.0, 0.0, 0.0), parts, carrying
    )


@pytest.mark.parametrize(
    ("mono", "cross"),
    [
        ((0.0, 0.001), (0.05, 0.002)),
        ((0.0, 0.0001), (0.003, 0.001)),  # better is what decides, by one axis of two
        ((-0.004, 0.001), (0.02, 0.001)),
        ((0.03, 0.01), (-0.02, 0.003)),
    ],
)
def test_dominance_asks_for_no_loss_on_either_axis_and_a_gain_on_one(
    mono: tuple[float, float], cross: tuple[float, float]
) -> None:
    margin = 0.01

    def above(of: tuple[float, float], bound: float) -> float:
        return float(scipy.stats.t.sf((of[0] - bound) / of[1], 2))

    better = min(1.0, 2 * min(above(mono, 0.0), above(cross, 0.0)))
    wanted = max(above(mono, -margin), above(cross, -margin), better)
    assert p_dominates(estimate(*mono), estimate(*cross), margin) == pytest.approx(wanted, rel=1e-6)
    # few questions carry one difference: both must be better
    strict = max(above(mono, 0.0), above(cross, 0.0))
    few = p_dominates(estimate(*mono, carrying=3.0), estimate(*cross), margin)
    assert few == pytest.approx(strict, rel=1e-6)


def test_holm_goes_over_all_pairs_in_either_direction_and_over_both_axes(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    its = world(questions=400, noise=0.05, seed_sd=0.002)
    sweep_dir = make_sweep(its)
    other = dataclasses.replace(its, mono=lambda r: 0.03 - 0.1 * r, cross=lambda r: 0.12 - 0.1 * r)
    write_averages(sweep_dir, other, MIXTURES)
    frame, _ = made(sweep_dir)
    tested = frame[(frame["kind"] == "averaged") & (frame["word"] != "parent")]
    assert len(tested) == 3 * len(RATIOS)
    for columns in (("p_average", "p_trained"), ("mono_p", "cross_p")):
        p = tested[list(columns)].to_numpy().ravel()
        wanted = multipletests(p, method="holm")[1]
        adjusted = tested[[f"{name}_holm" for name in columns]].to_numpy().ravel()
        assert adjusted == pytest.approx(wanted, rel=1e-7)
        below = np.sort(p)[wanted[np.argsort(p)] < 1]
        assert len(below) >= 2  # else any number of comparisons would do
    parents = frame[frame["word"] == "parent"]
    assert len(parents) == len(RATIOS) and parents["p_average"].isna().all()


def test_the_changes_of_trained_ratios_are_those_of_the_results(averaged: Path) -> None:
    frame, _ = made(averaged)
    results = aggregate(load([averaged]))
    for axis, setting in AXES.items():
        wanted = {row["ratio"]: row for row in picked(results, setting, "RR@10")}
        for row in records(frame[frame["kind"] == "trained"], MergedRow):
            if row["ratio"] > 0:
                same = wanted[row["ratio"]]
                shown = [row[f"{axis}_{end}"] for end in ("delta", "low", "high")]  # type: ignore[literal-required]
                assert shown == [same["delta"], same["delta_low"], same["delta_high"]]


def test_clusters_of_questions_are_what_is_sampled_here_too(averaged: Path) -> None:
    plain, _ = made(averaged)
    sweep = load([averaged])
    groups = sweep.frame["group_id"].astype(str)
    sweep = dataclasses.replace(
        sweep, frame=sweep.frame.assign(**{CLUSTER: groups.str[:-1].astype("category")})
    )
    merged = load_merged([averaged], sweep)
    assert merged is not None
    frame = compare(merged)
    assert list(frame["n_questions"]) == list(plain["n_questions"])
    for name in ("monolingual", "mono_delta", "cross_delta"):
        assert frame[name].to_numpy() == pytest.approx(plain[name].to_numpy(), nan_ok=True)
    assert not np.allclose(frame["mono_low"].dropna(), plain["mono_low"].dropna())
    wanted = {row["ratio"]: row for row in picked(aggregate(sweep), "monolingual", "RR@10")}
    for row in records(frame[frame["kind"] == "trained"], MergedRow):
        if row["ratio"] > 0:
            same = wanted[row["ratio"]]
            assert [row["mono_low"], row["mono_high"]] == [same["delta_low"], same["delta_high"]]


def test_the_nearest_average_is_that_by_the_means(averaged: Path) -> None:
    frame, _ = made(averaged)
    for ratio in RATIOS:
        here = frame[(frame["against"] == ratio) & (frame["kind"] == "averaged")]
        here = here[here["word"] != "parent"]
        for axis, name in AXES.items():
            place = here[f"{axis}_delta"].abs().idxmin()
            marked = here[here["nearest"].isin([name, "both"])]
            assert list(marked.index) == [place]


def shown(make_sweep: Any, world: Any, **changes: Any) -> tuple[pd.DataFrame, Any]:
    """A sweep of 5 seeds and many questions with one average of another world."""
    its = world(questions=1500, noise=0.02, seed_sd=0.0005, languages=("de", "en"))
    sweep_dir = make_sweep(its, seeds=(0, 1, 2, 3, 4), ratios=(0.0, 1.0), untrained=())
    other = dataclasses.replace(its, **changes)
    write_averages(sweep_dir, other, [(ENDS, (0.5, 0.5))], seeds=range(5))
    return made(sweep_dir)


@pytest.mark.parametrize(
    ("mono", "cross", "word"),
    [
        (0.1, 0.2, "average dominates"),
        (-0.02, 0.2, "average dominates"),  # no worse than r = 1, and better across languages
        (-0.3, -0.1, "training dominates"),
        (-0.3, 0.25, "not shown"),  # each is better on one axis
    ],
)
def test_the_verdict_is_what_was_planted(
    make_sweep: Any, world: Any, mono: float, cross: float, word: str
) -> None:
    frame, merged = shown(make_sweep, world, mono=lambda _: mono, cross=lambda _: cross)
    row = records(frame[(frame["kind"] == "averaged") & (frame["against"] == 1.0)], MergedRow)[0]
    assert row["word"] == word
    told = sentence(frame, merged.sweep.margin)
    assert ("r = 1" in told) == (word != "not shown")


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_fewer_than_three_seeds_have_no_verdict(
    averaged: Path, world: Any, seeds: tuple[int, ...]
) -> None:
    write_averages(averaged, world(has={"de": 0.6, "fr": 0.8}, questions=60), MIXTURES, seeds)
    frame, merged = made(averaged)
    averages = frame[frame["kind"] == "averaged"]
    assert set(averages["word"]) == {"not tested", "parent"}
    assert set(frame["interval"]) == {"conditional"}
    assert averages[["p_average", "p_trained", "mono_p", "cross_p"]].isna().all(axis=None)
    assert str(len(seeds)) in sentence(frame, merged.sweep.margin)


def test_seeds_that_lack_an_average_are_left_out(averaged: Path, world: Any) -> None:
    (runs_of(averaged) / "m700-300s1" / "metrics.json").unlink()
    frame, merged = made(averaged)
    assert set(frame["n_seeds"]) == {2} and len(merged.missing) == 1
    for seed in (0, 2):
        (runs_of(averaged) / f"m700-300s{seed}" / "metrics.json").unlink()
    frame, merged = made(averaged)
    # an average without any result is none of the comparison
    assert set(frame["n_seeds"]) == {3} and len(merged.missing) == 3
