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
