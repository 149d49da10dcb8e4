"""The table of results: every mean, interval, effect and verdict of a sweep, from its per-query
rows alone.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.load import Point, Sweep

# What the results hold. RD, the rank distance, is rank_max - rank_min of a question's relevant
# passages in the mixed pool.
MEASURES = [
    ("monolingual", "RR@10"),
    ("cross-lingual", "RR@10"),
    ("multilingual", "AP"),
    ("multilingual", "RR@10"),
    ("multilingual", "same@10"),
    ("multilingual", "RD"),
]
MONO = ("monolingual", "RR@10")  # the setting and measure of the verdicts
MACRO = "macro"
# Means over a part of the languages, on a collection with languages that no point was trained on.
TRAINED, UNSEEN = "trained", "unseen"
MEANS = (MACRO, TRAINED, UNSEEN)
# The columns of results.csv and results.parquet. Intervals are two-sided, over seeds and questions
# where "crossed", over questions alone where "conditional". Effects (delta and after) compare with
# ratio 0, same seeds, same questions.
COLUMNS = {
    "kind": "trained, untrained (the encoder before its first step) or bm25 (words alone)",
    "ratio": "cross-lingual share of the training steps; empty for untrained and bm25",
    "setting": "monolingual, cross-lingual or multilingual; empty in the row of a missing point",
    "measure": (
        "RR@10, AP, same@10 (share of the top 10 in the query's language) or RD (rank distance, in"
        " ranks)"
    ),
    "scope": (
        "a query language, an ordered pair query>passage, or macro: the plain mean over these;"
        " where some language was not trained on also trained and unseen: the mean over the"
        " languages, or pairs, trained on alone, and over the rest"
    ),
    "status": (
        "complete; partial: a point of this ratio is missing; missing: the row stands for one"
        " missing point"
    ),
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
    "half_width": (
        "half of the width of its 90 % interval: what a verdict at this margin can tell apart"
    ),
    "delta_seeds": "number of seeds that both ratios have",
    "delta_interval": "crossed or conditional: what the intervals of the difference cover",
    "relative": "delta as a share of the mean at ratio 0 (same seeds)",
    "relative_low": "lower end of its 95 % interval",
    "relative_high": "upper end of its 95 % interval",
    "won": (
        "questions whose mean difference to ratio 0, over the common seeds and the question's rows,"
        " is above 0"
    ),
    "tied": "questions whose mean difference is 0",
    "lost": "questions whose mean difference is below 0",
    "p": "two-sided p of no difference; only with a crossed interval",
    "p_holm": "p adjusted for the number of ratios compared (Holm)",
    "verdict": (
        "monolingual rows: baseline, superior, non-inferior, inconclusive, degraded or untested"
    ),
    "seeds_to_settle": (
        "where inconclusive: seeds for an 80 % chance of a verdict; inf: more questions are needed"
    ),
    "examples_monolingual": (
        "mean number of monolingual training examples of a run; empty where not recorded"
    ),
    "examples_cross_lingual": (
        "mean number of cross-lingual training examples of a run; empty where not recorded"
    ),
    "run_ids": "the runs in the mean, separated by blanks, in the order of the seeds",
}


TEXT = [
    "kind",
    "setting",
    "measure",
    "scope",
    "status",
    "seeds",
    "interval",
    "delta_interval",
    "verdict",
    "run_ids",
]
COUNTS = ["n_seeds", "n_questions", "n_rows", "delta_seeds", "won", "tied", "lost"]
EXAMPLES = ["examples_monolingual", "examples_cross_lingual"]
TIE = 1e-12  # a difference of means of reciprocal ranks is 0 or far above this


def line(point: Point) -> tuple[str, float]:
    """Return the line of the table that a point belongs to: the baselines have no ratio (-1)."""
    return point.kind, point.ratio if point.kind == "trained" else -1.0


@dataclass(frozen=True)
class Block:
    """One measure in one setting: values (points, rows), the domain and question of each row, and
    what the codes mean.

    `names` are the domains (languages or ordered pairs), `questions` the group ids, both sorted.
    """

    values: st.Array
    domain: NDArray[np.intp]
    group: NDArray[np.intp]
    names: tuple[str, ...]
    questions: NDArray[np.str_]


def block(sweep: Sweep, setting: str, measure: str) -> Block | None:
    """Return the rows of one measure in one setting, points in the order of `sweep.finished`; None
    where there are none.

    A row in which any point has no value is left out at all: passages that an approximate index did
    not find have no rank.
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
    questions, group = np.unique(rows["group_id"].to_numpy(dtype=str), return_inverse=True)
    return Block(values, domain, group, tuple(str(name) for name in names), questions)


def scopes(sweep: Sweep, whole: Block) -> dict[str, tuple[str, ...]]:
    """Return the scopes of a block in the order of the results, each with the domains that its mean
    is over.

    `TRAINED` has the languages, or pairs of two languages, that were trained on, `UNSEEN` the
    others. Neither is there where every domain is trained on or the languages trained on are not
    recorded.
    """
    seen = {name for name in whole.names if set(name.split(">")) <= set(sweep.trained_languages)}
    parts = {
        TRAINED: [n for n in whole.names if n in seen],
        UNSEEN: [n for n in whole.names if n not in seen],
    }
    split = {scope: tuple(found) for scope, found in parts.items() if found}
    if not sweep.trained_languages or UNSEEN not in split:
        split = {}
    return {MACRO: whole.names} | split | {name: (name,) for name in whole.names}


def select(whole: Block, names: tuple[str, ...]) -> Block:
    """Return the rows of some of the domains, coded anew."""
    if names == whole.names:
        return whole
    chosen = np.flatnonzero(np.isin(whole.domain, [whole.names.index(name) for name in names]))
    kept, group = np.unique(whole.group[chosen], return_inverse=True)
    _, domain = np.unique(whole.domain[chosen], return_inverse=True)
    return Block(whole.values[:, chosen], domain, group, names, whole.questions[kept])


def _level(y: st.Array, df: float) -> dict[str, Any]:
    found = st.crossed_estimate(y, df)
    low, high = st.bounds(found, 0.95)
    return {"mean": found.mean, "low": low, "high": high, "interval": found.interval}


def _effect(y: st.Array, base: st.Array, df: float) -> tuple[st.Estimate, dict[str, Any]]:
    found, share = st.crossed_estimate(y - base, df), st.relative(y, base, df)
    low, high = st.bounds(found, 0.95)
    low_90, high_90 = st.bounds(found, 0.90)
    relative_low, relative_high = st.bounds(share, 0.95)
    return found, {
        "delta": found.mean,
        "delta_low": low,
        "delta_high": high,
        "delta_low_90": low_90,
        "delta_high_90": high_90,
        "half_width": (high_90 - low_90) / 2,
        "delta_seeds": len(y),
        "delta_interval": found.interval,
        "relative": share.mean,
        "relative_low": relative_low,
        "relative_high": relative_high,
        "p": st.p_value(found) if found.interval == "crossed" else np.nan,
    }


def _won(part: Block, runs: list[int], base: list[int]) -> dict[str, int]:
    """Return the questions by the sign of their mean paired difference, whatever their number of
    rows.
    """
    difference = (part.values[runs] - part.values[base]).mean(axis=0)
    mean = np.bincount(part.group, weights=difference) / np.bincount(part.group)
    won, lost = int((mean > TIE).sum()), int((mean < -TIE).sum())
    return {"won": won, "tied": len(mean) - won - lost, "lost": lost}


def _examples(sweep: Sweep, runs: Iterable[int]) -> dict[str, float]:
    """Return what a run of a line saw in training, from metrics.json; NaN where any of its runs
    does not say.
    """
    metrics = [sweep.metrics[sweep.finished[index].run_id] for index in runs]
    found = {key: [record.get(key) for record in metrics] for key in EXAMPLES}
    return {
        key: float(np.mean([np.nan if n is None else float(n) for n in ns]))
        for key, ns in found.items()
    }


def _rows(
    sweep: Sweep, setting: str, measure: str, scope: str, part: Block
) -> list[dict[str, Any]]:
    """Return one row per ratio and one for each baseline: its level, its paired effect, its
    verdict.
    """
    y, df = st.contributions(part.values, part.domain, part.group)
    # line of the table -> seed -> position of the run
    runs: dict[tuple[str, float], dict[int, int]] = {}
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
        row |= _level(y[list(seeds.values())], df) | _examples(sweep, seeds.values())
        common = [seed for seed in seeds if seed in base]
        effect = None
        if kind == "trained" and ratio > 0 and common:
            here, there = [seeds[seed] for seed in common], [base[seed] for seed in common]
            effect, found = _effect(y[here], y[there], df)
            row |= found | _won(part, here, there)
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


def clean(value: float) -> float:
    """Return nine significant digits: the last bits differ between machines."""
    return float(f"{value:.9g}") + 0.0  # no negative zero


def aggregate(sweep: Sweep) -> pd.DataFrame:
    """Return the results: a row per (kind, ratio, setting, measure, scope) and one per missing
    point; columns as in `COLUMNS`.

    Rows are ordered by `MEASURES`, scope (the means first), kind and ratio; missing points come
    last. Numbers are rounded to nine significant digits. The same tables give the same frame,
    whatever the order of their rows.
    """
    rows: list[dict[str, Any]] = []
    for setting, measure in MEASURES:
        whole = block(sweep, setting, measure)
        if whole is None:  # e.g. no cross-lingual setting where there is one language
            continue
        for scope, names in scopes(sweep, whole).items():
            rows += _rows(sweep, setting, measure, scope, select(whole, names))
    for point in sweep.points:
        if point.run_id in sweep.missing:
            row = {
                "kind": point.kind,
                "ratio": point.ratio if point.kind == "trained" else np.nan,
                "status": "missing",
            }
            rows.append(
                row
                | {
                    "seeds": str(point.seed),
                    "n_seeds": 0,
                    "n_questions": 0,
                    "n_rows": 0,
                    "run_ids": point.run_id,
                }
            )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in ("delta_seeds", "won", "tied", "lost"):
        frame[name] = frame[name].fillna(0)
    return typed(frame, TEXT, COUNTS)


def typed(frame: pd.DataFrame, text: Collection[str], counts: Collection[str]) -> pd.DataFrame:
    """Return a table with one type a column: text ("" where there is none), whole counts, and
    numbers of nine significant digits.
    """
    for name in frame.columns:
        if name in text:
            # Objects: rows of a small table are selected faster from them than from pandas' own
            # text columns.
            frame[name] = frame[name].astype(object).fillna("").map(str).astype(object)
        elif name in counts:
            frame[name] = frame[name].astype(np.int64)
        else:
            frame[name] = [clean(float(value)) for value in frame[name]]
    return frame.copy()  # columns of one type lie together


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dicts of plain values: what `to_dict` gives, in less time."""
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in frame.to_numpy(dtype=object).tolist()]


def pick(
    results: pd.DataFrame, setting: str, measure: str, scope: str = MACRO, kind: str = "trained"
) -> pd.DataFrame:
    """Return the rows of one curve, by ratio."""
    found = results[
        (results["setting"] == setting)
        & (results["measure"] == measure)
        & (results["scope"] == scope)
        & (results["kind"] == kind)
    ]
    return found.sort_values("ratio", kind="stable").reset_index(drop=True)


def languages(results: pd.DataFrame) -> list[str]:
    """Return the languages with monolingual questions, sorted; the scopes that are means over
    several are none.
    """
    return sorted(set(results[results["setting"] == "monolingual"]["scope"]) - set(MEANS))
