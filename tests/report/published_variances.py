"""The variances of the published sweeps, from their rows:

python -m tests.report.published_variances --write
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import yaml

from hybrid_sweep.report import power, publish
from hybrid_sweep.report.load import Sweep, further, load

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
DIGITS = 4


def of(folder: Path) -> list[dict[str, Any]]:
    """What is kept of one published sweep: on its own collection, and on the further ones."""
    with tempfile.TemporaryDirectory() as outputs:
        sweep_dir = publish.thaw(folder, Path(outputs))
        names = ["", *further([sweep_dir])]
        entries = [_entry(folder.name, load([sweep_dir], name), name) for name in names]
        # "files" are anybody's: no collection that another sweep of that name has, too
        return [entry for entry in entries if entry["collection"] != "files"]


def _entry(name: str, sweep: Sweep, on: str) -> dict[str, Any]:
    [first, *_] = sweep.config.values()
    mono = sweep.frame[sweep.frame["setting"] == "monolingual"]
    ratios = []
    for row in power.variances_of(sweep):
        fields = dataclasses.asdict(row).items()
        ratios.append({key: float(f"{value:.{DIGITS}g}") for key, value in fields})
    return {
        "name": f"{name} on {on}" if on else name,
        "collection": str(first["data"]["name"]),
        "questions": int(mono["group_id"].nunique()),
        "seeds": len({point.seed for point in sweep.trained}),
        "ratios": ratios,
    }


def folders() -> list[Path]:
    """The published sweeps."""
    return sorted(path.parent for path in EXPERIMENTS.glob("*/runs.json"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    head = (
        "# Variances of the changes of monolingual MRR@10 in the published sweeps, by ratio: of one\n"
        "# seed, of one question, and of one cell of both. `hybrid-sweep plan --power` reads them.\n"
    )
    entries = [entry for folder in folders() for entry in of(folder)]
    text = yaml.safe_dump(entries, sort_keys=False)
    power.PUBLISHED.write_text(head + text, encoding="utf-8")
