"""The process of a point: how it is leased, started, explained when it fails, and ended with all its children."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hybrid_sweep.config import TrainerConfig, steps_of, to_dict
from hybrid_sweep.store import atomic_write, read_json, try_lease, write_json
from hybrid_sweep.sweep import Point, is_done

WORKER = (sys.executable, "-m", "hybrid_sweep.worker")
GRACE = 5.0  # seconds between the polite and the final signal

# What a surrounding job (torchrun, srun, Lightning) says of itself must not make a worker think it is one of its ranks.
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
WORLD_PREFIXES = ("TORCHELASTIC_", "OMPI_COMM_WORLD_")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS")


def environment(trainer: TrainerConfig, gpus: Sequence[str] | None, around: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker: the driver's, but of no surrounding world, with fixed threads and its own GPUs."""
    found = {key: value for key, value in around.items() if key not in WORLD and not key.startswith(WORLD_PREFIXES)}
    found |= dict.fromkeys(THREADS, str(trainer.threads))
    found |= {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    return found if gpus is None else found | {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}


def start(point: Point, gpus: list[str] | None, worker: Sequence[str]) -> "subprocess.Popen[bytes] | None":
    """Lease the point and start its worker; None where another driver has it, or has just finished it."""
    if (lease := try_lease(point.run_dir / "lock")) is None:
        return None
    try:
        return None if is_done(point) else _spawn(point, lease, gpus, worker)
    finally:
        os.close(lease)  # the worker's copy holds the lease from here on, even when this driver is killed


def _spawn(point: Point, lease: int, gpus: list[str] | None, worker: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Write what the worker reads, and start it in a process group of its own with its output in log.txt."""
    from omegaconf import OmegaConf

    folder, config = point.run_dir, point.config
    with atomic_write(folder / "config.yaml") as temporary:
        OmegaConf.save(OmegaConf.create(to_dict(config)), temporary)
    write_json(folder / "identity.json", {"run_id": point.run_id, "fingerprints": point.fingerprints})
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
        return subprocess.Popen(
            [*worker, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lease,),
            start_new_session=True,
            env=environment(config.trainer, gpus, os.environ),
        )


def note_failure(point: Point, code: int) -> str:
    """Why a worker failed; status.json says so afterwards, unless another driver has the point already."""
    path = point.run_dir / "status.json"
    status = read_json(path) or {}
    if status.get("state") != "failed":
        status |= {"state": "failed", "error": reason_of(code)}
        if (lease := try_lease(point.run_dir / "lock")) is not None:
            try:
                write_json(path, status)
            except OSError:
                pass  # a full disk may be why it failed; the reason is shown all the same
            finally:
                os.close(lease)
    return str(status.get("error"))


def tail(log: Path, lines: int = 5) -> list[str]:
    """The last lines of a log that say something."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            words = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.rstrip()[:200] for line in words if line.strip()][-lines:]


def stop(processes: Sequence["subprocess.Popen[bytes]"], caught: Sequence[int] = ()) -> None:
    """End the process groups of workers: politely, and after GRACE seconds, or at the next signal caught, for good."""
    for process in processes:
        signal_group(process, signal.SIGTERM)
    before, deadline = len(caught), time.monotonic() + GRACE
    while any(process.poll() is None for process in processes):
        if time.monotonic() > deadline or len(caught) > before:
            break
        time.sleep(0.05)
    for process in processes:
        signal_group(process, signal.SIGKILL)
        process.wait()


def signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)  # each worker leads a group of its own, named by its process id
    except (ProcessLookupError, PermissionError):
        pass


@contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM for the loop to look at: none may fall between a worker's start and its record."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda got, _: caught.append(got)) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def reason_of(code: int) -> str:
    """Why a worker with this return code counts as failed where it left no reason itself."""
    if code >= 0:
        return f"the worker left with exit code {code} and no result"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"the worker was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
