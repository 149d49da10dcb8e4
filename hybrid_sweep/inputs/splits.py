"""The texts of a split, and the table of their results under whatever ranks them. No torch here."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hybrid_sweep.config.schema import Config
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.inputs.prepare import Prepared
from hybrid_sweep.retrieval import approximate, per_query, pools
from hybrid_sweep.retrieval.ranking import Dense, Ranker
from hybrid_sweep.utils.errors import UserError

TEXTS = ["id", "group", "lang"]  # all that scoring needs to know of a text


@dataclass(frozen=True)
class Split:
    """The texts of a split: tables of id, group and lang, and the numbers of their rows in the
    tables of the collection.

    In the order in which an encoder takes them, by token length; without tokens in that of the
    collection.
    """

    queries: pa.Table
    passages: pa.Table
    query_rows: NDArray[np.int64]
    passage_rows: NDArray[np.int64]


def rows_of(collection: Collection, split: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row numbers of the queries and of the passages of a split; passages of split "*"
    belong to all.

    Raises:
        UserError: where it has none of a kind.
    """
    rows = []
    for kind, table, splits in (
        ("query", collection.queries, [split]),
        ("passage", collection.passages, [split, "*"]),
    ):
        inside = pc.is_in(table["split"], value_set=pa.array(splits, pa.string()))
        rows.append(inside.to_numpy(zero_copy_only=False).nonzero()[0])
        if not len(rows[-1]):
            raise UserError(
                f"nothing to evaluate: no {kind} of {collection.name} in the split {split}"
                " and these languages; choose others",
                key="evaluation.no_texts",
            )
    return rows[0], rows[1]


def split_of(prepared: Prepared, split: str) -> Split:
    """Return the texts of a split; passages of split "*" belong to all splits.

    Raises UserError where it has none of a kind.
    """
    collection = prepared.collection
    tables = []
    numbers = []
    queries, passages = rows_of(collection, split)
    for table, tokens, rows in (
        (collection.queries, prepared.queries, queries),
        (collection.passages, prepared.passages, passages),
    ):
        if len(tokens) == len(table):
            rows = rows[np.argsort(tokens.lengths[rows], kind="stable")]
        tables.append(table.select(TEXTS).take(rows))
        numbers.append(rows)
    return Split(*tables, *numbers)


def score(
    config: Config, prepared: Prepared, split: Split, ranker: Ranker, pool: int | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the per-query table of a split and a report of counts and bias: see
    `per_query.evaluate`, `approximate.evaluate`.

    pool: passages of each language that are searched, None for all of them: see `pools.evaluate`.
    """
    texts = (split.queries, split.passages, prepared.collection.qrels)
    measures = config.eval.measures
    if pool is not None:
        return pools.evaluate(*texts, ranker, pool, measures=measures)
    if config.eval.index == "ivf" and isinstance(ranker, Dense):
        return approximate.evaluate(*texts, ranker, config.eval, measures)
    without_own = config.eval.own_document == "leave_out"
    return per_query.evaluate(*texts, ranker, measures=measures, without_own=without_own)
