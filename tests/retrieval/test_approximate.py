"""An approximate index: all cells searched, it is exact; few cells, it says how much it misses, and
invents no rank.
"""

import json

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.config.schema import EvalConfig
from hybrid_sweep.retrieval import approximate, per_query
from hybrid_sweep.retrieval.ranking import Dense
from tests.refused import refused
from tests.retrieval.test_per_query import KEYS, collection, qrels, texts, unit


def both(case, settings, **options):
    tables = {name: case[name] for name in ("queries", "passages", "qrels")}
    ranker = Dense(case["query_vectors"], case["passage_vectors"])
    return per_query.evaluate(**tables, ranker=ranker, **options), approximate.evaluate(
        *tables.values(), ranker, settings, **options
    )


@pytest.mark.parametrize("seed", range(3))
def test_with_all_cells_and_full_depth_it_is_exact(seed):
    case = collection(seed)
    settings = EvalConfig(ivf_lists=3, ivf_probes=3, ivf_depth=1000)
    (table, report), (found, told) = both(case, settings, measures=["AP-lareqa", "success@2"])
    pd.testing.assert_frame_equal(table, found, check_exact=True)
    assert told["ivf/recall@10"] == told["ivf/recall@100"] == 1
    sizes = {"passages": len(case["passages"]), "cells": 3, "sample": len(case["queries"])}
    assert told["ivf"]["*"] == {**sizes, "recall@10": 1.0, "recall@100": 1.0}
    assert {name: told[name] for name in report} == report
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize("side", ["query", "passage"])
def test_vectors_that_are_not_finite_are_refused_before_an_index_is_trained(side):
    case = collection(0)
    vectors = {name: case[f"{name}_vectors"].copy() for name in ("query", "passage")}
    vectors[side][-1, 0] = np.nan
    tables = (case[name] for name in ("queries", "passages", "qrels"))
    with refused("model.diverged", f"1 of {len(vectors[side])} {side} vectors"):
        approximate.evaluate(*tables, Dense(vectors["query"], vectors["passage"]), EvalConfig())


def many():
    """2,000 passages and 300 queries in two languages; the answer of a query is its noisy
    vector.
    """
    draw = np.random.default_rng(1)
    vectors = unit(draw.standard_normal((2000, 16)))
    passages = texts([(f"p{row:04d}", f"g{row}", "de" if row % 2 else "en") for row in range(2000)])
    queries = texts([(f"q{row:04d}", f"g{row}", "de" if row % 2 else "en") for row in range(300)])
    return {
        "queries": queries,
        "passages": passages,
        "qrels": qrels([(f"g{row}", f"g{row}", 1) for row in range(300)]),
        "query_vectors": unit(vectors[:300] + 0.3 * draw.standard_normal((300, 16))),
        "passage_vectors": vectors,
    }


def test_with_few_cells_its_recall_is_that_of_its_lists_and_no_rank_is_invented():
    case = many()
    (table, _), (found, told) = both(case, EvalConfig(ivf_lists=20, ivf_probes=2, ivf_depth=100))
    assert 0.2 < told["ivf/recall@10"] < 0.9
    assert (
        told["ivf"]["en"]["sample"] == 150
    )  # every second of 300: at most 200, the same whatever the order of the rows
    merged = table.merge(found, on=KEYS, suffixes=("", "_ivf"))
    assert len(merged) == len(table) == len(found)
    lost = merged["rank_min_ivf"].isna()
    assert lost.any() and not lost.all()
    assert (merged.loc[lost, ["RR@10_ivf", "AP_ivf", "nDCG@10_ivf", "R@100_ivf"]] == 0).all(
        axis=None
    )
    # Fewer passages can only stand before an answer that was found, at a rank that is exact among
    # those found.
    assert (merged.loc[~lost, "rank_min_ivf"] <= merged.loc[~lost, "rank_min"]).all()
    assert (merged.loc[~lost, "rank_min_ivf"] <= 100).all()


def test_the_recall_told_is_that_of_the_index():
    """With the first 10 found replaced by others, the number falls to 0."""
    case = many()
    tables = [case[name] for name in ("queries", "passages", "qrels")]
    away = -case["passage_vectors"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            approximate, "_index", lambda passages, rows, settings: (_Index(away[rows]), 1)
        )
        _, told = approximate.evaluate(
            *tables, Dense(case["query_vectors"], case["passage_vectors"]), EvalConfig()
        )
    assert told["ivf/recall@10"] == 0


class _Index:
    """Finds the 100 worst."""

    def __init__(self, vectors):
        self.vectors = vectors

    def search(self, queries, k):
        return None, np.argsort(-(queries @ self.vectors.T), axis=1)[:, :100]


def test_more_cells_than_passages_are_refused():
    with refused("config.eval.ivf_lists", "eval.ivf_lists=900"):
        both(collection(0), EvalConfig(ivf_lists=900))


def test_ends_of_blocks():
    scores = np.array([[3.0, 2, 2, 2, 1], [1, 1, 0, 0, 0], [2, 1, 1, -np.inf, -np.inf]])
    assert approximate._ends(scores)[:, :3].tolist() == [[1, 4, 4], [2, 2, 5], [1, 3, 3]]
