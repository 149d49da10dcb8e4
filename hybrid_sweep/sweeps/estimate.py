"""What a sweep will take, told before anything is fetched: GPU-hours from operations counted, disk
from published sizes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.config.schema import (
    Config,
    DataConfig,
    MarcoData,
    ModelConfig,
    TinyModel,
    cache_dir,
    steps_of,
)
from hybrid_sweep.data import collection as collections
from hybrid_sweep.inputs.prepare import collection_folder, is_prepared
from hybrid_sweep.runs import stages
from hybrid_sweep.utils.digests import Memory, memory_of
from hybrid_sweep.utils.files import read_json

# Dense matrix products of an A100 (its data sheet), operations a second, and the share of them that
# fine-tuning and encoding short texts are taken to reach. Another card: scale by its own peak.
PEAK = {"32-true": 19.5e12, "64-true": 9.7e12, "bf16-mixed": 312e12, "16-mixed": 312e12}
SHARE = 0.3

# Of models that may not be there yet: layers, width, width of the feed-forward layers. The last:
# for those unknown.
SHAPES = {"xlmr_base": (12, 768, 3072), "labse": (12, 768, 3072), "me5_small": (12, 384, 1536)}
USUAL = (12, 768, 3072)

# Tokens of a query and of a passage with their prompts, on average; the config's limits cut them.
# XQuAD-R's are counted with XLM-R's tokenizer (1.4 tokens an English word), the others follow from
# their 6 and 56, and about 100 words.
MARCO_TOKENS, LAREQA_TOKENS, MIRACL_TOKENS = (14, 85), (21, 46), (16, 145)
CONTEXT_TOKENS = 200  # of a sentence with its paragraph, besides

# MIRACL's passages by language, as its authors publish them.
MIRACL = {
    "ar": 2_061_414,
    "bn": 297_265,
    "en": 32_893_221,
    "es": 10_373_953,
    "fa": 2_207_172,
    "fi": 1_883_509,
    "fr": 14_636_953,
    "hi": 506_264,
    "id": 1_446_315,
    "ja": 6_953_614,
    "ko": 1_486_752,
    "ru": 9_543_918,
    "sw": 131_924,
    "te": 518_079,
    "th": 542_166,
    "zh": 4_934_368,
}
MARCO_PASSAGES, MARCO_QUERIES, MARCO_DEV = 8_841_823, 6_980, 101_093
MARCO_BYTES, MIRACL_BYTES = 380, 600  # of a passage's line, in UTF-8
# passages, queries, languages
LAREQA = {"xquad_r": (13_014, 13_090, 11), "mlqa_r": (20_534, 4_199, 7)}


@dataclass(frozen=True)
class Size:
    """Of the texts that an evaluation encodes: how many, how long on average, and bytes of them on
    disk as text.
    """

    queries: int
    passages: int
    tokens: tuple[int, int]  # of a query, of a passage
    text_bytes: int


@dataclass(frozen=True)
class Work:
    """Of one point: floating-point operations of training and of encoding, and bytes of vectors
    held while evaluating.
    """

    training: float
    encoding: float
    vectors: int


def size_of(
    data: DataConfig, split: str, folder: Path | None, memory: Memory | None = None
) -> Size | None:
    """Return the size of a collection's evaluation: counted where it is prepared (`folder`), else
    as published; None: unknown.

    memory: of digests; see `collections.load`.
    """
    languages, name = set(data.languages), data.name.removesuffix("_context")
    tokens = (
        LAREQA_TOKENS if name in LAREQA else MIRACL_TOKENS if name == "miracl" else MARCO_TOKENS
    )
    if name != data.name:
        tokens = tokens[0], tokens[1] + CONTEXT_TOKENS
    if folder is not None:
        found = collections.load(folder, memory)
        queries, passages = (
            _count(table, languages, splits)
            for table, splits in ((found.queries, [split]), (found.passages, [split, "*"]))
        )
        return Size(queries, passages, tokens, int(found.passages.nbytes + found.queries.nbytes))
    if name in LAREQA:
        passages, queries, count = LAREQA[name]
        part = min(1.0, len(languages) / count)
        return Size(
            round(queries * part), round(passages * part), tokens, 250 * round(passages * part)
        )
    if isinstance(data, MarcoData):
        passages = MARCO_PASSAGES * len(languages)
        asked = {"dev.small": MARCO_QUERIES, "dev": MARCO_DEV}.get(data.qrels, 200)
        return Size(asked * len(languages), passages, tokens, passages * MARCO_BYTES)
    if name == "miracl" and languages <= MIRACL.keys():
        passages = sum(MIRACL[language] for language in languages)
        return Size(800 * len(languages), passages, tokens, passages * MIRACL_BYTES)
    return None


def work_of(config: Config, sizes: Mapping[str, Size]) -> Work:
    """Return what one point computes; sizes: of the collections that it is evaluated on, the one it
    is trained on first.

    A forward pass takes two operations for each weight of a layer and token, and 4 T w for the T
    tokens that each token attends to; a backward pass twice as many (Kaplan et al., 2020, arXiv
    2001.08361, section 2.1). Cached gradients and recomputed activations cost one forward pass more
    each.
    """
    layers, width, inner = _shape(config.model)
    longest = config.model.query_length, config.model.passage_length

    def forward(tokens: int, limit: int) -> float:
        tokens = min(tokens, limit)
        return tokens * layers * (2 * (4 * width * width + 2 * width * inner) + 4 * tokens * width)

    batch = config.batch
    trained = next(iter(sizes.values())).tokens if sizes else MARCO_TOKENS
    query, passage = map(forward, trained, longest)
    step = batch.size * (query + (1 + batch.hard_negatives) * passage)
    passes = 3 + (batch.micro_batch is not None) + config.trainer.gradient_checkpointing
    encoding = sum(
        size.queries * forward(size.tokens[0], longest[0])
        + size.passages * forward(size.tokens[1], longest[1])
        for size in sizes.values()
    )
    texts = max((size.queries + size.passages for size in sizes.values()), default=0)
    return Work(steps_of(config) * step * passes, encoding, texts * width * 4)


def lines(configs: Sequence[Config]) -> list[str]:
    """Return what points on GPUs will take, and what collections that are not prepared will need on
    disk; empty for neither.
    """
    absent = {
        f"{each.data.name} {' '.join(sorted(each.data.languages))}": size_of(
            each.data, each.eval.split, None
        )
        for config in configs
        for each in _evaluated(config).values()
        if _folder(each) is None
    }
    said = []
    for name, size in sorted(absent.items()):
        if size and size.text_bytes > 1e9:
            # A built collection is as large as its files; a token takes 4 bytes.
            parts = (
                ("files", size.text_bytes),
                ("built", size.text_bytes),
                ("tokens", 4 * size.passages * size.tokens[1]),
            )
            said.append(
                f"disk: {name}: " + ", ".join(f"{what} {_gb(number)}" for what, number in parts)
            )
    on_gpu = [
        config for config in configs if config.trainer.accelerator == "gpu" and steps_of(config)
    ]
    if not on_gpu:
        return said
    works, unknown = [], set()
    for config in on_gpu:
        sizes = {}
        for name, each in _evaluated(config).items():
            found = _size(each)
            if found is None:
                unknown.add(each.data.name)
            else:
                sizes[name] = found
        works.append(work_of(config, sizes))
    hours = [
        [
            operations / (PEAK[config.trainer.precision] * SHARE) / 3600
            for operations in (work.training, work.encoding)
        ]
        for config, work in zip(on_gpu, works, strict=True)
    ]
    training, encoding = (max(each[place] for each in hours) for place in (0, 1))
    said.append(
        f"compute: {len(on_gpu)} point{'s' * (len(on_gpu) > 1)}, about"
        f" {_number(sum(map(sum, hours)))} GPU-hours on an A100 at {SHARE:.0%} of its peak: a point"
        f" trains {_hours(training)} and encodes {_hours(encoding)}"
        + (f" (without {', '.join(sorted(unknown))}, of unknown size)" if unknown else "")
    )
    if (vectors := max(work.vectors for work in works)) > 1e9:
        said.append(f"disk: while a point is evaluated its vectors need up to {_gb(vectors)}")
    return said


def _evaluated(config: Config) -> dict[str, Config]:
    """Return the config of each collection that a point is evaluated on, as if it were the only
    one; the main one first.
    """
    all_of_it = [stage for stage in stages.of(config, Path()) if stage.pool is None]
    return {stage.name or config.data.name: stage.config for stage in all_of_it}


def _size(config: Config) -> Size | None:
    """Return the size of the evaluation of a config's collection, with the digests that the cache
    remembers.
    """
    folder = _folder(config)
    memory = memory_of(cache_dir(config), folder) if folder else None
    return size_of(config.data, config.eval.split, folder, memory)


def _folder(config: Config) -> Path | None:
    """Return where the collection of a config lies; None where it is not prepared."""
    return collection_folder(config) if is_prepared(config) else None


def _shape(model: ModelConfig) -> tuple[int, int, int]:
    """Return layers, width and inner width of a model: its config.json where it is at hand, else by
    its name.
    """
    if isinstance(model, TinyModel):
        layers, width, inner = model.depth, model.hidden_size, model.intermediate_size
    else:
        layers, width, inner = SHAPES.get(model.name, USUAL)
        known = read_json(Path(model.path).expanduser() / "config.json") if model.path else None
        if isinstance(known, dict):
            layers, width = (
                int(known.get(key) or usual)
                for key, usual in (("num_hidden_layers", layers), ("hidden_size", width))
            )
            inner = int(known.get("intermediate_size") or 4 * width)
    return min(layers, model.layers or layers), width, inner


def _count(table: pa.Table, languages: set[str], splits: list[str]) -> int:
    found = pc.and_(
        pc.is_in(table["lang"], value_set=pa.array(sorted(languages), pa.string())),
        pc.is_in(table["split"], value_set=pa.array(splits, pa.string())),
    )
    return int(pc.sum(found).as_py() or 0)


def _hours(hours: float) -> str:
    return f"{_number(hours * 60)} minutes" if hours < 1 else f"{_number(hours)} hours"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _gb(size: float) -> str:
    return f"{size / 1e9:.0f} GB" if size >= 10e9 else f"{size / 1e9:.1f} GB"
