"""What a sweep holds and what the probe has written, read by plain means: for the tests of the
probe.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybrid_sweep.report.probe.report import Asked

BARE = Asked(texts=False)
CELL = ["setting", "query_lang", "passage_lang"]
Success = dict[tuple[float, int], dict[str, bool]]  # by ratio and seed: by question


def runs_of(sweep_dir: Path) -> Path:
    return sweep_dir.parent.parent / "runs"


def tables(sweep_dir: Path) -> dict[tuple[float, int], pd.DataFrame]:
    """The per-query tables of the trained points, as they lie on disk."""
    points = json.loads((sweep_dir / "points.json").read_text())["points"]
    return {
        (point["ratio"], point["seed"]): pd.read_parquet(
            runs_of(sweep_dir) / point["run_id"] / "per_query.parquet"
        )
        for point in points
        if point["kind"] == "trained"
    }


def by_cell(sweep_dir: Path, at: int) -> dict[tuple[str, str, str], Success]:
    found: dict[tuple[str, str, str], Success] = {}
    for point, frame in tables(sweep_dir).items():
        for row in frame.to_dict("records"):
            cell = found.setdefault((row["setting"], row["query_lang"], row["passage_lang"]), {})
            cell.setdefault(point, {})[row["group_id"]] = row["rank_min"] <= at
    return found


def state(success: Success, ratio: float, question: str, share: float) -> str:
    hits = [runs[question] for (r, _), runs in success.items() if r == ratio]
    if sum(hits) / len(hits) > share:
        return "answered"
    return "missed" if sum(not hit for hit in hits) / len(hits) > share else "open"


def written(sweep_dir: Path, name: str) -> list[dict[str, Any]]:
    lines = (sweep_dir / "probe" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def read(sweep_dir: Path) -> pd.DataFrame:
    return pd.read_csv(
        sweep_dir / "probe" / "probe.csv", keep_default_na=False, na_values=["nan", ""]
    )


def set_ranks(path: Path, ranks: pd.Series) -> None:
    frame = pd.read_parquet(path)
    frame["rank_min"] = ranks.to_numpy(dtype=np.int64)
    frame["rank_max"] = frame["rank_min"]
    frame["RR@10"] = np.where(frame["rank_min"] <= 10, 1 / frame["rank_min"], 0.0)
    frame.to_parquet(path, index=False)
