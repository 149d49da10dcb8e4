"""The Markdown tables of the derived statistics: shape, trade-off, languages, trained and unseen,
questions.
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.derived_words import CROSS, DISTANCE, SAME, UNITS, chosen
from hybrid_sweep.report.results import MACRO, MONO, TRAINED, UNSEEN, languages
from hybrid_sweep.report.wording import Row, between, compared, p_words, signed
from hybrid_sweep.utils.escaping import markdown

AXES = {CROSS: "cross-lingual MRR@10", SAME: "same-language share", DISTANCE: "rank distance"}


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _digits(row: Row) -> int:
    return 1 if row["measure"] == "RD" else 3


def _note(interval: str) -> str:
    return "" if interval in ("crossed", "bootstrap") else " questions only"


def _curve(row: Row) -> str:
    scope = {
        MACRO: "mean",
        TRAINED: "languages trained on",
        UNSEEN: "languages not trained on",
    }.get(row["scope"], markdown(row["scope"]))
    measure = {"RR@10": "MRR@10", "AP": "mAP"}.get(row["measure"], row["measure"])
    return f"{row['setting']} {measure}, {scope}"


def shape(derived: pd.DataFrame) -> list[str]:
    """Return one line per curve: slope, fitted direction, and whether it turns back."""
    rows = []
    for slope in chosen(derived, "slope"):
        about = {name: slope[name] for name in ("setting", "measure", "scope")}
        fitted, turns = (
            chosen(derived, statistic, **about) for statistic in ("isotonic", "reversal")
        )
        digits = _digits(slope)
        rows.append(
            [
                _curve(slope),
                signed(slope["value"], digits),
                (
                    between(slope["low"], slope["high"], digits) + _note(slope["interval"])
                    if slope["interval"] != "none"
                    else ""
                ),
                p_words(slope["p_holm"]) if pd.notna(slope["p_holm"]) else "",
                slope["word"],
                fitted[0]["word"] if fitted else "",
                turns[0]["word"] if turns and turns[0]["interval"] == "crossed" else "not tested",
            ]
        )
    header = [
        "curve",
        "slope per unit of r",
        "95 % interval",
        "Holm",
        "slope",
        "monotone fit",
        "turn",
    ]
    return grid(header, rows) if rows else []


def isotonic(derived: pd.DataFrame) -> list[str]:
    """Return the monotone fit of the monolingual mean: change to r = 0 with its band."""
    found = chosen(derived, "isotonic", setting=MONO[0], measure=MONO[1], scope=MACRO)
    rows = [
        [
            f"{row['ratio']:g}",
            signed(row["value"]),
            between(row["low"], row["high"]) + _note(row["interval"]),
        ]
        for row in found
        if row["ratio"] > 0
    ]
    return grid(["r", "monotone fit, change to r = 0", "95 % band"], rows) if rows else []


def _cost(row: Row) -> str:
    if pd.isna(row["value"]):
        return row["word"] if row["n_seeds"] >= st.MIN_SEEDS else "too few seeds"
    value, low, high = (UNITS[row["against"]] * row[name] for name in ("value", "low", "high"))
    return f"{signed(value, 2)} {between(low, high, 2)}"


def tradeoff(derived: pd.DataFrame) -> list[str]:
    """Return one line per ratio: the price and the place on the front for each axis."""
    cells: dict[float, dict[str, str]] = {}
    for row in chosen(derived, "price"):
        cells.setdefault(row["ratio"], {})[f"price {row['against']}"] = _cost(row)
    for row in chosen(derived, "front"):
        share = (
            f"{'on' if row['word'] == 'on the front' else 'off'}, {100 * row['value']:.0f}"
            f" %{_note(row['interval'])}"
        )
        cells.setdefault(row["ratio"], {})[f"front {row['against']}"] = share
    axes = [
        axis
        for axis in AXES
        if any(f"front {axis}" in found or f"price {axis}" in found for found in cells.values())
    ]
    header = (
        ["r"]
        + [f"price of {AXES[axis]}" for axis in axes]
        + [f"front with {AXES[axis]}" for axis in axes]
    )
    keys = [f"price {axis}" for axis in axes] + [f"front {axis}" for axis in axes]
    rows = [
        [f"{ratio:g}", *(found.get(key, "") for key in keys)]
        for ratio, found in sorted(cells.items())
    ]
    if not rows:
        return []
    note = (
        "Price: monolingual MRR@10 points lost per point gained against r = 0 (rank distance: per"
        " 100 ranks taken off), with its 95 % interval; below 0 both gain. A gain is a higher"
        " cross-lingual MRR@10, or less language bias: a smaller same-language share, a smaller"
        " rank distance. Front: whether another ratio is as good on both and better on one, and the"
        " share of the bootstrap replicates in which none is."
    )
    return [*grid(header, rows), "", note]


def winners(derived: pd.DataFrame) -> list[str]:
    """Return one line per ratio, a column per language; adjusted tests."""
    found = chosen(derived, "language")
    names = sorted({row["scope"] for row in found})
    if len(names) < 2:
        return []
    cells: dict[float, dict[str, str]] = {}
    for row in found:
        adjusted: str = p_words(row["p_holm"]) if pd.notna(row["p_holm"]) else "no test"
        word = f"**{row['word']}**, " if row["word"] in ("winner", "loser") else ""
        cells.setdefault(row["ratio"], {})[row["scope"]] = (
            f"{signed(row['value'])} ({word}{adjusted})"
        )
    rows = [
        [f"{ratio:g}", *(by_name.get(name, "") for name in names)]
        for ratio, by_name in cells.items()
    ]
    return [
        *grid(["r", *map(markdown, names)], rows),
        "",
        "Paired change to r = 0; p adjusted (Holm) for the languages at that ratio.",
    ]


def unseen(results: pd.DataFrame) -> list[str]:
    """Return one line per ratio: the change for languages, and pairs, trained on and not trained
    on.
    """
    columns = [
        (
            f"{setting}, {words}",
            {row["ratio"]: row for row in compared(results, setting, "RR@10", scope)},
        )
        for setting in ("monolingual", "cross-lingual")
        for scope, words in ((TRAINED, "trained on"), (UNSEEN, "not trained on"))
    ]
    columns = [(name, found) for name, found in columns if found]
    ratios = sorted({ratio for _, found in columns for ratio in found})
    rows = []
    for ratio in ratios:
        cells = []
        for _, found in columns:
            row = found.get(ratio)
            interval = (
                f" {between(row['delta_low'], row['delta_high'])}{_note(row['delta_interval'])}"
                if row
                else ""
            )
            cells.append(f"{signed(row['delta'])}{interval}" if row else "")
        rows.append([f"{ratio:g}", *cells])
    note = (
        "Change of MRR@10 to r = 0 with its 95 % interval; a pair is trained on if both of its"
        " languages are."
    )
    return [*grid(["r", *(name for name, _ in columns)], rows), "", note] if rows else []


def questions(results: pd.DataFrame) -> list[str]:
    """Return one line per ratio: questions won, tied and lost, for the mean of languages and each
    language.
    """
    scopes = [MACRO, *languages(results)]
    found = {
        scope: {row["ratio"]: row for row in compared(results, *MONO, scope)} for scope in scopes
    }
    rows = []
    for ratio in sorted(found[MACRO]):
        counts = [found[scope].get(ratio) for scope in scopes]
        rows.append(
            [
                f"{ratio:g}",
                *(f"{r['won']:,} / {r['tied']:,} / {r['lost']:,}" if r else "" for r in counts),
            ]
        )
    note = (
        "Monolingual RR@10 of a question at the ratio against r = 0, mean over the common seeds and"
        " its languages."
    )
    return (
        [*grid(["r", "all languages", *map(markdown, scopes[1:])], rows), "", note] if rows else []
    )
