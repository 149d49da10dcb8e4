"""A real sweep that adds seeds until its verdicts are settled: stopped at a round, it ends in the
same files.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hybrid_sweep.commands.rounds import next_round
from hybrid_sweep.utils import plan_log

WORDS = """run -m experiment=smoke batch.cross_lingual_ratio=0,1 seed=0,1,2 trainer.max_steps=6
    sweep.bm25=false sweep.untrained=false sweep.until=settled sweep.max_seeds=4
    sweep.margin=0.16""".split()
MOST_SECONDS = 300


def start(folder: Path, cache: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"HYBRID_SWEEP_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "hybrid_sweep", *WORDS, f"paths.outputs={folder}"]
    return subprocess.Popen(
        command, cwd=folder.parent, env=environment, stdout=subprocess.PIPE, text=True
    )


def result(folder: Path) -> tuple[list[Any], dict[str, str], list[list[int]]]:
    """Points, digests of their rows, and what was planned in order."""
    sweep_dir = folder / "sweeps/smoke"
    points = json.loads((sweep_dir / "points.json").read_text())["points"]
    rows = {}
    for point in points:
        path = folder / "runs" / point["run_id"] / "per_query.parquet"
        del point["overrides"]  # they name the folder
        rows[point["run_id"]] = hashlib.sha256(path.read_bytes()).hexdigest()
    return points, rows, [plan.seeds for plan in plan_log.read(sweep_dir).plans]


@pytest.mark.slow
def test_a_sweep_that_is_stopped_at_a_round_ends_in_the_same_files(
    tmp_path: Path, cache: Path
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    out, _ = start(whole, cache).communicate(timeout=MOST_SECONDS)
    assert "round: " in out.splitlines()[-2]
    expected = result(whole)
    assert len(expected[2]) > 1  # at least one round of more seeds
    driver = start(stopped, cache)
    log = stopped / "sweeps/smoke" / plan_log.NAME
    end = time.monotonic() + MOST_SECONDS
    while time.monotonic() < end:
        if log.is_file() and len(plan_log.read(log.parent).plans) > 1:
            break
        time.sleep(0.05)
    driver.send_signal(signal.SIGTERM)
    driver.communicate(timeout=60)
    assert driver.returncode == 130
    again = start(stopped, cache)
    again.communicate(timeout=MOST_SECONDS)
    assert again.returncode == 0 and result(stopped) == expected
    before = log.read_bytes()
    assert next_round(log.parent, 4).ratios == {} and log.read_bytes() == before
