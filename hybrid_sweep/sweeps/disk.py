"""What a point costs on disk, told before it runs: sizes from the config and the headers of files.

No torch here.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from safetensors import SafetensorError, safe_open

from hybrid_sweep.config.schema import (
    Bm25Model,
    Config,
    ModelConfig,
    TinyModel,
    cache_dir,
    steps_of,
    to_dict,
)
from hybrid_sweep.inputs.prepare import Prepared, prepare
from hybrid_sweep.models.layout import object_of, read_layout, shards
from hybrid_sweep.models.tokens import pad_id, trained_rows
from hybrid_sweep.runs import stages
from hybrid_sweep.training.checkpoint_notes import KEEP
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import canonical, read_own_json

# Measured: the parts of Parquet files and JSON that do not grow, and what a row takes, compressed.
TABLES, ROW, STEP, RECORD, TEXT = 50_000, 17, 45, 250, 16
LINE = 60  # of a TREC run: two ids, a score in full, the name of the run

Shapes = Mapping[str, tuple[int, ...]]  # of the weights, by name


@dataclass(frozen=True)
class Cost:
    """Bytes of a point: `kept` by kind (model, other model, optimizer, vectors, run files, tables),
    and what it needs besides.

    training is an upper bound: a checkpoint is whole before the oldest goes. encoding: the vectors
    of a collection while it is evaluated, of all collections where several processes encode.
    """

    kept: dict[str, int]
    training: int
    encoding: int = 0


def cost(config: Config, prepared: Prepared, further: Sequence[Prepared] = ()) -> Cost:
    """Return what a point keeps on disk by its config, and what it needs while it trains and
    evaluates.

    further: the other collections that it is evaluated on.
    """
    evaluated = _evaluated(config, [prepared, *further])
    if isinstance(config.model, Bm25Model):
        return evaluated
    steps, number = steps_of(config), 8 if config.trainer.precision == "64-true" else 4
    shapes = shapes_of(config.model, prepared.model)
    whole = _count(shapes)
    adapters = _adapters(config.model, prepared.model, shapes)
    held = whole - _unused(config, prepared, shapes)  # numbers in a checkpoint, without adapters
    moments = 2 * (adapters or held) * number
    tokenizer = prepared.model / "tokenizer.json"
    model = whole * 4  # written in float32 whatever it was trained in
    model += tokenizer.stat().st_size if tokenizer.is_file() else 0
    evaluations = math.ceil(steps / config.eval.dev_every) if config.eval.dev_every else 0
    kept = {
        "model": model * config.keep.model,
        "other model": model * (config.keep.other_model and evaluations > 0),
        "optimizer": moments * config.keep.optimizer,
    }
    kept = {kind: size * (steps > 0) for kind, size in kept.items()}
    kept |= evaluated.kept
    kept["tables"] += STEP * steps
    weights = (held + adapters) * number
    training = (KEEP + 1) * (weights + moments + RECORD * steps) + min(
        evaluations, KEEP + 2
    ) * weights
    return Cost(
        {kind: size for kind, size in kept.items() if size},
        training * (steps > 0),
        evaluated.encoding,
    )


def _evaluated(config: Config, collections: Sequence[Prepared]) -> Cost:
    """Return what evaluating keeps and needs."""
    width = 0 if isinstance(config.model, Bm25Model) else _width(config.model, collections[0].model)
    kept, encoding = {"vectors": 0, "run files": 0, "tables": 0}, []
    wanted = [config.data, *(data for _, data in sorted(config.eval.also.items()))]
    for each, data in zip(collections, wanted, strict=True):
        texts, split = each.collection, config.eval.split
        queries, passages = _texts(texts.queries, [split]), _texts(texts.passages, [split, "*"])
        # one language, or all of them: a row for each query and pool
        pools = len(texts.languages) + 1
        kept["vectors"] += (
            (queries + passages) * (2 * width + TEXT) * (config.keep.vectors and width > 0)
        )
        kept["run files"] += LINE * queries * pools * config.eval.run_depth
        kept["tables"] += (TABLES + ROW * queries * pools) * (1 + len(set(data.pools)))
        encoding.append((queries + passages) * 4 * width)
    several = config.trainer.devices * config.trainer.nodes > 1
    return Cost(
        {kind: size for kind, size in kept.items() if size},
        0,
        sum(encoding) if several else max(encoding),
    )


def costs(configs: Sequence[Config]) -> list[Cost]:
    """Return the cost of each point; what points share is opened once."""
    opened: dict[str, list[Prepared]] = {}
    found = []
    for config in configs:
        whole = to_dict(config)
        parts = [
            *(whole[name] for name in ("data", "more", "model")),
            whole["eval"]["also"],
            config.eval.split,
        ]
        key = canonical([*parts, config.batch.hard_negatives > 0, str(cache_dir(config))])
        if key not in opened:
            main = prepare(config)
            opened[key] = [
                stages.prepared(stage, main)
                for stage in stages.of(config, Path())
                if stage.pool is None
            ]
        main, *further = opened[key]
        found.append(cost(config, main, further))
    return found


def line(found: Sequence[Cost]) -> str:
    """Return `disk: 6.2 MB a point (model 6.1 MB, tables 0.1 MB), 24 points 149 MB; while it trains
    a point needs up to ...`.
    """
    most = max(found, key=lambda one: sum(one.kept.values()))
    kinds = ", ".join(f"{kind} {_words(size)}" for kind, size in most.kept.items())
    words = f"disk: {_words(sum(most.kept.values()))} a point ({kinds})"
    if len(found) > 1:
        words += f", {len(found)} points {_words(sum(sum(one.kept.values()) for one in found))}"
    training, encoding = max(one.training for one in found), max(one.encoding for one in found)
    words += f"; while it trains a point needs up to {_words(training)} more" if training else ""
    return words + (f"; while it evaluates up to {_words(encoding)}" if encoding else "")


def shapes_of(model: ModelConfig, folder: Path) -> Shapes:
    """Return the weights of the encoder that is built from a model folder: by formula (tiny), or by
    the headers of its files.
    """
    if isinstance(model, TinyModel):
        shapes = _tiny(model, read_own_json(folder / "config.json")["vocab_size"])
    else:
        layout = read_layout(folder)
        shapes = {}
        for path in _files(layout.transformer):
            shapes |= header(path)
        shapes = {name: shape for name, shape in shapes.items() if not _elsewhere(name)}
        for place, dense in enumerate(layout.dense):
            shapes[f"head.{place}.weight"] = (dense.outputs, dense.inputs)
            shapes |= {f"head.{place}.bias": (dense.outputs,)} if dense.bias else {}
    return {
        name: shape
        for name, shape in shapes.items()
        if model.layers is None or _layer(name) < model.layers
    }


def header(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes in a safetensors file, from its header alone; raises UserError where it is
    not whole.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} is no whole safetensors file ({type(error).__name__}); copy it again",
            key="model.weights_damaged",
        ) from error


def _files(folder: Path) -> list[Path]:
    """Return the files of a transformer's weights, as its index names them."""
    listed = shards(folder)
    if listed and not (folder / "model.safetensors").is_file():
        return [folder / name for name in listed]
    return [path for path in [folder / "model.safetensors"] if path.is_file()] or sorted(
        folder.glob("*.safetensors")
    )


def _elsewhere(name: str) -> bool:
    """Return whether a weight belongs to what is not built: the pooler, the heads of pre-training;
    or is no weight.
    """
    first = name.split(".")[0]
    return first in (
        "cls",
        "lm_head",
        "classifier",
        "qa_outputs",
        "predictions",
        "vocab_projector",
    ) or bool(re.search(r"(^|\.)pooler\.|position_ids$|^vocab_(transform|layer_norm)\.", name))


def _layer(name: str) -> int:
    """Return the number of the layer that a weight belongs to; -1 for those outside the layers."""
    found = re.search(r"(?:^|\.)layers?\.(\d+)\.", name)
    return int(found[1]) if found else -1


def _tiny(model: TinyModel, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Return BERT's weights: three tables and a norm, then layers of four projections, two
    feed-forward matrices, two norms.
    """
    width, inner = model.hidden_size, model.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, width),
        "embeddings.position_embeddings.weight": (
            max(model.query_length, model.passage_length),
            width,
        ),
        "embeddings.token_type_embeddings.weight": (1, width),
        "embeddings.norm": (2, width),
    }
    for layer in range(model.depth):
        prefix = f"encoder.layer.{layer}."
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= {
                f"{prefix}attention.{name}.weight": (width, width),
                f"{prefix}attention.{name}.bias": (width,),
            }
        shapes |= {
            f"{prefix}intermediate.dense.weight": (inner, width),
            f"{prefix}intermediate.dense.bias": (inner,),
        }
        shapes |= {
            f"{prefix}output.dense.weight": (width, inner),
            f"{prefix}output.dense.bias": (width,),
        }
        shapes |= {f"{prefix}norms": (4, width)}
    return shapes


def _adapters(model: ModelConfig, folder: Path, shapes: Shapes) -> int:
    """Return how many numbers the low-rank adapters have: rank times (inputs + outputs) of each
    adapted layer.
    """
    if not model.lora_rank:
        return 0
    # What peft takes where nothing is said, for the encoders at hand; asking it would import torch.
    kind = "bert" if isinstance(model, TinyModel) else str(_model_config(folder).get("model_type"))
    usual = {"deberta": ["in_proj"], "deberta-v2": ["query_proj", "value_proj"]}
    targets = model.lora_targets or usual.get(kind, ["query", "value"])
    adapted = [
        shape
        for name, shape in shapes.items()
        if name.endswith(tuple(f"{one}.weight" for one in targets))
    ]
    return sum(model.lora_rank * sum(shape) for shape in adapted if len(shape) == 2)


def _unused(config: Config, prepared: Prepared, shapes: Shapes) -> int:
    """Return how many numbers of the table of token embeddings are left out of training, because
    their tokens do not occur.
    """
    if not config.trainer.compact_vocabulary or config.model.lora_rank:
        return 0
    rows = int(_model_config(prepared.model).get("vocab_size", -1))
    width = next((shape[1] for shape in shapes.values() if len(shape) == 2 and shape[0] == rows), 0)
    return (rows - len(trained_rows(prepared.used, pad_id(prepared.model)))) * width


def _width(model: ModelConfig, folder: Path) -> int:
    """Return numbers in a vector."""
    if isinstance(model, TinyModel):
        return model.hidden_size
    dense = read_layout(folder).dense
    config = _model_config(folder)
    return dense[-1].outputs if dense else int(config.get("hidden_size") or config.get("dim") or 0)


def _model_config(folder: Path) -> dict[str, int | str]:
    return object_of(folder / "config.json") or object_of(
        read_layout(folder).transformer / "config.json"
    )


def _texts(table: pa.Table, splits: list[str]) -> int:
    # Not by comparing: for an argument of Python's own pyarrow imports pandas.
    return sum(
        each["counts"]
        for each in pc.value_counts(table["split"]).to_pylist()
        if each["values"] in splits
    )


def _count(shapes: Shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _words(size: float) -> str:
    """Return `0.1 MB`, `6.2 MB`, `149 MB`, `1.2 GB`."""
    number, unit = (size / 1e9, "GB") if size >= 999.5e6 else (size / 1e6, "MB")
    return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"
