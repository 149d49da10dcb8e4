"""What collections of translated texts have in common: counts of what was dropped, splits by hash,
and the tables of groups that are their own answers.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa

from hybrid_sweep.data.collection import SPLITS

WHOLE = "*"  # in the record of what was dropped: a whole group, not a text of one language


class Dropped(Counter[tuple[str, str]]):
    """How many texts each (rule, language) dropped."""

    def record(self) -> dict[str, dict[str, int]]:
        """Return the counts by rule and language, sorted."""
        counts: dict[str, dict[str, int]] = {}
        for rule, language in sorted(self):
            counts.setdefault(rule, {})[language] = self[rule, language]
        return counts


class Version(NamedTuple):
    """A question and its passage: the group in one language."""

    query: str
    passage: str


class Tables(NamedTuple):
    """The texts and judgements of a collection, and its counts for the record.

    counts: texts by language and split. groups: groups by split.
    """

    queries: pa.Table
    passages: pa.Table
    qrels: pa.Table
    counts: dict[str, dict[str, int]]
    groups: dict[str, int]


def split_by_hash(key: str, *, test: int, dev: int) -> str:
    """Return the split of what has this key, by its hash: test and dev in thousandths, the rest is
    for training.
    """
    place = int(hashlib.sha256(key.encode()).hexdigest(), 16) % 1000
    if place < test:
        return "test"
    if place < test + dev:
        return "dev"
    return "train"


def tables(
    groups: Mapping[str, Mapping[str, Version]], splits: Mapping[str, str], languages: Iterable[str]
) -> Tables:
    """Return the tables of groups by name, each in some of the languages; the passage of a group is
    the answer to its question.

    Args:
        groups: the pair of each language, by group.
        splits: the split of each group.
        languages: those that the counts are of, in this order.
    """
    ids = []
    pairs = []
    columns: dict[str, list[str]] = {"group": [], "lang": [], "split": []}
    counts: Counter[tuple[str, str]] = Counter()
    for group, versions in groups.items():
        for language, pair in versions.items():
            ids.append(f"{group}@{language}")
            pairs.append(pair)
            columns["group"].append(group)
            columns["lang"].append(language)
            columns["split"].append(splits[group])
            counts[language, splits[group]] += 1
    asked = [pair.query for pair in pairs]
    answers = [pair.passage for pair in pairs]
    queries = pa.table({"id": [f"{name}:q" for name in ids], **columns, "text": asked})
    passages = pa.table({"id": [f"{name}:p" for name in ids], **columns, "text": answers})
    names = sorted(groups)
    grades = pa.array([1] * len(names), pa.int32())
    qrels = pa.table({"query_group": names, "passage_group": names, "grade": grades})
    per_language = {}
    for language in languages:
        per_language[language] = {split: counts[language, split] for split in SPLITS}
    per_split = Counter(splits[group] for group in groups)
    return Tables(
        queries, passages, qrels, per_language, {split: per_split[split] for split in SPLITS}
    )
