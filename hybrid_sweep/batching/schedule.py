"""The plan of a run's batches: a pure function of (seed, step), nested in the cross-lingual ratio.

Step i has a key, a source, an ordered language pair (a, b) and the groups of a batch, all drawn
from the seed alone. Its queries are in a; its passages are in b if its key is among the round(r N)
smallest of the N steps, else in a. Raising r therefore changes the passage language of the newly
converted steps and nothing else: a sweep over r is a paired experiment. Composed per example or
per language, the same holds of each of the N B examples instead of each step.

Stated pairs (`BatchDesign.pairs`) have exact shares, and may have a language that only asks: see
`ordered_pairs`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from hybrid_sweep.batching.kinds import Kinds, Selection, kinds_of
from hybrid_sweep.batching.one_sided import ordered_choices
from hybrid_sweep.batching.ordered_pairs import ordered_pairs
from hybrid_sweep.batching.ordered_streams import (
    PairStream,
    ordered_batches,
    ordered_examples,
    steps_of_pairs,
)
from hybrid_sweep.batching.sampling import apportioned, dealt, ordinals
from hybrid_sweep.batching.streams import (
    ADDED,
    DROPOUT,
    NEGATIVES,
    SOURCES,
    WEIGHTS,
    BatchDesign,
    Source,
    StatedPairs,
    Stream,
    choices_of,
    per_batch,
    per_example,
    shares_of,
)
from hybrid_sweep.batching.translate_train import QuestionBatches, question_batches

__all__ = [
    "DROPOUT",
    "NEGATIVES",
    "WEIGHTS",
    "Batch",
    "BatchDesign",
    "Plan",
    "Source",
    "StatedPairs",
    "make_plan",
]


@dataclass(frozen=True)
class Batch:
    """The B examples of a step, row-aligned.

    source: index of the step's source. groups: (B,) group indices of that source; distinct, but
    composed per language each m times in a row (`translate_train`). query_language,
    passage_language: (B,) indices into the plan's languages: both `home` where the example is
    monolingual. home: (B,) the language of a monolingual example. asking, partner: (B,) those of
    the query and of the passage of a cross-lingual one. The three are the same at every ratio, as
    are source and groups (unless groups="all"), and query_language where pairs are not stated.
    """

    source: int
    groups: np.ndarray
    query_language: np.ndarray
    passage_language: np.ndarray
    partner: np.ndarray
    home: np.ndarray
    asking: np.ndarray

    def part(self, places: slice) -> "Batch":
        """Return some of the examples, such as those of one process."""
        parts = {
            field.name: getattr(self, field.name)[places]
            for field in fields(self)
            if field.name != "source"
        }
        return replace(self, **parts)


@dataclass(frozen=True)
class Plan:
    """The batches of a run of N steps.

    sources: names. source: (N,) which one each step belongs to. n_cross: (N,) int64 cross-lingual
    examples of each step. stream, place: (N,) which stream each step takes, and which of its steps.
    cross: which of the N B examples are cross-lingual, where steps hold both kinds. left_out: pairs
    of languages that share fewer groups than a batch needs, with their counts; where there are
    several sources, the source's name comes first. pairs: steps of each stated ordered pair, query
    and passage, or examples where they are composed one by one; empty where pairs are drawn. moved:
    those, with the source's name as above, whose home is the passage language. asking, answering:
    codes of the languages that cross-lingual queries, and passages, may be in, sorted.
    """

    seed: int
    batch_size: int
    languages: tuple[str, ...]
    sources: tuple[str, ...]
    source: np.ndarray
    n_cross: np.ndarray
    streams: tuple[Stream, ...]
    stream: np.ndarray
    place: np.ndarray
    cross: Selection | None
    left_out: dict[tuple[str, ...], int]
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)
    moved: tuple[tuple[str, ...], ...] = ()
    asking: tuple[str, ...] = ()
    answering: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.n_cross)

    @property
    def repeats_questions(self) -> bool:
        """Return whether a batch has several pairs of one question."""
        return any(isinstance(stream, QuestionBatches) for stream in self.streams)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step; any order, any process, the same answer."""
        stream = self.streams[self.stream[step]]
        drawn = stream.drawn(int(self.place[step]))
        slots = step * self.batch_size + np.arange(self.batch_size)
        if self.cross is None:
            cross = self.n_cross[step] > 0
        else:
            cross = self.cross.has(slots)
        return Batch(
            source=drawn.source,
            groups=drawn.groups,
            query_language=np.where(cross, drawn.first, drawn.home),
            passage_language=np.where(cross, drawn.second, drawn.home),
            partner=drawn.second,
            home=drawn.home,
            asking=drawn.first,
        )

    def negatives_key(self, step: int) -> tuple[int, int, int]:
        """Return words of a SeedSequence for further draws of a step: like its batch, the same at
        every ratio and every c.
        """
        return self.seed, ADDED * int(self.stream[step]) + NEGATIVES, int(self.place[step])


def make_plan(sources: Sequence[Source], languages: list[str], design: BatchDesign) -> Plan:
    """Return the plan of a run.

    The j-th monolingual step of a plan with added steps is step j of the plan of ratio 0 with M
    steps, and the j-th cross-lingual one is the same at every c. Sources have their exact share of
    the monolingual steps, and of the added ones where c is whole (else to within the unevenness of
    a window). Raises UserError where a source has no pair of languages (or, with one language, no
    language) with batch_size groups.
    """
    kinds = kinds_of(design)
    if design.pairs is None and design.composition != "per_language":
        drawn = _drawn(sources, languages, design, kinds)
    else:
        drawn = _stated(sources, languages, design, kinds)
    source = np.empty(len(kinds.stream), dtype=np.int64)
    for index, stream in enumerate(drawn.streams):
        source[kinds.stream == index] = stream.source
    return Plan(
        seed=design.seed,
        batch_size=design.batch_size,
        languages=tuple(languages),
        sources=tuple(source.name for source in sources),
        source=source,
        n_cross=kinds.n_cross,
        streams=tuple(drawn.streams),
        stream=kinds.stream,
        place=ordinals(kinds.stream),
        cross=kinds.cross,
        left_out=drawn.left_out,
        pairs=drawn.pairs,
        moved=drawn.moved,
        asking=_codes(languages, drawn.allowed),
        answering=_codes(languages, drawn.allowed.T),
    )


def _codes(languages: Sequence[str], rows: np.ndarray) -> tuple[str, ...]:
    """Return the languages whose row holds something."""
    return tuple(languages[place] for place in np.unique(np.nonzero(rows)[0]).tolist())


@dataclass(frozen=True)
class _Streams:
    """The streams of a plan; left_out, pairs, moved: as in `Plan`. allowed: (L, L) bool, a query in
    the first language and a passage in the second may be drawn.
    """

    streams: Sequence[Stream]
    allowed: np.ndarray
    left_out: dict[tuple[str, ...], int]
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)
    moved: tuple[tuple[str, ...], ...] = ()


def _drawn(
    sources: Sequence[Source], languages: list[str], design: BatchDesign, kinds: Kinds
) -> _Streams:
    """Return streams whose pairs are drawn at random."""
    several = len(sources) > 1
    choices = []
    for one in sources:
        make = choices_of if one.sides is None else ordered_choices
        choices.append(make(one, languages, design, several=several))
    shares = shares_of(choices)
    streams: list[Stream] = []
    for number, cross in kinds.streams:
        source = np.resize(_period(shares, design, number), len(cross))
        if design.composition == "per_example":
            streams.append(per_example(choices, source, design, number))
        else:
            streams.append(per_batch(choices, source, design, number, cross))
    left_out: dict[tuple[str, ...], int] = {}
    for choice in choices:
        left_out |= choice.left_out(several=several)
    allowed = np.any([choice.allowed for choice in choices], axis=0)
    return _Streams(streams, allowed, left_out)


def _stated(
    sources: Sequence[Source], languages: list[str], design: BatchDesign, kinds: Kinds
) -> _Streams:
    """Return streams of stated pairs."""
    choices = ordered_pairs(sources, languages, design)
    shares = shares_of(choices)
    streams: list[PairStream] = []
    for number, cross in kinds.streams:
        period = _period(shares, design, number)
        if design.composition == "per_language":
            streams.append(question_batches(choices, period, design, number, len(cross)))
        elif design.composition == "per_example":
            streams.append(ordered_examples(choices, period, design, number, len(cross)))
        else:
            alone = ~cross & (design.groups == "all")
            streams.append(ordered_batches(choices, period, design, number, alone))
    left_out: dict[tuple[str, ...], int] = {}
    moved: list[tuple[str, ...]] = []
    allowed = np.zeros((len(languages), len(languages)), bool)
    for choice in choices:
        allowed[choice.first, choice.second] = True
        name = (choice.source.name,) if len(sources) > 1 else ()
        left_out |= {(*name, *pair): count for pair, count in choice.left_out.items()}
        moved += [(*name, *pair) for pair in choice.moved()]
    pairs = steps_of_pairs(choices, streams)
    return _Streams(streams, allowed, left_out, pairs, tuple(moved))


def _period(shares: Sequence[float], design: BatchDesign, number: int) -> np.ndarray:
    """Return (N,) the source of each of design.steps steps of the stream of this number, which is
    dealt out again after them: more steps never change the source of an earlier one.
    """
    key = np.random.SeedSequence([design.seed, number + SOURCES])
    return dealt(np.random.default_rng(key).random(), apportioned(shares, design.steps))
