"""Hostile text in every format: nothing in it acts, and ordinary text stays as it is."""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from hybrid_sweep.report.render.cells import Cell, code, name
from hybrid_sweep.report.render.html import inline
from hybrid_sweep.report.render.html import table as html_table
from hybrid_sweep.report.render.table import Column, table
from hybrid_sweep.report.report_files import inert
from hybrid_sweep.utils import escaping

ORDINARY = [
    "added",
    "first-curve",
    "xquad_r",
    "de>en",
    "zh-Hans",
    "r = 0.5, seed 1",
    "torch 2.13.0+cu130",
    "a + b on c",
]
ORDINARY += ["العربية", "עברית", "中文", "हिन्दी", "می‌خواهم", "ü"]
HOSTILE = [
    "a|b",
    r"a\|b",
    r"\\|<b>",
    "`x`",
    "``",
    "<img src=x onerror=y>",
    "[x](https://a.b)",
    "https://a.b",
    "www.a.b",
]
HOSTILE += [
    "a\n## b",
    "a\r\n- b",
    "**x**",
    "__proto__",
    "_x_",
    "&amp;",
    "\x1b[31m",
    "a\x00b",
    "\u202eb",
    "x@y.zz",
    "$x$",
    "\\",
]


def cells_of(line: str) -> list[str]:
    """The cells of a line of a Markdown table, cut as cmark-gfm cuts them: a backslash guards any
    sign of ASCII.
    """
    inside = re.findall(r"(?:\\[!-/:-@\[-`{-~]|[^|])+", line.strip())
    return [cell.strip() for cell in inside]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert escaping.markdown(text) == text
    assert escaping.terminal(text) == escaping.one_line(text) == escaping.csv_cell(text) == text
    assert escaping.markdown_code(text) == f"`{text}`"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_code_in_markdown(text: str) -> None:
    assert escaping.markdown(text) == escaping.markdown_code(text) != text


@given(some.text())
@example("\\|`")
def test_text_never_leaves_its_code_marks_nor_its_cell(text: str) -> None:
    made = escaping.markdown_code(text)
    assert made == "–" or (made[0] == made[-1] == "`" and "`" not in made[1:-1] and len(made) > 2)
    assert not any(escaping.is_hidden(sign) for sign in made)
    assert cells_of(f"| {made} | next |") == [made, "next"]


@given(some.text())
def test_plain_markdown_has_no_markup(text: str) -> None:
    made = escaping.markdown(text)
    if not made.startswith("`"):
        assert not set(made) & set("*`<[]|\\&~#$\n\r") and "://" not in made


class Reader(HTMLParser):
    """Keeps the tags and the text of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(some.text())
@example("**a")
@example("<b>")
def test_the_page_shows_code_literally(text: str) -> None:
    found = Reader(inline(f"**x** {escaping.markdown_code(text)} **y**"))
    assert [tag for tag in found.tags if tag != "code"] == ["strong", "strong"]
    shown = found.text.removeprefix("x ").removesuffix(" y")
    assert shown == escaping.markdown_code(text).strip("`").replace(r"\|", "|")


@pytest.mark.parametrize("make", [code, name])
@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_of_the_page_keeps_its_cells(text: str, make: Callable[[str], Cell]) -> None:
    made = table("t", [Column(text, code=True), Column("b")], [[make(text), Cell("1")]])
    found = Reader(html_table(made))
    assert found.tags.count("td") == found.tags.count("th") == 2 and not {"b", "img", "a"} & set(
        found.tags
    )


@given(some.text())
def test_html_is_text_alone(text: str) -> None:
    made = escaping.html(text)
    assert not set(made) & set("<>\"'") and Reader(f"<p title='{made}'>{made}</p>").tags == ["p"]


@given(
    some.dictionaries(some.text(), some.text() | some.floats(allow_nan=False, allow_infinity=False))
)
@example({"</script><!--": "\u2028\u2029"})
def test_json_in_a_script_is_the_same_value(value: dict[str, str | float]) -> None:
    made = escaping.script_json(value)
    assert json.loads(made) == value and not set(made) & set("<\u2028\u2029")


@given(some.text())
def test_latex_gets_no_meaning_and_no_sign_that_it_cannot_set(text: str) -> None:
    made = escaping.latex(text)
    assert made.isascii() and not any(unicodedata.category(sign) == "Cc" for sign in made)
    words = r"\\[`'^~=.\"urHvc]\{[A-Za-z]\}|\\(text\w+|ss|ae|AE|oe|OE|[oOlL]|ldots)\{\}|\\[&%$#_{}]"
    assert not set(re.sub(words, "", made)) & set("\\&%$#_{}~^\n\r")


def test_latex_keeps_accents_and_names_what_it_cannot_set() -> None:
    assert escaping.latex("Zoë & 中") == r"Zo\"{e} \& [U+4E2D]"


FORMULAS = ["=1+1", "+1+1", "-1+x", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text: str) -> None:
    read = next(
        csv.reader(
            io.StringIO(inert(pd.DataFrame({"a": [text]})).to_csv(index=False, header=False))
        )
    )
    assert read[0].startswith("'") and not set(read[0]) & set("\t\r\n\x00")


@pytest.mark.parametrize("kind", [object, "category", "string"])
def test_numbers_and_plain_texts_of_a_table_stay_byte_for_byte(kind: str | type) -> None:
    frame = pd.DataFrame({"x": [-0.5, None, 1e-300], "w": ["-1.5", None, "de>en"], "n": [1, -2, 3]})
    frame["w"] = frame["w"].astype(kind)
    assert inert(frame) is frame
    mixed = pd.DataFrame({"x": ["=a", -1, None], "y": [1, None, -2.5]}, dtype=object)
    assert inert(mixed).to_csv(index=False) == "x,y\n'=a,1\n-1,\n,-2.5\n"


@given(some.text())
@example("\x9b31m")
@example("\u2066\u200f\u061c")
def test_nothing_that_acts_reaches_a_terminal(text: str) -> None:
    made = escaping.terminal(text)
    hidden = {unicodedata.category(sign) for sign in made if sign not in "\n\t"}
    assert not hidden & {"Cc", "Cs", "Zl", "Zp"}
    marks = {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
    assert not marks & {unicodedata.bidirectional(sign) for sign in made}
    assert "\n" not in escaping.one_line(text)
