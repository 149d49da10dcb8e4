"""A report of questions that have no passage in their own language: no verdict, and everything else
of it on cross-lingual retrieval.
"""

import json

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.report import without_monolingual
from hybrid_sweep.report.comparison import figure as figure_comparison
from hybrid_sweep.report.comparison import scales
from hybrid_sweep.report.comparison import text as comparison_text
from hybrid_sweep.report.comparison.words import caption, contrast
from hybrid_sweep.report.figures import curve as figures
from hybrid_sweep.report.headline import headline
from hybrid_sweep.report.load import load
from hybrid_sweep.report.report import write_report
from hybrid_sweep.report.results import aggregate
from hybrid_sweep.report.tables.by_ratio import by_ratio
from tests.report.comparison.pairs_of_sweeps import compared, configured, renamed


def without_own_passages(sweep_dir):
    """Leave of each run of a sweep the English questions over passages in other languages."""
    for path in sorted((sweep_dir.parent.parent / "runs").glob("*/per_query.parquet")):
        rows = pd.read_parquet(path)
        rows = rows[(rows["query_lang"] == "en") & (rows["setting"] != "monolingual")]
        rows.assign(**{"same@10": np.nan}).to_parquet(path, index=False)
    return sweep_dir


def test_the_results_are_those_of_the_other_settings(make_sweep, world):
    whole = make_sweep(world(), name="whole")
    kept = aggregate(load([whole]))
    results = aggregate(load([without_own_passages(make_sweep(world(), name="part"))]))
    assert set(results["setting"]) == {"cross-lingual", "multilingual"}
    assert "same@10" not in set(results["measure"])
    assert set(results["scope"]) == {"macro", "en>de", "en>fr", "en"}
    assert results["verdict"].eq("").all() and not kept["verdict"].eq("").all()
    keys = ["kind", "ratio", "setting", "measure", "scope"]
    both = results[results["scope"] == "en>de"].merge(kept, on=keys)
    assert len(both) == 4
    for name in ("mean", "delta", "n_rows"):
        assert np.allclose(both[f"{name}_x"], both[f"{name}_y"], equal_nan=True)


def test_the_change_across_languages_takes_the_place_of_the_verdict(make_sweep, world):
    sweep = load([without_own_passages(make_sweep(world()))])
    results = aggregate(sweep)
    assert without_monolingual.lacks_monolingual(results)
    assert without_monolingual.leading(results).setting == "cross-lingual"
    row = results[(results["scope"] == "macro") & (results["ratio"] == 1)].iloc[0]
    told = without_monolingual.answer(results)
    assert told.startswith("No verdict") and f"{row['delta']:+.3f} at r = 1" in told
    shown = by_ratio(sweep, results).at("console")
    heads = [column.title for column in shown.columns]
    assert heads[:4] == ["r", "seeds", "cross MRR@10", "change of cross MRR@10"]
    assert "mono MRR@10" not in heads and "verdict" not in heads
    assert "verdict" in headline(sweep, results).sure[0].lower()


def test_a_sweep_with_monolingual_rows_leads_with_them(make_sweep, world):
    results = aggregate(load([make_sweep(world())]))
    assert not without_monolingual.lacks_monolingual(results)
    assert without_monolingual.leading(results).setting == "monolingual"
    assert not without_monolingual.lacks_monolingual(results.iloc[:0])


@pytest.mark.parametrize("ratios", [(0.0, 0.5, 1.0), (1.0,)])
def test_the_curve_is_of_cross_lingual_retrieval(make_sweep, world, ratios):
    sweep = load([without_own_passages(make_sweep(world(), ratios=ratios))])
    results = aggregate(sweep)
    figure = figures.draw(sweep, results, "corner")
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    assert titles[0].startswith("Cross-lingual") and len(titles) == 2
    first = figure.axes[0]
    drawn = [line for line in first.lines if len(line.get_xdata()) == len(ratios)]
    mean = results[(results["scope"] == "macro") & (results["setting"] == "cross-lingual")]
    wanted = mean[(mean["kind"] == "trained") & (mean["ratio"] == 1)]["mean"].item()
    assert any(np.isclose(np.asarray(line.get_ydata(), float)[-1], wanted) for line in drawn)
    if ratios == (1.0,):  # the interval of a single ratio is a line
        spans = [span for one in first.collections for span in one.get_paths()]
        heights = [np.ptp(span.vertices[:, 1]) for span in spans if len(span.vertices) == 2]
        low, high = mean[mean["kind"] == "trained"][["low", "high"]].iloc[0]
        assert any(np.isclose(height, high - low) for height in heights)


def test_the_files_say_that_the_monolingual_part_is_empty(make_sweep, world, undrawn):
    folder = without_own_passages(make_sweep(world()))
    report = write_report([folder])
    assert report.exit_code == 0 and report.answer.startswith("No verdict")
    text = (folder / "report.md").read_text()
    assert text.count(without_monolingual.EMPTY) == 1
    page = (folder / "report.html").read_text()
    assert without_monolingual.EMPTY in page
    assert text.split("\n")[0].endswith("cross-lingual retrieval against the cross-lingual share")
    assert without_monolingual.NO_PRIMARY in text and "is the primary measure" not in text
    assert "share do to cross-lingual retrieval?" in page
    for name in ("report.md", "table.tex"):
        assert "nan" not in (folder / name).read_text().lower().split()
    assert "no language has both" in (folder / "table.tex").read_text()


def test_the_pairs_that_were_trained_are_told_where_they_are_recorded(make_sweep, world, undrawn):
    folder = without_own_passages(make_sweep(world(), ratios=(1.0,)))
    plain = "distinct query-passage pairs"
    write_report([folder])
    assert plain in (folder / "report.md").read_text()
    for path in (folder.parent.parent / "runs").glob("*/metrics.json"):
        pairs = {"training_pairs": {"monolingual": 0, "cross-lingual": 2}}
        path.write_text(json.dumps(json.loads(path.read_text()) | pairs))
    write_report([folder])
    text = (folder / "report.md").read_text()
    assert plain not in text and "2 ordered pairs" in text


@pytest.mark.slow
def test_sweeps_without_monolingual_retrieval_are_tested_across_languages(make_sweep, world):
    first = without_own_passages(make_sweep(world(), name="a"))
    other = without_own_passages(make_sweep(world(seed_sd=0.006), name="b"))
    comparison = compared(
        first, configured(renamed(other, "b"), "max_steps: 200", "max_steps: 300")
    )
    levels = []
    for results in comparison.results:
        mean = results[(results["scope"] == "macro") & (results["ratio"] == 1)]
        levels.append(mean[mean["setting"] == "cross-lingual"]["mean"].item())
    assert f"by {levels[1] - levels[0]:+.3f} at r = 1" in contrast(comparison, 1)
    rows = scales.on_scales(comparison)
    assert set(rows["setting"]) == {"cross-lingual"} and "RR@10" in set(rows["measure"])
    for words in (caption(comparison), comparison_text.markdown(comparison).split("\n")[0]):
        assert "onolingual" not in words
    figure = figure_comparison.draw(comparison)
    titles = [axes.get_title() or axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0].startswith("Cross-lingual") and len(titles) == len(set(titles))
    for axes in figure.axes:
        assert not any(line.get_marker() == "x" for line in axes.lines)
