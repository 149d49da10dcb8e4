"""What a report says where no language has both questions and right passages.

It is on cross-lingual retrieval, and has no verdict, since the margin is stated for monolingual
retrieval.
"""

import pandas as pd

from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.measures import Measure, Measures
from hybrid_sweep.report.paired_rows import compared, conditional, cross_lingual
from hybrid_sweep.report.render.numbers import between, counted, p_words, signed
from hybrid_sweep.report.results import measures_of, picked
from hybrid_sweep.report.rows import ResultRow

EMPTY = "Empty: no language has both questions and right passages."
NO_PRIMARY = (
    "The primary measure, which the margin is stated for, is of monolingual retrieval and is not"
    " measured here: all of these are secondary. Their p-values are adjusted over the ratios (and"
    " languages), not over the measures."
)


def lacks_monolingual(results: pd.DataFrame) -> bool:
    """Return whether there are rows, and none of monolingual retrieval."""
    settings = set(results["setting"]) - {""}
    return bool(settings) and "monolingual" not in settings


def leading(results: pd.DataFrame) -> Measure:
    """Return what the first panel and the questions of a report are about: monolingual retrieval,
    or cross-lingual retrieval where nothing is monolingual.
    """
    measures = measures_of(results)
    return measures.cross if lacks_monolingual(results) else measures.mono


def reason(measures: Measures) -> str:
    """Return why there is no verdict."""
    return (
        "No verdict: no language has both questions and right passages, so that no monolingual"
        " retrieval is measured, for which the margin is stated; this report is on"
        f" {measures.cross.name}."
    )


def answer(results: pd.DataFrame) -> str:
    """Return why there is no verdict, and the change, or else the level, of cross-lingual retrieval
    at the highest ratio.
    """
    measures = measures_of(results)
    changes = cross_lingual(results)
    if changes:
        return f"{reason(measures)} {_change(changes[-1], measures.cross)}"
    levels = picked(results, *measures.cross.place)
    if not levels:
        return reason(measures)
    return f"{reason(measures)} {_level(levels[-1], measures.cross)}"


def findings(results: pd.DataFrame, measures: Measures) -> list[str]:
    """Return a sentence for each measure: its change at the highest ratio, or its level there where
    ratio 0 is missing.
    """
    sentences = []
    for measure in measures.shown:
        changes = compared(results, *measure.place)
        levels = picked(results, *measure.place)
        if changes:
            sentences.append(_change(changes[-1], measure))
        elif levels:
            sentences.append(_level(levels[-1], measure))
    return sentences


def advice(sweep: Sweep) -> str:
    """Return how a ratio can be recommended all the same."""
    return (
        f"The margin of {sweep.margin:g} {sweep.measures.title} is about questions asked in the"
        " language of their passages; a further collection that has such questions (eval.also) can"
        " show what a ratio costs."
    )


def _change(row: ResultRow, measure: Measure) -> str:
    name, digits = measure.subject, measure.digits
    if row["delta_interval"] != "crossed":
        return f"{name}: {conditional(row, digits)}; these checkpoints only."
    interval = between(row["delta_low"], row["delta_high"], digits)
    return (
        f"{name} changes by {signed(row['delta'], digits)} at r = {row['ratio']:g}, 95 % interval"
        f" {interval}, Holm {p_words(row['p_holm'])}."
    )


def _level(row: ResultRow, measure: Measure) -> str:
    seeds = counted(int(row["n_seeds"]), "seed")
    questions = counted(int(row["n_questions"]), "question")
    text = f"{measure.subject} is {row['mean']:.{measure.digits}f} at r = {row['ratio']:g}"
    if row["interval"] == "none":
        return f"{text} ({seeds} and {questions}, without an interval)."
    covered = "" if row["interval"] == "crossed" else " over the questions alone"
    interval = f"{row['low']:.{measure.digits}f} to {row['high']:.{measure.digits}f}"
    return f"{text}, 95 % interval{covered} {interval} ({seeds} and {questions})."
