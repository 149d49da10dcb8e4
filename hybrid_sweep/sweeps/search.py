"""A search of settings on the split dev, by Optuna: which trials there are, and what came of them.

Which trial comes next follows from a seed and the results before it alone, and these lie in the
folders of the runs. So a search keeps nothing of its own: the same command chooses the same trials
again, finds those that are done, and goes on.
"""

import functools
import importlib.util
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hybrid_sweep.config.schema import Config
from hybrid_sweep.inputs import prepare
from hybrid_sweep.sweeps import scheduler
from hybrid_sweep.sweeps.forks import Servers
from hybrid_sweep.sweeps.point_list import Point, expand, is_done, outputs_of
from hybrid_sweep.sweeps.point_list import check as check_plan
from hybrid_sweep.sweeps.search_space import Search, ValueList, Words
from hybrid_sweep.training import dev_history
from hybrid_sweep.utils import records
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_write

Compose = Callable[[Words], Config]
Launch = Callable[[Sequence[Sequence[str]], int], Any]

SPLIT = "dev"  # what is chosen on; the other is for what is reported


@dataclass(frozen=True)
class Trial:
    """One trial. values: of the keys that are searched, as written. value: the mean of the metric
    over its runs; None where one has no result. run_ids: of its runs.
    """

    number: int
    values: Mapping[str, str]
    value: float | None
    run_ids: tuple[str, ...]


def check(search: Search, compose: Compose) -> list[Point]:
    """Return points at the ends of what is searched, all of which could start.

    Raises:
        UserError: where Optuna is not installed, the runs would be evaluated on another split than
            dev, the metric is not known, or a point is refused.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UserError(
            "hydra/sweeper=optuna needs optuna: pip install 'hybrid-sweep[optuna]'",
            key="install.optuna",
        )
    points: list[Point] = []
    for values in search.corners():
        for words in search.words_of(values):
            config = compose(words)
            if config.eval.split != SPLIT:
                raise UserError(
                    f"hydra/sweeper=optuna: settings are chosen on the split {SPLIT}, and the split"
                    f" {config.eval.split} is for what is reported; add eval.split={SPLIT}",
                    key="search.split",
                )
            points += expand([(words, config)], say)
    for point in points:
        check_plan([point])  # one by one: they are no curve
    first = points[0].config
    languages = prepare.collection_of(first).languages
    dev_history.check_metric(first.eval.dev_metric, _metrics(first, languages))
    return points


def _metrics(config: Config, languages: Sequence[str]) -> list[str]:
    """Return the names of the means that the evaluation of a run writes."""
    names = dev_history.metric_names(languages)
    for setting in ("monolingual", "cross-lingual", "multilingual"):
        names += [f"{setting}/{measure}" for measure in config.eval.measures]
    return names


def result_of(number: int, values: Mapping[str, str], points: Sequence[Point]) -> Trial:
    """Return what came of a trial, from the files of its runs."""
    scores = []
    for point in points:
        metrics = None
        if is_done(point):
            metrics = records.metrics(point.run_dir)
        score = (metrics or {}).get(point.config.eval.dev_metric)
        if score is not None:
            scores.append(float(score))
    value = None
    if len(scores) == len(points):
        value = statistics.fmean(scores)
    return Trial(number, values, value, tuple(point.run_id for point in points))


class SearchTask:
    """What Hydra calls for a search: its sweeper for the trials, its launchers for their runs.

    points: the configs of the runs so far, by their words. trials: those that have ended.
    """

    def __init__(self, search: Search, compose: Compose, corners: Sequence[Point]) -> None:
        self.points: dict[Words, Config] = {}
        self.trials: list[Trial] = []
        self._search = search
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
        started = 0
        while len(self.trials) < self._search.trials:
            number = min(self._search.at_once, self._search.trials - len(self.trials))
            asked = [study.ask(distributions) for _ in range(number)]
            values = [self._values(trial.params) for trial in asked]
            points = [self._points(one) for one in values]
            waiting = {}
            for point in (point for some in points for point in some):
                if not is_done(point):
                    waiting[point.run_id] = point.overrides
            if waiting:
                launch([list(words) for words in waiting.values()], started)
                started += len(waiting)
            for trial, one, some in zip(asked, values, points, strict=True):
                ended = result_of(len(self.trials), one, some)
                _tell(study, trial, ended.value)
                self.trials.append(ended)
                say(trial_line(ended, self._search.trials))
            write(self.trials, folder_of(points[0][0].config))
        return self.trials

    def _values(self, drawn: Mapping[str, Any]) -> dict[str, str]:
        space = self._search.space
        return {key: space[key].value(drawn[key]) for key in space}

    def _points(self, values: Mapping[str, str]) -> list[Point]:
        """Return the runs of a trial."""
        points = []
        for words in self._search.words_of(values):
            config = self._compose(words)
            self.points[words] = config
            points += expand([(words, config)], say)
        return points


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


def trial_line(trial: Trial, trials: int) -> str:
    """Return a trial in words."""
    words = " ".join(f"{key}={value}" for key, value in trial.values.items())
    if trial.value is None:
        return f"trial {trial.number + 1} of {trials}: {words}: no result"
    return f"trial {trial.number + 1} of {trials}: {words}: {trial.value:.4f}"


def folder_of(config: Config) -> Path:
    """Return the folder of the table of a search."""
    return outputs_of(config) / "searches" / config.sweep.name


def write(trials: Sequence[Trial], folder: Path) -> None:
    """Write trials.csv: trial, value, the keys that are searched, run_ids."""
    rows = []
    for trial in trials:
        row = {"trial": trial.number, "value": trial.value, **trial.values}
        rows.append({**row, "run_ids": " ".join(trial.run_ids)})
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "trials.csv") as path:
        pd.DataFrame(rows).to_csv(path, index=False)
