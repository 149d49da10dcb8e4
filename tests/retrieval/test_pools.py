"""Smaller pools against trec_eval on the sorted lists of each query's own pool."""

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.config.schema import Bm25Model
from hybrid_sweep.retrieval import bm25, evaluated_texts, per_query, pools, topic_ranks
from hybrid_sweep.retrieval.measures import CORRELATION, OF_LANGUAGES
from hybrid_sweep.retrieval.ranking import Dense
from tests.retrieval.test_per_query import KEYS, by_trec_eval, collection, texts


def part(case: dict[str, Any], size: int) -> set[str]:
    inside = pools.drawn(case["passages"], size)
    return set(case["passages"]["id"].filter(pa.array(inside)).to_pylist())


def alone(case: dict[str, Any], query: int, size: int) -> dict[str, Any]:
    """The case of one query: the part that is drawn, and the query's own relevant passages."""
    asked = case["queries"].slice(query, 1)
    group = asked["group"][0].as_py()
    own = {
        row["passage_group"]
        for row in case["qrels"].to_pylist()
        if row["query_group"] == group and row["grade"] > 0
    }
    kept = part(case, size)
    rows = [
        n
        for n, row in enumerate(case["passages"].to_pylist())
        if row["id"] in kept or row["group"] in own
    ]
    return {
        **case,
        "queries": asked,
        "passages": case["passages"].take(rows),
        "query_vectors": case["query_vectors"][query : query + 1],
        "passage_vectors": case["passage_vectors"][rows],
    }


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 1.0]), st.integers(1, 16))
def test_each_query_searches_the_part_and_its_own_passages(
    seed: int, presence: float, size: int
) -> None:
    case = collection(seed, presence=presence)
    ranker = Dense(case["query_vectors"], case["passage_vectors"])
    table, report = pools.evaluate(case["queries"], case["passages"], case["qrels"], ranker, size)
    expected = {}
    for query in range(len(case["queries"])):
        expected |= by_trec_eval(alone(case, query, size))
    assert [tuple(row) for row in table[KEYS].to_numpy()] == sorted(expected)
    kept = len(part(case, size))
    for row in table.to_dict("records"):
        values = expected[tuple(row[key] for key in KEYS)]
        if kept < topic_ranks.SAME_AT:  # of a shorter list another share
            values = {name: value for name, value in values.items() if name != "same@10"}
        for name, value in values.items():
            assert row[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name
    assert report["passages"]["*"] == kept and sum(report["passages"].values()) == 2 * kept


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_ties_with_what_is_outside_count_too(seed: int, size: int) -> None:
    """A block of equal scores ends where its last passage stands, be that one of the part or the
    query's own.
    """
    # of 14 passages in a language 5 have the vector of another
    case = collection(seed, presence=1.0)
    tables = (case["queries"], case["passages"], case["qrels"])
    measures = ["AP-lareqa", *OF_LANGUAGES]
    measures.remove(CORRELATION)  # one query has no other language version
    if pools.drawn(case["passages"], size).sum() < topic_ranks.SAME_AT:
        measures.remove("AWRF@10")  # of a shorter list, as same@10
    ranker = Dense(case["query_vectors"], case["passage_vectors"])
    table = pools.evaluate(*tables, ranker, size, measures=measures)[0].set_index(KEYS)
    for number in range(0, len(case["queries"]), 7):
        one = alone(case, number, size)
        ranker = Dense(one["query_vectors"], one["passage_vectors"])
        own = per_query.evaluate(
            one["queries"], one["passages"], one["qrels"], ranker, measures=measures
        )[0]
        for name in measures:
            values = table.loc[own.set_index(KEYS).index, name].to_numpy()
            expected = own[name].to_numpy(copy=True)
            assert values == pytest.approx(expected, abs=1e-12, nan_ok=True), name


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=10)
def test_a_part_with_everything_is_the_whole(seed: int) -> None:
    case = collection(seed)
    ranker = Dense(case["query_vectors"], case["passage_vectors"])
    tables = (case["queries"], case["passages"], case["qrels"])
    table, report = pools.evaluate(*tables, ranker, 10**6)
    whole, known = per_query.evaluate(*tables, ranker)
    assert table.equals(whole) and report == known


@given(st.integers(0, 10**6), st.permutations(range(30)))
@settings(deadline=None, max_examples=25)
def test_parts_are_nested_alike_in_all_languages_and_in_any_order_of_rows(
    seed: int, order: list[int]
) -> None:
    rows = [(f"{group}-{lang}", f"{seed}-{group}", lang) for group in range(10) for lang in "abc"]
    sizes = [
        set(row[0] for row, kept in zip(rows, pools.drawn(texts(rows), size), strict=True) if kept)
        for size in range(12)
    ]
    assert all(small <= large for small, large in itertools.pairwise(sizes))
    assert [len(each) for each in sizes] == [3 * min(size, 10) for size in range(12)]
    groups = {word.split("-")[0] for word in sizes[4]}
    assert sizes[4] == {f"{group}-{lang}" for group in groups for lang in "abc"}
    shuffled = [rows[number] for number in order]
    drawn = pools.drawn(texts(shuffled), 4)
    assert {row[0] for row, kept in zip(shuffled, drawn, strict=True) if kept} == sizes[4]


def test_which_passages_are_drawn_does_not_change_between_versions() -> None:
    rows = [(f"{number}", f"group {number}", "en") for number in range(40)]
    assert np.flatnonzero(pools.drawn(texts(rows), 5)).tolist() == [3, 5, 12, 19, 23]


def test_words_rank_in_a_part_as_they_do_in_the_whole() -> None:
    rng = np.random.default_rng(0)
    words = [" ".join(f"w{number}" for number in rng.integers(0, 60, 12)) for _ in range(60)]
    rows = [
        (f"{number % 30}-{lang}", f"g{number % 30}", lang)
        for number, lang in enumerate("a" * 30 + "b" * 30)
    ]
    passages = texts(rows).append_column("text", pa.array(words))
    queries = texts(rows).append_column(
        "text", pa.array([" ".join(text.split()[:4]) for text in words])
    )
    groups = pa.array([f"g{number}" for number in range(30)])
    qrels = pa.table(
        {"query_group": groups, "passage_group": groups, "grade": pa.array([1] * 30, pa.int32())}
    )
    model = Bm25Model(name="bm25", stem=False)
    ranker = bm25.build(queries, passages, model, print, None)
    table, _ = pools.evaluate(queries, passages, qrels, ranker, 7)
    # The order of the whole, from its lists, which are made in another way than its counts.
    kept, order = (
        pools.drawn(passages, 7),
        ranker.top(60, evaluated_texts.texts_of(queries, passages).tie_order)[0],
    )
    languages, groups, ids = (passages[name].to_pylist() for name in ("lang", "group", "id"))
    at = {word: number for number, word in enumerate(ids)}
    for row in table.to_dict("records"):
        own = [kept[each] or groups[each] == row["group_id"] for each in order[at[row["query_id"]]]]
        mine = [
            each
            for each, there in zip(order[at[row["query_id"]]].tolist(), own, strict=True)
            if there
        ]
        pool = [each for each in mine if row["passage_lang"] in ("*", languages[each])]
        ranks = [rank for rank, each in enumerate(pool, 1) if groups[each] == row["group_id"]]
        assert (row["rank_min"], row["rank_max"]) == (ranks[0], ranks[-1])
