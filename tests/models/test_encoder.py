import numpy as np
import pytest
import torch

from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.encoder import encode, in_precision
from hybrid_sweep.models.loading import build_encoder
from hybrid_sweep.models.tokens import pad_id


@pytest.fixture
def tiny(config):
    torch.set_num_threads(1)
    made = config("model.query_prompt='q: '", "model.passage_prompt='p: '")
    prepared = prepare(made)
    return made, prepared, build_encoder(made.model, prepared.model, 0)


@pytest.mark.parametrize("budget", [1, 100, 5000])
def test_encoding_in_any_batches_equals_one_text_at_a_time(tiny, budget):
    _, prepared, encoder = tiny
    rows = np.arange(40)[::-1].copy()
    pad = pad_id(prepared.model)
    found = encode(encoder, prepared.passages, rows, pad=pad, batch_tokens=budget)
    alone = np.concatenate(
        [
            encode(encoder, prepared.passages, np.array([row]), pad=pad, batch_tokens=1)
            for row in rows
        ]
    )
    assert np.allclose(found, alone, atol=2e-6) and np.allclose(
        np.linalg.norm(found, axis=1), 1, atol=1e-6
    )


def test_a_model_of_half_precision_encodes_in_it_and_gives_vectors_of_full(tiny):
    """Near those in full precision, not equal to them: the matrix products are what they are in
    training.
    """
    _, prepared, encoder = tiny
    tokens = prepared.passages
    rows = np.arange(40)
    full = encode(encoder, tokens, rows, pad=0, batch_tokens=500)
    found = encode(in_precision(encoder, "bf16-mixed"), tokens, rows, pad=0, batch_tokens=500)
    again = encode(in_precision(encoder, "32-true"), tokens, rows, pad=0, batch_tokens=500)
    assert found.dtype == np.float32 and (again == full).all() and not (found == full).all()
    assert ((found * full).sum(axis=1) > 0.999).all()
