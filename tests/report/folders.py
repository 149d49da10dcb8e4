"""Where the runs of a sweep lie, and what a test changes in them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def runs_of(sweep_dir: Path) -> Path:
    return sweep_dir.parent.parent / "runs"


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
