"""GPUs and cores of this machine, leased with locks that every driver on it honours: no two points
have the same one.

A lease is a lock on a file in a folder that all users of the machine share. It passes to the worker
and goes when the worker dies, however it dies. Who runs where /tmp is not shared, as in containers,
can name another folder: HYBRID_SWEEP_SLOTS.

The files are opened for nothing but their locks, so that who owns the folder, or may remove files
there, can at most make others wait. On Linux a lease outlasts the removal of its file (see
`_guarded`). What remains: where the folder itself is removed and made anew, and on other systems
where the file of a running worker is removed, a core can be leased twice.
"""

import errno
import functools
import itertools
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hybrid_sweep.config.schema import Config
from hybrid_sweep.models import half_precision
from hybrid_sweep.utils.errors import UserError, config_key
from hybrid_sweep.utils.files import digest
from hybrid_sweep.utils.locks import lease, open_regular

# Not the TMPDIR of a job: all that run on the machine must meet there.
SHARED = "/tmp/hybrid-sweep-slots"
WAY_OUT = "set HYBRID_SWEEP_SLOTS to a folder that all runs on this machine can write to"
# seconds: another user who has made the folder, or a lock, opens it to all in the next moment
SETTLE = 1.0


@dataclass(frozen=True)
class Machine:
    """What this process may use of its machine.

    gpus: by the names that CUDA_VISIBLE_DEVICES takes, each with a name that is the same for all
    processes of the machine. cores: their numbers. folder: of the leases.
    """

    gpus: Mapping[str, str]
    cores: tuple[int, ...]
    folder: Path


@dataclass(frozen=True)
class Slot:
    """What a point has to itself. gpus: their names, None where it uses none; leases: descriptors
    that hold it.
    """

    gpus: tuple[str, ...] | None
    leases: tuple[int, ...]

    def close(self) -> None:
        """Let go of it in this process; a child that has inherited the descriptors keeps it."""
        for descriptor in self.leases:
            os.close(descriptor)


def this_machine(configs: Iterable[Config], around: Mapping[str, str]) -> Machine:
    """Return the machine as this process sees it; GPUs are only looked for where one of the configs
    uses them.

    around: the environment.
    """
    folder = Path(around.get("HYBRID_SWEEP_SLOTS") or SHARED)
    if any(config.trainer.accelerator == "gpu" for config in configs):
        gpus = visible_gpus(around)
    else:
        gpus = {}
    # Cores that the scheduler keeps from this process are none of its own.
    cores = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return Machine(gpus, tuple(sorted(cores)), folder)


def visible_gpus(around: Mapping[str, str]) -> dict[str, str]:
    """Return names of the GPUs this process may use, with their identity: the UUID, where the
    driver tool tells it.

    They are those of CUDA_VISIBLE_DEVICES, else all that the tool lists. A number alone is no
    identity: jobs that a scheduler has given different GPUs of a machine may each see theirs as
    number 0.
    """
    named = around.get("CUDA_VISIBLE_DEVICES")
    listed = _listed(around.get("PATH"))
    if named is None:
        names = list(listed)
    else:
        names = [name.strip() for name in named.split(",")]
    return {name: listed.get(name, name) for name in names if name not in ("", "-1", "NoDevFiles")}


@functools.cache
def _listed(path: str | None) -> dict[str, str]:
    """Return the number and UUID of each GPU that the driver tool lists; empty where there is no
    tool, or it fails.
    """
    tool = shutil.which("nvidia-smi", path=path)
    if tool is None:
        return {}
    command = [tool, "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    if answer.returncode == 0:
        lines = answer.stdout.splitlines()
    else:
        lines = []
    return {
        index.strip(): uuid.strip()
        for index, _, uuid in (line.partition(",") for line in lines)
        if uuid.strip()
    }


def size(config: Config, machine: Machine) -> tuple[int, int]:
    """Return how many GPUs, or cores where it uses no GPU, a point takes, and how many there are;
    of fewer cores it takes all.

    Raises UserError where the GPUs do not suffice, and where the CPU would emulate what it is asked
    for.
    """
    trainer = config.trainer
    half_precision.check(config)
    if trainer.accelerator != "gpu":
        return min(trainer.devices * trainer.threads, len(machine.cores)), len(machine.cores)
    wanted = config.sweep.gpus_per_run or trainer.devices
    if wanted > len(machine.gpus):
        key = "sweep.gpus_per_run"
        if config.sweep.gpus_per_run is None:
            key = "trainer.devices"
        raise UserError(
            f"{key}={wanted}: {len(machine.gpus) or 'no'} GPUs are visible here; "
            "take fewer, set CUDA_VISIBLE_DEVICES, or use trainer=cpu",
            key=config_key(key),
        )
    return wanted, len(machine.gpus)


def parallel(config: Config, machine: Machine) -> int:
    """Return how many points of this kind run at the same time where nobody else uses the
    machine.
    """
    wanted, there = size(config, machine)
    return min(config.sweep.max_parallel, there // wanted)


def take(config: Config, machine: Machine) -> Slot | None:
    """Lease what a point needs; None while too little is free.

    Raises UserError where leases cannot be kept.
    """
    wanted, _ = size(config, machine)
    on_gpus = config.trainer.accelerator == "gpu"
    units = [(f"gpu-{key}", name) for name, key in machine.gpus.items()]
    if not on_gpus:
        units = [(f"core-{number}", str(number)) for number in machine.cores]
    taken: dict[str, tuple[int, ...]] = {}
    try:
        _make(machine.folder)
        for place, (unit, name) in enumerate(units):
            if not 0 < wanted - len(taken) <= len(units) - place:
                # enough, or no hope: to hold some meanwhile could keep another driver from having
                # enough
                break
            if (held := _try(machine.folder / _file(unit))) is not None:
                taken[name] = held
    except (OSError, UserError) as error:
        for held in taken.values():
            Slot(None, held).close()
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{error.filename or machine.folder}: cannot keep the leases of GPUs and cores there"
            f" ({error.strerror}{_owner(machine.folder)}); {WAY_OUT}",
            key="slots.unwritable",
        ) from error
    leases = tuple(itertools.chain.from_iterable(taken.values()))
    slot = Slot(tuple(taken) if on_gpus else None, leases)
    if len(taken) == wanted:
        return slot
    slot.close()
    return None


def _file(unit: str) -> str:
    """Return the name of the lock of a unit: names of GPUs come from the environment, and some have
    slashes.
    """
    return re.sub(r"[^A-Za-z0-9-]", "_", unit)


def _owner(folder: Path) -> str:
    """Return whose folder it is, for a message; nothing where it is the user's own, or not
    there.
    """
    try:
        status = folder.lstat()
    except OSError:
        return ""
    if status.st_uid == os.geteuid():
        return ""
    return f"; the folder belongs to user {status.st_uid}, mode {stat.S_IMODE(status.st_mode):o}"


def _make(folder: Path) -> None:
    """Make the folder as /tmp itself is: everyone adds files, nobody removes those of others.

    One that is there is taken as it is, whoever owns it; only the default one is opened to all by
    its owner, where an earlier start was ended before it could do so.

    Raises:
        UserError: where it is a link, or no folder.
    """
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o1777)
    except FileExistsError:
        pass
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        kind = "no folder"
        if stat.S_ISLNK(status.st_mode):
            kind = "a link"
        raise UserError(
            f"{folder}: is {kind}, so that no leases of GPUs and cores are kept there; {WAY_OUT}",
            key="slots.no_folder",
        )
    mine = status.st_uid == os.geteuid()
    if mine and str(folder) == SHARED and stat.S_IMODE(status.st_mode) != 0o1777:
        folder.chmod(0o1777)


def _try(path: Path) -> tuple[int, ...] | None:
    """Return the descriptors that hold a lease, or None while another process holds it."""
    descriptor = lease(path, lambda: _open(path), WAY_OUT)
    if descriptor is None:
        return None
    return _guarded(path, descriptor)


def _open(path: Path) -> int:
    """Open a lock, which may be another user's, or create it."""
    deadline = time.monotonic() + SETTLE
    while True:
        try:
            return _open_or_create(path)
        except FileExistsError:
            continue  # another process has created it in this moment
        except PermissionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _open_or_create(path: Path) -> int:
    """Open a lock, or create it readable by all whatever the umask, since a lock needs no more."""
    # Only what is not there is created: in a shared folder the kernel refuses O_CREAT on the files
    # of others.
    try:
        descriptor = _open_old(path)
    except FileNotFoundError:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, WAY_OUT)
    status = os.fstat(descriptor)
    if status.st_uid == os.geteuid() and status.st_mode & 0o444 != 0o444:
        os.fchmod(descriptor, 0o644)
    return descriptor


def _open_old(path: Path) -> int:
    """Open a lock that is there: for writing, which NFS asks for, or for reading where it is
    another user's.
    """
    try:
        return open_regular(path, os.O_RDWR, WAY_OUT)
    except PermissionError:
        return open_regular(path, os.O_RDONLY, WAY_OUT)


def _guarded(path: Path, descriptor: int) -> tuple[int, ...] | None:
    """Return the descriptors that hold a lease whose file is locked; None where another holds it,
    by a removed file.

    The lock is the file's: once that is removed, as cleaners of /tmp do, the next process makes and
    locks a new one. On Linux a name that belongs to no file, of an abstract socket, is held beside
    the lock.
    """
    if not sys.platform.startswith("linux"):
        return (descriptor,)
    guard = socket.socket(socket.AF_UNIX)
    try:
        folder = path.parent.stat()
        guard.bind(f"\0hybrid-sweep-{digest([folder.st_dev, folder.st_ino, path.name], 32)}")
    except OSError as error:
        guard.close()
        if error.errno != errno.EADDRINUSE:
            return (descriptor,)  # a sandbox without sockets: the lock alone has to do
        os.close(descriptor)
        return None
    return descriptor, guard.detach()
