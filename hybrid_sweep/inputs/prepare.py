"""What a run needs before it starts, built once into the cache: collection, model folder, tokens.

No torch here.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_sweep.config.schema import (
    Bm25Model,
    Config,
    DataConfig,
    DebianData,
    FileData,
    FilesData,
    HfData,
    IrDatasetsData,
    LibreofficeData,
    MarcoData,
    MiraclData,
    SyntheticData,
    TinyModel,
    cache_dir,
)
from hybrid_sweep.data import collection as collections
from hybrid_sweep.data.code_switching import lexicon_digests
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.datasets.msmarco_judgements import TRIPLES
from hybrid_sweep.data.datasets.sources import BUILDERS, Say, check_languages
from hybrid_sweep.data.hub import is_on_hub, local, revision, triples
from hybrid_sweep.data.negative_lines import form_of
from hybrid_sweep.data.negatives import HardNegatives, Negatives
from hybrid_sweep.data.pairs import Pairs, pair_store
from hybrid_sweep.data.teacher import TeacherFile, TeacherScores, teacher_store
from hybrid_sweep.models import trial
from hybrid_sweep.models.folder import content_digests, model_fingerprint, model_folder
from hybrid_sweep.models.tokens import Tokenizing, Tokens, token_store
from hybrid_sweep.retrieval.analyzer import fingerprint as words_fingerprint
from hybrid_sweep.utils import digests, safe_paths
from hybrid_sweep.utils.build_once import build_once
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest, read_own_json


def _quiet(_: str) -> None:
    pass


def collection_folder(config: Config) -> Path:
    """Return where the collection of a config lies, or will lie once it is built.

    data.path is such a folder itself, or holds the files of the source; what is built from them is
    named by their names, sizes and times, so that changed files are read again. What is fetched is
    named by its revision.
    """
    data = config.data
    root = cache_dir(config) / "collections"
    if isinstance(data, SyntheticData):
        key = digest([data.groups, data.concepts, data.shared, data.noise, data.seed])
        return root / f"synthetic-{key}"
    if not data.path:
        fetched = revision(data)
        if isinstance(data, IrDatasetsData):
            return root / f"{data.name}-{digest(_chosen(data))}"
        if isinstance(data, LibreofficeData):
            return root / f"{data.name}-{digest(sorted({'en', *data.languages}))}"
        if not fetched:
            return root / data.name
        return root / f"{data.name}-{digest([fetched, *_chosen(data)])}"
    folder = Path(data.path).expanduser()
    if (folder / "info.json").is_file():
        return folder
    if isinstance(data, HfData) and is_on_hub(data):
        return root / f"{data.name}-{digest([data.path, data.revision, *_chosen(data)])}"
    if not folder.exists():
        raise UserError(f"data.path={data.path}: no such folder", key="data.folder_missing")
    if isinstance(data, DebianData | LibreofficeData | IrDatasetsData):
        raise UserError(
            f"data.path={data.path}: no prepared collection is there (no info.json), and"
            f" data={data.name} reads no other files",
            key="data.path_not_prepared",
        )
    if folder.is_file():
        paths = [folder]
    else:
        paths = sorted(folder.rglob("*"))
    marks: list[object] = []
    for path in paths:
        if path.is_file():
            stat = path.stat()
            marks.append([str(path), stat.st_size, stat.st_mtime_ns])
    return root / f"{data.name}-{digest([*marks, *_chosen(data)])}"


def _chosen(data: DataConfig) -> list[object]:
    """Return the fields that say what is built from the same files: each choice is a collection of
    its own.

    Of MS MARCO and MIRACL only the languages that are asked for are read.
    """
    chosen: list[object] = []
    if isinstance(data, MarcoData):
        chosen += [sorted(data.languages), data.translation]
        chosen += [data.qrels, data.dev_share, data.dev_seed]
    if isinstance(data, MiraclData):
        chosen += [sorted(data.languages)]
    if isinstance(data, HfData):
        chosen += [data.queries, data.passages, data.qrels, data.query_language, data.id_column]
        chosen += [data.lang_column, data.group_column, data.query_columns, data.passage_columns]
        chosen += [data.qrels_columns]
    if isinstance(data, IrDatasetsData):
        chosen += [data.id, data.ids, data.dev_ids, data.train_ids, data.query_language]
        chosen += [data.query_fields, data.passage_fields]
        if data.parallel:
            chosen.append("parallel")
    if isinstance(data, FilesData):
        # one language names all texts
        chosen += [data.languages if len(data.languages) == 1 else [], data.format]
    # What is read strictly has no line that skipping would leave out: the word of the others is all
    # that counts.
    if isinstance(data, FileData) and data.on_error == "skip":
        chosen.append("skip")
    return chosen


def is_prepared(config: Config) -> bool:
    """Return whether the collection is built.

    Raises:
        UserError: for a language that it never has.
    """
    check_languages(config.data)
    return read_own_json(collection_folder(config) / "info.json") is not None


def built(cache: Path, fingerprint: str) -> Path | None:
    """Return the folder of the cache that holds the collection of this fingerprint; None where
    there is none.
    """
    for folder in sorted((cache / "collections").glob("*")):
        info = read_own_json(folder / "info.json")
        same = isinstance(info, dict) and info.get("fingerprint") == fingerprint
        if same and not folder.is_symlink():
            return folder
    return None


def whole_collection(
    config: Config, say: Say = _quiet, *, refresh: bool = False, download: bool = False
) -> Collection:
    """Return the collection in all its languages, built and cached where it is missing, damaged, or
    `refresh` is asked for.

    download: whether files of a published collection may be fetched; where not, those that are here
    already are used.
    """
    folder = collection_folder(config)
    data = config.data
    cache = cache_dir(config)
    if data.path and folder == Path(data.path).expanduser():
        return collections.load(folder, digests.memory_of(cache, folder))

    def build() -> None:
        source = local(data, cache, say, download=download, refresh=refresh)
        made = BUILDERS[data.name](source, folder.parent / f"{folder.name}.work", say)
        if source is not data:
            made = dataclasses.replace(made, info={**made.info, "revision": revision(data)})
        if len(made.passages) > 1_000_000:
            say(f"writing {len(made.passages):,} passages to {folder}")
        collections.save(made, folder)

    return _cached(cache, folder, say, build, refresh=refresh)


def collection_of(config: Config, say: Say = _quiet) -> Collection:
    """Return the collection of a run: the languages of data.languages, mapped from disk.

    Where that is not all of them, the selection is written to the cache once, so that no process
    holds a copy.
    """
    check_languages(config.data)
    whole = whole_collection(config, say)
    languages = sorted(set(config.data.languages))
    collections.check_languages(whole, languages)
    if collections.is_all(whole, languages):
        return whole
    cache = cache_dir(config)
    folder = cache / "selections" / digest([whole.fingerprint, languages, 2], 16)
    part = _cached(cache, folder, say, lambda: collections.save(whole, folder, languages))
    # The texts are those of the fingerprint; name and origin are this collection's own.
    return dataclasses.replace(part, name=whole.name, info=whole.info, clusters=whole.clusters)


def _cached(
    cache: Path, folder: Path, say: Say, build: Callable[[], None], *, refresh: bool = False
) -> Collection:
    """Return the collection in a folder of the cache, built where it is not there, is not whole, or
    `refresh` is asked for.

    One process builds, others wait for it.
    """
    for name in (folder.name, f"{folder.name}.work"):
        safe_paths.inside(cache, folder.parent.name, name)

    def read() -> Collection | None:
        try:
            return collections.load(folder, digests.memory_of(cache, folder))
        except collections.DamagedCollection as error:
            if folder.exists():
                say(f"{str(error).removesuffix(f'; {collections.AGAIN}')}: it is built again now")
            return None

    made = build_once(folder.parent / f"{folder.name}.lock", read, build, refresh=refresh)
    return made or collections.load(folder, digests.memory_of(cache, folder))  # says what is wrong


def configs_of(config: Config) -> dict[str, Config]:
    """Return the config of each training collection by name, the main one first, the others by
    name: each as if it were alone.
    """
    configs = {config.data.name: config}
    for name, data in sorted(config.more.items()):
        configs[name] = dataclasses.replace(config, data=data, more={})
    return configs


@dataclass(frozen=True)
class TrainingSource:
    """A collection that is trained on, in its languages: its pairs, the tokens of its texts, row by
    row.

    code: (L,) int64 index of each language of the pairs among those of the plan. teacher: its
    scores, where some are learned.
    """

    name: str
    collection: Collection
    pairs: Pairs
    queries: Tokens
    passages: Tokens
    code: np.ndarray
    teacher: TeacherScores | None = None


@dataclass(frozen=True)
class Prepared:
    """Everything a run reads: the model folder, the main collection with its tokens, and all that
    is trained on.

    sources: the main collection first. languages: codes, the sorted union over the sources, which
    the plan counts in.
    """

    collection: Collection
    model: Path
    queries: Tokens
    passages: Tokens
    sources: list[TrainingSource]
    languages: list[str]

    @property
    def used(self) -> np.ndarray:
        """Return sorted int64 ids of the tokens that occur in any text of the run."""
        used = [source.queries.used for source in self.sources]
        used += [source.passages.used for source in self.sources]
        return np.unique(np.concatenate(used))

    @property
    def pairs(self) -> Pairs:
        """Return the training pairs of the main collection."""
        return self.sources[0].pairs

    @property
    def all_pairs(self) -> dict[str, Pairs]:
        """Return the training pairs of each source by name, the main collection first."""
        return {source.name: source.pairs for source in self.sources}


def prepare(config: Config, say: Say = _quiet) -> Prepared:
    """Build or open what a run needs; raises UserError for data or a model that is not there.

    BM25 has neither tokens nor training: only its collection.
    """
    if isinstance(config.model, Bm25Model):
        collection = collection_of(config, say)
        none = Tokens(np.zeros(0, np.int32), np.zeros(1, np.int64))
        return Prepared(collection, Path(), none, none, [], collection.languages)
    configs = configs_of(config)
    collected = {name: collection_of(own, say) for name, own in configs.items()}
    folder = model_folder(config, list(collected.values()))
    if not isinstance(config.model, TinyModel):
        trial.check(config.model, folder, cache_dir(config), say)
    union = union_of(collection.languages for collection in collected.values())
    sources = []
    for name, collection in collected.items():
        pairs = training_pairs(configs[name], collection, say)
        queries = _tokens(config, folder, collection, "queries", say)
        passages = _tokens(config, folder, collection, "passages", say)
        code = code_of(collection.languages, union)
        teacher = teacher_of(configs[name], collection, pairs, say)
        source = TrainingSource(name, collection, pairs, queries, passages, code, teacher)
        sources.append(source)
    main = sources[0]
    return Prepared(main.collection, folder, main.queries, main.passages, sources, union)


def evaluated(config: Config, main: Prepared, say: Say = _quiet) -> Prepared:
    """Return what it takes to evaluate the collection of `config` with the model of `main`, as if
    it were a run's own.

    Nothing is trained on, so that it has no sources.
    """
    if isinstance(config.model, Bm25Model):
        return prepare(config, say)
    collection = collection_of(config, say)
    folder = main.model
    queries = _tokens(config, folder, collection, "queries", say)
    passages = _tokens(config, folder, collection, "passages", say)
    return Prepared(collection, folder, queries, passages, [], collection.languages)


def union_of(languages: Iterable[list[str]]) -> list[str]:
    """Return the languages of several collections, sorted."""
    return sorted(set(itertools.chain.from_iterable(languages)))


def code_of(languages: list[str], union: list[str]) -> np.ndarray:
    """Return (L,) the place of each language among those of all collections."""
    return np.array([union.index(language) for language in languages], np.int64)


def _tokens(config: Config, folder: Path, collection: Collection, role: str, say: Say) -> Tokens:
    model = config.model
    if role == "queries":
        table = collection.queries
        tokenizing = Tokenizing(folder, model.query_prompt, model.query_length)
    else:
        table = collection.passages
        tokenizing = Tokenizing(folder, model.passage_prompt, model.passage_length)
    content = f"{collection.fingerprint}:{','.join(collection.languages)}"
    return token_store(cache_dir(config), table, content, role, tokenizing, say)


def training_pairs(config: Config, collection: Collection, say: Say = _quiet) -> Pairs:
    """Return the training pairs of one collection, with its hard negatives where the run draws
    some.
    """
    cache = cache_dir(config)
    file = _negatives(config)
    if file is None:
        pairs = pair_store(cache, collection, "train", say=say)
        if not config.batch.hard_negatives:
            return pairs
        none = Negatives.none(pairs.question, len(pairs.languages))
        return dataclasses.replace(pairs, negatives=none)
    hard = HardNegatives(*file, whole_collection(config), say)
    return pair_store(cache, collection, "train", hard, say)


def teacher_of(
    config: Config, collection: Collection, pairs: Pairs, say: Say = _quiet
) -> TeacherScores | None:
    """Return the teacher's scores of a collection's pairs; None where none are learned."""
    mark = _teacher_digest(config)
    if mark is None:
        return None
    file = TeacherFile(_teacher_path(config), mark, whole_collection(config), say)
    hard = _negatives(config)
    return teacher_store(cache_dir(config), file, collection, pairs, hard[2] if hard else None)


def _teacher_path(config: Config) -> Path:
    path = Path(config.loss.distillation.path or "").expanduser()
    if not path.is_file():
        raise UserError(
            f"loss.distillation.path={config.loss.distillation.path}: no such file",
            key="teacher.file_missing",
        )
    return path


def _teacher_digest(config: Config) -> str | None:
    """Return the digest of the file of a teacher's scores; None where none are learned."""
    if not config.loss.distillation.weight:
        return None
    return content_digests([_teacher_path(config)], cache_dir(config))[0]


def negatives_file(config: Config, say: Say = _quiet, *, download: bool = False) -> Path | None:
    """Return the file of hard negatives that a config names; None where it names none.

    MS MARCO's triples, by their own name, are also found in data.path, and may be fetched, where
    `download` says so.
    """
    data = config.data
    if not data.negatives:
        return None
    path = Path(data.negatives).expanduser()
    if path.is_file():
        return path
    if isinstance(data, MarcoData) and data.negatives == TRIPLES:
        return triples(data, cache_dir(config), say, download=download)
    raise UserError(f"data.negatives={data.negatives}: no such file", key="negatives.file_missing")


def _negatives(config: Config) -> tuple[Path, str, str] | None:
    """Return the file of hard negatives of the main collection of a config, its format, and the
    digest of both; None where there is none, or none are drawn.
    """
    path = None
    if config.batch.hard_negatives:
        path = negatives_file(config)
    if path is None:
        return None
    form = form_of(path, config.data.negatives_format)
    content = content_digests([path], cache_dir(config))[0]
    # Of triples and TREC runs the content tells the format, and its digest alone names both.
    mark = content
    if form == "msmarco":
        mark = digest([content, form], len(content))
    return path, form, mark


def fingerprints(config: Config, say: Say = _quiet) -> dict[str, Any]:
    """Return what names the data and the model of a run, after building what is missing."""
    return fingerprints_of(config, prepare(config, say))


def fingerprints_of(config: Config, prepared: Prepared) -> dict[str, Any]:
    """Return what names the data and the model of a prepared run.

    collection, model; `negatives` where hard negatives are drawn, `teacher` where its scores are
    learned; `more`: the same of each further collection by name; `code_switch`: of each lexicon
    where words are replaced.
    """
    if isinstance(config.model, Bm25Model):
        return {"collection": prepared.collection.fingerprint, "model": words_fingerprint()}
    marks: dict[str, dict[str, str]] = {}
    for source, own in zip(prepared.sources, configs_of(config).values(), strict=True):
        marks[source.name] = {"collection": source.collection.fingerprint}
        file = _negatives(own)
        if file:
            marks[source.name]["negatives"] = file[2]
        taught = _teacher_digest(own)
        if taught:
            marks[source.name]["teacher"] = taught
    main: dict[str, Any] = marks.pop(prepared.sources[0].name)
    main["model"] = model_fingerprint(prepared.model, cache_dir(config))
    if marks:
        main["more"] = marks
    if lexicons := lexicon_digests(config):
        main["code_switch"] = lexicons
    return main
