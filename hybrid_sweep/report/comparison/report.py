"""The report of sweeps that differ: comparison.csv and the rest in FIRST/vs-SECOND, and nothing in
any other folder.

The pools of one sweep are compared in the same way, in its own folder pools/.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from hybrid_sweep.report.cluster_files import AS_KEPT, ClusterChoice
from hybrid_sweep.report.comparison import console as comparison_console
from hybrid_sweep.report.comparison import figure as figure_comparison
from hybrid_sweep.report.comparison import latex as comparison_latex
from hybrid_sweep.report.comparison import page as comparison_page
from hybrid_sweep.report.comparison import text as comparison_text
from hybrid_sweep.report.comparison.scales import on_scales, sentences
from hybrid_sweep.report.comparison.table import Comparison, compare
from hybrid_sweep.report.figures.style import save
from hybrid_sweep.report.load import Sweep, load
from hybrid_sweep.report.measures import Shown
from hybrid_sweep.report.report_files import (
    Report,
    below,
    put_csv,
    put_parquet,
    put_texts,
    writing,
)
from hybrid_sweep.report.settings import SETTING, Difference, check
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.terminal_lines import paragraph

FURTHER_CONTENT = "fingerprint of further collection"  # as `settings` calls it
LONGEST = 200  # bytes of a folder's name: file systems end at 255


def folder_of(sweep_dirs: Sequence[Path]) -> Path:
    """Return where a comparison is written: vs- and the names of the other folders, in the first;
    what is too long ends in a hash.
    """
    name = "".join(f"-vs-{path.resolve().name}" for path in sweep_dirs[1:])[1:]
    if len(name.encode()) > LONGEST:
        mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name.encode()[:LONGEST].decode(errors='ignore')}-{mark}"
    return sweep_dirs[0] / name


def read(
    sweep_dirs: Sequence[Path],
    on: str = "",
    measure: str | None = None,
    clusters: ClusterChoice = AS_KEPT,
) -> tuple[list[Sweep], list[list[str]]]:
    """Return each sweep by itself, with the warnings about its points; the arguments are those of
    `load`.

    Raises:
        UserError: with the folder, where one cannot be reported alone either.
    """
    sweeps, warnings = [], []
    for path in sweep_dirs:
        try:
            sweep = load([path], on, measure, clusters)
            warnings.append(check(sweep))
        except UserError as error:
            raise (
                error if str(path) in str(error) else UserError(f"{path}: {error}", key=error.key)
            ) from error
        sweeps.append(sweep)
    return sweeps, warnings


def write_comparison(comparison: Comparison, folder: Path) -> Report:
    """Write a comparison into a folder, each file atomically."""
    figure, scaled = figure_comparison.draw(comparison), on_scales(comparison)
    with writing(folder):
        tables = (
            put_csv(comparison.table, folder / "comparison.csv"),
            put_parquet(comparison.table, folder / "comparison.parquet"),
            put_csv(scaled, folder / "scales.csv"),
        )
        drawn = save(figure, folder, "comparison")
        texts = {
            "comparison.md": comparison_text.markdown(comparison),
            "comparison.html": comparison_page.html(comparison, drawn[2].read_bytes()),
            "comparison.tex": comparison_latex.latex(comparison),
        }
        paths = (*tables, *drawn, *put_texts(texts, folder))
    missing = tuple(point for sweep in comparison.sweeps for point in sweep.gaps)
    told = [
        comparison_console.console(comparison),
        "",
        *chain.from_iterable((*paragraph(line), "") for line in sentences(scaled)),
        f"page: {folder / 'comparison.html'}",
        f"figure: {drawn[0]}",
    ]
    return Report(
        answer=" ".join(
            f"{name}: {answer}"
            for name, answer in zip(comparison.names, comparison.answers, strict=True)
        ),
        console="\n".join(told),
        figure=drawn[0],
        paths=paths,
        missing=missing,
        warnings=tuple(chain.from_iterable(comparison.warnings)),
        results=comparison.table,
        exit_code=1 if missing else 0,
    )


def compare_folders(
    sweep_dirs: Sequence[Path], shared: Sequence[str], shown: Shown
) -> tuple[Report, list[tuple[str, Report | str]]]:
    """Compare sweeps on the collection of each, and by name on the further ones that all were asked
    for (`shared`).

    shown: what curves and verdicts are on.

    A further collection that cannot be compared has the reason in place of its report. Raises
    UserError where the main ones cannot, or where there are more sweeps than a figure can hold.
    """
    if len(sweep_dirs) > figure_comparison.LIMIT:
        raise UserError(
            f"{len(sweep_dirs)} sweeps differ: compare at most {figure_comparison.LIMIT} at a time",
            key="report.too_many_sweeps",
        )
    folder = below(folder_of(sweep_dirs), shown)
    sweeps, warnings = read(sweep_dirs, "", shown.measure, shown.clusters)
    report = write_comparison(compare(sweeps, warnings), folder)
    on_further: list[tuple[str, Report | str]] = []
    for name in shared:
        try:
            there, about = read(sweep_dirs, name, shown.measure, shown.clusters)
            comparison = compare(there, about, name, sweeps)
            on_further.append((name, write_comparison(comparison, folder / f"on-{name}")))
        except UserError as error:
            on_further.append((name, f"no comparison: {error}"))
    return report, on_further


def compare_pools(
    sweep_dirs: Sequence[Path],
    source: str,
    sizes: Sequence[tuple[int, str]],
    shown: Shown,
) -> Report:
    """Compare what the ratio does in smaller pools of a collection and in all of it, the smallest
    first.

    source: "" or the name of a further collection; sizes: as in `load.pools`; shown: what curves
    and verdicts are on. The runs and questions are the same at every size, so that all is paired.
    Written into pools/ beside the collection's own report. Raises UserError for more pools than a
    figure can hold, and where a pool cannot be reported alone.
    """
    if len(sizes) >= figure_comparison.LIMIT:
        raise UserError(
            f"{len(sizes)} pools: compare at most {figure_comparison.LIMIT - 1} with all passages",
            key="report.too_many_pools",
        )
    names = {f"{size:,} passages": name for size, name in sizes} | {"all passages": source}
    values = (*(f"{size:,}" for size, _ in sizes), "all")
    difference = Difference(SETTING, "passages per language", values)
    return _compare_stages(sweep_dirs, names, difference, shown, "pools")


def compare_centred(sweep_dirs: Sequence[Path], source: str, on: str, shown: Shown) -> Report:
    """Compare what the ratio does with vectors as they are encoded, and with those that each
    language's mean is subtracted from.

    source: "" or the name of a further collection; on: the further collection that its centred
    vectors count as. Runs and questions are the same, so that all is paired. Written into centring/
    beside the collection's own report.
    """
    names = {"as encoded": source, "means subtracted": on}
    difference = Difference(SETTING, "passage vectors", tuple(names))
    return _compare_stages(sweep_dirs, names, difference, shown, "centring")


def _compare_stages(
    sweep_dirs: Sequence[Path],
    names: Mapping[str, str],
    difference: Difference,
    shown: Shown,
    place: str,
) -> Report:
    """Compare the evaluations that the same runs have of one collection, and write that into the
    folder `place` beside its report.

    names: the further collection that each evaluation counts as, by what it is called; one is the
    collection itself.
    """
    source = min(names.values(), key=len)  # the others begin with its name
    main = load(sweep_dirs, "", shown.measure, shown.clusters)
    sweeps = []
    for name, on in names.items():
        sweep = load(sweep_dirs, on, shown.measure, shown.clusters)
        sweeps.append(dataclasses.replace(sweep, name=name))
    comparison = compare(
        sweeps,
        [check(sweep) if number == 0 else [] for number, sweep in enumerate(sweeps)],
        source,
        [main] * len(sweeps),
        [difference],
    )
    # Of a run's own collection no fingerprint is recorded with its result: that is no difference.
    told = [item for item in comparison.differences if item.key != FURTHER_CONTENT]
    comparison = dataclasses.replace(comparison, differences=tuple(told))
    folder = below(sweep_dirs[0] / f"on-{source}" if source else sweep_dirs[0], shown)
    return write_comparison(comparison, folder / place)
