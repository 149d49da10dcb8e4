"""lost.jsonl, gained.jsonl and weak.jsonl: one line per question, with its ranks of every seed and
its texts.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_sweep.report.probe.cells import ANSWERED, MISSED, SETTINGS, Cells, LanguageCell, Rule
from hybrid_sweep.report.probe.differences import compared
from hybrid_sweep.report.probe.texts import Passages, Record, SplitTexts
from hybrid_sweep.report.statistics import Array
from hybrid_sweep.utils.files import atomic_write

Entries = dict[str, list[Record]]  # by question, the one with the largest change first


def _ranks(rank: Array) -> list[int | None]:
    """Return ranks as JSON has them: null where no relevant passage was retrieved."""
    return [int(value) if math.isfinite(value) else None for value in rank]


def _places(states: Sequence[Any], first: int, second: int) -> list[int]:
    return [int(place) for place in np.flatnonzero((states[0] == first) & (states[1] == second))]


def moved(cells: Cells, ratio: float, rule: Rule, *, gained: bool = False) -> Entries:
    """Return the questions answered at r = 0 and missed at `ratio`, or the reverse, with the
    queries and cells they are so in.

    drop: mean over seeds of 1/rank at r = 0, less that at r, of the whole list; negative where it
    is a gain.
    """
    seeds = cells.common(ratio)
    if not seeds:
        return {}
    before, after = cells.places(0.0, seeds), cells.places(ratio, seeds)
    wanted = (MISSED, ANSWERED) if gained else (ANSWERED, MISSED)
    entries: Entries = {}
    for setting in SETTINGS:
        for cell, *success in compared(cells, setting, ratio, rule):
            states = [rule.states(one) for one in success]
            for place in _places(states, *wanted):
                code = int(cell.question[place])
                of_question = entries.setdefault(cells.questions[code], [])
                for query in range(len(cell.query_id))[cell.queries(code)]:
                    of_question.append(_entry(cell, query, before, after))
    return _ordered(entries, "drop", descending=not gained)


def _entry(cell: LanguageCell, query: int, before: Sequence[int], after: Sequence[int]) -> Record:
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


def uneven(cells: Cells, ratio: float, rule: Rule) -> Entries:
    """Return the questions that a ratio answers in one query language and misses in another, of the
    same kind of pool.

    rank: the best of the question's queries, by language and then by seed. spread: how far the
    languages' means over seeds of 1/rank lie apart.
    """
    runs = list(cells.runs[ratio].values())
    pools: dict[tuple[str, str], list[LanguageCell]] = {}
    for cell in cells.cells:
        passages = "" if cell.setting == "monolingual" else cell.passage_lang
        pools.setdefault((cell.setting, passages), []).append(cell)
    entries: Entries = {}
    for (setting, passages), pool in pools.items():
        for code, states in _states(pool, runs, rule).items():
            answered = [cell.query_lang for cell, state in states if state == ANSWERED]
            missed = [cell.query_lang for cell, state in states if state == MISSED]
            if not answered or not missed:
                continue
            ranks = {}
            for cell, _ in states:
                ranks[cell.query_lang] = cell.rank[runs, cell.queries(code)].min(axis=1)
            means = [float((1 / rank).mean()) for rank in ranks.values()]
            entry: Record = {
                "setting": setting,
                "passage_language": passages or None,  # each the query's own
                "answered_in": answered,
                "missed_in": missed,
                "rank": {language: _ranks(rank) for language, rank in ranks.items()},
                "spread": round(max(means) - min(means), 6),
            }
            entries.setdefault(cells.questions[code], []).append(entry)
    return _ordered(entries, "spread", descending=True)


def _states(
    pool: Sequence[LanguageCell], runs: Sequence[int], rule: Rule
) -> dict[int, list[tuple[LanguageCell, int]]]:
    """Return the cells that ask a question, each with the question's state in it, by code."""
    asked: dict[int, list[tuple[LanguageCell, int]]] = {}
    for cell in pool:
        states = rule.states(cell.success(runs, rule.at))
        for code, state in zip(cell.question, states, strict=True):
            asked.setdefault(int(code), []).append((cell, int(state)))
    return asked


def _ordered(entries: Entries, key: str, *, descending: bool) -> Entries:
    """Return questions by their largest change, monolingual ones first within a question; ties by
    question id.
    """
    sign = -1 if descending else 1

    def place(item: tuple[str, list[Record]]) -> tuple[float, str]:
        question, changes = item
        return min(sign * entry[key] for entry in changes), question

    return dict(sorted(entries.items(), key=place))


def lines(
    entries: Entries,
    name: str,
    head: Mapping[str, Any],
    texts: SplitTexts | None,
    cells: Cells,
    most: int,
) -> list[Record]:
    """Return the records of a file: question, head (ratio and seeds), its entries under `name`, and
    its texts.

    Without texts the queries' ids stand alone and `relevant` is null; `most` bounds the relevant
    passages of a question.
    """
    questions = list(entries)
    queries = texts.queries(questions) if texts else _queries(cells, set(questions))
    relevant = texts.relevant(questions, most) if texts else {}
    records = []
    for question in questions:
        passages = relevant.get(question, Passages())
        asked = {"queries": queries.get(question, [])}
        answers: Record = {"relevant": None}
        if texts:
            answers = {"relevant": passages.shown, "relevant_left_out": passages.left_out}
        records.append({"question": question, **head, name: entries[question], **asked, **answers})
    return records


def _queries(cells: Cells, questions: set[str]) -> dict[str, list[Record]]:
    """Return what the tables alone tell of the queries of some questions: language and id."""
    pairs: dict[str, set[tuple[str, str]]] = {}
    for cell in cells.cells:
        for code in cell.question:
            question = cells.questions[code]
            if question in questions:
                for query in cell.query_id[cell.queries(int(code))]:
                    pairs.setdefault(question, set()).add((cell.query_lang, query))
    queries: dict[str, list[Record]] = {}
    for question, asked in pairs.items():
        queries[question] = [
            {"language": language, "id": query, "text": None} for language, query in sorted(asked)
        ]
    return queries


def write_lines(path: Path, records: Sequence[Record]) -> None:
    """Write records as JSON lines, atomically."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records
        )
