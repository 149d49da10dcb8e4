"""Stop and go on: bit-equal to an undisturbed run, whatever stopped it and wherever."""

import hashlib
import os
import pickle
import signal
import time
import types
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from hybrid_sweep.training import checkpoints
from hybrid_sweep.utils.files import file_digest, read_json, write_json
from tests import ready
from tests.waiting import alive
from tests.wandb_sweep_folder import files, kinds, summary

STATE = {"weights": {"w": torch.arange(3.0)}, "record": [{"step": 0, "loss": 1.5, "groups": "ab"}]}


def test_the_newest_whole_one_is_found_and_old_ones_go(tmp_path):
    for step in (3, 5, 9):
        checkpoints.save(tmp_path, "run", step, STATE)
    step, state = checkpoints.newest(tmp_path, "run")
    assert (
        step == 9
        and torch.equal(state["weights"]["w"], STATE["weights"]["w"])
        and state["record"] == STATE["record"]
    )
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == [
        "step-00000005.pt",
        "step-00000009.pt",
    ]


@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_torn_checkpoint_is_passed_over(tmp_path, damage):
    for step in (5, 9):
        checkpoints.save(tmp_path, "run", step, STATE)
    path = tmp_path / "step-00000009.pt"
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            data[:-40] if damage == "cut" else data[:100] + bytes([data[100] ^ 1]) + data[101:]
        )
    assert checkpoints.newest(tmp_path, "run")[0] == 5


def test_the_best_weights_that_any_checkpoint_names_are_kept(tmp_path):
    def kept():
        return sorted(int(path.stem.removeprefix("best-")) for path in tmp_path.glob("best-*.pt"))

    def step(at, best, new=False, checkpoint=True):
        if new:
            checkpoints.save_best(tmp_path, at, {"w": torch.tensor([float(at)])})
        if checkpoint:
            checkpoints.save(tmp_path, "run", at, STATE, best)

    step(2, 2, new=True)
    step(4, 4, new=True)
    assert kept() == [2, 4]  # a run killed now may go on from step 2, if the file of step 4 is torn
    step(6, 6, new=True, checkpoint=False)
    step(8, 8, new=True, checkpoint=False)
    assert kept() == [2, 4, 8]
    step(10, 8)
    assert kept() == [4, 8]
    step(12, 8)
    assert kept() == [8] and checkpoints.load_best(tmp_path, 8)["w"].item() == 8


def test_one_of_another_run_is_refused(tmp_path):
    checkpoints.save(tmp_path, "other", 5, STATE)
    with pytest.raises(RuntimeError, match="of run other, not of run"):
        checkpoints.newest(tmp_path, "run")


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoints.newest(tmp_path / "none", "run") is None


def three_with_best(folder):
    """Checkpoints after 2 and 4 steps, the best weights of the first from step 2, of the second
    from step 4.
    """
    for step in (2, 4):
        checkpoints.save_best(folder, step, {"w": torch.tensor([float(step)])})
        checkpoints.save(folder, "run", step, STATE, step)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "link", "other", "folder"])
def test_lost_or_damaged_best_weights_make_a_run_go_on_from_an_older_checkpoint(tmp_path, damage):
    three_with_best(tmp_path / "c")
    path = tmp_path / "c" / "best-00000004.pt"
    data = path.read_bytes()
    path.unlink()
    if damage == "flip":
        path.write_bytes(data[:-60] + bytes([data[-60] ^ 1]) + data[-59:])
    elif damage == "cut":
        path.write_bytes(data[:-9])
    elif damage == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    elif damage == "other":
        path.write_bytes((tmp_path / "c" / "best-00000002.pt").read_bytes())
    elif damage == "folder":
        path.mkdir()
    assert checkpoints.newest(tmp_path / "c", "run")[0] == 2
    with pytest.raises(RuntimeError, match="lost or damaged"):
        checkpoints.load_best(tmp_path / "c", 4)
    assert checkpoints.load_best(tmp_path / "c", 2)["w"].item() == 2
    (tmp_path / "c" / "best-00000002.pt").unlink()
    assert checkpoints.newest(tmp_path / "c", "run") is None  # it begins again


@pytest.mark.parametrize(
    "change",
    [
        {"step": "9"},
        {"step": 9.0},
        {"step": None},
        {"step": 10**30},
        {"step": -1},
        {"step": True},
        {"step": 8},
        {"best": "4"},
        {"best": 10**30},
        {"best": [4]},
        {"best": 12},
        {"best": 4, "best_sha256": 3},
        {"best": 4, "best_sha256": None},
        {"sha256": 7},
        {"sha256": None},
        {"run_id": 3},
        {"run_id": None},
        [],
        {},
        3,
        "x",
        None,
        "{half",
    ],
)
def test_a_note_of_any_content_is_passed_over(tmp_path, change):
    three_with_best(tmp_path)
    checkpoints.save(tmp_path, "run", 9, STATE, 4)
    note = tmp_path / "step-00000009.json"
    known = read_json(note)
    write_json(note, {**known, **change} if change and isinstance(change, dict) else change)
    assert checkpoints.newest(tmp_path, "run")[0] == 4
    # which looks at all notes for what to keep
    checkpoints.save_best(tmp_path, 10, {"w": torch.zeros(1)})
    assert checkpoints.load_best(tmp_path, 4)["w"].item() == 4
    checkpoints.save(tmp_path, "run", 11, STATE, 10)
    assert checkpoints.newest(tmp_path, "run")[0] == 11


@pytest.mark.parametrize(
    "name", ["step-abc.json", "step-99999999.json", "step-9.json", "best-xyz.pt", "best-.pt"]
)
def test_files_of_other_names_neither_stop_a_run_nor_take_the_place_of_a_checkpoint(tmp_path, name):
    three_with_best(tmp_path)
    (tmp_path / name).write_text('{"step": "abc"}')
    assert checkpoints.newest(tmp_path, "run")[0] == 4
    for step in (5, 6, 7):
        checkpoints.save(tmp_path, "run", step, STATE, 4)
        assert checkpoints.newest(tmp_path, "run")[0] == step
    (tmp_path / "step-00000007.pt").unlink()
    assert checkpoints.newest(tmp_path, "run")[0] == 6, "the one before the newest is kept too"


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04N.", pickle.dumps(print)])
def test_a_checkpoint_that_is_none_is_passed_over_though_its_digest_holds(tmp_path, content):
    three_with_best(tmp_path)
    note = tmp_path / "step-00000004.json"
    note.with_suffix(".pt").write_bytes(content)
    write_json(note, {**read_json(note), "sha256": hashlib.sha256(content).hexdigest()})
    assert checkpoints.newest(tmp_path, "run")[0] == 2


def test_notes_of_an_earlier_version_are_gone_on_with_and_sealed_from_then_on(tmp_path):
    three_with_best(tmp_path)
    for note in tmp_path.glob("step-*.json"):
        write_json(
            note, {name: value for name, value in read_json(note).items() if name != "best_sha256"}
        )
    for seal in tmp_path.glob("best-*.json"):
        seal.unlink()
    assert (
        checkpoints.newest(tmp_path, "run")[0] == 4
        and checkpoints.load_best(tmp_path, 4)["w"].item() == 4
    )
    checkpoints.save(tmp_path, "run", 6, STATE, 4)
    assert checkpoints.newest(tmp_path, "run")[0] == 6
    checkpoints.save(tmp_path, "run", 8, STATE, 4)
    data = (tmp_path / "best-00000004.pt").read_bytes()
    (tmp_path / "best-00000004.pt").write_bytes(data[:-60] + bytes([data[-60] ^ 1]) + data[-59:])
    assert checkpoints.newest(tmp_path, "run") is None
    (tmp_path / "best-00000004.pt").unlink()
    assert checkpoints.newest(tmp_path, "run") is None


def test_what_lies_beyond_the_step_that_a_run_went_back_to_is_dropped(tmp_path):
    for step in (5, 9):
        checkpoints.save(tmp_path, "run", step, STATE)
    (tmp_path / "step-00000009.pt").write_bytes(b"torn")
    checkpoints.save(tmp_path, "run", 7, STATE)
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == [
        "step-00000005.pt",
        "step-00000007.pt",
    ]


LONG = (
    "model.dropout=0.2",
    "trainer.max_steps=80",
    "model.hidden_size=64",
    "keep.checkpoint_seconds=0",
    "batch.cross_lingual_ratio=0.5",
)


def disturbed(folder, number, at, alone=False, before=None):
    """Start the worker of `folder`, send a signal once it has done `at` steps, and return its exit
    code.

    The signal goes to its whole process group, or to the main process alone; `before` is given the
    group's members first.
    """
    worker = ready.start(["-m", "hybrid_sweep.worker", folder])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and worker.poll() is None:
        steps = [
            int(path.stem.split("-")[1]) for path in (folder / "checkpoints").glob("step-*.json")
        ]
        if max(steps, default=0) >= at:
            break
        time.sleep(0.01)
    assert worker.poll() is None, "the worker ended before it could be disturbed"
    if before is not None:
        before(group(worker.pid))
    worker.send_signal(number) if alone else os.killpg(worker.pid, number)
    return worker.wait(timeout=60)


CRASH = """
import sys
from pathlib import Path
from hybrid_sweep.runs import retention
from hybrid_sweep.sweeps import worker
def crash(*_):
    raise RuntimeError("the machine went away")
retention.save_encoder = crash
sys.exit(worker.main(Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_stopped_between_the_last_step_and_the_saved_model(run, planned):
    words = ("batch.cross_lingual_ratio=0.5", "keep.checkpoint_seconds=0")
    folder = planned(*words)
    # In a process of its own, as every worker: training leaves traces in the environment.
    assert ready.run(["-c", CRASH, folder]).returncode == 1
    assert (folder / "checkpoints" / "step-00000012.pt").is_file() and not (
        folder / "model"
    ).exists()
    run(*words)
    late = (folder / "per_query.parquet").read_bytes()
    assert len(pd.read_parquet(folder / "steps.parquet")) == 12
    for name in ("metrics.json", "steps.parquet"):
        (folder / name).unlink()
    run(*words)
    assert (folder / "per_query.parquet").read_bytes() == late


STOPPED = """
import os, signal, sys
from pathlib import Path
from hybrid_sweep.sweeps import worker
from hybrid_sweep.training import lightning_module
inner = lightning_module.Retriever.training_step
def step(self, batch):
    if batch.step == 5:
        os.kill(os.getpid(), signal.SIGTERM)
    return inner(self, batch)
lightning_module.Retriever.training_step = step
sys.exit(worker.main(Path(sys.argv[1])))
"""


def stopped_and_not(run, planned, *words):
    """The weights and the record of a run that was told to stop in its sixth step and went on, and
    of an undisturbed one.
    """
    folder, found = planned(*words), []
    done = ready.run(["-c", STOPPED, folder])
    assert done.returncode == 128 + signal.SIGTERM, done.stderr[-2000:]
    assert [read_json(path)["step"] for path in (folder / "checkpoints").glob("*.json")] == [6]
    for _ in range(2):
        run(*words)
        steps = pd.read_parquet(folder / "steps.parquet").drop(columns="seconds")
        found.append((file_digest(folder / "model" / "model.safetensors"), steps.to_csv()))
        for name in ("metrics.json", "steps.parquet"):
            (folder / name).unlink()
    return found


@pytest.mark.slow
def test_a_stopped_run_in_double_precision_is_not_rounded_when_it_goes_on(run, planned):
    again, undisturbed = stopped_and_not(
        run, planned, "trainer.precision=64-true", "model.dropout=0.2"
    )
    assert again == undisturbed


def traces(folder):
    """What a run leaves that must not depend on whether it was disturbed."""
    digests = {
        name: file_digest(folder / name / "model.safetensors") for name in ("model", "model-last")
    }
    steps = pd.read_parquet(folder / "steps.parquet").drop(columns="seconds")
    return {
        **digests,
        "optimizer": weights_of(
            torch.load(folder / "optimizer.pt", weights_only=True)["state"]["state"]
        ),
        "steps": steps.to_csv(),
        "per_query": (folder / "per_query.parquet").read_bytes(),
        "dev": (folder / "dev.parquet").read_bytes(),
        "curve": read_json(folder / "metrics.json")["dev"],
    }


def weights_of(state):
    """The moments of every weight as bytes, in order."""
    return [
        (key, name, moments[name].numpy().tobytes())
        for key, moments in state.items()
        for name in sorted(moments)
    ]


# At this rate the best step is not the last one.
SELECT = (
    "trainer.lr=0.02",
    "eval.dev_every=6",
    "eval.dev_metric=monolingual/xa/RR@10",
    "eval.select=best",
    "keep.other_model=true",
    "keep.optimizer=true",
)


@pytest.mark.slow
@pytest.mark.parametrize(("ranks", "workers"), [(1, 0), (1, 2), (2, 0)])
def test_killed_anywhere_and_started_again_is_bit_equal(run, planned, ranks, workers):
    words = (*LONG, *SELECT, f"trainer.devices={ranks}", f"trainer.workers={workers}")
    folder = planned(*words)
    for at in (1, 17, 40):
        assert disturbed(folder, signal.SIGKILL, at) == -signal.SIGKILL
    run(*words)
    interrupted = traces(folder)
    assert not (folder / "checkpoints").exists()
    if ranks not in UNDISTURBED:
        for name in ("metrics.json", "steps.parquet", "per_query.parquet", "dev.parquet"):
            (folder / name).unlink()
        run(*words)
        UNDISTURBED[ranks] = traces(folder)
    assert interrupted == UNDISTURBED[ranks]
    assert interrupted["model"] != interrupted["model-last"]


# The traces of a run that nothing stopped by its number of ranks; processes that read ahead are no
# part of what it gives.
UNDISTURBED: dict[int, dict[str, Any]] = {}


@pytest.mark.slow
def test_no_data_worker_outlives_a_killed_run(planned):
    """Only the main process is killed, as the kernel does when memory is short; its children must
    see that and leave.
    """
    folder = planned(*LONG, "trainer.workers=2")
    members = []
    assert (
        disturbed(folder, signal.SIGKILL, 5, alone=True, before=members.extend) == -signal.SIGKILL
    )
    assert len(members) >= 3  # the main process and two that read ahead
    deadline = time.monotonic() + 60
    while (left := [pid for pid in members if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left


def group(leader):
    """The processes of a process group."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(path.name)) == leader and alive(int(path.name)):
                found.append(int(path.name))
        except ProcessLookupError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("ranks", "workers"), [(1, 0), (1, 2), (2, 0)])
def test_told_to_stop_it_writes_a_checkpoint_first(run, planned, ranks, workers):
    """A scheduler tells every process of the run."""
    more = (f"trainer.devices={ranks}", f"trainer.workers={workers}")
    # So many steps that it is told long before the last one, however late this process comes to it.
    words = (
        LONG[0],
        "trainer.max_steps=160",
        LONG[2],
        "keep.checkpoint_seconds=0.5",
        LONG[4],
        *more,
    )
    folder = planned(*words)
    assert disturbed(folder, signal.SIGTERM, 5) == 128 + signal.SIGTERM
    newest = max(read_json(path)["step"] for path in (folder / "checkpoints").glob("*.json"))
    assert newest >= 5 and read_json(folder / "status.json")["state"] != "failed"
    run(*words)
    assert len(pd.read_parquet(folder / "steps.parquet")) == 160


@pytest.mark.parametrize("when", ["gather", "save"])
def test_a_word_to_stop_that_comes_while_ranks_agree_or_save_counts_after_the_next_step(
    tmp_path, monkeypatch, when
):
    """Else it is lost, or this rank stops while the others go on and wait for it for ever."""
    seconds = 0.0 if when == "save" else 600.0
    callback = checkpoints.Checkpointing(tmp_path, "run", seconds, None, checkpoints.History("x"))
    module = types.SimpleNamespace(device="cpu", record=[0], encoder=torch.nn.Linear(1, 1))
    schedule = types.SimpleNamespace(scheduler=types.SimpleNamespace(state_dict=dict))
    trainer: Any = types.SimpleNamespace(
        precision_plugin=types.SimpleNamespace(state_dict=dict),
        world_size=2,
        is_global_zero=True,
        optimizers=[None],
        lr_scheduler_configs=[schedule],
    )
    monkeypatch.setattr(checkpoints, "gather", lambda told: told)
    monkeypatch.setattr(checkpoints, "save", lambda *_: None)
    monkeypatch.setattr(checkpoints, "optimizer_state", lambda *_: {})
    monkeypatch.setattr(torch.distributed, "barrier", lambda: None)
    with monkeypatch.context() as first:
        first.setattr(
            checkpoints, when, lambda told, *_: (callback._stop(signal.SIGTERM, None), told)[1]
        )
        callback.on_train_batch_end(trainer, module)
    with pytest.raises(checkpoints.Preempted):
        callback.on_train_batch_end(trainer, module)


LEAVING = """
import os, sys, time
from pathlib import Path
from hybrid_sweep.sweeps import worker
from hybrid_sweep.tracking import live
folder, real = Path(sys.argv[1]), live.fail
def fail(to):
    if to is not None:
        (folder / "leaving").touch()
        while not (folder / "again").exists():
            time.sleep(0.01)
    real(to)
live.fail = fail
if __name__ == "__main__":
    sys.exit(worker.main(folder))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "number"),
    [
        (1, signal.SIGTERM),
        (1, signal.SIGUSR2),
        pytest.param(2, signal.SIGUSR2, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_told_to_stop_twice_still_closes_its_mirror(
    planned, tmp_path, monkeypatch, ranks, number
):
    """A cluster warns the workers, and its driver, warned too, asks them again: the second word
    must not kill them.

    Of several ranks the first alone has a mirror; Lightning would kill it if another had left with
    an error meanwhile.
    """
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = planned(*LONG, "logger=offline", f"trainer.devices={ranks}")
    (tmp_path / "leaving.py").write_text(LEAVING)  # a file, which Lightning can start again
    worker = ready.start([tmp_path / "leaving.py", folder])
    until(worker, lambda: list(folder.glob("checkpoints/step-*.json")))
    os.killpg(worker.pid, number)
    until(worker, lambda: (folder / "leaving").exists())
    for again in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(worker.pid, again)
    if ranks > 1:
        until(
            worker,
            lambda: not [pid for pid in group(worker.pid) if "leaving.py" in words_of(pid)][1:],
        )
        time.sleep(6)  # Lightning looks at its processes every five
    (folder / "again").touch()
    assert worker.wait(240) == 128 + signal.SIGTERM, worker.err.read_text()[-2000:]
    [recorded] = files(folder).values()
    assert "preempting" in kinds(recorded) and summary(recorded)["state"] == "failed"


def words_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()


def until(worker, condition):
    deadline = time.monotonic() + 240
    while not condition():
        assert worker.poll() is None and time.monotonic() < deadline, worker.err.read_text()[-2000:]
        time.sleep(0.01)
