"""What a run keeps of the machine and the process that did it."""

import os
import subprocess
import sys

import pytest

from hybrid_sweep.runs import provenance
from hybrid_sweep.runs.provenance import git_state, peak_memory, process_age


def test_the_age_of_a_process_is_what_its_start_took():
    code = (
        "import time; time.sleep(0.5); from hybrid_sweep.runs.provenance import process_age;"
        " print(process_age())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0.5 <= float(done.stdout) < 60 and process_age() > 0


def test_the_peak_of_memory_is_not_that_of_the_program_that_started_this_one():
    held = bytearray(400 * 2**20)
    held[:: 2**12] = b"x" * len(held[:: 2**12])
    code = "from hybrid_sweep.runs.provenance import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300 < 400 <= peak_memory()
    del held


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit, as if the package were run from it."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    root = tmp_path / "code"
    (root / "hybrid_sweep" / "runs").mkdir(parents=True)
    (root / "hybrid_sweep" / "runs" / "provenance.py").touch()
    author = ["-c", "user.name=A", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    monkeypatch.setattr(provenance, "__file__", str(root / "hybrid_sweep/runs/provenance.py"))
    return root


def test_the_commit_and_changes_of_the_code_are_told(repository):
    clean = git_state()
    (repository / "hybrid_sweep" / "new.py").touch()
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    assert git_state() == {**clean, "dirty": True}


def test_a_hook_of_another_repository_does_not_count(repository, monkeypatch, tmp_path):
    told = git_state()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other"))
    assert git_state() == told


@pytest.mark.parametrize("fault", ["owner", "damaged", "no git"])
def test_where_git_does_not_tell_its_reason_is_kept(repository, monkeypatch, fault):
    if fault == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder away")
        monkeypatch.setenv("HOME", str(repository.parent))
        for path in (repository, repository / ".git"):
            os.chown(path, 65534, 65534)
    elif fault == "damaged":
        (repository / ".git" / "HEAD").write_text("x")
    else:
        monkeypatch.setenv("PATH", str(repository))
    told = git_state()
    assert list(told) == ["refused"]
    assert ("dubious" in told["refused"]) == (fault == "owner") and "\n" not in told["refused"]
