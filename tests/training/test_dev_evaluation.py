"""Validation while training: what is measured, that training does not feel it, and which weights
come out of it.
"""

import math

import pandas as pd
import pytest
import torch

from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.loading import build_encoder, load_encoder
from hybrid_sweep.retrieval import means
from hybrid_sweep.tracking import live, mirror
from hybrid_sweep.tracking.lightning_logger import MirrorLogger
from hybrid_sweep.training import checkpoints, dev_evaluation, dev_history
from hybrid_sweep.training.batches import HybridData
from hybrid_sweep.training.lightning_module import Retriever, make_trainer
from hybrid_sweep.utils.files import file_digest, read_json
from tests.refused import refused


def fit(config, folder, loggers=()):
    """Train as a run does, in this process; the module and its history."""
    torch.set_num_threads(1)
    prepared = prepare(config)
    module = Retriever(build_encoder(config.model, prepared.model, config.seed), config, prepared)
    plan = plan_of(config, prepared.all_pairs)
    history = dev_history.History(config.eval.dev_metric)
    callback = dev_evaluation.Validation(config, prepared, history, folder, len(plan))
    code = module.vocabulary.code if module.vocabulary else None
    make_trainer(config, [callback], loggers).fit(
        module, datamodule=HybridData(prepared, plan, config, 0, code)
    )
    return module, history


@pytest.fixture
def fitted(config, tmp_path):
    made = config("eval.dev_every=5", "model.dropout=0.2")
    return made, *fit(made, tmp_path), tmp_path


def test_it_evaluates_every_so_often_and_after_the_last_step(fitted):
    _, _, history, folder = fitted
    assert [row["step"] for row in history.rows] == [5, 10, 12]
    table = pd.read_parquet(folder / "dev.parquet")
    assert table.to_dict("records") == history.rows
    names = [name for name in table.columns if name != "step"]
    assert sorted(names) == sorted(dev_history.metric_names(["xa", "xb", "xc", "xd"]))


def test_the_last_row_is_the_evaluation_of_the_weights_that_come_out(fitted):
    config, module, history, _ = fitted
    table, _ = dev_evaluation.evaluate(config, prepare(config), module.whole_encoder(), "dev")
    assert history.rows[-1] == {"step": 12, **means.macro(table)}
    test, _ = dev_evaluation.evaluate(config, prepare(config), module.whole_encoder())
    assert set(test["query_id"]).isdisjoint(table["query_id"])


def test_the_weights_of_the_best_step_are_kept_and_no_others(fitted):
    config, module, history, folder = fitted
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names == [f"best-{history.best:08d}.json", f"best-{history.best:08d}.pt"]
    module.encoder.load_state_dict(checkpoints.load_best(folder / "checkpoints", history.best))
    table, _ = dev_evaluation.evaluate(config, prepare(config), module.whole_encoder(), "dev")
    best = next(row for row in history.rows if row["step"] == history.best)
    assert {"step": history.best, **means.macro(table)} == best


@pytest.mark.parametrize("compact", ["true", "false"])
def test_training_does_not_feel_it(config, tmp_path, compact):
    """Without compaction the encoder that is evaluated is the one that is trained, down to its
    modes.
    """
    words = ("model.dropout=0.2", f"trainer.compact_vocabulary={compact}")
    module, _ = fit(config(*words, "eval.dev_every=5"), tmp_path)
    alone, history = fit(config(*words), tmp_path / "alone")
    assert not history.rows and not (tmp_path / "alone").exists()
    assert [row["loss"] for row in module.record] == [row["loss"] for row in alone.record]
    weights = zip(module.state_dict().values(), alone.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)


def test_the_mirror_is_told_every_evaluation(config, tmp_path):
    class Run:
        """What is asked of an open W&B run."""

        id, told = "mirror", []

        def log(self, metrics):
            if any(name.startswith("dev/") for name in metrics):
                self.told.append(dict(metrics))

    _, history = fit(config("eval.dev_every=5"), tmp_path, [MirrorLogger(live.Mirror(Run()))])
    told = [(metrics.pop(mirror.STEP), metrics) for metrics in Run.told]
    assert [
        {"step": step, **{name[4:]: value for name, value in each.items()}} for step, each in told
    ] == history.rows
    assert len(told) == 3


def test_every_part_gets_its_own_mode_back():
    module = torch.nn.Sequential(
        torch.nn.Dropout(), torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout())
    )
    module[1].eval()
    module[1][0].train()
    before = [part.training for part in module.modules()]
    with pytest.raises(KeyError), dev_evaluation.modes_kept(module):
        module.train()
        raise KeyError
    assert [part.training for part in module.modules()] == before


def test_a_metric_that_turns_out_to_be_missing_is_refused(config, tmp_path):
    with refused(
        "config.eval.dev_metric", "eval.dev_metric=cross-lingual/RR@1", "cross-lingual/RR@10"
    ):
        fit(config("eval.dev_every=5", "eval.dev_metric=cross-lingual/RR@1"), tmp_path)


WORDS = (
    "eval.dev_every=2",
    "trainer.lr=0.05",
    "eval.dev_metric=monolingual/xa/RR@10",
    "keep.other_model=true",
)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_last_or_best_becomes_the_model_and_the_other_one_is_kept(run, config, precision):
    """At a rate this high the best step is not the last one, so that the two can be told apart."""
    words = (*WORDS, f"trainer.precision={precision}")
    last, best = run(*words), run(*words, "eval.select=best")
    curve = read_json(last / "metrics.json")["dev"]
    assert curve == read_json(best / "metrics.json")["dev"] and curve["steps"] == [
        2,
        4,
        6,
        8,
        10,
        12,
    ]
    assert (
        curve["best_step"] < 12
        and curve["best"] > curve["last"]
        and math.isfinite(curve["still_rising"])
    )

    def weights(folder):
        return file_digest(folder / "model.safetensors")

    assert weights(last / "model") == weights(best / "model-last") != weights(best / "model")
    assert weights(last / "model-best") == weights(best / "model")
    assert not (last / "model-last").exists() and not (best / "model-best").exists()
    made = config(*words)
    for folder, value in ((last / "model", curve["last"]), (best / "model", curve["best"])):
        table, _ = dev_evaluation.evaluate(
            made, prepare(made), load_encoder(made.model, folder), "dev"
        )
        assert means.macro(table)["monolingual/xa/RR@10"] == pytest.approx(value, abs=1e-9)
    tables = [pd.read_parquet(folder / "per_query.parquet")["RR@10"] for folder in (last, best)]
    assert not tables[0].equals(tables[1])


def test_a_bad_metric_stops_the_worker_before_training(planned):
    from hybrid_sweep.sweeps.worker import main

    folder = planned("eval.dev_every=5", "eval.dev_metric=nonsense")
    assert main(folder) == 2
    status = read_json(folder / "status.json")
    assert (
        status["state"] == "failed"
        and status["step"] == 0
        and "eval.dev_metric=nonsense" in status["error"]
    )
    assert not (folder / "checkpoints").exists() and not (folder / "steps.parquet").exists()


def test_the_means_of_a_table_by_hand():
    """Macro over cells, micro over queries; trained and unseen apart where some languages were not
    trained on.
    """
    rows = [
        ("monolingual", "a", "a", 1.0),
        ("monolingual", "a", "a", 0.0),
        ("monolingual", "a", "a", 0.5),
        ("monolingual", "b", "b", 1.0),
        ("monolingual", "c", "c", 0.25),
        ("cross-lingual", "a", "b", 0.5),
        ("cross-lingual", "a", "c", 0.125),
        ("cross-lingual", "c", "a", 0.25),
        ("multilingual", "a", "*", 0.75),
        ("multilingual", "c", "*", 0.25),
    ]
    table = pd.DataFrame(rows, columns=["setting", "query_lang", "passage_lang", "RR@10"])
    table.insert(3, "rank_max", 1)
    table["same@10"] = [math.nan] * 8 + [1.0, 0.5]
    found = means.summary(table, ["a", "b"])
    assert found["monolingual/RR@10"] == pytest.approx((0.5 + 1 + 0.25) / 3)
    assert found["micro/monolingual/RR@10"] == pytest.approx(2.75 / 5)
    assert found["monolingual/trained/RR@10"] == 0.75 and found["monolingual/unseen/RR@10"] == 0.25
    assert (
        found["cross-lingual/trained/RR@10"] == 0.5
        and found["cross-lingual/unseen/RR@10"] == 0.1875
    )
    assert (
        found["multilingual/trained/RR@10"] == 0.75 and found["multilingual/unseen/RR@10"] == 0.25
    )
    assert found["micro/multilingual/same@10"] == 0.75 and "micro/monolingual/same@10" not in found
    alone = means.summary(table, ["a", "b", "c"])
    assert alone == {
        name: value
        for name, value in found.items()
        if "/trained/" not in name and "/unseen/" not in name
    }
    assert means.macro(table) == {
        name: value for name, value in alone.items() if not name.startswith("micro/")
    }
