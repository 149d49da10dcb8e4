"""The verb `merge`: the weights of runs of one sweep and seed averaged, each average evaluated as a
point of its own.

Its run is one of zero steps, evaluated by the same worker as its parents and by their settings, so
that an average with all weight on one parent has the rows of that parent.
"""

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_sweep.commands.merge_parents import (
    REMOTE_CODE,
    Parent,
    RunPlaces,
    parents,
    trained_runs,
)
from hybrid_sweep.config import validate
from hybrid_sweep.config.schema import RECIPE_VERSION, cache_dir, identity
from hybrid_sweep.models.folder import model_fingerprint
from hybrid_sweep.runs import merging, model_card, stages
from hybrid_sweep.runs.merging import Mixture
from hybrid_sweep.sweeps import point_list, progress, scheduler, slots
from hybrid_sweep.sweeps.point_list import Point
from hybrid_sweep.utils import records, safe_paths
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest, write_json
from hybrid_sweep.utils.locks import OUTPUTS, exclusive

ALPHAS = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1"
PARENTS = "0,1"
# what a word of the command may set
PATH_KEY = re.compile(r"paths\.cache|data\.path|(more|eval\.also)\.[^.]+\.path")
ALLOWED = f"{REMOTE_CODE}=true"  # what it may permit
DIGITS = 6  # of an alpha or a ratio, as of the ratios of a sweep


@dataclass(frozen=True)
class MergeRequest:
    """What the words of the command ask for. keep: whether the averaged models stay on disk."""

    mixtures: tuple[Mixture, ...]
    seeds: tuple[int, ...] | None
    words: Mapping[str, str]
    keep: bool


@dataclass(frozen=True)
class Average:
    """An average of one seed: its point, whose model is not there yet, and its parents."""

    point: Point
    mixture: Mixture
    family: tuple[Parent, ...]

    @property
    def record(self) -> dict[str, Any]:
        """Return what merged.json of the sweep, and merge.json of the run, say of it."""
        return {
            "run_id": self.point.run_id,
            "seed": self.family[0].seed,
            "ratios": list(self.mixture.ratios),
            "shares": list(self.mixture.shares),
            "parents": [parent.folder.name for parent in self.family],
            "also": stages.further(self.point.config),
        }


def numbers(text: str, option: str) -> list[float]:
    """Return the numbers from 0 to 1 that an option names, ascending, each once.

    Raises:
        UserError: for anything else.
    """
    values = []
    for part in text.split(","):
        try:
            value = float(part)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise UserError(
                f"{option} {text}: {part.strip() or 'an empty part'} must be a number from 0 to 1,"
                " with commas between several",
                key="merge.numbers",
            )
        values.append(round(value, DIGITS) + 0.0)
    return sorted(set(values))


def mixtures(of: str, alpha: str | None, *, uniform: bool) -> tuple[Mixture, ...]:
    """Return the averages that the options ask for.

    Args:
        of: the ratios of the parents. alpha: the shares of the higher one; None for `ALPHAS`.
        uniform: whether all parents have one share.

    Raises:
        UserError: where these do not go together.
    """
    ratios = tuple(numbers(of, "--of"))
    if len(ratios) < 2:
        raise UserError(
            f"--of {of}: an average needs two different ratios at least", key="merge.parents"
        )
    if uniform:
        if alpha is not None:
            raise UserError(
                "--uniform gives every parent one share, so that --alpha has no meaning: leave one"
                " of them out",
                key="merge.uniform_alpha",
            )
        return (Mixture(ratios, (1 / len(ratios),) * len(ratios)),)
    if len(ratios) > 2:
        raise UserError(
            f"--of {of}: alpha is between two ratios; --uniform averages several",
            key="merge.parents",
        )
    made = []
    for share in numbers(ALPHAS if alpha is None else alpha, "--alpha"):
        made.append(Mixture(ratios, (round(1 - share, DIGITS), share)))
    return tuple(made)


def seeds_of(text: str | None) -> tuple[int, ...] | None:
    """Return the seeds that --seeds names, ascending; None for all.

    Raises:
        UserError: for anything but whole numbers.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise UserError(
            f"--seeds {text}: must be whole numbers with commas between them", key="merge.seeds"
        )
    return tuple(sorted({int(part) for part in parts}))


def settings_of(words: Sequence[str]) -> dict[str, str]:
    """Return what words KEY=VALUE set, by their keys: paths, and whether code of a model may run.

    Raises:
        UserError: for another key: an average is evaluated by the settings of its parents.
    """
    values = {}
    for word in words:
        key, equals, value = word.partition("=")
        is_path = equals and value and PATH_KEY.fullmatch(key)
        if not is_path and word != ALLOWED:
            raise UserError(
                f"{word}: an average is evaluated by the settings of its parents; the words can be"
                " paths.cache=DIR, data.path=DIR, more.NAME.path=DIR, eval.also.NAME.path=DIR and"
                f" {ALLOWED}",
                key="merge.word",
            )
        values[key] = value
    return values


def merge(sweep_dir: Path, asked: MergeRequest) -> int:
    """Make and evaluate the averages of a sweep, and return the exit code: 1 where some have no
    result.

    Raises:
        UserError: before anything is written, where some run cannot be averaged.
    """
    averages = planned(sweep_dir, asked)
    config = averages[0].point.config
    machine = slots.this_machine([config], os.environ)
    slots.size(config, machine)  # refuses what the GPUs here do not suffice for
    point_list.check_outputs(config)
    waiting = [average for average in averages if not point_list.is_done(average.point)]
    ratios = ", ".join(f"{ratio:g}" for ratio in averages[0].mixture.ratios)
    seeds = len({average.family[0].seed for average in averages})
    say(
        f"{len(averages)} averages of the weights at r = {ratios} ({len(asked.mixtures)} for each"
        f" of {seeds} seeds), {len(averages) - len(waiting)} of them done"
    )
    record(sweep_dir, averages)
    _run(averages, waiting, machine)
    if asked.keep:
        for average in averages:
            _keep(average)
    for line in _table(averages):
        say(line)
    left = [average for average in averages if not point_list.is_done(average.point)]
    if left:
        say(f"{len(left)} averages have no result; the same command goes on from here")
        return 1
    say(f"next: hybrid-sweep report {sweep_dir}")
    return 0


def planned(sweep_dir: Path, asked: MergeRequest) -> list[Average]:
    """Return the averages of a sweep, with all that they are made of checked; nothing is written.

    Raises:
        UserError: as `merge_parents.parents` does.
    """
    safe_paths.check_links(sweep_dir.resolve())
    plan = records.points(sweep_dir)
    records.merged(sweep_dir)
    source = RunPlaces(sweep_dir.resolve().parent.parent, plan["name"], asked.words)
    runs = trained_runs(plan)
    if not runs:
        raise UserError(
            f"{sweep_dir}: no trained run in points.json: run the sweep first", key="merge.no_runs"
        )
    seeds = sorted(runs) if asked.seeds is None else asked.seeds
    families = parents(source, runs, asked.mixtures[0].ratios, seeds)
    averages = []
    for mixture in asked.mixtures:
        for seed in seeds:
            averages.append(_average(mixture, families[seed], asked.keep))
    return averages


def _average(mixture: Mixture, family: Sequence[Parent], keep: bool) -> Average:
    """Return an average with the id of its run: by its parents, their weights, their shares and how
    it is evaluated.
    """
    first = family[0]
    config = first.evaluated
    batch = dataclasses.replace(config.batch, cross_lingual_ratio=mixture.mean_ratio)
    config = dataclasses.replace(config, batch=batch)
    made_of = []
    for parent, share in zip(family, mixture.shares, strict=True):
        made_of.append({"run_id": parent.folder.name, "model": parent.model, "share": share})
    run_id = digest(
        {
            "average": made_of,
            "config": identity(config),
            "fingerprints": first.fingerprints,
            "recipe_version": RECIPE_VERSION,
        }
    )
    folder = safe_paths.inside(point_list.outputs_of(config), "runs", run_id)
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, path=str(folder / "model")),
        keep=dataclasses.replace(config.keep, model=keep),
    )
    validate.check_stored(config)
    title = f"{mixture.label}, seed {first.seed}"
    point = Point(run_id, "untrained", (), config, dict(first.fingerprints), title)
    return Average(point, mixture, tuple(family))


def record(sweep_dir: Path, averages: Sequence[Average]) -> None:
    """Write the averages into merged.json of their sweep, beside those of earlier commands; one of
    the same ratios, shares and seed is replaced.
    """
    with exclusive(sweep_dir / "lock", OUTPUTS):
        entries = {_place(entry): entry for entry in records.merged(sweep_dir)}
        for average in averages:
            entries[_place(average.record)] = average.record
        ordered = [entries[place] for place in sorted(entries)]
        write_json(sweep_dir / "merged.json", {"points": ordered})


def _place(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    shares = tuple(entry["shares"])
    return len(shares), tuple(entry["ratios"]), shares[::-1], entry["seed"]


def _run(averages: Sequence[Average], waiting: Sequence[Average], machine: slots.Machine) -> None:
    """Evaluate the averages that wait, as many at a time as fit: no other averaged model lies on
    disk meanwhile.
    """
    parallel = 1
    if waiting:
        parallel = max(1, slots.parallel(waiting[0].point.config, machine))
    servers = scheduler.begin_servers([average.point for average in waiting])
    try:
        with progress.watch(len(averages), parallel) as view:
            for average in averages:
                if average not in waiting:
                    view.skipped(average.point)
            for start in range(0, len(waiting), parallel):
                ready = [_ready(average) for average in waiting[start : start + parallel]]
                driving = scheduler.Driving(parallel)
                scheduler.run_points(
                    ready, machine=machine, driving=driving, view=view, servers=servers
                )
    finally:
        if servers is not None:
            servers.close()


def _ready(average: Average) -> Point:
    """Return the point of an average with its model in place, for a worker to evaluate.

    The same parents and shares give the same bytes, so that a model which an interrupted command
    left is made again.
    """
    point = average.point
    with exclusive(point.run_dir / "lock", OUTPUTS):  # nobody evaluates it now
        if point_list.is_done(point):
            return point
        write_json(point.run_dir / "merge.json", average.record)
        mark = model_fingerprint(_write_model(average), cache_dir(point.config))
    return dataclasses.replace(point, fingerprints={**point.fingerprints, "model": mark})


def _keep(average: Average) -> None:
    """Write the model of an average whose result is there, unless it was kept then."""
    point = average.point
    with exclusive(point.run_dir / "lock", OUTPUTS):
        if point_list.is_done(point) and not (point.run_dir / "model").exists():
            _write_model(average)
            facts = model_card.stored_facts(point.run_dir, point.config)
            model_card.write_cards(point.run_dir, facts)


def _write_model(average: Average) -> Path:
    """Write the averaged model into the folder of its run, and return where it is."""
    target = average.point.run_dir / "model"
    models = [parent.folder / "model" for parent in average.family]
    merging.merge(models, average.mixture.shares, target)
    return target


def _table(averages: Sequence[Average]) -> list[str]:
    """Return the mean over seeds of each average, on the primary measure of the sweep."""
    measure = averages[0].point.config.sweep.primary
    lines = [f"{'':36}{'monolingual':>14}{'cross-lingual':>14}{'seeds':>7}"]
    for mixture in dict.fromkeys(average.mixture for average in averages):
        rows = []
        for average in averages:
            if average.mixture == mixture and point_list.is_done(average.point):
                rows.append(records.metrics(average.point.run_dir) or {})
        cells = []
        for setting in ("monolingual", "cross-lingual"):
            cells.append(f"{_mean(rows, f'{setting}/{measure}'):>14}")
        lines.append(f"{mixture.label:36}{''.join(cells)}{len(rows):>7}")
    return [*lines, f"{measure}, macro over languages or pairs, mean over the seeds"]


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [row[name] for row in rows if row.get(name) is not None]
    if not values:
        return "-"
    return f"{math.fsum(values) / len(values):.4f}"
