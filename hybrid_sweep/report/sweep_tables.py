"""The tables of a finished sweep as data frames: its points, per-query rows, results and derived
statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.load import Sweep, load
from hybrid_sweep.report.results import aggregate


@dataclass(frozen=True)
class SweepTables:
    """A sweep as its report reads it.

    Args:
        sweep: the points and their rows.
    """

    sweep: Sweep

    @property
    def name(self) -> str:
        """Return the name of the sweep."""
        return self.sweep.name

    @cached_property
    def points(self) -> pd.DataFrame:
        """Return a row for each planned run: kind, ratio, seed, run_id, and why it is missing, ""
        where it is finished.
        """
        missing = self.sweep.missing
        rows = [
            (point.kind, point.ratio, point.seed, point.run_id, missing.get(point.run_id, ""))
            for point in self.sweep.points
        ]
        return pd.DataFrame(rows, columns=["kind", "ratio", "seed", "run_id", "missing"])

    @property
    def per_query(self) -> pd.DataFrame:
        """Return a row for each finished run, setting, language pair and query, with its
        measures.
        """
        return self.sweep.frame

    @cached_property
    def results(self) -> pd.DataFrame:
        """Return means, intervals, effects and verdicts: the columns of results.csv."""
        return aggregate(self.sweep)

    @cached_property
    def derived(self) -> pd.DataFrame:
        """Return shape, trade-off, winners and losers: the columns of derived.csv."""
        return derived(self.sweep, self.results)


def load_sweep(folders: Path | str | Sequence[Path | str], on: str = "") -> SweepTables:
    """Return the tables of a sweep.

    Args:
        folders: of one sweep, as outputs/sweeps/NAME, or of several that are to be pooled.
        on: name of a further collection; "" is the one that the runs were trained on.

    Raises:
        UserError: where there is no sweep, no finished run, or runs that cannot be compared.
    """
    several = [folders] if isinstance(folders, str | Path) else list(folders)
    return SweepTables(load([Path(folder) for folder in several], on))
