"""The statistics by themselves: means, intervals, tests and verdicts over seeds and questions.

Needs numpy, scipy and pandas alone. docs/statistics.md states the model, what it assumes, and its
measured error rates.
"""

import dataclasses
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from hybrid_sweep.report.clusters import effective_questions
from hybrid_sweep.report.looks import Looks, fractions_of
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
    "Looks",
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


@dataclasses.dataclass(frozen=True)
class _Contributions:
    """What each question, or each cluster, contributes to the mean of each run: y, runs (level,
    seed) by units; df: of the units; asked: where there are clusters, the effective number of
    questions; n_questions: of these.
    """

    y: pd.DataFrame
    df: float
    asked: float | None
    n_questions: int

    def clusters_in(self, effect: Estimate) -> dict[str, int]:
        """Return the number of clusters of an estimate, as a column; {} where there are none."""
        return {} if self.asked is None else {"n_clusters": effect.n_questions}


def changes(
    rows: pd.DataFrame,
    factor: str,
    baseline: Hashable,
    margin: float,
    clusters: Mapping[Hashable, Hashable] | None = None,
    looks: Looks | None = None,
) -> pd.DataFrame:
    """Return a row for each other level of a factor: its paired change to the baseline, with
    intervals, tests and a verdict.

    Higher values are better. Columns: the factor, mean, delta, delta_low and delta_high (95 %),
    delta_low_90 and delta_high_90, interval ("crossed", or "conditional": over the questions alone,
    with fewer than `MIN_SEEDS` common seeds), p, p_holm, p_loss, p_loss_holm, verdict, n_seeds,
    n_questions, and where questions are in clusters n_clusters: intervals and tests are then over
    seeds and clusters.

    Args:
        rows: a row for each level, seed and query with the columns seed, query, value and the
            factor, and where there are several languages or versions of a question, language and
            group; a column cluster holds the questions of a paragraph, say, together.
        factor: the column whose levels are compared.
        baseline: the level that the others are compared with.
        margin: the loss that counts as none, in units of the value.
        clusters: the cluster of each question (group, or query where there is none), in place of a
            column cluster.
        looks: the planned number of seeds, and the smaller numbers at which the results were tested
            before: p and intervals hold over all looks. None: they are those of a single one.

    Raises:
        ValueError: for a missing column, a value that is not finite, a row that is there twice,
            runs with other queries, a question without a cluster or in two, and a baseline that is
            no level or has no seed in common with one.
    """
    made = _contributions(_checked(rows, factor, clusters), factor)
    y = made.y
    levels = list(dict.fromkeys(y.index.get_level_values(factor)))
    if baseline not in levels:
        raise ValueError(f"baseline {baseline!r} is no level of {factor}: {levels}")
    pairs = {level: _paired(y, level, baseline) for level in levels if level != baseline}
    floor = typical_inflation([here - there for here, there in pairs.values()])
    effects = {}
    for level, (here, there) in pairs.items():
        estimated = crossed_estimate(here - there, made.df, floor)
        fractions = fractions_of(looks, estimated.n_seeds)
        effects[level] = dataclasses.replace(estimated, asked=made.asked, fractions=fractions)
    p, losses = _tests(effects.values(), margin)
    table = []
    tested = zip(effects.items(), p, holm(p), losses, holm(losses), strict=True)
    for (level, effect), *tests in tested:
        row = {factor: level, "mean": y.xs(level).to_numpy().mean(), **_intervals(effect)}
        row |= dict(zip(("p", "p_holm", "p_loss", "p_loss_holm"), tests, strict=True))
        row["verdict"] = verdict(effect, margin, tests[1], tests[3])
        row |= {"n_seeds": effect.n_seeds, "n_questions": made.n_questions}
        table.append(row | made.clusters_in(effect))
    return pd.DataFrame(table)


def _tests(effects: Iterable[Estimate], margin: float) -> tuple[list[float], list[float]]:
    """Return the p of no change and that of no loss beyond the margin; NaN where nothing is
    tested.
    """
    p, losses = [], []
    for effect in effects:
        is_crossed = effect.interval == "crossed"
        p.append(float(p_value(effect)) if is_crossed else np.nan)
        losses.append(float(p_of_loss(effect, margin)) if is_crossed else np.nan)
    return p, losses


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


def _checked(
    rows: pd.DataFrame, factor: str, clusters: Mapping[Hashable, Hashable] | None
) -> pd.DataFrame:
    """Return the rows with language, group and cluster ("" where there are none), sorted; raises
    ValueError as `changes` does.
    """
    lacking = [name for name in (*NEEDED, factor) if name not in rows.columns]
    if lacking:
        raise ValueError(f"no column {', '.join(lacking)}; there are {list(rows.columns)}")
    rows = rows.copy()
    if "group" not in rows.columns:
        rows["group"] = rows["query"]
    if "language" not in rows.columns:
        rows["language"] = ""
    if clusters is not None:
        rows["cluster"] = rows["group"].map(clusters)
    if "cluster" not in rows.columns:
        rows["cluster"] = ""
    if rows["cluster"].isna().any():
        raise ValueError(f"question {rows['group'][rows['cluster'].isna()].iloc[0]} has no cluster")
    if (rows.groupby("group")["cluster"].nunique() > 1).any():
        raise ValueError("column cluster puts a question into two clusters")
    if not np.isfinite(rows["value"].to_numpy(dtype=np.float64)).all():
        raise ValueError("column value holds a number that is not finite")
    key = [factor, "seed", "language", "query"]
    if rows.duplicated(key).any():
        raise ValueError(f"a row is there twice: {', '.join(key)}")
    return rows.sort_values(key, kind="stable", ignore_index=True)


def _contributions(rows: pd.DataFrame, factor: str) -> _Contributions:
    """Return what each question, or cluster of them, contributes to the mean of each run."""
    asked = ["language", "query", "group", "cluster"]
    wide = rows.pivot(index=[factor, "seed"], columns=asked, values="value")
    if wide.isna().to_numpy().any():
        raise ValueError("the runs have not the same queries, languages and groups")
    codes = {}
    for name in ("language", "group", "cluster"):
        column = wide.columns.get_level_values(name).to_numpy()
        codes[name] = np.unique(column, return_inverse=True)[1]
    domain, group = codes["language"], codes["group"]
    cluster, effective = None, None
    if "" not in set(rows["cluster"]):
        cluster, effective = codes["cluster"], effective_questions(domain, group)
    y, df = contributions(wide.to_numpy(dtype=np.float64), domain, group, cluster)
    n_questions = int(group.max()) + 1
    return _Contributions(pd.DataFrame(y, index=wide.index), df, effective, n_questions)


def _paired(y: pd.DataFrame, level: Hashable, baseline: Hashable) -> tuple[Any, Any]:
    """Return the contributions (S, G) of a level and of the baseline at their common seeds."""
    here = y.xs(level)
    there = y.xs(baseline)
    common = here.index.intersection(there.index)
    if not len(common):
        raise ValueError(f"{level!r} has no seed in common with {baseline!r}")
    return here.loc[common].to_numpy(), there.loc[common].to_numpy()
