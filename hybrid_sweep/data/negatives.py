"""Hard negatives: read once from a file into arrays on disk, and drawn by a key, the same at every
cross-lingual ratio.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.batching.sampling import mix
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.lookup import SLICE, index_in, sorted_unique, text_rows
from hybrid_sweep.data.negative_lines import Known, Lines, read_lines
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import refuse

LOW = 0xFFFFFFFF  # of a key: the passage
NEVER = np.uint64(2**64 - 1)  # in the order of the draw: behind all others
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

    def draw(
        self,
        groups: np.ndarray,
        query_language: np.ndarray,
        partner: np.ndarray,
        passage_language: np.ndarray,
        k: int,
        key: Sequence[int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return k negatives of each of B examples: rows in the passage table and answer numbers,
        (B, k) int64, -1 = none.

        groups: (B,) indices into the pairs. query_language, partner, passage_language: (B,) indices
        into the languages of the pairs. Drawn without replacement from those that have a text in
        both query_language and partner, in an order that is a hash of (key, group, passage): which
        are drawn does not depend on passage_language, only what they are read in. key: the words of
        a SeedSequence.
        """
        question = self.question[groups]
        first, count = self.start[question], self.start[question + 1] - self.start[question]
        secrets = np.random.SeedSequence(list(key)).generate_state(2, np.uint64)
        salt = mix(groups.astype(np.uint64) ^ secrets[0]) ^ secrets[1]
        rows, numbers = (np.full((len(groups), k), -1, np.int64) for _ in range(2))
        for part in _alike(count):
            place = np.arange(count[part].max())
            inside = place < count[part, None]
            member = self.member[np.where(inside, first[part, None] + place, 0)]
            for language in (query_language, partner):
                inside &= self.passage[language[part, None], member] >= 0
            order = np.where(inside, mix(salt[part, None] ^ member.astype(np.uint64)), NEVER)
            if k < len(place):
                smallest = np.argpartition(order, k, axis=1)[:, :k]
                order, member = (
                    np.take_along_axis(array, smallest, axis=1) for array in (order, member)
                )
            ranked = np.argsort(order, axis=1)
            order, member = (np.take_along_axis(array, ranked, axis=1) for array in (order, member))
            read = self.passage[passage_language[part, None], member]
            rows[part, : member.shape[1]] = np.where(order < NEVER, read, -1)
            numbers[part, : member.shape[1]] = np.where(order < NEVER, self.number[member], -1)
        return rows, numbers


def _alike(count: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the places of the counts above 0, in parts that are small as tables as wide as their
    largest count.
    """
    order = np.argsort(-count, kind="stable")[: int((count > 0).sum())]
    while len(order):
        rows = max(1, TABLE // int(count[order[0]]))
        yield order[:rows]
        order = order[rows:]


def build_negatives(
    path: Path,
    whole: Collection,
    collection: Collection,
    split: str,
    questions: pa.Array,
    answers: pa.Array,
    folder: Path,
) -> tuple[int, dict[str, int]]:
    """Write the negatives of a file as arrays into folder/negatives; the pairs' width, and counts
    of lines left out.

    The file holds triples or a run (see `read_lines`), of which the first 200 ranks of a query
    count; its ids are those of `whole`, of any language. collection: the selected languages of it.
    questions (Q,), answers (A,): the groups behind the numbers of the training pairs. A passage
    that is an answer keeps its number, the others follow behind. Passages judged relevant and those
    without a text in the split are left out. Raises UserError with file, line and reason.
    """
    (folder / "negatives").mkdir()
    known = _known(whole)
    lines = read_lines(path, known, folder)
    counts = _write_keys(
        lines, known, index_in(pa.chunked_array([known.queries]), questions), folder / "keys.raw"
    )
    (folder / "lines.arrow").unlink()
    if not counts["candidates"]:
        raise UserError(
            f"data.negatives={path}: no line gives a negative for a training question ({counts})",
            key="negatives.none",
        )
    keys = np.memmap(folder / "keys.raw", np.int64, "r+")
    keys.sort()  # in the file's own pages

    used = np.zeros(len(known.passages), bool)
    for part in _distinct(keys):
        used[part & LOW] = True
    wanted = np.flatnonzero(used)
    rows = text_rows(
        collection.passages, known.passages.take(pa.array(wanted)), collection.languages, split
    )
    present = (rows >= 0).any(axis=0)
    member_of = np.full(len(used), -1, np.int32)  # lookup.ROWS bounds them
    member_of[wanted[present]] = np.arange(present.sum(), dtype=np.int32)
    number = index_in(
        pa.chunked_array([known.passages.take(pa.array(wanted[present]))]), answers
    ).astype(np.int64)
    others = number < 0
    number[others] = len(answers) + np.arange(others.sum())

    sizes = np.zeros(len(questions), np.int64)
    with open(folder / "member.raw", "wb") as raw:
        for part in _distinct(keys):
            member = member_of[part & LOW]
            here = member >= 0
            sizes += np.bincount(part[here] >> 32, minlength=len(sizes))
            raw.write(member[here].tobytes())
    start = np.concatenate([[0], np.cumsum(sizes)])
    member = np.memmap(folder / "member.raw", np.int32, "r") if start[-1] else np.zeros(0, np.int32)
    for name, array in (
        ("start", start),
        ("member", member),
        ("number", number),
        ("passage", rows[:, present]),
    ):
        np.save(folder / "negatives" / f"{name}.npy", np.ascontiguousarray(array))
    for name in ("keys.raw", "member.raw"):
        (folder / name).unlink()
    return len(answers) + int(others.sum()), {**counts, "kept": int(start[-1])}


def _known(whole: Collection) -> Known:
    """Return the ids of a collection, and which pairs of them are judged relevant."""
    queries, passages = (sorted_unique(table["group"]) for table in (whole.queries, whole.passages))
    relevant = whole.qrels.filter(pc.greater(whole.qrels["grade"], 0))
    keys = index_in(relevant["query_group"], queries).astype(np.int64) << 32
    keys |= index_in(relevant["passage_group"], passages)
    return Known(queries, passages, whole.queries, whole.passages, np.sort(keys))


def _write_keys(
    lines: Lines, known: Known, question_of: np.ndarray, target: Path
) -> dict[str, int]:
    """Write question number << 32 | passage of each line that can be a negative, in the file's
    order; what became of all.

    question_of: number among the training questions of each known query, -1 for others.
    """
    counts = dict.fromkeys(
        ("lines", "deeper", "other_questions", "judged_relevant", "candidates"), 0
    )
    last = DEPTH + pc.min(lines.rank).as_py() if lines.rank is not None else 0
    with open(target, "wb") as file:
        for start in range(0, len(lines.query), SLICE):
            query, passage = (
                _checked(lines.path, start, kind, words.slice(start, SLICE), find)
                for kind, words, find in (
                    ("query", lines.query, known.query_numbers),
                    ("passage", lines.passage, known.passage_numbers),
                )
            )
            if lines.positive is not None:
                _checked(
                    lines.path,
                    start,
                    "passage",
                    lines.positive.slice(start, SLICE),
                    known.passage_numbers,
                )
            keep = np.ones(len(query), bool)
            if lines.rank is not None:
                keep = lines.rank.slice(start, SLICE).to_numpy() < last
            counts["lines"] += len(query)
            for name, wanted in (
                ("deeper", keep),
                ("other_questions", question_of[query] >= 0),
                ("judged_relevant", ~known.is_relevant(query, passage)),
            ):
                counts[name] += int((keep & ~wanted).sum())
                keep = keep & wanted
            counts["candidates"] += int(keep.sum())
            file.write((question_of[query[keep]].astype(np.int64) << 32 | passage[keep]).tobytes())
    return counts


def _checked(
    path: Path,
    start: int,
    kind: str,
    words: pa.ChunkedArray,
    find: Callable[[pa.ChunkedArray], np.ndarray],
) -> np.ndarray:
    found = find(words)
    if (stray := np.flatnonzero(found < 0)).size:
        word = words[int(stray[0])].as_py()[:40]
        refuse(
            path,
            start + int(stray[0]) + 1,
            f"the {kind} {word!r} is in no language of the collection",
            key="line.not_in_collection",
        )
    return found


def _distinct(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yield sorted keys, each once, a part of them at a time."""
    for start in range(0, len(keys), SLICE):
        part = np.array(keys[start : start + SLICE])
        fresh = np.ones(len(part), bool)
        fresh[1:] = part[1:] != part[:-1]
        fresh[0] = not start or part[0] != keys[start - 1]
        yield part[fresh]
