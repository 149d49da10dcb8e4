"""How far a run has come, for whoever watches: status.json."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from hybrid_sweep.store import write_json
from hybrid_sweep.training import Retriever


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
