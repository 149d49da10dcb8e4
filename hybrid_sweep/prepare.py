"""What a run needs before it starts, built once into the cache: collection, model folder, tokens. No torch here."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_sweep.batches import Plan, Source, make_plan
from hybrid_sweep.config import Config, MarcoData, SyntheticData, cache_dir
from hybrid_sweep.data import collection as collections
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.negatives import Negatives
from hybrid_sweep.data.pairs import HardNegatives, Pairs, pair_store
from hybrid_sweep.data.sources import BUILDERS, Say
from hybrid_sweep.errors import UserError
from hybrid_sweep.model_folder import content_digests, model_fingerprint, model_folder
from hybrid_sweep.store import digest, exclusive, read_json
from hybrid_sweep.tokens import Tokens, token_store


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
    """The collection of a run: the languages of data.languages, mapped from disk.

    Where that is not all of them, the selection is written to the cache once, so that no process holds a copy.
    """
    whole, languages = whole_collection(config, say), sorted(set(config.data.languages))
    collections.check_languages(whole, languages)
    if collections.is_all(whole, languages):
        return whole
    folder = cache_dir(config) / "selections" / digest([whole.fingerprint, languages, 1], 16)
    with exclusive(folder.parent / f"{folder.name}.lock"):
        if read_json(folder / "info.json") is None:
            collections.save(whole, folder, languages)
    # The texts are those of the fingerprint; name and origin are this collection's own.
    return dataclasses.replace(collections.load(folder), name=whole.name, info=whole.info)


def configs_of(config: Config) -> dict[str, Config]:
    """The config of each training collection by name, the main one first, the others by name: each as if it were alone."""
    others = {name: dataclasses.replace(config, data=data, more={}) for name, data in sorted(config.more.items())}
    return {config.data.name: config, **others}


@dataclass(frozen=True)
class TrainingSource:
    """A collection that is trained on, in its languages: its pairs, the tokens of its texts, row by row.

    code: (L,) int64 index of each language of the pairs among those of the plan.
    """

    name: str
    collection: Collection
    pairs: Pairs
    queries: Tokens
    passages: Tokens
    code: np.ndarray


@dataclass(frozen=True)
class Prepared:
    """Everything a run reads: the model folder, the main collection with its tokens, and all that is trained on.

    sources: the main collection first. languages: codes, the sorted union over the sources, which the plan counts in.
    """

    collection: Collection
    model: Path
    queries: Tokens
    passages: Tokens
    sources: list[TrainingSource]
    languages: list[str]

    @property
    def used(self) -> np.ndarray:
        """Sorted int64 ids of the tokens that occur in any text of the run."""
        stores = [tokens.used for source in self.sources for tokens in (source.queries, source.passages)]
        return np.unique(np.concatenate(stores))

    @property
    def pairs(self) -> Pairs:
        """The training pairs of the main collection."""
        return self.sources[0].pairs


def prepare(config: Config, say: Say = _quiet) -> Prepared:
    """Build or open what a run needs; raises UserError for data or a model that is not there."""
    configs = configs_of(config)
    collected = {name: collection_of(each, say) for name, each in configs.items()}
    folder = model_folder(config, list(collected.values()))
    union = _union(each.languages for each in collected.values())
    sources = [
        TrainingSource(
            name,
            each,
            _pairs(configs[name], each, say),
            _tokens(config, folder, each, "queries"),
            _tokens(config, folder, each, "passages"),
            _code(each.languages, union),
        )
        for name, each in collected.items()
    ]
    main = sources[0]
    return Prepared(main.collection, folder, main.queries, main.passages, sources, union)


def _union(languages: Iterable[list[str]]) -> list[str]:
    return sorted({language for each in languages for language in each})


def _code(languages: list[str], union: list[str]) -> np.ndarray:
    return np.array([union.index(language) for language in languages], np.int64)


def _tokens(config: Config, folder: Path, collection: Collection, role: str) -> Tokens:
    model = config.model
    return token_store(
        cache_dir(config),
        collection.queries if role == "queries" else collection.passages,
        f"{collection.fingerprint}:{','.join(collection.languages)}",
        folder,
        prompt=model.query_prompt if role == "queries" else model.passage_prompt,
        length=model.query_length if role == "queries" else model.passage_length,
        role=role,
    )


def _pairs(config: Config, collection: Collection, say: Say = _quiet) -> Pairs:
    """The training pairs of one collection, with its hard negatives where the run draws some."""
    cache, path = cache_dir(config), _negatives_path(config)
    if path is None:
        found = pair_store(cache, collection, "train")
        if not config.batch.hard_negatives:
            return found
        return dataclasses.replace(found, negatives=Negatives.none(found.question, len(found.languages)))
    hard = HardNegatives(path, content_digests([path], cache)[0], whole_collection(config), say)
    return pair_store(cache, collection, "train", hard)


def _negatives_path(config: Config) -> Path | None:
    """The file of hard negatives of the main collection of a config; None where there is none, or none are drawn."""
    if not (config.data.negatives and config.batch.hard_negatives):
        return None
    path = Path(config.data.negatives).expanduser()
    if not path.is_file():
        raise UserError(f"data.negatives={config.data.negatives}: no such file")
    return path


def fingerprints(config: Config, say: Say = _quiet) -> dict[str, Any]:
    """What names the data and the model of a run, after building what is missing."""
    return fingerprints_of(config, prepare(config, say))


def fingerprints_of(config: Config, prepared: Prepared) -> dict[str, Any]:
    """What names the data and the model of a prepared run.

    collection, model; `negatives` where hard negatives are drawn; `more`: the same of each further collection by name.
    """
    marks = {}
    for source, each in zip(prepared.sources, configs_of(config).values(), strict=True):
        path = _negatives_path(each)
        marks[source.name] = {"collection": source.collection.fingerprint} | (
            {"negatives": content_digests([path], cache_dir(config))[0]} if path else {}
        )
    first, *others = marks
    model = model_fingerprint(prepared.model, cache_dir(config))
    found: dict[str, Any] = {**marks[first], "model": model}
    return found | ({"more": {name: marks[name] for name in others}} if others else {})


def plan_of(config: Config, sources: Sequence[TrainingSource] | None = None) -> Plan:
    """The batch plan of a run; raises UserError where the batch is larger than every pair of languages allows.

    sources: those of the prepared run; None reads the pairs alone.
    """
    if sources is None:
        configs = configs_of(config)
        found = {name: _pairs(each, collection_of(each)) for name, each in configs.items()}
    else:
        found = {source.name: source.pairs for source in sources}
    union = _union(pairs.languages for pairs in found.values())
    batch, shares = config.batch, [each.data.share for each in configs_of(config).values()]
    planned = []
    for (name, pairs), share in zip(found.items(), shares, strict=True):
        if not len(pairs):
            raise UserError(f"data={name} has nothing to train on: use hybrid-sweep evaluate, or trainer.max_steps=0")
        present = np.zeros((len(union), len(pairs)), bool)
        present[_code(pairs.languages, union)] = pairs.present
        planned.append(Source(name, present, share))
    return make_plan(
        planned,
        union,
        seed=config.seed,
        steps=config.trainer.max_steps,
        batch_size=batch.size,
        ratio=batch.cross_lingual_ratio,
        language_exponent=batch.language_exponent,
        partner=batch.partner,
        pivot=batch.pivot,
        groups=batch.groups,
        composition=batch.composition,
        added=batch.added if batch.budget == "fixed_monolingual" else None,
    )
