"""Another user of the machine: what he may not write he can still read."""

import json
import os
import traceback

import pytest

NOBODY = 65534


def as_another_user(work):
    """Call `work` in a child process of another user, and return its answer, which JSON must hold.

    The imports of this process are the child's, who may not read everything that they come from.
    What he uses lies in `shared_path`: pytest closes its own temporary folders to other users,
    whenever one more session of it starts.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            found = {"answer": work()}
        except BaseException:
            found = {"error": traceback.format_exc()}
        os.write(writing, json.dumps(found).encode())
        os._exit(0)  # no handler of the test process runs in its child
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        found = json.load(pipe)
    os.waitpid(child, 0)
    assert "error" not in found, found["error"]
    return found["answer"]
