"""What the verbs share: words that are read with one line for a mistake, and lines that are seen at
once.
"""

import argparse
import os
import sys
from typing import NoReturn, TextIO

from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.escaping import terminal
from hybrid_sweep.utils.redaction import redacted


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the words in one line, as all other errors here; the verb's help is
    in `usage`.
    """

    def __init__(self, verb: str) -> None:
        super().__init__(prog=f"hybrid-sweep {verb}", add_help=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help has examples", key="command.arguments")


def say(text: str) -> None:
    """Print a text at once, whoever reads: without secrets, and without characters that act on a
    terminal.

    Where the reader has gone, as in `... | head`, the work goes on without one.
    """
    try:
        print(terminal(redacted(text)), flush=True)
    except BrokenPipeError:
        unread(sys.stdout)


def unread(stream: TextIO) -> None:
    """Write what is printed to a stream nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def open_streams() -> None:
    """Give the process the streams that it was started without (`>&-`), leading nowhere."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # or the next file that is opened would be what is printed to
    os.close(descriptor)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", closefd=False))
