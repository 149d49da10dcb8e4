"""Texts that were read from files, checked and streamed into Arrow: the memory does not grow with
their length.
"""

import re
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
    if text.split not in SPLITS and (text.split != "*" or kind == "query"):
        known = ", ".join((*SPLITS, "*") if kind == "passage" else SPLITS)
        refuse(
            text.path,
            text.line,
            f"the split {text.split[:40]!r} of a {kind} is not one of {known}",
            key="line.split",
        )
    if not text.text.strip():
        refuse(
            text.path,
            text.line,
            f"the {kind} {text.id[:40]!r} has no text; data.on_error=skip leaves such texts out",
            key="line.text_empty",
        )


def write_texts(kind: str, texts: Iterable[Text], folder: Path, problems: Problems) -> pa.Table:
    """Return the good ones of `texts`, as a table of collection.TEXTS that is mapped from a file in
    `folder`.

    Bad lines are those that `check` refuses, an id that stands in an earlier line, and a second
    text of one group in one language. Two numbers per text are kept in memory, and a third where it
    has a group.
    """
    ids, versions, lines = array("q"), array("q"), array("q")
    version_rows = array("q")
    files: list[tuple[int, Path]] = []  # the first row of each file

    def rows() -> Iterator[tuple[str, ...]]:
        for text in texts:
            try:
                check(kind, text)
            except BadLine as error:
                problems.take(error)
                continue
            if not files or files[-1][1] != text.path:
                files.append((len(lines), text.path))
            if text.group is not None:
                versions.append(hash((text.group, text.lang)))
                version_rows.append(len(lines))
            ids.append(hash(text.id))
            lines.append(text.line)
            yield (
                text.id,
                text.id if text.group is None else text.group,
                text.lang,
                text.split,
                text.text,
            )

    _write(folder / kind, rows())
    table = mapped(folder / kind)

    def place(row: int) -> tuple[Path, int]:
        return [path for first, path in files if first <= row][-1], lines[row]

    drop = np.zeros(len(table), bool)
    for columns, hashes, where in (
        (["id"], ids, np.arange(len(table))),
        (["group", "lang"], versions, np.array(version_rows, np.int64)),
    ):
        for row, first in _repeated(table, columns, np.array(hashes, np.int64), where, drop):
            path, line = place(row)
            name = table.slice(row, 1).to_pylist()[0]
            what = (
                f"the {kind} {name['id']!r}"
                if columns == ["id"]
                else f"a {kind} {name['group']!r} in {name['lang']}"
            )
            other, earlier = place(first)
            there = f"line {earlier}" if other == path else f"{other}, line {earlier},"
            hint = (
                ""
                if columns == ["id"]
                else "; texts of one group are versions of one text in several languages"
            )
            problems.add(
                path, line, f"{what} stands in {there} already{hint}", key="line.text_repeated"
            )
            drop[row] = True
    if drop.any():
        _filter(table, drop, folder / f"{kind}.kept")
        table = mapped(folder / f"{kind}.kept")
    return table


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
    suspects = (
        np.sort(rows[np.unique(order[np.concatenate([same, same + 1])])]) if same.size else same
    )
    found: dict[tuple[str, ...], int] = {}
    for row in suspects[~drop[suspects]].tolist():
        value = tuple(table[column][row].as_py() for column in columns)
        if found.setdefault(value, row) != row:
            yield row, found[value]


def _filter(table: pa.Table, drop: np.ndarray, path: Path) -> None:
    start = 0
    with pa.ipc.new_file(str(path), TEXTS) as sink:
        for batch in table.to_batches():
            sink.write_batch(batch.filter(pa.array(~drop[start : start + len(batch)])))
            start += len(batch)
