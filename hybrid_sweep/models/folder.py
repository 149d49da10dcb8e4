"""The local folder of a run's model, and what names its content: a Hugging Face folder, or the tiny
one built here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.compute as pc
from tokenizers import Tokenizer

from hybrid_sweep.config.schema import Config, ModelConfig, TinyModel, cache_dir
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.sorting import CHUNK
from hybrid_sweep.models import code_requests
from hybrid_sweep.models.layout import Layout, read_layout, resolve_pooling, shards
from hybrid_sweep.models.stated import SETTINGS, object_of
from hybrid_sweep.models.tokens import pad_id, train_bpe
from hybrid_sweep.utils import digests, names, safe_paths
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_dir, digest, exclusive, write_json

# the files of a tiny model's folder
TINY = ("config.json", "tokenizer.json", "tokenizer_config.json")
LENGTH = 12  # hex digits of the digests that enter run ids


def model_folder(config: Config, trained_on: Sequence[Collection]) -> Path:
    """Return the local folder of the model: a Hugging Face folder with config, fast tokenizer and,
    unless tiny, weights.

    For the tiny model it holds a tokenizer trained on the training texts of the run's languages,
    built here once. Of a sentence-transformers folder it is where the transformer lies. Raises
    UserError for a folder that is missing or has modules that are not known here, and for a hub
    name that is not in the local cache.
    """
    model = config.model
    if isinstance(model, TinyModel):
        return _tiny_folder(config, model, trained_on)
    assert model.path is not None, "pretrained models have a path"
    folder = local_folder(model)
    transformer = _transformer(model, folder)
    if Path(model.path).expanduser().is_dir():
        _check_files(model, transformer)
    return transformer


def local_folder(model: ModelConfig) -> Path:
    """Return the folder that model.path means: itself, or that of a hub name in the local cache.

    Raises:
        UserError: where there is none.
    """
    assert model.path is not None, "pretrained models have a path"
    folder = Path(model.path).expanduser()
    if folder.is_dir():
        return folder
    if not may_be_on_the_hub(model.path):
        raise UserError(f"model.path={model.path}: no such folder", key="model.folder_missing")
    return _from_the_hub(model, model.path)


def _check_files(model: ModelConfig, transformer: Path) -> None:
    """Raise UserError where the folder of a model lacks a file that it needs."""
    for pattern, what in (
        ("config.json", "it is not a Hugging Face model"),
        ("tokenizer.json", "save the model's fast tokenizer there"),
        ("*.safetensors", "convert its weights, nothing is unpickled here"),
    ):
        if not any(transformer.glob(pattern)):
            raise UserError(
                f"model.path={model.path}: the folder has no {pattern}; {what}",
                key="model.files_missing",
            )


# The files of a model that are fetched from a hub; the lower ones are those that a folder of
# sentence-transformers has besides, and in its sub-folders.
FETCHED = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "modules.json",
    "sentence_*_config.json",
    SETTINGS,
    "*/config.json",
    "*/model.safetensors",
    "*/tokenizer.json",
    "*/tokenizer_config.json",
    "*/sentence_*_config.json",
)


def _from_the_hub(model: ModelConfig, name: str) -> Path:
    """Return the folder of a model in the local cache of the hub, fetched where the config allows
    it.
    """
    from huggingface_hub import snapshot_download

    wanted = [*FETCHED, *(["*.py"] if model.remote_code else [])]
    local = model.local_files_only
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=local))
    except Exception as error:  # the hub client raises many kinds; to the user all mean: not there
        hint = "give model.path=FOLDER, or model.local_files_only=false to download it"
        if not local:
            hint = "the hub does not give it (network, name, access token?): give model.path=FOLDER"
        raise UserError(
            f"model.path={model.path}: not in the local cache of models ({type(error).__name__});"
            f" {hint}",
            key="model.not_cached",
        ) from error


def may_be_on_the_hub(path: str) -> bool:
    """Return whether the path of a model, which is no folder, can be a name of the hub."""
    return not path.startswith(("/", ".", "~")) and path.count("/") <= 1


def _transformer(model: ModelConfig, folder: Path) -> Path:
    """Return where the transformer of a folder lies; what cannot be pooled is refused here, before
    any text is tokenised.
    """
    _check_pointers(folder)
    layout = read_layout(folder)
    _check_pointers(layout.transformer)
    _check_kind(layout)
    resolve_pooling(model.pooling, layout)
    if (layout.transformer / "config.json").is_file():
        code_requests.check(layout.transformer)
    # refuses an index whose weights would come from outside of the folder
    shards(layout.transformer)
    pad_id(layout.transformer)
    return layout.transformer


POINTER = b"version https://git-lfs"  # how what Git LFS leaves in place of a large file begins


def _check_pointers(folder: Path) -> None:
    """Raise UserError where a file of a model is only a pointer to it."""
    for pattern in ("*.json", "*.safetensors", "*/*.json", "*/*.safetensors"):
        for path in sorted(folder.glob(pattern)):
            if not path.is_file():  # to open a FIFO would never end
                continue
            with open(path, "rb") as file:
                if file.read(len(POINTER)) == POINTER:
                    raise UserError(
                        f"{path} is a pointer of Git LFS, not the file: run git lfs pull in"
                        f" {folder}",
                        key="model.lfs_pointer",
                    )


# Ends of the names of models that make no vector of a single text.
OTHER_TASKS = ("ForSequenceClassification", "ForRetrieval", "ColBERT")


def _check_kind(layout: Layout) -> None:
    """Refuse a transformer alone that scores pairs of texts, or makes a vector of each token.

    Where modules.json says how its vectors are made, that counts.
    """
    file = layout.transformer / "config.json"
    listed = object_of(file).get("architectures")
    for name in listed if isinstance(listed, list) and layout.pooling is None else []:
        if str(name).endswith(OTHER_TASKS):
            raise UserError(
                f"{file}: {names.shown(name)} scores pairs of texts (cross-encoder) or tokens (late"
                " interaction); to train its encoder, save it by itself:"
                " AutoModel.from_pretrained(FOLDER).save_pretrained(OTHER)",
                key="model.kind",
            )


def _tiny_folder(config: Config, model: TinyModel, trained_on: Sequence[Collection]) -> Path:
    # In an order that does not depend on names: the same texts are the same tokenizer.
    collections = sorted(trained_on, key=lambda one: (one.fingerprint, one.languages))
    first, *others = collections
    marks: list[object] = [first.fingerprint, first.languages, model.vocabulary, 1]
    if others:
        marks.append([[other.fingerprint, other.languages] for other in others])
    key = digest(marks)
    folder = safe_paths.inside(cache_dir(config), "models", f"tiny-{key}")
    with exclusive(folder.parent / f"{folder.name}.lock"):
        if _is_whole(folder, digests.memory_of(cache_dir(config), folder)):
            return folder
        if folder.exists():
            say(f"the tokenizer in {folder} is {digests.fault(folder)}: it is made again now")
        for collection in trained_on:
            if next(_training_texts([collection]), None) is None:
                raise UserError(
                    f"model={model.name} learns its tokenizer from training texts, and"
                    f" data={collection.name} has none: take another model, or evaluate a trained"
                    " run with hybrid-sweep evaluate RUN_DIR",
                    key="model.no_training_texts",
                )
        _write_tiny(folder, train_bpe(_training_texts(collections), model.vocabulary))
    return folder


def _is_whole(folder: Path, memory: digests.Memory) -> bool:
    """Return whether a tiny model's folder has all its files as they were written."""
    try:
        return set(digests.read_info(folder, memory)["files"]) == set(TINY)
    except (digests.Damaged, OSError):
        return False


def _write_tiny(folder: Path, tokenizer: Tokenizer) -> None:
    """Write the folder of a tiny model: its tokenizer, what Hugging Face says beside one, and the
    digests of both.
    """
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
        digests.write_info(temporary, {}, TINY)


def _training_texts(collected: Sequence[Collection]) -> Iterator[str]:
    """Yield the texts of the split train, a block at a time."""
    for collection in collected:
        for table in (collection.queries, collection.passages):
            for batch in table.select(["split", "text"]).to_batches(max_chunksize=CHUNK):
                yield from batch.filter(pc.equal(batch["split"], "train"))["text"].to_pylist()


def model_fingerprint(folder: Path, cache: Path) -> str:
    """Return the hash of the files that make a model's vectors, of a sentence-transformers folder
    its modules' too.
    """
    files = {path.name: path for path in folder.glob("*.safetensors")}
    files |= {
        name: folder / name
        for name in ("config.json", "tokenizer.json")
        if (folder / name).is_file()
    }
    files |= read_layout(folder).files
    # code of its own, which model.remote_code may run
    if "auto_map" in object_of(folder / "config.json"):
        files |= {path.name: path for path in sorted(folder.glob("*.py"))}
    return digest(dict(zip(files, content_digests(list(files.values()), cache), strict=True)))


def content_digests(files: Sequence[Path], cache: Path) -> list[str]:
    """Return the digest of each file's content, remembered in the cache while the file does not
    change.
    """
    memories: dict[Path, digests.Memory] = {}
    texts = []
    for path in files:
        memory = memories.setdefault(path.parent, digests.memory_of(cache, path.parent))
        # These digests are part of run ids, which have the length that they always had.
        texts.append(memory.digest_of(path)[:LENGTH])
    for memory in memories.values():
        memory.flush()
    return texts
