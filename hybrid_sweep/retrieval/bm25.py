"""BM25, the lexical baseline, as a `ranking.Ranker`: an index of each language, exact ranks,
nothing learned. No torch.

The score of a passage is the sum, over the words of the query, of the word's weight in the passage,

    log(1 + (N - n + 0.5) / (n + 0.5)) * f / (f + k1 (1 - b + b l / m)),

with f the word's count in the passage, l its length in words, and N, n, m the passages, the
passages with the word and the mean length in the index of the passage's language (Robertson's BM25
as Lucene has it: Kamphuis et al., 2020, "Which BM25 do you mean?"). bm25s makes the weights; each
is rounded to 1e-9 and kept as a whole number of these, so that sums are exact in any order and
equal scores are equal on every machine. A passage that shares no word has score 0.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from hybrid_sweep.retrieval.analyzer import stems, words
from hybrid_sweep.retrieval.measures import Floats, Ints
from hybrid_sweep.utils.files import cleared

UNITS = 1e9  # a stored weight is a whole number of 1 / UNITS
BLOCK = 65_536  # texts turned into Python strings at a time
CELLS = 2**22  # scores above 0 held at a time: about 100 MB with what is made of them


@dataclass(frozen=True)
class Index:
    """The passages of one language, and every query in the words of that language.

    passages: (P,) row numbers, ascending. weights: (V, P) of words in passages, whole numbers of 1
    / UNITS, above 0. queries: (Q, V) counts of words.
    """

    passages: Ints
    weights: sparse.csr_matrix
    queries: sparse.csr_matrix


@dataclass(frozen=True)
class Bm25:
    """Ranks Q queries and P passages by words; the passages of all languages together by their raw
    scores.
    """

    indexes: tuple[Index, ...]
    n_queries: int
    n_passages: int

    def ranked(
        self, k: int, query: Ints, passage: Ints, language: Ints, tie_order: Ints
    ) -> tuple[Ints, Ints, Ints]:
        """See `ranking.Ranker.ranked`."""
        return *self.pairs(query, passage, language, tie_order), self.top(k, tie_order)[0]

    def pairs(
        self, query: Ints, passage: Ints, language: Ints, tie_order: Ints
    ) -> tuple[Ints, Ints]:
        """Return the counts of `ranking.Ranker.ranked`. Memory beyond the index: the scores above 0
        of some queries at a time, and a copy of an index whose passages have several codes."""
        before, after = np.zeros((2, len(query), int(language.max(initial=-1)) + 1), dtype=np.int64)
        indexes: list[Index] = []
        for index in self.indexes:
            indexes += _by_code(index, language[index.passages])
        codes = [int(language[index.passages[0]]) for index in indexes]
        ties = [tie_order[index.passages] for index in indexes]
        sorted_ties = [np.sort(tie) for tie in ties]
        home, column = np.empty((2, self.n_passages), dtype=np.int64)
        for number, index in enumerate(indexes):
            home[index.passages], column[index.passages] = number, np.arange(len(index.passages))
        by_query = np.argsort(query, kind="stable")
        asked, start = np.unique(query[by_query], return_index=True)
        groups = np.split(by_query, start[1:])
        for first, rows in self._chunks(asked, indexes):
            matrices = [index.queries[rows] @ index.weights for index in indexes]
            for line, mine in enumerate(groups[first : first + len(rows)]):
                scored = [_row(matrix, line) for matrix in matrices]
                own = tie_order[passage[mine]]
                target = np.zeros(len(mine))
                for pair, answer in enumerate(passage[mine].tolist()):
                    places, values = scored[home[answer]]
                    target[pair] = values[places == column[answer]].sum()
                for number, (places, values) in enumerate(scored):
                    here = (values, ties[number][places], sorted_ties[number])
                    chunks = 1 + len(mine) * len(values) // CELLS
                    for part in np.array_split(np.arange(len(mine)), chunks):
                        cells = (mine[part], codes[number])
                        before[cells], after[cells] = _count(here, target[part], own[part])
        return before, after

    def top(self, k: int, tie_order: Ints, pool: Ints | None = None) -> tuple[Ints, Floats]:
        """See `ranking.Ranker.top`. What shares no word with the query comes last, by id."""
        inside = np.full(self.n_passages, pool is None)
        if pool is not None:
            inside[pool] = True
        k = min(k, int(inside.sum()))
        rows_of = np.zeros((self.n_queries, k), np.int64)
        scores = np.zeros((self.n_queries, k))
        by_id = np.argsort(tie_order)
        by_id = by_id[inside[by_id]]
        indexes = [index for index in self.indexes if inside[index.passages].any()]
        for _, rows in self._chunks(np.arange(self.n_queries if k else 0), indexes):
            matrices = [index.queries[rows] @ index.weights for index in indexes]
            for line, row in enumerate(rows.tolist()):
                passage, value = _scored(indexes, matrices, line)
                if pool is not None:
                    here = inside[passage]
                    passage, value = passage[here], value[here]
                if len(value) > k:
                    least = np.partition(value, len(value) - k)[len(value) - k]
                    likely = np.flatnonzero(value >= least)
                    passage, value = passage[likely], value[likely]
                order = np.lexsort((tie_order[passage], -value))[:k]
                if len(order) < k:
                    rest = by_id[: k + len(order)]
                else:
                    rest = by_id[:0]
                rest = rest[~np.isin(rest, passage)][: k - len(order)]
                rows_of[row] = np.concatenate([passage[order], rest])
                scores[row, : len(order)] = value[order] / UNITS
        return rows_of, scores

    def scores(self, query: Ints, passage: Ints) -> Floats:
        """See `ranking.Ranker.scores`. Memory beyond the index: the weights of these passages."""
        values = np.zeros(len(query))
        for index in self.indexes:
            place = np.searchsorted(index.passages, passage)
            place = np.minimum(place, len(index.passages) - 1)
            pairs = np.flatnonzero(index.passages[place] == passage)
            columns, line = np.unique(place[pairs], return_inverse=True)
            by_passage = index.weights[:, columns].T.tocsr()
            for start in range(0, len(pairs), BLOCK):
                part = slice(start, start + BLOCK)
                terms = index.queries[query[pairs[part]]].multiply(by_passage[line[part]])
                values[pairs[part]] = np.asarray(terms.sum(axis=1)).ravel()
        return values / UNITS

    def _chunks(self, rows: Ints, indexes: Sequence[Index]) -> Iterator[tuple[int, Ints]]:
        """Yield the place of the first, and the row numbers, of queries with at most CELLS scores
        above 0 between them.
        """
        most = np.zeros(self.n_queries, dtype=np.int64)  # by query: the postings of its words
        for index in indexes:
            most += (index.queries > 0) @ np.diff(index.weights.indptr).astype(np.int64)
        chunk = np.cumsum(most[rows]) // CELLS
        edges = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(rows)]
        for first, last in itertools.pairwise(edges):
            if first < last:
                yield first, rows[first:last]


class Formula(Protocol):
    """What a score depends on besides the texts: the fields of these names of `model=bm25`."""

    k1: float  # how slowly more occurrences of a word stop to count
    b: float  # how much longer passages are held back
    stem: bool  # whether words are put into Snowball stems


def build(
    queries: pa.Table,
    passages: pa.Table,
    formula: Formula,
    say: Callable[[str], None],
    folder: Path | None = None,
) -> Bm25:
    """Return the ranker of some queries and passages: tables with lang and text, whose rows it
    speaks of.

    A query is put into the words of each index's language, whatever its own is: which language a
    user writes in is not known to an index. The indexes, 12 bytes for each distinct word of each
    passage, are files in `folder`, mapped, where that is given, else in memory. Memory besides: the
    words of one language's passages, as lists of numbers.
    """
    asked = [words(text) for text in _texts(queries)]
    indexes = []
    for number, language in enumerate(sorted(pc.unique(passages["lang"]).to_pylist())):
        rows = np.flatnonzero(pc.equal(passages["lang"], language).to_numpy(zero_copy_only=False))
        say(f"BM25: indexing {len(rows):,} passages in {language}")
        stem = stems(language) if formula.stem else list
        vocabulary: dict[str, int] = {}
        texts = []
        for text in _texts(passages, language):
            stemmed = stem(words(text))
            texts.append([vocabulary.setdefault(word, len(vocabulary)) for word in stemmed])
        weights = _weights(texts, len(vocabulary), formula)
        if folder:
            weights = _mapped(weights, folder / f"bm25-{number}")
        numbers = []
        for query in asked:
            numbers.append([vocabulary[word] for word in stem(query) if word in vocabulary])
        indexes.append(Index(rows, weights, _counts(numbers, len(vocabulary))))
    return Bm25(tuple(indexes), len(queries), len(passages))


def _texts(table: pa.Table, language: str | None = None) -> Iterator[str]:
    """Yield the texts of a table, or those in one language, a block at a time as Python strings."""
    for batch in table.select(["lang", "text"]).to_batches(max_chunksize=BLOCK):
        if language is None:
            chosen = batch
        else:
            chosen = batch.filter(pc.equal(batch["lang"], language))
        yield from chosen["text"].to_pylist()


def _weights(texts: list[list[int]], vocabulary: int, formula: Formula) -> sparse.csr_matrix:
    """Return (V, P) the weights of words in passages, in whole numbers of 1 / UNITS; texts: the
    words of each passage, by number.
    """
    from bm25s import BM25

    if not vocabulary:
        return sparse.csr_matrix((0, len(texts)), dtype=np.float64)
    index = BM25(k1=formula.k1, b=formula.b, method="lucene", dtype="float64")
    made = index.build_index_from_ids(range(vocabulary), texts, show_progress=False)
    # What bm25s stores by word as (passage, weight) is, read by rows, the matrix of words and
    # passages.
    parts = (np.rint(made["data"] * UNITS), made["indices"], made["indptr"])
    weights = sparse.csr_matrix(parts, (vocabulary, len(texts)), dtype=np.float64)
    weights.eliminate_zeros()
    return weights


def _mapped(matrix: sparse.csr_matrix, folder: Path) -> sparse.csr_matrix:
    """Return the same matrix, its arrays files of a folder, which is made anew: no index is read
    that another process wrote.
    """
    cleared(folder)
    folder.mkdir(parents=True)
    parts = []
    for name in ("data", "indices", "indptr"):
        np.save(folder / f"{name}.npy", getattr(matrix, name))
        parts.append(np.load(folder / f"{name}.npy", mmap_mode="r"))
    return sparse.csr_matrix(tuple(parts), matrix.shape)


def _counts(texts: list[list[int]], vocabulary: int) -> sparse.csr_matrix:
    """Return (Q, V) how often each word occurs in each text."""
    starts = np.cumsum([0, *map(len, texts)])
    flat = np.fromiter(itertools.chain.from_iterable(texts), np.int64, starts[-1])
    counts = sparse.csr_matrix((np.ones(len(flat)), flat, starts), (len(texts), vocabulary))
    counts.sum_duplicates()
    return counts


def _row(matrix: sparse.csr_matrix, line: int) -> tuple[Ints, Floats]:
    """Return the columns and values of a line's entries."""
    part = slice(matrix.indptr[line], matrix.indptr[line + 1])
    return matrix.indices[part], matrix.data[part]


def _scored(
    indexes: Sequence[Index], matrices: Sequence[sparse.csr_matrix], line: int
) -> tuple[Ints, Floats]:
    """Return the passages of all indexes that share a word with the query of a line, and their
    scores.
    """
    passages, scores = [], []
    for index, matrix in zip(indexes, matrices, strict=True):
        places, values = _row(matrix, line)
        passages.append(index.passages[places])
        scores.append(values)
    return np.concatenate(passages), np.concatenate(scores)


def _by_code(index: Index, codes: Ints) -> list[Index]:
    """Return the index in parts whose passages have one code each, every weight as it was. codes:
    of its passages.
    """
    if (codes == codes[0]).all():
        return [index]
    places = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    return [
        Index(index.passages[place], index.weights[:, place], index.queries) for place in places
    ]


def _count(index: tuple[Floats, Ints, Ints], target: Floats, own: Ints) -> tuple[Ints, Ints]:
    """Return (pairs,) how many passages of an index stand before each pair's own, and how many of
    its score after it.

    index: (n,) the scores above 0, and the passages' places by id; (P,) the places of all passages
    of the index, ascending, whose other scores are 0. target, own: score and place of each pair's
    passage.
    """
    values, ties, sorted_ties = index
    first = ties < own[:, None]
    last = ties > own[:, None]
    equal = values == target[:, None]
    before = (values > target[:, None]).sum(axis=1) + (equal & first).sum(axis=1)
    after = (equal & last).sum(axis=1)
    none = target == 0  # the pair's passage shares no word: it stands among all that share none
    if none.any():
        left = np.searchsorted(sorted_ties, own) - first.sum(axis=1)
        right = len(sorted_ties) - np.searchsorted(sorted_ties, own, side="right")
        before = np.where(none, len(values) + left, before)
        after = np.where(none, right - last.sum(axis=1), after)
    return before, after
