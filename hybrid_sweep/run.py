"""One point of a sweep: train, evaluate, record. Each stage is finished when its files are there, whole."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
import transformers

from hybrid_sweep import checkpoints, dev, retention, tracking, validation
from hybrid_sweep.checks import load
from hybrid_sweep.config import Config, steps_of
from hybrid_sweep.encoder import Encoder
from hybrid_sweep.feed import HybridData
from hybrid_sweep.models import build_encoder, load_encoder, prepare_for_training
from hybrid_sweep.prepare import Prepared, fingerprints_of, plan_of, prepare
from hybrid_sweep.provenance import provenance
from hybrid_sweep.realised import check_realised
from hybrid_sweep.store import atomic_write, read_json, write_json
from hybrid_sweep.training import Retriever, make_trainer


class Status(pl.Callback):
    """Keeps status.json fresh for whoever watches: about once a second, by the main process alone."""

    def __init__(self, path: Path, max_steps: int) -> None:
        self.path, self.max_steps = path, max_steps
        self.written = self.begun = time.monotonic()
        self.done = 0  # steps of this process; a resumed run has more behind it

    def write(self, state: str, step: int, loss: float | None = None, error: str | None = None) -> None:
        now = time.monotonic()
        speed = self.done / (now - self.begun) if state == "training" and self.done else None
        write_json(
            self.path,
            {
                "state": state,
                "step": step,
                "max_steps": self.max_steps,
                "loss": loss,
                "steps_per_second": speed,
                "error": error,
            },
        )
        self.written = now

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begun = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.done += 1
        if trainer.is_global_zero and time.monotonic() - self.written > 1:
            assert isinstance(pl_module, Retriever)
            self.write("training", len(pl_module.record), pl_module.record[-1]["loss"])


def execute(run_dir: Path) -> None:
    """Do what is missing of the run in `run_dir`, where config.yaml and identity.json lie; metrics.json comes last.

    Called in every process of a distributed run; all but the first leave after training.
    """
    config = load(run_dir / "config.yaml")
    identity = read_json(run_dir / "identity.json")
    torch.set_num_threads(config.trainer.threads)
    # The bar of saving one file; the run has a progress of its own.
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    started = time.monotonic()
    main, steps = is_main(config, os.environ), steps_of(config)
    status = Status(run_dir / "status.json", steps)
    if main:
        status.write("starting", 0)
    prepared = prepare(config)
    found = fingerprints_of(config, prepared)
    if found != identity["fingerprints"]:
        raise RuntimeError(
            f"the data or the model changed since the run was planned: {identity['fingerprints']} then, {found} now"
        )
    dev.check(config, prepared.collection)
    mirror = tracking.start(config, run_dir, identity["run_id"]) if main else None
    try:
        encoder = _train(config, run_dir, prepared, status, mirror)
        if encoder is None or not main:
            return
        trained = time.monotonic()
        status.write("evaluating", steps)
        # Lightning takes the model off the GPU when it is done with it.
        encoder.to("cuda" if config.trainer.accelerator == "gpu" else "cpu")
        encoded = validation.encode_split(config, prepared, encoder, config.eval.split)
        table, counts = validation.score(prepared, encoded)
        if config.keep.vectors:
            retention.save_vectors(run_dir / "vectors", encoded, prepared.collection)
        label = {
            "run_id": identity["run_id"],
            "ratio": config.batch.cross_lingual_ratio,
            "seed": config.seed,
            "collection": prepared.collection.name,
        }
        for place, (name, value) in enumerate(label.items()):
            table.insert(place, name, value)
        with atomic_write(run_dir / "per_query.parquet") as temporary:
            table.to_parquet(temporary, index=False)
        curve = dev.read(run_dir / "dev.parquet", config.eval.dev_metric)
        metrics = {
            **label,
            **validation.summary(table),
            **counts,
            **_examples(config, run_dir),
            **dev.report(curve, steps),
        }
        times = {
            "train_seconds": round(trained - started, 3),
            "evaluate_seconds": round(time.monotonic() - trained, 3),
        }
        write_json(run_dir / "provenance.json", provenance(config, prepared, found, times))
        tracking.finish(mirror, metrics)
        mirror = None
        if not config.keep.model:
            shutil.rmtree(run_dir / "model", ignore_errors=True)
        status.write("done", steps)
        write_json(run_dir / "metrics.json", metrics)
    finally:
        tracking.fail(mirror)


def is_main(config: Config, environment: Any) -> bool:
    """Whether this is the first process of the run, by what torchrun, srun or Lightning says to each it starts."""
    if config.trainer.devices * config.trainer.nodes == 1:
        return True
    return all(int(environment.get(name, "0")) == 0 for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def _train(config: Config, run_dir: Path, prepared: Prepared, status: Status, mirror: Any) -> Encoder | None:
    """The trained encoder, from disk where that stage is finished; None in processes that are not the first."""
    folder, model, steps = run_dir / "checkpoints", run_dir / "model", steps_of(config)
    if steps == 0:
        return build_encoder(config.model, prepared.model, config.seed)
    if (run_dir / "steps.parquet").is_file() and (model / "modules.json").is_file():
        return load_encoder(config.model, model)
    plan = plan_of(config, prepared.sources)
    module = Retriever(build_encoder(config.model, prepared.model, config.seed), config, prepared)
    prepare_for_training(module.encoder, config.trainer)
    history = dev.History(config.eval.dev_metric)
    resume = checkpoints.newest(folder, run_dir.name)
    start = resume[0] if resume else 0
    if resume:
        module.encoder.load_state_dict(resume[1]["weights"])
    if resume and start == len(plan):  # stopped between the last step and the saved model
        module.record[:], history.rows[:] = resume[1]["record"], resume[1]["evaluations"]
        optimizer = resume[1]["optimizer"]
    else:
        callbacks: list[pl.Callback] = [
            status,
            validation.Validation(config, prepared, history, run_dir, steps),
            checkpoints.Checkpointing(folder, run_dir.name, config.keep.checkpoint_seconds, resume, history),
        ]
        trainer = make_trainer(config, callbacks, mirror, start)
        code = module.vocabulary.code if module.vocabulary else None
        trainer.fit(module, datamodule=HybridData(prepared, plan, config, start, code))
        if not trainer.is_global_zero:
            return None
        optimizer = checkpoints.optimizer_state(module, trainer.optimizers[0])
    record = pd.DataFrame(module.record)
    check_realised(record, plan)
    retention.save_models(config, prepared, module, history.best, run_dir)
    if config.keep.optimizer:
        retention.save_optimizer(run_dir / "optimizer.pt", optimizer, steps)
    if history.rows:
        history.write(run_dir / "dev.parquet")
    with atomic_write(run_dir / "steps.parquet") as temporary:  # after the model: its presence ends the stage
        record.to_parquet(temporary, index=False)
    shutil.rmtree(folder, ignore_errors=True)
    # Always from disk: what is evaluated is what is kept, to the last bit, whether this process trained it or another.
    return load_encoder(config.model, model)


def _examples(config: Config, run_dir: Path) -> dict[str, Any]:
    """How many pairs of each kind entered the loss: fewer monolingual updates alone can degrade a model."""
    if not (run_dir / "steps.parquet").is_file():
        return {"examples_monolingual": 0, "examples_cross_lingual": 0}
    steps = pd.read_parquet(run_dir / "steps.parquet", columns=["n_examples", "n_cross"])
    cross = int(steps["n_cross"].sum())
    found: dict[str, Any] = {
        "examples_monolingual": int(steps["n_examples"].sum()) - cross,
        "examples_cross_lingual": cross,
    }
    if config.batch.budget == "fixed_monolingual":
        found |= {"budget": config.batch.budget, "added": config.batch.added}
    return found
