"""One point through the real worker: files, identity, stages, processes."""

import json

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.store import read_json


def test_a_point_leaves_all_its_files_and_metrics_name_the_run(run):
    folder = run("batch.cross_lingual_ratio=0.5")
    metrics = read_json(folder / "metrics.json")
    assert metrics["run_id"] == folder.name and read_json(folder / "status.json")["state"] == "done"
    assert {"config.yaml", "provenance.json", "steps.parquet", "per_query.parquet", "model"} <= {
        p.name for p in folder.iterdir()
    }
    table = pd.read_parquet(folder / "per_query.parquet")
    assert list(table.columns) == [
        "run_id",
        "ratio",
        "seed",
        "collection",
        "setting",
        "query_lang",
        "passage_lang",
        "group_id",
        "query_id",
        "n_relevant",
        "rank_min",
        "rank_max",
        "RR@10",
        "AP",
        "nDCG@10",
        "R@100",
        "same@10",
    ]
    order = ["setting", "query_lang", "passage_lang", "query_id"]
    assert table.equals(table.sort_values(order, ignore_index=True))
    assert set(table["setting"]) == {"monolingual", "cross-lingual", "multilingual"}
    assert (
        table.loc[table.setting == "monolingual", "query_lang"]
        == table.loc[table.setting == "monolingual", "passage_lang"]
    ).all()
    assert metrics["examples_cross_lingual"] == metrics["examples_monolingual"] == 6 * 16
    versions = read_json(folder / "provenance.json")["versions"]
    assert {"torch", "transformers", "pytorch-lightning", "python"} <= set(versions)


def test_the_same_point_twice_gives_the_same_table(run):
    folder = run("batch.cross_lingual_ratio=1")
    first = (folder / "per_query.parquet").read_bytes()
    (folder / "metrics.json").unlink()
    (folder / "steps.parquet").unlink()
    assert (run("batch.cross_lingual_ratio=1.0") / "per_query.parquet").read_bytes() == first


def test_a_finished_training_is_not_repeated(run):
    folder = run("batch.cross_lingual_ratio=0")
    table = (folder / "per_query.parquet").read_bytes()
    weights = (folder / "model" / "model.safetensors").stat().st_mtime_ns
    for name in ("metrics.json", "per_query.parquet"):
        (folder / name).unlink()
    run("batch.cross_lingual_ratio=0")
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == weights
    assert (folder / "per_query.parquet").read_bytes() == table


def test_the_untrained_encoder_is_a_point(run):
    folder = run("trainer.max_steps=0", "batch.cross_lingual_ratio=0")
    assert not (folder / "model").exists() and not (folder / "steps.parquet").exists()
    assert read_json(folder / "metrics.json")["examples_monolingual"] == 0


@pytest.mark.slow
def test_the_known_effect_of_the_ratio_shows(run):
    """Training beats no training; all cross-lingual steps buy cross-lingual retrieval, pay in monolingual, and cut the bias."""
    more = (
        "data.groups=600",
        "model.hidden_size=128",
        "model.vocabulary=2000",
        "batch.size=32",
        "trainer.max_steps=200",
    )
    low, high = (read_json(run(f"batch.cross_lingual_ratio={ratio}", *more) / "metrics.json") for ratio in (0, 1))
    none = read_json(run("trainer.max_steps=0", "batch.cross_lingual_ratio=0", *more[:3]) / "metrics.json")
    assert low["monolingual/RR@10"] > none["monolingual/RR@10"] + 0.08
    assert high["cross-lingual/RR@10"] > low["cross-lingual/RR@10"] + 0.05
    assert high["monolingual/RR@10"] < low["monolingual/RR@10"] - 0.03
    assert high["multilingual/same@10"] < low["multilingual/same@10"] - 0.03


def test_two_processes_equal_one_in_float64(run):
    words = ("trainer.precision=64-true", "batch.cross_lingual_ratio=0.5")
    one, two = run(*words), run(*words, "trainer.devices=2")
    steps = [pd.read_parquet(folder / "steps.parquet") for folder in (one, two)]
    assert (steps[0]["world_size"] == 1).all() and (steps[1]["world_size"] == 2).all()
    for name in ("query_lang", "passage_lang", "n_examples", "n_cross", "groups"):
        assert (steps[0][name] == steps[1][name]).all()
    for name in ("loss", "grad_norm", "lr"):
        assert np.allclose(steps[0][name], steps[1][name], rtol=0, atol=1e-9)
    tables = [pd.read_parquet(folder / "per_query.parquet").drop(columns="run_id") for folder in (one, two)]
    assert tables[0].equals(tables[1])


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "lr", "tolerance"), [("64-true", "3e-3", 1e-9), ("32-true", "3e-4", 1e-5)])
def test_any_number_of_processes_trains_the_same(run, precision, lr, tolerance):
    """Fifty steps without dropout; with it the ranks draw their own masks, and no two world sizes can agree."""
    words = (
        f"trainer.precision={precision}",
        f"trainer.lr={lr}",
        "trainer.max_steps=50",
        "batch.cross_lingual_ratio=0.5",
    )
    folders = [run(*words, f"trainer.devices={ranks}") for ranks in (1, 2, 4)]
    steps = [pd.read_parquet(folder / "steps.parquet") for folder in folders]
    assert [int(part["world_size"].unique().item()) for part in steps] == [1, 2, 4]
    for other in steps[1:]:
        assert (other["groups"] == steps[0]["groups"]).all()
        assert np.allclose(other["loss"], steps[0]["loss"], rtol=0, atol=tolerance)
    if precision == "64-true":
        tables = [pd.read_parquet(folder / "per_query.parquet").drop(columns="run_id") for folder in folders]
        assert tables[1].equals(tables[0]) and tables[2].equals(tables[0])


def test_data_that_changed_since_the_plan_is_refused(run, config):
    folder = run("batch.cross_lingual_ratio=0")
    identity = read_json(folder / "identity.json")
    identity["fingerprints"]["collection"] = "000000000000"
    for name in ("metrics.json",):
        (folder / name).unlink()
    (folder / "identity.json").write_text(json.dumps(identity))
    from hybrid_sweep.worker import main

    assert main(folder) == 1
    status = read_json(folder / "status.json")
    assert status["state"] == "failed" and "changed since the run was planned" in status["error"]


def test_weights_and_biases_are_a_mirror(run):
    pytest.importorskip("wandb")
    folder = run("batch.cross_lingual_ratio=0.5", "logger=offline", "sweep.name=mirror")
    (mirror,) = (folder / "wandb").glob("offline-run-*")
    assert mirror.name.endswith(folder.name) and list(mirror.glob("*.wandb"))
    silent = run("batch.cross_lingual_ratio=0.5", "logger=disabled")
    assert silent == folder  # the logger is no identity
