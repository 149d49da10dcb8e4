"""Points in slots on this machine: each a process of its own, leased, watched, and never run by two drivers at once."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybrid_sweep import progress
from hybrid_sweep.checks import typed
from hybrid_sweep.config import Config
from hybrid_sweep.errors import UserError
from hybrid_sweep.processes import WORKER, note_failure, signal_group, signals, start, stop, tail
from hybrid_sweep.store import read_json
from hybrid_sweep.sweep import Point, expand, is_done, state_of


class PointFailed(RuntimeError):
    """A point under a launcher of Hydra's has no result; the message ends with the last lines of its log."""


def visible_gpus(around: Mapping[str, str]) -> list[str]:
    """Names of the GPUs this process may use: those of CUDA_VISIBLE_DEVICES, else all that the driver tool lists."""
    named = around.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    if (tool := shutil.which("nvidia-smi")) is None:
        return []
    command = [tool, "--query-gpu=index", "--format=csv,noheader"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return listed.stdout.split() if listed.returncode == 0 else []


def slots_of(config: Config, gpus: Sequence[str]) -> list[list[str] | None]:
    """What each of the slots has: on GPUs trainer.devices of them, the same set always; on the CPU nothing of its own.

    Raises UserError where the GPUs do not suffice for one point.
    """
    trainer, wanted = config.trainer, config.sweep.max_parallel
    if trainer.accelerator != "gpu":
        return [None] * wanted
    sets = [list(gpus[start : start + trainer.devices]) for start in range(0, len(gpus), trainer.devices)]
    whole: list[list[str] | None] = [part for part in sets if len(part) == trainer.devices]
    if not whole:
        raise UserError(
            f"trainer.devices={trainer.devices}: {len(gpus) or 'no'} GPUs are visible here; "
            "take fewer, set CUDA_VISIBLE_DEVICES, or use trainer=cpu"
        )
    return whole[:wanted]


@dataclass
class Running:
    """A worker that was started here, and what is known of it."""

    point: Point
    slot: int
    process: subprocess.Popen[bytes]
    begun: float = field(default_factory=time.monotonic)


def run_points(
    points: Sequence[Point],
    *,
    slots: Sequence[list[str] | None],
    on_failure: str = "continue",
    wait: bool = True,
    view: progress.View | None = None,
    worker: Sequence[str] | None = None,
) -> None:
    """Run what is not done, one point a slot; what came of each is in its folder (`sweep.state_of`).

    A point that another driver runs is waited for, and taken over should it end without a result; with wait=False it is
    left to the other. A failed point leaves the others running; with on_failure="stop" no further one starts. SIGINT or
    SIGTERM ends the workers, all their processes too, and raises KeyboardInterrupt.
    """
    view = view or progress.Plain(len(points))
    waiting, running, elsewhere = list(points), dict[int, Running](), set[Path]()
    filled = shown = -1.0
    failures = 0
    with signals() as caught:
        try:
            while waiting or running:
                if caught:
                    raise KeyboardInterrupt
                now = time.monotonic()
                ended, failed = _reap(running, view)
                failures += failed
                if failures and on_failure == "stop":
                    waiting.clear()
                # A free slot is filled at once; points of other drivers are looked at again once a second.
                if ended or now - filled > 1:
                    failures += _fill(waiting, running, elsewhere, slots, view, wait, worker or WORKER)
                    filled = now
                if now - shown > 0.5:
                    view.show(
                        [_row(item) for item in running.values()],
                        [point for point in waiting if point.run_dir not in elsewhere],
                    )
                    shown = now
                if waiting or running:
                    time.sleep(0.1)
        finally:
            if running:  # interrupted, or the driver itself failed: no worker outlives it unseen
                stop([item.process for item in running.values()], caught)


def _fill(
    waiting: list[Point],
    running: dict[int, Running],
    elsewhere: set[Path],
    slots: Sequence[list[str] | None],
    view: progress.View,
    wait: bool,
    worker: Sequence[str],
) -> int:
    """Start points in the free slots, strike those that are done or not to be waited for; how many could not start."""
    failures = 0
    for point in list(waiting):
        folder = point.run_dir
        if is_done(point):
            waiting.remove(point)
            elsewhere.discard(folder)
            view.skipped(point)
            continue
        free = [slot for slot in range(len(slots)) if slot not in running]
        if not free:
            break
        try:
            process = start(point, slots[free[0]], worker)
        except OSError as error:
            waiting.remove(point)
            failures += 1
            view.failed(point, f"cannot start it: {error.strerror} ({error.filename or folder})")
            continue
        if process is None:
            if folder not in elsewhere and not is_done(point):
                view.elsewhere(point)
                elsewhere.add(folder)
            if not wait:
                waiting.remove(point)
            continue
        waiting.remove(point)
        elsewhere.discard(folder)
        running[free[0]] = Running(point, free[0], process)
        view.started(point)
    return failures


def _row(item: Running) -> progress.Row:
    status = read_json(item.point.run_dir / "status.json") or {}
    return progress.Row(item.point, time.monotonic() - item.begun, status)


def _reap(running: dict[int, Running], view: progress.View) -> tuple[int, int]:
    """Free the slots of workers that have ended, and put on record why one failed; how many ended, and failed."""
    ended = [item for item in running.values() if item.process.poll() is not None]
    failures = 0
    for item in ended:
        del running[item.slot]
        if is_done(item.point):
            view.done(item.point, time.monotonic() - item.begun)
            continue
        failures += 1
        signal_group(item.process, signal.SIGKILL)  # ranks that a dead worker left behind
        view.failed(item.point, note_failure(item.point, item.process.returncode))
    return len(ended), failures


def launch(jobs: Sequence[tuple[tuple[str, ...], Config]]) -> list[str]:
    """Run the composed jobs of a sweep in slots, with live progress; the state of each job's own point afterwards."""
    points = list({point.run_dir: point for point in expand(jobs, print)}.values())
    sweep = jobs[0][1].sweep
    slots = slots_of(jobs[0][1], visible_gpus(os.environ))
    with progress.watch(len(points), len(slots)) as view:
        run_points(points, slots=slots, on_failure=sweep.on_failure, view=view)
    by_words = {point.overrides: state_of(point).name for point in points}
    return [by_words.get(overrides, "same as another") for overrides, _ in jobs]


def task(node: Any) -> None:
    """What Hydra calls: the one point of a plain run, or a job of a launcher other than ours (basic, joblib, submitit).

    The untrained point of its seed comes first. A plain run waits for a point that another driver runs; a job, which on
    a cluster would pay for waiting, leaves it to the other. A job without a result raises PointFailed.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra = HydraConfig.get()
    os.chdir(hydra.runtime.cwd)  # paths.outputs is relative to where the user stands, whatever hydra.job.chdir says
    alone = hydra.mode != RunMode.MULTIRUN
    config = typed(node)
    points = expand([(tuple(hydra.overrides.task), config)], print)
    slots = slots_of(config, visible_gpus(os.environ))[:1]
    with progress.watch(len(points), live=alone) as view:
        run_points(points, slots=slots, on_failure=config.sweep.on_failure, wait=alone, view=view)
    point = points[-1]
    state = state_of(point)
    if not alone and state.name not in ("done", "running elsewhere"):
        log = point.run_dir / "log.txt"
        raise PointFailed("\n".join([f"{point.label} ({point.run_id}): {state.reason}; the end of {log}:", *tail(log)]))
