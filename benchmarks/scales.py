"""Error rates of changes on other scales, and of prices:

    python benchmarks/scales.py
    python benchmarks/scales.py --sweeps 10000
    python benchmarks/scales.py --prices

Reciprocal ranks of a question at two ratios are drawn from one distribution, of a mean that is
named: ranks are geometric, with a success probability that the question, the seed and the cell of
both move on the scale of its logit. So no ratio differs from the other on any scale. Printed, in
per cent, are P(p < a) of the change of the mean itself, of log(m), log(1 - m) and logit(m), of the
odds of Success@10 and of the mean logarithm of the rank; with 3, 5 and 10 seeds, 60 and 800
questions.

--prices: how often Fieller's interval holds the true price, loss over gain, where the gain is so
many standard errors from 0: of all sweeps, and of those whose gain is significant, the only ones
that a report states a price of.
"""

import argparse
import itertools

import numpy as np

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.contrasts import moments, ratio_interval
from hybrid_sweep.report.scales import LOG, LOG_ERROR, LOGIT, PLAIN, Scale

Array = np.ndarray
LEVELS = (0.1, 0.05, 0.01, 0.001)
SEEDS = (3, 5, 10)
SIZES = (60, 800)
MEANS = {"low": -2.0, "middle": 0.0, "high": 4.0}  # of the logit
OF_SEEDS = (0.0, 0.15)  # standard deviation of a seed's effect
OF_QUESTIONS, OF_CELLS = 2.0, 0.5
MOST_RANK = 1000.0
GAINS = (2.0, 2.5, 3.0, 4.0, 6.0)
TRUE_PRICE = 0.5


def ranks(
    rng: np.random.Generator, shape: tuple[int, int, int], middle: float, of_seeds: float
) -> tuple[Array, Array]:
    """Return ranks (sweeps, seeds, questions) at two ratios that do not differ."""
    sweeps, n_seeds, n_questions = shape
    question = OF_QUESTIONS * rng.standard_normal((sweeps, 1, n_questions))
    drawn = []
    for _ in range(2):
        seed = of_seeds * rng.standard_normal((sweeps, n_seeds, 1))
        logit = middle + question + seed + OF_CELLS * rng.standard_normal(shape)
        success = 1 / (1 + np.exp(-logit))
        rank = rng.geometric(np.maximum(success, 1 / MOST_RANK))
        drawn.append(np.minimum(rank, MOST_RANK))
    return drawn[0], drawn[1]


def measured(rank: Array, name: str) -> tuple[Array, Scale]:
    """Return the values of a measure (sweeps, seeds, questions), and the scale of their mean."""
    reciprocal = np.where(rank <= 10, 1 / rank, 0.0)
    if name == "log rank":
        return np.log(rank), PLAIN
    if name == "odds":
        return (rank <= 10).astype(np.float64), LOGIT
    scales = {"m": PLAIN, "log(m)": LOG, "log(1 - m)": LOG_ERROR, "logit(m)": LOGIT}
    return reciprocal, scales[name]


def rates(shape: tuple[int, int, int], middle: float, of_seeds: float) -> dict[str, Array]:
    """Return how often p is below each of LEVELS, in per cent, by measure and scale."""
    rng = np.random.default_rng([3, *shape[1:], round(10 * of_seeds), round(10 * middle) + 100])
    here, there = ranks(rng, shape, middle, of_seeds)
    below = {}
    for name in ("m", "log(m)", "log(1 - m)", "logit(m)", "odds", "log rank"):
        first, scale = measured(here, name)
        second, _ = measured(there, name)
        effect = st.crossed_estimate(scale.of(first) - scale.of(second))
        p = st.p_value(effect)
        below[name] = 100 * (p[:, None] < np.array(LEVELS)).mean(axis=0)
    return below


def scales(sweeps: int) -> None:
    """Print the worst rates over seeds' effects."""
    heads = "".join(f"{f'p < {level:g}':>11}" for level in LEVELS)
    print(f"{'mean':8}{'questions':>10}{'seeds':>6}  {'scale':11}{heads}")
    for (word, middle), size, n_seeds in itertools.product(MEANS.items(), SIZES, SEEDS):
        made = [rates((sweeps, n_seeds, size), middle, of_seeds) for of_seeds in OF_SEEDS]
        for name in made[0]:
            worst = np.max([one[name] for one in made], axis=0)
            cells = "".join(f"{rate:11.2f}" for rate in worst)
            print(f"{word:8}{size:10}{n_seeds:6}  {name:11}{cells}", flush=True)


def prices(sweeps: int) -> None:
    """Print how often the interval of a price holds the true one."""
    print("price held by its 95 % interval, in %: of all sweeps, of those with a significant gain")
    for n_seeds, inflation, gain in itertools.product(SEEDS, (1.0, 10.0), GAINS):
        rng = np.random.default_rng([5, n_seeds, round(inflation), round(10 * gain)])
        size = np.sqrt(inflation / (n_seeds * 200))
        y = rng.standard_normal((sweeps, 2, n_seeds, 200))
        effect = np.sqrt((inflation - 1) / 200) * rng.standard_normal((sweeps, 2, n_seeds, 1))
        means = np.array([TRUE_PRICE, 1.0])[:, None, None] * gain * size
        pair = moments(y + effect + means, 199.0)
        low, high = ratio_interval(pair)
        held = (low <= TRUE_PRICE) & (TRUE_PRICE <= high)
        estimate = st.crossed_estimate((y + effect + means)[:, 1])
        shown = (st.p_value(estimate) < 0.05) & (estimate.mean > 0)
        print(
            f"{n_seeds:3} seeds, A / E {inflation:4g}, gain of {gain:g} standard errors:"
            f" {100 * held.mean():.1f}, {100 * held[shown].mean():.1f}"
            f" (gain significant in {100 * shown.mean():.0f})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=2000)
    parser.add_argument("--prices", action="store_true")
    args = parser.parse_args()
    if args.prices:
        prices(args.sweeps)
    else:
        scales(args.sweeps)


if __name__ == "__main__":
    main()
