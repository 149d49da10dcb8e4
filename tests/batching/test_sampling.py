"""What the plan draws with: exact, nested and even choices; true permutations; members without a
list of them.
"""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybrid_sweep.batching.sampling import (
    BLOCK,
    GOLDEN_64,
    Even,
    Members,
    apportioned,
    chosen,
    dealt,
    permute,
)

STARTS = st.floats(0, 1, exclude_max=True)
WORDS = st.integers(0, 2**64 - 1)


@given(steps=st.integers(0, 3000), share=st.floats(0, 1), start=STARTS)
def test_exactly_so_many_steps_are_chosen(steps, share, start):
    assert chosen(start, steps, round(share * steps)).sum() == round(share * steps)


@given(steps=st.integers(1, 500), low=st.floats(0, 1), high=st.floats(0, 1), start=STARTS)
def test_chosen_steps_are_nested(steps, low, high, start):
    low, high = sorted((round(low * steps), round(high * steps)))
    assert not (chosen(start, steps, low) & ~chosen(start, steps, high)).any()


@settings(max_examples=60, deadline=None)
@given(steps=st.integers(1, 10_000), share=st.floats(0, 1), start=STARTS)
def test_every_window_holds_its_share_to_within_five(steps, share, start):
    # The extreme windows lie between the extremes of the cumulative excess, so that all N^2 / 2 of
    # them are checked.
    count = round(share * steps)
    excess = np.concatenate([[0], np.cumsum(chosen(start, steps, count) - count / steps)])
    assert excess.max() - excess.min() <= 5


@given(shares=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9), steps=st.integers(0, 10_000))
def test_steps_are_apportioned_by_largest_remainder(shares, steps):
    counts = apportioned(shares, steps)
    quotas = np.array(shares) / sum(shares) * steps
    assert sum(counts) == steps and (abs(np.array(counts) - quotas) < 1 + 1e-9).all()
    rest, up = quotas - np.floor(quotas), np.array(counts) > np.floor(quotas)
    if up.any() and not up.all():
        assert rest[up].min() >= rest[~up].max() - 1e-9


def test_apportioned_by_hand():
    assert apportioned([1, 1, 1], 10) == [4, 3, 3] and apportioned([0.1, 0.2], 30) == [10, 20]
    assert apportioned([5, 3, 1], 4) == [2, 1, 1] and apportioned([1e9, 1], 3) == [3, 0]


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 2500), min_size=1, max_size=4), start=STARTS)
def test_each_owner_has_its_steps_spread_evenly(counts, start):
    owner = dealt(start, counts)
    assert np.bincount(owner, minlength=len(counts)).tolist() == counts
    for index, count in enumerate(counts):
        excess = np.concatenate([[0], np.cumsum((owner == index) - count / max(1, len(owner)))])
        assert excess.max() - excess.min() <= 8


@pytest.mark.parametrize("shares", [[1, 1], [1, 3], [1, 2, 5]])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_kinds_and_owners_are_jointly_even(shares, share):
    """The same irrational for both would give one owner nearly all of the chosen steps."""
    draw, steps = np.random.default_rng(0), 4000
    for _ in range(4):
        counts = apportioned(shares, steps)
        owner, kind = (
            dealt(draw.random(), counts),
            chosen(draw.random(), steps, round(share * steps)),
        )
        for index, count in enumerate(counts):
            excess = np.cumsum(((owner == index) & kind) - share * count / steps)
            assert abs(excess).max() <= 15


@settings(deadline=None)
@given(start=WORDS, length=st.integers(0, 400), share=st.floats(0, 1))
@example(start=0, length=3, share=0.0)  # the least key there is, not chosen
@example(start=2**64 - 1, length=3, share=1.0)  # the largest, chosen
def test_even_choices_are_those_with_the_smallest_keys(start, length, share):
    count = round(share * length)
    keys = [(start + number * GOLDEN_64) % 2**64 for number in range(length)]
    found = Even.of(start, length, count).has(np.arange(length))
    assert set(np.flatnonzero(found).tolist()) == set(
        sorted(range(length), key=keys.__getitem__)[:count]
    )


@settings(max_examples=30, deadline=None)
@given(start=WORDS, steps=st.integers(0, 300), size=st.integers(1, 70), share=st.floats(0, 1))
def test_even_choices_are_counted_step_by_step(start, steps, size, share):
    even = Even.of(start, steps * size, round(share * steps * size))
    expected = even.has(np.arange(steps * size)).reshape(steps, size).sum(axis=1) if steps else []
    assert even.per_step(steps, size).tolist() == list(expected)


def test_even_choices_of_very_many_are_exact_and_their_counts_cross_the_chunks():
    even = Even.of(3, 1500 * 4096, 2_222_222)
    counts = even.per_step(1500, 4096)
    assert counts.sum() == 2_222_222 and counts.max() - counts.min() <= 6
    steps = np.array([0, 63, 64, 65, 1499])  # 64 steps of 4,096 are counted at once
    numbers = steps[:, None] * 4096 + np.arange(4096)
    assert (even.has(numbers).sum(axis=1) == counts[steps]).all()


@settings(max_examples=40, deadline=None)
@given(start=WORDS, length=st.integers(1, 50_000), share=st.floats(0, 1))
def test_every_window_of_even_choices_holds_its_share(start, length, share):
    count = round(share * length)
    excess = np.concatenate(
        [[0], np.cumsum(Even.of(start, length, count).has(np.arange(length)) - count / length)]
    )
    assert excess.max() - excess.min() <= 6


@pytest.mark.parametrize("groups", [1, 17, BLOCK, 3 * BLOCK + 5])
@pytest.mark.parametrize("joined", [[(0, 1)], [(1, 1)], [(0, 1), (1, 2)], [(0, 1), (2, 3)]])
def test_members_are_those_of_a_list(groups, joined):
    draw = np.random.default_rng(groups)
    present = draw.random((4, groups)) < 0.4
    present[:, BLOCK : 2 * BLOCK] &= draw.random() < 0.5  # a block may be empty
    pairs = np.zeros((4, 4), dtype=bool)
    for a, b in joined:
        pairs[a, b] = pairs[b, a] = True
    expected = np.flatnonzero(np.any([present[a] & present[b] for a, b in joined], axis=0))
    members = Members.of(present, pairs)
    places = draw.permutation(len(expected))
    assert len(members) == len(expected) and (members.take(places) == expected[places]).all()
    full = Members.of(np.ones((4, groups), bool), pairs)
    assert (full.take(np.arange(groups)) == np.arange(groups)).all() and len(full) == groups


def test_members_across_the_strides_of_counting(monkeypatch):
    from hybrid_sweep.batching import sampling

    monkeypatch.setattr(sampling, "BLOCK", 8)
    monkeypatch.setattr(sampling, "STRIDE", 16)
    present = np.random.default_rng(0).random((2, 101)) < 0.6
    members = Members.of(present, ~np.eye(2, dtype=bool))
    assert (
        members.take(np.arange(len(members))).tolist()
        == np.flatnonzero(present.all(axis=0)).tolist()
    )


@settings(max_examples=80, deadline=None)
@given(size=st.integers(1, 3000), word=st.integers(0, 2**32 - 1))
def test_the_keyed_permutation_is_one(size, word):
    places = permute(np.arange(size), size, np.random.SeedSequence(word))
    assert (np.sort(places) == np.arange(size)).all()


def test_the_keyed_permutation_looks_random():
    """Mean displacement, fixed points and serial correlation of many keys are those of uniform
    permutations.
    """
    size, keys = 997, 200
    drawn = np.stack(
        [permute(np.arange(size), size, np.random.SeedSequence([5, key])) for key in range(keys)]
    )
    assert abs((drawn == np.arange(size)).sum() / keys - 1) < 5 * (1 / keys) ** 0.5
    serial = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in drawn]
    assert abs(np.mean(serial)) < 5 / (size * keys) ** 0.5 + 1 / size
    first = np.histogram(drawn[:, 0], bins=10, range=(0, size))[0]
    assert ((first - keys / 10) ** 2 / (keys / 10)).sum() < 30


def test_forty_million_pairs_cost_the_memory_of_the_places():
    places = permute(np.arange(64), 40_000_000, np.random.SeedSequence(1))
    assert len(set(places.tolist())) == 64 and places.max() < 40_000_000
