"""What the console shows of a comparison: the table, what differs, what is missing, and the
sentences.
"""

import textwrap

import pandas as pd

from hybrid_sweep.report.comparison.table import Comparison
from hybrid_sweep.report.comparison.words import contrast
from hybrid_sweep.report.markdown import HEADER, by_ratio, label
from hybrid_sweep.report.results import MONO, pick, records
from hybrid_sweep.report.settings import REST
from hybrid_sweep.utils.escaping import one_line

EXAMPLES = ["mono examples", "cross examples"]
WIDTH = 24  # characters of a sweep's name on the console


def ratio_rows(comparison: Comparison, index: int) -> list[list[str]]:
    """Return the lines of one sweep under `HEADER` and `EXAMPLES`, one per planned ratio, baselines
    last.
    """
    sweep, results = comparison.sweeps[index], comparison.results[index]
    seen = {f"{row['ratio']:g}": row for row in records(pick(results, *MONO))}
    rows = []
    for line in by_ratio(sweep, results):
        row = seen.get(line[0], {})
        counts = [
            row.get(key, float("nan")) for key in ("examples_monolingual", "examples_cross_lingual")
        ]
        rows.append([*line, *("" if pd.isna(count) else f"{count:,.0f}" for count in counts)])
    return rows


def _short(name: str) -> str:
    """Return a name that fits a column: its middle is left out, and hidden characters are
    escaped.
    """
    name = one_line(name)
    return (
        name if len(name) <= WIDTH else f"{name[: WIDTH // 2]}…{name[-(WIDTH - WIDTH // 2 - 1) :]}"
    )


def console(comparison: Comparison) -> str:
    """Return the table by sweep and ratio, what differs, what is missing, the warnings, the answers
    and the tested differences.
    """
    header = ["sweep", *HEADER, *EXAMPLES]
    rows = [
        [_short(name), *line]
        for index, name in enumerate(comparison.names)
        for line in ratio_rows(comparison, index)
    ]
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    width = {i: max(len(row[i]) for row in [header, *rows]) for i in kept}
    left = {header.index(name) for name in ("sweep", "r", "change to r = 0 [90 %]", "verdict")}
    lines = [
        "  ".join(
            row[i].ljust(width[i]) if i in left else row[i].rjust(width[i]) for i in kept
        ).rstrip()
        for row in [header, *rows]
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    lines += ["", "what differs:"]
    lines += [
        f"  {one_line(found.key)}: " + " / ".join(_short(value) or "-" for value in found.values)
        for found in comparison.differences
        if found.part != REST
    ] or [
        "  no recorded setting that can change the numbers, and no fingerprint: the sweeps have"
        " other runs"
    ]
    if besides := [found.key for found in comparison.differences if found.part == REST]:
        lines += textwrap.wrap(
            one_line("besides: " + ", ".join(besides)),
            110,
            initial_indent="  ",
            subsequent_indent="    ",
        )
    for name, sweep, warnings in zip(
        comparison.names, comparison.sweeps, comparison.warnings, strict=True
    ):
        for point in sweep.points:
            if point.run_id in sweep.missing:
                reason = sweep.missing[point.run_id]
                lines.append(
                    one_line(
                        f"missing: {_short(name)}, {label(point)}, run {point.run_id}: {reason}"
                    )
                )
        lines += [one_line(f"warning: {_short(name)}: {warning}") for warning in warnings]
    for name, said in zip(comparison.names, comparison.said, strict=True):
        lines += ["", *textwrap.wrap(f"{_short(name)}: {said}", 110)]
    for index in range(1, len(comparison.names)):
        lines += ["", *textwrap.wrap(contrast(comparison, index).replace("`", ""), 110)]
    return "\n".join(lines)
