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

in expectation. The degrees of freedom are Satterthwaite's over these three parts, made safe for few
seeds by the two changes that `statistics` explains: the factor 1 + 2 / (S_k - 1) on the square of
A_k / S_k, and below `FLOOR_SEEDS` seeds in either sweep a variance of at least B / G. They are at
least the smaller S_k - 1, as Welch's are. Size of the two-sided test of a true null in per cent,
lowest and highest over 1,764 combinations of G in {30, 200, 3000}, seed variances of 0 to 1,000
(each sweep its own), rests of 1 to 1 and 1 to 10, and question variances of 0 to 100, 40,000
repetitions each:

    seeds        nominal 5    without the factor, nominal 5
    3 and 3     0.0 to 5.8    0.2 to 8.3
    5 and 5     2.8 to 5.4    3.9 to 6.2
    10 and 10   3.8 to 5.5    4.1 to 5.7
    3 and 5     0.1 to 5.5    0.5 to 8.2
    3 and 10    0.4 to 5.5    0.9 to 8.0
    5 and 10    3.5 to 5.5    4.0 to 6.1

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
from hybrid_sweep.report.load import Sweep, SweepPoint
from hybrid_sweep.report.settings import settings
from hybrid_sweep.runs.finished import KEY, STORED

INDEPENDENT = "independent"  # the interval of seeds apart, beside "crossed" and "conditional"
# What a run's batches do not depend on, beside r and the seed: how many texts are held at once, and
# the budget, whose monolingual steps are the same; trainer settings come too late to change a
# batch.
BUDGET = ["batch.budget", "batch.micro_batch"]
FROM_SCRATCH = "tiny"  # the model whose initial weights the seed draws
VALUES = [*STORED, "RD"]


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
    return _same(first, other, ("data.", "more.", "batch."), ("collection", "more", "negatives"))


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
    for sweep in (first, other):
        frame = sweep.frame[sweep.frame["kind"] == "trained"]
        if not ground.whole:
            shared = frame["query_lang"].isin(ground.languages)
            frame = frame[shared & (frame["setting"] == "monolingual")]
        parts.append(frame[[*KEY, "group_id", *VALUES]])
    for name in [*KEY, "group_id"]:  # one set of codes, or text would be compared a million times
        codes = parts[0][name].astype("category").cat.remove_unused_categories().cat.categories
        parts = [
            part.assign(**{name: part[name].astype(pd.CategoricalDtype(codes))}) for part in parts
        ]
    # Means over the languages trained on are comparable where these are the same.
    learned = first.trained_languages if first.trained_languages == other.trained_languages else ()
    points, frame = (*first.trained, *other.trained), pd.concat(parts, ignore_index=True)
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
    shares = [np.asarray(side.seeds) / side.count for side in sides]
    rest = sum(np.asarray(side.rest) / side.count for side in sides)
    questions = np.maximum(spread - rest, 0.0)
    total = shares[0] + shares[1] + questions
    parts = questions**2 / df_questions + sum(
        (1 + 2 / (side.count - 1)) * share**2 / (side.count - 1)
        for share, side in zip(shares, sides, strict=True)
    )
    few = min(side.count for side in sides)
    df = np.maximum(np.divide(total**2, parts, out=np.zeros_like(total), where=parts > 0), few - 1)
    se = np.sqrt(total / n_questions)
    if few < st.FLOOR_SEEDS:
        se = np.maximum(se, np.sqrt(spread / n_questions))
    return st.Estimate(mean, se, df, few, n_questions, df_questions, INDEPENDENT)


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
