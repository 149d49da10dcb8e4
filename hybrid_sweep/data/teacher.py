"""The scores of a teacher: read once from a file into arrays on disk, and looked up by numbers.

A line of the file is `query TAB passage TAB score`. A word is the name of a group, whose score
holds for its texts in all languages, or the id of a single text, whose own score comes first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.column_lines import FileKind, first_line, read_columns
from hybrid_sweep.data.lookup import SLICE, index_in
from hybrid_sweep.data.pairs import Pairs
from hybrid_sweep.utils import digests, safe_paths
from hybrid_sweep.utils.build_once import build_once
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_dir, digest
from hybrid_sweep.utils.text_lines import refuse

SETTING = "loss.distillation.path"
KIND = FileKind(SETTING, "lines of query, passage and score")
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
FILES = ("keys.npy", "scores.npy")
VERSION = 1  # of the arrays in the cache; raised when their meaning changes


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs of a query and a passage whose scores are looked up; arrays that broadcast.

    question, answer: numbers, as in `data.pairs.Pairs`. query, passage: rows in the tables of the
    collection; -1 where a passage is absent.
    """

    question: np.ndarray
    query: np.ndarray
    answer: np.ndarray
    passage: np.ndarray


@dataclass(frozen=True)
class TeacherScores:
    """The N scores of a file that are about training texts.

    A query has the number of its question, or `questions` + its row for the text alone; a passage
    that of its answer, or `answers` + its row, below `passages`. keys: (N,) sorted int64, number of
    the query * passages + number of the passage. scores: (N,) float64. The arrays may be read-only.
    """

    keys: np.ndarray
    scores: np.ndarray
    questions: int
    answers: int
    passages: int

    def of(self, asked: ScoredPairs) -> np.ndarray:
        """Return the score of each pair, NaN where it has none.

        Of several lines that fit, the one that names single texts counts, the query's first.
        """
        shape = np.broadcast_shapes(*(np.shape(array) for array in vars(asked).values()))
        scores = np.full(shape, np.nan)
        for query in (self.questions + asked.query, asked.question):
            for passage in (self.answers + asked.passage, asked.answer):
                self._fill(scores, query * self.passages + passage)
        return np.where(np.broadcast_to(asked.passage, shape) < 0, np.nan, scores)

    def of_groups(self, question: np.ndarray, answer: np.ndarray) -> np.ndarray:
        """Return (N,) the scores that hold in all languages, NaN where there is none."""
        scores = np.full(len(question), np.nan)
        self._fill(scores, question * self.passages + answer)
        return scores

    def _fill(self, scores: np.ndarray, keys: np.ndarray) -> None:
        """Write the scores of keys into the places that are NaN."""
        if not len(self.keys):
            return
        keys = np.broadcast_to(keys, scores.shape)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        fits = np.isnan(scores) & (self.keys[place] == keys)
        scores[fits] = self.scores[place[fits]]


@dataclass(frozen=True)
class TeacherFile:
    """A file of scores. digest: of its content. whole: the collection in all languages, whose ids
    it may use.
    """

    path: Path
    digest: str
    whole: Collection
    say: Callable[[str], None] = lambda text: None


def teacher_store(
    cache: Path, file: TeacherFile, collection: Collection, pairs: Pairs, mark: str | None
) -> TeacherScores:
    """Return the scores of a file, mapped from the cache, or built into it once.

    Args:
        cache: the folder of the cache.
        file: of scores.
        collection: the selected languages of file.whole.
        pairs: its training pairs.
        mark: digest of the file of hard negatives whose passages the pairs number; None: of none.

    Raises:
        UserError: for a file that cannot be used, with its line.
    """
    key = digest([collection.fingerprint, collection.languages, mark, file.digest, VERSION], 16)
    folder = safe_paths.inside(cache, "teacher", key)
    sizes = _sizes(collection, pairs)

    def read() -> TeacherScores | None:
        try:
            digests.read_info(folder, digests.memory_of(cache, folder))
            keys, scores = (np.load(folder / name, mmap_mode="r") for name in FILES)
        except (digests.Damaged, OSError, ValueError, EOFError):
            if folder.exists():
                fault = digests.fault(folder)
                file.say(f"the teacher's scores in {folder} are {fault}: they are read again now")
            return None
        return TeacherScores(keys, scores, *sizes)

    lock = cache / "teacher" / f"{key}.lock"
    made = build_once(lock, read, lambda: _build(folder, file, collection, pairs))
    assert made is not None
    return made


def _sizes(collection: Collection, pairs: Pairs) -> tuple[int, int, int]:
    """Return `questions`, `answers` and `passages` of `TeacherScores`."""
    questions = int(pairs.question.max(initial=-1)) + 1
    passages = pairs.width + len(collection.passages)
    if (questions + len(collection.queries)) * passages >= 2**63:
        raise UserError(
            f"{SETTING}: {len(collection.queries):,} queries and {len(collection.passages):,}"
            " passages are too many for a teacher's scores",
            key="data.too_many_texts",
        )
    return questions, pairs.width, passages


def _build(folder: Path, file: TeacherFile, collection: Collection, pairs: Pairs) -> None:
    with atomic_dir(folder) as temporary:
        made, counts = _read(file, collection, pairs, temporary)
        facts = [f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()]
        file.say(f"{file.path}: {', '.join(facts)}")
        for name, array in zip(FILES, (made.keys, made.scores), strict=True):
            np.save(temporary / name, array)
        digests.write_info(temporary, counts, FILES)


def _read(
    file: TeacherFile, collection: Collection, pairs: Pairs, work: Path
) -> tuple[TeacherScores, dict[str, int]]:
    """Return the scores that are about training texts, and what became of the lines."""
    table = _lines(file.path, work)
    sizes = _sizes(collection, pairs)
    questions, answers, passages = sizes
    whole = file.whole
    of_queries = _Names(
        "query", whole.queries, collection.queries, _questions(collection, pairs), questions
    )
    of_passages = _Names(
        "passage", whole.passages, collection.passages, _answers(collection, pairs), answers
    )
    keys, lines, scores = [], [], []
    for start in range(0, len(table), SLICE):
        part = table.slice(start, SLICE)
        query = of_queries.numbers(part["query"], file.path, start)
        passage = of_passages.numbers(part["passage"], file.path, start)
        here = np.flatnonzero((query >= 0) & (passage >= 0))
        keys.append(query[here] * passages + passage[here])
        lines.append(here + start)
        scores.append(_scores(part["score"], file.path, start)[here])
    order = np.argsort(np.concatenate(keys), kind="stable")
    key, line, score = (np.concatenate(parts)[order] for parts in (keys, lines, scores))
    _check_repeated(file.path, key, line, score)
    first = np.ones(len(key), bool)
    first[1:] = key[1:] != key[:-1]
    counts = {
        "lines": len(table),
        "of_other_texts": len(table) - len(key),
        "kept": int(first.sum()),
    }
    if not counts["kept"]:
        raise UserError(
            f"{SETTING}={file.path}: no line is about a training question and a training passage"
            f" ({counts})",
            key="teacher.none",
        )
    (work / "lines.arrow").unlink()
    return TeacherScores(key[first], score[first], *sizes), counts


def _lines(path: Path, work: Path) -> pa.Table:
    """Return the words of a file in the columns query, passage and score."""
    first = first_line(path, KIND.content)
    columns = len(first.split("\t") if "\t" in first else first.split())
    if columns != 3:
        reason = f"has {columns} columns; the file should hold {KIND.content}"
        refuse(path, 1, reason, key="line.columns")
    return read_columns(path, ("query", "passage", "score"), KIND, work / "lines.arrow")


def _scores(words: pa.ChunkedArray, path: Path, start: int) -> np.ndarray:
    """Return (N,) float64 the scores of lines, the first of which is line start + 1."""
    is_number = pc.match_substring_regex(words, NUMBER)
    values: np.ndarray = pc.if_else(is_number, words, "nan").cast(pa.float64()).to_numpy()
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        line = int(wrong[0])
        reason = f"the score {words[line].as_py()[:40]!r} is not a finite number"
        refuse(path, start + line + 1, reason, key="line.score")
    return values


def _check_repeated(path: Path, key: np.ndarray, line: np.ndarray, score: np.ndarray) -> None:
    """Refuse two scores of one pair; key: sorted, lines of one key in their order."""
    twice = np.flatnonzero((key[1:] == key[:-1]) & (score[1:] != score[:-1]))
    if twice.size:
        second = int(twice[np.argmin(line[twice + 1])]) + 1
        reason = (
            f"scores a pair {score[second]:g} that line {line[second - 1] + 1} scores"
            f" {score[second - 1]:g}; keep one"
        )
        refuse(path, int(line[second]) + 1, reason, key="line.score_repeated")


@dataclass(frozen=True)
class _Names:
    """The words that a file may use for queries, or for passages.

    kind: of the texts. whole, selected: the texts in all languages, and in those of the pairs.
    trained: what of them is trained on. texts: the number of the first text by itself.
    """

    kind: str
    whole: pa.Table
    selected: pa.Table
    trained: "_Trained"
    texts: int

    def numbers(self, words: pa.ChunkedArray, path: Path, start: int) -> np.ndarray:
        """Return (N,) int64 the number of each word, -1 for what is not trained on.

        Args:
            words: of lines, the first of which is line start + 1.
            path: of the file, for the message about a word that names nothing.
            start: see words.
        """
        place = index_in(words, self.trained.groups)
        numbers = np.where(place >= 0, self.trained.number[np.maximum(place, 0)], -1)
        lost = np.flatnonzero(place < 0)
        if lost.size:
            lost_words = words.take(pa.array(lost))
            strays = pc.unique(lost_words)
            of_stray = self._of_strays(strays)
            at = index_in(lost_words, strays)
            unknown = np.flatnonzero(of_stray[at] < -1)
            if unknown.size:
                word = strays[int(at[unknown[0]])].as_py()[:40]
                reason = f"the {self.kind} {word!r} is in no language of the collection"
                line = start + int(lost[unknown[0]]) + 1
                refuse(path, line, reason, key="line.not_in_collection")
            numbers[lost] = of_stray[at]
        return numbers

    def _of_strays(self, strays: pa.Array) -> np.ndarray:
        """Return the number of each word that names no group with a number; -2: it names nothing.

        The texts are looked up among the words, of which there are fewer.
        """
        of_stray = np.full(len(strays), -2, np.int64)
        texts = index_in(self.whole["id"], strays)
        of_stray[texts[texts >= 0]] = -1
        own = index_in(self.selected["id"], strays)
        rows = np.flatnonzero((own >= 0) & self.trained.rows)
        of_stray[own[rows]] = self.texts + rows
        groups = index_in(self.whole["group"], strays)
        of_stray[groups[groups >= 0]] = -1  # a word that names a group does not name a text
        return of_stray


@dataclass(frozen=True)
class _Trained:
    """The queries, or the passages, that are trained on.

    groups, number: (K,) names of their groups, and the numbers of these. rows: (N,) bool, which
    rows of the table of texts.
    """

    groups: pa.Array
    number: np.ndarray
    rows: np.ndarray


def _questions(collection: Collection, pairs: Pairs) -> _Trained:
    """Return the queries of the training pairs."""
    number, first = np.unique(pairs.question, return_index=True)
    return _trained(collection.queries, number, pairs.query[:, first])


def _answers(collection: Collection, pairs: Pairs) -> _Trained:
    """Return the passages of the training pairs, and the hard negatives."""
    number, first = np.unique(pairs.answer, return_index=True)
    texts = pairs.passage[:, first]
    if pairs.negatives is not None:
        more = ~np.isin(pairs.negatives.number, number)
        number = np.concatenate([number, pairs.negatives.number[more]])
        texts = np.concatenate([texts, pairs.negatives.passage[:, more]], axis=1)
    return _trained(collection.passages, number, texts)


def _trained(table: pa.Table, number: np.ndarray, texts: np.ndarray) -> _Trained:
    """Return what is trained on; texts: (L, K) rows of the texts of the numbers, -1: none."""
    rows = np.zeros(len(table), bool)
    rows[texts[texts >= 0]] = True
    groups = table["group"].take(pa.array(texts.max(axis=0, initial=-1))).combine_chunks()
    return _Trained(groups, number, rows)
