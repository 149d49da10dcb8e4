"""A table for a terminal: columns of equal width, as many side by side as it has room for."""

from hybrid_sweep.report.render.table import Table
from hybrid_sweep.utils import terminal_lines
from hybrid_sweep.utils.escaping import one_line

WIDTH = 24  # characters of a name from the user


def short(name: str) -> str:
    """Return a name that fits a column: its middle is left out, and hidden characters are
    escaped.
    """
    name = one_line(name)
    if len(name) <= WIDTH:
        return name
    return f"{name[: WIDTH // 2]}…{name[-(WIDTH - WIDTH // 2 - 1) :]}"


def console(table: Table) -> list[str]:
    """Return the lines of a table; none where it has no row."""
    shown = table.flat().at("console")
    if not shown.rows:
        return []
    texts = [[one_line(column.title) for column in shown.columns]]
    for row in shown.rows:
        texts.append([short(cell.text) if cell.code else one_line(cell.text) for cell in row])
    are_words = [column.words for column in shown.columns]
    return terminal_lines.in_blocks(texts, are_words, terminal_lines.width())
