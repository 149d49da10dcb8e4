"""One point of a sweep: train, evaluate, record. Each stage is finished when its files are there, whole."""

import dataclasses
import os
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
import transformers

from hybrid_sweep import bm25, checkpoints, dev, encoding, retention, runs, stages, tracking, validation
from hybrid_sweep.checks import load
from hybrid_sweep.config import Bm25Model, Config, steps_of
from hybrid_sweep.encoder import Encoder, in_precision
from hybrid_sweep.encoding import Job
from hybrid_sweep.feed import HybridData
from hybrid_sweep.models import build_encoder, load_encoder, prepare_for_training
from hybrid_sweep.prepare import Prepared, fingerprints_of, plan_of, prepare
from hybrid_sweep.provenance import process_age, provenance
from hybrid_sweep.ranking import Dense, Ranker
from hybrid_sweep.realised import check_realised
from hybrid_sweep.stages import Stage
from hybrid_sweep.store import atomic_write, read_json, write_json
from hybrid_sweep.tokens import pad_id
from hybrid_sweep.training import Retriever, make_trainer


class Status(pl.Callback):
    """Keeps status.json fresh for whoever watches: about once a second, by the main process alone."""

    def __init__(self, path: Path, max_steps: int) -> None:
        self.path, self.max_steps = path, max_steps
        self.written = self.begun = time.monotonic()
        self.done = 0  # steps of this process; a resumed run has more behind it

    def write(self, state: str, step: int, loss: float | None = None, **more: Any) -> None:
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
                "error": None,
                **more,
            },
        )
        self.written = now

    def encoding(self, name: str, texts: int, done: int) -> None:
        """Note how many texts of a collection are encoded, of how many."""
        if time.monotonic() - self.written > 1:
            self.write("encoding", self.max_steps, collection=name, encoded=done, texts=texts)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begun = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.done += 1
        if trainer.is_global_zero and time.monotonic() - self.written > 1:
            assert isinstance(pl_module, Retriever)
            self.write("training", len(pl_module.record), pl_module.record[-1]["loss"])


def execute(run_dir: Path) -> None:
    """Do what is missing of the run in `run_dir`, where config.yaml and identity.json lie: training, then its stages.

    Called in every process of a distributed run; all but the first leave after encoding. A stage's metrics.json comes last.
    """
    config = load(run_dir / "config.yaml")
    identity = read_json(run_dir / "identity.json")
    torch.set_num_threads(config.trainer.threads)
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
            earlier = (read_json(run_dir / "provenance.json") or {}).get("times", {})
            times |= {name: earlier[name] for name in times if name in earlier}
        if encoder is not None and config.trainer.devices * config.trainer.nodes > 1:
            _encode_over_ranks(config, waiting, encoder, status)
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
        for stage, texts in waiting:
            metrics = label | _evaluated(stage, texts, encoder, status, label)
            if not stage.name:
                curve = dev.read(run_dir / "dev.parquet", config.eval.dev_metric)
                metrics |= {**_examples(config, run_dir), **dev.report(curve, steps)}
            marks = found if not stage.name else {"collection": texts.collection.fingerprint, "model": found["model"]}
            now = time.monotonic()
            times["evaluate_seconds"], begun = round(now - begun, 3), now
            write_json(stage.folder / "provenance.json", provenance(stage.config, texts, marks, times))
            tracking.summarise(mirror, metrics, stage.name)
            write_json(stage.folder / "metrics.json", metrics)
        tracking.finish(mirror)
        mirror = None
        if not config.keep.model:
            shutil.rmtree(run_dir / "model", ignore_errors=True)
        status.write("done", steps)
    finally:
        tracking.fail(mirror)


def ranker_of(
    config: Config, prepared: Prepared, split: validation.Split, encoder: Encoder | None, folder: Path, status: Status
) -> Ranker:
    """What orders the passages of a split for its queries: words (BM25), or an encoder's vectors, which lie in `folder`."""
    if isinstance(config.model, Bm25Model):
        status.write("indexing", 0)
        collection = prepared.collection
        queries, passages = (
            # Rows without tokens are in the order of the collection: all of them are the table as it lies on disk.
            table.select(["lang", "text"]) if len(rows) == len(table) else table.select(["lang", "text"]).take(rows)
            for table, rows in ((collection.queries, split.query_rows), (collection.passages, split.passage_rows))
        )
        return bm25.build(queries, passages, config.model, print, folder)
    assert encoder is not None
    jobs, pad = _jobs(config, prepared, split, folder), pad_id(prepared.model)
    encoding.encode_jobs(jobs, encoder, pad, partial(status.encoding, prepared.collection.name, _texts(jobs)))
    vectors = [encoding.opened(job) for job in jobs]
    return Dense(vectors[0], vectors[1], "cuda" if config.trainer.accelerator == "gpu" else None)


def _evaluated(
    stage: Stage, prepared: Prepared, encoder: Encoder | None, status: Status, label: dict[str, Any]
) -> dict[str, Any]:
    """Evaluate one stage into its folder, all but metrics.json; what that file has to say beside the label."""
    config, collection, folder = stage.config, prepared.collection, stage.folder
    split = validation.split_of(prepared, config.eval.split)
    ranker = ranker_of(config, prepared, split, encoder, folder / "encoding", status)
    status.write("evaluating", status.max_steps)
    table, counts = validation.score(config, prepared, split, ranker)
    if config.eval.run_depth:
        texts, tag = (split.queries, split.passages, collection.qrels), str(label["run_id"])
        runs.write_runs(folder / "runs", *texts, ranker, config.eval.run_depth, tag)
    if config.keep.vectors and isinstance(ranker, Dense):
        retention.save_vectors(folder / "vectors", split, ranker, collection)
    for place, (name, value) in enumerate({**label, "collection": collection.name}.items()):
        table.insert(place, name, value)
    if stage.name and (read_json(folder / "metrics.json") or {}).get("fingerprint") != collection.fingerprint:
        (folder / "metrics.json").unlink(missing_ok=True)  # it would speak of another table
    with atomic_write(folder / "per_query.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    shutil.rmtree(folder / "encoding", ignore_errors=True)
    metrics = {"collection": collection.name, **validation.summary(table, stage.trained), **counts}
    asked = {"measures": config.eval.measures, "run_depth": config.eval.run_depth}
    if stage.name:
        languages = sorted(set(config.data.languages))
        return {"stage": stage.name, "fingerprint": collection.fingerprint, "languages": languages, **metrics, **asked}
    return metrics | {name: value for name, value in asked.items() if value}


def _encode_over_ranks(config: Config, waiting: list[tuple[Stage, Prepared]], encoder: Encoder, status: Status) -> None:
    """Encode the texts of all stages in all processes of the run, so that the first alone can go on.

    Not in Lightning's precision, but in the encoder's own, as one process does it.
    """
    jobs = [
        job
        for stage, texts in waiting
        for job in _jobs(stage.config, texts, validation.split_of(texts, config.eval.split), stage.folder / "encoding")
    ]
    alone = dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, precision="32-true"))
    told = partial(status.encoding, ", ".join(texts.collection.name for _, texts in waiting), _texts(jobs))
    trainer = make_trainer(alone, [], None)
    pad = pad_id(waiting[0][1].model)
    encoding.encode_over_ranks(trainer, jobs, encoder, pad, told if is_main(config, os.environ) else _untold)


def _jobs(config: Config, prepared: Prepared, split: validation.Split, folder: Path) -> list[Job]:
    """The two sides of a split to encode."""
    content = [prepared.collection.fingerprint, prepared.collection.languages, config.eval.split]
    return [
        encoding.job(folder / name, tokens, rows, config.eval.batch_tokens, content)
        for name, tokens, rows in (
            ("queries", prepared.queries, split.query_rows),
            ("passages", prepared.passages, split.passage_rows),
        )
    ]


def _texts(jobs: list[Job]) -> int:
    return sum(len(job.rows) for job in jobs)


def _untold(_: int) -> None:
    pass


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
    trainer: pl.Trainer | None = None
    if resume and start == len(plan):  # stopped between the last step and the saved model
        if not is_main(config, os.environ):
            while not (run_dir / "steps.parquet").is_file():  # the first process writes it after the model
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
        trainer.fit(module, datamodule=HybridData(prepared, plan, config, start, code))
        if not trainer.is_global_zero:
            trainer.strategy.barrier()  # until the first process has saved the model
            return load_encoder(config.model, model)
        optimizer = checkpoints.optimizer_state(module, trainer.optimizers[0])
    for stage in stages.of(config, run_dir):  # vectors of a model that is no more
        shutil.rmtree(stage.folder / "encoding", ignore_errors=True)
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
