"""What a user sees of a sweep while its points run."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hybrid_sweep.runs import trained
from hybrid_sweep.sweeps.point_list import Point
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
        if self.status.get("state") != "training" or not speed or not steps:
            return None
        seconds: float = (steps - step) / speed
        return seconds

    @property
    def before(self) -> float | None:
        """Return what its steps before this start would have taken, from its own pace."""
        speed = self.status.get("steps_per_second")
        first = self.status.get("first_step")
        if not speed or first is None:
            return None
        seconds: float = first / speed
        return seconds


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
            names = ("", "", "step ", "loss ", "", "left ")
            told = []
            for row in rows:
                words = [one_line(word) for word in cells(row, names) if word]
                told.append(" ".join(words))
            self.say(f"{self.total_line(rows, waiting)}: {'; '.join(told)}")

    def _note(self, rows: Sequence[Row]) -> None:
        """Note what the earlier steps of resumed points took, for when they have ended."""
        for row in rows:
            if row.before is not None:
                self.before[row.point.run_dir] = row.before

    def total_line(self, rows: Sequence[Row], waiting: Sequence[Point]) -> str:
        """Return `7/21 done, 1 failed, about 6 min left`."""
        left = time_left(rows, [point.kind for point in waiting], self.slots, self.took)
        words = [f"{self.finished}/{self.total} done"]
        if self.broken:
            words.append(f"{self.broken} failed")
        if left is not None:
            words.append(f"about {duration(left)} left")
        return ", ".join(words)


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
        for name in ("point", "state"):
            table.add_column(name, no_wrap=True)
        for name in ("step", "loss", "speed", "left"):
            table.add_column(name, justify="right", no_wrap=True)
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
    texts = status.get("texts")
    state = str(status.get("state", "starting"))
    steps, loss, speed = (status.get(key) for key in ("max_steps", "loss", "steps_per_second"))
    shown = dict.fromkeys(("label", "state", "step", "loss", "speed", "left"), "")
    shown |= {"label": row.point.label, "state": state}
    if texts:
        shown["state"] = f"encoding {status.get('encoded')}/{texts} texts"
    elif steps and state != "starting":  # until then it is not known which step
        shown["step"] = f"{status.get('step')}/{steps}"
    if loss is not None:
        shown["loss"] = f"{loss:.3f}"
    if speed:
        shown["speed"] = f"{speed:.1f} steps/s"
    if row.left is not None:
        shown["left"] = duration(row.left)
    named = []
    for name, word in zip(names, shown.values(), strict=True):
        named.append(name + word if word else "")
    return named


def time_left(
    rows: Sequence[Row], waiting: Sequence[str], slots: int, took: Sequence[float]
) -> float | None:
    """Return seconds until the whole sweep ends; None while nothing is known.

    waiting: the kinds of the points not started. A trained point takes the mean of those that ended
    (`took`, seconds), or, before the first has, what the pace of the running ones promises; the
    steps that a resumed one had behind it count as if they were done here. The untrained ones are
    too short to count.
    """
    promised, behind = [], []
    for row in rows:
        done = row.seconds + (row.before or 0.0)
        if row.point.kind == "trained":
            behind.append((done, row.left or 0.0))
        if row.left is not None:
            promised.append(done + row.left)
    seconds = took or promised
    if not seconds:
        return None
    mean = sum(seconds) / len(seconds)
    left = [max(mean - done, least) for done, least in behind]
    shared = (sum(left) + mean * waiting.count("trained")) / slots
    return max([shared, *left])
