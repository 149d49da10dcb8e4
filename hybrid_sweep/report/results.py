"""The table of results: every mean, interval, effect and verdict of a sweep, from its per-query
rows alone.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.blocks import (
    ENGLISH,
    MACRO,
    MEANS,
    TRAINED,
    UNSEEN,
    Block,
    block,
    scopes,
    select,
)
from hybrid_sweep.report.columns import frame_of, meanings, records
from hybrid_sweep.report.load import Sweep, SweepPoint
from hybrid_sweep.report.looks import Looks, fractions_of
from hybrid_sweep.report.measures import DEFAULT, MONOLINGUAL, Measures, measures_on
from hybrid_sweep.report.query_values import LOG_RANK
from hybrid_sweep.report.rows import ResultRow
from hybrid_sweep.report.scales import PLAIN, Scale, scale_of
from hybrid_sweep.report.scope_parts import ScopePart, one_of, parts
from hybrid_sweep.report.selection import having

__all__ = [
    "COLUMNS",
    "ENGLISH",
    "MACRO",
    "MEANS",
    "MONO",
    "TRAINED",
    "UNSEEN",
    "Block",
    "aggregate",
    "block",
    "languages",
    "line",
    "measures_of",
    "pick",
    "picked",
    "rows_of",
    "scopes",
    "select",
]

MONO = MONOLINGUAL.place  # the setting and measure of the verdicts unless another is asked for
COLUMNS = meanings(ResultRow)
TIE = 1e-12  # a difference of means of reciprocal ranks is 0 or far above this


def line(point: SweepPoint) -> tuple[str, float]:
    """Return the line of the table that a point belongs to: the baselines have no ratio (-1)."""
    return point.kind, point.ratio if point.kind == "trained" else -1.0


def _level(y: st.Array, df: float, floor: Any) -> dict[str, Any]:
    level = st.crossed_estimate(y, df, floor)
    low, high = st.bounds(level, 0.95)
    return {"mean": level.mean, "low": low, "high": high, "interval": level.interval}


def _effect(
    pair: tuple[st.Array, st.Array], part: ScopePart, floor: Any, looks: Looks | None
) -> tuple[st.Estimate, dict[str, Any]]:
    """Return the estimate of a ratio's change to ratio 0 in each scope, and its columns.

    Args:
        pair: the contributions (scopes, seeds, questions) of the ratio, and of ratio 0.
        part: the scopes.
        floor: as in `statistics.crossed_estimate`.
        looks: at the sweep.
    """
    y, base = pair
    df = part.df
    fractions = fractions_of(looks, y.shape[-2])
    effect = st.crossed_estimate(y - base, df, floor)
    effect = dataclasses.replace(effect, fractions=fractions, asked=part.asked)
    low, high = st.bounds(effect, 0.95)
    low_90, high_90 = st.bounds(effect, 0.90)
    return effect, {
        "delta": effect.mean,
        "delta_low": low,
        "delta_high": high,
        "delta_low_90": low_90,
        "delta_high_90": high_90,
        "half_width": (high_90 - low_90) / 2,
        "df": st.equivalent_df(effect),
        "carrying": st.carrying(y - base),
        "delta_seeds": y.shape[-2],
        "delta_interval": effect.interval,
        "p": st.p_value(effect) if effect.interval == "crossed" else np.nan,
    }


def _share(
    pair: tuple[st.Array, st.Array], df: float, floor: Any, looks: Looks | None
) -> dict[str, Any]:
    """Return the columns of a ratio's change as a share of the level at ratio 0; see `_effect`."""
    fractions = fractions_of(looks, pair[0].shape[-2])
    share = dataclasses.replace(st.relative(*pair, df, floor), fractions=fractions)
    low, high = st.bounds(share, 0.95)
    return {"relative": share.mean, "relative_low": low, "relative_high": high}


def _won(part: ScopePart, runs: list[int], base: list[int]) -> dict[str, Any]:
    """Return the questions by the sign of their mean paired difference, whatever their number of
    rows.
    """
    mean = (part.means[:, runs] - part.means[:, base]).mean(axis=1)
    won, lost = (mean > TIE).sum(axis=1), (mean < -TIE).sum(axis=1)
    return {"won": won, "tied": mean.shape[1] - won - lost, "lost": lost}


def _examples(sweep: Sweep, runs: Iterable[int]) -> dict[str, Any]:
    """Return what a run of a line saw in training, from metrics.json; NaN where any of its runs
    does not say.
    """
    metrics = [sweep.metrics[sweep.finished[index].run_id] for index in runs]
    return {
        "examples_monolingual": _mean_count(metrics, "examples_monolingual"),
        "examples_cross_lingual": _mean_count(metrics, "examples_cross_lingual"),
    }


def _mean_count(metrics: list[dict[str, Any]], key: str) -> float:
    counts = [record.get(key) for record in metrics]
    return float(np.mean([np.nan if count is None else float(count) for count in counts]))


def _floors(
    y: st.Array,
    runs: dict[tuple[str, float], dict[int, int]],
    base: dict[int, int],
    scale: Scale,
) -> tuple[Any, Any]:
    """Return, of each scope, the typical A / E of the trained ratios' levels, and of their changes
    to ratio 0.

    Args:
        y: contributions of all runs (scopes, runs, questions).
        runs: by line of the table and seed, the position of the run.
        base: those of ratio 0, by seed.
        scale: on which the levels and changes are.
    """
    levels, changes = [], []
    for (kind, ratio), seeds in runs.items():
        if kind != "trained":
            continue
        levels.append(scale.of(y[:, list(seeds.values())]))
        common = [seed for seed in seeds if seed in base]
        if ratio > 0 and common:
            here, there = [seeds[seed] for seed in common], [base[seed] for seed in common]
            changes.append(scale.of(y[:, here]) - scale.of(y[:, there]))
    return st.typical_inflation(levels), st.typical_inflation(changes)


@dataclass(frozen=True)
class _Row:
    """A row of the results and the estimate of its change to ratio 0, None where there is none."""

    row: ResultRow
    effect: st.Estimate | None


def _rows(sweep: Sweep, setting: str, measure: str, part: ScopePart) -> dict[str, list[_Row]]:
    """Return, by scope, one row per ratio and one for each baseline: its level and its paired
    effect.
    """
    # line of the table -> seed -> position of the run
    runs: dict[tuple[str, float], dict[int, int]] = {}
    for index, point in enumerate(sweep.finished):
        runs.setdefault(line(point), {})[point.seed] = index
    holes = {line(point) for point in sweep.points if point.run_id in sweep.missing}
    base = runs.get(("trained", 0.0), {})
    scale, _ = scale_of(measure)
    floors = _floors(part.y, runs, base, scale)
    rows: dict[str, list[_Row]] = {scope: [] for scope in part.scopes}
    for (kind, ratio), seeds in runs.items():
        columns: dict[str, Any] = {
            "kind": kind,
            "ratio": ratio if kind == "trained" else np.nan,
            "setting": setting,
            "measure": measure,
            "scope": part.scopes,
            "status": "partial" if (kind, ratio) in holes else "complete",
            "seeds": " ".join(map(str, seeds)),
            "n_seeds": len(seeds),
            "n_questions": part.n_questions,
            "n_clusters": part.n_clusters,
            "n_rows": part.n_rows,
            "run_ids": " ".join(sweep.finished[index].run_id for index in seeds.values()),
        }
        columns |= _level(scale.of(part.y[:, list(seeds.values())]), part.df, floors[0])
        columns |= _examples(sweep, seeds.values())
        common = [seed for seed in seeds if seed in base]
        effect = None
        if kind == "trained" and ratio > 0 and common:
            here, there = [seeds[seed] for seed in common], [base[seed] for seed in common]
            pair = scale.of(part.y[:, here]), scale.of(part.y[:, there])
            effect, more = _effect(pair, part, floors[1], sweep.looks)
            columns |= more | _won(part, here, there)
            if scale is PLAIN:  # a share of a logarithm says nothing
                columns |= _share(pair, part.df, floors[1], sweep.looks)
        for place, scope in enumerate(part.scopes):
            judged = effect if _has_verdict(setting, measure) else None
            rows[scope].append(_Row({}, one_of(judged, place) if judged else None))
        _spread(columns, [rows[scope][-1].row for scope in part.scopes])
    return rows


def _spread(columns: dict[str, Any], rows: Sequence[ResultRow]) -> None:
    """Set columns in rows: an array or a tuple has a value for each row, anything else is the value
    of all.
    """
    for name, value in columns.items():
        several = isinstance(value, tuple | np.ndarray) and np.ndim(value) > 0
        values = list(np.asarray(value).tolist()) if several else [value] * len(rows)
        for row, cell in zip(rows, values, strict=True):
            row[name] = cell  # type: ignore[literal-required]


def _has_verdict(setting: str, measure: str) -> bool:
    """Return whether changes are measured in what the margin is: monolingual measures on their own
    scale.
    """
    is_plain = scale_of(measure)[0] is PLAIN and measure != LOG_RANK
    return setting == MONO[0] and is_plain


def _judge(family: list[_Row], margin: float) -> None:
    """Add the p-values adjusted over a family, and the verdicts of its monolingual rows."""
    adjusted = st.holm([float(one.row.get("p", np.nan)) for one in family])
    losses = [np.nan] * len(family)
    for place, one in enumerate(family):
        one.row["p_holm"] = adjusted[place]
        is_tested = one.effect is not None and one.effect.interval == "crossed"
        if one.effect is not None and is_tested:
            losses[place] = float(st.p_of_loss(one.effect, margin))
    for one, p_loss, p_loss_holm in zip(family, losses, st.holm(losses), strict=True):
        row = one.row
        if not _has_verdict(row["setting"], row["measure"]) or row["kind"] != "trained":
            continue
        row |= {"p_loss": p_loss, "p_loss_holm": p_loss_holm}
        row["verdict"] = "baseline" if row["ratio"] == 0 else "untested"
        if one.effect is None:
            continue
        row["verdict"] = st.verdict(one.effect, margin, row["p_holm"], p_loss_holm)
        if row["verdict"] == "inconclusive":
            few, many = st.seeds_to_settle(one.effect, margin)
            row |= {"seeds_to_settle_low": few, "seeds_to_settle_high": many}


def rows_of(
    sweep: Sweep, setting: str, measure: str, *, only_means: bool = False
) -> list[ResultRow]:
    """Return the rows of one measure in one setting; [] where there are none.

    Args:
        sweep: whose rows are read.
        setting: monolingual, cross-lingual or multilingual.
        measure: of retrieval, or one on another scale (`scales`).
        only_means: whether single languages and pairs are left out.
    """
    _, values = scale_of(measure)
    whole = block(sweep, setting, values)
    if whole is None:  # e.g. no cross-lingual setting where there is one language
        return []
    named = scopes(sweep, whole)
    if only_means:
        named = {scope: names for scope, names in named.items() if scope in MEANS}
    by_scope: dict[str, list[_Row]] = {}
    for part in parts(whole, named):
        by_scope |= _rows(sweep, setting, measure, part)
    single: list[_Row] = []  # languages or pairs: one family, with all their ratios
    rows: list[_Row] = []
    for scope in named:
        rows += by_scope[scope]
        if scope in MEANS:
            _judge(by_scope[scope], sweep.margin)
        else:
            single += by_scope[scope]
    _judge(single, sweep.margin)
    return [one.row for one in rows]


def aggregate(sweep: Sweep) -> pd.DataFrame:
    """Return the results: a row per (kind, ratio, setting, measure, scope) and one per missing
    point; columns as in `COLUMNS`.

    p-values are adjusted (Holm) over the ratios for each mean, and for languages or pairs over all
    of them and the ratios. Rows are ordered by measure, scope (the means first), kind and ratio;
    missing points come last. Numbers are rounded to nine significant digits. The same tables give
    the same frame, whatever the order of their rows.
    """
    rows: list[ResultRow] = []
    for setting, measure in (one.place for one in sweep.measures.all):
        rows += rows_of(sweep, setting, measure)
    for point in sweep.points:
        if point.run_id in sweep.missing:
            rows.append(
                {
                    "kind": point.kind,
                    "ratio": point.ratio if point.kind == "trained" else np.nan,
                    "status": "missing",
                    "seeds": str(point.seed),
                    "n_seeds": 0,
                    "n_questions": 0,
                    "n_rows": 0,
                    "run_ids": point.run_id,
                }
            )
    return frame_of(rows, ResultRow)


def measures_of(results: pd.DataFrame) -> Measures:
    """Return the measures of a report from its results, whose first rows are on its measure."""
    first = results.head(1)
    for setting, measure in zip(first["setting"], first["measure"], strict=True):
        if setting in ("monolingual", "cross-lingual"):
            return measures_on(measure)
    return measures_on(DEFAULT)


def pick(
    results: pd.DataFrame, setting: str, measure: str, scope: str = MACRO, kind: str = "trained"
) -> pd.DataFrame:
    """Return the rows of one curve, by ratio."""
    curve = having(results, setting, measure, scope, kind)
    return curve.sort_values("ratio", kind="stable").reset_index(drop=True)


def picked(
    results: pd.DataFrame, setting: str, measure: str, scope: str = MACRO, kind: str = "trained"
) -> list[ResultRow]:
    """Return the rows of one curve, by ratio."""
    return records(pick(results, setting, measure, scope, kind), ResultRow)


def languages(results: pd.DataFrame) -> list[str]:
    """Return the languages with monolingual questions, sorted; the scopes that are means over
    several are none.
    """
    return sorted(set(results[results["setting"] == "monolingual"]["scope"]) - set(MEANS))
