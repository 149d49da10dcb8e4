"""The public names: what a notebook or another program imports from `hybrid_sweep`.

See docs/api.md, which has an example of each.
"""

import dataclasses
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from hybrid_sweep.config import compose as composing
from hybrid_sweep.config.schema import Config, DataConfig, ModelConfig
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.inputs.batch_schedule import BatchSchedule, Examples, ScheduledBatch
from hybrid_sweep.inputs.prepare import collection_of
from hybrid_sweep.inputs.splits import rows_of
from hybrid_sweep.report import plot
from hybrid_sweep.report.sweep_tables import SweepTables, load_sweep
from hybrid_sweep.retrieval import means, per_query
from hybrid_sweep.retrieval.ranking import Dense
from hybrid_sweep.runs.opened import Run
from hybrid_sweep.sweeps import point_list, progress, recorded_points, scheduler, slots
from hybrid_sweep.utils import redaction
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError

__all__ = [
    "BatchSchedule",
    "Collection",
    "Config",
    "DataConfig",
    "Evaluation",
    "Examples",
    "ModelConfig",
    "Run",
    "ScheduledBatch",
    "SweepTables",
    "UserError",
    "compose",
    "evaluate",
    "load_collection",
    "load_sweep",
    "of_split",
    "plot",
    "points",
    "run",
    "run_sweep",
]


def compose(*words: str, config_dir: str | None = None) -> Config:
    """Return the typed config that command-line words mean, as `hybrid-sweep run` composes it.

    An experiment that is a sweep needs one value for each key that it sweeps.

    Args:
        words: overrides, as "data=synthetic" or "batch.cross_lingual_ratio=0.5".
        config_dir: a folder of one's own with further files of the config.

    Raises:
        UserError: for a word that is not known, a value that is refused, and words that mean
            several points.
    """
    composed = _composed(words, config_dir, multirun=False)
    if len(composed) != 1:
        raise UserError(
            f"these words mean {len(composed)} points: give one value to each key, or take"
            " points()",
            key="api.several_points",
        )
    return composed[0]


def points(*words: str, config_dir: str | None = None) -> list[Config]:
    """Return the typed config of each point that command-line words mean, as `hybrid-sweep run -m`
    composes them: over the seven default ratios, unless the words give others.

    Args:
        words: overrides, of which some have several values, as "seed=1,2,3".
        config_dir: a folder of one's own with further files of the config.

    Raises:
        UserError: for a word that is not known, or a value that is refused.
    """
    return _composed(words, config_dir, multirun=True)


def _composed(words: Sequence[str], config_dir: str | None, *, multirun: bool) -> list[Config]:
    jobs = composing.points(list(words), multirun=multirun, search=config_dir)
    return [config for _, config in jobs]


def load_collection(data: Config | DataConfig | str, *words: str) -> Collection:
    """Return a collection in the languages of its config, built and cached where it is not there.

    Args:
        data: a config; or `config.data`, which is looked for in the default cache and not in the
            config's own paths.cache; or the name of a collection, as "synthetic".
        words: further overrides, where `data` is a name.

    Raises:
        UserError: where its files are not there, or cannot be used; nothing is fetched.
    """
    if isinstance(data, str):
        return collection_of(compose(f"data={data}", *words))
    if words:
        raise UserError(
            "overrides go with the name of a collection: a config has its values",
            key="api.words_without_name",
        )
    if isinstance(data, Config):
        config = data
    else:
        config = dataclasses.replace(Config(), data=data)
    return collection_of(config)


def of_split(collection: Collection, split: str = "test") -> Collection:
    """Return the part of a collection that is evaluated together: the queries of a split, and the
    passages that they search.

    Args:
        collection: with a column `split`; a passage of split "*" belongs to all.
        split: train, dev or test.

    Raises:
        UserError: where a side has no text.
    """
    queries, passages = rows_of(collection, split)
    return dataclasses.replace(
        collection,
        queries=collection.queries.take(queries),
        passages=collection.passages.take(passages),
    )


@dataclass(frozen=True)
class Evaluation:
    """What vectors, or any system's, are worth on a collection.

    Args:
        per_query: a row for each setting, language pair and query that has a relevant passage.
        means: "setting/measure" to the macro mean over languages or pairs.
        report: counts and language bias, ready for JSON.
    """

    per_query: pd.DataFrame
    means: dict[str, float]
    report: dict[str, Any]


def evaluate(
    queries: NDArray[np.float32],
    passages: NDArray[np.float32],
    data: Collection,
    metrics: Sequence[str] = (),
) -> Evaluation:
    """Return the exact ranks and measures of any vectors, by dot product in float64.

    Vectors of another type are rounded to float32, in which a score is defined here.

    Args:
        queries: (Q, D) float32, one for each row of data.queries.
        passages: (P, D) float32, one for each row of data.passages.
        data: what the rows are: a collection of one split, see `of_split`.
        metrics: names of further measures, as "nDCG@20" or "R@1000".

    Raises:
        UserError: for a number of vectors that is not that of the texts, vectors that are not
            finite, a collection of several splits, and an unknown measure.
    """
    for kind, vectors, table in (
        ("query", queries, data.queries),
        ("passage", passages, data.passages),
    ):
        if vectors.ndim != 2 or len(vectors) != len(table):
            raise UserError(
                f"{kind} vectors of shape {vectors.shape} for {len(table)} texts: one row for each"
                " is needed",
                key="api.vectors",
            )
    if queries.shape[1] != passages.shape[1]:
        raise UserError(
            f"query vectors have {queries.shape[1]} numbers and passage vectors"
            f" {passages.shape[1]}",
            key="api.vectors",
        )
    splits = sorted(set(pc.unique(data.queries["split"]).to_pylist()))
    if len(splits) > 1:
        raise UserError(
            f"the queries of {data.name} are of several splits, {', '.join(splits)}: take"
            " of_split(data) first",
            key="api.several_splits",
        )
    ranker = Dense(
        np.ascontiguousarray(queries, np.float32), np.ascontiguousarray(passages, np.float32)
    )
    table, report = per_query.evaluate(
        data.queries, data.passages, data.qrels, ranker, measures=metrics
    )
    return Evaluation(table, means.macro(table), report)


def run(config: Config) -> Run:
    """Return the run of a config: trained and evaluated in a process of its own, or opened where it
    is done.

    It lies where `hybrid-sweep run` would put it, in outputs/runs/RUN_ID, and belongs to the sweep
    `config.sweep.name` only once `hybrid-sweep run` lists it there.

    Args:
        config: of one point, as `compose` gives it.

    Raises:
        UserError: for data or a model that is not there, too few GPUs, and a run that failed.
    """
    alone = dataclasses.replace(config, sweep=_alone(config))
    machine = slots.this_machine([alone], os.environ)
    slots.size(alone, machine)
    (point,) = point_list.expand([((), alone)], say)
    point_list.check_outputs(alone)
    with progress.watch(1) as view:
        scheduler.run_points([point], machine=machine, view=view)
    if not point_list.is_done(point):
        reason = point_list.state_of(point).reason
        raise UserError(
            f"run {point.run_id} failed: {reason}; see {point.run_dir / 'log.txt'}",
            key="api.run_failed",
        )
    return Run(point.run_dir, point.config)


def run_sweep(*words: str, config_dir: str | None = None) -> SweepTables:
    """Return the tables of the sweep that command-line words mean, after its points are run.

    The points are those of `hybrid-sweep run -m` with the same words, with the baselines of the
    sweep, in the same folders; those that are done are not run again. They run on this machine, as
    many at a time as `sweep.max_parallel` says.

    Args:
        words: overrides, of which some have several values, as "seed=1,2,3".
        config_dir: a folder of one's own with further files of the config.

    Raises:
        UserError: for words that are refused or mean several sweeps, data or a model that is not
            there, too few GPUs, and points that failed, whose reasons it gives.
    """
    if composing.is_search(list(words), multirun=True, search=config_dir):
        raise UserError(
            "hydra/sweeper=optuna: a search gives no tables of a sweep; run it by"
            " hybrid-sweep run -m with the same words",
            key="api.search",
        )
    jobs = composing.points(list(words), multirun=True, search=config_dir)
    configs = [config for _, config in jobs]
    _check_sweep(configs)
    machine = slots.this_machine(configs, os.environ)
    for config in configs:
        slots.size(config, machine)
        point_list.check_outputs(config)
    several = point_list.expand(jobs, say)
    recorded_points.check_sweeps(several)
    if not all(point_list.is_done(point) for point in several):
        point_list.check(several)
    command = shlex.join(["hybrid-sweep", "run", "-m", *redaction.words(list(words))])
    for note in recorded_points.record(several, command):
        say(note)
    scheduler.launch(jobs)
    missing = [point for point in several if not point_list.is_done(point)]
    if missing:
        reasons = [f"{point.run_id}: {point_list.state_of(point).reason}" for point in missing]
        raise UserError(
            f"{len(missing)} of {len(several)} points have no result: {'; '.join(reasons)}; the"
            " same call tries these again",
            key="api.points_failed",
        )
    return load_sweep(several[0].sweep_dir)


def _check_sweep(configs: Sequence[Config]) -> None:
    """Refuse configs of several sweeps, and what only the command line does."""
    if len({(config.paths.outputs, config.sweep.name) for config in configs}) > 1:
        raise UserError(
            "these words mean several sweeps: run them one by one", key="api.several_sweeps"
        )
    if configs[0].sweep.is_sequential:
        raise UserError(
            "sweep.until=settled: hybrid-sweep run adds seeds until the verdicts are settled;"
            " run_sweep runs the seeds that are named",
            key="api.sequential",
        )


def _alone(config: Config) -> Any:
    """Return the sweep's settings without the baselines that a sweep adds to its points."""
    return dataclasses.replace(config.sweep, untrained=False, bm25=False)
