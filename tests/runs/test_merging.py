"""Averages of weights: exact means in float64, of models of one architecture alone, file by file."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import T5Config, T5EncoderModel

from hybrid_sweep.models.loading import build_encoder, load_encoder, save_encoder
from hybrid_sweep.runs import merging
from hybrid_sweep.runs.merging import Mixture, averaged, difference, merge
from hybrid_sweep.utils.files import write_json
from tests.models.test_adapters import train
from tests.refused import refused


def state(seed: int, **changes):
    """Weights of several shapes, and a whole number."""
    chance = np.random.default_rng(seed)
    return {
        "a": chance.normal(size=(7, 5)).astype(np.float32),
        "b": chance.normal(0, 1e-3, size=11).astype(np.float32),
        "scalar": np.array(chance.normal(), np.float32),
        "count": np.array([3, 4]),
    } | changes


@pytest.mark.parametrize("block", [2**22, 4])
@pytest.mark.parametrize("shares", [(0.75, 0.25), (0.9, 0.1), (0.2, 0.3, 0.5), (1 / 3,) * 3])
def test_the_mean_is_that_of_float64_rounded_once(monkeypatch, shares, block):
    """Shares are of their own state: turned around they would give another mean."""
    monkeypatch.setattr(merging, "BLOCK", block)
    states = [state(seed) for seed in range(len(shares))]
    mean = averaged(states, shares)
    for name in ("a", "b", "scalar"):
        wanted = np.zeros_like(states[0][name], np.float64)
        for share, one in zip(shares, states, strict=True):
            wanted = wanted + share * one[name].astype(np.float64)
        assert mean[name].dtype == np.float32
        assert np.array_equal(mean[name], wanted.astype(np.float32)), name
    assert np.array_equal(mean["count"], states[0]["count"])


def test_all_weight_on_one_state_gives_its_bits():
    odd = np.array([-0.0, np.nan, 1e-45, 3.0], np.float32)
    states = [state(0, a=odd), state(1, a=np.full(4, np.inf, np.float32))]
    for shares, chosen in (((1.0, 0.0), 0), ((0.0, 1.0), 1)):
        mean = averaged(states, shares)
        for name, value in states[chosen].items():
            assert mean[name].tobytes() == value.tobytes()


@pytest.mark.parametrize(
    ("changes", "key", "fact"),
    [
        ({"more": np.zeros(2, np.float32)}, "merge.architecture", "more"),
        ({"a": np.zeros((5, 7), np.float32)}, "merge.architecture", "(5, 7)"),
        ({"a": np.zeros((7, 5), np.float64)}, "merge.architecture", "float64"),
        ({"count": np.array([3, 5])}, "merge.not_floating", "count"),
    ],
)
def test_what_has_no_mean_is_refused(changes, key, fact):
    with refused(key, fact):
        averaged([state(0), state(1, **changes)], (0.5, 0.5))


@pytest.fixture
def saved(config, tmp_path):
    """Saves the encoder of a seed, and gives its folder."""
    from hybrid_sweep.inputs.prepare import prepare

    def make(seed: int, *words: str, change=None) -> Path:
        made = config(*words)
        source = prepare(made).model
        encoder = build_encoder(made.model, source, seed)
        if change is not None:
            change(encoder)
        folder = tmp_path / f"model-{seed}-{len(words)}"
        save_encoder(encoder, made.model, source, folder)
        return folder

    return make


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_averaged_folder_loads_as_the_mean_of_its_parents(saved, config, tmp_path):
    folders = [saved(0), saved(1)]
    (folders[0] / "README.md").write_text("of this model alone")
    merge(folders, (0.75, 0.25), tmp_path / "mean")
    assert not (tmp_path / "mean" / "README.md").exists()
    (folders[0] / "README.md").unlink()
    states = [load_encoder(config().model, folder).state_dict() for folder in folders]
    mean = load_encoder(config().model, tmp_path / "mean").state_dict()
    for name, value in mean.items():
        if value.is_floating_point():
            wanted = 0.75 * states[0][name].double() + 0.25 * states[1][name].double()
            assert torch.equal(value, wanted.float()), name
    assert contents(tmp_path / "mean").keys() == contents(folders[0]).keys()
    assert (tmp_path / "mean" / "2_Normalize").is_dir()
    for shares, parent in (((1.0, 0.0), 0), ((0.0, 1.0), 1)):
        merge(folders, shares, tmp_path / "alone")
        assert contents(tmp_path / "alone") == contents(folders[parent])


def test_adapters_are_averaged_as_the_weights_that_they_make(saved, config, tmp_path):
    """The mean of the factors would be another model: their product is not linear in them."""
    words = ["model.lora_rank=4", "model.lora_targets=[query,value]"]
    effective = []

    def trained(encoder):
        train(encoder.transformer)
        torch.manual_seed(len(effective))
        for layer in encoder.transformer.modules():
            if hasattr(layer, "lora_A"):
                torch.nn.init.normal_(layer.lora_A["default"].weight)
        layer = encoder.transformer.encoder.layer[0].attention.self.query
        delta = layer.scaling["default"] * (
            layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        )
        effective.append((layer.base_layer.weight + delta).detach())

    folders = [saved(0, *words, change=trained), saved(1, *words, change=trained)]
    merge(folders, (0.5, 0.5), tmp_path / "mean")
    mean = load_encoder(config().model, tmp_path / "mean").state_dict()
    weight = mean["transformer.encoder.layer.0.attention.self.query.weight"]
    assert not torch.allclose(effective[0], effective[1])
    assert torch.allclose(weight, (effective[0] + effective[1]) / 2, atol=1e-6)


def test_tied_weights_stay_tied(tmp_path):
    folders = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        sizes = {"vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1}
        T5EncoderModel(T5Config(**sizes, num_heads=2)).save_pretrained(tmp_path / str(seed))
        folders.append(tmp_path / str(seed))
    assert difference(*folders) == ""
    merge(folders, (0.5, 0.5), tmp_path / "mean")
    model = T5EncoderModel.from_pretrained(tmp_path / "mean")
    first, second = (T5EncoderModel.from_pretrained(folder) for folder in folders)
    wanted = (first.shared.weight.double() + second.shared.weight.double()) / 2
    assert torch.equal(model.shared.weight, wanted.float())
    assert model.encoder.embed_tokens.weight is model.shared.weight


def test_models_that_cannot_be_averaged_are_told_apart_without_their_weights(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        save_file(state(0), tmp_path / name / "model.safetensors")
    one, other = tmp_path / "one", tmp_path / "other"
    assert difference(one, other) == ""
    (other / "note.md").write_text("of no matter")
    assert difference(one, other) == ""
    (other / "config.json").write_text('{"a": 1}')
    assert "config.json" in difference(one, other)
    (other / "config.json").write_text("{}")
    save_file(state(0, a=np.zeros((1, 2), np.float32)), other / "model.safetensors")
    assert "[1, 2]" in difference(one, other) and "[7, 5]" in difference(one, other)
    (other / "more.json").write_text("{}")
    assert "more.json" in difference(one, other)


def test_settings_of_no_effect_do_not_tell_models_apart(tmp_path):
    """Models that were saved before a word of no effect was written can still be averaged."""
    texts = {"max_seq_length": 64, "do_lower_case": False}
    for name, more in (
        ("one", {}),
        ("same", {"model_args": {"add_pooling_layer": False}}),
        ("other", {"model_args": {"add_pooling_layer": True}}),
        ("shorter", {"max_seq_length": 32}),
    ):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "sentence_bert_config.json", texts | more)
    assert difference(tmp_path / "one", tmp_path / "same") == ""
    for name in ("other", "shorter"):
        assert "sentence_bert_config" in difference(tmp_path / "one", tmp_path / name)


def test_a_file_that_is_no_file_of_weights_is_refused(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"nothing")
    with refused("model.unreadable", "model.safetensors"):
        difference(tmp_path / "one", tmp_path / "other")


def test_an_error_leaves_what_was_there(tmp_path):
    for name, more in (("one", {}), ("other", {"more": np.zeros(1, np.float32)})):
        (tmp_path / name).mkdir()
        save_file(state(0, **more), tmp_path / name / "model.safetensors")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "kept").write_text("as it was")
    with refused("merge.architecture"):
        merge([tmp_path / "one", tmp_path / "other"], (0.5, 0.5), tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["kept"]
    assert sorted(load_file(tmp_path / "one" / "model.safetensors")) == sorted(state(0))


def test_a_mixture_has_an_alpha_where_it_has_two_parents():
    two = Mixture((0.0, 1.0), (0.7, 0.3))
    assert (two.alpha, two.mean_ratio, two.is_parent) == (0.3, 0.3, False)
    assert Mixture((0.0, 1.0), (1.0, 0.0)).is_parent
    three = Mixture((0.0, 0.5, 1.0), (1 / 3,) * 3)
    assert math.isnan(three.alpha) and three.mean_ratio == pytest.approx(0.5)
    labels = [two.label, three.label, Mixture((0.0, 0.5, 1.0), (0.5, 0.25, 0.25)).label]
    assert len(set(labels)) == 3 and "0.3" in labels[0] and "0.25" in labels[2]
