"""A worker without torch: `python standin_worker.py RULES RUN_DIR`. RULES is a JSON file that tests
may change meanwhile.

{"seconds": s, "journal": file, "RATIO/SEED": behaviour}; behaviours: fail, exit7, mistake, killed,
warned, hang, family, silent, and flaky:N, which fails the first N times. With "results": a folder
of finished runs, it goes through the stages of a real worker, and takes what they result in from
there: steps with checkpoints, a model, a table, metrics.json.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

rules, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
identity = json.loads((folder / "identity.json").read_text())
config = (folder / "config.yaml").read_text()
ratio = float(re.search(r"cross_lingual_ratio: (\S+)", config).group(1))
seed = int(re.search(r"^seed: (\d+)", config, re.M).group(1))
steps = int(re.search(r"max_steps: (\d+)", config).group(1))
behaviour = rules.get("untrained" if steps == 0 else f"{ratio:g}/{seed}", "works")


def write(name, value):
    (folder / (name + ".new")).write_text(json.dumps(value))
    os.replace(folder / (name + ".new"), folder / name)


def status(state, step, error=None):
    write(
        "status.json",
        {
            "state": state,
            "step": step,
            "max_steps": steps,
            "loss": 1.5,
            "steps_per_second": 2.0,
            "error": error,
        },
    )


def journal(event):
    with open(rules["journal"], "a") as file:
        file.write(f"{event} {identity['run_id']} {time.time()} {os.getpid()}\n")


print(f"stand-in worker: {behaviour}", flush=True)
write("env.json", dict(os.environ))
journal("start")
status("training", 1)
if behaviour == "fail":
    print("Traceback: the last words", flush=True)
    status("failed", 1, "ValueError: no luck")
    sys.exit(1)
if behaviour == "exit7":
    sys.exit(7)
if behaviour == "mistake":
    status("failed", 1, "error: your fault")
    sys.exit(2)
if behaviour.startswith("flaky:"):
    if (folder / "log.txt").read_text().count("stand-in worker:") <= int(
        behaviour.partition(":")[2]
    ):
        sys.exit(7)
if behaviour == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if behaviour == "warned":
    os.kill(os.getpid(), signal.SIGUSR2)
if behaviour == "silent":
    sys.exit(0)
if behaviour == "family":  # a rank that outlives the signal sent to its parent
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)",
        ]
    )
    write("child.json", child.pid)
if behaviour in ("hang", "family"):
    time.sleep(60)
if "results" not in rules:
    time.sleep(rules.get("seconds", 0.2))
    (folder / "per_query.parquet").write_bytes(b"rows")
    digest = hashlib.sha256(b"rows").hexdigest()[:16]
    write(
        "metrics.json", {"run_id": identity["run_id"], "per_query": {"per_query.parquet": digest}}
    )
    status("done", steps)
    journal("end")
    sys.exit(0)

STEPS, PAUSE = 8, rules.get("seconds", 0.2) / 10


def atomically(name, content):
    """Half of it, a pause to be killed in, the rest, and its name."""
    temporary = folder / (".tmp-" + name.replace("/", "-"))
    with open(temporary, "wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        time.sleep(PAUSE)
        file.write(content[len(content) // 2 :])
    (folder / name).parent.mkdir(exist_ok=True)
    os.replace(temporary, folder / name)


made = Path(rules["results"]) / identity["run_id"]
if not (folder / "model").exists():
    for step in range(len(list(folder.glob("checkpoints/*"))), STEPS):
        journal(f"step-{step}")
        status("training", step)
        time.sleep(PAUSE)
        atomically(f"checkpoints/{step}", b"weights" * 1000)
    atomically("model", b"model" * 1000)
    journal("trained")
if not (folder / "per_query.parquet").exists():
    journal("evaluate")
    status("evaluating", steps)
    atomically("per_query.parquet", (made / "per_query.parquet").read_bytes())
    journal("evaluated")
for name in ("provenance.json", "metrics.json"):
    atomically(name, (made / name).read_bytes())
status("done", steps)
journal("end")
