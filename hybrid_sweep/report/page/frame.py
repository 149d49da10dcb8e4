"""What stands around the figures of the page: contents, downloads, how to cite it, and the titles
of its figures, which are sentences of the report.
"""

import re

from hybrid_sweep.report.headline import Headline
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.measures import Measure
from hybrid_sweep.report.sections import Content
from hybrid_sweep.utils.escaping import html

# Files that lie beside report.html. A published folder has the main figures as PNG alone.
DOWNLOADS = {
    "results.csv": "every mean, change, interval and verdict",
    "derived.csv": "shape, trade-off, languages",
    "measures.csv": "other measures and scales",
    "table.tex": "the table for a paper",
    "curve.png": "the figure; also curve.pdf and curve.svg where all figures were written",
    "report.md": "this report as text",
}
AVERAGES = {
    "merged.csv": "averages of weights against the trained ratios",
    "merged.png": "their figure",
}
TITLE = "Hybrid Sweep: what the cross-lingual share of hybrid batches does to monolingual retrieval"


def slug(title: str) -> str:
    """Return the anchor of a section."""
    return "s-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def contents(cards: list[str]) -> str:
    """Return links to the sections of the page, by their ids and headings."""
    links = []
    for card in cards:
        for anchor, title in re.findall(r'<h2 id="([a-z0-9-]+)">([^<]+)</h2>', card):
            links.append(f'<a href="#{anchor}">{title}</a>')
    return f'<nav aria-label="Contents">{" ".join(links)}</nav>'


def downloads(has_averages: bool) -> str:
    """Return links to the files beside the page; those of averaged weights where it has them."""
    files = DOWNLOADS | AVERAGES if has_averages else DOWNLOADS
    items = [
        f'<li><a href="{name}" download>{name}</a>: {text}</li>' for name, text in files.items()
    ]
    return f"<ul>{''.join(items)}</ul>"


def citation(sweep: Sweep) -> str:
    """Return how to cite the program and this sweep, as BibTeX."""
    name = re.sub(r"[{}\\%#$&~^_]", " ", sweep.name)
    lines = [
        "@software{hybrid_sweep,",
        f"  title  = {{{TITLE}}},",
        "  author = {{The Hybrid Sweep developers}},",
        f"  note   = {{Sweep {name}, fingerprint {sweep.fingerprint}}}",
        "}",
    ]
    return f'<pre class="cite">{html(chr(10).join(lines))}</pre>'


def numbered(page: str) -> str:
    """Return a page with its figures numbered from the top."""
    parts = page.split("Figure #")
    shown = [parts[0]]
    for number, part in enumerate(parts[1:], 1):
        shown.append(f"Figure {number}{part}")
    return "".join(shown)


def finding(content: Content, *starts: str) -> str:
    """Return the first sentence of the report that begins with one of some words, without marks;
    "" where it has none.
    """
    for sentence in content.findings:
        plain = sentence.replace("**", "")
        if plain.startswith(starts):
            return re.split(r"(?<=[^\d\s]{2})[.:] ", plain, maxsplit=1)[0].rstrip(".:")
    return ""


def of_price(content: Content, measure: Measure) -> str:
    """Return what a gain costs, at the highest ratio of which the report says it."""
    for sentence in reversed(content.findings):
        plain = sentence.replace("**", "")
        if plain.startswith(("At r = ", "No price at r = ")) and measure.name in plain:
            return plain.rstrip(".")
    return ""


def of_curve(content: Content, told: Headline, measure: Measure) -> str:
    """Return what the curve of a measure says, mean of languages; "" where the report says nothing
    of it.
    """
    if measure == content.sweep.measures.mono:
        return told.happens[0].rstrip(".")
    return finding(content, f"{measure.title} ", f"The {measure.name} ")
