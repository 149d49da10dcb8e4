"""Workers from a ready process: what they are is what a worker is that was started by itself, and a
fork is only made of a process in which nothing has run."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import TrainerConfig, run_id
from hybrid_sweep.inputs import prepare
from hybrid_sweep.sweeps import fork_server, forks, processes
from hybrid_sweep.utils.files import write_json
from tests.waiting import alive, wait_for


def environment(**trainer):
    """The environment of a worker."""
    return processes.environment(TrainerConfig(**trainer), None, os.environ)


@pytest.fixture
def servers():
    made = forks.Servers()
    yield made
    made.close()


def ready(servers, around=None, needs_torch=False):
    wait_for(lambda: servers.is_ready(around or environment(), needs_torch=needs_torch), 120)


def fork(servers, log, words, around=None, leases=()):
    with open(log, "ab") as file:
        return servers.fork(words, around or environment(), [file.fileno(), *leases])


def test_a_worker_is_a_child_of_the_driver_with_a_session_a_log_and_an_exit_code(servers, tmp_path):
    ready(servers)
    worker = fork(servers, tmp_path / "log.txt", [str(tmp_path / "nothing")])
    # at once: a stop signal to its group must not come too early
    assert os.getsid(worker.pid) == os.getpgid(worker.pid) == worker.pid
    # there is no run, which is the user's mistake
    assert worker.wait(60) == worker.poll() == worker.returncode == 2
    assert (tmp_path / "log.txt").read_text().startswith("error: ")
    again = subprocess.run([*worker.args], capture_output=True, text=True, env=environment())
    assert (again.returncode, again.stderr) == (2, (tmp_path / "log.txt").read_text())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_killed_says_by_what(servers, tmp_path, number):
    """On a busy machine a worker may refuse its empty config, with 2, before the signal comes."""
    ready(servers)
    (tmp_path / "config.yaml").touch()
    os.mkfifo(tmp_path / "log")
    descriptor = os.open(tmp_path / "log", os.O_RDWR)
    codes = []
    while -number not in codes and len(codes) < 20:
        worker = servers.fork([str(tmp_path)], environment(), [descriptor])
        os.kill(worker.pid, number)
        codes.append(worker.wait(60))
    os.close(descriptor)
    assert set(codes) <= {-number, 2}
    assert -number in codes or number != signal.SIGKILL


def child(request, descriptors, look):
    """What `look` returns in a child that has become a worker."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            fork_server._become(request, descriptors)
            os.write(tell, json.dumps(look()).encode())
        finally:
            os._exit(0)
    os.close(tell)
    with open(told, "rb") as file:
        answer = json.loads(file.read())
    os.waitpid(pid, 0)
    return answer


def test_a_child_has_the_environment_the_words_and_the_leases_of_its_run(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("JE_ARROW_MALLOC_CONF", "background_thread:false")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    changed = {
        "OPENBLAS_NUM_THREADS": "2",
        "JE_ARROW_MALLOC_CONF": None,
        "CUDA_VISIBLE_DEVICES": "2",
    }
    lease = os.open(tmp_path, os.O_RDONLY)
    with open(tmp_path / "log.txt", "wb") as log:

        def look():
            import threadpoolctl

            os.write(1, b"words for the log\n")
            blas = {
                each["num_threads"]
                for each in threadpoolctl.threadpool_info()
                if each["user_api"] == "blas"
            }
            names = [*changed, "HOME"]
            environment = {name: os.environ.get(name) for name in names}
            return [
                environment,
                sys.argv[1:],
                os.get_inheritable(lease),
                sorted(blas),
            ]

        request = {"words": ["outputs/runs/abc", "model.remote_code=true"], "environment": changed}
        found = child(request, [os.dup(log.fileno()), lease], look)
    os.close(lease)
    assert found[0] == {**changed, "HOME": os.environ.get("HOME")}
    assert found[1:] == [request["words"], True, [2]]
    assert (tmp_path / "log.txt").read_text() == "words for the log\n"


MEDIA = """
import os, sys
from hybrid_sweep.sweeps import fork_server
fork_server.import_heavy()
from wandb.sdk.data_types._private import MEDIA_TMP
print(MEDIA_TMP.name, os.path.exists(MEDIA_TMP.name), flush=True)
for _ in range(2):
    if (pid := os.fork()) == 0:
        fork_server.renew_media_folder()
        print(MEDIA_TMP.name, os.path.exists(MEDIA_TMP.name), flush=True)
        sys.exit()
    os.waitpid(pid, 0)
"""


@pytest.mark.slow
def test_each_worker_has_a_folder_for_media_of_its_own_and_none_is_left(tmp_path):
    """The client makes one at its import, and whoever ends first would take it from the others."""
    pytest.importorskip("wandb")
    around = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", MEDIA], capture_output=True, text=True, env=around, check=True
    )
    server, first, second = [line.split() for line in done.stdout.splitlines()]
    assert (server[1], first[1], second[1]) == ("False", "True", "True")
    assert len({server[0], first[0], second[0]}) == 3
    assert not list(tmp_path.glob("*wandb-media*"))


LOOK = """
import sys
from pathlib import Path
from hybrid_sweep.sweeps import fork_server, worker
for name in fork_server.LIGHT:
    __import__(name)
if sys.argv[2] == "encoder":
    fork_server.import_heavy()
reason, before = fork_server.unfit(), set(sys.modules)
cuda = "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized()
mirror = "wandb" in sys.modules and sys.modules["wandb"].run is not None
code = worker.main(Path(sys.argv[1]))
print([code, reason, cuda, mirror, "torch" in sys.modules, sorted(set(sys.modules) - before)])
"""


def looked(folder, kind):
    around = environment() | forks._quiet(environment())
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(folder), kind], capture_output=True, text=True, env=around
    )
    return json.loads(
        done.stdout.splitlines()[-1]
        .replace("'", '"')
        .replace("None", "null")
        .replace("True", "true")
        .replace("False", "false")
    )


HEAVY = (
    "torch",
    "transformers",
    "pytorch_lightning",
    "torchmetrics",
    "matplotlib",
    "faiss",
    "sympy",
    "scipy",
    "pandas",
)


@pytest.mark.slow
def test_nothing_has_run_in_what_is_forked_and_a_trained_point_imports_next_to_nothing(planned):
    code, reason, cuda, mirror, _, imported = looked(planned("logger=offline"), "encoder")
    assert (code, reason, cuda, mirror) == (0, None, False, False)
    assert len([name for name in imported if name.startswith(HEAVY)]) < 5, imported
    assert len([name for name in imported if name.startswith("wandb")]) < 10, imported


@pytest.mark.slow
def test_bm25_imports_no_torch(cache, tmp_path):
    ((_, config),) = points(
        ["data=synthetic", "data.groups=300", "model=bm25", "logger=disabled"], multirun=False
    )
    marks = prepare.fingerprints(config)
    folder = tmp_path / run_id(config, marks)
    processes.write_config(folder, config)
    write_json(folder / "identity.json", {"run_id": folder.name, "fingerprints": marks})
    code, reason, _, _, torch, imported = looked(folder, "bm25")
    assert (code, reason, torch) == (0, None, False)
    assert not [
        name
        for name in imported
        if name.split(".")[0] in ("transformers", "pytorch_lightning", "faiss")
    ]


THREADS = """
import threading, time
from hybrid_sweep.sweeps import fork_server
threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
print(fork_server.unfit())
"""


def test_a_process_with_two_threads_is_not_forked():
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True)
    assert done.stdout == "the process to fork from has 2 threads\n"


def test_a_process_that_has_a_gpu_open_is_not_forked(monkeypatch):
    monkeypatch.setattr(fork_server.os, "listdir", lambda _: ["1"])
    assert fork_server.unfit() is None
    monkeypatch.setattr(fork_server.os, "readlink", lambda path: "/dev/nvidia0")
    assert fork_server.unfit() == "the process to fork from has /dev/nvidia0 open"


@pytest.mark.slow
def test_a_server_that_refuses_is_replaced_and_after_three_workers_are_started_by_themselves(
    tmp_path, monkeypatch
):
    # With its own threads a library makes the process unfit.
    monkeypatch.setattr(forks, "_quiet", lambda around: {"OPENBLAS_NUM_THREADS": "4"})
    servers = forks.Servers()
    try:
        for _ in range(forks.DEATHS):
            ready(servers)
            with pytest.raises(forks.Unforked, match="threads"):
                fork(servers, tmp_path / "log.txt", [str(tmp_path)])
        assert servers.is_ready(environment(), needs_torch=True) and not servers.known
        with pytest.raises(forks.Unforked):
            fork(servers, tmp_path / "log.txt", [str(tmp_path)])
    finally:
        servers.close()


@pytest.mark.slow
def test_a_server_imports_while_nobody_asks_and_tells_of_it_afterwards(servers, tmp_path):
    """As it does while the driver plans: the request waits in the socket until the process has
    started.
    """
    servers.begin(environment(), needs_torch=True)
    (server,) = servers.known.values()
    servers.begin(environment(), needs_torch=True)
    states = [server.poll()]
    wait_for(lambda: states.append(server.poll()) or states[-1] == "ready", 120)
    assert [state for state, before in zip(states[1:], states, strict=False) if state != before][
        -1
    ] == "ready"
    assert set(states) <= {
        "starting",
        "importing",
        "ready",
    }, "it was seen as light, and would be asked again"
    assert fork(servers, tmp_path / "log.txt", [str(tmp_path / "nothing")]).wait(60) == 2


def test_a_server_that_dies_is_replaced_and_its_workers_go_on(servers, tmp_path):
    ready(servers)
    (first,) = servers.known.values()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    first.process.kill()
    first.process.wait()
    wait_for(lambda: not servers.is_ready(environment(), needs_torch=False) or servers.known)
    ready(servers)
    (second,) = servers.known.values()
    assert second is not first and second.process.pid != first.process.pid
    worker = fork(servers, tmp_path / "log.txt", [str(tmp_path)], leases=[descriptor])
    os.close(descriptor)
    servers.close()
    assert not alive(second.process.pid) and worker.wait(60) == 2


def test_a_worker_that_another_process_would_wait_for_is_ended(servers, tmp_path, monkeypatch):
    ready(servers)
    monkeypatch.setattr(forks, "_is_child", lambda pid: False)
    ended = []
    monkeypatch.setattr(
        forks, "_kill", lambda pid: (ended.append(pid), os.kill(pid, signal.SIGKILL))
    )
    with pytest.raises(forks.Lost, match="parent"):
        fork(servers, tmp_path / "log.txt", [str(tmp_path)])
    assert len(ended) == 1 and os.waitpid(ended[0], 0)[0] == ended[0]


def test_a_server_that_dies_between_two_questions_is_one_death_and_no_error(servers, monkeypatch):
    ready(servers)
    (server,) = servers.known.values()
    server.process.kill()
    server.process.wait()
    monkeypatch.setattr(server, "poll", lambda: "light")  # what it said before
    assert not servers.is_ready(environment(), needs_torch=True) and not servers.known


def test_a_fork_without_an_answer_is_lost_and_not_refused(servers, tmp_path, monkeypatch):
    ready(servers)
    (server,) = servers.known.values()
    monkeypatch.setattr(server, "_read", lambda seconds: None)
    with pytest.raises(forks.Lost):
        fork(servers, tmp_path / "log.txt", [str(tmp_path)])
    assert not servers.known and not alive(server.process.pid)


def test_where_no_server_can_be_started_workers_are_started_by_themselves(servers, monkeypatch):
    def refused(*_):
        raise BlockingIOError("no process to be had")

    monkeypatch.setattr(forks, "Server", refused)
    assert servers.is_ready(environment(), needs_torch=True) and not servers.known


def test_more_leases_than_a_message_takes_are_refused(servers, tmp_path):
    with pytest.raises(forks.Unforked, match="300 leases"):
        servers.fork([str(tmp_path)], environment(), range(300))


def test_points_of_other_threads_have_a_server_of_their_own(servers):
    gpu = processes.environment(TrainerConfig(), ["3"], os.environ)
    for around in (environment(), gpu, environment(threads=2)):
        servers.is_ready(around, needs_torch=False)
    assert len(servers.known) == 2


DRIVER = """
import os, sys, time
from hybrid_sweep.sweeps import forks, processes
from hybrid_sweep.config.schema import TrainerConfig
around = processes.environment(TrainerConfig(), None, os.environ)
servers = forks.Servers()
while not servers.is_ready(around, needs_torch=False):
    time.sleep(0.01)
(server,) = servers.known.values()
print(server.process.pid, flush=True)
time.sleep(60)
"""


def test_a_server_ends_with_its_driver(tmp_path):
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdout=subprocess.PIPE)
    server = int(driver.stdout.readline())
    driver.kill()
    driver.communicate()
    wait_for(lambda: not alive(server), 10)


def test_waiting_for_a_worker_ends_in_time():
    between = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    worker = forks.Forked(between.pid, ["x"])
    begun = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(0.1)
    assert time.monotonic() - begun < 5 and worker.poll() is None
    between.kill()
    assert worker.wait() == -signal.SIGKILL
    between.returncode = -signal.SIGKILL
    assert forks.Forked(between.pid, ["x"]).poll() == 0  # somebody else has waited for it


KEPT = ("per_query.parquet", "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [(), ("trainer.threads=2", "trainer.max_steps=0"), ("trainer.devices=2",)]
)
def test_results_are_those_of_a_worker_that_was_started_by_itself(planned, servers, words):
    folder = planned("logger=disabled", *words)
    around = environment(threads=2 if "trainer.threads=2" in words else 1)

    def results():
        found = {path.name: path.read_bytes() for path in folder.rglob("*") if path.name in KEPT}
        for path in [*folder.iterdir()]:
            if path.name not in ("config.yaml", "identity.json", "log.txt"):
                subprocess.run(["rm", "-rf", str(path)], check=True)
        return found

    ready(servers, around, needs_torch=True)
    assert fork(servers, folder / "log.txt", [str(folder)], around).wait(120) == 0, (
        folder / "log.txt"
    ).read_text()
    forked = results()
    subprocess.run([*forks.WORKER, str(folder)], check=True, env=around, capture_output=True)
    assert results() == forked
