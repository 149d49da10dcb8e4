"""What the probe prints: the table by ratio, what is missing, the answer, the largest drops and
where the rest is.
"""

from collections.abc import Sequence
from pathlib import Path

from hybrid_sweep.report.probe.content import ProbeContent
from hybrid_sweep.report.probe.examples import largest_first, quoted, text_of
from hybrid_sweep.report.probe.texts import Record
from hybrid_sweep.report.probe.words import by_ratio
from hybrid_sweep.report.render.console import console as lines_of
from hybrid_sweep.report.render.numbers import listed, signed
from hybrid_sweep.utils.escaping import one_line
from hybrid_sweep.utils.terminal_lines import paragraph


def console(content: ProbeContent, note: str, folder: Path) -> str:
    """Return the text for the console; `note` says why wanted texts are missing, "" where they are
    not.
    """
    sweep = content.sweep
    lines = lines_of(by_ratio(content.table))
    for point in sweep.gaps:
        reason = sweep.missing[point.run_id]
        lines.append(one_line(f"missing: {point.label}, run {point.run_id}: {reason}"))
    lines += [one_line(f"warning: {warning}") for warning in content.warnings]
    for sentence in content.sentences:
        lines += ["", *paragraph(sentence.replace("**", ""))]
    examples = _largest(content.records["lost"])
    if examples:
        ratio = f"{content.ratio:g}"
        lines += ["", f"the largest drops, the rank of each seed at r = 0 -> at r = {ratio}:"]
        lines += examples
    if note:
        lines += ["", *paragraph(f"no texts: {note}; --no-texts goes without")]
    counts = listed(f"{len(records):,} {name}" for name, records in content.records.items())
    lines += ["", f"questions: {counts} (lost.jsonl, gained.jsonl, weak.jsonl)"]
    return "\n".join([*lines, f"page: {folder / 'probe.md'}"])


def _largest(lost: Sequence[Record]) -> list[str]:
    """Return a line for each of the three questions with the largest monolingual drops (drops of
    any setting, where none is).
    """
    entries = []
    for record in lost:
        entries += [(entry, record) for entry in record["lost"]]
    monolingual = [pair for pair in entries if pair[0]["setting"] == "monolingual"]
    entries = largest_first(monolingual or entries)
    lines: dict[str, str] = {}
    for entry, record in entries:
        cell = entry["query_language"]
        if entry["setting"] != "monolingual":
            cell += f">{entry['passage_language']}"
        text = text_of(record, "id", entry["query"])
        what = f'"{quoted(text)[:60]}"' if text else entry["query"]
        ranks = []
        for name in ("rank_at_0", "rank"):
            ranks.append(" ".join("-" if rank is None else str(rank) for rank in entry[name]))
        line = (
            f"  {one_line(cell)}  {one_line(what)}: rank {ranks[0]} -> {ranks[1]}"
            f" ({signed(-entry['drop'], 2)} in 1/rank)"
        )
        lines.setdefault(record["question"], line)
        if len(lines) == 3:
            break
    return list(lines.values())
