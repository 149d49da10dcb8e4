"""Retrieval measures from the ranks of the relevant passages alone, vectorised over topics.

A topic is one query against one pool. Definitions are trec_eval's
(https://github.com/usnistgov/trec_eval): recip_rank of the list cut at k, map, ndcg_cut_k with the
raw grade as gain and a log2 discount, recall_k, P_k, Rprec, success_k; and, under a name of its
own, LAReQA's average precision. A passage that a list lacks has the rank NOWHERE and adds 0.

Names are those of ir_measures (MacAvaney, Macdonald and Ounis, 2022, ECIR), as "P@10" or
"AP(rel=2)@100"; success@k is an older spelling of Success@k. A measure keeps the name that it was
asked for by.
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
CUT = "@([1-9][0-9]{0,8})"
LEAST = r"(?:\(rel=([1-9][0-9]{0,3})\))?"
# the kinds of measures: with a cut, with or without one, and without
NAME = re.compile(
    rf"(P|R|Success|success){LEAST}{CUT}|(nDCG|Judged){CUT}|(AP|RR){LEAST}(?:{CUT})?|(Rprec){LEAST}|(AP-lareqa)"
)
# Of a question in the pool of all languages: see `language_bias.by_query` and, of its language
# versions, `rank_correlation`.
CORRELATION = "MRC@10"
EXPOSURE = "AWRF@10"
OF_LANGUAGES = ("LPR", "Max@R", EXPOSURE, CORRELATION)
JUDGED = "Judged@"  # how the names of measures begin that need the ranks of all judged passages
UNCUT = NOWHERE - 1  # the cut of a measure without one: below the rank of what was not retrieved
FORMS = (
    "RR@k, nDCG@k, AP@k, R@k, P@k, Success@k or Judged@k with a whole number k from 1, or RR, AP,"
    " Rprec or AP-lareqa; RR, AP, R, P, Success and Rprec also with (rel=N), as P(rel=2)@10, where"
    " only grades from N on are relevant"
)


@dataclass(frozen=True)
class Name:
    """A measure by its parts. kind: as "P". least: the least grade that is relevant. cut: the last
    rank that counts.
    """

    kind: str
    least: int
    cut: int


def parsed(name: str) -> Name | None:
    """Return the parts of a name; None where it is none of a measure."""
    match = NAME.fullmatch(name)
    if match is None:
        return None
    kind = match[1] or match[4] or match[6] or match[9] or match[11]
    least = match[2] or match[7] or match[10] or "1"
    cut = match[3] or match[5] or match[8] or UNCUT
    return Name("Success" if kind == "success" else kind, int(least), int(cut))


@dataclass(frozen=True)
class Judged:
    """The R relevant passages of S topics, ragged: topic s owns the entries start[s] to start[s] +
    count[s].

    topic: (S,) labels, ascending, each with at least one entry. rank: (R,) from 1, ascending within
    a topic. last: (R,) the rank of the last passage of exactly its score, in the whole list. grade:
    (R,) above 0, unless all that is judged is meant. entry: (R,) where each entry stood in the
    arrays given to `judged`.
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
        if len(self.start):
            return np.add.reduceat(values, self.start)
        return np.zeros(0)


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
        if parsed(name) is None and name not in OF_LANGUAGES:
            raise UserError(
                f"eval.measures: {name!r} is no measure; take {FORMS}; of the pool of all languages"
                f" also {', '.join(OF_LANGUAGES)}",
                key="config.eval.measures",
            )


def measured(
    topics: Judged, names: Sequence[str] = (), all_judged: Judged | None = None
) -> dict[str, Ints | Floats | NDArray[np.int32]]:
    """Return columns of S values: n_relevant, rank_min, rank_max, the measures of every table, and
    then those of `names`.

    Args:
        topics: the relevant passages.
        names: further measures; those of `OF_LANGUAGES`, which ranks alone do not give, are passed
            over.
        all_judged: every judged passage, of the same topics and perhaps more; needed for Judged@k.

    Raises:
        UserError: for a name that is no measure.
    """
    check(names)
    columns: dict[str, Ints | Floats | NDArray[np.int32]] = {
        # of the passages of a pool, which lookup.ROWS bounds
        "n_relevant": topics.count.astype(np.int32),
        "rank_min": topics.rank[topics.start],
        "rank_max": topics.rank[topics.start + topics.count - 1],
    }
    for name in (*ALWAYS, *names):
        if name in OF_LANGUAGES:
            continue
        if name.startswith(JUDGED):
            assert all_judged is not None
            columns[name] = share_judged(topics, all_judged, int(name.removeprefix(JUDGED)))
        else:
            columns[name] = compute(topics, name)
    return columns


def needs_all_judged(names: Sequence[str]) -> bool:
    """Return whether a measure needs the ranks of passages that are judged not relevant."""
    return any(name.startswith(JUDGED) for name in names)


def compute(topics: Judged, name: str) -> Floats:
    """Return (S,) the measure of a name that `check` accepts, but for Judged@k."""
    about = parsed(name)
    assert about is not None
    if about.least == 1:
        return _of_kind(topics, about)
    chosen = topics.grade >= about.least
    owner = np.repeat(topics.topic, topics.count)
    part = judged(owner[chosen], topics.rank[chosen], topics.grade[chosen], topics.last[chosen])
    values = np.zeros(len(topics.topic))  # where no grade is high enough there is nothing to find
    values[np.searchsorted(topics.topic, part.topic)] = _of_kind(part, about)
    return values


def _of_kind(topics: Judged, about: Name) -> Floats:
    if about.kind == "AP-lareqa":
        return average_precision_of_blocks(topics)
    if about.kind == "Rprec":
        return r_precision(topics)
    by_kind = {
        "AP": average_precision,
        "RR": reciprocal_rank,
        "nDCG": ndcg,
        "R": recall,
        "P": precision,
        "Success": success,
    }
    return by_kind[about.kind](topics, about.cut)


def reciprocal_rank(topics: Judged, k: int) -> Floats:
    """Return (S,) RR@k: one over the rank of the best relevant passage, 0 beyond rank k."""
    best = topics.rank[topics.start]
    return np.where(best <= k, 1.0 / best, 0.0)


def average_precision(topics: Judged, k: int = UNCUT) -> Floats:
    """Return (S,) AP@k: the mean, over the relevant passages, of the precision at their ranks, 0
    beyond rank k.
    """
    precision = np.where(topics.rank <= k, (topics.place + 1) / topics.rank, 0.0)
    return topics.total(precision) / topics.count


def average_precision_of_blocks(topics: Judged) -> Floats:
    """Return (S,) AP-lareqa: as AP, but passages of equal score are one block, and each counts at
    the block's end.

    What scikit-learn's average_precision_score gives, which LAReQA's mAP is made with (Roy et al.,
    2020, arXiv 2004.05484): no order is made up where the scores leave it open.
    """
    owner = np.repeat(np.arange(len(topics.count)), topics.count)
    entries = len(topics.last)
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


def precision(topics: Judged, k: int) -> Floats:
    """Return (S,) P@k: the number of relevant passages at rank k or better, over k."""
    return topics.total((topics.rank <= k).astype(np.float64)) / k


def r_precision(topics: Judged) -> Floats:
    """Return (S,) Rprec: P@R, R being the number of relevant passages of the topic."""
    within = topics.rank <= np.repeat(topics.count, topics.count)
    return topics.total(within.astype(np.float64)) / topics.count


def share_judged(topics: Judged, all_judged: Judged, k: int) -> Floats:
    """Return (S,) Judged@k of the topics: the number of judged passages, relevant or not, at rank k
    or better, over k.
    """
    places = np.searchsorted(all_judged.topic, topics.topic)
    return precision(all_judged, k)[places]


def success(topics: Judged, k: int) -> Floats:
    """Return (S,) Success@k: 1 where any relevant passage is at rank k or better, else 0."""
    return (topics.rank[topics.start] <= k).astype(np.float64)
