"""What the engine adds to a sweep: python benchmarks/engine.py [--points 15] [--steps 400]

A sweep of real trainings on generated text is timed from outside: what its driver computes, and how long slots are idle while
points wait, before the first starts and after the last has ended; aim: together under 3 % of the slots' time. What the
workers' imports take is told apart. Then the same command on a sweep of 33 points that is done; aim: under 5 s.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

WORDS = ["experiment=reproduce", "data=synthetic", "sweep.bm25=false", "sweep.untrained=false", "logger=disabled"]

# Runs the words as the program does, and notes when each worker was started and ended: ended as the kernel sees it.
DRIVER = """
import json, os, resource, select, sys, threading, time
begun = time.time()
from hybrid_sweep import cli, launcher
spans, real = [], launcher.start

def watch(span, process):
    select.select([process], [], [])
    span.append(time.time())

def start(*words):
    found = real(*words)
    if not isinstance(found, str):
        spans.append([time.time()])
        threading.Thread(target=watch, args=(spans[-1], os.pidfd_open(found.pid)), daemon=True).start()
        used = resource.getrusage(resource.RUSAGE_SELF)
        launcher.cpu = launcher.__dict__.get("cpu", used.ru_utime + used.ru_stime)
    return found

launcher.start = start
code = cli.main(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_SELF)
told = {"code": code, "spans": spans, "cpu": used.ru_utime + used.ru_stime, "before": getattr(launcher, "cpu", 0)}
open(sys.argv[1], "w").write(json.dumps(told))
"""


def sweep(folder: Path, words: Sequence[str]) -> tuple[float, float, dict]:
    """Run the program on these words in a folder; when it was started and had ended, and what DRIVER noted."""
    begun = time.time()
    command = [sys.executable, "-c", DRIVER, str(folder / "told.json"), "run", "-m", *words]
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    ended, told = time.time(), json.loads((folder / "told.json").read_text())
    assert told["code"] == 0, f"the sweep ended with {told['code']}: {folder}"
    return begun, ended, told


def idle(spans: Sequence[tuple[float, float]], slots: int) -> tuple[float, float]:
    """Seconds that slots were idle while points waited, and after the last point had started (the tail of any sweep)."""
    last = max(start for start, _ in spans)
    events = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    waiting = tail = 0.0
    running, before = 0, events[0][0]
    for moment, change in events:
        gap = (slots - running) * (moment - before)
        waiting, tail = (waiting + gap, tail) if moment <= last else (waiting, tail + gap)
        running, before = running + change, moment
    return waiting, tail


def report_sweep(folder: Path, points: int, steps: int) -> None:
    """Print what the driver adds to a sweep of so many points."""
    slots = min(2, len(os.sched_getaffinity(0)))
    seeds = points // 5
    words = [*WORDS, "batch.cross_lingual_ratio=0,0.25,0.5,0.75,1", f"seed={','.join(map(str, range(seeds)))}"]
    words += [f"trainer.max_steps={steps}", f"sweep.max_parallel={slots}"]
    begun, ended, told = sweep(folder, words)
    spans = told["spans"]
    assert len(spans) == 5 * seeds, f"{len(spans)} of {5 * seeds} points were run"
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    busy = sum(end - start for start, end in spans)
    waiting, tail = idle(spans, slots)
    outside = slots * ((first - begun) + (ended - last))
    computed = told["cpu"] - told["before"]
    records = [json.loads(path.read_text())["times"] for path in folder.glob("outputs/runs/*/provenance.json")]
    imports = sum(record["start_seconds"] for record in records)
    share = (outside + waiting + computed) / (slots * (ended - begun) - tail)
    print(
        f"{len(spans)} points of {steps} steps, {slots} at a time: {ended - begun:.1f} s; a point {busy / len(spans):.1f} s"
    )
    print(f"  before the first point starts {first - begun:.2f} s, after the last has ended {ended - last:.2f} s")
    print(f"  idle slots while points wait {waiting:.2f} s, what the driver computes meanwhile {computed:.2f} s")
    print(f"  added by the driver, of the slots' time: {share:.2%}")
    print(
        f"  apart from it: workers' imports {imports:.1f} s ({imports / busy:.1%} of theirs), idle at the end {tail:.1f} s"
    )


def report_nothing_to_do(folder: Path) -> None:
    """Print what the command takes on a sweep that is done."""
    from hybrid_sweep import compose
    from hybrid_sweep import sweep as sweeps
    from hybrid_sweep.store import write_json

    ratios = ",".join(f"{ratio / 10:g}" for ratio in range(11))
    words = [*WORDS, f"batch.cross_lingual_ratio={ratios}", "seed=0,1,2", "sweep.name=done"]
    found = sweeps.expand(compose.points([*words, f"paths.outputs={folder / 'outputs'}"], multirun=True), print)
    for point in found:
        write_json(point.run_dir / "metrics.json", {"run_id": point.run_id})
    times = []
    for _ in range(3):
        begun, ended, told = sweep(folder, words)
        assert not told["spans"]
        times.append((ended - begun, told["cpu"]))
    took, cpu = min(times)
    print(f"{len(found)} points that are done: the same command takes {took:.2f} s ({cpu:.2f} s of one core)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=15, help="a multiple of five")
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        # Leases of its own: other sweeps on this machine are another measurement.
        os.environ["HYBRID_SWEEP_SLOTS"] = str(Path(name) / "slots")
        os.environ.setdefault("HYBRID_SWEEP_CACHE", str(Path(name) / "cache"))
        for part in ("done", "whole"):  # a folder of its own for each, or points of the one count as done in the other
            (Path(name) / part).mkdir()
        report_nothing_to_do(Path(name) / "done")
        report_sweep(Path(name) / "whole", args.points, args.steps)


if __name__ == "__main__":
    main()
