"""The typed schema of a run: every knob with its unit and effect, what is identity, and what is
refused.

Fields marked `_aside` cannot change the numbers of a run; all others are part of its identity (see
`identity`). The same fields stand, with the same comments, in the YAML files under conf/.
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
    return field(default=default, metadata={"identity": "unless default"})


@dataclass
class DataConfig:
    name: str = "???"
    languages: list[str] = field(default_factory=list)  # codes; trained on and evaluated
    # of the steps, relative to those of config.more; null for all = by numbers of groups
    share: float | None = None
    # folder of a local copy; the fingerprint of its content is the identity
    path: str | None = _aside(None)
    # file of hard negatives: triples (qid pos neg) or a run; its content counts
    negatives: str | None = _aside(None)
    # passages per language: smaller pools, searched too
    pools: list[int] = field(default_factory=list, metadata=ASIDE)
    # base address or folder of a mirror to build from, where the source has mirrors
    mirror: str | None = _aside(None)


@dataclass
class DebianData(DataConfig):
    pass


@dataclass
class SyntheticData(DataConfig):
    groups: int = 600  # questions; each in most of the languages
    # size of the vocabulary of ideas; more is easier to tell apart, harder to learn
    concepts: int = 400
    # share of the ideas whose word is the same in all languages; 0 = no bridge at all
    shared: float = 0.2
    # share of the words of a question that do not come from its passage; higher is harder
    noise: float = 0.2
    seed: int = 0  # of the generator; apart from the seed of the run


@dataclass
class FileData(DataConfig):
    """What is read from files: those of data.path, or fetched by `hybrid-sweep data prepare`."""

    # strict: a bad line is an error | skip: it is counted, listed and left out
    on_error: str = _aside("strict")
    revision: str | None = _aside(None)  # of the files on their hub; null = the pinned one


@dataclass
class FilesData(FileData):
    """A user's own files: BEIR, JSONL, TREC, or the TSV of MS MARCO."""

    format: str = "auto"  # beir | jsonl | trec | tsv | auto (by the names of the files)


@dataclass
class MiraclData(FileData):
    """MIRACL: topics and judgements of a language are about its own Wikipedia passages."""


@dataclass
class LareqaData(FileData):
    """XQuAD-R or MLQA-R; the names that end in _context add its paragraph to every sentence:
    another collection.
    """


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
    # whose translation: the folder, beside the qrels, that holds collections/ and queries/
    translation: str = "google"
    # of the split test: dev.small (6,980; papers report it) | dev (all) | dl19 | dl20 (TREC)
    qrels: str = "dev.small"
    # share of the judged training questions set apart as the split dev, 0 to below 1
    dev_share: float = 0.0
    dev_seed: int = 0  # which ones: those whose hash with this seed is low

    def __post_init__(self) -> None:
        # Names, and the code dt that some tools use for Dutch, are the same language, and so the
        # same run.
        known = {**MARCO_LANGUAGES, "dt": "nl"}
        self.languages = [known.get(language, language) for language in self.languages]


@dataclass
class ModelConfig:
    name: str = "???"
    # folder of a local copy, or hub name; its content's fingerprint is the identity
    path: str | None = _aside(None)
    layers: int | None = None  # keep the first n transformer layers; null = all
    # mean of the token vectors | cls (the first one) | auto (what the model's folder says)
    pooling: str = "mean"
    query_prompt: str = ""  # put before every query
    passage_prompt: str = ""  # put before every passage
    # tokens at most, prompt and special tokens included; longer queries are cut
    query_length: int = 32
    passage_length: int = 128  # tokens at most, likewise
    temperature: float = 0.05  # divides the cosine in the loss; lower sharpens it
    dropout: float | None = None  # probability; null = what the model's own config says
    lora_rank: int = 0  # rank of low-rank adapters (peft), all else frozen; 0 = train every weight
    lora_alpha: float = 16.0  # the adapters' output is scaled by this over the rank
    # names of the adapted layers; empty = peft's own choice
    lora_targets: list[str] = field(default_factory=list)
    local_files_only: bool = _aside(True)  # false lets a hub name be downloaded
    # true runs Python code that a model's folder brings; only for folders you trust
    remote_code: bool = _added(False)


@dataclass
class TinyModel(ModelConfig):
    hidden_size: int = 128  # width of the encoder
    depth: int = 2  # transformer layers
    heads: int = 4  # attention heads; divides hidden_size
    intermediate_size: int = 512  # width of the feed-forward layers
    vocabulary: int = 8000  # entries of the BPE tokenizer, trained on the training texts


@dataclass
class Bm25Model(ModelConfig):
    """The lexical baseline: nothing is trained; the fields of an encoder have no effect."""

    # how slowly more occurrences of a word stop to count; 0 = only whether it occurs
    k1: float = 0.9
    b: float = 0.4  # how much longer passages are held back; 0 = not at all, 1 = in full
    stem: bool = True  # Snowball stems in the languages that have them; false = words as they stand


@dataclass
class BatchConfig:
    # r: share of the steps whose passages are in another language, 0 to 1
    cross_lingual_ratio: float = 0.5
    size: int = 64  # pairs in a global batch, over all devices and micro-batches
    # tau: query language drawn by (number of its groups)^tau; 0 = uniform, 1 = by size
    language_exponent: float = 0.0
    # partner language drawn uniform | size (shared groups) | pivot (one side is the pivot)
    partner: str = "uniform"
    pivot: str | None = None  # the pivot's language code
    # shared: every step walks groups of both languages; all: monolingual steps use any group
    groups: str = "shared"
    # per_batch: one pair of languages per step; per_example: each example draws its own
    composition: str = "per_batch"
    # fixed_total: max_steps in all; fixed_monolingual: max_steps monolingual, and more
    budget: str = "fixed_total"
    # c, for fixed_monolingual: cross-lingual steps per monolingual one; ratio = c/(1+c)
    added: float | None = None
    hard_negatives: int = 0  # passages per query from data.negatives, besides those in the batch
    # texts held in memory at once; gradients are cached, a batch may be of any size
    micro_batch: int | None = None

    def __post_init__(self) -> None:
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
class TrainerConfig:
    max_steps: int = 400  # optimiser steps (see batch.budget); 0 evaluates the untrained encoder
    # peak learning rate; for weights from scratch (pretrained ones want 1e-5 to 1e-4)
    lr: float = 2e-3
    # share of the steps over which the rate rises from 0; it then falls linearly to 0
    warmup: float = 0.1
    weight_decay: float = 0.01  # of the weight matrices; embeddings, biases and norms have none
    clip: float = 1.0  # largest gradient norm; 0 = no clipping
    accelerator: str = "cpu"  # cpu | gpu
    devices: int = 1  # processes of a run; they share the global batch
    nodes: int = 1  # machines of a run
    precision: str = "32-true"  # Lightning's word: 32-true, 64-true, bf16-mixed, 16-mixed
    # CPU threads per process; part of the identity, since sums depend on it in the last digits
    threads: int = 1
    # processes per rank that read ahead; on a CPU, where texts are only sliced, 0 is best
    workers: int = _aside(0)
    # texts in sub-batches of similar length; false = one padded batch of each side
    length_buckets: bool = True
    # train on the embedding rows that occur; the rest cannot change and is put back
    compact_vocabulary: bool = True
    # keep one layer's activations, compute the others again: less memory, slower
    gradient_checkpointing: bool = False
    compile: bool = False  # torch.compile the encoder; minutes to start, for long runs on a GPU


@dataclass
class EvalConfig:
    split: str = "test"  # test for reporting, dev for choosing settings
    # steps between evaluations on the split dev while training, and after the last; 0 = none
    dev_every: int = 0
    # what the best step is chosen by: SETTING/MEASURE or monolingual/LANG/RR@10
    dev_metric: str = "monolingual/RR@10"
    # which weights are evaluated and kept as the model: last | best (of the dev evaluations)
    select: str = "last"
    batch_tokens: int = 8192  # padded tokens per forward pass; more is faster until memory is short
    # further collections, by name
    also: dict[str, DataConfig] = field(default_factory=dict, metadata=ASIDE)
    # besides those that all tables have
    measures: list[str] = field(default_factory=list, metadata=ASIDE)
    run_depth: int = _aside(0)  # passages per query written as run files beside the table; 0 = none
    # flat: exact ranks of all passages | ivf: Faiss IVF, the passages it finds alone
    index: str = _added("flat")
    ivf_lists: int = _added(0)  # cells of the index; 0 = 4 x the root of the number of passages
    ivf_probes: int = _added(32)  # cells searched per query; more is slower and misses less
    # passages retrieved per query; what is relevant beyond them counts as not found
    ivf_depth: int = _added(1000)


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
    # also evaluate the encoder before training (a random one for each seed)
    untrained: bool = _aside(True)
    bm25: bool = _aside(True)  # also score BM25, once: the lexical floor of every figure
    on_failure: str = _aside("continue")  # continue | stop
    # times that a failed point is tried again by the same command; a user's mistake is not
    retries: int = _aside(0)
    # GPUs that a point has to itself; null = trainer.devices, which it uses
    gpus_per_run: int | None = _aside(None)


@dataclass
class KeepConfig:
    model: bool = _aside(True)  # keep the trained model of each point (about 6 MB for the tiny one)
    # of last and best, also keep the one that eval.select did not choose
    other_model: bool = _aside(False)
    optimizer: bool = _aside(False)  # keep the optimiser's state of the last step: twice the model
    vectors: bool = _aside(False)  # keep the vectors of the evaluated texts, 2 bytes a number
    # seconds between checkpoints while training; they go when it is done
    checkpoint_seconds: float = _aside(60.0)


@dataclass
class PathsConfig:
    outputs: str = _aside("outputs")  # runs and sweeps
    # built collections, tokenizers, tokens; null = $HYBRID_SWEEP_CACHE or ~/.cache
    cache: str | None = _aside(None)


@dataclass
class Config:
    """One point of a sweep."""

    seed: int = 0  # of everything random in training: plan, initial weights, dropout
    data: DataConfig = field(default_factory=DataConfig)  # trained on, and evaluated
    # other collections that are trained on, by any name
    more: dict[str, DataConfig] = field(default_factory=dict)
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
        "miracl": MiraclData,
        "files": FilesData,
    },
    "model": {"tiny": TinyModel, "pretrained": ModelConfig, "bm25": Bm25Model},
}


def register() -> None:
    """Tell Hydra the schema: `config_schema` for the root, `schema/<group>_<name>` for what a group
    file builds on.
    """
    from hydra.core.config_store import ConfigStore

    # Hydra has launchers of these names of its own, and would remark at every composing that ours
    # are of their type.
    remark = r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema with the same name"
    warnings.filterwarnings("ignore", message=remark, category=UserWarning)
    store = ConfigStore.instance()
    store.store(name="config_schema", node=Config)
    for group, schemas in SCHEMAS.items():
        for name, node in schemas.items():
            store.store(group="schema", name=f"{group}_{name}", node=node)


def config_dir() -> Path:
    """Return the folder conf/: inside the installed package, else beside it in the repository."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


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


def to_dict(config: Config) -> dict[str, Any]:
    """Return the config as plain nested dicts, as stored, logged and hashed."""
    return dataclasses.asdict(config)


def identity(config: Config) -> dict[str, Any]:
    """Return the fields that can change the numbers of a run, nested as in the config."""

    def keep(node: Any) -> dict[str, Any]:
        found = {}
        for item in dataclasses.fields(node):
            value = getattr(node, item.name)
            if dataclasses.is_dataclass(value):
                if inner := keep(value):
                    found[item.name] = inner
            elif item.name == "more":
                found[item.name] = {name: keep(one) for name, one in value.items()}
            elif item.metadata.get("identity", True) is True or (
                item.metadata["identity"] == "unless default" and value != item.default
            ):
                found[item.name] = value
        return found

    if config.trainer.max_steps == 0:
        # Encoding alone gives the same vectors on any number of processes.
        config = dataclasses.replace(
            config, trainer=dataclasses.replace(config.trainer, devices=1, nodes=1)
        )
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
    data, *others = (
        dataclasses.replace(each, share=None) for each in (config.data, *config.more.values())
    )
    more = dict(zip(config.more, others, strict=True))
    seed = config.seed if isinstance(config.model, TinyModel) else 0
    return dataclasses.replace(
        config, seed=seed, data=data, more=more, batch=batch, trainer=trainer, eval=eval_
    )


def bm25(config: Config) -> Config:
    """Return the point that scores BM25 on the collections and the split of a config, whatever is
    trained there and how.

    Its k1, b and stem are the config's where that is of BM25 itself, else the defaults: one run for
    all sweeps.
    """
    mine = config.model if isinstance(config.model, Bm25Model) else Bm25Model()
    asked = config.eval
    return dataclasses.replace(
        config,
        seed=0,
        data=dataclasses.replace(config.data, share=None),
        more={},
        model=Bm25Model(name="bm25", k1=mine.k1, b=mine.b, stem=mine.stem),
        batch=dataclasses.replace(BatchConfig(), cross_lingual_ratio=0.0),
        trainer=TrainerConfig(max_steps=0),
        eval=EvalConfig(
            split=asked.split, also=asked.also, measures=asked.measures, run_depth=asked.run_depth
        ),
    )
