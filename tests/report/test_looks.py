"""Spending of error rates over the looks at a sweep: published bounds, simulated paths, and what a
report makes of its plan.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from benchmarks import looks as simulated
from hybrid_sweep.report import look_notes, looks, publish, simultaneous
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.comparison.table import compare
from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.load import load
from hybrid_sweep.report.looks import Looks, adjusted, fractions_of, level_of, of_both
from hybrid_sweep.report.report import write_report
from hybrid_sweep.report.results import MONO, aggregate, picked
from hybrid_sweep.utils import plan_log
from tests.report.conftest import World, logged, write_run

IRREGULAR = (0.3, 0.35, 0.7, 1.0)


def test_the_bounds_of_five_even_looks_are_those_in_print() -> None:
    """Lan and DeMets' bounds like O'Brien and Fleming's, two-sided 5 %: tables of Reboussin et al.
    (2000).
    """
    printed = (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)
    plan = Looks(5, (1, 2, 3, 4))
    for count, bound in enumerate(printed, start=1):
        level = level_of(0.025, plan.fractions(count))
        assert scipy.stats.norm.isf(level) == pytest.approx(bound, abs=2e-3)


@pytest.mark.parametrize("total", [0.05, 0.025, 0.3])
def test_paths_cross_as_often_as_the_error_rate_spent(total: float) -> None:
    rng = np.random.default_rng(3)
    steps = np.diff([0.0, *IRREGULAR]) ** 0.5
    paths = np.cumsum(rng.standard_normal((200_000, len(steps))) * steps, axis=1)
    crossed = np.zeros(len(paths), dtype=bool)
    for place, fraction in enumerate(IRREGULAR):
        level = level_of(total, IRREGULAR[: place + 1])
        crossed |= paths[:, place] / fraction**0.5 > scipy.stats.norm.isf(level)
        expected = looks.spent(total, fraction)
        assert crossed.mean() == pytest.approx(expected, abs=5 * (expected / 200_000) ** 0.5)
    assert looks.spent(total, 1.0) == pytest.approx(total)


def test_an_adjusted_p_is_the_error_rate_that_rejects() -> None:
    for count in range(1, len(IRREGULAR) + 1):
        for total in (1e-9, 1e-4, 0.05 / 28, 0.05, 0.4):
            level = level_of(total, IRREGULAR[:count])
            assert adjusted(level, IRREGULAR[:count]) == pytest.approx(total, rel=1e-6)
            assert level <= total * (1 + 1e-9)
    p = np.array([0.0, 1e-14, 1e-6, 0.01, 0.4, 1.0, np.nan])
    over_looks = adjusted(p, IRREGULAR)
    assert (np.diff(over_looks[:6]) > 0).all() and over_looks[5] == 1 and np.isnan(over_looks[6])
    assert (over_looks[1:6] >= p[1:6]).all()


def test_a_single_look_with_all_seeds_changes_nothing() -> None:
    p = np.array([0.2, np.nan])
    for fractions in (Looks(5).fractions(5), Looks(5).fractions(7), fractions_of(None, 3)):
        assert level_of(0.05, fractions) == 0.05 and adjusted(p, fractions) is p


def test_the_looks_before_are_those_with_fewer_seeds() -> None:
    plan = Looks(10, (3, 5, 10))
    assert plan.fractions(3) == (0.3,)
    assert plan.fractions(4) == (0.3, 0.4)
    assert plan.fractions(10) == plan.fractions(12) == (0.3, 0.5, 1.0)
    assert of_both((0.3, 0.6), (0.5, 1.0)) == (0.3, 0.5, 0.6)
    assert of_both((1.0,), (1.0,)) == (1.0,)


@pytest.mark.parametrize("truth", [(100.0, 0.0), (4.0, 2.0), (1.0, 20.0)])
def test_error_rates_hold_over_all_looks(truth: tuple[float, float]) -> None:
    """Looks at every number of seeds from 3 to 10; without spending false non-inferiority comes in
    up to 10 % of sweeps.
    """
    rng = np.random.default_rng(5)
    plan = simulated.PLANS["every from 3"]
    draws = simulated.drawn(plan, truth, 4_000, rng)
    false, family = simulated.error_rates(draws, plan[0], True)
    assert false <= 0.06 and family <= 0.06
    if truth[0] == 100.0:
        assert simulated.error_rates(draws, plan[0], False)[0] > 0.085


def planned(sweep_dir: Path, number: int | None) -> Path:
    """A sweep whose record says from the first how many seeds it plans."""
    (sweep_dir / plan_log.NAME).unlink()
    plan_log.add(sweep_dir, logged(json.loads((sweep_dir / "points.json").read_text()), 0, number))
    return sweep_dir


def test_an_interim_look_widens_intervals_and_p(make_sweep: Callable[..., Path]) -> None:
    sweep_dir = make_sweep(World(questions=24))
    before = aggregate(load([planned(sweep_dir, 3)]))
    interim = aggregate(load([planned(sweep_dir, 5)]))
    level = level_of(0.05, (0.6,))
    [one, *_], [other, *_] = (
        [row for row in picked(table, *MONO) if row["ratio"] > 0] for table in (before, interim)
    )
    sweep = load([sweep_dir])
    assert sweep.looks == Looks(5) and one["delta"] == other["delta"]
    # the same interval, of a single look, at the level of this one
    ratio = other["half_width"] / one["half_width"]
    share = _share(sweep_dir)
    exact = [st.critical_value(1 - 2 * a, [share], (2,), _df(sweep_dir)) for a in (level, 0.05)]
    assert ratio == pytest.approx(float((exact[0] / exact[1])[0]), rel=1e-6)
    for key in ("p", "p_loss"):
        sided = 2 if key == "p" else 1
        expected = adjusted(one[key] / sided, (0.6,)) * sided
        assert other[key] == pytest.approx(min(expected, 1.0), rel=1e-6)
    same = ["mean", "low", "high", "delta"]
    assert before[same].equals(interim[same])


def _effect(sweep_dir: Path) -> st.Estimate:
    """The estimate of the change at the first ratio above 0, by hand."""
    from hybrid_sweep.report.results import block

    sweep = load([sweep_dir])
    whole = block(sweep, *MONO)
    assert whole is not None
    y, df = st.contributions(whole.values, whole.domain, whole.group)
    at = {ratio: [] for ratio in (0.0, 0.5, 1.0)}
    for place, point in enumerate(sweep.finished):
        if point.kind == "trained":
            at[point.ratio].append(place)
    changes = [y[at[ratio]] - y[at[0.0]] for ratio in (0.5, 1.0)]
    return st.crossed_estimate(changes[0], df, st.typical_inflation(changes))


def _share(sweep_dir: Path) -> np.ndarray:
    return np.atleast_1d(st.shares_of_seeds(_effect(sweep_dir))[0])


def _df(sweep_dir: Path) -> float:
    return _effect(sweep_dir).df_questions


@pytest.fixture
def quick(undrawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of the results alone: no figures, texts and derived tables, which are not looked
    at.
    """
    from hybrid_sweep.report import report_files

    empty = pd.DataFrame()
    monkeypatch.setattr(report_files, "derived", lambda *_: empty)
    monkeypatch.setattr(report_files, "other_measures", lambda *_: empty)
    monkeypatch.setattr(report_files, "findings", lambda *_: [])
    monkeypatch.setattr(report_files, "besides", lambda *_: [])
    for name in ("html", "markdown", "latex"):
        monkeypatch.setattr(report_files, name, lambda *_: "")


def test_reports_are_recorded_as_looks_once_for_each_number_of_seeds(
    make_sweep: Callable[..., Path], quick: None
) -> None:
    sweep_dir = planned(make_sweep(World(questions=24), seeds=(0, 1, 2, 3)), 4)
    hidden = [p for p in (sweep_dir.parents[1] / "runs").glob("*s3")]
    for run in hidden:
        (run / "metrics.json").rename(run / "later")
    first = write_report([sweep_dir], allow_missing=True)
    assert plan_log.read(sweep_dir).looks == (3,)
    once = (sweep_dir / plan_log.NAME).read_bytes()
    again = write_report([sweep_dir], allow_missing=True)
    assert (sweep_dir / plan_log.NAME).read_bytes() == once
    assert first.results.equals(again.results)
    assert first.warnings[0].startswith("interim look: 3 of 4 planned seeds")
    assert first.answer.startswith("Interim look: 3 of 4 planned seeds. ")
    for run in hidden:
        (run / "later").rename(run / "metrics.json")
    last = write_report([sweep_dir])
    assert plan_log.read(sweep_dir).looks == (3, 4)
    assert not any("look" in warning for warning in last.warnings)
    assert look_notes.note(load([sweep_dir]), last.results).startswith("All 4 planned seeds")
    assert not last.answer.startswith("Interim")
    alone = aggregate(load([planned(sweep_dir, 4)]))
    key = (last.results["ratio"] > 0) & last.results["p"].notna()
    assert (last.results["p"][key] > alone["p"][key]).all()


def test_seeds_beyond_the_plan_are_told(make_sweep: Callable[..., Path], quick: None) -> None:
    sweep_dir = planned(make_sweep(World(questions=24), seeds=(0, 1, 2, 3)), 3)
    plain = write_report([sweep_dir])
    assert not any("planned" in warning for warning in plain.warnings)
    sweep_dir = planned(sweep_dir, 3)
    plan_log.add_look(sweep_dir, [3])
    told = write_report([sweep_dir])
    assert told.warnings[0].startswith("1 seed more than the 3 planned")
    assert told.results.equals(plain.results)


def test_a_sweep_without_a_plan_has_no_looks(make_sweep: Callable[..., Path], quick: None) -> None:
    sweep_dir = make_sweep(World(questions=24))
    (sweep_dir / plan_log.NAME).unlink()
    assert load([sweep_dir]).looks is None
    write_report([sweep_dir])
    assert not (sweep_dir / plan_log.NAME).exists()


def test_looks_at_more_seeds_than_planned_are_told(
    make_sweep: Callable[..., Path], quick: None
) -> None:
    sweep_dir = planned(make_sweep(World(questions=24), seeds=(0, 1, 2, 3, 4)), 3)
    plan_log.add_look(sweep_dir, [4])
    told = write_report([sweep_dir])
    assert told.warnings[0].startswith("2 seeds more than the 3 planned")


def test_a_number_of_seeds_changed_after_results_is_told_with_the_looks(
    make_sweep: Callable[..., Path], quick: None
) -> None:
    sweep_dir = planned(make_sweep(World(questions=24), seeds=(0, 1, 2, 3)), 3)
    plan_log.add_look(sweep_dir, [3])
    plan = json.loads((sweep_dir / "points.json").read_text())
    stays = write_report([sweep_dir]).warnings[0]
    assert not load([sweep_dir]).looks.is_changed
    plan_log.add(sweep_dir, logged(plan, 8, 4))
    assert load([sweep_dir]).looks.is_changed
    changed = write_report([sweep_dir]).warnings[0]
    assert "former number" in changed and changed not in stays


@pytest.mark.parametrize("line", [b"garbage\n", b"\xff\xfe\n"])
def test_a_plan_that_cannot_be_read_is_warned_of(
    make_sweep: Callable[..., Path], quick: None, line: bytes
) -> None:
    sweep_dir = planned(make_sweep(World(questions=24)), 5)
    with (sweep_dir / plan_log.NAME).open("ab") as file:
        file.write(line)
    told = write_report([sweep_dir])
    assert told.warnings[0].startswith("plan.jsonl cannot be read")
    assert (sweep_dir / plan_log.NAME).read_bytes().endswith(line)


def test_the_primary_measure_is_what_a_report_is_on(
    make_sweep: Callable[..., Path], quick: None
) -> None:
    sweep_dir = make_sweep(World(questions=24))
    plan = json.loads((sweep_dir / "points.json").read_text())
    by_default = load([sweep_dir])
    assert (by_default.measure, by_default.primary) == ("RR@10", "RR@10")
    (sweep_dir / plan_log.NAME).unlink()
    plan_log.add(sweep_dir, logged(plan, primary="nDCG@10"))
    made = write_report([sweep_dir])
    assert load([sweep_dir]).stated.before and made.figure.parent == sweep_dir
    mono = made.results[made.results["setting"] == "monolingual"]
    assert set(mono["measure"]) == {"nDCG@10"} and "baseline" in set(mono["verdict"])
    other = write_report([sweep_dir], measure="RR@10")
    assert other.figure.parent == sweep_dir / "by-RR@10"
    assert not load([sweep_dir], measure="RR@10").stated.before


def test_shapes_and_comparisons_hold_over_all_looks(
    make_sweep: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slope, band and reversal of a curve, and the differences of two sweeps, at an interim look and
    at a single one: the same values, wider intervals, larger p.
    """
    monkeypatch.setattr(simultaneous, "DRAWS", simultaneous.CHUNK)
    tables = []
    for number in (3, 5):
        sweeps = []
        for name, spread in (("one", 0.15), ("other", 0.2)):
            folder = make_sweep(World(questions=24, noise=spread), name=name)
            sweeps.append(load([planned(folder, number)]))
            shutil.rmtree(folder.parents[1])
        rows = derived(sweeps[0], aggregate(sweeps[0]))
        rows = rows[rows["statistic"].isin(["slope", "band", "reversal"])]
        pairs = compare(sweeps, [[], []]).table
        tables.append([rows, pairs[pairs["statistic"] == "difference"]])
    for single, interim in zip(*tables, strict=True):
        crossed = single["interval"].isin(["crossed", "simultaneous"]) & (single["value"] != 0)
        crossed &= (single["high"] - single["low"]) > 0
        before, after = single[crossed], interim[crossed]
        assert crossed.sum() > 5 and before["value"].equals(after["value"])
        width = [table["high"] - table["low"] for table in (before, after)]
        assert (width[1] > width[0]).all()
        tested = before["p"].between(0.001, 0.9)
        assert tested.any() and (after["p"][tested] > before["p"][tested]).all()


def test_a_pooled_report_is_a_look_at_each_of_its_sweeps(
    make_sweep: Callable[..., Path], quick: None, tmp_path: Path
) -> None:
    first = planned(make_sweep(World(questions=24), seeds=(0, 1)), 4)
    other = first.with_name("more")
    shutil.copytree(first, other)
    plan = json.loads((other / "points.json").read_text())
    for point in plan["points"]:
        if point["kind"] == "trained":
            point["seed"] += 2
            point["run_id"] = f"x{point['run_id']}"
            write_run(first.parents[1], World(questions=24), point)
    plan["points"] = [point for point in plan["points"] if point["kind"] == "trained"]
    (other / "points.json").write_text(json.dumps(plan | {"name": "more"}))
    write_report([first, other])
    assert plan_log.read(first).looks == plan_log.read(other).looks == (4,)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_sweep_that_is_published_was_looked_at(
    make_sweep: Callable[..., Path], tmp_path: Path
) -> None:
    sweep_dir = planned(make_sweep(World(questions=24), seeds=(0, 1, 2)), 5)
    publish.freeze(sweep_dir, tmp_path / "published")
    assert plan_log.read(tmp_path / "published").looks == plan_log.read(sweep_dir).looks == (3,)
