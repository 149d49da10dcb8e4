"""Estimates that cross seeds with questions, paired effects, Holm's adjustment and the
non-inferiority verdict.

The unit of every function is the matrix y[..., s, g]: what question g contributes at seed s to a
(macro) mean. Both seeds and questions are random samples: the claim is about other seeds and other
questions, not about these checkpoints.

**The interval.** For y = mean + seed + question + rest (two-way random effects without
replication), with the mean squares A (seeds), B (questions) and E (rest), the variance of the grand
mean is (A + B - E) / (S G) in expectation. Its two parts are estimated as

    seeds      A* = max(A, E, floor E),
    questions  Q  = max(B - E, 0),

where E is the least that A can be in expectation, and `floor` is the median of A / E over the
ratios of a sweep (`typical_inflation`): one ratio whose few seeds agree by chance is not taken for
one that seeds do not move. The mean, less its true value and times sqrt(S G), is referred to the
distribution of

    sqrt(A*) T + sqrt(Q) U,    T Student's t with S - 1 degrees of freedom, U with those of the
                               questions, independent,

the solution of Behrens (1929) and Fisher (1935) for a sum of two variances. It is t with S - 1
degrees of freedom where only seeds matter, and t over the questions where only these do. Between
the two its tails stay those of few seeds, however small A is: Satterthwaite's degrees of freedom
jump to hundreds where A is small by chance, and p below .01 came out several times too small.

Error rates, before (Satterthwaite's) and now, in per cent: `python benchmarks/calibration.py` and
docs/report.md. Borrowing more, the pooled variance itself with 7 (S - 1) degrees of freedom or an
empirical Bayes mean of the two, is wrong where ratios differ in A / E, as they do: P(p < .001) of
the ratio with the largest A / E is up to 20 and 5 per cent.

**Questions.** An interval over questions says little where hardly any of them carries the
difference. A loss of the margin may lie in so few that a sample holds none. So no ratio is called
non-inferior where the questions times the margin are below `MIN_LOST`, or the effective number of
questions that carry the difference, (sum d^2)^2 / sum d^4 over the questions' mean differences d,
is below `MIN_CARRYING`: it is inconclusive, and more questions are needed. Of questions in
clusters, the first counts questions and the second clusters.

A test on questions alone, with the seeds averaged, rejects a true null about four times too often
as soon as seeds matter: with fewer than `MIN_SEEDS` seeds that conditional interval is all there
is, and it is labelled so and carries no verdict.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from hybrid_sweep.report import looks
from hybrid_sweep.report.clusters import contributions_of_clusters

Array = NDArray[np.float64]

# with two seeds one degree of freedom is left: an interval some six times too wide to be of use
MIN_SEEDS = 3
# Non-inferiority asks for at least so many questions times the margin: with fewer, a loss that lies
# in few questions is absent from more than 5 % of the samples, e^-3.
MIN_LOST = 3.0
# ... and for so many questions, effectively, that carry the difference.
MIN_CARRYING = 10.0
NODES = 96  # of the integral over the seeds' chi-square: p is right to eight digits
NODES_OF_TWO = 48  # of each of two sets of seeds: p is right to four digits
NODE_TAIL = 1e-15  # what lies beyond the outermost nodes
SECANT_STEPS = 30  # at most; six are common
# the chance with which `seeds_to_settle` seeds reach a verdict, if the estimates are the truth
SETTLE_POWER = 0.8
SETTLE_LIMIT = 1000


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error; `mean`, `se` and `df` are floats or arrays of one shape.

    `interval` is "crossed" (seeds and questions), "independent" (the same, of two sets of seeds:
    `comparison.between`), "conditional" (questions alone: these checkpoints) or "none" (fewer than
    two questions: se is NaN). Where it is "crossed", `df` is that of the seeds, `squares` holds the
    mean squares A, B, E, and `parts` the variance of the mean times S G by seeds and by questions;
    where it is "independent", `parts` are those of either set of seeds and of the questions, and
    `df_sets` the degrees of freedom of the sets; else the mean is referred to Student's t with
    `df`. `carrying` is the effective number of questions that carry the mean, inf where not
    counted. `fractions` are those of `looks`: intervals and p hold over all looks. Where clusters
    of questions are what is sampled, all that is said of questions holds of them, and `asked` is
    the effective number of the questions themselves.
    """

    mean: Any
    se: Any
    df: Any
    n_seeds: int
    n_questions: int
    df_questions: float
    interval: str
    squares: tuple[Any, Any, Any] | None = None
    parts: tuple[Any, ...] | None = None
    carrying: Any = np.inf
    df_sets: tuple[int, ...] = ()
    fractions: tuple[float, ...] = looks.SINGLE
    asked: float | None = None
    # critical values by level, for those who ask again
    _known: dict[float, Any] = dataclasses.field(default_factory=dict, init=False, compare=False)

    @property
    def dfs(self) -> tuple[int, ...]:
        """Return the degrees of freedom of each set of seeds."""
        return self.df_sets or (self.n_seeds - 1,)


def contributions(
    values: Array,
    domain: NDArray[np.intp],
    group: NDArray[np.intp],
    cluster: NDArray[np.intp] | None = None,
) -> tuple[Array, float]:
    """Split macro means into what each question contributes: y of shape (runs, questions), and the
    df of the questions.

    Where questions belong to clusters, which `cluster` gives of each row, coded alike, these take
    the place of the questions: see `contributions_of_clusters`.

    `values` is (runs, rows); `domain` and `group` give each row's domain (language or pair, coded 0
    to L - 1) and question (coded 0 to G - 1), with no gap in the codes. The mean over domains of
    the domain means equals y.mean(axis=1). All language versions of a question meet in one number,
    so that they are never counted as independent.

    y is linearised about each run's domain means: m + G / L * sum over rows of (x - m_domain) /
    n_domain. Without the centring a question would count for more merely because it exists in more
    languages. Residuals of a domain with n questions are stretched by sqrt(n / (n - 1)), as a
    domain of ten deserves; the df is the effective number of questions (tau^2 sum squared over the
    sum of tau^4, tau_g^2 = sum over its rows of 1 / n_domain^2) less one, G - 1 if balanced.
    """
    if cluster is not None:
        return contributions_of_clusters(values, domain, group, cluster)
    rows = values.shape[1]
    n_groups, n_domains = int(group.max()) + 1, int(domain.max()) + 1
    count = np.bincount(domain, minlength=n_domains).astype(np.float64)
    pairs = np.unique(domain.astype(np.int64) * n_groups + group)
    questions = np.bincount(pairs // n_groups, minlength=n_domains)
    position = np.arange(rows)
    by_domain = scipy.sparse.csr_array(
        (1.0 / count[domain], (domain, position)), shape=(n_domains, rows)
    )
    means = (by_domain @ values.T).T
    # A domain with a single question has no residual at all: nothing to stretch, and nothing to
    # estimate.
    stretch = np.sqrt(questions / np.maximum(questions - 1, 1) * (n_groups - 1) / n_groups)
    weight = n_groups / n_domains / count * stretch
    by_group = scipy.sparse.csr_array((weight[domain], (group, position)), shape=(n_groups, rows))
    y = means.mean(axis=1)[:, None] + (by_group @ (values - means[:, domain]).T).T
    tau2 = np.bincount(group, weights=1.0 / count[domain] ** 2, minlength=n_groups)
    return y, float(tau2.sum() ** 2 / (tau2**2).sum() - 1)


def mean_squares(y: Array) -> tuple[Array, Array, Array, Array]:
    """Return the grand mean and the mean squares of seeds, questions and rest of y[..., s, g];
    needs S >= 2 and G >= 2.
    """
    n_seeds, n_questions = y.shape[-2:]
    mean = y.mean(axis=(-2, -1))
    seeds = y.mean(axis=-1) - mean[..., None]
    questions = y.mean(axis=-2) - mean[..., None]
    rest = y - mean[..., None, None] - seeds[..., :, None] - questions[..., None, :]
    square_seeds = n_questions * (seeds**2).sum(axis=-1) / (n_seeds - 1)
    square_questions = n_seeds * (questions**2).sum(axis=-1) / (n_questions - 1)
    square_rest = (rest**2).sum(axis=(-2, -1)) / ((n_seeds - 1) * (n_questions - 1))
    return mean, square_seeds, square_questions, square_rest


def typical_inflation(matrices: Sequence[Array]) -> Any:
    """Return the median of A / E over matrices y[..., s, g], one for each ratio: what seeds
    typically add to the noise of single cells.

    The rests of two ratios differ several times over, their A with them; A / E is what they have in
    common. Matrices without an interval over seeds, or without a rest, do not count; 0 where none
    does.
    """
    inflations = []
    for y in matrices:
        n_seeds, n_questions = y.shape[-2:]
        if n_seeds < MIN_SEEDS or n_questions < 2:
            continue
        _, seeds, _, rest = mean_squares(y)
        nothing = np.full_like(rest, np.nan)
        inflations.append(np.divide(seeds, rest, out=nothing, where=rest > 0))
    if not inflations:
        return 0.0
    stacked = np.stack(inflations)
    counted = ~np.isnan(stacked).all(axis=0)
    typical = np.zeros(counted.shape)
    typical[counted] = np.nanmedian(stacked[:, counted], axis=0)
    return typical[()]


def from_squares(
    mean: Any,
    squares: tuple[Any, Any, Any],
    counts: tuple[int, int, float],
    floor: Any = 0.0,
) -> Estimate:
    """Return the crossed estimate from the mean squares (A, B, E) of seeds, questions and rest.

    Args:
        mean: float or array, as are the mean squares.
        counts: the number of seeds, that of questions, and the questions' degrees of freedom.
        floor: the least A / E, that of `typical_inflation`; 1 where it is smaller.
    """
    n_seeds, n_questions, df_questions = counts
    seeds, questions, rest = (np.asarray(square, dtype=np.float64) for square in squares)
    of_seeds = np.maximum(seeds, np.maximum(floor, 1.0) * rest)
    of_questions = np.maximum(questions - rest, 0.0)
    se = np.sqrt((of_seeds + of_questions) / (n_seeds * n_questions))
    df = np.full(se.shape, n_seeds - 1.0)
    return Estimate(
        mean,
        se,
        df,
        n_seeds,
        n_questions,
        df_questions,
        "crossed",
        (seeds, questions, rest),
        (of_seeds, of_questions),
    )


def carrying(y: Array) -> Any:
    """Return the effective number of questions that carry the mean of y[..., s, g]: (sum d^2)^2 /
    sum d^4 over the questions' means d; 0 where all are 0.
    """
    square = y.mean(axis=-2) ** 2
    squared, fourth = square.sum(axis=-1) ** 2, (square**2).sum(axis=-1)
    return np.divide(squared, fourth, out=np.zeros_like(squared), where=fourth > 0)


def crossed_estimate(y: Array, df_questions: float | None = None, floor: Any = 0.0) -> Estimate:
    """Return the mean of y[..., s, g] with its standard error: crossed from `MIN_SEEDS` seeds on,
    else conditional on these seeds.

    floor: the least A / E, that of `typical_inflation`.
    """
    n_seeds, n_questions = y.shape[-2:]
    df_questions = float(n_questions - 1) if df_questions is None else df_questions
    if n_questions < 2 or df_questions <= 0:
        nan = np.full(y.shape[:-2], np.nan)
        return Estimate(y.mean(axis=(-2, -1)), nan, nan, n_seeds, n_questions, df_questions, "none")
    if n_seeds >= MIN_SEEDS:
        mean, *squares = mean_squares(y)
        estimated = from_squares(
            mean,
            (squares[0], squares[1], squares[2]),
            (n_seeds, n_questions, df_questions),
            floor,
        )
        return dataclasses.replace(estimated, carrying=carrying(y))
    per_question = y.mean(axis=-2)
    se = np.sqrt(per_question.var(axis=-1, ddof=1) / n_questions)
    df = np.full(se.shape, df_questions)
    return Estimate(
        per_question.mean(axis=-1), se, df, n_seeds, n_questions, df_questions, "conditional"
    )


def t_quantile(probability: Any, df: Any) -> Any:
    """Return the quantile of Student's t: the function that `scipy.stats.t.ppf` calls."""
    return scipy.special.stdtrit(df, probability)


@functools.lru_cache(maxsize=64)
def _nodes(dfs: tuple[int, ...]) -> tuple[tuple[Array, ...], Array]:
    """Return values of independent chi-squares, each over its df, and their weights, for the mean
    of a function of them: the trapezoid rule on the scale of logarithms.
    """
    count = NODES if len(dfs) == 1 else NODES_OF_TWO
    values, weights = [], np.ones(1)
    for df in dfs:
        first, last = scipy.stats.chi2.ppf(NODE_TAIL, df), scipy.stats.chi2.isf(NODE_TAIL, df)
        logs = np.linspace(np.log(first), np.log(last), count)
        density = np.exp(scipy.stats.chi2.logpdf(np.exp(logs), df) + logs)
        values.append(np.exp(logs) / df)
        weights = np.multiply.outer(weights, density / density.sum()).ravel()
    grids = np.meshgrid(*values, indexing="ij")
    return tuple(grid.ravel() for grid in grids), weights


def _tail(size: Array, shares: Sequence[Array], dfs: tuple[int, ...], df_questions: float) -> Array:
    """Return P(|sum of sqrt(share_k) T_k + sqrt(1 - sum of shares) U| > size), T_k and U as in the
    module's docstring, one T for each set of seeds.

    Given the chi-squares of the T, the sum is normal but for U, so that it is Student's t to which
    Satterthwaite's df of U's share apply.
    """
    ratios, weights = _nodes(dfs)
    of_questions = np.maximum(1 - sum(shares), 0.0)[..., None]
    variance = of_questions
    for share, ratio in zip(shares, ratios, strict=True):
        variance = variance + share[..., None] / ratio
    inverse = (of_questions / variance) ** 2 / df_questions
    df = 1 / np.maximum(inverse, 1e-12)
    tails = scipy.special.stdtr(df, -size[..., None] / np.sqrt(variance))
    two_sided: Array = 2 * (tails * weights).sum(axis=-1)
    return two_sided


def _log_tail(
    log_size: Array, shares: Sequence[Array], dfs: tuple[int, ...], df_questions: float
) -> Array:
    """Return the logarithm of `_tail`, finite also where that is too small for a float."""
    tail = _tail(np.exp(log_size), shares, dfs, df_questions)
    logs: Array = np.log(np.maximum(tail, np.finfo(np.float64).tiny))
    return logs


def critical_value(
    level: float, shares: Sequence[Array], dfs: tuple[int, ...], df_questions: float
) -> Array:
    """Return half the width of the two-sided interval at `level` in standard errors, by the secant
    rule on logarithms: the size whose `_tail` is 1 - level.

    Args:
        level: e.g. 0.95.
        shares: of each set of seeds in the variance of the mean, from 0 to 1; one shape.
        dfs: number of seeds less one, of each set.
        df_questions: degrees of freedom of the questions.
    """
    few = min(dfs)
    start = t_quantile(0.5 + level / 2, np.array([few, max(df_questions, few + 1.0)]))
    before, now = (np.full(np.shape(shares[0]), np.log(value)) for value in start)
    wanted = np.log(1 - level)
    error = _log_tail(before, shares, dfs, df_questions) - wanted
    for _ in range(SECANT_STEPS):
        new_error = _log_tail(now, shares, dfs, df_questions) - wanted
        rise = new_error - error
        step = np.divide(now - before, rise, out=np.zeros_like(now), where=rise != 0)
        before, error = now, new_error
        now = now - new_error * step
        if np.all(np.abs(now - before) < 1e-13):
            break
    quantile: Array = np.exp(now)
    return quantile


def shares_of_seeds(estimated: Estimate) -> list[Array]:
    """Return the share of each set of seeds in the variance of a mean with an interval over seeds;
    where there is no variance, all of it is the first's.
    """
    assert estimated.parts is not None
    *seeds, questions = estimated.parts
    total = sum(seeds) + questions
    shares = []
    for place, part in enumerate(seeds):
        start = np.ones_like(total) if place == 0 else np.zeros_like(total)
        shares.append(np.divide(part, total, out=start, where=total > 0))
    return shares


def _quantile(estimated: Estimate, level: float) -> Array:
    """Return the critical value of an estimate over seeds at a level."""
    if level not in estimated._known:
        shares = shares_of_seeds(estimated)
        of_level = critical_value(level, shares, estimated.dfs, estimated.df_questions)
        estimated._known[level] = of_level
    quantile: Array = estimated._known[level]
    return quantile


def half_width(estimated: Estimate, level: float) -> Any:
    """Return half the width of the two-sided interval at `level`, e.g. 0.95; NaN where there is
    none.
    """
    if estimated.parts is None:
        return t_quantile(0.5 + level / 2, estimated.df) * estimated.se
    level = 1 - 2 * looks.level_of((1 - level) / 2, estimated.fractions)
    return _quantile(estimated, level) * estimated.se


def bounds(estimated: Estimate, level: float) -> tuple[Any, Any]:
    """Return both ends of the two-sided interval at `level`, e.g. 0.95; NaN where there is none."""
    half = half_width(estimated, level)
    return estimated.mean - half, estimated.mean + half


def p_value(estimated: Estimate) -> Any:
    """Return the two-sided p of a true mean of 0; 1 where mean and se are both 0 (two equal runs),
    NaN without a se.
    """
    mean, se = np.abs(np.asarray(estimated.mean)), np.asarray(estimated.se)
    t = np.divide(mean, se, out=np.where(mean > 0, np.inf, 0.0), where=~(se == 0))
    if estimated.parts is None:
        return 2 * scipy.special.stdtr(estimated.df, -t)
    p = _tail(t, shares_of_seeds(estimated), estimated.dfs, estimated.df_questions)
    return np.minimum(2 * looks.adjusted(p / 2, estimated.fractions), 1.0)


def equivalent_df(estimated: Estimate) -> Any:
    """Return the degrees of freedom of Student's t with the same 95 % interval: from S - 1, where
    only seeds matter, up to those of the questions.
    """
    if estimated.parts is None:
        return estimated.df
    return scipy.special.stdtridf(0.975, _quantile(estimated, 0.95))


def relative(
    y: Array, base: Array, df_questions: float | None = None, floor: Any = 0.0
) -> Estimate:
    """Return the change of the mean of y against that of `base`, as a share of the latter; both
    (..., S, G), seeds in the same order.

    Linearised ratio of two means (Fieller's problem, delta method): (y - ratio * base) /
    mean(base), centred on ratio - 1. NaN where the base is 0. floor: as in `crossed_estimate`.
    """
    bottom = base.mean(axis=(-2, -1), keepdims=True)
    bottom = np.where(bottom == 0, np.nan, bottom)
    ratio = y.mean(axis=(-2, -1), keepdims=True) / bottom
    change = (y - ratio * base) / bottom + (ratio - 1)
    return crossed_estimate(change, df_questions, floor)


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's (1979) step-down adjusted p-values; NaN entries stay NaN and do not count as
    comparisons.
    """
    adjusted = np.asarray(p, dtype=np.float64).copy()
    tested = np.flatnonzero(~np.isnan(adjusted))
    order = tested[np.argsort(adjusted[tested], kind="stable")]
    steps = adjusted[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


def too_few_questions(effect: Estimate, margin: float) -> bool:
    """Return whether a loss of the margin may well lie in questions that the sample does not hold:
    see "Questions" in the module's docstring.
    """
    asked = effect.df_questions + 1 if effect.asked is None else effect.asked
    lost = asked * margin
    return bool(lost < MIN_LOST or effect.carrying < MIN_CARRYING)


def p_of_loss(effect: Estimate, margin: float) -> Any:
    """Return the one-sided p of a true change of -margin or more: small where a loss larger than
    the margin is shown. NaN without a se.
    """
    beyond = dataclasses.replace(effect, mean=effect.mean + margin, fractions=looks.SINGLE)
    both_sides = p_value(beyond)
    one_sided = np.where(beyond.mean < 0, both_sides / 2, 1 - both_sides / 2)
    fractions = effect.fractions if effect.parts is not None else looks.SINGLE
    return looks.adjusted(one_sided, fractions)[()]


def verdict(effect: Estimate, margin: float, p_holm: float, p_loss_holm: float) -> str:
    """Return where the paired effect stands to the margin.

    "degraded": a loss larger than the margin at 5 %, one-sided, after Holm's adjustment.
    "non-inferior": the 90 % interval lies wholly above -margin (one-sided 5 %); "superior" if it is
    also a gain at Holm-adjusted 5 %. "inconclusive": none of these, or the interval lies above
    -margin but rests on too few questions. "untested": fewer than `MIN_SEEDS` common seeds, or no
    interval.

    A claim of a loss or a gain is adjusted, because it is searched over the ratios (and languages).
    Non-inferiority is not: `largest_non_inferior` tests in a fixed sequence.

    Args:
        effect: change against ratio 0; scalar.
        margin: loss that counts as none, 0 or more.
        p_holm: two-sided p of no change, adjusted for the comparisons of its family.
        p_loss_holm: `p_of_loss`, adjusted likewise.
    """
    if effect.interval != "crossed":
        return "untested"
    if p_loss_holm < 0.05:
        return "degraded"
    if bounds(effect, 0.90)[0] > -margin and not too_few_questions(effect, margin):
        return "superior" if effect.mean > 0 and p_holm < 0.05 else "non-inferior"
    return "inconclusive"


def _needed(n_seeds: int, effect: Estimate) -> float:
    """Return the distance from the margin at which so many seeds reach a verdict with a chance of
    `SETTLE_POWER`, if the variance components of `effect` are the truth.
    """
    assert effect.parts is not None
    # A = G x seed variance + rest variance does not depend on the number of seeds, S x question
    # variance does.
    seeds = np.asarray(effect.parts[0], dtype=np.float64)
    questions = np.asarray(effect.parts[1] / effect.n_seeds * n_seeds, dtype=np.float64)
    squares = (seeds, questions, np.zeros_like(seeds))
    there = from_squares(0.0, squares, (n_seeds, effect.n_questions, effect.df_questions))
    return float(half_width(there, 0.9) + half_width(there, 2 * SETTLE_POWER - 1))


def fewest_seeds(effect: Estimate, distance: float) -> float:
    """Return the number of seeds at which a verdict at such a distance from the margin is reached
    with a chance of `SETTLE_POWER`, the variance components of `effect` being the truth; inf if it
    is more than `SETTLE_LIMIT`.
    """
    if distance <= 0 or _needed(SETTLE_LIMIT, effect) >= distance:
        return float("inf")
    too_few, enough = MIN_SEEDS - 1, SETTLE_LIMIT
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if _needed(middle, effect) < distance:
            enough = middle
        else:
            too_few = middle
    return float(enough)


def seeds_to_settle(effect: Estimate, margin: float) -> tuple[float, float]:
    """Return the range of the number of seeds with which the verdict would fall with a chance of
    `SETTLE_POWER`.

    A single number would be a guess: where ten seeds are needed, five seeds say 5 to 55. The ends
    take the variance of the seeds and the distance to the margin at the quartiles of what the
    estimates allow: both on the good side for the lower end, both on the bad side for the upper
    one. inf: more than `SETTLE_LIMIT`, so that more questions are needed, or the margin is too
    close. NaN without a crossed interval.
    """
    if effect.parts is None:
        return float("nan"), float("nan")
    if too_few_questions(effect, margin):
        return float("inf"), float("inf")
    of_seeds, of_questions = effect.parts
    effect = dataclasses.replace(effect, fractions=looks.SINGLE)
    df = effect.n_seeds - 1
    distance = abs(float(effect.mean) + margin)
    doubt = float(half_width(effect, 0.5))
    ends = []
    for side, quartile in ((1, 0.75), (-1, 0.25)):
        variance = of_seeds * df / scipy.stats.chi2.ppf(quartile, df)
        there = dataclasses.replace(effect, parts=(variance, of_questions))
        ends.append(fewest_seeds(there, distance + side * doubt))
    return ends[0], ends[1]


def holds(verdict_: str) -> bool:
    """Return whether a verdict says that the loss, if any, is smaller than the margin."""
    return verdict_ in ("non-inferior", "superior")


def largest_non_inferior(ratios: Sequence[float], verdicts: Sequence[str]) -> float | None:
    """Return the largest ratio that is non-inferior together with every smaller tested ratio; None
    if the smallest is not.

    Walking upwards and stopping at the first failure is a fixed-sequence test: the chance of any
    false step is 5 % over the whole walk, with no further adjustment. A non-inferior ratio beyond
    the first failure is not counted, because a curve that is not monotone there would make "up to
    r*" untrue.
    """
    largest = None
    for ratio, outcome in sorted(zip(ratios, verdicts, strict=True)):
        if not holds(outcome):
            break
        largest = ratio
    return largest
