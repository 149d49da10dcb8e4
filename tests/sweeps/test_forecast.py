"""What a sweep is said to take: time beside finished runs, disk beside the files of a run,
GPU-hours beside the operations that torch counts.
"""

import dataclasses
import os
import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import (
    Config,
    SyntheticData,
    TinyModel,
    TrainerConfig,
    to_dict,
    untrained,
)
from hybrid_sweep.inputs import splits
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.loading import build_encoder
from hybrid_sweep.runs import trained
from hybrid_sweep.sweeps import forecast, sizes
from hybrid_sweep.sweeps.point_list import Point, State
from hybrid_sweep.training.checkpoint_notes import KEEP
from hybrid_sweep.utils.files import write_json
from tests import finished_runs

TO_DO, DONE = State("to do", "new"), State("done", "has its result")
SIZES = sizes.published()

# --- time


@pytest.fixture
def point(tmp_path):
    def make(ratio=0.5, steps=100, kind="trained", **trainer):
        made = Config(
            data=SyntheticData(name="synthetic", languages=["xa", "xb"]),
            model=TinyModel(name="tiny"),
        )
        made.batch = dataclasses.replace(made.batch, cross_lingual_ratio=ratio)
        made.trainer = TrainerConfig(max_steps=steps, **trainer)
        made.paths.outputs = str(tmp_path)
        made = untrained(made) if kind == "untrained" else made
        name = f"{kind}{ratio}{steps}{len(trainer)}"
        return Point(name, kind, (), made, {"collection": "c", "model": "m"})

    return make


def finish(point, train, steps, start=8, evaluate=2):
    finished_runs.finish(point.run_dir, point.run_id)
    OmegaConf.save(OmegaConf.create(to_dict(point.config)), point.run_dir / "config.yaml")
    times = {
        "train_seconds": train,
        "steps": steps,
        "start_seconds": start,
        "evaluate_seconds": evaluate,
    }
    write_json(point.run_dir / "provenance.json", {"times": times})


def seconds_of(*waiting, state=TO_DO):
    return list(forecast.seconds(waiting, [state] * len(waiting)).values())


def test_nothing_is_known_before_a_point_is_finished(point):
    times = forecast.seconds([point()], [TO_DO])
    [line] = forecast.time_lines([point()], times)
    assert list(times.values()) == [None] and line.startswith("time: unknown")
    assert forecast.time_lines([point()], {}) == [] and forecast.seconds([], []) == {}


def test_a_point_takes_what_those_like_it_took_whatever_their_ratio_and_rate(point):
    finish(point(0.0, lr=7e-4), train=50, steps=100)
    assert seconds_of(point(1.0, steps=400)) == [pytest.approx(8 + 2 + 400 * 0.5)]
    assert seconds_of(point(0.5), state=DONE) == []


def test_only_the_steps_that_are_left_count(point):
    finish(point(0.0), train=50, steps=100)
    left = seconds_of(point(1.0), state=State("to do", "", 90))
    assert left == [pytest.approx(10 + 10 * 0.5)]


def test_a_resumed_run_counts_by_the_steps_that_its_time_is_of(point):
    finish(point(0.0, steps=400), train=20, steps=10, start=0, evaluate=0)
    assert seconds_of(point(1.0)) == [pytest.approx(200)]


def test_what_is_trained_takes_only_the_evaluations_that_are_missing(point):
    done, asked = point(0.0), point(1.0)
    further = {"other": SyntheticData(name="synthetic", languages=["xa"], pools=[5])}
    done.config.eval.also = asked.config.eval.also = further
    finish(done, train=50, steps=100)
    assert seconds_of(asked) == [None]  # nothing is known of the further collection yet
    assert seconds_of(point(0.5)) == [pytest.approx(60)]  # which this one does not ask for
    for name, took in (("other", 30), ("other_pool_5", 4)):
        note = done.run_dir / "evaluations" / name / "provenance.json"
        write_json(note, {"times": {"evaluate_seconds": took}})
    assert seconds_of(asked) == [pytest.approx(8 + 50 + 2 + 30 + 4)]
    for name in ("steps.parquet", "model/modules.json"):
        (asked.run_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (asked.run_dir / name).touch()
    trained.write(asked.run_dir)
    assert seconds_of(asked) == [pytest.approx(8 + 2 + 30 + 4)]
    finished_runs.finish(asked.run_dir, asked.run_id, measures=asked.config.eval.measures)
    assert seconds_of(asked) == [pytest.approx(8 + 30 + 4)]


def test_other_work_tells_nothing(point):
    finish(point(0.0, devices=2), train=50, steps=100)
    finish(point(0.0, precision="64-true", devices=2), train=50, steps=100)
    assert seconds_of(point()) == seconds_of(point(kind="untrained")) == [None]


def test_an_untrained_point_takes_no_step_and_what_is_unknown_is_said(point):
    floor = point(kind="untrained")
    finish(dataclasses.replace(floor, run_id="other"), train=1, steps=0, evaluate=3)
    times = forecast.seconds([floor, point()], [TO_DO, TO_DO])
    assert times == {floor.run_id: pytest.approx(12), point().run_id: None}
    [line] = forecast.time_lines([floor, point()], times)
    assert line.startswith("time: about 12 s") and "without 1 of the 2 points" in line


def test_points_that_run_together_share_the_time(point, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    waiting = [point(ratio / 10) for ratio in range(5)]
    [line] = forecast.time_lines(waiting, {each.run_id: 60.0 for each in waiting})
    assert line == "time: about 2 min, 2 points at a time (5 min one after the other)"


def test_a_record_that_does_not_tell_is_passed_over(point):
    finish(point(0.0), train=50, steps=100)
    write_json(point(0.0).run_dir / "provenance.json", {"times": {"train_seconds": 50}})
    (point(0.1).run_dir).mkdir()
    (point(0.1).run_dir / "metrics.json").write_text("{")
    assert seconds_of(point()) == [None]


# --- disk

# Large enough that weights outweigh the headers of files.
WORDS = (
    "model.hidden_size=96",
    "model.heads=4",
    "model.intermediate_size=200",
    "model.vocabulary=900",
    "eval.dev_every=5",
    "keep.optimizer=true",
    "keep.vectors=true",
)


def size(path):
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def cost(config):
    return forecast.cost_of(config, SIZES, {})


@pytest.mark.slow
def test_the_disk_of_a_point_is_about_what_a_run_leaves(run, config):
    folder, told = run(*WORDS), cost(config(*WORDS))
    assert list(told.kept) == ["model", "optimizer", "vectors", "results"]
    assert told.kept["model"] == pytest.approx(size(folder / "model"), rel=0.1)
    assert told.kept["vectors"] == pytest.approx(size(folder / "vectors"), rel=0.35)
    # whose embeddings of tokens that do not occur have no moments
    assert 0.7 < size(folder / "optimizer.pt") / told.kept["optimizer"] < 1.1
    checkpoint = told.kept["model"] + told.kept["optimizer"]
    assert told.meanwhile == (KEEP + 1) * checkpoint + (KEEP + 2) * told.kept["model"]


def test_what_is_not_kept_costs_nothing(config):
    prepare(config(*WORDS))
    few = cost(config(*WORDS, "keep.model=false", "keep.optimizer=false", "keep.vectors=false"))
    assert [kind for kind, amount in few.kept.items() if amount] == ["results"]
    floor = cost(config(*WORDS, "trainer.max_steps=0", "batch.cross_lingual_ratio=0"))
    assert floor.kept["model"] == floor.kept["optimizer"] == 0
    both = cost(config(*WORDS, "keep.other_model=true")).kept["model"]
    assert both == 2 * cost(config(*WORDS)).kept["model"]
    adapters = cost(config(*WORDS, "model.lora_rank=4"))
    assert adapters.kept["optimizer"] == 2 * 4 * (2 * 2 * 4 * 2 * 96)  # q, v of 2 layers, two sides


def test_further_collections_and_run_files_count(config):
    words = ["trainer.max_steps=0", "batch.cross_lingual_ratio=0", *WORDS]
    also = ["+data@eval.also.other=synthetic", "eval.also.other.groups=400"]
    prepare(config(*words))
    prepare(config(*words, "data.groups=400"))  # the further one
    one, deep = cost(config(*words)), cost(config(*words, "eval.run_depth=20"))
    both, ranks = (cost(config(*words, *also, *more)) for more in ([], ["trainer.devices=2"]))
    split = splits.split_of(prepare(config(*words)), "test")
    assert one.meanwhile == (len(split.queries) + len(split.passages)) * 96 * 4
    assert both.kept["results"] > 1.9 * one.kept["results"]
    assert one.meanwhile < both.meanwhile < ranks.meanwhile
    lines = len(split.queries) * (4 + 1) * 20  # in each of four languages, and in all
    assert deep.kept["results"] - one.kept["results"] == 60 * lines


def test_what_points_share_is_counted_once(config, monkeypatch):
    opened = []
    real = sizes.collection_of
    monkeypatch.setattr(sizes, "collection_of", lambda made: opened.append(made) or real(made))
    asked = [
        config(f"seed={seed}", f"batch.cross_lingual_ratio={ratio}")
        for seed in (0, 1)
        for ratio in (0, 1)
    ]
    prepare(asked[0])
    assert forecast.cost_lines([*asked, config("model.hidden_size=64")]) and len(opened) == 1


def test_a_disk_that_is_too_small_is_told(config, monkeypatch):
    prepare(config(*WORDS))
    [line] = forecast.cost_lines([config(*WORDS)] * 3)
    assert line.startswith("disk: about ") and "WARNING" not in line
    told = cost(config(*WORDS))
    needed = 3 * sum(told.kept.values()) + told.meanwhile
    monkeypatch.setattr(forecast, "free_space", lambda _: needed)
    assert len(forecast.cost_lines([config(*WORDS)] * 3)) == 1
    monkeypatch.setattr(forecast, "free_space", lambda _: needed - 1)
    *_, warning = forecast.cost_lines([config(*WORDS)] * 3)
    assert "WARNING" in warning and "paths.outputs" in warning


# --- GPU-hours

LENGTH = 24


def counted(encoder, texts, *, training):
    """The operations of the layers' matrix products on `texts` texts of LENGTH tokens, by torch's
    own counter.
    """
    ids = torch.ones(texts, LENGTH, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        with torch.set_grad_enabled(training):
            vectors = encoder(ids, torch.ones_like(ids))
        if training:
            vectors.sum().backward()
    return counter.get_total_flops()


@pytest.fixture
def on_gpu(config):
    words = ["model.hidden_size=64", "model.heads=4", "model.intermediate_size=160"]
    made = config(*words, "model.depth=3", "trainer.accelerator=gpu")
    model = dataclasses.replace(made.model, query_length=LENGTH, passage_length=LENGTH)
    return dataclasses.replace(made, model=model)


def test_the_hours_are_the_operations_that_torch_counts(on_gpu):
    encoder = build_encoder(on_gpu.model, prepare(on_gpu).model, 0).train()
    encoder.transformer.set_attn_implementation("eager")  # the fused form is not counted on a CPU
    texts = {"questions": 3, "passages": {"other": 5}, "tokens": [LENGTH, 10 * LENGTH], "bytes": 0}
    on_gpu.data.path, on_gpu.data.languages = None, ["xa"]
    on_gpu.data.seed = 12_345  # not built
    told = forecast.cost_of(
        on_gpu, SIZES | {"collections": {"synthetic": texts, "other": texts}}, {}
    )
    hour = 3600 * 0.3 * 19.5e12
    encoding = counted(encoder, 8, training=False)
    assert told.encode * hour == pytest.approx(encoding, rel=0.1)
    step = counted(encoder, 2 * on_gpu.batch.size, training=True)
    assert told.train * hour == pytest.approx(on_gpu.trainer.max_steps * step, rel=0.1)


def test_what_costs_a_forward_pass_more_is_counted(on_gpu):
    plain = cost(on_gpu).train
    on_gpu.batch.micro_batch = 8
    assert cost(on_gpu).train == pytest.approx(plain * 4 / 3)
    on_gpu.trainer.gradient_checkpointing = True
    assert cost(on_gpu).train == pytest.approx(plain * 5 / 3)
    on_gpu.batch.hard_negatives = 1
    assert cost(on_gpu).train > plain * 5 / 3 * 1.3
    on_gpu.trainer.accelerator = "cpu"
    assert cost(on_gpu).train == cost(on_gpu).encode == 0


def test_an_experiment_on_gpus_tells_what_to_fetch_disk_and_hours(tmp_path):
    jobs = points(["experiment=mmarco", f"paths.cache={tmp_path}"], multirun=True)
    lines = forecast.cost_lines([made for _, made in jobs])
    lines = [line for line in lines if "WARNING" not in line]
    assert [line.split(":")[0] for line in lines] == ["disk", "disk", "compute"]
    assert "81 GB" in lines[0] and "GPU-hours on an A100" in lines[2]


def test_torch_is_not_imported():
    program = (
        "import sys, hybrid_sweep.sweeps.forecast; sys.exit('torch' in sys.modules or"
        " 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
