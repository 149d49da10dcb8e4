"""What a sweep will take, in rough figures: time from finished runs, disk and GPU-hours from the
shape of its model and the sizes of its collections (sizes.yaml: as published). No torch here.
"""

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from hybrid_sweep.config.schema import Config, ModelConfig, TinyModel, cache_dir, steps_of, to_dict
from hybrid_sweep.inputs.prepare import collection_of, is_prepared
from hybrid_sweep.runs import stages
from hybrid_sweep.sweeps import slots
from hybrid_sweep.sweeps.point_list import Point, State, missing, outputs_of
from hybrid_sweep.training.checkpoint_notes import KEEP
from hybrid_sweep.utils import records, units
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import canonical, free_space, read_json

NEWEST = 200  # finished runs that are read, which takes about a second
# Fields in which runs may differ and still take as long for a step or an evaluation.
FREE = frozenset(
    "added also budget clip cross_lingual_ratio dev_every dev_metric dropout local_files_only"
    " lora_alpha lr max_steps mirror negatives on_error path pools revision seed select share"
    " temperature warmup weight_decay workers".split()
)
SHAPE = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")  # of a config.json
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
class Texts:
    """What an evaluation reads. tokens: of a question, of a passage. size: bytes to fetch."""

    questions: int
    passages: int
    tokens: tuple[int, int]
    size: int


@dataclass(frozen=True)
class Cost:
    """The bytes of a point (kept: by kind; fetched: of what is not built yet), and GPU-hours."""

    kept: Mapping[str, int]
    meanwhile: int
    fetched: int
    train: float
    encode: float


def seconds(points: Sequence[Point], states: Sequence[State]) -> dict[str, float | None]:
    """Return, by run id, how long the steps and evaluations that are left of each point of a sweep
    will take; None where no finished run has the same model, data, batch and devices.
    """
    runs = _finished(points[0].run_dir.parent) if points else []
    times: dict[str, float | None] = {}
    for point, state in zip(points, states, strict=True):
        if state.name == "done":
            continue
        training, kinds = _kinds(to_dict(point.config))
        wanted = {kinds[stage.name] for stage in missing(point)}
        rest = [run.rest(wanted) for run in runs if wanted <= run.evaluate.keys()]
        paces = [run.step for run in runs if run.training == training and run.step is not None]
        is_trained = stages.is_trained(point.run_dir, cache_dir(point.config))
        steps = 0 if is_trained else steps_of(point.config) - (state.step or 0)
        times[point.run_id] = None
        if rest and (paces or not steps):
            times[point.run_id] = statistics.median(rest) + steps * statistics.median(paces or [0])
    return times


def _kinds(config: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the kind of the steps of a config, and of each evaluation by its name."""
    asked, trainer = config["eval"], config["trainer"]
    parts = [_fixed(config.get(name)) for name in ("model", "data", "more", "batch", "trainer")]
    place = [parts[0], trainer["accelerator"], trainer["devices"]]
    kinds = {}
    for source, data in {"": config["data"], **(asked.get("also") or {})}.items():
        for pool in (None, *(data.get("pools") or [])):
            name = stages.pool_name(source, pool)
            kinds[name] = canonical([place, _fixed(data), pool, _fixed(asked)])
    return canonical([*parts, asked.get("dev_every")]), kinds


def _fixed(node: Any) -> Any:
    """Return a part of a config without the fields in FREE and those that are not set."""
    if not isinstance(node, dict):
        return node
    return {name: _fixed(part) for name, part in node.items() if part and name not in FREE}


def _finished(folder: Path) -> list[Finished]:
    """Return the newest finished runs of a folder that tell what they took."""
    runs, results = [], folder.glob("*/metrics.json")
    for path in sorted(results, key=lambda path: path.stat().st_mtime, reverse=True)[:NEWEST]:
        try:
            training, kinds = _kinds(records.config(path.parent))
            evaluate = {}
            for name, kind in kinds.items():
                took = records.provenance(stages.folder_of(path.parent, name)).get("times", {})
                if "evaluate_seconds" in took:
                    evaluate[kind] = took["evaluate_seconds"]
            took = records.provenance(path.parent)["times"]
            trained, start, steps = took["train_seconds"], took["start_seconds"], took["steps"]
            pace = trained / steps if steps else None  # without steps a model was loaded meanwhile
            runs.append(Finished(training, start + trained * (not steps), pace, evaluate))
        except (records.Broken, KeyError, TypeError, AttributeError):
            continue  # of an older version, or not whole
    return runs


def time_lines(points: Sequence[Point], times: Mapping[str, float | None]) -> list[str]:
    """Return a line on the time of a sweep; empty where all is done. times: of `seconds`."""
    known = [time for time in times.values() if time is not None]
    if not known:
        return ["time: unknown (no finished run of this kind to extrapolate from)"][: len(times)]
    at_once = max(_at_once(point.config) for point in points if point.run_id in times)
    line = f"time: about {units.duration(max(sum(known) / at_once, *known))}"
    if at_once > 1:
        line += f", {at_once} points at a time ({units.duration(sum(known))} one after the other)"
    if len(known) < len(times):
        line += f"; without {len(times) - len(known)} of the {len(times)} points (unknown)"
    return [line]


def _at_once(config: Config) -> int:
    try:
        return slots.parallel(config, slots.this_machine([config], os.environ))
    except UserError:  # planned where there are no GPUs, for a machine that has some
        return config.sweep.max_parallel


def cost_lines(configs: Sequence[Config]) -> list[str]:
    """Return lines on the disk and the GPU-hours that points need."""
    sizes = yaml.safe_load(Path(__file__).with_name("sizes.yaml").read_text(encoding="utf-8"))
    counted: dict[str, list[int]] = {}
    costs, lines = [cost_of(config, sizes, counted) for config in configs], []
    if (fetched := max(cost.fetched for cost in costs)) > 1e9:
        lines.append(f"disk: about {units.size(3 * fetched)} to fetch and build the collections")
    totals = [sum(cost.kept.values()) for cost in costs]
    kinds = costs[totals.index(max(totals))].kept.items()
    kept = ", ".join(f"{kind} {units.size(size)}" for kind, size in kinds if size)
    meanwhile = max(cost.meanwhile for cost in costs)
    lines.append(
        f"disk: about {units.size(max(totals))} a point ({kept}), {units.size(sum(totals))} in all;"
        f" about {units.size(meanwhile)} more while a point runs"
    )
    if sum(totals) + meanwhile > (free := free_space(outputs_of(configs[0]))):
        only = units.size(free)
        lines.append(f"disk: WARNING: only {only} are free; set paths.outputs, or keep less (keep)")
    train, encode = [cost.train for cost in costs], [cost.encode for cost in costs]
    if any(train):
        lines.append(
            f"compute: about {units.rounded(sum(train + encode))} GPU-hours on an"
            f" {sizes['gpu']['name']} at {sizes['gpu']['share']:.0%} of its peak: a point trains"
            f" {units.duration(max(train) * 3600)} and encodes {units.duration(max(encode) * 3600)}"
        )
    return lines


def cost_of(config: Config, sizes: Mapping[str, Any], counted: dict[str, list[int]]) -> Cost:
    """Return what one point takes. sizes: of sizes.yaml. counted: as in `texts_of`.

    A token takes two operations for each weight of the layers in a forward pass and twice as many
    in a backward pass; cached gradients and recomputed activations cost one forward pass more each.
    """
    collections = [stage.config for stage in stages.of(config, Path()) if stage.pool is None]
    read = [texts_of(each, sizes["collections"], counted) for each in collections]
    results = encoded = 0
    for each, texts in zip(collections, read, strict=True):
        encoded += texts.questions * texts.tokens[0] + texts.passages * texts.tokens[1]
        rows = texts.questions * (len(each.data.languages) + 1)
        results += rows * (ROW * (1 + len(each.data.pools)) + LINE * config.eval.run_depth)
    counts, (query, passage) = [each.questions + each.passages for each in read], read[0].tokens
    steps, batch, keep = steps_of(config), config.batch, config.keep
    passes = 3 + (batch.micro_batch is not None) + config.trainer.gradient_checkpointing
    trained = steps * passes * batch.size * (query + (1 + batch.hard_negatives) * passage)
    layers, width, inner, vocabulary = shape_of(config.model, sizes["models"])
    weights = layers * (4 * width * width + 2 * width * inner)
    model = 4 * (weights + vocabulary * width) * (steps > 0)
    # without adapters, which are those of query and value, all weights are trained
    moments = 2 * min(model, 4 * 4 * config.model.lora_rank * width * layers or model)
    checkpoints = (KEEP + 1) * (model + moments) + (KEEP + 2) * model * (config.eval.dev_every > 0)
    kept = {
        "model": model * (keep.model + keep.other_model),
        "optimizer": moments * keep.optimizer,
        "vectors": 2 * width * sum(counts) * keep.vectors,
        "results": results,
    }
    hour = 3600 * sizes["gpu"]["share"] * sizes["gpu"]["operations"][config.trainer.precision]
    hours = 2 * weights / hour * (config.trainer.accelerator == "gpu" and steps > 0)  # of a token
    # several processes encode all collections before any of them evaluates one
    held = sum(counts) if config.trainer.devices * config.trainer.nodes > 1 else max(counts)
    meanwhile, fetched = max(checkpoints, 4 * width * held), sum(texts.size for texts in read)
    return Cost(kept, meanwhile, fetched, hours * trained, hours * encoded)


def shape_of(model: ModelConfig, listed: Mapping[str, Sequence[int]]) -> list[int]:
    """Return layers, width, inner width and vocabulary: by config.json where it is at hand."""
    if isinstance(model, TinyModel):
        shape = [model.depth, model.hidden_size, model.intermediate_size, model.vocabulary]
    else:
        shape = list(listed.get(model.name, listed["other"]))
        there = read_json(Path(model.path).expanduser() / "config.json") if model.path else None
        if isinstance(there, dict):
            shape = [int(there.get(key) or usual) for key, usual in zip(SHAPE, shape, strict=True)]
    return [min(shape[0], model.layers or shape[0]), *shape[1:]]


def texts_of(config: Config, listed: Mapping[str, Any], counted: dict[str, list[int]]) -> Texts:
    """Return what an evaluation reads: counted where the collection is built, and kept in `counted`
    by what was counted; else as published.
    """
    data, languages = config.data, sorted(set(config.data.languages))
    entry = listed.get(data.name, listed["other"])
    query, passage = entry["tokens"]
    tokens = min(query, config.model.query_length), min(passage, config.model.passage_length)
    if not is_prepared(config):
        number = entry["passages"]
        passages = sum(number.get(name, number["other"]) for name in languages)
        questions = entry["questions"] * len(languages)
        return Texts(questions, passages, tokens, passages * entry["bytes"])
    key = f"{data} {config.eval.split}"
    if key not in counted:
        built, splits = collection_of(config), pa.array([config.eval.split, "*"], pa.string())
        columns = built.queries["split"], built.passages["split"]
        counted[key] = [pc.sum(pc.is_in(one, value_set=splits)).as_py() or 0 for one in columns]
    return Texts(counted[key][0], counted[key][1], tokens, 0)
