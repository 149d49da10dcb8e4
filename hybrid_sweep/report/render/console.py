"""A table for a terminal: columns of equal width."""

from hybrid_sweep.report.render.table import Table
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
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = []
    for row_texts in texts:
        cells = []
        for text, width, column in zip(row_texts, widths, shown.columns, strict=True):
            cells.append(text.ljust(width) if column.words else text.rjust(width))
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]
