"""The process of `tests.ready`: it has imported what the program imports, and each of its children
runs one command.
"""

import json
import os
import runpy
import sys
import types

import setproctitle

from hybrid_sweep.sweeps import fork_server
from tests import nursery


def main() -> None:
    (text,) = fork_server.serve(int(sys.argv[1]))
    request = json.loads(text)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, path in ((1, request["out"]), (2, request["err"])):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    nursery.install(lambda asked: _run(asked["words"], asked["environment"]))
    execute(request["words"])


def _run(words: list[str], environment: dict[str, str]) -> None:
    """Be a process that a process of `tests.ready` starts."""
    os.environ.clear()
    os.environ.update(environment)
    execute(words)


def execute(words: list[str]) -> None:
    """Run what `python *words` runs: -c CODE ..., -m MODULE ... or FILE ..."""
    setproctitle.setproctitle(" ".join([sys.executable, *words]))
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        exec(compile(words[1], "<string>", "exec"), module.__dict__)
    elif words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    main()
