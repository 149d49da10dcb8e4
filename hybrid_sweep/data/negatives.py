"""Hard negatives: read once from a file into arrays on disk, and drawn by a key, the same at every
cross-lingual ratio.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.batching.sampling import key_salt, mix
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.lookup import SLICE, index_in, sorted_unique, text_rows
from hybrid_sweep.data.negative_lines import Lines, read_lines
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import refuse

LOW = 0xFFFFFFFF  # of a key: the passage
NEVER = np.uint64(2**64 - 1)  # in the order of the draw: behind all others
MIXED = 1  # the last word of the key by which the languages of negatives are drawn
# entries of the tables that a draw works on: they stay in the cache of the processor
TABLE = 65_536
ARRAYS = ("start", "member", "number", "passage")
FILES = tuple(f"negatives/{name}.npy" for name in ARRAYS)  # below the folder of the pairs
DEPTH = 200  # ranks of a run that give negatives: those further down are hardly hard


@dataclass(frozen=True)
class Negatives:
    """The hard negatives of each question: M passages, each in some of the L languages of the
    pairs.

    question: (G,) question number of each group of the pairs. start: (Q + 1,) int64; question n has
    the passages member[start[n]:start[n + 1]], numbers below M. number: (M,) int64 the passage's
    number as an answer, below the pairs' width. passage: (L, M) int32 row in the passage table, -1
    where it has no text. The arrays may be read-only.
    """

    question: np.ndarray
    start: np.ndarray
    member: np.ndarray
    number: np.ndarray
    passage: np.ndarray

    @classmethod
    def load(cls, folder: Path, question: np.ndarray) -> "Negatives":
        """Return the arrays that `build_negatives` wrote, mapped."""
        return cls(question, *(np.load(folder / name, mmap_mode="r") for name in FILES))

    @classmethod
    def none(cls, question: np.ndarray, languages: int) -> "Negatives":
        """Return those of a collection without a file of negatives: nothing is ever drawn."""
        start = np.zeros(int(question.max(initial=-1)) + 2, np.int64)
        nothing = np.zeros(0, np.int32)
        return cls(question, start, nothing, nothing, np.zeros((languages, 0), np.int32))

    def chosen(
        self, groups: np.ndarray, needed: Sequence[np.ndarray], k: int, key: Sequence[int]
    ) -> np.ndarray:
        """Return k members for each of B examples, (B, k) int64, -1 = none.

        Drawn without replacement from those that have a text in all the languages of `needed`, in
        an order that is a hash of (key, group, passage).

        Args:
            groups: (B,) indices into the pairs.
            needed: (B,) indices into the languages of the pairs, of each language that is needed.
            k: members of each example at most.
            key: the words of a SeedSequence.
        """
        question = self.question[groups]
        first = self.start[question]
        count = self.start[question + 1] - self.start[question]
        salt = key_salt(groups, key)
        members = np.full((len(groups), k), -1, np.int64)
        for part in _alike(count):
            place = np.arange(count[part].max())
            inside = place < count[part, None]
            member = self.member[np.where(inside, first[part, None] + place, 0)]
            for language in needed:
                inside &= self.passage[language[part, None], member] >= 0
            order = np.where(inside, mix(salt[part, None] ^ member.astype(np.uint64)), NEVER)
            if k < len(place):
                smallest = np.argpartition(order, k, axis=1)[:, :k]
                order = np.take_along_axis(order, smallest, axis=1)
                member = np.take_along_axis(member, smallest, axis=1)
            ranked = np.argsort(order, axis=1)
            order = np.take_along_axis(order, ranked, axis=1)
            member = np.take_along_axis(member, ranked, axis=1)
            members[part, : member.shape[1]] = np.where(order < NEVER, member, -1)
        return members

    def mixed(
        self, groups: np.ndarray, members: np.ndarray, allowed: np.ndarray, key: Sequence[int]
    ) -> np.ndarray:
        """Return (B, k) the language of each member: drawn evenly, by a hash of (key, group,
        passage, language), among those of `allowed`, (A,), in which it has a text.
        """
        if not self.passage.shape[1]:
            return np.zeros_like(members)
        salt = key_salt(groups, [*key, MIXED])
        words = mix(salt[:, None] ^ members.astype(np.uint64))
        order = mix(words[:, :, None] ^ mix(allowed.astype(np.uint64)))
        there = self.passage[allowed, members[:, :, None]] >= 0
        return np.asarray(allowed[np.where(there, order, NEVER).argmin(axis=2)])

    def read(self, members: np.ndarray, languages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the row and the number of each member, (B, k) int64, -1 = none.

        languages: (B, k) or (B, 1), in which the members are read.
        """
        if not self.passage.shape[1]:
            return members, members.copy()
        is_there = members >= 0
        rows = np.where(is_there, self.passage[languages, members], -1)
        return rows.astype(np.int64), np.where(is_there, self.number[members], -1).astype(np.int64)


def _alike(count: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the places of the counts above 0, in parts that are small as tables as wide as their
    largest count.
    """
    order = np.argsort(-count, kind="stable")[: int((count > 0).sum())]
    while len(order):
        rows = max(1, TABLE // int(count[order[0]]))
        yield order[:rows]
        order = order[rows:]


@dataclass(frozen=True)
class HardNegatives:
    """A file of hard negatives. form: triples, trec or msmarco. digest: of content and format.
    whole: the collection in all languages, whose ids it may use.
    """

    path: Path
    form: str
    digest: str
    whole: Collection
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class FileIds:
    """The ids a file may use: groups, or ids of single texts of the group, of questions and of
    passages.

    queries, passages: (K,) distinct groups. relevant: sorted int64 keys query << 32 | passage of
    all relevant judgements.
    """

    queries: pa.Array
    passages: pa.Array
    query_texts: pa.Table
    passage_texts: pa.Table
    relevant: np.ndarray

    def query_numbers(self, words: pa.ChunkedArray) -> np.ndarray:
        """Return (N,) int32 place in `queries`, -1 for an unknown id."""
        return _numbers(words, self.queries, self.query_texts)

    def passage_numbers(self, words: pa.ChunkedArray) -> np.ndarray:
        """Return (N,) int32 place in `passages`, -1 for an unknown id."""
        return _numbers(words, self.passages, self.passage_texts)

    def is_relevant(self, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
        """Return (N,) bool: the passage is judged relevant to the query."""
        keys = query.astype(np.int64) << 32 | passage
        place = np.minimum(np.searchsorted(self.relevant, keys), len(self.relevant) - 1)
        return (self.relevant[place] == keys) if len(self.relevant) else np.zeros(len(keys), bool)


def build_negatives(
    file: HardNegatives,
    collection: Collection,
    split: str,
    questions: pa.Array,
    answers: pa.Array,
    folder: Path,
) -> tuple[int, dict[str, int]]:
    """Write the negatives of a file as arrays into folder/negatives; the pairs' width, and counts
    of lines left out.

    The file holds triples or a run (see `read_lines`), of which the first 200 ranks of a query
    count. collection: the selected languages of file.whole. questions (Q,), answers (A,): the
    groups behind the numbers of the training pairs. A passage that is an answer keeps its number,
    the others follow behind. Passages judged relevant and those without a text in the split are
    left out. Raises UserError with file, line and reason.
    """
    (folder / "negatives").mkdir()
    ids = _ids(file.whole)
    counts, keys = _sorted_keys(file, ids, questions, folder)
    wanted = _passages_of(keys, len(ids.passages))
    groups = ids.passages.take(pa.array(wanted))
    rows = text_rows(collection.passages, groups, collection.languages, split)
    present = (rows >= 0).any(axis=0)
    member_of = np.full(len(ids.passages), -1, np.int32)  # lookup.ROWS bounds them
    member_of[wanted[present]] = np.arange(present.sum(), dtype=np.int32)
    start, member = _members(keys, member_of, len(questions), folder / "member.raw")

    number = index_in(pa.chunked_array([groups.filter(pa.array(present))]), answers)
    number = number.astype(np.int64)
    others = number < 0
    number[others] = len(answers) + np.arange(others.sum())
    arrays = {"start": start, "member": member, "number": number, "passage": rows[:, present]}
    for name, array in arrays.items():
        np.save(folder / "negatives" / f"{name}.npy", np.ascontiguousarray(array))
    for name in ("keys.raw", "member.raw"):
        (folder / name).unlink()
    return len(answers) + int(others.sum()), {**counts, "kept": int(start[-1])}


def _sorted_keys(
    file: HardNegatives, ids: FileIds, questions: pa.Array, folder: Path
) -> tuple[dict[str, int], np.ndarray]:
    """Return what became of the lines of a file, and the keys of `_write_keys`, sorted in a file of
    the folder.
    """
    lines = read_lines(file.path, file.form, folder)
    question_of = index_in(pa.chunked_array([ids.queries]), questions)
    counts = _write_keys(lines, ids, question_of, folder / "keys.raw")
    (folder / "lines.arrow").unlink()
    if not counts["candidates"]:
        raise UserError(
            f"data.negatives={file.path}: no line gives a negative for a training question"
            f" ({counts})",
            key="negatives.none",
        )
    keys = np.memmap(folder / "keys.raw", np.int64, "r+")
    keys.sort()  # in the file's own pages
    return counts, keys


def _passages_of(keys: np.ndarray, passages: int) -> np.ndarray:
    """Return the numbers of the passages that occur in keys, sorted."""
    used = np.zeros(passages, bool)
    for part in _distinct(keys):
        used[part & LOW] = True
    return np.flatnonzero(used)


def _members(
    keys: np.ndarray, member_of: np.ndarray, questions: int, target: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return `start` and `member` of `Negatives`, the second mapped from the file `target`.

    member_of: the member of each passage, -1 for those that are left out.
    """
    sizes = np.zeros(questions, np.int64)
    with open(target, "wb") as raw:
        for part in _distinct(keys):
            member = member_of[part & LOW]
            here = member >= 0
            sizes += np.bincount(part[here] >> 32, minlength=questions)
            raw.write(member[here].tobytes())
    start = np.concatenate([[0], np.cumsum(sizes)])
    if not start[-1]:
        return start, np.zeros(0, np.int32)
    return start, np.memmap(target, np.int32, "r")


def _numbers(words: pa.ChunkedArray, groups: pa.Array, texts: pa.Table) -> np.ndarray:
    numbers = index_in(words, groups)
    lost = np.flatnonzero(numbers < 0)
    if lost.size:
        strays = pc.unique(words.take(pa.array(lost)))
        place = index_in(texts["id"], strays)
        rows = np.flatnonzero(place >= 0)
        of_stray = np.full(len(strays), -1, np.int32)
        of_stray[place[rows]] = index_in(texts["group"].take(pa.array(rows)), groups)
        numbers[lost] = of_stray[index_in(words.take(pa.array(lost)), strays)]
    return numbers


def _ids(whole: Collection) -> FileIds:
    """Return the ids of a collection, and which pairs of them are judged relevant."""
    queries = sorted_unique(whole.queries["group"])
    passages = sorted_unique(whole.passages["group"])
    relevant = whole.qrels.filter(pc.greater(whole.qrels["grade"], 0))
    keys = index_in(relevant["query_group"], queries).astype(np.int64) << 32
    keys |= index_in(relevant["passage_group"], passages)
    return FileIds(queries, passages, whole.queries, whole.passages, np.sort(keys))


def _write_keys(
    lines: Lines, ids: FileIds, question_of: np.ndarray, target: Path
) -> dict[str, int]:
    """Write question number << 32 | passage of each line that can be a negative, in the file's
    order; what became of all.

    question_of: number among the training questions of each query of `ids`, -1 for others.
    """
    counts = {"lines": 0, "deeper": 0, "other_questions": 0, "judged_relevant": 0, "candidates": 0}
    last = 0
    if lines.rank is not None:
        last = DEPTH + pc.min(lines.rank).as_py()
    with open(target, "wb") as file:
        for start in range(0, len(lines.query), SLICE):
            words = lines.query.slice(start, SLICE)
            query = _checked(lines.path, start, "query", words, ids.query_numbers(words))
            words = lines.passage.slice(start, SLICE)
            passage = _checked(lines.path, start, "passage", words, ids.passage_numbers(words))
            if lines.positive is not None:
                words = lines.positive.slice(start, SLICE)
                _checked(lines.path, start, "passage", words, ids.passage_numbers(words))
            keep = np.ones(len(query), bool)
            if lines.rank is not None:
                keep = lines.rank.slice(start, SLICE).to_numpy() < last
            counts["lines"] += len(query)
            counts["deeper"] += int((~keep).sum())
            asked = question_of[query] >= 0
            counts["other_questions"] += int((keep & ~asked).sum())
            keep &= asked
            relevant = ids.is_relevant(query, passage)
            counts["judged_relevant"] += int((keep & relevant).sum())
            keep &= ~relevant
            counts["candidates"] += int(keep.sum())
            file.write((question_of[query[keep]].astype(np.int64) << 32 | passage[keep]).tobytes())
    return counts


def _checked(
    path: Path, start: int, kind: str, words: pa.ChunkedArray, numbers: np.ndarray
) -> np.ndarray:
    """Return the numbers of the words of lines, the first of which is line start + 1; refuse a word
    without one.
    """
    strays = np.flatnonzero(numbers < 0)
    if strays.size:
        word = words[int(strays[0])].as_py()[:40]
        refuse(
            path,
            start + int(strays[0]) + 1,
            f"the {kind} {word!r} is in no language of the collection",
            key="line.not_in_collection",
        )
    return numbers


def _distinct(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yield sorted keys, each once, a part of them at a time."""
    for start in range(0, len(keys), SLICE):
        part = np.array(keys[start : start + SLICE])
        fresh = np.ones(len(part), bool)
        fresh[1:] = part[1:] != part[:-1]
        fresh[0] = not start or part[0] != keys[start - 1]
        yield part[fresh]
