"""Folders of ours without a way out: what is written, deleted or copied stays below the folder that
the user named.

A link inside a run, a sweep, a published folder or the cache could lead anywhere. The folder that
the user names may be one itself, and so may outputs/, outputs/runs and the cache, which people
place on other disks.
"""

import os
from collections.abc import Collection
from pathlib import Path

from hybrid_sweep.utils.errors import UserError

# W&B keeps links among its own files (latest-run, debug.log), which it alone replaces.
OWN_LINKS = frozenset({"wandb"})


def check_links(folder: Path, *, own: Collection[str] = OWN_LINKS) -> None:
    """Raise UserError where anything in a folder is a link, or is neither a file nor a folder.

    Args:
        folder: walked as deep as it goes; nothing is done where it is not there. own: names at its
            top below which links are not looked for; these must be folders all the same.
    """
    if folder.is_symlink():
        raise UserError(
            f"{folder} is a link, and links in folders of runs and sweeps are not followed: name"
            " its target",
            key="files.not_followed",
        )
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            entries = list(os.scandir(here))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if here != folder or entry.name not in own:
                    waiting.append(Path(entry.path))
            elif entry.is_symlink() or not entry.is_file(follow_symlinks=False):
                what = "no regular file"
                if entry.is_symlink():
                    what = "a link"
                raise UserError(
                    f"{ascii(entry.path)[1:-1]} is {what}, which is not followed here: remove it",
                    key="files.not_followed",
                )


def inside(root: Path, *parts: str) -> Path:
    """Return a path below a folder, no part of which leads out of it.

    Args:
        root: the folder; it may be a link itself.
        parts: names of one level each.

    Raises:
        UserError: where a part is "", ".", ".." or holds a separator, or is a link on disk.
    """
    path = root
    for part in parts:
        if part in ("", ".", "..") or "/" in part or "\0" in part:
            raise UserError(f"{part!a} is no name of a folder below {root}", key="names.folder")
        path = path / part
        if path.is_symlink():
            raise UserError(
                f"{path} is a link, which is not followed here: remove it", key="files.not_followed"
            )
    return path
