"""Texts in the order of their ids: through files on disk where they are many, so that memory does
not grow with them.
"""

import contextlib
import itertools
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

CHUNK = 65_536  # rows written, filtered or hashed at a time
BUCKET = 67_108_864  # bytes of texts sorted in memory at a time
BUCKETS = 512  # files open at a time; beyond BUCKETS * BUCKET bytes of texts the buckets grow
SAMPLES = 64  # ids looked at per bucket to place its borders: buckets then differ by less than half


def sorted_by_id(table: pa.Table, work: Path | None = None) -> pa.Table:
    """Return the rows of a table in the order of its column `id`, bytewise; the table itself where
    they are in it already.

    Up to BUCKET bytes are sorted in memory. More are dealt out into files by ranges of ids, each of
    which is sorted by itself into a file in the folder `work` (None: the system's own for temporary
    files), from which the result is mapped.
    """
    if _in_order(table):
        return table
    if table.nbytes <= BUCKET:
        return table.take(pc.sort_indices(table["id"])).combine_chunks()
    # What is mapped stays readable when its file is gone, so that nothing is left to clear away.
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=work) as folder:
        buckets = _deal(table, min(BUCKETS, -(-table.nbytes // BUCKET)), Path(folder))
        target = Path(folder) / "sorted"
        with pa.ipc.new_file(str(target), table.schema) as sink:
            for bucket in buckets:
                rows = mapped(bucket)
                bucket.unlink()
                sink.write_table(rows.take(pc.sort_indices(rows["id"])), max_chunksize=CHUNK)
        return mapped(target)


def mapped(path: Path) -> pa.Table:
    """Return the table of an Arrow file, mapped from disk rather than read."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _in_order(table: pa.Table) -> bool:
    last = None
    for batch in table.select(["id"]).to_batches(max_chunksize=CHUNK):
        ids = batch["id"]
        if not len(ids):
            continue
        fine = pc.all(pc.less_equal(ids.slice(0, len(ids) - 1), ids.slice(1)), min_count=0).as_py()
        if not fine or (last is not None and not pc.less_equal(last, ids[0]).as_py()):
            return False
        last = ids[len(ids) - 1]
    return True


def _deal(table: pa.Table, count: int, folder: Path) -> list[Path]:
    """Write the rows into `count` files by ranges of ids, in ascending order; the files in that
    order.
    """
    places = np.linspace(0, len(table) - 1, min(len(table), SAMPLES * count)).astype(np.int64)
    sample = sorted(table["id"].take(pa.array(places)).to_pylist())
    borders = [sample[len(sample) * number // count] for number in range(1, count)]
    files = [folder / f"bucket-{number}" for number in range(count)]
    with contextlib.ExitStack() as stack:
        sinks = [stack.enter_context(pa.ipc.new_file(str(file), table.schema)) for file in files]
        for batch in table.to_batches(max_chunksize=CHUNK):
            for number, rows in _ranges(batch, borders):
                sinks[number].write_batch(rows)
    return files


def _ranges(batch: pa.RecordBatch, borders: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the rows of a batch that lie between two borders, with the number of the range; empty
    ranges are left out.
    """
    batch = batch.take(pc.sort_indices(batch["id"]))
    # Python compares texts by code points: the order of their UTF-8 bytes
    ids = batch["id"].to_pylist()
    cuts = [0, *(bisect_left(ids, border) for border in borders), len(ids)]
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        if stop > start:
            yield number, batch.slice(start, stop - start)
