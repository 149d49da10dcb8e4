"""What is measured on the split dev while training: its names, its history, its best step, and
whether it still rises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hybrid_sweep.config.schema import Config, MarcoData, steps_of
from hybrid_sweep.config.validate import nearest
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_write

MEASURES = ("RR@10", "AP", "nDCG@10", "R@100")
SPLIT = "dev"


def metric_names(languages: Sequence[str]) -> list[str]:
    """Return the metrics of an evaluation in these languages: SETTING/MEASURE, and
    monolingual/LANG/RR@10.
    """
    settings = ["monolingual", "multilingual"]
    shares = []
    if len(languages) > 1:
        settings = ["monolingual", "cross-lingual", "multilingual"]
        shares = ["multilingual/same@10"]
    means = [f"{setting}/{measure}" for setting in settings for measure in MEASURES]
    alone = [f"monolingual/{language}/RR@10" for language in languages]
    return [*means, *shares, *alone]


def check(config: Config, collection: Collection) -> None:
    """Raise UserError where validation is asked for and there is no split dev, or its metric has an
    unknown name.
    """
    if not config.eval.dev_every or not steps_of(config):
        return
    languages_of = [
        set(
            pc.unique(
                table.filter(pc.is_in(table["split"], value_set=pa.array(splits)))["lang"]
            ).to_pylist()
        )
        for table, splits in ((collection.queries, [SPLIT]), (collection.passages, [SPLIT, "*"]))
    ]
    if not (languages := sorted(languages_of[0] & languages_of[1])):
        hint = ""
        if isinstance(config.data, MarcoData):
            hint = ", or data.dev_share above 0"
        raise UserError(
            f"eval.dev_every={config.eval.dev_every}: data={collection.name} has no split dev; take"
            f" eval.dev_every=0{hint}",
            key="data.split_missing",
        )
    check_metric(config.eval.dev_metric, metric_names(languages))


def check_metric(name: str, names: Sequence[str]) -> None:
    """Raise UserError for a metric that is none of the known ones."""
    if name not in names:
        raise UserError(
            f"eval.dev_metric={name}: no such metric; {nearest(name, list(names))}",
            key="config.eval.dev_metric",
        )


@dataclass
class History:
    """The evaluations so far, in the order of their steps; `metric` chooses the best one, and of
    equal ones the earliest.

    rows: `step`, the number of optimiser steps done, and every metric by its name; plain numbers,
    as a checkpoint keeps.
    """

    metric: str
    rows: list[dict[str, float]] = field(default_factory=list)

    def add(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Append an evaluation; whether it is the best so far."""
        check_metric(self.metric, list(metrics))
        self.rows.append({"step": step, **metrics})
        return self.best == step

    @property
    def best(self) -> int | None:
        """Return the step of the best evaluation; None before the first."""
        # max keeps the first of equal ones.
        if self.rows:
            return int(max(self.rows, key=lambda row: row[self.metric])["step"])
        return None

    def write(self, path: Path) -> None:
        """Write the rows as Parquet, atomically."""
        with atomic_write(path) as temporary:
            pq.write_table(pa.Table.from_pylist(self.rows), temporary)


def read(path: Path, metric: str) -> History:
    """Return the history that `write` wrote; an empty one where there is no file."""
    if not path.is_file():
        return History(metric)
    return History(metric, pq.read_table(path).to_pylist())


def report(history: History, steps: int) -> dict[str, Any]:
    """Return what metrics.json says of the dev curve of a run of so many steps; {} where there was
    no evaluation.

    still_rising: the metric of the last evaluation minus that of the latest one at or before 3/4 of
    the steps, the gain of the last quarter: near 0, the point has converged; None where nothing was
    evaluated that early.
    """
    if not history.rows:
        return {}
    values = [float(row[history.metric]) for row in history.rows]
    at = [int(row["step"]) for row in history.rows]
    early = [value for step, value in zip(at, values, strict=True) if 4 * step <= 3 * steps]
    return {
        "dev": {
            "metric": history.metric,
            "best_step": history.best,
            "best": max(values),
            "last": values[-1],
            "steps": at,
            "values": values,
            "still_rising": values[-1] - early[-1] if early else None,
        }
    }
