"""The notes beside checkpoints: step-*.json says of which run and step a checkpoint is, with the
digests of its files.

A note is read as data that may be anything: one that is not exactly what `write` writes counts as
no checkpoint. No torch here: the driver asks for the step that a run goes on from.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from hybrid_sweep.utils.files import file_digest, read_own_json, write_json

log = logging.getLogger("hybrid_sweep")

STEP = re.compile(r"step-(\d{8,15})\.json")
BEST = re.compile(r"best-(\d{8,15})\.pt")
KEEP = 2  # checkpoints of a training: the newest, and the one before in case the newest is torn
LENGTH = 64  # hex digits: the whole SHA-256


@dataclass(frozen=True)
class Note:
    """What is known of a checkpoint.

    path: of the note. run_id: whose it is. step: how many steps it has behind it. sha256: the
    digest of its file. best: the step of the best evaluation so far, None before the first.
    best_sha256: the digest of the best weights; None where they were lost, or where an earlier
    version wrote no digest (`sealed` is False).
    """

    path: Path
    run_id: str
    step: int
    sha256: str
    best: int | None
    best_sha256: str | None
    sealed: bool

    @property
    def file(self) -> Path:
        """Return the checkpoint itself."""
        return self.path.with_suffix(".pt")


def write(folder: Path, run_id: str, step: int, sha256: str, best: int | None) -> None:
    """Write the note of a checkpoint whose file is on disk."""
    facts = {"run_id": run_id, "step": step, "sha256": sha256, "best": best}
    write_json(
        folder / f"step-{step:08d}.json", {**facts, "best_sha256": best_digest(folder, best)}
    )


def newest_first(folder: Path, warn: bool = False) -> list[Note]:
    """Return the notes of a folder that are whole, the newest first; warn: say of the others that
    they are left aside.
    """
    notes = []
    for path in folder.glob("step-*.json"):
        if note := read(path):
            notes.append(note)
        elif warn:
            log.warning("%s is no note of a checkpoint; it is left aside", path)
    return sorted(notes, key=lambda note: note.step, reverse=True)


def read(path: Path) -> Note | None:
    """Return the note in a file; None where it is broken, or a link."""
    named = STEP.fullmatch(path.name)
    content = None
    if named and path.is_file():
        content = read_own_json(path)
    if not isinstance(content, dict):
        return None
    run_id, step, sha256, best = (content.get(key) for key in ("run_id", "step", "sha256", "best"))
    if not isinstance(run_id, str) or not isinstance(sha256, str) or type(step) is not int:
        return None
    if path.name != f"step-{step:08d}.json" or not (
        best is None or (type(best) is int and 0 < best <= step)
    ):
        return None
    best_sha256 = content.get("best_sha256")
    if not (best_sha256 is None or isinstance(best_sha256, str)):
        return None
    return Note(path, run_id, step, sha256, best, best_sha256, "best_sha256" in content)


def is_whole(note: Note) -> bool:
    """Return whether the file of a checkpoint, and the best weights that it would go on with, are
    what was written.
    """
    if not holds(note.file, note.sha256):
        return False
    if note.best is None:
        return True
    best = best_path(note.path.parent, note.best)
    if not note.sealed:  # of an earlier version: it is only known that there were such weights
        return best.is_file() and not best.is_symlink()
    return note.best_sha256 is not None and holds(best, note.best_sha256)


def best_path(folder: Path, step: int) -> Path:
    """Return the file of the weights of the best evaluation, which was after `step` steps."""
    return folder / f"best-{step:08d}.pt"


def seal_best(folder: Path, step: int, sha256: str) -> None:
    """Note the digest of best weights as they were written."""
    write_json(best_path(folder, step).with_suffix(".json"), {"step": step, "sha256": sha256})


def best_digest(folder: Path, step: int | None) -> str | None:
    """Return the digest of best weights as they were written; None where there are none, or none is
    known.

    Of an earlier version's, which wrote no digest, it is that of the file as it is: from then on it
    is compared.
    """
    if step is None:
        return None
    path = best_path(folder, step)
    if path.with_suffix(".json").exists():
        content = read_own_json(path.with_suffix(".json"))
        value = None
        if isinstance(content, dict):
            value = content.get("sha256")
        if isinstance(value, str):
            return value
        return None
    notes = [note for note in newest_first(folder) if note.best == step]
    sealed = [note.best_sha256 for note in notes if note.sealed]
    if sealed:
        return sealed[0]
    there = path.is_file() and not path.is_symlink()
    if notes and there:
        return file_digest(path, LENGTH)
    return None


def best_step(path: Path) -> int | None:
    """Return the step in the name of a file of best weights; None for a name that is none of
    ours.
    """
    named = BEST.fullmatch(path.name)
    if named:
        return int(named[1])
    return None


def holds(path: Path, sha256: str) -> bool:
    """Return whether a file is there, and no link, with the bytes of this digest."""
    return path.is_file() and not path.is_symlink() and file_digest(path, LENGTH) == sha256
