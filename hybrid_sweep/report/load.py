"""From the folders of a sweep to one tidy frame with a row per point and query, and the list of
missing points.

A sweep is read on the collection it was trained on, or on one of the further ones that its points
were evaluated on.

A point counts as finished by the definition in `hybrid_sweep.runs.finished`; every other point of
points.json is reported as missing, never dropped. Nothing here depends on the order of rows, points
or folders.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_sweep.report.cluster_files import (
    AS_KEPT,
    ClusterChoice,
    kept,
    with_clusters,
)
from hybrid_sweep.report.long_frame import SAME, Place, long_frame, shared
from hybrid_sweep.report.looks import Looks
from hybrid_sweep.report.measures import DEFAULT, Measures, Shown, measures_on
from hybrid_sweep.report.query_values import is_known
from hybrid_sweep.report.stated import Stated, log_of, looks_of, of_measure, primary_in, stated_of
from hybrid_sweep.retrieval.measures import FORMS, OF_LANGUAGES, parsed
from hybrid_sweep.runs import finished
from hybrid_sweep.runs.finished import KEY, STORED
from hybrid_sweep.utils import names, records
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest

# The kinds of points in the order of every table; the name of those that no ratio trained.
KINDS = ("trained", "untrained", "bm25")
BASELINES = {"untrained": "untrained", "bm25": "BM25"}
CENTRED = re.compile(r"(?:(.+)_)?centred")  # how stages of centred vectors are named
POOL = re.compile(r"(?:(.+)_)?pool_([0-9]+)")  # how stages of smaller pools are named
# what a report on a further collection reads of the provenance of its evaluation
EVALUATED = ["versions", "git"]


@dataclass(frozen=True)
class SweepPoint:
    """One planned run of a sweep; `kind` is one of `KINDS`."""

    kind: str
    ratio: float
    seed: int
    run_id: str

    @property
    def label(self) -> str:
        """Return the point in words."""
        if self.kind == "bm25":
            return BASELINES[self.kind]
        if self.kind == "trained":
            return f"r = {self.ratio:g}, seed {self.seed}"
        return f"untrained, seed {self.seed}"


@dataclass(frozen=True)
class Sweep:
    """The planned points in order, why some are missing, and what the others left.

    `frame` is long and tidy: one row per point and row of its per-query table, sorted by point and
    `KEY`, with the columns kind, ratio, seed, run_id, KEY, group_id, n_relevant, STORED, rank (of
    the best relevant passage; inf: not retrieved) and RD. Every finished point has the same rows.
    `config`, `provenance` and `metrics` map a finished run id to the parsed file ({} where it is
    absent); on a further collection `config` has it as data, `metrics` what was measured there, and
    `provenance` under "evaluated" the versions and the code that measured it. `trained_languages`,
    sorted, are those that any trained point learned from, whatever it was evaluated on; () where no
    config is recorded. `looks` is None where no number of seeds was planned. `measure` is what
    curve and verdicts are on, `asked` what else every table has (eval.measures). `clusters` says
    where those of the questions are from, which then stand in the column cluster_id, or that they
    are left out; "" where none are known. `trained_on` is the name of the collection that the
    points learned from; "" where no config is recorded.
    """

    name: str
    margin: float
    stated: Stated
    command: str
    points: tuple[SweepPoint, ...]
    missing: dict[str, str]
    frame: pd.DataFrame
    config: dict[str, dict[str, Any]]
    provenance: dict[str, dict[str, Any]]
    metrics: dict[str, dict[str, Any]]
    trained_languages: tuple[str, ...]
    looks: Looks | None = None
    measure: str = DEFAULT
    primary: str = DEFAULT
    asked: tuple[str, ...] = ()
    clusters: str = ""
    trained_on: str = ""

    @property
    def measures(self) -> Measures:
        """Return the measures that a report of it shows."""
        return measures_on(self.measure, self.asked)

    @property
    def finished(self) -> tuple[SweepPoint, ...]:
        """Return the points with a result."""
        return tuple(point for point in self.points if point.run_id not in self.missing)

    @property
    def gaps(self) -> tuple[SweepPoint, ...]:
        """Return the points without a result."""
        return tuple(point for point in self.points if point.run_id in self.missing)

    @property
    def trained(self) -> tuple[SweepPoint, ...]:
        """Return the finished points that a ratio trained."""
        return tuple(point for point in self.finished if point.kind == "trained")

    @property
    def fingerprint(self) -> str:
        """Return eight hex digits that name the finished points."""
        return digest(sorted(point.run_id for point in self.finished), 8)


def further(sweep_dirs: Sequence[Path]) -> list[str]:
    """Return the names of the further collections that any point of the sweeps was asked for,
    sorted.
    """
    rows = [row for sweep_dir in sweep_dirs for row in records.points(sweep_dir)["points"]]
    return sorted({name for row in rows for name in row.get("also", [])})


def pools(sweep_dirs: Sequence[Path]) -> dict[str, list[tuple[int, str]]]:
    """Return, of each collection, "" or the name of a further one, the smaller pools that points
    were asked for, smallest first.

    A pool: how many passages of each language it holds, and the name of the further collection that
    it counts as.
    """
    by_source: dict[str, list[tuple[int, str]]] = {}
    for name in further(sweep_dirs):
        if match := POOL.fullmatch(name):
            by_source.setdefault(match[1] or "", []).append((int(match[2]), name))
    return {source: sorted(sizes) for source, sizes in sorted(by_source.items())}


def centred(sweep_dirs: Sequence[Path]) -> dict[str, str]:
    """Return, of each collection, "" or the name of a further one, the name of the further
    collection that its centred vectors count as, where points were asked for them.
    """
    by_source = {}
    for name in further(sweep_dirs):
        if match := CENTRED.fullmatch(name):
            by_source[match[1] or ""] = name
    return by_source


def planned(
    sweep_dirs: Sequence[Path], on: str
) -> tuple[list[str], float, str, dict[SweepPoint, Path]]:
    """Return names, margin, command and the points with their run folders, the points of all sweeps
    together.

    on: leaves out the points that were not asked for this further collection.
    """
    names, margins, commands, folders = [], [], [], {}
    for sweep_dir in sweep_dirs:
        plan = records.points(sweep_dir)
        names.append(plan["name"])
        margins.append(float(plan["margin"]))
        commands.append(plan.get("command", ""))
        runs = sweep_dir.resolve().parent.parent / "runs"
        for row in plan["points"]:
            if on and on not in row.get("also", []):
                continue
            point = SweepPoint(
                row["kind"], round(float(row["ratio"]), 6), row["seed"], row["run_id"]
            )
            folders[point] = runs / point.run_id
    if len(set(margins)) > 1:
        raise UserError(
            f"the sweeps state different margins ({', '.join(map(str, margins))}): report them one"
            " by one",
            key="report.margins_differ",
        )
    if not folders:
        raise UserError(
            f"{sweep_dirs[0]}/points.json lists no point: run the sweep first",
            key="sweep.no_points",
        )
    return names, margins[0], next((text for text in commands if text), ""), folders


def _finished(run_dir: Path, folder: Path) -> tuple[pa.Table | None, str]:
    """Return the per-query table in a folder of a finished run, sorted by KEY, or None and why it
    is missing.
    """
    try:
        table = finished.table(run_dir, folder)
    except finished.Unfinished as problem:
        reason = str(problem)
        if reason != finished.NOT:
            return None, reason
        status = records.status(run_dir)
        state, error = status.get("state"), (status.get("error") or "").strip()
        if state == "failed" and error:
            return None, f"failed: {error.splitlines()[0][:120]}"
        return None, f"not finished (last state: {state})" if state else "not finished"
    return table.sort_by([(name, "ascending") for name in KEY]), ""


def _tables(
    folders: dict[SweepPoint, Path], places: dict[SweepPoint, Path]
) -> tuple[dict[str, pa.Table], dict[str, str]]:
    """Return the tables of the finished points by run id, and why the others are missing.

    folders: of the runs. places: of the evaluations.
    """
    tables: dict[str, pa.Table] = {}
    missing = {}
    for point, place in places.items():
        table, reason = _finished(folders[point], place)
        if table is None:
            missing[point.run_id] = reason
        else:
            _check_languages(place, table)
            tables[point.run_id] = shared(table, next(iter(tables.values()), None))
    return tables, missing


def _check_languages(folder: Path, table: pa.Table) -> None:
    """Raise UserError for a language of a per-query table that cannot be one; "*" is the pool of
    all languages.
    """
    where = str(folder / "per_query.parquet")
    for column in ("query_lang", "passage_lang"):
        codes = table[column].unique().to_pylist()
        if column == "passage_lang" and "*" in codes:
            elsewhere = pc.fill_null(pc.not_equal(table["setting"], "multilingual"), True)
            if not pc.any(pc.and_(pc.equal(table[column], "*"), elsewhere)).as_py():
                codes.remove("*")
        for code in codes:
            names.language(code, f"{where}, {column}")


def _learned(config: dict[str, Any]) -> set[str]:
    """Return the languages of the collections that a run was trained on, from its config; empty
    where they are not recorded.
    """
    more = config.get("more")
    parts = [config.get("data"), *(more.values() if isinstance(more, dict) else [])]
    named = [part.get("languages") for part in parts if isinstance(part, dict)]
    return {
        str(language)
        for languages in named
        if isinstance(languages, list)
        for language in languages
    }


def _is_of(point: SweepPoint, table: pa.Table, config: dict[str, Any]) -> bool:
    """Return whether a run is of the seed and kind that its point has, as far as its table and its
    config tell.
    """
    if table["seed"].null_count < len(table) and table["seed"].unique().to_pylist() != [point.seed]:
        return False
    trainer, model = config.get("trainer"), config.get("model")
    steps = trainer.get("max_steps") if isinstance(trainer, dict) else None
    name = model.get("name") if isinstance(model, dict) else None
    if isinstance(steps, int) and (steps > 0) != (point.kind == "trained"):
        return False
    return name != "bm25" or point.kind == "bm25"


def _check(
    points: Sequence[SweepPoint], tables: dict[str, pa.Table], configs: dict[str, dict[str, Any]]
) -> None:
    """Refuse points that cannot be compared: two runs in one place of the grid, other rows, holes
    in the values.
    """
    _check_places(points)
    first = points[0].run_id
    distinct = tables[first].select(KEY).group_by(KEY).aggregate([])
    if distinct.num_rows < tables[first].num_rows:
        raise UserError(
            f"run {first} has two rows for one query in one setting: its per_query.parquet is"
            " broken",
            key="evaluation.table_repeats",
        )
    for point in points:
        _check_plan(point, tables[point.run_id], configs[point.run_id])
        _check_rows(point, tables[point.run_id], first, tables[first])
        _check_values(point, tables[point.run_id])


def _check_places(points: Sequence[SweepPoint]) -> None:
    """Refuse two runs in one place of the grid."""
    seen: dict[tuple[str, float, int], str] = {}
    for point in points:
        place = (point.kind, point.ratio if point.kind == "trained" else 0.0, point.seed)
        if place in seen:
            raise UserError(
                f"runs {seen[place]} and {point.run_id} are both {point.kind} at ratio"
                f" {point.ratio:g}, seed {point.seed}: the sweep varies something else as well;"
                " report one setting at a time: the same command with a sweep.name of its own for"
                " each reuses what is done",
                key="report.points_repeated",
            )
        seen[place] = point.run_id


def _check_plan(point: SweepPoint, table: pa.Table, config: dict[str, Any]) -> None:
    """Refuse a run that is not the one that points.json has in this place."""
    if not _is_of(point, table, config):
        raise UserError(
            f"run {point.run_id} is not what points.json says: {point.kind}, seed {point.seed}",
            key="report.run_not_as_planned",
        )
    if point.kind != "trained":
        return
    if not np.allclose(table["ratio"].to_numpy(), point.ratio, rtol=0, atol=1e-6):
        raise UserError(
            f"run {point.run_id} was trained at another ratio than points.json says:"
            f" {point.ratio:g}",
            key="report.ratio_not_as_planned",
        )


def _check_rows(point: SweepPoint, table: pa.Table, first: str, other: pa.Table) -> None:
    """Refuse a run whose rows are of other questions than those of the first run, `other`."""
    same = table.num_rows == other.num_rows and all(
        table[name].equals(other[name]) for name in SAME
    )
    if not same:
        raise UserError(
            f"runs {first} and {point.run_id} were evaluated on different questions or"
            " languages: report one collection at a time",
            key="report.questions_differ",
        )


def _check_values(point: SweepPoint, table: pa.Table) -> None:
    """Refuse values that are no numbers."""
    name = not_finite(table)
    if name:
        raise UserError(
            f"run {point.run_id} has {name} values that are no numbers: its model may have"
            " diverged",
            key="evaluation.not_finite",
        )


def not_finite(table: pa.Table) -> str:
    """Return the first measure with values that are no numbers; "" where there is none.

    same@10 has some only where all languages are searched, and none in a query language without
    passages.
    """
    for name in STORED:
        rows = table
        if name == "same@10":
            rows = table.filter(pc.equal(table["setting"], "multilingual"))
            rows = rows.filter(pc.is_in(rows["query_lang"], value_set=_shared(rows)))
        if not np.isfinite(rows[name].to_numpy()).all():
            return name
    return ""


def _shared(rows: pa.Table) -> pa.Array:
    """Return the query languages of which any row has a value of same@10."""
    return pc.unique(rows.filter(pc.is_finite(rows["same@10"]))["query_lang"])


def _places(points: Sequence[SweepPoint]) -> list[Place]:
    return [Place(point.kind, point.ratio, point.seed, point.run_id) for point in points]


def _shared_measures(tables: dict[str, pa.Table]) -> list[str]:
    """Return the further measures (eval.measures) that every table has, sorted."""
    named = [set(table.column_names) - set(finished.SCHEMA.names) for table in tables.values()]
    return sorted(set.intersection(*named))


def _order(point: SweepPoint) -> tuple[int, float, int, str]:
    return KINDS.index(point.kind), point.ratio, point.seed, point.run_id


def load(
    sweep_dirs: Sequence[Path],
    on: str = "",
    measure: str | None = None,
    clusters: ClusterChoice = AS_KEPT,
) -> Sweep:
    """Read the points of one or more sweep folders; a run that two sweeps share counts once.

    on: the name of a further collection; "" is the one that the points were trained on. measure:
    what curve and verdicts are on; None: the primary one. Raises UserError for a folder without
    points.json, where no point is finished, for points that cannot be compared, for a measure that
    their rows do not give, and for clusters that lack a question.
    """
    names, margin, command, folders = planned(sweep_dirs, on)
    points = tuple(sorted(folders, key=_order))
    below = Path("evaluations", on) if on else Path()
    places = {point: folder / below for point, folder in folders.items()}
    if len(sweep_dirs) > 1:  # sweeps that differ are told apart before their rows are read
        _check_places([p for p in points if (places[p] / "metrics.json").is_file()])
    tables, missing = _tables(folders, places)
    there = [point for point in points if point.run_id in tables]
    if not there:
        raise _none_finished(sweep_dirs[0], points, on)
    config = {point.run_id: records.config(folders[point]) for point in there}
    _check(there, tables, config)
    metrics = {point.run_id: records.metrics(folders[point]) or {} for point in there}
    provenance = {point.run_id: records.provenance(folders[point]) for point in there}
    trained = [config[point.run_id] for point in there if point.kind == "trained"]
    learned, taught = set[str]().union(*map(_learned, trained)), _taught(trained)
    for point in there if on else []:
        run_id, place = point.run_id, places[point]
        here = records.metrics(place) or {}
        config[run_id] = config[run_id] | _data_of(here, on)
        metrics[run_id] = metrics[run_id] | here
        provenance[run_id]["evaluated"] = _measured(place)
    logs, asked = [log_of(sweep_dir) for sweep_dir in sweep_dirs], _shared_measures(tables)
    from_runs = kept((point.run_id, places[point]) for point in there)
    frame = long_frame(_places(there), tables, asked)
    frame, origin = with_clusters(frame, clusters, from_runs, not on, _collection_of(metrics))
    shown = Shown(measure or primary_in(logs), primary_in(logs))
    _check_measure(frame, shown.measure)
    return Sweep(
        name=" + ".join(sorted(set(names))) + (f" on {on}" if on else ""),
        margin=margin,
        stated=of_measure(stated_of(logs, margin), shown),
        looks=looks_of(logs),
        command=command,
        points=points,
        missing=missing,
        config=config,
        frame=frame,
        provenance=provenance,
        metrics=metrics,
        trained_languages=tuple(sorted(learned)),
        measure=shown.measure,
        primary=shown.primary,
        asked=tuple(asked),
        clusters=origin,
        trained_on=taught,
    )


def _collection_of(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of the collection that all results are on; "" where they do not say one."""
    names = {str(record.get("collection", "")) for record in metrics.values()}
    return names.pop() if len(names) == 1 else ""


def _data_of(metrics: dict[str, Any], on: str) -> dict[str, Any]:
    """Return what the config of a run says of its data, for a further collection."""
    languages = metrics.get("languages", [])
    return {"data": {"name": metrics.get("collection", on), "languages": languages}}


def _none_finished(sweep_dir: Path, points: Sequence[SweepPoint], on: str) -> UserError:
    where = f" on {on}" if on else ""
    return UserError(
        f"{sweep_dir}: none of its {len(points)} points is finished{where}: run the sweep first",
        key="sweep.none_finished",
    )


def _taught(configs: Iterable[dict[str, Any]]) -> str:
    """Return the name of the collection that points learned from; "" where it is not recorded."""
    parts = [data for config in configs if isinstance(data := config.get("data"), dict)]
    names = {str(data["name"]) for data in parts if "name" in data}
    return " / ".join(sorted(names))


def _measured(place: Path) -> dict[str, Any]:
    """Return what a report reads of the provenance of an evaluation."""
    measured = records.provenance(place)
    return {part: measured[part] for part in EVALUATED if part in measured}


def _check_measure(frame: pd.DataFrame, measure: str) -> None:
    """Raise UserError for a measure of retrieval that the rows of a sweep do not give."""
    if measure in OF_LANGUAGES:
        raise UserError(
            f"--measure {measure}: it is measured in the pool of all languages alone, and curve and"
            " verdicts are on retrieval within languages; with eval.measures it has a column in"
            " every report",
            key="report.measure_of_pool",
        )
    if parsed(measure) is None:
        raise UserError(f"--measure {measure}: no measure; take {FORMS}", key="report.measure")
    for setting in ("monolingual", "cross-lingual"):
        rows = frame[frame["setting"] == setting]
        if not is_known(rows, measure):
            raise UserError(
                f"--measure {measure}: not in the tables of the {setting} setting of all finished"
                f" runs; run again with eval.measures=[{measure}], which evaluates them once more",
                key="report.measure_missing",
            )
