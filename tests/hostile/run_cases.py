"""Run cases in a child process, which may hang, crash or be killed without taking the tests with
it.
"""

import json
import os
import re
import resource
import select
import shutil
import signal
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import base, commands
from tests.hostile.cases import Case
from tests.hostile.commands import Command, Numbers, Outcome
from tests.hostile.watch import Tree, Watch, changed, restore, stamp, tree

ENDED = -1  # in the place of a number: the child failed by itself
PATIENCE = 60.0  # seconds for a case: alone all end within a few
MEMORY = 3 * 2**30  # bytes beyond what the process has
TRACEBACK = "Traceback (most recent call last)"
LONGEST = 2000  # characters of a line of error
# Controls, and marks that turn the direction of text around: a terminal would obey them.
MISSING = "missing average: "  # begins a line of a report
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def problems(world: Path, place: Path, cases: Sequence[Case]) -> list[tuple[int, str]]:
    """Run the cases in copies of the world below `place`; the number of each case that went wrong,
    and how.
    """
    found: list[tuple[int, str]] = []
    begin = 0
    while begin < len(cases):
        done, last = _batch(world, place, cases, begin, found)
        if done >= len(cases):
            break
        found.append((done, last))
        begin = done + 1
    return found


def _batch(
    world: Path, place: Path, cases: Sequence[Case], begin: int, found: list[tuple[int, str]]
) -> tuple[int, str]:
    """Run cases from `begin` on in one child; the first that it did not end, and what became of the
    child there.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        code = 1
        try:
            _work(world, place, cases, begin, write)
            code = 0
        except BaseException:
            os.write(write, json.dumps([ENDED, [traceback.format_exc()[-1500:]]]).encode() + b"\n")
        finally:
            os._exit(code)
    os.close(write)
    done, rest = begin, b""
    ended = ""
    while not ended:
        if not select.select([read], [], [], PATIENCE + (60 if done == begin else 0))[0]:
            ended = "hangs: no end within its time"
            os.kill(child, signal.SIGKILL)
            break
        piece = os.read(read, 2**16)
        if not piece:
            ended = "died"
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            number, said = json.loads(line)
            if number == ENDED:
                pytest.fail(f"the test itself failed at {cases[done].name}: {said[0]}")
            done = number + 1
            found += [(number, each) for each in said]
    os.close(read)
    _, status = os.waitpid(child, 0)
    if ended == "died":
        ended = f"died: the process ended with {os.waitstatus_to_exitcode(status)}"
    return done, ended


def _work(world: Path, place: Path, cases: Sequence[Case], begin: int, pipe: int) -> None:
    work = place / "world"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(world, work, symlinks=True)
    signal.alarm(0)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    said = open(place / "said.txt", "ab", buffering=0)
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    watch = Watch(work)
    known = commands.commands(base.trained_run(work / "cwd" / "outputs" / "sweeps" / "toy"))
    with base.standing_in(work):
        pristine = tree(work)
        for name in dict.fromkeys(case.command for case in cases):
            _sound(world, work, pristine, name, known[name])
        for number in range(begin, len(cases)):
            case = cases[number]
            found = _one(world, work, pristine, case, known[case.command], watch)
            os.write(pipe, json.dumps([number, found]).encode() + b"\n")


def _sound(world: Path, work: Path, pristine: Tree, name: str, command: Command) -> None:
    """Check that a command does its work on the unspoiled copy, or every case of it would be
    content with nothing.
    """
    with commands.quick(pages=False, pushing=name == "push"):
        outcome = commands.execute(command)
    assert outcome.code == 0 and command.numbers(outcome) == EXPECTED[name], f"{name}: {outcome}"
    _bring_back(world, work, pristine, tree(work))


def _bring_back(world: Path, work: Path, pristine: Tree, after: Tree) -> None:
    """Undo what differs from the unspoiled copy; a file that is copied anew has another inode."""
    names = changed(pristine, after)
    restore(world, work, names)
    for name in names:
        if name in pristine:
            pristine[name] = stamp(work / name)


EXPECTED: dict[str, Numbers] = {}


def expect(world: Path, place: Path, names: Sequence[str]) -> None:
    """Run each command once on the unspoiled world, and remember its numbers."""
    work = place / "expected"
    missing = [name for name in dict.fromkeys(names) if name not in EXPECTED]
    if not missing:
        return
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(world, work, symlinks=True)
    known = commands.commands(base.trained_run(work / "cwd" / "outputs" / "sweeps" / "toy"))
    with base.standing_in(work):
        pristine = tree(work)
        for name in missing:
            with commands.quick(pages=False, pushing=name == "push"):
                outcome = commands.execute(known[name])
            assert outcome.code == 0 and not outcome.crash, f"{name}: {outcome}"
            EXPECTED[name] = known[name].numbers(outcome)
            restore(world, work, changed(pristine, tree(work)))
    shutil.rmtree(work)


def _one(
    world: Path, work: Path, pristine: Tree, case: Case, command: Command, watch: Watch
) -> list[str]:
    """Spoil the file, run the command, and compare the world with what it was; what was wrong."""
    case.change(work / "cwd" / case.file)
    before = tree(work)
    watch.heard.clear()
    with commands.quick(pages=case.pages, pushing=case.command == "push"):
        watch.on = True
        try:
            outcome = commands.execute(command)
        finally:
            watch.on = False
    after = tree(work)
    touched = changed(before, after)
    heard = [said for said in dict.fromkeys(watch.heard) if not _may_be_read(case, said)]
    found = [*heard, *_escaped(touched, command), *_ended(outcome)]
    found += _leaked(work, touched, outcome)
    found += _logged(work, touched)
    if outcome.code == 0:
        found += _silent(case, outcome, command)
    _bring_back(world, work, pristine, after)
    return [each.replace(str(work), "WORLD") for each in found]


def _may_be_read(case: Case, said: str) -> bool:
    """Whether a file was only read through a link among the texts that the user names: copies from
    a hub are such links.
    """
    return case.file.startswith(INPUTS) and said.startswith("followed")


def _escaped(touched: Sequence[str], command: Command) -> list[str]:
    """What changed outside the folders that the command writes into."""
    mine = tuple(f"cwd/{name}" for name in command.writes)
    outside = [name for name in touched if not name.startswith(("tmp", *mine))]
    return [f"outside: changed {name}" for name in outside[:3]]


def _ended(outcome: Outcome) -> list[str]:
    """How a command may end: with 0, 1 or 2, and with one readable line where it refused."""
    if outcome.crash:
        return [f"traceback: {outcome.crash}"]
    found = []
    if outcome.code not in (0, 1, 2):
        found.append(f"exit code {outcome.code}")
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    if outcome.code == 2 and len(errors) != 1:
        found.append(f"error lines: {len(errors)}: {outcome.err[:200]!r}")
    if TRACEBACK in outcome.out + outcome.err:
        found.append(f"traceback: printed: {outcome.err.strip().splitlines()[-1][:150]}")
    lines = outcome.err.splitlines()
    if outcome.code == 2 and len(lines) > 1 and not found:
        found.append(f"lines: {len(lines)} lines of error: {outcome.err[:300]!r}")
    longest = max((len(line) for line in (outcome.out + outcome.err).splitlines()), default=0)
    if longest > LONGEST:
        found.append(f"long: a line of {longest} characters")
    if match := CONTROLS.search(outcome.out + outcome.err):
        found.append(f"control: {match.group()!r} is printed")
    return found


def _logged(work: Path, touched: Sequence[str]) -> list[str]:
    """The tracebacks in the logs of the points that were done."""
    found = []
    for name in touched:
        if name.endswith("/log.txt") and TRACEBACK in (work / name).read_text(errors="replace"):
            lines = (work / name).read_text(errors="replace").strip().splitlines()
            frames = [line.strip() for line in lines if "/hybrid_sweep/" in line]
            found.append(f"log: {lines[-1][:120]} at {frames[-1][-60:] if frames else ''}")
    return found


def _leaked(work: Path, touched: Sequence[str], outcome: Outcome) -> list[str]:
    """Whether a value of the environment came into what was printed, sent or written."""
    secrets = (base.SECRET, base.SECRET[::-1])
    texts = {
        "output": outcome.out + outcome.err,
        "mirror": repr([vars(run) for run in outcome.mirrored]),
    }
    for name in touched:
        path = work / name
        if path.is_file() and not path.is_symlink():
            texts[name] = path.read_bytes().decode("latin-1")
    return [
        f"environment: a value of it is in {name}"
        for name, text in texts.items()
        if any(s in text for s in secrets)
    ]


def _silent(case: Case, outcome: Outcome, command: Command) -> list[str]:
    """Which numbers are others than those of the unspoiled world, though the command was content.

    The texts that a user names are the input: other texts are another collection, with another
    fingerprint. A run that is left out is named with the reason.
    """
    if case.file.startswith(INPUTS):
        return []
    if case.command.startswith("check"):
        return _passed(case)
    try:
        numbers = command.numbers(outcome)
    except Exception as error:
        return [f"silent: its results cannot be read: {type(error).__name__}"]
    expected = EXPECTED[case.command]
    if MISSING in outcome.out:  # an average that is told as missing takes its seed along
        numbers, expected = (_of_points(rows) for rows in (numbers, expected))
    shared = sorted(numbers.keys() & expected.keys())
    pairs = [(_told(case, numbers[key]), _told(case, expected[key])) for key in shared]
    other = [(one, two) for one, two in pairs if one != two]
    new = sorted(
        key for key in numbers.keys() - expected.keys() if not _of_fewer(case, numbers[key])
    )
    gone = sorted(key for key in expected.keys() - numbers.keys() if key not in outcome.out)
    found = [f"silent: {len(other)} numbers changed, as {_differing(*other[0])}"] if other else []
    if new:
        found.append(f"silent: {len(new)} new rows, as {new[0][:150]}")
    if gone and not new and not _fewer(case) and "left out" not in outcome.out:
        found.append(f"silent: {len(gone)} rows gone, as {gone[0][:150]}")
    return found


def _of_points(rows: Numbers) -> Numbers:
    """The numbers of a report without those of averaged weights."""
    return {key: row for key, row in rows.items() if not key.startswith(commands.MERGED)}


def _passed(case: Case) -> list[str]:
    """Whether a published table or text that is not what was published passes for what its rows
    give.
    """
    path = Path(case.file)
    if path.suffix not in (".csv", ".md", ".tex"):
        return []
    kept = base.published(path.name, path.parent.name)
    one, other = (each.read_text(encoding="utf-8").splitlines() for each in (path, kept))
    return ["silent: a text that was changed passes"] if one != other else []


# Texts, negatives and runs of a user's own: other ones are other data, under another fingerprint.
INPUTS = ("texts/", "negatives", "run.trec")
# What follows from the margin, which points.json states and nothing else knows.
OF_MARGIN = (
    "verdict",
    "seeds_to_settle_low",
    "seeds_to_settle_high",
    "p",
    "p_holm",
    "p_loss",
    "p_loss_holm",
)
# What a row says of its own runs; all else compares it with other rows.
OF_ITSELF = (
    "kind",
    "ratio",
    "setting",
    "measure",
    "scope",
    "seeds",
    "mean",
    "low",
    "high",
    "run_ids",
)


def _told(case: Case, row: Any) -> Any:
    """The part of a row that must stay what it is under the change of a case."""
    if not isinstance(row, dict) or "run_ids" not in row:
        return row
    if _fewer(case):
        return {name: row[name] for name in OF_ITSELF}
    if case.file.endswith("points.json") and case.label.startswith("margin"):
        return {name: value for name, value in row.items() if name not in OF_MARGIN}
    return row


def _fewer(case: Case) -> bool:
    """Whether the list now has fewer points or evaluations: a report is of those that are
    listed.
    """
    if not case.file.endswith("points.json"):
        return False
    return sum(_listed(Path(case.file)).values()) < sum(_listed(base.kept_plan(case.file)).values())


def _listed(path: Path) -> dict[tuple[Any, ...], int]:
    """The points of a list (run id, kind, ratio, seed) with how many evaluations each has; {} where
    it cannot be read.
    """
    try:
        points = json.loads(path.read_text())["points"]
        return {_entry(point): 1 + len(point.get("also", [])) for point in points}
    except (ValueError, TypeError, KeyError, AttributeError, OSError):
        return {}


def _entry(point: dict[str, Any]) -> tuple[Any, ...]:
    return str(point["run_id"]), point["kind"], float(point["ratio"]), point["seed"]


def _of_fewer(case: Case, row: Any) -> bool:
    """Whether a row is that of some of the same points, each where it was trained."""
    if not isinstance(row, dict) or not _fewer(case):
        return False
    known = {name: rest for name, *rest in _listed(base.kept_plan(case.file))}
    points = [known[name] for name in row["run_ids"].split() if name in known]
    places = {(kind, ratio) for kind, ratio, _ in points}
    seeds = " ".join(str(seed) for *_, seed in points)
    return places == {(row["kind"], float(row["ratio"] or 0))} and row["seeds"] == seeds


def _differing(one: Any, other: Any) -> str:
    if isinstance(one, dict):
        names = [name for name in one if one[name] != other.get(name)]
        return ", ".join(f"{name} {other.get(name)} -> {one[name]}" for name in names)[:200]
    return f"{other} -> {one}"[:200]
