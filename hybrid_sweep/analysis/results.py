"""The table of results: every mean, interval, effect and verdict of a sweep, from its per-query rows alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybrid_sweep.analysis import statistics as st
from hybrid_sweep.analysis.table import Point, Sweep

# What the results hold. RD, the rank distance, is rank_max - rank_min of a question's relevant passages in the mixed pool.
MEASURES = [
    ("monolingual", "RR@10"),
    ("cross-lingual", "RR@10"),
    ("multilingual", "AP"),
    ("multilingual", "RR@10"),
    ("multilingual", "same@10"),
    ("multilingual", "RD"),
]
MACRO = "macro"
# The columns of results.csv and results.parquet. Intervals are two-sided, over seeds and questions where "crossed", over
# questions alone where "conditional". Effects (delta and after) compare with ratio 0, same seeds, same questions.
COLUMNS = {
    "kind": "trained, untrained (the encoder before its first step) or bm25 (words alone)",
    "ratio": "cross-lingual share of the training steps; empty for untrained and bm25",
    "setting": "monolingual, cross-lingual or multilingual; empty in the row of a missing point",
    "measure": "RR@10, AP, same@10 (share of the top 10 in the query's language) or RD (rank distance, in ranks)",
    "scope": "a query language, an ordered pair query>passage, or macro: the plain mean over these",
    "status": "complete; partial: a point of this ratio is missing; missing: the row stands for one missing point",
    "seeds": "the seeds in the mean, separated by blanks",
    "n_seeds": "number of these seeds",
    "n_questions": "number of questions (groups): all language versions of one count once",
    "n_rows": "number of rows of the per-query table of each run in the mean",
    "mean": "mean of the measure over domain means and seeds",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "interval": "crossed or conditional: what the interval of the mean covers",
    "delta": "mean paired difference to ratio 0",
    "delta_low": "lower end of its 95 % interval",
    "delta_high": "upper end of its 95 % interval",
    "delta_low_90": "lower end of its 90 % interval, the one that the verdict reads",
    "delta_high_90": "upper end of its 90 % interval",
    "delta_seeds": "number of seeds that both ratios have",
    "delta_interval": "crossed or conditional: what the intervals of the difference cover",
    "relative": "delta as a share of the mean at ratio 0 (same seeds)",
    "relative_low": "lower end of its 95 % interval",
    "relative_high": "upper end of its 95 % interval",
    "p": "two-sided p of no difference; only with a crossed interval",
    "p_holm": "p adjusted for the number of ratios compared (Holm)",
    "verdict": "monolingual rows: baseline, superior, non-inferior, inconclusive, degraded or untested",
    "seeds_to_settle": "where inconclusive: seeds for an 80 % chance of a verdict; inf: more questions are needed",
    "run_ids": "the runs in the mean, separated by blanks, in the order of the seeds",
}


TEXT = ["kind", "setting", "measure", "scope", "status", "seeds", "interval", "delta_interval", "verdict", "run_ids"]
COUNTS = ["n_seeds", "n_questions", "n_rows", "delta_seeds"]


def line(point: Point) -> tuple[str, float]:
    """The line of the table that a point belongs to: the baselines have no ratio (-1)."""
    return point.kind, point.ratio if point.kind == "trained" else -1.0


@dataclass(frozen=True)
class Block:
    """One measure in one setting: values (points, rows), the domain and question of each row, the domains' names."""

    values: st.Array
    domain: NDArray[np.intp]
    group: NDArray[np.intp]
    names: tuple[str, ...]


def block(sweep: Sweep, setting: str, measure: str) -> Block | None:
    """The rows of one measure in one setting, points in the order of `sweep.finished`; None where there are none.

    A row in which any point has no value is left out at all: passages that an approximate index did not find have no rank.
    """
    chosen = sweep.frame[sweep.frame["setting"] == setting]
    values = chosen[measure].to_numpy(dtype=np.float64, copy=True).reshape(len(sweep.finished), -1)
    known = np.isfinite(values).all(axis=0)
    if not known.any():
        return None
    rows, values = chosen.iloc[: values.shape[1]][known], values[:, known]
    label = rows["query_lang"].astype(str)
    if setting == "cross-lingual":
        label = label + ">" + rows["passage_lang"].astype(str)
    names, domain = np.unique(label.to_numpy(dtype=str), return_inverse=True)
    _, group = np.unique(rows["group_id"].to_numpy(dtype=str), return_inverse=True)
    return Block(values, domain, group, tuple(str(name) for name in names))


def _select(whole: Block, scope: str) -> Block:
    if scope == MACRO:
        return whole
    chosen = np.flatnonzero(whole.domain == whole.names.index(scope))
    _, group = np.unique(whole.group[chosen], return_inverse=True)
    return Block(whole.values[:, chosen], np.zeros(len(chosen), dtype=np.intp), group, (scope,))


def _level(y: st.Array, df: float) -> dict[str, Any]:
    found = st.estimate(y, df)
    low, high = st.bounds(found, 0.95)
    return {"mean": found.mean, "low": low, "high": high, "interval": found.interval}


def _effect(y: st.Array, base: st.Array, df: float) -> tuple[st.Estimate, dict[str, Any]]:
    found, share = st.estimate(y - base, df), st.relative(y, base, df)
    low, high = st.bounds(found, 0.95)
    low_90, high_90 = st.bounds(found, 0.90)
    relative_low, relative_high = st.bounds(share, 0.95)
    return found, {
        "delta": found.mean,
        "delta_low": low,
        "delta_high": high,
        "delta_low_90": low_90,
        "delta_high_90": high_90,
        "delta_seeds": len(y),
        "delta_interval": found.interval,
        "relative": share.mean,
        "relative_low": relative_low,
        "relative_high": relative_high,
        "p": st.p_value(found) if found.interval == "crossed" else np.nan,
    }


def _rows(sweep: Sweep, setting: str, measure: str, scope: str, part: Block) -> list[dict[str, Any]]:
    """One row per ratio and one for each baseline: its level, its paired effect, its verdict."""
    y, df = st.contributions(part.values, part.domain, part.group)
    runs: dict[tuple[str, float], dict[int, int]] = {}  # line of the table -> seed -> position of the run
    for index, point in enumerate(sweep.finished):
        runs.setdefault(line(point), {})[point.seed] = index
    holes = {line(point) for point in sweep.points if point.run_id in sweep.missing}
    base = runs.get(("trained", 0.0), {})
    rows: list[dict[str, Any]] = []
    effects: list[st.Estimate | None] = []
    for (kind, ratio), seeds in runs.items():
        row: dict[str, Any] = {
            "kind": kind,
            "ratio": ratio if kind == "trained" else np.nan,
            "setting": setting,
            "measure": measure,
            "scope": scope,
            "status": "partial" if (kind, ratio) in holes else "complete",
            "seeds": " ".join(map(str, seeds)),
            "n_seeds": len(seeds),
            "n_questions": y.shape[1],
            "n_rows": part.values.shape[1],
            "run_ids": " ".join(sweep.finished[index].run_id for index in seeds.values()),
        }
        row |= _level(y[list(seeds.values())], df)
        common = [seed for seed in seeds if seed in base]
        effect = None
        if kind == "trained" and ratio > 0 and common:
            effect, found = _effect(y[[seeds[seed] for seed in common]], y[[base[seed] for seed in common]], df)
            row |= found
        effects.append(effect)
        rows.append(row)
    adjusted = st.holm([float(row.get("p", np.nan)) for row in rows])
    for row, effect, p_holm in zip(rows, effects, adjusted, strict=True):
        row["p_holm"] = p_holm
        if setting == "monolingual" and row["kind"] == "trained":
            row["verdict"] = "baseline" if row["ratio"] == 0 else "untested"
            if effect is not None:
                row["verdict"] = st.verdict(effect, sweep.margin, p_holm)
                if row["verdict"] == "inconclusive":
                    row["seeds_to_settle"] = st.seeds_to_settle(effect, sweep.margin)
    return rows


def _clean(value: float) -> float:
    """Nine significant digits: the last bits differ between machines."""
    return float(f"{value:.9g}") + 0.0  # no negative zero


def aggregate(sweep: Sweep) -> pd.DataFrame:
    """The results: a row per (kind, ratio, setting, measure, scope) and one per missing point; columns as in `COLUMNS`.

    Rows are ordered by `MEASURES`, scope (macro first), kind and ratio; missing points come last. Numbers are rounded to
    nine significant digits. The same tables give the same frame, whatever the order of their rows.
    """
    rows: list[dict[str, Any]] = []
    for setting, measure in MEASURES:
        whole = block(sweep, setting, measure)
        if whole is None:  # e.g. no cross-lingual setting where there is one language
            continue
        for scope in (MACRO, *whole.names):
            rows += _rows(sweep, setting, measure, scope, _select(whole, scope))
    for point in sweep.points:
        if point.run_id in sweep.missing:
            row = {"kind": point.kind, "ratio": point.ratio if point.kind == "trained" else np.nan, "status": "missing"}
            rows.append(
                row | {"seeds": str(point.seed), "n_seeds": 0, "n_questions": 0, "n_rows": 0, "run_ids": point.run_id}
            )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["delta_seeds"] = frame["delta_seeds"].fillna(0)
    for name in frame.columns:
        if name in TEXT:
            frame[name] = frame[name].astype(object).fillna("").astype(str)
        elif name in COUNTS:
            frame[name] = frame[name].astype(np.int64)
        else:
            frame[name] = [_clean(float(value)) for value in frame[name]]
    return frame


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def pick(results: pd.DataFrame, setting: str, measure: str, scope: str = MACRO, kind: str = "trained") -> pd.DataFrame:
    """The rows of one curve, by ratio."""
    found = results[
        (results["setting"] == setting)
        & (results["measure"] == measure)
        & (results["scope"] == scope)
        & (results["kind"] == kind)
    ]
    return found.sort_values("ratio", kind="stable").reset_index(drop=True)
