"""What is frozen under experiments/ is what today's code would make, and what README, docs and pages
say of it is what it says.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import bm25, run_id, untrained
from hybrid_sweep.report import (
    derived,
    load,
    publish,
    published_rows,
    report,
    report_files,
    results,
)
from hybrid_sweep.report.cluster_files import AS_KEPT
from hybrid_sweep.report.comparison import report as comparison
from hybrid_sweep.report.comparison import table
from hybrid_sweep.runs import finished
from hybrid_sweep.utils.files import read_json

ROOT = Path(__file__).parent.parent
FROZEN = ROOT / "experiments" / "first-curve"
# BM25's model: how texts become words, by which versions
COLLECTION, LEXICAL = "cab9666bbd1c", "57bbb9782cb9"
# The words that made each, the fingerprint of its model, and the number of its points.
PUBLISHED = {
    "first-curve": (["experiment=reproduce"], "b00a1d7bbd48", 25),
    "shape": (["experiment=shape", "model.path=me5-small"], "f123e37e6841", 42),
    "added": (["experiment=added", "model.path=me5-small", "seed=0,1,2"], "f123e37e6841", 17),
    "transfer": (["experiment=transfer", "model.path=me5-small"], "f123e37e6841", 42),
    "mixed": (["experiment=mixed", "model.path=me5-small", "seed=0,1,2"], "f123e37e6841", 17),
    "pools": (["experiment=pools", "model.path=me5-small", "seed=0,1,2"], "f123e37e6841", 11),
}


def test_every_published_table_is_looked_at():
    assert {path.parent.name for path in ROOT.glob("experiments/*/runs.json")} == set(PUBLISHED)


def test_the_published_sweeps_are_small_and_hold_the_main_figures_and_pages():
    """What is left out, `hybrid-sweep report FOLDER` makes."""
    words = ["git", "ls-files", "experiments"]
    names = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [path for name in names.splitlines() if (path := ROOT / name).is_file()]
    assert 0 < sum(path.stat().st_size for path in paths) <= 45e6
    drawn = {path.name for path in paths if path.suffix in publish.KINDS}
    assert drawn <= {f"{name}.png" for name in publish.MAIN}
    assert drawn >= {"curve.png", "comparison.png"}
    pages = [path for path in paths if path.suffix == ".html"]
    assert {path.parent for path in pages} == {
        path.parent for path in paths if path.name in ("report.md", "comparison.md")
    }
    assert max(path.stat().st_size for path in pages) <= 2.5e6


def test_the_rows_of_transfer_and_pools_on_debian_are_those_of_shape():
    for name in ("transfer", "pools"):
        stored = published_rows.elsewhere(ROOT / "experiments" / name)
        assert set(stored["per_query.parquet"]) == {"shape"}
        assert not (ROOT / "experiments" / name / "per_query.parquet").exists()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_run_ids_are_those_of_todays_config(name):
    """Red means that identity or a default changed: make the curve again, or take the change
    back.
    """
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


def evidence(folder):
    """All reports and comparisons of a folder, and what its table of results has besides, rounded:
    groups of languages, and the first answer in a pool of all languages."""
    besides = (
        "scope in ('trained', 'unseen') or scope == 'macro' and setting == 'multilingual' and"
        " measure == 'RR@10'"
    )
    found = pd.read_csv(folder / "results.csv").query(besides)
    columns = found[["mean", "delta", "delta_low", "delta_high", "p_holm"]].itertuples(index=False)
    rows = [
        f"{mean:.3f} {delta:+.3f} [{low:+.3f}, {high:+.3f}] {p:.3f}"
        for mean, delta, low, high, p in columns
    ]
    return " ".join(
        [*map(text, [*folder.rglob("report.md"), *folder.rglob("comparison.md")]), *rows]
    )


SHAPE = "**With a pretrained encoder**"
FOUND = "docs/results.md"


def row(name, after):
    """The row of a sweep in the README's table of findings: from its first cell to the next row."""
    return ("README.md", f"| [{name}](", after)


TABLE = "experiments/README.md"


def findings(page):
    """The rows of a table of findings, by the name of the sweep: the cells behind it."""
    rows = re.findall(r"^\| \[([\w-]+)\]\(.*?\)(.*)$", (ROOT / page).read_text(), re.MULTILINE)
    return dict(rows)


def test_the_rows_of_the_readme_are_those_of_the_table_of_all_findings():
    every = findings(TABLE)
    few = {name: said for name, said in findings("README.md").items() if name in every}
    assert len(few) == 5 and set(PUBLISHED) <= set(every)
    assert {path.parent.name for path in ROOT.glob("experiments/*/README.md")} == set(every)
    for name, said in few.items():
        for interval in re.findall(r"[-+]\.\d+ \[.*?\]", said):
            assert interval in every[name]


@pytest.mark.parametrize(
    ("page", "begin", "end", "name", "least"),
    [
        (TABLE, "| [first-curve](", "| [shape](", "first-curve", 9),
        (TABLE, "| [shape](", "| [transfer](", "shape", 12),
        (TABLE, "| [transfer](", "| [added](", "transfer/on-xquad_r", 9),
        (TABLE, "| [added](", "| [mixed](", "added", 9),
        (TABLE, "| [mixed](", "| [pools](", "mixed", 8),
        (TABLE, "| [pools](", "| [merged](", "pools", 6),
        (TABLE, "## What they say together", "## For whom", "pools", 1),
        (TABLE, "far above these on Debian", "Passages of other kinds", "added", 2),
        (*row("shape", "| [transfer]"), "shape", 5),
        (*row("transfer", "| [added]"), "transfer/on-xquad_r", 5),
        (*row("added", "| [mixed]"), "added", 5),
        (*row("mixed", "| [pools]"), "mixed", 4),
        (*row("pools", "Three-seed"), "pools", 6),
        (FOUND, "experiments/first-curve/curve.png)", SHAPE, "first-curve", 8),
        (FOUND, SHAPE, "**Zero-shot", "shape", 6),
        (FOUND, "**Zero-shot", "**Cross-lingual steps", "transfer/on-xquad_r", 5),
        (FOUND, "**Cross-lingual steps", "**Negatives in all", "added", 3),
        (FOUND, "**Negatives in all", "**The loss grows", "mixed", 3),
        (FOUND, "**The loss grows", "Taken together", "pools", 5),
        (
            "experiments/shape/README.md",
            "**What was found**",
            "**What was not found**",
            "shape",
            25,
        ),
        (
            "experiments/added/README.md",
            "**What was found**",
            "**What was not found**",
            "added",
            40,
        ),
        (
            "experiments/transfer/README.md",
            "**What was found**",
            "**Beside",
            "transfer/on-xquad_r",
            25,
        ),
        (
            "experiments/mixed/README.md",
            "**What was found**",
            "**What was not found**",
            "mixed",
            45,
        ),
        (
            "experiments/pools/README.md",
            "**What was found**",
            "**What was not found**",
            "pools",
            25,
        ),
        (
            "experiments/transfer/README.md",
            "The same as there",
            "**What lies here**",
            "transfer/on-xquad_r",
            4,
        ),
    ],
)
def test_what_is_said_of_a_curve_is_quoted_from_its_frozen_report(page, begin, end, name, least):
    said, report = part(text(ROOT / page), begin, end), evidence(ROOT / "experiments" / name)
    # an interval is looked for as a whole
    found = re.findall(r"\[[-+]?\.\d+, [-+]?\.\d+\]|[-+]?\.\d+", said)
    assert len(found) >= least
    for quoted in found:
        assert re.sub(r"(?<![\d.])\.", "0.", quoted) in report, quoted


def test_the_table_beside_the_papers_has_the_means_over_the_frozen_runs():
    folder = ROOT / "experiments" / "transfer"
    runs, points_ = (
        read_json(folder / "runs.json"),
        pd.DataFrame(read_json(folder / "points.json")["points"]),
    )
    rows = [
        line.split("|")[1:-1]
        for line in (folder / "README.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    names = {"here, untrained": "untrained", "BM25": "bm25"} | {
        f"here, r = {ratio:g}".replace("0.", "."): ratio for ratio in points_["ratio"].unique()
    }
    said = {
        names[row[0].strip()]: [cell.strip() for cell in row[1:]]
        for row in rows
        if row[0].strip() in names
    }
    assert len(said) == len(names) == 10
    for key, cells in said.items():
        mine = points_[
            points_["ratio"].eq(key) & points_["kind"].eq("trained") | points_["kind"].eq(key)
        ]
        made = pd.json_normalize([runs[run_id]["metrics"]["xquad_r"] for run_id in mine["run_id"]])
        means = made[
            [f"{name}/AP" for name in ("monolingual", "cross-lingual", "multilingual")]
        ].mean()
        distance = made.filter(regex="^bias.rank_distance.*mean$").mean(axis=1).mean()
        assert cells == [*(f"{mean:.4f}"[1:] for mean in means), f"{distance:.0f}"]


def test_added_and_shape_have_the_same_rows_without_cross_lingual_steps():
    """What the page of added says of its r = 0: the same batches give the same ranks, under either
    budget.
    """
    found = []
    for name in ("shape", "added"):
        folder = ROOT / "experiments" / name
        plan = pd.DataFrame(read_json(folder / "points.json")["points"])
        wanted = plan.query("kind == 'trained' and ratio == 0 and seed < 3")["run_id"]
        assert len(wanted) == 3
        table = published_rows.read(folder, "")
        rows = table.filter(pc.is_in(table["run_id"], pa.array(list(wanted))))
        order = [key for key in (*finished.KEY, "seed") if key in rows.column_names]
        found.append(rows.to_pandas().drop(columns="run_id").sort_values(order, ignore_index=True))
    pd.testing.assert_frame_equal(*found, check_categorical=False)


def test_the_results_name_the_collection_and_the_sweep_of_the_first_curve():
    said, report = (
        part(text(ROOT / FOUND), "first-curve/curve.png)", SHAPE),
        text(FROZEN / "report.md"),
    )
    for mark in (COLLECTION, "0f1df08c", "2,604"):
        assert mark in said and mark in report


def unsaved(_figure, folder, name):
    """Empty files in the place of a figure."""
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf", "svg")]
    for path in paths:
        path.touch()
    return paths


# Those that others are compared with: what is made of them is kept for all tests.
RIVALS = ("shape", "transfer")


class Kept:
    """What the program makes of each published sweep, made once: its runs as files, its tables, and
    the numbers of a report. A comparison makes them of both sweeps again, and three use `transfer`.
    """

    def __init__(self, folder):
        self.folder, self.thaw, self.load = folder, publish.thaw, load.load
        self.aggregate, self.derived = results.aggregate, derived.derived
        self.places, self.sweeps, self.numbers = {}, {}, {}

    def thawed(self, published, outputs):
        """Give the files of a published sweep, linked from those that were made first."""
        made = self.folder / published.name
        if published not in self.places:
            self.places[published] = self.thaw(published, made).relative_to(made)
        shutil.copytree(made, outputs, copy_function=os.link, dirs_exist_ok=True)
        return outputs / self.places[published]

    def loaded(self, folders, on="", measure=None, clusters=AS_KEPT):
        """Give a sweep of the one folder that is named."""
        if len(folders) > 1:
            return self.load(folders, on, measure, clusters)
        key = folders[0].name, on, measure
        assert clusters == AS_KEPT
        if key not in self.sweeps:
            self.sweeps[key] = self.load(folders, on, measure, clusters)
        return self.sweeps[key]

    def results(self, sweep):
        """Give the results of a sweep; one that is not kept is analysed anew."""
        return self._of(self.aggregate, sweep)

    def of_results(self, sweep, found):
        """Give what is derived from the results of a sweep."""
        return self._of(self.derived, sweep, found)

    def _of(self, function, sweep, *more):
        if not any(sweep is other for other in self.sweeps.values()):
            return function(sweep, *more)
        key = function, id(sweep)
        if key not in self.numbers:
            self.numbers[key] = function(sweep, *more)
        return self.numbers[key].copy()

    def forget(self):
        """Let go of the sweeps that no other is compared with."""
        self.sweeps = {key: sweep for key, sweep in self.sweeps.items() if key[0] in RIVALS}
        there = {id(sweep) for sweep in self.sweeps.values()}
        self.numbers = {key: frame for key, frame in self.numbers.items() if key[1] in there}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return Kept(tmp_path_factory.mktemp("published"))


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_frozen_tables_are_what_their_frozen_rows_give(monkeypatch, kept, name):
    """What `make experiments` says; without the figures, which are not compared."""
    monkeypatch.setattr(report_files, "main_figure", lambda *args: {})
    monkeypatch.setattr(comparison, "save", unsaved)
    monkeypatch.setattr(comparison.figure_comparison, "draw", lambda *args: None)
    monkeypatch.setattr(publish, "thaw", kept.thawed)
    for place in (report, comparison):
        monkeypatch.setattr(place, "load", kept.loaded)
    for place in (report_files, table):
        monkeypatch.setattr(place, "aggregate", kept.results)
        monkeypatch.setattr(place, "derived", kept.of_results)
    assert publish.differences(ROOT / "experiments" / name) == []
    kept.forget()
