"""XQuAD-R and MLQA-R: every sentence of the paragraphs is a candidate, the one in which the answer
starts is relevant.

The construction of LAReQA (Roy et al., 2020, arXiv 2004.05484) from its files, one per language:
SQuAD's JSON, with the sentence breaks of each paragraph. Equal sentences are candidates of their
own: the published counts have them all.
"""

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse
import scipy.sparse.csgraph

from hybrid_sweep.data.collection import QRELS, TEXTS, Collection, make
from hybrid_sweep.utils import names
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import file_digest
from hybrid_sweep.utils.text_lines import BadLine, Problems, opened, refuse

ORIGIN = "https://github.com/google-research-datasets/lareqa"
LARGEST = 2**30  # bytes of a file unpacked: a hundred times the largest one
LICENCES = {"xquad_r": "CC-BY-SA-4.0", "mlqa_r": "CC-BY-NC-4.0"}
KINDS = {str: "a text", list: "a list", int: "a whole number"}
Row = tuple[str, str, str, str, str]  # in the order of collection.TEXTS


@dataclass
class Part:
    """What one file gives: texts, (question, candidate) judgements, and how often something was
    left out or is odd.
    """

    queries: list[Row] = field(default_factory=list)
    passages: list[Row] = field(default_factory=list)
    relevant: list[tuple[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def build(
    folder: Path, name: str, *, context: bool = False, problems: Problems | None = None
) -> Collection:
    """Return the collection of all files LANGUAGE.json, or LANGUAGE.json.gz, in `folder`; every
    text is of the split "test".

    A candidate's id and group are "{language}_{paragraph of the file}_{sentence of the paragraph}":
    sentences are not parallel, so that a question, whose group is its id in all languages, has a
    judgement for each language. context: a candidate is its sentence, a space, and its paragraph. A
    sentence without text, and a question whose answer starts in no sentence, is left out and
    counted in info. Raises UserError that names file and place, unless `problems` leaves out what
    cannot be used: a paragraph, a sentence, or a question.
    """
    files = sorted([*folder.glob("*.json"), *folder.glob("*.json.gz")])
    if not files:
        raise UserError(
            f"data.path={folder}: must be a folder with en.json, de.json, ... as in {ORIGIN}",
            key="data.files_missing",
        )
    for file in files:
        names.language(_code(file), str(file))
    if len({_code(file) for file in files}) < len(files):
        twice = next(file for file in files if file.with_name(f"{file.name}.gz").is_file())
        raise UserError(
            f"{twice}: is there plain and packed (.gz); remove one of the two",
            key="data.file_twice",
        )
    problems = problems or Problems()
    parts = {_code(file): _language(file, context, problems) for file in files}
    queries, passages = (
        pa.table(
            [*zip(*(row for part in parts.values() for row in getattr(part, kind)), strict=True)],
            TEXTS.names,
        )
        for kind in ("queries", "passages")
    )
    judged = [pair for part in parts.values() for pair in part.relevant]
    grades = pa.table(
        [[pair[0] for pair in judged], [pair[1] for pair in judged], [1] * len(judged)], QRELS.names
    )
    info = {
        "source": ORIGIN,
        "licence": LICENCES[name.removesuffix("_context")],
        "context": context,
        "files": {file.name: file_digest(file) for file in files},
        "candidates": {language: len(part.passages) for language, part in parts.items()},
        "counts": {language: dict(sorted(part.counts.items())) for language, part in parts.items()},
    }
    return make(name, queries, passages, grades, info | problems.info())


def paragraphs(collection: Collection) -> dict[str, str]:
    """Return the paragraph of each question, by its group: the id of its relevant sentence says it.

    Paragraphs of several languages that have a question in common are one, named by the first of
    them.
    """
    names_of = pc.replace_substring_regex(collection.qrels["passage_group"], "_[0-9]+$", "")
    groups, paragraph = (
        pc.dictionary_encode(column).combine_chunks()
        for column in (collection.qrels["query_group"], names_of)
    )
    rows, columns = groups.indices.to_numpy(), paragraph.indices.to_numpy()
    total = len(groups.dictionary), len(paragraph.dictionary)
    edges = scipy.sparse.coo_array(
        (np.ones(len(rows), bool), (rows, total[0] + columns)), shape=(sum(total), sum(total))
    )
    _, part = scipy.sparse.csgraph.connected_components(edges, directed=False)
    first: dict[int, str] = {}
    for name, code in sorted(
        zip(paragraph.dictionary.to_pylist(), part[total[0] :].tolist(), strict=True)
    ):
        first.setdefault(code, name)
    asked = zip(groups.dictionary.to_pylist(), part[: total[0]].tolist(), strict=True)
    return {group: first[code] for group, code in asked}


def _language(file: Path, context: bool, problems: Problems) -> Part:
    part = Part()
    asked = set[str]()
    for number, (place, paragraph) in enumerate(_paragraphs(file, problems)):
        try:
            text = _get(paragraph, "context", str, file, place)
            breaks, items = (
                _get(paragraph, key, list, file, place) for key in ("sentence_breaks", "qas")
            )
        except BadLine as error:
            problems.take(error)
            continue
        spans = []
        for index, span in enumerate(breaks):
            try:
                start, end = _span(span, len(text), file, f"{place}.sentence_breaks[{index}]")
            except BadLine as error:
                problems.take(error)
                continue
            sentence = text[start:end]
            candidate = f"{_code(file)}_{number}_{index}"
            if not sentence.strip():
                part.counts["sentences without text"] += 1
                continue
            spans.append((start, end, candidate))
            shown = sentence
            if context:
                shown = f"{sentence} {text}"
            part.passages.append((candidate, candidate, _code(file), "test", shown))
        for index, item in enumerate(items):
            try:
                _question(part, item, spans, asked, file, f"{place}.qas[{index}]")
            except BadLine as error:
                problems.take(error)
    if not part.queries:
        raise UserError(
            f"{file}: no question whose answer starts in a sentence; is it a file of {ORIGIN}?",
            key="data.no_question",
        )
    return part


def _question(
    part: Part,
    item: Any,
    spans: list[tuple[int, int, str]],
    asked: set[str],
    file: Path,
    place: str,
) -> None:
    """Add a question, and the sentence where its answer starts, to `part`; spans: start, end and id
    of each sentence.
    """
    identifier = _get(item, "id", str, file, place)
    question = _get(item, "question", str, file, place)
    if not (identifier.strip() and question.strip()):
        refuse(file, place, "the id or the question is empty", key="line.text_empty")
    if identifier in asked:
        refuse(
            file,
            place,
            f"the question id {identifier!r} occurs twice in this file; ids must be unique",
            key="line.text_repeated",
        )
    asked.add(identifier)
    answers = _get(item, "answers", list, file, place)
    # Only the start of the first answer counts, as in LAReQA, whether or not the answer ends in its
    # sentence.
    if answers:
        begin = _get(answers[0], "answer_start", int, file, f"{place}.answers[0]")
    else:
        begin = -1
    around = [(end, candidate) for start, end, candidate in spans if start <= begin < end]
    if not around:
        part.counts["questions without a sentence"] += 1
        return
    end, sentence = around[0]
    if begin + len(_get(answers[0], "text", str, file, f"{place}.answers[0]")) > end:
        part.counts["answers that end in a later sentence"] += 1
    part.queries.append((f"{identifier}@{_code(file)}", identifier, _code(file), "test", question))
    part.relevant.append((identifier, sentence))


def _code(file: Path) -> str:
    """Return the language that a file is named by."""
    return file.name.removesuffix(".gz").removesuffix(".json")


def _paragraphs(file: Path, problems: Problems) -> Iterator[tuple[str, Any]]:
    """Yield the paragraphs of a file in order, each with its place, as "data[0].paragraphs[3]"."""
    try:
        with opened(file) as stream:
            raw = stream.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise UserError(f"{file}: holds more than {LARGEST:,} bytes", key="data.file_large")
        content = json.loads(raw.decode("utf-8-sig"))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "damaged gzip"
        raise UserError(f"{file}: cannot be read ({reason})", key="data.file_unreadable") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file}: byte {error.start} is not UTF-8; fetch the file again",
            key="data.file_encoding",
        ) from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{file}: line {error.lineno}, column {error.colno}: not JSON ({error.msg})",
            key="data.file_json",
        ) from error
    # a number of thousands of digits; thousands of brackets
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{file}: not JSON that can be read ({error})", key="data.file_json"
        ) from error
    articles = None
    if isinstance(content, dict):
        articles = content.get("data")
    if not isinstance(articles, list):
        raise UserError(f"{file}: data is missing or not {KINDS[list]}", key="data.file_layout")
    for first, article in enumerate(articles):
        place = f"data[{first}]"
        try:
            paragraphs = _get(article, "paragraphs", list, file, place)
        except BadLine as error:
            problems.take(error)
            continue
        for second, paragraph in enumerate(paragraphs):
            yield f"{place}.paragraphs[{second}]", paragraph


def _span(span: Any, length: int, file: Path, place: str) -> tuple[int, int]:
    """Return the start and end of a sentence, in code points of its paragraph of `length`; a
    UserError for anything else.
    """
    if not (
        isinstance(span, list) and len(span) == 2 and all(type(value) is int for value in span)
    ):
        refuse(file, place, "must be a start and an end, two whole numbers", key="line.span")
    start, end = span
    if not 0 <= start <= end <= length:
        refuse(
            file,
            place,
            f"{start} to {end} is not within the {length} characters of the paragraph",
            key="line.span_outside",
        )
    return start, end


def _get(node: Any, key: str, kind: type, file: Path, place: str) -> Any:
    """Return a field of a JSON object; a UserError where it is missing, of another kind, or a text
    that is not Unicode.
    """
    value = None
    if isinstance(node, dict):
        value = node.get(key)
    if type(value) is not kind:
        refuse(file, place, f"{key} is missing or not {KINDS[kind]}", key="line.field_kind")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadLine(
                file,
                place,
                f"character {error.start} of {key} is half a surrogate pair",
                key="line.surrogate",
            ) from error
    return value
