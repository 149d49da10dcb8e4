"""report.html: its numbers are those of results.csv, it needs no other file, and it works in a browser."""

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from hybrid_sweep.analysis.answer import answer
from hybrid_sweep.analysis.headline import headline
from hybrid_sweep.analysis.html import VIEWS, html
from hybrid_sweep.analysis.report import write_report
from hybrid_sweep.analysis.results import aggregate
from hybrid_sweep.analysis.table import load

Make = Callable[..., Path]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps all text, every tag with its attributes, and the cells with a number."""

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
    """The page of a sweep, written as report.html without the rest of the report, which takes seconds."""
    sweep = load([sweep_dir])
    results = aggregate(sweep)
    text = html(sweep, results, answer(sweep, results), ["some warning"], "c0de")
    (sweep_dir / "report.html").write_text(text, encoding="utf-8")
    return text


def block(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="results">(.*?)</script>', text, re.DOTALL)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_the_json_block_is_results_csv(sweep_dir: Path) -> None:
    paths = {path.name: path for path in write_report([sweep_dir]).paths}
    text = paths["report.html"].read_text(encoding="utf-8")
    with paths["results.csv"].open(newline="") as file:
        header, *rows = csv.reader(file)
    ours = block(text)
    assert ours["columns"] == header and len(ours["rows"]) == len(rows) > 100
    for shown, row in zip(ours["rows"], rows, strict=True):
        for value, stored in zip(shown, row, strict=True):
            number = isinstance(value, (int, float))
            assert float(stored) == value if number else stored == (value or ""), (header, row, shown)


def test_every_rounded_number_stands_for_one_of_the_results(sweep_dir: Path) -> None:
    text = page(sweep_dir)
    values = {value for row in block(text)["rows"] for value in row if isinstance(value, (int, float))}
    cells = Page(text).cells
    assert len(cells) > 20
    for shown, value in cells:
        assert float(value) in values, value
        if re.fullmatch(r"[+-]?[\d,.]+", shown):
            digits = len(shown.partition(".")[2])
            assert float(shown.replace(",", "")) == pytest.approx(float(value), abs=0.5001 * 10**-digits), (
                shown,
                value,
            )


def test_the_answer_stands_on_top_in_words(sweep_dir: Path) -> None:
    text = page(sweep_dir)
    words = Page(text).words()
    sweep = load([sweep_dir])
    told = headline(sweep, aggregate(sweep))
    place = [words.index(" ".join(part.split())) for pair in (told.happens, told.sure, told.use) for part in pair]
    assert place == sorted(place) and place[-1] < words.index("The curve")
    for said in [
        "How it was measured",
        "Provenance",
        "t050s1",
        "commit 0123456789abcdef",
        "Command: hybrid-sweep run -m",
    ]:
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
    assert not [tag for tag, found in Page(text).tags if {"src", "href", "srcset", "action"} & set(found)]
    assert "default-src 'none'" in text


def test_names_are_escaped(make_sweep: Make) -> None:
    sweep_dir = make_sweep()
    plan = json.loads((sweep_dir / "points.json").read_text())
    plan["name"], plan["command"] = "<b>&\"'</script><script>bad()</script>", "run 'a<b>' && `x` </title>"
    (sweep_dir / "points.json").write_text(json.dumps(plan))
    failed = sweep_dir.parent.parent / "runs" / "t050s0"
    (failed / "metrics.json").unlink()
    (failed / "status.json").write_text(json.dumps({"state": "failed", "error": "<img src=x> </script>"}))
    text = page(sweep_dir)
    found = Page(text)
    assert plan["name"] in "".join(found.text) and "<img src=x> </script>" in "".join(found.text)
    assert "&lt;b&gt;&amp;" in text and "<b>" not in text and "<img" not in text
    assert [tag for tag, _ in found.tags].count("script") == 2
    assert any("t050s0" in row for row in block(text)["rows"])


def test_a_language_cannot_end_the_json_block(make_sweep: Make, world: Any) -> None:
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
    words = Page(text).words()
    assert "3 of 10 points are missing: see Missing points." in words
    assert "r = 0.5, seed 1, run t050s1 : not finished" in words and "0 of 3" in words
    assert block(text)["ratios"] == [0.0, 0.5, 1.0]  # the gap keeps its place on the curve
    assert not [row for row in block(text)["rows"] if row[1] == 0.5 and row[5] != "missing"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": (0,)}, "No verdict yet"),
        ({"ratios": (), "untrained": (0,)}, "No verdict yet"),
        ({"ratios": (0.5, 1.0)}, "no point at ratio 0 is finished"),
        ({"ratios": (0.0,), "untrained": ()}, "only ratio 0 is finished"),
    ],
)
def test_sweeps_without_a_verdict_have_a_page(make_sweep: Make, changes: dict[str, Any], words: str) -> None:
    text = page(make_sweep(**changes))
    assert words in Page(text).words()
    assert "questions only" in Page(text).words() or "seeds" not in changes


def test_one_language_has_no_pairs(make_sweep: Make, world: Any) -> None:
    text = page(make_sweep(world(languages=("en",))))
    Page(text)
    assert 'id="heat"' not in text and "Cross-lingual MRR@10</label>" not in text
    assert {view["setting"] for view in block(text)["views"]} == {"monolingual", "multilingual"}


def test_page_controls_have_names_and_the_script_is_short(sweep_dir: Path) -> None:
    text = page(sweep_dir)
    assert text.count('name="view"') == len(VIEWS)
    for part in ("<legend>", "<label>Language <select", 'tabindex="0"', "prefers-color-scheme: dark", "@media print"):
        assert part in text, part
    assert len(files("hybrid_sweep.analysis").joinpath("page.js").read_text("utf-8").splitlines()) < 200


def browser(path: Path, width: int = 1000) -> tuple[str, str]:
    """The page after its scripts, as headless Chromium sees it, and what it wrote to its console."""
    assert CHROMIUM
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += ["--disable-background-networking", "--enable-logging=stderr", f"--window-size={width},900"]
    command += [f"--user-data-dir={path.parent / 'profile'}", "--virtual-time-budget=3000", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    assert "</html>" in done.stdout, done.stderr
    return done.stdout, console


# Does what a reader does, and writes down what the curve, the readout, the heat map and a table show after each step.
SCRIPT = """<script>
const seen = {}, $ = selector => document.querySelector(selector);
const note = name => { seen[name] = {
  drawn: [...document.querySelectorAll("#curve .point")].map(p => [p.dataset.ratio, p.dataset.mean]),
  title: $("#curve-title").textContent, readout: $("#readout").textContent, wide: document.documentElement.scrollWidth,
  heat: [...document.querySelectorAll("#heat td[data-value]")].map(cell => cell.dataset.value) }; };
const set = (selector, value) => { $(selector).value = value; $(selector).dispatchEvent(new Event("change")); };
note("start");
set("#scope", "en"); note("english");
$("#curve .point:last-of-type").focus(); note("focus");
$("input[name=view][value='1']").click(); note("cross");
set("#scope", "de>en"); note("pair");
set("#ratio", "bm25"); note("words");
set("#ratio", "1"); note("heat");
$("input[name=heat][value='1']").click(); note("change");
const heads = [...document.querySelectorAll("table.sortable")[1].tHead.rows[0].cells];
heads[2].firstChild.click(); heads[2].firstChild.click();
seen.sorted = [...document.querySelectorAll("table.sortable")[1].tBodies[0].rows].map(row => row.cells[2].dataset.value);
document.title = JSON.stringify(seen);
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on PATH")
def test_the_page_works_in_a_browser(make_sweep: Make, world: Any) -> None:
    sweep_dir = make_sweep(world(has={"de": 0.6, "fr": 0.8}), bm25=True)
    text = page(sweep_dir)
    results = aggregate(load([sweep_dir]))
    dom, console = browser(sweep_dir / "report.html")
    assert console == "" and dom.count('class="point"') == 3
    path = sweep_dir / "used.html"
    path.write_text(text.replace("</body>", SCRIPT + "</body>"))
    dom, console = browser(path, width=500)
    assert console == ""
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title
    seen = json.loads(title[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))

    def means(setting: str, scope: str) -> list[float]:
        found = results.query("kind == 'trained' and measure == 'RR@10' and setting == @setting and scope == @scope")
        return [float(value) for value in found.sort_values("ratio")["mean"]]

    for step, setting, scope in [
        ("start", "monolingual", "macro"),
        ("english", "monolingual", "en"),
        ("cross", "cross-lingual", "macro"),
        ("pair", "cross-lingual", "de>en"),
    ]:
        assert [float(mean) for _, mean in seen[step]["drawn"]] == means(setting, scope), step
    assert seen["english"]["title"] == "Monolingual MRR@10, en."
    assert f"{means('monolingual', 'en')[-1]:.3f}" in seen["focus"]["readout"]
    pairs = results.query("kind == 'trained' and measure == 'RR@10' and setting != 'multilingual' and scope != 'macro'")
    words = results.query("kind == 'bm25' and measure == 'RR@10' and setting != 'multilingual' and scope != 'macro'")
    assert sorted(map(float, seen["words"]["heat"])) == sorted(words["mean"]) and len(words) == 9
    for step, ratio, column in [("start", 0.0, "mean"), ("heat", 1.0, "mean"), ("change", 1.0, "delta")]:
        wanted = sorted(pairs[pairs["ratio"] == ratio][column])
        assert sorted(map(float, seen[step]["heat"])) == wanted, step
    numbers = [float(value) for value in seen["sorted"]]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) == 3 * 5
    assert seen["start"]["wide"] <= 500


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on PATH")
@pytest.mark.parametrize("changes", [{"seeds": (0,)}, {"ratios": ()}, {"ratios": (0.5, 1.0)}, {"languages": ("en",)}])
def test_odd_sweeps_open_without_an_error(make_sweep: Make, world: Any, changes: dict[str, Any]) -> None:
    languages = changes.pop("languages", None)
    sweep_dir = make_sweep(world(languages=languages) if languages else None, **changes)
    page(sweep_dir)
    dom, console = browser(sweep_dir / "report.html")
    assert console == "" and dom.count('class="point"') == len(changes.get("ratios", (0.0, 0.5, 1.0)))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on PATH")
def test_a_gap_is_drawn_as_a_gap(make_sweep: Make) -> None:
    sweep_dir = make_sweep()
    for seed in range(3):
        (sweep_dir.parent.parent / "runs" / f"t050s{seed}" / "metrics.json").unlink()
    page(sweep_dir)
    dom, console = browser(sweep_dir / "report.html")
    assert console == "" and 'data-mean="missing"' in dom and 'class="path"' not in dom
