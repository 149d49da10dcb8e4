"""probe.md: the answer first, then the tables, examples with their texts, and what every word
means.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from hybrid_sweep.report.derived_tables import grid
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.markdown import label
from hybrid_sweep.report.probe import shared as probe_shared
from hybrid_sweep.report.probe.cells import SETTINGS, Rule
from hybrid_sweep.report.probe.examples import examples, widest
from hybrid_sweep.report.probe.kinds import KINDS, RELATIONS
from hybrid_sweep.report.probe.rows import COLUMNS, MACRO
from hybrid_sweep.report.probe.texts import Record
from hybrid_sweep.report.probe.words import by_ratio, changed, points, select, share_of
from hybrid_sweep.report.wording import listed
from hybrid_sweep.utils import escaping

LONGEST = 40  # rows of a table; of more, those with the largest differences


def markdown(
    sweep: Sweep,
    table: pd.DataFrame,
    together: pd.DataFrame,
    files: Mapping[str, Sequence[Record]],
    said: Sequence[str],
    ratio: float,
    rule: Rule,
    source: str,
    warnings: Sequence[str],
) -> str:
    """Return the text of probe.md; `files`: the records of the .jsonl files by name; `source`:
    where the texts are from.
    """
    cross = [row for row in table["relation"][table["setting"] == "cross-lingual"].unique() if row]
    parts: list[tuple[str, list[str]]] = [
        (
            f"# Sweep {escaping.markdown(sweep.name)}: what r = {ratio:g} misses",
            [said[0], "", *(f"- {sentence}" for sentence in said[1:])],
        ),
        ("## Lost and gained against r = 0", grid(*by_ratio(table))),
        *((f"## {title}", lines) for title, lines in _scopes(table, ratio)),
        *((f"## {title}", lines) for title, lines in _languages(table, ratio)),
        ("## Missed in how many languages", _together(table, together, ratio)),
        ("## Kinds of question", _kinds(table, ratio)),
        (f"## Lost at r = {ratio:g}: the largest drops", examples(files["lost"], source)),
        (
            f"## Answered in one language, missed in another, at r = {ratio:g}: the widest",
            widest(files["weak"]),
        ),
        ("## What the words mean", _definitions(sweep, rule, warnings, bool(cross))),
        (
            "## Columns of probe.csv",
            [f"- `{name}`: {meaning}" for name, meaning in COLUMNS.items()],
        ),
        (
            "## Columns of shared.csv",
            [f"- `{name}`: {meaning}" for name, meaning in probe_shared.COLUMNS.items()],
        ),
    ]
    return "\n\n".join("\n".join([title, "", *lines]) for title, lines in parts if lines) + "\n"


def _longest(rows: list[list[str]], sizes: Sequence[float]) -> tuple[list[list[str]], list[str]]:
    """Return the rows with the largest differences, in their own order, and a line that says how
    many are left out.
    """
    if len(rows) <= LONGEST:
        return rows, []
    kept = sorted(sorted(range(len(rows)), key=lambda i: (-abs(sizes[i]), i))[:LONGEST])
    return [rows[i] for i in kept], [
        "",
        f"The {LONGEST} largest differences of {len(rows)}; probe.csv has all.",
    ]


def _scopes(table: pd.DataFrame, ratio: float) -> list[tuple[str, list[str]]]:
    """Return a table per setting: the change by language, or by pair."""
    header = [
        "seeds",
        "answered at r = 0",
        f"at r = {ratio:g}",
        "asked",
        "lost",
        "gained",
        "change [95 %]",
        "Holm",
        "",
    ]
    found = []
    for setting in SETTINGS:
        rows = [
            row
            for row in select(table, part="change", ratio=ratio, setting=setting)
            if row["scope"] != MACRO
        ]
        cells = []
        for row in rows:
            shares = [share_of(row["first"]), share_of(row["second"])]
            cells.append(
                [escaping.markdown(row["scope"]), str(row["n_seeds"]), *shares, *changed(row)]
            )
        shown, more = _longest(cells, [row["difference"] for row in rows])
        if shown:
            what = "query>passage" if setting == "cross-lingual" else "query"
            found.append(
                (f"By language at r = {ratio:g}: {setting}", grid([what, *header], shown) + more)
            )
    return found


def _languages(table: pd.DataFrame, ratio: float) -> list[tuple[str, list[str]]]:
    found = []
    for setting in SETTINGS:
        rows = select(table, part="languages", ratio=ratio, setting=setting)
        pools = [row for row in rows if pd.notna(row["first_pool"])]
        header = [
            "a",
            "b",
            *["passages"] * (setting == "cross-lingual"),
            "both have",
            "a answers, b misses",
        ]
        header += [
            "b answers, a misses",
            "both miss",
            "if independent",
            "b - a in points [95 %]",
            "Holm",
            "b is",
        ]
        if pools and setting == "monolingual":
            header.append("passages of a / of b")
        cells = []
        for row in rows:
            count, lost, gained, change, p, word = changed(row)
            names = ["scope", "against", *["passages"] * (setting == "cross-lingual")]
            head = [escaping.markdown(row[name]) for name in names]
            both = [f"{row['both_missed']:,.0f}", f"{row['both_expected']:,.0f}"]
            cells.append([*head, count, lost, gained, *both, change, p, word])
            if "passages of a / of b" in header:
                cells[-1].append(f"{row['first_pool']:,.0f} / {row['second_pool']:,.0f}")
        shown, more = _longest(cells, [row["difference"] for row in rows])
        if shown:
            found.append(
                (
                    f"One query language against another at r = {ratio:g}: {setting}",
                    grid(header, shown) + more,
                )
            )
    return found


def _together(table: pd.DataFrame, together: pd.DataFrame, ratio: float) -> list[str]:
    """Return in how many languages questions are missed, and how often both of two languages do, by
    how they are related.
    """
    rows = [
        [
            row["setting"],
            str(row["missed_in"]),
            f"{row['observed']:,}",
            f"{row['expected']:,.1f}",
            f"{row['low']:,.0f} to {row['high']:,.0f}",
        ]
        for row in select(together, ratio=ratio)
    ]
    lines = (
        grid(["setting", "missed in", "questions", "if independent", "95 % of the shuffles"], rows)
        if rows
        else []
    )
    pairs = []
    for setting in SETTINGS if rows else ():
        for relation in RELATIONS:
            found = select(table, part="languages", ratio=ratio, setting=setting, relation=relation)
            both, expected = (
                sum(row[name] for row in found) for name in ("both_missed", "both_expected")
            )
            if expected:
                counts = [
                    str(len(found)),
                    f"{both:,.0f}",
                    f"{expected:,.0f}",
                    f"{both / expected:.1f}",
                ]
                pairs.append([setting, relation, *counts])
    header = [
        "setting",
        "two languages",
        "comparisons",
        "missed in both",
        "if independent",
        "times as many",
    ]
    return [*lines, "", *grid(header, pairs)] if pairs else lines


def _kinds(table: pd.DataFrame, ratio: float) -> list[str]:
    rows = []
    for row in select(table, part="kind", ratio=ratio):
        compared = (
            [points(row, "contrast", "contrast_low", "contrast_high"), row["against"]]
            if row["against"]
            else []
        )
        asked, lost, gained, change, p, word = changed(row)
        head = [row["setting"], f"{row['passages']}: {row['scope']}", asked, lost, gained, change]
        rows.append([*head, *(compared or ["", ""]), p, word])
    header = [
        "setting",
        "kind",
        "asked",
        "lost",
        "gained",
        "change [95 %]",
        "differs by",
        "from",
        "Holm",
        "",
    ]
    return grid(header, rows) if rows else []


def _definitions(sweep: Sweep, rule: Rule, warnings: Sequence[str], cross: bool) -> list[str]:
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
    lines += [f"- **Warning**: {escaping.markdown(warning)}." for warning in warnings]
    gone = [label(point) for point in sweep.points if point.run_id in sweep.missing]
    return [*lines, f"- Missing points: {listed(gone)}."] if gone else lines
