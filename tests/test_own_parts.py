"""A loss and callbacks of the user's own from the command line: in sweeps, on several processes,
after an edit.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hybrid_sweep.utils.files import read_json
from tests import ready
from tests.small import SMALL
from tests.training.test_parts import LOSSES

CALLBACKS = """
from pathlib import Path
import pytorch_lightning as pl

class Logger(pl.Callback):
    def on_train_batch_end(self, trainer, pl_module, *_):
        with Path(f"heard-{trainer.global_rank}.txt").open("a") as file:
            file.write(f"{pl_module.record[-1]['step']}\\n")
"""
WORDS = (
    *SMALL,
    "logger=disabled",
    "model.dropout=0",
    "sweep.untrained=false",
    "sweep.bm25=false",
    "trainer.precision=64-true",
)
OWN = ("trainer.loss=own_losses:margin", "trainer.callbacks=[own_callbacks:Logger]")


@pytest.fixture
def own(cache, tmp_path):
    (tmp_path / "own_losses.py").write_text(LOSSES)
    (tmp_path / "own_callbacks.py").write_text(CALLBACKS)
    return tmp_path


def cli(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return ready.run(["-m", "hybrid_sweep", *words], cwd=folder)


def run(folder: Path, *words: str) -> Path:
    """Run one point; its folder."""
    before = set(folder.glob("outputs/runs/*"))
    done = cli(folder, "run", *WORDS, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = set(folder.glob("outputs/runs/*")) - before
    return made


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(run_dir / "model" / "model.safetensors")


@pytest.mark.slow
def test_a_loss_of_ones_own_trains_with_callbacks_and_an_edit_is_another_run(own):
    plain, same = run(own), run(own, "trainer.loss=own_losses:same")
    margin = run(own, *OWN)
    assert weights(plain).keys() == weights(same).keys()
    assert all(torch.equal(value, weights(same)[name]) for name, value in weights(plain).items())
    assert any(not torch.equal(v, weights(margin)[name]) for name, v in weights(plain).items())
    assert (own / "heard-0.txt").read_text().split() == [str(step) for step in range(12)]
    marks = read_json(margin / "identity.json")["fingerprints"]["own_parts"]
    assert sorted(marks) == ["own_callbacks:Logger", "own_losses:margin"]
    assert "1/1 done (1 before)" in cli(own, "run", *WORDS, *OWN).stdout
    text = (own / "own_losses.py").read_text()
    (own / "own_losses.py").write_text(text.replace("margin=0.2", "margin=0.3"))
    edited = run(own, *OWN)
    assert any(not torch.equal(v, weights(edited)[name]) for name, v in weights(margin).items())


@pytest.mark.slow
def test_two_processes_train_as_one_does(own):
    one = run(own, *OWN)
    two = run(own, *OWN, "trainer.devices=2")
    found = weights(two)
    assert all(torch.allclose(v, found[name], atol=1e-6) for name, v in weights(one).items())
    heard = [(own / f"heard-{rank}.txt").read_text().split() for rank in range(2)]
    assert heard == [[str(step) for step in range(12)] * 2, [str(step) for step in range(12)]]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["local", "basic"])
def test_the_workers_of_a_sweep_find_the_module(own, launcher):
    done = cli(
        own,
        "run",
        "-m",
        *WORDS,
        *OWN,
        "seed=0,1",
        f"hydra/launcher={launcher}",
        "batch.cross_lingual_ratio=0.5",
    )
    assert "2/2 done" in done.stdout, done.stdout + done.stderr
    logs = [path.read_text() for path in own.glob("outputs/runs/*/log.txt")]
    assert len(logs) == 2 and not any("not forked" in log for log in logs)


@pytest.mark.slow
def test_a_worker_refuses_a_file_that_was_edited_since(own):
    made = run(own, *OWN)
    (own / "own_losses.py").write_text(LOSSES + "\n")
    for name in ("metrics.json", "steps.parquet"):
        (made / name).unlink()
    shutil.rmtree(made / "model")
    words = [OWN[0], "trainer.callbacks=own_callbacks:Logger", f"folder={own}"]
    done = ready.run(["-m", "hybrid_sweep.worker", made, *words], cwd=Path("/"))
    assert done.returncode == 2 and "own_losses:margin" in done.stderr
    (own / "own_losses.py").write_text(LOSSES)
    done = ready.run(["-m", "hybrid_sweep.worker", made, *words], cwd=Path("/tmp"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["run", "plan"])
@pytest.mark.parametrize("data", ["synthetic", "mmarco"])
def test_a_part_that_cannot_be_used_is_refused_before_anything_is_built(own, verb, data):
    words = [f"data={data}", "trainer.loss=own_losses:other_names", f"paths.cache={own / 'cache'}"]
    done = cli(own, verb, *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: trainer.loss=own_losses:other_names: is called with")
    assert not (own / "cache").exists() and not (own / "outputs").exists()
