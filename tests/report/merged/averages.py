"""Averages of weights in a sweep of known effects, written as the command and its workers do."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.report.conftest import World, write_run
from tests.report.folders import edit, runs_of


def entry_of(
    sweep_dir: Path, ratios: Sequence[float], shares: Sequence[float], seed: int
) -> dict[str, Any]:
    """The line of merged.json of an average."""
    points = json.loads((sweep_dir / "points.json").read_text())["points"]
    runs = {(p["ratio"], p["seed"]): p["run_id"] for p in points if p["kind"] == "trained"}
    name = "-".join(str(round(1000 * share)) for share in shares)
    return {
        "run_id": f"m{name}s{seed}",
        "seed": seed,
        "ratios": list(ratios),
        "shares": list(shares),
        "parents": [runs[ratio, seed] for ratio in ratios],
        "also": [],
    }


def write_averages(
    sweep_dir: Path,
    world: World,
    mixtures: Sequence[tuple[Sequence[float], Sequence[float]]],
    seeds: Sequence[int] = (0, 1, 2),
) -> list[dict[str, Any]]:
    """merged.json of a sweep, and the runs of its averages; the rows of one are those of a training
    at the mean ratio in `world`.
    """
    entries = []
    for ratios, shares in mixtures:
        for seed in seeds:
            entry = entry_of(sweep_dir, ratios, shares, seed)
            mean = sum(r * s for r, s in zip(ratios, shares, strict=True))
            point = {"run_id": entry["run_id"], "ratio": mean, "seed": seed, "kind": "trained"}
            folder = write_run(runs_of(sweep_dir).parent, world, point)
            (folder / "merge.json").write_text(json.dumps(entry))
            entries.append(entry)
    (sweep_dir / "merged.json").write_text(json.dumps({"points": entries}))
    return entries


def change(path: Path, **values: Any) -> None:
    """Set fields of a JSON file."""
    edit(path, lambda content: content.update(values))
