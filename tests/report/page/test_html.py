"""report.html: its numbers are those of results.csv and derived.csv, and it needs no other file."""

import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.report.answer import answer, findings, no_verdict
from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.headline import headline
from hybrid_sweep.report.load import load
from hybrid_sweep.report.measures import DEFAULT, MEASURES, TRADED, measures_on
from hybrid_sweep.report.page.data import bias_of, menu_name
from hybrid_sweep.report.page.frame import DOWNLOADS
from hybrid_sweep.report.page.html import SCRIPTS, SECTIONS, html
from hybrid_sweep.report.results import aggregate
from hybrid_sweep.report.sections import Content
from hybrid_sweep.report.tables.derived import in_words, points_for, significant
from hybrid_sweep.utils import escaping
from tests import snapshots

BIAS = bias_of(measures_on(DEFAULT))

Make = Callable[..., Path]
VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps all text, every tag with its attributes, and the cells with
    a number.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.cells: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.text.append(data)
        if self.open and self.open[-1] == "td" and "data-value" in self.tags[-1][1]:
            self.cells.append((data, str(self.tags[-1][1]["data-value"])))

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def page(sweep_dir: Path) -> str:
    """The page of a sweep, written as report.html without the rest of the report, which takes
    seconds.
    """
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    more = derived(sweep, results)
    said, told = answer(sweep, results), findings(sweep, results, more)
    text = html(Content(sweep, results, more, said, told, ("some warning",), results.head(0)))
    (sweep_dir / "report.html").write_text(text, encoding="utf-8")
    return text


def block(text: str) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="results">(.*?)</script>', text, re.DOTALL
    )
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def same(shown: list[list[Any]], frame: pd.DataFrame) -> None:
    """The rows of a JSON block are those of a frame, as they are written to a CSV file."""
    assert len(shown) == len(frame)
    for ours, row in zip(shown, frame.itertuples(index=False), strict=True):
        for value, stored in zip(ours, row, strict=True):
            gone = isinstance(stored, float) and math.isnan(stored)
            assert value is None if gone else value == ("inf" if stored == math.inf else stored), (
                ours,
                row,
            )


def test_the_json_block_is_results_csv_and_derived_csv(sweep_dir: Path) -> None:
    ours = block(page(sweep_dir))
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    more = derived(sweep, results)
    assert ours["columns"] == list(results.columns) and ours["derived"]["columns"] == list(
        more.columns
    )
    assert len(results) > 100 and set(more["statistic"]) >= {
        "slope",
        "isotonic",
        "front",
        "price",
        "language",
    }
    same(ours["rows"], results)
    same(ours["derived"]["rows"], more)
    assert ours["trained"] == ["de", "en", "fr"] and ours["margin"] == 0.01


def test_every_rounded_number_stands_for_one_of_the_results(sweep_dir: Path) -> None:
    text = page(sweep_dir)
    content = block(text)
    rows = content["rows"] + content["derived"]["rows"]
    values = {value for row in rows for value in row if isinstance(value, (int, float))}
    cells = Page(text).cells
    assert len(cells) > 100
    checked = 0
    for shown, value in cells:
        number = float(value)
        assert number in values, value
        found = re.fullmatch(r"([+-]?[\d,]*\.?\d*)( %)?", shown)
        if found:
            # a price per 100 ranks is in points, hundredths
            factors = {None: (1, 100 * 100), " %": (100,)}[found[2]]
            digits = len(found[1].partition(".")[2])
            rounded = [pytest.approx(f * number, abs=0.5001 * 10**-digits) for f in factors]
            assert float(found[1].replace(",", "")) in rounded, (shown, value)
            checked += 1
        else:
            assert re.fullmatch(r"p (=|<) [\d.]+", shown), shown
    assert checked > 80


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0000268987, "0.0000269"),
        (-0.2071, "-0.207"),
        (1234.0, "1230"),
        (0.5, "0.5"),
        (1e-9, "0.000000001"),
    ],
)
def test_three_digits_without_an_exponent(value: float, text: str) -> None:
    assert significant(value) == text


def grid(text: str, name: str) -> list[list[str]]:
    """The cells of a table by its label, the head first."""
    found = text.split(f'aria-label="{name}">')[1].split("</table>")[0]
    return [
        re.findall(r"<t[hd][^>]*>(?:<button[^>]*>)?(.*?)(?:</button>)?</t[hd]>", row)
        for row in found.split("<tr>")[1:]
    ]


def test_the_table_by_ratio_has_questions_and_examples(sweep_dir: Path) -> None:
    text = page(sweep_dir)
    head, *rows = grid(text, "By ratio")
    results = aggregate(load([sweep_dir]))
    macro = results.query(
        "kind == 'trained' and setting == 'monolingual' and scope == 'macro'"
    ).set_index("ratio")
    assert [row[0] for row in rows] == ["0", "0.5", "1", "untrained"]
    for row in rows[1:3]:
        cells = dict(zip(head, row, strict=True))
        found = macro.loc[float(cells["r"])]
        assert [cells[name] for name in ("won", "tied", "lost")] == [
            str(found[name]) for name in ("won", "tied", "lost")
        ]
        assert sum(int(cells[name]) for name in ("won", "tied", "lost")) == found["n_questions"]
    examples = [
        (row[head.index("mono examples")], row[head.index("cross examples")]) for row in rows
    ]
    assert examples == [("12,800", "0"), ("6,400", "6,400"), ("0", "12,800"), ("0", "0")]
    assert [rows[0][head.index(name)] for name in ("change", "won", "tied", "lost")] == [""] * 4


def test_winners_and_losers(make_sweep: Make, world: Any) -> None:
    sweep_dir = make_sweep(world(mono=lambda ratio: -0.3 * ratio, questions=80))
    head, *rows = grid(page(sweep_dir), "Winners and losers")
    assert [row[:2] for row in rows] == [
        [lang, ratio] for lang in ("de", "en", "fr") for ratio in ("0.5", "1")
    ]
    assert {row[head.index("what is shown")] for row in rows if row[1] == "1"} == {
        "<strong>▼ loser</strong>"
    }
    tested = derived(load([sweep_dir]), aggregate(load([sweep_dir]))).query(
        "statistic == 'language'"
    )
    for row in rows:
        found = tested[(tested["scope"] == row[0]) & (tested["ratio"] == float(row[1]))].iloc[0]
        assert row[head.index("change to r = 0")] == f"{found['value']:+.3f}"
        assert row[head.index("95 % interval")] == f"[{found['low']:+.3f}, {found['high']:+.3f}]"


def test_languages_never_trained_on_stand_apart(make_sweep: Make) -> None:
    sweep_dir = make_sweep()
    for config in (sweep_dir.parent.parent / "runs").glob("*/config.yaml"):
        config.write_text(config.read_text().replace("\n  - fr", ""))
    text = page(sweep_dir)
    assert {row[0] for row in grid(text, "Languages trained on")[1:]} == {"de", "en"}
    assert {row[0] for row in grid(text, "Languages never trained on")[1:]} == {"fr"}
    assert 'aria-label="Winners and losers"' not in text
    # no mean among the languages
    assert {row[0] for row in grid(text, "By language")[1:]} == {"de", "en", "fr"}
    content = block(text)
    scope = content["columns"].index("scope")
    assert {"trained", "unseen"} <= {row[scope] for row in content["rows"]} and {
        "trained",
        "unseen",
    } <= set(content["means"])


def test_the_trade_off_names_front_frequency_and_price(make_sweep: Make, world: Any) -> None:
    changes = {
        "mono": lambda ratio: -0.1 * ratio,
        "cross": lambda ratio: 0.3 * ratio,
        "bias": lambda ratio: -0.4 * ratio,
    }
    sweep_dir = make_sweep(world(questions=80, **changes))
    text = page(sweep_dir)
    more = derived(load([sweep_dir]), aggregate(load([sweep_dir])))
    for measure in TRADED:
        head, *rows = grid(text, f"Against {measure.name}")
        about = more[more["against"] == measure.key]
        assert [row[0] for row in rows] == ["0", "0.5", "1"]
        priced = 0
        for row in rows:
            front, *price = (
                about[(about["statistic"] == kind) & (about["ratio"] == float(row[0]))].iloc[0]
                for kind in ("front", "price")[: 1 if row[0] == "0" else 2]
            )
            assert row[head.index("by the means")].endswith(front["by_means"])
            assert row[head.index("shown")] == front["word"]
            assert row[head.index("in resamples")] == f"{100 * front['value']:.0f} %"
            if price and not math.isnan(price[0]["value"]):
                priced += 1
                value, low, high = (
                    significant(points_for(measure, price[0][side]))
                    for side in ("value", "low", "high")
                )
                assert row[head.index(f"price per {measure.unit}")] == value
                ends = f"{low}, {high}"
                assert row[head.index("95 % interval")] == f"[{ends}]"
            assert row[head.index("in words")] == (in_words(dict(price[0])) if price else "")
        assert priced > 0, measure


def test_a_price_is_called_no_surer_than_its_interval() -> None:
    prices = [(0.1, 0.05, 0.2), (0.1, -0.05, 0.2), (-0.1, -0.2, -0.05), (-0.1, -0.2, math.inf)]
    words = [
        in_words({"value": v, "low": low, "high": high, "word": "stated"})
        for v, low, high in prices
    ]
    words.append(in_words({"value": math.nan, "word": "no gain shown"}))
    snapshots.check("page/prices in words", "\n".join(words) + "\n")


def test_the_answer_stands_on_top_in_words(sweep_dir: Path) -> None:
    text = page(sweep_dir)
    words = Page(text).words()
    sweep = load([sweep_dir])
    told = headline(sweep, aggregate(sweep))
    parts = [part for pair in (told.happens, told.sure, told.use) for part in pair]
    place = [text.index(escaping.html(part)) for part in parts]
    assert place == sorted(place) and place[-1] < text.index('id="curve"')
    for said in [*SECTIONS, "t050s1", "0123456789abcdef", "hybrid-sweep run -m"]:
        assert said in words, said


def test_the_page_refers_to_nothing_outside(sweep_dir: Path) -> None:
    text = page(sweep_dir)
    for sign in (
        "http:",
        "https:",
        "src=",
        "@import",
        "url(",
        "<link",
        "<iframe",
        "fetch(",
        "import(",
        "XMLHttpRequest",
    ):
        assert sign not in text, sign
    tags = Page(text).tags
    assert not [tag for tag, found in tags if {"src", "srcset", "action"} & set(found)]
    # links lead within the page, and to the files of the report beside it
    anchors = {f"#{found['id']}" for _, found in tags if "id" in found}
    links = {str(found["href"]) for _, found in tags if "href" in found}
    assert links and links - anchors - set(DOWNLOADS) == set()
    assert "default-src 'none'" in text


def test_names_are_escaped(make_sweep: Make) -> None:
    sweep_dir = make_sweep()
    plan = json.loads((sweep_dir / "points.json").read_text())
    plan["name"], plan["command"] = "<b>&\"'<script>bad()<img src=x>", "run 'a<b>' && `x` </title>"
    (sweep_dir / "points.json").write_text(json.dumps(plan))
    failed = sweep_dir.parent.parent / "runs" / "t050s0"
    (failed / "metrics.json").unlink()
    (failed / "status.json").write_text(
        json.dumps({"state": "failed", "error": "<img src=x> </script>"})
    )
    text = page(sweep_dir)
    found = Page(text)
    assert plan["name"] in "".join(found.text) and "<img src=x> </script>" in "".join(found.text)
    assert "&lt;b&gt;&amp;" in text and "<b>" not in text and "<img" not in text
    assert [tag for tag, _ in found.tags].count("script") == 2
    assert any("t050s0" in row for row in block(text)["rows"])


def test_a_language_cannot_end_the_json_block(
    make_sweep: Make, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a name is refused when a table is read; the page does not rely on that."""
    monkeypatch.setattr("hybrid_sweep.report.load._check_languages", lambda folder, table: None)
    text = page(make_sweep(world(languages=("</script><i>", "en"))))
    assert [tag for tag, _ in Page(text).tags].count("script") == 2 and "<i>" not in text
    assert any("</script><i>" in row for row in block(text)["rows"])


def test_the_same_runs_give_the_same_bytes(sweep_dir: Path) -> None:
    first = page(sweep_dir)
    plan = json.loads((sweep_dir / "points.json").read_text())
    plan["points"].reverse()
    (sweep_dir / "points.json").write_text(json.dumps(plan))
    assert page(sweep_dir) == first
    assert str(sweep_dir.parent) not in first


def test_missing_points_are_shown(make_sweep: Make) -> None:
    sweep_dir = make_sweep()
    for seed in range(3):
        (sweep_dir.parent.parent / "runs" / f"t050s{seed}" / "metrics.json").unlink()
    text = page(sweep_dir)
    gap = re.findall('<p class="gap">(.*)</p>', text)
    snapshots.check("page/missing points", "\n".join(gap) + "\n")
    seeds = {row[0]: row[1] for row in grid(text, "By ratio")}
    assert "t050s1" in Page(text).words() and re.findall(r"\d+", seeds["0.5"]) == ["0", "3"]
    assert block(text)["ratios"] == [0.0, 0.5, 1.0]  # the gap keeps its place on the curve
    assert not [row for row in block(text)["rows"] if row[1] == 0.5 and row[5] != "missing"]


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": (0,)},
        {"ratios": (), "untrained": (0,)},
        {"ratios": (0.5, 1.0)},
        {"ratios": (0.0,), "untrained": ()},
    ],
)
def test_sweeps_without_a_verdict_have_a_page(make_sweep: Make, changes: dict[str, Any]) -> None:
    sweep_dir = make_sweep(**changes)
    text = page(sweep_dir)
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    assert no_verdict(sweep, results)
    told, words = headline(sweep, results), Page(text).words()
    assert all(part in words for part in (*told.happens, *told.sure, *told.use))
    if "seeds" in changes:
        lines = [" | ".join(row) for row in grid(text, "By ratio")]
        snapshots.check("page/by ratio, one seed", "\n".join(lines) + "\n")


def test_one_language_has_no_pairs(make_sweep: Make, world: Any) -> None:
    text = page(make_sweep(world(languages=("en",))))
    Page(text)
    assert 'id="heat"' not in text
    assert [one.measure for one in TRADED if f"{one.title}</label>" in text] == ["same@10"]
    assert {view["setting"] for view in block(text)["views"]} == {"monolingual", "multilingual"}


def test_controls_have_names_and_files_one_purpose(sweep_dir: Path) -> None:
    text = page(sweep_dir)
    assert text.count('name="against"') == len(TRADED)
    for name in [*map(menu_name, MEASURES), *(measure.title for measure in BIAS)]:
        assert f">{name}</option>" in text, name
    for part in ("<legend>", 'tabindex="0"', "prefers-color-scheme: dark", "@media print"):
        assert part in text, part
    for name in SCRIPTS:
        assert (
            len(files("hybrid_sweep.report.page").joinpath(name).read_text("utf-8").splitlines())
            < 150
        ), name
