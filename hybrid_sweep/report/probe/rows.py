"""One row of probe.csv: what it means, how its difference is tested, and what its p allows one to
say.

Every test is the crossed estimate of `statistics` on success, 0 or 1 of each question and seed,
paired by both.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.probe.cells import ANSWERED, MISSED, Cell, Ints, Rule
from hybrid_sweep.report.results import clean

MACRO = "macro"
Row = dict[str, Any]
COLUMNS = {
    "part": (
        "change: r = 0 (first) and r (second). languages: two query languages (first, second) at r."
        " kind: as change, for a kind of question"
    ),
    "ratio": "the cross-lingual share r",
    "setting": "monolingual, cross-lingual or multilingual (the mixed pool)",
    "scope": (
        "change: a query language, a pair query>passage, or macro. languages: the first language."
        " kind: the level"
    ),
    "against": (
        "languages: the second language. kind: the level that the contrast is with; empty for that"
        " level itself"
    ),
    "passages": (
        "languages: the language of the passages, * for the mixed pool; empty: each its own. kind:"
        " the kind"
    ),
    "relation": "of the two languages: related (one branch), same script, other script or unknown",
    "n_questions": "number of questions",
    "n_asked": (
        "questions in languages: a question counts once for each language, or pair, of the scope"
    ),
    "n_seeds": "number of seeds",
    "first": "share answered by the first, mean of the seeds",
    "second": "share answered by the second",
    "lost": (
        "number answered by the first and missed by the second, in the stated share of the seeds"
    ),
    "gained": "number missed by the first and answered by the second",
    "lost_share": "share lost from the first to the second with the same seed, mean of the seeds",
    "gained_share": "share gained, likewise; difference = gained_share - lost_share",
    "churn": (
        "change: share lost from one seed of r = 0 to another, mean of the pairs of seeds: what"
        " chance alone loses"
    ),
    "both_missed": "languages: number missed by both",
    "both_expected": (
        "languages: what that number would be if misses in the two languages were independent"
    ),
    "difference": "second - first, in the share answered",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "interval": "crossed (seeds and questions), conditional (questions alone) or none",
    "contrast": "kind: difference of this level minus that of the level `against`",
    "contrast_low": "lower end of its 95 % interval",
    "contrast_high": "upper end of its 95 % interval",
    "p": "two-sided p of no difference (kind: of no contrast); only with a crossed interval",
    "p_holm": (
        "p adjusted (Holm) over the scopes, pairs or levels of a kind, in one setting at one ratio;"
        " macro: over ratios"
    ),
    "word": (
        "higher, lower or not shown at an adjusted 5 %; untested without a test; empty where"
        " nothing is compared"
    ),
    "first_pool": "languages: number of passages that the first language is asked of",
    "second_pool": "languages: the same of the second",
}
TEXT = ("part", "setting", "scope", "against", "passages", "relation", "interval", "word")
COUNTS = ("n_questions", "n_asked", "n_seeds")
# a cell and the success (S, Q) of the first and of the second in it
Pair = tuple[Cell, st.Array, st.Array]


def tested(values: st.Array, domain: Ints, group: Ints) -> Row:
    """Return the macro mean of `values` (S, rows) over domains, its 95 % interval and p; codes may
    have gaps.
    """
    codes = [np.unique(code, return_inverse=True)[1] for code in (domain, group)]
    y, df = st.contributions(values, codes[0], codes[1])
    found = st.crossed_estimate(y, df)
    low, high = st.bounds(found, 0.95)
    p = float(st.p_value(found)) if found.interval == "crossed" else np.nan
    return {
        "difference": float(found.mean),
        "low": float(low),
        "high": float(high),
        "p": p,
        "interval": found.interval,
    }


def joined(pairs: Sequence[Pair]) -> tuple[st.Array, Ints, Ints]:
    """Return the paired differences of all cells side by side, with the cell and the question of
    each column.
    """
    values = np.concatenate([second - first for _, first, second in pairs], axis=1)
    domain = np.repeat(np.arange(len(pairs)), [first.shape[1] for _, first, _ in pairs])
    return values, domain, np.concatenate([cell.question for cell, _, _ in pairs])


def row(pairs: Sequence[Pair], rule: Rule) -> Row:
    """Return counts, shares and the tested difference of some cells together; shares are macro
    means over the cells.
    """
    values, domain, group = joined(pairs)
    states = [(rule.states(first), rule.states(second)) for _, first, second in pairs]
    return {
        "n_questions": len(np.unique(group)),
        "n_asked": len(group),
        "n_seeds": len(values),
        "first": np.mean([first.mean() for _, first, _ in pairs]),
        "second": np.mean([second.mean() for _, _, second in pairs]),
        "lost": sum(int(((one == ANSWERED) & (two == MISSED)).sum()) for one, two in states),
        "gained": sum(int(((one == MISSED) & (two == ANSWERED)).sum()) for one, two in states),
        "lost_share": np.mean([np.maximum(first - second, 0).mean() for _, first, second in pairs]),
        "gained_share": np.mean(
            [np.maximum(second - first, 0).mean() for _, first, second in pairs]
        ),
        **tested(values, domain, group),
    }


def churn(pairs: Sequence[Pair]) -> float:
    """Return the share of the questions answered with one seed of the first and missed with
    another; NaN with one seed.
    """
    seeds = range(len(pairs[0][1]))
    lost = [
        np.mean([np.maximum(first[s] - first[t], 0).mean() for s in seeds for t in seeds if s != t])
        for _, first, _ in pairs
        if len(seeds) > 1
    ]
    return float(np.mean(lost)) if lost else float("nan")


def adjusted(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of one family with Holm's p and the word that it allows."""
    p = st.holm([float(row["p"]) for row in rows])
    return [
        {**row, "p_holm": value, "word": _word(row, value)}
        for row, value in zip(rows, p, strict=True)
    ]


def _word(row: Row, p_holm: float) -> str:
    value = float(row["contrast"] if "contrast" in row else row["difference"])
    if row["part"] == "kind" and "against" not in row:
        return ""
    if np.isnan(p_holm):
        return "untested"
    return ("higher" if value > 0 else "lower") if p_holm < 0.05 else "not shown"


def rounded(values: Iterable[Any]) -> NDArray[np.float64]:
    """Return nine significant digits of each, as in results.csv."""
    return np.array([clean(float(value)) for value in values], dtype=np.float64)
