"""A finished run, opened: what it refuses, and the precision of its encoder."""

import torch

from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.loading import build_encoder, save_encoder
from hybrid_sweep.runs import trained
from hybrid_sweep.runs.opened import Run
from tests.refused import refused


def test_the_encoder_of_a_run_has_its_precision(config, tmp_path, monkeypatch):
    """Its vectors would otherwise be others than those that its own evaluation ranked."""
    monkeypatch.setattr(trained, "check", lambda *_: None)
    for precision, reduced in (("32-true", None), ("bf16-mixed", torch.bfloat16)):
        made, folder = config(f"trainer.precision={precision}"), tmp_path / precision
        source = prepare(made).model
        save_encoder(build_encoder(made.model, source, 0), made.model, source, folder / "model")
        assert Run(folder, made).encoder().encoder.reduced is reduced


def test_a_run_without_a_model_or_steps_says_so(config, tmp_path):
    for words in (["trainer.max_steps=0", "batch.cross_lingual_ratio=0"], []):
        run = Run(tmp_path / "0123456789ab", config(*words))
        with refused("run.no_model" if words else "trained.unfinished"):
            run.encoder()
        with refused("run.no_steps"):
            run.steps  # noqa: B018
    with refused("run.no_evaluation"):
        run.on("xquad_r")
