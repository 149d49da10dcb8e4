import pyarrow as pa
import pytest

from hybrid_sweep.data import synthetic
from hybrid_sweep.data.collection import load, make, pairs, save, select
from hybrid_sweep.errors import UserError


def table(*rows):
    return pa.table(
        {name: [row[place] for row in rows] for place, name in enumerate(("id", "group", "lang", "split", "text"))}
    )


QUERIES = table(("q1", "g1", "en", "train", "a"), ("q2", "g1", "de", "train", "b"), ("q3", "g2", "en", "test", "c"))
PASSAGES = table(("p1", "g1", "en", "train", "A"), ("p2", "g2", "en", "test", "B"), ("p3", "g1", "de", "train", "C"))
QRELS = pa.table({"query_group": ["g1", "g2"], "passage_group": ["g1", "g2"], "grade": [1, 1]})


def test_saved_and_loaded_is_the_same(tmp_path):
    built = synthetic.build(groups=50, concepts=60, shared=0.2, noise=0.2, seed=0)
    save(built, tmp_path / "c")
    again = load(tmp_path / "c")
    assert (
        again.queries.equals(built.queries)
        and again.passages.equals(built.passages)
        and again.qrels.equals(built.qrels)
    )
    assert again.info == built.info and again.name == built.name


def test_the_fingerprint_is_that_of_the_content_whatever_the_order():
    one = make("x", QUERIES, PASSAGES, QRELS, {"date": 1})
    assert make("x", QUERIES.take([2, 0, 1]), PASSAGES, QRELS.take([1, 0]), {"date": 2}).fingerprint == one.fingerprint
    other = PASSAGES.set_column(4, "text", pa.array(["A", "B", "C!"]))
    assert make("x", QUERIES, other, QRELS, {}).fingerprint != one.fingerprint
    # a letter moved from one text to the next changes it too, though all texts in a row read the same
    here, there = (
        make("x", QUERIES.set_column(4, "text", pa.array(texts)), PASSAGES, QRELS, {})
        for texts in (["aa", "b", "c"], ["a", "ab", "c"])
    )
    assert here.fingerprint != there.fingerprint


@pytest.mark.parametrize(
    ("queries", "qrels", "words"),
    [
        (table(("q1", "g1", "en", "train", "a"), ("q1", "g2", "en", "train", "b")), QRELS, "'q1' occurs twice"),
        (table(("q1", "g1", "en", "train", " \n"), ("q2", "g2", "en", "train", "b")), QRELS, "'q1' has no text"),
        (
            QUERIES,
            pa.table({"query_group": ["g1", "g1"], "passage_group": ["g1", "g1"], "grade": [1, 0]}),
            "judged twice",
        ),
        (QUERIES, pa.table({"query_group": ["g9"], "passage_group": ["g1"], "grade": [1]}), "'g9', which has no text"),
    ],
)
def test_bad_content_is_refused_by_name(queries, qrels, words):
    with pytest.raises(UserError, match=words):
        make("x", queries, PASSAGES, qrels, {})


def test_a_language_it_lacks_is_refused_with_those_it_has():
    built = make("x", QUERIES, PASSAGES, QRELS, {})
    assert select(built, ["en"]).languages == ["en"]
    with pytest.raises(UserError, match="has no fr; it has de, en"):
        select(built, ["en", "fr"])


def test_pairs_of_a_split():
    train = pairs(make("x", QUERIES, PASSAGES, QRELS, {}), "train")
    assert train.languages == ["de", "en"] and train.groups.tolist() == ["g1"]
    assert train.query.tolist() == [[1], [0]] and train.passage.tolist() == [[2], [0]]
    assert pairs(make("x", QUERIES, PASSAGES, QRELS, {}), "test").present.tolist() == [[False], [True]]


def test_several_relevant_passages_are_several_groups_and_grade_zero_none():
    passages = pa.concat_tables([PASSAGES, table(("p4", "g9", "en", "*", "D"))])
    qrels = pa.table({"query_group": ["g1", "g1", "g2"], "passage_group": ["g1", "g9", "g2"], "grade": [1, 2, 0]})
    train = pairs(make("x", QUERIES, passages, qrels, {}), "train")
    assert train.groups.tolist() == ["g1", "g1|g9"]
    assert train.question.tolist() == [0, 0] and train.answer.tolist() == [0, 1] and train.judged.tolist() == [0, 1]
    assert pairs(make("x", QUERIES, passages, qrels, {}), "test").groups.tolist() == []


def test_a_damaged_folder_is_refused(tmp_path):
    built = make("x", QUERIES, PASSAGES, QRELS, {})
    save(built, tmp_path / "c")
    (tmp_path / "c" / "queries.arrow").write_bytes(b"torn")
    with pytest.raises(UserError, match="damaged"):
        load(tmp_path / "c")
    (tmp_path / "c" / "info.json").unlink()
    with pytest.raises(UserError, match="no collection"):
        load(tmp_path / "c")
