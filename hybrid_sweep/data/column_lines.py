"""Files of columns, plain or gzip, read block by block: no Python object per line.

Hard negatives and the scores of a teacher come in such files.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.data.sorting import mapped
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import LONGEST, numbered, opened, refuse

BLOCK = 8_388_608  # bytes of the file in memory at a time


@dataclass(frozen=True)
class FileKind:
    """What a message says of a file: the setting that names it, and what it should hold."""

    setting: str
    content: str


def first_line(path: Path, content: str) -> str:
    """Return the first line of a file; content: what it should hold.

    Raises:
        UserError: where the file or the line is empty.
    """
    _, first = next(numbered(path), (0, ""))
    if not first:
        raise UserError(
            f"{path}: the file or its first line is empty; it should hold {content}",
            key="data.file_empty",
        )
    return first


def read_columns(path: Path, names: Sequence[str], kind: FileKind, target: Path) -> pa.Table:
    """Return the words of a file, a row for each line, mapped from the file `target`.

    Columns are separated by tabs, or by spaces where the first line has no tab.

    Args:
        path: of the file.
        names: of its columns.
        kind: for messages.
        target: an Arrow file, which is written.

    Raises:
        UserError: with file, line and reason.
    """
    tabs = "\t" in first_line(path, kind.content)
    schema = pa.schema([(name, pa.string()) for name in names])
    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, schema) as file:
        for columns in blocks(path, len(names), kind.setting, tabs=tabs):
            file.write_batch(pa.record_batch(columns, names=list(names)))
    return mapped(target)


def blocks(path: Path, width: int, setting: str, *, tabs: bool) -> Iterator[list[pa.Array]]:
    """Yield the columns of block after block of whole lines; setting: that names the file."""
    line, rest = 0, b""
    try:
        with opened(path) as file:
            while block := file.read(BLOCK):
                head, feed, tail = block.rpartition(b"\n")
                if not feed:
                    rest += block
                    if len(rest) > LONGEST:
                        reason = f"is longer than {LONGEST:,} bytes"
                        refuse(path, line + 1, reason, key="line.too_long")
                    continue
                head, rest = rest + head, tail
                yield _columns(path, line, head, width, tabs)
                line += head.count(b"\n") + 1
            if rest:
                yield _columns(path, line, rest, width, tabs)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{setting}={path}: the gzip file is damaged ({error}); fetch it again",
            key="data.gzip_damaged",
        ) from error


def _columns(path: Path, before: int, text: bytes, width: int, tabs: bool) -> list[pa.Array]:
    """Return the words of whole lines, column by column; `before`: how many lines stand before
    them.
    """
    place = text.find(b"\r")
    if place >= 0:
        refuse(
            path,
            before + text.count(b"\n", 0, place) + 1,
            "has a carriage return; convert to plain line feeds",
            key="line.carriage_return",
        )
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        refuse(
            path,
            before + text.count(b"\n", 0, error.start) + 1,
            "is not UTF-8",
            key="line.encoding",
        )
    lines = pc.split_pattern(pa.array([decoded]), "\n").flatten()
    if tabs:
        words = pc.split_pattern(lines, "\t")
    else:
        words = pc.ascii_split_whitespace(pc.ascii_trim_whitespace(lines))
    counts = pc.list_value_length(words).to_numpy()
    wrong = np.flatnonzero(counts != width)
    if wrong.size:
        if not lines[wrong[0]].as_py().strip():
            width_here = 0
        else:
            width_here = counts[wrong[0]]
        refuse(
            path,
            before + int(wrong[0]) + 1,
            f"has {width_here} columns, the first line {width}",
            key="line.columns",
        )
    flat = words.flatten()
    return [flat.take(pa.array(np.arange(column, len(flat), width))) for column in range(width)]
