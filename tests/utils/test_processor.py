"""What a processor can do is read from the words of the system, and unknown where it is silent."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hybrid_sweep.utils import processor

SERVER = "processor\t: 0\nmodel name\t: A CPU: 5\nflags\t\t: fpu avx2 avx512f avx512_bf16\n\nprocessor: 1\n"
KINDS = {
    "server": (SERVER, "avx2 avx512f avx512_bf16", True),
    "older": (SERVER.replace(" avx512_bf16", " xavx512_bf16"), "avx2 avx512f", False),
    "arm": ("processor\t: 0\nFeatures\t: fp asimd bf16\n", "asimd bf16", True),
    "silent": ("nothing\n", None, None),
    "absent": (None, None, None),
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes the system say this of its processor; None: nothing."""

    def say(text: str | None) -> None:
        processor._fields.cache_clear()
        monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
        if text is not None:
            (tmp_path / "cpuinfo").write_text(text)

    yield say
    processor._fields.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
def test_instructions_are_those_that_the_system_names(
    machine: Callable[..., None], kind: str
) -> None:
    text, told, has_bf16 = KINDS[kind]
    machine(text)
    assert processor.instructions() == told and processor.has_bf16() is has_bf16
    assert (processor.model() == "A CPU: 5") == (kind in ("server", "older"))
