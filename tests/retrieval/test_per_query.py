"""The per-query table against trec_eval and brute force, on collections with gaps, grades and
duplicates.
"""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from hybrid_sweep.retrieval import per_query
from hybrid_sweep.retrieval.ranking import Dense
from tests.refused import refused

KEYS = ["setting", "query_lang", "passage_lang", "query_id"]
COLUMNS = [
    *KEYS[:3],
    "group_id",
    "query_id",
    "n_relevant",
    "rank_min",
    "rank_max",
    "RR@10",
    "AP",
    "nDCG@10",
    "R@100",
    "same@10",
]


def texts(rows: list[tuple[str, str, str]]) -> pa.Table:
    return pa.table(
        {
            name: pa.array(column, pa.string())
            for name, column in zip(("id", "group", "lang"), zip(*rows, strict=True), strict=True)
        }
    )


def qrels(rows: list[tuple[str, str, int]]) -> pa.Table:
    queries, passages, grades = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "query_group": pa.array(queries, pa.string()),
            "passage_group": pa.array(passages, pa.string()),
            "grade": pa.array(grades, pa.int32()),
        }
    )


def unit(array: np.ndarray) -> np.ndarray:
    return (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)


def collection(seed: int, *, groups: int = 14, presence: float = 0.7) -> dict[str, Any]:
    """Questions and passages missing in some languages, up to four graded passages a question,
    duplicate vectors.
    """
    generator = np.random.default_rng(seed)
    # "B" < "a" < "é" in bytes, not in most locales; "mute" has queries and no passages.
    languages = ["a", "B", "é"]
    present = generator.random((2, len(languages) + 1, groups)) < presence
    queries = [
        (f"q{generator.integers(10**6)}-{g}-{lang}", f"g{g}", lang)
        for index, lang in enumerate([*languages, "mute"])
        for g in range(groups)
        if present[0, index, g]
    ]
    passages = [
        (f"p{generator.integers(10**6)}-{g}-{lang}", f"h{g}", lang)
        for index, lang in enumerate(languages)
        for g in range(groups)
        if present[1, index, g]
    ]
    judged = [
        (f"g{g}", f"h{h}", int(generator.integers(0, 4)))
        for g in range(groups)
        for h in generator.choice(groups, generator.integers(0, 5), replace=False)
    ]
    vectors = unit(generator.standard_normal((groups, 8)))
    return {
        "queries": texts(queries),
        "passages": texts(passages),
        "qrels": qrels(judged),
        "query_vectors": unit(
            vectors[[int(g[1:]) for _, g, _ in queries]]
            + 0.3 * generator.standard_normal((len(queries), 8))
        ),
        "passage_vectors": vectors[[int(h[1:]) % 9 for _, h, _ in passages]],
    }


def evaluate(
    queries: pa.Table,
    passages: pa.Table,
    qrels: pa.Table,
    query_vectors: np.ndarray,
    passage_vectors: np.ndarray,
    **options: Any,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    return per_query.evaluate(
        queries, passages, qrels, Dense(query_vectors, passage_vectors), **options
    )


def by_trec_eval(
    case: dict[str, Any], with_judged: bool = False
) -> dict[tuple[str, ...], dict[str, float]]:
    """Each setting by sorting its pool in float64 and giving trec_eval the list, with -rank as the
    score.
    """
    queries, passages = case["queries"].to_pylist(), case["passages"].to_pylist()
    grades = {
        (row["query_group"], row["passage_group"]): row["grade"]
        for row in case["qrels"].to_pylist()
    }
    score = np.round(
        case["query_vectors"].astype(float) @ case["passage_vectors"].astype(float).T, 9
    )
    languages = sorted({row["lang"] for row in queries} | {row["lang"] for row in passages})
    found = {}
    for at, query in enumerate(queries):
        for target in [*languages, "*"]:
            pool = [row for row, passage in enumerate(passages) if target in ("*", passage["lang"])]
            pool.sort(key=lambda row: (-score[at, row], passages[row]["id"]))
            relevant = {
                passages[row]["id"]: grades.get((query["group"], passages[row]["group"]), 0)
                for row in pool
            }
            ranks = [rank for rank, row in enumerate(pool, 1) if relevant[passages[row]["id"]] > 0]
            if not ranks:
                continue
            run = {passages[row]["id"]: -float(rank) for rank, row in enumerate(pool, 1)}
            names = {"map", "ndcg_cut.10", "recall.100"}
            long = pytrec_eval.RelevanceEvaluator({"q": relevant}, names).evaluate({"q": run})["q"]
            cut = {name: value for name, value in run.items() if value >= -10}
            short = pytrec_eval.RelevanceEvaluator({"q": relevant}, {"recip_rank"}).evaluate(
                {"q": cut}
            )["q"]
            same = (
                np.mean([passages[row]["lang"] == query["lang"] for row in pool[:10]])
                if target == "*" and query["lang"] in {row["lang"] for row in passages}
                else np.nan
            )
            setting = (
                "multilingual"
                if target == "*"
                else "monolingual"
                if target == query["lang"]
                else "cross-lingual"
            )
            found[setting, query["lang"], target, query["id"]] = {
                "n_relevant": len(ranks),
                "rank_min": min(ranks),
                "rank_max": max(ranks),
                "RR@10": short["recip_rank"],
                "AP": long["map"],
                "nDCG@10": long["ndcg_cut_10"],
                "R@100": long["recall_100"],
                "same@10": same,
            }
            if with_judged:
                first = [passages[row] for row in pool[:4]]
                number = sum((query["group"], passage["group"]) in grades for passage in first)
                found[setting, query["lang"], target, query["id"]]["Judged@4"] = number / 4
    return found


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.4, 0.7, 1.0]))
def test_table_equals_trec_eval_on_sorted_pools(seed: int, presence: float) -> None:
    case = collection(seed, presence=presence)
    table, report = evaluate(**case, measures=["Judged@4"])
    plain, plain_report = evaluate(**case)
    pd.testing.assert_frame_equal(table[plain.columns], plain, check_exact=True)
    assert report == plain_report
    expected = by_trec_eval(case, with_judged=True)
    assert [tuple(row) for row in table[KEYS].to_numpy()] == sorted(expected)
    for row in table.to_dict("records"):
        values = expected[tuple(row[key] for key in KEYS)]
        assert [row[name] for name in values] == pytest.approx(
            list(values.values()), abs=1e-9, nan_ok=True
        )
    group = dict(
        zip(case["queries"]["id"].to_pylist(), case["queries"]["group"].to_pylist(), strict=True)
    )
    assert table["group_id"].tolist() == [group[name] for name in table["query_id"]]


def test_columns_and_types() -> None:
    table, _ = evaluate(**collection(0))
    assert table.columns.tolist() == COLUMNS
    types = [str(dtype) for dtype in table.dtypes]
    assert types == ["str"] * 5 + ["int32", "int64", "int64"] + ["float64"] * 5
    without = (table["setting"] != "multilingual") | (table["query_lang"] == "mute")
    assert (table["same@10"].isna() == without).all() and "mute" in set(table["query_lang"])


def test_a_pool_of_one_language_has_no_share_of_languages() -> None:
    """It would be 1 whatever the ranking; the other measures stay."""
    case = collection(1)
    rows = [row for row, lang in enumerate(case["passages"]["lang"].to_pylist()) if lang == "a"]
    one = {
        "passages": case["passages"].take(rows),
        "passage_vectors": case["passage_vectors"][rows],
    }
    table, _ = evaluate(**{**case, **one}, measures=["AWRF@10", "Max@R", "MRC@10"])
    pooled = table[table["setting"] == "multilingual"]
    assert len(pooled) and pooled[["same@10", "AWRF@10"]].isna().all(axis=None)
    assert pooled["Max@R"].notna().any() and pooled["MRC@10"].notna().any()


def test_measures_asked_for_are_further_columns_and_unknown_ones_are_refused() -> None:
    case = collection(4)
    table, _ = evaluate(**case, measures=["success@3", "AP-lareqa", "RR@10"])
    plain, _ = evaluate(**case)
    assert sorted(set(table.columns) - set(plain.columns)) == ["AP-lareqa", "success@3"]
    pd.testing.assert_frame_equal(table[plain.columns], plain)
    assert (table["success@3"] == (table["rank_min"] <= 3)).all()
    with refused("config.eval.measures", "'MAP'"):
        evaluate(**case, measures=["MAP"])


def test_lareqas_precision_of_the_mixed_pool_is_scikit_learns() -> None:
    """Duplicate vectors: real ties, within a language and across languages."""
    case = collection(6, presence=1.0)
    table, _ = evaluate(**case, measures=["AP-lareqa"])
    passages, number = case["passages"].to_pylist(), case["queries"]["id"].to_pylist().index
    grades = {
        (row["query_group"], row["passage_group"]): row["grade"]
        for row in case["qrels"].to_pylist()
    }
    score = np.round(
        case["query_vectors"].astype(float) @ case["passage_vectors"].astype(float).T, 9
    )
    assert (table["AP-lareqa"] != table["AP"]).any()
    for row in table.to_dict("records"):
        pool = [
            at
            for at, passage in enumerate(passages)
            if row["passage_lang"] in ("*", passage["lang"])
        ]
        relevant = [grades.get((row["group_id"], passages[at]["group"]), 0) > 0 for at in pool]
        expected = average_precision_score(relevant, score[number(row["query_id"]), pool])
        assert row["AP-lareqa"] == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_nothing_depends_on_the_order_of_the_input(seed: int) -> None:
    case, generator = collection(seed), np.random.default_rng(seed)
    moved = dict(case)
    for name in ("query", "passage"):
        plural = {"query": "queries", "passage": "passages"}[name]
        rows = generator.permutation(len(case[plural]))
        moved[plural], moved[f"{name}_vectors"] = (
            case[plural].take(rows),
            case[f"{name}_vectors"][rows],
        )
    moved["qrels"] = case["qrels"].take(generator.permutation(len(case["qrels"])))
    (table, report), (other, other_report) = evaluate(**case), evaluate(**moved)
    pd.testing.assert_frame_equal(table, other, check_exact=True)
    for name in ("queries", "passages", "cells", "without_relevant"):
        assert report[name] == other_report[name]


def test_shuffled_judgements_give_chance() -> None:
    """A near-perfect encoder, one relevant passage drawn at random: E RR@10 = sum of 1/r to 10 over
    N, rank uniform.
    """
    size, generator = 1500, np.random.default_rng(11)
    passages = texts([(f"p{row:05d}", f"g{row}", "xx") for row in range(size)])
    queries = texts([(f"q{row:05d}", f"g{row}", "xx") for row in range(size)])
    vectors = unit(generator.standard_normal((size, 16)))
    true = qrels([(f"g{row}", f"g{row}", 1) for row in range(size)])
    shuffled = qrels(
        [(f"g{row}", f"g{other}", 1) for row, other in enumerate(generator.permutation(size))]
    )
    assert evaluate(queries, passages, true, vectors, vectors)[0]["RR@10"].mean() == 1
    table = evaluate(queries, passages, shuffled, vectors, vectors)[0].query(
        "setting == 'monolingual'"
    )
    ranks = np.arange(1, 11)
    mean = (1 / ranks).sum() / size
    error = ((1 / ranks**2).sum() / size - mean**2) ** 0.5 / size**0.5
    assert abs(table["RR@10"].mean() - mean) < 4 * error
    assert (
        abs(table["rank_min"].mean() - (size + 1) / 2)
        < 4 * (size**2 - 1) ** 0.5 / 12**0.5 / size**0.5
    )


def test_report_counts_what_the_table_leaves_out() -> None:
    queries = texts(
        [("q1", "g1", "de"), ("q2", "g1", "fr"), ("q3", "g2", "de"), ("q4", "g3", "fr")]
    )
    passages = texts(
        [("p1", "g1", "de"), ("p2", "g2", "fr"), ("p3", "g1", "fr"), ("p4", "g9", "fr")]
    )
    vectors = np.eye(4, dtype=np.float32)
    judged = qrels([("g1", "g1", 2), ("g2", "g2", 1), ("g3", "g9", 0)])
    table, report = evaluate(queries, passages, judged, vectors, vectors)
    assert report["queries"] == 4 and report["without_relevant"] == 1
    assert report["passages"] == {"de": 1, "fr": 3, "*": 4}
    cells = {
        (cell["setting"], cell["query_lang"], cell["passage_lang"]): (
            cell["n"],
            cell["without_relevant"],
        )
        for cell in report["cells"]
    }
    assert cells == {
        ("monolingual", "de", "de"): (1, 1),
        ("cross-lingual", "de", "fr"): (2, 0),
        ("multilingual", "de", "*"): (2, 0),
        ("cross-lingual", "fr", "de"): (1, 1),
        ("monolingual", "fr", "fr"): (1, 1),
        ("multilingual", "fr", "*"): (1, 1),
    }
    assert table.groupby(KEYS[:3]).size().to_dict() == {
        key: n for key, (n, _) in cells.items() if n
    }
    # q1 ranks p1 (its own vector), then the rest, tied at 0, by id: its two answers stand at 1 and
    # 3.
    bias = report["bias"]
    assert bias["languages"] == ["de", "fr"]
    assert bias["rank_distance"]["de"] == {
        "n": 1,
        "mean": 2.0,
        "median": 2.0,
        "relative": pytest.approx(2 / (5 / 3)),
    }
    assert bias["first_retrieved"] == [[0.5, 0.5], [0.0, 1.0]]  # q1: p1, q3: p3; q2: p2, q4: p4
    assert bias["first_relevant"] == [[0.5, 0.5], [1.0, 0.0]]
    # q3: p3, then p1, p2 tied
    assert bias["answer_rr"][0] == [1.0, pytest.approx((1 / 2 + 1 / 3) / 2)]
    json.dumps(report, allow_nan=False)


def test_grade_zero_only_gives_an_empty_table() -> None:
    table, report = evaluate(**{**collection(1), "qrels": qrels([("g1", "h1", 0)])})
    assert table.columns.tolist() == COLUMNS and len(table) == 0
    assert report["without_relevant"] == report["queries"]
    json.dumps(report, allow_nan=False)


def test_bad_input() -> None:
    case = collection(2)
    with refused("data.judged_twice", "'h1'", "'g1'"):
        evaluate(**{**case, "qrels": qrels([("g1", "h1", 1), ("g1", "h1", 2)])})
    with refused("evaluation.no_texts", "passage"):
        evaluate(
            **{
                **case,
                "passages": case["passages"].slice(0, 0),
                "passage_vectors": case["passage_vectors"][:0],
            }
        )
    with pytest.raises(ValueError, match=f"passage vectors for {len(case['passages'])} texts"):
        evaluate(**{**case, "passage_vectors": case["passage_vectors"][:-1]})
    with pytest.raises(ValueError, match=r"ranker of \d+ queries for"):
        evaluate(**{**case, "query_vectors": case["query_vectors"][:-1]})
    broken = case["query_vectors"].copy()
    broken[:2] = np.inf
    with refused("model.diverged", f"2 of {len(broken)} query vectors"):
        evaluate(**{**case, "query_vectors": broken})


def test_neither_torch_nor_faiss_is_imported_with_the_module() -> None:
    """Torch must come before Faiss in a process (both bring OpenMP); the order is the caller's."""
    code = "import sys, hybrid_sweep.retrieval.per_query; assert not {'torch', 'faiss'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def with_own(seed: int, groups: int) -> dict[str, Any]:
    """A collection some of whose queries have ids of passages, relevant or not, and of tied ones."""
    case, generator = collection(seed, groups=groups), np.random.default_rng(seed)
    queries, passages = case["queries"], case["passages"]
    ids, names = queries["id"].to_pylist(), passages["id"].to_pylist()
    for at, name in zip(range(0, len(ids), 2), generator.permutation(names), strict=False):
        ids[at] = str(name)
    few = case["passage_vectors"][np.arange(len(names)) % 3]  # ties in every pool
    named = queries.set_column(0, "id", pa.array(ids, pa.string()))
    return case | {
        "queries": named,
        "passage_vectors": few if seed % 2 else case["passage_vectors"],
    }


@pytest.mark.parametrize(("seed", "groups"), [(0, 14), (1, 14), (2, 14), (3, 4), (4, 3)])
def test_without_its_own_document_a_query_is_as_if_that_were_not_there(seed, groups):
    case = with_own(seed, groups)
    tied: dict[str, Any] = {"measures": ["AP-lareqa"]}  # looks at tied scores
    whole, _ = evaluate(**case, **tied, without_own=True)
    tables, names = [], case["passages"]["id"].to_pylist()
    for at, name in enumerate(case["queries"]["id"].to_pylist()):
        one = {
            "queries": case["queries"].slice(at, 1),
            "query_vectors": case["query_vectors"][[at]],
        }
        keep = np.array([other != name for other in names])
        part = {
            "passages": case["passages"].filter(pa.array(keep)),
            "passage_vectors": case["passage_vectors"][keep],
        }
        table, report = evaluate(**{**case, **one, **part, **tied})
        left, told = evaluate(**{**case, **one, **tied}, without_own=True)
        pd.testing.assert_frame_equal(left, table)
        if told["bias"]["languages"] == report["bias"]["languages"]:
            assert told["bias"] == report["bias"] and told["cells"] == report["cells"]
        tables.append(table)
    expected = pd.concat(tables).sort_values(KEYS).reset_index(drop=True)
    pd.testing.assert_frame_equal(whole.sort_values(KEYS).reset_index(drop=True), expected)


def test_where_no_query_is_a_passage_nothing_changes():
    case = collection(5)
    (table, report), (left, told) = evaluate(**case), evaluate(**case, without_own=True)
    pd.testing.assert_frame_equal(table, left)
    assert report == told
