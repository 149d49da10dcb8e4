"""A line on the terminal where a command says nothing for a while."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

AFTER_S = 2.0  # what takes less needs no line


@contextmanager
def slow_note(text: str, after_s: float = AFTER_S) -> Iterator[None]:
    """Print a line to stderr once the block has taken some seconds; nothing where stderr is no
    terminal.

    Args:
        text: of the line.
        after_s: seconds.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    stream = sys.stderr
    timer = threading.Timer(after_s, lambda: print(text, file=stream, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
