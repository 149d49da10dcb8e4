"""The bi-encoder: one Hugging Face encoder for queries and passages, pooled to unit vectors."""

import copy
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hybrid_sweep.models.tokens import Tokens


class Encoder(nn.Module):
    """Token ids and mask (B, T) to unit vectors (B, D): an encoder's last hidden states, pooled and
    L2-normalised.
    """

    transformer: Any  # a Hugging Face encoder; nn.Module types its parts as tensors too
    # the type of matrix products when texts are encoded; None = that of the weights
    reduced: torch.dtype | None = None
    # whether the transformer's weights are of half precision; what follows it is in float32
    pools_in_float32 = False

    def __init__(
        self,
        transformer: nn.Module,
        pooling: str,
        head: nn.Module | None = None,
        kept: int | None = None,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.pooling = pooling
        # what a sentence-transformers folder puts between pooling and normalisation
        self.head = head
        self.kept = kept  # of the first numbers of a vector, None for all

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, embedded: Tensor | None = None
    ) -> Tensor:
        """Return unit vectors (B, D); padding stands on the right.

        embedded: (B, T, D) the embeddings of input_ids, where they have been looked up already.
        """
        if embedded is None:
            given = {"input_ids": input_ids}
        else:
            given = {"inputs_embeds": embedded}
        hidden = self.transformer(**given, attention_mask=attention_mask).last_hidden_state
        if self.pools_in_float32:
            hidden = hidden.float()
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
        if self.head is not None:
            pooled = self.head(pooled)
        # Before the length is made one, or after: of a part of a vector that gives the same.
        return nn.functional.normalize(pooled[:, : self.kept], dim=-1)


def in_precision(encoder: Encoder, precision: str) -> Encoder:
    """Return an encoder, to encode with the matrix products that Lightning's word for a precision
    has in training: the encoder itself, or for bf16-true a copy whose transformer has weights of
    bfloat16.

    A GPU encodes many times faster so; a model that is trained in half precision is used in it as
    well. Pooling, head and length are in float32, and so are the vectors.
    """
    if precision == "bf16-true":
        encoder = copy.deepcopy(encoder)
        encoder.transformer.to(torch.bfloat16)
        encoder.pools_in_float32 = True
    encoder.reduced = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    return encoder


def stream_seed(*words: int) -> int:
    """Return a 63-bit torch seed of an independent stream, from SeedSequence(words)."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def batches(lengths: np.ndarray, batch_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) the order in which texts go in, by length, and (b + 1,) the places in it where
    batches begin and end.

    lengths: (n,) tokens of each text. A batch is as many texts as `batch_tokens` padded tokens
    hold, at least one: cut by the texts alone, so the same on any number of processes.
    """
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    bounds = [0]
    while (start := bounds[-1]) < len(order):
        # Lengths rise, so the last text of a batch is its longest: take as many as the budget holds
        # at that length.
        window = ordered[start : start + max(1, batch_tokens // max(1, int(ordered[start])))]
        fits = np.arange(1, len(window) + 1) * window <= batch_tokens
        bounds.append(start + max(1, int(fits.sum())))
    return order, np.array(bounds)


@torch.inference_mode()
def encode_batch(encoder: Encoder, tokens: Tokens, rows: np.ndarray, pad: int) -> np.ndarray:
    """Return (len(rows), D) float32 unit vectors of texts that go in together; the encoder is in
    evaluation mode.
    """
    device = next(encoder.parameters()).device
    ids, mask = (torch.from_numpy(array).to(device) for array in tokens.padded(rows, pad))
    with torch.autocast(device.type, dtype=encoder.reduced, enabled=encoder.reduced is not None):
        vectors: np.ndarray = encoder(ids, mask).float().cpu().numpy()
    return vectors


def encode(
    encoder: Encoder, tokens: Tokens, rows: np.ndarray, *, pad: int, batch_tokens: int
) -> np.ndarray:
    """Return (len(rows), D) float32 unit vectors of some texts, in the order of `rows`, held in
    memory (see `encoding`).
    """
    encoder.eval()
    order, bounds = batches(tokens.lengths[rows], batch_tokens)
    vectors: np.ndarray | None = None
    for start, stop in pairwise(bounds.tolist()):
        part = encode_batch(encoder, tokens, rows[order[start:stop]], pad)
        if vectors is None:
            vectors = np.empty((len(rows), part.shape[1]), np.float32)
        vectors[order[start:stop]] = part
    if vectors is not None:
        return vectors
    return np.empty((0, 0), np.float32)
