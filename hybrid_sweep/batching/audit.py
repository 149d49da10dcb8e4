"""What entered the loss, step by step, against what the plan says: a run whose shares are not exact
fails.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from hybrid_sweep.batching.schedule import Plan


def groups_digest(groups: np.ndarray) -> str:
    """Return eight hex digits that name the groups of a batch in their order."""
    return hashlib.sha256(np.ascontiguousarray(groups, "<i8").tobytes()).hexdigest()[:8]


def names(languages: list[str], indices: np.ndarray) -> str:
    """Return the languages of a batch's texts, "de" or "de+en"."""
    return "+".join(languages[index] for index in np.unique(indices))


def planned(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield what the record of each step must say, by the plan."""
    languages = list(plan.languages)
    for step in range(len(plan)):
        batch = plan.batch(step)
        yield {
            "step": step,
            "source": plan.sources[batch.source],
            "query_lang": names(languages, batch.query_language),
            "passage_lang": names(languages, batch.passage_language),
            "n_examples": len(batch.groups),
            "n_cross": int((batch.query_language != batch.passage_language).sum()),
            "groups": groups_digest(batch.groups),
        }


def check_realised(record: pd.DataFrame, plan: Plan) -> None:
    """Raise RuntimeError unless what entered the loss is, step by step, what the plan says."""
    wanted = pd.DataFrame(list(planned(plan)))
    trained = record[wanted.columns]
    if len(trained) != len(wanted) or (trained.to_numpy() != wanted.to_numpy()).any():
        length = min(len(trained), len(wanted))
        differs = (trained.to_numpy()[:length] != wanted.to_numpy()[:length]).any(axis=1)
        step = length
        if differs.any():
            step = int(differs.argmax())
        raise RuntimeError(
            f"step {step} of {len(wanted)} did not train on what the plan says; this is a defect of"
            " the program"
        )
