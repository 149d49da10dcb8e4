"""Tables with typed rows: a class says of each column its name, its type and what it means."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast, get_type_hints

import numpy as np
import pandas as pd

OPTIONAL = object()  # marks a column that a table has only where a row has a value of it
Kind = TypeVar("Kind")  # a TypedDict whose fields are annotated with what they mean


def meanings(kind: type) -> dict[str, str]:
    """Return what each column means, by its name, in order."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: str(hint.__metadata__[0]) for name, hint in hints.items()}


def optional(kind: type) -> set[str]:
    """Return the columns that are left out of a table in which no row has a value of them."""
    hints = get_type_hints(kind, include_extras=True)
    return {name for name, hint in hints.items() if OPTIONAL in hint.__metadata__}


def clean(value: float) -> float:
    """Return nine significant digits: the last bits differ between machines."""
    return float(f"{value:.9g}") + 0.0  # no negative zero


def frame_of(rows: Iterable[Mapping[str, Any]], kind: type) -> pd.DataFrame:
    """Return rows as a frame with one type a column: text ("" where there is none), whole counts (0
    where there is none), and numbers of nine significant digits.
    """
    stored = list(rows)
    may_lack = optional(kind)
    columns: dict[str, np.ndarray] = {}
    # Whole columns are made before the frame: pandas takes far longer to replace one of a frame.
    for name, of in get_type_hints(kind).items():
        values = np.array([row.get(name) for row in stored], dtype=object)
        missing = np.asarray(pd.isna(values))
        if not (name in may_lack and missing.all()):
            columns[name] = _column(values, missing, of)
    return pd.DataFrame(columns)


def _column(values: np.ndarray, missing: np.ndarray, of: type) -> np.ndarray:
    """Return the values of a column as its type.

    Args:
        values: (R,) objects.
        missing: (R,) whether there is none.
        of: the type that the class of the rows states.
    """
    if of is str:
        # Objects: rows of a small table are selected faster from them than from pandas' own text
        # columns.
        texts = ["" if gap else str(value) for value, gap in zip(values, missing, strict=True)]
        return np.array(texts, dtype=object)
    if of is int:
        return np.where(missing, 0, values).astype(np.float64).astype(np.int64)
    numbers = np.where(missing, np.nan, values).astype(np.float64)
    return np.array([clean(value) for value in numbers], dtype=np.float64)


def records(frame: pd.DataFrame, kind: type[Kind]) -> list[Kind]:
    """Return the rows of a frame that `frame_of` made: what `to_dict` gives, in less time."""
    names = [str(name) for name in frame.columns]
    rows = [dict(zip(names, row, strict=True)) for row in frame.to_numpy(dtype=object).tolist()]
    return cast(list[Kind], rows)
