"""What a collection holds, in lines for a reader: texts by split and language, and the numbers of
training groups by pair of languages.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.batching.streams import shared_groups
from hybrid_sweep.data.collection import SPLITS, Collection
from hybrid_sweep.data.pairs import Pairs, ordered_pairs

MOST = 12  # languages that are told one by one, and so their pairs
ALL = "all"  # the split of passages that every split searches


def counts(collection: Collection) -> dict[str, dict[str, tuple[int, int]]]:
    """Return the numbers of queries and of passages by split and language; passages that every
    split searches have the split `ALL`.
    """
    by_split: dict[str, dict[str, list[int]]] = {split: {} for split in (*SPLITS, ALL)}
    for place, table in enumerate((collection.queries, collection.passages)):
        for row in table.group_by(["split", "lang"]).aggregate([([], "count_all")]).to_pylist():
            split = ALL if row["split"] == "*" else row["split"]
            by_split[split].setdefault(row["lang"], [0, 0])[place] += row["count_all"]
    made: dict[str, dict[str, tuple[int, int]]] = {}
    for split, languages in by_split.items():
        if languages:
            made[split] = {name: (two[0], two[1]) for name, two in sorted(languages.items())}
    return made


def in_short(collection: Collection) -> str:
    """Return the splits with their numbers of queries, e.g. "train 480, test 120"."""
    parts = []
    for split, languages in counts(collection).items():
        queries = sum(number for number, _ in languages.values())
        if queries:
            parts.append(f"{split} {queries}")
    return ", ".join(parts) or "no queries"


def lines(collection: Collection, pairs: Pairs) -> list[str]:
    """Return what a collection holds: a line for each split, and those on what can be trained.

    pairs: those of the split train.
    """
    made = []
    for split, languages in counts(collection).items():
        queries = {name: number for name, (number, _) in languages.items() if number}
        passages = {name: number for name, (_, number) in languages.items() if number}
        parts = []
        for what, numbers in (("queries", queries), ("passages", passages)):
            if numbers:
                parts.append(f"{sum(numbers.values())} {what} ({_by_name(numbers)})")
        where = "every split" if split == ALL else f"split {split}"
        made.append(f"{where}: {', '.join(parts)}")
    return [*made, *trainable(pairs)]


def trainable(pairs: Pairs) -> list[str]:
    """Return how many training groups pairs of languages have, and why nothing, or nothing of a
    kind, can be trained.

    A pair that is drawn in one order is query>passage: where a language has only queries or only
    passages.
    """
    if not len(pairs):
        return [
            "nothing can be trained: no query of split train has a relevant passage (evaluate"
            " works)"
        ]
    if pairs.is_ordered:
        return _ordered(pairs)
    return [shared(pairs)]


def _ordered(pairs: Pairs) -> list[str]:
    """Return the training groups of each ordered pair that has some, and what is missing."""
    many = ordered_pairs(pairs)
    numbers: dict[str, int] = {}
    for asked, answered in np.argwhere(many).tolist():
        name = f"{pairs.languages[asked]}>{pairs.languages[answered]}"
        numbers[name] = int(many[asked, answered])
    lines = [f"training groups by query>passage language: {_by_name(numbers, MOST * (MOST - 1))}"]
    if not np.diag(many).any():
        lines.append(
            "nothing monolingual can be trained: no training group has its query and a passage in"
            " one language; a run needs batch.cross_lingual_ratio=1"
        )
    elif not (many - np.diag(np.diag(many))).any():
        lines.append(
            f"nothing cross-lingual can be trained: none of the {len(pairs)} training groups is in"
            " two languages; parallel texts have one group (the field or column group), and"
            " judgements name it; a run needs batch.cross_lingual_ratio=0"
        )
    return lines


def shared(pairs: Pairs) -> str:
    """Return how many training groups two languages share, either way round, or why nothing
    cross-lingual can be trained.
    """
    many = both(pairs)
    nothing = "nothing cross-lingual can be trained:"
    if len(pairs.languages) < 2:
        return f"{nothing} there is one language, {' '.join(pairs.languages)}"
    numbers = {}
    for one, other in itertools.combinations(range(len(pairs.languages)), 2):
        numbers[f"{pairs.languages[one]}-{pairs.languages[other]}"] = int(many[one, other])
    most = MOST * (MOST - 1) // 2
    return f"training groups shared by two languages: {_by_name(numbers, most)}"


def both(pairs: Pairs) -> NDArray[np.int64]:
    """Return (L, L) how many training groups have a query and a passage in both languages."""
    return shared_groups(pairs.present)


def _by_name(numbers: dict[str, int], most: int = MOST) -> str:
    """Return each number by its name; of more than `most` the smallest, the middle one and the
    largest.
    """
    if len(numbers) <= most:
        return ", ".join(f"{name} {number}" for name, number in numbers.items())
    order = sorted(numbers, key=lambda name: (numbers[name], name))
    chosen = order[0], order[len(order) // 2], order[-1]
    shown = [f"{name} {numbers[name]}" for name in chosen]
    return f"{len(order)} of them, from {shown[0]} over {shown[1]} to {shown[2]}"
