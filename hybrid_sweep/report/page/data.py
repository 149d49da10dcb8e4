"""What the page's scripts draw from: one JSON block with the rows of results.csv and derived.csv,
and how to name them.
"""

from typing import Any

import pandas as pd

from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.results import MACRO, TRAINED, UNSEEN, records
from hybrid_sweep.report.wording import largest
from hybrid_sweep.utils.escaping import script_json

# The curves one can switch between: setting, measure, name, digits.
VIEWS = [
    ("monolingual", "RR@10", "Monolingual MRR@10", 3),
    ("cross-lingual", "RR@10", "Cross-lingual MRR@10", 3),
    ("multilingual", "AP", "Multilingual mAP", 3),
    ("multilingual", "RR@10", "Multilingual MRR@10", 3),
    ("multilingual", "same@10", "Language bias: same-language share of the top 10", 3),
    ("multilingual", "RD", "Language bias: rank distance", 1),
]
# What monolingual MRR@10 is weighed against: setting, measure, name, digits, whether more of it is
# better, and the unit of its price: how much, and in words.
AGAINST: list[tuple[str, str, str, int, bool, float, str]] = [
    ("cross-lingual", "RR@10", "Cross-lingual MRR@10", 3, True, 1, "point gained"),
    ("multilingual", "same@10", "Same-language share", 3, False, 1, "point less"),
    ("multilingual", "RD", "Rank distance", 1, False, 100, "100 ranks less"),
]
# What the map of languages and ratios shows: setting, measure, name, digits.
BIAS: list[tuple[str, str, str, int]] = [
    ("multilingual", "same@10", "same-language share", 3),
    ("multilingual", "RD", "rank distance", 1),
    ("monolingual", "RR@10", "monolingual MRR@10", 3),
]
# The names of scopes that are means: over languages, and over ordered pairs.
MEANS = {
    MACRO: ("mean of languages", "mean of pairs"),
    TRAINED: ("mean of the languages trained on", "mean of the pairs of languages trained on"),
    UNSEEN: (
        "mean of the languages never trained on",
        "mean of the pairs with a language never trained on",
    ),
}


def found(results: pd.DataFrame, views: list[Any]) -> list[Any]:
    """Return those of some views (tuples that begin with setting and measure) that have rows."""
    there = set(zip(results["setting"], results["measure"], strict=True))
    return [view for view in views if view[:2] in there]


def _plain(value: Any) -> Any:
    """Return a number as JSON can hold it: null for NaN, "inf" for infinity."""
    if not isinstance(value, float):
        return value
    return None if pd.isna(value) else "inf" if value == float("inf") else value


def _grid(frame: pd.DataFrame) -> dict[str, Any]:
    rows = [[_plain(value) for value in row.values()] for row in records(frame)]
    return {"columns": list(frame.columns), "rows": rows}


def _named(views: list[Any]) -> list[dict[str, Any]]:
    names = ("setting", "measure", "name", "digits", "more", "per", "unit")
    return [dict(zip(names, view, strict=False)) for view in views]


def block(sweep: Sweep, results: pd.DataFrame, derived: pd.DataFrame) -> str:
    """Return the JSON text: margin, planned ratios, the views that have rows, and every row of
    results.csv and derived.csv.
    """
    content = {
        "margin": sweep.margin,
        "best": largest(results),
        "ratios": sorted({point.ratio for point in sweep.points if point.kind == "trained"}),
        "views": _named(found(results, VIEWS)),
        "against": _named(found(results, AGAINST)),
        "bias": _named(found(results, BIAS)),
        "means": MEANS,
        "floors": {kind: name[0].upper() + name[1:] for kind, name in BASELINES.items()},
        "trained": sweep.trained_languages,
        **_grid(results),
        "derived": _grid(derived),
    }
    return script_json(content)
