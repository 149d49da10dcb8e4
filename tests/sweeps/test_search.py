"""Which trials a search makes, that it goes on where it was stopped, and what it writes.

The runs are stand-ins: what a trial gives is a function of its learning rate.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.config import compose
from hybrid_sweep.sweeps import point_list, search
from hybrid_sweep.sweeps.search_space import search_of
from hybrid_sweep.utils import records
from tests.refused import refused

LR = "trainer.lr=tag(log,interval(1e-5,1e-1))"
BEST = 3e-3


class Runs:
    """Runs that end at once. scores: by run id. started: their words, in order."""

    def __init__(self) -> None:
        self.scores: dict[str, float] = {}
        self.started: list[tuple[str, ...]] = []
        self.stop_after = math.inf
        self.fails: Callable[[tuple[str, ...]], bool] = lambda words: False

    def launch(self, jobs: Sequence[Sequence[str]], started: int) -> None:
        assert 0 <= started <= len(self.started)
        for words in jobs:
            if len(self.started) >= self.stop_after:
                raise KeyboardInterrupt
            self.started.append(tuple(words))
            if self.fails(tuple(words)):
                continue
            point = point_of(tuple(words))
            rate = point.config.trainer.lr
            ratio = point.config.batch.cross_lingual_ratio
            distance = math.log10(rate / BEST) ** 2 / 20 + ratio / 50
            self.scores[point.run_id] = 0.8 - distance - point.config.seed / 1000


def point_of(words: tuple[str, ...]) -> point_list.Point:
    [(_, config)] = compose.points(words, multirun=False)
    [point] = point_list.expand([(words, config)], print)
    return point


@pytest.fixture
def runs(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    made = Runs()
    by_folder = lambda folder: {"monolingual/RR@10": made.scores[folder.name]}  # noqa: E731
    monkeypatch.setattr(search, "is_done", lambda point: point.run_id in made.scores)
    monkeypatch.setattr(records, "metrics", by_folder)
    return made


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., search.SearchTask]:
    def make(*words: str) -> search.SearchTask:
        fixed = ["hydra/sweeper=optuna", "experiment=smoke", "eval.split=dev"]
        every = [*fixed, f"paths.outputs={tmp_path}", "batch.cross_lingual_ratio=0,0.5,1", *words]
        wanted = search_of(*compose.searched(every))
        composed = lambda words: compose.points(words, multirun=False)[0][1]  # noqa: E731
        return search.SearchTask(wanted, composed, search.check(wanted, composed))

    return make


def test_it_comes_near_the_best_and_the_same_words_choose_the_same(runs: Any, task: Any) -> None:
    words = [LR, "seed=0", "hydra.sweeper.n_trials=30"]
    trials = task(*words).search(runs.launch)
    best = search.best(trials)
    assert len(trials) == 30 and best is not None
    assert best.values["batch.cross_lingual_ratio"] == "0"
    assert BEST / 2 < float(best.values["trainer.lr"]) < BEST * 2
    assert best.value == max(runs.scores.values())
    before = len(runs.started)
    assert task(*words).search(runs.launch) == trials
    assert len(runs.started) == before
    other = task(*words, "hydra.sweeper.seed=1").search(runs.launch)
    assert other[0].values != trials[0].values


@pytest.mark.parametrize("stop_after", [0, 1, 5, 8])
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(
    runs: Any, task: Any, stop_after: int
) -> None:
    words = [LR, "seed=0,1", "hydra.sweeper.n_trials=8"]
    whole = task(*words).search(runs.launch)
    asked = list(runs.started)
    runs.scores.clear()
    runs.started.clear()
    runs.stop_after = stop_after
    with pytest.raises(KeyboardInterrupt):
        task(*words).search(runs.launch)
    first = list(runs.started)
    runs.stop_after = math.inf
    runs.started.clear()
    assert task(*words).search(runs.launch) == whole
    assert first + runs.started == asked


def test_more_trials_begin_with_those_before(runs: Any, task: Any) -> None:
    some = task(LR, "seed=0", "hydra.sweeper.n_trials=6").search(runs.launch)
    more = task(LR, "seed=0", "hydra.sweeper.n_trials=9").search(runs.launch)
    assert more[:6] == some and len(more) == 9


def test_a_trial_is_the_mean_over_its_runs_and_none_where_one_failed(
    runs: Any, task: Any, tmp_path: Path
) -> None:
    runs.fails = lambda words: "seed=1" in words and "batch.cross_lingual_ratio=0.5" in words
    made = task(LR, "seed=0,1", "hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=3")
    trials = made.search(runs.launch)
    failed = [one for one in trials if one.values["batch.cross_lingual_ratio"] == "0.5"]
    assert failed and all(one.value is None for one in failed)
    table = pd.read_csv(tmp_path / "searches" / "smoke" / "trials.csv")
    assert list(table.columns) == [
        "trial",
        "value",
        "batch.cross_lingual_ratio",
        "trainer.lr",
        "run_ids",
    ]
    for one, row in zip(trials, table.to_dict("records"), strict=True):
        assert row["run_ids"].split() == list(one.run_ids) and len(one.run_ids) == 2
        if one.value is None:
            assert math.isnan(row["value"])
        else:
            values = [runs.scores[run_id] for run_id in one.run_ids]
            assert row["value"] == pytest.approx(sum(values) / 2)
        assert row["trainer.lr"] == float(one.values["trainer.lr"])


def test_a_trial_is_a_run_like_that_of_a_sweep(runs: Any, task: Any) -> None:
    """Its id is that of the same point of a grid: the work is not done twice."""
    made = task(LR, "seed=0", "hydra.sweeper.n_trials=1")
    [trial] = made.search(runs.launch)
    values = [f"{key}={value}" for key, value in trial.values.items()]
    words = ("experiment=smoke", "eval.split=dev", *values, "seed=0", "sweep.name=other")
    assert point_of((*words, "sweep.bm25=false", "sweep.untrained=false")).run_id in trial.run_ids


@pytest.mark.parametrize(
    "words, key, fact",
    [
        ([LR, "eval.split=test"], "search.split", "eval.split=dev"),
        ([LR, "eval.dev_metric=monolingual/MRR"], "config.eval.dev_metric", "monolingual/MRR"),
        (["trainer.lr=interval(-1,1)"], "config.trainer.lr", "-1"),
        ([LR, "batch.size=int(interval(8,100000))"], "config.batch.size", "100000"),
    ],
)
def test_what_no_trial_could_run_is_refused_before_the_first(
    runs: Any, task: Any, words: list[str], key: str, fact: str
) -> None:
    with refused(key, fact):
        task(*words)


def test_without_optuna_it_is_said_how_to_install_it(
    runs: Any, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.importlib.util, "find_spec", lambda name: None)
    with refused("install.optuna", "hybrid-sweep[optuna]"):
        task(LR)


def test_where_no_trial_has_a_result_none_is_the_best() -> None:
    assert search.best([search.Trial(0, {}, None, ())]) is None
