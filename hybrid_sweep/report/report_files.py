"""One report: what is written of a sweep, and what is told of it."""

from collections.abc import Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from hybrid_sweep.report import guards
from hybrid_sweep.report.answer import answer, findings
from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.figures import bias as figure_bias
from hybrid_sweep.report.figures import bias_maps as figure_bias_maps
from hybrid_sweep.report.figures import curve as figures
from hybrid_sweep.report.figures import front as figure_front
from hybrid_sweep.report.figures import languages as figure_languages
from hybrid_sweep.report.figures import pairs as figure_pairs
from hybrid_sweep.report.figures import shape as figure_shape
from hybrid_sweep.report.figures import training as figure_training
from hybrid_sweep.report.figures.style import legible, save_all
from hybrid_sweep.report.figures.training_curves import Training
from hybrid_sweep.report.latex import latex
from hybrid_sweep.report.load import Sweep, SweepPoint
from hybrid_sweep.report.measures import Shown
from hybrid_sweep.report.merged import figure as figure_merged
from hybrid_sweep.report.merged.compare import compare
from hybrid_sweep.report.merged.load import Merged
from hybrid_sweep.report.merged.text import Averaged
from hybrid_sweep.report.other_measures import besides, other_measures
from hybrid_sweep.report.page.html import html
from hybrid_sweep.report.render.console import console
from hybrid_sweep.report.render.numbers import counted
from hybrid_sweep.report.results import aggregate, measures_of, pick
from hybrid_sweep.report.sections import Content, markdown
from hybrid_sweep.report.tables.by_ratio import by_ratio
from hybrid_sweep.report.without_monolingual import lacks_monolingual, leading
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.escaping import csv_cell, one_line
from hybrid_sweep.utils.files import atomic_write
from hybrid_sweep.utils.terminal_lines import paragraph


@dataclass(frozen=True)
class Report:
    """What was written and what to print.

    `console` is the table, what is missing, the warnings, the answer and the path of the figure, of
    each collection. `exit_code` is 1 if points are missing, or a further collection has no report,
    and that was not allowed, else 0. All other fields are those of the collection that was trained
    on; of a comparison, `results` is its table, and `missing` and `warnings` are those of all its
    sweeps.
    """

    answer: str
    console: str
    figure: Path
    paths: tuple[Path, ...]
    missing: tuple[SweepPoint, ...]
    warnings: tuple[str, ...]
    results: pd.DataFrame
    exit_code: int

    @property
    def more_seeds(self) -> bool:
        """Return whether more seeds could settle what the answer leaves open; not of a
        comparison.
        """
        rows = pick(self.results, *measures_of(self.results).mono.place)
        few = rows["delta_interval"].eq("conditional")
        is_open = rows["verdict"].eq("inconclusive")
        is_open &= rows["seeds_to_settle_low"].lt(float("inf"))
        return bool((few | is_open).any())


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what keeps a file from being written into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the report cannot be written into {folder}: {error.strerror or error}",
            key="report.unwritable",
        ) from error
    except BrokenProcessPool as error:
        raise UserError(
            f"the report in {folder}: a process that wrote its figures was killed (out of memory?)",
            key="report.process_killed",
        ) from error


def below(folder: Path, shown: Shown) -> Path:
    """Return where a report is written: the folder itself, or on another measure than the primary
    one by-MEASURE in it.
    """
    return folder if shown.measure == shown.primary else folder / f"by-{shown.measure}"


def put_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV, in which no text acts as a formula of a spreadsheet; its path."""
    with atomic_write(path) as temporary:
        inert(frame).to_csv(temporary, index=False, lineterminator="\n")
    return path


def inert(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts are those of `csv_cell`; columns in which nothing changes are the
    same objects.
    """
    changed: dict[str, pd.Series] = {}
    for name in frame.columns:
        if pd.api.types.is_numeric_dtype(frame[name]):
            continue
        before = frame[name].astype(object)
        texts = {value: csv_cell(value) for value in before.unique() if isinstance(value, str)}
        if any(text != other for text, other in texts.items()):
            changed[name] = before.map(lambda value, texts=texts: texts.get(value, value))
    return frame.assign(**changed) if changed else frame


def put_parquet(frame: pd.DataFrame, path: Path) -> Path:
    with atomic_write(path) as temporary:
        texts = {name: "str" for name in frame.columns if frame[name].dtype == object}
        pq.write_table(
            pa.Table.from_pandas(
                frame.astype(texts), preserve_index=False
            ).replace_schema_metadata(),
            temporary,
        )
    return path


def put_texts(texts: Mapping[str, str], folder: Path) -> list[Path]:
    """Write texts by their names in a folder; their paths."""
    for name, text in texts.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def drawn_averages(averaged: Averaged | None, corner: str) -> Figure | None:
    """Return the figure of averaged weights; None where there are none."""
    if averaged is None or averaged.rows.empty:
        return None
    sweep = averaged.merged.sweep
    return figure_merged.draw(averaged.rows, sweep.measures, sweep.margin, corner)


def _console(content: Content, figure: Path) -> str:
    sweep = content.sweep
    lines = console(by_ratio(sweep, content.results))
    for point in sweep.gaps:
        reason = sweep.missing[point.run_id]
        lines.append(one_line(f"missing: {point.label}, run {point.run_id}: {reason}"))
    lines += [one_line(f"warning: {warning}") for warning in content.warnings]
    lines += ["", *paragraph(content.answer), ""]
    for line in besides(sweep, content.others):
        lines += [*paragraph(one_line(line)), ""]
    if content.averaged:
        lines += [*paragraph(f"averaged weights: {content.averaged.sentence}"), ""]
        missing = content.averaged.merged.missing
        lines += [one_line(f"missing average: {reason}") for reason in missing]
    lines += [f"page: {figure.with_name('report.html')}", f"figure: {figure}"]
    return "\n".join(lines)


def corner_of(sweep: Sweep, results: pd.DataFrame) -> str:
    """Return the short line of origin of a figure: the sweep, its seeds and questions, and the
    mark of its points.
    """
    runs = sweep.trained
    seeds = counted(len({point.seed for point in runs}), "seed")
    asked = int(pick(results, *leading(results).place)["n_questions"].max()) if runs else 0
    questions = counted(asked, "question")
    return f"{legible(sweep.name)} · {seeds} · {questions} · {sweep.fingerprint}"


def drawn(
    sweep: Sweep, results: pd.DataFrame, more: pd.DataFrame, training: Training | None, corner: str
) -> dict[str, Figure | None]:
    """Return the figures by the names of their files; None where nothing was recorded for one."""
    lacking = lacks_monolingual(results)
    return {
        "curve": figures.draw(sweep, results, corner),
        "languages": None if lacking else figure_languages.draw(sweep, results, corner),
        "pairs": figure_pairs.draw(sweep, results, corner),
        "bias": figure_bias.draw(sweep, results, corner),
        "bias-maps": figure_bias_maps.draw(sweep, results, corner),
        "front": None if lacking else figure_front.draw(sweep, results, more, corner),
        "shape": None if lacking else figure_shape.draw(sweep, results, more, corner),
        "training": figure_training.draw(training, corner) if training else None,
    }


def main_figure(sweep: Sweep, results: pd.DataFrame, corner: str) -> dict[str, Figure | None]:
    """Return the curve alone, as `drawn` does all figures."""
    return {"curve": figures.draw(sweep, results, corner)}


def write_one(
    sweep: Sweep,
    warnings: list[str],
    folder: Path,
    training: Training | None = None,
    merged: Merged | None = None,
    all_figures: bool = True,
) -> Report:
    """Return the report of a sweep on one collection, written into a folder, each file atomically.

    Args:
        sweep: what is reported.
        warnings: of its points.
        folder: where it is written.
        training: what its runs logged while training, for the figure of that name.
        merged: averages of the weights of its points.
        all_figures: or the main ones alone.
    """
    results = aggregate(sweep)
    more = derived(sweep, results)
    told, others = findings(sweep, results, more), other_measures(sweep)
    warned = (*warnings, *guards.warnings(sweep, results))
    averaged = Averaged(merged, compare(merged)) if merged else None
    content = Content(sweep, results, more, answer(sweep, results), told, warned, others, averaged)
    texts = {
        "report.md": markdown(content),
        "report.html": html(content),
        "table.tex": latex(sweep, results),
    }
    with writing(folder):
        paths = (
            put_csv(results, folder / "results.csv"),
            put_parquet(results, folder / "results.parquet"),
            put_csv(more, folder / "derived.csv"),
            put_csv(others, folder / "measures.csv"),
            *_put_averaged(averaged, folder),
            *_put_figures(content, training, folder, all_figures),
            *put_texts(texts, folder),
        )
    return Report(
        answer=content.answer,
        console=_console(content, folder / "curve.png"),
        figure=folder / "curve.png",
        paths=paths,
        missing=sweep.gaps,
        warnings=content.warnings,
        results=results,
        exit_code=1 if sweep.missing else 0,
    )


def _put_averaged(averaged: Averaged | None, folder: Path) -> list[Path]:
    """Write merged.csv; one of an earlier report goes where there are no averages any more."""
    path = folder / "merged.csv"
    if averaged is None:
        path.unlink(missing_ok=True)
        return []
    return [put_csv(averaged.rows, path)]


def _put_figures(
    content: Content, training: Training | None, folder: Path, all_figures: bool
) -> list[Path]:
    """Write the figures, or the main ones alone (the curve, and averaged weights); one of an
    earlier report that is not drawn again belonged to other runs, and goes.
    """
    corner = corner_of(content.sweep, content.results)
    if not all_figures:
        main = main_figure(content.sweep, content.results, corner)
        main["merged"] = drawn_averages(content.averaged, corner)
        return save_all({name: sheet for name, sheet in main.items() if sheet}, folder)
    sheets = drawn(content.sweep, content.results, content.derived, training, corner)
    sheets["merged"] = drawn_averages(content.averaged, corner)
    figures = {name: figure for name, figure in sheets.items() if figure is not None}
    for name in sheets.keys() - figures.keys():
        for kind in ("png", "pdf", "svg"):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    return save_all(figures, folder)
