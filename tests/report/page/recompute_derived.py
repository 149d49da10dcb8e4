"""derived.csv anew, from the recomputed results: slope, isotonic fit and band, turn, Pareto front,
price, languages.

The bootstrap is drawn anew from the seed that hybrid_sweep/report/curves.py documents, so that
its numbers agree to the last digit instead of to a tolerance.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
from recompute_results import NAN, Row, crossed, ends, holm, inflation, p_of, place_of, size_of
from scipy.stats import t as student

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
            for row in shape(place, ratios, Y, df):
                found.append(row | {"n_questions": len(y.attrs["asked"])})
        slopes = [row for row in found if row["statistic"] == "slope"]
        for row, p_holm in zip(slopes, holm([row["p"] for row in slopes]), strict=True):
            row["p_holm"] = p_holm
            row["word"] = (
                ("rises" if row["value"] > 0 else "falls") if p_holm < 0.05 else "not shown"
            )
        found += fronts(ratios, seeds, where, shaped, weights)
    rest = largest(rows, points) + languages(rows)
    return found + prices(rows, where, shaped) + rest


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


def shape(place: Any, ratios: list[float], Y: np.ndarray, df: float) -> list[Row]:
    """Slope, band, isotonic fit, knee and turn of one curve."""
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
        factor = stretch(Y, each, df)
        half = [0.0, *(factor * (ends(e, 0.95)[1] - e["mean"]) for e in each[1:])]
        low = [c - h for c, h in zip(change, half, strict=True)]
        high = [c + h for c, h in zip(change, half, strict=True)]
        interval = "simultaneous" if S >= 3 else each[-1]["interval"]
        lows, highs = monotone(low, high, falling)
        word = "flat" if max(fitted) - min(fitted) < 1e-12 else "falling" if falling else "rising"
        whole = {"interval": interval}
        for k, ratio in enumerate(ratios):
            at = whole | {"statistic": "isotonic", "ratio": ratio, "value": fitted[k], "word": word}
            found.append(at | {"low": lows[k], "high": highs[k]})
            at = whole | {"statistic": "band", "ratio": ratio, "value": change[k]}
            found.append(at | {"low": low[k], "high": high[k]})
        if S >= 3 and place[2] == "macro":
            flat_first = place[:2] == ("monolingual", "RR@10")
            found.append(whole | knee(ratios, change, low, high, flat_first))
    return [about | row for row in [*found, turn(ratios, Y, (df, floor), falling)]]


def stretch(Y: np.ndarray, each: list[Row], df: float) -> float:
    """By how much the intervals of the changes must grow to hold together: the 95 % quantile of the
    largest of 10,000 joint draws, from the seed that report/simultaneous.py names.
    """
    R, S, G = Y.shape
    at = [r for r in range(1, R) if each[r]["se"] > 0]
    if len(at) < 2:
        return 1.0
    D = Y[at] - Y[0]
    by_question = D.mean(axis=1) - D.mean(axis=(1, 2))[:, None]
    by_seed = D.mean(axis=2) - D.mean(axis=(1, 2))[:, None]
    rest = D - D.mean(axis=(1, 2))[:, None, None] - by_question[:, None] - by_seed[:, :, None]
    roots = []
    for part in (rest.reshape(len(at), -1), by_question):
        size = np.sqrt((part**2).sum(axis=1))
        size[size == 0] = np.inf
        C = part @ part.T / np.outer(size, size) * (1 - 1e-9)
        np.fill_diagonal(C, 1)
        roots.append(np.linalg.cholesky(C))
    total = [each[r].get("A", 0) + each[r].get("Q", 0) for r in at]
    share = [each[r]["A"] / t if S >= 3 and t > 0 else 0.0 for r, t in zip(at, total, strict=True)]
    share = np.array(share)
    grid = np.linspace(0, math.pi / 2, 129)
    shares = np.sin(grid) ** 2
    sizes = (
        [
            size_of({"interval": "crossed", "S": S, "A": s, "Q": 1 - s, "df_questions": df}, 0.95)
            for s in shares
        ]
        if S >= 3
        else []
    )
    rng, largest = np.random.default_rng([20261130, S, G, len(at)]), []
    for _ in range(5):
        U = rng.standard_normal((2000, len(at))) @ roots[1].T
        of_questions = (1 - share) * rng.chisquare(df, U.shape) / df
        if S < 3:
            t = U / np.sqrt(of_questions) / student.ppf(0.975, df)
        else:
            z = rng.standard_normal((2000, S, len(at))) @ roots[0].T
            m = np.sqrt(1 - share) * U + np.sqrt(share) * z.mean(axis=1) * math.sqrt(S)
            v = z.var(axis=1, ddof=1)
            v = np.maximum(v, np.median(v, axis=1)[:, None])
            of_seeds = share * v / v.mean(axis=0)
            total = of_seeds + of_questions
            own = np.interp(np.arcsin(np.sqrt(np.clip(of_seeds / total, 0, 1))), grid, sizes)
            t = m / np.sqrt(total) / own
        largest += list(np.max(np.abs(t), axis=1))
    return max(float(np.quantile(largest, 0.95)), 1.0)


def monotone(low: list[float], high: list[float], falling: bool) -> tuple[list[float], list[float]]:
    """A band made monotone at both ends."""
    rises = all(low[i] <= high[j] for j in range(len(low)) for i in range(j + 1))
    falls = all(high[i] >= low[j] for j in range(len(low)) for i in range(j + 1))
    ways = [way for way, there in ((False, rises), (True, falls)) if there or way == falling]
    return (
        [min(v) for v in zip(*(isotonic(low, w) for w in ways), strict=True)],
        [max(v) for v in zip(*(isotonic(high, w) for w in ways), strict=True)],
    )


def fits_between(basis: list[float], low: list[float], high: list[float]) -> bool:
    """Whether a multiple of a curve that is never negative lies between two others."""
    least, most = -math.inf, math.inf
    for b, bottom, top in zip(basis, low, high, strict=True):
        if b < 1e-12:
            if bottom > 1e-12 or top < -1e-12:
                return False
        else:
            least, most = max(least, bottom / b), min(most, top / b)
    return least <= most


def knee(
    ratios: list[float], change: list[float], low: list[float], high: list[float], flat_first: bool
) -> Row:
    """Where a flat part and a line meet, if a band holds such a curve and neither a line nor a
    constant.
    """
    none = {"statistic": "knee", "word": "none identified"}
    first, last = ratios[0], ratios[-1]
    flat = all(a <= 1e-12 and b >= -1e-12 for a, b in zip(low, high, strict=True))
    if len(ratios) < 3 or flat or fits_between([r - first for r in ratios], low, high):
        return none
    inside, best = [], (math.inf, 0.0)
    for k in range(1, 200):
        at = first + k * (last - first) / 200
        basis = [max(r - at, 0) if flat_first else min(r, at) - first for r in ratios]
        if not fits_between(basis, low, high):
            continue
        inside.append(at)
        height = sum(b * c for b, c in zip(basis, change, strict=True)) / sum(b * b for b in basis)
        error = sum((c - height * b) ** 2 for b, c in zip(basis, change, strict=True))
        if error < best[0] * (1 - 1e-9):
            best = error, at
    if not inside:
        return none
    word = "flat, then a line" if flat_first else "a line, then flat"
    return none | {"value": best[1], "low": inside[0], "high": inside[-1], "word": word}


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
        (mono, df_mono), (other, df_other) = (
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
        beaten = rivals([(Y, df_mono), (Z, df_other)])
        for i, ratio in enumerate(ratios):
            row = TRADE | {
                "statistic": "front",
                "against": f"{setting} {measure}",
                "ratio": ratio,
                "value": often[i],
            }
            row |= {
                "by_means": "on the front" if on[i] else "off the front",
                "word": "not tested",
                "n_seeds": len(seeds),
                "n_questions": len(mono.attrs["asked"]),
            }
            if beaten:
                p, rival = beaten[i]
                word = "dominated" if p < 0.05 else "not shown to be dominated"
                row |= {"p_holm": p, "rival": ratios[rival], "word": word}
            found.append(row | {"interval": "bootstrap" if len(seeds) >= 3 else "conditional"})
    return found


def rivals(curves: list[tuple[np.ndarray, float]]) -> list[tuple[float, int]]:
    """Of each ratio the one most clearly better on both axes, with its p: the larger of two
    one-sided ones, Holm over all ordered pairs. [] without intervals over seeds.
    """
    count = len(curves[0][0])
    pairs = [(better, worse) for better in range(count) for worse in range(count)]
    pairs = [(better, worse) for better, worse in pairs if better != worse]
    ps = [0.0] * len(pairs)
    for Y, df in curves:
        floor = inflation([crossed(Y[r] - Y[0], df) for r in range(1, count)])
        for k, (better, worse) in enumerate(pairs):
            gain = crossed(Y[better] - Y[worse], df, floor)
            if gain["interval"] != "crossed":
                return []
            p = p_of(gain) / 2 if gain["mean"] > 0 else 1 - p_of(gain) / 2
            ps[k] = max(ps[k], p)
    adjusted, found = holm(ps), []
    for r in range(count):
        p, k = min((ps[k], k) for k, (_, worse) in enumerate(pairs) if worse == r)
        found.append((adjusted[k], pairs[k][0]))
    return found


def largest(rows: list[Row], points: list[Row]) -> list[Row]:
    """The largest ratio still non-inferior with the interval of the true one."""
    mono = [r for r in rows if place_of(r)[2:] == ("monolingual", "RR@10", "macro")]
    at = {r["ratio"]: r for r in mono if r["kind"] == "trained" and "delta" in r}
    tested = {ratio: r for ratio, r in at.items() if r["verdict"] != "untested"}
    if not tested:
        return []
    planned = sorted({p["ratio"] for p in points if p["kind"] == "trained"})
    reached, high = 0.0, max(planned)
    for ratio in [r for r in planned if r > 0]:
        if ratio not in tested or tested[ratio]["verdict"] not in ("non-inferior", "superior"):
            break
        reached = ratio
    below = [r for r in planned if r not in tested or tested[r]["verdict"] != "degraded"]
    for ratio in planned:
        if ratio not in below:
            high = max(r for r in planned if r < ratio)
            break
    row = {"statistic": "largest", "low": reached, "high": high, "interval": "crossed"}
    row |= {"value": reached or NAN, "word": "shown" if reached else "none shown"}
    first = tested[min(tested)]
    row |= {"n_seeds": min(r["delta_seeds"] for r in tested.values())}
    return [TRADE | row | {"n_questions": first["n_questions"]}]


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
            asked = mono.attrs["asked"] | other.attrs["asked"]
            row |= {"n_seeds": len(common), "n_questions": len(asked), "word": "no gain shown"}
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
    """Winners and losers: each language's change, adjusted over the languages and ratios."""
    found = []
    for r in rows:
        if r.get("setting") != "monolingual" or r["kind"] != "trained" or "delta" not in r:
            continue
        if r["scope"] in ("macro", "trained", "unseen"):
            continue
        word = ("winner" if r["delta"] > 0 else "loser") if r["p_holm"] < 0.05 else "not shown"
        row = TRADE | {"statistic": "language", "scope": r["scope"], "ratio": r["ratio"]}
        row |= {"value": r["delta"], "word": word, "p": r["p"], "p_holm": r["p_holm"]}
        row |= {"low": r["delta_low"], "high": r["delta_high"], "interval": r["delta_interval"]}
        found.append(row | {"n_seeds": r["delta_seeds"], "n_questions": r["n_questions"]})
    return found
