"""The vectors of a split, encoded once: shard by shard into files that ranking reads, resumed where
a run was stopped.

A side (queries or passages) is one array of float32 in the order in which its texts are encoded, by
length, so that a shard is one piece of it. A shard that is done is marked, with the digest of its
bytes, after it is on disk. The batches are cut by the texts alone: whoever encodes a shard, in
whatever process and after however many stops, writes the same bytes.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from hybrid_sweep.models.encoder import Encoder, batches, encode_batch
from hybrid_sweep.models.tokens import Tokens
from hybrid_sweep.utils.digests import LENGTH, Memory
from hybrid_sweep.utils.files import atomic_write, cleared, digest, read_own_json, write_json
from hybrid_sweep.utils.locks import OUTPUTS, exclusive

SHARD = 2**20  # padded tokens of a shard: seconds on a GPU, a few minutes on a CPU

BLOCK = 2**24  # bytes read at a time to compute a digest
# of the digests of shards: an evaluation of several pools opens the same vectors several times
_memory = Memory(None)

Progress = Callable[[int], None]  # told how many texts of all jobs are encoded


@dataclass(frozen=True)
class Job:
    """One side of a split to encode into `folder`.

    rows: (n,) the texts' numbers in `tokens`, by rising length. bounds: (b + 1,) where its batches
    begin and end in rows. shards: (s + 1,) likewise the shards, in the batches. mark: a hash of all
    that the vectors depend on, but the encoder, which the folder's run stands for.
    """

    folder: Path
    tokens: Tokens
    rows: NDArray[np.int64]
    bounds: NDArray[np.int64]
    shards: NDArray[np.int64]
    mark: str

    @property
    def path(self) -> Path:
        return self.folder / "vectors.npy"

    def done(self, shard: int) -> Path:
        """Return the file that says that a shard is done."""
        return self.folder / f"done-{shard:06d}"

    def texts(self, shard: int) -> tuple[int, int]:
        """Return where the texts of a shard begin and end in rows."""
        begin, end = self.bounds[self.shards[shard : shard + 2]].tolist()
        return begin, end

    def is_begun(self) -> bool:
        """Return whether the folder says that it holds the vectors of this job."""
        info = read_own_json(self.folder / "info.json")
        named = isinstance(info, dict) and (info.get("mark"), info.get("rows")) == (
            self.mark,
            len(self.rows),
        )
        return named and not self.folder.is_symlink()

    def missing(self) -> list[int]:
        """Return the shards that are not marked as done; of another content none is."""
        if not self.is_begun():
            return list(range(len(self.shards) - 1))
        there = set(os.listdir(self.folder))
        return [
            shard for shard in range(len(self.shards) - 1) if self.done(shard).name not in there
        ]


def job(
    folder: Path, tokens: Tokens, rows: NDArray[np.int64], batch_tokens: int, content: Sequence[Any]
) -> Job:
    """Return the job of encoding some texts. rows: (n,) by rising length, at least one. content:
    names the texts, for `mark`.
    """
    lengths = tokens.lengths[rows]
    order, bounds = batches(lengths, batch_tokens)
    if (order != np.arange(len(order))).any():
        raise ValueError("texts are encoded by rising length")
    padded = np.diff(bounds) * lengths[bounds[1:] - 1]
    # A shard ends with the batch that fills it.
    number = (np.cumsum(padded) - padded) // SHARD
    shards = np.concatenate([[0], np.flatnonzero(np.diff(number)) + 1, [len(number)]])
    mark = digest([*content, len(rows), int(lengths.sum()), batch_tokens, SHARD])
    return Job(folder, tokens, rows, bounds, shards, mark)


def encode_jobs(jobs: Sequence[Job], encoder: Encoder, pad: int, told: Progress) -> None:
    """Encode what is missing of the jobs, in this process alone."""
    verify(jobs)
    _encode(jobs, [(job, shard) for job in jobs for shard in job.missing()], encoder, pad, told)


def encode_over_ranks(
    trainer: pl.Trainer, jobs: Sequence[Job], encoder: Encoder, pad: int, told: Progress
) -> None:
    """Encode what is missing of the jobs in all processes of `trainer`, which starts them where
    nobody has.

    Of the missing shards rank i takes i, i + n, ... To be called in each of the processes; returns
    when all are done.
    """
    loader: Any = torch.utils.data.DataLoader([0])  # type: ignore[arg-type]
    trainer.predict(_Encoding(encoder, jobs, pad, told), loader, return_predictions=False)


def opened(job: Job) -> NDArray[np.float32]:
    """Return (n, D) the vectors of a job, mapped from disk; raises RuntimeError where some are
    missing, or not what was written.
    """
    verify([job])
    if missing := job.missing():
        raise RuntimeError(f"{job.folder}: {len(missing)} shards are not encoded")
    vectors: NDArray[np.float32] = np.load(job.path, mmap_mode="r")
    return vectors


def verify(jobs: Sequence[Job]) -> None:
    """Compare the shards that are marked as done with their digests, and take the marks from those
    that differ.

    Of a job whose array is not there, is truncated or of another shape nothing counts as done. To
    be called by one process alone, before anyone asks what is missing: hashing takes as long as
    reading.
    """
    for job in jobs:
        if not job.is_begun():
            continue
        layout = _layout(job)
        if layout is None:
            cleared(job.folder)
            continue
        offset, width = layout
        done = sorted(set(range(len(job.shards) - 1)) - set(job.missing()))
        for shard in done:
            mark = job.done(shard)
            wanted = None
            if mark.is_file():
                wanted = mark.read_text(errors="replace")
            if wanted != _digest_of(job, shard, offset, width):
                cleared(mark)


def _layout(job: Job) -> tuple[int, int] | None:
    """Return where the vectors of a job begin in its file, and how wide they are; None where the
    file is not as it was made.
    """
    if job.path.is_symlink() or not job.path.is_file():
        return None
    try:
        with open(job.path, "rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                return None
        array = np.load(job.path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    width = (read_own_json(job.folder / "info.json") or {}).get("width")
    fits = (
        isinstance(array, np.memmap)
        and array.dtype == np.float32
        and array.shape == (len(job.rows), width)
    )
    if not fits or not array.flags.c_contiguous:
        return None
    offset = int(array.offset)
    if job.path.stat().st_size == offset + array.nbytes:
        return (offset, array.shape[1])
    return None


def _digest_of(job: Job, shard: int, offset: int, width: int) -> str:
    """Return the digest of the bytes of a shard, remembered while the file of the vectors does not
    change.
    """

    def compute() -> str:
        begin, end = (offset + 4 * width * text for text in job.texts(shard))
        state = hashlib.sha256()
        with open(job.path, "rb") as file:
            file.seek(begin)
            while block := file.read(min(BLOCK, end - file.tell())):
                state.update(block)
        return state.hexdigest()[:LENGTH]

    return _memory.value_of(f"{job.path.resolve()}:{job.mark}:{shard}", [job.path], compute)


class _Encoding(pl.LightningModule):
    """Encoding as Lightning sees it, which starts the processes: one step, in which a rank does all
    of its shards.
    """

    def __init__(self, encoder: Encoder, jobs: Sequence[Job], pad: int, told: Progress) -> None:
        super().__init__()
        self.encoder, self.jobs, self.pad, self.told = encoder, jobs, pad, told

    def predict_step(self, *_: Any) -> None:
        # One rank looks for all: they share the shards by their places in one list.
        places: list[tuple[int, int]] = []
        if self.trainer.is_global_zero:
            verify(self.jobs)
            places = [
                (place, shard) for place, job in enumerate(self.jobs) for shard in job.missing()
            ]
        places = self.trainer.strategy.broadcast(places)
        mine = [
            (self.jobs[place], shard)
            for place, shard in places[self.global_rank :: self.trainer.world_size]
        ]
        _encode(self.jobs, mine, self.encoder, self.pad, self.told)
        self.trainer.strategy.barrier()


def _encode(
    jobs: Sequence[Job],
    shards: Sequence[tuple[Job, int]],
    encoder: Encoder,
    pad: int,
    told: Progress,
) -> None:
    encoder.eval()
    for job, shard in shards:
        begin, _ = job.texts(shard)
        before = sum(_texts_done(other) for other in jobs)
        state = hashlib.sha256()
        with open(_array(job, encoder, pad), "r+b") as file:
            # Not through a mapping, which writes whole pages: at its ends a shard shares one with
            # another process.
            np.lib.format.read_magic(file)
            _, width = np.lib.format.read_array_header_1_0(file)[0]
            file.seek(begin * width * 4, os.SEEK_CUR)
            for stop, vectors in _batches(job, shard, encoder, pad):
                content = vectors.tobytes()
                state.update(content)
                file.write(content)
                told(before + stop - begin)
            file.flush()
            os.fsync(file.fileno())
        with atomic_write(job.done(shard)) as temporary:
            temporary.write_text(state.hexdigest()[:LENGTH])


def _batches(job: Job, shard: int, encoder: Encoder, pad: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each batch of a shard: where it ends in the job's rows, and its vectors."""
    first, last = job.shards[shard : shard + 2].tolist()
    for start, stop in pairwise(job.bounds[first : last + 1].tolist()):
        yield stop, encode_batch(encoder, job.tokens, job.rows[start:stop], pad)


def _texts_done(job: Job) -> int:
    missing = sum(end - begin for begin, end in map(job.texts, job.missing()))
    return len(job.rows) - missing


def _array(job: Job, encoder: Encoder, pad: int) -> Path:
    """Return the file of a job's vectors, made at its full size by the first who asks, so that no
    disk is full half-way.
    """
    with exclusive(job.folder.parent / f"{job.folder.name}.lock", OUTPUTS):
        if not job.is_begun():
            cleared(job.folder)
            job.folder.mkdir(parents=True)
            width = encode_batch(encoder, job.tokens, job.rows[:1], pad).shape[1]
            np.lib.format.open_memmap(
                job.path, mode="w+", dtype=np.float32, shape=(len(job.rows), width)
            )
            with open(job.path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
            write_json(
                job.folder / "info.json", {"mark": job.mark, "rows": len(job.rows), "width": width}
            )
    return job.path
