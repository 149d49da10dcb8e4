"""Tests that may be made several times while seeds are added: spending of the error rate over the
looks at a sweep.

A sweep plans a number of seeds. Who reports it before all of them are finished, and again later,
tests the same hypotheses several times, and each look is another chance of a false claim. So the
error rate a of a claim is spent over the looks: after s of S planned seeds at most

    2 - 2 Phi(z / sqrt(s / S)),    z = Phi^-1(1 - a / 2),

of it is used up, the function of Lan and DeMets (1983) that is like O'Brien and Fleming's (1979)
bounds: hardly anything early, and nearly all at the end. The level of a look follows from those
before it, for a mean whose increments are independent. The means of s and of S seeds are more alike
than that, because they share the questions, so that the claimed rate is an upper limit (Slepian
1962). A test with another distribution than the normal one is made at the level of the look.

An interval at the level of its look covers with all those before it (repeated confidence interval,
Jennison and Turnbull 1989). The adjusted p is the smallest error rate whose spending rejects at
this look; Holm's adjustment of such p keeps the error rate of a family over all looks (Maurer and
Bretz 2013).

Simulated error rates: `python benchmarks/looks.py`.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import NDArray

Array = NDArray[np.float64]

NODES = 96  # of the integral over the paths that have not crossed a bound
REACH = 9.0  # standard deviations: what lies beyond is left out
FARTHEST = 40.0  # no bound is searched beyond, in standard deviations
# One-sided error rates for which levels are computed; between them they are interpolated.
TOTALS = np.geomspace(1e-10, 0.5, 61)


SINGLE = (1.0,)  # the fractions of a sweep that is reported once, with all its seeds


@dataclass(frozen=True)
class Looks:
    """The number of seeds that a sweep plans, and those at which it was reported, ascending.

    sequential: whether it ends before the planned number where its verdicts are settled.
    is_changed: whether the planned number was another one when results were there already.
    """

    planned: int
    taken: tuple[int, ...] = ()
    sequential: bool = False
    is_changed: bool = False

    def fractions(self, n_seeds: int) -> tuple[float, ...]:
        """Return the shares of the planned seeds at the looks before one at so many seeds, and of
        this look; seeds beyond the planned ones count as the last of these.
        """
        now = min(n_seeds, self.planned)
        before = [count for count in self.taken if count < now]
        return tuple(count / self.planned for count in [*before, now])


def fractions_of(looks: Looks | None, n_seeds: int) -> tuple[float, ...]:
    """Return `Looks.fractions`, those of a single look where no number of seeds was planned."""
    return SINGLE if looks is None else looks.fractions(n_seeds)


def of_both(first: tuple[float, ...], second: tuple[float, ...]) -> tuple[float, ...]:
    """Return the fractions of a difference between two sweeps: as few seeds as the sweep with fewer
    of its own, and the looks at either before that.
    """
    now = min(first[-1], second[-1])
    before = {fraction for fraction in (*first, *second) if fraction < now}
    return (*sorted(before), now)


def spent(total: Any, fraction: float) -> Any:
    """Return how much of the one-sided error rate `total` is used up at a share of the seeds."""
    size = scipy.special.ndtri(1 - np.asarray(total) / 2) / np.sqrt(fraction)
    return 2 * scipy.special.ndtr(-size)


@functools.lru_cache(maxsize=1)
def _legendre() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes, weights


@dataclass(frozen=True)
class _Paths:
    """Where the paths are that crossed no bound: places with their masses, after the bound, a
    normal deviate, of a look by which `used` of the error rate is used up.
    """

    places: Array
    masses: Array
    bound: float
    used: float


@functools.lru_cache(maxsize=4096)
def _paths(total: float, fractions: tuple[float, ...]) -> _Paths:
    """Return the paths after the last look, by Armitage, McPherson and Rowe's (1969) recursion.

    A path is that of a Brownian motion at the fractions. Its density, of the paths that crossed no
    earlier bound, is kept at the nodes of an integral up to the bound.
    """
    if not fractions:
        return _Paths(np.zeros(1), np.ones(1), 0.0, 0.0)
    before = _paths(total, fractions[:-1])
    fraction = fractions[-1]
    step = np.sqrt(fraction - (fractions[-2] if len(fractions) > 1 else 0.0))
    used = float(spent(total, fraction))

    def excess(place: float) -> float:
        beyond = scipy.special.ndtr((before.places - place) / step)
        return float((before.masses * beyond).sum()) - (used - before.used)

    size = float(np.sqrt(fraction))
    bound = float(scipy.optimize.brentq(excess, -FARTHEST * size, FARTHEST * size, xtol=1e-12))
    nodes, weights = _legendre()
    half = (bound - min(-REACH * size, bound - 1.0)) / 2
    places = bound + half * (nodes - 1)
    deviates = (places[:, None] - before.places) / step
    density = np.exp(-(deviates**2) / 2) / np.sqrt(2 * np.pi) / step
    masses = half * weights * (density @ before.masses)
    return _Paths(places, masses, bound / size, used)


@functools.lru_cache(maxsize=256)
def _levels(fractions: tuple[float, ...]) -> Array:
    """Return the one-sided levels of the last look for the error rates `TOTALS`."""
    bounds = np.array([_paths(float(total), fractions).bound for total in TOTALS])
    return np.asarray(scipy.special.ndtr(-bounds), dtype=np.float64)


def level_of(total: float, fractions: tuple[float, ...]) -> float:
    """Return the one-sided level at which a claim with the error rate `total` over all looks is
    tested at the last of them.

    Args:
        total: one-sided, from 1e-10 to 0.5.
        fractions: those of `Looks`.
    """
    if fractions == SINGLE:
        return total
    level = np.interp(np.log(total), np.log(TOTALS), np.log(_levels(fractions)))
    return float(np.exp(level))


def adjusted(p: Any, fractions: tuple[float, ...]) -> Any:
    """Return one-sided p adjusted for the looks: the smallest error rate that rejects at the last
    of them; NaN stays NaN.

    p that no error rate of at most 0.5 rejects goes to 1 in proportion to its logarithm, and p
    below all levels keeps the ratio of the smallest of them to its error rate.
    """
    if fractions == SINGLE:
        return p
    levels = np.log(np.append(_levels(fractions), 1.0))
    totals = np.log(np.append(TOTALS, 1.0))
    values = np.asarray(p, dtype=np.float64)
    smallest = np.exp(levels[0])
    inside = np.exp(np.interp(np.log(np.maximum(values, smallest)), levels, totals))
    below = values < smallest
    return np.where(below, values * np.exp(totals[0] - levels[0]), inside)[()]
