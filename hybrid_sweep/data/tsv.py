"""Tab-separated files, read strictly: what is wrong with a line is said with its file, its number and the reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from hybrid_sweep.errors import UserError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def refuse(path: Path, line: int, reason: str) -> NoReturn:
    """Raise the UserError of a line that cannot be used; lines count from 1."""
    raise UserError(f"{path}, line {line}: {reason}")


def rows(path: Path, columns: int) -> Iterator[list[str]]:
    """The fields of each line of a file without a header: item n is line n + 1. One line at a time is in memory.

    Tabs separate fields, line feeds end lines, and everything else, quotes and other Unicode line ends included, is
    text. Raises UserError for a missing file, a byte order mark, CR LF, bytes that are not UTF-8, or another number of
    columns.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with open(path, "rb") as file:
        for number, raw in enumerate(file, 1):
            if number == 1 and raw.startswith(BYTE_ORDER_MARK):
                refuse(path, number, "starts with a byte order mark; save the file as UTF-8 without one")
            if raw.endswith((b"\r\n", b"\r")):
                refuse(path, number, "ends in CR LF; convert the file to plain line feeds")
            try:
                fields = raw.removesuffix(b"\n").decode().split("\t")
            except UnicodeDecodeError as error:
                refuse(path, number, f"byte {error.start + 1} is not UTF-8")
            if len(fields) != columns:
                refuse(path, number, f"has {len(fields)} columns, not {columns}; a single tab separates two columns")
            yield fields


def whole(path: Path, line: int, name: str, text: str) -> int:
    """The whole number, 0 or more, that a field holds in its one usual spelling; `name` says what it should be."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and (text[0] != "0" or text == "0")):
        refuse(path, line, f"the {name} {text[:40]!r} is not a whole number")
    return int(text)
