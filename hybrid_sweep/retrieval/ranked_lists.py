"""Evaluate retrieved lists, cut anywhere, from a run file or an approximate index: rows as those of
whole pools.

A relevant passage that a list lacks adds nothing to any measure and has no rank.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from hybrid_sweep.retrieval.measures import NOWHERE, Floats, Ints, check, judged
from hybrid_sweep.retrieval.per_query import (
    SAME_AT,
    Texts,
    judged_pairs,
    per_query,
    report,
    texts_of,
)


@dataclass(frozen=True)
class Lists:
    """N retrieved passages, in any order; (N,) each.

    query, passage: row numbers. pool: which pool the list is about, the code of a language, or L
    for all languages. rank: from 1. last: the rank of the last passage of exactly its score. No
    passage is twice in a list.
    """

    query: Ints
    passage: Ints
    pool: Ints
    rank: Ints
    last: Ints


def evaluate(
    queries: pa.Table,
    passages: pa.Table,
    qrels: pa.Table,
    lists: Lists,
    asked: NDArray[np.bool_],
    *,
    measures: Sequence[str] = (),
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the table and the report of `per_query.evaluate`, of the pools a query was asked of.

    asked: (Q, L + 1), by language of the pool and, last, of all. A query without a list in a pool
    that it was asked of has a row of zeros, where the pool holds a relevant passage. same@10 is the
    share among the passages retrieved, NaN where there are none.
    """
    check(measures)
    texts = texts_of(queries, passages)
    count = len(texts.languages)
    query, passage, grade = judged_pairs(queries, passages, qrels)
    answer_lang = texts.passage_lang[passage]
    place = _placed(lists, len(texts.passage_lang), count)
    topics = []
    for pool in (answer_lang, np.full_like(answer_lang, count)):
        mine = np.flatnonzero(asked[query, pool])
        rank, last = place(query[mine], pool[mine], passage[mine])
        topic = query[mine] if (pool == count).all() else query[mine] * count + pool[mine]
        found = judged(topic, rank, grade[mine], last)
        topics.append((found, mine[found.entry]))
    (single, _), (pooled, entry) = topics
    share, first = _mixed(lists, texts)
    table = per_query(queries, texts, single, pooled, {f"same@{SAME_AT}": share}, measures)
    return table, report(texts, table, single, pooled, answer_lang[entry], first, asked)


def _placed(
    lists: Lists, passages: int, languages: int
) -> Callable[[Ints, Ints, Ints], tuple[Ints, Ints]]:
    """Return a function from (query, pool, passage), (R,) each, to rank and last, NOWHERE for what
    is in no list.
    """

    def key(query: Ints, pool: Ints, passage: Ints) -> Ints:
        return (query * (languages + 1) + pool) * passages + passage

    keys = key(lists.query, lists.pool, lists.passage)
    order = np.argsort(keys)

    def place(query: Ints, pool: Ints, passage: Ints) -> tuple[Ints, Ints]:
        wanted = key(query, pool, passage)
        if not len(keys):
            return np.full_like(wanted, NOWHERE), np.full_like(wanted, NOWHERE)
        at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
        here = keys[at] == wanted
        return np.where(here, lists.rank[at], NOWHERE), np.where(here, lists.last[at], NOWHERE)

    return place


def _mixed(lists: Lists, texts: Texts) -> tuple[Floats, Ints]:
    """Return (Q,) share of the query's language among the first ten of its list in the mixed pool,
    and its first passage, or -1.
    """
    queries = len(texts.query_lang)
    mixed = lists.pool == len(texts.languages)
    head = np.flatnonzero(mixed & (lists.rank <= SAME_AT))
    query, passage = lists.query[head], lists.passage[head]
    same = texts.query_lang[query] == texts.passage_lang[passage]
    number = np.bincount(query, minlength=queries)
    share = np.full(queries, np.nan)
    np.divide(np.bincount(query, same, minlength=queries), number, out=share, where=number > 0)
    first = np.full(queries, -1, dtype=np.int64)
    foremost = head[np.lexsort((lists.rank[head], query))]
    known, at = np.unique(lists.query[foremost], return_index=True)
    first[known] = lists.passage[foremost[at]]
    return share, first
