"""report.html in headless Chromium: everything is drawn, the switches work, and what is hovered is
what the tables say.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.headline import headline
from hybrid_sweep.report.load import load
from hybrid_sweep.report.measures import DEFAULT, MEASURES, TRADED, measures_on
from hybrid_sweep.report.page.data import bias_of, menu_name
from hybrid_sweep.report.results import aggregate
from tests import snapshots
from tests.report.page.browser import (
    CHROMIUM,
    DARK,
    OPTIONS,
    browse,
    measured,
    needs_browser,
    use,
)
from tests.report.page.test_html import page

BIAS = bias_of(measures_on(DEFAULT))

Make = Callable[..., Path]
pytestmark = [pytest.mark.slow, needs_browser]


@pytest.fixture
def bm25_sweep(make_sweep: Make, world: Any) -> Path:
    """3 ratios x 3 seeds with both baselines, a clear loss and a clear gain."""
    kind = world(
        mono=lambda ratio: -0.06 * ratio,
        cross=lambda ratio: 0.2 * ratio,
        bias=lambda ratio: -0.9 * ratio,
        has={"de": 0.6, "fr": 0.8},
        questions=80,
    )
    return make_sweep(kind, bm25=True)


def frames(sweep_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    return results, derived(sweep, results)


def means(
    results: pd.DataFrame, setting: str, measure: str, scope: str = "macro", column: str = "mean"
) -> list[float]:
    """The numbers of one curve, by ratio, but for those that are none."""
    found = results.query(
        "kind == 'trained' and setting == @setting and measure == @measure and scope == @scope"
    )
    return [float(value) for value in found.sort_values("ratio")[column].dropna()]


def follow(text: str, *facts: str) -> bool:
    """Whether the facts stand in a text one after the other, none within a longer number; "" stands
    everywhere.
    """
    alone = [rf"(?<![\d.]){re.escape(fact)}(?!\d)" for fact in facts if fact]
    return re.search(".*".join(alone), text) is not None


def test_the_curve_shows_what_is_chosen(bm25_sweep: Path) -> None:
    page(bm25_sweep)
    results, more = frames(bm25_sweep)
    seen = use(
        bm25_sweep / "report.html",
        """
        const note = () => ({drawn: all("#curve .point").map(mark => Number(mark.dataset.mean)),
                             title: $("#curve-title").textContent, key: $("#key").textContent,
                             scopes: all("#scope option").map(one => one.value), fit: all("#curve .fit").length});
        seen.views = all("#view option").map((_, i) => { choose("#view", String(i)); return note(); });
        choose("#view", "0"); choose("#scope", "en"); seen.en = note();
        choose("#view", "1"); choose("#scope", "de>en"); seen.pair = note();
        choose("#view", "0"); choose("#scope", "macro"); $("#shape").click(); seen.shape = note();
        seen.lines = Object.fromEntries(all("#curve .fit").map(line => [line.dataset.side, line.getAttribute("points")]));
        seen.marks = all("#curve .point").map(mark => mark.getAttribute("transform"));
        $("#shape").click(); seen.plain = note().fit;
        """,
    )
    for measure, view in zip(MEASURES, seen["views"], strict=True):
        assert view["drawn"] == means(results, *measure.place), measure
        assert view["title"].startswith(menu_name(measure))
    told = [seen[part] for part in ("en", "pair", "shape")]
    words = [f"{view['title']}\n{view['key']}\n" for view in (*seen["views"], *told)]
    snapshots.check("page/titles and keys of the curve", "\n".join(words))
    assert (
        seen["en"]["drawn"]
        == means(results, "monolingual", "RR@10", "en")
        != seen["views"][0]["drawn"]
    )
    assert seen["pair"]["drawn"] == means(results, "cross-lingual", "RR@10", "de>en")
    assert seen["en"]["fit"] == 0 and seen["shape"]["fit"] == 3 and seen["plain"] == 0
    slope = more.query(
        "statistic == 'slope' and scope == 'macro' and setting == 'monolingual'"
    ).iloc[0]
    assert (
        follow(seen["shape"]["key"], f"{slope['value']:+.3f}")
        and slope["word"] in seen["shape"]["key"]
    )
    # A curve that is monotone is its own isotonic fit: the line goes through the markers.
    fitted = [float(pair.split(",")[1]) for pair in seen["lines"]["value"].split()]
    marks = [float(place.removesuffix(")").split(",")[1]) for place in seen["marks"]]
    assert marks == sorted(marks) and fitted == pytest.approx(marks, abs=0.01)


HOVER = """
const hover = (marks, output) => all(marks).map(mark => { point(mark); return $(output).textContent; });
seen.curve = hover("#curve .point", "#readout");
seen.ratios = cells(named("By ratio"));
seen.front = all("input[name=against]").map(choice => {
  choice.click();
  const shown = all("div[data-against]").filter(part => !part.hidden);
  return {hover: hover("#front .point", "#front-readout"), table: cells(shown[0].querySelector("table")), shown: shown.length};
});
seen.each = hover("#each-all .point", "#each-readout");
seen.languages = cells(named("By language"));
choose("#ratio", "1"); seen.pairs = hover("#heat td", "#heat-readout"); seen.heat = texts("#heat td");
choose("#bias-view", "2"); seen.bias = hover("#bias-map td", "#bias-readout"); seen.map = texts("#bias-map td");
"""


def test_what_is_hovered_is_what_the_tables_say(bm25_sweep: Path) -> None:
    page(bm25_sweep)
    seen = use(bm25_sweep / "report.html", HOVER)
    for text, row in zip(seen["curve"], seen["ratios"], strict=False):
        ratio, seeds, mean, change, interval, _, verdict, won, tied, lost, *_ = row
        # the seeds and questions of a change
        counts = (won, tied, lost, "0, 1, 2", "80") if change else ()
        assert follow(text, f"r = {ratio}:", mean, change, interval, *counts) and int(seeds) == 3
        assert verdict.split(" ")[1] in text
    assert len(seen["curve"]) == 3
    for measure, front in zip(TRADED, seen["front"], strict=True):
        name, unit = measure.title, measure.unit
        assert front["shown"] == 1 and len(front["table"]) == 3
        assert any(row[8] for row in front["table"]), name  # a price is stated
        for text, row in zip(front["hover"], front["table"], strict=False):
            ratio, mean, _, other, _, word, often, shown, price, interval, about = row
            number = price.split(" ")[0]
            assert follow(
                text,
                f"r = {ratio}:",
                mean,
                name,
                other,
                word[2:],
                often,
                shown.split(" by r")[0],
                number,
                interval,
                about,
            )
            assert not price or follow(text, number, unit, interval)
    by_language = {(row[0], row[1]): row for row in seen["languages"]}
    assert len(seen["each"]) == 9
    for text in seen["each"]:
        scope, ratio = text.split(":")[0].split(", r = ")
        row = by_language[scope, ratio]
        assert follow(text, row[2], row[3], row[4]) and row[6].split(" ")[1] in text + "baseline"
    for text, cell in zip(seen["pairs"], seen["heat"], strict=True):
        assert text.startswith("r = 1, ") and text.split(": ")[1].split(";")[0] == cell
    assert len(seen["bias"]) == 4 * 5
    for text, cell in zip(seen["bias"], seen["map"], strict=True):
        assert f": {cell}" in text
        for lang in ("de", "en", "fr"):
            if text.startswith("r = ") and f"{BIAS[2].title}, {lang}" in text:
                assert cell == by_language[lang, text[4:].split(",")[0]][2]
    fronts = [front["hover"][2] for front in seen["front"]]
    told = [*seen["curve"][:2], *fronts, *seen["each"][:2], seen["pairs"][1], *seen["bias"][:2]]
    snapshots.check("page/what is hovered", "\n".join(told) + "\n")


@pytest.mark.parametrize("value", [0.0625, 0.1875, 0.8125, 0.6205, 0.4995, 0.0])
def test_a_number_is_rounded_as_in_the_tables(sweep_dir: Path, value: float) -> None:
    """Exact halves too, which Python rounds to the even digit and JavaScript upwards."""
    text = page(sweep_dir)
    before = means(frames(sweep_dir)[0], "monolingual", "RR@10")[1]
    assert text.count(f",{before},") == 1
    (sweep_dir / "report.html").write_text(
        text.replace(f",{before},", f",{value},"), encoding="utf-8"
    )
    seen = use(
        sweep_dir / "report.html",
        'point(all("#curve .point")[1]); seen.told = $("#readout").textContent;',
    )
    assert seen["told"].startswith("r = 0.5:")
    assert re.findall(r"\d\.\d{3}", seen["told"])[0] == f"{value:.3f}"


def test_a_baseline_within_reach_stands_in_the_trade_off(make_sweep: Make, world: Any) -> None:
    """BM25 is a mark where it lies among the ratios; the untrained encoder, far off, is named
    below.
    """
    kind = world(mono=lambda ratio: -0.3 * ratio, cross=lambda ratio: -0.5 * ratio, questions=80)
    sweep_dir = make_sweep(kind, bm25=True)
    page(sweep_dir)
    seen = use(
        sweep_dir / "report.html",
        """
        seen.marks = all("#front .point").map(mark => mark.dataset.ratio);
        point(all("#front .point").at(-1)); seen.told = $("#front-readout").textContent; seen.key = $("#front-key").textContent;
        """,
    )
    results, _ = frames(sweep_dir)
    mono, cross = (
        results.query(
            "kind == 'bm25' and setting == @setting and measure == 'RR@10' and scope == 'macro'"
        )["mean"].item()
        for setting in ("monolingual", "cross-lingual")
    )
    assert seen["marks"] == ["0", "0.5", "1", "bm25"]
    assert re.findall(r"\d\.\d{3}", seen["told"]) == [f"{mono:.3f}", f"{cross:.3f}"]
    assert follow(seen["key"], "BM25", f"{mono:.3f}", f"{cross:.3f}")
    snapshots.check("page/baselines in the trade-off", f"{seen['told']}\n{seen['key']}\n")


def test_the_maps_show_what_is_chosen(bm25_sweep: Path) -> None:
    page(bm25_sweep)
    results, _ = frames(bm25_sweep)
    seen = use(
        bm25_sweep / "report.html",
        """
        const values = table => all(`${table} td`).map(cell => cell.dataset.value === undefined ? null : +cell.dataset.value);
        const look = table => ({values: values(table), colours: new Set(all(`${table} td`).map(c => c.style.background)).size});
        seen.start = look("#heat");
        choose("#ratio", "bm25"); seen.bm25 = look("#heat");
        choose("#ratio", "1"); $("input[name=heat][value='1']").click(); seen.change = look("#heat");
        seen.bias = all("#bias-view option").map((_, i) => { choose("#bias-view", String(i)); return look("#bias-map"); });
        $("input[name=bias-value][value='1']").click(); seen.moved = look("#bias-map");
        """,
    )
    chosen = results[
        results["setting"].isin(["monolingual", "cross-lingual"]) & (results["scope"] != "macro")
    ]
    for step, kind, ratio, column in [
        ("start", "trained", 0.0, "mean"),
        ("bm25", "bm25", None, "mean"),
        ("change", "trained", 1.0, "delta"),
    ]:
        found = chosen[
            (chosen["kind"] == kind)
            & (chosen["ratio"].isna() if ratio is None else chosen["ratio"] == ratio)
        ]
        assert sorted(seen[step]["values"]) == sorted(found[column]) and len(found) == 9, step
        assert seen[step]["colours"] > 3, step
    for measure, view in zip(BIAS, seen["bias"], strict=True):
        rows = results[results["setting"] == measure.setting]
        rows = rows[rows["measure"] == measure.measure]
        assert view["values"] == [float(value) for value in rows["mean"]] and len(rows) == 4 * 5
    moved = [None if pd.isna(value) else float(value) for value in rows["delta"]]
    assert seen["moved"]["values"] == moved and moved.count(None) == 4 * 3


def test_tables_sort_by_their_numbers_both_ways(bm25_sweep: Path) -> None:
    page(bm25_sweep)
    seen = use(
        bm25_sweep / "report.html",
        """
        // What is shown may be alike, as rounded numbers are: the numbers themselves count.
        for (const row of named("By language").tBodies[0].rows) row.cells[2].textContent = "0.5";
        for (const table of all("table.sortable")) {
          const name = table.closest("[role=region]").getAttribute("aria-label"), heads = [...table.tHead.rows[0].cells];
          const column = i => [...table.tBodies[0].rows].map(row => row.cells[i].dataset.value ?? row.cells[i].textContent);
          seen[name] = heads.map((head, i) => {
            head.firstChild.click(); const up = column(i), said = head.getAttribute("aria-sort");
            head.firstChild.click(); return [head.textContent, said, up, head.getAttribute("aria-sort"), column(i)];
          });
        }
        """,
    )
    against = {f"Against {measure.name}" for measure in TRADED}
    assert set(seen) == {"By ratio", "By language", "Winners and losers"} | against
    numeric = 0
    for name, columns in seen.items():
        for title, first, up, second, down in columns:
            assert (first, second) == ("ascending", "descending"), (name, title)
            try:
                rising, falling = ([float(cell) for cell in cells if cell] for cells in (up, down))
            except ValueError:
                continue  # words, or intervals
            numeric += len(rising) > 2
            assert rising == sorted(rising) and falling == sorted(falling, reverse=True), (
                name,
                title,
            )
            assert all(cell == "" for cell in up[len(rising) :]) and all(
                cell == "" for cell in down[len(falling) :]
            )
    assert numeric > 20


def test_every_view_can_be_reached_by_the_keyboard(bm25_sweep: Path) -> None:
    page(bm25_sweep)
    seen = use(
        bm25_sweep / "report.html",
        """
        seen.stops = ["#curve", "#front", "#each-all", "#heat", "#bias-map"].map(part => all(`${part} [tabindex="0"]`).length);
        $("#curve .point").focus(); seen.curve = $("#readout").textContent;
        $("#heat td").focus(); press("ArrowRight"); press("ArrowDown"); seen.heat = $("#heat-readout").textContent;
        press("ArrowUp"); press("ArrowUp"); seen.top = $("#heat-readout").textContent;
        seen.moved = [all('#heat [tabindex="0"]').length, document.activeElement.tabIndex];
        $("#each-all .point").focus(); press("ArrowDown"); seen.each = $("#each-readout").textContent;
        const label = one => one.labels?.[0]?.textContent.trim() || one.getAttribute("aria-label")
          || (one.tagName === "SELECT" ? "" : one.textContent);
        seen.unnamed = all("input, select, button, [tabindex]").filter(one => !label(one)).length;
        seen.controls = all("input, select, button").length;
        """,
    )
    # one for each of the three ratios, and one for each field of many
    assert seen["stops"] == [3, 3, 1, 1, 1]
    assert seen["curve"].startswith("r = 0:")
    assert ", en:" in seen["heat"] and ", de → en" in seen["top"] and seen["moved"] == [1, 0]
    assert seen["each"].startswith("en, r = 0:")
    assert seen["unnamed"] == 0 and seen["controls"] > 20


CONTRAST = """
// WCAG 2: the ratio of the relative luminances of a text and what lies behind it.
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgb = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
                        return [...canvas.getImageData(0, 0, 1, 1).data].map(v => v / 255); };
const light = ([r, g, b]) => [r, g, b].map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const behind = node => { for (; node; node = node.parentElement) {
  const found = getComputedStyle(node).backgroundColor; if (rgb(found)[3] === 1) return found; } return "white"; };
const contrast = node => { const style = getComputedStyle(node), text = node.ownerSVGElement ? style.fill : style.color;
  const [a, b] = [light(rgb(text)), light(rgb(behind(node)))].sort((x, y) => y - x); return (a + .05) / (b + .05); };
const least = selector => Math.min(...all(selector).map(contrast));
$("input[name=heat][value='1']").click(); choose("#ratio", "1");
for (const one of ["p", "h1, h2, h3", "svg text", "td, th", "#heat td", "#bias-map td", "output", ".short"])
  seen[one] = least(one);
seen.page = light(rgb(getComputedStyle(document.body).backgroundColor));
seen.curve = contrast(Object.assign($("#readout"), {style: "color: var(--curve)"}));
"""


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_can_be_read_light_and_dark(bm25_sweep: Path, dark: bool) -> None:
    page(bm25_sweep)
    seen = use(bm25_sweep / "report.html", CONTRAST, *([DARK] if dark else []))
    assert seen.pop("page") < 0.05 if dark else seen.pop("page") > 0.85
    assert seen.pop("curve") > 3  # a line, not a text
    assert {name: value for name, value in seen.items() if value < 4.5} == {}


def test_the_first_screen_has_the_answer_and_the_curve(make_sweep: Make, world: Any) -> None:
    sweep_dir = make_sweep(world(mono=lambda ratio: -0.2 * ratio**4, questions=80), margin=0.05)
    page(sweep_dir)
    told = headline(load([sweep_dir]), frames(sweep_dir)[0])
    seen = use(
        sweep_dir / "report.html",
        """
        const end = found => found.getBoundingClientRect().bottom;
        seen.shorts = all(".answer .short").filter(found => end(found) < 800).map(found => found.textContent);
        seen.texts = all(".answer p").filter(found => end(found) < 800).length;
        seen.axis = all("#curve text").filter(found => end(found) < 800).map(found => found.textContent);
        seen.wide = document.documentElement.scrollWidth;
        """,
        width=1280,
        height=800,
    )
    assert seen["shorts"] == [told.happens[0], told.sure[0], told.use[0]] and seen["texts"] == 6
    assert "r = 0.5" in told.use[0] and seen["wide"] <= 1280
    words = [text for text in seen["axis"] if re.search("[a-z]", text)]
    snapshots.check("page/words of the curve on the first screen", "\n".join(words) + "\n")


LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")


@pytest.mark.parametrize("look", [(), (DARK,)], ids=["light", "dark"])
@pytest.mark.parametrize("count", [2, 5, 11])
def test_no_label_is_covered_or_cut_and_no_column_hidden_at_any_width(
    make_sweep: Make, world: Any, count: int, look: tuple[str, ...]
) -> None:
    """By the boxes of what is drawn. Where a table is wider than the page, its first column stays in
    place and its last one can be reached; on a wide screen none is, up to five languages.
    """
    kind = world(
        languages=LANGUAGES[:count],
        mono=lambda ratio: -0.06 * ratio,
        cross=lambda ratio: 0.2 * ratio,
        bias=lambda ratio: -0.9 * ratio,
        questions=30,
    )
    sweep_dir = make_sweep(kind, bm25=True)
    page(sweep_dir)
    for width in (390, 768, 1280, 1920):
        seen = measured(sweep_dir / "report.html", width, *look)
        assert seen["wide"] <= width and seen["labels"] > 20, width
        assert (seen["covered"], seen["cut"]) == ([], []), width
        assert len(seen["tables"]) >= 6 and all(
            one["stay"] and one["last"] for one in seen["tables"]
        )
        if width >= 1280 and count <= 5:
            assert [one["name"] for one in seen["tables"] if one["hidden"] > 0] == [], width


@pytest.mark.parametrize("width", [390, 1280])
def test_labels_of_points_that_crowd_do_not_cover_each_other(
    make_sweep: Make, world: Any, width: int
) -> None:
    """Ratios and means so near to each other that words beside every point would cover others."""
    kind = world(
        mono=lambda ratio: -0.001 * ratio,
        cross=lambda ratio: 0.001 * ratio,
        questions=30,
    )
    sweep_dir = make_sweep(kind, bm25=True, ratios=(0.0, 0.02, 0.04, 0.06, 0.08, 0.1))
    page(sweep_dir)
    seen = measured(sweep_dir / "report.html", width)
    assert seen["labels"] > 20 and seen["covered"] == []


def test_a_phone_shows_it_all_without_sideways_scrolling(bm25_sweep: Path) -> None:
    page(bm25_sweep)
    seen = use(
        bm25_sweep / "report.html",
        """
        seen.wide = document.documentElement.scrollWidth;
        const left = all("svg text").filter(found => found.getBoundingClientRect().left < 0);
        const right = all("svg text").filter(found => found.getBoundingClientRect().right > innerWidth);
        seen.cut = [...left, ...right].map(found => found.textContent);
        """,
        width=500,
    )
    assert seen["wide"] <= 500 and seen["cut"] == []


def test_a_language_named_like_html_is_text_everywhere(
    make_sweep: Make, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a name is refused when a table is read; the page does not rely on that."""
    monkeypatch.setattr("hybrid_sweep.report.load._check_languages", lambda folder, table: None)
    name = "</script><i onclick='x'>&amp;\""
    sweep_dir = make_sweep(world(languages=(name, "en", "fr")))
    page(sweep_dir)
    seen = use(
        sweep_dir / "report.html",
        """
        seen.made = all("i, [onclick]").length;
        choose("#scope", all("#scope option").find(one => one.text.startsWith("<")).value);
        seen.title = $("#curve-title").textContent;
        seen.heat = texts("#heat th"); seen.bias = texts("#bias-map tbody th"); seen.each = texts("#each-all .title");
        seen.languages = cells(named("By language")).map(row => row[0]);
        """,
    )
    assert seen["made"] == 0 and name in seen["title"]
    assert all(name in seen[part] for part in ("heat", "bias", "each", "languages"))


OF_OBJECTS = ("__proto__", "constructor", "hasOwnProperty", "toString")


def test_a_language_named_like_a_property_of_every_object_works(
    make_sweep: Make, world: Any
) -> None:
    """A plain object knows these names without having been told, and takes them for something
    else.
    """
    sweep_dir = make_sweep(world(languages=OF_OBJECTS))
    page(sweep_dir)
    results, _ = frames(sweep_dir)
    seen = use(
        sweep_dir / "report.html",
        """
        seen.scopes = all("#scope option").map(one => [one.value, one.text]);
        seen.drawn = {}; seen.titles = {};
        for (const [scope] of seen.scopes) {
          choose("#scope", scope);
          seen.drawn[scope + "!"] = all("#curve .point").map(mark => Number(mark.dataset.mean));
          seen.titles[scope + "!"] = $("#curve-title").textContent;
        }
        seen.heat = texts("#heat tbody th"); seen.cells = texts("#heat td");
        seen.bias = texts("#bias-map tbody th"); seen.each = texts("#each-all .title");
        """,
    )
    # A page writes an underscore as it is; "!" keeps this test's own object from the same trap.
    scopes = dict(seen["scopes"])
    assert scopes.pop("macro") and scopes == {name: name for name in OF_OBJECTS}
    for name in OF_OBJECTS:
        assert seen["drawn"][f"{name}!"] == means(results, "monolingual", "RR@10", name)
        assert f" {name}." in seen["titles"][f"{name}!"]
    assert (
        seen["heat"] == sorted(OF_OBJECTS) and "–" not in seen["cells"] and len(seen["cells"]) == 16
    )
    assert seen["each"] == sorted(OF_OBJECTS) and set(OF_OBJECTS) < set(seen["bias"])


@pytest.mark.parametrize(
    ("changes", "points"),
    [
        ({"seeds": (0,)}, 3),
        ({"ratios": ()}, 0),
        ({"ratios": (0.5, 1.0)}, 2),
        ({"ratios": (0.0,)}, 1),
        ({"languages": ("en",)}, 3),
        ({"languages": ("de", "en", "fr", "toString")}, 3),
        ({"untrained": ()}, 3),
    ],
)
def test_odd_sweeps_open_without_an_error(
    make_sweep: Make, world: Any, changes: dict[str, Any], points: int
) -> None:
    languages = changes.get("languages")
    others = {name: value for name, value in changes.items() if name != "languages"}
    sweep_dir = make_sweep(world(languages=languages) if languages else None, **others)
    page(sweep_dir)
    seen = use(
        sweep_dir / "report.html",
        """
        seen.drawn = all("#view option").map((_, i) => { choose("#view", String(i)); return all("#curve .point").length; });
        for (const choice of all("input[name=against]")) choice.click();
        for (const mark of all("svg .point, [role=grid] td")) point(mark);
        seen.bad = all("svg *").filter(part => /NaN|undefined/.test(part.outerHTML)).length;
        seen.words = all("output, figcaption").map(part => part.textContent).filter(text => /NaN|undefined|null/.test(text));
        """,
    )
    assert set(seen["drawn"]) == {points} and seen["bad"] == 0 and seen["words"] == []


def test_a_gap_is_drawn_as_a_gap(make_sweep: Make) -> None:
    sweep_dir = make_sweep()
    for seed in range(3):
        (sweep_dir.parent.parent / "runs" / f"t050s{seed}" / "metrics.json").unlink()
    page(sweep_dir)
    seen = use(
        sweep_dir / "report.html",
        """
        seen.curve = all("#curve .point").map(mark => mark.dataset.mean); seen.paths = all("#curve .path").length;
        point(all("#curve .point")[1]); seen.told = $("#readout").textContent;
        seen.each = all("#each-all .path").length; seen.bias = all("#bias-map tr:first-child td").map(cell => cell.textContent);
        seen.banner = $("header .gap").textContent;
        """,
    )
    assert seen["curve"][1] == "missing" and seen["paths"] == 0 and seen["each"] == 0
    snapshots.check("page/a gap that is hovered", seen["told"] + "\n")
    assert seen["bias"][1] == "–" and re.findall(r"\d+", seen["banner"]) == ["3", "10"]


def test_without_a_script_the_tables_stand_there(bm25_sweep: Path) -> None:
    """A browser that runs no script shows every table, since none of them is hidden or made
    by one.
    """
    text = page(bm25_sweep)
    path = bm25_sweep / "plain.html"
    path.write_text(
        text.replace("script-src 'unsafe-inline'", "script-src 'none'"), encoding="utf-8"
    )
    dom, console = browse(path)
    assert "Content Security Policy" in console  # the scripts were refused
    assert (
        dom.count('<table class="sortable">') == 6
        and 'hidden=""' not in dom
        and dom.count("<noscript>") == 1
    )


def test_it_prints(bm25_sweep: Path) -> None:
    page(bm25_sweep)
    assert CHROMIUM
    paper = bm25_sweep / "report.pdf"
    command = [
        CHROMIUM,
        *OPTIONS,
        f"--user-data-dir={bm25_sweep / 'profile'}",
        f"--print-to-pdf={paper}",
    ]
    subprocess.run(
        [*command, (bm25_sweep / "report.html").as_uri()],
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert paper.read_bytes().startswith(b"%PDF") and paper.stat().st_size > 20_000
    seen = use(
        bm25_sweep / "report.html",
        """
        const print = [...document.styleSheets[0].cssRules].find(rule => rule.media?.mediaText === "print");
        seen.print = Object.fromEntries([...print.cssRules].map(rule => [rule.selectorText, rule.style.cssText]));
        """,
    )
    assert (
        json.dumps(seen["print"]).count("visible") == 1
        and "max-height: none" in seen["print"][".scroll"]
    )


def test_a_missing_browser_fails_where_everything_must_be_tested() -> None:
    """Without chromium these tests are skipped on a desk, and fail in CI."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-m",
        "slow",
        "-k",
        "first_screen",
        __file__,
    ]
    nowhere = {name: value for name, value in os.environ.items() if name != "CI"} | {
        "PATH": "/nonexistent"
    }
    desk, ci = (
        subprocess.run(
            command,
            env=env,
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=300,
        )
        for env in (nowhere, nowhere | {"CI": "true"})
    )
    assert desk.returncode == 0 and "s" in desk.stdout.split()[0], desk.stdout
    assert (
        ci.returncode == 1 and "chromium is not on PATH: apt-get install chromium" in ci.stdout
    ), ci.stdout
