"""The verbs run and plan where Hydra's sweeper is a search (`hydra/sweeper=optuna`)."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from hybrid_sweep.config import compose
from hybrid_sweep.config.schema import Config
from hybrid_sweep.sweeps import search, search_check, search_space, search_table
from hybrid_sweep.sweeps.point_list import Point, check_outputs
from hybrid_sweep.sweeps.search_check import Compose, Goal
from hybrid_sweep.sweeps.search_space import Search, Words
from hybrid_sweep.utils.arguments import say

Job = tuple[Words, Config]
CheckJobs = Callable[[argparse.Namespace, list[Job]], None]
SayAbsent = Callable[[list[Job]], bool]
HandOver = Callable[[Any], None]


def plan(args: argparse.Namespace, check_jobs: CheckJobs, say_absent: SayAbsent) -> None:
    """Check the trials of a search, and say what it goes through.

    Args:
        args: Hydra's reading of the words.
        check_jobs: refuses what this machine cannot run.
        say_absent: says which collections are not prepared; whether there are any.
    """
    wanted, goal, corners = _wanted(args)
    if not say_absent(corners):
        _checked(args, goal, corners, check_jobs)
    say("\n".join(lines(wanted, goal)))


def run(args: argparse.Namespace, check_jobs: CheckJobs, hand_over: HandOver) -> int:
    """Run a search; 1 where a trial has no result.

    Args:
        args: Hydra's reading of the words.
        check_jobs: refuses what this machine cannot run.
        hand_over: lets Hydra run a task on the words.
    """
    wanted, goal, corners = _wanted(args)
    points = _checked(args, goal, corners, check_jobs)
    for point in points:
        check_outputs(point.config)
    say("\n".join(lines(wanted, goal)))
    task = search.SearchTask(wanted, goal, _composing(args), points)
    try:
        hand_over(task)
    except KeyboardInterrupt:
        print(
            f"interrupted after {len(task.trials)} of {wanted.trials} trials; the same command goes"
            " on from here",
            file=sys.stderr,
        )
        raise
    finally:
        task.close()
    say("\n".join(_ended(task.trials, goal)))
    return int(any(trial.value is None for trial in task.trials))


def _wanted(args: argparse.Namespace) -> tuple[Search, Goal, list[Job]]:
    """Return the search of the words, what it looks for, and runs at its ends."""
    parsed, settings = compose.searched(args.overrides, search=args.config_dir)
    wanted = search_space.search_of(parsed, settings)
    corners = search_check.corner_configs(wanted, _composing(args))
    return wanted, search_check.goal_of([config for _, config in corners]), corners


def _checked(
    args: argparse.Namespace, goal: Goal, corners: list[Job], check_jobs: CheckJobs
) -> list[Point]:
    """Return the points at the ends of a search, all of which could start here."""
    points = search_check.check_corners(corners, goal.metric)
    check_jobs(args, [(point.overrides, point.config) for point in points])
    return points


def _composing(args: argparse.Namespace) -> Compose:
    """Return what composes the config of the words of one run."""

    def composed(words: Words) -> Config:
        return compose.point(words, search=args.config_dir)

    return composed


def lines(wanted: Search, goal: Goal) -> list[str]:
    """Return what a search goes through, in words."""
    parts = [
        f"search {goal.name}: {wanted.trials} trials, {wanted.at_once} chosen at a time"
        f" ({wanted.sampler}), for the highest {goal.metric} on the split {search_check.SPLIT}"
    ]
    widest = max(len(key) for key in wanted.space)
    for key, part in wanted.space.items():
        parts.append(f"  {key:<{widest}}  {part.told()}")
    if wanted.averaged:
        over = " and ".join(f"{key} {part.told()}" for key, part in wanted.averaged.items())
        parts.append(f"each trial is the mean over {over}")
    return parts


def _ended(trials: list[search_table.Trial], goal: Goal) -> list[str]:
    """Return what came of a search, in words."""
    parts = [f"table: {goal.folder / search_table.TABLE}"]
    chosen = search.best(trials)
    if chosen is None or chosen.value is None:
        return [*parts, "no trial has a result"]
    words = " ".join(f"{key}={value}" for key, value in chosen.values.items())
    ended = sum(trial.value is not None for trial in trials)
    parts.append(f"best of {ended} trials: {words}: {goal.metric} {chosen.value:.4f}")
    parts.append(
        "chosen by this score, which is too high for that reason: report the split test, with the"
        " seeds of a plan"
    )
    return parts
