"""Finds near-copies among many short texts: which of them to keep, so that no question has its
answer under two ids.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy import sparse

WINDOW = 4  # words of a shingle
COMMON = 60  # texts: a shingle in more of them is boilerplate and tells nothing
# a text needs that share, and that many, of shingles that are not boilerplate
RARE_SHARE, RARE_COUNT = 0.3, 4
OVERLAP = 0.35  # share of the rare shingles of the shorter text, from which two texts are copies
PER_SOURCE = 3  # groups
BLOCK = 2048  # texts compared with all others at a time; bounds the memory


def duplicates(
    bodies: Sequence[str],
    synopses: Sequence[str],
    sources: Sequence[str],
    per_source: int | None = PER_SOURCE,
) -> list[str | None]:
    """Return, for each text, the rule that drops it, or None; earlier texts have precedence over
    later ones.

    bodies, synopses: prepared for comparison (words parted by single blanks). The rules, in order:
    "boilerplate" (too few shingles of its own), "same synopsis", "source full" (`per_source` kept
    from the same source; None: no bound), "near-copy" (shares OVERLAP of the rare shingles with a
    kept text). Only kept texts count against later ones. Exact: no hashing.
    """
    shingles, counts = rare_shingles(bodies)
    own = np.diff(shingles.indptr)
    boilerplate = (own < RARE_SHARE * counts) | (own < RARE_COUNT)
    copies = _copies(shingles, np.flatnonzero(~boilerplate))
    verdicts: list[str | None] = []
    seen: set[str] = set()
    kept_of: dict[str, int] = defaultdict(int)
    for place, (synopsis, source) in enumerate(zip(synopses, sources, strict=True)):
        if boilerplate[place]:
            verdict: str | None = "boilerplate"
        elif synopsis in seen:
            verdict = "same synopsis"
        elif per_source is not None and kept_of[source] >= per_source:
            verdict = "source full"
        elif any(verdicts[earlier] is None for earlier in copies[place]):
            verdict = "near-copy"
        else:
            verdict = None
            seen.add(synopsis)
            kept_of[source] += 1
        verdicts.append(verdict)
    return verdicts


def rare_shingles(bodies: Sequence[str]) -> tuple[sparse.csr_array, np.ndarray]:
    """Return the (texts, shingles) 0/1 matrix of the word 4-grams in at most COMMON texts; each
    text's count of all of its.

    A text shorter than a 4-gram has one, padded.
    """
    vocabulary: dict[str, int] = {}
    lengths, words = [], []
    for body in bodies:
        tokens = [vocabulary.setdefault(word, len(vocabulary) + 1) for word in body.split()]
        tokens += [0] * (WINDOW - len(tokens))
        words.extend(tokens)
        lengths.append(len(tokens))
    flat = np.array(words, np.int64)
    sizes = np.array(lengths, np.int64)
    text = np.repeat(np.arange(len(sizes)), sizes)
    # A 4-gram is a pair of pairs: numbering the distinct pairs twice keeps every key in 64 bits
    # without hashing.
    grams, width = flat, 1
    while width < WINDOW:
        keys = grams[:-width] * (int(grams.max(initial=0)) + 1) + grams[width:]
        grams = np.unique(keys, return_inverse=True)[1]
        width *= 2
    inside = text[: len(grams)] == text[WINDOW - 1 :]
    kinds = int(grams.max(initial=0)) + 1
    rows, columns = np.divmod(np.unique(text[: len(grams)][inside] * kinds + grams[inside]), kinds)
    counts = np.bincount(rows, minlength=len(sizes))
    rare = np.bincount(columns)[columns] <= COMMON
    columns = np.unique(columns[rare], return_inverse=True)[1]
    matrix = sparse.csr_array(
        # int32: what is counted with them are shingles that two texts share, fewer than words of a
        # text.
        (np.ones(len(columns), np.int32), (rows[rare], columns)),
        shape=(len(sizes), int(columns.max(initial=-1)) + 1),
    )
    return matrix, counts


def _copies(shingles: sparse.csr_array, among: np.ndarray) -> dict[int, list[int]]:
    """Return, for each text, its earlier copies, both from `among` (sorted)."""
    copies: dict[int, list[int]] = defaultdict(list)
    chosen = shingles[among]
    own = np.diff(chosen.indptr)
    transposed = chosen.T.tocsr()
    for start in range(0, len(among), BLOCK):
        shared = (chosen[start : start + BLOCK] @ transposed).tocoo()
        later = shared.coords[0] + start
        earlier = shared.coords[1]
        copy = (earlier < later) & (shared.data >= OVERLAP * np.minimum(own[later], own[earlier]))
        for one, other in zip(
            among[later[copy]].tolist(), among[earlier[copy]].tolist(), strict=True
        ):
            copies[one].append(other)
    return copies
