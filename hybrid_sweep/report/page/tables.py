"""The tables of the page, which need no script to be read: by ratio, by language, what is bought
and at which price.

A cell that shows a rounded number carries the number itself as `data-value`, as it stands in
results.csv or derived.csv.
"""

from collections import Counter
from decimal import Decimal
from typing import Any

import pandas as pd

from hybrid_sweep.report.figures.curve import ENGLISH
from hybrid_sweep.report.load import BASELINES, KINDS, Sweep
from hybrid_sweep.report.page.data import AGAINST, found
from hybrid_sweep.report.page.parts import EMPTY, Cell, table
from hybrid_sweep.report.results import MACRO, MONO, languages, line, pick, records
from hybrid_sweep.report.wording import between, p_words, percent, signed

# Words of a judgement carry a sign, never a colour alone.
SIGNS = {
    "baseline": "■",
    "superior": "▲",
    "non-inferior": "●",
    "inconclusive": "◇",
    "degraded": "▼",
    "untested": "○",
    "winner": "▲",
    "loser": "▼",
    "not shown": "◇",
    "on the front": "●",
    "off the front": "○",
}


def _number(row: dict[str, Any] | None, column: str, digits: int = 3) -> Cell:
    if row is None or pd.isna(row[column]):
        return EMPTY
    return f"{row[column]:,.{digits}f}", row[column]


def _word(word: str) -> Cell:
    return f"{SIGNS.get(word, '')} {word}".strip(), None


def _change(row: dict[str, Any] | None, digits: int = 3) -> list[Cell]:
    """Return the paired difference to r = 0 and its 90 % interval, the one that the verdict
    reads.
    """
    if row is None or pd.isna(row["delta"]):
        return [EMPTY, EMPTY]
    note = "" if row["delta_interval"] == "crossed" else " questions only"
    ends = (
        between(row["delta_low_90"], row["delta_high_90"], digits)
        if pd.notna(row["delta_low_90"])
        else "none"
    )
    return [(signed(row["delta"], digits), row["delta"]), (ends + note, None)]


def _ratio(row: dict[str, Any]) -> Cell:
    baseline = BASELINES.get(row["kind"])
    return (baseline, None) if baseline else (f"{row['ratio']:g}", row["ratio"])


RATIOS = [
    "r",
    "seeds",
    "mono MRR@10",
    "change",
    "90 % interval",
    "relative",
    "verdict",
    "won",
    "tied",
    "lost",
]
RATIOS += [
    "English",
    "cross MRR@10",
    "multi mAP",
    "same-lang",
    "rank dist.",
    "mono examples",
    "cross examples",
]
RATIOS_NOTE = """Change: monolingual MRR@10 minus that at r = 0, same seeds and questions. Won, tied, lost: questions that do
better, alike and worse than at r = 0, seeds averaged. Same-lang: share of the top 10 in the question's language. Rank dist.:
ranks between the first and the last right passage of a question in the pool of all languages. Examples: training pairs of
one run, in one language and across two."""


def by_ratio(sweep: Sweep, results: pd.DataFrame) -> str:
    """Return a line per planned ratio, finished or not, and the baselines last; columns that
    nothing fills are left out.
    """
    shown = [(*MONO, MACRO), (*MONO, ENGLISH), ("cross-lingual", "RR@10", MACRO)]
    shown += [("multilingual", measure, MACRO) for measure in ("AP", "same@10", "RD")]
    curves = {
        (what, kind): records(pick(results, *what, kind=kind)) for what in shown for kind in KINDS
    }
    lines: list[list[Cell]] = []
    for (kind, ratio), planned in Counter(line(point) for point in sweep.points).items():
        at = [
            next(
                (row for row in curves[what, kind] if kind != "trained" or row["ratio"] == ratio),
                None,
            )
            for what in shown
        ]
        first = at[0]
        made = max((row["n_seeds"] if row else 0) for row in at)
        paired = first is not None and pd.notna(first["delta"])
        relative = EMPTY
        if first and pd.notna(first["relative"]):
            relative = percent(first["relative"]), first["relative"]
        lines.append(
            [
                (BASELINES[kind], None) if kind in BASELINES else (f"{ratio:g}", ratio),
                (f"{made}" if made == planned else f"{made} of {planned}", made),
                _number(first, "mean"),
                *_change(first),
                relative,
                _word(first["verdict"] if first else "" if made else "missing"),
                *(_number(first, name, 0) if paired else EMPTY for name in ("won", "tied", "lost")),
                *(_number(row, "mean") for row in at[1:5]),
                _number(at[5], "mean", 1),
                *(
                    _number(first, name, 0)
                    for name in ("examples_monolingual", "examples_cross_lingual")
                ),
            ]
        )
    kept = [i for i in range(len(RATIOS)) if i < 7 or any(row[i][0] for row in lines)]
    grid = table("By ratio", [RATIOS[i] for i in kept], [[row[i] for i in kept] for row in lines])
    return f'{grid}<p class="note">{RATIOS_NOTE}</p>'


def by_language(results: pd.DataFrame) -> str:
    """Return a row per language and ratio, and one per language and baseline: level, change with
    its interval, verdict.
    """
    chosen = results[(results["setting"] == MONO[0]) & (results["measure"] == MONO[1])]
    rows: list[list[Cell]] = []
    for row in records(chosen[chosen["scope"].isin(languages(results))]):
        holm = EMPTY if pd.isna(row["p_holm"]) else (p_words(row["p_holm"]), row["p_holm"])
        cells = [
            (row["scope"], None),
            _ratio(row),
            _number(row, "mean"),
            *_change(row),
            holm,
            _word(row["verdict"]),
        ]
        rows.append([*cells, _number(row, "n_questions", 0)])
    header = [
        "language",
        "r",
        "MRR@10",
        "change",
        "90 % interval",
        "Holm over ratios",
        "verdict",
        "questions",
    ]
    return table("By language", header, rows) if rows else "<p>No monolingual rows.</p>"


def winners(sweep: Sweep, derived: pd.DataFrame) -> str:
    """Return who wins and who loses: a row per language and ratio; languages trained on and never
    trained on apart.
    """
    header = [
        "language",
        "r",
        "change to r = 0",
        "95 % interval",
        "Holm over languages",
        "what is shown",
    ]
    header += ["seeds", "questions"]
    tested = records(
        derived[derived["statistic"] == "language"].sort_values(["scope", "ratio"], kind="stable")
    )
    seen = [row for row in tested if row["scope"] in sweep.trained_languages]
    unseen = [row for row in tested if row["scope"] not in sweep.trained_languages]
    apart = [("Languages trained on", seen), ("Languages never trained on", unseen)]
    if not (sweep.trained_languages and seen and unseen):
        apart = [("Winners and losers", tested)]
    parts = []
    for title, chosen in apart:
        rows: list[list[Cell]] = []
        for row in chosen:
            note = "" if row["interval"] == "crossed" else " questions only"
            ends = between(row["low"], row["high"]) + note if pd.notna(row["low"]) else "none"
            holm = EMPTY if pd.isna(row["p_holm"]) else (p_words(row["p_holm"]), row["p_holm"])
            cells = [
                (row["scope"], None),
                (f"{row['ratio']:g}", row["ratio"]),
                (signed(row["value"]), row["value"]),
            ]
            cells += [(ends, None), holm, _word(row["word"]), _number(row, "n_seeds", 0)]
            rows.append([*cells, _number(row, "n_questions", 0)])
        parts.append(f"<h3>{title}</h3>" * (len(apart) > 1) + table(title, header, rows))
    return "\n".join(parts) if tested else "<p>Nothing to compare.</p>"


def significant(value: float) -> str:
    """Return three significant digits, never with an exponent."""
    return f"{Decimal(f'{value:.3g}'):f}"


def in_words(row: dict[str, Any]) -> str:
    """Return what a row of prices comes to, no stronger than its interval: "by the means" where
    that holds the other sign too.
    """
    if pd.isna(row["value"]):
        return str(row["word"])
    if row["value"] > 0:
        return "a cost" if row["low"] > 0 else "a cost by the means; none is not excluded"
    return "no cost" if row["high"] <= 0 else "no cost by the means; one is not excluded"


def _price(row: dict[str, Any] | None, per: float, unit: str) -> list[Cell]:
    """Return the price, interval and word; the price of so much of the other, which is named where
    it is not one.
    """
    if row is None:
        return [EMPTY, EMPTY, EMPTY]
    if pd.isna(row["value"]):
        return [EMPTY, EMPTY, (in_words(row), None)]
    each = "" if per == 1 else f" per {unit}"
    ends = [significant(per * row[side]) for side in ("low", "high") if pd.notna(row[side])]
    interval = f"[{ends[0]}, {ends[1]}]" if len(ends) == 2 else ""
    return [
        (significant(per * row["value"]) + each, row["value"]),
        (interval, None),
        (in_words(row), None),
    ]


def tradeoff(results: pd.DataFrame, derived: pd.DataFrame) -> str:
    """Return what each ratio costs and buys: its place on the front, how sure that is, and the
    price; a table for each gain.
    """
    mono = {row["ratio"]: row for row in records(pick(results, *MONO))}
    parts = []
    for setting, measure, name, digits, _, per, unit in found(results, AGAINST):
        other = {row["ratio"]: row for row in records(pick(results, setting, measure))}
        about = derived[derived["against"] == f"{setting} {measure}"]
        prices = {row["ratio"]: row for row in records(about[about["statistic"] == "price"])}
        rows: list[list[Cell]] = []
        for front in records(about[about["statistic"] == "front"]):
            ratio = front["ratio"]
            bought = other.get(ratio)
            cells = [
                (f"{ratio:g}", ratio),
                _number(mono.get(ratio), "mean"),
                _change(mono.get(ratio))[0],
            ]
            cells += [
                _number(bought, "mean", digits),
                _change(bought, digits)[0],
                _word(front["word"]),
            ]
            cells.append(
                (f"{100 * front['value']:.0f} %", front["value"])
                if pd.notna(front["value"])
                else EMPTY
            )
            rows.append([*cells, *_price(prices.get(ratio), per, unit)])
        if rows:
            header = [
                "r",
                "mono MRR@10",
                "change",
                "its value",
                "its change",
                "by the means",
                "in resamples",
                "price",
            ]
            grid = table(f"Against {name}", [*header, "95 % interval", "in words"], rows)
            title = f"<h3>Against {name[0].lower()}{name[1:]}</h3>"
            parts.append(f'<div data-against="{setting} {measure}">{title}{grid}</div>')
    return "\n".join(parts)
