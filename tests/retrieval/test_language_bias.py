"""Language-bias measures against their expectations under chance, and small pools ranked by
hand.
"""

import numpy as np
import pytest

from hybrid_sweep.retrieval import language_bias
from hybrid_sweep.retrieval.measures import judged


@pytest.mark.parametrize(("size", "relevant"), [(50, 2), (50, 11), (400, 4)])
def test_random_ranking_has_relative_rank_distance_one(size: int, relevant: int) -> None:
    generator = np.random.default_rng(size + relevant)
    ranks = 1 + generator.random((4000, size)).argsort(axis=1)[:, :relevant]
    raw, relative = language_bias.rank_distance(
        ranks.min(axis=1), ranks.max(axis=1), np.full(4000, relevant), size
    )
    assert (raw == ranks.max(axis=1) - ranks.min(axis=1)).all()
    assert abs(relative.mean() - 1) < 4 * relative.std() / 4000**0.5


def test_rank_distance_needs_two_relevant_passages() -> None:
    raw, relative = language_bias.rank_distance(
        np.array([3, 3]), np.array([3, 5]), np.array([1, 2]), 9
    )
    assert np.isnan([raw[0], relative[0]]).all()
    assert raw[1] == 2 and relative[1] == pytest.approx(2 / (10 / 3))


def test_same_language_share() -> None:
    top = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    assert language_bias.same_language_share(
        top, np.array([0, 1]), np.array([0, 0, 0, 1])
    ).tolist() == [
        0.75,
        0.25,
    ]


def test_preference_rows_are_shares() -> None:
    shares = language_bias.preference(np.array([0, 0, 0, 2]), np.array([0, 0, 2, 1]), 3)
    assert (
        shares[0].tolist() == [2 / 3, 0, 1 / 3]
        and shares[2].tolist() == [0, 1, 0]
        and np.isnan(shares[1]).all()
    )


def test_heat_map_equals_ranking_each_answer_without_the_others() -> None:
    """By brute force: take a query's answers in the other languages, and its worse ones in this,
    out of the pool.
    """
    generator = np.random.default_rng(3)
    languages, size, queries = 3, 30, 40
    query_language = generator.integers(0, languages, queries)
    rows, expected = [], {}
    for query in range(queries):
        answers = generator.choice(size, generator.integers(1, 6), replace=False)
        answer_language = generator.integers(0, languages, len(answers))
        rows += [
            (query, rank + 1, language)
            for rank, language in zip(answers, answer_language, strict=True)
        ]
        for language in set(answer_language.tolist()):
            best = min(answers[answer_language == language])
            pool = [rank for rank in range(size) if rank == best or rank not in answers]
            expected.setdefault((query_language[query], language), []).append(
                1 / (1 + pool.index(best))
            )
    topic, rank, language = np.array(rows).T
    topics = judged(topic, rank, np.ones(len(rows)))
    found = language_bias.heat_map(topics, query_language, language[topics.entry], languages)
    for (a, b), values in expected.items():
        assert found[a, b] == pytest.approx(np.mean(values), abs=1e-12)
    assert np.isnan(found).sum() == languages**2 - len(expected)
