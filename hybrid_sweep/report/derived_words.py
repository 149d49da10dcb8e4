"""The sentences on shape, price, Pareto front, languages and questions, from the results and the
derived statistics.

Nothing is claimed from an interval over the questions alone: with too few seeds a sentence says
what is missing.
"""

import pandas as pd

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.measures import SAME_LANGUAGE, Measure, Measures
from hybrid_sweep.report.paired_rows import compared, conditional, largest, monolingual
from hybrid_sweep.report.render.numbers import (
    between,
    counted,
    listed,
    p_words,
    questions_of,
    signed,
)
from hybrid_sweep.report.results import MACRO, TRAINED, UNSEEN, measures_of
from hybrid_sweep.report.rows import DerivedRow
from hybrid_sweep.report.tables.derived import chosen, points_for
from hybrid_sweep.utils.escaping import markdown

NO_SHAPE = "No slope, no word on whether the curve turns back, no Pareto front:"


def _weighed(measures: Measures) -> tuple[Measure, ...]:
    """Return what the sentences on prices and fronts are about."""
    return measures.cross, SAME_LANGUAGE


def _shape(derived: pd.DataFrame, results: pd.DataFrame) -> list[str]:
    mono = measures_of(results).mono
    if monolingual(results)[0]["delta_interval"] == "none":
        return [f"{NO_SHAPE} one question carries no interval."]
    about = {"setting": mono.setting, "measure": mono.measure, "scope": MACRO}
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
        sentences = [f"**No slope of {mono.name} is shown**: {tail}."]
    else:
        sentences = [f"**{mono.title} {slope['word']} with r**: {tail}."]
    if turn["word"] == "not monotone":
        sentences.append(
            f"**Not monotone**: {mono.name} both rises and falls. Against its main direction"
            f" it moves by {signed(turn['value'])} from {turn['against']} to {turn['ratio']:g}, 95"
            f" % interval {between(turn['low'], turn['high'])}, {p_words(turn['p_holm'])} (Holm"
            " over the pairs of ratios)."
        )
    else:
        sentences.append(
            f"No turn is shown: {mono.name} does not both rise and fall significantly between"
            " any ratios (Holm over all pairs), which is not to say that it is monotone."
        )
    return sentences


def _price(row: DerivedRow, measure: Measure) -> str:
    """Return what a ratio costs for what it buys, in points: hundredths of a measure."""
    where = f"r = {row['ratio']:g}"
    if row["word"] == "no gain shown":
        way = "rise" if measure.better > 0 else "fall"
        return f"No price at {where}: {measure.noun} is not shown to {way} there."
    value, low, high = (points_for(measure, row[key]) for key in ("value", "low", "high"))
    interval = f"95 % interval {between(low, high, 2)}"
    if row["word"] == "no loss":
        sure = ""
        if high >= 0:
            sure = f", though a price of up to {high:.2f} points a point is not excluded"
        return (
            f"At {where} {measure.gain} comes with no monolingual loss (price {signed(value, 2)},"
            f" {interval}){sure}."
        )
    text = f"At {where} {measure.unit_gained} costs {value:.2f} monolingual points"
    if low > 0:
        return f"**{text}**, {interval}."
    return f"{text} by the means, {interval}: no price at all is not excluded."


def _prices(results: pd.DataFrame, derived: pd.DataFrame) -> list[str]:
    """Return the prices at the largest ratio that is still non-inferior, and at the highest;
    nothing where those have too few seeds.
    """
    best = largest(results)
    sentences: list[str] = []
    for measure in _weighed(measures_of(results)):
        rows = chosen(derived, "price", against=measure.key)
        for row in rows:
            is_told = row["ratio"] in (best, rows[-1]["ratio"])
            if is_told and row["n_seeds"] >= st.MIN_SEEDS:
                sentences.append(_price(row, measure))
    return sentences


def _fronts(results: pd.DataFrame, derived: pd.DataFrame) -> list[str]:
    """Return which ratios are on the Pareto front by the means, and which are shown to be beaten on
    both axes.
    """
    sentences: list[str] = []
    measures = measures_of(results)
    for measure in _weighed(measures):
        rows = chosen(derived, "front", against=measure.key)
        if not rows or rows[0]["word"] == "not tested":
            continue
        front = [row["ratio"] for row in rows if row["by_means"] == "on the front"]
        beaten = []
        for row in rows:
            if row["word"] == "dominated":
                by = f"by r = {row['rival']:g}, {p_words(row['p_holm'])}"
                beaten.append(f"r = {row['ratio']:g} ({by})")
        text = "no ratio is shown to be worse in both than another"
        if beaten:
            text = f"{listed(beaten)} {'is' if len(beaten) == 1 else 'are'} shown to be worse in"
            text += " both than another"
        sentences.append(
            f"{measures.mono.title} and {measure.gain}: {text} (Holm over all ordered pairs). By"
            f" the means alone the Pareto front holds r = {listed(front)}."
        )
    return sentences


def _knee(results: pd.DataFrame, derived: pd.DataFrame) -> list[str]:
    """Return where the flat part of a curve ends or begins, or that the band does not tell."""
    sentences: list[str] = []
    measures = measures_of(results)
    for measure in (measures.mono, measures.cross):
        rows = chosen(
            derived, "knee", setting=measure.setting, measure=measure.measure, scope=MACRO
        )
        if not rows:
            continue
        row = rows[0]
        if row["word"] == "none identified":
            sentences.append(
                f"No knee of {measure.noun} is identified: a straight line, or no change, lies"
                " within the 95 % band of the whole curve."
            )
            continue
        sentences.append(
            f"**A knee of {measure.noun}** ({row['word']}) lies between r = {row['low']:.2f} and"
            f" {row['high']:.2f} (95 %; least squares: {row['value']:.2f}), if the curve has that"
            " form."
        )
    return sentences


def _languages(derived: pd.DataFrame) -> list[str]:
    rows = chosen(derived, "language")
    if len({row["scope"] for row in rows}) < 2:
        return []
    top = [row for row in rows if row["ratio"] == rows[-1]["ratio"]]
    if not any(row["interval"] == "crossed" for row in top):
        return []
    parts = []
    for word, none in (("winner", "none is shown to win"), ("loser", "none is shown to lose")):
        shown = sorted(
            (row for row in top if row["word"] == word), key=lambda row: -abs(float(row["value"]))
        )
        names = [
            f"{markdown(row['scope'])} ({signed(row['value'])}, {p_words(row['p_holm'])})"
            for row in shown
        ]
        verb = {"winner": "wins", "loser": "loses"}[word][: None if len(names) == 1 else -1]
        parts.append(f"{listed(names)} {verb}" if names else none)
    open_ = [markdown(row["scope"]) for row in top if row["word"] == "not shown"]
    parts += [f"nothing is shown for {listed(open_)}"] if open_ else []
    ratios = len({row["ratio"] for row in rows})
    return [
        f"**By language at r = {top[0]['ratio']:g}**: {'; '.join(parts)} (against r = 0, Holm over"
        f" {len(top)} languages and {counted(ratios, 'ratio')})."
    ]


def _unseen(sweep: Sweep, results: pd.DataFrame) -> list[str]:
    sentences: list[str] = []
    measures = measures_of(results)
    for measure, noun in ((measures.mono, "languages"), (measures.cross, "pairs")):
        parts = []
        for scope, words in ((TRAINED, "trained on"), (UNSEEN, "not trained on")):
            rows = compared(results, *measure.place, scope)
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
            sentences.append(
                f"{measure.title}, trained on {listed(map(markdown, sweep.trained_languages))};"
                f" {'; '.join(parts)}."
            )
    return sentences


def _questions(results: pd.DataFrame) -> list[str]:
    rows = monolingual(results)
    if not rows:
        return []
    row = rows[-1]
    return [
        f"Of {questions_of(row)}, {row['won']:,} score higher at r ="
        f" {row['ratio']:g} than at r = 0, {row['tied']:,} the same and {row['lost']:,} lower"
        f" (monolingual {measures_of(results).name}, mean over"
        f" {counted(row['delta_seeds'], 'seed')} and languages; a count, not a test)."
    ]


def sentences(sweep: Sweep, results: pd.DataFrame, derived: pd.DataFrame) -> list[str]:
    """Return shape, knee, prices, fronts, languages, trained and unseen, questions: each where
    there is something to say.
    """
    if not monolingual(results):
        return []
    told = _shape(derived, results) + _knee(results, derived) + _prices(results, derived)
    return (
        told
        + _fronts(results, derived)
        + _languages(derived)
        + _unseen(sweep, results)
        + _questions(results)
    )
