"""Write docs/configuration.md from the comments of conf/, where the meaning of a setting stands.

    python docs/make/configuration.py

Each file of a group becomes a section: its head as text, its keys as a table of key, value and
meaning. Keys whose value and meaning are those of an earlier file of the group are not repeated.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
PAGE = ROOT / "docs" / "configuration.md"
# In the order in which a reader needs them.
GROUPS = (
    "batch",
    "data",
    "model",
    "trainer",
    "eval",
    "logger",
    "hydra/launcher",
    "hydra/sweeper",
    "experiment",
)
# Whose comments explain the same keys of the other files of the group.
FIRST = {
    "batch": "hybrid",
    "data": "files",
    "model": "pretrained",
    "trainer": "cpu",
    "eval": "default",
}
# Groups of many files with much in common: there a key is repeated only with another meaning.
BRIEF = ("data",)
# Keys of an experiment are whole; those of a launcher stand below hydra.launcher.
PREFIXES = {
    "experiment": "",
    "hydra/launcher": "hydra.launcher.",
    "hydra/sweeper": "hydra.sweeper.",
}
KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w.]+): *(?P<value>.*?)(?: +# (?P<comment>.*))?$")
MORE = re.compile(r"^ {8,}# (?P<comment>.*)$")
# Sections of config.yaml that are Hydra's own.
HYDRAS = ("defaults", "hydra")
HEAD = """\
# Configuration

Every setting, from the comments of `conf/`. This page is generated: `python docs/make/configuration.py`.

On the command line a setting is `KEY=VALUE` (`batch.size=32`), another file of a group `GROUP=FILE` (`model=tiny`), lists
are quoted (`'data.languages=[en,de]'`). `hybrid-sweep run --cfg job` prints every key, its value and where it is set. Files of
your own stand beside these with `--config-dir FOLDER`.

## Environment variables

| variable | meaning | default |
|---|---|---|
| `HYBRID_SWEEP_CACHE` | folder of collections, tokenizers and tokens, as `paths.cache`; what another user has prepared there is used even if it may only be read | `~/.cache/hybrid-sweep` |
| `HYBRID_SWEEP_SLOTS` | folder of the locks on GPUs and cores; name another one where one user holds all of them, or where `/tmp` cannot be used | `/tmp/hybrid-sweep-slots` |
| `HYBRID_SWEEP_DEBUG` | `1` shows the traceback of an error | |
"""


@dataclass
class Row:
    """One key of a file."""

    key: str
    value: str
    meaning: str

    def line(self) -> str:
        """Return the row of a Markdown table."""
        cells = [f"`{self.key}`", f"`{self.value}`" if self.value else "", self.meaning]
        escaped = [cell.replace("|", "\\|") for cell in cells]
        return "| " + " | ".join(escaped) + " |"


def rows_of(text: str) -> list[Row]:
    """Return the keys of a file of conf/ with their values and comments, nested keys with dots."""
    rows: list[Row] = []
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        if (more := MORE.match(line)) and rows:
            rows[-1].meaning += " " + more["comment"].strip()
            continue
        if line.lstrip().startswith(("#", "-")) or not (match := KEY.match(line)):
            continue
        indent = len(match["indent"])
        above = [entry for entry in above if entry[0] < indent]
        key = ".".join([name for _, name in above] + [match["key"]])
        above.append((indent, match["key"]))
        if key.split(".")[0] in HYDRAS or match["key"] in ("name", "_target_"):
            continue
        if match["value"] or match["comment"]:
            rows.append(Row(key, match["value"], (match["comment"] or "").strip()))
    return rows


def head_of(text: str) -> list[str]:
    """Return the comments at the head of a file as Markdown: sentences, and its commands as code.

    A command is a comment that is indented by two blanks.
    """
    lines: list[str] = []
    in_code = False
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment = line.removeprefix("#").removeprefix(" ")
        if comment.startswith("@package"):
            continue
        is_code = comment.startswith("  ")
        if is_code != in_code:
            lines.append("")
            in_code = is_code
        lines.append(f"    {comment.strip()}" if is_code else comment)
    return lines


def table(rows: list[Row]) -> list[str]:
    """Return rows as a Markdown table."""
    return ["| key | value | meaning |", "|---|---|---|", *[row.line() for row in rows]]


def files_of(group: str) -> list[Path]:
    """Return the files of a group, the one that explains the keys of the others first."""
    first = FIRST.get(group)
    return sorted((CONF / group).glob("*.yaml"), key=lambda path: (path.stem != first, path.stem))


def as_data(key: str) -> str:
    """Return the key of `data` that a field of a further collection (eval.also.NAME) is like."""
    return re.sub(r"^eval\.also\.\w+\.", "data.", key)


def group_section(group: str, explained: dict[str, str]) -> list[str]:
    """Return the section of a group: one part a file.

    explained: the meanings of the full keys that were explained before; those of this group are
    added.
    """
    lines = [f"## {group}", ""]
    prefix = PREFIXES.get(group, f"{group}.")
    for path in files_of(group):
        text = path.read_text(encoding="utf-8")
        rows = []
        for row in rows_of(text):
            key = prefix + row.key
            before = explained.get(key) or explained.get(as_data(key), "")
            if row.meaning != before or group not in BRIEF:
                rows.append(Row(key, row.value, row.meaning or before))
            explained.setdefault(key, row.meaning)
        lines += [f"### {group}={path.stem}", "", *head_of(text), ""]
        if rows:
            lines += [*table(rows), ""]
    return lines


def page() -> str:
    """Return the whole page."""
    text = (CONF / "config.yaml").read_text(encoding="utf-8")
    top = ["## config.yaml", "", "Settings that belong to no group.", ""]
    rows = rows_of(text)
    explained = {row.key: row.meaning for row in rows}
    lines = [HEAD, *top, *table(rows), ""]
    for group in GROUPS:
        lines += group_section(group, explained)
    joined = "\n".join(lines)
    return re.sub(r"\n{3,}", "\n\n", joined).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
