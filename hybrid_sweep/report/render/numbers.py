"""How numbers, intervals and lists read, in a sentence and in a table: the only place where a
number of a report gets its digits and signs.
"""

from collections.abc import Iterable, Mapping
from typing import Any


def signed(value: float, digits: int = 3) -> str:
    """Return a change with its sign; what rounds to nothing is +0."""
    return f"{round(value, digits) + 0.0:+,.{digits}f}"


def percent(value: float) -> str:
    """Return a relative change in per cent, with its sign."""
    return f"{signed(100 * value, 1)} %"


def between(low: float, high: float, digits: int = 3) -> str:
    """Return an interval."""
    return f"[{signed(low, digits)}, {signed(high, digits)}]"


def p_words(p: float) -> str:
    """Return a p-value as it stands in a sentence."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def listed(items: Iterable[object]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    words = [f"{item:g}" if isinstance(item, float) else str(item) for item in items]
    if len(words) == 1:
        return words[0]
    return ", ".join(words[:-1]) + " and " + words[-1]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which has an s where it is not one."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def questions_of(row: Mapping[str, Any]) -> str:
    """Return the number of questions of a row of results, and that of their clusters where these
    are counted.
    """
    questions = counted(int(row["n_questions"]), "question")
    if not row.get("n_clusters"):
        return questions
    return f"{questions} in {counted(int(row['n_clusters']), 'cluster')}"
