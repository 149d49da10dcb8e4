"""What the lines of a user's files say, one by one: texts as JSON, columns or TREC topics, and
judgements.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hybrid_sweep.data.collection import SPLITS
from hybrid_sweep.data.tsv import rows, whole
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import BadLine, Problems, numbered, refuse

LARGEST = 2**31 - 1  # grade
BEIR_HEADER = ("query-id", "corpus-id", "score")
TAG = re.compile(r"<(/?)([A-Za-z][\w-]*)((?:\s[^<>]*)?)/?>")  # of a TREC file, with attributes
LANG = re.compile(r"""\s(?:xml:)?lang\s*=\s*["']?([^\s"'/]+)""", re.IGNORECASE)
PARTS = {"num", "title", "desc", "narr"}  # what a topic holds by its format, wherever on a line
MARKUP = set("b big br em font i mark p small span strong sub sup tt u".split())  # of its words
# the only way by which half a surrogate pair can come into JSON's text
HALF = re.compile(r"\\u[dD][89a-fA-F]")


class TextLine(NamedTuple):
    """A text as its line says it; lang, group, split and cluster None: the line does not say."""

    path: Path
    line: int
    id: str
    text: str
    lang: str | None = None
    group: str | None = None
    split: str | None = None
    cluster: str | None = None


class JudgementLine(NamedTuple):
    """A judgement: the ids of a query and a passage, the grade, and the split that its file
    is for.
    """

    path: Path
    line: int
    query: str
    passage: str
    grade: int
    split: str | None = None


def file_of(folder: Path, name: str) -> Path:
    """Return the file of this name in a folder, or, where there is none, that of this name
    and .gz.
    """
    plain = folder / name
    packed = folder / f"{name}.gz"
    if packed.is_file() and not plain.is_file():
        return packed
    return plain


def by_split(folder: Path, stem: str, endings: tuple[str, ...]) -> list[tuple[str, Path]]:
    """Return the split and the path of each file STEM.SPLIT.ENDING (or .gz), sorted; a UserError
    for another part, or for none.
    """
    pattern = re.compile(rf"{re.escape(stem)}(.*)({'|'.join(map(re.escape, endings))})(\.gz)?")
    files = []
    for path in sorted(folder.glob("*")):
        match = pattern.fullmatch(path.name)
        if match:
            files.append((match[1], path))
    for part, path in files:
        if part not in SPLITS:
            hint = ""
            if part.endswith("small"):
                hint = "; for the files of MS MARCO itself take data=msmarco"
            raise UserError(
                f"{path}: the part {part!r} of its name must be one of {', '.join(SPLITS)}{hint}",
                key="data.split_name",
            )
    if not files:
        names = " or ".join(f"{stem}test{ending}" for ending in endings)
        raise UserError(
            f"{folder}: there is no {names}, nor such a file for train or dev",
            key="data.files_missing",
        )
    return files


def objects(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the JSON object of each line."""
    for number, line in numbered(path, problems):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", None) or "a number or a nesting beyond all bounds"
            problems.add(path, number, f"is not JSON ({reason})", key="line.json")
            continue
        if not isinstance(value, dict):
            problems.add(path, number, "is not a JSON object {...}", key="line.json_object")
        elif HALF.search(line) and not _is_unicode(value):
            problems.add(
                path,
                number,
                "holds half a surrogate pair, which is no character",
                key="line.surrogate",
            )
        else:
            yield number, value


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _word(
    path: Path, line: int, node: dict[str, Any], *names: str, needed: bool = True
) -> str | None:
    """Return the first of the named fields that is there: a text, or a whole number as text;
    refuses anything else.
    """
    for name in names:
        if (value := node.get(name)) is None:
            continue
        if isinstance(value, str):
            return value
        if type(value) is int and abs(value) < 10**18:
            return str(value)
        refuse(
            path,
            line,
            f"the field {name} is neither a text nor a whole number",
            key="line.field_kind",
        )
    if needed:
        refuse(path, line, f"has no field {' or '.join(names)}", key="line.field_missing")
    return None


def json_texts(path: Path, problems: Problems) -> Iterator[TextLine]:
    """Yield texts of JSON lines: id (or _id, docid), text, and where they are there title, lang,
    group, split, cluster.

    A title stands before its text, a space between them.
    """
    for line, node in objects(path, problems):
        try:
            identifier = _word(path, line, node, "_id", "id", "docid") or ""
            text = _word(path, line, node, "text") or ""
            title = _word(path, line, node, "title", needed=False)
            lang = _word(path, line, node, "lang", needed=False)
            group = _word(path, line, node, "group", needed=False)
            split = _word(path, line, node, "split", needed=False)
            cluster = _word(path, line, node, "cluster", needed=False)
        except BadLine as error:
            problems.take(error)
            continue
        if title:
            text = f"{title} {text}"
        yield TextLine(path, line, identifier, text, lang, group, split, cluster)


def column_texts(
    path: Path, problems: Problems, split: str | None = None, most: int = 5
) -> Iterator[TextLine]:
    """Yield texts of lines of 2 to `most` columns, the same number in all: id, text, lang, group,
    and the split, or where the file is of one split the cluster; tabs separate them.
    """
    last = "cluster" if split else "split"
    width = 0
    for line, row in numbered(path, problems):
        fields = row.split("\t")
        if not 2 <= len(fields) <= most or len(fields) != (width or len(fields)):
            if width:
                wanted = f"not {width} as the others"
            else:
                names = ", ".join(("id", "text", "lang", "group", last)[:most])
                if most > 2:
                    wanted = f"not 2 to {most}: {names}"
                else:
                    wanted = f"not 2: {names}"
            problems.add(
                path,
                line,
                f"has {len(fields)} columns, {wanted}; a single tab separates two columns",
                key="line.columns",
            )
            continue
        width = len(fields)
        identifier, text, *rest = fields
        lang, group, more = [*rest, None, None, None][:3]
        if split:
            yield TextLine(path, line, identifier, text, lang, group, split, more)
        else:
            yield TextLine(path, line, identifier, text, lang, group, more)


class _Topic:
    """One <top> of a TREC file, while its tags are read."""

    def __init__(self, line: int, attributes: str) -> None:
        lang = LANG.search(attributes)
        self.line, self.lang, self.part = line, lang[1] if lang else None, ""
        self.words: dict[str, list[str]] = {"num": [], "title": []}

    def add(self, text: str) -> None:
        """Add the words up to the next tag, where they belong to the number or the title."""
        if self.part in self.words:
            self.words[self.part].append(text)

    def tag(self, match: re.Match[str], *, first: bool) -> None:
        """Note a tag: one that opens or closes a part, one of markup, or text in angle brackets.

        Tags of other names are parts where they come first on a line.
        """
        name = match[2].lower()
        if name in MARKUP:
            self.add(" " if name in ("br", "p") else "")
        elif match[1]:
            if name == self.part:
                self.part = ""
        elif first or name in PARTS:
            self.part = name
        else:
            self.add(match[0])

    def text(self, path: Path, split: str) -> TextLine:
        """Return the title as a query; refuses a topic without one, or without a number."""
        number, title = (" ".join("".join(words).split()) for words in self.words.values())
        number = re.sub(r"^Number:\s*", "", number, flags=re.IGNORECASE)
        title = re.sub(r"^Topic:\s*", "", title, flags=re.IGNORECASE)
        if not number or not title:
            reason = "opens a topic without <num> or without <title>"
            refuse(path, self.line, reason, key="line.topic_incomplete")
        return TextLine(path, self.line, number, title, self.lang, split=split)


def topics(path: Path, problems: Problems, split: str) -> Iterator[TextLine]:
    """Yield the topics of a TREC file, <top> <num> Number: 301 <title> words ... </top>; the title
    is the query, without markup such as <b>.

    Tags may be in upper case, several on a line, and have attributes; <top lang="hi"> says the
    language.
    """
    topic: _Topic | None = None
    unclosed = "opens a topic that no </top> closes"
    for line, text in numbered(path, problems, blank=True):
        end = 0
        for match in TAG.finditer(text):
            between = text[end : match.start()]
            first = not text[: match.start()].strip()
            end = match.end()
            _take(topic, between, path, line, problems)
            if match[2].lower() != "top":
                if topic:
                    topic.tag(match, first=first)
                else:
                    _take(topic, match[0], path, line, problems)
                continue
            if topic and not match[1]:
                problems.add(path, topic.line, unclosed, key="line.topic_unclosed")
            elif topic:
                try:
                    yield topic.text(path, split)
                except BadLine as error:
                    problems.take(error)
            elif match[1]:
                _take(topic, match[0], path, line, problems)
            if match[1]:
                topic = None
            else:
                topic = _Topic(line, match[3])
        _take(topic, text[end:] + " ", path, line, problems)
    if topic:
        problems.add(path, topic.line, unclosed, key="line.topic_unclosed")


def _take(topic: _Topic | None, text: str, path: Path, line: int, problems: Problems) -> None:
    """Give text to the topic that is open; where none is, it is a bad line."""
    if topic:
        topic.add(text)
    elif text.strip():
        problems.add(path, line, "stands outside of <top> and </top>", key="line.outside_topic")


def column_judgements(
    path: Path, problems: Problems, split: str, *, tabs: bool = True, header: tuple[str, ...] = ()
) -> Iterator[JudgementLine]:
    """Yield judgements of lines of four columns, query, a field that is ignored, passage, grade; or
    three, under a `header`.

    tabs: a single tab separates two columns, as in MS MARCO's and BEIR's files; else any white
    space does, as in TREC's.
    """
    for line, fields in rows(path, len(header) or 4, problems, tabs=tabs):
        if line == 1 and tuple(fields) == header:
            continue
        query = fields[0]
        passage = fields[-2]
        grade = fields[-1]
        try:
            value = _grade(path, line, grade)
        except BadLine as error:
            problems.take(error)
            continue
        yield JudgementLine(path, line, query, passage, value, split)


def json_judgements(path: Path, problems: Problems) -> Iterator[JudgementLine]:
    """Yield judgements of JSON lines: query, passage, grade."""
    for line, node in objects(path, problems):
        try:
            query = _word(path, line, node, "query") or ""
            passage = _word(path, line, node, "passage") or ""
            grade = _grade(path, line, _word(path, line, node, "grade") or "")
        except BadLine as error:
            problems.take(error)
            continue
        yield JudgementLine(path, line, query, passage, grade)


def _grade(path: Path, line: int, word: str) -> int:
    grade = whole(path, line, "grade", word)
    if grade > LARGEST:
        refuse(path, line, f"the grade {grade} is too large", key="line.grade_too_large")
    return grade
