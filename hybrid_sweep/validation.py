"""Evaluation of an encoder on a split, at the end of a run and, on the split dev, while it trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytorch_lightning as pl
from torch import nn

from hybrid_sweep import checkpoints, dev, retrieval, tracking
from hybrid_sweep.config import Config
from hybrid_sweep.encoder import Encoder, encode
from hybrid_sweep.prepare import Prepared
from hybrid_sweep.scores import Vectors
from hybrid_sweep.tokens import pad_id

TEXTS = ["id", "group", "lang"]  # all that scoring needs to know of a text


@dataclass(frozen=True)
class Encoded:
    """The texts of a split with their vectors, row by row: queries and passages hold id, group and lang."""

    queries: pa.Table
    passages: pa.Table
    query_vectors: Vectors
    passage_vectors: Vectors


def encode_split(config: Config, prepared: Prepared, encoder: Encoder, split: str) -> Encoded:
    """Encode each query and passage of a split of the main collection once; passages of split "*" belong to all splits."""
    pad = pad_id(prepared.model)
    tables, vectors = [], []
    for table, tokens, splits in (
        (prepared.collection.queries, prepared.queries, [split]),
        (prepared.collection.passages, prepared.passages, [split, "*"]),
    ):
        rows = pc.is_in(table["split"], value_set=pa.array(splits, pa.string()))
        rows = rows.to_numpy(zero_copy_only=False).nonzero()[0]
        tables.append(table.select(TEXTS).take(rows))
        vectors.append(encode(encoder, tokens, rows, pad=pad, batch_tokens=config.eval.batch_tokens))
    return Encoded(*tables, *vectors)


def score(prepared: Prepared, encoded: Encoded) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The per-query table of encoded texts, and counts of what was left out: see `retrieval.evaluate`."""
    return retrieval.evaluate(
        encoded.queries,
        encoded.passages,
        prepared.collection.qrels,
        encoded.query_vectors,
        encoded.passage_vectors,
    )


def evaluate(
    config: Config, prepared: Prepared, encoder: Encoder, split: str | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The per-query table of an encoder on a split (default: eval.split), and counts of what was left out."""
    return score(prepared, encode_split(config, prepared, encoder, split or config.eval.split))


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Macro means over languages or pairs, per setting, for the eye and W&B; the report works from the table."""
    found: dict[str, float] = {}
    for setting, part in table.groupby("setting"):
        cells = part.groupby(["query_lang", "passage_lang"])[[*dev.MEASURES, "same@10"]].mean()
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


class Validation(pl.Callback):
    """Evaluates the split dev every eval.dev_every steps and after the last, and keeps the weights of the best step.

    The main process does it alone; the others wait at their next collective. Nothing of the training feels it: no random
    number is drawn that a step would use, and every module is in its own mode again. It comes before `Checkpointing` in the
    list of callbacks, so that the checkpoint of a step knows that step's evaluation.
    """

    def __init__(self, config: Config, prepared: Prepared, history: dev.History, run_dir: Path, steps: int) -> None:
        self.config, self.prepared, self.history, self.run_dir, self.steps = config, prepared, history, run_dir, steps

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        module: Any = pl_module
        step, every = len(module.record), self.config.eval.dev_every
        if not every or not trainer.is_global_zero or (step % every and step != self.steps):
            return
        with modes_kept(module):
            metrics = summary(evaluate(self.config, self.prepared, module.whole_encoder(), dev.SPLIT)[0])
        if self.history.add(step, metrics):
            checkpoints.save_best(self.run_dir / "checkpoints", step, module.encoder.state_dict())
        self.history.write(self.run_dir / "dev.parquet")
        tracking.log_metrics(trainer.logger, {f"dev/{name}": value for name, value in metrics.items()}, step)


@contextmanager
def modes_kept(module: nn.Module) -> Iterator[None]:
    """Give every part of a module its own training or evaluation mode back, whatever was set meanwhile."""
    before = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in before:
            part.training = training
