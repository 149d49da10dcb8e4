"""What tests fork instead of starting it is a process as the caller asked for it."""

import pytest

from tests import ready

CODE = """
import json, os, subprocess, sys
inner = "import os, sys; print(os.getppid(), os.getpgid(0), os.getsid(0), os.getpid(), 'torch' in sys.modules)"
inner += "; print(os.environ.get('TOLD'), os.getcwd(), sys.stdin.read()); sys.exit(3)"
for session in (False, True):
    done = subprocess.run(
        [sys.executable, "-c", inner], input="words", capture_output=True, text=True,
        start_new_session=session, cwd="/", env={"TOLD": "yes"},
    )
    parent, group, leader, own, torch, told, folder, words = done.stdout.split()
    print(int(parent) == os.getpid(), (int(group) == os.getpgid(0), int(leader) == int(own)))
    print(torch, told, folder, words, done.returncode)
"""


@pytest.mark.slow
def test_python_started_by_a_forked_program_is_its_child_with_what_it_was_given():
    done = ready.run(["-c", CODE])
    assert done.returncode == 0, done.stderr[-2000:]
    given = "True yes / words 3"  # imports, environment, folder, input, exit code
    assert done.stdout.splitlines() == [
        "True (True, False)",
        given,
        "True (False, True)",
        given,
    ]
