"""Collections in which a language has only queries or only passages: only pairs that exist are
drawn, the share is exact, and raising it changes no question of a pair that can be monolingual.
"""

import numpy as np
import pytest

from hybrid_sweep.batching.schedule import BatchDesign, Source, make_plan
from tests.refused import refused

LANGUAGES = ["de", "en", "zh"]
DE, EN, ZH = range(3)


def source(query: dict[int, float], passage: dict[int, float], *, groups=300, seed=0) -> Source:
    """A source whose groups have a query, and a passage, in each language with a probability."""
    draw = np.random.default_rng(seed)
    sides = np.zeros((2, len(LANGUAGES), groups), bool)
    for side, shares in zip(sides, (query, passage), strict=True):
        for language, share in shares.items():
            side[language] = draw.random(groups) < share
    return Source("only", sides[0] & sides[1], None, (sides[0], sides[1]))


def plan(of: Source, ratio: float, *, steps=60, size=16, seed=3, **more):
    design = BatchDesign(seed=seed, steps=steps, batch_size=size, ratio=ratio, **more)
    return make_plan([of], LANGUAGES, design)


TRANSLATED = source({EN: 1.0}, {DE: 0.9, EN: 0.8, ZH: 0.7})
ANSWERS_IN_ENGLISH = source({DE: 0.9, EN: 0.9, ZH: 0.8}, {EN: 1.0})
TWO_ASK = source({DE: 0.9, EN: 0.9}, {DE: 0.6, EN: 0.7, ZH: 0.9})
ENGLISH_ASKS = source({EN: 1.0}, {DE: 0.9, ZH: 0.7})


def check_pairs_exist(of: Source, made) -> int:
    """Check each example of a plan, and return how many are cross-lingual."""
    query, passage = of.sides
    crossed = 0
    for step in range(len(made)):
        batch = made.batch(step)
        assert len(set(batch.groups.tolist())) == made.batch_size
        assert query[batch.query_language, batch.groups].all()
        assert passage[batch.passage_language, batch.groups].all()
        crossed += int((batch.query_language != batch.passage_language).sum())
    return crossed


@pytest.mark.parametrize("composition", ["per_batch", "per_example"])
@pytest.mark.parametrize("groups", ["shared", "all"])
def test_only_pairs_that_exist_are_drawn_and_the_share_is_exact(composition, groups):
    if composition == "per_example" and groups == "all":
        return  # refused by the config
    words = {"composition": composition, "groups": groups}
    for ratio in (0.0, 0.3, 1.0):
        made = plan(TRANSLATED, ratio, **words)
        assert check_pairs_exist(TRANSLATED, made) == round(ratio * 60) * 16
        made = plan(TWO_ASK, ratio, **words)
        assert check_pairs_exist(TWO_ASK, made) == round(ratio * 60) * 16
    made = plan(ENGLISH_ASKS, 1.0, **words)
    assert check_pairs_exist(ENGLISH_ASKS, made) == 60 * 16
    read = {int(code) for step in range(60) for code in made.batch(step).passage_language}
    assert read == {DE, ZH}


def test_mixed_batches_draw_pairs_whose_query_has_no_own_passage():
    made = plan(ANSWERS_IN_ENGLISH, 0.4)
    assert check_pairs_exist(ANSWERS_IN_ENGLISH, made) == 24 * 16
    asked = {0: set(), 1: set()}
    for step in range(60):
        batch = made.batch(step)
        asked[int(made.n_cross[step] > 0)] |= set(batch.query_language.tolist())
    assert asked == {0: {EN}, 1: {DE, ZH}}


@pytest.mark.parametrize("composition", ["per_batch", "per_example"])
def test_a_higher_share_changes_only_the_passages_of_nested_pairs(composition):
    low, high = (plan(TRANSLATED, ratio, composition=composition) for ratio in (0.2, 0.7))
    moved = 0
    for step in range(60):
        one, other = low.batch(step), high.batch(step)
        for name in ("groups", "query_language", "partner"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
        changed = one.passage_language != other.passage_language
        assert (one.passage_language == one.query_language)[changed].all()
        moved += int(changed.sum())
    assert moved == 30 * 16


def test_steps_that_stay_of_a_kind_are_the_same_at_every_share():
    low, high = (plan(ANSWERS_IN_ENGLISH, ratio) for ratio in (0.3, 0.6))
    same = np.flatnonzero(low.n_cross == high.n_cross)
    walked: dict[int, list[int]] = {}
    for step in same.tolist():
        one, other = low.batch(step), high.batch(step)
        assert np.array_equal(one.query_language, other.query_language)
        walked.setdefault(int(one.query_language[0]), []).append(step)
    assert len(walked) == 3


def test_the_draws_are_a_function_of_the_seed():
    one, same, other = (plan(TRANSLATED, 0.5, seed=seed) for seed in (1, 1, 2))
    equal = [np.array_equal(one.batch(n).groups, same.batch(n).groups) for n in range(60)]
    assert all(equal)
    assert not all(np.array_equal(one.batch(n).groups, other.batch(n).groups) for n in range(60))


def test_a_walk_passes_each_group_of_its_pair_once_before_any_comes_again():
    made = plan(ENGLISH_ASKS, 1.0, steps=40)
    query, passage = ENGLISH_ASKS.sides
    for language in (DE, ZH):
        size = int((query[EN] & passage[language]).sum())
        own = [made.batch(step) for step in range(40)]
        own = [batch for batch in own if batch.passage_language[0] == language]
        first = np.concatenate([batch.groups for batch in own[: size // 16]])
        assert len(set(first.tolist())) == len(first)


def test_kinds_that_do_not_exist_are_refused_with_what_to_do():
    key = "config.batch.cross_lingual_ratio"
    for ratio in (0.0, 0.5):
        with refused(key, "queries in en", "passages in de, zh", "batch.cross_lingual_ratio=1"):
            plan(ENGLISH_ASKS, ratio)
    with refused(key, "batch.budget=fixed_total"):
        plan(ENGLISH_ASKS, 0.5, added=1.0)
    alone = source({EN: 1.0, DE: 0.0}, {EN: 1.0})
    with refused(key, "batch.cross_lingual_ratio=0"):
        plan(alone, 0.5)
    assert check_pairs_exist(alone, plan(alone, 0.0)) == 0
    query, passage = ENGLISH_ASKS.sides
    most = max(int((query[EN] & passage[language]).sum()) for language in (DE, ZH))
    with refused("config.batch.size", f"batch.size={most} "):
        plan(ENGLISH_ASKS, 1.0, size=301)
    with refused("config.batch.composition", "per_batch"):
        plan(ANSWERS_IN_ENGLISH, 0.5, composition="per_example")


def test_pairs_with_too_few_groups_are_left_out_by_name():
    rare = source({EN: 1.0}, {DE: 0.9, ZH: 0.02})
    made = plan(rare, 1.0)
    assert list(made.left_out) == [("en", "zh")] and made.left_out["en", "zh"] < 16
    assert check_pairs_exist(rare, made) == 60 * 16


def test_a_pivot_keeps_the_pairs_with_it():
    made = plan(TRANSLATED, 1.0, partner="pivot", pivot="zh")
    read = {int(code) for step in range(60) for code in made.batch(step).passage_language}
    assert read == {ZH}


def test_beside_a_source_of_both_sides_its_draws_are_its_own():
    draw = np.random.default_rng(5)
    both = Source("both", draw.random((3, 200)) < 0.9)
    words = BatchDesign(seed=1, steps=40, batch_size=16, ratio=0.5)
    made = make_plan([both, TRANSLATED], LANGUAGES, words)
    assert 0 < int((made.source == 1).sum()) < 40
    for step in range(40):
        batch = made.batch(step)
        query, passage = ((both.present,) * 2, TRANSLATED.sides)[batch.source]
        assert query[batch.query_language, batch.groups].all()
        assert passage[batch.passage_language, batch.groups].all()
