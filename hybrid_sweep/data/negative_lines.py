"""A file of hard negatives as columns: triples or a run, told apart by what stands in it, read
block by block.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.data.lookup import index_in
from hybrid_sweep.data.sorting import mapped
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import LONGEST, opened, refuse

BLOCK = 8_388_608  # bytes of the file in memory at a time
SAMPLE = 100_000  # lines that tell triples from a run
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


@dataclass(frozen=True)
class FileIds:
    """The ids a file may use: groups, or ids of single texts of the group, of questions and of
    passages.

    queries, passages: (K,) distinct groups. relevant: sorted int64 keys query << 32 | passage of
    all relevant judgements.
    """

    queries: pa.Array
    passages: pa.Array
    query_texts: pa.Table
    passage_texts: pa.Table
    relevant: np.ndarray

    def query_numbers(self, words: pa.ChunkedArray) -> np.ndarray:
        """Return (N,) int32 place in `queries`, -1 for an unknown id."""
        return _numbers(words, self.queries, self.query_texts)

    def passage_numbers(self, words: pa.ChunkedArray) -> np.ndarray:
        """Return (N,) int32 place in `passages`, -1 for an unknown id."""
        return _numbers(words, self.passages, self.passage_texts)

    def is_relevant(self, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
        """Return (N,) bool: the passage is judged relevant to the query."""
        keys = query.astype(np.int64) << 32 | passage
        place = np.minimum(np.searchsorted(self.relevant, keys), len(self.relevant) - 1)
        return (self.relevant[place] == keys) if len(self.relevant) else np.zeros(len(keys), bool)


def _numbers(words: pa.ChunkedArray, groups: pa.Array, texts: pa.Table) -> np.ndarray:
    numbers = index_in(words, groups)
    lost = np.flatnonzero(numbers < 0)
    if lost.size:
        strays = pc.unique(words.take(pa.array(lost)))
        place = index_in(texts["id"], strays)
        rows = np.flatnonzero(place >= 0)
        of_stray = np.full(len(strays), -1, np.int32)
        of_stray[place[rows]] = index_in(texts["group"].take(pa.array(rows)), groups)
        numbers[lost] = of_stray[index_in(words.take(pa.array(lost)), strays)]
    return numbers


def read_lines(path: Path, ids: FileIds, work: Path) -> Lines:
    """Return the lines of a file of negatives, plain or gzip; their words lie in a file in the
    folder `work`, mapped from there.

    Columns are separated by tabs, or by spaces where the first line has no tab. Three columns are
    triples where the third names passages, and a run where it holds ranks; where it could be both
    (numbers as ids), a run is a file whose passages and ranks never repeat within a query, and that
    holds more than judged positives. Raises UserError with file, line and reason.
    """
    names: list[str] = []
    with pa.OSFile(str(work / "lines.arrow"), "wb") as sink:
        writer = None
        for columns in _blocks(path):
            if writer is None:
                names = [f"c{place}" for place in range(len(columns))]
                writer = pa.ipc.new_file(sink, pa.schema([(name, pa.string()) for name in names]))
            writer.write_batch(pa.record_batch(columns, names=names))
        if writer is None:
            raise UserError(
                f"{path}: the file is empty; it should hold {FORMS}", key="data.file_empty"
            )
        writer.close()
    table = mapped(work / "lines.arrow")
    if len(names) == 6:
        return Lines(path, table["c0"], table["c2"], None, _ranks(path, table["c3"]))
    if _is_run(path, table, ids):
        return Lines(path, table["c0"], table["c1"], None, _ranks(path, table["c2"]))
    return Lines(path, table["c0"], table["c2"], table["c1"], None)


def _blocks(path: Path) -> Iterator[list[pa.Array]]:
    """Yield the columns of block after block of whole lines."""
    if not path.is_file():
        raise UserError(f"data.negatives={path}: no such file", key="negatives.file_missing")
    width, line, rest, tabs = 0, 0, b"", False
    try:
        with opened(path) as file:
            while block := file.read(BLOCK):
                head, feed, tail = block.rpartition(b"\n")
                if not feed:
                    rest += block
                    if len(rest) > LONGEST:
                        refuse(
                            path, line + 1, f"is longer than {LONGEST:,} bytes", key="line.too_long"
                        )
                    continue
                head, rest = rest + head, tail
                if not width:
                    width, tabs = _form(path, head.partition(b"\n")[0])
                yield _columns(path, line, head, width, tabs)
                line += head.count(b"\n") + 1
            if rest:
                width, tabs = (width, tabs) if width else _form(path, rest)
                yield _columns(path, line, rest, width, tabs)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"data.negatives={path}: the gzip file is damaged ({error}); fetch it again",
            key="data.gzip_damaged",
        ) from error


def _form(path: Path, first: bytes) -> tuple[int, bool]:
    tabs = b"\t" in first
    width = len(first.split(b"\t") if tabs else first.split())
    if width not in (3, 6):
        refuse(path, 1, f"has {width} columns; the file should hold {FORMS}", key="line.columns")
    return width, tabs


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
        width_here = 0 if not lines[wrong[0]].as_py().strip() else counts[wrong[0]]
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


def _is_run(path: Path, table: pa.Table, ids: FileIds) -> bool:
    """Return whether three columns are query, passage, rank rather than query, positive,
    negative.
    """
    sample = table.slice(0, SAMPLE)
    third = sample["c2"]
    whole = pc.match_substring_regex(third, WHOLE).to_numpy()
    passage = ids.passage_numbers(third) >= 0
    stray = np.flatnonzero(~whole & ~passage)
    if stray.size:
        line = int(stray[0])
        reason = (
            f"{third[line].as_py()[:40]!r} is neither the id of a passage nor a rank; the file"
            f" should hold {FORMS}"
        )
        refuse(path, line + 1, reason, key="line.rank_or_passage")
    if not whole.all():
        return False  # a name among the ids: no rank
    repeated, tied = _repeats(sample["c0"], sample["c1"]), _repeats(sample["c0"], sample["c2"])
    relevant = ids.is_relevant(
        ids.query_numbers(sample["c0"]), ids.passage_numbers(sample["c1"])
    ).all()
    first = pc.min(third.cast(pa.int64())).as_py()
    # a run lists no passage and no rank twice
    could_be_run = not repeated and not tied and first <= 1
    if could_be_run and relevant and passage.all():
        raise UserError(
            f"data.negatives={path}: its third column could be ranks or passages; give the run in"
            " six columns (a TREC run)",
            key="negatives.ambiguous",
        )
    return could_be_run and (not relevant or not passage.all())


def _repeats(query: pa.ChunkedArray, value: pa.ChunkedArray) -> bool:
    """Return whether a query has a value twice."""
    keys = _codes(query) << 32 | _codes(value)
    return len(np.unique(keys)) < len(query)


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """Return (N,) int64 numbers that are equal where values are."""
    codes: np.ndarray = pc.index_in(column, value_set=pc.unique(column)).to_numpy()
    return codes.astype(np.int64)
