"""What the probe says in words: every sentence is made from probe.csv and shared.csv, with the test
it rests on.

Changes are in points: percentage points of the questions answered.
"""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.probe.cells import SETTINGS, Rule
from hybrid_sweep.report.probe.rows import MACRO, MOST_LANGUAGES, ProbeRow
from hybrid_sweep.report.probe.shared import SharedRow
from hybrid_sweep.report.render.cells import Cell, count, p_value, ratio
from hybrid_sweep.report.render.numbers import between, listed, p_words, signed
from hybrid_sweep.report.render.table import Column, Table
from hybrid_sweep.report.render.table import table as grid
from hybrid_sweep.utils.escaping import markdown, markdown_code

NAMED = 6  # languages or pairs that a sentence names
ASKED = {
    "monolingual": "asked of passages in their own language",
    "cross-lingual": "asked of passages in another language",
    "multilingual": "asked of passages in all languages",
}


def points(row: ProbeRow) -> str:
    """Return a change with its interval, in percentage points."""
    return _in_points(row["difference"], row["low"], row["high"], row["interval"])


def contrast_points(row: ProbeRow) -> str:
    """Return how far the change of a level is from that of another, likewise."""
    return _in_points(row["contrast"], row["contrast_low"], row["contrast_high"], row["interval"])


def _in_points(value: float, low: float, high: float, interval: str) -> str:
    text = f"{signed(100 * value, 1)} points"
    if pd.isna(low):
        return text
    note = "" if interval == "crossed" else " over questions alone"
    return f"{text} {between(100 * low, 100 * high, 1)}{note}"


def share_of(value: float) -> str:
    return f"{100 * value:.1f} %"


def select(table: pd.DataFrame, **wanted: object) -> list[ProbeRow]:
    """Return the rows of probe.csv with these values."""
    return records(_having(table, wanted), ProbeRow)


def select_shared(table: pd.DataFrame, **wanted: object) -> list[SharedRow]:
    """Return the rows of shared.csv with these values."""
    return records(_having(table, wanted), SharedRow)


def _having(table: pd.DataFrame, wanted: Mapping[str, object]) -> pd.DataFrame:
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def criterion(rule: Rule, seeds: int) -> str:
    """Return when a question counts, in words."""
    least = math.floor(rule.share * seeds) + 1  # the smallest number that is more than the share
    among = ""
    if seeds > 1:
        some = f"all {seeds}" if least == seeds else f"at least {least} of the {seeds}"
        among = f" in {some} seeds"
    return (
        f"answered: a relevant passage within the first {rule.at}{among}; missed: none there,"
        " likewise"
    )


def answer(table: pd.DataFrame, together: pd.DataFrame, ratio: float, rule: Rule) -> list[str]:
    """Return the sentences at the head of probe.md, the first of which is the answer."""
    sentences = []
    for setting in SETTINGS:
        rows = select(table, part="change", ratio=ratio, setting=setting)
        if rows:
            sentences.append(change(rows, setting, rule))
    if not sentences:
        why = (
            "r = 0 is the ratio looked at"
            if ratio == 0
            else "no seed is finished both at r = 0 and at this ratio"
        )
        sentences.append(f"At r = {ratio:g} nothing can be called lost or gained: {why}.")
    for setting in SETTINGS:
        sentences += _languages(
            select(table, part="languages", ratio=ratio, setting=setting), setting
        )
    sentences += left_out(table, ratio)
    for setting in SETTINGS:
        sentences += _shared(
            select_shared(together, ratio=ratio, setting=setting, missed_in="2+"), setting
        )
    return [*sentences, *_kinds(select(table, part="kind", ratio=ratio))]


def _asked(row: ProbeRow, setting: str) -> str:
    """Return how many questions are asked, and why that is more than there are questions: those of
    several languages, or pairs, are asked in each.
    """
    asked = f"{row['n_asked']:,} questions"
    if row["n_asked"] == row["n_questions"]:
        return f"{asked} {ASKED[setting]}"
    unit = "pair" if setting == "cross-lingual" else "language"
    return f"{asked} ({row['n_questions']:,}, each asked in every {unit} it has) {ASKED[setting]}"


def change(rows: Sequence[ProbeRow], setting: str, rule: Rule) -> str:
    """Return what r = 0 answers and a ratio misses, in one setting: of all together, the first of
    the rows, and of its parts.
    """
    whole, *parts = rows
    head = (
        f"**Of {_asked(whole, setting)}, r = {whole['ratio']:g} misses"
        f" {whole['lost']:,.0f} that r = 0 answers, and answers {whole['gained']:,.0f} that r = 0"
        " misses**"
    )
    share = f" ({criterion(rule, whole['n_seeds'])})" if setting == "monolingual" else ""
    text = f"{head}{share}: the share answered, {_all(setting)} together, {_verdict(whole)}."
    if pd.notna(whole["churn"]):
        text += (
            f" With the same seed {share_of(whole['lost_share'])} are lost; from one seed of r = 0"
            f" to another {share_of(whole['churn'])} are, by chance."
        )
    if whole["word"] == "untested" or len(parts) < 2:
        return text
    what = "pairs (query>passage)" if setting == "cross-lingual" else "query languages"
    return f"{text} Of {len(parts)} {what}: {'; '.join(_parts(parts))}."


def _parts(parts: Sequence[ProbeRow]) -> list[str]:
    """Return how many languages or pairs of languages change, and which change most."""
    words = []
    for word, text in (("lower", "fewer answered"), ("higher", "more answered")):
        rows = [row for row in parts if row["word"] == word]
        rows.sort(key=lambda row: -abs(row["difference"]))
        some = []
        for row in rows[:NAMED]:
            change_by = signed(100 * row["difference"], 1)
            some.append(f"{markdown(row['scope'])} ({change_by})")
        more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
        if rows:
            words.append(f"{text} in {', '.join(some)}{more}")
    rest = [markdown(row["scope"]) for row in parts if row["word"] == "not shown"]
    if rest:
        many = "any" if len(rest) == len(parts) else f"{len(rest)} others"
        words.append(f"nothing shown for {listed(rest) if len(rest) <= NAMED else many}")
    few = [markdown(row["scope"]) for row in parts if row["word"] == "untested"]
    if few:
        names = listed(few) if len(few) <= NAMED else f"{len(few)} others"
        words.append(f"too few questions to test {names}")
    return words


def _all(setting: str) -> str:
    return "all pairs" if setting == "cross-lingual" else "all languages"


def _verdict(row: ProbeRow) -> str:
    if row["word"] == "untested":
        return f"changes by {points(row)}, for these checkpoints only, without a test"
    if row["word"] == "not shown":
        return f"is not shown to change ({points(row)}, Holm {p_words(row['p_holm'])})"
    return (
        f"{'falls' if row['word'] == 'lower' else 'rises'} ({points(row)}, Holm"
        f" {p_words(row['p_holm'])})"
    )


def _languages(rows: Sequence[ProbeRow], setting: str) -> list[str]:
    """Return which query languages are weaker than others, on the questions that both have."""
    rows = [row for row in rows if row["word"] != "untested"]
    if not rows:
        return []
    differing = [row for row in rows if row["word"] != "not shown"]
    where = {
        "monolingual": "each in its own pool",
        "cross-lingual": "asked of the same passages in a third one",
        "multilingual": "asked of the same passages in all languages",
    }[setting]
    text = (
        f"**Between two query languages, {where}**, the same questions differ in"
        f" {len(differing)} of {len(rows)} comparisons"
    )
    pools = set()
    for row in rows:
        pools |= {size for size in (row["first_pool"], row["second_pool"]) if pd.notna(size)}
    caution = ""
    if setting == "monolingual" and len(pools) != 1:
        caution = (
            " Pools differ in size, and a small one is easier: not a property of the language"
            " alone."
        )
    if not differing:
        return [f"{text}: no language is shown to be weaker than another.{caution}"]
    best = sorted(differing, key=lambda row: -abs(row["difference"]))[:3]
    some = []
    for row in best:
        ahead, behind = row["scope"], row["against"]
        if row["word"] != "lower":
            ahead, behind = behind, ahead
        points_apart = f"{abs(100 * row['difference']):.1f} points"
        lead = f"{markdown_code(ahead)} ahead of {markdown_code(behind)} by {points_apart}"
        if setting == "cross-lingual":
            lead += f" (passages in {markdown_code(row['passages'])})"
        some.append(lead)
    return [f"{text}, most of all {', '.join(some)}.{caution}"]


def left_out(table: pd.DataFrame, ratio: float) -> list[str]:
    """Return that query languages are not compared on the passages of each third language, where
    they are too many for that.
    """
    rows = table[(table["part"] == "languages") & (table["ratio"] == ratio)]
    names = set(rows["scope"]) | set(rows["against"])
    if len(names) <= MOST_LANGUAGES:
        return []
    return [
        f"**Left out**: two query languages are not compared on the passages of each third language"
        f" where there are more than {MOST_LANGUAGES} ({len(names)} here): the number of these"
        " comparisons grows with the cube of that of the languages."
    ]


def _shared(rows: Sequence[SharedRow], setting: str) -> list[str]:
    if not rows:
        return []
    row = rows[0]
    is_more = row["p"] < 0.05
    head = "Languages share their weaknesses" if is_more else "Shared weaknesses are not shown"
    where = (
        "each in its own pool" if setting == "monolingual" else "asked of passages in all languages"
    )
    return [
        f"**{head}, {where}**: {row['observed']:,.0f} of {row['n_questions']:,} questions are"
        " missed in two languages or more, where independent misses would give"
        f" {row['expected']:,.0f} ({row['low']:,.0f} to {row['high']:,.0f}); {p_words(row['p'])},"
        " these checkpoints only."
    ]


def _kinds(rows: Sequence[ProbeRow]) -> list[str]:
    """Return kinds of question whose change differs from that of the first kind, by a test."""
    differing = [row for row in rows if row["word"] in ("lower", "higher")]
    tested = [row for row in rows if row["word"] not in ("", "untested")]
    if not tested:
        return []
    if not differing:
        return [
            "**Losses are not shown to cluster** by any kind of question that was looked at (see"
            " the table)."
        ]
    some = [
        f"{row['scope']} against {row['against']}, {row['setting']}: {contrast_points(row)}"
        for row in differing
    ]
    few = any(row["passages"] == "languages" for row in differing)
    caution = (
        " A level of few pairs may stand for a single language, and the size of its pool."
        if few
        else ""
    )
    return [f"**The change differs by kind of question**: {'; '.join(some)}.{caution}"]


def by_ratio(table: pd.DataFrame) -> Table:
    """Return the table by setting and ratio, all languages together."""
    rows = []
    for row in select(table, part="change", scope=MACRO):
        rows.append(
            [Cell(row["setting"]), ratio(row["ratio"]), count(row["n_seeds"]), *changed(row)]
        )
    columns = [Column("setting", words=True), Column("r", words=True), Column("seeds")]
    return grid("Lost and gained against r = 0", [*columns, *CHANGED], rows)


CHANGED = (
    Column("asked"),
    Column("lost"),
    Column("gained"),
    Column("change in points [95 %]", words=True),
    Column("Holm"),
    Column("", words=True),
)


def changed(row: ProbeRow) -> list[Cell]:
    """Return asked, lost, gained, change, Holm's p and the word of a row of probe.csv, the cells
    of `CHANGED`.
    """
    counts = [count(row[name]) for name in ("n_asked", "lost", "gained")]
    points_changed = Cell(points(row).replace(" points", ""))
    return [*counts, points_changed, p_value(row["p_holm"]), Cell(row["word"])]
