"""A search of settings on the split dev, by Optuna: which trials there are, and what came of them.

Which trial comes next follows from a seed and the results before it alone, and these lie in the
folders of the runs. The same command chooses the same trials again, finds those that are done, and
goes on; it reads nothing from the table of the trials.
"""

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hybrid_sweep.config.schema import Config
from hybrid_sweep.sweeps import scheduler, search_table
from hybrid_sweep.sweeps.forks import Servers
from hybrid_sweep.sweeps.point_list import Point, check, expand, is_done, state_of
from hybrid_sweep.sweeps.search_check import Compose, Goal
from hybrid_sweep.sweeps.search_space import Search, ValueList, Words
from hybrid_sweep.sweeps.search_table import Trial
from hybrid_sweep.utils import records
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError

Launch = Callable[[Sequence[Sequence[str]], int], Any]


class SearchTask:
    """What Hydra calls for a search: its sweeper for the trials, its launchers for their runs.

    points: the configs of the runs so far, by their words. trials: those that have ended.
    """

    def __init__(
        self, search: Search, goal: Goal, compose: Compose, corners: Sequence[Point]
    ) -> None:
        self.points: dict[Words, Config] = {}
        self.trials: list[Trial] = []
        self._search = search
        self._goal = goal
        self._compose = compose
        self._corners = corners

    def __call__(self, node: Any) -> None:
        scheduler.task(node, self.servers)

    def __reduce__(self) -> tuple[Any, ...]:
        return scheduler.plain_task, ()

    @functools.cached_property
    def servers(self) -> Servers | None:
        """Return what the workers of all trials are forked from, begun with the first that runs."""
        return scheduler.begin_servers(self._corners)

    def close(self) -> None:
        """End what workers are forked from."""
        servers = self.__dict__.get("servers")
        if servers is not None:
            servers.close()

    def search(self, launch: Launch) -> list[Trial]:
        """Return the trials, after running those that are not done.

        launch: starts runs, given their words and the number of runs before them, and returns when
        they have ended.
        """
        study, distributions = _study(self._search)
        ends = [point.run_id for point in self._corners]
        search_table.claim(self._search, self._goal, ends)
        started = 0
        while len(self.trials) < self._search.trials and not self._is_stopped:
            number = min(self._search.at_once, self._search.trials - len(self.trials))
            asked = [study.ask(distributions) for _ in range(number)]
            values = [self._values(trial.params) for trial in asked]
            planned = [self._points(one) for one in values]
            waiting = _waiting([point for points, _ in planned for point in points])
            if waiting:
                launch([list(words) for words in waiting], started)
                started += len(waiting)
            for trial, one, (points, refusal) in zip(asked, values, planned, strict=True):
                ended = self._result(one, points, refusal)
                _tell(study, trial, ended.value)
                say(trial_line(ended, self._search.trials, self.trials))
                self.trials.append(ended)
            search_table.write(self.trials, self._goal.folder)
        return self.trials

    @property
    def _is_stopped(self) -> bool:
        return self._goal.stops and any(trial.value is None for trial in self.trials)

    def _values(self, drawn: Mapping[str, Any]) -> dict[str, str]:
        space = self._search.space
        return {key: space[key].value(drawn[key]) for key in space}

    def _points(self, values: Mapping[str, str]) -> tuple[list[Point], str]:
        """Return the runs of a trial; none, and why, where its settings are refused."""
        points = []
        for words in self._search.words_of(values):
            try:
                config = self._compose(words)
                made = expand([(words, config)], say)
                check(made)
            except UserError as error:
                return [], str(error)
            self.points[words] = config
            points += made
        return points, ""

    def _result(self, values: Mapping[str, str], points: Sequence[Point], refusal: str) -> Trial:
        """Return what came of a trial, from the files of its runs."""
        number = len(self.trials)
        run_ids = tuple(point.run_id for point in points)
        if refusal:
            return Trial(number, values, None, run_ids, refusal)
        scores = []
        for point in points:
            if not is_done(point):
                return Trial(number, values, None, run_ids, state_of(point).reason)
            score = (records.metrics(point.run_dir) or {}).get(self._goal.metric)
            if score is None:
                reason = f"{point.run_id} has no {self._goal.metric}"
                return Trial(number, values, None, run_ids, reason)
            scores.append(float(score))
        return Trial(number, values, statistics.fmean(scores), run_ids)


def _waiting(points: Sequence[Point]) -> list[Words]:
    """Return the words of the runs that are not done, each run once."""
    waiting = {}
    for point in points:
        if not is_done(point):
            waiting[point.run_id] = point.overrides
    return list(waiting.values())


def _study(search: Search) -> tuple[Any, dict[str, Any]]:
    """Return Optuna's study of a search, and the distributions that it draws from."""
    import optuna
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if search.sampler == "random":
        sampler: Any = optuna.samplers.RandomSampler(seed=search.seed)
    else:
        sampler = optuna.samplers.TPESampler(seed=search.seed, constant_liar=True)
    distributions: dict[str, Any] = {}
    for key, part in search.space.items():
        if isinstance(part, ValueList):
            distributions[key] = CategoricalDistribution(part.values)
        elif part.is_whole:
            distributions[key] = IntDistribution(int(part.low), int(part.high), log=part.is_log)
        else:
            distributions[key] = FloatDistribution(part.low, part.high, log=part.is_log)
    return optuna.create_study(direction="maximize", sampler=sampler), distributions


def _tell(study: Any, trial: Any, value: float | None) -> None:
    """Tell Optuna what came of a trial."""
    from optuna.trial import TrialState

    if value is None:
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, value)


def best(trials: Sequence[Trial]) -> Trial | None:
    """Return the first trial with the highest value; None where none has one."""
    ended = [trial for trial in trials if trial.value is not None]
    return max(ended, key=lambda trial: trial.value or 0.0, default=None)


def trial_line(trial: Trial, trials: int, before: Sequence[Trial]) -> str:
    """Return a trial in words, beside those before it."""
    words = " ".join(f"{key}={value}" for key, value in trial.values.items())
    line = f"trial {trial.number + 1} of {trials}: {words}: "
    if trial.value is None:
        return f"{line}no result ({trial.reason})"
    line += f"{trial.value:.4f}"
    for other in before:
        if set(other.run_ids) == set(trial.run_ids):
            return f"{line} (the runs of trial {other.number + 1})"
    return line
