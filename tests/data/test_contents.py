"""What a collection holds is told by split, language and pair, and why nothing can be trained."""

import pyarrow as pa
import pytest

from hybrid_sweep.data import contents
from hybrid_sweep.data.collection import QRELS, TEXTS, make, select
from hybrid_sweep.data.pairs import pairs


def built(queries, passages, judged):
    """A collection of (id, group, language, split) rows; each is judged with its own group."""

    def table(rows):
        columns = zip(*[(*row, f"text {row[0]}") for row in rows], strict=True)
        return pa.table(dict(zip(TEXTS.names, map(list, columns), strict=True)))

    grades = pa.table({"query_group": judged, "passage_group": judged, "grade": [1] * len(judged)})
    return make("toy", table(queries), table(passages), grades.cast(QRELS), {})


def rows(kind, groups, languages, split="train"):
    return [(f"{kind}-{g}-{lang}", g, lang, split) for g in groups for lang in languages]


def test_each_split_and_language_is_counted():
    queries = rows("q", ["a", "b"], ["de", "en"]) + rows("q", ["c"], ["en"], "test")
    passages = rows("p", ["a", "b"], ["de", "en"]) + rows("p", ["c"], ["en", "fr"], "*")
    made = built(queries, passages, ["a", "b", "c"])
    assert contents.counts(made) == {
        "train": {"de": (2, 2), "en": (2, 2)},
        "test": {"en": (1, 0)},
        "all": {"en": (0, 1), "fr": (0, 1)},
    }
    assert contents.in_short(made) == "train 4, test 1"
    told = contents.lines(made, pairs(made, "train"))
    assert len(told) == 4 and "de>en 2" in told[-1] and "fr" not in told[-1]
    both = select(made, ["de", "en"])
    assert "de-en 2" in contents.lines(both, pairs(both, "train"))[-1]


@pytest.mark.parametrize(
    ("queries", "passages", "fact"),
    [
        (rows("q", ["a"], ["de", "en"], "test"), rows("p", ["a"], ["de", "en"], "test"), "train"),
        (rows("q", ["a"], ["en"]), rows("p", ["a"], ["en"]), "one language"),
        (
            rows("q", ["a"], ["en"]) + rows("q", ["b"], ["de"]),
            rows("p", ["a"], ["en"]) + rows("p", ["b"], ["de"]),
            "group",
        ),
    ],
)
def test_the_reason_why_nothing_cross_lingual_can_be_trained_is_told(queries, passages, fact):
    made = built(queries, passages, sorted({row[1] for row in queries}))
    told = contents.trainable(pairs(made, "train"))[-1]
    assert told.startswith("nothing ") and "can be trained" in told and fact in told


def test_ordered_pairs_and_what_is_missing_are_told():
    queries = rows("q", ["a", "b", "c"], ["en"])
    passages = rows("p", ["a", "b"], ["zh", "fa"]) + rows("p", ["c"], ["zh"])
    told = contents.trainable(pairs(built(queries, passages, ["a", "b", "c"]), "train"))
    assert "en>fa 2, en>zh 3" in told[0]
    assert told[1].startswith("nothing monolingual") and "cross_lingual_ratio=1" in told[1]
    alone = rows("q", ["a"], ["en"]) + rows("q", ["b"], ["de"])
    answers = rows("p", ["a"], ["en"]) + rows("p", ["b"], ["de"])
    told = contents.trainable(pairs(built(alone, answers, ["a", "b"]), "train"))
    assert "de>de 1, en>en 1" in told[0]
    assert told[1].startswith("nothing cross-lingual") and "cross_lingual_ratio=0" in told[1]


def test_of_many_languages_the_extremes_are_told():
    languages = [f"l{number:02d}" for number in range(30)]
    queries, passages = (rows(kind, ["a", "b"], languages) for kind in "qp")
    made = built(queries, passages, ["a", "b"])
    told = contents.lines(made, pairs(made, "train"))
    assert max(map(len, told)) < 200 and f"{30 * 29 // 2} of them" in told[-1]
