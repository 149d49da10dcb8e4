"""The one W&B run of a whole sweep: its table, figure, results and answer."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_sweep.commands.wandb_target import (
    Target,
    begin,
    check_login,
    is_kept,
    keep,
    logger_of,
    reachable,
    target_of,
)
from hybrid_sweep.tracking import mirror
from hybrid_sweep.utils import records
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest, file_digest
from hybrid_sweep.utils.redaction import redacted

if TYPE_CHECKING:
    from hybrid_sweep.report.report import Report

LATER = "hybrid-sweep wandb push SWEEP_DIR does it later"


def id_of(plan: Mapping[str, Any]) -> str:
    """Return the id of the sweep's own run: one per name of a sweep, however many points it comes
    to have.
    """
    return f"sweep-{digest(str(plan['name']))}"


def mark_of(sweep_dir: Path, plan: Mapping[str, Any]) -> str:
    """Return the mark of what the run is to hold: the points and the results."""
    return digest([plan["points"], file_digest(sweep_dir / "results.csv")])


def write(target: Target, plan: Mapping[str, Any], report: "Report", mark: str) -> None:
    """Bring the sweep's own run up to date with its report; raises what wandb raises."""
    if target.mode == "offline" and is_kept(target, id_of(plan), mark):
        return
    missing = {point.run_id for point in report.missing}
    done = [entry["run_id"] for entry in plan["points"] if entry["run_id"] not in missing]
    summary = {
        "sweep": plan["name"],
        "margin": plan["margin"],
        "command": plan.get("command", ""),
        "run_ids": done,
    }
    words = {
        "id": id_of(plan),
        "name": f"{plan['name']} (sweep)",
        "group": plan["name"],
        "job_type": "sweep",
    }
    with _kept(target.folder.absolute() / "wandb"):
        run = begin(target, words | {"config": summary})
        if run.summary.get("report") != mark:  # else the server has it
            _fill(run, report)
        counts = {"points": len(plan["points"]), "missing": len(missing)}
        run.summary.update(mirror.clean({"report": mark, "answer": report.answer, **counts}))
        run.finish(exit_code=0)
    keep(target, id_of(plan), mark)


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Have what waits for a sync beside the run, not in the user's home, which a cluster may clean;
    of the last time alone.
    """
    before = os.environ.get("WANDB_DATA_DIR")
    shutil.rmtree(folder / "artifacts", ignore_errors=True)
    os.environ["WANDB_DATA_DIR"] = str(folder)
    try:
        yield
    finally:
        (
            os.environ.pop("WANDB_DATA_DIR")
            if before is None
            else os.environ.update(WANDB_DATA_DIR=before)
        )


def _fill(run: Any, report: "Report") -> None:
    import wandb

    run.log(
        {"results": wandb.Table(dataframe=report.results), "curve": wandb.Image(str(report.figure))}
    )
    artifact = wandb.Artifact(f"results-{run.id}", type="results")
    for path in (*report.paths, report.figure.with_name("points.json")):
        if path.suffix in (".md", ".html", ".tex", ".json"):  # they quote commands and errors
            with artifact.new_file(path.name, mode="w", encoding="utf-8") as file:
                file.write(redacted(path.read_text(encoding="utf-8")))
        else:
            artifact.add_file(str(path))
    run.log_artifact(artifact)


def after_report(sweep_dir: Path, report: "Report") -> None:
    """Mirror a new report, where the sweep's points are mirrored; what stands in the way is told in
    one line.
    """
    plan = records.points(sweep_dir)
    logger = logger_of(sweep_dir, plan)
    if not logger or (mode := mirror.mode_of(logger)) == "disabled":
        return
    if mode == "online" and mirror.mode_of({"mode": "offline"}) != "online":
        # A stored config does not decide that something is sent: WANDB_MODE=online, or the verb,
        # does.
        say(f"not sent to Weights & Biases: {LATER}")
        return
    target = target_of(sweep_dir, plan, mode)
    mark = mark_of(sweep_dir, plan)
    if is_kept(target, id_of(plan), mark):
        return
    try:
        if mode == "online":
            check_login(LATER)
        with reachable(LATER):
            write(target, plan, report, mark)
    except (UserError, OSError) as error:
        say(f"not in Weights & Biases: {error}")
