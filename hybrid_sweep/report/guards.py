"""Warnings for the top of a report: what is wrong with a sweep although every number is right.

Runs that are copies of one another, a table that is not what its run measured, training that ends
below the encoder it began with, and a margin that nothing can fail or pass.
"""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd

from hybrid_sweep.report import look_notes
from hybrid_sweep.report.curves import grid
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.paired_rows import monolingual
from hybrid_sweep.report.query_values import query_values
from hybrid_sweep.report.render.numbers import listed, questions_of
from hybrid_sweep.report.results import MACRO, picked
from hybrid_sweep.report.stated import UNREADABLE
from hybrid_sweep.report.without_monolingual import leading

# How far a mean in metrics.json may be from that of the rows: other sums, in float32 at worst.
ROUNDING = 1e-5
# A margin that is at least this share of the score at r = 0 is hardly a loss that counts as none.
LARGE = 0.5


def _rows_of_runs(sweep: Sweep) -> dict[int, bytes]:
    """Return what identifies the ranks of each trained run, by its place in `Sweep.finished`."""
    frame = sweep.frame
    columns = frame[["rank", "AP"]].to_numpy(dtype=np.float64)
    per_run = columns.reshape(len(sweep.finished), -1)
    contents = {}
    for place, point in enumerate(sweep.finished):
        if point.kind == "trained":
            contents[place] = per_run[place].tobytes()
    return contents


def copies(sweep: Sweep) -> list[str]:
    """Return warnings of runs with the same ranks: of all ratios, or of two seeds."""
    contents, runs = _rows_of_runs(sweep), grid(sweep)
    notes = []
    if len(runs) > 1:
        by_seed: dict[int, set[bytes]] = {}
        for seeds in runs.values():
            for seed, place in seeds.items():
                by_seed.setdefault(seed, set()).add(contents[place])
        several = [seed for seed in by_seed if sum(seed in at for at in runs.values()) > 1]
        if several and all(len(by_seed[seed]) == 1 for seed in several):
            notes.append(
                "all ratios of a seed have the same ranks: nothing that was trained depends on the"
                " ratio, and no verdict says anything of it"
            )
    for ratio, seeds in runs.items():
        for (one, first), (other, second) in itertools.combinations(seeds.items(), 2):
            if contents[first] == contents[second]:
                notes.append(
                    f"seeds {one} and {other} have the same ranks at r = {ratio:g}, as copies of"
                    " one run have: intervals over seeds are too narrow then"
                )
    return notes


def unlike_their_metrics(sweep: Sweep) -> list[str]:
    """Return warnings of runs whose metrics.json has another mean than their rows."""
    mono = sweep.measures.mono
    setting, measure = mono.place
    rows = sweep.frame[sweep.frame["setting"] == setting]
    rows = rows.assign(**{measure: query_values(rows, measure)})
    rows = rows[rows[measure].notna()]
    means = rows.groupby(["run_id", "query_lang"], observed=True)[measure].mean()
    by_run = means.groupby("run_id", observed=True).mean()
    notes = []
    for point in sweep.finished:
        stated = sweep.metrics[point.run_id].get(f"{setting}/{measure}")
        if stated is None or point.run_id not in by_run.index:
            continue
        counted_again = float(by_run[point.run_id])
        if not math.isclose(float(stated), counted_again, abs_tol=ROUNDING):
            notes.append(
                f"run {point.run_id} ({point.label}): metrics.json has {mono.noun}"
                f" {stated:.4f}, its rows {counted_again:.4f}: one of the two is not of this run"
            )
    return notes


def below_untrained(results: pd.DataFrame) -> list[str]:
    """Return a warning where training ends below the encoder before its first step."""
    mono = leading(results)
    untrained = picked(results, *mono.place, MACRO, "untrained")
    if not untrained:
        return []
    floor = float(untrained[0]["mean"])
    below = [float(row["ratio"]) for row in picked(results, *mono.place) if row["mean"] < floor]
    if not below:
        return []
    return [
        f"training ends below the untrained encoder at r = {listed(below)}"
        f" ({mono.noun} {floor:.3f} before the first step): a difference between ratios says"
        " little there; look at the learning rate, the number of steps and the data"
    ]


def odd_margin(sweep: Sweep, results: pd.DataFrame) -> list[str]:
    """Return a warning where no ratio can pass the margin, or hardly one can fail it."""
    mono = sweep.measures.mono
    base: Any = next((row for row in picked(results, *mono.place) if row["ratio"] == 0), None)
    if sweep.margin == 0:
        return [
            "the margin is 0, so that no share can be called non-inferior; state the loss that"
            " counts as none in sweep.margin"
        ]
    if base is not None and base["mean"] <= 0:
        return [f"{mono.noun} at r = 0 is {base['mean']:.3f}: there is nothing that could be lost"]
    if base is not None and sweep.margin >= LARGE * base["mean"]:
        return [
            f"the margin of {sweep.margin:g} is {100 * sweep.margin / base['mean']:.0f} % of"
            f" {mono.noun} at r = 0 ({base['mean']:.3f}): hardly any loss counts as one"
        ]
    return []


def few_questions(results: pd.DataFrame) -> list[str]:
    """Return a warning where there is no interval at all."""
    rows = monolingual(results)
    if rows and all(row["delta_interval"] == "none" for row in rows):
        count = questions_of(rows[0])
        return [f"{count}: no interval and no test is possible, whatever the number of seeds"]
    return []


def unread_plan(sweep: Sweep) -> list[str]:
    """Return a warning where the record of the plan is there and cannot be read."""
    if not sweep.stated.when.startswith(UNREADABLE):
        return []
    return [
        "plan.jsonl cannot be read: intervals and p do not reckon with planned seeds and earlier"
        " reports, and RR@10 is taken for the primary measure"
    ]


def warnings(sweep: Sweep, results: pd.DataFrame) -> list[str]:
    """Return the warnings of a sweep, each a line without its end."""
    return [
        *unread_plan(sweep),
        *look_notes.warnings(sweep, results),
        *copies(sweep),
        *unlike_their_metrics(sweep),
        *below_untrained(results),
        *odd_margin(sweep, results),
        *few_questions(results),
    ]
