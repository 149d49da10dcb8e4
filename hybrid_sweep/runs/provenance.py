"""Where a result comes from: versions, git state, content, machine and times; none of it is
identity.
"""

import dataclasses
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from hybrid_sweep.config.schema import Config
from hybrid_sweep.inputs.prepare import Prepared
from hybrid_sweep.utils import processor, redaction


def provenance(
    config: Config, prepared: Prepared, fingerprints: dict[str, str], times: dict[str, float]
) -> dict[str, Any]:
    """Return where a result comes from: versions, git state, content, machine and times; none of it
    is identity.
    """
    packages = (
        "hybrid-sweep",
        "torch",
        "pytorch-lightning",
        "transformers",
        "tokenizers",
        "faiss-cpu",
        "faiss-gpu",
        "numpy",
        "pandas",
        "bm25s",
        "PyStemmer",
    )
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "git": git_state(),
        "fingerprints": fingerprints,
        "collection": redaction.clean(prepared.collection.info),
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "processor": processor.model(),
            "instructions": processor.instructions(),
            "cpus": os.cpu_count(),
            "gpu": _gpu(),
        },
        "times": {"finished": datetime.now(UTC).isoformat(timespec="seconds"), **times},
        "max_memory_mb": peak_memory(),
        "trainer": dataclasses.asdict(config.trainer),
    }


def _gpu() -> str | None:
    """Return the name of the GPU; None where there is none, or nothing that was run uses torch."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())


def process_age() -> float:
    """Return seconds since this process was started: mostly what its imports took; 0 where the
    system does not tell.
    """
    try:
        begun = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]) / os.sysconf(
            "SC_CLK_TCK"
        )
        return round(time.clock_gettime(time.CLOCK_BOOTTIME) - begun, 3)
    except (OSError, AttributeError):
        return 0.0


def peak_memory() -> int:
    """Return the largest resident memory of this process so far in MiB.

    Linux tells it of the program that runs now; getrusage keeps the peak of the process that
    started it, where that was larger.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
        return int(peak.split()[1]) // 1024
    except (OSError, StopIteration):
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest // (1024 * 1024 if sys.platform == "darwin" else 1024)


def git_state() -> dict[str, Any]:
    """Return commit and cleanliness of the repository this package is run from; empty for an
    installed wheel; `refused`, git's own reason, where git does not tell.

    What git says in a hook of another repository does not count here.
    """
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return {}
    around = {name: word for name, word in os.environ.items() if not name.startswith("GIT_")}
    answers = []
    for words in (
        ["rev-parse", "HEAD"],
        ["status", "--porcelain", "--", "hybrid_sweep", "conf", "hydra_plugins"],
    ):
        try:
            done = subprocess.run(
                ["git", *words], cwd=root, env=around, capture_output=True, text=True
            )
        except OSError as error:
            return {"refused": f"git: {error.strerror}"}
        if done.returncode:
            lines = redaction.redacted(done.stderr).strip().splitlines()
            return {"refused": lines[0] if lines else f"git: exit code {done.returncode}"}
        answers.append(done.stdout.strip())
    commit, dirty = answers
    return {"commit": commit, "dirty": bool(dirty)}
