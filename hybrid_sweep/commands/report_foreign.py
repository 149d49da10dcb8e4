"""The verb report on other people's systems: a table of theirs, or their run files."""

import csv
import dataclasses
import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid_sweep.utils.arguments import Parser, say
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.names import is_folder_name

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_sweep.report.looks import Looks

# Where the name of a run file tells its ratio and its seed, as in r0.5_s3.trec or ratio=0.5,seed=3.
NUMBER = r"[0-9]+(?:\.[0-9]+)?"
RATIO = re.compile(rf"(?:^|[^a-zA-Z])(?:ratio|r)[=_-]?({NUMBER})(?![0-9])")
SEED = re.compile(r"(?:^|[^a-zA-Z])(?:seed|s)[=_-]?([0-9]+)(?![0-9.]*[0-9])")


def report(words: list[str]) -> int:
    """Report a table, or run files, and return the exit code."""
    parser = Parser("report")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--table", action="append", default=[], metavar="FILE", type=Path)
    parser.add_argument("--runs", action="append", default=[], metavar="GLOB")
    parser.add_argument("--collection", metavar="NAME")
    parser.add_argument("--labels", metavar="FILE", type=Path)
    parser.add_argument("--factor", metavar="COLUMN")
    parser.add_argument("--baseline", metavar="LEVEL")
    parser.add_argument("--measure", metavar="NAME")
    parser.add_argument("--margin", type=float)
    parser.add_argument("--clusters", metavar="FILE")
    parser.add_argument("--seeds-planned", type=int, metavar="N")
    parser.add_argument("--looks", metavar="N,N,...")
    parser.add_argument("--out", metavar="DIR", type=Path)
    args = parser.parse_intermixed_args(words)
    if args.margin is not None and not 0 <= args.margin < float("inf"):
        raise UserError(f"--margin {args.margin}: must be 0 or more", key="option.margin")
    if bool(args.table) == bool(args.runs):
        raise UserError("give --table or --runs, not both", key="option.table")
    from hybrid_sweep.report.cluster_files import chosen
    from hybrid_sweep.report.foreign.report import TableRequest, write_foreign
    from hybrid_sweep.report.foreign.rows import read

    clusters = chosen(args.clusters)
    looks = looks_of(args.seeds_planned, args.looks)
    asked = TableRequest(args.factor, args.baseline, args.measure, args.margin, clusters, looks)
    if args.table:
        _refuse_words(args.overrides, args.collection, args.labels)
        rows = read(args.table)
        name = args.table[0].resolve().stem
    else:
        rows = _scored(args.runs, args.collection, args.labels, args.overrides)
        origin = f"known of the collection {args.collection}"
        asked = dataclasses.replace(asked, origin=origin)
        name = "runs"
    if not is_folder_name(name):
        name = "table"
    folder = args.out or Path("outputs") / "reports" / name
    say(write_foreign(rows, asked, folder))
    return 0


def looks_of(planned: int | None, taken: str | None) -> "Looks | None":
    """Return the planned number of seeds and the looks at fewer; None where neither is given."""
    from hybrid_sweep.report.looks import Looks

    if planned is None and taken is None:
        return None
    if planned is None:
        raise UserError(
            "--looks needs --seeds-planned N, the seeds of the last look", key="option.looks"
        )
    if planned < 1:
        raise UserError(f"--seeds-planned {planned}: must be 1 or more", key="option.looks")
    counts = []
    for word in taken.split(",") if taken else []:
        if not word.strip().isdecimal() or not 1 <= int(word) <= planned:
            raise UserError(
                f"--looks {taken}: must be numbers of seeds from 1 to {planned}, as 3,5",
                key="option.looks",
            )
        counts.append(int(word))
    return Looks(planned, tuple(sorted(set(counts))))


def _refuse_words(overrides: Sequence[str], collection: str | None, labels: Path | None) -> None:
    if overrides or collection or labels:
        given = [*overrides, *filter(None, [collection, labels and str(labels)])]
        raise UserError(
            f"{given[0]}: goes with --runs; a table has its values", key="option.no_effect"
        )


def _scored(
    patterns: Sequence[str], collection: str | None, labels: Path | None, overrides: Sequence[str]
) -> "pd.DataFrame":
    """Return tidy rows of run files: each scored on the collection, by the labels of its file, with
    the clusters of questions that the collection knows.

    Args:
        patterns: of the names of run files.
        collection: the name of what they are about.
        labels: a CSV file with a column file and others; None: ratio and seed are in the names.
        overrides: further words of the collection.
    """
    import pandas as pd

    from hybrid_sweep.commands.score_run import Scorer
    from hybrid_sweep.data.collection import ALONE
    from hybrid_sweep.data.datasets.sources import clusters_of
    from hybrid_sweep.report.foreign.rows import tidy

    if collection is None:
        raise UserError(
            "report --runs needs the collection that the runs are about: --collection NAME",
            key="run_file.no_collection",
        )
    files = sorted({Path(name) for pattern in patterns for name in glob.glob(pattern)})
    if not files:
        raise UserError(f"--runs {patterns[0]}: no file has such a name", key="run_file.missing")
    if labels is None:
        named = _of_names(files)
    else:
        named = _of_table(files, labels)
    scorer = Scorer([f"data={collection}", *overrides], say)
    parts = [tidy(scorer.scored(path)[0], named[path]) for path in files]
    rows = pd.concat(parts, ignore_index=True)
    clusters = clusters_of(scorer.collection, scorer.config.data.name)
    if clusters is not None and "cluster" not in rows.columns:
        alone = ALONE + rows["group"].astype(str)  # in no cluster
        rows["cluster"] = rows["group"].astype(str).map(clusters).fillna(alone)
    return rows


def _of_names(files: Sequence[Path]) -> dict[Path, dict[str, str]]:
    """Return the ratio and the seed in the name of each file, or of its folder."""
    named = {}
    for path in files:
        text = f"{path.parent.name}/{path.name}"
        ratio = RATIO.search(text)
        seed = SEED.search(text)
        if ratio is None or seed is None:
            lacking = "seed"
            if ratio is None:
                lacking = "ratio"
            raise UserError(
                f"{path}: its name has no {lacking}, as in r0.5_s3.trec; or give --labels FILE, a"
                " CSV with the columns file, seed and a factor",
                key="run_file.no_label",
            )
        named[path] = {"ratio": ratio[1], "seed": seed[1]}
    return named


def _of_table(files: Sequence[Path], labels: Path) -> dict[Path, dict[str, str]]:
    """Return what a CSV file says of each run file, by its name."""
    try:
        with open(labels, encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"{labels} cannot be read ({error})", key="table.unreadable") from error
    if not lines or "file" not in lines[0] or "seed" not in lines[0]:
        raise UserError(
            f"{labels}: must have the columns file, seed and a factor, and a line for each run",
            key="table.columns",
        )
    by_name = {str(line["file"]): line for line in lines}
    named = {}
    for path in files:
        line = by_name.get(path.name) or by_name.get(str(path))
        if line is None:
            raise UserError(f"{labels}: has no line for {path.name}", key="run_file.no_label")
        named[path] = {str(name): str(value) for name, value in line.items() if name != "file"}
    return named
