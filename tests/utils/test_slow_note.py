"""The line of a command that takes long."""

import io
import sys
import time

import pytest

from hybrid_sweep.utils.slow_note import slow_note


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "stream, lasts_s, told",
    [(Terminal(), 0.2, True), (Terminal(), 0.0, False), (io.StringIO(), 0.2, False)],
)
def test_what_takes_long_says_so_once_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, lasts_s: float, told: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with slow_note("reading", after_s=0.05):
        time.sleep(lasts_s)
    time.sleep(0.1)
    assert stream.getvalue() == "reading\n" * told
