"""The whole path through the real command line: sweep, report, second sweep; and DDP under
--multirun.
"""

import os
import subprocess
import sys

import pandas as pd
import pytest

from hybrid_sweep.utils.files import read_json
from tests import ready
from tests.small import SMALL

WORDS = [*SMALL, "trainer.max_steps=20", "logger=disabled"]


def cli(*words, cwd, code=0, **env):
    done = ready.run(["-m", "hybrid_sweep", *words], cwd=cwd, env={**os.environ, **env})
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.slow
def test_sweep_report_and_a_second_sweep_that_has_nothing_to_do(cache, tmp_path):
    words = ["-m", *WORDS, "batch.cross_lingual_ratio=0,0.5,1", "seed=0,1", "sweep.name=s"]
    assert "9 points" in cli("plan", *words, cwd=tmp_path)
    cli("run", *words, cwd=tmp_path)
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    shown = cli("report", str(sweep), cwd=tmp_path)
    assert str(sweep / "curve.png") in shown or "curve.png" in shown
    for name in (
        "results.csv",
        "results.parquet",
        "curve.png",
        "curve.pdf",
        "report.md",
        "report.html",
        "table.tex",
        "points.json",
    ):
        assert (sweep / name).stat().st_size > 100, name
    runs = [entry["run_id"] for entry in read_json(sweep / "points.json")["points"]]
    # 3 ratios x 2 seeds, the untrained encoder of each seed, and BM25
    assert len(runs) == len(set(runs)) == 9
    assert set(pd.read_csv(sweep / "results.csv")["kind"]) == {"trained", "untrained", "bm25"}
    stamps = {
        run: (tmp_path / "outputs" / "runs" / run / "metrics.json").stat().st_mtime_ns
        for run in runs
    }
    results = (sweep / "results.csv").read_bytes()

    again = cli("run", *words, cwd=tmp_path)
    assert "9/9 done" in again
    assert stamps == {
        run: (tmp_path / "outputs" / "runs" / run / "metrics.json").stat().st_mtime_ns
        for run in runs
    }
    (sweep / "results.csv").unlink()
    cli("report", str(sweep), cwd=tmp_path)
    assert (sweep / "results.csv").read_bytes() == results

    (tmp_path / "outputs" / "runs" / runs[3] / "metrics.json").unlink()
    assert runs[3] in cli("report", str(sweep), cwd=tmp_path, code=1)


@pytest.mark.slow
def test_distributed_points_under_multirun_are_as_many_runs_as_points(cache, tmp_path):
    """Lightning's own launcher under Hydra's multirun starts the whole sweep again in every rank: 3
    points become 9 runs.
    """
    words = [
        "-m",
        *WORDS,
        "batch.cross_lingual_ratio=0,0.5,1",
        "trainer.devices=2",
        "sweep.name=ddp",
        "sweep.untrained=false",
        "sweep.bm25=false",
    ]
    cli("run", *words, cwd=tmp_path)
    runs = sorted(path for path in (tmp_path / "outputs" / "runs").iterdir() if path.is_dir())
    assert len(runs) == 3
    for folder in runs:
        steps = pd.read_parquet(folder / "steps.parquet")
        assert (steps["world_size"] == 2).all() and len(steps) == 20
        assert read_json(folder / "metrics.json")["run_id"] == folder.name
    assert sorted(path.name for path in (tmp_path / "outputs" / "sweeps").iterdir()) == ["ddp"]


@pytest.mark.slow
def test_the_wheel_works_outside_the_repository_with_its_own_conf(tmp_path):
    import shutil
    import zipfile
    from pathlib import Path

    repository = Path(__file__).parent.parent
    source = tmp_path / "source"
    shutil.copytree(
        repository,
        source,
        ignore=shutil.ignore_patterns(
            ".venv", ".git", "outputs", "tests", "*cache*", ".hypothesis"
        ),
    )
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    assert (site / "hybrid_sweep" / "conf" / "config.yaml").is_file() and not (
        site / "conf"
    ).exists()
    away = tmp_path / "away"
    away.mkdir()
    env = {**os.environ, "PYTHONPATH": str(site), "HYBRID_SWEEP_CACHE": str(tmp_path / "cache")}

    def python(*words):
        """In a process of its own, which has imported nothing from the repository."""
        return subprocess.run(
            [sys.executable, *words], cwd=away, env=env, capture_output=True, text=True, check=True
        ).stdout

    shown = python("-m", "hybrid_sweep", "plan", *WORDS)
    where = python(
        "-c", "import hybrid_sweep.config.schema as c; print(c.__file__, c.config_dir())"
    )
    assert where.split() == [
        str(site / "hybrid_sweep" / "config" / "schema.py"),
        str(site / "hybrid_sweep" / "conf"),
    ]
    assert "ratio 0.5" in shown or "0.5" in shown
