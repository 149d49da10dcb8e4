"""Commands of Python in a process that has its imports behind it: as `subprocess` runs them,
without the seconds of those.

For what trains or evaluates in a process of its own. What a process imports is tested with
`subprocess` itself.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hybrid_sweep.sweeps import forks
from tests.waiting import wait_for

ROOT = Path(__file__).parents[1]
_servers: list[forks.Server] = []


class Program:
    """A command that runs, in a session of its own; `out` and `err` are the files of what it
    says.
    """

    def __init__(self, forked: forks.Forked, out: Path, err: Path) -> None:
        self.forked, self.out, self.err, self.pid = forked, out, err, forked.pid

    @property
    def returncode(self) -> int | None:
        return self.forked.returncode

    def poll(self) -> int | None:
        return self.forked.poll()

    def wait(self, timeout: float | None = None) -> int:
        return self.forked.wait(timeout)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(9)


def start(
    words: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Program:
    """Start `python *words`, its output in files."""
    folder = Path(tempfile.mkdtemp(prefix="hybrid-sweep-test-"))
    out, err = folder / "out", folder / "err"
    request = {
        "words": [str(word) for word in words],
        "folder": str(cwd or Path.cwd()),
        "environment": dict(os.environ if env is None else env),
        "out": str(out),
        "err": str(err),
    }
    with open(os.devnull, "wb") as nothing:
        forked = _server().fork([json.dumps(request)], os.environ, [nothing.fileno()])
    return Program(forked, out, err)


def run(
    words: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 500,
) -> "subprocess.CompletedProcess[str]":
    """Run `python *words` to its end: what `subprocess.run` with text and captured output gives."""
    program = start(words, cwd=cwd, env=env)
    code = program.wait(timeout)
    return subprocess.CompletedProcess(
        list(words), code, program.out.read_text(), program.err.read_text()
    )


def _server() -> forks.Server:
    """The one process of this test process; another where it has died."""
    if _servers and _servers[0].poll() == "dead":
        _servers.pop().close()
    if not _servers:
        around = dict(os.environ)
        around["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), around.get("PYTHONPATH")]))
        server = forks.Server(around, (sys.executable, "-m", "tests.ready_process"))
        _servers.append(server)
        atexit.register(server.close)
        wait_for(lambda: server.poll() == "light", 120)
        server.prepare()
        wait_for(lambda: server.poll() == "ready", 120)
    return _servers[0]
