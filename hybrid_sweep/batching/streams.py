"""Sampling streams: the source, languages and groups of each step, independent of which steps are
cross-lingual. A run with added steps has two.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hybrid_sweep.batching.sampling import Members, ordinals, permute, weighted, word
from hybrid_sweep.utils.errors import UserError

# Independent random streams of a seed: SeedSequence([seed, stream, ...]) never collides for
# neighbouring seeds.
LANGUAGES, KEYS, WALK, WEIGHTS, DROPOUT, SOURCES, EXAMPLES, NEGATIVES = range(8)
ADDED = 8  # plus a stream: the same draws of the steps that batch.budget=fixed_monolingual adds


@dataclass(frozen=True)
class Source:
    """A collection to train on.

    present: (L, G) bool over the plan's languages, the group has a query and a passage in the
    language. share: of the steps, relative to the others' shares; None = by the number of groups
    that any of its allowed pairs holds. sides: (L, G) bool twice, the group has a query, and a
    passage, in the language: where pairs are stated, or drawn in one order (`one_sided`); None
    where they are drawn either way round.
    """

    name: str
    present: np.ndarray
    share: float | None = None
    sides: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class StatedPairs:
    """The ordered pairs of languages, query and passage, that a run is told to train on.

    query_languages, passage_languages: codes of those that may ask, and that may answer; empty =
    all. weights: of each pair of codes, positive; empty = all pairs of different languages, with
    the weights that follow from `language_exponent` and `partner`.
    """

    query_languages: tuple[str, ...] = ()
    passage_languages: tuple[str, ...] = ()
    weights: Mapping[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchDesign:
    """What the config asks of the batches of a run: `batch`, the seed and the number of steps.

    ratio: r; exactly round(r N) of the N = `steps` steps are cross-lingual, or with a composition
    other than per_batch exactly round(r N B) of the N B examples, B = batch_size. added: c, if not
    None; `ratio` is then ignored and the plan has N = M + round(c M) steps, M = `steps`, each with
    examples of one kind only. pairs: None = pairs are drawn at random, unless they are composed per
    language; else each has its exact share of the steps. ratio_schedule: where in training the
    cross-lingual steps are, see `kinds.conversions`.
    """

    seed: int
    steps: int
    batch_size: int
    ratio: float
    language_exponent: float = 0.0
    partner: str = "uniform"
    pivot: str | None = None
    groups: str = "shared"
    composition: str = "per_batch"
    added: float | None = None
    pairs: StatedPairs | None = None
    ratio_schedule: str = "constant"


@dataclass(frozen=True)
class Drawn:
    """What a step has at every ratio.

    source: index. groups: (B,). first, second: (B,) languages of the query and the passage of each
    example where it is cross-lingual. home: (B,) language of both where it is not.
    """

    source: int
    groups: np.ndarray
    first: np.ndarray
    second: np.ndarray
    home: np.ndarray


class Stream(Protocol):
    """A sequence of steps with draws and walks of its own."""

    @property
    def source(self) -> np.ndarray: ...  # (J,) of each of its steps
    def drawn(self, place: int) -> Drawn: ...


@dataclass(frozen=True)
class Choices:
    """What may be drawn of a source: unordered pairs of languages (allowed: (L, L) bool, symmetric)
    and their weights.

    prefix: of the names of its walks, so that no two sources walk alike; empty where there is one
    source. batch_size: the groups that a pair needs.
    """

    source: Source
    languages: list[str]
    allowed: np.ndarray
    shared: np.ndarray  # (L, L) groups that both languages have
    weight: np.ndarray  # (L,) of a query language
    partners: np.ndarray  # (L, L) of a partner, given the query language
    prefix: str
    batch_size: int

    def draws(
        self, uniform: np.ndarray, cross: np.ndarray, *, all_groups: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (n,) query languages, (n,) partners, and (2, n) the languages whose groups are
        walked, of n steps.

        uniform: (n, 3) in [0, 1). cross: (n,) bool, the step is cross-lingual. all_groups: whether
        a monolingual step walks all groups of its language.
        """
        first = weighted(uniform[:, 0], self.weight[None, :])
        second = weighted(uniform[:, 1], self.partners[first])
        return first, second, both_ways(first, second, first, ~cross & all_groups)

    def example_languages(
        self, uniform: np.ndarray, groups: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (B,) query languages and (B,) partners, each among those that the group has.

        uniform: (2, B) in [0, 1). groups: (B,).
        """
        has = self.source.present[:, groups].T
        # (B, L): the group has a partner to go with the language
        usable = has & (has @ self.allowed)
        query = weighted(uniform[0], self.weight * usable)
        return query, weighted(uniform[1], self.partners[query] * has)

    def left_out(self, *, several: bool) -> dict[tuple[str, ...], int]:
        """Return pairs that share fewer groups than a batch; several: whether there are other
        sources, so that only languages which this one has count.
        """
        pairs: dict[tuple[str, ...], int] = {}
        name = (self.source.name,) if several else ()
        for a, b in itertools.combinations(range(len(self.languages)), 2):
            absent = several and not (self.shared[a, a] and self.shared[b, b])
            if self.shared[a, b] < self.batch_size and not absent:
                pairs[*name, self.languages[a], self.languages[b]] = int(self.shared[a, b])
        return pairs

    def walk(self, a: int, b: int, key: tuple[int, int], batch_size: int) -> "Walk":
        """Return the walk over the groups that both languages have; a = b: that the one has."""
        pair = np.zeros_like(self.allowed)
        pair[a, b] = pair[b, a] = True
        members = Members.of(self.source.present, pair)
        name = walk_name(self.languages, a, b)
        return Walk(members, (*key, word(self.prefix + name)), batch_size)

    def walk_of_all(self, key: tuple[int, int], batch_size: int) -> "Walk":
        """Return the walk over the groups that stand in any of the pairs."""
        members = Members.of(self.source.present, self.allowed)
        return Walk(members, (*key, word(self.prefix + "*")), batch_size)

    def groups(self) -> int:
        """Return how many groups stand in any of the pairs."""
        return len(Members.of(self.source.present, self.allowed))


class HasWalks(Protocol):
    """What may be drawn of a source."""

    @property
    def source(self) -> Source: ...
    def walk(self, a: int, b: int, key: tuple[int, int], batch_size: int) -> "Walk": ...
    def groups(self) -> int: ...


def both_ways(
    first: np.ndarray, second: np.ndarray, home: np.ndarray, alone: np.ndarray
) -> np.ndarray:
    """Return (2, n) the languages whose groups are walked: the same for both directions of a pair.

    A monolingual step walks the groups of {a, b} too: that is what makes the questions of all
    ratios the same. alone: (n,) bool, it walks all groups of its home instead.
    """
    both = np.sort(np.stack([first, second]), axis=0)
    return np.where(alone, home, both)


def walk_name(languages: Sequence[str], a: int, b: int) -> str:
    """Return the name of the walk that both directions of a pair share."""
    return "|".join(sorted({languages[a], languages[b]}))


@dataclass(frozen=True)
class Walk:
    """Members without replacement, batch after batch, in a fresh keyed permutation for each pass; a
    rest is passed over.
    """

    members: Members
    key: tuple[int, ...]
    batch_size: int

    def batch(self, ordinal: int) -> np.ndarray:
        lap, batch = divmod(ordinal, len(self.members) // self.batch_size)
        places = np.arange(batch * self.batch_size, (batch + 1) * self.batch_size)
        key = np.random.SeedSequence([*self.key, lap])
        return self.members.take(permute(places, len(self.members), key))


@dataclass(frozen=True)
class PerBatch:
    """One ordered pair of languages (first, second: (J,)) for each step, which is in `home` (J,)
    where it is not cross-lingual; step j is batch `ordinal` of its walk.
    """

    batch_size: int
    source: np.ndarray
    first: np.ndarray
    second: np.ndarray
    home: np.ndarray
    walks: list[Walk]
    walk: np.ndarray
    ordinal: np.ndarray

    def drawn(self, place: int) -> Drawn:
        groups = self.walks[self.walk[place]].batch(int(self.ordinal[place]))
        first = np.full(self.batch_size, self.first[place])
        second = np.full(self.batch_size, self.second[place])
        home = np.full(self.batch_size, self.home[place])
        return Drawn(int(self.source[place]), groups, first, second, home)


@dataclass(frozen=True)
class PerExample:
    """A pair of languages for each example, among those that its group has; one walk for each
    source.
    """

    batch_size: int
    source: np.ndarray
    choices: list[Choices]
    walks: list[Walk]
    ordinal: np.ndarray
    key: tuple[int, int]

    def drawn(self, place: int) -> Drawn:
        source = int(self.source[place])
        groups = self.walks[source].batch(int(self.ordinal[place]))
        draw = np.random.default_rng(np.random.SeedSequence([*self.key, place]))
        uniform = draw.random((2, self.batch_size))
        query, partner = self.choices[source].example_languages(uniform, groups)
        return Drawn(source, groups, query, partner, query)


def per_batch(
    choices: list[Choices], source: np.ndarray, design: BatchDesign, stream: int, cross: np.ndarray
) -> PerBatch:
    """Return the draws of whole batches.

    source: (J,) of each step. stream: its number, 0 or ADDED. cross: (J,) bool, the step is
    cross-lingual.
    """
    key = np.random.SeedSequence([design.seed, stream + LANGUAGES])
    draws = np.random.default_rng(key).random((len(source), 2))
    key = np.random.SeedSequence([design.seed, stream + LANGUAGES, 1])
    draws = np.column_stack([draws, np.random.default_rng(key).random(len(source))])
    first, second = np.zeros((2, len(source)), dtype=np.int64)
    both = np.zeros((2, len(source)), dtype=np.int64)
    for index, choice in enumerate(choices):
        mine = source == index
        first[mine], second[mine], both[:, mine] = choice.draws(
            draws[mine], cross[mine], all_groups=design.groups == "all"
        )
    languages = np.stack([first, second, first])
    key_of_walks = (design.seed, stream + WALK)
    return walked(choices, source, languages, both, key_of_walks, design.batch_size)


def walked(
    choices: Sequence[HasWalks],
    source: np.ndarray,
    languages: np.ndarray,
    both: np.ndarray,
    key: tuple[int, int],
    batch_size: int,
) -> PerBatch:
    """Return whole batches with the walks of their pairs.

    source: (J,) of each step. languages: (3, J) first, second and home of each step. both: (2, J)
    the languages whose groups it walks. key: of the walks.
    """
    first, second, home = languages
    pairs, walk = np.unique(np.column_stack([source, *both]), axis=0, return_inverse=True)
    walks = [choices[index].walk(a, b, key, batch_size) for index, a, b in pairs.tolist()]
    walk = walk.ravel()
    return PerBatch(batch_size, source, first, second, home, walks, walk, ordinals(walk))


def per_example(
    choices: list[Choices], source: np.ndarray, design: BatchDesign, stream: int
) -> PerExample:
    """Walk, for each source, the groups that stand in one of its allowed pairs."""
    key = (design.seed, stream + WALK)
    size = design.batch_size
    walks = [choice.walk_of_all(key, size) for choice in choices]
    key = (design.seed, stream + EXAMPLES)
    return PerExample(size, source, choices, walks, ordinals(source), key)


def choices_of(
    source: Source, languages: list[str], design: BatchDesign, *, several: bool
) -> Choices:
    """Return pairs that share a batch, with their weights; raises UserError where there are
    none. several: the run has other sources, too.
    """
    count = len(languages)
    shared = shared_groups(source.present)
    if count > 1:
        pairs = ~np.eye(count, dtype=bool)
    else:
        pairs = np.ones((1, 1), dtype=bool)
    if design.partner == "pivot":
        is_pivot = np.array([language == design.pivot for language in languages])
        pairs &= is_pivot[:, None] | is_pivot[None, :]
    allowed = pairs & (shared >= design.batch_size)
    if not allowed.any():
        most = int(np.where(pairs, shared, 0).max(initial=0))
        if count > 1:
            where = "any two of the languages"
        else:
            where = f"language {languages[0]}"
        if several:
            where += f" of {source.name}"
        way = "take other languages for it"
        if most > 1:
            way = f"take batch.size={most} or less, or other data.languages"
        raise UserError(
            f"batch.size={design.batch_size}: {where} share at most {most} training groups; {way}",
            key="config.batch.size",
        )
    sizes = np.maximum(np.diag(shared), 1).astype(float)
    weight = np.where(allowed.any(axis=1), sizes**design.language_exponent, 0.0)
    partners = allowed * (shared if design.partner == "size" else 1.0)
    prefix = ""
    if several:
        prefix = f"{source.name}:"
    size = design.batch_size
    return Choices(source, languages, allowed, shared, weight, partners, prefix, size)


def shared_groups(present: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """Return (L, L) int64: in how many groups both languages exist.

    present: (L, G) bool. other: the same of the second language; None: as of the first.
    """
    other = present if other is None else other
    total = np.zeros((len(present), len(other)), dtype=np.int64)
    at_once = 2**18  # float32 counts are exact, and small
    for first in range(0, present.shape[1], at_once):
        part = present[:, first : first + at_once].astype(np.float32)
        second = other[:, first : first + at_once].astype(np.float32)
        total += (part @ second.T).astype(np.int64)
    return total


def shares_of(choices: Sequence[HasWalks]) -> list[float]:
    """Return the sources' shares as given, or by their numbers of groups."""
    given = [choice.source.share for choice in choices if choice.source.share is not None]
    if len(given) == len(choices):
        return given
    return [float(choice.groups()) for choice in choices]
