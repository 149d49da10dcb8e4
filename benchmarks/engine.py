"""What the engine adds to a sweep: python benchmarks/engine.py [--points 15] [--steps 400]

A sweep of real trainings on generated text is timed from outside, once with workers that are
started by themselves and once with workers forked from a ready process: what its driver computes,
and how long slots are idle while points wait, before the first starts and after the last has ended
(aim: together under 3 % of the slots' time, but for the wait for the imports that all workers
share), and what it takes to start a worker (aim: at most 1 CPU-second for each point after the
first). Then the same command on a sweep of 33 points that is done; aim: under 2 s.
"""

import argparse
import dataclasses
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WORDS = [
    "experiment=reproduce",
    "data=synthetic",
    "sweep.bm25=false",
    "sweep.untrained=false",
    "logger=disabled",
]
DRIVE = "--drive"  # this file as the driver of a sweep; not for users

# What a worker imports for an encoder.
IMPORTS = """
import resource
from hybrid_sweep.sweeps import fork_server
for name in fork_server.LIGHT:
    __import__(name)
fork_server.import_heavy()
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""


def cpu(who: int) -> float:
    """Return the seconds of CPU time of this process, or of its children that have ended."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def drive(told: Path, kind: str, words: Sequence[str]) -> None:
    """Run the words as the program does, and write down when each worker was started and ended, as
    the kernel sees it, and the CPU time of all workers.

    Args:
        told: the JSON file to write.
        kind: "forked", or "alone": every worker is started by itself.
        words: those of the command line.
    """
    from hybrid_sweep.commands import cli
    from hybrid_sweep.sweeps import scheduler

    spans: list[list[float]] = []
    before: list[float] = []
    workers: list[float] = []
    asked: list[float] = []
    start_worker, servers_of = scheduler.start, scheduler._servers_of

    def watch(span: list[float], process: int) -> None:
        select.select([process], [], [])
        span.append(time.time())

    def start(*of_point: Any) -> Any:
        process = start_worker(*of_point)
        if not isinstance(process, str):
            before.append(cpu(resource.RUSAGE_SELF))
            spans.append([time.time()])
            ended = (spans[-1], os.pidfd_open(process.pid))
            threading.Thread(target=watch, args=ended, daemon=True).start()
        return process

    def servers_when_ready(*of_point: Any) -> Any:
        servers = servers_of(*of_point)
        if servers == "importing":
            asked.append(time.time())
        return servers

    class Servers(scheduler.Servers):
        def close(self) -> None:
            workers.append(cpu(resource.RUSAGE_CHILDREN))
            super().close()

    scheduler.start = start
    scheduler._servers_of = servers_when_ready
    scheduler.Servers = Servers
    if kind == "alone":
        scheduler.begin_servers = lambda waiting: None
    code = cli.main(list(words))
    children = cpu(resource.RUSAGE_CHILDREN)
    of_workers = workers[0] if workers else children
    summary = {
        "code": code,
        "spans": spans,
        "importing": spans[0][0] - asked[0] if asked else 0.0,
        "cpu": cpu(resource.RUSAGE_SELF),
        "before": before[0] if before else 0.0,
        "workers": of_workers,
        "server": children - of_workers,
    }
    told.write_text(json.dumps(summary))


@dataclasses.dataclass(frozen=True)
class Run:
    """A command: when it was started and had ended, and what `drive` noted."""

    begun: float
    ended: float
    told: dict[str, Any]

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


def sweep(folder: Path, words: Sequence[str], kind: str = "forked") -> Run:
    """Run the program on these words in a folder, its workers of the kind `forked` or `alone`."""
    begun = time.time()
    command = [
        sys.executable,
        __file__,
        DRIVE,
        str(folder / "told.json"),
        kind,
        "run",
        "-m",
        *words,
    ]
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    run = Run(begun, time.time(), json.loads((folder / "told.json").read_text()))
    assert run.told["code"] == 0, f"the sweep ended with {run.told['code']}: {folder}"
    return run


def idle(spans: Sequence[tuple[float, float]], slots: int) -> tuple[float, float]:
    """Seconds that slots were idle while points waited, and after the last point had started (the
    tail of any sweep).
    """
    last = max(start for start, _ in spans)
    events = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    waiting = tail = 0.0
    running, before = 0, events[0][0]
    for moment, change in events:
        gap = (slots - running) * (moment - before)
        waiting, tail = (waiting + gap, tail) if moment <= last else (waiting, tail + gap)
        running, before = running + change, moment
    return waiting, tail


def report_sweep(folder: Path, kind: str, points: int, steps: int) -> Run:
    """Print what the driver adds to a sweep of so many points."""
    slots = min(2, len(os.sched_getaffinity(0)))
    seeds = points // 5
    words = [
        *WORDS,
        "batch.cross_lingual_ratio=0,0.25,0.5,0.75,1",
        f"seed={','.join(map(str, range(seeds)))}",
    ]
    words += [f"trainer.max_steps={steps}", f"sweep.max_parallel={slots}"]
    run = sweep(folder, words, kind)
    spans = run.told["spans"]
    assert len(spans) == 5 * seeds, f"{len(spans)} of {5 * seeds} points were run"
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    busy = sum(end - start for start, end in spans)
    waiting, tail = idle(spans, slots)
    outside = slots * ((first - run.begun) + (run.ended - last))
    computed = run.told["cpu"] - run.told["before"]
    added, whole = outside + waiting + computed, slots * run.seconds - tail
    importing = run.told["importing"]
    what = "forked from a ready process" if kind == "forked" else "started by themselves"
    print(
        f"{len(spans)} points of {steps} steps, {slots} at a time, workers {what}:"
        f" {run.seconds:.1f} s"
    )
    print(
        f"  a point {busy / len(spans):.1f} s, {run.told['workers'] / len(spans):.1f} s of CPU time"
    )
    print(
        f"  before the first point starts {first - run.begun:.2f} s, of which {importing:.2f} s wait"
        f" for the imports of all workers; after the last has ended {run.ended - last:.2f} s"
    )
    print(
        f"  idle slots while points wait {waiting:.2f} s, what the driver computes meanwhile"
        f" {computed:.2f} s"
    )
    print(
        f"  added by the driver, of the slots' time: {(added - slots * importing) / whole:.2%}, with"
        f" the wait for the imports {added / whole:.2%}; idle at the end {tail:.1f} s"
    )
    return run


def report_start(alone: Run, forked: Run) -> None:
    """Print what it takes to start a worker, both ways, and compare the results of both sweeps."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True
    )
    imports, points = float(done.stdout), len(alone.told["spans"])
    saved = (alone.told["workers"] - forked.told["workers"]) / points
    print(
        f"imports of a worker: {imports:.2f} s of CPU time,"
        f" {imports * points / alone.told['workers']:.1%} of all workers'"
    )
    print(
        f"  forked, a point takes {saved:.2f} s less; so its start takes {imports - saved:.2f} s of"
        " CPU time"
    )
    print(
        f"  once for the sweep, the process to fork from: {forked.told['server']:.2f} s of CPU time"
    )
    print(f"  the whole sweep: {forked.seconds / alone.seconds:.3f} of the time")


def same_results(one: Path, other: Path) -> bool:
    """Return whether two folders hold the same per-query tables, byte by byte."""
    tables = [
        {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.glob("outputs/runs/*/per_query.parquet")
        }
        for folder in (one, other)
    ]
    return tables[0] == tables[1] and len(tables[0]) > 0


def report_nothing_to_do(folder: Path) -> None:
    """Print what the command takes on a sweep that is done."""
    from hybrid_sweep.config import compose
    from hybrid_sweep.runs import finished
    from hybrid_sweep.sweeps import point_list as sweeps
    from hybrid_sweep.utils.files import write_json

    ratios = ",".join(f"{ratio / 10:g}" for ratio in range(11))
    words = [*WORDS, f"batch.cross_lingual_ratio={ratios}", "seed=0,1,2", "sweep.name=done"]
    found = sweeps.expand(
        compose.points([*words, f"paths.outputs={folder / 'outputs'}"], multirun=True), print
    )
    for point in found:
        point.run_dir.mkdir(parents=True)
        (point.run_dir / finished.TABLE).write_bytes(b"rows")
        write_json(
            point.run_dir / "metrics.json", finished.sealed(point.run_dir, {"run_id": point.run_id})
        )
    times = []
    for _ in range(3):
        run = sweep(folder, words)
        assert not run.told["spans"]
        times.append((run.seconds, run.told["cpu"]))
    took, cpu = min(times)
    print(
        f"{len(found)} points that are done: the same command takes {took:.2f} s ({cpu:.2f} s of"
        " one core)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=15, help="a multiple of five")
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        # Leases of its own: other sweeps on this machine are another measurement.
        os.environ["HYBRID_SWEEP_SLOTS"] = str(Path(name) / "slots")
        os.environ.setdefault("HYBRID_SWEEP_CACHE", str(Path(name) / "cache"))
        done, alone, forked = (Path(name) / part for part in ("done", "alone", "forked"))
        # one for each, or points of the one count as done in the other
        for folder in (done, alone, forked):
            folder.mkdir()
        report_nothing_to_do(done)
        runs = [
            report_sweep(folder, folder.name, args.points, args.steps) for folder in (alone, forked)
        ]
        report_start(*runs)
        print(f"per-query tables are the same bytes: {same_results(alone, forked)}")


if __name__ == "__main__":
    if sys.argv[1:2] == [DRIVE]:
        drive(Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
    else:
        main()
