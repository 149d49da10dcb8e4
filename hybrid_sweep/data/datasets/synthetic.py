"""Parallel "languages" of known difficulty, generated from a seed: for tests, and for machines
without any corpus.

A text is a sequence of ideas; a language writes each idea with a word of its own, except for a
share of ideas whose word all languages have in common. A question names ideas of its passage; a
share of its words is noise.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hybrid_sweep.data.collection import Collection, make

LANGUAGES = ("xa", "xb", "xc", "xd", "xe", "xf")
COVERAGE = (1.0, 0.9, 0.9, 0.8, 0.8, 0.7)  # share of the groups that exist in each language
PASSAGE_IDEAS, QUESTION_IDEAS = (12, 25), (3, 6)  # from, to (exclusive)
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


def build(*, groups: int, concepts: int, shared: float, noise: float, seed: int) -> Collection:
    """Return a collection of `groups` questions over `concepts` ideas in six languages; a pure
    function of its arguments.

    shared: share of the ideas with one word for all languages. noise: share of a question's words
    that are not from its passage. Splits: 64 % train, 16 % dev, 20 % test, by group.
    """
    draw = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    frequency = 1.0 / np.arange(1, concepts + 1) ** 0.7  # ideas are as unevenly used as words are
    frequency /= frequency.sum()
    common = draw.random(concepts) < shared
    words = {
        language: [_word("*" if common[idea] else language, idea) for idea in range(concepts)]
        for language in LANGUAGES
    }
    queries: list[tuple[str, ...]] = []
    passages: list[tuple[str, ...]] = []
    for number in range(groups):
        group = f"g{number:06d}"
        place = int(np.searchsorted([0.64, 0.8], draw.random(), side="right"))
        split = ("train", "dev", "test")[place]
        ideas = draw.choice(
            concepts, size=draw.integers(*PASSAGE_IDEAS), replace=False, p=frequency
        )
        asked = draw.choice(ideas, size=draw.integers(*QUESTION_IDEAS), replace=False)
        stray = draw.random(len(asked)) < noise
        asked = np.where(stray, draw.choice(concepts, size=len(asked), p=frequency), asked)
        exists = draw.random(len(LANGUAGES)) < COVERAGE
        for language, here in zip(LANGUAGES, exists, strict=True):
            # Word order differs between languages, so that position is no bridge.
            question = " ".join(words[language][idea] for idea in draw.permutation(asked))
            answer = " ".join(words[language][idea] for idea in draw.permutation(ideas))
            if here:
                queries.append((f"{group}@{language}:q", group, language, split, question))
                passages.append((f"{group}@{language}:p", group, language, split, answer))
    names = sorted({row[1] for row in queries})
    qrels = pa.table({"query_group": names, "passage_group": names, "grade": [1] * len(names)})
    info = {
        "source": "generated",
        "licence": "CC0-1.0",
        "parameters": {
            "groups": groups,
            "concepts": concepts,
            "shared": shared,
            "noise": noise,
            "seed": seed,
        },
    }
    return make("synthetic", _table(queries), _table(passages), qrels, info)


def _table(rows: Sequence[tuple[str, ...]]) -> pa.Table:
    return pa.table(
        {
            name: [row[place] for row in rows]
            for place, name in enumerate(("id", "group", "lang", "split", "text"))
        }
    )


def _word(language: str, idea: int) -> str:
    """Return a pronounceable word of three or four syllables, drawn by hash."""
    bits = int.from_bytes(hashlib.sha256(f"{language}:{idea}".encode()).digest()[:8], "little")
    syllables = []
    for _ in range(3 + bits % 2):
        bits, place = divmod(bits, len(SYLLABLES))
        syllables.append(SYLLABLES[place])
    return "".join(syllables)
