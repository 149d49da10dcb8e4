"""table.tex: the table by ratio for a paper, with intervals and significance marks.

The marks are those of results.csv: an asterisk for a difference to r = 0, the verdict as a letter,
bold for the largest ratio still non-inferior.
"""

import pandas as pd

from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.render import latex as render
from hybrid_sweep.report.render.numbers import questions_of
from hybrid_sweep.report.results import picked
from hybrid_sweep.report.tables.by_ratio import by_ratio
from hybrid_sweep.report.without_monolingual import lacks_monolingual, leading
from hybrid_sweep.utils import escaping

# What a column of the pool of all languages shows, by its head.
POOLED = {
    "mAP": "mAP: pool of all languages.",
    "Same": "Same: same-language share of its top 10.",
    "Dist.": "Dist.: distance between the ranks of a question's passages in it.",
    "LPR": "LPR: share of questions whose best passage is in their language.",
    "Max@R": "Max@R: rank of a question's last passage.",
    "AWRF": "AWRF: fairness of the languages' exposure in the top 10.",
    "MRC": "MRC: rank correlation of the lists of a question's language versions.",
}


def _caption(sweep: Sweep, results: pd.DataFrame, heads: list[str]) -> str:
    """Return what is shown and what the marks mean, and no more than the table holds."""
    mono = picked(results, *sweep.measures.mono.place)
    asked = picked(results, *leading(results).place)
    questions = "no question"
    if asked:
        questions = questions_of(asked[0]).replace(",", "{,}")
    parts = [
        f"Sweep {escaping.latex(sweep.name)}: share $r$ of cross-lingual batches against retrieval"
        f" ({questions}). Mono and Cross: {escaping.latex(sweep.measures.title)} within a language"
        " and across languages, mean of languages or ordered pairs."
    ]
    if lacks_monolingual(results):
        parts.append("Mono is empty: no language has both questions and right passages.")
    changes = [row for row in mono if pd.notna(row["delta"])]
    if changes:
        parts += [
            "$\\Delta$: paired change to $r=0$, 90\\,\\% interval for Mono, 95\\,\\% for Cross."
            " ${}^{*}$: differs from $r=0$ at 5\\,\\% (Holm).",
            f"V: verdict at a margin of {sweep.margin:g}: S superior, N non-inferior, I"
            " inconclusive, D degraded, U untested. Bold: largest ratio still non-inferior.",
        ]
    if any(row["delta_interval"] == "conditional" for row in changes):
        parts.append("${}^{\\dagger}$: over questions only, too few seeds.")
    parts += [words for head, words in POOLED.items() if head in heads]
    if sweep.missing:
        parts.append(f"{len(sweep.missing)} of {len(sweep.points)} points are missing.")
    return " ".join(parts)


def latex(sweep: Sweep, results: pd.DataFrame) -> str:
    """Return the text of table.tex: one line per planned ratio, finished or not, and the baselines
    last.
    """
    table = by_ratio(sweep, results)
    heads = [column.latex for column in table.at("latex").columns]
    return render.latex(table, render.Paper(_caption(sweep, results, heads), sweep.name))
