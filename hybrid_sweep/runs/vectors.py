"""The vectors of a stage: what of a collection is encoded, by one process or by all of a run, and
the ranker over them.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_sweep.config.schema import Config
from hybrid_sweep.inputs.prepare import Prepared
from hybrid_sweep.inputs.splits import Split, split_of
from hybrid_sweep.models import encoding
from hybrid_sweep.models.encoder import Encoder
from hybrid_sweep.models.encoding import Job
from hybrid_sweep.models.tokens import pad_id
from hybrid_sweep.retrieval import centring
from hybrid_sweep.retrieval.ranking import Dense, Ranker
from hybrid_sweep.runs.stages import Stage
from hybrid_sweep.runs.status import Status
from hybrid_sweep.training.lightning_module import make_trainer


def ranker(
    config: Config, prepared: Prepared, split: Split, encoder: Encoder, folder: Path, status: Status
) -> Dense:
    """Return what ranks a split by the vectors of an encoder, which are made in `folder` where they
    are not there.
    """
    jobs = _jobs(config, prepared, split, folder)
    pad = pad_id(prepared.model)
    told = partial(status.encoding, prepared.collection.name, _texts(jobs))
    encoding.encode_jobs(jobs, encoder, pad, told)
    queries = encoding.opened(jobs[0])
    passages = encoding.opened(jobs[1])
    return Dense(queries, passages, "cuda" if config.trainer.accelerator == "gpu" else None)


def centred(ranker: Ranker, split: Split, folder: Path) -> Dense:
    """Return the ranker over the same vectors, each passage's without the mean of its language's
    (see `centring`); they lie in `folder` beside what is encoded.
    """
    assert isinstance(ranker, Dense), "words have no mean"
    names = split.passages["lang"].combine_chunks().dictionary_encode()
    language = names.indices.to_numpy().astype(np.int64)
    vectors = ranker.passage_vectors
    path = folder / "centred.npy"
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=vectors.shape)
    centring.centre(vectors, language, made)
    return dataclasses.replace(ranker, passage_vectors=made)


def encode_over_ranks(
    config: Config,
    waiting: list[tuple[Stage, Prepared]],
    encoder: Encoder,
    status: Status,
    main: bool,
) -> None:
    """Encode the texts of all stages in all processes of the run, so that the first alone can go
    on.

    Not in Lightning's precision, but in the encoder's own, as one process does it.
    """
    jobs = []
    for stage, texts in {stage.vectors: (stage, texts) for stage, texts in waiting}.values():
        split = split_of(texts, config.eval.split)
        jobs += _jobs(stage.config, texts, split, stage.vectors)
    precise = dataclasses.replace(config.trainer, precision="32-true")
    alone = dataclasses.replace(config, trainer=precise)
    names = dict.fromkeys(texts.collection.name for _, texts in waiting)
    told = partial(status.encoding, ", ".join(names), _texts(jobs))
    trainer = make_trainer(alone, [])
    pad = pad_id(waiting[0][1].model)
    encoding.encode_over_ranks(trainer, jobs, encoder, pad, told if main else _untold)


def _jobs(config: Config, prepared: Prepared, split: Split, folder: Path) -> list[Job]:
    """Return what a stage has to encode."""
    content = [prepared.collection.fingerprint, prepared.collection.languages, config.eval.split]
    return jobs_of(config, prepared, split, folder, content)


def jobs_of(
    config: Config, prepared: Prepared, split: Split, folder: Path, content: Sequence[Any]
) -> list[Job]:
    """Return the two sides of a split to encode into a folder; content: see `encoding.job`."""
    most = config.eval.batch_tokens
    queries = prepared.queries
    passages = prepared.passages
    return [
        encoding.job(folder / "queries", queries, split.query_rows, most, content),
        encoding.job(folder / "passages", passages, split.passage_rows, most, content),
    ]


def _texts(jobs: list[Job]) -> int:
    return sum(len(job.rows) for job in jobs)


def _untold(_: int) -> None:
    pass
