"""The mirror made again from files: complete, the same the second time, and refused in one line
where it cannot be.
"""

import shutil

import pytest

from hybrid_sweep.commands import cli, wandb_push
from hybrid_sweep.runs import finished
from hybrid_sweep.utils.files import read_json, write_json
from tests.wandb_server import serving
from tests.wandb_sweep_folder import SECRET, files, history, program, summary, write

KEY = "0123456789abcdef0123456789abcdef01234567"
SERIES = [
    {
        "step": 1,
        "train/loss": 2 / 3,
        "train/cross_lingual": 0.0,
        "train/monolingual_loss": 2 / 3,
    },
    {"step": 2, "train/loss": 0.5, "train/cross_lingual": 0.125},
    {"step": 2, "dev/monolingual/RR@10": 0.375},
    {"step": 3, "train/loss": 0.4, "train/cross_lingual": 0.25},
]


@pytest.fixture
def sweep(tmp_path, config):
    return write(tmp_path / "outputs", config)


def push(sweep, *words, **env):
    root = sweep.parents[2]
    done = program("wandb", "push", str(sweep), *words, cwd=root, **env)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.slow
def test_offline_every_point_and_the_sweep_have_a_run_that_reads_back_and_a_second_push_changes_nothing(
    sweep,
):
    # A point that nobody has started, and one that failed, with a secret in the reason.
    failed = sweep.parents[1] / "runs" / "t050s0"
    (failed / "metrics.json").unlink()
    write_json(
        failed / "status.json", {"state": "failed", "error": f"RuntimeError: {SECRET} is no good"}
    )
    plan = read_json(sweep / "points.json")
    plan["points"].append({**plan["points"][0], "run_id": "t100s0", "ratio": 1.0})
    write_json(sweep / "points.json", plan)
    done = push(sweep, "--offline", "--project", "other", HF_TOKEN=SECRET)
    assert done.returncode == 0, done.stderr
    assert (
        "3 of 4 points mirrored; 1 not finished" in done.stdout
        and "next: wandb sync" in done.stdout
    )
    found = files(sweep)
    extra = next(name for name in found if name.startswith("sweep-"))
    assert set(found) == {"t000s0", "t050s0", "u000s0", extra}
    runs = {name: summary(file) for name, file in found.items()}
    assert {run["project"] for run in runs.values()} == {"other"}
    assert [runs[name]["state"] for name in ("t000s0", "t050s0", "u000s0")] == [
        "finished",
        "failed",
        "finished",
    ]
    assert runs["t050s0"]["summary"]["error"] == "RuntimeError: $HF_TOKEN is no good"
    assert (runs["t050s0"]["config"]["ratio"], runs["t050s0"]["config"]["seed"]) == (0.5, 0)
    told = runs["t000s0"]["summary"]
    assert (
        told["monolingual/RR@10"],
        told["bias/own_first/de"],
        told["bias/rank_distance/de/n"],
    ) == (0.5, 0.75, 3)
    assert history(found["t000s0"]) == SERIES and history(found["u000s0"]) == []
    held = runs[extra]["summary"]
    assert held["results"]["_type"] == "table-file" and held["curve"]["_type"] == "image-file"
    assert held["answer"] and (held["points"], held["missing"]) == (4, 2)
    assert (
        runs[extra]["config"]["run_ids"] == ["t000s0", "u000s0"]
        and runs[extra]["name"] == "toy (sweep)"
    )
    kept = {path.name for path in (sweep / "wandb" / "artifacts").rglob("*") if path.is_file()}
    # results.csv, the figure and all else of the report wait there for a sync
    assert len(kept) >= 8
    holding = [
        path
        for path in (sweep / "wandb").rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert holding == []
    before = {path: path.stat().st_mtime_ns for path in files(sweep).values()}
    assert push(sweep, "--offline", "--project", "other", HF_TOKEN=SECRET).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in files(sweep).values()} == before
    # What has changed is written anew, in its place: the missing point is there now.
    shutil.copytree(failed.with_name("t000s0"), failed, dirs_exist_ok=True)
    metrics = {**read_json(failed / "metrics.json"), "run_id": "t050s0"}
    write_json(failed / "metrics.json", finished.sealed(failed, metrics))
    assert push(sweep, "--offline", "--project", "other").returncode == 0
    after = files(sweep)
    assert (
        set(after) == set(found)
        and after["t000s0"] == found["t000s0"]
        and summary(after["t050s0"])["exit_code"] == 0
    )


@pytest.mark.slow
def test_on_a_server_a_second_push_changes_nothing_and_a_half_mirrored_run_is_completed(sweep):
    with serving() as server:
        env = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.address}
        done = push(sweep, **env)
        assert done.returncode == 0 and "3 of 3 points mirrored" in done.stdout, done.stderr
        runs = {name: dict(run, history=list(run["history"])) for name, run in server.runs.items()}
        assert sorted(run["job_type"] for run in runs.values()) == [
            "sweep",
            "train",
            "train",
            "untrained",
        ]
        assert all(run["group"] == "toy" and run["exit"] == 0 for run in runs.values())
        assert len(runs["t000s0"]["history"]) == 4 and runs["t000s0"]["config"]["ratio"] == 0
        assert sorted(server.artifacts) == ["results", "run_table"]
        # As if a mirror that was kept while training had stopped after the first step.
        del server.runs["t050s0"]["history"][1:]
        server.runs["t050s0"]["summary"] = {"step": 1}
        assert push(sweep, **env).returncode == 0
        for name, run in server.runs.items():
            assert (
                len(run["history"]) == len(runs[name]["history"])
                and run["resumed"]
                and run["exit"] == 0
            )
        assert [
            key
            for key in ("monolingual/RR@10", "train/loss")
            if key not in server.runs["t050s0"]["summary"]
        ] == []
        assert sorted(server.artifacts) == ["results", "run_table"]
        assert KEY.encode() not in server.seen


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({}, "not logged in to Weights & Biases"),
        ({"WANDB_MODE": "disabled"}, "disabled by WANDB_MODE"),
    ],
)
def test_where_it_cannot_be_one_line_says_why(sweep, tmp_path, monkeypatch, capsys, env, told):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["wandb", "push", str(sweep)]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("error: ") == 1 and not (sweep / "wandb").exists()


def test_a_mirror_is_read_from_the_files_of_a_point(sweep):
    plan = read_json(sweep / "points.json")
    trained, failed, untrained = plan["points"]
    run = wandb_push.read(sweep, {**plan, "name": "renamed"}, trained)
    assert (run.words["id"], run.words["group"], run.words["config"]["ratio"]) == (
        "t000s0",
        "renamed",
        0.0,
    )
    assert [{"step": step, **values} for step, values in run.series] == SERIES and not run.failed
    assert run.summary["monolingual/RR@10"] == 0.5 and run.summary["bias/own_first/de"] == 0.75
    assert wandb_push.read(sweep, plan, untrained).series == []
    folder = sweep.parents[1] / "runs" / failed["run_id"]
    write_json(folder / "metrics.json", {**read_json(folder / "metrics.json"), "run_id": "another"})
    assert wandb_push.read(sweep, plan, failed) is None  # the result of another run
    (folder / "metrics.json").unlink()
    assert wandb_push.read(sweep, plan, failed) is None  # not finished
    write_json(folder / "status.json", {"state": "failed", "error": "out of memory"})
    run = wandb_push.read(sweep, plan, failed)
    assert run.failed and run.summary == {"error": "out of memory"}
    (folder / "config.yaml").unlink()
    assert wandb_push.read(sweep, plan, failed) is None  # it never began


def test_a_folder_that_is_no_sweep(tmp_path, capsys):
    assert cli.main(["wandb", "push", str(tmp_path)]) == 2
    assert "no sweep there" in capsys.readouterr().err
    assert cli.main(["wandb", "pull", str(tmp_path)]) == 2


@pytest.mark.slow
def test_a_report_is_mirrored_once_where_the_points_are(sweep):
    root = sweep.parents[2]
    done = program("report", str(sweep), cwd=root)
    assert done.returncode == 0, done.stderr
    ((name, file),) = files(sweep).items()
    assert name.startswith("sweep-") and summary(file)["state"] == "finished"
    written = file.stat().st_mtime_ns
    assert program("report", str(sweep), cwd=root).returncode == 0
    assert files(sweep)[name].stat().st_mtime_ns == written
    shutil.rmtree(sweep / "wandb")
    assert program("report", str(sweep), cwd=root, WANDB_MODE="disabled").returncode == 0
    assert not (sweep / "wandb").exists()
