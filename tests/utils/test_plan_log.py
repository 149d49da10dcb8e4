"""plan.jsonl: an append-only, hash-chained record, and what it says of a margin."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from hybrid_sweep.utils import plan_log
from hybrid_sweep.utils.errors import UserError

IDS = [f"{number:012x}" for number in range(6)]


def line(margin: float = 0.01, finished: int = 0, **more: Any) -> dict[str, Any]:
    plan = {
        "primary": plan_log.PRIMARY.format("RR@10"),
        "margin": margin,
        "ratios": [0.0, 1.0],
        "seeds": [0, 1, 2],
    }
    plan |= {"collections": ["synthetic abc"], "points": IDS, "finished": finished, "replaced": []}
    return plan | more


def test_a_line_is_added_for_each_change_of_the_plan_alone(tmp_path: Path) -> None:
    for finished in (0, 3, 6):
        plan_log.add(tmp_path, line(finished=finished))
    plan_log.add(tmp_path, line(0.2, 6))
    plan_log.add(tmp_path, line(0.2, 6, seeds=[0, 1, 2, 3]))
    lines = plan_log.read(tmp_path).plans
    assert [(one.margin, one.finished, len(one.seeds)) for one in lines] == [
        (0.01, 0, 3),
        (0.2, 6, 3),
        (0.2, 6, 4),
    ]


def test_lines_that_are_there_are_never_rewritten(tmp_path: Path) -> None:
    before = b""
    for number in range(4):
        plan_log.add(tmp_path, line(0.01 * (number + 1)))
        now = (tmp_path / plan_log.NAME).read_bytes()
        assert now.startswith(before) and len(now) > len(before)
        before = now


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("change", ["margin", "finished", "gone", "doubled", "garbage", "swapped"])
def test_a_changed_line_breaks_the_chain(tmp_path: Path, number: int, change: str) -> None:
    """The last line has none after it: there only what cannot be a line at all is seen."""
    for margin in (0.01, 0.02, 0.03):
        plan_log.add(tmp_path, line(margin, 2))
    path = tmp_path / plan_log.NAME
    texts = path.read_text().splitlines()
    if change in ("margin", "finished"):
        content = json.loads(texts[number])
        content[change] = 0 if change == "finished" else 0.5
        texts[number] = json.dumps(content)
    elif change == "gone":
        del texts[number]
    elif change == "doubled":
        texts.insert(number, texts[number])
    elif change == "garbage":
        texts[number] = texts[number][:-9]
    else:
        texts[number - 1], texts[number] = texts[number], texts[number - 1]
    path.write_text("\n".join(texts) + "\n")
    if number == 2 and change in ("margin", "finished", "gone"):
        assert len(plan_log.read(tmp_path).plans) == len(texts)
        return
    for use in (lambda: plan_log.read(tmp_path), lambda: plan_log.add(tmp_path, line(0.5))):
        with pytest.raises(UserError) as problem:
            use()
        assert problem.value.key == "plan_log.broken"
    assert path.read_text() == "\n".join(texts) + "\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    plan_log.add(tmp_path, line())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / plan_log.NAME).symlink_to(tmp_path / plan_log.NAME)
    assert plan_log.read(tmp_path / "other") == plan_log.Log()


@pytest.mark.parametrize(
    ("plans", "before", "words"),
    [
        ([(0.01, 0)], True, "stated before the first point was finished"),
        ([(0.05, 0), (0.01, 0)], True, "stated before the first point was finished"),
        ([(0.001, 0), (0.2, 6)], False, "changed from 0.001 to 0.2 after 6 of 6 points"),
        ([(0.01, 4)], False, "first recorded when 4 of 6 points were finished"),
        (
            [(0.01, 1), (0.02, 3), (0.01, 6)],
            False,
            "first recorded when 1 of 6 points were finished; changed from 0.01 to 0.02 after 3 of"
            " 6 points; changed from 0.02 to 0.01 after 6 of 6 points",
        ),
    ],
)
def test_when_a_margin_was_stated(
    tmp_path: Path, plans: list[tuple[float, int]], before: bool, words: str
) -> None:
    for margin, finished in plans:
        plan_log.add(tmp_path, line(margin, finished))
    lines = plan_log.read(tmp_path).plans
    assert plan_log.stated(lines, plans[-1][0]) == (before, words)
    assert not plan_log.stated(lines, 0.77)[0]
    assert not plan_log.stated([], 0.01)[0]


def test_results_that_others_took_the_place_of_were_seen(tmp_path: Path) -> None:
    """All points finished, then replaced by new ones, and the margin moved before one of these is
    finished, at once or by a later command: not stated before.
    """
    for later in (False, True):
        folder = tmp_path / str(later)
        plan_log.add(folder, line(0.01))
        new = [f"{number:012x}" for number in range(6, 12)]
        plan_log.add(folder, line(0.01 if later else 0.2, points=new, replaced=IDS))
        plan_log.add(folder, line(0.2, points=new, seeds=[0, 1]))
        before, words = plan_log.stated(plan_log.read(folder).plans, 0.2)
        assert (before, words) == (
            False,
            "changed from 0.01 to 0.2 after finished points were replaced",
        )


def test_any_change_of_the_margin_after_a_result_is_told() -> None:
    """All ways to state three margins at three moments: before only if none moved after one."""
    for margins in itertools.product((0.01, 0.02), repeat=3):
        for counts in itertools.combinations_with_replacement((0, 2, 6), 3):
            lines = [
                plan_log.Planned(previous="", time="", **line(margin, finished))
                for margin, finished in zip(margins, counts, strict=True)
            ]
            moved = any(margins[k] != margins[k - 1] and counts[k] for k in (1, 2)) or bool(
                counts[0]
            )
            assert plan_log.stated(lines, margins[-1])[0] is not moved


def test_what_was_chosen_late_is_told(tmp_path: Path) -> None:
    plan_log.add(tmp_path, line())
    plan_log.add(tmp_path, line(ratios=[0.0, 0.5, 1.0]))  # before any result
    assert plan_log.chosen_late(plan_log.read(tmp_path).plans) == []
    plan_log.add(tmp_path, line(finished=6, ratios=[0.0, 1.0], seeds=[0, 1, 2, 3, 4]))
    plan_log.add(tmp_path, line(finished=4, ratios=[0.0, 1.0], seeds=[0, 1, 2], replaced=IDS[:2]))
    notes = plan_log.chosen_late(plan_log.read(tmp_path).plans)
    assert notes[:2] == [
        "ratios left out after 6 of 6 points: 0.5",
        "seeds added after 6 of 6 points: 3, 4",
    ]
    assert notes[2] == "seeds left out after 4 of 6 points: 3, 4" and len(notes) == 4


def test_looks_are_chained_with_the_plans_and_counted_once(tmp_path: Path) -> None:
    plan_log.add_look(tmp_path, [3])
    assert not (tmp_path / plan_log.NAME).exists()  # no plan, so no record of looks at it
    plan_log.add(tmp_path, line(seeds_planned=10))
    for counts in ([3], [3], [3, 5], [5], []):
        plan_log.add_look(tmp_path, counts)
    plan_log.add(tmp_path, line(finished=6, seeds_planned=12))
    log = plan_log.read(tmp_path)
    assert log.looks == (3, 5) and [plan.seeds_planned for plan in log.plans] == [10, 12]
    texts = (tmp_path / plan_log.NAME).read_text().splitlines()
    assert [("looked_at" in text) for text in texts] == [False, True, True, False]
    del texts[1]
    (tmp_path / plan_log.NAME).write_text("\n".join(texts) + "\n")
    with pytest.raises(UserError, match="line 2"):
        plan_log.read(tmp_path)


@pytest.mark.parametrize(
    ("plans", "asked", "n_seeds", "has_results", "planned"),
    [
        ([], None, 3, False, 3),  # those of the command
        ([], 5, 3, False, 5),
        ([5], None, 3, True, 5),
        ([3], None, 5, False, 5),  # more, before any result
        ([3], None, 5, True, 3),  # more, which were not planned
        ([3], 7, 5, True, 7),
        ([None], None, 5, True, 3),  # a line of an earlier version: the seeds that it has
    ],
)
def test_how_many_seeds_are_planned(
    tmp_path: Path,
    plans: list[int | None],
    asked: int | None,
    n_seeds: int,
    has_results: bool,
    planned: int,
) -> None:
    for number in plans:
        plan_log.add(tmp_path, line(seeds_planned=number))
    log = plan_log.read(tmp_path)
    assert plan_log.seeds_planned(log, asked, n_seeds, has_results) == planned


def test_seeds_up_to_the_planned_number_are_not_chosen_late(tmp_path: Path) -> None:
    plan_log.add(tmp_path, line(seeds_planned=5))
    plan_log.add(tmp_path, line(finished=6, seeds=[0, 1, 2, 3, 4], seeds_planned=5))
    assert plan_log.chosen_late(plan_log.read(tmp_path).plans) == []
    plan_log.add(tmp_path, line(finished=6, seeds=[0, 1, 2, 3, 4, 5], seeds_planned=5))
    plan_log.add(tmp_path, line(finished=6, seeds=[0, 1, 2, 3, 4, 5], seeds_planned=6))
    notes = plan_log.chosen_late(plan_log.read(tmp_path).plans)
    assert notes == [
        "seeds added after 6 of 6 points: 5",
        "number of planned seeds changed from 5 to 6 after 6 of 6 points",
    ]
