"""A data set of Parquet files, in a folder or of the Hugging Face hub, by the names of columns."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_sweep.config.schema import HfData
from hybrid_sweep.data.assemble import Folder, assemble, point_out_shared_ids
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.text_records import LARGEST, JudgementLine, TextLine
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import SKIP, Problems

Say = Callable[[str], None]
ROWS = 8192  # read at a time: the memory does not grow with the file
ANY = "*"  # the key of files whose column says the language


def build(data: HfData, work: Path, say: Say) -> Collection:
    """Return the collection of the Parquet files in data.path.

    Raises:
        UserError: for files or columns that are not there, or a bad row, as data.on_error says.
    """
    if not data.path:
        raise UserError(
            f"data={data.name} reads Parquet files: give data.path=FOLDER, or data.path=ORG/NAME of"
            " the hub",
            key="data.path_unset",
        )
    for name in ("queries", "passages", "qrels"):
        if not getattr(data, name):
            raise UserError(
                f"data.{name} names no file: '+data.passages={{zh: corpus/*.parquet}}' names those"
                " of the passages by language, data.queries and data.qrels theirs by split",
                key="hf.files_unnamed",
            )
    root = Path(data.path).expanduser()
    problems = Problems(data.on_error, say, hint=SKIP)
    say(f"reading the Parquet files in {root}")
    whole = Folder(
        None, False, _passages(root, data), _queries(root, data), _judgements(root, data)
    )
    info = {"source": "Parquet files", "licence": "that of the files"}
    built = assemble(data.name, [whole], problems, work, info)
    point_out_shared_ids(built, say)
    return built


def _files(root: Path, pattern: str, key: str) -> list[Path]:
    """Return the files of a pattern, sorted by name; key: of the config, for the error."""
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise UserError(f"{key}={pattern}: must be a pattern inside data.path", key="hf.pattern")
    files = sorted(path for path in root.glob(pattern) if path.is_file())
    if not files:
        raise UserError(f"{key}={pattern}: no such file in {root}", key="data.files_missing")
    return files


def _rows(
    root: Path, pattern: str, key: str, columns: list[str]
) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """Yield file, number from 1, and the values of some columns of each row."""
    for path in _files(root, pattern, key):
        try:
            file = pq.ParquetFile(path)
            there = file.schema_arrow.names
            if missing := [name for name in columns if name not in there]:
                raise UserError(
                    f"{path}: no column {', '.join(missing)}; there are {', '.join(there)}",
                    key="hf.column_missing",
                )
            number = 0
            for batch in file.iter_batches(batch_size=ROWS, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield path, number, row
        except (pa.ArrowException, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"{path} cannot be read: {reason}", key="hf.unreadable") from error


def _text(row: Mapping[str, Any], columns: list[str]) -> str:
    values = [str(row[name] or "").strip() for name in columns]
    return " ".join(value for value in values if value)


def _optional(data: HfData) -> list[str]:
    """Return the columns of language and group, where the config names them."""
    return [name for name in (data.lang_column, data.group_column) if name]


def _line(
    place: tuple[Path, int], row: Mapping[str, Any], data: HfData, text: str, lang: str | None
) -> TextLine:
    path, number = place
    if data.lang_column:
        lang = str(row[data.lang_column])
    group = None
    if data.group_column and row[data.group_column] is not None:
        group = str(row[data.group_column])
    return TextLine(path, number, str(row[data.id_column]), text, lang, group)


def _passages(root: Path, data: HfData) -> Iterator[TextLine]:
    columns = [data.id_column, *data.passage_columns, *_optional(data)]
    for lang, pattern in data.passages.items():
        own = None if lang == ANY else lang
        for path, number, row in _rows(root, pattern, "data.passages", columns):
            text = _text(row, data.passage_columns)
            yield _line((path, number), row, data, text, own)


def _queries(root: Path, data: HfData) -> Iterator[TextLine]:
    columns = [data.id_column, *data.query_columns, *_optional(data)]
    for split, pattern in data.queries.items():
        for path, number, row in _rows(root, pattern, "data.queries", columns):
            text = _text(row, data.query_columns)
            line = _line((path, number), row, data, text, data.query_language)
            yield line._replace(split=split)


def _judgements(root: Path, data: HfData) -> Iterator[JudgementLine]:
    query, passage, grade = data.qrels_columns
    for split, pattern in data.qrels.items():
        for path, number, row in _rows(root, pattern, "data.qrels", data.qrels_columns):
            try:
                judged = min(max(0, int(row[grade])), LARGEST)
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"{path}, row {number}: {grade} is {row[grade]!r}, and no whole number",
                    key="hf.grade",
                ) from error
            yield JudgementLine(path, number, str(row[query]), str(row[passage]), judged, split)
