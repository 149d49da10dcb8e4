"""What a published folder keeps of each run: its rows, and in runs.json settings, versions, code,
fingerprints and what was counted.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_sweep.report import load
from hybrid_sweep.report.settings import matters
from hybrid_sweep.runs import finished
from hybrid_sweep.utils import records
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_write, canonical

KEPT = ["versions", "git", "fingerprints"]  # of a run's provenance: what a report reads


def place_of(run: Path, name: str) -> Path:
    """Return the folder of an evaluation of a run: its own, or that of a further collection."""
    return run / "evaluations" / name if name else run


def put_runs(path: Path, runs: Mapping[str, Any]) -> None:
    """Write runs.json, a line for each run."""
    lines = [f"{json.dumps(run_id)}: {canonical(record)}" for run_id, record in runs.items()]
    with atomic_write(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def record_of(run: Path, further: Sequence[str]) -> dict[str, Any]:
    """Return what a report reads of a run, beside its rows."""
    provenance = records.provenance(run)
    metrics = {name: records.metrics(place_of(run, name)) for name in ["", *further]}
    evaluated = {name: records.provenance(place_of(run, name)) for name in further}
    return {
        "config": _settings(records.config(run)),
        "provenance": {name: provenance[name] for name in KEPT if name in provenance},
        "metrics": {name: _counted(counts) for name, counts in metrics.items() if counts},
        "evaluated": {
            name: {part: record[part] for part in load.EVALUATED if part in record}
            for name, record in evaluated.items()
            if record
        },
    }


def _counted(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics without the means of single pairs, which the rows give, and the digests of
    files that are not published as they are.
    """
    left_out = ("cells", "per_query", "clusters", "run_files", finished.DIGEST)
    return {name: value for name, value in metrics.items() if name not in left_out}


def _settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a stored config without what cannot change a number."""
    kept: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            if inner := _settings(value, key + "."):
                kept[name] = inner
        elif matters(key):
            kept[name] = value
    return kept


def alike(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Return tables with the columns that all have: a further measure (eval.measures) of some runs
    alone is not reported, and not published.
    """
    there = set.intersection(*(set(table.column_names) for table in tables))
    return [
        table.select([name for name in table.column_names if name in there]) for table in tables
    ]


def rows_of(run: Path, place: Path) -> pa.Table:
    """Return the rows of a finished evaluation with its seed, in ROWS, and behind these columns its
    further measures; raises UserError where they cannot be used.
    """
    try:
        finished.metrics(run, place)
        schema = finished.schema_of(place / finished.TABLE)
        return pq.read_table(place / finished.TABLE).select(schema.names).cast(schema)
    except finished.Unfinished as error:
        raise UserError(f"{place}: {error}", key=error.key) from error
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise UserError(
            f"{place / finished.TABLE} cannot be read ({type(error).__name__})",
            key="evaluation.table_unreadable",
        ) from error
