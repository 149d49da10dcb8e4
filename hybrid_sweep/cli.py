"""The verbs of the program. Heavy imports wait inside them, so that help answers at once."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from hybrid_sweep import usage
from hybrid_sweep.errors import UserError

if TYPE_CHECKING:
    from hybrid_sweep.compose import Job
    from hybrid_sweep.config import DataConfig
    from hybrid_sweep.data.collection import Collection
    from hybrid_sweep.sweep import Point


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the words in one line, as all other errors here."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help has examples")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program on these words (default: those of the process) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except UserError as error:
        if os.environ.get("HYBRID_SWEEP_DEBUG") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `... | head`: nobody reads on, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if os.environ.get("HYBRID_SWEEP_DEBUG") == "1":
            raise
        print(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        return 1


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage.PROGRAM, end="")
        return 0
    if words[0] == "--version":
        from hybrid_sweep import __version__

        print(f"hybrid-sweep {__version__}")
        return 0
    verbs: dict[str, tuple[str, Callable[[list[str]], int]]] = {
        "run": (usage.RUN, _run),
        "plan": (usage.PLAN, _plan),
        "report": (usage.REPORT, _report),
        "data": (usage.DATA, _data),
        "evaluate": (usage.EVALUATE, _evaluate),
        "mine": (usage.MINE, _mine),
        "wandb": (usage.WANDB, _wandb),
        "dashboard": (usage.DASHBOARD, _dashboard),
    }
    if words[0] not in verbs:
        from hybrid_sweep.checks import nearest

        raise UserError(f"unknown verb {words[0]!r}; {nearest(words[0], list(verbs))}")
    text, verb = verbs[words[0]]
    if {"-h", "--help"} & set(words[1:]) or words[1:] == ["help"]:
        print(text, end="")
        return 0
    return verb(words[1:])


def _hydra_words(words: list[str]) -> tuple[argparse.Namespace, list[str], bool]:
    """Hydra's reading of the words, the words with its options first, and whether they ask for a run at all."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = _Parser(prog="hybrid-sweep run").error  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(words)
    for name in ("config_path", "config_name", "experimental_rerun"):
        if getattr(args, name) is not None:
            option = "--" + name.replace("_", "-")
            raise UserError(f"{option}: not for this program; put files of your own in a folder and use --config-dir")
    if args.config_dir is not None:
        if not Path(args.config_dir).is_dir():
            raise UserError(f"--config-dir {args.config_dir}: no such folder")
        args.config_dir = str(Path(args.config_dir).resolve())
    ordered = [*(word for word in words if word not in args.overrides), *args.overrides]
    return args, ordered, not (args.cfg or args.info or args.hydra_help or args.shell_completion)


def _jobs(args: argparse.Namespace) -> "list[Job]":
    from hybrid_sweep import compose

    return compose.points(args.overrides, multirun=args.multirun, search=args.config_dir)


def _check_gpus(args: argparse.Namespace, jobs: "list[Job]") -> None:
    """Refuse GPU points on a machine without enough GPUs, unless a cluster will run them."""
    from hybrid_sweep import compose, slots

    on_gpus = [config for _, config in jobs if config.trainer.accelerator == "gpu"]
    wanting = {(config.trainer.devices, config.sweep.gpus_per_run): config for config in on_gpus}
    if wanting and compose.launcher(args.overrides, search=args.config_dir) == "local":
        for config in wanting.values():
            slots.size(config, slots.this_machine([config], os.environ))


def _run(words: list[str]) -> int:
    args, ordered, runs = _hydra_words(words)
    if not runs:
        _hand_over(ordered)
        return 0
    from hybrid_sweep import progress, sweep

    with _terminable():
        jobs = _jobs(args)
        _check_gpus(args, jobs)
        for _, config in jobs:
            sweep.check_outputs(config)
        points = sweep.expand(jobs, _say)
        states = [sweep.state_of(point) for point in points]
        done = sum(state.name == "done" for state in states)
        plans = sweep.check(points) if done < len(points) else {}
        for note in sweep.record(points, shlex.join(["hybrid-sweep", "run", *words])):
            print(note)
        if done < len(points):
            lines = [*progress.plan_lines(points, states, plans), *progress.disk_lines(points)]
            print(*lines, sep="\n", flush=True)
            try:
                _hand_over(ordered)
            except KeyboardInterrupt:
                now = sum(sweep.is_done(point) for point in points)
                print(f"interrupted: {now}/{len(points)} done; the same command goes on from here", file=sys.stderr)
                raise
        return _summary(points, done)


def _hand_over(words: list[str]) -> None:
    """Let Hydra run the words as its own application; what its jobs raise has been recorded by then."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from hybrid_sweep import compose, config, launcher

    config.register()
    application = hydra.main(config_path=str(config.config_dir().resolve()), config_name="config", version_base="1.3")
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    # Hydra prints a trace and exits by itself otherwise; the errors are to come back here.
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = ["hybrid-sweep", *words], "1"
    try:
        application(launcher.task)()
    except launcher.PointFailed:
        pass  # its files tell; the summary reads them
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(compose.one_line(error)) from error
    except RuntimeError as error:
        if "Unknown plugin class" not in str(error):
            raise
        raise UserError("hydra/launcher=joblib: pip install 'hybrid-sweep[joblib]' first") from error
    finally:
        sys.argv = argv
        os.environ.pop("HYDRA_FULL_ERROR") if full is None else os.environ.update(HYDRA_FULL_ERROR=full)


def _summary(points: "Sequence[Point]", before: int) -> int:
    """Say what came of the points and what to do next; 1 where some have no result."""
    from hybrid_sweep import processes, progress, sweep

    states = [sweep.state_of(point) for point in points]
    missing = [(point, state) for point, state in zip(points, states, strict=True) if state.name != "done"]
    words = [f"{len(points) - len(missing)}/{len(points)} done" + (f" ({before} before)" if before else "")]
    words += [
        f"{count} {name}"
        for name in ("failed", "running elsewhere", "to do")
        if (count := sum(state.name == name for state in states))
    ]
    print(", ".join(words))
    if missing:
        logs = [processes.tail(point.run_dir / "log.txt") for point, _ in missing]
        print(*progress.failure_lines([point for point, _ in missing], [state for _, state in missing], logs), sep="\n")
        print("the same command tries these again, and only these")
    for folder in dict.fromkeys(point.sweep_dir for point in points):
        shown = os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)
        print(f"next: hybrid-sweep report {shlex.quote(shown)}{' --allow-missing' if missing else ''}")
    return 1 if missing else 0


def _plan(words: list[str]) -> int:
    args, _, runs = _hydra_words(words)
    if not runs:
        raise UserError("--cfg, --info and the like are for hybrid-sweep run")
    from hybrid_sweep import estimate, prepare, progress, stages, sweep
    from hybrid_sweep.config import SyntheticData

    jobs = _jobs(args)
    # Generated text takes no time; what must be fetched is left to the user's word.
    absent = [
        (each.data.name, _preparing(each.data))
        for _, config in jobs
        for each in (*prepare.configs_of(config).values(), *(stage.config for stage in stages.of(config, Path())[1:]))
        if not isinstance(each.data, SyntheticData) and not prepare.is_prepared(each)
    ]
    for name, how in dict.fromkeys(absent):
        number = progress.count(absent.count((name, how)))
        print(
            f"{number} on collection {name}, which is not prepared; their batches can be checked, "
            f"and their run ids are known, after\n  {how}"
        )
    if not absent:
        points = sweep.expand(jobs, _say)
        states = [sweep.state_of(point) for point in points]
        print(*progress.plan_lines(points, states, sweep.check(points)), *progress.disk_lines(points), sep="\n")
    if lines := estimate.lines([config for _, config in jobs]):
        print(*lines, sep="\n")
    return 0


def _report(words: list[str]) -> int:
    parser = _Parser(prog="hybrid-sweep report", add_help=False)
    parser.add_argument("sweep_dirs", nargs="+", metavar="SWEEP_DIR", type=Path)
    parser.add_argument("--allow-missing", action="store_true")
    args = parser.parse_args(words)
    for folder in args.sweep_dirs:
        if not (folder / "points.json").is_file():
            from hybrid_sweep.checks import nearest

            known = sorted(path.parent.name for path in folder.absolute().parent.glob("*/points.json"))
            hint = f"; {nearest(folder.name, known)}" if known else "; hybrid-sweep run -m makes one"
            raise UserError(f"{folder}: no sweep there (no points.json){hint}")
    from hybrid_sweep.analysis.report import write_report

    report = write_report(args.sweep_dirs, allow_missing=args.allow_missing)
    print(report.console)
    if len(args.sweep_dirs) == 1:
        from hybrid_sweep import wandb_sweep

        wandb_sweep.after_report(args.sweep_dirs[0], report)
    if hint := _next_command(args.sweep_dirs[0], bool(report.missing)):
        print(hint)
    return report.exit_code


def _next_command(sweep_dir: Path, missing: bool) -> str:
    """What to try after a report: the missing points, or two more seeds; empty where no command is known."""
    from hybrid_sweep.store import read_json

    known = read_json(sweep_dir / "points.json")
    words, seeds = shlex.split(known.get("command", "")), [point["seed"] for point in known.get("points", [])]
    if words[:2] != ["hybrid-sweep", "run"] or not {"-m", "--multirun"} & set(words) or not seeds:
        return ""
    if missing:
        return f"next: {shlex.join(words)}    (runs what is missing)"
    more = [*(word for word in words if not word.startswith("seed=")), f"seed={max(seeds) + 1},{max(seeds) + 2}"]
    return f"next: {shlex.join(more)}    (two more seeds into the same sweep; then report again)"


def _data(words: list[str]) -> int:
    parser = _Parser(prog="hybrid-sweep data", add_help=False)
    parser.add_argument("action", choices=["list", "prepare", "export"])
    parser.add_argument("name", nargs="?")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--refresh", action="store_true")
    parser.add_argument("--format", default="mmarco")
    parser.add_argument("--languages", default="", type=lambda word: word.split(","))
    args = parser.parse_intermixed_args(words)
    from hybrid_sweep import compose, prepare, progress
    from hybrid_sweep.config import SCHEMAS
    from hybrid_sweep.data import collection
    from hybrid_sweep.data.export import FORMATS

    monolingual = "batch.cross_lingual_ratio=0"  # no run is meant, so that a collection of one language is fine too
    if args.action == "export":
        if args.name is None or not args.overrides or "=" in args.name + args.overrides[0]:
            raise UserError(f"data export needs a name and a folder; the names are: {', '.join(SCHEMAS['data'])}")
        if args.format not in FORMATS:
            raise UserError(f"--format {args.format}: must be one of {', '.join(FORMATS)}")
        folder, *overrides = args.overrides
        [(_, config)] = compose.points([f"data={args.name}", monolingual, *overrides], multirun=False)
        found = prepare.whole_collection(config, _say, refresh=args.refresh)
        _export(found, Path(folder), args.format, [word for word in args.languages if word])
        return 0
    if args.action == "prepare":
        if args.name is None or "=" in args.name:
            raise UserError(f"data prepare needs a name; there are: {', '.join(SCHEMAS['data'])}")
        [(_, config)] = compose.points([f"data={args.name}", monolingual, *args.overrides], multirun=False)
        found = prepare.whole_collection(config, _say, refresh=args.refresh, download=True)
        print(
            f"{found.name}: {' '.join(found.languages)}; {found.queries.num_rows} queries, {found.passages.num_rows} "
            f"passages, fingerprint {found.fingerprint}, in {prepare.collection_folder(config)}"
        )
        return 0
    rows = [("name", "prepared", "languages", "queries", "passages", "fingerprint", "folder")]
    for name in SCHEMAS["data"]:
        [(_, config)] = compose.points([f"data={name}", monolingual], multirun=False)
        folder = prepare.collection_folder(config)
        if prepare.is_prepared(config):
            found = collection.load(folder)
            rows.append(
                (
                    name,
                    "yes",
                    " ".join(found.languages),
                    str(found.queries.num_rows),
                    str(found.passages.num_rows),
                    found.fingerprint,
                    str(folder),
                )
            )
        else:
            rows.append((name, "no", " ".join(config.data.languages), "", "", "", _preparing(config.data)))
    print(*progress.table(rows), sep="\n")
    return 0


def _preparing(data: "DataConfig") -> str:
    """The command that prepares this collection."""
    from hybrid_sweep.config import DebianData, FilesData, MarcoData, MiraclData, SyntheticData
    from hybrid_sweep.data import hub

    if not data.path and hub.revision(data):
        return hub.command(data)
    words = ["hybrid-sweep data prepare", data.name]
    if data.path:
        words.append(shlex.quote(f"data.path={data.path}"))
        if isinstance(data, MarcoData | MiraclData | FilesData):  # these count for what is read
            words.append(shlex.quote(f"data.languages=[{','.join(data.languages)}]"))
        fresh = type(data)()
        for item in ("format", "translation", "qrels", "dev_share", "dev_seed", "on_error"):
            if (value := getattr(data, item, None)) != getattr(fresh, item, None):
                words.append(f"data.{item}={value}")
    elif not isinstance(data, DebianData | SyntheticData):
        words.append("data.path=DIR")
    return " ".join(words)


def _export(found: "Collection", folder: Path, form: str, chosen: list[str]) -> None:
    """Write a collection as files of a format and say how to read them."""
    from hybrid_sweep.data.export import export

    made, cut = export(found, folder, form, chosen)
    print(
        f"{found.name}: {made.queries.num_rows} queries and {made.passages.num_rows} passages in {folder}"
        + (f"; in {cut} texts, tabs and line breaks became spaces" if cut else "")
    )
    words = ["mmarco"] if form == "mmarco" else ["files", f"data.format={form}"]
    words += [shlex.quote(f"data.path={folder}"), f"'data.languages=[{','.join(made.languages)}]'"]
    print("next: hybrid-sweep data prepare", *words)


def _evaluate(words: list[str]) -> int:
    if not words:
        raise UserError("evaluate needs RUN_DIR or model.path=DIR; hybrid-sweep evaluate --help has examples")
    if any(word.startswith("run=") for word in words):
        from hybrid_sweep.score_run import score_words

        print(score_words(words, _say))
        return 0
    from hybrid_sweep.evaluate import evaluate_words

    print(evaluate_words(words))
    return 0


def _mine(words: list[str]) -> int:
    parser = _Parser(prog="hybrid-sweep mine", add_help=False)
    parser.add_argument("words", nargs="+", metavar="WORD")
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--to", type=int, default=50, dest="last")
    parser.add_argument("--margin", type=float)
    args = parser.parse_intermixed_args(words)
    *folder, target = [word for word in args.words if "=" not in word] or [""]
    if not target or len(folder) > 1:
        raise UserError("mine needs RUN_DIR and FILE, or FILE and model words; hybrid-sweep mine --help has examples")
    from hybrid_sweep.mine import mine_words

    given = [*folder, *(word for word in args.words if "=" in word)]
    if not given:
        raise UserError(f"mine writes to FILE ({target}), but which model? Give RUN_DIR before it, or model.path=DIR")
    print(mine_words(given, Path(target), first=args.first, last=args.last, margin=args.margin, say=_say))
    print(f"next: hybrid-sweep run {shlex.quote(f'data.negatives={target}')} batch.hard_negatives=1 ...")
    return 0


def _wandb(words: list[str]) -> int:
    parser = _Parser(prog="hybrid-sweep wandb", add_help=False)
    parser.add_argument("action", choices=["push"])
    parser.add_argument("sweep_dir", metavar="SWEEP_DIR", type=Path)
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--project")
    parser.add_argument("--entity")
    args = parser.parse_args(words)
    from hybrid_sweep.wandb_push import push

    print(push(args.sweep_dir, offline=args.offline, project=args.project, entity=args.entity, say=_say))
    return 0


def _dashboard(words: list[str]) -> int:
    parser = _Parser(prog="hybrid-sweep dashboard", add_help=False)
    parser.add_argument("sweep_dir", metavar="SWEEP_DIR", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--project")
    parser.add_argument("--entity")
    args = parser.parse_args(words)
    from hybrid_sweep.dashboard import dashboard

    print(dashboard(args.sweep_dir, dry_run=args.dry_run, project=args.project, entity=args.entity))
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """Treat SIGTERM, as a scheduler sends it, like Ctrl-C: the workers end with the driver."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread, which alone receives signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
