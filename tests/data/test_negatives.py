"""Hard negatives: read from every form of file, dropped where judged, drawn by key alone."""

import gzip

import numpy as np
import pyarrow as pa
import pytest

from hybrid_sweep.data import column_lines, lookup, negative_lines, negatives
from hybrid_sweep.data.collection import make, select
from hybrid_sweep.data.negatives import HardNegatives, Negatives
from hybrid_sweep.data.pairs import pair_store
from hybrid_sweep.data.pairs import pairs as plain_pairs
from hybrid_sweep.utils.files import read_json
from tests.refused import refused

LANGUAGES = ("de", "en", "fr")
ABSENT = {("5", "de"), ("6", "fr"), ("7", "en")}  # passages without a version in a language


@pytest.fixture
def marco():
    """Questions 100 to 103 (103 is of the split dev), passages 0 to 9, numbers as in MS MARCO; n
    answers 100 + n.
    """
    names = ("id", "group", "lang", "split", "text")
    queries = [
        (
            f"{number}@{language}",
            str(number),
            language,
            "dev" if number == 103 else "train",
            "question",
        )
        for number in range(100, 104)
        for language in LANGUAGES
    ]
    passages = [
        (f"{number}@{language}", str(number), language, "test" if number == 9 else "*", "passage")
        for number in range(10)
        for language in LANGUAGES
        if (str(number), language) not in ABSENT
    ]
    qrels = [
        ("100", "0", 1),
        ("101", "1", 1),
        ("102", "2", 1),
        ("102", "3", 1),
        ("102", "4", 0),
        ("103", "3", 1),
    ]
    columns = ("query_group", "passage_group", "grade")
    tables = (
        pa.table(dict(zip(head, zip(*rows, strict=True), strict=True)))
        for head, rows in ((names, queries), (names, passages), (columns, qrels))
    )
    return make("m", *tables, {})


@pytest.fixture
def said():
    """What the reader told the user."""
    return []


@pytest.fixture
def read(tmp_path, said):
    """The pairs with the negatives of a file with this content."""
    count = iter(range(100))

    def work(collection, text, languages=None, stated=None):
        name = str(next(count))
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        part = select(collection, languages) if languages else collection
        form = negative_lines.form_of(path, stated)
        hard = HardNegatives(path, form, name, collection, said.append)
        return pair_store(tmp_path / "cache", part, "train", hard)

    return work


def listed(pairs):
    """The passages of each question, by the number in the id of their text."""
    hard = pairs.negatives
    rows = hard.passage.max(axis=0)
    return [
        rows[hard.member[a:b]].tolist()
        for a, b in zip(hard.start[:-1], hard.start[1:], strict=True)
    ]


def names(collection, pairs):
    ids = collection.passages["group"].to_pylist()
    return [[ids[row] for row in found] for found in listed(pairs)]


TRIPLES = "100\t0\t4\n100\t0\t5\n101\t1\t5\n102\t2\t8\n102\t3\t8\n102\t2\t1\n"
FOUND = [["4", "5"], ["5"], ["1", "8"]]


TREC = (
    "100 Q0 4 1 9.5 x\n100 Q0 0 2 9 x\n100 Q0 5 3 8 x\n101 Q0 5 1 8 x\n102 Q0 8 1 7 x\n102 Q0 1"
    " 2 7 x\n"
)
MARCO_RUN = (
    "100\t4\t1\n100\t0\t2\n100\t5\t3\n101\t5\t1\n101\t1\t2\n102\t8\t1\n102\t2\t2\n102\t1\t3\n"
)
TEXT_IDS = TRIPLES.replace("\t5\n", "\t5@fr\n").replace("101\t", "101@en\t")
FILES = {
    "tabs": (TRIPLES, "triples"),
    "spaces": (TRIPLES.replace("\t", " "), "triples"),
    "no last feed": (TRIPLES.rstrip("\n"), "triples"),
    "gzip": (gzip.compress(TRIPLES.encode(), mtime=0), "triples"),
    "text ids": (TEXT_IDS.replace("\t3\t", "\t3@de\t"), "triples"),
    "trec": (TREC, "trec"),
    "trec from 0": (
        "100\tQ0\t4\t0\t1\tx\n100\tQ0\t5\t1\t1\tx\n101\tQ0\t5\t0\t1\tx\n102\tQ0\t8\t0\t1\tx\n102\tQ0\t1\t1\t1\tx\n",
        "trec",
    ),
    "marco run": (MARCO_RUN, "msmarco"),
    "from 0": ("100\t4\t0\n100\t5\t1\n101\t5\t0\n102\t8\t0\n102\t3\t1\n102\t1\t2\n", "msmarco"),
    "out of order": ("100\t4\t12\n100\t5\t13\n101\t5\t1\n102\t8\t11\n102\t1\t2\n", "msmarco"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_form_of_file_gives_the_same(marco, read, name):
    text, form = FILES[name]
    assert names(marco, read(marco, text, stated=form)) == FOUND
    if form != "msmarco":  # the number of columns tells it
        assert names(marco, read(marco, text)) == FOUND


def test_three_columns_are_triples_unless_a_run_is_stated_or_the_first_could_be_a_rank(marco, read):
    triples = "100\t0\t5\n100\t0\t1\n"
    assert names(marco, read(marco, triples)) == [["1", "5"], [], []]
    turned = "100\t0\t1\n100\t0\t5\n"
    with refused("negatives.ambiguous", "data.negatives_format"):
        read(marco, turned)
    assert names(marco, read(marco, turned, stated="triples")) == [["1", "5"], [], []]


@pytest.mark.parametrize(
    ("text", "stated"), [(TRIPLES, "trec"), (TREC, "triples"), (TREC, "msmarco")]
)
def test_another_number_of_columns_than_the_stated_format_has_is_refused(marco, read, text, stated):
    with refused("line.columns", "line 1: ", stated):
        read(marco, text, stated=stated)


def test_so_it_does_in_small_blocks_and_parts(marco, read, monkeypatch):
    monkeypatch.setattr(column_lines, "BLOCK", 5)
    for size in (2, 5):  # the line that stands twice falls into one part, and into two
        for module in (lookup, negatives):
            monkeypatch.setattr(module, "SLICE", size)
        assert names(marco, read(marco, TRIPLES)) == FOUND
    assert names(marco, read(marco, gzip.compress(TRIPLES.encode()))) == FOUND
    with refused("line.not_in_collection", "line 7: ", "passage '77'"):
        read(marco, TRIPLES + "100\t0\t77\n")
    with refused("line.columns", "line 5: ", 2):
        read(marco, "100\t0\t4\n" * 4 + "100\t0\n")


def test_what_cannot_be_a_negative_is_left_out_and_counted(marco, read, said, tmp_path):
    # judged relevant, a question of another split, a passage of another split alone, and twice the
    # same
    pairs = read(marco, TRIPLES + "102\t2\t3\n103\t3\t5\n100\t0\t9\n100\t0\t5\n")
    assert names(marco, pairs) == FOUND
    (folder,) = (path for path in (tmp_path / "cache" / "pairs").iterdir() if path.is_dir())
    counts = read_json(folder / "info.json")["negatives"]
    assert "judged relevant 1, candidates 8, kept 5" in said[0]
    assert counts == {
        "lines": 10, "deeper": 0, "other_questions": 1, "judged_relevant": 1, "candidates": 8, "kept": 5
    }  # fmt: skip


def test_only_the_first_ranks_of_a_run_count(marco, read, monkeypatch):
    monkeypatch.setattr(negatives, "DEPTH", 2)
    run = "100 Q0 4 3 1 x\n100 Q0 5 2 2 x\n100 Q0 8 1 3 x\n"
    assert names(marco, read(marco, run)) == [["5", "8"], [], []]


@pytest.mark.parametrize(
    ("text", "key", "facts"),
    [
        ("", "data.file_empty", []),
        ("100\t0\n", "line.columns", ["line 1: ", "2 columns"]),
        ("100\t0\t4\n100\t0\n", "line.columns", ["line 2: ", "2 columns", "3"]),
        ("100\t0\t4\n\n100\t0\t5\n", "line.columns", ["line 2: ", "0 columns"]),
        (
            "100\t0\t4\n100\t0\t5\n999\t0\t5\n",
            "line.not_in_collection",
            ["line 3: ", "query '999'"],
        ),
        ("100\t0\t4\n100\t0\t77\n", "line.not_in_collection", ["line 2: ", "passage '77'"]),
        (
            "100\t0\t4\n100\t0\t5\n100\t77\t5\n",
            "line.not_in_collection",
            ["line 3: ", "passage '77'"],
        ),
        ("100\t0\tx\n", "line.not_in_collection", ["line 1: ", "passage 'x'"]),
        ("100 Q0 4 1 1 x\n100 Q0 5 two 1 x\n", "line.rank", ["line 2: ", "'two'"]),
        ("100\t0\t4\r\n", "line.carriage_return", ["line 1: "]),
        (b"100\t0\t4\n100\t0\t\xff\n", "line.encoding", ["line 2: "]),
        ("100\t0\t1\n101\t1\t0\n", "negatives.ambiguous", ["data.negatives="]),
        ("103\t3\t5\n103\t3\t4\n", "negatives.none", ["data.negatives="]),
        (
            gzip.compress(TRIPLES.encode() * 50, mtime=0)[:-20],
            "data.gzip_damaged",
            ["data.negatives="],
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(marco, read, text, key, facts):
    with refused(key, *facts) as refusal:
        read(marco, text)
    assert "\n" not in refusal.message


def test_numbers_are_those_of_the_answers_and_others_follow(marco, read):
    pairs = read(marco, TRIPLES)
    hard = pairs.negatives
    assert pairs.answer.tolist() == [0, 1, 2, 3] and pairs.width == 7
    assert dict(zip(["1", "4", "5", "8"], hard.number.tolist(), strict=True)) == {
        "1": 1,
        "4": 4,
        "5": 5,
        "8": 6,
    }
    # the keys of what is judged hold with the new width
    assert pairs.judged.tolist() == sorted((pairs.question * pairs.width + pairs.answer).tolist())
    plain = plain_pairs(marco, "train")
    for name in ("question", "answer", "query", "passage", "groups"):
        assert getattr(plain, name).tolist() == getattr(pairs, name).tolist()


def test_of_a_selection_only_its_texts_count_but_ids_of_all_languages(marco, read):
    pairs = read(
        marco, TRIPLES.replace("\t8\n", "\t8@fr\n") + "100\t0\t7@fr\n100\t0\t6\n", ["de", "en"]
    )
    part = select(marco, ["de", "en"])
    assert names(part, pairs) == [["4", "5", "6", "7"], ["5"], ["1", "8"]]
    for language, rows in zip(pairs.languages, pairs.negatives.passage, strict=True):
        for row in rows[rows >= 0]:
            assert part.passages["lang"][int(row)].as_py() == language


def made(count=40, questions=5, languages=3, seed=0):
    """Negatives at random: question n has from 0 to `count` of them, a third of their texts are
    missing.
    """
    draw = np.random.default_rng(seed)
    members = [
        np.sort(draw.permutation(count)[: draw.integers(0, count)]) for _ in range(questions)
    ]
    members[1] = members[1][:1]
    passage = np.where(
        draw.random((languages, count)) < 2 / 3,
        np.arange(languages * count).reshape(languages, -1),
        -1,
    )
    return Negatives(
        np.repeat(np.arange(questions), 2),
        np.cumsum([0, *map(len, members)]),
        np.concatenate(members).astype(np.int32),
        np.arange(count) + 100,
        passage.astype(np.int32),
    )


def drawn(hard, k=4, key=(0, 5, 7), cross=True, groups=None, first=0, second=1):
    groups = np.arange(len(hard.question)) if groups is None else np.array(groups)
    query, partner = (np.full(len(groups), value) for value in (first, second))
    members = hard.chosen(groups, (query, partner), k, key)
    return hard.read(members, (partner if cross else query)[:, None])


def test_drawn_are_distinct_negatives_of_the_question_that_stand_in_both_languages():
    hard = made()
    rows, numbers = drawn(hard)
    assert rows.dtype == numbers.dtype == np.int64 and rows.shape == (10, 4)
    for group in range(10):
        question = hard.question[group]
        of_question = hard.member[hard.start[question] : hard.start[question + 1]]
        usable = {int(n) + 100 for n in of_question if (hard.passage[:2, n] >= 0).all()}
        found = [number for number in numbers[group].tolist() if number >= 0]
        assert len(set(found)) == len(found) == min(4, len(usable)) and set(found) <= usable
        # none is missing before one that is there
        assert numbers[group].tolist() == found + [-1] * (4 - len(found))
        assert rows[group].tolist() == [hard.passage[1, n - 100] for n in found] + [-1] * (
            4 - len(found)
        )


def test_the_kind_of_an_example_changes_the_language_alone():
    hard = made()
    (mono, alone), (cross, other) = drawn(hard, cross=False), drawn(hard, cross=True)
    assert (alone == other).all() and (mono[mono >= 0] != cross[mono >= 0]).all()
    assert (mono[mono >= 0] < 40).all() and (
        (cross[cross >= 0] >= 40) & (cross[cross >= 0] < 80)
    ).all()


def test_mixed_languages_are_drawn_evenly_among_those_that_a_passage_has():
    hard = made(count=300, questions=40)
    groups = np.arange(80)
    first = np.zeros(80, np.int64)
    members = hard.chosen(groups, (first, first), 4, (0, 5, 7))
    allowed = np.array([0, 2])
    languages = hard.mixed(groups, members, allowed, (0, 5, 7))
    rows, numbers = hard.read(members, languages)
    there = members >= 0
    assert (rows[there] >= 0).all() and (numbers[there] == members[there] + 100).all()
    assert (rows[~there] == -1).all()
    both = there & (hard.passage[2, members] >= 0)
    assert (languages[there & ~both] == 0).all() and both.sum() > 100
    assert 0.35 < (languages[both] == 2).mean() < 0.65
    assert (hard.mixed(groups, members, allowed, (0, 5, 8)) != languages)[both].any()
    part = hard.mixed(groups[30:], members[30:], allowed, (0, 5, 7))
    assert np.array_equal(part, languages[30:])


def test_another_key_or_group_is_another_draw_and_other_examples_none():
    hard = made()
    numbers = drawn(hard, key=(0, 5, 7))[1]
    assert (drawn(hard, key=(0, 5, 7))[1] == numbers).all()
    for key in ((0, 5, 8), (1, 5, 7), (0, 6, 7)):
        assert (drawn(hard, key=key)[1] != numbers).any()
    assert (drawn(hard, groups=[3, 8])[1] == numbers[[3, 8]]).all()
    pairs = [group for group in range(0, 10, 2) if (numbers[group] >= 0).all()]
    # two groups of one question
    assert any((numbers[group] != numbers[group + 1]).any() for group in pairs)
    assert (drawn(hard, k=2)[1] == numbers[:, :2]).all()


def test_the_parts_of_a_draw_do_not_change_it(monkeypatch):
    hard = made()
    whole = drawn(hard)
    for size in (1, 60):
        monkeypatch.setattr(negatives, "TABLE", size)
        assert all((one == other).all() for one, other in zip(whole, drawn(hard), strict=True))


def test_all_negatives_of_a_question_are_drawn_alike_often():
    hard = Negatives(
        np.zeros(1, int), np.array([0, 6]), np.arange(6), np.arange(6), np.arange(12).reshape(2, 6)
    )
    wanted = 2000
    found = [drawn(hard, k=1, key=(3, 5, step))[1][0, 0] for step in range(wanted)]
    counts, expected = np.bincount(found, minlength=6), wanted / 6
    # chi squared, 5 degrees of freedom, p = 0.001
    assert ((counts - expected) ** 2 / expected).sum() < 20.5


def test_without_a_file_nothing_is_drawn():
    rows, numbers = drawn(Negatives.none(np.repeat(np.arange(5), 2), 3))
    assert (rows == -1).all() and (numbers == -1).all() and rows.shape == (10, 4)
