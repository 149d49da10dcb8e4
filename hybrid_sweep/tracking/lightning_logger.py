"""What a trainer tells of a run while it trains: the W&B mirror, and the loggers of Lightning that
the config names besides (logger.also).

None of them is the record of a run, which its own files are: what fails is told once, and training
goes on.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import Logger

from hybrid_sweep.config.schema import Config, to_dict
from hybrid_sweep.tracking import mirror
from hybrid_sweep.tracking.live import Mirror, log_metrics
from hybrid_sweep.utils.redaction import line_of

log = logging.getLogger("hybrid_sweep")


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


class GuardedLogger(Logger):
    """A logger of Lightning's, made at its first use, that is left alone once it has failed."""

    def __init__(self, kind: str, make: Callable[[], Logger], settings: dict[str, Any]) -> None:
        super().__init__()
        self.kind, self.make, self.settings = kind, make, settings
        self.inner: Logger | None = None
        self.broken = False

    @property
    def name(self) -> str:
        return self.kind

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._tell(lambda logger: logger.log_metrics(dict(metrics), step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass  # told when it is made

    @rank_zero_only
    def save(self) -> None:
        self._tell(lambda logger: logger.save())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self._tell(lambda logger: logger.finalize(status))

    def _tell(self, act: Callable[[Logger], object]) -> None:
        if self.broken:
            return
        try:
            if self.inner is None:
                self.inner = self.make()
                self.inner.log_hyperparams(self.settings)
            act(self.inner)
        except Exception as error:
            self.broken = True
            log.warning(
                "the logger %s takes no more of this run (%s); going on without it",
                self.kind,
                line_of(error),
            )


def loggers(config: Config, run_dir: Path, to: Mirror | None) -> list[Logger]:
    """Return the loggers of a training: the mirror first, where there is one, then those of
    logger.also, which write below the folder of the run.
    """
    made: list[Logger] = []
    if to is not None:
        made.append(MirrorLogger(to))
    settings = mirror.clean(to_dict(config))
    for kind in config.logger.also:
        made.append(GuardedLogger(kind, _maker(kind, config, run_dir), settings))
    return made


def _maker(kind: str, config: Config, run_dir: Path) -> Callable[[], Logger]:
    """Return what makes a logger; each attempt of a run that goes on has files of its own."""

    def make() -> Logger:
        from pytorch_lightning import loggers as theirs

        if kind == "csv":
            return theirs.CSVLogger(run_dir / "loggers", name="csv")
        if kind == "tensorboard":
            return theirs.TensorBoardLogger(run_dir / "loggers", name="tensorboard")
        return theirs.MLFlowLogger(
            experiment_name=config.logger.project,
            run_name=run_dir.name,
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI")
            or f"sqlite:///{run_dir.absolute() / 'loggers' / 'mlflow.db'}",
        )

    return make


def tell(trainer: pl.Trainer, metrics: Mapping[str, float], step: int) -> None:
    """Give metrics of the moment when so many steps were done to all loggers of a trainer."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(metrics), step)
