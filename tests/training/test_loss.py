"""Loss, mask and gradients against a float64 brute force, in one process and in two."""

import math
import os

import numpy as np
import pytest
import torch

from hybrid_sweep.training.loss import gather, info_nce, is_relevant


def masks(questions, everyone=None, start=0):
    """Which candidates of the same question are no negatives: all of them but a query's own."""
    everyone = questions if everyone is None else everyone
    found = questions[:, None] == everyone[None, :]
    rows = torch.arange(len(questions))
    found[rows, rows + start] = False
    return found


def brute(queries, passages, positive, relevant, temperature):
    losses = []
    for i, query in enumerate(queries):
        scores = [math.exp(float(query @ passage) / temperature) for passage in passages]
        kept = sum(s for j, s in enumerate(scores) if j == positive[i] or not relevant[i][j])
        losses.append(-math.log(scores[positive[i]] / kept))
    return losses


def batch(size=6, groups=None, seed=0):
    draw = np.random.default_rng(seed)
    vectors = [draw.normal(size=(size, 5)) for _ in range(2)]
    queries, passages = (
        torch.tensor(v / np.linalg.norm(v, axis=1, keepdims=True), requires_grad=True)
        for v in vectors
    )
    groups = torch.tensor(groups if groups is not None else list(range(size)))
    return queries, passages, groups


@pytest.mark.parametrize("groups", [None, [0, 1, 0, 2, 1, 0]])
def test_equal_to_the_formula_with_relevant_passages_left_out(groups):
    queries, passages, groups = batch(groups=groups)
    masked = masks(groups)
    positive = torch.arange(6)
    losses = info_nce(queries, passages, positive, masked, 0.05)
    wanted = brute(
        queries.detach().numpy(),
        passages.detach().numpy(),
        positive.numpy(),
        masked.numpy(),
        0.05,
    )
    assert np.allclose(losses.detach().numpy(), wanted, rtol=0, atol=1e-12)


def test_a_false_negative_gets_no_gradient():
    queries, passages, groups = batch(groups=[0, 1, 0, 2, 3, 4])
    info_nce(queries, passages, torch.arange(6), masks(groups), 0.05)[0].backward()
    assert (
        (passages.grad[2] == 0).all()
        and (passages.grad[0] != 0).any()
        and (passages.grad[1] != 0).any()
    )


def test_relevance_is_that_of_the_judgements():
    draw = np.random.default_rng(0)
    judged = {(int(q), int(a)) for q, a in draw.integers(0, 9, (30, 2))}
    keys = torch.tensor(sorted(q * 9 + a for q, a in judged))
    questions, answers = torch.tensor([3, 0, 8, 8]), torch.arange(9)
    found = is_relevant(questions, answers, keys, 9)
    assert found.tolist() == [[(int(q), int(a)) in judged for a in answers] for q in questions]


def test_gradients_equal_finite_differences():
    queries, passages, groups = batch(size=4, groups=[0, 1, 0, 2])
    masked = masks(groups)
    assert torch.autograd.gradcheck(
        lambda q, p: info_nce(q, p, torch.arange(4), masked, 0.3), (queries, passages)
    )


def _rank(rank, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    queries, passages, groups = batch(groups=[0, 1, 0, 2, 1, 0])
    mine = slice(3 * rank, 3 * rank + 3)
    q, p = (t[mine].detach().clone().requires_grad_() for t in (queries, passages))
    everyone = gather(groups[mine])
    losses = info_nce(
        q, gather(p), torch.arange(3) + 3 * rank, masks(groups[mine], everyone, 3 * rank), 0.05
    )
    losses.mean().backward()
    torch.save(
        (q.grad / 2, p.grad / 2, losses.detach()), f"{folder}/{rank}.pt"
    )  # data-parallel training takes the mean
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_gathered_gradients_equal_those_of_one_process(tmp_path):
    torch.multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    queries, passages, groups = batch(groups=[0, 1, 0, 2, 1, 0])
    losses = info_nce(queries, passages, torch.arange(6), masks(groups), 0.05)
    losses.mean().backward()
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for place, whole in enumerate((queries.grad, passages.grad, losses.detach())):
        assert torch.allclose(torch.cat([part[place] for part in parts]), whole, rtol=0, atol=1e-12)
