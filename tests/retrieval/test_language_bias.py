"""Language-bias measures against their expectations under chance, and small pools ranked by
hand.
"""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from hybrid_sweep.retrieval import language_bias
from hybrid_sweep.retrieval.measures import CORRELATION, NOWHERE, OF_LANGUAGES, judged


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


def mixed_pool(seed: int, size: int = 25, languages: int = 4, queries: int = 60):
    """Ranked lists of languages, and the ranks of each query's relevant passages in them."""
    generator = np.random.default_rng(seed)
    lists = generator.integers(0, languages, (queries, size))
    ranks = []
    for _ in range(queries):
        count = generator.integers(1, 6)
        ranks.append(np.sort(1 + generator.choice(size, count, replace=False)))
    query_language = generator.integers(0, languages, queries)
    return lists, ranks, query_language


def named_measures(lists, ranks, query_language, cut=10):
    topic = np.repeat(np.arange(len(ranks)), [len(mine) for mine in ranks])
    rank = np.concatenate(ranks)
    topics = judged(topic, rank, np.ones(len(rank)))
    inside = np.minimum(rank, lists.shape[1]) - 1
    passage_language = lists[topic, inside][topics.entry]
    return language_bias.by_query(topics, passage_language, query_language, lists[:, :cut])


@pytest.mark.parametrize("seed", range(3))
def test_named_measures_equal_a_brute_force_over_each_list(seed: int) -> None:
    """Of whole lists, with SciPy's divergence."""
    lists, ranks, query_language = mixed_pool(seed)
    values = named_measures(lists, ranks, query_language)
    assert {*values, CORRELATION} == set(OF_LANGUAGES)
    for query, mine in enumerate(ranks):
        answers = [lists[query][rank - 1] for rank in mine]
        own = query_language[query]
        if own in answers and len(set(answers)) > 1:
            assert values["LPR"][query] == (answers[0] == own)
        else:
            assert np.isnan(values["LPR"][query])
        if len(mine) > 1:
            assert values["Max@R"][query] == max(mine)
        else:
            assert np.isnan(values["Max@R"][query])
        exposure, target = np.zeros((2, 4))
        for rank in range(1, 11):
            exposure[lists[query][rank - 1]] += 1 / np.log2(max(rank, 2))
        for language in answers:
            target[language] += 1
        divergence = jensenshannon(exposure, target, base=2) ** 2
        assert values["AWRF@10"][query] == pytest.approx(1 - divergence, abs=1e-12)


def test_the_ends_of_fairness() -> None:
    """Nothing in common is 0; attention in the shares of the relevant passages is 1."""
    lists = np.array([[0, 0, 0, 1], [0, 1, -1, -1], [-1, -1, -1, -1]])
    ranks = [np.array([4]), np.array([1, 2]), np.array([NOWHERE])]
    topic = np.array([0, 1, 1, 2])
    topics = judged(topic, np.concatenate(ranks), np.ones(4))
    values = language_bias.exposure_fairness(topics, np.array([1, 0, 1, 0]), lists[:, :3])
    assert values[0] == 0 and values[1] == 1 and np.isnan(values[2])


def test_what_was_not_retrieved_has_no_preference_and_no_last_rank() -> None:
    topic = np.array([0, 0, 1, 1])
    topics = judged(topic, np.array([3, NOWHERE, NOWHERE, NOWHERE]), np.ones(4))
    languages, asked = np.array([1, 0, 0, 1]), np.array([1, 1])
    preference = language_bias.language_preference(topics, languages, asked)
    assert preference[0] == 1 and np.isnan(preference[1])
    assert np.isnan(language_bias.last_rank(topics)).all()
