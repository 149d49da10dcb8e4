"""One point of a sweep: train, evaluate, record.

Each stage is finished when its files are there, whole. No torch here.
"""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hybrid_sweep.config import own_parts, validate
from hybrid_sweep.config.schema import Bm25Model, Config, steps_of
from hybrid_sweep.data.pairs import ordered_pairs
from hybrid_sweep.inputs.prepare import Prepared, fingerprints_of, prepare
from hybrid_sweep.runs import finished, model_card, stages
from hybrid_sweep.runs.evaluation import evaluated
from hybrid_sweep.runs.provenance import process_age, provenance
from hybrid_sweep.runs.ranks import is_main
from hybrid_sweep.runs.stages import Stage
from hybrid_sweep.runs.status import Status
from hybrid_sweep.tracking import live
from hybrid_sweep.training import dev_history
from hybrid_sweep.utils import records, safe_paths
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import write_json
from hybrid_sweep.utils.own_code import CodeFile

if TYPE_CHECKING:  # BM25 needs no torch
    from hybrid_sweep.models.encoder import Encoder


def execute(run_dir: Path, words: Sequence[str] = ()) -> None:
    """Do what is missing of the run in `run_dir`, where config.yaml and identity.json lie:
    training, then its stages.

    Called in every process of a distributed run; all but the first leave after encoding. A stage's
    metrics.json comes last.

    Args:
        run_dir: the run's folder.
        words: permissions and parts of the user's own, which no stored config gives; see
            `validate.permitted`.
    """
    safe_paths.check_links(run_dir)
    config = validate.permitted(validate.stored(run_dir), words)
    identity = _identity(run_dir)
    own = _own_parts(config, words, identity)
    is_encoder = not isinstance(config.model, Bm25Model)
    if is_encoder:
        from hybrid_sweep.runs import fit
        from hybrid_sweep.training.parts import parts_of

        fit.settle_process(config)
        parts = parts_of(own)
    started = time.monotonic()
    age = process_age()
    main = is_main(config, os.environ)
    steps = steps_of(config)
    status = Status(run_dir / "status.json", steps)
    if main:
        status.write("starting", 0)
    prepared = prepare(config)
    fingerprints = fingerprints_of(config, prepared) | own_parts.fingerprints(own)
    if fingerprints != identity["fingerprints"]:
        raise RuntimeError(
            f"the data or the model changed since the run was planned: {identity['fingerprints']}"
            f" then, {fingerprints} now"
        )
    dev_history.check(config, prepared.collection)
    waiting = _waiting(config, run_dir, prepared)
    mirror = None
    if main:
        mirror = live.start(config, run_dir, identity["run_id"])
    try:
        encoder = None
        if waiting and is_encoder:
            encoder = fit.encoder_of(config, run_dir, prepared, status, mirror, parts)
        times = _times(run_dir, status, started, age)
        if encoder is not None:
            fit.encode_waiting(config, waiting, encoder, status)
        if not main:
            return
        notes = _Notes(fingerprints, times, mirror)
        _evaluate(config, run_dir, waiting, encoder, status, notes)
        live.finish(mirror)
        mirror = None
        if not config.keep.model:
            shutil.rmtree(run_dir / "model", ignore_errors=True)
        status.write("done", steps)
    finally:
        live.fail(mirror)


def _identity(run_dir: Path) -> dict[str, Any]:
    """Return the identity of a run; raises UserError where it is that of another."""
    identity = records.identity(run_dir)
    if identity["run_id"] != run_dir.name:
        raise UserError(
            f"{run_dir / 'identity.json'} is of run {identity['run_id']}, not of {run_dir.name}",
            key="run.other_identity",
        )
    return identity


def _own_parts(
    config: Config, words: Sequence[str], identity: dict[str, Any]
) -> dict[tuple[str, str], CodeFile]:
    """Return the files of the parts that the words name; nothing is imported yet.

    Raises:
        UserError: where a module is not there, or not what it was when the run got its id.
    """
    own = own_parts.sources(config.trainer, own_parts.folders(words))
    wanted = identity["fingerprints"].get("own_parts")
    now = own_parts.fingerprints(own).get("own_parts")
    if wanted != now:
        raise UserError(
            f"the run was planned with parts of the user's own ({wanted}), and has {now} now: a"
            " changed file is another run; a worker gets them by words, as"
            " trainer.loss=module:function folder=DIR",
            key="run.own_parts",
        )
    return own


def _waiting(config: Config, run_dir: Path, prepared: Prepared) -> list[tuple[Stage, Prepared]]:
    """Return the stages without a result, each with its texts.

    The texts of all are prepared before any is asked for its result, which depends on them.
    """
    texts = {}
    for stage in stages.of(config, run_dir):
        texts[stage.name] = stages.prepared(stage, prepared)
    pending = stages.pending(config, run_dir, run_dir.name)
    return [(stage, texts[stage.name]) for stage in pending]


def _times(run_dir: Path, status: Status, started: float, age: float) -> dict[str, float]:
    """Return what training took; where it was done by an earlier process, that one's times, not
    that of loading the model.
    """
    times = {
        "train_seconds": round(time.monotonic() - started, 3),
        "steps": status.done,
        "start_seconds": age,
    }
    if status.done:
        return times
    earlier = records.provenance(run_dir).get("times", {})
    return times | {name: earlier[name] for name in times if name in earlier}


@dataclass(frozen=True)
class _Notes:
    """What is recorded beside the results of a run.

    fingerprints: of data and model. times: of the training; those of each evaluation are added.
    mirror: in W&B.
    """

    fingerprints: dict[str, Any]
    times: dict[str, float]
    mirror: live.Mirror | None


def _evaluate(
    config: Config,
    run_dir: Path,
    waiting: Sequence[tuple[Stage, Prepared]],
    encoder: "Encoder | None",
    status: Status,
    notes: _Notes,
) -> None:
    """Evaluate the stages that are waiting, and write the results of each, its metrics.json last.

    Args:
        config: of the run, whose folder is `run_dir`.
        waiting: each stage with its texts.
        encoder: None for BM25.
        status: of the run.
        notes: what is recorded beside the results.
    """
    begun = time.monotonic()
    times = notes.times
    label = {"run_id": run_dir.name, "ratio": config.batch.cross_lingual_ratio, "seed": config.seed}
    for number, (stage, texts) in enumerate(waiting, 1):
        metrics = label | evaluated(stage, texts, encoder, status, label)
        if not stage.name:
            curve = dev_history.read(run_dir / "dev.parquet", config.eval.dev_metric)
            metrics |= {**_examples(config, run_dir), **dev_history.report(curve, status.max_steps)}
            metrics |= _training_pairs(texts)
        marks = notes.fingerprints
        if stage.name:
            marks = {"collection": texts.collection.fingerprint, "model": marks["model"]}
        if stage.vectors not in [later.vectors for later, _ in waiting[number:]]:
            shutil.rmtree(stage.vectors, ignore_errors=True)
        now = time.monotonic()
        times["evaluate_seconds"], begun = round(now - begun, 3), now
        made = provenance(stage.config, texts, marks, times)
        if average := records.merge(run_dir):
            made["merged"] = average
        write_json(stage.folder / "provenance.json", made)
        live.summarise(notes.mirror, metrics, stage.name)
        if encoder is not None and config.keep.model:
            _write_cards(run_dir, config, (stage.name, metrics), made)
        write_json(stage.folder / "metrics.json", finished.sealed(stage.folder, metrics))


def _write_cards(
    run_dir: Path, config: Config, result: tuple[str, dict[str, Any]], made: dict[str, Any]
) -> None:
    """Write the cards of the kept models with a result that is about to be stored: its metrics.json
    ends the stage.

    Args:
        run_dir: the folder of the run, whose config it is.
        config: of the run.
        result: the name of a stage, and its metrics.
        made: the provenance of that stage; the card has that of the run's own.
    """
    stage, metrics = result
    facts = model_card.stored_facts(run_dir, config)
    facts = replace(facts, results={**facts.results, stage: metrics})
    if not stage:
        facts = replace(facts, provenance=made)
    model_card.write_cards(run_dir, facts)


def _training_pairs(prepared: Prepared) -> dict[str, Any]:
    """Return how many monolingual and cross-lingual pairs of languages have training groups, where
    pairs are drawn in one order; {} elsewhere.
    """
    if not any(source.pairs.is_ordered for source in prepared.sources):
        return {}
    pairs: set[tuple[str, str]] = set()
    for source in prepared.sources:
        names = source.pairs.languages
        for asked, answered in np.argwhere(ordered_pairs(source.pairs)).tolist():
            pairs.add((names[asked], names[answered]))
    own = sum(asked == answered for asked, answered in pairs)
    return {"training_pairs": {"monolingual": own, "cross-lingual": len(pairs) - own}}


def _examples(config: Config, run_dir: Path) -> dict[str, Any]:
    """Return how many pairs of each kind entered the loss: fewer monolingual updates alone can
    degrade a model.
    """
    if not (run_dir / "steps.parquet").is_file():
        return {"examples_monolingual": 0, "examples_cross_lingual": 0}
    steps = pd.read_parquet(run_dir / "steps.parquet", columns=["n_examples", "n_cross"])
    cross = int(steps["n_cross"].sum())
    examples: dict[str, Any] = {
        "examples_monolingual": int(steps["n_examples"].sum()) - cross,
        "examples_cross_lingual": cross,
    }
    if config.batch.budget == "fixed_monolingual":
        examples |= {"budget": config.batch.budget, "added": config.batch.added}
    return examples
