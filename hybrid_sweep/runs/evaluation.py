"""One stage of a run: a trained encoder, or BM25, on the texts of a collection, from tokens to the
per-query table.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hybrid_sweep.config.schema import Bm25Model, Config
from hybrid_sweep.data.collection import ALONE
from hybrid_sweep.data.datasets.sources import clusters_of
from hybrid_sweep.inputs import splits
from hybrid_sweep.inputs.prepare import Prepared
from hybrid_sweep.inputs.splits import Split
from hybrid_sweep.retrieval import bm25, means, run_files
from hybrid_sweep.retrieval.ranking import Dense, Ranker
from hybrid_sweep.runs import finished
from hybrid_sweep.runs.stages import Stage
from hybrid_sweep.runs.status import Status
from hybrid_sweep.utils import records
from hybrid_sweep.utils.files import atomic_write

if TYPE_CHECKING:  # BM25 needs no torch
    from hybrid_sweep.models.encoder import Encoder


def ranker_of(
    config: Config,
    prepared: Prepared,
    split: Split,
    encoder: "Encoder | None",
    folder: Path,
    status: Status,
) -> Ranker:
    """Return what orders the passages of a split for its queries: words (BM25), or an encoder's
    vectors, which lie in `folder`.
    """
    if isinstance(config.model, Bm25Model):
        return _bm25(config.model, prepared, split, folder, status)
    from hybrid_sweep.runs import vectors

    assert encoder is not None
    return vectors.ranker(config, prepared, split, encoder, folder, status)


def _bm25(
    model: Bm25Model, prepared: Prepared, split: Split, folder: Path, status: Status
) -> Ranker:
    status.write("indexing", 0)
    collection = prepared.collection
    queries = _texts(collection.queries, split.query_rows)
    passages = _texts(collection.passages, split.passage_rows)
    return bm25.build(queries, passages, model, print, folder)


def _texts(table: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """Return language and text of some rows in the order of the collection: all of them are the
    table as it lies on disk.
    """
    texts = table.select(["lang", "text"])
    if len(rows) == len(table):
        return texts
    return texts.take(rows)


def evaluated(
    stage: Stage,
    prepared: Prepared,
    encoder: "Encoder | None",
    status: Status,
    label: dict[str, Any],
) -> dict[str, Any]:
    """Evaluate one stage into its folder, all but metrics.json; what that file has to say beside
    the label.

    The vectors stay, for the stages that rank them again.
    """
    config = stage.config
    collection = prepared.collection
    folder = stage.folder
    split = splits.split_of(prepared, config.eval.split)
    ranker = ranker_of(config, prepared, split, encoder, stage.vectors, status)
    if stage.centred:
        from hybrid_sweep.runs import vectors

        ranker = vectors.centred(ranker, split, stage.vectors)
    status.write("evaluating", status.max_steps)
    table, counts = splits.score(config, prepared, split, ranker, stage.pool)
    if config.eval.run_depth:
        texts = (split.queries, split.passages, collection.qrels)
        tag = str(label["run_id"])
        run_files.write_runs(folder / "runs", texts, ranker, config.eval.run_depth, tag)
    if config.keep.vectors and isinstance(ranker, Dense) and stage.is_whole:
        from hybrid_sweep.runs import retention

        retention.save_vectors(folder / "vectors", split, ranker, collection)
    for place, (name, value) in enumerate({**label, "collection": collection.name}.items()):
        table.insert(place, name, value)
    if "per_query" not in _earlier(folder):  # without a digest it would speak of the other table
        (folder / "metrics.json").unlink(missing_ok=True)
    with atomic_write(folder / "per_query.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    _keep_clusters(folder, clusters_of(collection, config.data.name), table["group_id"])
    metrics = {"collection": collection.name, **means.summary(table, stage.trained), **counts}
    asked = {"measures": config.eval.measures, "run_depth": config.eval.run_depth}
    if stage.name:
        languages = sorted(set(config.data.languages))
        return {
            "stage": stage.name,
            "fingerprint": collection.fingerprint,
            "languages": languages,
            **metrics,
            **asked,
        }
    return metrics | {name: value for name, value in asked.items() if value}


def _keep_clusters(folder: Path, by_group: dict[str, str] | None, groups: Iterable[str]) -> None:
    """Write which questions belong together beside their rows; a file of an earlier result goes
    where it is not known.

    groups: the questions that were asked; one that is in no cluster stands alone.
    """
    path = folder / finished.CLUSTERS
    if by_group is None:
        path.unlink(missing_ok=True)
        return
    asked = sorted(set(groups))
    names = [by_group.get(group, f"{ALONE}{group}") for group in asked]
    with atomic_write(path) as temporary:
        pq.write_table(pa.table([asked, names], schema=finished.CLUSTERED), temporary)


def _earlier(folder: Path) -> dict[str, Any]:
    """Return the metrics of an earlier result; {} where there are none, or they are broken."""
    try:
        return records.metrics(folder) or {}
    except records.Broken:
        return {}
