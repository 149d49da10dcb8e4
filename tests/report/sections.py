"""Parts of the texts of a report: what stands under a title, and what another text lacks."""

import re


def section(text: str, title: str) -> str:
    """What stands under a title of a Markdown text, up to the next one; "" where the title is not
    there.
    """
    parts = text.split(f"\n## {title}\n\n")
    return parts[1].split("\n\n## ")[0].rstrip("\n") + "\n" if len(parts) > 1 else ""


def new_lines(text: str, before: str) -> str:
    """The lines of a text that another one lacks."""
    known = set(before.splitlines())
    return "".join(f"{line}\n" for line in text.splitlines() if line not in known)


def parts_of(console: str) -> list[str]:
    """What the console says of the sweep itself, and of each further collection, its heading
    first.
    """
    return re.split(r"\n\n(?=--- )", console)
