"""Exact lists of the first k passages of each query.

Products only propose; what their proven error leaves open is settled by the scores. `Shortlist`
serves a caller that makes products of tiles anyway, `top_k` searches by itself.
"""

import numpy as np

from hybrid_sweep.retrieval.candidates import BY_NUMPY, PASSAGE_CHUNK, Products, nearest
from hybrid_sweep.retrieval.exact_scores import NormedVectors, Vectors, scores
from hybrid_sweep.retrieval.measures import Floats, Ints

# of each line of a tile the columns whose products reach a floor, and the products
Above = list[tuple[Ints, Vectors]]
GROUPS = 256  # columns of a tile whose maximum is taken at a time: width / GROUPS


def outwards(values: Floats, towards: float) -> Vectors:
    return np.nextafter(values.astype(np.float32), np.float32(towards))


class Shortlist:
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
        self.kept: list[tuple[Ints, Ints, Vectors]] = []

    def floor(self, wanted: Ints, tile: Vectors) -> Vectors:
        """Return (lines,) the least product of interest in a tile, of the queries `wanted` and some
        passages not yet seen.
        """
        if not self.k:
            return np.full(len(tile), np.inf, np.float32)
        groups = min(tile.shape[1], max(GROUPS, 8 * self.k))
        whole = tile[:, : tile.shape[1] // groups * groups]
        high = whole.reshape(len(tile), -1, groups).max(axis=1)
        seen = np.concatenate([self.best[wanted], high], axis=1)
        self.best[wanted] = np.partition(seen, groups, axis=1)[:, groups:]
        return self._floor(wanted)

    def _floor(self, wanted: Ints) -> Vectors:
        return outwards(self.best[wanted].min(axis=1) - 2 * self.band[wanted], -np.inf)

    def add(self, wanted: Ints, start: int, above: Above, floor: Vectors) -> None:
        """Keep what reaches the floor; a query with too many near ties or duplicates is lost."""
        if not self.k:
            return
        most = GROUPS + 8 * self.k
        sizes = []
        kept_columns = []
        kept_products = []
        for (columns, values), low in zip(above, floor, strict=True):
            places = (values >= low).nonzero()[0]
            sizes.append(len(places))
            kept_columns.append(columns[places[:most]])
            kept_products.append(values[places[:most]])
        size = np.array(sizes)
        self.lost[wanted[size > most]] = True
        query = np.repeat(wanted, np.minimum(size, most))
        self.kept.append(
            (query, start + np.concatenate(kept_columns), np.concatenate(kept_products))
        )

    def give_up(self, wanted: Ints) -> None:
        self.lost[wanted] = True

    def lists(self, vectors: NormedVectors, tie_order: Ints) -> Ints:
        """Return (Q, k) the first passages of each query, by (-score, id)."""
        index = np.zeros((len(self.lost), self.k), dtype=np.int64)
        if not self.k:
            return index
        if self.kept:
            query, order, passage = self._sorted(vectors, tie_order)
            sound = np.flatnonzero(~self.lost)
            first = np.searchsorted(query, sound)
            index[sound] = passage[order[first[:, None] + np.arange(self.k)]]
        for rows in _parts(np.flatnonzero(self.lost), len(vectors.passages)):
            index[rows] = _top_of_all(vectors, rows, self.k, tie_order)[0]
        return index

    def _sorted(self, vectors: NormedVectors, tie_order: Ints) -> tuple[Ints, Ints, Ints]:
        """Return the query of each kept column, ascending, the order of the columns within their
        queries, and their passages.
        """
        query, passage, value = (np.concatenate(parts) for parts in zip(*self.kept, strict=True))
        likely = (value >= self._floor(np.arange(len(self.lost)))[query]) & ~self.lost[query]
        query, passage, key = query[likely], passage[likely], value[likely].astype(np.float64)
        order = np.lexsort((-key, query))
        query, passage, key = query[order], passage[order], key[order]
        # Products that lie apart by more than both errors are in the order of the scores, which
        # the rest need.
        close = (np.diff(query) == 0) & (-np.diff(key) <= 2 * self.band[query[1:]])
        near = np.flatnonzero(np.append(close, False) | np.append(False, close))
        key[near] = scores(vectors.queries, vectors.passages, query[near], passage[near])
        return query, np.lexsort((tie_order[passage], -key, query)), passage


def top_k(
    queries: Vectors,
    passages: Vectors,
    k: int,
    tie_order: Ints,
    pool: Ints | None = None,
    products: Products = BY_NUMPY,
) -> tuple[Ints, Floats]:
    """Return the first k passages of each query, (Q, k) row numbers and their scores, by (-score,
    id), of all or of `pool`.

    pool: row numbers, each once; k is cut to the passages. Faiss, or torch, proposes k + max(k,
    margin) of them, which are scored and sorted. A list whose last score is not beyond doubt above
    whatever was not proposed is made again from the scores of all. Raises UserError for vectors
    that are not finite, or where Faiss is not installed.
    """
    vectors = NormedVectors.of(queries, passages, pool)
    if pool is None:
        total = len(passages)
    else:
        total = len(pool)
    k = min(k, total)
    proposed = min(total, k + max(k, products.margin))
    index = np.zeros((len(queries), k), dtype=np.int64)
    score = np.zeros((len(queries), k))
    all_bands = vectors.band
    for start in range(0, len(queries) if k else 0, products.query_chunk):
        rows = np.arange(start, min(start + products.query_chunk, len(queries)))
        believed, likely = nearest(queries[rows], passages, proposed, pool, products.device)
        sound = vectors.fit_float32(rows) & (likely >= 0).all(axis=1)
        # Below the k-th by more than both errors, none can be among the first k: only the others
        # are scored.
        band = all_bands[rows]
        line, column = np.nonzero(~(believed < believed[:, k - 1 : k] - 2 * band[:, None]))
        exact = np.full(likely.shape, -np.inf)
        exact[line, column] = scores(queries, passages, rows[line], likely[line, column])
        order = np.lexsort((tie_order[likely], -exact), axis=1)[:, :k]
        index[rows] = np.take_along_axis(likely, order, axis=1)
        score[rows] = np.take_along_axis(exact, order, axis=1)
        if proposed < total:
            sound &= score[rows, -1] > believed[:, -1] + band
        for part in _parts(rows[~sound], total):
            index[part], score[part] = _top_of_all(vectors, part, k, tie_order, pool)
    return index, score


def _parts(rows: Ints, total: int) -> list[Ints]:
    """Return parts of the rows whose scores with `total` passages are 128 MB."""
    return np.array_split(rows, 1 + len(rows) * total // 2**24)


def _top_of_all(
    vectors: NormedVectors, queries: Ints, k: int, tie_order: Ints, pool: Ints | None = None
) -> tuple[Ints, Floats]:
    """Return `top_k` of these queries from the scores of all passages: the way where duplicates or
    near ties defeat a proposal.
    """
    index = np.zeros((len(queries), k), dtype=np.int64)
    score = np.zeros((len(queries), k))
    rows = np.arange(len(vectors.passages)) if pool is None else pool
    exact = np.empty((len(queries), len(rows)))
    for start in range(0, len(rows) if len(queries) else 0, PASSAGE_CHUNK):
        part = slice(start, start + PASSAGE_CHUNK)
        exact[:, part] = vectors.scores(queries, rows[part])
    for row, line in enumerate(exact):
        likely = np.flatnonzero(line >= np.partition(line, len(line) - k)[len(line) - k])
        order = np.lexsort((tie_order[rows[likely]], -line[likely]))[:k]
        index[row], score[row] = rows[likely[order]], line[likely[order]]
    return index, score
