"""Files that are never half-written, with the permissions that the umask leaves."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_sweep.utils import files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "deep" / "file.json"
    files.write_json(path, {"old": 1})
    with pytest.raises(ZeroDivisionError), files.atomic_write(path) as temporary:
        temporary.write_text("half")
        assert json.loads(path.read_text()) == {"old": 1} and temporary.suffix == ".json"
        raise ZeroDivisionError
    assert json.loads(path.read_text()) == {"old": 1} and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o027, 0o077])
def test_what_is_written_has_the_permissions_that_the_umask_leaves(tmp_path, umask):
    """Also where a writer makes files for their owner alone, as that of safetensors does."""
    before = os.umask(umask)
    try:
        files.write_json(tmp_path / "file", 1)
        with files.atomic_dir(tmp_path / "folder") as temporary:
            (temporary / "inner").mkdir(0o700)
            for name, mode in (("private", 0o600), ("inner/open", 0o666), ("inner/program", 0o755)):
                (temporary / name).write_text("")
                (temporary / name).chmod(mode)
            (temporary / "link").symlink_to(tmp_path / "file")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    found = {
        path: stat.S_IMODE(path.lstat().st_mode)
        for path in tmp_path.rglob("*")
        if not path.is_symlink()
    }
    folders = {tmp_path / "folder", tmp_path / "folder" / "inner"}
    assert (
        found == {path: (0o777 if path in folders else 0o666) & ~umask for path in found}
        and len(found) == 6
    )


def test_a_folder_keeps_the_group_that_it_inherits(tmp_path):
    tmp_path.chmod(0o2775)
    with files.atomic_dir(tmp_path / "folder") as temporary:
        assert temporary.stat().st_mode & stat.S_ISGID
    assert (tmp_path / "folder").stat().st_mode & stat.S_ISGID


def test_the_umask_survives_threads_that_ask_for_it(monkeypatch):
    """It can only be read by setting it: a thread that reads meanwhile must not take what is set
    for what was.
    """
    inner, before = os.umask, os.umask(0o022)

    def slow(mask):
        found = inner(mask)
        time.sleep(0.001)
        return found

    monkeypatch.setattr(os, "umask", slow)
    try:
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda: found.extend(files.umask() for _ in range(20)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(found) == {0o022} and len(found) == 80
    finally:
        assert inner(before) == 0o022


def test_a_reader_sees_a_whole_file_at_every_moment(tmp_path):
    path = tmp_path / "file"
    files.write_json(path, list(range(5000)))
    ended = threading.Event()

    def write():
        for size in range(60):
            files.write_json(path, list(range(5000 + size)))
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not ended.is_set():
        found = json.loads(path.read_text())
        assert found == list(range(len(found))) and len(found) >= 5000
    thread.join()


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    files.write_json(path, "old")
    code = (
        "import os, sys; from hybrid_sweep.utils.files import atomic_write; from pathlib import Path\n"
        "with atomic_write(Path(sys.argv[1])) as t:\n t.write_text('half'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == -signal.SIGKILL
    assert files.read_json(path) == "old"


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder"
    for text in ("one", "two"):
        with files.atomic_dir(path) as temporary:
            (temporary / text).write_text(text)
    with pytest.raises(ZeroDivisionError), files.atomic_dir(path) as temporary:
        (temporary / "three").write_text("half")
        raise ZeroDivisionError
    assert [each.name for each in path.iterdir()] == ["two"] and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", [None, "", "{", "\x00\x01", "[1,"])
def test_what_is_absent_or_damaged_reads_as_none(tmp_path, text):
    if text is not None:
        (tmp_path / "file").write_text(text)
    assert files.read_json(tmp_path / "file") is None
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    assert files.read_json(tmp_path / "bytes") is None and files.read_json(tmp_path) is None


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_the_digest_does_not_depend_on_the_order_of_keys(value):
    backwards = dict(reversed(value.items()))
    assert files.digest(value) == files.digest(backwards) and len(files.digest(value, 20)) == 20
    assert files.digest(json.loads(json.dumps(value))) == files.digest(value)


@given(VALUES, VALUES)
def test_different_content_has_a_different_digest(one, other):
    assert (files.digest(one) == files.digest(other)) == (
        files.canonical(one) == files.canonical(other)
    )


def test_what_has_no_one_text_has_no_digest():
    for value in (float("nan"), float("inf"), {1, 2}, b"x"):
        with pytest.raises((ValueError, TypeError)):
            files.digest([value])


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    import hashlib

    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert files.file_digest(tmp_path / "file", 64) == hashlib.sha256(b"abc" * 100_000).hexdigest()


@pytest.mark.parametrize("kind", ["atomic_write", "atomic_dir"])
def test_what_fails_on_a_full_disk_says_so_whatever_the_writer_makes_of_it(
    tmp_path, monkeypatch, kind
):
    """torch, for one, raises RuntimeError and says nothing of the disk."""
    for is_full, wanted in ((True, OSError), (False, RuntimeError)):
        monkeypatch.setattr(files, "full", lambda folder, is_full=is_full: is_full)
        with pytest.raises(wanted), getattr(files, kind)(tmp_path / "file"):
            raise RuntimeError("PytorchStreamWriter failed")
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(files, "full", lambda folder: True)
    with (
        pytest.raises(OSError, match=r"No space left on device.*file"),
        getattr(files, kind)(tmp_path / "file"),
    ):
        raise RuntimeError("PytorchStreamWriter failed")
