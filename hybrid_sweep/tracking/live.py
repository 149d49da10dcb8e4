"""The Weights & Biases mirror of a run while it runs: offline by default, and never in the way.

The truth is in the run's own files; the mirror can be absent, disabled or broken, and the numbers
are the same: `wandb_push` makes it again from the files.
"""

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hybrid_sweep.config.schema import Config, to_dict
from hybrid_sweep.tracking import mirror
from hybrid_sweep.utils.redaction import line_of

log = logging.getLogger("hybrid_sweep")
LATER = "hybrid-sweep wandb push SWEEP_DIR makes it from the run's files"


class Mirror:
    """The open W&B run of a point; `broken` once it has failed."""

    def __init__(self, run: Any) -> None:
        self.run, self.broken = run, False


def start(config: Config, run_dir: Path, run_id: str) -> Mirror | None:
    """Return the mirror of a run, the one of an earlier attempt going on; None where W&B is
    disabled or not there.

    Where the server cannot be had, the run is recorded in its folder instead.
    """
    words = to_dict(config)
    mode = mirror.mode_of(words["logger"])
    if mode == "disabled":
        return None
    for kind in dict.fromkeys((mode, "offline")):
        try:
            return Mirror(mirror.begin(mirror.described(words, run_id), run_dir, kind, resume=True))
        except Exception as error:
            why = line_of(error)
            if mode == "online" == kind:
                log.warning(
                    "Weights & Biases cannot be reached (%s); recording this run offline, %s",
                    why,
                    LATER,
                )
            else:
                log.warning("Weights & Biases is not available (%s); going on without it", why)
                return None
    return None


def log_metrics(to: Any, metrics: Mapping[str, float], step: int) -> None:
    """Mirror metrics of the moment when so many steps were done; does nothing for None."""
    _tell(to, lambda run: run.log({**metrics, mirror.STEP: step}))


def summarise(to: Any, metrics: Mapping[str, Any], stage: str = "") -> None:
    """Write the metrics of a stage into the summary of the run; does nothing for None."""
    _tell(to, lambda run: run.summary.update(mirror.of_result(metrics, stage)))


def finish(to: Any) -> None:
    """Close the run as successful; does nothing for None."""
    _tell(to, lambda run: run.finish(exit_code=0))


def fail(to: Any) -> None:
    """Close a run that is still open as failed, or as pre-empted where it was told to stop; does
    nothing for None.
    """
    if not isinstance(sys.exc_info()[1], Exception | None):
        _tell(to, lambda run: run.mark_preempting())
    _tell(to, lambda run: run.finish(exit_code=1))


def _tell(to: Any, act: Callable[[Any], object]) -> None:
    """Do something with the W&B run; the first time that this fails is the last, and is told in one
    line.
    """
    if not isinstance(to, Mirror) or to.broken:
        return
    try:
        act(to.run)
    except Exception as error:
        to.broken = True
        log.warning(
            "Weights & Biases takes no more of this run (%s); going on without it, %s",
            line_of(error),
            LATER,
        )
