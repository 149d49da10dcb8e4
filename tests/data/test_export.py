"""A collection written in mMARCO's layout and read back trains and scores as before."""

import dataclasses
import json
import shlex

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from omegaconf import OmegaConf

from hybrid_sweep.commands.cli import main
from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import FilesData, MarcoData, run_id, to_dict
from hybrid_sweep.data import collection as collections
from hybrid_sweep.data.collection import Collection, make
from hybrid_sweep.data.datasets import files, synthetic
from hybrid_sweep.data.datasets.msmarco import build
from hybrid_sweep.data.export import export
from hybrid_sweep.data.pairs import pairs
from hybrid_sweep.inputs import prepare
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.retrieval.per_query import evaluate
from hybrid_sweep.retrieval.ranking import Dense
from hybrid_sweep.utils.files import write_json
from tests import ready
from tests.data import conftest as archive
from tests.refused import refused

SMALL = dict(groups=300, concepts=100, shared=0.2, noise=0.2, seed=0)


def back(folder, *languages: str) -> Collection:
    return build(
        MarcoData(name="mmarco", languages=list(languages), path=str(folder)), lambda line: None
    )


def table(rows: list[tuple[str, ...]]) -> pa.Table:
    return pa.table(
        dict(
            zip(
                ("id", "group", "lang", "split", "text"),
                map(list, zip(*rows, strict=True)),
                strict=True,
            )
        )
    )


def graded() -> Collection:
    """Groups with spaces and quotes, "9" before "10", a passage of two questions, grades, languages
    of one side only.
    """
    queries = [
        (f"q {g}@{lang}", f"q {g}", lang, split, f'"{g} \u2028{lang}')
        for g, lang, split in (
            ("9", "de", "train"),
            ("9", "pt_BR", "train"),
            ("10", "de", "test"),
            ("10", "fr", "test"),
            ("é", "en", "dev"),
        )
    ]
    passages = [
        (f"{g}#{lang}", g, lang, split, f"text {g} {lang}")
        for g, lang, split in (
            ("q 9", "de", "train"),
            ("p", "de", "*"),
            ("p", "en", "*"),
            ("p", "it", "*"),
            ("r", "pt_BR", "test"),
        )
    ]
    judged = [("q 9", "q 9", 1), ("q 9", "p", 0), ("q 10", "p", 3), ("q é", "r", 2)]
    qrels = pa.table(
        dict(
            zip(
                ("query_group", "passage_group", "grade"),
                map(list, zip(*judged, strict=True)),
                strict=True,
            )
        )
    )
    return make("graded", table(queries), table(passages), qrels, {"licence": "CC0-1.0"})


@pytest.mark.parametrize("made", [lambda: synthetic.build(**SMALL), graded])
def test_all_languages_read_back_are_the_same_content(tmp_path, made):
    before = made()
    assert export(before, tmp_path / "x")[1] == 0
    after = back(
        tmp_path / "x", *before.queries["lang"].to_pylist(), *before.passages["lang"].to_pylist()
    )
    assert (
        after.fingerprint == before.fingerprint
        and after.info["exported"]["fingerprint"] == before.fingerprint
    )
    assert after.info["licence"] == before.info["licence"]


@pytest.mark.parametrize("languages", [["xa", "xb", "xc", "xd"], ["xb", "xf"]])
def test_the_plan_is_the_same(tmp_path, cache, languages):
    """Every array of the plan, and the groups of every step, from the words of a user."""
    words = [
        f"data.languages=[{','.join(languages)}]",
        "batch.size=16",
        "trainer.max_steps=40",
        "seed=3",
    ]
    ((_, original),) = points(["data=synthetic", "data.groups=300", *words], multirun=False)
    export(prepare.whole_collection(original), tmp_path / "x")
    ((_, copy),) = points(["data=mmarco", f"data.path={tmp_path / 'x'}", *words], multirun=False)
    found = [pairs(prepare.collection_of(config), "train") for config in (original, copy)]
    for item in dataclasses.fields(found[0]):
        assert np.array_equal(*(np.asarray(getattr(each, item.name)) for each in found)), item.name
    plans = [plan_of(config) for config in (original, copy)]
    assert plans[0].left_out == plans[1].left_out and len(plans[0]) == 40
    assert (
        np.array_equal(*(plan.n_cross for plan in plans))
        and plans[0].languages == plans[1].languages
    )
    for step in range(40):
        batches = [plan.batch(step) for plan in plans]
        for item in dataclasses.fields(batches[0]):
            assert np.array_equal(*(getattr(batch, item.name) for batch in batches)), item.name
        assert np.array_equal(
            *(each.groups[batch.groups] for each, batch in zip(found, batches, strict=True))
        )


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_per_query_table_is_the_same(tmp_path, split):
    languages = ["xa", "xc", "xe"]
    whole = synthetic.build(**SMALL)
    export(whole, tmp_path / "x")
    frames = []
    for collection in (collections.select(whole, languages), back(tmp_path / "x", *languages)):
        draw = np.random.default_rng(5)
        tables = []
        for texts, splits in ((collection.queries, [split]), (collection.passages, [split, "*"])):
            rows = np.flatnonzero([where in splits for where in texts["split"].to_pylist()])
            tables.append(texts.take(rows))
        vectors = [draw.standard_normal((len(texts), 8)).astype(np.float32) for texts in tables]
        vectors = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in vectors]
        frames.append(evaluate(*tables, collection.qrels, Dense(*vectors))[0])
    assert len(frames[0]) > 300
    pd.testing.assert_frame_equal(*frames, check_exact=True)


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    """Debian's descriptions from a small archive, as `data prepare` leaves them, and the same
    exported in mMARCO's layout.
    """
    folder = tmp_path_factory.mktemp("debian")
    entries = [archive.entry(f"package{number}", languages="en de it") for number in range(150)]
    made = archive.make(folder, entries, "de it")
    collections.save(made, folder / "collection")
    export(made, folder / "mmarco")
    return made, folder


def test_debian_in_the_layout_of_mmarco_has_the_same_plan_and_table(debian, tmp_path, cache):
    """By the words of a user: every batch, and every byte of the table but for what names the
    collection.
    """
    made, folder = debian
    words = [
        "data.languages=[de,en,it]",
        "batch.size=16",
        "trainer.max_steps=30",
        "batch.cross_lingual_ratio=0.5",
    ]
    found = []
    for name, path in (("debian", folder / "collection"), ("mmarco", folder / "mmarco")):
        ((_, config),) = points([f"data={name}", f"data.path={path}", *words], multirun=False)
        collection, plan = prepare.collection_of(config), plan_of(config)
        assert collection.fingerprint == made.fingerprint and len(plan) == 30
        batches = [plan.batch(step) for step in range(30)]
        split = ["test", "*"]
        tables = [
            each.filter(pc.is_in(each["split"], value_set=pa.array(split)))
            for each in (collection.queries, collection.passages)
        ]
        draw = np.random.default_rng(5)
        vectors = [draw.standard_normal((len(each), 8)).astype(np.float32) for each in tables]
        table = evaluate(*tables, collection.qrels, Dense(*vectors))[0]
        assert set(table["setting"]) == {"monolingual", "cross-lingual", "multilingual"}
        table.to_parquet(tmp_path / f"{name}.parquet", index=False)
        found.append((batches, (tmp_path / f"{name}.parquet").read_bytes()))
    (batches, table), (again, other) = found
    for one, two in zip(batches, again, strict=True):
        for item in dataclasses.fields(one):
            values = (np.asarray(getattr(each, item.name)) for each in (one, two))
            assert len({(value.dtype, value.tobytes()) for value in values}) == 1, item.name
    assert table == other


def test_the_files_are_those_of_the_layout(tmp_path):
    export(graded(), tmp_path / "x")
    found = {str(path.relative_to(tmp_path / "x")) for path in (tmp_path / "x").rglob("*.tsv")}
    assert {
        "google/collections/german_collection.tsv",
        "google/collections/pt_BR_collection.tsv",
    } <= found
    assert "google/queries/dev/german_queries.dev.small.tsv" in found
    read = {name: (tmp_path / "x" / name).read_text().split("\n") for name in found}
    # p, q 10, q 9, q é, r are 0 to 4
    assert read["google/collections/german_collection.tsv"] == [
        "0\ttext p de",
        "2\ttext q 9 de",
        "",
    ]
    assert read["google/queries/dev/german_queries.dev.small.tsv"] == ['1\t"10 \u2028de', ""]
    assert read["qrels.train.tsv"] == ["2\t0\t0\t0", "2\t0\t2\t1", ""]
    assert read["qrels.dev.small.tsv"] == ["1\t0\t0\t3", ""] and read["qrels.dev.tsv"] == [
        "3\t0\t4\t2",
        "",
    ]
    assert "2\tquery\tpt_BR\ttrain\tq 9@pt_BR\tq 9" in read["groups.tsv"]


@pytest.mark.slow
def test_the_run_is_the_same(tmp_path, cache):
    """Trained and evaluated by the worker: what entered every step, and every row of the per-query
    table.
    """
    words = [
        "data.languages=[xa,xb,xc]",
        "model.vocabulary=600",
        "model.hidden_size=32",
        "model.heads=2",
    ]
    words += [
        "model.intermediate_size=64",
        "batch.size=16",
        "trainer.max_steps=8",
        "logger=disabled",
    ]
    export(synthetic.build(groups=300, concepts=400, shared=0.2, noise=0.2, seed=0), tmp_path / "x")
    found = []
    for data in (
        ["data=synthetic", "data.groups=300"],
        ["data=mmarco", f"data.path={tmp_path / 'x'}"],
    ):
        ((_, config),) = points([*data, *words], multirun=False)
        fingerprints = prepare.fingerprints(config)
        folder = tmp_path / "runs" / run_id(config, fingerprints)
        folder.mkdir(parents=True)
        OmegaConf.save(OmegaConf.create(to_dict(config)), folder / "config.yaml")
        write_json(folder / "identity.json", {"run_id": folder.name, "fingerprints": fingerprints})
        done = ready.run(["-m", "hybrid_sweep.worker", folder])
        assert done.returncode == 0, done.stderr[-2000:]
        steps = pd.read_parquet(folder / "steps.parquet").drop(columns=["seconds", "source"])
        found.append((steps, pd.read_parquet(folder / "per_query.parquet")))
    (steps, table), (steps_again, again) = found
    assert set(again["collection"]) == {"mmarco"} and len(table) > 100
    pd.testing.assert_frame_equal(steps, steps_again, check_exact=True)
    own = ["run_id", "collection"]
    pd.testing.assert_frame_equal(
        table.drop(columns=own), again.drop(columns=own), check_exact=True
    )


def one(**change: str) -> Collection:
    row = {"id": "a", "group": "g", "lang": "en", "split": "train", "text": "t"} | change
    qrels = pa.table({"query_group": [row["group"]], "passage_group": ["g"], "grade": [1]})
    return make(
        "one",
        pa.table({k: [v] for k, v in row.items()}),
        table([("a", "g", "en", "*", "t")]),
        qrels,
        {},
    )


def test_breaks_in_a_text_become_spaces_and_are_counted(tmp_path):
    assert export(one(text=" a\r\nb\t\tc "), tmp_path / "x")[1] == 1
    assert back(tmp_path / "x", "en").queries["text"].to_pylist() == [" a b c "]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"lang": "../en"}, "names.language"),
        ({"group": "g\tg"}, "export.name"),
        ({"id": "a\nb"}, "export.name"),
    ],
)
def test_what_the_files_cannot_hold_is_refused_and_nothing_is_written(tmp_path, change, key):
    with refused(key):
        made = one(**change)
        export(made, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_two_texts_of_a_group_and_language_are_refused(tmp_path):
    rows = [("a", "g", "en", "train", "t"), ("b", "g", "en", "train", "u")]
    qrels = pa.table({"query_group": ["g"], "passage_group": ["g"], "grade": [1]})
    with refused("export.text_repeated", "query 'g'", "in en"):
        export(make("two", table(rows), table(rows), qrels, {}), tmp_path / "x")


def test_a_question_in_two_splits_is_refused(tmp_path):
    rows = [("a", "g", "en", "train", "t"), ("b", "g", "de", "test", "u")]
    qrels = pa.table({"query_group": ["g"], "passage_group": ["g"], "grade": [1]})
    with refused("export.two_splits", "'g'"):
        export(make("two", table(rows), table(rows), qrels, {}), tmp_path / "x")


def test_an_old_folder_is_kept(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine").write_text("mine")
    with refused("export.not_empty", tmp_path / "x"):
        export(graded(), tmp_path / "x")
    assert (tmp_path / "x" / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    "line, key, fact",
    [
        ("0\tpassage\tde\t*\tp#de\tother\n", "line.group_contradicts", "passage 0"),
        ("0\tpassage\tde\t*\tp#de\tp\n", "line.text_repeated", "passage 0"),
        ("7\tanswer\tde\t*\ta\tb\n", "line.kind", "'answer'"),
        ("7\tquery\tde\t*\ta\tb\n", "line.split", "'*' of a query"),
    ],
)
def test_bad_lines_of_groups_are_refused(tmp_path, line, key, fact):
    export(graded(), tmp_path / "x")
    with open(tmp_path / "x" / "groups.tsv", "a") as file:
        file.write(line)
    with refused(key, "groups.tsv, line 11: ", fact):
        back(tmp_path / "x", "de")


def test_a_text_that_groups_do_not_name_is_refused(tmp_path):
    export(graded(), tmp_path / "x")
    with open(tmp_path / "x" / "google/collections/german_collection.tsv", "a") as file:
        file.write("4\tmore\n")
    with refused("line.text_unnamed", "german_collection.tsv, line 3", "groups.tsv", "passage 4"):
        back(tmp_path / "x", "de")


def test_the_verb(tmp_path, cache, capsys):
    folder = tmp_path / "out"
    assert main(["data", "export", "synthetic", str(folder), "data.groups=60"]) == 0
    told = capsys.readouterr().out
    assert (
        "synthetic: " in told
        and f"data prepare mmarco data.path={folder} 'data.languages=[xa,xb,xc,xd,xe,xf]'" in told
    )
    assert main(["data", "prepare", "mmarco", f"data.path={folder}", "data.languages=[xa,xf]"]) == 0
    assert "mmarco: xa xf; " in capsys.readouterr().out
    assert main(["data", "export", "synthetic", str(folder), "data.groups=60"]) == 2
    assert main(["data", "export", "synthetic", "data.groups=60"]) == 2
    assert main(["data", "export"]) == 2


FORMATS = ["beir", "jsonl", "trec", "tsv"]


def named() -> Collection:
    """Like `graded`, but with ids that files of TREC can hold."""
    before = graded()
    tables = [
        table.set_column(
            0, "id", pa.array([text_id.replace(" ", "_") for text_id in table["id"].to_pylist()])
        )
        for table in (before.queries, before.passages)
    ]
    return make("graded", *tables, before.qrels, before.info)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("made", [lambda: synthetic.build(**SMALL), named])
def test_users_files_read_back_are_the_same_content(tmp_path, made, form):
    before = made()
    assert export(before, tmp_path / "x", form)[1] == 0
    # all languages are read
    data = FilesData(name="files", languages=["xa", "xb"], path=str(tmp_path / "x"))
    after = files.build(data, tmp_path, lambda line: None)
    assert after.fingerprint == before.fingerprint and after.info["format"] == form
    assert after.info["exported"]["fingerprint"] == before.fingerprint


@pytest.mark.parametrize("form", FORMATS)
def test_every_judged_pair_of_texts_is_a_line(tmp_path, form):
    before = synthetic.build(groups=20, concepts=50, shared=0.2, noise=0.2, seed=0)
    export(before, tmp_path / "x", form)
    groups = before.queries["group"].to_pylist(), before.passages["group"].to_pylist()
    expected = sum(
        groups[0].count(row["query_group"]) * groups[1].count(row["passage_group"])
        for row in before.qrels.to_pylist()
    )
    found = [
        line
        for path in (tmp_path / "x").rglob("*qrels*")
        if path.is_file()
        for line in path.read_text().splitlines()
    ]
    found += [
        line
        for path in (tmp_path / "x").glob("qrels/*")
        for line in path.read_text().splitlines()[1:]
    ]
    assert len(set(found)) == len(found) == expected > 400


def test_the_files_of_beir_are_those_that_others_read(tmp_path):
    """One language alone: texts and judgements of no other are left."""
    export(named(), tmp_path / "x", "beir", ["de"])
    assert (
        tmp_path / "x/qrels/train.tsv"
    ).read_text() == "query-id\tcorpus-id\tscore\nq_9@de\tp#de\t0\nq_9@de\tq_9#de\t1\n"
    assert (
        tmp_path / "x/qrels/test.tsv"
    ).read_text() == "query-id\tcorpus-id\tscore\nq_10@de\tp#de\t3\n"
    corpus = [json.loads(line) for line in (tmp_path / "x/corpus.jsonl").read_text().splitlines()]
    assert [(node["_id"], node["title"], node["text"]) for node in corpus] == [
        ("p#de", "", "text p de"),
        ("q_9#de", "", "text q 9 de"),
    ]
    asked = [json.loads(line) for line in (tmp_path / "x/queries.jsonl").read_text().splitlines()]
    assert {node["_id"] for node in asked} == {"q_9@de", "q_10@de"} and not (
        tmp_path / "x/qrels/dev.tsv"
    ).exists()


def test_one_language_in_the_layout_of_mmarco(tmp_path):
    made, _ = export(graded(), tmp_path / "x", languages=["de"])
    assert made.languages == ["de"] and back(tmp_path / "x", "de").queries.equals(made.queries)
    with refused("data.language_missing", "xx"):
        export(graded(), tmp_path / "y", languages=["xx"])


@pytest.mark.parametrize("form", ["beir", "jsonl", "tsv", "trec"])
def test_breaks_stay_where_the_files_hold_them(tmp_path, form):
    rows = [("a", "g", "en", "train", " a\r\nb\t\tc ")]
    made = make(
        "one",
        table(rows),
        table(rows),
        pa.table({"query_group": ["g"], "passage_group": ["g"], "grade": [1]}),
        {},
    )
    cut = export(made, tmp_path / "x", form)[1]
    after = files.build(
        FilesData(name="files", languages=["en"], path=str(tmp_path / "x")),
        tmp_path,
        lambda line: None,
    )
    texts = [after.queries["text"][0].as_py(), after.passages["text"][0].as_py()]
    assert (cut, texts.count(" a b c "), texts.count(" a\r\nb\t\tc ")) == {
        "tsv": (2, 2, 0),
        "trec": (1, 1, 1),
    }.get(form, (0, 0, 2))


@pytest.mark.parametrize(
    ("form", "name"), [("trec", "a b"), ("beir", "a\tb"), ("tsv", "a\nb"), ("jsonl", "a\rb")]
)
def test_ids_that_a_format_cannot_hold_are_refused_and_nothing_is_written(tmp_path, form, name):
    with refused("export.name", form):
        export(one(id=name), tmp_path / "x", form)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_question_in_two_splits_is_refused_in_every_format(tmp_path, form):
    rows = [("a", "g", "en", "train", "t"), ("b", "g", "de", "test", "u")]
    qrels = pa.table({"query_group": ["g"], "passage_group": ["g"], "grade": [1]})
    with refused("export.two_splits", "'g'"):
        export(make("two", table(rows), table(rows), qrels, {}), tmp_path / "x", form)


@pytest.mark.parametrize("name", ["ex ü", "ex=1", "it's", 'a"b', "[x],{y}", "1e3", "a$b", "~x"])
def test_the_command_that_is_printed_after_an_export_reads_it_back(
    tmp_path, cache, capsys, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "export", "synthetic", name, "data.groups=60", "--format", "tsv"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert (tmp_path / name).is_dir() and told.startswith("next: hybrid-sweep ")
    assert main(shlex.split(told)[2:]) == 0
    assert " 307 queries" in capsys.readouterr().out


def test_the_verb_knows_formats_and_languages(tmp_path, cache, capsys):
    folder = tmp_path / "out"
    words = ["data", "export", "synthetic", str(folder), "data.groups=60"]
    assert main([*words, "--format", "beir", "--languages", "xa,xb"]) == 0
    told = capsys.readouterr().out
    assert (
        f"next: hybrid-sweep data prepare files data.format=beir data.path={folder}"
        " 'data.languages=[xa,xb]'" in told
    )
    assert (
        main(
            [
                "data",
                "prepare",
                "files",
                "data.format=beir",
                f"data.path={folder}",
                "data.languages=[xa,xb]",
            ]
        )
        == 0
    )
    assert "files: xa xb; " in capsys.readouterr().out
    assert main([*words, "--format", "csv"]) == 2
    assert "--format csv: must be one of mmarco, beir, jsonl, trec, tsv" in capsys.readouterr().err
