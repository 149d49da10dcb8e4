"""Evaluation of an encoder on a split, at the end of a run and, on the split dev, while it
trains.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
from torch import nn

from hybrid_sweep.config.schema import Config, encoding_precision
from hybrid_sweep.inputs.prepare import Prepared
from hybrid_sweep.inputs.splits import score, split_of
from hybrid_sweep.models.encoder import Encoder, encode, in_precision
from hybrid_sweep.models.tokens import pad_id
from hybrid_sweep.retrieval import means
from hybrid_sweep.retrieval.ranking import Dense
from hybrid_sweep.tracking import lightning_logger, mirror
from hybrid_sweep.training import checkpoints, dev_history


def evaluate(
    config: Config, prepared: Prepared, encoder: Encoder, split: str | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the per-query table of an encoder on a split (default: eval.split), all vectors in
    memory, and counts.
    """
    texts = split_of(prepared, split or config.eval.split)
    words = {"pad": pad_id(prepared.model), "batch_tokens": config.eval.batch_tokens}
    vectors = [
        encode(encoder, tokens, rows, **words)
        for tokens, rows in (
            (prepared.queries, texts.query_rows),
            (prepared.passages, texts.passage_rows),
        )
    ]
    return score(config, prepared, texts, Dense(vectors[0], vectors[1]))


class Validation(pl.Callback):
    """Evaluates the split dev every eval.dev_every steps and after the last, and keeps the weights
    of the best step.

    The main process does it alone; the others wait at their next collective. Nothing of the
    training feels it: no random number is drawn that a step would use, and every module is in its
    own mode again. It comes before `Checkpointing` in the list of callbacks, so that the checkpoint
    of a step knows that step's evaluation.
    """

    def __init__(
        self,
        config: Config,
        prepared: Prepared,
        history: dev_history.History,
        run_dir: Path,
        steps: int,
    ) -> None:
        self.config, self.prepared, self.history, self.run_dir, self.steps = (
            config,
            prepared,
            history,
            run_dir,
            steps,
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        module: Any = pl_module
        step = len(module.record)
        every = self.config.eval.dev_every
        if not every or not trainer.is_global_zero or (step % every and step != self.steps):
            return
        with modes_kept(module):
            metrics = means.macro(
                evaluate(
                    self.config,
                    self.prepared,
                    in_precision(module.whole_encoder(), encoding_precision(self.config)),
                    dev_history.SPLIT,
                )[0]
            )
        if self.history.add(step, metrics):
            checkpoints.save_best(self.run_dir / "checkpoints", step, module.encoder.state_dict())
        self.history.write(self.run_dir / "dev.parquet")
        lightning_logger.tell(trainer, mirror.of_dev(metrics), step)


@contextmanager
def modes_kept(module: nn.Module) -> Iterator[None]:
    """Give every part of a module its own training or evaluation mode back, whatever was set
    meanwhile.
    """
    before = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in before:
            part.training = training
