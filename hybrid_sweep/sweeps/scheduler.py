"""Points in slots on this machine: each a process of its own, leased, watched, and never run by two
drivers at once.
"""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hybrid_sweep.config.schema import Bm25Model, Config
from hybrid_sweep.config.validate import typed
from hybrid_sweep.sweeps import forks, progress
from hybrid_sweep.sweeps import slots as machines
from hybrid_sweep.sweeps.forks import WORKER, Servers
from hybrid_sweep.sweeps.point_list import Point, expand, is_done, state_of
from hybrid_sweep.sweeps.processes import (
    MISTAKE,
    Process,
    environment,
    is_forkable,
    note_failure,
    signal_group,
    signals,
    start,
    stop,
    tail,
)
from hybrid_sweep.utils import records, slurm_job
from hybrid_sweep.utils.arguments import say


class PointFailed(RuntimeError):
    """A point under a launcher of Hydra's has no result; the message ends with the last lines of
    its log.
    """


@dataclass
class Running:
    """A worker that was started here, and what is known of it."""

    point: Point
    process: Process
    begun: float = field(default_factory=time.monotonic)
    told: float | None = None  # when it was seen to have left because it was told to stop

    @property
    def code(self) -> int:
        """Return the exit code of a worker that has ended."""
        assert self.process.returncode is not None
        return self.process.returncode


@dataclass
class RunningSweep:
    """What a driver knows while its points run. Points are known by their folders.

    waiting: in their order, to be started. elsewhere: those of them that another driver has.
    attempts: how often each was started here and failed. failures: points that stay failed.
    """

    machine: machines.Machine
    view: progress.View
    worker: Sequence[str]
    parallel: int
    wait: bool
    waiting: list[Point]
    running: list[Running] = field(default_factory=list)
    elsewhere: set[Path] = field(default_factory=set)
    attempts: Counter[Path] = field(default_factory=Counter)
    failures: int = 0
    told_busy: bool = False
    servers: Servers | None = None
    importing: bool = False
    told_importing: bool = False


@dataclass(frozen=True)
class Driving:
    """How a driver runs its points.

    parallel: how many at a time. on_failure: "continue", or "stop" once one has failed for good.
    wait: whether a point that another driver runs is waited for. worker: the words that start a
    worker; None for ours.
    """

    parallel: int = 1
    on_failure: str = "continue"
    wait: bool = True
    worker: Sequence[str] | None = None


ONE_BY_ONE = Driving()


def run_points(
    points: Sequence[Point],
    *,
    machine: machines.Machine,
    driving: Driving = ONE_BY_ONE,
    view: progress.View | None = None,
    servers: Servers | None = None,
) -> None:
    """Run what is not done; what came of each point is in its folder (`point_list.state_of`).

    A point starts when the GPUs or cores it needs are free, of this driver and of all others on the
    machine. One that another driver runs is waited for, and taken over should it end without a
    result; with wait=False it is left to the other. A failed point leaves the others running, and
    is tried again after them as often as its sweep.retries says; with on_failure="stop" no further
    one starts once one has failed for good. SIGINT or SIGTERM ends the workers, all their processes
    too, and raises KeyboardInterrupt. With `servers`, which the caller closes, the workers are
    forked from those (see `begin_servers`).
    """
    sweep = RunningSweep(
        machine,
        view or progress.Plain(len(points)),
        driving.worker or WORKER,
        driving.parallel,
        driving.wait,
        [],
        servers=servers,
    )
    for point in points:  # those done at once, before the time that the others take is told
        if is_done(point):
            sweep.view.skipped(point)
        else:
            sweep.waiting.append(point)
    if servers is None and tuple(sweep.worker) == forks.WORKER:
        sweep.servers = begin_servers(sweep.waiting)
    with signals() as caught:
        try:
            _drive(sweep, caught, driving.on_failure)
        finally:
            # interrupted, or the driver itself failed: no worker outlives it unseen
            if sweep.running:
                stop([item.process for item in sweep.running], caught)
            if sweep.servers is not None and servers is None:
                sweep.servers.close()


def _drive(sweep: RunningSweep, caught: Sequence[int], on_failure: str) -> None:
    """Start, watch and collect the workers until no point waits and none runs; raises
    KeyboardInterrupt once a signal was caught.
    """
    filled = shown = -1.0
    while sweep.waiting or sweep.running:
        if caught:
            raise KeyboardInterrupt
        now = time.monotonic()
        ended = _reap(sweep)
        if sweep.failures and on_failure == "stop":
            sweep.waiting.clear()
        # A free slot is filled at once; points and slots of other drivers are looked at again once
        # a second.
        if ended or sweep.importing or now - filled > 1:
            _fill(sweep)
            filled = now
        if now - shown > 0.5:
            ours = [point for point in sweep.waiting if point.run_dir not in sweep.elsewhere]
            sweep.view.show([_row(item) for item in sweep.running], ours)
            shown = now
        if sweep.waiting or sweep.running:
            time.sleep(0.1)


def begin_servers(waiting: Sequence[Point]) -> Servers | None:
    """Start what the workers of these points will be forked from, to import while the driver does
    other things.

    None where a fork saves nothing, for a single point, or cannot be made.
    """
    forked = [point for point in waiting if is_forkable(point.config)]
    if sys.platform != "linux" or len(forked) < 2 or tuple(WORKER) != forks.WORKER:
        return None
    servers = Servers()
    around = _around(forked[0])
    needs_torch = any(_needs_torch(point) for point in forked if _around(point) == around)
    servers.begin(around, needs_torch=needs_torch)
    return servers


def _around(point: Point) -> dict[str, str]:
    """Return the environment of the worker of a point, whatever its GPUs will be."""
    return environment(point.config.trainer, None, os.environ)


def _needs_torch(point: Point) -> bool:
    return not isinstance(point.config.model, Bm25Model)


def _fill(sweep: RunningSweep) -> None:
    """Start points where slots are free, strike those that are done or not to be waited for, or
    cannot start.
    """
    sweep.importing = False
    for point in list(sweep.waiting):
        folder = point.run_dir
        if is_done(point):
            sweep.waiting.remove(point)
            sweep.elsewhere.discard(folder)
            sweep.view.skipped(point)
            continue
        if len(sweep.running) >= sweep.parallel:
            break
        servers = _servers_of(sweep, point)
        if servers == "importing":
            sweep.importing = True
            if not sweep.told_importing:
                sweep.view.importing()
                sweep.told_importing = True
            break
        try:
            process = start(point, sweep.machine, sweep.worker, servers)
        except OSError as error:
            sweep.waiting.remove(point)
            sweep.failures += 1
            sweep.view.failed(
                point, f"cannot start it: {error.strerror} ({error.filename or folder})"
            )
            continue
        if process == "busy":
            if not sweep.running and not sweep.told_busy:
                sweep.view.busy(point, sweep.machine.folder)
                sweep.told_busy = True
            break
        if isinstance(process, str):
            if folder not in sweep.elsewhere and not is_done(point):
                sweep.view.elsewhere(point)
                sweep.elsewhere.add(folder)
            if not sweep.wait:
                sweep.waiting.remove(point)
            continue
        sweep.waiting.remove(point)
        sweep.elsewhere.discard(folder)
        sweep.told_busy = False
        sweep.running.append(Running(point, process))
        sweep.view.started(point)


def _servers_of(sweep: RunningSweep, point: Point) -> Servers | Literal["importing"] | None:
    """Return what the worker of a point is forked from; None where it is started by itself."""
    if sweep.servers is None or not is_forkable(point.config):
        return None
    needs_torch = _needs_torch(point)
    if sweep.servers.is_ready(_around(point), needs_torch=needs_torch):
        return sweep.servers
    # What needs no torch starts sooner by itself than the import of torch ends.
    if needs_torch:
        return "importing"
    return None


def _told_first(item: Running) -> bool:
    """Return whether SLURM has told the worker to stop and is about to tell this driver, which then
    leaves the job to SLURM.

    To the driver it would look like a failure, and a job that ends by itself is not requeued.
    """
    if not slurm_job.was_told(item.code) or is_done(item.point):
        return False
    item.told = item.told or time.monotonic()
    return time.monotonic() - item.told < slurm_job.NEWS


def _row(item: Running) -> progress.Row:
    return progress.Row(
        item.point, time.monotonic() - item.begun, records.status(item.point.run_dir)
    )


def _reap(sweep: RunningSweep) -> int:
    """Strike the workers that have ended, and put on record why one failed; how many ended."""
    ended = [
        item for item in sweep.running if item.process.poll() is not None and not _told_first(item)
    ]
    for item in ended:
        point = item.point
        sweep.running.remove(item)
        if is_done(point):
            sweep.view.done(point, time.monotonic() - item.begun)
            continue
        signal_group(item.process, signal.SIGKILL)  # ranks that a dead worker left behind
        reason = note_failure(point, item.code)
        sweep.attempts[point.run_dir] += 1
        left = point.config.sweep.retries + 1 - sweep.attempts[point.run_dir]
        if left > 0 and item.code != MISTAKE:
            sweep.view.again(point, reason, left)
            sweep.waiting.append(point)
        else:
            sweep.failures += 1
            sweep.view.failed(point, reason)
    return len(ended)


def launch(
    jobs: Sequence[tuple[tuple[str, ...], Config]], servers: Servers | None = None
) -> list[str]:
    """Run the composed jobs of a sweep in slots, with live progress; the state of each job's own
    point afterwards.
    """
    points = list({point.run_dir: point for point in expand(jobs, say)}.values())
    sweep = jobs[0][1].sweep
    machine = machines.this_machine([point.config for point in points], os.environ)
    parallel = max(machines.parallel(point.config, machine) for point in points)
    driving = Driving(parallel, sweep.on_failure)
    with progress.watch(len(points), parallel) as view:
        run_points(points, machine=machine, driving=driving, view=view, servers=servers)
    by_words = {point.overrides: state_of(point).name for point in points}
    return [by_words.get(overrides, "same as another") for overrides, _ in jobs]


@dataclass(frozen=True)
class Task:
    """What Hydra calls in the driver itself, with what the driver has done for it already.

    points: the composed points, by their overrides. servers: what their workers are forked from.
    Another process, which a launcher of Hydra's sends it to, gets `task` in its place.
    """

    points: Mapping[tuple[str, ...], Config]
    servers: Servers | None

    def __call__(self, node: Any) -> None:
        task(node, self.servers)

    def __reduce__(self) -> tuple[Any, ...]:
        return plain_task, ()


def plain_task() -> Callable[[Any], None]:
    """Return what Hydra calls in a process that is not the driver."""
    return task


def task(node: Any, servers: Servers | None = None) -> None:
    """Run what Hydra asks for: the one point of a plain run, or a job of a launcher other than ours
    (basic, joblib, submitit).

    The untrained point comes first. A plain run waits for a point that another driver runs; a job,
    which on a cluster would pay for waiting, leaves it to the other. A job without a result raises
    PointFailed.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not slurm_job.is_first_task():
        return
    hydra = HydraConfig.get()
    # paths.outputs is relative to where the user stands, whatever hydra.job.chdir says
    os.chdir(hydra.runtime.cwd)
    alone = hydra.mode != RunMode.MULTIRUN
    config = typed(node)
    points = expand([(tuple(hydra.overrides.task), config)], say)
    machine = machines.this_machine([config], os.environ)
    machines.size(config, machine)  # too few GPUs are the user's mistake, not the point's
    try:
        with progress.watch(len(points), live=alone) as view:
            driving = Driving(on_failure=config.sweep.on_failure, wait=alone)
            run_points(points, machine=machine, driving=driving, view=view, servers=servers)
    except KeyboardInterrupt:
        slurm_job.stay()
        raise
    point = points[-1]
    state = state_of(point)
    if not alone and state.name not in ("done", "running elsewhere"):
        log = point.run_dir / "log.txt"
        raise PointFailed(
            "\n".join(
                [f"{point.label} ({point.run_id}): {state.reason}; the end of {log}:", *tail(log)]
            )
        )
