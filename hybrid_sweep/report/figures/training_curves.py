"""What the trained runs of a sweep logged while training: the loss, by kind of batch, and the
scores on the split dev.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_sweep.report.load import SweepPoint, planned
from hybrid_sweep.runs import trained
from hybrid_sweep.utils import safe_paths
from hybrid_sweep.utils.errors import UserError

WINDOWS = 20  # parts that the longest training is cut into
# batches: of any kind, of no and of nothing but cross-lingual examples
KINDS = ("all", "monolingual", "cross-lingual")
DEV = ("monolingual/RR@10", "cross-lingual/RR@10")
COUNTS = ("step", "n_examples", "n_cross")
MOST = 2**40  # of a count: no run has as many steps


@dataclass(frozen=True)
class Training:
    """Tidy series of the trained runs, sorted by their columns.

    loss: ratio, seed, kind (of `KINDS`), step (the middle of a window), loss (the mean over the
    batches of that kind in it). dev: ratio, seed, name (of `DEV`), step (optimiser steps done),
    value. window: steps in a window. absent: the trained points without a record of their steps,
    and why.
    """

    loss: pd.DataFrame
    dev: pd.DataFrame
    window: int
    absent: dict[SweepPoint, str]


def smoothed(steps: pd.DataFrame, window: int) -> pd.DataFrame:
    """Return the mean loss of each kind of batch in each window of steps: columns kind, step, loss;
    NaN where a window has none.

    steps: step (from 0), loss, n_examples, n_cross. Plain means of disjoint windows: no lag, no
    invented ends, and each batch counts once. The step of a window is its middle, so that runs of
    one length have the same.
    """
    block = steps["step"].to_numpy() // window
    edges = np.arange(int(block.max()) + 1) * window if len(steps) else np.array([], dtype=np.int64)
    middle = (
        edges + np.minimum(edges + window, int(steps["step"].max()) + 1 if len(steps) else 0)
    ) / 2
    cross, examples = steps["n_cross"].to_numpy(), steps["n_examples"].to_numpy()
    chosen = {
        "all": np.ones(len(steps), dtype=bool),
        "monolingual": cross == 0,
        "cross-lingual": cross == examples,
    }
    parts = []
    for kind in KINDS:
        count = np.bincount(block[chosen[kind]], minlength=len(edges))
        total = np.bincount(
            block[chosen[kind]],
            weights=steps["loss"].to_numpy()[chosen[kind]],
            minlength=len(edges),
        )
        mean = np.divide(total, count, out=np.full(len(edges), np.nan), where=count > 0)
        parts.append(pd.DataFrame({"kind": kind, "step": middle, "loss": mean}))
    return pd.concat(parts, ignore_index=True)


def _table(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame | None:
    """Return some columns of a Parquet file as numbers, or None where it cannot be read or holds
    what is no step.

    Args:
        path: of a record of steps, or of the evaluations on dev.
        columns: that must be there. Counts are integers, all else floats.
        optional: that are read where they are there.
    """
    try:
        if path.is_symlink() or not path.is_file():
            return None
        there = pq.read_schema(path).names
        chosen = [*columns, *(name for name in optional if name in there)]
        schema = pa.schema(
            [(name, pa.int64() if name in COUNTS else pa.float64()) for name in chosen]
        )
        frame: pd.DataFrame = (
            pq.read_table(path, columns=chosen).select(chosen).cast(schema).to_pandas()
        )
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return None
    counts = frame[[name for name in chosen if name in COUNTS]]
    possible = (
        not counts.isna().any(axis=None)
        and (counts >= 0).all(axis=None)
        and (counts < MOST).all(axis=None)
    )
    return frame if possible else None


def _is_whole(run_dir: Path) -> bool:
    """Return whether no link leads out of a run's folder, and its series are what the training
    wrote.
    """
    try:
        safe_paths.check_links(run_dir)
    except UserError:
        return False
    return trained.tables_hold(run_dir)


def training(sweep_dirs: Sequence[Path]) -> Training:
    """Read steps.parquet and dev.parquet of every trained run of one or more sweeps; a run that two
    sweeps share counts once.

    Raises UserError for a folder without points.json. Unfinished runs, and those whose record was
    removed, are `absent`.
    """
    *_, folders = planned(list(sweep_dirs), "")
    steps: dict[SweepPoint, pd.DataFrame] = {}
    absent: dict[SweepPoint, str] = {}
    dev: list[pd.DataFrame] = []
    columns = ["step", "loss", "n_examples", "n_cross"]  # of each batch
    for point in sorted(
        (point for point in folders if point.kind == "trained"), key=lambda p: (p.ratio, p.seed)
    ):
        if not _is_whole(folders[point]):
            absent[point] = "its folder leads elsewhere, or its record is not what was written"
            continue
        path = folders[point] / "steps.parquet"
        frame = _table(path, columns) if path.is_file() else None
        if frame is None or frame.empty:
            absent[point] = (
                "no steps.parquet" if not path.is_file() else "steps.parquet cannot be read"
            )
            continue
        steps[point] = frame
        path = folders[point] / "dev.parquet"
        scores = _table(path, ["step"], DEV)
        if scores is not None:
            long = scores.melt("step", var_name="name", value_name="value")
            dev.append(long.assign(ratio=point.ratio, seed=point.seed))
    longest = max((int(frame["step"].max()) + 1 for frame in steps.values()), default=1)
    window = ceil(longest / WINDOWS)
    loss = [
        smoothed(frame, window).assign(ratio=point.ratio, seed=point.seed)
        for point, frame in steps.items()
    ]
    return Training(
        loss=_tidy(loss, ["ratio", "seed", "kind", "step", "loss"]),
        dev=_tidy(dev, ["ratio", "seed", "name", "step", "value"]),
        window=window,
        absent=absent,
    )


def _tidy(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Return one frame with these columns, its rows sorted."""
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)[columns].sort_values(
        columns, kind="stable", ignore_index=True
    )


def over_seeds(series: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return the mean, lowest and highest value over the seeds at each ratio and step: columns
    ratio, step, mean, low, high.

    NaN where no seed has a value.
    """
    rows = series.groupby(["ratio", "step"])[value].agg(["mean", "min", "max"]).reset_index()
    return rows.rename(columns={"min": "low", "max": "high"})
