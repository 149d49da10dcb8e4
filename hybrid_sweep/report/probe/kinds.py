"""Kinds of question by which the probe asks whether losses cluster: related languages, relevant
passages, query length.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.report.probe.cells import LanguageCell

# Branch and scripts of the languages of the collections here; of any other language nothing is
# claimed. The branch is the level below the family where the family is as wide as Indo-European.
# Japanese shares its Han characters with Chinese.
LANGUAGES = {
    "da": ("Germanic", "Latin"), "de": ("Germanic", "Latin"), "en": ("Germanic", "Latin"),
    "nb": ("Germanic", "Latin"), "nl": ("Germanic", "Latin"), "sv": ("Germanic", "Latin"),
    "ca": ("Romance", "Latin"), "es": ("Romance", "Latin"), "fr": ("Romance", "Latin"),
    "it": ("Romance", "Latin"), "pt": ("Romance", "Latin"), "ro": ("Romance", "Latin"),
    "bg": ("Slavic", "Cyrillic"), "cs": ("Slavic", "Latin"), "pl": ("Slavic", "Latin"),
    "ru": ("Slavic", "Cyrillic"), "sk": ("Slavic", "Latin"), "uk": ("Slavic", "Cyrillic"),
    "bn": ("Indo-Aryan", "Bengali"), "hi": ("Indo-Aryan", "Devanagari"),
    "ur": ("Indo-Aryan", "Arabic"), "fa": ("Iranian", "Arabic"), "el": ("Hellenic", "Greek"),
    "ar": ("Semitic", "Arabic"), "he": ("Semitic", "Hebrew"), "zh": ("Sinitic", "Han"),
    "ja": ("Japonic", "Han Kana"), "ko": ("Koreanic", "Hangul"), "th": ("Tai", "Thai"),
    "vi": ("Vietic", "Latin"), "id": ("Malayic", "Latin"), "te": ("Dravidian", "Telugu"),
    "ta": ("Dravidian", "Tamil"), "fi": ("Uralic", "Latin"), "hu": ("Uralic", "Latin"),
    "tr": ("Turkic", "Latin"), "sw": ("Bantu", "Latin"), "yo": ("Yoruboid", "Latin"),
}  # fmt: skip
RELATIONS = ("related", "same script", "other script", "unknown")
LENGTHS = ("short", "middle", "long")
RELEVANT = ("1 passage", "2 passages", "3 passages", "4 or more passages")
KINDS = {
    "languages": (
        "the two languages of a pair: of one branch, else of one script, else neither",
        RELATIONS,
    ),
    "relevant": ("the number of relevant passages in the pool", RELEVANT),
    "length": (
        "the query's length in characters: thirds of the questions of its language",
        LENGTHS,
    ),
}


def relation(one: str, other: str) -> str:
    """Return one of RELATIONS: of one branch, else with a script in common, else with none; by the
    code before "-" or "_".
    """
    branches = []
    for language in (one, other):
        branches.append(LANGUAGES.get(language.replace("_", "-").split("-")[0].lower()))
    first, second = branches
    if first is None or second is None:
        return "unknown"
    if first[0] == second[0]:
        return "related"
    common = set(first[1].split()) & set(second[1].split())
    return "same script" if common else "other script"


def levels(kind: str, cell: LanguageCell, length: Mapping[str, int]) -> NDArray[np.str_] | None:
    """Return (Q,) the level of each question of a cell, one of KINDS[kind]; None where the kind
    says nothing there.

    length: characters by query id; a cell with a query that has none has no levels of that kind. Of
    a question with several queries the first counts.
    """
    count = len(cell.question)
    if kind == "languages":
        if ">" not in cell.name:
            return None
        return np.full(count, relation(cell.query_lang, cell.passage_lang))
    if kind == "relevant":
        most = np.minimum(cell.n_relevant[cell.start], len(RELEVANT))
        return np.asarray(np.array(RELEVANT)[most - 1])
    lengths = [length.get(cell.query_id[place]) for place in cell.start]
    if any(value is None for value in lengths):
        return None
    values = np.array(lengths, dtype=np.float64)
    third = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values, side="left")
    return np.asarray(np.array(LENGTHS)[third])
