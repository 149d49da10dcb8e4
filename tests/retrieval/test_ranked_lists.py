"""Lists cut anywhere against trec_eval, and whole lists against the ranks of whole pools."""

import json

import numpy as np
import pandas as pd
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.retrieval import evaluated_texts, per_query, ranked_lists
from hybrid_sweep.retrieval.measures import OF_LANGUAGES
from hybrid_sweep.retrieval.ranked_lists import RankedLists
from hybrid_sweep.retrieval.ranking import Dense
from tests.retrieval.test_per_query import KEYS, collection, qrels, texts

NAMES = {"map", "ndcg_cut.10", "recall.100", "success.5", "recall.3"}


def whole(case, depth=None):
    """The lists of every query in every pool, cut at `depth`, by sorting scores."""
    known = evaluated_texts.texts_of(case["queries"], case["passages"])
    score = (
        np.round(case["query_vectors"].astype(float) @ case["passage_vectors"].astype(float).T, 9)
        + 0.0
    )
    rows = []
    for query in range(len(score)):
        for pool in range(len(known.languages) + 1):
            inside = np.flatnonzero((known.passage_lang == pool) | (pool == len(known.languages)))
            order = inside[np.lexsort((known.tie_order[inside], -score[query, inside]))]
            line = score[query, order]
            last = len(line) - np.searchsorted(line[::-1], line, side="left")
            found = zip(order.tolist(), last.tolist(), strict=True)
            rows += [(query, row, pool, rank, end) for rank, (row, end) in enumerate(found, 1)][
                :depth
            ]
    return RankedLists(*np.array(rows, dtype=np.int64).T), np.ones(
        (len(score), len(known.languages) + 1), dtype=bool
    )


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_whole_lists_are_whole_pools(seed):
    case = collection(seed)
    tables = {name: case[name] for name in ("queries", "passages", "qrels")}
    ranker, more = (
        Dense(case["query_vectors"], case["passage_vectors"]),
        [
            "AP-lareqa",
            "success@3",
            "RR@100",
            *OF_LANGUAGES,
        ],
    )
    table, report = per_query.evaluate(**tables, ranker=ranker, measures=more)
    other, other_report = ranked_lists.evaluate(
        **tables, lists=(found := whole(case))[0], asked=found[1], measures=more
    )
    pd.testing.assert_frame_equal(table, other, check_exact=True)
    assert report == other_report


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 12), st.floats(0, 1))
def test_cut_and_missing_lists_equal_trec_eval(seed, depth, missing):
    """trec_eval leaves queries out that the run lacks; with their zeros, the means are those of
    trec_eval -c.
    """
    case, generator = collection(seed), np.random.default_rng(seed)
    found, asked = whole(case, max(depth, 1))
    missing = 1.0 if depth == 0 else missing
    keep = generator.random(len(case["queries"])) >= missing
    keep = keep[found.query]
    found = RankedLists(
        *(getattr(found, name)[keep] for name in ("query", "passage", "pool", "rank", "last"))
    )
    tables = {name: case[name] for name in ("queries", "passages", "qrels")}
    table, report = ranked_lists.evaluate(
        **tables, lists=found, asked=asked, measures=["success@5", "R@3", "AP-lareqa", "Judged@6"]
    )
    queries, passages = case["queries"].to_pylist(), case["passages"].to_pylist()
    number = {row["id"]: place for place, row in enumerate(queries)}
    known = evaluated_texts.texts_of(case["queries"], case["passages"])
    names = [*known.languages, "*"]
    grades = {
        (row["query_group"], row["passage_group"]): row["grade"]
        for row in case["qrels"].to_pylist()
    }
    for row in table.to_dict("records"):
        query, pool = number[row["query_id"]], names.index(row["passage_lang"])
        judged = {
            passage["id"]: grades.get((row["group_id"], passage["group"]), 0)
            for passage in passages
            if row["passage_lang"] in ("*", passage["lang"])
        }
        here = (found.query == query) & (found.pool == pool)
        run = {
            passages[at]["id"]: -float(rank)
            for at, rank in zip(
                found.passage[here].tolist(), found.rank[here].tolist(), strict=True
            )
        }
        expected = (
            pytrec_eval.RelevanceEvaluator({"q": judged}, NAMES).evaluate({"q": run}).get("q", {})
        )
        short = {name: score for name, score in run.items() if score >= -10}
        best = (
            pytrec_eval.RelevanceEvaluator({"q": judged}, {"recip_rank"})
            .evaluate({"q": short})
            .get("q", {})
        )
        ours = [row[name] for name in ("AP", "nDCG@10", "R@100", "success@5", "R@3", "RR@10")]
        keys = ("map", "ndcg_cut_10", "recall_100", "success_5", "recall_3")
        wanted = [*(expected.get(name, 0.0) for name in keys), best.get("recip_rank", 0.0)]
        assert ours == pytest.approx(wanted, abs=1e-9)
        at_six = [name for name, score in run.items() if score >= -6]
        known_group = {passage["id"]: passage["group"] for passage in passages}
        is_judged = [(row["group_id"], known_group[name]) in grades for name in at_six]
        assert row["Judged@6"] == pytest.approx(sum(is_judged) / 6)
        ranks = sorted(-score for name, score in run.items() if judged[name] > 0)
        assert row["n_relevant"] == sum(grade > 0 for grade in judged.values())
        first, last = (ranks or [None])[0], ranks[-1] if len(ranks) == row["n_relevant"] else None
        assert [None if pd.isna(row[name]) else row[name] for name in ("rank_min", "rank_max")] == [
            first,
            last,
        ]
    json.dumps(report, allow_nan=False)


def test_no_rank_no_rank_distance_but_counted():
    """Two of three answers retrieved: no rank distance; the lost answer's reciprocal rank is 0, not
    close to it.
    """
    queries = texts([("q1", "g1", "de"), ("q2", "g1", "fr")])
    passages = texts(
        [("p1", "g1", "de"), ("p2", "g1", "fr"), ("p3", "g1", "it"), ("p4", "g2", "de")]
    )
    found = RankedLists(
        *np.array([(0, 0, 3, 1, 1), (0, 3, 3, 2, 2), (0, 1, 3, 3, 3)], dtype=np.int64).T
    )
    asked = np.zeros((2, 4), dtype=bool)
    asked[:, 3] = True
    table, report = ranked_lists.evaluate(queries, passages, qrels([("g1", "g1", 1)]), found, asked)
    assert table["setting"].tolist() == ["multilingual"] * 2
    assert table["AP"].tolist() == [pytest.approx((1 + 2 / 3) / 3), 0.0]
    assert table["rank_min"].tolist() == [1, pd.NA] and table["rank_max"].isna().all()
    assert table["same@10"].iloc[0] == pytest.approx(2 / 3) and np.isnan(table["same@10"].iloc[1])
    bias = report["bias"]
    none = {"n": 0, "mean": None, "median": None, "relative": None, "not_retrieved": 1}
    assert bias["rank_distance"] == {"de": none, "fr": none}
    # p4 alone stands before p2
    assert bias["answer_rr"] == [[1.0, 0.5, 0.0], [0.0, 0.0, 0.0], [None] * 3]
    assert bias["first_relevant"] == [[1.0, 0.0, 0.0], [None] * 3, [None] * 3]
    assert bias["first_retrieved"] == [[1.0, 0.0, 0.0], [None] * 3, [None] * 3]
    assert report["without_relevant"] == 0
    assert [(cell["query_lang"], cell["passage_lang"], cell["n"]) for cell in report["cells"]] == [
        ("de", "*", 1),
        ("fr", "*", 1),
    ]
    assert table[KEYS].values.tolist() == [
        ["multilingual", "de", "*", "q1"],
        ["multilingual", "fr", "*", "q2"],
    ]
