"""Texts that were read from files, checked and streamed into Arrow: the memory does not grow with
their length.
"""

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from hybrid_sweep.data.collection import SPLITS, TEXTS
from hybrid_sweep.data.sorting import mapped
from hybrid_sweep.utils import names
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import BadLine, Problems, refuse

BATCH = 8192  # texts that are Python strings at a time
FILLERS = "\u034f\u115f\u1160\u2800\u3164\uffa0"  # letters and marks that show nothing
LANGUAGE = re.compile(r"[A-Za-z0-9_-]{1,40}")


class Text(NamedTuple):
    """A text and where it stands; group None: no other text is a version of it."""

    path: Path
    line: int
    id: str
    lang: str
    group: str | None
    split: str
    text: str


def is_blank(text: str) -> bool:
    """Return whether a text holds nothing but white space and characters without a width."""
    return all(
        char.isspace() or char in FILLERS or unicodedata.category(char) in ("Cf", "Cc")
        for char in text
    )


def check(kind: str, text: Text) -> None:
    """Refuse a text that no collection can hold; kind is "query" or "passage"."""
    for name, value in (("id", text.id), ("group", text.group)):
        if value is not None and (not value.strip() or re.search(r"[\t\n\r]", value)):
            refuse(
                text.path,
                text.line,
                f"the {name} {value[:40]!r} of a {kind} is empty, or has a tab or a line break",
                key="line.name",
            )
    if not LANGUAGE.fullmatch(text.lang):
        refuse(
            text.path,
            text.line,
            f"the language {text.lang[:40]!r} is not a plain code, such as en or pt-BR",
            key="line.language",
        )
    try:
        names.language(text.lang, "language")
    except UserError as error:
        refuse(text.path, text.line, str(error), key=error.key)
    splits = SPLITS if kind == "query" else (*SPLITS, "*")
    if text.split not in splits:
        refuse(
            text.path,
            text.line,
            f"the split {text.split[:40]!r} of a {kind} is not one of {', '.join(splits)}",
            key="line.split",
        )
    if is_blank(text.text):
        refuse(
            text.path,
            text.line,
            f"the {kind} {text.id[:40]!r} has no text",
            key="line.text_empty",
        )


class _Places:
    """Where the texts stand that became the rows of a table, and hashes of their names: in memory,
    two numbers for each, and two more where it has a group.
    """

    def __init__(self) -> None:
        self.lines, self.ids, self.versions = array("q"), array("q"), array("q")
        self.version_rows = array("q")  # of the texts with a group
        self.files: list[tuple[int, Path]] = []  # the first row of each file

    def add(self, text: Text) -> None:
        """Note the place of the next row."""
        row = len(self.lines)
        if not self.files or self.files[-1][1] != text.path:
            self.files.append((row, text.path))
        if text.group is not None:
            self.versions.append(hash((text.group, text.lang)))
            self.version_rows.append(row)
        self.ids.append(hash(text.id))
        self.lines.append(text.line)

    def of(self, row: int) -> tuple[Path, int]:
        """Return the file and the line of a row."""
        return [path for first, path in self.files if first <= row][-1], self.lines[row]


def write_texts(kind: str, texts: Iterable[Text], folder: Path, problems: Problems) -> pa.Table:
    """Return the good ones of `texts`, as a table of collection.TEXTS that is mapped from a file in
    `folder`.

    Bad lines are those that `check` refuses, an id that stands in an earlier line, and a second
    text of one group in one language.
    """
    places = _Places()
    _write(folder / kind, _rows(kind, texts, places, problems))
    table = mapped(folder / kind)
    drop = np.zeros(len(table), bool)
    rows = np.arange(len(table))
    hashes = np.array(places.ids, np.int64)
    for row, first in _repeated(table, ["id"], hashes, rows, drop):
        name = f"the {kind} {table['id'][row].as_py()!r}"
        _refuse_repeated(places.of(row), places.of(first), name, "", problems)
        drop[row] = True
    rows = np.array(places.version_rows, np.int64)
    hashes = np.array(places.versions, np.int64)
    for row, first in _repeated(table, ["group", "lang"], hashes, rows, drop):
        name = f"a {kind} {table['group'][row].as_py()!r} in {table['lang'][row].as_py()}"
        hint = "; texts of one group are versions of one text in several languages"
        _refuse_repeated(places.of(row), places.of(first), name, hint, problems)
        drop[row] = True
    if drop.any():
        _filter(table, drop, folder / f"{kind}.kept")
        table = mapped(folder / f"{kind}.kept")
    return table


def _rows(
    kind: str, texts: Iterable[Text], places: _Places, problems: Problems
) -> Iterator[tuple[str, ...]]:
    """Yield the texts that `check` accepts in the order of collection.TEXTS; `places` gets
    theirs.
    """
    for text in texts:
        try:
            check(kind, text)
        except BadLine as error:
            problems.take(error)
            continue
        places.add(text)
        if text.group is None:
            group = text.id
        else:
            group = text.group
        yield text.id, group, text.lang, text.split, text.text


def _refuse_repeated(
    place: tuple[Path, int], earlier: tuple[Path, int], name: str, hint: str, problems: Problems
) -> None:
    """Report a text whose name a text at an earlier place has."""
    path, line = place
    other, first = earlier
    if other == path:
        there = f"line {first}"
    else:
        there = f"{other}, line {first},"
    reason = f"{name} stands in {there} already{hint}"
    problems.add(path, line, reason, key="line.text_repeated")


def _write(path: Path, rows: Iterator[tuple[str, ...]]) -> None:
    with pa.ipc.new_file(str(path), TEXTS) as sink:
        pending: list[tuple[str, ...]] = []
        for row in rows:
            pending.append(row)
            if len(pending) == BATCH:
                sink.write_batch(batch_of(pending))
                pending.clear()
        if pending:
            sink.write_batch(batch_of(pending))


def batch_of(rows: list[tuple[str, ...]]) -> pa.RecordBatch:
    """Return rows in the order of collection.TEXTS as Arrow."""
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, item.type) for column, item in zip(columns, TEXTS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=TEXTS)


def _repeated(
    table: pa.Table, columns: list[str], hashes: np.ndarray, rows: np.ndarray, drop: np.ndarray
) -> Iterator[tuple[int, int]]:
    """Yield the rows, in order, whose columns are those of an earlier row, and that row; equal
    hashes only raise suspicion.
    """
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    if not same.size:
        return
    suspects = np.sort(rows[np.unique(order[np.concatenate([same, same + 1])])])
    first: dict[tuple[str, ...], int] = {}
    for row in suspects[~drop[suspects]].tolist():
        value = tuple(table[column][row].as_py() for column in columns)
        if first.setdefault(value, row) != row:
            yield row, first[value]


def _filter(table: pa.Table, drop: np.ndarray, path: Path) -> None:
    start = 0
    with pa.ipc.new_file(str(path), TEXTS) as sink:
        for batch in table.to_batches():
            sink.write_batch(batch.filter(pa.array(~drop[start : start + len(batch)])))
            start += len(batch)
