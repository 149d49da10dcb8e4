"""Texts beside those that are stored: a change of words is a change of a file in tests/snapshots,
which a reader sees as such.

HYBRID_SWEEP_SNAPSHOTS=write python -m pytest TESTS writes what the tests see now; `git diff
tests/snapshots` shows it.
"""

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"


def check(name: str, text: str) -> None:
    """Compare a text with the stored one of this name (FILE, or FOLDER/FILE)."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get("HYBRID_SWEEP_SNAPSHOTS") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"no stored text {path}; HYBRID_SWEEP_SNAPSHOTS=write stores it"
    assert text == path.read_text(encoding="utf-8"), f"another text than {path}"
