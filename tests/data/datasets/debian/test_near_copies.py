"""Near-copy removal against a naive version of its definition, and the rules one by one."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.data.datasets.debian import near_copies
from hybrid_sweep.data.datasets.debian.near_copies import (
    COMMON,
    OVERLAP,
    RARE_COUNT,
    RARE_SHARE,
    WINDOW,
    duplicates,
)

WORDS = ["red", "green", "blue", "grey"]


def naive(bodies: list[str], synopses: list[str], sources: list[str]) -> list[str | None]:
    grams = []
    for body in bodies:
        words = body.split() + [""] * (WINDOW - len(body.split()))
        grams.append(
            {tuple(words[start : start + WINDOW]) for start in range(len(words) - WINDOW + 1)}
        )
    frequency = Counter(gram for found in grams for gram in found)
    rare = [{gram for gram in found if frequency[gram] <= COMMON} for found in grams]
    verdicts: list[str | None] = []
    kept: list[int] = []
    for place in range(len(bodies)):
        if len(rare[place]) < RARE_COUNT or len(rare[place]) < RARE_SHARE * len(grams[place]):
            verdicts.append("boilerplate")
        elif any(synopses[other] == synopses[place] for other in kept):
            verdicts.append("same synopsis")
        elif sum(sources[other] == sources[place] for other in kept) >= 3:
            verdicts.append("source full")
        elif any(
            len(rare[place] & rare[other]) >= OVERLAP * min(len(rare[place]), len(rare[other]))
            for other in kept
        ):
            verdicts.append("near-copy")
        else:
            verdicts.append(None)
            kept.append(place)
    return verdicts


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(1, 9))
def test_equals_the_naive_definition(seed: int, texts: int, block: int) -> None:
    draw = np.random.default_rng(seed)
    bodies: list[str] = []
    for _ in range(texts):
        if bodies and draw.random() < 0.4:  # a piece of an earlier text, with words of its own
            piece = bodies[draw.integers(len(bodies))].split()[: draw.integers(1, 16)]
        else:
            piece = []
        bodies.append(
            " ".join([*piece, *(WORDS[word] for word in draw.integers(0, 4, draw.integers(0, 24)))])
        )
    synopses = [str(number) for number in draw.integers(0, 30, texts)]
    sources = [str(number) for number in draw.integers(0, 6, texts)]
    with_blocks, near_copies.BLOCK = near_copies.BLOCK, block
    try:
        assert duplicates(bodies, synopses, sources) == naive(bodies, synopses, sources)
    finally:
        near_copies.BLOCK = with_blocks


def text(start: int, words: int = 20) -> str:
    return " ".join(f"word{number}" for number in range(start, start + words))


def test_planted_copies_go_and_the_first_stays() -> None:
    bodies = [text(0), text(100), text(0) + " and more", text(110), text(112) + " " + text(200)]
    verdicts = duplicates(bodies, list("abcde"), list("vwxyz"))
    # The fourth shares 7 of its 17 shingles with the second, the last 5 of 37 with it: 5 of 17 is
    # under the bound.
    assert verdicts == [None, None, "near-copy", "near-copy", None]


def test_a_dropped_text_does_not_drop_others() -> None:
    # The second is a copy of the first; the third shares words with the second alone.
    bodies = [text(0), text(8), text(18)]
    assert duplicates(bodies, list("abc"), list("xyz")) == [None, "near-copy", None]


def test_boilerplate_same_synopsis_and_full_source() -> None:
    shared = text(0, 30)
    common = [f"{shared} {text(1000 * number, 6)}" for number in range(1, COMMON + 2)]
    bodies = [
        *common,
        text(90_000),
        text(91_000),
        text(92_000),
        text(93_000),
        text(94_000),
        text(95_000),
    ]
    synopses = [str(number) for number in range(len(bodies) - 1)] + ["0b"]
    synopses[-2] = synopses[-6]
    sources = [str(number) for number in range(len(common))] + [
        "one",
        "one",
        "one",
        "one",
        "two",
        "one",
    ]
    verdicts = duplicates(bodies, synopses, sources)
    assert verdicts[: len(common)] == ["boilerplate"] * len(common)
    assert verdicts[len(common) :] == [
        None,
        None,
        None,
        "source full",
        "same synopsis",
        "source full",
    ]


def test_nothing_and_short_texts() -> None:
    assert duplicates([], [], []) == []
    assert duplicates(["", "one two"], ["a", "b"], ["x", "y"]) == ["boilerplate", "boilerplate"]
