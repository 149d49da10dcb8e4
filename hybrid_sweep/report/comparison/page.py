"""comparison.html: the comparison as one file without a reference to any other and without a
script.
"""

from base64 import b64encode
from importlib.resources import files

from hybrid_sweep.report.comparison import text as comparison_text
from hybrid_sweep.report.comparison.table import Comparison
from hybrid_sweep.report.comparison.words import caption as caption_of
from hybrid_sweep.report.measures import meaning
from hybrid_sweep.report.render.html import blocks
from hybrid_sweep.utils import escaping

CLOSED = "Columns of comparison.csv"
STYLE = (
    "figure img { width: 100%; height: auto; background: #fff; border-radius: 4px; } .scroll {"
    " max-height: none; }"
)


def html(comparison: Comparison, svg: bytes) -> str:
    """Return the text of comparison.html; svg: the figure, which stands in the page.

    All text from a run or a sweep is escaped.
    """
    style = files("hybrid_sweep.report.page").joinpath("page.css").read_text("utf-8")
    on = f" on {comparison.on}" if comparison.on else ""
    names = ", ".join(comparison.names)
    picture = f"data:image/svg+xml;base64,{b64encode(svg).decode()}"
    caption = escaping.html(caption_of(comparison))
    cards = [
        '<section class="card"><h2>In short</h2>'
        f"{''.join(map(blocks, comparison_text.head(comparison)))}</section>"
    ]
    cards.append(
        f'<section class="card"><h2>Side by side</h2><figure><img alt="{caption}" src="{picture}">'
        f"<figcaption>{caption}</figcaption></figure></section>"
    )
    for title, parts in comparison_text.sections(comparison).items():
        shown = blocks(parts)
        body = f"<h2>{escaping.html(title)}</h2>"
        if title == CLOSED:
            cards.append(f'<details class="card"><summary>{body}</summary>\n{shown}</details>')
        elif shown:
            cards.append(f'<section class="card">{body}\n{shown}</section>')
    gone = sum(len(sweep.missing) for sweep in comparison.sweeps)
    gap = f'<p class="gap">{gone} points are missing: see Missing points.</p>' if gone else ""
    content = "\n".join(cards)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>Sweeps {escaping.html(names + on)}</title>
<style>
{style}{STYLE}</style></head>
<body><main>
<header><h1>What does a higher cross-lingual share do to {comparison.leading.setting} retrieval, in one sweep and in another?</h1>
<p>Sweeps <strong>{escaping.html(names)}</strong>{escaping.html(on)}.
<em>r</em> is the share of training batches in which query and passage
are in different languages. {escaping.html(meaning(comparison.measures.name))}: higher is
better.</p>{gap}
</header>
{content}
</main></body></html>
"""
