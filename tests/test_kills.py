"""Kill anything at any time: the next run finishes exactly what is missing, and the results are the
same to the byte.
"""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hybrid_sweep.config.compose import points as composed
from hybrid_sweep.report.load import load
from hybrid_sweep.report.results import aggregate
from hybrid_sweep.sweeps import point_list, processes, recorded_points
from hybrid_sweep.sweeps.point_list import is_done
from hybrid_sweep.utils.files import read_json
from tests import ready
from tests.report.conftest import World, write_run
from tests.test_end_to_end import WORDS, cli
from tests.waiting import alive, wait_for

STANDIN = Path(__file__).parent / "standin_worker.py"
WORLD = World(questions=12, languages=("xa", "xb", "xc", "xd"))

DRIVER = """
import json, sys, time
from pathlib import Path
from hybrid_sweep.sweeps import scheduler
from hybrid_sweep.config.validate import stored
from hybrid_sweep.sweeps.slots import Machine
from hybrid_sweep.sweeps.point_list import Point
known = json.loads(Path(sys.argv[1]).read_text())
points = [Point(run_id, kind, (), stored(Path(path)), marks) for run_id, kind, path, marks in known["points"]]
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
machine = Machine({}, tuple(range(9)), Path(known["slots"]))  # so that leases of cores hide no lack of those of points
driving = scheduler.Driving(4, worker=known["worker"])
scheduler.run_points(points, machine=machine, driving=driving)
"""


class StandIns:
    """A sweep of four points and the two floors, whose workers are stand-ins that take the results
    of finished runs.
    """

    def __init__(self, folder, cache):
        self.folder, self.journal, self.drivers = folder, folder / "journal", 0
        words = [
            *WORDS,
            f"paths.outputs={folder / 'outputs'}",
            "batch.cross_lingual_ratio=0,0.5",
            "seed=0,1",
        ]
        self.points = point_list.expand(
            composed([*words, "sweep.untrained=true"], multirun=True), lambda text: None
        )
        recorded_points.record(self.points, "hybrid-sweep run -m")
        for point in self.points:
            kind, ratio, seed = point.place
            entry = {"run_id": point.run_id, "ratio": ratio, "seed": seed, "kind": kind}
            write_run(folder / "made", WORLD, entry, fingerprints=point.fingerprints)
        rules = {
            "journal": str(self.journal),
            "seconds": 1.0,
            "results": str(folder / "made" / "runs"),
        }
        (folder / "rules.json").write_text(json.dumps(rules))
        listed = []
        for point in self.points:
            processes.write_config(folder / "configs" / point.run_id, point.config)
            listed.append(
                (
                    point.run_id,
                    point.kind,
                    str(folder / "configs" / point.run_id),
                    point.fingerprints,
                )
            )
        worker = [sys.executable, "-S", str(STANDIN), str(folder / "rules.json")]
        known = {"points": listed, "slots": str(folder / "slots"), "worker": worker}
        (folder / "known.json").write_text(json.dumps(known))

    def driver(self):
        """A driver that begins when `go` says so: the next one is there when one is killed."""
        self.drivers += 1
        path = self.folder / f"go-{self.drivers}"
        made = ready.start(["-c", DRIVER, self.folder / "known.json", path])
        made.go = path.touch
        return made

    def lines(self):
        """Of the journal: event, run id, time, process."""
        return (
            [line.split() for line in self.journal.read_text().splitlines()]
            if self.journal.exists()
            else []
        )

    def workers(self):
        return sorted({int(pid) for *_, pid in self.lines() if alive(int(pid))})

    def table(self):
        """The bytes of each result, and of the table made of them."""
        tables = {
            point.run_id: (point.run_dir / "per_query.parquet").read_bytes()
            for point in self.points
        }
        return tables | {
            "results.csv": aggregate(load([self.points[0].sweep_dir])).to_csv().encode()
        }


def kill(*pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def kill_at_random(standins, chance, kills):
    """At most four times: a driver, and at a random moment of the work a SIGKILL for it, for a
    worker, or for all.

    Each driver begins as soon as the one before it is dead, while workers of that one may still be
    at work.
    """
    drivers = [standins.driver() for _ in range(kills)]
    for driver, target in zip(
        drivers, chance.sample(["driver", "worker", "worker", "all"], kills), strict=True
    ):
        try:
            before = len(standins.lines())
            driver.go()
            deadline = time.monotonic() + 120
            while len(standins.lines()) == before and driver.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 1.8))
            workers = standins.workers()
            if target != "driver" and workers:
                kill(*(workers if target == "all" else [chance.choice(workers)]))
            if target != "worker":
                kill(driver.pid)
            else:
                time.sleep(0.3)  # of a driver that goes on
        finally:
            kill(driver.pid)
            driver.wait()


def check_journal(standins):
    """No two processes at one point at once, and no stage again that was finished."""
    by_run = {}
    for event, run_id, moment, pid in standins.lines():
        by_run.setdefault(run_id, []).append((float(moment), event, pid))
    assert set(by_run) == {point.run_id for point in standins.points}
    for events in by_run.values():
        turns = [
            pid
            for place, (_, _, pid) in enumerate(events)
            if place == 0 or events[place - 1][2] != pid
        ]
        assert len(turns) == len(set(turns)), "two processes worked on one point at once"
        names = [event for _, event, _ in sorted(events)]
        assert (
            names.count("trained") <= 1
            and names.count("evaluated") <= 1
            and names.count("end") <= 1
        )
        if "trained" in names:
            assert not any(name.startswith("step") for name in names[names.index("trained") :])
        if "evaluated" in names:
            assert "evaluate" not in names[names.index("evaluated") :]
        if "end" in names:
            assert names[-1] == "end"
        for step in range(8):  # at most the step that a kill fell into is done again
            assert names.count(f"step-{step}") <= names.count("start")


def finish(standins):
    driver = standins.driver()
    driver.go()
    assert driver.wait(240) == 0, driver.err.read_text()[-2000:]
    assert all(is_done(point) for point in standins.points)
    left = [
        path
        for point in standins.points
        for path in point.run_dir.rglob("*")
        if path.name.startswith(".tmp-")
    ]
    assert left == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache):
    """The results of the same sweep when nobody is killed."""
    standins = StandIns(tmp_path_factory.mktemp("undisturbed"), cache)
    finish(standins)
    check_journal(standins)
    return standins.table()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_kills_of_drivers_and_workers(seed, cache, tmp_path, undisturbed):
    standins = StandIns(tmp_path, cache)
    kill_at_random(standins, random.Random(seed), 4)
    finish(standins)
    check_journal(standins)
    assert standins.table() == undisturbed
    before = len(standins.lines())
    finish(standins)
    assert len(standins.lines()) == before  # nothing is left to do


REAL = [
    *WORDS,
    "trainer.max_steps=60",
    "keep.checkpoint_seconds=0",
    "batch.cross_lingual_ratio=0,0.5",
    "sweep.name=s",
]


def results(folder):
    """The bytes of all per-query tables, of the trained weights, and of results.csv."""
    runs = folder / "outputs" / "runs"
    found = [*runs.glob("*/per_query.parquet"), *runs.glob("*/model/model.safetensors")]
    table = aggregate(load([folder / "outputs/sweeps/s"])).to_csv().encode()
    return {"results.csv": table} | {
        str(path.relative_to(folder)): path.read_bytes() for path in found
    }


@pytest.fixture(scope="module")
def real(tmp_path_factory, cache):
    """The results of a sweep of real trainings that nobody disturbs."""
    folder = tmp_path_factory.mktemp("real")
    cli("run", "-m", *REAL, cwd=folder)
    return results(folder)


def commands():
    """The words of all processes, by process id; a forked worker has them as one text, its parts
    apart by spaces.
    """
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found[int(path.name)] = (path / "cmdline").read_bytes().decode().replace("\0", " ")
    return found


def real_workers(folder):
    """The processes of all workers of this folder, and of their ranks."""
    named = [pid for pid, words in commands().items() if f"hybrid_sweep.worker {folder}" in words]
    return [pid for pid in named if alive(pid)]


def server_of(driver):
    """The process from which a driver forks its workers."""
    for pid, words in commands().items():
        with contextlib.suppress(OSError):
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if "hybrid_sweep.worker --serve" in words and parent == driver.pid:
                return [pid]
    return []


def states(folder):
    return [
        (read_json(path) or {}).get("state") for path in folder.glob("outputs/runs/*/status.json")
    ]


def reach(folder, driver, state):
    """Wait until some point is in this state; false where the driver has ended before."""
    deadline = time.monotonic() + 240
    while state not in states(folder):
        assert time.monotonic() < deadline
        if driver.poll() is not None:
            return False
        time.sleep(0.02)
    return True


def finished_stages(folder):
    """What a finished stage leaves, with the time it was written."""
    names = ("steps.parquet", "model/modules.json", "metrics.json")
    paths = [path for name in names for path in folder.glob(f"outputs/runs/*/{name}")]
    # A model without the record of its steps, which is written after it, is not a finished stage.
    whole = {
        path
        for path in paths
        if path.name != "modules.json" or (path.parents[1] / "steps.parquet").exists()
    }
    return {path: path.stat().st_mtime_ns for path in whole}


@pytest.mark.slow
def test_kills_of_real_training(real, cache, tmp_path):
    """A worker and what it was forked from, the driver and all workers, a worker that evaluates,
    the driver alone.
    """
    chance = random.Random(5)
    before = {}
    for state, target in [
        ("training", "server"),
        ("training", "all"),
        ("evaluating", "worker"),
        ("training", "driver"),
    ]:
        driver = ready.start(["-m", "hybrid_sweep", "run", "-m", *REAL], cwd=tmp_path)
        try:
            if reach(tmp_path, driver, state):
                time.sleep(chance.uniform(0, 0.5))
                workers = real_workers(tmp_path)
                if target == "server":
                    kill(*server_of(driver))
                if target != "driver":
                    kill(
                        *(
                            workers
                            if target == "all"
                            else [chance.choice(workers)]
                            if workers
                            else []
                        )
                    )
                if target in ("worker", "server"):
                    driver.wait(240)  # it goes on with the other points, forked from another server
        finally:
            kill(driver.pid)
            driver.wait()
        there = finished_stages(tmp_path)
        assert before.items() <= there.items()
        before = there
    shown = cli("run", "-m", *REAL, cwd=tmp_path)
    assert before.items() <= finished_stages(tmp_path).items(), "a finished stage was repeated"
    assert "4/4 done" in shown
    assert results(tmp_path) == real
    runs = tmp_path / "outputs" / "runs"
    assert [path for path in runs.rglob("*") if path.name.startswith((".tmp-", ".old-"))] == []


@pytest.mark.slow
def test_the_plan_says_where_a_killed_training_goes_on(cache, tmp_path):
    words = [
        *WORDS,
        "trainer.max_steps=2000",
        "keep.checkpoint_seconds=0",
        "sweep.untrained=false",
        "sweep.bm25=false",
    ]
    driver = ready.start(["-m", "hybrid_sweep", "run", *words], cwd=tmp_path)
    assert reach(tmp_path, driver, "training")
    wait_for(lambda: list(tmp_path.glob("outputs/runs/*/checkpoints/step-*.json")), 120)
    kill(*real_workers(tmp_path), driver.pid)
    driver.wait()
    shown = cli("plan", *words, cwd=tmp_path)
    assert (
        "resume at step " in shown and "interrupted (training" in shown and "time: unknown" in shown
    )


@pytest.mark.slow
def test_no_rank_outlives_the_worker_that_started_it(cache, tmp_path):
    """The driver and the worker are killed at once, so that nobody is left to end the other process
    of the run.
    """
    words = [
        *WORDS,
        "trainer.max_steps=5000",
        "trainer.devices=2",
        "sweep.untrained=false",
        "sweep.bm25=false",
    ]
    driver = ready.start(["-m", "hybrid_sweep", "run", *words], cwd=tmp_path)
    assert reach(tmp_path, driver, "training")
    first, second = sorted(real_workers(tmp_path))
    kill(driver.pid, first)
    driver.wait()
    deadline = time.monotonic() + 60
    while alive(second):
        assert time.monotonic() < deadline, "a rank goes on without its worker"
        time.sleep(0.05)


class SmallDisk:
    """A folder whose disk fills up: a mount of its own where this user may make one, else a limit
    on the size of files.
    """

    def __init__(self, folder, size):
        self.folder, self.size = folder, size
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
        self.mounted = (
            os.getuid() == 0 and subprocess.run(words, capture_output=True).returncode == 0
        )
        self.words = ("No space left on device",) if self.mounted else ("File too large",)

    def run(self, *words):
        """The exit code and what a command says that runs on the disk while it is small."""

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))

        command = ["-m", "hybrid_sweep", *words]
        if self.mounted:
            done = ready.run(command, cwd=self.folder)
        else:  # a limit goes from a process to those that it starts itself
            done = subprocess.run(
                [sys.executable, *command],
                cwd=self.folder,
                capture_output=True,
                text=True,
                preexec_fn=limit,
            )
        return done.returncode, done.stdout + done.stderr

    def grow(self):
        if self.mounted:
            subprocess.run(["mount", "-o", "remount,size=1g", str(self.folder)], check=True)

    def close(self):
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    made = []

    def make(size):
        made.append(SmallDisk(tmp_path / f"disk{len(made)}", size))
        return made[-1]

    yield make
    for each in made:
        each.close()


def check_whole(folder):
    """Nothing is half-written: each JSON file parses, each table can be read, and nothing unnamed
    is left.
    """
    import pandas as pd

    for path in (folder / "outputs").rglob("*"):
        assert not path.name.startswith((".tmp-", ".old-")), path
        if path.suffix == ".json" and path.is_file():
            json.loads(path.read_text())
        if path.suffix == ".parquet":
            pd.read_parquet(path)


@pytest.mark.slow
@pytest.mark.parametrize("size", [60_000, 250_000, 500_000])
def test_a_full_disk_is_said_leaves_nothing_half_written_and_the_next_run_completes(
    size, real, cache, small_disk
):
    disk = small_disk(size)
    code, shown = disk.run("run", "-m", *REAL)
    assert code == 1 and any(word in shown for word in disk.words), shown[-3000:]
    assert "Traceback" not in shown.partition("the end of ")[0]
    disk.grow()
    check_whole(disk.folder)
    cli("run", "-m", *REAL, cwd=disk.folder)
    assert results(disk.folder) == real


@pytest.mark.slow
def test_a_disk_that_is_full_before_the_first_point_is_one_line(cache, small_disk):
    disk = small_disk(1_000_000)
    if not disk.mounted:
        pytest.skip("needs a mount: a limit on the size of files does not stop small ones")
    with contextlib.suppress(OSError), open(disk.folder / "ballast", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    code, shown = disk.run("run", "-m", *REAL)
    assert (
        code in (1, 2) and shown.splitlines()[-1].startswith("error: ") and "No space left" in shown
    )
    assert "Traceback" not in shown
    (disk.folder / "ballast").unlink()
    shutil.rmtree(disk.folder / "outputs", ignore_errors=True)


@pytest.mark.slow
def test_two_real_drivers_on_one_sweep_at_once(real, cache, tmp_path):
    words = ["-m", "hybrid_sweep", "run", "-m", *REAL]
    both = [ready.start(words, cwd=tmp_path) for _ in range(2)]
    assert [driver.wait(400) for driver in both] == [0, 0]
    logs = [path.read_text() for path in tmp_path.glob("outputs/runs/*/log.txt")]
    assert [log.count("--- 20") for log in logs] == [1] * len(logs)  # each worker was started once
    assert results(tmp_path) == real


@pytest.mark.slow
def test_a_sweep_with_a_failed_point_ends_with_a_table_of_failures(cache, tmp_path):
    """Real workers: one whose folder holds a checkpoint of another run fails, and the others are
    done.
    """
    words = ["-m", *REAL]
    shown = cli("plan", *words, cwd=tmp_path)
    [bad] = [line.split() for line in shown.splitlines() if "ratio 0.5, seed 0" in line]
    run_id = next(word for word in bad if len(word) == 12 and set(word) <= set("0123456789abcdef"))
    note = tmp_path / "outputs/runs" / run_id / "checkpoints/step-00000003.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"run_id": "another", "step": 3, "sha256": "0" * 64}))
    shown = cli("run", *words, "sweep.retries=1", cwd=tmp_path, code=1)
    told = shown[shown.index("3/4 done, 1 failed") :]
    assert "state" in told and "checkpoint of run another" in told and "the end of " in told
    assert shown.count("it is tried again, up to 1 time") == 1
    note.unlink()
    assert "4/4 done (3 before)" in cli("run", *words, cwd=tmp_path)
