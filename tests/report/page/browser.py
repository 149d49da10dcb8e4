"""Pages in headless Chromium: what they show, after whatever a reader would do, and what they write
to the console.
"""

import html as markup
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
# Where everything must be tested, a missing browser is a failure, not a reason to skip.
needs_browser = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="needs chromium on PATH"
)
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
]
OPTIONS += [
    "--disable-background-networking",
    "--enable-logging=stderr",
    "--virtual-time-budget=3000",
]
DARK = "--blink-settings=preferredColorScheme=0"

# What a reader does, in words that the tests' scripts use.
HANDS = """
const $ = selector => document.querySelector(selector), all = selector => [...document.querySelectorAll(selector)];
const texts = selector => all(selector).map(found => found.textContent);
const choose = (selector, value) => { $(selector).value = value; $(selector).dispatchEvent(new Event("change")); };
const point = mark => mark.dispatchEvent(new Event("mouseenter"));
const press = key => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const cells = table => [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent));
const named = name => $(`[role=region][aria-label="${name}"] table`);
"""


def browse(path: Path, *more: str, width: int = 1000, height: int = 900) -> tuple[str, str]:
    """The page after its scripts, as headless Chromium sees it, and what it wrote to its
    console.
    """
    assert CHROMIUM, "chromium is not on PATH: apt-get install chromium"
    command = [CHROMIUM, *OPTIONS, *more, f"--window-size={width},{height}"]
    command += [f"--user-data-dir={path.parent / 'profile'}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    assert "</html>" in done.stdout, done.stderr
    return done.stdout, console


def use(
    path: Path, script: str, *more: str, width: int = 1000, height: int = 900
) -> dict[str, Any]:
    """What a script that acts for a reader notes in `seen`; fails if anything is written to the
    console.
    """
    text = path.read_text(encoding="utf-8")
    used = path.with_name("used.html")
    tail = (
        f"<script>{{{HANDS}\nconst seen = {{}};\n{script}\ndocument.title ="
        " JSON.stringify(seen);}</script></body>"
    )
    used.write_text(text.replace("</body>", tail), encoding="utf-8")
    dom, console = browse(used, *more, width=width, height=height)
    assert console == "", console
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title
    seen: dict[str, Any] = json.loads(markup.unescape(title[1]))
    return seen


# Measures a page in a frame: what is wider than it, labels that cover each other or leave their card, and tables.
LAYOUT = """
const rect = one => one.getBoundingClientRect();
const covers = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
const inside = [...page.querySelectorAll("svg")].map(svg => [...svg.querySelectorAll("text")]);
const seen = {wide: page.documentElement.scrollWidth, labels: inside.flat().length, covered: [], cut: [], tables: []};
for (const labels of inside)
  labels.forEach((one, i) => labels.slice(i + 1).forEach(other => {
    if (covers(rect(one), rect(other))) seen.covered.push([one.textContent, other.textContent]);
  }));
for (const label of inside.flat()) {
  const card = rect(label.closest(".card")), own = rect(label);
  if (own.left < card.left || own.right > card.right || own.bottom > card.bottom) seen.cut.push(label.textContent);
}
for (const one of page.querySelectorAll("button, label, select, h2, .short, dd, nav a"))
  if (!one.closest(".scroll") && rect(one).right > page.documentElement.clientWidth) seen.cut.push(one.textContent);
for (const part of page.querySelectorAll(".scroll")) {
  const name = part.getAttribute("aria-label") ?? part.firstChild.id, hidden = part.scrollWidth - part.clientWidth;
  if (!part.clientWidth) continue;
  part.scrollLeft = hidden;
  const stay = [...part.querySelectorAll("tr > :first-child")].every(cell => Math.abs(rect(cell).left - rect(part).left) < 1);
  const last = [...part.querySelectorAll("tr > :last-child")].every(cell => rect(cell).right < rect(part).right + 1);
  seen.tables.push({name, hidden, stay, last});
}
"""


def measured(path: Path, width: int, *more: str) -> dict[str, Any]:
    """What LAYOUT sees of a page that is so many pixels wide: a frame may be narrower than the
    narrowest window.
    """
    text = path.read_text(encoding="utf-8")
    script = (
        "onload = () => { const frame = document.querySelector('iframe');"
        f" const page = frame.contentDocument; {LAYOUT} document.title = JSON.stringify(seen); }};"
    )
    used = path.with_name("framed.html")
    used.write_text(
        f'<!doctype html><meta charset="utf-8"><iframe style="border: 0; width: {width}px;'
        f' height: 900px" srcdoc="{markup.escape(text)}"></iframe><script>{script}</script>',
        encoding="utf-8",
    )
    dom, console = browse(used, *more, width=max(width, 500) + 40)
    assert console == "", console
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title
    seen: dict[str, Any] = json.loads(markup.unescape(title[1]))
    return seen
