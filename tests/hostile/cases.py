"""All cases: which file of the world is spoiled, how, and which command then reads it.

The same list every time.
"""

import functools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.hostile import base, values
from tests.hostile.values import Change

SWEEP = "outputs/sweeps/toy"
# Of JSON places: how many of the values each gets, by how often the place is read.
FEW = 5
# How many of the 6,000 cases that are made by rule are run for each command, drawn once for all:
# few where one takes long.
QUOTA = {
    "report": 400,
    "report-wide": 14,
    "report-two": 6,
    "probe": 120,
    "freeze": 100,
    "check": 200,
    "check-both": 6,
    "report-averaged": 45,
    "freeze-averaged": 20,
    "report-published": 25,
    "check-averaged": 20,
    "merge": 20,
    "push": 400,
    "dashboard": 229,
    "plan": 100,
    "run": 40,
    "train": 45,
    "evaluate": 70,
    "evaluate-model": 30,
    "mine": 90,
    "prepare": 160,
    "negatives": 22,
    "score": 22,
}
# the commands that read the settings of a trained run
READERS = (
    "report",
    "push",
    "dashboard",
    "probe",
    "freeze",
    "plan",
    "run",
    "evaluate",
    "mine",
    "merge",
)
LINK = "a link to a file outside"
WITH_PAGES = ("report", "report-wide", "report-two", "probe", "freeze", "check", "push")


@dataclass(frozen=True)
class Case:
    """A spoiled file and a command. pages: whether the report writes its pages too, which takes
    longer.
    """

    file: str
    label: str
    change: Change
    command: str
    pages: bool = False

    @property
    def name(self) -> str:
        """What a message calls the case."""
        return f"{self.command} | {self.file} | {self.label}"


@functools.lru_cache(maxsize=1)
def all_cases(world: Path) -> list[Case]:
    """The cases for a world, in a fixed order."""
    found: list[Case] = []
    for make in (
        _sweeps,
        _runs,
        _averages,
        _published,
        _configs,
        _tables,
        _models,
        _cache,
        _texts,
        _loose,
    ):
        found += make(world / "cwd")
    chosen = [*_folders(world / "cwd"), *_special(world / "cwd")]
    chosen += [case for case in found if case.label == LINK]  # no file of any command may be one
    for command, quota in QUOTA.items():
        mine = [case for case in found if case.command == command]
        chosen += _chance(command).sample(mine, min(quota, len(mine)))
    distinct = list({case.name: case for case in chosen}.values())  # a place may be drawn twice
    # each piece of the list needs few commands
    return sorted(distinct, key=lambda case: case.command)


def _turns(
    changes: Iterator[tuple[str, Change]], file: str, commands: Sequence[str], every: int = 1
) -> Iterator[Case]:
    """A case for each change, the commands taking turns; each `every`-th report writes its
    pages.
    """
    for number, (label, change) in enumerate(changes):
        command = commands[number % len(commands)]
        yield Case(file, label, change, command, pages=command in WITH_PAGES and number % 12 == 0)


def _chance(name: str) -> random.Random:
    return random.Random(f"hostile {name}")


def _sweeps(cwd: Path) -> Iterator[Case]:
    """The list of points: every field with every value."""
    readers = ["report", "dashboard", "push", "probe", "dashboard", "push", "freeze"]
    file = f"{SWEEP}/points.json"
    text = (cwd / file).read_text()
    yield from _turns(values.json_changes(text, _chance(file), 28), file, readers)
    yield from _turns(values.whole_changes(text.encode()), file, ["report", "push", "dashboard"])
    yield from _turns(
        values.byte_changes(text.encode(), _chance(file), 20), file, ["report", "dashboard"]
    )
    wide = "outputs/sweeps/wide/points.json"
    text = (cwd / wide).read_text()
    changes = (
        change for change in values.json_changes(text, _chance(wide), 8) if "also" in change[0]
    )
    yield from _turns(changes, wide, ["report-wide", "run"])
    changes = (
        change for change in values.json_changes(text, _chance(wide), 3) if "also" not in change[0]
    )
    yield from _turns(changes, wide, ["run"])
    other = "outputs/sweeps/other/points.json"
    changes = values.json_changes((cwd / other).read_text(), _chance(other), 1)
    yield from _turns(changes, other, ["report-two"])


def _runs(cwd: Path) -> Iterator[Case]:
    """The records of a run."""
    run = f"outputs/runs/{base.trained_run(cwd / SWEEP)}"
    twin = f"outputs/runs/{_another(cwd)}"
    readers = {
        "metrics.json": ["dashboard", "push", "report", "probe", "freeze"],
        "provenance.json": ["report", "freeze", "push"],
        "identity.json": ["report", "evaluate", "push"],
        "status.json": ["push", "report", "plan"],
    }
    for name, commands in readers.items():
        file = f"{run}/{name}"
        text = (cwd / file).read_text()
        yield from _turns(values.json_changes(text, _chance(file), FEW), file, commands)
        changes = values.whole_changes(text.encode(), cwd / twin / name)
        yield from _turns(changes, file, commands)
        yield from _turns(values.byte_changes(text.encode(), _chance(file), 8), file, commands)
    further = f"{run}/evaluations/pool_3/metrics.json"
    changes = values.json_changes((cwd / further).read_text(), _chance(further), 1)
    yield from _turns(changes, further, ["report-wide", "plan"])


def _averages(cwd: Path) -> Iterator[Case]:
    """Averages of weights: the list of a sweep, the record of a run, and those that someone else
    has published.
    """
    sweep, published = "outputs/sweeps/averaged", "published/averaged"
    run = f"outputs/runs/{base.average(cwd / sweep)}"
    own = ["report-averaged", "merge", "report-averaged", "freeze-averaged"]
    readers = {
        f"{sweep}/merged.json": own,
        f"{run}/merge.json": own,
        f"{run}/metrics.json": ["report-averaged"],
        f"{published}/merged.json": ["report-published", "check-averaged"],
        f"{published}/rows.json": ["report-published", "check-averaged"],
    }
    for file, commands in readers.items():
        text = (cwd / file).read_text()
        yield from _turns(values.json_changes(text, _chance(file), 8), file, commands)
        yield from _turns(values.whole_changes(text.encode()), file, commands)
        yield from _turns(values.byte_changes(text.encode(), _chance(file), 8), file, commands)
    for file, commands in (
        (f"{run}/per_query.parquet", own),
        (f"{published}/per_query.parquet", ["check-averaged"]),  # which compares rows and tables
    ):
        yield from _turns(values.table_changes(cwd / file), file, commands)
    file, data = f"{published}/merged.csv", (cwd / published / "merged.csv").read_bytes()
    yield from _turns(values.byte_changes(data, _chance(file), 10), file, ["check-averaged"])


def _another(cwd: Path) -> str:
    """The id of another trained run than the first."""
    import json

    first = base.trained_run(cwd / SWEEP)
    points = json.loads((cwd / SWEEP / "points.json").read_text())["points"]
    return next(
        str(point["run_id"])
        for point in points
        if point["kind"] == "trained" and point["run_id"] != first
    )


def _published(cwd: Path) -> Iterator[Case]:
    """A published folder that someone else has made."""
    for name in ("points.json", "runs.json"):
        file = f"published/toy/{name}"
        text = (cwd / file).read_text()
        yield from _turns(values.json_changes(text, _chance(file), 3), file, ["check"])
        yield from _turns(values.whole_changes(text.encode()), file, ["check"])
    for name in ("results.csv", "derived.csv", "report.md", "table.tex", "per_query.parquet"):
        file = f"published/toy/{name}"
        data = (cwd / file).read_bytes()
        few = 3 if name in ("report.md", "table.tex") else 10
        changes = [*values.whole_changes(data), *values.byte_changes(data, _chance(file), few)]
        for label, change in changes[:: 3 if few == 3 else 1]:
            yield Case(file, label, change, "check", pages=few == 3)
    file = "published/toy/per_query.parquet"
    yield from _turns(values.table_changes(cwd / file), file, ["check"])
    for name in ("points.json", "per_query.parquet"):
        file = f"published/toy/{name}"
        yield from _turns(values.whole_changes((cwd / file).read_bytes()), file, ["check-both"])


def _configs(cwd: Path) -> Iterator[Case]:
    """The settings of a run, which reports read and evaluate and mine take over."""
    file = f"outputs/runs/{base.trained_run(cwd / SWEEP)}/config.yaml"
    text = (cwd / file).read_text()
    yield from _turns(
        values.yaml_changes(text, _chance(file), 4), file, ["evaluate", "push", "report", "mine"]
    )
    twin = cwd / f"outputs/runs/{_another(cwd)}/config.yaml"
    commands = ["evaluate", "report", "mine", "push", "freeze"]
    yield from _turns(values.whole_changes(text.encode(), twin), file, commands)


def _tables(cwd: Path) -> Iterator[Case]:
    """The tables of a run."""
    run = f"outputs/runs/{base.trained_run(cwd / SWEEP)}"
    twin = f"outputs/runs/{_another(cwd)}"
    readers = {
        "per_query.parquet": ["report", "probe", "freeze"],
        "steps.parquet": ["push", "report"],
        "dev.parquet": ["push", "report"],
    }
    for name, commands in readers.items():
        file = f"{run}/{name}"
        data = (cwd / file).read_bytes()
        yield from _turns(values.table_changes(cwd / file), file, commands)
        yield from _turns(values.byte_changes(data, _chance(file), 40), file, commands)
        yield from _turns(values.whole_changes(data, cwd / twin / name), file, commands)


def _models(cwd: Path) -> Iterator[Case]:
    """The model that a run has kept, read by evaluate and mine."""
    model = f"outputs/runs/{base.trained_run(cwd / SWEEP)}/model"
    twin = cwd / f"outputs/runs/{_another(cwd)}/model"
    for path in sorted((cwd / model).rglob("*")):
        if not path.is_file():
            continue
        name = str(path.relative_to(cwd / model))
        file, data = f"{model}/{name}", path.read_bytes()
        commands = ["evaluate", "mine", "evaluate-model"]
        if path.suffix == ".json" and len(data) < 3000:
            yield from _turns(values.json_changes(data.decode(), _chance(file), 1), file, commands)
        changes = list(values.whole_changes(data, twin / name))
        yield from _turns(iter(changes[::2]), file, commands)
        yield from _turns(values.byte_changes(data, _chance(file), 3), file, commands)


def _cache(cwd: Path) -> Iterator[Case]:
    """What was built once and is read again."""
    for path in sorted((cwd / "cache").rglob("*")):
        if not path.is_file():
            continue
        file, data = str(path.relative_to(cwd)), path.read_bytes()
        commands = (
            ["train", "evaluate", "mine"] if path.suffix == ".npy" else ["plan", "evaluate", "mine"]
        )
        if "collections/files" in file:
            commands = ["prepare"]
        if path.suffix == ".lock":
            changes = list(values.whole_changes(data + b"x"))
            yield from _turns(iter(changes[-8:]), file, commands)
            continue
        if path.suffix == ".json" and len(data) < 3000:
            yield from _turns(values.json_changes(data.decode(), _chance(file), 1), file, commands)
        changes = list(values.whole_changes(data))
        yield from _turns(iter(changes[::3]), file, commands)
        yield from _turns(values.byte_changes(data, _chance(file), 4), file, commands)


def _texts(cwd: Path) -> Iterator[Case]:
    """The files of a collection that someone else has written."""
    for path in sorted((cwd / "texts").rglob("*")):
        if path.is_file():
            file, data = str(path.relative_to(cwd)), path.read_bytes()
            yield from _turns(values.whole_changes(data), file, ["prepare"])
            yield from _turns(values.byte_changes(data, _chance(file), 8), file, ["prepare"])


def _loose(cwd: Path) -> Iterator[Case]:
    """Files that a user has been given: negatives and runs."""
    for file, command in (("negatives.tsv.gz", "negatives"), ("run.trec", "score")):
        data = (cwd / file).read_bytes()
        yield from _turns(values.whole_changes(data), file, [command])
        yield from _turns(values.byte_changes(data, _chance(file), 15), file, [command])


def _special(cwd: Path) -> Iterator[Case]:
    """Packed files that grow, models that bring code, and settings that name some."""
    for file, command in (
        ("negatives.tsv.gz", "negatives"),
        ("run.trec", "score"),
        ("texts/corpus.jsonl", "prepare"),
    ):
        yield Case(file, "a packed line of 512 MiB", values.bomb, command)
    run = f"outputs/runs/{base.trained_run(cwd / SWEEP)}"
    for command in ("evaluate", "mine", "merge"):
        yield Case(
            run, "code in the model's folder, permitted by config.yaml", values.code(True), command
        )
        yield Case(run, "code in the model's folder", values.code(False), command)
    yield Case(run, "code in the model's folder", values.code(False), "evaluate-model")
    for command in READERS:
        yield Case(run, "a loss and a callback named by config.yaml", values.own_parts, command)


def _folders(cwd: Path) -> Iterator[Case]:
    """Folders that are links to places outside."""
    run = f"outputs/runs/{base.trained_run(cwd / SWEEP)}"
    readers = {
        run: ["report", "push", "evaluate"],
        f"{run}/model": ["evaluate", "mine"],
        f"{run}/model/1_Pooling": ["evaluate"],
        f"{run}/evaluations": ["report-wide"],
        f"{run}/evaluations/pool_3": ["report-wide"],
        f"{SWEEP}/probe": ["probe"],
        f"{SWEEP}/wandb": ["push"],
        "outputs/sweeps/wide/on-pool_3": ["report-wide"],
        "cache/tokens": ["evaluate"],
        "cache/pairs": ["plan"],
    }
    for part in (
        "cache/tokens",
        "cache/pairs",
        "cache/collections",
        "cache/models",
        "cache/selections",
    ):
        for path in sorted((cwd / part).iterdir()):
            if path.is_dir():
                readers[str(path.relative_to(cwd))] = ["plan", "evaluate"]
    for folder, commands in readers.items():
        for label, change in values.folder_changes():
            for command in commands:
                yield Case(folder, label, _made_first(change), command)


def _made_first(change: Change) -> Change:
    """The change to a folder that need not be there yet."""

    def made(path: Path) -> None:
        path.mkdir(exist_ok=True)
        change(path)

    return made
