"""Where the mirror of a sweep goes, and what is read of the sweep for it."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_sweep.runs import finished
from hybrid_sweep.tracking import mirror
from hybrid_sweep.utils import records, safe_paths
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest, read_own_json, write_json
from hybrid_sweep.utils.redaction import line_of

# in the sweep's folder: what was written where, so that the same again takes no time
PUSHED = "wandb/pushed.json"
LOGIN = "not logged in to Weights & Biases: run `wandb login`, or set WANDB_API_KEY"


@dataclass(frozen=True)
class Target:
    """The folder that holds wandb/, online or offline, and project and entity (None: the default
    one).
    """

    folder: Path
    mode: str
    project: str
    entity: str | None


def plan_of(sweep_dir: Path) -> dict[str, Any]:
    """Return the points.json of a sweep; raises UserError where there is none."""
    plan = records.points(sweep_dir)
    if not plan["points"]:
        raise UserError(
            f"{sweep_dir}: its points.json lists no point; hybrid-sweep run -m makes one",
            key="sweep.no_points",
        )
    safe_paths.check_links(sweep_dir)
    return plan


def run_dir(sweep_dir: Path, run_id: str) -> Path:
    """Return the folder of a run of the sweep."""
    return sweep_dir.absolute().parent.parent / "runs" / run_id


def config_of(folder: Path) -> dict[str, Any]:
    """Return the stored config of a run as plain dicts, {} where it has not begun; raises UserError
    where it is broken.
    """
    if folder.is_symlink():
        return {}
    return records.config(folder)


def summaries(sweep_dir: Path, entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what the summary of a point is to hold of each stage that has a result, by its name:
    "" for the first.
    """
    folder = run_dir(sweep_dir, str(entry["run_id"]))
    by_stage = dict[str, dict[str, Any]]()
    for stage in ("", *entry.get("also", [])):
        try:
            metrics = finished.metrics(folder, folder / "evaluations" / stage if stage else folder)
        except finished.Unfinished:
            continue
        by_stage[stage] = mirror.of_result(metrics, stage)
    return by_stage


def logger_of(sweep_dir: Path, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the logger settings (mode, project, entity) of the sweep's first point that has begun;
    {} where none has.
    """
    for entry in plan.get("points", []):
        logger = config_of(run_dir(sweep_dir, str(entry["run_id"]))).get("logger")
        if isinstance(logger, dict) and isinstance(logger.get("mode"), str):
            return {name: value for name, value in logger.items() if isinstance(value, str)}
    return {}


def target_of(
    sweep_dir: Path,
    plan: Mapping[str, Any],
    mode: str,
    project: str | None = None,
    entity: str | None = None,
) -> Target:
    """Return the target in the sweep's folder, its project and entity those of the points where
    none are given.
    """
    logger = logger_of(sweep_dir, plan)
    return Target(
        sweep_dir,
        mode,
        project or logger.get("project") or "hybrid-sweep",
        entity or logger.get("entity"),
    )


def check_login(hint: str) -> None:
    """Raise UserError where wandb is not installed, or knows no key; asks neither the user nor the
    server.
    """
    try:
        import wandb
    except ImportError as error:
        raise UserError("wandb is not installed: pip install wandb", key="install.wandb") from error
    if not wandb.login(prompt=False, verify=False):
        raise UserError(f"{LOGIN}, or {hint}", key="wandb.no_login")


def begin(target: Target, words: Mapping[str, Any]) -> Any:
    """Open a run at the target: on a server the one of this id goes on, in the folder it takes the
    place of an earlier one.
    """
    for old in _folders(target, str(words["id"])):
        if not old.is_symlink():
            shutil.rmtree(old)
    told = {**words, "project": target.project, "entity": target.entity}
    return mirror.begin(told, target.folder, target.mode, resume=target.mode == "online")


def is_kept(target: Target, run_id: str, mark: str) -> bool:
    """Return whether a run was the last time written to this target with this mark of its content,
    and, offline, is still there.
    """
    noted = _pushed(target).get(run_id) == _mark(target, mark)
    return noted and (target.mode == "online" or bool(_folders(target, run_id)))


def keep(target: Target, run_id: str, mark: str) -> None:
    """Note that a run has been written to this target with this mark of its content."""
    write_json(target.folder / PUSHED, {**_pushed(target), run_id: _mark(target, mark)})


def _pushed(target: Target) -> dict[str, Any]:
    """Return what was noted of earlier pushes; {} where nothing was, or the note is broken."""
    pushed = read_own_json(target.folder / PUSHED)
    if isinstance(pushed, dict):
        return pushed
    return {}


def _mark(target: Target, mark: str) -> str:
    return digest([mark, target.mode, target.project, target.entity])


def _folders(target: Target, run_id: str) -> list[Path]:
    return list((target.folder / "wandb").glob(f"*run-*-{run_id}"))


@contextmanager
def reachable(hint: str) -> Iterator[None]:
    """Turn what wandb raises into a UserError of one line that ends with a hint."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"Weights & Biases: {line_of(error)}; {hint}", key="wandb.unreachable"
        ) from error
