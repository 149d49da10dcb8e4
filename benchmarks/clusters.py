"""Error rates where questions belong to clusters, as those of a paragraph, with clusters counted
and without:

    python benchmarks/clusters.py
    python benchmarks/clusters.py --sweeps 4000
    python benchmarks/clusters.py --rare        a loss of the margin that lies in few questions

Changes without a true mean are drawn question by question: an effect of each seed, of each question
and of each cell of both, of which the part ICC (intra-cluster correlation) is common to the
questions of a cluster, and a tenth of the rest as well. Sizes are uniform from 1 to the largest, or
those of XQuAD-R's paragraphs. A / E and Q / E are what seeds and questions add for independent
questions. Printed, in per cent, are the worst of all A / E and Q / E: P(p < a) of a true null and
what 90 and 95 % intervals hold, clusters counted; in brackets the same with questions taken for
independent.

--rare: how often a loss of exactly the margin of .01, a whole reciprocal rank of one in a hundred
questions, is called non-inferior. Lost questions have the ICC that is named; all others change by
chance.
"""

import argparse
import itertools
from dataclasses import dataclass

import numpy as np

from hybrid_sweep.report import statistics as st

Array = np.ndarray
LEVELS = (0.1, 0.05, 0.01, 0.001)
INFLATIONS = (1.0, 4.0, 30.0)
OF_QUESTIONS = (0.0, 0.5, 5.0)
SEEDS = (3, 5, 10)
CORRELATIONS = (0.0, 0.1, 0.5)
OF_CELLS = 0.1  # ICC of what is left of a cell of seed and question
# how many paragraphs of XQuAD-R have so many questions
XQUAD_R = {1: 3, 2: 3, 3: 22, 4: 56, 5: 138, 6: 1, 8: 2, 9: 3, 10: 5, 12: 1, 13: 1, 14: 1} | {
    15: 2,
    16: 1,
    17: 1,
}
MARGIN = 0.01
CHUNK = 200  # sweeps at a time: bounds the memory


@dataclass(frozen=True)
class Drawn:
    """Where a change comes from: `inflation` A / E and `of_questions` Q / E of independent
    questions, and the ICC of the latter.
    """

    inflation: float
    of_questions: float
    correlation: float


def layouts() -> dict[str, Array]:
    """Return the cluster of each question, by what it is like."""
    rng = np.random.default_rng(20261130)
    sizes = {
        "20 of 1 to 20": rng.integers(1, 21, 20),
        "60 of 1 to 20": rng.integers(1, 21, 60),
        "1 of 100, 200 of 1": np.array([100] + [1] * 200),
        "XQuAD-R": np.repeat(list(XQUAD_R), list(XQUAD_R.values())),
    }
    return {name: np.repeat(np.arange(len(size)), size) for name, size in sizes.items()}


def mixed(rng: np.random.Generator, shape: tuple[int, ...], cluster: Array, icc: float) -> Array:
    """Return normal deviates (..., questions) with an intra-cluster correlation."""
    own = rng.standard_normal((*shape, len(cluster)))
    shared = rng.standard_normal((*shape, cluster.max() + 1))[..., cluster]
    return np.sqrt(1 - icc) * own + np.sqrt(icc) * shared


def p_values(x: Array, cluster: Array) -> tuple[Array, Array]:
    """Return p (sweeps,) of no change, with clusters counted and with questions independent, of
    changes x (sweeps, seeds, questions).
    """
    rows = x.reshape(-1, x.shape[-1])
    domain, group = np.zeros(len(cluster), dtype=np.intp), np.arange(len(cluster))
    p = []
    for of_row in (cluster, None):
        y, df = st.contributions(rows, domain, group, of_row)
        p.append(st.p_value(st.crossed_estimate(y.reshape(*x.shape[:2], -1), df)))
    return p[0], p[1]


def rates(cluster: Array, n_seeds: int, truth: Drawn, sweeps: int, seed: int) -> Array:
    """Return how often p is below each of LEVELS: (counted or not, levels), in per cent."""
    rng = np.random.default_rng([seed, n_seeds, len(cluster)])
    below = np.zeros((2, len(LEVELS)))
    for _ in range(sweeps // CHUNK):
        x = mixed(rng, (CHUNK, n_seeds), cluster, OF_CELLS)
        x += np.sqrt(truth.of_questions) * mixed(rng, (CHUNK, 1), cluster, truth.correlation)
        of_seed = np.sqrt((truth.inflation - 1) / len(cluster))
        x += of_seed * rng.standard_normal((CHUNK, n_seeds, 1))
        for place, p in enumerate(p_values(x, cluster)):
            below[place] += (p[:, None] < np.array(LEVELS)).sum(axis=0)
    return 100 * below / (sweeps // CHUNK * CHUNK)


def worst(cluster: Array, n_seeds: int, correlation: float, sweeps: int) -> Array:
    """Return the largest of `rates` over A / E and Q / E."""
    places = itertools.product(INFLATIONS, OF_QUESTIONS)
    measured = []
    for number, (inflation, of_questions) in enumerate(places):
        truth = Drawn(inflation, of_questions, correlation)
        measured.append(rates(cluster, n_seeds, truth, sweeps, number))
    return np.max(measured, axis=0)


def table(sweeps: int) -> None:
    """Print the error rates of all layouts."""
    heads = [f"p < {level:g}" for level in LEVELS]
    print(f"{'clusters':20}{'seeds':>6}{'ICC':>5}" + "".join(f"{head:>14}" for head in heads))
    for (name, cluster), n_seeds, icc in itertools.product(layouts().items(), SEEDS, CORRELATIONS):
        counted, alone = worst(cluster, n_seeds, icc, sweeps)
        cells = [f"{one:.1f} ({two:.1f})" for one, two in zip(counted, alone, strict=True)]
        line = f"{name:20}{n_seeds:6}{icc:5}" + "".join(f"{cell:>14}" for cell in cells)
        print(f"{line}   90 %: {100 - counted[0]:.1f}, 95 %: {100 - counted[1]:.1f}", flush=True)


def lost(rng: np.random.Generator, cluster: Array, icc: float) -> Array:
    """Return which questions lose all: one in a hundred, with an ICC."""
    whole = rng.random(cluster.max() + 1) < MARGIN
    own = rng.random(len(cluster)) < MARGIN
    follows = rng.random(len(cluster)) < np.sqrt(icc)
    return np.where(follows, whole[cluster], own)


def rare(sweeps: int) -> None:
    """Print how often a loss of the margin in few questions is called none."""
    cluster = layouts()["XQuAD-R"]
    domain, group = np.zeros(len(cluster), dtype=np.intp), np.arange(len(cluster))
    print(
        "non-inferior at a loss of the margin, XQuAD-R's paragraphs, clusters counted or not, in %"
    )
    for n_seeds, icc in itertools.product((3, 10), (0.0, 0.25, 0.5, 1.0)):
        rng = np.random.default_rng([7, n_seeds])
        counts = np.zeros(2)
        for _ in range(sweeps):
            x = 0.05 * rng.standard_normal((n_seeds, len(cluster)))
            x += 0.02 * rng.standard_normal(len(cluster)) - lost(rng, cluster, icc)
            for place, of_row in enumerate((cluster, None)):
                y, df = st.contributions(x, domain, group, of_row)
                effect = st.crossed_estimate(y, df)
                holds = st.bounds(effect, 0.9)[0] > -MARGIN
                enough = len(cluster) * MARGIN >= st.MIN_LOST and effect.carrying >= st.MIN_CARRYING
                counts[place] += bool(holds and enough)
        counted, alone = 100 * counts / sweeps
        print(f"{n_seeds:3} seeds, ICC {icc:4}: {counted:.1f} ({alone:.1f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=2000)
    parser.add_argument("--rare", action="store_true")
    args = parser.parse_args()
    if args.rare:
        rare(args.sweeps)
    else:
        table(args.sweeps)


if __name__ == "__main__":
    main()
