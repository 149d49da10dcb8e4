"""What the page keeps of a sweep of many languages: every row of results.csv would take 40 MB.

Kept are the columns that its scripts read, to six digits, of the means and the languages; of the
pairs of languages the matrices of values and changes, in thousandths. The page says so.
"""

from typing import Any

import numpy as np
import pandas as pd

from hybrid_sweep.report.load import BASELINES
from hybrid_sweep.report.measures import CROSS_LINGUAL, MONOLINGUAL
from hybrid_sweep.report.results import MEANS, languages, measures_of

MOST = 24  # languages of a page that has every row
COLUMNS = (
    *("kind", "ratio", "setting", "measure", "scope", "status", "seeds", "n_questions", "mean"),
    *("low", "high", "delta", "delta_low_90", "delta_high_90", "delta_interval", "won", "tied"),
    *("lost", "p_holm", "verdict"),
)
# What a script reads of derived.csv; the tables have the rest.
STATISTICS = ("slope", "isotonic", "band", "reversal", "front", "price")
NOTE = (
    "Of so many languages the curves of single pairs are left out here, and the map of pairs has no"
    " intervals; results.csv has all."
)


def is_many(results: pd.DataFrame) -> bool:
    """Return whether a page has no room for every row."""
    return len(languages(results)) > MOST


def kept_results(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows and columns of results.csv that the page has of many languages."""
    single = results["setting"].eq(CROSS_LINGUAL.setting) & ~results["scope"].isin(MEANS)
    return _short(results.loc[~single, list(COLUMNS)])


def kept_derived(derived: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of derived.csv that its scripts read."""
    return _short(derived[derived["statistic"].isin(STATISTICS)])


def _short(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with numbers of six significant digits."""
    columns: dict[str, Any] = {}
    for name in frame.columns:
        if frame[name].dtype == np.float64:
            columns[name] = [float(f"{value:.6g}") for value in frame[name]]
    return frame.assign(**columns)


def pairs(results: pd.DataFrame) -> dict[str, Any]:
    """Return the languages, and for each ratio and baseline the values and the changes to r = 0 of
    all pairs, query by query, in thousandths; on the diagonal monolingual ones.
    """
    names = languages(results)
    measure = measures_of(results).name
    chosen = results[results["measure"].eq(measure) & ~results["scope"].isin(MEANS)]
    chosen = chosen[chosen["setting"].isin([MONOLINGUAL.setting, CROSS_LINGUAL.setting])]
    ends = chosen["scope"].str.split(">", n=1)
    query, passage = ends.str[0], ends.str[-1]
    is_single = query.isin(names) & passage.isin(names)
    chosen, query, passage = chosen[is_single], query[is_single], passage[is_single]
    place = {name: code for code, name in enumerate(names)}
    cell = (query.map(place) * len(names) + passage.map(place)).to_numpy(dtype=np.int64)
    levels: list[dict[str, Any]] = []
    for level in [*sorted(chosen["ratio"].dropna().unique()), *BASELINES]:
        is_kind = isinstance(level, str)
        here = (chosen["kind"] == level if is_kind else chosen["ratio"] == level).to_numpy()
        if here.any():
            made: dict[str, Any] = {"level": level}
            for column in ("mean", "delta"):
                made[column] = _thousandths(chosen[column].to_numpy()[here], cell[here], len(names))
            levels.append(made)
    return {"names": names, "levels": levels}


def _thousandths(values: Any, cell: Any, size: int) -> list[int | None]:
    whole = np.full(size * size, np.nan)
    whole[cell] = values
    return [None if np.isnan(value) else round(1000 * value) for value in whole.tolist()]
