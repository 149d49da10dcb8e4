"""The table of a comparison: what each sweep says alone, and where it can be tested, how far each
is from the first.

The first sweep is what the others are compared with. A difference is always the other sweep minus
the first.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hybrid_sweep.report import guards
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.answer import answer
from hybrid_sweep.report.columns import frame_of, meanings, records
from hybrid_sweep.report.comparison.between import Footing, apart, footing, merged
from hybrid_sweep.report.comparison.rows import ComparisonRow
from hybrid_sweep.report.curves import grid
from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.looks import Looks, fractions_of, of_both
from hybrid_sweep.report.measures import Measure, Measures
from hybrid_sweep.report.paired_rows import largest
from hybrid_sweep.report.results import MEANS, MONO, aggregate, block, scopes, select
from hybrid_sweep.report.rows import DerivedRow, ResultRow
from hybrid_sweep.report.settings import Difference, differences
from hybrid_sweep.report.without_monolingual import lacks_monolingual

LEVEL, CHANGE, SLOPE, DIFFERENCE, TWICE = (
    "level",
    "change",
    "slope",
    "difference",
    "difference of changes",
)
COLUMNS = meanings(ComparisonRow)


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
    answers: tuple[str, ...]
    warnings: tuple[tuple[str, ...], ...]
    grounds: tuple[Footing, ...]
    differences: tuple[Difference, ...]
    table: pd.DataFrame

    @property
    def measures(self) -> Measures:
        """Return the measures of all its sweeps."""
        return self.sweeps[0].measures

    @property
    def has_monolingual(self) -> bool:
        """Return whether monolingual retrieval is measured in any of its sweeps."""
        return not all(map(lacks_monolingual, self.results))

    @property
    def leading(self) -> Measure:
        """Return what the differences in words and in the first panels are about: monolingual
        retrieval, or cross-lingual retrieval where nothing is monolingual.
        """
        return self.measures.mono if self.has_monolingual else self.measures.cross


def names_of(sweeps: Sequence[Sweep]) -> tuple[str, ...]:
    """Return the names of the sweeps, told apart by a number where some are the same."""
    names: list[str] = []
    for sweep in sweeps:
        name, number = sweep.name, 2
        while name in names:
            name, number = f"{sweep.name} ({number})", number + 1
        names.append(name)
    return tuple(names)


def _alone(name: str, sweep: Sweep, results: pd.DataFrame) -> list[ComparisonRow]:
    """Return the levels and changes of a sweep by itself, and its missing points, from its
    results.
    """
    best = largest(results)
    rows: list[ComparisonRow] = []
    for row in records(results, ResultRow):
        by_language = row["setting"] == MONO[0]
        if row["status"] != "missing" and row["scope"] not in MEANS and not by_language:
            continue
        rows.append(_level(name, sweep, row))
        if pd.isna(row["delta"]):
            continue
        # The pairs have the seeds of both ratios; a level may have more.
        base = results[(results["scope"] == row["scope"]) & (results["kind"] == "trained")]
        seeds = str(base[base["ratio"] == 0]["seeds"].iloc[0]).split()
        change = _change(name, sweep, row)
        change["seeds"] = " ".join(seed for seed in row["seeds"].split() if seed in seeds)
        if row["scope"] == MEANS[0] and by_language and best is not None:
            change["largest_non_inferior"] = best
        rows.append(change)
    return rows


def _level(name: str, sweep: Sweep, row: ResultRow) -> ComparisonRow:
    """Return the level of a row of a sweep's own results."""
    return {
        "statistic": LEVEL,
        **_head(name, sweep, row),
        "value": row["mean"],
        "low": row["low"],
        "high": row["high"],
        "interval": row["interval"],
        "run_ids": row["run_ids"],
    }


def _change(name: str, sweep: Sweep, row: ResultRow) -> ComparisonRow:
    """Return the paired change to ratio 0 of a row of a sweep's own results."""
    return {
        "statistic": CHANGE,
        **_head(name, sweep, row),
        "value": row["delta"],
        "low": row["delta_low"],
        "high": row["delta_high"],
        "low_90": row["delta_low_90"],
        "high_90": row["delta_high_90"],
        "interval": row["delta_interval"],
        "p": row["p"],
        "p_holm": row["p_holm"],
        "verdict": row["verdict"],
    }


def _head(name: str, sweep: Sweep, row: ResultRow) -> ComparisonRow:
    """Return what a row of a sweep's own results and its row here have in common."""
    return {
        "sweep": name,
        "margin": sweep.margin,
        "kind": row["kind"],
        "ratio": row["ratio"],
        "setting": row["setting"],
        "measure": row["measure"],
        "scope": row["scope"],
        "status": row["status"],
        "seeds": row["seeds"],
        "n_questions": row["n_questions"],
        "examples_monolingual": row["examples_monolingual"],
        "examples_cross_lingual": row["examples_cross_lingual"],
    }


def _slopes(name: str, sweep: Sweep, shape: pd.DataFrame) -> list[ComparisonRow]:
    """Return the slopes of a sweep's means, from its derived statistics."""
    chosen = shape[(shape["statistic"] == SLOPE) & shape["scope"].isin(MEANS)]
    rows: list[ComparisonRow] = []
    for row in records(chosen, DerivedRow):
        rows.append(
            {
                "statistic": SLOPE,
                "sweep": name,
                "margin": sweep.margin,
                "kind": "trained",
                "status": "complete",
                "setting": row["setting"],
                "measure": row["measure"],
                "scope": row["scope"],
                "value": row["value"],
                "low": row["low"],
                "high": row["high"],
                "interval": row["interval"],
                "p": row["p"],
                "p_holm": row["p_holm"],
                "n_questions": row["n_questions"],
            }
        )
    return rows


@dataclass(frozen=True)
class SweepSide:
    """Of one of two sweeps the contributions of the questions, by ratio and seed, and its looks."""

    contributions: dict[float, dict[int, st.Array]]
    looks: Looks | None

    def changes(self, ratio: float) -> dict[int, st.Array]:
        """Return the changes to ratio 0 of the seeds that have both."""
        base = self.contributions.get(0.0, {})
        at_ratio = self.contributions[ratio]
        return {seed: y - base[seed] for seed, y in at_ratio.items() if seed in base}


def _tested(
    estimate: st.Estimate, seeds: tuple[list[int], list[int]], sides: tuple[SweepSide, SweepSide]
) -> ComparisonRow:
    """Return a difference of the first sweep of a pair to the other one, as columns.

    Args:
        estimate: of the difference.
        seeds: those of the first, and of the other.
        sides: the two sweeps.
    """
    first, other = (
        fractions_of(side.looks, len(its)) for side, its in zip(sides, seeds, strict=True)
    )
    estimate = dataclasses.replace(estimate, fractions=of_both(first, other))
    low, high = st.bounds(estimate, 0.95)
    low_90, high_90 = st.bounds(estimate, 0.90)
    return {
        "value": estimate.mean,
        "low": low,
        "high": high,
        "low_90": low_90,
        "high_90": high_90,
        "interval": estimate.interval,
        "p": st.p_value(estimate) if estimate.interval not in ("conditional", "none") else np.nan,
        "seeds": " ".join(map(str, seeds[0])),
        "seeds_against": " ".join(map(str, seeds[1])),
        "n_questions": estimate.n_questions,
    }


def _pair(
    names: tuple[str, str], here: Sweep, there: Sweep, ground: Footing
) -> list[ComparisonRow]:
    """Return levels and changes of a sweep minus those of another, at every ratio that both have;
    [] where nothing is tested.
    """
    if ground.refusal:
        return []
    shared = grid(here).keys() & grid(there).keys()
    if not shared:
        return []
    both = merged(here, there, ground)
    rows: list[ComparisonRow] = []
    measures = here.measures.all if ground.whole else (here.measures.mono,)
    for setting, measure in (one.place for one in measures):
        whole = block(both, setting, measure)
        if whole is None:
            continue
        for scope, domains in scopes(both, whole).items():
            is_mean = scope in MEANS
            if (is_mean and not ground.whole) or (not is_mean and setting != MONO[0]):
                continue
            part = select(whole, domains)
            y, df = part.contributions()
            count = len(here.trained)
            sides = side_of(here, y[:count]), side_of(there, y[count:])
            head: ComparisonRow = {
                "sweep": names[0],
                "against": names[1],
                "kind": "trained",
                "status": "complete",
                "setting": setting,
                "measure": measure,
                "scope": scope,
            }
            for ratio in sorted(shared):
                head["ratio"] = ratio
                made = differences_at(head, sides, df, bool(ground.by_seed))
                for row in made:
                    row["n_questions"] = len(part.questions)
                rows += made
    return rows


def side_of(sweep: Sweep, y: st.Array) -> SweepSide:
    """Return the contributions of the trained points of a sweep, one a row of `y`."""
    places = grid(sweep)
    order = [i for i, point in enumerate(sweep.finished) if point.kind == "trained"]
    contributions: dict[float, dict[int, st.Array]] = {}
    for ratio, seeds in places.items():
        contributions[ratio] = {seed: y[order.index(place)] for seed, place in seeds.items()}
    return SweepSide(contributions, sweep.looks)


def differences_at(
    head: ComparisonRow, sides: tuple[SweepSide, SweepSide], df: float, paired: bool
) -> list[ComparisonRow]:
    """Return the difference of levels at the ratio of `head`, and that of the changes to ratio 0
    where both sweeps have them.
    """
    ratio = head["ratio"]
    here, there = (side.contributions[ratio] for side in sides)
    level = _tested(*apart(here, there, df, paired), sides)
    rows: list[ComparisonRow] = [{"statistic": DIFFERENCE, **head, **level}]
    changes = [side.changes(ratio) for side in sides]
    if ratio > 0 and all(changes):
        twice = _tested(*apart(changes[0], changes[1], df, paired), sides)
        rows.append({"statistic": TWICE, **head, **twice})
    return rows


def adjusted(rows: list[ComparisonRow]) -> list[ComparisonRow]:
    """Return rows of differences with Holm's adjustment over the ratios of all sweeps, for each
    statistic, measure and scope.
    """
    families: dict[tuple[str, ...], list[ComparisonRow]] = {}
    for row in rows:
        about = (row["statistic"], row["setting"], row["measure"], row["scope"])
        families.setdefault(about, []).append(row)
    for family in families.values():
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
    for name, sweep, own, shape in zip(names, sweeps, results, shapes, strict=True):
        rows += _alone(name, sweep, own) + _slopes(name, sweep, shape)
    pairs = []
    for name, sweep, ground in zip(names[1:], sweeps[1:], grounds, strict=True):
        pairs += _pair((name, names[0]), sweep, sweeps[0], ground)
    return frame_of([*rows, *adjusted(pairs)], ComparisonRow)


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
    shapes = list(map(derived, sweeps, results))
    main = trained_on or sweeps
    grounds = tuple(
        footing(sweep, sweeps[0], on, (main[index], main[0]))
        for index, sweep in enumerate(sweeps[1:], start=1)
    )
    warned = []
    for sweep, own, given in zip(sweeps, results, warnings, strict=True):
        warned.append((*given, *guards.warnings(sweep, own)))
    return Comparison(
        on=on,
        names=names,
        sweeps=tuple(sweeps),
        results=results,
        answers=tuple(map(answer, sweeps, results)),
        warnings=tuple(warned),
        grounds=grounds,
        differences=(*beside, *differences(sweeps, trained_on)),
        table=table_of(names, sweeps, results, shapes, grounds),
    )
