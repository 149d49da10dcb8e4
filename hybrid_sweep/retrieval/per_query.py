"""Evaluate a ranker on a collection: one row per query and setting, every rank exact.

The same scores serve all settings; only the pool differs. Monolingual: the passages in the query's
language. Cross-lingual: those in one other language. Multilingual: those in all languages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hybrid_sweep.retrieval import language_bias, own_documents
from hybrid_sweep.retrieval.measures import (
    CORRELATION,
    EXPOSURE,
    NOWHERE,
    OF_LANGUAGES,
    Floats,
    Ints,
    Judged,
    check,
    judged,
    measured,
    needs_all_judged,
)
from hybrid_sweep.retrieval.rank_correlation import mean_rank_correlation
from hybrid_sweep.retrieval.ranking import Ranker
from hybrid_sweep.utils.errors import UserError

CROSS_LINGUAL, MONOLINGUAL, MULTILINGUAL = range(3)
# sorted, so that codes sort as their names do
SETTINGS = ("cross-lingual", "monolingual", "multilingual")
POOL = "*"  # the passage language of the multilingual setting
RELEVANT = 1  # the least grade of a relevant passage
ANY_GRADE = -(2**31)  # below every grade
SAME_AT = 10  # passages whose languages are counted: same@10


@dataclass(frozen=True)
class TextCodes:
    """What ranking knows of Q queries and P passages: language codes, (Q,) and (P,), and the places
    of the ids.

    languages: sorted, L of them. query_order, tie_order: (Q,), (P,) the place of each id among all,
    in byte order.
    """

    languages: list[str]
    query_lang: Ints
    passage_lang: Ints
    query_order: Ints
    tie_order: Ints


@dataclass(frozen=True)
class SearchedPart:
    """What is searched where that is not all passages: see `pools`.

    languages: (n,) codes of the passages that every query searches. sizes: (S,) how many each topic
    searches.
    """

    languages: Ints
    sizes: Ints


@dataclass(frozen=True)
class Ranks:
    """The ranks of the relevant passages, and what else the tables are made of.

    single: in the pools of single languages, topics query * L + language of the pool. pooled: in
    the mixed pool, topics query. answer_lang: (R,) in the order of pooled.rank. first: (Q,) the
    passage at the head of each query's list in the mixed pool, -1 where it has none. share: (Q,)
    the share of the query's language in the head of that list. head: (Q, k) the languages of its
    passages, -1 where the list has ended. asked: (Q, L + 1) whether a query
    was asked of each language's pool and, last, of all. part: what is searched, its sizes in the
    order of pooled.topic; None: all passages. all_judged: single and pooled with the passages that
    are judged not relevant, where a measure needs them. correlation: (Q,) `mean_rank_correlation`,
    where it is asked for.
    """

    single: Judged
    pooled: Judged
    answer_lang: Ints
    first: Ints
    share: Floats
    head: Ints
    asked: NDArray[np.bool_]
    part: SearchedPart | None = None
    all_judged: tuple[Judged | None, Judged | None] = (None, None)
    correlation: Floats | None = None


def texts_of(queries: pa.Table, passages: pa.Table) -> TextCodes:
    """Return the codes of tables with id and lang; raises UserError for an empty side."""
    for table, kind in ((queries, "query"), (passages, "passage")):
        if not len(table):
            raise UserError(
                f"nothing to evaluate: no {kind} in this split and these languages; choose others",
                key="evaluation.no_texts",
            )
    languages = sorted(
        {*pc.unique(queries["lang"]).to_pylist(), *pc.unique(passages["lang"]).to_pylist()}
    )
    query_lang, passage_lang = (_codes(table["lang"], languages) for table in (queries, passages))
    return TextCodes(
        languages, query_lang, passage_lang, places(queries["id"]), places(passages["id"])
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


def head_languages(top: Ints, texts: TextCodes) -> Ints:
    """Return the languages of the first passages, (Q, k) row numbers; -1 stays."""
    return np.where(top >= 0, texts.passage_lang[top], -1)


def least_of(measures: Sequence[str]) -> int:
    """Return the least grade of the judgements that measures need."""
    if needs_all_judged(measures):
        return ANY_GRADE
    return RELEVANT


def relevant_and_all(topic: Ints, rank: Ints, grade: Ints, last: Ints) -> tuple[Judged, Judged]:
    """Return the relevant passages by topic, and all that are judged; (R,) each, as for
    `measures.judged`.
    """
    every = judged(topic, rank, grade, last)
    chosen = grade >= RELEVANT
    if chosen.all():
        return every, every
    return judged(topic[chosen], rank[chosen], grade[chosen], last[chosen]), every


def tabulated(
    queries: pa.Table, texts: TextCodes, ranks: Ranks, measures: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the table and the report of `evaluate` from the ranks.

    Where a relevant passage was not retrieved, rank_max, or both ranks, are null.
    """
    table = _table(queries, texts, ranks, measures)
    return table, _report(texts, table, ranks)


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
        "group_id": _strings(queries["group"])[asked],
        "query_id": _strings(queries["id"])[asked],
    }
    for place, (name, values) in enumerate(keys.items()):
        table.insert(place, name, pd.Series(values, dtype="str"))
    order = np.lexsort((texts.query_order[asked], target, texts.query_lang[asked], setting))
    return table.iloc[order].reset_index(drop=True)


def _report(texts: TextCodes, table: pd.DataFrame, ranks: Ranks) -> dict[str, Any]:
    """Return the counts and the language bias of a table, ready for JSON: see `evaluate`."""
    part = ranks.part
    if part is None:
        sizes = np.full(len(ranks.pooled.topic), len(texts.passage_lang))
        part = SearchedPart(texts.passage_lang, sizes)
    answered = np.union1d(ranks.single.topic // len(texts.languages), ranks.pooled.topic)
    return {
        "queries": len(texts.query_lang),
        "without_relevant": int(ranks.asked.any(axis=1).sum()) - len(answered),
        "passages": {**_count(part.languages, texts.languages), POOL: len(part.languages)},
        "cells": _cells(texts, table, ranks.asked),
        "bias": _bias(texts, ranks, part.sizes),
    }


def _cells(texts: TextCodes, table: pd.DataFrame, asked: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the rows, and the queries without them, of each language that asks and each pool with
    a passage.
    """
    filled = [*(np.bincount(texts.passage_lang, minlength=len(texts.languages)) > 0), True]
    n = table.groupby(["query_lang", "passage_lang"]).size().to_dict()
    cells = []
    for code, query_lang in enumerate(texts.languages):
        mine = texts.query_lang == code
        totals = asked[mine].sum(axis=0).tolist()
        pools = zip([*texts.languages, POOL], totals, filled, strict=True)
        for passage_lang, total, is_filled in pools:
            if mine.any() and is_filled and (total or asked.all()):
                rows = int(n.get((query_lang, passage_lang), 0))
                cells.append(
                    {
                        "setting": setting_of(query_lang, passage_lang),
                        "query_lang": query_lang,
                        "passage_lang": passage_lang,
                        "n": rows,
                        "without_relevant": total - rows,
                    }
                )
    return cells


def setting_of(query_lang: str, passage_lang: str) -> str:
    """Return the setting of the pool of a passage language, or of POOL."""
    if passage_lang == POOL:
        return SETTINGS[MULTILINGUAL]
    return SETTINGS[MONOLINGUAL if passage_lang == query_lang else CROSS_LINGUAL]


def judged_pairs(
    queries: pa.Table, passages: pa.Table, qrels: pa.Table, least: int = 1
) -> tuple[Ints, Ints, Ints]:
    """Return the row numbers of the query and of the passage, and the grade, of every relevant
    pair, (R,) each.

    A judgement of groups holds for all their language versions; grades below `least` and absent
    groups are left out. Memory: the judgements of these queries, and the texts that they name.
    """
    mine = qrels.filter(pc.is_in(qrels["query_group"], value_set=pc.unique(queries["group"])))
    pairs = mine.select(["query_group", "passage_group", "grade"]).to_pandas()
    twice = pairs.duplicated(["query_group", "passage_group"])
    if twice.any():
        first = pairs[twice].iloc[0]
        raise UserError(
            f"qrels: passage group {first.passage_group!r} is judged twice for query group "
            f"{first.query_group!r}; keep one of the judgements",
            key="data.judged_twice",
        )
    pairs = pairs[pairs["grade"] >= least]
    for kind, table in (("query", queries), ("passage", passages)):
        groups = pa.array(pairs[f"{kind}_group"].unique(), pa.string())
        named = pc.is_in(table["group"], value_set=groups)
        rows = np.flatnonzero(named.to_numpy(zero_copy_only=False))
        names = _strings(table["group"].take(pa.array(rows)))
        side = pd.DataFrame({f"{kind}_group": names, kind: rows})
        pairs = pairs.merge(side, on=f"{kind}_group")
    columns = [pairs[name].to_numpy(dtype=np.int64) for name in ("query", "passage", "grade")]
    return columns[0], columns[1], columns[2]


def _bias(texts: TextCodes, ranks: Ranks, sizes: Ints) -> dict[str, Any]:
    """Rank distance by query language, and the maps of `bias`."""
    pooled = ranks.pooled
    count = len(texts.languages)
    asked = texts.query_lang[pooled.topic]
    retrieved = pooled.rank < NOWHERE
    answered = retrieved[pooled.start]
    listed = ranks.first >= 0
    first_answer = ranks.answer_lang[pooled.start][answered]
    first_lang = texts.passage_lang[ranks.first[listed]]
    maps = {
        "answer_rr": language_bias.heat_map(pooled, asked, ranks.answer_lang, count),
        "first_relevant": language_bias.preference(asked[answered], first_answer, count),
        "first_retrieved": language_bias.preference(texts.query_lang[listed], first_lang, count),
    }
    return {
        "languages": texts.languages,
        "rank_distance": _rank_distances(texts.languages, asked, pooled, sizes),
        **{name: _nested(map_) for name, map_ in maps.items()},
    }


def _rank_distances(
    languages: list[str], asked: Ints, pooled: Judged, sizes: Ints
) -> dict[str, dict[str, float | None]]:
    """Return the numbers of the rank distance by query language.

    A query one of whose relevant passages was not retrieved has no rank distance; such queries are
    counted. asked: (S,) the languages of the queries.
    """
    best = pooled.rank[pooled.start]
    last = pooled.rank[pooled.start + pooled.count - 1]
    raw, relative = language_bias.rank_distance(best, last, pooled.count, sizes)
    distances = {}
    for code, name in enumerate(languages):
        several = (asked == code) & (pooled.count >= 2)
        if not several.any():
            continue
        lost = several & (last == NOWHERE)
        mine = several & ~lost
        numbers: dict[str, float | None] = {"n": int(mine.sum())}
        numbers |= {"mean": None, "median": None, "relative": None}
        if mine.any():
            numbers["mean"] = float(raw[mine].mean())
            numbers["median"] = float(np.median(raw[mine]))
            numbers["relative"] = float(relative[mine].mean())
        if lost.any():
            numbers["not_retrieved"] = int(lost.sum())
        distances[name] = numbers
    return distances


def _nested(matrix: Floats) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in matrix]


def _count(codes: Ints, languages: list[str]) -> dict[str, int]:
    return dict(zip(languages, np.bincount(codes, minlength=len(languages)).tolist(), strict=True))


def _codes(names: pa.ChunkedArray, languages: list[str]) -> Ints:
    codes: Ints = pc.index_in(names, value_set=pa.array(languages)).to_numpy().astype(np.int64)
    return codes


def places(ids: pa.ChunkedArray | pa.Array) -> Ints:
    """Return (N,) the place of each id in byte order, which is that of Python strings too."""
    places = np.empty(len(ids), dtype=np.int64)
    places[pc.sort_indices(ids).to_numpy()] = np.arange(len(ids))
    return places


def _strings(column: pa.ChunkedArray) -> NDArray[np.object_]:
    strings: NDArray[np.object_] = column.to_numpy(zero_copy_only=False)
    return strings
