"""Files that are never half-written, and identities of content."""

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.locks import exclusive as exclusive
from hybrid_sweep.utils.locks import try_lease as try_lease

_umask_lock = threading.Lock()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`, on any
    error removed.

    A reader, or a crash at any moment, sees the whole old file or the whole new one. What fails on
    a full disk raises OSError with that reason, whatever the writer makes of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending is kept, because writers such as savefig choose the format by it.
    descriptor, name = tempfile.mkstemp(prefix=".tmp-", suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~umask())  # mkstemp makes files that only their owner reads
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except Exception as error:
        _explain(error, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success its files are synced and it takes the
    place of `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=path.parent))
    try:
        yield temporary
        _open_up(temporary)
        for file in sorted(temporary.rglob("*")):
            _sync(file)
        _sync(temporary)
        if path.exists():  # a folder cannot be replaced in one step: the old one steps aside first
            old = Path(tempfile.mkdtemp(prefix=".old-", dir=path.parent))
            os.replace(path, old / "old")
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
        _sync(path.parent)
    except Exception as error:
        _explain(error, path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    with _umask_lock:
        mask = os.umask(0o077)  # what another thread creates meanwhile is rather closed than open
        os.umask(mask)
    return mask


def _open_up(folder: Path) -> None:
    """Give a folder and all in it the permissions that the umask leaves; writers make some for
    their owner alone.
    """
    masked = ~umask()
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            # a folder's group may be inherited: keep that bit
            path.chmod(stat.S_IMODE(mode) & 0o7000 | 0o777 & masked)
        elif stat.S_ISREG(mode):
            path.chmod(0o666 & masked)


def cleared(path: Path) -> None:
    """Remove a folder with all that is in it, or a file; of a link the link alone, never what it
    leads to.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def free_space(folder: Path) -> int:
    """Return the bytes that are free where a folder is, or where it would be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def full(folder: Path) -> bool:
    """Return whether the disk of a folder has no room for even a small file."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < 2**16 or (room.f_files > 0 and room.f_favail < 4)


def _explain(error: Exception, path: Path) -> None:
    """Raise OSError instead of the error of a writer that does not say that the disk is full, such
    as torch's.
    """
    if not isinstance(error, OSError) and full(path.parent):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def canonical(value: Any) -> str:
    """Return JSON text that is equal for equal content: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: Any, length: int = 12) -> str:
    """Return the first `length` hex digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def file_digest(path: Path, length: int = 12) -> str:
    """Return the first `length` hex digits of the SHA-256 of a file's bytes."""
    if not path.is_file():  # a FIFO would never end
        raise UserError(f"{path}: no such file, or no regular one", key="files.missing")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:length]


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as indented JSON."""
    with atomic_write(path) as temporary:
        temporary.write_text(
            json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_json(path: Path) -> Any:
    """Return the value in a JSON file, or None where the file is absent, does not parse, or holds
    half a surrogate pair.

    Where the two must not be confused, `records` reads.
    """
    try:
        if not Path(path).is_file():  # a FIFO or a device would never end
            return None
        text = Path(path).read_text(encoding="utf-8")
        value = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (OSError, ValueError, RecursionError):
        return None


def read_own_json(path: Path) -> Any:
    """Return the value in a JSON file of ours, as `read_json`; None for a link, which could lead
    anywhere.
    """
    if Path(path).is_symlink():
        return None
    return read_json(path)
