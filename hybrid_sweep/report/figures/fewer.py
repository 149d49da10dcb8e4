"""Figures of many languages show some of them, and say so: a panel, or a row, for each of 120 can
not be read.
"""

from collections.abc import Sequence

import pandas as pd

from hybrid_sweep.report.results import ENGLISH, measures_of

MOST = 24  # languages of a figure


def fewer(results: pd.DataFrame, names: Sequence[str]) -> tuple[list[str], str]:
    """Return the languages that a figure shows, in the order of `names`, and a sentence on the
    others; "" where all are shown.

    English is among them, and those whose monolingual retrieval changes most at the highest ratio.
    """
    if len(names) <= MOST:
        return list(names), ""
    mono = measures_of(results).mono
    rows = results[(results["setting"] == mono.setting) & (results["measure"] == mono.measure)]
    rows = rows[rows["delta"].notna() & rows["scope"].isin(names)]
    rows = rows[rows["ratio"] == rows["ratio"].max()]
    moved = rows.set_index("scope")["delta"].abs()
    order = sorted(names, key=lambda name: (name != ENGLISH, -moved.get(name, 0.0), name))
    kept = set(order[:MOST])
    why = f"those whose {mono.name} changes most at the highest r"
    if len(rows) == 0:
        why = "the first in the alphabet"
    elif ENGLISH in kept:
        why = f"English and {why}"
    note = f" {MOST} of {len(names)} languages are shown, {why}; results.csv has all."
    return [name for name in names if name in kept], note


def among(results: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the rows of some languages and of the ordered pairs of them."""
    scopes = {one if one == other else f"{one}>{other}" for one in names for other in names}
    return results[results["scope"].isin(scopes)]
