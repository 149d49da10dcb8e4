"""The verbs run and plan where Hydra's sweeper is a search (`hydra/sweeper=optuna`)."""

import argparse
from collections.abc import Callable
from typing import Any

from hybrid_sweep.config import compose
from hybrid_sweep.config.schema import Config
from hybrid_sweep.sweeps import search, search_space
from hybrid_sweep.sweeps.point_list import Point, check_outputs
from hybrid_sweep.sweeps.search_space import Search, Words
from hybrid_sweep.utils.arguments import say

Job = tuple[Words, Config]
CheckJobs = Callable[[argparse.Namespace, list[Job]], None]
HandOver = Callable[[Any], None]


def plan(args: argparse.Namespace, check_jobs: CheckJobs) -> None:
    """Check the trials of a search, and say what it goes through.

    Args:
        args: Hydra's reading of the words.
        check_jobs: refuses what this machine cannot run.
    """
    wanted, points = _checked(args, check_jobs)
    say("\n".join(lines(wanted, points)))


def run(args: argparse.Namespace, check_jobs: CheckJobs, hand_over: HandOver) -> int:
    """Run a search; 1 where a trial has no result.

    Args:
        args: Hydra's reading of the words.
        check_jobs: refuses what this machine cannot run.
        hand_over: lets Hydra run a task on the words.
    """
    wanted, points = _checked(args, check_jobs)
    for point in points:
        check_outputs(point.config)
    say("\n".join(lines(wanted, points)))
    task = search.SearchTask(wanted, _composing(args), points)
    try:
        hand_over(task)
    finally:
        task.close()
    say("\n".join(_ended(task.trials, points[0].config)))
    return int(any(trial.value is None for trial in task.trials))


def _checked(args: argparse.Namespace, check_jobs: CheckJobs) -> tuple[Search, list[Point]]:
    """Return the search of the words, and points at the ends of what it goes through."""
    parsed, settings = compose.searched(args.overrides, search=args.config_dir)
    wanted = search_space.search_of(parsed, settings)
    points = search.check(wanted, _composing(args))
    check_jobs(args, [(point.overrides, point.config) for point in points])
    return wanted, points


def _composing(args: argparse.Namespace) -> search.Compose:
    """Return what composes the config of the words of one run."""

    def composed(words: Words) -> Config:
        [(_, config)] = compose.points(words, multirun=False, search=args.config_dir)
        return config

    return composed


def lines(wanted: Search, points: list[Point]) -> list[str]:
    """Return what a search goes through, in words."""
    first = points[0].config
    parts = [
        f"search {first.sweep.name}: {wanted.trials} trials, {wanted.at_once} chosen at a time"
        f" ({wanted.sampler}), for the highest {first.eval.dev_metric} on the split {search.SPLIT}"
    ]
    widest = max(len(key) for key in wanted.space)
    for key, part in wanted.space.items():
        parts.append(f"  {key:<{widest}}  {part.told()}")
    if wanted.averaged:
        over = " and ".join(f"{key} {part.told()}" for key, part in wanted.averaged.items())
        parts.append(f"each trial is the mean over {over}")
    return parts


def _ended(trials: list[search.Trial], config: Config) -> list[str]:
    """Return what came of a search, in words."""
    parts = [f"table: {search.folder_of(config) / 'trials.csv'}"]
    chosen = search.best(trials)
    if chosen is None or chosen.value is None:
        return [*parts, "no trial has a result"]
    words = " ".join(f"{key}={value}" for key, value in chosen.values.items())
    ended = sum(trial.value is not None for trial in trials)
    parts.append(f"best of {ended} trials: {words}: {config.eval.dev_metric} {chosen.value:.4f}")
    parts.append(
        "chosen by this score, which is too high for that reason: report the split test, with the"
        " seeds of a plan"
    )
    return parts
