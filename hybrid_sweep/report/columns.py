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
    types = get_type_hints(kind)
    frame = pd.DataFrame(list(rows), columns=list(types))
    for name in optional(kind):
        if frame[name].isna().all():
            frame = frame.drop(columns=name)
            del types[name]
    for name, of in types.items():
        if of is str:
            # Objects: rows of a small table are selected faster from them than from pandas' own
            # text columns.
            frame[name] = frame[name].astype(object).fillna("").map(str).astype(object)
        elif of is int:
            frame[name] = frame[name].astype(np.float64).fillna(0).astype(np.int64)
        else:
            frame[name] = [clean(value) for value in frame[name].astype(np.float64)]
    return frame.copy()  # columns of one type lie together


def records(frame: pd.DataFrame, kind: type[Kind]) -> list[Kind]:
    """Return the rows of a frame that `frame_of` made: what `to_dict` gives, in less time."""
    names = [str(name) for name in frame.columns]
    rows = [dict(zip(names, row, strict=True)) for row in frame.to_numpy(dtype=object).tolist()]
    return cast(list[Kind], rows)
