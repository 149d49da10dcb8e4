"""Whether a teacher has scored what a run may ask it for, before anything is trained."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hybrid_sweep.config import language_pairs
from hybrid_sweep.config.schema import Config
from hybrid_sweep.data.datasets.sources import Say
from hybrid_sweep.data.pairs import Pairs
from hybrid_sweep.data.teacher import SETTING, ScoredPairs, TeacherScores
from hybrid_sweep.inputs.prepare import Prepared, TrainingSource
from hybrid_sweep.utils.errors import UserError

PART = 1_000_000  # pairs that are looked up at a time


@dataclass(frozen=True)
class _Needed:
    """N questions, each with a passage that its query may be scored with.

    question, answer: (N,) numbers. query, passage: (L, N) rows of their texts, -1 where there is
    none. both: whether a passage is read only where it is in the query's language too.
    are_negatives: whether the passages are hard negatives.
    """

    question: np.ndarray
    query: np.ndarray
    answer: np.ndarray
    passage: np.ndarray
    both: bool
    are_negatives: bool = False


@dataclass(frozen=True)
class _Lacking:
    """Pairs without a score: their number, and the rows of the first, of query and passage."""

    count: int = 0
    query: int = -1
    passage: int = -1


def check(config: Config, prepared: Prepared, say: Say) -> None:
    """Refuse scores that lack a pair which must have one, and tell how many others are scored.

    Every passage of a training pair must have a score, and with loss.distillation.over=
    hard_negatives every hard negative, in the languages in which the run can draw them; of all
    passages of a batch those count that are scored.

    Raises:
        UserError: with the first pair that lacks a score.
    """
    if not config.loss.distillation.weight:
        return
    source = prepared.sources[0]
    assert source.teacher is not None
    is_over_batch = config.loss.distillation.over == "batch"
    wanted = _languages(config, source.pairs)
    of_negatives = _languages_of_negatives(config, wanted)
    missing = _Lacking()
    # Of a stated pair that is monolingual in its passage language, that one alone is needed.
    both = not (
        source.pairs.is_ordered
        or _is_per_language(config)
        or language_pairs.are_stated(config.batch)
    )
    for needed in _needed(source.pairs, negatives=not is_over_batch, both=both):
        languages = of_negatives if needed.are_negatives else wanted
        more = _lacking(source.teacher, needed, languages)
        first = missing if missing.count else more
        missing = _Lacking(missing.count + more.count, first.query, first.passage)
    if missing.count:
        _refuse(config, source, missing)
    if is_over_batch:
        _tell(config, source, say)


def _languages(config: Config, pairs: Pairs) -> np.ndarray:
    """Return (L, L) bool: a query in language a may be scored with a passage in language b."""
    ratio, languages = config.batch.cross_lingual_ratio, pairs.languages
    same = np.eye(len(languages), dtype=bool)
    crossed = ~same
    stated = {}
    if language_pairs.are_stated(config.batch):
        trained = language_pairs.trained_languages(config)
        stated = language_pairs.weights(config.batch, trained)
    if stated:
        crossed = np.zeros_like(same)
        for query, passage in stated:
            crossed[languages.index(query), languages.index(passage)] = True
    for axis, chosen in enumerate((config.batch.query_languages, config.batch.passage_languages)):
        if chosen:
            may = np.isin(languages, chosen)
            crossed &= np.expand_dims(may, 1 - axis)
    # A question with the passages of all its languages reads that of its own language, too.
    is_mixed = ratio < 1 or _is_per_language(config)
    return (same & is_mixed) | (crossed & (ratio > 0))


def _languages_of_negatives(config: Config, wanted: np.ndarray) -> np.ndarray:
    """Return (L, L) bool: a query in language a may have a hard negative that is read in language
    b; wanted: the same of its own passage.
    """
    language = config.batch.negatives_language
    if language == "passage":
        return wanted
    same = np.eye(len(wanted), dtype=bool)
    if language == "query":
        return same & wanted.any(axis=1)
    crossed = wanted & ~same
    asking, answering = (np.flatnonzero(crossed.any(axis=axis)) for axis in (1, 0))
    mixed = wanted & same
    mixed[np.ix_(asking, answering)] = True
    return mixed


def _is_per_language(config: Config) -> bool:
    return config.batch.composition == "per_language"


def _needed(pairs: Pairs, *, negatives: bool, both: bool) -> Iterator[_Needed]:
    """Yield what must have a score, a part at a time: the training pairs, and each question's hard
    negatives where `negatives` says so; both: of these, as in `_Needed`.
    """
    for start in range(0, len(pairs), PART):
        part = slice(start, start + PART)
        yield _Needed(
            pairs.question[part],
            pairs.query[:, part],
            pairs.answer[part],
            pairs.passage[:, part],
            both=False,
        )
    hard = pairs.negatives
    if hard is None or not negatives:
        return
    # A question of the pairs has one query in each language, whichever pair it is read from.
    pair_of = np.zeros(len(hard.start) - 1, np.int64)
    pair_of[pairs.question] = np.arange(len(pairs))
    for start in range(0, len(hard.member), PART):
        member = hard.member[start : start + PART]
        places = np.arange(start, start + len(member))
        question = np.searchsorted(hard.start, places, side="right") - 1
        yield _Needed(
            question,
            pairs.query[:, pair_of[question]],
            hard.number[member],
            hard.passage[:, member],
            both=both,
            are_negatives=True,
        )


def _lacking(teacher: TeacherScores, needed: _Needed, wanted: np.ndarray) -> _Lacking:
    """Return which of the needed pairs have no score in some languages of theirs."""
    # A score of the two groups holds in all languages; only the others are looked at further.
    by_group = teacher.of_groups(needed.question, needed.answer)
    at = np.flatnonzero(np.isnan(by_group))
    count, first = 0, (-1, -1)
    for asked, answered in np.argwhere(wanted) if at.size else ():
        query, passage = needed.query[asked, at], needed.passage[answered, at]
        there = (query >= 0) & (passage >= 0)
        if needed.both:
            there &= needed.passage[asked, at] >= 0
        pair = ScoredPairs(needed.question[at], query, needed.answer[at], passage)
        missing = np.flatnonzero(there & np.isnan(teacher.of(pair)))
        if missing.size and not count:
            first = int(query[missing[0]]), int(passage[missing[0]])
        count += len(missing)
    return _Lacking(count, *first)


def _refuse(config: Config, source: TrainingSource, missing: _Lacking) -> None:
    query = source.collection.queries["id"][missing.query].as_py()
    passage = source.collection.passages["id"][missing.passage].as_py()
    others = ""
    if missing.count > 1:
        others = f" and {missing.count - 1:,} other pairs"
    raise UserError(
        f"{SETTING}={config.loss.distillation.path}: no score of query {query!r} with passage"
        f" {passage!r}{others}; a line of their groups or of the two texts gives one",
        key="teacher.missing",
    )


def _tell(config: Config, source: TrainingSource, say: Say) -> None:
    """Tell how many pairs of a training question and a training passage are scored; refuse a file
    that scores none but the pairs themselves.
    """
    pairs, teacher = source.pairs, source.teacher
    assert teacher is not None
    query, passage = np.divmod(teacher.keys, teacher.passages)
    of_groups = (query < teacher.questions) & (passage < teacher.answers)
    own = np.isin(query[of_groups] * pairs.width + passage[of_groups], pairs.judged)
    path = config.loss.distillation.path
    if of_groups.all() and own.all():
        raise UserError(
            f"{SETTING}={path}: it scores no passage that is not an answer; with"
            " loss.distillation.over=batch there is nothing to learn",
            key="teacher.no_negative",
        )
    say(
        f"{path}: scores of {len(own) - int(own.sum()):,} of the"
        f" {teacher.questions * teacher.answers - len(pairs.judged):,} pairs of a training question"
        " and a passage that does not answer it; those in a batch count"
    )
