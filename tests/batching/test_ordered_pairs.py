"""Stated pairs of languages: exact shares in every ratio, nested and paired, even over the steps,
and the language of the steps that are not cross-lingual.
"""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.batching.audit import planned
from hybrid_sweep.batching.sampling import EvenOwners
from hybrid_sweep.batching.schedule import BatchDesign, Source, StatedPairs, make_plan
from tests.refused import refused

SEEDS = st.integers(0, 2**32 - 1)
RATIOS = st.floats(0, 1, allow_nan=False).map(lambda ratio: round(ratio, 6))
COMPOSITIONS = ["per_batch", "per_example"]
CODES = ["de", "en", "sw"]
PAIRS = [(a, b) for a in CODES for b in CODES if a != b]
WEIGHTS = st.dictionaries(st.sampled_from(PAIRS), st.floats(0.05, 20), min_size=1)
SIZE = 8


def source(groups=200, *, without=(), name="only", share=None) -> Source:
    """All groups in all languages, but for the sides that are left out: ("sw", "passage")."""
    asks, answers = np.ones((2, len(CODES), groups), dtype=bool)
    for code, side in without:
        texts = asks if side == "query" else answers
        texts[CODES.index(code)] = False
    return Source(name, asks & answers, share, (asks, answers))


def plan(stated: StatedPairs, *sources: Source, seed=3, steps=60, ratio=0.5, **more):
    design = BatchDesign(seed=seed, steps=steps, batch_size=SIZE, ratio=ratio, pairs=stated, **more)
    return make_plan(sources or (source(),), CODES, design)


def pairs_of(made) -> np.ndarray:
    """Return (N, B) the number of each example's pair where it is cross-lingual: 3 a + b."""
    query, partner = [], []
    for step in range(len(made)):
        drawn = made.streams[made.stream[step]].drawn(int(made.place[step]))
        query.append(drawn.first)
        partner.append(drawn.second)
    return 3 * np.array(query) + np.array(partner)


def counts(made) -> dict[tuple[str, str], int]:
    numbers, sizes = np.unique(pairs_of(made), return_counts=True)
    pairs = [(CODES[number // 3], CODES[number % 3]) for number in numbers]
    return dict(zip(pairs, sizes.tolist(), strict=True))


@settings(max_examples=25, deadline=None)
@given(weights=WEIGHTS, seed=SEEDS, ratio=RATIOS, steps=st.integers(1, 60))
@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_each_pair_has_its_exact_share_at_every_ratio(composition, weights, seed, ratio, steps):
    made = plan(
        StatedPairs(weights=weights), seed=seed, ratio=ratio, steps=steps, composition=composition
    )
    of_all = steps if composition == "per_batch" else steps * SIZE
    unit = SIZE if composition == "per_batch" else 1
    dealt = counts(made)
    assert sum(dealt.values()) == steps * SIZE and dealt.keys() <= weights.keys()
    for pair, weight in weights.items():
        share = weight / sum(weights.values()) * of_all
        assert made.pairs[pair] * unit == dealt.get(pair, 0)
        assert abs(made.pairs[pair] - share) < 1
    crossed = sum(record["n_cross"] for record in planned(made))
    assert crossed == unit * round(ratio * of_all)


@settings(max_examples=15, deadline=None)
@given(low=RATIOS, high=RATIOS, seed=SEEDS, weights=WEIGHTS)
@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_the_ratio_changes_the_passages_and_nothing_else(composition, low, high, seed, weights):
    """And it is nested; with all languages on both sides, a monolingual step is in that of its
    query.
    """
    plans = [
        plan(StatedPairs(weights=weights), seed=seed, ratio=ratio, composition=composition)
        for ratio in sorted((low, high))
    ]
    assert plans[0].moved == ()
    for step in range(0, 60, 7):
        less, more = (made.batch(step) for made in plans)
        for field in ("groups", "query_language", "partner", "home"):
            assert np.array_equal(getattr(less, field), getattr(more, field))
        crosses = [batch.query_language != batch.passage_language for batch in (less, more)]
        assert not (crosses[0] & ~crosses[1]).any()
        for batch, cross in zip((less, more), crosses, strict=True):
            expected = np.where(cross, batch.partner, batch.query_language)
            assert np.array_equal(batch.passage_language, expected)


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_a_language_that_only_asks_is_replaced_by_the_passage_language(composition):
    """The passages, groups and order stay, and raising r changes the queries of such a step."""
    stated = StatedPairs(query_languages=("de", "en", "sw"), passage_languages=("en",))
    zero, one = (plan(stated, ratio=ratio, composition=composition) for ratio in (0.0, 1.0))
    assert zero.moved == (("de", "en"), ("sw", "en")) and set(zero.pairs) == set(zero.moved)
    en = CODES.index("en")
    for step in range(60):
        less, more = zero.batch(step), one.batch(step)
        assert np.array_equal(less.groups, more.groups)
        assert (less.query_language == en).all() and (less.passage_language == en).all()
        assert (more.query_language != en).all() and (more.passage_language == en).all()
        assert (less.home == en).all() and (more.home == en).all()


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_what_the_collection_lacks_counts_as_what_is_not_allowed(composition):
    """sw has queries alone: en-sw is left out, and a step of sw-en is monolingual in en."""
    one_sided = source(without=[("sw", "passage")])
    made = plan(StatedPairs(query_languages=tuple(CODES)), one_sided, composition=composition)
    assert set(made.pairs) == {("de", "en"), ("en", "de"), ("sw", "de"), ("sw", "en")}
    assert made.moved == (("sw", "de"), ("sw", "en"))
    assert made.left_out == {("de", "sw"): 0, ("en", "sw"): 0}
    sw = CODES.index("sw")
    batches = [made.batch(step) for step in range(60)]
    assert not any((batch.passage_language == sw).any() for batch in batches)
    assert any((batch.query_language == sw).any() for batch in batches)


def test_a_group_serves_a_pair_with_the_texts_that_its_steps_need():
    """No query in de is needed where de only answers; both directions walk the same groups."""
    asks = np.ones((3, 40), dtype=bool)
    answers = asks.copy()
    asks[0, 20:] = False  # de asks in half of the groups
    half = Source("half", asks & answers, None, (asks, answers))
    forth = plan(StatedPairs(weights={("en", "de"): 1.0}), half)
    both = plan(StatedPairs(weights={("en", "de"): 1.0, ("de", "en"): 1.0}), half)
    walked = [
        {int(group) for step in range(60) for group in made.batch(step).groups}
        for made in (forth, both)
    ]
    assert walked == [set(range(40)), set(range(20))]


def test_all_groups_of_the_home_with_groups_all():
    answers = np.ones((3, 64), dtype=bool)
    answers[0, 16:] = False  # de answers in few groups
    asks = np.ones((3, 64), dtype=bool)
    few = Source("few", asks & answers, None, (asks, answers))
    made = plan(StatedPairs(weights={("en", "de"): 1.0}), few, groups="all", ratio=0.5)
    reach = {
        kind: max(int(made.batch(step).groups.max()) for step in np.flatnonzero(steps))
        for kind, steps in (("cross", made.n_cross > 0), ("mono", made.n_cross == 0))
    }
    assert reach["cross"] < 16 < reach["mono"]


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, weights=WEIGHTS, steps=st.integers(10, 2000))
def test_each_pair_is_spread_evenly_over_the_steps(seed, weights, steps):
    made = plan(StatedPairs(weights=weights), seed=seed, steps=steps)
    stream = made.streams[0]
    numbers = 3 * stream.first + stream.second
    for number in np.unique(numbers):
        here = numbers == number
        excess = np.concatenate([[0], np.cumsum(here - here.mean())])
        assert excess.max() - excess.min() <= 8


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, ratio=RATIOS, weights=WEIGHTS)
def test_each_pair_has_about_its_share_of_the_cross_lingual_steps(seed, ratio, weights):
    made = plan(StatedPairs(weights=weights), seed=seed, steps=1000, ratio=ratio)
    stream = made.streams[0]
    numbers = 3 * stream.first + stream.second
    for number in np.unique(numbers):
        crossed = int((made.n_cross[numbers == number] > 0).sum())
        assert abs(crossed - ratio * (numbers == number).sum()) <= 10


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, weights=WEIGHTS, added=st.sampled_from([0.0, 0.4, 1.0, 3.0]))
@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_added_steps_have_the_shares_too(composition, seed, weights, added):
    stated = StatedPairs(weights=weights)
    zero = plan(stated, seed=seed, ratio=0.0, steps=30, composition=composition)
    made = plan(stated, seed=seed, added=added, steps=30, composition=composition)
    alone = np.flatnonzero(made.n_cross == 0)
    assert len(made) == 30 + round(30 * added)
    for index, step in enumerate(alone):
        one, other = zero.batch(index), made.batch(int(step))
        assert np.array_equal(one.groups, other.groups) and np.array_equal(one.home, other.home)
    unit = SIZE if composition == "per_batch" else 1
    dealt = counts(made)
    assert {pair: count // unit for pair, count in dealt.items()} == {
        pair: count for pair, count in made.pairs.items() if count
    }
    if added in (1.0, 3.0):
        assert made.pairs == {pair: (1 + int(added)) * n for pair, n in zero.pairs.items()}


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_each_source_has_the_shares_of_the_pairs_that_it_has(composition):
    poor = source(name="poor", share=1.0, without=[("sw", "query"), ("sw", "passage")])
    whole = source(name="whole", share=2.0)
    weights = {("en", "de"): 1.0, ("en", "sw"): 3.0}
    made = plan(StatedPairs(weights=weights), whole, poor, composition=composition)
    unit = 1 if composition == "per_batch" else SIZE
    assert made.pairs == {("en", "de"): 30 * unit, ("en", "sw"): 30 * unit}
    of_poor = pairs_of(made)[made.source == 1]
    assert (of_poor == 3 * CODES.index("en") + CODES.index("de")).all() and len(of_poor) == 20


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_a_batch_has_distinct_groups_and_each_pass_has_all_of_them(composition):
    weights = {("en", "de"): 1.0, ("de", "en"): 1.0}
    made = plan(StatedPairs(weights=weights), source(64), composition=composition, steps=24)
    passes = [
        [int(group) for step in range(first, first + 8) for group in made.batch(step).groups]
        for first in (0, 8, 16)
    ]
    assert all(sorted(walked) == list(range(64)) for walked in passes)
    assert all(one != two for one, two in pairwise(passes))


def test_without_weights_they_follow_from_the_exponent_and_the_partner():
    asks = np.ones((3, 300), dtype=bool)
    asks[1, 100:] = False  # en has a third of the groups
    sized = Source("sized", asks)
    everything = tuple(CODES)

    def shares(**more):
        made = plan(StatedPairs(query_languages=everything), sized, steps=210, **more)
        return {"-".join(pair): count for pair, count in made.pairs.items()}

    assert set(shares().values()) == {35}
    by_size = shares(language_exponent=1.0)
    assert by_size["en-de"] + by_size["en-sw"] == 30 and by_size["de-en"] == 45
    assert shares(partner="size")["de-sw"] == 53  # 70 * 300 / 400, largest remainder
    pivot = shares(partner="pivot", pivot="en")
    assert pivot == {"de-en": 70, "en-de": 35, "en-sw": 35, "sw-en": 70}


def test_what_no_group_can_serve_is_refused():
    one_sided = source(without=[("sw", "passage")])
    with refused("batch.pair_groups", "en-sw", "0 training groups"):
        plan(StatedPairs(weights={("en", "sw"): 1.0, ("en", "de"): 1.0}), one_sided)
    nothing = source(without=[("sw", "passage"), ("sw", "query")])
    with refused("batch.language_groups", "query_languages", "sw"):
        plan(StatedPairs(query_languages=("en", "sw")), nothing)
    with refused("batch.language_groups", "passage_languages", "sw"):
        plan(StatedPairs(passage_languages=("en", "sw")), nothing)
    with refused("config.batch.size", "only", "at most 4", "batch.size=4"):
        plan(StatedPairs(query_languages=("en",)), source(4))


def test_a_pair_without_a_monolingual_step_is_refused_unless_all_steps_are_cross_lingual():
    stated = StatedPairs(query_languages=("de",), passage_languages=("en",))
    with refused("batch.no_monolingual_step", "de-en"):
        plan(stated, ratio=0.99)
    with refused("batch.no_monolingual_step", "de-en"):
        plan(stated, ratio=1.0, added=1.0)
    made = plan(stated, ratio=1.0)
    assert made.pairs == {("de", "en"): 60} and (made.n_cross == SIZE).all()


def test_examples_need_groups_that_have_the_texts_of_every_pair():
    asks = np.zeros((3, 40), dtype=bool)
    asks[:2, :20] = asks[1:, 15:] = True
    split = Source("split", asks)
    stated = StatedPairs(weights={("de", "en"): 1.0, ("sw", "en"): 1.0})
    assert plan(stated, split).pairs == {("de", "en"): 30, ("sw", "en"): 30}
    with refused("batch.groups_of_all_pairs", "5 training groups", "the 8 of a batch"):
        plan(stated, split, composition="per_example")


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, 2**64 - 1), counts=st.lists(st.integers(0, 300), min_size=1))
def test_owners_without_a_list_are_exact_and_begin_again(start, counts):
    dealt = EvenOwners.of(start, counts)
    numbers = np.arange(2 * sum(counts))
    if len(numbers):
        owner = dealt.owner(numbers)
        assert np.bincount(owner, minlength=len(counts)).tolist() == [2 * n for n in counts]
        assert np.array_equal(*np.split(owner, 2))
