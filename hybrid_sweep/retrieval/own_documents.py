"""Ranks and lists without a query's own document: the passage that has the id of the query, as in
ArguAna and Quora.

A ranker ranks all passages; what the own document changes in ranks and lists is taken out again.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.retrieval.measures import Floats, Ints
from hybrid_sweep.retrieval.ranking import Ranker


def own_rows(queries: pa.Table, passages: pa.Table) -> Ints:
    """Return (Q,) the row of the passage that has the id of each query, -1 where there is none."""
    places = pc.index_in(passages["id"], value_set=queries["id"].combine_chunks())
    place = pc.fill_null(places, -1).to_numpy()
    rows = np.flatnonzero(place >= 0)
    own = np.full(len(queries), -1, dtype=np.int64)
    own[place[rows]] = rows
    return own


def ranked(
    ranker: Ranker, k: int, pairs: tuple[Ints, Ints], codes: tuple[Ints, Ints], own: Ints
) -> tuple[Ints, Ints, Ints]:
    """Return what `Ranker.ranked` would of passages that lack each query's own one; its first k
    passages end with -1 where they are fewer.

    pairs: (R,) rows of the query and of the passage, which is never the query's own. codes:
    language and tie_order of all passages. own: (Q,), see `own_rows`.
    """
    query, passage = pairs
    with_own = np.flatnonzero(own >= 0)
    queries = np.concatenate([query, with_own])
    both = np.concatenate([passage, own[with_own]])
    better, tied, top = ranker.ranked(k + 1, queries, both, *codes)
    place = np.full(len(own), -1, dtype=np.int64)
    place[with_own] = better[len(query) :].sum(axis=1)
    better, tied = better[: len(query)], tied[: len(query)]
    mine = better.sum(axis=1)
    its = place[query]
    before = np.flatnonzero((its >= 0) & (its < mine))
    after = np.flatnonzero((its > mine) & (its <= mine + tied.sum(axis=1)))
    language = codes[0][own[query]]
    better[before, language[before]] -= 1
    tied[after, language[after]] -= 1
    return better, tied, _without(top, own)[:, :k]


def _without(top: Ints, own: Ints) -> Ints:
    """Return lists with the own passage taken out and -1 at the end in its place."""
    is_own = top == own[:, None]
    order = np.argsort(is_own, axis=1, kind="stable")
    lists = np.take_along_axis(top, order, axis=1)
    lists[is_own.any(axis=1), -1] = -1
    return lists


def same_language_share(top: Ints, query_lang: Ints, passage_lang: Ints) -> Floats:
    """Return `language_bias.same_language_share` of lists that may end with -1; NaN of empty
    ones.
    """
    there = top >= 0
    same = there & (passage_lang[top] == query_lang[:, None])
    share = np.full(len(top), np.nan)
    np.divide(same.sum(axis=1), there.sum(axis=1), out=share, where=there.any(axis=1))
    return share
