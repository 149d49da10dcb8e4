"""Stop and go on: bit-equal to an undisturbed run, whatever stopped it and wherever."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

from hybrid_sweep import checkpoints
from hybrid_sweep.store import file_digest, read_json

STATE = {"weights": {"w": torch.arange(3.0)}, "record": [{"step": 0, "loss": 1.5, "groups": "ab"}]}


def test_the_newest_whole_one_is_found_and_old_ones_go(tmp_path):
    for step in (3, 5, 9):
        checkpoints.save(tmp_path, "run", step, STATE)
    step, state = checkpoints.newest(tmp_path, "run")
    assert (
        step == 9 and torch.equal(state["weights"]["w"], STATE["weights"]["w"]) and state["record"] == STATE["record"]
    )
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["step-00000005.pt", "step-00000009.pt"]


@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_torn_checkpoint_is_passed_over(tmp_path, damage):
    for step in (5, 9):
        checkpoints.save(tmp_path, "run", step, STATE)
    path = tmp_path / "step-00000009.pt"
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-40] if damage == "cut" else data[:100] + bytes([data[100] ^ 1]) + data[101:])
    assert checkpoints.newest(tmp_path, "run")[0] == 5


def test_one_of_another_run_is_refused(tmp_path):
    checkpoints.save(tmp_path, "other", 5, STATE)
    with pytest.raises(RuntimeError, match="of run other, not of run"):
        checkpoints.newest(tmp_path, "run")


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoints.newest(tmp_path / "none", "run") is None


LONG = (
    "model.dropout=0.2",
    "trainer.max_steps=80",
    "model.hidden_size=64",
    "keep.checkpoint_seconds=0",
    "batch.cross_lingual_ratio=0.5",
)


def disturbed(folder, number, at):
    """Start the worker of `folder`, send it a signal once it has done `at` steps, and return its exit code."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "hybrid_sweep.worker", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and worker.poll() is None:
        steps = [int(path.stem.split("-")[1]) for path in (folder / "checkpoints").glob("step-*.json")]
        if max(steps, default=0) >= at:
            break
        time.sleep(0.01)
    assert worker.poll() is None, "the worker ended before it could be disturbed"
    if number == signal.SIGKILL:
        os.killpg(worker.pid, number)
    else:
        worker.send_signal(number)
    return worker.wait(timeout=60)


CRASH = """
import sys
from pathlib import Path
from hybrid_sweep import run, worker
def crash(*_):
    raise RuntimeError("the machine went away")
run.save_encoder = crash
sys.exit(worker.main(Path(sys.argv[1])))
"""


def test_stopped_between_the_last_step_and_the_saved_model(run, planned):
    words = ("batch.cross_lingual_ratio=0.5", "keep.checkpoint_seconds=0")
    folder = planned(*words)
    # In a process of its own, as every worker: training leaves traces in the environment.
    assert subprocess.run([sys.executable, "-c", CRASH, str(folder)], capture_output=True).returncode == 1
    assert (folder / "checkpoints" / "step-00000012.pt").is_file() and not (folder / "model").exists()
    run(*words)
    late = (folder / "per_query.parquet").read_bytes()
    assert len(pd.read_parquet(folder / "steps.parquet")) == 12
    for name in ("metrics.json", "steps.parquet"):
        (folder / name).unlink()
    run(*words)
    assert (folder / "per_query.parquet").read_bytes() == late


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_killed_anywhere_and_started_again_is_bit_equal(run, planned, ranks):
    words = (*LONG, f"trainer.devices={ranks}")
    folder = planned(*words)
    for at in (1, 17, 40):
        assert disturbed(folder, signal.SIGKILL, at) == -signal.SIGKILL
    run(*words)
    interrupted = [file_digest(folder / "model" / "model.safetensors"), (folder / "per_query.parquet").read_bytes()]
    steps = pd.read_parquet(folder / "steps.parquet").drop(columns="seconds")
    assert not (folder / "checkpoints").exists()
    for name in ("metrics.json", "steps.parquet", "per_query.parquet"):
        (folder / name).unlink()
    run(*words)
    assert interrupted == [
        file_digest(folder / "model" / "model.safetensors"),
        (folder / "per_query.parquet").read_bytes(),
    ]
    assert steps.equals(pd.read_parquet(folder / "steps.parquet").drop(columns="seconds"))


@pytest.mark.slow
def test_told_to_stop_it_writes_a_checkpoint_first(run, planned):
    words = (*LONG[:3], "keep.checkpoint_seconds=0.5", LONG[4])
    folder = planned(*words)
    assert disturbed(folder, signal.SIGTERM, 5) == 128 + signal.SIGTERM
    newest = max(read_json(path)["step"] for path in (folder / "checkpoints").glob("*.json"))
    assert newest >= 5 and read_json(folder / "status.json")["state"] != "failed"
    run(*words)
    assert len(pd.read_parquet(folder / "steps.parquet")) == 80
