"""The table of other measures and scales: changes of the means to r = 0, from measures.csv."""

import math

import pandas as pd

from hybrid_sweep.report.measures import title_of
from hybrid_sweep.report.paired_rows import compared
from hybrid_sweep.report.query_values import LOG_RANK
from hybrid_sweep.report.render.cells import EMPTY, Cell, change, p_value, ratio
from hybrid_sweep.report.render.table import Column, Table, table
from hybrid_sweep.report.rows import ResultRow
from hybrid_sweep.report.scales import PLAIN, scale_of

OTHERS_NOTE = (
    "Change to r = 0 of the mean over languages or pairs, with its 95 % interval, over seeds and"
    " questions; p is adjusted (Holm) over the ratios. Factor: e to the change of a logarithm: of"
    " the mean, of what is missing to 1, of the odds, or of the geometric mean rank of the first"
    " right passage. Whether one loss is larger than another may depend on the scale."
)
_COLUMNS = (
    Column("setting", words=True),
    Column("measure", words=True),
    Column("r", words=True),
    Column("change"),
    Column("95 % interval", words=True),
    Column("factor"),
    Column("Holm"),
)


def of_others(others: pd.DataFrame) -> Table:
    """Return a line per setting, measure and ratio above 0 of the frame of measures.csv."""
    rows = []
    there = others[["setting", "measure"]].drop_duplicates()
    for place in there.itertuples(index=False, name=None):
        rows += [_line(row) for row in compared(others, *place)]
    return table("By other measures", _COLUMNS, rows)


def _line(row: ResultRow) -> list[Cell]:
    scale, measure = scale_of(row["measure"])
    moved, ends = change(
        row["delta"], row["delta_low"], row["delta_high"], interval=row["delta_interval"]
    )
    is_factor = scale is not PLAIN or measure == LOG_RANK
    factor = EMPTY
    if is_factor and not math.isnan(row["delta"]):
        times = math.exp(row["delta"])
        factor = Cell(f"{times:.3f}", times)
    return [
        Cell(row["setting"]),
        Cell(scale.name(title_of(measure))),
        ratio(row["ratio"]),
        moved,
        ends,
        factor,
        p_value(row["p_holm"]),
    ]
