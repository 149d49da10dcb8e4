"""Several sources in exact shares, and pairs of languages drawn for each example: what the streams of
a plan promise.
"""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.batching.schedule import BatchDesign, Source, make_plan
from hybrid_sweep.batching.streams import (
    ADDED,
    DROPOUT,
    EXAMPLES,
    KEYS,
    LANGUAGES,
    NEGATIVES,
    SOURCES,
    WALK,
    WEIGHTS,
)
from tests.refused import refused

SEEDS = st.integers(0, 2**32 - 1)


def sources(*shares: float | None) -> list[Source]:
    """Source i has 200 (i + 1) groups: all in a and b, half of them in c too; languages a, b, c."""
    found = []
    for index, share in enumerate(shares):
        present = np.ones((3, 200 * (index + 1)), bool)
        present[2, ::2] = False
        found.append(Source(f"s{index}", present, share))
    return found


def plan(*shares, seed=0, steps=100, size=16, ratio=0.5, **more):
    return make_plan(
        sources(*shares),
        list("abc"),
        BatchDesign(seed=seed, steps=steps, batch_size=size, ratio=ratio, **more),
    )


@settings(max_examples=30, deadline=None)
@given(
    seed=SEEDS,
    shares=st.lists(st.floats(0.05, 20), min_size=2, max_size=4),
    steps=st.integers(0, 3000),
)
def test_sources_have_their_exact_share_of_the_steps_evenly_spread(seed, shares, steps):
    made = plan(*shares, seed=seed, steps=steps)
    counts = np.bincount(made.source, minlength=len(shares))
    assert (
        counts.sum() == steps and (abs(counts - np.array(shares) / sum(shares) * steps) < 1).all()
    )
    for index, count in enumerate(counts):
        excess = np.concatenate([[0], np.cumsum((made.source == index) - count / max(1, steps))])
        assert excess.max() - excess.min() <= 8
    assert made.sources == tuple(f"s{index}" for index in range(len(shares)))


def test_sources_share_by_their_numbers_of_groups_unless_told():
    assert np.bincount(plan(None, None, steps=90).source).tolist() == [30, 60]
    assert np.bincount(plan(None, None, None, steps=90).source).tolist() == [15, 30, 45]


def test_groups_that_no_allowed_pair_holds_do_not_count_for_the_share():
    large, small = sources(None, None)
    lonely = np.zeros((3, 5000), bool)
    lonely[0] = True
    large = Source("large", np.concatenate([large.present, lonely], axis=1))
    made = make_plan(
        [large, small], list("abc"), BatchDesign(seed=0, steps=90, batch_size=16, ratio=0.5)
    )
    assert np.bincount(made.source).tolist() == [30, 60]


@pytest.mark.parametrize("added", [1.0, 3.0])
def test_sources_have_their_exact_share_of_the_added_steps_where_c_is_whole(added):
    made = plan(1, 2, 4, steps=100, added=added)
    for kind in (made.n_cross == 0, made.n_cross > 0):
        times = kind.sum() // 100
        assert np.bincount(made.source[kind]).tolist() == [14 * times, 29 * times, 57 * times]


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, ratio=st.sampled_from([0.1, 0.25, 0.5, 0.9]))
def test_each_source_has_its_share_of_the_cross_lingual_steps(seed, ratio):
    made = plan(1, 3, seed=seed, steps=2000, ratio=ratio)
    crosses = np.bincount(made.source[made.n_cross > 0], minlength=2)
    assert (abs(crosses - ratio * np.array([500, 1500])) <= 10).all()


@pytest.mark.parametrize("composition", ["per_batch", "per_example"])
def test_each_source_walks_its_own_groups_without_replacement(composition):
    made = plan(1, 1, steps=200, composition=composition, partner="pivot", pivot="a")
    for index, source in enumerate(sources(1, 1)):
        batches = [made.batch(step) for step in np.flatnonzero(made.source == index)]
        assert all(batch.source == index for batch in batches)
        for batch in batches:
            assert source.present[batch.query_language, batch.groups].all()
            assert source.present[batch.partner, batch.groups].all()
        if composition == "per_example":
            per_pass = source.present.shape[1] // 16
            walked = np.concatenate([batch.groups for batch in batches[:per_pass]])
            assert len(set(walked.tolist())) == per_pass * 16


def test_sources_of_the_same_size_walk_in_different_orders():
    twins = [Source(name, np.ones((2, 64), bool), 1.0) for name in ("one", "two")]
    for composition in ("per_batch", "per_example"):
        made = make_plan(
            twins,
            ["a", "b"],
            BatchDesign(seed=0, steps=20, batch_size=16, ratio=0.5, composition=composition),
        )
        one, two = (
            made.batch(int(np.flatnonzero(made.source == index)[0])).groups for index in (0, 1)
        )
        assert (one != two).any()


def test_a_source_without_a_pair_for_a_batch_is_named():
    poor = np.zeros((3, 500), bool)
    poor[0] = poor[1, :9] = True
    with refused("config.batch.size", "poor", "at most 9"):
        make_plan(
            [*sources(1.0), Source("poor", poor, 1.0)],
            list("abc"),
            BatchDesign(seed=0, steps=9, batch_size=16, ratio=0.5),
        )
    poor[1] = False
    with refused("config.batch.size", "poor", "at most 0"):
        make_plan(
            [*sources(1.0), Source("poor", poor, 1.0)],
            list("abc"),
            BatchDesign(seed=0, steps=9, batch_size=16, ratio=0.5),
        )


def test_what_a_source_leaves_out_is_listed_under_its_name():
    present = np.ones((3, 100), bool)
    present[1, 5:] = False  # too few in b
    few = Source("few", present, 1.0)
    made = make_plan(
        [*sources(1.0), few], list("abc"), BatchDesign(seed=0, steps=9, batch_size=16, ratio=0.5)
    )
    assert made.left_out == {("few", "a", "b"): 5, ("few", "b", "c"): 5}
    present[1] = False  # of a language that it lacks altogether nothing is expected
    assert (
        make_plan(
            [*sources(1.0), few],
            list("abc"),
            BatchDesign(seed=0, steps=9, batch_size=16, ratio=0.5),
        ).left_out
        == {}
    )
    # of a single source it is: the run asks for the language
    design = BatchDesign(seed=0, steps=9, batch_size=16, ratio=0.5)
    alone = Source("alone", np.array([[1] * 100, [0] * 100, [1] * 100], bool))
    assert make_plan([alone], list("abc"), design).left_out == {("a", "b"): 0, ("b", "c"): 0}


# --- composition=per_example


def drawn(made):
    batches = [made.batch(step) for step in range(len(made))]
    return (
        np.concatenate([getattr(batch, name) for batch in batches])
        for name in ("query_language", "partner", "groups")
    )


def test_an_example_draws_among_the_languages_of_its_group():
    query, partner, groups = drawn(plan(1, steps=600, composition="per_example"))
    # groups of a and b only
    share = np.bincount(query[groups % 2 == 0], minlength=3) / (groups % 2 == 0).sum()
    assert np.allclose(share, [0.5, 0.5, 0], atol=0.04) and (share[2] == 0)
    odd = groups % 2 == 1
    assert np.allclose(np.bincount(query[odd]) / odd.sum(), 1 / 3, atol=0.04)
    for language in range(3):
        others = np.bincount(partner[odd & (query == language)], minlength=3)
        assert others[language] == 0 and np.allclose(
            np.delete(others, language) / others.sum(), 0.5, atol=0.05
        )


def test_an_example_draws_its_query_language_by_size_and_its_partner_by_shared_groups():
    more = {"steps": 800, "composition": "per_example", "language_exponent": 2.0, "partner": "size"}
    query, partner, groups = drawn(plan(1, **more))
    odd = groups % 2 == 1  # in all three languages, of 200, 200 and 100 groups
    assert np.allclose(np.bincount(query[odd]) / odd.sum(), [4 / 9, 4 / 9, 1 / 9], atol=0.03)
    assert np.isclose(np.mean(partner[odd & (query == 0)] == 1), 2 / 3, atol=0.03)


def test_an_example_draws_no_language_without_an_allowed_partner_in_its_group():
    present = np.zeros((4, 90), bool)  # a-b and c-d are pairs; d shares too little with a and b
    present[:2, :40] = present[2:, 40:80] = present[3, :10] = True
    present[0, 80:] = present[3, 80:] = True
    made = make_plan(
        [Source("s", present)],
        list("abcd"),
        BatchDesign(seed=0, steps=300, batch_size=32, ratio=0.5, composition="per_example"),
    )
    assert made.left_out == {("a", "c"): 0, ("a", "d"): 20, ("b", "c"): 0, ("b", "d"): 10}
    query, partner, groups = drawn(made)
    assert {tuple(sorted(pair)) for pair in zip(query.tolist(), partner.tolist(), strict=True)} == {
        (0, 1),
        (2, 3),
    }
    assert set(groups.tolist()) == set(range(80))  # the others stand in no allowed pair
    assert present[query, groups].all() and present[partner, groups].all()


def test_a_pass_walks_all_groups_in_another_order_each_time():
    made = plan(1, steps=48, composition="per_example")  # 200 groups: 12 batches of 16 a pass
    passes = [
        np.concatenate([made.batch(step).groups for step in range(lap, lap + 12)])
        for lap in (0, 12, 24, 36)
    ]
    assert all(len(set(walked.tolist())) == 192 for walked in passes)
    assert all((one != two).any() for one, two in pairwise(passes))


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, ratio=st.floats(0, 1))
def test_cross_lingual_examples_are_even_over_steps_and_slots(seed, ratio):
    made = plan(1, seed=seed, steps=60, ratio=ratio, composition="per_example")
    assert made.n_cross.max() - made.n_cross.min() <= 5
    cross = np.stack(
        [batch.query_language != batch.passage_language for batch in map(made.batch, range(60))]
    )
    per_slot = cross.sum(axis=0)
    assert abs(per_slot - ratio * 60).max() <= 8


def test_a_long_run_of_large_batches_costs_little_memory():
    import tracemalloc

    present = np.random.default_rng(0).random((8, 100_000)) < 0.7
    tracemalloc.start()
    made = make_plan(
        [Source("s", present)],
        list("abcdefgh"),
        BatchDesign(seed=0, steps=3000, batch_size=4096, ratio=0.3, composition="per_example"),
    )
    assert len(set(made.batch(2999).groups.tolist())) == 4096
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # N B = 12 M examples; 100 MB as doubles
    assert made.n_cross.sum() == round(0.3 * 3000 * 4096) and peak < 40e6


def test_no_two_streams_of_any_seeds_are_one():
    """SeedSequence pads its words with zeros, so that streams must differ in their second word, not
    in their length.
    """
    streams = [LANGUAGES, KEYS, WALK, WEIGHTS, DROPOUT, SOURCES, EXAMPLES, NEGATIVES]
    assert len({*streams, *(ADDED + stream for stream in streams)}) == 2 * len(streams)


def test_languages_sources_and_kinds_are_drawn_apart():
    """Equal uniforms in two streams would tie the source of a step to its language, or its kind to
    either.
    """
    made = plan(1, 1, steps=4000, ratio=0.5, added=1.0)
    for index, stream in enumerate(made.streams):
        for source in (0, 1):
            share = np.bincount(stream.first[stream.source == source], minlength=3) / 2000
            assert np.allclose(share, 1 / 3, atol=0.05), index
    assert np.mean(made.streams[0].first == made.streams[1].first) == pytest.approx(1 / 3, abs=0.05)
    assert (made.streams[0].source != made.streams[1].source).any()
