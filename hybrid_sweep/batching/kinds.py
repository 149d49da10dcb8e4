"""Which steps or examples are cross-lingual: an exact count, nested in the ratio, over training as
`BatchDesign.ratio_schedule` says.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hybrid_sweep.batching.sampling import GOLDEN, GOLDEN_64, STRIDE, Even, chosen
from hybrid_sweep.batching.streams import ADDED, KEYS, BatchDesign

BINS = 2**16  # of the ratios at which examples are converted, to find one of them


class Selection(Protocol):
    """Some of the numbers from 0 on."""

    def has(self, numbers: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Kinds:
    """Which steps are cross-lingual, and which stream each step takes.

    n_cross, stream, cross: as in `Plan`. streams: of each stream its number, 0 or ADDED, and (J,)
    bool, which of its steps are cross-lingual.
    """

    n_cross: np.ndarray
    stream: np.ndarray
    cross: Selection | None
    streams: list[tuple[int, np.ndarray]]


def kinds_of(design: BatchDesign) -> Kinds:
    """Return which steps, or examples, are cross-lingual, by the design."""
    key = np.random.SeedSequence([design.seed, KEYS])
    steps = design.steps
    size = np.int64(design.batch_size)
    if design.added is not None:
        added = round(design.added * steps)
        cross = _steps(key, steps + added, added, design.ratio_schedule)
        streams = [(0, np.zeros(steps, dtype=bool)), (ADDED, np.ones(added, dtype=bool))]
        return Kinds(cross * size, cross.astype(np.int64), None, streams)
    stream = np.zeros(steps, dtype=np.int64)
    if design.composition != "per_batch":
        first = int(key.generate_state(1, np.uint64)[0])
        length = steps * design.batch_size
        examples = _examples(first, length, round(design.ratio * length), design.ratio_schedule)
        n_cross = examples.per_step(steps, design.batch_size)
        return Kinds(n_cross, stream, examples, [(0, n_cross > 0)])
    cross = _steps(key, steps, round(design.ratio * steps), design.ratio_schedule)
    return Kinds(cross * size, stream, None, [(0, cross)])


def conversions(keys: np.ndarray, times: np.ndarray, schedule: str) -> np.ndarray:
    """Return (N,) the ratio from which on each step is cross-lingual: the smallest r whose density
    at the step's time exceeds the step's key.

    keys: (N,) from 0 to below 1, even. times: (N,) t, between 0 and 1. The density at the time t of
    the ratio r is, where m = min(r, 1 - r): r where the schedule is constant, r + m (2 t - 1) where
    it is rising, which is the steepest line of mean r within 0 and 1, r - m (2 t - 1) where it is
    falling; and 1 where t < r, else 0, for cross_first, 1 where t > 1 - r for mono_first. Each
    grows with r at every t, so that what is converted at a ratio stays so at a higher one.
    """
    if schedule == "cross_first":
        return times
    if schedule == "mono_first":
        return 1 - times
    if schedule == "constant":
        return keys
    if schedule == "falling":
        times = 1 - times
    # 2 r t > key up to the ratio 1/2, and 1 - 2 (1 - r) (1 - t) > key beyond it
    early = keys / (2 * times)
    late = 1 - (1 - keys) / (2 * (1 - times))
    return np.asarray(np.where(keys <= times, early, late))


def _steps(key: np.random.SeedSequence, steps: int, count: int, schedule: str) -> np.ndarray:
    """Return (N,) bool: the step is one of the `count` that are converted first."""
    start = np.random.default_rng(key).random()
    if schedule == "constant":
        return chosen(start, steps, count)
    keys = (start + np.arange(steps) * GOLDEN) % 1.0
    times = (np.arange(steps) + 0.5) / max(1, steps)
    selected = np.zeros(steps, dtype=bool)
    order = np.argsort(conversions(keys, times, schedule), kind="stable")
    selected[order[:count]] = True
    return selected


def _examples(start: int, length: int, count: int, schedule: str) -> "Even | ScheduledExamples":
    if schedule == "constant":
        return Even.of(start, length, count)
    return ScheduledExamples.of(start, length, count, schedule)


@dataclass(frozen=True)
class ScheduledExamples:
    """Exactly `count` of the numbers 0 to length - 1, those that are converted first, in little
    memory.

    start: of the keys, as of `Even`. last: ratio and number of the last one; number -1 = none.
    """

    start: int
    length: int
    schedule: str
    last: tuple[float, int]

    @classmethod
    def of(cls, start: int, length: int, count: int, schedule: str) -> "ScheduledExamples":
        """Return the selection; the last one is looked for in the bin of ratios that holds it."""
        made = cls(start, length, schedule, (-1.0, -1))
        if count == 0:
            return made
        counts = np.zeros(BINS, dtype=np.int64)
        for first in range(0, length, STRIDE):
            counts += np.bincount(made._bins(made._ratios(first)), minlength=BINS)
        before = np.cumsum(counts)
        place = int(np.searchsorted(before, count))
        ratios, numbers = [], []
        for first in range(0, length, STRIDE):
            ratio = made._ratios(first)
            inside = np.flatnonzero(made._bins(ratio) == place)
            ratios.append(ratio[inside])
            numbers.append(first + inside)
        order = np.lexsort((np.concatenate(numbers), np.concatenate(ratios)))
        last = order[count - 1 - int(before[place] - counts[place])]
        chosen_last = float(np.concatenate(ratios)[last]), int(np.concatenate(numbers)[last])
        return cls(start, length, schedule, chosen_last)

    def has(self, numbers: np.ndarray) -> np.ndarray:
        """Return bool of the shape of `numbers`: it is one of the selected."""
        ratio = self._converted(numbers)
        bound, last = self.last
        inside: np.ndarray = (ratio < bound) | ((ratio == bound) & (numbers <= last))
        return inside

    def per_step(self, steps: int, size: int) -> np.ndarray:
        """Return (N,) int64: how many of the numbers of each step, `size` in a row, are
        selected.
        """
        at_once = max(1, STRIDE // size)
        counts = np.zeros(steps, dtype=np.int64)
        for first in range(0, steps, at_once):
            last = min(first + at_once, steps)
            inside = self.has(np.arange(first * size, last * size))
            counts[first:last] = inside.reshape(-1, size).sum(axis=1)
        return counts

    def _ratios(self, first: int) -> np.ndarray:
        return self._converted(np.arange(first, min(first + STRIDE, self.length)))

    def _converted(self, numbers: np.ndarray) -> np.ndarray:
        whole = numbers.astype(np.uint64) * np.uint64(GOLDEN_64) + np.uint64(self.start)
        keys = (whole >> np.uint64(11)) * 2.0**-53
        return conversions(keys, (numbers + 0.5) / self.length, self.schedule)

    @staticmethod
    def _bins(ratios: np.ndarray) -> np.ndarray:
        return np.minimum((ratios * BINS).astype(np.int64), BINS - 1)
