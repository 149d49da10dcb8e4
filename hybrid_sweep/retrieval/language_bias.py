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


def by_query(
    topics: Judged, passage_language: Ints, query_language: Ints, head: Ints
) -> dict[str, Floats]:
    """Return (S,) the measures `OF_LANGUAGES` of each topic, a query ranked in the mixed pool, but
    for that of several lists; NaN where a query has none.

    passage_language: (R,) of the relevant passages, as topics.rank. query_language: (S,). head:
    (S, k) languages of the first passages, -1 where the list has ended.
    """
    return {
        "LPR": language_preference(topics, passage_language, query_language),
        "Max@R": last_rank(topics),
        "AWRF@10": exposure_fairness(topics, passage_language, head),
    }


def language_preference(topics: Judged, passage_language: Ints, query_language: Ints) -> Floats:
    """Return (S,) 1 where the best relevant passage is in the query's language, 0 where it is in
    another.

    NaN where the query has not relevant passages both in its language and in another, or none was
    retrieved. The mean is the language preference rate, after Jang et al., 2026, arXiv 2605.07249.
    """
    own = topics.total((passage_language == np.repeat(query_language, topics.count)).astype(float))
    is_choice = (own > 0) & (own < topics.count) & (topics.rank[topics.start] < NOWHERE)
    is_own = passage_language[topics.start] == query_language
    return np.where(is_choice, is_own.astype(np.float64), np.nan)


def last_rank(topics: Judged) -> Floats:
    """Return (S,) the rank down to which all relevant passages of a query stand.

    NaN where it has fewer than two, or one was not retrieved. Max@R of Hong et al., 2026, arXiv
    2604.05684.
    """
    last = topics.rank[topics.start + topics.count - 1]
    return np.where((topics.count >= 2) & (last < NOWHERE), last.astype(np.float64), np.nan)


def exposure_fairness(topics: Judged, passage_language: Ints, head: Ints) -> Floats:
    """Return (S,) one minus the Jensen-Shannon divergence, in bits, of the languages' shares of the
    attention from their shares of the query's relevant passages.

    A passage at rank i has the attention 1 / log2(max(i, 2)); NaN where nothing was retrieved. The
    attention-weighted rank fairness of Sapiezynski et al., 2019, with the divergence and the
    discount of the TREC 2021 Fair Ranking Track, where the logarithm of the divergence is natural.
    """
    largest = max(int(head.max(initial=-1)), int(passage_language.max(initial=-1)))
    attention = 1 / np.log2(np.maximum(np.arange(1, head.shape[1] + 1), 2))
    seen = np.where(head >= 0, attention, 0.0)
    owner = np.repeat(np.arange(len(topics.count)), topics.count)
    divergence = np.zeros(len(topics.count))
    total = seen.sum(axis=1)
    listed = np.divide(1.0, total, out=np.full_like(total, np.nan), where=total > 0)
    for language in range(largest + 1):
        exposure = np.where(head == language, seen, 0.0).sum(axis=1) * listed
        relevant = np.bincount(owner, passage_language == language, minlength=len(topics.count))
        target = relevant / topics.count
        middle = (exposure + target) / 2
        divergence += _entropy(middle) - (_entropy(exposure) + _entropy(target)) / 2
    return 1 - divergence


def _entropy(share: Floats) -> Floats:
    """Return -p log2 p of each share, 0 of 0."""
    logarithm = np.log2(share, out=np.zeros_like(share), where=share > 0)
    return -share * logarithm


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
