"""MS MARCO's files, official and in mMARCO's layout: what is kept, what is refused, and that ids
are parallel.
"""

import gzip
import random
from pathlib import Path

import numpy as np
import pytest

from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import MARCO_LANGUAGES, MarcoData, run_id
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.datasets.msmarco import build
from hybrid_sweep.data.pairs import pairs
from hybrid_sweep.inputs import prepare
from hybrid_sweep.utils.errors import UserError
from tests.refused import refused

NAMES = {code: name for name, code in MARCO_LANGUAGES.items()}
TRAIN, TEST, PASSAGES = (3, 10, 11, 20), (5, 100), (0, 1, 2, 7, 10, 42)
QRELS = {
    "train": [(3, 1, 1), (10, 10, 1), (11, 2, 0), (11, 7, 1)],
    "dev.small": [(5, 42, 1), (100, 0, 1), (100, 7, 2)],
}


def write(path: Path, table: list[tuple]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in table), encoding="utf-8")


def texts(kind: str, language: str, numbers: tuple[int, ...]) -> list[tuple]:
    return [(number, f'{kind} "{number} in {language}') for number in numbers]


def hub(
    root: Path, languages: tuple[str, ...] = ("en", "de", "nl"), folder: str = "google"
) -> Path:
    for language in languages:
        name, base = NAMES[language], root / "data" / folder
        write(base / f"collections/{name}_collection.tsv", texts("passage", language, PASSAGES))
        write(base / f"queries/train/{name}_queries.train.tsv", texts("query", language, TRAIN))
        write(base / f"queries/dev/{name}_queries.dev.small.tsv", texts("query", language, TEST))
    for part, judged in QRELS.items():
        write(
            root / f"data/qrels.{part}.tsv",
            [(query, 0, passage, grade) for query, passage, grade in judged],
        )
    return root


def official(root: Path) -> Path:
    write(root / "collection.tsv", texts("passage", "en", PASSAGES))
    write(root / "queries.train.tsv", texts("query", "en", TRAIN))
    write(root / "queries.dev.small.tsv", texts("query", "en", TEST))
    for part, judged in QRELS.items():
        write(
            root / f"qrels.{part}.tsv",
            [(query, 0, passage, grade) for query, passage, grade in judged],
        )
    return root


def read(path: Path, *languages: str, name: str = "mmarco", **fields) -> Collection:
    return build(
        MarcoData(name=name, languages=list(languages), path=str(path), **fields), lambda line: None
    )


def test_ids_groups_splits_and_texts(tmp_path):
    built = read(hub(tmp_path), "en", "nl")
    assert built.name == "mmarco" and built.languages == ["en", "nl"]
    kept = {3: "train", 10: "train", 11: "train", 5: "test", 100: "test"}  # 20 has no judgement
    expected = [
        {
            "id": f"{q}@{lang}",
            "group": str(q),
            "lang": lang,
            "split": split,
            "text": f'query "{q} in {lang}',
        }
        for q, split in kept.items()
        for lang in ("en", "nl")
    ]
    assert built.queries.to_pylist() == sorted(expected, key=lambda row: row["id"].encode())
    assert built.passages["id"].to_pylist() == sorted(
        f"{p}@{lang}" for p in PASSAGES for lang in ("en", "nl")
    )
    assert set(built.passages["split"].to_pylist()) == {"*"}
    found = {tuple(row.values()) for row in built.qrels.to_pylist()}
    assert found == {(str(q), str(p), grade) for judged in QRELS.values() for q, p, grade in judged}
    assert built.info["queries_without_judgement"] == 2


def test_the_training_pairs_are_parallel(tmp_path):
    train = pairs(read(hub(tmp_path), "en", "nl"), "train")
    assert train.groups.tolist() == ["10", "11|7", "3|1"] and train.present.all()


def test_the_official_files_are_the_same_collection(tmp_path):
    found = read(official(tmp_path / "a"), "en", name="msmarco")
    assert found.fingerprint == read(hub(tmp_path / "b"), "en").fingerprint
    assert found.fingerprint == read(hub(tmp_path / "b") / "data", "english").fingerprint


@pytest.mark.parametrize("layout", [hub, official])
def test_packed_files_are_read_as_plain_ones(tmp_path, layout):
    folder = layout(tmp_path)
    plain = read(folder, "en").fingerprint
    for path in folder.rglob("*.tsv"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert read(folder, "en").fingerprint == plain
    with refused("data.files_missing", "vi", "english"):
        read(folder, "en", "vi")


def test_only_the_languages_asked_for_are_opened(tmp_path):
    hub(tmp_path)
    (tmp_path / "data/google/collections/german_collection.tsv").write_bytes(b"\xff")
    assert read(tmp_path, "en", "dutch").fingerprint == read(tmp_path, "dt", "en").fingerprint
    with refused("line.encoding", "german_collection.tsv, line 1"):
        read(tmp_path, "en", "de")


def test_a_passage_that_one_language_lacks_is_judged_in_the_others(tmp_path):
    path = hub(tmp_path) / "data" / DUTCH
    path.write_text(
        "".join(
            line
            for line in path.read_text().splitlines(keepends=True)
            if not line.startswith("42\t")
        )
    )
    built = read(tmp_path, "en", "nl")
    assert (
        "42@en" in built.passages["id"].to_pylist()
        and "42@nl" not in built.passages["id"].to_pylist()
    )
    assert "42" in built.qrels["passage_group"].to_pylist()


def test_codes_name_and_alias_are_one_language():
    assert (
        MarcoData(languages=["dt"]).languages == MarcoData(languages=["dutch"]).languages == ["nl"]
    )
    assert (
        MarcoData(languages=list(MARCO_LANGUAGES)).languages
        == "ar zh nl en fr de hi id it ja pt ru es vi".split()
    )
    made = [
        points(["data=mmarco", f"data.languages=[en,{word}]"], multirun=False)[0][1]
        for word in ("dt", "nl")
    ]
    assert run_id(made[0], {}) == run_id(made[1], {})


def test_a_share_of_train_is_dev_alike_in_all_languages_and_orders(tmp_path):
    hub(tmp_path, ("en", "de"))
    numbers = tuple(range(1000, 1400))
    for language in ("en", "de"):
        order = numbers if language == "en" else numbers[::-1]
        path = tmp_path / f"data/google/queries/train/{NAMES[language]}_queries.train.tsv"
        write(path, texts("query", language, order))
    write(tmp_path / "data/qrels.train.tsv", [(number, 0, 7, 1) for number in numbers])

    def dev(*languages, **fields) -> set[str]:
        rows = read(tmp_path, *languages, **fields).queries.to_pylist()
        found = {row["group"] for row in rows if row["split"] == "dev"}
        assert {row["split"] for row in rows if row["group"] not in found} == {"train", "test"}
        assert sum(row["split"] == "dev" for row in rows) == len(found) * len(languages)
        return found

    first = dev("en", "de", dev_share=0.25)
    assert 70 <= len(first) <= 130 and first == dev("de", dev_share=0.25)
    assert first < dev("en", dev_share=0.5) and first != dev("en", dev_share=0.25, dev_seed=1)
    assert dev("en") == set()


def test_without_train_there_is_a_test_only(tmp_path):
    hub(tmp_path)
    (tmp_path / "data/qrels.train.tsv").unlink()
    said = []
    built = build(MarcoData(name="mmarco", languages=["en"], path=str(tmp_path)), said.append)
    assert set(built.queries["split"].to_pylist()) == {"test"} and any(
        "qrels.train.tsv is not there" in x for x in said
    )
    (tmp_path / "data/qrels.dev.small.tsv").unlink()
    with refused("data.file_missing", "qrels.dev.small.tsv"):
        read(tmp_path, "en")


def test_the_full_dev_questions_on_request(tmp_path):
    hub(tmp_path, ("en",))
    write(
        tmp_path / "data/google/queries/dev/english_queries.dev.tsv",
        texts("query", "en", (5, 100, 200)),
    )
    write(tmp_path / "data/qrels.dev.tsv", [(5, 0, 42, 1), (200, 0, 1, 1)])
    rows = read(tmp_path, "en", qrels="dev").queries.to_pylist()
    assert {row["group"] for row in rows if row["split"] == "test"} == {"5", "200"}


# as the track's files: spaces, and grades 0 to 3
TRACK = "5 Q0 42 3\n5 Q0 7 0\n5\tQ0\t1  1\n900 Q0 2 2\n"


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("part", ["dl19", "dl20"])
def test_the_questions_and_grades_of_a_track(tmp_path, part, packed):
    year = {"dl19": "2019", "dl20": "2020"}[part]
    for root in (hub(tmp_path / "hub") / "data", official(tmp_path / "official")):
        (root / f"{year}qrels-pass.txt").write_text(TRACK)
        questions = b"5\tfive\n900\tnine\n901\tnever judged\n"
        name = f"msmarco-test{year}-queries.tsv"
        if packed:
            (root / f"{name}.gz").write_bytes(gzip.compress(questions))
        else:
            (root / name).write_bytes(questions)
    built = read(tmp_path / "hub", "en", "nl", qrels=part)
    test = [row for row in built.queries.to_pylist() if row["split"] == "test"]
    assert [(row["id"], row["text"]) for row in test] == [("5@en", "five"), ("900@en", "nine")]
    judged = {tuple(row.values()) for row in built.qrels.to_pylist()} - {
        (str(q), str(p), g) for q, p, g in QRELS["train"]
    }
    assert judged == {("5", "42", 3), ("5", "7", 0), ("5", "1", 1), ("900", "2", 2)}
    # the Dutch passages are a pool for the English questions
    assert built.languages == ["en", "nl"]
    alone = read(tmp_path / "official", "en", name="msmarco", qrels=part)
    assert alone.fingerprint == read(tmp_path / "hub", "en", qrels=part).fingerprint
    with refused("config.data.qrels", part, "data.languages"):
        read(tmp_path / "hub", "nl", qrels=part)


def test_a_track_without_its_files_is_one_line(tmp_path):
    root = hub(tmp_path) / "data"
    with refused("data.file_missing", "2019qrels-pass.txt"):
        read(tmp_path, "en", qrels="dl19")
    (root / "2019qrels-pass.txt").write_text(TRACK + "5 Q0 42\n")
    with refused("line.columns", "2019qrels-pass.txt, line 5: ", "3 columns, not 4"):
        read(tmp_path, "en", qrels="dl19")
    (root / "2019qrels-pass.txt").write_text(TRACK)
    with refused("data.file_missing", "msmarco-test2019-queries.tsv"):
        read(tmp_path, "en", qrels="dl19")


def test_without_qrels_the_positives_of_triples_are_the_training_pairs(tmp_path):
    root, said = hub(tmp_path) / "data", []
    (root / "qrels.train.tsv").unlink()
    triples = [(3, 1, 2), (10, 10, 0), (3, 1, 7), (11, 7, 42), (11, 2, 0), (10, 10, 1)]
    write(root / "triples.train.ids.small.tsv", triples)
    built = build(MarcoData(name="mmarco", languages=["en", "nl"], path=str(tmp_path)), said.append)
    assert any("triples.train.ids.small.tsv" in line and "training pairs" in line for line in said)
    train = pairs(built, "train")
    assert set(train.groups) == {"10", "11|2", "11|7", "3|1"} and train.present.all()
    assert {
        tuple(row.values())
        for row in built.qrels.to_pylist()
        if row["query_group"] in ("3", "10", "11")
    } == {(str(q), str(p), 1) for q, p, _ in triples}
    for more, key, fact in (
        ((20, 1), "line.columns", "2 columns, not 3"),
        ((20, 1, "x"), "line.whole_number", "passage id 'x'"),
    ):
        write(root / "triples.train.ids.small.tsv", [*triples, more])
        with refused(key, "line 7: ", fact):
            read(tmp_path, "en")
    write(root / "triples.train.ids.small.tsv", [*triples, (20, 43, 1), (20, 43, 2)])
    with refused("line.judgement_stray", "line 7: ", "passage 43"):
        read(tmp_path, "en")
    write(root / "qrels.train.tsv", [(3, 0, 1, 1)])
    assert len(read(tmp_path, "en").qrels) == 1 + len(QRELS["dev.small"])  # qrels come first


def test_the_folder_of_the_translation(tmp_path):
    hub(tmp_path, ("de",), "google")
    hub(tmp_path, ("fr",), "helsinki")
    assert read(tmp_path, "fr", translation="helsinki").languages == ["fr"]
    with refused("data.files_missing", "french_collection.tsv", "in fr", "german"):
        read(tmp_path, "fr")


DUTCH = "google/collections/dutch_collection.tsv"
TRAINING, SMALL = (
    "google/queries/train/dutch_queries.train.tsv",
    "google/queries/dev/dutch_queries.dev.small.tsv",
)
REFUSED = {
    "duplicate passage": (DUTCH, "7\tagain\n", 7, "line.text_repeated", "passage 7", "in line 4"),
    "duplicate query": (TRAINING, "20\tagain\n", 5, "line.text_repeated", "query 20", "in line 4"),
    "query in two files": (SMALL, "3\tagain\n", 3, "line.text_repeated", "query 3"),
    "empty text": (DUTCH, "50\t\n", 7, "line.text_empty", "passage 50"),
    "blank text": (TRAINING, "50\t \u00a0\n", 5, "line.text_empty", "query 50"),
    "too many columns": (DUTCH, "50\ta\tb\n", 7, "line.columns", "3 columns, not 2"),
    "id no number": (DUTCH, "D50\ta\n", 7, "line.whole_number", "passage id 'D50'"),
    "id spelt twice": (DUTCH, "07\ta\n", 7, "line.whole_number", "passage id '07'"),
    "carriage return": (DUTCH, "50\ta\r\n", 7, "line.carriage_return"),
    "unknown passage": (
        "qrels.train.tsv",
        "3\t0\t43\t1\n",
        5,
        "line.judgement_stray",
        "passage 43",
    ),
    "unknown query": ("qrels.dev.small.tsv", "6\t0\t42\t1\n", 4, "line.judgement_stray", "query 6"),
    "query of another part": (
        "qrels.dev.small.tsv",
        "20\t0\t42\t1\n",
        4,
        "line.judgement_stray",
        "query 20",
    ),
    "judged twice": (
        "qrels.train.tsv",
        "3\t0\t1\t0\n",
        5,
        "line.judged_twice",
        "query 3 and the passage 1",
    ),
    "spaces in qrels": ("qrels.train.tsv", "3 0 2 1\n", 5, "line.columns", "1 columns, not 4"),
    "grade": ("qrels.train.tsv", "3\t0\t2\t9999999999\n", 5, "line.grade_too_large", "9999999999"),
    "negative grade": ("qrels.train.tsv", "3\t0\t2\t-1\n", 5, "line.whole_number", "grade '-1'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_line_is_refused_with_file_line_and_reason(tmp_path, case):
    name, more, line, key, *facts = REFUSED[case]
    path = hub(tmp_path) / "data" / name
    with open(path, "ab") as file:
        file.write(more.encode())
    with refused(key, f"{path}, line {line}: ", *facts) as refusal:
        read(tmp_path, "en", "nl")
    assert "\n" not in refusal.message


def test_the_cache_follows_files_languages_and_choices(tmp_path, cache):
    hub(tmp_path)

    def made(*words):
        ((_, config),) = points(["data=mmarco", f"data.path={tmp_path}", *words], multirun=False)
        return config

    first = made("data.languages=[en,de]")
    folders = {
        prepare.collection_folder(made(*words))
        for words in (
            ["data.languages=[en,de]"],
            ["data.languages=[de,english]"],
            ["data.languages=[en,nl]"],
            ["data.languages=[en,de]", "data.dev_share=0.1"],
            ["data.languages=[en,de]", "data.dev_share=0.1", "data.dev_seed=1"],
            ["data.languages=[en,de]", "data.qrels=dev"],
        )
    }
    assert len(folders) == 5 and prepare.collection_folder(first) in folders
    assert prepare.collection_of(first).languages == ["de", "en"]
    assert prepare.collection_of(made("data.languages=[en,nl]")).languages == ["en", "nl"]
    with open(tmp_path / "data" / DUTCH, "a") as file:
        file.write("50\tmore\n")
    assert prepare.collection_folder(first) not in folders


@pytest.mark.parametrize(
    "word, key",
    [
        ("data.dev_share=1", "config.data.dev_share"),
        ("data.qrels=small", "config.data.qrels"),
        ("data.translation=..", "config.data.translation"),
        ("data.languages=[en,../x]", "names.language"),
        ("data.languages=[nl,dt]", "config.data.languages"),
    ],
)
def test_settings_that_cannot_be_are_refused(word, key):
    with refused(key, word.partition("=")[0]):
        points(["data=mmarco", word], multirun=False)
    further = word.replace("data.", "eval.also.far.")
    with refused(key.replace("config.data.", "config.eval.also."), further.partition("=")[0]):
        points(["data=synthetic", "+data@eval.also.far=mmarco", further], multirun=False)


def test_a_path_is_needed():
    with refused("data.path_unset", "data.path=FOLDER"):
        build(MarcoData(name="mmarco", languages=["en"]), lambda line: None)


def test_many_batches_are_one_table(tmp_path, monkeypatch):
    whole = read(hub(tmp_path), "en", "nl")
    monkeypatch.setattr("hybrid_sweep.data.datasets.msmarco.BATCH", 2)
    assert read(tmp_path, "en", "nl").fingerprint == whole.fingerprint
    assert np.all(np.array(whole.passages["text"].to_pylist()) != "")


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path, seed):
    """Random bytes in place of others, cuts and repeats: a collection or a UserError that names the
    file.
    """
    draw = random.Random(seed)
    files = sorted(hub(tmp_path, ("en",)).rglob("*.tsv"))
    refused = 0
    for _ in range(100):
        path = draw.choice(files)
        whole = path.read_bytes()
        start = draw.randrange(len(whole))
        stop = draw.randrange(start, len(whole) + 1)
        middle = draw.choice(
            [
                b"",
                whole[start:stop] * 2,
                draw.randbytes(3),
                b"\r",
                b"\t",
                b"\n",
                b"\n\n",
                b"0",
                b"\x00",
            ]
        )
        path.write_bytes(whole[:start] + middle + whole[stop:])
        try:
            read(tmp_path, "en")
        except UserError as error:
            refused += 1
            assert (
                str(tmp_path) in str(error) and ", line " in str(error) and "\n" not in str(error)
            )
        path.write_bytes(whole)
    assert 30 < refused < 100
