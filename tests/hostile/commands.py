"""The commands that read stored files, run in this process, and what of their results must not
change silently.
"""

import contextlib
import copy
import csv
import functools
import gzip
import hashlib
import io
import pickle
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import yaml

from hybrid_sweep.utils.errors import UserError
from tests.hostile import base

Numbers = dict[str, Any]
SHORT = ("model.query_length=32", "model.passage_length=64")  # the tiny model has 64 positions
MIRRORED: list["FakeRun"] = []
# What these modules remember follows from the values that it is remembered by, and from no file.
OF_VALUES = (
    "hybrid_sweep.config.validate",
    "hybrid_sweep.report.statistics",
    "hybrid_sweep.retrieval.analyzer",
)
MERGED = "merged.csv"  # in the key of a row of that table
LONGEST_SETTINGS = 20_000  # characters of a text that is remembered


@dataclass(frozen=True)
class Command:
    """Words of the program; `writes`: where it may write, below the working folder; `numbers`: what
    came of it.
    """

    words: tuple[str, ...]
    writes: tuple[str, ...] = ()
    numbers: Callable[["Outcome"], Numbers] = lambda outcome: {}


@dataclass
class Outcome:
    """How a command ended: its exit code, or the exception that it left by, and what it printed."""

    code: int
    out: str
    err: str
    crash: str = ""
    mirrored: list["FakeRun"] = field(default_factory=list)


class FakeRun:
    """A stand-in for a run of Weights & Biases, which keeps what it is told."""

    def __init__(self, words: Any) -> None:
        self.id, self.summary, self.series = words["id"], {}, []  # type: ignore[var-annotated]

    def log(self, values: Any) -> None:
        self.series.append(values)

    def log_artifact(self, artifact: Any) -> None:
        pass

    def finish(self, exit_code: int = 0) -> None:
        MIRRORED.append(self)


def table_numbers(path: Path) -> Numbers:
    """Give the rows of a table of results: by run ids, setting, measure and scope all its cells."""
    if not path.is_file():
        return {}
    found = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row.get("status") != "missing":
                key = "|".join(row[name] for name in ("run_ids", "setting", "measure", "scope"))
                found[key] = dict(row)
    return found


def merged_numbers(path: Path) -> Numbers:
    """Give the rows of a table of averaged weights: by what is compared all cells."""
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = ("kind", "ratio", "ratios", "shares", "against")
    return {"|".join([MERGED, *(row[name] for name in names)]): row for row in rows}


def report_numbers(folder: str) -> Callable[[Outcome], Numbers]:
    """Give a reader of the results of a report in a folder; further collections have folders of
    their own.
    """

    def read(_: Outcome) -> Numbers:
        found = {}
        for path in sorted(Path(folder).glob("results.csv")) + sorted(
            Path(folder).glob("on-*/results.csv")
        ):
            rows = table_numbers(path)
            found |= {f"{path.parent.name}|{key}": row for key, row in rows.items()}
        return found | merged_numbers(Path(folder) / "merged.csv")

    return read


def probe_numbers(_: Outcome) -> Numbers:
    """Give the lines of the probe's tables."""
    found: Numbers = {}
    for name in ("probe.csv", "shared.csv"):
        path = Path("outputs/sweeps/toy/probe") / name
        if path.is_file():
            lines = path.read_text().splitlines()
            found |= {f"{name}:{number}": line for number, line in enumerate(lines)}
    return found


def pushed_numbers(outcome: Outcome) -> Numbers:
    """Give the summaries and series of the mirrored points by run id."""
    found: Numbers = {}
    for run in outcome.mirrored:
        if not str(run.id).startswith("sweep-"):
            numbers = {
                name: value for name, value in run.summary.items() if isinstance(value, int | float)
            }
            found[str(run.id)] = {"summary": numbers, "series": repr(run.series)}
    return found


def printed_numbers(outcome: Outcome) -> Numbers:
    """Give the table that evaluate prints, and a hash of the per-query table that it names."""
    lines = re.findall(
        r"^(monolingual|cross-lingual|multilingual)( .*)$", outcome.out, re.MULTILINE
    )
    found: Numbers = {
        f"{number}:{name}": values.split() for number, (name, values) in enumerate(lines)
    }
    if named := re.search(r"per query: (.*\.parquet)$", outcome.out, re.MULTILINE):
        rows = (
            pd.read_parquet(named[1])
            .drop(columns="run_id")
            .sort_values(["setting", "query_id", "passage_lang"])
        )
        found["rows"] = hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()
    return found


def trained_numbers(_: Outcome) -> Numbers:
    """Give the losses of the run that was trained on hard negatives, and a hash of what it
    ranks.
    """
    found: Numbers = {}
    for path in Path("outputs/runs").glob("*/steps.parquet"):
        losses = pd.read_parquet(path)["loss"].tolist()
        rows = pd.read_parquet(path.with_name("per_query.parquet")).to_csv(index=False)
        found[path.parent.name] = [losses, hashlib.sha256(rows.encode()).hexdigest()]
    return found


def mined_numbers(_: Outcome) -> Numbers:
    """Give the digest of the mined triples."""
    path = Path("mined.tsv.gz")
    return (
        {"triples": hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()}
        if path.is_file()
        else {}
    )


def planned_runs(outcome: Outcome) -> Numbers:
    """Give the run ids in the table of a plan: another id stands for other content."""
    lines = [
        line
        for line in outcome.out.splitlines()
        if line.startswith(("done", "to do", "failed", "resume"))
    ]
    return {name: True for line in lines for name in re.findall(r"\b[0-9a-f]{12}\b", line)[:1]}


def named_collection(outcome: Outcome) -> Numbers:
    """Give the fingerprint of the collection that was prepared."""
    return {name: True for name in re.findall(r"fingerprint ([0-9a-f]{12})", outcome.out)}


def commands(run: str) -> dict[str, Command]:
    """All commands by name; `run`: the id of a trained run."""
    sweep, wide, frozen = "outputs/sweeps/toy", "outputs/sweeps/wide", "published/toy"
    stored, averaged = f"outputs/runs/{run}", "outputs/sweeps/averaged"
    scored = ("cache", "outputs/runs", "outputs/sweeps")
    return {
        "report": Command(("report", sweep), (sweep,), report_numbers(sweep)),
        "report-wide": Command(("report", wide), (wide,), report_numbers(wide)),
        "report-two": Command(("report", sweep, "outputs/sweeps/other"), (sweep,)),
        "probe": Command(("probe", "--no-texts", sweep), (f"{sweep}/probe",), probe_numbers),
        "probe-texts": Command(("probe", sweep), (f"{sweep}/probe",), probe_numbers),
        "freeze": Command(("freeze", sweep, "new"), ("new",), report_numbers("new")),
        "check": Command(("freeze", "--check", frozen)),
        "report-averaged": Command(("report", averaged), (averaged,), report_numbers(averaged)),
        "freeze-averaged": Command(("freeze", averaged, "new"), ("new",), report_numbers("new")),
        "report-published": Command(
            ("report", "published/averaged", "--out", "new"), ("new",), report_numbers("new")
        ),
        "check-averaged": Command(("freeze", "--check", "published/averaged")),
        "merge": Command(tuple(base.AVERAGES), ("cache", "outputs/runs", averaged)),
        "check-both": Command(("freeze", "--check", "published/other")),
        "push": Command(("wandb", "push", sweep, "--offline"), (sweep,), pushed_numbers),
        "dashboard": Command(("dashboard", sweep, "--dry-run"), (sweep,)),
        "plan": Command(("plan", *base.TOY), ("cache",), planned_runs),
        "run": Command(("run", *base.TOY), ("cache", "outputs/sweeps/wide")),
        "train": Command(("run", *base.HARD), ("cache", "outputs"), trained_numbers),
        "evaluate": Command(
            ("evaluate", stored, "logger=disabled", "sweep.name=again"), scored, printed_numbers
        ),
        "evaluate-model": Command(
            (
                "evaluate",
                f"model.path=outputs/runs/{run}/model",
                *base.DATA,
                "logger=disabled",
                "sweep.name=again",
                *SHORT,
            ),
            scored,
            printed_numbers,
        ),
        "mine": Command(
            ("mine", stored, "mined.tsv.gz"),
            ("mined.tsv.gz", ".mined.tsv.gz", "cache"),
            mined_numbers,
        ),
        "negatives": Command(("plan", *base.HARD), ("cache",), planned_runs),
        "score": Command(
            ("evaluate", "run=run.trec", *base.DATA, "logger=disabled"),
            ("cache", "outputs/scored"),
            printed_numbers,
        ),
        "list": Command(("data", "list"), ("cache",)),
        "prepare": Command(
            ("data", "prepare", "files", *base.FILES[1:]), ("cache",), named_collection
        ),
    }


def execute(command: Command) -> Outcome:
    """Run a command in this process; no exception leaves it."""
    from hybrid_sweep.commands import cli

    forget()
    out, err = io.StringIO(), io.StringIO()
    outcome = Outcome(0, "", "")
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            outcome.code = cli.main(list(command.words))
        except SystemExit as error:
            outcome.code = error.code if isinstance(error.code, int) else 1
        except BaseException as error:
            outcome.code, outcome.crash = -1, where(error)
    outcome.out, outcome.err, outcome.mirrored = out.getvalue(), err.getvalue(), MIRRORED[:]
    MIRRORED.clear()
    return outcome


def where(error: BaseException) -> str:
    """Name an exception and the innermost line of the program that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        frame
        for frame in frames
        if "hybrid_sweep" in frame.filename and "/tests/" not in frame.filename
    ]
    last = ours[-1] if ours else frames[-1]
    text = str(error).splitlines()[0][:100] if str(error) else ""
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno} {last.name}: {text}"


def forget() -> None:
    """Forget what the program remembers for the life of a process: here each case stands for a
    process of its own.
    """
    caches, known = _memory(len(sys.modules))
    for cache in caches:
        cache.cache_clear()
    for values in known:
        values.clear()


@functools.lru_cache(maxsize=1)
def _memory(count: int) -> tuple[list[Any], list[dict[Any, Any]]]:
    """The caches and dictionaries in which the program remembers; looked for anew where the number
    of modules is another.
    """
    caches, known = [], []
    for name, module in list(sys.modules.items()):
        if not name.startswith("hybrid_sweep.") or name in OF_VALUES:
            continue
        for value in list(vars(module).values()):
            if isinstance(value, functools._lru_cache_wrapper) and value.__module__.startswith(
                "hybrid_sweep"
            ):
                caches.append(value)
        if isinstance(getattr(module, "_known", None), dict):
            known.append(module._known)
    return caches, known


@contextlib.contextmanager
def quick(*, pages: bool, pushing: bool = False) -> Iterator[None]:
    """Leave out what costs time and reads nothing more: figures, the network, processes, waiting
    for the disk; without `pages` the pages too.

    pushing: without pages the mirror is made of the points alone, since the report has cases of its
    own.
    """
    from hybrid_sweep.commands import evaluate, sweep_verbs, wandb_sweep
    from hybrid_sweep.config import compose
    from hybrid_sweep.config import words as config_words
    from hybrid_sweep.report import publish, report, report_files
    from hybrid_sweep.report.comparison import report as comparison
    from hybrid_sweep.report.comparison import table
    from hybrid_sweep.report.merged import figure as figure_merged
    from hybrid_sweep.report.probe import report as probe
    from hybrid_sweep.sweeps import scheduler
    from hybrid_sweep.tracking import mirror
    from hybrid_sweep.utils import files

    with contextlib.ExitStack() as stack:
        stack.enter_context(base.in_this_process())

        def put(place: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(place, name, value))

        put(report_files, "drawn", lambda *_: {})
        put(report_files, "main_figure", lambda *_: {})
        put(report_files, "drawn_averages", lambda *_: None)
        put(figure_merged, "svg", lambda *_: "<svg/>")
        put(report_files, "save_all", lambda *_: [])
        put(comparison.figure_comparison, "draw", lambda *_: None)
        put(comparison, "save", _unsaved)
        put(publish, "lighten", lambda path: None)  # there is no drawing to make smaller
        put(mirror, "begin", lambda words, *_, **__: FakeRun(words))
        put(wandb_sweep, "_fill", lambda *_: None)
        put(sweep_verbs, "_hand_over", done_here)
        put(scheduler, "begin_servers", lambda waiting: None)
        if not pages:
            for name in ("markdown", "html", "latex"):
                put(report_files, name, lambda *_: "")
            put(publish, "TEXTS", (".csv",))
            put(probe, "markdown", lambda *_: "")
            put(comparison.comparison_text, "markdown", lambda *_: "")
            put(comparison.comparison_page, "html", lambda *_: "")
            put(comparison.comparison_latex, "latex", lambda *_: "")
            put(comparison.comparison_console, "console", lambda *_: "")
            put(report, "write_report", _left_out) if pushing else None
            for place in (compose, evaluate):
                put(place, "points", composed(compose.points))
            put(config_words, "_as_typed", spelled(config_words._as_typed))
        for name in ("aggregate", "derived", "answer", "by_ratio", "other_measures", "findings"):
            put(report_files, name, remembered(getattr(report_files, name)))
        for name in ("aggregate", "derived", "answer"):
            put(table, name, remembered(getattr(table, name)))
        put(files, "_sync", lambda _: None)
        put(yaml, "load", parsed(yaml.load))
        yield


def done_here(words: Sequence[str], task: Any) -> None:
    """Do the points of a command here; Hydra, which hands them to a launcher, is left out."""
    from hybrid_sweep.config import compose
    from hybrid_sweep.sweeps import point_list

    plain = [word for word in words if word != "-m"]
    jobs = compose.points(plain, multirun="-m" in words)
    base.do_points(point_list.expand(jobs, print))


def _left_out(*_: Any, **__: Any) -> None:
    raise UserError("the report is left out here", key="test.left_out")


def composed(points: Callable[..., Any]) -> Callable[..., Any]:
    """Remember what Hydra composes of words: it reads no file of the world."""

    def call(words: Sequence[str], *, multirun: bool, **more: Any) -> Any:
        key = repr(("points", list(words), multirun, more))
        if key not in KNOWN:
            KNOWN[key] = points(words, multirun=multirun, **more)
        return copy.deepcopy(KNOWN[key])

    return call


def spelled(as_typed: Callable[[str], str]) -> Callable[[str], str]:
    """Remember how Hydra reads a word: it reads no file of the world."""

    def call(word: str) -> str:
        key = f"word:{word}"
        if key not in KNOWN:
            KNOWN[key] = as_typed(word)
        return str(KNOWN[key])

    return call


def parsed(load: Callable[..., Any]) -> Callable[..., Any]:
    """Remember what YAML gives of a text: all runs but one have the settings that they had."""

    def call(text: Any, *loader: Any, **named: Any) -> Any:
        if named or not isinstance(text, str) or len(text) > LONGEST_SETTINGS:
            return load(text, *loader, **named)
        key = f"yaml:{loader}:{text}"
        if key not in KNOWN:
            KNOWN[key] = pickle.dumps(load(text, *loader))
        return pickle.loads(KNOWN[key])

    return call


def _unsaved(_: Any, folder: Path, name: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf", "svg")]
    for path in paths:
        path.write_bytes(b"<svg/>")
    return paths


KNOWN: dict[str, Any] = {}


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Remember what a pure function makes of the numbers of a sweep; most cases leave them as they
    are.
    """

    def call(sweep: Any, *more: Any) -> Any:
        key = f"{function.__name__}:{_mark(sweep)}"
        if key not in KNOWN:
            KNOWN[key] = function(sweep, *more)
        found = KNOWN[key]
        return found.copy() if isinstance(found, pd.DataFrame) else found

    return call


# The last sweep that was marked, with its mark: a report asks several times.
LAST: list[tuple[Any, str]] = []


def _mark(sweep: Any) -> str:
    if LAST and LAST[0][0] is sweep:
        return LAST[0][1]
    state = hashlib.sha256(pd.util.hash_pandas_object(sweep.frame).to_numpy().tobytes())
    parts: Sequence[Any] = (
        sweep.name,
        sweep.margin,
        sweep.points,
        sweep.missing,
        sweep.trained_languages,
    )
    state.update(repr([*parts, list(sweep.frame.columns)]).encode(errors="surrogatepass"))
    LAST[:] = [(sweep, state.hexdigest())]
    return LAST[0][1]
