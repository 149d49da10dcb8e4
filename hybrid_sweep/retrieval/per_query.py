"""Evaluate a ranker on a collection: one row per query and setting, every rank exact.

The same scores serve all settings; only the pool differs. Monolingual: the passages in the query's
language. Cross-lingual: those in one other language. Multilingual: those in all languages.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from hybrid_sweep.retrieval import language_bias, own_documents
from hybrid_sweep.retrieval.evaluated_texts import (
    CROSS_LINGUAL,
    MONOLINGUAL,
    MULTILINGUAL,
    POOL,
    SETTINGS,
    TextCodes,
    judged_pairs,
    strings,
    texts_of,
)
from hybrid_sweep.retrieval.language_report import language_report
from hybrid_sweep.retrieval.measures import (
    CORRELATION,
    EXPOSURE,
    NOWHERE,
    OF_LANGUAGES,
    Ints,
    check,
    measured,
)
from hybrid_sweep.retrieval.rank_correlation import mean_rank_correlation
from hybrid_sweep.retrieval.ranking import Ranker
from hybrid_sweep.retrieval.topic_ranks import (
    RELEVANT,
    SAME_AT,
    Ranks,
    SearchedPart,
    head_languages,
    least_of,
    relevant_and_all,
)


def evaluate(
    queries: pa.Table,
    passages: pa.Table,
    qrels: pa.Table,
    ranker: Ranker,
    *,
    measures: Sequence[str] = (),
    without_own: bool = False,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the per-query table, and a report, ready for JSON, of the counts and the language bias
    that it cannot hold.

    queries, passages: id, group, lang of one split in the chosen languages, by whose row numbers
    the ranker knows them; qrels: query_group, passage_group, grade (0: not relevant); measures:
    names for further columns; without_own: whether the passage that has the id of a query is left
    out of what that query searches. The table has a row wherever the pool holds a relevant passage,
    by setting, query_lang, passage_lang, query_id, whatever the order of the input.
    same@10 and the measures `OF_LANGUAGES` are NaN outside the multilingual setting, same@10 also
    where no passage is in the query's language, and same@10 and AWRF@10 where all are in one. The
    report: queries, passages (by language, "*" for all), without_relevant (queries without a
    relevant passage in any pool), cells (of each setting and languages, n rows and queries
    without_relevant), bias. Raises UserError for an empty side, a pair judged twice, an unknown
    measure, vectors that are not finite.
    """
    check(measures)
    texts = texts_of(queries, passages)
    query, passage, grade = judged_pairs(queries, passages, qrels, least_of(measures))
    own = np.full(len(queries), -1)
    if without_own:
        own = own_documents.own_rows(queries, passages)
    searched = passage != own[query]
    query, passage, grade = query[searched], passage[searched], grade[searched]
    better, tied, top = _ranked(ranker, (query, passage), texts, own if without_own else None)
    answer_lang = texts.passage_lang[passage]
    pairs = np.arange(len(query))
    rank = 1 + better[pairs, answer_lang]
    last = rank + tied[pairs, answer_lang]
    topic = query * len(texts.languages) + answer_lang
    single, all_single = relevant_and_all(topic, rank, grade, last)
    rank = 1 + better.sum(axis=1)
    pooled, all_pooled = relevant_and_all(query, rank, grade, rank + tied.sum(axis=1))
    shares = own_documents if without_own else language_bias
    share = shares.same_language_share(top, texts.query_lang, texts.passage_lang)
    asked = np.ones((len(queries), len(texts.languages) + 1), dtype=bool)
    part = None
    if without_own:
        part = SearchedPart(texts.passage_lang, len(passages) - (own >= 0)[pooled.topic])
    languages = answer_lang[grade >= RELEVANT][pooled.entry]
    head = head_languages(top, texts)
    every = (all_single, all_pooled)
    alike = None
    if CORRELATION in measures:
        alike = mean_rank_correlation(queries, top, ranker.scores, texts.tie_order, own)
    ranks = Ranks(single, pooled, languages, top[:, 0], share, head, asked, part, every, alike)
    return tabulated(queries, texts, ranks, measures)


def _ranked(
    ranker: Ranker, pairs: tuple[Ints, Ints], texts: TextCodes, own: Ints | None
) -> tuple[Ints, Ints, Ints]:
    """Return what `Ranker.ranked` says of pairs of query and passage and the first SAME_AT
    passages, without each query's own one where `own` gives its row.
    """
    codes = (texts.passage_lang, texts.tie_order)
    if own is None:
        better, tied, top = ranker.ranked(SAME_AT, *pairs, *codes)
    else:
        better, tied, top = own_documents.ranked(ranker, SAME_AT, pairs, codes, own)
    if len(top) != len(texts.query_lang):
        raise ValueError(f"a ranker of {len(top)} queries for {len(texts.query_lang)} texts")
    return better, tied, top


def tabulated(
    queries: pa.Table, texts: TextCodes, ranks: Ranks, measures: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the table and the report of `evaluate` from the ranks.

    Where a relevant passage was not retrieved, rank_max, or both ranks, are null.
    """
    table = _table(queries, texts, ranks, measures)
    return table, language_report(texts, table, ranks)


def _table(
    queries: pa.Table, texts: TextCodes, ranks: Ranks, measures: Sequence[str]
) -> pd.DataFrame:
    """Return the table of `evaluate`."""
    single = ranks.single
    pooled = ranks.pooled
    count = len(texts.languages)
    asked, target = np.divmod(single.topic, count)
    setting = np.where(texts.query_lang[asked] == target, MONOLINGUAL, CROSS_LINGUAL)
    asked = np.concatenate([asked, pooled.topic])
    target = np.concatenate([target, np.full_like(pooled.topic, count)])
    setting = np.concatenate([setting, np.full_like(pooled.topic, MULTILINGUAL)])
    parts = [
        pd.DataFrame(measured(part, measures, every))
        for part, every in zip((single, pooled), ranks.all_judged, strict=True)
    ]
    table = pd.concat(parts, ignore_index=True)
    no_share = np.full(len(single.topic), np.nan)
    # Where no passage is in the query's language, or all are in one, the share is 0 or 1 whatever
    # the ranking.
    is_mixed = len(np.unique(texts.passage_lang)) > 1
    is_there = np.isin(texts.query_lang, texts.passage_lang) & is_mixed
    share = np.where(is_there, ranks.share, np.nan)
    table[f"same@{SAME_AT}"] = np.concatenate([no_share, share[pooled.topic]])
    if set(measures) & set(OF_LANGUAGES):
        query_lang = texts.query_lang[pooled.topic]
        head = ranks.head[pooled.topic]
        by_query = language_bias.by_query(pooled, ranks.answer_lang, query_lang, head)
        if ranks.correlation is not None:
            by_query[CORRELATION] = ranks.correlation[pooled.topic]
        if not is_mixed:
            by_query[EXPOSURE] = np.full_like(by_query[EXPOSURE], np.nan)
        for name in sorted(set(measures) & set(OF_LANGUAGES)):
            table[name] = np.concatenate([no_share, by_query[name]])
    if (table["rank_max"] == NOWHERE).any():
        for name in ("rank_min", "rank_max"):
            table[name] = table[name].astype("Int64").mask(table[name] == NOWHERE)
    names = np.array([*texts.languages, POOL], dtype=object)
    keys = {
        "setting": np.array(SETTINGS, dtype=object)[setting],
        "query_lang": names[texts.query_lang[asked]],
        "passage_lang": names[target],
        "group_id": strings(queries["group"])[asked],
        "query_id": strings(queries["id"])[asked],
    }
    for place, (name, values) in enumerate(keys.items()):
        table.insert(place, name, pd.Series(values, dtype="str"))
    order = np.lexsort((texts.query_order[asked], target, texts.query_lang[asked], setting))
    return table.iloc[order].reset_index(drop=True)
