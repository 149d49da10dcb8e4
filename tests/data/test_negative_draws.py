"""Which negatives a step draws, and the language that each is read in."""

import numpy as np
import pyarrow as pa
import pytest

from hybrid_sweep.batching.schedule import Batch
from hybrid_sweep.data.negative_draws import NegativeDraw, drawn_negatives
from hybrid_sweep.data.pairs import Pairs
from tests.data.test_negatives import made

CODES = ["a", "b", "c"]
KEY = (0, 5, 7)


def pairs() -> Pairs:
    """Ten groups in three languages, whose negatives lack a third of their texts."""
    rows = np.arange(30, dtype=np.int32).reshape(3, 10)
    numbers = np.arange(10)
    ids = pa.chunked_array([[f"g{number}" for number in range(10)]])
    hard = made(count=60)
    return Pairs(CODES, ids, rows, rows, numbers // 2, numbers, numbers, 200, negatives=hard)


def batch(asking, partner, home, *, cross) -> Batch:
    """Ten examples of one pair, all cross-lingual or none."""
    codes = [np.full(10, code) for code in (asking, partner, home)]
    asking, partner, home = codes
    query, passage = (asking, partner) if cross else (home, home)
    return Batch(0, np.arange(10), query, passage, partner, home, asking)


@pytest.mark.parametrize("language", ["passage", "query", "mixed"])
@pytest.mark.parametrize("home", [0, 1])
def test_the_same_passages_are_drawn_at_every_ratio_and_all_can_be_read(language, home):
    """Also where a pair that is not cross-lingual is in the language of the passage, 1."""
    draw = NegativeDraw(4, language, CODES)
    numbers = []
    for cross in (False, True):
        step = batch(0, 1, home, cross=cross)
        rows, drawn = drawn_negatives(pairs(), step, np.arange(3), draw, KEY)
        assert ((rows >= 0) == (drawn >= 0)).all() and (drawn >= 0).sum() > 20
        numbers.append(drawn)
        languages = np.unique(rows[rows >= 0] // 60).tolist()
        wanted = {"passage": [1], "query": [0], "mixed": [0, 1, 2]}[language]
        assert languages == (wanted if cross else [home])
    assert np.array_equal(*numbers)


def test_mixed_languages_are_those_that_answer():
    draw = NegativeDraw(4, "mixed", ["b", "c", "z"])
    rows, _ = drawn_negatives(pairs(), batch(0, 1, 0, cross=True), np.array([0, 1, 2]), draw, KEY)
    assert np.unique(rows[rows >= 0] // 60).tolist() == [1, 2]
