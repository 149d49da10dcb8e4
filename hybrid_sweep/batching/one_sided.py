"""What may be drawn of a collection in which a language can have only queries or only passages.

`streams.Choices` takes two languages either way round, and needs a query and a passage in both.
Here a pair is ordered, (a, b): a query in a and a passage in b. A step with the pair (a, b) is
cross-lingual or monolingual on the same groups where enough groups have a passage in a, too (the
pair is nested). Elsewhere its monolingual form takes the groups that are monolingual in a, or,
where there are too few of them, those of another language that has enough; which one is drawn from
the seed alone.
"""

from dataclasses import dataclass

import numpy as np

from hybrid_sweep.batching.sampling import Members, weighted, word
from hybrid_sweep.batching.streams import BatchDesign, Choices, Source, Walk, shared_groups
from hybrid_sweep.utils.errors import UserError

ONE = np.ones((1, 1), dtype=bool)


@dataclass(frozen=True)
class OrderedChoices(Choices):
    """What may be drawn of a source with `sides`; allowed, shared, partners are of ordered pairs.

    allowed: (L, L) bool, has a batch of groups. shared: (L, L) groups with a query in the first
    language and a passage in the second. nested: (L, L) bool, the pair has a batch of groups with
    passages in both. alone: (L,) weight of a language in monolingual steps of its own, 0 where it
    has too few groups.
    """

    nested: np.ndarray
    alone: np.ndarray

    def draws(
        self, uniform: np.ndarray, cross: np.ndarray, *, all_groups: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first = weighted(uniform[:, 0], self.weight[None, :])
        second = weighted(uniform[:, 1], self.partners[first])
        alone = ~cross & (all_groups | ~self.nested[first, second])
        moved = alone & (self.alone[first] == 0)
        if moved.any():
            first[moved] = weighted(uniform[moved, 2], self.alone[None, :])
        second[alone] = first[alone]
        return first, second, np.stack([first, second])

    def walk(self, a: int, b: int, key: tuple[int, int], batch_size: int) -> Walk:
        query, passage = self._sides
        inside = query[a] & passage[b]
        name = self.languages[a]
        if a != b:
            name = f"{name}>{self.languages[b]}"
        if self.nested[a, b]:
            inside &= passage[a]
        return self._walk_over(name, inside, key, batch_size)

    def walk_of_all(self, key: tuple[int, int], batch_size: int) -> Walk:
        return self._walk_over("*", self._inside(), key, batch_size)

    def example_languages(
        self, uniform: np.ndarray, groups: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        query, passage = self._sides
        asks = query[:, groups].T
        answers = passage[:, groups].T
        usable = asks & (answers @ self.allowed.T)
        if self.is_nested:
            usable &= answers
        first = weighted(uniform[0], self.weight * usable)
        return first, weighted(uniform[1], self.partners[first] * answers)

    def groups(self) -> int:
        return int(np.count_nonzero(self._inside()))

    def left_out(self, *, several: bool) -> dict[tuple[str, ...], int]:
        asks, answers = (side.any(axis=1) for side in self._sides)
        few = np.outer(asks, answers) & (self.shared < self.batch_size)
        np.fill_diagonal(few, False)
        name = (self.source.name,) if several else ()
        pairs: dict[tuple[str, ...], int] = {}
        for first, second in np.argwhere(few).tolist():
            place = (*name, self.languages[first], self.languages[second])
            pairs[place] = int(self.shared[first, second])
        return pairs

    @property
    def is_nested(self) -> bool:
        """Return whether every allowed pair is nested, or monolingual."""
        own = np.eye(len(self.allowed), dtype=bool)
        return not (self.allowed & ~self.nested & ~own).any()

    @property
    def _sides(self) -> tuple[np.ndarray, np.ndarray]:
        assert self.source.sides is not None
        return self.source.sides

    def _inside(self) -> np.ndarray:
        """Return (G,) which groups stand in an allowed pair; where all pairs are nested, with a
        passage in the query's language.
        """
        query, passage = self._sides
        inside = np.zeros(query.shape[1], dtype=bool)
        for first in np.flatnonzero(self.allowed.any(axis=1)):
            mine = query[first] & passage[self.allowed[first]].any(axis=0)
            if self.is_nested:
                mine &= passage[first]
            inside |= mine
        return inside

    def _walk_over(
        self, name: str, inside: np.ndarray, key: tuple[int, int], batch_size: int
    ) -> Walk:
        members = Members.of(inside[None, :], ONE)
        return Walk(members, (*key, word(self.prefix + name)), batch_size)


def ordered_choices(
    source: Source, languages: list[str], design: BatchDesign, *, several: bool
) -> OrderedChoices:
    """Return the ordered pairs that have a batch of groups, with their weights.

    Raises:
        UserError: where the design has steps of a kind that no pair of languages can give.
    """
    assert source.sides is not None
    query, passage = source.sides
    size = design.batch_size
    shared = shared_groups(query, passage)
    own = np.eye(len(languages), dtype=bool)
    crossed = ~own
    if design.partner == "pivot":
        is_pivot = np.array([language == design.pivot for language in languages])
        crossed &= is_pivot[:, None] | is_pivot[None, :]
    _check_kinds(source, languages, design, np.where(crossed | own, shared, 0))
    allowed = crossed & (shared >= size)
    if not allowed.any():
        allowed = own & (shared >= size)
    nested = allowed & ~own & (shared_groups(query & passage, passage) >= size)
    asked = np.maximum(query.sum(axis=1), 1).astype(float) ** design.language_exponent
    single = np.diag(shared)
    alone = np.where(single >= size, np.maximum(single, 1.0) ** design.language_exponent, 0.0)
    partners = allowed * (shared if design.partner == "size" else 1.0)
    made = OrderedChoices(
        source,
        languages,
        allowed,
        shared,
        np.where(allowed.any(axis=1), asked, 0.0),
        partners,
        f"{source.name}:" if several else "",
        size,
        nested,
        alone,
    )
    _check_examples(made, design)
    return made


def _check_kinds(
    source: Source, languages: list[str], design: BatchDesign, shared: np.ndarray
) -> None:
    """Raise UserError where there are monolingual steps and no monolingual pair has a batch of
    groups, or the same of cross-lingual steps.

    shared: (L, L) groups of the pairs that the design allows.
    """
    own = np.diag(shared)
    crossed = shared - np.diag(own)
    share = design.ratio
    if design.added is not None:
        share = design.added / (1 + design.added)
    needed = {"monolingual": share < 1, "cross-lingual": share > 0}
    for kind, groups, other in (("monolingual", own, 1), ("cross-lingual", crossed, 0)):
        most = int(groups.max(initial=0))
        if not needed[kind] or most >= design.batch_size:
            continue
        if most > 1:
            raise UserError(
                f"batch.size={design.batch_size}: no {kind} pair of languages of {source.name} has"
                f" more than {most} training groups; take batch.size={most} or less, or other"
                " data.languages",
                key="config.batch.size",
            )
        way = f"batch.cross_lingual_ratio={other}"
        if design.added is not None:
            way = f"batch.budget=fixed_total {way}"
        raise UserError(
            f"batch.cross_lingual_ratio={share:g}: {source.name} has no {kind} training pairs"
            f" ({_where(source, languages)}); take {way}",
            key="config.batch.cross_lingual_ratio",
        )


def _where(source: Source, languages: list[str]) -> str:
    """Return in which languages the training groups have queries and passages, in words."""
    assert source.sides is not None
    parts = []
    for kind, side in zip(("queries", "passages"), source.sides, strict=True):
        there = [languages[code] for code in np.flatnonzero(side.any(axis=1))]
        parts.append(f"{kind} in {', '.join(there)}")
    return f"its training groups have {' and '.join(parts)}"


def _check_examples(choices: OrderedChoices, design: BatchDesign) -> None:
    """Raise UserError where each example draws its languages and some could not be monolingual."""
    mixed = design.ratio < 1 or design.added is not None
    if design.composition == "per_example" and mixed and not choices.is_nested:
        raise UserError(
            f"batch.composition=per_example: not every query of {choices.source.name} has a passage"
            " in its own language to be monolingual with; take per_batch, or"
            " batch.cross_lingual_ratio=1",
            key="config.batch.composition",
        )
