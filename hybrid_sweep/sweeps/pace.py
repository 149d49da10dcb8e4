"""How long points will take, by those that are finished: what their provenance says of points like
them. No torch here.
"""

import functools
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_sweep.config.schema import Config, cache_dir, steps_of, to_dict
from hybrid_sweep.runs import stages
from hybrid_sweep.sweeps import slots
from hybrid_sweep.sweeps.point_list import Point, State, missing
from hybrid_sweep.utils import records
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import canonical

NEWEST = 200  # finished runs that are looked at, which takes about a second

# What a step and an evaluation take depends on these alone: not on ratio, seed or learning rate.
MODEL = (
    "name",
    "layers",
    "query_length",
    "passage_length",
    "lora_rank",
    "hidden_size",
    "depth",
    "vocabulary",
)
DATA = ("name", "languages", "groups", "qrels", "format")
DEVICES = ("accelerator", "devices")
TRAINER = (
    *DEVICES,
    "nodes",
    "precision",
    "threads",
    "workers",
    "length_buckets",
    "compact_vocabulary",
    "gradient_checkpointing",
    "compile",
)
BATCH = ("size", "composition", "hard_negatives", "micro_batch")
EVAL = ("split", "batch_tokens", "run_depth", "index", "measures")
TRAINING = ("dev_every",)


@dataclass(frozen=True)
class Finished:
    """A finished run: what it did, and the seconds that each part of it took.

    step: None where no step was timed. evaluate: of each evaluation, by what it is like.
    """

    training: str
    start: float
    step: float | None
    evaluate: Mapping[str, float]


def seconds(points: Sequence[Point], states: Sequence[State]) -> dict[str, float | None]:
    """Return, by run id, the seconds that each point without a result will take; None where no
    finished point is like it.

    Like it is a run with the same model, data, batch and devices, of the same sweep or done on such
    a machine as this. A point that goes on from a checkpoint has only its remaining steps before
    it, one that is trained only its evaluations.
    """
    waiting = [
        (point, state) for point, state in zip(points, states, strict=True) if state.name != "done"
    ]
    known: dict[Path, list[Finished]] = {}
    found: dict[str, float | None] = {}
    for point, state in waiting:
        if point.sweep_dir not in known:
            known[point.sweep_dir] = _finished(point.run_dir.parent, point.sweep_dir)
        found[point.run_id] = _of_point(point, state.step or 0, known[point.sweep_dir])
    return found


def lines(points: Sequence[Point], times: Mapping[str, float | None]) -> list[str]:
    """Return `time: about 12 min, 2 points at a time`, and what of it is unknown; empty where all
    is done. times: of `seconds`.
    """
    waiting = [
        point
        for point in {point.run_id: point for point in points}.values()
        if point.run_id in times
    ]
    known = [told for point in waiting if (told := times[point.run_id]) is not None]
    if not waiting:
        return []
    if not known:
        return [
            "time: unknown, since no point like these is finished yet; plan tells it after the"
            " first one"
        ]
    at_once = max(_at_once(point.config) for point in waiting)
    left = max(sum(known) / at_once, *known)
    words = f"time: about {duration(left)}, {at_once} point{'s' * (at_once > 1)} at a time"
    words += f" ({duration(sum(known))} one after the other)" if at_once > 1 else ""
    unknown = len(waiting) - len(known)
    return [
        words
        + (
            f"; without {unknown} of the {len(waiting)} points, like which none is finished"
            if unknown
            else ""
        )
    ]


def duration(seconds: float) -> str:
    """Return `42 s`, `6 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _at_once(config: Config) -> int:
    try:
        return slots.parallel(config, slots.this_machine([config], os.environ))
    except UserError:  # planned where there are no GPUs, for a machine that has some
        return config.sweep.max_parallel


def _of_point(point: Point, done: int, known: Sequence[Finished]) -> float | None:
    config = point.config
    steps = 0 if stages.is_trained(point.run_dir, cache_dir(config)) else steps_of(config) - done
    training, evaluations = _kinds(to_dict(config))
    kinds = {evaluations[stage.name] for stage in missing(point)}
    rest = [
        run.start + sum(run.evaluate[kind] for kind in kinds)
        for run in known
        if kinds <= run.evaluate.keys()
    ]
    paces = [run.step for run in known if run.training == training and run.step is not None]
    if not rest or (steps and not paces):
        return None
    return statistics.median(rest) + (steps * statistics.median(paces) if steps else 0.0)


def _kinds(config: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return what the steps of a config are like and, by name, each evaluation, as texts that are
    equal where they take as long.
    """

    def chosen(group: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        return {name: group[name] for name in names if group.get(name) not in (None, [])}

    model, data = chosen(config["model"], MODEL), chosen(config["data"], DATA)
    trainer, asked = config["trainer"], config["eval"]
    more = [chosen(each, DATA) for _, each in sorted((config.get("more") or {}).items())]
    training = [
        model,
        data,
        more,
        chosen(trainer, TRAINER),
        chosen(config["batch"], BATCH),
        chosen(asked, TRAINING),
    ]
    evaluations = {
        stages.pool_name(source, pool): canonical(
            [model, chosen(each, DATA), pool, chosen(trainer, DEVICES), chosen(asked, EVAL)]
        )
        for source, each in {"": config["data"], **(asked.get("also") or {})}.items()
        for pool in (None, *(each.get("pools") or []))
    }
    return canonical(training), evaluations


def _finished(runs: Path, sweep_dir: Path) -> list[Finished]:
    """Return the finished runs that can tell, of this sweep or of such a machine, the newest ones
    first.
    """
    try:
        entries = (records.plan(sweep_dir) or {}).get("points", [])
    # told where the sweep is recorded; here it only means that less is known
    except records.Broken:
        entries = []
    ours = {entry["run_id"] for entry in entries}
    there = sorted(
        ((path.stat().st_mtime, path) for path in runs.glob("*/metrics.json")), reverse=True
    )[:NEWEST]
    read = [(path.parent.name, *_read(path.parent, written)) for written, path in there]
    return [run for run_id, run, here in read if run is not None and (here or run_id in ours)]


@functools.cache
def _read(folder: Path, written: float) -> tuple[Finished | None, bool]:
    """Return a finished run, None where it cannot tell, and whether such a machine as this did it;
    each is read once.

    written: when it was finished.
    """
    try:
        record = records.provenance(folder)
        told = record.get("times", {})
        training, evaluations = _kinds(records.config(folder))
        trained, steps = float(told["train_seconds"]), int(told["steps"])
        evaluated = {evaluations[""]: float(told["evaluate_seconds"])}
        for name in evaluations.keys() - {""}:
            note = records.provenance(stages.folder_of(folder, name))
            if "evaluate_seconds" in note.get("times", {}):
                evaluated[evaluations[name]] = float(note["times"]["evaluate_seconds"])
    except (records.Broken, KeyError, TypeError, ValueError, AttributeError):
        return None, False  # of an older version, or not whole
    # Without steps of its own a run has loaded a model: that belongs to the start.
    start = float(told.get("start_seconds", 0)) + (0.0 if steps else trained)
    return Finished(training, start, trained / steps if steps else None, evaluated), _here(record)


def _here(record: Mapping[str, Any]) -> bool:
    """Return whether a run was done on such a machine as this."""
    hardware = record.get("hardware", {})
    ours = {"machine": platform.machine(), "system": platform.system(), "cpus": os.cpu_count()}
    return all(hardware.get(name) == value for name, value in ours.items())
