"""The process of a point: how it is leased, started, explained when it fails, and ended with all
its children.
"""

import errno
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from hybrid_sweep.config import validate
from hybrid_sweep.config.schema import Config, TrainerConfig, steps_of, to_dict
from hybrid_sweep.sweeps.forks import Lost, Servers, Unforked
from hybrid_sweep.sweeps.point_list import Point, is_done
from hybrid_sweep.sweeps.slots import Machine, Slot, take
from hybrid_sweep.sweeps.worker import DISK_FULL
from hybrid_sweep.tracking import mirror
from hybrid_sweep.utils import records, safe_paths, slurm_job
from hybrid_sweep.utils.escaping import one_line
from hybrid_sweep.utils.files import atomic_write, full, write_json
from hybrid_sweep.utils.locks import try_lease
from hybrid_sweep.utils.redaction import redacted

MISTAKE = 2  # exit code of a worker that found the user's mistake: to try again changes nothing
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
GRACE = 5.0  # seconds between the polite and the final signal

# What a surrounding job (torchrun, srun, Lightning) says of itself must not make a worker think it
# is one of its ranks.
WORLD = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "ROLE_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_WORLD_SIZE",
    "ROLE_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_NTASKS",
    "SLURM_NPROCS",
    "PMI_RANK",
    "PMI_SIZE",
    "PL_GLOBAL_SEED",
    "PL_SEED_WORKERS",
    "HYDRA_FULL_ERROR",
)
# So, too, what git says in a hook (which repository and index are meant), and what an agent of W&B
# says of its own run: a point asks about its own code, and is mirrored under its own id.
WORLD_PREFIXES = ("TORCHELASTIC_", "OMPI_COMM_WORLD_", "GIT_")
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


def environment(
    trainer: TrainerConfig, gpus: Sequence[str] | None, around: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a worker: the driver's, but of no surrounding world, with fixed
    threads and its own GPUs; docs/cluster.md lists what is dropped.
    """
    variables = {
        key: value
        for key, value in around.items()
        if key not in (*WORLD, *mirror.AGENT) and not key.startswith(WORLD_PREFIXES)
    }
    variables |= dict.fromkeys(THREADS, str(trainer.threads))
    if "PYTHONPATH" in variables:  # an empty part, as in PYTHONPATH=$UNSET:DIR, is that folder too
        parts = variables["PYTHONPATH"].split(os.pathsep)
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, parts))
    # A wandb.py in the folder that the user stands in is not the library.
    variables |= {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONSAFEPATH": "1"}
    if gpus is None:
        return variables
    return variables | {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}


class Process(Protocol):
    """A worker that runs: `subprocess.Popen`, or `forks.Forked`, which is the same for those that
    are forked.
    """

    pid: int
    args: Any
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...


def start(
    point: Point, machine: Machine, worker: Sequence[str], servers: Servers | None = None
) -> Process | str:
    """Lease the point and a slot for it, and start its worker.

    "held" where another driver has the point or has just finished it, "busy" where GPUs or cores
    are not free.

    Args:
        point: what is run.
        machine: where.
        worker: the words of a worker that is started by itself.
        servers: what to fork it from instead, where that can be done.
    """
    safe_paths.check_links(point.run_dir)
    if (lease := try_lease(point.run_dir / "lock")) is None:
        return "held"
    try:
        if is_done(point):
            return "held"
        if (slot := take(point.config, machine)) is None:
            return "busy"
        try:
            return _spawn(point, lease, slot, worker, servers)
        except Lost:
            return "busy"  # the next try finds the lease held by the worker, or free
        finally:
            slot.close()
    finally:
        # the worker's copies hold the leases from here on, even when this driver is killed
        os.close(lease)


def _spawn(
    point: Point, lease: int, slot: Slot, worker: Sequence[str], servers: Servers | None
) -> Process:
    """Write what the worker reads, and start it in a process group of its own with its output in
    log.txt.
    """
    folder = point.run_dir
    config = point.config
    _tidy(folder)
    write_config(folder, config)
    write_json(
        folder / "identity.json", {"run_id": point.run_id, "fingerprints": point.fingerprints}
    )
    write_json(
        folder / "status.json",
        {
            "state": "starting",
            "step": 0,
            "max_steps": steps_of(config),
            "loss": None,
            "steps_per_second": None,
            "error": None,
        },
    )
    with open(folder / "log.txt", "ab") as log:
        log.write(f"--- {datetime.now(UTC).isoformat(timespec='seconds')} {point.label}\n".encode())
        log.flush()
        words = [str(folder), *validate.permissions(config)]
        around = environment(config.trainer, slot.gpus, os.environ)
        if servers is not None and is_forkable(config):
            try:
                return servers.fork(words, around, [log.fileno(), lease, *slot.leases])
            except Unforked as error:
                log.write(f"not forked: {error}\n".encode())
                log.flush()
        return subprocess.Popen(
            [*_srun(config.trainer), *worker, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lease, *slot.leases),
            start_new_session=True,
            env=around,
        )


def _srun(trainer: TrainerConfig) -> tuple[str, ...]:
    """Return the srun before the words of a worker, where a run has several nodes."""
    return slurm_job.prefix(trainer.nodes, trainer.devices, trainer.threads + trainer.workers)


def is_forkable(config: Config) -> bool:
    """Return whether the worker of a point may be forked: not where srun starts it."""
    return not _srun(config.trainer)


def write_config(folder: Path, config: Config) -> None:
    """Write config.yaml of a run: plain values, so that whatever a text holds is read as that
    text.
    """
    import yaml

    values = to_dict(config)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    # a few characters, such as U+0085, only come back where they are escaped
    if yaml.safe_load(text) != values:
        text = yaml.safe_dump(values, sort_keys=False)
    with atomic_write(folder / "config.yaml") as temporary:
        temporary.write_text(text, encoding="utf-8")


def _tidy(folder: Path) -> None:
    """Remove what writers that were killed left half-written; nobody writes here now, since the
    point is leased.
    """
    for pattern in (".tmp-*", ".old-*"):
        for path in folder.rglob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def note_failure(point: Point, code: int) -> str:
    """Return why a worker failed; status.json says so afterwards, unless another driver has the
    point already.
    """
    path = point.run_dir / "status.json"
    status = records.status(point.run_dir)
    if status.get("state") != "failed":
        status |= {"state": "failed", "error": redacted(reason_of(code) + _last_words(point, code))}
        if (lease := try_lease(point.run_dir / "lock")) is not None:
            try:
                write_json(path, status)
            except OSError:
                pass  # a full disk may be why it failed; the reason is shown all the same
            finally:
                os.close(lease)
    return str(status.get("error"))


def _last_words(point: Point, code: int) -> str:
    """Return what its log and its disk add to the reason of a worker that could not leave one
    itself.
    """
    if code == DISK_FULL or full(point.run_dir):
        return f"; the disk of {point.run_dir} is full"  # and the log most likely cut
    if code > 0:
        words = tail(point.run_dir / "log.txt", 1)
    else:
        words = []
    if words and not words[0].startswith("--- "):
        return f": {words[0]}"
    return ""


def tail(log: Path, lines: int = 5) -> list[str]:
    """Return the last lines of a log that say something, without colours and without characters
    that act on a terminal.
    """
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            words = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [one_line(COLOUR.sub("", line)).rstrip()[:200] for line in words if line.strip()][
        -lines:
    ]


def stop(processes: Sequence[Process], caught: Sequence[int] = ()) -> None:
    """End the process groups of workers: politely, and after GRACE seconds, or at the next signal
    caught, for good.

    In a job of a cluster, which repeats its signals, they have cluster.PATIENCE for their
    checkpoint instead.
    """
    in_job = slurm_job.in_job()
    for process in processes:
        signal_group(process, slurm_job.polite(process.args))
    before = len(caught)
    deadline = time.monotonic() + (slurm_job.PATIENCE if in_job else GRACE)
    while any(process.poll() is None for process in processes):
        if time.monotonic() > deadline or (len(caught) > before and not in_job):
            break
        time.sleep(0.05)
    for process in processes:
        signal_group(process, signal.SIGKILL)
        process.wait()


def signal_group(process: Process, number: signal.Signals) -> None:
    try:
        # each worker leads a group of its own, named by its process id
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


@contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM for the loop to look at: none may fall between a worker's start
    and its record.

    So too a cluster's warnings, where the program around has a handler for them: it is told when
    the workers have stopped.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    numbers += [number for number in slurm_job.WARNINGS if callable(signal.getsignal(number))]
    before = {
        number: signal.signal(number, lambda got, _: caught.append(got)) for number in numbers
    }
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        for warning in set(caught) & set(slurm_job.WARNINGS):
            signal.raise_signal(warning)


def reason_of(code: int) -> str:
    """Return why a worker with this return code counts as failed where it left no reason itself."""
    if code == DISK_FULL:
        return os.strerror(errno.ENOSPC)
    if code >= 0:
        return f"the worker left with exit code {code} and no result"
    if -code in set(signal.Signals):
        name = signal.Signals(-code).name
    else:
        name = f"signal {-code}"
    return f"the worker was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
