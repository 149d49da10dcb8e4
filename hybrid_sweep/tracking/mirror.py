"""What Weights & Biases is told of a run: the same whether it is told while a point trains or
later, from its files.

wandb is imported only where a run begins; no torch here, so that the driver can push.
"""

import math
import netrc
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hybrid_sweep.utils import redaction
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.escaping import terminal

# of training: the axis of every series, so that a resumed run goes on where it stopped
STEP = "step"
CONNECT = 20.0  # seconds to wait for the server when a run begins
# seconds to wait for it when a run ends; what it has not got by then lies in the folder
UPLOAD = 300.0
MODES = {"run": "online", "dryrun": "offline"}  # older words of W&B's
KNOWN = ("online", "offline", "disabled")
# what an agent of W&B tells the program that it starts: all points would be its one run
AGENT = ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH")


def mode_of(logger: Mapping[str, Any]) -> str:
    """Return online, offline or disabled: WANDB_MODE (or WANDB_DISABLED) in the environment wins
    over the config's logger, in any case of its letters. Raises UserError for another word.
    """
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes"):
        return "disabled"
    word = str(os.environ.get("WANDB_MODE") or logger["mode"]).strip().lower()
    mode = MODES.get(word, word)
    if mode not in KNOWN:
        raise UserError(
            f"WANDB_MODE={word[:40]!r} is not one of {', '.join(KNOWN)}; unset it, or set one",
            key="environment.wandb_mode",
        )
    return mode


def key_missing() -> bool:
    """Return whether neither the environment nor the file of passwords (~/.netrc, or $NETRC) has a
    key for W&B's server.
    """
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")):
        return False
    address = os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
    host = urllib.parse.urlsplit(address).hostname or ""
    named = os.environ.get("NETRC")
    files = [named] if named else ["~/.netrc", "~/_netrc"]
    for file in files:
        try:
            if netrc.netrc(os.path.expanduser(file)).authenticators(host):
                return False
        except (OSError, netrc.NetrcParseError):
            continue
    return True


@contextmanager
def _without_agent() -> Iterator[None]:
    """Keep from wandb what an agent says of its own run."""
    hidden = {name: os.environ.pop(name) for name in AGENT if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def job_type(config: Mapping[str, Any]) -> str:
    """Return train, untrained, bm25, or evaluate (a saved model on a collection), from a run's
    config as plain dicts.
    """
    if config["model"]["name"] == "bm25":
        return "bm25"
    if config["trainer"]["max_steps"]:
        return "train"
    if config["model"]["name"] == "saved":
        return "evaluate"
    return "untrained"


def described(config: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Return the words for `begin` that name a point and say what it is, from its config as plain
    dicts.
    """
    kind = job_type(config)
    ratio = config["batch"]["cross_lingual_ratio"]
    seed = config["seed"]
    name = {"train": f"r{ratio:g}-s{seed}", "bm25": "bm25"}.get(kind, f"{kind}-s{seed}")
    return {
        "id": run_id,
        "name": name,
        "group": config["sweep"]["name"],
        "job_type": kind,
        "project": config["logger"]["project"],
        "entity": config["logger"]["entity"],
        # What no ratio trained stands at none of them.
        "config": {
            "ratio": ratio if kind == "train" else None,
            "seed": seed,
            "run_id": run_id,
            **config,
        },
    }


def begin(words: Mapping[str, Any], folder: Path, mode: str, *, resume: bool) -> Any:
    """Start a run of W&B in this process (one at a time), its files under folder/wandb; raises what
    wandb raises.

    resume: go on with the run of that id, where the server has one.
    """
    import wandb

    settings = wandb.Settings(
        console="off",  # the log of a run is its own
        silent=True,
        # Addresses of repositories and words of command lines can hold passwords.
        disable_git=True,
        disable_code=True,
        x_disable_meta=True,
        init_timeout=CONNECT,
        finish_timeout=UPLOAD,
        finish_timeout_raises=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = clean(words) | {
        "dir": str(folder),
        "mode": mode,
        "resume": "allow" if resume else None,
    }
    try:
        with _without_agent():
            run = wandb.init(**given, settings=settings)
    except Exception:
        wandb.teardown()  # or the id would count as taken when it is tried again
        raise
    run.define_metric(STEP, hidden=True)
    run.define_metric("*", step_metric=STEP)
    return run


def of_step(row: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Return the series of training, from a row of steps.parquet; of a sum, also each term.

    The loss also stands in a series of its kind where all pairs of the step are of one.

    Args:
        row: of the step. before: of the step before, None for the first: the time between the two
            gives the pairs in a second.
    """
    loss = float(row["loss"])
    series = {"train/loss": loss, "train/cross_lingual": row["n_cross"] / row["n_examples"]}
    if row["n_cross"] == 0:
        series["train/monolingual_loss"] = loss
    if row["n_cross"] == row["n_examples"]:
        series["train/cross_lingual_loss"] = loss
    for name in ("lr", "grad_norm"):
        if math.isfinite(row.get(name, math.nan)):
            series[f"train/{name}"] = float(row[name])
    if before is not None and row.get("seconds", 0) > before.get("seconds", math.inf):
        series["train/pairs_per_second"] = row["n_examples"] / (row["seconds"] - before["seconds"])
    for name, value in row.items():
        if name.startswith("loss_"):
            series[f"train/{name}"] = float(value)
    return series


def of_dev(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the series of the dev split, from a row of dev.parquet."""
    return {f"dev/{name}": float(value) for name, value in row.items() if name != "step"}


def of_result(metrics: Mapping[str, Any], stage: str = "") -> dict[str, Any]:
    """Return the summary, from a metrics.json: every single value under its path, and
    bias/own_first/LANG from its maps.

    bias/own_first: share of the queries of a language whose first passage is in it. stage: the
    further collection.
    """
    summary = {}
    for name, value in _flat(metrics, ""):
        is_label = name in ("run_id", "ratio", "seed", "digest")
        if not is_label and not name.startswith(("per_query/", "run_files/")):
            summary[name] = value
    bias = metrics.get("bias") or {}
    shares = bias.get("first_retrieved") or []
    for place, language in enumerate(bias.get("languages", [])):
        share = None
        if place < len(shares):
            share = shares[place][place]
        if share is not None:
            summary[f"bias/own_first/{language}"] = share
    if stage:
        summary = {f"{stage}/{name}": value for name, value in summary.items()}
    cleaned: dict[str, Any] = clean(summary)
    return cleaned


def _flat(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
            yield f"{prefix}{name}", value


def clean(node: Any) -> Any:
    """Return the same nested value without secrets, and without hidden characters, in its texts."""
    return redaction.clean(node, lambda text: terminal(redaction.redacted(text)))
