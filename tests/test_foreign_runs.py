"""A run folder of somebody else: its config permits nothing, and no path or variable in it is
followed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hybrid_sweep.commands import mine
from hybrid_sweep.commands.cli import main
from hybrid_sweep.commands.evaluate import config_of
from hybrid_sweep.config import validate
from hybrid_sweep.inputs import prepare
from hybrid_sweep.runs import trained
from hybrid_sweep.sweeps import processes, worker
from hybrid_sweep.utils.files import read_json, write_json
from tests.refused import refused

TEXTS = [
    "a\nb: ",
    "\t",
    'q "x"\' ',
    "\\n",
    "日本語 ",
    "لغة ",
    "\u2028",
    "#: -",
    "!!x",
    "0123",
    "1e3",
    "null",
    " x ",
    "\x85",
    "\ufeff",
]

CODE = """
import os, pathlib
pathlib.Path(os.environ["CODE_RAN"]).touch()
from transformers import BertConfig, BertModel
class OwnConfig(BertConfig):
    model_type = "own"
class OwnModel(BertModel):
    config_class = OwnConfig
"""


def _edited(folder: Path, **groups: dict[str, object]) -> Path:
    """Change values in the config of a run."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for group, values in groups.items():
        config[group] |= values
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def foreign(planned, tmp_path, monkeypatch):
    """A trained run whose model folder brings Python code, and whose config says that it may
    run.
    """
    folder = planned("trainer.max_steps=2", "batch.cross_lingual_ratio=0.5")
    source = prepare.prepare(validate.stored(folder)).model
    shutil.copytree(source, folder / "model")
    config = read_json(folder / "model" / "config.json")
    own = {
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"},
        "model_type": "own",
    }
    write_json(folder / "model" / "config.json", config | own)
    write_json(
        folder / "model" / "modules.json",
        [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}],
    )
    (folder / "model" / "own.py").write_text(CODE)
    (folder / "model" / "model.safetensors").write_bytes(b"")
    (folder / "steps.parquet").write_bytes(b"")
    trained.write(folder)
    monkeypatch.setenv("CODE_RAN", str(tmp_path / "ran"))
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    return _edited(folder, model={"remote_code": True, "local_files_only": False})


def test_a_stored_config_gives_no_permission(foreign):
    model = validate.stored(foreign).model
    assert (model.remote_code, model.local_files_only) == (False, True)
    asked = config_of([str(foreign)]).model
    assert (asked.remote_code, asked.local_files_only) == (False, True)
    assert config_of([str(foreign), "model.remote_code=true"]).model.remote_code


@pytest.mark.slow
def test_code_of_a_model_folder_does_not_run_by_evaluate_or_mine(foreign, tmp_path):
    outputs = f"paths.outputs={tmp_path / 'out'}"
    assert main(["evaluate", str(foreign), outputs, "logger=disabled"]) == 2
    assert main(["mine", str(foreign), str(tmp_path / "negatives.tsv"), outputs]) == 2
    assert not (tmp_path / "ran").exists()


def test_code_of_a_model_folder_does_not_run_by_the_worker(foreign, tmp_path):
    assert worker.main(foreign) != 0
    assert not (tmp_path / "ran").exists()


EVIL_PARTS = """
import pathlib
pathlib.Path("ran").touch()
def loss(queries, passages, positive, masked, temperature): ...
"""


def _own_loss(planned, tmp_path, monkeypatch) -> Path:
    """A run whose settings name a loss, in whose folder, and where the user stands, its module
    lies.
    """
    folder = planned("trainer.max_steps=2", "batch.cross_lingual_ratio=0.5")
    for place in (folder, tmp_path):
        (place / "evil_parts.py").write_text(EVIL_PARTS)
    monkeypatch.chdir(tmp_path)
    return _edited(folder, trainer={"loss": "evil_parts:loss", "callbacks": ["evil_parts:Evil"]})


def test_a_loss_that_a_stored_config_names_is_not_imported(planned, tmp_path, monkeypatch):
    folder = _own_loss(planned, tmp_path, monkeypatch)
    identity = read_json(folder / "identity.json")
    identity["fingerprints"]["own_parts"] = {"evil_parts:loss": "0" * 16}
    write_json(folder / "identity.json", identity)
    assert worker.main(folder) == 2
    assert "trainer.loss=module:function" in read_json(folder / "status.json")["error"]
    words = ["trainer.loss=evil_parts:loss", f"folder={tmp_path}"]
    assert worker.main(folder, words) == 2  # the text is not that of the id
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("verb", ["evaluate", "mine"])
def test_a_model_is_read_without_the_loss_it_was_trained_with(planned, tmp_path, monkeypatch, verb):
    folder = _own_loss(planned, tmp_path, monkeypatch)
    main([verb, str(folder), *(["negatives.tsv"] if verb == "mine" else [])])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "word", ["model.remote_code=1", "paths.cache=/x", "--x", "model.remote_code=${oc.env:X}", ""]
)
def test_a_worker_takes_no_other_word(planned, word):
    with refused("option.permission", word):
        validate.permitted(validate.stored(planned()), [word])


def test_what_a_driver_permits_reaches_its_worker(config):
    made = config("model.remote_code=true", "model.local_files_only=false")
    words = validate.permissions(made)
    assert words == ["model.remote_code=true", "model.local_files_only=false"]
    assert validate.permissions(config()) == []


def test_permissions_of_words_alone(planned):
    stored = validate.stored(planned())
    assert validate.permitted(stored, ["model.remote_code=true"]).model.remote_code
    assert not validate.permitted(stored, []).model.remote_code


@pytest.mark.parametrize("group", ["data", "model", "logger", "paths"])
@pytest.mark.parametrize(
    "text", ["${oc.env:HOME}", "x ${oc.env:HOME}/y", "${seed}", "${oc.decode:1}"]
)
def test_no_variable_of_the_reader_is_read(planned, group, text, tmp_path, capsys):
    field = {"data": "mirror", "model": "query_prompt", "logger": "project", "paths": "cache"}[
        group
    ]
    folder = _edited(planned(), **{group: {field: text}})
    for act in (validate.stored, lambda path: config_of([str(path)])):
        with refused("records.interpolation", folder):
            act(folder)
    assert worker.main(folder) == 2
    home = os.environ["HOME"]
    assert home not in "".join(path.read_text() for path in folder.glob("*.json"))


def test_a_text_like_an_interpolation_is_refused_before_it_is_stored(config):
    with refused("records.interpolation", "model.query_prompt"):
        config(r"model.query_prompt='\${oc.env:HOME}'")


def test_stored_texts_come_back_byte_for_byte(planned, config):
    folder = planned()
    for prompt in TEXTS:
        made = config()
        made.model.query_prompt = prompt
        processes.write_config(folder, made)
        assert validate.stored(folder).model.query_prompt == prompt


@pytest.mark.parametrize(
    "prompt",
    [
        "a\nb: ",
        "\t",
        'q "x"\' ',
        "\\n",
        "日本語: ",
        "{query}: ",
        "a,b=c",
        "[x]",
        "\\",
        "'",
        '"',
        "$x",
        " lead",
    ],
)
def test_the_prompts_of_a_folder_are_taken_byte_for_byte(tmp_path, prompt):
    write_json(
        tmp_path / "config_sentence_transformers.json",
        {"prompts": {"query": prompt, "document": prompt}},
    )
    model = config_of([f"model.path={tmp_path}", "data=xquad_r"]).model
    assert (model.query_prompt, model.passage_prompt) == (prompt, prompt)


@pytest.mark.parametrize("prompts", [3, "x", [1], {"query": 3}, {"query": ["x"]}])
def test_prompts_that_are_no_texts_are_refused(tmp_path, prompts):
    write_json(tmp_path / "config_sentence_transformers.json", {"prompts": prompts})
    with refused("model.prompts_layout", tmp_path):
        config_of([f"model.path={tmp_path}", "data=xquad_r"])


def test_a_stored_path_is_not_followed(planned, tmp_path):
    (tmp_path / "private").mkdir()
    folder = _edited(
        planned("trainer.max_steps=0", "batch.cross_lingual_ratio=0"),
        data={"path": str(tmp_path / "private")},
    )
    marks = {"collection": "0" * 12, "model": "m"}  # of a collection that the cache does not hold
    write_json(folder / "identity.json", {"run_id": folder.name, "fingerprints": marks})
    with refused("stored.data_path", tmp_path / "private"):
        config_of([str(folder)])
    typed = config_of([str(folder), "data=synthetic"])
    assert typed.data.path is None


def test_a_collection_that_the_cache_holds_is_found_by_its_fingerprint(planned, config):
    folder = planned("trainer.max_steps=0", "batch.cross_lingual_ratio=0")
    built = prepare.collection_folder(config())
    _edited(
        folder,
        data={
            "path": "/nowhere/at/all",
            "mirror": "http://example.invalid",
            "negatives": "/nowhere",
        },
    )
    data = config_of([str(folder)]).data
    assert (data.path, data.mirror, data.negatives) == (str(built), None, None)


@pytest.mark.parametrize("name", ["debian", "xquad_r", "msmarco", "miracl"])
def test_nothing_is_fetched_for_a_stored_config(planned, tmp_path, monkeypatch, name):
    monkeypatch.setenv("HYBRID_SWEEP_CACHE", str(tmp_path / "empty"))
    folder = planned("trainer.max_steps=0", "batch.cross_lingual_ratio=0")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"] = {"name": name, "languages": ["en", "de"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setattr("socket.socket", None)
    with refused("stored.data_not_prepared", f"data prepare {name}"):
        config_of([str(folder)])


def test_text_is_not_generated_without_end_for_a_stored_config(planned):
    folder = _edited(
        planned("trainer.max_steps=0", "batch.cross_lingual_ratio=0"), data={"groups": 10**9}
    )
    with refused("stored.generated", "data=synthetic"):
        config_of([str(folder)])


def test_a_stored_path_of_a_model_is_not_followed(planned, tmp_path):
    folder = planned("trainer.max_steps=0", "batch.cross_lingual_ratio=0")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    fields = {
        "name",
        "layers",
        "pooling",
        "query_prompt",
        "passage_prompt",
        "query_length",
        "passage_length",
    }
    config["model"] = {key: value for key, value in config["model"].items() if key in fields}
    config["model"] |= {"name": "pretrained", "path": str(tmp_path)}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with refused("stored.model_path", f"model.path={tmp_path}"):
        config_of([str(folder)])
    assert config_of([str(folder), f"model.path={tmp_path}"]).model.path == str(tmp_path)


def test_links_in_a_run_are_not_followed(planned, tmp_path):
    folder = planned()
    (tmp_path / "outside").mkdir()
    (folder / "evaluations").symlink_to(tmp_path / "outside")
    with refused("files.not_followed", folder / "evaluations"):
        config_of([str(folder)])
    assert worker.main(folder) == 2
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("path", [None, "", ":/nowhere", "/nowhere:"])
def test_a_library_of_that_name_in_the_folder_one_stands_in_is_not_imported(tmp_path, path):
    (tmp_path / "wandb.py").write_text("import pathlib; pathlib.Path('ran').touch()")
    around = {**os.environ} if path is None else {**os.environ, "PYTHONPATH": path}
    environment = processes.environment(validate.Config().trainer, None, around)
    code = "import sys; sys.exit(any(path in ('', sys.argv[1]) for path in sys.path))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, env=environment
        ).returncode
        == 0
    )


def test_mining_takes_what_evaluation_takes(foreign, tmp_path):
    with refused("model.code_needed", foreign, "model.remote_code=true"):
        mine.mine_words([str(foreign)], tmp_path / "n.tsv", mine.Wanted(1, 2))
