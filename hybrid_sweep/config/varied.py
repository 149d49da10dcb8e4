"""The points of a sweep that differ in numbers alone: the first of them is composed, the others
have its values with their own numbers.

To compose a point takes some hundredths of a second, and a sweep can have thousands of points.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

from hybrid_sweep.config.schema import Config
from hybrid_sweep.config.validate import typed_with

Number = int | float
Words = tuple[tuple[str, Number | None], ...]  # each word with the number that it sets, if any
Shape = tuple[tuple[str, ...], tuple[str, ...]]  # the words without numbers; the keys of the rest


class Varied:
    """The values that were composed, by the words of their points without numbers.

    Values of which one refers to another are not kept: the other may be a number.
    """

    def __init__(self) -> None:
        self._first: dict[Shape, dict[str, Any]] = {}

    def keep(self, words: Words | None, node: Any) -> None:
        """Keep what was composed of the words of a point, for those like it."""
        from omegaconf import OmegaConf

        if words is None:
            return
        values: Any = OmegaConf.to_container(node, resolve=False)
        if "${" not in str(values):
            self._first.setdefault(_shape(words), values)

    def like(self, words: Words | None) -> Config | None:
        """Return the checked config of these words; None where none like it is kept, or the type of
        a field is another.

        Raises:
            UserError: for a number that is refused.
        """
        from omegaconf.errors import OmegaConfBaseException

        if words is None or _shape(words) not in self._first:
            return None
        values = copy.deepcopy(self._first[_shape(words)])
        for word, number in words:
            if number is not None:
                _set(values, _key(word).split("."), number)
        try:
            return typed_with(values)
        except OmegaConfBaseException:
            return None  # composed by Hydra, which says what is wrong


def numbers(
    words: Sequence[str], parsed: Sequence[Any], is_value: Callable[[str, Any], bool]
) -> Words | None:
    """Return each word with the number that it sets, None for a word that sets none; None in all
    where a key is set twice, so that their order matters.

    Args:
        words: KEY=VALUE each.
        parsed: Hydra's reading of each word.
        is_value: whether a word, with its reading, sets a plain value of a point.
    """
    pairs: list[tuple[str, Number | None]] = []
    for word, reading in zip(words, parsed, strict=True):
        value: Any = reading.value() if is_value(word, reading) else None
        is_number = type(value) in (int, float) and math.isfinite(value)
        pairs.append((word, value if is_number else None))
    keys = {_key(word) for word in words}
    if len(keys) == len(pairs):
        return tuple(pairs)
    return None


def _key(word: str) -> str:
    return word.partition("=")[0]


def _shape(words: Words) -> Shape:
    rest = tuple(word for word, number in words if number is None)
    return rest, tuple(_key(word) for word, number in words if number is not None)


def _set(values: dict[str, Any], path: Sequence[str], number: Number) -> None:
    """Set a value by the names that lead to it; composed with a number, they lead to one."""
    for name in path[:-1]:
        values = values[name]
    values[path[-1]] = number
