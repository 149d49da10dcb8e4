"""The trials of a search as a table, and the record beside it of what was searched."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hybrid_sweep.sweeps.search_check import Goal
from hybrid_sweep.sweeps.search_space import Search
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_write, read_own_json, write_json

TABLE = "trials.csv"
RECORD = "search.json"


@dataclass(frozen=True)
class Trial:
    """One trial.

    values: of the keys that are searched, as written. value: the mean of the metric over its runs;
    None where one has no result, for the reason given. run_ids: of its runs.
    """

    number: int
    values: Mapping[str, str]
    value: float | None
    run_ids: tuple[str, ...]
    reason: str = ""


def claim(search: Search, goal: Goal, ends: Sequence[str]) -> None:
    """Record what is searched beside its table.

    Args:
        search: the keys and their values.
        goal: what it looks for, and its folder.
        ends: run ids of the points at its ends, which say all that is the same in all trials.

    Raises:
        UserError: where the folder is that of another search.
    """
    record = _record(search, goal, ends)
    path = goal.folder / RECORD
    before = read_own_json(path)
    if path.exists() and before != record:
        raise UserError(
            f"{goal.folder} holds another search; give this one its own sweep.name",
            key="search.other",
        )
    if before is None:
        goal.folder.mkdir(parents=True, exist_ok=True)
        write_json(path, record)


def _record(search: Search, goal: Goal, ends: Sequence[str]) -> dict[str, Any]:
    """Return what decides which trials there are, ready for JSON; not how many."""
    space = {}
    for key, part in search.space.items():
        space[key] = {name: _plain(value) for name, value in asdict(part).items()}
    return {
        "ends": sorted(ends),
        "space": space,
        "average_over": {key: list(part.values) for key, part in search.averaged.items()},
        "n_jobs": search.at_once,
        "sampler": search.sampler,
        "seed": search.seed,
        "metric": goal.metric,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value


def write(trials: Sequence[Trial], folder: Path) -> None:
    """Write trials.csv: trial, value, the keys that are searched, run_ids.

    A longer table that is there begins with the same trials, and stays.
    """
    path = folder / TABLE
    if path.exists() and len(path.read_bytes().splitlines()) > len(trials) + 1:  # and its head
        return
    rows = []
    for trial in trials:
        row = {"trial": trial.number, "value": trial.value, **trial.values}
        rows.append({**row, "run_ids": " ".join(trial.run_ids)})
    with atomic_write(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
