"""README and docs/: links lead somewhere, images are described, generated pages are up to date, and
the README is short and shows numbers of today's tables.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s]+)\)")
# An image inside a link: its own address was read already, the link's follows.
AROUND = re.compile(r"!\[[^\[\]]*\]\([^()\s]+\)\]\((?P<target>[^()\s]+)\)")


def script(name: str) -> ModuleType:
    """Return a script of docs/make as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "make" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by its name
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def pages() -> list[Path]:
    """Return all Markdown files that git tracks or would track."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = [ROOT / name for name in names.splitlines()]
    return sorted(path for path in found if path.is_file())


def prose(path: Path) -> str:
    """Return a page without its code, in which brackets are no links."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    text = re.sub(
        r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    made: set[str] = set()
    for heading in re.findall(r"^#+ +(.*)$", text, flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = 0
        while (numbered := f"{slug}-{count}" if count else slug) in made:
            count += 1
        made.add(numbered)
    return made


def targets(path: Path) -> Iterator[str]:
    """Give the addresses of a page's links and images."""
    text = prose(path)
    for match in [*LINK.finditer(text), *AROUND.finditer(text)]:
        yield match["target"]


def broken(path: Path) -> list[str]:
    """Return what is wrong with the relative links of a page."""
    lines = []
    for target in targets(path):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists():
            lines.append(f"{path.relative_to(ROOT)}: {target} is not there")
        elif not there.is_relative_to(ROOT):
            lines.append(f"{path.relative_to(ROOT)}: {target} leads out of the repository")
        elif anchor and there.suffix == ".md" and anchor not in anchors(there):
            lines.append(f"{path.relative_to(ROOT)}: {target}: no such heading")
    return lines


def test_relative_links_and_anchors_lead_somewhere() -> None:
    assert len(pages()) > 20
    assert [line for path in pages() for line in broken(path)] == []


def test_every_page_of_the_documentation_is_in_its_list() -> None:
    listed = {target.partition("#")[0] for target in targets(ROOT / "docs" / "README.md")}
    there = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert there - listed == set()


def written() -> list[Path]:
    """Return the pages that are written by hand, not by a report."""
    return [path for path in pages() if path.name not in ("report.md", "comparison.md")]


@pytest.mark.parametrize("path", written(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_text_of_an_image_says_what_it_shows(path: Path) -> None:
    """More words than a name: of a figure what is drawn and where it goes."""
    for match in LINK.finditer(prose(path)):
        if not match["image"]:
            continue
        words = match["text"].split()
        least = 2 if "shields.io" in match["target"] else 12
        assert len(words) >= least, match[0]


def test_the_readme_is_short_and_begins_with_what_matters() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) < 900
    order = ["# Hybrid Sweep", "docs/finding.png", "**Status.**", "make install", "make reproduce"]
    order += ["## Findings", "## Cite", "## Licence"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    figures = [
        match
        for match in LINK.finditer(text)
        if match["image"] and "shields.io" not in match["target"]
    ]
    assert len(figures) == 1


def test_the_badges_say_what_the_package_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    badges = " ".join(unquote(target) for target in targets(ROOT / "README.md"))
    assert f"python-{project['requires-python'].replace('>=', '≥ ')}-" in badges
    assert f"licence-{project['license'].replace('-', '--')}-" in badges
    assert f"version = {{{project['version']}}}" in text
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {project['version']}" in cited


def test_the_panel_shows_the_numbers_of_the_published_table() -> None:
    finding = script("finding")
    shown = finding.shown()
    with Image.open(finding.PANEL) as image:
        assert json.loads(image.info["Description"]) == shown
    rows = shown["monolingual"]
    holds = [ratio for ratio, _, low, _ in rows if low > -finding.MARGIN]
    # what the title says
    assert holds == [0.0, 0.05, 0.1, 0.25]


def test_the_page_of_settings_is_that_of_the_comments() -> None:
    """Red: python docs/make/configuration.py"""
    made = script("configuration")
    page = made.PAGE.read_text(encoding="utf-8")
    assert page == made.page()


def test_every_setting_has_a_line_with_a_meaning() -> None:
    made = script("configuration")
    lines = [line for line in made.page().splitlines() if line.startswith("| `")]
    keys = {line.split("`")[1] for line in lines}
    wanted = {"batch.cross_lingual_ratio", "model.layers", "trainer.lr", "eval.measures"}
    wanted |= {"sweep.margin", "data.languages", "logger.mode", "keep.model", "paths.cache"}
    assert wanted <= keys
    groups = ("batch", "data", "model", "trainer", "eval", "logger")
    empty = [
        line
        for line in lines
        if line.rstrip().endswith("| |") or line.rstrip().endswith("|  |")
        if line.split("`")[1].split(".")[0] in groups
    ]
    assert empty == []
