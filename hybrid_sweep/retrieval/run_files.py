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

from hybrid_sweep.retrieval.measures import Floats, Ints
from hybrid_sweep.retrieval.per_query import POOL, judged_pairs, places, setting_of, texts_of
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
class Run:
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


def read_run(path: Path) -> Run:
    """Read a run, plain or gzip: tabs, or spaces where the first line has no tab; all lines of one
    form.

    Of a TREC run the scores order the passages; its ranks must be whole numbers that do not
    contradict them. Of an MS MARCO run the ranks count as they stand. Raises UserError, with file,
    line and reason, for another form, a passage or an MS MARCO rank twice in a query, a rank or
    score that is no number.
    """
    ids: tuple[dict[str, int], dict[str, int]] = ({}, {})
    query, passage, rank, line, score = array("q"), array("q"), array("q"), array("q"), array("d")
    width = 0
    for number, words in _fields(path):
        width = width or len(words)
        one, other, place = (words[0], words[2], words[3]) if width == 6 else words
        query.append(ids[0].setdefault(one, len(ids[0])))
        passage.append(ids[1].setdefault(other, len(ids[1])))
        rank.append(_rank(path, number, place, 0 if width == 6 else 1))
        line.append(number)
        score.append(_score(path, number, words[4]) if width == 6 else 0.0)
    if not width:
        raise UserError(f"{path}: the file is empty; it should hold {FORMS}", key="data.file_empty")
    columns = [np.array(each, np.int64) for each in (query, passage, rank, line)]
    _unique(
        path,
        columns[0],
        columns[1],
        columns[3],
        lambda at: f"the passage {list(ids[1])[columns[1][at]]!r}",
    )
    if width == 3:
        _unique(path, columns[0], columns[2], columns[3], lambda at: f"the rank {columns[2][at]}")
        order = np.lexsort((columns[2], columns[0]))
        codes, passages, ranks, lines = (column[order] for column in columns)
        return Run(path, list(ids[0]), list(ids[1]), codes, passages, ranks, ranks, lines)
    scores = np.array(score)
    _agree(path, columns[0], columns[2], scores, columns[3])
    names = list(ids[1])
    order = np.lexsort((places(pa.array(names))[columns[1]], -scores, columns[0]))
    codes, passages, lines = (columns[at][order] for at in (0, 1, 3))
    ranks, last = _ranks(codes, scores[order])
    return Run(path, list(ids[0]), names, codes, passages, ranks, last, lines)


def _fields(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the words of each line; all lines have as many as the first, three or
    six.
    """
    width, tabs = 0, False
    for number, text in numbered(path):
        tabs = "\t" in text if not width else tabs
        words = text.split("\t") if tabs else text.split()
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
        value = float(word) if "_" not in word else math.nan
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
            found = passage_ids.take(pa.array(row)).to_pylist()
            for name in (query, *found):
                _plain(name)
            file.writelines(
                f"{query} Q0 {passage} {rank} {value!r} {tag}\n"
                for rank, (passage, value) in enumerate(zip(found, score, strict=True), 1)
            )


def _plain(name: str) -> None:
    if name.split() != [name]:
        raise UserError(
            f"the id {name!r} holds white space, which a TREC run cannot hold; set"
            " eval.run_depth=0",
            key="run_file.white_space",
        )


def write_runs(
    folder: Path,
    queries: pa.Table,
    passages: pa.Table,
    qrels: pa.Table,
    ranker: Ranker,
    depth: int,
    tag: str,
) -> None:
    """Write the first `depth` passages of every query in every pool, and the judgements, as TREC
    files into `folder`.

    {setting}.{query language}.{passage language, or all}.trec, queries by id, and qrels.trec, of
    single texts; the whole folder at once. Where groups are numbers, as in MS MARCO, each pool of
    one language has a {...}.tsv too: a run of these numbers, at most 1,000 deep, for its own
    script.
    """
    texts = texts_of(queries, passages)
    names = queries["id"].to_pylist()
    numbered = _are_numbers(queries) and _are_numbers(passages)
    numbers = queries["group"].to_pylist() if numbered else []
    with atomic_dir(folder) as temporary:
        for pool in range(len(texts.languages) + 1):
            rows = (
                None if pool == len(texts.languages) else np.flatnonzero(texts.passage_lang == pool)
            )
            if rows is not None and not len(rows):
                continue
            found, scores = ranker.top(depth, texts.tie_order, rows)
            for language in np.unique(texts.query_lang).tolist():
                mine = np.flatnonzero(texts.query_lang == language)
                mine = mine[np.argsort(texts.query_order[mine])]
                one, other = texts.languages[language], [*texts.languages, POOL][pool]
                name = f"{setting_of(one, other)}.{one}.{'all' if other == POOL else other}"
                ids = [names[row] for row in mine.tolist()]
                write_trec(
                    temporary / f"{name}.trec", ids, passages["id"], found[mine], scores[mine], tag
                )
                if numbered and rows is not None:
                    ids = [numbers[row] for row in mine.tolist()]
                    write_marco(temporary / f"{name}.tsv", ids, passages["group"], found[mine])
        _write_qrels(temporary / "qrels.trec", queries, passages, qrels)


def write_marco(
    path: Path, query_ids: Sequence[str], passage_ids: pa.ChunkedArray, rows: Ints
) -> None:
    """Write lists as an MS MARCO run (query, passage, rank), atomically: rows (Q, k), the best
    first.
    """
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for query, row in zip(query_ids, rows[:, :MARCO_DEPTH], strict=True):
            found = passage_ids.take(pa.array(row)).to_pylist()
            file.writelines(
                f"{query}\t{passage}\t{rank}\n" for rank, passage in enumerate(found, 1)
            )


def _are_numbers(table: pa.Table) -> bool:
    """Return whether a whole number, the group, names each text in its language."""
    whole = pc.all(pc.match_substring_regex(table["group"], r"^(0|[1-9][0-9]{0,17})$")).as_py()
    once = len(table.group_by(["group", "lang"]).aggregate([])) == len(table) if whole else False
    return bool(whole and once)


def _write_qrels(path: Path, queries: pa.Table, passages: pa.Table, qrels: pa.Table) -> None:
    """Write every judgement of these texts, grade 0 included: one of groups gives a line for each
    pair of its texts.
    """
    query, passage, grade = judged_pairs(queries, passages, qrels, least=0)
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for start in range(0, len(query), BLOCK):
            part = slice(start, start + BLOCK)
            names = (
                table["id"].take(pa.array(rows[part]))
                for table, rows in ((queries, query), (passages, passage))
            )
            lines = zip(*(each.to_pylist() for each in names), grade[part].tolist(), strict=True)
            file.writelines(f"{one} 0 {other} {value}\n" for one, other, value in lines)
