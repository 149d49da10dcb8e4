"""Numbers of rows and ids in 32 bits: right at their edges, refused beyond."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from hybrid_sweep.data import lookup
from tests.refused import refused

WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=20)


@given(WORDS, st.sets(st.sampled_from("abcdefgh")))
def test_each_value_has_its_place_among_the_known(column, known):
    names = sorted(known)
    found = lookup.index_in(
        pa.chunked_array([pa.array(column, pa.string())]), pa.array(names, pa.string())
    )
    assert found.dtype == np.int32 and found.tolist() == [
        names.index(name) if name in known else -1 for name in column
    ]


def test_what_int32_cannot_number_is_refused_before_it_is_numbered():
    assert np.iinfo(np.int32).max == lookup.ROWS - 1
    lookup.check_rows(lookup.ROWS)
    with refused("data.too_many_texts", "2,147,483,649"):
        lookup.check_rows(lookup.ROWS + 1)
    many = pa.nulls(lookup.ROWS + 1)  # a length and no memory
    with refused("data.too_many_texts"):
        lookup.index_in(pa.chunked_array([pa.array(["a"])]), many)
    table = pa.table({name: many for name in ("group", "lang", "split")})
    with refused("data.too_many_texts"):
        lookup.text_rows(table, pa.array(["a"]), ["en"], "train")


def test_the_last_rows_that_fit_are_numbered_right(monkeypatch):
    """Slices whose rows would be the last ones: the number is the place in the slice and where that
    begins.
    """
    table = pa.table({"group": ["a", "b"], "lang": ["en", "en"], "split": ["train", "train"]})
    group = np.array([0, 1], np.int32)
    first = lookup.ROWS - 2

    class Far:
        """The table, moved far down."""

        def __len__(self):
            return lookup.ROWS

        def __getitem__(self, name):
            return type("Column", (), {"slice": lambda self, start, count: table[name]})()

    monkeypatch.setattr(lookup, "_slices", lambda column, known: [(first, group)])
    rows = lookup.text_rows(Far(), pa.array(["a", "b"]), ["en"], "train")
    assert rows.tolist() == [[first, first + 1]]


@given(st.integers(0, lookup.ROWS - 1), st.integers(0, lookup.ROWS - 1))
def test_two_numbers_are_one_key_of_64_bits_and_come_apart_again(question, passage):
    """As in `negatives` and `negative_lines`."""
    key = np.array([question], np.int32).astype(np.int64) << 32 | np.array([passage], np.int32)
    assert key[0] == question * 2**32 + passage and (key[0] >> 32, key[0] & 0xFFFFFFFF) == (
        question,
        passage,
    )


@given(st.integers(0, lookup.ROWS - 1), st.integers(1, 2 * lookup.ROWS), st.data())
def test_question_times_width_fits_int64(question, width, data):
    """As in `pairs`: the width counts answers, and behind them the other negatives."""
    answer = data.draw(st.integers(0, width - 1))
    key = np.array([question]) * width + np.array([answer])
    assert key.dtype == np.int64 and divmod(int(key[0]), width) == (question, answer)
