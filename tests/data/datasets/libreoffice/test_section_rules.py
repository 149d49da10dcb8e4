"""The rules that sections are dropped by, one by one, and the chapters that pages belong to."""

import pytest

from hybrid_sweep.data.datasets.debian.text_rules import Description
from hybrid_sweep.data.datasets.libreoffice.section_rules import (
    GENERIC,
    chapter,
    english_section_defect,
    section_defect,
)

ENGLISH = Description(
    "Moving an anchor", ("You can drag the anchor of a picture to another paragraph.",)
)
GERMAN = Description(
    "Anker verschieben", ("Ziehen Sie das Zeichen eines Bildes in einen anderen Absatz.",)
)
CHINESE = Description("移动锚点", ("您可以将图片的锚拖动到另一个段落中，以便更改位置。",))


@pytest.mark.parametrize(
    ("heading", "text", "rule"),
    [
        (ENGLISH.synopsis, ENGLISH.body, None),
        ("", ENGLISH.body, "no heading"),
        (ENGLISH.synopsis, "", "no text"),
        ("Zooms", ENGLISH.body, "heading length"),
        ("an anchor " * 11, ENGLISH.body, "heading length"),
        (ENGLISH.synopsis, "You can drag the anchor.", "section length"),
        (ENGLISH.synopsis, ENGLISH.body * 50, "section length"),
        (ENGLISH.synopsis, "Alpha, beta, gamma, delta, epsilon, zeta, eta, theta", "no prose"),
        (ENGLISH.synopsis, f"{ENGLISH.body} Moving an anchor is easy.", "heading in section"),
        ("Anchor", ENGLISH.body, None),  # one word of a question stands in most answers
    ],
)
def test_english_sections(heading: str, text: str, rule: str | None) -> None:
    paragraphs = (text,) if text else ()
    assert english_section_defect(Description(heading, paragraphs), 1) == rule


def test_a_heading_over_many_sections_asks_for_none() -> None:
    assert english_section_defect(ENGLISH, GENERIC) is None
    assert english_section_defect(ENGLISH, GENERIC + 1) == "generic heading"


@pytest.mark.parametrize(
    ("language", "heading", "text", "rule"),
    [
        ("de", GERMAN.synopsis, GERMAN.body, None),
        ("de", "", GERMAN.body, "no heading"),
        ("de", GERMAN.synopsis, "", "no text"),
        ("de", ENGLISH.synopsis, GERMAN.body, "heading is English"),
        ("de", GERMAN.synopsis, ENGLISH.body, "untranslated paragraph"),
        ("de", GERMAN.synopsis, f"{GERMAN.body} Anker verschieben: so.", "heading in section"),
        ("de", GERMAN.synopsis, GERMAN.body * 3, "length ratio"),
        ("el", GERMAN.synopsis, GERMAN.body, "script"),
        ("zh", CHINESE.synopsis, CHINESE.body, None),
        ("zh-tw", CHINESE.synopsis, CHINESE.body, None),
        ("zh", CHINESE.synopsis, CHINESE.body + CHINESE.synopsis, "heading in section"),
        ("zh", CHINESE.synopsis, GERMAN.body, "script"),
        ("nl", "Anker van plaats", "Het is de naam of de lijst van de pagina of het veld.", None),
        ("vi", "Chuyển một cái neo", "Bạn có thể kéo dấu neo của ảnh sang đoạn văn khác.", None),
    ],
)
def test_translated_sections(language: str, heading: str, text: str, rule: str | None) -> None:
    paragraphs = (text,) if text else ()
    assert section_defect(Description(heading, paragraphs), ENGLISH, language) == rule


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("scalc/01/04060104", "scalc/01/0406"),
        ("scalc/01/04069999", "scalc/01/0406"),
        ("scalc/01/func_date", "scalc/01/func_date"),
        ("sbasic/shared/03/sf_array", "sbasic/shared/03/sf_array"),
        ("swriter/main0112", "swriter/main0112"),
        ("shared/guide/keyboard-more", "shared/guide/keyboard"),
        ("alone", "alone"),
    ],
)
def test_the_chapter_of_a_page(page: str, expected: str) -> None:
    assert chapter(page) == expected
