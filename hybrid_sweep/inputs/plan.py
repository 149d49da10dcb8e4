"""The batch plan of a run, from its config and its training pairs."""

from collections.abc import Mapping

import numpy as np

from hybrid_sweep.batching.schedule import BatchDesign, Plan, Source, StatedPairs, make_plan
from hybrid_sweep.config import language_pairs
from hybrid_sweep.config.schema import Config
from hybrid_sweep.data.code_switching import code_switch_of
from hybrid_sweep.data.pairs import Pairs
from hybrid_sweep.inputs.prepare import (
    code_of,
    collection_of,
    configs_of,
    training_pairs,
    union_of,
)
from hybrid_sweep.utils.errors import UserError


def plan_of(config: Config, pairs: Mapping[str, Pairs] | None = None) -> Plan:
    """Return the batch plan of a run; raises UserError where the batch is larger than every pair of
    languages allows.

    pairs: those of each training collection by name, the main one first; None reads them.
    """
    configs = configs_of(config)
    if pairs is None:
        pairs = {name: training_pairs(own, collection_of(own)) for name, own in configs.items()}
    union = union_of(own.languages for own in pairs.values())
    batch, planned = config.batch, []
    stated = _stated_pairs(config)
    is_stated = stated is not None or batch.composition == "per_language"
    shares = [own.data.share for own in configs.values()]
    for (name, own), share in zip(pairs.items(), shares, strict=True):
        if not len(own):
            raise UserError(
                f"data={name} has nothing to train on: use hybrid-sweep evaluate, or"
                " trainer.max_steps=0",
                key="data.nothing_to_train",
            )
        code = code_of(own.languages, union)
        sides = None
        if is_stated or own.is_ordered:
            asks, answers = own.query >= 0, own.passage >= 0
            sides = _among(asks, code, len(union)), _among(answers, code, len(union))
        planned.append(Source(name, _among(own.present, code, len(union)), share, sides))
    design = BatchDesign(
        seed=config.seed,
        steps=config.trainer.max_steps,
        batch_size=batch.size,
        ratio=batch.cross_lingual_ratio,
        language_exponent=batch.language_exponent,
        partner=batch.partner,
        pivot=batch.pivot,
        groups=batch.groups,
        composition=batch.composition,
        added=batch.added if batch.budget == "fixed_monolingual" else None,
        pairs=stated,
        ratio_schedule=batch.ratio_schedule,
    )
    plan = make_plan(planned, union, design)
    if config.loss.alignment.weight:
        _check_alignment(config, plan, pairs)
    code_switch_of(config)  # raises for a lexicon with a bad line
    if batch.negatives_language == "query":
        _check_negatives(plan, pairs)
    return plan


def _check_negatives(plan: Plan, pairs: Mapping[str, Pairs]) -> None:
    """Refuse negatives in the query's language where a language that asks has no passages in the
    collection whose negatives are drawn.
    """
    for own in pairs.values():
        if own.negatives is not None and not len(own.negatives.member):
            continue  # this collection draws none
        asks, answers = ((side >= 0).any(axis=1) for side in (own.query, own.passage))
        for place in np.flatnonzero(asks & ~answers).tolist():
            if own.languages[place] in plan.asking:
                raise UserError(
                    f"batch.negatives_language=query: {own.languages[place]} asks, and has no"
                    " passages to be negatives; take passage or mixed",
                    key="config.batch.negatives_language",
                )


def _check_alignment(config: Config, plan: Plan, pairs: Mapping[str, Pairs]) -> None:
    """Refuse to align the texts of a stated pair whose other version is not there, or not in the
    batch where the pair is monolingual in its passage language.
    """
    settings = config.loss.alignment
    if not plan.pairs and any(own.is_ordered for own in pairs.values()):
        raise UserError(
            f"loss.alignment.weight={settings.weight:g}: a language of the collection only asks or"
            " only answers; state the pairs whose texts have two versions in batch.pairs",
            key="config.loss.alignment.weight",
        )
    there: set[str] = set()
    for own in pairs.values():
        rows = own.query if settings.of == "queries" else own.passage
        there |= {own.languages[place] for place in np.flatnonzero((rows >= 0).any(axis=1))}
    moved = {pair[-2:] for pair in plan.moved}
    if moved and plan.repeats_questions:
        raise UserError(
            f"loss.alignment.weight={settings.weight:g}: with batch.composition=per_language a pair"
            " that is not cross-lingual has one language alone; take per_example, or set the weight"
            " to 0",
            key="config.loss.alignment.weight",
        )
    for asking, answering in plan.pairs:
        other = answering if settings.of == "queries" else asking
        if other not in there or (asking, answering) in moved:
            raise UserError(
                f"loss.alignment.weight={settings.weight:g}: the {settings.of} of the pair"
                f" {asking}-{answering} have no second version, since one of its languages only"
                " asks or only answers; leave the pair out of batch.pairs, or set the weight to 0",
                key="config.loss.alignment.weight",
            )


def _among(texts: np.ndarray, code: np.ndarray, languages: int) -> np.ndarray:
    """Return (L, G) bool over all languages of a plan of what a source has in its own."""
    among = np.zeros((languages, texts.shape[1]), bool)
    among[code] = texts
    return among


def _stated_pairs(config: Config) -> StatedPairs | None:
    """Return the pairs that the batches are told to have; None where they are drawn at random."""
    batch = config.batch
    if not language_pairs.are_stated(batch):
        return None
    weights = language_pairs.weights(batch, language_pairs.trained_languages(config))
    return StatedPairs(tuple(batch.query_languages), tuple(batch.passage_languages), weights)
