"""The Weights & Biases mirror of a run: offline by default, imported late, and never in the way.

The truth is in the run's own files; the mirror can be absent, disabled or broken, and the numbers are the same.
"""

import logging
import os
from pathlib import Path
from typing import Any

from hybrid_sweep.config import Config, to_dict

log = logging.getLogger("hybrid_sweep")


def start(config: Config, run_dir: Path, run_id: str) -> Any:
    """Lightning's W&B logger for a run (id = run_id, group = the sweep), or None where W&B is disabled or not there.

    WANDB_MODE in the environment wins over the config.
    """
    mode = os.environ.get("WANDB_MODE") or config.logger.mode
    if mode in ("disabled", "dryrun"):
        return None
    try:
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        ratio, kind = config.batch.cross_lingual_ratio, "untrained" if config.trainer.max_steps == 0 else "train"
        logger = WandbLogger(
            name=f"r{ratio:g}-s{config.seed}" if kind == "train" else f"untrained-s{config.seed}",
            id=run_id,
            resume="allow",
            save_dir=str(run_dir),
            project=config.logger.project,
            entity=config.logger.entity,
            group=config.sweep.name,
            job_type=kind,
            offline=mode == "offline",
            settings=wandb.Settings(console="off", silent=True),
            config={"ratio": ratio, "seed": config.seed, "run_id": run_id, **to_dict(config)},
        )
        logger.experiment  # noqa: B018  starts the run now, so that what cannot work is known before training
        return logger
    except Exception as error:
        log.warning("Weights & Biases is not available (%s: %s); going on without it", type(error).__name__, error)
        return None


def log_metrics(logger: Any, metrics: dict[str, float], step: int) -> None:
    """Mirror metrics of a step of the run; does nothing for None."""
    if logger is None:
        return
    try:
        logger.log_metrics(metrics, step=step)
    except Exception as error:
        log.warning("Weights & Biases could not take metrics (%s: %s)", type(error).__name__, error)


def finish(logger: Any, metrics: dict[str, Any]) -> None:
    """Write the summary metrics and close the run as successful."""
    _close(logger, 0, metrics)


def fail(logger: Any) -> None:
    """Close a run that is still open as failed; does nothing for None."""
    _close(logger, 1, {})


def _close(logger: Any, code: int, metrics: dict[str, Any]) -> None:
    if logger is None:
        return
    try:
        logger.experiment.summary.update(metrics)
        logger.experiment.finish(exit_code=code)
    except Exception as error:
        log.warning("Weights & Biases could not close the run (%s: %s)", type(error).__name__, error)
