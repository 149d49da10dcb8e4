"""Damage and attacks that were met once, each by its name; the rules behind them are in
test_hostile.py.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.hostile import base, run_cases, values
from tests.hostile.cases import READERS, SWEEP, Case
from tests.hostile.values import Change

pytestmark = pytest.mark.slow

RUN, MODEL = "@run@", "@run@/model"


def edited(change: Callable[[Any], Any]) -> Change:
    """Change the value of a JSON file in place."""

    def edit(path: Path) -> None:
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value).replace("@outside@", str(values.outside())))

    return edit


def array(change: Callable[[Any], Any]) -> Change:
    """Change the numbers of a stored array in place; its size and header stay."""

    def edit(path: Path) -> None:
        found = np.load(path)
        change(found)
        np.save(path, found)

    return edit


def flipped(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)


def prefixed(path: Path) -> None:
    """Give the names of all weights a prefix, as some trainers do."""
    save_file(
        {f"model.{name}": value for name, value in load_file(path).items()}, path, {"format": "pt"}
    )


def one_layer_less(path: Path) -> None:
    """Leave out the weights of one layer."""
    kept = {name: value for name, value in load_file(path).items() if ".layer.0." not in name}
    save_file(kept, path, {"format": "pt"})


def of_another_run(path: Path) -> None:
    """Put the weights of another run in the place of a run's own."""
    runs = path.parent.parent.parent
    other = next(
        each
        for each in sorted(runs.glob("*/model/model.safetensors"))
        if each.read_bytes() != path.read_bytes()
    )
    path.write_bytes(other.read_bytes())


def exchange(found: Any) -> None:
    """Exchange all neighbours: each stays a token that there is."""
    found[: len(found) // 2 * 2] = found[: len(found) // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)


def add(place: int, amount: int) -> Callable[[Any], None]:
    """Give a change that adds to one number of an array."""

    def change(found: Any) -> None:
        found[place] += amount

    return change


def last(**fields: Any) -> Change:
    """Change fields of the last point of a list."""
    return edited(lambda plan: plan["points"][-1].update(fields))


def named(key: str) -> Change:
    """Give the last run of a published folder another name."""
    return edited(lambda runs: runs.update({key: runs.pop(list(runs)[-1])}))


def every_also(name: str) -> Change:
    """Let every point ask for a further collection of this name."""
    return edited(lambda plan: [point.update(also=[name]) for point in plan["points"]])


def settings(old: str, new: str) -> Change:
    """Replace words of a stored config."""
    return lambda path: path.write_text(path.read_text().replace(old, new, 1)) and None


def _changed(kind: str) -> Change:
    """One of the changes to a whole file or folder."""
    found = {**dict(values.folder_changes()), **dict(values.whole_changes(b"{}"))}
    return found[kind]


TOKENS, PLAN, PUBLISHED = "cache/tokens/*", f"{SWEEP}/points.json", "published/toy"
NAMED: dict[str, tuple[str, Change, str]] = {
    "token ids exchanged": (f"{TOKENS}/ids.npy", array(exchange), "evaluate"),
    "token starts shifted": (f"{TOKENS}/starts.npy", array(add(1, 2)), "evaluate"),
    "token starts huge": (f"{TOKENS}/starts.npy", array(add(1, 2**60)), "evaluate"),
    "used tokens negative": (f"{TOKENS}/used.npy", array(add(0, -5)), "train"),
    "pairs exchanged": (
        "cache/pairs/*/query.npy",
        array(np.random.default_rng(0).shuffle),
        "train",
    ),
    "weights of another run": (f"{MODEL}/model.safetensors", of_another_run, "evaluate"),
    "another activation": (
        f"{MODEL}/config.json",
        edited(lambda config: config.update(hidden_act="relu")),
        "evaluate",
    ),
    "weights with a prefix": (f"{MODEL}/model.safetensors", prefixed, "evaluate-model"),
    "weights of a layer missing": (f"{MODEL}/model.safetensors", one_layer_less, "evaluate-model"),
    "pooling folder missing": (f"{MODEL}/1_Pooling/config.json", Path.unlink, "evaluate-model"),
    "another pooling": (
        f"{MODEL}/1_Pooling/config.json",
        edited(lambda config: config.update(pooling_mode="cls", pooling_mode_cls_token=True)),
        "evaluate",
    ),
    "a bit of the rows": (f"{RUN}/per_query.parquet", flipped, "report"),
    "a bit of the steps": (f"{RUN}/steps.parquet", flipped, "report"),
    "rows cut short": (f"{RUN}/per_query.parquet", lambda path: os.truncate(path, 5000), "report"),
    "garbage as points": (PLAN, values.written(b"{half"), "report"),
    "a published run id with parents": (
        f"{PUBLISHED}/runs.json",
        named("../../../../outside/run"),
        "check",
    ),
    "a published run id that is a path": (
        f"{PUBLISHED}/runs.json",
        named("@outside@/run"),
        "check",
    ),
    "a published name with parents": (
        f"{PUBLISHED}/points.json",
        edited(lambda plan: plan.update(name="../../../../outside/x")),
        "check",
    ),
    "a published name that is a path": (
        f"{PUBLISHED}/points.json",
        edited(lambda plan: plan.update(name="@outside@/x")),
        "check",
    ),
    "a collection with parents": (
        f"{PUBLISHED}/points.json",
        every_also("../../../../../../outside/x"),
        "check",
    ),
    "a collection that is a path": (PLAN, every_also("@outside@/x"), "report"),
    "a run id with parents": (PLAN, last(run_id="../../../outside/run/@id@"), "report"),
    "another seed": (PLAN, last(seed=7), "report"),
    "another ratio": (PLAN, last(ratio=0.25), "report"),
    "another kind": (PLAN, last(kind="untrained", seed=7), "report"),
    "a run id of a pattern": (PLAN, last(run_id="*"), "push"),
    "a run id with quotes": (PLAN, last(run_id="x']) or Metric('y"), "dashboard"),
    "points of another type": (PLAN, edited(lambda plan: plan.update(points=3)), "dashboard"),
    "a bias of another type": (
        f"{RUN}/metrics.json",
        edited(lambda found: found.update(bias="x")),
        "push",
    ),
    "counts of another type": (
        f"{RUN}/metrics.json",
        edited(lambda found: found.update(examples_cross_lingual="x")),
        "report",
    ),
    "a published run of another type": (
        f"{PUBLISHED}/runs.json",
        edited(lambda runs: runs.update(x=3)),
        "check",
    ),
    "the run is a link": (RUN, _changed("a link to where it was moved"), "report"),
    "the model is a link": (MODEL, _changed("a link to where it was moved"), "evaluate"),
    "the tokens are a link": (TOKENS, _changed("a link to an empty folder outside"), "evaluate"),
    "the lock is a FIFO": (f"{TOKENS}.lock", _changed("a FIFO"), "evaluate"),
    "the record is a FIFO": (f"{RUN}/metrics.json", _changed("a FIFO"), "report"),
    "the environment in the settings": (
        f"{RUN}/config.yaml",
        settings("query_prompt: ''", "query_prompt: ${oc.env:PLAIN_VALUE}"),
        "evaluate",
    ),
    "code permitted by the settings": (RUN, values.code(True), "evaluate"),
    **{
        f"a loss named by the settings, {command}": (RUN, values.own_parts, command)
        for command in READERS
    },
}


@pytest.fixture(scope="module")
def found(world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What was wrong in each case."""
    place = tmp_path_factory.mktemp("named")
    listed = [_case(world / "cwd", name) for name in NAMED]
    run_cases.expect(world, place, [case.command for case in listed])
    wrong: dict[str, list[str]] = {name: [] for name in NAMED}
    for number, said in run_cases.problems(world, place, listed):
        wrong[listed[number].label].append(said)
    return wrong


def _case(cwd: Path, name: str) -> Case:
    """The case of a name, with the run and the folders of this world."""
    file, change, command = NAMED[name]
    run = base.trained_run(cwd / SWEEP)
    file = file.replace("@run@", f"outputs/runs/{run}")
    first = sorted(cwd.glob(file))[0]

    def change_of_run(path: Path) -> None:
        change(path)
        if path.name == "points.json":
            path.write_text(path.read_text().replace("@id@", run))

    return Case(str(first.relative_to(cwd)), name, change_of_run, command)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMED)
def test_it_is_refused_or_read_as_it_was(found: dict[str, list[str]], name: str) -> None:
    assert not found[name]
