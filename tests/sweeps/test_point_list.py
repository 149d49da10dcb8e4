"""Which points a command means, what their state is, and how points.json keeps them."""

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from hybrid_sweep.config.compose import points as composed
from hybrid_sweep.config.schema import bm25, to_dict
from hybrid_sweep.inputs import prepare
from hybrid_sweep.runs import stages
from hybrid_sweep.sweeps import point_list, recorded_points
from hybrid_sweep.utils import plan_log
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_json, try_lease, write_json
from tests import finished_runs
from tests.refused import refused

SMALL = [
    "data=synthetic",
    "data.groups=300",
    "model.vocabulary=600",
    "batch.size=16",
    "trainer.max_steps=12",
]


@pytest.fixture
def expand(cache, tmp_path, monkeypatch):
    """The points of these words, their texts not built: fingerprints are made up from the names."""
    asked = []

    def fingerprints(config, prepared):
        asked.append(config)
        return {
            "collection": config.data.name + str(config.data.groups),
            "model": config.model.name,
        }

    monkeypatch.setattr(prepare, "prepare", lambda config, say: None)
    monkeypatch.setattr(prepare, "fingerprints_of", fingerprints)
    monkeypatch.setattr(stages, "check", lambda *_: None)
    monkeypatch.setattr(point_list, "_known", {})

    def make(*words, multirun=True):
        return point_list.expand(
            composed([*SMALL, f"paths.outputs={tmp_path}", *words], multirun=multirun), print
        )

    make.asked = asked
    return make


def finish(point):
    finished_runs.finish(point.run_dir, point.run_id)


def test_spellings_of_a_ratio_and_repeated_values_are_one_point(expand):
    points = expand("batch.cross_lingual_ratio=0.5,5e-1,.50,0.5000000001,1", "seed=0")
    assert [point.place for point in points if point.kind == "trained"] == [
        ("trained", 0.5, 0),
        ("trained", 1.0, 0),
    ]


def test_a_bare_sweep_goes_from_0_to_1(expand):
    ratios = [point.place[1] for point in expand() if point.kind == "trained"]
    assert len(ratios) >= 7 and ratios[0] == 0 and ratios[-1] == 1 and ratios == sorted(ratios)


def test_bm25_comes_first_and_once_then_the_untrained_encoder_once_a_seed(expand):
    points = expand("batch.cross_lingual_ratio=0,1", "seed=0,1")
    assert [point.kind for point in points] == ["bm25"] + ["untrained"] * 2 + ["trained"] * 4
    assert [point.config.trainer.max_steps for point in points[:3]] == [0, 0, 0]
    assert points[0].label == "BM25" and points[0].place == ("bm25", 0.0, 0)
    assert {
        point.kind for point in expand("seed=0", "sweep.untrained=false", "sweep.bm25=false")
    } == {"trained"}
    # no curve, no floor
    assert [point.kind for point in expand("trainer.max_steps=0", "seed=0")] == ["untrained"]


def test_an_encoder_from_a_folder_is_scored_once_before_training_whatever_the_seeds(
    expand, tmp_path
):
    words = [
        *SMALL[:2],
        "model=pretrained",
        "model.path=folder",
        "sweep.bm25=false",
        f"paths.outputs={tmp_path}",
    ]

    def points(seeds):
        return point_list.expand(
            composed([*words, "batch.cross_lingual_ratio=0,1", f"seed={seeds}"], multirun=True),
            print,
        )

    found = points("1,2")
    assert [point.place[::2] for point in found] == [
        ("untrained", 0),
        *[("trained", 1), ("trained", 2)] * 2,
    ]
    assert not any("seed=" in word for word in found[0].overrides)
    assert points("0")[0].run_id == found[0].run_id


def test_bm25_is_one_run_for_all_sweeps_over_a_collection_and_an_evaluation(expand):
    """What is trained, how, from which seed and with which encoder changes nothing; what is
    searched and asked does.
    """

    def words(*more):
        [point] = [
            point for point in expand(*more, "batch.cross_lingual_ratio=0") if point.kind == "bm25"
        ]
        return point

    plain = words()
    for same in (
        ["seed=3", "trainer.lr=1e-4", "trainer.devices=2", "trainer.precision=bf16-mixed"],
        ["model.hidden_size=64", "model.vocabulary=900", "batch.size=8", "batch.partner=size"],
        [
            "eval.dev_every=4",
            "eval.select=best",
            "eval.batch_tokens=512",
            "eval.index=ivf",
            "sweep.name=b",
        ],
        ["+data@more.other=synthetic", "more.other.groups=400", "eval.measures=[RR@5]"],
    ):
        assert words(*same).run_id == plain.run_id, same
    for other in (["data.groups=400"], ["eval.split=dev"], ["data.languages=[xa,xb]"]):
        assert words(*other).run_id != plain.run_id, other
    assert words("eval.run_depth=7", "eval.measures=[RR@5]").config.eval.run_depth == 7


def test_bm25_as_the_model_is_the_point_of_the_sweeps_and_nothing_is_trained(expand):
    def alone(*words):
        made = composed(["data=synthetic", "data.groups=300", "model=bm25", *words], multirun=False)
        [point] = point_list.expand(made, print)
        return point

    [swept, *_] = expand("batch.cross_lingual_ratio=0")
    assert (
        alone("seed=5", "batch.cross_lingual_ratio=1").run_id == swept.run_id
        and alone().kind == "bm25"
    )
    assert alone("model.k1=1.2").run_id != swept.run_id != alone("model.stem=false").run_id


def test_further_collections_are_noted_at_the_points_that_were_asked_for_them(expand):
    points = expand(
        "batch.cross_lingual_ratio=0", "+data@eval.also.near=synthetic", "eval.also.near.groups=40"
    )
    assert [point.run_id for point in points] == [
        point.run_id for point in expand("batch.cross_lingual_ratio=0")
    ]
    recorded_points.record(points, "one")
    found = read_json(points[0].sweep_dir / "points.json")["points"]
    assert [entry["also"] for entry in found] == [["near"]] * 3


def test_what_cannot_change_the_untrained_encoder_does_not_change_its_id(expand):
    floors = [
        expand(*words, "sweep.bm25=false", multirun=False)[0]
        for words in (
            ["seed=3"],
            ["seed=3", "batch.size=8"],
            ["seed=3", "trainer.lr=1e-4"],
            ["seed=3", "batch.cross_lingual_ratio=0"],
        )
    ]
    assert len({floor.run_id for floor in floors}) == 1 and {floor.kind for floor in floors} == {
        "untrained"
    }
    assert expand("seed=4", "sweep.bm25=false", multirun=False)[0].run_id != floors[0].run_id


def test_the_words_of_every_point_compose_the_same_run_again(expand, tmp_path):
    for point in expand("batch.cross_lingual_ratio=0,0.25", "seed=1,2", "batch.partner=size"):
        again = point_list.expand(composed(point.overrides, multirun=False), print)
        assert point.run_id in {other.run_id for other in again}
        assert again[-1].kind == point.kind and again[-1].run_id == point.run_id


def test_fingerprints_are_asked_for_once_per_data_and_model(expand):
    expand("batch.cross_lingual_ratio=0,0.5,1", "seed=0,1,2")
    assert [config.model.name for config in expand.asked] == ["bm25", "tiny"]
    expand("data.groups=300,400", "batch.cross_lingual_ratio=0", "sweep.name=by-${data.groups}")
    assert len(expand.asked) == 4


def test_each_run_id_stands_once_in_each_sweep(expand):
    points = expand("sweep.name=a,b", "batch.cross_lingual_ratio=0")
    assert len(points) == 6 and len({point.run_id for point in points}) == 3
    assert {point.sweep_dir.name for point in points} == {"a", "b"}


def test_points_that_one_curve_cannot_tell_apart_are_refused_with_the_way_out(expand):
    with refused("sweep.points_differ", "trainer.lr", "sweep.name=default-${trainer.lr}"):
        point_list.check(expand("trainer.lr=1e-3,2e-3", "batch.cross_lingual_ratio=0"))
    split = expand(
        "trainer.lr=1e-3,2e-3",
        "batch.cross_lingual_ratio=0",
        "sweep.name=lr-${trainer.lr}",
        "trainer.max_steps=2",
    )
    assert {point.sweep_dir.name for point in split} == {"lr-0.001", "lr-0.002"}


def test_plans_are_checked_before_anything_runs(cache, tmp_path):
    def make(*words):
        return point_list.expand(
            composed([*SMALL, f"paths.outputs={tmp_path}", *words], multirun=True),
            lambda text: None,
        )

    points = make("batch.cross_lingual_ratio=0,0.25,1", "seed=0,1")
    plans = point_list.check(points)
    assert set(plans) == {point.run_id for point in points if point.kind == "trained"}
    assert [
        int((plans[point.run_id].n_cross > 0).sum()) for point in points if point.kind == "trained"
    ] == [
        0,
        0,
        3,
        3,
        12,
        12,
    ]
    with refused("config.batch.size", "batch.size=4096"):
        point_list.check(make("batch.size=4096"))
    assert list(tmp_path.iterdir()) == []


def test_points_share_a_plan_where_they_differ_in_the_seed_alone(cache, tmp_path, monkeypatch):
    """Everything that the plan depends on makes a plan of its own."""
    monkeypatch.setattr(point_list, "plan_of", lambda config: object())
    words = [
        *SMALL,
        "batch.cross_lingual_ratio=0.5",
        "+data@more.other=synthetic",
        f"paths.outputs={tmp_path}",
    ]
    ((_, config),) = composed(words, multirun=False)

    def changed(part=None, **values):
        return replace(
            config, **({part: replace(getattr(config, part), **values)} if part else values)
        )

    def plans(*configs):
        named = (
            replace(each, sweep=replace(each.sweep, name=str(n))) for n, each in enumerate(configs)
        )
        points = [point_list.Point(str(n), "trained", (), each, {}) for n, each in enumerate(named)]
        return len(set(point_list.check(points).values()))

    assert plans(config, changed(seed=1), changed("trainer", lr=0.1)) == 1
    for other in (
        changed(more={"other": replace(config.more["other"], seed=8)}),
        changed(more={}),
        changed("data", languages=["xa", "xb"]),
        replace(
            changed("data", share=2.0), more={"other": replace(config.more["other"], share=1.0)}
        ),
        changed("batch", composition="per_example"),
        changed("trainer", max_steps=13),
        changed("paths", cache=str(tmp_path)),
    ):
        assert plans(config, other) == 2, other


def test_negatives_that_are_not_drawn_name_no_run(config, tmp_path, monkeypatch):
    """A file of negatives is part of a run that draws from it, not of the untrained encoder, nor of
    a run without.
    """
    monkeypatch.setattr(point_list, "_known", {})
    (tmp_path / "run.txt").write_text("g000000 Q0 g000001 1 1 x\n")
    words = [
        "batch.size=16",
        "model.vocabulary=600",
        "data=synthetic",
        "data.groups=300",
        f"paths.outputs={tmp_path}",
    ]

    def points(*more):
        return point_list.expand(
            composed([*words, "sweep.bm25=false", *more], multirun=False), lambda text: None
        )

    plain, given = points(), points(f"data.negatives={tmp_path / 'run.txt'}")
    drawn = points(f"data.negatives={tmp_path / 'run.txt'}", "batch.hard_negatives=2")
    assert [point.run_id for point in plain] == [point.run_id for point in given]
    assert plain[0].run_id == drawn[0].run_id and plain[1].run_id != drawn[1].run_id
    assert ["negatives" in point.fingerprints for point in (*given, *drawn)] == [
        False,
        False,
        False,
        True,
    ]
    (tmp_path / "run.txt").write_text("g000000 Q0 g000002 1 1 x\n")
    monkeypatch.setattr(point_list, "_known", {})
    again = points(f"data.negatives={tmp_path / 'run.txt'}", "batch.hard_negatives=2")
    assert again[0].run_id == drawn[0].run_id and again[1].run_id != drawn[1].run_id


@pytest.mark.timeout(60)
def test_what_is_no_lock_in_the_folder_of_a_point_or_sweep_is_refused_at_once(expand):
    [point] = [each for each in expand("batch.cross_lingual_ratio=0") if each.kind == "trained"]
    for folder, key, look in (
        (point.run_dir, "locks.not_regular", lambda: point_list.state_of(point)),
        (point.sweep_dir, "files.not_followed", lambda: recorded_points.record([point], "")),
    ):
        folder.mkdir(parents=True)
        os.mkfifo(folder / "lock")
        with refused(key, folder / "lock"):
            look()


def test_states_and_their_reasons(expand):
    [point] = [each for each in expand("batch.cross_lingual_ratio=0") if each.kind == "trained"]

    def state(**status):
        if status:
            write_json(point.run_dir / "status.json", status)
        found = point_list.state_of(point)
        return found.name, found.reason

    assert state() == ("to do", "new")
    assert state(state="training", step=7, max_steps=12) == (
        "to do",
        "interrupted (training, step 7 of 12)",
    )
    lease = try_lease(point.run_dir / "lock")
    assert state() == ("running elsewhere", "training, step 7 of 12")
    assert state(state="failed", error="old") == ("running elsewhere", "failed")
    os.close(lease)
    assert state(state="failed", error="ValueError: x") == ("failed", "ValueError: x")
    (point.run_dir / "status.json").write_text("{half")
    assert state() == ("to do", "new") and point_list.state_of(point).shown == "to do"
    for step, run_id in ((4, point.run_id), (8, point.run_id), (9, "another"), (10, point.run_id)):
        write_json(
            point.run_dir / f"checkpoints/step-{step:08d}.json",
            {"run_id": run_id, "step": step, "sha256": "x"},
        )
        if step < 10:
            (point.run_dir / f"checkpoints/step-{step:08d}.pt").write_text("")
    assert point_list.state_of(point).shown == "resume at step 8"
    write_json(point.run_dir / "status.json", {"state": "failed", "error": "x"})
    assert (point_list.state_of(point).shown, point_list.state_of(point).step) == ("failed", 8)
    finish(point)
    assert state() == ("done", "has its result")


def test_points_json_holds_all_points_before_the_first_runs_in_order(expand):
    points = expand(
        "batch.cross_lingual_ratio=1,0", "seed=1,0", "sweep.name=here", "sweep.margin=0.02"
    )
    assert recorded_points.record(points, "the command") == []
    found = read_json(points[0].sweep_dir / "points.json")
    assert (found["name"], found["margin"], found["command"]) == ("here", 0.02, "the command")
    places = [(entry["kind"], entry["ratio"], entry["seed"]) for entry in found["points"]]
    assert places == sorted(places) and len(places) == 7
    assert {entry["run_id"] for entry in found["points"]} == {point.run_id for point in points}
    assert set(found["points"][0]) == {"run_id", "ratio", "seed", "kind", "overrides"}


def test_points_of_a_second_command_join_those_of_the_first(expand):
    first, second = (
        expand("batch.cross_lingual_ratio=0,1"),
        expand("batch.cross_lingual_ratio=0,0.5"),
    )
    recorded_points.record(first, "one")
    [note] = recorded_points.record(second, "two")
    assert "other points, of earlier commands (1)" in note
    found = read_json(first[0].sweep_dir / "points.json")
    places = [(entry["kind"], entry["ratio"]) for entry in found["points"]]
    assert places == [("bm25", 0), *(("trained", ratio) for ratio in (0, 0.5, 1)), ("untrained", 0)]
    assert found["command"] == "two"
    assert recorded_points.record(expand("batch.cross_lingual_ratio=0,0.5,1"), "three") == []


def test_changed_settings_replace_the_points_at_their_place_and_say_so(expand):
    old = expand("batch.cross_lingual_ratio=0,0.5,1")
    recorded_points.record(old, "one")
    new = expand("batch.cross_lingual_ratio=0,0.5", "trainer.lr=7e-4", "sweep.margin=0.05")
    notes = recorded_points.record(new, "two")
    assert (
        len(notes) == 2
        and "2 of its points had other settings" in notes[0]
        and "1 more keep" in notes[0]
    )
    assert "margin changes from 0.01 to 0.05" in notes[1]
    found = {entry["run_id"] for entry in read_json(old[0].sweep_dir / "points.json")["points"]}
    assert found == {point.run_id for point in new} | {old[-1].run_id}


def test_the_plan_is_logged_with_what_was_finished_when_it_changed(expand):
    """A margin chosen after results, a point replaced by another, and finished points chosen anew
    under another name: each is in plan.jsonl of the sweep.
    """
    words = ("batch.cross_lingual_ratio=0,1", "seed=0,1", "sweep.name=first")
    points = expand(*words, "sweep.margin=0.001")
    folder = points[0].sweep_dir
    recorded_points.record(points, "one")
    recorded_points.record(points, "one")
    assert plan_log.stated(plan_log.read(folder).plans, 0.001)[0]
    for point in points:
        write_json(point.run_dir / "metrics.json", {})
    recorded_points.record(expand(*words, "sweep.margin=0.2"), "two")
    first, second = plan_log.read(folder).plans
    assert (first.finished, first.margin, first.ratios, first.seeds) == (0, 0.001, [0, 1], [0, 1])
    assert first.collections == [f"synthetic {points[0].fingerprints['collection']}"]
    assert (second.finished, second.margin) == (len(points), 0.2)
    recorded_points.record(expand(*words, "sweep.margin=0.2", "trainer.lr=7e-4"), "three")
    third = plan_log.read(folder).plans[-1]
    assert set(third.replaced) == {p.run_id for p in points if p.kind == "trained"}
    renamed = expand(*words[:2], "sweep.name=second", "sweep.margin=0.2")
    recorded_points.record(renamed, "four")
    [only] = plan_log.read(renamed[0].sweep_dir).plans
    assert (only.finished, plan_log.stated([only], 0.2)[0]) == (len(points), False)


def test_a_plan_stopped_between_its_two_files_is_recorded_by_the_next_command(expand, monkeypatch):
    """points.json is written, plan.jsonl is not: the log ends as without the stop, whichever command
    comes next, and what was replaced is in it.
    """
    old = expand("batch.cross_lingual_ratio=0,1", "sweep.name=stopped")
    recorded_points.record(old, "one")
    for point in old:
        write_json(point.run_dir / "metrics.json", {})
    folder = old[0].sweep_dir
    new = expand("batch.cross_lingual_ratio=0,1", "sweep.name=stopped", "trainer.lr=7e-4")
    more = expand("batch.cross_lingual_ratio=0", "sweep.name=stopped", "trainer.lr=7e-4")
    with monkeypatch.context() as stopped:
        stopped.setattr(plan_log, "add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            recorded_points.record(new, "two")
    assert len(plan_log.read(folder).plans) == 1
    recorded_points.record(more, "three")
    recorded_points.record(new, "two")
    _, last = plan_log.read(folder).plans
    assert set(last.points) == {point.run_id for point in new}
    assert set(last.replaced) == {p.run_id for p in old if p.kind == "trained"}


def test_the_planned_number_of_seeds_is_recorded_and_not_exceeded(expand):
    words = ("batch.cross_lingual_ratio=0,1", "seed=0,1,2", "sweep.name=planned")
    points = expand(*words, "sweep.seeds_planned=5")
    point_list.check(points)
    recorded_points.record(points, "one")
    recorded_points.record(expand(*words), "two")  # what was planned stays planned
    [plan] = plan_log.read(points[0].sweep_dir).plans
    assert plan.seeds_planned == 5
    with pytest.raises(UserError) as refused:
        # also where all points are finished, and nothing is left to check a batch of
        recorded_points.check_sweeps(expand(*words, "sweep.seeds_planned=2"))
    assert refused.value.key == "config.sweep.seeds_planned"


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["trainer.lr=7e-4"], "trainer.lr"),
        (["model.pooling=cls", "seed=3"], "model.pooling"),
        (["data.groups=99"], "data.groups"),
    ],
)
def test_a_sweep_of_two_settings_is_refused_unless_all_its_points_are_replaced(expand, words, key):
    for point in expand("batch.cross_lingual_ratio=0,1"):
        recorded_points.record([point], "one")
        point.run_dir.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(to_dict(point.config)), point.run_dir / "config.yaml")
    recorded_points.check_sweeps(expand("batch.cross_lingual_ratio=0", *words[1:]))
    with refused("sweep.settings_differ", key):
        recorded_points.check_sweeps(expand("batch.cross_lingual_ratio=0", *words))
    recorded_points.check_sweeps(expand("batch.cross_lingual_ratio=0", *words, "sweep.name=other"))
    if "seed=3" not in words:
        recorded_points.check_sweeps(expand("batch.cross_lingual_ratio=0,0.5,1", *words))
    aside = ["trainer.threads=2", "sweep.margin=0.02", "batch.cross_lingual_ratio=0.5", "seed=0,5"]
    recorded_points.check_sweeps(expand(*aside))


def without(monkeypatch, package):
    """Let a package be not installed, as far as a plan can tell."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find(name)
    )


def test_adapters_that_cannot_be_made_are_refused_before_anything_starts(expand, monkeypatch):
    expand("model.lora_rank=2", "seed=8")
    without(monkeypatch, "peft")
    with refused("install.peft", "model.lora_rank=3"):
        expand("model.lora_rank=3", "seed=8")


def test_a_plan_without_faiss_is_refused_but_for_bm25(expand, monkeypatch):
    without(monkeypatch, "faiss")
    ((_, config),) = composed(SMALL, multirun=False)
    point_list.check_installed(bm25(config))
    with refused("install.faiss"):
        expand("model=tiny", "sweep.bm25=false")


def test_checkpointing_is_asked_of_the_model_before_anything_starts(expand, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "hybrid_sweep.models.loading.check_checkpointing", lambda *of: asked.append(of)
    )
    monkeypatch.setattr(prepare, "prepare", lambda *_: SimpleNamespace(model=Path("model")))
    expand("trainer.gradient_checkpointing=false")
    assert not asked
    expand("trainer.gradient_checkpointing=true", "seed=0,1")
    assert len(asked) == 1


def test_outputs_are_tried_before_any_work_and_nothing_is_left_behind(config, tmp_path):
    made = config(f"paths.outputs={tmp_path / 'deep' / 'er'}")
    point_list.check_outputs(made)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    for outputs in (tmp_path / "file", tmp_path / "file" / "below", "/proc/self"):
        with refused("config.paths.outputs", "paths.outputs="):
            point_list.check_outputs(config(f"paths.outputs={outputs}"))


@pytest.mark.parametrize(
    "content, key",
    [
        ("{half", "records.json"),
        ("", "records.json"),
        ("[]", "records.field"),
        ('{"points": 3}', "records.field"),
        ('{"name": "../x", "margin": 0, "points": []}', "names.folder"),
    ],
)
def test_a_broken_points_json_is_refused_and_kept(expand, content, key):
    """Written anew it would lose the points that it still names, without a word."""
    points = expand("batch.cross_lingual_ratio=0")
    points[0].sweep_dir.mkdir(parents=True)
    (points[0].sweep_dir / "points.json").write_text(content)
    with refused(key, "points.json"):
        recorded_points.record(points, "one")
    assert (points[0].sweep_dir / "points.json").read_text() == content


def test_a_metric_of_validation_that_does_not_exist_is_refused_before_anything_runs(config):
    good, bad = (
        config("eval.dev_every=5", f"eval.dev_metric={name}")
        for name in ("multilingual/AP", "multilingual/MAP")
    )
    point_list.check([point_list.Point("a", "trained", (), good, {})])
    with refused("config.eval.dev_metric", "eval.dev_metric=multilingual/MAP"):
        point_list.check([point_list.Point("b", "trained", (), bad, {})])


def test_planning_a_sweep_imports_nothing_heavy():
    """What only the worker and the report need costs seconds at every command."""
    import subprocess
    import sys

    code = (
        "import sys, hybrid_sweep.sweeps.point_list; print(sorted({'torch', 'pandas', 'scipy', 'transformers'}"
        " & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "[]"
    )


@pytest.mark.slow
def test_neither_does_the_plan_of_what_is_prepared(cache, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys\nfrom hybrid_sweep.commands import cli\nassert cli.main(['plan', *sys.argv[1:]]) == 0\n"
        "print(sorted({'torch', 'pandas', 'scipy', 'transformers', 'wandb'} & set(sys.modules)))"
    )
    for _ in range(2):  # the first time it prepares
        command = [sys.executable, "-c", code, *SMALL, f"paths.outputs={tmp_path}"]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
