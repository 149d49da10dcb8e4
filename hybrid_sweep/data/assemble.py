"""From what files say, language by language, to a collection: ids, groups and splits, and
judgements between groups.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hybrid_sweep.data.collection import QRELS, SPLITS, Collection, make
from hybrid_sweep.data.lookup import index_in
from hybrid_sweep.data.text_records import Found, Judged
from hybrid_sweep.data.texts import Text, write_texts
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import Problems


@dataclass(frozen=True)
class Source:
    """What one folder gives.

    lang: the language of texts that say none; None: each says its own. apart: the ids of this
    folder are its own, so that a text's id is "id@lang"; else ids are as they stand, unique over
    all languages. split: of queries whose line, and whose judgements, say none; None leaves such
    queries out.
    """

    lang: str | None
    apart: bool
    passages: Iterable[Found]
    queries: Iterable[Found]
    judgements: Iterable[Judged]
    split: str | None = None


def assemble(
    name: str, sources: Sequence[Source], problems: Problems, work: Path, info: dict[str, Any]
) -> Collection:
    """Return the collection of all sources; texts are streamed through files in a folder in `work`
    and mapped from there.

    A text without a group is a group of its own, its id. A judgement between two ids is one between
    their groups, and holds in all languages. Bad lines are those of `write_texts`, judgements of
    unknown ids, two different grades of one pair of groups, and a query whose versions are in two
    splits. Raises UserError where no query or no passage is left.
    """
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=work) as temporary:
        folder = Path(temporary)
        passages = write_texts("passage", _passages(sources, problems), folder, problems)
        judged = [list(source.judgements) for source in sources]
        found = [list(_in_language(source, source.queries, problems)) for source in sources]
        splits, unjudged = _splits(sources, found, judged, problems)
        queries = write_texts("query", _queries(sources, found, splits, problems), folder, problems)
        for kind, table in (("query", queries), ("passage", passages)):
            if not len(table):
                raise UserError(
                    f"data={name}: the files give no {kind} that can be used",
                    key="data.nothing_usable",
                )
        pairs = _pairs(sources, judged, queries, passages, splits, problems)
        qrels = pa.table(
            [[pair[0] for pair in pairs], [pair[1] for pair in pairs], list(pairs.values())],
            QRELS.names,
        )
        marks = {"queries_without_judgement": unjudged, **problems.info()}
        return make(name, queries, passages, qrels.cast(QRELS), info | marks, folder)


def _in_language(source: Source, texts: Iterable[Found], problems: Problems) -> Iterator[Found]:
    for text in texts:
        lang = text.lang or source.lang
        if lang is None:
            reason = (
                "says no language: give its field lang, or data.languages=[CODE] where all texts"
                " are in one"
            )
            problems.add(text.path, text.line, reason, key="line.language_missing")
        elif source.apart and lang != source.lang:
            problems.add(
                text.path,
                text.line,
                f"is in {lang[:40]!r}, but its folder is {source.lang}",
                key="line.language_of_folder",
            )
        else:
            yield text._replace(lang=lang)


def _full(source: Source, identifier: str, lang: str | None) -> str:
    return f"{identifier}@{lang}" if source.apart and identifier else identifier


def _group(source: Source, text: Found) -> str:
    return text.group or _full(source, text.id, text.lang)


def _passages(sources: Sequence[Source], problems: Problems) -> Iterator[Text]:
    for source in sources:
        for text in _in_language(source, source.passages, problems):
            lang = text.lang or ""
            yield Text(
                text.path,
                text.line,
                _full(source, text.id, lang),
                lang,
                text.group,
                text.split or "*",
                text.text,
            )


def _splits(
    sources: Sequence[Source],
    found: list[list[Found]],
    judged: list[list[Judged]],
    problems: Problems,
) -> tuple[dict[str, str], int]:
    """Return the split of each query group that has one, and how many queries have no version that
    is judged.

    What the text's line says counts, then what the file of a judgement of any of its versions says,
    then the source's own.
    """
    splits: dict[str, str] = {}
    for source, texts in zip(sources, found, strict=True):
        for text in texts:
            if text.split in SPLITS:
                splits.setdefault(_group(source, text), text.split)
    judged_groups: set[str] = set()
    for source, texts, lines in zip(sources, found, judged, strict=True):
        groups = {text.id: _group(source, text) for text in texts}
        for line in lines:
            if (group := groups.get(line.query)) is not None:
                judged_groups.add(group)
                if line.split and splits.setdefault(group, line.split) != line.split:
                    reason = (
                        f"judges the query {line.query[:40]!r}, which is of the split"
                        f" {splits[group]}"
                    )
                    problems.add(line.path, line.line, reason, key="line.split_contradicts")
    without = 0
    for source, texts in zip(sources, found, strict=True):
        for text in texts:
            if source.split and not text.split:
                splits.setdefault(_group(source, text), source.split)
            without += _group(source, text) not in judged_groups
    return splits, without


def _queries(
    sources: Sequence[Source], found: list[list[Found]], splits: dict[str, str], problems: Problems
) -> Iterator[Text]:
    for source, texts in zip(sources, found, strict=True):
        for text in texts:
            if (split := splits.get(_group(source, text)) or text.split) is None:
                continue
            if text.split and text.split != split:
                reason = (
                    f"is of the split {text.split[:40]!r}, but another version of the query is of"
                    f" {split[:40]!r}"
                )
                problems.add(text.path, text.line, reason, key="line.split_contradicts")
                continue
            lang = text.lang or ""
            yield Text(
                text.path,
                text.line,
                _full(source, text.id, lang),
                lang,
                text.group,
                split,
                text.text,
            )


def _pairs(
    sources: Sequence[Source],
    judged: list[list[Judged]],
    queries: pa.Table,
    passages: pa.Table,
    splits: dict[str, str],
    problems: Problems,
) -> dict[tuple[str, str], int]:
    """Return the grade of each judged pair of groups."""
    grades: dict[tuple[str, str], int] = {}
    for source, lines in zip(sources, judged, strict=True):
        known = []
        for table, names in (
            (queries, [line.query for line in lines]),
            (passages, [line.passage for line in lines]),
        ):
            wanted = [_full(source, each, source.lang) for each in dict.fromkeys(names)]
            rows = np.flatnonzero(index_in(table["id"], pa.array(wanted, pa.string())) >= 0)
            columns = (table[name].take(pa.array(rows)).to_pylist() for name in ("id", "group"))
            known.append(dict(zip(*columns, strict=True)))
        once: set[tuple[str, str]] = set()
        for line in lines:
            ids = _full(source, line.query, source.lang), _full(source, line.passage, source.lang)
            stray = [place for place in (0, 1) if ids[place] not in known[place]]
            if stray:
                kind = (
                    f"{('query', 'passage')[stray[0]]}"
                    f" {(line.query, line.passage)[stray[0]][:40]!r}"
                )
                problems.add(
                    line.path,
                    line.line,
                    f"judges the {kind}, which is in no file of texts",
                    key="line.judgement_stray",
                )
                continue
            pair = known[0][ids[0]], known[1][ids[1]]
            if ids in once:
                problems.add(
                    line.path,
                    line.line,
                    "judges a query and a passage that an earlier line judges",
                    key="line.judged_twice",
                )
            elif line.split and line.split != splits[pair[0]]:
                continue  # noted when the splits were found
            elif grades.setdefault(pair, line.grade) != line.grade:
                reason = (
                    f"gives grade {line.grade}, but other versions of these texts have"
                    f" {grades[pair]}"
                )
                problems.add(line.path, line.line, reason, key="line.grade_contradicts")
            once.add(ids)
    return grades
