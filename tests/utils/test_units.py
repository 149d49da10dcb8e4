"""Bytes and seconds as they are shown."""

import pytest

from hybrid_sweep.utils import units


@pytest.mark.parametrize(
    "amount, text",
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (8_100, "8.1 kB"),
        (999_400_000, "999 MB"),
        (999_600_000, "1.0 GB"),
        (2_260_000_000, "2.3 GB"),
        (27e9, "27 GB"),
        (1_234e9, "1,234 GB"),
    ],
)
def test_sizes_have_two_or_three_digits_and_a_unit(amount, text):
    assert units.size(amount) == text


def test_durations_are_words():
    shown = [units.duration(seconds) for seconds in (0.4, 89, 91, 360, 5400, 9000)]
    assert shown == ["0 s", "89 s", "2 min", "6 min", "1.5 h", "2.5 h"]
