"""How often the narrowest 5 % of the 95 % intervals hold the truth, and what would make it 85 %:

    python benchmarks/narrowest.py                 the table of docs/statistics.md (minutes)
    python benchmarks/narrowest.py --sweeps 5000
    python benchmarks/narrowest.py --ranks         from reciprocal ranks as in a published sweep

Sweeps of seven ratios without any effect, from `calibration.Truth`. The intervals differ in the least
A / E that a ratio is given: that of all seven at a quantile of them ("median" is what reports use), or
their mean. `needed` is the factor by which all intervals would have to be wider so that 85 % of the
narrowest ones hold the truth: 1 or less where they do. `hold` and `power` are then those of the wider
intervals: of all of them, and of non-inferiority three standard deviations from the margin.
"""

import argparse
import dataclasses
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid_sweep.report import statistics as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where this is run as a script

from benchmarks.calibration import Array, Drawn, Ranks, Truth, drawn, half_widths, ranks

FLOORS = ("none", "median", "mean", "upper quartile", "largest")
# Where seeds move the ratios: their profile, and the correlation of a seed's effects between them.
PLACES = {
    "alike, correlation .3": ("flat", 0.3),
    "alike, correlation .8": ("flat", 0.8),
    "rising": ("rising", 0.8),
    "one ratio alone": ("one", 0.8),
}
INFLATIONS = (1.0, 4.0, 8.0, 100.0)
QUESTIONS = (0.0, 0.5, 2.0, 10.0)
WANTED = 0.85
SHARE = 0.05


@dataclass(frozen=True)
class Narrow:
    """Of the last ratio: what the narrowest intervals hold, the factor they need, and with it the
    share of all intervals that hold the truth, and the power; power now.
    """

    holds: float
    needed: float
    wider_hold: float
    wider_power: float
    power: float


def floor_of(inflation: Array, name: str) -> Array | float:
    """Return the least A / E of (sweeps, ratios), (sweeps, 1)."""
    if name == "none":
        return 0.0
    if name == "mean":
        return inflation.mean(axis=1, keepdims=True)
    quantile = {"median": 0.5, "upper quartile": 0.75, "largest": 1.0}[name]
    return np.quantile(inflation, quantile, axis=1, keepdims=True)


def narrow(data: Drawn, name: str) -> Narrow:
    """Return what the narrowest intervals hold with a floor of `FLOORS`."""
    truth = data.truth
    floor = floor_of(data.seeds / data.rest, name)
    counts = (truth.n_seeds, truth.n_questions, truth.n_questions - 1.0)
    unit = (truth.n_seeds * truth.n_questions) ** -0.5
    squares = (data.seeds, data.questions, data.rest)
    estimated = st.from_squares(data.mean * unit, squares, counts, floor)
    size = np.abs(estimated.mean)[:, -1]
    wide = half_widths(estimated, 0.95)[:, -1]
    half = half_widths(estimated, 0.9)[:, -1]
    chosen = wide <= np.quantile(wide, SHARE)
    missed = size / wide
    needed = max(float(np.quantile(missed[chosen], WANTED)), 1.0)
    margin = estimated.mean[:, -1] + 3 * data.sd[-1] * unit
    return Narrow(
        float((missed[chosen] <= 1).mean()),
        needed,
        float((missed <= needed).mean()),
        float((margin > needed * half).mean()),
        float((margin > half).mean()),
    )


AT_ONCE = 20  # sweeps, which bounds the memory


def of_ranks(world: Ranks, rng: np.random.Generator) -> tuple[Array, float]:
    """Return what the narrowest intervals of each ratio's change hold, as reports give them, and
    the mean A / E.
    """
    sizes, widths, inflations = [], [], []
    for _ in range(world.sweeps // AT_ONCE):
        few = dataclasses.replace(world, sweeps=AT_ONCE)
        values = ranks(few, rng)[:, :, :, 0]
        changes = np.moveaxis(values[..., 1:] - values[..., :1], -1, 1)
        mean, seeds, questions, rest = st.mean_squares(changes)
        floor = floor_of(seeds / rest, "median")
        counts = (world.n_seeds, world.n_questions, world.n_questions - 1.0)
        estimated = st.from_squares(mean, (seeds, questions, rest), counts, floor)
        sizes.append(np.abs(mean))
        widths.append(half_widths(estimated, 0.95))
        inflations.append(seeds / rest)
    size, wide = np.concatenate(sizes), np.concatenate(widths)
    narrowest = wide <= np.quantile(wide, SHARE, axis=0)
    held = ((size <= wide) & narrowest).sum(axis=0) / narrowest.sum(axis=0)
    return held, float(np.concatenate(inflations).mean())


def print_ranks() -> None:
    """Print what the narrowest intervals hold of reciprocal ranks without any effect."""
    for n_seeds, seed_sd in itertools.product((3, 5, 10), (0.02, 0.05, 0.15, 0.35)):
        rng = np.random.default_rng([n_seeds, round(100 * seed_sd)])
        held, inflation = of_ranks(Ranks(800, n_seeds, 300, seed_sd=seed_sd), rng)
        print(
            f"{n_seeds:2} seeds, A / E {inflation:4.1f}: {100 * held.mean():5.1f} over the ratios,"
            f" least {100 * held.min():3.0f} at one",
            flush=True,
        )


def main() -> None:
    """Print the worst place of each kind, by seeds and floor."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=20_000)
    parser.add_argument("--ranks", action="store_true", help="reciprocal ranks, as published")
    arguments = parser.parse_args()
    if arguments.ranks:
        print_ranks()
        return
    sweeps = arguments.sweeps
    print("per cent; worst over A / E of 1 to 100 and Q / E of 0 to 10")
    for n_seeds, (kind, (profile, correlation)) in itertools.product((3, 5, 10), PLACES.items()):
        print(f"{n_seeds} seeds, {kind}")
        rng = np.random.default_rng([n_seeds, len(kind)])
        parts: dict[str, list[Narrow]] = {name: [] for name in FLOORS}
        for inflation, questions in itertools.product(INFLATIONS, QUESTIONS):
            truth = Truth(n_seeds, inflation, questions, profile, correlation)
            data = drawn(truth, sweeps, rng)
            for name in FLOORS:
                parts[name].append(narrow(data, name))
        for name, rows in parts.items():
            worst = max(rows, key=lambda row: row.needed)
            print(
                f"    {name:15} hold {100 * min(row.holds for row in rows):5.1f}"
                f"  needed {worst.needed:5.2f}  then hold {100 * worst.wider_hold:5.1f}"
                f"  power {100 * worst.power:3.0f} -> {100 * worst.wider_power:3.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
