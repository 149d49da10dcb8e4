"""What is built once into the cache and then read by all processes."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hybrid_sweep.utils.locks import exclusive

T = TypeVar("T")


def build_once(
    lock: Path, read: Callable[[], T | None], build: Callable[[], None], *, refresh: bool = False
) -> T | None:
    """Return what is in the cache, built where it is missing or not whole; one process builds,
    others wait for it. None where what was just built cannot be read.

    Args:
        lock: the file that the one process holds.
        read: gives what is there; None where it has to be built, which it tells the user itself.
        build: writes it, the whole of it at once.
        refresh: whether it is built again in any case.
    """
    with exclusive(lock):
        if refresh:
            stored = None
        else:
            stored = read()
        if stored is None:
            build()
            stored = read()
    return stored
