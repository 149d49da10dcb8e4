"""Exact ranks of stored vectors, at the speed of float32 matrix products.

Passages go by (-score, passage id). Matrix products and Faiss only propose: a comparison that their
proven error leaves open is settled by the scores themselves. So no rank depends on chunks, threads,
device, index or the order of rows.
"""

import itertools
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hybrid_sweep.retrieval.candidates import BY_NUMPY, Products, multiplier
from hybrid_sweep.retrieval.exact_scores import NormedVectors, Vectors, scores
from hybrid_sweep.retrieval.measures import Floats, Ints
from hybrid_sweep.retrieval.top_lists import Above, Shortlist, outwards, top_k


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

    def scores(self, query: Ints, passage: Ints) -> Floats:
        """Return (R,) the scores of pairs, given by row numbers."""
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
        last = query.max(initial=-1)
        if last >= len(self.query_vectors):
            raise ValueError(
                f"a ranker of {len(self.query_vectors)} queries for one of number {last}"
            )
        pairs = RelevantPairs(query, passage, language, tie_order)
        products = Products(self.device)
        return rank_pairs(self.query_vectors, self.passage_vectors, pairs, k, products)

    def top(self, k: int, tie_order: Ints, pool: Ints | None = None) -> tuple[Ints, Floats]:
        """See `Ranker.top` and `top_k`."""
        self._check(tie_order)
        products = Products(self.device)
        return top_k(self.query_vectors, self.passage_vectors, k, tie_order, pool, products)

    def scores(self, query: Ints, passage: Ints) -> Floats:
        """See `Ranker.scores`."""
        return scores(self.query_vectors, self.passage_vectors, query, passage)

    def _check(self, tie_order: Ints) -> None:
        if len(tie_order) != len(self.passage_vectors):
            raise ValueError(
                f"{len(self.passage_vectors)} passage vectors for {len(tie_order)} texts"
            )


@dataclass(frozen=True)
class RelevantPairs:
    """R pairs of a query and a passage, and what their ranks depend on besides the scores.

    query, passage: (R,) row numbers. language: (P,) codes from 0, L = the largest + 1. tie_order:
    (P,) the place of each passage's id among all ids.
    """

    query: Ints
    passage: Ints
    language: Ints
    tie_order: Ints


def rank_pairs(
    queries: Vectors,
    passages: Vectors,
    pairs: RelevantPairs,
    k: int = 0,
    products: Products = BY_NUMPY,
) -> tuple[Ints, Ints, Ints]:
    """Return (R, L) how many passages of each language stand before the passage of each pair, for
    the query of the pair, and (R, L) how many of exactly its score stand after it; (Q, k) the first
    k passages of each query, by (-score, id).

    queries: (Q, D), passages: (P, D). The rank in a pool that is a union of languages is one plus
    the sum over them of the first; the passage itself need not be in it. k is cut to P. Memory
    beyond the inputs: a few products of a chunk in float64. Raises UserError for vectors that are
    not finite.
    """
    vectors = NormedVectors.of(queries, passages)
    counts = _Counts(vectors, pairs)
    shortlist = Shortlist(min(k, len(passages)), vectors.band)
    if k:
        asked = np.arange(len(queries))
    else:
        asked = np.unique(pairs.query)
    by_target = np.lexsort((counts.target, pairs.query))  # of a query those of the lowest first
    edges = np.append(np.searchsorted(pairs.query[by_target], asked), len(pairs.query))
    for start in range(0, len(passages), products.passage_chunk):
        columns = slice(start, start + products.passage_chunk)
        multiply = multiplier(passages[columns], products.device, products.query_chunk)
        for chunk in range(0, len(asked), products.query_chunk):
            lines = asked[chunk : chunk + products.query_chunk]
            edge = edges[chunk : chunk + products.query_chunk + 1]
            tile = _Tile(lines, columns, by_target[edge[0] : edge[-1]], edge - edge[0])
            sure = None
            if vectors.fit_float32(lines).all():
                product = multiply(queries[lines])
                lower, upper = counts.bounds(tile.pairs)
                floor = shortlist.floor(lines, product)
                above = _above(product, tile.first, lower, floor)
                shortlist.add(lines, start, above, floor)
                sure = _count_surely(
                    above, lower, upper, tile.first, counts.codes(columns), product.size // 32
                )
            else:
                shortlist.give_up(lines)
            if sure is None:
                counts.add_scores(tile)
            else:
                counts.add(tile, sure)
    return counts.better, counts.tied, shortlist.lists(vectors, pairs.tie_order)


@dataclass(frozen=True)
class _Tile:
    """Some queries and some passages, of which a product is made at once.

    lines: the rows of the queries. columns: the rows of the passages. pairs: of these queries, by
    line and ascending score. first: (lines + 1,) where the pairs of each line begin.
    """

    lines: Ints
    columns: slice
    pairs: Ints
    first: Ints


class _Counts:
    """Counts, tile by tile, what stands before and at the place of each pair's passage."""

    def __init__(self, vectors: NormedVectors, pairs: RelevantPairs) -> None:
        self.vectors, self.pairs, self.band = vectors, pairs, vectors.band
        self.target = scores(vectors.queries, vectors.passages, pairs.query, pairs.passage)
        self.own_tie = pairs.tie_order[pairs.passage]
        self.languages = int(pairs.language.max(initial=-1)) + 1
        shape = (2, len(pairs.query), self.languages)
        self.better, self.tied = np.zeros(shape, dtype=np.int64)

    def bounds(self, pairs: Ints) -> tuple[Vectors, Vectors]:
        """Return the products below and above which a passage is surely after and before that of
        each pair.

        Rounded outwards, so that comparing in float32 never claims more than comparing in float64
        would.
        """
        target = self.target[pairs]
        band = self.band[self.pairs.query[pairs]]
        return outwards(target - band, -np.inf), outwards(target + band, np.inf)

    def codes(self, columns: slice) -> tuple[Ints, int]:
        """Return the languages of the passages of a tile, and the number of all languages."""
        return self.pairs.language[columns], self.languages

    def add(self, tile: _Tile, sure: tuple[Ints, Ints, Ints]) -> None:
        """Add what `_count_surely` says of a tile; the scores decide what is open."""
        counts, place, column = sure
        self.better[tile.pairs] += counts
        pair = tile.pairs[place]
        passage = tile.columns.start + column
        other = passage != self.pairs.passage[pair]
        pair, passage = pair[other], passage[other]
        score = scores(self.vectors.queries, self.vectors.passages, self.pairs.query[pair], passage)
        equal = score == self.target[pair]
        later = self.pairs.tie_order[passage] > self.own_tie[pair]
        before = (score > self.target[pair]) | (equal & ~later)
        after = equal & later
        language = self.pairs.language[passage]
        np.add.at(self.better, (pair[before], language[before]), 1)
        np.add.at(self.tied, (pair[after], language[after]), 1)

    def add_scores(self, tile: _Tile) -> None:
        """Add the counts of a tile from the scores of all its queries and passages."""
        matrix = self.vectors.scores(tile.lines, tile.columns)
        tie_order = self.pairs.tie_order[tile.columns]
        language = self.pairs.language[tile.columns]
        line = np.repeat(np.arange(len(matrix)), np.diff(tile.first))
        for pair, row in zip(tile.pairs.tolist(), line.tolist(), strict=True):
            equal = matrix[row] == self.target[pair]
            earlier = tie_order < self.own_tie[pair]
            later = tie_order > self.own_tie[pair]
            better = (matrix[row] > self.target[pair]) | (equal & earlier)
            self.better[pair] += np.bincount(language[better], minlength=self.languages)
            self.tied[pair] += np.bincount(language[equal & later], minlength=self.languages)


def _above(product: Vectors, first: Ints, lower: Vectors, floor: Vectors) -> Above:
    """Return of each line of a tile what reaches the floor or the lowest bound of its pairs."""
    least = floor.copy()
    some = np.diff(first) > 0
    least[some] = np.minimum(floor[some], lower[first[:-1][some]])
    above = []
    for row, low in zip(product, least, strict=True):
        columns = (row >= low).nonzero()[0]
        above.append((columns, row.take(columns)))
    return above


def _count_surely(
    above: Above,
    lower: Vectors,
    upper: Vectors,
    first: Ints,
    codes: tuple[Ints, int],
    spare: int,
) -> tuple[Ints, Ints, Ints] | None:
    """Count per pair and language the columns surely better, and list the open (pair, column):
    lower <= product <= upper.

    The pairs of line i are first[i] to first[i + 1], lower and upper ascend within them, and
    `above` has all columns from the lowest lower. codes: the language of each column, and L. A
    pair's own passage is open. None as soon as more than `spare` others are, as for a collapsed
    encoder or many duplicates: then the whole tile in float64 is cheaper.
    """
    language, languages = codes
    counts = np.zeros((len(lower), languages), dtype=np.int64)
    # where the next pair's doubt begins; behind each line's last is none
    ends = np.insert(lower, first[1:], np.inf)
    open_pairs = [first[:0]]
    open_columns = [first[:0]]
    times = [first[:0]]
    listed = 0
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
        if listed > spare + len(lower):
            return None
    # A column that is open for several pairs is so for neighbours.
    time = np.concatenate(times)
    step = np.arange(listed) - np.repeat(np.cumsum(time) - time, time)
    return (
        counts,
        np.repeat(np.concatenate(open_pairs), time) + step,
        np.repeat(np.concatenate(open_columns), time),
    )
