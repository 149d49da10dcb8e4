"""Users' own files: every format, one folder or one for each language, groups, splits, and bad
lines.
"""

import gzip
import json
import re
from pathlib import Path

import pytest

from hybrid_sweep.commands import data_verbs
from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import FilesData
from hybrid_sweep.data import text_records
from hybrid_sweep.data.collection import Collection, DamagedCollection, load, save
from hybrid_sweep.data.datasets import files
from hybrid_sweep.data.datasets.sources import clusters_of, has_clusters
from hybrid_sweep.data.export import export
from hybrid_sweep.data.pairs import ordered_pairs, pairs
from hybrid_sweep.inputs import prepare
from hybrid_sweep.utils import text_lines
from tests.refused import refused


def put(folder: Path, **contents: str) -> Path:
    """Files by name; __ stands for a dot, and two more for a slash."""
    for name, text in contents.items():
        path = folder / name.replace("____", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def lines(*nodes: dict) -> str:
    return "".join(json.dumps(node) + "\n" for node in nodes)


def read(path: Path, *languages: str, said: list | None = None, **fields) -> Collection:
    data = FilesData(
        name="files", languages=list(languages) or ["en", "de"], path=str(path), **fields
    )
    return files.build(data, path.parent, (said if said is not None else []).append)


def beir(folder: Path, mark: str = "") -> Path:
    return put(
        folder,
        corpus__jsonl=lines(
            {"_id": "d1", "title": "T", "text": f"one{mark}", "metadata": {}},
            {"_id": "d2", "title": "", "text": f"two{mark}"},
        ),
        queries__jsonl=lines(*({"_id": f"q{n}", "text": f"ask {n}{mark}"} for n in (1, 2, 3))),
        qrels____test__tsv="query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n",
        qrels____train__tsv="query-id\tcorpus-id\tscore\nq2\td2\t1\n",
    )


def rows(table) -> list[tuple]:
    return [tuple(row.values()) for row in table.to_pylist()]


def test_a_beir_folder_is_one_language(tmp_path):
    built = read(beir(tmp_path / "x"), "en")
    assert rows(built.queries) == [
        ("q1", "q1", "en", "test", "ask 1"),
        ("q2", "q2", "en", "train", "ask 2"),
    ]
    assert rows(built.passages) == [
        ("d1", "d1", "en", "*", "T one"),
        ("d2", "d2", "en", "*", "two"),
    ]
    assert rows(built.qrels) == [("q1", "d1", 2), ("q1", "d2", 0), ("q2", "d2", 1)]
    assert built.info["queries_without_judgement"] == 1 and built.info["format"] == "beir"


def test_a_folder_for_each_language_is_monolingual_without_groups(tmp_path):
    for language in ("en", "de"):
        beir(tmp_path / "x" / language, language)
    built = read(tmp_path / "x")
    assert built.languages == ["de", "en"]
    assert rows(built.queries)[0] == ("q1@de", "q1@de", "de", "test", "ask 1de")
    assert rows(built.passages)[1] == ("d1@en", "d1@en", "en", "*", "T oneen")
    assert ("q1@en", "d1@en", 2) in rows(built.qrels) and len(built.qrels) == 6
    assert pairs(built, "train").present.sum(0).tolist() == [1, 1]  # no group is in both languages


def jsonl(folder: Path, **changes: str) -> Path:
    """Two questions in en and de, judged in English alone; one only in de."""
    texts = {
        "queries": [
            *(
                {"id": f"q{n}-{la}", "lang": la, "group": f"q{n}", "text": f"{la}{n}"}
                for n in "12"
                for la in ("en", "de")
            ),
            {"id": "q3-de", "lang": "de", "text": "de3", "split": "train"},
        ],
        "passages": [
            {"id": f"p{n}-{la}", "lang": la, "group": f"p{n}", "text": f"{la} {n}", "split": "*"}
            for n in "12"
            for la in ("de", "en", "sw")
        ],
    }
    judged = [
        ("q1-en", "p1-en", 1),
        ("q2-en", "p1-en", 3),
        ("q1-de", "p1-en", 1),
        ("q3-de", "p2-de", 1),
    ]
    return put(
        folder,
        queries__jsonl=changes.get("queries", lines(*texts["queries"])),
        passages__jsonl=changes.get("passages", lines(*texts["passages"])),
        qrels__jsonl=changes.get(
            "qrels",
            lines(*(dict(zip(("query", "passage", "grade"), row, strict=True)) for row in judged)),
        ),
    )


def test_a_group_makes_a_collection_cross_lingual(tmp_path):
    built = read(jsonl(tmp_path / "x"))
    assert built.query_languages == ["de", "en"] and built.one_sided == ["sw"]
    assert built.languages == built.passage_languages == ["de", "en", "sw"]
    assert rows(built.queries)[:2] == [
        ("q1-de", "q1", "de", "test", "de1"),
        ("q1-en", "q1", "en", "test", "en1"),
    ]
    assert rows(built.qrels) == [("q1", "p1", 1), ("q2", "p1", 3), ("q3-de", "p2", 1)]
    test = pairs(built, "test")
    assert test.groups.tolist() == ["q1|p1", "q2|p1"] and test.present[:2].all()
    assert ordered_pairs(test).tolist() == [[2, 2, 2], [2, 2, 2], [0, 0, 0]]


TSV = dict(
    collection__tsv="p1\tone\ten\tP1\ttrain\np2\ttwo\tde\tP1\t*\n",
    queries__train__tsv="q1\task\ten\tQ\nq2\tfrag\tde\tQ\n",
    qrels__train__tsv="q1\t0\tp1\t1\n",
)


def test_tsv_with_columns_for_language_group_and_split(tmp_path):
    built = read(put(tmp_path / "x", **TSV))
    assert rows(built.queries) == [
        ("q1", "Q", "en", "train", "ask"),
        ("q2", "Q", "de", "train", "frag"),
    ]
    assert rows(built.passages) == [
        ("p1", "P1", "en", "train", "one"),
        ("p2", "P1", "de", "*", "two"),
    ]
    assert pairs(built, "train").present.all()


def test_the_columns_of_ms_marco_in_a_folder_for_each_language(tmp_path):
    for language in ("en", "sw"):
        put(
            tmp_path / "x" / language,
            collection__tsv='1\t"a\n',
            queries__dev__tsv="7\tq\n",
            qrels__dev__tsv="7\t0\t1\t1\n",
        )
    assert rows(read(tmp_path / "x").passages) == [
        ("1@en", "1@en", "en", "*", '"a'),
        ("1@sw", "1@sw", "sw", "*", '"a'),
    ]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("tags", [False, True])
def test_trec_topics_as_tags_or_columns(tmp_path, tags, packed):
    top = (
        "<top>\n<num> Number: 301 \n<title> Topic: organised\ncrime\n<desc>"
        " Description:\nwords\n</top>\n\n"
    )
    put(
        tmp_path / "x",
        corpus__jsonl=lines(
            {"docid": "a#0", "title": "T", "text": "x"}, {"docid": "b", "text": "y"}
        ),
        qrels__test__txt="301 0 a#0  1\n301 0\tb 0\n",
        **{
            "topics__test__trec" if tags else "topics__test__tsv": (
                top if tags else "301\torganised crime\n"
            )
        },
    )
    if packed:
        for path in list((tmp_path / "x").iterdir()):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    built = read(tmp_path / "x", "en")
    assert rows(built.queries) == [("301", "301", "en", "test", "organised crime")]
    assert (
        rows(built.qrels) == [("301", "a#0", 1), ("301", "b", 0)] and built.info["format"] == "trec"
    )


TOPICS = {
    "attributes": "<top lang='en'>\n<num lang=en>7</num>\n<title lang='en'>a line</title>\n</top>\n",
    "one line": "<top><num>7</num><title>a line</title><desc>no</desc></top>\n",
    "unclosed on a line": "<top><num> Number: 7 <title> Topic: a line <desc> no\n</top>\n",
    "upper case": "<TOP>\n<NUM> NUMBER: 7\n<TITLE> TOPIC: a line\n<DESC>\nno\n</TOP>\n",
    "after the title": "<top>\n<num>7</num>\n<title>a line</title>\nno\n</top>\n",
    "markup": "<top>\n<num>7\n<title>a <b>line</b>\n</top>\n",
    "markup first": "<top>\n<num>7\n<title>\n<B>a</B> l<i class='x'>ine</i>\n<desc> no\n</top>\n",
    "markup between": "<top>\n<num>7\n<title>a<br/>line\n</top>\n",
    "an unknown part": "<top>\n<num>7\n<title>a line\n<con> no\n</top>\n",
    "two a line": "<top><num>7<title>a line</top> <top><num>8<title>other</top>\n",
}


@pytest.mark.parametrize("case", TOPICS)
def test_topics_are_read_however_their_tags_are_written(tmp_path, case):
    path = tmp_path / "topics.test.trec"
    path.write_text(TOPICS[case])
    first, *_ = text_records.topics(path, text_lines.STRICT, "test")
    assert (first.id, first.text, first.line) == ("7", "a line", 1)
    assert first.lang == ("en" if case == "attributes" else None)


@pytest.mark.parametrize("title", ["List<String> in java", "a < b and b > c", "I <3 it"])
def test_angle_brackets_that_are_no_tag_stay_in_a_title(tmp_path, title):
    path = tmp_path / "topics.test.trec"
    path.write_text(f"<top>\n<num>7\n<title>{title}\n<desc>\n</top>\n")
    assert [line.text for line in text_records.topics(path, text_lines.STRICT, "test")] == [title]


@pytest.mark.parametrize(
    ("topic", "key"),
    [
        ("<num>7", "line.outside_topic"),
        ("</top>", "line.outside_topic"),
        ("x <top>", "line.outside_topic"),
        ("<top><top>", "line.topic_unclosed"),
        ("<top>", "line.topic_unclosed"),
        ("<top><num>7</top>", "line.topic_incomplete"),
        ("<top><title>a</top>", "line.topic_incomplete"),
    ],
)
def test_a_topic_that_is_not_whole_is_a_bad_line(tmp_path, topic, key):
    path = tmp_path / "topics.test.trec"
    path.write_text(topic + "\n")
    with refused(key, "line 1"):
        list(text_records.topics(path, text_lines.STRICT, "test"))


def test_where_nothing_is_left_the_first_reason_is_told(tmp_path):
    folder = beir(tmp_path / "x")
    for path in folder.rglob("*.*"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with refused("data.nothing_usable", "corpus.jsonl, line 1: ", "CR LF"):
        read(folder, "en", on_error="skip")


@pytest.mark.parametrize("apart", [False, True])
def test_queries_that_are_passages_themselves_are_counted_and_told(tmp_path, apart):
    said, folder = [], tmp_path / "x"
    beir(folder / "en" if apart else folder)
    assert "queries_in_corpus" not in read(folder, "en", said=said).info
    assert not any("of 2 queries" in line for line in said)
    corpus = folder / ("en/corpus.jsonl" if apart else "corpus.jsonl")
    corpus.write_text(corpus.read_text() + lines({"_id": "q2", "text": "ask 2"}))
    built = read(folder, "en", said=said)
    assert built.info["queries_in_corpus"] == 1 and "1 of 2 queries" in said[-1]


Z = '{"id": "z", "lang": "en", "text": "z"'
BAD = {
    "no json": ("queries", "{,}", "line.json"),
    "a list": ("queries", "[1]", "line.json_object"),
    "an empty line": ("passages", "", "line.empty", "is empty"),
    "an empty judgement": ("qrels", "", "line.empty", "is empty"),
    "deep": ("passages", "[" * 100_000, "line.json"),
    "a long number": (
        "qrels",
        '{"grade": ' + "9" * 5000 + "}",
        "line.json",
    ),
    "half a pair": ("queries", Z[:-1] + '\\ud800"}', "line.surrogate"),
    "no id": ("queries", '{"text": "x"}', "line.field_missing", "_id or id or docid"),
    "no text": ("passages", '{"id": "x", "lang": "en"}', "line.field_missing", "field text"),
    "id is a list": ("passages", '{"id": ["x"], "text": "y"}', "line.field_kind", "field id"),
    "empty id": (
        "passages",
        '{"id": " ", "lang": "en", "text": "y"}',
        "line.name",
        "id ' ' of a passage",
    ),
    "a break in an id": (
        "queries",
        '{"id": "a\\nb", "lang": "en", "text": "y"}',
        "line.name",
        "query",
    ),
    "blank text": (
        "passages",
        '{"id": "x", "lang": "en", "text": " \\u2003"}',
        "line.text_empty",
        "passage 'x'",
    ),
    "no visible text": (
        "queries",
        '{"id": "x", "lang": "en", "text": "\\u200b \\ufeff\\u2060\\u3164"}',
        "line.text_empty",
        "query 'x'",
    ),
    "no language": ("queries", '{"id": "x", "text": "y"}', "line.language_missing", "field lang"),
    "odd language": ("queries", '{"id": "x", "lang": "*", "text": "y"}', "line.language", "'*'"),
    "odd split": (
        "passages",
        Z + ', "split": "eval"}',
        "line.split",
        "'eval' of a passage",
        "train, dev, test, *",
    ),
    "pool of a query": ("queries", Z + ', "split": "*"}', "line.split", "'*' of a query"),
    "id twice": (
        "queries",
        '{"id": "q1-en", "lang": "de", "text": "y"}',
        "line.text_repeated",
        "query 'q1-en'",
        "in line 1",
    ),
    "group twice": (
        "passages",
        Z + ', "group": "p2"}',
        "line.text_repeated",
        "passage 'p2' in en",
        "in line 5",
    ),
    "two splits": (
        "queries",
        Z + ', "group": "q3-de", "split": "dev"}',
        "line.split_contradicts",
        "'dev'",
    ),
    "unknown query": (
        "qrels",
        '{"query": "z", "passage": "p1-en", "grade": 1}',
        "line.judgement_stray",
        "query 'z'",
    ),
    "unknown passage": (
        "qrels",
        '{"query": "q1-en", "passage": "z", "grade": 1}',
        "line.judgement_stray",
        "passage 'z'",
    ),
    "judged twice": (
        "qrels",
        '{"query": "q1-en", "passage": "p1-en", "grade": 1}',
        "line.judged_twice",
    ),
    "other grade": (
        "qrels",
        '{"query": "q1-de", "passage": "p1-de", "grade": 2}',
        "line.grade_contradicts",
        "grade 2",
    ),
    "negative": (
        "qrels",
        '{"query": "q1-de", "passage": "p1-de", "grade": -1}',
        "line.whole_number",
        "grade '-1' must be 0 or more",
    ),
    "share": (
        "qrels",
        '{"query": "q1-de", "passage": "p1-de", "grade": 0.5}',
        "line.field_kind",
        "field grade",
    ),
    "huge": (
        "qrels",
        '{"query": "q1-de", "passage": "p1-de", "grade": 2147483648}',
        "line.grade_too_large",
        "2147483648",
    ),
    "CR LF": ("qrels", "{}\r", "line.carriage_return"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_refused_or_skipped(tmp_path, case):
    name, line, key, *facts = BAD[case]
    whole = read(jsonl(tmp_path / "x")).fingerprint
    path = tmp_path / "x" / f"{name}.jsonl"
    with open(path, "a", newline="") as file:
        file.write(line + "\n")
    number = path.read_bytes().count(b"\n")
    with refused(key, f"{path}, line {number}: ", *facts) as refusal:
        read(tmp_path / "x")
    assert "\n" not in refusal.message
    assert ("on_error=skip" in refusal.message) == (key not in text_lines.WHOLE_FILE)
    said = []
    built = read(tmp_path / "x", on_error="skip", said=said)
    assert (
        built.fingerprint == whole
        and built.info["skipped"]["count"] == 1
        and "1 line left out" in said[-1]
    )
    first = built.info["skipped"]["first"][0]
    assert first["line"] == number and all(fact in first["reason"] for fact in facts)


@pytest.mark.parametrize(
    ("name", "text", "key", "fact"),
    [
        (
            "collection__tsv",
            "p\tx\ty\tz\ta\tb\n",
            "line.columns",
            "6 columns, not 2 to 5: id, text, lang, group, split",
        ),
        ("collection__tsv", TSV["collection__tsv"] + "p3\tx\n", "line.columns", "2 columns, not 5"),
        (
            "queries__train__tsv",
            "q1\task\ten\tQ\tp1\ttrain\n",
            "line.columns",
            "6 columns, not 2 to 5: id, text, lang, group, cluster;",
        ),
        ("qrels__train__tsv", "q1 0 p1 1\n", "line.columns", "1 columns, not 4"),
        ("qrels__train__tsv", "q1\t0\tp1\tx\n", "line.whole_number", "grade 'x'"),
        ("qrels__dev__tsv", "q1\t0\tp1\t1\n", "line.split_contradicts", "query 'q1'"),
    ],
)
def test_bad_columns_are_refused_with_their_line(tmp_path, name, text, key, fact):
    put(tmp_path / "x", **{**TSV, name: text})
    with refused(key, "tsv, line ", fact):
        read(tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("<top>\n<num> 1\n<title> a\n", 1, "line.topic_unclosed"),
        ("<top>\n<num> 1\n<title> a\n<top>\n</top>\n", 1, "line.topic_unclosed"),
        ("<top>\n<title> a\n</top>\n", 1, "line.topic_incomplete"),
        ("\n<num> 1\n", 2, "line.outside_topic"),
    ],
)
def test_bad_topics_are_refused_with_their_line(tmp_path, text, line, key):
    put(
        tmp_path / "x",
        corpus__jsonl=lines({"id": "a", "text": "x"}),
        topics__test__trec=text,
        qrels__test__txt="1 0 a 1\n",
    )
    with refused(key, f"topics.test.trec, line {line}: "):
        read(tmp_path / "x", "en")


def test_a_text_of_another_language_in_a_folder_of_one_is_refused(tmp_path):
    jsonl(tmp_path / "x" / "en")
    with refused("line.language_of_folder", "line 1", "'de'", "en"):
        read(tmp_path / "x")


def test_what_is_there_decides_the_format_and_what_is_not_is_said(tmp_path):
    with refused("data.folder_missing", tmp_path / "none"):
        read(tmp_path / "none")
    (tmp_path / "x").mkdir()
    with refused("data.files_missing", "beir (qrels/*.tsv)", "jsonl "):
        read(tmp_path / "x")
    jsonl(beir(tmp_path / "x"))
    with refused("data.format_ambiguous", "beir, jsonl", "data.format"):
        read(tmp_path / "x", "en")
    assert read(tmp_path / "x", format="jsonl").info["format"] == "jsonl"
    put(tmp_path / "y", **TSV, queries__dev__small__tsv="")
    with refused("data.split_name", "'dev.small'", "data=msmarco"):
        read(tmp_path / "y")
    put(beir(tmp_path / "b"), qrels____valid__tsv="")
    with refused("data.split_name", "qrels/valid.tsv", "'valid'"):
        read(tmp_path / "b", "en")
    put(tmp_path / "z", collection__tsv=TSV["collection__tsv"])
    with refused("data.files_missing", "queries.test.tsv"):
        read(tmp_path / "z")
    for name in ("queries__jsonl", "passages__jsonl"):
        jsonl(tmp_path / "e", **{name.partition("__")[0]: ""})
        with refused("data.nothing_usable"):
            read(tmp_path / "e", on_error="skip")


def test_without_a_path_the_docs_are_named():
    with refused("data.path_unset", "data.path=FOLDER", "docs/collections.md"):
        files.build(FilesData(name="files", languages=["en"]), Path("."), print)


def test_the_words_of_a_user(tmp_path, cache):
    """Strict and skipping are two collections of the cache: what was left out never passes for what
    was read whole.
    """
    jsonl(tmp_path / "x")
    words = ["data=files", f"data.path={tmp_path / 'x'}", "batch.cross_lingual_ratio=0"]
    ((_, strict),) = points(words, multirun=False)
    ((_, skip),) = points([*words, "data.on_error=skip"], multirun=False)
    assert prepare.collection_folder(strict) != prepare.collection_folder(skip)
    assert prepare.collection_of(strict).fingerprint == prepare.collection_of(skip).fingerprint
    with open(tmp_path / "x" / "qrels.jsonl", "a") as file:
        file.write("{}\n")
    assert prepare.collection_of(skip).info["skipped"]["count"] == 1
    with refused("line.field_missing", "qrels.jsonl, line 5"):
        prepare.collection_of(strict)
    assert not prepare.is_prepared(strict)


def examples() -> dict[str, dict[str, str]]:
    """The files that docs/collections.md shows for each format."""
    text = (Path(__file__).parents[3] / "docs/collections.md").read_text(encoding="utf-8")
    found = {}
    for match in re.finditer(
        r"^\*\*\w+\*\* \(`(\w+)`\).*?\n\n((?:    [^\n]*\n)+)", text, re.M | re.S
    ):
        block = [line[4:] for line in match[2].splitlines()]
        column = re.match(r"\S+ +", block[0]).end()
        named: dict[str, str] = {}
        name = ""
        for line in block:
            name = line[:column].strip() or name
            named[name] = named.get(name, "") + line[column:] + "\n"
        found[match[1]] = named
    return found


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", list(files.FORMATS))
def test_the_examples_of_the_docs_are_read(tmp_path, form, packed):
    shown = examples()[form]
    assert 8 <= sum(text.count("\n") for text in shown.values()) <= 11
    for name, text in shown.items():
        path = tmp_path / "x" / (f"{name}.gz" if packed else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    built = read(tmp_path / "x", "en")
    assert built.info["format"] == form and built.queries["text"][0].as_py() == "how long to sleep"
    if form == "trec":
        assert built.languages == ["en"] and rows(built.qrels) == [
            ("301", "d1", 1),
            ("301", "d2", 0),
        ]
    else:
        assert (
            built.languages == ["en", "sw"]
            and ("q1", "d1", 1) in rows(built.qrels)
            and len(built.qrels) == 3
        )
        split = "test" if form == "beir" else "train"
        train = pairs(built, split)
        # judged in English, and so in Swahili
        assert train.present[:, train.groups.tolist().index("q1|d1")].all()


def test_the_command_that_prepares_it_names_all_that_counts():
    data = FilesData(
        name="files", languages=["en", "sw"], path="a b", format="tsv", on_error="skip"
    )
    words = (
        "hybrid-sweep data prepare files 'data.path=a b' 'data.languages=[en,sw]' data.format=tsv"
        " data.on_error=skip"
    )
    assert data_verbs.preparing(data) == words


@pytest.mark.parametrize("code", ["macro", "trained", "unseen"])
def test_a_language_named_as_a_mean_is_refused_with_its_line(tmp_path, code):
    folder = put(
        tmp_path / "tsv",
        **{
            "collection.tsv": f"p1\tone\ten\np2\ttwo\t{code}\n",
            "queries.test.tsv": "q1\tone\ten\n",
            "qrels.test.tsv": "q1\t0\tp1\t1\n",
        },
    )
    with refused("names.language_reserved", f"collection.tsv, line 2: language: '{code}'"):
        read(folder)
    made = read(folder, on_error="skip")
    assert made.info["skipped"]["count"] == 1 and made.languages == ["en"]


CLUSTERED = [
    {"id": "q1-en", "text": "how one", "lang": "en", "group": "q1", "cluster": "page 7"},
    {"id": "q1-de", "text": "wie eins", "lang": "de", "group": "q1"},
    {"id": "q2-en", "text": "how two", "lang": "en", "group": "q2", "cluster": "page 7"},
    {"id": "q3-en", "text": "how three", "lang": "en", "group": "q3"},
]


def clustered(folder: Path, queries: list[dict]) -> Path:
    passages = [{"id": f"d{n}", "text": f"text {n}", "lang": "en"} for n in range(3)]
    passages.append({"id": "d9", "text": "Text", "lang": "de"})
    judged = [{"query": f"q{n}-en", "passage": f"d{n - 1}", "grade": 1} for n in (1, 2, 3)]
    contents = {"passages": passages, "queries": queries, "qrels": judged}
    return put(folder, **{f"{name}__jsonl": lines(*nodes) for name, nodes in contents.items()})


def test_a_field_cluster_holds_questions_together_and_leaves_the_fingerprint(tmp_path):
    collection = read(clustered(tmp_path / "with", CLUSTERED))
    without = [{k: v for k, v in node.items() if k != "cluster"} for node in CLUSTERED]
    plain = read(clustered(tmp_path / "without", without))
    assert collection.fingerprint == plain.fingerprint and plain.clusters is None
    assert clusters_of(plain, "files") is None and not has_clusters(plain, "files")
    wanted = {"q1": "page 7", "q2": "page 7", "q3": "alone:q3"}
    assert clusters_of(collection, "files") == wanted
    for form in ("jsonl", "beir", "tsv"):
        export(collection, tmp_path / form, form)
        back = read(tmp_path / form)
        assert (back.fingerprint, clusters_of(back, "files")) == (collection.fingerprint, wanted)
    save(collection, tmp_path / "stored")
    assert clusters_of(load(tmp_path / "stored"), "files") == wanted
    path = tmp_path / "stored" / "clusters.arrow"
    path.write_bytes(path.read_bytes().replace(b"page 7", b"page 8"))
    with refused("seals.altered", "clusters.arrow", kind=DamagedCollection):
        load(tmp_path / "stored")


def test_versions_of_a_question_in_two_clusters_are_a_bad_line(tmp_path):
    queries = [*CLUSTERED]
    queries[1] = {**queries[1], "cluster": "page 8"}
    with refused("line.cluster_contradicts", "queries.jsonl", "line 2", "page 7", "page 8"):
        read(clustered(tmp_path / "files", queries))


def test_a_column_behind_the_group_is_the_cluster_of_a_query(tmp_path):
    folder = put(
        tmp_path / "files",
        collection__tsv="d1\tone\nd2\ttwo\n",
        queries__test__tsv="q1\thow one\ten\tq1\tp1\nq2\thow two\ten\tq2\tp1\n",
        qrels__test__tsv="q1\t0\td1\t1\nq2\t0\td2\t1\n",
    )
    collection = read(folder, "en")
    assert clusters_of(collection, "files") == {"q1": "p1", "q2": "p1"}
