"""Huge pages for the memory of a worker: python benchmarks/huge_pages.py [--pairs 6] [--steps 200]
[--words WORD ...]

The same training runs in pairs, with and without what glibc has for huge pages (`TUNABLES`), in
turn first and second. Printed are the seconds of a step and the peak memory of each, and the ratios
of the pairs, which say whether it is worth it.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

WORDS = [
    "experiment=reproduce",
    "hydra.mode=RUN",
    "data=synthetic",
    "logger=disabled",
    "sweep.bm25=false",
    "sweep.untrained=false",
]
# Large blocks come from the heap, which keeps its pages, and not from a mapping of their own that
# is given back each time.
TUNABLES = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=1073741824"


def planned(folder: Path, words: Sequence[str]) -> Path:
    """Write the folder of one run, ready for a worker."""
    from hybrid_sweep.config import compose
    from hybrid_sweep.config.schema import run_id
    from hybrid_sweep.inputs import prepare
    from hybrid_sweep.sweeps import processes
    from hybrid_sweep.utils.files import write_json

    ((_, config),) = compose.points([*words, f"paths.outputs={folder / 'outputs'}"], multirun=False)
    marks = prepare.fingerprints(config)
    made = folder / run_id(config, marks)
    made.mkdir()
    processes.write_config(made, config)
    write_json(made / "identity.json", {"run_id": made.name, "fingerprints": marks})
    return made


def trained(template: Path, tunables: str | None) -> tuple[float, int, bytes]:
    """Train in a copy of a planned folder: seconds of a step, peak memory in MB, and the table of
    results.
    """
    from hybrid_sweep.config.validate import stored
    from hybrid_sweep.sweeps.processes import environment

    around = environment(stored(template).trainer, None, os.environ)
    around.pop("GLIBC_TUNABLES", None)
    if tunables:
        around["GLIBC_TUNABLES"] = tunables
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / template.name
        shutil.copytree(template, folder)
        command = [sys.executable, "-m", "hybrid_sweep.worker", str(folder)]
        subprocess.run(command, env=around, check=True, capture_output=True)
        found = json.loads((folder / "provenance.json").read_text())
        times = found["times"]
        return (
            times["train_seconds"] / times["steps"],
            found["max_memory_mb"],
            (folder / "per_query.parquet").read_bytes(),
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--words", nargs="*", default=[], help="further words of the run")
    args = parser.parse_args()
    steps, memory, ratios, tables = {False: [], True: []}, {False: [], True: []}, [], set()
    with tempfile.TemporaryDirectory() as name:
        template = planned(Path(name), [*WORDS, f"trainer.max_steps={args.steps}", *args.words])
        for number in range(args.pairs):
            for huge in (False, True) if number % 2 else (True, False):
                seconds, peak, table = trained(template, TUNABLES if huge else None)
                steps[huge].append(seconds)
                memory[huge].append(peak)
                tables.add(table)
            ratios.append(steps[True][-1] / steps[False][-1])
            print(
                f"pair {number + 1}: {steps[False][-1]:.4f} s a step, with huge pages"
                f" {steps[True][-1]:.4f} s",
                flush=True,
            )
    print(
        f"with huge pages a step takes {statistics.median(ratios):.3f} of the time (median of"
        f" {len(ratios)} pairs,"
    )
    print(
        f"  {min(ratios):.3f} to {max(ratios):.3f}); peak memory"
        f" {statistics.median(memory[False]):.0f} MB without,"
    )
    print(
        f"  {statistics.median(memory[True]):.0f} MB with; results the same bytes:"
        f" {len(tables) == 1}"
    )


if __name__ == "__main__":
    main()
