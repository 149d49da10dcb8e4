"""One tidy frame of the per-query tables of many runs: what they have in common is held once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.runs.finished import KEY, STORED

SAME = ["collection", "group_id", "n_relevant", *KEY]  # the columns that all runs have in common


@dataclass(frozen=True)
class Place:
    """What the frame says of a run beside its rows."""

    kind: str
    ratio: float
    seed: int
    run_id: str


def shared(table: pa.Table, first: pa.Table | None) -> pa.Table:
    """Return a table whose columns are those of the first one where they are equal: the runs of a
    sweep have the same questions, and a hundred runs would hold each text a hundred times.
    """
    table = table.drop_columns("run_id")  # known from its point
    if first is None:
        return table
    for name in SAME:
        if table[name].equals(first[name]):
            table = table.set_column(table.column_names.index(name), name, first[name])
    return table


def long_frame(
    points: Sequence[Place], tables: dict[str, pa.Table], more: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the frame of `Sweep`: text as categories, or a million rows would take long to
    group.

    Args:
        points: in the order of the frame.
        tables: of the same rows each (`_check`); they are emptied, since a column for a column is
            all that memory has room for.
        more: further measures that all tables have.
    """
    first = tables[points[0].run_id]
    rows, runs = first.num_rows, len(points)
    columns: dict[str, Any] = {
        "kind": _repeated([point.kind for point in points], rows),
        "ratio": np.repeat([point.ratio for point in points], rows),
        "seed": np.repeat([point.seed for point in points], rows),
        "run_id": _repeated([point.run_id for point in points], rows),
    }
    for name in [*KEY, "group_id"]:
        encoded = first[name].combine_chunks().dictionary_encode()
        codes = np.tile(encoded.indices.to_numpy(), runs)
        columns[name] = _texts(codes, encoded.dictionary.to_pandas())
    columns["n_relevant"] = np.tile(first["n_relevant"].to_numpy(), runs)
    several = pc.and_(
        pc.equal(first["setting"], "multilingual"), pc.greater_equal(first["n_relevant"], 2)
    )
    for name in [*STORED, *more]:
        columns[name] = _joined(points, tables, name)
        for point in points:
            tables[point.run_id] = tables[point.run_id].drop_columns(name)
    distances = []
    for point in points:
        table = tables[point.run_id]
        distance = pc.subtract(table["rank_max"], table["rank_min"]).cast(pa.float64())
        distances.append(pc.if_else(several, distance, float("nan")).to_numpy())
    ranks = _joined(points, tables, "rank_min").astype(np.float64, copy=False)
    columns["rank"] = np.where(np.isnan(ranks), np.inf, ranks)
    columns["RD"] = np.concatenate(distances)
    return pd.DataFrame(columns, copy=False)


def _joined(points: Sequence[Place], tables: dict[str, pa.Table], name: str) -> Any:
    return np.concatenate([tables[point.run_id][name].to_numpy() for point in points])


def _texts(codes: Any, names: Any) -> Any:
    return pd.Categorical.from_codes(codes, names)


def _repeated(texts: Sequence[str], rows: int) -> Any:
    """Return each text so many times, as categories in the order in which they come."""
    names = list(dict.fromkeys(texts))
    codes = np.repeat([names.index(text) for text in texts], rows)
    return _texts(codes, names)
