"""The record of a training: its model is gone on from only as it was saved, by whoever goes on from
it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hybrid_sweep.commands.evaluate import config_of
from hybrid_sweep.runs import stages, trained
from hybrid_sweep.sweeps import point_list
from hybrid_sweep.utils import digests
from hybrid_sweep.utils.files import read_json, write_json
from tests.refused import refused

FILES = (
    "model/config.json",
    "model/model.safetensors",
    "model/modules.json",
    "model/1_Pooling/config.json",
)
TABLES = ("steps.parquet", "dev.parquet")


@pytest.fixture
def folder(planned) -> Path:
    """The folder of a run whose training left its files, with any content."""
    made = planned("batch.cross_lingual_ratio=0.5")
    for name in (*FILES, *TABLES):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(name.encode() * 9)
    trained.write(made)
    return made


def reason(folder: Path) -> str | None:
    return stages.untrained(folder)


def test_what_was_saved_is_gone_on_from(folder):
    assert stages.is_trained(folder) and set(read_json(folder / "trained.json")["files"]) == {
        *FILES,
        *TABLES,
    }


@pytest.mark.parametrize("name", [*FILES, *TABLES])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "a link", "of another run"])
def test_every_file_is_compared(folder, name, damage, tmp_path):
    path = folder / name
    content = path.read_bytes()
    if damage == "flipped":
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "gone":
        path.unlink()
    elif damage == "a link":
        (tmp_path / "away").write_bytes(content)
        path.unlink()
        path.symlink_to(tmp_path / "away")
    else:
        path.write_bytes(content[::-1])
    assert reason(folder) == "its model is not the one that was saved" and not stages.is_trained(
        folder
    )
    altered = {"gone": "seals.file_missing", "a link": "files.not_followed"}
    with refused(altered.get(damage, "seals.altered"), path):
        config_of([str(folder)])


@pytest.mark.parametrize(
    "name", ["model/adapter_config.json", "model/pytorch_model.bin", "model/1_Pooling/more.py"]
)
def test_a_file_that_was_added_to_the_model_is_noticed(folder, name):
    (folder / name).write_text("{}")
    with refused("trained.file_added", name, kind=trained.Untrained):
        trained.check(folder, None)


def test_notes_for_readers_may_be_added(folder):
    for name in ("README.md", ".gitattributes"):
        (folder / "model" / name).write_text("# A model")
    assert stages.is_trained(folder)


@pytest.mark.parametrize(
    "record",
    [
        3,
        [],
        {},
        "{half",
        {"run_id": "another"},
        {"run_id": 3, "files": {}},
        {"files": [1]},
        {"files": {}},
        {"files": {"../../x": "y"}},
        {"files": {"steps.parquet": 3}},
    ],
)
def test_a_record_of_any_content_is_no_finished_training(folder, record):
    known = read_json(folder / "trained.json")
    write_json(
        folder / "trained.json",
        {**known, **record} if record and isinstance(record, dict) else record,
    )
    assert reason(folder) == "its model is not the one that was saved"


def test_the_model_of_another_run_with_its_record_is_refused(folder, planned, tmp_path):
    other = planned("batch.cross_lingual_ratio=1")
    for name in ("model", "trained.json", *TABLES):
        source = folder / name
        (
            shutil.copytree(source, other / name)
            if source.is_dir()
            else shutil.copy(source, other / name)
        )
    assert not stages.is_trained(other)
    with refused("trained.other_run", other, kind=trained.Untrained):
        config_of([str(other)])
    moved = tmp_path / "moved"
    # a folder that was copied whole is the run that its identity names
    shutil.copytree(folder, moved)
    assert config_of([str(moved)]).model.path == str(moved / "model")


def test_a_model_that_was_not_kept_is_said_to_be_that(folder):
    shutil.rmtree(folder / "model")
    assert reason(folder) == "its model was not kept"


def test_only_results_of_an_earlier_version_stand_for_the_record(folder):
    (folder / "trained.json").unlink()
    assert reason(folder) == "its training is not finished"
    write_json(folder / "metrics.json", {"run_id": folder.name, "per_query": "0123456789abcdef"})
    assert reason(folder) == "its training is not finished"
    write_json(folder / "metrics.json", {"run_id": "another"})
    assert reason(folder) == "its training is not finished"
    write_json(folder / "metrics.json", {"run_id": folder.name})
    assert reason(folder) is None and config_of([str(folder)]).model.name == "saved"
    trained.adopt(folder)
    (folder / "model/config.json").write_text("other")
    assert reason(folder) == "its model is not the one that was saved"


def test_the_state_of_a_point_says_why_it_is_trained_again(folder, config):
    made = config("batch.cross_lingual_ratio=0.5", f"paths.outputs={folder.parent.parent}")
    point = point_list.Point(
        folder.name, "trained", (), made, read_json(folder / "identity.json")["fingerprints"]
    )
    write_json(folder / "status.json", {"state": "encoding", "encoded": 3, "texts": 9})
    assert point_list.state_of(point).reason == "interrupted (encoding, text 3 of 9)"
    (folder / "model/config.json").write_text("other")
    again = "its model is not the one that was saved and is trained again"
    assert point_list.state_of(point).reason == f"interrupted (encoding, text 3 of 9); {again}"
    write_json(folder / "status.json", {"state": "done"})
    assert point_list.state_of(point).reason == f"{again}; to be evaluated on its own collection"


def test_the_digests_of_a_model_are_remembered_in_the_cache(folder, tmp_path, monkeypatch):
    later = digests.time.time_ns() + 60_000_000_000
    monkeypatch.setattr(digests.time, "time_ns", lambda: later)
    assert stages.is_trained(folder, tmp_path / "cache")
    hashed, real = [], digests.file_digest
    monkeypatch.setattr(
        digests, "file_digest", lambda path, length: hashed.append(path) or real(path, length)
    )
    assert stages.is_trained(folder, tmp_path / "cache") and not hashed


def test_torch_is_not_imported():
    program = (
        "import sys, hybrid_sweep.runs.trained, hybrid_sweep.training.checkpoint_notes; sys.exit('torch' in"
        " sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
