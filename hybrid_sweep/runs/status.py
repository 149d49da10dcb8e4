"""How far a run has come, for whoever watches: status.json."""

import time
from pathlib import Path
from typing import Any

from hybrid_sweep.utils.files import write_json


class Status:
    """Keeps status.json fresh for whoever watches: about once a second, by the main process
    alone.
    """

    def __init__(self, path: Path, max_steps: int) -> None:
        self.path, self.max_steps = path, max_steps
        self.written = self.begun = time.monotonic()
        self.done = 0  # steps of this process; a resumed run has more behind it

    def write(self, state: str, step: int, loss: float | None = None, **more: Any) -> None:
        """Write the state now, with whatever more it says."""
        now = time.monotonic()
        speed = None
        if state == "training" and self.done:
            speed = self.done / (now - self.begun)
        write_json(
            self.path,
            {
                "state": state,
                "step": step,
                "max_steps": self.max_steps,
                "loss": loss,
                "steps_per_second": speed,
                "first_step": step - self.done if state == "training" else None,
                "error": None,
                **more,
            },
        )
        self.written = now

    def encoding(self, name: str, texts: int, done: int) -> None:
        """Note how many texts of a collection are encoded, of how many."""
        if self.is_due():
            self.write("encoding", self.max_steps, collection=name, encoded=done, texts=texts)

    def is_due(self) -> bool:
        """Return whether the file is more than a second old."""
        return time.monotonic() - self.written > 1
