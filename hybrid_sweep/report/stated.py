"""What a report reads of plan.jsonl: when the margin was stated, looks, primary measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid_sweep.report.looks import Looks
from hybrid_sweep.report.measures import DEFAULT, Shown, title_of
from hybrid_sweep.utils import plan_log
from hybrid_sweep.utils.errors import UserError

UNREADABLE = "the record of the plan cannot be read"


@dataclass(frozen=True)
class Stated:
    """Whether the margin was stated before the first point was finished, when it was, in words, and
    what else of the plan was chosen after results were there.
    """

    before: bool
    when: str
    late: tuple[str, ...]


def stated_of(logs: Sequence[plan_log.Log | UserError], margin: float) -> Stated:
    """Return what plan.jsonl of the sweeps says of their margin: of several the first that was not
    stated before, if any.
    """
    when: list[tuple[bool, str]] = []
    late: list[str] = []
    for log in logs:
        if isinstance(log, UserError):
            when.append((False, f"{UNREADABLE}: {log}"))
            continue
        when.append(plan_log.stated(log.plans, margin))
        late += plan_log.chosen_late(log.plans)
    before, words = min(when)
    return Stated(before, words, tuple(late))


def log_of(sweep_dir: Path) -> plan_log.Log | UserError:
    """Return the record of the plan of a sweep, or why it cannot be read."""
    try:
        return plan_log.read(sweep_dir)
    except UserError as error:
        return error


def looks_of(logs: Sequence[plan_log.Log | UserError]) -> Looks | None:
    """Return the number of seeds that sweeps plan, and those at which they were reported; None
    where no plan has such a number.

    Of several sweeps read as one the largest number counts, and the looks at any of them.
    """
    read = [log for log in logs if isinstance(log, plan_log.Log) and log.seeds_planned]
    if not read:
        return None
    looks = {count for log in read for count in log.looks}
    planned = max(log.seeds_planned or 0 for log in read)
    is_sequential = all(log.plans[-1].sequential for log in read)
    is_changed = any(log.seeds_changed for log in read)
    return Looks(planned, tuple(sorted(looks)), is_sequential, is_changed)


def of_measure(stated: Stated, shown: Shown) -> Stated:
    """Return what was stated of a margin, which was stated for the primary measure."""
    if shown.measure == shown.primary:
        return stated
    meant, asked = title_of(shown.primary), title_of(shown.measure)
    words = f"the number of the margin for {meant} ({stated.when}), none having been stated for"
    return Stated(False, f"{words} {asked}", stated.late)


def primary_in(logs: Sequence[plan_log.Log | UserError]) -> str:
    """Return the primary measure of sweeps by the first record that has one."""
    for log in logs:
        if isinstance(log, plan_log.Log) and log.primary:
            return log.primary
    return DEFAULT


def primary_of(sweep_dirs: Sequence[Path]) -> str:
    """Return the primary measure of sweeps, by the first record of a plan that has one."""
    return primary_in([log_of(sweep_dir) for sweep_dir in sweep_dirs])
