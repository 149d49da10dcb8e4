"""What stays the same while code moves: the run ids of every experiment, and the bytes of the
tables of a small sweep.

    python -m tests.golden            say what differs from tests/golden.json
    python -m tests.golden --write    store what the code gives now; the commit says what moved and why

The sweep has all settings, two pools, a further collection, BM25, the untrained encoder, and a run
file that is scored. What a training gives depends on the processor's vector instructions, so
trained tables are stored for one kind.
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
STORED = Path(__file__).with_name("golden.json")
# of no collection or model: those of data have tests of their own
MARKS = {"collection": "c" * 12, "model": "m" * 12}
# they ask for model.path
EXPERIMENTS_OF_A_FOLDER = ("added", "mixed", "pools", "shape", "transfer")
WORDS = (
    "data=synthetic",
    "data.groups=80",
    "data.languages=[xa,xb,xc]",
    "data.pools=[10,30]",
    "+data@eval.also.other=synthetic",
    "eval.also.other.groups=40",
    "eval.also.other.seed=9",
    "eval.run_depth=10",
    "eval.dev_every=3",
    "model.vocabulary=400",
    "model.hidden_size=32",
    "model.heads=2",
    "model.intermediate_size=64",
    "batch.size=8",
    "batch.cross_lingual_ratio=0,0.5,1",
    "seed=0,1",
    "trainer.max_steps=6",
    "trainer.lr=3e-3",
    "sweep.name=golden",
    "logger=disabled",
)


def run_ids() -> dict[str, dict[str, Any]]:
    """Return the number of points of each conf/experiment, and the digest of their run ids."""
    from hybrid_sweep.config.compose import points
    from hybrid_sweep.config.schema import run_id

    found = {}
    for path in sorted((ROOT / "conf" / "experiment").glob("*.yaml")):
        words = [f"experiment={path.stem}"]
        if path.stem in EXPERIMENTS_OF_A_FOLDER:
            words.append("model.path=folder")
        ids = sorted(run_id(config, MARKS) for _, config in points(words, multirun=True))
        found[path.stem] = {"points": len(ids), "sha256": _digest("\n".join(ids).encode())}
    return found


def published() -> dict[str, str]:
    """Return the digests of what each published sweep says of its points and its results."""
    paths = sorted(ROOT.glob("experiments/*/points.json")) + sorted(
        ROOT.glob("experiments/*/results.csv")
    )
    return {str(path.relative_to(ROOT)): _digest(path.read_bytes()) for path in paths}


def sweep(folder: Path) -> dict[str, dict[str, str]]:
    """Run the small sweep below a folder; return the digests of its tables, of those that no
    training made, and the rest.
    """
    from tests import ready

    def cli(*words: str) -> None:
        done = ready.run(["-m", "hybrid_sweep", *words], cwd=folder)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    cli("run", "-m", *WORDS)
    cli("report", "outputs/sweeps/golden")
    points = json.loads((folder / "outputs/sweeps/golden/points.json").read_text())["points"]
    kinds = {point["run_id"]: point["kind"] for point in points}
    (lexical,) = [run_id for run_id, kind in kinds.items() if kind == "bm25"]
    run_file = min((folder / "outputs/runs" / lexical / "runs").glob("*.trec*"))
    cli("evaluate", f"run={run_file}", *WORDS[:3])
    found: dict[str, dict[str, str]] = {"bm25": {}, "encoders": {}}
    for path in sorted((folder / "outputs").rglob("*")):
        name = path.relative_to(folder / "outputs")
        if (
            path.suffix not in (".csv", ".parquet")
            or path.name == "steps.parquet"
            or "encoding" in name.parts
        ):
            continue
        is_bm25 = name.parts[0] == "scored" or kinds.get(name.parts[1]) == "bm25"
        found["bm25" if is_bm25 else "encoders"][str(name)] = _digest(path.read_bytes())
    return found


def found(folder: Path) -> dict[str, Any]:
    """Return all of it."""
    import torch

    return {
        "experiments": run_ids(),
        "published": published(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        **sweep(folder),
    }


def differences(stored: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return a line for each thing that differs."""
    parts = ["experiments", "published", "bm25"]
    if stored["processor"] == now["processor"]:
        parts.append("encoders")
    lines = []
    for part in parts:
        for name in sorted(stored[part].keys() | now[part].keys()):
            before, after = stored[part].get(name), now[part].get(name)
            if before != after:
                lines.append(f"{part}: {name}: {before} -> {after}")
    return lines


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        os.environ["HYBRID_SWEEP_CACHE"] = str(Path(name) / "cache")
        now = found(Path(name))
    if sys.argv[1:] == ["--write"]:
        STORED.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
        return 0
    lines = differences(json.loads(STORED.read_text()), now)
    print("\n".join(lines) or "nothing has moved")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
