"""The answer in words: every sentence is made from the results, with the interval that it rests on.

A statement about the share needs an interval over seeds and questions. Where there is only one over
questions, or none, the sentence says so and claims nothing about other seeds.
"""

import pandas as pd

from hybrid_sweep.report import derived_words, without_monolingual
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.measures import measures_on
from hybrid_sweep.report.paired_rows import (
    compared,
    conditional,
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
    p_words,
    percent,
    questions_of,
    signed,
)
from hybrid_sweep.report.results import measures_of, pick
from hybrid_sweep.report.rows import ResultRow
from hybrid_sweep.report.tables.derived import chosen
from hybrid_sweep.report.without_monolingual import lacks_monolingual


def _verdict_interval(row: ResultRow) -> str:
    return (
        f"{signed(row['delta'])}, 90 % interval"
        f" {between(row['delta_low_90'], row['delta_high_90'])}"
    )


def _last(rows: list[ResultRow], ratios: list[float]) -> str:
    """Return the interval at the highest of some ratios, named where there are several."""
    row = next(row for row in rows if row["ratio"] == ratios[-1])
    return _verdict_interval(row) + (f", at r = {ratios[-1]:g}" if len(ratios) > 1 else "")


def _at(rows: list[ResultRow], *verdicts: str) -> list[float]:
    return [float(row["ratio"]) for row in rows if row["verdict"] in verdicts]


def _seeds(rows: list[ResultRow]) -> str:
    counts = sorted({int(row["delta_seeds"]) for row in rows})
    return counted(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def _rests_on_few(row: ResultRow, margin: float) -> bool:
    """Return whether a ratio is open although its interval lies above the margin: too few questions
    carry it.
    """
    return row["verdict"] == "inconclusive" and float(row["delta_low_90"]) > -margin


def no_verdict(sweep: Sweep, results: pd.DataFrame) -> str:
    """Return why there is nothing to say, or "" if there is."""
    mono = pick(results, *sweep.measures.mono.place)
    rows = monolingual(results)
    if lacks_monolingual(results):
        return without_monolingual.reason(sweep.measures)
    if mono.empty:
        return "No verdict: no trained point with monolingual questions is finished."
    if not (mono["ratio"] == 0).any():
        return "No verdict: no point at ratio 0 is finished, and every comparison is with ratio 0."
    if not (mono["ratio"] > 0).any():
        return "No verdict: only ratio 0 is finished, and there is nothing to compare it with."
    if not rows:
        return "No verdict: no seed is finished both at ratio 0 and at another ratio."
    if all(row["verdict"] == "untested" for row in rows):
        few = max(int(row["delta_seeds"]) for row in rows)
        if rows[-1]["delta_interval"] != "conditional":
            return f"No verdict: {questions_of(rows[-1])} cannot carry an interval."
        return (
            f"No verdict: no interval over seeds is possible with {counted(few, 'seed')}"
            f" ({st.MIN_SEEDS} are needed); for these checkpoints only,"
            f" {sweep.measures.mono.name} changes by {conditional(rows[-1])}."
        )
    return ""


def answer(sweep: Sweep, results: pd.DataFrame) -> str:
    """Return one sentence: what raising the share does to monolingual retrieval, how sure that is,
    and what it buys.
    """
    gap = (
        f" ({len(sweep.missing)} of {len(sweep.points)} points are missing.)"
        if sweep.missing
        else ""
    )
    if lacks_monolingual(results):
        return without_monolingual.answer(results) + gap
    nothing = no_verdict(sweep, results)
    if nothing:
        return nothing + gap
    rows = monolingual(results)
    parts = [
        _holds(rows, results, sweep.margin),
        *_losses(rows, sweep.margin),
        *_exceptions(rows, results),
        *_bought(results),
    ]
    # Only tested ratios stand behind the sentence, so only their seeds are counted.
    seeds = _seeds([row for row in rows if row["verdict"] != "untested"])
    questions = questions_of(rows[0])
    start = "With"
    if interim(sweep, rows):
        start = f"Interim look: {interim(sweep, rows)}. With"
    return f"{start} {seeds} and {questions}, {'; '.join(parts)}.{gap}"


def interim(sweep: Sweep, rows: list[ResultRow]) -> str:
    """Return how many of the planned seeds are there, in words; "" where all of them are."""
    if sweep.looks is None:
        return ""
    is_open = any(row["verdict"] in ("inconclusive", "untested") for row in rows)
    if sweep.looks.sequential and not is_open:
        return ""
    tested = [int(row["delta_seeds"]) for row in rows if row["verdict"] != "untested"]
    if not tested or max(tested) >= sweep.looks.planned:
        return ""
    return f"{max(tested)} of {sweep.looks.planned} planned seeds"


def _beyond(rows: list[ResultRow], best: float | None) -> list[float]:
    """Return the ratios within the margin above the largest one that is with every smaller one."""
    held = _at(rows, "non-inferior", "superior")
    return [share for share in held if best is None or share > best]


def _holds(rows: list[ResultRow], results: pd.DataFrame, margin: float) -> str:
    """Return up to which ratio monolingual retrieval is shown to stay within the margin."""
    best, within = largest(results), f"the margin of {margin:g}"
    mono = measures_of(results).mono.name
    if best == rows[-1]["ratio"]:
        worst = min(rows, key=lambda row: float(row["delta"]))
        what = f"a cross-lingual share of {best:g}"
        if len(rows) > 1:
            what = f"every cross-lingual share up to {best:g}"
        return (
            f"{what} keeps {mono} within {within} (lowest: {_verdict_interval(worst)},"
            f" at r = {worst['ratio']:g})"
        )
    if best is not None:
        return f"{mono} holds within {within} up to a cross-lingual share of {best:g}"
    smallest = min([rows[0]["ratio"], *unpaired(results)])
    what = "no cross-lingual share is"
    if _beyond(rows, best):
        what = f"the smallest cross-lingual share, {smallest:g}, is not"
    return f"{what} shown to keep {mono} within {within}"


def _losses(rows: list[ResultRow], margin: float) -> list[str]:
    """Return the ratios that are higher, degraded or open, each with its last interval."""
    parts = []
    for verdict, words in [("superior", "is higher"), ("degraded", "is degraded")]:
        ratios = _at(rows, verdict)
        if ratios:
            parts.append(f"it {words} at r = {listed(ratios)} ({_last(rows, ratios)})")
    undecided = _at(rows, "inconclusive")
    if undecided:
        stay = "stay" if len(undecided) > 1 else "stays"
        parts.append(f"r = {listed(undecided)} {stay} open ({_last(rows, undecided)})")
    few = [float(row["ratio"]) for row in rows if _rests_on_few(row, margin)]
    if few:
        rest = "rest" if len(few) > 1 else "rests"
        parts.append(f"r = {listed(few)} {rest} on too few questions for a verdict")
    return parts


def _exceptions(rows: list[ResultRow], results: pd.DataFrame) -> list[str]:
    """Return the ratios that the first part of the sentence does not cover."""
    parts = []
    beyond = _beyond(rows, largest(results))
    if beyond:
        are = "are" if len(beyond) > 1 else "is"
        parts.append(
            f"r = {listed(beyond)} {are} within the margin although a smaller ratio is not shown"
            " to be"
        )
    untested = _at(rows, "untested")
    if untested:
        have = "have" if len(untested) > 1 else "has"
        parts.append(f"r = {listed(untested)} {have} too few seeds to be tested")
    gone = unpaired(results)
    if gone:
        have = "have" if len(gone) > 1 else "has"
        parts.append(f"r = {listed(gone)} {have} no finished seed that r = 0 has too")
    return parts


def _bought(results: pd.DataFrame) -> list[str]:
    """Return what the highest tested ratio does to cross-lingual retrieval."""
    rows = cross_lingual(results)
    tested = [row for row in rows if row["delta_interval"] == "crossed"]
    if not tested:
        return []
    row = tested[-1]
    interval = between(row["delta_low"], row["delta_high"])
    change = signed(row["delta"])
    return [
        f"{measures_of(results).cross.name} changes by {change} at r = {row['ratio']:g} (95 %"
        f" interval {interval})"
    ]


def _flat(rows: list[ResultRow], margin: float, planned: list[float]) -> str:
    """Return two one-sided tests against both margins: "flat" is shown, never concluded from the
    absence of a difference.

    planned: ratios; where one between those of `rows` is not among them, these are named one by
    one.
    """
    ratios = [float(row["ratio"]) for row in rows]
    whole = [ratio for ratio in planned if ratios[0] <= ratio <= ratios[-1]] == ratios
    span = (
        f"r = {ratios[0]:g} to {ratios[-1]:g}"
        if whole and len(rows) > 1
        else f"r = {listed(ratios)}"
    )
    moved = [row for row in rows if row["p_holm"] < 0.05]
    wide = [
        row for row in rows if not (-margin < row["delta_low_90"] and row["delta_high_90"] < margin)
    ]
    few = [float(row["ratio"]) for row in rows if _rests_on_few(row, margin)]
    if not wide and not few:
        most = max(rows, key=lambda row: abs(float(row["delta"])))
        return (
            f"**Flat, {span}**: each 90 % interval of the difference to r = 0 lies within"
            f" {margin:g} either way (largest: {_verdict_interval(most)}, at r ="
            f" {most['ratio']:g})."
        )
    if moved:
        words = [
            f"r = {row['ratio']:g} ({signed(row['delta'])}, Holm {p_words(row['p_holm'])})"
            for row in moved
        ]
        return f"**Not flat, {span}**: a difference to r = 0 shows at {listed(words)}."
    if not wide:
        return (
            f"**Flatness is not shown, {span}**: too few questions carry the difference to r = 0 at"
            f" r = {listed(few)}."
        )
    return (
        f"**Flatness is not shown, {span}**: no difference to r = 0 is significant, but the 90 %"
        f" interval reaches beyond {margin:g} at r = {listed(float(row['ratio']) for row in wide)}."
    )


def _carrying(row: ResultRow) -> str:
    """Return how many of the questions, or of their clusters, effectively carry a difference."""
    if row.get("n_clusters"):
        return f"{row['carrying']:.0f} of {row['n_clusters']:,} clusters"
    return f"{row['carrying']:.0f} of {row['n_questions']:,}"


def _what_settles(row: ResultRow, margin: float) -> str:
    """Return why the verdict of a ratio is open, and what would be needed."""
    if _rests_on_few(row, margin):
        return (
            f" The interval rests on too few questions for a verdict: effectively {_carrying(row)}"
            " carry the difference. More questions, not more seeds, would be needed."
        )
    wide = (
        f" The interval is {row['half_width']:.3f} wide to either side, at a margin of {margin:g}."
    )
    if row["seeds_to_settle_low"] == float("inf"):
        return f"{wide} More questions, not more seeds, would be needed to settle it."
    return (
        f"{wide} With {seeds_needed(row)} it would be settled in four cases of five (the quartiles"
        " of what these estimates allow)."
    )


def _loss(row: ResultRow, margin: float) -> str:
    """Return what the highest ratio does to monolingual retrieval: the verdict, and whether a loss
    is real whatever its size.
    """
    where = f"at r = {row['ratio']:g}"
    real = row["delta"] < 0 and row["p_holm"] < 0.05
    more = ""
    if row["verdict"] == "degraded":
        head = f"A loss {where}, larger than the margin of {margin:g}"
    elif row["verdict"] == "superior":
        head = f"A gain {where}"
    elif row["verdict"] == "non-inferior":
        head = f"A loss {where}, but smaller than" if real else f"No loss {where} as large as"
        head += f" the margin of {margin:g}"
    else:
        head = f"A loss {where}, of open size" if real else f"Open {where}"
        more = _what_settles(row, margin)
    share = f"{percent(row['relative'])} of r = 0"
    return f"**{head}**: {_verdict_interval(row)}, {share}, Holm {p_words(row['p_holm'])}.{more}"


def _change(name: str, rows: list[ResultRow], digits: int) -> str:
    """Return what happens to another measure at the highest ratio, and whether seeds and questions
    alone could do it.
    """
    row = rows[-1]
    if row["delta_interval"] != "crossed":
        return f"{name}: {conditional(row, digits)}; these checkpoints only."
    tail = (
        f"{signed(row['delta'], digits)} at r = {row['ratio']:g}, 95 % interval "
        f"{between(row['delta_low'], row['delta_high'], digits)}, Holm {p_words(row['p_holm'])}"
    )
    if row["p_holm"] >= 0.05:
        return f"**{name}: no change is shown** beyond the noise of seeds and questions: {tail}."
    same = [r for r in rows if r["p_holm"] < 0.05 and (r["delta"] > 0) == (row["delta"] > 0)]
    first = (
        f" It shows from r = {same[0]['ratio']:g} on."
        if len(same) == len(rows) and len(rows) > 1
        else ""
    )
    way = "rises" if row["delta"] > 0 else "falls"
    return f"**{name} {way}** beyond the noise of seeds and questions: {tail}.{first}"


def _largest(results: pd.DataFrame, derived: pd.DataFrame, which: str) -> str:
    """Return the largest ratio still non-inferior, and how large the true one may be."""
    best = largest(results)
    text = f"**No ratio is non-inferior together with every smaller {which} one.**"
    if best is not None:
        text = f"**Largest ratio still non-inferior: {best:g}**, as is every smaller {which} one."
    rows = chosen(derived, "largest")
    if not rows or rows[0]["low"] == rows[0]["high"]:
        return text
    low, high = rows[0]["low"], rows[0]["high"]
    return (
        f"{text} The largest one whose loss is truly within the margin lies from r = {low:g} to"
        f" {high:g} (90 % interval over the {which} ratios)."
    )


def secondary(sweep: Sweep) -> str:
    """Return which measure is the primary one, in words."""
    primary = measures_on(sweep.primary).mono.title
    text = (
        f"{primary}, the mean over languages, is the primary measure. All"
        " others are secondary: their p-values are adjusted over the ratios (and languages), not"
        " over the measures."
    )
    if sweep.measure != sweep.primary:
        text += f" So is {sweep.measures.mono.name}, which this report was asked to be on."
    return text


def findings(sweep: Sweep, results: pd.DataFrame, derived: pd.DataFrame) -> list[str]:
    """Return the sentences under the answer: flat or not, a loss at the top, the gains, and what
    `derived` adds to them.
    """
    mono = monolingual(results)
    if lacks_monolingual(results):
        told = without_monolingual.findings(results, sweep.measures)
        return [*told, without_monolingual.NO_PRIMARY, *_chosen(sweep)]
    if not mono:
        return []
    tested = [row for row in mono if row["delta_interval"] == "crossed"]
    gone = unpaired(results)
    sentences = []
    if len(tested) > 1:
        planned = sorted({row["ratio"] for row in mono} | {*gone})
        sentences.append(_flat(tested[:-1], sweep.margin, planned))
    if tested:
        sentences.append(_loss(tested[-1], sweep.margin))
        sentences.append(_largest(results, derived, "planned" if gone else "tested"))
    else:
        sentences.append(
            f"{sweep.measures.mono.title}: {conditional(mono[-1])}. No interval over seeds is"
            " possible."
        )
    for measure in sweep.measures.shown[1:]:
        rows = compared(results, *measure.place)
        if rows:
            sentences.append(_change(measure.subject, rows, measure.digits))
    sentences += derived_words.sentences(sweep, results, derived)
    return [*sentences, secondary(sweep), *_chosen(sweep)]


def _chosen(sweep: Sweep) -> list[str]:
    """Return what of the plan was not chosen before there were results, or is not known to be."""
    sentences = []
    if not sweep.stated.before:
        sentences.append(f"**The margin of {sweep.margin:g}**: {sweep.stated.when}.")
    if sweep.stated.late:
        notes = "; ".join(sweep.stated.late)
        sentences.append(f"**Chosen when results were there**: {notes}.")
    return sentences
