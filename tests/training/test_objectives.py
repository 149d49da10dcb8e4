"""The terms of a loss against a float64 brute force, in one process and in two."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from hybrid_sweep.config import schema
from hybrid_sweep.config.schema import AlignmentConfig, LossConfig
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.training.batches import TrainBatch
from hybrid_sweep.training.loss import gather
from hybrid_sweep.training.objectives import Step, divergence, terms_of
from tests.refused import refused
from tests.training.test_lightning_module import fit, prepared_module

TEMPERATURE = 0.2
SIZE = 6  # pairs of a batch
GROUPS = [0, 1, 0, 2, 1, 0]  # two pairs of a question are positives of each other
THERE = [True, True, False, True, True, True]  # whose other version exists
ALL = LossConfig(
    infonce=1.0, symmetric=0.4, alignment=AlignmentConfig(0.2, "queries", "jensen_shannon")
)


def softmax(scores):
    shares = [math.exp(score) for score in scores]
    return [share / sum(shares) for share in shares]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def apart(first, second, kind):
    """The divergence of two lists of scores, written out."""
    p, q = softmax(first), softmax(second)
    if kind == "kl":
        return kl(p, q)
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return (kl(p, middle) + kl(q, middle)) / 2


def unit(seed):
    draw = np.random.default_rng(seed).normal(size=(SIZE, 5))
    return torch.tensor(draw / np.linalg.norm(draw, axis=1, keepdims=True))


def vectors():
    """Queries, passages and other versions, with gradients."""
    queries, passages, versions = unit(0), unit(1), unit(2)
    versions[~torch.tensor(THERE)] = 0
    return torch.cat([queries, passages, versions]).requires_grad_()


def step_of(texts, rank=0, part=slice(None)):
    """A step of one process, whose pairs are a part of the batch."""
    own = torch.arange(SIZE)[part]
    groups = torch.tensor(GROUPS)
    mine = texts.reshape(3, SIZE, -1)[:, part].reshape(3 * len(own), -1)
    batch = TrainBatch(0, 0, [], own, groups[own], groups[own], own, groups[own], groups[own])
    batch.versions = torch.tensor(THERE)[own]
    masked = torch.zeros(len(own), SIZE, dtype=torch.bool)
    given = {
        "queries": mine[: len(own)],
        "passages": gather(mine[len(own) : 2 * len(own)]),
        "positive": own,
        "masked": masked,
        "temperature": TEMPERATURE,
    }
    keys = sorted(group * SIZE + answer for group in set(GROUPS) for answer in answers_of(group))
    return Step(batch, mine, given, rank, torch.tensor(keys), SIZE)


def answers_of(group):
    return [answer for answer, other in enumerate(GROUPS) if other == group]


def brute(texts, name, settings=None):
    """The term of each pair from the vectors, with loops."""
    queries, passages, versions = texts.detach().reshape(3, SIZE, -1).numpy()
    values = []
    for i in range(SIZE):
        if name == "symmetric":
            scores = [float(query @ passages[i]) / TEMPERATURE for query in queries]
            rivals = [j for j in range(SIZE) if j == i or GROUPS[j] != GROUPS[i]]
            shares = softmax([scores[j] for j in rivals])
            values.append(-math.log(shares[rivals.index(i)]))
        elif settings.of == "queries":
            first = [float(queries[i] @ passage) / TEMPERATURE for passage in passages]
            second = [float(versions[i] @ passage) / TEMPERATURE for passage in passages]
            values.append(apart(first, second, settings.divergence) if THERE[i] else 0.0)
        else:
            rivals = [j for j in range(SIZE) if THERE[j]]
            first = [float(queries[i] @ passages[j]) / TEMPERATURE for j in rivals]
            second = [float(queries[i] @ versions[j]) / TEMPERATURE for j in rivals]
            values.append(apart(first, second, settings.divergence))
    return values


@pytest.mark.parametrize("kind", ["kl", "jensen_shannon"])
@pytest.mark.parametrize("of", ["queries", "passages"])
def test_alignment_equals_the_formula(of, kind):
    texts = vectors()
    settings = AlignmentConfig(1.0, of, kind)
    terms = terms_of(step_of(texts), LossConfig(alignment=settings))
    assert list(terms) == ["alignment"]
    wanted = brute(texts, "alignment", settings)
    assert np.allclose(terms["alignment"].detach(), wanted, rtol=0, atol=1e-12)
    assert max(wanted) > 1e-3


def test_the_other_direction_equals_the_formula_with_answered_queries_left_out():
    texts = vectors()
    terms = terms_of(step_of(texts), LossConfig(symmetric=1.0))
    assert list(terms) == ["symmetric"]
    wanted = brute(texts, "symmetric")
    assert np.allclose(terms["symmetric"].detach(), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["kl", "jensen_shannon"])
def test_gradients_of_a_divergence_equal_finite_differences(kind):
    draw = torch.Generator().manual_seed(0)
    scores = [
        torch.randn(3, 4, generator=draw, dtype=torch.float64).requires_grad_() for _ in range(2)
    ]
    assert torch.autograd.gradcheck(lambda a, b: divergence(a, b, kind), scores)


def test_an_absent_candidate_changes_nothing_and_gets_no_gradient():
    texts = vectors()
    settings = AlignmentConfig(1.0, "passages", "kl")
    terms_of(step_of(texts), LossConfig(alignment=settings))["alignment"].sum().backward()
    absent = [SIZE + THERE.index(False), 2 * SIZE + THERE.index(False)]
    assert (texts.grad[absent] == 0).all() and torch.isfinite(texts.grad).all()
    assert (texts.grad[SIZE] != 0).any()


def _rank(rank, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    made = {}
    for of in ("queries", "passages"):
        texts = vectors()
        half = SIZE // 2
        step = step_of(texts, rank, slice(half * rank, half * (rank + 1)))
        loss = replace(ALL, alignment=replace(ALL.alignment, of=of))
        terms = terms_of(step, loss)
        sum(term.mean() for term in terms.values()).backward()
        values = {name: term.detach() for name, term in terms.items()}
        made[of] = values, texts.grad / 2  # data-parallel training takes the mean
    torch.save(made, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_terms_and_gradients_of_one(tmp_path):
    torch.multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for of in ("queries", "passages"):
        texts = vectors()
        terms = terms_of(step_of(texts), replace(ALL, alignment=replace(ALL.alignment, of=of)))
        sum(term.mean() for term in terms.values()).backward()
        for name, whole in terms.items():
            both = torch.cat([part[of][0][name] for part in parts])
            assert torch.allclose(both, whole.detach(), rtol=0, atol=1e-12), name
        both = sum(part[of][1] for part in parts)
        assert torch.allclose(both, texts.grad, rtol=0, atol=1e-12)


WORDS = ("trainer.precision=64-true", "trainer.compact_vocabulary=false", "model.temperature=0.1")


@pytest.mark.parametrize("of", ["queries", "passages"])
@pytest.mark.parametrize("ratio", ["0", "1"])
def test_the_versions_of_a_step_are_the_texts_in_the_other_language(config, ratio, of):
    """Vectors of the texts themselves, and the loss written out from them."""
    made = config(
        *WORDS,
        f"batch.cross_lingual_ratio={ratio}",
        "loss.symmetric=0.4",
        "loss.alignment.weight=0.2",
        f"loss.alignment.of={of}",
        "loss.infonce=0.5",
    )
    module, plan, batches = prepared_module(made)
    module.double().eval()
    texts = batches[5]
    total = float(module.training_step(texts))
    batch, source = plan.batch(5), prepare(made).sources[0]
    rows = source.pairs
    other = batch.partner if of == "queries" or ratio == "0" else batch.query_language
    table, store = {
        "queries": (rows.query, source.queries),
        "passages": (rows.passage, source.passages),
    }[of]
    versions = encoded(module, store, table[other, batch.groups])
    queries = encoded(module, source.queries, rows.query[batch.query_language, batch.groups])
    passages = encoded(module, source.passages, rows.passage[batch.passage_language, batch.groups])
    scores = queries @ passages.T / 0.1
    others = (versions @ passages.T if of == "queries" else queries @ versions.T) / 0.1
    own = np.arange(len(scores))
    forward = -np.log([softmax(row)[i] for i, row in zip(own, scores, strict=True)]).mean()
    backward = -np.log([softmax(row)[i] for i, row in zip(own, scores.T, strict=True)]).mean()
    aligned = [
        apart(a, b, "jensen_shannon") for a, b in zip(scores.tolist(), others.tolist(), strict=True)
    ]
    wanted = 0.5 * forward + 0.4 * backward + 0.2 * np.mean(aligned)
    assert abs(total - wanted) < 1e-10


def encoded(module, tokens, rows):
    """The vectors of texts, one by one."""
    made = []
    for row in rows:
        start, stop = tokens.starts[row], tokens.starts[row + 1]
        ids = torch.tensor(np.array(tokens.ids[start:stop], np.int64))[None]
        with torch.no_grad():
            made.append(module.encoder(ids, torch.ones_like(ids))[0].numpy())
    return np.array(made)


def test_cached_gradients_of_all_terms_equal_the_plain_ones(config):
    words = (*WORDS, "loss.symmetric=0.4", "loss.alignment.weight=0.2")
    made = []
    for more in ((), ("batch.micro_batch=5",)):
        module, _, batches = prepared_module(config(*words, *more))
        loss = module.double().training_step(batches[5])
        loss.backward()
        made.append((float(loss), [p.grad for p in module.encoder.parameters()]))
    (plain, wanted), (cached, gradients) = made
    assert abs(plain - cached) < 1e-12
    for one, other in zip(gradients, wanted, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_the_mean_of_each_term_is_recorded_and_their_weighted_sum_is_the_loss(config):
    words = ("loss.symmetric=0.4", "loss.alignment.weight=0.2", "loss.alignment.divergence=kl")
    module, _ = fit(config(*words, "trainer.max_steps=3"))
    assert len(module.record) == 3
    for row in module.record:
        terms = row["loss_infonce"] + 0.4 * row["loss_symmetric"] + 0.2 * row["loss_alignment"]
        assert row["loss"] == pytest.approx(terms, abs=1e-6)
        assert min(row["loss_infonce"], row["loss_symmetric"], row["loss_alignment"]) > 0


def test_every_spelling_of_the_plain_loss_is_one_run_and_the_baselines_have_none(config):
    marks = {"collection": "c", "model": "m"}
    plain = config()
    spelled = config("loss.alignment.weight=0", "loss.alignment.of=passages", "loss.infonce=1")
    assert schema.run_id(spelled, marks) == schema.run_id(plain, marks)
    other = config("loss.alignment.weight=0.2")
    assert schema.run_id(other, marks) != schema.run_id(plain, marks)
    for baseline in (schema.untrained, schema.bm25):
        assert schema.run_id(baseline(other), marks) == schema.run_id(baseline(plain), marks)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("config.loss.infonce", ["loss.infonce=0"]),
        ("config.loss.symmetric", ["loss.symmetric=-1"]),
        ("config.loss.alignment.weight", ["loss.alignment.weight=nan"]),
        ("config.loss.alignment.weight", ["loss.alignment.weight=.inf"]),
        ("config.loss.alignment.of", ["loss.alignment.weight=1", "loss.alignment.of=texts"]),
        ("config.loss.alignment.divergence", ["loss.alignment.weight=1", "loss.alignment.divergence=js"]),
        (
            "config.loss.alignment.weight",
            ["loss.alignment.weight=1", "data.languages=[en]", "batch.cross_lingual_ratio=0"],
        ),
        ("config.trainer.loss", ["loss.infonce=0", "loss.symmetric=1", "trainer.loss=own:loss"]),
    ],
)  # fmt: skip
def test_what_makes_no_loss_is_refused(config, key, words):
    with refused(key):
        config(*words)


@pytest.mark.parametrize("of", ["queries", "passages"])
@pytest.mark.parametrize("ratio", ["0.5", "1"])
def test_a_pair_without_a_second_version_of_its_texts_is_refused_before_training(config, of, ratio):
    """One language asks and another answers: a monolingual step is in the other language."""
    words = ("loss.alignment.weight=0.2", f"loss.alignment.of={of}")
    one_sided = ("batch.query_languages=[xa,xb]", "batch.passage_languages=[xb]")
    both = config(*words, "batch.pairs={xa-xb: 1}", f"batch.cross_lingual_ratio={ratio}")
    assert plan_of(both, prepare(both).all_pairs).moved == ()
    made = config(*words, *one_sided, f"batch.cross_lingual_ratio={ratio}")
    with refused("config.loss.alignment.weight", "xa-xb", of):
        plan_of(made, prepare(made).all_pairs)
