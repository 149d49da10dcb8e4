"""Training series: windows that count each batch once, kinds apart, runs without a record named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybrid_sweep.report.figures.training_curves import DEV, KINDS, over_seeds, smoothed, training
from hybrid_sweep.training import dev_history
from tests.refused import refused


def record(steps: int, cross: Callable[[int], bool], loss: Callable[[int], float]) -> pd.DataFrame:
    """A record of steps as training writes it, with the columns that are read and one that is
    not.
    """
    index = np.arange(steps)
    n_cross = [8 if cross(int(step)) else 0 for step in index]
    losses = [loss(int(step)) for step in index]
    return pd.DataFrame(
        {"step": index, "lr": 1e-3, "loss": losses, "n_examples": 8, "n_cross": n_cross}
    )


def write(sweep_dir: Path, run_id: str, steps: pd.DataFrame) -> Path:
    run_dir = sweep_dir.parent.parent / "runs" / run_id
    steps.to_parquet(run_dir / "steps.parquet", index=False)
    return run_dir


def test_a_window_is_the_mean_of_its_batches_by_kind() -> None:
    found = smoothed(record(10, lambda step: step % 2 == 1, float), 4).set_index("kind")
    assert found.loc["all", "step"].tolist() == [2.0, 6.0, 9.0]
    assert found.loc["all", "loss"].tolist() == [1.5, 5.5, 8.5]
    assert found.loc["monolingual", "loss"].tolist() == [1.0, 5.0, 8.0]
    assert found.loc["cross-lingual", "loss"].tolist() == [2.0, 6.0, 9.0]
    assert set(found.index) == set(KINDS)


def test_a_window_without_a_batch_of_a_kind_is_a_gap() -> None:
    found = smoothed(record(8, lambda step: step >= 4, float), 4).set_index("kind")["loss"]
    assert np.isnan(found["monolingual"]).tolist() == [False, True]
    assert np.isnan(found["cross-lingual"]).tolist() == [True, False]


def test_batches_that_mix_examples_are_of_neither_kind() -> None:
    mixed = record(4, lambda _: False, float).assign(n_cross=4)
    found = smoothed(mixed, 4).set_index("kind")["loss"]
    assert (
        found["all"] == 1.5 and np.isnan(found["monolingual"]) and np.isnan(found["cross-lingual"])
    )


def test_series_of_a_sweep(make_sweep: Callable[..., Path], world: Any) -> None:
    sweep_dir = make_sweep(world(questions=8), ratios=(0.0, 0.5), seeds=(0, 1))
    for ratio, seed in [(0.0, 0), (0.0, 1), (0.5, 0)]:
        run_dir = write(
            sweep_dir,
            f"t{round(100 * ratio):03d}s{seed}",
            record(
                100, lambda step, r=ratio: step % 2 < 2 * r, lambda step, s=seed: step + 1000.0 * s
            ),
        )
        history = dev_history.History("monolingual/RR@10")
        for step in (50, 100):
            history.add(
                step,
                {"monolingual/RR@10": step / 1000 + seed, "multilingual/AP": 0.1} | {DEV[1]: 0.2},
            )
        history.write(run_dir / "dev.parquet")
    found = training([sweep_dir])
    assert found.window == 5 and [(p.ratio, p.seed) for p in found.absent] == [(0.5, 1)]
    assert set(found.absent.values()) == {"no steps.parquet"}
    every = found.loss[found.loss["kind"] == "all"]
    assert every.groupby(["ratio", "seed"]).size().to_dict() == {
        (0.0, 0): 20,
        (0.0, 1): 20,
        (0.5, 0): 20,
    }
    first = every[(every["ratio"] == 0.0) & (every["step"] == 2.5)]
    assert first.sort_values("seed")["loss"].tolist() == [2.0, 1002.0]
    scores = found.dev[(found.dev["name"] == DEV[0]) & (found.dev["ratio"] == 0.0)]
    assert scores[["seed", "step", "value"]].values.tolist() == [
        [0, 50, 0.05],
        [0, 100, 0.1],
        [1, 50, 1.05],
        [1, 100, 1.1],
    ]
    assert set(found.dev["name"]) == set(DEV)


def test_mean_and_range_over_seeds() -> None:
    series = pd.DataFrame(
        {"ratio": 0.5, "seed": [0, 1, 2, 0], "step": [1, 1, 1, 2], "loss": [3.0, 1.0, 5.0, np.nan]}
    )
    found = over_seeds(series, "loss")
    assert found.loc[0, ["mean", "low", "high"]].tolist() == [3.0, 1.0, 5.0]
    assert found.loc[1, ["mean", "low", "high"]].isna().all()


def test_a_run_in_two_sweeps_counts_once(make_sweep: Callable[..., Path], world: Any) -> None:
    sweep_dir = make_sweep(world(questions=8), ratios=(0.0,), seeds=(0,))
    write(sweep_dir, "t000s0", record(40, lambda _: False, float))
    once, twice = training([sweep_dir]), training([sweep_dir, sweep_dir])
    pd.testing.assert_frame_equal(once.loss, twice.loss)
    assert len(once.loss) == 20 * len(KINDS)


@pytest.mark.parametrize("content", [b"", b"PAR1 no table", None])
def test_a_record_that_cannot_be_read_is_named(
    make_sweep: Callable[..., Path], world: Any, content: Any
) -> None:
    sweep_dir = make_sweep(world(questions=8), ratios=(0.0,), seeds=(0,))
    path = sweep_dir.parent.parent / "runs" / "t000s0" / "steps.parquet"
    if content is None:
        # without the kinds of the batches
        pq.write_table(pa.table({"step": [0, 1], "loss": [1.0, 2.0]}), path)
    else:
        path.write_bytes(content)
    found = training([sweep_dir])
    assert (
        list(found.absent.values()) == ["steps.parquet cannot be read"]
        and found.loss.empty
        and found.dev.empty
    )


def test_neither_untrained_nor_bm25_has_a_training(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    found = training([make_sweep(world(questions=8), ratios=(0.0,), seeds=(0,), bm25=True)])
    assert [point.kind for point in found.absent] == ["trained"]


def test_a_folder_that_is_no_sweep_is_refused(tmp_path: Path) -> None:
    with refused("sweep.missing", "points.json"):
        training([tmp_path])
