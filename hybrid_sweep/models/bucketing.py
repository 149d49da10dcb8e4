"""Sub-batches of similar token length: the same texts, the same vectors, less padding to
compute.
"""

from collections.abc import Sequence

import numpy as np

from hybrid_sweep.models.tokens import Tokens

# What a forward and backward pass costs beside its tokens, in tokens of the same model: cuts at 50
# to 200 take the same time within the noise, on 2 layers of 128 and on 12 of 384
# (benchmarks/train.py). A constant, never measured in a run: where the cuts lie decides the last
# digits, and a run must be the same on every machine.
OVERHEAD = 100


def cuts(
    lengths: np.ndarray,
    largest: int | None = None,
    overhead: float = OVERHEAD,
    tokens: int | None = None,
) -> list[np.ndarray]:
    """Return the places of the texts of each sub-batch, cut where all of them together cost least.

    lengths: (n,) tokens of each text. A sub-batch of m texts, the longest of T tokens, costs
    overhead + m T; with texts in the order of their length the least sum is found exactly, by
    dynamic programming. largest: texts of a sub-batch at most. tokens: padded ones of a
    sub-batch at most, but for a single longer text. A pure function of the lengths.
    """
    order = np.argsort(lengths, kind="stable")
    ordered = np.asarray(lengths, np.float64)[order]
    best = np.zeros(len(order) + 1)
    begin = np.zeros(len(order) + 1, np.int64)
    for stop in range(1, len(order) + 1):
        first = 0
        if largest:
            first = max(0, stop - largest)
        if tokens:
            first = max(first, stop - max(1, int(tokens // ordered[stop - 1])))
        costs = best[first:stop] + overhead + (stop - np.arange(first, stop)) * ordered[stop - 1]
        begin[stop] = first + costs.argmin()
        best[stop] = costs.min()
    batches = []
    stop = len(order)
    while stop:
        batches.append(order[begin[stop] : stop])
        stop = int(begin[stop])
    return batches[::-1]


def joined(parts: Sequence[tuple[Tokens, np.ndarray]]) -> Tokens:
    """Return the chosen rows of several token stores as one store in memory, in their order; a row
    of -1 is an empty text.
    """
    ids, lengths = [], []
    for tokens, rows in parts:
        starts = tokens.starts[rows]
        sizes = np.where(rows < 0, 0, tokens.starts[rows + 1] - starts)
        where = np.repeat(starts - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes) + np.arange(
            sizes.sum()
        )
        ids.append(np.asarray(tokens.ids[where], np.int64))
        lengths.append(sizes)
    return Tokens(np.concatenate(ids), np.concatenate([[0], np.cumsum(np.concatenate(lengths))]))
