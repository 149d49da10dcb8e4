"""On a GPU: ranks are those of the CPU, training is that of the CPU and the same each time.

Skipped where there is none.
"""

import shutil
import sysconfig
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.encoder import encode, in_precision
from hybrid_sweep.models.loading import build_encoder, prepare_for_training
from hybrid_sweep.models.tokens import pad_id
from hybrid_sweep.retrieval import ranking
from hybrid_sweep.training import dev_evaluation, lightning_module
from tests.retrieval.test_ranking import (
    counts,
    expected,
    rank_pairs,
    sorted_pool,
    top_k,
    world,
)
from tests.training.test_lightning_module import fit, prepared_module

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
DEVICE = "cuda"
GPU = ("trainer=gpu", "trainer.precision=32-true")
DOUBLE = ("trainer=gpu", "trainer.precision=64-true")


@pytest.fixture(autouse=True)
def modes():
    """What training sets for the whole process is put back."""
    before = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.set_float32_matmul_precision(before[1])


@contextmanager
def used():
    """The GPU has done something."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    yield
    assert torch.cuda.max_memory_allocated() > before


def losses(module):
    return np.array([row["loss"] for row in module.record])


# Ranks and lists


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize(
    "case",
    [
        # near ties, below what float32 resolves
        dict(size=3000, dimension=96, distinct=700, ulps=2),
        dict(size=3000, dimension=96, distinct=30),  # duplicates: more ties than a list is long
        dict(size=3000, dimension=384, distinct=2900, ulps=1),
        dict(size=500, dimension=48, distinct=100, ulps=1, scale=20.0),
        dict(size=500, dimension=48, distinct=100, scale=1e-21),
        dict(size=1, dimension=8, distinct=1),
    ],
    ids=["near", "equal", "wide", "long", "tiny", "one"],
)
def test_ranks_and_lists_are_those_of_the_cpu_and_of_brute_force(case, tf32):
    case = world(11, **case)
    order, _ = sorted_pool(case)
    vectors, ties = (case["queries"], case["passages"]), case["tie_order"]
    pool = np.random.default_rng(0).permutation(len(ties))[::2]
    inside = set(pool.tolist())
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    with used():
        before, after, first = rank_pairs(**case, k=20, passage_chunk=1000, device=DEVICE)
        lists = [top_k(*vectors, 20, ties, rows, device=DEVICE) for rows in (None, pool)]
    assert [before.tolist(), after.tolist()] == expected(case)
    assert first.tolist() == lists[0][0].tolist() == [line[:20] for line in order]
    assert lists[1][0].tolist() == [[row for row in line if row in inside][:20] for line in order]
    for (index, score), rows in zip(lists, (None, pool), strict=True):
        other = top_k(*vectors, 20, ties, rows)
        assert (index == other[0]).all() and (score == other[1]).all()


def test_tf32_would_be_outside_what_is_believed():
    """Else the test above would show nothing."""
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    case = world(11, size=3000, dimension=96, distinct=700)
    vectors = [torch.tensor(case[name], device=DEVICE) for name in ("queries", "passages")]
    torch.set_float32_matmul_precision("high")
    error = (vectors[0] @ vectors[1].T).double() - vectors[0].double() @ vectors[1].T.double()
    assert error.abs().max() > 1e-5


@pytest.mark.parametrize("scale", [3e17, 2.5e18, 2e19, 1e20])
def test_scores_near_the_limit_of_float32_and_beyond(scale):
    """Products of the first two are finite in float32; of the others not all are."""
    case = world(5, size=400, distinct=60, scale=scale)
    exact = [
        [
            sum(int(a) * int(b) for a, b in zip(query, passage, strict=True))
            for passage in case["passages"]
        ]
        for query in case["queries"]
    ]  # integers: no rounding at all
    ids = case["tie_order"]
    order = [sorted(range(len(ids)), key=lambda row: (-line[row], ids[row])) for line in exact]
    whole = np.array(exact, dtype=object)
    before, after, first = rank_pairs(**case, k=7, device=DEVICE)
    wanted = counts(order, whole, case["pair_query"], case["pair_passage"], case["language"])
    assert [before.tolist(), after.tolist()] == wanted
    assert first.tolist() == [line[:7] for line in order]
    dense = ranking.Dense(case["queries"], case["passages"], DEVICE)
    assert dense.top(7, ids)[0].tolist() == [line[:7] for line in order]


# Encoding


def test_vectors_are_those_of_the_cpu_whatever_the_batches(config):
    made = config("data.groups=60")
    prepared = prepare(made)
    encoder, tokens = build_encoder(made.model, prepared.model, 0), prepared.passages
    rows, pad = np.arange(len(tokens)), pad_id(prepared.model)
    wanted = encode(encoder, tokens, rows, pad=pad, batch_tokens=300)
    encoder.to(DEVICE)
    with used():
        for batch_tokens in (1, 300, 8192, 10**6):
            found, again = (
                encode(encoder, tokens, rows, pad=pad, batch_tokens=batch_tokens) for _ in range(2)
            )
            assert found.dtype == np.float32 and np.abs(found - wanted).max() < 1e-5
            assert (found == again).all()
    for precision in ("bf16-mixed", "16-mixed"):
        half = encode(in_precision(encoder, precision), tokens, rows, pad=pad, batch_tokens=8192)
        assert half.dtype == np.float32 and np.abs(np.linalg.norm(half, axis=1) - 1).max() < 1e-5
        assert 0 < np.abs(half - wanted).max() < 0.05


# Training

EVERYTHING = ("batch.hard_negatives=2", "batch.micro_batch=5", "batch.composition=per_example")


def negatives(config, folder):
    """Words for hard negatives of some of the groups; of the others they are absent."""
    groups = prepare(config()).pairs.groups
    (folder / "triples.tsv").write_text(
        "".join(f"{a}\t{a}\t{b}\n" for a, b in pairwise(groups[:100]))
    )
    return (f"data.negatives={folder / 'triples.tsv'}",)


@pytest.mark.parametrize("kind", ["plain", "one_look_up", "padded", "everything"])
def test_training_in_double_precision_has_the_losses_of_the_cpu(
    config, tmp_path, monkeypatch, kind
):
    words = ("batch.cross_lingual_ratio=0.5", "model.dropout=0")
    if kind == "everything":
        words += (*negatives(config, tmp_path), *EVERYTHING)
    if kind == "padded":
        words += ("trainer.length_buckets=false", "trainer.compact_vocabulary=false")
    if kind == "one_look_up":
        monkeypatch.setattr(lightning_module, "LARGE", 0)
    cpu, _ = fit(config(*words, "trainer.precision=64-true"))
    with used():
        gpu, _ = fit(config(*words, *DOUBLE))
    assert len(gpu.record) == 12 and np.abs(losses(gpu) - losses(cpu)).max() < 1e-9
    for name in ("groups", "query_lang", "passage_lang", "n_cross", "n_examples", "lr"):
        assert [row[name] for row in gpu.record] == [row[name] for row in cpu.record]
    assert all(value.device.type == "cpu" for value in gpu.whole_encoder().state_dict().values())


def test_training_has_about_the_losses_of_the_cpu(config):
    words = ("batch.cross_lingual_ratio=0.5", "model.dropout=0", "trainer.lr=3e-4")
    cpu, _ = fit(config(*words))
    with used():
        gpu, _ = fit(config(*words, *GPU))
    assert np.abs(losses(gpu) - losses(cpu)).max() < 1e-4


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize(
    "more", [(), ("batch.micro_batch=5", "trainer.gradient_checkpointing=true")]
)
def test_two_trainings_are_bit_equal_and_another_seed_is_not(config, precision, more):
    words = (
        "trainer=gpu",
        f"trainer.precision={precision}",
        "model.dropout=0.2",
        "batch.size=64",
        *more,
    )
    first, second, other = (fit(config(*words, f"seed={seed}"))[0] for seed in (0, 0, 1))
    assert losses(first).tolist() == losses(second).tolist() != losses(other).tolist()
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_half_precision_learns_and_evaluates(config, precision):
    made = config(
        "trainer=gpu", f"trainer.precision={precision}", "trainer.max_steps=60", "model.dropout=0"
    )
    module, _ = fit(made)
    found = losses(module)
    assert np.isfinite(found).all() and found[-10:].mean() < found[:10].mean() - 0.1
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())
    encoder, tables = module.whole_encoder(), []
    for device, asked in (("cpu", "32-true"), (DEVICE, precision)):
        encoder = in_precision(encoder.to(device), asked)
        tables.append(dev_evaluation.evaluate(made, prepare(made), encoder)[0])
    assert abs(tables[0]["RR@10"].mean() - tables[1]["RR@10"].mean()) < 0.02


def test_evaluating_on_dev_leaves_training_as_it_is(config, tmp_path):
    from tests.training.test_dev_evaluation import fit as validated

    words = ("trainer=gpu", "model.dropout=0.2")
    module, history = validated(config(*words, "eval.dev_every=5"), tmp_path)
    alone, _ = validated(config(*words), tmp_path / "alone")
    assert [row["step"] for row in history.rows] == [5, 10, 12]
    assert losses(module).tolist() == losses(alone).tolist()
    assert all(
        torch.equal(a, b) for a, b in zip(module.parameters(), alone.parameters(), strict=True)
    )


# One step


def step_of(made, change=lambda module: None):
    """The loss of step 5 and the gradients of all weights, in double precision on the GPU."""
    from lightning_fabric.utilities.apply_func import move_data_to_device

    module, _, batches = prepared_module(made)
    prepare_for_training(module.encoder, made.trainer)
    module.double().to(DEVICE).train()
    change(module)
    loss = module.training_step(move_data_to_device(batches[5], torch.device(DEVICE)))
    loss.backward()
    return float(loss), {name: parameter.grad for name, parameter in module.named_parameters()}


def same(one, other):
    assert abs(one[0] - other[0]) < 1e-12
    assert all(
        torch.allclose(one[1][name], other[1][name], rtol=0, atol=1e-12) for name in other[1]
    )


@pytest.mark.parametrize("more", [(), ("hard",)])
def test_cached_gradients_equal_the_plain_ones(config, tmp_path, more):
    words = (*DOUBLE, "model.dropout=0")
    if more:
        words += (*negatives(config, tmp_path), "batch.hard_negatives=2")
    plain = step_of(config(*words))
    for size in (1, 5, 1000):
        same(step_of(config(*words, f"batch.micro_batch={size}")), plain)


def test_cached_and_checkpointed_gradients_are_those_of_the_dropout_that_made_the_loss(config):
    """The second forward pass draws what the first drew, from the generator of the GPU."""
    made = config(*DOUBLE, "model.dropout=0.3", "batch.micro_batch=4")

    def uncached(module):
        module.config = replace(made, batch=replace(made.batch, micro_batch=None))

    plain = step_of(made, uncached)  # the same parts, without the cache
    same(step_of(made), plain)
    checkpointed = config(
        *DOUBLE, "model.dropout=0.3", "batch.micro_batch=4", "trainer.gradient_checkpointing=true"
    )
    same(step_of(checkpointed), plain)
    same(step_of(checkpointed, uncached), plain)
    other = step_of(config(*DOUBLE, "model.dropout=0.3", "batch.micro_batch=4", "seed=1"), uncached)
    assert abs(other[0] - plain[0]) > 1e-6


def test_compiled_training_is_the_plain_one(config):
    """Texts of several lengths: sizes are dynamic."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if (
        not (shutil.which("cc") or shutil.which("gcc") or shutil.which("clang"))
        or not header.is_file()
    ):
        pytest.skip("torch.compile needs a C compiler and Python's headers")
    words = (*GPU, "model.dropout=0", "model.depth=1", "trainer.lr=3e-4", "trainer.max_steps=6")
    plain, _ = fit(config(*words))
    try:
        compiled, _ = fit(config(*words, "trainer.compile=true"))
    finally:
        torch.compiler.reset()
    assert len(compiled.record) == 6 and np.abs(losses(compiled) - losses(plain)).max() < 1e-3
