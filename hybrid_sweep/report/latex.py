"""table.tex: the table by ratio for a paper, with intervals and significance marks, ready to
`\\input`.

It needs the package booktabs alone. The marks are those of results.csv: an asterisk for a
difference to r = 0, the verdict as a letter, bold for the largest ratio still non-inferior.
"""

import re
from typing import Any

import pandas as pd

from hybrid_sweep.report.figures.curve import ENGLISH
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.results import MACRO, MONO, pick, records
from hybrid_sweep.report.wording import counted, largest
from hybrid_sweep.utils import escaping

VERDICTS = {
    "superior": "S",
    "non-inferior": "N",
    "inconclusive": "I",
    "degraded": "D",
    "untested": "U",
}
# What a column shows: head, digits, setting, measure, scope.
LEVELS = [
    ("Mono", 3, *MONO, MACRO),
    ("English", 3, *MONO, ENGLISH),
    ("Cross", 3, "cross-lingual", "RR@10", MACRO),
    ("mAP", 3, "multilingual", "AP", MACRO),
    ("Same", 3, "multilingual", "same@10", MACRO),
    ("Dist.", 1, "multilingual", "RD", MACRO),
]
Row = dict[str, Any]


def _level(row: Row | None, digits: int) -> str:
    """Return a mean; with an asterisk where it differs from ratio 0 at 5 % after Holm's
    adjustment.
    """
    if row is None:
        return "--"
    return f"${row['mean']:.{digits}f}{'^{*}' if row['p_holm'] < 0.05 else ''}$"


def _change(row: Row | None, level: str) -> str:
    """Return the paired change to ratio 0 with an interval: "90" or "95" per cent."""
    if row is None or pd.isna(row["delta"]):
        return "--"
    suffix = "_90" if level == "90" else ""
    low, high = row[f"delta_low{suffix}"], row[f"delta_high{suffix}"]
    # A dagger marks an interval over the questions alone. Adding 0 makes -0 plain 0.
    mark = r"^{\dagger}" if row["delta_interval"] == "conditional" else ""
    interval = (
        f"\\,[{round(low, 3) + 0.0:+.3f}, {round(high, 3) + 0.0:+.3f}]{mark}"
        if pd.notna(low)
        else ""
    )
    return f"${round(row['delta'], 3) + 0.0:+.3f}{interval}$"


def _note(sweep: Sweep, results: pd.DataFrame, shown: list[str]) -> str:
    """Return the caption: what is shown and what the marks mean, and no more than the table
    holds.
    """
    mono = records(pick(results, *MONO))
    questions = (
        counted(int(mono[0]["n_questions"]), "question").replace(",", "{,}")
        if mono
        else "no question"
    )
    changes = [row for row in mono if pd.notna(row["delta"])]
    parts = [
        f"Sweep {escaping.latex(sweep.name)}: share $r$ of cross-lingual batches against retrieval"
        f" ({questions}). Mono and Cross: MRR@10 within a language and across languages, mean of"
        " languages or ordered pairs."
    ]
    if changes:
        parts.append(
            "$\\Delta$: paired change to $r=0$, 90\\,\\% interval for Mono, 95\\,\\% for Cross."
            " ${}^{*}$: differs from $r=0$ at 5\\,\\% (Holm)."
        )
        parts.append(
            f"V: verdict at a margin of {sweep.margin:g}: S superior, N non-inferior, I"
            " inconclusive, D degraded, U untested. Bold: largest ratio still non-inferior."
        )
    if any(row["delta_interval"] == "conditional" for row in changes):
        parts.append("${}^{\\dagger}$: over questions only, too few seeds.")
    names = {
        "mAP": "mAP: pool of all languages.",
        "Same": "Same: same-language share of its top 10.",
    }
    names["Dist."] = "Dist.: distance between the ranks of a question's passages in it."
    parts += [words for name, words in names.items() if name in shown]
    if sweep.missing:
        parts.append(f"{len(sweep.missing)} of {len(sweep.points)} points are missing.")
    return " ".join(parts)


def latex(sweep: Sweep, results: pd.DataFrame) -> str:
    """Return the text of table.tex: one line per planned ratio, finished or not, and the baselines
    last.
    """
    levels = [item for item in LEVELS if not pick(results, *item[2:]).empty or item[0] == "Mono"]
    best = largest(results)
    planned = [
        ("trained", ratio)
        for ratio in sorted({p.ratio for p in sweep.points if p.kind == "trained"})
    ]
    planned += [
        (kind, -1.0) for kind in BASELINES if any(point.kind == kind for point in sweep.points)
    ]
    head, lines = ["$r$", "seeds"], []
    for kind, ratio in planned:
        total = sum(
            p.kind == kind and (kind in BASELINES or p.ratio == ratio) for p in sweep.points
        )
        name = BASELINES.get(kind, f"{ratio:g}")
        cells, made = [f"\\textbf{{{name}}}" if kind == "trained" and ratio == best else name], 0
        for column, digits, *what in levels:
            found = pick(results, what[0], what[1], what[2], kind=kind)
            found = found[found["ratio"] == ratio] if kind == "trained" else found
            row = records(found)[0] if len(found) else None
            made = max(made, row["n_seeds"] if row else 0)
            cells.append(_level(row, digits))
            if column in ("Mono", "Cross"):
                cells.append(_change(row, "90" if column == "Mono" else "95"))
            if column == "Mono":
                cells.append(VERDICTS.get(row["verdict"], "") if row else "")
        cells.insert(1, f"{made}" if made == total else f"{made} of {total}")
        lines.append(" & ".join(cells) + r" \\")
    for column, *_ in levels:
        head += (
            [column]
            + (["$\\Delta$"] if column in ("Mono", "Cross") else [])
            + (["V"] if column == "Mono" else [])
        )
    split = len(lines) - sum(kind in BASELINES for kind, _ in planned)
    body = lines[:split] + ["\\midrule"] * (0 < split < len(lines)) + lines[split:]
    slug = re.sub(r"[^a-z0-9]+", "-", sweep.name.lower()).strip("-") or "sweep"
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            "\\begin{table*}",
            "\\centering\\small\\setlength{\\tabcolsep}{4pt}",
            f"\\caption{{{_note(sweep, results, [item[0] for item in levels])}}}",
            f"\\label{{tab:{slug}}}",
            f"\\begin{{tabular}}{{{'l' * len(head)}}}",
            "\\toprule",
            " & ".join(head) + r" \\",
            "\\midrule",
            *body,
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table*}",
            "",
        ]
    )
