"""Locks: one holder, gone with it, whatever lies in their place, whoever removes them, whatever may
not be written.
"""

import errno
import fcntl
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from hybrid_sweep.utils import locks
from hybrid_sweep.utils.errors import UserError
from tests.refused import refused


def test_a_lease_has_one_holder(tmp_path):
    path = tmp_path / "deep" / "lock"
    first = locks.try_lease(path)
    assert first is not None and locks.try_lease(path) is None
    os.close(first)
    again = locks.try_lease(path)
    assert again is not None
    os.close(again)


def test_a_lease_passes_to_a_child_and_dies_with_it_however_it_dies(tmp_path):
    path = tmp_path / "lock"
    lease = locks.try_lease(path)
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", "import time; time.sleep(60)"], pass_fds=(lease,)
    )
    os.close(lease)
    assert locks.try_lease(path) is None
    child.kill()
    child.wait()
    again = locks.try_lease(path)
    assert again is not None
    os.close(again)


def test_a_child_that_is_not_given_the_lease_does_not_keep_it(tmp_path):
    path = tmp_path / "lock"
    lease = locks.try_lease(path)
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    os.close(lease)
    again = locks.try_lease(path)
    child.kill()
    child.wait()
    assert again is not None
    os.close(again)


def test_an_exclusive_section_waits_for_the_other(tmp_path):
    order = []

    def enter(name, seconds):
        with locks.exclusive(tmp_path / "lock"):
            order.append(f"{name} in")
            time.sleep(seconds)
            order.append(f"{name} out")

    threads = [threading.Thread(target=enter, args=(name, 0.1)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.split()[0] for entry in order[::2]] == [entry.split()[0] for entry in order[1::2]]


def put(kind, path, target):
    """Lay something that is no lock file at a path."""
    if kind == "link":
        target.write_text("")
        path.symlink_to(target)
    elif kind == "link to nothing":
        path.symlink_to(target)
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    else:
        os.mknod(path, 0o020666, os.makedev(1, 3))


ODD = ["link", "link to nothing", "FIFO", "socket", "folder", "device"]


def hold(path):
    with locks.exclusive(path):
        pass


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("lock", [locks.try_lease, hold, locks.is_held])
def test_what_is_no_lock_file_is_refused_at_once_and_left_as_it_is(
    tmp_path, monkeypatch, kind, lock
):
    path, target = tmp_path / "lock", tmp_path / "target"
    try:
        put(kind, path, target)
    except PermissionError:
        pytest.skip("only root makes devices")
    before = sorted(tmp_path.iterdir()), path.lstat()
    look = locks._check_kind
    # also where it comes into the place between the look and the opening
    for looks in ([], [None]):
        monkeypatch.setattr(
            locks, "_check_kind", lambda *given, skip=looks: skip.pop() if skip else look(*given)
        )
        with refused("locks.not_regular", path, kind.split()[0], "paths.") as refusal:
            lock(path)
        assert "\n" not in refusal.message
    after = sorted(tmp_path.iterdir()), path.lstat()
    assert after == before


@pytest.mark.parametrize("lock", [locks.try_lease, hold])
def test_a_lock_that_is_removed_or_replaced_before_it_is_held_does_not_count(
    tmp_path, monkeypatch, lock
):
    path, inner, seen = tmp_path / "lock", fcntl.flock, []

    def removed(descriptor, kind):
        if len(seen) < 2:
            path.unlink()
            if seen:
                path.write_text("")
        seen.append(os.fstat(descriptor).st_ino)
        inner(descriptor, kind)

    monkeypatch.setattr(locks.fcntl, "flock", removed)
    held = lock(path)
    assert len(seen) == 3 and path.exists()
    monkeypatch.undo()
    if held is not None:
        assert locks.try_lease(path) is None and os.fstat(held).st_ino == path.stat().st_ino
        os.close(held)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
@pytest.mark.parametrize(
    "lock, way_out", [(locks.try_lease, "paths.outputs"), (hold, "HYBRID_SWEEP_CACHE")]
)
def test_a_file_system_without_locks_is_named_with_the_way_out(
    tmp_path, monkeypatch, number, lock, way_out
):
    def refuse(descriptor, kind):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    opened = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with refused("locks.not_lockable", tmp_path / "lock", os.strerror(number), way_out):
        lock(tmp_path / "lock")
    assert not opened or len(os.listdir("/proc/self/fd")) == opened


def test_who_waits_is_told_once_what_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locks, "TELL_AFTER", 0.3)
    path = tmp_path / "lock"
    held = locks.try_lease(path)
    threading.Timer(0.9, os.close, [held]).start()
    begun = time.monotonic()
    hold(path)
    assert time.monotonic() - begun > 0.8
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and str(path) in said[0]
    hold(path)
    assert not capsys.readouterr().err


WAITER = """
import sys
from pathlib import Path
from hybrid_sweep.utils.locks import exclusive
print("begins", flush=True)
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
"""


def test_who_waits_can_be_interrupted(tmp_path):
    held = locks.try_lease(tmp_path / "lock")
    command = [sys.executable, "-c", WAITER, str(tmp_path / "lock")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begins\n"
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    rest, said = child.communicate(timeout=30)
    os.close(held)
    assert not rest and "KeyboardInterrupt" in said


def denied(number, writing=(os.O_RDWR, os.O_WRONLY)):
    """os.open of a folder that may not be written, os.mkdir likewise."""
    inner = os.open

    def opening(path, flags, *more, **named):
        if flags & os.O_ACCMODE in writing or (flags & os.O_CREAT and not os.path.exists(path)):
            raise OSError(number, os.strerror(number), os.fspath(path))
        return inner(path, flags, *more, **named)

    return opening


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_in_a_folder_that_may_only_be_read_the_lock_is_held_where_it_is_there(
    tmp_path, monkeypatch, number
):
    path = tmp_path / "lock"
    path.write_text("")
    monkeypatch.setattr(locks.os, "open", denied(number))
    with locks.exclusive(path):
        assert locks.is_held(path)
    path.unlink()
    with locks.exclusive(path):
        assert not path.exists()


def test_a_reader_on_nfs_shares_the_lock_with_other_readers_alone(tmp_path, monkeypatch):
    """There flock asks for a descriptor that may write."""
    path, inner = tmp_path / "lock", fcntl.flock
    path.write_text("")

    def as_nfs(descriptor, kind):
        if (
            kind & fcntl.LOCK_EX
            and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        ):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        inner(descriptor, kind)

    monkeypatch.setattr(locks.fcntl, "flock", as_nfs)
    monkeypatch.setattr(locks.os, "open", denied(errno.EACCES))
    with locks.exclusive(path), locks.exclusive(path):
        monkeypatch.undo()
        assert locks.try_lease(path) is None


@pytest.mark.parametrize("where", ["in it", "above it", "elsewhere"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_what_has_to_be_written_and_may_not_is_one_line_with_the_way_out(tmp_path, where, number):
    folder = tmp_path / "cache" / "tokens"
    place = {
        "in it": folder / "x" / "y",
        "above it": tmp_path / "cache",
        "elsewhere": tmp_path / "other" / "file",
    }[where]
    with pytest.raises((UserError, OSError)) as raised, locks.exclusive(folder / "x.lock"):
        raise OSError(number, os.strerror(number), str(place))
    explained = where != "elsewhere" and number != errno.ENOSPC
    assert isinstance(raised.value, UserError) == explained
    if explained:
        words = str(raised.value)
        assert raised.value.key == "locks.unwritable"
        assert str(folder) in words and "paths.cache" in words and "HYBRID_SWEEP_CACHE" in words


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="no /proc here")
def test_a_cache_where_no_folder_can_be_made_is_one_line():
    with refused("locks.no_folder", "/proc/none", "HYBRID_SWEEP_CACHE"):
        hold(pathlib.Path("/proc/none/cache/lock"))


def test_a_cache_below_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "lock", tmp_path / "file" / "tokens" / "lock"):
        with refused("locks.no_folder", "paths.cache"):
            hold(path)
