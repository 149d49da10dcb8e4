"""A search through the command line: what plan says, what run leaves behind, and the exit codes."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.commands import sweep_verbs
from hybrid_sweep.sweeps import search
from hybrid_sweep.sweeps.search_table import Trial
from tests.refused import refused
from tests.test_end_to_end import WORDS, cli

LR = "trainer.lr=tag(log,interval(1e-4,1e-2))"
SEARCH = ["-m", "hydra/sweeper=optuna", *WORDS, "eval.split=dev", "sweep.name=rates", LR]


def test_plan_says_what_is_searched_and_starts_nothing(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sweep_verbs.plan([*SEARCH, "batch.cross_lingual_ratio=0,1", "seed=0,1"]) == 0
    told = capsys.readouterr().out
    for fact in ("rates", "20 trials", "monolingual/RR@10", "0.0001 to 0.01", "0, 1", "seed 0, 1"):
        assert fact in told
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(("values", "code"), [([0.5, None], 1), ([0.5, 0.6], 0)])
def test_the_exit_code_says_whether_a_trial_failed(
    values: list[float | None],
    code: int,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: Any,
) -> None:
    def ends(words: list[str], task: search.SearchTask) -> None:
        for number, value in enumerate(values):
            task.trials.append(Trial(number, {"trainer.lr": f"0.00{number}"}, value, ()))

    monkeypatch.setattr(sweep_verbs, "_hand_over", ends)
    monkeypatch.chdir(tmp_path)
    assert sweep_verbs.run([*SEARCH, "batch.cross_lingual_ratio=0,1"]) == code
    told = capsys.readouterr().out
    best = max(value for value in values if value is not None)
    assert f"{best:.4f}" in told and "trials.csv" in told


EXPERIMENT = """\
# @package _global_
defaults:
  - override /hydra/sweeper: optuna
  - override /data: synthetic
hydra:
  mode: MULTIRUN
  sweeper:
    n_trials: 3
    params:
      trainer.lr: tag(log,interval(1e-4,1e-2))
      batch.cross_lingual_ratio: 0,1
"""


def test_an_experiment_of_ones_own_may_be_a_search(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """With its mode and an interval among its parameters, with -m and without."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(EXPERIMENT)
    words = ["--config-dir", "own", "experiment=mine", "eval.split=dev", "sweep.name=mine"]
    told = []
    for more in ([], ["-m"]):
        assert sweep_verbs.plan([*more, *words]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] and "3 trials" in told[0] and "0.0001 to 0.01" in told[0]


def test_plan_has_no_power_of_a_search(cache: Path) -> None:
    with refused("search.power", "--power"):
        sweep_verbs.plan(["--power", *SEARCH])


def test_a_search_of_one_run_is_refused(cache: Path) -> None:
    words = [word for word in SEARCH if word not in ("-m", LR)]
    for verb in (sweep_verbs.plan, sweep_verbs.run):
        with refused("search.single", "add -m"):
            verb(words)


def test_plan_of_texts_that_are_not_here_says_how_to_get_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", "hydra/sweeper=optuna", "data=neumarco", "batch.cross_lingual_ratio=1", LR]
    assert sweep_verbs.plan([*words, "eval.split=dev", f"paths.cache={tmp_path}"]) == 0
    told = capsys.readouterr().out
    assert "hybrid-sweep data prepare neumarco" in told and "20 trials" in told


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["local", "basic"])
def test_a_search_goes_on_with_more_trials(cache: Path, tmp_path: Path, launcher: str) -> None:
    words = [*SEARCH, "batch.cross_lingual_ratio=0.5", "seed=0", f"hydra/launcher={launcher}"]
    slots = {"HYBRID_SWEEP_SLOTS": str(tmp_path / "slots")}
    cli("run", *words, "hydra.sweeper.n_trials=2", cwd=tmp_path, **slots)
    place = tmp_path / "outputs" / "searches" / "rates" / "trials.csv"
    first = pd.read_csv(place)
    runs = tmp_path / "outputs" / "runs"
    logs = {name: (runs / name / "log.txt").read_bytes() for name in first["run_ids"]}
    cli("run", *words, "hydra.sweeper.n_trials=3", cwd=tmp_path, **slots)
    table = pd.read_csv(place)
    pd.testing.assert_frame_equal(table.head(2), first)
    assert len(table) == 3 and table["value"].between(0, 1).all()
    assert {path.name for path in runs.iterdir()} == set(table["run_ids"])
    for name, log in logs.items():
        assert (runs / name / "log.txt").read_bytes() == log
