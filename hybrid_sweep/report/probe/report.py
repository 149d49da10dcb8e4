"""The weakness probe: which questions a higher ratio loses, which a model answers in one language
alone, with their texts.

After the idea of arXiv 2505.18673, for retrieval: there weak spots are searched for; here every
evaluated question is one. Everything derives from the per-query tables, and the texts from the
collection that the runs read. Nothing written holds a time, a machine or a path.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hybrid_sweep.report.load import Sweep, further, load, planned
from hybrid_sweep.report.probe.cells import Cells, Rule, best_ranks, cells_of
from hybrid_sweep.report.probe.console import console
from hybrid_sweep.report.probe.content import ProbeContent
from hybrid_sweep.report.probe.differences import differences
from hybrid_sweep.report.probe.export import lines, moved, uneven, write_lines
from hybrid_sweep.report.probe.page import markdown
from hybrid_sweep.report.probe.shared import shared
from hybrid_sweep.report.probe.texts import Record, SplitTexts, opened
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
    names = further(folders) if asked.on else []
    if asked.on and asked.on not in names:
        options = f"there are: {listed(names)}" if names else "there are none (eval.also)"
        raise UserError(
            f"--on {asked.on}: no point was evaluated on that; {options}", key="option.on"
        )
    sweep = load(folders, asked.on)
    warnings = [*check(sweep), *_clusters(sweep)]
    say(
        f"read {counted(len(sweep.finished), 'run')}; reading texts, testing by language, pair and"
        " kind of question"
    )
    cells = cells_of(sweep, best_ranks(sweep))
    # The cells have what is asked of the rows from here on, which would double the memory.
    sweep = dataclasses.replace(sweep, frame=sweep.frame.iloc[:0])
    ratio = _ratio(cells, asked.ratio)
    texts = _texts(sweep, folders, asked, how) if asked.texts else ""
    read, note = (texts, "") if isinstance(texts, SplitTexts) else (None, texts)
    table = differences(cells, cells.runs, asked.rule, _pools(sweep), _lengths(cells, read))
    together = shared(cells, cells.runs, asked.rule)
    content = ProbeContent(
        sweep=sweep,
        rule=asked.rule,
        ratio=ratio,
        table=table,
        together=together,
        records=_records(cells, ratio, asked, read),
        sentences=answer(table, together, ratio, asked.rule),
        warnings=warnings,
    )
    folder = (folders[0] / f"on-{asked.on}" if asked.on else folders[0]) / "probe"
    incomplete = bool(sweep.missing) and not asked.allow_missing
    return Probe(
        paths=_write(folder, content, markdown(content, _source(read, asked))),
        console=console(content, note, folder),
        table=table,
        exit_code=int(incomplete or bool(note)),
    )


def _clusters(sweep: Sweep) -> list[str]:
    """Return a warning where questions are in clusters, which a probe does not count."""
    if not sweep.clusters:
        return []
    return [
        "questions of this collection are in clusters, as those of a paragraph: the intervals and"
        " tests of a probe take them for independent, and are too narrow for that; those of report"
        " are over clusters"
    ]


def _source(texts: SplitTexts | None, asked: Asked) -> str:
    """Return where the texts are from; it names no path, which the reason for none may do."""
    if texts:
        return f"Texts: {texts.source()}."
    absent = "their collection was not at hand" if asked.texts else "not asked for"
    return f"No texts: {absent}."


def _records(
    cells: Cells, ratio: float, asked: Asked, texts: SplitTexts | None
) -> dict[str, list[Record]]:
    """Return the records of the .jsonl files, by name."""
    rule = asked.rule
    lost, gained = moved(cells, ratio, rule), moved(cells, ratio, rule, gained=True)
    weak = uneven(cells, ratio, rule)
    compared = {"ratio": ratio, "seeds": cells.common(ratio)}
    of_ratio = {"ratio": ratio, "seeds": list(cells.runs[ratio])}
    return {
        "lost": lines(lost, "lost", compared, texts, cells, asked.most),
        "gained": lines(gained, "gained", compared, texts, cells, asked.most),
        "weak": lines(weak, "weak", of_ratio, texts, cells, asked.most),
    }


def _ratio(cells: Cells, ratio: float | None) -> float:
    """Return the ratio of the examples."""
    if not cells.runs:
        raise UserError(
            "no trained point is finished: run the sweep first", key="probe.no_trained_point"
        )
    if ratio is None:
        return max(cells.runs)
    if round(ratio, 6) not in cells.runs:
        raise UserError(
            f"--ratio {ratio:g}: no finished point has it; there are: {listed(sorted(cells.runs))}",
            key="option.ratio",
        )
    return round(ratio, 6)


def _texts(
    sweep: Sweep, folders: Sequence[Path], asked: Asked, how: Callable[["DataConfig"], str]
) -> SplitTexts | str:
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
    for point in sweep.finished:
        passages = sweep.metrics[point.run_id].get("passages")
        if isinstance(passages, dict):
            return passages
    return {}


def _lengths(cells: Cells, texts: SplitTexts | None) -> dict[str, int]:
    """Return the length in characters of each query by id; {} without texts."""
    lengths: dict[str, int] = {}
    queries = texts.queries(cells.questions) if texts else {}
    for rows in queries.values():
        lengths |= {row["id"]: len(row["text"]) for row in rows}
    return lengths


def _write(folder: Path, content: ProbeContent, page: str) -> tuple[Path, ...]:
    tables = {"probe.csv": content.table, "shared.csv": content.together}
    try:
        for name, frame in tables.items():
            with atomic_write(folder / name) as path:
                inert(frame).to_csv(path, index=False, lineterminator="\n")
        for name, records in content.records.items():
            write_lines(folder / f"{name}.jsonl", records)
        with atomic_write(folder / "probe.md") as path:
            path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"the probe cannot be written into {folder}: {error.strerror or error}",
            key="probe.unwritable",
        ) from error
    names = ["probe.md", *tables, *(f"{name}.jsonl" for name in content.records)]
    return tuple(folder / name for name in names)
