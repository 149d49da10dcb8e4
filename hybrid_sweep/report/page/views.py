"""The parts of the page that its scripts draw: their frames, controls and the words around them."""

from collections.abc import Iterable, Mapping

import pandas as pd

from hybrid_sweep.report.measures import Measure
from hybrid_sweep.report.page import many
from hybrid_sweep.report.page.data import bias_of, menu_name, shown_in, viewed
from hybrid_sweep.report.render.html import table
from hybrid_sweep.report.render.table import Table
from hybrid_sweep.report.results import languages, measures_of
from hybrid_sweep.report.tables.derived import prices_note
from hybrid_sweep.utils.escaping import html

SIDE_BY_SIDE = 3  # languages: maps of more stand one below the other


def _choices(name: str, labels: Iterable[str]) -> str:
    return "".join(
        f'<label><input type="radio" name="{name}" value="{i}"{" checked" if i == 0 else ""}>'
        f" {html(text)}</label>"
        for i, text in enumerate(labels)
    )


def _options(labels: Iterable[str]) -> str:
    return "".join(f'<option value="{i}">{html(text)}</option>' for i, text in enumerate(labels))


def _title(ident: str, text: str = "") -> str:
    """Return the line above a figure: its number, and what it shows as a sentence."""
    return f'<p class="finding">Figure #. <strong id="{ident}">{html(text)}</strong></p>'


def curve(results: pd.DataFrame) -> str:
    """Return one curve over the ratio, of the setting and language that the reader chooses."""
    names = [menu_name(measure) for measure in viewed(results)]
    return f"""<section class="card" aria-labelledby="the-curve"><div class="switch"><h2 id="the-curve">The curve</h2>
<label>Show <select id="view">{_options(names)}</select></label>
<label>of <span class="sr">the language</span> <select id="scope"></select></label>
<label><input type="checkbox" id="shape"> fitted shape</label></div>
{_title("curve-finding")}
<figure><svg id="curve" role="group" aria-labelledby="curve-title"></svg>
<output id="readout" aria-live="off"></output>
<figcaption><strong id="curve-title"></strong> <span id="key"></span></figcaption></figure>
<noscript><p>The figures are drawn by a script; without one, see curve.png beside this file and the tables below.</p>
</noscript></section>"""


def tradeoff(results: pd.DataFrame, tables: Mapping[Measure, Table]) -> str:
    """Return the monolingual quality against what the ratio buys, with a table of prices for each
    gain.
    """
    if not tables:
        return ""
    names = [measure.title for measure in tables]
    measures = measures_of(results)
    parts = []
    for measure, prices in tables.items():
        title = f"<h3>{html(prices.name)}</h3>"
        parts.append(f'<div data-against="{measure.key}">{title}{table(prices)}</div>')
    shown = "\n".join(parts)
    return f"""<section class="card" aria-labelledby="the-front"><h2 id="the-front">What it costs, what it buys</h2>
<fieldset class="switch"><legend>{html(measures.mono.title)} against</legend>{_choices("against", names)}</fieldset>
{_title("front-finding")}
<figure><svg id="front" role="group" aria-labelledby="front-title"></svg>
<output id="front-readout" aria-live="off"></output>
<figcaption><strong id="front-title"></strong> <span id="front-key"></span></figcaption></figure>
{shown}
<p class="note">{html(prices_note(measures))}</p></section>"""


def multiples(results: pd.DataFrame, finding: str) -> str:
    """Return a small curve for each language, all on one scale, under a sentence of the report."""
    if len(languages(results)) < 2:
        return ""
    return f"""<section class="card" aria-labelledby="each"><h2 id="each">Each language</h2>
{_title("each-finding", finding)}
<div id="each-all" class="multiples" role="group" aria-labelledby="each"></div>
<output id="each-readout" aria-live="off"></output>
<p class="note">Change of {html(measures_of(results).mono.name)} to r = 0 over the share r, with its 90 % interval; all on one scale. Dashed: minus
the margin. <span id="each-key"></span></p></section>"""


def maps(results: pd.DataFrame, finding: str) -> str:
    """Return the map of language pairs at a ratio, under a sentence of the report, and beside it
    the one of languages and ratios.
    """
    parts, title = [], measures_of(results).title
    if (results["setting"] == "cross-lingual").any():
        note = f'<p class="note">{html(many.NOTE)}</p>' if many.is_many(results) else ""
        parts.append(
            f"""<section class="card" aria-labelledby="pairs"><h2 id="pairs">Language pairs</h2>
{_title("pairs-finding", finding)}
<p>{html(title)} of questions in one language (rows) against passages in another (columns); on the diagonal, framed, both in the
same language.</p><div class="switch"><label>r <select id="ratio"></select></label>
{_choices("heat", [title, "change to r = 0"])}</div>
<div class="scroll"><table id="heat" role="grid" aria-labelledby="pairs"></table></div>
<output id="heat-readout" aria-live="off"></output>{note}</section>"""
        )
    shown = [measure.title for measure in shown_in(results, bias_of(measures_of(results)))]
    if len(shown) > 1 and languages(results):
        parts.append(
            f"""<section class="card" aria-labelledby="bias"><h2 id="bias">Language bias</h2>
{_title("bias-finding")}
<p>Questions in one language (rows) at each share r (columns). In the pool of all languages: how much of the top 10 is in the
question's own language, and how far apart its right passages rank. Less is less bias.</p>
<div class="switch"><label>Show <select id="bias-view">{_options(shown)}</select></label>
{_choices("bias-value", ["value", "change to r = 0"])}</div>
<div class="scroll"><table id="bias-map" role="grid" aria-labelledby="bias"></table></div>
<output id="bias-readout" aria-live="off"></output></section>"""
        )
    wide = " wide" if len(languages(results)) > SIDE_BY_SIDE else ""
    return f'<div class="maps{wide}">{"".join(parts)}</div>' if parts else ""
