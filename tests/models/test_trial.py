"""A model is tried before a run: what it cannot do is refused, and what it does otherwise is said."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BartConfig,
    BartModel,
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    GPT2Config,
    GPT2Model,
)

from hybrid_sweep.config.schema import ModelConfig
from hybrid_sweep.inputs import prepare
from hybrid_sweep.models import loading, trial
from hybrid_sweep.utils.files import write_json
from tests.models.folders import SIZES, bert_folder, sentence_transformer, with_tokenizer
from tests.refused import refused


def tried(folder, cache, **more):
    """What is said of the model in a folder."""
    given = {"name": "pretrained", "path": str(folder), "pooling": "auto"}
    given |= {"query_length": 20, "passage_length": 40}
    notes = []
    trial.check(ModelConfig(**given | more), folder, cache, notes.append)
    return notes


@pytest.fixture
def bert(tmp_path):
    bert_folder(tmp_path / "bert")
    return tmp_path / "bert"


def rewritten(folder, change):
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", {"format": "pt"})


def test_what_is_tried_once_is_not_loaded_again_until_a_file_changes(bert, tmp_path, monkeypatch):
    loads, build = [], loading.build_encoder
    monkeypatch.setattr(loading, "build_encoder", lambda *given: loads.append(1) or build(*given))
    assert tried(bert, tmp_path / "cache") == tried(bert, tmp_path / "cache") == []
    assert len(loads) == 1
    tried(bert, tmp_path / "cache", layers=1)
    assert len(loads) == 2
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        content = json.loads((bert / name).read_text())
        write_json(bert / name, {**content, "other": 1} if name != "tokenizer.json" else content)
        (bert / name).write_text((bert / name).read_text() + "\n\n")
        before = len(loads)
        tried(bert, tmp_path / "cache")
        assert len(loads) == before + 1
    (tmp_path / "file").touch()
    assert tried(bert, tmp_path / "file" / "cache") == []  # nothing can be written there


def test_weights_that_leave_random_numbers_are_refused_under_any_name(bert, tmp_path):
    rewritten(bert, lambda weights: {f"model.{name}": each for name, each in weights.items()})
    with refused("model.weights_incomplete", bert, "embeddings"):
        tried(bert, tmp_path / "cache")


def test_weights_that_the_encoder_has_no_use_for_are_said(bert, tmp_path):
    extra = {"linear.weight": torch.ones(2, 32), "cls.predictions.bias": torch.ones(2)}
    rewritten(bert, lambda weights: weights | extra)
    [note] = tried(bert, tmp_path / "cache")
    assert "linear.weight" in note and "cls" not in note
    assert "linear.weight" in tried(bert, tmp_path / "cache", layers=1)[0]


def test_a_model_that_gives_no_numbers_is_refused(bert, tmp_path):
    def spoil(weights):
        weights["embeddings.word_embeddings.weight"][:] = float("nan")
        return weights

    rewritten(bert, spoil)
    with refused("model.not_finite", bert):
        tried(bert, tmp_path / "cache")


def test_a_tokenizer_with_more_ids_than_embeddings_is_refused(bert, tmp_path):
    BertModel(BertConfig(vocab_size=100, max_position_embeddings=64, **SIZES)).save_pretrained(bert)
    with refused("model.tokenizer_large", bert, 100):
        tried(bert, tmp_path / "cache")


SMALL = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
SMALL |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
PART = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
PART |= {"num_attention_heads": 2}


@pytest.mark.parametrize(
    ("kind", "key", "fact"),
    [
        ("gpt2", "config.model.query_length", "16 tokens"),
        ("bart", "model.architecture", "bart"),
        ("clip", "model.architecture", "clip"),
    ],
)
def test_other_architectures_are_refused_by_what_they_lack(tmp_path, kind, key, fact):
    size = with_tokenizer(tmp_path / kind)
    make = {
        "gpt2": lambda: GPT2Model(
            GPT2Config(vocab_size=size, n_positions=16, n_embd=32, n_layer=1, n_head=2)
        ),
        "bart": lambda: BartModel(BartConfig(vocab_size=size, **SMALL)),
        "clip": lambda: CLIPModel(
            CLIPConfig(
                text_config={"vocab_size": size, **PART},
                vision_config={**PART, "image_size": 8, "patch_size": 4},
            )
        ),
    }
    make[kind]().save_pretrained(tmp_path / kind)
    with refused(key, fact):
        tried(tmp_path / kind, tmp_path / "cache")
    if kind == "gpt2":
        assert tried(tmp_path / kind, tmp_path / "cache", query_length=16, passage_length=16) == []


@pytest.mark.parametrize(
    "stated",
    [
        {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
        {"truncation_side": "left"},
        {"model_input_names": ["input_ids"]},
    ],
)
def test_a_tokenizer_config_that_asks_for_other_tokens_is_said(bert, tmp_path, stated):
    path = bert / "tokenizer_config.json"
    write_json(path, json.loads(path.read_text()) | stated)
    [note] = tried(bert, tmp_path / "cache")
    assert str(bert) in note and "tokenizer_config.json" in note


def test_a_use_that_the_folder_does_not_state_is_said(bert, tmp_path):
    sentence_transformer(bert, tmp_path / "st", pooling="cls")
    place, cache = tmp_path / "st", tmp_path / "cache"
    write_json(place / "sentence_bert_config.json", {"max_seq_length": 30})
    assert [("mean" in note, "30" in note) for note in tried(place, cache, pooling="mean")] == [
        (True, False),
        (False, True),
    ]
    assert tried(place, cache, passage_length=30) == []
    prompts = {"prompts": {"query": "q: ", "passage": "p: "}, "default_prompt_name": None}
    write_json(place / "config_sentence_transformers.json", prompts)
    notes = tried(place, cache, passage_length=30, query_prompt="q: ")
    assert ["p: " in note for note in notes] == [True]


def test_a_run_is_prepared_only_with_a_model_that_was_tried(config, bert, monkeypatch):
    asked = []
    monkeypatch.setattr(trial, "check", lambda model, folder, *_: asked.append(folder))
    words = ["data=synthetic", "data.groups=40", "model=pretrained", f"model.path={bert}"]
    from hybrid_sweep.config.compose import points

    [(_, made)] = points(words, multirun=False)
    prepare.prepare(made)
    prepare.prepare(config())
    assert asked == [bert]
