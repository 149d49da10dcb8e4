"""Pairs by vector operations are those of a plain loop, and the cache holds them as they are."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hybrid_sweep.data.collection import make, select
from hybrid_sweep.data.datasets import synthetic
from hybrid_sweep.data.pairs import ARRAYS, pair_store, pairs
from tests.data.test_collection import PASSAGES, QRELS, QUERIES, table


def slow_pairs(collection, split):
    """The definition, text by text: names, rows of query and passage, numbers, judged keys."""
    languages = collection.languages
    sides = []
    for texts in (collection.queries, collection.passages):
        found = {}
        for row, text in enumerate(texts.to_pylist()):
            if text["split"] in (split, "*") and text["lang"] in languages:
                found.setdefault(text["group"], [-1] * len(languages))[
                    languages.index(text["lang"])
                ] = row
        sides.append(found)
    questions, answers = sides
    items = sorted(
        (q if q == a else f"{q}|{a}", q, a)
        for q, a, grade in (row.values() for row in collection.qrels.to_pylist())
        if grade > 0 and q in questions and a in answers
    )
    numbers = [
        {name: n for n, name in enumerate(sorted({item[place] for item in items}))}
        for place in (1, 2)
    ]
    question, answer = ([numbers[place - 1][item[place]] for item in items] for place in (1, 2))
    shape = (len(items), len(languages))
    return {
        "languages": languages,
        "groups": [item[0] for item in items],
        "query": np.reshape([questions[item[1]] for item in items], shape).T.tolist(),
        "passage": np.reshape([answers[item[2]] for item in items], shape).T.tolist(),
        "question": question,
        "answer": answer,
        "judged": sorted(q * len(numbers[1]) + a for q, a in zip(question, answer, strict=True)),
    }


def same(found, wanted):
    for name, value in wanted.items():
        got = getattr(found, name)
        assert (got if name == "languages" else got.tolist()) == value, name


def tangled(seed):
    """A collection with all that can be odd: shared passages, splits, languages on one side only,
    texts of no group.
    """
    draw = np.random.default_rng(seed)
    names = [
        "a",
        "b",
        "a|b",
        "ä",
        "Z",
        "10",
        "9",
        "g 1",
        "日本",
        "z" * 40,
        *(f"n{n}" for n in range(12)),
    ]
    texts = []
    for kind, languages, splits in (
        ("q", ["en", "de", "ja", "xx"], ["train", "dev"]),
        ("p", ["en", "de", "ja", "yy"], ["train", "*", "dev"]),
    ):
        rows = []
        for name in names:
            for language in languages:
                # two texts of a group in a language: the later row counts
                for copy in range(int(draw.integers(0, 3))):
                    identifier = f"{draw.integers(1 << 40)}{kind}{copy}"
                    rows.append((identifier, name, language, str(draw.choice(splits)), "text"))
        texts.append(table(*rows))
    queries, passages = (pc.unique(each["group"]).to_pylist() for each in texts)
    judged = {
        (str(draw.choice(queries)), str(draw.choice(passages))): int(draw.integers(0, 3))
        for _ in range(60)
    }
    qrels = pa.table(
        [*zip(*judged, strict=True), list(judged.values())],
        names=["query_group", "passage_group", "grade"],
    )
    return make("tangled", *texts, qrels, {})


@pytest.mark.parametrize("seed", range(8))
def test_they_are_those_of_a_plain_loop(seed):
    built = tangled(seed)
    for split in ("train", "dev", "test"):
        same(pairs(built, split), slow_pairs(built, split))
    some = select(built, ["de", "en"])
    assert len(pairs(some, "train")) > 3
    same(pairs(some, "train"), slow_pairs(some, "train"))


def test_so_they_are_where_a_table_is_looked_up_in_parts(monkeypatch):
    from hybrid_sweep.data import lookup

    built = synthetic.build(groups=80, concepts=60, shared=0.2, noise=0.2, seed=3)
    monkeypatch.setattr(lookup, "SLICE", 7)
    same(pairs(built, "train"), slow_pairs(built, "train"))


def test_pairs_of_a_split():
    train = pairs(make("x", QUERIES, PASSAGES, QRELS, {}), "train")
    assert train.languages == ["de", "en"] and train.groups.tolist() == ["g1"] and len(train) == 1
    assert train.query.tolist() == [[1], [0]] and train.passage.tolist() == [[2], [0]]
    assert pairs(make("x", QUERIES, PASSAGES, QRELS, {}), "test").present.tolist() == [
        [False],
        [True],
    ]


def test_several_relevant_passages_are_several_groups_and_grade_zero_none():
    passages = pa.concat_tables([PASSAGES, table(("p4", "g9", "en", "*", "D"))])
    qrels = pa.table(
        {"query_group": ["g1", "g1", "g2"], "passage_group": ["g1", "g9", "g2"], "grade": [1, 2, 0]}
    )
    train = pairs(make("x", QUERIES, passages, qrels, {}), "train")
    assert train.groups.tolist() == ["g1", "g1|g9"]
    assert (
        train.question.tolist() == [0, 0]
        and train.answer.tolist() == [0, 1]
        and train.judged.tolist() == [0, 1]
    )
    assert pairs(make("x", QUERIES, passages, qrels, {}), "test").groups.tolist() == []


def test_the_cache_holds_the_same_and_maps_it(tmp_path):
    built = synthetic.build(groups=80, concepts=60, shared=0.2, noise=0.2, seed=3)
    made, stored = pairs(built, "train"), pair_store(tmp_path, built, "train")
    for name in (*ARRAYS, "groups", "present"):
        assert getattr(made, name).tolist() == getattr(stored, name).tolist()
    assert (made.width, made.languages) == (stored.width, stored.languages)
    assert all(isinstance(getattr(stored, name), np.memmap) for name in ARRAYS)
    with pytest.raises(ValueError, match="read-only"):
        stored.question[0] = 1


def test_the_cache_is_built_once_and_keyed_by_what_makes_the_pairs(tmp_path):
    built = synthetic.build(groups=80, concepts=60, shared=0.2, noise=0.2, seed=3)
    pair_store(tmp_path, built, "train")
    (first,) = (path for path in (tmp_path / "pairs").iterdir() if path.is_dir())
    stamp = (first / "query.npy").stat().st_mtime_ns
    pair_store(tmp_path, built, "train")
    assert (first / "query.npy").stat().st_mtime_ns == stamp
    other = synthetic.build(groups=80, concepts=60, shared=0.2, noise=0.2, seed=4)
    part = select(built, ["xa", "xb"])
    for collection, split in ((built, "dev"), (part, "train"), (other, "train")):
        same(pair_store(tmp_path, collection, split), slow_pairs(collection, split))
    assert sum(path.is_dir() for path in (tmp_path / "pairs").iterdir()) == 4


@pytest.mark.parametrize("name", [*(f"{name}.npy" for name in ARRAYS), "ids.arrow", "info.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_store_is_made_again_with_a_message(tmp_path, name, damage):
    built = synthetic.build(groups=80, concepts=60, shared=0.2, noise=0.2, seed=3)
    said = []
    pair_store(tmp_path, built, "train", say=said.append)
    (path,) = (tmp_path / "pairs").glob(f"*/{name}")
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    same(pair_store(tmp_path, built, "train", say=said.append), slow_pairs(built, "train"))
    assert len(said) == 1 and "damaged: they are made again" in said[0]


def test_a_split_without_pairs_is_stored_too(tmp_path):
    built = make("x", QUERIES, PASSAGES, QRELS.slice(0, 0), {})
    stored = pair_store(tmp_path, built, "train")
    assert (len(stored), stored.query.shape, stored.judged.tolist(), stored.width) == (
        0,
        (2, 0),
        [],
        1,
    )


def test_a_negative_of_an_ordered_pair_must_exist_where_it_is_read():
    names = ("id", "group", "lang", "split", "text")

    def texts(*rows):
        return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))

    queries = texts(("q1", "a", "en", "train", "one"), ("q2", "b", "en", "train", "two"))
    passages = texts(
        ("p1", "a", "en", "*", "x"), ("p2", "a", "zh", "*", "y"), ("p3", "b", "zh", "*", "z")
    )
    grades = {"query_group": ["a", "b"], "passage_group": ["a", "b"], "grade": [1, 1]}
    made = pairs(make("toy", queries, passages, pa.table(grades), {}), "train")
    assert made.languages == ["en", "zh"] and made.is_ordered and made.one_sided == ("zh",)
    groups, en, zh = np.array([0, 1]), np.array([0, 0]), np.array([1, 1])
    one, other = made.negatives_in(groups, en, zh, zh)
    # the group a has passages in both languages, so that both ratios draw alike; b only in zh
    assert one.tolist() == [0, 1] and other.tolist() == [1, 1]
    either = dataclasses.replace(made, one_sided=(), query=np.maximum(made.query, 0))
    assert not either.is_ordered
    assert either.negatives_in(groups, en, zh, zh) == (en, zh)
