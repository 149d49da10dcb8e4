"""GPUs and cores of a machine: nobody shares one, whoever starts the points, and a dead process
holds none.
"""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_sweep.config.rules import validate
from hybrid_sweep.config.schema import Config, TrainerConfig
from hybrid_sweep.sweeps import slots
from hybrid_sweep.sweeps.slots import Machine
from hybrid_sweep.utils import locks
from tests.refused import refused
from tests.users import as_another_user


def made(gpus_per_run=None, most=2, **trainer):
    config = Config(trainer=TrainerConfig(**trainer))
    config.sweep.gpus_per_run, config.sweep.max_parallel = gpus_per_run, most
    return config


def on_gpus(devices=1, **more):
    return made(accelerator="gpu", devices=devices, **more)


@given(gpus=st.integers(0, 9), each=st.integers(1, 4), wanted=st.integers(1, 6))
def test_slots_share_no_gpu_and_have_enough(tmp_path_factory, gpus, each, wanted):
    machine = Machine(
        {f"{n}": f"GPU-{n}" for n in range(gpus)}, (0,), tmp_path_factory.mktemp("slots")
    )
    config = on_gpus(each, most=wanted)
    if gpus < each:
        with refused("config.trainer.devices", "trainer.devices"):
            slots.take(config, machine)
        return
    taken = [slots.take(config, machine) for _ in range(10)]
    held = [slot for slot in taken if slot is not None]
    used = [name for slot in held for name in slot.gpus]
    assert len(held) == gpus // each and slots.parallel(config, machine) == min(wanted, len(held))
    assert all(len(slot.gpus) == each for slot in held) and len(set(used)) == len(used) <= gpus
    for slot in held:
        slot.close()
    again = slots.take(config, machine)
    assert again is not None
    again.close()


def test_a_point_on_the_cpu_takes_a_core_for_each_thread_of_each_process(tmp_path):
    machine = Machine({}, (0, 1, 2, 5, 6), tmp_path)
    assert slots.size(made(devices=2, threads=2), machine) == (4, 5)
    assert slots.parallel(made(devices=2, most=9), machine) == 2
    first, second, third = (slots.take(made(devices=2), machine) for _ in range(3))
    assert first.gpus is None and second is not None and third is None
    one = slots.take(made(), machine)
    assert one is not None and slots.take(made(), machine) is None
    for slot in (first, second, one):
        slot.close()


def test_a_point_larger_than_the_machine_has_it_alone(tmp_path):
    machine = Machine({}, (0, 1), tmp_path)
    alone = slots.take(made(devices=8), machine)
    assert alone is not None and slots.take(made(), machine) is None
    alone.close()


def test_who_cannot_have_enough_keeps_nothing_from_others(tmp_path):
    machine = Machine({}, (0, 1, 2), tmp_path)
    first, second = slots.take(made(), machine), slots.take(made(), machine)
    first.close()
    assert slots.take(made(devices=3), machine) is None  # the first is free, the second is not
    rest = [slots.take(made(), machine) for _ in range(2)]
    assert None not in rest
    for slot in (second, *rest):
        slot.close()


def test_a_gpu_has_one_identity_under_all_its_names(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, GPU-aaa'\necho '1, GPU-bbb'\n")
    tool.chmod(0o755)
    around = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert slots.visible_gpus(around) == {"0": "GPU-aaa", "1": "GPU-bbb"}
    assert slots.visible_gpus({**around, "CUDA_VISIBLE_DEVICES": "1, GPU-aaa"}) == {
        "1": "GPU-bbb",
        "GPU-aaa": "GPU-aaa",
    }
    for nothing in ("", "-1", "NoDevFiles"):
        assert slots.visible_gpus({**around, "CUDA_VISIBLE_DEVICES": nothing}) == {}
    by_number, by_uuid = (
        slots.this_machine(
            [on_gpus()],
            {**around, "CUDA_VISIBLE_DEVICES": name, "HYBRID_SWEEP_SLOTS": str(tmp_path / "s")},
        )
        for name in ("0", "GPU-aaa")
    )
    held = slots.take(on_gpus(), by_number)
    assert held.gpus == ("0",) and slots.take(on_gpus(), by_uuid) is None
    held.close()


def test_cores_that_the_scheduler_keeps_from_this_process_are_none_of_its_own(monkeypatch):
    monkeypatch.setattr(slots.os, "sched_getaffinity", lambda pid: {5, 2}, raising=False)
    assert slots.this_machine([made()], {}).cores == (2, 5)


def test_gpus_are_not_asked_for_where_no_point_uses_one(monkeypatch):
    monkeypatch.setattr(slots, "visible_gpus", lambda around: pytest.fail("asked"))
    assert slots.this_machine([made()], {}).gpus == {}
    assert str(slots.this_machine([made()], {}).folder) == slots.SHARED


def test_gpus_without_the_driver_tool_are_known_by_their_names(tmp_path):
    assert slots.visible_gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-abc", "PATH": str(tmp_path)}) == {
        "2": "2",
        "GPU-abc": "GPU-abc",
    }
    assert slots.visible_gpus({"PATH": str(tmp_path)}) == {}


def test_more_gpus_than_a_point_uses_can_be_its_own(tmp_path):
    machine = Machine({str(n): str(n) for n in range(4)}, (0,), tmp_path)
    slot = slots.take(on_gpus(gpus_per_run=3), machine)
    assert slot.gpus == ("0", "1", "2") and slots.take(on_gpus(gpus_per_run=3), machine) is None
    slot.close()
    with refused("config.sweep.gpus_per_run", "sweep.gpus_per_run=5", 4):
        slots.size(on_gpus(gpus_per_run=5), machine)


@pytest.mark.parametrize(
    "words", [["sweep.gpus_per_run=1", "trainer.devices=2"], ["sweep.retries=-1"]]
)
def test_impossible_numbers_are_refused(config, words):
    field = words[0].partition("=")[0]
    with refused(f"config.{field}", field):
        validate(config(*words))


HOLDER = """
import sys, time
from pathlib import Path
from hybrid_sweep.sweeps import slots
from hybrid_sweep.config.schema import Config
held = slots.take(Config(), slots.Machine({}, (0,), Path(sys.argv[1])))
print("held" if held else "busy", flush=True)
time.sleep(60)
"""


def test_a_killed_process_holds_nothing(tmp_path):
    machine = Machine({}, (0,), tmp_path)
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n" and slots.take(made(), machine) is None
    other.send_signal(signal.SIGKILL)
    other.communicate()
    slot = slots.take(made(), machine)
    assert slot is not None
    slot.close()


def test_a_child_that_inherits_a_lease_keeps_it(tmp_path):
    machine = Machine({}, (0,), tmp_path)
    slot = slots.take(made(), machine)
    child = subprocess.Popen(["sleep", "60"], pass_fds=slot.leases)
    slot.close()
    assert slots.take(made(), machine) is None
    child.kill()
    child.wait()
    deadline = time.monotonic() + 60
    while (slot := slots.take(made(), machine)) is None:
        assert time.monotonic() < deadline
    slot.close()


def test_a_lease_of_another_user_can_be_looked_at(tmp_path):
    """The folder is open to all, and a file in it that only its owner may write serves the others
    too.
    """
    machine = Machine({}, (0,), tmp_path / "slots")
    slots.take(made(), machine).close()
    assert (tmp_path / "slots").stat().st_mode & 0o7777 == 0o1777
    (tmp_path / "slots" / "core-0").chmod(0o444)
    slots.take(made(), machine).close()


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077, 0o777])
def test_what_one_user_makes_all_others_can_use_whatever_the_umask(tmp_path, umask):
    machine = Machine({"0": "GPU-0"}, (0, 1), tmp_path / "slots")
    before = os.umask(umask)
    try:
        slots.take(made(devices=2), machine).close()
        slots.take(on_gpus(), machine).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(machine.folder.stat().st_mode) == 0o1777
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in machine.folder.iterdir()}
    assert found.keys() == {"core-0", "core-1", "gpu-GPU-0"} and all(
        mode & 0o444 == 0o444 for mode in found.values()
    )


def test_another_user_leases_what_is_free_and_nothing_that_is_held(shared_path):
    machine = Machine({}, (0, 1), shared_path / "slots")
    before = os.umask(0o077)
    try:
        slots.take(made(devices=2), machine).close()
    finally:
        os.umask(before)

    def lease():
        first, second = slots.take(made(), machine), slots.take(made(), machine)
        return [slot is not None for slot in (first, second)]

    held = slots.take(made(), machine)
    assert as_another_user(lease) == [True, False]
    held.close()
    assert as_another_user(lease) == [True, True]


def test_a_lock_that_an_earlier_start_left_closed_is_opened_by_its_owner(tmp_path, monkeypatch):
    machine = Machine({}, (0,), tmp_path / "slots")
    slots.take(made(), machine).close()
    (machine.folder / "core-0").chmod(0o600)
    slots.take(made(), machine).close()
    assert (machine.folder / "core-0").stat().st_mode & 0o444 == 0o444
    machine.folder.chmod(0o700)  # a folder that somebody has named may be meant for one user alone
    slots.take(made(), machine).close()
    assert stat.S_IMODE(machine.folder.stat().st_mode) == 0o700
    monkeypatch.setattr(slots, "SHARED", str(machine.folder))
    slots.take(made(), machine).close()
    assert stat.S_IMODE(machine.folder.stat().st_mode) == 0o1777


def test_a_lock_that_is_being_created_by_another_user_is_waited_for(tmp_path, monkeypatch):
    """It is closed to all others for a moment."""
    machine, inner, refused = Machine({}, (0,), tmp_path / "slots"), slots.open_regular, []

    def opening(path, flags, way_out):
        if len(refused) < 3:
            refused.append(path)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return inner(path, flags, way_out)

    monkeypatch.setattr(slots, "open_regular", opening)
    slots.take(made(), machine).close()
    assert len(refused) == 3


def test_processes_that_start_at_once_in_no_folder_share_no_core(tmp_path):
    code = HOLDER.replace(
        'print("held" if held else "busy", flush=True)\ntime.sleep(60)', "input()"
    )
    code = code.replace("held = ", "input('ready')\nheld = ").replace(
        "input()", "print(held is not None)\ninput()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "slots")]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    started = [subprocess.Popen(command, umask=mask, **pipes) for mask in (0o077, 0o022, 0o777)]
    for process in started:
        assert process.stdout.read(5) == "ready"
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    assert sorted(process.stdout.readline().strip() for process in started) == [
        "False",
        "False",
        "True",
    ]
    for process in started:
        process.communicate("\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract sockets are Linux's")
def test_a_lease_outlasts_the_removal_of_its_file(tmp_path):
    machine = Machine({}, (0,), tmp_path)
    slot = slots.take(made(), machine)
    (tmp_path / "core-0").unlink()
    assert slots.take(made(), machine) is None and slots.take(made(), machine) is None
    child = subprocess.Popen(["sleep", "60"], pass_fds=slot.leases)
    slot.close()
    (tmp_path / "core-0").unlink()
    assert slots.take(made(), machine) is None
    child.kill()
    child.wait()
    slots.take(made(), machine).close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract sockets are Linux's")
def test_no_two_hold_a_core_while_its_file_is_removed_all_the_time(tmp_path):
    machine, stop, inside, most = Machine({}, (0,), tmp_path), threading.Event(), [], []

    def compete():
        while not stop.is_set():
            if (slot := slots.take(made(), machine)) is not None:
                inside.append(slot)
                time.sleep(0.002)
                most.append(len(inside))
                inside.remove(slot)
                slot.close()

    def remove():
        while not stop.is_set():
            (tmp_path / "core-0").unlink(missing_ok=True)
            time.sleep(0.001)

    threads = [threading.Thread(target=compete) for _ in range(3)] + [
        threading.Thread(target=remove)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(most) > 5 and max(most) == 1


def test_where_there_are_no_sockets_the_lock_alone_holds(tmp_path, monkeypatch):
    class Sandboxed(slots.socket.socket):
        def bind(self, name):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(slots.socket, "socket", Sandboxed)
    machine = Machine({}, (0,), tmp_path)
    slot = slots.take(made(), machine)
    assert len(slot.leases) == 1 and slots.take(made(), machine) is None
    slot.close()


def test_a_taken_or_refused_lease_leaves_no_descriptor_open(tmp_path):
    machine, before = Machine({}, (0, 1, 2), tmp_path), len(os.listdir("/proc/self/fd"))
    held = slots.take(made(), machine)
    assert slots.take(made(devices=3), machine) is None
    (tmp_path / "core-2").mkdir()
    with refused("locks.not_regular", "core-2"):
        slots.take(made(devices=2), machine)
    held.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "kind", ["link", "FIFO", "folder", "linked folder", "folder that is a file"]
)
def test_what_is_no_lock_in_the_place_of_one_is_refused_with_the_way_out(tmp_path, kind):
    machine, lock = Machine({}, (0,), tmp_path / "slots"), tmp_path / "slots" / "core-0"
    (tmp_path / "elsewhere").mkdir()
    if kind == "linked folder":
        machine.folder.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder that is a file":
        machine.folder.write_text("")
    else:
        machine.folder.mkdir()
        lays = {
            "link": lambda: lock.symlink_to(tmp_path / "target"),
            "FIFO": lambda: os.mkfifo(lock),
        }
        lays.get(kind, lock.mkdir)()
    key = (
        "slots.no_folder"
        if kind in ("linked folder", "folder that is a file")
        else "locks.not_regular"
    )
    with refused(key, "HYBRID_SWEEP_SLOTS", machine.folder) as refusal:
        slots.take(made(), machine)
    assert "\n" not in refusal.message
    assert not list((tmp_path / "elsewhere").iterdir()) and not (tmp_path / "target").exists()


def test_a_file_system_without_locks_is_named_with_the_way_out(tmp_path, monkeypatch):
    def refuse(descriptor, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with refused("locks.not_lockable", "core-0", "No locks available", "HYBRID_SWEEP_SLOTS"):
        slots.take(made(), Machine({}, (0,), tmp_path))


def test_a_folder_that_another_user_keeps_to_himself_is_named_with_the_way_out(shared_path):
    machine = Machine({}, (0,), shared_path / "slots")
    machine.folder.mkdir(0o755)

    def words():
        with refused("slots.unwritable") as refusal:
            slots.take(made(), machine)
        return refusal.message

    said = as_another_user(words)
    assert (
        str(machine.folder) in said and "belongs to user 0" in said and "HYBRID_SWEEP_SLOTS" in said
    )


def test_names_of_gpus_lead_nowhere(tmp_path):
    names = ["../../out", "MIG-GPU-aaa/1/0", "GPU-aaa"]
    machine = Machine({name: name for name in names}, (0,), tmp_path / "slots")
    slots.take(on_gpus(devices=3), machine).close()
    assert len(list(machine.folder.iterdir())) == 3 and [
        path.name for path in tmp_path.iterdir()
    ] == ["slots"]
    assert (machine.folder / "gpu-GPU-aaa").is_file()


def test_where_leases_cannot_be_kept_is_said_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    for folder, key in (
        (tmp_path / "file", "slots.no_folder"),
        (tmp_path / "file" / "below", "slots.unwritable"),
    ):
        with refused(key, folder, "HYBRID_SWEEP_SLOTS"):
            slots.take(made(), Machine({}, (0,), folder))
