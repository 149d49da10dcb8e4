"""Text from a stored file, made safe for the place where it is shown: one function for each format.

Names, errors, commands, language codes and texts of collections may be damaged or hostile. Each
renderer calls one of these functions exactly once for each of them. Ordinary text comes out
unchanged.
"""

import html as html_module
import json
import re
import unicodedata
from typing import Any

# Characters of the Unicode category "Cf" that normal text needs: joiners of Persian, Indic scripts
# and emoji, and the number signs of Arabic, Syriac and Kaithi. All others, bidirectional marks
# above all, could hide or reorder text.
HARMLESS_FORMATS = frozenset(
    "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd"
)
# categories of characters that are not printed as themselves
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# Characters that no reader of Markdown takes for markup in the middle of a line, besides letters,
# digits and marks.
PLAIN_SIGNS = frozenset(" .,;:()=+-/%'\"?!>")
# what GitHub turns into a link
AUTOLINK = re.compile(r"://|www\.|mailto:|xmpp:|\w@[\w-]+\.\w", re.IGNORECASE)
# within a word, an underscore is no emphasis
OUTER_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
}
# Accents that LaTeX sets on a letter in every font encoding, by their combining characters.
LATEX_ACCENTS = {
    "\u0300": r"\`",
    "\u0301": r"\'",
    "\u0302": r"\^",
    "\u0303": r"\~",
    "\u0304": r"\=",
    "\u0306": r"\u",
    "\u0307": r"\.",
    "\u0308": r"\"",
    "\u030a": r"\r",
    "\u030b": r"\H",
    "\u030c": r"\v",
    "\u0327": r"\c",
}
LATEX_LETTERS = {
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "·": r"\textperiodcentered{}",
}

FORMULA = tuple("=+-@＝＋－＠")
NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE)


def is_hidden(sign: str) -> bool:
    """Return whether a character is not printed as itself: controls, bidirectional marks, other
    invisible formats.
    """
    return sign not in HARMLESS_FORMATS and unicodedata.category(sign) in HIDDEN


def visible(text: str, keep: str = "") -> str:
    """Return a text in which hidden characters stand as escapes, such as \\x1b; those in `keep`
    stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        sign if sign in keep or not is_hidden(sign) else ascii(sign)[1:-1] for sign in text
    )


def terminal(text: str) -> str:
    """Return a whole output as it may reach a terminal or a log: its line breaks and tabs stay."""
    return visible(text, "\n\t")


def one_line(text: str) -> str:
    """Return a single value, a name or an error, for a terminal or a page: white space becomes a
    blank each.
    """
    return visible("".join(" " if sign in "\t\n\r\v\f\x85\u2028\u2029" else sign for sign in text))


def html(text: str) -> str:
    """Return a text as the content of an HTML element or a quoted attribute."""
    return html_module.escape(terminal(text))


def script_json(value: Any) -> str:
    """Return a value as JSON that can stand in a script element of a page.

    "<" would let a text end the element early, and the two separators end a line in old JavaScript.
    """
    made = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return made.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def markdown_code(text: str) -> str:
    """Return a text as inline code, which Markdown takes literally, also in a cell of a table; a
    dash for nothing.

    A backslash before a bar would take away the escape of the bar, so a blank comes between them.
    """
    shown = " ".join(visible(" ".join(text.split())).split())
    if not shown:
        return "–"
    shown = re.sub(r"\\(?=\|)", r"\\ ", shown.replace("`", "'"))
    return "`" + shown.replace("|", r"\|") + "`"


def markdown(text: str) -> str:
    """Return a text for the middle of a line of Markdown: as it is where nothing in it can be
    markup, else as code.
    """
    if _is_plain(text):
        return text
    return markdown_code(text)


def _is_plain(text: str) -> bool:
    """Return whether no character of a text can be markup in the middle of a line of Markdown."""
    if AUTOLINK.search(text) or OUTER_UNDERSCORE.search(text):
        return False
    return all(_is_word_sign(sign) or sign in PLAIN_SIGNS or sign == "_" for sign in text)


def _is_word_sign(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LMN" or sign in HARMLESS_FORMATS


def latex(text: str) -> str:
    """Return a text in which no character has a meaning to LaTeX, and that pdflatex can set in any
    font encoding.

    Controls and line breaks become blanks. Characters that pdflatex cannot set become their code,
    as in [U+4E2D].
    """
    return "".join(_latex_sign(sign) for sign in text)


def _latex_sign(sign: str) -> str:
    if unicodedata.category(sign) in ("Cc", "Zl", "Zp", "Zs"):
        return " "
    if sign in LATEX:
        return LATEX[sign]
    if sign.isascii():
        return sign
    if sign in LATEX_LETTERS:
        return LATEX_LETTERS[sign]
    apart = unicodedata.normalize("NFD", sign)
    letter = apart[0]
    accent = apart[1:]
    if accent in LATEX_ACCENTS and letter.isascii() and letter.isalpha():
        return f"{LATEX_ACCENTS[accent]}{{{letter}}}"
    return f"[U+{ord(sign):04X}]"


def csv_cell(value: Any) -> Any:
    """Return a cell of a CSV file; a text that a spreadsheet would run as a formula begins with an
    apostrophe instead.

    Numbers come out unchanged. Line breaks and other hidden characters of a text become blanks or
    escapes.
    """
    if not isinstance(value, str):
        return value
    text = one_line(value)
    acts = text.lstrip().startswith(FORMULA) and not NUMBER.fullmatch(text)
    if acts:
        return f"'{text}"
    return text
