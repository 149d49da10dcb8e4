"""A sweep that adds seeds until its verdicts are settled: what each round runs, from the files
alone.
"""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import looks as simulated
from hybrid_sweep.commands import rounds, sweep_verbs
from hybrid_sweep.commands.rounds import Round, next_round
from hybrid_sweep.report.load import load
from hybrid_sweep.utils import plan_log
from hybrid_sweep.utils.errors import UserError
from tests.report.conftest import World, logged, write_run, write_sweep


@pytest.fixture
def sweep_dir(tmp_path: Path) -> Path:
    """Three seeds of three ratios, of at most six; r = 1 loses about the margin."""
    folder = write_sweep(tmp_path, World(questions=60), margin=0.02)
    return sequential(folder, 6)


def sequential(folder: Path, most: int) -> Path:
    """A sweep whose record says that it ends where its verdicts are settled."""
    (folder / plan_log.NAME).unlink()
    line = logged(json.loads((folder / "points.json").read_text()), 0, most)
    plan_log.add(folder, line | {"sequential": True})
    return folder


def add(folder: Path, following: dict[int, list[float]], *, finished: bool = True) -> None:
    """Add the points of a round to a sweep, and run them."""
    path = folder / "points.json"
    plan = json.loads(path.read_text())
    for seed, ratios in following.items():
        for ratio in ratios:
            run_id = f"t{round(ratio * 100):03d}s{seed}"
            point = {"run_id": run_id, "ratio": ratio, "seed": seed, "kind": "trained"}
            point["overrides"] = []
            plan["points"].append(point)
            if finished:
                write_run(folder.parents[1], World(questions=60), point)
    path.write_text(json.dumps(plan))


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> dict[float, str]:
    """The verdicts of ratios, in place of those of their rows."""
    given: dict[float, str] = {}
    picked = rounds.picked

    def changed(*args: Any) -> list[Any]:
        rows = picked(*args)
        for row in rows:
            if row["ratio"] in given:
                row |= {"verdict": given[row["ratio"]], "seeds_to_settle_low": 5.0}
        return rows

    monkeypatch.setattr(rounds, "picked", changed)
    return given


def test_seeds_that_ratio_0_lacks_are_its_next_ones(
    sweep_dir: Path, verdicts: dict[float, str]
) -> None:
    """A verdict is over common seeds: three of r = 1's five."""
    verdicts |= {0.5: "non-inferior", 1.0: "inconclusive"}
    add(sweep_dir, {3: [1.0], 4: [1.0]})
    assert next_round(sweep_dir, 5).ratios == {3: [0.0]}
    add(sweep_dir, {3: [0.0], 4: [0.0]})
    assert next_round(sweep_dir, 5).ratios == {}
    assert next_round(sweep_dir, 6).ratios == {5: [0.0, 1.0]}


def test_ratios_that_are_open_get_a_seed_with_ratio_0(
    sweep_dir: Path, verdicts: dict[float, str]
) -> None:
    verdicts |= {0.5: "non-inferior", 1.0: "inconclusive"}
    first = next_round(sweep_dir, 6)
    assert first.ratios == {3: [0.0, 1.0]}
    assert next_round(sweep_dir, 6) == first  # from the files alone
    assert plan_log.read(sweep_dir).looks == (3,)
    add(sweep_dir, first.ratios)
    # now the other is open: it lacks a seed that ratio 0 has already
    verdicts |= {0.5: "inconclusive", 1.0: "degraded"}
    second = next_round(sweep_dir, 6)
    assert second.ratios == {3: [0.5]} and plan_log.read(sweep_dir).looks == (3, 4)
    add(sweep_dir, second.ratios)
    verdicts |= {1.0: "inconclusive"}
    assert next_round(sweep_dir, 6).ratios == {4: [0.0, 0.5, 1.0]}
    assert next_round(sweep_dir, 4).ratios == {}
    verdicts |= {0.5: "superior", 1.0: "degraded"}
    assert next_round(sweep_dir, 6).ratios == {}


def test_a_round_that_was_stopped_comes_first(sweep_dir: Path, verdicts: dict[float, str]) -> None:
    verdicts |= {0.5: "inconclusive", 1.0: "inconclusive"}
    add(sweep_dir, {3: [0.0]})
    add(sweep_dir, {3: [0.5, 1.0]}, finished=False)
    assert next_round(sweep_dir, 6).ratios == {3: [0.5, 1.0]}
    assert plan_log.read(sweep_dir).looks == ()  # nothing was tested


def test_what_needs_questions_gets_no_seeds(sweep_dir: Path) -> None:
    """Sixty questions times the margin are below 3: no number of seeds settles it."""
    assert next_round(sweep_dir, 6).ratios == {}
    assert load([sweep_dir]).looks.sequential


def test_verdicts_are_those_on_the_primary_measure(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path, World(questions=400), margin=0.9)
    (folder / plan_log.NAME).unlink()
    line = logged(json.loads((folder / "points.json").read_text()), 0, 6, "nDCG@10")
    plan_log.add(folder, line | {"sequential": True})
    assert next_round(folder, 6).reason == "settled: every ratio has its verdict, with 3 seeds"


def test_ratios_without_ratio_0_are_not_called_settled(
    sweep_dir: Path, verdicts: dict[float, str]
) -> None:
    verdicts |= {0.5: "untested", 1.0: "degraded"}
    ended = next_round(sweep_dir, 3)
    assert ended.ratios == {} and "r = 0.5 open" in ended.reason


def test_a_look_waits_for_the_lock_of_the_sweep(
    sweep_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sweep_dir / "lock").touch()
    held: list[Path] = []

    def exclusive(path: Path, *_: Any) -> Any:
        held.append(path)
        return nullcontext()

    monkeypatch.setattr(rounds, "exclusive", exclusive)
    next_round(sweep_dir, 6)
    assert held == [sweep_dir / "lock"]


def test_the_words_of_a_round_have_its_ratios_and_its_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = [Round({3: [0.0, 1 / 3], 2: [0.5]}, "open"), Round({}, "settled")]
    asked: list[list[str]] = []

    def run_points(args: Any, ordered: list[str], command: str, *, shows_plan: bool) -> Any:
        assert command == "typed" and not shows_plan
        asked.append(ordered)
        return [], 0

    monkeypatch.setattr(rounds, "next_round", lambda *_: script.pop(0))
    monkeypatch.setattr(sweep_verbs, "_run_points", run_points)
    config = SimpleNamespace(sweep=SimpleNamespace(max_seeds=6))
    points: Any = [SimpleNamespace(config=config, sweep_dir=tmp_path)]
    overrides = ["batch.cross_lingual_ratio=0,0.5,1", "trainer.lr=1e-3", "seed=0,1,2"]
    assert sweep_verbs._rounds(points, (["-m"], overrides), "typed") == 0
    assert asked == [
        ["-m", "trainer.lr=1e-3", f"batch.cross_lingual_ratio=0.0,{1 / 3!r}", "seed=3"],
        ["-m", "trainer.lr=1e-3", "batch.cross_lingual_ratio=0.5", "seed=2"],
    ]
    other = SimpleNamespace(config=config, sweep_dir=tmp_path / "other")
    with pytest.raises(UserError) as refused:
        sweep_verbs._rounds([*points, other], ([], []), "typed")
    assert refused.value.key == "config.sweep.until"


def test_error_rates_of_sequential_sweeps_hold_and_trainings_are_saved() -> None:
    """A true loss of the margin, over all looks from 3 to 20 seeds; and none."""
    rng = np.random.default_rng(6)
    truth = (4.0, 2.0)
    draws = simulated.drawn((20, tuple(range(3, 21))), truth, 1_500, rng)
    margin = simulated.margin_of(truth)
    at_margin = simulated.sequential(draws, margin, margin)
    assert at_margin.holds.mean() <= 0.055
    without = simulated.sequential(draws, 0.0, margin)
    fixed = simulated.fixed_seeds(draws, margin, float(without.holds.mean()))
    assert without.trainings < 0.75 * fixed * (simulated.RATIOS + 1)
    # without spending, the same looks would not hold
    crossed = np.zeros(draws.t.shape[1:], dtype=bool)
    for place in range(len(draws.counts)):
        crossed |= simulated.crosses(draws, place, 0.05, None)
    assert crossed.mean() > 0.08


@pytest.mark.parametrize("words", [("sweep.until=settled", "sweep.seeds_planned=5")])
def test_seeds_are_stated_once(words: tuple[str, ...]) -> None:
    from hybrid_sweep.config import compose

    with pytest.raises(UserError) as refused:
        compose.points(["experiment=smoke", *words], multirun=False)
    assert refused.value.key == "config.sweep.seeds_planned"


def test_a_sweep_without_ratio_0_is_never_settled() -> None:
    from hybrid_sweep.config import compose

    words = ["experiment=smoke", "sweep.until=settled", "seed=0", "batch.cross_lingual_ratio=0.5,1"]
    with pytest.raises(UserError) as refused:
        sweep_verbs._check_sequential(compose.points(words, multirun=True))
    assert refused.value.key == "config.sweep.until"
    words[-1] = "batch.cross_lingual_ratio=0,1"
    sweep_verbs._check_sequential(compose.points(words, multirun=True))
