"""probe.md: the answer first, then the tables, examples with their texts, and what every word
means.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from hybrid_sweep.report.probe import shared as probe_shared
from hybrid_sweep.report.probe.cells import SETTINGS
from hybrid_sweep.report.probe.content import ProbeContent
from hybrid_sweep.report.probe.examples import examples, widest
from hybrid_sweep.report.probe.kinds import KINDS, RELATIONS
from hybrid_sweep.report.probe.rows import COLUMNS, MACRO, ProbeRow
from hybrid_sweep.report.probe.words import (
    CHANGED,
    by_ratio,
    changed,
    contrast_points,
    select,
    select_shared,
    share_of,
)
from hybrid_sweep.report.render.cells import EMPTY, Cell, count, name, number
from hybrid_sweep.report.render.markdown import Block, document
from hybrid_sweep.report.render.numbers import listed
from hybrid_sweep.report.render.table import Column, Table
from hybrid_sweep.report.render.table import table as grid
from hybrid_sweep.utils import escaping

LONGEST = 40  # rows of a table; of more, those with the largest differences


def markdown(content: ProbeContent, source: str) -> str:
    """Return the text of probe.md; `source`: where the texts are from."""
    table, ratio, records = content.table, content.ratio, content.records
    first, *rest = content.sentences
    head: list[Block] = [first, "", *(f"- {sentence}" for sentence in rest)]
    title = f"Sweep {escaping.markdown(content.sweep.name)}: what r = {ratio:g} misses"
    parts: list[tuple[str, list[Block]]] = [
        (f"# {title}", head),
        ("## Lost and gained against r = 0", [by_ratio(table)]),
    ]
    for section, blocks in [*_scopes(table, ratio), *_languages(table, ratio)]:
        parts.append((f"## {section}", blocks))
    lost: list[Block] = [*examples(records["lost"], source)]
    weak = f"Answered in one language, missed in another, at r = {ratio:g}: the widest"
    parts += [
        ("## Missed in how many languages", _together(table, content.together, ratio)),
        ("## Kinds of question", [_kinds(table, ratio)]),
        (f"## Lost at r = {ratio:g}: the largest drops", lost),
        (f"## {weak}", [*widest(records["weak"])]),
        ("## What the words mean", [*_definitions(content)]),
        ("## Columns of probe.csv", _columns(COLUMNS)),
        ("## Columns of shared.csv", _columns(probe_shared.COLUMNS)),
    ]
    return document(parts)


def _columns(columns: Mapping[str, str]) -> list[Block]:
    return [f"- `{name}`: {meaning}" for name, meaning in columns.items()]


def _longest(
    name: str, columns: Sequence[Column], rows: list[list[Cell]], sizes: Sequence[float]
) -> list[Block]:
    """Return a table of the rows with the largest differences, in their own order, and a line that
    says how many are left out.
    """
    if len(rows) <= LONGEST:
        return [grid(name, columns, rows)]
    largest = sorted(range(len(rows)), key=lambda place: (-abs(sizes[place]), place))
    kept = sorted(largest[:LONGEST])
    note = f"The {LONGEST} largest differences of {len(rows)}; probe.csv has all."
    return [grid(name, columns, [rows[place] for place in kept]), "", note]


def _scopes(table: pd.DataFrame, ratio: float) -> list[tuple[str, list[Block]]]:
    """Return a table per setting: the change by language, or by pair."""
    sections = []
    for setting in SETTINGS:
        rows = select(table, part="change", ratio=ratio, setting=setting)
        rows = [row for row in rows if row["scope"] != MACRO]
        if not rows:
            continue
        cells = []
        for row in rows:
            shares = [Cell(share_of(row["first"])), Cell(share_of(row["second"]))]
            cells.append([name(row["scope"]), count(row["n_seeds"]), *shares, *changed(row)])
        columns = [
            Column("query>passage" if setting == "cross-lingual" else "query"),
            Column("seeds"),
            Column("answered at r = 0"),
            Column(f"at r = {ratio:g}"),
            *CHANGED,
        ]
        title = f"By language at r = {ratio:g}: {setting}"
        sections.append(
            (title, _longest(title, columns, cells, [row["difference"] for row in rows]))
        )
    return sections


def _languages(table: pd.DataFrame, ratio: float) -> list[tuple[str, list[Block]]]:
    """Return a table per setting: two query languages on the questions that both have."""
    sections = []
    for setting in SETTINGS:
        rows = select(table, part="languages", ratio=ratio, setting=setting)
        if not rows:
            continue
        columns = [
            Column("a"),
            Column("b"),
            Column("passages"),
            Column("both have"),
            Column("a answers, b misses"),
            Column("b answers, a misses"),
            Column("both miss"),
            Column("if independent"),
            Column("b - a in points [95 %]"),
            Column("Holm"),
            Column("b is"),
            Column("passages of a / of b"),
        ]
        title = f"One query language against another at r = {ratio:g}: {setting}"
        cells = [_two_languages(row, setting) for row in rows]
        sections.append(
            (title, _longest(title, columns, cells, [row["difference"] for row in rows]))
        )
    return sections


def _two_languages(row: ProbeRow, setting: str) -> list[Cell]:
    asked, lost, gained, change, p, word = changed(row)
    passages = name(row["passages"]) if setting == "cross-lingual" else EMPTY
    pools = EMPTY
    if setting == "monolingual" and pd.notna(row["first_pool"]):
        pools = Cell(f"{row['first_pool']:,.0f} / {row['second_pool']:,.0f}")
    both = [count(row["both_missed"]), count(row["both_expected"])]
    head = [name(row["scope"]), name(row["against"]), passages, asked, lost, gained]
    return [*head, *both, change, p, word, pools]


def _together(table: pd.DataFrame, together: pd.DataFrame, ratio: float) -> list[Block]:
    """Return in how many languages questions are missed, and how often both of two languages do, by
    how they are related.
    """
    rows = []
    for row in select_shared(together, ratio=ratio):
        rows.append(
            [
                Cell(row["setting"]),
                Cell(str(row["missed_in"])),
                count(row["observed"]),
                number(row["expected"], 1),
                Cell(f"{row['low']:,.0f} to {row['high']:,.0f}"),
            ]
        )
    if not rows:
        return []
    columns = [
        Column("setting"),
        Column("missed in"),
        Column("questions"),
        Column("if independent"),
        Column("95 % of the shuffles"),
    ]
    parts: list[Block] = [grid("Missed in how many languages", columns, rows)]
    related = _related(table, ratio)
    return [*parts, "", related] if related.rows else parts


def _related(table: pd.DataFrame, ratio: float) -> Table:
    """Return how often both of two languages miss a question, by how the two are related."""
    rows = []
    for setting in SETTINGS:
        for relation in RELATIONS:
            about = {"part": "languages", "ratio": ratio, "setting": setting}
            pairs = select(table, **about, relation=relation)
            both = sum(row["both_missed"] for row in pairs)
            expected = sum(row["both_expected"] for row in pairs)
            if expected:
                counts = [count(len(pairs)), count(both), count(expected)]
                times = number(both / expected, 1)
                rows.append([Cell(setting), Cell(relation), *counts, times])
    columns = [
        Column("setting"),
        Column("two languages"),
        Column("comparisons"),
        Column("missed in both"),
        Column("if independent"),
        Column("times as many"),
    ]
    return grid("Two languages", columns, rows)


def _kinds(table: pd.DataFrame, ratio: float) -> Table:
    rows = []
    for row in select(table, part="kind", ratio=ratio):
        differs = EMPTY
        if row["against"]:
            differs = Cell(contrast_points(row))
        *counts, change, p, word = changed(row)
        kind = Cell(f"{row['passages']}: {row['scope']}")
        head = [Cell(row["setting"]), kind, *counts, change]
        rows.append([*head, differs, Cell(row["against"]), p, word])
    columns = [
        Column("setting"),
        Column("kind"),
        Column("asked"),
        Column("lost"),
        Column("gained"),
        Column("change in points [95 %]"),
        Column("differs by"),
        Column("from"),
        Column("Holm"),
        Column(""),
    ]
    return grid("Kinds of question", columns, rows)


def _definitions(content: ProbeContent) -> list[str]:
    rule = content.rule
    relations = content.table["relation"][content.table["setting"] == "cross-lingual"]
    cross = any(relations)
    agree = "more than half" if rule.share == 0.5 else f"more than {rule.share:g}"
    lines = [
        (
            f"- Answered: a relevant passage within the first {rule.at} of the pool, in {agree} of"
            f" the seeds. Missed: none there, in {agree} of the seeds. What is neither is no one's"
            " example, and counts in the tested shares alone."
        ),
        (
            "- A change or a difference is the mean over seeds and questions of success, 1 or 0,"
            " paired by question and seed. Its interval and test are meant for other seeds and"
            " other questions (two-way crossed, as in report.md); with fewer than three seeds there"
            " is an interval over questions alone, and no test."
        ),
        (
            "- Holm's adjustment goes over the languages, pairs or levels of a kind in one setting"
            " at one ratio; for all languages together over the ratios. Higher and lower are said"
            " at an adjusted 5 %. Languages are taken as they are: nothing is said of others."
        ),
        (
            "- Of the mixed pool (multilingual) a question is answered by a relevant passage in"
            " whatever language."
        ),
        (
            "- Lost questions alone prove nothing: a second seed loses some, too. Set `lost_share`"
            " against `churn`, and lost against gained."
        ),
        (
            "- In the monolingual setting every language has a pool of its own, and a smaller pool"
            " is easier. The mixed pool, and passages in one third language, are the same for the"
            " languages compared."
        ),
        (
            "- Missed in how many languages: misses are shuffled within a language among the"
            " questions that have the same languages. The p of 2+ is about these checkpoints."
        ),
        *(
            f"- Kind `{name}`: {meaning[0]}."
            for name, meaning in KINDS.items()
            if cross or name != "languages"
        ),
    ]
    lines += [f"- **Warning**: {escaping.markdown(warning)}." for warning in content.warnings]
    gone = [point.label for point in content.sweep.gaps]
    return [*lines, f"- Missing points: {listed(gone)}."] if gone else lines
