"""The answer for a reader who knows nothing of the code: what happens, how sure that is, and which
ratio to use.

The same rows and verdicts as in `answer`, in plainer words and with a recommendation; nothing is
claimed beyond them.
"""

from dataclasses import dataclass

import pandas as pd

from hybrid_sweep.report import look_notes, without_monolingual
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.answer import interim, no_verdict
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.measures import Measures
from hybrid_sweep.report.paired_rows import (
    cross_lingual,
    largest,
    monolingual,
    seeds_needed,
    unpaired,
)
from hybrid_sweep.report.render.numbers import (
    between,
    counted,
    listed,
    percent,
    questions_of,
    signed,
)
from hybrid_sweep.report.results import languages
from hybrid_sweep.report.rows import ResultRow
from hybrid_sweep.report.without_monolingual import lacks_monolingual


@dataclass(frozen=True)
class Headline:
    """Three answers, each a short line and the sentences that bear it out."""

    happens: tuple[str, str]
    sure: tuple[str, str]
    use: tuple[str, str]


def _at(rows: list[ResultRow], ratio: float) -> ResultRow | None:
    return next((row for row in rows if row["ratio"] == ratio), None)


def _bought(row: ResultRow | None, measures: Measures) -> str:
    """Return what a ratio does to cross-lingual retrieval, in a sentence; "" where that was not
    measured.
    """
    if row is None:
        return ""
    if row["delta_interval"] != "crossed":
        return (
            f" {measures.cross.title} changes by {signed(row['delta'])} there, with too few seeds"
            " for an interval."
        )
    tail = f"{signed(row['delta'])}, 95 % interval {between(row['delta_low'], row['delta_high'])}"
    if row["p_holm"] >= 0.05:
        return f" No change of {measures.cross.name} is shown at r = {row['ratio']:g} ({tail})."
    return (
        f" {measures.cross.title} {'rises' if row['delta'] > 0 else 'falls'} at r ="
        f" {row['ratio']:g}: {tail}."
    )


def _happens(
    sweep: Sweep, results: pd.DataFrame, rows: list[ResultRow], cross: list[ResultRow]
) -> tuple[str, str]:
    best, top, gone = largest(results), rows[-1], unpaired(results)
    when = " before the run" if sweep.stated.before else ""
    margin = f"{sweep.margin:g} {sweep.measures.title}, the loss called tolerable{when}"
    if best is None:
        short = "Monolingual quality is not shown to hold"
        smallest = min([rows[0]["ratio"], *gone])
        text = f"At r = {smallest:g} already, a loss larger than {margin}, is not ruled out."
    else:
        short = f"Monolingual quality holds up to r = {best:g}"
        text = f"Up to there, each tested share is shown to cost less than {margin}."
    if best != top["ratio"]:
        words = {
            "degraded": "a loss larger than that",
            "inconclusive": "which may be more or less than that",
            "untested": "with too few seeds to be tested",
        }.get(top["verdict"], "which is within it")
        share: str = f", {percent(top['relative'])}" if pd.notna(top["relative"]) else ""
        text += f" At r = {top['ratio']:g} it changes by {signed(top['delta'])}{share}: {words}."
    return short, text + _bought(cross[-1] if cross else None, sweep.measures)


def _sure(sweep: Sweep, results: pd.DataFrame, rows: list[ResultRow]) -> tuple[str, str]:
    tested = [row for row in rows if row["verdict"] != "untested"]
    gone = unpaired(results)
    open_ = sorted(
        [float(row["ratio"]) for row in rows if row["verdict"] in ("inconclusive", "untested")]
        + gone
    )
    planned = len(rows) + len(gone)
    short = f"{planned - len(open_)} of {counted(planned, 'share')} settled, at a 5 % risk each" + (
        f"; r = {listed(open_)} open" if open_ else ""
    )
    seeds = sorted({int(row["delta_seeds"]) for row in tested})
    count = counted(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    best = largest(results)
    row = _at(rows, best) if best is not None else tested[-1]
    text = (
        f"{count[0].upper()}{count[1:]} and {questions_of(rows[0])}; the"
        " intervals reckon with other seeds and other questions, not with other data or models."
    )
    if row is not None:
        text += (
            f" At r = {row['ratio']:g} the change is {signed(row['delta'])}, 90 % interval "
            f"{between(row['delta_low_90'], row['delta_high_90'])}."
        )
    if interim(sweep, rows):
        text += f" This is an interim look, at {interim(sweep, rows)}."
    looked = look_notes.note(sweep, results)
    text += f" {looked}" if looked else ""
    if gone:
        text += (
            f" r = {listed(gone)} {'have' if len(gone) > 1 else 'has'} no finished seed that r = 0"
            " has too."
        )
    if sweep.missing:
        text += f" {len(sweep.missing)} of {len(sweep.points)} points are missing."
    return short, text


def _languages(results: pd.DataFrame, best: float) -> tuple[list[str], str]:
    """Return the languages that lose at the recommended ratio, and in words up to where every
    language is shown to hold.

    That every language holds is claimed only where each does at 5 %, which needs no adjustment for
    their number (intersection-union test).
    """
    by_language = {scope: monolingual(results, scope) for scope in languages(results)}
    if len(by_language) < 2:
        return [], ""
    at_best = {scope: _at(rows, best) for scope, rows in by_language.items()}
    harmed = [scope for scope, row in at_best.items() if row and row["verdict"] == "degraded"]
    bests = [largest(results, scope) for scope in by_language]
    held = [ratio for ratio in bests if ratio is not None]
    safe = min(held) if len(held) == len(bests) else None
    if safe is not None and safe >= best:
        return [], " Taken one by one, every language is shown to hold there too."
    head = (
        f" But {listed(harmed)} {'lose' if len(harmed) > 1 else 'loses'} more than that."
        if harmed
        else ""
    )
    if safe is None:
        return harmed, f"{head} Taken one by one, no share is shown to hold for every language."
    return harmed, f"{head} Taken one by one, every language is shown to hold up to r = {safe:g}."


def _use(
    sweep: Sweep, results: pd.DataFrame, rows: list[ResultRow], cross: list[ResultRow]
) -> tuple[str, str]:
    best, gone = largest(results), unpaired(results)
    if best is None:
        smallest = rows[0]
        which = "planned" if gone else "tested"
        text = (
            f"No larger share is shown to cost less than {sweep.margin:g} together with every"
            f" smaller one {which}."
        )
        if smallest["verdict"] == "inconclusive" and smallest["ratio"] < min([*gone, 2.0]):
            text += f" To settle r = {smallest['ratio']:g}: {seeds_needed(smallest)}."
        return "Stay at r = 0", text
    harmed, which = _languages(results, best)
    text = (
        "The largest share that is shown, like every smaller one, to cost less than"
        f" {sweep.margin:g} {sweep.measures.title} on the mean of languages."
    )
    gain = _at(cross, best)
    if gain is None:
        short = f"r = {best:g} is safe"
    elif gain["p_holm"] < 0.05 and gain["delta"] > 0:
        short = f"Use r = {best:g}"
    else:
        short = f"r = {best:g} is safe, but buys nothing shown"
    return (
        short + (f", but not for {listed(harmed)}" if harmed else ""),
        text + _bought(gain, sweep.measures) + which,
    )


def headline(sweep: Sweep, results: pd.DataFrame) -> Headline:
    """Return the three answers of a sweep; where there is no verdict, what is missing for one."""
    rows, cross = monolingual(results), cross_lingual(results)
    nothing = no_verdict(sweep, results)
    if not nothing:
        return Headline(
            _happens(sweep, results, rows, cross),
            _sure(sweep, results, rows),
            _use(sweep, results, rows, cross),
        )
    if rows:
        unsure = (
            "What interval there is covers these checkpoints only: other seeds may say otherwise."
        )
    else:
        unsure = "There is nothing to compare yet."
    if sweep.missing:
        unsure += f" {len(sweep.missing)} of {len(sweep.points)} points are missing."
    if lacks_monolingual(results):
        told = " ".join(without_monolingual.findings(results, sweep.measures)[:1])
        advice = without_monolingual.advice(sweep)
        happens = ("Nothing monolingual is measured", nothing)
        return Headline(happens, ("No verdict", told or unsure), ("No ratio to recommend", advice))
    advice = (
        f"A recommendation needs ratio 0 and a ratio above it with {st.MIN_SEEDS} seeds each, and"
        " several questions."
    )
    return Headline(
        ("No verdict yet", nothing), ("Not sure at all", unsure), ("No ratio yet", advice)
    )
