"""Reads the pages of a help package: headings, and the running text below each.

A package file is an ar archive with a tar archive of pages in it; nothing is unpacked to disk.
"""

import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from hybrid_sweep.data.datasets.debian.text_rules import Description, clean
from hybrid_sweep.utils.errors import UserError

MAGIC = b"!<arch>\n"
HEADER = 60  # bytes before each member of an ar archive; its size stands in ten of them
SIZE = slice(48, 58)
PAGE_LIMIT = 1 << 24  # bytes; the longest page has 0.4 MB

HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
# elements that have no end
VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
# Tables, listings, menu paths to a command, lists of links, and text that stands on another page.
LEFT_OUT_TAGS = frozenset({"table", "pre", "script", "style"})
LEFT_OUT_CLASSES = frozenset({"code", "howtoget", "relatedtopics", "embedded", "noteicon"})
# The text of a page lies between these two.
BEGIN, END = 'id="DisplayArea"', '<div id="SearchFrame"'


class SectionId(NamedTuple):
    """The place of a section, the same in all languages: its page, and the id of its heading."""

    page: str
    heading: str


def sections(package: Path, folder: str) -> dict[SectionId, Description]:
    """Return the sections of a package's pages in one language: the heading as synopsis, and the
    paragraphs below it, which may be none. Pages go by name, sections as they stand.

    folder: of the language, as its name ends in lower case. Raises UserError for a file that is no
    whole package.
    """
    made: dict[SectionId, Description] = {}
    for page, text in sorted(pages(package, folder)):
        reader = SectionReader()
        reader.feed(text[text.find(BEGIN) : text.find(END)])
        for heading, title, paragraphs in reader.sections:
            cleaned = [clean(paragraph) for paragraph in paragraphs]
            whole = tuple(paragraph for paragraph in cleaned if any(map(str.isalnum, paragraph)))
            made.setdefault(SectionId(page, heading), Description(clean(title), whole))
    return made


def pages(package: Path, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the HTML of each page of a language's folder."""
    place = re.compile(rf"(?:\./)?usr/share/libreoffice/help/{folder}/text/(.+)\.html", re.I)
    try:
        with tarfile.open(fileobj=_content(package.read_bytes()), mode="r|*") as archive:
            for member in archive:
                name = place.fullmatch(member.name)
                if name and member.isfile() and member.size <= PAGE_LIMIT:
                    stream = archive.extractfile(member)
                    assert stream is not None, "a file has content"
                    yield name[1], stream.read().decode("utf-8", "replace")
    except (
        OSError,
        EOFError,
        ValueError,
        tarfile.TarError,
        lzma.LZMAError,
        zlib.error,
        pa.ArrowException,
    ) as error:
        raise UserError(
            f"data=libreoffice: {package} is no whole package ({error}); remove it and prepare"
            " again",
            key="libreoffice.package_damaged",
        ) from error


def _content(package: bytes) -> Any:
    """Return a stream of the tar archive that a package installs."""
    if not package.startswith(MAGIC):
        raise ValueError("it does not begin as one")
    place = len(MAGIC)
    while place + HEADER <= len(package):
        name = package[place : place + 16].decode("ascii", "replace").strip().rstrip("/")
        size = int(package[place:][SIZE])
        body = package[place + HEADER : place + HEADER + size]
        if name.startswith("data.tar"):
            if len(body) < size:
                raise ValueError("it is cut short")
            if name.endswith(".zst"):
                return pa.input_stream(pa.py_buffer(body), compression="zstd")
            return io.BytesIO(body)
        place += HEADER + size + size % 2  # members begin at even places
    raise ValueError("it has no content")


class SectionReader(HTMLParser):
    """Collects the sections of a page: (id, heading, paragraphs) of each heading that has an id.

    What shows only on one system or in one program (`hidden`, with a default beside it) is left
    out, and so are the elements named above.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: list[tuple[str, str, list[str]]] = []
        self._depth = 0  # of elements that are left out
        self._inside = ""  # the element whose text is collected: a heading or a paragraph
        self._identifier = ""
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where a heading or a paragraph begins, or what is left out."""
        if tag in VOID:
            self._text.append(" ")
        elif self._depth or self._is_left_out(tag, dict(attrs)):
            self._depth += 1
        elif tag in HEADINGS or tag == "p":
            self._inside = tag
            self._identifier = dict(attrs).get("id") or ""
            self._text = []

    def handle_endtag(self, tag: str) -> None:
        """Keep the text of the heading or paragraph that ends."""
        if tag in VOID:
            return
        if self._depth:
            self._depth -= 1
        elif tag == self._inside:
            self._inside = ""
            text = "".join(self._text)
            if tag == "p" and self.sections:
                self.sections[-1][2].append(text)
            elif tag != "p":
                self.sections.append((self._identifier, text, []))

    def handle_data(self, data: str) -> None:
        """Collect text."""
        if self._inside and not self._depth:
            self._text.append(data)

    def _is_left_out(self, tag: str, attributes: dict[str, str | None]) -> bool:
        classes = (attributes.get("class") or "").split()
        is_default = (attributes.get("id") or "").startswith("default")
        if "hidden" in attributes and not is_default:
            return True
        return tag in LEFT_OUT_TAGS or not LEFT_OUT_CLASSES.isdisjoint(classes)
