"""The hard negatives of a step: which are drawn, and in which language each is read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_sweep.batching.schedule import Batch
from hybrid_sweep.data.pairs import Pairs


@dataclass(frozen=True)
class NegativeDraw:
    """How the negatives of a training are drawn.

    count: k, of each pair. language: passage, query or mixed, as batch.negatives_language.
    languages: those of the plan that answer, of which `mixed` draws.
    """

    count: int
    language: str
    languages: Sequence[str]


def drawn_negatives(
    pairs: Pairs, batch: Batch, code: np.ndarray, draw: NegativeDraw, key: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows in the passage table and the answer numbers of the negatives of a step,
    (B, k) int64 each, -1 = none.

    Which passages are drawn does not depend on the ratio. Read in the language of the passage, or
    of the query; mixed, each in a language drawn evenly among those that answer and that it has,
    but in the language of both where a pair is not cross-lingual.

    Args:
        pairs: of the step's source, with its negatives.
        batch: the step, of all processes or of one.
        code: (languages of the plan,) the place of each among those of the pairs.
        draw: how many, and in which language.
        key: the words of a SeedSequence.
    """
    assert pairs.negatives is not None
    asked, answered = code[batch.query_language], code[batch.passage_language]
    home, partner, asking = code[batch.home], code[batch.partner], code[batch.asking]
    needed = list(pairs.negatives_in(batch.groups, home, partner, answered))
    read = answered[:, None]
    if draw.language == "query":
        needed.append(asking)
        read = asked[:, None]
    members = pairs.negatives.chosen(batch.groups, needed, draw.count, key)
    if draw.language == "mixed":
        allowed = np.flatnonzero(np.isin(pairs.languages, list(draw.languages)))
        mixed = pairs.negatives.mixed(batch.groups, members, allowed, key)
        read = np.where((asked == answered)[:, None], read, mixed)
    return pairs.negatives.read(members, read)
