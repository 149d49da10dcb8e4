"""What is kept of a point besides its tables: the chosen model and the other one, optimiser state,
vectors.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from hybrid_sweep.config.schema import Config
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.inputs.prepare import Prepared
from hybrid_sweep.inputs.splits import Split
from hybrid_sweep.models.loading import save_encoder
from hybrid_sweep.retrieval.ranking import Dense
from hybrid_sweep.training import checkpoints
from hybrid_sweep.utils.files import atomic_dir, atomic_write

BLOCK = 65_536  # vectors turned into float16 at a time


def save_models(
    config: Config, prepared: Prepared, module: Any, best: int | None, run_dir: Path
) -> None:
    """Write run_dir/model, by eval.select, and with keep.other_model the other one.

    module: the trained one, with the last weights; it may be left with the best ones. best: the
    step of the best evaluation, None where there was none. The other one is model-last or
    model-best.
    """
    names = {"last": "model-last", "best": "model-best"}
    names[config.eval.select] = "model"
    # in this order: the module has the last weights
    for kind in ["last"] if best is None else ["last", "best"]:
        if names[kind] != "model" and not config.keep.other_model:
            continue
        if kind == "best" and best is not None:
            module.encoder.load_state_dict(checkpoints.load_best(run_dir / "checkpoints", best))
        encoder = module.whole_encoder()
        if config.trainer.precision == "64-true":  # a copy, since it shares weights with the module
            encoder = copy.deepcopy(encoder).float()
        save_encoder(encoder, config.model, prepared.model, run_dir / names[kind])


def save_optimizer(path: Path, state: dict[str, Any], step: int) -> None:
    """Write the optimiser's state after `step` steps: {step, state, names, rows}, for
    torch.load(weights_only=True).
    """
    with atomic_write(path) as temporary:
        torch.save({"step": step, **state}, temporary)


def save_vectors(folder: Path, split: Split, vectors: Dense, collection: Collection) -> None:
    """Write what it takes to score a split again: {queries,passages}.npy in float16 with the id,
    group and language of each row in {queries,passages}.parquet, and the judgements of these
    queries in qrels.parquet; the whole folder atomically."""
    asked = pc.is_in(collection.qrels["query_group"], value_set=pc.unique(split.queries["group"]))
    with atomic_dir(folder) as temporary:
        for name, table, array in (
            ("queries", split.queries, vectors.query_vectors),
            ("passages", split.passages, vectors.passage_vectors),
        ):
            kept = np.lib.format.open_memmap(
                temporary / f"{name}.npy", mode="w+", dtype=np.float16, shape=array.shape
            )
            # the memory does not grow with the collection
            for start in range(0, len(array), BLOCK):
                kept[start : start + BLOCK] = array[start : start + BLOCK]
            kept.flush()
            pq.write_table(table, temporary / f"{name}.parquet")
        pq.write_table(collection.qrels.filter(asked), temporary / "qrels.parquet")
