"""The points of a sweep, each known by its run id: which they are, and how far each has come."""

import dataclasses
import importlib.util
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_sweep.batching.schedule import Plan
from hybrid_sweep.config import own_parts
from hybrid_sweep.config.schema import (
    SCHEMAS,
    Bm25Model,
    Config,
    bm25,
    cache_dir,
    run_id,
    untrained,
)
from hybrid_sweep.config.words import key_of, without
from hybrid_sweep.inputs import prepare, teacher
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.retrieval.candidates import NO_FAISS
from hybrid_sweep.runs import finished, stages, trained
from hybrid_sweep.training import checkpoint_notes, dev_history
from hybrid_sweep.utils import records
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.locks import is_held

Say = Callable[[str], None]


@dataclass(frozen=True)
class Point:
    """One run of a sweep; `run_id` follows from `config` and `fingerprints`, and `overrides`
    compose it again.
    """

    run_id: str
    kind: str  # trained | untrained | bm25
    overrides: tuple[str, ...]
    config: Config
    fingerprints: dict[str, Any]
    title: str = ""  # what it is called where it stands on no curve

    @property
    def run_dir(self) -> Path:
        return outputs_of(self.config) / "runs" / self.run_id

    @property
    def sweep_dir(self) -> Path:
        return outputs_of(self.config) / "sweeps" / self.config.sweep.name

    @property
    def place(self) -> tuple[str, float, int]:
        """Return where the point stands on the curve: its kind, ratio and seed."""
        return self.kind, self.config.batch.cross_lingual_ratio, self.config.seed

    @property
    def label(self) -> str:
        kind, ratio, seed = self.place
        if self.title:
            return self.title
        if kind == "bm25":
            return "BM25"
        return f"untrained, seed {seed}" if kind == "untrained" else f"ratio {ratio:g}, seed {seed}"


@dataclass(frozen=True)
class State:
    """How far a point has come: done | running elsewhere | failed | to do, and why it counts as
    that.

    step: of the checkpoint that its training goes on from; None where it begins, or is finished.
    """

    name: str
    reason: str
    step: int | None = None

    @property
    def shown(self) -> str:
        """Return the name, and for a point to do that has a checkpoint `resume at step k`."""
        return (
            self.name
            if self.step is None or self.name != "to do"
            else f"resume at step {self.step}"
        )


def outputs_of(config: Config) -> Path:
    """Return the absolute folder of runs/ and sweeps/."""
    return Path(config.paths.outputs).expanduser().absolute()


def expand(jobs: Sequence[tuple[tuple[str, ...], Config]], say: Say) -> list[Point]:
    """Return the points that composed jobs mean: each run id once per sweep, and where asked for
    BM25 and the untrained encoders.

    Those come first: they need no training, and show before hours of it that the evaluation works.
    Builds what is missing in the cache; raises UserError for data or a model that is not there,
    and for a part of the user's own that cannot be used.
    """
    check_parts(jobs)
    floor: dict[tuple[Path, str], Point] = {}
    trained: dict[tuple[Path, str], Point] = {}
    lexical: dict[tuple[Path, str], Point] = {}
    for overrides, config in jobs:
        alone = isinstance(config.model, Bm25Model)
        if alone or (config.sweep.bm25 and config.trainer.max_steps > 0):
            words = without(overrides, "batch.", "trainer*", "model*", "seed")
            made = bm25(config)
            marks = _fingerprints(made, say)
            point = Point(
                run_id(made, marks),
                "bm25",
                overrides if alone else (*words, "model=bm25"),
                made,
                marks,
            )
            lexical.setdefault((point.sweep_dir, point.run_id), point)
        if alone:
            continue
        marks = _fingerprints(config, say)
        if config.trainer.max_steps > 0:
            marks = marks | own_parts.fingerprints(own_parts.sources(config.trainer))
            point = Point(run_id(config, marks), "trained", overrides, config, marks)
            trained.setdefault((point.sweep_dir, point.run_id), point)
        if config.sweep.untrained or config.trainer.max_steps == 0:
            seeded = config.seed
            config = untrained(config)
            aside = ["seed"] if config.seed != seeded else []
            words = without(overrides, "batch.", "trainer.max_steps", *aside)
            marks = _fingerprints(config, say)
            point = Point(
                run_id(config, marks), "untrained", (*words, "trainer.max_steps=0"), config, marks
            )
            floor.setdefault((point.sweep_dir, point.run_id), point)
    return [*lexical.values(), *floor.values(), *trained.values()]


def check_parts(jobs: Sequence[tuple[tuple[str, ...], Config]]) -> None:
    """Import the loss and the callbacks that composed jobs name, before anything is built for them.

    Their names are the words of the command, or of files that it names.

    Raises:
        UserError: for one that is not there, or is not what a training can use.
    """
    trainers = [config.trainer for _, config in jobs if own_parts.named(config.trainer)]
    distinct = {tuple(own_parts.named(trainer)): trainer for trainer in trainers}
    for trainer in distinct.values():
        sources = own_parts.sources(trainer)
        from hybrid_sweep.training.parts import parts_of  # torch comes with it

        parts_of(sources)


_known: dict[str, dict[str, Any]] = {}


def _fingerprints(config: Config, say: Say) -> dict[str, Any]:
    """Return what names data and model, asked for once per process: the plan and the launch must
    see the same content.
    """
    drawn = config.batch.hard_negatives > 0  # else files of negatives are not read
    cache = cache_dir(config).absolute()
    asked = config.eval
    marks = [asked.also, asked.split, asked.run_depth, asked.index, asked.ivf_lists]
    checkpointed = config.trainer.gradient_checkpointing and config.trainer.max_steps > 0
    marks += [config.batch.code_switch]
    taught = _taught(config)
    key = _key(config.data, config.more, config.model, drawn, cache, marks, checkpointed, taught)
    if key not in _known:
        check_installed(config)
        main = prepare.prepare(config, say)
        if checkpointed:
            from hybrid_sweep.models.loading import check_checkpointing  # torch comes with it

            check_checkpointing(config.model, main.model)
        teacher.check(config, main, say)
        _known[key] = prepare.fingerprints_of(config, main)
        stages.check(config, main, say)
    return _known[key]


def _taught(config: Config) -> list[Any]:
    """Return what decides which scores of a teacher a run needs; [] where it has no teacher."""
    if not config.loss.distillation.weight:
        return []
    batch = config.batch
    kinds = [batch.cross_lingual_ratio < 1, batch.cross_lingual_ratio > 0]
    stated = [batch.query_languages, batch.passage_languages, batch.pairs, batch.composition]
    stated += [batch.negatives_language]
    return [config.loss.distillation, kinds, stated]


def check_installed(config: Config) -> None:
    """Raise UserError where a run needs what is not installed: Faiss to rank vectors, and what
    makes adapters.
    """
    if not isinstance(config.model, Bm25Model) and importlib.util.find_spec("faiss") is None:
        raise UserError(NO_FAISS, key="install.faiss")
    if config.model.lora_rank and importlib.util.find_spec("peft") is None:
        raise UserError(
            f"model.lora_rank={config.model.lora_rank} needs peft: pip install hybrid-sweep[lora]",
            key="install.peft",
        )


def _key(*parts: Any) -> str:
    return json.dumps(
        parts,
        default=lambda part: str(part) if isinstance(part, Path) else dataclasses.asdict(part),
    )


def check(points: Sequence[Point]) -> dict[str, Plan]:
    """Return the batch plan behind each trained point, by run id (points that differ in nothing but
    the seed share one).

    Raises UserError for a batch larger than the languages allow, and where two points of a sweep
    stand at one place.
    """
    places: dict[tuple[Path, tuple[str, float, int]], Point] = {}
    for point in points:
        twin = places.setdefault((point.sweep_dir, point.place), point)
        if twin is not point:
            key = key_of(sorted(set(point.overrides) ^ set(twin.overrides))[0])
            field = f"{key}.name" if key in SCHEMAS else key
            name = point.config.sweep.name
            hint = f", as in 'sweep.name={name}-${{{field}}}'" if "." in field else " sweep.name"
            raise UserError(
                f"sweep {name}: two points at {point.label} differ in {key}, but a sweep is one"
                f" curve over ratio and seed; give each its own{hint}",
                key="sweep.points_differ",
            )
    shared: dict[str, Plan] = {}
    plans: dict[str, Plan] = {}
    for point in (point for point in points if point.kind == "trained"):
        config = point.config
        key = _key(
            config.data,
            config.more,
            cache_dir(config),
            config.batch,
            config.trainer.max_steps,
            config.loss.alignment,
        )
        if key not in shared:
            shared[key] = plan_of(config)
        if config.eval.dev_every:
            dev_history.check(config, prepare.collection_of(config))
        plans[point.run_id] = shared[key]
    return plans


def is_done(point: Point) -> bool:
    """Return whether the results of all its stages are there, each with a metrics.json that names
    this run and what is asked.
    """
    return not missing(point)


def state_of(point: Point) -> State:
    """Return how far the point has come, from its files and its lease alone."""
    if is_done(point):
        return State("done", "has its result")
    status = records.status(point.run_dir)
    stage, step, steps = (status.get(key) for key in ("state", "step", "max_steps"))
    where = f"{stage}, step {step} of {steps}" if stage == "training" else str(stage)
    if stage == "encoding":
        where = f"encoding, text {status.get('encoded')} of {status.get('texts')}"
    if is_held(point.run_dir / "lock"):
        return State("running elsewhere", where if stage else "just started")
    reached = _checkpointed(point)
    if stage == "failed":
        return State("failed", str(status.get("error") or "unknown error"), reached)
    if stage == "done" and (left := missing(point)):
        before = f"{_training_of(point) or 'trained'}; " if point.kind == "trained" else ""
        return State("to do", before + f"to be evaluated on {_why(point, left)}")
    if not stage or stage == "done":
        return State("to do", "new", reached)
    recorded = point.kind == "trained" and (point.run_dir / trained.RECORD).is_file()
    again = _training_of(point) if recorded else None
    return State("to do", f"interrupted ({where})" + (f"; {again}" if again else ""), reached)


def _training_of(point: Point) -> str | None:
    """Return why a point is trained again, in words; None where its training is finished and
    whole.
    """
    reason = stages.untrained(point.run_dir, cache_dir(point.config))
    return f"{reason} and is trained again" if reason else None


def _why(point: Point, left: Sequence[stages.Stage]) -> str:
    """Name the evaluations that are left, each with what is wrong with its result where it
    has one.
    """
    reasons = []
    for stage in left:
        problem = (
            finished.problem(point.run_dir, stage.folder)
            if (stage.folder / "metrics.json").exists()
            else ""
        )
        reasons.append((stage.name or "its own collection") + (f" ({problem})" if problem else ""))
    return ", ".join(reasons)


def _checkpointed(point: Point) -> int | None:
    """Return the step of the newest checkpoint, by its note alone: whether it is whole is seen when
    it is read.
    """
    for note in checkpoint_notes.newest_first(point.run_dir / "checkpoints"):
        best = (
            note.best is None or checkpoint_notes.best_path(note.path.parent, note.best).is_file()
        )
        if note.run_id == point.run_id and note.file.is_file() and best:
            return note.step
    return None


def missing(point: Point) -> list[stages.Stage]:
    """Return the stages without a result."""
    return [
        stage
        for stage in stages.of(point.config, point.run_dir)
        if not stages.is_done(stage, point.run_id)
    ]


def check_outputs(config: Config) -> None:
    """Raise UserError where the runs or the sweep's folder cannot be written: seen before any work,
    not after it.

    Tried in the nearest folder that exists, so that a refused command leaves nothing behind.
    """
    outputs = outputs_of(config)
    for folder in (outputs / "runs", outputs / "sweeps" / config.sweep.name):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise UserError(
                f"paths.outputs={config.paths.outputs}: cannot write to {existing}"
                f" ({error.strerror}); set paths.outputs to a folder that can be written",
                key="config.paths.outputs",
            ) from error
