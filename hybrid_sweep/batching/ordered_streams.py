"""The batches of stated pairs of languages: each pair has its exact share of a source's steps, or,
composed per example, of its examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_sweep.batching.ordered_pairs import OrderedPairs, names
from hybrid_sweep.batching.sampling import (
    ROOT_3,
    EvenOwners,
    apportioned,
    ordinals,
    owners,
)
from hybrid_sweep.batching.streams import (
    LANGUAGES,
    WALK,
    BatchDesign,
    Drawn,
    PerBatch,
    Walk,
    both_ways,
    walked,
)
from hybrid_sweep.batching.translate_train import QuestionBatches


@dataclass(frozen=True)
class OrderedExamples:
    """A stated pair for each example; one walk for each source, over the groups that have the texts
    of every pair.

    dealt: of each source, the owner of each of the examples of a period of its steps.
    """

    batch_size: int
    source: np.ndarray
    choices: list[OrderedPairs]
    walks: list[Walk]
    ordinal: np.ndarray
    dealt: list[EvenOwners]

    def drawn(self, place: int) -> Drawn:
        source = int(self.source[place])
        ordinal = int(self.ordinal[place])
        slots = ordinal * self.batch_size + np.arange(self.batch_size)
        pair = self.dealt[source].owner(slots)
        mine = self.choices[source]
        groups = self.walks[source].batch(ordinal)
        return Drawn(source, groups, mine.first[pair], mine.second[pair], mine.home[pair])

    def count(self, source: int) -> np.ndarray:
        """Return (P,) how many examples of a source each of its pairs has."""
        return self.dealt[source].count(int((self.source == source).sum()) * self.batch_size)


PairStream = PerBatch | OrderedExamples | QuestionBatches


def ordered_batches(
    choices: Sequence[OrderedPairs],
    period: np.ndarray,
    design: BatchDesign,
    stream: int,
    alone: np.ndarray,
) -> PerBatch:
    """Return whole batches, each of one pair.

    period: (N,) source of each of design.steps steps, which is repeated; each pair has its exact
    share of a source's steps in it. alone: (J,) bool, the step walks all groups of its home instead
    of those of its pair.
    """
    start = np.random.default_rng(
        np.random.SeedSequence([design.seed, stream + LANGUAGES])
    ).random()
    languages = np.zeros((3, len(period)), dtype=np.int64)
    for index, mine in enumerate(choices):
        steps = np.flatnonzero(period == index)
        keys = (start + steps * ROOT_3) % 1.0
        pair = owners(keys, apportioned(mine.weight.tolist(), len(steps)))
        languages[:, steps] = np.stack([mine.first, mine.second, mine.home])[:, pair]
    repeated = np.arange(len(alone)) % max(1, len(period))
    key = (design.seed, stream + WALK)
    size = design.batch_size
    languages = languages[:, repeated]
    first, second, home = languages
    both = both_ways(first, second, home, alone)
    return walked(choices, period[repeated], languages, both, key, size)


def ordered_examples(
    choices: list[OrderedPairs], period: np.ndarray, design: BatchDesign, stream: int, steps: int
) -> OrderedExamples:
    """Return batches whose examples have a pair each.

    period: (N,) as of `ordered_batches`; each pair has its exact share of a source's examples in
    it. steps: J, of the stream.
    """
    key = np.random.SeedSequence([design.seed, stream + LANGUAGES])
    start = int(key.generate_state(1, np.uint64)[0])
    size = design.batch_size
    dealt = []
    for index, mine in enumerate(choices):
        examples = int((period == index).sum()) * size
        dealt.append(EvenOwners.of(start, apportioned(mine.weight.tolist(), examples)))
    walks = [choice.walk_of_all((design.seed, stream + WALK), size) for choice in choices]
    source = np.resize(period, steps)
    return OrderedExamples(size, source, choices, walks, ordinals(source), dealt)


def steps_of_pairs(
    choices: Sequence[OrderedPairs], streams: Sequence[PairStream]
) -> dict[tuple[str, str], int]:
    """Return the number of steps of each pair over all sources and streams; where a step has
    several pairs, of examples.
    """
    counts = dict.fromkeys(names(choices), 0)
    for stream in streams:
        for index, mine in enumerate(choices):
            for pair, count in enumerate(_counted(stream, index, mine).tolist()):
                counts[mine.name(pair)] += count
    return counts


def _counted(stream: PairStream, index: int, mine: OrderedPairs) -> np.ndarray:
    """Return (P,) steps, or examples, of each pair of one source in a stream."""
    if not isinstance(stream, PerBatch):
        return stream.count(index)
    steps = np.flatnonzero(stream.source == index)
    first, second = stream.first[steps], stream.second[steps]
    same = (first[:, None] == mine.first) & (second[:, None] == mine.second)
    return np.asarray(same.sum(axis=0))
