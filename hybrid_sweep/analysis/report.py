"""The report of a sweep: results.csv and .parquet, curve.png and .pdf, report.md, report.html and table.tex in its folder.

What its points scored on further collections (eval.also) is reported in the same way, each in a folder on-NAME.
Everything derives from the per-query tables; nothing written holds a time, a machine or a path, so that the same runs
give the same results.csv anywhere.
"""

import dataclasses
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_sweep.analysis import figures
from hybrid_sweep.analysis.answer import MONO, answer, counted
from hybrid_sweep.analysis.html import html
from hybrid_sweep.analysis.latex import latex
from hybrid_sweep.analysis.markdown import HEADER, by_ratio, flatten, label, markdown, trained
from hybrid_sweep.analysis.results import aggregate, pick
from hybrid_sweep.analysis.table import Point, Sweep, further, load
from hybrid_sweep.config import SCHEMAS, Config
from hybrid_sweep.errors import UserError
from hybrid_sweep.store import atomic_write, digest

VARIED = ["batch.cross_lingual_ratio", "seed"]  # what a sweep varies on purpose
# What changes a run by rounding at most: worth a warning, not a refusal.
MACHINE = [
    "trainer.accelerator",
    "trainer.devices",
    "trainer.nodes",
    "trainer.precision",
    "trainer.threads",
    "eval.batch_tokens",
]


@dataclass(frozen=True)
class Report:
    """What was written and what to print.

    `console` is the table, what is missing, the warnings, the answer and the path of the figure, of each collection.
    `exit_code` is 1 if points are missing, or a further collection has no report, and that was not allowed, else 0.
    All other fields are those of the collection that was trained on.
    """

    answer: str
    console: str
    figure: Path
    paths: tuple[Path, ...]
    missing: tuple[Point, ...]
    warnings: tuple[str, ...]
    results: pd.DataFrame
    exit_code: int


def _aside(node: Any, prefix: str = "") -> set[str]:
    """The keys that the schema declares unable to change the numbers of a run."""
    keys = set()
    for item in dataclasses.fields(node):
        value, key = getattr(node, item.name), f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            keys |= _aside(value, key + ".")
        elif not item.metadata.get("identity", True):
            keys.add(key)
    return keys


def _matters(key: str) -> bool:
    """Whether a key of a stored config can change the numbers of a run."""
    aside = _aside(Config()).union(*(_aside(kind(), "data.") for kind in SCHEMAS["data"].values()))
    part = key.split(".", 2)
    if part[0] == "more" and len(part) == 3:
        key = f"data.{part[2]}"
    return key not in aside and not key.startswith("eval.also.")


def _different(records: Iterable[dict[str, Any]]) -> dict[str, str]:
    """The flattened keys that have several values among the records that hold them, with these values."""
    flat = [flatten(record) for record in records]
    values = {key: sorted({record[key] for record in flat if key in record}) for key in sorted(set().union(*flat))}
    return {key: " / ".join(found[:4]) for key, found in values.items() if len(found) > 1}


def compare(sweep: Sweep) -> list[str]:
    """Warnings about points that were not made alike; raises UserError where a difference would pass for an effect of r."""
    config = _different(sweep.config[point.run_id] for point in trained(sweep))
    config = {key: values for key, values in config.items() if key not in VARIED and _matters(key)}
    for key, values in config.items():
        if key not in MACHINE:
            raise UserError(
                f"the points differ in {key} ({values}), not only in ratio and seed: report one setting at a time"
            )
    made = [sweep.provenance[point.run_id] for point in sweep.finished]
    marks = [
        # BM25 is another model by its nature, and reads the main collection alone.
        {key: value for key, value in (record.get("fingerprints") or {}).items() if key == "collection" or not lexical}
        for record, lexical in zip(made, (point.kind == "bm25" for point in sweep.finished), strict=True)
    ]
    measured = [sweep.metrics[point.run_id] for point in sweep.finished]
    marks += [{"further collection": found["fingerprint"]} for found in measured if "fingerprint" in found]
    for key, values in _different(marks).items():
        raise UserError(
            f"the points differ in their {key} ({values}): bring the sweep up to date, or report them apart"
        )
    mixed = {
        "machine settings": config,
        "package versions": _different(record.get("versions") or {} for record in made),
        "states of the code": _different(record.get("git") or {} for record in made),
    }
    warnings = [
        f"the points mix {what}: " + "; ".join(f"{key} {values}" for key, values in list(found.items())[:6])
        for what, found in mixed.items()
        if found
    ]
    if any((record.get("git") or {}).get("dirty") for record in made):
        warnings.append("some points were made with changes to the code that are not committed")
    return warnings


def _console(sweep: Sweep, results: pd.DataFrame, said: str, warnings: list[str], figure: Path) -> str:
    rows = [HEADER, *by_ratio(sweep, results)]
    kept = [i for i in range(len(HEADER)) if any(row[i] for row in rows[1:])]
    width = {i: max(len(row[i]) for row in rows) for i in kept}
    words = {HEADER.index(name) for name in ("r", "change to r = 0 [90 %]", "verdict")}
    lines = [
        "  ".join(row[i].ljust(width[i]) if i in words else row[i].rjust(width[i]) for i in kept).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    for point in sweep.points:
        if point.run_id in sweep.missing:
            lines.append(f"missing: {label(point)}, run {point.run_id}: {sweep.missing[point.run_id]}")
    lines += [f"warning: {warning}" for warning in warnings]
    return "\n".join(
        [*lines, "", *textwrap.wrap(said, 110), "", f"page: {figure.with_name('report.html')}", f"figure: {figure}"]
    )


def write_report(sweep_dirs: Sequence[Path], *, allow_missing: bool = False) -> Report:
    """Analyse the points of one or more sweeps together and write the report into the first folder, each file atomically.

    Raises UserError where a folder is no sweep, nothing is finished, the points cannot be compared, or the folder cannot
    be written. What would be an error on a further collection is a line of the console, since the others have reports.
    """
    folders = [Path(path) for path in sweep_dirs]
    report = _write(load(folders), folders[0])
    console, code = [report.console], report.exit_code
    for name in further(folders):
        console += ["", f"--- on {name} ---", ""]
        try:
            found = _write(load(folders, name), folders[0] / f"on-{name}")
        except UserError as error:
            console.append(f"no report: {error}")
            code = 1
        else:
            console.append(found.console)
            code = max(code, found.exit_code)
    return dataclasses.replace(report, console="\n".join(console), exit_code=0 if allow_missing else code)


def _write(sweep: Sweep, folder: Path) -> Report:
    """The report of a sweep on one collection, written into a folder."""
    warnings = compare(sweep)
    results = aggregate(sweep)
    said = answer(sweep, results)
    fingerprint = digest(sorted(point.run_id for point in sweep.finished), 8)
    seeds = counted(len({point.seed for point in trained(sweep)}), "seed")
    questions = counted(int(pick(results, *MONO)["n_questions"].max()) if trained(sweep) else 0, "question")
    texts = {
        "report.md": markdown(sweep, results, said, warnings, fingerprint),
        "report.html": html(sweep, results, said, warnings, fingerprint),
        "table.tex": latex(sweep, results),
    }
    try:
        with atomic_write(folder / "results.csv") as path:
            results.to_csv(path, index=False, lineterminator="\n")
        with atomic_write(folder / "results.parquet") as path:
            pq.write_table(pa.Table.from_pandas(results, preserve_index=False).replace_schema_metadata(), path)
        png, pdf = figures.save(
            figures.draw(sweep, results, f"{sweep.name} · {seeds} · {questions} · {fingerprint}"), folder
        )
        for name, text in texts.items():
            with atomic_write(folder / name) as path:
                path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"the report cannot be written into {folder}: {error.strerror or error}") from error
    return Report(
        answer=said,
        console=_console(sweep, results, said, warnings, png),
        figure=png,
        paths=(folder / "results.csv", folder / "results.parquet", png, pdf, *(folder / name for name in texts)),
        missing=tuple(point for point in sweep.points if point.run_id in sweep.missing),
        warnings=tuple(warnings),
        results=results,
        exit_code=1 if sweep.missing else 0,
    )
