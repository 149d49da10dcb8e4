"""The three plain answers: what happens, how sure, which ratio."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybrid_sweep.report.headline import Headline, headline
from hybrid_sweep.report.load import load
from hybrid_sweep.report.results import MACRO, aggregate
from tests import snapshots

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


def check(name: str, found: Headline) -> None:
    """Compare the three answers with those that are stored."""
    answers = (found.happens, found.sure, found.use)
    snapshots.check(f"headline/{name}", "\n\n".join("\n".join(answer) for answer in answers) + "\n")


def everywhere(verdict: str, *ratios: float) -> dict[str, dict[float, str]]:
    return {scope: dict.fromkeys(ratios, verdict) for scope in (MACRO, "de", "en", "fr")}


def test_all_shares_hold(sweep_dir: Path) -> None:
    check("all shares hold", told(sweep_dir, **everywhere("non-inferior", 0.5, 1.0)))


def test_a_language_that_loses_is_named(sweep_dir: Path) -> None:
    verdicts = everywhere("non-inferior", 0.5, 1.0)
    verdicts["en"][1.0] = "degraded"
    check("a language loses at the largest share", told(sweep_dir, **verdicts))
    verdicts["fr"][0.5] = "inconclusive"
    check("no share holds for every language", told(sweep_dir, **verdicts))


def test_it_stops_at_the_first_share_that_is_not_shown(sweep_dir: Path) -> None:
    check(
        "the smallest share is open",
        told(sweep_dir, macro={0.5: "inconclusive", 1.0: "non-inferior"}),
    )
    check(
        "the largest share is degraded",
        told(sweep_dir, macro={0.5: "non-inferior", 1.0: "degraded"}),
    )


def test_where_nothing_else_is_measured_a_share_is_safe_and_no_more(
    make_sweep: Make, world: Any
) -> None:
    found = told(
        make_sweep(world(languages=("en",))), macro={0.5: "non-inferior", 1.0: "inconclusive"}
    )
    check("one language alone", found)


def test_a_share_that_buys_nothing_is_not_recommended(sweep_dir: Path) -> None:
    check("nothing is bought", told(sweep_dir, p_cross=0.5, **everywhere("non-inferior", 0.5, 1.0)))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("one seed", {"seeds": (0,)}),
        ("ratio zero alone", {"ratios": (0.0,)}),
        ("no ratio zero", {"ratios": (0.5,)}),
        ("no ratio at all", {"ratios": ()}),
    ],
)
def test_without_a_verdict_no_ratio_is_recommended(
    make_sweep: Make, name: str, changes: dict[str, Any]
) -> None:
    check(f"no verdict, {name}", told(make_sweep(**changes)))


def test_missing_points_make_it_less_sure(make_sweep: Make) -> None:
    sweep_dir = make_sweep(seeds=(0, 1, 2, 3))
    (sweep_dir.parent.parent / "runs" / "t100s3" / "metrics.json").unlink()
    found = told(sweep_dir)
    numbers = re.findall(r"[+-]?[\d.]*\d", found.sure[1])
    # seeds; missing and planned points
    assert numbers[:2] == ["3", "4"] and numbers[-2:] == ["1", "13"]
    check("a point is missing", found)


def test_numbers_are_those_of_the_results(sweep_dir: Path) -> None:
    results = aggregate(load([sweep_dir]))
    row = results.query("setting == 'cross-lingual' and scope == 'macro' and ratio == 1").iloc[0]
    text = told(sweep_dir).happens[1]
    wanted = [f"{row[name]:+.3f}" for name in ("delta", "delta_low", "delta_high")]
    assert re.findall(r"[+-]\d\.\d{3}", text)[-3:] == wanted


def test_means_over_trained_and_unseen_languages_are_no_languages(
    make_sweep: Make, world: Any
) -> None:
    verdicts = everywhere("non-inferior", 0.5, 1.0) | {
        s: {0.5: "degraded", 1.0: "degraded"} for s in ("trained", "unseen")
    }
    found = told(make_sweep(world(trained=("de",))), **verdicts)
    assert "unseen" not in "".join(found.use)
    check("all languages hold, some of them trained on", found)


def test_a_share_that_is_missing_as_a_whole_is_open_and_ends_the_run(
    make_sweep: Make, world: Any
) -> None:
    quiet = world(questions=500, noise=0.05, seed_sd=0.001, mono=lambda r: 0.0)
    sweep_dir = make_sweep(quiet, ratios=(0, 0.25, 0.5, 1), margin=0.03)
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t050s{seed}")
    check("a share is missing as a whole", told(sweep_dir))
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t025s{seed}")
    check("the two smallest shares are missing", told(sweep_dir))
