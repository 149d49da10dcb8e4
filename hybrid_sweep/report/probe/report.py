"""The weakness probe: which questions a higher ratio loses, which a model answers in one language
alone, with their texts.

After the idea of arXiv 2505.18673, for retrieval: there weak spots are searched for; here every
evaluated question is one. Everything derives from the per-query tables, and the texts from the
collection that the runs read. Nothing written holds a time, a machine or a path.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hybrid_sweep.report.load import Sweep, further, load, planned
from hybrid_sweep.report.probe.cells import Cells, Rule, best_ranks, cells
from hybrid_sweep.report.probe.console import console
from hybrid_sweep.report.probe.differences import differences
from hybrid_sweep.report.probe.export import lines, moved, uneven, write_lines
from hybrid_sweep.report.probe.page import markdown
from hybrid_sweep.report.probe.shared import shared
from hybrid_sweep.report.probe.texts import Record, Texts, opened
from hybrid_sweep.report.probe.words import answer
from hybrid_sweep.report.render.numbers import counted, listed
from hybrid_sweep.report.report_files import inert
from hybrid_sweep.report.settings import check
from hybrid_sweep.utils import safe_paths
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_write

if TYPE_CHECKING:
    from hybrid_sweep.config.schema import DataConfig


@dataclass(frozen=True)
class Asked:
    """What the user asks for.

    ratio: of the answer and of the examples; None: the highest. The tables, and so the tests, have
    every ratio whatever is asked. on: a further collection. texts: whether texts are wanted.
    collection: folder of a built collection. most: relevant passages of a question.
    """

    rule: Rule = field(default_factory=Rule)
    ratio: float | None = None
    on: str = ""
    allow_missing: bool = False
    texts: bool = True
    collection: Path | None = None
    most: int = 20


@dataclass(frozen=True)
class Probe:
    """What was written and what to print; exit_code is 1 if points, or texts that were wanted, are
    missing.
    """

    console: str
    paths: tuple[Path, ...]
    table: pd.DataFrame
    exit_code: int


def write_probe(
    sweep_dirs: Sequence[Path],
    asked: Asked | None = None,
    how: Callable[["DataConfig"], str] = lambda data: data.name,
    say: Callable[[str], None] = lambda line: None,
) -> Probe:
    """Probe the points of one or more sweeps together, and write into the folder probe of the
    first, each file atomically.

    how: the command that prepares a collection, for the line that says texts are missing. say:
    hears what is done. Raises UserError where a folder is no sweep, nothing is finished, the points
    cannot be compared, the ratio or the further collection is not there, or the collection at hand
    is another build than the runs read.
    """
    asked = asked or Asked()
    folders = [Path(path) for path in sweep_dirs]
    safe_paths.check_links(folders[0].resolve())  # where it is written
    if asked.on and asked.on not in (names := further(folders)):
        known = f"there are: {listed(names)}" if names else "there are none (eval.also)"
        raise UserError(
            f"--on {asked.on}: no point was evaluated on that; {known}", key="option.on"
        )
    sweep = load(folders, asked.on)
    warnings = check(sweep)
    say(
        f"read {counted(len(sweep.finished), 'run')}; reading texts, testing by language, pair and"
        " kind of question"
    )
    found = cells(sweep, best_ranks(sweep))
    ratios, ratio = list(found.runs), _ratio(found, asked.ratio)
    texts = _texts(sweep, folders, asked, how) if asked.texts else ""
    read, note = (texts, "") if isinstance(texts, Texts) else (None, texts)
    # The page names no path, which the reason may do.
    absent = "their collection was not at hand" if asked.texts else "not asked for"
    source = f"Texts: {read.source()}." if read else f"No texts: {absent}."
    table = differences(found, ratios, asked.rule, _pools(sweep), _lengths(found, read))
    together = shared(found, ratios, asked.rule)
    head = {"ratio": ratio, "seeds": found.common(ratio)}
    of_ratio = {"ratio": ratio, "seeds": list(found.runs[ratio])}
    records = {
        "lost": lines(moved(found, ratio, asked.rule), "lost", head, read, found, asked.most),
        "gained": lines(
            moved(found, ratio, asked.rule, gained=True), "gained", head, read, found, asked.most
        ),
        "weak": lines(uneven(found, ratio, asked.rule), "weak", of_ratio, read, found, asked.most),
    }
    said = answer(table, together, ratio, asked.rule)
    page = markdown(sweep, table, together, records, said, ratio, asked.rule, source, warnings)
    folder = (folders[0] / f"on-{asked.on}" if asked.on else folders[0]) / "probe"
    paths = _write(folder, {"probe.csv": table, "shared.csv": together}, records, page)
    incomplete = bool(sweep.missing) and not asked.allow_missing
    return Probe(
        console=console(sweep, table, said, records, warnings, note, folder, ratio),
        paths=paths,
        table=table,
        exit_code=int(incomplete or bool(note)),
    )


def _ratio(found: Cells, ratio: float | None) -> float:
    """Return the ratio of the examples."""
    if not found.runs:
        raise UserError(
            "no trained point is finished: run the sweep first", key="probe.no_trained_point"
        )
    if ratio is None:
        return max(found.runs)
    if round(ratio, 6) not in found.runs:
        raise UserError(
            f"--ratio {ratio:g}: no finished point has it; there are: {listed(sorted(found.runs))}",
            key="option.ratio",
        )
    return round(ratio, 6)


def _texts(
    sweep: Sweep, folders: Sequence[Path], asked: Asked, how: Callable[["DataConfig"], str]
) -> Texts | str:
    """Return the texts that the trained points were evaluated on, or why they are not at hand."""
    point = next(point for point in sweep.finished if point.kind == "trained")
    *_, run_dirs = planned(folders, asked.on)
    marks: Mapping[str, Any] = sweep.provenance[point.run_id].get("fingerprints") or {}
    mark = sweep.metrics[point.run_id].get("fingerprint") if asked.on else marks.get("collection")
    return opened(run_dirs[point], asked.on, str(mark or ""), asked.collection, how)


def _pools(sweep: Sweep) -> dict[str, int]:
    """Return the number of passages by language, "*" for all, as a run recorded it; {} where none
    did.
    """
    recorded = (sweep.metrics[point.run_id].get("passages") for point in sweep.finished)
    return next((found for found in recorded if isinstance(found, dict)), {})


def _lengths(found: Cells, texts: Texts | None) -> dict[str, int]:
    """Return the length in characters of each query by id; {} without texts."""
    queries = texts.queries(found.questions) if texts else {}
    return {row["id"]: len(row["text"]) for rows in queries.values() for row in rows}


def _write(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    records: Mapping[str, Sequence[Record]],
    page: str,
) -> tuple[Path, ...]:
    try:
        for name, frame in tables.items():
            with atomic_write(folder / name) as path:
                inert(frame).to_csv(path, index=False, lineterminator="\n")
        for name, found in records.items():
            write_lines(folder / f"{name}.jsonl", found)
        with atomic_write(folder / "probe.md") as path:
            path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"the probe cannot be written into {folder}: {error.strerror or error}",
            key="probe.unwritable",
        ) from error
    return tuple(
        folder / name for name in ("probe.md", *tables, *(f"{name}.jsonl" for name in records))
    )
