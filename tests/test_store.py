"""Files that are never half-written, leases that die with their process."""

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

from hybrid_sweep import store


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "deep" / "file.json"
    store.write_json(path, {"old": 1})
    with pytest.raises(ZeroDivisionError), store.atomic_write(path) as temporary:
        temporary.write_text("half")
        assert json.loads(path.read_text()) == {"old": 1} and temporary.suffix == ".json"
        raise ZeroDivisionError
    assert json.loads(path.read_text()) == {"old": 1} and list(path.parent.iterdir()) == [path]


def test_written_files_have_the_usual_mode(tmp_path):
    before = os.umask(0o022)
    try:
        store.write_json(tmp_path / "file", 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_reader_sees_a_whole_file_at_every_moment(tmp_path):
    path = tmp_path / "file"
    store.write_json(path, list(range(5000)))
    ended = threading.Event()

    def write():
        for size in range(60):
            store.write_json(path, list(range(5000 + size)))
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not ended.is_set():
        found = json.loads(path.read_text())
        assert found == list(range(len(found))) and len(found) >= 5000
    thread.join()


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    store.write_json(path, "old")
    code = (
        "import os, sys; from hybrid_sweep.store import atomic_write; from pathlib import Path\n"
        "with atomic_write(Path(sys.argv[1])) as t:\n t.write_text('half'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == -signal.SIGKILL
    assert store.read_json(path) == "old"


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder"
    for text in ("one", "two"):
        with store.atomic_dir(path) as temporary:
            (temporary / text).write_text(text)
    with pytest.raises(ZeroDivisionError), store.atomic_dir(path) as temporary:
        (temporary / "three").write_text("half")
        raise ZeroDivisionError
    assert [each.name for each in path.iterdir()] == ["two"] and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", [None, "", "{", "\x00\x01", "[1,"])
def test_what_is_absent_or_damaged_reads_as_none(tmp_path, text):
    if text is not None:
        (tmp_path / "file").write_text(text)
    assert store.read_json(tmp_path / "file") is None
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    assert store.read_json(tmp_path / "bytes") is None and store.read_json(tmp_path) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_the_digest_does_not_depend_on_the_order_of_keys(value):
    backwards = dict(reversed(value.items()))
    assert store.digest(value) == store.digest(backwards) and len(store.digest(value, 20)) == 20
    assert store.digest(json.loads(json.dumps(value))) == store.digest(value)


@given(VALUES, VALUES)
def test_different_content_has_a_different_digest(one, other):
    assert (store.digest(one) == store.digest(other)) == (store.canonical(one) == store.canonical(other))


def test_what_has_no_one_text_has_no_digest():
    for value in (float("nan"), float("inf"), {1, 2}, b"x"):
        with pytest.raises((ValueError, TypeError)):
            store.digest([value])


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    import hashlib

    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert store.file_digest(tmp_path / "file", 64) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_lease_has_one_holder(tmp_path):
    path = tmp_path / "deep" / "lock"
    first = store.try_lease(path)
    assert first is not None and store.try_lease(path) is None
    os.close(first)
    again = store.try_lease(path)
    assert again is not None
    os.close(again)


def test_a_lease_passes_to_a_child_and_dies_with_it_however_it_dies(tmp_path):
    path = tmp_path / "lock"
    lease = store.try_lease(path)
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], pass_fds=(lease,))
    os.close(lease)
    assert store.try_lease(path) is None
    child.kill()
    child.wait()
    again = store.try_lease(path)
    assert again is not None
    os.close(again)


def test_a_child_that_is_not_given_the_lease_does_not_keep_it(tmp_path):
    path = tmp_path / "lock"
    lease = store.try_lease(path)
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    os.close(lease)
    again = store.try_lease(path)
    child.kill()
    child.wait()
    assert again is not None
    os.close(again)


def test_an_exclusive_section_waits_for_the_other(tmp_path):
    order = []

    def enter(name, seconds):
        with store.exclusive(tmp_path / "lock"):
            order.append(f"{name} in")
            time.sleep(seconds)
            order.append(f"{name} out")

    threads = [threading.Thread(target=enter, args=(name, 0.1)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.split()[0] for entry in order[::2]] == [entry.split()[0] for entry in order[1::2]]


@pytest.mark.parametrize("kind", ["atomic_write", "atomic_dir"])
def test_what_fails_on_a_full_disk_says_so_whatever_the_writer_makes_of_it(tmp_path, monkeypatch, kind):
    """torch, for one, raises RuntimeError and says nothing of the disk."""
    for is_full, wanted in ((True, OSError), (False, RuntimeError)):
        monkeypatch.setattr(store, "full", lambda folder, is_full=is_full: is_full)
        with pytest.raises(wanted), getattr(store, kind)(tmp_path / "file"):
            raise RuntimeError("PytorchStreamWriter failed")
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(store, "full", lambda folder: True)
    with pytest.raises(OSError, match=r"No space left on device.*file"), getattr(store, kind)(tmp_path / "file"):
        raise RuntimeError("PytorchStreamWriter failed")
