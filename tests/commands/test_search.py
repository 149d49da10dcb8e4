"""A search through the command line: what plan says, what run leaves behind, and the exit codes."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.commands import sweep_verbs
from hybrid_sweep.sweeps import search
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
            task.trials.append(search.Trial(number, {"trainer.lr": f"0.00{number}"}, value, ()))

    monkeypatch.setattr(sweep_verbs, "_hand_over", ends)
    monkeypatch.chdir(tmp_path)
    assert sweep_verbs.run([*SEARCH, "batch.cross_lingual_ratio=0,1"]) == code
    told = capsys.readouterr().out
    best = max(value for value in values if value is not None)
    assert f"{best:.4f}" in told and "trials.csv" in told


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
