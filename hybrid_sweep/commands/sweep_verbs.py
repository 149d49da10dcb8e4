"""The verbs run and plan: from the words through Hydra to the points, and what came of them."""

import argparse
import importlib.util
import os
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hybrid_sweep.utils.arguments import Parser, say
from hybrid_sweep.utils.errors import UserError

if TYPE_CHECKING:
    from hybrid_sweep.config.compose import Job
    from hybrid_sweep.sweeps.point_list import Point


def _hydra_words(words: list[str]) -> tuple[argparse.Namespace, list[str], bool]:
    """Return Hydra's reading of the words, the words with its options first, and whether they ask
    for a run at all.
    """
    from hydra._internal.utils import get_args_parser

    from hybrid_sweep.config.words import as_typed

    parser = get_args_parser()
    parser.error = Parser("run").error  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(words)
    for name in ("config_path", "config_name", "experimental_rerun"):
        if getattr(args, name) is not None:
            option = "--" + name.replace("_", "-")
            raise UserError(
                f"{option}: not for this program; put files of your own in a folder and use"
                " --config-dir",
                key="option.not_taken",
            )
    if args.config_dir is not None:
        if not Path(args.config_dir).is_dir():
            raise UserError(
                f"--config-dir {args.config_dir}: no such folder", key="option.config_dir"
            )
        args.config_dir = str(Path(args.config_dir).resolve())
    if args.multirun and (args.cfg or args.info):
        raise UserError(
            "--cfg and --info show the config of one point: leave -m out, and give each key one"
            " value",
            key="option.hydra",
        )
    options = [word for word in words if word not in args.overrides]
    args.overrides = as_typed(args.overrides)
    ordered = [*options, *args.overrides]
    return args, ordered, not (args.cfg or args.info or args.hydra_help or args.shell_completion)


def _jobs(args: argparse.Namespace) -> "list[Job]":
    """Return the composed jobs, whose own losses and callbacks can be used."""
    from hybrid_sweep.config import compose
    from hybrid_sweep.sweeps import point_list

    jobs = compose.points(args.overrides, multirun=args.multirun, search=args.config_dir)
    point_list.check_parts(jobs)
    return jobs


def _is_local(args: argparse.Namespace) -> bool:
    """Return whether this driver starts the points itself, rather than another launcher of
    Hydra's.
    """
    from hybrid_sweep.config import compose

    return compose.launcher(args.overrides, search=args.config_dir) == "local"


def _is_search(args: argparse.Namespace) -> bool:
    """Return whether Hydra's sweeper is a search rather than every combination."""
    from hybrid_sweep.config import compose

    return compose.is_search(args.overrides, multirun=args.multirun, search=args.config_dir)


def _check_jobs(args: argparse.Namespace, jobs: "list[Job]") -> None:
    """Refuse what this machine cannot run or record, and say what nothing starts."""
    _check_machine(args, jobs)
    _check_tracking(jobs)
    _say_nodes(args, jobs)


def _check_machine(args: argparse.Namespace, jobs: "list[Job]") -> None:
    """Refuse GPU points on a machine without enough GPUs, and bfloat16 on a CPU that would emulate
    it, unless a cluster will run them.
    """
    from hybrid_sweep.models import half_precision
    from hybrid_sweep.sweeps import slots

    reduced = [config for _, config in jobs if half_precision.keys_on_cpu(config)]
    on_gpus = [config for _, config in jobs if config.trainer.accelerator == "gpu"]
    wanting = {(config.trainer.devices, config.sweep.gpus_per_run): config for config in on_gpus}
    if not (wanting or reduced) or not _is_local(args):
        return
    for config in reduced:
        half_precision.check(config)
    for config in wanting.values():
        slots.size(config, slots.this_machine([config], os.environ))


def _say_nodes(args: argparse.Namespace, jobs: "list[Job]") -> None:
    """Say that nothing starts the other nodes of a run, where neither SLURM does nor the words
    name it.
    """
    from hybrid_sweep.utils import slurm_job

    nodes = max(config.trainer.nodes for _, config in jobs)
    if nodes > 1 and not slurm_job.in_job() and _is_local(args):
        say(
            f"warning: trainer.nodes={nodes}: started here, a run waits for processes on other"
            " machines that nothing starts; add hydra/launcher=slurm, or start the worker on each"
            " machine by torchrun (docs/configuration.md)"
        )


def _check_tracking(jobs: "list[Job]") -> None:
    """Refuse a word for W&B that is not known and a logger that is not installed, and say where
    runs that shall be online cannot be.
    """
    from hybrid_sweep.config.rules import LOGGERS
    from hybrid_sweep.tracking import mirror

    for kind in {kind for _, config in jobs for kind in config.logger.also}:
        if LOGGERS[kind] and importlib.util.find_spec(LOGGERS[kind]) is None:
            raise UserError(
                f"logger.also={kind} needs {LOGGERS[kind]}: pip install 'hybrid-sweep[{kind}]'",
                key="install.logger",
            )
    modes = {mirror.mode_of({"mode": config.logger.mode}) for _, config in jobs}
    if "online" in modes and mirror.key_missing():
        say(
            "Weights & Biases: no key is configured, and runs are recorded offline: wandb login,"
            " or WANDB_API_KEY, before the start; or logger=offline"
        )


def run(words: list[str]) -> int:
    args, ordered, runs = _hydra_words(words)
    from hybrid_sweep.sweeps import scheduler
    from hybrid_sweep.utils import redaction

    if not runs:
        _hand_over(ordered, scheduler.task)
        return 0
    command = shlex.join(["hybrid-sweep", "run", *redaction.words(words)])
    if _is_search(args):
        from hybrid_sweep.commands import search

        with terminable():
            return search.run(args, _check_jobs, lambda task: _hand_over(ordered, task))
    with terminable():
        points, code = _run_points(args, ordered, command, shows_plan=True)
        if code == 0 and points[0].config.sweep.is_sequential:
            options = [word for word in ordered if word not in args.overrides]
            code = _rounds(points, (options, args.overrides), command)
        _say_next(points, code)
    return code


def _rounds(points: "Sequence[Point]", words: tuple[list[str], list[str]], command: str) -> int:
    """Run seeds until the verdicts of a sweep are settled; 1 where some point has no result.

    Args:
        points: of the command, finished.
        words: its options, and its overrides.
        command: as it is recorded.
    """
    from hybrid_sweep.commands.rounds import next_round
    from hybrid_sweep.config.words import without

    if len({point.sweep_dir for point in points}) > 1:
        raise UserError(
            "sweep.until=settled: these words make several sweeps; run them one by one",
            key="config.sweep.until",
        )
    options, overrides = words
    kept = without(overrides, "batch.cross_lingual_ratio", "seed")
    max_seeds = points[0].config.sweep.max_seeds
    folder = points[0].sweep_dir
    while True:
        following = next_round(folder, max_seeds)
        say(f"round: {following.reason}")
        if not following.ratios:
            return 0
        for seed, ratios in following.ratios.items():
            shares = ",".join(map(repr, ratios))  # with all digits
            varied = [f"batch.cross_lingual_ratio={shares}", f"seed={seed}"]
            args, ordered, _ = _hydra_words([*options, *kept, *varied])
            _, code = _run_points(args, ordered, command, shows_plan=False)
            if code:
                return code


def _run_points(
    args: argparse.Namespace, ordered: list[str], command: str, *, shows_plan: bool
) -> "tuple[list[Point], int]":
    """Run the points of the words, and say what came of them: the points, and the exit code.

    Args:
        args: Hydra's reading of the words.
        ordered: the words, options first.
        command: as it is recorded.
        shows_plan: whether to say first which points there are and what they take.
    """
    from hybrid_sweep.sweeps import plan_text, point_list, recorded_points, scheduler

    with ExitStack() as stack:
        jobs = _jobs(args)
        if shows_plan:  # a later round may have no point at ratio 0
            _check_sequential(jobs)
        _check_jobs(args, jobs)
        for _, config in jobs:
            point_list.check_outputs(config)
        points = point_list.expand(jobs, say)
        states = [point_list.state_of(point) for point in points]
        waiting = [
            point for point, state in zip(points, states, strict=True) if state.name != "done"
        ]
        done = len(points) - len(waiting)
        is_local = bool(waiting) and _is_local(args)
        servers = None
        if is_local:
            servers = scheduler.begin_servers(waiting)
        if servers is not None:
            stack.callback(servers.close)
        recorded_points.check_sweeps(points)
        if waiting:
            plans = point_list.check(points)
        else:
            plans = {}
        notes = recorded_points.record(points, command)
        if shows_plan:
            for note in notes:
                say(note)
        if waiting:
            if shows_plan:
                lines = plan_text.plan_lines(points, states, plans)
                say("\n".join([*lines, *plan_text.cost_lines(points, states)]))
            try:
                _hand_over(ordered, scheduler.Task(dict(jobs), servers))
            except KeyboardInterrupt:
                now = sum(point_list.is_done(point) for point in points)
                print(
                    f"interrupted: {now}/{len(points)} done; the same command goes on from here",
                    file=sys.stderr,
                )
                raise
        return points, _summary(points, done)


def _hand_over(words: list[str], task: Callable[[Any], None]) -> None:
    """Let Hydra run a task on the words as its own application; what its jobs raise has been
    recorded by then.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from hybrid_sweep.config import compose, schema
    from hybrid_sweep.sweeps import scheduler

    schema.register()
    application = hydra.main(
        config_path=str(schema.config_dir().resolve()), config_name="config", version_base="1.3"
    )
    argv = sys.argv
    full = os.environ.get("HYDRA_FULL_ERROR")
    # Hydra prints a trace and exits by itself otherwise; the errors are to come back here.
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = ["hybrid-sweep", *words], "1"
    try:
        application(task)()
    except scheduler.PointFailed:
        pass  # its files tell; the summary reads them
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(compose.one_line(error), key=compose.key_of(error)) from error
    except RuntimeError as error:
        if "Unknown plugin class" not in str(error):
            raise
        raise UserError(
            "hydra/launcher=joblib: pip install 'hybrid-sweep[joblib]' first", key="install.joblib"
        ) from error
    finally:
        sys.argv = argv
        (
            os.environ.pop("HYDRA_FULL_ERROR")
            if full is None
            else os.environ.update(HYDRA_FULL_ERROR=full)
        )


def _summary(points: "Sequence[Point]", before: int) -> int:
    """Say what came of the points; 1 where some have no result."""
    from hybrid_sweep.sweeps import plan_text, point_list, processes

    missing, states = [], []
    for point in points:
        state = point_list.state_of(point)
        if state.name != "done":
            missing.append(point)
            states.append(state)
    earlier = ""
    if before:
        earlier = f" ({before} before)"
    words = [f"{len(points) - len(missing)}/{len(points)} done{earlier}"]
    counts = Counter(state.name for state in states)
    for name in ("failed", "running elsewhere", "to do"):
        if counts[name]:
            words.append(f"{counts[name]} {name}")
    say(", ".join(words))
    if not missing:
        return 0
    logs = [processes.tail(point.run_dir / "log.txt") for point in missing]
    say("\n".join(plan_text.failure_lines(missing, states, logs)))
    say("the same command tries these again, and only these")
    return 1


def _say_next(points: "Sequence[Point]", code: int) -> None:
    """Say how to report the sweeps of some points; code: 1 where some have no result."""
    for folder in dict.fromkeys(point.sweep_dir for point in points):
        if folder.is_relative_to(Path.cwd()):
            shown = os.path.relpath(folder)
        else:
            shown = str(folder)
        say(f"next: hybrid-sweep report {shlex.quote(shown)}{' --allow-missing' if code else ''}")


def plan(words: list[str]) -> int:
    from hybrid_sweep.commands.power_lines import options, power_lines

    words, asks_power, like = options(words)
    args, _, runs = _hydra_words(words)
    if not runs:
        raise UserError("--cfg, --info and the like are for hybrid-sweep run", key="option.hydra")
    from hybrid_sweep.sweeps import forecast, plan_text, point_list, recorded_points

    if _is_search(args):
        from hybrid_sweep.commands import search

        if asks_power:
            raise UserError(
                "--power: is of the verdicts of a sweep, and a search has none; leave it out",
                key="search.power",
            )
        search.plan(args, _check_jobs, _say_absent)
        return 0
    jobs = _jobs(args)
    _check_sequential(jobs)
    _check_tracking(jobs)
    _say_nodes(args, jobs)
    if _say_absent(jobs):
        lines = forecast.cost_lines([config for _, config in jobs])
        if asks_power:
            lines += ["power: known once the collection is prepared"]
    else:
        points = point_list.expand(jobs, say)
        states = [point_list.state_of(point) for point in points]
        recorded_points.check_sweeps(points)
        lines = plan_text.plan_lines(points, states, point_list.check(points))
        lines += plan_text.cost_lines(points, states)
        lines += power_lines(points, asks_power, like)
        lines += _sequential_line(jobs)
    say("\n".join(lines))
    return 0


def _say_absent(jobs: "list[Job]") -> bool:
    """Say which collections are not prepared, and how they are; whether there are any."""
    from hybrid_sweep.commands.data_verbs import preparing
    from hybrid_sweep.config.schema import SyntheticData
    from hybrid_sweep.inputs import prepare
    from hybrid_sweep.runs import stages
    from hybrid_sweep.sweeps import plan_text

    absent = []
    for _, config in jobs:
        for one in (*prepare.configs_of(config).values(), *stages.collections(config)):
            # Generated text takes no time; what must be fetched is left to the user's word.
            if not isinstance(one.data, SyntheticData) and not prepare.is_prepared(one):
                absent.append((one.data.name, preparing(one.data)))
    for name, how in dict.fromkeys(absent):
        number = plan_text.count(absent.count((name, how)))
        say(
            f"{number} on collection {name}, which is not prepared; their batches can be checked, "
            f"and their run ids are known, after\n  {how}"
        )
    return bool(absent)


def _check_sequential(jobs: "list[Job]") -> None:
    """Refuse a sweep until its verdicts are settled that has nothing to compare a ratio with."""
    sequential = [config for _, config in jobs if config.sweep.is_sequential]
    if sequential and all(config.batch.cross_lingual_ratio > 0 for config in sequential):
        raise UserError(
            "sweep.until=settled: every verdict is a comparison with ratio 0; give"
            " batch.cross_lingual_ratio that value, too",
            key="config.sweep.until",
        )


def _sequential_line(jobs: "list[Job]") -> list[str]:
    """Return what a sweep until its verdicts are settled runs beyond the points of the plan."""
    most = [config.sweep.max_seeds for _, config in jobs if config.sweep.is_sequential]
    if not most:
        return []
    return [
        f"then one seed at a time for the ratios whose verdict is open, and ratio 0, until each has"
        f" {most[0]} seeds (sweep.until=settled)"
    ]


@contextmanager
def terminable() -> Iterator[None]:
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
