"""What is frozen under experiments/ is what today's code would make, and what the README says of it is what it says."""

import re
from pathlib import Path

import pandas as pd

from hybrid_sweep.analysis import frozen, report_files
from hybrid_sweep.compose import points
from hybrid_sweep.config import bm25, run_id, untrained
from hybrid_sweep.store import read_json

ROOT = Path(__file__).parent.parent
FROZEN = ROOT / "experiments" / "first-curve"
FINGERPRINTS = {"collection": "cab9666bbd1c", "model": "b00a1d7bbd48"}
WORDS = {**FINGERPRINTS, "model": "57bbb9782cb9"}  # BM25's model: how texts become words, by which versions


def test_the_frozen_curve_has_the_run_ids_of_todays_config():
    """Red means that identity or a default changed: make the curve again, or take the change back."""
    configs = [config for _, config in points(["experiment=reproduce"], multirun=False)]
    today = {run_id(config, FINGERPRINTS) for config in [*configs, *map(untrained, configs)]}
    today |= {run_id(bm25(config), WORDS) for config in configs}
    assert len(configs) == 21 and len(today) == 25
    assert today == {point["run_id"] for point in read_json(FROZEN / "points.json")["points"]}
    results = pd.read_csv(FROZEN / "results.csv")
    assert set(" ".join(results["run_ids"].dropna()).split()) == today


def test_the_readme_quotes_the_frozen_report():
    readme, report = (" ".join(path.read_text().split()) for path in (ROOT / "README.md", FROZEN / "report.md"))
    caption = readme.split("experiments/first-curve/curve.png)")[1].split("make reproduce #")[0]
    numbers = re.findall(r"[-+]?\.\d+", caption)
    assert len(numbers) >= 8
    for number in numbers:
        sign, digits = ("", number) if number[0] == "." else (number[0], number[1:])
        assert f"{sign}0{digits}" in report, number
    for mark in ("cab9666bbd1c", "0f1df08c", "2,604"):
        assert mark in caption and mark in report


def test_the_frozen_tables_are_what_their_frozen_rows_give(monkeypatch):
    """What `make experiments` says; without the figures, which are not compared."""
    monkeypatch.setattr(report_files, "drawn", lambda *args: {})
    assert frozen.differences(FROZEN) == []
