"""The live mirror is never in the way: no wandb, no key, no network, disabled, or broken, and the
run goes on.
"""

import builtins
import logging
import os
import signal
import subprocess
import sys

import psutil
import pytest

from hybrid_sweep.tracking import live, mirror
from tests import ready
from tests.wandb_server import serving
from tests.wandb_sweep_folder import files, history, kinds, summary

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A home without a login, and the client's own process ended after the test, with what it has
    kept of settings.
    """
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yield
    import wandb

    wandb.teardown()


def warnings(caplog):
    """Those of the program itself."""
    found = [record for record in caplog.records if record.name == "hybrid_sweep"]
    return [record.getMessage() for record in found if record.levelno >= logging.WARNING]


def test_disabled_by_config_or_environment(config, tmp_path, monkeypatch):
    assert live.start(config("logger=disabled"), tmp_path, "r") is None
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert live.start(config("logger=offline"), tmp_path, "r") is None
    assert not list(tmp_path.glob("wandb"))


def test_without_wandb_there_is_one_clear_line(config, tmp_path, monkeypatch, caplog):
    real = builtins.__import__

    def absent(name, *given, **more):
        if name.split(".")[0] == "wandb":
            raise ModuleNotFoundError("No module named 'wandb'")
        return real(name, *given, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert live.start(config("logger=offline"), tmp_path, "r") is None
    monkeypatch.undo()
    (line,) = warnings(caplog)
    assert "going on without it" in line and "No module named 'wandb'" in line and "\n" not in line


@pytest.mark.slow
@pytest.mark.parametrize("key", [None, KEY])
def test_without_key_or_network_the_run_is_recorded_offline(
    config, tmp_path, monkeypatch, caplog, key
):
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody answers there
    # also what the offline run has to begin in, on a busy machine
    monkeypatch.setattr(mirror, "CONNECT", 5.0)
    run = live.start(config("logger=online"), tmp_path, "r")
    live.finish(run)
    (line,) = warnings(caplog)
    assert (
        "cannot be reached" in line and "offline" in line and "\n" not in line and KEY not in line
    )
    assert summary(files(tmp_path)["r"])["state"] == "finished"


@pytest.mark.parametrize(("end", "code"), [(live.finish, 0), (live.fail, 1)])
def test_an_offline_run_is_read_back_with_all_that_was_told(config, tmp_path, end, code):
    made = config("logger=offline", "batch.cross_lingual_ratio=0.5", "seed=2", "sweep.name=first")
    run = live.start(made, tmp_path, "abc")
    live.log_metrics(run, {"train/loss": 0.5}, 1)
    live.log_metrics(run, {"train/loss": 0.1}, 2)
    live.summarise(run, {"run_id": "abc", "monolingual/RR@10": 0.25})
    live.summarise(run, {"run_id": "abc", "monolingual/RR@10": 0.125}, "xquad")
    end(run)
    ((name, file),) = files(tmp_path).items()
    found = summary(file)
    assert (name, found["run_id"], found["name"], found["exit_code"]) == (
        "abc",
        "abc",
        "r0.5-s2",
        code,
    )
    assert found["state"] == ("finished" if code == 0 else "failed")
    assert (found["config"]["ratio"], found["config"]["seed"], found["config"]["run_id"]) == (
        0.5,
        2,
        "abc",
    )
    assert (found["summary"]["monolingual/RR@10"], found["summary"]["xquad/monolingual/RR@10"]) == (
        0.25,
        0.125,
    )
    assert history(file) == [{"step": 1, "train/loss": 0.5}, {"step": 2, "train/loss": 0.1}]


@pytest.mark.slow
def test_a_run_that_was_told_to_stop_is_marked_as_pre_empted(config, tmp_path):
    for name, error in (("stopped", SystemExit), ("broken", RuntimeError)):
        run = live.start(config("logger=offline"), tmp_path, name)
        with pytest.raises(error):
            try:
                raise error
            finally:
                live.fail(run)
    found = files(tmp_path)
    assert "preempting" in kinds(found["stopped"]) and "preempting" not in kinds(found["broken"])
    assert [summary(found[name])["state"] for name in ("stopped", "broken")] == ["failed", "failed"]


def test_nothing_of_the_repository_the_command_line_or_the_machine_is_told(
    config, tmp_path, monkeypatch
):
    """The address of a remote, or a word of a command, can hold a password."""
    repository = tmp_path / "repository"
    git = ["git", "-C", repository, "-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run(["git", "init", "-q", repository], check=True)
    subprocess.run(
        [*git, "remote", "add", "origin", "https://host.invalid/told-of-a-remote.git"], check=True
    )
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "argv", [*sys.argv, "told-of-a-word"])
    live.finish(live.start(config("logger=offline"), tmp_path / "run", "r"))
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert [path for path in written if b"told-of-a-" in path.read_bytes()] == []
    assert files(tmp_path / "run") and "wandb-metadata.json" not in [path.name for path in written]
    assert "environment" not in kinds(files(tmp_path / "run")["r"])


class Broken:
    id = "r"
    calls = 0

    def __getattr__(self, name):
        Broken.calls += 1
        raise OSError("disk full")


def test_a_mirror_that_breaks_is_left_alone_after_one_line(caplog):
    run = live.Mirror(Broken())
    for tell in (
        lambda to: live.log_metrics(to, {"x": 1.0}, 5),
        live.finish,
        live.fail,
    ):
        tell(run)
        tell(None)
    (line,) = warnings(caplog)
    assert "disk full" in line and "going on without it" in line and Broken.calls == 1


ORPHAN = """
import os, signal, sys, time
from pathlib import Path
import psutil
from hybrid_sweep.tracking import lightning_logger
told, count = lightning_logger.log_metrics, []
def log_metrics(to, metrics, step):
    if step == 4:
        for child in psutil.Process().children(recursive=True):
            if child.name() == "wandb-core":
                child.kill(); child.wait(); count.append(child)
        assert count
    told(to, metrics, step)
lightning_logger.log_metrics = log_metrics
from hybrid_sweep.sweeps import worker
sys.exit(worker.main(Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_training_goes_on_when_the_client_s_process_is_killed(planned):
    folder = planned("logger=offline")
    done = ready.run(["-c", ORPHAN, folder], timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (folder / "metrics.json").is_file() and done.stderr.count(
        "takes no more of this run"
    ) == 1


STOPPED = """
import sys, time
from hybrid_sweep.config.validate import stored
from hybrid_sweep.tracking import live
from pathlib import Path
folder = Path(sys.argv[1])
run = live.start(stored(folder), folder, "abc")
for step in range(int(sys.argv[2]), int(sys.argv[3])):
    live.log_metrics(run, {"train/loss": 1.0 / step}, step)
time.sleep(float(sys.argv[4]))
print("told", flush=True)
sys.stdin.read()
live.finish(run)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_under_its_id_on_the_server(planned, monkeypatch):
    folder = planned("logger=online")
    with serving() as server:
        env = {**os.environ, "WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.address}
        command = [sys.executable, "-c", STOPPED, str(folder)]
        with subprocess.Popen(
            [*command, "1", "4", "3"], env=env, stdin=-1, stdout=-1, stderr=-1
        ) as first:
            assert first.stdout.readline()
            clients = psutil.Process(first.pid).children(recursive=True)
            os.kill(first.pid, signal.SIGKILL)
            # the client's own process may still send what it has
            assert not psutil.wait_procs(clients, timeout=60)[1]
        before = len(server.runs["abc"]["history"])
        done = subprocess.run(
            [*command, "4", "6", "0"], env=env, input="", capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        run = server.runs["abc"]
        assert list(server.runs) == ["abc"] and run["resumed"] and run["exit"] == 0
        assert len(run["history"]) == before + 2 and KEY.encode() not in server.seen
