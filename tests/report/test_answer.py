"""The sentences: every case of the answer, made from small tables of results, beside the stored
texts.
"""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hybrid_sweep.report.answer import answer, findings
from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.load import load
from hybrid_sweep.report.render.numbers import listed, p_words, percent, signed
from hybrid_sweep.report.results import aggregate
from tests import snapshots

QUIET = dict(questions=500, noise=0.05, seed_sd=0.001)
FIVE = (0, 0.25, 0.5, 0.75, 1)
FOUR = (0, 0.25, 0.5, 1)
LOST = tuple(f"t050s{seed}" for seed in range(3))
# Of six seeds r = 0.5 has 3 to 5 alone, and the others 0 to 2.
APART = tuple(
    f"t{r}s{s}"
    for r, seeds in (("000", (3, 4, 5)), ("050", (0, 1, 2)), ("100", (3, 4, 5)))
    for s in seeds
)


@dataclass(frozen=True)
class Case:
    """A sweep whose monolingual curve is `mono`, in such a world, without the runs in `drop`."""

    mono: Callable[[float], float]
    drop: tuple[str, ...] = ()
    world: dict[str, Any] = field(default_factory=dict)
    sweep: dict[str, Any] = field(default_factory=dict)


CASES = {
    "non-inferior everywhere": Case(lambda r: 0.0, sweep={"margin": 0.03}),
    "too few questions": Case(
        lambda r: 0.0, world={"questions": 60, "noise": 0.01}, sweep={"margin": 0.03}
    ),
    "a drop near one": Case(lambda r: -0.08 * r**6, sweep={"ratios": FOUR, "margin": 0.02}),
    "degraded everywhere": Case(lambda r: -0.1 if r else 0.0),
    "a gain": Case(lambda r: 0.08 * r),
    "inconclusive": Case(lambda r: -0.01 * r, world={"noise": 0.2}),
    "not monotone": Case(lambda r: -0.4 * r * (1 - r), sweep={"margin": 0.03}),
    "one seed": Case(lambda r: -0.1 * r, sweep={"seeds": (0,)}),
    "two seeds": Case(lambda r: -0.1 * r, sweep={"seeds": (0, 1)}),
    "no ratio zero": Case(lambda r: 0.0, drop=("t000s0", "t000s1", "t000s2")),
    "nothing but ratio zero": Case(lambda r: 0.0, sweep={"ratios": (0.0,)}),
    "no trained point": Case(
        lambda r: 0.0, drop=tuple(f"t{r}s{s}" for r in ("000", "050", "100") for s in range(3))
    ),
    "no seed in common": Case(
        lambda r: 0.0, drop=("t000s0", "t100s1", "t100s2"), sweep={"ratios": (0, 1)}
    ),
    "a ratio with too few seeds": Case(lambda r: 0.0, drop=("t050s1",), sweep={"margin": 0.03}),
    # Else deleting a bad ratio to the last seed would give a better answer than deleting one seed
    # of it.
    "a ratio that is missing as a whole": Case(
        lambda r: 0.0, drop=LOST, sweep={"ratios": FIVE, "margin": 0.03}
    ),
    "the smallest ratio is missing": Case(lambda r: 0.0, drop=LOST, sweep={"margin": 0.03}),
    # Finished, but with seeds that ratio 0 lacks: nothing to pair it with.
    "a ratio of other seeds": Case(
        lambda r: 0.0, drop=APART, sweep={"seeds": range(6), "margin": 0.03}
    ),
    "a slope": Case(lambda r: -0.1 * r, sweep={"ratios": FOUR}),
    "a slope up to one half": Case(lambda r: -0.1 * r, sweep={"ratios": (0, 0.25, 0.5)}),
    "no slope": Case(lambda r: 0.0),
    "a turn": Case(lambda r: -0.4 * r * (1 - r), world={"questions": 300}, sweep={"ratios": FOUR}),
    "a price": Case(lambda r: -0.1 * r),
    "no price, but a gain": Case(lambda r: 0.1 * r),
    "no price, since nothing is gained": Case(lambda r: -0.1 * r, world={"cross": lambda r: 0.0}),
    "a price that may be none": Case(
        lambda r: -0.02 * r, world={"noise": 0.2, "cross": lambda r: 0.3 * r}
    ),
    "no winner and no loser": Case(lambda r: 0.0, world={"noise": 0.2}),
    "languages trained on and not": Case(lambda r: -0.1 * r, world={"trained": ("de", "en")}),
    "languages trained on and not, one seed": Case(
        lambda r: -0.3 * r, world={"trained": ("de",)}, sweep={"seeds": (0,)}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_says_what_is_stored(
    name: str, make_sweep: Callable[..., Path], world: Any
) -> None:
    case = CASES[name]
    sweep_dir = make_sweep(world(**(QUIET | case.world), mono=case.mono), **case.sweep)
    for run in case.drop:
        shutil.rmtree(sweep_dir.parent.parent / "runs" / run)
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    more = findings(sweep, results, derived(sweep, results))
    snapshots.check(f"answer/{name}", "\n\n".join([answer(sweep, results), *more]) + "\n")


def test_questions_are_counted_to_their_sum(make_sweep: Callable[..., Path], world: Any) -> None:
    sweep = load([make_sweep(world(**QUIET, mono=lambda r: -0.1 * r))])
    results = aggregate(sweep)
    more = "\n".join(findings(sweep, results, derived(sweep, results)))
    found = re.search(r"Of 500 questions, (\d+) .*?, (\d+) .*? (\d+) ", more)
    assert found and sum(int(number) for number in found.groups()) == 500


def test_words_for_numbers() -> None:
    assert [signed(v) for v in (0.0004, -0.0004, -0.0126)] == ["+0.000", "+0.000", "-0.013"]
    assert [percent(v) for v in (-0.0376, -0.0001)] == ["-3.8 %", "+0.0 %"]
    assert [p_words(p) for p in (0.0002, 0.0123, 0.5)] == ["p < 0.001", "p = 0.012", "p = 0.50"]
    assert [listed(v) for v in ([0.5], [0.5, 1.0], [0.1, 0.5, 1.0])] == [
        "0.5",
        "0.5 and 1",
        "0.1, 0.5 and 1",
    ]
