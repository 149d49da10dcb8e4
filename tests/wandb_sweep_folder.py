"""A finished sweep as files, with what the mirror reads, and a reader of the runs that W&B's client
leaves.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import OmegaConf

from hybrid_sweep.config.schema import to_dict
from hybrid_sweep.utils.files import read_json, write_json
from tests import ready
from tests.report.conftest import World, write_sweep

BIAS = {
    "languages": ["de", "en"],
    "rank_distance": {"de": {"n": 3, "mean": 12.5, "median": None}},
    "first_retrieved": [[0.75, 0.25], [None, None]],
}
SECRET = "hf_s3cr3t0123456789"


def write(root: Path, config: Any, fail: str = "") -> Path:
    """A sweep of ratios 0 and 0.5, one seed and the untrained encoder; `fail`: the id of a point
    that failed.
    """
    folder = write_sweep(root, World(), ratios=(0.0, 0.5), seeds=(0,), untrained=(0,), name="toy")
    for entry in read_json(folder / "points.json")["points"]:
        run, steps = root / "runs" / entry["run_id"], 3 if entry["kind"] == "trained" else 0
        words = to_dict(
            config(f"batch.cross_lingual_ratio={entry['ratio']}", f"trainer.max_steps={steps}")
        )
        words["data"] |= {"name": "toy", "languages": ["de", "en", "fr"]}
        words["logger"]["mode"] = "offline"
        words["sweep"]["name"] = "toy"
        OmegaConf.save(OmegaConf.create(words), run / "config.yaml")
        summary = {
            "monolingual/RR@10": 0.5 + entry["ratio"] / 10,
            "monolingual/de/RR@10": 0.25,
            "multilingual/AP": 0.125,
        }
        metrics = (
            read_json(run / "metrics.json")
            | summary
            | {
                "collection": "toy",
                "queries": 40,
                "bias": BIAS,
            }
        )
        write_json(run / "metrics.json", metrics)
        write_json(run / "status.json", {"state": "done", "error": None})
        if steps:
            rows = [
                {"step": i, "loss": 2.0 / (i + 3), "n_cross": 2 * i, "n_examples": 16}
                for i in range(3)
            ]
            pq.write_table(pa.Table.from_pylist(rows), run / "steps.parquet")
            pq.write_table(
                pa.Table.from_pylist([{"step": 2, "monolingual/RR@10": 0.375}]), run / "dev.parquet"
            )
        if entry["run_id"] == fail:
            (run / "metrics.json").unlink()
            write_json(
                run / "status.json", {"state": "failed", "error": "RuntimeError: the loss is nan"}
            )
    return folder


def files(folder: Path) -> dict[str, Path]:
    """The .wandb file of each offline run under a folder, by the id of the run."""
    return {path.stem.removeprefix("run-"): path for path in sorted(folder.rglob("*.wandb"))}


def summary(file: Path) -> dict[str, Any]:
    """What W&B's own reader says of a run: state, exit code, config, summary."""
    return json.loads(_inspect(file, "--summary"))


def history(file: Path) -> list[dict[str, float]]:
    """The rows of the series of a run, without what W&B adds to them."""
    records = [json.loads(line) for line in _inspect(file).splitlines()]
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    return [
        {name: value for name, value in row.items() if not name.startswith("_")} for row in rows
    ]


def kinds(file: Path) -> set[str]:
    """Which kinds of records a run has."""
    return {json.loads(line)["type"] for line in _inspect(file).splitlines()}


def _inspect(file: Path, *words: str) -> str:
    client = shutil.which("wandb", path=str(Path(sys.executable).parent)) or "wandb"
    command = [client, "leet", "inspect", *words, "--json", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def program(*words: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """The program in a process of its own, with a home that knows no login, and only the W&B
    settings that are given.
    """
    around = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    home = cwd / "home"
    home.mkdir(exist_ok=True)
    around |= {"HOME": str(home), **env}
    return ready.run(["-m", "hybrid_sweep", *words], cwd=cwd, env=around, timeout=300)
