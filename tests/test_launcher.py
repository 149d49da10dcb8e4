"""Points in slots, against a stand-in worker: nothing runs twice, nothing that fails or is killed takes others along."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_sweep import launcher, processes
from hybrid_sweep.config import Config, TrainerConfig, run_id
from hybrid_sweep.errors import UserError
from hybrid_sweep.store import exclusive, read_json, try_lease
from hybrid_sweep.sweep import Point, is_done, state_of

STANDIN = Path(__file__).parent / "standin_worker.py"
MARKS = {"collection": "c", "model": "m"}


class Told:
    """A view that remembers what it was told."""

    def __init__(self):
        self.events, self.rows = [], []

    def __getattr__(self, name):
        return lambda point, *more: self.events.append((name, point.label, *more))

    def show(self, rows, waiting):
        self.rows.append([(row.point.label, row.status.get("state")) for row in rows])

    def labels(self, name):
        return [event[1] for event in self.events if event[0] == name]


@pytest.fixture
def rules(tmp_path):
    """Writes the stand-in's rules; gives the worker command."""
    path = tmp_path / "rules.json"

    def write(**more):
        path.write_text(json.dumps({"journal": str(tmp_path / "journal"), "seconds": 0.1, **more}))
        return (sys.executable, "-S", str(STANDIN), str(path))

    write()
    return write


@pytest.fixture
def point(tmp_path, config):
    made = config(f"paths.outputs={tmp_path / 'outputs'}")

    def make(ratio, seed=0):
        ours = Config(**{**vars(made), "seed": seed})
        ours.batch = type(made.batch)(**{**vars(made.batch), "cross_lingual_ratio": float(ratio)})
        return Point(
            run_id(ours, MARKS), "trained", (f"batch.cross_lingual_ratio={ratio}", f"seed={seed}"), ours, MARKS
        )

    return make


def journal(tmp_path):
    path = tmp_path / "journal"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def starts(tmp_path):
    return [line[1] for line in journal(tmp_path) if line[0] == "start"]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def run(points, worker, slots=2, **more):
    view = Told()
    launcher.run_points(points, slots=[None] * slots, view=view, worker=worker, **more)
    return view


def test_runs_what_is_not_done_and_nothing_twice(point, rules, tmp_path):
    points = [point(0), point(0.5), point(1)]
    first = run(points, rules())
    assert all(is_done(each) for each in points)
    assert sorted(first.labels("done")) == ["ratio 0, seed 0", "ratio 0.5, seed 0", "ratio 1, seed 0"]
    again = run(points, rules())
    assert len(starts(tmp_path)) == 3 and len(again.labels("skipped")) == 3 and not again.labels("started")


def test_a_point_that_was_finished_before_the_lease_was_had_is_not_started(point, rules, tmp_path):
    run([point(0)], rules())
    assert processes.start(point(0), None, rules()) is None and len(starts(tmp_path)) == 1


def test_at_most_as_many_at_once_as_slots(point, rules, tmp_path):
    run([point(ratio / 10) for ratio in range(5)], rules(seconds=0.2))
    running = most = 0
    for event, *_ in sorted(journal(tmp_path), key=lambda line: float(line[2])):
        running += 1 if event == "start" else -1
        most = max(most, running)
    assert most == 2


@pytest.mark.parametrize("wrong", [None, "{", "[]", '{"run_id": "another"}', "{}"])
def test_done_means_a_result_that_parses_and_names_the_run(point, wrong):
    here = point(0)
    here.run_dir.mkdir(parents=True)
    if wrong is not None:
        (here.run_dir / "metrics.json").write_text(wrong)
    assert not is_done(here) and state_of(here).name == "to do"
    (here.run_dir / "metrics.json").write_text(json.dumps({"run_id": here.run_id}))
    assert is_done(here) and state_of(here).name == "done"


@pytest.mark.parametrize(
    "behaviour, reason",
    [
        ("fail", "ValueError: no luck"),
        ("exit7", "exit code 7"),
        ("killed", "SIGKILL"),
        ("silent", "exit code 0 and no result"),
    ],
)
def test_a_failing_point_leaves_the_others_running(point, rules, behaviour, reason):
    points = [point(0), point(0.5), point(1)]
    view = run(points, rules(**{"0.5/0": behaviour}))
    assert [state_of(each).name for each in points] == ["done", "failed", "done"]
    assert reason in state_of(points[1]).reason
    [(_, label, told)] = [event for event in view.events if event[0] == "failed"]
    assert label == "ratio 0.5, seed 0" and reason in told
    assert "stand-in worker" in "".join(processes.tail(points[1].run_dir / "log.txt"))


def test_a_failed_point_is_tried_again_and_only_it(point, rules, tmp_path):
    points = [point(0), point(0.5)]
    run(points, rules(**{"0.5/0": "killed"}))
    run(points, rules())
    assert all(is_done(each) for each in points)
    assert starts(tmp_path).count(points[1].run_id) == 2 and starts(tmp_path).count(points[0].run_id) == 1


def test_on_failure_stop_starts_no_further_point_and_lets_the_running_end(point, rules, tmp_path):
    points = [point(0), point(0.25), point(0.5), point(1)]
    run(points, rules(seconds=0.5, **{"0/0": "fail"}), on_failure="stop")
    assert [state_of(each).name for each in points] == ["failed", "done", "to do", "to do"]
    assert len(starts(tmp_path)) == 2


def test_a_point_that_cannot_start_is_a_failure_of_its_own(point, rules):
    points = [point(0), point(0.5)]
    points[0].run_dir.parent.mkdir(parents=True)
    points[0].run_dir.write_text("a file where the folder should be")
    view = run(points, rules())
    assert view.labels("failed") == ["ratio 0, seed 0"] and is_done(points[1])


def test_the_worker_leads_a_group_with_a_clean_world_and_fixed_threads(point, rules, monkeypatch):
    for name in (
        "LOCAL_RANK",
        "RANK",
        "WORLD_SIZE",
        "NODE_RANK",
        "MASTER_ADDR",
        "MASTER_PORT",
        "SLURM_PROCID",
        "SLURM_NTASKS",
        "PL_GLOBAL_SEED",
        "TORCHELASTIC_RUN_ID",
        "OMP_NUM_THREADS",
    ):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run([point(0)], rules())
    found = read_json(point(0).run_dir / "env.json")
    assert not {
        name for name in found if name.startswith(("SLURM_", "MASTER_", "TORCHELASTIC", "PL_")) or name.endswith("RANK")
    }
    assert "WORLD_SIZE" not in found and found["OMP_NUM_THREADS"] == "1" and found["WANDB_MODE"] == "offline"
    assert found["PYTHONUNBUFFERED"] == "1" and found["TOKENIZERS_PARALLELISM"] == "false"


def test_threads_and_gpus_of_a_worker():
    made = processes.environment(TrainerConfig(threads=3), ["2", "3"], {"PATH": "/bin", "RANK": "1"})
    assert made["OMP_NUM_THREADS"] == made["MKL_NUM_THREADS"] == "3" and made["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert made["PATH"] == "/bin" and "RANK" not in made
    assert "CUDA_VISIBLE_DEVICES" not in processes.environment(TrainerConfig(), None, {})


@given(gpus=st.integers(0, 9), each=st.integers(1, 4), wanted=st.integers(1, 6))
def test_slots_share_no_gpu_and_have_enough(gpus, each, wanted):
    made = Config(trainer=TrainerConfig(accelerator="gpu", devices=each))
    made.sweep.max_parallel = wanted
    names = [f"GPU-{number}" for number in range(gpus)]
    if gpus < each:
        with pytest.raises(UserError, match=r"trainer\.devices"):
            launcher.slots_of(made, names)
        return
    slots = launcher.slots_of(made, names)
    used = [name for slot in slots for name in slot]
    assert len(slots) == min(wanted, gpus // each) and all(len(slot) == each for slot in slots)
    assert len(set(used)) == len(used) and set(used) <= set(names)
    assert slots == launcher.slots_of(made, names)


def test_visible_gpus_are_those_that_the_user_left(monkeypatch):
    assert launcher.visible_gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-abc"}) == ["2", "GPU-abc"]
    assert (
        launcher.visible_gpus({"CUDA_VISIBLE_DEVICES": ""})
        == launcher.visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"})
        == []
    )


def test_a_point_that_another_driver_runs_is_waited_for_and_taken_over(point, rules, tmp_path):
    here = point(0)
    lease = try_lease(here.run_dir / "lock")
    assert state_of(here).name == "running elsewhere"
    threading.Timer(1.5, os.close, [lease]).start()  # the other one dies without a result
    view = run([here], rules())
    assert view.labels("elsewhere") == ["ratio 0, seed 0"] and is_done(here) and len(starts(tmp_path)) == 1


def test_without_waiting_a_point_of_another_driver_is_left_to_it(point, rules, tmp_path):
    here = point(0)
    lease = try_lease(here.run_dir / "lock")
    run([here, point(1)], rules(), wait=False)
    os.close(lease)
    assert starts(tmp_path) == [point(1).run_id]


def test_the_lease_lives_in_the_worker_when_the_driver_is_gone(point, rules):
    here = point(0)
    process = processes.start(here, None, rules(**{"0/0": "hang"}))
    try:
        assert process is not None and processes.start(here, None, rules()) is None
        assert state_of(here).name == "running elsewhere"
    finally:
        processes.stop([process])
    assert state_of(here).name == "to do" and "interrupted" in state_of(here).reason


def test_stopping_ends_the_whole_family_even_where_it_ignores_the_polite_signal(point, rules, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0.3)
    here = point(0)
    process = processes.start(here, None, rules(**{"0/0": "family"}))
    while (child := read_json(here.run_dir / "child.json")) is None:
        time.sleep(0.02)
    assert alive(child)
    processes.stop([process])
    deadline = time.monotonic() + 3
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child) and process.returncode == -signal.SIGKILL


DRIVER = """
import json, sys
from hybrid_sweep import launcher
from hybrid_sweep.checks import load
from hybrid_sweep.sweep import Point
from pathlib import Path
points = [Point(run_id, "trained", (), load(Path(path)), {"collection": "c", "model": "m"})
          for run_id, path in json.loads(sys.argv[2])]
print("ready", flush=True)
try:
    launcher.run_points(points, slots=[None] * 2, worker=json.loads(sys.argv[1]))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def driver(tmp_path):
    """Starts a driver process of its own on these points."""
    from omegaconf import OmegaConf

    from hybrid_sweep.config import to_dict

    started = []

    def start(points, worker):
        listed = []
        for each in points:
            path = tmp_path / f"{each.run_id}.yaml"
            OmegaConf.save(OmegaConf.create(to_dict(each.config)), path)
            listed.append((each.run_id, str(path)))
        words = [sys.executable, "-c", DRIVER, json.dumps(worker), json.dumps(listed)]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_two_drivers_at_once_run_no_point_twice(point, rules, driver, tmp_path):
    points = [point(ratio / 10) for ratio in range(6)]
    worker = rules(seconds=0.5)
    both = [driver(points, worker), driver(points, worker)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert all(is_done(each) for each in points)
    assert sorted(starts(tmp_path)) == sorted(each.run_id for each in points)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_driver_leaves_no_worker_and_goes_on_later(point, rules, driver, tmp_path, number):
    points = [point(0), point(0.5), point(1)]
    process = driver(points, rules(**{"0.5/0": "hang", "1/0": "hang"}))
    wait_for(lambda: len(starts(tmp_path)) == 3)
    process.send_signal(number)
    assert process.wait(10) == 130
    assert not [line for line in journal(tmp_path) if alive(int(line[3]))]
    assert [state_of(each).name for each in points] == ["done", "to do", "to do"]
    run(points, rules())
    assert all(is_done(each) for each in points) and starts(tmp_path).count(points[0].run_id) == 1


def test_a_driver_killed_outright_leaves_its_workers_to_the_next(point, rules, driver, tmp_path):
    points = [point(0), point(0.5), point(1)]
    process = driver(points, rules(seconds=2))
    wait_for(lambda: len(starts(tmp_path)) == 2)
    process.kill()
    process.wait()
    run(points, rules(seconds=0.1))
    assert all(is_done(each) for each in points)
    assert sorted(starts(tmp_path)) == sorted(
        each.run_id for each in points
    )  # the orphans were waited for, not repeated


def test_one_interrupt_is_enough_while_points_start(point, rules, tmp_path):
    """The signal is looked at between the steps of the loop, so that it cannot fall between a start and its record."""
    points = [point(ratio / 100) for ratio in range(40)]
    threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        run(points, rules(seconds=0.0), slots=8)
    assert not [line for line in journal(tmp_path) if alive(int(line[3]))]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_failure_is_not_noted_over_another_driver(point, tmp_path):
    here = point(0)
    with exclusive(here.run_dir / "lock"):
        reason = processes.note_failure(here, -9)
        assert "SIGKILL" in reason and not (here.run_dir / "status.json").exists()
    processes.note_failure(here, -9)
    assert state_of(here).name == "failed"
