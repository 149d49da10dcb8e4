"""The site: its source has every page that its contents name, and links that lead somewhere."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_source", ROOT / "docs" / "make" / "site.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


site = script()


def nav() -> list[str]:
    """The pages that the contents of the site name."""
    text = re.sub(r"!!python\S*", "", (ROOT / "mkdocs.yml").read_text())
    named, waiting = [], [yaml.safe_load(text)["nav"]]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            named.append(node)
        else:
            waiting += node.values() if isinstance(node, dict) else node
    return named


def test_every_page_of_the_documentation_and_every_experiment_is_in_the_contents():
    named = set(nav())
    there = {str(path) for path in site.pages(ROOT)}
    assert named <= there and len(named) == len(nav())
    pages = {name for name in there if re.fullmatch(r"docs/[a-z]+\.md", name)}
    assert len(pages) > 15 and pages <= named
    # a sweep that has been published, not one that is only planned
    for folder in (ROOT / "experiments").glob("*/report.html"):
        assert f"experiments/{folder.parent.name}/README.md" in named
        assert f"experiments/{folder.parent.name}/report.html" in named


def test_links_stay_on_the_site_or_lead_to_the_repository(tmp_path):
    site.stage(ROOT, tmp_path / "source")
    count = 0
    for page in (tmp_path / "source").rglob("*.md"):
        for match in site.LINK.finditer(page.read_text("utf-8")):
            if "://" not in match[2] and not match[2].startswith("mailto:"):
                count += 1
                assert (page.parent / match[2]).exists(), (page, match[2])
    assert count > 100
    size = sum(path.stat().st_size for path in (tmp_path / "source").rglob("*") if path.is_file())
    assert size < 30e6


def test_a_link_to_a_file_that_is_no_page_leads_to_the_repository():
    staged = {Path("docs/a.md")}
    text = "[a](a.md#x) [code](../conf/b.yaml#L3) [web](https://c.d)"
    wanted = f"[a](a.md#x) [code]({site.FILES}/conf/b.yaml#L3) [web](https://c.d)"
    assert site.relinked(text, Path("docs/a.md"), staged, ROOT) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("It has:\n- one\n- two", "It has:\n\n- one\n- two"),
        ("It has:\n\n- one\n- two", "It has:\n\n- one\n- two"),
        ("- one\n  goes on\n- two", "- one\n  goes on\n- two"),
        ("text\n```\nx\n- y\n```", "text\n```\nx\n- y\n```"),
        ("1. one\n2. two", "1. one\n2. two"),
    ],
)
def test_a_list_has_an_empty_line_before_it(text, wanted):
    assert site.with_lists(text) == wanted


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    for name in ("mkdocs", "material", "mkdocs_jupyter"):
        pytest.importorskip(name, reason="the site is an extra: pip install hybrid-sweep[site]")
    site.stage(ROOT, tmp_path / "build" / "site" / "source")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for page in nav():
        place = tmp_path / "build" / "site" / "html" / page
        folder = place.parent if place.name == "README.md" else place.with_suffix("")
        assert place.is_file() or (folder / "index.html").is_file(), page
