"""The words by which a driver tells its workers the parts of its own command."""

import dataclasses
from pathlib import Path

import pytest

from hybrid_sweep.config import own_parts, schema, validate
from tests.refused import refused

WORDS = ("trainer.loss=own_losses:f", "trainer.callbacks=[own_losses:B,own_losses:A]")


@pytest.fixture
def own(tmp_path, monkeypatch):
    folder = tmp_path / "a b=c"
    folder.mkdir()
    (folder / "own_losses.py").write_text("raise RuntimeError('it was run')")
    monkeypatch.chdir(folder)
    return folder


def marked(config) -> dict[str, dict[str, str]]:
    return own_parts.fingerprints(own_parts.sources(config.trainer))


def test_what_a_driver_names_reaches_its_worker(config, own, planned):
    made = config(*WORDS)
    words = validate.permissions(made)
    again = validate.permitted(validate.stored(planned()), words)
    assert again.trainer == made.trainer and own_parts.folders(words) == [own]
    assert validate.permissions(config()) == []


def test_a_module_that_has_gone_is_left_to_the_worker(config, own):
    made = config(*WORDS)
    (own / "own_losses.py").unlink()
    assert not own_parts.folders(validate.permissions(made))


def test_a_name_in_a_stored_config_is_data(planned, config, own):
    folder = planned(*WORDS)
    assert own_parts.named(validate.stored(folder).trainer) == []
    assert own_parts.named(validate.permitted(validate.stored(folder), []).trainer) == []


@pytest.mark.parametrize("word", ["trainer.loss=a", "trainer.callbacks=a:b:c"])
def test_a_worker_takes_no_other_name(planned, word):
    with refused("config." + word.partition("=")[0], "module:name"):
        validate.permitted(validate.stored(planned()), [word])


def test_an_edited_file_is_another_run(config, own):
    made = config(*WORDS)
    before = marked(made)
    assert list(before["own_parts"]) == ["own_losses:f", "own_losses:B", "own_losses:A"]
    (own / "own_losses.py").write_text("raise RuntimeError('it was run') ")
    now = marked(made)
    assert schema.run_id(made, before) != schema.run_id(made, now)
    assert marked(config()) == {}


def test_the_baselines_of_a_sweep_have_no_parts(config, own):
    made = config(*WORDS)
    for baseline in (schema.untrained(made), schema.bm25(made)):
        assert own_parts.named(baseline.trainer) == []
    plain = dataclasses.replace(made, trainer=own_parts.without(made.trainer))
    assert schema.identity(schema.untrained(made)) == schema.identity(schema.untrained(plain))


def test_modules_lie_where_one_stands_or_in_the_folders_given(config, own, monkeypatch):
    trainer = config(*WORDS).trainer
    monkeypatch.chdir("/")
    with refused("config.trainer.loss", "own_losses"):
        own_parts.sources(trainer)
    files = {source.file for source in own_parts.sources(trainer, [Path("/"), own]).values()}
    assert files == {own / "own_losses.py"}
