"""The verb report on several sweeps over a setting in which they differ."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hybrid_sweep.utils.arguments import Parser, say


def report(words: list[str], check: Callable[[Sequence[Path]], None]) -> int:
    """Report sweeps over a setting, at each ratio, and return the exit code.

    Args:
        words: the options and folders that were typed.
        check: refuses what is no folder of a sweep.
    """
    parser = Parser("report")
    parser.add_argument("sweep_dirs", nargs="+", metavar="SWEEP_DIR", type=Path)
    parser.add_argument("--axis", required=True, metavar="KEY")
    parser.add_argument("--baseline", metavar="LEVEL")
    parser.add_argument("--measure", metavar="NAME")
    parser.add_argument("--clusters", metavar="FILE")
    parser.add_argument("--seeds-planned", type=int, metavar="N")
    parser.add_argument("--looks", metavar="N,N,...")
    parser.add_argument("--allow-missing", action="store_true")
    parser.add_argument("--out", metavar="DIR", type=Path)
    args = parser.parse_intermixed_args(words)
    check(args.sweep_dirs)
    from hybrid_sweep.commands.report_foreign import looks_of
    from hybrid_sweep.report.cluster_files import AS_KEPT, chosen
    from hybrid_sweep.report.foreign.axis import axis_of
    from hybrid_sweep.report.foreign.report import TableRequest, write_foreign
    from hybrid_sweep.report.merged.load import left_out

    told = looks_of(args.seeds_planned, args.looks)
    axis = axis_of(args.sweep_dirs, args.axis, args.measure, chosen(args.clusters))
    looks = told or axis.looks
    asked = TableRequest(
        args.axis, args.baseline, args.measure, axis.margin, AS_KEPT, looks, axis.clusters
    )
    folder = args.out or args.sweep_dirs[0] / f"by-{args.axis}"
    say(write_foreign(axis.rows, asked, folder))
    note = left_out(args.sweep_dirs)
    if note:
        say(note)
    for line in axis.missing:
        say(f"missing: {line}")
    if axis.missing and not args.allow_missing:
        return 1
    return 0
