"""One valid world of files: two sweeps with their runs, their published folders, a cache, a
collection, loose files.

It is made once, by the program itself, and copied for each group of cases. All paths in it are
relative, so that a copy works wherever it stands.
"""

import contextlib
import fcntl
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

REPOSITORY = Path(__file__).parents[2]
LANGUAGES = ["xa", "xb"]
MODEL = [
    "model.vocabulary=400",
    "model.hidden_size=16",
    "model.heads=2",
    "model.intermediate_size=16",
    "model.depth=1",
]
DATA = ["data=synthetic", "data.groups=40", "data.languages=[xa,xb]"]
WORDS = [
    *DATA,
    *MODEL,
    "batch.size=4",
    "trainer.max_steps=3",
    "eval.dev_every=2",
    "logger=disabled",
]
GRID = ["batch.cross_lingual_ratio=0,0.5", "seed=0,1"]
TOY = ["-m", *WORDS, *GRID, "data.pools=[3]", "sweep.name=wide"]
OTHER = [
    "-m",
    *WORDS,
    *GRID,
    "batch.size=6",
    "sweep.name=other",
    "sweep.untrained=false",
    "sweep.bm25=false",
]
FILES = ["data=files", "data.path=texts", "data.languages=[xa,xb]"]
ONE = ["batch.cross_lingual_ratio=0.5", "sweep.untrained=false", "sweep.bm25=false"]
HARD = [
    *WORDS,
    "data.negatives=negatives.tsv.gz",
    "batch.hard_negatives=1",
    "seed=0",
    "sweep.name=hard",
    *ONE,
]
AVERAGES = ["merge", "outputs/sweeps/averaged", "--of", "0,0.5", "--alpha", "0.5"]
KEPT = Path("kept")  # copies, beside the working folder, of what a case may have changed
SECRET = "s3cr3t-0123456789-of-the-environment"


def build(root: Path) -> Path:
    """Make the world below `root` once, also where several processes ask at the same time; return
    its folder.
    """
    world = root / "world"
    with open(root / "world.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "world.done").exists():
            shutil.rmtree(world, ignore_errors=True)
            # In a process of its own: what commands remember of a world must not reach those that
            # read a copy of it.
            code = (
                "import sys, torch; from tests.hostile import base;"
                " base.fill(base.Path(sys.argv[1]))"
            )
            around = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
            subprocess.run(
                [sys.executable, "-c", code, str(world)], check=True, cwd=REPOSITORY, env=around
            )
            (root / "world.done").touch()
    return world


@contextlib.contextmanager
def standing_in(world: Path) -> Iterator[None]:
    """Stand in the world's own working folder, with home, cache and temporary folder inside the
    world.
    """
    before = Path.cwd()
    around = {
        "HOME": str(world / "home"),
        "TMPDIR": str(world / "tmp"),
        "HYBRID_SWEEP_CACHE": str(world / "cwd" / "cache"),
        "OTHER_SECRET": SECRET,
        "PLAIN_VALUE": SECRET[::-1],
    }
    for name in ("home", "tmp", "cwd"):
        (world / name).mkdir(parents=True, exist_ok=True)
    os.chdir(world / "cwd")
    try:
        # Python remembers the temporary folder, whatever the environment says later.
        with (
            mock.patch.dict(os.environ, around),
            mock.patch.object(tempfile, "tempdir", str(world / "tmp")),
        ):
            yield
    finally:
        os.chdir(before)


def fill(world: Path) -> None:
    """Make the runs, sweeps, published folders and texts of a world."""
    from tests.hostile import commands

    with standing_in(world), commands.quick(pages=True):
        for words in (TOY, OTHER):
            _must(["run", *words])
        for name, kept in (("toy", False), ("wide", True), ("averaged", False)):
            _write_plan(Path("outputs/sweeps"), name, kept)
        _must(AVERAGES)
        _must(["freeze", "outputs/sweeps/toy", "published/toy"])
        _must(["freeze", "outputs/sweeps/other", "published/other", "--against", "published/toy"])
        words = ["outputs/sweeps/averaged", "published/averaged", "--rows-of", "published/toy"]
        _must(["freeze", *words])
        _must(["data", "export", "synthetic", "texts", *DATA[1:], "--format", "beir"])
        _must(["data", "prepare", "files", *FILES[1:]])
        run = trained_run(Path("outputs/sweeps/toy"))
        _must(["mine", f"outputs/runs/{run}", "negatives.tsv.gz"])
        _keep_a_run_file(run)
    _outside(world)
    _keep(world)


def _write_plan(sweeps: Path, name: str, pools: bool) -> None:
    """Write the sweep of the plain collection, and the one that has a pool too, over the same
    runs.
    """
    plan = json.loads((sweeps / "wide" / "points.json").read_text())
    plan["name"] = name
    for point in plan["points"]:
        if not pools:
            point.pop("also", None)
    (sweeps / name).mkdir(exist_ok=True)
    (sweeps / name / "points.json").write_text(json.dumps(plan, indent=2) + "\n")


def _keep_a_run_file(run: str) -> None:
    """Keep one run file of an evaluation, whose own folder holds an absolute path and so cannot be
    copied.
    """
    runs = Path("outputs/runs")
    before = set(runs.iterdir())
    _must(["evaluate", str(runs / run), "eval.run_depth=5", "sweep.name=again", "logger=disabled"])
    (made,) = set(runs.iterdir()) - before
    shutil.copy(made / "runs" / "monolingual.xa.xa.trec", "run.trec")
    shutil.rmtree(made)


def kept_plan(file: str) -> Path:
    """The list of points as it was before a case changed it."""
    return Path("..") / KEPT / Path(file).parent.name / "points.json"


def published(name: str, sweep: str) -> Path:
    """A file of a published sweep as it was before a case changed it."""
    return Path("..") / KEPT / "published" / sweep / name


def _keep(world: Path) -> None:
    for name in ("toy", "wide", "other"):
        target = world / KEPT / name / "points.json"
        target.parent.mkdir(parents=True)
        shutil.copy(world / "cwd" / "outputs" / "sweeps" / name / "points.json", target)
    for name in ("toy", "averaged"):
        shutil.copytree(world / "cwd" / "published" / name, world / KEPT / "published" / name)


def average(sweep_dir: Path) -> str:
    """The id of the run of the first average of a sweep."""
    return str(json.loads((sweep_dir / "merged.json").read_text())["points"][0]["run_id"])


def trained_run(sweep_dir: Path) -> str:
    """The id of the first trained run of a sweep with a cross-lingual share."""
    points = json.loads((sweep_dir / "points.json").read_text())["points"]
    return next(
        str(point["run_id"])
        for point in points
        if point["kind"] == "trained" and point["ratio"] > 0
    )


def _outside(world: Path) -> None:
    """Fill the folder that no command may touch: it holds a run, so that a name that leads there
    would find one.
    """
    outside = world / "outside"
    run = trained_run(world / "cwd" / "outputs" / "sweeps" / "toy")
    shutil.copytree(world / "cwd" / "outputs" / "runs" / run, outside / "run" / run)
    (outside / "empty").mkdir()
    (outside / "file.txt").write_text("nobody may change this\n")
    (outside / "file.json").write_text('{"run_id": "outside"}\n')


def _must(words: Sequence[str]) -> None:
    from hybrid_sweep.commands import cli

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main(list(words))
    assert code == 0, f"{words}: exit code {code}\n{said.getvalue()[-3000:]}"


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """Let the driver do its points here, one after the other, instead of in a process each."""
    from hybrid_sweep.sweeps import scheduler

    with mock.patch.object(scheduler, "run_points", do_points):
        yield


def do_points(points: Sequence[Any], **_: Any) -> None:
    """Do points in this process, one after the other."""
    from omegaconf import OmegaConf

    from hybrid_sweep.config.schema import to_dict
    from hybrid_sweep.sweeps import worker
    from hybrid_sweep.sweeps.point_list import is_done
    from hybrid_sweep.utils.files import write_json

    for point in points:
        if is_done(point):
            continue
        point.run_dir.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(to_dict(point.config)), point.run_dir / "config.yaml")
        identity = {"run_id": point.run_id, "fingerprints": point.fingerprints}
        write_json(point.run_dir / "identity.json", identity)
        # Handlers of a library's log keep the file of the point before, which is closed: that is no
        # fault of the point.
        with (
            open(point.run_dir / "log.txt", "a") as log,
            mock.patch.object(logging, "raiseExceptions", False),
        ):
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                worker.main(point.run_dir)
