"""The words of a text, for BM25: runs of letters, digits and marks, bigrams where a script has no
spaces, Snowball stems.
"""

import functools
import importlib.metadata
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable

import Stemmer

from hybrid_sweep.utils.files import digest

VERSION = 1  # raised by hand when the words of a text change

# Scripts that put no space between words: Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar, by
# Unicode's blocks.
UNSPACED = (
    (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x303C), (0x3041, 0x309F),
    (0x30A0, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
    (0x1B000, 0x1B16F), (0x20000, 0x323AF), (0x0E00, 0x0EFF), (0x1780, 0x17FF), (0x19E0, 0x19FF),
    (0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F),
)  # fmt: skip
# they may stand in the middle of a word
INVISIBLE = dict.fromkeys((0x00AD, 0x200C, 0x200D, 0x2060, 0xFEFF))
# Snowball's algorithms by language code; its own short names do not cover all of them.
ALGORITHMS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "eo": "esperanto", "es": "spanish", "et": "estonian", "eu": "basque",
    "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi",
    "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "nb": "norwegian", "ne": "nepali", "nl": "dutch", "nn": "norwegian", "no": "norwegian",
    "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "st": "sesotho", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip


def words(text: str) -> list[str]:
    """Return the words of a text in any language, in order, unstemmed.

    NFKC, casefold, NFKC again, since folding can undo it; then runs of letters, digits and marks
    (categories L, N, M). Letters and marks of UNSPACED scripts are runs of their own and give their
    overlapping bigrams of code points; a run of one gives itself.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(INVISIBLE))
        text = unicodedata.normalize("NFKC", text.casefold())
    else:
        text = text.lower()
    parts = []
    for unspaced, spaced in _pattern().findall(text):
        if spaced:
            parts.append(spaced)
        elif len(unspaced) == 1:
            parts.append(unspaced)
        else:
            parts += [unspaced[i : i + 2] for i in range(len(unspaced) - 1)]
    return parts


def stems(language: str) -> Callable[[list[str]], list[str]]:
    """Return what turns words into the stems of a language; the identity where Snowball has no
    algorithm for it here.

    language: a code, of which the part before "-" or "_" counts (pt_BR is pt).
    """
    name = ALGORITHMS.get(re.split("[-_]", language.lower())[0], "")
    if name not in Stemmer.algorithms():
        return list
    stem: Callable[[list[str]], list[str]] = Stemmer.Stemmer(name).stemWords
    return stem


def fingerprint() -> str:
    """Return what names BM25 in place of a model's files: all that makes the words of a text and
    their weights.
    """
    versions = [importlib.metadata.version(name) for name in ("bm25s", "PyStemmer")]
    return digest(["bm25", *versions, unicodedata.unidata_version, VERSION])


@functools.cache
def _pattern() -> re.Pattern[str]:
    """Return groups: a run of an unspaced script, a run of anything else that is a letter, a digit
    or a mark.
    """
    classes: dict[bool, list[int]] = {True: [], False: []}
    inside = {code for first, last in UNSPACED for code in range(first, last + 1)}
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))[0]
        if category in "LNM":  # digits are words in every script
            classes[code in inside and category != "N"].append(code)
    return re.compile(f"([{_ranges(classes[True])}]+)|([{_ranges(classes[False])}]+)")


def _ranges(codes: Iterable[int]) -> str:
    """Return ascending code points as the inside of a character class."""
    spans: list[list[int]] = []
    for code in codes:
        if spans and code == spans[-1][1] + 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in spans)
