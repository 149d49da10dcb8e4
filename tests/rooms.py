"""The rooms of the package and the imports between them, as numbers: `python -m tests.rooms`.

A room is a folder or a file directly in hybrid_sweep/, or one of the folders beside it whose code
imports it. A room's floor is one more than that of the highest room that it imports.
"""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parents[1]
BESIDE = ("hydra_plugins", "benchmarks")

Graph = dict[str, set[str]]


@functools.cache
def graph(root: Path = ROOT) -> Graph:
    """The rooms that each room imports, wherever in its code the import stands."""
    found: Graph = {}
    for folder in ("hybrid_sweep", *BESIDE):
        for path in sorted((root / folder).rglob("*.py")):
            room = _room(folder, path.relative_to(root / folder))
            text = path.read_text(encoding="utf-8")
            found.setdefault(room, set()).update(imported(text) - {room})
    rooms = found.keys()
    return {room: names & rooms for room, names in found.items()}


def _room(folder: str, inside: Path) -> str:
    if folder != "hybrid_sweep":
        return folder
    return inside.parts[0].removesuffix(".py")


def imported(text: str) -> set[str]:
    """The rooms that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == "hybrid_sweep" and rest:
                found.add(rest.partition(".")[0])
            elif first in BESIDE:
                found.add(first)
    return found


def floors(rooms: Graph) -> dict[str, int]:
    """The floor of each room; raises ValueError for a circle, with the rooms that are in it or above
    it.
    """
    found: dict[str, int] = {}
    while len(found) < len(rooms):
        ready = [room for room in rooms.keys() - found.keys() if rooms[room] <= found.keys()]
        if not ready:
            raise ValueError(f"a circle of imports: {sorted(rooms.keys() - found.keys())}")
        level = {
            room: 1 + max((found[below] for below in rooms[room]), default=0) for room in ready
        }
        found |= level
    return found


def main() -> None:
    """Print the rooms from the top floor down, and what there is of each."""
    rooms = graph()
    levels = floors(rooms)
    for room in sorted(rooms, key=lambda room: (-levels[room], room)):
        print(f"{levels[room]:3} {room:14} {' '.join(sorted(rooms[room]))}")
    edges = sum(len(names) for names in rooms.values())
    print(f"rooms {len(rooms)}, floors {max(levels.values())}, imports between them {edges}")


if __name__ == "__main__":
    main()
