"""Sweeps that differ: copies of a known sweep whose runs have other names, settings, questions or
values.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from hybrid_sweep.report.comparison.report import read
from hybrid_sweep.report.comparison.table import Comparison, compare
from tests.report.folders import edit, runs_of

Make = Callable[..., Path]


def renamed(sweep_dir: Path, prefix: str) -> Path:
    """Give every run of a sweep another id, as other settings would."""
    for run in sorted(runs_of(sweep_dir).iterdir()):
        new = run.rename(run.with_name(prefix + run.name))
        edit(new / "metrics.json", lambda found, new=new: found.update(run_id=new.name))
        rewrite(new, lambda frame, new=new: frame.assign(run_id=new.name))
    edit(
        sweep_dir / "points.json",
        lambda plan: [row.update(run_id=prefix + row["run_id"]) for row in plan["points"]],
    )
    return sweep_dir


def rewrite(run: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = run / "per_query.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def configured(sweep_dir: Path, old: str, new: str) -> Path:
    """Replace a text in the configs of the trained points."""
    for path in runs_of(sweep_dir).glob("*t[01]*/config.yaml"):
        assert old in path.read_text(), path
        path.write_text(path.read_text().replace(old, new))
    return sweep_dir


def marked(sweep_dir: Path, **fingerprints: str) -> Path:
    """Other fingerprints of what the runs read."""
    for path in runs_of(sweep_dir).glob("*/provenance.json"):
        edit(path, lambda found: found["fingerprints"].update(fingerprints))
    return sweep_dir


def files_in(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder, with its content and the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def compared(*folders: Path) -> Comparison:
    return compare(*read(folders))


def picked(found: Comparison, **wanted: object) -> pd.DataFrame:
    """Rows of the table: monolingual RR@10, mean of languages, unless it is said otherwise."""
    table = found.table
    for name, value in (
        {"setting": "monolingual", "measure": "RR@10", "scope": "macro"} | wanted
    ).items():
        table = table[table[name] == value]
    return table.sort_values("ratio").reset_index(drop=True)
