"""The pure text rules of the Debian collection: parsing, unwrapping, and what makes a text unfit.

A rule is a name; `english_defect` and `translation_defect` return the first rule that a text
breaks, or None.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

# Our language codes and the archive's names of their lists.
LANGUAGES = {
    "en": "en",
    "da": "da",
    "it": "it",
    "fr": "fr",
    "de": "de",
    "sk": "sk",
    "pt": "pt_BR",
    "ja": "ja",
    "ko": "ko",
    "uk": "uk",
    "pl": "pl",
    "ru": "ru",
    "cs": "cs",
    "es": "es",
    "zh": "zh_CN",
}
EAST_ASIAN = frozenset({"ja", "ko", "zh"})
CYRILLIC = frozenset({"ru", "uk"})
UNSPACED = frozenset({"ja", "zh"})

SECTIONS = frozenset({"oldlibs", "debug", "metapackages"})
TRANSITIONAL = re.compile(
    r"\b(transitional|dummy|meta-?packages?|virtual package|(debug|debugging) symbols)\b", re.I
)
ENGLISH_BODY, ENGLISH_SYNOPSIS = (80, 2500), (8, 100)  # characters, inclusive
# characters, of a translation; by whether the language is East Asian
SYNOPSIS = {True: (3, 80), False: (6, 160)}
# characters of a translation per English one, likewise
RATIO = {True: (0.2, 1.1), False: (0.6, 2.0)}
# what the translation project writes where text is missing
MARKED = re.compile(r"<\s*trans\b|FIXME", re.I)
# not decodable, or UTF-8 once read as Latin-1
DAMAGED = re.compile("\ufffd|\u00c3[\u0080-\u00bf]|\u00e2\u20ac")
# Only words that are no words of the other languages: "for" is Danish too, "in" German, "a" half of
# Europe.
FUNCTION_WORDS = frozenset("the of and is with this that which from are you".split())
# those of them that are words of a language of other collections
ALSO_OWN = {"hu": frozenset({"is"}), "nl": frozenset({"is", "of"})}
# of the Latin words of a whole body; of one long paragraph
ENGLISH_SHARE, ENGLISH_PARAGRAPH_SHARE = 0.06, 0.2
# English prose has a third of these; under a twentieth, it is a list of names or another language.
PROSE_WORDS = FUNCTION_WORDS | frozenset("a an to for in by on it can be".split())
PROSE_SHARE = 0.05
LONG = 6  # words: shorter paragraphs may be alike by right, such as a list of file names

_LATIN_WORD = re.compile(r"[a-z']+")
_ENGLISH_WORD = re.compile(r"[a-z]{2,}")
_NO_WORD = re.compile(r"\W+")
_DIGITS = re.compile(r"\d+")
# Control, zero-width, direction and soft-hyphen characters: unseen, but tokens to a model.
_UNSEEN = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
# "o" and "1." are list markers only where indented: "o" is a word in six of the languages. A dash
# or a middle dot also opens a line in mid-sentence: it is a marker only where an item may begin.
_MARKER = re.compile(r"\s*(?:[-*+•·⋅‣◦○●※−][\s⋅]+|[•●]\s*)|\s+(?:o|\d{1,2}[.)])\s+")
_DASH = re.compile(r"\s*[–—・][\s⋅]*")
_WIDE = "\u3000-\u30ff\u3400-\u9fff\uff00-\uffef"
_LOOSE_WRAP = re.compile(rf"(?<=[{_WIDE}])\n(?=[{_WIDE}])")
# "command-" + "line" is one word, "Text-" + "und Bildverarbeitung" two.
_HYPHEN_WRAP = re.compile(
    r"(?<=[^\s-]-)\n(?=[^\W\d_])"
    r"(?!(?:and|or|nor|to|und|oder|bzw|og|eller|samt|i|y|e|et|ou|o|a|alebo|nebo|lub"
    r"|и|или|та|або|чи)\b)"
)
# Korean lists are cut at 75 columns, in the middle of words: a full line goes on without a blank.
_FULL_LINE = (75, 76)  # columns, the leading blank included
_OF_SCRIPT = {
    "ja": re.compile("[\u3040-\u30ff]"),
    "ko": re.compile("[\uac00-\ud7a3]"),
    "zh": re.compile("[\u4e00-\u9fff]"),
    "ru": re.compile("[\u0400-\u04ff]"),
    "uk": re.compile("[\u0400-\u04ff]"),
    "el": re.compile("[\u0370-\u03ff\u1f00-\u1fff]"),
    "km": re.compile("[\u1780-\u17ff]"),
    "dz": re.compile("[\u0f00-\u0fff]"),
}
# of the letters; names stay Latin
_SCRIPT_SHARE = {"ja": 0.15, "ko": 0.35, "zh": 0.35, "ru": 0.5, "uk": 0.5}
_SCRIPT_SHARE |= {"el": 0.5, "km": 0.35, "dz": 0.35}
_KANA = re.compile("[\u3040-\u30ff]")
_LATIN_LETTER = re.compile("[A-Za-z\u00c0-\u024f]")
_VIETNAMESE_LETTER = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_ONLY_RUSSIAN = re.compile("[ыэъё]", re.I)
_ONLY_UKRAINIAN = re.compile("[іїєґ]", re.I)


@dataclass(frozen=True)
class Description:
    """A synopsis and the paragraphs of the long description; all NFC, blanks single, none at the
    ends, none empty.
    """

    synopsis: str
    paragraphs: tuple[str, ...]

    @cached_property
    def body(self) -> str:
        """Return the paragraphs on one line, as in MS MARCO: no newline for tables, logs or
        byte-level tokenizers to meet.
        """
        return " ".join(self.paragraphs)

    @cached_property
    def plain_synopsis(self) -> str:
        """Return the synopsis for comparison (see `plain`)."""
        return plain(self.synopsis)

    @cached_property
    def synopsis_words(self) -> frozenset[str]:
        """Return the words of the synopsis, for comparison."""
        return frozenset(self.plain_synopsis.split())

    @cached_property
    def plain_long_paragraphs(self) -> frozenset[str]:
        """Return the paragraphs of six English words or more, for comparison."""
        return frozenset(
            plain(text)
            for text in self.paragraphs
            if len(_ENGLISH_WORD.findall(text.lower())) >= LONG
        )


def stanzas(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the stanzas of an archive list, as text without the blank line between them, from
    chunks cut anywhere.
    """
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        yield from (
            stanza.decode("utf-8", "replace").strip("\n") for stanza in whole if stanza.strip()
        )
    if rest.strip():
        yield rest.decode("utf-8", "replace").strip("\n")


def fields(stanza: str) -> dict[str, str]:
    """Return the fields of a stanza; a continued value keeps its line breaks and the indentation of
    its lines.
    """
    values: dict[str, str] = {}
    for entry in re.split(r"\n(?![ \t])", stanza):
        name, colon, value = entry.partition(":")
        if colon:
            values[name] = value.strip(" \t")
    return values


def parse(value: str, language: str) -> Description:
    """Return the description in a field: wrapped lines joined, list items as paragraphs without
    marker, blanks single, NFC.

    A line break is nothing between two characters of a script without blanks, within a Korean word
    and after a hyphen within a word; elsewhere a blank. Paragraphs without any letter or digit
    (rulers) go.
    """
    synopsis, *lines = value.split("\n")
    paragraphs: list[list[str]] = [[]]
    previous, listed = "", False
    for line in lines:
        text, inner = line.strip(), line[1:]  # without the one blank that marks a continued line
        marker = _MARKER.match(inner)
        last = paragraphs[-1]
        if not marker and (
            listed or inner[:1] == " " or not last or last[-1].endswith((".", ";", ":"))
        ):
            marker = _DASH.match(inner)
        if text in (".", ""):
            paragraphs.append([])
            listed = False
        elif marker:
            paragraphs.append([inner[marker.end() :].strip()])
            listed = True
        elif language == "ko" and paragraphs[-1] and _cuts_word(previous, line):
            paragraphs[-1][-1] += text
        else:
            paragraphs[-1].append(text)
        previous = line
    joined = (clean(_join(paragraph, language)) for paragraph in paragraphs)
    return Description(
        clean(synopsis), tuple(text for text in joined if any(map(str.isalnum, text)))
    )


def _cuts_word(line: str, following: str) -> bool:
    """Return whether a Korean line break falls between two Hangul syllables at the column where the
    list was cut.
    """
    return (
        len(line) > 1
        and "\uac00" <= line[-1] <= "\ud7a3"
        and "\uac00" <= following[1:2] <= "\ud7a3"
        and sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in line)
        in _FULL_LINE
    )


def _join(lines: list[str], language: str) -> str:
    text = "\n".join(lines)
    if "-\n" in text:
        text = _HYPHEN_WRAP.sub("", text)
    if language in UNSPACED:
        text = _LOOSE_WRAP.sub("", text)
    return text


def clean(text: str) -> str:
    """Return a text in NFC with single blanks, without unseen characters."""
    # French translators write a dot operator for the no-break space.
    text = " ".join(unicodedata.normalize("NFC", text.replace("\u22c5", " ")).split())
    if text.isprintable():
        return text
    return " ".join(_UNSEEN.sub("", text).split())


def plain(text: str) -> str:
    """Return a text for comparison: lower case, words parted by one blank, numbers as 0 (versions
    are no difference).
    """
    return _NO_WORD.sub(" ", _DIGITS.sub("0", text.lower())).strip()


def english_defect(english: Description, section: str) -> str | None:
    """Return the rule that an English description breaks, or None; `section` is the package's,
    without its area.
    """
    if section in SECTIONS:
        return "section"
    if TRANSITIONAL.search(english.synopsis) or TRANSITIONAL.search(english.body):
        return "transitional"
    if not within(len(english.body), ENGLISH_BODY) or not within(
        len(english.synopsis), ENGLISH_SYNOPSIS
    ):
        return "english length"
    if not is_prose(english.body):
        return "no prose"
    return None


def is_prose(english: str) -> bool:
    """Return whether an English text has the little words that sentences are made with."""
    words = _LATIN_WORD.findall(english.lower())
    return sum(word in PROSE_WORDS for word in words) >= PROSE_SHARE * len(words)


def translation_defect(
    raw: str, text: Description, english: Description, language: str
) -> str | None:
    """Return the rule that a translation (`raw` parsed to `text`) breaks against its English
    original, or None.
    """
    wide = language in EAST_ASIAN
    if MARKED.search(raw):
        return "marked"
    if DAMAGED.search(raw):
        return "damaged"
    if not text.body:
        return "no body"
    if not within(len(text.synopsis), SYNOPSIS[wide]):
        return "synopsis length"
    if english.synopsis_words.issuperset(text.plain_synopsis.split()):
        return "synopsis is English"
    if any(
        len(part) >= LONG * 3 - 1 and plain(part) in english.plain_long_paragraphs
        for part in text.paragraphs
    ):
        return "untranslated paragraph"
    if not within(len(text.body) / len(english.body), RATIO[wide]):
        return "length ratio"
    if not _own_script(text, language):
        return "script"
    if language not in _OF_SCRIPT and _reads_english(text, language):
        return "english words"
    if abs(len(text.paragraphs) - len(english.paragraphs)) > max(1.0, len(english.paragraphs) / 3):
        return "paragraph count"
    return None


def within(value: float, bounds: tuple[float, float]) -> bool:
    """Return whether a value is in a range, both ends included."""
    return bounds[0] <= value <= bounds[1]


def _own_script(text: Description, language: str) -> bool:
    """Return whether body and synopsis are written in the script of the language."""
    body = text.body
    letters = sum(map(str.isalpha, body))
    if language not in _OF_SCRIPT:
        latin = _VIETNAMESE_LETTER if language == "vi" else _LATIN_LETTER
        return letters > 0 and (body.isascii() or len(latin.findall(body)) >= 0.9 * letters)
    script = _OF_SCRIPT[language]
    if (
        len(script.findall(body)) < _SCRIPT_SHARE[language] * max(letters, 1)
        or text.synopsis.isascii()
    ):
        return False
    if language == "zh":
        return len(_KANA.findall(body)) < 0.02 * letters
    if language in CYRILLIC:  # the two are told apart by the letters that only one of them has
        russian = len(_ONLY_RUSSIAN.findall(body))
        ukrainian = len(_ONLY_UKRAINIAN.findall(body))
        if language == "ru":
            return russian >= ukrainian
        return ukrainian >= russian
    return True


def _reads_english(text: Description, language: str) -> bool:
    """Return whether English function words are more than names and quotations explain, in all or
    in one long paragraph.
    """
    english = FUNCTION_WORDS - ALSO_OWN.get(language, frozenset())
    total = matched = 0
    for paragraph in text.paragraphs:
        words = _LATIN_WORD.findall(paragraph.lower())
        hits = sum(word in english for word in words)
        if len(words) >= LONG and hits > ENGLISH_PARAGRAPH_SHARE * len(words):
            return True
        total, matched = total + len(words), matched + hits
    return matched > ENGLISH_SHARE * total
