"""InfoNCE a block of queries at a time: the losses and gradients of the whole table of scores."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from hybrid_sweep.training import lightning_module
from hybrid_sweep.training.loss import gather, info_nce
from hybrid_sweep.training.loss_blocks import Blocks, info_nce_in_blocks
from tests.refused import refused
from tests.training.test_lightning_module import prepared_module
from tests.training.test_loss import batch, masks

GROUPS = [0, 1, 0, 2, 1, 0]


def blocks_of(masked: torch.Tensor, size: int) -> Blocks:
    return Blocks(size, lambda part: masked[part], 0.05)


@pytest.mark.parametrize("size", [1, 2, 4, 6, 100])
def test_losses_and_gradients_are_those_of_all_scores(size: int) -> None:
    made = []
    for in_blocks in (False, True):
        queries, passages, groups = batch(groups=GROUPS)
        masked, positive = masks(groups), torch.arange(6)
        if in_blocks:
            losses = info_nce_in_blocks(queries, passages, positive, blocks_of(masked, size))
        else:
            losses = info_nce(queries, passages, positive, masked, 0.05)
        (losses * torch.arange(1.0, 7)).sum().backward()  # each has a gradient of its own
        made.append((losses.detach(), queries.grad, passages.grad))
    for one, other in zip(*made, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_gradients_equal_finite_differences() -> None:
    queries, passages, groups = batch(groups=GROUPS)
    masked = masks(groups)

    def losses(queries: torch.Tensor, passages: torch.Tensor) -> torch.Tensor:
        return info_nce_in_blocks(queries, passages, torch.arange(6), blocks_of(masked, 4))

    assert torch.autograd.gradcheck(losses, (queries, passages))


def test_no_more_than_a_block_of_scores_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither forward nor backward."""
    queries, passages, groups = batch(size=40)
    masked = masks(groups)
    sizes, asked = [], []
    original = torch.mm

    def noted(*given: torch.Tensor, **more: Any) -> torch.Tensor:
        product = original(*given, **more)
        sizes.append(product.numel())
        return product

    def masked_of(part: slice) -> torch.Tensor:
        asked.append(part.stop - part.start)
        return masked[part]

    monkeypatch.setattr(torch, "mm", noted)
    losses = info_nce_in_blocks(queries, passages, torch.arange(40), Blocks(8, masked_of, 0.05))
    losses.mean().backward()
    assert asked == [8] * 10  # five blocks, forward and backward
    assert max(sizes) == 8 * 40


def _rank(rank: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    queries, passages, groups = batch(groups=GROUPS)
    mine = slice(3 * rank, 3 * rank + 3)
    q, p = (t[mine].detach().clone().requires_grad_() for t in (queries, passages))
    masked = masks(groups[mine], gather(groups[mine]), 3 * rank)
    own = torch.arange(3) + 3 * rank
    losses = info_nce_in_blocks(q, gather(p), own, blocks_of(masked, 2))
    losses.mean().backward()
    torch.save((q.grad / 2, p.grad / 2, losses.detach()), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_losses_and_gradients_of_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    queries, passages, groups = batch(groups=GROUPS)
    losses = info_nce(queries, passages, torch.arange(6), masks(groups), 0.05)
    losses.mean().backward()
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for place, whole in enumerate((queries.grad, passages.grad, losses.detach())):
        assert torch.allclose(torch.cat([part[place] for part in parts]), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("more", [[], ["batch.micro_batch=5"], ["loss.infonce=0.5"]])
def test_a_step_is_the_same_with_blocks(
    config: Any, more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = lightning_module.info_nce_in_blocks

    def noted(*given: Any) -> torch.Tensor:
        calls.append(given)
        return original(*given)

    monkeypatch.setattr(lightning_module, "info_nce_in_blocks", noted)
    made = []
    for block in ([], ["loss.block=5"]):
        module, _, batches = prepared_module(config(*more, *block))
        loss = module.double().training_step(batches[5])
        loss.backward()
        made.append(
            (float(loss.detach()), [p.grad for p in module.encoder.parameters()], module.record)
        )
    (plain, wanted, record), (blocked, gradients, other) = made
    assert len(calls) == 1 and abs(plain - blocked) < 1e-12
    assert [set(row) for row in record] == [set(row) for row in other]
    for one, two in zip(gradients, wanted, strict=True):
        assert torch.allclose(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "words",
    [
        ["loss.block=0"],
        ["loss.block=64", "loss.symmetric=0.4"],
        ["loss.block=64", "loss.alignment.weight=0.2"],
        ["loss.block=64", "trainer.loss=own:loss"],
    ],
)
def test_blocks_are_of_info_nce_alone(config: Any, words: list[str]) -> None:
    with refused("config.loss.block", words[0].partition("=")[2]):
        config(*words)
