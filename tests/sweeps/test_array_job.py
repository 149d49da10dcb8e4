"""What the machine where the command is typed does for a sweep on SLURM, and the driver in a job:
against stand-in tools.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from omegaconf import OmegaConf

from hybrid_sweep.config import compose
from hybrid_sweep.config.schema import run_id
from hybrid_sweep.sweeps import array_job, processes, scheduler
from hybrid_sweep.sweeps.point_list import Point
from hybrid_sweep.utils import slurm_job
from hybrid_sweep.utils.files import read_json, write_json
from tests import finished_runs
from tests.refused import refused

MARKS = {"collection": "c", "model": "m"}
PARAMS = {
    "cpus_per_task": None,
    "gpus_per_node": None,
    "submitit_folder": "jobs/%j",
    "max_num_timeout": 3,
}


@pytest.fixture
def job(monkeypatch):
    """This process is the driver in a job of an array."""
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_PROCID", "0")


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Makes stand-ins for SLURM's programs; what each was asked stands in asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name, script):
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/asked\n{script}\n')
        (folder / name).chmod(0o755)

    make.asked = lambda: (
        (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
    )
    return make


@pytest.fixture
def group(tmp_path, config):
    """Makes the points of a job: BM25, which all jobs share, the untrained encoder of its seed, and
    its own.
    """
    made = config(f"paths.outputs={tmp_path / 'outputs'}")

    def point(kind, ratio, seed, steps):
        batch = dataclasses.replace(made.batch, cross_lingual_ratio=float(ratio))
        trainer = dataclasses.replace(made.trainer, max_steps=steps)
        ours = dataclasses.replace(made, seed=seed, batch=batch, trainer=trainer)
        return Point(run_id(ours, {**MARKS, "kind": kind}), kind, (), ours, MARKS)

    def make(ratio, seed):
        return [
            point("bm25", 0, 0, 0),
            point("untrained", 0, seed, 0),
            point("trained", ratio, seed, 12),
        ]

    return make


def end(point, **status):
    point.run_dir.mkdir(parents=True, exist_ok=True)
    if status:
        write_json(point.run_dir / "status.json", status)
    else:
        finished_runs.finish(point.run_dir, point.run_id)


def test_only_missing_points_are_submitted_and_what_several_share_once(group):
    groups = [group(ratio, seed) for seed in (0, 1) for ratio in (0, 0.5, 1)]
    assert array_job.chosen(groups, set()) == [0, 1, 2, 3, 4, 5]
    assert array_job.chosen(groups, {groups[1][-1].run_id}) == [0, 2, 3, 4, 5]
    for made in groups:
        end(made[-1])
    end(groups[0][0])
    assert array_job.chosen(groups, set()) == [0, 3]  # the untrained encoders of the two seeds
    end(groups[0][1])
    assert array_job.chosen(groups, set()) == [3]
    end(groups[3][1])
    assert array_job.chosen(groups, set()) == []


def test_a_job_has_the_processors_and_gpus_that_its_point_needs_unless_the_user_says_otherwise(
    config,
):
    made = config("trainer.devices=2", "trainer.threads=3", "trainer.workers=1")
    assert array_job.resources(made, PARAMS)["cpus_per_task"] == 8
    assert array_job.resources(made, {**PARAMS, "cpus_per_task": 5})["cpus_per_task"] == 5
    assert array_job.resources(made, PARAMS)["gpus_per_node"] is None
    made = dataclasses.replace(
        made, trainer=dataclasses.replace(made.trainer, accelerator="gpu", devices=4)
    )
    assert array_job.resources(made, PARAMS)["gpus_per_node"] == 4
    assert array_job.resources(made, {**PARAMS, "gres": "gpu:a100:4"})["gpus_per_node"] is None


def test_the_script_of_an_array_asks_for_what_the_launcher_says(tools, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tools("srun", "")
    tools("sbatch", 'cp "$1" script; echo Submitted batch job 41')
    node = compose_launcher(
        "hydra.launcher.partition=gpu", "hydra.launcher.account=lab", "trainer.nodes=2"
    )
    params = array_job.resources(config_of("trainer.nodes=2"), node)
    assert array_job.submit(print, [("a",), ("b",), ("c",)], params) == "41"
    script = (tmp_path / "script").read_text()
    for line in (
        "--array=0-2%3",
        "--partition=gpu",
        "--account=lab",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--cpus-per-task=1",
        "--requeue",
        "--signal=USR2@120",
        "--time=1440",
        "--job-name=default",
    ):
        assert f"#SBATCH {line}\n" in script, line
    assert "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK\n" in script
    assert float(slurm_job.PATIENCE) < 120


def compose_launcher(*words):
    """The launcher's params as Hydra hands them over."""
    with compose._composer() as composed:
        made = composed(
            "config", overrides=["hydra/launcher=slurm", *words], return_hydra_config=True
        )
    found = OmegaConf.to_container(made.hydra.launcher, resolve=True)
    assert found.pop("_target_") == "hydra_plugins.hybrid_sweep_slurm.SlurmLauncher"
    return found


def config_of(*words):
    [(_, made)] = compose.points(["data=synthetic", *words], multirun=False)
    return made


def test_no_cluster_and_a_refusal_are_one_line(tools, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = compose_launcher()
    monkeypatch.setattr(array_job.shutil, "which", lambda name: None)
    with refused("slurm.no_sbatch"):
        array_job.submit(print, [("a",)], params)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    tools("srun", "")
    tools("sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with refused("slurm.sbatch_refused", "invalid partition specified: gpu"):
        array_job.submit(print, [("a",)], params)


@pytest.mark.parametrize(
    "script, there",
    [
        ("echo 41_0 main s root R", True),
        ("true", False),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", False),
        ("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", True),
    ],
)
def test_a_scheduler_that_does_not_answer_does_not_end_the_waiting(tools, script, there):
    tools("squeue", script)
    assert array_job.queued("41") is there
    assert tools.asked() == ["squeue --noheader --jobs=41"]


def test_waiting_ends_when_all_are_done_or_the_queue_is_empty(tools, group, monkeypatch, capsys):
    monkeypatch.setattr(array_job, "QUEUE_EVERY", 0.0)
    monkeypatch.setattr(array_job.time, "sleep", lambda _: None)
    points = [*group(0, 0), group(1, 0)[-1]]
    tools("squeue", "true")
    tools("scancel", "")
    for point in points:
        point.run_dir.mkdir(parents=True)
    for point in points[:3]:
        end(point)
    end(points[3], state="training", step=3, max_steps=12)
    array_job.wait(points, ["41"], "continue")  # it is not done, but nothing is in the queue
    assert tools.asked() == ["squeue --noheader --jobs=41"]
    end(points[3], state="failed", error="no luck")
    old = time.time() + 60  # changed before the waiting began
    monkeypatch.setattr(array_job.time, "time", lambda: old)
    array_job.wait(points, ["41"], "continue")
    assert "no luck" not in capsys.readouterr().out
    monkeypatch.setattr(array_job.time, "time", lambda: old - 120)
    again = dataclasses.replace(
        points[3].config, sweep=dataclasses.replace(points[3].config.sweep, retries=1)
    )
    array_job.wait([*points[:3], dataclasses.replace(points[3], config=again)], ["41"], "stop")
    assert "no luck" not in capsys.readouterr().out  # its job tries it again
    array_job.wait(points, ["41", "42"], "stop")
    assert "FAILED: no luck" in capsys.readouterr().out
    assert tools.asked().count("scancel --state=PENDING 41 42") == 1


def test_an_array_in_the_queue_is_waited_for_and_not_submitted_again(
    tools, group, monkeypatch, capsys
):
    groups = {(f"{ratio}",): group(ratio, 0) for ratio in (0, 1)}
    monkeypatch.setattr(array_job, "expand", lambda jobs, say: groups[jobs[0][0]])
    given = []

    def give(numbers, params):
        given.append(list(numbers))
        return "41"

    def launch():
        return array_job.launch(
            [(words, made[-1].config) for words, made in groups.items()], give, PARAMS
        )

    monkeypatch.setattr(array_job, "QUEUE_EVERY", 0.0)
    monkeypatch.setattr(array_job.time, "sleep", lambda _: None)
    tools("squeue", "true")
    assert launch() == ["to do", "to do"] and given == [[0, 1]]
    assert "submitted array job 41 for 2 points." in capsys.readouterr().out
    monkeypatch.setattr(array_job, "wait", lambda *_: None)
    tools("squeue", "echo 41_0")
    launch()
    assert (
        given == [[0, 1]]
        and "array job 41 of this sweep is in the queue" in capsys.readouterr().out
    )
    tools("squeue", "true")
    launch()
    assert given == [[0, 1], [0, 1]]


def test_ranks_are_tasks_of_srun_in_a_job_of_several_nodes_alone(job, monkeypatch):
    assert slurm_job.prefix(1, 2, 1) == ()
    words = slurm_job.prefix(3, 2, 3)
    assert words[0] == "srun" and {
        "--nodes=3",
        "--ntasks-per-node=2",
        "--cpus-per-task=3",
        "--overlap",
    } < set(words)
    assert (
        slurm_job.polite([*words, "python"]) == signal.SIGUSR2
        and slurm_job.polite(["python"]) == signal.SIGTERM
    )
    assert slurm_job.is_first_task()
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert not slurm_job.is_first_task()
    scheduler.task(None)  # the driver on another node does nothing, or the point would have two
    monkeypatch.delenv("SUBMITIT_EXECUTOR")
    assert slurm_job.prefix(2, 1, 1) == () and slurm_job.is_first_task()


def test_a_warning_reaches_the_program_around_when_the_workers_have_stopped(monkeypatch):
    told = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: told.append(number))
    try:
        with processes.signals() as caught:
            os.kill(os.getpid(), signal.SIGUSR2)
            time.sleep(0.05)
            assert caught == [signal.SIGUSR2] and not told
        assert told == [signal.SIGUSR2]
    finally:
        signal.signal(signal.SIGUSR2, before)
    with processes.signals():  # without a program around, its effect is the system's own
        assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


def test_a_cluster_that_repeats_its_signal_does_not_hasten_the_end_of_a_worker(job, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0.1)
    slow = (
        "import signal, sys, time\nsignal.signal(15, lambda *_: (time.sleep(0.6),"
        " sys.exit(0)))\nprint(flush=True)\n"
    )
    words = [sys.executable, "-S", "-c", slow + "time.sleep(30)"]
    worker = subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE)
    worker.stdout.readline()

    class Repeated(list):  # the same signal again each time one looks
        def __len__(self):
            self.append(signal.SIGTERM)
            return super().__len__()

    processes.stop([worker], Repeated())
    assert worker.returncode == 0


def test_a_driver_that_a_cluster_stops_waits_for_the_end_of_its_job():
    script = (
        "import signal\nfrom hybrid_sweep.utils import slurm_job\nsignal.signal(15, lambda *_:"
        " print('again', flush=True))\nprint('staying', flush=True)\nslurm_job.stay()\nprint('left',"
        " flush=True)"
    )
    words = [sys.executable, "-c", script]
    inside = subprocess.Popen(
        words, env={**os.environ, "SUBMITIT_EXECUTOR": "slurm"}, stdout=subprocess.PIPE, text=True
    )
    assert inside.stdout.readline() == "staying\n"
    inside.terminate()
    assert inside.stdout.readline() == "again\n"
    with pytest.raises(subprocess.TimeoutExpired):
        inside.wait(0.3)
    inside.kill()
    inside.communicate()
    outside = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert outside.stdout == "staying\nleft\n"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_the_launchers_of_hydra_and_joblib_run_each_point_once(cache, tmp_path, launcher):
    from tests.test_end_to_end import WORDS, cli

    words = [
        "-m",
        *WORDS,
        "batch.cross_lingual_ratio=0,1",
        "sweep.name=s",
        f"hydra/launcher={launcher}",
    ]
    slots = {"HYBRID_SWEEP_SLOTS": str(tmp_path / "slots")}
    assert "4/4 done" in cli("run", *words, cwd=tmp_path, **slots)
    runs = sorted((tmp_path / "outputs" / "runs").iterdir())
    assert len(runs) == 4
    for folder in runs:
        assert (folder / "log.txt").read_text().count("--- 20") == 1, "it was started twice"
        assert read_json(folder / "metrics.json")["run_id"] == folder.name
    assert json.loads((tmp_path / "outputs/sweeps/s/points.json").read_text())["points"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, module", [("slurm", "hydra_submitit_launcher"), ("joblib", "hydra_joblib_launcher")]
)
def test_a_launcher_that_is_not_installed_is_one_line_that_says_how_to_get_it(
    cache, tmp_path, name, module
):
    from tests.test_end_to_end import WORDS

    script = (
        f"import sys; sys.modules['hydra_plugins.{module}'] = None\n"
        "from hybrid_sweep.commands.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [
        "run",
        "-m",
        *WORDS,
        "trainer.max_steps=0",
        "sweep.bm25=false",
        f"hydra/launcher={name}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert (
        done.stderr.splitlines()[-1]
        == f"error: hydra/launcher={name}: pip install 'hybrid-sweep[{name}]' first"
    )
