"""A real sweep under W&B: what was mirrored while it ran is what push makes of its files, and no
secret is in any file.
"""

import os
from pathlib import Path

import pytest

from tests import ready
from tests.small import SMALL
from tests.wandb_sweep_folder import SECRET, files, history, program, summary

KEY = "0123456789abcdef0123456789abcdef01234567"
SECRETS = {
    "WANDB_API_KEY": KEY,
    "HF_TOKEN": SECRET,
    "AWS_SECRET_ACCESS_KEY": "aws-s3cr3t",
    "DB_PASSWORD": "pw-s3cr3t0",
}


def told(file):
    """All of a run but its times: state, config, summary, series."""
    found = summary(file)
    numbers = {name: value for name, value in found["summary"].items() if not name.startswith("_")}
    return [found[key] for key in ("state", "name", "project", "config")] + [numbers, history(file)]


def leaks(folder):
    """The files under a folder that hold a secret, in their names or bytes."""
    return [
        (str(path), name)
        for path in Path(folder).rglob("*")
        for name, value in SECRETS.items()
        if value in path.name or (path.is_file() and value.encode() in path.read_bytes())
    ]


@pytest.mark.slow
def test_the_live_mirror_is_what_push_makes_and_nothing_that_was_written_holds_a_secret(
    cache, tmp_path
):
    env = SECRETS | {"HYBRID_SWEEP_CACHE": str(cache)}
    runs, sweeps = tmp_path / "outputs" / "runs", tmp_path / "outputs" / "sweeps"
    words = [
        "run",
        "-m",
        *SMALL,
        "eval.dev_every=6",
        "batch.cross_lingual_ratio=0,0.5",
        "sweep.name=s",
    ]
    done = program(*words, cwd=tmp_path, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    live = files(runs)
    assert len(live) == 4
    # A diverging point: its loss is no number.
    bad = ["trainer.lr=1e30", "sweep.name=bad", "sweep.bm25=false", "sweep.untrained=false"]
    done = program("run", "-m", *SMALL, "batch.cross_lingual_ratio=0.5", *bad, cwd=tmp_path, **env)
    assert done.returncode == 1, done.stdout + done.stderr
    (failed,) = set(files(runs)) - set(live)
    assert summary(files(runs)[failed])["state"] == "failed"
    for verb in (["report", "outputs/sweeps/s"], ["dashboard", "outputs/sweeps/s", "--dry-run"]):
        assert program(*verb, cwd=tmp_path, **env).returncode == 0
    for name in ("s", "bad"):
        done = program("wandb", "push", f"outputs/sweeps/{name}", "--offline", cwd=tmp_path, **env)
        assert done.returncode == 0, done.stderr
    assert summary(files(sweeps / "bad")[failed])["state"] == "failed"
    pushed = files(sweeps / "s")
    assert set(live) < set(pushed)
    for name, file in live.items():
        assert told(pushed[name]) == told(file), name
    steps = [
        row["step"] for row in told(live[max(live, key=lambda name: len(history(live[name])))])[-1]
    ]
    assert steps == [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11, 12, 12]
    assert leaks(tmp_path) == [] and leaks(cache) == []


@pytest.mark.slow
def test_an_error_that_quotes_a_secret_reaches_no_file(planned, tmp_path):
    folder = planned("logger=offline")
    code = (
        "import os, runpy, sys\nfrom hybrid_sweep.runs import fit\nfrom hybrid_sweep.sweeps import worker\nfrom hybrid_sweep.utils import redaction\nfrom pathlib"
        " import Path\ndef trained(*given): raise RuntimeError('401 for ' +"
        " os.environ['HF_TOKEN'])\nfit.encoder_of ="
        " trained\nredaction.guard()\nsys.exit(worker.main(Path(sys.argv[1])))"
    )
    done = ready.run(["-c", code, folder], env=os.environ | SECRETS)
    (folder / "log.txt").write_text(done.stdout + done.stderr)
    assert done.returncode == 1
    assert (
        "401 for $HF_TOKEN"
        in (folder / "log.txt").read_text() + (folder / "status.json").read_text()
    )
    assert leaks(tmp_path) == [] and summary(files(folder)[folder.name])["state"] == "failed"
