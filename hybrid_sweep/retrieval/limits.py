"""What an evaluation cannot do, as far as it is known before anything is encoded.

Nothing heavy is imported: the driver asks for all points. An Arrow scalar or array of Python's
values would bring pandas along, so that texts are compared by patterns.
"""

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.utils.errors import UserError

# All that Python's split() takes for white space, in the words of RE2.
WHITE_SPACE = r"[\s\p{Z}\x{0b}\x{1c}-\x{1f}\x{85}]"


def counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value of a column occurs."""
    return {row["values"]: row["counts"] for row in column.value_counts().to_pylist()}


def part(table: pa.Table, splits: Sequence[str], column: str) -> pa.ChunkedArray:
    """Return a column in the rows of some splits."""
    pattern = f"^({'|'.join(map(re.escape, splits))})$"
    return table[column].filter(pc.match_substring_regex(table["split"], pattern))


def check_ids(ids: pa.ChunkedArray) -> None:
    """Refuse ids that a TREC run cannot hold, before there is a run to be written.

    Raises:
        UserError: for the first id with white space.
    """
    check_plain(ids.filter(pc.match_substring_regex(ids, WHITE_SPACE)).to_pylist())


def check_plain(names: Sequence[str]) -> None:
    """Refuse a name that the columns of a run cannot hold."""
    for name in names:
        if name.split() != [name]:
            raise UserError(
                f"the id {name!r} holds white space, which a TREC run cannot hold; set"
                " eval.run_depth=0",
                key="run_file.white_space",
            )


def check_cells(cells: int, passages: int) -> None:
    """Raise UserError for more cells than a pool has passages."""
    if cells > passages:
        raise UserError(
            f"eval.ivf_lists={cells}: a pool has only {passages} passages; take fewer, or 0 for a"
            " number by its size",
            key="config.eval.ivf_lists",
        )
