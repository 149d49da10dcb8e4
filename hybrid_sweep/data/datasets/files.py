"""A user's own files: BEIR, JSONL, TREC, or the TSV of MS MARCO; one folder, or one for each
language.

Which files each format has, and how a field `group` makes a collection cross-lingual, is said in
docs/collections.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from hybrid_sweep.config.schema import FilesData
from hybrid_sweep.data.assemble import Folder, assemble, point_out_shared_ids
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.text_records import (
    BEIR_HEADER,
    by_split,
    column_judgements,
    column_texts,
    file_of,
    json_judgements,
    json_texts,
    topics,
)
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_json
from hybrid_sweep.utils.text_lines import SKIP, Problems

Say = Callable[[str], None]


def _beir(folder: Path, lang: str | None, apart: bool, problems: Problems) -> Folder:
    judged = by_split(folder / "qrels", "", (".tsv",))
    return Folder(
        lang,
        apart,
        json_texts(file_of(folder, "corpus.jsonl"), problems),
        json_texts(file_of(folder, "queries.jsonl"), problems),
        chain.from_iterable(
            column_judgements(path, problems, split, header=BEIR_HEADER) for split, path in judged
        ),
    )


def _jsonl(folder: Path, lang: str | None, apart: bool, problems: Problems) -> Folder:
    return Folder(
        lang,
        apart,
        json_texts(file_of(folder, "passages.jsonl"), problems),
        json_texts(file_of(folder, "queries.jsonl"), problems),
        json_judgements(file_of(folder, "qrels.jsonl"), problems),
        split="test",
    )


def _trec(folder: Path, lang: str | None, apart: bool, problems: Problems) -> Folder:
    asked = [
        (
            topics(path, problems, split)
            if ".trec" in path.suffixes
            else column_texts(path, problems, split, most=5)
        )
        for split, path in by_split(folder, "topics.", (".tsv", ".trec"))
    ]
    judged = by_split(folder, "qrels.", (".txt", ".tsv"))
    return Folder(
        lang,
        apart,
        json_texts(file_of(folder, "corpus.jsonl"), problems),
        chain.from_iterable(asked),
        chain.from_iterable(
            column_judgements(path, problems, split, tabs=False) for split, path in judged
        ),
    )


def _tsv(folder: Path, lang: str | None, apart: bool, problems: Problems) -> Folder:
    asked = by_split(folder, "queries.", (".tsv",))
    judged = by_split(folder, "qrels.", (".tsv",))
    return Folder(
        lang,
        apart,
        column_texts(file_of(folder, "collection.tsv"), problems),
        chain.from_iterable(column_texts(path, problems, split, most=5) for split, path in asked),
        chain.from_iterable(column_judgements(path, problems, split) for split, path in judged),
    )


@dataclass(frozen=True)
class Format:
    """mark: the files that tell it, as a pattern. read: what one folder gives."""

    mark: str
    read: Callable[[Path, str | None, bool, Problems], Folder]


FORMATS = {
    "beir": Format("qrels/*.tsv*", _beir),
    "jsonl": Format("passages.jsonl*", _jsonl),
    "trec": Format("topics.*", _trec),
    "tsv": Format("collection.tsv*", _tsv),
}


def build(data: FilesData, work: Path, say: Say) -> Collection:
    """Return the collection of the files in data.path, in all their languages.

    Either data.path holds the files, each text says its language (or data.languages has just one),
    and ids are unique over all languages; or it holds a folder for each language, named by its
    code, and ids are made unique as "id@lang". Raises UserError for files of no format or of
    several, or for a bad line, as data.on_error says.
    """
    if not data.path:
        raise UserError(
            "data=files reads local files: give data.path=FOLDER; docs/collections.md shows the"
            " formats",
            key="data.path_unset",
        )
    root = Path(data.path).expanduser()
    problems = Problems(data.on_error, say, hint=SKIP)
    if not root.is_dir():
        raise UserError(f"data.path={data.path}: no such folder", key="data.folder_missing")
    if data.format == "auto":
        wanted = FORMATS
    else:
        wanted = {data.format: FORMATS[data.format]}
    only = None
    if len(data.languages) == 1:
        only = data.languages[0]
    places: list[tuple[Path, str | None]] = [(root, only)]
    apart = not _formats(root, wanted)
    if apart:
        folders = [path for path in sorted(root.iterdir()) if path.is_dir()]
        places = [(path, path.name) for path in folders if _formats(path, wanted)]
    formats = {name for path, _ in places for name in _formats(path, wanted)}
    if len(formats) != 1:
        reason = f"files of the formats {', '.join(sorted(formats))}: say which by data.format"
        if not formats:
            shown = ", ".join(f"{name} ({form.mark.rstrip('*')})" for name, form in wanted.items())
            reason = (
                f"no files of the formats {shown}, neither there nor in a folder for each language"
            )
        raise UserError(
            f"data.path={data.path}: {reason}",
            key="data.format_ambiguous" if formats else "data.files_missing",
        )
    (name,) = formats
    sources = []
    for path, lang in places:
        say(f"reading {path} ({name})")
        sources.append(FORMATS[name].read(path, lang, apart, problems))
    info: dict[str, Any] = {"source": "local files", "licence": "that of the files", "format": name}
    if isinstance(exported := read_json(root / "source.json"), dict):
        info |= {"exported": exported, "licence": exported.get("licence", "unknown")}
    built = assemble(data.name, sources, problems, work, info)
    point_out_shared_ids(built, say)
    return built


def _formats(folder: Path, wanted: dict[str, Format]) -> list[str]:
    return [name for name, form in wanted.items() if any(folder.glob(form.mark))]
