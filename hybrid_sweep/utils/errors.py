"""The one exception that is the user's to mend."""

import re
from typing import Any

MAPPINGS = ("more", "eval.also")  # fields of the config below which users give names


class UserError(Exception):
    """Bad input or config: the message is one line (what was wrong, where, what to do); the program
    exits with 2.

    key: what is refused and why, lower-case and dotted, as "data.split_missing". It stays when the
    words get better, and is shared by all places that refuse the same thing for the same reason.
    """

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[UserError], args: tuple[Any, ...], state: dict[str, Any]) -> UserError:
    """Make a pickled error again; the constructors of some kinds take other things than they
    keep.
    """
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def config_key(field: str) -> str:
    """Return the key of a refused value of the config: its path, without indices and the names that
    users give.
    """
    field = re.sub(r"\[[^]]*\]", "", field)
    for mapping in MAPPINGS:
        if field.startswith(f"{mapping}."):
            name, _, last = field.removeprefix(f"{mapping}.").rpartition(".")
            field = mapping
            if name:
                field = f"{mapping}.{last}"
    return f"config.{field}"


def key_of(error: BaseException, otherwise: str) -> str:
    """Return the key of an error that is raised anew in other words; `otherwise` where it is none
    of the user's.
    """
    if isinstance(error, UserError):
        return error.key
    return otherwise
