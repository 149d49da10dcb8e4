"""The reports of sweeps: of one, of several that are one in all that matters (pooled), of several
that differ (compared).

One report is results.csv and .parquet, derived.csv, curve.png, .pdf and .svg, report.md,
report.html and table.tex in the folder of its sweep. What the points scored on further collections
(eval.also) is reported in the same way, in folders on-NAME, and what they scored in smaller pools
(data.pools) is set beside the whole in pools/, what centred vectors did (sweep.centred) in
centring/. Everything derives from the per-query tables;
nothing written holds a time, a machine or a path, so that the same runs give the same results.csv
anywhere.
"""

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from hybrid_sweep.report.cluster_files import AS_KEPT, ClusterChoice
from hybrid_sweep.report.comparison.report import compare_centred, compare_folders, compare_pools
from hybrid_sweep.report.figures.training_curves import training
from hybrid_sweep.report.load import Sweep, centred, further, load, pools
from hybrid_sweep.report.look_notes import tested_counts
from hybrid_sweep.report.measures import Shown
from hybrid_sweep.report.merged.load import left_out, load_merged
from hybrid_sweep.report.report_files import Report, below, write_one, writing
from hybrid_sweep.report.settings import check
from hybrid_sweep.report.stated import primary_of
from hybrid_sweep.utils import plan_log, safe_paths
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.locks import OUTPUTS, exclusive

__all__ = ["Report", "write_report"]


def write_report(
    sweep_dirs: Sequence[Path],
    *,
    allow_missing: bool = False,
    measure: str | None = None,
    clusters: ClusterChoice = AS_KEPT,
    figures: bool = True,
) -> Report:
    """Report one sweep, or several: pooled where they differ in nothing but ratio and seed, else
    compared.

    One report is written into the first folder, a comparison into vs-NAME there; each file
    atomically, and nothing into any other folder but a line of plan.jsonl. measure: what curve and
    verdicts are on, by default the primary measure of the sweep; reports on another one are written
    into by-MEASURE in these folders. clusters: which questions belong together. figures: whether
    all figures are drawn, or the main ones alone. Raises UserError
    where a folder is no sweep, nothing is finished, the points of one sweep cannot be compared, or
    the folder cannot be written. What would be an error on a further collection is a line of the
    console, since the others have reports.

    The numbers of seeds that are tested are added to the record of the plan in each folder of a
    report: reports before all planned seeds are there are looks, over which the error rates are
    spent.
    """
    folders = list({path.resolve(): path for path in map(Path, sweep_dirs)}.values())
    # where it is written; the user may name it by a link
    safe_paths.check_links(folders[0].resolve())
    primary = primary_of(folders)
    shown = Shown(measure or primary, primary, clusters)
    pooled = _pooled(folders, shown)
    unrecorded: list[str] = []
    if pooled is None:
        report, told = _compared(folders, shown)
    else:
        merged = load_merged(folders, pooled[0])
        main = below(folders[0], shown)
        report = write_one(*pooled, main, training(folders), merged, figures)
        told = _further(folders, shown, figures)
        unrecorded = _record_looks(folders, report)
    console, code = [report.console, *unrecorded], report.exit_code
    for name, other in told:
        console += [
            "",
            f"--- on {name} ---",
            "",
            other if isinstance(other, str) else other.console,
        ]
        code = max(code, 1 if isinstance(other, str) else other.exit_code)
    return dataclasses.replace(
        report, console="\n".join(console), exit_code=0 if allow_missing else code
    )


def record_look(folder: Path, counts: Sequence[int]) -> None:
    """Add the numbers of seeds that a report tests to plan.jsonl of a folder.

    Raises:
        UserError: where the folder cannot be written.
    """
    lock = folder / "lock"
    # a folder that no command writes to has no lock
    guard = exclusive(lock, OUTPUTS) if lock.is_file() else nullcontext()
    try:
        with guard, writing(folder):
            plan_log.add_look(folder, counts)
    except UserError as error:
        if error.key != "plan_log.broken":  # that is in the report already
            raise


def _record_looks(folders: Sequence[Path], report: Report) -> list[str]:
    """Record a report in each folder that it is of; a line for each but the first that cannot be
    written.
    """
    counts = tested_counts(report.results)
    record_look(folders[0], counts)
    lines = []
    for folder in folders[1:]:
        try:
            record_look(folder, counts)
        except UserError as error:
            lines.append(f"this look is not recorded in {folder}: {error}")
    return lines


def _pooled(folders: Sequence[Path], shown: Shown) -> tuple[Sweep, list[str]] | None:
    """Return all points as one sweep, with warnings about them; None where several folders cannot
    be one.
    """
    try:
        sweep = load(folders, measure=shown.measure, clusters=shown.clusters)
        return sweep, check(sweep)
    except UserError:
        if len(folders) == 1:
            raise
        return None  # a folder that is broken by itself will say so when it is read alone


def _further(
    folders: Sequence[Path], shown: Shown, figures: bool
) -> list[tuple[str, Report | str]]:
    """Return the reports on further collections, or why there is none."""
    reports: list[tuple[str, Report | str]] = []
    for name in further(folders):
        try:
            sweep = load(folders, name, shown.measure, shown.clusters)
            folder = below(folders[0] / f"on-{name}", shown)
            merged = load_merged(folders, sweep, name)
            made = write_one(sweep, check(sweep), folder, None, merged, figures)
            reports.append((name, made))
        except UserError as error:
            reports.append((name, f"no report: {error}"))
    for source, sizes in pools(folders).items():
        name = f"{source}, by pool" if source else "smaller pools"
        try:
            reports.append((name, compare_pools(folders, source, sizes, shown)))
        except UserError as error:
            reports.append((name, f"no comparison: {error}"))
    for source, on in centred(folders).items():
        name = f"{source}, centred" if source else "centring"
        try:
            reports.append((name, compare_centred(folders, source, on, shown)))
        except UserError as error:
            reports.append((name, f"no comparison: {error}"))
    return reports


def _compared(
    folders: Sequence[Path], shown: Shown
) -> tuple[Report, list[tuple[str, Report | str]]]:
    """Return the comparison on the sweeps' own collections, and those on the further ones that all
    have.
    """
    names = [set(further([path])) for path in folders]
    shared = sorted(set.intersection(*names))
    report, others = compare_folders(folders, shared, shown)
    notes = [left_out(folders)]
    partly = sorted(set.union(*names) - set(shared))
    if partly:
        notes.append(f"not compared on {', '.join(partly)}, which only some of the sweeps have")
    lines = [report.console, *(note for note in notes if note)]
    return dataclasses.replace(report, console="\n".join(lines)), others
