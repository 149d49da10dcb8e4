"""Sweeps that differ, side by side: when they are compared, what is said to differ, every number,
and what is written.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from hybrid_sweep.report import report, settings
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.comparison import figure as figure_comparison
from hybrid_sweep.report.comparison import text as comparison_text
from hybrid_sweep.report.comparison.between import independent
from hybrid_sweep.report.comparison.console import console
from hybrid_sweep.report.comparison.latex import latex
from hybrid_sweep.report.comparison.page import html
from hybrid_sweep.report.comparison.ratio_table import ratio_table
from hybrid_sweep.report.comparison.report import read
from hybrid_sweep.report.comparison.table import COLUMNS, Comparison, compare
from hybrid_sweep.report.comparison.words import contrast
from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.load import load
from hybrid_sweep.report.render.numbers import signed
from hybrid_sweep.report.report import write_report
from hybrid_sweep.report.results import aggregate
from tests import snapshots
from tests.refused import refused
from tests.report.behrens_fisher import quantile
from tests.report.comparison.pairs_of_sweeps import (
    Make,
    compared,
    configured,
    edit,
    marked,
    picked,
    rewrite,
    runs_of,
)
from tests.report.sections import section

# --- pooled or compared


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, Any]]:
    """What `write_report` makes of some folders, without making it: "pooled" and the warnings, or
    "compared".
    """
    done = SimpleNamespace(console="", exit_code=0)
    told: list[tuple[str, Any]] = []
    monkeypatch.setattr(
        report, "write_one", lambda sweep, warnings, *_: told.append(("pooled", warnings)) or done
    )
    monkeypatch.setattr(
        report,
        "compare_folders",
        lambda folders, *_: told.append(("compared", None)) or (done, []),
    )
    monkeypatch.setattr(report.dataclasses, "replace", lambda found, **_: found)
    monkeypatch.setattr(report, "_record_looks", lambda folders, made: [])

    def decide(*folders: Path) -> tuple[str, Any]:
        told.clear()
        write_report(folders)
        return told[0]

    return decide


def test_sweeps_of_one_setting_are_pooled(make: Make, decided: Callable[..., Any]) -> None:
    first, other = make("a"), make("b", seeds=(3, 4), untrained=())
    assert decided(first, other) == ("pooled", [])
    assert decided(first, first) == ("pooled", [])
    # cannot change a number
    configured(other, "name: toy", "name: toy\n  path: elsewhere\n  revision: x")
    assert decided(first, other) == ("pooled", [])
    configured(other, "max_steps: 200", "max_steps: 200\n  precision: bf16-mixed")
    configured(first, "max_steps: 200", "max_steps: 200\n  precision: 32-true")
    verdict, warnings = decided(first, other)
    assert verdict == "pooled"
    snapshots.check("comparison/machine settings that are mixed", "\n".join(warnings) + "\n")


@pytest.mark.parametrize(
    "what", ["setting", "margin", "collection", "model", "questions", "rows", "runs"]
)
def test_sweeps_that_differ_are_compared(
    make: Make, decided: Callable[..., Any], what: str
) -> None:
    seeds = (0, 1, 2) if what == "runs" else (3, 4, 5)  # other runs at the same ratios and seeds
    untrained = (0,) if what == "runs" else (1,)
    first, other = make("a"), make("b", seeds=seeds, untrained=untrained)
    if what == "setting":
        configured(other, "size: 64", "size: 32")
    elif what == "margin":
        edit(other / "points.json", lambda plan: plan.update(margin=0.02))
    elif what in ("collection", "model"):
        marked(other, **{what: "dead"})
    elif what in ("questions", "rows"):
        for run in runs_of(other).iterdir():
            rewrite(
                run,
                lambda frame: (
                    frame.assign(group_id="x" + frame["group_id"])
                    if what == "questions"
                    else frame[3:]
                ),
            )
    assert decided(first, other) == ("compared", None)


def test_a_sweep_that_cannot_be_reported_alone_is_named(
    two: tuple[Path, Path], decided: Callable[..., Any]
) -> None:
    assert decided(*two)[0] == "compared"
    path = runs_of(two[1]) / "bt050s0" / "config.yaml"
    path.write_text(path.read_text().replace("size: 64", "size: 32"))
    with refused("report.settings_mixed", two[1], "batch.size (32 / 64)"):
        read(two)
    for metrics in runs_of(two[0]).glob("*/metrics.json"):
        metrics.unlink()
    with refused("sweep.none_finished", two[0], 10):
        read(two)
    with refused("sweep.missing", two[1].parent, "points.json"):
        read([two[1].parent])


def test_more_than_six_sweeps_are_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    folders = [two[0]]
    for index in range(6):
        folders.append(two[0].with_name(f"c{index}"))
        folders[-1].mkdir()
        (folders[-1] / "points.json").write_text((two[0] / "points.json").read_text())
        edit(
            folders[-1] / "points.json",
            lambda plan, index=index: plan.update(margin=0.02 + index / 100),
        )
    with refused("report.too_many_sweeps", 7, 6):
        write_report(folders)


# --- what differs


def what_differs(found: Comparison) -> str:
    """What comparison.md and the console say of it, with the titles in the one."""
    parts = [
        part
        for part in comparison_text.markdown(found).split("\n\n## ")
        if part.startswith("What differs")
    ]
    assert parts
    told = console(found).split("\n\n")[1]
    return "\n\n".join([*(f"## {part}" for part in parts), told]) + "\n"


def test_what_differs_is_named_and_what_cannot_change_a_number_comes_last_or_not_at_all(
    two: tuple[Path, Path],
) -> None:
    first, other = two
    edit(other / "points.json", lambda plan: plan.update(margin=0.05))
    marked(other, model="beef")
    configured(other, "max_steps: 200", "max_steps: 300\n  devices: 2")
    configured(first, "max_steps: 200", "max_steps: 200\n  devices: 1")
    configured(other, "seed: ", "eval:\n  index: ivf\npaths:\n  outputs: /home/somebody\nseed: ")
    configured(other, "name: toy", "name: toy\n  path: /secret\n  share: null")
    for path in runs_of(other).glob("*/provenance.json"):
        edit(path, lambda found: found["versions"].update(torch="2.9.0"))
        edit(path, lambda found: found["git"].update(commit="ffff"))
        edit(path, lambda found: found["hardware"].update(gpu="H100", host="node17"))
    found = settings.differences([load([first]), load([other])])
    assert [(each.part, each.key, each.values) for each in found] == [
        ("setting", "sweep.margin", ("0.01", "0.05")),
        ("setting", "data.share", ("", "null")),
        ("setting", "eval.index", ("flat", "ivf")),  # older runs do not have the field: its default
        ("setting", "model.hidden_size", ("", "256")),
        ("setting", "trainer.max_steps", ("200", "300")),
        ("content", "fingerprint of model", ("feed", "beef")),
        ("rest", "trainer.devices", ("1", "2")),
        ("rest", "code: commit", ("0123456789abcdef", "ffff")),
        ("rest", "hardware: gpu", ("", "H100")),
        ("rest", "version: torch", ("2.13.0", "2.9.0")),
    ]
    both = compared(first, other)
    snapshots.check("comparison/what differs", what_differs(both))
    for words in (comparison_text.markdown(both), console(both), html(both, b"")):
        assert not any(secret in words for secret in ("/secret", "somebody", "node17"))


def test_ratios_and_seeds_that_only_some_have(make: Make) -> None:
    first = make("a", ratios=(0.0, 0.5), seeds=(0, 1, 2))
    other = configured(
        make("b", ratios=(0.0, 0.25, 0.5), seeds=(1, 2, 3, 4)), "size: 64", "size: 32"
    )
    text = comparison_text.markdown(compared(first, other))
    assert "| `b` | 0 0.25 0.5 | 1 2 3 4 | 12 | 0 |" in text
    snapshots.check("comparison/ratios and seeds that only some have", section(text, "Points"))


def test_sweeps_with_the_same_settings_but_other_runs_say_so(make: Make) -> None:
    found = compared(make("a"), make("b"))
    assert [each for each in found.differences if each.part != settings.REST] == []
    snapshots.check("comparison/nothing differs but the runs", what_differs(found))


# --- the numbers


@pytest.mark.parametrize("is_in_both", [True, False])
def test_a_measure_of_languages_has_a_column_where_all_sweeps_have_it(
    two: tuple[Path, Path], is_in_both: bool
) -> None:
    for folder in two if is_in_both else two[:1]:
        for path in runs_of(folder).glob("*/per_query.parquet"):
            table = pd.read_parquet(path)
            last = table["rank_max"].astype(float).where(table["setting"] == "multilingual")
            table.assign(**{"Max@R": last}).to_parquet(path, index=False)
    table = ratio_table(compare(*read(list(two))))
    titles = [column.title for column in table.columns]
    assert ("Max@R" in titles) == is_in_both
    assert {len(row) for group in table.groups for row in group.rows} == {len(titles)}


def test_levels_and_changes_are_those_of_each_sweep_alone(two: tuple[Path, Path]) -> None:
    edit(two[1] / "points.json", lambda plan: plan.update(margin=0.2))
    found = compared(*two)
    for name, folder, margin in [("a", two[0], 0.01), ("b", two[1], 0.2)]:
        alone = aggregate(load([folder]))
        for _, row in alone[alone["scope"] == "macro"].iterrows():
            where = {
                "sweep": name,
                "setting": row["setting"],
                "measure": row["measure"],
                "kind": row["kind"],
            }
            here = picked(found, **where)
            here = here[
                (here["ratio"] == row["ratio"]) | (here["ratio"].isna() & pd.isna(row["ratio"]))
            ]
            level, change = (
                here[here["statistic"] == statistic] for statistic in ("level", "change")
            )
            assert level[["value", "low", "high"]].to_numpy().tolist() == [
                [row["mean"], row["low"], row["high"]]
            ]
            assert level["run_ids"].item() == row["run_ids"] and level["margin"].item() == margin
            wanted = row[
                ["delta", "delta_low", "delta_high", "delta_low_90", "delta_high_90", "p", "p_holm"]
            ].tolist()
            columns = ["value", "low", "high", "low_90", "high_90", "p", "p_holm"]
            assert change[columns].to_numpy().tolist() == (
                [wanted] if pd.notna(row["delta"]) else []
            )
            assert change["verdict"].tolist() == (
                [row["verdict"]] if pd.notna(row["delta"]) else []
            )
        shape = derived(load([folder]), alone).query("statistic == 'slope' and scope == 'macro'")
        here = found.table.query("statistic == 'slope' and sweep == @name")
        columns = ["setting", "measure", "value", "low", "high", "interval"]
        assert (
            here[columns].to_numpy().tolist() == shape[columns].to_numpy().tolist()
            and len(here) > 3
        )
    assert list(found.table.columns) == list(COLUMNS)
    first = found.table.query("statistic == 'slope'").iloc[0]
    (line,) = (
        line
        for line in comparison_text.markdown(found).splitlines()
        if line.startswith("| `a` | 0.01 |")
    )
    assert f"| {signed(first['value'])} [" in line


def test_different_margins_are_shown_and_each_verdict_keeps_its_own(make: Make) -> None:
    loss = {"mono": lambda ratio: -0.05 * ratio, "noise": 0.05, "seed_sd": 0.001, "questions": 200}
    first, other = make("a", margin=0.01, **loss), make("b", margin=0.2, **loss)
    found = compared(first, other)
    changes = picked(found, statistic="change", ratio=1.0)
    assert changes[["sweep", "margin", "verdict"]].to_numpy().tolist() == [
        ["a", 0.01, "degraded"],
        ["b", 0.2, "non-inferior"],
    ]
    assert (
        np.isnan(changes["largest_non_inferior"][0]) and changes["largest_non_inferior"][1] == 1.0
    )
    text = comparison_text.markdown(found)
    assert "| `sweep.margin` | `0.01` | `0.2` |" in text
    snapshots.check(
        "comparison/different margins", section(text, "Largest ratio still non-inferior")
    )


def test_twice_the_same_sweep_differs_by_exactly_nothing(two: tuple[Path, Path]) -> None:
    tested = compared(*two).table.query("statistic in ('difference', 'difference of changes')")
    assert len(tested) == (6 + 3) * (3 + 2)  # measures and languages; ratios, and those above 0
    assert (tested[["value", "low", "high", "low_90", "high_90"]] == 0).all(axis=None)
    assert (tested[["p", "p_holm"]] == 1).all(axis=None) and set(tested["interval"]) == {"crossed"}


def matrix(
    folder: Path, ratio: float, setting: str = "monolingual", measure: str = "RR@10"
) -> np.ndarray:
    """Mean over the languages or pairs of each seed and question, where all questions are in all
    languages.
    """
    rows = []
    for run in sorted(runs_of(folder).glob(f"*t{round(ratio * 100):03d}s*")):
        frame = pd.read_parquet(run / "per_query.parquet").query("setting == @setting")
        rows.append(frame.groupby("group_id")[measure].mean().sort_index().to_numpy())
    return np.stack(rows)


def crossed(y: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval over three seeds and the questions, by hand."""
    n, g = y.shape
    mean = y.mean()
    seeds = g * sum((row.mean() - mean) ** 2 for row in y) / (n - 1)
    questions = n * sum((column.mean() - mean) ** 2 for column in y.T) / (g - 1)
    rest = sum(
        (y[s, q] - y[s].mean() - y[:, q].mean() + mean) ** 2 for s in range(n) for q in range(g)
    ) / ((n - 1) * (g - 1))
    more = max(questions - rest, 0)
    seeds = max(seeds, rest)
    size = quantile(0.95, seeds / (seeds + more), n - 1, g - 1)
    half = size * math.sqrt((seeds + more) / (n * g))
    return mean, mean - half, mean + half


@pytest.mark.parametrize(
    ("setting", "measure"),
    [("monolingual", "RR@10"), ("cross-lingual", "RR@10"), ("multilingual", "AP")],
)
def test_differences_equal_a_brute_force(make: Make, setting: str, measure: str) -> None:
    first = make("a")
    # another world, the same questions
    other = configured(make("b", seed=1, noise=0.3), "name: tiny", "name: other")
    found = compared(first, other)
    where = {"setting": setting, "measure": measure, "sweep": "b", "against": "a"}
    for ratio in (0.0, 0.5, 1.0):
        here, there = (matrix(folder, ratio, setting, measure) for folder in (other, first))
        row = picked(found, statistic="difference", **where).query("ratio == @ratio").iloc[0]
        assert row[["value", "low", "high"]].tolist() == pytest.approx(
            crossed(here - there), rel=1e-7
        )
        assert (row["interval"], row["seeds"], row["seeds_against"]) == (
            "crossed",
            "0 1 2",
            "0 1 2",
        )
        here, there = (
            here - matrix(other, 0.0, setting, measure),
            there - matrix(first, 0.0, setting, measure),
        )
        twice = picked(found, statistic="difference of changes", **where).query("ratio == @ratio")
        assert len(twice) == (ratio > 0)
        if ratio > 0:
            assert twice.iloc[0][["value", "low", "high"]].tolist() == pytest.approx(
                crossed(here - there), rel=1e-7
            )
    p = picked(found, statistic="difference", **where)
    assert p["p_holm"].tolist() == pytest.approx(st.holm(p["p"].tolist()), rel=1e-6)


def test_other_seeds_are_taken_as_independent(make: Make) -> None:
    """Other batches and another model: a seed's number means nothing, though the numbers are the
    same.
    """
    first = make("a", seeds=(0, 1, 2))
    other = configured(make("b", seed=1, seeds=(0, 1, 2, 3, 4)), "name: tiny", "name: other")
    configured(other, "size: 64", "size: 32")
    found = compared(first, other)
    row = picked(found, statistic="difference", ratio=0.5).iloc[0]
    here, there = matrix(other, 0.5), matrix(first, 0.5)
    assert row["value"] == pytest.approx(here.mean() - there.mean(), rel=1e-7)
    assert (row["interval"], row["seeds"], row["seeds_against"]) == (
        "independent",
        "0 1 2 3 4",
        "0 1 2",
    )
    assert row["p"] == pytest.approx(
        scipy.stats.t.sf(abs(row["value"]) / (row["high"] - row["value"]) * 1, 1e9) * 2, abs=1
    )
    wanted = independent(here, there)
    assert row[["low", "high"]].tolist() == pytest.approx(
        [float(end) for end in st.bounds(wanted, 0.95)], rel=1e-6
    )
    assert row["p"] == pytest.approx(float(st.p_value(wanted)), rel=1e-6)
    twice = picked(found, statistic="difference of changes", ratio=0.5).iloc[0]
    gap = (here - matrix(other, 0.0)).mean() - (there - matrix(first, 0.0)).mean()
    assert twice["value"] == pytest.approx(gap, rel=1e-7) and twice["interval"] == "independent"
    snapshots.check("comparison/independent seeds", contrast(found, 1) + "\n")


def test_a_planted_effect_is_found_where_it_is(make: Make) -> None:
    """One sweep loses 0.08 more at r = 1 than the other, in monolingual retrieval alone; both start
    at the same level.
    """
    first = make("a", questions=150, noise=0.05, mono=lambda ratio: 0.0)
    other = configured(
        make("b", questions=150, noise=0.05, mono=lambda ratio: -0.08 * ratio),
        "name: tiny",
        "name: other",
    )
    found = compared(first, other)
    twice = picked(found, statistic="difference of changes", ratio=1.0).iloc[0]
    assert twice["high"] < 0 and twice["p_holm"] < 0.05
    level = picked(found, statistic="difference").set_index("ratio")
    assert level["p_holm"][0.0] == 1 and level["p_holm"][1.0] < 0.05
    across = picked(
        found, statistic="difference of changes", setting="cross-lingual", ratio=1.0
    ).iloc[0]
    assert across["value"] == 0 and across["p_holm"] == 1
    snapshots.check("comparison/a difference is shown", contrast(found, 1) + "\n")


def test_two_seeds_carry_no_test(make: Make) -> None:
    first, other = (
        make("a", seeds=(0, 1)),
        configured(make("b", seeds=(0, 1, 2)), "size: 64", "size: 32"),
    )
    found = compared(first, other)
    rows = found.table.query("statistic in ('difference', 'difference of changes')")
    assert (
        set(rows["interval"]) == {"conditional"}
        and rows["p"].isna().all()
        and set(rows["seeds"]) == {"0 1"}
    )
    snapshots.check("comparison/two seeds", contrast(found, 1) + "\n")


@pytest.mark.slow
def test_three_sweeps_are_tested_against_the_first_with_one_adjustment(make: Make) -> None:
    first = make("a")
    others = [
        configured(make(name, seed=1 + index), "name: tiny", f"name: {name}")
        for index, name in enumerate("bc")
    ]
    found = compared(first, *others)
    rows = picked(found, statistic="difference")
    assert set(rows["against"]) == {"a"} and sorted(rows["sweep"]) == ["b"] * 3 + ["c"] * 3
    assert rows["p_holm"].tolist() == pytest.approx(st.holm(rows["p"].tolist()), rel=1e-6)
    alone = picked(compared(first, others[1]), statistic="difference")
    both = rows[rows["sweep"] == "c"].reset_index(drop=True)
    assert (
        both["value"].tolist() == alone["value"].tolist()
        and (both["p_holm"] >= alone["p_holm"]).all()
    )
    assert found.table["sweep"].unique().tolist() == ["a", "b", "c"]


def test_another_collection_is_shown_but_not_tested(make: Make) -> None:
    first, other = make("a"), marked(make("b"), collection="dead")
    found = compared(first, other)
    assert set(found.table["statistic"]) == {"level", "change", "slope"}
    text = comparison_text.markdown(found)
    assert "| `fingerprint of collection` | `c0ffee` | `dead` |" in text
    # none of a table of differences
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    snapshots.check(
        "comparison/another collection", "\n".join([contrast(found, 1), "", *titles]) + "\n"
    )


def test_other_languages_are_tested_one_by_one(make: Make) -> None:
    first, other = make("a"), make("b", languages=("en", "fr", "nl"))
    found = compared(first, other)
    rows = found.table.query("statistic == 'difference'")
    assert set(rows["scope"]) == {"en", "fr"} and set(rows["setting"]) == {"monolingual"}
    assert rows.query("scope == 'en' and ratio == 1")["n_questions"].item() == 30
    here, there = (
        np.mean(
            [
                pd.read_parquet(run / "per_query.parquet")
                .query("setting == 'monolingual' and query_lang == 'en'")["RR@10"]
                .mean()
                for run in runs_of(folder).glob("*t100s*")
            ]
        )
        for folder in (other, first)
    )
    assert rows.query("scope == 'en' and ratio == 1")["value"].item() == pytest.approx(
        here - there, rel=1e-7
    )
    snapshots.check("comparison/other languages", contrast(found, 1) + "\n")
    text = comparison_text.markdown(found)
    assert "| `b` | fr | 1 |" in text and "| `data.languages` | `de en fr` | `en fr nl` |" in text


def test_missing_points_are_told_and_the_pairs_keep_what_is_left(make: Make) -> None:
    first, other = (
        make("a", seeds=range(4)),
        configured(make("b", seeds=range(4)), "name: tiny", "name: other"),
    )
    for run_id in ("bt050s1", "bt100s0", "bt100s1", "bt100s2", "bt100s3"):
        (runs_of(other) / run_id / "metrics.json").unlink()
    found = compared(first, other)
    rows = picked(found, statistic="difference")
    assert rows["ratio"].tolist() == [0, 0.5] and rows["seeds"].tolist() == ["0 1 2 3", "0 2 3"]
    gone = found.table.query("status == 'missing'")
    assert sorted(gone["run_ids"]) == ["bt050s1", "bt100s0", "bt100s1", "bt100s2", "bt100s3"]
    assert set(gone["sweep"]) == {"b"}
    told, text = console(found), comparison_text.markdown(found)
    assert "| `b` | 0 0.5 1 | 0 1 2 3 | 12 | 5 |" in text
    lines = [line for line in told.splitlines() if line.startswith("b ")]
    # the ratio, its finished points, and the planned ones
    assert re.findall(r"[\d.]+", lines[2]) == ["1", "0", "4"]
    unfinished = [line for line in told.splitlines() if "bt" in line]
    assert len(unfinished) == 5
    page = re.findall('<p class="gap">(.*)</p>', html(found, b""))
    caption = [line for line in latex(found).splitlines() if line.startswith(r"\caption")]
    drawn = figure_comparison.lines_of(found, ("monolingual", "RR@10", "macro"))[1]
    assert np.isnan(drawn["change"][2])
    notes = [figure_comparison._notes(found, [drawn])]
    parts = [
        lines[2:3],
        unfinished,
        [section(text, "Missing points").strip()],
        page,
        caption,
        notes,
    ]
    snapshots.check(
        "comparison/missing points", "\n\n".join("\n".join(part) for part in parts) + "\n"
    )
