"""Models from and to disk give the vectors that sentence-transformers gives; the flags of training
change no gradient.
"""

import copy
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

from hybrid_sweep.config.schema import ModelConfig, TrainerConfig
from hybrid_sweep.inputs import prepare
from hybrid_sweep.models import loading
from hybrid_sweep.models.embedding_rows import compact
from hybrid_sweep.models.embedding_rows import whole as embedding_rows_whole
from hybrid_sweep.models.encoder import Encoder, encode
from hybrid_sweep.models.folder import model_fingerprint, model_folder
from hybrid_sweep.models.loading import (
    build_encoder,
    load_encoder,
    prepare_for_training,
    save_encoder,
)
from hybrid_sweep.models.tokens import load_tokenizer, pad_id
from hybrid_sweep.utils.files import umask
from tests.models.folders import (
    OWN_CODE,
    SIZES,
    TEXTS,
    bert_folder,
    sentence_transformer,
    with_tokenizer,
)
from tests.refused import refused


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A folder of transformers: BERT with random weights that are far from symmetric, and no
    modules.json.
    """
    folder = tmp_path_factory.mktemp("bert")
    bert_folder(folder)
    return folder


def pretrained(**more) -> ModelConfig:
    given = {
        "name": "pretrained",
        "path": "x",
        "pooling": "auto",
        "query_length": 64,
        "passage_length": 64,
    }
    return ModelConfig(**given | more)


def vectors(encoder: Encoder, folder: Path, texts: list[str], prompt: str = "") -> np.ndarray:
    """(N, D) the vectors of texts in one padded batch."""
    tokenizer = load_tokenizer(folder)
    tokenizer.enable_padding(pad_id=pad_id(folder))
    tokenizer.enable_truncation(64)
    found = tokenizer.encode_batch([prompt + text for text in texts])
    arrays = [
        torch.tensor([getattr(each, name) for each in found]) for name in ("ids", "attention_mask")
    ]
    with torch.inference_mode():
        return encoder.eval()(*arrays).numpy()


def theirs(folder: Path, texts: list[str], **more) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(texts, **more)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture
def tiny(config):
    made = config("model.query_prompt='q: '", "model.passage_prompt='p: '")
    prepared = prepare.prepare(made)
    return made, prepared, build_encoder(made.model, prepared.model, 0)


def test_weights_come_from_the_seed_and_nothing_else(config):
    made = config()
    folder = prepare.prepare(made).model
    torch.manual_seed(5)
    first = build_encoder(made.model, folder, 3).state_dict()
    torch.manual_seed(6)
    second, other = (build_encoder(made.model, folder, seed).state_dict() for seed in (3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert not any("pooler" in name for name in first)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_saved_models_give_the_same_vectors_here_in_transformers_and_in_sentence_transformers(
    tiny, tmp_path, pooling
):
    from transformers import AutoModel, AutoTokenizer

    config, prepared, encoder = tiny
    model = dataclasses.replace(config.model, pooling=pooling)
    encoder.pooling = pooling
    save_encoder(encoder, model, prepared.model, tmp_path / "m")
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "m").rglob("*") if path.is_file()}
    assert modes == {0o666 & ~umask()}  # safetensors writes for the owner alone
    rows, pad = np.arange(30), pad_id(prepared.model)
    texts = prepared.collection.passages["text"].take(rows).to_pylist()
    ours = encode(encoder, prepared.passages, rows, pad=pad, batch_tokens=512)
    again = encode(
        load_encoder(model, tmp_path / "m"), prepared.passages, rows, pad=pad, batch_tokens=512
    )
    assert np.array_equal(ours, again)
    assert np.allclose(ours, theirs(tmp_path / "m", texts, prompt_name="document"), atol=2e-6)
    queries = prepared.collection.queries["text"].take(rows).to_pylist()
    ours = encode(encoder, prepared.queries, rows, pad=pad, batch_tokens=512)
    assert np.allclose(ours, theirs(tmp_path / "m", queries, prompt_name="query"), atol=2e-6)
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


def test_a_pretrained_folder_is_loaded_in_float32_without_pooler_and_cut(bert, tmp_path):
    source = BertModel(BertConfig(vocab_size=700, **SIZES | {"num_hidden_layers": 3}))
    source.half().save_pretrained(tmp_path / "half")
    shutil.copy(bert / "tokenizer.json", tmp_path / "half")
    model = pretrained(layers=2, dropout=0.0)
    encoder = build_encoder(model, tmp_path / "half", 0)
    state = encoder.transformer.state_dict()
    assert all(
        value.dtype == torch.float32 for value in state.values() if value.is_floating_point()
    )
    assert not any("pooler" in name or "layer.2." in name for name in state)
    kept = source.state_dict()["encoder.layer.1.output.dense.weight"].float()
    assert torch.equal(state["encoder.layer.1.output.dense.weight"], kept)
    with refused("config.model.layers", "layers=9", 3):
        build_encoder(pretrained(layers=9), tmp_path / "half", 0)
    (tmp_path / "half" / "model.safetensors").rename(tmp_path / "half" / "pytorch_model.bin")
    with refused("model.weights_missing", ".safetensors"):
        build_encoder(model, tmp_path / "half", 0)


HEADS = {
    "like LaBSE": (("cls", (32, "Tanh", True)), 32),
    "two layers": (("mean", (24, "GELU", False), (8, "Identity", True)), 8),
    "none": (("mean",), 32),
}


@pytest.mark.parametrize("head", HEADS)
def test_a_folder_of_sentence_transformers_gives_its_vectors_here(bert, tmp_path, head):
    (pooling, *dense), width = HEADS[head]
    original = sentence_transformer(bert, tmp_path / "st", *dense, pooling=pooling)
    encoder = build_encoder(pretrained(), tmp_path / "st", 0)
    ours = vectors(encoder, tmp_path / "st", TEXTS)
    assert ours.shape == (len(TEXTS), width) and encoder.pooling == pooling
    assert np.allclose(ours, original.encode(TEXTS), atol=1e-6)


@pytest.mark.parametrize("kept", [8, 99])
def test_vectors_of_the_length_that_a_folder_states_are_saved_so(bert, tmp_path, kept):
    sentence_transformer(bert, tmp_path / "st", (24, "Tanh", True))
    path = tmp_path / "st" / "config_sentence_transformers.json"
    plain = model_fingerprint(tmp_path / "st", tmp_path / "cache")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncate_dim": kept}))
    assert model_fingerprint(tmp_path / "st", tmp_path / "cache") != plain
    encoder = build_encoder(pretrained(), tmp_path / "st", 0)
    save_encoder(encoder, pretrained(), tmp_path / "st", tmp_path / "saved")
    again = load_encoder(pretrained(), tmp_path / "saved")
    for folder, made in ((tmp_path / "st", encoder), (tmp_path / "saved", again)):
        ours, reference = vectors(made, folder, TEXTS), theirs(folder, TEXTS)
        assert ours.shape == reference.shape == (len(TEXTS), min(kept, 24))
        assert np.allclose(ours, unit(reference), atol=1e-6)


@pytest.mark.parametrize("whole", [False, True], ids=["encoder", "with its decoder"])
@pytest.mark.parametrize("kind", ["T5", "MT5"])
def test_of_a_model_with_a_decoder_the_encoder_is_read_trained_and_saved(tmp_path, kind, whole):
    import transformers

    size, folder = with_tokenizer(tmp_path / "t5"), tmp_path / "t5"
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=size, d_model=32, d_ff=64, num_layers=2, num_heads=2, d_kv=16
    )
    torch.manual_seed(0)
    source = getattr(transformers, f"{kind}{'' if whole else 'Encoder'}Model")(config)
    source.save_pretrained(folder)
    encoder = build_encoder(pretrained(dropout=0.0), folder, 0)
    assert np.allclose(vectors(encoder, folder, TEXTS), unit(theirs(folder, TEXTS)), atol=1e-6)
    gradients(encoder)
    assert len(build_encoder(pretrained(layers=1), folder, 0).transformer.encoder.block) == 1
    vocabulary = compact(encoder, np.arange(40))
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    full = embedding_rows_whole(encoder, vocabulary)
    save_encoder(full, pretrained(), folder, tmp_path / "saved")
    again = load_encoder(pretrained(), tmp_path / "saved")
    ours = vectors(full, folder, TEXTS)
    assert np.allclose(ours, vectors(again, tmp_path / "saved", TEXTS), atol=1e-6)
    assert np.allclose(ours, unit(theirs(tmp_path / "saved", TEXTS)), atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_a_trained_head_is_saved_for_both_sides(bert, tmp_path, head):
    (pooling, *dense), _ = HEADS[head]
    sentence_transformer(bert, tmp_path / "st", *dense, pooling=pooling)
    model = pretrained(query_prompt="q: ", passage_prompt="p: ")
    encoder = build_encoder(model, tmp_path / "st", 0)
    with torch.no_grad():  # as if trained: nothing may come from the source folder
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    save_encoder(encoder, model, tmp_path / "st", tmp_path / "saved")
    again = load_encoder(model, tmp_path / "saved")
    assert again.pooling == pooling
    state = again.state_dict()
    assert state.keys() == encoder.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    for prompt, name in (("q: ", "query"), ("p: ", "document")):
        ours = vectors(encoder, tmp_path / "st", TEXTS, prompt)
        assert np.allclose(ours, theirs(tmp_path / "saved", TEXTS, prompt_name=name), atol=1e-6)
        assert np.array_equal(ours, vectors(again, tmp_path / "saved", TEXTS, prompt))


def test_a_pooling_that_is_stated_is_honoured_and_the_head_stays(bert, tmp_path):
    sentence_transformer(bert, tmp_path / "st", (32, "Tanh", True), pooling="cls")
    stated = build_encoder(pretrained(pooling="mean"), tmp_path / "st", 0)
    assert stated.pooling == "mean" and stated.head is not None
    assert not np.allclose(
        vectors(stated, tmp_path / "st", TEXTS),
        vectors(build_encoder(pretrained(), tmp_path / "st", 0), tmp_path / "st", TEXTS),
        atol=1e-2,
    )
    assert build_encoder(pretrained(), bert, 0).pooling == "mean"


def test_a_transformer_in_a_sub_folder_is_trained_and_saved_as_any_other(bert, tmp_path, config):
    original = sentence_transformer(bert, tmp_path / "st", (32, "Tanh", True))
    inside = tmp_path / "st" / "0_Transformer"
    inside.mkdir()
    for path in list((tmp_path / "st").iterdir()):
        if path.is_file() and path.name not in (
            "modules.json",
            "config_sentence_transformers.json",
        ):
            path.rename(inside / path.name)
    listed = json.loads((tmp_path / "st" / "modules.json").read_text())
    listed[0]["path"] = "0_Transformer"
    (tmp_path / "st" / "modules.json").write_text(json.dumps(listed))
    made = dataclasses.replace(config(), model=pretrained(path=str(tmp_path / "st")))
    folder = model_folder(made, [prepare.collection_of(made)])
    encoder = build_encoder(made.model, folder, 0)
    assert np.allclose(vectors(encoder, folder, TEXTS), original.encode(TEXTS), atol=1e-6)
    save_encoder(encoder, made.model, folder, tmp_path / "saved")
    assert np.allclose(theirs(tmp_path / "saved", TEXTS), original.encode(TEXTS), atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_xlm_r_counts_its_positions_from_behind_the_padding_token(tmp_path, pooling):
    size = with_tokenizer(tmp_path / "xlmr", ("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    tokenizer = json.loads((tmp_path / "xlmr" / "tokenizer.json").read_text())
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    assert ids["<pad>"] == 1
    torch.manual_seed(0)
    source = XLMRobertaModel(
        XLMRobertaConfig(
            vocab_size=size,
            pad_token_id=1,
            max_position_embeddings=66,
            initializer_range=0.3,
            **SIZES,
        )
    )
    source.save_pretrained(tmp_path / "xlmr")
    original = sentence_transformer(tmp_path / "xlmr", tmp_path / "st", pooling=pooling)
    encoder = build_encoder(pretrained(), tmp_path / "st", 0)
    ours = vectors(encoder, tmp_path / "st", TEXTS)
    assert np.allclose(ours, original.encode(TEXTS), atol=1e-6)
    save_encoder(encoder, pretrained(), tmp_path / "st", tmp_path / "saved")
    assert np.allclose(ours, theirs(tmp_path / "saved", TEXTS), atol=1e-6)
    with refused("config.model.passage_length", "model.passage_length=65", "64 tokens"):
        build_encoder(pretrained(passage_length=65), tmp_path / "st", 0)


def test_texts_longer_than_the_positions_are_refused(bert):
    build_encoder(pretrained(), bert, 0)
    with refused("config.model.query_length", "model.query_length=65", "64 tokens"):
        build_encoder(pretrained(query_length=65), bert, 0)


def test_dropout_is_set_by_the_names_of_the_architecture(tmp_path, bert):
    from transformers import DistilBertConfig, DistilBertModel

    shutil.copytree(bert, tmp_path / "distil")
    config = DistilBertConfig(vocab_size=400, dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    DistilBertModel(config).save_pretrained(tmp_path / "distil")
    for folder in (bert, tmp_path / "distil"):
        encoder = build_encoder(pretrained(dropout=0.3), folder, 0)
        found = [module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)]
        assert found and set(found) == {0.3}


def test_a_head_that_does_not_fit_is_one_line(bert, tmp_path):
    sentence_transformer(bert, tmp_path / "st", (8, "Tanh", True))
    path = tmp_path / "st" / "2_Dense" / "config.json"
    written = json.loads(path.read_text())
    for field, value, key in (
        ("out_features", 9, "model.weights_shape"),
        ("bias", False, "model.weights_shape"),
        (
            "activation_function",
            "torch.nn.modules.container.Sequential",
            "model.activation_unknown",
        ),
    ):
        path.write_text(json.dumps(written | {field: value}))
        with refused(key, path.parent):
            build_encoder(pretrained(), tmp_path / "st", 0)
    sentence_transformer(bert, tmp_path / "wide", (8, "Tanh", True), (4, "Tanh", True))
    shutil.copytree(
        tmp_path / "wide" / "3_Dense", tmp_path / "wide" / "2_Dense", dirs_exist_ok=True
    )
    with refused("model.dense_width", "in_features=8", 32):
        build_encoder(pretrained(), tmp_path / "wide", 0)


def test_the_fingerprint_counts_the_modules_and_nothing_new_without_them(bert, tmp_path):
    sentence_transformer(bert, tmp_path / "st", (32, "Tanh", True))

    def mark(folder: Path) -> str:
        return model_fingerprint(folder, tmp_path / "cache")

    seen = {mark(tmp_path / "st")}
    for name in (
        "modules.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
    ):
        path = tmp_path / "st" / name
        old = path.read_bytes()
        if name.endswith("safetensors"):
            path.write_bytes(old[:-1] + bytes([old[-1] ^ 1]))
        else:
            path.write_text(json.dumps(json.loads(old), indent=7))
        seen.add(mark(tmp_path / "st"))
        path.write_bytes(old)
    assert len(seen) == 5
    shutil.copytree(bert, tmp_path / "plain")
    before = mark(tmp_path / "plain")
    (tmp_path / "plain" / "1_Pooling").mkdir()
    (tmp_path / "plain" / "1_Pooling" / "config.json").write_text("{}")
    assert mark(tmp_path / "plain") == before == mark(bert)


def test_code_that_a_folder_brings_runs_only_where_it_is_allowed(bert, tmp_path, monkeypatch):
    """Its vectors are then those of its own class, its code counts in the fingerprint, and a saved
    model works again.
    """
    folder, mark = tmp_path / "own", tmp_path / "ran"
    shutil.copytree(bert, folder)
    known = json.loads((folder / "config.json").read_text())
    known |= {
        "model_type": "own-kind",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"},
    }
    (folder / "config.json").write_text(json.dumps(known))
    (folder / "own.py").write_text(OWN_CODE)
    monkeypatch.setenv("OWN_CODE_RAN", str(mark))
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    with refused("model.code_needed", "model.remote_code=true"):
        build_encoder(pretrained(), folder, 0)
    assert not mark.exists()
    encoder = build_encoder(pretrained(remote_code=True), folder, 0)
    assert mark.exists() and type(encoder.transformer).__name__ == "OwnModel"
    np.testing.assert_array_equal(
        vectors(encoder, folder, TEXTS), vectors(build_encoder(pretrained(), bert, 0), bert, TEXTS)
    )
    before = model_fingerprint(folder, tmp_path / "cache")
    (folder / "own.py").write_text(OWN_CODE + "\n# other code, other numbers\n")
    assert model_fingerprint(folder, tmp_path / "cache") != before
    save_encoder(encoder, pretrained(remote_code=True), folder, tmp_path / "saved")
    again = load_encoder(pretrained(remote_code=True), tmp_path / "saved")
    np.testing.assert_array_equal(vectors(again, folder, TEXTS), vectors(encoder, folder, TEXTS))


def test_adapters_leave_the_first_weights_as_they_are_and_train_alone(config, bert, tmp_path):
    made = config()
    folder = prepare.prepare(made).model
    lora = dataclasses.replace(made.model, lora_rank=4, lora_alpha=8.0)
    plain, first, same, other = (
        build_encoder(model, folder, seed)
        for model, seed in ((made.model, 3), (lora, 3), (lora, 3), (lora, 4))
    )
    found = {name.replace("base_layer.", ""): value for name, value in first.state_dict().items()}
    assert all(torch.equal(value, found[name]) for name, value in plain.state_dict().items())
    assert all(
        torch.equal(value, same.state_dict()[name]) for name, value in first.state_dict().items()
    )
    assert any(
        "lora_A" in n and not torch.equal(v, other.state_dict()[n])
        for n, v in first.state_dict().items()
    )
    assert np.array_equal(vectors(plain, folder, TEXTS), vectors(first, folder, TEXTS))
    sentence_transformer(bert, tmp_path / "st", (32, "Tanh", True))
    headed = build_encoder(pretrained(lora_rank=2), tmp_path / "st", 0)
    assert all(
        ("lora_" in name) == value.requires_grad for name, value in headed.named_parameters()
    )


def test_adapters_are_saved_in_the_weights_and_stay_in_the_encoder(bert, tmp_path):
    sentence_transformer(bert, tmp_path / "st", (32, "Tanh", True))
    model = pretrained(lora_rank=4, lora_targets=["query", "dense"])
    encoder = build_encoder(model, tmp_path / "st", 0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.05)
    ours = vectors(encoder, tmp_path / "st", TEXTS)
    assert not np.allclose(ours, theirs(tmp_path / "st", TEXTS), atol=1e-2)
    save_encoder(encoder, model, tmp_path / "st", tmp_path / "saved")
    assert np.array_equal(ours, vectors(encoder, tmp_path / "st", TEXTS))
    assert any(parameter.requires_grad for parameter in encoder.parameters())
    again = load_encoder(model, tmp_path / "saved")
    assert not any("lora" in name or "base_layer" in name for name in again.state_dict())
    assert np.allclose(ours, vectors(again, tmp_path / "saved", TEXTS), atol=1e-5)
    assert np.allclose(ours, theirs(tmp_path / "saved", TEXTS), atol=1e-5)


def gradients(encoder: Encoder, length: int = 10) -> dict[str, torch.Tensor]:
    encoder.train().zero_grad()
    torch.manual_seed(0)
    ids = torch.arange(5, 5 + 4 * length).reshape(4, length)
    encoder(ids, torch.ones_like(ids)).square().cumsum(1).sum().backward()
    return {
        name: value.grad.clone()
        for name, value in encoder.named_parameters()
        if value.grad is not None
    }


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_checkpointing_computes_layers_again_and_gradients_stay(bert, tmp_path, rank, dropout):
    model, found, calls, scored = pretrained(lora_rank=rank, dropout=dropout), [], [], []
    for checkpointing in (False, True):
        encoder = build_encoder(model, bert, 0).double()
        prepare_for_training(encoder, TrainerConfig(gradient_checkpointing=checkpointing))
        count: list[int] = []
        encoder.transformer.encoder.layer[0].attention.self.query.register_forward_hook(
            lambda *_, c=count: c.append(1)
        )
        found.append(gradients(encoder))
        calls.append(len(count))
        scored.append(vectors(encoder, bert, TEXTS))  # in between, as the evaluations on dev do
        encoder.transformer.set_input_embeddings(
            copy.deepcopy(encoder.transformer.get_input_embeddings())
        )
        copy.deepcopy(encoder)  # both are done to train on part of the vocabulary
    assert calls == [1, 2]  # with checkpointing, once more on the way back
    assert np.array_equal(*scored)
    plain, again = found
    assert plain.keys() == again.keys() and any("layer.0." in name for name in plain)
    assert all(torch.allclose(plain[name], again[name], atol=1e-10, rtol=0) for name in plain)
    assert max(float(value.abs().max()) for value in plain.values()) > 1e-3


def test_a_model_without_checkpointing_is_one_line(bert):
    encoder = build_encoder(pretrained(), bert, 0)
    encoder.transformer.supports_gradient_checkpointing = False
    with refused(
        "config.trainer.gradient_checkpointing", "trainer.gradient_checkpointing=true", "bert"
    ):
        prepare_for_training(encoder, TrainerConfig(gradient_checkpointing=True))


def test_compiling_renames_no_weight(bert, tmp_path):
    """The compiler starts with the first call, so that nothing is compiled here."""
    encoder = build_encoder(pretrained(), bert, 0)
    names = list(encoder.state_dict())
    prepare_for_training(encoder, TrainerConfig())
    assert encoder.transformer._compiled_call_impl is None
    prepare_for_training(encoder, TrainerConfig(compile=True))
    assert encoder.transformer._compiled_call_impl is not None
    assert list(encoder.state_dict()) == names
    save_encoder(encoder, pretrained(), bert, tmp_path / "saved")
    again = load_encoder(pretrained(), tmp_path / "saved").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in encoder.state_dict().items())


@pytest.mark.slow
def test_compiled_and_plain_gradients_are_the_same(bert):
    """Texts of several lengths: sizes are dynamic."""
    found = []
    for compiled in (False, True):
        encoder = build_encoder(pretrained(layers=1, dropout=0.0), bert, 0)
        prepare_for_training(encoder, TrainerConfig(compile=compiled))
        found.append([gradients(encoder, length=length) for length in (5, 9, 14)])
    for plain, other in zip(*found, strict=True):
        scale = max(float(value.abs().max()) for value in plain.values())
        assert plain.keys() == other.keys()
        assert all(
            torch.allclose(plain[name], other[name], atol=1e-5 * scale, rtol=0) for name in plain
        )


@pytest.mark.parametrize("supported", [True, False])
def test_checkpointing_is_refused_without_a_look_at_the_weights(bert, monkeypatch, supported):
    monkeypatch.setattr(BertModel, "supports_gradient_checkpointing", supported)
    monkeypatch.setattr(loading, "load_file", lambda path: pytest.fail("weights were read"))
    if supported:
        loading.check_checkpointing(pretrained(), bert)
    else:
        with refused("config.trainer.gradient_checkpointing", "bert"):
            loading.check_checkpointing(pretrained(), bert)
