"""What is frozen under experiments/ is what today's code would make, and what the README says of it is what it says."""

import re
from pathlib import Path

import pandas as pd
import pytest

from hybrid_sweep.analysis import frozen, report_files
from hybrid_sweep.compose import points
from hybrid_sweep.config import bm25, run_id, untrained
from hybrid_sweep.store import read_json

ROOT = Path(__file__).parent.parent
FROZEN = ROOT / "experiments" / "first-curve"
COLLECTION, LEXICAL = "cab9666bbd1c", "57bbb9782cb9"  # BM25's model: how texts become words, by which versions
# The words that made each, the fingerprint of its model, and the number of its points.
PUBLISHED = {
    "first-curve": (["experiment=reproduce"], "b00a1d7bbd48", 25),
    "shape": (["experiment=shape", "model.path=me5-small", "seed=0,1,2"], "f123e37e6841", 26),
}


def test_every_published_table_is_looked_at():
    assert {path.parent.name for path in ROOT.glob("experiments/*/runs.json")} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_run_ids_are_those_of_todays_config(name):
    """Red means that identity or a default changed: make the curve again, or take the change back."""
    words, model, count = PUBLISHED[name]
    folder = ROOT / "experiments" / name
    configs = [config for _, config in points(words, multirun=False)]
    marks = {"collection": COLLECTION, "model": model}
    today = {run_id(config, marks) for config in [*configs, *map(untrained, configs)]}
    today |= {run_id(bm25(config), {**marks, "model": LEXICAL}) for config in configs}
    assert len(today) == count
    assert today == {point["run_id"] for point in read_json(folder / "points.json")["points"]}
    results = pd.read_csv(folder / "results.csv")
    assert set(" ".join(results["run_ids"].dropna()).split()) == today


def text(path):
    return " ".join(path.read_text().split())


def part(words, begin, end):
    return words.split(begin)[1].split(end)[0]


SHAPE = "**With a pretrained encoder**"


@pytest.mark.parametrize(
    ("page", "begin", "end", "name", "least"),
    [
        ("README.md", "experiments/first-curve/curve.png)", SHAPE, "first-curve", 8),
        ("README.md", SHAPE, "make reproduce #", "shape", 6),
        ("experiments/shape/README.md", "**What was found**", "**What was not found**", "shape", 20),
    ],
)
def test_what_is_said_of_a_curve_is_quoted_from_its_frozen_report(page, begin, end, name, least):
    said, report = part(text(ROOT / page), begin, end), text(ROOT / "experiments" / name / "report.md")
    numbers = re.findall(r"[-+]?\.\d+", said)
    assert len(numbers) >= least
    for number in numbers:
        sign, digits = ("", number) if number[0] == "." else (number[0], number[1:])
        assert f"{sign}0{digits}" in report, number


def test_the_readme_names_the_collection_and_the_sweep_of_its_curve():
    said, report = part(text(ROOT / "README.md"), "first-curve/curve.png)", SHAPE), text(FROZEN / "report.md")
    for mark in (COLLECTION, "0f1df08c", "2,604"):
        assert mark in said and mark in report


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_frozen_tables_are_what_their_frozen_rows_give(monkeypatch, name):
    """What `make experiments` says; without the figures, which are not compared."""
    monkeypatch.setattr(report_files, "drawn", lambda *args: {})
    assert frozen.differences(ROOT / "experiments" / name) == []
