"""Evaluate vectors on a collection: one row per query and setting, every rank exact.

The same vectors serve all settings; only the pool differs. Monolingual: the passages in the query's language.
Cross-lingual: those in one other language. Multilingual: those in all languages.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hybrid_sweep import bias, measures
from hybrid_sweep.errors import UserError
from hybrid_sweep.measures import Floats, Ints, Judged
from hybrid_sweep.ranking import rank_pairs, top_k
from hybrid_sweep.scores import Vectors

CROSS_LINGUAL, MONOLINGUAL, MULTILINGUAL = range(3)
SETTINGS = ("cross-lingual", "monolingual", "multilingual")  # sorted, so that codes sort as their names do
POOL = "*"  # the passage language of the multilingual setting


def evaluate(
    queries: pa.Table,
    passages: pa.Table,
    qrels: pa.Table,
    query_vectors: Vectors,
    passage_vectors: Vectors,
    *,
    bias_k: int = 10,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The per-query table, and a report, ready for JSON, of the counts and the language bias that it cannot hold.

    queries, passages: id, group, lang of one split in the chosen languages, the vectors in the order of their rows;
    qrels: query_group, passage_group, grade (0: not relevant). The table has a row wherever the pool holds a relevant
    passage, sorted by setting, query_lang, passage_lang, query_id; no row depends on the order of the input. same@k
    is NaN outside the multilingual setting. The report: queries, passages (by language, "*" for all), without_relevant
    (queries without a relevant passage in any pool), cells (of each setting and languages, n rows and queries
    without_relevant), bias. Raises UserError for an empty side, a pair judged twice, vectors that are not finite.
    """
    for table, vectors, kind in ((queries, query_vectors, "query"), (passages, passage_vectors, "passage")):
        if len(table) != len(vectors):
            raise ValueError(f"{len(vectors)} {kind} vectors for {len(table)} texts")
        if not len(table):
            raise UserError(f"nothing to evaluate: no {kind} in this split and these languages; choose others")
    languages = sorted({*queries["lang"].to_pylist(), *passages["lang"].to_pylist()})
    query_lang, passage_lang = (_codes(table["lang"], languages) for table in (queries, passages))
    tie_order = _places(passages["id"])
    query, passage, grade = judged_pairs(queries, passages, qrels)
    better = rank_pairs(query_vectors, passage_vectors, query, passage, passage_lang, tie_order)
    answer_lang = passage_lang[passage]
    rank = 1 + better[np.arange(len(query)), answer_lang]
    single = measures.judged(query * len(languages) + answer_lang, rank, grade)
    pooled = measures.judged(query, 1 + better.sum(axis=1), grade)
    top = top_k(query_vectors, passage_vectors, bias_k, tie_order)[0]
    share = bias.same_language_share(top, query_lang, passage_lang)[pooled.topic]

    asked, target = np.divmod(single.topic, len(languages))
    setting = np.where(query_lang[asked] == target, MONOLINGUAL, CROSS_LINGUAL)
    asked, target, setting = (
        np.concatenate(parts)
        for parts in (
            (asked, pooled.topic),
            (target, np.full_like(pooled.topic, len(languages))),
            (setting, np.full_like(pooled.topic, MULTILINGUAL)),
        )
    )
    table = pd.concat([_measured(single), _measured(pooled)], ignore_index=True)
    table[f"same@{bias_k}"] = np.concatenate([np.full(len(single.topic), np.nan), share])
    names = np.array([*languages, POOL], dtype=object)
    for place, (name, values) in enumerate(
        (
            ("setting", np.array(SETTINGS, dtype=object)[setting]),
            ("query_lang", names[query_lang[asked]]),
            ("passage_lang", names[target]),
            ("group_id", _strings(queries["group"])[asked]),
            ("query_id", _strings(queries["id"])[asked]),
        )
    ):
        table.insert(place, name, pd.Series(values, dtype="str"))
    order = np.lexsort((_places(queries["id"])[asked], target, query_lang[asked], setting))
    cells = np.zeros((len(languages), len(languages) + 1), dtype=np.int64)
    np.add.at(cells, (query_lang[asked], target), 1)
    report = {
        "queries": len(queries),
        "without_relevant": len(queries) - len(pooled.topic),
        "passages": {**_count(passage_lang, languages), POOL: len(passages)},
        "cells": _cells(cells, _count(query_lang, languages)),
        "bias": _bias(languages, pooled, query_lang, passage_lang, answer_lang[pooled.entry], top),
    }
    return table.iloc[order].reset_index(drop=True), report


def judged_pairs(queries: pa.Table, passages: pa.Table, qrels: pa.Table) -> tuple[Ints, Ints, Ints]:
    """Row numbers of the query and of the passage, and the grade, of every relevant pair, (R,) each.

    A judgement of groups holds for all their language versions; grades below 1 and absent groups are left out.
    """
    judgements = qrels.select(["query_group", "passage_group", "grade"]).to_pandas()
    if (twice := judgements.duplicated(["query_group", "passage_group"])).any():
        first = judgements[twice].iloc[0]
        raise UserError(
            f"qrels: passage group {first.passage_group!r} is judged twice for query group "
            f"{first.query_group!r}; keep one of the judgements"
        )
    pairs = judgements[judgements["grade"] > 0]
    for kind, table in (("query", queries), ("passage", passages)):
        side = pd.DataFrame({f"{kind}_group": _strings(table["group"]), kind: np.arange(len(table))})
        pairs = pairs.merge(side, on=f"{kind}_group")
    query, passage, grade = (pairs[name].to_numpy(dtype=np.int64) for name in ("query", "passage", "grade"))
    return query, passage, grade


def _measured(topics: Judged) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n_relevant": topics.count.astype(np.int32),
            "rank_min": topics.rank[topics.start],
            "rank_max": topics.rank[topics.start + topics.count - 1],
            "RR@10": measures.reciprocal_rank(topics, 10),
            "AP": measures.average_precision(topics),
            "nDCG@10": measures.ndcg(topics, 10),
            "R@100": measures.recall(topics, 100),
        }
    )


def _cells(rows: Ints, asked: dict[str, int]) -> list[dict[str, Any]]:
    """The counts of every setting and languages; rows: (L, L + 1) of the table, by query and passage language."""
    found = []
    for query_lang, counts in zip(asked, rows.tolist(), strict=True):
        for passage_lang, n in zip([*asked, POOL], counts, strict=True):
            setting = (
                MULTILINGUAL if passage_lang == POOL else MONOLINGUAL if passage_lang == query_lang else CROSS_LINGUAL
            )
            found.append(
                {
                    "setting": SETTINGS[setting],
                    "query_lang": query_lang,
                    "passage_lang": passage_lang,
                    "n": n,
                    "without_relevant": asked[query_lang] - n,
                }
            )
    return found


def _bias(
    languages: list[str], pooled: Judged, query_lang: Ints, passage_lang: Ints, answer_lang: Ints, top: Ints
) -> dict[str, Any]:
    """Rank distance by query language, and the maps of `bias`; answer_lang: (R,) in the order of pooled.rank."""
    asked, count = query_lang[pooled.topic], len(languages)
    last = pooled.rank[pooled.start + pooled.count - 1]
    raw, relative = bias.rank_distance(pooled.rank[pooled.start], last, pooled.count, len(passage_lang))
    distance = {}
    for code, name in enumerate(languages):
        if (mine := (asked == code) & (pooled.count >= 2)).any():
            distance[name] = {
                "n": int(mine.sum()),
                "mean": float(raw[mine].mean()),
                "median": float(np.median(raw[mine])),
                "relative": float(relative[mine].mean()),
            }
    maps = {
        "answer_rr": bias.heat_map(pooled, asked, answer_lang, count),
        "first_relevant": bias.preference(asked, answer_lang[pooled.start], count),
        "first_retrieved": bias.preference(query_lang, passage_lang[top[:, 0]], count),
    }
    return {"languages": languages, "rank_distance": distance, **{name: _nested(map_) for name, map_ in maps.items()}}


def _nested(matrix: Floats) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in matrix]


def _count(codes: Ints, languages: list[str]) -> dict[str, int]:
    return dict(zip(languages, np.bincount(codes, minlength=len(languages)).tolist(), strict=True))


def _codes(names: pa.ChunkedArray, languages: list[str]) -> Ints:
    codes: Ints = pc.index_in(names, value_set=pa.array(languages)).to_numpy().astype(np.int64)
    return codes


def _places(ids: pa.ChunkedArray) -> Ints:
    """(N,) the place of each id in byte order, which is that of Python strings too."""
    places = np.empty(len(ids), dtype=np.int64)
    places[pc.sort_indices(ids).to_numpy()] = np.arange(len(ids))
    return places


def _strings(column: pa.ChunkedArray) -> NDArray[np.object_]:
    strings: NDArray[np.object_] = column.to_numpy(zero_copy_only=False)
    return strings
