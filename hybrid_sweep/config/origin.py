"""Which file of an experiment set a refused value, so that its mistake is looked for there."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hybrid_sweep.config.words import key_of, keys
from hybrid_sweep.utils.errors import UserError


def with_origin(error: UserError, words: Sequence[str], search: str | None) -> UserError:
    """Return the refusal of a composed config with the file of the user's experiment before it,
    where that sets the key at fault and no word does.

    search: the user's folder of files.
    """
    key = re.match(r"[\w/.]+", str(error))
    names_file = error.key == "config.yaml"
    if search is None or names_file or key is None or key[0] in keys(words):
        return error
    for word in words:
        name = word.partition("=")[2].strip()
        if key_of(word) != "experiment" or not re.fullmatch(r"[\w/-]+", name):
            continue
        path = Path(search) / "experiment" / f"{name}.yaml"
        if path.is_file() and _sets(yaml.safe_load(path.read_text("utf-8")), key[0]):
            return UserError(f"{path}: {error}", key=error.key)
    return error


def _sets(content: Any, key: str) -> bool:
    """Return whether the content of a file sets a key, or chooses the option of a group."""
    node = content
    for name in key.split("."):
        if not isinstance(node, dict) or name not in node:
            break
        node = node[name]
    else:
        return True
    chosen = None
    if isinstance(content, dict):
        chosen = content.get("defaults")
    for entry in chosen if isinstance(chosen, list) else []:
        if isinstance(entry, dict):
            groups = [str(group).removeprefix("override ").strip("/ ") for group in entry]
            if key in groups:
                return True
    return False
