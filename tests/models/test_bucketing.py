"""Sub-batches hold each text once and cost as little as any cut of the texts by length."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_sweep.models.bucketing import cuts, joined
from hybrid_sweep.models.tokens import Tokens


def cost(parts, lengths, overhead):
    return sum(overhead + len(part) * lengths[part].max() for part in parts)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=9).map(np.array),
    overhead=st.sampled_from([0, 5, 30, 1000]),
    largest=st.sampled_from([None, 1, 2, 4]),
    tokens=st.sampled_from([None, 1, 40, 90]),
)
def test_no_cut_by_length_costs_less(lengths, overhead, largest, tokens):
    found = cuts(lengths, largest, overhead, tokens)

    def fits(part):
        few = len(part) <= (largest or len(lengths))
        return few and (not tokens or len(part) == 1 or len(part) * lengths[part].max() <= tokens)

    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    assert all(fits(part) for part in found)
    order = np.argsort(lengths, kind="stable")
    every = []
    for marks in itertools.product([False, True], repeat=len(lengths) - 1):
        parts = np.split(order, np.flatnonzero(marks) + 1)
        if all(fits(part) for part in parts):
            every.append(cost(parts, lengths, overhead))
    assert cost(found, lengths, overhead) == min(every)


def test_similar_lengths_stand_together():
    """Dearer cuts are fewer; free ones leave no padding at all."""
    lengths = np.array([3, 50, 4, 49, 3, 50])
    assert [sorted(part.tolist()) for part in cuts(lengths, overhead=10)] == [[0, 2, 4], [1, 3, 5]]
    assert len(cuts(lengths, overhead=1e6)) == 1
    assert {len(set(lengths[part])) for part in cuts(lengths, overhead=0)} == {1}


def store(texts):
    return Tokens(
        np.concatenate(texts), np.concatenate([[0], np.cumsum([len(text) for text in texts])])
    )


def test_chosen_rows_of_several_stores_are_one_store():
    first = store([np.array([1, 2, 3]), np.array([4]), np.array([5, 6])])
    second = store([np.array([7, 8]), np.array([9])])
    found = joined([(first, np.array([2, 0])), (second, np.array([1, -1, 0]))])
    texts = [found.ids[a:b].tolist() for a, b in itertools.pairwise(found.starts)]
    assert texts == [[5, 6], [1, 2, 3], [9], [], [7, 8]]
    assert joined([(first, np.array([-1, -1]))]).lengths.tolist() == [0, 0]


@pytest.mark.parametrize("size", [1, 7])
def test_a_choice_of_any_size(size):
    texts = [np.arange(n % 5 + 1) + n for n in range(20)]
    rows = np.random.default_rng(0).integers(0, 20, size)
    found = joined([(store(texts), rows)])
    assert found.ids.tolist() == np.concatenate([texts[row] for row in rows]).tolist()
