"""The rounds of a sweep that adds seeds until its verdicts are settled (`sweep.until=settled`).

After each round the sweep is tested as a report tests it, over all looks so far
(`report.looks`), and the ratios whose verdict is open get one more seed, with ratio 0, which they
are compared with. What comes next follows from the files of the sweep alone: the same command goes
on where it was stopped, and decides the same again.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.load import Sweep, load
from hybrid_sweep.report.look_notes import tested_counts
from hybrid_sweep.report.report_files import writing
from hybrid_sweep.report.results import aggregate, picked
from hybrid_sweep.report.rows import ResultRow
from hybrid_sweep.utils import plan_log
from hybrid_sweep.utils.locks import OUTPUTS, exclusive


@dataclass(frozen=True)
class Round:
    """What to run next, by seed the ratios, and why, in words; nothing where the sweep ends."""

    ratios: dict[int, list[float]]
    reason: str


def next_round(sweep_dir: Path, max_seeds: int) -> Round:
    """Return what a sweep runs next, and record the look at it that tells.

    Args:
        sweep_dir: its folder, with all points of the command finished.
        max_seeds: the most seeds of a ratio.
    """
    sweep = load([sweep_dir])
    missing = _missing(sweep)
    if missing:
        return Round(missing, "points of a round that was stopped")
    results = aggregate(sweep)
    rows = [row for row in picked(results, *sweep.measures.mono.place) if row["ratio"] > 0]
    lock = sweep_dir / "lock"
    guard = exclusive(lock, OUTPUTS) if lock.is_file() else nullcontext()
    with guard, writing(sweep_dir):
        plan_log.add_look(sweep_dir, tested_counts(results))
    undecided = [row for row in rows if is_open(row)]
    # a verdict is over the seeds that ratio 0 has, too
    going_on = [row for row in undecided if row["delta_seeds"] < max_seeds]
    if not going_on:
        return Round({}, _end(rows, undecided))
    named = ", ".join(f"{row['ratio']:g}" for row in going_on)
    counts = sorted({int(row["delta_seeds"]) for row in going_on})
    seeds = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    reason = f"r = {named} open after {seeds} of at most {max_seeds} seeds"
    return Round(_following(sweep, [row["ratio"] for row in going_on]), reason)


def is_open(row: ResultRow) -> bool:
    """Return whether more seeds may settle the verdict of a ratio."""
    if row["delta_seeds"] < st.MIN_SEEDS or row["verdict"] == "untested":
        return True
    needs_questions = row["verdict"] == "inconclusive" and row["seeds_to_settle_low"] == float(
        "inf"
    )
    return row["verdict"] == "inconclusive" and not needs_questions


def _missing(sweep: Sweep) -> dict[int, list[float]]:
    """Return the planned points without a result, by seed their ratios."""
    missing: dict[int, list[float]] = {}
    for point in sweep.gaps:
        if point.kind == "trained":
            missing.setdefault(point.seed, []).append(point.ratio)
    return missing


def _following(sweep: Sweep, ratios: list[float]) -> dict[int, list[float]]:
    """Return one more seed for each ratio: the first one that ratio 0 has and it lacks, else the
    first that it has and ratio 0 lacks, which that gets, else the one after all seeds, for both.
    """
    seeds: dict[float, set[int]] = {}
    for point in sweep.trained:
        seeds.setdefault(point.ratio, set()).add(point.seed)
    base = seeds.get(0.0, set())
    new = max(seed for own in seeds.values() for seed in own) + 1
    following: dict[int, list[float]] = {}
    for ratio in ratios:
        own = seeds.get(ratio, set())
        lacking, ahead = sorted(base - own), sorted(own - base)
        if lacking:
            following.setdefault(lacking[0], []).append(ratio)
        elif ahead:
            following.setdefault(ahead[0], [])
        else:
            following.setdefault(new, []).append(ratio)
    for seed, ratios_of_seed in following.items():
        if seed not in base:
            ratios_of_seed.insert(0, 0.0)
    return dict(sorted(following.items()))


def _end(rows: list[ResultRow], undecided: list[ResultRow]) -> str:
    """Return why no round follows, in words."""
    if not rows:
        return "no ratio above 0 to settle"
    counts = sorted({int(row["delta_seeds"]) for row in rows})
    seeds = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    unsettled = [row for row in rows if row["verdict"] in ("inconclusive", "untested")]
    if not unsettled:
        return f"settled: every ratio has its verdict, with {seeds} seeds"
    named = ", ".join(f"{row['ratio']:g}" for row in unsettled)
    why = "more questions, not more seeds, would be needed"
    if undecided:
        why = "with all seeds"
    return f"stopped with {seeds} seeds: r = {named} open, {why}"
