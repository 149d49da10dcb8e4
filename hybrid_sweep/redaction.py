"""Secrets of the environment stay there: none may come into a config, a log or a record of a run."""

import dataclasses
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from hybrid_sweep.errors import UserError

NAME = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
SHORTEST = 8  # characters: a shorter value can be any word, and is no secret that protects anything
IN_ADDRESS = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


def secrets() -> dict[str, str]:
    """The variables of the environment that hold secrets, by their names: *_KEY, *_TOKEN, *_SECRET, *PASSWORD and the like."""
    return {name: value for name, value in os.environ.items() if NAME.search(name) and len(value) >= SHORTEST}


def redacted(text: str) -> str:
    """The text with the name of the variable in the place of every secret of the environment."""
    for name, value in secrets().items():
        text = text.replace(value, f"${name}")
    return IN_ADDRESS.sub("://***@", text)


def line_of(error: Exception) -> str:
    """One line on an exception, without secrets."""
    return redacted(f"{type(error).__name__}: {error}".splitlines()[0])


def check(config: Any) -> None:
    """Raise UserError where a config, a dataclass, holds a secret: it would be written into the files of every run."""
    found = secrets()
    for key, text in _texts(dataclasses.asdict(config), ""):
        for name, value in found.items():
            if value in text:
                raise UserError(
                    f"{key}: holds the value of ${name}, and would write that secret into every run's files"
                )
        if IN_ADDRESS.search(text):
            raise UserError(
                f"{key}: an address with a password in it would write that into every run's files; leave it out"
            )


def _texts(node: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _texts(value, key)
    elif isinstance(node, str):
        yield key, node


def guard() -> None:
    """Redact what this process prints and logs from now on: an error of a library can quote the key it was given."""
    for stream in (sys.stdout, sys.stderr):
        write = stream.write
        stream.write = lambda text, write=write: write(redacted(text))  # type: ignore[method-assign]
