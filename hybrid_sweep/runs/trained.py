"""What a finished training has left: trained.json, the last file of a training, with the digests of
the others.

A model that is not the one that was saved (another run's, other weights, another activation in its
config.json) would give other numbers under the same run id. So whoever goes on from a trained model
compares it with the record first. No torch here: the driver asks, too.
"""

from pathlib import Path
from typing import Any

from hybrid_sweep.utils import digests
from hybrid_sweep.utils.errors import UserError, key_of
from hybrid_sweep.utils.files import read_own_json, write_json

RECORD = "trained.json"
TABLES = ("steps.parquet", "dev.parquet")  # the second one only where the split dev was evaluated


class Untrained(UserError):
    """A run has no model to go on from; `reason` says why in a few words, the message also
    where.
    """

    def __init__(self, run_dir: Path, reason: str, detail: str, *, key: str) -> None:
        super().__init__(f"{run_dir}: {reason} ({detail})", key=key)
        self.reason = reason


def write(run_dir: Path) -> None:
    """Write the record of a training that has just left all its files."""
    tables = [name for name in TABLES if (run_dir / name).is_file()]
    files = digests.seal(run_dir, [*model_files(run_dir), *tables])
    write_json(run_dir / RECORD, {"run_id": _name(run_dir), "files": files})


def adopt(run_dir: Path) -> None:
    """Write the record of a run of an earlier version, whose training has been accepted; others
    have theirs.

    From then on its model is compared, also where its results are made anew and look like those of
    this version.
    """
    if not (run_dir / RECORD).exists():
        write(run_dir)


def check(run_dir: Path, memory: digests.Memory | None, run_id: str | None = None) -> None:
    """Compare the files of a training with its record.

    Args:
        run_dir: the folder of the run.
        memory: digests that are remembered; None computes all of them.
        run_id: the run whose training it must be; None for the one that the folder is named by.

    Raises:
        Untrained: where the training is not finished, its model was not kept, or a file is not what
            was saved.
    """
    run_id = run_id or _name(run_dir)
    there = (run_dir / "model").is_dir()
    if not (run_dir / RECORD).is_file():
        if not _is_earlier(run_dir, run_id):
            raise Untrained(
                run_dir,
                "its training is not finished",
                f"no {RECORD}: run it again",
                key="trained.unfinished",
            )
        if (
            not (run_dir / "steps.parquet").is_file()
            or not (run_dir / "model" / "modules.json").is_file()
        ):
            raise Untrained(
                run_dir, "its model was not kept", "keep.model=false", key="trained.not_kept"
            )
        return
    if not there:
        raise Untrained(
            run_dir, "its model was not kept", "keep.model=false", key="trained.not_kept"
        )
    reason = "its model is not the one that was saved"
    stored: Any = read_own_json(run_dir / RECORD)
    if not isinstance(stored, dict) or stored.get("run_id") != run_id:
        raise Untrained(
            run_dir,
            reason,
            f"{RECORD} does not name this run: run it again",
            key="trained.other_run",
        )
    try:
        recorded = digests.named(stored.get("files"), run_dir)
        if extra := sorted(set(model_files(run_dir)) - recorded.keys()):
            raise Untrained(
                run_dir,
                reason,
                f"{extra[0]} was added: remove it, or run it again",
                key="trained.file_added",
            )
        digests.check(run_dir, recorded, memory)
    except (digests.Damaged, OSError) as error:
        raise Untrained(
            run_dir, reason, f"{error}: run it again", key=key_of(error, "trained.unreadable")
        ) from error


def tables_hold(run_dir: Path) -> bool:
    """Return whether steps.parquet and dev.parquet are those that the training wrote; True where no
    record names them.
    """
    if not (run_dir / RECORD).exists():
        return True
    stored: Any = read_own_json(run_dir / RECORD)
    try:
        recorded = digests.named(stored.get("files") if isinstance(stored, dict) else None, run_dir)
    except digests.Damaged:
        return False
    there = [name for name in TABLES if (run_dir / name).exists()]
    if not set(there) <= recorded.keys():
        return False
    tables = {name: value for name, value in recorded.items() if name in TABLES}
    return digests.holds(run_dir, tables)


def _name(run_dir: Path) -> str:
    return run_dir.absolute().name


def model_files(run_dir: Path) -> list[str]:
    """Return the files of the saved model, relative to the run's folder; notes for readers are none
    of its parts.
    """
    parts = []
    for path in sorted((run_dir / "model").rglob("*")):
        is_file = path.is_symlink() or not path.is_dir()
        if is_file and not path.name.startswith(".") and path.suffix != ".md":
            parts.append(str(path.relative_to(run_dir)))
    return parts


def _is_earlier(run_dir: Path, run_id: str) -> bool:
    """Return whether the result of the run is of an earlier version, which wrote no record: its
    table has no digest.
    """
    result = read_own_json(run_dir / "metrics.json")
    return isinstance(result, dict) and result.get("run_id") == run_id and "per_query" not in result
