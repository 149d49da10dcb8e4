"""InfoNCE over in-batch passages, with known relevant ones masked and passages gathered from all
processes.
"""

from typing import Any, Protocol, TypedDict

import torch
import torch.distributed as dist
from torch import Tensor

from hybrid_sweep.utils.errors import UserError


class LossInput(TypedDict):
    """What a loss is called with, by these names; see `Loss`."""

    queries: Tensor
    passages: Tensor
    positive: Tensor
    masked: Tensor
    temperature: float


class Loss(Protocol):
    """A function that compares the queries of a process with all passages of the global batch.

    `info_nce` is one, and so is what trainer.loss names. Gradients of its result must reach queries
    and passages; with batch.micro_batch they go on through the gradient cache.
    """

    def __call__(
        self,
        *,
        queries: Tensor,
        passages: Tensor,
        positive: Tensor,
        masked: Tensor,
        temperature: float,
    ) -> Tensor:
        """Return the (b,) loss of each query, or their mean as a scalar.

        Args:
            queries: (b, D) unit vectors, float32, of the queries of this process.
            passages: (B, D) unit vectors, float32, the candidates: the passages of all processes,
                with their hard negatives.
            positive: (b,) int64 index of each query's own passage among the candidates.
            masked: (b, B) bool, candidates that are no negatives of a query: further passages that
                answer it, and rows of zeros where a hard negative is absent. False at its own.
            temperature: model.temperature.
        """
        ...


def info_nce(
    queries: Tensor, passages: Tensor, positive: Tensor, masked: Tensor, temperature: float
) -> Tensor:
    """Return (b,) loss of each query: minus the log of its own passage's share among the
    candidates that are not masked; see `Loss`.

    The InfoNCE of van den Oord et al. (2018).
    """
    scores = (queries / temperature) @ passages.T
    # In place: of a batch of thousands, the scores are what takes the memory.
    return torch.nn.functional.cross_entropy(
        scores.masked_fill_(masked, float("-inf")), positive, reduction="none"
    )


def checked(losses: Tensor, queries: int, name: str | None) -> Tensor:
    """Return the losses as a row of numbers.

    Args:
        losses: what a loss returned.
        queries: how many it was given.
        name: of the loss, as in trainer.loss.

    Raises:
        UserError: where that is neither (b,) nor a scalar, or has no gradient.
    """
    if not isinstance(losses, Tensor) or losses.shape not in ((queries,), ()):
        if isinstance(losses, Tensor):
            given = tuple(losses.shape)
        else:
            given = type(losses).__name__
        raise UserError(
            f"trainer.loss={name}: it returned {given}, and must return the loss of each of the"
            f" {queries} queries, ({queries},), or their mean, a scalar",
            key="config.trainer.loss",
        )
    if not losses.requires_grad:
        raise UserError(
            f"trainer.loss={name}: what it returned has no gradient, so that nothing would be"
            " trained",
            key="config.trainer.loss",
        )
    return losses.reshape(-1)


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
