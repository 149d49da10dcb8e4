"""A table for a paper, ready to `\\input`; it needs the package booktabs alone."""

import re
from dataclasses import dataclass

from hybrid_sweep.report.render.cells import Cell
from hybrid_sweep.report.render.table import Table
from hybrid_sweep.utils import escaping


@dataclass(frozen=True)
class Paper:
    """What stands around a table. caption: ready to be set. label: any text, of which letters and
    digits are kept. apart: space between columns in points.
    """

    caption: str
    label: str
    apart: int = 4


def label_of(text: str) -> str:
    """Return what a table is referred to by: letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "sweep"


def _cell(cell: Cell) -> str:
    return escaping.latex(cell.text) if cell.latex is None else cell.latex


def _body(table: Table, width: int) -> list[str]:
    """Return the lines of the rows: a rule before each group, and its name where it has one."""
    lines = []
    for group in table.groups:
        if not group.rows and group.name is None:
            continue
        lines.append("\\midrule")
        if group.name is not None:
            lines.append(f"\\multicolumn{{{width}}}{{l}}{{{_cell(group.name)}}} \\\\")
        for row in group.rows:
            lines.append(" & ".join(map(_cell, row)) + r" \\")
    return lines


def latex(table: Table, paper: Paper) -> str:
    """Return the text of a file with one table."""
    shown = table.at("latex")
    head = [column.latex for column in shown.columns]
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table*}",
        f"\\centering\\small\\setlength{{\\tabcolsep}}{{{paper.apart}pt}}",
        f"\\caption{{{paper.caption}}}",
        f"\\label{{tab:{label_of(paper.label)}}}",
        f"\\begin{{tabular}}{{{'l' * len(head)}}}",
        "\\toprule",
        " & ".join(head) + r" \\",
        *_body(shown, len(head)),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table*}",
        "",
    ]
    return "\n".join(lines)
