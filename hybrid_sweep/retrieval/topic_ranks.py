"""The ranks that an evaluation has found, before any measure is made of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.retrieval.evaluated_texts import TextCodes
from hybrid_sweep.retrieval.measures import Floats, Ints, Judged, judged, needs_all_judged

RELEVANT = 1  # the least grade of a relevant passage
ANY_GRADE = -(2**31)  # below every grade
SAME_AT = 10  # passages whose languages are counted: same@10


@dataclass(frozen=True)
class SearchedPart:
    """What is searched where that is not all passages: see `pools`.

    languages: (n,) codes of the passages that every query searches. sizes: (S,) how many each topic
    searches.
    """

    languages: Ints
    sizes: Ints


@dataclass(frozen=True)
class Ranks:
    """The ranks of the relevant passages, and what else the tables are made of.

    single: in the pools of single languages, topics query * L + language of the pool. pooled: in
    the mixed pool, topics query. answer_lang: (R,) in the order of pooled.rank. first: (Q,) the
    passage at the head of each query's list in the mixed pool, -1 where it has none. share: (Q,)
    the share of the query's language in the head of that list. head: (Q, k) the languages of its
    passages, -1 where the list has ended. asked: (Q, L + 1) whether a query
    was asked of each language's pool and, last, of all. part: what is searched, its sizes in the
    order of pooled.topic; None: all passages. all_judged: single and pooled with the passages that
    are judged not relevant, where a measure needs them. correlation: (Q,) `mean_rank_correlation`,
    where it is asked for.
    """

    single: Judged
    pooled: Judged
    answer_lang: Ints
    first: Ints
    share: Floats
    head: Ints
    asked: NDArray[np.bool_]
    part: SearchedPart | None = None
    all_judged: tuple[Judged | None, Judged | None] = (None, None)
    correlation: Floats | None = None


def least_of(measures: Sequence[str]) -> int:
    """Return the least grade of the judgements that measures need."""
    if needs_all_judged(measures):
        return ANY_GRADE
    return RELEVANT


def relevant_and_all(topic: Ints, rank: Ints, grade: Ints, last: Ints) -> tuple[Judged, Judged]:
    """Return the relevant passages by topic, and all that are judged; (R,) each, as for
    `measures.judged`.
    """
    every = judged(topic, rank, grade, last)
    chosen = grade >= RELEVANT
    if chosen.all():
        return every, every
    return judged(topic[chosen], rank[chosen], grade[chosen], last[chosen]), every


def head_languages(top: Ints, texts: TextCodes) -> Ints:
    """Return the languages of the first passages, (Q, k) row numbers; -1 stays."""
    return np.where(top >= 0, texts.passage_lang[top], -1)
