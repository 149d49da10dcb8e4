"""How numbers, intervals and lists read in a sentence, and the rows that most sentences are made
of.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.results import MACRO, MONO, pick, records

Row = dict[str, Any]


def signed(value: float, digits: int = 3) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}"  # adding 0 makes -0 plain 0


def percent(value: float) -> str:
    return f"{round(100 * value, 1) + 0.0:+.1f} %"


def between(low: float, high: float, digits: int = 3) -> str:
    return f"[{signed(low, digits)}, {signed(high, digits)}]"


def p_words(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def listed(items: Iterable[object]) -> str:
    """Return  "a", "a and b", "a, b and c"."""
    words = [f"{item:g}" if isinstance(item, float) else str(item) for item in items]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def compared(results: pd.DataFrame, setting: str, measure: str, scope: str = MACRO) -> list[Row]:
    """Return the trained ratios above 0 that have a paired difference."""
    found = pick(results, setting, measure, scope)
    return records(found[(found["ratio"] > 0) & found["delta"].notna()])


def unpaired(results: pd.DataFrame, scope: str = MACRO) -> list[float]:
    """Return the planned ratios above 0 without a paired difference: all their points missing, or
    no seed that ratio 0 has too.
    """
    planned = results[(results["kind"] == "trained") & (results["ratio"] > 0)]["ratio"]
    return sorted(set(planned) - {row["ratio"] for row in compared(results, *MONO, scope)})


def largest(results: pd.DataFrame, scope: str = MACRO) -> float | None:
    """Return the largest ratio that is non-inferior together with every smaller one planned.

    An unpaired ratio ends the run as one with too few seeds does, or the loss of a bad point would
    better the answer.
    """
    verdicts = {row["ratio"]: row["verdict"] for row in compared(results, *MONO, scope)}
    verdicts |= dict.fromkeys(unpaired(results, scope), "untested")
    return st.largest_non_inferior(list(verdicts), list(verdicts.values()))


def conditional(row: Row, digits: int = 3) -> str:
    return (
        f"{signed(row['delta'], digits)} at r = {row['ratio']:g}, 95 % interval over the questions"
        f" alone {between(row['delta_low'], row['delta_high'], digits)}"
    )
