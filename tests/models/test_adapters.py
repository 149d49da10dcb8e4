"""Adapters change nothing until they are trained, are all that trains, and add up into plain
weights.
"""

import sys

import pytest
import torch
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from hybrid_sweep.models.adapters import add_adapters, merged_weights
from tests.refused import refused

IDS = torch.arange(5, 26).reshape(3, 7)


def bert() -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    return BertModel(config, add_pooling_layer=False).eval()


def adapted(targets=(), *, rank=4, alpha=16.0, seed=1) -> BertModel:
    model = bert()
    add_adapters(model, rank=rank, alpha=alpha, targets=list(targets), seed=seed)
    return model


def train(model: torch.nn.Module) -> None:
    """Set the adapters to something, as training would."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.2)


def hidden(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).last_hidden_state


def test_untrained_adapters_change_no_bit_and_trained_ones_do():
    model = adapted()
    assert torch.equal(hidden(model), hidden(bert()))
    train(model)
    assert not torch.allclose(hidden(model), hidden(bert()), atol=1e-2)


def test_only_the_adapters_train_and_they_come_from_the_seed_alone():
    torch.manual_seed(77)
    first, same, other = adapted(seed=1), adapted(seed=1), adapted(seed=2)
    trained = {name: value for name, value in first.named_parameters() if value.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    # peft's own choice
    assert {name.rsplit(".lora_")[0].rsplit(".")[-1] for name in trained} == {"query", "value"}
    assert all(
        torch.equal(value, same.state_dict()[name]) for name, value in first.state_dict().items()
    )
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in trained.items())
    first(input_ids=IDS).last_hidden_state.square().sum().backward()
    assert all(
        (value.grad is not None) == (name in trained) for name, value in first.named_parameters()
    )


def test_the_rank_the_scale_and_the_targets_are_those_asked_for():
    model = adapted(["key", "output.dense"], rank=2, alpha=3.0)
    shapes = {
        name: tuple(p.shape)
        for name, p in model.named_parameters()
        if p.requires_grad and ".layer.0." in name
    }
    assert {name.split(".lora_")[0].split("layer.0.")[1] for name in shapes} == {
        "attention.self.key",
        "attention.output.dense",
        "output.dense",
    }
    assert {min(shape) for shape in shapes.values()} == {2}
    assert model.encoder.layer[0].attention.self.key.scaling == {"default": 1.5}


def test_the_transformer_stays_what_it_is():
    """Its vocabulary can be exchanged, and it takes embeddings and positions, as without
    adapters.
    """
    model = adapted()
    assert type(model) is BertModel and model.config.model_type == "bert"
    table = model.get_input_embeddings()
    with torch.no_grad():
        by_embeddings = model(
            inputs_embeds=table(IDS), position_ids=torch.arange(7)[None]
        ).last_hidden_state
    assert torch.equal(by_embeddings, hidden(model))
    small = torch.nn.Embedding(26, 16)
    small.weight = torch.nn.Parameter(table.weight[:26].detach().clone(), requires_grad=False)
    model.set_input_embeddings(small)
    assert model.get_input_embeddings() is small and torch.equal(by_embeddings, hidden(model))


@pytest.mark.parametrize("targets", [(), ("query", "key", "value", "dense")])
def test_merged_weights_are_plain_and_compute_the_same(targets):
    model = adapted(targets)
    train(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    merged, plain = merged_weights(model), bert()
    assert merged.keys() == plain.state_dict().keys()
    plain.load_state_dict(merged)
    assert torch.allclose(hidden(plain), hidden(model), atol=1e-5)
    after = model.state_dict()
    assert before.keys() == after.keys() and all(
        torch.equal(before[name], after[name]) for name in before
    )


def test_without_adapters_the_weights_are_its_own():
    model = bert()
    assert all(
        torch.equal(value, model.state_dict()[name])
        for name, value in merged_weights(model).items()
    )


@pytest.mark.parametrize(
    "targets", [["querry"], ["query", "attention"], ["word_embeddings"], ["uery"]]
)
def test_a_target_that_is_no_linear_layer_is_refused_by_name(targets):
    with refused(
        "config.model.lora_targets", f"model.lora_targets={targets[-1]}", "bert", "dense, key"
    ):
        adapted(targets)


def test_an_architecture_that_peft_does_not_know_wants_targets(monkeypatch):
    from peft.utils import constants

    monkeypatch.setattr(constants, "TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING", {})
    with refused("config.model.lora_targets", "model.lora_targets=[]", "bert"):
        adapted()
    assert adapted(["query"])


def test_other_architectures_take_named_targets():
    config = DistilBertConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    model = DistilBertModel(config)
    add_adapters(model, rank=2, alpha=4.0, targets=["q_lin"], seed=0)
    assert sum(p.requires_grad for p in model.parameters()) == 2


def test_without_peft_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with refused("install.peft", "pip install hybrid-sweep[lora]"):
        adapted()
