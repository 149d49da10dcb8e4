"""MS MARCO's judgements: qrels of its own parts and of TREC Deep Learning, or the training pairs
that triples tell.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid_sweep.data.text_records import file_of
from hybrid_sweep.data.tsv import rows, whole
from hybrid_sweep.utils.text_lines import BadLine, Problems, refuse

# TREC Deep Learning: English questions of their own, grades 0 to 3
TRACKS = {"dl19": "2019", "dl20": "2020"}
TRIPLES = "triples.train.ids.small.tsv"
SAID = 10_000_000  # lines of triples between two lines of progress


@dataclass(frozen=True)
class Judgements:
    """A file of judgements: (N,) int64 line, numbers of question and passage, and grade of each."""

    path: Path
    line: np.ndarray
    query: np.ndarray
    passage: np.ndarray
    grade: np.ndarray


def name_of(part: str) -> str:
    """Return the name of the qrels of a part: train, dev, dev.small, dl19, dl20."""
    if part in TRACKS:
        return f"{TRACKS[part]}qrels-pass.txt"
    return f"qrels.{part}.tsv"


def read_judgements(
    part: str, folders: list[Path], problems: Problems, say: Callable[[str], None]
) -> Judgements | None:
    """Return the judgements of a part, from the first of the folders that has them; None where none
    has.

    Of train, where there are no qrels, the positives of triples. A pair may be judged once; of
    others the later line is bad.
    """
    for path in (file_of(folder, name_of(part)) for folder in folders):
        if path.is_file():
            return _qrels(path, problems, tabs=part not in TRACKS)
    for path in (file_of(folder, TRIPLES) for folder in folders):
        if part == "train" and path.is_file():
            say(f"reading {path}: without {name_of(part)} its positives are the training pairs")
            return _triples(path, problems, say)
    return None


def repeated(values: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the places, in order, whose value, or row, stands at an earlier place too, and the
    first such place.
    """
    # Of millions of numbers in ascending order, as those of passages mostly are, no copy is made.
    if values.ndim == 1 and (
        (values[1:] > values[:-1]).all() or (np.diff(np.sort(values)) > 0).all()
    ):
        return
    _, first, inverse = np.unique(values, axis=0, return_index=True, return_inverse=True)
    earliest = first[inverse.ravel()]
    for again in np.flatnonzero(earliest != np.arange(len(values))):
        yield int(again), int(earliest[again])


def _qrels(path: Path, problems: Problems, *, tabs: bool) -> Judgements:
    """Return a TREC file of judgements: question, a field that is ignored, passage, grade."""
    columns = [array("q"), array("q"), array("q"), array("q")]
    for line, (query, _, passage, grade) in rows(path, 4, problems, tabs=tabs):
        try:
            values = [
                whole(path, line, "query id", query),
                whole(path, line, "passage id", passage),
                whole(path, line, "grade", grade),
            ]
            if values[2] >= 2**31:
                refuse(path, line, f"the grade {grade} is too large", key="line.grade_too_large")
        except BadLine as error:
            problems.take(error)
            continue
        for column, value in zip(columns, [line, *values], strict=True):
            column.append(value)
    judgements = Judgements(path, *(np.array(column, np.int64) for column in columns))
    use = np.ones(len(judgements.line), bool)
    for again, _ in repeated(np.stack([judgements.query, judgements.passage], axis=1)):
        pair = f"the query {judgements.query[again]} and the passage {judgements.passage[again]}"
        problems.add(
            path,
            int(judgements.line[again]),
            f"{pair} are judged in an earlier line already",
            key="line.judged_twice",
        )
        use[again] = False
    if use.all():
        return judgements
    return Judgements(path, *(np.array(column, np.int64)[use] for column in columns))


def _triples(path: Path, problems: Problems, say: Callable[[str], None]) -> Judgements:
    """Return the distinct pairs of question and positive of a file of triples, each with the line
    where it stands first.
    """
    first: dict[tuple[str, str], int] = {}
    for line, (query, positive, negative) in rows(path, 3, problems):
        if line % SAID == 0:
            say(f"  {line:,} lines, {len(first):,} pairs")
        if (query, positive) in first:
            continue
        try:
            for name, word in (
                ("query id", query),
                ("passage id", positive),
                ("passage id", negative),
            ):
                whole(path, line, name, word)
        except BadLine as error:
            problems.take(error)
            continue
        first[query, positive] = line
    pairs = np.array([[int(word) for word in pair] for pair in first], np.int64).reshape(-1, 2)
    return Judgements(
        path,
        np.array([*first.values()], np.int64),
        pairs[:, 0],
        pairs[:, 1],
        np.ones(len(pairs), np.int64),
    )
