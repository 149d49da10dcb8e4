"""What a run needs is built once, named by its content, and refused in one line where it is not there."""

import json

import pytest

from hybrid_sweep import prepare
from hybrid_sweep.compose import points
from hybrid_sweep.data import collection as collections
from hybrid_sweep.errors import UserError


def test_a_collection_is_built_once_and_again_only_when_asked(config, monkeypatch):
    made = config("data.seed=77")
    built = []
    real = prepare.BUILDERS["synthetic"]
    monkeypatch.setitem(prepare.BUILDERS, "synthetic", lambda *given: built.append(1) or real(*given))
    assert not prepare.is_prepared(made)
    first = prepare.whole_collection(made)
    assert prepare.is_prepared(made) and prepare.whole_collection(made).fingerprint == first.fingerprint
    assert len(built) == 1
    prepare.whole_collection(made, refresh=True)
    assert len(built) == 2


def test_a_refresh_that_fails_leaves_the_old_collection(config, monkeypatch):
    made = config("data.seed=78")
    first = prepare.whole_collection(made)

    def broken(*_):
        raise UserError("no network")

    monkeypatch.setitem(prepare.BUILDERS, "synthetic", broken)
    with pytest.raises(UserError, match="no network"):
        prepare.whole_collection(made, refresh=True)
    assert prepare.whole_collection(made).fingerprint == first.fingerprint


def test_a_prepared_folder_is_used_where_it_lies(config, cache, tmp_path):
    whole = prepare.whole_collection(config())
    collections.save(whole, tmp_path / "mine")
    ((_, made),) = points(["data=debian", "data.languages=[xa,xb]", f"data.path={tmp_path / 'mine'}"], multirun=False)
    assert prepare.collection_of(made).fingerprint == whole.fingerprint
    assert prepare.collection_folder(made) == tmp_path / "mine"


def test_files_of_a_source_are_read_again_when_they_change(config, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.txt").write_text("one")
    ((_, made),) = points(["data=debian", f"data.path={raw}"], multirun=False)
    before = prepare.collection_folder(made)
    assert prepare.collection_folder(made) == before
    (raw / "a.txt").write_text("other")
    assert prepare.collection_folder(made) != before
    ((_, gone),) = points(["data=debian", f"data.path={tmp_path / 'none'}"], multirun=False)
    with pytest.raises(UserError, match="no such folder"):
        prepare.collection_folder(gone)


def test_the_tiny_tokenizer_follows_the_texts_it_is_trained_on(config):
    folders = {
        words: prepare.prepare(config(*words)).model
        for words in ((), ("data.languages=[xa,xb]",), ("model.vocabulary=700",), ("data.seed=5",), ("seed=3",))
    }
    assert folders[()] == folders[("seed=3",)] and len(set(folders.values())) == 4
    marks = {words: prepare.fingerprints(config(*words))["model"] for words in folders}
    assert len(set(marks.values())) == 4


def test_the_fingerprint_of_a_model_is_that_of_its_weights_and_words(tmp_path):
    for name, text in (("config.json", "{}"), ("tokenizer.json", "{}"), ("model.safetensors", "w"), ("README.md", "x")):
        (tmp_path / name).write_text(text)
    first = prepare.model_fingerprint(tmp_path, tmp_path / "cache")
    (tmp_path / "README.md").write_text("y")
    assert prepare.model_fingerprint(tmp_path, tmp_path / "cache") == first
    (tmp_path / "model.safetensors").write_text("v")
    assert prepare.model_fingerprint(tmp_path, tmp_path / "cache") != first


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/nowhere/model", "model.path=/nowhere/model: no such folder"),
        ("./nowhere", "no such folder"),
        ("nobody/nothing-of-that-name", "not in the local cache of models"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(config, path, words):
    ((_, made),) = points(["data=synthetic", "model=pretrained", f"model.path={path}"], multirun=False)
    with pytest.raises(UserError, match=words):
        prepare.fingerprints(made)


def test_a_folder_that_is_no_model_is_one_line(tmp_path):
    ((_, made),) = points(["data=synthetic", "model=pretrained", f"model.path={tmp_path}"], multirun=False)
    with pytest.raises(UserError, match=r"no config\.json"):
        prepare.fingerprints(made)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        prepare.fingerprints(made)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        prepare.fingerprints(made)
