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
from tests.refused import refused
from tests.report.comparison.pairs_of_sweeps import configured, marked
from tests.report.folders import edit, runs_of


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


def test_sweeps_that_cannot_be_compared_over_a_setting_are_refused(
    rates: list[Path], make: Callable[..., Path]
) -> None:
    with refused("report.axis", "nothing.there"):
        axis_of(rates, "nothing.there")
    with refused("report.axis", "seed"):
        axis_of(rates, "seed")
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
