"""Estimates that cross seeds with questions, paired effects, Holm's adjustment and the
non-inferiority verdict.

The unit of every function is the matrix y[..., s, g]: what question g contributes at seed s to a
(macro) mean. Both seeds and questions are random samples: the claim is about other seeds and other
questions, not about these checkpoints.

**The interval.** For y = mean + seed + question + rest (two-way random effects without
replication), with the mean squares A (seeds), B (questions) and E (rest), the variance of the grand
mean is (A + B - E) / (S G) in expectation. We take

    V = A + max(B - E, 0),    se = sqrt(V / (S G)),
    df = max(S - 1, V^2 / ((1 + 2 / (S - 1)) A^2 / (S - 1) + max(B - E, 0)^2 / df_questions)).

It is Satterthwaite's (1946) approximation with two changes. The floor: the question component is
never negative, hence V >= A. The factor 1 + 2 / (S - 1) = E[A^2] / E[A]^2: with few seeds a small A
makes V too small and the plain df too large at once. Size of the two-sided test of a true null in
per cent, lowest and highest over 216 combinations of G in {30, 200, 3000}, G x seed variance in 0
to 1000 and S x question variance in 0 to 100 (rest = 1), 100,000 repetitions each:

    seeds                                                 3             5             10
    plain df, V = max(A + B - E, A, B), nominal 5      1.3 to 7.8    1.5 to 5.9    2.0 to 5.3
    as above, without the factor, nominal 5            4.9 to 7.9    4.6 to 5.9    4.4 to 5.6
    this recipe, nominal 5                             4.4 to 5.5    4.2 to 5.1    4.3 to 5.4
    plain df, nominal 10 (half: false non-inferior)    3.6 to 12.4   4.2 to 10.8   5.5 to 10.3
    this recipe, nominal 10                            8.5 to 10.1   8.4 to 10.3   8.6 to 10.5

With three or four seeds A has so few degrees of freedom that it can be tiny by chance, and the
interval over seeds and questions narrower than the one over the questions alone, which no reader
should believe: below `FLOOR_SEEDS` seeds V is at least B. That makes the test conservative where
seeds hardly matter (size down to 0.03 %) and nowhere larger than 5.5 %. From five seeds on it would
only cost power (size down to 0.4 %), and the plain recipe stands.

A test on questions alone, with the seeds averaged, rejects a true null about four times too often
as soon as seeds matter: with fewer than `MIN_SEEDS` seeds that conditional interval is all there
is, and it is labelled so and carries no verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import scipy.special
from numpy.typing import NDArray

Array = NDArray[np.float64]

# with two seeds one degree of freedom is left: an interval some six times too wide to be of use
MIN_SEEDS = 3
# below this many, a crossed interval is never narrower than that over the questions alone
FLOOR_SEEDS = 5
# the chance with which `seeds_to_settle` seeds reach a verdict, if the estimates are the truth
SETTLE_POWER = 0.8
SETTLE_LIMIT = 1000


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error; `mean`, `se` and `df` are floats or arrays of one shape.

    `interval` is "crossed" (seeds and questions), "conditional" (questions alone: these
    checkpoints) or "none" (fewer than two questions: se is NaN). `squares` holds the mean squares
    A, B, E where interval is "crossed".
    """

    mean: Any
    se: Any
    df: Any
    n_seeds: int
    n_questions: int
    df_questions: float
    interval: str
    squares: tuple[Any, Any, Any] | None = None


def contributions(
    values: Array, domain: NDArray[np.intp], group: NDArray[np.intp]
) -> tuple[Array, float]:
    """Split macro means into what each question contributes: y of shape (runs, questions), and the
    df of the questions.

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


def _spread(
    seeds: Any, questions: Any, n_seeds: Any, n_questions: int, df_questions: float
) -> tuple[Any, Any]:
    """Return se and df from A and max(B - E, 0): the recipe of the module's docstring."""
    df_seeds = n_seeds - 1
    total = seeds + questions
    parts = (1 + 2 / df_seeds) * seeds**2 / df_seeds + questions**2 / df_questions
    df = np.maximum(np.divide(total**2, parts, out=np.zeros_like(total), where=parts > 0), df_seeds)
    return np.sqrt(total / (n_seeds * n_questions)), df


def from_squares(
    mean: Any, squares: tuple[Any, Any, Any], n_seeds: int, n_questions: int, df_questions: float
) -> Estimate:
    """Return the crossed estimate from the mean squares (A, B, E) of seeds, questions and rest;
    arrays or floats.
    """
    seeds, questions, rest = (np.asarray(square, dtype=np.float64) for square in squares)
    se, df = _spread(seeds, np.maximum(questions - rest, 0.0), n_seeds, n_questions, df_questions)
    if n_seeds < FLOOR_SEEDS:
        se = np.maximum(se, np.sqrt(questions / (n_seeds * n_questions)))
    return Estimate(
        mean, se, df, n_seeds, n_questions, df_questions, "crossed", (seeds, questions, rest)
    )


def crossed_estimate(y: Array, df_questions: float | None = None) -> Estimate:
    """Return the mean of y[..., s, g] with its standard error: crossed from `MIN_SEEDS` seeds on,
    else conditional on these seeds.
    """
    n_seeds, n_questions = y.shape[-2:]
    df_questions = float(n_questions - 1) if df_questions is None else df_questions
    if n_questions < 2 or df_questions <= 0:
        nan = np.full(y.shape[:-2], np.nan)
        return Estimate(y.mean(axis=(-2, -1)), nan, nan, n_seeds, n_questions, df_questions, "none")
    if n_seeds >= MIN_SEEDS:
        mean, *squares = mean_squares(y)
        return from_squares(
            mean, (squares[0], squares[1], squares[2]), n_seeds, n_questions, df_questions
        )
    per_question = y.mean(axis=-2)
    se = np.sqrt(per_question.var(axis=-1, ddof=1) / n_questions)
    df = np.full(se.shape, df_questions)
    return Estimate(
        per_question.mean(axis=-1), se, df, n_seeds, n_questions, df_questions, "conditional"
    )


def t_quantile(probability: Any, df: Any) -> Any:
    """Return the quantile of Student's t: the function that `scipy.stats.t.ppf` calls."""
    return scipy.special.stdtrit(df, probability)


def bounds(estimated: Estimate, level: float) -> tuple[Any, Any]:
    """Return both ends of the two-sided interval at `level`, e.g. 0.95; NaN where there is none."""
    half = t_quantile(0.5 + level / 2, estimated.df) * estimated.se
    return estimated.mean - half, estimated.mean + half


def p_value(estimated: Estimate) -> Any:
    """Return the two-sided p of a true mean of 0; 1 where mean and se are both 0 (two equal runs),
    NaN without a se.
    """
    mean, se = np.abs(np.asarray(estimated.mean)), np.asarray(estimated.se)
    t = np.divide(mean, se, out=np.where(mean > 0, np.inf, 0.0), where=~(se == 0))
    return 2 * scipy.special.stdtr(estimated.df, -t)


def relative(y: Array, base: Array, df_questions: float | None = None) -> Estimate:
    """Return the change of the mean of y against that of `base`, as a share of the latter; both (S,
    G), seeds in the same order.

    Linearised ratio of two means (Fieller's problem, delta method): (y - ratio * base) /
    mean(base), centred on ratio - 1. NaN where the base is 0.
    """
    bottom = base.mean()
    ratio = y.mean() / bottom if bottom else np.nan
    return crossed_estimate((y - ratio * base) / (bottom or np.nan) + (ratio - 1), df_questions)


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's (1979) step-down adjusted p-values; NaN entries stay NaN and do not count as
    comparisons.
    """
    adjusted = np.asarray(p, dtype=np.float64).copy()
    known = np.flatnonzero(~np.isnan(adjusted))
    order = known[np.argsort(adjusted[known], kind="stable")]
    steps = adjusted[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


def verdict(effect: Estimate, margin: float, p_holm: float) -> str:
    """Return where the paired effect stands to the margin, by its 90 % interval (two one-sided
    tests at 5 %).

    "degraded": wholly below -margin. "non-inferior": wholly above it; "superior" if it is also a
    gain at Holm-adjusted 5 %. "inconclusive": -margin lies inside. "untested": fewer than
    `MIN_SEEDS` common seeds, or no interval.
    """
    if effect.interval != "crossed":
        return "untested"
    low, high = bounds(effect, 0.90)
    if high < -margin:
        return "degraded"
    if low > -margin:
        return "superior" if effect.mean > 0 and p_holm < 0.05 else "non-inferior"
    return "inconclusive"


def seeds_to_settle(effect: Estimate, margin: float) -> float:
    """Return the number of seeds with which the verdict would fall with a chance of `SETTLE_POWER`;
    inf if seeds cannot do it.

    Takes the effect and its variance components as they were estimated, so it is a guide to
    planning and no promise. inf means more than `SETTLE_LIMIT`: the effect is too close to the
    margin for this number of questions. NaN without a crossed interval.
    """
    if effect.squares is None:
        return float("nan")
    seeds, questions, rest = (float(square) for square in effect.squares)
    question_variance = max(questions - rest, 0.0) / effect.n_seeds
    tried = np.arange(MIN_SEEDS, SETTLE_LIMIT + 1, dtype=np.float64)
    # A = G x seed variance + rest variance does not depend on the number of seeds, S x question
    # variance does.
    se, df = _spread(
        np.full_like(tried, seeds),
        question_variance * tried,
        tried,
        effect.n_questions,
        effect.df_questions,
    )
    needed = (t_quantile(0.95, df) + t_quantile(SETTLE_POWER, df)) * se
    enough = np.flatnonzero(needed < abs(float(effect.mean) + margin))
    return float(tried[enough[0]]) if len(enough) else float("inf")


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
    for ratio, found in sorted(zip(ratios, verdicts, strict=True)):
        if not holds(found):
            break
        largest = ratio
    return largest
