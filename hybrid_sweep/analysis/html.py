"""report.html: one file without a reference to any other, the answer on top, then what can be looked at closely.

Curve and heat map are drawn by `page.js` from a JSON block with the rows of results.csv; tables and text stand in the page
and need no script. Like report.md it holds no time, machine or path. Whatever comes from a run or a sweep is escaped.
"""

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import pandas as pd

from hybrid_sweep.analysis.answer import MONO, between, findings, p_words, signed
from hybrid_sweep.analysis.headline import headline
from hybrid_sweep.analysis.markdown import HEADER, by_ratio, markdown
from hybrid_sweep.analysis.results import MACRO, records
from hybrid_sweep.analysis.table import BASELINES, Sweep

# The curves one can switch between: setting, measure, name, digits.
VIEWS = [
    ("monolingual", "RR@10", "Monolingual MRR@10", 3),
    ("cross-lingual", "RR@10", "Cross-lingual MRR@10", 3),
    ("multilingual", "AP", "Multilingual mAP", 3),
    ("multilingual", "RR@10", "Multilingual MRR@10", 3),
    ("multilingual", "same@10", "Language bias: same-language share of the top 10", 3),
    ("multilingual", "RD", "Language bias: rank distance", 1),
]
# Verdicts carry a sign and a word, never a colour alone.
SIGNS = {"baseline": "■", "superior": "▲", "non-inferior": "●", "inconclusive": "◇", "degraded": "▼", "untested": "○"}
# What is taken over from report.md, and whether it starts open.
SECTIONS = {
    "How it was measured": True,
    "What else changes with the ratio": True,
    "Missing points": True,
    "Provenance": True,
    "Columns of results.csv": False,
}


def _inline(text: str) -> str:
    """Escaped text with the two marks that our Markdown uses: **bold** and `code`."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)


def _rendered(lines: Iterable[str]) -> str:
    """The lists, tables and paragraphs that report.md is made of, as HTML."""
    parts: list[str] = []
    items: list[str] = []
    table: list[list[str]] = []
    for line in [*lines, ""]:
        if items and not line.startswith("- "):
            parts.append("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>")
            items = []
        if table and not line.startswith("|"):
            parts.append(_table("", table[0], [[(cell, None) for cell in row] for row in table[2:]]))
            table = []
        if line.startswith("- "):
            items.append(line[2:])
        elif line.startswith("|"):
            table.append(line.strip("| ").split(" | "))
        elif line:
            parts.append(f"<p>{_inline(line)}</p>")
    return "\n".join(parts)


def _table(name: str, header: Sequence[str], rows: Iterable[Sequence[tuple[str, float | None]]]) -> str:
    """A table; with a name it can be sorted. A cell is its text and, where that is a rounded number, the number itself."""
    heads = "".join(
        f'<th scope="col"><button type="button">{escape(text)}</button></th>'
        if name
        else f'<th scope="col">{escape(text)}</th>'
        for text in header
    )
    body = []
    for row in rows:
        cells = [
            f"<td>{_inline(text)}</td>"
            if value is None or pd.isna(value)
            else f'<td data-value="{value}">{escape(text)}</td>'
            for text, value in row
        ]
        body.append("<tr>" + "".join(cells) + "</tr>")
    label = f' role="region" tabindex="0" aria-label="{escape(name)}"' if name else ""
    kind = ' class="sortable"' if name else ""
    return (
        f'<div class="scroll"{label}><table{kind}><thead><tr>{heads}</tr></thead>\n<tbody>'
        + "\n".join(body)
        + "</tbody></table></div>"
    )


def _ratios(sweep: Sweep, results: pd.DataFrame) -> str:
    place = HEADER.index("verdict")
    rows = [
        [(f"{SIGNS.get(text, '')} {text}".strip() if i == place else text, None) for i, text in enumerate(row)]
        for row in by_ratio(sweep, results)
    ]
    return _table("By ratio", HEADER, rows)


def _languages(results: pd.DataFrame) -> str:
    """A row per language and ratio, and one per language and baseline: level, change with its interval, verdict."""
    chosen = results[(results["setting"] == MONO[0]) & (results["measure"] == MONO[1]) & (results["scope"] != MACRO)]
    rows: list[list[tuple[str, float | None]]] = []
    for row in records(chosen):
        baseline = BASELINES.get(row["kind"])
        cells: list[tuple[str, float | None]] = [
            (row["scope"], None),
            (baseline, None) if baseline else (f"{row['ratio']:g}", row["ratio"]),
            (f"{row['mean']:.3f}", row["mean"]),
        ]
        if pd.isna(row["delta"]):
            cells += [("", None)] * 3
        else:
            note = "" if row["delta_interval"] == "crossed" else " questions only"
            interval = between(row["delta_low_90"], row["delta_high_90"]) + note
            cells += [(signed(row["delta"]), row["delta"]), (interval, None)]
            cells.append((p_words(row["p_holm"]) if row["delta_interval"] == "crossed" else "", row["p_holm"]))
        verdict = f"{SIGNS.get(row['verdict'], '')} {row['verdict']}"
        rows.append([*cells, (verdict.strip(), None), (f"{row['n_questions']:,}", row["n_questions"])])
    header = ["language", "r", "MRR@10", "change", "90 % interval", "Holm", "verdict", "questions"]
    return _table("By language", header, rows) if rows else "<p>No monolingual rows.</p>"


def _plain(value: Any) -> Any:
    """JSON has neither NaN nor infinity: null, and "inf"."""
    if not isinstance(value, float):
        return value
    return None if pd.isna(value) else "inf" if value == float("inf") else value


def _data(sweep: Sweep, results: pd.DataFrame) -> str:
    """The JSON block: margin, planned ratios, the views that have rows, and every row of results.csv as it stands there."""
    found = set(zip(results["setting"], results["measure"], strict=True))
    views = [dict(zip(("setting", "measure", "name", "digits"), view, strict=True)) for view in VIEWS]
    content = {
        "margin": sweep.margin,
        "ratios": sorted({point.ratio for point in sweep.points if point.kind == "trained"}),
        "views": [view for view in views if (view["setting"], view["measure"]) in found],
        "columns": list(results.columns),
        "rows": [[_plain(value) for value in row.values()] for row in records(results)],
    }
    # "<" would let a name end the block early.
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _choices(name: str, labels: Iterable[str]) -> str:
    return "".join(
        f'<label><input type="radio" name="{name}" value="{i}"{" checked" if i == 0 else ""}> {escape(text)}</label>'
        for i, text in enumerate(labels)
    )


def _curve(results: pd.DataFrame) -> str:
    found = set(zip(results["setting"], results["measure"], strict=True))
    names = [name for setting, measure, name, _ in VIEWS if (setting, measure) in found]
    return f"""<section class="card" aria-labelledby="the-curve"><h2 id="the-curve">The curve</h2>
<fieldset class="switch"><legend>What to show</legend>{_choices("view", names)}</fieldset>
<p class="switch"><label>Language <select id="scope"></select></label></p>
<figure><svg id="curve" role="group" aria-labelledby="curve-title"></svg>
<figcaption><strong id="curve-title"></strong> <span id="key"></span></figcaption></figure>
<p><output id="readout"></output></p>
<noscript><p>The curve and the heat map are drawn by a script; without one, see curve.png beside this file and the tables
below.</p></noscript></section>"""


def _heat(results: pd.DataFrame) -> str:
    if not (results["setting"] == "cross-lingual").any():
        return ""
    shown = _choices("heat", ["MRR@10", "change to r = 0"])
    return f"""<section class="card" aria-labelledby="pairs"><h2 id="pairs">Language pairs</h2>
<p>MRR@10 of questions in one language (rows) against passages in another (columns); on the diagonal, framed, both in the
same language.</p><fieldset class="switch"><legend>Ratio and value</legend><label>r <select id="ratio"></select></label>
{shown}</fieldset><div class="scroll" role="region" tabindex="0" aria-labelledby="pairs"><table id="heat"></table></div>
</section>"""


def _section(title: str, content: str, opened: bool = True) -> str:
    if opened:
        return f'<section class="card"><h2>{escape(title)}</h2>\n{content}</section>'
    return f'<details class="card"><summary><h2>{escape(title)}</h2></summary>\n{content}</details>'


def html(sweep: Sweep, results: pd.DataFrame, said: str, warnings: Sequence[str], fingerprint: str) -> str:
    """The text of report.html; `said` is the answer, `fingerprint` stands for the set of runs, as in report.md."""
    style, script = (files(__package__).joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    told = headline(sweep, results)
    cards = "\n".join(
        f'<div class="card"><h2>{question}</h2><p class="short">{escape(short)}</p><p>{escape(text)}</p></div>'
        for question, (short, text) in [
            ("What happens?", told.happens),
            ("How sure are we?", told.sure),
            ("Which ratio to use?", told.use),
        ]
    )
    text = markdown(sweep, results, said, warnings, fingerprint).split("\n## ")
    taken = {part.split("\n", 1)[0]: part.split("\n", 1)[1].splitlines() for part in text[1:]}
    gap = ""
    if sweep.missing:
        gap = f'<p class="gap">{len(sweep.missing)} of {len(sweep.points)} points are missing: see Missing points.</p>'
    said_more = "".join(f"<li>{_inline(sentence)}</li>" for sentence in findings(sweep, results))
    parts = [
        f'<section class="answer">{cards}</section>',
        _curve(results),
        _section("In full", f"<p><strong>{escape(said)}</strong></p><ul>{said_more}</ul>"),
        _section("By ratio", _ratios(sweep, results)),
        _section("By language, monolingual", _languages(results)),
        _heat(results),
        *(_section(title, _rendered(taken[title]), opened) for title, opened in SECTIONS.items()),
    ]
    body = "\n".join(part for part in parts if part)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Sweep {escape(sweep.name)}</title>
<style>
{style}</style></head>
<body><main>
<header><h1>What does a higher cross-lingual share do to monolingual retrieval?</h1>
<p>Sweep <strong>{escape(sweep.name)}</strong>. <em>r</em> is the share of training batches in which query and passage are in
different languages. MRR@10 is the mean of 1 / rank of the first right passage, 0 beyond rank 10: higher is better.</p>{gap}
</header>
{body}
</main>
<script type="application/json" id="results">{_data(sweep, results)}</script>
<script>
{script}</script>
</body></html>
"""
