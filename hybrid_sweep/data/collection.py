"""The one type of all sources: queries, passages and judgements, with the language and the group of
each text.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.data.lookup import SLICE, sorted_unique
from hybrid_sweep.data.sorting import CHUNK, mapped, sorted_by_id
from hybrid_sweep.utils import digests, names
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_dir, read_own_json, write_json

TEXTS = pa.schema(
    [
        (name, pa.large_string() if name == "text" else pa.string())
        for name in ("id", "group", "lang", "split", "text")
    ]
)
QRELS = pa.schema(
    [("query_group", pa.string()), ("passage_group", pa.string()), ("grade", pa.int32())]
)
CLUSTERED = pa.schema([("query_group", pa.string()), ("cluster", pa.string())])
SPLITS = ("train", "dev", "test")
TABLES = ("queries", "passages", "qrels")
FILES = tuple(f"{name}.arrow" for name in TABLES)
ALONE = "alone:"  # before the question that no cluster is said of, as the name of its own
CLUSTERS = "clusters.arrow"  # only where the source tells which questions belong together
AGAIN = "prepare it again with --refresh"
# of the digests that this process computed, where the caller has no memory
_memory = digests.Memory(None)


class DamagedCollection(UserError):
    """A folder that should hold a collection and does not hold it whole."""


@dataclass(frozen=True)
class Collection:
    """A retrieval collection in several languages.

    queries, passages: id, group, lang, split, text; sorted by id (bytewise), ids unique; a passage
    of split "*" is in the pool of every split. A group is one question, or one passage, in its
    several languages. qrels: query_group, passage_group, grade; sorted; free of language: a
    judgement holds for every language version. info: where the texts come from, what was dropped,
    and `fingerprint`, the hash of all of the above. clusters: query_group, cluster, sorted, of
    every query group, where the source tells which questions belong together; it is not in the
    fingerprint, since no run depends on it.
    """

    name: str
    queries: pa.Table
    passages: pa.Table
    qrels: pa.Table
    info: dict[str, Any]
    clusters: pa.Table | None = None

    @property
    def fingerprint(self) -> str:
        """Return the hash of the content, twelve hex digits; equal for equal texts and judgements,
        whatever the source.
        """
        return str(self.info["fingerprint"])

    @property
    def query_languages(self) -> list[str]:
        """Return the languages that have at least one query, sorted."""
        return sorted(_languages_of(self.queries))

    @property
    def passage_languages(self) -> list[str]:
        """Return the languages that have at least one passage, sorted."""
        return sorted(_languages_of(self.passages))

    @property
    def languages(self) -> list[str]:
        """Return the languages that have at least one query or one passage, sorted."""
        return sorted(_languages_of(self.queries) | _languages_of(self.passages))

    @property
    def one_sided(self) -> list[str]:
        """Return the languages that have only queries, or only passages, sorted."""
        return sorted(_languages_of(self.queries) ^ _languages_of(self.passages))


def _languages_of(table: pa.Table) -> set[str]:
    return set(pc.unique(table["lang"]).to_pylist())


def make(
    name: str,
    queries: pa.Table,
    passages: pa.Table,
    qrels: pa.Table,
    info: dict[str, Any],
    work: Path | None = None,
) -> Collection:
    """Return a checked, sorted and fingerprinted collection.

    Tables that are mapped from files stay there: what has to be sorted goes through files in the
    folder `work` (see `sorted_by_id`), and all else looks at a part at a time. Raises UserError
    that names the first duplicate id, empty text or judgement without a text.
    """
    tables = []
    _check_codes((queries, passages), f"collection {name}")
    for kind, table in (("query", queries), ("passage", passages)):
        table = sorted_by_id(table.select(TEXTS.names).cast(TEXTS), work)
        ids = table["id"]
        twice = pc.equal(ids.slice(1), ids.slice(0, max(0, len(ids) - 1)))
        if pc.any(twice).as_py():
            repeated = ids[pc.index(twice, True).as_py()].as_py()
            raise UserError(
                f"collection {name}: the {kind} id {repeated!r} occurs twice; ids must be unique",
                key="data.id_repeated",
            )
        for batch in table.to_batches(max_chunksize=CHUNK):
            empty = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(batch["text"])), 0)
            if pc.any(empty, min_count=0).as_py():
                text = batch["id"].filter(empty)[0].as_py()
                raise UserError(
                    f"collection {name}: the {kind} {text!r} has no text; remove it",
                    key="data.text_empty",
                )
        tables.append(table)
    qrels = qrels.select(QRELS.names).cast(QRELS)
    qrels = qrels.sort_by(
        [("query_group", "ascending"), ("passage_group", "ascending")]
    ).combine_chunks()
    judged = qrels.group_by(["query_group", "passage_group"]).aggregate([([], "count_all")])
    if len(judged) < len(qrels):
        twice = judged.filter(pc.greater(judged["count_all"], 1)).slice(0, 1).to_pylist()[0]
        raise UserError(
            f"collection {name}: {twice['query_group']!r} and {twice['passage_group']!r} are judged"
            " twice; keep one grade",
            key="data.judged_twice",
        )
    for column, table in (("query_group", tables[0]), ("passage_group", tables[1])):
        stray = _stray(qrels[column], table["group"])
        if stray is not None:
            raise UserError(
                f"collection {name}: a judgement names the {column} {stray!r}, which has no text",
                key="data.judgement_stray",
            )
    info = {**info, "fingerprint": _digest((*tables, qrels))}
    return Collection(name, tables[0], tables[1], qrels, info)


def _check_codes(tables: Iterable[pa.Table], where: str) -> None:
    """Raise UserError for a text whose language cannot be the code of one."""
    codes = set().union(*(_languages_of(table) for table in tables))
    for code in sorted(codes, key=str):
        names.language(code, where)


def _stray(judged: pa.ChunkedArray, groups: pa.ChunkedArray) -> str | None:
    """Return the first group that is judged and has no text.

    The texts' groups are looked up, since the judged are fewer.
    """
    names = sorted_unique(judged)
    there = np.zeros(len(names), bool)
    for start in range(0, len(groups), SLICE):
        places = pc.index_in(groups.slice(start, SLICE), value_set=names)
        there[places.drop_null().to_numpy()] = True
    if there.all():
        return None
    stray = pc.is_in(judged, value_set=names.filter(pa.array(~there)))
    return str(judged[pc.index(stray, True).as_py()])


def _digest(tables: Iterable[pa.Table]) -> str:
    """Return SHA-256 over every value in order, each preceded by its length, so that no two
    contents share a byte stream.

    Column by column: first all lengths, then all values. Read from Arrow's own buffers, no value
    becomes an object.
    """
    state = hashlib.sha256()
    for table in tables:
        for name in table.column_names:
            state.update(f"{name}:{len(table)};".encode())
            if pa.types.is_integer(table[name].type):
                state.update(table[name].to_numpy().astype("<i8").tobytes())
                continue
            for _, offsets in _values(table[name]):
                state.update(np.diff(offsets).astype("<i8").tobytes())
            for chunk, offsets in _values(table[name]):
                if offsets[-1] > offsets[0]:
                    state.update(memoryview(chunk.buffers()[2])[offsets[0] : offsets[-1]])
    return state.hexdigest()[:12]


def _values(column: pa.ChunkedArray) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """Yield the chunks of a column of strings, a part at a time, and where in its bytes each value
    starts and ends.
    """
    for whole in column.chunks:
        for start in range(0, len(whole), SLICE):
            chunk = whole.slice(start, SLICE).cast(pa.large_binary())
            offsets = np.frombuffer(chunk.buffers()[1], np.int64)
            yield chunk, offsets[chunk.offset :][: len(chunk) + 1]


def save(collection: Collection, folder: Path, languages: Sequence[str] | None = None) -> None:
    """Write the collection (only its texts in `languages`, where given) as Arrow files, the whole
    folder atomically.

    A batch at a time: the memory does not grow with the collection. Beside the files stands what
    `load` checks them by.
    """
    with atomic_dir(folder) as temporary:
        for name in TABLES:
            table = getattr(collection, name)
            batches = table.to_batches(max_chunksize=CHUNK)
            if languages is not None and name != "qrels":
                batches = _chosen(table, languages)
            _write(temporary / f"{name}.arrow", table.schema, batches)
        # The content is hashed as it lies on disk: of some of the languages the fingerprint, that
        # of all, says nothing.
        content = _digest(_tables(temporary).values())
        files = FILES
        if collection.clusters is not None:
            files = (*FILES, CLUSTERS)
            _write(temporary / CLUSTERS, CLUSTERED, collection.clusters.to_batches())
        info = {"name": collection.name, **collection.info}
        stored = {
            "fingerprint": collection.fingerprint,
            "content": content,
            "info": digests.value_digest(info),
            "digests": digests.seal(temporary, files),
        }
        write_json(temporary / "info.json", {**info, "stored": stored})


def _write(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def load(folder: Path, memory: digests.Memory | None = None) -> Collection:
    """Return the collection in `folder`, its texts mapped from disk rather than read.

    Each file is compared with its digest, which is computed again only where the file changed. A
    folder of an earlier version has no digests of files: its texts and judgements are compared with
    the digest of the content.

    Args:
        folder: of the collection.
        memory: digests that are remembered; None remembers them for this process alone.

    Raises:
        DamagedCollection: where a file is not what was written.
    """
    memory = memory or _memory
    info = read_own_json(folder / "info.json")
    if not isinstance(info, dict) or not {"fingerprint", "name"} <= info.keys():
        raise DamagedCollection(
            f"no collection in {folder}: info.json is missing or damaged; {AGAIN}",
            key="collection.info_missing",
        )
    mark = info["fingerprint"]
    stored = info.pop("stored", None) or {"fingerprint": mark, "content": mark}
    try:
        if stored["fingerprint"] != mark:
            raise DamagedCollection(
                f"{folder / 'info.json'} names two fingerprints, {mark} and another; {AGAIN}",
                key="collection.fingerprints_differ",
            )
        if "digests" in stored:
            _check_files(folder, info, stored, memory)
        tables = _tables(folder)
        if "digests" not in stored:
            _check_content(folder, tables, stored["content"], memory)
        clusters = None
        if CLUSTERS in stored.get("digests", {}):
            clusters = mapped(folder / CLUSTERS).cast(CLUSTERED)
    except (
        pa.ArrowException,
        OSError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise DamagedCollection(
            f"the collection in {folder} is damaged ({reason}); {AGAIN}",
            key="collection.unreadable",
        ) from error
    _check_codes((tables["queries"], tables["passages"]), str(folder))
    name = str(info.pop("name"))
    return Collection(name, tables["queries"], tables["passages"], tables["qrels"], info, clusters)


def _check_files(
    folder: Path, info: dict[str, Any], stored: dict[str, Any], memory: digests.Memory
) -> None:
    """Raise DamagedCollection where a file of a collection, or what its info file says, has another
    digest than `stored` says.
    """
    same = set(stored["digests"]) - {CLUSTERS} == set(FILES) and stored[
        "info"
    ] == digests.value_digest(info)
    if not same or (folder / "info.json").is_symlink():
        raise DamagedCollection(
            f"{folder / 'info.json'}: its content is not what was written; {AGAIN}",
            key="collection.info_altered",
        )
    try:
        digests.check(folder, stored["digests"], memory)
    except digests.Damaged as error:
        raise DamagedCollection(f"{error}; {AGAIN}", key=error.key) from error


def _check_content(
    folder: Path, tables: dict[str, pa.Table], content: str, memory: digests.Memory
) -> None:
    """Raise DamagedCollection where texts and judgements have another digest; what was found is
    remembered while no file changes.
    """
    paths = [folder / name for name in FILES]
    name = f"{folder.resolve()}:content"
    if memory.value_of(name, paths, lambda: _digest(tables.values())) != content:
        raise DamagedCollection(
            f"the texts in {folder} are not those that its info.json names; {AGAIN}",
            key="collection.texts_altered",
        )
    memory.flush()


def _tables(folder: Path) -> dict[str, pa.Table]:
    tables = {name: mapped(folder / f"{name}.arrow") for name in TABLES}
    for name, table in tables.items():
        if not table.schema.equals(QRELS if name == "qrels" else TEXTS):
            raise ValueError(f"{name}.arrow has other columns")
        table.validate()
        # what the hash of the values would not tell
        if any(column.null_count for column in table.columns):
            raise ValueError(f"{name}.arrow has values that are missing")
    return tables


def select(collection: Collection, languages: Sequence[str]) -> Collection:
    """Return the part of a collection in `languages`, copied into memory; judgements and
    fingerprint stay those of the whole.

    Raises UserError for a language that the collection lacks.
    """
    check_languages(collection, languages)
    if is_all(collection, languages):
        return collection
    queries = pa.Table.from_batches(_chosen(collection.queries, languages), TEXTS)
    passages = pa.Table.from_batches(_chosen(collection.passages, languages), TEXTS)
    return dataclasses.replace(collection, queries=queries, passages=passages)


def check_known(name: str, languages: Sequence[str], there: Sequence[str]) -> None:
    """Raise UserError for languages that are not among those of a collection.

    Args:
        name: of the collection, for the message.
        languages: that are asked for.
        there: those that it has.
    """
    if missing := [language for language in languages if language not in there]:
        raise UserError(
            f"data.languages: {name} has no {', '.join(missing)}; it has {', '.join(there)}",
            key="data.language_missing",
        )


def check_languages(collection: Collection, languages: Sequence[str]) -> None:
    """Raise UserError for a language that the collection lacks, and for languages that leave it no
    query or no passage.
    """
    check_known(f"collection {collection.name}", languages, collection.languages)
    sides = {"query": collection.query_languages, "passage": collection.passage_languages}
    for kind, own in sides.items():
        if not set(own) & set(languages):
            raise UserError(
                f"data.languages: collection {collection.name} has no {kind} in"
                f" {', '.join(languages)}; it has them in {', '.join(own)}: add one of these",
                key="data.language_side_missing",
            )


def is_all(collection: Collection, languages: Sequence[str]) -> bool:
    """Return whether no text of the collection is in another language: `select` then returns it as
    it is, without a copy.
    """
    wanted = set(languages)
    return _languages_of(collection.queries) | _languages_of(collection.passages) <= wanted


def _chosen(table: pa.Table, languages: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows in some languages, a batch at a time."""
    wanted = pa.array(sorted(set(languages)), pa.string())
    for batch in table.to_batches(max_chunksize=CHUNK):
        yield batch.filter(pc.is_in(batch["lang"], value_set=wanted))
