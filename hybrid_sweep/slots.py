"""GPUs and cores of this machine, leased with locks that every driver on it honours: no two points have the same one.

A lease is a lock on a file in a folder that all users of the machine share. It passes to the worker and goes when the worker
dies, however it dies. Who runs where /tmp is not shared, as in containers, can name another folder: HYBRID_SWEEP_SLOTS.
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hybrid_sweep.config import Config
from hybrid_sweep.errors import UserError
from hybrid_sweep.store import locked

# Not the TMPDIR of a job: all that run on the machine must meet there.
SHARED = "/tmp/hybrid-sweep-slots"


@dataclass(frozen=True)
class Machine:
    """What this process may use of its machine.

    gpus: by the names that CUDA_VISIBLE_DEVICES takes, each with a name that is the same for all processes of the machine.
    cores: their numbers. folder: of the leases.
    """

    gpus: Mapping[str, str]
    cores: tuple[int, ...]
    folder: Path


@dataclass(frozen=True)
class Slot:
    """What a point has to itself. gpus: their names, None where it uses none; leases: descriptors that hold it."""

    gpus: tuple[str, ...] | None
    leases: tuple[int, ...]

    def close(self) -> None:
        """Let go of it in this process; a child that has inherited the descriptors keeps it."""
        for descriptor in self.leases:
            os.close(descriptor)


def this_machine(configs: Iterable[Config], around: Mapping[str, str]) -> Machine:
    """The machine as this process sees it; GPUs are only looked for where one of the configs uses them.

    around: the environment.
    """
    folder = Path(around.get("HYBRID_SWEEP_SLOTS") or SHARED)
    gpus = visible_gpus(around) if any(config.trainer.accelerator == "gpu" for config in configs) else {}
    # Cores that the scheduler keeps from this process are none of its own.
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return Machine(gpus, tuple(sorted(cores)), folder)


def visible_gpus(around: Mapping[str, str]) -> dict[str, str]:
    """Names of the GPUs this process may use, with their identity: the UUID, where the driver tool tells it.

    They are those of CUDA_VISIBLE_DEVICES, else all that the tool lists. A number alone is no identity: jobs that a scheduler
    has given different GPUs of a machine may each see theirs as number 0.
    """
    named = around.get("CUDA_VISIBLE_DEVICES")
    listed = _listed(around.get("PATH"))
    names = list(listed) if named is None else [name.strip() for name in named.split(",")]
    return {name: listed.get(name, name) for name in names if name not in ("", "-1", "NoDevFiles")}


@functools.cache
def _listed(path: str | None) -> dict[str, str]:
    """Number and UUID of each GPU that the driver tool lists; empty where there is no tool, or it fails."""
    tool = shutil.which("nvidia-smi", path=path)
    if tool is None:
        return {}
    command = [tool, "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = answer.stdout.splitlines() if answer.returncode == 0 else []
    return {index.strip(): uuid.strip() for index, _, uuid in (line.partition(",") for line in lines) if uuid.strip()}


def size(config: Config, machine: Machine) -> tuple[int, int]:
    """How many GPUs, or cores where it uses no GPU, a point takes, and how many there are; of fewer cores it takes all.

    Raises UserError where the GPUs do not suffice.
    """
    trainer = config.trainer
    if trainer.accelerator != "gpu":
        return min(trainer.devices * trainer.threads, len(machine.cores)), len(machine.cores)
    wanted = config.sweep.gpus_per_run or trainer.devices
    if wanted > len(machine.gpus):
        key = "trainer.devices" if config.sweep.gpus_per_run is None else "sweep.gpus_per_run"
        raise UserError(
            f"{key}={wanted}: {len(machine.gpus) or 'no'} GPUs are visible here; "
            "take fewer, set CUDA_VISIBLE_DEVICES, or use trainer=cpu"
        )
    return wanted, len(machine.gpus)


def parallel(config: Config, machine: Machine) -> int:
    """How many points of this kind run at the same time where nobody else uses the machine."""
    wanted, there = size(config, machine)
    return min(config.sweep.max_parallel, there // wanted)


def take(config: Config, machine: Machine) -> Slot | None:
    """Lease what a point needs; None while too little is free. Raises UserError where leases cannot be kept."""
    wanted, _ = size(config, machine)
    on_gpus = config.trainer.accelerator == "gpu"
    units = [(f"gpu-{key}", name) for name, key in machine.gpus.items()]
    if not on_gpus:
        units = [(f"core-{number}", str(number)) for number in machine.cores]
    taken: dict[str, int] = {}
    try:
        _make(machine.folder)
        for place, (file, name) in enumerate(units):
            if not 0 < wanted - len(taken) <= len(units) - place:
                break  # enough, or no hope: to hold some meanwhile could keep another driver from having enough
            if (descriptor := _try(machine.folder / file)) is not None:
                taken[name] = descriptor
    except OSError as error:
        Slot(None, tuple(taken.values())).close()
        raise UserError(
            f"{error.filename or machine.folder}: cannot keep the leases of GPUs and cores there ({error.strerror}); "
            "set HYBRID_SWEEP_SLOTS to a folder that all runs on this machine can write to"
        ) from error
    slot = Slot(tuple(taken) if on_gpus else None, tuple(taken.values()))
    if len(taken) == wanted:
        return slot
    slot.close()
    return None


def _make(folder: Path) -> None:
    """Make the folder as /tmp itself is: everyone adds files, nobody removes those of others."""
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o1777)
    except FileExistsError:
        pass


def _try(path: Path) -> int | None:
    """A descriptor that holds the lock on a file, or None while another process holds it."""
    # Read-only, since the file may be another user's; and only what is not there is created: in a shared folder the
    # kernel refuses O_CREAT on the files of others.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except FileExistsError:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    return locked(descriptor)
