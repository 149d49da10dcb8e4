"""A cache that may only be read: what another user has prepared is used; what is missing is one
line with the way out.
"""

import contextlib
import errno
import io
import os
import shutil
from pathlib import Path

import pytest

from hybrid_sweep.commands import cli
from hybrid_sweep.config.compose import points
from hybrid_sweep.inputs import prepare
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.models.folder import content_digests
from tests.refused import refused
from tests.small import SMALL
from tests.users import as_another_user


def composed(cache: Path):
    words = [*SMALL, "data.languages=[xa,xb]", "logger=disabled", f"paths.cache={cache}"]
    ((_, found),) = points(words, multirun=False)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A prepared cache, and what a run on it is."""
    cache = tmp_path_factory.mktemp("whole") / "cache"
    return cache, described(composed(cache))


@pytest.fixture
def made(shared_path, whole):
    """The config of a run on a copy of the prepared cache, times included."""
    shutil.copytree(whole[0], shared_path / "cache")
    return composed(shared_path / "cache")


def content(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino)
        for path in sorted(folder.rglob("*"))
    }


def close(folder: Path, umask: int = 0) -> None:
    """Leave a cache as its owner made it under a umask."""
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o755 if path.is_dir() else 0o644) & ~umask)


def described(config) -> list:
    """What a run is named by, and what it reads."""
    ready = prepare.prepare(config)
    marks = prepare.fingerprints_of(config, ready)
    return [
        marks,
        len(ready.queries),
        int(ready.passages.ids.sum()),
        len(ready.pairs),
        len(plan_of(config)),
    ]


@pytest.mark.parametrize("locks", ["there", "removed", "closed"])
def test_what_another_user_has_prepared_is_used_and_left_as_it_is(shared_path, made, whole, locks):
    cache = shared_path / "cache"
    close(cache)
    for lock in cache.rglob("*.lock"):
        if locks == "removed":
            lock.unlink()
        elif locks == "closed":
            lock.chmod(0o600)
    before = content(cache)
    assert as_another_user(lambda: described(made)) == whole[1]
    assert content(cache) == before


def test_a_cache_that_was_copied_is_compared_though_nothing_is_remembered(shared_path, made, whole):
    """The times of its files are no longer those that were written down."""
    cache = shared_path / "cache"
    for path in cache.rglob("*.arrow"):
        os.utime(path)
    close(cache)
    before = content(cache)
    assert as_another_user(lambda: described(made)) == whole[1]
    assert content(cache) == before


def told(config) -> str:
    with refused("locks.unwritable") as refusal:
        described(config)
    return refusal.message


@pytest.mark.parametrize("part", ["collections", "selections", "models", "tokens", "pairs"])
@pytest.mark.parametrize("fault", ["missing", "damaged", "gone with its folder"])
def test_what_is_missing_or_damaged_there_is_one_line_with_the_way_out(
    shared_path, made, part, fault
):
    cache = shared_path / "cache"
    if fault == "gone with its folder":
        shutil.rmtree(cache / part)
    for entry in [path for path in (cache / part).glob("*") if path.is_dir()]:
        if fault == "missing":
            shutil.rmtree(entry)
        else:
            for file in entry.iterdir():
                file.write_bytes(file.read_bytes()[:-9])
    close(cache)
    said = as_another_user(lambda: told(made))
    assert (
        str(cache / part) in said
        and "paths.cache" in said
        and "HYBRID_SWEEP_CACHE" in said
        and "\n" not in said
    )


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_cache_on_a_file_system_that_is_mounted_read_only_is_used(
    shared_path, made, whole, monkeypatch, number
):
    cache = shared_path / "cache"
    for lock in list(cache.rglob("*.lock"))[::2]:
        lock.unlink()
    before, inner = content(cache), os.open

    def opening(path, flags, *more, **named):
        if str(path).startswith(str(cache)) and flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(number, os.strerror(number), os.fspath(path))
        return inner(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", opening)
    assert described(made) == whole[1] and content(cache) == before
    shutil.rmtree(cache / "tokens")
    monkeypatch.setattr(os, "mkdir", lambda path, *_: opening(path, os.O_CREAT))
    said = told(made)
    assert (
        str(cache / "tokens") in said
        and os.strerror(number) in said
        and "HYBRID_SWEEP_CACHE" in said
    )


@pytest.mark.parametrize("home", ["closed", "absent", "a file"])
def test_a_home_that_cannot_be_written_is_bad_input_with_the_way_out(
    shared_path, cache, monkeypatch, home
):
    folder = shared_path / "home"
    if home == "closed":
        folder.mkdir(0o755)
    elif home == "a file":
        folder.write_text("")
    outputs = shared_path / "outputs"
    outputs.mkdir()
    outputs.chmod(0o777)
    words = ["plan", *SMALL, "logger=disabled", f"paths.outputs={outputs}"]
    assert cli.main(words) == 0  # and all is imported, which another user may not do
    monkeypatch.delenv("HYBRID_SWEEP_CACHE")
    monkeypatch.setenv("HOME", str(folder))

    def run():
        with contextlib.redirect_stderr(io.StringIO()) as said:
            code = cli.main(words)
        return [code, said.getvalue()]

    code, said = as_another_user(run)
    assert code == 2 and said.count("\n") == 1 and str(folder) in said
    assert "paths.cache" in said and "HYBRID_SWEEP_CACHE" in said


def test_no_home_at_all_is_bad_input_with_the_way_out(config, monkeypatch):
    made = config()
    monkeypatch.delenv("HYBRID_SWEEP_CACHE")

    def nowhere(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nowhere)
    with refused("config.paths.cache", "paths.cache", "HYBRID_SWEEP_CACHE"):
        prepare.cache_dir(made)


def test_the_digest_of_a_large_file_is_computed_where_it_cannot_be_remembered(shared_path, made):
    file, cache = shared_path / "model.safetensors", shared_path / "cache"
    file.write_bytes(b"x" * 1_100_000)
    close(cache)
    before = content(cache)
    found = as_another_user(lambda: content_digests([file], cache))
    assert content(cache) == before and found == content_digests([file], cache)
