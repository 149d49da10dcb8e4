"""A comparison in sentences: each is made from comparison.csv, with the interval that it rests on.

Names and settings come from users: they stand in code marks, where nothing in them is markup.
"""

from itertools import chain

import pandas as pd

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.comparison.rows import ComparisonRow
from hybrid_sweep.report.comparison.table import DIFFERENCE, TWICE, Comparison
from hybrid_sweep.report.render.numbers import between, counted, listed, p_words, signed
from hybrid_sweep.report.results import MACRO
from hybrid_sweep.report.settings import SETTING
from hybrid_sweep.utils.escaping import markdown, markdown_code

_TESTED = {DIFFERENCE: "{} differs", TWICE: "its change from r = 0 differs"}


def pairs(
    comparison: Comparison, statistic: str, setting: str, measure: str, scope: str = MACRO
) -> list[ComparisonRow]:
    """Return the tested differences of one measure, by sweep and ratio."""
    table = comparison.table
    chosen = (table["statistic"] == statistic) & (table["setting"] == setting)
    chosen &= (table["measure"] == measure) & (table["scope"] == scope)
    return records(table[chosen], ComparisonRow)


def _note(row: ComparisonRow) -> str:
    return " over questions alone" if row["interval"] == "conditional" else ""


def interval(row: ComparisonRow, digits: int = 3) -> str:
    if pd.isna(row["low"]):
        return signed(row["value"], digits)
    return f"{signed(row['value'], digits)} {between(row['low'], row['high'], digits)}{_note(row)}"


def _seeds_words(comparison: Comparison, index: int, rows: list[ComparisonRow]) -> str:
    """Return how the seeds of a sweep and of the first were put together in these rows."""
    ground = comparison.grounds[index - 1]
    kinds = {row["interval"] for row in rows}
    same = f"the same {listed(ground.by_seed)} in both" if ground.by_seed else ""
    if kinds == {"independent", "crossed"}:
        return (
            f"paired by seed (which draws {same}) and question where three seeds are common, else"
            " with seeds apart"
        )
    if "independent" in kinds:
        why = (
            "fewer than three seeds in common"
            if ground.by_seed
            else "the same number draws nothing alike in both"
        )
        return f"seeds taken as independent ({why}), questions shared"
    if kinds == {"conditional"}:
        return "too few seeds: intervals over the questions alone, for these checkpoints only"
    return f"paired by seed (which draws {same}) and question"


def contrast(comparison: Comparison, index: int) -> str:
    """Return what can be said of a sweep against the first: where they differ beyond noise, or why
    that is not tested.
    """
    name, first = markdown_code(comparison.names[index]), markdown_code(comparison.names[0])
    ground = comparison.grounds[index - 1]
    if ground.refusal:
        return (
            f"{name} is not tested against {first} ({markdown(ground.refusal)}): their numbers only"
            " stand side by side."
        )
    if not ground.whole:
        common = listed(map(markdown, ground.languages))
        return (
            f"{name} and {first} have the same questions in {common} alone:"
            f" {comparison.measures.mono.name} is tested in each of these languages, and no mean."
        )
    mine, about = {}, comparison.leading
    for statistic in _TESTED:
        rows = pairs(comparison, statistic, *about.place)
        mine[statistic] = [row for row in rows if row["sweep"] == comparison.names[index]]
    if not mine[DIFFERENCE]:
        return f"{name} and {first} have no finished ratio in common: no difference is tested."
    parts = []
    for statistic, words in _TESTED.items():
        if mine[statistic]:
            parts.append(_contrast(mine[statistic], words.format(about.name)))
    how = _seeds_words(comparison, index, [*chain.from_iterable(mine.values())])
    return f"{name} minus {first}, {how}: " + "; ".join(parts) + "."


def _contrast(rows: list[ComparisonRow], words: str) -> str:
    """Return a difference at the highest ratio, and the ratios at which one is shown."""
    last = rows[-1]
    ends = "no interval"
    if pd.notna(last["low"]):
        ends = f"95 % interval{_note(last)} {between(last['low'], last['high'])}"
    if pd.notna(last["p_holm"]):
        ends += f", Holm {p_words(last['p_holm'])}"
    text = f"{words} by {signed(last['value'])} at r = {last['ratio']:g} ({ends})"
    if all(pd.isna(row["p_holm"]) for row in rows):
        return text
    shown = [row["ratio"] for row in rows if row["p_holm"] < 0.05]
    if not shown:
        return f"{text}, no difference shown at any ratio"
    return f"{text}, a difference shown at r = {listed(shown)}"


def title(comparison: Comparison) -> str:
    return listed(map(markdown_code, comparison.names)) + (
        f" on {markdown_code(comparison.on)}" if comparison.on else ""
    )


def caption(comparison: Comparison) -> str:
    """Return what the figure shows, and how to read its marks."""
    budgets = ""
    for difference in comparison.differences:
        if difference.part == SETTING and difference.key == "batch.budget":
            budgets = ", where sweeps of different budgets stand side by side"
    runs = counted(sum(len(sweep.finished) for sweep in comparison.sweeps), "run")
    measures = comparison.measures
    if not comparison.has_monolingual:
        return (
            f"{measures.cross.title} against the share r of cross-lingual batches: its change from"
            " each sweep's own r = 0 with 90 % intervals, and its level; and the change again,"
            f" against the cross-lingual examples that a run has seen{budgets}. A filled mark"
            " differs from r = 0 (5 %, Holm). Each level has the interval of its change."
            f" {runs}."
        )
    return (
        f"{measures.mono.title} against the share r of cross-lingual batches: its change from each"
        f" sweep's own r = 0 with 90 % intervals, and its level; {measures.cross.name}; and the"
        f" change again, against the cross-lingual examples that a run has seen{budgets}. Dashed"
        " lines: minus the margins. A filled mark is non-inferior at the sweep's own"
        " margin, a half filled one degraded, an empty one open or not tested. Each level has the"
        f" interval of its change. {runs}."
    )
