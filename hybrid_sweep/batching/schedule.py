"""The plan of a run's batches: a pure function of (seed, step), nested in the cross-lingual ratio.

Step i has a key, a source, an ordered language pair (a, b) and the groups of a batch, all drawn
from the seed alone. Its queries are in a; its passages are in b if its key is among the round(r N)
smallest of the N steps, else in a. Raising r therefore changes the passage language of the newly
converted steps and nothing else: a sweep over r is a paired experiment. Composed per example, the
same holds of each of the N B examples instead of each step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_sweep.batching.sampling import Even, apportioned, chosen, dealt, ordinals
from hybrid_sweep.batching.streams import (
    ADDED,
    DROPOUT,
    KEYS,
    NEGATIVES,
    SOURCES,
    WEIGHTS,
    Choices,
    Lane,
    Source,
    choices_of,
    per_batch,
    per_example,
    shares_of,
)

__all__ = ["DROPOUT", "NEGATIVES", "WEIGHTS", "Batch", "Plan", "Source", "make_plan"]


@dataclass(frozen=True)
class Batch:
    """The B examples of a step, row-aligned.

    source: index of the step's source. groups: (B,) distinct group indices of that source.
    query_language, passage_language: (B,) indices into the plan's languages. partner: (B,) the
    other language of each example's drawn pair, so that passage_language is query_language or
    partner; the same at every ratio, as are source, groups and query_language (unless
    groups="all").
    """

    source: int
    groups: np.ndarray
    query_language: np.ndarray
    passage_language: np.ndarray
    partner: np.ndarray


@dataclass(frozen=True)
class Plan:
    """The batches of a run of N steps.

    sources: names. source: (N,) which one each step belongs to. n_cross: (N,) int64 cross-lingual
    examples of each step. lane, place: (N,) which lane each step takes, and which of its steps.
    cross: which of the N B examples are cross-lingual, where steps hold both kinds. left_out: pairs
    of languages that share fewer groups than a batch needs, with their counts; where there are
    several sources, the source's name comes first.
    """

    seed: int
    batch_size: int
    languages: tuple[str, ...]
    sources: tuple[str, ...]
    source: np.ndarray
    n_cross: np.ndarray
    lanes: tuple[Lane, ...]
    lane: np.ndarray
    place: np.ndarray
    cross: Even | None
    left_out: dict[tuple[str, ...], int]

    def __len__(self) -> int:
        return len(self.n_cross)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step; any order, any process, the same answer."""
        source, groups, query, partner = self.lanes[self.lane[step]].drawn(int(self.place[step]))
        slots = step * self.batch_size + np.arange(self.batch_size)
        cross = self.n_cross[step] > 0 if self.cross is None else self.cross.has(slots)
        return Batch(source, groups, query, np.where(cross, partner, query), partner)

    def negatives_key(self, step: int) -> tuple[int, int, int]:
        """Return words of a SeedSequence for further draws of a step: like its batch, the same at
        every ratio and every c.
        """
        return self.seed, ADDED * int(self.lane[step]) + NEGATIVES, int(self.place[step])


def make_plan(
    sources: Sequence[Source],
    languages: list[str],
    *,
    seed: int,
    steps: int,
    batch_size: int,
    ratio: float,
    language_exponent: float = 0.0,
    partner: str = "uniform",
    pivot: str | None = None,
    groups: str = "shared",
    composition: str = "per_batch",
    added: float | None = None,
) -> Plan:
    """Return the plan of a run.

    ratio: r; exactly round(r N) of the N = `steps` steps are cross-lingual, or with
    composition="per_example" exactly round(r N B) of the N B examples. added: c, if not None;
    `ratio` is then ignored and the plan has N = M + round(c M) steps, M = `steps`. The j-th
    monolingual step is step j of the plan of ratio 0 with M steps, and the j-th cross-lingual one
    is the same at every c. Composed per example, a step still has examples of one kind only.
    Sources have their exact share of the monolingual steps, and of the added ones where c is whole
    (else to within the unevenness of a window). Raises UserError where a source has no pair of
    languages (or, with one language, no language) with batch_size groups.
    """
    choices = [
        choices_of(
            source,
            languages,
            batch_size,
            language_exponent,
            partner,
            pivot,
            several=len(sources) > 1,
        )
        for source in sources
    ]
    counts = apportioned(shares_of(choices), steps)
    start = np.random.default_rng(np.random.SeedSequence([seed, KEYS])).random()

    def lane(stream: int, cross: np.ndarray) -> Lane:
        begin = np.random.default_rng(np.random.SeedSequence([seed, stream + SOURCES])).random()
        # Dealt out for `steps` and then again: more steps never change the source of an earlier
        # one.
        source = np.resize(dealt(begin, counts), len(cross))
        if composition == "per_example":
            return per_example(choices, source, seed, stream, batch_size)
        return per_batch(
            choices, source, seed, stream, batch_size, alone=~cross & (groups == "all")
        )

    even: Even | None = None
    lanes: tuple[Lane, ...]
    if added is not None:
        more = round(added * steps)
        cross = chosen(start, steps + more, more)
        lanes = (lane(0, np.zeros(steps, dtype=bool)), lane(ADDED, np.ones(more, dtype=bool)))
        n_cross, taken = cross * np.int64(batch_size), cross.astype(np.int64)
    elif composition == "per_example":
        first = int(np.random.SeedSequence([seed, KEYS]).generate_state(1, np.uint64)[0])
        even = Even.of(first, steps * batch_size, round(ratio * steps * batch_size))
        n_cross, taken = even.per_step(steps, batch_size), np.zeros(steps, dtype=np.int64)
        lanes = (lane(0, n_cross > 0),)
    else:
        cross = chosen(start, steps, round(ratio * steps))
        lanes = (lane(0, cross),)
        n_cross, taken = cross * np.int64(batch_size), np.zeros(steps, dtype=np.int64)
    place = ordinals(taken)
    owner = np.empty(len(taken), dtype=np.int64)
    for index, each in enumerate(lanes):
        owner[taken == index] = each.source
    return Plan(
        seed,
        batch_size,
        tuple(languages),
        tuple(source.name for source in sources),
        owner,
        n_cross,
        lanes,
        taken,
        place,
        even,
        _left_out(choices, languages, batch_size),
    )


def _left_out(
    choices: Sequence[Choices], languages: list[str], batch_size: int
) -> dict[tuple[str, ...], int]:
    """Return pairs that share fewer groups than a batch; of several sources, only among the
    languages that each one has.
    """
    found: dict[tuple[str, ...], int] = {}
    for each in choices:
        several = len(choices) > 1
        known = [
            index for index in range(len(languages)) if each.shared[index, index] > 0 or not several
        ]
        name = (each.source.name,) if several else ()
        for a, b in (
            (a, b) for a in known for b in known if a < b and each.shared[a, b] < batch_size
        ):
            found[*name, languages[a], languages[b]] = int(each.shared[a, b])
    return found
