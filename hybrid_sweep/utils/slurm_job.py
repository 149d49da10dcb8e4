"""Inside a job of a SLURM array: what the driver there does when the cluster wants the job back,
and how ranks start.

A job is one task with all that its point needs. The driver in it leases the point and starts the
worker as on any machine, so that Lightning starts the processes of a run itself, in the lease and
the process group of their worker. Tasks of srun take their place only where a run has several
nodes.
"""

import os
import signal
from typing import Any

# seconds that a worker has for its checkpoint; below signal_delay_s of
# conf/hydra/launcher/slurm.yaml
PATIENCE = 90.0

# seconds that pass at most between the first and the last process of a job that SLURM tells to stop
NEWS = 10.0

# What SLURM may send to all processes of a job before it ends it, besides SIGTERM.
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
TOLD = (signal.SIGTERM, *WARNINGS)  # what tells a run to stop


def in_job() -> bool:
    """Return whether this process is the driver in a job of an array, or was started by it."""
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def is_first_task() -> bool:
    """Return whether this is the task that drives: a job of several nodes has one on each."""
    return not in_job() or os.environ.get("SLURM_PROCID", "0") == "0"


def prefix(nodes: int, devices: int, processors: int) -> tuple[str, ...]:
    """Return what stands before the words of a worker: nothing, or in a job of several nodes the
    srun that starts all its ranks.

    Args:
        nodes: of the run.
        devices: ranks on each node.
        processors: of each rank.
    """
    if nodes == 1 or not in_job():
        return ()
    # --overlap: the driver's own task holds the processors of its node. --kill-on-bad-exit: no rank
    # waits for a dead one.
    return (
        "srun",
        "--overlap",
        "--kill-on-bad-exit=1",
        f"--nodes={nodes}",
        f"--ntasks-per-node={devices}",
        f"--cpus-per-task={processors}",
    )


def polite(words: Any) -> signal.Signals:
    """Return the signal that asks a process, known by its words, to stop: srun kills its ranks at
    SIGTERM, but passes on SIGUSR2.
    """
    if isinstance(words, list) and words[0] == "srun":
        return signal.SIGUSR2
    return signal.SIGTERM


def was_told(code: int) -> bool:
    """Return whether a worker left, in a job, because it was told to stop, by its exit code or by
    that of the srun around it.

    Its driver, which SLURM tells too, may not have heard of it yet; then nothing has failed.
    """
    return in_job() and code in {word for number in TOLD for word in (-number, 128 + number)}


def stay() -> None:
    """Wait in a job for its end, which is SLURM's to bring about; returns at once elsewhere.

    SLURM requeues a job that it ends itself; one that leaves by itself while it is pre-empted
    counts as failed (22.05).
    """
    while in_job():
        signal.pause()
