"""The program as its users meet it: help, one clear line for bad input, sweeps through Hydra and
their exit codes.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from hybrid_sweep.commands import cli, sweep_verbs
from hybrid_sweep.config.schema import SCHEMAS
from hybrid_sweep.inputs import prepare
from hybrid_sweep.sweeps import forks, scheduler
from hybrid_sweep.utils import plan_log
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_json, try_lease
from tests import snapshots
from tests.refused import refused

STANDIN = Path(__file__).parents[1] / "standin_worker.py"
SMALL = [
    "data=synthetic",
    "data.groups=300",
    "model.vocabulary=600",
    "batch.size=16",
    "trainer.max_steps=12",
]
SMALL += ["sweep.bm25=false"]  # a point less in every sweep here; the first one has it


@pytest.fixture
def program(cache, tmp_path, monkeypatch, capsys):
    """Runs the program in this process, with the stand-in for its workers; gives exit code, output,
    errors, and the key of what it refused, if anything."""
    monkeypatch.chdir(tmp_path)
    dispatch, keys = cli._dispatch, []

    def noted(words):
        try:
            return dispatch(words)
        except UserError as error:
            keys.append(error.key)
            raise

    monkeypatch.setattr(cli, "_dispatch", noted)

    def call(*words, **rules):
        (tmp_path / "rules.json").write_text(
            json.dumps({"journal": str(tmp_path / "journal"), "seconds": 0.0, **rules})
        )
        monkeypatch.setattr(
            scheduler, "WORKER", (sys.executable, "-S", str(STANDIN), str(tmp_path / "rules.json"))
        )
        keys.clear()
        code = cli.main(list(words))
        told = capsys.readouterr()
        return types.SimpleNamespace(code=code, out=told.out, err=told.err, key="".join(keys))

    return call


def starts(tmp_path):
    path = tmp_path / "journal"
    return path.read_text().count("start ") if path.exists() else 0


RUN_ID = re.compile(r"\b[0-9a-f]{12}\b")


def ending(out):
    """What is printed after the points, from the line that counts them on; no run id, time or
    folder of its own.
    """
    out = RUN_ID.sub("RUN", out).replace(str(Path.cwd()), "HERE")
    lines = re.sub(r"\d{4}-\d\d-\d\dT[\d:+]+", "TIME", out).splitlines()
    start = max(place for place, line in enumerate(lines) if re.match(r"\d+/\d+ ", line))
    return "\n".join(lines[start:]) + "\n"


def counts(out):
    """The numbers in the line that counts the points: done, all, and what else is counted."""
    return [int(number) for number in re.findall(r"\d+", ending(out).splitlines()[0])]


def planned(out):
    """The lines of a plan that are of a point: with a run id, and not the two fingerprints of data
    and model.
    """
    return [line for line in out.splitlines() if len(RUN_ID.findall(line)) == 1]


# --- bad input

BAD = {
    "ratio above 1": (
        ["run", *SMALL, "batch.cross_lingual_ratio=1.2"],
        "config.batch.cross_lingual_ratio",
        "batch.cross_lingual_ratio=1.2",
    ),
    "ratio below 0": (
        ["run", *SMALL, "batch.cross_lingual_ratio=-0.1"],
        "config.batch.cross_lingual_ratio",
        "batch.cross_lingual_ratio=-0.1",
    ),
    "ratio nan": (
        ["run", *SMALL, "batch.cross_lingual_ratio=nan"],
        "config.batch.cross_lingual_ratio",
        "batch.cross_lingual_ratio=nan",
    ),
    "ratio in words": (
        ["run", *SMALL, "batch.cross_lingual_ratio=lots"],
        "config.batch.cross_lingual_ratio",
        "'lots'",
    ),
    "one point of a sweep": (
        ["run", "-m", *SMALL, "batch.cross_lingual_ratio=0,0.5,1.5"],
        "config.batch.cross_lingual_ratio",
        "1.5",
    ),
    "one language": (
        ["run", *SMALL, "data.languages=[xa]"],
        "config.batch.cross_lingual_ratio",
        "data.languages",
    ),
    "absent language": (["run", *SMALL, "data.languages=[xa,zz]"], "data.language_missing", "zz"),
    "large batch": (["run", *SMALL, "batch.size=4096"], "config.batch.size", "batch.size=4096"),
    "large batch, plan": (
        ["plan", "-m", *SMALL, "batch.size=4096"],
        "config.batch.size",
        "batch.size=4096",
    ),
    "unknown data": (["run", "data=debain"], "config.unknown_name", "debian"),
    "unknown model": (["run", *SMALL, "model=tinny"], "config.unknown_name", "tiny"),
    "unknown key": (
        ["run", *SMALL, "trainer.max_step=3"],
        "config.unknown_key",
        "trainer.max_steps",
    ),
    "wrong type": (["run", *SMALL, "batch.size=many"], "config.batch.size", "batch.size"),
    "sweep without -m": (["run", *SMALL, "seed=0,1"], "config.several_values", "-m"),
    "key of another model": (
        ["run", *SMALL, "model=pretrained", "model.path=/x"],
        "config.unknown_key",
        "model.vocabulary",
    ),
    "missing model": (
        ["run", SMALL[0], "model=pretrained", "model.path=/no/such/model"],
        "model.folder_missing",
        "/no/such/model",
    ),
    "outputs is a file": (
        ["run", *SMALL, "paths.outputs=/proc/version"],
        "config.paths.outputs",
        "paths.outputs=/proc/version",
    ),
    "two curves in one": (
        ["run", "-m", *SMALL, "trainer.lr=1e-3,1e-4"],
        "sweep.points_differ",
        "trainer.lr",
    ),
    "no gpu": (
        ["run", "-m", *SMALL, "trainer.accelerator=gpu"],
        "config.trainer.devices",
        "trainer.devices",
    ),
    "unknown option": (["run", "--multi", "--nonsense"], "command.arguments", "--nonsense"),
    "other config name": (["run", "--config-name", "x"], "option.not_taken", "--config-dir"),
    "no config dir": (["run", "--config-dir", "/no/such/dir"], "option.config_dir", "/no/such/dir"),
    "bad launcher": (
        ["run", "-m", *SMALL, "hydra/launcher=slrum"],
        "config.unknown_name",
        "hydra/launcher=slrum",
    ),
    "bad launcher option": (
        ["run", "-m", *SMALL, "hydra.launcher.jobs=3"],
        "config.unknown_key",
        "hydra.launcher.jobs",
    ),
    "bad words to show": (
        ["run", "--cfg", "job", "data.size=3"],
        "config.unknown_key",
        "data.size",
    ),
    "config of a whole sweep": (["run", "-m", "--cfg", "job"], "option.hydra", "-m"),
    "info of a whole sweep": (["run", "-m", "--info", "all"], "option.hydra", "-m"),
    "path of no effect": (
        ["plan", *SMALL, "model.path=/nonexistent"],
        "config.model.path",
        "model=pretrained",
    ),
    "a run file with an equals sign": (
        ["mine", "/proc/self", "neg=1.tsv"],
        "run.missing",
        "/proc/self",
    ),
    "unknown verb": (["rnu"], "command.verb_unknown", "'rnu'"),
    "no sweep folder": (["report"], "command.arguments", "SWEEP_DIR"),
    "unknown sweep": (["report", "outputs/sweeps/frist"], "sweep.missing", "outputs/sweeps/frist"),
    "nothing to probe": (["probe"], "command.arguments", "SWEEP_DIR"),
    "unknown sweep to probe": (
        ["probe", "outputs/sweeps/frist"],
        "sweep.missing",
        "outputs/sweeps/frist",
    ),
    "probe at rank 0": (["probe", ".", "--at", "0"], "option.at", "--at 0"),
    "probe with half of few seeds": (
        ["probe", ".", "--share", "0.4"],
        "option.share",
        "--share 0.4",
    ),
    "probe with no share": (["probe", ".", "--share", "nan"], "option.share", "--share nan"),
    "probe with passages below 0": (
        ["probe", ".", "--passages", "-1"],
        "option.passages",
        "--passages -1",
    ),
    "probe with and without texts": (
        ["probe", ".", "--no-texts", "--collection", "x"],
        "option.collection",
        "--collection",
    ),
    "data without verb": (["data"], "command.arguments", "action"),
    "data without name": (["data", "prepare"], "command.words_missing", "debian"),
    "unknown data to prepare": (["data", "prepare", "debain"], "config.unknown_name", "debian"),
    "nothing to evaluate": (["evaluate"], "command.words_missing", "model.path=DIR"),
    "no run to evaluate": (["evaluate", "outputs/runs/none"], "run.missing", "outputs/runs/none"),
    "unknown measure": (
        ["run", "-m", *SMALL, "eval.measures=[MRR@10]"],
        "config.eval.measures",
        "'MRR@10'",
    ),
    "run file of no collection": (
        ["evaluate", "run=x.trec"],
        "run_file.no_collection",
        "data=NAME",
    ),
    "no run file": (["evaluate", "run=x.trec", "data=synthetic"], "data.file_missing", "x.trec"),
    "nothing to mine": (["mine"], "command.arguments", "WORD"),
    "mining without a model": (["mine", "negatives.tsv"], "command.model_missing", "negatives.tsv"),
    "mining with two folders": (["mine", "a", "b", "c"], "command.words_missing", "RUN_DIR"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_line_and_exit_code_2(program, tmp_path, case, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    words, key, fact = BAD[case]
    before = sorted(tmp_path.rglob("*"))
    told = program(*words)
    assert told.code == 2, told.out
    assert told.err.startswith("error: ") and told.err.count("\n") == 1
    assert told.key == key and fact in told.err
    assert "Traceback" not in told.out + told.err
    assert [
        path
        for path in sorted(tmp_path.rglob("*"))
        if path not in before and path.name != "rules.json"
    ] == []


@pytest.mark.parametrize(
    "case", ["ratio in words", "unknown verb", "outputs is a file", "unknown sweep"]
)
def test_bad_input_through_the_installed_program(cache, tmp_path, case):
    words, _, fact = BAD[case]
    found = subprocess.run(
        [Path(sys.executable).parent / "hybrid-sweep", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert found.returncode == 2 and found.stdout == "" and fact in found.stderr
    assert found.stderr.startswith("error: ") and found.stderr.count("\n") == 1


def test_the_traceback_is_there_for_who_asks(program, monkeypatch):
    monkeypatch.setenv("HYBRID_SWEEP_DEBUG", "1")
    with refused("command.verb_unknown", "'rnu'", "run"):
        program("rnu")


def test_a_disk_error_of_the_driver_is_one_line(program, monkeypatch):
    from hybrid_sweep.sweeps import recorded_points

    def full(*_):
        raise OSError(28, "No space left on device", "points.json")

    monkeypatch.setattr(recorded_points, "write_json", full)
    told = program("run", *SMALL)
    assert told.code == 1 and told.err == "error: No space left on device: points.json\n"


# --- sweeps


def test_a_sweep_runs_and_a_second_time_does_nothing(program, tmp_path):
    words = ["run", "-m", *SMALL[:-1], "batch.cross_lingual_ratio=0,0.5,5e-1,1", "sweep.name=first"]
    told = program(*words)
    snapshots.check("cli/a whole sweep", ending(told.out))
    assert told.code == 0 and told.err == "" and starts(tmp_path) == 5
    points = read_json(tmp_path / "outputs/sweeps/first/points.json")
    assert points["command"] == "hybrid-sweep " + " ".join(words)
    kinds = [entry["kind"] for entry in points["points"]]
    assert kinds == ["bm25", *["trained"] * 3, "untrained"]
    again = program(*words)
    snapshots.check("cli/a sweep that was done before", again.out)
    assert again.code == 0 and starts(tmp_path) == 5


def test_options_and_overrides_in_any_order(program):
    told = program(
        "run",
        SMALL[0],
        "-m",
        *SMALL[1:],
        "batch.cross_lingual_ratio=0,1",
        "--config-dir",
        ".",
        "sweep.untrained=false",
    )
    assert told.code == 0 and counts(told.out) == [2, 2]


def test_an_experiment_file_of_ones_own_is_a_sweep(program, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "two.yaml").write_text(
        "# @package _global_\nsweep:\n  name: two\nhydra:\n  mode: MULTIRUN\n  sweeper:\n   "
        " params:\n      batch.cross_lingual_ratio: 0,1\n      seed: 4,5\n"
    )
    told = program("run", "--config-dir", "mine", *SMALL, "experiment=two")
    assert told.code == 0 and counts(told.out) == [6, 6], told.err
    found = read_json(tmp_path / "outputs/sweeps/two/points.json")["points"]
    assert {(entry["ratio"], entry["seed"]) for entry in found} == {(0, 4), (0, 5), (1, 4), (1, 5)}


def test_a_single_run_is_a_sweep_of_one_and_joins_its_sweep(program, tmp_path):
    assert program("run", *SMALL, "batch.cross_lingual_ratio=0.25").code == 0
    told = program("run", *SMALL, "batch.cross_lingual_ratio=0.75")
    assert told.code == 0 and counts(told.out) == [2, 2, 1] and starts(tmp_path) == 3
    found = read_json(tmp_path / "outputs/sweeps/default/points.json")["points"]
    assert [(entry["kind"], entry["ratio"]) for entry in found] == [
        ("trained", 0.25),
        ("trained", 0.75),
        ("untrained", 0),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("launched", ["local", "basic"])
def test_a_failed_point_is_exit_code_1_with_its_last_words(program, tmp_path, launched):
    words = ["run", "-m", *SMALL, "batch.cross_lingual_ratio=0,0.5,1", f"hydra/launcher={launched}"]
    told = program(*words, **{"0.5/0": "fail"})
    snapshots.check("cli/a failed point", ending(told.out))
    assert told.code == 1 and starts(tmp_path) == 4
    again = program(*words)
    assert again.code == 0 and counts(again.out) == [4, 4, 3] and starts(tmp_path) == 5


@pytest.mark.slow
def test_a_job_of_another_launcher_leaves_a_point_to_the_driver_that_has_it(program, tmp_path):
    """On a cluster a job would pay for its waiting."""
    words = [
        "-m",
        *SMALL,
        "batch.cross_lingual_ratio=0,1",
        "sweep.untrained=false",
        "hydra/launcher=basic",
    ]
    [line] = [
        line for line in program("plan", *words).out.splitlines() if "ratio 1, seed 0" in line
    ]
    held = RUN_ID.search(line)[0]
    lease = try_lease(tmp_path / "outputs" / "runs" / held / "lock")
    told = program("run", *words)
    os.close(lease)
    snapshots.check("cli/a point that runs elsewhere", ending(told.out))
    assert told.code == 1 and starts(tmp_path) == 1


def test_a_scheduler_s_word_to_stop_is_an_interrupt_at_any_time():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sweep_verbs.terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_single_run_that_fails_is_exit_code_1(program):
    told = program("run", *SMALL, **{"0.5/0": "exit7"})
    snapshots.check("cli/a single run that failed", ending(told.out))
    assert told.code == 1 and "Traceback" not in told.err


def test_the_jobs_of_other_launchers_are_importable():
    import pickle

    assert pickle.loads(pickle.dumps(scheduler.task)) is scheduler.task
    assert pickle.loads(pickle.dumps(scheduler.Task({}, forks.Servers()))) is scheduler.task
    assert str(pickle.loads(pickle.dumps(scheduler.PointFailed("words")))) == "words"


def test_what_is_composed_once_is_not_composed_again_for_the_launch(program, monkeypatch):
    from hydra_plugins import hybrid_sweep_launcher

    def known(task, loader, sweep, job):
        return task.points[tuple(job)]

    monkeypatch.setattr(hybrid_sweep_launcher, "composed", known)
    assert (
        program(
            "run", "-m", *SMALL, "batch.cross_lingual_ratio=0,1", "hydra.sweep.dir=elsewhere"
        ).code
        == 0
    )


def test_hydra_shows_the_config(program, tmp_path):
    told = program("run", "--cfg", "job", *SMALL, "batch.cross_lingual_ratio=0.25")
    assert (
        told.code == 0
        and "cross_lingual_ratio: 0.25" in told.out
        and not (tmp_path / "outputs").exists()
    )


# --- plan


def test_plan_says_what_would_run_and_starts_nothing(program, tmp_path):
    words = [*SMALL, "batch.cross_lingual_ratio=0,0.25,1", "seed=0"]
    told = program("plan", "-m", *words)
    assert told.code == 0 and starts(tmp_path) == 0 and not (tmp_path / "outputs").exists()
    assert len(planned(told.out)) == 4
    (quarter,) = (
        line for line in planned(told.out) if line.endswith(" batch.cross_lingual_ratio=0.25")
    )
    assert "9 + 3" in quarter
    program("run", "-m", *words, **{"1/0": "killed"})
    again = program("plan", "-m", *words).out
    assert [line.split("  ")[0] for line in planned(again)] == ["done", "done", "done", "failed"]
    assert len(again.splitlines()[4:]) == 4 + 2  # the time and the disk that they take are told too


def test_gpu_points_can_be_planned_where_there_is_no_gpu(program, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    told = program(
        "plan",
        "-m",
        *SMALL,
        "batch.cross_lingual_ratio=0,1",
        "trainer.accelerator=gpu",
        "trainer.devices=2",
    )
    assert told.code == 0 and len(planned(told.out)) == 3


@pytest.mark.parametrize("multirun", [True, False])  # an experiment can be a sweep by itself
def test_gpu_points_for_a_cluster_are_not_refused_where_there_is_no_gpu(
    config, monkeypatch, multirun
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    jobs = [((), config("trainer.accelerator=gpu"))]
    args = argparse.Namespace(multirun=multirun, config_dir=None)
    args.overrides = ["experiment=mmarco", "hydra/launcher=slurm"]
    sweep_verbs._check_machine(args, jobs)
    args.overrides = []
    with refused("config.trainer.devices", "GPUs"):
        sweep_verbs._check_machine(args, jobs)


def test_plan_for_a_collection_that_is_not_prepared(program, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_SWEEP_CACHE", str(tmp_path / "empty"))
    told = program("plan", "-m", "seed=0,1")
    snapshots.check(
        "cli/plan on a collection that is not prepared", "\n".join(told.out.splitlines()[:2]) + "\n"
    )
    assert told.code == 0 and not (tmp_path / "empty").exists()


# --- report, data, evaluate


@pytest.fixture
def reported(monkeypatch):
    """A stand-in for the report; gives what it was asked for."""
    asked = []

    def write_report(folders, *, allow_missing, measure, clusters):
        asked.append((list(folders), allow_missing))
        return types.SimpleNamespace(
            console="the answer",
            missing=["ratio 1, seed 0"],
            paths={},
            exit_code=int(not allow_missing),
            more_seeds=True,
        )

    module = types.ModuleType("hybrid_sweep.report.report")
    module.write_report = write_report
    monkeypatch.setitem(sys.modules, "hybrid_sweep.report.report", module)
    return asked


PLAN = {"name": "toy", "margin": 0.01, "command": "", "points": []}


@pytest.mark.parametrize(
    "word",
    [
        *("model.remote_code=true", "hydra.job.env_set.X=1", "--config-dir=/x", "'"),
        *("trainer.loss=a:b", "'trainer.callbacks=[a:B]'"),
    ],
)
def test_a_stored_command_that_would_permit_something_is_not_advised(
    program, reported, tmp_path, word
):
    entries = [{"run_id": "r0", "ratio": 0.5, "seed": 0, "kind": "trained"}]
    plan = PLAN | {"command": f"hybrid-sweep run -m experiment=x {word}", "points": entries}
    (tmp_path / "points.json").write_text(json.dumps(plan))
    assert program("report", str(tmp_path)).out == "the answer\n"


def test_report_prints_and_counts_missing_points(program, reported, tmp_path):
    (tmp_path / "points.json").write_text(json.dumps(PLAN))
    told = program("report", str(tmp_path))
    assert told.code == 1 and told.out == "the answer\n"
    assert program("report", "--allow-missing", str(tmp_path)).code == 0
    assert reported == [([tmp_path], False), ([tmp_path], True)]


def test_report_ends_with_the_next_command(program, reported, tmp_path, monkeypatch):
    entries = [
        {"run_id": f"r{seed}", "ratio": 0.5, "seed": seed, "kind": "trained"} for seed in (0, 1)
    ]
    points = PLAN | {"command": "hybrid-sweep run -m experiment=x seed=0,1", "points": entries}
    (tmp_path / "points.json").write_text(json.dumps(points))
    missing = program("report", str(tmp_path)).out
    module = sys.modules["hybrid_sweep.report.report"]
    whole = types.SimpleNamespace(
        console="the answer", missing=[], paths={}, exit_code=0, more_seeds=True
    )
    monkeypatch.setattr(module, "write_report", lambda *_, **__: whole)
    few = program("report", str(tmp_path)).out
    plan_log.add(
        tmp_path,
        {
            **{"primary": "", "margin": 0.01, "ratios": [0.5], "seeds": [0, 1], "finished": 0},
            **{"collections": [], "points": [], "replaced": [], "seeds_planned": 4},
        },
    )
    planned = program("report", str(tmp_path)).out
    snapshots.check("cli/next commands after a report", missing + few + planned)
    (tmp_path / plan_log.NAME).unlink()
    whole.more_seeds = False  # the answer asks for more questions, or is settled
    assert program("report", str(tmp_path)).out == "the answer\n"


def test_report_of_a_name_finds_the_folder_of_sweeps(program, tmp_path):
    (tmp_path / "outputs/sweeps/mine").mkdir(parents=True)
    (tmp_path / "outputs/sweeps/mine/points.json").write_text("{}")
    told = program("report", "mine")
    assert told.key == "sweep.missing" and "outputs/sweeps/mine" in told.err


def test_a_verb_that_needs_the_runs_names_the_one_that_reports_a_published_folder(
    program, tmp_path
):
    (tmp_path / "published").mkdir()
    for name in ("points.json", "runs.json"):
        (tmp_path / "published" / name).write_text("{}")
    told = program("probe", "published")
    assert told.key == "sweep.published" and "hybrid-sweep report published" in told.err


def test_a_folder_for_the_report_of_a_sweep_is_refused(program, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "points.json").write_text("{}")
    assert program("report", "mine", "--out", "elsewhere").key == "option.out"


@pytest.mark.parametrize(
    ("mode", "key", "said"),
    [("online", "", True), ("online", "k" * 40, False), ("offline", "", False)],
)
def test_a_missing_key_of_wandb_is_told_before_the_start(
    program, tmp_path, monkeypatch, mode, key, said
):
    monkeypatch.setenv("NETRC", str(tmp_path / "absent"))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", key)
    told = program("plan", *SMALL, f"logger={mode}")
    assert told.code == 0 and ("wandb login" in told.out) == said


def test_report_of_an_unknown_sweep_names_the_nearest(program, tmp_path):
    for name in ("first", "second"):
        (tmp_path / "outputs/sweeps" / name).mkdir(parents=True)
        (tmp_path / "outputs/sweeps" / name / "points.json").write_text("{}")
    told = program("report", "outputs/sweeps/frist")
    assert (
        told.code == 2
        and told.key == "sweep.missing"
        and "first" in told.err
        and "second" in told.err
    )


def test_probe_hands_on_the_words_prints_and_exits_as_the_probe_says(
    program, tmp_path, monkeypatch
):
    from hybrid_sweep.commands.data_verbs import preparing
    from hybrid_sweep.report.probe import report as probe

    asked = []

    def write_probe(folders, words, how, say):
        asked.append((folders, words))
        assert how is preparing
        say("reading")
        return types.SimpleNamespace(console="what is lost", exit_code=len(asked) - 1)

    monkeypatch.setattr(probe, "write_probe", write_probe)
    (tmp_path / "points.json").write_text("{}")
    told = program("probe", str(tmp_path))
    assert (told.code, told.out) == (0, "reading\nwhat is lost\n") and asked == [
        ([tmp_path], probe.Asked())
    ]
    words = ["--ratio", "0.5", "--at", "3", "--share", "0.8", "--on", "other", "--passages", "7"]
    assert (
        program(
            "probe", str(tmp_path), str(tmp_path), *words, "--collection", "c", "--allow-missing"
        ).code
        == 1
    )
    folders, found = asked[1]
    assert folders == [tmp_path, tmp_path] and (found.rule.at, found.rule.share) == (3, 0.8)
    assert (found.ratio, found.on, found.most, found.collection) == (0.5, "other", 7, Path("c"))
    assert found.allow_missing and found.texts
    program("probe", str(tmp_path), "--no-texts")
    assert not asked[2][1].texts


def test_probe_help_teaches(program):
    told = program("probe", "--help")
    assert told.code == 0 and all(
        word in told.out
        for word in ("--ratio", "--at", "--share", "--on", "--collection", "--no-texts")
    )


@pytest.mark.slow
def test_data_list_and_prepare(program, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_SWEEP_CACHE", str(tmp_path / "empty"))
    before = program("data", "list").out.splitlines()
    assert [line.split()[:2] for line in before[1:]] == [[name, "no"] for name in SCHEMAS["data"]]
    assert "hybrid-sweep data prepare mmarco 'data.languages=[en,de,es,fr]'" in "\n".join(before)
    told = program("data", "prepare", "synthetic")
    line = told.out.splitlines()[-1]
    fingerprint = re.search(r"\b[0-9a-f]{12,}\b", line)[0]
    shown = line.replace(str(tmp_path), "TMP").replace(fingerprint, "FINGERPRINT")
    snapshots.check("cli/a collection is prepared", RUN_ID.sub("DIGEST", shown) + "\n")
    after = program("data", "list").out.splitlines()
    assert told.code == 0
    (row,) = [line.split() for line in after if line.startswith("synthetic ")]
    assert row[1] == "yes" and fingerprint in row
    assert {"train", "dev", "test"} <= set(row)
    assert program("data", "prepare", "synthetic", "data.groups=40").code == 0
    more = program("data", "list").out.splitlines()
    assert len(more) == len(after) + 1 and more[-1].split()[:2] == ["synthetic", "yes"]
    folder = Path(more[-1].split()[-1])
    (folder / "queries.arrow").write_bytes(b"damaged")
    assert program("data", "list").out.splitlines()[-1].split()[:2] == ["?", "damaged"]


def test_data_prepare_hands_on_the_words_and_refresh(program, monkeypatch):
    seen = []

    def whole(config, say, *, refresh, download):
        seen.append((config.data.name, config.data.mirror, refresh, download))
        raise UserError("no source is reached", key="test.no_source")

    monkeypatch.setattr(prepare, "whole_collection", whole)
    told = program("data", "prepare", "debian", "data.mirror=/somewhere", "--refresh")
    assert told.code == 2 and seen == [("debian", "/somewhere", True, True)]


def test_evaluate_prints_the_table(program, monkeypatch):
    module = types.ModuleType("hybrid_sweep.commands.evaluate")
    module.evaluate_words = lambda words: "table of " + " ".join(words)
    monkeypatch.setitem(sys.modules, "hybrid_sweep.commands.evaluate", module)
    told = program("evaluate", "outputs/runs/abc", "data=debian")
    assert (told.code, told.out) == (0, "table of outputs/runs/abc data=debian\n")


def test_mine_hands_on_model_words_file_and_ranks(program, monkeypatch):
    module, seen = types.ModuleType("hybrid_sweep.commands.mine"), []
    module.Wanted = lambda *given: given
    module.mine_words = lambda words, target, wanted, say: (
        seen.append((words, str(target), wanted)) or "3 triples"
    )
    monkeypatch.setitem(sys.modules, "hybrid_sweep.commands.mine", module)
    told = program(
        "mine",
        "outputs/runs/abc",
        "new.tsv",
        "data=debian",
        "--from",
        "5",
        "--to",
        "9",
        "--margin",
        "0.1",
        "--pool",
        "de,en",
    )
    told = told if told.code else program("mine", "new.tsv", "model=bm25", "data=debian")
    snapshots.check("cli/next command after mining", told.out)
    assert told.code == 0
    assert {target for _, target, _ in seen} == {"new.tsv"}
    assert seen[0][0] == ["outputs/runs/abc", "data=debian"] and seen[1][0] == [
        "model=bm25",
        "data=debian",
    ]
    assert [wanted for *_, wanted in seen] == [(5, 9, 0.1, ("de", "en")), (1, 50, None, ())]


# --- interruption, through processes of their own

DRIVER = """
import json, sys
from hybrid_sweep.commands import cli
from hybrid_sweep.sweeps import processes, scheduler
scheduler.WORKER, processes.GRACE = tuple(json.loads(sys.argv[1])), 1.0
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_exits_130_keeps_what_is_done_and_goes_on(program, tmp_path, number):
    words = ["run", "-m", *SMALL, "batch.cross_lingual_ratio=0,0.5,1"]
    rules = tmp_path / "rules2.json"
    rules.write_text(
        json.dumps(
            {"journal": str(tmp_path / "journal"), "seconds": 0.0, "0.5/0": "hang", "1/0": "family"}
        )
    )
    worker = json.dumps([sys.executable, "-S", str(STANDIN), str(rules)])
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, worker, *words],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while starts(tmp_path) < 4:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    snapshots.check("cli/interrupted", err)
    assert process.returncode == 130
    assert len(read_json(tmp_path / "outputs/sweeps/default/points.json")["points"]) == 4
    for line in (tmp_path / "journal").read_text().splitlines():
        with pytest.raises(ProcessLookupError):
            os.kill(int(line.split()[3]), 0)
    told = program(*words)
    assert told.code == 0 and counts(told.out) == [4, 4, 2] and starts(tmp_path) == 6


def test_output_that_nobody_reads_is_no_error(cache, tmp_path):
    command = (
        f"{sys.executable} -m hybrid_sweep plan -m {' '.join(SMALL)} | head -1; exit"
        " ${PIPESTATUS[0]}"
    )
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert "Traceback" not in found.stderr and "BrokenPipe" not in found.stderr


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["closed reader", "no stream"])
def test_a_sweep_runs_to_its_end_though_nobody_reads(cache, tmp_path, stream):
    (tmp_path / "rules.json").write_text(json.dumps({"journal": "journal", "seconds": 0.0}))
    worker = (sys.executable, "-S", str(STANDIN), "rules.json")
    code = (
        "import os, sys; here, there = os.pipe(); os.close(here)\n"
        "if sys.stdout: os.dup2(there, 1)\n"
        "os.close(there)\n"
        "from hybrid_sweep.sweeps import scheduler\n"
        f"scheduler.WORKER = {worker!r}\n"
        "from hybrid_sweep.commands.cli import main\n"
        f"sys.exit(main(['run', *{SMALL!r}]))"
    )
    shell = ["bash", "-c", 'exec "$@"' + (" >&-" if stream == "no stream" else ""), "x"]
    command = [*shell, sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    points = read_json(tmp_path / "outputs/sweeps/default/points.json")["points"]
    assert (done.returncode, done.stderr) == (0, "") and starts(tmp_path) == len(points)


def test_a_plan_fetches_no_further_collection_either(tmp_path, capsys, monkeypatch):
    """The cache is empty and apt would be asked: what must be fetched is left to the user's
    word.
    """
    monkeypatch.setattr(prepare, "BUILDERS", {"debian": lambda *_: pytest.fail("fetched")})
    words = ["data=synthetic", "+data@more.other=debian", f"paths.cache={tmp_path}"]
    assert cli.main(["plan", *words]) == 0
    assert "hybrid-sweep data prepare debian\n" in capsys.readouterr().out


@pytest.mark.parametrize("launcher, told", [("local", True), ("slurm", False)])
def test_a_plan_says_that_nothing_starts_other_nodes_here(
    cache, tmp_path, monkeypatch, capsys, launcher, told
):
    monkeypatch.chdir(tmp_path)
    words = ["-m", *SMALL, "trainer.nodes=2", "trainer.accelerator=cpu"]
    if launcher == "slurm":
        monkeypatch.setattr(sweep_verbs, "_is_local", lambda args: False)
    assert sweep_verbs.plan(words) == 0
    assert ("trainer.nodes=2" in capsys.readouterr().out.split("all with")[0]) == told
