"""What makes a section of the help unfit as a passage that answers its heading."""

import re

from hybrid_sweep.data.datasets.debian.text_rules import (
    Description,
    is_prose,
    plain,
    translation_defect,
    within,
)

ENGLISH_HEADING, ENGLISH_SECTION = (6, 100), (40, 2500)  # characters, inclusive
GENERIC = 3  # sections: a heading over more of them ("Syntax") asks for none in particular
# languages whose words are not parted by blanks, and the least length of a heading that counts as
# contained
UNPARTED = frozenset({"dz", "ja", "km", "zh", "zh-tw"})
CONTAINED = 4  # characters
_CHAPTER = re.compile(r"(.*/[a-z_]*\d{0,4})[^/]*")


def chapter(page: str) -> str:
    """Return the chapter that a page belongs to: its folder, and the letters and the first four
    digits of its name.

    Pages are numbered as the menus are: 04060104 is the fourth page of the first group of the
    sixth command of the fourth menu, and 0406 has all of that command.
    """
    match = _CHAPTER.fullmatch(page)
    if match is None:
        return page
    return match[1]


def english_section_defect(section: Description, same_heading: int) -> str | None:
    """Return the rule that an English section breaks, or None.

    same_heading: the number of sections of this heading.
    """
    if not section.synopsis:
        return "no heading"
    if not section.body:
        return "no text"
    if not within(len(section.synopsis), ENGLISH_HEADING):
        return "heading length"
    if not within(len(section.body), ENGLISH_SECTION):
        return "section length"
    if not is_prose(section.body):
        return "no prose"
    if same_heading > GENERIC:
        return "generic heading"
    if _contains_heading(section, "en"):
        return "heading in section"
    return None


def section_defect(section: Description, english: Description, language: str) -> str | None:
    """Return the rule that a translated section breaks against the English one, or None: the rules
    of package descriptions, and that its heading is not contained in it.
    """
    if not section.synopsis:
        return "no heading"
    rule = translation_defect(section.body, section, english, language.partition("-")[0])
    if rule:
        return rule.replace("synopsis", "heading").replace("no body", "no text")
    if _contains_heading(section, language):
        return "heading in section"
    return None


def _contains_heading(section: Description, language: str) -> bool:
    """Return whether a section says its heading word for word: of two words or more, since single
    words of a question stand in most answers.
    """
    heading = section.plain_synopsis
    if language in UNPARTED:
        return len(heading) >= CONTAINED and heading in plain(section.body)
    return " " in heading and f" {heading} " in f" {plain(section.body)} "
