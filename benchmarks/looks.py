"""Error rates of a sweep that is reported several times while seeds are added, without and with
`report.looks`:

    python benchmarks/looks.py
    python benchmarks/looks.py --sweeps 100000
    python benchmarks/looks.py --sequential         sweeps that end where their verdicts are settled

"false": in how many of the sweeps a ratio with a true loss of exactly the margin is called
non-inferior at any look. "family": in how many any of seven ratios without a true difference has an
adjusted p (Holm) below 5 % at any look. Means and mean squares are drawn from their distributions;
A / E is the inflation by seeds, Q / E that by questions once all planned seeds are there.

--sequential: of sweeps with at most 20 seeds and a margin of three true standard errors of ten, the
rate of false non-inferiority at a loss of the margin ("false"), how often a ratio without a loss is
called non-inferior ("power"), the trainings that this took, those of the fewest fixed seeds with that
power, and what is saved; then the trainings where the loss is three times the margin.
"""

import argparse
from dataclasses import dataclass, replace

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
    """Standardised means, shares of the seeds and standard errors (looks, sweeps, ratios) at each
    look, under no difference.
    """

    counts: tuple[int, ...]
    t: Array
    share: Array
    se: Array


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
    t, share, se = [], [], []
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
        se.append(estimated.se)
    return Drawn(counts, np.array(t), np.array(share), np.array(se))


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
    both = replace(draws, t=np.abs(draws.t))
    for place in range(len(draws.counts)):
        looks = Looks(planned, draws.counts[:place]) if spends else None
        false |= crosses(draws, place, 0.05, looks)[:, 0]
        # Holm's first step decides whether anything in a family is claimed
        family |= crosses(both, place, 0.025 / RATIOS, looks).any(axis=1)
    return float(false.mean()), float(family.mean())


MOST = 20  # seeds of a sequential sweep
TRUE_ERRORS = 3.0  # the margin, in standard errors of ten seeds


@dataclass(frozen=True)
class Sequential:
    """Sweeps (sweeps, ratios) that ended where their verdicts were settled: whether a ratio was
    called non-inferior, and the seeds that it had.
    """

    holds: Array
    seeds: Array

    @property
    def trainings(self) -> float:
        """Return the mean number of trainings of a sweep: those of ratio 0 go on with any other."""
        return float((self.seeds.sum(axis=1) + self.seeds.max(axis=1)).mean())


def margin_of(truth: tuple[float, float]) -> float:
    """Return the margin, for A / E and for Q / E with all `MOST` seeds."""
    inflation, of_questions = truth
    return TRUE_ERRORS * float(np.sqrt((inflation + of_questions * 10 / MOST) / (10 * QUESTIONS)))


def sequential(draws: Drawn, loss: float, margin: float) -> Sequential:
    """Return what became of sweeps in which every ratio has a loss.

    A ratio is settled where it is non-inferior, or degraded by Bonferroni's adjustment, which is
    that of Holm's first step.
    """
    settled = np.zeros(draws.t.shape[1:], dtype=bool)
    holds, seeds = np.zeros_like(settled), np.full(settled.shape, draws.counts[0])
    for place, count in enumerate(draws.counts):
        seeds[~settled] = count
        looks = Looks(MOST, draws.counts[:place])
        above = replace(draws, t=draws.t + (margin - loss) / draws.se)
        below = replace(draws, t=-above.t)
        holds |= ~settled & crosses(above, place, 0.05, looks)
        settled |= holds | crosses(below, place, 0.05 / RATIOS, looks)
    return Sequential(holds, seeds)


def fixed_seeds(draws: Drawn, margin: float, power: float) -> int:
    """Return the fewest seeds, fixed in advance, with at least this power at no loss."""
    above = replace(draws, t=draws.t + margin / draws.se)
    for place, count in enumerate(draws.counts):
        if crosses(above, place, 0.05, None).mean() >= power:
            return count
    return MOST


def print_sequential(sweeps: int) -> None:
    """Print the table of sequential sweeps."""
    print(f"{sweeps} sweeps of {RATIOS} ratios and ratio 0, at most {MOST} seeds")
    heads = ("A / E", "Q / E", "false", "power", "trainings", "fixed", "saved", "at a loss")
    print("".join(f"{head:>10}" for head in heads))
    rng = np.random.default_rng(20261201)
    plan = (MOST, tuple(range(3, MOST + 1)))
    for inflation in INFLATIONS:
        for of_questions in (0.0, 2.0):
            truth = (inflation, of_questions)
            draws, margin = drawn(plan, truth, sweeps, rng), margin_of(truth)
            at_margin, without = (sequential(draws, loss, margin) for loss in (margin, 0.0))
            large = sequential(draws, 3 * margin, margin)
            power = float(without.holds.mean())
            fixed = fixed_seeds(draws, margin, power) * (RATIOS + 1)
            saved = 1 - without.trainings / fixed
            false = float(at_margin.holds.mean())
            print(
                f"{inflation:10g}{of_questions:10g}{false:10.1%}{power:10.1%}"
                f"{without.trainings:10.1f}{fixed:10d}{saved:10.0%}{large.trainings:10.1f}"
            )


def main() -> None:
    """Print the error rates."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=40_000)
    parser.add_argument("--sequential", action="store_true")
    args = parser.parse_args()
    sweeps = args.sweeps
    if args.sequential:
        print_sequential(sweeps)
        return
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
