"""What comparing digests costs: python benchmarks/digests.py [--steps 200] [--texts 1000000]

A short sweep on generated text is timed from outside. Then what its points open (collection,
tokens, pairs, tokenizer, model, vectors) is opened with and without its digests being compared;
aim: at most 1 % of the sweep's time. Then the stores of a collection of a million passages of about
a hundred tokens are opened: for the first time, and with remembered digests; aim: under 0.2 s
remembered.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

WORDS = [
    "experiment=reproduce",
    "data=synthetic",
    "sweep.bm25=false",
    "sweep.untrained=false",
    "logger=disabled",
]
TOKENS = 100  # of a passage
LANGUAGES = 4
TRIES = 3


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes, the shortest of some tries."""
    times = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def unchecked(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes where no file is hashed, and none compared."""
    from hybrid_sweep.utils import digests

    with (
        mock.patch.object(digests, "check", lambda *_: None),
        mock.patch.object(digests.Memory, "value_of", lambda *_: "0" * digests.LENGTH),
    ):
        return seconds(work)


def report_sweep(folder: Path, steps: int) -> None:
    """Print what comparing digests adds to a point, and to a sweep of three of them."""
    from hybrid_sweep.config import compose
    from hybrid_sweep.inputs import prepare
    from hybrid_sweep.runs import trained
    from hybrid_sweep.sweeps import point_list as sweeps
    from hybrid_sweep.utils import digests

    words = [*WORDS, "batch.cross_lingual_ratio=0,0.5,1", "seed=0", f"trainer.max_steps={steps}"]
    words.append(f"paths.outputs={folder / 'outputs'}")
    begun = time.perf_counter()
    command = [sys.executable, "-m", "hybrid_sweep", "run", "-m", *words]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    whole = time.perf_counter() - begun
    points = sweeps.expand(compose.points(words, multirun=True), print)

    def stores() -> None:
        prepare.fingerprints(points[0].config)

    def model() -> None:
        trained.check(points[0].run_dir, None)

    time.sleep(digests.SETTLED_NS / 1e9)
    stores()  # whose digests are remembered from now on
    opening = seconds(stores) - unchecked(stores)
    # A training seals its files; who goes on from it, such as another evaluation, compares them.
    sealing = seconds(lambda: trained.write(points[0].run_dir)) + seconds(model)
    # The driver opens all stores once, each worker once.
    added = opening * (1 + len(points)) + sealing * len(points)
    print(f"{len(points)} points of {steps} steps: {whole:.1f} s")
    print(f"  stores of a point, digests remembered: {1000 * opening:.1f} ms more than unchecked")
    print(f"  a trained model: {1000 * sealing:.1f} ms to seal and to compare it, all hashed")
    print(f"  added to the sweep: {added:.2f} s, {added / whole:.2%} of its time")


def report_large(folder: Path, texts: int) -> None:
    """Print how long it takes to open tokens and pairs of so many passages."""
    from hybrid_sweep.utils import digests

    tokens, pairs = folder / "tokens", folder / "pairs"
    draw = np.random.default_rng(0)
    lengths = draw.integers(TOKENS // 2, 3 * TOKENS // 2, texts)
    columns = draw.integers(0, texts, (LANGUAGES, texts), np.int32)
    arrays = {
        "ids": draw.integers(0, 2**16, lengths.sum(), np.uint16),
        "starts": np.cumsum([0, *lengths]),
    }
    save(tokens, {**arrays, "used": np.arange(2**16)})
    numbers = {name: np.arange(texts) for name in ("question", "answer", "judged")}
    save(pairs, {"query": columns, "passage": columns, **numbers})
    size = sum(path.stat().st_size for store in (tokens, pairs) for path in store.iterdir())
    time.sleep(digests.SETTLED_NS / 1e9)

    def opened() -> None:
        for store in (tokens, pairs):
            digests.read_info(store, digests.memory_of(folder, store))
            for path in sorted(store.glob("*.npy")):
                np.load(path, mmap_mode="r")

    begun = time.perf_counter()
    opened()
    first = time.perf_counter() - begun
    print(f"{texts:,} passages, {size / 1e6:.0f} MB of tokens and pairs:")
    print(f"  opened the first time {first:.2f} s, with remembered digests {seconds(opened):.4f} s")
    print(f"  without digests {unchecked(opened):.4f} s")


def save(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays of a store and their digests."""
    from hybrid_sweep.utils import digests

    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    digests.write_info(folder, {}, [f"{name}.npy" for name in arrays])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--texts", type=int, default=1_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        # Leases of its own: other sweeps on this machine are another measurement.
        os.environ["HYBRID_SWEEP_SLOTS"] = str(Path(name) / "slots")
        os.environ.setdefault("HYBRID_SWEEP_CACHE", str(Path(name) / "cache"))
        for part in ("short", "large"):
            (Path(name) / part).mkdir()
        report_large(Path(name) / "large", args.texts)
        report_sweep(Path(name) / "short", args.steps)


if __name__ == "__main__":
    main()
