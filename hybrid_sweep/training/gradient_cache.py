"""Gradient caching: a batch of any size in the memory of one of its parts (Gao et al., 2021, arXiv
2101.06983).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class _Cached(torch.autograd.Function):
    """The parts' vectors without their graphs; the gradient computes one part after the other
    again.

    The parameters are inputs, so that whoever listens for their gradients (data-parallel training)
    hears of each once.
    """

    @staticmethod
    def forward(
        ctx: Any, parts: Sequence[Callable[[], Tensor]], device: str, *parameters: Tensor
    ) -> Tensor:
        ctx.parts, ctx.device, ctx.parameters = parts, device, parameters
        ctx.autocast = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        vectors = [part() for part in parts]
        ctx.sizes = [len(vector) for vector in vectors]
        return torch.cat(vectors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        totals: list[Tensor | None] = [None] * len(ctx.parameters)
        enabled, dtype = ctx.autocast
        for part, wanted in zip(ctx.parts, torch.split(gradient, ctx.sizes), strict=True):
            with torch.enable_grad(), torch.autocast(ctx.device, dtype=dtype, enabled=enabled):
                vectors = part()
            gradients = torch.autograd.grad(vectors, ctx.parameters, wanted, allow_unused=True)
            totals = [
                more if total is None else total if more is None else total.add_(more)
                for total, more in zip(totals, gradients, strict=True)
            ]
        return None, None, *totals


def cached(parts: Sequence[Callable[[], Tensor]], module: nn.Module, device: str) -> Tensor:
    """Return the rows of all parts, one after the other, with gradients for the parameters of
    `module`.

    parts: each gives (m, D), and the same again when it is called again (its dropout seeded). Only
    one part's graph is in memory at a time; each part is computed twice.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    vectors: Tensor = _Cached.apply(parts, device, *parameters)  # type: ignore[no-untyped-call]
    return vectors
