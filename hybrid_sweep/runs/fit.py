"""The encoder of a run: built, read from disk, or trained, from its newest checkpoint on."""

import logging
import os
import shutil
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
import transformers

from hybrid_sweep.batching.audit import check_realised
from hybrid_sweep.batching.schedule import Plan
from hybrid_sweep.config.schema import Config, cache_dir, encoding_precision, steps_of
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.inputs.prepare import Prepared
from hybrid_sweep.models import half_precision
from hybrid_sweep.models.encoder import Encoder, in_precision
from hybrid_sweep.models.loading import build_encoder, load_encoder, prepare_for_training
from hybrid_sweep.runs import retention, stages, trained
from hybrid_sweep.runs.ranks import is_main
from hybrid_sweep.runs.stages import Stage
from hybrid_sweep.runs.status import Status
from hybrid_sweep.runs.vectors import encode_over_ranks
from hybrid_sweep.tracking import lightning_logger, live
from hybrid_sweep.training import checkpoints, dev_evaluation, dev_history
from hybrid_sweep.training.batches import HybridData
from hybrid_sweep.training.lightning_module import Retriever, make_trainer, settle
from hybrid_sweep.training.parts import Parts
from hybrid_sweep.utils.files import atomic_write


class StatusCallback(pl.Callback):
    """Tells the status of a run how far its training has come."""

    def __init__(self, status: Status) -> None:
        self.status = status

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.status.begun = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        self.status.done += 1
        if trainer.is_global_zero and self.status.is_due():
            assert isinstance(pl_module, Retriever)
            self.status.write("training", len(pl_module.record), pl_module.record[-1]["loss"])


def settle_process(config: Config) -> None:
    """Set the threads of torch and make its sums come out alike, before anything is computed; see
    `lightning_module.settle`.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its import sets INFO
    # Lightning asks in a way that newer versions of PyTorch remark on, in the log of every run.
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
    half_precision.check(config)
    torch.set_num_threads(config.trainer.threads)
    settle(config.trainer)
    # The bar of saving one file; the run has a progress of its own.
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def encoder_of(
    config: Config,
    run_dir: Path,
    prepared: Prepared,
    status: Status,
    mirror: live.Mirror | None,
    parts: Parts,
) -> Encoder:
    """Return the encoder of a run: untrained, from disk where its training is finished, or trained
    now; in its precision.

    Called in every process of a distributed run.
    """
    encoder = _encoder(config, run_dir, prepared, status, mirror, parts)
    return in_precision(encoder, encoding_precision(config))


def encode_waiting(
    config: Config, waiting: list[tuple[Stage, Prepared]], encoder: Encoder, status: Status
) -> None:
    """Have the processes of a distributed run encode what its stages need, and put the encoder
    where it goes on.
    """
    main = is_main(config, os.environ)
    if config.trainer.devices * config.trainer.nodes > 1:
        encode_over_ranks(config, waiting, encoder, status, main)
    if main:
        # Lightning takes the model off the GPU when it is done with it.
        encoder.to("cuda" if config.trainer.accelerator == "gpu" else "cpu")


def _encoder(
    config: Config,
    run_dir: Path,
    prepared: Prepared,
    status: Status,
    mirror: live.Mirror | None,
    parts: Parts,
) -> Encoder:
    if steps_of(config) == 0:
        return build_encoder(config.model, prepared.model, config.seed)
    reason = stages.untrained(run_dir, cache_dir(config))
    if reason is None:
        if is_main(config, os.environ):
            trained.adopt(run_dir)
    else:
        if (run_dir / trained.RECORD).exists():
            print(f"{reason}: it is trained again")
        _train(config, run_dir, prepared, status, mirror, parts)
    # Always from disk: what is evaluated is what is kept, to the last bit, whether this process
    # trained it or another.
    return load_encoder(config.model, run_dir / "model")


def _train(
    config: Config,
    run_dir: Path,
    prepared: Prepared,
    status: Status,
    mirror: live.Mirror | None,
    parts: Parts,
) -> None:
    """Run the training of an encoder from its newest checkpoint on, and save it; in every process.

    Where the process stopped between the last step and the saved model, only the saving is left.
    """
    plan = plan_of(config, prepared.all_pairs)
    encoder = build_encoder(config.model, prepared.model, config.seed)
    module = Retriever(encoder, config, prepared, parts.loss)
    prepare_for_training(module.encoder, config.trainer)
    history = dev_history.History(config.eval.dev_metric)
    resume = checkpoints.newest(run_dir / "checkpoints", run_dir.name)
    start = 0
    if resume:
        start = resume[0]
    if resume:
        # as the trainer will: float32 would round what was saved
        if config.trainer.precision == "64-true":
            module.double()
        module.encoder.load_state_dict(resume[1]["weights"])
    if resume and start == len(plan):
        if is_main(config, os.environ):
            module.record[:], history.rows[:] = resume[1]["record"], resume[1]["evaluations"]
            _save(config, run_dir, prepared, plan, Fitted(module, history, resume[1]["optimizer"]))
            return
        # the first process writes the record after the model
        while not stages.is_trained(run_dir):
            time.sleep(0.1)
        return
    callbacks: list[pl.Callback] = [
        # First: a checkpoint holds what they did to the weights after a step.
        *(make() for make in parts.callbacks),
        StatusCallback(status),
        dev_evaluation.Validation(config, prepared, history, run_dir, steps_of(config)),
        checkpoints.Checkpointing(
            run_dir / "checkpoints", run_dir.name, config.keep.checkpoint_seconds, resume, history
        ),
    ]
    loggers = lightning_logger.loggers(config, run_dir, mirror)
    trainer = make_trainer(config, callbacks, loggers, start)
    code = None
    if module.vocabulary:
        code = module.vocabulary.code
    with checkpoints.leaving():
        trainer.fit(module, datamodule=HybridData(prepared, plan, config, start, code))
    if trainer.is_global_zero:
        optimizer = checkpoints.optimizer_state(module, trainer.optimizers[0])
        _save(config, run_dir, prepared, plan, Fitted(module, history, optimizer))
    trainer.strategy.barrier()  # until the first process has saved the model


@dataclass(frozen=True)
class Fitted:
    """What training leaves in memory. optimizer: its state."""

    module: Retriever
    history: dev_history.History
    optimizer: dict[str, Any]


def _save(config: Config, run_dir: Path, prepared: Prepared, plan: Plan, fitted: Fitted) -> None:
    """Write the files of a trained run, and remove its checkpoints."""
    for stage in stages.of(config, run_dir):  # vectors of a model that is no more
        shutil.rmtree(stage.vectors, ignore_errors=True)
    record = pd.DataFrame(fitted.module.record)
    check_realised(record, plan)
    retention.save_models(config, prepared, fitted.module, fitted.history.best, run_dir)
    if config.keep.optimizer:
        optimizer = fitted.optimizer
        steps = steps_of(config)
        retention.save_optimizer(run_dir / "optimizer.pt", optimizer, steps)
    if fitted.history.rows:
        fitted.history.write(run_dir / "dev.parquet")
    with atomic_write(run_dir / "steps.parquet") as temporary:
        record.to_parquet(temporary, index=False)
    trained.write(run_dir)  # after all other files: its presence ends the stage
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
