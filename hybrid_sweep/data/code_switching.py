"""Code-switched queries: a share of their words replaced through bilingual lexicons.

Which words, and by which translation, is a hash of (seed, step, group, place in the text), so that
it is the same at every cross-lingual ratio, and a higher share switches further words (Litschko et
al., 2023, arXiv 2305.05295, do it for rerankers).
"""

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid_sweep.batching.sampling import key_salt, mix
from hybrid_sweep.config import language_pairs
from hybrid_sweep.config.schema import Config
from hybrid_sweep.utils.files import file_digest
from hybrid_sweep.utils.text_lines import numbered, refuse

SWITCHED = 2  # the last word of the key by which words are drawn
SPACES = re.compile(r"(\s+)")
LEXICONS = 64  # that are in memory at a time

# The translations of each word, in the order of the file.
Lexicon = Mapping[str, tuple[str, ...]]


@dataclass
class Counts:
    """What became of the words of some queries: all of them, those that were drawn to be replaced,
    and of these the ones that were left because no lexicon has them.
    """

    words: int = 0
    drawn: int = 0
    without_entry: int = 0

    @property
    def row(self) -> list[int]:
        """Return the number of words, of replaced words, and of those without an entry."""
        return [self.words, self.drawn - self.without_entry, self.without_entry]


@dataclass(frozen=True)
class CodeSwitch:
    """Replaces words of queries.

    share: of the words, from 0 to 1. lexicons: by the language of the query, one for each language
    that its words may be replaced in.
    """

    share: float
    lexicons: Mapping[str, Sequence[Lexicon]]

    def switched(
        self, texts: Sequence[str], languages: Sequence[str], groups: np.ndarray, key: Sequence[int]
    ) -> tuple[list[str], Counts]:
        """Return the queries of a step with some of their words replaced, and what became of them.

        Args:
            texts: the queries.
            languages: the code of each one.
            groups: (B,) the group of each one.
            key: the words of a SeedSequence.
        """
        counts = Counts()
        made = []
        salts = key_salt(groups, [*key, SWITCHED])
        for text, language, salt in zip(texts, languages, salts, strict=True):
            made.append(self._replaced(text, self.lexicons.get(language, ()), salt, counts))
        return made, counts

    def _replaced(
        self, text: str, lexicons: Sequence[Lexicon], salt: np.uint64, counts: Counts
    ) -> str:
        """Return a text with the words replaced that are drawn, and count them."""
        parts = SPACES.split(text)
        hashes = mix(salt ^ mix(np.arange(len(parts), dtype=np.uint64)))
        for place in range(0, len(parts), 2):
            before, word, after = _word(parts[place])
            if not word:
                continue
            counts.words += 1
            if int(hashes[place]) >= self.share * 2**64:
                continue
            counts.drawn += 1
            options = [entry for entry in (_entry(one, word) for one in lexicons) if entry]
            if not options:
                counts.without_entry += 1
                continue
            translation = _chosen(options, hashes[place : place + 1])
            parts[place] = f"{before}{translation}{after}"
        return "".join(parts)


def _word(token: str) -> tuple[str, str, str]:
    """Return what stands before a word, the word, and what stands behind it: punctuation and
    symbols.
    """
    signs = "".join(sign for sign in token if unicodedata.category(sign)[0] in "PS")
    word = token.strip(signs)
    before, _, after = token.partition(word) if word else (token, "", "")
    return before, word, after


def _entry(lexicon: Lexicon, word: str) -> tuple[str, ...]:
    """Return the translations of a word as it stands, or else in lower case."""
    return lexicon.get(word) or lexicon.get(word.lower()) or ()


def _chosen(options: Sequence[tuple[str, ...]], draw: np.ndarray) -> str:
    """Return one of the translations of one of the lexicons, each as likely; draw: (1,) uint64."""
    first, second = (int(number) for number in mix(mix(draw) ^ np.arange(2, dtype=np.uint64)))
    entry = options[first % len(options)]
    return entry[second % len(entry)]


def read_lexicon(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the lexicon of a file in the form of MUSE: a word and its translation on each line,
    with a space or a tab between them; between tabs they may have spaces.

    Raises:
        UserError: for the first line that is not of that form, with its number.
    """
    entries: dict[str, list[str]] = {}
    number = 0
    for number, line in numbered(path):
        words = line.split("\t") if "\t" in line else line.split(" ")
        if len(words) != 2 or not all(word.strip() == word != "" for word in words):
            refuse(
                path,
                number,
                "must be a word and its translation, with one space or tab between them",
                key="line.lexicon",
            )
        entries.setdefault(words[0], []).append(words[1])
    if not number:
        refuse(path, 1, "is empty: a lexicon has a line for each entry", key="line.lexicon")
    return {word: tuple(dict.fromkeys(translations)) for word, translations in entries.items()}


def code_switch_of(config: Config) -> CodeSwitch | None:
    """Return what replaces words of the queries of a run; None where nothing does.

    Raises:
        UserError: for a lexicon that is not there or has a bad line.
    """
    settings = config.batch.code_switch
    if not settings.share:
        return None
    lexicons: dict[str, list[Lexicon]] = {}
    for (language, _), path in language_pairs.lexicons(config).items():
        lexicons.setdefault(language, []).append(_read(*_state(path)))
    return CodeSwitch(settings.share, lexicons)


def lexicon_digests(config: Config) -> dict[str, str]:
    """Return the digest of each lexicon of a run by its pair of languages; none where it switches
    nothing.
    """
    if not config.batch.code_switch.share:
        return {}
    pairs = language_pairs.lexicons(config)
    return {f"{first}-{second}": file_digest(path) for (first, second), path in pairs.items()}


def _state(path: Path) -> tuple[Path, int, int]:
    """Return a file with its time and size, which tell whether it is as it was; 0 where there is
    none.
    """
    if not path.is_file():
        return path, 0, 0
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=LEXICONS)
def _read(path: Path, time: int, size: int) -> Lexicon:
    return read_lexicon(path)
