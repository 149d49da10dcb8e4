"""Digests of stored files: every changed byte is noticed, and what did not change is not hashed
again.
"""

import os
import time
from pathlib import Path

import pytest

from hybrid_sweep.utils import digests
from tests.refused import refused


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.bin").write_bytes(bytes(range(256)))
    (folder / "sub" / "b.bin").write_bytes(b"more")
    return folder


def _aged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock stand a minute behind the files, so that digests are remembered."""
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(digests.time, "time_ns", lambda: later)


def test_what_was_sealed_is_whole(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    record = digests.seal(folder, ["a.bin", "sub/b.bin"])
    digests.check(folder, record)
    assert digests.holds(folder, record)


def test_every_single_bit_is_noticed(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    record = digests.seal(folder, ["a.bin"])
    content = (folder / "a.bin").read_bytes()
    for place in range(0, len(content), 7):
        for bit in (0, 7):
            spoiled = bytearray(content)
            spoiled[place] ^= 1 << bit
            (folder / "a.bin").write_bytes(bytes(spoiled))
            assert not digests.holds(folder, record)


def test_an_absent_shortened_or_linked_file_is_noticed(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    record = digests.seal(folder, ["a.bin"])
    whole = (folder / "a.bin").read_bytes()
    (folder / "a.bin").write_bytes(whole[:-1])
    assert not digests.holds(folder, record)
    (folder / "a.bin").unlink()
    assert not digests.holds(folder, record)
    (tmp_path / "elsewhere").write_bytes(whole)
    (folder / "a.bin").symlink_to(tmp_path / "elsewhere")
    assert not digests.holds(folder, record)


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {},
        3,
        "x",
        {"a.bin": 3},
        {3: "x"},
        {"../a.bin": "x"},
        {"/etc/passwd": "x"},
        {"a\0": "x"},
    ],
)
def test_a_broken_record_is_damage(tmp_path: Path, record: object) -> None:
    with refused("seals.record", kind=digests.Damaged):
        digests.check(_folder(tmp_path), record)


def test_what_did_not_change_is_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _folder(tmp_path)
    _aged(folder, monkeypatch)
    record = digests.seal(folder, ["a.bin"])
    path = tmp_path / "memory.json"
    digests.check(folder, record, digests.Memory(path))
    calls: list[Path] = []
    monkeypatch.setattr(digests, "file_digest", lambda file, length: calls.append(file) or "")
    digests.check(folder, record, digests.Memory(path))
    assert calls == []


def test_equal_size_and_time_are_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _folder(tmp_path)
    _aged(folder, monkeypatch)
    record = digests.seal(folder, ["a.bin"])
    path, file = tmp_path / "memory.json", folder / "a.bin"
    digests.check(folder, record, digests.Memory(path))
    stat = file.stat()
    content = bytearray(file.read_bytes())
    content[3] ^= 1
    file.write_bytes(bytes(content))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not digests.holds(folder, record, digests.Memory(path))


def test_another_file_of_the_same_size_and_time_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _folder(tmp_path)
    _aged(folder, monkeypatch)
    record = digests.seal(folder, ["a.bin"])
    path, file = tmp_path / "memory.json", folder / "a.bin"
    digests.check(folder, record, digests.Memory(path))
    stat = file.stat()
    other = folder / "other"
    other.write_bytes(bytes(256))
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(other, file)
    assert not digests.holds(folder, record, digests.Memory(path))


def test_a_file_that_changed_just_now_is_not_remembered(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    path = tmp_path / "memory.json"
    digests.check(folder, digests.seal(folder, ["a.bin"]), digests.Memory(path))
    assert not path.exists()


@pytest.mark.parametrize("stored", ["", "[]", "{", '{"x": 3}', '{"x": [1, 2]}', "null"])
def test_a_broken_memory_is_no_memory(tmp_path: Path, stored: str) -> None:
    folder = _folder(tmp_path)
    path = tmp_path / "memory.json"
    path.write_text(stored)
    digests.check(folder, digests.seal(folder, ["a.bin"]), digests.Memory(path))
