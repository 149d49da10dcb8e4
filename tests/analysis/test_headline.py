"""The three plain answers: what happens, how sure, which ratio."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybrid_sweep.analysis.headline import Headline, headline
from hybrid_sweep.analysis.results import MACRO, aggregate
from hybrid_sweep.analysis.table import load

Make = Callable[..., Path]


def told(sweep_dir: Path, p_cross: float = 0.001, **verdicts: dict[float, str]) -> Headline:
    """The headline of a sweep with the adjusted p of each cross-lingual change, and verdicts by
    scope and ratio, replaced.
    """
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    mono = (results["setting"] == "monolingual") & (results["delta"].notna())
    results.loc[(results["setting"] == "cross-lingual") & results["delta"].notna(), "p_holm"] = (
        p_cross
    )
    for scope, by_ratio in verdicts.items():
        for ratio, verdict in by_ratio.items():
            results.loc[
                mono & (results["scope"] == scope) & (results["ratio"] == ratio), "verdict"
            ] = verdict
    return headline(sweep, results)


def everywhere(verdict: str, *ratios: float) -> dict[str, dict[float, str]]:
    return {scope: dict.fromkeys(ratios, verdict) for scope in (MACRO, "de", "en", "fr")}


def test_all_shares_hold(sweep_dir: Path) -> None:
    found = told(sweep_dir, **everywhere("non-inferior", 0.5, 1.0))
    assert found.happens[0] == "Monolingual quality holds up to r = 1"
    assert found.sure[0] == "2 of 2 shares settled, at a 5 % risk each"
    assert (
        found.use[0] == "Use r = 1"
        and "Taken one by one, every language is shown to hold there too." in found.use[1]
    )
    assert "Cross-lingual MRR@10 rises at r = 1" in found.use[1]


def test_a_language_that_loses_is_named(sweep_dir: Path) -> None:
    verdicts = everywhere("non-inferior", 0.5, 1.0)
    verdicts["en"][1.0] = "degraded"
    found = told(sweep_dir, **verdicts)
    assert found.use[0] == "Use r = 1, but not for en"
    assert (
        "But en loses more than that. Taken one by one, every language is shown to hold up to r ="
        " 0.5." in found.use[1]
    )
    verdicts["fr"][0.5] = "inconclusive"
    assert (
        "Taken one by one, no share is shown to hold for every language."
        in told(sweep_dir, **verdicts).use[1]
    )


def test_it_stops_at_the_first_share_that_is_not_shown(sweep_dir: Path) -> None:
    found = told(sweep_dir, macro={0.5: "inconclusive", 1.0: "non-inferior"})
    assert found.happens[0] == "Monolingual quality is not shown to hold"
    assert found.use[0] == "Stay at r = 0" and "r = 0.5 open" in found.sure[0]
    found = told(sweep_dir, macro={0.5: "non-inferior", 1.0: "degraded"})
    assert found.happens[0] == "Monolingual quality holds up to r = 0.5" and found.use[
        0
    ].startswith("Use r = 0.5")
    assert (
        "At r = 1 it changes by" in found.happens[1]
        and "a loss larger than that" in found.happens[1]
    )


def test_where_nothing_else_is_measured_a_share_is_safe_and_no_more(
    make_sweep: Make, world: Any
) -> None:
    found = told(
        make_sweep(world(languages=("en",))), macro={0.5: "non-inferior", 1.0: "inconclusive"}
    )
    assert found.use[0] == "r = 0.5 is safe"


def test_a_share_that_buys_nothing_is_not_recommended(sweep_dir: Path) -> None:
    found = told(sweep_dir, p_cross=0.5, **everywhere("non-inferior", 0.5, 1.0))
    assert found.use[0] == "r = 1 is safe, but buys nothing shown"
    assert "No change of cross-lingual MRR@10 is shown" in found.use[1]


@pytest.mark.parametrize(
    "changes", [{"seeds": (0,)}, {"ratios": (0.0,)}, {"ratios": (0.5,)}, {"ratios": ()}]
)
def test_without_a_verdict_no_ratio_is_recommended(
    make_sweep: Make, changes: dict[str, Any]
) -> None:
    found = told(make_sweep(**changes))
    assert found.happens[0] == "No verdict yet" and found.happens[1].startswith("No verdict:")
    assert found.sure[0] == "Not sure at all" and found.use[0] == "No ratio yet"
    assert ("these checkpoints only" in found.sure[1]) == ("seeds" in changes)


def test_missing_points_make_it_less_sure(make_sweep: Make) -> None:
    sweep_dir = make_sweep(seeds=(0, 1, 2, 3))
    (sweep_dir.parent.parent / "runs" / "t100s3" / "metrics.json").unlink()
    found = told(sweep_dir)
    assert "3 to 4 seeds" in found.sure[1] and "1 of 13 points are missing." in found.sure[1]


def test_numbers_are_those_of_the_results(sweep_dir: Path) -> None:
    results = aggregate(load([sweep_dir]))
    row = results.query("setting == 'cross-lingual' and scope == 'macro' and ratio == 1").iloc[0]
    text = told(sweep_dir).happens[1]
    assert (
        f"{row['delta']:+.3f}, 95 % interval [{row['delta_low']:+.3f}, {row['delta_high']:+.3f}]"
        in text
    )


def test_means_over_trained_and_unseen_languages_are_no_languages(
    make_sweep: Make, world: Any
) -> None:
    verdicts = everywhere("non-inferior", 0.5, 1.0) | {
        s: {0.5: "degraded", 1.0: "degraded"} for s in ("trained", "unseen")
    }
    found = told(make_sweep(world(trained=("de",))), **verdicts)
    assert "every language is shown to hold there too" in found.use[1] and "unseen" not in "".join(
        found.use
    )


def test_a_share_that_is_missing_as_a_whole_is_open_and_ends_the_run(
    make_sweep: Make, world: Any
) -> None:
    quiet = world(questions=150, noise=0.02, seed_sd=0.001, mono=lambda r: 0.0)
    sweep_dir = make_sweep(quiet, ratios=(0, 0.25, 0.5, 1), margin=0.03)
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t050s{seed}")
    found = told(sweep_dir)
    assert found.happens[0] == "Monolingual quality holds up to r = 0.25"
    assert found.sure[0] == "2 of 3 shares settled, at a 5 % risk each; r = 0.5 open"
    assert (
        "r = 0.5 has no finished seed that r = 0 has too. 3 of 13 points are missing."
        in found.sure[1]
    )
    assert found.use[0] == "Use r = 0.25"
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t025s{seed}")
    found = told(sweep_dir)
    assert (
        found.happens[0] == "Monolingual quality is not shown to hold"
        and found.use[0] == "Stay at r = 0"
    )
    assert (
        "At r = 0.25 already" in found.happens[1]
        and "together with every smaller one planned" in found.use[1]
    )
