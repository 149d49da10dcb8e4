"""Ids to numbers and numbers to rows, by Arrow's hash tables: no Python object per text."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.utils.errors import UserError

# rows looked up at a time: bounds the memory, and is long enough to pay for the hash table
SLICE = 4_194_304


ROWS = 2**31  # numbers of rows and of ids are int32, since there is one for each text and language


def check_rows(count: int) -> None:
    """Raise UserError for more rows than int32 can number."""
    if count > ROWS:
        raise UserError(
            f"{count:,} texts or ids are too many for one collection: it can have {ROWS:,}",
            key="data.too_many_texts",
        )


def sorted_unique(column: pa.ChunkedArray) -> pa.Array:
    """Return the distinct strings of a column in the order of their bytes, which is that of their
    code points.
    """
    values = pc.unique(column)
    return values.take(pc.sort_indices(values))


def index_in(column: pa.ChunkedArray, values: pa.Array) -> np.ndarray:
    """Return (N,) int32 place of each entry of the column among distinct values, -1 where it is
    none of them.
    """
    places = np.empty(len(column), np.int32)
    for start, part in _slices(column, values):
        places[start : start + len(part)] = part
    return places


def _slices(column: pa.ChunkedArray, values: pa.Array) -> Iterator[tuple[int, np.ndarray]]:
    check_rows(len(values))
    for start in range(0, len(column), SLICE):
        part = pc.index_in(column.slice(start, SLICE), value_set=values)
        yield start, pc.fill_null(part, -1).to_numpy().astype(np.int32, copy=False)


def text_rows(
    table: pa.Table, groups: pa.Array, languages: Sequence[str], split: str
) -> np.ndarray:
    """Return (L, K) int32 row of each group's text in each language, -1 where it has none in the
    split (or in the split *).

    groups: (K,) distinct. Where a group has two texts of a language the later row counts.
    """
    check_rows(len(table))
    rows = np.full((len(languages), len(groups)), -1, np.int32)
    codes = pa.array(languages, pa.string())
    splits = pa.array([split, "*"])
    for start, group in _slices(table["group"], groups):
        code = pc.index_in(table["lang"].slice(start, SLICE), value_set=codes)
        language = pc.fill_null(code, -1).to_numpy()
        inside = pc.is_in(table["split"].slice(start, SLICE), value_set=splits)
        inside = inside.to_numpy(zero_copy_only=False)
        where = np.flatnonzero(inside & (group >= 0) & (language >= 0))
        rows[language[where], group[where]] = where + start
    return rows
