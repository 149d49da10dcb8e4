"""MIRACL's construction from small files in the layouts of its two repositories."""

import gzip
import json
from pathlib import Path

import pytest

from hybrid_sweep.config.schema import MiraclData
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.datasets import miracl
from hybrid_sweep.data.pairs import pairs
from tests.refused import refused

TOPICS = {"train": "3\tswali {}\n", "dev": '1\t"who {}\n2\twhat {}\n9\tnobody judged {}\n'}
QRELS = {"train": "3\tQ0\t1#0\t1\n", "dev": "1\tQ0\t1#0\t1\n1\tQ0\t1#1\t0\n2\tQ0\t2#0\t1\n"}
SHARDS = [
    [
        {"docid": "1#0", "title": "One", "text": "first"},
        {"docid": "1#1", "title": "One", "text": "second"},
    ],
    [{"docid": "2#0", "title": "", "text": "Two."}],
]


def write(
    root: Path, *languages: str, train: bool = True, packed: bool = True, flat: bool = False
) -> Path:
    for lang in languages:
        base = root / ("" if flat else "miracl") / f"miracl-v1.0-{lang}"
        for part in ("train", "dev") if train else ("dev",):
            for kind, content in (
                ("topics", TOPICS[part].replace("{}", lang)),
                ("qrels", QRELS[part]),
            ):
                path = base / kind / f"{kind}.miracl-v1.0-{lang}-{part}.tsv"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        corpus = root / ("" if flat else "miracl-corpus") / f"miracl-corpus-v1.0-{lang}"
        corpus.mkdir(parents=True)
        for number, nodes in enumerate(SHARDS):
            content = "".join(json.dumps(node) + "\n" for node in nodes).encode()
            name = f"docs-{number}.jsonl" + (".gz" if packed else "")
            (corpus / name).write_bytes(gzip.compress(content) if packed else content)
    return root


def read(path: Path, *languages: str, said: list | None = None, **fields) -> Collection:
    data = MiraclData(name="miracl", languages=list(languages), path=str(path), **fields)
    return miracl.build(data, path.parent, (said if said is not None else []).append)


def rows(table) -> list[tuple]:
    return [tuple(row.values()) for row in table.to_pylist()]


def test_the_construction(tmp_path):
    built = read(write(tmp_path / "x", "sw", "te"), "te", "sw")
    assert built.languages == ["sw", "te"] and built.info["licence"] == "Apache-2.0"
    assert rows(built.queries)[:3] == [
        ("1@sw", "1@sw", "sw", "test", '"who sw'),
        ("1@te", "1@te", "te", "test", '"who te'),
        ("2@sw", "2@sw", "sw", "test", "what sw"),
    ]
    assert [row[0] for row in rows(built.queries) if row[3] == "train"] == ["3@sw", "3@te"]
    assert rows(built.passages)[:3] == [
        ("1#0@sw", "1#0@sw", "sw", "*", "One first"),
        ("1#0@te", "1#0@te", "te", "*", "One first"),
        ("1#1@sw", "1#1@sw", "sw", "*", "One second"),
    ]
    assert rows(built.passages)[4][4] == "Two."
    judged = {
        ("1@sw", "1#0@sw", 1),
        ("1@sw", "1#1@sw", 0),
        ("2@sw", "2#0@sw", 1),
        ("3@sw", "1#0@sw", 1),
    }
    assert {row for row in rows(built.qrels) if row[0].endswith("@sw")} == judged and len(
        built.qrels
    ) == 8
    assert built.info["queries_without_judgement"] == 2


def test_nothing_is_parallel(tmp_path):
    train = pairs(read(write(tmp_path / "x", "sw", "te"), "te", "sw"), "train")
    assert train.present.sum(0).tolist() == [1, 1]


@pytest.mark.parametrize("change", [{"flat": True}, {"packed": False}])
def test_both_layouts_packed_or_not_are_the_same_collection(tmp_path, change):
    found = [
        read(write(tmp_path / name, "sw", **how), "sw") for name, how in (("a", {}), ("b", change))
    ]
    assert found[0].fingerprint == found[1].fingerprint


def test_packed_topics_and_judgements_are_read_as_plain_ones(tmp_path):
    folder = write(tmp_path / "x", "sw")
    plain = read(folder, "sw").fingerprint
    for path in folder.rglob("*.tsv"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert read(folder, "sw").fingerprint == plain


def test_only_the_languages_asked_for_are_opened(tmp_path):
    write(tmp_path / "x", "sw", "te")
    for path in (tmp_path / "x/miracl-corpus/miracl-corpus-v1.0-te").iterdir():
        path.write_bytes(b"\xff")
    assert read(tmp_path / "x", "sw").languages == ["sw"]
    with refused("line.encoding", "docs-0.jsonl.gz, line 1: byte 1"):
        read(tmp_path / "x", "te")


def test_a_language_without_train_has_a_test_only(tmp_path):
    said = []
    built = read(write(tmp_path / "x", "de", train=False), "de", said=said)
    assert set(built.queries["split"].to_pylist()) == {"test"}
    assert any("topics.miracl-v1.0-de-train.tsv is not there" in line for line in said)


@pytest.mark.parametrize(
    "remove",
    [
        "miracl/miracl-v1.0-sw/topics/topics.miracl-v1.0-sw-dev.tsv",
        "miracl/miracl-v1.0-sw/qrels/qrels.miracl-v1.0-sw-train.tsv",
    ],
)
def test_half_of_a_part_is_refused(tmp_path, remove):
    write(tmp_path / "x", "sw")
    (tmp_path / "x" / remove).unlink()
    with refused("data.file_missing", f"{tmp_path / 'x' / remove}: "):
        read(tmp_path / "x", "sw")


def test_what_is_not_there_is_said(tmp_path):
    write(tmp_path / "x", "sw")
    with refused("data.language_missing", "MIRACL", "it", "ar, bn, de"):
        read(tmp_path / "x", "it")
    with refused("data.folder_missing", "miracl/miracl-v1.0-te"):
        read(tmp_path / "x", "te")
    with refused("data.path_unset", "hybrid-sweep data prepare miracl", "data.path=FOLDER"):
        miracl.build(MiraclData(name="miracl", languages=["sw"]), tmp_path, print)
    for path in (tmp_path / "x/miracl-corpus/miracl-corpus-v1.0-sw").iterdir():
        path.unlink()
    with refused("data.files_missing", "docs-0.jsonl.gz"):
        read(tmp_path / "x", "sw")


CORPUS, DEV = (
    "miracl-corpus/miracl-corpus-v1.0-sw/docs-1.jsonl",
    "miracl/miracl-v1.0-sw/{0}/{0}.miracl-v1.0-sw-dev.tsv",
)
BAD = {
    "a passage of an earlier shard": (
        CORPUS,
        '{"docid": "1#1", "text": "x"}',
        2,
        "line.text_repeated",
        "docs-0.jsonl, line 2",
    ),
    "a passage twice": (
        CORPUS,
        '{"docid": "2#0", "text": "x"}',
        2,
        "line.text_repeated",
        "'2#0@sw'",
        "in line 1",
    ),
    "no text": (
        CORPUS,
        '{"docid": "3#0", "title": "", "text": ""}',
        2,
        "line.text_empty",
        "'3#0@sw'",
    ),
    "columns": (DEV.format("topics"), "4\tx\ten", 4, "line.columns", "3 columns, not 2"),
    "a question twice": (
        DEV.format("topics"),
        "1\tagain",
        4,
        "line.text_repeated",
        "'1@sw'",
        "in line 1",
    ),
    "a question of train": (
        DEV.format("topics"),
        "3\tagain",
        4,
        "line.split_contradicts",
        "'train'",
    ),
    "unknown passage": (
        DEV.format("qrels"),
        "1\tQ0\t7#0\t1",
        4,
        "line.judgement_stray",
        "passage '7#0'",
    ),
    "a question of the other part": (
        DEV.format("qrels"),
        "3\tQ0\t1#1\t1",
        4,
        "line.split_contradicts",
        "query '3'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_refused_or_skipped(tmp_path, case):
    name, more, line, key, *facts = BAD[case]
    whole = read(write(tmp_path / "x", "sw", packed=False), "sw").fingerprint
    with open(tmp_path / "x" / name, "a") as file:
        file.write(more + "\n")
    with refused(key, f"{tmp_path / 'x' / name}, line {line}: ", *facts):
        read(tmp_path / "x", "sw")
    built = read(tmp_path / "x", "sw", on_error="skip")
    assert built.fingerprint == whole and built.info["skipped"]["count"] == 1
