"""Checkpoints of a training: atomic, rotated, checked; a run that goes on from one is bit-equal to
one that never stopped.

The batches and the dropout of a step are functions of (seed, step), so that weights, optimiser,
schedule, the scale of the losses (16-mixed), the record and the evaluations so far are all there is
to keep. The weights of the best evaluation lie beside the checkpoints, one file a step: a
checkpoint from before the newest best still finds its own.
"""

import contextlib
import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

from hybrid_sweep.training import checkpoint_notes
from hybrid_sweep.training.checkpoint_notes import KEEP
from hybrid_sweep.training.dev_history import History
from hybrid_sweep.training.loss import gather
from hybrid_sweep.utils.files import atomic_write, cleared, file_digest
from hybrid_sweep.utils.slurm_job import TOLD

log = logging.getLogger("hybrid_sweep")


class Preempted(SystemExit):
    """The run was told to stop and has written a checkpoint.

    The exit code of the first process is the shell's for SIGTERM. The others leave with 0: who
    started them (srun, Lightning) would take another code for a crash, and kill the first one while
    it still closes its mirror.
    """

    def __init__(self, first: bool = True) -> None:
        super().__init__(128 + signal.SIGTERM if first else 0)


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """Ignore further stop signals once a training was told to stop.

    A cluster tells the ranks, and then their driver tells them again; Lightning has put back the
    handlers of before by then, and the second word would kill a process that is closing its mirror.
    """
    try:
        yield
    except Preempted:
        for number in TOLD:
            signal.signal(number, signal.SIG_IGN)
        raise


def save(
    folder: Path, run_id: str, step: int, state: dict[str, Any], best: int | None = None
) -> None:
    """Write the state after `step` steps with its checksum, and remove all but the newest KEEP
    checkpoints.

    best: the step of the best evaluation so far.
    """
    path = folder / f"step-{step:08d}.pt"
    with atomic_write(path) as temporary:
        torch.save(state, temporary)
        checksum = file_digest(temporary, checkpoint_notes.LENGTH)
    checkpoint_notes.write(folder, run_id, step, checksum, best)
    _rotate(folder, step)
    _drop_best(folder, best)


def _rotate(folder: Path, step: int) -> None:
    """Remove all but the newest KEEP checkpoints up to a step, and those beyond it, which were
    damaged or are to be redone.

    Files of other names are none of ours, and stay: the folder is removed when the training is
    finished.
    """
    paths = [
        path for path in folder.glob("step-*.json") if checkpoint_notes.STEP.fullmatch(path.name)
    ]
    at = {path: int(path.stem.removeprefix("step-")) for path in paths}
    kept = sorted((path for path in paths if at[path] <= step), key=lambda path: at[path])[-KEEP:]
    for path in paths:
        if path not in kept:
            cleared(path)
            cleared(path.with_suffix(".pt"))


def newest(folder: Path, run_id: str) -> tuple[int, dict[str, Any]] | None:
    """Return the step and state of the newest whole checkpoint of this run; others are passed over
    with a warning.

    One whose best weights are lost or damaged is not whole: to go on from it would end with other
    weights, or none. Raises RuntimeError for a checkpoint of another run.
    """
    for note in checkpoint_notes.newest_first(folder, warn=True):
        if note.run_id != run_id:
            raise RuntimeError(
                f"{note.path} is a checkpoint of run {note.run_id}, not of {run_id}; remove"
                f" {folder}"
            )
        state = _state(note)
        if state is not None:
            return note.step, state
        log.warning("checkpoint %s is damaged; going on from the one before it", note.file.name)
    return None


def _state(note: checkpoint_notes.Note) -> dict[str, Any] | None:
    """Return what a checkpoint holds; None where it, or the best weights it goes on with, are not
    what was written.
    """
    if not checkpoint_notes.is_whole(note):
        return None
    try:
        # weights_only: a checkpoint is data; nothing in it may run code.
        state = torch.load(note.file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is no checkpoint
        log.warning("%s cannot be loaded (%s)", note.file, type(error).__name__)
        return None
    if isinstance(state, dict):
        return state
    return None


def save_best(folder: Path, step: int, weights: dict[str, Any]) -> None:
    """Write the weights of the best evaluation so far, which was after `step` steps; those no
    checkpoint names go.
    """
    with atomic_write(checkpoint_notes.best_path(folder, step)) as temporary:
        torch.save(weights, temporary)
        checksum = file_digest(temporary, checkpoint_notes.LENGTH)
    checkpoint_notes.seal_best(folder, step, checksum)
    _drop_best(folder, step)


def load_best(folder: Path, step: int) -> dict[str, Any]:
    """Return the weights that `save_best` wrote at this step.

    Raises:
        RuntimeError: where they are not there, or not what was written: the run, started again,
            goes on from a checkpoint whose best weights are whole, or from the beginning.
    """
    path = checkpoint_notes.best_path(folder, step)
    wanted = checkpoint_notes.best_digest(folder, step)
    if wanted is None or not checkpoint_notes.holds(path, wanted):
        raise RuntimeError(
            f"{path} is lost or damaged; started again, the run goes on from an earlier checkpoint"
        )
    weights: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _drop_best(folder: Path, current: int | None) -> None:
    """Remove all best weights but the current ones and those that a checkpoint would go on with."""
    named = {current} | {note.best for note in checkpoint_notes.newest_first(folder)}
    for file in folder.glob("best-*.pt"):
        step = checkpoint_notes.best_step(file)
        if step is not None and step not in named:
            cleared(file)
            cleared(file.with_suffix(".json"))


class Checkpointing(pl.Callback):
    """Saves every `seconds` and when the process is told to stop; restores what `resume` says
    before the first step.

    SIGTERM tells it, or a cluster's warning. `seconds` is of the main process's clock; in a
    distributed run the other ranks keep no files. history: the evaluations so far, as the callback
    that evaluates fills it.
    """

    def __init__(
        self,
        folder: Path,
        run_id: str,
        seconds: float,
        resume: tuple[int, dict[str, Any]] | None,
        history: History,
    ) -> None:
        self.folder, self.run_id, self.seconds, self.resume, self.history = (
            folder,
            run_id,
            seconds,
            resume,
            history,
        )
        self.saved = time.monotonic()
        self.told_to_stop = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module: Any = pl_module
        if self.resume is not None:
            state = self.resume[1]
            trainer.optimizers[0].load_state_dict(state["optimizer"]["state"])
            trainer.lr_scheduler_configs[0].scheduler.load_state_dict(state["schedule"])
            if scale := state.get("precision"):
                trainer.precision_plugin.load_state_dict(scale)
            module.record[:] = state["record"]
            self.history.rows[:] = state["evaluations"]
        for number in TOLD:
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.told_to_stop = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        module: Any = pl_module
        # as all ranks know it: a word that comes from here on counts after the next step
        stop = self.told_to_stop
        if trainer.world_size > 1:
            # All ranks stop after the same step, or the others would wait for the first for ever.
            stop = bool(gather(torch.tensor([float(stop)], device=pl_module.device)).any())
        due = time.monotonic() - self.saved > self.seconds or stop
        if due and trainer.is_global_zero:
            state = {
                "weights": module.encoder.state_dict(),
                "optimizer": optimizer_state(module, trainer.optimizers[0]),
                "schedule": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
                # by how much 16-mixed scales its losses
                "precision": trainer.precision_plugin.state_dict(),
                "record": module.record,
                "evaluations": self.history.rows,
            }
            save(self.folder, self.run_id, len(module.record), state, self.history.best)
            self.saved = time.monotonic()
        if stop:
            if trainer.world_size > 1:
                # Nobody leaves while another still asks whether to stop, or waits for the
                # checkpoint: a connection that closes under it would fail the run.
                with contextlib.suppress(RuntimeError):  # of those who have left just now
                    torch.distributed.barrier()
            raise Preempted(trainer.is_global_zero)


def optimizer_state(module: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return what the optimiser remembers, as tensors and plain values.

    state: its state dict. names: of the weights it numbers, in their order. rows: the rows of the
    table of embeddings that were trained, where the vocabulary was compacted, else None.
    """
    names = {id(weight): name for name, weight in module.named_parameters()}
    ordered = [names[id(weight)] for group in optimizer.param_groups for weight in group["params"]]
    rows = None
    if module.vocabulary:
        rows = module.vocabulary.used
    return {"state": optimizer.state_dict(), "names": ordered, "rows": rows}
