"""Averages of weights in a published folder.

merged.json names them and their parents, as in the folder of the sweep. Their settings stand in
runs.json and their rows in the files of the rows, like those of any other run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.merged.load import FACTS, load_merged
from hybrid_sweep.utils import records, safe_paths
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import write_json

NAME = "merged.json"
TABLE = "merged.csv"
KEPT = (*FACTS, "also")


def check(sweep_dir: Path, sweep: Sweep, on: str) -> None:
    """Raise UserError where an average that was asked for cannot be published.

    Args:
        sweep_dir: the folder of the sweep.
        sweep: as `load.load` reads it.
        on: the name of a further collection; "" is the one that the points were trained on.
    """
    merged = load_merged([sweep_dir], sweep, on)
    if merged is None:
        return
    if merged.unusable:
        raise UserError(
            f"{sweep_dir / NAME}: {len(merged.unusable)} averages cannot be published, as"
            f" {merged.unusable[0]}",
            key="freeze.averages_missing",
        )
    lacking = sorted(set(sweep.asked) - set(merged.sweep.asked))
    if lacking:
        raise UserError(
            f"{sweep_dir / NAME}: the averages have no {lacking[0]}, and the trained points have:"
            " run hybrid-sweep merge again",
            key="freeze.averages_missing",
        )


def entries_of(sweep_dir: Path) -> list[dict[str, Any]]:
    """Return what is published of each average of a sweep; [] where it has none."""
    return [
        {name: entry[name] for name in KEPT if name in entry} for entry in records.merged(sweep_dir)
    ]


def put(entries: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write merged.json into a published folder; an earlier one goes where there are no
    averages.
    """
    if entries:
        write_json(folder / NAME, {"points": list(entries)})
    else:
        (folder / NAME).unlink(missing_ok=True)


def read(folder: Path, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the averages of a published folder; [] where it has none.

    Args:
        folder: the published folder.
        plan: its points.json.

    Raises:
        UserError: where merged.json cannot be used, or names a point of the sweep as an average.
    """
    entries = entries_of(folder)
    planned = {point["run_id"] for point in plan["points"]}
    for entry in entries:
        if entry["run_id"] in planned:
            raise UserError(
                f"{folder / NAME}: {entry['run_id']} is a point of points.json, and no average",
                key="freeze.average_is_point",
            )
    return entries


def thaw(entries: Sequence[Mapping[str, Any]], sweep_dir: Path) -> None:
    """Write the records of averages as they were: in the folder of a sweep (outputs/sweeps/NAME),
    and in those of their runs.
    """
    outputs = sweep_dir.parent.parent
    for entry in entries:
        write_json(safe_paths.inside(outputs, "runs", entry["run_id"], "merge.json"), entry)
    put(entries, sweep_dir)
