"""The one type of all sources: queries, passages and judgements, with the language and the group of each text."""

import dataclasses
import hashlib
from collections.abc import Sequence
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
        table = table.select(TEXTS.names).cast(TEXTS).sort_by("id").combine_chunks()
        ids = table["id"].to_numpy(zero_copy_only=False)
        if len(ids) > 1 and (repeated := ids[1:][ids[1:] == ids[:-1]]).size:
            raise UserError(f"collection {name}: the {kind} id {repeated[0]!r} occurs twice; ids must be unique")
        if empty := pc.filter(
            table["id"], pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(table["text"])), 0)
        ).to_pylist():
            raise UserError(f"collection {name}: the {kind} {empty[0]!r} has no text; remove it")
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


def _fingerprint(collection: Collection) -> str:
    """SHA-256 over every value in order, each preceded by its length, so that no two contents share a byte stream."""
    state = hashlib.sha256()
    for table in (collection.queries, collection.passages, collection.qrels):
        for name in table.column_names:
            state.update(f"{name}:{len(table)};".encode())
            column = table[name]
            if pa.types.is_integer(column.type):
                state.update(column.to_numpy().astype("<i8").tobytes())
                continue
            encoded = column.cast(pa.large_binary())
            state.update(pc.binary_length(encoded).to_numpy().astype("<i8").tobytes())
            for value in encoded.to_pylist():
                state.update(value)
    return state.hexdigest()[:12]


def save(collection: Collection, folder: Path) -> None:
    """Write the collection as Arrow files and info.json, the whole folder atomically."""
    with atomic_dir(folder) as temporary:
        for name in ("queries", "passages", "qrels"):
            table = getattr(collection, name)
            with (
                pa.OSFile(str(temporary / f"{name}.arrow"), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as writer,
            ):
                writer.write_table(table, max_chunksize=65_536)
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
    """The part of a collection in `languages`; judgements and fingerprint stay those of the whole.

    Raises UserError for a language that the collection lacks.
    """
    if missing := [language for language in languages if language not in collection.languages]:
        raise UserError(
            f"data.languages: collection {collection.name} has no {', '.join(missing)}; "
            f"it has {', '.join(collection.languages)}"
        )
    wanted = pa.array(sorted(set(languages)), pa.string())
    queries, passages = (
        table.filter(pc.is_in(table["lang"], value_set=wanted)).combine_chunks()
        for table in (collection.queries, collection.passages)
    )
    return dataclasses.replace(collection, queries=queries, passages=passages)


@dataclass(frozen=True)
class Pairs:
    """The training pairs of one split, a column per group that exists somewhere in full.

    languages: sorted codes. groups: (G,) ids, sorted. query, passage: (L, G) int32 row numbers in the tables of the
    collection, -1 where the group has no such text. A group counts as present in a language when it has both.
    question, answer: (G,) int64, number of the group's question and of its passage, in any language. judged: sorted int64
    keys question * answers + answer of all relevant judgements among them, where answers = answer.max() + 1.
    """

    languages: list[str]
    groups: np.ndarray
    query: np.ndarray
    passage: np.ndarray
    question: np.ndarray
    answer: np.ndarray
    judged: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """(L, G) bool: the group has a query and a passage in the language."""
        return (self.query >= 0) & (self.passage >= 0)


def pairs(collection: Collection, split: str) -> Pairs:
    """The question-passage pairs of a split: a group for each relevant judgement, named by its question.

    A question with several relevant passages gives one group for each, "question|passage".
    """
    languages = collection.languages
    code = {language: index for index, language in enumerate(languages)}
    rows: list[dict[str, np.ndarray]] = []
    for table in (collection.queries, collection.passages):
        inside = pc.is_in(table["split"], value_set=pa.array([split, "*"]))
        where = np.flatnonzero(inside.to_numpy(zero_copy_only=False))
        by_group: dict[str, np.ndarray] = {}
        for row, group, language in zip(
            where.tolist(), table["group"].take(where).to_pylist(), table["lang"].take(where).to_pylist(), strict=True
        ):
            if language in code:
                by_group.setdefault(group, np.full(len(languages), -1, np.int32))[code[language]] = row
        rows.append(by_group)
    questions, answers = rows
    judged = (collection.qrels[name].to_pylist() for name in QRELS.names)
    found = sorted(
        (question if question == answer else f"{question}|{answer}", question, answer)
        for question, answer, grade in zip(*judged, strict=True)
        if grade > 0 and question in questions and answer in answers
    )
    numbers = [
        {name: number for number, name in enumerate(sorted({item[place] for item in found}))} for place in (1, 2)
    ]
    question, answer = (np.array([numbers[place - 1][item[place]] for item in found], np.int64) for place in (1, 2))
    shape = (len(found), len(languages))
    return Pairs(
        languages,
        np.array([item[0] for item in found], dtype=object),
        np.array([questions[item[1]] for item in found], np.int32).reshape(shape).T.copy(),
        np.array([answers[item[2]] for item in found], np.int32).reshape(shape).T.copy(),
        question,
        answer,
        np.sort(question * len(numbers[1]) + answer),
    )
