"""Whether a difference of changes holds on other scales: that one sweep loses more than another, or
a large pool more than a small one, may be so for means and not for their logarithms, or odds.
"""

import numpy as np
import pandas as pd

from hybrid_sweep.report.columns import frame_of, records
from hybrid_sweep.report.comparison.between import Footing, merged
from hybrid_sweep.report.comparison.rows import ComparisonRow
from hybrid_sweep.report.comparison.table import (
    TWICE,
    Comparison,
    SweepSide,
    adjusted,
    differences_at,
    side_of,
)
from hybrid_sweep.report.curves import grid
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.measures import Measure
from hybrid_sweep.report.render.numbers import between, p_words, signed
from hybrid_sweep.report.results import MACRO, block
from hybrid_sweep.report.scales import LOG, LOG_ERROR, LOGIT, PLAIN, Scale
from hybrid_sweep.utils.escaping import one_line

SCALES = (PLAIN, LOG, LOG_ERROR, LOGIT)


def on_scales(comparison: Comparison) -> pd.DataFrame:
    """Return the differences of changes to the first sweep on each scale, macro means of
    monolingual retrieval, or of cross-lingual retrieval where nothing is monolingual: rows as those
    of comparison.csv, p adjusted over the ratios.

    The mean of each sweep and ratio is made linear on the scale by itself (`report.scales`).
    """
    first = comparison.sweeps[0]
    rows: list[ComparisonRow] = []
    for name, sweep, ground in zip(
        comparison.names[1:], comparison.sweeps[1:], comparison.grounds, strict=True
    ):
        if ground.whole and not ground.refusal:
            rows += _pair((name, comparison.names[0]), (sweep, first), ground, comparison.leading)
    return frame_of(adjusted(rows), ComparisonRow)


def _pair(
    names: tuple[str, str], sweeps: tuple[Sweep, Sweep], ground: Footing, about: Measure
) -> list[ComparisonRow]:
    """Return the rows of one sweep against another, for each scale and ratio.

    about: the measure that is put on the scales.
    """
    here, there = sweeps
    whole = block(merged(here, there, ground), *about.place)
    shared = sorted(grid(here).keys() & grid(there).keys() - {0.0})
    if whole is None or not shared:
        return []
    y, df = whole.contributions()
    count = len(here.trained)
    rows = []
    for scale in SCALES:
        sides = _scaled(side_of(here, y[:count]), scale), _scaled(side_of(there, y[count:]), scale)
        for ratio in shared:
            head: ComparisonRow = {
                "sweep": names[0],
                "against": names[1],
                "kind": "trained",
                "status": "complete",
                "setting": about.setting,
                "measure": scale.name(about.measure),
                "scope": MACRO,
                "ratio": ratio,
            }
            made = differences_at(head, sides, df, bool(ground.by_seed))
            for row in made:
                row["n_questions"] = len(whole.questions)
            rows += [row for row in made if row["statistic"] == TWICE]
    return rows


def _scaled(side: SweepSide, scale: Scale) -> SweepSide:
    """Return the contributions of a sweep on a scale, each ratio about the mean of its seeds."""
    contributions = {}
    for ratio, by_seed in side.contributions.items():
        values = scale.of(np.stack(list(by_seed.values())))
        contributions[ratio] = dict(zip(by_seed, values, strict=True))
    return SweepSide(contributions, side.looks)


def sentences(rows: pd.DataFrame) -> list[str]:
    """Return a line for each sweep: the difference of changes at the highest ratio on each
    scale.
    """
    lines = []
    for name, mine in rows.groupby("sweep", sort=False):
        top = mine[mine["ratio"] == mine["ratio"].max()]
        parts = []
        for row in records(top, ComparisonRow):
            if pd.isna(row["value"]):
                continue
            ends = "no interval"
            if pd.notna(row["low"]):
                ends = between(row["low"], row["high"])
            tested = f", Holm {p_words(row['p_holm'])}" if pd.notna(row["p_holm"]) else ""
            parts.append(f"{row['measure']} {signed(row['value'])} {ends}{tested}")
        if parts:
            against, ratio = top["against"].iloc[0], top["ratio"].iloc[0]
            setting = top["setting"].iloc[0]
            what = f"difference of changes, {setting}, {name} minus {against}, r = {ratio:g}"
            lines.append(one_line(f"{what}, by scale: {'; '.join(parts)}"))
    return lines
