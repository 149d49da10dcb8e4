"""The W&B mirror of a run as Lightning carries it to whoever has something to log."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers.logger import Logger

from hybrid_sweep.tracking.live import Mirror, log_metrics


class MirrorLogger(Logger):
    """The logger of a trainer whose metrics go to the mirror."""

    def __init__(self, mirror: Mirror) -> None:
        super().__init__()
        self.mirror = mirror

    @property
    def name(self) -> str:
        return "wandb"

    @property
    def version(self) -> str:
        return str(self.mirror.run.id)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        log_metrics(self.mirror, metrics, step or 0)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass  # the config of the W&B run has them


def mirror_of(trainer: pl.Trainer) -> Mirror | None:
    """Return the mirror that a trainer carries; None where it has none."""
    if isinstance(trainer.logger, MirrorLogger):
        return trainer.logger.mirror
    return None
