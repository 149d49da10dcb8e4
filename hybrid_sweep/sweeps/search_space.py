"""What a search of settings goes through: the keys, their values, and how many trials."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybrid_sweep.config.words import key_of
from hybrid_sweep.utils.errors import UserError

Words = tuple[str, ...]

SAMPLERS = ("tpe", "random")
DIGITS = 4  # of a number of an interval
# No trial is a point of a curve: the floors of a sweep are none of its trials.
ALONE = ("sweep.untrained=false", "sweep.bm25=false")


@dataclass(frozen=True)
class NumberRange:
    """The numbers from low to high, both included. is_log: on a logarithmic scale; is_whole: whole
    numbers.
    """

    low: float
    high: float
    is_log: bool
    is_whole: bool

    def value(self, drawn: float) -> str:
        """Return a number of the interval as it is written in the words of a trial."""
        if self.is_whole:
            return str(int(drawn))
        rounded = float(f"{drawn:.{DIGITS}g}")
        return repr(min(max(rounded, self.low), self.high))

    def told(self) -> str:
        """Return the interval in words."""
        if self.is_log:
            scale = ", on a logarithmic scale"
        else:
            scale = ""
        return f"{self.low:g} to {self.high:g}{scale}"


@dataclass(frozen=True)
class ValueList:
    """Values of a key, as they are written."""

    values: tuple[str, ...]

    def value(self, drawn: str) -> str:
        """Return a value as it is written in the words of a trial."""
        return drawn

    def told(self) -> str:
        """Return the values in words."""
        return ", ".join(self.values)


@dataclass(frozen=True)
class Search:
    """What is searched, and how.

    words: of every trial. space: the keys that are searched. averaged: keys with several values all
    of which a trial has a run with; its value is the mean over the runs. trials: how many in all.
    at_once: how many are chosen at a time. sampler: one of SAMPLERS. seed: of the choices.
    """

    words: Words
    space: Mapping[str, NumberRange | ValueList]
    averaged: Mapping[str, ValueList]
    trials: int
    at_once: int
    sampler: str
    seed: int

    def words_of(self, values: Mapping[str, str]) -> list[Words]:
        """Return the words of the runs of a trial with these values of the keys searched."""
        chosen = tuple(f"{key}={value}" for key, value in values.items())
        options = []
        for key, choices in self.averaged.items():
            options.append([f"{key}={value}" for value in choices.values])
        runs = itertools.product(*options)
        return [(*self.words, *chosen, *run, *ALONE) for run in runs]

    def corners(self) -> list[dict[str, str]]:
        """Return the values of trials that have each end of an interval and each choice."""
        ends: dict[str, list[str]] = {}
        for key, part in self.space.items():
            if isinstance(part, ValueList):
                ends[key] = list(part.values)
            else:
                ends[key] = [part.value(part.low), part.value(part.high)]
        most = max(len(values) for values in ends.values())
        corners = []
        for place in range(most):
            corner = {}
            for key, values in ends.items():
                corner[key] = values[min(place, len(values) - 1)]
            corners.append(corner)
        return corners


def search_of(parsed: Sequence[Any], settings: Mapping[str, Any]) -> Search:
    """Return the search that words mean; the last word of a key counts.

    Args:
        parsed: Hydra's reading of the words, and before them of the parameters of its sweeper.
        settings: of the sweeper, hydra.sweeper.

    Raises:
        UserError: for settings that cannot be, an interval that is none, or nothing to search.
    """
    _check_settings(settings)
    words: dict[str, str] = {}
    space: dict[str, NumberRange | ValueList] = {}
    typed: dict[str, str] = {}  # by key, how it was written: +key adds one that is not there
    for override in parsed:
        key = str(override.get_key_element())
        before = typed.pop(key_of(key), key)
        typed[key_of(key)] = key
        words.pop(before, None)
        space.pop(before, None)
        if not override.is_sweep_override():
            words[key] = f"{key}={override.get_value_element_as_str()}"
        elif override.is_discrete_sweep():
            values = tuple(dict.fromkeys(override.sweep_string_iterator()))
            space[key] = ValueList(values)
        else:
            space[key] = _interval(key, override.value())
    for baseline in ALONE:
        stated = words.get(key_of(baseline), baseline)
        if stated.lower() != baseline:
            raise UserError(
                f"{stated}: has no effect with hydra/sweeper=optuna, whose trials are no curve;"
                " leave it out",
                key="search.baseline",
            )
    averaged = _averaged(space, words, settings["average_over"])
    if not set(space) - set(averaged):
        raise UserError(
            "hydra/sweeper=optuna: no key has several values or an interval; give one, as in"
            " 'trainer.lr=tag(log,interval(1e-5,1e-3))'",
            key="search.nothing",
        )
    return Search(
        tuple(words.values()),
        {key: part for key, part in space.items() if key not in averaged},
        averaged,
        int(settings["n_trials"]),
        int(settings["n_jobs"]),
        str(settings["sampler"]),
        int(settings["seed"]),
    )


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raise UserError for a setting of the sweeper that cannot be."""
    for name, least in (("n_trials", 1), ("n_jobs", 1), ("seed", 0)):
        value = settings.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UserError(
                f"hydra.sweeper.{name}={value}: must be a whole number from {least}",
                key=f"config.hydra.sweeper.{name}",
            )
    sampler = settings.get("sampler")
    if sampler not in SAMPLERS:
        raise UserError(
            f"hydra.sweeper.sampler={sampler}: must be {' or '.join(SAMPLERS)}",
            key="config.hydra.sweeper.sampler",
        )
    averaged = settings.get("average_over")
    if not isinstance(averaged, list) or not all(isinstance(key, str) for key in averaged):
        raise UserError(
            f"hydra.sweeper.average_over={averaged}: must be a list of keys, as [seed]",
            key="config.hydra.sweeper.average_over",
        )


def _averaged(
    space: Mapping[str, NumberRange | ValueList], words: Mapping[str, str], keys: Sequence[str]
) -> dict[str, ValueList]:
    """Return those of the keys with several values that a trial is the mean over.

    words: those that set one value, by key.
    """
    averaged: dict[str, ValueList] = {}
    for key in keys:
        if key not in {*space, *words, "seed"}:
            raise UserError(
                f"hydra.sweeper.average_over: {key} has no values here; give it some, or leave it"
                " out",
                key="search.averaged",
            )
        part = space.get(key)
        if isinstance(part, NumberRange):
            raise UserError(
                f"{key}: every trial is run with each value of it; list them, as {key}=0,1",
                key="search.averaged",
            )
        if part is not None:
            averaged[key] = part
    return averaged


def _interval(key: str, sweep: Any) -> NumberRange:
    """Return Hydra's interval(LOW,HIGH), or tag(log,interval(LOW,HIGH))."""
    unknown = sorted(set(sweep.tags) - {"log"})
    if unknown:
        raise UserError(
            f"{key}: tag {unknown[0]!r} is not known; the only one is log", key="search.tag"
        )
    low, high = sweep.start, sweep.end
    is_log = "log" in sweep.tags
    if not low < high or (is_log and low <= 0):
        least = " above 0" if is_log else ""
        raise UserError(
            f"{key}: interval({low:g},{high:g}) must go from a lower number{least} to a higher one",
            key="search.interval",
        )
    is_whole = isinstance(low, int) and isinstance(high, int)
    return NumberRange(low, high, is_log, is_whole)
