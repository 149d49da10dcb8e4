"""Sweeps on a real SLURM: the same bytes as on one machine, whatever the cluster takes away and
gives back meanwhile.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from hybrid_sweep.training import checkpoints
from hybrid_sweep.utils.files import read_json
from tests.test_end_to_end import WORDS
from tests.wandb_sweep_folder import kinds

SCRIPT = Path(__file__).parent / "slurm" / "slurm.sh"
POINT = [
    "batch.cross_lingual_ratio=0.5",
    "sweep.untrained=false",
    "sweep.bm25=false",
    "trainer.max_steps=600",
]
LONG = ["-m", *(word for word in WORDS if not word.startswith("trainer.max_steps")), *POINT]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A cluster of two nodes on this machine; its environment."""
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([SCRIPT, "start", folder, "2"], capture_output=True, text=True)
    if started.returncode:
        message = f"SLURM does not start here: {started.stderr[-1000:]}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    # the leases of this machine's cores are not the nodes' own
    slots = tmp_path_factory.mktemp("slots")
    yield {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "HYBRID_SWEEP_SLOTS": str(slots)}
    subprocess.run([SCRIPT, "stop", folder], capture_output=True)


@pytest.fixture
def cluster(slurm, cache):
    """The same, when the cache of the tests is known; no job is left behind."""
    yield {**slurm, "HYBRID_SWEEP_CACHE": str(cache)}
    subprocess.run(
        ["scancel", "--full", "--signal=KILL", "--state=RUNNING"], env=slurm, capture_output=True
    )
    subprocess.run(["scancel", f"--user={os.getuid()}"], env=slurm, capture_output=True)


def start(words, cwd, env):
    cwd.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "hybrid_sweep", *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=cwd, env=env, text=True, **streams)


def finish(process, code=0):
    shown, _ = process.communicate(timeout=400)
    assert process.returncode == code, shown[-3000:]
    return shown


def run(words, cwd, env, code=0):
    return finish(start(["run", *words], cwd, env), code)


def tables(folder):
    """The per-query table and the metrics of each run below a folder, as bytes."""
    found = {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for name in ("per_query.parquet", "metrics.json")
        for path in sorted((folder / "outputs" / "runs").glob(f"*/{name}"))
    }
    assert found
    return found


def ask(env, *words):
    return subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.strip()


def hold(env, job):
    """Let a job stay where it is, however long the next thing takes to come; SLURM wakes it before
    it tells it to end.
    """
    ask(env, "scancel", "--signal=STOP", job)


def until(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
    return found


def the_run(folder):
    [found] = (folder / "outputs" / "runs").iterdir()
    return found


def training(folder, beyond=0):
    """Waits until the only run below a folder trains, beyond this step; the step."""

    def step():
        runs = list((folder / "outputs" / "runs").glob("*/status.json"))
        status = (read_json(runs[0]) if runs else None) or {}
        return (
            status.get("step", 0)
            if status.get("state") == "training" and status["step"] > beyond
            else 0
        )

    return until(step)


def kept(folder):
    """When each step of the newest checkpoint was done, by the clock of the process that did it: no
    other has the same.
    """
    run = the_run(folder)
    _, state = checkpoints.newest(run / "checkpoints", run.name)
    return [row["seconds"] for row in state["record"]]


def took(folder):
    """The same of the whole training."""
    return pd.read_parquet(the_run(folder) / "steps.parquet")["seconds"].tolist()


def starts(folder):
    return (the_run(folder) / "log.txt").read_text().count("\n--- ") + 1


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache):
    """The long point, run on this machine without a cluster."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run(LONG, folder, {**os.environ, "HYBRID_SWEEP_SLOTS": str(folder / "slots")})
    return folder


@pytest.mark.slow
def test_a_sweep_on_slurm_gives_the_bytes_of_one_on_this_machine(cluster, tmp_path):
    words = ["-m", *WORDS, "batch.cross_lingual_ratio=0,1", "sweep.name=s"]
    here, there = tmp_path / "here", tmp_path / "there"
    run(words, here, cluster)
    shown = run([*words, "hydra/launcher=slurm"], there, cluster)
    assert "submitted array job" in shown and "for 2 points" in shown and "4/4 done" in shown
    assert len(tables(here)) == 8 and tables(here) == tables(there)
    for folder in (here, there):
        finish(start(["report", "outputs/sweeps/s"], folder, cluster))
    results = [folder / "outputs" / "sweeps" / "s" / "results.csv" for folder in (here, there)]
    assert results[0].read_bytes() == results[1].read_bytes()


@pytest.mark.slow
def test_a_point_that_is_warned_and_preempted_is_requeued_and_ends_with_the_same_bytes(
    cluster, undisturbed, tmp_path
):
    going = start(["run", *LONG, "hydra/launcher=slurm"], tmp_path, cluster)
    training(tmp_path)
    [job] = set(ask(cluster, "squeue", "--noheader", "--format=%A").split())
    ask(cluster, "scancel", "--signal=USR2", job)  # what SLURM sends before a time limit
    until(lambda: starts(tmp_path) == 2)
    first = kept(tmp_path)
    training(tmp_path, beyond=len(first))
    hold(cluster, job)
    ask(
        cluster,
        "sbatch",
        "--partition=urgent",
        "--nodes=2",
        "--exclusive",
        "--output=/dev/null",
        "--wrap=sleep 2",
    )
    until(lambda: starts(tmp_path) == 3)
    second = kept(tmp_path)
    assert "1/1 done" in finish(going)
    assert "Restarts=2" in ask(cluster, "scontrol", "show", "job", job)
    assert tables(tmp_path) == tables(undisturbed)
    assert 0 < len(first) < len(second) < len(took(tmp_path)) == 600
    assert second[: len(first)] == first and took(tmp_path)[: len(second)] == second, (
        "it began anew"
    )


@pytest.mark.slow
def test_leaving_lets_the_array_run_the_same_command_waits_for_it_and_scancel_ends_it(
    cluster, undisturbed, tmp_path
):
    words = ["run", *LONG, "hydra/launcher=slurm"]
    going = start(words, tmp_path, cluster)
    training(tmp_path)
    [job] = ask(cluster, "squeue", "--noheader", "--format=%A").split()
    hold(cluster, job)
    going.send_signal(signal.SIGINT)
    finish(going, 130)
    again = start(words, tmp_path, cluster)
    until(lambda: "is in the queue and is waited for" in again.stdout.readline())
    assert ask(cluster, "squeue", "--noheader", "--format=%A").split() == [job]
    ask(cluster, "scancel", job)
    assert "0/1 done" in finish(again, 1)
    assert list((the_run(tmp_path) / "checkpoints").glob("step-*.pt")), "it was not told to stop"
    assert "1/1 done" in run(words[1:], tmp_path, cluster)
    assert tables(tmp_path) == tables(undisturbed)


@pytest.mark.slow
def test_two_processes_of_one_node(cluster, tmp_path):
    words = ["-m", *WORDS, *POINT[:-1], "trainer.devices=2"]
    here, there = tmp_path / "here", tmp_path / "there"
    run([*words, "hydra/launcher=slurm"], there, cluster)
    steps = pd.read_parquet(the_run(there) / "steps.parquet")
    assert (
        (steps["world_size"] == 2).all() and len(steps) == 20 and steps["n_examples"].eq(16).all()
    )
    run(words, here, cluster)
    assert tables(here) == tables(there)


@pytest.mark.slow
def test_two_nodes_that_are_warned_go_on_to_the_same_bytes(cluster, tmp_path):
    words = [*LONG[:-1], "trainer.max_steps=200", "trainer.nodes=2", "hydra/launcher=slurm"]
    whole, warned = tmp_path / "whole", tmp_path / "warned"
    run(words, whole, cluster)
    going = start(["run", *words], warned, cluster)
    training(warned)
    [job] = set(ask(cluster, "squeue", "--noheader", "--states=RUNNING", "--format=%A").split())
    ask(cluster, "scancel", "--signal=USR2", job)
    until(lambda: starts(warned) == 2)
    first = kept(warned)
    finish(going)
    assert (
        starts(warned) == 2
        and (pd.read_parquet(the_run(warned) / "steps.parquet")["world_size"] == 2).all()
    )
    assert 0 < len(first) < len(took(warned)) == 200 and took(warned)[: len(first)] == first, (
        "it began anew"
    )
    assert tables(whole) == tables(warned)
    mirrors = sorted(the_run(warned).glob("wandb/offline-run-*/*.wandb"))
    assert ["preempting" in kinds(file) for file in mirrors] == [
        True,
        False,
    ], "it was killed over a second warning"


@pytest.mark.slow
def test_a_point_that_fails_on_slurm_leaves_the_others_and_is_in_the_table(cluster, tmp_path):
    words = [
        "-m",
        *WORDS,
        "batch.cross_lingual_ratio=0,1",
        "sweep.untrained=false",
        "sweep.bm25=false",
    ]
    shown = finish(start(["plan", *words], tmp_path, cluster))
    [broken] = re.findall(r"ratio 1, seed 0 .*\b([0-9a-f]{12})\b", shown)
    folder = tmp_path / "outputs" / "runs" / broken
    folder.mkdir(parents=True)
    (folder / "config.yaml").mkdir()  # a folder where the worker's config should be
    shown = run([*words, "hydra/launcher=slurm"], tmp_path, cluster, code=1)
    assert (
        "1/2 done" in shown
        and "[1/2] ratio 0, seed 0" in shown
        and broken in shown.split("1/2 done", 1)[1]
    )
