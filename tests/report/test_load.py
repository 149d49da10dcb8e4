"""Loading: what counts as finished, what is refused, and that order does not matter."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.report.load import load
from hybrid_sweep.report.stated import Stated
from hybrid_sweep.runs.finished import KEY
from hybrid_sweep.utils import plan_log
from tests.refused import refused
from tests.report.conftest import logged


def rewrite(sweep_dir: Path, run_id: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = sweep_dir.parent.parent / "runs" / run_id / "per_query.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_the_frame_is_tidy_and_sorted(sweep_dir: Path) -> None:
    sweep = load([sweep_dir])
    assert [(p.kind, p.ratio, p.seed) for p in sweep.points[:4]] == [
        ("trained", r, s) for r, s in [(0, 0), (0, 1), (0, 2), (0.5, 0)]
    ]
    assert (len(sweep.points), sweep.missing, sweep.margin) == (10, {}, 0.01)
    for point in sweep.points:
        rows = sweep.frame[sweep.frame["run_id"] == point.run_id]
        assert rows[KEY].astype(str).apply(tuple, axis=1).is_monotonic_increasing
        assert set(rows["ratio"]) == {point.ratio}
    raw = pd.concat(
        [pd.read_parquet(path) for path in sweep_dir.parent.parent.glob("runs/*/per_query.parquet")]
    )
    assert len(sweep.frame) == len(raw)
    assert sweep.frame["RR@10"].sum() == pytest.approx(raw["RR@10"].sum())


def test_rank_distance_needs_two_relevant_passages_in_the_mixed_pool(sweep_dir: Path) -> None:
    frame = load([sweep_dir]).frame
    defined = (frame["setting"] == "multilingual") & (frame["n_relevant"] >= 2)
    assert (frame["RD"].notna() == defined).all()
    assert (frame[frame["setting"] == "multilingual"]["n_relevant"] == 1).any()
    assert (frame[defined]["RD"] >= 1).all()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda run: (run / "metrics.json").unlink(), "not finished"),
        (lambda run: (run / "metrics.json").write_text('{"run_id": "t0'), "is no JSON"),
        (lambda run: (run / "metrics.json").write_text('{"run_id": "other"}'), "not finished"),
        (lambda run: (run / "per_query.parquet").unlink(), "is missing"),
        (lambda run: (run / "per_query.parquet").write_bytes(b"PAR1 cut short"), "cannot be read"),
    ],
)
def test_a_run_without_a_whole_result_is_missing(
    sweep_dir: Path, spoil: Callable[[Path], Any], reason: str
) -> None:
    spoil(sweep_dir.parent.parent / "runs" / "t050s1")
    sweep = load([sweep_dir])
    assert list(sweep.missing) == ["t050s1"]
    assert reason in sweep.missing["t050s1"]
    assert "t050s1" not in set(sweep.frame["run_id"])
    assert len(sweep.finished) == 9


def test_a_failed_run_says_why(sweep_dir: Path) -> None:
    run = sweep_dir.parent.parent / "runs" / "t100s2"
    (run / "metrics.json").unlink()
    (run / "status.json").write_text(
        json.dumps({"state": "failed", "error": "the loss is not a number\nat step 3"})
    )
    assert load([sweep_dir]).missing == {"t100s2": "failed: the loss is not a number"}


def test_a_table_of_another_run_is_not_taken(sweep_dir: Path) -> None:
    rewrite(sweep_dir, "t050s1", lambda frame: frame.assign(run_id="t050s0"))
    assert "another run" in load([sweep_dir]).missing["t050s1"]


def test_sweeps_share_points(sweep_dir: Path) -> None:
    other = sweep_dir.parent / "other"
    other.mkdir()
    plan = json.loads((sweep_dir / "points.json").read_text())
    (other / "points.json").write_text(
        json.dumps(plan | {"name": "other", "points": plan["points"][:4]})
    )
    assert load([other, sweep_dir]).points == load([sweep_dir]).points
    assert load([other, sweep_dir]).name == "other + toy"
    (other / "points.json").write_text(json.dumps(plan | {"margin": 0.02}))
    with refused("report.margins_differ"):
        load([other, sweep_dir])


def test_writers_may_differ_in_types_but_not_in_columns(sweep_dir: Path) -> None:
    before = load([sweep_dir]).frame
    rewrite(
        sweep_dir,
        "t050s1",
        lambda frame: frame.assign(
            query_lang=frame["query_lang"].astype("category"),
            n_relevant=frame["n_relevant"].astype("int64"),
        ),
    )
    pd.testing.assert_frame_equal(load([sweep_dir]).frame, before)
    rewrite(sweep_dir, "t050s1", lambda frame: frame.drop(columns="RR@10"))
    assert "cannot be read" in load([sweep_dir]).missing["t050s1"]


def set_one(frame: pd.DataFrame, column: str, value: float) -> pd.DataFrame:
    frame.loc[frame.index[0], column] = value
    return frame


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda frame: frame.iloc[1:], "report.questions_differ"),
        (lambda frame: frame.assign(group_id=frame["group_id"] + "x"), "report.questions_differ"),
        (lambda frame: frame.assign(collection="another"), "report.questions_differ"),
        (lambda frame: frame.assign(ratio=0.4), "report.ratio_not_as_planned"),
        (lambda frame: set_one(frame, "RR@10", np.nan), "evaluation.not_finite"),
    ],
)
def test_points_that_cannot_be_compared_are_refused(
    sweep_dir: Path, change: Callable[[pd.DataFrame], pd.DataFrame], key: str
) -> None:
    rewrite(sweep_dir, "t050s1", change)
    with refused(key, "t050s1"):
        load([sweep_dir])


def test_a_repeated_row_is_refused(sweep_dir: Path) -> None:
    for run in (sweep_dir.parent.parent / "runs").iterdir():
        rewrite(sweep_dir, run.name, lambda frame: pd.concat([frame, frame.iloc[:1]]))
    with refused("evaluation.table_repeats"):
        load([sweep_dir])


def test_two_runs_in_one_place_are_refused(sweep_dir: Path) -> None:
    plan = json.loads((sweep_dir / "points.json").read_text())
    for point in plan["points"]:
        if point["run_id"] == "t050s1":
            point["seed"] = 0
    (sweep_dir / "points.json").write_text(json.dumps(plan))
    with refused("report.points_repeated", "t050s0", "t050s1", "ratio 0.5", "seed 0"):
        load([sweep_dir])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (None, "sweep.missing"),
        ("", "records.json"),
        ("[]", "records.field"),
        ('{"name": "x"}', "records.field"),
        ('{"name": "x", "margin": "wide", "points": []}', "records.field"),
    ],
)
def test_a_folder_that_is_no_sweep(tmp_path: Path, text: str | None, key: str) -> None:
    if text is not None:
        (tmp_path / "points.json").write_text(text)
    with refused(key, "points.json"):
        load([tmp_path])


def test_nothing_to_report(sweep_dir: Path) -> None:
    for metrics in sweep_dir.parent.parent.glob("runs/*/metrics.json"):
        metrics.unlink()
    with refused("sweep.none_finished", 10):
        load([sweep_dir])
    (sweep_dir / "points.json").write_text('{"name": "x", "margin": 0.01, "points": []}')
    with refused("sweep.no_points", "points.json"):
        load([sweep_dir])


def test_the_languages_trained_on_are_those_of_all_training_collections(sweep_dir: Path) -> None:
    assert load([sweep_dir]).trained_languages == ("de", "en", "fr")
    runs = sweep_dir.parent.parent / "runs"
    for run in runs.iterdir():
        # the untrained encoder learned from nothing
        more = "" if run.name[0] == "t" else "  - xx\n"
        (run / "config.yaml").write_text(
            f"data:\n  languages:\n  - en\n{more}more:\n  a:\n    languages: [sw, en]\n  b:\n   "
            " languages: [bn]\n"
        )
    assert load([sweep_dir]).trained_languages == ("bn", "en", "sw")
    for run in runs.iterdir():
        (run / "config.yaml").write_text("data: null\nmore: {}\n")
    assert load([sweep_dir]).trained_languages == ()
    for run in runs.iterdir():
        (run / "config.yaml").unlink()
    assert load([sweep_dir]).trained_languages == ()


def test_the_languages_trained_on_are_not_those_of_a_further_collection(sweep_dir: Path) -> None:
    plan = json.loads((sweep_dir / "points.json").read_text())
    for row in plan["points"]:
        run = sweep_dir.parent.parent / "runs" / row["run_id"]
        row["also"] = ["away"]
        (run / "evaluations" / "away").mkdir(parents=True)
        shutil.copy(run / "per_query.parquet", run / "evaluations" / "away")
        metrics = {"run_id": row["run_id"], "collection": "away", "languages": ["de", "sw"]}
        (run / "evaluations" / "away" / "metrics.json").write_text(json.dumps(metrics))
        text = (run / "config.yaml").read_text().replace("  - fr\n", "")
        (run / "config.yaml").write_text(text)
    (sweep_dir / "points.json").write_text(json.dumps(plan))
    found = load([sweep_dir], "away")
    assert found.trained_languages == ("de", "en")
    assert all(config["data"]["languages"] == ["de", "sw"] for config in found.config.values())


@pytest.mark.parametrize("code", ["macro", "trained", "unseen", "*", "a>b", "<b>", "", "\x1b[31m"])
@pytest.mark.parametrize("column", ["query_lang", "passage_lang"])
def test_a_language_that_can_be_none_is_refused_with_its_file(
    sweep_dir: Path, column: str, code: str
) -> None:
    rewrite(
        sweep_dir,
        "t050s1",
        lambda frame: frame.assign(**{column: frame[column].replace("de", code)}),
    )
    key = "names.language_reserved" if code in ("macro", "trained", "unseen") else "names.language"
    with refused(key, "t050s1/per_query.parquet", column):
        load([sweep_dir])


def test_what_the_log_says_of_the_margin(sweep_dir: Path) -> None:
    assert load([sweep_dir]).stated == Stated(
        True, "stated before the first point was finished", ()
    )
    plan = json.loads((sweep_dir / "points.json").read_text())
    plan["margin"] = 0.2
    (sweep_dir / "points.json").write_text(json.dumps(plan))
    assert load([sweep_dir]).stated.when == "the record of the plan has another: 0.01"
    plan["points"] = plan["points"][:-1]
    plan_log.add(sweep_dir, logged(plan, finished=6))
    stated = load([sweep_dir]).stated
    assert (stated.before, stated.when) == (False, "changed from 0.01 to 0.2 after 6 of 9 points")
    log = sweep_dir / plan_log.NAME
    log.write_text("\n".join(log.read_text().splitlines()[::-1]) + "\n")
    stated = load([sweep_dir]).stated
    assert not stated.before and "cannot be read" in stated.when
    log.unlink()
    assert load([sweep_dir]).stated == Stated(False, "no record of when it was stated", ())


def test_of_two_sweeps_the_one_whose_margin_was_stated_late_is_told(
    make_sweep: Callable[..., Path],
) -> None:
    first, second = make_sweep(name="one"), make_sweep(seeds=(3, 4, 5), name="two")
    (second / plan_log.NAME).unlink()
    assert not load([first, second]).stated.before and not load([second, first]).stated.before
