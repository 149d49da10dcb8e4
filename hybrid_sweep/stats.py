"""The statistics by themselves: means, intervals, tests and verdicts over seeds and questions.

Needs numpy, scipy and pandas alone. docs/statistics.md states the model, what it assumes, and its
measured error rates.
"""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from hybrid_sweep.report.statistics import (
    MIN_SEEDS,
    Estimate,
    bounds,
    carrying,
    contributions,
    crossed_estimate,
    equivalent_df,
    holm,
    largest_non_inferior,
    mean_squares,
    p_of_loss,
    p_value,
    relative,
    seeds_to_settle,
    typical_inflation,
    verdict,
)

__all__ = [
    "MIN_SEEDS",
    "Estimate",
    "bounds",
    "carrying",
    "changes",
    "contributions",
    "crossed_estimate",
    "equivalent_df",
    "holm",
    "largest_non_inferior",
    "mean_squares",
    "p_of_loss",
    "p_value",
    "relative",
    "seeds_to_settle",
    "typical_inflation",
    "verdict",
]
NEEDED = ("seed", "query", "value")


def changes(rows: pd.DataFrame, factor: str, baseline: Hashable, margin: float) -> pd.DataFrame:
    """Return a row for each other level of a factor: its paired change to the baseline, with
    intervals, tests and a verdict.

    Higher values are better. Columns: the factor, mean, delta, delta_low and delta_high (95 %),
    delta_low_90 and delta_high_90, interval ("crossed", or "conditional": over the questions alone,
    with fewer than `MIN_SEEDS` common seeds), p, p_holm, p_loss, p_loss_holm, verdict, n_seeds and
    n_questions.

    Args:
        rows: a row for each level, seed and query with the columns seed, query, value and the
            factor, and where there are several languages or versions of a question, language and
            group.
        factor: the column whose levels are compared.
        baseline: the level that the others are compared with.
        margin: the loss that counts as none, in units of the value.

    Raises:
        ValueError: for a missing column, a value that is not finite, a row that is there twice,
            runs with other queries, and a baseline that is no level or has no seed in common with
            one.
    """
    y, df = _contributions(_checked(rows, factor), factor)
    levels = list(dict.fromkeys(y.index.get_level_values(factor)))
    if baseline not in levels:
        raise ValueError(f"baseline {baseline!r} is no level of {factor}: {levels}")
    pairs = {level: _paired(y, level, baseline) for level in levels if level != baseline}
    floor = typical_inflation([here - there for here, there in pairs.values()])
    effects = {}
    for level, (here, there) in pairs.items():
        effects[level] = crossed_estimate(here - there, df, floor)
    crossed = [effect.interval == "crossed" for effect in effects.values()]
    p, losses = [], []
    for effect, is_crossed in zip(effects.values(), crossed, strict=True):
        p.append(float(p_value(effect)) if is_crossed else np.nan)
        losses.append(float(p_of_loss(effect, margin)) if is_crossed else np.nan)
    table = []
    tested = zip(effects.items(), p, holm(p), losses, holm(losses), strict=True)
    for (level, effect), *tests in tested:
        row = {factor: level, "mean": y.xs(level).to_numpy().mean(), **_intervals(effect)}
        row |= dict(zip(("p", "p_holm", "p_loss", "p_loss_holm"), tests, strict=True))
        row["verdict"] = verdict(effect, margin, tests[1], tests[3])
        table.append(row | {"n_seeds": effect.n_seeds, "n_questions": effect.n_questions})
    return pd.DataFrame(table)


def _intervals(effect: Estimate) -> dict[str, Any]:
    """Return a change with its intervals, as columns."""
    low, high = bounds(effect, 0.95)
    low_90, high_90 = bounds(effect, 0.90)
    return {
        "delta": float(effect.mean),
        "delta_low": float(low),
        "delta_high": float(high),
        "delta_low_90": float(low_90),
        "delta_high_90": float(high_90),
        "interval": effect.interval,
    }


def _checked(rows: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Return the rows with language and group, sorted; raises ValueError as `changes` does."""
    lacking = [name for name in (*NEEDED, factor) if name not in rows.columns]
    if lacking:
        raise ValueError(f"no column {', '.join(lacking)}; there are {list(rows.columns)}")
    rows = rows.copy()
    if "group" not in rows.columns:
        rows["group"] = rows["query"]
    if "language" not in rows.columns:
        rows["language"] = ""
    if not np.isfinite(rows["value"].to_numpy(dtype=np.float64)).all():
        raise ValueError("column value holds a number that is not finite")
    key = [factor, "seed", "language", "query"]
    if rows.duplicated(key).any():
        raise ValueError(f"a row is there twice: {', '.join(key)}")
    return rows.sort_values(key, kind="stable", ignore_index=True)


def _contributions(rows: pd.DataFrame, factor: str) -> tuple[pd.DataFrame, float]:
    """Return what each question contributes to the mean of each run, runs (level, seed) by
    questions, and the questions' degrees of freedom.
    """
    asked = ["language", "query", "group"]
    wide = rows.pivot(index=[factor, "seed"], columns=asked, values="value")
    if wide.isna().to_numpy().any():
        raise ValueError("the runs have not the same queries, languages and groups")
    language, group = (wide.columns.get_level_values(name) for name in ("language", "group"))
    _, domain = np.unique(language.to_numpy(), return_inverse=True)
    _, question = np.unique(group.to_numpy(), return_inverse=True)
    y, df = contributions(wide.to_numpy(dtype=np.float64), domain, question)
    return pd.DataFrame(y, index=wide.index), df


def _paired(y: pd.DataFrame, level: Hashable, baseline: Hashable) -> tuple[Any, Any]:
    """Return the contributions (S, G) of a level and of the baseline at their common seeds."""
    here = y.xs(level)
    there = y.xs(baseline)
    common = here.index.intersection(there.index)
    if not len(common):
        raise ValueError(f"{level!r} has no seed in common with {baseline!r}")
    return here.loc[common].to_numpy(), there.loc[common].to_numpy()
