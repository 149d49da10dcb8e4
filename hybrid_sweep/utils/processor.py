"""The processor of this machine: its name, and the instructions that decide how sums come out."""

import functools
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Matrix products of bfloat16 without a detour over float32: of x86, and of ARM.
OF_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
TOLD = ("asimd", "sve", "avx2", "avx512f", *OF_BF16)


@functools.cache
def _fields() -> dict[str, str]:
    """Return what Linux says of the first core, by lower-case names; {} where it says nothing."""
    try:
        lines = CPUINFO.read_text(errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = [line.partition(":") for line in lines]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def model() -> str:
    """Return the name of the processor, as far as the system tells it."""
    return _fields().get("model name") or platform.processor() or platform.machine()


def instructions() -> str | None:
    """Return those of `TOLD` that the processor has, with spaces between them; None where the
    system does not tell.
    """
    fields = _fields()
    flags = fields.get("flags") or fields.get("features")
    if flags is None:
        return None
    return " ".join(name for name in TOLD if name in flags.split())


def has_bf16() -> bool | None:
    """Return whether the processor multiplies bfloat16 by itself; None where that is not known."""
    told = instructions()
    if told is None:
        return None
    return bool(set(told.split()) & set(OF_BF16))
