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
from hybrid_sweep.sweeps import point_list, search, search_check
from hybrid_sweep.sweeps.search_space import search_of
from hybrid_sweep.sweeps.search_table import Trial
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
    config = compose.point(words)
    [point] = point_list.expand([(words, config)], print)
    return point


@pytest.fixture
def runs(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    made = Runs()

    def by_folder(folder: Path) -> dict[str, float] | None:
        if folder.name not in made.scores:
            return None
        return {"monolingual/RR@10": made.scores[folder.name]}

    monkeypatch.setattr(search, "is_done", lambda point: point.run_id in made.scores)
    monkeypatch.setattr(records, "metrics", by_folder)
    return made


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., search.SearchTask]:
    def make(*words: str) -> search.SearchTask:
        fixed = ["hydra/sweeper=optuna", "experiment=smoke", "eval.split=dev"]
        every = [*fixed, f"paths.outputs={tmp_path}", "batch.cross_lingual_ratio=0,0.5,1", *words]
        wanted = search_of(*compose.searched(every))
        corners = search_check.corner_configs(wanted, compose.point)
        goal = search_check.goal_of([config for _, config in corners])
        points = search_check.check_corners(corners, goal.metric)
        return search.SearchTask(wanted, goal, compose.point, points)

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
    other = task(*words, "hydra.sweeper.seed=1", "sweep.name=other").search(runs.launch)
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
        (
            [LR, "eval.measures=[LPR]", "eval.dev_metric=monolingual/LPR"],
            "config.eval.dev_metric",
            "monolingual/LPR",
        ),
        ([LR, "eval.dev_metric=multilingual/same@10"], "search.direction", "same@10"),
        (
            [LR, "eval.measures=[Max@R]", "eval.dev_metric=multilingual/Max@R"],
            "search.direction",
            "Max@R",
        ),
        ([LR, "sweep.until=settled"], "config.sweep.until", "settled"),
        ([LR, "sweep.name=s-${trainer.lr}"], "search.several_goals", "sweep.name"),
        (
            ["trainer.max_steps=interval(3,5)"],
            "config.trainer.max_steps",
            "int(interval(LOW,HIGH))",
        ),
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
    monkeypatch.setattr(search_check.importlib.util, "find_spec", lambda name: None)
    with refused("install.optuna", "hybrid-sweep[optuna]"):
        task(LR)


def test_where_no_trial_has_a_result_none_is_the_best() -> None:
    assert search.best([Trial(0, {}, None, ())]) is None


def test_a_trial_whose_settings_are_refused_is_told_and_the_search_goes_on(
    runs: Any, task: Any
) -> None:
    """Both ends of the interval are fine: heads must divide the hidden size."""
    words = [LR, "seed=0", "model.hidden_size=int(interval(32,64))", "hydra.sweeper.n_trials=6"]
    trials = task(*words).search(runs.launch)
    assert len(trials) == 6
    refused_ones = [one for one in trials if one.value is None]
    assert refused_ones and all("model.heads" in one.reason for one in refused_ones)


def test_no_further_trial_starts_after_a_failure_where_that_is_asked_for(
    runs: Any, task: Any
) -> None:
    runs.fails = lambda words: len(runs.started) == 3
    words = [LR, "seed=0", "hydra.sweeper.n_jobs=1", "sweep.on_failure=stop"]
    trials = task(*words).search(runs.launch)
    assert [one.value is None for one in trials] == [False, False, True]
    assert trials[-1].reason


def test_a_run_without_the_metric_is_told(
    runs: Any, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "metrics", lambda folder: {"monolingual/RR@10": None})
    [trial] = task(LR, "seed=0", "hydra.sweeper.n_trials=1").search(runs.launch)
    assert trial.value is None and "monolingual/RR@10" in trial.reason


def test_a_folder_is_that_of_one_search(runs: Any, task: Any, tmp_path: Path) -> None:
    words = [LR, "seed=0", "hydra.sweeper.n_trials=4"]
    task(*words).search(runs.launch)
    table = (tmp_path / "searches" / "smoke" / "trials.csv").read_bytes()
    with refused("search.other", "sweep.name"):
        task(*words, "hydra.sweeper.n_jobs=3").search(runs.launch)
    with refused("search.other", "sweep.name"):
        task("trainer.warmup=0,0.1", "seed=0").search(runs.launch)
    with refused("search.other", "sweep.name"):
        task(*words, "trainer.weight_decay=0.5").search(runs.launch)
    (tmp_path / "searches" / "smoke" / "trials.csv").write_bytes(b"")  # the runs are what counts
    task(*words, "sweep.max_parallel=1", "logger=disabled").search(runs.launch)
    task(*words, "hydra.sweeper.n_trials=2").search(runs.launch)
    assert (tmp_path / "searches" / "smoke" / "trials.csv").read_bytes() == table


def test_the_metric_is_the_one_of_the_words_for_a_model_without_training_too() -> None:
    words = ["data=synthetic", "model=bm25", "eval.split=dev", "eval.dev_metric=multilingual/AP"]
    words += ["hydra/sweeper=optuna", "model.k1=interval(0.5,2)", "batch.cross_lingual_ratio=0"]
    wanted = search_of(*compose.searched(words))
    corners = search_check.corner_configs(wanted, compose.point)
    assert search_check.goal_of([config for _, config in corners]).metric == "multilingual/AP"


def test_equal_trials_name_the_first() -> None:
    first = Trial(0, {"a": "1"}, 0.5, ("x", "y"))
    again = Trial(1, {"a": "1"}, 0.5, ("y", "x"))
    assert "trial 1" not in search.trial_line(first, 3, [])[10:]
    assert "trial 1" in search.trial_line(again, 3, [first])[10:]
