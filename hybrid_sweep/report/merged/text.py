"""What a report says of averaged weights: one sentence, two tables, and what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.columns import records
from hybrid_sweep.report.measures import Measures
from hybrid_sweep.report.merged.compare import ALPHA
from hybrid_sweep.report.merged.load import Merged
from hybrid_sweep.report.merged.rows import COLUMNS, MergedRow
from hybrid_sweep.report.render.cells import Cell, change, count, number, p_value, ratio
from hybrid_sweep.report.render.markdown import Block
from hybrid_sweep.report.render.numbers import counted, listed, p_words
from hybrid_sweep.report.render.table import Column, Table, table
from hybrid_sweep.utils import escaping

TITLE = "Averaged weights"
COLUMNS_TITLE = "Columns of merged.csv"


@dataclass(frozen=True)
class Averaged:
    """The averages of a sweep and merged.csv."""

    merged: Merged
    rows: pd.DataFrame

    @property
    def sentence(self) -> str:
        """Return what is shown, in one sentence or two."""
        return sentence(self.rows, self.merged.sweep.margin)


def _named(row: MergedRow) -> str:
    """Return an average in a sentence."""
    return row["mixture"]


def sentence(rows: pd.DataFrame, margin: float) -> str:
    """Return which trained ratios an average dominates, and the reverse, where it is shown."""
    averages = [row for row in records(rows, MergedRow) if row["kind"] == "averaged"]
    tested = [row for row in averages if row["p_average_holm"] == row["p_average_holm"]]
    if not averages:
        return "No seed has every trained ratio and every average: nothing is compared."
    if not tested:
        if all(row["word"] == "parent" for row in averages):
            return "All averages have all weight on one parent: there is nothing to compare."
        return (
            f"Averages and trained ratios are not tested: {counted(averages[0]['n_seeds'], 'seed')}"
            f" with all of them, and {st.MIN_SEEDS} are the least."
        )
    parts = []
    for word, verb in (("average dominates", "averaging"), ("training dominates", "training")):
        shown = [row for row in tested if row["word"] == word]
        if shown:
            parts.append(_shown(shown, verb))
    if not parts:
        return (
            "Averaging is not shown to dominate training at any ratio, nor training any average"
            f" (not worse by {margin:g} on either axis and better on one, Holm over"
            f" {2 * len(tested)} comparisons)."
        )
    return " ".join(parts)


def _shown(rows: Sequence[MergedRow], verb: str) -> str:
    """Return one sentence on the claims in one direction that are shown."""
    by_ratio: dict[float, list[MergedRow]] = {}
    for row in rows:
        by_ratio.setdefault(row["against"], []).append(row)
    column = "p_average_holm" if verb == "averaging" else "p_trained_holm"
    parts = []
    for share, here in sorted(by_ratio.items()):
        best = min(here, key=lambda row: float(row[column]))  # type: ignore[literal-required]
        p = f"Holm {p_words(float(best[column]))}"  # type: ignore[literal-required]
        more = f" and {counted(len(here) - 1, 'other')}" if len(here) > 1 else ""
        if verb == "averaging":
            parts.append(f"r = {share:g} by {_named(best)} ({p}){more}")
        else:
            parts.append(f"{_named(best)} by r = {share:g} ({p}){more}")
    dominated = "trained ratios" if verb == "averaging" else "averages"
    return f"Shown to be dominated, of the {dominated}: {listed(parts)}."


def means(rows: pd.DataFrame, measures: Measures) -> Table:
    """Return a line for each trained ratio and each average: both means, and their differences to
    the lowest ratio.
    """
    lowest = rows["against"].min()
    lines = []
    for row in records(rows[rows["against"] == lowest], MergedRow):
        name = f"r = {row['ratio']:g}" if row["kind"] == "trained" else row["mixture"]
        lines.append(
            [
                Cell(name),
                ratio(row["mean_ratio"]),
                number(row["monolingual"]),
                *_change(row, "mono"),
                number(row["cross_lingual"]),
                *_change(row, "cross"),
                count(row["n_seeds"]),
            ]
        )
    columns = (
        Column("trained or averaged", words=True),
        Column("mean r"),
        Column(measures.mono.column),
        Column(f"change to r = {lowest:g}"),
        Column("95 % interval", words=True),
        Column(measures.cross.column),
        Column(f"its change to r = {lowest:g}"),
        Column("its 95 % interval", words=True),
        Column("seeds"),
    )
    return table("Trained and averaged", columns, lines)


def _change(row: MergedRow, axis: str) -> tuple[Cell, Cell]:
    value, low, high = (float(row[f"{axis}_{part}"]) for part in ("delta", "low", "high"))  # type: ignore[literal-required]
    return change(value, low, high, interval=row["interval"])


def nearest(rows: pd.DataFrame, measures: Measures) -> list[Table]:
    """Return for each axis a line for each trained ratio: the average that is nearest to it there,
    and how they differ on the other axis.
    """
    tables = []
    for axis, other, of, same, value in (
        ("mono", "cross", "monolingual", measures.mono, measures.cross),
        ("cross", "mono", "cross-lingual", measures.cross, measures.mono),
    ):
        lines = []
        near = rows[rows["nearest"].isin([of, "both"])].sort_values("against", kind="stable")
        for row in records(near, MergedRow):
            p = float(row[f"{other}_p_holm"])  # type: ignore[literal-required]
            lines.append(
                [
                    ratio(row["against"]),
                    Cell(row["mixture"]),
                    *_change(row, axis),
                    *_change(row, other),
                    p_value(p),
                    Cell(row["word"], strong=row["word"].endswith("dominates")),
                ]
            )
        columns = (
            Column("r", words=True),
            Column("average", words=True),
            Column(f"{same.column} difference"),
            Column("95 % interval", words=True),
            Column(f"{value.column} difference"),
            Column("its 95 % interval", words=True),
            Column("Holm"),
            Column("shown", words=True),
        )
        tables.append(table(f"At equal {of} quality", columns, lines))
    return tables


def note(margin: float) -> str:
    """Return what the tables mean."""
    return (
        "An average is (1 - alpha) w(r = a) + alpha w(r = b), the weights of two runs of one seed,"
        " evaluated as they were. Differences are average less trained ratio, paired by seed and"
        " question. The nearest average is chosen by the means, so that its intervals describe;"
        " Holm: two-sided p of no difference, over all averages, trained ratios and both axes. One"
        f" dominates the other where it is not worse by {margin:g} (the margin of the sweep) on"
        f" either axis and better on one: p below {ALPHA:g} after Holm's adjustment over all"
        " averages and trained ratios in either direction. Averages with all weight on one parent"
        " are not tested."
    )


def blocks(averaged: Averaged) -> list[Block]:
    """Return the section of report.md."""
    rows = averaged.rows
    measures = averaged.merged.sweep.measures
    parts: list[Block] = [f"{averaged.sentence}", ""]
    parts += [f"- Missing: {escaping.markdown(line)}." for line in averaged.merged.missing]
    if averaged.merged.missing:
        parts.append("")
    if len(rows):
        parts += ["![Trained and averaged](merged.png)", "", means(rows, measures), ""]
        for grid in nearest(rows, measures):
            if grid.rows:
                parts += [f"### {grid.name}", "", grid, ""]
        parts.append(note(averaged.merged.sweep.margin))
    return parts


def columns() -> list[Block]:
    """Return what each column of merged.csv means."""
    return [f"- `{name}`: {meaning}" for name, meaning in COLUMNS.items()]
