import hashlib
import os
import time

import numpy as np
import pyarrow as pa
import pytest

from hybrid_sweep.data import collection as collections
from hybrid_sweep.data.collection import DamagedCollection, load, make, save, select
from hybrid_sweep.data.datasets import synthetic
from hybrid_sweep.utils import digests
from hybrid_sweep.utils.files import read_json, write_json
from tests.refused import refused


def table(*rows):
    return pa.table(
        {
            name: [row[place] for row in rows]
            for place, name in enumerate(("id", "group", "lang", "split", "text"))
        }
    )


QUERIES = table(
    ("q1", "g1", "en", "train", "a"),
    ("q2", "g1", "de", "train", "b"),
    ("q3", "g2", "en", "test", "c"),
)
PASSAGES = table(
    ("p1", "g1", "en", "train", "A"),
    ("p2", "g2", "en", "test", "B"),
    ("p3", "g1", "de", "train", "C"),
)
QRELS = pa.table({"query_group": ["g1", "g2"], "passage_group": ["g1", "g2"], "grade": [1, 1]})


def slow_fingerprint(collection):
    """The definition, value by value."""
    state = hashlib.sha256()
    for rows in (collection.queries, collection.passages, collection.qrels):
        for name in rows.column_names:
            values = rows[name].to_pylist()
            state.update(f"{name}:{len(rows)};".encode())
            if name == "grade":
                state.update(np.array(values, "<i8").tobytes())
                continue
            encoded = [value.encode() for value in values]
            state.update(np.array([len(value) for value in encoded], "<i8").tobytes())
            for value in encoded:
                state.update(value)
    return state.hexdigest()[:12]


@pytest.mark.parametrize("parts", [1, 3])
def test_the_fingerprint_is_over_every_value_however_the_tables_are_cut(parts):
    built = synthetic.build(groups=50, concepts=60, shared=0.2, noise=0.2, seed=0)
    size = -(-len(built.queries) // parts)
    queries, passages = (
        pa.concat_tables([table.slice(start, size) for start in range(0, len(table), size)])
        for table in (built.queries, built.passages)
    )
    assert queries["text"].num_chunks == parts
    # sorted already: the pieces stay as they are
    made = make("x", queries, passages, built.qrels, {})
    assert slow_fingerprint(built) == built.fingerprint == made.fingerprint
    part = make("x", QUERIES.slice(1, 2), PASSAGES, QRELS, {})
    assert slow_fingerprint(part) == part.fingerprint


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
    assert (
        make("x", QUERIES.take([2, 0, 1]), PASSAGES, QRELS.take([1, 0]), {"date": 2}).fingerprint
        == one.fingerprint
    )
    other = PASSAGES.set_column(4, "text", pa.array(["A", "B", "C!"]))
    assert make("x", QUERIES, other, QRELS, {}).fingerprint != one.fingerprint
    # a letter moved from one text to the next changes it too, though all texts in a row read the
    # same
    here, there = (
        make("x", QUERIES.set_column(4, "text", pa.array(texts)), PASSAGES, QRELS, {})
        for texts in (["aa", "b", "c"], ["a", "ab", "c"])
    )
    assert here.fingerprint != there.fingerprint


@pytest.mark.parametrize(
    ("queries", "qrels", "key", "fact"),
    [
        (
            table(("q1", "g1", "en", "train", "a"), ("q1", "g2", "en", "train", "b")),
            QRELS,
            "data.id_repeated",
            "'q1'",
        ),
        (
            table(("q1", "g1", "en", "train", " \n"), ("q2", "g2", "en", "train", "b")),
            QRELS,
            "data.text_empty",
            "'q1'",
        ),
        (
            QUERIES,
            pa.table({"query_group": ["g1", "g1"], "passage_group": ["g1", "g1"], "grade": [1, 0]}),
            "data.judged_twice",
            "'g1'",
        ),
        (
            QUERIES,
            pa.table({"query_group": ["g9"], "passage_group": ["g1"], "grade": [1]}),
            "data.judgement_stray",
            "'g9'",
        ),
    ],
)
def test_bad_content_is_refused_by_name(queries, qrels, key, fact):
    with refused(key, fact):
        make("x", queries, PASSAGES, qrels, {})


def test_a_language_it_lacks_is_refused_with_those_it_has():
    built = make("x", QUERIES, PASSAGES, QRELS, {})
    assert select(built, ["en"]).languages == ["en"]
    with refused("data.language_missing", "fr", "de, en"):
        select(built, ["en", "fr"])


def test_all_languages_are_selected_without_a_copy():
    built = make("x", QUERIES, PASSAGES, QRELS, {})
    assert select(built, ["de", "en"]) is built
    assert select(built, ["en"]).queries["id"].to_pylist() == ["q1", "q3"]


def test_a_selection_is_written_as_it_is_selected(tmp_path, monkeypatch):
    from hybrid_sweep.data import collection as collections

    monkeypatch.setattr(collections, "CHUNK", 7)
    built = synthetic.build(groups=50, concepts=60, shared=0.2, noise=0.2, seed=0)
    save(built, tmp_path / "c", ["xb", "xe"])
    wanted, found = select(built, ["xe", "xb"]), load(tmp_path / "c")
    assert found.queries.equals(wanted.queries) and found.passages.equals(wanted.passages)
    assert found.qrels.equals(built.qrels) and found.info == built.info
    (tmp_path / "c" / "passages.arrow").touch()
    # compared with what was written, not with the whole
    assert load(tmp_path / "c").passages.equals(wanted.passages)
    assert found.languages == ["xb", "xe"] and 0 < len(found.queries) < len(built.queries)


def test_the_fingerprint_never_changes():
    """The digest of generated text, as of the first version: run ids of frozen results hang
    on it.
    """
    assert (
        synthetic.build(groups=50, concepts=60, shared=0.2, noise=0.2, seed=0).fingerprint
        == "c271a7b7795e"
    )


def test_a_damaged_folder_is_refused(tmp_path):
    built = make("x", QUERIES, PASSAGES, QRELS, {})
    save(built, tmp_path / "c")
    (tmp_path / "c" / "queries.arrow").write_bytes(b"torn")
    with refused("seals.altered", tmp_path / "c"):
        load(tmp_path / "c")
    (tmp_path / "c" / "info.json").unlink()
    with refused("collection.info_missing", tmp_path / "c"):
        load(tmp_path / "c")


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.fixture
def hashed(monkeypatch):
    """The files that are hashed from now on, by a clock that stands a minute behind all files: what
    is seen is remembered.
    """
    files, real, later = [], digests.file_digest, time.time_ns() + 60_000_000_000
    monkeypatch.setattr(
        digests, "file_digest", lambda path, length: files.append(path.name) or real(path, length)
    )
    monkeypatch.setattr(digests.time, "time_ns", lambda: later)
    return files


@pytest.mark.parametrize("name", ["queries", "passages", "qrels"])
@pytest.mark.parametrize("damage", ["cut", "longer", "gone", "flipped"])
def test_files_that_are_not_what_was_written_are_damaged(tmp_path, name, damage):
    built = synthetic.build(groups=50, concepts=60, shared=0.2, noise=0.2, seed=0)
    save(built, tmp_path / "c", ["xa", "xb"] if name == "passages" else None)
    path = tmp_path / "c" / f"{name}.arrow"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "flipped":
        text = (
            content.index(b"train")
            if name != "qrels"
            else content.index(built.qrels["query_group"][3].as_py().encode())
        )
        flip(path, text)
    else:
        path.write_bytes(content[:-1] if damage == "cut" else content + b"x")
    with refused(
        "seals.file_missing" if damage == "gone" else "seals.altered",
        path,
        "--refresh",
        kind=DamagedCollection,
    ):
        load(tmp_path / "c")


def test_a_file_is_hashed_again_only_where_it_changed(tmp_path, hashed):
    save(make("x", QUERIES, PASSAGES, QRELS, {}), tmp_path / "c")
    memory = tmp_path / "memory.json"
    hashed.clear()
    load(tmp_path / "c", digests.Memory(memory))
    assert sorted(hashed) == ["passages.arrow", "qrels.arrow", "queries.arrow"]
    load(tmp_path / "c", digests.Memory(memory))
    assert len(hashed) == 3
    (tmp_path / "c" / "qrels.arrow").touch()
    load(tmp_path / "c", digests.Memory(memory))
    assert hashed[3:] == ["qrels.arrow"]


def test_a_flipped_bit_is_noticed_where_size_and_time_are_as_before(tmp_path, hashed):
    save(synthetic.build(groups=50, concepts=60, shared=0.2, noise=0.2, seed=0), tmp_path / "c")
    memory = tmp_path / "memory.json"
    load(tmp_path / "c", digests.Memory(memory))
    path = tmp_path / "c" / "qrels.arrow"
    stat = path.stat()
    flip(path, len(path.read_bytes()) // 2)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with refused("seals.altered", "qrels.arrow", kind=DamagedCollection):
        load(tmp_path / "c", digests.Memory(memory))


def unsealed(folder):
    """Make of a folder what an earlier version wrote, which knew sizes and times only."""
    info = read_json(folder / "info.json")
    stats = {path.name: path.stat() for path in folder.glob("*.arrow")}
    files = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
    kept = {name: info["stored"][name] for name in ("fingerprint", "content")}
    write_json(folder / "info.json", info | {"stored": {**kept, "files": files}})


def test_a_folder_of_an_earlier_version_is_compared_by_its_content_once(
    tmp_path, monkeypatch, hashed
):
    save(make("x", QUERIES, PASSAGES, QRELS, {}), tmp_path / "c", ["en"])
    unsealed(tmp_path / "c")
    times, real, memory = [], collections._digest, tmp_path / "memory.json"
    monkeypatch.setattr(collections, "_digest", lambda tables: times.append(1) or real(tables))
    for _ in range(2):
        load(tmp_path / "c", digests.Memory(memory))
    assert len(times) == 1
    path = tmp_path / "c" / "passages.arrow"
    stat = path.stat()
    flip(path, path.read_bytes().index(b"train"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with refused("collection.texts_altered", kind=DamagedCollection):
        load(tmp_path / "c", digests.Memory(memory))


@pytest.mark.parametrize("field", ["name", "dropped"])
def test_what_the_info_file_says_is_sealed_too(tmp_path, field):
    save(make("x", QUERIES, PASSAGES, QRELS, {"dropped": 3}), tmp_path / "c")
    info = read_json(tmp_path / "c" / "info.json")
    write_json(tmp_path / "c" / "info.json", info | {field: "other"})
    with refused("collection.info_altered", "info.json", kind=DamagedCollection):
        load(tmp_path / "c")


def test_a_folder_without_marks_is_compared_with_its_fingerprint(tmp_path):
    built = make("x", QUERIES, PASSAGES, QRELS, {"a": 1})
    save(built, tmp_path / "c")
    info = read_json(tmp_path / "c" / "info.json")
    write_json(
        tmp_path / "c" / "info.json",
        {name: value for name, value in info.items() if name != "stored"},
    )
    assert load(tmp_path / "c").info == built.info
    write_json(tmp_path / "c" / "info.json", {"name": "x", "fingerprint": "0" * 12})
    with refused("collection.texts_altered", kind=DamagedCollection):
        load(tmp_path / "c")


@pytest.mark.parametrize(
    "stored", [3, "x", {"files": 1}, {"files": {"../x": [1, 2]}, "content": 1}, {"files": {}}, []]
)
def test_an_info_file_of_any_content_is_one_line(tmp_path, stored):
    save(make("x", QUERIES, PASSAGES, QRELS, {}), tmp_path / "c")
    info = read_json(tmp_path / "c" / "info.json")
    write_json(tmp_path / "c" / "info.json", info | {"stored": stored, "fingerprint": "f"})
    key = "collection.texts_altered" if stored == [] else "collection.unreadable"
    with refused(key, tmp_path / "c", kind=DamagedCollection):
        load(tmp_path / "c")


def test_other_columns_are_refused(tmp_path):
    save(make("x", QUERIES, PASSAGES, QRELS, {}), tmp_path / "c")
    with pa.ipc.new_file(str(tmp_path / "c/qrels.arrow"), pa.schema([("a", pa.int32())])) as sink:
        sink.write_table(pa.table({"a": pa.array([1], pa.int32())}))
    info = read_json(tmp_path / "c" / "info.json")
    write_json(
        tmp_path / "c" / "info.json",
        {name: value for name, value in info.items() if name != "stored"},
    )
    with refused("collection.unreadable", tmp_path / "c", kind=DamagedCollection):
        load(tmp_path / "c")


def test_the_first_stray_judgement_is_named_however_many_texts_there_are(monkeypatch):
    monkeypatch.setattr(collections, "SLICE", 2)
    qrels = pa.table(
        {"query_group": ["g1", "g2", "g1"], "passage_group": ["g1", "gb", "ga"], "grade": [1, 1, 1]}
    )
    with refused("data.judgement_stray", "passage_group 'ga'"):
        make("x", QUERIES, PASSAGES, qrels, {})


def test_a_fingerprint_that_was_changed_is_damage(tmp_path):
    save(make("x", QUERIES, PASSAGES, QRELS, {}), tmp_path / "c")
    info = read_json(tmp_path / "c" / "info.json")
    write_json(tmp_path / "c" / "info.json", info | {"fingerprint": "0" * 12})
    with refused("collection.fingerprints_differ", kind=DamagedCollection):
        load(tmp_path / "c")


@pytest.mark.parametrize("code", ["macro", "trained", "unseen", "*", "a>b", ""])
@pytest.mark.parametrize("kind", ["query", "passage"])
def test_a_language_that_can_be_none_is_refused_when_made_and_when_loaded(
    tmp_path, monkeypatch, kind, code
):
    extra = table(("x1", "g1", code, "train", "X"))
    queries = pa.concat_tables([QUERIES, extra]) if kind == "query" else QUERIES
    passages = pa.concat_tables([PASSAGES, extra]) if kind == "passage" else PASSAGES
    key = "names.language_reserved" if code in ("macro", "trained", "unseen") else "names.language"
    with refused(key, "collection x: "):
        make("x", queries, passages, QRELS, {})
    with monkeypatch.context() as patch:  # as an older version, or another hand, wrote it
        patch.setattr(collections, "_check_codes", lambda tables, where: None)
        save(make("x", queries, passages, QRELS, {}), tmp_path / "c")
    with refused(key, f"{tmp_path / 'c'}: "):
        load(tmp_path / "c")


def test_languages_that_only_ask_and_only_answer_are_chosen_together():
    queries = table(("q1", "g1", "en", "test", "a"))
    passages = table(("p1", "g1", "zh", "*", "A"), ("p2", "g1", "fa", "*", "B"))
    built = make("x", queries, passages, QRELS.slice(0, 1), {})
    assert built.query_languages == ["en"] and built.passage_languages == ["fa", "zh"]
    assert built.languages == built.one_sided == ["en", "fa", "zh"]
    assert select(built, ["en", "fa", "zh"]) is built
    assert select(built, ["en", "zh"]).languages == ["en", "zh"]
    for chosen, fact in ((["zh", "fa"], "no query"), (["en"], "no passage")):
        with refused("data.language_side_missing", fact):
            select(built, chosen)
    with refused("data.language_missing", "ru", "en, fa, zh"):
        select(built, ["en", "ru"])
