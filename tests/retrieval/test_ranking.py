"""Ranks and lists against a brute force in float64, with worlds made to defeat float32."""

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.retrieval import candidates, exact_scores, ranking, top_lists
from hybrid_sweep.retrieval.candidates import Products
from hybrid_sweep.retrieval.ranking import RelevantPairs
from tests.refused import refused


def brute_force(
    queries: np.ndarray, passages: np.ndarray, ids: list[str]
) -> tuple[list[list[int]], np.ndarray]:
    """Each query's passages in order, and the scores."""
    score = np.round(queries.astype(np.float64) @ passages.astype(np.float64).T, 9) + 0.0
    return [
        sorted(range(len(ids)), key=lambda row: (-line[row], ids[row])) for line in score
    ], score


def counts(
    order: list[list[int]],
    score: np.ndarray,
    pair_query: np.ndarray,
    pair_passage: np.ndarray,
    language: np.ndarray,
) -> list[list[list[int]]]:
    """Of each pair, by language: the passages before its own, and those of its score after it."""
    before, after = [], []
    for query, passage in zip(pair_query, pair_passage, strict=True):
        place = order[query].index(passage)
        tied = [
            row for row in order[query][place + 1 :] if score[query, row] == score[query, passage]
        ]
        for counted, rows in ((before, order[query][:place]), (after, tied)):
            counted.append(np.bincount(language[rows], minlength=language.max() + 1).tolist())
    return [before, after]


def rank_pairs(
    queries: np.ndarray,
    passages: np.ndarray,
    pair_query: np.ndarray,
    pair_passage: np.ndarray,
    language: np.ndarray,
    tie_order: np.ndarray,
    k: int = 0,
    **products: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`ranking.rank_pairs` of a world."""
    pairs = RelevantPairs(pair_query, pair_passage, language, tie_order)
    return ranking.rank_pairs(queries, passages, pairs, k, Products(**products))


def top_k(
    queries: np.ndarray,
    passages: np.ndarray,
    k: int,
    tie_order: np.ndarray,
    pool: np.ndarray | None = None,
    **products: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """`top_lists.top_k` of a world."""
    return top_lists.top_k(queries, passages, k, tie_order, pool, Products(**products))


def ranked(*args: np.ndarray, **case: Any) -> list[list[list[int]]]:
    return [part.tolist() for part in rank_pairs(*args, **case)[:2]]


def unit(array: np.ndarray) -> np.ndarray:
    return (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)


def jitter(generator: np.random.Generator, vectors: np.ndarray, ulps: int) -> np.ndarray:
    """Move every coordinate by up to so many ulps: scores move by about 1e-9 to 1e-8, below what
    float32 resolves.
    """
    steps = generator.integers(-ulps, ulps + 1, vectors.shape).astype(np.float32)
    return (vectors + steps * np.spacing(vectors)).astype(np.float32)


def world(
    seed: int,
    *,
    size: int = 60,
    dimension: int = 24,
    distinct: int = 15,
    ulps: int = 0,
    scale: float = 1.0,
    languages: int = 3,
) -> dict[str, np.ndarray]:
    """Queries and passages drawn from few distinct vectors, so that duplicates abound; ids in no
    order of the rows.
    """
    generator = np.random.default_rng(seed)
    kinds = unit(generator.standard_normal((distinct, dimension)))
    passages = kinds[generator.integers(0, distinct, size)]
    noise = 0.5 * generator.standard_normal((9, dimension)) / dimension**0.5
    queries = unit(kinds[generator.integers(0, distinct, 9)] + noise)
    if ulps:
        passages = jitter(generator, passages, ulps)
    language = generator.integers(0, languages, size)
    language[0] = languages - 1
    return {
        "queries": queries * np.float32(scale),
        "passages": passages * np.float32(scale),
        "language": language,
        "tie_order": generator.permutation(size),
        "pair_query": generator.integers(0, 9, 30),
        "pair_passage": generator.integers(0, size, 30),
    }


def sorted_pool(case: dict[str, np.ndarray]) -> tuple[list[list[int]], np.ndarray]:
    return brute_force(
        case["queries"], case["passages"], [f"{place:05d}" for place in case["tie_order"]]
    )


def expected(case: dict[str, np.ndarray]) -> list[list[list[int]]]:
    return counts(*sorted_pool(case), case["pair_query"], case["pair_passage"], case["language"])


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([0, 1, 4]),
    st.integers(1, 40),
    st.sampled_from([1e-21, 1e-4, 1.0, 20.0]),
    st.integers(1, 11),
    st.integers(1, 70),
    st.integers(0, 70),
    st.sampled_from([1, 20, 256]),
)
def test_ranks_and_lists_of_one_pass_equal_brute_force_in_any_chunks(
    seed: int,
    size: int,
    distinct: int,
    ulps: int,
    dimension: int,
    scale: float,
    query_chunk: int,
    passage_chunk: int,
    k: int,
    groups: int,
) -> None:
    case = world(seed, size=size, dimension=dimension, distinct=distinct, ulps=ulps, scale=scale)
    chunks = {"query_chunk": query_chunk, "passage_chunk": passage_chunk}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_lists, "GROUPS", groups)
        before, after, first = rank_pairs(**case, k=k, **chunks)
    assert [before.tolist(), after.tolist()] == expected(case)
    assert first.tolist() == [line[:k] for line in sorted_pool(case)[0]]
    assert ranked(**case, **chunks) == expected(case)


@pytest.mark.parametrize(("ulps", "scale"), [(0, 1.0), (2, 1.0), (2, 1e20)])
def test_a_dense_ranker_gives_in_one_pass_what_it_gives_apart(ulps: int, scale: float) -> None:
    """Some queries have no pair; many passages tie; products of the last case overflow float32."""
    case = world(6, size=700, dimension=48, distinct=400, ulps=ulps, scale=scale)
    asked = [case.pop(name) for name in ("pair_query", "pair_passage")]
    asked = [part[asked[0] % 2 == 0] for part in asked]
    ranker = ranking.Dense(case["queries"], case["passages"])
    before, after, first = ranker.ranked(10, *asked, case["language"], case["tie_order"])
    assert (first == ranker.top(10, case["tie_order"])[0]).all()
    alone = rank_pairs(
        case["queries"], case["passages"], *asked, case["language"], case["tie_order"]
    )
    assert (before == alone[0]).all() and (after == alone[1]).all()


def test_lists_of_one_pass_need_no_other_product(monkeypatch: pytest.MonkeyPatch) -> None:
    case, used = world(8, size=3000, dimension=64, distinct=2900, ulps=1), []
    monkeypatch.setattr(top_lists, "nearest", lambda *args: used.append(args))
    monkeypatch.setattr(exact_scores, "score_matrix", lambda *args: used.append(args))
    found = rank_pairs(**case, k=10)[2]
    assert not used
    assert found.tolist() == [line[:10] for line in sorted_pool(case)[0]]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([0, 1, 4]),
    st.integers(1, 40),
    st.sampled_from([1e-21, 1e-4, 1.0, 20.0]),
    st.integers(1, 70),
    st.integers(0, 8),
    st.integers(1, 11),
)
def test_lists_equal_brute_force_in_any_chunks(
    seed: int,
    size: int,
    distinct: int,
    ulps: int,
    dimension: int,
    scale: float,
    k: int,
    margin: int,
    query_chunk: int,
) -> None:
    case = world(seed, size=size, dimension=dimension, distinct=distinct, ulps=ulps, scale=scale)
    order, score = sorted_pool(case)
    index, found = top_k(
        case["queries"],
        case["passages"],
        k,
        case["tie_order"],
        margin=margin,
        query_chunk=query_chunk,
    )
    assert index.tolist() == [line[:k] for line in order]
    assert found == pytest.approx(
        np.take_along_axis(score, index, axis=1), abs=1e-15 * max(1, scale**2)
    )


@pytest.mark.parametrize("device", [None, "cpu"])
@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.integers(1, 70),
    st.integers(1, 20),
    st.integers(1, 9),
)
def test_lists_of_a_pool_and_what_torch_proposes(
    device: str | None, seed: int, distinct: int, k: int, block: int, size: int
) -> None:
    """Blocks of a pool are searched one by one; products by torch give the ranks and lists of
    numpy's.
    """
    case = world(seed, size=60, distinct=distinct, ulps=1)
    order, _ = sorted_pool(case)
    pool = np.random.default_rng(seed).permutation(60)[: size * 7]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "BLOCK", block)
        found = top_k(
            case["queries"], case["passages"], k, case["tie_order"], pool, margin=2, device=device
        )[0]
        whole = top_k(
            case["queries"], case["passages"], k, case["tie_order"], margin=2, device=device
        )[0]
    inside = set(pool.tolist())
    assert found.tolist() == [[row for row in line if row in inside][:k] for line in order]
    assert whole.tolist() == [line[:k] for line in order]
    before, after, first = rank_pairs(**case, k=k, device=device)
    assert [before.tolist(), after.tolist()] == expected(case)
    assert first.tolist() == [line[:k] for line in order]


def test_products_by_torch_are_in_full_precision_whatever_training_has_set() -> None:
    """TF32, or bfloat16 where a CPU multiplies it, has an error far outside the band."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Watched(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if "matmul" in func.__name__:
                seen.append(torch.get_float32_matmul_precision())
            return func(*args, **(kwargs or {}))

    case, seen = world(2), list[str]()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with Watched():
            rank_pairs(**case, device="cpu")
            top_k(case["queries"], case["passages"], 3, case["tie_order"], device="cpu")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen == ["highest", "highest"]


@pytest.mark.parametrize("scale", [3e17, 2e19, 1e20])
def test_norms_that_overflow_float32(scale: float) -> None:
    """Products near 1e35 and beyond: float32 sums become infinite or NaN, float64 sums depend on
    their order.
    """
    case = world(5, scale=scale)
    exact = [
        [
            sum(int(a) * int(b) for a, b in zip(query, passage, strict=True))
            for passage in case["passages"]
        ]
        for query in case["queries"]
    ]  # integers: no rounding at all
    gaps = np.diff(np.unique(np.array(exact, dtype=float)[0]))
    assert gaps.min() > 1e-9 * scale**2  # so that the order of the distinct vectors is beyond doubt
    ids = case["tie_order"]
    order = [sorted(range(len(ids)), key=lambda row: (-line[row], ids[row])) for line in exact]
    # Integers as Python's, since equal ones alone are tied.
    whole = np.array(exact, dtype=object)
    assert ranked(**case) == counts(
        order, whole, case["pair_query"], case["pair_passage"], case["language"]
    )
    assert top_k(case["queries"], case["passages"], 7, ids)[0].tolist() == [
        line[:7] for line in order
    ]
    assert rank_pairs(**case, k=7)[2].tolist() == [line[:7] for line in order]


def test_one_float32_product_overflows_on_the_way() -> None:
    """Rows 1 and 2 score 2e37, but one of their terms is -3.8e38: summed first, it makes minus
    infinity.
    """
    passages = np.zeros((60, 2), np.float32)
    passages[:, 0] = -1e17 * np.arange(60)
    passages[:3] = [[5e17, 0], [-1.9e19, 2e19], [2e19, -1.9e19]]
    queries = np.full((8, 2), 2e19, np.float32)
    found = ranked(
        queries, passages, np.arange(8), np.zeros(8, int), np.zeros(60, int), np.arange(60)
    )
    assert found == [[[2]] * 8, [[0]] * 8]
    assert top_k(queries, passages, 3, np.arange(60), margin=0)[0].tolist() == [[1, 2, 0]] * 8


def test_rows_may_come_in_any_order() -> None:
    case, generator = world(1, size=300, ulps=3), np.random.default_rng(2)
    before, after, _ = rank_pairs(**case)
    rows, pairs = generator.permutation(300), generator.permutation(30)
    place = np.argsort(rows)
    moved = {
        **case,
        "passages": case["passages"][rows],
        "language": case["language"][rows],
        "tie_order": case["tie_order"][rows],
        "pair_query": case["pair_query"][pairs],
        "pair_passage": place[case["pair_passage"][pairs]],
    }
    moved_before, moved_after, _ = rank_pairs(**moved)
    assert (moved_before == before[pairs]).all() and (moved_after == after[pairs]).all()
    index, score = top_k(case["queries"], case["passages"], 20, case["tie_order"])
    moved_index, moved_score = top_k(moved["queries"], moved["passages"], 20, moved["tie_order"])
    assert (rows[moved_index] == index).all() and (moved_score == score).all()


def test_any_number_of_threads() -> None:
    # not above: a test module that is collected later may import torch, which must come first
    import faiss
    from threadpoolctl import threadpool_limits

    case, results = world(3, size=3000, dimension=96, distinct=700, ulps=2), []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            faiss.omp_set_num_threads(threads)
            lists = top_k(case["queries"], case["passages"], 50, case["tie_order"])
            results.append((ranked(**case), lists))
    faiss.omp_set_num_threads(1)
    for better, (index, score) in results[1:]:
        assert better == results[0][0]
        assert (index == results[0][1][0]).all() and (score == results[0][1][1]).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_ties_go_by_id_and_not_by_position(reverse: bool) -> None:
    passages = np.tile(unit(np.ones((1, 8))), (6, 1))
    tie_order = np.arange(6)[::-1] if reverse else np.array([3, 0, 5, 1, 4, 2])
    before, after, _ = rank_pairs(
        passages[:1], passages, np.zeros(6, int), np.arange(6), np.zeros(6, int), tie_order
    )
    assert before[:, 0].tolist() == tie_order.tolist()
    assert (before + after == 5).all()
    index, _ = top_k(passages[:1], passages, 6, tie_order)
    assert tie_order[index[0]].tolist() == list(range(6))
    few, _ = top_k(passages[:1], passages, 2, tie_order, margin=0)  # proposes 4 of the 6, at random
    assert tie_order[few[0]].tolist() == [0, 1]


def near_ties() -> dict[str, np.ndarray]:
    return world(7, size=400, dimension=384, distinct=40, ulps=3)


def lost_terms() -> dict[str, np.ndarray]:
    """Passage 0 is best by 1.2e-5, but sequential float32 sums lose 2.2e-5 of it: a band of 1e-6 is
    too small.
    """
    first = np.full(384, 2.0**-12 * 0.999)
    first[0] = 1
    rest = np.zeros((399, 384))
    rest[:, 0] = np.concatenate([np.linspace(0, 0.9, 379), 1 + np.arange(20) * 5e-7])
    passages = np.concatenate([first[None], rest]).astype(np.float32)
    # Several equal queries, because BLAS sums a single one in another way.
    return {
        "queries": np.tile(passages[:1], (32, 1)),
        "passages": passages,
        "language": np.zeros(400, int),
        "tie_order": np.arange(400)[::-1],
        "pair_query": np.arange(400) % 32,
        "pair_passage": np.arange(400),
    }


@pytest.mark.parametrize("case", [near_ties(), lost_terms()], ids=["near ties", "lost terms"])
def test_near_ties_that_float32_orders_wrongly(case: dict[str, np.ndarray]) -> None:
    order, _ = sorted_pool(case)
    products = np.array(
        [np.cumsum(query * case["passages"], axis=1)[:, -1] for query in case["queries"]]
    )
    assert products.dtype == np.float32
    naive = np.lexsort((np.broadcast_to(case["tie_order"], products.shape), -products), axis=1)
    assert naive.tolist() != order
    assert ranked(**case) == expected(case)
    for k in (1, 10, 150):
        lists = top_k(case["queries"], case["passages"], k, case["tie_order"])[0]
        assert lists.tolist() == [line[:k] for line in order]
        assert rank_pairs(**case, k=k, passage_chunk=150)[2].tolist() == [
            line[:k] for line in order
        ]


@pytest.mark.parametrize(
    ("case", "band"), [(near_ties(), 0.0), (lost_terms(), 0.0), (lost_terms(), 1e-6)]
)
def test_a_smaller_band_would_be_wrong(
    case: dict[str, np.ndarray], band: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        exact_scores, "float32_band", lambda dimension, norms, largest: np.full(len(norms), band)
    )
    products, exact = (
        (case["queries"] @ case["passages"].T).astype(np.float64),
        sorted_pool(case)[1],
    )
    better = exact[:, :, None] > exact[:, None, :]
    if not (better & (products[:, :, None] < products[:, None, :] - band)).any():
        pytest.skip("this BLAS sums in another order and loses too little to change one")
    assert ranked(**case) != expected(case)


@pytest.mark.parametrize(("distinct", "ulps"), [(2000, 1), (700, 0)])
def test_sparse_and_dense_ways_agree(
    distinct: int, ulps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, used = world(4, size=2000, dimension=64, distinct=distinct, ulps=ulps), []
    monkeypatch.setattr(exact_scores, "score_matrix", lambda *args: used.append(args))
    sparse = ranked(**case)
    assert not used
    monkeypatch.undo()
    monkeypatch.setattr(ranking, "_count_surely", lambda *args: None)
    assert ranked(**case) == sparse == expected(case)


def test_a_collapsed_encoder_takes_the_dense_way(monkeypatch: pytest.MonkeyPatch) -> None:
    case, way = world(4, size=500, distinct=1), []
    count = ranking._count_surely
    monkeypatch.setattr(ranking, "_count_surely", lambda *args: way.append(count(*args)) or way[-1])
    assert ranked(**case) == expected(case)
    assert way == [None]
    # So many equal products are more than a shortlist holds: its lists are made from all scores.
    assert rank_pairs(**case, k=10)[2].tolist() == [line[:10] for line in sorted_pool(case)[0]]


def test_bad_vectors_and_missing_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    case = world(0)
    with refused("model.diverged", "1 of 60 passage vectors"):
        rank_pairs(
            **{
                **case,
                "passages": np.where(
                    np.arange(60)[:, None] == 3, np.float32(np.nan), case["passages"]
                ),
            }
        )
    monkeypatch.setitem(sys.modules, "faiss", None)
    with refused("install.faiss", "hybrid-sweep[cpu]", "hybrid-sweep[gpu]"):
        top_k(case["queries"], case["passages"], 3, case["tie_order"])


def test_nothing_to_rank() -> None:
    case = world(0)
    none = np.zeros(0, dtype=np.int64)
    nobody = {**case, "pair_query": none, "pair_passage": none}
    assert [part.shape for part in rank_pairs(**nobody)] == [(0, 3), (0, 3), (9, 0)]
    assert top_k(case["queries"][:0], case["passages"], 3, case["tie_order"])[0].shape == (0, 3)
    assert top_k(case["queries"], case["passages"][:0], 3, none)[0].shape == (9, 0)
