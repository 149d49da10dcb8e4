"""comparison.tex: the sweeps one under the other for a paper, ready to `\\input`; it needs the
package booktabs alone.
"""

import re
from typing import Any

import pandas as pd

from hybrid_sweep.report.comparison.table import DIFFERENCE, TWICE, Comparison
from hybrid_sweep.report.latex import VERDICTS
from hybrid_sweep.report.results import MACRO, MONO, pick, records
from hybrid_sweep.report.wording import largest
from hybrid_sweep.utils import escaping

Row = dict[str, Any]
# Head, digits, setting, measure.
LEVELS = [
    ("Mono", 3, *MONO),
    ("Cross", 3, "cross-lingual", "RR@10"),
    ("mAP", 3, "multilingual", "AP"),
    ("Same", 3, "multilingual", "same@10"),
    ("Dist.", 1, "multilingual", "RD"),
]
HEAD = [
    "$r$",
    "seeds",
    "Mono",
    "$\\Delta$",
    "V",
    "Cross",
    "mAP",
    "Same",
    "Dist.",
    "$n_m$",
    "$n_c$",
    "$\\Delta_1$",
]
HEAD += ["$\\Delta\\Delta_1$"]


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # adding 0 makes -0 plain 0


def _change(row: Row) -> str:
    if pd.isna(row["delta"]):
        return "--"
    mark = r"^{\dagger}" if row["delta_interval"] == "conditional" else ""
    ends = (
        f"\\,[{_signed(row['delta_low_90'])}, {_signed(row['delta_high_90'])}]{mark}"
        if pd.notna(row["delta_low_90"])
        else ""
    )
    return f"${_signed(row['delta'])}{ends}$"


def _count(value: float) -> str:
    """Return examples in thousands."""
    return "--" if pd.isna(value) else f"${value / 1000:.1f}$"


def _lines(comparison: Comparison, index: int) -> list[str]:
    """Return one line per planned ratio of a sweep, finished or not."""
    sweep, results, name = (
        comparison.sweeps[index],
        comparison.results[index],
        comparison.names[index],
    )
    best = largest(results)
    table = comparison.table[
        (comparison.table["sweep"] == name)
        & (comparison.table["setting"] == MONO[0])
        & (comparison.table["measure"] == MONO[1])
        & (comparison.table["scope"] == MACRO)
    ]
    tested = {(row["statistic"], row["ratio"]): row for row in records(table)}
    lines = []
    for ratio in sorted({point.ratio for point in sweep.points if point.kind == "trained"}):
        total = sum(point.kind == "trained" and point.ratio == ratio for point in sweep.points)
        rows = {}
        for column, _, setting, measure in LEVELS:
            found = pick(results, setting, measure)
            found = found[found["ratio"] == ratio]
            rows[column] = records(found)[0] if len(found) else None
        mono = rows["Mono"]
        made = max((row["n_seeds"] for row in rows.values() if row), default=0)
        cells = [f"\\textbf{{{ratio:g}}}" if ratio == best else f"{ratio:g}"]
        cells.append(f"{made}" if made == total else f"{made} of {total}")
        for column, digits, *_ in LEVELS:
            row = rows[column]
            cells.append("--" if row is None else f"${row['mean']:.{digits}f}$")
            if column == "Mono":
                cells += [_change(mono), VERDICTS.get(mono["verdict"], "")] if mono else ["--", ""]
        known = next((row for row in rows.values() if row), None)
        cells += [
            _count(known[key]) if known else "--"
            for key in ("examples_monolingual", "examples_cross_lingual")
        ]
        for statistic in (DIFFERENCE, TWICE):
            found_row = tested.get((statistic, ratio))
            star = "^{*}" if found_row is not None and found_row["p_holm"] < 0.05 else ""
            cells.append("--" if found_row is None else f"${_signed(found_row['value'])}{star}$")
        lines.append(" & ".join(cells) + r" \\")
    return lines


def latex(comparison: Comparison) -> str:
    """Return the text of comparison.tex: a block of lines per sweep, each under its name."""
    on = f" on {escaping.latex(comparison.on)}" if comparison.on else ""
    margins = sorted({sweep.margin for sweep in comparison.sweeps})
    note = (
        f"Sweeps over the share $r$ of cross-lingual batches{on}. Mono and Cross: MRR@10 within a"
        " language and across languages; mAP, Same, Dist.: pool of all languages. $\\Delta$:"
        " paired change to the sweep's own $r=0$, 90\\,\\% interval. V: verdict at the sweep's"
        f" margin ({', '.join(f'{margin:g}' for margin in margins)}): S superior, N non-inferior, I"
        " inconclusive, D degraded, U untested; bold: largest ratio still non-inferior. $n_m$,"
        " $n_c$: monolingual and cross-lingual examples of a run, thousands. $\\Delta_1$: Mono"
        " minus that of the first sweep; $\\Delta\\Delta_1$: its change minus that of the first"
        " sweep; ${}^{*}$: not 0 at 5\\,\\% (Holm); --: not tested."
    )
    if any("conditional" in set(results["delta_interval"]) for results in comparison.results):
        note += " ${}^{\\dagger}$: over questions only, too few seeds."
    gone = sum(len(sweep.missing) for sweep in comparison.sweeps)
    if gone:
        note += (
            f" {gone} of {sum(len(sweep.points) for sweep in comparison.sweeps)} points are"
            " missing."
        )
    body: list[str] = []
    for index, name in enumerate(comparison.names):
        body += ["\\midrule", f"\\multicolumn{{{len(HEAD)}}}{{l}}{{{escaping.latex(name)}}} \\\\"]
        body += _lines(comparison, index)
    slug = (
        re.sub(r"[^a-z0-9]+", "-", " ".join((*comparison.names, comparison.on)).lower()).strip("-")
        or "sweeps"
    )
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            "\\begin{table*}",
            "\\centering\\small\\setlength{\\tabcolsep}{3pt}",
            f"\\caption{{{note}}}",
            f"\\label{{tab:{slug}}}",
            f"\\begin{{tabular}}{{{'l' * len(HEAD)}}}",
            "\\toprule",
            " & ".join(HEAD) + r" \\",
            *body,
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table*}",
            "",
        ]
    )
