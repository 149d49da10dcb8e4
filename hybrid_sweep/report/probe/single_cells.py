"""Rows of probe.csv of single cells, many at once: 120 languages have 14,280 pairs."""

from collections.abc import Sequence

import numpy as np

from hybrid_sweep.report import scope_parts
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.probe.cells import ANSWERED, MISSED, Rule
from hybrid_sweep.report.probe.rows import ProbeRow
from hybrid_sweep.report.statistics import Array

Success = tuple[Array, Array]  # (S, Q) each, of the first and of the second in a cell
MOST_VALUES = 2_000_000  # at once: bounds the memory


def rows(cells: Sequence[Success], rule: Rule) -> list[ProbeRow]:
    """Return, of each cell by itself, what `rows.row` returns."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, (first, _) in enumerate(cells):
        alike.setdefault(first.shape, []).append(place)
    made: list[ProbeRow] = [{}] * len(cells)
    for (seeds, questions), places in alike.items():
        most = max(1, MOST_VALUES // (seeds * max(questions, st.NODES)))
        for start in range(0, len(places), most):
            some = places[start : start + most]
            first = np.stack([cells[place][0] for place in some])
            second = np.stack([cells[place][1] for place in some])
            for place, row in zip(some, _of_one_form(first, second, rule), strict=True):
                made[place] = row
    return made


def _of_one_form(first: Array, second: Array, rule: Rule) -> list[ProbeRow]:
    """Return the rows of cells with as many questions each; first, second: (D, S, Q)."""
    one, two = (rule.states(np.moveaxis(success, 1, 0)) for success in (first, second))
    difference = second - first
    y, df = scope_parts.contributions_of(difference, scope_parts.means_of(difference))
    estimate = st.crossed_estimate(y, df)
    low, high = st.bounds(estimate, 0.95)
    is_tested = estimate.interval == "crossed"
    count, seeds, questions = first.shape
    columns = {
        "first": _mean(first),
        "second": _mean(second),
        "lost": ((one == ANSWERED) & (two == MISSED)).sum(axis=1),
        "gained": ((one == MISSED) & (two == ANSWERED)).sum(axis=1),
        "lost_share": _mean(np.maximum(first - second, 0)),
        "gained_share": _mean(np.maximum(second - first, 0)),
        "difference": np.asarray(estimate.mean),
        "low": np.asarray(low),
        "high": np.asarray(high),
        "p": np.asarray(st.p_value(estimate)) if is_tested else np.full(count, np.nan),
    }
    lists = [column.tolist() for column in columns.values()]
    made: list[ProbeRow] = []
    for values in zip(*lists, strict=True):
        row: ProbeRow = {"n_questions": questions, "n_asked": questions, "n_seeds": seeds}
        row["interval"] = estimate.interval
        for name, value in zip(columns, values, strict=True):
            row[name] = value  # type: ignore[literal-required]
        made.append(row)
    return made


def _mean(values: Array) -> Array:
    """Return the mean of each cell, summed as that of a matrix alone is."""
    mean: Array = values.reshape(len(values), -1).mean(axis=1)
    return mean
