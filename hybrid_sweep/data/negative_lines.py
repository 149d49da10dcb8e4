"""A file of hard negatives as columns: triples or a run, as data.negatives_format says, read block
by block.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.data.sorting import mapped
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import LONGEST, numbered, opened, refuse

BLOCK = 8_388_608  # bytes of the file in memory at a time
COLUMNS = {"triples": 3, "trec": 6, "msmarco": 3}  # of each data.negatives_format
FORMS = (
    "triples (query, positive, negative), a TREC run (six columns) or an MS MARCO run (query,"
    " passage, rank)"
)
WHOLE = "^[0-9]{1,18}$"


@dataclass(frozen=True)
class Lines:
    """The words of a file, row n from line n + 1: queries and passages; positives of triples, ranks
    of a run (int64).
    """

    path: Path
    query: pa.ChunkedArray
    passage: pa.ChunkedArray
    positive: pa.ChunkedArray | None
    rank: pa.ChunkedArray | None


def form_of(path: Path, stated: str | None) -> str:
    """Return the format of a file of negatives: triples, trec or msmarco; `stated` where that is
    not None, else triples for three columns and trec for six.

    Raises:
        UserError: where the first line has another number of columns than its format, or nothing is
            stated and it could be the first line of an MS MARCO run.
    """
    first = _first_line(path)
    if "\t" in first:
        words = first.split("\t")
    else:
        words = first.split()
    if stated is None and len(words) == 3 and words[2] in ("0", "1"):
        raise UserError(
            f"data.negatives={path}: the third column of its first line could be a rank or a"
            " passage; state data.negatives_format=msmarco (query, passage, rank) or triples"
            " (query, positive, negative)",
            key="negatives.ambiguous",
        )
    form = stated or {3: "triples", 6: "trec"}.get(len(words), "")
    if COLUMNS.get(form) != len(words):
        wanted = FORMS
        if form:
            wanted = f"{form} ({COLUMNS[form]} columns)"
        reason = f"has {len(words)} columns; the file should hold {wanted}"
        refuse(path, 1, reason, key="line.columns")
    return form


def _first_line(path: Path) -> str:
    _, first = next(numbered(path), (0, ""))
    if not first:
        raise UserError(
            f"{path}: the file or its first line is empty; it should hold {FORMS}",
            key="data.file_empty",
        )
    return first


def read_lines(path: Path, form: str, work: Path) -> Lines:
    """Return the lines of a file of negatives, plain or gzip; their words lie in a file in the
    folder `work`, mapped from there.

    Columns are separated by tabs, or by spaces where the first line has no tab. form: of `form_of`.
    Raises UserError with file, line and reason.
    """
    tabs = "\t" in _first_line(path)
    names = [f"c{place}" for place in range(COLUMNS[form])]
    schema = pa.schema([(name, pa.string()) for name in names])
    with pa.OSFile(str(work / "lines.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema) as file:
        for columns in _blocks(path, len(names), tabs):
            file.write_batch(pa.record_batch(columns, names=names))
    table = mapped(work / "lines.arrow")
    if form == "triples":
        return Lines(path, table["c0"], table["c2"], table["c1"], None)
    if form == "trec":
        passage, rank = ("c2", "c3")
    else:
        passage, rank = ("c1", "c2")
    return Lines(path, table["c0"], table[passage], None, _ranks(path, table[rank]))


def _blocks(path: Path, width: int, tabs: bool) -> Iterator[list[pa.Array]]:
    """Yield the columns of block after block of whole lines."""
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
            f"data.negatives={path}: the gzip file is damaged ({error}); fetch it again",
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


def _ranks(path: Path, words: pa.ChunkedArray) -> pa.ChunkedArray:
    number = pc.match_substring_regex(words, WHOLE)
    if not pc.all(number).as_py():
        line = int(np.flatnonzero(~number.to_numpy())[0])
        refuse(
            path,
            line + 1,
            f"the rank {words[line].as_py()[:40]!r} is not a whole number",
            key="line.rank",
        )
    return words.cast(pa.int64())
