"""The program: what each verb is, and what its mistakes become.

Heavy imports wait inside the verbs: help answers at once.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hybrid_sweep.commands import completion, data_verbs, report_verbs, sweep_verbs, usage
from hybrid_sweep.utils.arguments import Parser, open_streams, say, unread
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.escaping import one_line
from hybrid_sweep.utils.redaction import redacted

LONGEST = 1500  # characters of an error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program on these words (default: those of the process) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    open_streams()
    try:
        return _dispatch(words)
    except UserError as error:
        if os.environ.get("HYBRID_SWEEP_DEBUG") == "1":
            raise
        print(f"error: {_cut(one_line(redacted(str(error))))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `... | head`: nobody reads on, which is no error
        unread(sys.stdout)
        return 0
    except OSError as error:
        if os.environ.get("HYBRID_SWEEP_DEBUG") == "1":
            raise
        told = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        print(f"error: {_cut(one_line(redacted(told)))}", file=sys.stderr)
        return 1


def _cut(text: str) -> str:
    """Leave out the middle of a line that nobody would read to its end: a value from a file may
    have any length.
    """
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST * 3 // 4]} … {text[-LONGEST // 4 :]}"


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage.PROGRAM, end="")
        return 0
    if words[0] in ("--version", "-V", "version"):
        from hybrid_sweep import __version__

        print(f"hybrid-sweep {__version__}")
        return 0
    verbs: dict[str, tuple[str, Callable[[list[str]], int]]] = {
        "run": (usage.RUN, sweep_verbs.run),
        "plan": (usage.PLAN, sweep_verbs.plan),
        "report": (usage.REPORT, report_verbs.report),
        "probe": (usage.PROBE, report_verbs.probe),
        "merge": (usage.MERGE, _merge),
        "freeze": (usage.FREEZE, report_verbs.freeze),
        "data": (usage.DATA, data_verbs.data),
        "evaluate": (usage.EVALUATE, _evaluate),
        "mine": (usage.MINE, _mine),
        "wandb": (usage.WANDB, _wandb),
        "dashboard": (usage.DASHBOARD, _dashboard),
        "push": (usage.PUSH, _push),
        "completion": (usage.COMPLETION, lambda given: completion.completion(given, helps)),
    }
    helps = {name: text for name, (text, _) in verbs.items()}
    if words[:2] == ["completion", completion.QUERY]:  # its words are those of another line
        return verbs["completion"][1](words[1:])
    completion.refuse_hydras(words)
    if words[0] not in verbs:
        from hybrid_sweep.config.validate import nearest

        raise UserError(
            f"unknown verb {words[0]!r}; {nearest(words[0], list(verbs))}",
            key="command.verb_unknown",
        )
    text, verb = verbs[words[0]]
    if {"-h", "--help"} & set(words[1:]) or words[1:] == ["help"]:
        print(text, end="")
        return 0
    return verb(words[1:])


def _evaluate(words: list[str]) -> int:
    if not words:
        raise UserError(
            "evaluate needs RUN_DIR or model.path=DIR; hybrid-sweep evaluate --help has examples",
            key="command.words_missing",
        )
    if any(word.startswith("run=") for word in words):
        from hybrid_sweep.commands.score_run import score_words

        say(score_words(words, say))
        return 0
    from hybrid_sweep.commands.evaluate import evaluate_words

    say(evaluate_words(words))
    return 0


def _mine(words: list[str]) -> int:
    parser = Parser("mine")
    parser.add_argument("words", nargs="+", metavar="WORD")
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--to", type=int, default=50, dest="last")
    parser.add_argument("--margin", type=float)
    parser.add_argument("--pool", default="")
    args = parser.parse_intermixed_args(words)
    from hybrid_sweep.config.words import is_override

    *folder, target = [word for word in args.words if not is_override(word)] or [""]
    if not target or len(folder) > 1:
        raise UserError(
            "mine needs RUN_DIR and FILE, or FILE and model words; hybrid-sweep mine --help has"
            " examples",
            key="command.words_missing",
        )
    from hybrid_sweep.commands.mine import Wanted, mine_words

    given = [*folder, *filter(is_override, args.words)]
    if not given:
        raise UserError(
            f"mine writes to FILE ({target}), but which model? Give RUN_DIR before it, or"
            " model.path=DIR",
            key="command.model_missing",
        )
    pool = tuple(args.pool.split(",")) if args.pool else ()
    wanted = Wanted(args.first, args.last, args.margin, pool)
    say(mine_words(given, Path(target), wanted, say))
    return 0


def _merge(words: list[str]) -> int:
    parser = Parser("merge")
    parser.add_argument("sweep_dir", metavar="SWEEP_DIR", type=Path)
    parser.add_argument("words", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--alpha")
    parser.add_argument("--of")
    parser.add_argument("--uniform", action="store_true")
    parser.add_argument("--seeds")
    parser.add_argument("--keep-models", action="store_true", dest="keep")
    args = parser.parse_intermixed_args(words)
    report_verbs.check_sweeps([args.sweep_dir])
    from hybrid_sweep.commands import merge

    asked = merge.MergeRequest(
        mixtures=merge.mixtures(args.of or merge.PARENTS, args.alpha, uniform=args.uniform),
        seeds=merge.seeds_of(args.seeds),
        words=merge.settings_of(args.words),
        keep=args.keep,
    )
    with sweep_verbs.terminable():
        return merge.merge(args.sweep_dir, asked)


def _wandb(words: list[str]) -> int:
    parser = Parser("wandb")
    parser.add_argument("action", choices=["push"])
    parser.add_argument("sweep_dir", metavar="SWEEP_DIR", type=Path)
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--project")
    parser.add_argument("--entity")
    args = parser.parse_args(words)
    from hybrid_sweep.commands.wandb_push import push

    say(
        push(
            args.sweep_dir, offline=args.offline, project=args.project, entity=args.entity, say=say
        )
    )
    return 0


def _dashboard(words: list[str]) -> int:
    parser = Parser("dashboard")
    parser.add_argument("sweep_dir", metavar="SWEEP_DIR", type=Path)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--project")
    parser.add_argument("--entity")
    args = parser.parse_args(words)
    from hybrid_sweep.commands.dashboard import DashboardRequest, dashboard

    asked = DashboardRequest(args.report, args.dry_run, args.project, args.entity)
    say(dashboard(args.sweep_dir, asked))
    return 0


def _push(words: list[str]) -> int:
    from hybrid_sweep.commands import push

    return push.run_words(words)
