"""InfoNCE of a batch of thousands, with the scores of a block of its queries in memory at a time.

B queries and B passages have B x B scores: of 16 thousand a gigabyte, and a loss makes several such
tables. Here a block of them is made, and made again for the gradient.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Blocks:
    """How scores are made, a block of queries at a time.

    size: queries of a block. masked_of: gives the (m, B) candidates that are no negatives of a
    slice of m queries, as `masked` of `loss.Loss`. temperature: what scores are divided by.
    """

    size: int
    masked_of: Callable[[slice], Tensor]
    temperature: float

    def parts(self, queries: int) -> Iterator[slice]:
        """Yield the slices of so many queries."""
        for start in range(0, queries, self.size):
            yield slice(start, min(start + self.size, queries))

    def scores(self, queries: Tensor, passages: Tensor, part: slice, table: Tensor) -> Tensor:
        """Return the (m, B) scores of a slice of the queries, in the first rows of `table`."""
        own = queries[part] / self.temperature
        scores = torch.mm(own, passages.T, out=table[: len(own)])
        return scores.masked_fill_(self.masked_of(part), float("-inf"))


class _InfoNce(torch.autograd.Function):
    """The losses of all queries, and their gradient from the same scores made again."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, passages: Tensor, positive: Tensor, blocks: Blocks
    ) -> Tensor:
        ctx.save_for_backward(queries, passages, positive)
        ctx.blocks = blocks
        table = _table(queries, passages, blocks)
        losses = queries.new_empty(len(queries))
        for part in blocks.parts(len(queries)):
            scores = blocks.scores(queries, passages, part, table)
            losses[part] = torch.nn.functional.cross_entropy(
                scores, positive[part], reduction="none"
            )
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Return the gradients: of a query's loss by its score with candidate j, p_j - 1 where j is
        its own passage, else p_j, with p the softmax of its scores.
        """
        queries, passages, positive = ctx.saved_tensors
        blocks = ctx.blocks
        table = _table(queries, passages, blocks)
        shares = torch.empty_like(table)
        of_queries = torch.empty_like(queries)
        of_passages = torch.zeros_like(passages)
        for part in blocks.parts(len(queries)):
            scores = blocks.scores(queries, passages, part, table)
            change = torch.softmax(scores, dim=1, out=shares[: len(scores)])
            rows = torch.arange(len(scores), device=scores.device)
            change[rows, positive[part]] -= 1
            change *= gradient[part, None] / blocks.temperature
            torch.mm(change, passages, out=of_queries[part])
            of_passages.addmm_(change.T, queries[part])
        return of_queries, of_passages, None, None


def _table(queries: Tensor, passages: Tensor, blocks: Blocks) -> Tensor:
    """Return memory for the scores of a block."""
    return queries.new_empty(min(blocks.size, len(queries)), len(passages))


def info_nce_in_blocks(
    queries: Tensor, passages: Tensor, positive: Tensor, blocks: Blocks
) -> Tensor:
    """Return (b,) the losses of `loss.info_nce`, with gradients, without a table of all scores.

    Args:
        queries: (b, D) unit vectors, float32, of the queries of this process.
        passages: (B, D) unit vectors, float32, the candidates.
        positive: (b,) int64 index of each query's own passage among the candidates.
        blocks: how the scores are made.
    """
    losses: Tensor = _InfoNce.apply(queries, passages, positive, blocks)  # type: ignore[no-untyped-call]
    return losses
