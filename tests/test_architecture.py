"""docs/architecture.md: its files and functions exist, and both walks go down."""

import ast
import re

import pytest

from tests import rooms

TEXT = (rooms.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = rooms.ROOT / "hybrid_sweep"
WALKS = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]


def steps(walk: str) -> list[tuple[str, str]]:
    """The files of a walk, each with the name to start at."""
    return re.findall(r"^\| `([\w/]+\.py)` \| `(\w+)` \|", walk, re.MULTILINE)


def test_there_are_two_walks() -> None:
    assert len(WALKS) == 2


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.split(",")[0])
def test_a_walk_is_short_and_goes_down(walk: str) -> None:
    files = [path for path, _ in steps(walk)]
    assert 5 <= len(files) <= 9 and len(set(files)) == len(files)
    levels = rooms.floors(rooms.graph())
    floors = [levels[path.split("/")[0]] for path in files]
    assert floors == sorted(floors, reverse=True)


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.split(",")[0])
def test_each_file_is_reached_from_one_before_it(walk: str) -> None:
    """By an import, except where a report reads what runs have written."""
    files = [path.removesuffix(".py").replace("/", ".") for path, _ in steps(walk)]
    for place, name in enumerate(files[1:], 1):
        known = set().union(*(modules(earlier) for earlier in files[:place]))
        written = name.startswith("runs.") and files[0].startswith("report.")
        assert name in known or written, name


def modules(name: str) -> set[str]:
    """The modules that a module imports, and those that these import."""
    near = _imported(name)
    return near.union(*(_imported(each) for each in near))


def _imported(name: str) -> set[str]:
    path = PACKAGE / f"{name.replace('.', '/')}.py"
    found: set[str] = set()
    if not path.is_file():
        return found
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hybrid_sweep."):
            inside = str(node.module).removeprefix("hybrid_sweep.")
            found |= {inside, *(f"{inside}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize(("path", "name"), [step for walk in WALKS for step in steps(walk)])
def test_a_reader_finds_what_the_walk_names(path: str, name: str) -> None:
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    assert name in {getattr(node, "name", "") for node in tree.body}


def test_every_room_is_in_the_table() -> None:
    table = TEXT.split("## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(listed) == folders and len(listed) == len(folders)
    levels = rooms.floors(rooms.graph())
    floors = [levels[name] for name in listed]
    assert floors == sorted(floors, reverse=True)
