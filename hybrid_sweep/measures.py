"""Retrieval measures from the ranks of the relevant passages alone, vectorised over topics.

A topic is one query against one pool. Definitions are trec_eval's (https://github.com/usnistgov/trec_eval):
recip_rank of the list cut at k, map, ndcg_cut_k with the raw grade as gain and a log2 discount, recall_k, success_k.
Every relevant passage has a rank here, since pools are ranked in full.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """The R relevant passages of S topics, ragged: topic s owns the entries start[s] to start[s] + count[s].

    topic: (S,) labels, ascending, each with at least one entry. rank: (R,) from 1, ascending within a topic.
    grade: (R,) above 0. entry: (R,) where each entry stood in the arrays given to `judged`.
    """

    topic: Ints
    start: Ints
    count: Ints
    rank: Ints
    grade: Floats
    entry: Ints

    @property
    def place(self) -> Ints:
        """(R,) 0 for the best relevant passage of its topic, 1 for the next."""
        return np.arange(len(self.rank)) - np.repeat(self.start, self.count)

    def total(self, values: Floats) -> Floats:
        """(S,) the sum of `values`, (R,), over each topic."""
        return np.add.reduceat(values, self.start) if len(self.start) else np.zeros(0)


def judged(topic: Ints, rank: Ints, grade: Floats | Ints) -> Judged:
    """Group the relevant passages, (R,) each in any order, by topic."""
    entry = np.lexsort((rank, topic))
    labels, start, count = np.unique(topic[entry], return_index=True, return_counts=True)
    return Judged(labels, start, count, rank[entry], grade[entry].astype(np.float64), entry)


def reciprocal_rank(topics: Judged, k: int) -> Floats:
    """(S,) RR@k: one over the rank of the best relevant passage, 0 beyond rank k."""
    best = topics.rank[topics.start]
    return np.where(best <= k, 1.0 / best, 0.0)


def average_precision(topics: Judged) -> Floats:
    """(S,) AP over the whole pool: the mean, over the relevant passages, of the precision at their ranks."""
    return topics.total((topics.place + 1) / topics.rank) / topics.count


def ndcg(topics: Judged, k: int) -> Floats:
    """(S,) nDCG@k: the sum of grade / log2(rank + 1) to rank k, over that of the best possible order.

    Jarvelin and Kekalainen, 2002, "Cumulated gain-based evaluation of IR techniques", in trec_eval's form.
    """
    ideal = topics.grade[np.lexsort((-topics.grade, np.repeat(topics.topic, topics.count)))]
    return topics.total(_gain(topics.grade, topics.rank, k)) / topics.total(_gain(ideal, topics.place + 1, k))


def _gain(grade: Floats, rank: Ints, k: int) -> Floats:
    return np.where(rank <= k, grade / np.log2(rank + 1), 0.0)


def recall(topics: Judged, k: int) -> Floats:
    """(S,) R@k: the share of the relevant passages at rank k or better."""
    return topics.total((topics.rank <= k).astype(np.float64)) / topics.count


def success(topics: Judged, k: int) -> Floats:
    """(S,) success@k: 1 where any relevant passage is at rank k or better, else 0."""
    return (topics.rank[topics.start] <= k).astype(np.float64)
