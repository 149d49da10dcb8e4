"""One point of a sweep: train, evaluate, record. Each stage is finished when its files are there, whole."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
import transformers

from hybrid_sweep import (
    checkpoints,
    checks,
    confined,
    dev,
    finished,
    records,
    retention,
    stages,
    tracking,
    trained,
    validation,
)
from hybrid_sweep.config import Bm25Model, Config, cache_dir, steps_of
from hybrid_sweep.encoder import Encoder, in_precision
from hybrid_sweep.errors import UserError
from hybrid_sweep.evaluation import encode_over_ranks, evaluated
from hybrid_sweep.feed import HybridData
from hybrid_sweep.models import build_encoder, load_encoder, prepare_for_training
from hybrid_sweep.prepare import Prepared, fingerprints_of, plan_of, prepare
from hybrid_sweep.provenance import process_age, provenance
from hybrid_sweep.realised import check_realised
from hybrid_sweep.status import Status
from hybrid_sweep.store import atomic_write, write_json
from hybrid_sweep.training import Retriever, make_trainer, settle


def execute(run_dir: Path, words: Sequence[str] = ()) -> None:
    """Do what is missing of the run in `run_dir`, where config.yaml and identity.json lie: training, then its stages.

    Called in every process of a distributed run; all but the first leave after encoding. A stage's metrics.json comes last.

    Args:
        run_dir: the run's folder.
        words: permissions, which no stored config gives; see `checks.permitted`.
    """
    confined.check_links(run_dir)
    config = checks.permitted(checks.stored(run_dir), words)
    identity = records.identity(run_dir)
    if identity["run_id"] != run_dir.name:
        raise UserError(f"{run_dir / 'identity.json'} is of run {identity['run_id']}, not of {run_dir.name}")
    torch.set_num_threads(config.trainer.threads)
    settle(config.trainer)
    # The bar of saving one file; the run has a progress of its own.
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    started, age = time.monotonic(), process_age()
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
    # All of them, before any is asked for its result: that depends on the texts.
    texts_of = {stage.name: stages.prepared(stage, prepared) for stage in stages.of(config, run_dir)}
    waiting = [(stage, texts_of[stage.name]) for stage in stages.pending(config, run_dir, identity["run_id"])]
    mirror = tracking.start(config, run_dir, identity["run_id"]) if main else None
    try:
        encoder = _trained(config, run_dir, prepared, status, mirror) if waiting else None
        if encoder is not None:
            in_precision(encoder, config.trainer.precision)
        begun = time.monotonic()
        times = {"train_seconds": round(begun - started, 3), "steps": status.done, "start_seconds": age}
        if not status.done:  # trained earlier: those times count, not that of loading the model
            earlier = records.provenance(run_dir).get("times", {})
            times |= {name: earlier[name] for name in times if name in earlier}
        if encoder is not None and config.trainer.devices * config.trainer.nodes > 1:
            encode_over_ranks(config, waiting, encoder, status, main)
        if not main:
            return
        label = {
            "run_id": identity["run_id"],
            "ratio": config.batch.cross_lingual_ratio,
            "seed": config.seed,
        }
        if encoder is not None:
            # Lightning takes the model off the GPU when it is done with it.
            encoder.to("cuda" if config.trainer.accelerator == "gpu" else "cpu")
        for number, (stage, texts) in enumerate(waiting, 1):
            metrics = label | evaluated(stage, texts, encoder, status, label)
            if not stage.name:
                curve = dev.read(run_dir / "dev.parquet", config.eval.dev_metric)
                metrics |= {**_examples(config, run_dir), **dev.report(curve, steps)}
            marks = found if not stage.name else {"collection": texts.collection.fingerprint, "model": found["model"]}
            if stage.vectors not in [later.vectors for later, _ in waiting[number:]]:
                shutil.rmtree(stage.vectors, ignore_errors=True)
            now = time.monotonic()
            times["evaluate_seconds"], begun = round(now - begun, 3), now
            write_json(stage.folder / "provenance.json", provenance(stage.config, texts, marks, times))
            tracking.summarise(mirror, metrics, stage.name)
            write_json(stage.folder / "metrics.json", finished.sealed(stage.folder, metrics))
        tracking.finish(mirror)
        mirror = None
        if not config.keep.model:
            shutil.rmtree(run_dir / "model", ignore_errors=True)
        status.write("done", steps)
    finally:
        tracking.fail(mirror)


def is_main(config: Config, environment: Any) -> bool:
    """Whether this is the first process of the run, by what torchrun, srun or Lightning says to each it starts."""
    if config.trainer.devices * config.trainer.nodes == 1:
        return True
    return all(int(environment.get(name, "0")) == 0 for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def _trained(config: Config, run_dir: Path, prepared: Prepared, status: Status, mirror: Any) -> Encoder | None:
    """The trained encoder, from disk where that is finished, in every process; None where the model is no encoder."""
    if isinstance(config.model, Bm25Model):
        return None
    folder, model, steps = run_dir / "checkpoints", run_dir / "model", steps_of(config)
    if steps == 0:
        return build_encoder(config.model, prepared.model, config.seed)
    reason = stages.untrained(run_dir, cache_dir(config))
    if reason is None:
        if is_main(config, os.environ):
            trained.adopt(run_dir)
        return load_encoder(config.model, model)
    if (run_dir / trained.RECORD).exists():
        print(f"{reason}: it is trained again")
    plan = plan_of(config, prepared.sources)
    module = Retriever(build_encoder(config.model, prepared.model, config.seed), config, prepared)
    prepare_for_training(module.encoder, config.trainer)
    history = dev.History(config.eval.dev_metric)
    resume = checkpoints.newest(folder, run_dir.name)
    start = resume[0] if resume else 0
    if resume:
        if config.trainer.precision == "64-true":  # as the trainer will: float32 would round what was saved
            module.double()
        module.encoder.load_state_dict(resume[1]["weights"])
    trainer: pl.Trainer | None = None
    if resume and start == len(plan):  # stopped between the last step and the saved model
        if not is_main(config, os.environ):
            while not stages.is_trained(run_dir):  # the first process writes the record after the model
                time.sleep(0.1)
            return load_encoder(config.model, model)
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
        with checkpoints.leaving():
            trainer.fit(module, datamodule=HybridData(prepared, plan, config, start, code))
        if not trainer.is_global_zero:
            trainer.strategy.barrier()  # until the first process has saved the model
            return load_encoder(config.model, model)
        optimizer = checkpoints.optimizer_state(module, trainer.optimizers[0])
    for stage in stages.of(config, run_dir):  # vectors of a model that is no more
        shutil.rmtree(stage.vectors, ignore_errors=True)
    record = pd.DataFrame(module.record)
    check_realised(record, plan)
    retention.save_models(config, prepared, module, history.best, run_dir)
    if config.keep.optimizer:
        retention.save_optimizer(run_dir / "optimizer.pt", optimizer, steps)
    if history.rows:
        history.write(run_dir / "dev.parquet")
    with atomic_write(run_dir / "steps.parquet") as temporary:
        record.to_parquet(temporary, index=False)
    trained.write(run_dir)  # after all other files: its presence ends the stage
    shutil.rmtree(folder, ignore_errors=True)
    if trainer is not None:
        trainer.strategy.barrier()
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
