"""Two sweeps on the same questions: how far apart they are at a ratio, and whether raising the
ratio does more to one.

**Seeds.** A seed's number means the same in two sweeps if it draws the same batches (the same
training data and batch settings but for the budget: `draws_batches`) or the same initial weights
(`draws_weights`). Its runs then have something random in common, and pairing them by seed takes
that out: y = first - other has one value per seed and question, and the interval is the crossed one
of `statistics`. Another model has other initial weights, but learns from the same groups in the
same order, so that its seeds are crossed with that order all the same. Pairing is never wrong, only
wasteful: if what the two runs of a seed share turns out to be nothing, their differences are as
independent from seed to seed as ever. Taking runs that do share something for independent would be
wrong where they move apart, so it is done only where little is shared.

**Seeds apart.** Where neither is shared (other data, a pretrained model), or fewer than `MIN_SEEDS`
seeds are common, the seeds of the two sweeps are independent samples, while the questions are the
same. With y_k = mean + seed + question + rest in sweep k, S_k seeds, mean squares A_k (seeds) and
E_k (rest), and B the variance over questions of the difference of the two means over seeds, which
holds whatever a question does in both,

    variance of the difference = (A_1 / S_1 + A_2 / S_2 + max(B - E_1 / S_1 - E_2 / S_2, 0)) / G

in expectation, with max(A_k, E_k) for A_k, which is the least that it can be in expectation. The
difference, less its true value, is referred to the distribution that `statistics` explains, with a
Student's t of S_k - 1 degrees of freedom for each sweep: the solution of Behrens and Fisher for
three variances. Rejection of a true null in per cent, the highest over 800 combinations of G in
{30, 2000}, seed variances of 0 to 1,000 (each sweep its own), rests of 1 to 1 and 1 to 10, and
question variances of 0 to 100, before (Satterthwaite's degrees of freedom, made safe for few seeds)
and now:

    seeds        p < .05       .01          .001
    3 and 3     5.9, 5.0    2.6, 1.0    1.23, .07
    5 and 5     5.4, 5.2    1.4, 1.1     .41, .17
    10 and 10   5.6, 5.5    1.3, 1.2     .18, .14
    3 and 5     5.6, 5.2    2.4, 1.1    1.20, .12
    3 and 10    5.8, 5.3    2.5, 1.1    1.18, .11
    5 and 10    5.6, 5.3    1.4, 1.2     .34, .16

(20,000 repetitions each, so that the highest is a little high by chance: `python
benchmarks/calibration.py --pairs`.)

One or two seeds in common, with what they share, count as noise of each sweep's own: the interval
is too wide if the sweeps move together. With fewer than `MIN_SEEDS` seeds in either sweep only the
questions are random, and there is no p.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.cluster_files import AS_KEPT, clusters_of, with_clusters
from hybrid_sweep.report.clusters import CLUSTER
from hybrid_sweep.report.load import Sweep, SweepPoint
from hybrid_sweep.report.settings import settings
from hybrid_sweep.runs.finished import KEY

INDEPENDENT = "independent"  # the interval of seeds apart, beside "crossed" and "conditional"
# What a run's batches do not depend on, beside r and the seed: how many texts are held at once, and
# the budget, whose monolingual steps are the same; trainer settings come too late to change a
# batch.
BUDGET = ["batch.budget", "batch.micro_batch", "batch.micro_tokens"]
FROM_SCRATCH = "tiny"  # the model whose initial weights the seed draws
# Columns of a frame that say which row it is, and of which run.
_ASIDE = ("kind", "ratio", "seed", "run_id", *KEY, "group_id", CLUSTER)


@dataclass(frozen=True)
class Footing:
    """On what two sweeps can be tested against each other.

    languages: those whose monolingual rows are the same in both, sorted; whole: whether all rows
    are. by_seed: what a seed draws alike in both ("batches", "weights"), empty where its number
    means nothing. refusal: why nothing is tested, or "".
    """

    languages: tuple[str, ...]
    whole: bool
    by_seed: tuple[str, ...]
    refusal: str


def _marks(sweep: Sweep, on: str) -> set[str]:
    """Return the fingerprints of the collection that the finished points were evaluated on; on: of
    a further one.
    """
    if on:
        return {str(sweep.metrics[point.run_id].get("fingerprint", "")) for point in sweep.finished}
    return _mark(sweep, sweep.finished, "collection", missing="")


def _mark(sweep: Sweep, points: Iterable[SweepPoint], name: str, missing: str = "None") -> set[str]:
    """Return what some points have under a name of their fingerprints, as text."""
    marks = set()
    for point in points:
        fingerprints = sweep.provenance[point.run_id].get("fingerprints") or {}
        marks.add(str(fingerprints.get(name, missing)))
    return marks


def _drawn_from(sweep: Sweep, prefixes: tuple[str, ...]) -> dict[str, object]:
    """Return the recorded settings under some prefixes, but for the budget."""
    return {
        key: value
        for key, value in settings(sweep).items()
        if key.startswith(prefixes) and key not in BUDGET
    }


def _rows(sweep: Sweep) -> pd.DataFrame:
    """Return what was asked of every point, as text."""
    rows = sweep.frame.iloc[: len(sweep.frame) // len(sweep.finished)][
        [*KEY, "group_id", "n_relevant"]
    ]
    return rows.astype(str).reset_index(drop=True)


def _same(first: Sweep, other: Sweep, prefixes: tuple[str, ...], marks: tuple[str, ...]) -> bool:
    """Return whether both sweeps have recorded the same settings under some prefixes, and the same
    fingerprints.
    """
    mine, others = _drawn_from(first, prefixes), _drawn_from(other, prefixes)
    if not mine or mine != others:
        return False
    for name in marks:
        if _mark(first, first.trained, name) != _mark(other, other.trained, name):
            return False
    return True


def draws_batches(first: Sweep, other: Sweep) -> bool:
    """Return whether a seed draws the same groups, languages and order in both, as far as the
    longer run goes beyond the other.
    """
    content = ("collection", "more", "negatives", "code_switch")
    return _same(first, other, ("data.", "more.", "batch."), content)


def draws_weights(first: Sweep, other: Sweep) -> bool:
    """Return whether a seed draws the same initial weights in both: of a model from scratch, or of
    adapters; else none are drawn.
    """
    drawn = settings(first)
    fresh = drawn.get("model.name") == FROM_SCRATCH or drawn.get("model.lora_rank", "0") != "0"
    return fresh and _same(first, other, ("model.",), ("model",))


def footing(
    first: Sweep, other: Sweep, on: str = "", trained_on: tuple[Sweep, Sweep] | None = None
) -> Footing:
    """Return whether, and on which questions, two sweeps can be tested against each other, and what
    their seeds share.

    on: the name of the further collection that they were evaluated on; trained_on: the same two
    sweeps on their main one.
    """
    marks = _marks(first, on), _marks(other, on)
    if marks[0] != marks[1] or len(marks[0]) != 1 or "" in marks[0]:
        is_recorded = "" not in marks[0] | marks[1]
        reason = "another collection" if is_recorded else "the collection is not recorded"
        return Footing((), False, (), reason)
    rows = _rows(first), _rows(other)
    questions = [_by_language(asked) for asked in rows]
    languages = []
    for name in sorted(questions[0].keys() & questions[1].keys()):
        if np.array_equal(questions[0][name], questions[1][name]):
            languages.append(name)
    whole = rows[0].equals(rows[1])
    if not languages and not whole:
        return Footing((), False, (), "no language has the same questions in both")
    sources = trained_on or (first, other)
    by_seed = []
    if draws_batches(*sources):
        by_seed.append("batches")
    if draws_weights(*sources):
        by_seed.append("initial weights")
    return Footing(tuple(languages), whole, tuple(by_seed), "")


def _by_language(rows: pd.DataFrame) -> dict[str, NDArray[np.object_]]:
    """Return the monolingual rows of each language."""
    monolingual = rows[rows["setting"] == "monolingual"]
    return {str(name): part.to_numpy() for name, part in monolingual.groupby("query_lang")}


def merged(first: Sweep, other: Sweep, ground: Footing) -> Sweep:
    """Return the trained points of both, the first sweep's before the other's, on the rows that the
    two have in common.
    """
    parts = []
    # every measure that both have, and what others are computed from
    values = [name for name in first.frame.columns if name in other.frame.columns]
    values = [name for name in values if name not in _ASIDE]
    for sweep in (first, other):
        frame = sweep.frame[sweep.frame["kind"] == "trained"]
        if not ground.whole:
            shared = frame["query_lang"].isin(ground.languages)
            frame = frame[shared & (frame["setting"] == "monolingual")]
        parts.append(frame[[*KEY, "group_id", *values]])
    for name in [*KEY, "group_id"]:  # one set of codes, or text would be compared a million times
        codes = parts[0][name].astype("category").cat.remove_unused_categories().cat.categories
        parts = [
            part.assign(**{name: part[name].astype(pd.CategoricalDtype(codes))}) for part in parts
        ]
    # Means over the languages trained on are comparable where these are the same.
    learned = first.trained_languages if first.trained_languages == other.trained_languages else ()
    points, frame = (*first.trained, *other.trained), pd.concat(parts, ignore_index=True)
    together = clusters_of([first.frame, other.frame])
    frame, _ = with_clusters(frame, AS_KEPT, together)
    return dataclasses.replace(
        first, points=points, missing={}, frame=frame, trained_languages=learned
    )


def independent(first: st.Array, other: st.Array, df_questions: float | None = None) -> st.Estimate:
    """Return the mean difference of first[..., s, g] and other[..., t, g] whose seeds are
    independent and whose questions are the same.

    The recipe of the module's docstring; over the questions alone with fewer than `MIN_SEEDS` seeds
    on either side.
    """
    n_questions = first.shape[-1]
    df_questions = float(n_questions - 1) if df_questions is None else df_questions
    difference = first.mean(axis=-2) - other.mean(axis=-2)
    counts = first.shape[-2], other.shape[-2]
    few = min(counts)
    if few < st.MIN_SEEDS or n_questions < 2 or df_questions <= 0:
        estimate = st.crossed_estimate(difference[..., None, :], df_questions)
        return dataclasses.replace(estimate, n_seeds=few)
    sides = []
    for y, count in zip((first, other), counts, strict=True):
        squares = st.mean_squares(y)
        sides.append(MeanSquares(squares[1], squares[3], count))
    spread = difference.var(axis=-1, ddof=1)
    mean = difference.mean(axis=-1)
    return from_squares(mean, (sides[0], sides[1]), spread, n_questions, df_questions)


@dataclass(frozen=True)
class MeanSquares:
    """One of two sweeps whose seeds are independent: its mean squares over seeds (A_k of the
    module's docstring) and of the rest (E_k), arrays or floats, and its number of seeds.
    """

    seeds: Any
    rest: Any
    count: int


def from_squares(
    mean: Any,
    sides: tuple[MeanSquares, MeanSquares],
    spread: Any,
    n_questions: int,
    df_questions: float,
) -> st.Estimate:
    """Return the estimate of a mean difference of two sweeps whose seeds are independent.

    Args:
        mean: difference, an array or a float, as are the mean squares.
        sides: the mean squares and the number of seeds of each sweep.
        spread: B of the module's docstring.
        n_questions: number of questions, G.
        df_questions: degrees of freedom of the questions.
    """
    parts, rest = [], np.zeros_like(np.asarray(spread, dtype=np.float64))
    for side in sides:
        least = np.asarray(side.rest, dtype=np.float64)
        parts.append(np.maximum(side.seeds, least) / side.count)
        rest = rest + least / side.count
    parts.append(np.maximum(spread - rest, 0.0))
    se = np.sqrt(sum(parts) / n_questions)
    few = min(side.count for side in sides)
    return st.Estimate(
        mean,
        se,
        np.full(se.shape, few - 1.0),
        few,
        n_questions,
        df_questions,
        INDEPENDENT,
        parts=tuple(parts),
        df_sets=tuple(side.count - 1 for side in sides),
    )


def apart(
    here: Mapping[int, st.Array], there: Mapping[int, st.Array], df_questions: float, paired: bool
) -> tuple[st.Estimate, tuple[list[int], list[int]]]:
    """Return here minus there, each a seed's contributions by question (G,), and the seeds that
    were used on either side.

    paired: whether a seed means the same in both; pairs of seeds are then formed where at least
    `MIN_SEEDS` are common, or any where neither way leads to an interval over seeds.
    """
    common = sorted(here.keys() & there.keys())
    few = min(len(here), len(there)) < st.MIN_SEEDS
    if paired and common and (len(common) >= st.MIN_SEEDS or few):
        difference = np.stack([here[seed] - there[seed] for seed in common])
        return st.crossed_estimate(difference, df_questions), (common, common)
    seeds = sorted(here), sorted(there)
    first = np.stack([here[seed] for seed in seeds[0]])
    other = np.stack([there[seed] for seed in seeds[1]])
    return independent(first, other, df_questions), seeds
