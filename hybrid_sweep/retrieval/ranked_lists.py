"""Evaluate retrieved lists, cut anywhere, from a run file or an approximate index: rows as those of
whole pools.

A relevant passage that a list lacks adds nothing to any measure and has no rank.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from hybrid_sweep.retrieval.evaluated_texts import TextCodes, judged_pairs, texts_of
from hybrid_sweep.retrieval.measures import CORRELATION, NOWHERE, Floats, Ints, Judged, check
from hybrid_sweep.retrieval.per_query import tabulated
from hybrid_sweep.retrieval.rank_correlation import mean_rank_correlation
from hybrid_sweep.retrieval.topic_ranks import (
    RELEVANT,
    SAME_AT,
    Ranks,
    head_languages,
    least_of,
    relevant_and_all,
)


@dataclass(frozen=True)
class RankedLists:
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
    lists: RankedLists,
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
    query, passage, grade = judged_pairs(queries, passages, qrels, least_of(measures))
    answer_lang = texts.passage_lang[passage]
    place = _placed(lists, len(texts.passage_lang), count)

    def ranked_in(pool: Ints, topic: Ints) -> tuple[Judged, Judged, Ints]:
        """Return the ranks in these pools, those of all that is judged, and the languages of the
        relevant passages in their order.
        """
        mine = np.flatnonzero(asked[query, pool])
        rank, last = place(query[mine], pool[mine], passage[mine])
        ranks, every = relevant_and_all(topic[mine], rank, grade[mine], last)
        relevant = mine[grade[mine] >= RELEVANT]
        return ranks, every, answer_lang[relevant[ranks.entry]]

    single, all_single, _ = ranked_in(answer_lang, query * count + answer_lang)
    pooled, all_pooled, languages = ranked_in(np.full_like(answer_lang, count), query)
    share, top, first = _mixed(lists, texts)
    head = head_languages(top, texts)
    every = (all_single, all_pooled)
    ranks = Ranks(single, pooled, languages, first, share, head, asked, all_judged=every)
    if CORRELATION in measures:

        def scores(query: Ints, passage: Ints) -> Floats:
            rank = place(query, np.full_like(query, count), passage)[0]
            return np.where(rank < NOWHERE, -rank.astype(np.float64), -np.inf)

        alike = mean_rank_correlation(queries, top, scores, texts.tie_order)
        ranks = replace(ranks, correlation=alike)
    return tabulated(queries, texts, ranks, measures)


def _placed(
    lists: RankedLists, passages: int, languages: int
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


def _mixed(lists: RankedLists, texts: TextCodes) -> tuple[Floats, Ints, Ints]:
    """Return (Q,) share of the query's language among the first ten of its list in the mixed pool,
    (Q, 10) their rows, -1 where there is none, and its first passage, or -1.
    """
    queries = len(texts.query_lang)
    mixed = lists.pool == len(texts.languages)
    head = np.flatnonzero(mixed & (lists.rank <= SAME_AT))
    query = lists.query[head]
    passage = lists.passage[head]
    same = texts.query_lang[query] == texts.passage_lang[passage]
    number = np.bincount(query, minlength=queries)
    share = np.full(queries, np.nan)
    np.divide(np.bincount(query, same, minlength=queries), number, out=share, where=number > 0)
    first = np.full(queries, -1, dtype=np.int64)
    foremost = head[np.lexsort((lists.rank[head], query))]
    listed, at = np.unique(lists.query[foremost], return_index=True)
    first[listed] = lists.passage[foremost[at]]
    top = np.full((queries, SAME_AT), -1, dtype=np.int64)
    top[query, lists.rank[head] - 1] = passage
    return share, top, first
