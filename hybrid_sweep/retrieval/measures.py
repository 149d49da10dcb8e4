"""Retrieval measures from the ranks of the relevant passages alone, vectorised over topics.

A topic is one query against one pool. Definitions are trec_eval's
(https://github.com/usnistgov/trec_eval): recip_rank of the list cut at k, map, ndcg_cut_k with the
raw grade as gain and a log2 discount, recall_k, success_k; and, under a name of its own, LAReQA's
average precision. A passage that a list lacks has the rank NOWHERE and adds 0.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.utils.errors import UserError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
NOWHERE = 2**62  # the rank of a relevant passage that was not retrieved
ALWAYS = ("RR@10", "AP", "nDCG@10", "R@100")  # what every table has
CUT = re.compile(r"(RR|nDCG|R|success)@([1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Judged:
    """The R relevant passages of S topics, ragged: topic s owns the entries start[s] to start[s] +
    count[s].

    topic: (S,) labels, ascending, each with at least one entry. rank: (R,) from 1, ascending within
    a topic. last: (R,) the rank of the last passage of exactly its score, in the whole list. grade:
    (R,) above 0. entry: (R,) where each entry stood in the arrays given to `judged`.
    """

    topic: Ints
    start: Ints
    count: Ints
    rank: Ints
    last: Ints
    grade: Floats
    entry: Ints

    @property
    def place(self) -> Ints:
        """Return (R,) 0 for the best relevant passage of its topic, 1 for the next."""
        return np.arange(len(self.rank)) - np.repeat(self.start, self.count)

    def total(self, values: Floats) -> Floats:
        """Return (S,) the sum of `values`, (R,), over each topic."""
        return np.add.reduceat(values, self.start) if len(self.start) else np.zeros(0)


def judged(topic: Ints, rank: Ints, grade: Floats | Ints, last: Ints | None = None) -> Judged:
    """Group the relevant passages, (R,) each in any order, by topic; without `last`, no two scores
    are equal.
    """
    entry, last = np.lexsort((rank, topic)), rank if last is None else last
    labels, start, count = np.unique(topic[entry], return_index=True, return_counts=True)
    return Judged(
        labels, start, count, rank[entry], last[entry], grade[entry].astype(np.float64), entry
    )


def check(names: Sequence[str]) -> None:
    """Raise UserError for a name that is no measure."""
    for name in names:
        if name not in (*ALWAYS, "AP-lareqa") and not CUT.fullmatch(name):
            raise UserError(
                f"eval.measures: {name!r} is no measure; take RR@k, nDCG@k, R@k or success@k with a"
                " whole number k from 1, AP or AP-lareqa",
                key="config.eval.measures",
            )


def measured(
    topics: Judged, names: Sequence[str] = ()
) -> dict[str, Ints | Floats | NDArray[np.int32]]:
    """Return columns of S values: n_relevant, rank_min, rank_max, the measures of every table, and
    then those of `names`.

    Raises UserError for a name that is no measure.
    """
    check(names)
    columns: dict[str, Ints | Floats | NDArray[np.int32]] = {
        # of the passages of a pool, which lookup.ROWS bounds
        "n_relevant": topics.count.astype(np.int32),
        "rank_min": topics.rank[topics.start],
        "rank_max": topics.rank[topics.start + topics.count - 1],
    }
    for name in (*ALWAYS, *names):
        columns[name] = compute(topics, name)
    return columns


def compute(topics: Judged, name: str) -> Floats:
    """Return (S,) the measure of a name that `check` accepts."""
    if name == "AP":
        return average_precision(topics)
    if name == "AP-lareqa":
        return average_precision_of_blocks(topics)
    kind, _, k = name.partition("@")
    by_name = {"RR": reciprocal_rank, "nDCG": ndcg, "R": recall, "success": success}
    return by_name[kind](topics, int(k))


def reciprocal_rank(topics: Judged, k: int) -> Floats:
    """Return (S,) RR@k: one over the rank of the best relevant passage, 0 beyond rank k."""
    best = topics.rank[topics.start]
    return np.where(best <= k, 1.0 / best, 0.0)


def average_precision(topics: Judged) -> Floats:
    """Return (S,) AP over the whole list: the mean, over the relevant passages, of the precision at
    their ranks.
    """
    precision = np.where(topics.rank < NOWHERE, (topics.place + 1) / topics.rank, 0.0)
    return topics.total(precision) / topics.count


def average_precision_of_blocks(topics: Judged) -> Floats:
    """Return (S,) AP-lareqa: as AP, but passages of equal score are one block, and each counts at
    the block's end.

    What scikit-learn's average_precision_score gives, which LAReQA's mAP is made with (Roy et al.,
    2020, arXiv 2004.05484): no order is made up where the scores leave it open.
    """
    owner, entries = np.repeat(np.arange(len(topics.count)), topics.count), len(topics.last)
    # The relevant passages of a block stand side by side; the place of its last one counts them and
    # all before.
    ends = np.ones(entries, dtype=bool)
    ends[:-1] = (owner[1:] != owner[:-1]) | (topics.last[1:] != topics.last[:-1])
    end = np.flatnonzero(ends)[np.cumsum(ends) - ends]
    precision = np.where(topics.rank < NOWHERE, (topics.place[end] + 1) / topics.last, 0.0)
    return topics.total(precision) / topics.count


def ndcg(topics: Judged, k: int) -> Floats:
    """Return (S,) nDCG@k: the sum of grade / log2(rank + 1) to rank k, over that of the best
    possible order.

    Jarvelin and Kekalainen, 2002, "Cumulated gain-based evaluation of IR techniques", in
    trec_eval's form.
    """
    ideal = topics.grade[np.lexsort((-topics.grade, np.repeat(topics.topic, topics.count)))]
    gain = topics.total(_gain(topics.grade, topics.rank, k))
    return gain / topics.total(_gain(ideal, topics.place + 1, k))


def _gain(grade: Floats, rank: Ints, k: int) -> Floats:
    return np.where(rank <= k, grade / np.log2(rank + 1), 0.0)


def recall(topics: Judged, k: int) -> Floats:
    """Return (S,) R@k: the share of the relevant passages at rank k or better."""
    return topics.total((topics.rank <= k).astype(np.float64)) / topics.count


def success(topics: Judged, k: int) -> Floats:
    """Return (S,) success@k: 1 where any relevant passage is at rank k or better, else 0."""
    return (topics.rank[topics.start] <= k).astype(np.float64)
