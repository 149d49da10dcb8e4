"""Batches in which each question stands with the passages of several languages: translate-train.

The m passage languages that go with a question's language each give one pair of the same question,
so that a batch of B pairs has B / m questions. The passages of a question in other languages answer
it too, and so are no negatives of it: the judgements mask them. A pair that is not cross-lingual is
in the language of its passage where that may ask: then a higher ratio changes the questions, and
the passages of a batch are the same at every ratio.
"""

from dataclasses import dataclass

import numpy as np

from hybrid_sweep.batching.ordered_pairs import OrderedPairs
from hybrid_sweep.batching.sampling import EvenOwners, apportioned, ordinals
from hybrid_sweep.batching.streams import LANGUAGES, WALK, BatchDesign, Drawn, Walk
from hybrid_sweep.utils.errors import UserError


@dataclass(frozen=True)
class QuestionPairs:
    """The pairs of a source by the language of the question.

    pairs: (A, m) numbers of the pairs of each of the A query languages, one for each of its m
    passage languages. weight: (A,) of a query language, positive.
    """

    pairs: np.ndarray
    weight: np.ndarray

    @property
    def languages(self) -> int:
        """Return m, in how many languages each question has a passage."""
        return int(self.pairs.shape[1])


@dataclass(frozen=True)
class QuestionBatches:
    """A stream of steps in which a question fills m places in a row, one for each of its pairs.

    versions, walks, dealt: of each source its pairs by query language, the walk over the groups
    that have the texts of every pair, and the query language of each of the questions of a period
    of its steps.
    """

    batch_size: int
    source: np.ndarray
    choices: list[OrderedPairs]
    versions: list[QuestionPairs]
    walks: list[Walk]
    ordinal: np.ndarray
    dealt: list[EvenOwners]

    def drawn(self, place: int) -> Drawn:
        source = int(self.source[place])
        ordinal = int(self.ordinal[place])
        mine, versions = self.choices[source], self.versions[source]
        questions = self.batch_size // versions.languages
        numbers = ordinal * questions + np.arange(questions)
        pair = versions.pairs[self.dealt[source].owner(numbers)].ravel()
        groups = np.repeat(self.walks[source].batch(ordinal), versions.languages)
        return Drawn(source, groups, mine.first[pair], mine.second[pair], mine.home[pair])

    def count(self, source: int) -> np.ndarray:
        """Return (P,) in how many examples of a source each of its pairs stands."""
        versions = self.versions[source]
        steps = int((self.source == source).sum())
        asked = self.dealt[source].count(steps * (self.batch_size // versions.languages))
        counts = np.zeros(len(self.choices[source].first), np.int64)
        counts[versions.pairs] = asked[:, None]
        return counts


def question_batches(
    choices: list[OrderedPairs], period: np.ndarray, design: BatchDesign, stream: int, steps: int
) -> QuestionBatches:
    """Return batches of B / m questions with m pairs each; each query language has its exact share
    of a source's questions.

    period: (N,) source of each of design.steps steps, which is repeated. steps: J, of the stream.

    Raises:
        UserError: where the pairs do not give every question equally many passage languages, or the
            batch is no multiple of them.
    """
    key = np.random.SeedSequence([design.seed, stream + LANGUAGES])
    start = int(key.generate_state(1, np.uint64)[0])
    versions, walks, dealt = [], [], []
    for index, mine in enumerate(choices):
        made = question_pairs(mine)
        questions = _questions(mine, made.languages, design.batch_size)
        of_period = int((period == index).sum()) * questions
        versions.append(made)
        walks.append(mine.walk_of_all((design.seed, stream + WALK), questions))
        dealt.append(EvenOwners.of(start, apportioned(made.weight.tolist(), of_period)))
    source = np.resize(period, steps)
    size = design.batch_size
    return QuestionBatches(size, source, choices, versions, walks, ordinals(source), dealt)


def question_pairs(mine: OrderedPairs) -> QuestionPairs:
    """Return the pairs of a source by query language.

    Raises:
        UserError: where query languages have different numbers of passage languages, or the pairs
            of one have different weights: each question has each of its pairs once.
    """
    asking = np.unique(mine.first)
    pairs = [np.flatnonzero(mine.first == language) for language in asking.tolist()]
    for numbers in pairs:
        if len(numbers) != len(pairs[0]):
            most, few = _named(mine, pairs[0]), _named(mine, numbers)
            raise UserError(
                f"batch.composition=per_language: {most} in {mine.source.name}, but {few}; each"
                " question needs equally many: state batch.pairs, or other languages",
                key="batch.languages_of_question",
            )
        if np.unique(mine.weight[numbers]).size > 1:
            raise UserError(
                f"batch.composition=per_language: {_named(mine, numbers)}, each once for each"
                " question, so that the weights of these pairs in batch.pairs must be equal",
                key="config.batch.pairs",
            )
    weight = np.array([mine.weight[numbers].sum() for numbers in pairs])
    return QuestionPairs(np.stack(pairs), weight)


def _named(mine: OrderedPairs, numbers: np.ndarray) -> str:
    """Return the passage languages of a query language, in words."""
    answering = ", ".join(mine.languages[language] for language in mine.second[numbers].tolist())
    asking = mine.languages[int(mine.first[numbers[0]])]
    return f"questions in {asking} have passages in {answering}"


def _questions(mine: OrderedPairs, languages: int, batch_size: int) -> int:
    """Return how many questions a batch has."""
    questions, rest = divmod(batch_size, languages)
    if rest or questions < 2:
        sizes = [size for size in (questions, questions + 1) if size > 1] or [2]
        way = " or ".join(str(size * languages) for size in sizes)
        raise UserError(
            f"batch.size={batch_size}: with batch.composition=per_language each question of"
            f" {mine.source.name} stands in {languages} pairs, one for each passage language;"
            f" take batch.size={way}",
            key="config.batch.size",
        )
    return questions
