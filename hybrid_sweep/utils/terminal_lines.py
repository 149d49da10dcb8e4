"""Tables and paragraphs on a terminal: no line is wider than it. Where nothing says how wide, as in
a pipe or a file, a line of a table is as long as its row.
"""

import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence

GAP = "  "  # between two columns
PARAGRAPH = 110  # characters of a line of a paragraph at most
NARROWEST = 40  # columns: on a terminal that is narrower, lines are broken by the terminal itself


def width() -> int | None:
    """Return the columns of the terminal that is printed to; None where it is no terminal."""
    try:
        if not sys.stdout.isatty():
            return None
    except (AttributeError, ValueError):  # none at all, or closed
        return None
    return max(shutil.get_terminal_size().columns, NARROWEST)


def paragraph(text: str, indent: str = "", further: str = "") -> list[str]:
    """Return a text as lines, the first after `indent`, the others after `further`."""
    widest = min(PARAGRAPH, width() or PARAGRAPH)
    return textwrap.wrap(text, widest, initial_indent=indent, subsequent_indent=further)


def folded(rows: Sequence[Sequence[str]], widest: int | None) -> list[str]:
    """Return rows of words as lines with aligned columns, the head first.

    Columns from the right that do not fit stand below their row, each after its title.

    Args:
        rows: of words without line breaks, equally many in each; the first has the titles.
        widest: characters of a line, None for any number.
    """
    widths = _widths(rows)
    fitting = _fitting(widths, widest)
    head = rows[0]
    lines = []
    for row in rows:
        words = map(_padded, row[:fitting], widths)
        lines.append(GAP.join(words).rstrip())
        if row is not head and widest is not None:
            lines += _below(head[fitting:], row[fitting:], widest)
    return lines


def in_blocks(
    rows: Sequence[Sequence[str]], are_words: Sequence[bool], widest: int | None
) -> list[str]:
    """Return a table as lines with aligned columns, its head underlined.

    Columns that do not fit follow in a second table of the same rows, and so on, each with the
    first column again.

    Args:
        rows: of cells without line breaks, equally many in each; the first has the titles.
        are_words: of each column, whether it is aligned to the left.
        widest: characters of a line, None for any number.
    """
    widths = _widths(rows)
    lines: list[str] = []
    start = 1
    while start < len(widths) or not lines:
        room = None if widest is None else widest - widths[0] - len(GAP)
        stop = start + _fitting(widths[start:], room)
        places = [0, *range(start, stop)]
        block = [_line(row, places, widths, are_words) for row in rows]
        rule = "-" * max(map(columns_of, block))
        lines += [""] if lines else []
        lines += [block[0], rule, *block[1:]]
        start = stop
    return lines


def columns_of(text: str) -> int:
    """Return the columns of a terminal that a text takes: two for a wide sign such as a Chinese
    one, none for a mark above or below another sign.
    """
    if text.isascii():
        return len(text)
    taken = 0
    for sign in text:
        if unicodedata.category(sign) not in ("Mn", "Me", "Cf"):
            taken += 1 + (unicodedata.east_asian_width(sign) in ("W", "F"))
    return taken


def _padded(text: str, size: int, is_words: bool = True) -> str:
    """Return a text that takes `size` columns; words begin at the left, numbers end at the
    right.
    """
    blanks = " " * (size - columns_of(text))
    return text + blanks if is_words else blanks + text


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the columns of a terminal that the widest cell of each column takes."""
    return [max(map(columns_of, column)) for column in zip(*rows, strict=True)]


def _fitting(widths: Sequence[int], widest: int | None) -> int:
    """Return how many of the first columns fit on a line; one at least, where there are any."""
    if widest is None:
        return len(widths)
    used = 0
    for index, size in enumerate(widths):
        used += size + len(GAP) * (index > 0)
        if used > widest and index > 0:
            return index
    return len(widths)


def _below(titles: Sequence[str], cells: Sequence[str], widest: int) -> list[str]:
    """Return the lines below a row: its further cells that are not empty, each after its title."""
    named = [f"{title}: {cell}" for title, cell in zip(titles, cells, strict=True) if cell]
    return textwrap.wrap(
        "; ".join(named),
        widest,
        initial_indent="    ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _line(
    row: Sequence[str], places: Sequence[int], widths: Sequence[int], are_words: Sequence[bool]
) -> str:
    """Return the cells of a row in these columns as a line."""
    cells = []
    for place in places:
        cells.append(_padded(row[place], widths[place], are_words[place]))
    return GAP.join(cells).rstrip()
