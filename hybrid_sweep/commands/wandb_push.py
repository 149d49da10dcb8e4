"""The verb `wandb push`: the whole W&B mirror of a sweep, made again from the files of its points.

A second push changes nothing. On a server the run of a point goes on where the last push, or a
mirror that was kept while it trained, has left it; offline a run that has not changed stays as it
is, so that `wandb sync` does not send it twice.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_sweep.commands import wandb_sweep
from hybrid_sweep.commands.wandb_target import (
    Target,
    begin,
    check_login,
    config_of,
    is_kept,
    keep,
    plan_of,
    reachable,
    run_dir,
    summaries,
    target_of,
)
from hybrid_sweep.runs import finished, trained
from hybrid_sweep.tracking import mirror
from hybrid_sweep.utils import records
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest

Say = Callable[[str], None]
OFFLINE = "--offline writes the files, to be synced later"


@dataclass(frozen=True)
class MirroredRun:
    """What W&B is to hold of a point; `series` is of steps done and values, in the order in which
    training gave them.
    """

    words: dict[str, Any]
    series: list[tuple[int, dict[str, float]]]
    summary: dict[str, Any]
    failed: bool


def push(
    sweep_dir: Path, *, offline: bool, project: str | None, entity: str | None, say: Say
) -> str:
    """Mirror the points of a sweep, and its table, figure and results; what to tell the user at the
    end.

    Done and failed points are pushed; those that are not finished are counted. offline: only write
    the files. WANDB_MODE in the environment wins. Raises UserError where there is no sweep, no
    login or no server, or W&B is disabled.
    """
    from hybrid_sweep.report.report import write_report

    plan = plan_of(sweep_dir)
    mode = mirror.mode_of({"mode": "offline" if offline else "online"})
    if mode == "disabled":
        raise UserError(
            "Weights & Biases is disabled by WANDB_MODE or WANDB_DISABLED: there is nowhere to"
            " push to",
            key="wandb.disabled",
        )
    target = target_of(sweep_dir, plan, mode, project, entity)
    if mode == "online":
        check_login(OFFLINE)
    pushed = 0
    entries = plan["points"]
    for entry in entries:
        run = read(sweep_dir, plan, entry)
        if run is None:
            _say_why(run_dir(sweep_dir, entry["run_id"]), say)
        else:
            write(target, run)
            pushed += 1
            say(
                f"[{pushed}/{len(entries)}] {run.words['name']}"
                f" ({entry['run_id']}){': failed' if run.failed else ''}"
            )
    lines = [f"{pushed} of {len(entries)} points mirrored"]
    if left := len(entries) - pushed:
        lines[0] += f"; {left} not finished: left out"
    try:
        report = write_report([sweep_dir], allow_missing=True)
    except UserError as error:
        lines.append(f"no table and figure: {error}")
    else:
        with reachable(OFFLINE):
            wandb_sweep.write(target, plan, report, wandb_sweep.mark_of(sweep_dir, plan))
        lines[0] += ", and the table, figure and results of the sweep"
    if mode == "offline":
        lines.append(f"next: wandb sync {shlex.quote(str(target.folder / 'wandb'))}/offline-run-*")
    return "\n".join(lines)


def _say_why(folder: Path, say: Say) -> None:
    """Say what is wrong with a run that has a result and is left out."""
    problem = finished.problem(folder, folder)
    if problem and problem != finished.NOT:
        say(f"{folder.name} is left out: {problem}")


def read(sweep_dir: Path, plan: Mapping[str, Any], entry: Mapping[str, Any]) -> MirroredRun | None:
    """Return the mirror of a point of a sweep, from its folder; None where it is neither done nor
    failed.
    """
    folder = run_dir(sweep_dir, str(entry["run_id"]))
    if folder.is_symlink():  # said where it is left out
        return None
    status = records.status(folder)
    results = summaries(sweep_dir, entry)
    failed = status.get("state") == "failed"
    if not config_of(folder) or not (failed or "" in results):
        return None
    config = records.described(folder)
    summary = {name: value for values in results.values() for name, value in values.items()}
    if failed:
        summary["error"] = str(status.get("error"))
    words = mirror.described(config, folder.name) | {"group": plan["name"]}
    return MirroredRun(words, list(_series(folder)), summary, failed)


def _series(folder: Path) -> Iterator[tuple[int, dict[str, float]]]:
    if not trained.tables_hold(folder):
        raise UserError(
            f"{folder}: its record of training steps is not what was written: run it again",
            key="training.steps_altered",
        )
    try:
        steps = _listed(folder / "steps.parquet")
        evaluated = {int(row["step"]): row for row in _listed(folder / "dev.parquet")}
        for done, row in enumerate(steps, start=1):
            before = steps[done - 2] if done > 1 else None
            yield done, mirror.of_step(row, before)
            if done in evaluated:
                yield done, mirror.of_dev(evaluated[done])
    except (OSError, KeyError, TypeError, ValueError, ArithmeticError, pa.ArrowException) as error:
        raise UserError(
            f"{folder}: its record of training steps cannot be read ({type(error).__name__})",
            key="training.steps_unreadable",
        ) from error


def _listed(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file; [] where there is none."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist() if path.is_file() else []
    return rows


def write(target: Target, run: MirroredRun) -> None:
    """Bring the W&B run of a point up to date; raises UserError where W&B cannot be had."""
    name = str(run.words["id"])
    # JSON has no word for a loss that diverged
    mark = digest(repr([run.words, run.series, run.summary, run.failed]))
    if target.mode == "offline" and is_kept(target, name, mark):
        return
    with reachable(OFFLINE):
        opened = begin(target, run.words)
        there = opened.summary.get(mirror.STEP) or 0  # what a server has of the series
        for step, values in run.series:
            if step > there:
                opened.log({**values, mirror.STEP: step})
        opened.summary.update(mirror.clean(run.summary))
        opened.finish(exit_code=int(run.failed))
    keep(target, name, mark)
