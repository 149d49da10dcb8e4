"""What the page's scripts draw from: one JSON block with the rows of results.csv and derived.csv,
and how to name them.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hybrid_sweep.report.figures.drawable import drawable
from hybrid_sweep.report.headline import headline
from hybrid_sweep.report.load import BASELINES
from hybrid_sweep.report.measures import (
    RANK_DISTANCE,
    SAME_LANGUAGE,
    Measure,
    Measures,
    measure_of,
)
from hybrid_sweep.report.page import frame, many
from hybrid_sweep.report.paired_rows import largest
from hybrid_sweep.report.results import MACRO, TRAINED, UNSEEN
from hybrid_sweep.report.sections import Content
from hybrid_sweep.report.tables.derived import points_for
from hybrid_sweep.utils.escaping import script_json

# The names of scopes that are means: over languages, and over ordered pairs.
MEANS = {
    MACRO: ("mean of languages", "mean of pairs"),
    TRAINED: ("mean of the languages trained on", "mean of the pairs of languages trained on"),
    UNSEEN: (
        "mean of the languages never trained on",
        "mean of the pairs with a language never trained on",
    ),
}


def bias_of(measures: Measures) -> tuple[Measure, ...]:
    """Return what the map of languages and ratios shows."""
    return SAME_LANGUAGE, RANK_DISTANCE, measures.mono


def shown_in(results: pd.DataFrame, measures: Sequence[Measure]) -> list[Measure]:
    """Return those of some measures that have rows."""
    there = set(zip(results["setting"], results["measure"], strict=True))
    return [measure for measure in measures if measure.place in there]


def viewed(results: pd.DataFrame) -> list[Measure]:
    """Return the measures of the results, in their order."""
    there = results[results["setting"] != ""][["setting", "measure"]].drop_duplicates()
    return [measure_of(*place) for place in there.itertuples(index=False, name=None)]


def menu_name(measure: Measure) -> str:
    """Return what a menu calls a measure: those of language bias are called that."""
    return measure.title if measure.better > 0 else f"Language bias: {measure.name}"


def _plain(value: Any) -> Any:
    """Return a number as JSON can hold it: null for NaN, "inf" for infinity."""
    if not isinstance(value, float):
        return value
    return None if pd.isna(value) else "inf" if value == float("inf") else value


def _grid(frame: pd.DataFrame) -> dict[str, Any]:
    rows = [[_plain(value) for value in row] for row in frame.to_numpy(dtype=object).tolist()]
    return {"columns": list(frame.columns), "rows": rows}


def _described(measures: Sequence[Measure], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return measures with the names that the reader chooses by; `per`: from a price of derived.csv
    to points of monolingual retrieval for one `unit`.
    """
    rows = []
    for measure, name in zip(measures, names, strict=True):
        row: dict[str, Any] = {"setting": measure.setting, "measure": measure.measure, "name": name}
        row |= {"digits": measure.digits, "more": measure.better > 0}
        if measure.unit:
            row["per"] = points_for(measure, 1)
            row["unit"] = f"{measure.unit} {'gained' if measure.better > 0 else 'less'}"
        rows.append(row)
    return rows


def _with(rows: list[dict[str, Any]], sentences: Sequence[str]) -> list[dict[str, Any]]:
    """Return described measures with the sentence of the report that stands above the figure."""
    return [{**row, "finding": sentence} for row, sentence in zip(rows, sentences, strict=True)]


def block(content: Content) -> str:
    """Return the JSON text: margin, planned ratios, the views that have rows, and every row of
    results.csv and derived.csv that may be drawn; of many languages what `many` keeps.
    """
    sweep, results = content.sweep, content.results
    derived = drawable(content.derived)
    told = headline(sweep, results)
    views = viewed(results)
    against = shown_in(results, sweep.measures.traded)
    bias = shown_in(results, bias_of(sweep.measures))
    values = {
        "margin": sweep.margin,
        "measure": sweep.measure,
        "title": sweep.measures.title,
        "best": largest(results),
        "ratios": sorted({point.ratio for point in sweep.points if point.kind == "trained"}),
        "views": _with(
            _described(views, [menu_name(measure) for measure in views]),
            [frame.of_curve(content, told, measure) for measure in views],
        ),
        "against": _with(
            _described(against, [measure.title for measure in against]),
            [frame.of_price(content, measure) for measure in against],
        ),
        "bias": _with(
            _described(bias, [measure.title for measure in bias]),
            [frame.of_curve(content, told, measure) for measure in bias],
        ),
        "means": MEANS,
        "floors": {kind: name[0].upper() + name[1:] for kind, name in BASELINES.items()},
        "trained": sweep.trained_languages,
    }
    if many.is_many(results):
        values |= {**_grid(many.kept_results(results)), "pairs": many.pairs(results)}
        values["derived"] = _grid(many.kept_derived(derived))
    else:
        values |= {**_grid(results), "derived": _grid(derived)}
    return script_json(values)
