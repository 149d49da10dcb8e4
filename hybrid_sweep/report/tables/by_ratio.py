"""The table by ratio: what each cross-lingual share comes to, a line for each planned ratio."""

from collections import Counter

import pandas as pd

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.measures import Measure, Measures
from hybrid_sweep.report.paired_rows import largest
from hybrid_sweep.report.render.cells import (
    EMPTY,
    NOT_TESTED,
    Cell,
    change,
    count,
    judged,
    number,
    ratio,
    thousands,
)
from hybrid_sweep.report.render.numbers import percent
from hybrid_sweep.report.render.table import EVERYWHERE, PAGE, PAPER, Column, Group, Table
from hybrid_sweep.report.results import ENGLISH, MACRO, line
from hybrid_sweep.report.rows import ResultRow
from hybrid_sweep.report.without_monolingual import lacks_monolingual

# A row of results.csv by kind, ratio (-1 of a baseline), setting, measure and scope.
Index = dict[tuple[str, float, str, str, str], ResultRow]

_MONO = (
    Column("change", r"$\Delta$", EVERYWHERE),
    Column("90 % interval", words=True),
    Column("relative", shown=PAGE),
    Column("verdict", "V", EVERYWHERE, words=True),
    Column("won", shown=PAGE),
    Column("tied", shown=PAGE),
    Column("lost", shown=PAGE),
    Column("English", "English", EVERYWHERE),
)
_EXAMPLES = (
    Column("mono examples", "$n_m$", PAGE),
    Column("cross examples", "$n_c$", PAGE),
)
_NOTE = (
    "Change: {} minus that at r = 0, same seeds and questions. Won, tied, lost:"
    " questions that do better, alike and worse than at r = 0, seeds averaged. Same-lang: share of"
    " the top 10 in the question's language. Rank dist.: ranks between the first and the last right"
    " passage of a question in the pool of all languages. Examples: training pairs of one run, in"
    " one language and across two."
)


def note(measures: Measures) -> str:
    """Return what the columns of `by_ratio` mean."""
    return _NOTE.format(measures.mono.name)


def columns_of(measures: Measures, *, lacking: bool) -> tuple[Column, ...]:
    """Return the columns of `by_ratio`; lacking: whether nothing is monolingual, so that the change
    of cross-lingual retrieval is shown everywhere.
    """
    columns = [Column("r", "$r$", EVERYWHERE, words=True), Column("seeds", "seeds", EVERYWHERE)]
    for measure in measures.shown:
        columns.append(Column(measure.column, measure.latex, EVERYWHERE))
        if measure is measures.mono:
            columns += _MONO
        elif measure is measures.cross:
            shown = EVERYWHERE if lacking else PAPER
            columns.append(Column(f"change of {measure.column}", r"$\Delta$", shown))
    return (*columns, *_EXAMPLES)


def indexed(results: pd.DataFrame) -> Index:
    """Return the rows of results.csv by what they are about."""
    rows: Index = {}
    few = results[results["scope"].isin([MACRO, ENGLISH])]  # of hundreds of languages, or pairs
    for row in records(few, ResultRow):
        share = row["ratio"] if row["kind"] == "trained" else -1.0
        rows[row["kind"], share, row["setting"], row["measure"], row["scope"]] = row
    return rows


def by_ratio(sweep: Sweep, results: pd.DataFrame) -> Table:
    """Return a line per planned ratio, finished or not, and the baselines in a group of their
    own.
    """
    rows, measures = indexed(results), sweep.measures
    best = largest(results)
    lacking = lacks_monolingual(results)
    trained, baselines = [], []
    planned = Counter(line(point) for point in sweep.points)
    for (kind, share), points in planned.items():
        at = {one: rows.get((kind, share, *one.place, MACRO)) for one in measures.shown}
        english = rows.get((kind, share, *measures.mono.place, ENGLISH))
        made = max(row["n_seeds"] if row else 0 for row in (*at.values(), english))
        seeds = f"{made}" if made == points else f"{made} of {points}"
        rest = [Cell(seeds, float(made)), *_measured(measures, at, english, made)]
        if kind == "trained":
            trained.append([ratio(share, strong=share == best), *rest])
        else:
            baselines.append([Cell(BASELINES[kind]), *rest])
    columns = columns_of(measures, lacking=lacking)
    return Table("By ratio", columns, (Group(tuple(trained)), Group(tuple(baselines))))


def _measured(
    measures: Measures,
    at: dict[Measure, ResultRow | None],
    english: ResultRow | None,
    made: int,
) -> list[Cell]:
    """Return the cells behind r and seeds; made: the number of finished points."""
    cells: list[Cell] = []
    for measure, row in at.items():
        cells.append(_level(row, measure.digits))
        if measure is measures.mono:
            cells += [*_effect(row, made), _level(english, measure.digits)]
        elif measure is measures.cross:
            cells.append(_cross_change(row))
    seen = next((row for row in at.values() if row), None)
    for key in ("examples_monolingual", "examples_cross_lingual"):
        cells.append(thousands(seen[key] if seen else None))
    return cells


def _level(row: ResultRow | None, digits: int) -> Cell:
    """Return a mean; a paper marks it where it differs from r = 0 at 5 % after Holm's
    adjustment.
    """
    if row is None:
        return NOT_TESTED
    return number(row["mean"], digits, star=row["p_holm"] < 0.05)


def _effect(row: ResultRow | None, made: int) -> list[Cell]:
    """Return the change to r = 0 with its interval, its relative size, its verdict and counts."""
    if row is None:
        missing = EMPTY if made else Cell("missing", latex="")
        return [NOT_TESTED, EMPTY, EMPTY, missing, EMPTY, EMPTY, EMPTY]
    ends = (row["delta_low_90"], row["delta_high_90"])
    moved, interval = change(row["delta"], *ends, interval=row["delta_interval"])
    relative = EMPTY
    if pd.notna(row["relative"]):
        relative = Cell(percent(row["relative"]), row["relative"])
    counts = [EMPTY, EMPTY, EMPTY]
    if pd.notna(row["delta"]):
        counts = [count(row[name]) for name in ("won", "tied", "lost")]
    return [moved, interval, relative, judged(row["verdict"]), *counts]


def _cross_change(row: ResultRow | None) -> Cell:
    if row is None:
        return NOT_TESTED
    ends = (row["delta_low"], row["delta_high"])
    return change(row["delta"], *ends, interval=row["delta_interval"])[0]
