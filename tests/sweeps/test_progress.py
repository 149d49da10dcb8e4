"""What a user reads: the plan, the lines of a log, the time left, the failures."""

import dataclasses
import re
from pathlib import Path

import pytest

from hybrid_sweep.config.schema import Config, SyntheticData, TinyModel
from hybrid_sweep.runs import trained
from hybrid_sweep.sweeps import progress
from hybrid_sweep.sweeps.point_list import Point
from hybrid_sweep.sweeps.progress import Row
from tests import snapshots


def point(ratio=0.5, seed=0, kind="trained", **batch):
    made = Config(
        seed=seed,
        data=SyntheticData(name="synthetic", languages=["xa", "xb"]),
        model=TinyModel(name="tiny"),
    )
    made.batch = dataclasses.replace(made.batch, cross_lingual_ratio=ratio, **batch)
    words = ("data=synthetic", f"batch.cross_lingual_ratio={ratio}", f"seed={seed}")
    return Point(
        f"id{ratio}{seed}{kind}", kind, words, made, {"collection": "cafe", "model": "beef"}
    )


def training(step, steps, speed, seconds):
    return Row(
        point(),
        seconds,
        {
            "state": "training",
            "step": step,
            "max_steps": steps,
            "loss": 1.23456,
            "steps_per_second": speed,
        },
    )


def test_time_left_from_the_points_that_ended():
    # Mean 100 s: the running one has 60 s to go, two wait, two slots: (60 + 200) / 2.
    assert progress.time_left(
        [Row(point(), 40, {})], ["trained", "trained", "untrained"], 2, [90, 110]
    ) == pytest.approx(130)
    # one slot is idle at the end
    assert progress.time_left([Row(point(), 40, {})], [], 2, [100]) == pytest.approx(60)


def test_time_left_from_the_pace_before_the_first_point_ended():
    assert progress.time_left([Row(point(), 3, {"state": "starting"})], ["trained"], 1, []) is None
    assert progress.time_left([training(50, 100, 5.0, 12)], ["trained"], 1, []) == pytest.approx(
        10 + 22
    )


def resumed(first, step, steps, speed, seconds):
    row = training(step, steps, speed, seconds)
    return dataclasses.replace(row, status={**row.status, "first_step": first})


def test_a_resumed_point_counts_as_if_all_its_steps_were_done_here():
    # 90 of 100 steps were there already: 18 s of 5 steps a second, then 1 s until now, 1 s left
    row = resumed(90, 95, 100, 5.0, 1)
    assert progress.time_left([row], ["trained"] * 3, 1, []) == pytest.approx(1 + 3 * 20)
    assert progress.time_left([row], [], 1, [100]) == pytest.approx(81)


@pytest.mark.parametrize("first", [0, 90])
def test_the_rest_of_a_resumed_point_is_not_taken_for_a_whole_one(first):
    view = progress.Plain(25)
    view.started(point())
    view.show([resumed(first, 95, 100, 5.0, (95 - first) / 5)], [])
    view.done(point(), (100 - first) / 5)
    assert view.took == [pytest.approx(20)]


def test_a_point_of_which_only_the_evaluation_was_left_tells_nothing_of_the_others(tmp_path):
    made = point()
    made.config.paths.outputs = str(tmp_path)
    made.run_dir.mkdir(parents=True)
    (made.run_dir / trained.RECORD).touch()
    view = progress.Plain(2)
    view.started(made)
    view.done(made, 0.1)
    assert view.took == []


def test_plain_lines_for_events_and_every_fifteen_seconds_for_the_running(capsys, monkeypatch):
    view = progress.Plain(3)
    view.started(point())
    view.show([training(50, 100, 5.0, 12)], [])
    view.failed(point(), "no luck")
    view.done(point(1.0), 100)
    view.skipped(point(0.0))
    monkeypatch.setattr(view, "said", view.said - 16)
    view.show([training(50, 100, 5.0, 12)], [point()])
    view.show([training(51, 100, 5.0, 12)], [point()])
    snapshots.check("progress/plain lines", capsys.readouterr().out)


@pytest.mark.parametrize("accelerator, needed", [("cpu", "core"), ("gpu", "GPU")])
def test_who_waits_is_told_for_what_where_the_locks_are_and_what_to_do(capsys, accelerator, needed):
    waiting = point()
    waiting.config.trainer.accelerator = accelerator
    progress.Plain(3).busy(waiting, Path("/tmp/some-slots"))
    snapshots.check(f"progress/waiting for a {needed}", capsys.readouterr().out)


def test_encoding_is_counted_in_texts():
    status = {
        "state": "encoding",
        "step": 9,
        "max_steps": 9,
        "collection": "debian",
        "encoded": 120,
        "texts": 500,
    }
    _, state, *rest = progress.cells(Row(point(), 9, status))
    assert re.findall(r"\d+", state) == ["120", "500"] and rest == ["", "", "", ""]
    snapshots.check("progress/encoding", state + "\n")


def test_a_status_that_is_not_there_yet_is_no_trouble():
    assert progress.cells(Row(point(), 0.1, {})) == [
        "ratio 0.5, seed 0",
        "starting",
        "",
        "",
        "",
        "",
    ]
    # it may go on from a checkpoint, or be trained already
    begun = {"state": "starting", "step": 0, "max_steps": 9}
    assert progress.cells(Row(point(), 1, begun))[1:] == ["starting", "", "", "", ""]
    assert progress.cells(Row(point(), 9, {"state": "training", "step": 0, "max_steps": 9}))[
        2:
    ] == ["0/9", "", "", ""]


def test_the_live_table_shows_running_points_and_the_total():
    from io import StringIO

    from rich.console import Console
    from rich.live import Live

    words = StringIO()
    with Live(
        console=Console(file=words, force_terminal=True, width=100), auto_refresh=False
    ) as screen:
        view = progress.Live(21, 2, screen)
        for number in range(7):
            view.skipped(point(seed=number))
        view.show([training(50, 100, 5.0, 12), Row(point(1.0), 1, {})], [])
        screen.refresh()
        view.failed(point(0.25), "no luck")
        table = StringIO()
        Console(file=table, width=100).print(screen.get_renderable())
    snapshots.check("progress/live table", re.sub(" +\n", "\n", table.getvalue()))
    shown = words.getvalue()
    assert "50/100" in shown and "7/21" in shown
    assert "id0.250trained" in shown and "no luck" in shown


@pytest.mark.parametrize(
    "terminal, live, kind", [(True, True, "Live"), (True, False, "Plain"), (False, True, "Plain")]
)
def test_the_table_is_for_a_terminal_and_lines_are_for_all_else(monkeypatch, terminal, live, kind):
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: terminal, raising=False)
    with progress.watch(3, 2, live) as view:
        assert type(view).__name__ == kind
