"""Collections of ir_datasets, by a stand-in with the package's own records: ids are kept, questions
of several ids are one, and what is missing is told in one line.
"""

import sys
import types
from typing import NamedTuple

import pytest

from hybrid_sweep.config import compose
from hybrid_sweep.config.schema import IrDatasetsData
from hybrid_sweep.data.datasets import ir_datasets
from hybrid_sweep.data.pairs import ordered_pairs, pairs
from hybrid_sweep.inputs import prepare
from tests.refused import refused


# The names of the package and of its fields, spelled as they are there.
class ExctractedCCDoc(NamedTuple):
    doc_id: str
    title: str
    text: str
    url: str
    time: str
    cc_file: str


class ExctractedCCQuery(NamedTuple):
    query_id: str
    title: str
    description: str
    ht_title: str
    mt_title: str


class GenericDoc(NamedTuple):
    doc_id: str
    text: str


class GenericQuery(NamedTuple):
    query_id: str
    text: str


class TrecQrel(NamedTuple):
    query_id: str
    doc_id: str
    relevance: int
    iteration: str


class Dataset:
    def __init__(self, lang, docs, queries, qrels):
        self.lang, self.docs, self.queries, self.qrels = lang, docs, queries, qrels

    def docs_lang(self):
        return self.lang

    def docs_iter(self):
        return iter(self.docs)

    def queries_iter(self):
        return iter(self.queries)

    def qrels_iter(self):
        return iter(self.qrels)


def news(lang):
    return [
        ExctractedCCDoc(f"{lang}-{n}", f"title {n}", f"text {n} {lang}", "", "", "")
        for n in range(3)
    ]


QUESTIONS = [
    ExctractedCCQuery("1", "sleep", "How long do adults sleep?", "ht", "mt"),
    ExctractedCCQuery("2", "sea", "", "ht", "mt"),
]
CATALOGUE = {
    "toy/zh/test": Dataset(
        "zh",
        news("zh"),
        QUESTIONS,
        [TrecQrel("1", "zh-0", 3, "0"), TrecQrel("2", "zh-1", -1, "0")],
    ),
    "toy/fa/test": Dataset("fa", news("fa"), QUESTIONS, [TrecQrel("1", "fa-2", 1, "0")]),
    "toy/zh/train": Dataset(
        "zh", news("zh"), [QUESTIONS[0]._replace(query_id="9")], [TrecQrel("9", "zh-2", 1, "0")]
    ),
    "toy/other": Dataset(
        "fa", news("fa"), [QUESTIONS[0]._replace(title="another")], [TrecQrel("1", "fa-0", 1, "0")]
    ),
    "plain": Dataset(
        None,
        [GenericDoc("d1", "a passage")],
        [GenericQuery("q1", "a question")],
        [TrecQrel("q1", "d1", 1, "0")],
    ),
    "one text/en": Dataset(
        "en",
        [GenericDoc("d1", "a passage"), GenericDoc("d2", "another")],
        [GenericQuery("q1", "a question"), GenericQuery("q2", "one more")],
        [TrecQrel("q1", "d1", 1, "0"), TrecQrel("q2", "d2", 1, "0")],
    ),
    "one text/de": Dataset(
        "de",
        [GenericDoc("d1", "ein Abschnitt"), GenericDoc("d2", "ein anderer")],
        [GenericQuery("q1", "a question")],
        [TrecQrel("q1", "d1", 1, "0")],
    ),
    "own documents": Dataset(
        "en",
        [GenericDoc("d1", "an argument"), GenericDoc("d2", "its counter")],
        [GenericQuery("d1", "an argument")],
        [TrecQrel("d1", "d2", 1, "0")],
    ),
}


@pytest.fixture(autouse=True)
def package(monkeypatch):
    module = types.ModuleType("ir_datasets")
    module.load = CATALOGUE.__getitem__  # raises KeyError, as the package's own does
    monkeypatch.setitem(sys.modules, "ir_datasets", module)
    return module


def build(tmp_path, **fields):
    texts = {"query_fields": ["title", "description"], "passage_fields": ["title", "text"]}
    data = IrDatasetsData(name="ir_datasets", languages=["en", "zh"], **{**texts, **fields})
    return ir_datasets.build(data, tmp_path, lambda line: None)


def rows(table):
    return [tuple(row.values()) for row in table.to_pylist()]


def test_one_id_gives_its_texts_under_their_own_ids(tmp_path):
    built = build(tmp_path, id="toy/zh/test")
    assert rows(built.queries) == [
        ("1", "1", "en", "test", "sleep How long do adults sleep?"),
        ("2", "2", "en", "test", "sea"),
    ]
    assert rows(built.passages)[0] == ("zh-0", "zh-0", "zh", "*", "title 0 text 0 zh")
    # a grade below 0 is a judgement, and not relevant
    assert rows(built.qrels) == [("1", "zh-0", 3), ("2", "zh-1", 0)]


def test_queries_that_are_passages_themselves_are_told(tmp_path):
    texts = {"query_fields": ["text"], "passage_fields": ["text"]}
    data = IrDatasetsData(name="ir_datasets", languages=["en"], id="own documents", **texts)
    said = []
    built = ir_datasets.build(data, tmp_path, said.append)
    assert built.info["queries_in_corpus"] == 1
    assert "1 of 1 queries" in said[-1]
    assert "queries_in_corpus" not in build(tmp_path, id="toy/zh/test").info


def test_the_ids_of_several_languages_share_their_questions(tmp_path):
    ids = {"fa": "toy/fa/test", "zh": "toy/zh/test"}
    built = build(tmp_path, ids=ids, train_ids={"zh": "toy/zh/train"})
    assert built.query_languages == ["en"] and built.passage_languages == ["fa", "zh"]
    assert [row[:4] for row in rows(built.queries)] == [
        ("1", "1", "en", "test"),
        ("2", "2", "en", "test"),
        ("9", "9", "en", "train"),
    ]
    assert len(built.passages) == 6
    assert rows(built.qrels) == [
        ("1", "fa-2", 1),
        ("1", "zh-0", 3),
        ("2", "zh-1", 0),
        ("9", "zh-2", 1),
    ]
    train = pairs(built, "train")
    assert ordered_pairs(train).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert built.info["ids"] == {"test": ids, "train": {"zh": "toy/zh/train"}}


PARALLEL = {"en": "one text/en", "de": "one text/de"}


def test_passages_of_one_id_in_several_languages_are_versions_of_one_text(tmp_path):
    texts = {"query_fields": ["text"], "passage_fields": ["text"]}
    built = build(tmp_path, train_ids=PARALLEL, parallel=True, **texts)
    assert [row[:3] for row in rows(built.passages)] == [
        ("d1@de", "d1", "de"),
        ("d1@en", "d1", "en"),
        ("d2@de", "d2", "de"),
        ("d2@en", "d2", "en"),
    ]
    assert rows(built.qrels) == [("q1", "d1", 1), ("q2", "d2", 1)]
    english, german = built.languages.index("en"), built.languages.index("de")
    trained = ordered_pairs(pairs(built, "train"))
    assert trained[english, english] == trained[english, german] == 2
    with refused("line.text_repeated", "d1"):
        build(tmp_path, train_ids=PARALLEL, **texts)


def test_parallel_passages_whose_judgements_differ_are_refused(tmp_path, monkeypatch):
    german = CATALOGUE["one text/de"]
    other = Dataset("de", german.docs, german.queries, [TrecQrel("q1", "d1", 2, "0")])
    monkeypatch.setitem(CATALOGUE, "one text/de", other)
    with refused("line.grade_contradicts", "one text/de"):
        build(
            tmp_path,
            ids=PARALLEL,
            parallel=True,
            query_fields=["text"],
            passage_fields=["text"],
        )


def test_a_language_that_the_catalogue_does_not_say_is_given(tmp_path):
    fields = {"query_fields": ["text"], "passage_fields": ["text"]}
    built = build(tmp_path, ids={"sw": "plain"}, query_language="en", **fields)
    assert built.languages == ["en", "sw"]
    with refused("ir_datasets.language_missing", "plain", "data.ids"):
        build(tmp_path, id="plain", **fields)


@pytest.mark.parametrize(
    ("fields", "key", "facts"),
    [
        ({}, "ir_datasets.id_missing", ["data.id="]),
        ({"id": "toy/none"}, "ir_datasets.id_unknown", ["toy/none"]),
        ({"ids": {"ru": "toy/zh/test"}}, "ir_datasets.language_other", ["ru", "zh"]),
        (
            {"id": "toy/zh/test", "query_fields": ["text"]},
            "ir_datasets.field_unknown",
            ["data.query_fields", "title, description, ht_title"],
        ),
        (
            {"ids": {"zh": "toy/zh/test", "fa": "toy/other"}},
            "line.text_repeated",
            ["toy/other/queries", "'1'"],
        ),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, fields, key, facts):
    with refused(key, *facts) as refusal:
        build(tmp_path, **fields)
    assert "\n" not in refusal.message


def test_an_id_without_judgements_is_refused(tmp_path, monkeypatch):
    class Unjudged(Dataset):
        def __getattribute__(self, name):
            if name == "qrels_iter":
                raise AttributeError(name)
            return super().__getattribute__(name)

    bare = Unjudged("zh", news("zh"), QUESTIONS, [])
    monkeypatch.setitem(CATALOGUE, "toy/bare", bare)
    with refused("ir_datasets.part", "toy/bare", "qrels"):
        build(tmp_path, id="toy/bare")


def test_without_the_package_the_way_to_install_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_datasets", None)  # an import then fails
    with refused("ir_datasets.not_installed", "pip install 'hybrid-sweep[ir]'"):
        build(tmp_path, id="toy/zh/test")


def test_only_preparing_reads_the_catalogue(cache, config):
    words = ["data=ir_datasets", "data.id=toy/zh/test", "data.languages=[en,zh]"]
    words += ["data.query_fields=[title]", "data.passage_fields=[text]", "model=tiny"]
    [(_, made)] = compose.points([*words, "batch.cross_lingual_ratio=1"], multirun=False)
    with refused("data.not_fetched", "data prepare ir_datasets", "data.id=toy/zh/test"):
        prepare.collection_of(made)
    prepare.whole_collection(made, download=True)
    assert prepare.collection_of(made).languages == ["en", "zh"]


@pytest.mark.parametrize("name", ["neuclir", "hc4"])
def test_the_ready_configs_name_an_id_for_each_language(name):
    [(_, made)] = compose.points([f"data={name}", "batch.cross_lingual_ratio=1"], multirun=False)
    assert sorted(made.data.ids) == ["fa", "ru", "zh"]
    for lang, identifier in made.data.ids.items():
        assert f"/{lang}/" in identifier
    assert set(made.data.languages) == {made.data.query_language, *made.data.ids}


def test_neumarco_is_parallel_and_has_the_passages_of_ms_marco_itself():
    [(_, made)] = compose.points(["data=neumarco"], multirun=False)
    assert made.data.parallel
    for part in (made.data.ids, made.data.train_ids):
        assert sorted(part) == sorted(made.data.languages)
        for lang, identifier in part.items():
            expected = "msmarco-passage/" if lang == "en" else f"neumarco/{lang}/"
            assert identifier.startswith(expected)
