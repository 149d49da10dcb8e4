"""Encoding into files: the same bytes whatever the shards, the stops and who does them; nothing
twice, nothing missing.
"""

import os
import time
from itertools import pairwise

import numpy as np
import pytest
import torch

from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models import encoding
from hybrid_sweep.models.encoder import batches, encode
from hybrid_sweep.models.loading import build_encoder
from hybrid_sweep.models.tokens import pad_id
from hybrid_sweep.utils import digests


@pytest.fixture
def tiny(config, monkeypatch):
    """A prepared run and its encoder; shards of few texts."""
    torch.set_num_threads(1)
    monkeypatch.setattr(encoding, "SHARD", 800)
    made = config("data.groups=60")
    prepared = prepare(made)
    return prepared, build_encoder(made.model, prepared.model, 0), pad_id(prepared.model)


def jobs_of(prepared, folder, content=("a",)):
    """Queries and passages, by length, in batches of a few."""
    stores = {"queries": prepared.queries, "passages": prepared.passages}
    return [
        encoding.job(folder / name, tokens, np.argsort(tokens.lengths, kind="stable"), 300, content)
        for name, tokens in stores.items()
    ]


def nothing(_):
    pass


class Counting(torch.nn.Module):
    """An encoder that counts its texts, and fails, as by a kill, after so many batches."""

    reduced = None  # full precision

    def __init__(self, encoder, fails=10**9):
        super().__init__()
        self.encoder, self.fails, self.texts, self.batches = encoder, fails, 0, 0

    def forward(self, ids, mask):
        self.batches += 1
        if self.batches > self.fails:
            raise KeyboardInterrupt
        self.texts += len(ids)
        return self.encoder(ids, mask)


@pytest.mark.parametrize("budget", [1, 64, 300, 10**6])
def test_batches_hold_all_texts_once_within_the_budget_and_no_batch_could_take_one_more(budget):
    lengths = np.random.default_rng(budget).integers(1, 60, 500)
    order, bounds = batches(lengths, budget)
    assert sorted(order) == list(range(500)) and (np.diff(lengths[order]) >= 0).all()
    assert bounds[0] == 0 and bounds[-1] == 500 and (np.diff(bounds) > 0).all()
    for start, stop in pairwise(bounds):
        longest = lengths[order[start:stop]].max()
        assert (stop - start) * longest <= budget or stop - start == 1
        if stop < 500:
            assert (stop + 1 - start) * lengths[order[stop]] > budget


def test_shards_hold_all_batches_once_and_about_as_many_tokens(tiny, tmp_path):
    prepared, _, _ = tiny
    for job in jobs_of(prepared, tmp_path):
        assert len(job.shards) > 3 and job.shards[0] == 0 and job.shards[-1] == len(job.bounds) - 1
        spans = [job.texts(shard) for shard in range(len(job.shards) - 1)]
        assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])] and spans[-1][
            1
        ] == len(job.rows)
        padded = np.diff(job.bounds) * job.tokens.lengths[job.rows[job.bounds[1:] - 1]]
        tokens = np.add.reduceat(padded, job.shards[:-1])
        assert (tokens <= 800 + 300).all() and (tokens[:-1] >= 800 - 300).all()


def test_the_files_hold_what_encoding_in_memory_gives_to_the_last_bit(tiny, tmp_path):
    prepared, encoder, pad = tiny
    jobs, told = jobs_of(prepared, tmp_path), []
    encoding.encode_jobs(jobs, encoder, pad, told.append)
    for job in jobs:
        vectors = encoding.opened(job)
        assert isinstance(vectors, np.memmap) and vectors.dtype == np.float32
        assert np.array_equal(
            vectors, encode(encoder, job.tokens, job.rows, pad=pad, batch_tokens=300)
        )
    assert told == sorted(set(told)) and told[-1] == sum(len(job.rows) for job in jobs)


def test_after_a_stop_only_the_missing_shards_are_encoded_and_the_bytes_are_the_same(
    tiny, tmp_path
):
    prepared, encoder, pad = tiny
    whole, stopped = (jobs_of(prepared, tmp_path / name) for name in ("whole", "stopped"))
    encoding.encode_jobs(whole, encoder, pad, nothing)
    total = sum(len(job.rows) for job in whole)
    for fails in (5, 9, 14):
        with pytest.raises(KeyboardInterrupt):
            encoding.encode_jobs(stopped, Counting(encoder, fails), pad, nothing)
        with pytest.raises(RuntimeError, match="are not encoded"):
            encoding.opened(stopped[-1])
    shards = [(job, shard) for job in stopped for shard in job.missing()]
    left = sum(end - begin for job, shard in shards for begin, end in [job.texts(shard)])
    assert 0 < left < total
    last = Counting(encoder)
    encoding.encode_jobs(stopped, last, pad, nothing)
    # one text tells the width of an array that is not there yet
    probe = sum(not job.path.exists() for job in stopped)
    assert last.texts <= left + 1 + probe
    for one, other in zip(whole, stopped, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()
    again = Counting(encoder)
    encoding.encode_jobs(stopped, again, pad, nothing)
    assert again.texts == 0


def test_a_shard_is_marked_only_after_it_is_on_disk(tiny, tmp_path, monkeypatch):
    prepared, encoder, pad = tiny
    job, synced = jobs_of(prepared, tmp_path)[0], []
    real = os.fsync
    monkeypatch.setattr(
        os,
        "fsync",
        lambda number: (synced.append(os.readlink(f"/proc/self/fd/{number}")), real(number)),
    )

    def marks():
        return len([name for name in os.listdir(job.folder) if name.startswith("done-")])

    made, real_write = [], encoding.atomic_write

    def marked(path):
        made.append((marks(), synced.count(str(job.path))))
        return real_write(path)

    monkeypatch.setattr(encoding, "atomic_write", marked)
    encoding.encode_jobs([job], encoder, pad, nothing)
    assert made == [(shard, shard + 1) for shard in range(len(job.shards) - 1)]


def test_other_texts_are_encoded_anew(tiny, tmp_path):
    prepared, encoder, pad = tiny
    encoding.encode_jobs(jobs_of(prepared, tmp_path), encoder, pad, nothing)
    other = jobs_of(prepared, tmp_path, content=("b",))
    assert all(len(job.missing()) == len(job.shards) - 1 for job in other)
    counting = Counting(encoder)
    encoding.encode_jobs(other, counting, pad, nothing)
    assert counting.texts >= sum(len(job.rows) for job in other)
    assert all(not job.missing() for job in other)


def test_texts_in_another_order_are_refused(tiny, tmp_path):
    prepared, _, _ = tiny
    rows = np.argsort(-prepared.queries.lengths, kind="stable")
    with pytest.raises(ValueError, match="rising length"):
        encoding.job(tmp_path, prepared.queries, rows, 300, ["a"])


def flipped(path, place):
    with open(path, "r+b") as file:
        file.seek(place, os.SEEK_SET if place >= 0 else os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def encoded_again(jobs, encoder, pad):
    """How many texts were encoded to complete the jobs, beside the one that tells the width of a
    new array.
    """
    counting = Counting(encoder)
    encoding.encode_jobs(jobs, counting, pad, nothing)
    return counting.texts


def test_a_flipped_bit_in_any_shard_is_noticed_and_that_shard_alone_encoded_again(tiny, tmp_path):
    prepared, encoder, pad = tiny
    _, job = jobs_of(prepared, tmp_path)
    encoding.encode_jobs([job], encoder, pad, nothing)
    whole = job.path.read_bytes()
    width = np.load(job.path, mmap_mode="r").shape[1]
    for shard in range(len(job.shards) - 1):
        begin, end = job.texts(shard)
        stat = job.path.stat()
        flipped(
            job.path,
            len(whole) - 4 * width * (len(job.rows) - begin) + 4 * width * (end - begin) // 2,
        )
        os.utime(job.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert job.missing() == []
        with pytest.raises(RuntimeError, match="1 shards are not encoded"):
            encoding.opened(job)
        assert job.missing() == [shard] and encoded_again([job], encoder, pad) == end - begin
        assert job.path.read_bytes() == whole and not job.missing()


def other_array(job, **change):
    kept = dict(np.load(job.path, mmap_mode="r").__array_interface__)
    shape, dtype = change.get("shape", kept["shape"]), change.get("dtype", "<f4")
    np.save(job.path, np.zeros(shape, dtype, order=change.get("order", "C")))


DAMAGE = {
    "truncated": lambda job: os.truncate(job.path, job.path.stat().st_size - 4),
    "longer": lambda job: os.truncate(job.path, job.path.stat().st_size + 4),
    "emptied": lambda job: job.path.write_bytes(b""),
    "gone": lambda job: job.path.unlink(),
    "a folder": lambda job: (job.path.unlink(), job.path.mkdir()),
    "a link": lambda job: (
        job.path.rename(job.folder.parent / "away"),
        job.path.symlink_to(job.folder.parent / "away"),
    ),
    "another type": lambda job: other_array(job, dtype="<f8"),
    "another order": lambda job: other_array(job, order="F"),
    "fewer rows": lambda job: other_array(job, shape=(3, 32)),
    "another width": lambda job: other_array(job, shape=(len(job.rows), 7)),
    "one row for all": lambda job: other_array(job, shape=(len(job.rows) * 32,)),
    "pickled": lambda job: np.save(
        job.path, np.array([print] * 9, dtype=object), allow_pickle=True
    ),
    "info of other types": lambda job: (job.folder / "info.json").write_text("[3]"),
    "info without the width": (
        lambda job: (job.folder / "info.json").write_text(
            (job.folder / "info.json").read_text().replace('"width"', '"w"')
        )
    ),
    "marks of an earlier version": lambda job: [
        job.done(n).write_text("") for n in range(len(job.shards) - 1)
    ],
    "marks that are folders": lambda job: [
        (job.done(n).unlink(), job.done(n).mkdir()) for n in range(len(job.shards) - 1)
    ],
    "the folder is a link": lambda job: (
        job.folder.rename(job.folder.parent / "away"),
        job.folder.symlink_to(job.folder.parent / "away"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_vectors_that_are_not_as_they_were_made_are_encoded_again(tiny, tmp_path, damage):
    prepared, encoder, pad = tiny
    job, _ = jobs_of(prepared, tmp_path)
    encoding.encode_jobs([job], encoder, pad, nothing)
    whole = job.path.read_bytes()
    DAMAGE[damage](job)
    away = job.folder.parent / "away"
    before = (
        sorted(away.rglob("*")) if away.is_dir() else away.read_bytes() if away.exists() else None
    )
    assert encoded_again([job], encoder, pad) >= len(job.rows)
    assert job.path.read_bytes() == whole and encoding.opened(job).shape == (len(job.rows), 32)
    after = (
        sorted(away.rglob("*")) if away.is_dir() else away.read_bytes() if away.exists() else None
    )
    assert before == after, "a link was followed"


def test_vectors_that_did_not_change_are_hashed_once(tiny, tmp_path, monkeypatch):
    prepared, encoder, pad = tiny
    job, _ = jobs_of(prepared, tmp_path)
    encoding.encode_jobs([job], encoder, pad, nothing)
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(encoding, "_memory", digests.Memory(None))
    monkeypatch.setattr(digests.time, "time_ns", lambda: later)
    read, real = [], encoding.hashlib.sha256
    monkeypatch.setattr(encoding.hashlib, "sha256", lambda: read.append(1) or real())
    for _ in range(3):
        encoding.opened(job)
    assert len(read) == len(job.shards) - 1
