"""Each question with the passages of several languages in one batch: exact, nested and paired."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.batching.audit import planned
from hybrid_sweep.batching.schedule import BatchDesign, Source, StatedPairs, make_plan
from tests.refused import refused

SEEDS = st.integers(0, 2**32 - 1)
RATIOS = st.floats(0, 1, allow_nan=False).map(lambda ratio: round(ratio, 6))
CODES = ["de", "en", "fr", "zh"]
SIZE = 12
ENGLISH = StatedPairs(weights={("en", code): 1.0 for code in CODES if code != "en"})


def source(groups=200, *, asking=CODES, answering=CODES, name="only", share=None) -> Source:
    """All groups in all languages that ask or answer."""
    asks, answers = np.zeros((2, len(CODES), groups), dtype=bool)
    asks[[CODES.index(code) for code in asking]] = True
    answers[[CODES.index(code) for code in answering]] = True
    return Source(name, asks & answers, share, (asks, answers))


def plan(stated=None, *sources, seed=3, steps=20, ratio=0.5, size=SIZE, **more):
    design = BatchDesign(
        seed=seed,
        steps=steps,
        batch_size=size,
        ratio=ratio,
        pairs=stated,
        composition="per_language",
        **more,
    )
    return make_plan(sources or (source(),), CODES, design)


def drawn_pairs(made) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The groups and the pair of each example where it is cross-lingual, step by step."""
    steps = []
    for step in range(len(made)):
        drawn = made.streams[made.stream[step]].drawn(int(made.place[step]))
        steps.append((drawn.groups, drawn.first, drawn.second))
    return steps


def counts(made) -> dict[tuple[str, str], int]:
    tally = dict.fromkeys(made.pairs, 0)
    for _, first, second in drawn_pairs(made):
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            tally[CODES[a], CODES[b]] += 1
    return tally


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, ratio=RATIOS, steps=st.integers(1, 30), weight=st.floats(0.05, 20))
def test_each_question_stands_once_with_each_of_its_languages(seed, ratio, steps, weight):
    """And the share of each query language is exact over the questions, that of r over the pairs."""
    weights = {("en", code): weight for code in ("de", "fr", "zh")}
    weights |= {("de", code): 1.0 for code in ("en", "fr", "zh")}
    made = plan(StatedPairs(weights=weights), seed=seed, ratio=ratio, steps=steps)
    for groups, first, second in drawn_pairs(made):
        questions = groups.reshape(-1, 3)
        assert (questions == questions[:, :1]).all() and len(set(questions[:, 0])) == SIZE // 3
        asked = first.reshape(-1, 3)
        assert (asked == asked[:, :1]).all()
        for language, answered in zip(asked[:, 0], second.reshape(-1, 3), strict=True):
            assert sorted([language, *answered]) == [0, 1, 2, 3]
    assert made.pairs == counts(made)
    questions = steps * SIZE // 3
    share = weight / (weight + 1) * questions
    assert abs(made.pairs["en", "fr"] - share) < 1
    assert made.pairs["en", "fr"] + made.pairs["de", "fr"] == questions
    assert len({made.pairs["en", code] for code in ("de", "fr", "zh")}) == 1
    assert sum(record["n_cross"] for record in planned(made)) == round(ratio * steps * SIZE)


@settings(max_examples=15, deadline=None)
@given(low=RATIOS, high=RATIOS, seed=SEEDS)
@pytest.mark.parametrize("stated", [None, ENGLISH])
def test_the_ratio_changes_the_questions_and_keeps_the_passages(stated, low, high, seed):
    """And it is nested: every language may ask, so that a monolingual pair is in the passage's."""
    less, more = (plan(stated, seed=seed, ratio=ratio) for ratio in sorted((low, high)))
    for step in range(20):
        one, other = less.batch(step), more.batch(step)
        assert np.array_equal(one.groups, other.groups)
        assert np.array_equal(one.passage_language, other.passage_language)
        crosses = [batch.query_language != batch.passage_language for batch in (one, other)]
        assert not (crosses[0] & ~crosses[1]).any()
        same = crosses[0] == crosses[1]
        assert np.array_equal(one.query_language[same], other.query_language[same])


def test_where_the_passage_languages_cannot_ask_the_pair_is_in_that_of_the_question():
    asking_english = source(asking=["en"])
    zero = plan(ENGLISH, asking_english, ratio=0.0)
    one = plan(ENGLISH, asking_english, ratio=1.0)
    en = CODES.index("en")
    assert zero.moved == ()
    for step in range(20):
        less, more = zero.batch(step), one.batch(step)
        assert np.array_equal(less.groups, more.groups)
        assert (less.query_language == en).all() and (less.passage_language == en).all()
        assert (more.query_language == en).all() and (more.passage_language != en).all()


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, ratio=st.floats(0.1, 0.9))
def test_each_language_has_about_its_share_of_the_cross_lingual_pairs(seed, ratio):
    made = plan(ENGLISH, seed=seed, ratio=ratio, steps=60)
    crossed = np.zeros(len(CODES))
    for step in range(60):
        batch = made.batch(step)
        cross = batch.query_language != batch.passage_language
        crossed += np.bincount(batch.passage_language[cross], minlength=len(CODES))
    for code in ("de", "fr", "zh"):
        assert abs(crossed[CODES.index(code)] - ratio * 240) < 8


@pytest.mark.parametrize("added", [0.5, 2.0])
def test_added_steps_are_of_one_kind_and_leave_the_others_alone(added):
    zero, made = plan(ENGLISH, ratio=0.0), plan(ENGLISH, added=added)
    alone = [step for step in range(len(made)) if made.n_cross[step] == 0]
    assert len(made) == round(20 * (1 + added)) and set(made.n_cross.tolist()) == {0, SIZE}
    for step, place in enumerate(alone):
        for field in ("groups", "query_language", "passage_language"):
            mine, wanted = getattr(made.batch(place), field), getattr(zero.batch(step), field)
            assert np.array_equal(mine, wanted)
    assert made.pairs == counts(made)


def test_any_step_is_the_same_in_any_order_and_each_pass_has_every_question_once():
    made, again = plan(ENGLISH, source(40), steps=30), plan(ENGLISH, source(40), steps=30)
    backwards = [again.batch(step).groups for step in reversed(range(30))][::-1]
    forwards = [made.batch(step).groups for step in range(30)]
    assert np.array_equal(forwards, backwards)
    passes = np.array(forwards)[:, ::3].reshape(3, 40)
    assert all(sorted(one) == list(range(40)) for one in passes.tolist())
    assert passes[0].tolist() != passes[1].tolist()


def test_each_source_has_its_own_languages():
    """One with three passage languages, one with one: their batches have 4 and 12 questions."""
    few = source(60, asking=["de", "en"], answering=["de", "en"], name="few", share=1.0)
    made = plan(ENGLISH, source(name="all", share=2.0), few, steps=30)
    for step, (groups, _, second) in enumerate(drawn_pairs(made)):
        languages = 1 if made.sources[made.source[step]] == "few" else 3
        assert len(set(groups.tolist())) == SIZE // languages
        assert len(set(second.tolist())) == languages
    assert made.pairs == counts(made) and made.pairs["en", "de"] > made.pairs["en", "fr"]


def test_all_pairs_of_all_languages_by_default():
    made = plan(steps=32)
    assert len(made.pairs) == 12 and set(made.pairs.values()) == {32}


def test_what_gives_no_question_equally_many_passages_is_refused():
    with refused("config.batch.size", "3 pairs", "batch.size=9 or 12"):
        plan(ENGLISH, size=10)
    with refused("config.batch.size", "batch.size=6"):
        plan(ENGLISH, size=3)
    unequal = StatedPairs(weights={("en", "de"): 2.0, ("en", "fr"): 1.0})
    with refused("config.batch.pairs", "de, fr"):
        plan(unequal)
    uneven = StatedPairs(weights={("en", "de"): 1.0, ("en", "fr"): 1.0, ("de", "fr"): 1.0})
    with refused("batch.languages_of_question", "de, fr", "questions in de"):
        plan(uneven)
    apart = np.zeros((4, 40), dtype=bool)
    apart[[0, 1], :22] = apart[[1, 2], 18:] = True
    two = StatedPairs(weights={("en", "de"): 1.0, ("en", "fr"): 1.0})
    with refused("batch.groups_of_all_pairs", "4 training groups", "the 6 of a batch"):
        plan(two, Source("apart", apart))
