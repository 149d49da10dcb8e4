"""Sweeps over a setting in which they differ: the numbers against pandas, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.commands import report_verbs
from hybrid_sweep.report.foreign import report as foreign
from hybrid_sweep.report.foreign.axis import axis_of
from hybrid_sweep.report.load import load
from hybrid_sweep.utils import plan_log
from tests.refused import refused
from tests.report.comparison.pairs_of_sweeps import configured, marked
from tests.report.folders import edit, runs_of
from tests.report.test_clusters import cluster_of, keep
from tests.report.test_looks import planned


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the figure, which takes most of the time."""
    monkeypatch.setattr(foreign, "save", lambda figure, folder, name: _drawn(folder, name))


def _drawn(folder: Path, name: str) -> tuple[Path, ...]:
    paths = tuple(folder / f"{name}.{kind}" for kind in ("png", "pdf", "svg"))
    for path in paths:
        path.write_text("drawn")
    return paths


def with_rate(sweep_dir: Path, rate: float) -> Path:
    """A learning rate in the configs of the trained points."""
    return configured(sweep_dir, "trainer:\n", f"trainer:\n  lr: {rate}\n")


@pytest.fixture
def rates(make: Callable[..., Path]) -> list[Path]:
    """Two sweeps that differ in the learning rate, one with other numbers."""
    return [
        with_rate(make("a"), 0.001),
        with_rate(make("b", mono=lambda ratio: 0.55 - 0.1 * ratio), 0.003),
    ]


def test_changes_equal_plain_pandas(rates: list[Path], tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    words = [*map(str, rates), "--axis", "trainer.lr", "--out", str(out)]
    assert report_verbs.report(words) == 0
    sweeps = [load([folder]).frame for folder in rates]
    for ratio in (0, 0.5, 1):
        rows = pd.read_csv(out / f"r{ratio:g}" / "results.csv", dtype={"trainer.lr": str})
        chosen = rows.query("setting == 'monolingual' and measure == 'RR@10' and scope == 'macro'")
        by_rate = chosen.set_index("trainer.lr")
        means = []
        for frame in sweeps:
            own = frame[(frame["ratio"] == ratio) & (frame["kind"] == "trained")]
            mono = own[own["setting"] == "monolingual"]
            by_language = mono.groupby(["seed", "query_lang"], observed=True)["RR@10"].mean()
            means.append(by_language.mean())
        assert by_rate["mean"]["0.001"] == pytest.approx(means[0], abs=1e-8)
        assert by_rate["delta"]["0.003"] == pytest.approx(means[1] - means[0], abs=1e-8)
        assert by_rate["delta_seeds"]["0.003"] == 3


def test_the_report_is_in_the_first_folder_and_missing_points_are_told(
    rates: list[Path], capsys: Any
) -> None:
    gone = runs_of(rates[1]) / "bt100s2"
    (gone / "metrics.json").unlink()
    words = [*map(str, rates), "--axis", "trainer.lr"]
    assert report_verbs.report(words) == 1
    out = capsys.readouterr().out
    assert "missing: trainer.lr 0.003: r = 1, seed 2" in out
    assert (rates[0] / "by-trainer.lr/r1/report.html").is_file()
    assert not list(rates[1].glob("by-*"))
    assert report_verbs.report([*words, "--allow-missing"]) == 0


def _results(rates: list[Path], folder: Path, *words: str) -> pd.Series:
    """The row of the second rate at r = 1, from a report into a folder."""
    given = [*map(str, rates), "--axis", "trainer.lr", "--out", str(folder), *words]
    assert report_verbs.report(given) == 0
    rows = pd.read_csv(folder / "r1" / "results.csv", dtype={"trainer.lr": str})
    row = rows.query("setting == 'monolingual' and measure == 'RR@10' and scope == 'macro'")
    return row.set_index("trainer.lr").loc["0.003"]


@pytest.mark.slow
def test_clusters_that_the_runs_have_kept_are_counted(rates: list[Path], tmp_path: Path) -> None:
    alone = _results(rates, tmp_path / "alone")
    for sweep_dir in rates:
        groups = sorted(set(load([sweep_dir]).frame["group_id"].astype(str)))
        by_group = {group: cluster_of(group) for group in groups}
        for run_dir in runs_of(sweep_dir).iterdir():
            keep(run_dir, by_group)
    row = _results(rates, tmp_path / "counted")
    wanted = load([rates[0]]).frame["cluster_id"].nunique()
    assert row["n_clusters"] == wanted < row["n_questions"]
    width = row["delta_high"] - row["delta_low"]
    assert width != pytest.approx(alone["delta_high"] - alone["delta_low"], rel=1e-3)
    text = (tmp_path / "counted" / "r1" / "report.md").read_text()
    assert "kept with the runs" in text and "column cluster" not in text
    off = _results(rates, tmp_path / "off", "--clusters", "none")
    assert off["delta_high"] == alone["delta_high"]
    assert "not counted" in (tmp_path / "off" / "r1" / "report.md").read_text()


@pytest.mark.slow
def test_planned_seeds_and_looks_of_the_sweeps_widen_the_intervals(
    rates: list[Path], tmp_path: Path
) -> None:
    for sweep_dir in rates:
        planned(sweep_dir, 3)
    single = _results(rates, tmp_path / "single")
    planned(rates[0], 6)
    interim = _results(rates, tmp_path / "interim")
    told = _results(rates, tmp_path / "told", "--seeds-planned", "6")
    ends = ["delta_low", "delta_high"]
    assert interim["delta_low"] < single["delta_low"]
    assert list(interim[ends]) == list(told[ends])
    plan_log.add_look(rates[1], [2])
    looks = axis_of(rates, "trainer.lr").looks
    assert looks is not None and (looks.planned, looks.taken) == (6, (2,))


def test_what_has_no_effect_where_the_weight_is_0_is_no_second_difference(
    make: Callable[..., Path],
) -> None:
    plain, aligned, other = make("a"), make("b"), make("c")
    for folder, weight, of in ((aligned, 0.2, "passages"), (other, 0.4, "queries")):
        loss = f"loss:\n  alignment:\n    weight: {weight}\n    of: {of}\ntrainer:\n"
        configured(folder, "trainer:\n", loss)
    rows = axis_of([plain, aligned], "loss.alignment.weight").rows
    assert sorted(set(rows["loss.alignment.weight"])) == ["0.0", "0.2"]
    with refused("report.axis_confounded", "loss.alignment.of"):
        axis_of([plain, aligned, other], "loss.alignment.weight")


def test_the_content_of_a_teacher_is_no_second_difference_where_its_weight_is_0(
    make: Callable[..., Path],
) -> None:
    plain, taught, more = make("a"), make("b"), make("c")
    for folder, weight, loss in ((taught, 0.2, "kl"), (more, 0.4, "kl")):
        words = f"loss:\n  distillation:\n    weight: {weight}\n    loss: {loss}\ntrainer:\n"
        configured(folder, "trainer:\n", words)
        marked(folder, teacher="t")
    rows = axis_of([plain, taught, more], "loss.distillation.weight").rows
    assert sorted(set(rows["loss.distillation.weight"])) == ["0.0", "0.2", "0.4"]
    marked(more, teacher="u")
    with refused("report.axis_confounded", "fingerprint of teacher"):
        axis_of([plain, taught, more], "loss.distillation.weight")


def test_sweeps_that_cannot_be_compared_over_a_setting_are_refused(
    rates: list[Path], make: Callable[..., Path]
) -> None:
    with refused("report.axis", "nothing.there"):
        axis_of(rates, "nothing.there")
    for varied in ("seed", "batch.cross_lingual_ratio"):
        with refused("report.axis", "varies it by itself"):
            axis_of(rates, varied)
    with refused("report.axis_twice", "seed 0"):
        axis_of([*rates, rates[1]], "trainer.lr")
    with refused("report.axis_one_level", "trainer.max_steps"):
        axis_of(rates, "trainer.max_steps")
    with refused("report.axis_one_level", "trainer.lr"):
        axis_of(rates[:1], "trainer.lr")
    with refused("report.axis_confounded", "trainer.lr"):
        axis_of(
            [rates[0], configured(rates[1], "max_steps: ", "max_steps: 1")], "trainer.max_steps"
        )
    data = marked(with_rate(make("d"), 0.01), collection="other")
    with refused("report.axis_confounded", "collection"):
        axis_of([rates[0], data], "trainer.lr")
    margin = with_rate(make("e"), 0.02)
    edit(margin / "points.json", lambda plan: plan.update(margin=0.02))
    with refused("report.axis_margins", "0.01", "0.02"):
        axis_of([rates[0], margin], "trainer.lr")
