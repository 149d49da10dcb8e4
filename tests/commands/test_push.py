"""Models leave for the hub with their cards, whole and alone: nothing else of a run goes with
them.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from omegaconf import OmegaConf

from hybrid_sweep.commands import cli, push
from hybrid_sweep.commands.push import PushRequest
from hybrid_sweep.config.schema import to_dict
from hybrid_sweep.runs import trained
from hybrid_sweep.runs.model_card import Interval
from hybrid_sweep.utils.files import write_json
from tests.finished_runs import finish
from tests.hub_server import hub
from tests.refused import refused

TOKEN = "hf_token_of_the_test"
FILES = ("config.json", "model.safetensors", "modules.json", "1_Pooling/config.json")
PRIVATE = "for nobody else"


def run_of(outputs: Path, run_id: str, config) -> Path:
    """The folder of a trained run, with a file of each kind that must stay here."""
    folder = outputs / "runs" / run_id
    for name in FILES:
        (folder / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "model" / name).write_text(f"{name} of {run_id}")
    write_json(folder / "model" / "config.json", {})
    for name in ("steps.parquet", "log.txt", "model/notes.md", "model/.hidden", "optimizer.pt"):
        (folder / name).write_text(PRIVATE)
    OmegaConf.save(OmegaConf.create(to_dict(config)), folder / "config.yaml")
    trained.write(folder)
    finish(folder, run_id, **{"monolingual/RR@10": 0.25})
    return folder


@pytest.fixture
def outputs(config, tmp_path) -> Path:
    """A sweep of two ratios and two seeds with their models, and the untrained encoder."""
    made = config("batch.cross_lingual_ratio=0.5")
    points = [{"run_id": "f" * 12, "ratio": 0.0, "seed": 0, "kind": "untrained"}]
    for number, (ratio, seed) in enumerate([(0.0, 0), (0.0, 1), (0.5, 0), (0.5, 1)]):
        run_of(tmp_path, f"{number:012}", made)
        points.append({"run_id": f"{number:012}", "ratio": ratio, "seed": seed, "kind": "trained"})
    sweep = tmp_path / "sweeps" / "first"
    sweep.mkdir(parents=True)
    write_json(sweep / "points.json", {"name": "first", "margin": 0.01, "points": points})
    return tmp_path


@pytest.fixture
def intervals(monkeypatch):
    """What the rows of the sweep give; these are no rows."""
    row = Interval("monolingual", "RR@10", 0.25, 0.125, 0.375, 2)
    monkeypatch.setattr(push, "_intervals", lambda sweep_dir: {0.5: [row]})


def test_a_dry_run_writes_what_would_be_pushed(outputs, capsys):
    source = outputs / "runs" / f"{1:012}"
    before = sorted(source.rglob("*"))
    assert cli.main(["push", str(source), "me/x", "--license", "mit", "--dry-run"]) == 0
    folder = outputs / "hub" / "me" / "x"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == {*FILES, "README.md"} and sorted(source.rglob("*")) == before
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "mit" and 'SentenceTransformer("me/x")' in card.text
    assert str(folder) in capsys.readouterr().out


@pytest.mark.parametrize("other", [".git/HEAD", "notes.md", "1_Pooling/more.json"])
def test_a_dry_run_replaces_nothing_but_an_earlier_one(outputs, other):
    source, folder = outputs / "runs" / f"{1:012}", outputs / "hub" / "me" / "x"
    for _ in range(2):
        push.push(PushRequest(source, "me/x", is_dry=True))
    (folder / other).parent.mkdir(exist_ok=True)
    (folder / other).write_text(PRIVATE)
    with refused("push.occupied", folder):
        push.push(PushRequest(source, "me/x", is_dry=True))
    assert (folder / other).read_text() == PRIVATE


def test_the_points_of_a_sweep_are_chosen_by_ratio_and_seed(outputs, intervals):
    source = outputs / "sweeps" / "first"
    for asked, names in (
        ({"ratio": 0.5, "seed": 1}, {"x-r0.5-s1"}),
        ({"ratio": 0.0}, {"x-r0-s0", "x-r0-s1", "x-r0.5-s1"}),
        ({}, {"x-r0-s0", "x-r0-s1", "x-r0.5-s0", "x-r0.5-s1"}),
    ):
        push.push(PushRequest(source, "me/x", is_dry=True, **asked))
        assert {path.name for path in (outputs / "hub" / "me").iterdir()} == names
    text = (outputs / "hub" / "me" / "x-r0.5-s0" / "README.md").read_text()
    assert "0.1250 to 0.3750" in text
    assert "0.1250" not in (outputs / "hub" / "me" / "x-r0-s0" / "README.md").read_text()
    weights = (outputs / "hub" / "me" / "x-r0.5-s0" / "model.safetensors").read_text()
    assert weights == f"model.safetensors of {2:012}"


def test_what_cannot_be_pushed_is_refused_before_anything_is_sent(outputs, intervals, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    run, sweep = outputs / "runs" / f"{1:012}", outputs / "sweeps" / "first"
    for name in ("x", "a/b/c", "me/x y", "me/--x"):
        with refused("push.name", name):
            push.push(PushRequest(run, name, is_dry=True))
    with refused("push.no_sweep"):
        push.push(PushRequest(run, "me/x", ratio=0.5, is_dry=True))
    with refused("push.no_point"):
        push.push(PushRequest(sweep, "me/x", ratio=0.75, is_dry=True))
    with refused("push.no_run"):
        push.push(PushRequest(outputs, "me/x", is_dry=True))
    with refused("push.offline"):  # the tests run so
        push.push(PushRequest(run, "me/x"))
    (run / "model" / "config.json").write_text('{"changed": 1}')
    with refused("seals.altered", "config.json"):
        push.push(PushRequest(sweep, "me/x", is_dry=True))
    assert not (outputs / "hub").exists()


def test_an_average_is_pushed_where_it_was_kept(outputs):
    run = outputs / "runs" / f"{1:012}"
    (run / "trained.json").unlink()
    parents = [f"{0:012}", f"{2:012}"]
    average = {"run_id": run.name, "seed": 0, "ratios": [0.0, 0.5], "shares": [0.5, 0.5]}
    write_json(run / "merge.json", average | {"parents": parents})
    push.push(PushRequest(run, "me/x", is_dry=True))
    assert parents[1] in (outputs / "hub" / "me" / "x" / "README.md").read_text()
    (run / "model").rename(run / "elsewhere")
    with refused("push.average_not_kept"):
        push.push(PushRequest(run, "me/x", is_dry=True))


def pushed(words, **environment) -> "subprocess.CompletedProcess[str]":
    """The program in a process of its own: the client reads where its server is when it is
    imported.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    command = [sys.executable, "-m", "hybrid_sweep", "push", *map(str, words)]
    return subprocess.run(
        command, env={**kept, **environment}, capture_output=True, text=True, timeout=100
    )


@pytest.mark.slow
def test_a_server_gets_the_model_and_its_card_and_nothing_else(outputs, tmp_path):
    run = outputs / "runs" / f"{1:012}"
    with hub() as server:
        around = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "hf")}
        done = pushed([run, "me/x"], HF_TOKEN=TOKEN, **around)
        assert (done.returncode, done.stderr) == (0, "") and server.address in done.stdout
        assert server.files["me/x"].keys() == {*FILES, "README.md"}
        for name in FILES[1:]:
            assert server.files["me/x"][name] == (run / "model" / name).read_bytes()
        assert PRIVATE.encode() not in server.seen and str(outputs).encode() not in server.seen
        assert server.created[0].get("visibility") == "private" or server.created[0]["private"]
        assert TOKEN not in done.stdout
        assert pushed([run, "me/y", "--public"], HF_TOKEN=TOKEN, **around).returncode == 0
        assert server.created[1].get("visibility") == "public" or not server.created[1]["private"]
        requests = len(server.asked)
        without = pushed([run, "me/z"], **around)
        assert without.returncode == 2 and without.stderr.startswith("error: no token")
        assert without.stderr.count("\n") == 1 and len(server.asked) == requests
        server.status["/api/repos/create"] = 403
        refusal = pushed([run, "me/z"], HF_TOKEN=TOKEN, **around)
        assert refusal.returncode == 2 and refusal.stderr.count("\n") == 1
        assert TOKEN not in refusal.stderr and "me/z" in refusal.stderr
