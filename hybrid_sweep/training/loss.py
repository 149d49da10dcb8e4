"""InfoNCE over in-batch passages, with known relevant ones masked and passages gathered from all
processes.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def info_nce(
    queries: Tensor, passages: Tensor, positive: Tensor, relevant: Tensor, temperature: float
) -> Tensor:
    """Return (b,) loss of each query: minus the log of its own passage's share among the
    candidates.

    queries: (b, D), passages: (B, D), unit vectors. positive: (b,) index of each query's own
    passage. relevant: (b, B) bool, passages that answer the query; all but its own are left out of
    the candidates, since they are no negatives. The InfoNCE of van den Oord et al. (2018).
    """
    scores = (queries / temperature) @ passages.T
    own = positive[:, None] == torch.arange(len(passages), device=positive.device)
    # In place: of a batch of thousands, the scores are what takes the memory.
    return torch.nn.functional.cross_entropy(
        scores.masked_fill_(relevant & ~own, float("-inf")), positive, reduction="none"
    )


def is_relevant(questions: Tensor, answers: Tensor, judged: Tensor, width: int) -> Tensor:
    """Return (b, B) bool: passage j answers question i by the judgements, whatever the languages of
    the two.

    questions: (b,), answers: (B,) int64 numbers. judged: sorted int64 keys question * width +
    answer.
    """

    def some(questions: Tensor) -> Tensor:
        keys = questions[:, None] * width + answers[None, :]
        place = torch.searchsorted(judged, keys).clamp(max=len(judged) - 1)
        return judged[place] == keys

    # In parts, since a key takes eight times the memory of its answer.
    return torch.cat([some(part) for part in torch.split(questions, 256)])


class _Gather(torch.autograd.Function):
    """Concatenation over processes whose gradient comes back from all of them."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Every process holds the part of the gradient that its own queries make: the local
        # passages' is their sum.
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        size = len(total) // dist.get_world_size()
        return total[dist.get_rank() * size : (dist.get_rank() + 1) * size]


def gather(local: Tensor) -> Tensor:
    """Return (W b, ...) the tensors of all W processes in rank order, with gradients; in a single
    process the tensor itself.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return local
    return _Gather.apply(local)  # type: ignore[no-any-return,no-untyped-call]
