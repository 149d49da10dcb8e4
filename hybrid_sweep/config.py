"""The typed schema of a run: every knob with its unit and effect, what is identity, and what is refused.

Fields marked `_aside` cannot change the numbers of a run; all others are part of its identity (see `identity`).
The same fields stand, with the same comments, in the YAML files under conf/.
"""

import dataclasses
import difflib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybrid_sweep.errors import UserError
from hybrid_sweep.store import digest

RECIPE_VERSION = 1  # raised by hand when a change of the code alters results: old runs are then done again


def _aside(default: Any) -> Any:
    """A field that cannot change the numbers of a run, and so is left out of its identity."""
    return field(default=default, metadata={"identity": False})


@dataclass
class DataConfig:
    name: str = "???"
    languages: list[str] = field(default_factory=list)  # codes; trained on and evaluated
    path: str | None = _aside(None)  # folder of a local copy; the fingerprint of its content is the identity
    mirror: str | None = _aside(None)  # base address or folder of a mirror to build from, where the source has mirrors


@dataclass
class DebianData(DataConfig):
    pass


@dataclass
class SyntheticData(DataConfig):
    groups: int = 600  # questions; each in most of the languages
    concepts: int = 400  # size of the vocabulary of ideas; more is easier to tell apart, harder to learn
    shared: float = 0.2  # share of the ideas whose word is the same in all languages; 0 = no bridge at all
    noise: float = 0.2  # share of the words of a question that do not come from its passage; higher is harder
    seed: int = 0  # of the generator; apart from the seed of the run


@dataclass
class LareqaData(DataConfig):
    """XQuAD-R or MLQA-R; the names that end in _context add its paragraph to every sentence: another collection."""


# The languages of MS MARCO and its translations: the name in the names of the files, and the code used here.
MARCO_LANGUAGES = {
    "arabic": "ar",
    "chinese": "zh",
    "dutch": "nl",
    "english": "en",
    "french": "fr",
    "german": "de",
    "hindi": "hi",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
    "vietnamese": "vi",
}


@dataclass
class MarcoData(DataConfig):
    translation: str = "google"  # whose translation: the folder, beside the qrels, that holds collections/ and queries/
    qrels: str = "dev.small"  # questions of the split test: dev.small (6,980; what papers report) | dev (all)
    dev_share: float = 0.0  # share of the judged training questions set apart as the split dev, 0 to below 1
    dev_seed: int = 0  # which ones: those whose hash with this seed is low

    def __post_init__(self) -> None:
        # Names, and the code dt that some tools use for Dutch, are the same language, and so the same run.
        known = {**MARCO_LANGUAGES, "dt": "nl"}
        self.languages = [known.get(language, language) for language in self.languages]


@dataclass
class ModelConfig:
    name: str = "???"
    path: str | None = _aside(None)  # folder of a local copy, or hub name; its content's fingerprint is the identity
    layers: int | None = None  # keep the first n transformer layers; null = all
    pooling: str = "mean"  # mean of the token vectors, or cls (the first one)
    query_prompt: str = ""  # put before every query
    passage_prompt: str = ""  # put before every passage
    query_length: int = 32  # tokens at most, prompt and special tokens included; longer queries are cut
    passage_length: int = 128  # tokens at most, likewise
    temperature: float = 0.05  # divides the cosine in the loss; lower sharpens it
    dropout: float | None = None  # probability; null = what the model's own config says
    local_files_only: bool = _aside(True)  # false lets a hub name be downloaded


@dataclass
class TinyModel(ModelConfig):
    hidden_size: int = 128  # width of the encoder
    depth: int = 2  # transformer layers
    heads: int = 4  # attention heads; divides hidden_size
    intermediate_size: int = 512  # width of the feed-forward layers
    vocabulary: int = 8000  # entries of the BPE tokenizer, trained on the training texts


@dataclass
class BatchConfig:
    cross_lingual_ratio: float = (
        0.5  # r: share of the steps whose passages are in another language than the queries, 0-1
    )
    size: int = 64  # pairs in a global batch, over all devices and micro-batches
    language_exponent: float = 0.0  # tau: query language drawn by (number of its groups)^tau; 0 = uniform, 1 = by size
    partner: str = "uniform"  # partner language drawn uniform | size (shared groups) | pivot (one side is the pivot)
    pivot: str | None = None  # the pivot's language code
    groups: str = "shared"  # shared: every step walks groups of both languages; all: monolingual steps use any group

    def __post_init__(self) -> None:
        if isinstance(self.cross_lingual_ratio, float):
            # All spellings of a ratio (0.7, 7e-1, .1 * 7) are one point.
            self.cross_lingual_ratio = round(self.cross_lingual_ratio, 6) + 0.0


@dataclass
class TrainerConfig:
    max_steps: int = 400  # optimiser steps; 0 evaluates the untrained encoder
    lr: float = 2e-3  # peak learning rate; for weights from scratch (pretrained ones want 1e-5 to 1e-4)
    warmup: float = 0.1  # share of the steps over which the rate rises from 0; it then falls linearly to 0
    weight_decay: float = 0.01  # of the weight matrices; embeddings, biases and norms have none
    clip: float = 1.0  # largest gradient norm; 0 = no clipping
    accelerator: str = "cpu"  # cpu | gpu
    devices: int = 1  # processes of a run; they share the global batch
    nodes: int = 1  # machines of a run
    precision: str = "32-true"  # Lightning's word: 32-true, 64-true, bf16-mixed, 16-mixed
    threads: int = 1  # CPU threads per process; part of the identity, since sums depend on it in the last digits


@dataclass
class EvalConfig:
    split: str = "test"  # test for reporting, dev for choosing settings
    batch_tokens: int = 8192  # padded tokens per forward pass; more is faster until memory is short


@dataclass
class LoggerConfig:
    mode: str = _aside("offline")  # offline | online | disabled
    project: str = _aside("hybrid-sweep")  # W&B project
    entity: str | None = _aside(None)  # W&B team; null = the default one


@dataclass
class SweepConfig:
    name: str = _aside("default")  # folder under outputs/sweeps/
    max_parallel: int = _aside(2)  # points that run at the same time
    margin: float = _aside(0.01)  # non-inferiority margin, absolute MRR@10; state it before the run
    untrained: bool = _aside(True)  # also evaluate the encoder before training, once per seed
    on_failure: str = _aside("continue")  # continue | stop


@dataclass
class KeepConfig:
    model: bool = _aside(True)  # keep the trained model of each point (about 6 MB for the tiny one)
    checkpoint_seconds: float = _aside(60.0)  # seconds between checkpoints while training; they go when it is done


@dataclass
class PathsConfig:
    outputs: str = _aside("outputs")  # runs and sweeps
    cache: str | None = _aside(None)  # built collections, tokenizers, tokens; null = $HYBRID_SWEEP_CACHE or ~/.cache


@dataclass
class Config:
    """One point of a sweep."""

    seed: int = 0  # of everything random in training: plan, initial weights, dropout
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    keep: KeepConfig = field(default_factory=KeepConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


SCHEMAS: dict[str, dict[str, type]] = {
    "data": {
        "debian": DebianData,
        "synthetic": SyntheticData,
        "xquad_r": LareqaData,
        "xquad_r_context": LareqaData,
        "mlqa_r": LareqaData,
        "mlqa_r_context": LareqaData,
        "mmarco": MarcoData,
        "msmarco": MarcoData,
    },
    "model": {"tiny": TinyModel, "pretrained": ModelConfig},
}


def register() -> None:
    """Tell Hydra the schema: `config_schema` for the root, `schema/<group>_<name>` for what a group file builds on."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="config_schema", node=Config)
    for group, schemas in SCHEMAS.items():
        for name, node in schemas.items():
            store.store(group="schema", name=f"{group}_{name}", node=node)


def config_dir() -> Path:
    """The folder conf/: inside the installed package, else beside it in the repository."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "conf"


def cache_dir(config: Config) -> Path:
    """Where built collections, tokenizers and tokens are kept, shared by all sweeps of a user."""
    import os

    default = os.environ.get("HYBRID_SWEEP_CACHE") or "~/.cache/hybrid-sweep"
    return Path(config.paths.cache or default).expanduser()


def load(path: Path) -> Config:
    """The typed config that `save` wrote."""
    from omegaconf import OmegaConf

    return typed(OmegaConf.load(path))


def typed(node: Any) -> Config:
    """A checked `Config` from a composed or stored OmegaConf node; raises UserError for what `validate` refuses."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        container = OmegaConf.to_container(node, resolve=True)
        assert isinstance(container, dict)
        parts: dict[str, Any] = {}
        for key, value in container.items():
            # The group's name tells which schema it has, so that a stored config comes back in its own type.
            schema = SCHEMAS.get(str(key), {})
            kind = schema.get(value.get("name"), schema.get("pretrained", DataConfig)) if schema else None
            parts[str(key)] = OmegaConf.merge(OmegaConf.structured(kind), value) if kind else value
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), parts))
    except OmegaConfBaseException as error:
        raise UserError(f"config: {str(error).splitlines()[0]} ({error.full_key or 'unknown key'})") from error
    assert isinstance(config, Config)
    validate(config)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """The config as plain nested dicts, as stored, logged and hashed."""
    return dataclasses.asdict(config)


def identity(config: Config) -> dict[str, Any]:
    """The fields that can change the numbers of a run, nested as in the config."""

    def keep(node: Any) -> dict[str, Any]:
        found = {}
        for item in dataclasses.fields(node):
            value = getattr(node, item.name)
            if dataclasses.is_dataclass(value):
                if inner := keep(value):
                    found[item.name] = inner
            elif item.metadata.get("identity", True):
                found[item.name] = value
        return found

    return keep(config)


def run_id(config: Config, fingerprints: dict[str, str]) -> str:
    """The name of a run: hash of its identity, the fingerprints of its data and model, and the recipe version."""
    return digest({"config": identity(config), "fingerprints": fingerprints, "recipe_version": RECIPE_VERSION})


def untrained(config: Config) -> Config:
    """The point that only evaluates the encoder before training; the same for all ratios and trainer settings."""
    batch = dataclasses.replace(BatchConfig(), cross_lingual_ratio=0.0)
    trainer = TrainerConfig(
        max_steps=0,
        accelerator=config.trainer.accelerator,
        precision=config.trainer.precision,
        threads=config.trainer.threads,
    )
    return dataclasses.replace(config, batch=batch, trainer=trainer)


def nearest(name: str, known: list[str]) -> str:
    """A hint for an unknown name: the nearest known ones, and all of them."""
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    return (f"did you mean {' or '.join(near)}? " if near else "") + f"there are: {', '.join(known)}"


def validate(config: Config) -> None:
    """Raise UserError for values that no collection makes valid; the plan checks what depends on the texts."""

    def need(holds: bool, key: str, value: Any, rule: str) -> None:
        if not holds:
            raise UserError(f"{key}={value}: {rule}")

    def choice(key: str, value: str, known: list[str]) -> None:
        need(value in known, key, value, f"must be one of {', '.join(known)}")

    data, model, batch, trainer = config.data, config.model, config.batch, config.trainer
    ratio = batch.cross_lingual_ratio
    need(0 <= ratio <= 1, "batch.cross_lingual_ratio", ratio, "must be a share between 0 and 1")
    need(len(data.languages) >= 1, "data.languages", data.languages, "must name at least one language")
    need(len(set(data.languages)) == len(data.languages), "data.languages", data.languages, "names a language twice")
    if len(data.languages) == 1:
        need(
            ratio == 0,
            "batch.cross_lingual_ratio",
            ratio,
            f"cross-lingual steps need two languages, but data.languages={data.languages}; add one or set the ratio to 0",
        )
    need(0 <= config.seed < 2**32, "seed", config.seed, "must be between 0 and 2^32 - 1")
    for key, count, least in (
        ("batch.size", batch.size, 2),
        ("trainer.max_steps", trainer.max_steps, 0),
        ("trainer.devices", trainer.devices, 1),
        ("trainer.nodes", trainer.nodes, 1),
        ("trainer.threads", trainer.threads, 1),
        ("sweep.max_parallel", config.sweep.max_parallel, 1),
        ("eval.batch_tokens", config.eval.batch_tokens, 1),
        ("model.query_length", model.query_length, 3),
        ("model.passage_length", model.passage_length, 3),
        ("model.layers", model.layers if model.layers is not None else 1, 1),
    ):
        need(count >= least, key, count, f"must be at least {least}")
    for key, number in (("trainer.lr", trainer.lr), ("model.temperature", model.temperature)):
        need(0 < number < math.inf, key, number, "must be a positive number")
    for key, number in (
        ("trainer.weight_decay", trainer.weight_decay),
        ("trainer.clip", trainer.clip),
        ("batch.language_exponent", batch.language_exponent),
        ("sweep.margin", config.sweep.margin),
        ("keep.checkpoint_seconds", config.keep.checkpoint_seconds),
    ):
        need(0 <= number < math.inf, key, number, "must be 0 or more")
    need(0 <= trainer.warmup <= 1, "trainer.warmup", trainer.warmup, "must be a share between 0 and 1")
    need(model.dropout is None or 0 <= model.dropout < 1, "model.dropout", model.dropout, "must be from 0 to below 1")
    choice("batch.partner", batch.partner, ["uniform", "size", "pivot"])
    choice("batch.groups", batch.groups, ["shared", "all"])
    choice("model.pooling", model.pooling, ["mean", "cls"])
    choice("trainer.accelerator", trainer.accelerator, ["cpu", "gpu"])
    choice("trainer.precision", trainer.precision, ["32-true", "64-true", "bf16-mixed", "16-mixed"])
    choice("eval.split", config.eval.split, ["dev", "test"])
    choice("logger.mode", config.logger.mode, ["offline", "online", "disabled"])
    choice("sweep.on_failure", config.sweep.on_failure, ["continue", "stop"])
    if batch.partner == "pivot":
        need(
            batch.pivot in data.languages, "batch.pivot", batch.pivot, f"must be one of data.languages {data.languages}"
        )
    ranks = trainer.devices * trainer.nodes
    need(batch.size % ranks == 0, "batch.size", batch.size, f"must be divisible by the {ranks} processes that share it")
    name = config.sweep.name
    need(bool(name) and "/" not in name and not name.startswith("."), "sweep.name", name, "must be a plain folder name")
    if isinstance(model, TinyModel):
        need(
            model.heads > 0 and model.hidden_size % model.heads == 0,
            "model.heads",
            model.heads,
            f"must divide model.hidden_size={model.hidden_size}",
        )
        need(model.depth >= 1, "model.depth", model.depth, "must be at least 1")
        need(model.vocabulary >= 300, "model.vocabulary", model.vocabulary, "must be at least 300")
    if isinstance(data, SyntheticData):
        need(data.groups >= 20, "data.groups", data.groups, "must be at least 20")
        need(data.concepts >= 40, "data.concepts", data.concepts, "must be at least 40")
        for key, share in (("data.shared", data.shared), ("data.noise", data.noise)):
            need(0 <= share <= 1, key, share, "must be a share between 0 and 1")
    if isinstance(data, MarcoData):
        choice("data.qrels", data.qrels, ["dev.small", "dev"])
        need(0 <= data.dev_share < 1, "data.dev_share", data.dev_share, "must be a share from 0 to below 1")
        for name in (data.translation, *data.languages):
            plain = bool(name) and "/" not in name and not name.startswith(".")
            need(plain, "data.languages, data.translation", name, "must be a plain name")
