"""Stated ordered pairs of languages, query and passage: each has its exact share of the steps.

A step of the pair (a, b) that is not cross-lingual is monolingual in its *home*: in a where a may
answer, else in b where b may ask; composed per language, b comes before a. So what raising r
changes in a converted step is the language of one side: of the passages where the home is a, of the
queries where it is b.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_sweep.batching.sampling import (
    STRIDE,
    Members,
    word,
)
from hybrid_sweep.batching.streams import (
    BatchDesign,
    Source,
    StatedPairs,
    Walk,
    walk_name,
)
from hybrid_sweep.utils.errors import UserError

Pair = tuple[int, int]
Rows = frozenset[int]


@dataclass(frozen=True)
class OrderedPairs:
    """The P ordered pairs of languages that a source is trained on.

    texts: (2 L, G) bool, the group has a query (first L rows) or a passage in the language. first,
    second, home: (P,) languages. weight: (P,) positive. needs: by both languages of a pair, in
    either order, the rows of `texts` that a group of the pair must have; both directions have the
    same groups. left_out: pairs with too few groups, with their number. prefix: of the names of its
    walks; empty where there is one source.
    """

    source: Source
    languages: Sequence[str]
    texts: np.ndarray
    first: np.ndarray
    second: np.ndarray
    home: np.ndarray
    weight: np.ndarray
    needs: dict[frozenset[int], Rows]
    left_out: dict[tuple[str, str], int]
    prefix: str

    def walk(self, a: int, b: int, key: tuple[int, int], batch_size: int) -> Walk:
        """Return the walk over the groups of a pair; a = b: over all that are monolingual in it."""
        rows = self.needs.get(frozenset((a, b)), frozenset((a, len(self.languages) + b)))
        name = walk_name(self.languages, a, b)
        members = Members.of_all(self.texts, rows)
        return Walk(members, (*key, word(self.prefix + name)), batch_size)

    def walk_of_all(self, key: tuple[int, int], batch_size: int) -> Walk:
        """Return the walk over the groups that have the texts of every pair."""
        members = Members.of_all(self.texts, frozenset().union(*self.needs.values()))
        if len(members) < batch_size:
            raise UserError(
                f"batch.composition: {len(members)} training groups of {self.source.name} have the"
                f" texts of every pair, fewer than the {batch_size} of a batch; take per_batch, or"
                " fewer languages",
                key="batch.groups_of_all_pairs",
            )
        return Walk(members, (*key, word(self.prefix + "*")), batch_size)

    def groups(self) -> int:
        """Return how many groups stand in any of the pairs."""
        count = 0
        for begin in range(0, self.texts.shape[1], STRIDE):
            part = self.texts[:, begin : begin + STRIDE]
            inside = np.zeros(part.shape[1], dtype=bool)
            for rows in self.needs.values():
                inside |= part[sorted(rows)].all(axis=0)
            count += int(inside.sum())
        return count

    def name(self, pair: int) -> tuple[str, str]:
        """Return the codes of a pair, query and passage."""
        return self.languages[self.first[pair]], self.languages[self.second[pair]]

    def moved(self) -> list[tuple[str, str]]:
        """Return the pairs whose home is the passage language."""
        return [self.name(pair) for pair in np.flatnonzero(self.home != self.first).tolist()]


def names(choices: Sequence[OrderedPairs]) -> list[tuple[str, str]]:
    """Return the codes of the pairs of any source, query and passage, sorted."""
    pairs = {mine.name(pair) for mine in choices for pair in range(len(mine.first))}
    return sorted(pairs)


def ordered_pairs(
    sources: Sequence[Source], languages: Sequence[str], design: BatchDesign
) -> list[OrderedPairs]:
    """Return the stated pairs of each source.

    Raises:
        UserError: where a source has no pair with batch_size groups, a stated pair or language is
            in no source, and where a pair has no home but needs one.
    """
    stated = design.pairs or StatedPairs()
    several = len(sources) > 1
    choices = [_of_source(source, languages, design, stated, several=several) for source in sources]
    _check_stated(choices, stated, design)
    return choices


def _of_source(
    source: Source,
    languages: Sequence[str],
    design: BatchDesign,
    stated: StatedPairs,
    *,
    several: bool,
) -> OrderedPairs:
    texts = _texts(source)
    homes = {}
    needs: dict[Pair, Rows] = {}
    for a, b in _candidates(languages, design, stated):
        sides = _homes(a, b, texts, languages, stated)
        if design.composition == "per_language":
            sides.reverse()
        homes[a, b], needs[a, b] = _home(a, b, sides, len(languages))
    sizes, shared = _sizes(texts, needs, design.batch_size)
    kept = [pair for pair in needs if sizes[pair] >= design.batch_size]
    if not kept:
        most = max(sizes.values(), default=0)
        raise UserError(_too_few(source, design, most), key="config.batch.size")
    if design.added is not None or design.ratio < 1:
        _check_homes([(languages[a], languages[b]) for a, b in kept if len(needs[a, b]) == 2])
    first, second = np.array(kept, dtype=np.int64).T
    left_out = {}
    exists = np.asarray(texts.any(axis=1))
    for a, b in sorted(needs.keys() - set(kept)):
        if not several or (exists[a] and exists[len(languages) + b]):
            left_out[languages[a], languages[b]] = sizes[a, b]
    return OrderedPairs(
        source=source,
        languages=languages,
        texts=texts,
        first=first,
        second=second,
        home=np.array([homes[pair] for pair in kept], dtype=np.int64),
        weight=_weights(kept, texts, sizes, languages, design),
        needs={frozenset(pair): shared[frozenset(pair)] for pair in kept},
        left_out=left_out,
        prefix=f"{source.name}:" if several else "",
    )


def _texts(source: Source) -> np.ndarray:
    """Return (2 L, G) bool: in which languages a group has a query, and in which a passage."""
    asks, answers = source.sides or (source.present, source.present)
    return np.concatenate([asks, answers])


def _candidates(
    languages: Sequence[str], design: BatchDesign, stated: StatedPairs
) -> Iterator[Pair]:
    """Yield the ordered pairs that are stated, or else follow from the stated languages."""
    for a, b in itertools.permutations(range(len(languages)), 2):
        pair = languages[a], languages[b]
        if stated.weights:
            is_stated = pair in stated.weights
        else:
            is_stated = _is_in(pair[0], stated.query_languages)
            is_stated &= _is_in(pair[1], stated.passage_languages)
            is_stated &= design.partner != "pivot" or design.pivot in pair
        if is_stated:
            yield a, b


def _is_in(language: str, stated: Sequence[str]) -> bool:
    return not stated or language in stated


def _homes(
    a: int, b: int, texts: np.ndarray, languages: Sequence[str], stated: StatedPairs
) -> list[int]:
    """Return the languages that a step of (a, b) which is not cross-lingual may be in: a, then b,
    where each may ask and answer.
    """
    homes = []
    if _is_in(languages[a], stated.passage_languages) and texts[len(languages) + a].any():
        homes.append(a)
    if _is_in(languages[b], stated.query_languages) and texts[b].any():
        homes.append(b)
    return homes


def _home(a: int, b: int, homes: Sequence[int], languages: int) -> tuple[int, Rows]:
    """Return the first of the homes of (a, b), and the rows of texts that a group of the pair must
    have; two of them, and b, where it has no home.
    """
    rows = frozenset((a, languages + b))
    if not homes:
        return b, rows
    return homes[0], rows | {homes[0], languages + homes[0]}


def _sizes(
    texts: np.ndarray, needs: dict[Pair, Rows], batch_size: int
) -> tuple[dict[Pair, int], dict[frozenset[int], Rows]]:
    """Return the number of groups of each pair, and by its two languages the rows of texts that
    they must have: those of both directions where each direction has a batch by itself.
    """
    counts: dict[Rows, int] = {}

    def count(rows: Rows) -> int:
        if rows not in counts:
            counts[rows] = len(Members.of_all(texts, rows))
        return counts[rows]

    sizes = {pair: count(rows) for pair, rows in needs.items()}
    shared: dict[frozenset[int], Rows] = {}
    for pair, rows in needs.items():
        if sizes[pair] >= batch_size:
            both = frozenset(pair)
            shared[both] = shared.get(both, frozenset()) | rows
    for pair in needs:
        if sizes[pair] >= batch_size:
            sizes[pair] = count(shared[frozenset(pair)])
    return sizes, shared


def _weights(
    pairs: Sequence[Pair],
    texts: np.ndarray,
    sizes: dict[Pair, int],
    languages: Sequence[str],
    design: BatchDesign,
) -> np.ndarray:
    """Return (P,) the weights as stated, or else the probability of each pair where its query
    language is drawn first, then its partner.
    """
    if design.pairs is not None and design.pairs.weights:
        stated = design.pairs.weights
        weight = np.array([stated[languages[a], languages[b]] for a, b in pairs])
        weight /= weight.max()  # the sum of large ones could be infinite
        return weight
    partner = np.ones(len(pairs))
    if design.partner == "size":
        partner = np.array([float(sizes[pair]) for pair in pairs])
    first = np.array([a for a, _ in pairs])
    asked = texts.sum(axis=1)[first].astype(float) ** design.language_exponent
    of_query = np.bincount(first, weights=partner)[first]
    return np.asarray(asked * partner / of_query)


def _check_stated(
    choices: Sequence[OrderedPairs], stated: StatedPairs, design: BatchDesign
) -> None:
    """Refuse a stated pair or language that no source can train on."""
    kept = set(names(choices))
    size = design.batch_size
    for a, b in sorted(stated.weights.keys() - kept):
        most = max(mine.left_out.get((a, b), 0) for mine in choices)
        raise UserError(
            f"batch.pairs: {a}-{b} has {most} training groups, fewer than batch.size={size}; leave"
            " it out, or take smaller batches",
            key="batch.pair_groups",
        )
    homes = {mine.languages[home] for mine in choices for home in mine.home.tolist()}
    sides = (
        ("query_languages", stated.query_languages, {a for a, _ in kept}),
        ("passage_languages", stated.passage_languages, {b for _, b in kept}),
    )
    for field, asked, used in sides:
        unused = [language for language in asked if language not in used | homes]
        if unused:
            raise UserError(
                f"batch.{field}: {unused[0]} is in no pair of languages with batch.size={size}"
                " training groups; leave it out",
                key="batch.language_groups",
            )


def _check_homes(homeless: Sequence[tuple[str, str]]) -> None:
    """Refuse pairs whose steps could not be monolingual."""
    for a, b in homeless:
        raise UserError(
            f"batch: a step of {a}-{b} that is not cross-lingual would be in no language, since {a}"
            f" may not answer or has no passages, and {b} may not ask or has no queries; leave the"
            " pair out, allow one of them, or set batch.cross_lingual_ratio=1",
            key="batch.no_monolingual_step",
        )


def _too_few(source: Source, design: BatchDesign, most: int) -> str:
    way = "take other languages"
    if most > 1:
        way = f"take batch.size={most} or less, or other languages"
    return (
        f"batch.size={design.batch_size}: the pairs of languages of {source.name} have at most"
        f" {most} training groups; {way}"
    )
