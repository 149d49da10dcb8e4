"""The command that made a sweep, as it can be published: without secrets, paths, accounts and
machines.
"""

import re
import shlex
from pathlib import Path

from hybrid_sweep.utils import redaction

PLACE = "PATH"  # stands for a path that is left out
LEFT_OUT = ("hydra.", "hydra/", "logger.entity", "logger.project", "paths.")
# Keys whose values are files, folders or addresses; the name of one, without a slash, says nothing
# of where it lies.
OF_PLACES = frozenset({"path", "mirror", "negatives", "run"})
# An absolute path, one of the home folder or of a parent folder, a Windows path, or an address.
ABSOLUTE = re.compile(
    r"""(?:^|[\s=:,;\[({"'])(?:/|~|\.\.?(?:/|$)|\\|[A-Za-z]:[\\/])|://|\boc\.env\b|\$(?:HOME|USER|PWD)"""
)


def public_command(command: str) -> str:
    """Return a recorded command as it can be published; "" where it cannot be read.

    Words of `LEFT_OUT` keys go, values that hold a path become `PLACE`, and secrets become ***. All
    other words stay.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    kept: list[str] = []
    for place, word in enumerate(redaction.words(words)):
        if word.lstrip("+~").startswith(LEFT_OUT):
            continue
        after_option = (
            place > 0 and words[place - 1].startswith("--") and "=" not in words[place - 1]
        )
        kept.append(PLACE if after_option and _is_place(word, of_places=True) else _public(word))
    made = shlex.join(kept)
    return command if kept == words else made


def _public(word: str) -> str:
    """Return a word with `PLACE` for a value that is, or holds, a path."""
    key, equals, value = word.partition("=")
    if not equals:
        return PLACE if _is_place(word, of_places=False) else word
    last = key.lstrip("-").split("@")[0].split(".")[-1]
    of_places = last in OF_PLACES or key in ("--config-dir", "-cd")
    return f"{key}={PLACE}" if _is_place(value, of_places=of_places) else word


def _is_place(text: str, *, of_places: bool) -> bool:
    """Return whether a text holds a path; of_places: relative ones count, too."""
    home = str(Path.home())
    if ABSOLUTE.search(text) or (len(home) > 1 and home in text):
        return True
    return of_places and ("/" in text or "\\" in text)
