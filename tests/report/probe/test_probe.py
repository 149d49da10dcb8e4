"""The weakness probe: every count and difference again by plain loops, planted losses, and what it
says of them.
"""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.probe.cells import Rule
from hybrid_sweep.report.probe.report import Asked, write_probe
from tests.refused import refused
from tests.report.probe.probe_reading import (
    BARE,
    by_cell,
    read,
    runs_of,
    set_ranks,
    state,
    tables,
    written,
)


def estimated(values: dict[int, list[float]]) -> tuple[float, float, float, float]:
    """Mean, interval and p of values by seed, by the estimate itself: questions in any one
    order.
    """
    found = st.crossed_estimate(np.array([values[seed] for seed in sorted(values)], dtype=float))
    return float(found.mean), *map(float, st.bounds(found, 0.95)), float(st.p_value(found))


@pytest.mark.parametrize(("at", "share"), [(10, 0.5), (3, 0.5), (10, 0.99), (40, 0.7)])
def test_every_change_by_language_and_pair_is_that_of_plain_loops(
    sweep_dir: Path, at: int, share: float
) -> None:
    write_probe([sweep_dir], Asked(Rule(at, share), texts=False))
    found = read(sweep_dir).query("part == 'change' and scope != 'macro'")
    cells = by_cell(sweep_dir, at)
    assert len(found) == 2 * len(cells)
    for row in found.to_dict("records"):
        query, _, passage = row["scope"].partition(">")
        passage = passage or ("*" if row["setting"] == "multilingual" else query)
        success, ratio = cells[row["setting"], query, passage], row["ratio"]
        questions = sorted(success[0.0, 0])
        moves = [
            (state(success, 0.0, q, share), state(success, ratio, q, share)) for q in questions
        ]
        assert row["lost"] == moves.count(("answered", "missed"))
        assert row["gained"] == moves.count(("missed", "answered"))
        assert row["n_questions"] == row["n_asked"] == len(questions) and row["n_seeds"] == 3
        differences = {
            s: [success[ratio, s][q] - success[0.0, s][q] for q in questions] for s in range(3)
        }
        expected = estimated(differences)
        assert [row[name] for name in ("difference", "low", "high", "p")] == pytest.approx(
            expected, rel=1e-7, abs=1e-9
        )
        pairs = [(s, q) for s in range(3) for q in questions]
        for name, was in (("lost_share", True), ("gained_share", False)):
            count = sum(success[0.0, s][q] == was and success[ratio, s][q] != was for s, q in pairs)
            assert row[name] == pytest.approx(count / len(pairs))
        flips = [
            success[0.0, s][q] and not success[0.0, t][q]
            for s, t in itertools.permutations(range(3), 2)
            for q in questions
        ]
        assert row["churn"] == pytest.approx(np.mean(flips))


def test_together_is_the_plain_mean_of_the_languages_and_the_sum_of_their_counts(
    sweep_dir: Path,
) -> None:
    write_probe([sweep_dir], BARE)
    raw = tables(sweep_dir)[0.0, 0]
    for (setting, _), part in (
        read(sweep_dir).query("part == 'change'").groupby(["setting", "ratio"])
    ):
        whole, cells = part[part["scope"] == "macro"].iloc[0], part[part["scope"] != "macro"]
        for name in ("lost", "gained", "n_asked"):
            assert whole[name] == cells[name].sum()
        for name in ("difference", "first", "second", "lost_share", "gained_share", "churn"):
            assert whole[name] == pytest.approx(cells[name].mean(), abs=1e-8)
        assert whole["n_questions"] == raw.loc[raw["setting"] == setting, "group_id"].nunique()
        assert whole["low"] < whole["difference"] < whole["high"]


def test_two_languages_are_compared_on_the_questions_of_both_by_plain_loops(
    sweep_dir: Path,
) -> None:
    write_probe([sweep_dir], BARE)
    found = read(sweep_dir).query("part == 'languages'")
    cells = by_cell(sweep_dir, 10)
    # Three pairs in their own pools and in the mixed one; two languages ask of each third one's
    # passages.
    assert found.groupby(["setting", "ratio"]).size().to_dict() == {
        (setting, ratio): 3
        for setting in ("cross-lingual", "monolingual", "multilingual")
        for ratio in (0.0, 0.5, 1.0)
    }
    for row in found.to_dict("records"):
        a, b, ratio = row["scope"], row["against"], row["ratio"]
        pools = (a, b) if row["setting"] == "monolingual" else (row["passages"],) * 2
        one, other = cells[row["setting"], a, pools[0]], cells[row["setting"], b, pools[1]]
        both = sorted(set(one[0.0, 0]) & set(other[0.0, 0]))
        states = [(state(one, ratio, q, 0.5), state(other, ratio, q, 0.5)) for q in both]
        assert (row["n_questions"], row["lost"]) == (
            len(both),
            states.count(("answered", "missed")),
        )
        assert row["gained"] == states.count(("missed", "answered"))
        assert row["both_missed"] == states.count(("missed", "missed"))
        missed = [sum(pair[side] == "missed" for pair in states) / len(both) for side in (0, 1)]
        assert row["both_expected"] == pytest.approx(missed[0] * missed[1] * len(both))
        expected = estimated(
            {s: [other[ratio, s][q] - one[ratio, s][q] for q in both] for s in range(3)}
        )
        assert [row[name] for name in ("difference", "low", "high", "p")] == pytest.approx(
            expected, rel=1e-7, abs=1e-9
        )


def test_holm_goes_over_one_family(sweep_dir: Path) -> None:
    write_probe([sweep_dir], BARE)
    found = read(sweep_dir)
    cells = found.query("part != 'kind' and scope != 'macro'")
    families = [part for _, part in cells.groupby(["part", "setting", "ratio"])]
    families += [part for _, part in found.query("scope == 'macro'").groupby("setting")]
    families += [
        part for _, part in found.query("part == 'kind'").groupby(["passages", "setting", "ratio"])
    ]
    assert {len(part) for part in families} >= {2, 3, 6}
    for part in families:
        assert part["p_holm"].tolist() == pytest.approx(
            st.holm(part["p"].tolist()), abs=1e-8, nan_ok=True
        )


# --- planted losses


@pytest.fixture
def planted(make_sweep: Callable[..., Path], world: Any) -> tuple[Path, list[str]]:
    """At every ratio and seed the ranks of r = 0, seed 0; at r = 1 seven French questions, 9 of 10
    at 3, are lost.
    """
    sweep_dir = make_sweep(world(questions=60, has={"de": 0.7}), seeds=(0, 1, 2))
    first = pd.read_parquet(runs_of(sweep_dir) / "t000s0" / "per_query.parquet")
    french = (first["setting"] == "monolingual") & (first["query_lang"] == "fr")
    rank = first["rank_min"].where(~french, 1)
    lost = first[french].index[[3, 5, 8, 13, 21, 34, 55]]
    for folder in sorted(runs_of(sweep_dir).iterdir()):
        if folder.name.startswith("t"):
            changed = rank.copy()
            if folder.name.startswith("t100"):
                changed[lost] = range(500, 507)
            set_ranks(folder / "per_query.parquet", changed)
    return sweep_dir, first.loc[lost, "group_id"].tolist()


def test_a_language_that_loses_seven_questions_is_found_with_exactly_these(
    planted: tuple[Path, list[str]],
) -> None:
    sweep_dir, questions = planted
    probe = write_probe([sweep_dir], BARE)
    found = read(sweep_dir).query("part == 'change'")
    lost = found.set_index(["setting", "ratio", "scope"])["lost"]
    assert lost["monolingual", 1.0, "fr"] == 7 and lost["monolingual", 1.0, "macro"] == 7
    # nothing at r = 0.5, in no other cell
    assert found["lost"].sum() == 14 and found["gained"].sum() == 0
    row = found.query("scope == 'fr' and ratio == 1 and setting == 'monolingual'").iloc[0]
    assert (
        row["difference"] == pytest.approx(-7 / 60) and row["word"] == "lower" and row["churn"] == 0
    )
    assert (found.query("not (lost > 0)")["word"] == "not shown").all()
    records = written(sweep_dir, "lost.jsonl")
    assert sorted(record["question"] for record in records) == sorted(questions)
    assert [record["lost"][0]["rank"] for record in records] == [
        [500 + i] * 3 for i in range(6, -1, -1)
    ]
    for record in records:
        (entry,) = record["lost"]
        assert (
            entry["rank_at_0"] == [1, 1, 1]
            and record["seeds"] == [0, 1, 2]
            and record["ratio"] == 1
        )
        assert (entry["setting"], entry["query_language"]) == ("monolingual", "fr")
        assert entry["drop"] == pytest.approx(1 - 1 / entry["rank"][0], abs=1e-6)
    assert written(sweep_dir, "gained.jsonl") == []
    assert (
        "r = 1 misses 7 that r = 0 answers, and answers 0 that r = 0 misses"
        in probe.console.replace("\n", " ")
    )
    assert "fewer answered in fr (-11.7)" in " ".join(probe.console.split())
    shown = [line for line in probe.console.splitlines() if " -> " in line][1:]
    assert [line.rsplit("-> ")[1] for line in shown] == [
        f"{rank} {rank} {rank} (-1.00 in 1/rank)" for rank in (506, 505, 504)
    ]


def test_another_ratio_may_be_looked_at_and_the_tests_stay_the_same(
    planted: tuple[Path, list[str]],
) -> None:
    sweep_dir, _ = planted
    write_probe([sweep_dir], BARE)
    table = (sweep_dir / "probe" / "probe.csv").read_bytes()
    write_probe([sweep_dir], Asked(ratio=0.5, texts=False))
    assert (sweep_dir / "probe" / "probe.csv").read_bytes() == table
    assert written(sweep_dir, "lost.jsonl") == []
    with refused("option.ratio", "--ratio 0.3", "0, 0.5 and 1"):
        write_probe([sweep_dir], Asked(ratio=0.3))


def test_a_question_missed_in_one_language_alone_is_weak_there(
    planted: tuple[Path, list[str]],
) -> None:
    sweep_dir, questions = planted
    write_probe([sweep_dir], BARE)
    cells = by_cell(sweep_dir, 10)
    expected = {}
    for question in sorted({q for success in cells.values() for q in success[1.0, 0]}):
        states = {
            lang: state(success, 1.0, question, 0.5)
            for (setting, lang, _), success in cells.items()
            if setting == "monolingual" and question in success[1.0, 0]
        }
        if {"answered", "missed"} <= set(states.values()):
            expected[question] = states
    found = {
        record["question"]: entry
        for record in written(sweep_dir, "weak.jsonl")
        for entry in record["weak"]
        if entry["setting"] == "monolingual"
    }
    assert found.keys() == expected.keys() and set(found) & set(questions)
    for question, entry in found.items():
        states = {lang: "answered" for lang in entry["answered_in"]} | {
            lang: "missed" for lang in entry["missed_in"]
        }
        assert states == expected[question] and entry["rank"].keys() == states.keys()
        assert all(len(ranks) == 3 for ranks in entry["rank"].values())


def test_swapping_the_ratios_swaps_lost_and_gained(planted: tuple[Path, list[str]]) -> None:
    sweep_dir, questions = planted
    points = json.loads((sweep_dir / "points.json").read_text())
    for point in points["points"]:
        if point["kind"] == "trained" and point["ratio"] != 0.5:
            point["ratio"] = 1.0 - point["ratio"]
            path = runs_of(sweep_dir) / point["run_id"] / "per_query.parquet"
            pd.read_parquet(path).assign(ratio=point["ratio"]).to_parquet(path, index=False)
            config = path.with_name("config.yaml")
            ratio = f"cross_lingual_ratio: {1.0 - point['ratio']}"
            config.write_text(
                config.read_text().replace(ratio, f"cross_lingual_ratio: {point['ratio']}")
            )
    (sweep_dir / "points.json").write_text(json.dumps(points))
    write_probe([sweep_dir], BARE)
    assert sorted(record["question"] for record in written(sweep_dir, "gained.jsonl")) == sorted(
        questions
    )
    assert all(record["gained"][0]["drop"] < 0 for record in written(sweep_dir, "gained.jsonl"))
    assert written(sweep_dir, "lost.jsonl") == []


def test_the_console_shows_the_largest_monolingual_drops_whatever_else_falls_more(
    planted: tuple[Path, list[str]],
) -> None:
    sweep_dir, questions = planted
    for path in runs_of(sweep_dir).glob("t*/per_query.parquet"):
        frame = pd.read_parquet(path)
        pooled = (frame["setting"] == "multilingual") & ~frame["group_id"].isin(questions)
        set_ranks(
            path, frame["rank_min"].mask(pooled, 9000 if path.parent.name.startswith("t100") else 1)
        )
    shown = [
        line for line in write_probe([sweep_dir], BARE).console.splitlines() if " -> " in line
    ][1:]
    assert [line.split("rank 1 1 1 -> ")[1][:3] for line in shown] == ["506", "505", "504"]
    page = (sweep_dir / "probe" / "probe.md").read_text()
    assert "multilingual, de>*" in page or "multilingual, en>*" in page
