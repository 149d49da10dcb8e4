"""lost.jsonl, gained.jsonl and weak.jsonl: one line per question, with its ranks of every seed and
its texts.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_sweep.report.probe.cells import ANSWERED, MISSED, SETTINGS, Cell, Cells, Rule
from hybrid_sweep.report.probe.differences import compared
from hybrid_sweep.report.probe.texts import Passages, Record, Texts
from hybrid_sweep.report.statistics import Array
from hybrid_sweep.utils.files import atomic_write

Entries = dict[str, list[Record]]  # by question, the one with the largest change first


def _ranks(rank: Array) -> list[int | None]:
    """Return ranks as JSON has them: null where no relevant passage was retrieved."""
    return [int(value) if math.isfinite(value) else None for value in rank]


def _places(states: Sequence[Any], first: int, second: int) -> list[int]:
    return [int(place) for place in np.flatnonzero((states[0] == first) & (states[1] == second))]


def moved(found: Cells, ratio: float, rule: Rule, *, gained: bool = False) -> Entries:
    """Return the questions answered at r = 0 and missed at `ratio`, or the reverse, with the
    queries and cells they are so in.

    drop: mean over seeds of 1/rank at r = 0, less that at r, of the whole list; negative where it
    is a gain.
    """
    seeds = found.common(ratio)
    before, after = ([found.places(one, seeds) for one in (0.0, ratio)]) if seeds else ([], [])
    entries: Entries = {}
    for setting in SETTINGS:
        for cell, *success in compared(found, setting, ratio, rule):
            states = [rule.states(each) for each in success]
            for place in _places(states, *((MISSED, ANSWERED) if gained else (ANSWERED, MISSED))):
                code = int(cell.question[place])
                entries.setdefault(found.questions[code], []).extend(
                    _entry(cell, place_of_query, before, after)
                    for place_of_query in range(*cell.queries(code).indices(len(cell.query_id)))
                )
    return _ordered(entries, "drop", descending=not gained)


def _entry(cell: Cell, query: int, before: Sequence[int], after: Sequence[int]) -> Record:
    ranks = [cell.rank[list(runs), query] for runs in (before, after)]
    return {
        "setting": cell.setting,
        "query_language": cell.query_lang,
        "passage_language": cell.passage_lang,
        "query": cell.query_id[query],
        "rank_at_0": _ranks(ranks[0]),
        "rank": _ranks(ranks[1]),
        "drop": round(float((1 / ranks[0]).mean() - (1 / ranks[1]).mean()), 6),
    }


def uneven(found: Cells, ratio: float, rule: Rule) -> Entries:
    """Return the questions that a ratio answers in one query language and misses in another, of the
    same kind of pool.

    rank: the best of the question's queries, by language and then by seed. spread: how far the
    languages' means over seeds of 1/rank lie apart.
    """
    runs = list(found.runs[ratio].values())
    pools: dict[tuple[str, str], list[Cell]] = {}
    for cell in found.cells:
        pools.setdefault(
            (cell.setting, "" if cell.setting == "monolingual" else cell.passage_lang), []
        ).append(cell)
    entries: Entries = {}
    for (setting, passages), cells in pools.items():
        asked: dict[int, list[tuple[Cell, int]]] = {}
        for cell in cells:
            for code, state in zip(
                cell.question, rule.states(cell.success(runs, rule.at)), strict=True
            ):
                asked.setdefault(int(code), []).append((cell, int(state)))
        for code, states in asked.items():
            if not {ANSWERED, MISSED} <= {state for _, state in states}:
                continue
            ranks = {
                cell.query_lang: cell.rank[runs, cell.queries(code)].min(axis=1)
                for cell, _ in states
            }
            means = [float((1 / rank).mean()) for rank in ranks.values()]
            entries.setdefault(found.questions[code], []).append(
                {
                    "setting": setting,
                    "passage_language": passages or None,  # each the query's own
                    "answered_in": [cell.query_lang for cell, state in states if state == ANSWERED],
                    "missed_in": [cell.query_lang for cell, state in states if state == MISSED],
                    "rank": {language: _ranks(rank) for language, rank in ranks.items()},
                    "spread": round(max(means) - min(means), 6),
                }
            )
    return _ordered(entries, "spread", descending=True)


def _ordered(entries: Entries, key: str, *, descending: bool) -> Entries:
    """Return questions by their largest change, monolingual ones first within a question; ties by
    question id.
    """
    sign = -1 if descending else 1
    return dict(
        sorted(
            entries.items(), key=lambda item: (min(sign * entry[key] for entry in item[1]), item[0])
        )
    )


def lines(
    entries: Entries,
    name: str,
    head: Mapping[str, Any],
    texts: Texts | None,
    found: Cells,
    most: int,
) -> list[Record]:
    """Return the records of a file: question, head (ratio and seeds), its entries under `name`, and
    its texts.

    Without texts the queries' ids stand alone and `relevant` is null; `most` bounds the relevant
    passages of a question.
    """
    questions = list(entries)
    queries = texts.queries(questions) if texts else _known(found, set(questions))
    relevant = texts.relevant(questions, most) if texts else {}
    records = []
    for question in questions:
        passages = relevant.get(question, Passages())
        asked = {"queries": queries.get(question, [])}
        answers = (
            {"relevant": passages.shown, "relevant_left_out": passages.left_out}
            if texts
            else {"relevant": None}
        )
        records.append({"question": question, **head, name: entries[question], **asked, **answers})
    return records


def _known(found: Cells, questions: set[str]) -> dict[str, list[Record]]:
    """Return what the tables alone know of the queries of some questions: language and id."""
    known: dict[str, set[tuple[str, str]]] = {}
    for cell in found.cells:
        for code in cell.question:
            if (question := found.questions[code]) in questions:
                for query in cell.query_id[cell.queries(int(code))]:
                    known.setdefault(question, set()).add((cell.query_lang, query))
    return {
        question: [
            {"language": language, "id": query, "text": None} for language, query in sorted(pairs)
        ]
        for question, pairs in known.items()
    }


def write_lines(path: Path, records: Sequence[Record]) -> None:
    """Write records as JSON lines, atomically."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records
        )
