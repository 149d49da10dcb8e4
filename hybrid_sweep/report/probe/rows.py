"""One row of probe.csv: what it means, how its difference is tested, and what its p allows one to
say.

Every test is the crossed estimate of `statistics` on success, 0 or 1 of each question and seed,
paired by both.
"""

from collections.abc import Sequence
from typing import Annotated, TypedDict

import numpy as np

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.columns import meanings
from hybrid_sweep.report.probe.cells import ANSWERED, MISSED, Ints, LanguageCell, Rule
from hybrid_sweep.report.rows import High, Low

MACRO = "macro"
# Beyond so many, two query languages are not compared on the passages of each third one.
MOST_LANGUAGES = 24


class ProbeRow(TypedDict, total=False):
    """A row of probe.csv."""

    part: Annotated[
        str,
        "change: r = 0 (first) and r (second). languages: two query languages (first, "
        "second) at r. kind: as change, for a kind of question",
    ]
    ratio: Annotated[float, "the cross-lingual share r"]
    setting: Annotated[str, "monolingual, cross-lingual or multilingual (the mixed pool)"]
    scope: Annotated[
        str,
        "change: a query language, a pair query>passage, or macro. languages: the first "
        "language. kind: the level",
    ]
    against: Annotated[
        str,
        "languages: the second language. kind: the level that the contrast is with; empty "
        "for that level itself",
    ]
    passages: Annotated[
        str,
        "languages: the language of the passages, * for the mixed pool; empty: each its "
        "own. kind: the kind",
    ]
    relation: Annotated[
        str,
        "of the two languages: related (one branch), same script, other script or unknown",
    ]
    n_questions: Annotated[int, "number of questions"]
    n_asked: Annotated[
        int,
        "questions in languages: a question counts once for each language, or pair, of the scope",
    ]
    n_seeds: Annotated[int, "number of seeds"]
    first: Annotated[float, "share answered by the first, mean of the seeds"]
    second: Annotated[float, "share answered by the second"]
    lost: Annotated[
        float,
        "number answered by the first and missed by the second, in the stated share of the seeds",
    ]
    gained: Annotated[float, "number missed by the first and answered by the second"]
    lost_share: Annotated[
        float,
        "share lost from the first to the second with the same seed, mean of the seeds",
    ]
    gained_share: Annotated[float, "share gained, likewise; difference = gained_share - lost_share"]
    churn: Annotated[
        float,
        "change: share lost from one seed of r = 0 to another, mean of the pairs of seeds: "
        "what chance alone loses",
    ]
    both_missed: Annotated[float, "languages: number missed by both"]
    both_expected: Annotated[
        float,
        "languages: what that number would be if misses in the two languages were independent",
    ]
    difference: Annotated[float, "second - first, in the share answered"]
    low: Low
    high: High
    interval: Annotated[str, "crossed (seeds and questions), conditional (questions alone) or none"]
    contrast: Annotated[float, "kind: difference of this level minus that of the level `against`"]
    contrast_low: Low
    contrast_high: High
    p: Annotated[
        float,
        "two-sided p of no difference (kind: of no contrast); only with a crossed interval",
    ]
    p_holm: Annotated[
        float,
        "p adjusted (Holm) over the scopes, pairs or levels of a kind, in one setting at "
        "one ratio; macro: over ratios",
    ]
    word: Annotated[
        str,
        "higher, lower or not shown at an adjusted 5 %; untested without a test; empty "
        "where nothing is compared",
    ]
    first_pool: Annotated[
        float,
        "languages: number of passages that the first language is asked of",
    ]
    second_pool: Annotated[float, "languages: the same of the second"]


COLUMNS = meanings(ProbeRow)
# a cell and the success (S, Q) of the first and of the second in it
Pair = tuple[LanguageCell, st.Array, st.Array]


def tested(values: st.Array, domain: Ints, group: Ints) -> ProbeRow:
    """Return the macro mean of `values` (S, rows) over domains, its 95 % interval and p; codes may
    have gaps.
    """
    codes = [np.unique(code, return_inverse=True)[1] for code in (domain, group)]
    y, df = st.contributions(values, codes[0], codes[1])
    estimate = st.crossed_estimate(y, df)
    low, high = st.bounds(estimate, 0.95)
    p = float(st.p_value(estimate)) if estimate.interval == "crossed" else np.nan
    return {
        "difference": float(estimate.mean),
        "low": float(low),
        "high": float(high),
        "p": p,
        "interval": estimate.interval,
    }


def joined(pairs: Sequence[Pair]) -> tuple[st.Array, Ints, Ints]:
    """Return the paired differences of all cells side by side, with the cell and the question of
    each column.
    """
    values = np.concatenate([second - first for _, first, second in pairs], axis=1)
    domain = np.repeat(np.arange(len(pairs)), [first.shape[1] for _, first, _ in pairs])
    return values, domain, np.concatenate([cell.question for cell, _, _ in pairs])


def row(pairs: Sequence[Pair], rule: Rule) -> ProbeRow:
    """Return counts, shares and the tested difference of some cells together; shares are macro
    means over the cells.
    """
    values, domain, group = joined(pairs)
    first_shares, second_shares, lost_shares, gained_shares = [], [], [], []
    lost = gained = 0
    for _, first, second in pairs:
        one, two = rule.states(first), rule.states(second)
        lost += int(((one == ANSWERED) & (two == MISSED)).sum())
        gained += int(((one == MISSED) & (two == ANSWERED)).sum())
        first_shares.append(first.mean())
        second_shares.append(second.mean())
        lost_shares.append(np.maximum(first - second, 0).mean())
        gained_shares.append(np.maximum(second - first, 0).mean())
    return {
        "n_questions": len(np.unique(group)),
        "n_asked": len(group),
        "n_seeds": len(values),
        "first": np.mean(first_shares),
        "second": np.mean(second_shares),
        "lost": lost,
        "gained": gained,
        "lost_share": np.mean(lost_shares),
        "gained_share": np.mean(gained_shares),
        **tested(values, domain, group),
    }


def churn(pairs: Sequence[Pair]) -> float:
    """Return the share of the questions answered with one seed of the first and missed with
    another; NaN with one seed.
    """
    shares = []
    for _, first, _ in pairs:
        lost = np.maximum(first[:, None] - first, 0).mean(axis=2)  # by two seeds
        others = ~np.eye(len(first), dtype=bool)
        if others.any():
            shares.append(np.mean(lost[others]))
    return float(np.mean(shares)) if shares else float("nan")


def adjusted(rows: Sequence[ProbeRow]) -> list[ProbeRow]:
    """Return the rows of one family with Holm's p and the word that it allows."""
    family: list[ProbeRow] = []
    for row, p in zip(rows, st.holm([float(row["p"]) for row in rows]), strict=True):
        family.append({**row, "p_holm": p, "word": _word(row, p)})
    return family


def _word(row: ProbeRow, p_holm: float) -> str:
    value = float(row["contrast"] if "contrast" in row else row["difference"])
    if row["part"] == "kind" and "against" not in row:
        return ""
    if np.isnan(p_holm):
        return "untested"
    if p_holm >= 0.05:
        return "not shown"
    return "higher" if value > 0 else "lower"
