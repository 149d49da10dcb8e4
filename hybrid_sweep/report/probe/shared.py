"""Whether languages share their weaknesses: in how many languages a question is missed, against
what chance would give.

The reference shuffles, within each language, which questions are missed, among the questions that
exist in the same languages: each language keeps its misses, and a question that many languages have
stays one. What is left is whether the misses of two languages fall on the same questions. It is
about these checkpoints: nothing is said of other seeds.
"""

from collections.abc import Iterable
from typing import Annotated, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybrid_sweep.report.columns import frame_of, meanings
from hybrid_sweep.report.probe.cells import MISSED, SETTINGS, Cells, Rule

DRAWS = 1999
STREAM = 0x9B0BE  # of the shuffles, apart from every other seeded draw
BLOCK = 10_000_000  # shuffled values in memory at a time


class SharedRow(TypedDict, total=False):
    """A row of shared.csv."""

    ratio: Annotated[float, "the cross-lingual share r"]
    setting: Annotated[str, "monolingual or multilingual (the mixed pool)"]
    missed_in: Annotated[str, "number of languages that miss the question; 2+: two or more"]
    n_questions: Annotated[int, "number of questions that exist in at least two languages"]
    observed: Annotated[int, "number of them that are missed in so many languages"]
    expected: Annotated[float, "the same number if misses were independent: mean of the shuffles"]
    low: Annotated[float, "the 2.5 % quantile of the shuffles"]
    high: Annotated[float, "the 97.5 % quantile"]
    p: Annotated[
        float,
        "2+: one-sided p of as many by chance, (1 + shuffles with as many) / (1 + shuffles)",
    ]


COLUMNS = meanings(SharedRow)


def shuffled(
    missed: NDArray[np.bool_], present: NDArray[np.bool_], draws: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Return (draws, L + 1) how many questions are missed in 0 to L languages, with misses
    shuffled.

    missed, present: (G, L) by question and language; what is not present is not missed. Shuffled
    within each language among the questions that have the same languages.
    """
    _, stratum = np.unique(present, axis=0, return_inverse=True)
    stratum = stratum.ravel()
    languages = missed.shape[1]
    total = np.zeros((draws, languages + 1), np.int64)
    for code in range(int(stratum.max()) + 1):
        rows = np.flatnonzero(stratum == code)
        mine = np.flatnonzero(present[rows[0]])
        step = max(1, BLOCK // len(rows))
        for start in range(0, draws, step):
            here = range(start, min(start + step, draws))
            count = np.zeros((len(here), len(rows)), np.int64)
            for language in mine:
                count += random.permuted(np.tile(missed[rows, language], (len(here), 1)), axis=1)
            for number in range(languages + 1):
                total[here.start : here.stop, number] += (count == number).sum(axis=1)
    return total


def misses(
    cells: Cells, setting: str, ratio: float, rule: Rule
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return missed and present, (G, L) each, of the questions that at least two query languages of
    the setting ask.
    """
    asked, runs = cells.of(setting), list(cells.runs[ratio].values())
    missed, present = np.zeros((2, len(cells.questions), len(asked)), dtype=bool)
    for place, cell in enumerate(asked):
        present[cell.question, place] = True
        missed[cell.question, place] = rule.states(cell.success(runs, rule.at)) == MISSED
    several = present.sum(axis=1) >= 2
    return missed[several], present[several]


def shared(cells: Cells, ratios: Iterable[float], rule: Rule, draws: int = DRAWS) -> pd.DataFrame:
    """Return the shared.csv as a frame, columns as in COLUMNS; the cross-lingual setting is left
    out: its pools differ by pair.
    """
    rows: list[SharedRow] = []
    for setting in SETTINGS:
        for ratio in sorted(ratios) if setting != "cross-lingual" else []:
            missed, present = misses(cells, setting, ratio, rule)
            if not len(missed):
                continue
            random = np.random.default_rng([STREAM, SETTINGS.index(setting), round(ratio * 1e6)])
            drawn = shuffled(missed, present, draws, random)
            observed = np.bincount(missed.sum(axis=1), minlength=drawn.shape[1])
            parts: list[tuple[str, int, NDArray[np.int64]]] = [
                (str(many), int(observed[many]), drawn[:, many]) for many in range(drawn.shape[1])
            ]
            parts.append(("2+", int(observed[2:].sum()), drawn[:, 2:].sum(axis=1)))
            for name, number, by_chance in parts:
                low, high = np.quantile(by_chance, [0.025, 0.975])
                p = np.nan
                if name == "2+":
                    p = (1 + (by_chance >= number).sum()) / (1 + draws)
                rows.append(
                    {
                        "ratio": ratio,
                        "setting": setting,
                        "missed_in": name,
                        "n_questions": len(missed),
                        "observed": number,
                        "expected": by_chance.mean(),
                        "low": low,
                        "high": high,
                        "p": p,
                    }
                )
    return frame_of(rows, SharedRow)
