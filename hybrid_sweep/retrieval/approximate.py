"""Evaluate with an approximate index (Faiss IVF): what it finds is scored and ordered exactly, the
rest is not found.

Which passages are found may differ between machines; how well, the report says: the recall against
exact lists.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from hybrid_sweep.retrieval import ranked_lists
from hybrid_sweep.retrieval.candidates import BLOCK, faiss
from hybrid_sweep.retrieval.exact_scores import Vectors, norms, scores
from hybrid_sweep.retrieval.measures import Floats, Ints
from hybrid_sweep.retrieval.per_query import POOL, SAME_AT, judged_pairs, texts_of
from hybrid_sweep.retrieval.ranked_lists import Lists
from hybrid_sweep.retrieval.ranking import top_k
from hybrid_sweep.utils.errors import UserError

QUERIES = 1024  # searched at a time
SAMPLE = 200  # queries per pool whose lists are compared with exact ones
RECALLS = (10, 100)
TRAINED = 39  # passages that a cell needs at least, by Faiss's own rule


class Settings(Protocol):
    """What is asked of an index: the fields of these names of the config's `eval`."""

    ivf_lists: int  # cells of an index; 0 = by its size
    ivf_probes: int  # cells that a query searches
    ivf_depth: int  # passages of a list


def evaluate(
    queries: pa.Table,
    passages: pa.Table,
    qrels: pa.Table,
    query_vectors: Vectors,
    passage_vectors: Vectors,
    settings: Settings,
    measures: Sequence[str] = (),
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the table and the report of `per_query.evaluate`, from lists of settings.ivf_depth of
    an index of each pool.

    Rows are as those of a run file: a relevant passage that is not found has no rank and adds
    nothing. The report also has ivf (of each pool its cells, and the share of the first 10 and 100
    exact passages that are among the first 10 and 100 found, over a fixed sample of queries), and
    ivf/recall@10 and ivf/recall@100, their means over the pools. Memory: the index of one pool,
    which is a copy of its vectors. Raises UserError as `per_query.evaluate`, and for too many
    cells.
    """
    texts = texts_of(queries, passages)
    norms(query_vectors, "query")
    norms(passage_vectors, "passage")
    query, passage, _ = judged_pairs(queries, passages, qrels)
    relevant = np.unique(query * len(passages) + passage)
    sample = np.sort(np.argsort(texts.query_order)[:: -(-len(queries) // SAMPLE)])
    found, pools = [], {}
    for code, name in enumerate([*texts.languages, POOL]):
        rows = (
            np.arange(len(passages)) if name == POOL else np.flatnonzero(texts.passage_lang == code)
        )
        if not len(rows):
            continue
        index, cells = _index(passage_vectors, rows, settings)
        hits = {k: 0 for k in RECALLS}
        exact = top_k(query_vectors[sample], passage_vectors, max(RECALLS), texts.tie_order, rows)[
            0
        ]
        for start in range(0, len(queries), QUERIES):
            asked = np.arange(start, min(start + QUERIES, len(queries)))
            listed, last, valid = _search(
                index,
                query_vectors,
                passage_vectors,
                rows,
                asked,
                texts.tie_order,
                settings.ivf_depth,
            )
            for at in np.flatnonzero((sample >= start) & (sample <= asked[-1])).tolist():
                line = listed[sample[at] - start][valid[sample[at] - start]]
                for k in RECALLS:
                    hits[k] += len(np.intersect1d(line[:k], exact[at, :k]))
            # Of millions of retrieved passages only those that a measure reads are kept.
            rank = np.broadcast_to(np.arange(1, listed.shape[1] + 1), listed.shape)
            keep = valid & (
                np.isin(asked[:, None] * len(passages) + listed, relevant) | (rank <= SAME_AT)
            )
            line, column = np.nonzero(keep)
            pool = np.full(len(line), code)
            found.append(
                (asked[line], listed[line, column], pool, rank[line, column], last[line, column])
            )
        shares = {f"recall@{k}": hits[k] / (len(sample) * min(k, len(rows))) for k in RECALLS}
        pools[name] = {"passages": len(rows), "cells": cells, "sample": len(sample), **shares}
    everything = np.ones((len(queries), len(texts.languages) + 1), dtype=bool)
    lists_ = Lists(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
    table, report = ranked_lists.evaluate(
        queries, passages, qrels, lists_, everything, measures=measures
    )
    means = {
        f"ivf/recall@{k}": float(np.mean([each[f"recall@{k}"] for each in pools.values()]))
        for k in RECALLS
    }
    return table, {**report, "ivf": pools, **means}


def _index(passages: Vectors, rows: Ints, settings: Settings) -> tuple[Any, int]:
    """Return a trained and filled index of some passages, and its number of cells; raises UserError
    where they are too many.
    """
    cells = settings.ivf_lists or max(1, min(round(4 * len(rows) ** 0.5), len(rows) // TRAINED))
    if cells > len(rows):
        raise UserError(
            f"eval.ivf_lists={cells}: a pool has only {len(rows)} passages; take fewer, or 0 for a"
            " number by its size",
            key="config.eval.ivf_lists",
        )
    library = faiss()
    index = library.IndexIVFFlat(
        library.IndexFlatIP(passages.shape[1]),
        passages.shape[1],
        cells,
        library.METRIC_INNER_PRODUCT,
    )
    # no warning: the number of cells is the user's word, or small enough
    index.cp.min_points_per_centroid = 1
    index.nprobe = min(settings.ivf_probes, cells)
    # Centroids of a fixed part of the passages: what Faiss would draw, without a copy of all.
    draw = np.random.default_rng(0).permutation(len(rows))[: 256 * cells]
    index.train(np.ascontiguousarray(passages[rows[np.sort(draw)]]))
    for start in range(0, len(rows), BLOCK):
        index.add(np.ascontiguousarray(passages[rows[start : start + BLOCK]]))
    return index, cells


def _search(
    index: Any,
    queries: Vectors,
    passages: Vectors,
    rows: Ints,
    asked: Ints,
    tie_order: Ints,
    depth: int,
) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Return (n, k) rows by (-score, id) of what the index finds, the ranks where their blocks of
    equal score end, and which entries there are: those of a list come first."""
    place = index.search(np.ascontiguousarray(queries[asked]), min(depth, len(rows)))[1]
    listed, score = rows[np.maximum(place, 0)], np.full(place.shape, -np.inf)
    line, column = np.nonzero(place >= 0)
    score[line, column] = scores(queries, passages, asked[line], listed[line, column])
    order = np.lexsort((tie_order[listed], -score), axis=1)
    listed, score = (
        np.take_along_axis(listed, order, axis=1),
        np.take_along_axis(score, order, axis=1),
    )
    return listed, _ends(score), np.isfinite(score)


def _ends(score: Floats) -> Ints:
    """Return (n, k) of each place in rows sorted by score the rank of the last of its score."""
    rank = np.broadcast_to(np.arange(1, score.shape[1] + 1), score.shape)
    last = rank.copy()
    last[:, :-1][score[:, 1:] == score[:, :-1]] = score.shape[1]
    ends: Ints = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    return ends
