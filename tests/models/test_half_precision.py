"""bfloat16 on a CPU: refused where it is emulated, told where it is not, and near float32."""

import copy

import numpy as np
import pytest
import torch

from hybrid_sweep.config import schema
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models import half_precision
from hybrid_sweep.models.encoder import encode, in_precision
from hybrid_sweep.models.loading import build_encoder, prepare_for_training
from hybrid_sweep.sweeps import slots
from hybrid_sweep.utils import processor
from tests.refused import refused


@pytest.fixture
def older(monkeypatch):
    """A processor without instructions for bfloat16."""
    monkeypatch.setattr(processor, "instructions", lambda: "avx2 avx512f")
    monkeypatch.setattr(processor, "model", lambda: "Old CPU")


@pytest.mark.parametrize("word", ["trainer.precision=bf16-mixed", "eval.precision=bf16-true"])
def test_where_it_would_be_emulated_it_is_refused(config, older, word):
    key = word.partition("=")[0]
    made = config(word)
    machine = slots.this_machine([made], {})
    for check in (half_precision.check, lambda config: slots.size(config, machine)):
        with refused(f"config.{key}", word, "Old CPU", "avx2 avx512f"):
            check(made)
    half_precision.check(config())
    half_precision.check(config(word, "trainer.accelerator=gpu"))
    half_precision.check(schema.bm25(made))


def test_where_the_system_does_not_tell_it_is_allowed_and_said(config, monkeypatch):
    monkeypatch.setattr(processor, "instructions", lambda: None)
    made = config("trainer=cpu_bf16")
    half_precision.check(made)
    (note,) = half_precision.note(made)
    assert "not known" in note and half_precision.note(config()) == []


def test_a_plan_names_the_instructions(config, monkeypatch):
    monkeypatch.setattr(processor, "instructions", lambda: "avx512f amx_bf16")
    made = config("trainer=cpu_bf16", "eval.precision=bf16-true")
    (note,) = half_precision.note(made)
    assert "amx_bf16" in note and "trainer.precision=bf16-mixed eval.precision=bf16-true" in note
    assert made.trainer.attention == "eager"


def test_defaults_leave_the_id_of_a_run_and_each_setting_changes_it(config):
    ids = {schema.run_id(config(), {})}
    identity = schema.identity(config())
    assert "precision" not in identity["eval"] and "attention" not in identity["trainer"]
    for word in ("eval.precision=32-true", "eval.precision=bf16-true", "trainer.attention=eager"):
        ids.add(schema.run_id(config(word), {}))
    assert len(ids) == 4
    untrained = schema.untrained(config("eval.precision=bf16-true"))
    assert schema.identity(untrained)["eval"]["precision"] == "bf16-true"
    assert schema.encoding_precision(config("trainer.precision=bf16-mixed")) == "bf16-mixed"


def test_weights_of_bfloat16_give_vectors_near_those_of_float32_and_leave_the_encoder(config):
    made = config()
    prepared = prepare(made)
    encoder = build_encoder(made.model, prepared.model, 0)
    before = copy.deepcopy(encoder.state_dict())
    rows = np.arange(12)
    vectors = []
    for precision in ("32-true", "bf16-true"):
        used = in_precision(encoder, precision)
        vectors.append(encode(used, prepared.passages, rows, pad=0, batch_tokens=5000))
    assert used.transformer.dtype == torch.bfloat16 and encoder.transformer.dtype == torch.float32
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    whole, half = vectors
    assert half.dtype == np.float32 and not (half == whole).all()
    assert ((whole.astype(float) * half).sum(axis=1) > 0.9999).all()
    assert np.abs(np.linalg.norm(half, axis=1) - 1).max() < 1e-6  # not rounded to 8 bits


def test_attention_of_both_kinds_gives_the_same_gradients(config):
    made = config()
    prepared = prepare(made)
    gradients = []
    for kind in ("sdpa", "eager"):
        encoder = build_encoder(made.model, prepared.model, 0).double().eval()
        prepare_for_training(encoder, config(f"trainer.attention={kind}").trainer)
        assert encoder.transformer.config._attn_implementation == kind
        ids, mask = (torch.from_numpy(one) for one in prepared.passages.padded(np.arange(9), 0))
        encoder(ids, mask)[:, 0].sum().backward()
        gradients.append([p.grad for p in encoder.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_a_model_without_another_attention_is_refused(config):
    class Other(torch.nn.Linear):
        config = type("Plain", (), {"model_type": "other"})

    encoder = torch.nn.Module()
    encoder.transformer = Other(1, 1)
    with refused("config.trainer.attention", "other"):
        prepare_for_training(encoder, config("trainer.attention=eager").trainer)


@pytest.mark.skipif(not processor.has_bf16(), reason="this CPU has no instructions for bfloat16")
@pytest.mark.slow
def test_a_run_in_bfloat16_records_the_processor_and_is_evaluated_in_it(run):
    from hybrid_sweep.utils.files import read_json

    folder = run("trainer=cpu_bf16", "eval.precision=bf16-true", "trainer.max_steps=3")
    hardware = read_json(folder / "provenance.json")["hardware"]
    assert hardware["instructions"] == processor.instructions()
    assert hardware["processor"] == processor.model()
