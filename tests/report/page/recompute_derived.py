"""derived.csv anew, from the recomputed results: slope, isotonic fit and band, turn, Pareto front,
price, languages.

The bootstrap is drawn anew from the seed that hybrid_sweep/report/curves.py documents, so that
its numbers agree to the last digit instead of to a tolerance.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
from recompute_results import Row, crossed, ends, holm, inflation, p_of, place_of, size_of

AGAINST = [
    ("cross-lingual", "RR@10", 1),
    ("multilingual", "same@10", -1),
    ("multilingual", "RD", -1),
]
TRADE = {"setting": "monolingual", "measure": "RR@10", "scope": "macro"}


def isotonic(values: Any, falling: bool) -> list[float]:
    """The closest monotone sequence by pooling adjacent violators, kept on its side of 0."""
    blocks: list[list[float]] = []
    for value in [-v for v in values] if falling else values:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n), (b, k) = blocks[-2:]
            blocks[-2:] = [[(a * n + b * k) / (n + k), n + k]]
    rising = [max(value, 0.0) for value, n in blocks for _ in range(int(n))]
    return [-value for value in rising] if falling else rising


def fit(change: list[float]) -> tuple[list[float], bool]:
    """The monotone curve closest to the changes, and whether it falls."""
    fits = {way: isotonic(change, way) for way in (False, True)}
    error = {way: sum((a - b) ** 2 for a, b in zip(fits[way], change, strict=True)) for way in fits}
    return fits[error[True] < error[False]], error[True] < error[False]


def derived(points: list[Row], runs: Any, rows: list[Row], curves: dict[Any, Any]) -> list[Row]:
    """The rows of derived.csv as dicts."""
    done = [p for p in points if p["run_id"] in runs and p["kind"] == "trained"]
    where: dict[float, dict[int, str]] = {}
    for p in done:
        where.setdefault(p["ratio"], {})[p["seed"]] = p["run_id"]
    ratios = sorted(where)
    seeds = sorted(set.intersection(*(set(where[r]) for r in ratios))) if ratios else []
    shaped = {
        place: curve
        for place, curve in curves.items()
        if place[:2] != ("multilingual", "RR@10")
        and (place[2] == "macro" or place[0] == "monolingual")
    }
    found: list[Row] = []
    if ratios and seeds and len(ratios) > 1:
        weights = bootstrap(len(seeds), shaped)
        for place, (y, df) in shaped.items():
            Y = np.array([y.loc[[where[r][s] for s in seeds]] for r in ratios])
            found += shape(place, ratios, Y, df, resample(weights, y.columns, Y))
        slopes = [row for row in found if row["statistic"] == "slope"]
        for row, p_holm in zip(slopes, holm([row["p"] for row in slopes]), strict=True):
            row["p_holm"] = p_holm
            row["word"] = (
                ("rises" if row["value"] > 0 else "falls") if p_holm < 0.05 else "not shown"
            )
        found += fronts(ratios, seeds, where, shaped, weights)
    return found + prices(rows, where, shaped) + languages(rows)


def bootstrap(S: int, shaped: dict[Any, Any]) -> tuple[np.ndarray, pd.DataFrame]:
    """1,000 draws of S - 1 seeds and of all questions, from numpy's generator seeded [20240806,
    seeds, questions].
    """
    questions = sorted(set().union(*(y.columns for y, _ in shaped.values())))
    rng = np.random.default_rng([20240806, S, len(questions)])
    seeds = np.ones((1000, S))
    if S >= 3:
        seeds = rng.multinomial(S - 1, np.full(S, 1 / S), size=1000).astype(float)
    counts = [
        np.bincount(rng.integers(0, len(questions), len(questions)), minlength=len(questions))
        for _ in range(1000)
    ]
    return seeds, pd.DataFrame(counts, columns=questions)


def resample(weights: tuple[np.ndarray, pd.DataFrame], questions: Any, Y: np.ndarray) -> np.ndarray:
    """The means (1000, ratios) of Y (ratios, seeds, questions) in each draw."""
    seeds, counts = weights
    means = np.empty((1000, len(Y)))
    for b, (w, v) in enumerate(zip(seeds, counts[list(questions)].to_numpy(float), strict=True)):
        v = v if v.sum() else np.ones_like(v)
        means[b] = (Y @ v / v.sum()) @ w / w.sum()
    return means


def shape(
    place: Any, ratios: list[float], Y: np.ndarray, df: float, means: np.ndarray
) -> list[Row]:
    """Slope, isotonic fit with its band, and turn of one curve."""
    R, S, G = Y.shape
    if G < 2:
        return []
    about = dict(zip(("setting", "measure", "scope"), place, strict=True)) | {
        "n_seeds": S,
        "n_questions": G,
    }
    c = np.array(ratios) - np.mean(ratios)
    floor = inflation([crossed(Y[r] - Y[0], df) for r in range(1, R)])
    slope = crossed(np.tensordot(c / (c**2).sum(), Y, 1), df, floor)
    low, high = ends(slope, 0.95)
    found = [
        {"statistic": "slope", "value": slope["mean"], "low": low, "high": high, "p": p_of(slope)}
    ]
    found[0]["interval"] = slope["interval"]
    change = [float((Y[r] - Y[0]).mean()) for r in range(R)]
    fitted, falling = fit(change)
    if ratios[0] == 0:
        each = [crossed(Y[r] - Y[0], df, floor) for r in range(R)]
        lows, highs = band(
            np.array(change),
            means - means[:, :1],
            [(ends(e, 0.95)[1] - e["mean"]) for e in each],
            falling,
        )
        word = "flat" if max(fitted) - min(fitted) < 1e-12 else "falling" if falling else "rising"
        interval = "bootstrap" if S >= 3 else each[-1]["interval"]
        for ratio, value, low, high in zip(ratios, fitted, lows, highs, strict=True):
            found.append(
                {"statistic": "isotonic", "ratio": ratio, "value": value, "low": low, "high": high}
            )
            found[-1] |= {"word": word, "interval": interval}
    return [about | row for row in [*found, turn(ratios, Y, (df, floor), falling)]]


def band(
    change: np.ndarray, resampled: np.ndarray, halves: list[float], falling: bool
) -> tuple[list[float], list[float]]:
    """Simultaneous over the ratios by the quantile of the largest deviation, then made monotone at
    both ends.
    """
    half = np.array([0.0, *halves[1:]])
    off = np.abs(resampled - change)
    one = np.quantile(off, 0.95, axis=0)
    largest = [
        max([o / q for o, q in zip(row, one, strict=True) if q > 1e-12], default=0.0) for row in off
    ]
    half = half * max(np.quantile(largest, 0.95), 1.0)
    low, high = list(change - half), list(change + half)
    rises = all(low[i] <= high[j] for j in range(len(low)) for i in range(j + 1))
    falls = all(high[i] >= low[j] for j in range(len(low)) for i in range(j + 1))
    ways = [way for way, there in ((False, rises), (True, falls)) if there or way == falling]
    return (
        [min(v) for v in zip(*(isotonic(low, w) for w in ways), strict=True)],
        [max(v) for v in zip(*(isotonic(high, w) for w in ways), strict=True)],
    )


def turn(
    ratios: list[float], Y: np.ndarray, df_and_floor: tuple[float, float], falling: bool
) -> Row:
    """The move between two ratios that goes against the fit, if the curve significantly goes both
    ways.
    """
    row = {"statistic": "reversal", "word": "no reversal shown", "interval": "none"}
    pairs = [(i, j) for i in range(len(ratios)) for j in range(i + 1, len(ratios))]
    moves = [crossed(Y[j] - Y[i], *df_and_floor) for i, j in pairs]
    if moves[0]["interval"] != "crossed":
        return row
    p_holm = holm([p_of(move) for move in moves])
    way = -1 if falling else 1
    against = [k for k, move in enumerate(moves) if way * move["mean"] < 0]
    sure = [k for k in against if p_holm[k] < 0.05]
    along = [k for k, move in enumerate(moves) if way * move["mean"] > 0 and p_holm[k] < 0.05]
    if not against:
        return row | {"interval": "crossed"}
    shown = bool(sure and along)
    if not shown:
        sure = [k for k in against if p_holm[k] == min(p_holm[one] for one in against)]
    k = max(sure, key=lambda one: abs(moves[one]["mean"]))
    low, high = ends(moves[k], 0.95)
    row |= {
        "against": f"r = {ratios[pairs[k][0]]:g}",
        "ratio": ratios[pairs[k][1]],
        "value": moves[k]["mean"],
    }
    row |= {
        "low": low,
        "high": high,
        "interval": "crossed",
        "p": p_of(moves[k]),
        "p_holm": p_holm[k],
    }
    return row | {"word": "not monotone" if shown else "no reversal shown"}


def front(a: np.ndarray, b: np.ndarray) -> list[bool]:
    """Which points no other one beats in one coordinate without losing in the other."""
    a, b = np.round(a, 12), np.round(b, 12)
    beats = [
        [(a[j] >= a[i] and b[j] >= b[i]) and (a[j] > a[i] or b[j] > b[i]) for j in range(len(a))]
        for i in range(len(a))
    ]
    return [not any(row) for row in beats]


def fronts(
    ratios: list[float], seeds: list[int], where: Any, shaped: Any, weights: Any
) -> list[Row]:
    """Which ratios are on the front by the means, and in which share of the draws."""
    found = []
    for setting, measure, sign in AGAINST:
        if (setting, measure, "macro") not in shaped:
            continue
        (mono, _), (other, _) = (
            shaped["monolingual", "RR@10", "macro"],
            shaped[setting, measure, "macro"],
        )
        Y, Z = (
            np.array([y.loc[[where[r][s] for s in seeds]] for r in ratios])
            for y in (mono, sign * other)
        )
        on = front(Y.mean(axis=(1, 2)), Z.mean(axis=(1, 2)))
        draws = [resample(weights, y.columns, x) for y, x in ((mono, Y), (other, Z))]
        often = np.mean([front(a, b) for a, b in zip(*draws, strict=True)], axis=0)
        for i, ratio in enumerate(ratios):
            row = TRADE | {
                "statistic": "front",
                "against": f"{setting} {measure}",
                "ratio": ratio,
                "value": often[i],
            }
            row |= {
                "word": "on the front" if on[i] else "off the front",
                "n_seeds": len(seeds),
                "n_questions": mono.shape[1],
            }
            found.append(row | {"interval": "bootstrap" if len(seeds) >= 3 else "conditional"})
    return found


def prices(rows: list[Row], where: dict[float, dict[int, str]], shaped: Any) -> list[Row]:
    """Points lost per point gained, with Fieller's interval: all quotients q for which loss - q
    gain may be 0.
    """
    found: list[Row] = []
    base = where.get(0, {})
    for setting, measure, sign in AGAINST if ("monolingual", "RR@10", "macro") in shaped else []:
        for ratio in sorted(set(where) - {0}) if (setting, measure, "macro") in shaped else []:
            common = [seed for seed in where[ratio] if seed in base]
            if not common:
                continue
            here, there = [where[ratio][s] for s in common], [base[s] for s in common]
            (mono, df), (other, df_other) = (
                shaped["monolingual", "RR@10", "macro"],
                shaped[setting, measure, "macro"],
            )
            loss = mono.loc[there].reset_index(drop=True) - mono.loc[here].reset_index(drop=True)
            gain = sign * (
                other.loc[here].reset_index(drop=True) - other.loc[there].reset_index(drop=True)
            )
            questions = sorted(set(loss.columns) | set(gain.columns))
            X, Z = (widened(part, questions) for part in (loss, gain))
            row = TRADE | {
                "statistic": "price",
                "against": f"{setting} {measure}",
                "ratio": ratio,
                "interval": "none",
            }
            row |= {"n_seeds": len(common), "n_questions": len(questions), "word": "no gain shown"}
            gained = next(
                r for r in rows if place_of(r) == ("trained", ratio, setting, measure, "macro")
            )
            if gained["p_holm"] < 0.05 and sign * gained["delta"] > 0 and len(questions) > 1:
                value, low, high = fieller(X, Z, min(df, df_other))
                row |= {"value": value, "low": low, "high": high, "interval": "crossed"}
                row["word"] = "stated" if value > 0 else "no loss"
            found.append(row)
    return found


def widened(part: pd.DataFrame, questions: list[str]) -> np.ndarray:
    """Contributions over more questions than a curve has: the others contribute the mean, its own
    weigh more.
    """
    total, own = len(questions), part.shape[1]
    mean = part.mean(axis=1)
    stretch = total / own * math.sqrt(own / max(own - 1, 1) * (total - 1) / total)
    return (
        (part.sub(mean, axis=0) * stretch)
        .reindex(columns=questions, fill_value=0.0)
        .add(mean, axis=0)
        .to_numpy()
    )


def fieller(X: np.ndarray, Z: np.ndarray, df: float) -> tuple[float, float, float]:
    """The quotient of two means, and the outermost values on either side that are not rejected for
    it.

    The degrees of freedom change with the value, so that one further out may be allowed again: a
    search, then halving.
    """

    def allowed(q: float) -> bool:
        return p_of(crossed(X - q * Z, df)) >= 0.05

    centre = X.mean() / Z.mean()
    linear = crossed(X - centre * Z, df)
    reach = size_of(linear, 0.95) * linear["se"] / abs(Z.mean())
    limits = []
    for side in (-1, 1):
        steps = [*np.linspace(0, 3, 121), *np.geomspace(3.2, 1000, 80)]
        kept = [
            i for i, step in enumerate(steps) if i == 0 or allowed(centre + side * step * reach)
        ]
        if kept[-1] == len(steps) - 1:
            limits.append(side * math.inf)
            continue
        inner, outer = steps[kept[-1]], steps[kept[-1] + 1]
        for _ in range(45):
            middle = (inner + outer) / 2
            inner, outer = (
                (middle, outer) if allowed(centre + side * middle * reach) else (inner, middle)
            )
        limits.append(centre + side * inner * reach)
    return centre, limits[0], limits[1]


def languages(rows: list[Row]) -> list[Row]:
    """Winners and losers: each language's change, adjusted over the languages at a ratio."""
    found = []
    mono = [
        r
        for r in rows
        if r.get("setting") == "monolingual" and r["kind"] == "trained" and "delta" in r
    ]
    mono = [r for r in mono if r["scope"] not in ("macro", "trained", "unseen")]
    for ratio in sorted({r["ratio"] for r in mono}):
        here = [r for r in mono if r["ratio"] == ratio]
        for r, p_holm in zip(here, holm([r["p"] for r in here]), strict=True):
            word = ("winner" if r["delta"] > 0 else "loser") if p_holm < 0.05 else "not shown"
            row = TRADE | {
                "statistic": "language",
                "scope": r["scope"],
                "ratio": ratio,
                "value": r["delta"],
                "word": word,
            }
            row |= {
                "low": r["delta_low"],
                "high": r["delta_high"],
                "interval": r["delta_interval"],
                "p": r["p"],
            }
            found.append(
                row
                | {
                    "p_holm": p_holm,
                    "n_seeds": r["delta_seeds"],
                    "n_questions": r["n_questions"],
                }
            )
    return found
