"""Whole runs on a GPU: stopped and gone on, by the command line, scored again elsewhere.

Skipped where there is none.
"""

import re
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
import torch

from hybrid_sweep.commands.evaluate import evaluate_words
from hybrid_sweep.commands.mine import Wanted, mine_words
from hybrid_sweep.utils.files import read_json
from tests.test_end_to_end import WORDS, cli
from tests.training.test_checkpoints import stopped_and_not

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
REPOSITORY = str(Path(__file__).parent.parent)


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_stopped_and_gone_on_is_bit_equal_to_undisturbed(run, planned, precision):
    words = (
        "trainer=gpu",
        f"trainer.precision={precision}",
        "model.dropout=0.2",
        "batch.cross_lingual_ratio=0.5",
    )
    again, undisturbed = stopped_and_not(run, planned, *words)
    assert again == undisturbed


def test_a_sweep_leases_the_gpu_and_is_reported(cache, tmp_path):
    """One GPU is visible: two points are asked for at a time, and there is room for one."""
    around = {"PYTHONPATH": REPOSITORY, "CUDA_VISIBLE_DEVICES": "0"}
    words = ["trainer=gpu", "batch.cross_lingual_ratio=0,1", "sweep.name=s", "sweep.max_parallel=2"]
    shown = cli("run", "-m", *WORDS, *words, "sweep.untrained=false", cwd=tmp_path, **around)
    assert "3/3 done" in shown
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    spans = []
    for point in read_json(sweep / "points.json")["points"]:
        folder = tmp_path / "outputs" / "runs" / point["run_id"]
        assert read_json(folder / "status.json")["state"] == "done"
        found = read_json(folder / "provenance.json")
        if found["trainer"]["accelerator"] == "gpu":
            assert found["hardware"]["gpu"] and found["trainer"]["precision"] == "bf16-mixed"
            begun = re.search(r"^--- (\S+)", (folder / "log.txt").read_text()).group(1)
            spans.append(
                (datetime.fromisoformat(begun), datetime.fromisoformat(found["times"]["finished"]))
            )
    assert len(spans) == 2
    (_, first_ended), (second_begun, _) = sorted(spans)
    assert second_begun >= first_ended
    cli("report", str(sweep), cwd=tmp_path, **around)
    assert set(pd.read_csv(sweep / "results.csv")["kind"]) == {"trained", "bm25"}
    assert (sweep / "curve.png").stat().st_size > 100


def means(folder):
    return {
        name: value
        for name, value in read_json(folder / "metrics.json").items()
        if "/RR@10" in name
    }


def test_a_model_of_the_gpu_is_scored_and_asked_for_negatives_on_either(run, tmp_path):
    folder = run("trainer=gpu", "trainer.precision=32-true", "batch.cross_lingual_ratio=0.5")
    assert read_json(folder / "provenance.json")["hardware"]["gpu"]
    there, found = means(folder), {}
    ivf = (
        "trainer=gpu",
        "trainer.precision=32-true",
        "eval.index=ivf",
        "eval.ivf_lists=4",
        "eval.ivf_probes=4",
    )
    for kind, words in {"cpu": ("trainer=cpu",), "ivf": ivf}.items():
        outputs = tmp_path / kind
        evaluate_words([str(folder), f"paths.outputs={outputs}", "logger=disabled", *words])
        (scored,) = (outputs / "runs").glob("*/metrics.json")
        found[kind] = read_json(scored)
        assert there and all(abs(found[kind][name] - value) < 2e-3 for name, value in there.items())
    assert found["ivf"]["ivf/recall@10"] > 0.99  # all cells are searched
    triples = []
    for trainer in ("cpu", "gpu"):
        target = tmp_path / f"{trainer}.tsv"
        mine_words(
            [str(folder), f"trainer={trainer}", "trainer.precision=32-true"],
            target,
            Wanted(2, 6),
        )
        triples.append(set(target.read_text().splitlines()))
    assert len(triples[0] & triples[1]) > 0.99 * len(triples[0] | triples[1]) > 0
