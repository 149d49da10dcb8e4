"""One cell of a table: what it shows in a text and in a paper, and the number behind it."""

from dataclasses import dataclass

import pandas as pd

from hybrid_sweep.report.render.numbers import between, p_words, signed
from hybrid_sweep.utils import escaping


@dataclass(frozen=True)
class Cell:
    """What a cell shows.

    text: as it is, without markup; "" for an empty cell. value: the number that the text rounds,
    by which a page sorts. latex: the form in a paper, ready to be set; None where it is that of
    the text. user: the text is the user's, and may hold markup. code: it is shown letter by letter,
    too. strong: shown bold. sign: a mark before the text on a page.
    """

    text: str = ""
    value: float | None = None
    latex: str | None = None
    user: bool = False
    code: bool = False
    strong: bool = False
    sign: str = ""


EMPTY = Cell()
NOT_TESTED = Cell(latex="--")
# Words of a judgement carry a sign on a page, never a colour alone, and a letter in a paper.
SIGNS = {
    "baseline": "■",
    "superior": "▲",
    "non-inferior": "●",
    "inconclusive": "◇",
    "degraded": "▼",
    "untested": "○",
    "winner": "▲",
    "loser": "▼",
    "not shown": "◇",
    "on the front": "●",
    "off the front": "○",
}
LETTERS = {
    "superior": "S",
    "non-inferior": "N",
    "inconclusive": "I",
    "degraded": "D",
    "untested": "U",
}


def only_questions(interval: str) -> str:
    """Return what is added to an interval that says nothing of other seeds."""
    return " questions only" if interval == "conditional" else ""


def number(value: float | None, digits: int = 3, star: bool = False) -> Cell:
    """Return a level; star: an asterisk in a paper."""
    if value is None or pd.isna(value):
        return NOT_TESTED
    text = f"{value:,.{digits}f}"
    mark = "^{*}" if star else ""
    return Cell(text, float(value), f"${_math(text)}{mark}$")


def count(value: float | None) -> Cell:
    """Return a number of things."""
    return number(value, 0)


def thousands(value: float | None) -> Cell:
    """Return a number of things, which a paper shows in thousands."""
    if value is None or pd.isna(value):
        return NOT_TESTED
    return Cell(f"{value:,.0f}", float(value), f"${value / 1000:.1f}$")


def change(
    value: float | None,
    low: float,
    high: float,
    digits: int = 3,
    interval: str = "crossed",
    star: bool = False,
) -> tuple[Cell, Cell]:
    """Return the cells of a change and of its interval; a paper has both in the first.

    interval: what it covers; a dagger marks one over questions alone in a paper. star: an asterisk
    there.
    """
    if value is None or pd.isna(value):
        return NOT_TESTED, EMPTY
    shown = signed(value, digits)
    ends, tex = "none", ""
    if pd.notna(low):
        ends = between(low, high, digits) + only_questions(interval)
        dagger = r"^{\dagger}" if interval == "conditional" else ""
        tex = f"\\,{_math(between(low, high, digits))}{dagger}"
    mark = "^{*}" if star else ""
    return Cell(shown, float(value), f"${_math(shown)}{mark}{tex}$"), Cell(ends)


def with_interval(
    value: float, low: float, high: float, digits: int = 3, interval: str = "crossed"
) -> Cell:
    """Return a change with its interval in one cell."""
    first, second = change(value, low, high, digits, interval)
    if pd.isna(low):
        return first
    return Cell(f"{first.text} {second.text}", first.value, first.latex)


def p_value(value: float | None) -> Cell:
    """Return a p-value; an empty cell where nothing was tested."""
    if value is None or pd.isna(value):
        return EMPTY
    return Cell(p_words(value), float(value))


def judged(word: str, strong: bool = False) -> Cell:
    """Return the word of a judgement, with the sign and the letter that stand for it."""
    return Cell(word, latex=LETTERS.get(word, ""), strong=strong, sign=SIGNS.get(word, ""))


def ratio(value: float, strong: bool = False) -> Cell:
    """Return a cross-lingual share; strong: bold in a paper."""
    text = f"{value:g}"
    return Cell(text, float(value), f"\\textbf{{{text}}}" if strong else text)


def name(text: str) -> Cell:
    """Return a language, or another short name from the user."""
    return Cell(text, user=True, latex=escaping.latex(text))


def code(text: str) -> Cell:
    """Return the name of a sweep or of a run, or a setting from the user."""
    return Cell(text, user=True, code=True, latex=escaping.latex(text))


def _math(text: str) -> str:
    return text.replace(",", "{,}").replace("{,} ", ", ")
