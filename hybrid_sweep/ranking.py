"""Exact ranks and exact top-k lists of stored vectors, at the speed of float32 matrix products.

Passages go by (-score, passage id). Matrix products and Faiss only propose: a comparison that their proven error leaves
open is settled by the scores themselves. So no rank depends on chunks, threads, device, index or the order of rows.
"""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.errors import UserError
from hybrid_sweep.measures import Floats, Ints
from hybrid_sweep.scores import FLOAT_32_SAFE, Vectors, float32_band, norms, score_matrix, scores

Spans = list[tuple[int, int]]
PASSAGE_CHUNK = 16384


def rank_pairs(
    queries: Vectors,
    passages: Vectors,
    pair_query: Ints,
    pair_passage: Ints,
    language: Ints,
    tie_order: Ints,
    *,
    query_chunk: int = 512,
    passage_chunk: int = PASSAGE_CHUNK,
) -> Ints:
    """(R, L) how many passages of each language stand before the passage of each pair, for the query of the pair.

    queries: (Q, D), passages: (P, D). pair_query, pair_passage: (R,) row numbers. language: (P,) codes from 0, L = the
    largest + 1. tie_order: (P,) the place of each passage's id among all ids. The rank in a pool that is a union of
    languages is one plus the sum over them; the passage itself need not be in it. Memory beyond the inputs: a few
    products of a chunk in float64. Raises UserError for vectors that are not finite.
    """
    query_norm, passage_norm = norms(queries, "query"), norms(passages, "passage")
    better = np.zeros((len(pair_query), int(language.max(initial=-1)) + 1), dtype=np.int64)
    target, own_tie = scores(queries, passages, pair_query, pair_passage), tie_order[pair_passage]
    asked, row = np.unique(pair_query, return_inverse=True)
    by_row = np.argsort(row, kind="stable")
    edges = np.searchsorted(row[by_row], np.arange(0, len(asked) + query_chunk, query_chunk))
    by_language = np.argsort(language, kind="stable")
    place = np.argsort(by_language)[pair_passage]
    for start in range(0, len(passages), passage_chunk):
        here = by_language[start : start + passage_chunk]
        block, largest = passages[here], float(passage_norm[here].max())
        codes, begins = np.unique(language[here], return_index=True)
        spans = list(zip(begins.tolist(), [*begins[1:].tolist(), len(here)], strict=True))
        for chunk in range(len(edges) - 1):
            pairs = by_row[edges[chunk] : edges[chunk + 1]]
            wanted = asked[chunk * query_chunk : (chunk + 1) * query_chunk]
            lines, vectors = row[pairs] - chunk * query_chunk, queries[wanted]
            proposal = None
            if query_norm[wanted].max() * largest < FLOAT_32_SAFE:
                band = float32_band(queries.shape[1], query_norm[pair_query[pairs]], largest)
                own = (place[pairs] >= start) & (place[pairs] < start + len(here))
                proposal = _count_surely(vectors @ block.T, lines, target[pairs], band, own, spans)
            if proposal is None:
                matrix = score_matrix(vectors, block, query_norm[wanted], largest)
                counts = _count(matrix, lines, target[pairs], own_tie[pairs], tie_order[here], spans)
                better[pairs[:, None], codes] += counts
                continue
            counts, pair, column = proposal
            better[pairs[:, None], codes] += counts
            pair, passage = pairs[pair], here[column]
            score = scores(queries, passages, pair_query[pair], passage)
            tied = (score == target[pair]) & (tie_order[passage] < own_tie[pair])
            before = (score > target[pair]) | tied
            np.add.at(better, (pair[before], language[passage[before]]), 1)
    return better


def _count_surely(
    products: Vectors, lines: Ints, target: Floats, band: Floats, own: NDArray[np.bool_], spans: Spans
) -> tuple[Ints, Ints, Ints] | None:
    """Count per pair and span the columns surely better, and list the open (pair, column): |product - target| <= band.

    own: the pair's passage is among the columns; it is always open and never better than itself, so that it is not
    listed where it is the only one. None as soon as so much is open, as for a collapsed encoder or many duplicates,
    that the whole tile in float64 is cheaper.
    """
    # Rounded outwards, so that comparing in float32 never claims more than comparing in float64 would.
    upper = np.nextafter((target + band).astype(np.float32), np.float32(np.inf))
    lower = np.nextafter((target - band).astype(np.float32), np.float32(-np.inf))
    counts = np.zeros((len(lines), len(spans)), dtype=np.int64)
    open_pairs, open_columns, left = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], products.size // 32
    for pair, (line, high, low) in enumerate(zip(lines.tolist(), upper, lower, strict=True)):
        above, reached = products[line] > high, products[line] >= low
        counts[pair] = [np.count_nonzero(above[begin:end]) for begin, end in spans]
        near = int(np.count_nonzero(reached) - counts[pair].sum())
        if near > own[pair]:
            open_columns.append(np.flatnonzero(reached & ~above))
            open_pairs.append(np.full(near, pair))
            left -= near
            if left < 0:
                return None
    return counts, np.concatenate(open_pairs), np.concatenate(open_columns)


def _count(matrix: Floats, lines: Ints, target: Floats, own_tie: Ints, tie_order: Ints, spans: Spans) -> Ints:
    """(pairs, spans) how many columns of a matrix of scores stand before each pair's own passage."""
    counts = np.zeros((len(lines), len(spans)), dtype=np.int64)
    for pair, line in enumerate(lines.tolist()):
        before = matrix[line] > target[pair]
        before |= (matrix[line] == target[pair]) & (tie_order < own_tie[pair])
        counts[pair] = [np.count_nonzero(before[begin:end]) for begin, end in spans]
    return counts


def top_k(
    queries: Vectors, passages: Vectors, k: int, tie_order: Ints, *, margin: int = 32, query_chunk: int = 1024
) -> tuple[Ints, Floats]:
    """The first k passages of each query, (Q, k) row numbers and their scores, by (-score, id); k is cut to the pool.

    Faiss proposes k + max(k, margin) passages, which are scored and sorted. A list whose last score is not beyond doubt
    above whatever was not proposed is made again from the scores of the whole pool. Raises UserError for vectors that
    are not finite, or where Faiss is not installed.
    """
    query_norm, largest = norms(queries, "query"), float(norms(passages, "passage").max(initial=0.0))
    k = min(k, len(passages))
    proposed = min(len(passages), k + max(k, margin))
    index, score = np.zeros((len(queries), k), dtype=np.int64), np.zeros((len(queries), k))
    faiss = _faiss()
    for start in range(0, len(queries) if k else 0, query_chunk):
        rows = np.arange(start, min(start + query_chunk, len(queries)))
        # What IndexFlatIP runs, without its copy of the passages.
        believed, found = faiss.knn(queries[rows], passages, proposed, metric=faiss.METRIC_INNER_PRODUCT)
        sound = (query_norm[rows] * largest < FLOAT_32_SAFE) & (found >= 0).all(axis=1)
        exact = scores(queries, passages, np.repeat(rows, proposed), found.ravel()).reshape(found.shape)
        order = np.lexsort((tie_order[found], -exact), axis=1)[:, :k]
        index[rows], score[rows] = (np.take_along_axis(array, order, axis=1) for array in (found, exact))
        if proposed < len(passages):
            sound &= score[rows, -1] > believed[:, -1] + float32_band(queries.shape[1], query_norm[rows], largest)
        again = rows[~sound]
        for part in np.array_split(again, 1 + len(again) * len(passages) // 2**24):  # 128 MB of scores at a time
            index[part], score[part] = _top_of_all(queries[part], passages, k, tie_order, query_norm[part], largest)
    return index, score


def _top_of_all(
    queries: Vectors, passages: Vectors, k: int, tie_order: Ints, query_norm: Floats, passage_norm: float
) -> tuple[Ints, Floats]:
    """`top_k` from the scores of the whole pool: the way where duplicates or near ties defeat a proposal."""
    index, score = np.zeros((len(queries), k), dtype=np.int64), np.zeros((len(queries), k))
    pool = np.empty((len(queries), len(passages)))
    for start in range(0, len(passages) if len(queries) else 0, PASSAGE_CHUNK):
        part = slice(start, start + PASSAGE_CHUNK)
        pool[:, part] = score_matrix(queries, passages[part], query_norm, passage_norm)
    for row, line in enumerate(pool):
        likely = np.flatnonzero(line >= np.partition(line, len(line) - k)[len(line) - k])
        index[row] = likely[np.lexsort((tie_order[likely], -line[likely]))[:k]]
        score[row] = line[index[row]]
    return index, score


def _faiss() -> ModuleType:
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            "Faiss is not installed: pip install 'hybrid-sweep[cpu]', or 'hybrid-sweep[gpu]' on a CUDA "
            "machine (one of the two, never both)"
        ) from error
    return faiss
