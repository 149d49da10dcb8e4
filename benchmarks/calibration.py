"""Error rates of the intervals and tests of `report.statistics`, beside those of other recipes:

    python benchmarks/calibration.py                      the tables of docs/report.md (minutes)
    python benchmarks/calibration.py --sweeps 5000
    python benchmarks/calibration.py --pairs              that of the module `comparison.between`

`Truth` draws means and mean squares of a sweep of seven ratios from their distributions, which is
cheap enough for p of .001. `ranks` draws reciprocal ranks; its parameters are fitted to the table of
experiments/shape (MRR .71; at r = .05 to 1 E .011 to .042, A / E 1.4 to 4.9, Q / E 0 to 1.5; drawn:
.71, .017 to .043, 1.2 to 5.0, .1 to 1.6). Its ratios correlate as those do, and the reciprocal ranks
have one distribution at all of them, so that no ratio differs from another in truth.
"""

import argparse
import dataclasses
import functools
import itertools
from dataclasses import dataclass

import numpy as np
import scipy.special
from scipy.interpolate import RectBivariateSpline

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.comparison.between import MeanSquares, from_squares
from hybrid_sweep.report.critical_values import interpolated

Array = np.ndarray
RATIOS = np.array([0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
LEVELS = (0.1, 0.05, 0.01, 0.05 / 7, 0.05 / 28, 0.001)
INFLATIONS = (1.0, 1.2, 4.0, 8.0, 100.0)
QUESTIONS = (0.0, 0.5, 2.0, 10.0)
RECIPES = ("before", "before, A >= E", "t of the seeds", "pooled", "moderated", "no floor", "now")


NARROWER = 0.98  # allows for the error of an interpolated interval
KNOTS_OF_TWO = 21  # on either axis where there are two sets of seeds: right to 1e-3


@functools.lru_cache(maxsize=256)
def _spline_of_two(level: float, dfs: tuple[int, ...], df_questions: float) -> RectBivariateSpline:
    """Return the same of two sets of seeds, over the angles of the share of both, and of the first
    set in it.
    """
    angle = np.linspace(0, np.pi / 2, KNOTS_OF_TWO)
    both, first = np.meshgrid(np.sin(angle) ** 2, np.sin(angle) ** 2, indexing="ij")
    shares = [both * first, both * (1 - first)]
    values = st.critical_value(level, shares, dfs, df_questions)
    return RectBivariateSpline(angle, angle, np.log(values))


def half_widths(estimated: st.Estimate, level: float) -> np.ndarray:
    """Return half the width of the two-sided intervals at `level` of an array of means.

    A mean is significant at 1 - level where it is further from zero.
    """
    if estimated.parts is None:
        return st.half_width(estimated, level)
    shares = st.shares_of_seeds(estimated)
    if len(shares) == 1:
        [df_seeds] = estimated.dfs
        sizes = interpolated(level, shares[0], df_seeds, estimated.df_questions)
        return sizes * estimated.se
    both = np.clip(sum(shares), 0.0, 1.0)
    angle = np.arcsin(np.sqrt(both))
    first = np.divide(shares[0], both, out=np.ones_like(both), where=both > 0)
    split = np.arcsin(np.sqrt(np.clip(first, 0.0, 1.0)))
    spline = _spline_of_two(level, estimated.dfs, estimated.df_questions)
    return np.exp(spline(angle, split, grid=False)) * estimated.se


def excludes_zero(estimated: st.Estimate, level: float) -> np.ndarray:
    """Return which of an array of means are significant at 1 - level: what `half_widths` says, asked
    only of those that even a normal distribution would not rule out, since all intervals are wider.
    """
    size, se = np.abs(estimated.mean), np.asarray(estimated.se)
    wrong = np.zeros(size.shape, dtype=bool)
    far = size > NARROWER * scipy.special.ndtri(0.5 + level / 2) * se
    parts = None if estimated.parts is None else tuple(part[far] for part in estimated.parts)
    df = np.broadcast_to(estimated.df, size.shape)[far]
    chosen = dataclasses.replace(
        estimated, mean=estimated.mean[far], se=se[far], df=df, squares=None, parts=parts
    )
    wrong[far] = size[far] > half_widths(chosen, level)
    return wrong


@dataclass(frozen=True)
class Truth:
    """A sweep of seven ratios without any effect, E = 1.

    `inflation` is A / E: of each ratio ("flat"), of the last, rising evenly from 1 ("rising"), or
    of the last alone, 1 elsewhere ("one"). `questions` is Q / E, `correlation` that of the seeds'
    effects between ratios.
    """

    n_seeds: int
    inflation: float
    questions: float
    profile: str = "flat"
    correlation: float = 0.8
    n_questions: int = 801


@dataclass(frozen=True)
class Drawn:
    """Draws (sweeps, ratios) of the means times sqrt(S G) and of A, B and E; the sd of the means."""

    mean: Array
    seeds: Array
    questions: Array
    rest: Array
    sd: Array
    truth: Truth


def drawn(truth: Truth, sweeps: int, rng: np.random.Generator) -> Drawn:
    """Draw means and mean squares of sweeps."""
    ratios, freedom = 7, truth.n_questions - 1
    inflation = np.full(ratios, truth.inflation)
    if truth.profile == "rising":
        inflation = np.linspace(1, truth.inflation, ratios)
    if truth.profile == "one":
        inflation[:-1] = 1.0
    shape = (sweeps, truth.n_seeds, ratios)
    common, own = rng.standard_normal((*shape[:2], 1)), rng.standard_normal(shape)
    effects = np.sqrt(truth.correlation) * common + np.sqrt(1 - truth.correlation) * own
    effects *= np.sqrt(inflation)
    questions = 0.9**0.5 * rng.standard_normal((sweeps, 1))
    questions = questions + 0.1**0.5 * rng.standard_normal((sweeps, ratios))
    mean = truth.n_seeds**0.5 * effects.mean(axis=1) + truth.questions**0.5 * questions
    of_rest = (truth.n_seeds - 1) * freedom
    return Drawn(
        mean,
        effects.var(axis=1, ddof=1),
        (1 + truth.questions) * rng.chisquare(freedom, (sweeps, ratios)) / freedom,
        rng.chisquare(of_rest, (sweeps, ratios)) / of_rest,
        np.sqrt(inflation + truth.questions),
        truth,
    )


def satterthwaite(seeds: Array, questions: Array, df_seeds: Array, df_questions: float) -> Array:
    """Return Satterthwaite's degrees of freedom of A + Q, made safe for few seeds as they were
    before.
    """
    spread = (1 + 2 / df_seeds) * seeds**2 / df_seeds + questions**2 / df_questions
    return np.maximum((seeds + questions) ** 2 / spread, df_seeds)


def moderated(inflation: Array, df_seeds: int) -> tuple[Array, Array]:
    """Return Smyth's (2004) empirical Bayes A / E of each ratio and its degrees of freedom, the
    prior fitted to the logarithms of the ratios' A / E.
    """
    logs = np.log(inflation) - scipy.special.digamma(df_seeds / 2) + np.log(df_seeds / 2)
    wanted = logs.var(axis=1, ddof=1) - scipy.special.polygamma(1, df_seeds / 2)
    wanted = np.maximum(wanted, 1e-3)
    half = 0.5 + 1 / wanted
    for _ in range(20):  # Newton's rule for trigamma(half) = wanted
        value = scipy.special.polygamma(1, half)
        half += value * (1 - value / wanted) / scipy.special.polygamma(2, half)
        half = np.maximum(half, 0.01)
    prior = np.exp(logs.mean(axis=1) + scipy.special.digamma(half) - np.log(half))
    df, prior = 2 * half[:, None], prior[:, None]
    mean = (df * prior + df_seeds * inflation) / (df + df_seeds)
    pooled = inflation.shape[1] * df_seeds
    return mean, np.minimum(df + df_seeds, pooled) + np.zeros_like(mean)


def estimate(data: Drawn, recipe: str) -> st.Estimate:
    """Return the estimate of every mean by a recipe of `RECIPES`; se in units of 1 / sqrt(S G)."""
    truth, n = data.truth, data.truth.n_seeds
    df = np.full(data.seeds.shape, n - 1.0)
    inflation = data.seeds / data.rest
    questions = np.maximum(data.questions - data.rest, 0)
    seeds = np.maximum(data.seeds, data.rest)
    if recipe in ("now", "no floor"):
        floor = np.median(inflation, axis=1, keepdims=True) if recipe == "now" else 0.0
        squares = (data.seeds, data.questions, data.rest)
        counts = (n, truth.n_questions, truth.n_questions - 1.0)
        scale = (n * truth.n_questions) ** -0.5
        return st.from_squares(data.mean * scale, squares, counts, floor)
    least = np.zeros_like(seeds)
    if recipe == "before":
        seeds = data.seeds
        least = data.questions if n < 5 else least
    if recipe == "pooled":
        df = df * data.seeds.shape[1]
        seeds = np.maximum(inflation.mean(axis=1, keepdims=True), 1) * data.rest
    if recipe == "moderated":
        mean, df = moderated(inflation, n - 1)
        seeds = np.maximum(mean, 1) * data.rest
    freedom = satterthwaite(seeds, questions, df, truth.n_questions - 1.0)
    freedom = df if recipe == "t of the seeds" else freedom
    scale = (n * truth.n_questions) ** -0.5
    se = np.sqrt(np.maximum(seeds + questions, least)) * scale
    freedoms = (n, truth.n_questions, truth.n_questions - 1.0)
    return st.Estimate(data.mean * scale, se, freedom, *freedoms, "t")


@dataclass(frozen=True)
class Rates:
    """P(p < a) for a in `LEVELS`, largest over the ratios; P(any of seven Holm-adjusted p < .05);
    and of the last ratio: coverage of the narrowest 5 % of the 95 % intervals, half the width of
    the 90 % interval in true sd (median), P(a 90 % interval excludes a margin three sd away).
    """

    levels: Array
    family: float
    narrow: float
    half: float
    power: float


def rates(data: Drawn, recipe: str) -> Rates:
    """Return the error rates of a recipe."""
    found = estimate(data, recipe)
    size = np.abs(found.mean)
    levels, family = [], 0.0
    for level in LEVELS:
        wrong = excludes_zero(found, 1 - level)
        levels.append(wrong.mean(axis=0).max())
        if level == 0.05 / 7:  # the smallest of seven p decides whether Holm finds any
            family = float(wrong.any(axis=1).mean())
    wide, half = half_widths(found, 0.95)[:, -1], half_widths(found, 0.9)[:, -1]
    narrow = wide <= np.quantile(wide, 0.05)
    missed = size[:, -1] > wide
    unit = data.sd[-1] * (found.n_seeds * found.n_questions) ** -0.5
    return Rates(
        np.array(levels),
        family,
        float(1 - missed[narrow].mean()),
        float(np.median(half / unit)),
        float((found.mean[:, -1] + 3 * unit - half > 0).mean()),
    )


@dataclass(frozen=True)
class Ranks:
    """What `ranks` draws: sweeps, seeds, questions, languages; the sd of the seeds' effects."""

    sweeps: int
    n_seeds: int
    n_questions: int
    languages: int = 1
    seed_sd: float = 0.05


def _over_ratios(
    rng: np.random.Generator, shape: tuple[int, ...], decay: float, power: float
) -> Array:
    """Return standard normal values (*shape, ratios) with correlation exp(-decay |r - r'|^power)."""
    apart = np.abs(RATIOS[:, None] - RATIOS[None, :]) ** power
    factor = np.linalg.cholesky(np.exp(-decay * apart) + 1e-12 * np.eye(len(RATIOS)))
    return rng.standard_normal((*shape, len(RATIOS))) @ factor.T


def ranks(world: Ranks, rng: np.random.Generator) -> Array:
    """Return reciprocal ranks, cut at 10, of (sweeps, seeds, questions, languages, ratios)."""
    n, s, g, k = world.sweeps, world.n_seeds, world.n_questions, world.languages
    shared, own = rng.standard_normal((n, 1, g, 1, 1)), rng.standard_normal((n, 1, g, k, 1))
    logs = -0.6 + 2.0 * 0.5**0.5 * (shared + own)
    logs = logs + 0.7 * _over_ratios(rng, (n, 1, g, k), 0.4, 1.4)
    logs = logs + world.seed_sd * _over_ratios(rng, (n, s, 1, 1), 1.0, 1.3)
    logs = logs + 0.6 * _over_ratios(rng, (n, s, g, k), 2.0, 0.7)
    rank = np.maximum(np.ceil(np.exp(np.minimum(logs, 6.0))), 1.0)
    return np.where(rank <= 10, 1 / rank, 0.0)


def _line(name: str, found: list[Rates]) -> str:
    worst = 100 * np.max([one.levels for one in found], axis=0)
    cells = [f"{value:6.2f}" for value in worst]
    cells.append(f"{100 * max(one.family for one in found):7.1f}")
    cells.append(f"{100 * min(one.narrow for one in found):7.1f}")
    halves, powers = [one.half for one in found], [100 * one.power for one in found]
    cells.append(f"{min(halves):5.2f} to {max(halves):5.2f}")
    cells.append(f"{min(powers):4.0f} to {max(powers):3.0f}")
    return f"    {name:15}" + " ".join(cells)


@dataclass(frozen=True)
class Two:
    """Two sweeps without any difference whose seeds are independent.

    seeds, rests: of each, the number of seeds and E; excess: A - E of each; questions: the variance
    of a question's difference, in units of the rests of both.
    """

    seeds: tuple[int, int]
    n_questions: int
    excess: tuple[float, float] = (0.0, 0.0)
    questions: float = 0.0
    rests: tuple[float, float] = (1.0, 1.0)


def difference(truth: Two, repetitions: int, rng: np.random.Generator) -> st.Estimate:
    """Draw estimates of the difference from mean squares with their chi-square distributions."""
    freedom = truth.n_questions - 1
    sides, variance, base = [], 0.0, 0.0
    for count, rest, more in zip(truth.seeds, truth.rests, truth.excess, strict=True):
        df = (count - 1) * freedom
        of_seeds = (rest + more) * rng.chisquare(count - 1, repetitions) / (count - 1)
        sides.append(MeanSquares(of_seeds, rest * rng.chisquare(df, repetitions) / df, count))
        variance += (rest + more) / count
        base += rest / count
    spread = base * (1 + truth.questions) * rng.chisquare(freedom, repetitions) / freedom
    sd = np.sqrt((variance + base * truth.questions) / truth.n_questions)
    noise = sd * rng.standard_normal(repetitions)
    return from_squares(noise, (sides[0], sides[1]), spread, truth.n_questions, float(freedom))


PAIRS = ((3, 3), (5, 5), (10, 10), (3, 5), (3, 10), (5, 10))
PLACES = ((0, 0.3, 3, 100, 1000), (0, 0.3, 3, 100, 1000), (0, 1, 10, 100), (1, 10))


def pairs(repetitions: int) -> None:
    """Print P(p < a) for a = .05, .01, .001 of two sweeps' difference: the worst over `PLACES`."""
    print("seeds, P(p < a) in per cent for a = 5, 1, .1; the lowest for a = 5")
    for seeds in PAIRS:
        rng = np.random.default_rng(list(seeds))
        found = []
        for n_questions in (30, 2000):
            for one, two, questions, scale in itertools.product(*PLACES):
                truth = Two(seeds, n_questions, (one, two), questions, (1.0, scale))
                data = difference(truth, repetitions, rng)
                found.append([excludes_zero(data, 1 - a).mean() for a in (0.05, 0.01, 0.001)])
        rates = 100 * np.array(found)
        worst = " ".join(f"{value:5.2f}" for value in rates.max(axis=0))
        print(f"{seeds[0]:2} and {seeds[1]:2}  {worst}   {rates[:, 0].min():5.2f}", flush=True)


def main() -> None:
    """Print the worst rates over Q / E for each number of seeds, profile and A / E."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=20_000)
    parser.add_argument("--pairs", action="store_true", help="two sweeps of independent seeds")
    arguments = parser.parse_args()
    sweeps = arguments.sweeps
    if arguments.pairs:
        pairs(sweeps)
        return
    print("worst over Q / E = 0, .5, 2, 10; per cent: P(p < a) for a = 10, 5, 1, .714, .179, .1;")
    print("familywise by Holm over 7 ratios; coverage of the narrowest 5 % of 95 % intervals;")
    print("half width of 90 % in true sd; non-inferiority at three sd from the margin")
    for n_seeds in (3, 5, 10):
        for profile, correlation in [("flat", 0.3), ("flat", 0.8), ("rising", 0.8), ("one", 0.8)]:
            for inflation in INFLATIONS if profile == "flat" else (8.0, 100.0):
                print(f"{n_seeds} seeds, A / E {profile} {inflation:g}, correlation {correlation}")
                rng = np.random.default_rng([n_seeds, round(10 * inflation), len(profile)])
                found: dict[str, list[Rates]] = {recipe: [] for recipe in RECIPES}
                for questions in QUESTIONS:
                    truth = Truth(n_seeds, inflation, questions, profile, correlation)
                    data = drawn(truth, sweeps, rng)
                    for recipe in RECIPES:
                        found[recipe].append(rates(data, recipe))
                for recipe in RECIPES:
                    print(_line(recipe, found[recipe]), flush=True)


if __name__ == "__main__":
    main()
