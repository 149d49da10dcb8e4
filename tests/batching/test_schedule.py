"""The plan's words, one by one: exact, nested, paired, without replacement, independent of
neighbours and of N.
"""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.batching.schedule import BatchDesign, Source, make_plan
from tests.refused import refused

RATIOS = st.floats(0, 1, allow_nan=False).map(lambda r: round(r, 6))
SEEDS = st.integers(0, 2**32 - 1)
COMPOSITIONS = ["per_batch", "per_example"]
ADDED = st.sampled_from([0.0, 0.05, 0.1, 0.33, 1.0, 1.7, 3.0])


def presence(groups: int = 400, languages: int = 4, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    draw = np.random.default_rng(seed)
    share = np.linspace(1.0, 0.5, languages)
    return draw.random((languages, groups)) < share[:, None], [
        f"l{index}" for index in range(languages)
    ]


def one(present, languages, *, seed=0, steps, batch_size, ratio=0.5, **more):
    source = Source("only", present)
    return make_plan(
        [source],
        languages,
        BatchDesign(seed=seed, steps=steps, batch_size=batch_size, ratio=ratio, **more),
    )


def plan(ratio: float = 0.5, *, seed: int = 7, steps: int = 200, batch: int = 16, **more):
    present, languages = presence()
    return one(present, languages, seed=seed, steps=steps, batch_size=batch, ratio=ratio, **more)


def two_sources(ratio: float = 0.5, *, seed: int = 7, steps: int = 60, shares=(1.0, 3.0), **more):
    large, languages = presence()
    small = presence(groups=150, seed=1)[0]
    small[3] = False  # it lacks a language
    sources = [Source("large", large, shares[0]), Source("small", small, shares[1])]
    return make_plan(
        sources, languages, BatchDesign(seed=seed, steps=steps, batch_size=16, ratio=ratio, **more)
    )


def same(one, other, but=()):
    names = {"source", "groups", "query_language", "passage_language", "partner"} - set(but)
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


# Made by the code as it was before there were sources, compositions and budgets: no seed may give
# another plan.
PINNED = {
    "92f0468b3191adb5": {"seed": 7, "ratio": 0.5},
    "6965c1e61828cd59": {"seed": 4294967295, "ratio": 0.1},
    "5353478b49ae5e88": {"seed": 0, "ratio": 0.0},
    "2c8433b6779c83ba": {"seed": 1, "ratio": 1.0, "language_exponent": 0.7},
    "ce688ac294b1d380": {"seed": 2, "ratio": 0.75, "partner": "size", "language_exponent": 1.0},
    "6ad3448736c18124": {"seed": 3, "ratio": 0.333333, "partner": "pivot", "pivot": "l2"},
    "cd4d15d794d1151e": {"seed": 4, "ratio": 0.25, "groups": "all"},
}


@pytest.mark.parametrize("digest", PINNED)
def test_the_plan_of_a_seed_never_changes(digest):
    """Red means that every stored run of this seed would now train on other batches: raise
    RECIPE_VERSION or take it back.
    """
    made, state = plan(steps=120, **PINNED[digest]), hashlib.sha256()
    for step in range(len(made)):
        batch = made.batch(step)
        for array in (batch.groups, batch.query_language, batch.passage_language, batch.partner):
            state.update(array.astype("<i8").tobytes())
        state.update(np.array([made.n_cross[step]], "<i8").tobytes())
    assert state.hexdigest()[:16] == digest


@settings(max_examples=30, deadline=None)
@given(ratio=RATIOS, seed=SEEDS, steps=st.integers(0, 60))
@pytest.mark.parametrize("composition", COMPOSITIONS)
@pytest.mark.parametrize("make", [plan, two_sources])
def test_exactly_the_share_is_cross_lingual(make, composition, ratio, seed, steps):
    some = make(ratio, seed=seed, steps=steps, composition=composition)
    counts = [
        (batch.query_language != batch.passage_language).sum()
        for batch in map(some.batch, range(steps))
    ]
    assert counts == some.n_cross.tolist() and len(some) == steps
    if composition == "per_batch":
        assert set(counts) <= {0, 16} and sum(counts) == 16 * round(ratio * steps)
    else:
        assert sum(counts) == round(ratio * steps * 16)


@settings(max_examples=20, deadline=None)
@given(low=RATIOS, high=RATIOS, seed=SEEDS)
@pytest.mark.parametrize("composition", COMPOSITIONS)
@pytest.mark.parametrize("make", [plan, two_sources])
def test_the_ratio_changes_the_passage_languages_and_nothing_else(
    make, composition, low, high, seed
):
    """And it is nested: what is cross-lingual at a ratio is so at every higher one."""
    low, high = sorted((low, high))
    plans = [make(ratio, seed=seed, composition=composition) for ratio in (low, high)]
    for step in range(0, 60, 7):
        less, more = (plan.batch(step) for plan in plans)
        assert same(less, more, but=["passage_language"])
        crosses = [batch.query_language != batch.passage_language for batch in (less, more)]
        assert not (crosses[0] & ~crosses[1]).any()
        for batch, cross in zip((less, more), crosses, strict=True):
            assert (
                batch.passage_language == np.where(cross, batch.partner, batch.query_language)
            ).all()
            assert (batch.partner != batch.query_language).all()
    assert plans[0].negatives_key(5) == plans[1].negatives_key(5)


@pytest.mark.parametrize("added", [None, 0.5])
@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_groups_of_a_batch_are_distinct_and_exist_in_both_languages(composition, added):
    present, _ = presence()
    some = plan(0.5, composition=composition, added=added)
    for step in range(len(some)):
        batch = some.batch(step)
        assert len(set(batch.groups.tolist())) == 16 and batch.source == 0
        assert (
            present[batch.query_language, batch.groups].all()
            and present[batch.partner, batch.groups].all()
        )


def test_a_pass_walks_each_group_at_most_once_and_the_next_pass_in_another_order():
    present, _ = presence(groups=100, languages=2)
    two = one(present, ["a", "b"], seed=1, steps=60, batch_size=8)
    both = np.flatnonzero(present.all(axis=0))
    per_pass = len(both) // 8
    passes = [
        np.concatenate(
            [two.batch(step).groups for step in range(lap * per_pass, (lap + 1) * per_pass)]
        )
        for lap in range(3)
    ]
    for walked in passes:
        assert len(set(walked.tolist())) == len(walked) == per_pass * 8
        assert set(walked.tolist()) <= set(both.tolist())
    assert (passes[0] != passes[1]).any() and (passes[1] != passes[2]).any()
    # what one pass leaves over, another takes
    assert set(np.concatenate(passes).tolist()) == set(both.tolist())


def test_both_directions_of_a_pair_share_one_walk():
    two = one(np.ones((2, 64), bool), ["a", "b"], seed=3, steps=4, batch_size=16, ratio=1.0)
    batches = [two.batch(step) for step in range(4)]
    assert len({group for batch in batches for group in batch.groups.tolist()}) == 64
    assert {batch.query_language[0] for batch in batches} == {0, 1}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 2), lap=st.integers(1, 20))
@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_neighbouring_seeds_share_no_permutation(composition, seed, lap):
    """seed + epoch would make pass 1 of seed s the pass 0 of seed s + 1."""
    ones = np.ones((2, 64), bool)
    here, there = (
        one(ones, ["a", "b"], seed=each, steps=64, batch_size=32, composition=composition)
        for each in (seed, seed + 1)
    )
    assert (here.batch(2 * lap).groups != there.batch(2 * (lap - 1)).groups).any()
    assert (here.batch(2 * lap).groups != there.batch(2 * lap).groups).any()
    assert (here.batch(2 * lap).groups != here.batch(2 * (lap - 1)).groups).any()


def test_neighbouring_seeds_agree_no_more_than_chance():
    def first(seed):
        return plan(0.5, seed=seed, steps=2000).streams[0].first

    agree = [np.mean(first(seed) == first(seed + 1)) for seed in range(5)]
    assert abs(np.mean(agree) - 0.25) < 5 * (0.25 * 0.75 / 10_000) ** 0.5


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_a_step_does_not_depend_on_the_length_of_the_run_but_for_its_kind(composition):
    short, long = (plan(0.5, steps=steps, composition=composition) for steps in (50, 500))
    assert all(
        same(short.batch(step), long.batch(step), but=["passage_language"]) for step in range(50)
    )


def test_uniform_languages_and_partners_are_drawn_evenly():
    stream = plan(0.5, steps=12_000).streams[0]
    pairs, counts = np.unique(np.stack([stream.first, stream.second]), axis=1, return_counts=True)
    assert pairs.shape[1] == 12
    assert (abs(counts - 1000) < 5 * 1000**0.5).all()


def test_languages_by_size():
    present = np.ones((3, 1000), bool)
    present[1, 500:] = False
    present[2, 250:] = False
    stream = one(present, list("abc"), steps=7000, batch_size=8, language_exponent=1.0).streams[0]
    assert np.allclose(np.bincount(stream.first) / 7000, [4 / 7, 2 / 7, 1 / 7], atol=0.03)
    stream = one(present, list("abc"), steps=7000, batch_size=8, partner="size").streams[0]
    assert np.isclose(np.mean(stream.second[stream.first == 0] == 1), 2 / 3, atol=0.05)


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_pivot_only(composition):
    some = plan(1.0, partner="pivot", pivot="l2", composition=composition)
    for batch in map(some.batch, range(200)):
        assert ((batch.query_language == 2) | (batch.passage_language == 2)).all()
        assert (batch.query_language != batch.passage_language).all()


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_pairs_that_share_too_little_are_left_out_and_listed(composition):
    present = np.ones((3, 100), bool)
    present[2, 10:] = False
    some = one(present, list("abc"), steps=50, batch_size=16, composition=composition)
    assert some.left_out == {("a", "c"): 10, ("b", "c"): 10}
    drawn = {
        language for step in range(50) for language in some.batch(step).query_language.tolist()
    }
    assert drawn == {0, 1}


def test_a_batch_larger_than_every_pair_is_refused_with_the_number():
    present = np.ones((3, 30), bool)
    present[1, 20:] = False
    present[2, 10:] = False
    with refused("config.batch.size", "batch.size=32", "at most 20", "batch.size=20"):
        one(present, ["a", "b", "c"], steps=5, batch_size=32)
    with refused("config.batch.size", "at most 10", "batch.size=10"):  # what the pivot allows
        one(present, ["a", "b", "c"], steps=5, batch_size=20, partner="pivot", pivot="c")


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_one_language_walks_its_own_groups(composition):
    alone = one(
        np.ones((1, 40), bool), ["a"], steps=10, batch_size=8, ratio=0.0, composition=composition
    )
    assert not alone.n_cross.any() and (alone.batch(3).passage_language == 0).all()
    assert len({group for step in range(5) for group in alone.batch(step).groups.tolist()}) == 40


def test_all_groups_lets_monolingual_steps_use_groups_of_one_language():
    present = np.zeros((2, 300), bool)
    present[0] = True
    present[1, :64] = True
    shared, everything = (
        one(present, ["a", "b"], steps=100, batch_size=16, groups=groups)
        for groups in ("shared", "all")
    )
    reach = [
        max(plan.batch(step).groups.max() for step in range(100)) for plan in (shared, everything)
    ]
    assert reach[0] < 64 <= reach[1]
    assert all(
        everything.batch(step).groups.max() < 64 for step in np.flatnonzero(everything.n_cross)
    )


# --- batch.budget=fixed_monolingual


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, added=ADDED, steps=st.integers(0, 40))
@pytest.mark.parametrize("more", [{}, {"composition": "per_example"}, {"groups": "all"}], ids=str)
@pytest.mark.parametrize("make", [plan, two_sources])
def test_the_monolingual_steps_are_those_of_ratio_zero_at_every_c(make, more, seed, added, steps):
    zero, some = (
        make(0.0, seed=seed, steps=steps, **more),
        make(0.9, seed=seed, steps=steps, added=added, **more),
    )
    alone = np.flatnonzero(some.n_cross == 0)
    assert len(some) == steps + round(added * steps) and len(alone) == steps
    assert (some.n_cross[some.n_cross > 0] == 16).all()
    assert all(same(zero.batch(index), some.batch(step)) for index, step in enumerate(alone))
    assert [some.negatives_key(step) for step in alone] == [
        zero.negatives_key(step) for step in range(steps)
    ]
    assert (some.source[alone] == zero.source).all()


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, low=ADDED, high=ADDED)
@pytest.mark.parametrize("composition", COMPOSITIONS)
@pytest.mark.parametrize("make", [plan, two_sources])
def test_more_added_steps_keep_the_ones_before(make, composition, seed, low, high):
    """And they have draws and walks of their own: the first added step is not the first monolingual
    one.
    """
    less, more = (
        make(0.5, seed=seed, steps=40, added=each, composition=composition)
        for each in sorted((low, high))
    )
    added = [np.flatnonzero(plan.n_cross) for plan in (less, more)]
    for here, there in zip(*added, strict=False):
        assert same(less.batch(here), more.batch(there)) and less.negatives_key(
            here
        ) == more.negatives_key(there)
    if len(added[0]) > 3:
        walks = [
            [plan.batch(step).groups.tolist() for step in np.flatnonzero(plan.n_cross)[:4]]
            + [plan.batch(step).groups.tolist() for step in np.flatnonzero(plan.n_cross == 0)[:4]]
            for plan in (less, more)
        ]
        assert len({tuple(groups) for groups in walks[0]}) == 8
        assert len({less.negatives_key(step) for step in range(len(less))}) == len(less)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, added=ADDED, steps=st.integers(1, 2000))
def test_added_steps_are_spread_evenly(seed, added, steps):
    kinds = plan(0.5, seed=seed, steps=steps, added=added).n_cross > 0
    excess = np.concatenate([[0], np.cumsum(kinds - kinds.mean())])
    assert excess.max() - excess.min() <= 5
