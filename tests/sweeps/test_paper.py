"""experiment=paper and experiment=mmarco, planned and run from end to end on stand-ins in the
layouts of the real files.
"""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import steps_of
from hybrid_sweep.sweeps import forecast
from tests import standins

SEVEN = ["ar", "de", "en", "es", "hi", "ru", "zh"]


def test_the_paper_is_two_models_three_ratios_three_seeds_as_it_states():
    jobs = [made for _, made in points(["experiment=paper"], multirun=False)]
    found = {
        (made.model.name, made.batch.cross_lingual_ratio, made.seed, made.sweep.name)
        for made in jobs
    }
    assert found == {
        (model, ratio, seed, f"paper-{model}")
        for model in ("xlmr_base", "labse")
        for ratio in (0.0, 0.5, 1.0)
        for seed in (0, 1, 2)
    }
    for made in jobs:
        assert (made.batch.size, made.trainer.lr, made.trainer.weight_decay) == (100, 3e-5, 0.01)
        assert made.data.name == "mmarco" and made.data.languages == SEVEN
        assert sorted(each.name for each in made.eval.also.values()) == [
            "miracl",
            "mlqa_r",
            "xquad_r",
        ]
        assert (made.model.query_prompt, made.model.passage_prompt) == ("Query: ", "Passage: ")


def test_what_the_docs_say_it_takes_is_what_plan_says(tmp_path):
    jobs = [
        made for _, made in points(["experiment=paper", f"paths.cache={tmp_path}"], multirun=False)
    ]
    text = (Path(__file__).parents[2] / "docs" / "paper.md").read_text()
    lines = [line for line in forecast.cost_lines(jobs) if "WARNING" not in line]
    assert len(lines) == 3 and all(f"    {line}\n" in text for line in lines)


def test_mmarco_is_seven_ratios_three_seeds():
    jobs = [made for _, made in points(["experiment=mmarco"], multirun=False)]
    assert len({(made.batch.cross_lingual_ratio, made.seed) for made in jobs}) == len(jobs) == 21
    assert {steps_of(made) for made in jobs} == {20_000} and {
        made.trainer.accelerator for made in jobs
    } == {"gpu"}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Runs the program with the words that put the stand-ins in the places of the real files, on a
    CPU, for two steps.
    """
    root = tmp_path_factory.mktemp("paper")
    marco = standins.mmarco(root / "mmarco", SEVEN)
    xquad = standins.lareqa(
        root / "xquad", ["ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"]
    )
    mlqa = standins.lareqa(root / "mlqa", ["ar", "de", "en", "es", "hi", "vi", "zh"])
    about = standins.miracl(
        root / "miracl",
        sorted(points(["experiment=paper"], multirun=False)[0][1].eval.also["miracl"].languages),
    )
    models = {"xlmr_base": standins.xlmr(root / "xlmr"), "labse": standins.labse(root / "labse")}
    words = [
        f"data.path={marco}",
        f"paths.outputs={root / 'outputs'}",
        f"paths.cache={root / 'cache'}",
    ]
    words += ["trainer=cpu", "trainer.max_steps=2", "logger=disabled", "keep.model=false"]
    paper = [
        f"eval.also.{name}.path={path}"
        for name, path in (("xquad_r", xquad), ("mlqa_r", mlqa), ("miracl", about))
    ]

    def run(verb, *more, model="xlmr_base"):
        extra = paper if "experiment=paper" in more else []
        command = [sys.executable, "-m", "hybrid_sweep", verb, "-m", *words, *extra]
        command += [f"model={model}", f"model.path={models[model]}", *more]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    return run, root


@pytest.mark.slow
@pytest.mark.parametrize("model", ["xlmr_base", "labse"])
def test_the_paper_plans_and_runs(program, model):
    run, root = program
    # builds nothing that must be fetched: the stand-ins are read by `run`
    run("plan", "experiment=paper", model=model)
    said = run(
        "run",
        "experiment=paper",
        "batch.cross_lingual_ratio=0,1",
        "seed=0",
        "sweep.untrained=false",
        model=model,
    )
    assert "done" in said
    listed = json.loads((root / f"outputs/sweeps/paper-{model}/points.json").read_text())["points"]
    trained = [point for point in listed if point["kind"] == "trained" and point["seed"] == 0]
    assert {point["ratio"] for point in trained} >= {0.0, 1.0}
    for point in trained:
        folder = root / "outputs/runs" / point["run_id"]
        for stage in (
            folder,
            *(folder / "evaluations" / name for name in ("xquad_r", "mlqa_r", "miracl")),
        ):
            table = pd.read_parquet(stage / "per_query.parquet")
            assert (
                len(table)
                and table["AP"].between(0, 1).all()
                and (stage / "metrics.json").is_file()
            )


@pytest.mark.slow
def test_mmarco_plans_and_runs(program):
    run, root = program
    eight = [*SEVEN, "fr"]
    folder = standins.mmarco(root / "mmarco8", sorted(eight))
    words = [
        f"data.path={folder}",
        "batch.cross_lingual_ratio=0.5",
        "seed=1",
        "sweep.untrained=false",
    ]
    run("plan", "experiment=mmarco", *words)
    assert "done" in run("run", "experiment=mmarco", *words)
