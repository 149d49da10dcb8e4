"""A report with averages has their table, figure and section; all other tables stay byte for byte,
and those of a sweep without averages are what they were.
"""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pandas as pd
import pytest

from hybrid_sweep.report import report_files
from hybrid_sweep.report.comparison import report as comparison
from hybrid_sweep.report.load import load
from hybrid_sweep.report.measures import measures_on
from hybrid_sweep.report.merged import figure, text
from hybrid_sweep.report.merged.compare import compare
from hybrid_sweep.report.merged.load import left_out, load_merged
from hybrid_sweep.report.merged.text import TITLE
from hybrid_sweep.report.report import write_report
from hybrid_sweep.utils import plan_log
from tests.report.conftest import logged
from tests.report.folders import runs_of
from tests.report.merged.averages import write_averages

ENDS = (0.0, 1.0)
MIXTURES = [
    (ENDS, (1.0, 0.0)),
    (ENDS, (0.7, 0.3)),
    (ENDS, (0.4, 0.6)),
    ((0.0, 0.5, 1.0), (1 / 3,) * 3),
]
TABLES = ("results.csv", "derived.csv", "measures.csv", "table.tex", "results.parquet")


@pytest.fixture
def quick(undrawn, monkeypatch):
    """Writes reports without drawing, the figure of averages too."""
    monkeypatch.setattr(
        report_files, "drawn_averages", lambda averaged, corner: corner if averaged else None
    )


@pytest.fixture
def sweep(make_sweep):
    return make_sweep()


def contents(folder: Path) -> dict[str, bytes]:
    names = (*TABLES, "report.md", "report.html", "plan.jsonl")
    return {name: (folder / name).read_bytes() for name in names}


def test_other_tables_stay_and_the_section_comes_and_goes(quick, sweep, world):
    write_report([sweep])
    before = contents(sweep)
    assert not (sweep / "merged.csv").exists()
    write_averages(sweep, world(), MIXTURES)
    made = write_report([sweep])
    after = contents(sweep)
    assert {name: after[name] for name in TABLES} == {name: before[name] for name in TABLES}
    section = f"\n## {TITLE}\n"
    pages = [after[name].decode() for name in ("report.md", "report.html")]
    assert all(f'href="{name}" download' in pages[1] for name in ("merged.csv", "merged.png"))
    assert section in pages[0] and TITLE in pages[1] and section not in before["report.md"].decode()
    frame = pd.read_csv(sweep / "merged.csv")
    assert len(frame) == 3 + 3 * len(MIXTURES) and (sweep / "merged.png").is_file()
    merged = load_merged([sweep], load([sweep]))
    told = text.sentence(compare(merged), 0.01)
    assert told in pages[0] and told.split(",")[0] in " ".join(made.console.split())
    assert made.exit_code == 0
    without = pages[0].split(section)[0] + "\n## " + pages[0].split(section)[1].split("\n## ", 1)[1]
    without = re.sub(r"\n## Columns of merged.csv\n.*", "", without, flags=re.DOTALL)
    assert without.strip() == before["report.md"].decode().strip()
    (sweep / "merged.json").unlink()
    write_report([sweep])
    assert contents(sweep) == before
    assert not list(sweep.glob("merged.*"))


def test_a_missing_average_is_told_and_is_no_missing_point(quick, sweep, world):
    entries = write_averages(sweep, world(), MIXTURES)
    (runs_of(sweep) / entries[3]["run_id"] / "metrics.json").unlink()
    made = write_report([sweep])
    assert made.missing == () and made.exit_code == 0
    assert "alpha 0.3 of r = 0, 1, seed 0" in made.console
    assert "alpha 0.3 of r = 0, 1, seed 0" in (sweep / "report.md").read_text()


@pytest.mark.slow
def test_a_comparison_is_of_the_trained_points_and_says_so(quick, two, world, monkeypatch):
    monkeypatch.setattr(comparison.figure_comparison, "draw", lambda *args: None)
    monkeypatch.setattr(comparison, "save", unsaved)
    before = write_report(two)
    table = (two[0] / "vs-b" / "comparison.csv").read_bytes()
    assert "averages" not in before.console
    write_averages(two[1], world(questions=30), MIXTURES[1:2])
    after = write_report(two)
    assert after.console == f"{before.console}\n{left_out(two)}" != before.console
    assert (two[0] / "vs-b" / "comparison.csv").read_bytes() == table


def unsaved(_figure, folder, name):
    """Files in the place of a figure."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf", "svg")]
    for path in paths:
        path.write_text("<svg/>")
    return paths


@pytest.mark.slow
def test_averages_are_pooled_on_any_measure_and_at_an_interim_look(quick, make_sweep, world):
    small = world(questions=20, languages=("de", "en"))
    sweeps = [make_sweep(small), make_sweep(small, name="more", seeds=(3, 4), untrained=())]
    write_averages(sweeps[0], small, MIXTURES[1:2])
    write_averages(sweeps[1], small, MIXTURES[1:2], seeds=(3, 4))
    write_report(sweeps, measure="nDCG@10")
    pooled = pd.read_csv(sweeps[0] / "by-nDCG@10" / "merged.csv")
    assert set(pooled["n_seeds"]) == {5}
    results = pd.read_csv(sweeps[0] / "by-nDCG@10" / "results.csv")
    means = results.query("measure == 'nDCG@10' and scope == 'macro' and kind == 'trained'")
    for setting, column in (("monolingual", "monolingual"), ("cross-lingual", "cross_lingual")):
        wanted = means[means["setting"] == setting]["mean"]
        assert list(pooled[pooled["kind"] == "trained"][column]) == pytest.approx(list(wanted))
    write_report(sweeps[:1])
    whole = pd.read_csv(sweeps[0] / "merged.csv")
    plan = json.loads((sweeps[0] / "points.json").read_text())
    (sweeps[0] / "plan.jsonl").unlink()
    plan_log.add(sweeps[0], logged(plan, seeds_planned=6))
    write_report(sweeps[:1])
    look = pd.read_csv(sweeps[0] / "merged.csv")
    apart = (look["mono_high"] - look["mono_low"]) / (whole["mono_high"] - whole["mono_low"])
    assert (apart.dropna() > 1.2).any() and (apart.dropna() >= 1).all()
    assert list(look["mono_delta"].dropna()) == list(whole["mono_delta"].dropna())


@pytest.fixture
def frame(sweep, world):
    write_averages(sweep, world(), MIXTURES)
    return compare(load_merged([sweep], load([sweep])))


def test_the_figure_shows_each_curve_on_both_axes(frame):
    drawn = figure.draw(frame, measures_on("RR@10"), 0.01, "corner")
    trade, mono, cross = drawn.axes
    lines = {line.get_gid(): line for line in trade.get_lines() if line.get_gid()}
    assert len(lines) == 3
    trained = frame[frame["kind"] == "trained"]
    line = lines["trade-trained"]
    assert list(line.get_xdata()) == list(trained["cross_lingual"])
    assert list(line.get_ydata()) == list(trained["monolingual"])
    two = frame[(frame["ratios"] == "0.0 1.0") & (frame["against"] == 0)].sort_values("mean_ratio")
    for axes, name, column in ((mono, "mono", "monolingual"), (cross, "cross", "cross_lingual")):
        by_gid = {line.get_gid(): line for line in axes.get_lines()}
        line = by_gid[f"{name}-average-of-0.0-1.0"]
        assert list(line.get_xdata()) == [0.0, 0.3, 0.6]
        assert list(line.get_ydata()) == list(two[column])
        bars = [line for line in axes.get_lines() if len(set(line.get_xdata())) == 1]
        ends = [tuple(bar.get_ydata()) for bar in bars if bar.get_xdata()[0] == 0.3]
        row = two[two["alpha"] == 0.3].iloc[0]
        base = row[column] - row[f"{name}_delta"]
        assert ends == [pytest.approx((base + row[f"{name}_low"], base + row[f"{name}_high"]))]
    words = {note.get_text() for note in trade.texts}
    assert words == {"r = 0", "r = 0.5", "r = 1", "0.3", "0.6", "mean"}


def test_the_drawing_in_the_page_leads_nowhere_and_styles_nothing_else(frame):
    drawing = figure.svg(frame, measures_on("RR@10"), 0.01)
    assert drawing == figure.svg(frame, measures_on("RR@10"), 0.01)
    ElementTree.fromstring(drawing)
    assert "<style" not in drawing and "<image" not in drawing and "<script" not in drawing
    links = re.findall(r'href="([^"]*)"', drawing)
    assert links and all(link.startswith("#") for link in links)


def test_averages_that_share_no_seed_are_told(sweep, world):
    first = write_averages(sweep, world(), MIXTURES[1:2], seeds=(0,))
    second = write_averages(sweep, world(), MIXTURES[2:3], seeds=(1,))
    (sweep / "merged.json").write_text(json.dumps({"points": [*first, *second]}))
    rows = compare(load_merged([sweep], load([sweep])))
    assert rows.empty and list(rows.columns) == list(text.COLUMNS)
    assert "nothing is compared" in text.sentence(rows, 0.01)


def test_a_table_names_the_nearest_average_of_every_ratio(frame):
    for grid, axis in zip(
        text.nearest(frame, measures_on("RR@10")), ("mono", "cross"), strict=True
    ):
        assert [row[0].value for row in grid.rows] == [0.0, 0.5, 1.0]
        for row in grid.rows:
            here = frame[(frame["against"] == row[0].value) & (frame["mixture"] == row[1].text)]
            assert row[2].value == here.iloc[0][f"{axis}_delta"]
