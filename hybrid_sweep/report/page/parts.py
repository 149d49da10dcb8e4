"""Small parts of a page as HTML: escaped text, the Markdown of report.md, and tables that can be
sorted.
"""

import re
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from hybrid_sweep.utils.escaping import html

Cell = tuple[str, float | None]  # what is shown, and the number that it rounds
EMPTY: Cell = ("", None)


def inline(text: str) -> str:
    """Return escaped text with the two marks that our Markdown uses: **bold** and `code`."""
    shown = []
    for place, part in enumerate(re.split(r"`([^`]+)`", text)):
        if place % 2:  # between two backticks
            literal = html(part.replace("\\|", "|")).replace("*", "&#42;")
            shown.append(f"<code>{literal}</code>")
        else:
            shown.append(html(part))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", "".join(shown))


def rendered(lines: Iterable[str]) -> str:
    """Return the lists, tables and paragraphs that report.md is made of, as HTML."""
    parts: list[str] = []
    items: list[str] = []
    grid: list[list[str]] = []
    for text in [*lines, ""]:
        if items and not text.startswith("- "):
            parts.append("<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>")
            items = []
        if grid and not text.startswith("|"):
            parts.append(
                table("", grid[0], [[(cell, None) for cell in row] for row in grid[2:]], inline)
            )
            grid = []
        if text.startswith("- "):
            items.append(text[2:])
        elif text.startswith("|"):
            grid.append(text.strip("| ").split(" | "))
        elif text:
            parts.append(f"<p>{inline(text)}</p>")
    return "\n".join(parts)


def table(
    name: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    shown: Callable[[str], str] = html,
) -> str:
    """Return a table as HTML; with a name it can be sorted.

    Args:
        name: of the table, "" for none.
        header: the titles of the columns.
        rows: the cells.
        shown: makes HTML of a title, or of a cell without a number.
    """
    heads = []
    for text in header:
        title = f'<button type="button">{shown(text)}</button>' if name else shown(text)
        heads.append(f'<th scope="col">{title}</th>')
    body = []
    for row in rows:
        cells = [
            (
                f"<td>{shown(text)}</td>"
                if value is None or pd.isna(value)
                else f'<td data-value="{value}">{html(text)}</td>'
            )
            for text, value in row
        ]
        body.append("<tr>" + "".join(cells) + "</tr>")
    label = f' role="region" tabindex="0" aria-label="{html(name)}"' if name else ""
    kind = ' class="sortable"' if name else ""
    return (
        f'<div class="scroll"{label}><table{kind}><thead><tr>{"".join(heads)}</tr></thead>\n<tbody>'
        + "\n".join(body)
        + "</tbody></table></div>"
    )
