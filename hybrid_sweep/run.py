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

from hybrid_sweep import checkpoints, retrieval, tracking
from hybrid_sweep.config import Config, cache_dir, load
from hybrid_sweep.encoder import Encoder, build_encoder, encode, load_encoder, save_encoder
from hybrid_sweep.prepare import Prepared, model_fingerprint, plan_of, prepare
from hybrid_sweep.provenance import provenance
from hybrid_sweep.store import atomic_write, read_json, write_json
from hybrid_sweep.tokens import pad_id
from hybrid_sweep.training import HybridData, Retriever, check_realised, make_trainer


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
    main = int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0
    status = Status(run_dir / "status.json", config.trainer.max_steps)
    if main:
        status.write("starting", 0)
    prepared = prepare(config)
    found = {
        "collection": prepared.collection.fingerprint,
        "model": model_fingerprint(prepared.model, cache_dir(config)),
    }
    if found != identity["fingerprints"]:
        raise RuntimeError(
            f"the data or the model changed since the run was planned: {identity['fingerprints']} then, {found} now"
        )
    mirror = tracking.start(config, run_dir, identity["run_id"]) if main else None
    try:
        encoder = _train(config, run_dir, prepared, status, mirror)
        if encoder is None:
            return
        trained = time.monotonic()
        status.write("evaluating", config.trainer.max_steps)
        # Lightning takes the model off the GPU when it is done with it.
        encoder.to("cuda" if config.trainer.accelerator == "gpu" else "cpu")
        table, counts = evaluate(config, prepared, encoder)
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
        metrics = {"run_id": identity["run_id"], **label, **summary(table), **counts, **_examples(run_dir)}
        write_json(
            run_dir / "provenance.json",
            provenance(
                config,
                prepared,
                found,
                {
                    "train_seconds": round(trained - started, 3),
                    "evaluate_seconds": round(time.monotonic() - trained, 3),
                },
            ),
        )
        tracking.finish(mirror, metrics)
        mirror = None
        if not config.keep.model:
            shutil.rmtree(run_dir / "model", ignore_errors=True)
        status.write("done", config.trainer.max_steps)
        write_json(run_dir / "metrics.json", metrics)
    finally:
        tracking.fail(mirror)


def _train(config: Config, run_dir: Path, prepared: Prepared, status: Status, mirror: Any) -> Encoder | None:
    """The trained encoder, from disk where that stage is finished; None in processes that are not the first."""
    model = run_dir / "model"
    if config.trainer.max_steps == 0:
        return build_encoder(config.model, prepared.model, config.seed)
    if (run_dir / "steps.parquet").is_file() and (model / "modules.json").is_file():
        return load_encoder(config.model, model)
    plan = plan_of(config, prepared.pairs)
    module = Retriever(build_encoder(config.model, prepared.model, config.seed), config, prepared.pairs)
    resume = checkpoints.newest(run_dir / "checkpoints", run_dir.name)
    start = resume[0] if resume else 0
    if resume:
        module.encoder.load_state_dict(resume[1]["weights"])
    if resume and start == len(plan):  # stopped between the last step and the saved model
        module.record[:] = resume[1]["record"]
    else:
        keeper = checkpoints.Checkpointing(
            run_dir / "checkpoints", run_dir.name, config.keep.checkpoint_seconds, resume
        )
        trainer = make_trainer(config, [status, keeper], mirror, start)
        trainer.fit(module, datamodule=HybridData(prepared, plan, start))
        if not trainer.is_global_zero:
            return None
    record = pd.DataFrame(module.record)
    check_realised(record, plan)
    encoder = module.encoder.float()
    save_encoder(encoder, config.model, prepared.model, model)
    with atomic_write(run_dir / "steps.parquet") as temporary:  # after the model: its presence ends the stage
        record.to_parquet(temporary, index=False)
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    return encoder


def evaluate(config: Config, prepared: Prepared, encoder: Encoder) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The per-query table of an encoder, each text of the split encoded once, and counts of what was left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pad = pad_id(prepared.model)
    tables, vectors = [], []
    for table, tokens, splits in (
        (prepared.collection.queries, prepared.queries, [config.eval.split]),
        (prepared.collection.passages, prepared.passages, [config.eval.split, "*"]),
    ):
        rows = pc.is_in(table["split"], value_set=pa.array(splits, pa.string()))
        rows = rows.to_numpy(zero_copy_only=False).nonzero()[0]
        tables.append(table.take(rows))
        vectors.append(encode(encoder, tokens, rows, pad=pad, batch_tokens=config.eval.batch_tokens))
    return retrieval.evaluate(tables[0], tables[1], prepared.collection.qrels, vectors[0], vectors[1])


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Macro means over languages or pairs, per setting, for the eye and W&B; the report works from the table."""
    found: dict[str, float] = {}
    for setting, part in table.groupby("setting"):
        cells = part.groupby(["query_lang", "passage_lang"])[["RR@10", "AP", "nDCG@10", "R@100", "same@10"]].mean()
        for measure, value in cells.mean().dropna().items():
            found[f"{setting}/{measure}"] = float(value)
        if setting == "monolingual":
            found.update(
                {
                    f"monolingual/{language}/RR@10": float(cells.loc[(language, language), "RR@10"])
                    for language, _ in cells.index
                }
            )
    return found


def _examples(run_dir: Path) -> dict[str, int]:
    """How many pairs of each kind entered the loss: fewer monolingual updates alone can degrade a model."""
    if not (run_dir / "steps.parquet").is_file():
        return {"examples_monolingual": 0, "examples_cross_lingual": 0}
    steps = pd.read_parquet(run_dir / "steps.parquet", columns=["n_examples", "n_cross"])
    cross = int(steps["n_cross"].sum())
    return {"examples_monolingual": int(steps["n_examples"].sum()) - cross, "examples_cross_lingual": cross}
