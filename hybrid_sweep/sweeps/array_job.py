"""A sweep as one array job of SLURM: submitted, watched and told from the machine where the user
typed the command.
"""

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from hybrid_sweep.config.schema import Config
from hybrid_sweep.sweeps import plan_text, progress
from hybrid_sweep.sweeps.point_list import Point, expand, is_done, outputs_of, state_of
from hybrid_sweep.utils import records
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_own_json, write_json

QUEUE_EVERY = 10.0  # seconds between two questions to the scheduler, which serves many
SHARED = (  # submitit's names of what all its clusters know; the others are SLURM's
    "timeout_min",
    "cpus_per_task",
    "gpus_per_node",
    "tasks_per_node",
    "mem_gb",
    "nodes",
    "name",
    "stderr_to_stdout",
)

Submit = Callable[[Sequence[int], dict[str, Any]], str]


def resources(config: Config, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the launcher's params, with processors and GPUs of a job as its point needs them where
    the user leaves them out.
    """
    trainer = config.trainer
    asked = dict(params)
    if asked.get("cpus_per_task") is None:
        asked["cpus_per_task"] = trainer.devices * (trainer.threads + trainer.workers)
    if trainer.accelerator == "gpu" and not any(
        asked.get(key) for key in ("gpus_per_node", "gpus_per_task", "gres")
    ):
        asked["gpus_per_node"] = trainer.devices
    return asked


def submit(function: Any, rows: Sequence[Sequence[Any]], params: Mapping[str, Any]) -> str:
    """Submit function(*row) for each row as one array job (one row: a plain job); its number.

    Raises UserError where this is no machine of a cluster, or sbatch refuses.
    """
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise UserError(
            "hydra/launcher=slurm: no sbatch here; use a login node of the cluster, or"
            " hydra/launcher=local",
            key="slurm.no_sbatch",
        )
    words = {name if name in SHARED else f"slurm_{name}": value for name, value in params.items()}
    folder = words.pop("slurm_submitit_folder")
    timeouts = words.pop("slurm_max_num_timeout")
    executor = submitit.AutoExecutor(
        cluster="slurm", folder=Path(folder).absolute(), slurm_max_num_timeout=timeouts
    )
    executor.update_parameters(**words)
    try:
        jobs = executor.map_array(function, *zip(*rows, strict=True))
    except (FailedJobError, FailedSubmissionError) as error:
        told = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UserError(
            f"hydra/launcher=slurm: sbatch refused: {told[-1] if told else error}",
            key="slurm.sbatch_refused",
        ) from error
    return str(jobs[0].job_id.split("_")[0])


def launch(
    jobs: Sequence[tuple[tuple[str, ...], Config]], give: Submit, params: Mapping[str, Any]
) -> list[str]:
    """Run the composed jobs of a sweep as an array of SLURM jobs, and wait for it; the state of
    each job's own point.

    give(numbers, params) submits the jobs of these numbers. Points that are done, and those that an
    earlier array of the sweep still has in the queue, are not submitted again.
    """
    points = [expand([job], _silent) for job in jobs]
    distinct = {point.run_dir: point for group in points for point in group}
    note = outputs_of(jobs[0][1]) / "sweeps" / jobs[0][1].sweep.name / "slurm.json"
    arrays = {array: ids for array, ids in _noted(note).items() if queued(array)}
    mine = chosen(points, {run_id for ids in arrays.values() for run_id in ids})
    for array in arrays:
        say(f"array job {array} of this sweep is in the queue and is waited for")
    if mine:
        array = give(mine, resources(jobs[mine[0]][1], params))
        arrays[array] = [points[number][-1].run_id for number in mine]
        write_json(note, arrays)
        say(
            f"submitted array job {array} for {plan_text.count(len(mine))}. Leaving with Ctrl-C"
            f" lets them run, the same command waits for them again; scancel {array} ends them"
        )
    wait(list(distinct.values()), list(arrays), jobs[0][1].sweep.on_failure)
    return [state_of(group[-1]).name for group in points]


def _noted(note: Path) -> dict[str, list[str]]:
    """Return the run ids of each array job that slurm.json names; what is no number of a job is
    left out.
    """
    noted = read_own_json(note)
    if not isinstance(noted, dict):
        return {}
    return {
        array: ids
        for array, ids in noted.items()
        if re.fullmatch("[0-9]+", array) and isinstance(ids, list)
    }


def chosen(points: Sequence[Sequence[Point]], coming: Set[str]) -> list[int]:
    """Return which jobs to submit, given the points of each (its own one last) and the run ids of
    those that are in the queue.

    Those whose own point is missing; and where a point that several share is missing beside them,
    one of its jobs.
    """
    missing = [[point.run_dir for point in group if not is_done(point)] for group in points]
    queue = [number for number, group in enumerate(points) if group[-1].run_id in coming]
    mine = [
        n for n, group in enumerate(points) if group[-1].run_dir in missing[n] and n not in queue
    ]
    covered = {folder for number in [*queue, *mine] for folder in missing[number]}
    for number, folders in enumerate(missing):
        if not covered.issuperset(folders):
            mine.append(number)
            covered.update(folders)
    return mine


def wait(points: Sequence[Point], arrays: Sequence[str], on_failure: str) -> None:
    """Show how far the points are until all are done or no array has a job left; with "stop", a
    failure cancels the rest.
    """
    begun = time.time()
    asked = time.monotonic()
    over = False
    left = list(points)
    failed = set[Path]()
    with progress.watch(len(points)) as view:
        for point in [point for point in left if is_done(point)]:
            view.skipped(point)
            left.remove(point)
        while left:
            rows = []
            for point in list(left):
                status = point.run_dir / "status.json"
                row = progress.Row(
                    point,
                    # written when it is started
                    time.time() - _changed(point.run_dir / "identity.json", begun),
                    records.status(point.run_dir),
                )
                if is_done(point):
                    view.done(point, row.seconds)
                    left.remove(point)
                elif _changed(status, 0.0) < begun:
                    continue  # of an earlier try
                elif row.status.get("state") != "failed":
                    rows.append(row)
                elif point.run_dir not in failed and not point.config.sweep.retries:
                    view.failed(point, str(row.status.get("error")))
                    failed.add(point.run_dir)
                    if on_failure == "stop":
                        subprocess.run(["scancel", "--state=PENDING", *arrays], check=False)
            shown = [row.point for row in rows]
            view.show(rows, [point for point in left if point not in shown])
            if over:
                return
            if time.monotonic() - asked > QUEUE_EVERY:
                asked = time.monotonic()
                over = not any(queued(array) for array in arrays)
                # A shared file system shows what is new in a folder that is read anew; the folder
                # may not be there.
                for point in left if over else ():
                    with contextlib.suppress(OSError):
                        os.listdir(point.run_dir)
            time.sleep(1)


def queued(array: str) -> bool:
    """Return whether a job of the array waits or runs; a scheduler that does not answer does not
    say no.
    """
    shown = subprocess.run(
        ["squeue", "--noheader", f"--jobs={array}"], capture_output=True, text=True
    )
    if shown.returncode:
        return "Invalid job id" not in shown.stderr  # what it says of a job that it has forgotten
    return bool(shown.stdout.strip())


def _changed(path: Path, otherwise: float) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return otherwise


def _silent(_: str) -> None:
    pass
