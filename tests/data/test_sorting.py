"""Texts come into the order of their ids, in memory and through files, to the same rows."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.data import sorting
from hybrid_sweep.data.collection import TEXTS, make
from hybrid_sweep.data.sorting import sorted_by_id


def table(ids, chunk=7):
    rows = [
        {"id": one, "group": f"g{one}", "lang": "en", "split": "*", "text": f"text {one} " * 3}
        for one in ids
    ]
    return pa.Table.from_batches(
        pa.Table.from_pylist(rows, TEXTS).to_batches(max_chunksize=chunk), TEXTS
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5), max_size=60)
)
def test_many_texts_are_sorted_through_files_as_few_are_in_memory(ids):
    given_ = table(ids)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "BUCKET", 300)
        patch.setattr(sorting, "CHUNK", 5)
        found = sorted_by_id(given_)
    expected = sorted(given_.to_pylist(), key=lambda row: row["id"].encode())
    assert found.to_pylist() == expected and found.schema == TEXTS
    assert sorted_by_id(given_).to_pylist() == expected


def test_what_is_in_order_is_not_copied():
    ordered = table([f"{number:04d}" for number in range(100)])
    assert sorted_by_id(ordered) is ordered
    # the border of two chunks
    assert sorted_by_id(table(["b", "a"], 1)).column("id").to_pylist() == ["a", "b"]


def test_the_buckets_are_even_and_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(sorting, "BUCKET", 20_000)
    monkeypatch.setattr(sorting, "CHUNK", 100)
    ids = [f"{number}@en" for number in np.random.default_rng(0).permutation(5000)]
    dealt = []
    real = sorting._deal

    def deal(rows, count, folder):
        files = real(rows, count, folder)
        dealt.extend(
            pa.ipc.open_file(pa.memory_map(str(file))).read_all().num_rows for file in files
        )
        return files

    monkeypatch.setattr(sorting, "_deal", deal)
    found = sorted_by_id(table(ids, 100), tmp_path)
    assert found["id"].to_pylist() == sorted(ids) and list(tmp_path.iterdir()) == []
    assert len(dealt) > 10 and sum(dealt) == 5000 and max(dealt) < 1.5 * 5000 / len(dealt)


def test_the_fingerprint_is_the_same_either_way(tmp_path, monkeypatch):
    ids = [f"{number}@en" for number in range(300)]
    qrels = pa.table({"query_group": [f"g{ids[3]}"], "passage_group": [f"g{ids[5]}"], "grade": [1]})
    few = make("x", table(ids), table(ids), qrels, {})
    monkeypatch.setattr(sorting, "BUCKET", 1000)
    assert make("x", table(ids), table(ids), qrels, {}, tmp_path).fingerprint == few.fingerprint
