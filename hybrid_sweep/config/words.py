"""The words of a command before Hydra composes them: which of them are overrides, what they set,
and how a value is written so that it comes back as it was.
"""

import dataclasses
import difflib
import functools
import re
import shlex
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hybrid_sweep.config.schema import SCHEMAS, Config, DataConfig

OTHER_KEYS = ("hydra", "experiment", "run")
SIGNS = "'\"[](){}\\$"  # of a value that has a form of Hydra's own


def key_of(word: str) -> str:
    """Return the key that a word sets, without the signs before it."""
    return word.strip().lstrip("+~").partition("=")[0].strip()


def is_place(word: str) -> bool:
    """Return whether a word names a file or a folder rather than a key with its value."""
    return "=" not in word or Path(word).expanduser().exists()


def is_override(word: str) -> bool:
    """Return whether a word sets a key: neither an existing file or folder does, nor a name with an
    equals sign that begins like no key.
    """
    if is_place(word):
        return False
    top = re.split(r"[.@/]", key_of(word))[0]
    tops = [*OTHER_KEYS, *(item.name for item in dataclasses.fields(Config))]
    return top in tops or bool(difflib.get_close_matches(top, tops, n=1, cutoff=0.7))


def without(words: Sequence[str], *dropped: str) -> list[str]:
    """Return the words that set none of some keys; one that ends in a dot stands for all below it,
    one that ends in * for all that begin so.
    """
    kept = []
    for word in words:
        key = key_of(word)
        below = tuple(name.rstrip("*") for name in dropped if name.endswith((".", "*")))
        if key not in dropped and not key.startswith(below):
            kept.append(word)
    return kept


def keys(words: Sequence[str]) -> dict[str, Any]:
    """Return what each key is set to by words, the last one counts; a group by its own name.

    Groups that stand elsewhere (+data@eval.also.NAME=...) and what cannot be parsed are left out.
    """
    values = {}
    for word in words:
        override = _parsed(word)
        if override is not None and override.package is None and not override.is_delete():
            values[str(override.key_or_group)] = override.value()
    return values


def as_typed(words: Sequence[str]) -> list[str]:
    """Return the words with quotes around values of text that Hydra would take for a number or a
    truth value, or cannot read: a name 2024_01_15 or 1e3, a path ~/x or a=b stay what was typed.
    """
    return [_as_typed(word) for word in words]


def _as_typed(word: str) -> str:
    override = _parsed(word)
    name, equals, raw = word.partition("=")
    if override is None:
        key = key_of(word)
    else:
        key = str(override.key_or_group)
    if not equals or not _is_text(key) or set(SIGNS) & set(raw):
        return word
    if override is None:  # ~/x, a=b
        if "," in raw:
            return word
        return f'{name}="{raw}"'
    if override.is_sweep_override() and not override.is_choice_sweep():
        return word
    parts = [_quoted_if_other(part.strip()) for part in raw.split(",")]
    if parts != raw.split(","):
        return f"{name}={','.join(parts)}"
    return word


def _quoted_if_other(text: str) -> str:
    """Return a value, in quotes where it would not be read as text, but for null."""
    override = _parsed(f"key={text}")
    if override is None or override.is_sweep_override():
        return text
    if isinstance(override.value(), bool | int | float):
        return f"'{text}'"
    return text


def assignment(key: str, value: str) -> str:
    """Return KEY=VALUE, as it can be pasted into a shell, and is read as this value."""
    from hydra.core.override_parser.types import Quote, QuotedString

    word = f"{key}={value}"
    override = _parsed(word)
    if override is None or override.is_sweep_override() or override.value() != value:
        word = f"{key}={QuotedString(value, Quote.double).with_quotes()}"
    return shlex.quote(word)


def of_data(data: DataConfig) -> list[str]:
    """Return the words that choose a collection, as they can be pasted into a shell; those of its
    hard negatives, and of its share of the steps, are left out.
    """
    plain = type(data)()
    words = [f"data={data.name}"]
    for item in dataclasses.fields(data):
        value = getattr(data, item.name)
        is_aside = item.name in ("name", "share") or item.name.startswith("negatives")
        if is_aside or value == getattr(plain, item.name):
            continue
        key = f"data.{item.name}"
        if isinstance(value, list):
            words.append(shlex.quote(f"{key}=[{','.join(map(str, value))}]"))
        else:
            words.append(assignment(key, value) if isinstance(value, str) else f"{key}={value}")
    return words


def _parsed(word: str) -> Any:
    """Return Hydra's reading of a word; None where it has none."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None


def is_list(key: str) -> bool:
    """Return whether a key takes a list, by the schema."""
    return _in_the_schema(key) in _fields()["list"]


def _is_text(key: str) -> bool:
    return _in_the_schema(key) in _fields()["text"]


def _in_the_schema(key: str) -> str:
    """Return the key of the schema that is meant; further collections have those of data."""
    group, _, last = key.rpartition(".")
    if group.startswith(("more.", "eval.also.")):
        return f"data.{last}"
    return key


@functools.cache
def _fields() -> dict[str, set[str]]:
    """Return the keys of all texts and of all lists of the schema."""
    hints = dict(_walked(Config, ""))
    for group, schemas in SCHEMAS.items():
        for schema in schemas.values():
            hints |= dict(_walked(schema, f"{group}."))
    texts = {key for key, hint in hints.items() if _is_of_texts(hint)}
    return {"text": texts, "list": {key for key, hint in hints.items() if _holds_many(hint)}}


def _is_of_texts(hint: Any) -> bool:
    return hint is str or set(typing.get_args(hint)) == {str, type(None)}


def _holds_many(hint: Any) -> bool:
    return typing.get_origin(hint) is list


def _walked(kind: type, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the key and the type of each field of a dataclass, and of those inside it."""
    hints = typing.get_type_hints(kind)
    for item in dataclasses.fields(kind):
        hint = hints[item.name]
        if dataclasses.is_dataclass(hint):
            yield from _walked(typing.cast(type, hint), f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", hint
