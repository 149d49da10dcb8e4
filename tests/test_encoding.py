"""Encoding into files: the same bytes whatever the shards, the stops and who does them; nothing twice, nothing missing."""

import os
from itertools import pairwise

import numpy as np
import pytest
import torch

from hybrid_sweep import encoding
from hybrid_sweep.encoder import batches, encode
from hybrid_sweep.models import build_encoder
from hybrid_sweep.prepare import prepare
from hybrid_sweep.tokens import pad_id


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
        assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])] and spans[-1][1] == len(job.rows)
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
        assert np.array_equal(vectors, encode(encoder, job.tokens, job.rows, pad=pad, batch_tokens=300))
    assert told == sorted(set(told)) and told[-1] == sum(len(job.rows) for job in jobs)


def test_after_a_stop_only_the_missing_shards_are_encoded_and_the_bytes_are_the_same(tiny, tmp_path):
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
    probe = sum(not job.path.exists() for job in stopped)  # one text tells the width of an array that is not there yet
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
        os, "fsync", lambda number: (synced.append(os.readlink(f"/proc/self/fd/{number}")), real(number))
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
