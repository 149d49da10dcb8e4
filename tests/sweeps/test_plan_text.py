"""The lines on the plan of a sweep, and on what failed."""

import dataclasses
import re

import numpy as np
import pytest

from hybrid_sweep.batching.schedule import BatchDesign, Source, StatedPairs, make_plan
from hybrid_sweep.sweeps import plan_text
from hybrid_sweep.sweeps.point_list import State
from tests import snapshots
from tests.sweeps.test_progress import point


def make(*sources, steps=10, ratio=0.3, **more):
    return make_plan(
        sources,
        ["xa", "xb", "xc"],
        BatchDesign(seed=0, steps=steps, batch_size=16, ratio=ratio, **more),
    )


def told(points, plans):
    """The plan of points that are all to do, from the lines of their table on, but the last one, on
    their time.
    """
    found = {point.run_id: plan for point, plan in zip(points, plans, strict=True)}
    *lines, time = plan_text.plan_lines(points, [State("to do", "new")] * len(points), found)
    assert not re.search(r"\d", time)  # none is known
    return lines[3:]


def test_the_plan_tells_steps_states_reasons_and_what_is_left_out():
    present = np.ones((3, 40), dtype=bool)
    present[2, 10:] = False
    plan = make(Source("only", present))
    points = [point(0.0, kind="untrained"), point(0.3, size=16), point(1.0, size=16, groups="all")]
    points[0].config.trainer.max_steps = 0
    states = [State("done", "has its result"), State("to do", "new"), State("failed", "x")]
    lines = plan_text.plan_lines(points, states, {points[1].run_id: plan, points[2].run_id: plan})
    text = "\n".join(lines).replace(str(points[0].sweep_dir), "SWEEP_DIR")
    snapshots.check("progress/plan", text + "\n")


def test_the_plan_tells_the_steps_of_the_other_budget():
    everywhere = Source("only", np.ones((3, 40), dtype=bool))
    points = [
        point(added / 9, budget="fixed_monolingual", added=added, groups="all")
        for added in (0.0, 0.5, 3.0)
    ]
    assert [each.config.batch.cross_lingual_ratio for each in points] == [0, 0.333333, 0.75]
    lines = told(points, [make(everywhere, added=added) for added in (0.0, 0.5, 3.0)])
    assert [
        steps in line
        for steps, line in zip(("10 + 0", "10 + 5", "10 + 30"), lines[1:4], strict=True)
    ] == [True] * 3
    snapshots.check("progress/plan of the other budget", "\n".join(lines[4:]) + "\n")
    # as the experiment gives it, and c/(1+c) replaces it
    words = ("data=synthetic", "batch.cross_lingual_ratio=0")
    swept = [
        dataclasses.replace(each, overrides=(*words, f"batch.added={index}"))
        for index, each in enumerate(points)
    ]
    lines = plan_text.plan_lines(swept, [State("to do", "new")] * 3, {})
    assert "data=synthetic" in lines[2] and not any("cross_lingual_ratio" in line for line in lines)
    unplanned = plan_text.plan_lines(points[1:2], [State("done", "has its result")], {})
    assert any(" 600 " in line for line in unplanned)  # 400 and half as many


def test_the_plan_counts_examples_where_steps_have_both_kinds():
    everywhere = Source("only", np.ones((3, 40), dtype=bool))
    points = [point(ratio, composition="per_example", hard_negatives=4) for ratio in (0.0, 0.3)]
    lines = told(
        points, [make(everywhere, ratio=ratio, composition="per_example") for ratio in (0.0, 0.3)]
    )
    assert "10 + 0 " in lines[1] and "112 + 48 " in lines[2]
    snapshots.check("progress/plan of examples", "\n".join(lines) + "\n")


def test_the_plan_tells_the_steps_of_each_source():
    few = np.ones((3, 40), dtype=bool)
    few[2, 10:] = False
    sources = Source("large", np.ones((3, 40), dtype=bool), 3.0), Source("few", few, 1.0)
    points = [point(0.3, size=16), point(0.3, seed=1, size=16), point(1.0, size=16)]
    lines = told(points, [make(*sources), make(*sources), make(*sources, steps=20)])
    snapshots.check("progress/plan of two sources", "\n".join(lines[4:]) + "\n")


@pytest.mark.parametrize("composition", ["per_batch", "per_example"])
def test_the_plan_counts_the_steps_of_stated_pairs(composition):
    everywhere = Source("only", np.ones((3, 40), dtype=bool))
    stated = StatedPairs(weights={("xa", "xb"): 2.0, ("xb", "xa"): 1.0})
    to_one = StatedPairs(passage_languages=("xb",))
    mixed = StatedPairs(query_languages=("xa", "xb", "xc"), passage_languages=("xa", "xb"))
    points = [point(0.3, seed=seed, composition=composition) for seed in range(3)]
    plans = [make(everywhere, pairs=pairs, composition=composition) for pairs in (stated, to_one)]
    plans.append(make(everywhere, pairs=mixed, composition=composition))
    lines = told(points, plans)
    assert max(map(len, lines)) < 100
    text = "\n".join(line for line in lines if not line.startswith(("to do", "state"))) + "\n"
    snapshots.check(f"progress/plan of pairs {composition}", text)


def test_the_plan_counts_the_pairs_of_questions_with_several_languages():
    everywhere = Source("only", np.ones((3, 40), dtype=bool))
    from_one = StatedPairs(weights={("xa", "xb"): 1.0, ("xa", "xc"): 1.0})
    points = [point(ratio, composition="per_language") for ratio in (0.3, 1.0)]
    plans = [
        make(everywhere, pairs=from_one, ratio=ratio, composition="per_language")
        for ratio in (0.3, 1.0)
    ]
    lines = told(points, plans)
    assert "112 + 48 " in lines[1] and "0 + 10 " in lines[2]
    text = "\n".join(line for line in lines if not line.startswith(("to do", "state"))) + "\n"
    snapshots.check("progress/plan of pairs per_language", text)


def test_no_language_is_told_of_monolingual_steps_where_there_are_none():
    """One language asks and another answers, so that a monolingual step would be in neither."""
    sides = np.array([[1], [0]], bool), np.array([[0], [1]], bool)
    asks, answers = (np.repeat(side, 40, axis=1) for side in sides)
    one_sided = Source("only", asks & answers, None, (asks, answers))
    design = BatchDesign(seed=0, steps=10, batch_size=16, ratio=1.0, pairs=StatedPairs())
    alone = told([point(1.0)], [make_plan([one_sided], ["xa", "xb"], design)])
    assert alone[2] == "steps of each pair (query-passage), at every ratio: xa-xb 10"


def test_the_plan_says_where_in_training_the_cross_lingual_steps_are():
    everywhere = Source("only", np.ones((3, 40), dtype=bool))
    schedules = ("constant", "rising", "falling", "cross_first", "mono_first")
    points = [point(0.3, seed=seed, ratio_schedule=kind) for seed, kind in enumerate(schedules)]
    lines = told(points, [make(everywhere, ratio_schedule=kind) for kind in schedules])
    assert all("7 + 3 " in line for line in lines[1:6]) and max(map(len, lines[6:])) < 100
    snapshots.check("progress/plan of schedules", "\n".join(lines[6:]) + "\n")


def test_the_plan_of_very_many_pairs_says_the_least_and_the_most():
    codes = [f"l{number:02}" for number in range(12)]
    everywhere = Source("only", np.ones((12, 40), dtype=bool))
    design = BatchDesign(
        seed=0,
        steps=200,
        batch_size=16,
        ratio=0.5,
        pairs=StatedPairs(query_languages=tuple(codes)),
    )
    lines = told([point(0.5)], [make_plan([everywhere], codes, design)])
    assert len(lines) == 4 and "132 pairs with 1 to 2 each" in lines[2]


def test_failures_end_with_the_last_lines_of_their_logs():
    lines = plan_text.failure_lines(
        [point(0.0), point(1.0)],
        [State("failed", "no luck"), State("to do", "new")],
        [["last"], []],
    )
    text = "\n".join(lines).replace(str(point(0.0).run_dir), "RUN_DIR")
    snapshots.check("progress/failures", text + "\n")


def test_a_plan_fits_the_terminal_and_says_the_same(monkeypatch):
    rows = [("state", "point", "run id", "why", "overrides")]
    rows.append(("to do", "ratio 0.5, seed 1", "0123456789ab", "new", "seed=1 batch.size=8" * 4))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    head, row, *below = plan_text.table(rows)
    assert (head.split()[-1], row.split()[-1]) == ("why", "new")
    assert max(map(len, [head, row, *below])) <= 80
    assert " ".join(rows[1][-1].split()) in " ".join(" ".join(below).split())
    monkeypatch.setenv("COLUMNS", "999")
    assert len(plan_text.table(rows)) == 2


@pytest.mark.parametrize(("margin", "warns"), [(0, True), (0.01, False), (0.25, True), (1, True)])
def test_a_margin_that_decides_nothing_is_told_before_the_run(margin, warns):
    planned = [point(0.0)]
    planned[0].config.sweep.margin = margin
    lines = plan_text.plan_lines(planned, [State("to do", "new")], {})
    warnings = [line for line in lines if line.startswith("warning: ") and "sweep.margin" in line]
    assert len(warnings) == warns
