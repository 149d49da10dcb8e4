"""What a run needs before it starts, built once into the cache: collection, model folder, tokens. No torch here."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from hybrid_sweep.batches import Plan, make_plan
from hybrid_sweep.config import Config, MarcoData, SyntheticData, TinyModel, cache_dir
from hybrid_sweep.data import collection as collections
from hybrid_sweep.data.collection import Collection, Pairs
from hybrid_sweep.data.sources import BUILDERS, Say
from hybrid_sweep.errors import UserError
from hybrid_sweep.store import atomic_dir, digest, exclusive, file_digest, read_json, write_json
from hybrid_sweep.tokens import Tokens, token_store, train_bpe


def _quiet(_: str) -> None:
    pass


def collection_folder(config: Config) -> Path:
    """Where the collection of a config lies, or will lie once it is built.

    data.path is such a folder itself, or holds the files of the source; what is built from them is named by their names,
    sizes and times, so that changed files are read again.
    """
    data, built = config.data, cache_dir(config) / "collections"
    if isinstance(data, SyntheticData):
        key = digest([data.groups, data.concepts, data.shared, data.noise, data.seed])
        return built / f"synthetic-{key}"
    if not data.path:
        return built / data.name
    folder = Path(data.path).expanduser()
    if (folder / "info.json").is_file():
        return folder
    if not folder.exists():
        raise UserError(f"data.path={data.path}: no such folder")
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    # Of MS MARCO only the chosen languages and questions are built, so that each choice is a collection of its own.
    chosen = (
        [sorted(data.languages), data.translation, data.qrels, data.dev_share, data.dev_seed]
        if isinstance(data, MarcoData)
        else []
    )
    key = digest([*([str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files), *chosen])
    return built / f"{data.name}-{key}"


def is_prepared(config: Config) -> bool:
    """Whether the collection is built."""
    return read_json(collection_folder(config) / "info.json") is not None


def whole_collection(config: Config, say: Say = _quiet, *, refresh: bool = False) -> Collection:
    """The collection in all its languages, built and cached where it is missing or `refresh` is asked for."""
    folder, data = collection_folder(config), config.data
    if data.path and folder == Path(data.path).expanduser():
        return collections.load(folder)
    with exclusive(folder.parent / f"{folder.name}.lock"):
        if refresh or not is_prepared(config):
            built = BUILDERS[data.name](data, folder.parent / f"{folder.name}.work", say)
            collections.save(built, folder)
    return collections.load(folder)


def collection_of(config: Config, say: Say = _quiet) -> Collection:
    """The collection of a run: the languages of data.languages."""
    return collections.select(whole_collection(config, say), config.data.languages)


def model_folder(config: Config, collection: Collection) -> Path:
    """The local folder of the model: a Hugging Face folder with config, fast tokenizer and, unless tiny, weights.

    For the tiny model it holds a tokenizer trained on the training texts of the run's languages, built here once.
    Raises UserError for a folder that is missing or a hub name that is not in the local cache.
    """
    model = config.model
    if isinstance(model, TinyModel):
        return _tiny_folder(config, model, collection)
    assert model.path is not None, "pretrained models have a path"
    folder = Path(model.path).expanduser()
    if folder.is_dir():
        for pattern, what in (
            ("config.json", "it is not a Hugging Face model"),
            ("tokenizer.json", "save the model's fast tokenizer there"),
            ("*.safetensors", "convert its weights, nothing is unpickled here"),
        ):
            if not any(folder.glob(pattern)):
                raise UserError(f"model.path={model.path}: the folder has no {pattern}; {what}")
        return folder
    if model.path.startswith(("/", ".", "~")) or model.path.count("/") > 1:
        raise UserError(f"model.path={model.path}: no such folder")
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "tokenizer.json", "tokenizer_config.json", "*.safetensors", "*.safetensors.index.json"]
    try:
        return Path(snapshot_download(model.path, allow_patterns=wanted, local_files_only=model.local_files_only))
    except Exception as error:  # the hub client raises many kinds; to the user all mean: not there
        hint = "give model.path=FOLDER, or model.local_files_only=false to download it"
        raise UserError(
            f"model.path={model.path}: not in the local cache of models ({type(error).__name__}); {hint}"
        ) from error


def _tiny_folder(config: Config, model: TinyModel, collection: Collection) -> Path:
    key = digest([collection.fingerprint, sorted(config.data.languages), model.vocabulary, 1])
    folder = cache_dir(config) / "models" / f"tiny-{key}"
    with exclusive(folder.parent / f"{folder.name}.lock"):
        if not (folder / "tokenizer.json").is_file():
            texts = [
                table.filter(pc.equal(table["split"], "train"))["text"]
                for table in (collection.queries, collection.passages)
            ]
            if not any(map(len, texts)):
                raise UserError(
                    f"model={model.name} learns its tokenizer from training texts, and data={collection.name} has none: "
                    "take another model, or evaluate a trained run with hybrid-sweep evaluate RUN_DIR"
                )
            tokenizer = train_bpe((text.as_py() for column in texts for text in column), model.vocabulary)
            with atomic_dir(folder) as temporary:
                tokenizer.save(str(temporary / "tokenizer.json"))
                write_json(
                    temporary / "config.json",
                    {"model_type": "bert", "vocab_size": tokenizer.get_vocab_size(), "pad_token_id": 0},
                )
                write_json(
                    temporary / "tokenizer_config.json",
                    {
                        "tokenizer_class": "PreTrainedTokenizerFast",
                        "model_input_names": ["input_ids", "attention_mask"],
                        "clean_up_tokenization_spaces": False,
                        "pad_token": "[PAD]",
                        "unk_token": "[UNK]",
                        "cls_token": "[CLS]",
                        "sep_token": "[SEP]",
                        "mask_token": "[MASK]",
                    },
                )
    return folder


def model_fingerprint(folder: Path, cache: Path) -> str:
    """The hash of the files that make a model's vectors; those of large files are remembered by size and time."""
    memory_path = cache / "models" / "fingerprints.json"
    remembered = read_json(memory_path) or {}
    found, fresh = {}, {}
    for path in sorted(folder.glob("*")):
        if path.name in ("config.json", "tokenizer.json") or path.suffix == ".safetensors":
            stat = path.stat()
            known = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
            found[path.name] = remembered.get(known) or file_digest(path)
            if stat.st_size > 1_000_000 and known not in remembered:
                fresh[known] = found[path.name]
    if fresh:
        write_json(memory_path, {**remembered, **fresh})
    return digest(found)


@dataclass(frozen=True)
class Prepared:
    """Everything a run reads: the collection in its languages, its training pairs, the model folder and all tokens."""

    collection: Collection
    pairs: Pairs
    model: Path
    queries: Tokens
    passages: Tokens


def prepare(config: Config, say: Say = _quiet) -> Prepared:
    """Build or open what a run needs; raises UserError for data or a model that is not there."""
    collection = collection_of(config, say)
    folder = model_folder(config, collection)
    tokens = [
        token_store(
            cache_dir(config),
            table,
            f"{collection.fingerprint}:{','.join(sorted(config.data.languages))}",
            folder,
            prompt=prompt,
            length=length,
            role=role,
        )
        for table, prompt, length, role in (
            (collection.queries, config.model.query_prompt, config.model.query_length, "queries"),
            (collection.passages, config.model.passage_prompt, config.model.passage_length, "passages"),
        )
    ]
    return Prepared(collection, collections.pairs(collection, "train"), folder, *tokens)


def fingerprints(config: Config, say: Say = _quiet) -> dict[str, str]:
    """What names the data and the model of a run, after building what is missing."""
    prepared = prepare(config, say)
    return {
        "collection": prepared.collection.fingerprint,
        "model": model_fingerprint(prepared.model, cache_dir(config)),
    }


def plan_of(config: Config, pairs: Pairs | None = None) -> Plan:
    """The batch plan of a run; raises UserError where the batch is larger than every pair of languages allows."""
    pairs = pairs if pairs is not None else collections.pairs(collection_of(config), "train")
    if not len(pairs.groups):
        raise UserError(
            f"data={config.data.name} has nothing to train on: use hybrid-sweep evaluate, or trainer.max_steps=0"
        )
    batch = config.batch
    return make_plan(
        pairs.present,
        pairs.languages,
        seed=config.seed,
        steps=config.trainer.max_steps,
        batch_size=batch.size,
        ratio=batch.cross_lingual_ratio,
        language_exponent=batch.language_exponent,
        partner=batch.partner,
        pivot=batch.pivot,
        groups=batch.groups,
    )
