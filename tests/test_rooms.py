"""The rooms of the package: few, in one order, each with a text that says what it is."""

import ast
import re

import pytest

from tests import rooms


def test_the_package_has_few_rooms_and_its_imports_go_one_way() -> None:
    found = rooms.graph()
    assert len(found) <= 22
    assert sum(len(names) for names in found.values()) <= 90
    assert max(rooms.floors(found).values()) <= 11


def test_a_circle_is_seen() -> None:
    with pytest.raises(ValueError, match="circle"):
        rooms.floors({"data": {"runs"}, "runs": {"data"}, "utils": set()})
    assert rooms.floors({"data": {"utils"}, "utils": set()}) == {"data": 2, "utils": 1}


def test_imports_are_found_wherever_they_stand() -> None:
    text = "import hybrid_sweep.runs.execute\ndef f():\n    from hybrid_sweep import data, models\n"
    assert rooms.imported(text) == {"runs", "data", "models"}


PACKAGE = rooms.ROOT / "hybrid_sweep"
FOLDERS = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))
ROOMS = [folder.name for folder in FOLDERS if folder.parent == PACKAGE]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_folder_says_what_it_is(folder) -> None:
    assert text_of(folder)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_where_to_start_and_exactly_what_it_imports(room: str) -> None:
    before, start, tour = text_of(PACKAGE / room).partition(" Start with ")
    named = re.findall(r"`(\w+)`", tour)
    assert start and named and all(is_module(PACKAGE / room / name) for name in named)
    _, imports, said = before.partition("Imports ")
    assert imports and set(re.findall(r"`(\w+)`", said)) == rooms.graph()[room]


def text_of(folder) -> str:
    """The docstring of a folder, in one line."""
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    return " ".join((ast.get_docstring(tree) or "").split())


def is_module(path) -> bool:
    """Whether there is a file or folder of this name."""
    return path.with_suffix(".py").is_file() or path.is_dir()
