"""Two thousand damaged and hostile folders: nothing outside changes, no code runs, no traceback, no
number in silence.

A failure names the command, the file and what was done to it; `cases.all_cases` makes the same list
every time.
"""

from pathlib import Path

import pytest

from tests.hostile import cases, run_cases

PIECES = 30

pytestmark = pytest.mark.slow


def test_there_are_at_least_two_thousand_cases(world: Path) -> None:
    found = cases.all_cases(world)
    assert len(found) >= 2000
    assert len({case.name for case in found}) == len(found)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("piece", range(PIECES))
def test_a_spoiled_folder_is_refused_or_read_as_it_was(
    world: Path, tmp_path: Path, piece: int
) -> None:
    found = cases.all_cases(world)
    mine = found[len(found) * piece // PIECES : len(found) * (piece + 1) // PIECES]
    run_cases.expect(world, tmp_path, [case.command for case in mine])
    wrong = run_cases.problems(world, tmp_path, mine)
    lines = [f"{mine[number].name}: {said}" for number, said in wrong]
    assert not lines, f"{len(lines)} of {len(mine)} cases:\n" + "\n".join(lines)
