"""Exact ranks and exact top-k lists of stored vectors, at the speed of float32 matrix products.

Passages go by (-score, passage id). Matrix products and Faiss only propose: a comparison that their
proven error leaves open is settled by the scores themselves. So no rank depends on chunks, threads,
device, index or the order of rows.
"""

import itertools
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hybrid_sweep.retrieval.candidates import BLOCK, multiplier, nearest
from hybrid_sweep.retrieval.exact_scores import (
    FLOAT_32_SAFE,
    Vectors,
    float32_band,
    norms,
    score_matrix,
    scores,
)
from hybrid_sweep.retrieval.measures import Floats, Ints

# of each line of a tile the columns whose products reach a floor, and the products
Above = list[tuple[Ints, Vectors]]
PASSAGE_CHUNK = 16384
GROUPS = 256  # columns of a tile whose maximum is taken at a time: width / GROUPS


class Ranker(Protocol):
    """What orders Q queries and P passages, whatever its scores come from: an encoder's vectors, or
    words.

    A score is one exact number, the same on every machine. language: (P,) codes from 0, L = the
    largest + 1. tie_order: (P,) the place of each passage's id among all ids. Passages go by
    (-score, id).
    """

    def ranked(
        self, k: int, query: Ints, passage: Ints, language: Ints, tie_order: Ints
    ) -> tuple[Ints, Ints, Ints]:
        """Return (R, L) how many passages of each language stand before the passage of each pair,
        for the query of the pair, and (R, L) how many of exactly its score stand after it; (Q, k)
        the rows that `top` gives of all passages.

        query, passage: (R,) row numbers. In a pool that is a union of languages, one plus the sum
        of the first is the pair's rank, and with the sum of the second added, that of the last
        passage of its score. The passage itself is in neither.
        """
        ...

    def top(self, k: int, tie_order: Ints, pool: Ints | None = None) -> tuple[Ints, Floats]:
        """Return (Q, k) row numbers and scores of the first k passages, of all or of the rows in
        `pool`; k is cut to them.
        """
        ...


@dataclass(frozen=True)
class Dense:
    """Ranks by the dot products of vectors: query_vectors (Q, D), passage_vectors (P, D), float32,
    mapped or in memory.

    device: torch's name for what makes the products that only propose ("cuda"); None: numpy and
    Faiss. No rank is another on another device.
    """

    query_vectors: Vectors
    passage_vectors: Vectors
    device: str | None = None

    def ranked(
        self, k: int, query: Ints, passage: Ints, language: Ints, tie_order: Ints
    ) -> tuple[Ints, Ints, Ints]:
        """See `Ranker.ranked` and `rank_pairs`: all of it from one product of the vectors."""
        self._check(tie_order)
        if (last := query.max(initial=-1)) >= len(self.query_vectors):
            raise ValueError(
                f"a ranker of {len(self.query_vectors)} queries for one of number {last}"
            )
        vectors = (self.query_vectors, self.passage_vectors)
        return rank_pairs(*vectors, query, passage, language, tie_order, k, device=self.device)

    def top(self, k: int, tie_order: Ints, pool: Ints | None = None) -> tuple[Ints, Floats]:
        """See `Ranker.top` and `top_k`."""
        self._check(tie_order)
        return top_k(
            self.query_vectors, self.passage_vectors, k, tie_order, pool, device=self.device
        )

    def _check(self, tie_order: Ints) -> None:
        if len(tie_order) != len(self.passage_vectors):
            raise ValueError(
                f"{len(self.passage_vectors)} passage vectors for {len(tie_order)} texts"
            )


def rank_pairs(
    queries: Vectors,
    passages: Vectors,
    pair_query: Ints,
    pair_passage: Ints,
    language: Ints,
    tie_order: Ints,
    k: int = 0,
    *,
    query_chunk: int = 1024,
    passage_chunk: int = PASSAGE_CHUNK,
    device: str | None = None,
) -> tuple[Ints, Ints, Ints]:
    """Return (R, L) how many passages of each language stand before the passage of each pair, for
    the query of the pair, and (R, L) how many of exactly its score stand after it; (Q, k) the first
    k passages of each query, by (-score, id).

    queries: (Q, D), passages: (P, D). pair_query, pair_passage: (R,) row numbers. language: (P,)
    codes from 0, L = the largest + 1. tie_order: (P,) the place of each passage's id among all ids.
    The rank in a pool that is a union of languages is one plus the sum over them of the first; the
    passage itself need not be in it. k is cut to P. Memory beyond the inputs: a few products of a
    chunk in float64. Raises UserError for vectors that are not finite.
    """
    query_norm, passage_norm = norms(queries, "query"), norms(passages, "passage")
    largest = float(passage_norm.max(initial=0.0))
    band = float32_band(queries.shape[1], query_norm, largest)
    better, tied = np.zeros((2, len(pair_query), int(language.max(initial=-1)) + 1), dtype=np.int64)
    target, own_tie = scores(queries, passages, pair_query, pair_passage), tie_order[pair_passage]
    asked = np.arange(len(queries)) if k else np.unique(pair_query)
    by_target = np.lexsort((target, pair_query))  # of one query those of the lowest score first
    edges = np.append(np.searchsorted(pair_query[by_target], asked), len(pair_query))
    shortlist = _Shortlist(min(k, len(passages)), band)
    for start in range(0, len(passages), passage_chunk):
        block = passages[start : start + passage_chunk]
        codes, order = (
            language[start : start + passage_chunk],
            tie_order[start : start + passage_chunk],
        )
        products = multiplier(block, device, query_chunk)
        for chunk in range(0, len(asked), query_chunk):
            wanted = asked[chunk : chunk + query_chunk]
            edge = edges[chunk : chunk + query_chunk + 1]
            pairs, first, vectors = by_target[edge[0] : edge[-1]], edge - edge[0], queries[wanted]
            proposal = None
            if query_norm[wanted].max() * largest < FLOAT_32_SAFE:
                tile = products(vectors)
                # Rounded outwards, so that comparing in float32 never claims more than comparing in
                # float64 would.
                upper = _outwards(target[pairs] + band[pair_query[pairs]], np.inf)
                lower = _outwards(target[pairs] - band[pair_query[pairs]], -np.inf)
                floor = shortlist.floor(wanted, tile)
                least, some = floor.copy(), np.diff(first) > 0
                least[some] = np.minimum(floor[some], lower[first[:-1][some]])
                above = [
                    (columns := (row >= low).nonzero()[0], row.take(columns))
                    for row, low in zip(tile, least, strict=True)
                ]
                shortlist.add(wanted, start, above, floor)
                proposal = _count_surely(
                    above, lower, upper, first, codes, better.shape[1], tile.size // 32 + len(pairs)
                )
            else:
                shortlist.give_up(wanted)
            if proposal is None:
                matrix = score_matrix(vectors, block, query_norm[wanted], largest)
                before, after = _count(
                    matrix, first, target[pairs], own_tie[pairs], order, codes, better.shape[1]
                )
                better[pairs] += before
                tied[pairs] += after
                continue
            counts, pair, column = proposal
            better[pairs] += counts
            pair, passage = pairs[pair], start + column
            other = passage != pair_passage[pair]
            pair, passage = pair[other], passage[other]
            score = scores(queries, passages, pair_query[pair], passage)
            equal, later = score == target[pair], tie_order[passage] > own_tie[pair]
            for total, counted in (
                (better, (score > target[pair]) | (equal & ~later)),
                (tied, equal & later),
            ):
                np.add.at(total, (pair[counted], language[passage[counted]]), 1)
    return better, tied, shortlist.lists(queries, passages, tie_order, query_norm, largest)


def _outwards(values: Floats, towards: float) -> Vectors:
    return np.nextafter(values.astype(np.float32), np.float32(towards))


def _count_surely(
    above: Above,
    lower: Vectors,
    upper: Vectors,
    first: Ints,
    language: Ints,
    languages: int,
    most: int,
) -> tuple[Ints, Ints, Ints] | None:
    """Count per pair and language the columns surely better, and list the open (pair, column):
    lower <= product <= upper.

    The pairs of line i are first[i] to first[i + 1], lower and upper ascend within them, and
    `above` has all columns from the lowest lower. language: of each column. A pair's own passage is
    open. None as soon as more than `most` are, as for a collapsed encoder or many duplicates: then
    the whole tile in float64 is cheaper.
    """
    counts = np.zeros((len(lower), languages), dtype=np.int64)
    # where the next pair's doubt begins; behind each line's last is none
    ends = np.insert(lower, first[1:], np.inf)
    open_pairs, open_columns, times, listed = [first[:0]], [first[:0]], [first[:0]], 0
    for number, (start, stop) in enumerate(itertools.pairwise(first.tolist())):
        if start == stop:
            continue
        columns, values = above[number]
        # of how many pairs each column is surely better
        place = upper[start:stop].searchsorted(values)
        bins = np.bincount(
            place * languages + language.take(columns), minlength=(stop - start + 1) * languages
        )
        counts[start:stop] = bins.reshape(-1, languages)[:0:-1].cumsum(axis=0)[::-1]
        near = (values >= ends[start + number : stop + number + 1].take(place)).nonzero()[0]
        place = place[near]
        open_pairs.append(start + place)
        open_columns.append(columns[near])
        times.append(lower[start:stop].searchsorted(values[near], "right") - place)
        listed += int(times[-1].sum())
        if listed > most:
            return None
    # A column that is open for several pairs is so for neighbours.
    time = np.concatenate(times)
    step = np.arange(listed) - np.repeat(np.cumsum(time) - time, time)
    return (
        counts,
        np.repeat(np.concatenate(open_pairs), time) + step,
        np.repeat(np.concatenate(open_columns), time),
    )


def _count(
    matrix: Floats,
    first: Ints,
    target: Floats,
    own_tie: Ints,
    tie_order: Ints,
    language: Ints,
    languages: int,
) -> tuple[Ints, Ints]:
    """Return (pairs, languages) how many columns of a matrix of scores stand before each pair's
    passage, and tied after it.
    """
    before, after = np.zeros((2, len(target), languages), dtype=np.int64)
    for pair, line in enumerate(np.repeat(np.arange(len(matrix)), np.diff(first)).tolist()):
        equal = matrix[line] == target[pair]
        better = (matrix[line] > target[pair]) | (equal & (tie_order < own_tie[pair]))
        later = equal & (tie_order > own_tie[pair])
        for counts, columns in ((before, better), (after, later)):
            counts[pair] = np.bincount(language[columns], minlength=languages)
    return before, after


class _Shortlist:
    """Collects, tile by tile, the columns that may be among the first k of each query, and sorts
    them out at the end.

    The bound of a query is the k-th best of the maxima of disjoint groups of columns seen so far: k
    passages have at least that product, so that what lies below it by more than both errors, twice
    the band, is not among the first k.
    """

    def __init__(self, k: int, band: Floats) -> None:
        self.k, self.band = k, band
        self.best = np.full((len(band), k), -np.inf, np.float32)
        self.lost = np.zeros(len(band), dtype=bool)  # left to the scores of all passages
        # rows of queries and passages, and their products
        self.found: list[tuple[Ints, Ints, Vectors]] = []

    def floor(self, wanted: Ints, tile: Vectors) -> Vectors:
        """Return (lines,) the least product of interest in a tile, of the queries `wanted` and some
        passages not yet seen.
        """
        if not self.k:
            return np.full(len(tile), np.inf, np.float32)
        groups = min(tile.shape[1], max(GROUPS, 8 * self.k))
        high = (
            tile[:, : tile.shape[1] // groups * groups].reshape(len(tile), -1, groups).max(axis=1)
        )
        seen = np.concatenate([self.best[wanted], high], axis=1)
        self.best[wanted] = np.partition(seen, groups, axis=1)[:, groups:]
        return self._floor(wanted)

    def _floor(self, wanted: Ints) -> Vectors:
        return _outwards(self.best[wanted].min(axis=1) - 2 * self.band[wanted], -np.inf)

    def add(self, wanted: Ints, start: int, above: Above, floor: Vectors) -> None:
        """Keep what reaches the floor; a query with too many near ties or duplicates is lost."""
        if not self.k:
            return
        chosen = [
            (values >= low).nonzero()[0] for (_, values), low in zip(above, floor, strict=True)
        ]
        sizes = np.array([len(each) for each in chosen])
        self.lost[wanted[sizes > GROUPS + 8 * self.k]] = True
        chosen = [each[: GROUPS + 8 * self.k] for each in chosen]
        self.found.append(
            (
                np.repeat(wanted, [len(each) for each in chosen]),
                start
                + np.concatenate(
                    [columns[each] for (columns, _), each in zip(above, chosen, strict=True)]
                ),
                np.concatenate(
                    [values[each] for (_, values), each in zip(above, chosen, strict=True)]
                ),
            )
        )

    def give_up(self, wanted: Ints) -> None:
        self.lost[wanted] = True

    def lists(
        self,
        queries: Vectors,
        passages: Vectors,
        tie_order: Ints,
        query_norm: Floats,
        passage_norm: float,
    ) -> Ints:
        """Return (Q, k) the first passages of each query, by (-score, id)."""
        index = np.zeros((len(queries), self.k), dtype=np.int64)
        if not self.k:
            return index
        if self.found:
            query, passage, value = (
                np.concatenate(parts) for parts in zip(*self.found, strict=True)
            )
            likely = (value >= self._floor(np.arange(len(queries)))[query]) & ~self.lost[query]
            query, passage, key = query[likely], passage[likely], value[likely].astype(np.float64)
            order = np.lexsort((-key, query))
            query, passage, key = query[order], passage[order], key[order]
            # Products that lie apart by more than both errors are in the order of the scores, which
            # the rest need.
            close = (np.diff(query) == 0) & (-np.diff(key) <= 2 * self.band[query[1:]])
            near = np.flatnonzero(np.append(close, False) | np.append(False, close))
            key[near] = scores(queries, passages, query[near], passage[near])
            order = np.lexsort((tie_order[passage], -key, query))
            sound = np.flatnonzero(~self.lost)
            index[sound] = passage[
                order[np.searchsorted(query, sound)[:, None] + np.arange(self.k)]
            ]
        lost = np.flatnonzero(self.lost)
        for part in _parts(lost, len(passages)):
            index[part] = _top_of_all(
                queries[part], passages, self.k, tie_order, None, query_norm[part], passage_norm
            )[0]
        return index


def top_k(
    queries: Vectors,
    passages: Vectors,
    k: int,
    tie_order: Ints,
    pool: Ints | None = None,
    *,
    margin: int = 32,
    query_chunk: int = 1024,
    device: str | None = None,
) -> tuple[Ints, Floats]:
    """Return the first k passages of each query, (Q, k) row numbers and their scores, by (-score,
    id), of all or of `pool`.

    pool: row numbers, each once; k is cut to the passages. Faiss, or torch, proposes k + max(k,
    margin) of them, which are scored and sorted. A list whose last score is not beyond doubt above
    whatever was not proposed is made again from the scores of all. Raises UserError for vectors
    that are not finite, or where Faiss is not installed.
    """
    query_norm, total = norms(queries, "query"), len(passages) if pool is None else len(pool)
    parts = (
        [passages]
        if pool is None
        else (passages[pool[at : at + BLOCK]] for at in range(0, total, BLOCK))
    )
    largest = max((float(norms(part, "passage").max(initial=0.0)) for part in parts), default=0.0)
    k = min(k, total)
    proposed = min(total, k + max(k, margin))
    index, score = np.zeros((len(queries), k), dtype=np.int64), np.zeros((len(queries), k))
    for start in range(0, len(queries) if k else 0, query_chunk):
        rows = np.arange(start, min(start + query_chunk, len(queries)))
        believed, found = nearest(queries[rows], passages, proposed, pool, device)
        sound = (query_norm[rows] * largest < FLOAT_32_SAFE) & (found >= 0).all(axis=1)
        # Below the k-th by more than both errors, none can be among the first k: only the others
        # are scored.
        band = float32_band(queries.shape[1], query_norm[rows], largest)
        line, column = np.nonzero(~(believed < believed[:, k - 1 : k] - 2 * band[:, None]))
        exact = np.full(found.shape, -np.inf)
        exact[line, column] = scores(queries, passages, rows[line], found[line, column])
        order = np.lexsort((tie_order[found], -exact), axis=1)[:, :k]
        index[rows], score[rows] = (
            np.take_along_axis(array, order, axis=1) for array in (found, exact)
        )
        if proposed < total:
            sound &= score[rows, -1] > believed[:, -1] + band
        for part in _parts(rows[~sound], total):
            index[part], score[part] = _top_of_all(
                queries[part], passages, k, tie_order, pool, query_norm[part], largest
            )
    return index, score


def _parts(rows: Ints, total: int) -> list[Ints]:
    """Return parts of the rows whose scores with `total` passages are 128 MB."""
    return np.array_split(rows, 1 + len(rows) * total // 2**24)


def _top_of_all(
    queries: Vectors,
    passages: Vectors,
    k: int,
    tie_order: Ints,
    pool: Ints | None,
    query_norm: Floats,
    passage_norm: float,
) -> tuple[Ints, Floats]:
    """Return `top_k` from the scores of all passages: the way where duplicates or near ties defeat
    a proposal.
    """
    index, score = np.zeros((len(queries), k), dtype=np.int64), np.zeros((len(queries), k))
    rows = np.arange(len(passages)) if pool is None else pool
    found = np.empty((len(queries), len(rows)))
    for start in range(0, len(rows) if len(queries) else 0, PASSAGE_CHUNK):
        part = slice(start, start + PASSAGE_CHUNK)
        found[:, part] = score_matrix(queries, passages[rows[part]], query_norm, passage_norm)
    for row, line in enumerate(found):
        likely = np.flatnonzero(line >= np.partition(line, len(line) - k)[len(line) - k])
        order = np.lexsort((tie_order[rows[likely]], -line[likely]))[:k]
        index[row], score[row] = rows[likely[order]], line[likely[order]]
    return index, score
