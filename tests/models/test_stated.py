"""What the JSON files beside a model state is read, or refused where it would mean other numbers."""

import pytest

from hybrid_sweep.models.stated import (
    SETTINGS,
    TEXTS,
    StatedSettings,
    read_settings,
    stated_length,
    write_settings,
)
from hybrid_sweep.utils.files import write_json
from tests.refused import refused


@pytest.mark.parametrize(
    ("stated", "key"),
    [
        ({"model_type": "CrossEncoder"}, "model.kind"),
        ({"model_type": "SparseEncoder"}, "model.kind"),
        ({"model_type": 3}, "model.kind"),
        ({"truncate_dim": 0}, "model.whole_number"),
        ({"truncate_dim": "8"}, "model.whole_number"),
        ({"truncate_dim": True}, "model.whole_number"),
        ({"similarity_fn_name": "manhattan"}, "model.similarity"),
        ({"similarity_fn_name": ["dot"]}, "model.similarity"),
        ({"similarity_fn_name": "dot", "truncate_dim": 8}, "model.similarity"),
    ],
)
def test_settings_that_would_give_other_numbers_are_refused(tmp_path, stated, key):
    write_json(tmp_path / SETTINGS, stated)
    with refused(key, tmp_path / SETTINGS):
        read_settings(tmp_path, tmp_path, is_unit=True)


@pytest.mark.parametrize("similarity", ["dot", "euclidean"])
def test_only_of_unit_vectors_is_the_dot_product_the_cosine(tmp_path, similarity):
    write_json(tmp_path / SETTINGS, {"similarity_fn_name": similarity})
    assert read_settings(tmp_path, tmp_path, is_unit=True) == StatedSettings(None, {})
    with refused("model.similarity", similarity):
        read_settings(tmp_path, tmp_path, is_unit=False)


def test_a_length_of_vectors_is_read_and_is_part_of_the_model_alone_where_it_is_stated(tmp_path):
    for plain in ({}, {"similarity_fn_name": None, "truncate_dim": None}):
        write_json(tmp_path / SETTINGS, plain)
        assert read_settings(tmp_path, tmp_path, is_unit=False) == StatedSettings(None, {})
    write_json(tmp_path / SETTINGS, {"truncate_dim": 8, "similarity_fn_name": "cosine"})
    files = {SETTINGS: tmp_path / SETTINGS}
    assert read_settings(tmp_path, tmp_path, is_unit=False) == StatedSettings(8, files)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    ("stated", "key"),
    [
        ({"do_lower_case": True}, "model.lower_case"),
        ({"transformer_task": "fill-mask"}, "model.texts_setting"),
        ({"document_length": 5}, "model.texts_setting"),
        ({"query_expansion": {"length": 32}}, "model.texts_setting"),
        ({"tokenizer_args": {"padding_side": "left"}}, "model.texts_setting"),
        ({"what comes later": 3}, "model.texts_setting"),
    ],
)
def test_settings_of_texts_that_are_not_known_are_refused(tmp_path, name, stated, key):
    write_json(tmp_path / name, {"max_seq_length": 64, "do_lower_case": False, "model_args": {}})
    read_settings(tmp_path, tmp_path, is_unit=True)
    write_json(tmp_path / name, stated)
    with refused(key, tmp_path / name):
        read_settings(tmp_path, tmp_path, is_unit=True)


def test_how_much_of_a_text_a_model_reads(tmp_path):
    """As sentence-transformers: its own file counts, else the tokenizer and the positions."""
    assert stated_length(tmp_path) is None
    write_json(tmp_path / "config.json", {"model_type": "bert", "max_position_embeddings": 64})
    assert stated_length(tmp_path) == 64
    write_json(tmp_path / "tokenizer_config.json", {"model_max_length": int(1e30)})
    assert stated_length(tmp_path) == 64
    write_json(tmp_path / "tokenizer_config.json", {"model_max_length": 20})
    assert stated_length(tmp_path) == 20
    write_json(tmp_path / TEXTS[0], {"max_seq_length": None})
    assert stated_length(tmp_path) == 20
    write_json(tmp_path / TEXTS[0], {"max_seq_length": 5})
    assert stated_length(tmp_path) == 5
    for wrong in (0, "5", 5.0, True):
        write_json(tmp_path / TEXTS[0], {"max_seq_length": wrong})
        with refused("model.whole_number", tmp_path / TEXTS[0]):
            stated_length(tmp_path)


def test_positions_behind_the_padding_token_are_not_all_there(tmp_path):
    config = {"model_type": "xlm-roberta", "max_position_embeddings": 66, "pad_token_id": 1}
    write_json(tmp_path / "config.json", config)
    assert stated_length(tmp_path) == 64


def test_what_is_written_is_read(tmp_path):
    for kept in (None, 8):
        write_settings(
            tmp_path,
            longest=48,
            prompts={"query": "q: "},
            kept=kept,
            words={"add_pooling_layer": False},
        )
        assert read_settings(tmp_path, tmp_path, is_unit=True).kept == kept
        assert stated_length(tmp_path) == 48
