"""Error rates of a sweep that is reported several times while seeds are added, without and with
`report.looks`:

    python benchmarks/looks.py
    python benchmarks/looks.py --sweeps 100000

"false": in how many of the sweeps a ratio with a true loss of exactly the margin is called
non-inferior at any look. "family": in how many any of seven ratios without a true difference has an
adjusted p (Holm) below 5 % at any look. Means and mean squares are drawn from their distributions;
A / E is the inflation by seeds, Q / E that by questions once all planned seeds are there.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.critical_values import interpolated
from hybrid_sweep.report.looks import Looks, level_of

Array = np.ndarray
RATIOS = 7
QUESTIONS = 801
CORRELATION = 0.8  # of the seeds' effects between ratios
PLANS = {
    "3, 5": (5, (3, 5)),
    "3, 5, 10": (10, (3, 5, 10)),
    "every from 3": (10, tuple(range(3, 11))),
}
INFLATIONS = (1.0, 4.0, 100.0)
SHARES_OF_QUESTIONS = (0.0, 2.0, 20.0)


@dataclass(frozen=True)
class Drawn:
    """Standardised means and shares (looks, sweeps, ratios) at each look, under no difference."""

    counts: tuple[int, ...]
    t: Array
    share: Array


def drawn(
    plan: tuple[int, tuple[int, ...]],
    truth: tuple[float, float],
    sweeps: int,
    rng: np.random.Generator,
) -> Drawn:
    """Draw sweeps that are looked at several times.

    Args:
        plan: the number of seeds planned, and the numbers at which the sweep is looked at.
        truth: A / E, and Q / E with all planned seeds.
        sweeps: how many.
        rng: of all draws.
    """
    planned, counts = plan
    inflation, of_questions = truth
    shape = (sweeps, planned, RATIOS)
    effects = CORRELATION**0.5 * rng.standard_normal((sweeps, planned, 1))
    effects = effects + (1 - CORRELATION) ** 0.5 * rng.standard_normal(shape)
    effects *= inflation**0.5
    question = 0.9**0.5 * rng.standard_normal((sweeps, 1))
    question = question + 0.1**0.5 * rng.standard_normal((sweeps, RATIOS))
    noise = rng.chisquare(QUESTIONS - 1, (sweeps, RATIOS)) / (QUESTIONS - 1)
    t, share = [], []
    for count in counts:
        q = of_questions * count / planned
        mean = count**0.5 * effects[:, :count].mean(axis=1) + q**0.5 * question
        seeds = effects[:, :count].var(axis=1, ddof=1)
        floor = np.maximum(np.median(seeds, axis=1, keepdims=True), 1.0)
        squares = (seeds, 1 + q * noise, np.ones_like(seeds))
        estimated = st.from_squares(mean, squares, (count, QUESTIONS, QUESTIONS - 1.0), floor)
        # from_squares divides by sqrt(S G); the means here are times that
        t.append(mean / (estimated.se * np.sqrt(count * QUESTIONS)))
        share.append(st.shares_of_seeds(estimated)[0])
    return Drawn(counts, np.array(t), np.array(share))


def crosses(draws: Drawn, place: int, total: float, looks: Looks | None) -> Array:
    """Return which means are above their one-sided bound at a look.

    total: one-sided error rate. looks: None for the bound of a single look.
    """
    count = draws.counts[place]
    level = total if looks is None else level_of(total, looks.fractions(count))
    critical = interpolated(1 - 2 * level, draws.share[place], count - 1, QUESTIONS - 1.0)
    return draws.t[place] > critical


def error_rates(draws: Drawn, planned: int, spends: bool) -> tuple[float, float]:
    """Return the rates "false" and "family" of the module's docstring.

    spends: whether the error rate is spent over the looks.
    """
    sweeps = draws.t.shape[1]
    false, family = np.zeros(sweeps, dtype=bool), np.zeros(sweeps, dtype=bool)
    both = Drawn(draws.counts, np.abs(draws.t), draws.share)
    for place in range(len(draws.counts)):
        looks = Looks(planned, draws.counts[:place]) if spends else None
        false |= crosses(draws, place, 0.05, looks)[:, 0]
        # Holm's first step decides whether anything in a family is claimed
        family |= crosses(both, place, 0.025 / RATIOS, looks).any(axis=1)
    return float(false.mean()), float(family.mean())


def main() -> None:
    """Print the error rates."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=40_000)
    sweeps = parser.parse_args().sweeps
    print(f"{sweeps} sweeps; per cent, without and with spending")
    print(f"{'looks at':14} {'A / E':>6} {'Q / E':>6} {'false':>13} {'family':>13}")
    rng = np.random.default_rng(20261130)
    for name, plan in PLANS.items():
        for inflation in INFLATIONS:
            for of_questions in SHARES_OF_QUESTIONS:
                draws = drawn(plan, (inflation, of_questions), sweeps, rng)
                plain = error_rates(draws, plan[0], False)
                spending = error_rates(draws, plan[0], True)
                false, family = (
                    f"{100 * before:6.1f} {100 * now:6.1f}"
                    for before, now in zip(plain, spending, strict=True)
                )
                print(f"{name:14} {inflation:6g} {of_questions:6g} {false} {family}")


if __name__ == "__main__":
    main()
