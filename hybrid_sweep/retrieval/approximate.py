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
from hybrid_sweep.retrieval.candidates import faiss
from hybrid_sweep.retrieval.evaluated_texts import POOL, TextCodes, judged_pairs, texts_of
from hybrid_sweep.retrieval.exact_scores import BLOCK, Vectors, norms, scores
from hybrid_sweep.retrieval.limits import check_cells
from hybrid_sweep.retrieval.measures import Floats, Ints
from hybrid_sweep.retrieval.ranked_lists import RankedLists
from hybrid_sweep.retrieval.ranking import Dense
from hybrid_sweep.retrieval.top_lists import top_k
from hybrid_sweep.retrieval.topic_ranks import SAME_AT

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
    vectors: Dense,
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
    norms(vectors.query_vectors, "query")
    norms(vectors.passage_vectors, "passage")
    query, passage, _ = judged_pairs(queries, passages, qrels)
    relevant = np.unique(query * len(passages) + passage)
    parts: list[tuple[Ints, ...]] = []
    pools = {}
    for code, name in enumerate([*texts.languages, POOL]):
        rows = np.arange(len(passages))
        if name != POOL:
            rows = np.flatnonzero(texts.passage_lang == code)
        if len(rows):
            index, cells = _index(vectors.passage_vectors, rows, settings)
            search = _Search(index, vectors, rows, texts, settings.ivf_depth)
            columns, recalls = search.lists(relevant)
            parts.append((*columns, np.full(len(columns[0]), code)))
            counts = {"passages": len(rows), "cells": cells, "sample": len(search.sample)}
            pools[name] = {**counts, **recalls}
    query, passage, rank, last, pool = (np.concatenate(part) for part in zip(*parts, strict=True))
    lists = RankedLists(query, passage, pool, rank, last)
    asked = np.ones((len(queries), len(texts.languages) + 1), dtype=bool)
    table, report = ranked_lists.evaluate(queries, passages, qrels, lists, asked, measures=measures)
    means = {}
    for k in RECALLS:
        shares = [numbers[f"recall@{k}"] for numbers in pools.values()]
        means[f"ivf/recall@{k}"] = float(np.mean(shares))
    return table, {**report, "ivf": pools, **means}


def _index(passages: Vectors, rows: Ints, settings: Settings) -> tuple[Any, int]:
    """Return a trained and filled index of some passages, and its number of cells; raises UserError
    where they are too many.
    """
    cells = settings.ivf_lists or max(1, min(round(4 * len(rows) ** 0.5), len(rows) // TRAINED))
    check_cells(settings.ivf_lists, len(rows))
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


class _Search:
    """The search of every query in the index of one pool, whose passages are `rows`."""

    def __init__(
        self, index: Any, vectors: Dense, rows: Ints, texts: TextCodes, depth: int
    ) -> None:
        self.index, self.vectors, self.rows = index, vectors, rows
        self.tie_order, self.depth = texts.tie_order, min(depth, len(rows))
        step = -(-len(texts.query_order) // SAMPLE)
        self.sample = np.sort(np.argsort(texts.query_order)[::step])  # compared with exact lists

    def lists(self, relevant: Ints) -> tuple[tuple[Ints, Ints, Ints, Ints], dict[str, float]]:
        """Return query, passage, rank and last of what a measure reads of the lists, (n,) each, and
        the recalls of the sample.

        relevant: query * P + passage of the relevant pairs, ascending.
        """
        queries = self.vectors.query_vectors
        passages = self.vectors.passage_vectors
        hits = dict.fromkeys(RECALLS, 0)
        exact, _ = top_k(queries[self.sample], passages, max(RECALLS), self.tie_order, self.rows)
        parts = []
        for start in range(0, len(queries), QUERIES):
            asked = np.arange(start, min(start + QUERIES, len(queries)))
            listed, last, valid = self.listed(asked)
            inside = (self.sample >= start) & (self.sample <= asked[-1])
            for place in np.flatnonzero(inside).tolist():
                line = self.sample[place] - start
                likely = listed[line][valid[line]]
                for k in RECALLS:
                    hits[k] += len(np.intersect1d(likely[:k], exact[place, :k]))
            # Of millions of retrieved passages only those that a measure reads are kept.
            rank = np.broadcast_to(np.arange(1, listed.shape[1] + 1), listed.shape)
            judged = np.isin(asked[:, None] * len(passages) + listed, relevant)
            kept = np.nonzero(valid & (judged | (rank <= SAME_AT)))
            parts.append((asked[kept[0]], listed[kept], rank[kept], last[kept]))
        recalls = {}
        for k in RECALLS:
            recalls[f"recall@{k}"] = hits[k] / (len(self.sample) * min(k, len(self.rows)))
        query, passage, rank, last = (np.concatenate(part) for part in zip(*parts, strict=True))
        return (query, passage, rank, last), recalls

    def listed(self, asked: Ints) -> tuple[Ints, Ints, NDArray[np.bool_]]:
        """Return (n, k) rows by (-score, id) of what the index finds, the ranks where their blocks
        of equal score end, and which entries there are: those of a list come first.

        asked: (n,) the rows of the queries.
        """
        queries = self.vectors.query_vectors
        passages = self.vectors.passage_vectors
        place = self.index.search(np.ascontiguousarray(queries[asked]), self.depth)[1]
        listed = self.rows[np.maximum(place, 0)]
        score = np.full(place.shape, -np.inf)
        line, column = np.nonzero(place >= 0)
        score[line, column] = scores(queries, passages, asked[line], listed[line, column])
        order = np.lexsort((self.tie_order[listed], -score), axis=1)
        listed = np.take_along_axis(listed, order, axis=1)
        score = np.take_along_axis(score, order, axis=1)
        return listed, _ends(score), np.isfinite(score)


def _ends(score: Floats) -> Ints:
    """Return (n, k) of each place in rows sorted by score the rank of the last of its score."""
    rank = np.broadcast_to(np.arange(1, score.shape[1] + 1), score.shape)
    last = rank.copy()
    last[:, :-1][score[:, 1:] == score[:, :-1]] = score.shape[1]
    ends: Ints = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    return ends
