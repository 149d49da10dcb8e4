"""What a user sees of a sweep: its plan, the running points, and what came of it."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hybrid_sweep.batching.schedule import Plan
from hybrid_sweep.config.schema import steps_of
from hybrid_sweep.runs import trained
from hybrid_sweep.sweeps import forecast
from hybrid_sweep.sweeps.point_list import Point, State
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.escaping import one_line, terminal
from hybrid_sweep.utils.redaction import redacted
from hybrid_sweep.utils.units import duration

EVERY = 15.0  # seconds between the lines on the running points where there is no terminal


@dataclass(frozen=True)
class Row:
    """A running point: seconds since its start, and what its status.json says."""

    point: Point
    seconds: float
    status: Mapping[str, Any]

    @property
    def left(self) -> float | None:
        """Return seconds until its training ends, from its own pace."""
        speed, step, steps = (
            self.status.get(key) for key in ("steps_per_second", "step", "max_steps")
        )
        return (
            (steps - step) / speed
            if self.status.get("state") == "training" and speed and steps
            else None
        )

    @property
    def before(self) -> float | None:
        """Return what its steps before this start would have taken, from its own pace."""
        speed, first = self.status.get("steps_per_second"), self.status.get("first_step")
        return first / speed if speed and first is not None else None


class View(Protocol):
    """Where the launcher tells what happens.

    `show` is called about twice a second, the others once for each event.
    """

    def started(self, point: Point) -> None: ...
    def done(self, point: Point, seconds: float) -> None: ...
    def failed(self, point: Point, reason: str) -> None: ...
    def skipped(self, point: Point) -> None: ...
    def again(self, point: Point, reason: str, left: int) -> None: ...
    def elsewhere(self, point: Point) -> None: ...
    def busy(self, point: Point, folder: Path) -> None: ...
    def importing(self) -> None: ...
    def show(self, rows: Sequence[Row], waiting: Sequence[Point]) -> None: ...


class Plain:
    """Lines for a log: one for each event, and every EVERY seconds one for all running points."""

    def __init__(self, total: int, slots: int = 1) -> None:
        self.total, self.slots = total, slots
        self.finished = self.broken = 0
        # seconds of the trained points that ended here, those of earlier steps included
        self.took: list[float] = []
        self.before: dict[Path, float] = {}  # of resumed points: what their earlier steps took
        self.trained: set[Path] = set()  # points of which only the evaluation was left
        self.said = time.monotonic()

    def say(self, text: str) -> None:
        say(text)

    def _tell(self, point: Point, words: str) -> None:
        self.say(
            one_line(f"[{self.finished}/{self.total}] {point.label} ({point.run_id}): {words}")
        )

    def started(self, point: Point) -> None:
        if (point.run_dir / trained.RECORD).exists():
            self.trained.add(point.run_dir)
        self._tell(point, "started")

    def done(self, point: Point, seconds: float) -> None:
        self.finished += 1
        if point.kind == "trained" and point.run_dir not in self.trained:
            self.took.append(seconds + self.before.get(point.run_dir, 0.0))
        self._tell(point, f"done in {duration(seconds)}")

    def failed(self, point: Point, reason: str) -> None:
        self.broken += 1
        self._tell(point, f"FAILED: {reason}")

    def skipped(self, point: Point) -> None:
        self.finished += 1  # without a line: the plan has said so, or another driver has

    def again(self, point: Point, reason: str, left: int) -> None:
        self._tell(
            point, f"failed: {reason}; it is tried again, up to {left} time{'s' * (left > 1)}"
        )

    def elsewhere(self, point: Point) -> None:
        self._tell(point, "running elsewhere")

    def busy(self, point: Point, folder: Path) -> None:
        """Tell that a point waits for GPUs or cores; folder: where their locks are."""
        needed = "core"
        if point.config.trainer.accelerator == "gpu":
            needed = "GPU"
        way_out = f"locks in {folder}; HYBRID_SWEEP_SLOTS names another folder"
        self._tell(point, f"waiting for a free {needed} (all in use by other sweeps; {way_out})")

    def importing(self) -> None:
        self.say("importing torch and the other libraries, once for all points")

    def show(self, rows: Sequence[Row], waiting: Sequence[Point]) -> None:
        self._note(rows)
        if rows and time.monotonic() - self.said >= EVERY:
            self.said = time.monotonic()
            told = [
                " ".join(
                    one_line(word)
                    for word in cells(row, ("", "", "step ", "loss ", "", "left "))
                    if word
                )
                for row in rows
            ]
            self.say(f"{self.total_line(rows, waiting)}: {'; '.join(told)}")

    def _note(self, rows: Sequence[Row]) -> None:
        """Note what the earlier steps of resumed points took, for when they have ended."""
        for row in rows:
            if row.before is not None:
                self.before[row.point.run_dir] = row.before

    def total_line(self, rows: Sequence[Row], waiting: Sequence[Point]) -> str:
        """Return `7/21 done, 1 failed, about 6 min left`."""
        left = time_left(rows, [point.kind for point in waiting], self.slots, self.took)
        words = [
            f"{self.finished}/{self.total} done",
            f"{self.broken} failed" if self.broken else "",
            f"about {duration(left)} left" if left is not None else "",
        ]
        return ", ".join(word for word in words if word)


class Live(Plain):
    """A table on a terminal, one line a running point, with the total under it; failures scroll by
    above.
    """

    def __init__(self, total: int, slots: int, screen: Any) -> None:
        super().__init__(total, slots)
        self.screen = screen

    def say(self, text: str) -> None:
        if ": started" not in text:  # the table shows it
            self.screen.console.print(terminal(redacted(text)), markup=False, highlight=False)

    def show(self, rows: Sequence[Row], waiting: Sequence[Point]) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        self._note(rows)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("point", "state", "step", "loss", "speed", "left"):
            table.add_column(
                name, justify="left" if name in ("point", "state") else "right", no_wrap=True
            )
        for row in sorted(rows, key=lambda row: row.point.place):
            # a text of rich holds no markup
            table.add_row(*(Text(one_line(word) or "-") for word in cells(row)))
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(self.total, self.finished, width=30), self.total_line(rows, waiting)
        )
        self.screen.update(Group(table, bar))


@contextmanager
def watch(total: int, slots: int = 1, live: bool = True) -> Iterator[View]:
    """Give the view that fits: a live table on a terminal, lines elsewhere."""
    if not (live and sys.stdout.isatty()):
        yield Plain(total, slots)
        return
    from rich.live import Live as Screen

    with Screen(refresh_per_second=4, transient=True) as screen:
        yield Live(total, slots, screen)


def cells(row: Row, names: Sequence[str] = ("",) * 6) -> list[str]:
    """Return the words on a running point, each after its name: label, state, step, loss, speed,
    time left; "" if unknown.
    """
    status = row.status
    step, steps, loss, speed = (
        status.get(key) for key in ("step", "max_steps", "loss", "steps_per_second")
    )
    encoded, texts, state = (
        status.get("encoded"),
        status.get("texts"),
        status.get("state", "starting"),
    )
    shown = [
        row.point.label,
        f"encoding {encoded}/{texts} texts" if texts else str(state),
        # which step is not known yet
        f"{step}/{steps}" if steps and not texts and state != "starting" else "",
        f"{loss:.3f}" if loss is not None else "",
        f"{speed:.1f} steps/s" if speed else "",
        duration(row.left) if row.left is not None else "",
    ]
    return [name + word if word else "" for name, word in zip(names, shown, strict=True)]


def time_left(
    rows: Sequence[Row], waiting: Sequence[str], slots: int, took: Sequence[float]
) -> float | None:
    """Return seconds until the whole sweep ends; None while nothing is known.

    waiting: the kinds of the points not started. A trained point takes the mean of those that ended
    (`took`, seconds), or, before the first has, what the pace of the running ones promises; the
    steps that a resumed one had behind it count as if they were done here. The untrained ones are
    too short to count.
    """
    behind = [row.seconds + (row.before or 0.0) for row in rows]
    promised = [
        done + row.left for row, done in zip(rows, behind, strict=True) if row.left is not None
    ]
    seconds = took or promised
    if not seconds:
        return None
    mean = sum(seconds) / len(seconds)
    left = [
        max(mean - done, row.left or 0.0)
        for row, done in zip(rows, behind, strict=True)
        if row.point.kind == "trained"
    ]
    shared = (sum(left) + mean * sum(kind == "trained" for kind in waiting)) / slots
    return max([shared, *left])


def count(points: int) -> str:
    """Return `1 point`, `2 points`."""
    return f"{points} point{'s' * (points != 1)}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of words as lines with aligned columns."""
    rows = [[one_line(word) for word in row] for row in rows]
    widths = [max(len(word) for word in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def plan_lines(
    points: Sequence[Point], states: Sequence[State], plans: Mapping[str, Plan]
) -> list[str]:
    """Return the plan of a sweep: every point with its state and the reason, its steps of each kind
    and its overrides.

    plans: by run id, for the points whose batches are planned; what their plans leave out is listed
    below the table.
    """
    lines = []
    for folder in dict.fromkeys(point.sweep_dir for point in points):
        ours = [
            (point, state)
            for point, state in zip(points, states, strict=True)
            if point.sweep_dir == folder
        ]
        common = _common([point for point, _ in ours])
        told = _told([point for point, _ in ours], common)
        times = forecast.seconds(*zip(*ours, strict=True))
        lines += _heading(folder, [point for point, _ in ours])
        lines += [f"all with {' '.join(told)}"] if told else []
        lines += table(_plan_rows(ours, plans, times, common))
        lines += _notes(plans, [point for point, _ in ours])
        lines += forecast.time_lines([point for point, _ in ours], times)
    return lines


def _common(points: Sequence[Point]) -> list[str]:
    """Return the overrides that all points have.

    The untrained points have fewer words, since they depend on fewer: they count where no point is
    trained.
    """
    words = [point.overrides for point in points if point.kind == "trained"]
    words = words or [points[0].overrides]
    return [word for word in words[0] if all(word in other for other in words)]


def _told(points: Sequence[Point], common: Sequence[str]) -> list[str]:
    """Return the overrides of all points that are shown.

    A ratio given to points of several ratios was replaced by c/(1+c): to show it would only
    mislead.
    """
    ratios = {point.place[1] for point in points if point.kind == "trained"}
    if len(ratios) < 2:
        return list(common)
    return [word for word in common if not word.startswith("batch.cross_lingual_ratio=")]


def _plan_rows(
    ours: Sequence[tuple[Point, State]],
    plans: Mapping[str, Plan],
    times: Mapping[str, float | None],
    common: Sequence[str],
) -> list[tuple[str, ...]]:
    """Return the table of a plan, its head first: a row for each point."""
    head = ("state", "point", "steps: mono + cross", "time", "run id", "why", "overrides")
    rows: list[tuple[str, ...]] = [head]
    for point, state in ours:
        plan = plans.get(point.run_id)
        if plan:
            steps = _steps(plan)
        else:
            steps = str(steps_of(point.config))
        own = " ".join(word for word in point.overrides if word not in common)
        needed = ""
        if state.name != "done":
            left = times[point.run_id]
            if left is None:
                needed = "unknown"
            else:
                needed = duration(left)
        rows.append(
            (state.shown, point.label, steps, needed, point.run_id, state.reason[:100], own)
        )
    return rows


def _heading(folder: Path, points: Sequence[Point]) -> list[str]:
    """Return what stands above the table of a plan: the sweep, its data and models, and what it is
    evaluated on besides.
    """
    config = points[0].config
    name, margin = config.sweep.name, config.sweep.margin
    lines = [f"sweep {name}: {count(len(points))}, margin {margin:g} MRR@10, in {folder}"]
    marks = []
    for point in points:
        data, model, marked = point.config.data, point.config.model, point.fingerprints
        marks.append(
            f"data {data.name} {' '.join(data.languages)} ({marked['collection']}), model"
            f" {model.name} ({marked['model']})"
        )
    lines += dict.fromkeys(marks)
    further = []
    for name, data in sorted(config.eval.also.items()):
        further.append(f"{name} ({data.name} {' '.join(data.languages)})")
    for name, data in {config.data.name: config.data, **config.eval.also}.items():
        if sizes := ", ".join(f"{size:,}" for size in sorted(set(data.pools))):
            further.append(f"pools of {name} with {sizes} passages per language")
    if further:
        lines.append(f"evaluated on it and on {', '.join(further)}")
    return lines


def _steps(plan: Plan) -> str:
    """Return `7 + 3` steps of each kind; where a step has both kinds, `10 of both: 112 + 48
    examples`.
    """
    cross = int(plan.n_cross.sum())
    if ((plan.n_cross > 0) & (plan.n_cross < plan.batch_size)).any():
        return f"{len(plan)} of both: {len(plan) * plan.batch_size - cross} + {cross} examples"
    steps = cross // plan.batch_size
    return f"{len(plan) - steps} + {steps}"


def _notes(plans: Mapping[str, Plan], points: Sequence[Point]) -> list[str]:
    """Return what holds of several points: budget, composition, negatives, the sources' steps, and
    what the plans give up.
    """
    planned = [
        (point.config.batch, plan)
        for point in points
        if (plan := plans.get(point.run_id)) is not None
    ]
    notes, left_out = [], []
    for batch, plan in planned:
        if batch.budget == "fixed_monolingual":
            notes.append(
                "batch.budget=fixed_monolingual: the monolingual steps of all points are the same,"
                " ratio is c/(1+c)"
            )
        if batch.composition == "per_example":
            notes.append("batch.composition=per_example: each example draws its own languages")
        if batch.hard_negatives:
            notes.append(
                f"batch.hard_negatives={batch.hard_negatives}: passages per query besides those in"
                " the batch"
            )
        for *source, a, b in sorted(plan.left_out):
            where = ""
            if source:
                where = f" of {source[0]}"
            shared = (
                f"share {plan.left_out[*source, a, b]} training groups, fewer than"
                f" batch.size={batch.size}"
            )
            left_out.append(f"left out: {a}-{b}{where}, which {shared}")
        if batch.groups == "all" and batch.budget == "fixed_total":
            left_out.append(
                "batch.groups=all: monolingual steps use groups of one language too, so that the"
                " questions of different ratios are not the same"
            )
    return list(dict.fromkeys([*notes, *_source_steps([plan for _, plan in planned]), *left_out]))


def _source_steps(plans: Sequence[Plan]) -> list[str]:
    """Return `steps of debian + mmarco: 100 + 300 (25 % + 75 %)`, each distinct one once; nothing
    where there is one source.
    """
    lines: dict[str, None] = {}
    for plan in plans:
        if len(plan.sources) > 1 and len(plan):
            steps = [int((plan.source == index).sum()) for index in range(len(plan.sources))]
            shares = " + ".join(f"{100 * count / len(plan):.3g} %" for count in steps)
            lines[
                f"steps of {' + '.join(plan.sources)}: {' + '.join(map(str, steps))} ({shares})"
            ] = None
    return list(lines)


def cost_lines(points: Sequence[Point], states: Sequence[State]) -> list[str]:
    """Return what the points without a result will need on disk and in GPU-hours, each run once."""
    waiting = {}
    for point, state in zip(points, states, strict=True):
        if state.name != "done":
            waiting[point.run_id] = point.config
    if waiting:
        return forecast.cost_lines(list(waiting.values()))
    return []


def failure_lines(
    points: Sequence[Point], states: Sequence[State], logs: Sequence[Sequence[str]]
) -> list[str]:
    """Return a table of the points without a result, and the last lines of the log of each that
    failed.
    """
    rows = [
        (state.shown, point.label, point.run_id, state.reason)
        for point, state in zip(points, states, strict=True)
    ]
    lines = table([("state", "point", "run id", "why"), *rows])
    for point, state, log in zip(points, states, logs, strict=True):
        if state.name == "failed":
            lines += [f"the end of {point.run_dir / 'log.txt'}:", *(f"    {line}" for line in log)]
    return lines
