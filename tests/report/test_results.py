"""The table of results against plain pandas and loops, and what happens to it when points are
missing.
"""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.load import Sweep, load
from hybrid_sweep.report.measures import MEASURES
from hybrid_sweep.report.results import COLUMNS, aggregate, languages, pick


def raw(sweep: Sweep) -> pd.DataFrame:
    """The frame with plain text columns, for pandas to group."""
    text = ["kind", "run_id", "setting", "query_lang", "passage_lang", "query_id", "group_id"]
    return sweep.frame.astype(dict.fromkeys(text, str))


def by_hand(frame: pd.DataFrame, setting: str, measure: str) -> pd.Series:
    """Macro mean of each run: over domains of the mean over queries."""
    rows = frame[(frame["setting"] == setting) & frame[measure].notna()]
    domains = ["query_lang", "passage_lang"] if setting == "cross-lingual" else ["query_lang"]
    return rows.groupby(["run_id", *domains])[measure].mean().groupby("run_id").mean()


@pytest.mark.parametrize(("setting", "measure"), [one.place for one in MEASURES])
def test_means_equal_plain_pandas(sweep_dir: Path, setting: str, measure: str) -> None:
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    frame = raw(sweep)
    means = by_hand(frame, setting, measure)
    for row in pick(results, setting, measure).to_dict("records"):
        wanted = means[row["run_ids"].split()].mean()
        assert row["mean"] == pytest.approx(wanted, rel=1e-8)
        assert row["n_seeds"] == 3
    rows = frame[
        (frame["setting"] == setting) & (frame["query_lang"] == "de") & frame[measure].notna()
    ]
    if setting != "cross-lingual":
        french = pick(results, setting, measure, "de").iloc[1]
        wanted = rows[rows["ratio"] == 0.5][measure].mean()
        assert (french["mean"], french["n_rows"]) == (
            pytest.approx(wanted, rel=1e-8),
            len(rows) // 10,
        )
    else:
        pair = pick(results, setting, measure, "de>en").iloc[1]
        wanted = rows[(rows["ratio"] == 0.5) & (rows["passage_lang"] == "en")][measure].mean()
        assert pair["mean"] == pytest.approx(wanted, rel=1e-8)


def test_an_effect_equals_a_brute_force_from_the_raw_tables(sweep_dir: Path) -> None:
    """Paired macro difference, its crossed interval and its relative size, in plain loops over the
    files.
    """
    runs = sweep_dir.parent.parent / "runs"
    tables = {
        name: pd.read_parquet(runs / name / "per_query.parquet")
        for name in (p.name for p in runs.iterdir())
    }
    tables = {name: table[table["setting"] == "monolingual"] for name, table in tables.items()}
    groups = sorted(set(tables["t000s0"]["group_id"]))
    sizes = tables["t000s0"]["query_lang"].value_counts()
    y = np.zeros((3, len(groups)))
    base = []
    for s in range(3):
        high, low = (tables[f"t{r}s{s}"].set_index("query_id") for r in ("100", "000"))
        delta = high["RR@10"] - low["RR@10"]
        mean = {lang: delta[high["query_lang"] == lang].mean() for lang in sizes.index}
        base.append(
            np.mean([low[low["query_lang"] == lang]["RR@10"].mean() for lang in sizes.index])
        )
        y[s] += np.mean(list(mean.values()))
        for query, value in delta.items():
            lang = high.loc[query, "query_lang"]
            stretch = (sizes[lang] / (sizes[lang] - 1) * (len(groups) - 1) / len(groups)) ** 0.5
            y[s, groups.index(high.loc[query, "group_id"])] += (
                len(groups) / 3 * (value - mean[lang]) / sizes[lang] * stretch
            )
    tau2 = np.array(
        [
            sum(
                1 / sizes[lang] ** 2
                for lang in tables["t000s0"][tables["t000s0"]["group_id"] == g]["query_lang"]
            )
            for g in groups
        ]
    )
    found = st.crossed_estimate(y, tau2.sum() ** 2 / (tau2**2).sum() - 1)
    row = pick(aggregate(load([sweep_dir])), "monolingual", "RR@10").iloc[-1]
    assert row["delta"] == pytest.approx(y.mean(), rel=1e-8)
    assert (row["delta_low"], row["delta_high"]) == pytest.approx(st.bounds(found, 0.95), rel=1e-7)
    assert (row["delta_low_90"], row["delta_high_90"]) == pytest.approx(
        st.bounds(found, 0.90), rel=1e-7
    )
    assert row["half_width"] == pytest.approx(st.half_width(found, 0.90), rel=1e-7)
    assert row["p"] == pytest.approx(st.p_value(found), rel=1e-6)
    assert row["relative"] == pytest.approx(y.mean() / np.mean(base), rel=1e-7)
    assert row["n_questions"] == len(groups) and row["n_rows"] == sizes.sum()


def test_p_values_are_adjusted_over_the_ratios_of_one_curve(sweep_dir: Path) -> None:
    results = aggregate(load([sweep_dir]))
    for setting, measure in (one.place for one in MEASURES):
        rows = pick(results, setting, measure)
        assert rows["p"].notna().tolist() == [False, True, True]
        assert rows["p_holm"].tolist()[1:] == pytest.approx(
            st.holm(rows["p"].tolist()[1:]), rel=1e-7
        )


def test_columns_are_the_documented_ones_and_verdicts_only_monolingual(sweep_dir: Path) -> None:
    results = aggregate(load([sweep_dir]))
    assert list(results.columns) == [name for name in COLUMNS if name != "n_clusters"]
    assert set(results[results["verdict"] != ""]["setting"]) == {"monolingual"}
    assert set(results[results["setting"] == "monolingual"]["scope"]) == {"macro", "de", "en", "fr"}
    assert len(set(results[results["setting"] == "cross-lingual"]["scope"])) == 1 + 6
    assert not results.duplicated(["kind", "ratio", "setting", "measure", "scope"]).any()


def test_the_effect_is_found_and_named(make_sweep: Callable[..., Path], world: Any) -> None:
    quiet = dict(questions=600, noise=0.02, seed_sd=0.001)
    loss = aggregate(load([make_sweep(world(mono=lambda r: -0.06 * r, **quiet), name="loss")]))
    assert pick(loss, "monolingual", "RR@10")["verdict"].tolist() == [
        "baseline",
        "degraded",
        "degraded",
    ]
    flat = aggregate(load([make_sweep(world(mono=lambda r: 0, **quiet), margin=0.03, name="flat")]))
    assert pick(flat, "monolingual", "RR@10")["verdict"].tolist() == [
        "baseline",
        "non-inferior",
        "non-inferior",
    ]
    gain = aggregate(load([make_sweep(world(mono=lambda r: 0.06 * r, **quiet), name="gain")]))
    assert pick(gain, "monolingual", "RR@10")["verdict"].tolist()[2] == "superior"


def test_only_seeds_that_both_ratios_have_are_paired(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    """A seed that is missing at one ratio must not shift the difference by its own level."""
    sweep_dir = make_sweep(world(seed_sd=0.05), seeds=(0, 1, 2, 3))
    whole = aggregate(load([sweep_dir]))
    shutil.rmtree(sweep_dir.parent.parent / "runs" / "t000s3")
    results = aggregate(load([sweep_dir]))
    rows = pick(results, "monolingual", "RR@10")
    assert rows["n_seeds"].tolist() == [3, 4, 4]
    assert rows["delta_seeds"].tolist() == [0, 3, 3]
    assert rows["status"].tolist() == ["partial", "complete", "complete"]
    frame = raw(load([sweep_dir]))
    means = by_hand(frame, "monolingual", "RR@10")
    wanted = np.mean([means[f"t050s{s}"] - means[f"t000s{s}"] for s in range(3)])
    assert rows["delta"][1] == pytest.approx(wanted, rel=1e-7)
    assert rows["delta"][1] != pytest.approx(rows["mean"][1] - rows["mean"][0], abs=1e-4)
    assert pick(whole, "monolingual", "RR@10")["mean"][1] == rows["mean"][1]


def test_a_missing_point_is_a_row(sweep_dir: Path) -> None:
    shutil.rmtree(sweep_dir.parent.parent / "runs" / "t050s1")
    results = aggregate(load([sweep_dir]))
    gone = results[results["status"] == "missing"]
    assert gone[["kind", "ratio", "seeds", "run_ids", "n_seeds"]].values.tolist() == [
        ["trained", 0.5, "1", "t050s1", 0]
    ]
    rows = pick(results, "monolingual", "RR@10")
    assert rows["interval"].tolist() == ["crossed", "conditional", "crossed"]
    assert rows["delta_interval"].tolist() == ["", "conditional", "crossed"]
    assert rows["verdict"].tolist()[1] == "untested"
    assert np.isnan(rows["p"][1])


def test_without_ratio_zero_nothing_is_compared(sweep_dir: Path) -> None:
    for seed in range(3):
        shutil.rmtree(sweep_dir.parent.parent / "runs" / f"t000s{seed}")
    rows = pick(aggregate(load([sweep_dir])), "monolingual", "RR@10")
    assert rows["ratio"].tolist() == [0.5, 1.0]
    assert rows["delta"].isna().all() and rows["mean"].notna().all()


def test_equal_runs_differ_by_exactly_nothing(make_sweep: Callable[..., Path], world: Any) -> None:
    sweep_dir = make_sweep(world(questions=20))
    runs = sweep_dir.parent.parent / "runs"
    for seed in range(3):
        same = pd.read_parquet(runs / f"t000s{seed}" / "per_query.parquet").assign(
            run_id=f"t050s{seed}", ratio=0.5
        )
        same.to_parquet(runs / f"t050s{seed}" / "per_query.parquet", index=False)
    row = pick(aggregate(load([sweep_dir])), "monolingual", "RR@10").iloc[1]
    assert (row["delta"], row["delta_low"], row["delta_high"], row["p"]) == (0, 0, 0, 1)
    # No question moved: none of them carries a verdict.
    assert (row["verdict"], row["carrying"], row["seeds_to_settle_low"]) == (
        "inconclusive",
        0,
        math.inf,
    )


def test_rows_and_points_in_any_order_give_the_same_numbers(sweep_dir: Path) -> None:
    before = aggregate(load([sweep_dir]))
    for seed, path in enumerate(sorted(sweep_dir.parent.parent.glob("runs/*/per_query.parquet"))):
        pd.read_parquet(path).sample(frac=1, random_state=seed).to_parquet(path, index=False)
    plan = json.loads((sweep_dir / "points.json").read_text())
    plan["points"] = plan["points"][::-1]
    (sweep_dir / "points.json").write_text(json.dumps(plan))
    pd.testing.assert_frame_equal(aggregate(load([sweep_dir])), before, check_exact=True)


def test_a_row_without_a_rank_in_any_run_is_left_out_of_rank_distance_in_all(
    make_sweep: Callable[..., Path],
) -> None:
    """An approximate index may not find a passage; the same questions must stand behind every
    ratio.
    """
    sweep_dir = make_sweep(seeds=(0,), bm25=True)
    before = pick(aggregate(load([sweep_dir])), "multilingual", "RD")
    for run, lost in (("t050s0", 3), ("t100s0", 5)):
        path = sweep_dir.parent.parent / "runs" / run / "per_query.parquet"
        table = pd.read_parquet(path)
        table["rank_max"] = table["rank_max"].astype("Int64")
        rows = table.index[(table["setting"] == "multilingual") & (table["query_lang"] == "de")][
            :lost
        ]
        table.loc[rows, "rank_max"] = pd.NA
        table.to_parquet(path, index=False)
    results = aggregate(load([sweep_dir]))
    for kind in ("trained", "bm25"):
        after = pick(results, "multilingual", "RD", kind=kind)
        assert (after["n_rows"] == before["n_rows"].iloc[0] - 5).all() and after[
            "mean"
        ].notna().all()
    assert pick(results, "multilingual", "AP")["n_rows"].tolist() == before["n_rows"].tolist()


def test_questions_won_tied_and_lost_are_counted_by_hand(sweep_dir: Path) -> None:
    """A question's mean difference over seeds and languages, from the raw tables; a language counts
    its own rows alone.
    """
    runs = sweep_dir.parent.parent / "runs"

    def signs(setting: str, measure: str, lang: str | None) -> tuple[int, int, int]:
        found: dict[str, list[float]] = {}
        for seed in range(3):
            high, low = (
                pd.read_parquet(runs / f"t{r}s{seed}" / "per_query.parquet") for r in ("050", "000")
            )
            key = ["setting", "query_lang", "passage_lang", "query_id"]
            both = high.merge(low, on=[*key, "group_id"])
            both = both[
                (both["setting"] == setting) & ((both["query_lang"] == lang) | (lang is None))
            ]
            for row in both.to_dict("records"):
                found.setdefault(row["group_id"], []).append(
                    row[f"{measure}_x"] - row[f"{measure}_y"]
                )
        means = [round(sum(values) / len(values), 10) for values in found.values()]
        return sum(m > 0 for m in means), sum(m == 0 for m in means), sum(m < 0 for m in means)

    results = aggregate(load([sweep_dir]))
    for setting, measure, lang in [
        ("monolingual", "RR@10", None),
        ("monolingual", "RR@10", "de"),
        ("cross-lingual", "RR@10", None),
        ("multilingual", "same@10", "fr"),
    ]:
        rows = pick(results, setting, measure, lang or "macro")
        found = tuple(int(n) for n in rows.loc[1, ["won", "tied", "lost"]])
        assert found == signs(setting, measure, lang)
        assert sum(found) == rows.loc[1, "n_questions"] and found[0] > 0 and found[2] > 0
        assert rows.loc[0, ["won", "tied", "lost"]].tolist() == [0, 0, 0]
    assert pick(results, "monolingual", "RR@10")["tied"].max() > 0


def test_seeds_that_cancel_are_a_tie(make_sweep: Callable[..., Path], world: Any) -> None:
    """0.1 + 0.2 - 0.3 is a tie, although it is not 0 to a computer."""
    sweep_dir = make_sweep(world(questions=20, languages=("en", "de")))
    runs = sweep_dir.parent.parent / "runs"
    for seed, change in enumerate((0.1, 0.2, -0.3)):
        base = pd.read_parquet(runs / f"t000s{seed}" / "per_query.parquet")
        base["RR@10"] = 0.3 + 0.4 * base["RR@10"]  # room for the change
        base.to_parquet(runs / f"t000s{seed}" / "per_query.parquet", index=False)
        other = base.assign(run_id=f"t050s{seed}", ratio=0.5, **{"RR@10": base["RR@10"] + change})
        other.to_parquet(runs / f"t050s{seed}" / "per_query.parquet", index=False)
    row = pick(aggregate(load([sweep_dir])), "monolingual", "RR@10").iloc[1]
    assert (row["won"], row["tied"], row["lost"]) == (0, 20, 0)


def test_examples_are_the_mean_of_the_runs_and_empty_where_one_does_not_say(
    sweep_dir: Path,
) -> None:
    def examples() -> list[list[float]]:
        rows = pick(aggregate(load([sweep_dir])), "monolingual", "RR@10")
        return rows[["examples_monolingual", "examples_cross_lingual"]].to_numpy().tolist()

    assert examples() == [[12800, 0], [6400, 6400], [0, 12800]]
    path = sweep_dir.parent.parent / "runs" / "t050s1" / "metrics.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps(metrics | {"examples_monolingual": 6403}))
    assert examples()[1] == [6401, 6400]
    path.write_text(json.dumps({"run_id": "t050s1"}))
    assert np.isnan(examples()[1]).all() and examples()[2] == [0, 12800]


def test_languages_trained_on_and_not_trained_on_have_means_of_their_own(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    sweep = load(
        [
            make_sweep(
                world(languages=("de", "en", "fr", "ja"), trained=("de", "en"), has={"fr": 0.6})
            )
        ]
    )
    results = aggregate(sweep)
    scopes = results[results["setting"] == "monolingual"]["scope"].drop_duplicates().tolist()
    assert scopes == ["macro", "trained", "unseen", "de", "en", "fr", "ja"]
    assert languages(results) == ["de", "en", "fr", "ja"]
    for setting, parts in {
        "monolingual": {"trained": ["de", "en"], "unseen": ["fr", "ja"]},
        "multilingual": {"trained": ["de", "en"], "unseen": ["fr", "ja"]},
        # A pair is trained on if both of its languages are.
        "cross-lingual": {"trained": ["de>en", "en>de"]},
    }.items():
        for scope, names in parts.items():
            rows = pick(results, setting, "RR@10", scope)
            each = [pick(results, setting, "RR@10", name) for name in names]
            for column in ("mean", "delta"):
                wanted = np.mean([one[column] for one in each], axis=0)
                assert rows[column].to_numpy() == pytest.approx(
                    wanted, rel=1e-7, abs=1e-9, nan_ok=True
                )
            assert rows["delta_interval"].tolist() == ["", "crossed", "crossed"]
    pairs = pick(results, "cross-lingual", "RR@10", "unseen")
    whole, two = (pick(results, "cross-lingual", "RR@10", scope) for scope in ("macro", "trained"))
    assert pairs["mean"].to_numpy() == pytest.approx(
        (12 * whole["mean"] - 2 * two["mean"]) / 10, rel=1e-7
    )
    assert set(pick(results, "monolingual", "RR@10", "unseen")["verdict"]) != {""}


def test_all_languages_unseen_is_one_mean_and_unknown_ones_are_none(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    apart = aggregate(load([make_sweep(world(trained=("xx",)), name="apart")]))
    assert set(apart["scope"]) & {"trained", "unseen"} == {"unseen"}
    sweep_dir = make_sweep(world(trained=("de",)), name="unknown")
    for run in (sweep_dir.parent.parent / "runs").iterdir():
        (run / "config.yaml").unlink()
    assert not set(aggregate(load([sweep_dir]))["scope"]) & {"trained", "unseen"}
    assert not set(aggregate(load([make_sweep(name="all")]))["scope"]) & {"trained", "unseen"}


def test_a_difference_pairs_the_same_seeds_whichever_is_missing(
    make_sweep: Callable[..., Path],
) -> None:
    """The first seed is the one that is gone: whoever pairs by place compares seed 1 with
    seed 0.
    """
    sweep_dir = make_sweep(seeds=(0, 1, 2, 3))
    shutil.rmtree(sweep_dir.parent.parent / "runs" / "t050s0")
    sweep = load([sweep_dir])
    row = pick(aggregate(sweep), "monolingual", "RR@10").set_index("ratio").loc[0.5]
    means = by_hand(raw(sweep), "monolingual", "RR@10")
    wanted = np.mean([means[f"t050s{seed}"] - means[f"t000s{seed}"] for seed in (1, 2, 3)])
    assert row["delta_seeds"] == 3 and row["delta"] == pytest.approx(wanted, abs=1e-8)
