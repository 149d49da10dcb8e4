"""The rows of results.csv with a paired difference to ratio 0, of which most sentences and tables
are made.
"""

import pandas as pd

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.columns import records
from hybrid_sweep.report.render.numbers import between, signed
from hybrid_sweep.report.results import MACRO, measures_of, pick
from hybrid_sweep.report.rows import ResultRow


def compared(
    results: pd.DataFrame, setting: str, measure: str, scope: str = MACRO
) -> list[ResultRow]:
    """Return the trained ratios above 0 that have a paired difference."""
    curve = pick(results, setting, measure, scope)
    return records(curve[(curve["ratio"] > 0) & curve["delta"].notna()], ResultRow)


def monolingual(results: pd.DataFrame, scope: str = MACRO) -> list[ResultRow]:
    """Return those of monolingual retrieval, by the measure of the report."""
    return compared(results, *measures_of(results).mono.place, scope)


def cross_lingual(results: pd.DataFrame) -> list[ResultRow]:
    """Return those of cross-lingual retrieval, by the measure of the report, mean over pairs."""
    return compared(results, *measures_of(results).cross.place)


def unpaired(results: pd.DataFrame, scope: str = MACRO) -> list[float]:
    """Return the planned ratios above 0 without a paired difference: all their points missing, or
    no seed that ratio 0 has too.
    """
    planned = results[(results["kind"] == "trained") & (results["ratio"] > 0)]["ratio"]
    return sorted(set(planned) - {row["ratio"] for row in monolingual(results, scope)})


def largest(results: pd.DataFrame, scope: str = MACRO) -> float | None:
    """Return the largest ratio that is non-inferior together with every smaller one planned.

    An unpaired ratio ends the run as one with too few seeds does, or the loss of a bad point would
    better the answer.
    """
    verdicts = {row["ratio"]: row["verdict"] for row in monolingual(results, scope)}
    verdicts |= dict.fromkeys(unpaired(results, scope), "untested")
    return st.largest_non_inferior(list(verdicts), list(verdicts.values()))


def conditional(row: ResultRow, digits: int = 3) -> str:
    """Return a change whose interval is over the questions alone, in words; of one question, that
    there is none.
    """
    if row["delta_interval"] == "none":
        return f"{signed(row['delta'], digits)} at r = {row['ratio']:g}, without an interval"
    return (
        f"{signed(row['delta'], digits)} at r = {row['ratio']:g}, 95 % interval over the questions"
        f" alone {between(row['delta_low'], row['delta_high'], digits)}"
    )


def seeds_needed(row: ResultRow) -> str:
    """Return the range of seeds that would settle an open verdict, in words; "more questions" where
    no number of seeds would.
    """
    few, many = row["seeds_to_settle_low"], row["seeds_to_settle_high"]
    if few == float("inf"):
        return "more questions"
    if many == float("inf"):
        return f"{few:.0f} seeds or more"
    return f"{few:.0f} to {many:.0f} seeds" if few < many else f"about {few:.0f} seeds"
