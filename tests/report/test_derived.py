"""The table of derived statistics as a whole: its columns, what it leaves out, and that it is the
same everywhere.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.report.derived import COLUMNS, derived
from hybrid_sweep.report.load import load
from hybrid_sweep.report.results import aggregate

Make = Callable[..., Path]


def table(sweep_dir: Path) -> pd.DataFrame:
    sweep = load([sweep_dir])
    return derived(sweep, aggregate(sweep))


def test_columns_and_rows(sweep_dir: Path) -> None:
    found = table(sweep_dir)
    assert list(found.columns) == list(COLUMNS)
    assert found["statistic"].value_counts().to_dict() == {
        "slope": 8,  # four monolingual curves, cross-lingual RR@10, multilingual AP, same@10 and RD
        "isotonic": 8 * 3,
        "band": 8 * 3,
        "knee": 5,  # of the means over languages or pairs
        "reversal": 8,
        "front": 3 * 3,
        "price": 3 * 2,
        "largest": 1,
        "language": 3 * 2,
    }
    assert not found.duplicated(
        ["statistic", "setting", "measure", "scope", "against", "ratio"]
    ).any()
    assert found[["n_seeds", "n_questions"]].dtypes.astype(str).tolist() == ["int64", "int64"]
    assert found["value"].notna().sum() > 50
    assert found[found["statistic"] != "band"]["word"].ne("").all()


def test_trained_and_unseen_have_curves_of_their_own(make_sweep: Make, world: Any) -> None:
    found = table(make_sweep(world(trained=("de", "en"))))
    slopes = found[(found["statistic"] == "slope") & (found["setting"] == "monolingual")]
    assert slopes["scope"].tolist() == ["macro", "trained", "unseen", "de", "en", "fr"]
    assert sorted(set(found[found["statistic"] == "language"]["scope"])) == ["de", "en", "fr"]


def test_rows_and_points_in_any_order_give_the_same_bytes(sweep_dir: Path) -> None:
    before = table(sweep_dir).to_csv(index=False)
    for seed, path in enumerate(sorted(sweep_dir.parent.parent.glob("runs/*/per_query.parquet"))):
        pd.read_parquet(path).sample(frac=1, random_state=seed).to_parquet(path, index=False)
    plan = json.loads((sweep_dir / "points.json").read_text())
    plan["points"] = plan["points"][::-1]
    (sweep_dir / "points.json").write_text(json.dumps(plan))
    assert table(sweep_dir).to_csv(index=False) == before


CODE = """
import sys
from pathlib import Path
from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.results import aggregate
from hybrid_sweep.report.load import load
sweep = load([Path(sys.argv[1])])
results = aggregate(sweep)
sys.stdout.write(results.to_csv(index=False) + derived(sweep, results).to_csv(index=False))
"""


@pytest.mark.slow
def test_another_processor_and_more_threads_give_the_same_bytes(
    make_sweep: Make, world: Any
) -> None:
    """OpenBLAS with the kernels of other processors sums in other orders, and so does numpy without
    its vector units.
    """
    sweep_dir = make_sweep(
        world(questions=300, has={"de": 0.6, "fr": 0.8}), ratios=(0, 0.25, 0.5, 1.0)
    )
    machines = [
        {"OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Prescott"},
        {"OPENBLAS_NUM_THREADS": "2", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"},
    ]
    texts = []
    for machine in machines:
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(sweep_dir)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | machine,
        )
        texts.append(done.stdout)
    assert len(texts[0]) > 10_000 and texts[1:] == texts[:1] * 2


def test_a_missing_point_takes_its_seed_from_the_shape_alone(make_sweep: Make) -> None:
    sweep_dir = make_sweep(seeds=(0, 1, 2, 3))
    shutil.rmtree(sweep_dir.parent.parent / "runs" / "t050s3")
    found = table(sweep_dir)
    assert set(
        found[found["statistic"].isin(["slope", "isotonic", "reversal", "front"])]["n_seeds"]
    ) == {3}
    price = found[(found["statistic"] == "price") & (found["against"] == "cross-lingual RR@10")]
    assert price["n_seeds"].tolist() == [3, 4]


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_few_seeds_are_labelled_and_nothing_is_shown(
    make_sweep: Make, world: Any, seeds: tuple[int, ...]
) -> None:
    found = table(make_sweep(world(mono=lambda r: -0.3 * r, noise=0.02), seeds=seeds))
    assert set(found["interval"]) <= {"conditional", "none"}
    assert found["p"].isna().all() and found["p_holm"].isna().all()
    claims = {"rises", "falls", "not monotone", "stated", "no loss", "winner", "loser"}
    assert not set(found["word"]) & claims


@pytest.mark.parametrize(
    ("ratios", "drop", "left"),
    [
        ((0.5, 1.0), (), {"slope", "reversal", "front"}),
        ((0.0,), (), set()),
        ((0.0, 1.0), ("t000s0", "t000s1", "t000s2", "t100s0", "t100s1", "t100s2"), set()),
        ((0.0, 1.0), ("t000s0", "t100s1", "t100s2"), set()),
    ],
    ids=["no r = 0", "only r = 0", "no trained point", "no seed in common"],
)
def test_what_cannot_be_derived_is_not_there(
    make_sweep: Make, ratios: tuple[float, ...], drop: tuple[str, ...], left: set[str]
) -> None:
    sweep_dir = make_sweep(ratios=ratios)
    for run in drop:
        shutil.rmtree(sweep_dir.parent.parent / "runs" / run)
    found = table(sweep_dir)
    assert set(found["statistic"]) == left
    assert list(found.columns) == list(COLUMNS)


def test_one_language_has_no_trade_off(make_sweep: Make, world: Any) -> None:
    found = table(make_sweep(world(languages=("en",), noise=0.05)))
    assert not set(found["against"]) & {"cross-lingual RR@10", "multilingual RD"}
    assert {"slope", "isotonic", "reversal", "language"} <= set(found["statistic"])


def test_equal_runs_have_no_shape_no_price_and_share_the_front(make_sweep: Make) -> None:
    sweep_dir = make_sweep(ratios=(0.0, 0.5))
    runs = sweep_dir.parent.parent / "runs"
    for seed in range(3):
        same = pd.read_parquet(runs / f"t000s{seed}" / "per_query.parquet").assign(
            run_id=f"t050s{seed}", ratio=0.5
        )
        same.to_parquet(runs / f"t050s{seed}" / "per_query.parquet", index=False)
    found = table(sweep_dir)
    assert set(found[found["statistic"] == "slope"]["value"]) == {0.0}
    assert set(found[found["statistic"] == "slope"]["p"]) == {1.0}
    assert set(found[found["statistic"] == "isotonic"]["word"]) == {"flat"}
    assert set(found[found["statistic"] == "price"]["word"]) == {"no gain shown"}
    fronts = found[found["statistic"] == "front"]
    assert set(fronts["value"]) == {1.0} and set(fronts["by_means"]) == {"on the front"}
    assert set(fronts["word"]) == {"not shown to be dominated"}
