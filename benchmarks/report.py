"""What a report of 40 points takes: python benchmarks/report.py [--folder experiments/first-curve]

The published rows of a sweep, its untrained and lexical points included, are made up to 7 ratios x
5 seeds and 40 points (the further seeds are published ones whose questions are exchanged), and
reported by the program in a process of its own; then the same sweep beside another one of 20
points. Aim: under 20 s each on a machine that does nothing else.
"""

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_sweep.report import load, publish
from hybrid_sweep.runs import finished
from hybrid_sweep.utils.files import read_json, write_json

SEEDS = 5


def more_seeds(sweep_dir: Path, seeds: int) -> None:
    """Add points of further seeds to a sweep: those of the published ones, with the values of each
    cell's rows rolled.
    """
    plan, runs = read_json(sweep_dir / "points.json"), sweep_dir.parent.parent / "runs"
    known = {(each["kind"], each["ratio"], each["seed"]): each for each in plan["points"]}
    first = len({seed for kind, _, seed in known if kind == "trained"})
    for kind, ratio in dict.fromkeys((kind, ratio) for kind, ratio, _ in known if kind != "bm25"):
        for seed in range(first, seeds):
            like = known[kind, ratio, seed % first]
            made = {**like, "seed": seed, "run_id": f"{like['run_id'][:8]}{seed:04d}"}
            rows = pq.read_table(runs / like["run_id"] / "per_query.parquet").sort_by(
                [(name, "ascending") for name in finished.KEY]
            )
            cell = (
                rows.select(["setting", "query_lang", "passage_lang"])
                .to_pandas()
                .agg("-".join, axis=1)
                .to_numpy()
            )
            starts = np.append(np.flatnonzero(np.append(True, cell[1:] != cell[:-1])), len(cell))
            order = np.concatenate(
                [np.roll(np.arange(a, b), seed) for a, b in itertools.pairwise(starts)]
            )
            moved = [
                name
                for name in ("rank_min", "rank_max", *finished.STORED)
                if name in rows.column_names
            ]
            for name in moved:
                rows = rows.set_column(
                    rows.column_names.index(name), name, rows[name].take(pa.array(order))
                )
            names = {
                "run_id": pa.array([made["run_id"]] * len(rows)),
                "seed": pa.array([seed] * len(rows)),
            }
            for name, column in names.items():
                rows = rows.set_column(rows.column_names.index(name), name, column)
            folder = runs / made["run_id"]
            folder.mkdir()
            pq.write_table(rows, folder / "per_query.parquet")
            for name in ("config.yaml", "provenance.json"):
                write_json(folder / name, read_json(runs / like["run_id"] / name))
            write_json(
                folder / "metrics.json",
                {
                    **read_json(runs / like["run_id"] / "metrics.json"),
                    "run_id": made["run_id"],
                    "seed": seed,
                },
            )
            plan["points"].append(made)
    write_json(sweep_dir / "points.json", plan)


def timed(sweeps: list[Path]) -> tuple[float, float]:
    """Wall and CPU seconds of the verb in a process of its own."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "hybrid_sweep", "report", *map(str, sweeps)]
    subprocess.run(
        command, stdout=subprocess.DEVNULL, check=True, env={**os.environ, "WANDB_MODE": "disabled"}
    )
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(__file__).parent.parent / "experiments" / "first-curve"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        whole, half = (publish.thaw(args.folder, Path(work) / name) for name in ("whole", "half"))
        more_seeds(whole, SEEDS)
        other = half.rename(half.with_name("half"))
        write_json(other / "points.json", {**read_json(other / "points.json"), "name": "half"})
        points = read_json(whole / "points.json")["points"]
        found = load.load([whole])
        print(
            f"{len(points)} points of {len(found.frame) // len(found.finished):,} rows, load"
            f" {os.getloadavg()[0]:.1f}"
        )
        for words, sweeps in (
            ("report", [whole]),
            (f"beside a sweep of {len(found.points) - 15}", [whole, other]),
        ):
            wall, cpu = timed(sweeps)
            print(f"{words}: {wall:.1f} s, of CPU time {cpu:.1f} s (aim: under 20 s)")


if __name__ == "__main__":
    main()
