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
from hybrid_sweep.report.markdown import markdown
from hybrid_sweep.report.results import aggregate, pick
from hybrid_sweep.report.wording import between, p_words, signed
from tests import snapshots
from tests.report.folders import runs_of
from tests.report.sections import new_lines, section

Make = Callable[..., Path]


def told(sweep_dir: Path) -> tuple[str, pd.DataFrame, pd.DataFrame]:
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    more = derived(sweep, results)
    return (
        markdown(sweep, results, more, "The answer.", findings(sweep, results, more), [], "c0ffee"),
        results,
        more,
    )


def cells(text: str, title: str) -> dict[str, dict[str, str]]:
    """The table under a title: first cell -> header -> cell; {} where the title is not there."""
    lines = [line for line in section(text, title).splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(split[0], row, strict=True)) for row in split[2:]}


def of(frame: pd.DataFrame, **values: Any) -> dict[str, Any]:
    for name, value in values.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0].to_dict()


def test_trade_off(make_sweep: Make, world: Any) -> None:
    text, _, more = told(
        make_sweep(world(noise=0.02, seed_sd=0.0005, questions=150, bias=lambda r: -2 * r))
    )
    found = cells(text, "Trade-off")
    assert list(found) == ["0", "0.5", "1"] and found["0"]["price of rank distance"] == ""
    for against, name, unit in [
        ("cross-lingual RR@10", "cross-lingual MRR@10", 1),
        ("multilingual same@10", "same-language share", 1),
        ("multilingual RD", "rank distance", 100 * 100),  # 100 ranks, hundredths of MRR@10
    ]:
        price, front = (
            of(more, statistic=s, against=against, ratio=1.0) for s in ("price", "front")
        )
        value, low, high = (unit * price[column] for column in ("value", "low", "high"))
        assert found["1"][f"price of {name}"] == f"{signed(value, 2)} {between(low, high, 2)}"
        place = "on" if front["word"] == "on the front" else "off"
        assert found["1"][f"front with {name}"] == f"{place}, {100 * front['value']:.0f} %"


def test_shape(sweep_dir: Path) -> None:
    text, _, more = told(sweep_dir)
    found = cells(text, "Shape of the curves")
    assert len(found) == 8
    slope = of(more, statistic="slope", setting="multilingual", measure="RD")
    row = found["multilingual RD, mean"]
    assert row["slope per unit of r"] == signed(slope["value"], 1) and row["Holm"] == p_words(
        slope["p_holm"]
    )
    assert row["95 % interval"] == between(slope["low"], slope["high"], 1)
    fit = cells(text, "The monotone curve closest to monolingual MRR@10")
    one = of(more, statistic="isotonic", setting="monolingual", scope="macro", ratio=1.0)
    assert list(fit) == ["0.5", "1"]
    assert list(fit["1"].values())[1:] == [signed(one["value"]), between(one["low"], one["high"])]


def test_winners_and_losers(make_sweep: Make, world: Any) -> None:
    text, _, more = told(make_sweep(world(mono=lambda r: -0.1 * r, noise=0.02)))
    found = cells(text, "Winners and losers by language")
    for ratio in ("0.5", "1"):
        for language in ("de", "en", "fr"):
            row = of(more, statistic="language", scope=language, ratio=float(ratio))
            mark = f"**{row['word']}**, " if row["word"] == "loser" else ""
            assert (
                found[ratio][language] == f"{signed(row['value'])} ({mark}{p_words(row['p_holm'])})"
            )
    assert "**loser**" in found["1"]["de"]


def test_questions(sweep_dir: Path) -> None:
    text, results, _ = told(sweep_dir)
    found = cells(text, "Questions won / tied / lost")
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
    languages = cells(text, "Monolingual MRR@10 by language")
    assert len(languages["1"]) == 4 and not any("trained" in name for name in languages["1"])
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
    tables = [
        line
        for title in titles
        for line in section(text, title).splitlines()
        if line.startswith("|")
    ]
    snapshots.check(f"report/{name}", "\n".join(tables) + "\n")


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
