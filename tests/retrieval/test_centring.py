"""Language centring against loops in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.retrieval import centring


def naive(vectors: np.ndarray, language: list[int]) -> list[list[float]]:
    made = []
    for place, vector in enumerate(vectors):
        own = [other for other in range(len(vectors)) if language[other] == language[place]]
        row = []
        for column in range(vectors.shape[1]):
            mean = sum(float(vectors[other, column]) for other in own) / len(own)
            row.append(float(vector[column]) - mean)
        length = sum(value * value for value in row) ** 0.5
        made.append([value / length if length else 0.0 for value in row])
    return made


def centred(vectors: np.ndarray, language: list[int]) -> np.ndarray:
    out = np.full(vectors.shape, np.nan, np.float32)
    centring.centre(vectors, np.array(language, np.int64), out)
    return out


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_each_passage_loses_the_mean_of_its_language(seed: int, languages: int, width: int) -> None:
    draw = np.random.default_rng(seed)
    language = [*range(languages), *draw.integers(languages, size=12).tolist()]
    vectors = draw.normal(size=(len(language), width)).astype(np.float32) + 3
    assert np.abs(centred(vectors, language) - naive(vectors, language)).max() < 1e-6


def test_what_is_its_languages_mean_becomes_zero() -> None:
    vectors = np.array([[0.6, 0.8], [1, 0], [0, 1]], np.float32)
    expected = [[0, 0], [0.5**0.5, -(0.5**0.5)], [-(0.5**0.5), 0.5**0.5]]
    assert np.allclose(centred(vectors, [1, 0, 0]), expected)


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(50, 8)).astype(np.float32)
    language = draw.integers(3, size=50).tolist()
    whole = centred(vectors, language)
    monkeypatch.setattr(centring, "CHUNK", 7)
    assert np.allclose(centred(vectors, language), whole, atol=1e-7)


def test_a_bias_for_a_language_that_is_one_vector_is_gone() -> None:
    """Every passage of a language is shifted by one vector: without it, all languages are alike."""
    draw = np.random.default_rng(1)
    plain = draw.normal(size=(20, 8))
    plain -= plain.mean(axis=0)
    shifted = np.concatenate([plain, plain + draw.normal(size=8)]).astype(np.float32)
    made = centred(shifted, [0] * 20 + [1] * 20)
    assert np.allclose(made[:20], made[20:], atol=1e-6)
