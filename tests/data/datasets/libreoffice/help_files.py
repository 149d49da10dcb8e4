"""Help packages as Debian's are: an ar archive, in it a tar archive, in it the pages of one
language.
"""

import io
import tarfile
from collections.abc import Sequence

import pyarrow as pa

from tests.data.conftest import words

CODES = {"en": "en-US", "de": "de", "zh": "zh-CN"}
PACKAGES = {"en": "en-us", "de": "de", "zh": "zh-cn"}
GLUE = {
    "en": "the {} of {} is with {} and {}",
    "de": "der {} von {} ist mit {} und {}",
    "zh": "{} {} {} {}",
}
# as beside every page: what surrounds the text, and what in it is no text of the section
PAGE = """<!DOCTYPE html>
<html lang="{code}" dir="ltr">
<head>
<base href="../../../../">
<meta http-equiv="Content-Type" content="text/html; charset=utf-8">
<title>{title}</title>
</head>
<body>
<header id="TopLeftHeader"><p dir="auto">outside</p></header><div id="DisplayArea" itemscope="true">
<meta itemprop="keywords" content="outside">
{sections}
<a name="relatedtopics"></a><div class="relatedtopics"><p class="related"><span>outside</span></p>
<div class="relatedbody"><div class="embedded"><p class="embedded">outside</p></div></div></div>
</div>
<div id="SearchFrame"></div>
<footer><div id="DEBUG"><h3 class="bug">outside</h3><p dir="auto">outside</p></div></footer>
</body>
</html>
"""


def chinese(key: str, count: int) -> str:
    """Characters that look like a text, of their own for each key."""
    letters = "".join(words(key, count))
    return "".join(
        chr(0x4E00 + 7 * ord(letter) + place % 7) for place, letter in enumerate(letters)
    )


def section(identifier: str, heading: str, *paragraphs: str, level: int = 2) -> str:
    """The HTML of a section, with a bookmark, an icon and an element that shows on one system."""
    body = "\n".join(
        f'<p id="par_{number}" class="paragraph" dir="auto"><img src="x.svg" alt="x">{text}</p>'
        for number, text in enumerate(paragraphs)
    )
    return (
        f'<a name="bm_{identifier}"></a><h{level} id="{identifier}" dir="auto"><a name="x"></a>'
        f"{heading}</h{level}>\n{body}\n<br>\n"
    )


def good_section(page: str, number: int, language: str) -> str:
    """A section that breaks no rule, with texts of its own."""
    key = f"{page} {number} {language}"
    identifier = f"hd_id{number}"
    if language == "zh":
        texts = [chinese(f"{key} {part}", 6) for part in ("a", "b")]
        return section(identifier, chinese(key, 2)[:9], *texts)
    parts = words(key, 40)
    texts = [GLUE[language].format(*parts[start : start + 4]) for start in (4, 12, 20)]
    return section(identifier, " ".join(parts[:3]), f"{texts[0]}. {texts[1]}.", f"{texts[2]}.")


def package(language: str, pages: dict[str, str], compression: str = "xz") -> bytes:
    """The package file of a language; pages by name are the HTML of their sections."""
    code = CODES[language]
    content = io.BytesIO()
    mode = "w" if compression == "zst" else f"w:{compression}"
    with tarfile.open(fileobj=content, mode=mode) as archive:  # type: ignore[call-overload]
        for name, sections in pages.items():
            html = PAGE.format(code=code, title=name, sections=sections).encode()
            member = tarfile.TarInfo(f"./usr/share/libreoffice/help/{code}/text/{name}.html")
            member.size = len(html)
            archive.addfile(member, io.BytesIO(html))
    data = content.getvalue()
    if compression == "zst":
        data = pa.compress(data, codec="zstd", asbytes=True)
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"odd"),
        (f"data.tar.{compression}", data),
    ]
    return ar(members)


def ar(members: Sequence[tuple[str, bytes]]) -> bytes:
    """An ar archive."""
    made = b"!<arch>\n"
    for name, body in members:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n"
        made += header.encode() + body + b"\n" * (len(body) % 2)
    return made


def good_pages(language: str, pages: int = 24, sections: int = 2) -> dict[str, str]:
    """Pages of as many chapters, so many that each split has some."""
    made = {}
    for page in range(pages):
        name = f"scalc/01/{page:04d}0000"
        made[name] = "".join(good_section(name, number, language) for number in range(sections))
    return made
