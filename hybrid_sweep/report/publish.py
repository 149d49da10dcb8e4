"""A finished sweep as a folder to publish: its per-query rows, its report, and the proof that the
one gives the other.

    per_query.parquet   the rows of all runs; on-NAME.parquet: those of a further collection
    clusters.parquet    which questions belong together, where the runs have kept it
    rows.json           where rows are that a published folder beside this one holds already
    runs.json           of each run the settings, versions, code, fingerprints, and what was counted
    points.json         the points, as in the sweep's folder
    merged.json         averages of their weights, where the sweep has some: their rows and settings
                        stand in the files above
    plan.jsonl          what was planned when, where the sweep has it
    results.csv, ...    the tables, texts and page of the report, and its main figure, made from the
                        files above and nothing else; `report FOLDER` makes the other figures
    vs-NAME/            the comparison with the published sweep in ../NAME, from the files of both

No field that cannot change a number is kept, which leaves out every path, account and machine. So
it is with the command that made the sweep: see `public_command`.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from hybrid_sweep.report import load, published_rows, published_runs
from hybrid_sweep.report.cluster_files import kept
from hybrid_sweep.report.comparison.report import folder_of
from hybrid_sweep.report.merged import published as averages
from hybrid_sweep.report.public_command import public_command
from hybrid_sweep.report.published_runs import place_of
from hybrid_sweep.report.report import record_look, write_report
from hybrid_sweep.runs import finished
from hybrid_sweep.utils import names, plan_log, records, safe_paths
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_dir, write_json

# The same tables once more.
LEFT_OUT = ("results.parquet", "comparison.parquet")
MAIN = ("curve", "comparison", "merged")  # figures that are published, as PNG
FIGURES = (*MAIN, "languages", "pairs", "bias", "bias-maps", "front", "shape", "training")
KINDS = (".png", ".pdf", ".svg")
# Tables that came after sweeps were published: where a folder lacks one, nothing is compared.
ADDED = ("measures.csv", "scales.csv")
# Files of a report that are the same bytes everywhere; a font may move a figure.
TEXTS = (".csv", ".md", ".tex")


@dataclass(frozen=True)
class Beside:
    """What a published folder takes from others beside it.

    against: the sweeps that it is compared with. rows_of: those whose rows are not stored again.
    figures: whether all figures are published, in every format.
    """

    against: tuple[Path, ...] = ()
    rows_of: tuple[Path, ...] = ()
    figures: bool = False


NOTHING = Beside()


def freeze(sweep_dir: Path, folder: Path, beside: Beside = NOTHING) -> list[str]:
    """Publish a sweep into `folder`, files that are there being kept unless the report has them;
    the names written.

    Folders that it was compared with, and those that hold rows of it, stay among those of `beside`.

    Raises:
        UserError: where points are missing, the report refuses the sweep, or a folder of `beside`
            is elsewhere or cannot be compared.
    """
    safe_paths.check_links(sweep_dir)
    safe_paths.check_links(folder)
    rivals = _rivals(folder) | _beside(folder, beside.against)
    sources = _sources(folder) | _beside(folder, beside.rows_of)
    collections = ["", *load.further([sweep_dir])]
    for name in collections:
        _check_whole(sweep_dir, name)
    plan = records.points(sweep_dir)
    for point in plan["points"]:
        point.pop("overrides", None)  # words as they were typed, with paths
    plan["command"] = public_command(plan.get("command", ""))
    below = sweep_dir.resolve().parent.parent / "runs"
    merged = averages.entries_of(sweep_dir)
    runs = {row["run_id"]: below / row["run_id"] for row in [*plan["points"], *merged]}
    with atomic_dir(folder) as made:
        if folder.is_dir():
            shutil.copytree(folder, made, dirs_exist_ok=True)
        for name in collections:
            places = {
                run_id: place
                for run_id, run in runs.items()
                if (place := place_of(run, name)).is_dir()
            }
            tables = [
                published_runs.rows_of(runs[run_id], place) for run_id, place in places.items()
            ]
            rows = pa.concat_tables(published_runs.alike(tables))
            published_rows.write(rows, made / published_rows.file_of(name))
            _put_clusters(kept(places.items()), made / _clusters_file(name))
        (made / published_rows.ELSEWHERE).unlink(missing_ok=True)
        _share(made, sources, collections)
        write_json(made / "points.json", plan)
        averages.put(merged, made)
        _copy_log(sweep_dir, made)
        published_runs.put_runs(
            made / "runs.json",
            {
                run_id: published_runs.record_of(run, collections[1:])
                for run_id, run in runs.items()
            },
        )
        _put_report(made, rivals, beside.figures)
        _record_looks(made, sweep_dir)
        return _files_of(made)


def _check_whole(sweep_dir: Path, name: str) -> None:
    """Raise UserError where a point of a sweep, or an average, has no result on a collection."""
    sweep = load.load([sweep_dir], name)
    if sweep.missing:
        raise UserError(
            f"{sweep_dir}: {len(sweep.missing)} of {len(sweep.points)} points are missing: run"
            " them first",
            key="freeze.points_missing",
        )
    averages.check(sweep_dir, sweep, name)


def _record_looks(made: Path, sweep_dir: Path) -> None:
    """Record the look of a published report in the folder of its sweep, too, where that can be
    written.
    """
    try:
        log = plan_log.read(made)
        record_look(sweep_dir, log.looks)
    except UserError as error:
        if error.key not in ("plan_log.broken", "report.unwritable"):
            raise


def _share(made: Path, sources: Iterable[str], collections: Sequence[str]) -> None:
    """Remove rows from a folder in the making that others beside it hold."""
    folders = [made.absolute().parent / name for name in sorted(sources)]
    published_rows.share(made, folders, collections)


def renew(folder: Path, beside: Beside = NOTHING) -> list[str]:
    """Make the report and the comparisons of a published folder anew from its rows, and put them
    there; the names of its files.

    Settings and points stay byte for byte, and so do rows unless `beside` names folders that hold
    them. Raises UserError as `thaw` does.
    """
    safe_paths.check_links(folder)
    rivals = _rivals(folder) | _beside(folder, beside.against)
    sources = _beside(folder, beside.rows_of)
    with atomic_dir(folder) as made:
        shutil.copytree(folder, made, dirs_exist_ok=True)
        if sources:
            _share_again(made, sources | _sources(folder))
        _put_report(made, rivals, beside.figures)
        return _files_of(made)


def _share_again(made: Path, sources: Iterable[str]) -> None:
    """Remove rows from a published folder that others beside it hold, wherever they are now."""
    collections = ["", *load.further([made])]
    whole = {name: published_rows.read(made, name) for name in collections}
    (made / published_rows.ELSEWHERE).unlink(missing_ok=True)
    for name, rows in whole.items():
        published_rows.write(rows, made / published_rows.file_of(name))
    _share(made, sources, collections)


def _put_report(made: Path, rivals: Iterable[str], figures: bool) -> None:
    """Write the report of a folder in the making, which stands beside its rivals, into it.

    figures: whether all figures are kept, in every format, or the main ones alone.
    """
    for path in made.rglob("*"):
        if (path.suffix in KINDS and path.stem in FIGURES) or path.name == averages.TABLE:
            path.unlink()
    with tempfile.TemporaryDirectory() as outputs:
        thawed = _report(made, rivals, Path(outputs), figures)
        unpublished = ["points.json", averages.NAME, *LEFT_OUT]
        if not figures:
            unpublished += ["*.pdf", "*.svg"]
            for path in thawed.rglob("*.png"):
                lighten(path)
        ignored = shutil.ignore_patterns(*unpublished)
        shutil.copytree(thawed, made, dirs_exist_ok=True, ignore=ignored)


def lighten(path: Path) -> None:
    """Write a figure with a palette of 256 colours: a third of the bytes, unseen in a drawing."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(
            method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
    small.save(path, optimize=True)


def _files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def thaw(folder: Path, outputs: Path) -> Path:
    """Write the runs and the sweep of a published folder below `outputs`, as they were; the folder
    of the sweep.

    Raises UserError where `folder` holds no published sweep.
    """
    safe_paths.check_links(folder)
    plan, runs = records.plan(folder), records.published(folder)
    if plan is None or runs is None:
        raise UserError(
            f"{folder} holds no published sweep: points.json or runs.json is missing",
            key="freeze.not_published",
        )
    merged = averages.read(folder, plan)
    _check_runs(folder, runs, [*plan["points"], *merged])
    for run_id, record in runs.items():
        run = safe_paths.inside(outputs, "runs", run_id)
        write_json(run / "config.yaml", record["config"])  # JSON is YAML too
        write_json(run / "provenance.json", record["provenance"])
        for name, metrics in record["metrics"].items():
            write_json(place_of(run, name) / "metrics.json", metrics)
        for name, evaluated in record.get("evaluated", {}).items():
            write_json(place_of(run, name) / "provenance.json", evaluated)
    for name in ["", *load.further([folder])]:
        rows = published_rows.read(folder, name)
        for run_id in pc.unique(rows["run_id"]).to_pylist():
            place = place_of(safe_paths.inside(outputs, "runs", run_id), name)
            if not (place / "metrics.json").is_file():
                raise UserError(
                    f"{folder / published_rows.file_of(name)} has rows of a run that runs.json does"
                    f" not have: {run_id}",
                    key="freeze.run_unknown",
                )
            pq.write_table(rows.filter(pc.equal(rows["run_id"], run_id)), place / finished.TABLE)
            _copy(folder / _clusters_file(name), place / finished.CLUSTERS)
    sweep_dir = safe_paths.inside(outputs, "sweeps", plan["name"])
    write_json(sweep_dir / "points.json", plan)
    averages.thaw(merged, sweep_dir)
    _copy_log(folder, sweep_dir)
    return sweep_dir


def _check_runs(folder: Path, runs: Mapping[str, Any], named: Sequence[Mapping[str, Any]]) -> None:
    """Raise UserError where runs.json has a run that is neither a point nor an average."""
    extra = sorted(runs.keys() - {row["run_id"] for row in named})
    if extra:
        raise UserError(
            f"{folder / 'runs.json'} has a run that neither points.json nor merged.json names:"
            f" {extra[0]}",
            key="freeze.run_unnamed",
        )


def _copy_log(source: Path, target: Path) -> None:
    """Write the plan.jsonl of one folder into another, where there is one."""
    _copy(source / plan_log.NAME, target / plan_log.NAME)


def _copy(path: Path, target: Path) -> None:
    """Write a file to another place, where it is there."""
    if path.is_file() and not path.is_symlink():
        shutil.copyfile(path, target)


def _put_clusters(by_group: Mapping[str, str] | None, path: Path) -> None:
    """Write which questions belong together; an earlier file goes where nothing is known of it."""
    path.unlink(missing_ok=True)
    if by_group is not None:
        columns = [list(by_group), list(by_group.values())]
        pq.write_table(pa.table(columns, schema=finished.CLUSTERED), path, compression="zstd")


def differences(folder: Path) -> list[str]:
    """Return a line for every table and text of a published folder that its per-query rows do not
    give; [] where all do.
    """
    safe_paths.check_links(folder)
    with tempfile.TemporaryDirectory() as outputs:
        thawed = _report(folder, _rivals(folder), Path(outputs), False)
        made = {
            path.relative_to(thawed): path
            for path in sorted(thawed.rglob("*"))
            if path.suffix in TEXTS
        }
        lines = []
        for name, path in made.items():
            if not (folder / name).is_file():
                if path.name in ADDED:
                    continue
                lines.append(f"{folder / name}: absent, though the report has it")
            elif difference := _first_difference(folder / name, path):
                lines.append(f"{folder / name}: {difference}")
        for path in sorted(folder.rglob(averages.TABLE)):
            if path.relative_to(folder) not in made:
                lines.append(f"{path}: is there, and its per-query rows do not give it")
        return lines


def _beside(folder: Path, against: Iterable[Path]) -> set[str]:
    """Return the names of published folders; raises UserError for one that is not beside
    `folder`.
    """
    beside = set()
    for other in against:
        if other.resolve().parent != folder.resolve().parent:
            raise UserError(
                f"{folder}: a published sweep can be compared with those beside it, and {other} is"
                " elsewhere",
                key="freeze.elsewhere",
            )
        beside.add(other.resolve().name)
    return beside


def _rivals(folder: Path) -> set[str]:
    """Return the names of the published sweeps beside a folder that its own is compared with."""
    rivals = {path.name.removeprefix("vs-") for path in folder.glob("vs-*") if path.is_dir()}
    return {names.folder_name(name, f"{folder}: vs-NAME") for name in rivals}


def _sources(folder: Path) -> set[str]:
    """Return the names of the published folders that hold rows of a folder."""
    return {other for others in published_rows.elsewhere(folder).values() for other in others}


def _report(folder: Path, rivals: Iterable[str], outputs: Path, figures: bool) -> Path:
    """Make all reports and comparisons of a published folder, below `outputs`; the folder of its
    sweep.
    """
    thawed = thaw(folder, outputs / "itself")
    write_report([thawed], figures=figures)
    for name in sorted(rivals):
        other = thaw(folder.parent / name, outputs / f"vs-{name}")
        write_report([other, thawed], figures=figures)
        if not (made := folder_of([other, thawed])).is_dir():
            raise UserError(
                f"{folder.parent / name} and this sweep differ in nothing that matters: they"
                " are one",
                key="freeze.no_difference",
            )
        made.rename(thawed / f"vs-{name}")
    if not figures:
        for path in thawed.rglob("report.md"):
            path.write_text(without_figures(path.read_text("utf-8")), encoding="utf-8")
    return thawed


def without_figures(text: str) -> str:
    """Return the text of a report without the images that are not published, and without the
    sections that then hold nothing.
    """
    names = "|".join(name for name in FIGURES if name not in MAIN)
    return without_empty(re.sub(rf"!\[[^\]]*\]\(({names})\.png\)\n\n?", "", text))


def without_empty(text: str) -> str:
    """Return a text without headings of sections that hold nothing."""
    return re.sub(r"^## [^\n]*\n\s*(?=^## |\Z)", "", text, flags=re.MULTILINE)


def _clusters_file(name: str) -> str:
    return f"on-{name}-clusters.parquet" if name else finished.CLUSTERS


def _first_difference(there: Path, made: Path) -> str:
    """Return the first line in which two texts differ, "" where they are equal."""
    try:
        text = there.read_text(encoding="utf-8")
    except ValueError:
        return "is no text"
    if there.suffix == ".md":  # earlier versions left headings of sections without their figures
        text = without_empty(text)
    old = text.splitlines()
    new = made.read_text(encoding="utf-8").splitlines()
    for number, (one, other) in enumerate(zip(old, new, strict=False), 1):
        if one != other:
            return f"line {number} is {one[:100]!r}, and its per-query rows give {other[:100]!r}"
    return (
        "" if len(old) == len(new) else f"{len(old)} lines, and its per-query rows give {len(new)}"
    )
