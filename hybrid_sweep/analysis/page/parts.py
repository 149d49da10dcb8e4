"""Small parts of a page as HTML: escaped text, the Markdown of report.md, and tables that can be sorted."""

import re
from collections.abc import Iterable, Sequence
from html import escape

import pandas as pd

Cell = tuple[str, float | None]  # what is shown, and the number that it rounds
EMPTY: Cell = ("", None)


def inline(text: str) -> str:
    """Escaped text with the two marks that our Markdown uses: **bold** and `code`."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)


def rendered(lines: Iterable[str]) -> str:
    """The lists, tables and paragraphs that report.md is made of, as HTML."""
    parts: list[str] = []
    items: list[str] = []
    grid: list[list[str]] = []
    for text in [*lines, ""]:
        if items and not text.startswith("- "):
            parts.append("<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>")
            items = []
        if grid and not text.startswith("|"):
            parts.append(table("", grid[0], [[(cell, None) for cell in row] for row in grid[2:]]))
            grid = []
        if text.startswith("- "):
            items.append(text[2:])
        elif text.startswith("|"):
            grid.append(text.strip("| ").split(" | "))
        elif text:
            parts.append(f"<p>{inline(text)}</p>")
    return "\n".join(parts)


def table(name: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table; with a name it can be sorted."""
    heads = "".join(
        f'<th scope="col"><button type="button">{escape(text)}</button></th>'
        if name
        else f'<th scope="col">{escape(text)}</th>'
        for text in header
    )
    body = []
    for row in rows:
        cells = [
            f"<td>{inline(text)}</td>"
            if value is None or pd.isna(value)
            else f'<td data-value="{value}">{escape(text)}</td>'
            for text, value in row
        ]
        body.append("<tr>" + "".join(cells) + "</tr>")
    label = f' role="region" tabindex="0" aria-label="{escape(name)}"' if name else ""
    kind = ' class="sortable"' if name else ""
    return (
        f'<div class="scroll"{label}><table{kind}><thead><tr>{heads}</tr></thead>\n<tbody>'
        + "\n".join(body)
        + "</tbody></table></div>"
    )
