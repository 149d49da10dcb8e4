"""What W&B is told of a point: its words, its series, its summary; and the mode that decides
whether it is told at all.
"""

import os
import types

import pytest

from hybrid_sweep.commands import sweep_verbs
from hybrid_sweep.config.schema import bm25, to_dict, untrained
from hybrid_sweep.tracking import mirror
from tests.refused import refused
from tests.wandb_sweep_folder import BIAS, SECRET


def test_a_point_is_named_by_its_ratio_and_seed_and_has_them_on_top(config):
    made = config(
        "batch.cross_lingual_ratio=0.25", "seed=3", "sweep.name=first", "logger.entity=team"
    )
    words = mirror.described(to_dict(made), "abc")
    assert list(words["config"])[:3] == ["ratio", "seed", "run_id"]
    assert (words["config"]["ratio"], words["config"]["seed"], words["config"]["run_id"]) == (
        0.25,
        3,
        "abc",
    )
    assert words["config"]["batch"]["size"] == 16
    told = ("id", "name", "group", "job_type", "project", "entity")
    assert [words[key] for key in told] == [
        "abc",
        "r0.25-s3",
        "first",
        "train",
        "hybrid-sweep",
        "team",
    ]


def test_what_no_ratio_trained_stands_at_no_ratio(config):
    made = config("batch.cross_lingual_ratio=0.25", "seed=3")
    for point, name, kind in (
        (untrained(made), "untrained-s3", "untrained"),
        (bm25(made), "bm25", "bm25"),
    ):
        words = mirror.described(to_dict(point), "abc")
        assert (words["name"], words["job_type"], words["config"]["ratio"]) == (name, kind, None)


def test_the_summary_has_every_single_number_under_its_path():
    metrics = {
        "run_id": "r",
        "ratio": 0.5,
        "seed": 0,
        "collection": "toy",
        "monolingual/RR@10": 0.5,
        "bias": BIAS,
    }
    metrics |= {
        "cells": [{"n": 3}],
        "dev": {"best_step": 7, "values": [0.1]},
        "nan": float("nan"),
        "none": None,
    }
    assert mirror.of_result(metrics) == {
        "collection": "toy",
        "monolingual/RR@10": 0.5,
        "bias/rank_distance/de/n": 3,
        "bias/rank_distance/de/mean": 12.5,
        "bias/own_first/de": 0.75,
        "dev/best_step": 7,
    }
    assert mirror.of_result({"run_id": "r", "monolingual/RR@10": 0.5}, "xquad") == {
        "xquad/monolingual/RR@10": 0.5
    }


def test_the_series_of_training_and_of_the_dev_split():
    row = {"step": 4, "loss": 0.5, "n_cross": 4, "n_examples": 16, "lr": 1e-3}
    plain = {"train/loss": 0.5, "train/cross_lingual": 0.25, "train/lr": 1e-3}
    assert mirror.of_step(row) == plain
    assert mirror.of_step({**row, "grad_norm": float("nan"), "seconds": 3.0}) == plain
    timed = mirror.of_step(
        {**row, "grad_norm": 2.0, "seconds": 3.0, "loss_infonce": 0.25}, {"seconds": 1.0}
    )
    assert timed == plain | {
        "train/grad_norm": 2.0,
        "train/pairs_per_second": 8.0,
        "train/loss_infonce": 0.25,
    }
    # a run that went on in another process counts its seconds anew
    assert mirror.of_step({**row, "seconds": 1.0}, {"seconds": 9.0}) == plain
    for n_cross, kind in ((0, "monolingual"), (16, "cross_lingual")):
        assert mirror.of_step({**row, "n_cross": n_cross}) == plain | {
            "train/cross_lingual": n_cross / 16,
            f"train/{kind}_loss": 0.5,
        }
    assert mirror.of_dev({"step": 4, "monolingual/RR@10": 0.5}) == {"dev/monolingual/RR@10": 0.5}


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        ({}, "online"),
        ({"WANDB_MODE": "offline"}, "offline"),
        ({"WANDB_MODE": "dryrun"}, "offline"),
        ({"WANDB_MODE": "disabled"}, "disabled"),
        ({"WANDB_MODE": "OFFLINE"}, "offline"),
        ({"WANDB_MODE": "DryRun"}, "offline"),
        ({"WANDB_DISABLED": "true", "WANDB_MODE": "online"}, "disabled"),
        ({"WANDB_DISABLED": "false"}, "online"),
    ],
)
def test_the_environment_wins_over_the_config(monkeypatch, environment, mode):
    for name in ("WANDB_MODE", "WANDB_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert mirror.mode_of({"mode": "online"}) == mode


@pytest.mark.parametrize("word", ["of", "on line", "true", "0"])
def test_an_unknown_mode_is_refused_before_anything_runs(monkeypatch, tmp_path, word):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", word)
    monkeypatch.delenv("WANDB_DISABLED", raising=False)
    for verb in (sweep_verbs.run, sweep_verbs.plan):
        with refused("environment.wandb_mode", "WANDB_MODE", word):
            verb(["data=synthetic"])
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_its_own_though_an_agent_of_wandb_speaks_of_another(monkeypatch, tmp_path):
    for name in mirror.AGENT:
        monkeypatch.setenv(name, "foreign")
    seen = []

    def init(**words):
        seen.append([words["id"], *(name for name in mirror.AGENT if name in os.environ)])
        return types.SimpleNamespace(define_metric=lambda *_, **__: None)

    monkeypatch.setattr("wandb.init", init)
    for run_id in ("a", "b"):
        mirror.begin({"id": run_id}, tmp_path, "offline", resume=True)
    assert seen == [["a"], ["b"]] and os.environ["WANDB_RUN_ID"] == "foreign"


def test_no_secret_goes_out(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    told = mirror.clean({"a": f"hub with {SECRET}", "b": [{"c": SECRET}], "n": 1, "x": None})
    assert told == {"a": "hub with $HF_TOKEN", "b": [{"c": "$HF_TOKEN"}], "n": 1, "x": None}


@pytest.mark.parametrize(
    ("lines", "address", "missing"),
    [
        ("machine api.wandb.ai login user password key", "", False),
        ("machine api.wandb.ai login user password key", "https://own.example", True),
        ("machine own.example login user password key", "https://own.example:443", False),
        ("not a netrc at all {", "", True),
        ("", "", True),
    ],
)
def test_a_key_is_looked_for_where_wandb_does(monkeypatch, tmp_path, lines, address, missing):
    (tmp_path / "netrc").write_text(lines)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", address)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert mirror.key_missing() == missing
    monkeypatch.setenv("WANDB_API_KEY", "key")
    assert not mirror.key_missing()
