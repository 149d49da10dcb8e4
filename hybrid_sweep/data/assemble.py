"""From what files say, language by language, to a collection: ids, groups and splits, and
judgements between groups.
"""

import dataclasses
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hybrid_sweep.data.collection import ALONE, CLUSTERED, QRELS, SPLITS, Collection, make
from hybrid_sweep.data.lookup import index_in
from hybrid_sweep.data.text_records import JudgementLine, TextLine
from hybrid_sweep.data.texts import Text, write_texts
from hybrid_sweep.utils.text_lines import Problems


@dataclass(frozen=True)
class Folder:
    """What the files of one folder give.

    lang: the language of texts that say none; None: each says its own. apart: the ids of this
    folder are its own, so that a text's id is "id@lang"; else ids are as they stand, unique over
    all languages. split: of queries whose line, and whose judgements, say none; None leaves such
    queries out.
    """

    lang: str | None
    apart: bool
    passages: Iterable[TextLine]
    queries: Iterable[TextLine]
    judgements: Iterable[JudgementLine]
    split: str | None = None


def assemble(
    name: str, folders: Sequence[Folder], problems: Problems, work: Path, info: dict[str, Any]
) -> Collection:
    """Return the collection of all folders; texts are streamed through files in a folder in `work`
    and mapped from there.

    A text without a group is a group of its own, its id. A judgement between two ids is one between
    their groups, and holds in all languages. Bad lines are those of `write_texts`, judgements of
    unknown ids, two different grades of one pair of groups, and a query whose versions are in two
    splits. Raises UserError where no query or no passage is left.
    """
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=work) as temporary:
        folder = Path(temporary)
        passages = write_texts("passage", _passages(folders, problems), folder, problems)
        judged = [list(origin.judgements) for origin in folders]
        asked = [list(_in_language(origin, origin.queries, problems)) for origin in folders]
        splits, unjudged = _splits(folders, asked, judged, problems)
        queries = write_texts("query", _queries(folders, asked, splits, problems), folder, problems)
        for kind, table in (("query", queries), ("passage", passages)):
            if not len(table):
                raise problems.nothing_left(
                    f"data={name}: the files give no {kind} that can be used"
                )
        pairs = _pairs(folders, judged, queries, passages, splits, problems)
        query_groups = [pair[0] for pair in pairs]
        passage_groups = [pair[1] for pair in pairs]
        qrels = pa.table([query_groups, passage_groups, list(pairs.values())], QRELS.names)
        marks = {"queries_without_judgement": unjudged, **problems.info()}
        made = make(name, queries, passages, qrels.cast(QRELS), info | marks, folder)
        return dataclasses.replace(made, clusters=_clusters(folders, asked, made, problems))


def _clusters(
    folders: Sequence[Folder],
    asked: list[list[TextLine]],
    made: Collection,
    problems: Problems,
) -> pa.Table | None:
    """Return the cluster of each question, which any of its versions may say; one that none says
    stands alone. None where no line says a cluster.
    """
    by_group: dict[str, str] = {}
    for origin, texts in zip(folders, asked, strict=True):
        for text in texts:
            group = _group(origin, text)
            if text.cluster and re.search(r"[\t\n\r]", text.cluster):
                reason = f"the cluster {text.cluster[:40]!r} has a tab or a line break"
                problems.add(text.path, text.line, reason, key="line.name")
            elif text.cluster and by_group.setdefault(group, text.cluster) != text.cluster:
                reason = (
                    f"is of the cluster {text.cluster[:40]!r}, but another version of the query is"
                    f" of {by_group[group][:40]!r}"
                )
                problems.add(text.path, text.line, reason, key="line.cluster_contradicts")
    if not by_group:
        return None
    groups = sorted(set(made.queries["group"].to_pylist()))
    clusters = [by_group.get(group, f"{ALONE}{group}") for group in groups]
    return pa.table([groups, clusters], CLUSTERED.names).cast(CLUSTERED)


def _in_language(
    origin: Folder, texts: Iterable[TextLine], problems: Problems
) -> Iterator[TextLine]:
    for text in texts:
        lang = text.lang or origin.lang
        if lang is None:
            reason = (
                "says no language: give its field lang, or data.languages=[CODE] where all texts"
                " are in one"
            )
            problems.add(text.path, text.line, reason, key="line.language_missing")
        elif origin.apart and lang != origin.lang:
            problems.add(
                text.path,
                text.line,
                f"is in {lang[:40]!r}, but its folder is {origin.lang}",
                key="line.language_of_folder",
            )
        else:
            yield text._replace(lang=lang)


def _full(origin: Folder, identifier: str, lang: str | None) -> str:
    if origin.apart and identifier:
        return f"{identifier}@{lang}"
    return identifier


def _group(origin: Folder, text: TextLine) -> str:
    return text.group or _full(origin, text.id, text.lang)


def _text(origin: Folder, text: TextLine, split: str) -> Text:
    lang = text.lang or ""
    identifier = _full(origin, text.id, lang)
    return Text(text.path, text.line, identifier, lang, text.group, split, text.text)


def _passages(folders: Sequence[Folder], problems: Problems) -> Iterator[Text]:
    for origin in folders:
        for text in _in_language(origin, origin.passages, problems):
            yield _text(origin, text, text.split or "*")


def _splits(
    folders: Sequence[Folder],
    asked: list[list[TextLine]],
    judged: list[list[JudgementLine]],
    problems: Problems,
) -> tuple[dict[str, str], int]:
    """Return the split of each query group that has one, and how many queries have no version that
    is judged.

    What the text's line says counts, then what the file of a judgement of any of its versions says,
    then the origin's own.
    """
    splits: dict[str, str] = {}
    for origin, texts in zip(folders, asked, strict=True):
        for text in texts:
            if text.split in SPLITS:
                splits.setdefault(_group(origin, text), text.split)
    judged_groups: set[str] = set()
    for origin, texts, lines in zip(folders, asked, judged, strict=True):
        groups = {text.id: _group(origin, text) for text in texts}
        for line in lines:
            group = groups.get(line.query)
            if group is not None:
                judged_groups.add(group)
                if line.split and splits.setdefault(group, line.split) != line.split:
                    reason = (
                        f"judges the query {line.query[:40]!r}, which is of the split"
                        f" {splits[group]}"
                    )
                    problems.add(line.path, line.line, reason, key="line.split_contradicts")
    without = 0
    for origin, texts in zip(folders, asked, strict=True):
        for text in texts:
            if origin.split and not text.split:
                splits.setdefault(_group(origin, text), origin.split)
            without += _group(origin, text) not in judged_groups
    return splits, without


def _queries(
    folders: Sequence[Folder],
    asked: list[list[TextLine]],
    splits: dict[str, str],
    problems: Problems,
) -> Iterator[Text]:
    for origin, texts in zip(folders, asked, strict=True):
        for text in texts:
            split = splits.get(_group(origin, text)) or text.split
            if split is None:
                continue
            if text.split and text.split != split:
                reason = (
                    f"is of the split {text.split[:40]!r}, but another version of the query is of"
                    f" {split[:40]!r}"
                )
                problems.add(text.path, text.line, reason, key="line.split_contradicts")
                continue
            yield _text(origin, text, split)


def _pairs(
    folders: Sequence[Folder],
    judged: list[list[JudgementLine]],
    queries: pa.Table,
    passages: pa.Table,
    splits: dict[str, str],
    problems: Problems,
) -> dict[tuple[str, str], int]:
    """Return the grade of each judged pair of groups."""
    grades: dict[tuple[str, str], int] = {}
    for origin, lines in zip(folders, judged, strict=True):
        query_groups = _groups(queries, [_full(origin, line.query, origin.lang) for line in lines])
        passage_groups = _groups(
            passages, [_full(origin, line.passage, origin.lang) for line in lines]
        )
        once: set[tuple[str, str]] = set()
        for line in lines:
            query = _full(origin, line.query, origin.lang)
            passage = _full(origin, line.passage, origin.lang)
            if query not in query_groups or passage not in passage_groups:
                stray = f"passage {line.passage[:40]!r}"
                if query not in query_groups:
                    stray = f"query {line.query[:40]!r}"
                problems.add(
                    line.path,
                    line.line,
                    f"judges the {stray}, which is in no file of texts",
                    key="line.judgement_stray",
                )
                continue
            ids = (query, passage)
            pair = (query_groups[query], passage_groups[passage])
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


def _groups(table: pa.Table, ids: list[str]) -> dict[str, str]:
    """Return the group of each of these ids that a table of texts has."""
    wanted = pa.array(list(dict.fromkeys(ids)), pa.string())
    rows = pa.array(np.flatnonzero(index_in(table["id"], wanted) >= 0))
    there = table["id"].take(rows).to_pylist()
    groups = table["group"].take(rows).to_pylist()
    return dict(zip(there, groups, strict=True))


def point_out_shared_ids(built: Collection, say: Callable[[str], None]) -> None:
    """Say how many queries have the id of a passage, and keep it in the collection's info; nothing
    where none has.
    """
    ids = built.queries["id"].combine_chunks()
    shared = int(np.count_nonzero(index_in(built.passages["id"], ids) >= 0))
    if shared:
        built.info["queries_in_corpus"] = shared
        say(
            f"{shared:,} of {len(built.queries):,} queries have the id of a passage: where that is"
            " the query's own document, as in ArguAna and Quora, it is searched too and mostly"
            " stands first; eval.own_document=leave_out leaves it out"
        )
