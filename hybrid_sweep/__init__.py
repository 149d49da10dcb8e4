"""What does raising the cross-lingual share of hybrid batches do to monolingual retrieval, and what
does it buy?

The public names are those of `__all__`; each is imported when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybrid_sweep import stats
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
        run_sweep,
    )
    from hybrid_sweep.training.loss import info_nce
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
    "info_nce",
    "load_collection",
    "load_sweep",
    "of_split",
    "plot",
    "points",
    "run",
    "run_sweep",
    "stats",
]

# The modules of the names that need torch; all others are of `api`.
_NEED_TORCH = {
    "Collator": "training.samplers",
    "ScheduleSampler": "training.samplers",
    "SentenceTransformersSampler": "training.samplers",
    "info_nce": "training.loss",
}


def __getattr__(name: str) -> Any:
    """Return a public name, imported now."""
    if name not in __all__:
        raise AttributeError(f"module 'hybrid_sweep' has no attribute {name!r}")
    if name == "stats":  # by itself: it needs numpy, scipy and pandas alone
        return importlib.import_module("hybrid_sweep.stats")
    place = _NEED_TORCH.get(name, "api")
    value = getattr(importlib.import_module(f"hybrid_sweep.{place}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
