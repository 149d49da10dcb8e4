"""The table of a comparison: the tables by ratio of its sweeps, one under the other."""

from dataclasses import replace

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.comparison.rows import ComparisonRow
from hybrid_sweep.report.comparison.table import DIFFERENCE, TWICE, Comparison
from hybrid_sweep.report.measures import Measures
from hybrid_sweep.report.render.cells import NOT_TESTED, Cell, change, code
from hybrid_sweep.report.render.table import (
    EVERYWHERE,
    PAPER,
    TEXTS,
    Column,
    Group,
    Place,
    Table,
)
from hybrid_sweep.report.results import MACRO
from hybrid_sweep.report.tables.by_ratio import by_ratio


def _taken(measures: Measures) -> dict[str, frozenset[Place]]:
    """Return the columns taken from the table by ratio, and where they are shown."""
    return {
        "r": EVERYWHERE,
        "seeds": EVERYWHERE,
        measures.mono.column: EVERYWHERE,
        "change": EVERYWHERE,
        "90 % interval": TEXTS,
        "verdict": EVERYWHERE,
        "English": TEXTS,
        measures.cross.column: EVERYWHERE,
        "multi mAP": EVERYWHERE,
        "same-lang": EVERYWHERE,
        "rank dist.": EVERYWHERE,
        "mono examples": EVERYWHERE,
        "cross examples": EVERYWHERE,
        # of eval.measures, where it names some of the pool of all languages
        **{one.column: EVERYWHERE for one in measures.shown if one in measures.asked},
    }


_KEYS = (DIFFERENCE, TWICE)
_TESTED = (
    Column("difference", r"$\Delta_1$", PAPER),
    Column("difference of changes", r"$\Delta\Delta_1$", PAPER),
)


def ratio_table(comparison: Comparison) -> Table:
    """Return a group of lines for each sweep; a paper also has the tested differences to the
    first.
    """
    groups = []
    tables = [
        by_ratio(sweep, results)
        for sweep, results in zip(comparison.sweeps, comparison.results, strict=True)
    ]
    taken = _taken(comparison.measures)
    for table in tables:
        there = {column.title for column in table.columns}
        taken = {title: places for title, places in taken.items() if title in there}
    columns: tuple[Column, ...] = ()
    for table, name in zip(tables, comparison.names, strict=True):
        one = table.chosen(taken)
        tested = _tested(comparison, name)
        rows = []
        for row in one.rows:
            share = row[0].value
            rows.append([*row, *(_difference(tested.get((key, share))) for key in _KEYS)])
        groups.append(Group(tuple(rows), code(name)))
        columns = one.columns
    shown = [replace(column, shown=taken[column.title]) for column in columns]
    return Table("By sweep and ratio", (*shown, *_TESTED), tuple(groups), "sweep")


def _tested(comparison: Comparison, name: str) -> dict[tuple[str, float | None], ComparisonRow]:
    """Return the differences of a sweep to the first, by statistic and ratio."""
    table = comparison.table
    chosen = (table["sweep"] == name) & (table["scope"] == MACRO)
    setting, measure = comparison.leading.place
    chosen &= (table["setting"] == setting) & (table["measure"] == measure)
    return {(row["statistic"], row["ratio"]): row for row in records(table[chosen], ComparisonRow)}


def _difference(row: ComparisonRow | None) -> Cell:
    if row is None:
        return NOT_TESTED
    none = float("nan")
    cell, _ = change(row["value"], none, none, star=row["p_holm"] < 0.05)
    return cell
