"""The driver's side of the process that workers are forked from: started, asked, replaced when it
dies, and ended.

Linux only: elsewhere, and where a fork is refused, a worker is a process of its own (see
`processes.start`).
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hybrid_sweep.sweeps.fork_server import LARGEST, MOST, QUIET

WORKER = (sys.executable, "-m", "hybrid_sweep.worker")
SERVER = (*WORKER, "--serve")
PR_SET_CHILD_SUBREAPER = 36  # of prctl(2)
PATIENCE = 60.0  # seconds that a fork may take on a machine that is short of memory
# servers of one environment that may die in a row before workers are started without one
DEATHS = 3
# all else in the environment of a worker is read when libraries are imported
PER_POINT = "CUDA_VISIBLE_DEVICES"


class Unforked(Exception):
    """No worker was forked, for the reason in the message; it can be started as a process of its
    own.
    """


class Lost(Exception):
    """Nobody knows whether a worker was forked: if it was, it holds the lease of its point, which
    tells.
    """


class Forked:
    """A forked worker, which this process waits for as `subprocess.Popen` does.

    args: the words of the same worker started by itself. returncode: None while it runs, -N where
    signal N ended it.
    """

    def __init__(self, pid: int, args: list[str]) -> None:
        self.pid, self.args = pid, args
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self._look(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: after `timeout` seconds.
        """
        if timeout is None:
            deadline = None
        else:
            deadline = time.monotonic() + timeout
        while deadline is not None and self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(0.02)
        code = self._look(0)
        assert code is not None
        return code

    def _look(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            # somebody else in this process has waited for it: its files tell what came of it
            except ChildProcessError:
                self.returncode = 0
                return 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class Server:
    """One process to fork from, with the environment that workers shall have but for `PER_POINT`.

    state: starting, light (only runs without torch), importing, ready or dead.
    """

    def __init__(self, environment: Mapping[str, str], words: Sequence[str] = SERVER) -> None:
        self.environment = dict(environment)
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there, _adopting():
            self.process = subprocess.Popen(
                [*words, str(there.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # what an import says, a worker that is started by itself says in its log
                stderr=subprocess.DEVNULL,
                pass_fds=(there.fileno(),),
                start_new_session=True,
                env=self.environment | _quiet(environment),
            )
        self.link, self.state = here, "starting"
        self.asked = False  # to import what encoders need

    def poll(self) -> str:
        """Return the state, after what the process has told meanwhile."""
        while self.state != "dead" and (answer := self._read(0.0)) is not None:
            self.state = str(answer.get("state", "dead"))
            if self.state == "light" and self.asked:
                self.state = "importing"
        return self.state

    def prepare(self) -> None:
        """Have the process import what encoders need, once it has started."""
        self._send({"do": "import"}, [])
        self.asked = True
        if self.state == "light":
            self.state = "importing"

    def fork(
        self, words: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]
    ) -> Forked:
        """Fork a worker from a process that is light or ready.

        Args:
            words: what the worker gets after its name.
            environment: all of it.
            descriptors: of its log, then of its leases.

        Raises:
            Unforked: where the process was dead before it was asked, or refuses.
            Lost: where it died, or was silent, before it answered.
            OSError: where the system has no process or memory to give.
        """
        changed = {name: environment.get(name) for name in (*QUIET, PER_POINT)}
        with _adopting():
            self._send({"do": "fork", "words": list(words), "environment": changed}, descriptors)
            answer = self._read(PATIENCE)
        if not answer:
            self.close()
            raise Lost("the process to fork from has ended, or does not answer")
        if "unfit" in answer:
            raise Unforked(str(answer["unfit"]))
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        if not _is_child(answer["pid"]):
            _kill(answer["pid"])
            raise Lost("this system gives a forked worker to another parent")
        return Forked(answer["pid"], [*WORKER, *words])

    def close(self) -> None:
        """End the process; its children go on."""
        self.state = "dead"
        self.link.close()
        self.process.kill()
        self.process.wait()

    def _send(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(self.link, [json.dumps(request).encode()], list(descriptors))
        except OSError as error:
            self.close()
            raise Unforked(
                f"the process to fork from does not answer ({error.strerror})"
            ) from error

    def _read(self, seconds: float) -> dict[str, Any] | None:
        """Return what the process says within that time; {} where it has ended, None where it says
        nothing.
        """
        self.link.settimeout(seconds)
        try:
            message = self.link.recv(LARGEST)
        except (BlockingIOError, TimeoutError):
            return None
        except OSError:
            return {}
        if message:
            return dict(json.loads(message))
        return {}


class Servers:
    """The servers of a driver: one for each environment that its points ask for, started when a
    point first does.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[tuple[str, str], ...], Server] = {}
        self.deaths: dict[tuple[tuple[str, str], ...], int] = {}

    def begin(self, environment: Mapping[str, str], *, needs_torch: bool) -> None:
        """Start the server of an environment, so that it imports while this process does other
        things.
        """
        server = self._server(environment)
        if server is not None and needs_torch and not server.asked:
            try:
                server.prepare()
            except Unforked:  # it has died since
                self._bury(environment)

    def is_ready(self, environment: Mapping[str, str], *, needs_torch: bool) -> bool:
        """Return whether a worker can be started now: forked, or where there will be no server, by
        itself.
        """
        server = self._server(environment)
        if server is None:
            return True
        state = server.poll()
        if state == "dead":
            self._bury(environment)
            return False
        if state == "light" and needs_torch:
            self.begin(environment, needs_torch=True)
            return False
        return state in ("light", "ready")

    def fork(
        self, words: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]
    ) -> Forked:
        """Fork a worker; see `Server.fork`.

        Raises:
            Unforked: where there is no server, or it cannot.
        """
        if len(descriptors) > MOST:
            raise Unforked(f"it has {len(descriptors)} leases, and at most {MOST} can be passed on")
        server = self._server(environment)
        if server is None:
            raise Unforked(f"{DEATHS} processes to fork from have ended")
        try:
            process = server.fork(words, environment, descriptors)
        except (Unforked, Lost):
            self._bury(environment)
            raise
        self.deaths.pop(_key(environment), None)
        return process

    def close(self) -> None:
        """End all servers; workers go on."""
        for server in self.known.values():
            server.close()
        self.known.clear()

    def _server(self, environment: Mapping[str, str]) -> Server | None:
        key = _key(environment)
        if key not in self.known and self.deaths.get(key, 0) < DEATHS:
            try:
                self.known[key] = Server(dict(key))
            # no process, memory or descriptor to be had: starting a worker by itself will say so
            except OSError:
                self.deaths[key] = DEATHS
        return self.known.get(key)

    def _bury(self, environment: Mapping[str, str]) -> None:
        key = _key(environment)
        self.known.pop(key).close()
        self.deaths[key] = self.deaths.get(key, 0) + 1


def _key(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in environment.items() if name != PER_POINT))


def _quiet(environment: Mapping[str, str]) -> dict[str, str]:
    """Return QUIET, what the user says of an allocator kept before it."""
    name = "JE_ARROW_MALLOC_CONF"
    return QUIET | {name: ",".join(filter(None, [environment.get(name), QUIET[name]]))}


_one_at_a_time = threading.Lock()  # what _adopting changes is the whole process's


@contextmanager
def _adopting() -> Iterator[None]:
    """Make this process the parent of what a server forks meanwhile (Linux 3.4)."""
    prctl = ctypes.CDLL(None).prctl
    with _one_at_a_time:
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            yield
        finally:
            prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _is_child(pid: int) -> bool:
    """Return whether this process can wait for another, which may have ended already."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
