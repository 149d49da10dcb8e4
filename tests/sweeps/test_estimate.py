"""What a sweep is said to take, against operations that torch counts and against sizes that are
published.
"""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hybrid_sweep.config.compose import points
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.loading import build_encoder
from hybrid_sweep.sweeps import estimate
from hybrid_sweep.sweeps.estimate import Size, work_of

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
def small(config):
    made = config(
        "model.hidden_size=64", "model.heads=4", "model.intermediate_size=160", "model.depth=3"
    )
    model = dataclasses.replace(made.model, query_length=LENGTH, passage_length=LENGTH)
    return dataclasses.replace(made, model=model)


def test_the_formula_counts_what_torch_counts(small):
    encoder = build_encoder(small.model, prepare(small).model, 0).train()
    encoder.transformer.set_attn_implementation("eager")  # the fused form is not counted on a CPU
    size = Size(3, 5, (LENGTH, 10 * LENGTH), 0)  # the limit cuts the passages
    found = work_of(small, {"a": size})
    assert found.encoding == pytest.approx(counted(encoder, 8, training=False), rel=0.02)
    step = counted(encoder, 2 * small.batch.size, training=True)
    assert found.training == pytest.approx(small.trainer.max_steps * step, rel=0.02)
    assert found.vectors == 8 * 64 * 4


def test_what_costs_a_forward_pass_more_is_counted(small):
    plain = work_of(small, {}).training
    small.batch.micro_batch = 8
    assert work_of(small, {}).training == pytest.approx(plain * 4 / 3)
    small.trainer.gradient_checkpointing = True
    assert work_of(small, {}).training == pytest.approx(plain * 5 / 3)
    small.batch.hard_negatives = 1
    assert work_of(small, {}).training > plain * 5 / 3 * 1.3


def test_a_prepared_collection_is_counted_and_another_taken_as_published(config):
    made = config()
    found = prepare(made)
    folder = estimate._folder(made)
    assert folder is not None
    size = estimate.size_of(made.data, "test", folder)
    splits = found.collection.passages["split"].to_pylist()
    assert size.passages == splits.count("test") + splits.count("*")
    assert size.queries == found.collection.queries["split"].to_pylist().count("test")
    ((_, marco),) = points(["data=mmarco", "data.languages=[en,de]"], multirun=False)
    assert estimate.size_of(marco.data, "test", None).passages == 2 * 8_841_823
    ((_, lareqa),) = points(["data=xquad_r"], multirun=False)
    assert estimate.size_of(lareqa.data, "test", None).passages == 13_014


def test_lines_name_hours_and_disk_of_what_is_not_there(tmp_path):
    jobs = points(["experiment=mmarco", f"paths.cache={tmp_path}"], multirun=True)
    said = estimate.lines([made for _, made in jobs])
    assert [line.split(":")[0] for line in said] == ["disk", "compute", "disk"]
    assert (
        said[0].startswith("disk: mmarco ar de en es fr hi ru zh: files 27 GB")
        and "21 points" in said[1]
    )
    assert estimate.lines([made for _, made in points(["data=synthetic"], multirun=False)]) == []
