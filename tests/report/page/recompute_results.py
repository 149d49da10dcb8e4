"""results.csv anew, from the per-query tables alone: means, intervals by brute force, changes,
Holm, verdicts.

Knows nothing of hybrid_sweep. The formulas are those of docs/report.md, written out in the plainest
way.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recompute_clusters import effective, of_clusters
from scipy.optimize import brentq
from scipy.special import stdtr
from scipy.stats import chi2
from scipy.stats import t as student

Row = dict[str, Any]
NAN = math.nan
MEASURES = [
    ("monolingual", "RR@10"),
    ("cross-lingual", "RR@10"),
    ("multilingual", "AP"),
    ("multilingual", "RR@10"),
]
MEASURES += [("multilingual", "same@10"), ("multilingual", "RD")]


def read(sweep_dir: Path) -> tuple[float, list[Row], dict[str, tuple[pd.DataFrame, Row]]]:
    """The planned points in the report's order, and the rows of each finished run."""
    plan = json.loads((sweep_dir / "points.json").read_text())
    kinds = ["trained", "untrained", "bm25"]
    points = sorted(
        plan["points"], key=lambda p: (kinds.index(p["kind"]), p["ratio"], p["seed"], p["run_id"])
    )
    runs = {}
    for point in points:
        folder = sweep_dir.resolve().parent.parent / "runs" / point["run_id"]
        metrics = folder / "metrics.json"
        if not metrics.is_file() or json.loads(metrics.read_text())["run_id"] != point["run_id"]:
            continue
        rows = pd.read_parquet(folder / "per_query.parquet")
        rows["RD"] = (
            (rows["rank_max"] - rows["rank_min"]).where(rows["n_relevant"] >= 2).astype(float)
        )
        rows = rows.sort_values(
            ["setting", "query_lang", "passage_lang", "query_id"], ignore_index=True
        )
        if (folder / "clusters.parquet").is_file():
            named = pd.read_parquet(folder / "clusters.parquet")
            rows["cluster"] = rows["group_id"].map(dict(named.itertuples(index=False, name=None)))
        runs[point["run_id"]] = rows, json.loads(metrics.read_text())
    return plan["margin"], points, runs


def rows_of(runs: Any, setting: str, measure: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Domain and question of each row, and the values (runs, rows); rows that a run has no value
    for are left out.
    """
    parts = [rows[rows["setting"] == setting] for rows, _ in runs.values()]
    first = parts[0].reset_index(drop=True)
    domain = first["query_lang"] + (
        ">" + first["passage_lang"] if setting == "cross-lingual" else ""
    )
    values = np.array([part[measure].to_numpy(float) for part in parts])
    known = np.isfinite(values).all(axis=0)
    columns = {"domain": domain, "question": first["group_id"]}
    if "cluster" in first:
        columns["cluster"] = first["cluster"]
    return pd.DataFrame(columns)[known].reset_index(drop=True), values[:, known]


def contributions(rows: pd.DataFrame, values: np.ndarray) -> tuple[pd.DataFrame, float]:
    """What each question contributes to the mean over domains of the domain means, a row per run;
    and the questions' df. Of questions in clusters, what each cluster does.
    """
    if "cluster" in rows:
        return of_clusters(rows, values)
    n = rows.groupby("domain").size()
    questions = rows.groupby("domain")["question"].nunique()
    G, L = rows["question"].nunique(), len(n)
    stretch = np.sqrt(questions / (questions - 1).clip(lower=1) * (G - 1) / G)
    weight = rows["domain"].map(G / L / n * stretch)
    y = []
    for run in values:
        x = pd.Series(run)
        means = x.groupby(rows["domain"]).mean()
        y.append(
            means.mean()
            + ((x - rows["domain"].map(means)) * weight).groupby(rows["question"]).sum()
        )
    tau2 = (1 / rows["domain"].map(n) ** 2).groupby(rows["question"]).sum()
    return pd.DataFrame(y).reset_index(drop=True), tau2.sum() ** 2 / (tau2**2).sum() - 1


def crossed(y: Any, df_questions: float, floor: float = 0.0) -> Row:
    """Mean, its standard error and the parts of its variance: two-way random effects of seeds and
    questions.

    floor: the least A / E.
    """
    y = np.asarray(y, float)
    S, G = y.shape
    m = sum(y[s, g] for s in range(S) for g in range(G)) / (S * G) if S * G < 500 else y.mean()
    found = {"mean": m, "S": S, "G": G, "interval": "none", "se": NAN, "df": NAN}
    if G < 2 or df_questions <= 0:
        return found
    by_question = y.mean(axis=0)
    if S < 3:
        se = math.sqrt(sum((v - m) ** 2 for v in by_question) / (G - 1) / G)
        return found | {"interval": "conditional", "se": se, "df": df_questions}
    by_seed = y.mean(axis=1)
    A = G * sum((v - m) ** 2 for v in by_seed) / (S - 1)
    B = S * sum((v - m) ** 2 for v in by_question) / (G - 1)
    E = sum(((y[s] - by_seed[s] - by_question + m) ** 2).sum() for s in range(S)) / (
        (S - 1) * (G - 1)
    )
    of_seeds, Q = max(A, E, floor * E), max(B - E, 0)
    se = math.sqrt((of_seeds + Q) / (S * G))
    found |= {"interval": "crossed", "se": se, "df_questions": df_questions}
    return found | {"A": of_seeds, "Q": Q, "raw": (A, E)}


def inflation(each: list[Row]) -> float:
    """The median of A / E over the ratios."""
    raw = [one["raw"] for one in each if one["interval"] == "crossed"]
    found = [A / E for A, E in raw if E > 0]
    return float(np.median(found)) if found else 0.0


def carrying(y: np.ndarray) -> float:
    """How many questions of one size would have the same kurtosis as their mean differences."""
    square = [float(np.mean(column)) ** 2 for column in y.T]
    return sum(square) ** 2 / sum(v**2 for v in square) if sum(square) > 0 else 0.0


CHI: dict[int, tuple[np.ndarray, np.ndarray]] = {}


def beyond(size: float, found: Row) -> float:
    """P(|sqrt(A) T + sqrt(Q) U| > size sqrt(A + Q)), T with S - 1 degrees of freedom, U with the
    questions': given the chi-square of T, by Simpson's rule over its logarithm.
    """
    n = found["S"] - 1
    if n not in CHI:
        ends = np.log(chi2.ppf(1e-15, n)), np.log(chi2.isf(1e-15, n))
        x = np.linspace(*ends, 401)
        rule = np.array([1.0, *[4.0, 2.0] * 199, 4.0, 1.0])
        weights = rule * chi2.pdf(np.exp(x), n) * np.exp(x)
        CHI[n] = np.exp(x) / n, weights / weights.sum()
    w, weights = CHI[n]
    A, Q = found["A"], found["Q"]
    total = A + Q if A + Q > 0 else 1.0
    v = A / w / total + Q / total if A + Q > 0 else 1 / w
    df = np.minimum(found["df_questions"] * v**2 / max(Q / total, 1e-30) ** 2, 1e12)
    return float(2 * (stdtr(df, -size / np.sqrt(v)) * weights).sum())


def size_of(found: Row, level: float) -> float:
    """Half the width of an interval in standard errors."""
    if found["interval"] != "crossed":
        return float(student.ppf(0.5 + level / 2, found["df"]))
    n, df = found["S"] - 1, found["df_questions"]
    widest = 2 * float(student.ppf(0.5 + level / 2, min(n, df)))
    return float(brentq(lambda x: beyond(x, found) - (1 - level), 1e-3, widest, xtol=1e-12))


def ends(found: Row, level: float) -> tuple[float, float]:
    half = size_of(found, level) * found["se"]
    return found["mean"] - half, found["mean"] + half


def p_of(found: Row) -> float:
    if found["interval"] != "crossed":
        return NAN
    if found["se"] == 0:
        return 1.0 if found["mean"] == 0 else 0.0
    return beyond(abs(found["mean"]) / found["se"], found)


def df_of(found: Row) -> float:
    """Degrees of freedom of Student's t with the same 95 % interval."""
    if found["interval"] != "crossed":
        return float(found["df"])
    size = size_of(found, 0.95)
    wide = float(student.ppf(0.975, found["S"] - 1))
    if size >= wide * (1 - 1e-10):
        return float(found["S"] - 1)
    return float(brentq(lambda df: student.ppf(0.975, df) - size, found["S"] - 1, 1e7, xtol=1e-10))


def holm(ps: list[float]) -> list[float]:
    """Holm's step-down: the i-th smallest of k times k - i + 1, never falling, at most 1."""
    adjusted, least = dict.fromkeys(range(len(ps)), NAN), 0.0
    known = sorted((p, i) for i, p in enumerate(ps) if not math.isnan(p))
    for place, (p, i) in enumerate(known):
        least = max(least, p * (len(known) - place))
        adjusted[i] = min(least, 1.0)
    return [adjusted[i] for i in range(len(ps))]


def too_few(effect: Row, margin: float) -> bool:
    """Whether a loss of the margin could hide in questions that were not drawn."""
    return effect["asked"] * margin < 3 or effect["carrying"] < 10


def p_of_loss(effect: Row, margin: float) -> float:
    """One-sided p of a true change of -margin or more."""
    beyond = effect | {"mean": effect["mean"] + margin}
    return p_of(beyond) / 2 if beyond["mean"] < 0 else 1 - p_of(beyond) / 2


def verdict(effect: Row, margin: float, p_holm: float, p_loss_holm: float) -> str:
    low, _ = ends(effect, 0.90)
    if effect["interval"] != "crossed":
        return "untested"
    if p_loss_holm < 0.05:
        return "degraded"
    if low <= -margin or too_few(effect, margin):
        return "inconclusive"
    return "superior" if effect["mean"] > 0 and p_holm < 0.05 else "non-inferior"


def seeds_to_settle(effect: Row, margin: float) -> tuple[float, float]:
    """The fewest seeds at which the margin lies far enough away for a verdict with a chance of 80
    %, at the better and at the worse quartile of the seeds' variance and of the distance.
    """
    doubt, df = size_of(effect, 0.5) * effect["se"], effect["S"] - 1
    distance = abs(effect["mean"] + margin)

    def fewest(distance: float, variance: float) -> float:
        def settled(S: int) -> bool:
            there = effect | {"S": S, "A": variance, "Q": effect["Q"] / effect["S"] * S}
            se = math.sqrt((there["A"] + there["Q"]) / (S * effect["G"]))
            return (size_of(there, 0.9) + size_of(there, 0.6)) * se < distance

        if too_few(effect, margin) or not settled(1000):
            return math.inf
        low, high = 2, 1000
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if settled(middle) else (middle, high)
        return high

    good, bad = (effect["A"] * df / chi2.ppf(q, df) for q in (0.75, 0.25))
    return fewest(distance + doubt, good), fewest(distance - doubt, bad)


def scopes_of(domains: list[str], trained: list[str]) -> dict[str, list[str]]:
    """The scopes of a measure, each with its domains."""
    seen = [d for d in domains if set(d.split(">")) <= set(trained)]
    unseen = [d for d in domains if d not in seen]
    apart = (
        {name: part for name, part in [("trained", seen), ("unseen", unseen)] if part}
        if trained and unseen
        else {}
    )
    return {"macro": domains} | apart | {d: [d] for d in domains}


def results(
    margin: float, points: list[Row], runs: Any, trained: list[str]
) -> tuple[list[Row], dict[Any, Any]]:
    """The rows of results.csv as dicts, and the contributions (runs, questions) of each (setting,
    measure, scope).
    """
    order = list(runs)
    done = [p for p in points if p["run_id"] in runs]
    found: list[Row] = []
    curves: dict[Any, Any] = {}
    for setting, measure in MEASURES:
        whole, values = rows_of(runs, setting, measure)
        single: list[Row] = []
        for scope, domains in (
            scopes_of(sorted(whole["domain"].unique()), trained).items() if len(whole) else []
        ):
            chosen = whole["domain"].isin(domains).to_numpy()
            rows, part = whole[chosen].reset_index(drop=True), values[:, chosen]
            y, df = contributions(rows, part)
            curve = y.set_axis(order)
            curve.attrs["asked"] = set(rows["question"])
            curves[setting, measure, scope] = curve, df
            of_scope = scope_rows(
                points, runs, done, (setting, measure, scope), rows, part, y.to_numpy(), df
            )
            found += of_scope
            if scope in ("macro", "trained", "unseen"):
                judge(of_scope, margin)
            else:
                single += of_scope
        judge(single, margin)
    for p in points:
        if p["run_id"] not in runs:
            about = {
                "kind": p["kind"],
                "status": "missing",
                "seeds": str(p["seed"]),
                "run_ids": p["run_id"],
            }
            found.append(about | {"ratio": p["ratio"] if p["kind"] == "trained" else NAN})
    return found, curves


def scope_rows(
    points: list[Row],
    runs: Any,
    done: list[Row],
    place: tuple[str, str, str],
    rows: pd.DataFrame,
    values: np.ndarray,
    y: np.ndarray,
    df: float,
) -> list[Row]:
    """The rows of one scope: a level for each kind and ratio, and what changed against ratio 0 at
    the same seeds.
    """
    line = {p["run_id"]: (p["kind"], p["ratio"] if p["kind"] == "trained" else -1) for p in points}
    where: dict[Any, dict[int, int]] = {}
    for i, p in enumerate(done):
        where.setdefault(line[p["run_id"]], {})[p["seed"]] = i
    base, found = where.get(("trained", 0), {}), []
    learned = {key: at for key, at in where.items() if key[0] == "trained"}
    level_floor = inflation([crossed(y[list(at.values())], df) for at in learned.values()])
    changes = []
    for key, at in learned.items():
        common = [seed for seed in at if seed in base]
        if key[1] > 0 and common:
            changes.append(y[[at[s] for s in common]] - y[[base[s] for s in common]])
    floor = inflation([crossed(one, df) for one in changes])
    for (kind, ratio), at in where.items():
        level = crossed(y[list(at.values())], df, level_floor)
        low, high = ends(level, 0.95)
        ids = [done[i]["run_id"] for i in at.values()]
        missing = any(
            line[p["run_id"]] == (kind, ratio) and p["run_id"] not in runs for p in points
        )
        row = dict(zip(("setting", "measure", "scope"), place, strict=True)) | {"kind": kind}
        row |= {
            "ratio": ratio if kind == "trained" else NAN,
            "status": "partial" if missing else "complete",
        }
        row |= {
            "seeds": " ".join(map(str, at)),
            "n_seeds": len(at),
            "n_questions": rows["question"].nunique(),
            "n_rows": len(rows),
        }
        if "cluster" in rows:
            row["n_clusters"] = rows["cluster"].nunique()
        row |= {
            "mean": level["mean"],
            "low": low,
            "high": high,
            "interval": level["interval"],
            "run_ids": " ".join(ids),
        }
        for key in ("examples_monolingual", "examples_cross_lingual"):
            row[key] = float(np.mean([runs[run_id][1].get(key, NAN) for run_id in ids]))
        row["verdict"] = (
            "baseline" if (kind, ratio) == ("trained", 0) and place[0] == "monolingual" else ""
        )
        common = [seed for seed in at if seed in base]
        if kind == "trained" and ratio > 0 and place[0] == "monolingual":
            row["verdict"] = "untested"
        if kind == "trained" and ratio > 0 and common:
            here, there = [at[s] for s in common], [base[s] for s in common]
            row |= change(y[here], y[there], df, floor) | outcome(
                rows["question"], values[here] - values[there]
            )
            row["effect"]["asked"] = effective(rows)
        found.append(row)
    return found


def judge(family: list[Row], margin: float) -> None:
    """p adjusted over a family of rows, and their verdicts."""
    losses = [NAN] * len(family)
    for i, row in enumerate(family):
        if "effect" in row and row["setting"] == "monolingual":
            losses[i] = p_of_loss(row["effect"], margin)
    ps = [row.get("p", NAN) for row in family]
    for row, p_holm, p_loss, adjusted in zip(family, holm(ps), losses, holm(losses), strict=True):
        row |= {"p_holm": p_holm, "p_loss": p_loss, "p_loss_holm": adjusted}
        effect = row.pop("effect", None)
        if effect and row["setting"] == "monolingual":
            row["verdict"] = verdict(effect, margin, p_holm, adjusted)
            if row["verdict"] == "inconclusive":
                few, many = seeds_to_settle(effect, margin)
                row |= {"seeds_to_settle_low": few, "seeds_to_settle_high": many}


def change(y: np.ndarray, base: np.ndarray, df: float, floor: float) -> Row:
    effect = crossed(y - base, df, floor)
    effect["carrying"] = carrying(y - base)
    quotient = y.mean() / base.mean()
    share = crossed((y - quotient * base) / base.mean() + (quotient - 1), df, floor)
    row = {
        "effect": effect,
        "delta": effect["mean"],
        "delta_seeds": len(y),
        "delta_interval": effect["interval"],
        "df": df_of(effect),
        "carrying": effect["carrying"],
    }
    row["delta_low"], row["delta_high"] = ends(effect, 0.95)
    row["delta_low_90"], row["delta_high_90"] = ends(effect, 0.90)
    row["half_width"] = (row["delta_high_90"] - row["delta_low_90"]) / 2
    row["relative_low"], row["relative_high"] = ends(share, 0.95)
    return row | {"relative": share["mean"], "p": p_of(effect)}


def outcome(questions: pd.Series, differences: np.ndarray) -> Row:
    """Questions won, tied and lost, by their mean difference over seeds and rows."""
    means = pd.Series(differences.mean(axis=0)).groupby(questions.to_numpy()).mean()
    won, lost = int((means > 1e-12).sum()), int((means < -1e-12).sum())
    return {"won": won, "lost": lost, "tied": len(means) - won - lost}


def place_of(row: Row) -> tuple[Any, ...]:
    """What a row of results.csv is about."""
    ratio = row.get("ratio", NAN)
    ratio = None if ratio is None or math.isnan(ratio) else round(ratio, 6)
    return row["kind"], ratio, row.get("setting", ""), row.get("measure", ""), row.get("scope", "")
