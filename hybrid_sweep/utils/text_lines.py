"""The lines of text files, and the one policy for those that cannot be used: refuse the first, or
leave out and list.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from hybrid_sweep.utils.errors import UserError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
LONGEST = 2**26  # bytes of a line: a hundred times the longest passage that anybody has
SKIP = "data.on_error=skip leaves such lines out"
# faults that all lines of a file mostly share: to leave them out would leave nothing
WHOLE_FILE = {"line.byte_order_mark", "line.carriage_return", "line.language_missing"}
LISTED = 100  # lines left out that are listed by name; the others are only counted


class BadLine(UserError):
    """A line that cannot be used; lines count from 1.

    In a file of one JSON value: the place in it, as data[3].qas[0].
    """

    def __init__(self, path: Path, line: int | str, reason: str, *, key: str) -> None:
        super().__init__(described(path, line, reason), key=key)
        self.path, self.line, self.reason = path, line, reason


def described(path: Path, line: int | str, reason: str) -> str:
    """Return what is said of a line that cannot be used."""
    return f"{path}{f', line {line}' if isinstance(line, int) else f': {line}'}: {reason}"


def refuse(path: Path, line: int | str, reason: str, *, key: str) -> NoReturn:
    """Raise the error of a line that cannot be used."""
    raise BadLine(path, line, reason, key=key)


class Problems:
    """What a reader does with bad lines, for all files of one collection.

    strict: the first is raised, with the hint how to leave such lines out, where there is a way and
    the fault is one of single lines. skip: each is counted, and the first hundred are kept for
    `info`.
    """

    def __init__(
        self, on_error: str = "strict", say: Callable[[str], None] | None = None, *, hint: str = ""
    ) -> None:
        self.strict, self.say, self.count, self.hint = on_error != "skip", say, 0, hint
        self.first: list[dict[str, Any]] = []

    def add(self, path: Path, line: int | str, reason: str, *, key: str) -> None:
        """Note a line that is left out; where the policy is strict, raise it."""
        self.take(BadLine(path, line, reason, key=key))

    def take(self, bad: BadLine) -> None:
        """Note a line that was refused, or raise it again."""
        if self.strict:
            if self.hint and bad.key not in WHOLE_FILE:
                raise BadLine(bad.path, bad.line, f"{bad.reason}; {self.hint}", key=bad.key)
            raise bad
        self.count += 1
        if len(self.first) < LISTED:
            self.first.append({"file": str(bad.path), "line": bad.line, "reason": bad.reason})

    def info(self) -> dict[str, Any]:
        """Return what belongs into the info of the collection: nothing where all lines were used;
        the number is also said.
        """
        if not self.count:
            return {}
        if self.say:
            one = self.first[0]
            if self.count == 1:
                left = "1 line"
            else:
                left = f"{self.count:,} lines"
            self.say(
                f"{left} left out, the first:"
                f" {described(Path(one['file']), one['line'], one['reason'])}"
            )
        return {"skipped": {"count": self.count, "first": self.first}}

    def nothing_left(self, what: str) -> UserError:
        """Return the error of files of which nothing can be used, with the first line left out."""
        why = ""
        if self.first:
            one = self.first[0]
            where = described(Path(one["file"]), one["line"], one["reason"])
            why = f"; the first line left out: {where}"
        return UserError(f"{what}{why}", key="data.nothing_usable")


STRICT = Problems()


def opened(path: Path) -> BinaryIO:
    """Return a file for reading, unpacked where its first bytes are those of gzip; a UserError
    where it cannot be opened.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file", key="data.file_missing")
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == GZIP
        if packed:
            return cast(BinaryIO, gzip.open(path, "rb"))
        return open(path, "rb")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror})", key="data.file_unreadable"
        ) from error


def numbered(
    path: Path, problems: Problems = STRICT, *, blank: bool = False
) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of each line of a file, plain or gzip; one line at a
    time is in memory.

    Only line feeds end lines. Bad lines are those with a byte order mark, CR LF, or bytes that are
    not UTF-8, and empty ones, unless the format has them (`blank`). Raises UserError for a missing
    or unreadable file, for damaged gzip and for a line of more than LONGEST bytes, whatever the
    policy: a packed file of a few kilobytes can hold a line that fills the memory.
    """
    with opened(path) as file:
        number = 0
        try:
            while raw := file.readline(LONGEST + 1):
                number += 1
                if len(raw) > LONGEST:
                    refuse(path, number, f"is longer than {LONGEST:,} bytes", key="line.too_long")
                if number == 1 and raw.startswith(BYTE_ORDER_MARK):
                    problems.add(
                        path,
                        number,
                        "starts with a byte order mark; save the file as UTF-8 without one",
                        key="line.byte_order_mark",
                    )
                elif raw.endswith((b"\r\n", b"\r")):
                    problems.add(
                        path,
                        number,
                        "ends in CR LF; convert the file to plain line feeds",
                        key="line.carriage_return",
                    )
                else:
                    try:
                        text = raw.removesuffix(b"\n").decode()
                    except UnicodeDecodeError as error:
                        problems.add(
                            path,
                            number,
                            f"byte {error.start + 1} is not UTF-8",
                            key="line.encoding",
                        )
                        continue
                    if text or blank:
                        yield number, text
                    else:
                        problems.add(path, number, "is empty; delete it", key="line.empty")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(
                f"{path}: the gzip file is damaged after line {number} ({error}); fetch it again",
                key="data.gzip_damaged",
            ) from error
        except OSError as error:
            raise UserError(
                f"{path}: cannot be read ({error.strerror})", key="data.file_unreadable"
            ) from error
