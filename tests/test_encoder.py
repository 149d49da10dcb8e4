import numpy as np
import pytest
import torch

from hybrid_sweep.encoder import build_encoder, encode, load_encoder, save_encoder
from hybrid_sweep.errors import UserError
from hybrid_sweep.prepare import prepare
from hybrid_sweep.tokens import pad_id


@pytest.fixture
def tiny(config):
    torch.set_num_threads(1)
    made = config("model.query_prompt='q: '", "model.passage_prompt='p: '")
    prepared = prepare(made)
    return made, prepared, build_encoder(made.model, prepared.model, 0)


def test_weights_come_from_the_seed_and_nothing_else(config):
    made = config()
    folder = prepare(made).model
    torch.manual_seed(5)
    first = build_encoder(made.model, folder, 3).state_dict()
    torch.manual_seed(6)
    second, other = (build_encoder(made.model, folder, seed).state_dict() for seed in (3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert not any("pooler" in name for name in first)


@pytest.mark.parametrize("budget", [1, 100, 5000])
def test_encoding_in_any_batches_equals_one_text_at_a_time(tiny, budget):
    _, prepared, encoder = tiny
    rows = np.arange(40)[::-1].copy()
    pad = pad_id(prepared.model)
    found = encode(encoder, prepared.passages, rows, pad=pad, batch_tokens=budget)
    alone = np.concatenate(
        [encode(encoder, prepared.passages, np.array([row]), pad=pad, batch_tokens=1) for row in rows]
    )
    assert np.allclose(found, alone, atol=2e-6) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_saved_models_give_the_same_vectors_here_in_transformers_and_in_sentence_transformers(tiny, tmp_path, pooling):
    import dataclasses

    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, AutoTokenizer

    config, prepared, encoder = tiny
    model = dataclasses.replace(config.model, pooling=pooling)
    encoder.pooling = pooling
    save_encoder(encoder, model, prepared.model, tmp_path / "m")
    rows = np.arange(30)
    texts = prepared.collection.passages["text"].take(rows).to_pylist()
    ours = encode(encoder, prepared.passages, rows, pad=pad_id(prepared.model), batch_tokens=512)
    again = encode(
        load_encoder(model, tmp_path / "m"), prepared.passages, rows, pad=pad_id(prepared.model), batch_tokens=512
    )
    theirs = SentenceTransformer(str(tmp_path / "m"), device="cpu").encode(texts, prompt_name="document")
    assert np.array_equal(ours, again) and np.allclose(ours, theirs, atol=2e-6)
    queries = prepared.collection.queries["text"].take(rows).to_pylist()
    theirs = SentenceTransformer(str(tmp_path / "m"), device="cpu").encode(queries, prompt_name="query")
    ours = encode(encoder, prepared.queries, rows, pad=pad_id(prepared.model), batch_tokens=512)
    assert np.allclose(ours, theirs, atol=2e-6)
    tokens = AutoTokenizer.from_pretrained(tmp_path / "m")(
        ["q: " + text for text in queries], padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(tmp_path / "m")(
            tokens["input_ids"], tokens["attention_mask"]
        ).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    pooled = hidden[:, 0] if pooling == "cls" else (hidden * mask).sum(1) / mask.sum(1)
    assert np.allclose(torch.nn.functional.normalize(pooled, dim=-1).numpy(), ours, atol=2e-6)


def test_a_pretrained_folder_is_loaded_in_float32_without_pooler_and_cut(tiny, tmp_path):
    from transformers import BertConfig, BertModel

    _, prepared, _ = tiny
    source = BertModel(
        BertConfig(vocab_size=700, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64)
    )
    source.half().save_pretrained(tmp_path / "half")
    (tmp_path / "half" / "tokenizer.json").write_bytes((prepared.model / "tokenizer.json").read_bytes())
    from hybrid_sweep.config import ModelConfig

    model = ModelConfig(name="me5_small", path=str(tmp_path / "half"), layers=2, dropout=0.0)
    encoder = build_encoder(model, tmp_path / "half", 0)
    state = encoder.transformer.state_dict()
    assert all(value.dtype == torch.float32 for value in state.values() if value.is_floating_point())
    assert not any("pooler" in name or "layer.2." in name for name in state) and any(
        "layer.1." in name for name in state
    )
    kept = source.state_dict()["encoder.layer.1.output.dense.weight"].float()
    assert torch.equal(state["encoder.layer.1.output.dense.weight"], kept)
    with pytest.raises(UserError, match="layers=9: the model has only 3"):
        build_encoder(ModelConfig(name="x", path="", layers=9), tmp_path / "half", 0)
    (tmp_path / "half" / "model.safetensors").rename(tmp_path / "half" / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no \.safetensors"):
        build_encoder(model, tmp_path / "half", 0)
