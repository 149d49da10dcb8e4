"""Training on the embedding rows that occur: the others get no gradient, so nothing is lost, and a
step is faster.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hybrid_sweep.models.encoder import Encoder
from hybrid_sweep.models.tokens import trained_rows


@dataclass(frozen=True)
class Compact:
    """What a compacted embedding table leaves behind.

    table: (V, D) the weights before training. used: (K,) int64, sorted, the rows that are trained.
    code: (V,) int64, the new number of a used row; -1 for the others, which raise an index error
    where they are looked up.
    """

    table: Tensor
    used: Tensor
    code: np.ndarray


def compact(encoder: Encoder, used: np.ndarray) -> Compact | None:
    """Replace the table of token embeddings by its rows `used`; None, and nothing changed, where
    all rows are used.

    A row that does not occur has no gradient and no moments, and embeddings have no weight decay,
    so that training the used rows alone is the same: bit for bit, since the norm of the gradients
    is summed in float64 (training.clip). used: (n,) int64 ids that occur; the rows of
    tokens.trained_rows are kept.
    """
    embedding: Any = encoder.transformer.get_input_embeddings()
    table = embedding.weight
    pad = embedding.padding_idx
    used = trained_rows(used, pad)
    if len(used) == len(table):
        return None
    rows = torch.from_numpy(np.array(used, np.int64))
    code = np.full(len(table), -1, np.int64)
    code[used] = np.arange(len(used))
    small = nn.Embedding(len(used), table.shape[1], padding_idx=pad)
    small.weight = nn.Parameter(
        table.detach()[rows.to(table.device)].clone(), requires_grad=table.requires_grad
    )
    encoder.transformer.set_input_embeddings(small)
    return Compact(table.detach(), rows, code)


def whole(encoder: Encoder, vocabulary: Compact | None) -> Encoder:
    """Return an encoder with the full table, the trained rows in their places; all other weights
    are those of `encoder`.
    """
    if vocabulary is None:
        return encoder
    small: Any = encoder.transformer.get_input_embeddings()
    weight = small.weight.detach()
    table = vocabulary.table.to(weight.device, weight.dtype).clone()
    table[vocabulary.used.to(weight.device)] = weight
    # The copy shares every weight but the table, so that it costs no memory beside that.
    shared: dict[int, Any] = {id(one): one for one in (*encoder.parameters(), *encoder.buffers())}
    full: Encoder = copy.deepcopy(encoder, shared)
    full.transformer.set_input_embeddings(
        nn.Embedding(len(table), table.shape[1], padding_idx=small.padding_idx, _weight=table)
    )
    return full
