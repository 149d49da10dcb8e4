"""The score is one number however it is reached, and the error bound holds and is nearly
reached.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.retrieval.exact_scores import (
    UNIT_32,
    float32_band,
    norms,
    product_error,
    score_matrix,
    scores,
)
from tests.refused import refused


def vectors(
    generator: np.random.Generator, count: int, dimension: int, scale: float = 1.0
) -> np.ndarray:
    return (scale * generator.standard_normal((count, dimension)) / dimension**0.5).astype(
        np.float32
    )


@given(st.integers(0, 10**6), st.integers(1, 70), st.sampled_from([1e-15, 1e-3, 1.0, 30.0]))
def test_scores_are_the_rounded_dot_products(seed: int, dimension: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    queries, passages = (
        vectors(generator, 3, dimension, scale),
        vectors(generator, 4, dimension, scale),
    )
    rows = np.indices((3, 4)).reshape(2, -1)
    for query, passage, score in zip(*rows, scores(queries, passages, *rows), strict=True):
        exact = math.fsum(queries[query].astype(float) * passages[passage].astype(float))
        assert abs(score - exact) <= 0.5e-9 + 1e-13 * scale**2
        assert score == pytest.approx(round(score, 9), abs=1e-15 * max(1, scale**2))


@settings(deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 70), st.sampled_from([1e-15, 1e-3, 1.0, 300.0, 3e5, 1e19])
)
def test_score_matrix_is_equal_to_the_last_bit(seed: int, dimension: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    queries, passages = (
        vectors(generator, 5, dimension, scale),
        vectors(generator, 40, dimension, scale),
    )
    rows = np.indices((5, 40)).reshape(2, -1)
    matrix = score_matrix(
        queries, passages, norms(queries, "query"), norms(passages, "passage").max()
    )
    assert (matrix.ravel() == scores(queries, passages, *rows)).all()


def test_the_sum_folds_the_upper_half_onto_the_lower() -> None:
    """Where rounding to 1e-9 hides nothing, another order of summation would show in the last
    bits.
    """
    generator = np.random.default_rng(1)
    for dimension in (1, 2, 3, 5, 100, 129):
        query, passage = (
            vectors(generator, 1, dimension, 1e6),
            vectors(generator, 1, dimension, 1e6),
        )
        terms = [float(a) * float(b) for a, b in zip(query[0], passage[0], strict=True)]
        while len(terms) > 1:
            half = len(terms) // 2
            folded = [low + high for low, high in zip(terms[:half], terms[-half:], strict=True)]
            terms = folded + terms[half : len(terms) - half]
        expected = float(np.rint(terms[0] * 1e9) / 1e9)
        assert scores(query, passage, np.array([0]), np.array([0]))[0] == expected


def test_a_score_does_not_depend_on_its_neighbours() -> None:
    generator = np.random.default_rng(0)
    queries, passages = vectors(generator, 50, 129, 1e6), vectors(generator, 60, 129, 1e6)
    query, passage = generator.integers(0, 50, 5000), generator.integers(0, 60, 5000)
    together = scores(queries, passages, query, passage)
    alone = [
        scores(queries[q : q + 1], passages[p : p + 1], np.array([0]), np.array([0]))[0]
        for q, p in zip(query[:200], passage[:200], strict=True)
    ]
    assert together[:200].tolist() == alone
    assert (together[::-1] == scores(queries, passages, query[::-1], passage[::-1])).all()


@pytest.mark.parametrize("dimension", [1, 2, 7, 384, 1024])
def test_error_bound_holds_and_is_nearly_reached(dimension: int) -> None:
    """Terms a little below half an ulp of the sum are all lost: the worst that sequential summation
    can do.
    """
    worst = np.full(dimension, 2.0**-12 * 0.999, np.float32)
    worst[0] = 1
    generator = np.random.default_rng(dimension)
    for one, other in [
        (worst, worst),
        *zip(*(vectors(generator, 50, dimension) for _ in "qp"), strict=True),
    ]:
        total = np.float32(0)
        for left, right in zip(one, other, strict=True):
            total = total + left * right
        error = abs(float(total) - math.fsum(one.astype(float) * other.astype(float)))
        lengths = (np.linalg.norm(one.astype(float)), np.linalg.norm(other.astype(float)))
        bound = product_error(dimension, *lengths, UNIT_32)
        assert error <= bound
        assert one is not worst or error >= 0.99 * bound * (1 - 1.01 / dimension)


def test_band_is_never_below_the_floor() -> None:
    assert float32_band(2, np.array([1e-9, 1.0, 1e3]), 1.0).tolist()[0] == 1e-6
    assert (np.diff(float32_band(384, np.array([0.1, 1.0, 1e3]), 1.0)) > 0).all()


def test_vectors_must_be_finite_float32() -> None:
    bad = np.ones((5, 3), np.float32)
    bad[1, 2], bad[4, 0] = np.nan, -np.inf
    with refused("model.diverged", "2 of 5 query vectors"):
        norms(bad, "query")
    with pytest.raises(ValueError, match="float64"):
        norms(np.ones((2, 2)), "query")
    huge = np.full((1, 3), 3e38, np.float32)
    assert norms(huge, "query")[0] == pytest.approx(3e38 * 3**0.5, rel=1e-6)
