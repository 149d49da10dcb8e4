"""The value of each query by any measure, from the rows of runs: stored, or computed where the
ranks that every table has are enough.
"""

import numpy as np
import pandas as pd

from hybrid_sweep.report.statistics import Array
from hybrid_sweep.retrieval.measures import NOWHERE, compute, judged, parsed

LOG_RANK = "log rank"  # natural logarithm of the rank of the best relevant passage
# Measures of the best relevant passage alone, whatever the number of the others.
OF_THE_BEST = ("RR", "Success")
# Those that need every rank, or the grades: with one relevant passage its rank tells them too.
OF_ALL = ("AP", "nDCG", "R", "P", "Rprec")


def query_values(rows: pd.DataFrame, measure: str) -> Array:
    """Return (N,) the value of each row by a measure that `is_known`, in a fresh array.

    Args:
        rows: of one setting, with the columns of `load.Sweep.frame`.
        measure: a column; `LOG_RANK`; or a name of `retrieval.measures` that the ranks give.
    """
    if measure in rows.columns:
        return rows[measure].to_numpy(dtype=np.float64, copy=True)
    rank = rows["rank"].to_numpy(dtype=np.float64)
    if measure == LOG_RANK:
        return np.where(np.isfinite(rank), np.log(rank), np.nan)
    whole = np.where(np.isfinite(rank), rank, NOWHERE).astype(np.int64)
    every = np.arange(len(rows))
    return compute(judged(every, whole, np.ones(len(rows))), measure)


def is_known(rows: pd.DataFrame, measure: str) -> bool:
    """Return whether the rows give a measure."""
    if measure in rows.columns:
        return True
    if "rank" not in rows.columns:  # rows of other systems, which come with values alone
        return False
    if measure == LOG_RANK:
        return True
    about = parsed(measure)
    if about is None or about.least > 1:
        return False
    if about.kind in OF_THE_BEST:
        return True
    return about.kind in OF_ALL and bool((rows["n_relevant"] == 1).all())
