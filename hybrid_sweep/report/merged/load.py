"""The averages of weights that merged.json of a sweep names, with the trained points beside them in
one frame.

An average counts only where its run says that it is that average, and where its parents are points
of the sweep still; every other one is told as missing.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from hybrid_sweep.report.clusters import CLUSTER
from hybrid_sweep.report.load import Sweep, SweepPoint, not_finite
from hybrid_sweep.report.long_frame import Place, long_frame
from hybrid_sweep.report.query_values import is_known
from hybrid_sweep.runs import finished
from hybrid_sweep.runs.finished import KEY
from hybrid_sweep.runs.merging import Mixture
from hybrid_sweep.utils import records

AGAIN = "run hybrid-sweep merge again"
FACTS = ("run_id", "seed", "ratios", "shares", "parents")  # what both records say of an average
ROWS = [*KEY, "group_id", "n_relevant"]  # what all points have in common


@dataclass(frozen=True)
class Merged:
    """The averages of a sweep.

    sweep: its trained points that are finished, and behind them the finished averages. index: of
    the averages in `sweep.finished`, by mixture and seed. unusable: a line for each other average
    of merged.json. not_made: a line for each that some seeds have and this one has not.
    """

    sweep: Sweep
    index: Mapping[Mixture, Mapping[int, int]]
    unusable: tuple[str, ...]
    not_made: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Return a line for each average that comparisons lack."""
        return (*self.unusable, *self.not_made)

    @property
    def mixtures(self) -> list[Mixture]:
        """Return what was averaged, in the order of merged.json."""
        return list(self.index)


def load_merged(sweep_dirs: Sequence[Path], sweep: Sweep, on: str = "") -> Merged | None:
    """Return the averages of the sweeps that a report is about; None where none was asked for.

    Args:
        sweep_dirs: the folders of the sweeps.
        sweep: as `load.load` reads them.
        on: the name of a further collection; "" is the one that the points were trained on.

    Raises:
        Broken: where a merged.json, or the record of a run, cannot be used.
    """
    entries: dict[str, tuple[Path, dict[str, Any]]] = {}
    for sweep_dir in sweep_dirs:
        runs = sweep_dir.resolve().parent.parent / "runs"
        for entry in records.merged(sweep_dir):
            if not on or on in entry.get("also", []):
                entries.setdefault(entry["run_id"], (runs / entry["run_id"], entry))
    if not entries or not sweep.trained:
        return None
    first = _first_rows(sweep)
    tables: dict[str, pa.Table] = {}
    unusable = []
    for run_dir, entry in entries.values():
        table, reason = _table(run_dir, entry, sweep, on)
        if table is not None and not _rows(table).equals(first):
            table, reason = None, f"was evaluated on other questions: {AGAIN}"
        if table is None:
            unusable.append(f"{_mixture(entry).label}, seed {entry['seed']}: {reason}")
        else:
            tables[entry["run_id"]] = table
    listed = [entry for _, entry in entries.values()]
    there = [entry for entry in listed if entry["run_id"] in tables]
    merged = _joined(sweep, there, tables, unusable)
    return dataclasses.replace(merged, not_made=tuple(_not_asked_for(sweep, listed)))


def left_out(sweep_dirs: Sequence[Path]) -> str:
    """Return what a comparison of sweeps says of their averages; "" where none has any.

    Raises:
        Broken: where a merged.json cannot be used.
    """
    if not any(records.merged(sweep_dir) for sweep_dir in sweep_dirs):
        return ""
    return "averages of weights are not compared: the report of each sweep alone has its own"


def _not_asked_for(sweep: Sweep, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each average that some seeds have and another seed has not, though it has
    every trained ratio: comparisons leave that seed out.
    """
    asked = {(_mixture(entry), entry["seed"]) for entry in entries}
    of_seed: dict[int, set[float]] = {}
    for point in sweep.trained:
        of_seed.setdefault(point.seed, set()).add(point.ratio)
    most = set.union(*of_seed.values())
    lines = []
    for mixture in dict.fromkeys(_mixture(entry) for entry in entries):
        for seed, ratios in sorted(of_seed.items()):
            if ratios == most and (mixture, seed) not in asked:
                lines.append(
                    f"{mixture.label}, seed {seed}: was made of other seeds alone: {AGAIN}"
                )
    return lines


def _mixture(entry: Mapping[str, Any]) -> Mixture:
    ratios = tuple(round(float(ratio), 6) for ratio in entry["ratios"])
    return Mixture(ratios, tuple(float(share) for share in entry["shares"]))


def _table(
    run_dir: Path, entry: Mapping[str, Any], sweep: Sweep, on: str
) -> tuple[pa.Table | None, str]:
    """Return the rows of an average, sorted by KEY; or None and why they are missing."""
    points = {(point.ratio, point.seed): point.run_id for point in sweep.trained}
    for ratio, parent in zip(_mixture(entry).ratios, entry["parents"], strict=True):
        if points.get((ratio, entry["seed"])) != parent:
            return None, f"its parent {parent} is no finished point of the sweep: {AGAIN}"
    try:
        own = records.merge(run_dir) or {}
        if any(own.get(fact) != entry[fact] for fact in FACTS):
            return None, f"the run {run_dir.name} is not this average: {AGAIN}"
        table = finished.table(run_dir, run_dir / "evaluations" / on if on else run_dir)
    except (finished.Unfinished, records.Broken) as error:
        return None, f"{str(error).replace(f'{run_dir}/', '')}: {AGAIN}"
    lacking = not_finite(table)
    if lacking:
        return None, f"has {lacking} values that are no numbers"
    if not _is_of(entry, table):
        return None, f"its rows are of other shares, or of another seed: {AGAIN}"
    return table.sort_by([(name, "ascending") for name in KEY]), ""


def _is_of(entry: Mapping[str, Any], table: pa.Table) -> bool:
    """Return whether rows are of the seed and the mean ratio of an average."""
    ratios = table["ratio"].to_numpy()
    is_ratio = np.allclose(ratios, _mixture(entry).mean_ratio, rtol=0, atol=1e-6)
    return is_ratio and table["seed"].unique().to_pylist() == [entry["seed"]]


def _rows(table: pa.Table) -> pd.DataFrame:
    """Return what the rows of a point are about, as texts and numbers."""
    frame: pd.DataFrame = table.select(ROWS).to_pandas()
    return _plain(frame)


def _first_rows(sweep: Sweep) -> pd.DataFrame:
    """Return what the rows of the points of a sweep are about: those of its first point."""
    count = len(sweep.frame) // len(sweep.finished)
    return _plain(sweep.frame[ROWS].iloc[:count])


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    texts = {name: frame[name].astype(str).astype(object) for name in ROWS[:-1]}
    texts[ROWS[-1]] = frame[ROWS[-1]].astype("float64")  # a damaged table may have none there
    return pd.DataFrame(texts).reset_index(drop=True)


def _joined(
    sweep: Sweep,
    entries: Sequence[Mapping[str, Any]],
    tables: dict[str, pa.Table],
    unusable: Sequence[str],
) -> Merged:
    """Return the trained points and the averages in one frame."""
    told = list(unusable)
    points = [*sweep.trained]
    frames = [_trained_rows(sweep)]
    index: dict[Mixture, dict[int, int]] = {}
    asked = [name for name in sweep.asked if all(name in t.column_names for t in tables.values())]
    places = []
    for entry in entries:
        mixture = _mixture(entry)
        places.append(Place("merged", mixture.mean_ratio, entry["seed"], entry["run_id"]))
    if places:
        rows = long_frame(places, dict(tables), asked)
        if CLUSTER in sweep.frame.columns:
            rows = rows.assign(**{CLUSTER: _clusters(sweep, len(places))})
        if all(is_known(rows[rows["setting"] == name], sweep.measure) for name in _settings(rows)):
            frames.append(rows)
        else:
            told.append(f"the averages have no {sweep.measure}: {AGAIN}")
            places = []
    for place, entry in zip(places, entries, strict=False):
        index.setdefault(_mixture(entry), {})[place.seed] = len(points)
        points.append(SweepPoint(place.kind, place.ratio, place.seed, place.run_id))
    names = [name for name in frames[0].columns if name in frames[-1].columns]
    frame = pd.concat([part[names] for part in frames], ignore_index=True)
    combined = dataclasses.replace(
        sweep, points=tuple(points), missing={}, frame=frame, asked=tuple(asked)
    )
    return Merged(combined, index, tuple(told), ())


def _clusters(sweep: Sweep, runs: int) -> pd.Categorical:
    """Return the clusters of the rows of some points: each has the rows of the first one."""
    count = len(sweep.frame) // len(sweep.finished)
    first = sweep.frame[CLUSTER].iloc[:count].astype("category").cat
    return pd.Categorical.from_codes(np.tile(first.codes.to_numpy(), runs), first.categories)


def _settings(rows: pd.DataFrame) -> list[str]:
    """Return those of the two axes that the rows have."""
    there = set(rows["setting"].astype(str).unique())
    return [name for name in ("monolingual", "cross-lingual") if name in there]


def _trained_rows(sweep: Sweep) -> pd.DataFrame:
    """Return the rows of the trained points of a sweep, in its order."""
    return sweep.frame[(sweep.frame["kind"] == "trained").to_numpy()]
