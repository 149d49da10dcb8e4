"""The table of a comparison: what each sweep says alone, and where it can be tested, how far each
is from the first.

The first sweep is what the others are compared with. A difference is always the other sweep minus
the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.answer import answer
from hybrid_sweep.report.comparison.between import Footing, apart, footing, merged
from hybrid_sweep.report.curves import grid
from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.results import (
    MEANS,
    MEASURES,
    MONO,
    aggregate,
    block,
    clean,
    records,
    scopes,
    select,
)
from hybrid_sweep.report.settings import Difference, differences
from hybrid_sweep.report.wording import largest
from hybrid_sweep.utils.files import digest

LEVEL, CHANGE, SLOPE, DIFFERENCE, TWICE = (
    "level",
    "change",
    "slope",
    "difference",
    "difference of changes",
)
# The columns of comparison.csv and comparison.parquet.
COLUMNS = {
    "statistic": (
        "level: mean of a sweep at a ratio. change: its paired difference to its own ratio 0."
        " slope: change of its mean per unit of r (least squares), as in derived.csv. difference:"
        " level of this sweep minus that of `against`. difference of changes: change of this sweep"
        " minus that of `against`"
    ),
    "sweep": "name of the sweep; with a number where names repeat",
    "against": "the first sweep, in the rows of a difference",
    "kind": "trained, untrained (the encoder before its first step) or bm25 (words alone)",
    "ratio": "cross-lingual share of the training steps; empty for untrained and bm25",
    "setting": "monolingual, cross-lingual or multilingual; empty in the row of a missing point",
    "measure": (
        "RR@10, AP, same@10 (share of the top 10 in the query's language) or RD (rank distance, in"
        " ranks)"
    ),
    "scope": (
        "macro, trained or unseen, as in results.csv; for monolingual RR@10 also each language"
    ),
    "status": (
        "complete; partial: a point of this ratio is missing; missing: the row stands for one"
        " missing point"
    ),
    "value": "the level, change or difference",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "low_90": "lower end of its 90 % interval, the one that a verdict reads; empty for levels",
    "high_90": "upper end of its 90 % interval",
    "interval": (
        "crossed: over seeds (paired, where two ratios or sweeps are compared) and questions;"
        " independent: over the seeds of each sweep apart and the shared questions; conditional:"
        " over questions alone; none"
    ),
    "p": "two-sided p of no change or no difference; only with a crossed or independent interval",
    "p_holm": (
        "p adjusted (Holm): a change, over the ratios of its sweep; a slope, over its curves; a"
        " difference, over the ratios of all sweeps"
    ),
    "margin": "the margin of non-inferiority that the sweep states",
    "verdict": (
        "monolingual changes: superior, non-inferior, inconclusive, degraded or untested, at the"
        " sweep's own margin"
    ),
    "largest_non_inferior": (
        "monolingual changes: largest ratio of the sweep still non-inferior with every smaller one"
    ),
    "seeds": "the seeds of this sweep in the value, separated by blanks",
    "seeds_against": "those of `against`",
    "n_questions": "number of questions (groups): all language versions of one count once",
    "examples_monolingual": (
        "mean number of monolingual training examples of a run; empty where not recorded"
    ),
    "examples_cross_lingual": (
        "mean number of cross-lingual training examples of a run; empty where not recorded"
    ),
    "run_ids": "the runs in a level, separated by blanks",
}
NUMBERS = [
    "ratio",
    "value",
    "low",
    "high",
    "low_90",
    "high_90",
    "p",
    "p_holm",
    "margin",
    "largest_non_inferior",
]
NUMBERS += ["examples_monolingual", "examples_cross_lingual"]
# What a row of a sweep's own results and its row here have in common.
SHARED = ["kind", "ratio", "setting", "measure", "scope", "status", "seeds", "n_questions"]
SHARED += ["examples_monolingual", "examples_cross_lingual"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Several sweeps side by side, the first being what the others are compared with.

    on: the further collection that they were evaluated on, or "". All tuples are in the order of
    the sweeps; `grounds` says of each but the first on what it is tested against the first. table:
    as in `COLUMNS`.
    """

    on: str
    names: tuple[str, ...]
    sweeps: tuple[Sweep, ...]
    results: tuple[pd.DataFrame, ...]
    said: tuple[str, ...]
    warnings: tuple[tuple[str, ...], ...]
    grounds: tuple[Footing, ...]
    differences: tuple[Difference, ...]
    table: pd.DataFrame

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Return what stands for the runs of each sweep; the same as in its own report."""
        return tuple(
            digest(sorted(point.run_id for point in sweep.finished), 8) for sweep in self.sweeps
        )


def names_of(sweeps: Sequence[Sweep]) -> tuple[str, ...]:
    """Return the names of the sweeps, told apart by a number where some are the same."""
    names: list[str] = []
    for sweep in sweeps:
        name, number = sweep.name, 2
        while name in names:
            name, number = f"{sweep.name} ({number})", number + 1
        names.append(name)
    return tuple(names)


def _alone(name: str, sweep: Sweep, results: pd.DataFrame) -> list[Row]:
    """Return the levels and changes of a sweep by itself, and its missing points, from its
    results.
    """
    best = largest(results)
    rows: list[Row] = []
    for row in records(results):
        by_language = (row["setting"], row["measure"]) == MONO
        if row["status"] != "missing" and row["scope"] not in MEANS and not by_language:
            continue
        head = {"sweep": name, "margin": sweep.margin} | {key: row[key] for key in SHARED}
        interval = {
            "value": row["mean"],
            "low": row["low"],
            "high": row["high"],
            "interval": row["interval"],
        }
        rows.append({"statistic": LEVEL, **head, **interval, "run_ids": row["run_ids"]})
        if pd.isna(row["delta"]):
            continue
        change = {
            key.replace("delta_", ""): row[key]
            for key in ("delta_low", "delta_high", "delta_interval")
        }
        change |= {
            "value": row["delta"],
            "low_90": row["delta_low_90"],
            "high_90": row["delta_high_90"],
        }
        tested = {"p": row["p"], "p_holm": row["p_holm"], "verdict": row["verdict"]}
        # The pairs have the seeds of both ratios; a level may have more.
        base = results[
            (results["scope"] == row["scope"])
            & (results["ratio"] == 0)
            & (results["kind"] == "trained")
        ]
        known = set(str(base["seeds"].iloc[0]).split())
        head["seeds"] = " ".join(seed for seed in row["seeds"].split() if seed in known)
        whole = row["scope"] == MEANS[0] and by_language
        rows.append(
            {"statistic": CHANGE, **head, **change, **tested}
            | ({"largest_non_inferior": best} if whole else {})
        )
    return rows


def _slopes(name: str, sweep: Sweep, shape: pd.DataFrame) -> list[Row]:
    """Return the slopes of a sweep's means, from its derived statistics."""
    chosen = shape[(shape["statistic"] == SLOPE) & shape["scope"].isin(MEANS)]
    keys = (
        "statistic",
        "setting",
        "measure",
        "scope",
        "value",
        "low",
        "high",
        "interval",
        "p",
        "p_holm",
        "n_questions",
    )
    head = {"sweep": name, "margin": sweep.margin, "kind": "trained", "status": "complete"}
    return [head | {key: row[key] for key in keys} for row in records(chosen)]


def _tested(found: st.Estimate, seeds: tuple[list[int], list[int]]) -> Row:
    """Return a difference of the first sweep of a pair to the other one, as columns."""
    low, high = st.bounds(found, 0.95)
    low_90, high_90 = st.bounds(found, 0.90)
    return {
        "value": found.mean,
        "low": low,
        "high": high,
        "low_90": low_90,
        "high_90": high_90,
        "interval": found.interval,
        "p": st.p_value(found) if found.interval not in ("conditional", "none") else np.nan,
        "seeds": " ".join(map(str, seeds[0])),
        "seeds_against": " ".join(map(str, seeds[1])),
        "n_questions": found.n_questions,
    }


def _pair(names: tuple[str, str], here: Sweep, there: Sweep, ground: Footing) -> list[Row]:
    """Return levels and changes of a sweep minus those of another, at every ratio that both have;
    [] where nothing is tested.
    """
    if ground.refusal:
        return []
    split = sum(point.kind == "trained" for point in here.finished)
    # ratio -> seed -> position among the finished points of its sweep
    places = [grid(here), grid(there)]
    order = [
        [i for i, p in enumerate(sweep.finished) if p.kind == "trained"] for sweep in (here, there)
    ]
    if not places[0].keys() & places[1].keys():
        return []
    both = merged(here, there, ground)
    rows: list[Row] = []
    for setting, measure in MEASURES if ground.whole else [MONO]:
        whole = block(both, setting, measure)
        if whole is None:
            continue
        for scope, domains in scopes(both, whole).items():
            mean = scope in MEANS
            if (mean and not ground.whole) or (not mean and (setting, measure) != MONO):
                continue
            part = select(whole, domains)
            y, df = st.contributions(part.values, part.domain, part.group)
            sides: list[dict[float, dict[int, st.Array]]] = [
                {
                    ratio: {
                        seed: y[offset + positions.index(place)] for seed, place in seeds.items()
                    }
                    for ratio, seeds in found.items()
                }
                for found, positions, offset in zip(places, order, (0, split), strict=True)
            ]
            head = {"sweep": names[0], "against": names[1], "kind": "trained", "status": "complete"}
            head |= {"setting": setting, "measure": measure, "scope": scope}
            for ratio in sorted(sides[0].keys() & sides[1].keys()):
                level = apart(sides[0][ratio], sides[1][ratio], df, bool(ground.by_seed))
                rows.append({"statistic": DIFFERENCE, **head, "ratio": ratio, **_tested(*level)})
                changes = [
                    {
                        s: y_s - side[0.0][s]
                        for s, y_s in side[ratio].items()
                        if s in side.get(0.0, {})
                    }
                    for side in sides
                ]
                if ratio > 0 and all(changes):
                    twice = apart(changes[0], changes[1], df, bool(ground.by_seed))
                    rows.append({"statistic": TWICE, **head, "ratio": ratio, **_tested(*twice)})
    return rows


def _adjusted(rows: list[Row]) -> list[Row]:
    """Return rows of differences with Holm's adjustment over the ratios of all sweeps, for each
    statistic, measure and scope.
    """
    keys = ("statistic", "setting", "measure", "scope")
    for key in dict.fromkeys(tuple(row[k] for k in keys) for row in rows):
        family = [row for row in rows if tuple(row[k] for k in keys) == key]
        for row, p in zip(family, st.holm([float(row["p"]) for row in family]), strict=True):
            row["p_holm"] = p
    return rows


def table_of(
    names: Sequence[str],
    sweeps: Sequence[Sweep],
    results: Sequence[pd.DataFrame],
    shapes: Sequence[pd.DataFrame],
    grounds: Sequence[Footing],
) -> pd.DataFrame:
    """Return every level, change, slope and difference of a comparison, columns as in `COLUMNS`, to
    nine significant digits.
    """
    rows = []
    for name, sweep, found, shape in zip(names, sweeps, results, shapes, strict=True):
        rows += _alone(name, sweep, found) + _slopes(name, sweep, shape)
    pairs = [
        row
        for name, sweep, ground in zip(names[1:], sweeps[1:], grounds, strict=True)
        for row in _pair((name, names[0]), sweep, sweeps[0], ground)
    ]
    frame = pd.DataFrame([*rows, *_adjusted(pairs)], columns=list(COLUMNS))
    for column in frame.columns:
        if column in NUMBERS:
            frame[column] = [
                clean(float(value)) for value in frame[column].astype(object).fillna(np.nan)
            ]
        elif column == "n_questions":
            frame[column] = frame[column].astype(np.int64)
        else:
            frame[column] = frame[column].astype(object).fillna("").astype(str)
    return frame


def compare(
    sweeps: Sequence[Sweep],
    warnings: Sequence[Sequence[str]],
    on: str = "",
    trained_on: Sequence[Sweep] | None = None,
    beside: Sequence[Difference] = (),
) -> Comparison:
    """Analyse each sweep alone, and all but the first against the first.

    warnings: about the points of each sweep. on: the further collection; trained_on: the same
    sweeps on their main one. beside: what else differs than the runs record.
    """
    names = names_of(sweeps)
    results = tuple(aggregate(sweep) for sweep in sweeps)
    shapes = [derived(sweep, found) for sweep, found in zip(sweeps, results, strict=True)]
    main = trained_on or sweeps
    grounds = tuple(
        footing(sweep, sweeps[0], on, (main[index], main[0]))
        for index, sweep in enumerate(sweeps[1:], start=1)
    )
    return Comparison(
        on=on,
        names=names,
        sweeps=tuple(sweeps),
        results=results,
        said=tuple(answer(sweep, found) for sweep, found in zip(sweeps, results, strict=True)),
        warnings=tuple(tuple(each) for each in warnings),
        grounds=grounds,
        differences=(*beside, *differences(sweeps, trained_on)),
        table=table_of(names, sweeps, results, shapes, grounds),
    )
