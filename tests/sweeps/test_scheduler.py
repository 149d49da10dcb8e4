"""Points in slots, against a stand-in worker: nothing runs twice, nothing that fails or is killed
takes others along.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hybrid_sweep.config.schema import Bm25Model, Config, TrainerConfig, run_id
from hybrid_sweep.sweeps import forks, processes, scheduler
from hybrid_sweep.sweeps.point_list import Point, is_done, state_of
from hybrid_sweep.sweeps.slots import Machine, take
from hybrid_sweep.sweeps.worker import DISK_FULL
from hybrid_sweep.tracking import mirror
from hybrid_sweep.utils import slurm_job
from hybrid_sweep.utils.files import exclusive, read_json, try_lease
from tests import finished_runs
from tests.waiting import alive, wait_for

STANDIN = Path(__file__).parents[1] / "standin_worker.py"
MARKS = {"collection": "c", "model": "m"}


class Told:
    """A view that remembers what it was told."""

    def __init__(self):
        self.events, self.rows, self.waiting = [], [], []

    def __getattr__(self, name):
        return lambda point, *more: self.events.append((name, point.label, *more))

    def importing(self):
        self.events.append(("importing", ""))

    def show(self, rows, waiting):
        self.rows.append([(row.point.label, row.status.get("state")) for row in rows])
        self.waiting.append([point.label for point in waiting])

    def labels(self, name):
        return [event[1] for event in self.events if event[0] == name]


class Then(Told):
    """One that does something once it is told this for the first time."""

    def __init__(self, name, act):
        super().__init__()
        setattr(
            self, name, lambda point, *more: (self.events.append((name, point.label, *more)), act())
        )


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
            run_id(ours, MARKS),
            "trained",
            (f"batch.cross_lingual_ratio={ratio}", f"seed={seed}"),
            ours,
            MARKS,
        )

    return make


def journal(tmp_path):
    path = tmp_path / "journal"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def starts(tmp_path):
    return [line[1] for line in journal(tmp_path) if line[0] == "start"]


def machine(tmp_path, cores=99, gpus=()):
    """A machine with so many cores, and GPUs of these names, and leases of this test's own."""
    return Machine({name: name for name in gpus}, tuple(range(cores)), tmp_path / "slots")


@pytest.fixture
def run(tmp_path):
    def work(points, worker, slots=2, **more):
        view = Told()
        where = {"machine": machine(tmp_path), "view": view}
        how = {"parallel": slots, "worker": worker}
        for name in ("on_failure", "wait", "parallel", "worker"):
            if name in more:
                how[name] = more.pop(name)
        scheduler.run_points(points, driving=scheduler.Driving(**how), **{**where, **more})
        return view

    return work


def test_runs_what_is_not_done_and_nothing_twice(point, rules, tmp_path, run):
    points = [point(0), point(0.5), point(1)]
    first = run(points, rules())
    assert all(is_done(each) for each in points)
    assert sorted(first.labels("done")) == [
        "ratio 0, seed 0",
        "ratio 0.5, seed 0",
        "ratio 1, seed 0",
    ]
    again = run(points, rules())
    assert (
        len(starts(tmp_path)) == 3
        and len(again.labels("skipped")) == 3
        and not again.labels("started")
    )


def test_what_is_done_already_is_not_counted_as_waiting(point, rules, run):
    points = [point(0), point(0.5), point(0.75), point(1)]
    run(points[2:], rules())
    view = run(points, rules(), slots=1)
    assert {label for labels in view.waiting for label in labels} == {"ratio 0.5, seed 0"}
    assert [event[0] for event in view.events[:3]] == ["skipped", "skipped", "started"]


def test_a_point_that_was_finished_before_the_lease_was_had_is_not_started(
    point, rules, tmp_path, run
):
    run([point(0)], rules())
    assert (
        processes.start(point(0), machine(tmp_path), rules()) == "held"
        and len(starts(tmp_path)) == 1
    )


def most_at_once(tmp_path):
    running = most = 0
    for event, *_ in sorted(journal(tmp_path), key=lambda line: float(line[2])):
        running += 1 if event == "start" else -1
        most = max(most, running)
    return most


def test_at_most_as_many_at_once_as_slots(point, rules, tmp_path, run):
    run([point(ratio / 10) for ratio in range(5)], rules(seconds=0.6))
    assert most_at_once(tmp_path) == 2


@pytest.mark.parametrize("wrong", [None, "{", "[]", '{"run_id": "another"}', "{}"])
def test_done_means_a_result_that_parses_and_names_the_run(point, wrong):
    here = point(0)
    here.run_dir.mkdir(parents=True)
    if wrong is not None:
        (here.run_dir / "metrics.json").write_text(wrong)
    assert not is_done(here) and state_of(here).name == "to do"
    finished_runs.finish(here.run_dir, here.run_id)
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
def test_a_failing_point_leaves_the_others_running(point, rules, behaviour, reason, run):
    points = [point(0), point(0.5), point(1)]
    view = run(points, rules(**{"0.5/0": behaviour}))
    assert [state_of(each).name for each in points] == ["done", "failed", "done"]
    assert reason in state_of(points[1]).reason
    [(_, label, told)] = [event for event in view.events if event[0] == "failed"]
    assert label == "ratio 0.5, seed 0" and reason in told
    assert "stand-in worker" in "".join(processes.tail(points[1].run_dir / "log.txt"))


def test_a_failed_point_is_tried_again_and_only_it(point, rules, tmp_path, run):
    points = [point(0), point(0.5)]
    run(points, rules(**{"0.5/0": "killed"}))
    run(points, rules())
    assert all(is_done(each) for each in points)
    assert (
        starts(tmp_path).count(points[1].run_id) == 2
        and starts(tmp_path).count(points[0].run_id) == 1
    )


def test_on_failure_stop_starts_no_further_point_and_lets_the_running_end(
    point, rules, tmp_path, run
):
    points = [point(0), point(0.25), point(0.5), point(1)]
    run(points, rules(seconds=1.5, **{"0/0": "fail"}), on_failure="stop")
    assert [state_of(each).name for each in points] == ["failed", "done", "to do", "to do"]
    assert len(starts(tmp_path)) == 2


def retried(point, retries):
    point.config.sweep = dataclasses.replace(point.config.sweep, retries=retries)
    return point


def test_a_failed_point_is_tried_again_after_the_others_as_often_as_asked(
    point, rules, tmp_path, run
):
    points = [retried(point(ratio), 2) for ratio in (0, 0.5, 1)]
    view = run(points, rules(**{"0/0": "flaky:2"}), slots=1)
    assert all(is_done(each) for each in points) and view.labels("again") == ["ratio 0, seed 0"] * 2
    assert [event[3] for event in view.events if event[0] == "again"] == [2, 1] and not view.labels(
        "failed"
    )
    assert starts(tmp_path) == [each.run_id for each in (*points, points[0], points[0])]


def test_a_point_that_fails_every_time_is_failed_in_the_end(point, rules, tmp_path, run):
    points = [retried(point(0), 1), retried(point(0.5), 0)]
    view = run(points, rules(**{"0/0": "flaky:2", "0.5/0": "exit7"}))
    assert sorted(view.labels("failed")) == ["ratio 0, seed 0", "ratio 0.5, seed 0"]
    assert sorted(starts(tmp_path)) == sorted(
        [points[0].run_id, points[0].run_id, points[1].run_id]
    )
    assert state_of(points[0]).name == "failed"


def test_a_mistake_of_the_user_is_not_tried_again(point, rules, tmp_path, run):
    here = retried(point(0), 3)
    view = run([here], rules(**{"0/0": "mistake"}))
    assert view.labels("failed") and not view.labels("again") and len(starts(tmp_path)) == 1
    assert "your fault" in state_of(here).reason


def test_on_failure_stop_waits_for_the_last_attempt(point, rules, run):
    points = [retried(point(ratio), 1) for ratio in (0, 0.5)]
    run(points, rules(**{"0/0": "flaky:1"}), slots=1, on_failure="stop")
    assert all(is_done(each) for each in points)


def test_no_more_points_than_cores_whatever_may_run_at_once(point, rules, run, tmp_path):
    run(
        [point(ratio / 10) for ratio in range(4)],
        rules(seconds=0.2),
        slots=4,
        machine=machine(tmp_path, cores=1),
    )
    assert most_at_once(tmp_path) == 1 and len(starts(tmp_path)) == 4


def test_a_core_that_others_have_is_waited_for(point, rules, run, tmp_path):
    slot = take(point(0).config, machine(tmp_path, cores=1))
    view = Then("busy", slot.close)
    run([point(0)], rules(), machine=machine(tmp_path, cores=1), view=view)
    assert view.events[0] == ("busy", "ratio 0, seed 0", tmp_path / "slots")
    assert (
        view.labels("busy") == ["ratio 0, seed 0"]
        and is_done(point(0))
        and not view.labels("elsewhere")
    )


def test_a_worker_has_the_gpus_that_were_leased_for_it(point, rules, run, tmp_path):
    points = [point(0), point(0.5)]
    for each in points:
        each.config.trainer.accelerator = "gpu"
    run(points, rules(seconds=0.3), machine=machine(tmp_path, gpus=("4", "7")))
    assert {read_json(each.run_dir / "env.json")["CUDA_VISIBLE_DEVICES"] for each in points} == {
        "4",
        "7",
    }


@pytest.mark.slow
class Importing:
    """Servers that are ready once `is_ready` has been asked so often for a point that needs torch,
    and refuse to fork.
    """

    def __init__(self, questions=3):
        self.left, self.begun, self.asked = questions, [], []

    def begin(self, environment, *, needs_torch):
        self.begun.append((environment["OMP_NUM_THREADS"], needs_torch))

    def is_ready(self, environment, *, needs_torch):
        self.left -= needs_torch
        return self.left < 0

    def fork(self, words, environment, descriptors):
        self.asked.append(Path(words[0]).name)
        raise forks.Unforked("in a test")


def lexical(made):
    """The same point with BM25 for an encoder."""
    config = dataclasses.replace(made.config, model=Bm25Model())
    return Point("b" * 12, "bm25", ("model=bm25",), config, MARKS)


def test_points_wait_for_what_they_are_forked_from_but_one_without_torch_does_not(
    point, rules, tmp_path, run
):
    servers, without = Importing(), lexical(point(0))
    view = run([without, point(0), point(1)], rules(), servers=servers)
    assert [name for name, *_ in view.events if name in ("started", "importing")] == [
        "started",
        "importing",
        "started",
        "started",
    ]
    assert view.labels("started")[0] == without.label and starts(tmp_path)[0] == without.run_id
    assert servers.asked == [point(0).run_id, point(1).run_id]


def test_a_server_is_begun_for_several_points_with_what_they_need(point, monkeypatch):
    made = []
    monkeypatch.setattr(scheduler, "Servers", lambda: made.append(Importing()) or made[-1])
    assert scheduler.begin_servers([point(0)]) is None and not made
    assert scheduler.begin_servers([lexical(point(0)), point(1)]) is made[0]
    assert scheduler.begin_servers([lexical(point(0)), lexical(point(1))]) is made[1]
    monkeypatch.setattr(scheduler, "is_forkable", lambda config: config.trainer.nodes == 1)
    nodes = dataclasses.replace(point(0).config, trainer=TrainerConfig(nodes=2, threads=3))
    apart = dataclasses.replace(point(0), config=nodes)
    assert scheduler.begin_servers([apart, point(1)]) is None
    assert [each.begun for each in made] == [[("1", True)], [("1", False)]]


def test_two_drivers_share_no_core(point, rules, driver, tmp_path):
    worker = rules(seconds=0.4)
    both = [
        driver([point(ratio, seed) for ratio in (0, 0.5, 1)], worker, cores=2) for seed in (0, 1)
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    assert len(starts(tmp_path)) == 6 and most_at_once(tmp_path) <= 2


def test_what_a_killed_writer_left_goes_before_the_point_starts_again(point, rules, run):
    here = point(0)
    for name in ("checkpoints/.tmp-abc.pt", ".tmp-model/weights", "evaluations/x/.old-y/old"):
        path = here.run_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    run([here], rules())
    assert [
        path for path in here.run_dir.rglob("*") if path.name.startswith((".tmp-", ".old-"))
    ] == []


def test_the_reason_of_a_worker_that_could_not_leave_one_is_the_end_of_its_log(
    point, rules, run, monkeypatch
):
    here = point(0)
    view = run([here], rules(**{"0/0": "exit7"}))
    [reason] = [event[2] for event in view.events if event[0] == "failed"]
    assert reason == "the worker left with exit code 7 and no result: stand-in worker: exit7"
    monkeypatch.setattr(processes, "full", lambda folder: True)
    view = run([here], rules(**{"0/0": "killed"}))
    assert state_of(here).reason.endswith(f"; the disk of {here.run_dir} is full")
    assert processes.reason_of(DISK_FULL) == "No space left on device"


def test_a_point_that_cannot_start_is_a_failure_of_its_own(point, rules, run):
    points = [point(0), point(0.5)]
    points[0].run_dir.parent.mkdir(parents=True)
    points[0].run_dir.write_text("a file where the folder should be")
    view = run(points, rules())
    assert view.labels("failed") == ["ratio 0, seed 0"] and is_done(points[1])


def test_the_worker_leads_a_group_with_a_clean_world_and_fixed_threads(
    point, rules, monkeypatch, run
):
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
        "GIT_INDEX_FILE",
        *mirror.AGENT,
    ):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run([point(0)], rules())
    found = read_json(point(0).run_dir / "env.json")
    assert not {
        name
        for name in found
        if name.startswith(("SLURM_", "MASTER_", "TORCHELASTIC", "PL_", "GIT_"))
        or name.endswith("RANK")
        or name in mirror.AGENT
    }
    assert (
        "WORLD_SIZE" not in found
        and found["OMP_NUM_THREADS"] == "1"
        and found["WANDB_MODE"] == "offline"
    )
    assert found["PYTHONUNBUFFERED"] == "1" and found["TOKENIZERS_PARALLELISM"] == "false"


def test_what_does_not_reach_a_worker_is_listed_in_the_docs():
    text = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    prefixes = [f"{prefix}*" for prefix in processes.WORLD_PREFIXES]
    for name in (*processes.WORLD, *mirror.AGENT, *prefixes):
        assert f"`{name}`" in text, name


def test_threads_and_gpus_of_a_worker():
    made = processes.environment(
        TrainerConfig(threads=3), ["2", "3"], {"PATH": "/bin", "RANK": "1"}
    )
    assert (
        made["OMP_NUM_THREADS"] == made["MKL_NUM_THREADS"] == "3"
        and made["CUDA_VISIBLE_DEVICES"] == "2,3"
    )
    assert made["PATH"] == "/bin" and "RANK" not in made
    assert "CUDA_VISIBLE_DEVICES" not in processes.environment(TrainerConfig(), None, {})


def test_a_point_that_another_driver_runs_is_waited_for_and_taken_over(point, rules, tmp_path, run):
    here = point(0)
    lease = try_lease(here.run_dir / "lock")
    assert state_of(here).name == "running elsewhere"
    view = Then("elsewhere", lambda: os.close(lease))  # the other one dies without a result
    run([here], rules(), view=view)
    assert (
        view.labels("elsewhere") == ["ratio 0, seed 0"]
        and is_done(here)
        and len(starts(tmp_path)) == 1
    )


def test_without_waiting_a_point_of_another_driver_is_left_to_it(point, rules, tmp_path, run):
    here = point(0)
    lease = try_lease(here.run_dir / "lock")
    run([here, point(1)], rules(), wait=False)
    os.close(lease)
    assert starts(tmp_path) == [point(1).run_id]


def test_the_lease_lives_in_the_worker_when_the_driver_is_gone(point, rules, tmp_path):
    here = point(0)
    process = processes.start(here, machine(tmp_path), rules(**{"0/0": "hang"}))
    try:
        assert (
            process.poll() is None and processes.start(here, machine(tmp_path), rules()) == "held"
        )
        assert state_of(here).name == "running elsewhere"
    finally:
        processes.stop([process])
    assert state_of(here).name == "to do" and "interrupted" in state_of(here).reason


def test_stopping_ends_the_whole_family_even_where_it_ignores_the_polite_signal(
    point, rules, monkeypatch, tmp_path
):
    monkeypatch.setattr(processes, "GRACE", 0.3)
    here = point(0)
    process = processes.start(here, machine(tmp_path), rules(**{"0/0": "family"}))
    while (child := read_json(here.run_dir / "child.json")) is None:
        time.sleep(0.02)
    assert alive(child)
    processes.stop([process])
    deadline = time.monotonic() + 30
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child) and process.returncode == -signal.SIGKILL


def test_a_second_signal_ends_at_once_what_ignores_the_first(point, rules, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "GRACE", 300.0)
    here = point(0)
    process = processes.start(here, machine(tmp_path), rules(**{"0/0": "family"}))
    wait_for(lambda: read_json(here.run_dir / "child.json"))

    class Again(list):  # one more each time one looks
        def __len__(self):
            self.append(signal.SIGINT)
            return super().__len__()

    begun = time.monotonic()
    processes.stop([process], Again())
    assert time.monotonic() - begun < 150 and process.returncode == -signal.SIGKILL


DRIVER = """
import json, sys
from hybrid_sweep.sweeps import scheduler
from hybrid_sweep.config.validate import stored
from hybrid_sweep.sweeps.slots import Machine
from hybrid_sweep.sweeps.point_list import Point
from pathlib import Path
points = [Point(run_id, "trained", (), stored(Path(path)), {"collection": "c", "model": "m"})
          for run_id, path in json.loads(sys.argv[2])]
print("ready", flush=True)
try:
    machine = Machine({}, tuple(range(int(sys.argv[4]))), Path(sys.argv[3]))
    driving = scheduler.Driving(2, worker=json.loads(sys.argv[1]))
    scheduler.run_points(points, machine=machine, driving=driving)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def driver(tmp_path):
    """Starts a driver process of its own on these points."""
    started = []

    def start(points, worker, cores=99):
        listed = []
        for each in points:
            path = tmp_path / "configs" / each.run_id
            processes.write_config(path, each.config)
            listed.append((each.run_id, str(path)))
        words = [
            sys.executable,
            "-c",
            DRIVER,
            json.dumps(worker),
            json.dumps(listed),
            str(tmp_path / "slots"),
            str(cores),
        ]
        started.append(
            subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_two_drivers_at_once_run_no_point_twice(point, rules, driver, tmp_path):
    points = [point(ratio / 10) for ratio in range(6)]
    worker = rules(seconds=0.5)
    both = [driver(points, worker), driver(points, worker)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert all(is_done(each) for each in points)
    assert sorted(starts(tmp_path)) == sorted(each.run_id for each in points)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_driver_leaves_no_worker_and_goes_on_later(
    point, rules, driver, tmp_path, number, run
):
    points = [point(0), point(0.5), point(1)]
    process = driver(points, rules(**{"0.5/0": "hang", "1/0": "hang"}))
    wait_for(lambda: len(starts(tmp_path)) == 3)
    process.send_signal(number)
    assert process.wait(60) == 130
    assert not [line for line in journal(tmp_path) if alive(int(line[3]))]
    assert [state_of(each).name for each in points] == ["done", "to do", "to do"]
    run(points, rules())
    assert all(is_done(each) for each in points) and starts(tmp_path).count(points[0].run_id) == 1


@pytest.mark.slow
def test_a_driver_killed_outright_leaves_its_workers_to_the_next(
    point, rules, driver, tmp_path, run
):
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


def test_one_interrupt_is_enough_while_points_start(point, rules, tmp_path, run):
    """The signal is looked at between the steps of the loop, so that it cannot fall between a start
    and its record.
    """
    points = [point(ratio / 100) for ratio in range(40)]

    def interrupt():
        wait_for(lambda: len(starts(tmp_path)) >= 10)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(points, rules(seconds=0.0), slots=8)
    thread.join()
    assert not [line for line in journal(tmp_path) if alive(int(line[3]))]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.fixture
def job(monkeypatch):
    """This process is the driver in a job of a SLURM array."""
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    before = signal.signal(signal.SIGUSR2, lambda *_: None)
    yield
    signal.signal(signal.SIGUSR2, before)


def test_a_worker_that_a_cluster_tells_before_its_driver_has_not_failed(
    point, rules, run, job, monkeypatch
):
    """SLURM tells one process after the other, and the last of another node perhaps much later."""
    here = point(0)

    class Late(Told):  # the driver is told when the worker is long dead
        def show(self, rows, waiting):
            super().show(rows, waiting)
            if len(self.rows) == 3:
                os.kill(os.getpid(), signal.SIGUSR2)

    view = Late()
    with pytest.raises(KeyboardInterrupt):
        run([here], rules(**{"0/0": "warned"}), view=view)
    assert state_of(here).name == "to do" and not view.labels("failed")
    monkeypatch.setattr(slurm_job, "NEWS", 0.5)
    view = run([here], rules(**{"0/0": "warned"}))  # nobody tells the driver: then it has failed
    assert view.labels("failed") and "SIGUSR2" in state_of(here).reason


@pytest.mark.parametrize(
    "code, told", [(143, True), (-15, True), (-12, True), (140, True), (1, False), (-9, False)]
)
def test_who_was_told_to_stop_is_known_by_its_exit_code_and_only_in_a_job(
    job, monkeypatch, code, told
):
    assert slurm_job.was_told(code) is told
    monkeypatch.delenv("SUBMITIT_EXECUTOR")
    assert not slurm_job.was_told(code)


def test_a_failure_is_not_noted_over_another_driver(point, tmp_path):
    here = point(0)
    with exclusive(here.run_dir / "lock"):
        reason = processes.note_failure(here, -9)
        assert "SIGKILL" in reason and not (here.run_dir / "status.json").exists()
    processes.note_failure(here, -9)
    assert state_of(here).name == "failed"


RANK = """
import os, subprocess, sys, time
child = "from hybrid_sweep.sweeps import worker as w; w._a_rank_ends_with_its_parent(); print('ready', flush=True); "
child += "import time; time.sleep(60)"
made = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, start_new_session=True)
made.stdout.readline()
print(made.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is of Linux")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_dies_with_the_process_that_started_it_and_a_worker_does_not(rank):
    parent = subprocess.Popen(
        [sys.executable, "-c", RANK],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LOCAL_RANK": str(rank)},
    )
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.communicate()
        if rank:
            wait_for(lambda: not alive(child), 30)
        else:
            time.sleep(0.3)
            assert alive(child)
    finally:
        if alive(child):
            os.kill(child, signal.SIGKILL)
