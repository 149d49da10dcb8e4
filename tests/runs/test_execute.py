"""One point through the real worker: files, identity, stages, processes."""

import json
import os
import shutil
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import safetensors
from huggingface_hub import ModelCard

from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.utils.files import read_json
from tests import ready


@pytest.mark.slow
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
    card = ModelCard.load(folder / "model" / "README.md")
    scores = {(one.dataset_config, one.metric_type): one for one in card.data.eval_results}
    assert scores["monolingual", "RR@10"].metric_value == round(metrics["monolingual/RR@10"], 6)
    versions = read_json(folder / "provenance.json")["versions"]
    assert {"torch", "transformers", "pytorch-lightning", "python"} <= set(versions)


@pytest.mark.slow
def test_the_same_point_twice_gives_the_same_table(run):
    folder = run("batch.cross_lingual_ratio=1")
    first = (folder / "per_query.parquet").read_bytes()
    (folder / "metrics.json").unlink()
    (folder / "steps.parquet").unlink()
    assert (run("batch.cross_lingual_ratio=1.0") / "per_query.parquet").read_bytes() == first


@pytest.mark.slow
def test_a_finished_training_is_not_repeated(run):
    folder = run("batch.cross_lingual_ratio=0")
    table = (folder / "per_query.parquet").read_bytes()
    weights = (folder / "model" / "model.safetensors").stat().st_mtime_ns
    for name in ("metrics.json", "per_query.parquet"):
        (folder / name).unlink()
    run("batch.cross_lingual_ratio=0")
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == weights
    assert (folder / "per_query.parquet").read_bytes() == table


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["weights", "activation", "record"])
def test_a_model_that_is_not_what_was_saved_is_trained_again_with_the_same_result(run, damage):
    folder = run("batch.cross_lingual_ratio=0.5")
    table, record = (folder / "per_query.parquet").read_bytes(), read_json(folder / "trained.json")
    (folder / "metrics.json").unlink()
    path = folder / "model" / ("model.safetensors" if damage == "weights" else "config.json")
    if damage == "record":
        (folder / "trained.json").unlink()
    elif damage == "weights":
        content = path.read_bytes()
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 64]) + content[-2:])
    else:
        path.write_text(path.read_text().replace('"gelu"', '"relu"'))
    run("batch.cross_lingual_ratio=0.5")
    assert (folder / "per_query.parquet").read_bytes() == table
    again = read_json(folder / "trained.json")["files"]
    # which tells seconds
    assert {**again, "steps.parquet": ""} == {**record["files"], "steps.parquet": ""}


def test_the_untrained_encoder_is_a_point(run):
    folder = run("trainer.max_steps=0", "batch.cross_lingual_ratio=0")
    assert not (folder / "model").exists() and not (folder / "steps.parquet").exists()
    assert read_json(folder / "metrics.json")["examples_monolingual"] == 0


@pytest.mark.slow
def test_the_known_effect_of_the_ratio_shows(run):
    """Training beats no training; all cross-lingual steps buy cross-lingual retrieval, pay in
    monolingual, and cut the bias.
    """
    more = (
        "data.groups=600",
        "model.hidden_size=64",
        "model.vocabulary=2000",
        "batch.size=32",
        "trainer.max_steps=120",
    )
    low, high = (
        read_json(run(f"batch.cross_lingual_ratio={ratio}", *more) / "metrics.json")
        for ratio in (0, 1)
    )
    none = read_json(
        run("trainer.max_steps=0", "batch.cross_lingual_ratio=0", *more[:3]) / "metrics.json"
    )
    assert low["monolingual/RR@10"] > none["monolingual/RR@10"] + 0.08
    assert high["cross-lingual/RR@10"] > low["cross-lingual/RR@10"] + 0.05
    assert high["monolingual/RR@10"] < low["monolingual/RR@10"] - 0.03
    assert high["multilingual/same@10"] < low["multilingual/same@10"] - 0.03


RANKS = """
import hashlib, sys
from pathlib import Path
from hybrid_sweep.sweeps import worker
from hybrid_sweep.training import lightning_module
def on_train_end(self):
    values = b"".join(value.numpy().tobytes() for value in self.state_dict().values())
    Path(sys.argv[1], f"rank-{self.global_rank}").write_text(hashlib.sha256(values).hexdigest())
lightning_module.Retriever.on_train_end = on_train_end
sys.exit(worker.main(Path(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize(
    ("precision", "lr", "tolerance"), [("64-true", "3e-3", 1e-9), ("32-true", "3e-4", 1e-5)]
)
def test_any_number_of_processes_trains_the_same(
    planned, config, tmp_path, precision, lr, tolerance, everything
):
    """Fifty steps without dropout; with it the ranks draw their own masks, and no two world sizes
    can agree.

    Everything: hard negatives, some of them absent, cached gradients, and pairs of many languages
    in a batch.
    """
    words = [
        f"trainer.precision={precision}",
        f"trainer.lr={lr}",
        "trainer.max_steps=50",
        "batch.cross_lingual_ratio=0.5",
    ]
    if everything:
        groups = prepare(config()).pairs.groups
        lines = [f"{a}\t{a}\t{b}\n" for a, b in pairwise(groups[:100])]
        (tmp_path / "triples.tsv").write_text("".join(lines))
        words += [
            f"data.negatives={tmp_path / 'triples.tsv'}",
            "batch.hard_negatives=2",
            "batch.micro_batch=5",
        ]
        words += ["batch.composition=per_example"]
    (tmp_path / "ranks.py").write_text(RANKS)
    folders = []
    for ranks in (1, 2, 4):
        folder = planned(*words, f"trainer.devices={ranks}")
        done = ready.run([tmp_path / "ranks.py", folder])
        assert done.returncode == 0, done.stderr[-2000:]
        digests = [(folder / f"rank-{rank}").read_text() for rank in range(ranks)]
        assert len(set(digests)) == 1, "the ranks' weights differ"
        folders.append(folder)
    steps = [pd.read_parquet(folder / "steps.parquet") for folder in folders]
    assert [int(part["world_size"].unique().item()) for part in steps] == [1, 2, 4]
    for other in steps[1:]:
        for name in ("query_lang", "passage_lang", "n_examples", "n_cross", "groups"):
            assert (other[name] == steps[0][name]).all()
        for name in ("loss", "lr") if precision == "32-true" else ("loss", "grad_norm", "lr"):
            assert np.allclose(other[name], steps[0][name], rtol=0, atol=tolerance)
    if precision == "64-true":
        tables = [
            pd.read_parquet(folder / "per_query.parquet").drop(columns="run_id")
            for folder in folders
        ]
        assert tables[1].equals(tables[0]) and tables[2].equals(tables[0])


ENCODED = """
import os, signal, sys
from pathlib import Path
from hybrid_sweep.models import encoding
from hybrid_sweep.runs import execute
from hybrid_sweep.sweeps import worker
folder, calls = Path(sys.argv[1]), []
def note(encoder, tokens, rows, pad, real=encoding.encode_batch):
    rank = os.environ.get("LOCAL_RANK", "0")
    with open(folder / f"rank-{rank}", "a") as file:
        file.writelines(f"{tokens.starts[-1]} {row}\\n" for row in rows)
    if rank == os.environ.get("KILLED") and len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(rank)
    return real(encoder, tokens, rows, pad)
encoding.SHARD, encoding.encode_batch = 200, note
execute.shutil = type("", (), {"rmtree": staticmethod(lambda path, **_: None)})
if __name__ == "__main__":
    sys.exit(worker.main(folder))
"""


@pytest.mark.slow
def test_two_processes_encode_every_text_once_and_leave_the_bytes_of_one(planned, tmp_path):
    """A run of zero steps, on two collections; the vectors are left behind here, to be compared."""
    words = [
        "data.groups=60",
        "trainer.max_steps=0",
        "eval.batch_tokens=200",
        "+data@eval.also.other=synthetic",
    ]
    words += ["eval.also.other.groups=60", "eval.also.other.seed=9"]
    (tmp_path / "ranks.py").write_text(ENCODED)  # a file, which Lightning can start again
    kept, encoded = [], []
    for ranks in (1, 2):
        folder = planned(*words, f"trainer.devices={ranks}")
        done = ready.run([tmp_path / "ranks.py", folder])
        assert done.returncode == 0, done.stderr[-2000:]
        encoded.append(
            [(folder / f"rank-{rank}").read_text().splitlines() for rank in range(ranks)]
        )
        names = [
            "per_query.parquet",
            "encoding/queries/vectors.npy",
            "encoding/passages/vectors.npy",
        ]
        kept.append(
            [
                (folder / at / name).read_bytes()
                for at in (".", "evaluations/other")
                for name in names
            ]
        )
        shutil.move(folder, tmp_path / f"{ranks}")  # both are the same run
    assert kept[0] == kept[1]
    (alone,), (first, second) = encoded
    assert sorted(first + second) == sorted(alone) and min(len(first), len(second)) > 0.3 * len(
        alone
    )
    # Beside one text an array, which tells its width, each text goes in once.
    assert len(alone) == len(set(alone)) + 4


@pytest.mark.slow
def test_a_process_that_is_killed_while_encoding_fails_the_run_which_then_goes_on(
    planned, tmp_path
):
    words = ["data.groups=60", "trainer.max_steps=0", "eval.batch_tokens=200"]
    (tmp_path / "ranks.py").write_text(ENCODED)
    whole = planned(*words)
    command = [tmp_path / "ranks.py", whole]
    assert ready.run(command).returncode == 0
    shutil.move(whole, tmp_path / "whole")
    folder = planned(*words, "trainer.devices=2")
    killed = ready.run(command, env=os.environ | {"KILLED": "1"}, timeout=120)
    assert killed.returncode != 0 and not (folder / "metrics.json").exists()
    first = sum(len((folder / f"rank-{rank}").read_text().splitlines()) for rank in (0, 1))
    assert ready.run(command).returncode == 0
    both = sum(len((folder / f"rank-{rank}").read_text().splitlines()) for rank in (0, 1))
    alone = len((tmp_path / "whole" / "rank-0").read_text().splitlines())
    assert both - first < alone, "what was done is done again"
    for name in (
        "per_query.parquet",
        "encoding/queries/vectors.npy",
        "encoding/passages/vectors.npy",
    ):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_data_that_changed_since_the_plan_is_refused(run, config):
    folder = run("batch.cross_lingual_ratio=0")
    identity = read_json(folder / "identity.json")
    identity["fingerprints"]["collection"] = "000000000000"
    for name in ("metrics.json",):
        (folder / name).unlink()
    (folder / "identity.json").write_text(json.dumps(identity))
    from hybrid_sweep.sweeps.worker import main

    assert main(folder) == 1
    status = read_json(folder / "status.json")
    assert status["state"] == "failed" and "changed since the run was planned" in status["error"]


def test_a_mistake_of_the_user_has_an_exit_code_of_its_own(planned, monkeypatch):
    """By which the driver knows that to try again changes nothing."""
    from hybrid_sweep.runs import execute
    from hybrid_sweep.sweeps import processes, worker
    from hybrid_sweep.utils.errors import UserError

    def mistaken(folder, words):
        raise UserError("your fault", key="test.fault")

    monkeypatch.setattr(execute, "execute", mistaken)
    folder = planned()
    assert worker.main(folder) == processes.MISTAKE == 2
    assert read_json(folder / "status.json")["error"] == "error: your fault"


@pytest.mark.slow
def test_dropout_is_on_while_weights_from_a_folder_are_trained(run, planned):
    """Such weights come in evaluation mode, and Lightning leaves modes alone: dropout would never
    happen.
    """
    from omegaconf import OmegaConf

    from hybrid_sweep.config.schema import ModelConfig, to_dict
    from hybrid_sweep.config.validate import stored
    from hybrid_sweep.inputs.prepare import fingerprints
    from hybrid_sweep.utils.files import write_json

    source = run("trainer.max_steps=2")
    losses = []
    for dropout in (0.0, 0.4):
        folder = planned(f"seed={int(10 * dropout)}")
        made = stored(folder)
        made.seed = 0
        made.model = ModelConfig(
            name="saved", path=str(source / "model"), passage_length=64, dropout=dropout
        )
        OmegaConf.save(OmegaConf.create(to_dict(made)), folder / "config.yaml")
        write_json(
            folder / "identity.json", {"run_id": folder.name, "fingerprints": fingerprints(made)}
        )
        assert ready.run(["-m", "hybrid_sweep.worker", folder]).returncode == 0
        losses.append(pd.read_parquet(folder / "steps.parquet")["loss"])
    assert (losses[0] != losses[1]).all()


@pytest.mark.slow
def test_adapters_are_trained_and_saved_as_a_plain_model(run):
    folder = run(
        "model.lora_rank=4",
        "trainer.max_steps=20",
        "trainer.lr=1e-2",
        "trainer.compact_vocabulary=true",
    )
    losses = pd.read_parquet(folder / "steps.parquet")["loss"]
    assert losses[-5:].mean() < losses[:5].mean()
    names = safetensors.safe_open(folder / "model" / "model.safetensors", "np").keys()
    assert names and not [name for name in names if "lora" in name]
    before, after = (
        read_json(each / "metrics.json") for each in (run("trainer.max_steps=0"), folder)
    )
    assert before["monolingual/RR@10"] != after["monolingual/RR@10"]


@pytest.mark.slow
def test_both_budgets_count_their_examples(run):
    """The axis of fixed_monolingual: all of the monolingual steps, and c times as many
    cross-lingual ones.
    """
    folder = run("batch.budget=fixed_monolingual", "batch.added=0.5", "trainer.max_steps=6")
    metrics = read_json(folder / "metrics.json")
    assert (metrics["examples_monolingual"], metrics["examples_cross_lingual"]) == (6 * 16, 3 * 16)
    assert (metrics["budget"], metrics["added"], metrics["ratio"]) == (
        "fixed_monolingual",
        0.5,
        0.333333,
    )
    assert len(pd.read_parquet(folder / "steps.parquet")) == 9
    assert read_json(folder / "status.json")["max_steps"] == 9
    assert not {"budget", "added", "dev"} & set(
        read_json(run("trainer.max_steps=2") / "metrics.json")
    )


@pytest.mark.parametrize(
    ("ranks", "environment", "first"),
    [
        (2, {}, True),
        (2, {"RANK": "0", "LOCAL_RANK": "0"}, True),
        (2, {"RANK": "2", "LOCAL_RANK": "0"}, False),
        (2, {"LOCAL_RANK": "1"}, False),
        (2, {"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
        (2, {"SLURM_PROCID": "1"}, False),
        (1, {"SLURM_PROCID": "1"}, True),
    ],
)
def test_who_is_the_first_process_of_a_run(config, ranks, environment, first):
    from hybrid_sweep.runs.ranks import is_main

    assert is_main(config(f"trainer.devices={ranks}"), environment) is first


BROKEN = """
import sys
from pathlib import Path
from hybrid_sweep.sweeps import worker
from hybrid_sweep.training import parts
real, calls = parts.info_nce, []
def broken(**given):
    calls.append(given)
    return real(**given) * (float("nan") if len(calls) == 4 else 1.0)
parts.info_nce = broken
sys.exit(worker.main(Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_and_groups(planned):
    folder = planned("batch.cross_lingual_ratio=0.25")
    assert ready.run(["-c", BROKEN, folder]).returncode == 1
    status = read_json(folder / "status.json")
    assert status["state"] == "failed" and "the loss is nan at step 3 (groups [" in status["error"]
    assert not (folder / "metrics.json").exists()


@pytest.mark.slow
def test_weights_and_biases_are_a_mirror(run):
    pytest.importorskip("wandb")
    folder = run("batch.cross_lingual_ratio=0.5", "logger=offline", "sweep.name=mirror")
    (mirror,) = (folder / "wandb").glob("offline-run-*")
    assert mirror.name.endswith(folder.name) and list(mirror.glob("*.wandb"))
    silent = run("batch.cross_lingual_ratio=0.5", "logger=disabled")
    assert silent == folder  # the logger is no identity


def test_a_name_that_is_no_run_leaves_nothing(tmp_path):
    """Neither an option nor a folder that is not there becomes a folder with a status."""
    from hybrid_sweep.sweeps import worker

    with pytest.raises(SystemExit, match="usage"):
        worker.begin(["--help"])
    assert worker.main(tmp_path / "absent") == 2
    assert list(tmp_path.iterdir()) == []
