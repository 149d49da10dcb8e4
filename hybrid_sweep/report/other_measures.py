"""What the runs say by other measures and on other scales than the report's own: measures.csv, and
a few lines of it.

Rows are those of results.csv, of means alone. A verdict is at the margin's number, which was stated
for another measure; on another scale, and of ranks, there is none.
"""

import math
from collections.abc import Iterator

import pandas as pd

from hybrid_sweep.config.schema import SCHEMAS, DataConfig, own_measure
from hybrid_sweep.report.columns import frame_of
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.measures import SETTINGS, title_of
from hybrid_sweep.report.paired_rows import compared
from hybrid_sweep.report.query_values import LOG_RANK
from hybrid_sweep.report.render.numbers import between, p_words, signed
from hybrid_sweep.report.results import rows_of
from hybrid_sweep.report.rows import ResultRow
from hybrid_sweep.report.scales import LOG, LOG_ERROR, LOGIT
from hybrid_sweep.retrieval.measures import parsed
from hybrid_sweep.runs.finished import STORED

OF_DATA = ("measure", "qrels")  # of a stored config, which may hold anything
ANSWERED = "Success@10"  # whether an answer is in the top 10
ODDS = LOGIT.name(ANSWERED)


def other_measures(sweep: Sweep) -> pd.DataFrame:
    """Return the rows of measures.csv, columns as in results.csv."""
    rows: list[ResultRow] = []
    for setting, measure in places(sweep):
        rows += rows_of(sweep, setting, measure, only_means=True)
    return frame_of(rows, ResultRow)


def places(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """Yield setting and measure of what measures.csv holds: the measures of every table that
    results.csv lacks, then the measure of the report and the ranks on other scales.
    """
    there = {measure.place for measure in sweep.measures.all}
    scaled = [scale.name(sweep.measure) for scale in (LOG, LOG_ERROR, LOGIT)]
    for setting in SETTINGS:
        for measure in STORED:
            if (setting, measure) not in there and measure != "same@10":
                yield setting, measure
        for measure in (LOG_RANK, ANSWERED, ODDS, *scaled):
            yield setting, measure


def own_measure_note(sweep: Sweep) -> str:
    """Return that papers report another measure of the collection, in words; "" where they report
    this one, or that is not known.
    """
    named = set()
    for point in sweep.finished:
        data = sweep.config[point.run_id].get("data")
        if isinstance(data, dict) and isinstance(data.get("name"), str):
            words = [data[key] if isinstance(data.get(key), str) else None for key in OF_DATA]
            named.add((data["name"], *words))
    if len(named) != 1:
        return ""
    ((name, measure, qrels),) = named
    data = SCHEMAS["data"].get(name, DataConfig)(name=name)
    if qrels is not None and hasattr(data, "qrels"):
        data.qrels = qrels
    own = measure or own_measure(data)
    if not own or own == sweep.measure or parsed(own) is None:
        return ""
    return (
        f"papers report {title_of(own)} of {name}, and this report is on {sweep.measures.title};"
        f" report --measure {own} is on that"
    )


def besides(sweep: Sweep, others: pd.DataFrame) -> list[str]:
    """Return a few lines: the change of monolingual retrieval at the highest ratio by the measures
    that papers report besides, and on scales that do not depend on the level.
    """
    parts = []
    for measure in ("RR@10", "nDCG@10", "R@100"):
        rows = compared(others, "monolingual", measure)
        if rows:
            parts.append(f"{title_of(measure)} {_change(rows[-1])}")
    for measure, words in ((LOG_RANK, "geometric mean rank"), (ODDS, "odds of a top 10 answer")):
        rows = compared(others, "monolingual", measure)
        if rows and not math.isnan(rows[-1]["delta"]):
            parts.append(f"{words} {_factor(rows[-1])}")
    lines = []
    if parts:
        top = compared(others, "monolingual", ANSWERED)[-1]["ratio"]
        lines.append(f"besides, monolingual, r = {top:g} against r = 0: {'; '.join(parts)}")
    note = own_measure_note(sweep)
    return [*lines, note] if note else lines


def _change(row: ResultRow) -> str:
    return f"{signed(row['delta'])}{_ends(between(row['delta_low'], row['delta_high']), row)}"


def _factor(row: ResultRow) -> str:
    """Return a change of a logarithm as a factor, with its interval."""
    low, high = (f"{math.exp(row[end]):.3f}" for end in ("delta_low", "delta_high"))
    return f"x {math.exp(row['delta']):.3f}{_ends(f'[{low}, {high}]', row)}"


def _ends(interval: str, row: ResultRow) -> str:
    """Return an interval behind a change, and what it rests on."""
    if row["delta_interval"] == "none":
        return ", no interval"
    if row["delta_interval"] == "conditional":
        return f" {interval} over the questions alone"
    return f" {interval}, Holm {p_words(row['p_holm'])}"
