"""Training the rows that occur is training them all: bit for bit, and the others stay as they
were.
"""

import numpy as np
import pytest
import torch

from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.embedding_rows import compact, whole
from hybrid_sweep.models.loading import build_encoder, load_encoder, save_encoder
from tests.training.test_lightning_module import fit


def widened(rows=500):
    """The model with rows that no text uses, as a multilingual model has for languages that are not
    there.
    """
    from hybrid_sweep.models import loading

    inner = loading.build_encoder

    def build(*given):
        encoder = inner(*given)
        table = encoder.transformer.get_input_embeddings()
        torch.manual_seed(1)
        more = torch.cat([table.weight.detach(), torch.randn(rows, table.weight.shape[1]) * 0.02])
        encoder.transformer.set_input_embeddings(
            torch.nn.Embedding.from_pretrained(more, freeze=False, padding_idx=table.padding_idx)
        )
        encoder.transformer.config.vocab_size += rows
        return encoder

    return build


@pytest.mark.parametrize("clip", [1.0, 0.05])
def test_used_rows_are_bit_equal_and_the_others_unchanged(config, monkeypatch, clip):
    made = config("model.dropout=0.1", f"trainer.clip={clip}")
    build = widened()
    monkeypatch.setattr("tests.training.test_lightning_module.build_encoder", build)
    before = (
        build(made.model, prepare(made).model, made.seed).transformer.get_input_embeddings().weight
    )
    small, _ = fit(made)
    full, _ = fit(
        config("model.dropout=0.1", f"trainer.clip={clip}", "trainer.compact_vocabulary=false")
    )
    assert small.vocabulary is not None and full.vocabulary is None
    used = small.vocabulary.used
    assert (
        len(used)
        <= len(before) - 500
        == len(full.encoder.transformer.get_input_embeddings().weight) - 500
    )
    assert [row["loss"] for row in small.record] == [row["loss"] for row in full.record]
    assert [row["grad_norm"] for row in small.record] == [row["grad_norm"] for row in full.record]
    after = small.whole_encoder().state_dict()
    assert all(
        torch.equal(after[name], value) for name, value in full.whole_encoder().state_dict().items()
    )
    table = after["transformer.embeddings.word_embeddings.weight"]
    others = np.setdiff1d(np.arange(len(before)), used.numpy())
    assert torch.equal(table[others], before[others]) and not torch.equal(table[used], before[used])


def test_a_row_outside_is_an_error_not_another_row(config):
    made = config()
    prepared = prepare(made)
    encoder = build_encoder(made.model, prepared.model, 0)
    found = compact(encoder, np.array([0, 2, 3, 5]))
    assert found.code[[0, 2, 3, 5]].tolist() == [0, 1, 2, 3] and found.code[4] == -1
    with pytest.raises(IndexError):
        encoder(torch.from_numpy(found.code[[[2, 4]]]), torch.ones(1, 2, dtype=torch.long))


def test_positions_that_are_counted_by_the_padding_token_stay(config):
    """XLM-R numbers the tokens that are not padding, known by its id: the id must not become
    another token's.
    """
    from transformers import XLMRobertaConfig, XLMRobertaModel

    from hybrid_sweep.models.encoder import Encoder

    torch.manual_seed(0)
    shape = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    model = XLMRobertaModel(
        XLMRobertaConfig(vocab_size=50, pad_token_id=4, **shape), add_pooling_layer=False
    )
    encoder = Encoder(model, "mean").eval()
    ids, mask = (
        torch.tensor([[7, 9, 20, 30], [20, 9, 4, 4]]),
        torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
    )
    wanted = encoder(ids, mask)
    found = compact(encoder, np.array([7, 9, 20, 30]))
    assert len(encoder.transformer.get_input_embeddings().weight) == 9
    assert torch.equal(encoder(torch.from_numpy(found.code[ids]), mask), wanted)
    assert torch.equal(whole(encoder, found)(ids, mask), wanted)


def test_nothing_happens_where_all_rows_are_used(config):
    made = config()
    encoder = build_encoder(made.model, prepare(made).model, 0)
    table = encoder.transformer.get_input_embeddings()
    assert compact(encoder, np.arange(len(table.weight))) is None
    assert encoder.transformer.get_input_embeddings() is table and whole(encoder, None) is encoder


def test_the_whole_encoder_shares_all_but_the_table_and_is_saved_in_full(config, tmp_path):
    made = config()
    prepared = prepare(made)
    encoder = build_encoder(made.model, prepared.model, 0)
    wanted = {name: value.clone() for name, value in encoder.state_dict().items()}
    vocabulary = compact(encoder, np.arange(0, 400, 2))
    full = whole(encoder, vocabulary)
    assert all(torch.equal(value, wanted[name]) for name, value in full.state_dict().items())
    mine = {id(parameter) for parameter in encoder.parameters()}
    assert sum(id(parameter) not in mine for parameter in full.parameters()) == 1
    with torch.no_grad():
        encoder.transformer.get_input_embeddings().weight += 1
    assert len(encoder.transformer.get_input_embeddings().weight) == 200
    save_encoder(whole(encoder, vocabulary), made.model, prepared.model, tmp_path / "model")
    table = load_encoder(made.model, tmp_path / "model").transformer.get_input_embeddings().weight
    name = "transformer.embeddings.word_embeddings.weight"
    assert torch.equal(table[::2][:200], wanted[name][::2][:200] + 1) and torch.equal(
        table[1], wanted[name][1]
    )
