"""Digests of stored files: written beside them, and compared when a file is opened for a result.

Every store of the program (tokens, pairs, collections, tokenizers, models, weights, vectors,
per-query tables) has the same record: {name: digest}, the first 16 hex digits of the SHA-256 of
each file. A digest that was once computed is remembered by the file's path, size, time of change,
time of its inode's change and inode number, so that a large store is hashed once. A file that
changed within the last seconds is not remembered: two writes in one tick of the clock have one
time.
"""

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest, file_digest, read_own_json, write_json

LENGTH = 16  # hex digits: 64 bits
INFO = "info.json"  # of a store: its facts, the record of its files, and the digest of both
# a file that changed later than this before now may change again with the same time
SETTLED_NS = 2_000_000_000


class Damaged(UserError):
    """A stored file is not what was written: the message names the file."""


def seal(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Compute the record of some files of a folder.

    Args:
        folder: where they lie.
        names: paths relative to it.

    Returns:
        The digest of each file by its name, for the store's own info file.
    """
    return {name: file_digest(folder / name, LENGTH) for name in sorted(names)}


def value_digest(value: Any) -> str:
    """Return the digest of a value as JSON, which may hold infinities and NaN: a foreign file can
    state them.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def check(folder: Path, record: object, memory: "Memory | None" = None) -> None:
    """Compare files with the record that `seal` made of them.

    Args:
        folder: where they lie.
        record: what was stored; anything else than a record counts as damage.
        memory: digests that are remembered; None computes all of them.

    Raises:
        Damaged: where a file is absent, is no regular file, or has other bytes.
    """
    root = folder.resolve()
    for name, wanted in named(record, folder).items():
        path = folder / name
        if not path.is_file():
            raise Damaged(f"{path}: the file is missing", key="seals.file_missing")
        if path.resolve() != root / name:
            raise Damaged(f"{path}: the file is a link, or lies behind one", key="seals.link")
        if memory:
            actual = memory.digest_of(path)
        else:
            actual = file_digest(path, LENGTH)
        if actual != wanted:
            raise Damaged(
                f"{path}: its content is not what was written (digest {actual}, not {wanted})",
                key="seals.altered",
            )
    if memory:
        memory.flush()


def holds(folder: Path, record: object, memory: "Memory | None" = None) -> bool:
    """Return whether all files of a record are there with the bytes that were written; see
    `check`.
    """
    try:
        check(folder, record, memory)
    except (Damaged, OSError):
        return False
    return True


def named(record: object, folder: Path) -> Mapping[str, str]:
    """Return a stored record, its types and names checked.

    Raises:
        Damaged: where it is empty, no mapping of texts to texts, or has names that lead out of the
            folder.
    """
    if not isinstance(record, dict) or not record:
        raise Damaged(
            f"{folder}: the record of its digests is missing or broken", key="seals.record"
        )
    for name, value in record.items():
        plain = isinstance(name, str) and isinstance(value, str) and not os.path.isabs(name)
        if not plain or ".." in Path(name).parts or "\0" in name:
            raise Damaged(f"{folder}: the record of its digests is broken", key="seals.record")
    return record


def write_info(folder: Path, facts: Mapping[str, Any], names: Iterable[str]) -> None:
    """Write the info file of a store: its facts, the record of its files, and the digest of all
    that.

    Args:
        folder: where the files lie, all written.
        facts: plain values; none may be called `files` or `digest`.
        names: paths of the files relative to the folder.
    """
    info = {**facts, "files": seal(folder, names)}
    write_json(folder / INFO, {**info, "digest": value_digest(info)})


def read_info(folder: Path, memory: "Memory | None" = None) -> dict[str, Any]:
    """Return what `write_info` wrote, after comparing it and all files of the store with their
    digests.

    Raises:
        Damaged: where the info file or a file of the store is not what was written, or an earlier
            version wrote no digests.
    """
    info = read_own_json(folder / INFO)
    if not isinstance(info, dict):
        raise Damaged(f"{folder / INFO}: the file is missing or broken", key="seals.info_missing")
    facts = {name: value for name, value in info.items() if name != "digest"}
    try:
        whole = info.get("digest") == value_digest(facts)
    except ValueError:  # NaN, which is never written
        whole = False
    if not whole:
        raise Damaged(f"{folder / INFO}: its content is not what was written", key="seals.altered")
    check(folder, info.get("files"), memory)
    return info


def fault(folder: Path) -> str:
    """Return why a store cannot be used, for messages: `damaged`, or `of an earlier version,
    without digests`.
    """
    info = read_own_json(folder / INFO)
    earlier = isinstance(info, dict) and not {"files", "digest"} & info.keys()
    if earlier:
        return "of an earlier version, without digests"
    return "damaged"


class Memory:
    """Digests of files that did not change since they were computed, kept in a JSON file.

    Args:
        path: the file; None remembers for this process alone. It is only a memory: where it is
            absent, broken or cannot be written, digests are computed.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.known: dict[str, list[Any]] = {}
        self.lock = threading.Lock()
        self.changed = False
        stored = None
        if path is not None:
            stored = read_own_json(path)
        if isinstance(stored, dict):
            self.known = {
                name: value for name, value in stored.items() if isinstance(value, list) and value
            }

    def digest_of(self, path: Path) -> str:
        """Return the digest of a file, remembered where size, times and inode are what they
        were.
        """
        return self.value_of(str(path.resolve()), [path], lambda: file_digest(path, LENGTH))

    def value_of(self, name: str, paths: Sequence[Path], compute: Callable[[], str]) -> str:
        """Return a text that is computed from the content of some files, remembered while none of
        them changes.

        Args:
            name: under which it is remembered; no other value has this name.
            paths: the files.
            compute: gives the value.
        """
        before = _states(paths)
        with self.lock:
            remembered = self.known.get(name)
        if remembered is not None and remembered[:-1] == before and isinstance(remembered[-1], str):
            return remembered[-1]
        value = compute()
        newest = max(before[1::4] + before[2::4])
        if time.time_ns() - newest > SETTLED_NS and _states(paths) == before:
            with self.lock:
                self.known[name] = [*before, value]
                self.changed = True
        return value

    def flush(self) -> None:
        """Write what was learned into the file; a cache that may only be read learns nothing."""
        if self.path is None or not self.changed:
            return
        self.changed = False
        with contextlib.suppress(OSError):
            write_json(self.path, self.known)


def _states(paths: Sequence[Path]) -> list[int]:
    """Return size, times of change (of content and of the inode, ns) and inode number of each file,
    in one list.
    """
    states: list[int] = []
    for path in paths:
        stat = path.stat()
        states += [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    return states


def memory_of(cache: Path, folder: Path) -> Memory:
    """Return the memory of one folder's digests, a small file of the cache.

    Args:
        cache: the program's cache folder.
        folder: the store whose files are opened.
    """
    return Memory(cache / "digests" / f"{digest(str(folder.resolve()), 16)}.json")
