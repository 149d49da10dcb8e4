"""Tab-separated files, read strictly: what is wrong with a line is said with its file, its number
and the reason.
"""

from collections.abc import Iterator
from pathlib import Path

from hybrid_sweep.utils.text_lines import STRICT, Problems, numbered, refuse


def rows(
    path: Path, columns: int, problems: Problems = STRICT, *, tabs: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number, from 1, and the fields of each line of a file without a header; one line at
    a time is in memory.

    Tabs separate fields, line feeds end lines, and everything else, quotes and other Unicode line
    ends included, is text. Without `tabs` any white space separates fields, as in TREC's files. A
    line with another number of columns is a bad line, as are those of `numbered`.
    """
    for number, line in numbered(path, problems):
        if tabs:
            fields = line.split("\t")
        else:
            fields = line.split()
        if len(fields) == columns:
            yield number, fields
        else:
            between = "white space separates"
            if tabs:
                between = "a single tab separates"
            problems.add(
                path,
                number,
                f"has {len(fields)} columns, not {columns}; {between} two columns",
                key="line.columns",
            )


def whole(path: Path, line: int, name: str, text: str) -> int:
    """Return the whole number, 0 or more, that a field holds in its one usual spelling; `name` says
    what it should be.
    """
    if not (
        text.isascii() and text.isdigit() and len(text) <= 18 and (text[0] != "0" or text == "0")
    ):
        is_negative = text[:1] == "-" and text[1:].isdigit()
        reason = "is not a whole number"
        if is_negative:
            reason = "must be 0 or more"
        refuse(path, line, f"the {name} {text[:40]!r} {reason}", key="line.whole_number")
    return int(text)
