"""Files fetched by address into a folder of their own: resumed where a transfer broke off, checked,
and kept.

The hub's own client compares no hashes and cannot fetch from other places; this does both with the
standard library.
"""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from hybrid_sweep.utils import units
from hybrid_sweep.utils.digests import LENGTH, Memory
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest, file_digest, free_space, read_own_json, write_json

Say = Callable[[str], None]
T = TypeVar("T")
CHUNK = 1 << 20
TIMEOUT, TRIES = 60, 5  # seconds without a byte; failures in a row, none of which brought a byte
REPORT = 10.0  # seconds between two lines of progress


@dataclass(frozen=True)
class Remote:
    """A file elsewhere: its name below the folder of the files (with /), its address, and what its
    content must be.

    checksum: "sha256:...", "md5:..." or "git:..." (of a blob); None or size None where it is not
    known beforehand. secret: headers that only this address may see, not one that it leads on to.
    """

    name: str
    url: str
    checksum: str | None = None
    size: int | None = None
    secret: Mapping[str, str] = field(default_factory=dict)


def inside(folder: Path, name: str) -> Path:
    """Return the path of a name below a folder; a UserError for one that would lead out of it."""
    parts = PurePosixPath(name).parts
    plain = bool(parts) and not any(
        part in ("..", "/") or "\\" in part or "\0" in part for part in parts
    )
    if not plain or not folder.joinpath(*parts).resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"the name {name[:80]!r} leads out of {folder}: nothing was written",
            key="fetch.leads_out",
        )
    return folder.joinpath(*parts)


def missing(remotes: Sequence[Remote], folder: Path) -> list[Remote]:
    """Return those that are not in the folder as they were fetched: no address is asked, and only
    changed files are read.
    """
    manifest = _manifest(folder)
    memory = Memory(folder / "digests.json")
    absent = [
        remote
        for remote in remotes
        if not _is_whole(remote, folder, manifest.get(remote.name), memory)
    ]
    memory.flush()
    return absent


def forget(remotes: Sequence[Remote], folder: Path) -> None:
    """Let files count as missing: the next `fetch` brings them again."""
    manifest = _manifest(folder)
    if names := {remote.name for remote in remotes} & manifest.keys():
        write_json(
            folder / "manifest.json",
            {name: entry for name, entry in manifest.items() if name not in names},
        )


def fetch(remotes: Sequence[Remote], folder: Path, say: Say) -> None:
    """Bring what is missing to folder/files; a part of a file stays in folder/parts and is gone on
    with the next time.

    Raises UserError for an address that has no such file, a transfer that stays incomplete, or
    another content.
    """
    wanted = missing(remotes, folder)
    total = sum(remote.size or 0 for remote in wanted)
    if total > (free := free_space(folder)):
        raise UserError(
            f"{folder}: {units.size(total)} are to be fetched, and the disk has"
            f" {units.size(free)} left",
            key="fetch.disk_full",
        )
    for number, remote in enumerate(wanted, 1):
        target = inside(folder / "files", remote.name)
        size = ""
        if remote.size is not None:
            size = f", {units.size(remote.size)}"
        say(f"fetching {remote.name} ({number} of {len(wanted)}{size})")
        part = folder / "parts" / digest([remote.name, remote.url, remote.checksum])
        part.parent.mkdir(parents=True, exist_ok=True)
        _transfer(remote, part, say)
        # the part at hand was of other content: once more from the start
        if not _agrees(remote, part):
            part.unlink()
            _transfer(remote, part, say)
        if not _agrees(remote, part):
            part.unlink()
            raise UserError(
                f"{remote.url} is not the file that is expected ({remote.checksum}); try again"
                " later",
                key="fetch.altered",
            )
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, target)
        write_json(
            folder / "manifest.json", {**_manifest(folder), remote.name: _entry(remote, target)}
        )


def read(url: str, secret: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
    """Return a small file, whole, and the headers of the answer."""

    def attempt() -> tuple[bytes, Mapping[str, str]]:
        with urllib.request.urlopen(_request(url, secret), timeout=TIMEOUT) as source:
            return source.read(), source.headers

    return _tried(url, attempt)


def _tried(
    url: str,
    attempt: Callable[[], T],
    arrived: Callable[[], int] = lambda: 0,
    say: Say = lambda line: None,
) -> T:
    """Return what an attempt to fetch gives; a lost connection is tried anew, until TRIES attempts
    in a row have brought no byte.

    arrived: gives the number of bytes that are here.
    """
    failures = 0
    while True:
        before = arrived()
        try:
            return attempt()
        except (OSError, http.client.HTTPException) as error:
            if arrived() <= before:
                failures = failures + 1
            else:
                failures = 1
            _refused(url, error, last=failures >= TRIES)
            say(f"{reason(error)}; going on at {units.size(arrived())}")
            time.sleep(failures)


def _transfer(remote: Remote, part: Path, say: Say) -> None:
    """Complete a part by what is missing of it."""

    def arrived() -> int:
        if part.exists():
            return part.stat().st_size
        return 0

    def attempt() -> None:
        try:
            _continue(remote, part, arrived(), say)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the part is longer than the file
                part.unlink()
            raise

    _tried(remote.url, attempt, arrived, lambda line: say(f"{remote.name}: {line}"))


def _continue(remote: Remote, part: Path, have: int, say: Say) -> None:
    """Append to a part of `have` bytes what is missing of it; raises OSError where that breaks
    off.
    """
    if have == remote.size:
        return
    request = _request(remote.url, remote.secret)
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as source:
        goes_on = source.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if source.status == 206 and not goes_on:
            raise OSError("the server sends another part than was asked for")
        length = source.headers.get("Content-Length")
        total = None
        if length:
            total = int(length) + (have if goes_on else 0)
        with open(part, "ab" if goes_on else "wb") as target:
            _copy(source, target, remote.name, total or remote.size, say)
    now = part.stat().st_size
    if total is not None and now != total:
        raise OSError(f"incomplete: {now:,} of {total:,} bytes")


def _copy(source: IO[bytes], target: IO[bytes], name: str, total: int | None, say: Say) -> None:
    told = time.monotonic()
    while block := source.read(CHUNK):
        target.write(block)
        if time.monotonic() - told > REPORT:
            told = time.monotonic()
            say(
                f"  {name}: {units.size(target.tell())}"
                + (f" of {units.size(total)}" if total is not None else "")
            )


def _request(url: str, secret: Mapping[str, str]) -> urllib.request.Request:
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url}: must be an http or https address", key="fetch.address")
    request = urllib.request.Request(
        url, headers={"User-Agent": "hybrid-sweep", "Accept-Encoding": "identity"}
    )
    for name, value in secret.items():
        request.add_unredirected_header(name, value)
    return request


def _refused(url: str, error: Exception, *, last: bool) -> None:
    """Raise the UserError of an answer that another try cannot change, and of the last try."""
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (401, 403):
            raise UserError(
                f"{url}: the server refuses it ({error.code}); where a set is open to members"
                " alone, accept its terms on its page and give your token: hf auth login, or"
                " HF_TOKEN",
                key="fetch.refused",
            ) from error
        if error.code in (404, 410):
            raise UserError(
                f"{url}: there is no such file ({error.code}); check data.revision",
                key="fetch.not_found",
            ) from error
    if last:
        raise UserError(
            f"{url} cannot be fetched ({reason(error)}); run the same command again and it goes on"
            " from here, or give data.path=FOLDER",
            key="fetch.unreachable",
        ) from error


def reason(error: BaseException) -> str:
    """Return what went wrong, without the name of the library that says it."""
    inner = error.reason if type(error) is urllib.error.URLError else error
    return str(inner) or type(inner).__name__


def _agrees(remote: Remote, path: Path) -> bool:
    """Return whether a file has the size and the checksum that are known."""
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return False
    if remote.checksum is None:
        return True
    kind, _, wanted = remote.checksum.partition(":")
    state = hashlib.new("sha1" if kind == "git" else kind)
    if kind == "git":  # git's name of a content: its kind and size come first
        state.update(b"blob %d\0" % size)
    with open(path, "rb") as file:
        while block := file.read(CHUNK):
            state.update(block)
    return state.hexdigest() == wanted


def _entry(remote: Remote, path: Path) -> dict[str, Any]:
    """Return what the manifest says of a file."""
    stat = path.stat()
    kind, _, wanted = (remote.checksum or "").partition(":")
    return {
        "url": remote.url,
        "checksum": remote.checksum,
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        # What was just compared is not hashed again.
        "sha256": wanted if kind == "sha256" else file_digest(path, 64),
    }


def _manifest(folder: Path) -> dict[str, Any]:
    """Return what is known of the fetched files by name; a broken file says nothing: they are
    fetched again.
    """
    manifest = read_own_json(folder / "manifest.json")
    if isinstance(manifest, dict):
        return manifest
    return {}


def _is_whole(remote: Remote, folder: Path, entry: Any, memory: Memory) -> bool:
    """Return whether a file is there with the bytes that were fetched, by its digest."""
    path = inside(folder / "files", remote.name)
    if not (
        isinstance(entry, dict) and path.is_file() and entry.get("checksum") == remote.checksum
    ):
        return False
    if path.stat().st_size != entry.get("size"):
        return False
    return memory.digest_of(path) == str(entry.get("sha256"))[:LENGTH]
