"""Where in training the cross-lingual steps are: their exact number, nested in the ratio, with the
density that the schedule states; all else as where the share is constant.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.batching.kinds import ScheduledExamples, conversions
from hybrid_sweep.batching.schedule import BatchDesign, Source, StatedPairs, make_plan

SCHEDULES = ["rising", "falling", "cross_first", "mono_first"]
COMPOSITIONS = ["per_batch", "per_example"]
SEEDS = st.integers(0, 2**32 - 1)
RATIOS = st.floats(0, 1, allow_nan=False).map(lambda ratio: round(ratio, 6))
STATED = StatedPairs(weights={("a", "b"): 2.0, ("c", "a"): 1.0})
SIZE = 8


def plan(schedule="constant", ratio=0.5, *, seed=5, steps=60, **more):
    design = BatchDesign(
        seed=seed,
        steps=steps,
        batch_size=SIZE,
        ratio=ratio,
        ratio_schedule=schedule,
        **more,
    )
    return make_plan([Source("only", np.ones((3, 100), dtype=bool))], list("abc"), design)


def crosses(made) -> np.ndarray:
    """Return (N, B) which examples are cross-lingual."""
    batches = [made.batch(step) for step in range(len(made))]
    return np.array([batch.query_language != batch.passage_language for batch in batches])


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, low=RATIOS, high=RATIOS, steps=st.integers(1, 40))
@pytest.mark.parametrize("composition", COMPOSITIONS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_number_is_exact_and_a_higher_ratio_keeps_what_is_converted(
    schedule, composition, seed, low, high, steps
):
    kinds = []
    for ratio in sorted((low, high)):
        made = plan(schedule, ratio, seed=seed, steps=steps, composition=composition)
        cross = crosses(made)
        if composition == "per_batch":
            assert cross.sum() == SIZE * round(ratio * steps)
        else:
            assert cross.sum() == round(ratio * steps * SIZE)
        assert cross.sum(axis=1).tolist() == made.n_cross.tolist()
        kinds.append(cross)
    assert not (kinds[0] & ~kinds[1]).any()


@pytest.mark.parametrize("stated", [None, STATED], ids=["drawn", "stated"])
@pytest.mark.parametrize("composition", COMPOSITIONS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_schedule_changes_the_kinds_of_the_steps_and_nothing_else(
    schedule, composition, stated
):
    even = plan(composition=composition, pairs=stated)
    moved = plan(schedule, composition=composition, pairs=stated)
    assert even.pairs == moved.pairs and (crosses(even) != crosses(moved)).any()
    for step in range(60):
        one, other = even.batch(step), moved.batch(step)
        for field in ("groups", "query_language", "partner", "home"):
            assert np.array_equal(getattr(one, field), getattr(other, field))


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, ratio=st.floats(0.05, 0.95))
@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_the_share_of_a_window_is_that_of_the_stated_density(composition, seed, ratio):
    """A tenth of training has the integral of its density, so that it grows from one to the
    next.
    """
    steps = 4000 if composition == "per_batch" else 500
    unit = SIZE if composition == "per_batch" else 1
    middle = (np.arange(10) + 0.5) / 10
    line = ratio + min(ratio, 1 - ratio) * (2 * middle - 1)
    for schedule, density in (("rising", line), ("falling", line[::-1])):
        made = plan(schedule, ratio, seed=seed, steps=steps, composition=composition)
        windows = made.n_cross.reshape(10, -1).sum(axis=1) // unit
        of_window = steps // 10 if composition == "per_batch" else steps // 10 * SIZE
        # at most 9 off over 4,000 ratios and starts (measured)
        assert (abs(windows - density * of_window) <= 14).all()


def test_a_rising_share_never_falls_from_one_window_to_the_next():
    for ratio in (0.1, 0.25, 0.5, 0.75, 0.9):
        for seed in range(5):
            made = plan("rising", ratio, seed=seed, steps=1000)
            windows = made.n_cross.reshape(4, 250).sum(axis=1)
            assert (np.diff(windows) > 0).all()


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, ratio=RATIOS)
@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_one_kind_comes_before_the_other(composition, seed, ratio):
    first = crosses(
        plan("cross_first", ratio, seed=seed, steps=20, composition=composition)
    ).ravel()
    last = crosses(plan("mono_first", ratio, seed=seed, steps=20, composition=composition)).ravel()
    assert (np.diff(first.astype(int)) <= 0).all() and (np.diff(last.astype(int)) >= 0).all()
    assert first.sum() == last.sum()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_added_steps_take_their_places_and_the_others_stay_the_same(schedule):
    zero, made = plan(ratio=0.0, steps=20), plan(schedule, added=0.5, steps=20)
    alone = np.flatnonzero(made.n_cross == 0)
    assert len(made) == 30 and len(alone) == 20
    for index, step in enumerate(alone):
        assert np.array_equal(zero.batch(index).groups, made.batch(int(step)).groups)
    if schedule == "cross_first":
        assert alone.tolist() == list(range(10, 30))


@settings(max_examples=30, deadline=None)
@given(key=st.floats(0, 1, exclude_max=True), time=st.floats(0.001, 0.999), above=st.floats(0, 1))
@pytest.mark.parametrize("schedule", ["rising", "falling"])
def test_a_step_is_converted_where_the_density_reaches_its_key(schedule, key, time, above):
    """By the formula of the density, not by its inverse."""
    sign = 1 if schedule == "rising" else -1

    def density(ratio):
        return ratio + sign * min(ratio, 1 - ratio) * (2 * time - 1)

    ratio = float(conversions(np.array([key]), np.array([time]), schedule)[0])
    assert density(ratio) == pytest.approx(key, abs=1e-9)
    assert density(ratio + above * (1 - ratio)) >= key - 1e-9


@settings(max_examples=20, deadline=None)
@given(start=st.integers(0, 2**64 - 1), length=st.integers(1, 400), share=st.floats(0, 1))
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_selection_without_a_list_is_that_of_the_sorted_list(schedule, start, length, share):
    count = round(share * length)
    numbers = np.arange(length)
    selected = ScheduledExamples.of(start, length, count, schedule)
    keys = np.array([(start + 0x9E3779B97F4A7C15 * e) % 2**64 / 2**64 for e in range(length)])
    order = np.argsort(conversions(keys, (numbers + 0.5) / length, schedule), kind="stable")
    assert np.flatnonzero(selected.has(numbers)).tolist() == sorted(order[:count].tolist())


def test_many_examples_cost_little_memory():
    import tracemalloc

    tracemalloc.start()
    selected = ScheduledExamples.of(1, 3_000_000, 1_000_000, "rising")
    total = selected.per_step(3000, 1000).sum()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 1_000_000 and peak < 25e6
