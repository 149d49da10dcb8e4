"""What is meant is silent: layers that are cut, poolers that are not used; the libraries print no
table of weights, neither here nor where a kept model is loaded elsewhere.
"""

import logging

import pytest
from transformers import RobertaConfig, RobertaModel

from hybrid_sweep.models.loading import build_encoder, save_encoder
from tests.models.folders import SIZES, bert_folder, sentence_transformer, with_tokenizer
from tests.models.test_loading import pretrained, theirs


@pytest.fixture
def warnings_of_transformers():
    """The lines that transformers would print from now on."""
    lines = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def roberta_folder(folder):
    """A folder of transformers whose weights have no pooler."""
    specials = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
    config = RobertaConfig(
        vocab_size=with_tokenizer(folder, specials), max_position_embeddings=70, **SIZES
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)


@pytest.mark.parametrize("kind", ["all of BERT", "layers that are cut", "no pooler"])
def test_a_model_is_loaded_and_kept_without_a_table(tmp_path, kind, warnings_of_transformers):
    source = tmp_path / "source"
    if kind == "no pooler":
        roberta_folder(source)
    else:
        bert_folder(source)
    model = pretrained(layers=1 if kind == "layers that are cut" else None, pooling="mean")
    unused = []
    encoder = build_encoder(model, source, 0, unused)
    save_encoder(encoder, model, source, tmp_path / "kept")
    again = build_encoder(pretrained(), tmp_path / "kept", 0, unused)
    assert again.pooling == "mean"
    assert theirs(tmp_path / "kept", ["one"]).shape == (1, 32)
    assert warnings_of_transformers == []
    assert unused == []


def test_what_was_not_meant_is_still_told_by_name(tmp_path):
    from safetensors.torch import load_file, save_file

    bert_folder(tmp_path)
    weights = tmp_path / "model.safetensors"
    state = load_file(weights)
    state["other.weight"] = state["embeddings.LayerNorm.weight"].clone()
    save_file(state, weights, {"format": "pt"})
    unused = []
    build_encoder(pretrained(), tmp_path, 0, unused)
    assert unused == ["other.weight"]


def test_the_libraries_may_warn_again_afterwards(tmp_path):
    logger = logging.getLogger("transformers.modeling_utils")
    before = logger.level, list(logger.filters)
    bert_folder(tmp_path / "bert")
    sentence_transformer(tmp_path / "bert", tmp_path / "st")
    build_encoder(pretrained(), tmp_path / "st", 0)
    assert (logger.level, logger.filters) == before
