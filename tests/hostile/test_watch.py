"""The watch hears what a hostile folder could make the program do: or the tests that rely on it
would always pass.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.watch import Tree, Watch, changed, restore, tree


def heard(root: Path, action: Callable[[], object]) -> str:
    """What a watch of a folder hears of an action, in a process of its own: an audit hook cannot be
    taken away.
    """
    read, write = os.pipe()
    if os.fork() == 0:
        watch = Watch(root)
        watch.on = True
        try:
            action()
        except Exception as error:
            watch.heard.append(f"failed: {error}")
        watch.on = False
        os.write(write, "\n".join(watch.heard).encode() or b"nothing")
        os._exit(0)
    found = os.read(read, 2**16).decode()
    os.wait()
    os.close(read)
    os.close(write)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "code.py").write_text("found = 1\n")
    (tmp_path / "plain").write_text("x")
    return tmp_path


def connect() -> None:
    """Try to reach a port of this machine on which nobody listens."""
    with socket.socket() as client:
        client.connect_ex(("127.0.0.1", 9))


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (lambda root: (root / "outside" / "file").read_text(), "followed: "),
        (lambda root: (root / "link" / "file").read_text(), "followed: "),
        (lambda root: (root / "link" / "new").touch(), "followed: "),
        (
            lambda root: exec(
                compile((root / "code.py").read_text(), str(root / "code.py"), "exec")
            ),
            "code: ",
        ),
        (lambda root: os.system("true"), "code: "),
        (lambda root: subprocess.run([sys.executable, "-c", ""], check=True), "code: "),
        (lambda root: connect(), "network: "),
        (lambda root: (root / "plain").read_text(), "nothing"),
        (lambda root: (root / "new").write_text("x"), "nothing"),
    ],
)
def test_it_hears_what_leads_out_of_a_folder(
    root: Path, action: Callable[[Path], object], kind: str
) -> None:
    assert heard(root, lambda: action(root)).startswith(kind)


def test_every_change_is_seen_and_undone(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pristine = tmp_path_factory.mktemp("kept") / "world"
    subprocess.run(["cp", "-a", str(root), str(pristine)], check=True)
    before = tree(root)
    (root / "plain").write_text("y")  # as long as before
    (root / "outside" / "file").unlink()
    (root / "new").mkdir()
    (root / "new" / "file").touch()
    (root / "code.py").chmod(0o600)
    (root / "link").unlink()
    (root / "link").symlink_to("plain")
    found = changed(before, tree(root))
    assert found == ["code.py", "link", "new", "new/file", "outside/file", "plain"]
    restore(pristine, root, found)
    assert _without_times(tree(root)) == _without_times(before)
    assert (root / "plain").read_text() == "x"


def _without_times(found: Tree) -> dict[str, tuple[int, int, str]]:
    return {name: (mode, size, target) for name, (mode, size, _, _, target) in found.items()}
