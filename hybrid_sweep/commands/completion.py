"""Completion of words in a shell, by Hydra: it knows the words of `run` and `plan`, and not that a
verb stands before them.
"""

import os
from collections.abc import Sequence

from hybrid_sweep.commands import sweep_verbs

OPTIONS = ("-sc", "--shell-completion", "--shell_completion")
OF_HYDRA = ("run", "plan")  # the verbs whose words are Hydra's


def complete(words: list[str], verbs: Sequence[str]) -> int:
    """Print what installs completion (install=bash), or what the line that is being typed could go
    on with (query=bash, with the line in COMP_LINE and the place in it in COMP_POINT); return the
    exit code.

    Args:
        words: of the command, from `OPTIONS` on.
        verbs: of the program.
    """
    if not any(word.startswith("query=") for word in words):
        return sweep_verbs.run(words)
    line = os.environ.get("COMP_LINE", "")
    typed = line.split(" ")
    if len(typed) <= 2:
        print(" ".join(verbs))
        return 0
    if typed[1] not in OF_HYDRA:
        return 0
    point = os.environ.get("COMP_POINT", "")
    place = int(point) if point.isdigit() else len(line)
    os.environ["COMP_LINE"] = " ".join([typed[0], *typed[2:]])
    os.environ["COMP_POINT"] = str(max(0, place - len(typed[1]) - 1))
    return sweep_verbs.run(words)
