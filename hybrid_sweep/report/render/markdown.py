"""Tables and paragraphs in Markdown."""

from collections.abc import Iterable, Sequence

from hybrid_sweep.report.render.cells import Cell
from hybrid_sweep.report.render.table import Table
from hybrid_sweep.utils import escaping

# A line of Markdown, ready to be written, or a table.
Block = str | Table


def _cell(cell: Cell) -> str:
    if cell.code:
        return escaping.markdown_code(cell.text)
    text = escaping.markdown(cell.text) if cell.user else cell.text
    return f"**{text}**" if cell.strong and text else text


def grid(table: Table) -> list[str]:
    """Return the lines of a table; none where it has no row."""
    shown = table.flat().at("markdown")
    if not shown.rows:
        return []
    heads = [
        _cell(Cell(column.title, user=column.user, code=column.code)) for column in shown.columns
    ]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in shown.rows:
        lines.append("| " + " | ".join(map(_cell, row)) + " |")
    return lines


def lines_of(blocks: Iterable[Block]) -> list[str]:
    """Return the lines of paragraphs and tables."""
    lines: list[str] = []
    for block in blocks:
        lines += [block] if isinstance(block, str) else grid(block)
    return lines


def document(sections: Sequence[tuple[str, Sequence[Block]]]) -> str:
    """Return a text of sections: the line of a title, "" for none, and what stands under it; a
    section without a line is left out.
    """
    parts = []
    for title, blocks in sections:
        lines = lines_of(blocks)
        if lines:
            parts.append("\n".join([title, "", *lines] if title else lines))
    return "\n\n".join(parts) + "\n"
