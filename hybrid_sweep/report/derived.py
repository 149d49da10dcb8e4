"""The table of derived statistics: shape, trade-off, and who wins and loses, from the per-query
rows and the results.
"""

import pandas as pd

from hybrid_sweep.report.columns import frame_of, meanings
from hybrid_sweep.report.curves import complete, curves, draw
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.rows import DerivedRow
from hybrid_sweep.report.shape import shapes
from hybrid_sweep.report.tradeoff import fronts, largest_within, prices, winners

COLUMNS = meanings(DerivedRow)


def derived(sweep: Sweep, results: pd.DataFrame) -> pd.DataFrame:
    """Return the derived statistics of a sweep, one row each, columns as in `COLUMNS`; empty where
    nothing can be derived.

    `results` is that of `aggregate` for the same sweep. Numbers are rounded to nine significant
    digits; the bootstraps are seeded by the number of seeds and questions, so that the same tables
    give the same frame in any order.
    """
    shaped = curves(sweep)
    rows = []
    if shaped and any(point.kind == "trained" for point in sweep.finished):
        draws = draw(len(complete(sweep)[1]), shaped)
        rows = shapes(sweep, shaped) + fronts(sweep, shaped, draws) + prices(sweep, results, shaped)
        rows += largest_within(results) + winners(results)
    return frame_of(rows, DerivedRow)
