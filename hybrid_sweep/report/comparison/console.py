"""What the console shows of a comparison: the table, what differs, what is missing, and the
sentences.
"""

from hybrid_sweep.report.comparison.ratio_table import ratio_table
from hybrid_sweep.report.comparison.table import Comparison
from hybrid_sweep.report.comparison.words import contrast
from hybrid_sweep.report.render.console import console as lines_of
from hybrid_sweep.report.render.console import short
from hybrid_sweep.report.settings import REST
from hybrid_sweep.utils.escaping import one_line
from hybrid_sweep.utils.terminal_lines import paragraph


def _differences(comparison: Comparison) -> list[str]:
    """Return the settings and contents that differ, a line each, and the rest in one."""
    lines = []
    for difference in comparison.differences:
        if difference.part != REST:
            values = " / ".join(short(value) or "-" for value in difference.values)
            lines.append(f"  {one_line(difference.key)}: {values}")
    if not lines:
        lines = [
            "  no recorded setting that can change the numbers, and no fingerprint: the sweeps have"
            " other runs"
        ]
    rest = [difference.key for difference in comparison.differences if difference.part == REST]
    if rest:
        text = one_line("besides: " + ", ".join(rest))
        lines += paragraph(text, "  ", "    ")
    return lines


def _notices(comparison: Comparison) -> list[str]:
    """Return the missing points and the warnings."""
    lines = []
    for index, name in enumerate(comparison.names):
        sweep = comparison.sweeps[index]
        for point in sweep.gaps:
            where = f"{short(name)}, {point.label}, run {point.run_id}"
            lines.append(one_line(f"missing: {where}: {sweep.missing[point.run_id]}"))
        for warning in comparison.warnings[index]:
            lines.append(one_line(f"warning: {short(name)}: {warning}"))
    return lines


def console(comparison: Comparison) -> str:
    """Return the table by sweep and ratio, what differs, what is missing, the warnings, the answers
    and the tested differences.
    """
    lines = lines_of(ratio_table(comparison))
    lines += ["", "what differs:", *_differences(comparison), *_notices(comparison)]
    for name, answer in zip(comparison.names, comparison.answers, strict=True):
        lines += ["", *paragraph(f"{short(name)}: {answer}")]
    for index in range(1, len(comparison.names)):
        lines += ["", *paragraph(contrast(comparison, index).replace("`", ""))]
    return "\n".join(lines)
