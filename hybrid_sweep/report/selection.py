"""The rows of a table by what they are about, rows without a look at all of them: a sweep of 120
languages has a hundred thousand rows, and a report asks for thousands of curves.
"""

import weakref
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

KEYS = ("setting", "measure", "scope", "kind")
Places = dict[tuple[Any, ...], NDArray[np.intp]]
MOST_KNOWN = 8  # tables
# by the identity of a table: a reference that tells whether it is still that one, and its rows
_known: dict[int, tuple["weakref.ref[pd.DataFrame]", int, Places]] = {}


def having(results: pd.DataFrame, *wanted: str) -> pd.DataFrame:
    """Return the rows of results.csv with these values of `KEYS`, in their order."""
    places = _places(results).get(wanted)
    if places is None:
        return results.iloc[:0]
    rows = results.iloc[places]
    # as arrays, since a comparison of columns takes a hundred times as long as that of few values
    columns = [rows[key].to_numpy(dtype=object) for key in KEYS]
    same = [bool((column == value).all()) for column, value in zip(columns, wanted, strict=True)]
    if all(same):
        return rows
    _known.pop(id(results), None)  # the table was changed in place
    return having(results, *wanted)


def _places(results: pd.DataFrame) -> Places:
    remembered = _known.get(id(results))
    if remembered is None or remembered[0]() is not results or remembered[1] != len(results):
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        indices: Any = results.groupby(list(KEYS), sort=False).indices
        places: Places = dict(indices)
        remembered = _known[id(results)] = (weakref.ref(results), len(results), places)
    return remembered[2]
