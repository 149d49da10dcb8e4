"""What is built once, and read by all."""

import subprocess
import sys

from hybrid_sweep.utils.build_once import build_once


def reader(file):
    return lambda: file.read_text() if file.is_file() else None


def test_it_is_built_where_it_is_missing_or_asked_for_again(tmp_path):
    file, built = tmp_path / "x", []

    def build():
        built.append(len(built))
        file.write_text(f"build {len(built)}")

    for refresh, found in ((False, "build 1"), (False, "build 1"), (True, "build 2")):
        assert build_once(tmp_path / "x.lock", reader(file), build, refresh=refresh) == found
    assert len(built) == 2
    file.unlink()
    assert build_once(tmp_path / "x.lock", reader(file), lambda: None) is None


def test_of_several_processes_one_builds(tmp_path):
    program = f"""
import time
from pathlib import Path
from hybrid_sweep.utils.build_once import build_once
file = Path({str(tmp_path / "x")!r})
def build():
    time.sleep(0.3)
    with open({str(tmp_path / "log")!r}, "a") as log:
        log.write("built\\n")
    file.write_text("whole")
read = lambda: file.read_text() if file.is_file() else None
assert build_once(Path({str(tmp_path / "x.lock")!r}), read, build) == "whole"
"""
    started = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait() for process in started] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "built\n"
