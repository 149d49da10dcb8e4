"""Put together what the site is made of, in build/site/source: the pages of this repository in their
places, so that their links stay, with the published reports and the notebook.

    python docs/make/site.py && mkdocs build --strict

A link to a file that is no page leads to the repository's own site.
"""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "build" / "site" / "source"
FILES = "https://github.com/hybrid-sweep/hybrid-sweep/blob/main"
PAGES = (
    "*.md",
    "LICENSE",
    "docs/*.md",
    "docs/*.png",
    "docs/notebooks/*.ipynb",
    "experiments/**/*.md",
    "experiments/**/*.html",
    "experiments/**/*.png",
    "experiments/**/results.csv",
    "experiments/**/table.tex",
)
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
ITEM = re.compile(r"(?:[-*]|\d+\.) ")


def pages(root: Path) -> list[Path]:
    """Return the files of the site, relative to the repository."""
    there = {path for pattern in PAGES for path in root.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(root) for path in there)


def relinked(text: str, page: Path, staged: set[Path], root: Path) -> str:
    """Return a page in which links to files that are not on the site lead to the repository's.

    Args:
        text: of the page.
        page: its place in the repository.
        staged: the files of the site.
        root: of the repository.
    """

    def link(match: re.Match[str]) -> str:
        target = match[2]
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        place = (root / page.parent / target).resolve().relative_to(root.resolve())
        if place in staged:
            return match[0]
        return f"{match[1]}{FILES}/{place}{match[3] or ''}{match[4]}"

    return LINK.sub(link, text)


def with_lists(text: str) -> str:
    """Return a text with an empty line before each list: the repository's site takes a list without
    one, and Python-Markdown does not.
    """
    lines: list[str] = []
    is_code = False
    for line in text.split("\n"):
        if line.startswith("```"):
            is_code = not is_code
        before = lines[-1] if lines else ""
        is_first = ITEM.match(line) and before and not before.startswith((" ", "#", "|"))
        if is_first and not is_code and not ITEM.match(before):
            lines.append("")
        lines.append(line)
    return "\n".join(lines)


def stage(root: Path, target: Path) -> None:
    """Write the files of the site into a folder, which is made anew."""
    shutil.rmtree(target, ignore_errors=True)
    staged = set(pages(root))
    for page in sorted(staged):
        place = target / page
        place.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix == ".md":
            text = relinked((root / page).read_text("utf-8"), page, staged, root)
            place.write_text(with_lists(text), encoding="utf-8")
        else:
            shutil.copyfile(root / page, place)


if __name__ == "__main__":
    stage(ROOT, SOURCE)
