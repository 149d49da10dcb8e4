"""report.html: one file without a reference to any other, the answer on top, then what can be
looked at closely.

Figures are drawn by page.js and page_*.js from a JSON block with the rows of results.csv and
derived.csv (data.py); tables and text stand in the page and need no script. Like
report.md it holds no time, machine or path. Whatever comes from a run or a sweep is escaped.
"""

from importlib.resources import files

from hybrid_sweep.report.headline import Headline, headline
from hybrid_sweep.report.measures import meaning
from hybrid_sweep.report.merged import figure as figure_merged
from hybrid_sweep.report.merged import text as merged_text
from hybrid_sweep.report.other_measures import own_measure_note
from hybrid_sweep.report.page import frame, trained, views
from hybrid_sweep.report.page.data import block
from hybrid_sweep.report.render import html as render
from hybrid_sweep.report.sections import Content
from hybrid_sweep.report.tables import derived as tables
from hybrid_sweep.report.tables import verdicts
from hybrid_sweep.report.tables.by_ratio import by_ratio
from hybrid_sweep.report.tables.by_ratio import note as note_of
from hybrid_sweep.report.tables.others import OTHERS_NOTE, of_others
from hybrid_sweep.report.without_monolingual import EMPTY, leading
from hybrid_sweep.utils import escaping

SCRIPTS = (
    "page.js",
    "page_curve.js",
    "page_front.js",
    "page_each.js",
    "page_maps.js",
    "page_sort.js",
)
FIRST_SCREEN = 2  # cards before the contents: the answer and the curve
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


def _heading(title: str) -> str:
    return f'<h2 id="{frame.slug(title)}">{escaping.html(title)}</h2>'


def _section(title: str, content: str, opened: bool = True) -> str:
    if opened:
        return f'<section class="card">{_heading(title)}\n{content}</section>'
    return f'<details class="card"><summary>{_heading(title)}</summary>\n{content}</details>'


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


def _winners(content: Content) -> str:
    grids = tables.winners(content.sweep, content.derived)
    parts = []
    for grid in grids:
        title = f"<h3>{grid.name}</h3>" if len(grids) > 1 else ""
        parts.append(title + render.table(grid))
    return "\n".join(parts) or "<p>Nothing to compare.</p>"


def _by_language(content: Content) -> str:
    grid = verdicts.by_language(content.results)
    return render.table(grid) if grid.rows else f"<p>{EMPTY}</p>"


def _others(content: Content) -> str:
    """Return what other measures and scales say, at every ratio."""
    grid = of_others(content.others)
    if not grid.rows:
        return ""
    note = own_measure_note(content.sweep)
    noted = f"<p>{escaping.html(note[0].upper() + note[1:])}.</p>" if note else ""
    body = f'{render.table(grid)}<p class="note">{escaping.html(OTHERS_NOTE)}</p>{noted}'
    return _section("By other measures, on other scales", body, opened=False)


def _averaged(content: Content) -> str:
    """Return the card of averaged weights, its figure drawn into the page; "" where there are
    none.
    """
    averaged = content.averaged
    if averaged is None:
        return ""
    parts = []
    if len(averaged.rows):
        sweep = averaged.merged.sweep
        drawing = figure_merged.svg(averaged.rows, sweep.measures, sweep.margin)
        parts.append(f"<figure>{drawing}</figure>")
    for block_of_text in merged_text.blocks(averaged):
        if isinstance(block_of_text, str) and block_of_text.startswith("### "):
            parts.append(f"<h3>{escaping.html(block_of_text[4:])}</h3>")
        else:
            parts.append(render.blocks([block_of_text], sortable=True))
    return _section(merged_text.TITLE, "\n".join(part for part in parts if part))


def _cards(content: Content) -> list[str]:
    """Return the sections of the page from top to bottom."""
    sweep, results = content.sweep, content.results
    told = "".join(f"<li>{render.inline(sentence)}</li>" for sentence in content.findings)
    answer = f"<p><strong>{escaping.html(content.answer)}</strong></p><ul>{told}</ul>"
    languages = frame.finding(content, "By language")
    crossed = frame.of_curve(content, headline(sweep, results), sweep.measures.cross)
    ratios = render.table(by_ratio(sweep, results))
    cards = [
        _answer(headline(sweep, results)),
        views.curve(results),
        _section(
            "By ratio", f'{ratios}<p class="note">{escaping.html(note_of(sweep.measures))}</p>'
        ),
        _section("In full", answer),
        views.tradeoff(results, tables.tradeoff(results, content.derived)),
        _averaged(content),
        views.multiples(results, languages or "Monolingual retrieval by language"),
        _section("Winners and losers among the languages", _winners(content)),
        _section("By language, monolingual", _by_language(content)),
        _others(content),
        views.maps(results, crossed or "Retrieval by pairs of languages"),
    ]
    taken = content.sections
    for title, opened in SECTIONS.items():
        body = render.blocks(taken.get(title, []))
        if body:
            cards.append(_section(title, body, opened))
    if content.averaged:
        body = render.blocks(merged_text.columns())
        cards.append(_section(merged_text.COLUMNS_TITLE, body, opened=False))
    has_averages = content.averaged is not None and len(content.averaged.rows) > 0
    cards += [*_settings(content), _section("Downloads", frame.downloads(has_averages))]
    cards.append(_section("How to cite", frame.citation(sweep)))
    return [card for card in cards if card]


def _settings(content: Content) -> list[str]:
    """Return the table of settings that differ from the defaults, where any is recorded."""
    grid = trained.changed_settings(content.sweep)
    if grid is None:
        return []
    body = render.table(grid, sortable=False) if grid.rows else "<p>None.</p>"
    return [_section(grid.name, body)]


def html(content: Content) -> str:
    """Return the text of report.html."""
    sweep = content.sweep
    cards = _cards(content)
    first, rest = cards[:FIRST_SCREEN], cards[FIRST_SCREEN:]
    body = frame.numbered("\n".join([*first, frame.contents(cards), *rest]))
    script = "\n".join(_asset(name) for name in SCRIPTS)
    gap = ""
    if sweep.missing:
        gap = (
            f'<p class="gap">{len(sweep.missing)} of {len(sweep.points)} points are missing: see'
            " Missing points.</p>"
        )
    gap += "".join(
        f'<p class="gap">Warning: {escaping.html(warning)}.</p>' for warning in content.warnings
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
<header><h1>What does a higher cross-lingual share do to {leading(content.results).setting} retrieval?</h1>
<p>Sweep <strong>{escaping.html(sweep.name)}</strong>.
<em>r</em> is the share of training batches in which query and passage are in
different languages. {escaping.html(meaning(sweep.measure))}: higher is better. A seed is
one training with its own random numbers.</p>
{trained.facts_html(sweep)}{gap}
</header>
{body}
</main>
<script type="application/json" id="results">{block(content)}</script>
<script>
(() => {{
{script}}})();
</script></body></html>
"""
