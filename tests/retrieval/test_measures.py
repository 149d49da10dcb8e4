"""Measures against trec_eval, and by hand."""

from random import Random

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from hybrid_sweep.retrieval import measures
from hybrid_sweep.retrieval.measures import NOWHERE, judged
from tests.refused import refused

NAMES = {
    "P.1",
    "P.10",
    "Rprec",
    "map_cut.10",
    "recip_rank",
    "map",
    "ndcg_cut.5",
    "ndcg_cut.10",
    "recall.3",
    "recall.100",
    "success.5",
    "success.1",
}


def trec(ranks: list[dict[int, int]]) -> list[dict[str, float]]:
    """trec_eval's measures of topics given as {rank: grade}, from a run whose scores are -rank."""
    qrels = {
        str(topic): {f"d{rank}": grade for rank, grade in found.items()}
        for topic, found in enumerate(ranks)
    }
    run = {
        str(topic): {f"d{rank}": float(-rank) for rank in range(1, max(found) + 1)}
        for topic, found in enumerate(ranks)
    }
    results = pytrec_eval.RelevanceEvaluator(qrels, NAMES).evaluate(run)
    cut = {
        topic: {doc: score for doc, score in docs.items() if score >= -10}
        for topic, docs in run.items()
    }
    short = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(cut)
    return [
        {**results[str(topic)], "rr_10": short[str(topic)]["recip_rank"]}
        for topic in range(len(ranks))
    ]


@given(
    st.lists(
        st.dictionaries(st.integers(1, 130), st.integers(1, 4), min_size=1, max_size=12),
        min_size=1,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_equal_to_trec_eval(ranks: list[dict[int, int]], random: Random) -> None:
    entries = [
        (topic * 7, rank, grade)
        for topic, found in enumerate(ranks)
        for rank, grade in found.items()
    ]
    random.shuffle(entries)
    topics = judged(*np.array(entries, dtype=np.int64).T)
    assert topics.topic.tolist() == [topic * 7 for topic in range(len(ranks))]
    ours = {
        "rr_10": measures.reciprocal_rank(topics, 10),
        "recip_rank": measures.reciprocal_rank(topics, 1000),
        "map": measures.average_precision(topics),
        "ndcg_cut_5": measures.ndcg(topics, 5),
        "ndcg_cut_10": measures.ndcg(topics, 10),
        "recall_3": measures.recall(topics, 3),
        "recall_100": measures.recall(topics, 100),
        "success_5": measures.success(topics, 5),
        "success_1": measures.success(topics, 1),
    }
    by_name = {
        "recip_rank": "RR",
        "map_cut_10": "AP@10",
        "P_1": "P@1",
        "P_10": "P@10",
        "Rprec": "Rprec",
        "success_5": "Success@5",
        "recall_3": "R@3",
    }
    ours |= {name: measures.compute(topics, ir_name) for name, ir_name in by_name.items()}
    for topic, expected in enumerate(trec(ranks)):
        for name, values in ours.items():
            assert values[topic] == pytest.approx(expected[name], abs=1e-9), name


@given(
    st.lists(
        st.dictionaries(st.integers(1, 30), st.integers(1, 4), min_size=1, max_size=8),
        min_size=1,
        max_size=5,
    ),
    st.integers(2, 4),
)
def test_a_least_grade_is_trec_evals_level(ranks: list[dict[int, int]], least: int) -> None:
    entries = [(topic, rank, grade) for topic, at in enumerate(ranks) for rank, grade in at.items()]
    topics = judged(*np.array(entries, dtype=np.int64).T)
    qrels = {
        str(topic): {f"d{rank}": grade for rank, grade in found.items()}
        for topic, found in enumerate(ranks)
    }
    run = {topic: {f"d{rank}": float(-rank) for rank in range(1, 31)} for topic in qrels}
    names = {"P.5", "Rprec", "map", "recip_rank", "recall.10", "success.5"}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, names, relevance_level=least).evaluate(run)
    asked = {
        "P_5": "P({})@5",
        "Rprec": "Rprec({})",
        "map": "AP({})",
        "recip_rank": "RR({})",
        "recall_10": "R({})@10",
        "success_5": "Success({})@5",
    }
    for name, ours in asked.items():
        found = measures.compute(topics, ours.format(f"rel={least}"))
        expected = [theirs[str(topic)][name] for topic in range(len(ranks))]
        assert found == pytest.approx(expected, abs=1e-9), name


@given(
    st.lists(
        st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=25).filter(
            lambda pool: any(relevant for _, relevant in pool)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_lareqas_precision_is_scikit_learns_on_real_ties(
    pools: list[list[tuple[int, bool]]],
) -> None:
    rows = []
    for topic, pool in enumerate(pools):
        order = sorted(range(len(pool)), key=lambda at: -pool[at][0])
        for rank, at in enumerate(order, 1):
            if pool[at][1]:
                rows.append((topic, rank, 1, sum(score >= pool[at][0] for score, _ in pool)))
    found = measures.compute(judged(*np.array(rows).T), "AP-lareqa")
    expected = [
        average_precision_score([relevant for _, relevant in pool], [score for score, _ in pool])
        for pool in pools
    ]
    assert found == pytest.approx(expected, abs=1e-9)


def test_without_ties_lareqas_precision_is_trec_evals() -> None:
    topics = judged(np.array([0, 0, 0, 4]), np.array([7, 2, 30, 1]), np.ones(4))
    assert (measures.compute(topics, "AP-lareqa") == measures.compute(topics, "AP")).all()


def test_what_is_not_retrieved_adds_exactly_nothing() -> None:
    topics = judged(np.array([0, 0, 1]), np.array([2, NOWHERE, NOWHERE]), np.array([1, 3, 2]))
    found = measures.measured(
        topics, ["success@1000", "AP-lareqa", "R@1000", "nDCG@100", "RR@1000"]
    )
    assert found["AP"].tolist() == found["AP-lareqa"].tolist() == [0.25, 0.0]
    assert found["R@1000"].tolist() == [0.5, 0.0] and found["success@1000"].tolist() == [1.0, 0.0]
    assert found["nDCG@100"].tolist() == [
        pytest.approx((1 / np.log2(3)) / (3 + 1 / np.log2(3))),
        0.0,
    ]
    assert found["RR@1000"].tolist() == [0.5, 0.0]


def test_names_of_measures() -> None:
    topics = judged(np.zeros(1, int), np.array([3]), np.ones(1))
    found = measures.measured(topics, ["R@2", "AP", "RR@3", "success@3"])
    assert list(found)[3:] == ["RR@10", "AP", "nDCG@10", "R@100", "R@2", "RR@3", "success@3"]
    assert (found["R@2"], found["RR@3"], found["success@3"]) == (0, 1 / 3, 1)
    for name in (
        "MRR@10",
        "P",
        "Rprec@5",
        "AP(rel=0)",
        "nDCG(rel=2)@10",
        "Judged",
        "RR@0",
        "RR@010",
        "R@1.5",
        "ndcg@10",
        "success@",
        "",
        "R@٣",
    ):
        with refused("config.eval.measures", repr(name)):
            measures.measured(topics, [name])


def test_graded_gain_is_raw_and_discount_base_two() -> None:
    topics = judged(np.zeros(2, int), np.array([1, 3]), np.array([1, 3]))
    assert measures.ndcg(topics, 10)[0] == pytest.approx(
        (1 + 3 / 2) / (3 + 1 / np.log2(3)), abs=1e-12
    )


def test_cut_off_is_inclusive() -> None:
    topics = judged(np.array([0, 1]), np.array([10, 11]), np.ones(2))
    assert measures.reciprocal_rank(topics, 10).tolist() == [0.1, 0.0]
    assert measures.recall(topics, 10).tolist() == [1.0, 0.0]
    assert measures.success(topics, 10).tolist() == [1.0, 0.0]


def test_no_topic() -> None:
    topics = judged(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    for values in (
        measures.reciprocal_rank(topics, 10),
        measures.average_precision(topics),
        measures.ndcg(topics, 10),
        measures.recall(topics, 10),
        measures.success(topics, 10),
    ):
        assert values.shape == (0,)


def test_entry_leads_back_to_the_input() -> None:
    topic, rank = np.array([5, 2, 5, 2]), np.array([4, 9, 3, 1])
    topics = judged(topic, rank, np.array([1, 2, 3, 4]))
    assert topic[topics.entry].tolist() == [2, 2, 5, 5] and rank[topics.entry].tolist() == [
        1,
        9,
        3,
        4,
    ]
    assert topics.grade.tolist() == [4, 2, 3, 1] and topics.place.tolist() == [0, 1, 0, 1]
