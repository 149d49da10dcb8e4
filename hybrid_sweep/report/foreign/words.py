"""What a report on other people's systems says: sentences and tables over a factor's levels."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.cluster_words import clustered
from hybrid_sweep.report.foreign.levels import Levels
from hybrid_sweep.report.foreign.rows import ONE_LANGUAGE
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.measures import SETTINGS, Measure, measure_of, title_of
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
)
from hybrid_sweep.report.render.markdown import Block
from hybrid_sweep.report.render.numbers import (
    between,
    counted,
    listed,
    p_words,
    percent,
    questions_of,
    signed,
)
from hybrid_sweep.report.render.table import Column, Table, table
from hybrid_sweep.report.results import MACRO, picked
from hybrid_sweep.report.rows import DerivedRow, ResultRow
from hybrid_sweep.utils import escaping
from hybrid_sweep.utils.escaping import one_line

Quoted = Callable[[str], str]
_CHANGES = (
    Column("seeds"),
    Column("mean"),
    Column("change"),
    Column("95 % interval", words=True),
    Column("90 % interval", words=True),
    Column("relative"),
    Column("Holm"),
    Column("verdict", words=True),
    Column("questions"),
)


@dataclass(frozen=True)
class Told:
    """What a report on one system says.

    results: the frame of results.csv, by codes of the levels. slope: of the curve on the mean, None
    where the factor is no scale. warnings: about the runs.
    """

    sweep: Sweep
    levels: Levels
    results: pd.DataFrame
    slope: DerivedRow | None
    warnings: Sequence[str]

    @property
    def main(self) -> Measure:
        """Return the measure of the report in the first setting that has it."""
        there = set(zip(self.results["setting"], self.results["measure"], strict=True))
        for setting in SETTINGS:
            if (setting, self.sweep.measure) in there:
                return measure_of(setting, self.sweep.measure)
        return measure_of(SETTINGS[0], self.sweep.measure)

    @property
    def name(self) -> str:
        """Return what the measure of the report is called: with its setting where languages are
        told.
        """
        if set(self.sweep.frame["query_lang"]) == {ONE_LANGUAGE}:
            return title_of(self.sweep.measure)
        return self.main.name

    def at(self, code: float, quoted: Quoted = one_line) -> str:
        """Return a level with the name of the factor."""
        return f"{quoted(self.levels.factor)} = {quoted(self.levels.name(code))}"


def answer(told: Told, quoted: Quoted = one_line) -> str:
    """Return one sentence: which levels keep the measure within the margin of the baseline.

    quoted: makes names from the table plain text where the sentence stands.
    """
    rows = [row for row in picked(told.results, *told.main.place) if row["ratio"] > 0]
    base, measure = told.at(0.0, quoted), quoted(told.name)

    def names_of(chosen: Sequence[ResultRow]) -> str:
        return ", ".join(quoted(told.levels.name(row["ratio"])) for row in chosen)

    if not rows or all(row["verdict"] == "untested" for row in rows):
        most = max((int(row["delta_seeds"]) for row in rows), default=0)
        return (
            f"No verdict: no interval over seeds is possible with {counted(most, 'common seed')}"
            f" ({st.MIN_SEEDS} are needed); the changes of {measure} to {base} are of these runs"
            " alone."
        )
    if not rows[0]["verdict"]:
        shown = [row for row in rows if row["p_holm"] < 0.05]
        text = f"differs from {base} at {names_of(shown)}" if shown else "no difference is shown"
        return f"{measure}: {text} (5 %, Holm); verdicts are given within languages alone."
    parts = []
    for verdict in ("superior", "non-inferior", "degraded", "inconclusive", "untested"):
        mine = [row for row in rows if row["verdict"] == verdict]
        if mine:
            parts.append(f"{verdict}: {names_of(mine)}")
    seeds = sorted({int(row["delta_seeds"]) for row in rows})
    span = counted(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    questions = questions_of(rows[0])
    return (
        f"With {span} and {questions}, {measure} against {base} at a margin of"
        f" {told.sweep.margin:g}: {'; '.join(parts)}."
    )


def findings(told: Told, quoted: Quoted = one_line) -> list[str]:
    """Return the sentences below the answer; quoted: as in `answer`."""
    rows = [row for row in picked(told.results, *told.main.place) if row["ratio"] > 0]
    tested = [row for row in rows if row["verdict"] not in ("", "untested")]
    sentences = []
    if told.levels.is_scale and tested:
        verdicts = [row["verdict"] for row in rows]
        best = st.largest_non_inferior([row["ratio"] for row in rows], verdicts)
        text = "No level is non-inferior together with every smaller one."
        if best is not None:
            level = told.at(best, quoted)
            text = f"Largest level still non-inferior, as is every smaller one: {level}."
        sentences.append(text)
    slope = told.slope
    if slope is not None and not math.isnan(slope["p"]):
        ends = between(float(slope["low"]), float(slope["high"]), 4)
        sentences.append(
            f"Slope of {quoted(told.name)} per unit of {quoted(told.levels.factor)}, least squares:"
            f" {signed(float(slope['value']), 4)}, 95 % interval {ends}, {p_words(slope['p'])}."
        )
    return sentences


def looked(told: Told) -> str:
    """Return what p and intervals say of looks at fewer seeds than these."""
    if told.sweep.looks is None:
        return (
            "Nothing tells how many seeds were planned, or whether fewer were tested before: p and"
            " intervals are those of a single look (--seeds-planned, --looks)."
        )
    planned, taken = told.sweep.looks.planned, told.sweep.looks.taken
    before = f", after looks at {listed(taken)}" if taken else ""
    return f"Seeds planned, as told: {planned}{before}; p and intervals hold over all looks."


def changes(told: Told, measure: Measure, scope: str = MACRO) -> Table:
    """Return a line for each level of the factor."""
    rows = []
    for row in picked(told.results, *measure.place, scope):
        rows.append([name(told.levels.name(row["ratio"])), *_cells(row)])
    columns = (Column(told.levels.factor, words=True, user=True), *_CHANGES)
    return table(f"{measure.title}, {scope}", columns, rows)


def _cells(row: ResultRow) -> list[Cell]:
    is_base = math.isnan(row["delta"])
    interval = row["delta_interval"]
    moved, wide = change(row["delta"], row["delta_low"], row["delta_high"], interval=interval)
    ends = (row["delta_low_90"], row["delta_high_90"])
    _, narrow = change(row["delta"], *ends, interval=interval)
    relative = EMPTY if math.isnan(row["relative"]) else Cell(percent(row["relative"]))
    return [
        count(row["n_seeds"]),
        number(row["mean"]),
        NOT_TESTED if is_base else moved,
        NOT_TESTED if is_base else wide,
        NOT_TESTED if is_base else narrow,
        relative,
        p_value(row["p_holm"]),
        judged(row["verdict"]),
        count(row["n_questions"]),
    ]


def sections(told: Told) -> dict[str, list[Block]]:
    """Return what stands under each title, the main table first."""
    there = told.results[["setting", "measure"]].drop_duplicates()
    parts: dict[str, list[Block]] = {}
    for setting, measure in there.itertuples(index=False, name=None):
        about = measure_of(setting, measure)
        parts[f"{about.title}, mean"] = [changes(told, about)]
    setting, measure = told.main.place
    mine = told.results[told.results["setting"] == setting]
    scopes = [scope for scope in dict.fromkeys(mine["scope"]) if scope != MACRO]
    for scope in scopes if len(scopes) > 1 else []:
        title = f"{told.main.title}, {escaping.markdown(scope)}"
        parts[title] = [changes(told, told.main, scope)]
    return parts | {"How it was analysed": list(_method(told))}


def _method(told: Told) -> list[str]:
    factor, title = escaping.markdown(told.levels.factor), title_of(told.sweep.measure)
    return [
        (
            f"- The rows are as they were given: how the systems were made, and what besides"
            f" {factor} differs between them, is not known here. Higher values count as better."
        ),
        (
            f"- The margin of {told.sweep.margin:g} {title} (absolute) was"
            f" {told.sweep.stated.when}: nothing shows that it was chosen before them."
        ),
        (
            f"- The change at a level is paired with {escaping.markdown(told.at(0.0))}: same seed"
            " numbers, same queries; where runs of one seed number share nothing, it is valid all"
            " the same. Its interval is meant for other seeds and other questions: two-way crossed"
            " random effects, the versions of a question (column group) clustered;"
            " `docs/statistics.md` has the model, its assumptions and its measured error rates."
        ),
        *clustered(told.sweep),
        f"- {looked(told)}",
        (
            "- Non-inferior: the 90 % interval lies above minus the margin, and enough questions"
            " carry the change. Superior and degraded are adjusted (Holm over the levels, of single"
            " languages over languages and levels); measures are not adjusted for each other."
        ),
    ]
