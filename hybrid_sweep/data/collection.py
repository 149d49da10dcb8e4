"""The one type of all sources: queries, passages and judgements, with the language and the group of each text."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.errors import UserError
from hybrid_sweep.store import atomic_dir, read_json, write_json

TEXTS = pa.schema(
    [(name, pa.large_string() if name == "text" else pa.string()) for name in ("id", "group", "lang", "split", "text")]
)
QRELS = pa.schema([("query_group", pa.string()), ("passage_group", pa.string()), ("grade", pa.int32())])
SPLITS = ("train", "dev", "test")
CHUNK = 65_536  # rows written, filtered or hashed at a time


@dataclass(frozen=True)
class Collection:
    """A parallel retrieval collection.

    queries, passages: id, group, lang, split, text; sorted by id (bytewise), ids unique; a passage of split "*" is in
    the pool of every split. A group is one question, or one passage, in its several languages.
    qrels: query_group, passage_group, grade; sorted; free of language: a judgement holds for every language version.
    info: where the texts come from, what was dropped, and `fingerprint`, the hash of all of the above.
    """

    name: str
    queries: pa.Table
    passages: pa.Table
    qrels: pa.Table
    info: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """The hash of the content, twelve hex digits; equal for equal texts and judgements, whatever the source."""
        return str(self.info["fingerprint"])

    @property
    def languages(self) -> list[str]:
        """The languages that have at least one query and one passage, sorted."""
        found = [set(pc.unique(table["lang"]).to_pylist()) for table in (self.queries, self.passages)]
        return sorted(found[0] & found[1])


def make(name: str, queries: pa.Table, passages: pa.Table, qrels: pa.Table, info: dict[str, Any]) -> Collection:
    """A checked, sorted and fingerprinted collection.

    Raises UserError that names the first duplicate id, empty text or judgement without a text.
    """
    tables = []
    for kind, table in (("query", queries), ("passage", passages)):
        table = _sorted(table.select(TEXTS.names).cast(TEXTS))
        ids = table["id"]
        if pc.any(twice := pc.equal(ids.slice(1), ids.slice(0, max(0, len(ids) - 1)))).as_py():
            repeated = ids[pc.index(twice, True).as_py()].as_py()
            raise UserError(f"collection {name}: the {kind} id {repeated!r} occurs twice; ids must be unique")
        for batch in table.to_batches(max_chunksize=CHUNK):
            empty = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(batch["text"])), 0)
            if pc.any(empty, min_count=0).as_py():
                text = batch["id"].filter(empty)[0].as_py()
                raise UserError(f"collection {name}: the {kind} {text!r} has no text; remove it")
        tables.append(table)
    qrels = qrels.select(QRELS.names).cast(QRELS)
    qrels = qrels.sort_by([("query_group", "ascending"), ("passage_group", "ascending")]).combine_chunks()
    judged = qrels.group_by(["query_group", "passage_group"]).aggregate([([], "count_all")])
    if len(judged) < len(qrels):
        twice = judged.filter(pc.greater(judged["count_all"], 1)).slice(0, 1).to_pylist()[0]
        raise UserError(
            f"collection {name}: {twice['query_group']!r} and {twice['passage_group']!r} are judged twice; keep one grade"
        )
    for column, table in (("query_group", tables[0]), ("passage_group", tables[1])):
        known = pc.is_in(qrels[column], value_set=pc.unique(table["group"]))
        if not pc.all(known, min_count=0).as_py():
            stray = pc.filter(qrels[column], pc.invert(known))[0].as_py()
            raise UserError(f"collection {name}: a judgement names the {column} {stray!r}, which has no text")
    collection = Collection(name, tables[0], tables[1], qrels, {k: v for k, v in info.items() if k != "fingerprint"})
    return dataclasses.replace(collection, info={**collection.info, "fingerprint": _fingerprint(collection)})


def _sorted(table: pa.Table) -> pa.Table:
    """The texts sorted by id; where they are already, no copy of them is made."""
    order = pc.sort_indices(table["id"])
    return table if (order.to_numpy() == np.arange(len(order))).all() else table.take(order).combine_chunks()


def _fingerprint(collection: Collection) -> str:
    """SHA-256 over every value in order, each preceded by its length, so that no two contents share a byte stream.

    Column by column: first all lengths, then all values. Read from Arrow's own buffers, no value becomes an object.
    """
    state = hashlib.sha256()
    for table in (collection.queries, collection.passages, collection.qrels):
        for name in table.column_names:
            state.update(f"{name}:{len(table)};".encode())
            if pa.types.is_integer(table[name].type):
                state.update(table[name].to_numpy().astype("<i8").tobytes())
                continue
            chunks = [chunk.cast(pa.large_binary()) for chunk in table[name].chunks]
            offsets = [np.frombuffer(each.buffers()[1], np.int64)[each.offset :][: len(each) + 1] for each in chunks]
            for each in offsets:
                state.update(np.diff(each).astype("<i8").tobytes())
            for chunk, each in zip(chunks, offsets, strict=True):
                if len(chunk) and each[-1] > each[0]:
                    state.update(memoryview(chunk.buffers()[2])[each[0] : each[-1]])
    return state.hexdigest()[:12]


def save(collection: Collection, folder: Path, languages: Sequence[str] | None = None) -> None:
    """Write the collection (only its texts in `languages`, where given) as Arrow files, the whole folder atomically.

    A batch at a time: the memory does not grow with the collection.
    """
    with atomic_dir(folder) as temporary:
        for name in ("queries", "passages", "qrels"):
            table = getattr(collection, name)
            texts = languages is not None and name != "qrels"
            batches = _chosen(table, languages or []) if texts else table.to_batches(max_chunksize=CHUNK)
            with (
                pa.OSFile(str(temporary / f"{name}.arrow"), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as writer,
            ):
                for batch in batches:
                    writer.write_batch(batch)
        write_json(temporary / "info.json", {"name": collection.name, **collection.info})


def load(folder: Path) -> Collection:
    """The collection in `folder`, its texts mapped from disk rather than read; a UserError where it is not whole."""
    info = read_json(folder / "info.json")
    if not isinstance(info, dict) or "fingerprint" not in info:
        raise UserError(f"no collection in {folder}: info.json is missing or damaged; prepare it again with --refresh")
    try:
        queries, passages, qrels = (
            pa.ipc.open_file(pa.memory_map(str(folder / f"{name}.arrow"))).read_all()
            for name in ("queries", "passages", "qrels")
        )
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"the collection in {folder} is damaged ({error}); prepare it again with --refresh") from error
    return Collection(info.pop("name"), queries, passages, qrels, info)


def select(collection: Collection, languages: Sequence[str]) -> Collection:
    """The part of a collection in `languages`, copied into memory; judgements and fingerprint stay those of the whole.

    Raises UserError for a language that the collection lacks.
    """
    check_languages(collection, languages)
    if is_all(collection, languages):
        return collection
    queries, passages = (
        pa.Table.from_batches(_chosen(table, languages), TEXTS) for table in (collection.queries, collection.passages)
    )
    return dataclasses.replace(collection, queries=queries, passages=passages)


def check_languages(collection: Collection, languages: Sequence[str]) -> None:
    """Raise UserError for a language that the collection lacks."""
    if missing := [language for language in languages if language not in collection.languages]:
        raise UserError(
            f"data.languages: collection {collection.name} has no {', '.join(missing)}; "
            f"it has {', '.join(collection.languages)}"
        )


def is_all(collection: Collection, languages: Sequence[str]) -> bool:
    """Whether no text of the collection is in another language: `select` then returns it as it is, without a copy."""
    found = (set(pc.unique(table["lang"]).to_pylist()) for table in (collection.queries, collection.passages))
    return all(each <= set(languages) for each in found)


def _chosen(table: pa.Table, languages: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows in some languages, a batch at a time."""
    wanted = pa.array(sorted(set(languages)), pa.string())
    for batch in table.to_batches(max_chunksize=CHUNK):
        yield batch.filter(pc.is_in(batch["lang"], value_set=wanted))
