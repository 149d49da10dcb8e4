"""MS MARCO and its translations (mMARCO) from local files: the official names, or the layout of mMARCO's hub.

A question has one number in all languages, and so has a passage: the numbers are the groups. Where groups.tsv stands
beside the qrels, as in what export.py writes, it brings back the ids, groups and splits that the numbers stand for.
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

from hybrid_sweep.config import MARCO_LANGUAGES, MarcoData
from hybrid_sweep.data.collection import QRELS, SPLITS, TEXTS, Collection, make
from hybrid_sweep.data.tsv import refuse, rows, whole
from hybrid_sweep.errors import UserError
from hybrid_sweep.store import read_json

BATCH = 65_536  # rows of Arrow made at a time, so that few texts are Python strings at once


@dataclass(frozen=True)
class Names:
    """What groups.tsv says: group of (kind, number) in any language; id and split of (kind, number, language)."""

    group: dict[tuple[str, int], str] = field(default_factory=dict)
    text: dict[tuple[str, int, str], tuple[str, str]] = field(default_factory=dict)

    def numbers(self, kind: str) -> np.ndarray:
        """All numbers of one kind, those of languages that are not read included."""
        return np.array([number for what, number in self.group if what == kind], np.int64)


@dataclass(frozen=True)
class Judgements:
    """A file of judgements: (N,) int64 numbers of question and passage, and grades; item n is line n + 1."""

    path: Path
    query: np.ndarray
    passage: np.ndarray
    grade: np.ndarray


def build(data: MarcoData, say: Callable[[str], None], work: Path | None = None) -> Collection:
    """The collection of the files in data.path, in data.languages: no other language's files are opened.

    Ids are "number@language". Only questions with a judgement (grade 0 included) are kept; those of train are split
    train, but for data.dev_share of them, those of data.qrels are split test; passages are split "*". With groups.tsv
    all of this is as it says. Texts are streamed through files in the folder `work` (None: the system's own for temporary
    files) and mapped from there. Raises UserError for a missing file, or with file, line and reason for a bad line.
    """
    if not data.path:
        raise UserError(
            f"data={data.name} reads local files: give data.path=FOLDER; conf/data/{data.name}.yaml lists them"
        )
    path = Path(data.path).expanduser()
    root = path / "data" if (path / "data" / data.translation).is_dir() else path
    names = _names(root / "groups.tsv", data.languages) if (root / "groups.tsv").is_file() else None
    files = {language: _files(root, data, language) for language in sorted(data.languages)}
    parts = (
        {"train": "train", data.qrels: "test"}
        if names is None
        else {"train": "train", "dev": "dev", "dev.small": "test"}
    )
    judgements: dict[str, Judgements] = {}
    for part in parts:
        found = [folder / f"qrels.{part}.tsv" for folder in (root, path) if (folder / f"qrels.{part}.tsv").is_file()]
        if found:
            judgements[part] = _judgements(found[0])
        elif part == data.qrels:
            raise UserError(f"{root / f'qrels.{part}.tsv'}: no such file")
        else:
            say(f"{root / f'qrels.{part}.tsv'} is not there: the split {parts[part]} will be empty")

    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=work) as folder:
        return _read(data, say, names, files, judgements, parts, root, Path(folder))


def _read(
    data: MarcoData,
    say: Callable[[str], None],
    names: Names | None,
    files: dict[str, tuple[Path, Callable[[str], Path]]],
    judgements: dict[str, Judgements],
    parts: dict[str, str],
    root: Path,
    work: Path,
) -> Collection:
    """Read the texts through files in `work`, and keep the judgements between those that were read."""
    passages: list[np.ndarray] = []
    questions: dict[str, list[np.ndarray]] = {part: [] for part in judgements}
    unjudged = 0
    with (
        pa.ipc.new_file(str(work / "passage"), TEXTS) as passage_sink,
        pa.ipc.new_file(str(work / "query"), TEXTS) as query_sink,
    ):
        for language, (collection, queries) in files.items():
            say(f"reading {collection}")
            reader = _Reader("passage", language, names, passage_sink)
            passages.append(reader.read(collection, lambda number: "*", None, {}))
            earlier: dict[Path, np.ndarray] = {}
            for part, judged in judgements.items():
                reader = _Reader("query", language, names, query_sink)
                keep = set(judged.query.tolist())
                numbers = reader.read(queries(part), _split_of(data, parts[part]), keep, earlier)
                questions[part].append(numbers)
                earlier[queries(part)] = numbers
                unjudged += len(numbers) - reader.kept
    present = {"passage": np.unique(np.concatenate(passages))}
    qrels = []
    for part, judged in judgements.items():
        present["query"] = np.unique(np.concatenate(questions[part]))
        qrels.append(_qrels(judged, present, names))
    texts = [pa.ipc.open_file(pa.memory_map(str(work / kind))).read_all() for kind in ("query", "passage")]
    info = {
        "source": "local files in the layout of MS MARCO or mMARCO",
        "licence": "that of the files; MS MARCO itself is for non-commercial research",
        "languages": sorted(data.languages),
        "translation": data.translation,
        "queries_without_judgement": unjudged,
    }
    if isinstance(exported := read_json(root / "source.json"), dict):
        info |= {"exported": exported, "licence": exported.get("licence", "unknown")}
    return make(data.name, texts[0], texts[1], pa.concat_tables(qrels), info)


def _files(root: Path, data: MarcoData, language: str) -> tuple[Path, Callable[[str], Path]]:
    """The passages of a language, and a function from the part (train, dev, dev.small) to its questions."""
    base = root / data.translation
    called = [name for name, code in MARCO_LANGUAGES.items() if code == language]
    found = [name for name in [*called, language] if (base / "collections" / f"{name}_collection.tsv").is_file()]
    if found:
        return (
            base / "collections" / f"{found[0]}_collection.tsv",
            lambda part: base / "queries" / part.partition(".")[0] / f"{found[0]}_queries.{part}.tsv",
        )
    if language == "en" and (root / "collection.tsv").is_file():
        return root / "collection.tsv", lambda part: root / f"queries.{part}.tsv"
    there = sorted(file.name.removesuffix("_collection.tsv") for file in base.glob("collections/*_collection.tsv"))
    there += ["english"] if (root / "collection.tsv").is_file() else []
    wanted = base / "collections" / f"{[*called, language][0]}_collection.tsv"
    raise UserError(
        f"{wanted}: no such file, so no passages in {language}; in data.path={data.path} there are: "
        f"{', '.join(there) or 'no passages in any language'}"
    )


def _split_of(data: MarcoData, split: str) -> Callable[[int], str]:
    """The split of a question by its number: a seeded hash sets a share of train apart, alike in all languages."""

    def share(number: int) -> str:
        word = hashlib.sha256(f"{data.dev_seed}:{number}".encode()).digest()[:8]
        return "dev" if int.from_bytes(word, "little") < data.dev_share * 2**64 else "train"

    return share if split == "train" and data.dev_share else lambda number: split


class _Reader:
    """Reads files of texts of one kind and language into a file of Arrow batches; `kept` counts the texts kept."""

    def __init__(self, kind: str, language: str, names: Names | None, sink: Any) -> None:
        self.kind, self.language, self.names, self.sink, self.kept = kind, language, names, sink, 0

    def read(
        self, path: Path, split: Callable[[int], str], keep: set[int] | None, earlier: dict[Path, np.ndarray]
    ) -> np.ndarray:
        """(N,) int64 numbers of all texts of a file, in its order; the sink gets those in `keep` (None: all)."""
        numbers = array("q")
        pending: list[tuple[str, ...]] = []
        for row in self._rows(path, numbers, split, keep):
            pending.append(row)
            if len(pending) == BATCH:
                self._flush(pending)
        self._flush(pending)
        found = np.array(numbers, np.int64)
        if (again := _repeated(found)) is not None:
            first = int(np.flatnonzero(found == found[again])[0])
            refuse(path, again + 1, f"the {self.kind} {found[again]} stands in line {first + 1} already")
        for other, before in earlier.items():
            if (twice := np.flatnonzero(np.isin(found, before))).size:
                refuse(path, int(twice[0]) + 1, f"the {self.kind} {found[twice[0]]} stands in {other} already")
        return found

    def _rows(
        self, path: Path, numbers: "array[int]", split: Callable[[int], str], keep: set[int] | None
    ) -> Iterator[tuple[str, ...]]:
        for line, (word, text) in enumerate(rows(path, 2), 1):
            number = whole(path, line, f"{self.kind} id", word)
            numbers.append(number)
            if not text.strip():
                refuse(path, line, f"the {self.kind} {number} has no text")
            if keep is not None and number not in keep:
                continue
            if self.names is None:
                yield f"{number}@{self.language}", word, self.language, split(number), text
                continue
            if (named := self.names.text.get((self.kind, number, self.language))) is None:
                refuse(path, line, f"groups.tsv has no {self.kind} {number} in {self.language}")
            yield named[0], self.names.group[self.kind, number], self.language, named[1], text

    def _flush(self, pending: list[tuple[str, ...]]) -> None:
        if pending:
            columns = zip(*pending, strict=True)
            arrays = [pa.array(column, item.type) for column, item in zip(columns, TEXTS, strict=True)]
            self.sink.write_batch(pa.RecordBatch.from_arrays(arrays, schema=TEXTS))
            self.kept += len(pending)
            pending.clear()


def _repeated(values: np.ndarray) -> int | None:
    """The first place whose value, or row, stands at an earlier place too."""
    _, first, inverse = np.unique(values, axis=0, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[inverse.ravel()] != np.arange(len(values)))
    return int(again[0]) if again.size else None


def _judgements(path: Path) -> Judgements:
    """A TREC file of judgements: question, a field that is ignored, passage, grade; a pair may be judged once."""
    columns = [array("q"), array("q"), array("q")]
    for line, (query, _, passage, grade) in enumerate(rows(path, 4), 1):
        for column, name, word in zip(
            columns, ("query id", "passage id", "grade"), (query, passage, grade), strict=True
        ):
            column.append(whole(path, line, name, word))
        if columns[2][-1] >= 2**31:
            refuse(path, line, f"the grade {grade} is too large")
    found = Judgements(path, *(np.array(column, np.int64) for column in columns))
    if (again := _repeated(np.stack([found.query, found.passage], axis=1))) is not None:
        pair = f"the query {found.query[again]} and the passage {found.passage[again]}"
        refuse(path, again + 1, f"{pair} are judged in an earlier line already")
    return found


def _qrels(judged: Judgements, present: dict[str, np.ndarray], names: Names | None) -> pa.Table:
    """The judgements between texts that were read; refuses those of texts that are in no language at all."""
    use = np.ones(len(judged.query), bool)
    known = present if names is None else {kind: names.numbers(kind) for kind in present}
    columns = {"query": judged.query, "passage": judged.passage}
    for kind, numbers in columns.items():
        if (stray := np.flatnonzero(~np.isin(numbers, known[kind]))).size:
            reason = f"judges the {kind} {numbers[stray[0]]}, which is in no file of texts"
            refuse(judged.path, int(stray[0]) + 1, reason)
        use &= np.isin(numbers, present[kind])
    groups = [
        [names.group[kind, number] if names else str(number) for number in numbers[use].tolist()]
        for kind, numbers in columns.items()
    ]
    return pa.table([*groups, judged.grade[use]], names=QRELS.names).cast(QRELS)


def _names(path: Path, languages: list[str]) -> Names:
    """Read groups.tsv: number, kind (query, passage), language, split, id, group; ids only of the languages read."""
    names = Names()
    for line, (word, kind, language, split, text_id, group) in enumerate(rows(path, 6), 1):
        number = whole(path, line, "number", word)
        if kind not in ("query", "passage"):
            refuse(path, line, f"the kind {kind[:40]!r} is neither query nor passage")
        if split not in (*SPLITS, *(["*"] if kind == "passage" else [])):
            refuse(path, line, f"the split {split[:40]!r} of a {kind} is not one of {', '.join(SPLITS)}")
        if names.group.setdefault((kind, number), group) != group:
            refuse(path, line, f"the {kind} {number} is of group {names.group[kind, number]!r} in an earlier line")
        if language in languages:
            if (kind, number, language) in names.text:
                refuse(path, line, f"the {kind} {number} in {language} stands in an earlier line already")
            names.text[kind, number, language] = (text_id, split)
    return names
