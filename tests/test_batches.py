"""The plan's words, one by one: exact, nested, even, paired, without replacement, independent of neighbours and of N."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.batches import chosen, make_plan, permute
from hybrid_sweep.errors import UserError

RATIOS = st.floats(0, 1, allow_nan=False).map(lambda r: round(r, 6))


def presence(groups: int = 400, languages: int = 4, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    draw = np.random.default_rng(seed)
    share = np.linspace(1.0, 0.5, languages)
    return draw.random((languages, groups)) < share[:, None], [f"l{index}" for index in range(languages)]


def plan(ratio: float = 0.5, *, seed: int = 7, steps: int = 200, batch: int = 16, **more):
    present, languages = presence()
    return make_plan(present, languages, seed=seed, steps=steps, batch_size=batch, ratio=ratio, **more)


@given(steps=st.integers(0, 3000), ratio=RATIOS, start=st.floats(0, 1, exclude_max=True))
def test_exactly_round_r_n_steps_are_cross_lingual(steps, ratio, start):
    assert chosen(start, steps, ratio).sum() == round(ratio * steps)


@given(steps=st.integers(1, 500), low=RATIOS, high=RATIOS, start=st.floats(0, 1, exclude_max=True))
def test_the_cross_lingual_steps_are_nested_in_the_ratio(steps, low, high, start):
    low, high = sorted((low, high))
    assert not (chosen(start, steps, low) & ~chosen(start, steps, high)).any()


@settings(max_examples=60, deadline=None)
@given(steps=st.integers(1, 10_000), ratio=RATIOS, start=st.floats(0, 1, exclude_max=True))
def test_every_window_holds_its_share_to_within_five(steps, ratio, start):
    # The extreme windows lie between the extremes of the cumulative excess, so that all N^2 / 2 of them are checked.
    excess = np.concatenate([[0], np.cumsum(chosen(start, steps, ratio) - ratio)])
    assert excess.max() - excess.min() <= 5


@settings(max_examples=20, deadline=None)
@given(ratio=RATIOS, seed=st.integers(0, 2**32 - 1))
def test_the_ratio_changes_the_passage_language_and_nothing_else(ratio, seed):
    zero, some = plan(0.0, seed=seed), plan(ratio, seed=seed)
    assert (zero.query_language == some.query_language).all()
    assert all((zero.groups(step) == some.groups(step)).all() for step in range(0, 200, 17))
    assert (some.passage_language[~some.cross] == zero.passage_language[~some.cross]).all()
    assert (some.passage_language[some.cross] != some.query_language[some.cross]).all()
    assert (zero.passage_language == zero.query_language).all()


def test_groups_of_a_batch_are_distinct_and_exist_in_both_languages():
    present, _ = presence()
    some = plan(0.5)
    for step in range(len(some)):
        groups = some.groups(step)
        assert len(set(groups.tolist())) == some.batch_size
        assert present[some.first[step], groups].all() and present[some.second[step], groups].all()


def test_a_pass_walks_each_group_at_most_once_and_the_next_pass_in_another_order():
    present, _ = presence(groups=100, languages=2)
    two = make_plan(present, ["a", "b"], seed=1, steps=60, batch_size=8, ratio=0.5)
    both = np.flatnonzero(present.all(axis=0))
    per_pass = len(both) // 8
    passes = [
        np.concatenate([two.groups(step) for step in range(lap * per_pass, (lap + 1) * per_pass)]) for lap in range(3)
    ]
    for walked in passes:
        assert len(set(walked.tolist())) == len(walked) == per_pass * 8
        assert set(walked.tolist()) <= set(both.tolist())
    assert (passes[0] != passes[1]).any() and (passes[1] != passes[2]).any()
    assert set(np.concatenate(passes).tolist()) == set(both.tolist())  # what one pass leaves over, another takes


def test_both_directions_of_a_pair_share_one_walk():
    two = make_plan(np.ones((2, 64), bool), ["a", "b"], seed=3, steps=4, batch_size=16, ratio=1.0)
    assert {0, 1} == set(two.first.tolist()) or len(set(two.first.tolist())) == 1
    assert len({group for step in range(4) for group in two.groups(step).tolist()}) == 64


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 2), lap=st.integers(1, 20))
def test_neighbouring_seeds_share_no_permutation(seed, lap):
    """seed + epoch would make pass 1 of seed s the pass 0 of seed s + 1."""
    ones = np.ones((2, 64), bool)
    here = make_plan(ones, ["a", "b"], seed=seed, steps=64, batch_size=32, ratio=0.5)
    there = make_plan(ones, ["a", "b"], seed=seed + 1, steps=64, batch_size=32, ratio=0.5)
    assert (here.groups(2 * lap) != there.groups(2 * (lap - 1))).any()
    assert (here.groups(2 * lap) != there.groups(2 * lap)).any()
    assert (here.groups(2 * lap) != here.groups(2 * (lap - 1))).any()


def test_neighbouring_seeds_agree_no_more_than_chance():
    agree = [
        np.mean(plan(0.5, seed=seed, steps=2000).first == plan(0.5, seed=seed + 1, steps=2000).first)
        for seed in range(5)
    ]
    assert abs(np.mean(agree) - 0.25) < 5 * (0.25 * 0.75 / 10_000) ** 0.5


def test_a_step_does_not_depend_on_the_length_of_the_run_but_for_its_kind():
    short, long = plan(0.5, steps=50), plan(0.5, steps=500)
    assert (short.first == long.first[:50]).all() and (short.second == long.second[:50]).all()
    assert all((short.groups(step) == long.groups(step)).all() for step in range(50))


def test_uniform_languages_and_partners_are_drawn_evenly():
    some = plan(0.5, steps=12_000)
    pairs, counts = np.unique(np.stack([some.first, some.second]), axis=1, return_counts=True)
    assert pairs.shape[1] == 12
    assert (abs(counts - 1000) < 5 * 1000**0.5).all()


def test_languages_by_size():
    present = np.ones((3, 1000), bool)
    present[1, 500:] = False
    present[2, 250:] = False
    some = make_plan(present, list("abc"), seed=0, steps=7000, batch_size=8, ratio=0.5, language_exponent=1.0)
    assert np.allclose(np.bincount(some.first) / 7000, [4 / 7, 2 / 7, 1 / 7], atol=0.03)
    by_size = make_plan(present, list("abc"), seed=0, steps=7000, batch_size=8, ratio=0.5, partner="size")
    assert np.isclose(np.mean(by_size.second[by_size.first == 0] == 1), 2 / 3, atol=0.05)


def test_pivot_only():
    some = plan(1.0, partner="pivot", pivot="l2")
    assert ((some.first == 2) | (some.second == 2)).all() and (some.first != some.second).all()


def test_pairs_that_share_too_little_are_left_out_and_listed():
    present = np.ones((3, 100), bool)
    present[2, 10:] = False
    some = make_plan(present, list("abc"), seed=0, steps=50, batch_size=16, ratio=0.5)
    assert some.left_out == {("a", "c"): 10, ("b", "c"): 10}
    assert set(some.first.tolist()) == {0, 1}


def test_a_batch_larger_than_every_pair_is_refused_with_the_number():
    present = np.ones((2, 30), bool)
    present[1, 20:] = False
    with pytest.raises(UserError, match=r"batch.size=32: .* at most 20"):
        make_plan(present, ["a", "b"], seed=0, steps=5, batch_size=32, ratio=0.5)


def test_one_language_walks_its_own_groups():
    one = make_plan(np.ones((1, 40), bool), ["a"], seed=0, steps=10, batch_size=8, ratio=0.0)
    assert not one.cross.any() and (one.passage_language == 0).all()
    assert len({group for step in range(5) for group in one.groups(step).tolist()}) == 40


def test_all_groups_lets_monolingual_steps_use_groups_of_one_language():
    present = np.zeros((2, 300), bool)
    present[0] = True
    present[1, :64] = True
    shared, everything = (
        make_plan(present, ["a", "b"], seed=0, steps=100, batch_size=16, ratio=0.5, groups=groups)
        for groups in ("shared", "all")
    )
    reach = [max(plan.groups(step).max() for step in range(100)) for plan in (shared, everything)]
    assert reach[0] < 64 <= reach[1]
    assert all(everything.groups(step).max() < 64 for step in np.flatnonzero(everything.cross))


@settings(max_examples=80, deadline=None)
@given(size=st.integers(1, 3000), word=st.integers(0, 2**32 - 1))
def test_the_keyed_permutation_is_one(size, word):
    places = permute(np.arange(size), size, np.random.SeedSequence(word))
    assert (np.sort(places) == np.arange(size)).all()


def test_the_keyed_permutation_looks_random():
    """Mean displacement, fixed points and serial correlation of many keys are those of uniform permutations."""
    size, keys = 997, 200
    drawn = np.stack([permute(np.arange(size), size, np.random.SeedSequence([5, key])) for key in range(keys)])
    assert abs((drawn == np.arange(size)).sum() / keys - 1) < 5 * (1 / keys) ** 0.5
    serial = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in drawn]
    assert abs(np.mean(serial)) < 5 / (size * keys) ** 0.5 + 1 / size
    first = np.histogram(drawn[:, 0], bins=10, range=(0, size))[0]
    assert ((first - keys / 10) ** 2 / (keys / 10)).sum() < 30


def test_forty_million_pairs_cost_the_memory_of_the_places():
    places = permute(np.arange(64), 40_000_000, np.random.SeedSequence(1))
    assert len(set(places.tolist())) == 64 and places.max() < 40_000_000
