"""plan.jsonl of a sweep: what was planned when, how many points were finished at that moment, and
with how many seeds the sweep was reported.

Each line is a JSON object that names the hash of the line before it. Lines are only added: one for
each command that changes the plan, so that a margin, a ratio or a seed that was chosen after a
result can be told from one that was stated before, and one for each report that tests with other
numbers of seeds than those before it. The chain shows that a line before the last one was changed,
taken out or moved; it cannot show a change of the last line, lines taken off the end, or a file
that was written anew.
"""

import hashlib
import itertools
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_write
from hybrid_sweep.utils.record_kinds import Count, Finite, Record, RunId, Share, Short

NAME = "plan.jsonl"
PRIMARY = "monolingual {}, mean over languages"
_PRIMARY = re.compile(r"monolingual (\S+), mean over languages")


class Planned(Record):
    """A line of plan.jsonl.

    previous: SHA-256 of the line before, "" in the first. points: those of the sweep as it was
    then; finished: how many of them were; replaced: finished points that others took the place of.
    seeds_planned: how many seeds each ratio shall have; None in a line of an earlier version.
    sequential: whether seeds are added until the verdicts are settled, that many at most.
    """

    previous: Short
    time: Short
    primary: Short
    margin: Annotated[Finite, Field(ge=0)]
    ratios: list[Share]
    seeds: list[Count]
    collections: list[Short]
    points: list[RunId]
    finished: Count
    replaced: list[RunId]
    seeds_planned: Count | None = None
    sequential: bool = False


class Looked(Record):
    """The line of a report: the numbers of seeds that the paired differences of its ratios had."""

    previous: Short
    time: Short
    looked_at: list[Count]


@dataclass(frozen=True)
class Log:
    """The lines of plan.jsonl: the plans in order, and the numbers of seeds of all reports,
    ascending.
    """

    plans: tuple[Planned, ...] = ()
    looks: tuple[int, ...] = ()

    @property
    def primary(self) -> str | None:
        """Return the primary measure by the last plan, as `RR@10`; None where there is none."""
        match = _PRIMARY.fullmatch(self.plans[-1].primary) if self.plans else None
        return match[1] if match else None

    @property
    def seeds_planned(self) -> int | None:
        """Return how many seeds each ratio shall have by the last plan; None where it was not
        recorded.
        """
        if self.plans:
            return self.plans[-1].seeds_planned
        return None

    @property
    def seeds_changed(self) -> bool:
        """Return whether the number of planned seeds was changed after results were there."""
        return any(_changes_seeds(*pair) for pair in itertools.pairwise(self.plans))


_LINE: TypeAdapter[Planned | Looked] = TypeAdapter(Planned | Looked)


def read(folder: Path) -> Log:
    """Return the lines of plan.jsonl in a folder; none where there is no such file.

    Raises UserError where a line cannot be read, or does not follow the one before it.
    """
    plans: list[Planned] = []
    looks: set[int] = set()
    previous = ""
    for number, text in enumerate(_texts(folder), start=1):
        try:
            line = _LINE.validate_json(text)
        except (ValidationError, ValueError) as error:
            raise _broken(folder / NAME, number, "is not a line of this file") from error
        if line.previous != previous:
            raise _broken(folder / NAME, number, "does not follow the line before it")
        previous = _hash(text)
        if isinstance(line, Looked):
            looks.update(line.looked_at)
        else:
            plans.append(line)
    return Log(tuple(plans), tuple(sorted(looks)))


def _texts(folder: Path) -> list[str]:
    """Return the lines as they stand in the file; a link is not followed."""
    path = folder / NAME
    if path.is_symlink() or not path.is_file():
        return []
    # what is no UTF-8 is no line of this file either, as the reader of a line will find
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _hash(line: str) -> str:
    """Return the SHA-256 of a line without its end."""
    return hashlib.sha256(line.encode()).hexdigest()


def _broken(path: Path, number: int, what: str) -> UserError:
    return UserError(
        f"{path}: line {number} {what}; restore the file from a copy, or remove it: the report then"
        " says that nothing records when the margin was stated",
        key="plan_log.broken",
    )


def add(folder: Path, line: dict[str, Any]) -> None:
    """Add a line to plan.jsonl, unless it plans what the last one does.

    line: the fields of `Planned` but `previous` and `time`. The file is written whole or not at
    all. Raises UserError as `read` does.
    """
    plans = read(folder).plans
    compared = ("primary", "margin", "ratios", "seeds", "collections", "points", "seeds_planned")
    is_sequential = line.get("sequential", False)
    if (
        plans
        and plans[-1].sequential == is_sequential
        and all(getattr(plans[-1], key) == line.get(key) for key in compared)
    ):
        return
    _append(folder, line)


def add_look(folder: Path, counts: Sequence[int]) -> None:
    """Record that a sweep was reported with such numbers of seeds, where plan.jsonl is there and
    has not one of them yet.

    Raises UserError as `read` does, OSError where the file cannot be written.
    """
    log = read(folder)
    if log.plans and not set(counts) <= set(log.looks):
        _append(folder, {"looked_at": sorted(set(counts))})


def _append(folder: Path, line: dict[str, Any]) -> None:
    texts = _texts(folder)
    previous = ""
    if texts:
        previous = _hash(texts[-1])
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    texts.append(json.dumps({"previous": previous, "time": now, **line}))
    with atomic_write(folder / NAME) as file:
        file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def seeds_planned(log: Log, asked: int | None, n_seeds: int, has_results: bool) -> int:
    """Return how many seeds a sweep plans: what a command asks for, else what was planned before,
    or, as long as nothing is finished, at least the seeds that it has.

    Args:
        log: what is recorded so far.
        asked: the number that the command states; None for none.
        n_seeds: different seeds of the sweep, those of the command included.
        has_results: whether any point of it is finished.
    """
    if asked is not None:
        return asked
    before = log.seeds_planned
    if before is None and log.plans:
        before = len(log.plans[-1].seeds)
    if before is None or not has_results:
        return max(before or 0, n_seeds)
    return before


def stated(lines: Sequence[Planned], margin: float) -> tuple[bool, str]:
    """Return whether the margin was stated before the first point was finished, and when it was, in
    words.

    margin: the one that the report uses.
    """
    if not lines:
        return False, "no record of when it was stated"
    if lines[-1].margin != margin:
        return False, f"the record of the plan has another: {lines[-1].margin:g}"
    late = []
    has_results = lines[0].finished > 0
    if has_results:
        late.append(f"first recorded when {_of(lines[0])} were finished")
    for before, line in itertools.pairwise(lines):
        # Results that were there once have been seen, though other points take their place.
        has_results = has_results or line.finished > 0 or bool(line.replaced)
        if has_results and line.margin != before.margin:
            when = "finished points were replaced"
            if line.finished:
                when = _of(line)
            late.append(f"changed from {before.margin:g} to {line.margin:g} after {when}")
    if late:
        return False, "; ".join(late)
    return True, "stated before the first point was finished"


def _of(line: Planned) -> str:
    return f"{line.finished} of {len(line.points)} points"


def _changes_seeds(before: Planned, line: Planned) -> bool:
    """Return whether a plan changes the number of planned seeds after results were there."""
    is_late = bool(line.finished or line.replaced)
    return is_late and before.seeds_planned not in (None, line.seeds_planned)


def chosen_late(lines: Sequence[Planned]) -> list[str]:
    """Return what of the ratios, seeds, collections and points was chosen after results were
    there, in words.
    """
    notes = []
    for before, line in itertools.pairwise(lines):
        if not line.finished and not line.replaced:
            continue
        if before.primary != line.primary:
            notes.append(
                f"primary measure changed from {before.primary} to {line.primary} after {_of(line)}"
            )
        if _changes_seeds(before, line):
            notes.append(
                f"number of planned seeds changed from {before.seeds_planned} to"
                f" {line.seeds_planned} after {_of(line)}"
            )
        for name in ("ratios", "seeds", "collections"):
            more = [one for one in getattr(line, name) if one not in getattr(before, name)]
            less = [one for one in getattr(before, name) if one not in getattr(line, name)]
            if name == "seeds" and len(line.seeds) <= (before.seeds_planned or 0):
                more = []  # they were planned, by their number
            for word, values in (("added", more), ("left out", less)):
                if values:
                    shown = ", ".join(str(value) for value in values)
                    notes.append(f"{name} {word} after {_of(line)}: {shown}")
        if line.replaced:
            notes.append(
                f"{len(line.replaced)} finished points replaced by others of the same ratio and"
                " seed"
            )
    return notes
