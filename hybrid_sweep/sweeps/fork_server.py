"""The process from which the workers of a sweep are forked: it imports what a worker needs, once,
and computes nothing.

A fork is only safe where nothing has run. What ensures that here:

- The process imports modules and reads requests; no function of torch, Faiss or W&B is called.
- Its environment keeps libraries from starting threads at their import (`QUIET`); a child gets its
  own environment.
- Before each fork it looks at itself: one thread, and no file of a GPU open (`unfit`). Where that
  does not hold, it refuses, and the driver starts the worker as a process of its own.

Requests are JSON objects over a socket, descriptors beside them: {"do": "import"} for what encoders
need, or {"do": "fork", "words", "environment"} with the log, then the leases. A child becomes the
child of the driver, which has made itself a subreaper (prctl(2)) for that moment: so the driver
waits for it as for any process that it has started itself.
"""

import gc
import importlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# For a process that forks: each of these libraries would start threads when it is imported.
QUIET = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
LARGEST = 65_536  # bytes of a message
MOST = 250  # descriptors that go with a message; the kernel allows 253

# What a worker imports in any case, what it imports for an encoder, and of that what may not be
# installed. Those below the first of each are imported late, where they are first used.
LIGHT = ("hybrid_sweep.runs.execute", "omegaconf", "pandas.core.arrays.arrow.extension_types")
HEAVY = (
    "hybrid_sweep.runs.fit",
    "pytorch_lightning.strategies",
    "torch._dynamo",
    "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.xlm_roberta.modeling_xlm_roberta",
    "transformers.integrations.sdpa_attention",
)
OPTIONAL = (
    "faiss",
    "wandb.apis.public",
    "wandb.sdk.launch",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
)


def serve(descriptor: int) -> list[str]:
    """Answer the driver until it closes the socket of this descriptor; returns in each child, with
    the words of its run.

    The answers: {"state": "light"} once LIGHT is imported, {"state": "ready"} after {"do":
    "import"}, and to a fork {"pid"}, {"unfit"} with the reason, or {"errno"} of what the system
    refused.
    """
    import setproctitle

    # it looks for the memory of the words now, before the environment is changed
    setproctitle.getproctitle()
    link = socket.socket(fileno=descriptor)
    link.set_inheritable(False)
    for name in LIGHT:
        importlib.import_module(name)
    _settle()
    _answer(link, {"state": "light"})
    while True:
        message, descriptors, _, _ = socket.recv_fds(link, LARGEST, MOST)
        if not message:  # the driver has closed it, or is dead
            os._exit(0)
        request = json.loads(message)
        if request["do"] == "import":
            import_heavy()
            _settle()
            _answer(link, {"state": "ready"})
            continue
        answer = {"unfit": reason} if (reason := unfit()) else _fork()
        if answer is None:
            link.close()
            return _become(request, descriptors)
        for open_descriptor in descriptors:
            os.close(open_descriptor)
        _answer(link, answer)


def unfit() -> str | None:
    """Return why this process must not be forked: it has several threads, or a GPU open; None where
    nothing is wrong.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        return f"the process to fork from has {threads} threads"
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:  # the descriptor of this listing itself
            continue
        if target.startswith("/dev/nvidia"):
            return f"the process to fork from has {target} open"
    return None


def import_heavy() -> None:
    """Import what a worker of an encoder needs."""
    for name in HEAVY:
        importlib.import_module(name)
    for name in OPTIONAL:
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # a worker that needs it says so
    if (media := _media_folder()) is not None:
        media.cleanup()


def _media_folder() -> Any | None:
    """Return the temporary folder that W&B's client makes when it is imported; None where it is not
    imported.

    Media that a run logs go through it. It is removed by whichever process ends first of those that
    share it.
    """
    return getattr(sys.modules.get("wandb.sdk.data_types._private"), "MEDIA_TMP", None)


def renew_media_folder() -> None:
    """Give this child a folder for media of its own, which goes with it."""
    if (media := _media_folder()) is not None:
        tempfile.TemporaryDirectory.__init__(media, "wandb-media")


def _settle() -> None:
    """Keep the collector of a child from touching, and so copying, the memory that it shares with
    this process.
    """
    gc.collect()
    gc.freeze()


def _answer(link: socket.socket, answer: Mapping[str, Any]) -> None:
    try:
        link.send(json.dumps(answer).encode())
    except OSError:
        os._exit(0)  # the driver is dead


def _fork() -> dict[str, int] | None:
    """Fork a grandchild and end the child between, so that the driver adopts it; None in the
    grandchild.

    The grandchild tells its number when it leads a session of its own: a signal to its group, sent
    as soon as the number is known, must find it.
    """
    told, tell = os.pipe()
    try:
        between = os.fork()
    except OSError as error:
        os.close(told)
        os.close(tell)
        return {"errno": error.errno or 0}
    if between == 0:
        try:
            number = os.fork()
        except OSError as error:
            os.write(tell, str(-(error.errno or 0)).encode())
            os._exit(1)
        if number == 0:
            os.setsid()
            os.write(tell, str(os.getpid()).encode())
            os.close(told)
            os.close(tell)
            return None
        os._exit(0)
    os.close(tell)
    number = int(os.read(told, 32) or b"0")
    os.close(told)
    os.waitpid(between, 0)
    if number > 0:
        return {"pid": number}
    return {"errno": -number}


def _become(request: Mapping[str, Any], descriptors: list[int]) -> list[str]:
    """Make this child what a worker is that was started by itself; returns the words of its run.

    The leases among the descriptors stay open, and go with the process.
    """
    log, *leases = descriptors
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    for lease in leases:
        os.set_inheritable(lease, True)
    for name, value in request["environment"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    words: list[str] = request["words"]
    sys.argv[1:] = words
    _name_process(words)
    renew_media_folder()
    _set_blas_threads(int(os.environ.get("OPENBLAS_NUM_THREADS", "1")))
    if "numpy" in sys.modules:
        # each process has random numbers of its own where nothing seeds them
        sys.modules["numpy"].random.seed()
    return words


def _name_process(words: list[str]) -> None:
    """Let ps and top show the run, as of a worker that was started by itself."""
    import setproctitle

    setproctitle.setproctitle(" ".join([sys.executable, "-m", "hybrid_sweep.worker", *words]))


def _set_blas_threads(count: int) -> None:
    """Give the libraries that were imported with one thread as many as the run may use."""
    if count > 1:
        import threadpoolctl

        threadpoolctl.threadpool_limits(limits=count, user_api="blas")
