"""What a report says of the looks at its sweep: before all planned seeds are there, after earlier
reports, or with seeds that were not planned.
"""

import pandas as pd

from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.looks import Looks
from hybrid_sweep.report.paired_rows import monolingual
from hybrid_sweep.report.render.numbers import counted, listed

HOLDS = "intervals and p of differences are widened to hold over all looks (docs/report.md)"


def tested_counts(results: pd.DataFrame) -> list[int]:
    """Return the different numbers of seeds of the ratios with an interval over seeds, ascending:
    those of a look.
    """
    rows = [row for row in monolingual(results) if row["delta_interval"] == "crossed"]
    return sorted({int(row["delta_seeds"]) for row in rows})


CHANGED = (
    "the number of planned seeds was changed after results were there: what earlier reports used up"
    " by the former number is not reckoned with"
)


def _reported(plan: Looks, counts: list[int]) -> str:
    """Return at which numbers of seeds the sweep was reported before, in words."""
    before = [count for count in plan.taken if count < min(counts[0], plan.planned)]
    return f", after reports with {listed(before)}" if before else ""


def _seeds(counts: list[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def warnings(sweep: Sweep, results: pd.DataFrame) -> list[str]:
    """Return warnings of a look before all planned seeds are there, and of seeds that were added to
    them after a report.
    """
    plan, counts = sweep.looks, tested_counts(results)
    if plan is None or not counts:
        return []
    notes = []
    if counts[0] < plan.planned and not plan.sequential:
        there = f"{_seeds(counts)} of {plan.planned} planned seeds{_reported(plan, counts)}"
        notes.append(f"interim look: {there}: {HOLDS}")
    if plan.is_changed and plan.taken:
        notes.append(CHANGED)
    # looks at more seeds than planned are not in the fractions either
    if any(plan.planned <= count < counts[-1] for count in plan.taken):
        extra = counted(counts[-1] - plan.planned, "seed")
        notes.append(
            f"{extra} more than the {plan.planned} planned, added after a report with all of these:"
            " intervals and p do not reckon with that look, and false claims are more frequent than"
            " they say"
        )
    return notes


def note(sweep: Sweep, results: pd.DataFrame) -> str:
    """Return how a sweep whose planned seeds are there, or that is sequential, was looked at; ""
    where it was reported once.
    """
    plan, counts = sweep.looks, tested_counts(results)
    if plan is None or not counts:
        return ""
    if plan.sequential:
        return (
            f"Seeds were added while a verdict was open: {_seeds(counts)} of at most"
            f" {plan.planned}; {HOLDS}."
        )
    reported = _reported(plan, counts)
    if counts[0] < plan.planned or not reported:
        return ""
    return f"All {counted(plan.planned, 'planned seed')} are there{reported}; {HOLDS}."
