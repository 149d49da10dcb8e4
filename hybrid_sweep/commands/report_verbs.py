"""The verbs that read what runs have left: report, probe and freeze. None of them imports torch."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_sweep.commands import report_published
from hybrid_sweep.utils.arguments import Parser, say
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.slow_note import slow_note

if TYPE_CHECKING:
    from hybrid_sweep.utils import plan_log

SWEEPS = Path("outputs", "sweeps")  # where sweeps are unless paths.outputs says otherwise


def check_sweeps(sweep_dirs: Sequence[Path], published: bool = False) -> None:
    """Raise UserError for a folder that holds no sweep, or a published one where that will not
    do.
    """
    for folder in sweep_dirs:
        if (folder / "runs.json").is_file():
            if published:
                continue
            raise UserError(
                f"{folder}: a published sweep, without the files of its runs; its whole report:"
                f" hybrid-sweep report {shlex.quote(str(folder))}",
                key="sweep.published",
            )
        if not (folder / "points.json").is_file():
            from hybrid_sweep.config.validate import nearest

            names = sorted(
                path.parent.name for path in folder.absolute().parent.glob("*/points.json")
            )
            hint = "; hybrid-sweep run -m makes one"
            if names:
                hint = f"; {nearest(folder.name, names)}"
            usual = SWEEPS / folder.name
            if (usual / "points.json").is_file():
                hint = f"; did you mean {usual}?"
            raise UserError(f"{folder}: no sweep there (no points.json){hint}", key="sweep.missing")


def report(words: list[str]) -> int:
    if {word.partition("=")[0] for word in words} & {"--table", "--runs"}:
        from hybrid_sweep.commands import report_foreign

        return report_foreign.report(words)
    if "--axis" in {word.partition("=")[0] for word in words}:
        from hybrid_sweep.commands import report_axis

        return report_axis.report(words, check_sweeps)
    parser = Parser("report")
    parser.add_argument("sweep_dirs", nargs="+", metavar="SWEEP_DIR", type=Path)
    parser.add_argument("--measure", metavar="NAME")
    parser.add_argument("--clusters", metavar="FILE")
    parser.add_argument("--allow-missing", action="store_true")
    parser.add_argument("--out", metavar="DIR", type=Path)
    args = parser.parse_args(words)
    check_sweeps(args.sweep_dirs, published=True)
    from hybrid_sweep.report.cluster_files import chosen

    if any(report_published.is_published(folder) for folder in args.sweep_dirs):
        options = report_published.ReportOptions(
            args.allow_missing, args.measure, chosen(args.clusters)
        )
        return report_published.report(args.sweep_dirs, args.out, options)
    if args.out is not None:
        raise UserError(
            "--out is for published sweeps, --table and --runs: the report of a sweep is written"
            " into its own folder",
            key="option.out",
        )
    from hybrid_sweep.report.report import write_report

    with slow_note("reading rows, testing, drawing figures: up to minutes for many languages"):
        made = write_report(
            args.sweep_dirs,
            allow_missing=args.allow_missing,
            measure=args.measure,
            clusters=chosen(args.clusters),
        )
    say(made.console)
    if len(args.sweep_dirs) == 1 and args.measure is None:
        from hybrid_sweep.commands import wandb_sweep

        wandb_sweep.after_report(args.sweep_dirs[0], made)
    more_seeds = len(args.sweep_dirs) == 1 and made.more_seeds
    for hint in _next_commands(args.sweep_dirs, made.missing, more_seeds):
        say(hint)
    return made.exit_code


def _next_commands(
    sweep_dirs: Sequence[Path], missing: Sequence[Any], more_seeds: bool
) -> list[str]:
    """Return what to try after a report; after one of several sweeps, only what runs the missing
    points of each.
    """
    if len(sweep_dirs) == 1:
        hints = [_next_command(sweep_dirs[0], bool(missing), more_seeds)]
    else:
        from hybrid_sweep.utils import records

        gone = {point.run_id for point in missing}
        plans = {folder: records.points(folder)["points"] for folder in sweep_dirs}
        hints = [
            _next_command(folder, True, False)
            for folder, points in plans.items()
            if gone & {row["run_id"] for row in points}
        ]
    return [hint for hint in dict.fromkeys(hints) if hint]


def _next_command(sweep_dir: Path, missing: bool, more_seeds: bool) -> str:
    """Return what to try after a report: the missing points, or two more seeds; empty where neither
    helps or no command is known.
    """
    from hybrid_sweep.config.words import without
    from hybrid_sweep.utils import records

    plan = records.points(sweep_dir)
    words = _safe_words(plan.get("command", ""))
    seeds = [point["seed"] for point in plan["points"]]
    if words[:2] != ["hybrid-sweep", "run"] or not {"-m", "--multirun"} & set(words) or not seeds:
        return ""
    if missing:
        return f"next: {shlex.join(words)}    (runs what is missing)"
    own = {point["seed"] for point in plan["points"] if point["kind"] == "trained"}
    log = _log(sweep_dir)
    planned = log.seeds_planned or 0
    if log.plans and log.plans[-1].sequential:
        goes_on = f"next: {shlex.join(words)}    (goes on until the verdicts are settled)"
        if more_seeds and len(own) < planned:
            return goes_on
        return ""
    if len(own) < planned:
        left = [str(max(own) + 1 + place) for place in range(planned - len(own))]
        more = [*without(words, "seed"), f"seed={','.join(left)}"]
        return f"next: {shlex.join(more)}    (the planned seeds that are left)"
    if not more_seeds:
        return ""
    more = [
        *without(words, "seed"),
        f"seed={max(seeds) + 1},{max(seeds) + 2}",
    ]
    return (
        f"next: {shlex.join(more)}    (two more seeds, which were not planned: the report will say"
        " so)"
    )


def _log(sweep_dir: Path) -> "plan_log.Log":
    """Return the record of the plan of a sweep; an empty one where it cannot be read, which the
    report says.
    """
    from hybrid_sweep.utils import plan_log

    try:
        return plan_log.read(sweep_dir)
    except UserError:
        return plan_log.Log()


def _safe_words(command: str) -> list[str]:
    """Return the words of a stored command that may be advised; [] where it would permit what only
    a user may.
    """
    from hybrid_sweep.config.words import key_of

    try:
        words = shlex.split(command)
    except ValueError:
        return []
    keys = [key_of(word) for word in words]
    permits = (
        *("model.remote_code", "model.local_files_only", "trainer.loss", "trainer.callbacks"),
        *("hydra.", "hydra/", "--config", "-c"),
    )
    if any(key.startswith(permits) for key in keys):
        return []
    return words


def probe(words: list[str]) -> int:
    parser = Parser("probe")
    parser.add_argument("sweep_dirs", nargs="+", metavar="SWEEP_DIR", type=Path)
    parser.add_argument("--ratio", type=float)
    parser.add_argument("--at", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--passages", type=int, default=20)
    parser.add_argument("--on", default="", metavar="NAME")
    parser.add_argument("--collection", type=Path, metavar="DIR")
    parser.add_argument("--no-texts", action="store_true")
    parser.add_argument("--allow-missing", action="store_true")
    args = parser.parse_args(words)
    if args.at < 1:
        raise UserError(f"--at {args.at}: must be a rank, 1 or more", key="option.at")
    if args.passages < 0:
        raise UserError(f"--passages {args.passages}: must be 0 or more", key="option.passages")
    # Below a half a question could be answered and missed at once; at 1 it could be neither.
    if not 0.5 <= args.share < 1:
        raise UserError(
            f"--share {args.share:g}: must be from 0.5 to below 1 (0.99: all seeds agree)",
            key="option.share",
        )
    if args.no_texts and args.collection:
        raise UserError(
            "--collection is where texts are read, and --no-texts goes without: give one of them",
            key="option.collection",
        )
    check_sweeps(args.sweep_dirs)
    from hybrid_sweep.commands.data_verbs import preparing
    from hybrid_sweep.report.probe.cells import Rule
    from hybrid_sweep.report.probe.report import Asked, write_probe

    asked = Asked(
        rule=Rule(args.at, args.share),
        ratio=args.ratio,
        on=args.on,
        allow_missing=args.allow_missing,
        texts=not args.no_texts,
        collection=args.collection,
        most=args.passages,
    )
    made = write_probe(args.sweep_dirs, asked, preparing, say)
    say(made.console)
    return made.exit_code


def freeze(words: list[str]) -> int:
    parser = Parser("freeze")
    parser.add_argument("folders", nargs="+", metavar="FOLDER", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--against", action="append", default=[], metavar="FOLDER", type=Path)
    parser.add_argument("--rows-of", action="append", default=[], metavar="FOLDER", type=Path)
    parser.add_argument("--figures", action="store_true")
    args = parser.parse_args(words)
    from hybrid_sweep.report import publish

    beside = publish.Beside(tuple(args.against), tuple(args.rows_of), args.figures)

    if args.check:
        code = 0
        for folder in args.folders:
            lines = publish.differences(folder)
            say(
                f"{folder}: every table is what its per-query rows give"
                if not lines
                else "\n".join(lines)
            )
            code = max(code, bool(lines))
        return code
    if args.renew:
        for folder in args.folders:
            say(f"{folder}: {', '.join(publish.renew(folder, beside))}")
        return 0
    if len(args.folders) != 2:
        raise UserError(
            "freeze needs SWEEP_DIR and FOLDER; hybrid-sweep freeze --help has examples",
            key="command.words_missing",
        )
    sweep_dir, folder = args.folders
    check_sweeps([sweep_dir])
    say(f"{folder}: {', '.join(publish.freeze(sweep_dir, folder, beside))}")
    return 0
