"""The typed schema of a run: its fields, their types and defaults, and what is identity.

Fields marked `_aside` cannot change the numbers of a run; all others are part of its identity (see
`identity`). What a field means, with its unit, stands once, beside its value in the YAML files
under conf/: batch/hybrid.yaml, trainer/cpu.yaml, eval/default.yaml and so on (tested).
"""

import dataclasses
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest

# Raised by hand when a change of the code alters results: old runs are then done again. 2: texts of
# similar length share a sub-batch, and the gradient norm is summed by rows: the last digits of a
# loss differ.
RECIPE_VERSION = 2


ASIDE = {"identity": False}
ADDED = {"identity": "unless default"}


def _aside(default: Any) -> Any:
    """Return a field that cannot change the numbers of a run, and so is left out of its
    identity.
    """
    return field(default=default, metadata=ASIDE)


def _added(default: Any) -> Any:
    """Return a field that came after runs were published: part of the identity only where it is not
    its default.

    So older runs keep their ids; the default of such a field can never change.
    """
    return field(default=default, metadata=ADDED)


def _is_default(item: "dataclasses.Field[Any]", value: Any) -> bool:
    if item.default_factory is not dataclasses.MISSING:
        return bool(value == item.default_factory())
    return bool(value == item.default)


@dataclass
class DataConfig:
    name: str = "???"
    languages: list[str] = field(default_factory=list)
    share: float | None = None
    path: str | None = _aside(None)
    negatives: str | None = _aside(None)
    negatives_format: str | None = _aside(None)
    pools: list[int] = field(default_factory=list, metadata=ASIDE)
    mirror: str | None = _aside(None)
    measure: str | None = _aside(None)


@dataclass
class DebianData(DataConfig):
    measure: str | None = _aside("RR@10")


# Our codes of the languages of LibreOffice's help, and the archive's. British English copies
# English; Slovak and Hindi are hardly translated.
LIBREOFFICE_LANGUAGES = {
    code: code
    for code in (
        "ca cs da de dz el es et eu fi fr gl hu id it ja km ko nl om pl ru sl sv tr vi zh-tw"
    ).split()
} | {"en": "en-us", "pt": "pt-br", "pt-pt": "pt", "zh": "zh-cn"}


@dataclass
class LibreofficeData(DataConfig):
    """The help of LibreOffice; each choice of languages is a collection of its own."""

    measure: str | None = _aside("RR@10")


@dataclass
class SyntheticData(DataConfig):
    groups: int = 600
    concepts: int = 400
    shared: float = 0.2
    noise: float = 0.2
    seed: int = 0
    measure: str | None = _aside("RR@10")


@dataclass
class FileData(DataConfig):
    """What is read from files: those of data.path, or fetched by `hybrid-sweep data prepare`."""

    on_error: str = _aside("strict")
    revision: str | None = _aside(None)


@dataclass
class FilesData(FileData):
    """A user's own files: BEIR, JSONL, TREC, or the TSV of MS MARCO."""

    format: str = "auto"


@dataclass
class MiraclData(FileData):
    """MIRACL: topics and judgements of a language are about its own Wikipedia passages."""

    measure: str | None = _aside("nDCG@10")


@dataclass
class LareqaData(FileData):
    """XQuAD-R or MLQA-R; the names that end in _context add its paragraph to every sentence:
    another collection.
    """

    measure: str | None = _aside("AP")


@dataclass
class IrDatasetsData(FileData):
    """Collections of the catalogue ir_datasets, by their ids there."""

    id: str | None = None
    ids: dict[str, str] = field(default_factory=dict)
    dev_ids: dict[str, str] = field(default_factory=dict)
    train_ids: dict[str, str] = field(default_factory=dict)
    query_language: str = "en"
    query_fields: list[str] = field(default_factory=lambda: ["text"])
    passage_fields: list[str] = field(default_factory=lambda: ["text"])
    parallel: bool = _added(False)


@dataclass
class HfData(FileData):
    """A data set of Parquet files: a folder, or ORG/NAME of the Hugging Face hub."""

    queries: dict[str, str] = field(default_factory=dict)
    passages: dict[str, str] = field(default_factory=dict)
    qrels: dict[str, str] = field(default_factory=dict)
    query_language: str = "en"
    id_column: str = "_id"
    lang_column: str | None = None
    group_column: str | None = None
    query_columns: list[str] = field(default_factory=lambda: ["text"])
    passage_columns: list[str] = field(default_factory=lambda: ["title", "text"])
    qrels_columns: list[str] = field(default_factory=lambda: ["query-id", "corpus-id", "score"])


# The languages of MS MARCO and its translations: the name in the names of the files, and the code
# used here.
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
class MarcoData(FileData):
    translation: str = "google"
    qrels: str = "dev.small"
    dev_share: float = 0.0
    dev_seed: int = 0

    def __post_init__(self) -> None:
        # Names, and the code dt that some tools use for Dutch, are the same language, and so the
        # same run.
        codes = {**MARCO_LANGUAGES, "dt": "nl"}
        self.languages = [codes.get(language, language) for language in self.languages]


def own_measure(data: DataConfig) -> str | None:
    """Return the measure that papers report of a collection; None where that is not known."""
    if data.measure is None and isinstance(data, MarcoData):
        if data.qrels in ("dl19", "dl20"):
            return "nDCG@10"
        return "RR@10"
    return data.measure


@dataclass
class ModelConfig:
    name: str = "???"
    path: str | None = _aside(None)
    layers: int | None = None
    pooling: str = "mean"
    query_prompt: str = ""
    passage_prompt: str = ""
    query_length: int = 32
    passage_length: int = 128
    temperature: float = 0.05
    dropout: float | None = None
    lora_rank: int = 0
    lora_alpha: float = 16.0
    lora_targets: list[str] = field(default_factory=list)
    local_files_only: bool = _aside(True)
    remote_code: bool = _added(False)


@dataclass
class TinyModel(ModelConfig):
    hidden_size: int = 128
    depth: int = 2
    heads: int = 4
    intermediate_size: int = 512
    vocabulary: int = 8000


@dataclass
class Bm25Model(ModelConfig):
    """The lexical baseline: nothing is trained; the fields of an encoder have no effect."""

    k1: float = 0.9
    b: float = 0.4
    stem: bool = True


@dataclass
class CodeSwitchConfig:
    share: float = _added(0.0)
    # paths; the digests of the files are in the fingerprints of a run
    lexicon: dict[str, str] = field(default_factory=dict, metadata=ASIDE)


@dataclass
class BatchConfig:
    cross_lingual_ratio: float = 0.5
    size: int = 64
    language_exponent: float = 0.0
    partner: str = "uniform"
    pivot: str | None = None
    groups: str = "shared"
    composition: str = "per_batch"
    budget: str = "fixed_total"
    added: float | None = None
    hard_negatives: int = 0
    micro_batch: int | None = None
    ratio_schedule: str = _added("constant")
    query_languages: list[str] = field(default_factory=list, metadata=ADDED)
    passage_languages: list[str] = field(default_factory=list, metadata=ADDED)
    pairs: dict[str, float] = field(default_factory=dict, metadata=ADDED)
    negatives_language: str = _added("passage")
    code_switch: CodeSwitchConfig = field(default_factory=CodeSwitchConfig)
    micro_tokens: int | None = _added(None)

    def __post_init__(self) -> None:
        # The order in which they are given has no effect.
        self.query_languages = sorted(self.query_languages)
        self.passage_languages = sorted(self.passage_languages)
        self.pairs = dict(sorted(self.pairs.items()))
        if self.budget == "fixed_monolingual":
            # Both names of a point are known whichever was given, so that all its spellings are one
            # run.
            if (
                self.added is None
                and isinstance(self.cross_lingual_ratio, float)
                and self.cross_lingual_ratio < 1
            ):
                self.added = round(self.cross_lingual_ratio / (1 - self.cross_lingual_ratio), 6)
            if self.added is not None and self.added >= 0:
                self.cross_lingual_ratio = self.added / (1 + self.added)
        if isinstance(self.cross_lingual_ratio, float):
            # All spellings of a ratio (0.7, 7e-1, .1 * 7) are one point.
            self.cross_lingual_ratio = round(self.cross_lingual_ratio, 6) + 0.0


@dataclass
class AlignmentConfig:
    weight: float = _added(0.0)
    of: str = _added("queries")
    divergence: str = _added("jensen_shannon")

    def __post_init__(self) -> None:
        if self.weight == 0:  # all spellings of no alignment are one run
            self.of, self.divergence = "queries", "jensen_shannon"


@dataclass
class DistillationConfig:
    weight: float = _added(0.0)
    path: str | None = _aside(None)
    loss: str = _added("margin_mse")
    over: str = _added("hard_negatives")
    temperature: float = _added(1.0)

    def __post_init__(self) -> None:
        if self.weight == 0:  # all spellings of no teacher are one run
            self.loss, self.over, self.temperature = "margin_mse", "hard_negatives", 1.0


@dataclass
class LossConfig:
    infonce: float = _added(1.0)
    symmetric: float = _added(0.0)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    block: int | None = _added(None)


@dataclass
class TrainerConfig:
    max_steps: int = 400
    lr: float = 2e-3
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    accelerator: str = "cpu"
    devices: int = 1
    nodes: int = 1
    precision: str = "32-true"
    threads: int = 1
    workers: int = _aside(0)
    length_buckets: bool = True
    compact_vocabulary: bool = True
    gradient_checkpointing: bool = False
    compile: bool = False
    attention: str = _added("sdpa")
    loss: str | None = _added(None)
    callbacks: list[str] = field(default_factory=list, metadata=ADDED)


@dataclass
class EvalConfig:
    split: str = "test"
    dev_every: int = 0
    dev_metric: str = "monolingual/RR@10"
    select: str = "last"
    batch_tokens: int = 8192
    also: dict[str, DataConfig] = field(default_factory=dict, metadata=ASIDE)
    measures: list[str] = field(default_factory=list, metadata=ASIDE)
    run_depth: int = _aside(0)
    index: str = _added("flat")
    ivf_lists: int = _added(0)
    ivf_probes: int = _added(32)
    ivf_depth: int = _added(1000)
    own_document: str = _added("keep")
    precision: str = _added("trained")


@dataclass
class LoggerConfig:
    mode: str = _aside("offline")
    project: str = _aside("hybrid-sweep")
    entity: str | None = _aside(None)
    also: list[str] = field(default_factory=list, metadata=ASIDE)


@dataclass
class SweepConfig:
    name: str = _aside("default")
    max_parallel: int = _aside(2)
    margin: float = _aside(0.01)
    primary: str = _aside("RR@10")
    seeds_planned: int | None = _aside(None)
    until: str = _aside("planned")
    max_seeds: int = _aside(20)

    @property
    def is_sequential(self) -> bool:
        """Return whether seeds are added until the verdicts are settled."""
        return self.until == "settled"

    @property
    def stated_seeds(self) -> int | None:
        """Return how many seeds each ratio shall have, as stated; None where it is not."""
        if self.is_sequential:
            return self.max_seeds
        return self.seeds_planned

    untrained: bool = _aside(True)
    bm25: bool = _aside(True)
    centred: bool = _aside(False)
    on_failure: str = _aside("continue")
    retries: int = _aside(0)
    gpus_per_run: int | None = _aside(None)


@dataclass
class KeepConfig:
    model: bool = _aside(True)
    other_model: bool = _aside(False)
    optimizer: bool = _aside(False)
    vectors: bool = _aside(False)
    checkpoint_seconds: float = _aside(60.0)


@dataclass
class PathsConfig:
    outputs: str = _aside("outputs")
    cache: str | None = _aside(None)


@dataclass
class Config:
    """One point of a sweep."""

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    more: dict[str, DataConfig] = field(default_factory=dict)
    model: ModelConfig = field(default_factory=ModelConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    keep: KeepConfig = field(default_factory=KeepConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


SCHEMAS: dict[str, dict[str, type]] = {
    "data": {
        "debian": DebianData,
        "libreoffice": LibreofficeData,
        "synthetic": SyntheticData,
        "xquad_r": LareqaData,
        "xquad_r_context": LareqaData,
        "mlqa_r": LareqaData,
        "mlqa_r_context": LareqaData,
        "mmarco": MarcoData,
        "msmarco": MarcoData,
        "miracl": MiraclData,
        "files": FilesData,
        "ir_datasets": IrDatasetsData,
        "hf": HfData,
        "neuclir": IrDatasetsData,
        "hc4": IrDatasetsData,
        "neumarco": IrDatasetsData,
    },
    "model": {"tiny": TinyModel, "pretrained": ModelConfig, "bm25": Bm25Model},
}


ROOT_SCHEMA = "config_schema"


def register() -> None:
    """Tell Hydra the schema: `config_schema` for the root, `schema/<group>_<name>` for what a group
    file builds on.
    """
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    # Hydra has launchers of these names of its own, and would remark at every composing that ours
    # are of their type.
    remark = r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema with the same name"
    warnings.filterwarnings("ignore", message=remark, category=UserWarning)
    store = ConfigStore.instance()
    if f"{ROOT_SCHEMA}.yaml" in store.repo:  # for the life of a process
        return
    root = OmegaConf.structured(Config)
    for node in (root.batch.pairs, root.batch.code_switch.lexicon):
        OmegaConf.set_struct(node, False)  # its keys are a user's own
    for group, schemas in SCHEMAS.items():
        for name, node in schemas.items():
            store.store(group="schema", name=f"{group}_{name}", node=node)
    store.store(name=ROOT_SCHEMA, node=root)  # last: where it is, all are


def config_dir() -> Path:
    """Return the folder conf/: inside the installed package, else beside it in the repository."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    if inside.is_dir():
        return inside
    return package.parent / "conf"


def cache_dir(config: Config) -> Path:
    """Return where built collections, tokenizers and tokens are kept, shared by all sweeps of a
    user.
    """
    import os

    default = os.environ.get("HYBRID_SWEEP_CACHE") or "~/.cache/hybrid-sweep"
    try:
        return Path(config.paths.cache or default).expanduser()
    except RuntimeError as error:
        raise UserError(
            "no cache: HOME is not set; set paths.cache or HYBRID_SWEEP_CACHE to a folder",
            key="config.paths.cache",
        ) from error


def steps_of(config: Config) -> int:
    """Return the optimiser steps of a run: trainer.max_steps, and under fixed_monolingual the added
    cross-lingual ones.
    """
    return config.trainer.max_steps + round((config.batch.added or 0.0) * config.trainer.max_steps)


def encoding_precision(config: Config) -> str:
    """Return the precision in which the evaluation encodes texts: eval.precision, or that of
    training.
    """
    if config.eval.precision == "trained":
        return config.trainer.precision
    return config.eval.precision


def is_cached(config: Config) -> bool:
    """Return whether gradients are cached: each sub-batch of a step is computed twice."""
    return config.batch.micro_batch is not None or config.batch.micro_tokens is not None


def to_dict(config: Config) -> dict[str, Any]:
    """Return the config as plain nested dicts, as stored, logged and hashed."""
    return dataclasses.asdict(config)


def identity(config: Config) -> dict[str, Any]:
    """Return the fields that can change the numbers of a run, nested as in the config."""

    def keep(node: Any) -> dict[str, Any]:
        kept = {}
        for item in dataclasses.fields(node):
            value = getattr(node, item.name)
            enters = item.metadata.get("identity", True)
            if dataclasses.is_dataclass(value):
                inner = keep(value)
                if inner:
                    kept[item.name] = inner
            elif item.name == "more":
                kept[item.name] = {name: keep(data) for name, data in value.items()}
            elif enters is True or (enters == "unless default" and not _is_default(item, value)):
                kept[item.name] = value
        return kept

    if config.trainer.max_steps == 0:
        # Encoding alone gives the same vectors on any number of processes.
        trainer = dataclasses.replace(config.trainer, devices=1, nodes=1)
        config = dataclasses.replace(config, trainer=trainer)
    return keep(config)


def run_id(config: Config, fingerprints: dict[str, str]) -> str:
    """Return the name of a run: hash of its identity, the fingerprints of its data and model, and
    the recipe version.
    """
    return digest(
        {"config": identity(config), "fingerprints": fingerprints, "recipe_version": RECIPE_VERSION}
    )


def untrained(config: Config) -> Config:
    """Return the point that only evaluates the encoder before training; the same for all ratios and
    trainer settings.

    Where the weights come from a folder it is the same for all seeds too, and has seed 0.
    """
    batch = dataclasses.replace(BatchConfig(), cross_lingual_ratio=0.0)
    trainer = TrainerConfig(
        max_steps=0,
        accelerator=config.trainer.accelerator,
        devices=config.trainer.devices,
        nodes=config.trainer.nodes,
        precision=config.trainer.precision,
        threads=config.trainer.threads,
        length_buckets=config.trainer.length_buckets,
    )
    eval_ = dataclasses.replace(config.eval, dev_every=0, select="last")
    data = dataclasses.replace(config.data, share=None)
    more = {name: dataclasses.replace(other, share=None) for name, other in config.more.items()}
    seed = 0
    if isinstance(config.model, TinyModel):
        seed = config.seed
    return dataclasses.replace(
        config,
        seed=seed,
        data=data,
        more=more,
        batch=batch,
        loss=LossConfig(),
        trainer=trainer,
        eval=eval_,
    )


def bm25(config: Config) -> Config:
    """Return the point that scores BM25 on the collections and the split of a config, whatever is
    trained there and how.

    Its k1, b and stem are the config's where that is of BM25 itself, else the defaults: one run for
    all sweeps.
    """
    if isinstance(config.model, Bm25Model):
        mine = config.model
    else:
        mine = Bm25Model()
    asked = config.eval
    return dataclasses.replace(
        config,
        seed=0,
        data=dataclasses.replace(config.data, share=None),
        more={},
        model=Bm25Model(name="bm25", k1=mine.k1, b=mine.b, stem=mine.stem),
        batch=dataclasses.replace(BatchConfig(), cross_lingual_ratio=0.0),
        loss=LossConfig(),
        trainer=TrainerConfig(max_steps=0),
        eval=EvalConfig(
            split=asked.split,
            also=asked.also,
            measures=asked.measures,
            run_depth=asked.run_depth,
            own_document=asked.own_document,
        ),
    )
