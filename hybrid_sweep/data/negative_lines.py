"""A file of hard negatives as columns: triples or a run, as data.negatives_format says."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.data.column_lines import FileKind, first_line, read_columns
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import refuse

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
    first = first_line(path, FORMS)
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


def read_lines(path: Path, form: str, work: Path) -> Lines:
    """Return the lines of a file of negatives, plain or gzip; their words lie in a file in the
    folder `work`, mapped from there.

    Columns are separated by tabs, or by spaces where the first line has no tab. form: of `form_of`.
    Raises UserError with file, line and reason.
    """
    kind = FileKind("data.negatives", FORMS)
    names = [f"c{place}" for place in range(COLUMNS[form])]
    table = read_columns(path, names, kind, work / "lines.arrow")
    if form == "triples":
        return Lines(path, table["c0"], table["c2"], table["c1"], None)
    if form == "trec":
        passage, rank = ("c2", "c3")
    else:
        passage, rank = ("c1", "c2")
    return Lines(path, table["c0"], table[passage], None, _ranks(path, table[rank]))


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
