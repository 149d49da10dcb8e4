"""Reports on other measures, and measures.csv, against what pandas and scipy alone give."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.commands import report_verbs
from hybrid_sweep.report import publish
from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.load import load
from hybrid_sweep.report.other_measures import besides, other_measures, own_measure_note
from hybrid_sweep.report.report import write_report
from hybrid_sweep.report.results import aggregate, measures_of, picked
from hybrid_sweep.report.scales import LOG, LOG_ERROR, LOGIT, scale_of
from tests.refused import refused
from tests.report.behrens_fisher import quantile
from tests.report.folders import runs_of

ABOUT = ["kind", "ratio", "setting", "measure", "scope"]
OTHER = "nDCG@10"


def change_tables(sweep_dir: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    for path in runs_of(sweep_dir).glob("*/per_query.parquet"):
        change(pd.read_parquet(path)).to_parquet(path, index=False)
    return sweep_dir


def exchanged(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{"RR@10": table[OTHER], OTHER: table["RR@10"]})


def test_a_report_on_another_measure_has_the_numbers_that_its_values_would_have_as_rr(
    make_sweep: Any, world: Any
) -> None:
    plain = load([make_sweep(world(questions=30), name="a")], measure=OTHER)
    swapped = load([change_tables(make_sweep(world(questions=30), name="b"), exchanged)])
    mine, theirs = aggregate(plain), aggregate(swapped)
    shapes = derived(plain, mine), derived(swapped, theirs)
    renamed = theirs.assign(measure=theirs["measure"].replace({"RR@10": OTHER}))
    pd.testing.assert_frame_equal(mine, renamed)
    assert set(mine["verdict"]) > {"", "baseline"}
    moved = shapes[1].replace({"RR@10": OTHER, "cross-lingual RR@10": f"cross-lingual {OTHER}"})
    pd.testing.assert_frame_equal(shapes[0], moved)
    assert measures_of(mine).name == OTHER and measures_of(theirs).name == "RR@10"


def test_a_report_on_another_measure_is_apart_and_says_so(
    make_sweep: Any, world: Any, undrawn: Any
) -> None:
    sweep_dir = make_sweep(world(questions=20))
    (sweep_dir / "report.md").write_text("of the default measure")
    made = write_report([sweep_dir], measure=OTHER)
    assert (sweep_dir / "report.md").read_text() == "of the default measure"
    folder = sweep_dir / f"by-{OTHER}"
    assert {path.parent for path in made.paths} == {folder}
    for name in ("report.md", "report.html", "table.tex"):
        text = (folder / name).read_text()
        told = [line for line in text.splitlines() if "MRR@10" in line or "RR@10" in line]
        # what the margin was stated for, which measure is the primary one, and the other measures
        # of the table; the names of the columns explain themselves with an example
        for line in told:
            assert any(
                word in line
                for word in ("primary measure", "margin for MRR@10", "`measure`", '"columns"', "<t")
            ), line
        assert OTHER in text
    results = pd.read_csv(folder / "results.csv")
    assert set(results[results["setting"] == "monolingual"]["measure"]) == {OTHER}
    assert f"mono {OTHER}" in made.console


def per_question(
    sweep_dir: Path, value: Callable[[pd.DataFrame], pd.Series], ratio: float, setting: str
) -> np.ndarray:
    """(S, G): of each seed what each question adds to the mean, all languages having all
    questions.
    """
    rows = []
    for seed in (0, 1, 2):
        path = runs_of(sweep_dir) / f"t{round(ratio * 100):03d}s{seed}" / "per_query.parquet"
        table = pd.read_parquet(path)
        table = table[table["setting"] == setting]
        rows.append(value(table).groupby(table["group_id"]).mean().to_numpy())
    return np.array(rows)


def interval(y: np.ndarray, floor: float) -> tuple[float, float, float]:
    """Mean and 95 % interval over seeds and questions, by hand."""
    n, g = y.shape
    mean = y.mean()
    seeds = g * ((y.mean(axis=1) - mean) ** 2).sum() / (n - 1)
    questions = n * ((y.mean(axis=0) - mean) ** 2).sum() / (g - 1)
    rest = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0, keepdims=True) + mean
    rest = (rest**2).sum() / ((n - 1) * (g - 1))
    seeds, more = max(seeds, rest, floor * rest), max(questions - rest, 0)
    size = quantile(0.95, seeds / (seeds + more), n - 1, g - 1)
    half = size * math.sqrt((seeds + more) / (n * g))
    return mean, mean - half, mean + half


def inflation(y: np.ndarray) -> float:
    n, g = y.shape
    mean = y.mean()
    seeds = g * ((y.mean(axis=1) - mean) ** 2).sum() / (n - 1)
    rest = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0, keepdims=True) + mean
    return float(seeds / ((rest**2).sum() / ((n - 1) * (g - 1))))


def log(mean: float) -> tuple[float, float]:
    return math.log(mean), 1 / mean


def log_error(mean: float) -> tuple[float, float]:
    return math.log(1 - mean), -1 / (1 - mean)


def logit(mean: float) -> tuple[float, float]:
    return math.log(mean / (1 - mean)), 1 / mean + 1 / (1 - mean)


def plain(mean: float) -> tuple[float, float]:
    return mean, 1.0


VALUES: dict[str, tuple[Callable[[pd.DataFrame], pd.Series], Callable[[float], Any]]] = {
    "log rank": (lambda table: np.log(table["rank_min"]), plain),
    "logit(Success@10)": (lambda table: (table["rank_min"] <= 10).astype(float), logit),
    "log(RR@10)": (lambda table: table["RR@10"], log),
    "log(1 - RR@10)": (lambda table: table["RR@10"], log_error),
    "R@100": (lambda table: table["R@100"], plain),
}


@pytest.mark.parametrize(
    "measure", ["log rank", "logit(Success@10)", "log(RR@10)", "log(1 - RR@10)", "R@100"]
)
def test_measures_csv_equals_a_brute_force(make_sweep: Any, world: Any, measure: str) -> None:
    sweep_dir = make_sweep(world(questions=25))
    others = other_measures(load([sweep_dir]))
    value, transform = VALUES[measure]
    for setting in ("monolingual", "cross-lingual")[: 2 if measure == "log rank" else 1]:
        scaled = {}
        for ratio in (0.0, 0.5, 1.0):
            y = per_question(sweep_dir, value, ratio, setting)
            at, slope = transform(float(y.mean()))
            scaled[ratio] = at + slope * (y - y.mean())
        changes = {ratio: scaled[ratio] - scaled[0.0] for ratio in (0.5, 1.0)}
        floor = float(np.median([inflation(y) for y in changes.values()]))
        for row in picked(others, setting, measure)[2:]:
            expected = interval(changes[row["ratio"]], floor)
            found = row["delta"], row["delta_low"], row["delta_high"]
            assert found == pytest.approx(expected, rel=1e-6, abs=1e-9), (measure, row["ratio"])
            level_floor = float(np.median([inflation(y) for y in scaled.values()]))
            expected = interval(scaled[row["ratio"]], level_floor)
            level = row["mean"], row["low"], row["high"]
            assert level == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_on_another_scale_there_is_no_verdict_and_no_share(make_sweep: Any, world: Any) -> None:
    others = other_measures(load([make_sweep(world(questions=20))]))
    scaled = others["measure"].map(lambda name: scale_of(name)[0].prefix != "")
    scaled |= others["measure"] == "log rank"
    assert scaled.any() and not scaled.all()
    assert set(others[scaled]["verdict"]) == {""}
    assert others[scaled & (others["measure"] != "log rank")]["relative"].isna().all()
    mono = others[~scaled & (others["setting"] == "monolingual") & (others["ratio"] > 0)]
    assert "" not in set(mono["verdict"])


@pytest.mark.parametrize("scale", [LOG, LOG_ERROR, LOGIT])
def test_a_scale_has_no_value_at_its_ends(scale: Any) -> None:
    assert np.isnan(scale.of(np.zeros((3, 4)))).all() and np.isnan(scale.of(np.ones((3, 4)))).all()
    assert scale_of(scale.name("AP")) == (scale, "AP")
    step = 1e-6
    slope = (scale.value(0.3 + step) - scale.value(0.3 - step)) / (2 * step)
    assert scale.slope(0.3) == pytest.approx(slope, rel=1e-6)


def test_measures_of_languages_have_rows_and_columns_of_the_mixed_pool_alone(
    make_sweep: Any, world: Any
) -> None:
    def add(table: pd.DataFrame) -> pd.DataFrame:
        mixed = table["setting"] == "multilingual"
        last = table["rank_max"].astype(float).where(mixed)
        preference = (table["rank_min"] == 1).where(mixed)
        correlation = (1 / table["rank_min"].astype(float) - 0.5).where(mixed)  # below 0, too
        return table.assign(**{"LPR": preference, "Max@R": last, "MRC@10": correlation})

    sweep = load([change_tables(make_sweep(world(questions=20)), add)])
    results = aggregate(sweep)
    for name in ("LPR", "Max@R", "MRC@10"):
        mine = results[results["measure"] == name]
        assert set(mine["setting"]) == {"multilingual"}
        assert set(mine["verdict"].dropna()) <= {""}
        assert mine["delta_low"].notna().any()
        row = next(one for one in picked(results, "multilingual", name) if one["ratio"] == 0.5)
        frame = sweep.frame[(sweep.frame["ratio"] == 0.5) & (sweep.frame["kind"] == "trained")]
        by_hand = frame.groupby("query_lang", observed=True)[name].mean().mean()
        assert row["mean"] == pytest.approx(by_hand)
    columns = [column.name for column in sweep.measures.shown]
    assert columns[-3:] == [
        "language preference rate",
        "last relevant rank",
        "mean rank correlation of a question's language versions",
    ]


def test_measures_that_were_asked_for_reach_the_results(make_sweep: Any, world: Any) -> None:
    def add(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{"P@5": (table["rank_min"] <= 5) / 5, "note": "no measure"})

    sweep_dir = change_tables(make_sweep(world(questions=20)), add)
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    first = aggregate(load([make_sweep(world(questions=20), name="bare")]))
    # the rows of the report's own measures stay as they are
    pd.testing.assert_frame_equal(
        results[results["measure"] != "P@5"].reset_index(drop=True), first
    )
    mine = results[results["measure"] == "P@5"]
    assert set(mine["setting"]) == {"monolingual", "cross-lingual", "multilingual"}
    assert {"macro", "de", "de>en"} <= set(mine["scope"])
    by_hand = (
        per_question(
            sweep_dir, lambda table: (table["rank_min"] <= 5) / 5, 0.5, "monolingual"
        ).mean()
        - per_question(
            sweep_dir, lambda table: (table["rank_min"] <= 5) / 5, 0.0, "monolingual"
        ).mean()
    )
    row = next(one for one in picked(results, "monolingual", "P@5") if one["ratio"] == 0.5)
    assert row["delta"] == pytest.approx(by_hand) and row["verdict"] not in ("", "untested")
    assert load([sweep_dir], measure="P@5").measures.mono.measure == "P@5"

    one = next(runs_of(sweep_dir).glob("t*/per_query.parquet"))
    pd.read_parquet(one).drop(columns="P@5").to_parquet(one, index=False)
    assert load([sweep_dir]).asked == ()


def test_a_measure_that_the_rows_do_not_give_is_refused(make_sweep: Any, world: Any) -> None:
    sweep_dir = make_sweep(world(questions=20))
    for name in ("MRR@10", "rank", "RD"):
        with refused("report.measure", name):
            load([sweep_dir], measure=name)
    for name in ("Judged@10", "P(rel=2)@5", "AP-lareqa"):
        with refused("report.measure_missing", name, "eval.measures"):
            load([sweep_dir], measure=name)
    change_tables(sweep_dir, lambda table: table.assign(n_relevant=2))
    for name in ("P@5", "Rprec", "nDCG@20"):
        with refused("report.measure_missing", name):
            load([sweep_dir], measure=name)
    for name in ("Success@3", "RR", "RR@100"):
        assert load([sweep_dir], measure=name).measure == name


@pytest.mark.parametrize("name", ["Success@3", "P@3", "nDCG@3", "AP@3", "R@3", "Rprec", "RR"])
def test_what_the_ranks_tell_needs_no_evaluation(make_sweep: Any, world: Any, name: str) -> None:
    def by_hand(table: pd.DataFrame) -> pd.Series:
        rank = table["rank_min"].astype(float)
        inside = rank <= (1 if name == "Rprec" else 3)
        value = {
            "Success@3": 1.0,
            "P@3": 1 / 3,
            "nDCG@3": 1 / np.log2(rank + 1),
            "AP@3": 1 / rank,
            "R@3": 1.0,
            "Rprec": 1.0,
        }
        return 1 / rank if name == "RR" else inside * value[name]

    sweep_dir = make_sweep(world(questions=20))
    results = aggregate(load([sweep_dir], measure=name))
    for setting in ("monolingual", "cross-lingual"):
        for row in picked(results, setting, name):
            expected = per_question(sweep_dir, by_hand, row["ratio"], setting).mean()
            assert row["mean"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "data, measure, told",
    [
        ("miracl", "RR@10", "nDCG@10"),
        ("miracl", "nDCG@10", ""),
        ("msmarco", "RR@10", ""),
        ("msmarco", "nDCG@10", "MRR@10"),
        ("mine", "RR@10", ""),
        ("mine\n  measure: R@100", "RR@10", "R@100"),
        ("msmarco\n  qrels: dl19", "RR@10", "nDCG@10"),
    ],
)
def test_that_papers_report_another_measure_is_said(
    make_sweep: Any, world: Any, data: str, measure: str, told: str
) -> None:
    sweep_dir = make_sweep(world(questions=20))
    for path in runs_of(sweep_dir).glob("*/config.yaml"):
        path.write_text(path.read_text().replace("name: toy", f"name: {data}"))
    note = own_measure_note(load([sweep_dir], measure=measure))
    assert (told in note) if told else not note


def test_a_few_lines_say_what_other_measures_do(make_sweep: Any, world: Any) -> None:
    sweep = load([make_sweep(world(questions=20))])
    others = other_measures(sweep)
    (line,) = besides(sweep, others)
    rank = picked(others, "monolingual", "log rank")[-1]
    assert f"geometric mean rank x {math.exp(rank['delta']):.3f}" in line
    one = load([make_sweep(world(questions=20), name="one", seeds=(0,))])
    assert "over the questions alone" in besides(one, other_measures(one))[0]
    alone = load([make_sweep(world(questions=20), name="alone", ratios=(0.0,))])
    assert besides(alone, other_measures(alone)) == []


def test_the_verb_takes_a_measure(make_sweep: Any, world: Any, capsys: Any, undrawn: Any) -> None:
    sweep_dir = make_sweep(world(questions=20))
    assert report_verbs.report([str(sweep_dir), "--measure", "Success@5"]) == 0
    assert (sweep_dir / "by-Success@5" / "measures.csv").is_file()
    assert "mono Success@5" in capsys.readouterr().out
    with refused("report.measure_of_pool", "LPR", "eval.measures"):
        report_verbs.report([str(sweep_dir), "--measure", "LPR"])
    with refused("report.measure", "F1"):
        report_verbs.report([str(sweep_dir), "--measure", "F1"])


@pytest.mark.slow
def test_sweeps_are_compared_on_another_measure(two: tuple[Path, Path], undrawn: Any) -> None:
    made = write_report(list(two), measure=OTHER)
    table = made.results
    assert set(table[table["setting"] == "monolingual"]["measure"]) == {OTHER}
    assert (table["statistic"] == "difference").any()
    assert {path.parent.name for path in made.paths} == {f"by-{OTHER}"}
    assert f"monolingual {OTHER}" in made.console


def test_what_was_asked_for_is_published_with_its_rows(
    make_sweep: Any, world: Any, undrawn: Any, tmp_path: Path
) -> None:
    def add(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{"P@5": (table["rank_min"] <= 5) / 5})

    made = make_sweep(world(questions=12), ratios=(0.0, 1.0), untrained=())
    sweep_dir, folder = change_tables(made, add), tmp_path / "published"
    publish.freeze(sweep_dir, folder)
    assert publish.differences(folder) == []
    results = pd.read_csv(folder / "results.csv")
    expected = aggregate(load([sweep_dir]))
    mine, theirs = (table[table["measure"] == "P@5"] for table in (results, expected))
    assert len(mine) == len(theirs) > 0
    assert mine["delta"].to_numpy() == pytest.approx(theirs["delta"].to_numpy(), nan_ok=True)

    one = next(runs_of(sweep_dir).glob("t*/per_query.parquet"))
    pd.read_parquet(one).drop(columns="P@5").to_parquet(one, index=False)
    publish.freeze(sweep_dir, tmp_path / "fewer")
    assert "P@5" not in set(pd.read_csv(tmp_path / "fewer" / "results.csv")["measure"])
