"""What a command did to the world around it: files that changed, code that ran, programs and
connections that began.
"""

import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

Stamp = tuple[int, int, int, int, str]
Tree = dict[str, Stamp]

# Libraries keep caches of their own in a user's home; nothing of a hostile folder goes there.
UNWATCHED = ("home/.cache", "home/.config")
# What a run may start: it asks git for its commit.
PROGRAMS = ("git",)


def tree(root: Path) -> Tree:
    """Describe every file, folder and link below `root`, without following links: mode, size, time,
    inode, target.
    """
    found: Tree = {}
    waiting = [root]
    begin = len(str(root)) + 1
    while waiting:
        folder = waiting.pop()
        for entry in os.scandir(folder):
            name = entry.path[begin:]  # a tenth of all cases is spent in here
            if name in UNWATCHED:
                continue
            status = entry.stat(follow_symlinks=False)
            found[name] = _stamp(status, entry.path)
            if stat.S_ISDIR(status.st_mode):
                waiting.append(Path(entry.path))
    return found


def stamp(path: Path) -> Stamp:
    """Describe one file, folder or link, as `tree` does."""
    return _stamp(path.lstat(), str(path))


def _stamp(status: os.stat_result, path: str) -> Stamp:
    if stat.S_ISDIR(status.st_mode):
        return status.st_mode, 0, 0, 0, ""
    target = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
    return status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino, target


def changed(before: Tree, after: Tree) -> list[str]:
    """List the names that appeared, went or are different, sorted."""
    names = before.keys() | after.keys()
    return sorted(name for name in names if before.get(name) != after.get(name))


def restore(pristine: Path, work: Path, names: list[str]) -> None:
    """Bring the given names below `work` back to what they are below `pristine`."""
    for name in names:  # a folder comes before what is in it
        remove(work / name)
    for name in names:
        source, target = pristine / name, work / name
        if not os.path.lexists(source) or os.path.lexists(target):
            continue
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def remove(path: Path) -> None:
    """Remove a file, link or folder; what is not there is left."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


class Watch:
    """Hear what Python does (an audit hook cannot be removed, so that it is switched on and
    off).
    """

    def __init__(self, root: Path) -> None:
        self.root = str(root.resolve()) + os.sep
        self.outside = self.root + "outside" + os.sep
        self.on = False
        self.heard: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            self._opened(args[0])
        elif event in ("exec", "compile"):
            self._code(event, args)
        elif event in ("os.system", "os.exec", "os.posix_spawn", "os.startfile"):
            self.heard.append(f"code: {event} {args[:2]!r}"[:200])
        elif event == "subprocess.Popen":
            if os.path.basename(str(args[0])) not in PROGRAMS:
                self.heard.append(f"code: started {args[0]!r} {args[1]!r}"[:200])
        elif event in ("socket.connect", "socket.getaddrinfo"):
            self.heard.append(f"network: {event} {args[1:]!r}"[:200])
        elif event == "pickle.find_class" and args[0] in (
            "os",
            "posix",
            "subprocess",
            "builtins",
            "nt",
        ):
            self.heard.append(f"code: unpickled {args[0]}.{args[1]}")

    def _opened(self, path: Any) -> None:
        """Note what was opened outside the folder, whatever the name that led there."""
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str) or "\0" in path:
            return
        self.on = False
        try:
            if os.path.realpath(path).startswith(self.outside):
                self.heard.append(
                    f"followed: opened {os.path.realpath(path).removeprefix(self.root)}"
                )
        finally:
            self.on = True

    def _code(self, event: str, args: tuple[Any, ...]) -> None:
        name = args[1] if event == "compile" else getattr(args[0], "co_filename", "")
        if isinstance(name, str) and name.startswith(self.root):
            self.heard.append(f"code: {event} of {name.removeprefix(self.root)}")
