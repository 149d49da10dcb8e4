"""A sweep of many languages: work and page grow no faster than the rows, what is left out is said,
and each number is what it would be alone.
"""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.report import load, results, scope_parts, selection
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.figures import fewer, languages, pairs
from hybrid_sweep.report.page import many
from hybrid_sweep.report.page.data import block
from hybrid_sweep.report.probe import cells as probe_cells
from hybrid_sweep.report.probe import differences, rows, single_cells, words
from hybrid_sweep.report.sections import Content
from tests.report.conftest import World, write_sweep
from tests.report.page.browser import needs_browser, use
from tests.report.page.test_html import page

FEW, MANY = 6, 26
SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "languages.py"


def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("benchmark_languages", SCRIPT)
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: Any) -> dict[int, load.Sweep]:
    """Sweeps of a few and of many languages."""
    script, made = benchmark(), {}
    for count in (FEW, MANY):
        root = tmp_path_factory.mktemp(f"languages{count}")
        made[count] = load.load([script.generate(script.Size(count, 5, 2, 3), root)])
    return made


@pytest.fixture(scope="module")
def tables(sweeps: dict[int, load.Sweep]) -> dict[int, pd.DataFrame]:
    return {count: results.aggregate(sweep) for count, sweep in sweeps.items()}


def calls(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, action: Any) -> int:
    """How often a function is called."""
    asked, real = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *a, **k: asked.append(1) or real(*a, **k))
    action()
    monkeypatch.setattr(module, name, real)
    return len(asked)


@pytest.mark.parametrize("name", ["critical_value", "contributions", "mean_squares"])
def test_the_number_of_estimates_does_not_grow_with_the_pairs(
    sweeps: dict[int, load.Sweep], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(results, "MONO", ("", ""))  # each verdict of a language is its own
    few, some = (
        calls(monkeypatch, st, name, lambda count=count: results.aggregate(sweeps[count]))
        for count in (FEW, MANY)
    )
    assert 0 < some == few


def test_each_scope_has_the_contributions_that_it_has_alone(tmp_path: Path) -> None:
    """Questions of several queries, and languages with fewer questions, among them."""
    sweep = load.load([write_sweep(tmp_path, World(questions=9, has={"de": 0.5}))])
    for measure in (results.MONO, ("cross-lingual", "RR@10"), ("multilingual", "RR@10")):
        whole = results.block(sweep, *measure)
        assert whole is not None
        twice = np.arange(whole.values.shape[1]).repeat(1 + (whole.domain == 1))
        doubled = results.Block(
            whole.values[:, twice], whole.domain[twice], whole.group[twice], whole.names,
            whole.questions,
        )  # fmt: skip
        for each in (whole, doubled):
            named = results.scopes(sweep, each)
            seen = {}
            for part in scope_parts.parts(each, named):
                for place, scope in enumerate(part.scopes):
                    seen[scope] = part.y[place], part.df
            assert seen.keys() == named.keys()
            for scope, names in named.items():
                alone = results.select(each, names)
                y, df = st.contributions(alone.values, alone.domain, alone.group)
                assert np.array_equal(seen[scope][0], y) and seen[scope][1] == df


def test_the_page_of_many_languages_has_no_rows_of_pairs_and_says_so(
    sweeps: dict[int, load.Sweep], tables: dict[int, pd.DataFrame]
) -> None:
    sweep, table = sweeps[MANY], tables[MANY]
    assert many.is_many(table) and not many.is_many(tables[FEW])
    more = derived(sweep, table)
    content = json.loads(block(Content(sweep, table, more, "", [], (), table.head(0))))
    scope = content["columns"].index("scope")
    assert not [row for row in content["rows"] if row[scope] and ">" in row[scope]]
    packed, names = content["pairs"], content["pairs"]["names"]
    assert [level["level"] for level in packed["levels"]] == [0.0, 1.0]
    for level in packed["levels"]:
        shown = results.pick(table, "cross-lingual", "RR@10", f"{names[3]}>{names[8]}")
        row = shown[shown["ratio"] == level["level"]].iloc[0]
        place = 3 * len(names) + 8
        assert abs(level["mean"][place] / 1000 - row["mean"]) <= 0.0005
        delta = level["delta"][place]
        assert delta is None if pd.isna(row["delta"]) else abs(delta / 1000 - row["delta"]) <= 5e-4


def test_a_pair_takes_a_few_bytes_of_the_page(
    sweeps: dict[int, load.Sweep], tables: dict[int, pd.DataFrame]
) -> None:
    """Of 120 languages the block is 2 MB: 14,400 cells, each a value and a change at 8 ratios."""
    packed = json.dumps(many.pairs(tables[MANY]), separators=(",", ":"))
    assert len(packed) < 12 * 2 * MANY**2 + 500


def test_figures_of_many_languages_show_some_and_say_which(
    sweeps: dict[int, load.Sweep], tables: dict[int, pd.DataFrame]
) -> None:
    names = results.languages(tables[MANY])
    kept, note = fewer.fewer(tables[MANY], names)
    assert len(kept) == fewer.MOST and "en" in kept
    assert re.search(rf"\b{fewer.MOST} of {MANY} languages\b", note)
    moved = results.languages(tables[MANY])
    change = {n: abs(results.pick(tables[MANY], *results.MONO, n)["delta"].iloc[-1]) for n in moved}
    left = set(names) - set(kept)
    assert max(change[name] for name in left) <= min(
        change[name] for name in kept if name != "en"
    )  # fmt: skip
    assert fewer.fewer(tables[FEW], results.languages(tables[FEW])) == (
        results.languages(tables[FEW]), "",
    )  # fmt: skip
    panels = languages.draw(sweeps[MANY], tables[MANY], "toy")
    assert sum(bool(axes.get_title()) for axes in panels.axes) <= fewer.MOST
    words_of = [text.get_text() for text in pairs.draw(sweeps[MANY], tables[MANY], "toy").texts]
    assert any("languages are shown" in " ".join(text.split()) for text in words_of)


def test_rows_are_those_that_a_look_at_all_of_them_finds(tables: dict[int, pd.DataFrame]) -> None:
    table = tables[FEW].copy()
    for wanted in table[list(selection.KEYS)].drop_duplicates().itertuples(index=False):
        mask = np.logical_and.reduce(
            [table[key] == value for key, value in zip(selection.KEYS, wanted, strict=True)]
        )
        pd.testing.assert_frame_equal(selection.having(table, *wanted), table[mask])
    assert selection.having(table, "monolingual", "RR@10", "nowhere", "trained").empty
    table["scope"] = table["scope"].str.upper()  # changed in place
    assert selection.having(table, "monolingual", "RR@10", "en", "trained").empty


def test_a_probe_of_many_languages_leaves_out_the_third_languages_and_says_so(
    sweeps: dict[int, load.Sweep],
) -> None:
    rule = probe_cells.Rule()
    for count, sweep in sweeps.items():
        cells = probe_cells.cells_of(sweep, probe_cells.best_ranks(sweep))
        table = differences.differences(cells, [0.0, 1.0], rule, {}, {})
        of_pairs = table[(table["part"] == "languages") & (table["setting"] == "cross-lingual")]
        is_many = count > rows.MOST_LANGUAGES
        assert of_pairs.empty == is_many
        assert bool(words.left_out(table, 1.0)) == is_many
        assert len(table) <= 4 * len(sweep.frame) / len(sweep.finished)


def test_single_cells_are_tested_as_each_is_alone(tmp_path: Path) -> None:
    sweep = load.load([write_sweep(tmp_path, World(questions=12, has={"de": 0.5, "fr": 0.1}))])
    cells, rule = probe_cells.cells_of(sweep, probe_cells.best_ranks(sweep)), probe_cells.Rule()
    for setting in probe_cells.SETTINGS:
        found = differences.compared(cells, setting, 1.0, rule)
        at_once = single_cells.rows([pair[1:] for pair in found], rule)
        for pair, row in zip(found, at_once, strict=True):
            alone = rows.row([pair], rule)
            assert row.keys() == alone.keys()
            for name, value in alone.items():
                same = row[name] == value or np.allclose(
                    row[name], value, rtol=1e-12, equal_nan=True
                )
                assert same, (name, row[name], value)


@pytest.mark.slow
@needs_browser
def test_the_page_of_many_languages_shows_every_pair(tmp_path: Path) -> None:
    script = benchmark()
    folder = script.generate(script.Size(MANY, 3, 2, 3), tmp_path)
    page(folder)
    seen = use(
        folder / "report.html",
        """
        choose("#ratio", "1"); $("input[name=heat][value='1']").click();
        seen.values = all("#heat td").map(cell => +cell.dataset.value);
        point(all("#heat td")[1]); seen.told = $("#heat-readout").textContent;
        choose("#view", "1"); seen.scopes = all("#scope option").map(one => one.value);
        """,
    )
    table = results.aggregate(load.load([folder]))
    assert seen["scopes"] == ["macro"] and "results.csv" in seen["told"]
    names = results.languages(table)
    assert len(seen["values"]) == MANY**2
    for place in (1, MANY + 5, 7 * MANY + 7):
        one, other = names[place // MANY], names[place % MANY]
        scope = one if one == other else f"{one}>{other}"
        setting = "monolingual" if one == other else "cross-lingual"
        delta = results.pick(table, setting, "RR@10", scope)["delta"].iloc[-1]
        assert abs(seen["values"][place] - delta) <= 5e-4
