"""Nothing that is published or computed moves when code does; see tests/golden.py."""

import copy
import json

import pytest

from tests import golden


@pytest.fixture
def stored():
    return json.loads(golden.STORED.read_text())


def test_the_run_ids_of_every_experiment_are_the_stored_ones(stored):
    assert golden.run_ids() == stored["experiments"]


def test_what_is_published_is_what_was_published(stored):
    assert golden.published() == stored["published"]


@pytest.mark.slow
def test_the_tables_of_a_small_sweep_are_the_stored_ones(stored, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_SWEEP_CACHE", str(tmp_path / "cache"))
    now = golden.found(tmp_path)
    assert golden.differences(stored, now) == []
    assert len(now["bm25"]) >= 4 and len(now["encoders"]) >= 30


@pytest.mark.parametrize("part", ["experiments", "published", "bm25", "encoders"])
@pytest.mark.parametrize("change", ["another value", "gone", "new"])
def test_a_difference_is_told(stored, part, change):
    now = copy.deepcopy(stored)
    name = min(now[part])
    if change == "new":
        now[part]["x"] = "y"
    elif change == "gone":
        del now[part][name]
    else:
        now[part][name] = "y"
    assert len(golden.differences(stored, now)) == 1
    if part == "encoders":  # vectors of another processor differ in their last digits
        assert golden.differences(stored, now | {"processor": "another"}) == []
