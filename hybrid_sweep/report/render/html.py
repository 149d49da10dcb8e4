"""Tables and paragraphs as HTML: all text is escaped, and tables can be sorted."""

import re
from collections.abc import Iterable

from hybrid_sweep.report.render.cells import Cell
from hybrid_sweep.report.render.markdown import Block
from hybrid_sweep.report.render.table import Column, Table
from hybrid_sweep.utils.escaping import html


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


def _marked(text: str, code: bool) -> str:
    if code:
        return f"<code>{html(text)}</code>" if text else "–"
    return html(text)


def _cell(cell: Cell, sortable: bool) -> str:
    shown = _marked(f"{cell.sign} {cell.text}".strip(), cell.code)
    if cell.strong and cell.text:
        shown = f"<strong>{shown}</strong>"
    if not sortable or cell.value is None or not cell.text:
        return f"<td>{shown}</td>"
    # The number itself, as it stands in results.csv or derived.csv: it is sorted by that.
    return f'<td data-value="{cell.value}">{shown}</td>'


def _head(column: Column, sortable: bool) -> str:
    title = _marked(column.title, column.code)
    if sortable:
        title = f'<button type="button">{title}</button>'
    return f'<th scope="col">{title}</th>'


def table(shown: Table, sortable: bool = True) -> str:
    """Return a table as HTML; sortable: a script of the page sorts it by the titles."""
    made = shown.flat().at("html")
    heads = "".join(_head(column, sortable) for column in made.columns)
    lines = []
    for row in made.rows:
        lines.append("<tr>" + "".join(_cell(cell, sortable) for cell in row) + "</tr>")
    label, kind = "", ""
    if sortable:
        label = f' role="region" tabindex="0" aria-label="{html(made.name)}"'
        kind = ' class="sortable"'
    body = "\n".join(lines)
    return (
        f'<div class="scroll"{label}><table{kind}><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def blocks(parts: Iterable[Block], sortable: bool = False) -> str:
    """Return the lists, tables and paragraphs of a section."""
    made: list[str] = []
    items: list[str] = []
    for part in [*parts, ""]:
        is_item = isinstance(part, str) and part.startswith("- ")
        if items and not is_item:
            made.append("<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>")
            items = []
        if isinstance(part, Table):
            made += [table(part, sortable)] if part.rows else []
        elif is_item:
            items.append(inline(part[2:]))
        elif part and not part.startswith(("!", "#")):
            made.append(f"<p>{inline(part)}</p>")
    return "\n".join(made)
