"""A saved encoder gives texts the vectors that a run gives them."""

import numpy as np
import pytest
import torch

from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.encoder import encode
from hybrid_sweep.models.loading import build_encoder, load_encoder, save_encoder
from hybrid_sweep.models.text_encoder import TextEncoder
from hybrid_sweep.models.tokens import pad_id
from tests.refused import refused


@pytest.fixture
def saved(config, tmp_path):
    """A run's config, its texts and tokens, and the folder of its model."""
    words = ("model.query_prompt='q: '", "model.passage_prompt='p: '", "model.query_length=7")
    made = config(*words)
    prepared, folder = prepare(made), tmp_path / "model"
    save_encoder(build_encoder(made.model, prepared.model, 3), made.model, prepared.model, folder)
    return made, prepared, folder


def test_vectors_are_those_of_the_stored_tokens(saved):
    """Prompts, lengths and the tokenizer are the run's own."""
    made, prepared, folder = saved
    encoder, given = load_encoder(made.model, folder), TextEncoder(made.model, folder)
    for table, tokens, vectors in (
        (prepared.collection.queries, prepared.queries, given.queries),
        (prepared.collection.passages, prepared.passages, given.passages),
    ):
        rows = np.arange(40)
        wanted = encode(encoder, tokens, rows, pad=pad_id(prepared.model), batch_tokens=8192)
        found = vectors(table["text"].slice(0, 40).to_pylist())
        assert found.shape == wanted.shape and (found == wanted).all()


def test_a_run_in_half_precision_encodes_in_it(saved):
    made, _, folder = saved
    assert TextEncoder(made.model, folder).encoder.reduced is None
    assert TextEncoder(made.model, folder, "bf16-mixed").encoder.reduced is torch.bfloat16


def test_a_text_without_a_token_is_refused(saved, monkeypatch):
    made, _, folder = saved
    given = TextEncoder(made.model, folder)
    given.model.query_prompt = ""
    with refused("data.no_token", "text 1"):
        given.queries(["word", ""])
