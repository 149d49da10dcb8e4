"""Checks of refusals: by the key of the error and the facts in its message, so that the words can
change.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from hybrid_sweep.utils.errors import UserError


@dataclass
class Refusal:
    """What a block was refused with; filled in where the block ends."""

    message: str = ""


@contextmanager
def refused(key: str, *facts: object, kind: type[UserError] = UserError) -> Iterator[Refusal]:
    """Assert that a block is refused.

    Args:
        key: the key that the error must have, exactly.
        facts: what the message must hold: names, numbers and paths, and none of its prose.
        kind: the class of the error, where a caller tells it from others by its class.
    """
    refusal = Refusal()
    with pytest.raises(kind) as caught:
        yield refusal
    refusal.message = str(caught.value)
    assert caught.value.key == key, f"refused with {caught.value.key}, not {key}: {refusal.message}"
    for fact in facts:
        assert str(fact) in refusal.message, f"no {fact} in the message of {key}: {refusal.message}"
