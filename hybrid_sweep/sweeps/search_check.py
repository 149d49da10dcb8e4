"""What a search of settings needs before its first trial, and whether it can be made at all."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid_sweep.config.schema import Config
from hybrid_sweep.inputs import prepare
from hybrid_sweep.retrieval.measures import OF_LANGUAGES
from hybrid_sweep.sweeps.point_list import Point, check, expand, outputs_of
from hybrid_sweep.sweeps.search_space import Search, Words
from hybrid_sweep.training import dev_history
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError

Compose = Callable[[Words], Config]

SPLIT = "dev"  # what is chosen on; the other is for what is reported
LESS_IS_BETTER = ("same@10", "Max@R", "LPR")


@dataclass(frozen=True)
class Goal:
    """What a search looks for. metric: the name of a mean that each run gives, the higher the
    better. folder: of its table. name: sweep.name. stops: whether no further trial starts once one
    has failed.
    """

    metric: str
    folder: Path
    name: str
    stops: bool


def corner_configs(search: Search, compose: Compose) -> list[tuple[Words, Config]]:
    """Return the words and the configs of runs at the ends of what is searched.

    Raises:
        UserError: where one is refused.
    """
    made = []
    for values in search.corners():
        for words in search.words_of(values):
            try:
                made.append((words, compose(words)))
            except UserError as error:
                if "could not be converted to Integer" not in str(error):
                    raise
                raise UserError(
                    f"{error}; whole numbers are int(interval(LOW,HIGH))", key=error.key
                ) from error
    return made


def goal_of(configs: Sequence[Config]) -> Goal:
    """Return what a search looks for, from the configs at its ends.

    Raises:
        UserError: where Optuna is not installed, the runs would be evaluated on another split than
            dev, or the configs ask for what a search does not do.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UserError(
            "hydra/sweeper=optuna needs optuna: pip install 'hybrid-sweep[optuna]'",
            key="install.optuna",
        )
    goals = []
    for config in configs:
        if config.eval.split != SPLIT:
            raise UserError(
                f"hydra/sweeper=optuna: settings are chosen on the split {SPLIT}, and the split"
                f" {config.eval.split} is for what is reported; add eval.split={SPLIT}",
                key="search.split",
            )
        if config.sweep.is_sequential:
            raise UserError(
                "sweep.until=settled: has no effect with hydra/sweeper=optuna, whose trials are no"
                " curve; leave one of the two out",
                key="config.sweep.until",
            )
        name = config.sweep.name
        folder = outputs_of(config) / "searches" / name
        is_stopping = config.sweep.on_failure == "stop"
        goals.append(Goal(config.eval.dev_metric, folder, name, is_stopping))
    if len(set(goals)) > 1:
        raise UserError(
            "hydra/sweeper=optuna: sweep.name, paths.outputs, eval.dev_metric and sweep.on_failure"
            " must be the same in all trials, since they are of the search; give each one value",
            key="search.several_goals",
        )
    return goals[0]


def check_corners(corners: Sequence[tuple[Words, Config]], metric: str) -> list[Point]:
    """Return the points at the ends of what is searched, all of which could start.

    Raises:
        UserError: for a metric that is not known or whose low values are the better ones, and for
            a point that is refused.
    """
    points = []
    for job in corners:
        made = expand([job], say)
        check(made)  # one by one: they are no curve
        points += made
    config = corners[0][1]
    dev_history.check_metric(metric, _metrics(config, prepare.collection_of(config).languages))
    measure = metric.rpartition("/")[2]
    if measure in LESS_IS_BETTER:
        raise UserError(
            f"eval.dev_metric={metric}: a search looks for the highest value, and of {measure} less"
            " counts as better; take another",
            key="search.direction",
        )
    return points


def _metrics(config: Config, languages: Sequence[str]) -> list[str]:
    """Return the names of the means that the evaluation of a run writes."""
    names = dev_history.metric_names(languages)
    settings = ["monolingual", "multilingual"]
    if len(languages) > 1:
        settings.append("cross-lingual")
    for measure in config.eval.measures:
        if measure in OF_LANGUAGES:
            names.append(f"multilingual/{measure}")
        else:
            names += [f"{setting}/{measure}" for setting in settings]
    return names
