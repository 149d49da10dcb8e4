"""Data sets of Parquet files: columns by name, languages by file or column, a folder or the hub."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybrid_sweep.config import compose
from hybrid_sweep.config.schema import HfData
from hybrid_sweep.data.datasets import hf
from hybrid_sweep.inputs import prepare
from tests.refused import refused

FILES = {
    "queries": {"test": "queries/*.parquet"},
    "passages": {"fa": "fa/*.parquet", "zh": "zh/*.parquet"},
    "qrels": {"test": "qrels/test.parquet"},
}


def put(folder, name, **columns):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def written(folder):
    put(folder, "queries/a.parquet", _id=["q1", "q2"], text=["one", "two"])
    for lang in ("fa", "zh"):
        ids, titles = [f"{lang}1", f"{lang}2"], ["T", None]
        put(folder, f"{lang}/c.parquet", _id=ids, title=titles, text=[f"x {lang}", f"y {lang}"])
    judged = {"query-id": ["q1", "q1", "q2"], "corpus-id": ["fa1", "zh2", "zh1"]}
    put(folder, "qrels/test.parquet", **judged, score=[2, 1, -1])
    return folder


def build(folder, **fields):
    data = HfData(name="hf", languages=["en"], path=str(folder), **{**FILES, **fields})
    return hf.build(data, folder.parent, lambda line: None)


def rows(table):
    return [tuple(row.values()) for row in table.to_pylist()]


def test_files_by_language_and_split(tmp_path):
    built = build(written(tmp_path / "x"))
    assert rows(built.queries) == [
        ("q1", "q1", "en", "test", "one"),
        ("q2", "q2", "en", "test", "two"),
    ]
    assert rows(built.passages)[:2] == [
        ("fa1", "fa1", "fa", "*", "T x fa"),
        ("fa2", "fa2", "fa", "*", "y fa"),
    ]
    assert rows(built.qrels) == [("q1", "fa1", 2), ("q1", "zh2", 1), ("q2", "zh1", 0)]


def test_columns_say_language_and_group(tmp_path):
    folder = tmp_path / "x"
    put(folder, "q.parquet", no=[7], words=["ask"], lang=["sw"], same=["g"])
    texts = {"words": ["a", "b"], "lang": ["en", "fr"], "same": ["p", "p"]}
    put(folder, "p.parquet", no=[1, 2], **texts)
    put(folder, "j.parquet", q=[7], p=[1], g=[1])
    columns = {"id_column": "no", "lang_column": "lang", "group_column": "same"}
    columns |= {"query_columns": ["words"], "passage_columns": ["words"]}
    files = {"queries": {"train": "q.parquet"}, "passages": {"*": "p.parquet"}}
    files |= {"qrels": {"train": "j.parquet"}, "qrels_columns": ["q", "p", "g"]}
    built = build(folder, **columns, **files)
    assert rows(built.queries) == [("7", "g", "sw", "train", "ask")]
    assert [row[:3] for row in rows(built.passages)] == [("1", "p", "en"), ("2", "p", "fr")]
    assert rows(built.qrels) == [("g", "p", 1)]


@pytest.mark.parametrize(
    ("fields", "key", "facts"),
    [
        ({"passages": {}}, "hf.files_unnamed", ["+data.passages="]),
        ({"passages": {"zh": "none/*.parquet"}}, "data.files_missing", ["data.passages"]),
        ({"queries": {"test": "../*.parquet"}}, "hf.pattern", ["data.queries"]),
        ({"query_columns": ["words"]}, "hf.column_missing", ["words", "_id, text"]),
    ],
)
def test_what_is_not_there_is_told(tmp_path, fields, key, facts):
    with refused(key, *facts):
        build(written(tmp_path / "x"), **fields)


def test_broken_files_and_grades_are_told(tmp_path):
    folder = written(tmp_path / "x")
    judged = {"query-id": ["q1"], "corpus-id": ["fa1"], "score": ["high"]}
    put(folder, "qrels/test.parquet", **judged)
    with refused("hf.grade", "row 1", "'high'"):
        build(folder)
    written(folder)
    (folder / "queries/a.parquet").write_bytes(b"no Parquet")
    with refused("hf.unreadable", "a.parquet"):
        build(folder)


def test_a_data_set_of_the_hub_is_fetched_by_preparing_alone(cache, tmp_path, monkeypatch):
    import huggingface_hub

    folder, asked = written(tmp_path / "x"), []

    def snapshot(name, **options):
        asked.append((name, options["allow_patterns"]))
        if options["local_files_only"]:
            raise FileNotFoundError(name)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    words = ["data=hf", "data.path=some/set", "data.languages=[en,fa,zh]", "model=tiny"]
    words.append("+data.passages={fa: fa/*.parquet, zh: zh/*.parquet}")
    [(_, made)] = compose.points([*words, "batch.cross_lingual_ratio=1"], multirun=False)
    with refused("data.not_fetched", "some/set", "data prepare hf"):
        prepare.collection_of(made)
    prepare.whole_collection(made, download=True)
    assert asked[-1][0] == "some/set" and "zh/*.parquet" in asked[-1][1]
    assert prepare.collection_of(made).passage_languages == ["fa", "zh"]


def test_queries_that_are_passages_themselves_are_told(tmp_path):
    folder = written(tmp_path / "x")
    assert "queries_in_corpus" not in build(folder).info
    put(folder, "zh/own.parquet", _id=["q2"], title=[None], text=["two"])
    said = []
    data = HfData(name="hf", languages=["en"], path=str(folder), **FILES)
    built = hf.build(data, tmp_path, said.append)
    assert built.info["queries_in_corpus"] == 1
    assert "1 of 2 queries" in said[-1]
