"""The score of a query and a passage, and how far a floating-point product can be from it.

A score is the dot product of two stored float32 vectors in float64, summed in one fixed order and
rounded to 1e-9. That makes it one number, the same on every machine; products made in any other way
only propose.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.retrieval.measures import Floats, Ints
from hybrid_sweep.utils.errors import UserError

Vectors = NDArray[np.float32]
UNIT_32, UNIT_64 = 2.0**-24, 2.0**-53  # unit roundoffs
FLOOR = 1e-6  # the least distance from a boundary at which a float32 product is believed
BLOCK = 131_072  # passages at a time where a pool must be copied
FLOAT_32_SAFE = 1e37  # norms with a larger product could overflow float32


def scores(queries: Vectors, passages: Vectors, query: Ints, passage: Ints) -> Floats:
    """Return (R,) the scores of the pairs (query[i], passage[i]), given as row numbers."""
    sums = np.empty(len(query))
    step = max(1, 2**17 // queries.shape[1])  # about 1 MB: stays in the cache
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        terms = queries[query[part]].astype(np.float64)
        terms *= passages[passage[part]]  # exact: twice 24 bits fit into 53
        width = terms.shape[1]
        # folding halves fixes the order of the sum, which BLAS and numpy.sum leave open
        while width > 1:
            half = width // 2
            terms[:, :half] += terms[:, width - half : width]
            width -= half
        sums[part] = terms[:, 0]
    return _rounded(sums)


def score_matrix(
    queries: Vectors, passages: Vectors, query_norm: Floats, passage_norm: float
) -> Floats:
    """Return (Q, P) the scores of all pairs: a float64 product, and `scores` where its error could
    change the rounding.

    query_norm: (Q,); passage_norm: the largest one.
    """
    product = queries.astype(np.float64) @ passages.T.astype(np.float64)
    # The product's error, that of `scores`, and twice that of scaling by 1e9, in units of 1e-9.
    slack = 1e9 * product_error(2 * queries.shape[1] + 8, query_norm, passage_norm, UNIT_64)
    distance = product * 1e9
    distance -= np.floor(distance)
    distance -= 0.5
    query, passage = np.nonzero(np.abs(distance, out=distance) <= slack[:, None])
    matrix = _rounded(product)
    matrix[query, passage] = scores(queries, passages, query, passage)
    return matrix


def _rounded(products: Floats) -> Floats:
    return np.rint(products * 1e9) / 1e9 + 0.0  # + 0.0 turns -0.0 into 0.0


def product_error(dimension: int, query_norm: Floats, passage_norm: float, unit: float) -> Floats:
    """Bound on the rounding error of dot products in floating point, whatever the order of
    summation.

    n u / (1 - n u) |x|'|y| (Higham, 2002, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
    section 3.1), and |x|'|y| <= ||x|| ||y||. A fused multiply-add only lowers it; the last factor
    covers the rounding of the norms.
    """
    return dimension * unit / (1 - dimension * unit) * query_norm * passage_norm * (1 + 1e-6)


def float32_band(dimension: int, query_norm: Floats, passage_norm: float) -> Floats:
    """Return the distance from a score beyond which a product in float32 decides a comparison with
    it; at least 1e-6.

    The proven error and one percent, far above all float64 errors; 2e-9 covers underflow and the
    rounding of scores.
    """
    return np.maximum(
        FLOOR, 1.01 * product_error(dimension, query_norm, passage_norm, UNIT_32) + 2e-9
    )


def norms(vectors: Vectors, kind: str) -> Floats:
    """Return (N,) Euclidean norms in float64; a UserError says how many of the `kind` vectors hold
    NaN or infinity.
    """
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise ValueError(
            f"{kind} vectors must be a float32 matrix, not {vectors.dtype} of shape {vectors.shape}"
        )
    squares: Floats = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    if bad := int(np.count_nonzero(~np.isfinite(squares))):
        raise UserError(
            f"{bad} of {len(vectors)} {kind} vectors hold NaN or infinity: the encoder has"
            " diverged; lower the learning rate or use a wider precision",
            key="model.diverged",
        )
    return np.sqrt(squares)


@dataclass(frozen=True)
class NormedVectors:
    """Queries (Q, D) and passages (P, D) with the norms of the first, (Q,), and the largest norm of
    the second.
    """

    queries: Vectors
    passages: Vectors
    query_norm: Floats
    largest: float

    @classmethod
    def of(cls, queries: Vectors, passages: Vectors, pool: Ints | None = None) -> "NormedVectors":
        """Compute the norms, those of the passages in the pool alone."""
        query_norm = norms(queries, "query")
        largest = 0.0
        if pool is None:
            largest = float(norms(passages, "passage").max(initial=0.0))
        else:
            for start in range(0, len(pool), BLOCK):
                block = passages[pool[start : start + BLOCK]]
                largest = max(largest, float(norms(block, "passage").max(initial=0.0)))
        return cls(queries, passages, query_norm, largest)

    @property
    def band(self) -> Floats:
        """Return (Q,) `float32_band` of each query."""
        return float32_band(self.queries.shape[1], self.query_norm, self.largest)

    def fit_float32(self, rows: Ints) -> NDArray[np.bool_]:
        """Return whether no product of each of these queries can overflow float32."""
        return np.asarray(self.query_norm[rows] * self.largest < FLOAT_32_SAFE)

    def scores(self, rows: Ints, passages: Ints | slice) -> Floats:
        """Return the scores of these queries with these passages, (rows, passages)."""
        return score_matrix(
            self.queries[rows], self.passages[passages], self.query_norm[rows], self.largest
        )
