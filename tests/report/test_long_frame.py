"""The frame of many runs: what they have in common is in memory once, and the values are theirs."""

import numpy as np
import pandas as pd
import pyarrow as pa

from hybrid_sweep.report.long_frame import Place, long_frame, shared
from hybrid_sweep.runs.finished import SCHEMA
from tests.report.conftest import World, per_query

PLACES = [Place("trained", 0.0, 0, "a"), Place("trained", 0.5, 1, "b"), Place("bm25", 0.0, 0, "c")]


def tables():
    made = {}
    for place in PLACES:
        rows = per_query(World(questions=7), place.run_id, place.ratio, place.seed, place.kind)
        table = pa.Table.from_pandas(rows[SCHEMA.names], preserve_index=False).cast(SCHEMA)
        made[place.run_id] = table
    ranks = made["b"]["rank_min"].to_pylist()
    empty = pa.array([None, *ranks[1:]], pa.int64())
    made["b"] = made["b"].set_column(made["b"].column_names.index("rank_min"), "rank_min", empty)
    return made


def test_texts_of_the_runs_are_held_once():
    first, second, _ = tables().values()
    kept = shared(first, None)
    other = shared(second, kept)
    names = ["group_id", "query_id", "setting"]
    assert all(other[n].chunk(0).buffers()[2].address == kept[n].chunk(0).buffers()[2].address
               for n in names)  # fmt: skip
    assert other["RR@10"].equals(second["RR@10"])


def test_a_column_that_differs_stays_the_runs_own():
    first, second, _ = tables().values()
    other = [*second["query_id"].to_pylist()[:-1], "another"]
    place = second.column_names.index("query_id")
    second = second.set_column(place, "query_id", pa.array(other))
    assert shared(second, shared(first, None))["query_id"].to_pylist() == other


def test_the_frame_has_the_rows_of_each_run_one_after_the_other():
    expected = []
    for place, table in zip(PLACES, tables().values(), strict=True):
        rows = table.to_pandas()
        rank = rows["rank_min"].astype(float).fillna(np.inf)
        several = (rows["setting"] == "multilingual") & (rows["n_relevant"] >= 2)
        distance = (rows["rank_max"] - rows["rank_min"]).where(several).astype(float)
        rows = rows.assign(kind=place.kind, ratio=place.ratio, seed=place.seed, rank=rank)
        expected.append(rows.assign(RD=distance))
    frame = long_frame(PLACES, {name: shared(table, None) for name, table in tables().items()})
    wanted = pd.concat(expected, ignore_index=True)[list(frame.columns)]
    texts = {name: str for name in frame if frame[name].dtype == "category"}
    pd.testing.assert_frame_equal(frame.astype(texts), wanted.astype(texts), check_dtype=False)
    assert np.isinf(frame["rank"]).sum() == 1
