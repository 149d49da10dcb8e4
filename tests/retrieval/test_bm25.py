"""BM25 against a brute-force float64 reference in plain Python: weights, ranks, ties, pools,
whatever the chunks.
"""

import itertools
import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.config.schema import Bm25Model
from hybrid_sweep.retrieval import bm25
from hybrid_sweep.retrieval.analyzer import stems, words
from hybrid_sweep.retrieval.ranking import Ranker

PLAIN = Bm25Model(name="bm25", stem=False)


def table(texts):
    """texts: (lang, text) pairs; ids are in no order."""
    columns = {
        "id": [f"{(7 * i) % 31}-{i}" for i in range(len(texts))],
        "lang": [lang for lang, _ in texts],
        "text": [text for _, text in texts],
    }
    return pa.table(columns)


def build(queries, passages, model=PLAIN) -> Ranker:
    return bm25.build(table(queries), table(passages), model, lambda text: None)


def places(texts):
    ids = table(texts)["id"].to_pylist()
    return np.array([sorted(ids).index(each) for each in ids])


def reference(queries, passages, model):
    """(Q, P) scores: the formula word by word, each weight rounded to 1e-9."""
    scores = np.zeros((len(queries), len(passages)))
    for lang in {lang for lang, _ in passages}:
        stem = stems(lang) if model.stem else list
        rows = [row for row, (other, _) in enumerate(passages) if other == lang]
        bags = {row: Counter(stem(words(passages[row][1]))) for row in rows}
        mean = sum(sum(bag.values()) for bag in bags.values()) / len(rows)
        for place, (_, query) in enumerate(queries):
            for word, row in itertools.product(stem(words(query)), rows):
                if count := bags[row][word]:
                    having = sum(word in bag for bag in bags.values())
                    idf = math.log(1 + (len(rows) - having + 0.5) / (having + 0.5))
                    long = sum(bags[row].values()) / mean
                    scores[place, row] += round(
                        idf * count / (count + model.k1 * (1 - model.b + model.b * long)), 9
                    )
    return scores.round(9)


def expected(scores, languages, tie_order, query, passage):
    """Ranker.pairs by definition."""
    before, after = np.zeros((2, len(query), languages.max() + 1), np.int64)
    for pair, (row, answer) in enumerate(zip(query, passage, strict=True)):
        for other in range(len(tie_order)):
            mine, theirs = (
                (-scores[row, answer], tie_order[answer]),
                (
                    -scores[row, other],
                    tie_order[other],
                ),
            )
            before[pair, languages[other]] += theirs < mine
            after[pair, languages[other]] += theirs[0] == mine[0] and theirs[1] > mine[1]
    return before, after


TEXTS = st.lists(
    st.tuples(st.sampled_from(["en", "ja", "xa"]), st.text(alphabet="ab c東京", max_size=9)),
    min_size=1,
    max_size=12,
)


@given(
    TEXTS,
    TEXTS,
    st.sampled_from([0.0, 0.9, 1.2]),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.sampled_from([1, 30, 10**6]),
)
@settings(max_examples=150, deadline=None)
def test_ranks_and_lists_are_those_of_the_formula_for_any_texts_and_chunks(
    queries, passages, k1, b, cells
):
    """Few words, so that ties, empty texts and queries that share no word are common."""
    model = Bm25Model(name="bm25", k1=k1, b=b, stem=False)
    scores, tie_order = reference(queries, passages, model), places(passages)
    names = sorted({lang for lang, _ in passages})
    languages = np.array([names.index(lang) for lang, _ in passages])
    query, passage = (np.array(each) for each in np.divmod(np.arange(scores.size), len(passages)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bm25, "CELLS", cells)
        ranker = build(queries, passages, model)
        before, after = ranker.pairs(query, passage, languages, tie_order)
        one_by_one = ranker.scores(query, passage).reshape(scores.shape)
        np.testing.assert_allclose(one_by_one, scores, rtol=0, atol=1e-12)
        for k in (1, 3, len(passages) + 2):
            found, score = ranker.top(k, tie_order)
            order = np.lexsort((np.tile(tie_order, (len(queries), 1)), -scores), axis=1)[:, :k]
            np.testing.assert_array_equal(found, order)
            np.testing.assert_allclose(
                score, np.take_along_axis(scores, order, axis=1), rtol=0, atol=1e-12
            )
        for pool in (np.flatnonzero(languages == 0), np.arange(0, len(passages), 2)):
            order = pool[
                np.lexsort((np.tile(tie_order[pool], (len(queries), 1)), -scores[:, pool]), axis=1)[
                    :, :3
                ]
            ]
            np.testing.assert_array_equal(ranker.top(3, tie_order, pool)[0], order)
    wanted = expected(scores, languages, tie_order, query, passage)
    np.testing.assert_array_equal(before, wanted[0])
    np.testing.assert_array_equal(after, wanted[1])


def test_pairs_may_come_in_any_order_and_leave_queries_out():
    queries = [("en", text) for text in ("a b", "b", "c c a", "d")]
    passages = [("en", text) for text in ("a", "b b a", "c", "a b c", "e")]
    ranker, tie_order, languages = build(queries, passages), places(passages), np.zeros(5, np.int64)
    query, passage = np.array([3, 0, 2, 0, 3]), np.array([4, 3, 0, 0, 1])
    before, after = ranker.pairs(query, passage, languages, tie_order)
    wanted = expected(reference(queries, passages, PLAIN), languages, tie_order, query, passage)
    np.testing.assert_array_equal(before, wanted[0])
    np.testing.assert_array_equal(after, wanted[1])
    assert [
        array.shape for array in ranker.pairs(query[:0], passage[:0], languages, tie_order)
    ] == [(0, 1), (0, 1)]


def test_each_language_has_its_own_statistics_and_the_mixed_pool_goes_by_raw_scores():
    passages = [
        ("en", "cat"),
        ("en", "cat dog"),
        ("de", "cat"),
        ("de", "hund"),
        ("de", "maus"),
        ("de", "ente"),
    ]
    found, score = build([("en", "cat")], passages).top(6, np.arange(6))
    assert found[0, 0] == 2  # rare among the German passages, and so worth more there
    assert score[0, 0] > score[0, 1] > score[0, 2] > 0 == score[0, 3] and found[0, 3:].tolist() == [
        3,
        4,
        5,
    ]


def test_a_query_of_another_language_is_put_into_the_words_of_the_passages():
    queries, passages = (
        [("fr", "running"), ("en", "running")],
        [("en", "he runs"), ("en", "he sits"), ("xa", "running")],
    )
    stemmed, plain = (
        build(queries, passages, Bm25Model(name="bm25", stem=stem)) for stem in (True, False)
    )
    for row in (0, 1):
        # two passages make the word rarer than one
        assert stemmed.top(2, np.arange(3))[0][row].tolist() == [0, 2]
        assert plain.top(1, np.arange(3))[0][row].tolist() == [2]


def test_weights_are_those_of_bm25s_and_repeated_words_of_a_query_count_again():
    import bm25s

    texts = ["a b b c", "a", "b c c c d", "d d a"]
    peer = bm25s.BM25(k1=0.9, b=0.4, method="lucene", dtype="float64")
    peer.index([text.split() for text in texts], show_progress=False)
    ranker = build([("en", "b b d")], [("en", text) for text in texts])
    found, score = ranker.top(4, np.arange(4))
    wanted = peer.get_scores(["b", "b", "d"])
    np.testing.assert_allclose(score[0], wanted[found[0]], rtol=0, atol=3e-9)


def test_sums_do_not_depend_on_the_order_of_words():
    """Floating-point sums would: equal scores must be equal bits, or ties would be broken by
    rounding.
    """
    rng = np.random.default_rng(0)
    letters = [f"w{i}" for i in range(60)]
    passages = [("en", " ".join(rng.choice(letters, 12))) for _ in range(80)]
    asked = rng.choice(letters, 40)
    queries = [("en", " ".join(rng.permutation(asked))) for _ in range(5)]
    found, score = build(queries, passages).top(80, np.arange(80))
    assert (found == found[0]).all() and (score == score[0]).all() and (score > 0).sum() > 300


def test_an_index_in_files_is_the_one_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    passages = [
        (lang, " ".join(rng.choice(list("abcdefgh"), 5)))
        for lang in ("en", "x/y", "ja")
        for _ in range(20)
    ]
    tie_order = rng.permutation(60)
    mapped = bm25.build(
        table(passages[::7]), table(passages), PLAIN, lambda text: None, tmp_path / "index"
    )
    for found, expected in zip(
        mapped.top(60, tie_order), build(passages[::7], passages).top(60, tie_order), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    files = {path for path in (tmp_path / "index").rglob("*") if path.is_file()}
    assert {path.suffix for path in files} == {".npy"} and len(files) == 9
    for index in mapped.indexes:
        for part in (index.weights.data, index.weights.indices, index.weights.indptr):
            while part is not None and not isinstance(part, np.memmap):
                part = part.base
            assert part is not None  # a copy would be in memory


def test_passages_of_one_index_with_several_codes_are_counted_apart():
    ranker = build([("en", "a")], [("en", "a a"), ("en", "a"), ("en", "a b c"), ("en", "b")])
    order = ranker.top(4, np.arange(4))[0][0].tolist()
    before, after = ranker.pairs(
        np.zeros(4, int), np.arange(4), np.array([1, 0, 1, 2]), np.arange(4)
    )
    for passage, code in itertools.product(range(4), range(3)):
        first = order[: order.index(passage)]
        assert before[passage, code] == sum([1, 0, 1, 2][each] == code for each in first)
    assert after.sum() == 0
