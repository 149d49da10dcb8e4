"""The tables of the changes to r = 0: verdicts, languages, languages trained on and not, and
questions.
"""

import pandas as pd

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.load import BASELINES
from hybrid_sweep.report.measures import Measures
from hybrid_sweep.report.paired_rows import compared, monolingual, seeds_needed
from hybrid_sweep.report.render.cells import (
    EMPTY,
    NOT_TESTED,
    Cell,
    change,
    count,
    judged,
    name,
    number,
    p_value,
    ratio,
    with_interval,
)
from hybrid_sweep.report.render.numbers import percent
from hybrid_sweep.report.render.table import Column, Table, table
from hybrid_sweep.report.results import (
    MACRO,
    TRAINED,
    UNSEEN,
    languages,
    measures_of,
    picked,
)
from hybrid_sweep.report.rows import ResultRow

_VERDICTS = (
    Column("r", words=True),
    Column("paired seeds"),
    Column("change"),
    Column("relative"),
    Column("95 % interval", words=True),
    Column("90 % interval", words=True),
    Column("half-width"),
    Column("df"),
    Column("Holm"),
    Column("verdict", words=True),
    Column("seeds to settle"),
)
_OF_LANGUAGE = (Column("language", words=True), Column("r", words=True))
_LANGUAGES = (
    Column("change"),
    Column("90 % interval", words=True),
    Column("Holm over languages and ratios"),
    Column("verdict", words=True),
    Column("questions"),
)


def unseen_note(measures: Measures) -> str:
    """Return what `unseen` shows."""
    return (
        f"Change of {measures.title} to r = 0 with its 95 % interval; a pair is trained on if both"
        " of its languages are."
    )


def questions_note(measures: Measures) -> str:
    """Return what `questions` counts."""
    return (
        f"Monolingual {measures.name} of a question at the ratio against r = 0, mean over the"
        " common seeds and its languages."
    )


def verdicts(results: pd.DataFrame, scope: str) -> Table:
    """Return a line per ratio: the change of monolingual retrieval, both intervals and the
    verdict.
    """
    rows = []
    for row in monolingual(results, scope):
        interval = row["delta_interval"]
        moved, wide = change(row["delta"], row["delta_low"], row["delta_high"], interval=interval)
        ends = (row["delta_low_90"], row["delta_high_90"])
        _, narrow = change(row["delta"], *ends, interval=interval)
        relative: Cell = Cell(percent(row["relative"])) if pd.notna(row["relative"]) else EMPTY
        holm = p_value(row["p_holm"]) if interval == "crossed" else EMPTY
        rows.append(
            [
                ratio(row["ratio"]),
                count(row["delta_seeds"]),
                moved,
                relative,
                wide,
                narrow,
                number(row["half_width"]),
                number(row["df"], 1),
                holm,
                judged(row["verdict"]),
                _needed(row),
            ]
        )
    return table("Verdicts", _VERDICTS, rows)


def _needed(row: ResultRow) -> Cell:
    """Return the range of seeds that would settle an open verdict."""
    few = row["seeds_to_settle_low"]
    if pd.isna(few):
        return NOT_TESTED
    return Cell(seeds_needed(row).replace(" seeds", ""), float(few))


def by_language(results: pd.DataFrame) -> Table:
    """Return a line per language and ratio, and one per language and baseline."""
    setting, measure = measures_of(results).mono.place
    chosen = (results["setting"] == setting) & (results["measure"] == measure)
    chosen &= results["scope"].isin(languages(results))
    rows = []
    for row in records(results[chosen], ResultRow):
        baseline = BASELINES.get(row["kind"])
        ends = (row["delta_low_90"], row["delta_high_90"])
        rows.append(
            [
                name(row["scope"]),
                Cell(baseline) if baseline else ratio(row["ratio"]),
                number(row["mean"]),
                *change(row["delta"], *ends, interval=row["delta_interval"]),
                p_value(row["p_holm"]),
                judged(row["verdict"]),
                count(row["n_questions"]),
            ]
        )
    columns = (*_OF_LANGUAGE, Column(measures_of(results).title), *_LANGUAGES)
    return table("By language", columns, rows)


def unseen(results: pd.DataFrame) -> Table:
    """Return a line per ratio: the change for languages, and pairs, trained on and not trained
    on.
    """
    columns: list[Column] = []
    changes: list[dict[float, ResultRow]] = []
    measures = measures_of(results)
    for measure in (measures.mono, measures.cross):
        for scope, words in ((TRAINED, "trained on"), (UNSEEN, "not trained on")):
            rows = compared(results, *measure.place, scope)
            if rows:
                columns.append(Column(f"{measure.setting}, {words}", words=True))
                changes.append({row["ratio"]: row for row in rows})
    lines = []
    for share in sorted(set().union(*changes)):
        lines.append([ratio(share), *(_change_in(by_share.get(share)) for by_share in changes)])
    title = "Languages trained on and not trained on"
    return table(title, (Column("r", words=True), *columns), lines)


def _change_in(row: ResultRow | None) -> Cell:
    if row is None:
        return EMPTY
    ends = (row["delta_low"], row["delta_high"])
    return with_interval(row["delta"], *ends, interval=row["delta_interval"])


def questions(results: pd.DataFrame) -> Table:
    """Return a line per ratio: questions won, tied and lost, in all languages and in each."""
    columns = [Column("r", words=True), Column("all languages")]
    columns += [Column(language, user=True) for language in languages(results)]
    by_scope: list[dict[float, ResultRow]] = []
    for scope in (MACRO, *languages(results)):
        by_scope.append({row["ratio"]: row for row in monolingual(results, scope)})
    rows = []
    for share in sorted(by_scope[0]):
        cells = [ratio(share)]
        for by_share in by_scope:
            row = by_share.get(share)
            cells.append(EMPTY if row is None else Cell(_counts(row)))
        rows.append(cells)
    return table("Questions won, tied and lost", columns, rows)


def _counts(row: ResultRow) -> str:
    return f"{row['won']:,} / {row['tied']:,} / {row['lost']:,}"


def macro_at(results: pd.DataFrame, setting: str, measure: str) -> dict[float, ResultRow]:
    """Return the means over languages or pairs by ratio."""
    return {row["ratio"]: row for row in picked(results, setting, measure)}
