"""What a run needs is built once, named by its content, and refused in one line where it is not
there.
"""

import json
import os
import time

import numpy as np
import pyarrow.compute as pc
import pytest

from hybrid_sweep.config.compose import points
from hybrid_sweep.data import collection as collections
from hybrid_sweep.data.pairs import pairs
from hybrid_sweep.inputs import prepare
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.models.folder import content_digests
from hybrid_sweep.models.tokens import load_tokenizer, train_bpe
from hybrid_sweep.utils import digests
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest, file_digest
from tests.refused import refused


def test_a_collection_is_built_once_and_again_only_when_asked(config, monkeypatch):
    made = config("data.seed=77")
    built = []
    real = prepare.BUILDERS["synthetic"]
    monkeypatch.setitem(
        prepare.BUILDERS, "synthetic", lambda *given: built.append(1) or real(*given)
    )
    assert not prepare.is_prepared(made)
    first = prepare.whole_collection(made)
    assert (
        prepare.is_prepared(made)
        and prepare.whole_collection(made).fingerprint == first.fingerprint
    )
    assert len(built) == 1
    prepare.whole_collection(made, refresh=True)
    assert len(built) == 2


def test_a_refresh_that_fails_leaves_the_old_collection(config, monkeypatch):
    made = config("data.seed=78")
    first = prepare.whole_collection(made)

    def broken(*_):
        raise UserError("no network", key="test.no_network")

    monkeypatch.setitem(prepare.BUILDERS, "synthetic", broken)
    with refused("test.no_network", "no network"):
        prepare.whole_collection(made, refresh=True)
    assert prepare.whole_collection(made).fingerprint == first.fingerprint


@pytest.mark.parametrize("name", ["passages.arrow", "info.json"])
def test_a_damaged_collection_of_the_cache_is_built_again_with_a_message(config, name):
    made, said = config("data.seed=79"), []
    first = prepare.whole_collection(made)
    path = prepare.collection_folder(made) / name
    path.write_bytes(path.read_bytes()[:-9])
    assert prepare.whole_collection(made, said.append).fingerprint == first.fingerprint
    assert len(said) == 1 and "it is built again now" in said[0] and str(path.parent) in said[0]
    assert (
        prepare.whole_collection(made, said.append).passages.equals(first.passages)
        and len(said) == 1
    )


def test_a_damaged_selection_is_written_again_with_a_message(config):
    made, said = config("data.seed=79", "data.languages=[xa,xb]"), []
    first = prepare.collection_of(made)
    selections = (prepare.cache_dir(made) / "selections").glob("*/passages.arrow")
    (path,) = (
        each for each in selections if collections.load(each.parent).passages.equals(first.passages)
    )
    text = first.passages["text"][0].as_py().encode()
    path.write_bytes(path.read_bytes().replace(text, b"x" * len(text), 1))
    again = prepare.collection_of(made, said.append)
    assert (
        again.passages["text"][0].as_py() == text.decode()
        and len(said) == 1
        and "built again" in said[0]
    )


def test_a_damaged_folder_of_the_users_is_refused_and_left_as_it_is(config, tmp_path):
    collections.save(prepare.whole_collection(config()), tmp_path / "mine")
    path = tmp_path / "mine/qrels.arrow"
    path.write_bytes(path.read_bytes()[:-9])
    ((_, made),) = points(
        ["data=debian", "data.languages=[xa,xb]", f"data.path={tmp_path / 'mine'}"], multirun=False
    )
    with refused("seals.altered", "qrels.arrow"):
        prepare.collection_of(made)


def test_what_is_left_out_or_chosen_is_in_the_name_of_the_cache(tmp_path):
    (tmp_path / "corpus.jsonl").write_text("{}")

    def folder(*words):
        ((_, made),) = points([f"data.path={tmp_path}", *words], multirun=False)
        return prepare.collection_folder(made)

    files = folder("data=files")
    assert folder("data=files", "data.languages=[fr,ja]") == files  # all their languages are read
    marked = {
        files,
        folder("data=files", "data.on_error=skip"),
        folder("data=files", "data.format=trec"),
    }
    assert len(marked) == 3
    assert folder("data=miracl") != folder("data=miracl", "data.languages=[sw,te]")
    assert folder("data=xquad_r") == folder("data=xquad_r", "data.languages=[en,de]")


def test_a_prepared_folder_is_used_where_it_lies(config, cache, tmp_path):
    whole = prepare.whole_collection(config())
    collections.save(whole, tmp_path / "mine")
    ((_, made),) = points(
        ["data=debian", "data.languages=[xa,xb]", f"data.path={tmp_path / 'mine'}"], multirun=False
    )
    assert prepare.collection_of(made).fingerprint == whole.fingerprint
    assert prepare.collection_folder(made) == tmp_path / "mine"


def test_files_of_a_source_are_read_again_when_they_change(config, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.txt").write_text("one")
    ((_, made),) = points(["data=files", f"data.path={raw}"], multirun=False)
    before = prepare.collection_folder(made)
    assert prepare.collection_folder(made) == before
    (raw / "a.txt").write_text("other")
    assert prepare.collection_folder(made) != before
    ((_, gone),) = points(["data=files", f"data.path={tmp_path / 'none'}"], multirun=False)
    with refused("data.folder_missing", tmp_path / "none"):
        prepare.collection_folder(gone)


def test_the_tiny_tokenizer_follows_the_texts_it_is_trained_on(config):
    folders = {
        words: prepare.prepare(config(*words)).model
        for words in (
            (),
            ("data.languages=[xa,xb]",),
            ("model.vocabulary=700",),
            ("data.seed=5",),
            ("seed=3",),
        )
    }
    assert folders[()] == folders[("seed=3",)] and len(set(folders.values())) == 4
    marks = {words: prepare.fingerprints(config(*words))["model"] for words in folders}
    assert len(set(marks.values())) == 4


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_a_damaged_tiny_tokenizer_is_made_again_with_a_message(config, name, capsys):
    made = config("data.seed=11")
    folder = prepare.prepare(made).model
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    assert prepare.prepare(made).model == folder and (folder / name).read_bytes() == whole
    assert "damaged: it is made again" in capsys.readouterr().out


def test_the_fingerprint_of_a_model_is_that_of_its_weights_and_words(tmp_path):
    for name, text in (
        ("config.json", "{}"),
        ("tokenizer.json", "{}"),
        ("model.safetensors", "w"),
        ("README.md", "x"),
    ):
        (tmp_path / name).write_text(text)
    first = prepare.model_fingerprint(tmp_path, tmp_path / "cache")
    (tmp_path / "README.md").write_text("y")
    assert prepare.model_fingerprint(tmp_path, tmp_path / "cache") == first
    (tmp_path / "model.safetensors").write_text("v")
    assert prepare.model_fingerprint(tmp_path, tmp_path / "cache") != first


@pytest.mark.parametrize("replaced", [False, True])
def test_other_weights_of_equal_size_and_time_are_another_model(tmp_path, monkeypatch, replaced):
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(digests.time, "time_ns", lambda: later)  # what is seen is remembered
    for name, text in (
        ("config.json", "{}"),
        ("tokenizer.json", "{}"),
        ("model.safetensors", "w" * 2_000_000),
    ):
        (tmp_path / name).write_text(text)
    path, cache = tmp_path / "model.safetensors", tmp_path / "cache"
    first, stat = prepare.model_fingerprint(tmp_path, cache), path.stat()
    assert first == digest({path.name: file_digest(path) for path in sorted(tmp_path.glob("*.*"))})
    new = tmp_path / "new" if replaced else path
    new.write_text("v" * 2_000_000)
    os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    new.rename(path)
    assert prepare.model_fingerprint(tmp_path, cache) != first


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/nowhere/model", "model.folder_missing"),
        ("./nowhere", "model.folder_missing"),
        ("nobody/nothing-of-that-name", "model.not_cached"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(config, path, key):
    ((_, made),) = points(
        ["data=synthetic", "model=pretrained", f"model.path={path}"], multirun=False
    )
    with refused(key, f"model.path={path}"):
        prepare.fingerprints(made)


def test_a_folder_that_is_no_model_is_one_line(tmp_path):
    ((_, made),) = points(
        ["data=synthetic", "model=pretrained", f"model.path={tmp_path}"], multirun=False
    )
    with refused("model.files_missing", "config.json"):
        prepare.fingerprints(made)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with refused("model.files_missing", "tokenizer.json"):
        prepare.fingerprints(made)
    (tmp_path / "tokenizer.json").write_text("{}")
    with refused("model.files_missing", "*.safetensors"):
        prepare.fingerprints(made)


def test_the_frozen_fingerprints_stay(config):
    """Run ids of frozen results hang on them: collection and tiny tokenizer as of the first
    version.
    """
    words = ["data=synthetic", "data.groups=300", "model.vocabulary=600"]
    for languages, model in (([], "134218411b5f"), (["data.languages=[xf,xb]"], "350ef7987b5d")):
        ((_, made),) = points([*words, *languages], multirun=False)
        assert prepare.fingerprints(made) == {"collection": "e28b43bd1e94", "model": model}


def test_a_selection_of_languages_is_written_once_and_mapped(config, cache, monkeypatch):
    made = config("data.languages=[xb,xd]")
    whole = prepare.whole_collection(made)
    found = prepare.collection_of(made)
    wanted = collections.select(whole, ["xd", "xb"])
    assert found.queries.equals(wanted.queries) and found.passages.equals(wanted.passages)
    assert found.info == whole.info and found.fingerprint == whole.fingerprint

    def never(*_):
        raise AssertionError("written twice")

    monkeypatch.setattr(prepare.collections, "save", never)
    assert prepare.collection_of(config("data.languages=[xd,xb]")).queries.equals(wanted.queries)
    monkeypatch.undo()
    assert prepare.collection_of(config("data.languages=[xa,xb]")).languages == ["xa", "xb"]
    everything = config("data.languages=[xa,xb,xc,xd,xe,xf]")
    assert len(prepare.collection_of(everything).queries) == len(whole.queries)
    with refused("data.language_missing", "zz", "xa"):
        prepare.collection_of(config("data.languages=[xa,zz]"))


MORE = (
    "+data@more.other=synthetic",
    "more.other.groups=100",
    "more.other.seed=7",
    "more.other.languages=[xb,xe]",
)


def test_several_collections_are_trained_on_in_the_union_of_their_languages(config):
    made = config(
        *MORE,
        "+data@more.another=synthetic",
        "more.another.groups=100",
        "more.another.languages=[xf,xa]",
    )
    prepared = prepare.prepare(made)
    assert [source.name for source in prepared.sources] == ["synthetic", "another", "other"]
    assert prepared.languages == ["xa", "xb", "xc", "xd", "xe", "xf"]
    assert [source.code.tolist() for source in prepared.sources] == [[0, 1, 2, 3], [0, 5], [1, 4]]
    assert (
        prepared.pairs is prepared.sources[0].pairs
        and prepared.collection is prepared.sources[0].collection
    )
    for source in prepared.sources:
        assert len(source.queries) == len(source.collection.queries) and len(source.pairs) > 40
        assert len(source.passages) == len(source.collection.passages)
        assert [prepared.languages[code] for code in source.code] == source.collection.languages
    plans = [plan_of(made), plan_of(made, prepared.all_pairs)]
    for step in range(12):
        one, two = (plan.batch(step) for plan in plans)
        assert np.isin(one.query_language, prepared.sources[one.source].code).all()
        assert one.source == two.source and (one.groups == two.groups).all()
        source = prepared.sources[one.source]
        rows = source.pairs.query[
            np.argsort(source.code)[np.searchsorted(source.code, one.query_language)], one.groups
        ]
        # the plan's languages are those of the source, in the source's own numbers
        assert (rows >= 0).all()
    assert plans[0].sources == ("synthetic", "another", "other") and plans[0].languages == tuple(
        prepared.languages
    )


def test_the_shares_of_the_collections_reach_the_plan(config):
    plan = plan_of(config(*MORE, "data.share=1", "more.other.share=3"))
    counts = np.bincount([plan.batch(step).source for step in range(12)], minlength=2)
    assert counts.tolist() == [3, 9]


def test_further_collections_are_in_the_fingerprints_by_name_and_in_the_tokenizer(config):
    plain = prepare.fingerprints(config())
    marks = prepare.fingerprints(config(*MORE))
    assert set(plain) == {"collection", "model"} and set(marks) == {"collection", "model", "more"}
    assert marks["collection"] == plain["collection"] and marks["model"] != plain["model"]
    alone = prepare.fingerprints(config("data.groups=100", "data.seed=7"))["collection"]
    assert marks["more"] == {"other": {"collection": alone}}
    again = prepare.fingerprints(config(*MORE, "more.other.seed=8"))
    assert again["more"] != marks["more"] and again["model"] != marks["model"]
    # by another name the texts, and so the tokenizer, are the same
    named = prepare.fingerprints(config(*(word.replace("more.other", "more.a") for word in MORE)))
    assert named["model"] == marks["model"] and set(named["more"]) == {"a"}


def test_the_tokenizer_learns_the_texts_of_all(config):
    prepared = prepare.prepare(config("data.groups=100", "data.languages=[xa,xb]", *MORE))
    both = sorted(
        (source.collection for source in prepared.sources), key=lambda each: each.fingerprint
    )
    texts = [
        text
        for each in both
        for table in (each.queries, each.passages)
        for text in table.filter(pc.equal(table["split"], "train"))["text"].to_pylist()
    ]
    assert load_tokenizer(prepared.model).to_str() == train_bpe(iter(texts), 600).to_str()
    alone = [
        prepare.prepare(config("data.groups=100", *words)).model
        for words in (["data.languages=[xa,xb]"], ["data.languages=[xb,xe]", "data.seed=7"])
    ]
    assert prepared.model not in alone


def negatives_of(tmp_path, *rows):
    path = tmp_path / "run.trec"
    path.write_text("".join(f"{query} Q0 {passage} {rank} 1 x\n" for query, passage, rank in rows))
    return path


def test_hard_negatives_come_with_the_pairs_and_are_named_by_their_content(config, tmp_path):
    first = pairs(prepare.collection_of(config()), "train").groups[:4].tolist()
    rows = [(first[0], first[1], 1), (first[0], first[2], 2), (first[1], first[3], 1)]
    path = negatives_of(tmp_path, *rows)
    words = (f"data.negatives={path}", "batch.hard_negatives=2")
    prepared = prepare.prepare(config(*words))
    hard = prepared.pairs.negatives
    assert hard.start[:4].tolist() == [0, 2, 3, 3] and prepared.pairs.width == len(prepared.pairs)
    before = prepare.fingerprints(config(*words))
    assert set(before) == {"collection", "model", "negatives"}
    assert prepare.fingerprints_of(config(*words), prepared) == before
    negatives_of(tmp_path, *rows[:2])
    assert prepare.fingerprints(config(*words))["negatives"] != before["negatives"]
    assert prepare.prepare(config(*words)).pairs.negatives.start[:4].tolist() == [0, 2, 2, 2]
    # of a further collection without such a file nothing is drawn, and its own file counts for it
    # alone
    mixed = prepare.prepare(config(*words, *MORE))
    assert (
        len(mixed.sources[1].pairs.negatives.member) == 0 and len(mixed.pairs.negatives.member) == 2
    )
    assert "negatives" not in prepare.fingerprints(config(*words, *MORE))["more"]["other"]
    other = mixed.sources[1].pairs.groups[:2].tolist()
    (tmp_path / "other.trec").write_text(f"{other[0]} Q0 {other[1]} 1 1 x\n")
    named = prepare.fingerprints(
        config(*words, *MORE, f"more.other.negatives={tmp_path / 'other.trec'}")
    )
    assert set(named["more"]["other"]) == {"collection", "negatives"}


def test_the_format_of_negatives_is_part_of_their_name_where_the_columns_do_not_tell(
    config, tmp_path
):
    first = pairs(prepare.collection_of(config()), "train").groups[:4].tolist()
    run, triples = negatives_of(tmp_path, (first[0], first[1], 1)), tmp_path / "triples.tsv"
    triples.write_text(f"{first[0]}\t{first[0]}\t{first[1]}\n")

    def name(path, *more):
        words = (f"data.negatives={path}", "batch.hard_negatives=2", *more)
        return prepare.fingerprints(config(*words))["negatives"]

    content = content_digests([run], prepare.cache_dir(config()))[0]
    assert name(run) == name(run, "data.negatives_format=trec") == content
    assert name(triples) == name(triples, "data.negatives_format=triples")
    for path, stated in ((run, "triples"), (run, "msmarco"), (triples, "trec")):
        with refused("line.columns", "line 1: ", stated):
            name(path, f"data.negatives_format={stated}")
    ranked = tmp_path / "ranked.tsv"
    ranked.write_text(f"{first[0]}\t{first[1]}\t1\n{first[0]}\t{first[2]}\t2\n")
    with refused("negatives.ambiguous", "data.negatives_format=msmarco"):
        name(ranked)
    stated = name(ranked, "data.negatives_format=msmarco")
    assert stated != content_digests([ranked], prepare.cache_dir(config()))[0]
    with refused("config.data.negatives_format", "run"):
        config("data.negatives_format=run")


def test_negatives_that_are_not_there_are_one_line(config):
    with refused("negatives.file_missing", "data.negatives=/nowhere"):
        plan_of(config("data.negatives=/nowhere", "batch.hard_negatives=2"))


def test_a_collection_of_the_hub_composes_as_a_further_one():
    words = [
        "data=synthetic",
        "+data@more.marco=mmarco",
        "more.marco.path=DIR",
        "data.share=1",
        "more.marco.share=2",
    ]
    ((_, made),) = points(words, multirun=False)
    assert (made.more["marco"].path, made.more["marco"].name, made.more["marco"].dev_share) == (
        "DIR",
        "mmarco",
        0.0,
    )
    assert list(prepare.configs_of(made)) == ["synthetic", "marco"]
    with refused("data.folder_missing", "DIR"):
        plan_of(made)


@pytest.mark.parametrize("name", ["tokens", "pairs", "models", "collections"])
def test_a_link_in_the_cache_leads_nowhere(config, tmp_path, monkeypatch, name):
    monkeypatch.setenv("HYBRID_SWEEP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / name).symlink_to(tmp_path / "outside")
    with refused("files.not_followed", tmp_path / "cache" / name):
        prepare.prepare(config())
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_path_that_a_collection_does_not_read_is_refused(tmp_path):
    [(_, made)] = points(["data=debian", f"data.path={tmp_path}"], multirun=False)
    with refused("data.path_not_prepared", tmp_path, "debian"):
        prepare.collection_folder(made)
    (tmp_path / "info.json").write_text("{}")
    assert prepare.collection_folder(made) == tmp_path


def test_each_choice_of_languages_of_libreoffice_is_a_collection(tmp_path):
    folders = []
    for languages in ("[en,de,fr]", "[fr,de]", "[en,de,it]"):
        words = ["data=libreoffice", f"data.languages={languages}", f"paths.cache={tmp_path}"]
        [(_, config)] = points(words, multirun=False)
        folders.append(prepare.collection_folder(config))
    assert folders[0] == folders[1] != folders[2]
