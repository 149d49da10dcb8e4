"""Language bias of a retriever over a pool that mixes languages, from ranks alone."""

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.retrieval.measures import NOWHERE, Floats, Ints, Judged


def rank_distance(
    rank_min: Ints, rank_max: Ints, n_relevant: Ints, pool_size: Ints | int
) -> tuple[Floats, Floats]:
    """Return (S,) distance in ranks of a query's last relevant passage from its first, raw and over
    its random expectation.

    pool_size: passages searched, one number or (S,). NaN where a query has fewer than two relevant
    passages. For k of them in a random order of N the expectation is (N + 1)(k - 1) / (k + 1): the
    extremes of k uniform ranks. 0 has no bias, but plain difficulty raises it as well. Source:
    Huang et al., 2023, arXiv 2305.09025 (raw).
    """
    several = n_relevant >= 2
    raw = np.where(several, (rank_max - rank_min).astype(np.float64), np.nan)
    expected = np.where(several, (pool_size + 1) * (n_relevant - 1) / (n_relevant + 1), np.nan)
    return raw, raw / expected


def same_language_share(top: Ints, query_language: Ints, passage_language: Ints) -> Floats:
    """Return (Q,) share of each query's retrieved passages, row numbers (Q, k), that are in the
    query's language.
    """
    same: Floats = (passage_language[top] == query_language[:, None]).mean(axis=1)
    return same


def preference(query_language: Ints, chosen_language: Ints, n_languages: int) -> Floats:
    """Return (L, L) T[a, b]: share of the language-a queries whose chosen passage is in b; NaN rows
    for languages without any.

    Chosen: the first relevant one, or the first of any kind.
    """
    counts = np.zeros((n_languages, n_languages))
    np.add.at(counts, (query_language, chosen_language), 1.0)
    return _over(counts, counts.sum(axis=1, keepdims=True))


def heat_map(
    topics: Judged, query_language: Ints, passage_language: Ints, n_languages: int
) -> Floats:
    """Return (L, L) H[a, b]: mean reciprocal rank, in the mixed pool, of the language-b answer to
    language-a queries.

    The query's other answers are taken out of the pool, so that answers do not compete: a flat map
    has no bias. topics: one a query, ranked in the mixed pool; query_language: (S,);
    passage_language: (R,), as topics.rank. Of several answers in b the best counts, as 0 where it
    was not retrieved; NaN where no query of a has one. After Roy et al., 2020, LAReQA.
    """
    owner = np.repeat(np.arange(len(topics.topic)), topics.count)
    # Entries come best first, so that the first of each (query, language) is that language's best
    # answer.
    first = np.unique(owner * n_languages + passage_language, return_index=True)[1]
    total, count = np.zeros((2, n_languages, n_languages))
    cell = (query_language[owner[first]], passage_language[first])
    reciprocal = np.where(topics.rank < NOWHERE, 1.0 / (topics.rank - topics.place), 0.0)
    np.add.at(total, cell, reciprocal[first])
    np.add.at(count, cell, 1.0)
    return _over(total, count)


def _over(total: Floats, count: Floats) -> NDArray[np.float64]:
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
