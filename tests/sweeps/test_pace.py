"""The time of a sweep that is planned, from the runs that are finished."""

import dataclasses
import os
import platform

import pytest
from omegaconf import OmegaConf

from hybrid_sweep.config.schema import (
    Config,
    SyntheticData,
    TinyModel,
    TrainerConfig,
    to_dict,
    untrained,
)
from hybrid_sweep.runs import trained
from hybrid_sweep.sweeps import pace
from hybrid_sweep.sweeps.point_list import Point, State
from hybrid_sweep.utils.files import write_json
from tests import finished_runs

PLAN = {"name": "default", "margin": 0.01, "command": ""}
ENTRY = {"ratio": 0.0, "seed": 0, "kind": "trained"}
TO_DO, DONE = State("to do", "new"), State("done", "has its result")


@pytest.fixture
def point(tmp_path):
    def make(ratio=0.5, steps=100, kind="trained", **trainer):
        made = Config(
            data=SyntheticData(name="synthetic", languages=["xa", "xb"]),
            model=TinyModel(name="tiny"),
        )
        made.batch = dataclasses.replace(made.batch, cross_lingual_ratio=ratio)
        made.trainer = TrainerConfig(max_steps=steps, **trainer)
        made.paths.outputs = str(tmp_path)
        made = untrained(made) if kind == "untrained" else made
        return Point(
            f"{kind}{ratio}{steps}{len(trainer)}", kind, (), made, {"collection": "c", "model": "m"}
        )

    return make


def finish(point, cpus=None, **times):
    finished_runs.finish(point.run_dir, point.run_id)
    OmegaConf.save(OmegaConf.create(to_dict(point.config)), point.run_dir / "config.yaml")
    here = {
        "machine": platform.machine(),
        "system": platform.system(),
        "cpus": cpus or os.cpu_count(),
    }
    write_json(point.run_dir / "provenance.json", {"hardware": here, "times": times})


def told(*points, states=None):
    return pace.seconds(points, states or [TO_DO] * len(points))


def test_nothing_is_known_before_a_point_is_finished(point):
    times = told(point())
    assert list(times.values()) == [None] and pace.lines([point()], times)[0].startswith(
        "time: unknown"
    )
    assert pace.lines([point()], {}) == []


def test_a_point_takes_what_those_like_it_took_whatever_their_ratio_and_rate(point):
    finish(point(0.0, lr=7e-4), train_seconds=50, steps=100, start_seconds=8, evaluate_seconds=2)
    assert told(point(1.0, steps=400)) == {
        point(1.0, steps=400).run_id: pytest.approx(8 + 2 + 400 * 0.5)
    }
    assert told(point(0.5), states=[DONE]) == {}


def test_only_the_steps_that_are_left_count(point):
    finish(point(0.0), train_seconds=50, steps=100, start_seconds=8, evaluate_seconds=2)
    assert list(told(point(1.0), states=[State("to do", "", 90)]).values()) == [
        pytest.approx(10 + 10 * 0.5)
    ]


def test_a_resumed_run_counts_by_the_steps_that_its_time_is_of(point):
    finish(point(0.0, steps=400), train_seconds=20, steps=10, start_seconds=0, evaluate_seconds=0)
    assert list(told(point(1.0)).values()) == [pytest.approx(200)]


def test_what_is_trained_takes_only_the_evaluations_that_are_missing(point):
    done, asked = point(0.0), point(1.0)
    for each in (done, asked):
        each.config.eval.also = {
            "other": SyntheticData(name="synthetic", languages=["xa"], pools=[5])
        }
    finish(done, train_seconds=50, steps=100, start_seconds=8, evaluate_seconds=2)
    assert list(told(asked).values()) == [None]  # nothing is known of the further collection yet
    # which is asked for by some alone
    assert list(told(point(0.5)).values()) == [pytest.approx(60)]
    for name, seconds in (("other", 30), ("other_pool_5", 4)):
        write_json(
            done.run_dir / "evaluations" / name / "provenance.json",
            {"times": {"evaluate_seconds": seconds}},
        )
    pace._read.cache_clear()
    assert list(told(asked).values()) == [pytest.approx(8 + 50 + 2 + 30 + 4)]
    for name in ("steps.parquet", "model/modules.json"):
        (asked.run_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (asked.run_dir / name).touch()
    trained.write(asked.run_dir)
    assert list(told(asked).values()) == [pytest.approx(8 + 2 + 30 + 4)]
    finished_runs.finish(asked.run_dir, asked.run_id, measures=asked.config.eval.measures)
    assert list(told(asked).values()) == [pytest.approx(8 + 30 + 4)]


def test_other_work_or_another_machine_tells_nothing(point):
    finish(point(0.0, devices=2), train_seconds=50, steps=100, start_seconds=8, evaluate_seconds=2)
    finish(point(0.0), cpus=1000, train_seconds=50, steps=100, start_seconds=8, evaluate_seconds=2)
    assert list(told(point()).values()) == [None]
    write_json(
        point().sweep_dir / "points.json",
        PLAN | {"points": [ENTRY | {"run_id": point(0.0).run_id}]},
    )
    # of this sweep, wherever it was done
    assert list(told(point()).values()) == [pytest.approx(60)]


def test_an_untrained_point_takes_no_step_and_what_is_unknown_is_said(point):
    floor = point(kind="untrained")
    finish(
        dataclasses.replace(floor, run_id="other"),
        train_seconds=1,
        steps=0,
        start_seconds=8,
        evaluate_seconds=3,
    )
    times = told(floor, point())
    assert times == {floor.run_id: pytest.approx(12), point().run_id: None}
    [line] = pace.lines([floor, point()], times)
    assert line.startswith("time: about 12 s") and "without 1 of the 2 points" in line


def test_points_that_run_together_share_the_time(point, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    points = [point(ratio / 10) for ratio in range(5)]
    [line] = pace.lines(points, {each.run_id: 60.0 for each in points})
    assert line == "time: about 2 min, 2 points at a time (5 min one after the other)"


def test_a_record_of_an_older_version_is_passed_over(point):
    finish(point(0.0), train_seconds=50, evaluate_seconds=2)
    (point(0.1).run_dir).mkdir()
    (point(0.1).run_dir / "metrics.json").write_text("{")
    assert list(told(point()).values()) == [None]


def test_the_age_of_a_process_is_what_its_start_took():
    import subprocess
    import sys

    from hybrid_sweep.runs.provenance import process_age

    code = (
        "import time; time.sleep(0.5); from hybrid_sweep.runs.provenance import process_age;"
        " print(process_age())"
    )
    age = float(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
    )
    assert 0.5 <= age < 60 and process_age() > 0
