"""One thread per process, no network, no user's cache: what every test runs under."""

import atexit
import gc
import os
import shutil
import signal
import tempfile
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Read at the first product on a GPU, whichever test makes it; deterministic training refuses to go
# without.
os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
# Leases of cores of this test process's own: tests must not wait for each other, nor for the sweeps
# of this machine.
os.environ["HYBRID_SWEEP_SLOTS"] = tempfile.mkdtemp(prefix="hybrid-sweep-test-slots-")
atexit.register(shutil.rmtree, os.environ["HYBRID_SWEEP_SLOTS"], ignore_errors=True)

# A runner in the background may leave interrupts ignored, and every process that a test starts
# would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
import torch  # noqa: E402, F401  before faiss: two OpenMP runtimes in one process, torch's must come first


def pytest_collection_modifyitems(items):
    """Put the tests on a cluster first: who begins with them keeps them all, and much of their time
    is waiting.
    """
    items.sort(key=lambda item: item.path.name != "test_slurm.py")


def pytest_collection_finish():
    """Keep what is imported out of the garbage collector's walks, which took a twentieth of the
    time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache of the test session's own, also for the processes it starts."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["HYBRID_SWEEP_CACHE"] = str(folder)
    return folder


@pytest.fixture
def shared_path():
    """A temporary folder that other users of the machine may read."""
    with tempfile.TemporaryDirectory(prefix="hybrid-sweep-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def config(cache):
    """Makes a typed config from command-line words, on small generated text."""
    from hybrid_sweep.config.compose import points
    from tests.small import SMALL

    def make(*words):
        ((_, made),) = points([*SMALL, "logger=disabled", *words], multirun=False)
        return made

    return make


@pytest.fixture
def planned(config, tmp_path):
    """Makes the folder of one point, ready for a worker."""
    from omegaconf import OmegaConf

    from hybrid_sweep.config.schema import run_id, to_dict
    from hybrid_sweep.inputs import prepare
    from hybrid_sweep.utils.files import write_json

    def make(*words):
        made = config(*words)
        fingerprints = prepare.fingerprints(made)
        folder = tmp_path / "runs" / run_id(made, fingerprints)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(to_dict(made)), folder / "config.yaml")
        write_json(folder / "identity.json", {"run_id": folder.name, "fingerprints": fingerprints})
        return folder

    return make


@pytest.fixture
def run(planned):
    """Runs one point in a worker of its own; gives its folder."""
    from tests import ready

    def work(*words):
        folder = planned(*words)
        done = ready.run(["-m", "hybrid_sweep.worker", folder])
        assert done.returncode == 0, done.stderr[-2000:]
        return folder

    return work
