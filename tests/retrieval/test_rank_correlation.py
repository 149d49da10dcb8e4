"""Mean rank correlation against sorted lists and SciPy's Spearman correlation, query by query."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from hybrid_sweep.retrieval import per_query, pools, rank_correlation, ranked_lists
from hybrid_sweep.retrieval.measures import CORRELATION
from hybrid_sweep.retrieval.ranking import Dense
from tests.retrieval.test_per_query import collection, texts, with_own
from tests.retrieval.test_ranked_lists import whole

NAMES = [CORRELATION]


def dense(case: dict[str, Any]) -> Dense:
    return Dense(case["query_vectors"], case["passage_vectors"])


def tables(case: dict[str, Any]) -> tuple[Any, Any, Any]:
    return case["queries"], case["passages"], case["qrels"]


def full_lists(case: dict[str, Any], left_out: dict[int, set[str]]) -> list[list[str]]:
    """The ids of all passages that a query searches, in order, by scores of nine decimals."""
    ids = case["passages"]["id"].to_pylist()
    product = case["query_vectors"].astype(float) @ case["passage_vectors"].T.astype(float)
    lists = []
    for query, line in enumerate(np.round(product, 9)):
        order = sorted(range(len(ids)), key=lambda row: (-line[row], ids[row].encode()))
        out = left_out.get(query, set())
        lists.append([ids[row] for row in order if ids[row] not in out])
    return lists


def brute_force(
    queries: list[dict[str, str]], lists: list[list[str]], own: list[str] | None = None
) -> dict[str, float]:
    """The measure of each query that has another language version with a list."""
    values: dict[str, float] = {}
    for one, asked in enumerate(queries):
        correlations = []
        for other, version in enumerate(queries):
            if version["group"] != asked["group"] or version["lang"] == asked["lang"]:
                continue
            union = [*dict.fromkeys([*lists[one][:10], *lists[other][:10]])]
            if own is not None:
                union = [passage for passage in union if passage not in (own[one], own[other])]
            places = []
            for ranked in (lists[one], lists[other]):
                places.append(
                    [ranked.index(name) if name in ranked else len(ranked) for name in union]
                )
            if min(len(set(place)) for place in places) > 1:
                correlations.append(spearmanr(*places).statistic)
        if correlations:
            values[asked["id"]] = float(np.mean(correlations))
    return values


def check(table: Any, expected: dict[str, float]) -> None:
    """Every row of the pool of all languages has the value, and no other row has one."""
    mixed = table["passage_lang"] == "*"
    assert table.loc[~mixed, CORRELATION].isna().all()
    for row in table[mixed].to_dict("records"):
        value = expected.get(row["query_id"], np.nan)
        assert row[CORRELATION] == pytest.approx(value, abs=1e-12, nan_ok=True)
    assert set(expected) & set(table.loc[mixed, "query_id"])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cells", [1, 2**20])
def test_it_is_the_mean_of_spearmans_correlations_of_the_first_ten(
    seed: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With equal scores, which the ids decide, and however many pairs are held at a time."""
    monkeypatch.setattr(rank_correlation, "CELLS", cells)
    case = collection(seed)
    table, _ = per_query.evaluate(*tables(case), dense(case), measures=NAMES)
    check(table, brute_force(case["queries"].to_pylist(), full_lists(case, {})))


@pytest.mark.parametrize("seed", range(3))
def test_lists_of_a_run_file_that_end_leave_the_rest_at_one_rank(seed: int) -> None:
    case = collection(seed)
    for depth in (1, 4, 12):
        lists, asked = whole(case, depth)
        table, _ = ranked_lists.evaluate(*tables(case), lists, asked, measures=NAMES)
        cut = [ranked[:depth] for ranked in full_lists(case, {})]
        check(table, brute_force(case["queries"].to_pylist(), cut))


@pytest.mark.parametrize("seed", range(4))
def test_a_smaller_pool_is_the_part_and_the_passages_of_the_question(seed: int) -> None:
    case = collection(seed, presence=1.0)
    size = 5
    table, _ = pools.evaluate(*tables(case), dense(case), size, measures=NAMES)
    inside = pools.drawn(case["passages"], size)
    passages = case["passages"].to_pylist()
    left_out = {}
    for query, asked in enumerate(case["queries"].to_pylist()):
        mine = set()
        for row in case["qrels"].to_pylist():
            if row["query_group"] == asked["group"] and row["grade"] > 0:
                mine.add(row["passage_group"])
        left_out[query] = {
            row["id"]
            for row, is_drawn in zip(passages, inside, strict=True)
            if not is_drawn and row["group"] not in mine
        }
    check(table, brute_force(case["queries"].to_pylist(), full_lists(case, left_out)))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_own_documents_of_both_versions_are_left_out(seed: int) -> None:
    case = with_own(seed, 14)
    table, _ = per_query.evaluate(*tables(case), dense(case), measures=NAMES, without_own=True)
    queries = case["queries"].to_pylist()
    own = [row["id"] for row in queries]
    left_out = {query: {name} for query, name in enumerate(own)}
    check(table, brute_force(queries, full_lists(case, left_out), own))


def test_equal_lists_are_1_and_reversed_lists_are_minus_1() -> None:
    queries = texts([("a", "g", "de"), ("b", "g", "en"), ("c", "h", "de"), ("d", "h", "en")])
    scores = np.array([[3.0, 2, 1], [3, 2, 1], [3, 2, 1], [1, 2, 3]])
    top = np.argsort(-scores, axis=1)
    values = rank_correlation.mean_rank_correlation(
        queries, top, lambda query, passage: scores[query, passage], np.arange(3)
    )
    assert values == pytest.approx([1, 1, -1, -1])


def test_versions_in_the_same_language_and_single_ones_have_none() -> None:
    queries = texts([("a", "g", "de"), ("b", "g", "de"), ("c", "h", "de")])
    scores = np.array([[2.0, 1], [2, 1], [1, 2]])
    values = rank_correlation.mean_rank_correlation(
        queries,
        np.argsort(-scores, axis=1),
        lambda query, passage: scores[query, passage],
        np.arange(2),
    )
    assert np.isnan(values).all()


def test_passages_of_equal_score_stand_in_the_order_of_their_ids() -> None:
    queries = texts([("a", "g", "de"), ("b", "g", "en")])
    scores = np.array([[2.0, 2, 1], [1, 3, 2]])
    for tie_order, expected in (([0, 1, 2], -0.5), ([1, 0, 2], 0.5)):
        ties = np.array(tie_order)
        values = rank_correlation.mean_rank_correlation(
            queries,
            np.array([[0, 1, 2], [1, 2, 0]]),
            lambda query, passage: scores[query, passage],
            ties,
        )
        assert values == pytest.approx([expected, expected])
