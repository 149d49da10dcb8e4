"""What does raising the cross-lingual share of hybrid batches do to monolingual retrieval, and what
does it buy?

The public names are those of `__all__`; each is imported when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybrid_sweep.api import (
        BatchSchedule,
        Collection,
        Config,
        DataConfig,
        Evaluation,
        Examples,
        ModelConfig,
        Run,
        ScheduledBatch,
        SweepTables,
        UserError,
        compose,
        evaluate,
        load_collection,
        load_sweep,
        of_split,
        plot,
        points,
        run,
        stats,
    )
    from hybrid_sweep.training.samplers import (
        Collator,
        ScheduleSampler,
        SentenceTransformersSampler,
    )

__version__ = "0.1.0"

__all__ = [
    "BatchSchedule",
    "Collator",
    "Collection",
    "Config",
    "DataConfig",
    "Evaluation",
    "Examples",
    "ModelConfig",
    "Run",
    "ScheduleSampler",
    "ScheduledBatch",
    "SentenceTransformersSampler",
    "SweepTables",
    "UserError",
    "__version__",
    "compose",
    "evaluate",
    "load_collection",
    "load_sweep",
    "of_split",
    "plot",
    "points",
    "run",
    "stats",
]

_NEED_TORCH = ("Collator", "ScheduleSampler", "SentenceTransformersSampler")


def __getattr__(name: str) -> Any:
    """Return a public name, imported now."""
    if name not in __all__:
        raise AttributeError(f"module 'hybrid_sweep' has no attribute {name!r}")
    room = "training.samplers" if name in _NEED_TORCH else "api"
    found = getattr(importlib.import_module(f"hybrid_sweep.{room}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
