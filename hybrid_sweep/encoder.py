"""The bi-encoder: one Hugging Face encoder for queries and passages, pooled to unit vectors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hybrid_sweep.tokens import Tokens


class Encoder(nn.Module):
    """Token ids and mask (B, T) to unit vectors (B, D): an encoder's last hidden states, pooled and L2-normalised."""

    transformer: Any  # a Hugging Face encoder; nn.Module types its parts as tensors too

    def __init__(self, transformer: nn.Module, pooling: str, head: nn.Module | None = None) -> None:
        super().__init__()
        self.transformer = transformer
        self.pooling = pooling
        self.head = head  # what a sentence-transformers folder puts between pooling and normalisation

    def forward(self, input_ids: Tensor, attention_mask: Tensor, embedded: Tensor | None = None) -> Tensor:
        """embedded: (B, T, D) the embeddings of input_ids, where they have been looked up already; padding on the right."""
        given = {"input_ids": input_ids} if embedded is None else {"inputs_embeds": embedded}
        hidden = self.transformer(**given, attention_mask=attention_mask).last_hidden_state
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
        pooled = pooled if self.head is None else self.head(pooled)
        return nn.functional.normalize(pooled, dim=-1)


def stream_seed(*words: int) -> int:
    """A 63-bit torch seed of an independent stream, from SeedSequence(words)."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


@torch.inference_mode()
def encode(encoder: Encoder, tokens: Tokens, rows: np.ndarray, *, pad: int, batch_tokens: int) -> np.ndarray:
    """(len(rows), D) float32 unit vectors of some texts, in the order of `rows`.

    Texts go in by length, in batches of at most `batch_tokens` padded tokens, cut by the texts alone: the same batches
    on any number of processes.
    """
    encoder.eval()
    device = next(encoder.parameters()).device
    lengths = tokens.lengths[rows]
    order = np.argsort(lengths, kind="stable")
    vectors: np.ndarray | None = None
    start = 0
    while start < len(order):
        # Lengths rise, so the last text of a batch is its longest: take as many as the budget holds at that length.
        counts = np.arange(1, len(order) - start + 1)
        fits = counts * lengths[order[start:]] <= batch_tokens
        stop = start + max(1, int(fits.argmin()) if not fits.all() else len(fits))
        batch = order[start:stop]
        ids, mask = (torch.from_numpy(array).to(device) for array in tokens.padded(rows[batch], pad))
        found = encoder(ids, mask).float().cpu().numpy()
        if vectors is None:
            vectors = np.empty((len(rows), found.shape[1]), np.float32)
        vectors[batch] = found
        start = stop
    return vectors if vectors is not None else np.empty((0, 0), np.float32)
