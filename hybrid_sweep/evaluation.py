"""One stage of a run: a trained encoder, or BM25, on the texts of a collection, from tokens to the per-query table."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hybrid_sweep import bm25, encoding, records, retention, retrieval, runs, validation
from hybrid_sweep.config import Bm25Model, Config
from hybrid_sweep.encoder import Encoder
from hybrid_sweep.encoding import Job
from hybrid_sweep.prepare import Prepared
from hybrid_sweep.ranking import Dense, Ranker
from hybrid_sweep.stages import Stage
from hybrid_sweep.status import Status
from hybrid_sweep.store import atomic_write
from hybrid_sweep.tokens import pad_id
from hybrid_sweep.training import make_trainer


def ranker_of(
    config: Config, prepared: Prepared, split: validation.Split, encoder: Encoder | None, folder: Path, status: Status
) -> Ranker:
    """What orders the passages of a split for its queries: words (BM25), or an encoder's vectors, which lie in `folder`."""
    if isinstance(config.model, Bm25Model):
        status.write("indexing", 0)
        collection = prepared.collection
        queries, passages = (
            # Rows without tokens are in the order of the collection: all of them are the table as it lies on disk.
            table.select(["lang", "text"]) if len(rows) == len(table) else table.select(["lang", "text"]).take(rows)
            for table, rows in ((collection.queries, split.query_rows), (collection.passages, split.passage_rows))
        )
        return bm25.build(queries, passages, config.model, print, folder)
    assert encoder is not None
    jobs, pad = _jobs(config, prepared, split, folder), pad_id(prepared.model)
    encoding.encode_jobs(jobs, encoder, pad, partial(status.encoding, prepared.collection.name, _texts(jobs)))
    vectors = [encoding.opened(job) for job in jobs]
    return Dense(vectors[0], vectors[1], "cuda" if config.trainer.accelerator == "gpu" else None)


def evaluated(
    stage: Stage, prepared: Prepared, encoder: Encoder | None, status: Status, label: dict[str, Any]
) -> dict[str, Any]:
    """Evaluate one stage into its folder, all but metrics.json; what that file has to say beside the label.

    The vectors stay, for the stages that rank them again.
    """
    config, collection, folder = stage.config, prepared.collection, stage.folder
    split = validation.split_of(prepared, config.eval.split)
    ranker = ranker_of(config, prepared, split, encoder, stage.vectors, status)
    status.write("evaluating", status.max_steps)
    table, counts = validation.score(config, prepared, split, ranker, stage.pool)
    if config.eval.run_depth:
        texts, tag = (split.queries, split.passages, collection.qrels), str(label["run_id"])
        runs.write_runs(folder / "runs", *texts, ranker, config.eval.run_depth, tag)
    if config.keep.vectors and isinstance(ranker, Dense) and stage.pool is None:
        retention.save_vectors(folder / "vectors", split, ranker, collection)
    for place, (name, value) in enumerate({**label, "collection": collection.name}.items()):
        table.insert(place, name, value)
    if "per_query" not in _earlier(folder):  # without a digest it would speak of the other table
        (folder / "metrics.json").unlink(missing_ok=True)
    with atomic_write(folder / "per_query.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    metrics = {"collection": collection.name, **retrieval.summary(table, stage.trained), **counts}
    asked = {"measures": config.eval.measures, "run_depth": config.eval.run_depth}
    if stage.name:
        languages = sorted(set(config.data.languages))
        return {"stage": stage.name, "fingerprint": collection.fingerprint, "languages": languages, **metrics, **asked}
    return metrics | {name: value for name, value in asked.items() if value}


def _earlier(folder: Path) -> dict[str, Any]:
    """Return the metrics of an earlier result; {} where there are none, or they are broken."""
    try:
        return records.metrics(folder) or {}
    except records.Broken:
        return {}


def encode_over_ranks(
    config: Config, waiting: list[tuple[Stage, Prepared]], encoder: Encoder, status: Status, main: bool
) -> None:
    """Encode the texts of all stages in all processes of the run, so that the first alone can go on.

    Not in Lightning's precision, but in the encoder's own, as one process does it.
    """
    jobs = [
        job
        for stage, texts in {stage.vectors: (stage, texts) for stage, texts in waiting}.values()
        for job in _jobs(stage.config, texts, validation.split_of(texts, config.eval.split), stage.vectors)
    ]
    alone = dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, precision="32-true"))
    names = dict.fromkeys(texts.collection.name for _, texts in waiting)
    told = partial(status.encoding, ", ".join(names), _texts(jobs))
    trainer = make_trainer(alone, [], None)
    pad = pad_id(waiting[0][1].model)
    encoding.encode_over_ranks(trainer, jobs, encoder, pad, told if main else _untold)


def _jobs(config: Config, prepared: Prepared, split: validation.Split, folder: Path) -> list[Job]:
    """What a stage has to encode."""
    content = [prepared.collection.fingerprint, prepared.collection.languages, config.eval.split]
    return jobs_of(config, prepared, split, folder, content)


def jobs_of(
    config: Config, prepared: Prepared, split: validation.Split, folder: Path, content: Sequence[Any]
) -> list[Job]:
    """The two sides of a split to encode into a folder; content: see `encoding.job`."""
    return [
        encoding.job(folder / name, tokens, rows, config.eval.batch_tokens, content)
        for name, tokens, rows in (
            ("queries", prepared.queries, split.query_rows),
            ("passages", prepared.passages, split.passage_rows),
        )
    ]


def _texts(jobs: list[Job]) -> int:
    return sum(len(job.rows) for job in jobs)


def _untold(_: int) -> None:
    pass
