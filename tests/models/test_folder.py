"""The folder of a model is refused where it is no encoder of single texts, or not all there."""

import dataclasses

import pytest

from hybrid_sweep.config.schema import Config, ModelConfig
from hybrid_sweep.models import folder as folders
from hybrid_sweep.models.folder import model_folder
from hybrid_sweep.utils.files import write_json
from tests.refused import refused

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
MODULES = [
    {"type": f"sentence_transformers.models.{name}", "path": path}
    for name, path in (("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"))
]


def folder_of(path):
    """The folder of a model at a path, as a run asks for it."""
    model = ModelConfig(name="pretrained", path=str(path), pooling="auto")
    return model_folder(dataclasses.replace(Config(), model=model), [])


@pytest.fixture
def whole(tmp_path):
    """A folder with all files that a model needs, by their names alone."""
    write_json(tmp_path / "config.json", {"model_type": "bert", "architectures": ["BertModel"]})
    write_json(tmp_path / "modules.json", MODULES)
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    write_json(tmp_path / "2_Dense" / "config.json", {"in_features": 4, "out_features": 3})
    for name in ("tokenizer.json", "model.safetensors", "2_Dense/model.safetensors"):
        (tmp_path / name).write_text("content")
    assert folder_of(tmp_path) == tmp_path
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "modules.json",
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
    ],
)
def test_a_pointer_in_place_of_a_file_is_named(whole, name):
    (whole / name).write_text(POINTER)
    with refused("model.lfs_pointer", whole / name):
        folder_of(whole)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_file_that_is_not_there_is_named(whole, name):
    (whole / name).unlink()
    with refused("model.files_missing", whole):
        folder_of(whole)


@pytest.mark.parametrize(
    "name", ["BertForSequenceClassification", "HF_ColBERT", "ColQwen2ForRetrieval"]
)
def test_what_scores_pairs_or_tokens_is_refused_unless_modules_say_how_it_encodes(whole, name):
    write_json(whole / "config.json", {"model_type": "bert", "architectures": [name]})
    folder_of(whole)
    (whole / "modules.json").unlink()
    with refused("model.kind", name):
        folder_of(whole)
    for fine in (["BertForMaskedLM"], [], None, "BertModel", [3]):
        write_json(whole / "config.json", {"model_type": "bert", "architectures": fine})
        folder_of(whole)


@pytest.mark.parametrize("local", [True, False])
def test_what_is_advised_of_a_model_that_is_not_there_was_not_done_already(monkeypatch, local):
    def absent(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", absent)
    with refused("model.not_cached") as told:
        folders._from_the_hub(ModelConfig(path="a/b", local_files_only=local), "a/b")
    assert ("local_files_only=false" in told.message) == local
