"""Evaluate a ranker among fewer passages: what a fixed random part of a collection would have
given, every rank exact.

A query searches the part and its own relevant passages, whether drawn or not, so that at every size
the same questions are asked and the same answers are looked for: only the number of other passages
grows.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hybrid_sweep.retrieval import evaluated_texts, language_bias, per_query, topic_ranks
from hybrid_sweep.retrieval.measures import CORRELATION, Ints, check, judged
from hybrid_sweep.retrieval.rank_correlation import mean_rank_correlation
from hybrid_sweep.retrieval.ranking import Ranker


def drawn(passages: pa.Table, size: int) -> NDArray[np.bool_]:
    """Return (P,) which passages are in the part: of each language the `size` with the lowest hash
    of their group, or all.

    So parts are nested in size, whatever the order of rows, and languages have the same groups
    where they have them at all. passages: id, group, lang.
    """
    groups = pc.unique(passages["group"])
    hashes = [
        hashlib.blake2b(group.encode(), digest_size=8).digest() for group in groups.to_pylist()
    ]
    group = pc.index_in(passages["group"], value_set=groups).to_numpy()
    place = np.frombuffer(b"".join(hashes), ">u8")[group]
    language = pc.index_in(passages["lang"], value_set=pc.unique(passages["lang"])).to_numpy()
    order = np.lexsort((evaluated_texts.places(passages["id"]), place, language))
    first = np.searchsorted(language[order], language[order])  # where the language of each begins
    inside = np.zeros(len(order), dtype=bool)
    inside[order] = np.arange(len(order)) - first < size
    return inside


def evaluate(
    queries: pa.Table,
    passages: pa.Table,
    qrels: pa.Table,
    ranker: Ranker,
    size: int,
    *,
    measures: Sequence[str] = (),
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the table and the report of `per_query.evaluate`, its rows the same, where queries
    search a part of this size.

    size: passages of each language, besides a query's own relevant ones. The report counts the
    passages of the part. Raises UserError as `per_query.evaluate`.
    """
    check(measures)
    texts = evaluated_texts.texts_of(queries, passages)
    inside = drawn(passages, size)
    count = len(texts.languages)
    query, passage, grade = evaluated_texts.judged_pairs(queries, passages, qrels)
    # What is outside is a language of its own, which no rank below counts.
    codes = np.where(inside, texts.passage_lang, count)
    better, tied, _ = ranker.ranked(0, query, passage, codes, texts.tie_order)
    outside = ~inside[passage]
    answer_lang = texts.passage_lang[passage]
    pairs = np.arange(len(query))
    whole = 1 + better.sum(axis=1), 1 + (better + tied).sum(axis=1)

    topic = query * count + answer_lang
    before, after = _own(topic, *whole, outside)
    rank = 1 + better[pairs, answer_lang] + before
    ties = tied[pairs, answer_lang] + after
    single = judged(topic, rank, grade, rank + ties)
    before, after = _own(query, *whole, outside)
    rank = 1 + better[:, :count].sum(axis=1) + before
    ties = tied[:, :count].sum(axis=1) + after
    pooled = judged(query, rank, grade, rank + ties)

    top = _with_own(
        ranker.top(topic_ranks.SAME_AT, texts.tie_order, np.flatnonzero(inside))[0],
        query[outside],
        passage[outside],
        rank[outside],
    )
    share = language_bias.same_language_share(top, texts.query_lang, texts.passage_lang)
    asked = np.ones((len(queries), count + 1), dtype=bool)
    sizes = inside.sum() + np.bincount(query[outside], minlength=len(queries))[pooled.topic]
    part = topic_ranks.SearchedPart(texts.passage_lang[inside], sizes)
    answers = answer_lang[pooled.entry]
    head = topic_ranks.head_languages(top, texts)
    ranks = topic_ranks.Ranks(single, pooled, answers, top[:, 0], share, head, asked, part)
    if CORRELATION in measures:
        alike = mean_rank_correlation(queries, top, ranker.scores, texts.tie_order)
        ranks = replace(ranks, correlation=alike)
    return per_query.tabulated(queries, texts, ranks, measures)


def _own(topic: Ints, rank: Ints, last: Ints, outside: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return (R,) how many outside passages of the pair's own topic stand before it, and how many
    of its score stand after it.

    rank, last: in the pool of all passages, of each pair and of the last passage of its score: the
    order of a query's own passages is the same in every pool.
    """
    step = int(last.max(initial=0)) + 1
    keys = np.sort((topic * step + rank)[outside])
    begin, here, end = (
        keys.searchsorted(topic * step + at, "right") for at in (np.zeros_like(rank), rank, last)
    )
    return here - begin - outside, end - here


def _with_own(top: Ints, query: Ints, passage: Ints, rank: Ints) -> Ints:
    """Return (Q, k) the first passages of each query, with its own ones from outside the part put
    in at their ranks.

    top: (Q, k) of the part alone.
    """
    merged = np.full_like(top, -1)
    near = rank <= top.shape[1]
    merged[query[near], rank[near] - 1] = passage[near]
    free = merged < 0
    merged[free] = top[np.arange(top.shape[1]) < free.sum(axis=1, keepdims=True)]
    return merged
