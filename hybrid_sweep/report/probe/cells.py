"""What the weakness probe counts on: the rank of every question in every run, by setting and
languages.

A question is answered in a run if a relevant passage stands within the first k of its pool. Of
several seeds it counts as answered, or as missed, only if that is so in more than a stated share of
them; else it is open, and no one's example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.report.curves import grid
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.statistics import Array
from hybrid_sweep.utils.errors import UserError

Ints = NDArray[np.intp]
ANSWERED, OPEN, MISSED = 1, 0, -1
SETTINGS = ("monolingual", "cross-lingual", "multilingual")


@dataclass(frozen=True)
class Rule:
    """When a question counts: a relevant passage within the first `at`, in more than `share` of the
    seeds.
    """

    at: int = 10
    share: float = 0.5

    def states(self, success: Array) -> NDArray[np.int8]:
        """Return (Q,) ANSWERED, MISSED or OPEN from the success (S, Q) of each seed."""
        rate = success.mean(axis=0)
        return np.where(
            rate > self.share, ANSWERED, np.where(1 - rate > self.share, MISSED, OPEN)
        ).astype(np.int8)


@dataclass(frozen=True)
class LanguageCell:
    """The Q questions that one query language asks of one pool, by n queries; passage_lang is "*"
    for the mixed pool.

    question: (Q,) codes, ascending. start: (Q,) the first of the queries of each question; they
    stand side by side. query_id, n_relevant: (n,). rank: (runs, n) of the best relevant passage,
    inf where none was retrieved.
    """

    setting: str
    query_lang: str
    passage_lang: str
    question: Ints
    start: Ints
    query_id: tuple[str, ...]
    n_relevant: NDArray[np.int64]
    rank: Array

    @property
    def name(self) -> str:
        """Return the language, or the ordered pair query>passage of the cross-lingual setting, as
        in results.csv.
        """
        if self.setting == "cross-lingual":
            return f"{self.query_lang}>{self.passage_lang}"
        return self.query_lang

    def success(self, runs: Sequence[int], at: int) -> Array:
        """Return (runs, Q) 1 where a question is answered, 0 where not; of a question with several
        queries their mean.
        """
        hits = (self.rank[list(runs)] <= at).astype(np.float64)
        count = np.diff(self.start, append=len(self.query_id))
        return np.asarray(np.add.reduceat(hits, self.start, axis=1) / count)

    def queries(self, question: int) -> slice:
        """Return the queries of the question with this code; it must be one of `question`."""
        place = int(np.searchsorted(self.question, question))
        end = self.start[place + 1] if place + 1 < len(self.start) else len(self.query_id)
        return slice(int(self.start[place]), int(end))


@dataclass(frozen=True)
class Cells:
    """The cells of a sweep in the order of SETTINGS and languages.

    questions: group ids, by code. runs: the place of each trained run by ratio and seed, both
    ascending.
    """

    questions: tuple[str, ...]
    runs: dict[float, dict[int, int]]
    cells: tuple[LanguageCell, ...]

    def of(self, setting: str) -> list[LanguageCell]:
        return [cell for cell in self.cells if cell.setting == setting]

    def common(self, ratio: float) -> list[int]:
        """Return the seeds that both ratio 0 and this one have."""
        return [seed for seed in self.runs.get(ratio, {}) if seed in self.runs.get(0.0, {})]

    def places(self, ratio: float, seeds: Sequence[int]) -> list[int]:
        return [self.runs[ratio][seed] for seed in seeds]


def best_ranks(sweep: Sweep) -> Array:
    """Return (finished runs, rows) the rank of the best relevant passage, in the order of
    `sweep.frame`; inf: not retrieved.

    Raises UserError where a run's ranks and its RR@10 contradict each other: one of them was
    changed.
    """
    shape = len(sweep.finished), -1
    ranks, reciprocal = (
        sweep.frame[name].to_numpy(dtype=np.float64).reshape(shape) for name in ("rank", "RR@10")
    )
    expected = np.where(ranks <= 10, 1 / ranks, 0.0)
    agree = np.isclose(expected, reciprocal, rtol=0, atol=1e-9).all(axis=1)
    for point, good in zip(sweep.finished, agree, strict=True):
        if not good:
            raise UserError(
                f"run {point.run_id}: its ranks and its RR@10 disagree; evaluate it again",
                key="probe.ranks_disagree",
            )
    return ranks


def cells_of(sweep: Sweep, ranks: Array) -> Cells:
    """Return the cells of a sweep from its frame and `best_ranks`; nothing depends on the order of
    the stored rows.
    """
    rows = sweep.frame.iloc[: ranks.shape[1]]
    names, code = np.unique(rows["group_id"].to_numpy(dtype=str), return_inverse=True)
    ids = rows["query_id"].to_numpy(dtype=str)
    relevant = rows["n_relevant"].to_numpy(dtype=np.int64)
    made = []
    columns = ["setting", "query_lang", "passage_lang"]
    by_cell = rows.groupby(columns, observed=True, sort=True).indices
    for names_of, index in by_cell.items():
        setting, query_lang, passage_lang = cast(tuple[str, str, str], names_of)
        order = index[np.lexsort((ids[index], code[index]))]
        question, start = np.unique(code[order], return_index=True)
        cell = LanguageCell(
            setting=setting,
            query_lang=query_lang,
            passage_lang=passage_lang,
            question=question,
            start=start,
            query_id=tuple(ids[order].tolist()),
            n_relevant=relevant[order],
            rank=ranks[:, order],
        )
        made.append(cell)
    made.sort(key=lambda cell: (SETTINGS.index(cell.setting), cell.query_lang, cell.passage_lang))
    return Cells(tuple(names.tolist()), grid(sweep), tuple(made))
