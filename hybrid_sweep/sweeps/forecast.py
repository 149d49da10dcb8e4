"""What a sweep will take, in rough figures: time from finished runs, disk and GPU-hours from the
shape of its model and the sizes of its collections (sizes.yaml: as published). No torch here.
"""

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_sweep.config.schema import Config, cache_dir, is_cached, steps_of, to_dict
from hybrid_sweep.runs import stages
from hybrid_sweep.sweeps import sizes, slots
from hybrid_sweep.sweeps.point_list import Point, State, missing, outputs_of
from hybrid_sweep.training.checkpoint_notes import KEEP
from hybrid_sweep.utils import records, units
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import canonical, free_space

NEWEST = 200  # finished runs that are read, which takes about a second
# Fields in which runs may differ and still take as long for a step or an evaluation.
FREE = frozenset(
    "added also budget clip cross_lingual_ratio dev_every dev_metric dropout local_files_only"
    " lora_alpha lr max_steps mirror negatives negatives_format on_error path pools revision seed"
    " select share temperature warmup weight_decay workers".split()
)
ROW, LINE = 20, 60  # bytes of a row of results, compressed, and of a line of a TREC run


@dataclass(frozen=True)
class Finished:
    """A finished run: the kind of its steps, and seconds before, of a step, and by evaluation."""

    training: str
    start: float
    step: float | None
    evaluate: Mapping[str, float]

    def rest(self, kinds: Iterable[str]) -> float:
        """Return the seconds that were not spent on steps, with evaluations of these kinds."""
        return self.start + sum(self.evaluate[kind] for kind in kinds)


@dataclass(frozen=True)
class Cost:
    """The bytes of a point (kept: by kind; fetched: of what is not built yet), and GPU-hours."""

    kept: Mapping[str, int]
    meanwhile: int
    fetched: int
    train: float
    encode: float

    @property
    def total(self) -> int:
        return sum(self.kept.values())


def seconds(points: Sequence[Point], states: Sequence[State]) -> dict[str, float | None]:
    """Return, by run id, how long the steps and evaluations that are left of each point of a sweep
    will take; None where no finished run has the same model, data, batch and devices.
    """
    if points:
        runs = _finished(points[0].run_dir.parent)
    else:
        runs = []
    times: dict[str, float | None] = {}
    for point, state in zip(points, states, strict=True):
        if state.name == "done":
            continue
        training, kinds = _kinds(to_dict(point.config))
        wanted = {kinds[stage.name] for stage in missing(point)}
        rest = [run.rest(wanted) for run in runs if wanted <= run.evaluate.keys()]
        paces = [run.step for run in runs if run.training == training and run.step is not None]
        is_trained = stages.is_trained(point.run_dir, cache_dir(point.config))
        if is_trained:
            steps = 0
        else:
            steps = steps_of(point.config) - (state.step or 0)
        times[point.run_id] = None
        if rest and (paces or not steps):
            times[point.run_id] = statistics.median(rest) + steps * statistics.median(paces or [0])
    return times


def _kinds(config: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the kind of the steps of a config, and of each evaluation by its name."""
    asked = config["eval"]
    trainer = config["trainer"]
    parts = [_fixed(config.get(name)) for name in ("model", "data", "more", "batch", "trainer")]
    place = [parts[0], trainer["accelerator"], trainer["devices"]]
    kinds = {}
    for source, data in {"": config["data"], **(asked.get("also") or {})}.items():
        for pool in (None, *(data.get("pools") or [])):
            name = stages.pool_name(source, pool)
            kinds[name] = canonical([place, _fixed(data), pool, _fixed(asked)])
        if (config.get("sweep") or {}).get("centred"):
            name = stages.centred_name(source)
            kinds[name] = canonical([place, _fixed(data), "centred", _fixed(asked)])
    return canonical([*parts, asked.get("dev_every")]), kinds


def _fixed(node: Any) -> Any:
    """Return a part of a config without the fields in FREE and those that are not set."""
    if not isinstance(node, dict):
        return node
    return {name: _fixed(part) for name, part in node.items() if part and name not in FREE}


def _finished(folder: Path) -> list[Finished]:
    """Return the newest finished runs of a folder that tell what they took."""
    runs = []
    results = folder.glob("*/metrics.json")
    for path in sorted(results, key=lambda path: path.stat().st_mtime, reverse=True)[:NEWEST]:
        try:
            training, kinds = _kinds(records.config(path.parent))
            evaluate = {}
            for name, kind in kinds.items():
                took = records.provenance(stages.folder_of(path.parent, name)).get("times", {})
                if "evaluate_seconds" in took:
                    evaluate[kind] = float(took["evaluate_seconds"])
            took = records.provenance(path.parent)["times"]
            trained = float(took["train_seconds"])
            start = float(took["start_seconds"])
            steps = int(took["steps"])
            pace = trained / steps if steps else None  # without steps a model was loaded meanwhile
            runs.append(Finished(training, start + trained * (not steps), pace, evaluate))
        except (records.Broken, KeyError, TypeError, ValueError, AttributeError):
            continue  # of an older version, or not whole
    return runs


def time_lines(points: Sequence[Point], times: Mapping[str, float | None]) -> list[str]:
    """Return a line on the time of a sweep; empty where all is done. times: of `seconds`."""
    told = [time for time in times.values() if time is not None]
    if not told:
        return ["time: unknown (no finished run of this kind to extrapolate from)"][: len(times)]
    at_once = max(_at_once(point.config) for point in points if point.run_id in times)
    line = f"time: about {units.duration(max(sum(told) / at_once, *told))}"
    if at_once > 1:
        line += f", {at_once} points at a time ({units.duration(sum(told))} one after the other)"
    if len(told) < len(times):
        line += f"; without {len(times) - len(told)} of the {len(times)} points (unknown)"
    return [line]


def _at_once(config: Config) -> int:
    try:
        return slots.parallel(config, slots.this_machine([config], os.environ))
    except UserError:  # planned where there are no GPUs, for a machine that has some
        return config.sweep.max_parallel


def cost_lines(configs: Sequence[Config]) -> list[str]:
    """Return lines on the disk and the GPU-hours that points need."""
    listed = sizes.published()
    counted: sizes.Counted = {}
    costs = [cost_of(config, listed, counted) for config in configs]
    lines = []
    fetched = max(cost.fetched for cost in costs)
    if fetched > 1e9:  # what is built of the files, and the tokens, are each about as large
        lines.append(f"disk: about {units.size(3 * fetched)} to fetch and build the collections")
    lines += _disk_lines(costs, free_space(outputs_of(configs[0])))
    train = [cost.train for cost in costs]
    encode = [cost.encode for cost in costs]
    if any(train):
        gpu = listed["gpu"]
        total = units.rounded(sum(train) + sum(encode))
        lines.append(
            f"compute: about {total} GPU-hours on an {gpu['name']} at {gpu['share']:.0%} of its"
            f" peak: a point trains {units.duration(3600 * max(train))} and encodes"
            f" {units.duration(3600 * max(encode))}"
        )
    return lines


def _disk_lines(costs: Sequence[Cost], free: int) -> list[str]:
    """Return a line on what points keep and need meanwhile, and a warning where that is more than
    is free, in bytes.
    """
    largest = max(costs, key=lambda cost: cost.total)
    kinds = [f"{kind} {units.size(size)}" for kind, size in largest.kept.items() if size]
    total = sum(cost.total for cost in costs)
    meanwhile = max(cost.meanwhile for cost in costs)
    lines = [
        f"disk: about {units.size(largest.total)} a point ({', '.join(kinds)}),"
        f" {units.size(total)} in all; about {units.size(meanwhile)} more while a point runs"
    ]
    if total + meanwhile > free:
        warning = f"only {units.size(free)} are free; set paths.outputs, or keep less (keep)"
        lines.append(f"disk: WARNING: {warning}")
    return lines


def cost_of(config: Config, listed: Mapping[str, Any], counted: sizes.Counted) -> Cost:
    """Return what one point takes. listed: sizes.yaml. counted: as in `sizes.texts_of`."""
    evaluations = [stage.config for stage in stages.of(config, Path()) if stage.is_whole]
    read = [sizes.texts_of(one, listed["collections"], counted) for one in evaluations]
    shape = sizes.shape_of(config.model, listed["models"])
    steps = steps_of(config)
    results = 0
    for evaluation, texts in zip(evaluations, read, strict=True):
        data = evaluation.data
        rows = texts.questions * (len(data.languages) + 1)
        tables = 1 + len(data.pools) + config.sweep.centred
        results += rows * (ROW * tables + LINE * config.eval.run_depth)

    counts = [texts.count for texts in read]
    vectors = 4 * shape.width * max(counts)
    if config.trainer.devices * config.trainer.nodes > 1:  # all collections are encoded at once
        vectors = 4 * shape.width * sum(counts)
    model = 0
    if steps:
        model = 4 * shape.weights
    moments = 2 * model
    if config.model.lora_rank:  # of query and value in each layer, all else is frozen
        moments = min(moments, 2 * 4 * 4 * config.model.lora_rank * shape.width * shape.layers)
    checkpoints = (KEEP + 1) * (model + moments)
    if config.eval.dev_every:
        checkpoints += (KEEP + 2) * model
    kept = {
        "model": model * (config.keep.model + config.keep.other_model),
        "optimizer": moments * config.keep.optimizer,
        "vectors": 2 * shape.width * sum(counts) * config.keep.vectors,
        "results": results,
    }
    fetched = sum(texts.fetched for texts in read)
    hours = _hours_of_a_token(config, shape, listed["gpu"])
    train = hours * steps * _trained_tokens(config, read[0])
    encode = hours * sum(texts.tokens for texts in read)
    return Cost(kept, max(checkpoints, vectors), fetched, train, encode)


def _hours_of_a_token(config: Config, shape: sizes.Shape, gpu: Mapping[str, Any]) -> float:
    """Return the GPU-hours of a token in a forward pass, two operations for each weight of the
    layers; 0 where nothing is trained on a GPU.
    """
    if config.trainer.accelerator != "gpu" or not steps_of(config):
        return 0.0
    speed = gpu["share"] * gpu["operations"][config.trainer.precision]
    return float(2 * shape.layer_weights / speed / 3600)


def _trained_tokens(config: Config, texts: sizes.Texts) -> int:
    """Return the tokens of a step, each as often as there are forward passes to it.

    A backward pass is two; cached gradients and recomputed activations cost one more each.
    """
    passes = 3 + config.trainer.gradient_checkpointing
    if is_cached(config):
        passes += 1
    passages = 1 + config.batch.hard_negatives
    return passes * config.batch.size * (texts.query_tokens + passages * texts.passage_tokens)
