"""The pairs of languages that the batches are told to have: `batch.pairs`, `batch.query_languages`
and `batch.passage_languages`.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from hybrid_sweep.config.schema import BatchConfig, Config
from hybrid_sweep.utils import names
from hybrid_sweep.utils.errors import UserError


def are_stated(batch: BatchConfig) -> bool:
    """Return whether any of the three keys is set: then each pair has its exact share."""
    return bool(batch.pairs or batch.query_languages or batch.passage_languages)


def trained_languages(config: Config) -> list[str]:
    """Return the languages of all training collections, sorted."""
    languages = set(config.data.languages)
    for data in config.more.values():
        languages |= set(data.languages)
    return sorted(languages)


def weights(batch: BatchConfig, languages: Sequence[str]) -> dict[tuple[str, str], float]:
    """Return the positive weights of `batch.pairs` by query and passage language.

    Raises:
        UserError: for a name that is not two different codes of `languages` with a hyphen between
            them, or could be two such pairs, and for weights of which no share follows.
    """
    positive = {}
    for name, weight in batch.pairs.items():
        pair = _pair(name, languages)
        if not 0 <= weight < math.inf:
            raise UserError(
                f"batch.pairs: the weight of {name} is {weight:g}; it must be 0 or a positive"
                " number",
                key="config.batch.pairs",
            )
        if weight > 0:
            positive[pair] = weight
    if batch.pairs and not positive:
        raise UserError(
            "batch.pairs: all weights are 0; give a positive one", key="config.batch.pairs"
        )
    return positive


def _pair(name: str, languages: Sequence[str]) -> tuple[str, str]:
    """Return the codes of a pair; a code may have hyphens itself."""
    pairs = []
    for place, sign in enumerate(name):
        query, passage = name[:place], name[place + 1 :]
        if sign == "-" and query in languages and passage in languages:
            pairs.append((query, passage))
    shown = names.shown(name)
    if len(pairs) != 1:
        reason = "could be two pairs" if pairs else "is no pair of languages, QUERY-PASSAGE"
        raise UserError(
            f"batch.pairs: {shown} {reason}; the languages are {', '.join(languages)}",
            key="config.batch.pairs",
        )
    if pairs[0][0] == pairs[0][1]:
        raise UserError(
            f"batch.pairs: {shown} has one language; batch.cross_lingual_ratio decides which steps"
            " of a pair are monolingual",
            key="config.batch.pairs",
        )
    return pairs[0]


def check(config: Config) -> None:
    """Refuse pairs and languages that no collection makes valid, or that exclude one another.

    Raises:
        UserError: for the first of them.
    """
    batch = config.batch
    if not are_stated(batch):
        return
    languages = trained_languages(config)
    sides = {"query_languages": batch.query_languages, "passage_languages": batch.passage_languages}
    for field, chosen in sides.items():
        _check_languages(field, chosen, languages)
    stated = weights(batch, languages)
    asking = batch.query_languages or languages
    answering = batch.passage_languages or languages
    for query, passage in stated:
        for field, code, allowed in (
            ("query_languages", query, asking),
            ("passage_languages", passage, answering),
        ):
            if code not in allowed:
                raise UserError(
                    f"batch.pairs: {query}-{passage} needs {code} in batch.{field}, which has"
                    f" {', '.join(allowed)}",
                    key="config.batch.pairs",
                )
    if len(set(asking) | set(answering)) < 2:
        raise UserError(
            f"batch.query_languages and batch.passage_languages have {asking[0]} alone; a pair has"
            " two languages (one language: leave both out, with the ratio 0)",
            key="config.batch.query_languages",
        )
    if stated:
        _check_drawing(batch)


def lexicons(config: Config) -> dict[tuple[str, str], Path]:
    """Return the files of `batch.code_switch.lexicon` by the language of the query and that of the
    words it gets, sorted.

    Raises:
        UserError: for a name that does not begin with a language of the training and a hyphen.
    """
    languages = trained_languages(config)
    files = {}
    for name, path in sorted(config.batch.code_switch.lexicon.items()):
        pairs = []
        for language in languages:
            if name.startswith(f"{language}-") and len(name) > len(language) + 1:
                pairs.append((language, name[len(language) + 1 :]))
        if len(pairs) != 1:
            raise UserError(
                f"batch.code_switch.lexicon: {names.shown(name)} is no pair of languages"
                " QUERY-OTHER with one of the training first; they are"
                f" {', '.join(languages)}",
                key="config.batch.code_switch.lexicon",
            )
        files[pairs[0]] = _file(name, path)
    return files


def _file(name: str, path: str) -> Path:
    """Return the file of a lexicon; raises UserError for one in a home folder that is not there."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"batch.code_switch.lexicon.{name}={path}: there is no such home folder; give a whole"
            " path",
            key="config.batch.code_switch.lexicon",
        ) from error


def check_code_switch(config: Config) -> None:
    """Refuse a share that is none, and one without a lexicon.

    Raises:
        UserError: for the first of them.
    """
    settings = config.batch.code_switch
    if not 0 <= settings.share <= 1:
        raise UserError(
            f"batch.code_switch.share={settings.share:g}: must be a share between 0 and 1",
            key="config.batch.code_switch.share",
        )
    if settings.share and not settings.lexicon:
        raise UserError(
            f"batch.code_switch.share={settings.share:g}: needs a lexicon,"
            " 'batch.code_switch.lexicon={en-de: FILE}'",
            key="config.batch.code_switch.lexicon",
        )
    lexicons(config)


def _check_languages(field: str, chosen: Sequence[str], languages: Sequence[str]) -> None:
    unknown = [code for code in chosen if code not in languages]
    if unknown:
        raise UserError(
            f"batch.{field}: {names.shown(unknown[0])} is not trained on; the languages are"
            f" {', '.join(languages)}",
            key=f"config.batch.{field}",
        )
    if len(set(chosen)) < len(chosen):
        raise UserError(
            f"batch.{field}: {', '.join(chosen)} names a language twice",
            key=f"config.batch.{field}",
        )


def _check_drawing(batch: BatchConfig) -> None:
    """Refuse what would draw languages beside weights that are stated."""
    plain = BatchConfig()
    for field in ("language_exponent", "partner", "pivot"):
        value = getattr(batch, field)
        if value != getattr(plain, field):
            raise UserError(
                f"batch.{field}={value}: has no effect with batch.pairs, which states the weights;"
                " leave one of them out",
                key=f"config.batch.{field}",
            )
