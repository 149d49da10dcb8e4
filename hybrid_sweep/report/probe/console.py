"""What the probe prints: the table by ratio, what is missing, the answer, the largest drops and
where the rest is.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.probe.examples import quoted
from hybrid_sweep.report.probe.texts import Record
from hybrid_sweep.report.probe.words import by_ratio
from hybrid_sweep.report.render.console import console as lines_of
from hybrid_sweep.report.render.numbers import listed, signed
from hybrid_sweep.utils.escaping import one_line


def console(
    sweep: Sweep,
    table: pd.DataFrame,
    said: Sequence[str],
    records: Mapping[str, Sequence[Record]],
    warnings: Sequence[str],
    note: str,
    folder: Path,
    ratio: float,
) -> str:
    """Return the text for the console; `note` says why wanted texts are missing, "" where they are
    not.
    """
    lines = lines_of(by_ratio(table))
    for point in sweep.gaps:
        reason = sweep.missing[point.run_id]
        lines.append(one_line(f"missing: {point.label}, run {point.run_id}: {reason}"))
    lines += [one_line(f"warning: {warning}") for warning in warnings]
    for sentence in said:
        lines += ["", *textwrap.wrap(sentence.replace("**", ""), 110)]
    if examples := _largest(records["lost"]):
        lines += [
            "",
            f"the largest drops, the rank of each seed at r = 0 -> at r = {ratio:g}:",
            *examples,
        ]
    if note:
        lines += ["", *textwrap.wrap(f"no texts: {note}; --no-texts goes without", 110)]
    counts = listed(f"{len(found):,} {name}" for name, found in records.items())
    return "\n".join(
        [
            *lines,
            "",
            f"questions: {counts} (lost.jsonl, gained.jsonl, weak.jsonl)",
            f"page: {folder / 'probe.md'}",
        ]
    )


def _largest(lost: Sequence[Record]) -> list[str]:
    """Return a line for each of the three questions with the largest monolingual drops (drops of
    any setting, where none is).
    """
    found = [(entry, record) for record in lost for entry in record["lost"]]
    found = [pair for pair in found if pair[0]["setting"] == "monolingual"] or found
    found.sort(key=lambda pair: (-pair[0]["drop"], pair[1]["question"], pair[0]["query_language"]))
    lines: dict[str, str] = {}
    for entry, record in found:
        cell = entry["query_language"]
        if entry["setting"] != "monolingual":
            cell += f">{entry['passage_language']}"
        query = next(
            (row["text"] for row in record["queries"] if row["id"] == entry["query"]), None
        )
        what = f'"{quoted(query)[:60]}"' if query else entry["query"]
        ranks = [
            " ".join("-" if rank is None else str(rank) for rank in entry[name])
            for name in ("rank_at_0", "rank")
        ]
        line = (
            f"  {one_line(cell)}  {one_line(what)}: rank {ranks[0]} -> {ranks[1]}"
            f" ({signed(-entry['drop'], 2)} in 1/rank)"
        )
        lines.setdefault(record["question"], line)
        if len(lines) == 3:
            break
    return list(lines.values())
