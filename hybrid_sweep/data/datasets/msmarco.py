"""MS MARCO and its translations (mMARCO) from local files: the official names, or the layout of
mMARCO's hub.

A question has one number in all languages, and so has a passage: the numbers are the groups. Where
groups.tsv stands beside the qrels, as in what export.py writes, it brings back the ids, groups and
splits that the numbers stand for.
"""

import hashlib
import tempfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hybrid_sweep.config.schema import MARCO_LANGUAGES, MarcoData
from hybrid_sweep.data.collection import QRELS, SPLITS, TEXTS, Collection, make
from hybrid_sweep.data.datasets.msmarco_judgements import (
    TRACKS,
    Judgements,
    name_of,
    read_judgements,
    repeated,
)
from hybrid_sweep.data.sorting import mapped
from hybrid_sweep.data.text_records import file_of
from hybrid_sweep.data.texts import batch_of, is_blank
from hybrid_sweep.data.tsv import rows, whole
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_json
from hybrid_sweep.utils.text_lines import SKIP, BadLine, Problems, refuse

BATCH = 65_536  # rows of Arrow made at a time, so that few texts are Python strings at once
PROGRESS = 2_000_000  # texts between two lines of progress: some seconds
Say = Callable[[str], None]


@dataclass(frozen=True)
class Names:
    """What groups.tsv says: group of (kind, number) in any language; id and split of (kind, number,
    language).
    """

    group: dict[tuple[str, int], str] = field(default_factory=dict)
    text: dict[tuple[str, int, str], tuple[str, str]] = field(default_factory=dict)

    def numbers(self, kind: str) -> np.ndarray:
        """Return all numbers of one kind, those of languages that are not read included."""
        return np.array([number for what, number in self.group if what == kind], np.int64)


def build(data: MarcoData, say: Say, work: Path | None = None) -> Collection:
    """Return the collection of the files in data.path, in data.languages: no other language's files
    are opened.

    Ids are "number@language". Only questions with a judgement (grade 0 included) are kept; those of
    train are split train, but for data.dev_share of them, those of data.qrels are split test;
    passages are split "*". With groups.tsv all of this is as it says. Texts are streamed through
    files in the folder `work` (None: the system's own for temporary files) and mapped from there.
    Raises UserError for a missing file, or with file, line and reason for a bad line, unless
    data.on_error=skip leaves such lines out: info lists them as `skipped`.
    """
    if not data.path:
        raise UserError(
            f"data={data.name} reads local files: give data.path=FOLDER; conf/data/{data.name}.yaml"
            " lists them",
            key="data.path_unset",
        )
    path = Path(data.path).expanduser()
    root = path
    if (path / "data" / data.translation).is_dir():
        root = path / "data"
    problems = Problems(data.on_error, say, hint=SKIP)
    names = None
    named = file_of(root, "groups.tsv")
    if named.is_file():
        names = _names(named, data.languages, problems)
    files = {language: _files(root, data, language) for language in sorted(data.languages)}
    splits = {"train": "train", data.qrels: "test"}
    if names is not None:
        splits = {"train": "train", "dev": "dev", "dev.small": "test"}
    judgements: dict[str, Judgements] = {}
    for part in splits:
        judged = read_judgements(part, [root, path], problems, say)
        if judged is not None:
            judgements[part] = judged
        elif part == data.qrels:
            raise UserError(f"{root / name_of(part)}: no such file", key="data.file_missing")
        else:
            say(f"{root / name_of(part)} is not there: the split {splits[part]} will be empty")
    if data.qrels in TRACKS and "en" not in data.languages:
        raise UserError(
            f"data.qrels={data.qrels}: its questions are in English only; add en to data.languages",
            key="config.data.qrels",
        )

    source = _Files(root, names, files, judgements, splits)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=work) as folder:
        return _read(data, source, Path(folder), problems, say)


@dataclass(frozen=True)
class _Files:
    """The files below `root`, of which the texts are still to be read.

    names: None where there is no groups.tsv. files: of each language the passages, and a function
    from a part to its questions. judgements: of each part. splits: that of the questions of each
    part.
    """

    root: Path
    names: Names | None
    files: dict[str, tuple[Path, Callable[[str], Path | None]]]
    judgements: dict[str, Judgements]
    splits: dict[str, str]


def _read(data: MarcoData, source: _Files, work: Path, problems: Problems, say: Say) -> Collection:
    """Read the texts through files in `work`, and keep the judgements between those that were
    read.
    """
    passages, questions, unjudged = _read_texts(data, source, work, problems, say)
    qrels = []
    for part, judged in source.judgements.items():
        present = {"passage": passages, "query": questions[part]}
        qrels.append(_qrels(judged, present, source.names, problems))
    texts = [mapped(work / kind) for kind in ("query", "passage")]
    if not all(map(len, texts)):
        kind = "query"
        if len(texts[0]):
            kind = "passage"
        raise problems.nothing_left(f"{source.root}: the files give no {kind} that can be used")
    info = {
        "source": "local files in the layout of MS MARCO or mMARCO",
        "licence": "that of the files; MS MARCO itself is for non-commercial research",
        "languages": sorted(data.languages),
        "translation": data.translation,
        "queries_without_judgement": unjudged,
    }
    exported = read_json(source.root / "source.json")
    if isinstance(exported, dict):
        info |= {"exported": exported, "licence": exported.get("licence", "unknown")}
    info |= problems.info()
    if len(texts[1]) > PROGRESS:
        say(f"sorting and checking {len(texts[1]):,} passages")
    return make(data.name, texts[0], texts[1], pa.concat_tables(qrels), info, work)


def _read_texts(
    data: MarcoData, source: _Files, work: Path, problems: Problems, say: Say
) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
    """Return the numbers of the passages that were read in any language, those of the questions of
    each part, and how many questions have no judgement.
    """
    nothing = np.zeros(0, np.int64)
    passages = nothing
    questions = dict.fromkeys(source.judgements, nothing)
    unjudged = 0
    with (
        pa.ipc.new_file(str(work / "passage"), TEXTS) as passage_sink,
        pa.ipc.new_file(str(work / "query"), TEXTS) as query_sink,
    ):
        for language, (collection, queries) in source.files.items():
            say(f"reading {collection}")
            reader = _Reader("passage", language, source.names, passage_sink, problems, say)
            numbers = reader.read(collection, lambda number: "*", None, {})
            passages = np.union1d(passages, numbers)
            earlier: dict[Path, np.ndarray] = {}
            for part, judged in source.judgements.items():
                path = queries(part)
                if path is None:
                    continue
                reader = _Reader("query", language, source.names, query_sink, problems, say)
                keep = set(judged.query.tolist())
                numbers = reader.read(path, _split_of(data, source.splits[part]), keep, earlier)
                questions[part] = np.union1d(questions[part], numbers)
                earlier[path] = numbers
                unjudged += len(numbers) - reader.kept
    return passages, questions, unjudged


def _files(root: Path, data: MarcoData, language: str) -> tuple[Path, Callable[[str], Path | None]]:
    """Return the passages of a language, and a function from the part (train, dev, dev.small, dl19,
    dl20) to its questions.

    The questions of TREC Deep Learning are not translated: None for them in another language than
    English.
    """
    base = root / data.translation
    called = [name for name, code in MARCO_LANGUAGES.items() if code == language]
    names = [*called, language]
    names_here = [name for name in names if _passages(base, name).is_file()]

    def questions(part: str) -> Path | None:
        if part in TRACKS:
            name = f"msmarco-test{TRACKS[part]}-queries.tsv"
            if language == "en":
                return file_of(root, name)
            return None
        if names_here:
            folder = base / "queries" / part.partition(".")[0]
            return file_of(folder, f"{names_here[0]}_queries.{part}.tsv")
        return file_of(root, f"queries.{part}.tsv")

    if names_here:
        return _passages(base, names_here[0]), questions
    english = file_of(root, "collection.tsv")
    if language == "en" and english.is_file():
        return english, questions
    files = base.glob("collections/*_collection.tsv*")
    there = sorted({file.name.partition("_collection.tsv")[0] for file in files})
    if english.is_file():
        there.append("english")
    raise UserError(
        f"{_passages(base, names[0])}: no such file, so no passages in {language}; in"
        f" data.path={data.path} there are: {', '.join(there) or 'no passages in any language'}",
        key="data.files_missing",
    )


def _passages(base: Path, name: str) -> Path:
    return file_of(base / "collections", f"{name}_collection.tsv")


def _split_of(data: MarcoData, split: str) -> Callable[[int], str]:
    """Return the split of a question by its number: a seeded hash sets a share of train apart,
    alike in all languages.
    """

    def share(number: int) -> str:
        word = hashlib.sha256(f"{data.dev_seed}:{number}".encode()).digest()[:8]
        if int.from_bytes(word, "little") < data.dev_share * 2**64:
            return "dev"
        return "train"

    if split == "train" and data.dev_share:
        return share
    return lambda number: split


class _Reader:
    """Reads files of texts of one kind and language into a file of Arrow batches; `kept` counts the
    texts kept.
    """

    def __init__(
        self, kind: str, language: str, names: Names | None, sink: Any, problems: Problems, say: Say
    ) -> None:
        self.say = say
        self.kind, self.language, self.names, self.sink, self.kept = kind, language, names, sink, 0
        self.problems = problems

    def read(
        self,
        path: Path,
        split: Callable[[int], str],
        keep: set[int] | None,
        earlier: dict[Path, np.ndarray],
    ) -> np.ndarray:
        """Return (N,) int64 numbers of all texts of a file, in its order; the sink gets those in
        `keep` (None: all).

        A number that stands twice is a bad line. Where bad lines are left out the file is read
        twice, so that it is known before a text is written.
        """
        numbers = array("q")
        pending: list[tuple[str, ...]] = []
        reported = 0
        if self.problems.strict:
            drop = {}
        else:
            drop = self._twice(path, earlier)
        for row in self._rows(path, numbers, split, keep, drop):
            pending.append(row)
            if len(pending) == BATCH:
                self._flush(pending)
                if len(numbers) >= (reported + 1) * PROGRESS:
                    reported = len(numbers) // PROGRESS
                    self.say(f"  {path.name}: {len(numbers):,} lines")
        self._flush(pending)
        everything = np.array(numbers, np.int64)
        if self.problems.strict:
            lines = np.arange(1, len(everything) + 1)
            for line, reason in self._again(everything, lines, earlier):
                refuse(path, line, reason, key="line.text_repeated")
        return everything

    def _twice(self, path: Path, earlier: dict[Path, np.ndarray]) -> dict[int, str]:
        """Return why the lines cannot be used whose numbers stand elsewhere already."""
        numbers = array("q")
        lines = array("q")
        for line, number, _, _ in self._texts(path, Problems("skip")):
            numbers.append(number)
            lines.append(line)
        return dict(self._again(np.array(numbers, np.int64), np.array(lines, np.int64), earlier))

    def _again(
        self, numbers: np.ndarray, lines: np.ndarray, earlier: dict[Path, np.ndarray]
    ) -> Iterator[tuple[int, str]]:
        for again, first in repeated(numbers):
            reason = f"the {self.kind} {numbers[again]} stands in line {lines[first]} already"
            yield int(lines[again]), reason
        for other, before in earlier.items():
            for twice in np.flatnonzero(np.isin(numbers, before)):
                reason = f"the {self.kind} {numbers[twice]} stands in {other} already"
                yield int(lines[twice]), reason

    def _texts(self, path: Path, problems: Problems) -> Iterator[tuple[int, int, str, str]]:
        """Yield line, number, the number as a word, and text."""
        for line, (word, text) in rows(path, 2, problems):
            try:
                number = whole(path, line, f"{self.kind} id", word)
                if is_blank(text):
                    refuse(
                        path, line, f"the {self.kind} {number} has no text", key="line.text_empty"
                    )
            except BadLine as error:
                problems.take(error)
                continue
            yield line, number, word, text

    def _rows(
        self,
        path: Path,
        numbers: "array[int]",
        split: Callable[[int], str],
        keep: set[int] | None,
        drop: dict[int, str],
    ) -> Iterator[tuple[str, ...]]:
        for line, number, word, text in self._texts(path, self.problems):
            if line in drop:
                self.problems.add(path, line, drop[line], key="line.text_repeated")
                continue
            if keep is not None and number not in keep:
                numbers.append(number)
                continue
            if self.names is None:
                numbers.append(number)
                yield f"{number}@{self.language}", word, self.language, split(number), text
                continue
            named = self.names.text.get((self.kind, number, self.language))
            if named is None:
                self.problems.add(
                    path,
                    line,
                    f"groups.tsv has no {self.kind} {number} in {self.language}",
                    key="line.text_unnamed",
                )
                continue
            numbers.append(number)
            yield named[0], self.names.group[self.kind, number], self.language, named[1], text

    def _flush(self, pending: list[tuple[str, ...]]) -> None:
        if pending:
            self.sink.write_batch(batch_of(pending))
            self.kept += len(pending)
            pending.clear()


def _qrels(
    judged: Judgements, present: dict[str, np.ndarray], names: Names | None, problems: Problems
) -> pa.Table:
    """Return the judgements between texts that were read; those of texts that are in no language at
    all are bad lines.
    """
    use = np.ones(len(judged.query), bool)
    columns = {"query": judged.query, "passage": judged.passage}
    for kind, numbers in columns.items():
        if names is None:
            texts = present[kind]
        else:
            texts = names.numbers(kind)
        for stray in np.flatnonzero(~np.isin(numbers, texts)):
            reason = f"judges the {kind} {numbers[stray]}, which is in no file of texts"
            problems.add(judged.path, int(judged.line[stray]), reason, key="line.judgement_stray")
        use &= np.isin(numbers, present[kind])
    groups = []
    for kind, numbers in columns.items():
        used = numbers[use].tolist()
        groups.append([names.group[kind, number] if names else str(number) for number in used])
    return pa.table([*groups, judged.grade[use]], names=QRELS.names).cast(QRELS)


def _names(path: Path, languages: list[str], problems: Problems) -> Names:
    """Read groups.tsv: number, kind (query, passage), language, split, id, group; ids only of the
    languages read.
    """
    names = Names()
    for line, (word, kind, language, split, text_id, group) in rows(path, 6, problems):
        try:
            number = whole(path, line, "number", word)
            if kind not in ("query", "passage"):
                refuse(
                    path,
                    line,
                    f"the kind {kind[:40]!r} is neither query nor passage",
                    key="line.kind",
                )
            if split not in SPLITS and not (split == "*" and kind == "passage"):
                refuse(
                    path,
                    line,
                    f"the split {split[:40]!r} of a {kind} is not one of {', '.join(SPLITS)}",
                    key="line.split",
                )
            if names.group.setdefault((kind, number), group) != group:
                refuse(
                    path,
                    line,
                    f"the {kind} {number} is of group {names.group[kind, number]!r} in an earlier"
                    " line",
                    key="line.group_contradicts",
                )
            if language in languages:
                if (kind, number, language) in names.text:
                    refuse(
                        path,
                        line,
                        f"the {kind} {number} in {language} stands in an earlier line already",
                        key="line.text_repeated",
                    )
                names.text[kind, number, language] = (text_id, split)
        except BadLine as error:
            problems.take(error)
    return names
