"""How alike the lists are that the language versions of a question get: mean rank correlation."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hybrid_sweep.retrieval.measures import Floats, Ints

# (R,) row numbers of queries and of passages to (R,) scores; -inf of a passage that a list lacks
Scores = Callable[[Ints, Ints], Floats]
CELLS = 2**20  # ranks held at a time


def mean_rank_correlation(
    queries: pa.Table, top: Ints, scores: Scores, tie_order: Ints, own: Ints | None = None
) -> Floats:
    """Return (Q,) Spearman's correlation of each query's list with that of another language version
    of it, the mean over these versions; NaN where a query has none with a list.

    A list is that of the pool of all languages; the correlation is over the passages that are among
    the first k of either list, in the order of (-score, id). Passages that a list lacks stand
    behind it, all at one rank. Mean rank correlation (MRC@k), arXiv 2509.06195; there it is
    multiplied by 100.

    Args:
        queries: group, lang.
        top: (Q, k) rows of the first passages of each query, -1 where the list has ended.
        scores: of any query with any passage.
        tie_order: (P,) the place of each passage's id among all ids.
        own: (Q,) the row of a passage that a query does not search, -1 for none: it is left out of
            both lists of a pair.
    """
    total, count = np.zeros((2, len(queries)))
    most = max(1, CELLS // max(1, 2 * top.shape[1]))
    for one, other in _version_pairs(queries, most):
        passage, is_there = _union(top[one], top[other])
        if own is not None:
            is_there &= (passage != own[one][:, None]) & (passage != own[other][:, None])
        line, column = np.nonzero(is_there)
        ranks = []
        for version in (one, other):
            score = np.full(passage.shape, -np.inf)
            score[line, column] = scores(version[line], passage[line, column])
            ranks.append(_ranks(score, tie_order[passage], is_there))
        correlation = _correlation(ranks[0], ranks[1], is_there)
        is_known = np.isfinite(correlation)
        for version in (one, other):
            np.add.at(total, version[is_known], correlation[is_known])
            np.add.at(count, version[is_known], 1.0)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _version_pairs(queries: pa.Table, most: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield the rows of pairs of queries that are one question in two languages, each pair once, at
    most so many at a time.
    """
    group, language = (
        pc.index_in(queries[name], value_set=pc.unique(queries[name])).to_numpy()
        for name in ("group", "lang")
    )
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    for step in range(1, int(sizes.max(initial=0))):
        one, other = order[:-step], order[step:]
        is_pair = (group[one] == group[other]) & (language[one] != language[other])
        rows = np.flatnonzero(is_pair)
        for start in range(0, len(rows), most):
            part = rows[start : start + most]
            yield one[part], other[part]


def _union(first: Ints, second: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return (N, 2k) the passages of two lists, and which of them count: not -1, and each once."""
    passages = np.concatenate([first, second], axis=1)
    is_there = passages >= 0
    repeated = (second[:, :, None] == first[:, None, :]).any(axis=2)
    is_there[:, first.shape[1] :] &= ~repeated
    return passages, is_there


def _ranks(score: Floats, tie_order: Ints, is_there: NDArray[np.bool_]) -> Floats:
    """Return (N, M) the rank of each passage within its line, from 1, among those that count; the
    mean of their ranks for those whose score is -inf.
    """
    order = np.lexsort((tie_order, -score, ~is_there), axis=1)
    ranks = np.empty(score.shape)
    places = np.broadcast_to(np.arange(1.0, score.shape[1] + 1), score.shape)
    np.put_along_axis(ranks, order, places, axis=1)
    is_lacking = is_there & np.isneginf(score)
    lacking = is_lacking.sum(axis=1, keepdims=True)
    behind = np.where(is_lacking, ranks, 0.0).sum(axis=1, keepdims=True)
    return np.where(is_lacking, behind / np.maximum(lacking, 1), ranks)


def _correlation(first: Floats, second: Floats, is_there: NDArray[np.bool_]) -> Floats:
    """Return (N,) Pearson's correlation of two rows of ranks over what counts; NaN where either is
    constant.
    """
    number = np.maximum(is_there.sum(axis=1, keepdims=True), 1)
    centred = []
    for ranks in (first, second):
        mean = np.where(is_there, ranks, 0.0).sum(axis=1, keepdims=True) / number
        centred.append(np.where(is_there, ranks - mean, 0.0))
    product = (centred[0] * centred[1]).sum(axis=1)
    spread = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    correlation = np.full(len(product), np.nan)
    np.divide(product, spread, out=correlation, where=spread > 0)
    return correlation
