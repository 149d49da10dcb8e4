"""Pareto front, price, and languages that win or lose, against loops over points, replicates and
raw tables.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as some

from hybrid_sweep.report import curves as module
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.curves import complete, curves, draw, resampled
from hybrid_sweep.report.load import Sweep, load
from hybrid_sweep.report.results import aggregate, languages, pick
from hybrid_sweep.report.tradeoff import aligned, fronts, on_front, prices, winners

Make = Callable[..., Path]
points = some.lists(some.tuples(some.integers(0, 4), some.integers(0, 4)), min_size=1, max_size=9)


@given(points)
@settings(max_examples=200, deadline=None)
def test_the_front_is_that_of_loops_over_all_pairs(found: list[tuple[int, int]]) -> None:
    """Ties too: equal points do not beat each other."""
    wanted = []
    for a, b in found:
        beaten = any(c >= a and d >= b and (c > a or d > b) for c, d in found)
        wanted.append(not beaten)
    first, second = np.array(found, dtype=float).T
    assert on_front(first, second).tolist() == wanted
    assert on_front(np.stack([first, second]), np.stack([second, first])).tolist() == [
        wanted,
        wanted,
    ]


def test_points_that_differ_by_rounding_are_equal() -> None:
    assert on_front(np.array([0.3, 0.1 + 0.2]), np.array([0.5, 0.5])).all()


@pytest.fixture
def sweep(make_sweep: Make, world: Any) -> Sweep:
    """Questions that exist in some languages only, so that the settings have different ones."""
    return load(
        [
            make_sweep(
                world(has={"de": 0.6, "en": 0.7, "fr": 0.8}, noise=0.05, seed_sd=0.001),
                ratios=(0, 0.5, 0.9, 1.0),
            )
        ]
    )


def test_draws_are_seeded_and_shared(sweep: Sweep) -> None:
    found = curves(sweep)
    first, second = draw(3, found), draw(3, found[::-1])
    assert (first.weights == second.weights).all() and (first.seeds == second.seeds).all()
    # two of three: as many as leave the variance of the seeds right
    assert set(first.seeds.sum(axis=1)) == {2.0}
    assert set(first.weights.sum(axis=1).tolist()) == {len(first.questions)}
    assert (draw(2, found).seeds == 1).all()  # two seeds tell nothing of others
    assert len({len(curve.questions) for curve in found}) > 2


def test_front_frequencies_are_those_of_replicates_drawn_one_by_one(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each replicate as plain loops: the drawn seeds and questions repeated, the macro points, the
    dominated ones.
    """
    monkeypatch.setattr(module, "REPLICATES", 30)
    found = curves(sweep)
    draws = draw(3, found)
    ratios, _, index = complete(sweep)
    axes = {(c.setting, c.measure): c for c in found if c.scope == "macro"}
    rows = fronts(sweep, found, draws)
    assert len(rows) == 3 * len(ratios)
    for (setting, measure), sign in {
        ("cross-lingual", "RR@10"): 1,
        ("multilingual", "same@10"): -1,
        ("multilingual", "RD"): -1,
    }.items():
        count = np.zeros(len(ratios))
        for b in range(30):
            place = []
            for curve, way in ((axes["monolingual", "RR@10"], 1), (axes[setting, measure], sign)):
                means = []
                for r in range(len(ratios)):
                    total = weight = 0.0
                    for s in range(3):
                        for g, name in enumerate(curve.questions):
                            w = (
                                draws.seeds[b, s]
                                * draws.weights[b, list(draws.questions).index(name)]
                            )
                            total, weight = total + w * curve.y[index[r, s], g], weight + w
                    means.append(way * total / weight)
                place.append(means)
            for r in range(len(ratios)):
                beaten = any(
                    place[0][k] >= place[0][r] and place[1][k] >= place[1][r] and k != r
                    for k in range(len(ratios))
                )
                count[r] += not beaten
        mine = [row for row in rows if row["against"] == f"{setting} {measure}"]
        assert [row["value"] for row in mine] == pytest.approx((count / 30).tolist())
        assert {row["interval"] for row in mine} == {"bootstrap"}


def test_the_front_by_the_means(make_sweep: Make, world: Any) -> None:
    """A ratio that is worse on both is off; less bias counts as better."""
    bad = {0.5: -0.4}
    sweep = load(
        [
            make_sweep(
                world(
                    mono=lambda r: bad.get(r, -0.2 * r),
                    cross=lambda r: bad.get(r, 0.2 * r),
                    noise=0.02,
                    seed_sd=0.001,
                )
            )
        ]
    )
    rows = fronts(sweep, curves(sweep), draw(3, curves(sweep)))
    words = {(row["against"], row["ratio"]): (row["by_means"], row["value"]) for row in rows}
    assert words["cross-lingual RR@10", 0.5] == ("off the front", 0.0)
    assert (
        words["cross-lingual RR@10", 0.0]
        == words["cross-lingual RR@10", 1.0]
        == ("on the front", 1.0)
    )
    # Bias falls with the ratio: at 0.5 it is less than at 0, which is better on monolingual
    # retrieval; 1 beats it on both.
    assert words["multilingual same@10", 0.5][0] == "off the front"
    assert words["multilingual same@10", 1.0][0] == "on the front"


def test_a_bootstrap_mean_of_a_curve_without_a_drawn_question_is_its_mean(sweep: Sweep) -> None:
    curve = curves(sweep)[0]
    lone = module.Curve("s", "m", "x", curve.y[:, :2], 1.0, curve.questions[:2], curve.asked[:2])
    draws = draw(3, [curve])
    _, _, index = complete(sweep)
    empty = draws.weights[:, np.searchsorted(draws.questions, lone.questions)].sum(axis=1) == 0
    assert empty.any() and np.isfinite(resampled(draws, lone, index)).all()


def test_alignment_keeps_the_mean_and_its_estimated_error() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 4, 30)) + rng.standard_normal((2, 1, 30))
    names = np.array([f"g{i:02d}" for i in range(40)])
    both = aligned(first, second, (names[:30], names[10:]))
    assert both.shape == (2, 4, 40)
    for y, own in zip(both, (first, second), strict=True):
        found, wanted = st.crossed_estimate(y, 20.0), st.crossed_estimate(own, 20.0)
        assert found.mean == pytest.approx(wanted.mean)
        per_question = [m.mean(axis=0).std(ddof=1) / m.shape[1] ** 0.5 for m in (y, own)]
        assert per_question[0] == pytest.approx(per_question[1])
        assert found.se == pytest.approx(wanted.se, rel=0.02)
    assert aligned(first, second, (names[:30], names[:30])) == pytest.approx(
        np.stack([first, second])
    )


def test_a_price_is_the_quotient_of_two_changes_with_fiellers_interval(
    make_sweep: Make, world: Any
) -> None:
    """The interval from loops over the questions of both settings and a root finder on the crossed
    estimate.
    """
    quiet = world(
        has={"de": 0.6, "en": 0.7, "fr": 0.8},
        noise=0.02,
        seed_sd=0.0005,
        questions=150,
        bias=lambda r: -2 * r,
    )
    sweep = load([make_sweep(quiet, ratios=(0, 0.5, 0.9, 1.0))])
    results = aggregate(sweep)
    found = curves(sweep)
    rows = prices(sweep, results, found)
    assert [(row["against"], row["ratio"]) for row in rows] == [
        (against, ratio)
        for against in ("cross-lingual RR@10", "multilingual same@10", "multilingual RD")
        for ratio in (0.5, 0.9, 1.0)
    ]
    mono = next(c for c in found if (c.setting, c.scope) == ("monolingual", "macro"))
    position = {(p.ratio, p.seed): i for i, p in enumerate(sweep.finished) if p.kind == "trained"}
    checked = 0
    for row in rows:
        setting, measure = row["against"].split()
        sign = 1 if measure == "RR@10" else -1
        gain = pick(results, setting, measure).set_index("ratio").loc[row["ratio"]]
        loss = -pick(results, "monolingual", "RR@10").set_index("ratio").loc[row["ratio"], "delta"]
        assert (row["word"] != "no gain shown") == (
            gain["p_holm"] < 0.05 and sign * gain["delta"] > 0
        )
        if row["word"] == "no gain shown":
            assert "value" not in row and "low" not in row
            continue
        checked += 1
        assert row["value"] == pytest.approx(loss / (sign * gain["delta"]), rel=1e-7)
        assert row["word"] == ("stated" if loss > 0 else "no loss")
        other = next(
            c for c in found if (c.setting, c.measure, c.scope) == (setting, measure, "macro")
        )
        names = sorted(set(mono.questions) | set(other.questions))
        parts = []
        for curve, way in ((mono, -1), (other, sign)):
            y = np.empty((3, len(names)))
            for s in range(3):
                change = way * (curve.y[position[row["ratio"], s]] - curve.y[position[0.0, s]])
                n = len(change)
                stretch = len(names) / n * (n / (n - 1) * (len(names) - 1) / len(names)) ** 0.5
                own = dict(zip(curve.questions, change, strict=True))
                y[s] = [
                    change.mean() + (stretch * (own[g] - change.mean()) if g in own else 0)
                    for g in names
                ]
            parts.append(y)
        df = min(mono.df_questions, other.df_questions)

        def excess(q: float, parts: list[np.ndarray] = parts, df: float = df) -> float:
            tested = st.crossed_estimate(parts[0] - q * parts[1], df)
            return abs(float(tested.mean)) - float(st.half_width(tested, 0.95))

        far = 20 * abs(row["high"] - row["low"])
        assert row["low"] == pytest.approx(
            scipy.optimize.brentq(excess, row["value"] - far, row["value"]), rel=1e-6, abs=1e-9
        )
        assert row["high"] == pytest.approx(
            scipy.optimize.brentq(excess, row["value"], row["value"] + far), rel=1e-6, abs=1e-9
        )
        assert row["n_questions"] == len(names) and row["interval"] == "crossed"
    assert checked >= 6


def test_no_price_without_a_gain_and_none_from_two_seeds(make_sweep: Make, world: Any) -> None:
    flat = load([make_sweep(world(cross=lambda r: 0.0, noise=0.2), name="flat")])
    rows = [
        r
        for r in prices(flat, aggregate(flat), curves(flat))
        if r["against"] == "cross-lingual RR@10"
    ]
    assert [row["word"] for row in rows] == ["no gain shown"] * 2
    worse = load([make_sweep(world(cross=lambda r: -0.2 * r, noise=0.02), name="worse")])
    rows = [
        r
        for r in prices(worse, aggregate(worse), curves(worse))
        if r["against"] == "cross-lingual RR@10"
    ]
    assert [row["word"] for row in rows] == ["no gain shown"] * 2
    few = load([make_sweep(world(noise=0.02), seeds=(0, 1), name="few")])
    assert {row["word"] for row in prices(few, aggregate(few), curves(few))} == {"no gain shown"}


def test_only_common_seeds_make_a_price(make_sweep: Make, world: Any) -> None:
    sweep_dir = make_sweep(
        world(seed_sd=0.01, noise=0.02, cross=lambda r: 0.4 * r), seeds=(0, 1, 2, 3)
    )
    shutil.rmtree(sweep_dir.parent.parent / "runs" / "t000s3")
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    row = prices(sweep, results, curves(sweep))[1]
    changes = [
        pick(results, s, "RR@10").iloc[-1]["delta"] for s in ("monolingual", "cross-lingual")
    ]
    assert row["n_seeds"] == 3 and row["value"] == pytest.approx(-changes[0] / changes[1], rel=1e-7)


def test_winners_are_adjusted_over_the_languages_and_ratios(sweep: Sweep) -> None:
    results = aggregate(sweep)
    rows = pd.DataFrame(winners(results))
    assert languages(results) == ["de", "en", "fr"] and len(rows) == 9
    assert rows["p_holm"].tolist() == pytest.approx(st.holm(rows["p"].tolist()), rel=1e-8)
    for row in rows.to_dict("records"):
        same = (
            pick(results, "monolingual", "RR@10", row["scope"]).set_index("ratio").loc[row["ratio"]]
        )
        assert (row["value"], row["low"], row["p"]) == (same["delta"], same["delta_low"], same["p"])


def test_winners_and_losers_are_named(make_sweep: Make, world: Any) -> None:
    sweep = load([make_sweep(world(mono=lambda r: -0.2 * r, noise=0.02, seed_sd=0.001))])
    results = aggregate(sweep)
    assert {row["word"] for row in winners(results)} == {"loser"}
    two = results["scope"].isin(["de", "fr"]) & (results["ratio"] == 1)
    results.loc[two, "p_holm"] = 0.06
    results.loc[results["scope"] == "en", "delta"] *= -1
    words = {row["scope"]: row["word"] for row in winners(results) if row["ratio"] == 1}
    assert words == {"de": "not shown", "en": "winner", "fr": "not shown"}
    few = load([make_sweep(world(mono=lambda r: -0.2 * r, noise=0.02), seeds=(0, 1), name="few")])
    assert {row["word"] for row in winners(aggregate(few))} == {"not shown"}
