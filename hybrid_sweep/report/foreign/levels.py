"""The levels of a factor, and the rows of one system as a sweep over them.

A sweep's ratios are numbers from 0 up, 0 being what the others are compared with. Levels are coded
so: a numeric factor whose baseline is its smallest level by the distance from it, so that a slope
is per unit of the factor; any other by the place of the level, the baseline first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hybrid_sweep.report.cluster_files import (
    AS_KEPT,
    KEPT,
    ClusterChoice,
    with_clusters,
)
from hybrid_sweep.report.load import Sweep, SweepPoint
from hybrid_sweep.report.stated import Stated
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest

KEY = ["setting", "query_lang", "passage_lang", "query_id"]
GIVEN = "given with the results at hand"
IN_TABLE = "column cluster of the table"  # where clusters are from


@dataclass(frozen=True)
class Levels:
    """The levels of a factor, the baseline first, with their codes; is_scale: whether the codes are
    distances in units of the factor.
    """

    factor: str
    codes: dict[object, float]
    is_scale: bool

    def name(self, code: float) -> str:
        """Return a level by its code, as it is shown."""
        by_code = {value: level for level, value in self.codes.items()}
        return shown(by_code[round(code, 9)])


def shown(level: object) -> str:
    """Return a level as text."""
    return f"{level:g}" if isinstance(level, float) else str(level)


def levels_of(column: pd.Series, baseline: str | None) -> Levels:
    """Return the levels of a factor.

    Args:
        column: the factor of each row.
        baseline: the level that the others are compared with; None: the smallest number, or the
            first name.

    Raises:
        UserError: for a single level, levels that are infinite or cannot be told apart as they
            are shown, and a baseline that is none of the levels.
    """
    factor = str(column.name)
    numbers = pd.to_numeric(column, errors="coerce")
    is_numeric = bool(numbers.notna().all())
    values = [float(value) for value in set(numbers)] if is_numeric else [*set(column.astype(str))]
    ordered: list[Any] = sorted(values)
    if is_numeric and not math.isfinite(ordered[-1] - ordered[0]):
        raise UserError(f"column {factor} has an infinite level", key="table.level_infinite")
    texts = [shown(level) for level in ordered]
    if len(ordered) < 2:
        raise UserError(
            f"column {factor} has one level, {texts[0]}: there is nothing to compare it with",
            key="table.one_level",
        )
    first = texts[0]
    if baseline is not None:
        first = _number(baseline) if is_numeric else baseline
        if first not in texts:
            raise UserError(
                f"--baseline {baseline}: no level of {factor}; there are {', '.join(texts)}",
                key="table.baseline",
            )
    ordered.insert(0, ordered.pop(texts.index(first)))
    is_scale = is_numeric and ordered[0] == min(values)
    codes: dict[object, float] = {}
    for place, level in enumerate(ordered):
        distance = level - ordered[0] if is_scale else float(place)
        codes[level] = round(distance, 9)
    if not len(ordered) == len(set(texts)) == len(set(codes.values())):
        raise UserError(
            f"column {factor} has levels that are shown alike, as {texts[0]}: give them in another"
            " unit, or as names",
            key="table.levels_alike",
        )
    return Levels(factor, codes, is_scale)


def _number(text: str) -> str:
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def sweep_of(
    rows: pd.DataFrame,
    levels: Levels,
    measure: str,
    margin: float,
    name: str,
    clusters: ClusterChoice = AS_KEPT,
) -> tuple[Sweep, list[str]]:
    """Return the rows of one system as a sweep, and warnings about its seeds.

    Args:
        rows: checked, of one system.
        levels: of the factor.
        measure: what curve and verdicts are on.
        margin: of non-inferiority, in units of the measure.
        name: of the system.
        clusters: which questions belong together; else the column cluster says it, where there is
            one.

    Raises:
        UserError: where runs have other queries than each other, or the baseline has no run.
    """
    frame = _wide(rows, levels)
    points = []
    runs = frame[["ratio", "seed", "run_id"]].drop_duplicates()
    for ratio, seed, run_id in runs.itertuples(index=False, name=None):
        points.append(SweepPoint("trained", ratio, seed, run_id))
    _check_same_rows(frame, points, levels)
    values = [column for column in frame.columns if column in set(rows["measure"])]
    in_table = None
    if "cluster" in rows.columns:
        pairs = rows[["group", "cluster"]].drop_duplicates()
        in_table = dict(zip(pairs["group"], pairs["cluster"], strict=True))
    frame, origin = with_clusters(frame, clusters, in_table, must_use=True)
    if origin == KEPT:
        origin = IN_TABLE
    nothing: dict[str, dict[str, Any]] = {point.run_id: {} for point in points}
    sweep = Sweep(
        name=name,
        margin=margin,
        stated=Stated(False, GIVEN, ()),
        command="",
        points=tuple(points),
        missing={},
        frame=frame,
        config=nothing,
        provenance=nothing,
        metrics=nothing,
        trained_languages=(),
        measure=measure,
        asked=tuple(sorted(value for value in values if value != measure)),
        clusters=origin,
    )
    return sweep, _unbalanced(points, levels)


def _wide(rows: pd.DataFrame, levels: Levels) -> pd.DataFrame:
    """Return a row for each run and query, as `load.Sweep.frame`, a column for each measure."""
    texts = {shown(level): code for level, code in levels.codes.items()}
    is_numeric = all(isinstance(level, float) for level in levels.codes)
    column = rows[levels.factor]
    text = column.astype(float).map(shown) if is_numeric else column.astype(str)
    language = rows["language"].str.partition(">")
    passage = language[2].where(language[1] == ">", language[0])
    setting = pd.Series("cross-lingual", index=rows.index)
    setting[passage == language[0]] = "monolingual"
    setting[passage == "*"] = "multilingual"
    ratio = text.map(texts)
    ids = {}
    for place in sorted(set(zip(ratio, rows["seed"], strict=True))):
        ids[place] = digest([levels.factor, *place], 12)
    tidy = pd.DataFrame(
        {
            "kind": "trained",
            "ratio": ratio,
            "seed": rows["seed"],
            "run_id": [ids[place] for place in zip(ratio, rows["seed"], strict=True)],
            "setting": setting,
            "query_lang": language[0],
            "passage_lang": passage,
            "query_id": rows["query"],
            "group_id": rows["group"],
            "measure": rows["measure"],
            "value": rows["value"],
        }
    )
    about = ["kind", "ratio", "seed", "run_id", *KEY, "group_id"]
    wide = tidy.pivot(index=about, columns="measure", values="value").reset_index()
    wide.columns.name = None
    order = ["ratio", "seed", *KEY]
    return wide.sort_values(order, kind="stable", ignore_index=True)


def _check_same_rows(frame: pd.DataFrame, points: Sequence[SweepPoint], levels: Levels) -> None:
    """Refuse runs that were asked other questions than the first one, or lack a measure of some."""
    named = [*KEY, "group_id"]
    parts = {run_id: part for run_id, part in frame.groupby("run_id", sort=False)}
    first = parts[points[0].run_id][named].reset_index(drop=True)
    measures = frame.columns.difference([*named, "kind", "ratio", "seed", "run_id"])
    for point in points:
        part = parts[point.run_id]
        where = f"{levels.factor} {levels.name(point.ratio)}, seed {point.seed}"
        if not part[named].reset_index(drop=True).equals(first):
            raise UserError(
                f"{where} has {len(part):,} rows of queries, languages and groups, the first run"
                f" {len(first):,}, and they are not the same: every run needs the same queries",
                key="table.queries_differ",
            )
        for setting, rows in part.groupby("setting"):
            counts = rows[measures].notna().sum()
            for measure in measures:
                if 0 < counts[measure] < len(rows):
                    raise UserError(
                        f"{where} has {measure} for {counts[measure]:,} of {len(rows):,}"
                        f" {setting} rows: every query needs it, or none",
                        key="table.measure_incomplete",
                    )


def _unbalanced(points: Sequence[SweepPoint], levels: Levels) -> list[str]:
    """Return what follows where levels have other seeds than the baseline, or few."""
    seeds: dict[float, set[int]] = {}
    for point in points:
        seeds.setdefault(point.ratio, set()).add(point.seed)
    base = seeds.get(0.0, set())
    notes = []
    for ratio, mine in seeds.items():
        if mine != base:
            common = len(mine & base)
            notes.append(
                f"{levels.factor} {levels.name(ratio)} has {len(mine)} seeds, {common} of them in"
                f" common with the baseline: the change is over these {common}"
            )
    return notes
