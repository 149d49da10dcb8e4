"""Run files: TREC's six columns and MS MARCO's three, in and out.

Within a query, passages go by (-score, passage id), as everywhere here; where a file has no scores,
by its ranks.
"""

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.retrieval.evaluated_texts import POOL, judged_pairs, places, setting_of, texts_of
from hybrid_sweep.retrieval.limits import check_plain
from hybrid_sweep.retrieval.measures import Floats, Ints
from hybrid_sweep.retrieval.ranking import Ranker
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_dir, atomic_write
from hybrid_sweep.utils.text_lines import numbered, refuse

BLOCK = 65_536  # judgements written at a time
MARCO_DEPTH = 1000  # ranks beyond it MS MARCO's own script refuses
FORMS = (
    "a TREC run (query, Q0, passage, rank, score, tag) or an MS MARCO run (query, passage, rank)"
)


@dataclass(frozen=True)
class RunFile:
    """A run file: N lines, (N,) each, by query in the order of the file, and by rank.

    queries, passages: the ids. query, passage: their places there. rank: from 1. last: the rank of
    the last passage of exactly its score. line: number in the file, from 1.
    """

    path: Path
    queries: list[str]
    passages: list[str]
    query: Ints
    passage: Ints
    rank: Ints
    last: Ints
    line: Ints


def read_run(path: Path) -> RunFile:
    """Read a run, plain or gzip: tabs or other white space, in each line by itself; all lines of
    one form.

    Of a TREC run the scores order the passages; its ranks must be whole numbers that do not
    contradict them. Of an MS MARCO run the ranks count as they stand. Raises UserError, with file,
    line and reason, for another form, a passage or an MS MARCO rank twice in a query, a rank or
    score that is no number.
    """
    query_ids: dict[str, int] = {}
    passage_ids: dict[str, int] = {}
    queries = array("q")
    passages = array("q")
    ranks = array("q")
    lines = array("q")
    scores = array("d")
    width = 0
    for number, words in _fields(path):
        width = len(words)
        if width == 6:
            query_id, _, passage_id, place, value, _ = words
        else:
            query_id, passage_id, place = words
        queries.append(query_ids.setdefault(query_id, len(query_ids)))
        passages.append(passage_ids.setdefault(passage_id, len(passage_ids)))
        ranks.append(_rank(path, number, place, 0 if width == 6 else 1))
        lines.append(number)
        if width == 6:
            scores.append(_score(path, number, value))
    if not width:
        raise UserError(f"{path}: the file is empty; it should hold {FORMS}", key="data.file_empty")
    query = np.array(queries, np.int64)
    passage = np.array(passages, np.int64)
    rank = np.array(ranks, np.int64)
    line = np.array(lines, np.int64)
    names = (list(query_ids), list(passage_ids))
    _unique(path, query, passage, line, lambda at: f"the passage {names[1][passage[at]]!r}")
    if width == 3:
        _unique(path, query, rank, line, lambda at: f"the rank {rank[at]}")
        order = np.lexsort((rank, query))
        rank = rank[order]
        return RunFile(path, *names, query[order], passage[order], rank, rank, line[order])
    score = np.array(scores)
    _agree(path, query, rank, score, line)
    order = np.lexsort((places(pa.array(names[1]))[passage], -score, query))
    query, passage, line = query[order], passage[order], line[order]
    return RunFile(path, *names, query, passage, *_ranks(query, score[order]), line)


def _fields(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the words of each line; all lines have as many as the first, three or
    six.
    """
    width = 0
    for number, text in numbered(path):
        words = _words(text)
        if not width:
            width = len(words)
            if width not in (3, 6):
                refuse(
                    path,
                    number,
                    f"has {width} columns; the file should hold {FORMS}",
                    key="line.columns",
                )
        if len(words) != width:
            refuse(
                path,
                number,
                f"has {len(words)} columns, the first line {width}",
                key="line.columns",
            )
        yield number, words


def _words(text: str) -> list[str]:
    """Return the words of a line: between tabs, where ids may hold spaces, if that gives a form
    with a rank; else between any white space.
    """
    columns = text.split("\t")
    place = {3: 2, 6: 3}.get(len(columns))
    if place is not None and columns[place].isdigit():
        return columns
    return text.split()


def _rank(path: Path, line: int, word: str, least: int) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 9) or int(word) < least:
        refuse(
            path,
            line,
            f"the rank {word[:40]!r} is not a whole number of {least} or more",
            key="line.rank",
        )
    return int(word)


def _score(path: Path, line: int, word: str) -> float:
    try:
        if "_" not in word:
            value = float(word)
        else:
            value = math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        refuse(path, line, f"the score {word[:40]!r} is not a finite number", key="line.score")
    return value


def _unique(path: Path, query: Ints, value: Ints, line: Ints, named: Callable[[int], str]) -> None:
    """Refuse a value that a query has twice; lines are in the order of the file."""
    order = np.lexsort((line, value, query))
    again = (np.diff(query[order]) == 0) & (np.diff(value[order]) == 0)
    if again.any():
        at = order[1:][again]
        first = int(at[np.argmin(line[at])])
        refuse(
            path,
            int(line[first]),
            f"{named(first)} stands in an earlier line of the query already",
            key="line.repeated_in_list",
        )


def _agree(path: Path, query: Ints, rank: Ints, score: Floats, line: Ints) -> None:
    """Refuse a rank behind a lower score; equal ranks say nothing."""
    order = np.lexsort((-score, rank, query))
    wrong = (np.diff(query[order]) == 0) & (np.diff(score[order]) > 0)
    if wrong.any():
        at = int(order[1:][wrong].min())
        refuse(
            path,
            int(line[at]),
            f"the rank {rank[at]} contradicts the score {score[at]:g}: a better rank has a"
            " lower one",
            key="line.rank_contradicts_score",
        )


def _ranks(query: Ints, score: Floats) -> tuple[Ints, Ints]:
    """Return ranks and ends of blocks of equal score, of lines sorted by query and score."""
    places = np.arange(len(query))
    fresh = np.ones(len(query), bool)
    fresh[1:] = query[1:] != query[:-1]
    begin = np.flatnonzero(fresh)[np.cumsum(fresh) - 1]
    ends = np.ones(len(query), bool)
    ends[:-1] = fresh[1:] | (score[1:] != score[:-1])
    end = np.flatnonzero(ends)[np.cumsum(ends) - ends]
    return places - begin + 1, end - begin + 1


def write_trec(
    path: Path,
    query_ids: Sequence[str],
    passage_ids: pa.ChunkedArray,
    rows: Ints,
    scores: Floats,
    tag: str,
) -> None:
    """Write lists as a TREC run, atomically: rows, scores (Q, k), the best first; scores are
    written exactly.

    Raises UserError for an id that holds white space, which the format cannot hold.
    """
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for query, row, score in zip(query_ids, rows, scores.tolist(), strict=True):
            names = passage_ids.take(pa.array(row)).to_pylist()
            check_plain([query, *names])
            for rank, (passage, value) in enumerate(zip(names, score, strict=True), 1):
                file.write(f"{query} Q0 {passage} {rank} {value!r} {tag}\n")


def write_runs(
    folder: Path, tables: tuple[pa.Table, pa.Table, pa.Table], ranker: Ranker, depth: int, tag: str
) -> None:
    """Write the first `depth` passages of every query in every pool, and the judgements, as TREC
    files into `folder`.

    tables: queries, passages and qrels, as for `per_query.evaluate`. The files are {setting}.{query
    language}.{passage language, or all}.trec, queries by id, and qrels.trec, of single texts; the
    whole folder at once. Where groups are numbers, as in MS MARCO, each pool of one language has a
    {...}.tsv too: a run of these numbers, at most 1,000 deep, for its own script.
    """
    queries, passages, qrels = tables
    texts = texts_of(queries, passages)
    names = np.array(queries["id"].to_pylist(), dtype=object)
    numbers = None
    if _are_numbers(queries) and _are_numbers(passages):
        numbers = np.array(queries["group"].to_pylist(), dtype=object)
    with atomic_dir(folder) as temporary:
        for code, passage_lang in enumerate([*texts.languages, POOL]):
            if passage_lang == POOL:
                pool = None
            else:
                pool = np.flatnonzero(texts.passage_lang == code)
            if pool is not None and not len(pool):
                continue
            rows, scores = ranker.top(depth, texts.tie_order, pool)
            for language in np.unique(texts.query_lang).tolist():
                mine = np.flatnonzero(texts.query_lang == language)
                mine = mine[np.argsort(texts.query_order[mine])]
                query_lang = texts.languages[language]
                setting = setting_of(query_lang, passage_lang)
                name = f"{setting}.{query_lang}.{'all' if pool is None else passage_lang}"
                path = temporary / f"{name}.trec"
                ids = passages["id"]
                write_trec(path, names[mine].tolist(), ids, rows[mine], scores[mine], tag)
                if numbers is not None and pool is not None:
                    path = temporary / f"{name}.tsv"
                    groups = passages["group"]
                    write_marco(path, numbers[mine].tolist(), groups, rows[mine])
        _write_qrels(temporary / "qrels.trec", queries, passages, qrels)


def write_marco(
    path: Path, query_ids: Sequence[str], passage_ids: pa.ChunkedArray, rows: Ints
) -> None:
    """Write lists as an MS MARCO run (query, passage, rank), atomically: rows (Q, k), the best
    first.
    """
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for query, row in zip(query_ids, rows[:, :MARCO_DEPTH], strict=True):
            for rank, passage in enumerate(passage_ids.take(pa.array(row)).to_pylist(), 1):
                file.write(f"{query}\t{passage}\t{rank}\n")


def _are_numbers(table: pa.Table) -> bool:
    """Return whether a whole number, the group, names each text in its language."""
    whole = pc.all(pc.match_substring_regex(table["group"], r"^(0|[1-9][0-9]{0,17})$")).as_py()
    return bool(whole and len(table.group_by(["group", "lang"]).aggregate([])) == len(table))


def _write_qrels(path: Path, queries: pa.Table, passages: pa.Table, qrels: pa.Table) -> None:
    """Write every judgement of these texts, grade 0 included: one of groups gives a line for each
    pair of its texts.
    """
    query, passage, grade = judged_pairs(queries, passages, qrels, least=0)
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for start in range(0, len(query), BLOCK):
            part = slice(start, start + BLOCK)
            query_ids = queries["id"].take(pa.array(query[part])).to_pylist()
            passage_ids = passages["id"].take(pa.array(passage[part])).to_pylist()
            grades = grade[part].tolist()
            for one, other, value in zip(query_ids, passage_ids, grades, strict=True):
                file.write(f"{one} 0 {other} {value}\n")
