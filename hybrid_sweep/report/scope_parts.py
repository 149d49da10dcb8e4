"""What each question contributes to the mean of each scope: scopes of one form are computed at
once.

A sweep of 120 languages has 14,280 pairs of languages. Their estimates are those that each would
have alone (`statistics.contributions`), at a hundredth of the time.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.blocks import Block, select
from hybrid_sweep.report.clusters import effective_questions
from hybrid_sweep.report.statistics import Array

MOST_VALUES = 4_000_000  # of a part: bounds the memory
MOST_SCOPES = 2_000  # of a part, likewise: an estimate has a hundred numbers of its own meanwhile


@dataclass(frozen=True)
class ScopePart:
    """D scopes with as many questions each.

    y: (D, runs, questions) contributions, or of clusters of these. df: of the questions or the
    clusters. means: (D, runs, questions) of the rows of each question. n_rows: of each run, in each
    scope. asked: where there are clusters, the effective number of questions.
    """

    scopes: tuple[str, ...]
    y: Array
    df: float
    means: Array
    n_rows: int
    asked: float | None = None

    @property
    def n_questions(self) -> int:
        """Return the number of questions of each scope."""
        return int(self.means.shape[2])

    @property
    def n_clusters(self) -> int | None:
        """Return the number of clusters of each scope; None where questions are in none."""
        return None if self.asked is None else int(self.y.shape[2])


def parts(whole: Block, scopes: Mapping[str, tuple[str, ...]]) -> Iterator[ScopePart]:
    """Yield the scopes of a block, each once, in any order.

    Args:
        whole: the rows of one measure in one setting.
        scopes: by name the domains that each is the mean over.
    """
    rows = np.argsort(whole.domain, kind="stable")
    starts = np.searchsorted(whole.domain[rows], np.arange(len(whole.names) + 1))
    place = {name: code for code, name in enumerate(whole.names)}
    alike: dict[int, list[tuple[str, NDArray[np.intp]]]] = {}
    for scope, names in scopes.items():
        code = place[names[0]]
        mine = rows[starts[code] : starts[code + 1]]
        asked = whole.group[mine]
        is_simple = whole.cluster is None and len(names) == 1
        if is_simple and len(np.unique(asked)) == len(mine):
            alike.setdefault(len(mine), []).append((scope, mine))
        else:
            yield _of_any_form(scope, select(whole, names))
    for count, alike_scopes in alike.items():
        most = max(1, min(MOST_SCOPES, MOST_VALUES // (count * len(whole.values))))
        for start in range(0, len(alike_scopes), most):
            yield _of_one_row_each(whole, alike_scopes[start : start + most])


def one_of(estimates: st.Estimate, place: int) -> st.Estimate:
    """Return the estimate of one scope of those of a part."""

    def at(values: tuple[Array, ...] | None) -> tuple[Any, ...] | None:
        return None if values is None else tuple(value[place] for value in values)

    e = estimates
    carrying = e.carrying[place] if np.ndim(e.carrying) else e.carrying
    return dataclasses.replace(
        e,
        mean=e.mean[place],
        se=e.se[place],
        df=e.df[place],
        squares=at(e.squares),
        parts=at(e.parts),
        carrying=carrying,
    )


def _of_any_form(scope: str, part: Block) -> ScopePart:
    y, df = part.contributions()
    count = np.bincount(part.group)
    sums = [np.bincount(part.group, weights=values) for values in part.values]
    asked = None
    if part.cluster is not None:
        asked = effective_questions(part.domain, part.group)
    means = np.stack(sums)[None] / count
    return ScopePart((scope,), y[None], df, means, part.values.shape[1], asked)


def _of_one_row_each(
    whole: Block, alike_scopes: Sequence[tuple[str, NDArray[np.intp]]]
) -> ScopePart:
    """Return scopes of one domain each, in which every question has one row.

    alike_scopes: the scopes with the places of their rows.
    """
    scopes = tuple(scope for scope, _ in alike_scopes)
    rows = np.stack([mine for _, mine in alike_scopes])
    count = rows.shape[1]
    means = means_of(np.moveaxis(whole.values[:, rows], 0, 1))
    order = np.argsort(whole.group[rows], axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    values = np.moveaxis(whole.values[:, ordered], 0, 1)
    y, df = contributions_of(values, means)
    return ScopePart(scopes, y, df, values, count)


def means_of(values: Array) -> Array:
    """Return (D, runs) the means of values (D, runs, questions), each summed as in
    `statistics.contributions`: in the order of the questions, each divided first.
    """
    scopes, runs, count = values.shape
    ends = np.arange(scopes + 1) * count
    weights = np.full(scopes * count, 1.0 / count)
    places = np.arange(scopes * count)
    by_scope = scipy.sparse.csr_array((weights, places, ends), shape=(scopes, len(places)))
    means: Array = by_scope @ np.moveaxis(values, 1, 2).reshape(len(places), runs)
    return means


def contributions_of(values: Array, means: Array) -> tuple[Array, float]:
    """Return what `statistics.contributions` returns of each scope by itself, where each question
    has one row: (D, runs, questions) contributions, and the degrees of freedom.
    """
    count = values.shape[2]
    stretch = np.sqrt(count / max(count - 1, 1) * (count - 1) / count)
    centred = values - means[:, :, None]
    tau2 = np.full(count, 1.0 / count**2)
    df = float(tau2.sum() ** 2 / (tau2**2).sum() - 1)
    return means[:, :, None] + (count / 1 / count * stretch) * centred, df
