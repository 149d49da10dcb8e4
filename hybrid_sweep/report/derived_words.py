"""The sentences on shape, price, Pareto front, languages and questions, from the results and the
derived statistics.

Nothing is claimed from an interval over the questions alone: with too few seeds a sentence says
what is missing.
"""

import pandas as pd

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.results import MACRO, MONO, TRAINED, UNSEEN, records
from hybrid_sweep.report.wording import (
    Row,
    between,
    compared,
    conditional,
    counted,
    largest,
    listed,
    p_words,
    signed,
)
from hybrid_sweep.utils.escaping import markdown

# What monolingual MRR@10 is weighed against, by the column `against`: what is gained, and one unit
# of it, in a sentence.
CROSS, SAME, DISTANCE = "cross-lingual RR@10", "multilingual same@10", "multilingual RD"
NAMES = {
    CROSS: ("cross-lingual MRR@10", "each point of cross-lingual MRR@10 gained"),
    SAME: (
        "a smaller same-language share of the top 10",
        "each point taken off the same-language share of the top 10",
    ),
    DISTANCE: ("a smaller rank distance", "each 100 ranks taken off the rank distance"),
}
GAINS = {
    CROSS: "cross-lingual MRR@10 is not shown to rise",
    SAME: "the same-language share of the top 10 is not shown to fall",
    DISTANCE: "the rank distance is not shown to fall",
}
NO_SHAPE = "No slope, no word on whether the curve turns back, no Pareto front:"
# From the units of derived.csv to those of a sentence: points are hundredths, and so cancel except
# against ranks.
UNITS = {CROSS: 1.0, SAME: 1.0, DISTANCE: 1e4}


def chosen(derived: pd.DataFrame, statistic: str, **values: str) -> list[Row]:
    """Return the rows of one statistic, by ratio, with given text in some columns."""
    found = derived[derived["statistic"] == statistic]
    for name, value in values.items():
        found = found[found[name] == value]
    return records(found.sort_values("ratio", kind="stable"))


def _shape(derived: pd.DataFrame) -> list[str]:
    about = {"setting": MONO[0], "measure": MONO[1], "scope": MACRO}
    slopes, turns, fit = (
        chosen(derived, statistic, **about) for statistic in ("slope", "reversal", "isotonic")
    )
    if not slopes or slopes[0]["interval"] != "crossed":
        few = slopes[0]["n_seeds"] if slopes else 0
        return [
            f"{NO_SHAPE} {st.MIN_SEEDS} seeds with every ratio are needed to say how the curve"
            f" runs, and there {'is' if few == 1 else 'are'} {few or 'none'}."
        ]
    slope, turn = slopes[0], turns[0]
    curves = len(chosen(derived, "slope"))
    tail = (
        f"{signed(slope['value'])} per unit of r by least squares over r = {fit[0]['ratio']:g} to "
        f"{fit[-1]['ratio']:g}, 95 % interval {between(slope['low'], slope['high'])}, "
        f"{p_words(slope['p_holm'])} (Holm over {counted(curves, 'curve')})"
    )
    if slope["word"] == "not shown":
        said = [f"**No slope of monolingual MRR@10 is shown**: {tail}."]
    else:
        said = [f"**Monolingual MRR@10 {slope['word']} with r**: {tail}."]
    if turn["word"] == "not monotone":
        said.append(
            "**Not monotone**: monolingual MRR@10 both rises and falls. Against its main direction"
            f" it moves by {signed(turn['value'])} from {turn['against']} to {turn['ratio']:g}, 95"
            f" % interval {between(turn['low'], turn['high'])}, {p_words(turn['p_holm'])} (Holm"
            " over the pairs of ratios)."
        )
    else:
        said.append(
            "No turn is shown: monolingual MRR@10 does not both rise and fall significantly between"
            " any ratios (Holm over all pairs), which is not to say that it is monotone."
        )
    return said


def _price(row: Row) -> str:
    """Return what a ratio costs for what it buys, in points: hundredths of a measure."""
    name, unit = NAMES[row["against"]]
    where = f"r = {row['ratio']:g}"
    if row["word"] == "no gain shown":
        return f"No price at {where}: {GAINS[row['against']]} there."
    value, low, high = (UNITS[row["against"]] * row[key] for key in ("value", "low", "high"))
    interval = f"95 % interval {between(low, high, 2)}"
    if row["word"] == "no loss":
        sure = (
            ""
            if high < 0
            else f", though a price of up to {high:.2f} points a point is not excluded"
        )
        return (
            f"At {where} {name} comes with no monolingual loss (price {signed(value, 2)},"
            f" {interval}){sure}."
        )
    text = f"At {where} {unit} costs {value:.2f} monolingual points"
    return (
        f"**{text}**, {interval}."
        if low > 0
        else f"{text} by the means, {interval}: no price at all is not excluded."
    )


def _prices(results: pd.DataFrame, derived: pd.DataFrame) -> list[str]:
    """Return the prices at the largest ratio that is still non-inferior, and at the highest;
    nothing where those have too few seeds.
    """
    best = largest(results)
    said: list[str] = []
    for against in (CROSS, SAME):
        found = chosen(derived, "price", against=against)
        said += [
            _price(row)
            for row in found
            if row["n_seeds"] >= st.MIN_SEEDS and row["ratio"] in (best, found[-1]["ratio"])
        ]
    return said


def _fronts(derived: pd.DataFrame) -> list[str]:
    said: list[str] = []
    for against in (CROSS, SAME):
        rows = chosen(derived, "front", against=against)
        if not rows or rows[0]["interval"] != "bootstrap":
            continue
        parts = []
        for word in ("on the front", "off the front"):
            found = [
                f"r = {row['ratio']:g} ({100 * row['value']:.0f} %)"
                for row in rows
                if row["word"] == word
            ]
            parts += [f"{word}: {listed(found)}"] if found else []
        meaning = (
            ""
            if said
            else (
                " (in brackets the share of bootstrap replicates in which no other ratio beats it"
                " on both)"
            )
        )
        said.append(
            f"Pareto front of monolingual MRR@10 and {NAMES[against][0]}{meaning},"
            f" {'; '.join(parts)}."
        )
    return said


def _languages(derived: pd.DataFrame) -> list[str]:
    rows = chosen(derived, "language")
    if len({row["scope"] for row in rows}) < 2:
        return []
    top = [row for row in rows if row["ratio"] == rows[-1]["ratio"]]
    if not any(row["interval"] == "crossed" for row in top):
        return []
    parts = []
    for word, none in (("winner", "none is shown to win"), ("loser", "none is shown to lose")):
        found = sorted(
            (row for row in top if row["word"] == word), key=lambda row: -abs(float(row["value"]))
        )
        names = [
            f"{markdown(row['scope'])} ({signed(row['value'])}, {p_words(row['p_holm'])})"
            for row in found
        ]
        verb = {"winner": "wins", "loser": "loses"}[word][: None if len(names) == 1 else -1]
        parts.append(f"{listed(names)} {verb}" if names else none)
    open_ = [markdown(row["scope"]) for row in top if row["word"] == "not shown"]
    parts += [f"nothing is shown for {listed(open_)}"] if open_ else []
    first = next((row for row in rows if row["word"] == "loser"), None)
    earlier = (
        f" The first loss shows at r = {first['ratio']:g} ({markdown(first['scope'])})."
        if first
        else ""
    )
    return [
        f"**By language at r = {top[0]['ratio']:g}**: {'; '.join(parts)} (against r = 0, Holm over"
        f" {len(top)} languages at each ratio).{earlier}"
    ]


def _unseen(sweep: Sweep, results: pd.DataFrame) -> list[str]:
    said: list[str] = []
    for setting, noun in (("monolingual", "languages"), ("cross-lingual", "pairs")):
        parts = []
        for scope, words in ((TRAINED, "trained on"), (UNSEEN, "not trained on")):
            rows = compared(results, setting, "RR@10", scope)
            if not rows:
                continue
            row = rows[-1]
            if row["delta_interval"] != "crossed":
                parts.append(f"{noun} {words}: {conditional(row)}")
                continue
            interval = between(row["delta_low"], row["delta_high"])
            parts.append(
                f"{noun} {words}: {signed(row['delta'])} at r = {row['ratio']:g}, 95 % interval"
                f" {interval}, Holm {p_words(row['p_holm'])}"
            )
        if parts:
            name = f"{setting.capitalize()} MRR@10"
            said.append(
                f"{name}, trained on {listed(map(markdown, sweep.trained_languages))};"
                f" {'; '.join(parts)}."
            )
    return said


def _questions(results: pd.DataFrame) -> list[str]:
    rows = compared(results, *MONO)
    if not rows:
        return []
    row = rows[-1]
    return [
        f"Of {counted(int(row['n_questions']), 'question')}, {row['won']:,} score higher at r ="
        f" {row['ratio']:g} than at r = 0, {row['tied']:,} the same and {row['lost']:,} lower"
        f" (monolingual RR@10, mean over {counted(row['delta_seeds'], 'seed')} and languages; a"
        " count, not a test)."
    ]


def sentences(sweep: Sweep, results: pd.DataFrame, derived: pd.DataFrame) -> list[str]:
    """Return shape, prices, fronts, languages, trained and unseen, questions: each where there is
    something to say.
    """
    if not compared(results, *MONO):
        return []
    said = _shape(derived) + _prices(results, derived)
    return (
        said
        + _fronts(derived)
        + _languages(derived)
        + _unseen(sweep, results)
        + _questions(results)
    )
