"""No link and no name leads out of a folder of ours."""

import os
from pathlib import Path

import pytest

from hybrid_sweep.utils import safe_paths
from tests.refused import refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run" / "evaluations" / "other").mkdir(parents=True)
    (tmp_path / "run" / "metrics.json").write_text("{}")
    (tmp_path / "outside").mkdir()
    return tmp_path / "run"


@pytest.mark.parametrize(
    "place", ["link", "evaluations/link", "evaluations/other/link", "metrics.json.link"]
)
@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "nowhere", "metrics.json"])
def test_a_link_is_refused_wherever_it_is(folder: Path, place: str, target: str) -> None:
    safe_paths.check_links(folder)
    (folder / place).symlink_to(target)
    with refused("files.not_followed", folder / place):
        safe_paths.check_links(folder)


def test_a_folder_that_is_a_link_itself_is_refused(folder: Path) -> None:
    other = folder.parent / "other"
    other.symlink_to(folder)
    with refused("files.not_followed", other):
        safe_paths.check_links(other)


def test_what_is_no_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "status.json")
    with refused("files.not_followed", folder / "status.json"):
        safe_paths.check_links(folder)


def test_links_of_wandb_are_its_own_but_its_folder_is_none(folder: Path) -> None:
    (folder / "wandb").mkdir()
    (folder / "wandb" / "latest-run").symlink_to("offline-run-1")
    safe_paths.check_links(folder)
    (folder / "wandb" / "latest-run").unlink()
    (folder / "wandb").rmdir()
    (folder / "wandb").symlink_to(folder.parent / "outside")
    with refused("files.not_followed", folder / "wandb"):
        safe_paths.check_links(folder)


def test_a_folder_that_is_not_there_has_no_links(tmp_path: Path) -> None:
    safe_paths.check_links(tmp_path / "nothing")


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "/a", "a\0"])
def test_a_part_is_one_level(folder: Path, part: str) -> None:
    with refused("names.folder", ascii(part)):
        safe_paths.inside(folder, "evaluations", part)


def test_a_path_below_has_no_link(folder: Path) -> None:
    assert safe_paths.inside(folder, "evaluations", "new") == folder / "evaluations" / "new"
    (folder / "evaluations" / "link").symlink_to(folder.parent / "outside")
    with refused("files.not_followed", folder / "evaluations" / "link"):
        safe_paths.inside(folder, "evaluations", "link", "x")
