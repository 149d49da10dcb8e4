"""Labels of an evaluated model, by which `report --table` compares it with others: label.ratio=0.5
label.seed=3.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from hybrid_sweep.report.foreign.rows import tidy
from hybrid_sweep.runs.finished import TABLE, clusters
from hybrid_sweep.utils import names
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_write

PREFIX = "label."
SYSTEM = "labelled"  # the name of the system unless label.system names another
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def labels_of(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the labels among the words of a command, and the other words.

    Raises:
        UserError: for a label without a value or a plain name, and labels without a seed, or
            without anything else.
    """
    labels: dict[str, str] = {}
    others = []
    for word in words:
        if not word.startswith(PREFIX):
            others.append(word)
            continue
        name, equals, value = word.removeprefix(PREFIX).partition("=")
        if not equals or not value or not NAME.fullmatch(name):
            raise UserError(f"{word}: must be label.NAME=VALUE", key="label.word")
        labels[name] = value
    if not labels:
        return {}, others
    if "seed" not in labels or not labels["seed"].isdecimal():
        raise UserError(
            "label.seed=NUMBER is needed beside other labels: seeds are what intervals are over",
            key="label.seed",
        )
    if not labels.keys() - {"seed"}:
        raise UserError("label.seed needs a factor beside it, as label.ratio=0.5", key="label.word")
    names.folder_name(labels.get("system", SYSTEM), "label.system")
    return labels, others


def keep_labelled(run_dir: Path, outputs: Path, labels: Mapping[str, str]) -> str:
    """Write the rows of a run as tidy rows under its labels, and return how they are reported.

    Args:
        run_dir: of a finished evaluation.
        outputs: the folder of all outputs.
        labels: with a seed and a factor.
    """
    system = labels.get("system", SYSTEM)
    table = pd.read_parquet(run_dir / TABLE)
    by_group = clusters(run_dir)
    if by_group is not None:
        table["cluster"] = table["group_id"].map(by_group)
    rows = tidy(table, {"system": system, **labels})
    rows["seed"] = rows["seed"].astype(int)
    told = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    folder = outputs / "labelled" / system
    folder.mkdir(parents=True, exist_ok=True)
    safe = re.sub(r"[^A-Za-z0-9=,._-]", "_", told)
    with atomic_write(folder / f"{safe}.parquet") as temporary:
        rows.to_parquet(temporary, index=False)
    return f"labelled {told}; report all of {system}: hybrid-sweep report --table {folder}"
