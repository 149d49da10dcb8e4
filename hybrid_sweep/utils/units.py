"""Bytes and seconds as a reader takes them in: two or three digits and a unit."""


def size(amount: float) -> str:
    """Return a number of bytes as `512 bytes`, `8.1 kB`, `149 MB`, `1.2 GB`."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        number = amount / unit
        if number >= 0.9995:
            return f"{rounded(number)} {name}"
    return f"{amount:.0f} bytes"


def duration(seconds: float) -> str:
    """Return a time as `42 s`, `6 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def rounded(number: float) -> str:
    """Return a number with one decimal below 10, as a whole number from there on."""
    if number < 9.95:
        return f"{number:.1f}"
    return f"{number:,.0f}"
