"""The scores of a teacher: read from plain and packed files, looked up by groups and by texts."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid_sweep.data import column_lines, teacher
from hybrid_sweep.data.collection import Collection, select
from hybrid_sweep.data.negatives import HardNegatives
from hybrid_sweep.data.pairs import Pairs, pair_store
from hybrid_sweep.data.teacher import ScoredPairs, TeacherFile, TeacherScores, teacher_store
from tests.data.test_negatives import TRIPLES, marco  # noqa: F401
from tests.refused import refused

GROUPS = "100\t0\t7.5\n100\t4\t-1.25\n101\t1\t2e1\n101\t5\t+.5\n102\t2\t3\n102\t8\t1\n"
Read = Callable[..., tuple[TeacherScores, Pairs, Collection]]


@pytest.fixture
def told() -> list[str]:
    """What the reader told the user."""
    return []


@pytest.fixture
def read(tmp_path: Path, marco: Collection, told: list[str]) -> Read:  # noqa: F811
    """The scores of a file with this content, with the pairs and the collection they are of."""
    negatives = tmp_path / "negatives.tsv"
    negatives.write_text(TRIPLES)
    count = iter(range(100))

    def work(text: str | bytes, languages: list[str] | None = None) -> Any:
        name = str(next(count))
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        part = select(marco, languages) if languages else marco
        hard = HardNegatives(negatives, "triples", "n", marco)
        pairs = pair_store(tmp_path / "cache", part, "train", hard, told.append)
        file = TeacherFile(path, name, marco, told.append)
        return teacher_store(tmp_path / "cache", file, part, pairs, "n"), pairs, part

    return work


def score(made: tuple[TeacherScores, Pairs, Collection], query: str, passage: str) -> float:
    """The score of two texts by their ids, looked up as training does."""
    scores, pairs, collection = made
    rows = []
    for table, name in ((collection.queries, query), (collection.passages, passage)):
        rows.append(table["id"].to_pylist().index(name))
    question = int(pairs.question[np.flatnonzero((pairs.query == rows[0]).any(axis=0))[0]])
    hard = pairs.negatives
    assert hard is not None
    answer = pairs.answer[(pairs.passage == rows[1]).any(axis=0)].tolist()
    answer += hard.number[(hard.passage == rows[1]).any(axis=0)].tolist()
    asked = [np.array([number]) for number in (question, rows[0], answer[0], rows[1])]
    return float(scores.of(ScoredPairs(*asked))[0])


FILES = {
    "tabs": GROUPS,
    "spaces": GROUPS.replace("\t", " "),
    "no last feed": GROUPS.rstrip("\n"),
    "gzip": gzip.compress(GROUPS.encode(), mtime=0),
    "turned": "".join(reversed(GROUPS.splitlines(keepends=True))),
    "twice": GROUPS + GROUPS,
}


@pytest.mark.parametrize("name", FILES)
def test_a_score_of_two_groups_holds_for_their_texts_in_every_language(
    read: Read, name: str
) -> None:
    made = read(FILES[name])
    for query, passage in (("100@de", "0@de"), ("100@en", "0@fr"), ("100@fr", "0@en")):
        assert score(made, query, passage) == 7.5
    assert score(made, "100@de", "4@fr") == -1.25 and score(made, "101@fr", "5@en") == 0.5
    assert score(made, "101@en", "1@en") == 20 and np.isnan(score(made, "101@en", "8@en"))


def test_blocks_and_parts_of_any_size_give_the_same(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read(GROUPS)[0]
    monkeypatch.setattr(column_lines, "BLOCK", 5)
    monkeypatch.setattr(teacher, "SLICE", 4)
    parts = read(GROUPS)[0]
    assert np.array_equal(whole.keys, parts.keys) and np.array_equal(whole.scores, parts.scores)
    with refused("line.score", "line 6: "):
        read(GROUPS[:-2] + "x\n")


def test_the_score_of_single_texts_comes_before_that_of_their_groups(read: Read) -> None:
    lines = ("100\t0\t1", "100\t0@de\t2", "100@en\t0\t3", "100@en\t0@de\t4")
    for count in range(1, 5):
        made = read("\n".join(lines[:count]) + "\n")
        assert score(made, "100@de", "0@fr") == 1
        assert score(made, "100@fr", "0@de") == (2 if count > 1 else 1)
        assert score(made, "100@en", "0@fr") == (3 if count > 2 else 1)
        assert score(made, "100@en", "0@de") == (4 if count > 3 else min(count, 3))


def test_lines_about_other_texts_are_counted_and_left_out(read: Read, told: list[str]) -> None:
    others = "103\t3\t1\n100\t9\t1\n100\t7@fr\t1\n"  # of dev, of test, and of no training question
    made = read(GROUPS + others + "100@fr\t0\t9\n", ["de", "en"])
    assert len(made[0].keys) == 6 and score(made, "100@de", "0@de") == 7.5
    assert "lines 10, of other texts 4, kept 6" in told[-1]
    with refused("teacher.none"):
        read(others)


def test_absent_passages_have_no_score(read: Read) -> None:
    scores = read(GROUPS)[0]
    asked, absent = np.arange(scores.questions), np.full(scores.questions, -1)
    assert np.isnan(scores.of(ScoredPairs(asked, asked, absent, absent))).all()
    last = ScoredPairs(asked, asked, absent + scores.answers, np.zeros(1, np.int64))
    assert not np.isnan(scores.of(last)).all()  # a number next to that of an absent one is scored


BAD = {
    "columns": ("line.columns", "line 1: ", "100\t0\n"),
    "later columns": ("line.columns", "line 7: ", GROUPS + "100\t0\n"),
    "word": ("line.score", "line 7: ", GROUPS + "100\t5\thigh\n"),
    "no score": ("line.score", "line 7: ", GROUPS + "100\t5\t\n"),
    "nan": ("line.score", "'nan'", GROUPS + "100\t5\tnan\n"),
    "infinite": ("line.score", "'1e999'", GROUPS + "100\t5\t1e999\n"),
    "query": ("line.not_in_collection", "line 7: the query '77'", GROUPS + "77\t5\t1\n"),
    "passage": ("line.not_in_collection", "line 7: the passage '77'", GROUPS + "100\t77\t1\n"),
    "another score": ("line.score_repeated", "line 8: ", GROUPS + "101\t3\t1\n100\t4\t1\n"),
    "empty": ("data.file_empty", "score", ""),
    "carriage return": ("line.carriage_return", "line 1: ", GROUPS.replace("\n", "\r\n")),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_refused_with_its_number(read: Read, name: str) -> None:
    key, fact, text = BAD[name]
    with refused(key, fact):
        read(text)


def test_a_packed_file_that_is_cut_is_refused(read: Read) -> None:
    with refused("data.gzip_damaged", "loss.distillation.path"):
        read(gzip.compress(GROUPS.encode() * 100)[:-20])


def test_damaged_scores_in_the_cache_are_read_again(
    read: Read,
    tmp_path: Path,
    told: list[str],
    marco: Collection,  # noqa: F811
) -> None:
    scores, pairs, part = read(GROUPS)
    (stored,) = (tmp_path / "cache" / "teacher").glob("*/scores.npy")
    wanted = np.array(scores.scores)
    changed = bytearray(stored.read_bytes())
    changed[-1] ^= 1
    del scores
    stored.unlink()
    stored.write_bytes(changed)
    file = TeacherFile(tmp_path / "0", "0", marco, told.append)
    again = teacher_store(tmp_path / "cache", file, part, pairs, "n")
    assert np.array_equal(again.scores, wanted) and "damaged" in told[-2]
