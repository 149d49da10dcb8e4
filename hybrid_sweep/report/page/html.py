"""report.html: one file without a reference to any other, the answer on top, then what can be
looked at closely.

Figures are drawn by page.js and page_*.js from a JSON block with the rows of results.csv and
derived.csv (data.py); tables (page_tables.py) and text stand in the page and need no script. Like
report.md it holds no time, machine or path. Whatever comes from a run or a sweep is escaped.
"""

from collections.abc import Sequence
from importlib.resources import files

import pandas as pd

from hybrid_sweep.report.headline import Headline, headline
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.page import tables, views
from hybrid_sweep.report.page.data import block
from hybrid_sweep.report.page.parts import inline, rendered
from hybrid_sweep.utils import escaping

SCRIPTS = (
    "page.js",
    "page_curve.js",
    "page_front.js",
    "page_each.js",
    "page_maps.js",
    "page_sort.js",
)
# What is taken over from report.md, and whether it starts open.
SECTIONS = {
    "How it was measured": True,
    "What else changes with the ratio": True,
    "Missing points": True,
    "Provenance": True,
    "Shape of the curves": False,
    "Columns of results.csv": False,
    "Columns of derived.csv": False,
}


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _section(title: str, content: str, opened: bool = True) -> str:
    if opened:
        return f'<section class="card"><h2>{escaping.html(title)}</h2>\n{content}</section>'
    return (
        "<details"
        f' class="card"><summary><h2>{escaping.html(title)}</h2></summary>\n{content}</details>'
    )


def _answer(told: Headline) -> str:
    questions = {
        "What happens?": told.happens,
        "How sure are we?": told.sure,
        "Which ratio to use?": told.use,
    }
    cards = "\n".join(
        f'<div class="card"><h2>{question}</h2><p'
        f' class="short">{escaping.html(short)}</p><p>{escaping.html(text)}</p></div>'
        for question, (short, text) in questions.items()
    )
    return f'<section class="answer">{cards}</section>'


def html(
    sweep: Sweep,
    results: pd.DataFrame,
    derived: pd.DataFrame,
    said: str,
    told: Sequence[str],
    text: str,
) -> str:
    """Return the text of report.html; `said` is the answer, `told` the findings under it, `text`
    that of report.md.
    """
    sections = text.split("\n## ")[1:]
    taken = {part.split("\n", 1)[0]: part.split("\n", 1)[1].splitlines() for part in sections}
    said_more = "".join(f"<li>{inline(sentence)}</li>" for sentence in told)
    parts = [
        _answer(headline(sweep, results)),
        views.curve(results),
        _section("By ratio", tables.by_ratio(sweep, results)),
        _section("In full", f"<p><strong>{escaping.html(said)}</strong></p><ul>{said_more}</ul>"),
        views.tradeoff(results, tables.tradeoff(results, derived)),
        views.multiples(results),
        _section("Winners and losers among the languages", tables.winners(sweep, derived)),
        _section("By language, monolingual", tables.by_language(results)),
        views.maps(results),
        *(
            _section(title, rendered(taken[title]), opened)
            for title, opened in SECTIONS.items()
            if title in taken
        ),
    ]
    body = "\n".join(part for part in parts if part)
    script = "\n".join(_asset(name) for name in SCRIPTS)
    gap = ""
    if sweep.missing:
        gap = (
            f'<p class="gap">{len(sweep.missing)} of {len(sweep.points)} points are missing: see'
            " Missing points.</p>"
        )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Sweep {escaping.html(sweep.name)}</title>
<style>
{_asset("page.css")}</style></head>
<body><main>
<header><h1>What does a higher cross-lingual share do to monolingual retrieval?</h1>
<p>Sweep <strong>{escaping.html(sweep.name)}</strong>.
<em>r</em> is the share of training batches in which query and passage are in
different languages. MRR@10 is the mean of 1 / rank of the first right passage, 0 beyond rank 10: higher is better. A seed is
one training with its own random numbers.</p>{gap}
</header>
{body}
</main>
<script type="application/json" id="results">{block(sweep, results, derived)}</script>
<script>
(() => {{
{script}}})();
</script></body></html>
"""
