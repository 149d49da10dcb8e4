"""The tables of report.md that rest on the derived statistics, cell by cell against the frames."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.report.answer import findings
from hybrid_sweep.report.derived import COLUMNS, derived
from hybrid_sweep.report.load import load
from hybrid_sweep.report.measures import CROSS_LINGUAL, RANK_DISTANCE, TRADED
from hybrid_sweep.report.render.numbers import between, p_words, signed
from hybrid_sweep.report.results import aggregate, pick
from hybrid_sweep.report.sections import Content, markdown
from hybrid_sweep.report.tables.derived import points_for, significant
from tests import snapshots
from tests.report.folders import runs_of
from tests.report.sections import new_lines, section

Make = Callable[..., Path]
ENDS = ("value", "low", "high")


def told(sweep_dir: Path) -> tuple[str, pd.DataFrame, pd.DataFrame]:
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    more = derived(sweep, results)
    return (
        markdown(
            Content(
                sweep, results, more, "The answer.", findings(sweep, results, more), (), results
            )
        ),
        results,
        more,
    )


def tables(text: str, title: str) -> list[list[dict[str, str]]]:
    """The tables under a title, each as rows by header."""
    found: list[list[list[str]]] = []
    before = ""
    for line in section(text, title).splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        before = line
    return [[dict(zip(head, row, strict=True)) for row in rows] for head, _, *rows in found]


def cells(text: str, title: str) -> dict[str, dict[str, str]]:
    """The first table under a title by its first cell; {} where there is none."""
    found = tables(text, title)
    return {next(iter(row.values())): row for row in found[0]} if found else {}


def of(frame: pd.DataFrame, **values: Any) -> dict[str, Any]:
    for name, value in values.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0].to_dict()


def test_trade_off(make_sweep: Make, world: Any) -> None:
    text, _, more = told(
        make_sweep(world(noise=0.02, seed_sd=0.0005, questions=150, bias=lambda r: -2 * r))
    )
    for measure, rows in zip(TRADED, tables(text, "Trade-off"), strict=True):
        assert [row["r"] for row in rows] == ["0", "0.5", "1"]
        title = f"price per {measure.unit}"
        assert rows[0][title] == ""
        price, front = (
            of(more, statistic=s, against=measure.key, ratio=1.0) for s in ("price", "front")
        )
        value, low, high = (significant(points_for(measure, price[c])) for c in ENDS)
        assert (rows[2][title], rows[2]["95 % interval"]) == (value, f"[{low}, {high}]")
        assert rows[2]["by the means"] == front["by_means"]
        assert rows[2]["shown"] == front["word"] == "not shown to be dominated"
        assert rows[2]["in resamples"] == f"{100 * front['value']:.0f} %"


def test_a_price_of_ranks_is_in_points_for_each_hundred() -> None:
    assert points_for(RANK_DISTANCE, 0.0001) == pytest.approx(1)  # 0.01 MRR@10 per 100 ranks
    assert points_for(CROSS_LINGUAL, 0.25) == pytest.approx(0.25)


def test_shape(sweep_dir: Path) -> None:
    text, _, more = told(sweep_dir)
    (rows,) = tables(text, "Shape of the curves")
    assert len(rows) == 8
    slope = of(more, statistic="slope", setting="multilingual", measure="RD")
    (row,) = (row for row in rows if row["curve"] == "rank distance")
    assert row["of"] == "mean"
    assert row["slope per unit of r"] == signed(slope["value"], 1) and row["Holm"] == p_words(
        slope["p_holm"]
    )
    assert row["95 % interval"] == between(slope["low"], slope["high"], 1)
    fit = cells(text, "The curve of monolingual MRR@10 as a whole")
    one = of(more, statistic="isotonic", setting="monolingual", scope="macro", ratio=1.0)
    assert list(fit) == ["0.5", "1"]
    band = of(more, statistic="band", setting="monolingual", scope="macro", ratio=1.0)
    wanted = []
    for row in (band, one):
        wanted += [signed(row["value"]), between(row["low"], row["high"])]
    assert list(fit["1"].values())[1:] == wanted


def test_winners_and_losers(make_sweep: Make, world: Any) -> None:
    text, _, more = told(make_sweep(world(mono=lambda r: -0.2 * r, noise=0.02, seed_sd=0.001)))
    (rows,) = tables(text, "Winners and losers by language")
    assert len(rows) == 6
    for shown in rows:
        row = of(more, statistic="language", scope=shown["language"], ratio=float(shown["r"]))
        assert shown["change to r = 0"] == signed(row["value"])
        assert shown["Holm over languages and ratios"] == p_words(row["p_holm"])
        word = f"**{row['word']}**" if row["word"] == "loser" else row["word"]
        assert shown["what is shown"] == word
    assert rows[1]["what is shown"] == "**loser**"


def test_questions(sweep_dir: Path) -> None:
    text, results, _ = told(sweep_dir)
    found = cells(text, "Questions won, tied and lost")
    for scope, name in (("macro", "all languages"), ("de", "de")):
        row = pick(results, "monolingual", "RR@10", scope).iloc[2]
        assert found["1"][name] == f"{row['won']} / {row['tied']} / {row['lost']}"


def test_trained_and_unseen(make_sweep: Make, world: Any) -> None:
    text, results, _ = told(make_sweep(world(trained=("de", "en")), name="apart"))
    found = cells(text, "Languages trained on and not trained on")
    row = pick(results, "cross-lingual", "RR@10", "unseen").iloc[2]
    wanted = f"{signed(row['delta'])} {between(row['delta_low'], row['delta_high'])}"
    assert found["1"]["cross-lingual, not trained on"] == wanted
    assert set(found["1"]) == {
        "r",
        *(
            f"{s}, {w}"
            for s in ("monolingual", "cross-lingual")
            for w in ("trained on", "not trained on")
        ),
    }
    (rows,) = tables(text, "Monolingual MRR@10 by language")
    assert {row["language"] for row in rows} == {"de", "en", "fr"}
    seen, rest = tables(text, "Winners and losers by language")
    assert {row["language"] for row in seen} == {"de", "en"}
    assert {row["language"] for row in rest} == {"fr"}
    pairs = section(text, "What else changes with the ratio").splitlines()[0]
    # pairs at r = 0, of 2 languages; pairs at r = 1
    assert re.findall(r"\d+", pairs) == ["0", "2", "2", "1", "2"]
    assert not cells(told(make_sweep(name="all"))[0], "Languages trained on and not trained on")


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_few_seeds_are_marked_in_every_table(
    make_sweep: Make, world: Any, seeds: tuple[int, ...]
) -> None:
    text, _, _ = told(make_sweep(world(mono=lambda r: -0.3 * r, noise=0.02), seeds=seeds))
    titles = ("Trade-off", "Shape of the curves", "Winners and losers by language")
    name = "tables of one seed" if len(seeds) == 1 else "tables of two seeds"
    lines = []
    for title in titles:
        lines += [line for line in section(text, title).splitlines() if line.startswith("|")]
    snapshots.check(f"report/{name}", "\n".join(lines) + "\n")


def test_every_column_of_derived_csv_is_explained(sweep_dir: Path) -> None:
    text = told(sweep_dir)[0]
    assert all(f"- `{name}`: {meaning}" in text for name, meaning in COLUMNS.items())


def test_it_says_which_budget_was_fixed(sweep_dir: Path) -> None:
    before, *_ = told(sweep_dir)
    for run in runs_of(sweep_dir).iterdir():
        config = (run / "config.yaml").read_text()
        (run / "config.yaml").write_text(
            config.replace("batch:\n", "batch:\n  budget: fixed_monolingual\n")
        )
    text, *_ = told(sweep_dir)
    changes = section(text, "What else changes with the ratio")
    measured = (section(each, "How it was measured") for each in (text, before))
    snapshots.check("report/added steps", new_lines(*measured) + "\n" + changes)
