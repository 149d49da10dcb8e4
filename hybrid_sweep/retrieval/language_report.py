"""What an evaluation says beside its table: counts of queries and passages, and language bias."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybrid_sweep.retrieval import language_bias
from hybrid_sweep.retrieval.evaluated_texts import POOL, TextCodes, setting_of
from hybrid_sweep.retrieval.measures import NOWHERE, Floats, Ints, Judged
from hybrid_sweep.retrieval.topic_ranks import Ranks, SearchedPart


def language_report(texts: TextCodes, table: pd.DataFrame, ranks: Ranks) -> dict[str, Any]:
    """Return the counts and the language bias of a table, ready for JSON; see `per_query`."""
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
