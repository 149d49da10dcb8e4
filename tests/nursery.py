"""Other processes of Python that a process of `tests.ready` starts: forked too, rather than
imported anew.

`install` forks a sibling before anything runs here. It has imported everything, runs nothing, and
is asked whenever this process starts Python by `subprocess.Popen`: it forks what is asked for,
which this process adopts as its own child. So the ranks of a distributed run, and the process that
a driver's workers are forked from, start at once.
"""

import ctypes
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hybrid_sweep.sweeps import fork_server, forks
from hybrid_sweep.sweeps.fork_server import LARGEST, MOST
from hybrid_sweep.utils.parent_process import end_with_parent

PR_GET_CHILD_SUBREAPER = 37  # of prctl(2)
HIGH = 300  # descriptors are received here before they get the numbers that were asked for


def install(execute: Callable[[Mapping[str, Any]], None]) -> None:
    """Let `subprocess.Popen` fork what starts Python, from now on and in this process.

    Args:
        execute: what a forked process does, with the request's "words" and "environment"; its
            folder, its descriptors and its process group are those asked for.
    """
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    owner = os.getpid()
    if os.fork() == 0:
        here.close()
        os.setpgid(0, 0)  # signals to the group of the process are not for this one
        end_with_parent()
        _serve(there, owner, execute)
    there.close()

    class Forking(subprocess.Popen):
        """`subprocess.Popen`, which forks where it can."""

        def _execute_child(
            self,
            args: Any,
            executable: Any,
            preexec_fn: Any,
            close_fds: bool,
            pass_fds: Sequence[int],
            cwd: Any,
            env: Mapping[str, str] | None,
            *more: Any,
        ) -> None:
            start_new_session, process_group = more[-2:]
            streams = more[3:9]
            is_plain = preexec_fn is None and process_group in (-1, None) and not more[2]
            if os.getpid() != owner or not is_plain or not _is_python(args):
                super()._execute_child(
                    args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *more
                )
                return
            stdin, stdout, stderr = (streams[0], streams[3], streams[5])
            request = {
                "words": [str(word) for word in args[1:]],
                "folder": str(cwd or os.getcwd()),
                "environment": dict(os.environ if env is None else env),
                "session": bool(start_new_session),
                "targets": [0, 1, 2, *pass_fds],
            }
            given = [
                own if asked == -1 else asked for own, asked in enumerate((stdin, stdout, stderr))
            ]
            before = _set_adopting(True)
            socket.send_fds(here, [json.dumps(request).encode()], [*given, *pass_fds])
            self.pid = int(here.recv(64))
            _set_adopting(before)
            self._child_created = True
            self._close_pipe_fds(*streams)

    subprocess.Popen = Forking  # type: ignore[misc]


def _set_adopting(wanted: bool) -> bool:
    """Let this process adopt what its descendants leave behind, or not; return whether it did
    before.
    """
    prctl, before = ctypes.CDLL(None).prctl, ctypes.c_int()
    prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    prctl(forks.PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)
    return bool(before.value)


def _is_python(args: Any) -> bool:
    """Return whether these words start this Python on code, a module or a file, with no option
    before.
    """
    if not isinstance(args, (list, tuple)) or len(args) < 2 or str(args[0]) != sys.executable:
        return False
    first = str(args[1])
    return first in ("-c", "-m") or not first.startswith("-")


def _serve(link: socket.socket, owner: int, execute: Callable[[Mapping[str, Any]], None]) -> None:
    """Fork what is asked for, until the process that asks has ended."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(link, LARGEST, MOST)
        if not message:
            os._exit(0)
        told, tell = os.pipe()
        between = os.fork()
        if between:
            os.close(tell)
            number = os.read(told, 32)
            os.close(told)
            os.waitpid(between, 0)
            for each in descriptors:
                os.close(each)
            link.send(number)
            continue
        middle = os.getpid()
        number_ = os.fork()
        if number_:
            os.write(tell, str(number_).encode())
            os._exit(0)
        link.close()
        os.close(told)
        os.close(tell)
        # what it then asks of its parent is meant for the one that adopts it
        while os.getppid() == middle:
            time.sleep(0.001)
        request = json.loads(message)
        _take_place(request, descriptors, owner)
        execute(request)
        sys.exit(0)


def _take_place(request: Mapping[str, Any], descriptors: Sequence[int], owner: int) -> None:
    """Give this process the group, the folder and the descriptors that were asked for."""
    if request["session"]:
        os.setsid()
    else:
        os.setpgid(0, os.getpgid(owner))
    os.chdir(request["folder"])
    fork_server.renew_media_folder()
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, HIGH) for each in descriptors]
    for each in descriptors:
        os.close(each)
    for each, target in zip(moved, request["targets"], strict=True):
        os.dup2(each, target)
        os.close(each)
