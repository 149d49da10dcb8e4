"""What the verbs share: words that are read with one line for a mistake, and lines that are seen at
once.
"""

import argparse
from typing import NoReturn

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
    """
    print(terminal(redacted(text)), flush=True)
