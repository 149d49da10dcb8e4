"""Locks between processes: on files, gone when the last holder dies, however it dies.

A lock file may lie where other users write, or where somebody removes files: nothing but a regular
file is opened, nothing is waited for but the lock itself, and a lock counts only while its path
still names the locked file.
"""

import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hybrid_sweep.utils.errors import UserError

# What to do where a lock cannot be had, by what the locked folder is for.
CACHE = "set paths.cache or HYBRID_SWEEP_CACHE to another folder"
OUTPUTS = "set paths.outputs to another folder"

# O_NONBLOCK: to open a FIFO would wait for a writer, for ever.
SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})  # this user may not write here
KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
TELL_AFTER = 3.0  # seconds of waiting, after which the user is told what for
LOOK_EVERY = 0.1  # seconds


def try_lease(path: Path, way_out: str = OUTPUTS) -> int | None:
    """Return a file descriptor that holds an exclusive lock on `path`, or None while another
    process holds it.

    The lock belongs to the open file: it passes to a child that inherits the descriptor and goes
    when the last holder dies. The file itself stays, since removing it would let two holders lock
    two files of one name.

    Args:
        path: the lock file, created where it is missing.
        way_out: what the user can do where the path cannot be locked.

    Raises:
        UserError: where the path is no regular file, or its file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return lease(path, lambda: open_regular(path, os.O_RDWR | os.O_CREAT, way_out), way_out)


def lease(
    path: Path, opened: Callable[[], int], way_out: str, *, reader: bool = False
) -> int | None:
    """Lock what `opened` opens at `path`; return its descriptor, or None while another process
    holds the lock.

    Args:
        path: the lock file. opened: opens it; called again where the file was removed or replaced
            before it was locked. way_out: what the user can do where the path cannot be locked.
            reader: whether a shared lock will do where a file may only be read, and its file system
            asks for more.

    Raises:
        UserError: where the file system has no locks.
    """
    while True:
        descriptor = opened()
        try:
            if not _locked(descriptor, path, way_out, reader):
                os.close(descriptor)
                return None
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # others would lock the file that is there now, or make one


def open_regular(path: Path, flags: int, way_out: str) -> int:
    """Open a lock file and return its descriptor; anything but a regular file is refused, and never
    waited for.

    Raises:
        UserError: for a link, FIFO, socket, device or folder in its place.
        OSError: where it cannot be opened.
    """
    _check_kind(path, way_out)  # before it is opened: to open a device can set it in motion
    try:
        descriptor = os.open(path, flags | SAFE, 0o666)
    except OSError:
        _check_kind(path, way_out)
        raise
    try:
        _refuse_odd(os.fstat(descriptor).st_mode, path, way_out)
    except UserError:
        os.close(descriptor)
        raise
    return descriptor


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock on `path`; a missing or unreadable file counts as not
    held.

    Raises:
        UserError: where the path is no regular file, or its file system has no locks.
    """
    try:
        descriptor = open_regular(path, os.O_RDONLY, OUTPUTS)
    except OSError:
        return False
    try:
        return not _flock(descriptor, fcntl.LOCK_SH, path, OUTPUTS)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, way_out: str = CACHE) -> Iterator[None]:
    """Hold the lock on `path`, waiting for it; for short sections such as building a shared cache
    entry once.

    In a folder that this user may only read, a lock that is there is held; where there is none,
    nothing is locked: what the folder holds can be used.

    Args:
        path: the lock file, created where it is missing and can be created.
        way_out: what the user can do where the folder cannot be written.

    Raises:
        UserError: where the section has to write below the folder and may not, where the path is no
            regular file, or its file system has no locks.
    """
    try:
        descriptor = _waited_for(path, way_out)
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
        # The last of them comes from file systems in which no folder can be made, as /proc.
        raise UserError(
            f"{path.parent}: is no folder, and none can be made there ({error.strerror}:"
            f" {error.filename}); {way_out}",
            key="locks.no_folder",
        ) from error
    try:
        yield
    except OSError as error:
        _explain(error, path.parent, way_out)
        raise
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _waited_for(path: Path, way_out: str) -> int | None:
    """Wait for the lock and return its descriptor; None where the file can be neither opened nor
    made.
    """
    begun = time.monotonic()
    told = False
    while True:
        try:
            descriptor = lease(path, lambda: _open_to_wait(path, way_out), way_out, reader=True)
        except OSError as error:
            if error.errno in DENIED:
                return None
            raise
        if descriptor is not None:
            return descriptor
        if not told and time.monotonic() - begun >= TELL_AFTER:
            print(f"waiting for {path}, which another process holds", file=sys.stderr, flush=True)
            told = True
        # Not by a call that waits for the lock: the file may be removed meanwhile, and a new one be
        # locked by others.
        time.sleep(LOOK_EVERY)


def _open_to_wait(path: Path, way_out: str) -> int:
    """Open a lock for writing, or for reading where that is all that is allowed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open_regular(path, os.O_RDWR | os.O_CREAT, way_out)
    except OSError as denied:
        if denied.errno not in DENIED:
            raise
        try:
            return open_regular(path, os.O_RDONLY, way_out)
        except FileNotFoundError:
            raise denied from None


def _locked(descriptor: int, path: Path, way_out: str, reader: bool) -> bool:
    """Lock a file for one holder; return False while another process holds the lock."""
    try:
        return _flock(descriptor, fcntl.LOCK_EX, path, way_out)
    except UserError as error:
        # NFS gives an exclusive lock only to who may write. A reader only has to keep writers out.
        if not reader or getattr(error.__cause__, "errno", None) != errno.EBADF:
            raise
        return _flock(descriptor, fcntl.LOCK_SH, path, way_out)


def _flock(descriptor: int, kind: int, path: Path, way_out: str) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"{path}: its file system cannot lock it ({error.strerror}); {way_out}",
            key="locks.not_lockable",
        ) from error
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether the path still names the open file."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _check_kind(path: Path, way_out: str) -> None:
    """Raise UserError where something other than a regular file is there."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # what is not there can be made; whatever else is wrong, to open it will say
    _refuse_odd(mode, path, way_out)


def _refuse_odd(mode: int, path: Path, way_out: str) -> None:
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "a special file")
        raise UserError(
            f"{path}: is {kind}, and no lock file; remove it, or {way_out}", key="locks.not_regular"
        )


def _explain(error: OSError, folder: Path, way_out: str) -> None:
    """Raise UserError where an error says that the folder of a lock cannot be written."""
    if error.errno not in DENIED or not isinstance(error.filename, (str, bytes, os.PathLike)):
        return
    place, folder = Path(os.fsdecode(error.filename)).absolute(), folder.absolute()
    if place.is_relative_to(folder) or folder.is_relative_to(place):
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}: {place}), and something in it is"
            f" missing or damaged; {way_out}",
            key="locks.unwritable",
        ) from error
