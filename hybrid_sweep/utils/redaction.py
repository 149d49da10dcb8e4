"""Secrets stay where the user put them: none may come into a config, a command, a log or a record
of a run.

Secrets are the values of secret-named variables of the environment, credentials in addresses,
values of secret-named keys (in query strings, fragments, KEY=VALUE words and dicts), and what
follows Authorization and Bearer.
"""

import dataclasses
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hybrid_sweep.utils.errors import UserError

NAME = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
SHORTEST = 8  # characters: a shorter value can be any word, and is no secret that protects anything
GONE = "***"

# What the last word of a key says of its value; "AccessKeyId" and "token2" count as AccessKey and
# token. A word that is a key alone says nothing outside of an address: key=lambda, KEY=VALUE.
SECRET_WORDS = frozenset(
    "apikey auth authorization bearer credential credentials jwt key pass passphrase passwd"
    " password pw pwd sas secret sig signature token".split()
)
# cls_token: [CLS] is no secret
OF_TOKENIZER = frozenset({"bos", "cls", "eos", "mask", "pad", "sep", "unk"})
# Signs of an address that may be percent-encoded, once or several times.
COLON, AT = (rf"(?:{sign}|%(?:25)*{code})" for sign, code in ((":", "3A"), ("@", "40")))
SLASH = r"(?:/|%(?:25)*2F)"
PLAIN = r"""(?:[^\s"'<>]|'(?=\w))"""

# //user:password@host, //token@host; the user's part ends at the last "@" before the path.
USER = re.compile(rf"({SLASH}{SLASH})(?:(?!{SLASH}|[?#]){PLAIN})*{AT}(?={PLAIN})", re.IGNORECASE)
# //user:pass/word@host: not a port, so a password with a slash in it.
SLASHED = re.compile(rf"(//)[^/\s:@\"'<>]*:(?!\d+(?:/|$)){PLAIN}{{0,200}}@", re.IGNORECASE)
# user:password@host without a scheme; a password with a slash needs the port after it to be told
# from a path.
BEFORE = r"(?<![\w.~%+/@:!$*-])(?:[\w.~+!$*-]|%(?:25)*(?!25|2F|3A|40)[0-9A-F]{2})+" + COLON
BARE = re.compile(rf"{BEFORE}(?:(?!{SLASH}){PLAIN}){{1,2000}}{AT}(?=\[?\w)", re.IGNORECASE)
PORT = re.compile(
    rf"{BEFORE}(?!{SLASH}{SLASH}){PLAIN}{{1,2000}}{AT}(?=[\w.\[\]-]+{COLON}\d)", re.IGNORECASE
)
VALUE = r"""(?:[^&#\s"<>']|'(?=[^\s,'}\]]))*"""
QUERY = re.compile(rf"([?&#;])([\w.%\[\]-]{{1,64}}?)(=)({VALUE})")
# The same, percent-encoded: a value ends at a separator that was encoded as often as the one before
# its key.
LEVEL = "(?P<level>(?:25)*)"
ENCODED_VALUE = r"(?:(?!%(?P=level)(?:26|23))[^&#\s\"<>'])*"
ENCODED = re.compile(
    rf"(%{LEVEL}(?:3F|26|23|3B))([\w.%-]{{1,64}}?)(%(?P=level)3D)({ENCODED_VALUE})",
    re.IGNORECASE,
)
QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
WORD = re.compile(
    rf"""(?<![\w?&#;%./@-])((?:--?|\+\+?|~)?[A-Za-z_][\w./@-]*)(=)({QUOTED}|(?:[^\s"'<>]|["'](?=\w))*)"""
)
OPTION = re.compile(rf"(?<!\S)(--?[A-Za-z][\w-]*)(\s+)({QUOTED}|[^\s-]\S*)")
BRACES = re.compile(r"\{[^{}]*\}")
ENTRY = re.compile(rf"""(["']?)([\w.-]+)\1(\s*:\s*)({QUOTED}|[^,{{}}\n]*)""")
HEADER = re.compile(
    r"""\b((?:proxy-)?authorization["']?\s*[:=]\s*["']?(?:(?:basic|bearer|digest|token)\s+)?+)(?!\*\*\*)[^\s"',}&]+""",
    re.IGNORECASE,
)
BEARER = re.compile(r"""\b(bearer(?:\s|%20|\+)+)[^\s"',}&]{6,}""", re.IGNORECASE)
KEY_HEADER = re.compile(
    r"""\b((?:x-)?(?:api|auth|access|private)-(?:key|token)["']?\s*:\s*["']?)[^\s"',}]+""",
    re.IGNORECASE,
)
# A word that stands alone may hold these within a password; in a longer text they end it.
MARKS = {ord(mark): 0xE000 + place for place, mark in enumerate("\"'<>")}
UNMARKED = {new: old for old, new in MARKS.items()}
# names a secret without holding it
REFERENCE = re.compile(r"\$\{[\w.:,/ -]*\}|\$[A-Z_][A-Z0-9_]*|\*\*\*|null|None|")


def secrets() -> dict[str, str]:
    """Return the variables of the environment that hold secrets, by their names: *_KEY, *_TOKEN,
    *_SECRET, *PASSWORD and the like.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if NAME.search(name) and len(value) >= SHORTEST
    }


def is_secret_key(key: str, *, in_address: bool = False) -> bool:
    """Return whether the name of a key, a parameter or a variable says that its value is a
    secret.
    """
    last = re.split(r"[./@\[]", key.rstrip("]"))[-1]
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", last)
    words = [word.lower().rstrip("0123456789") for word in re.split(r"[^A-Za-z0-9]+", apart)]
    words = [word for word in words if word]
    if words[-2:] == ["key", "id"]:
        words.pop()
    if words == ["key"] and not in_address:
        return "env_set" in key
    return bool(words) and words[-1] in SECRET_WORDS and not OF_TOKENIZER & set(words[-2:-1])


@functools.lru_cache(maxsize=256)
def _written(value: str) -> re.Pattern[str]:
    """Return what matches a value as it stands, percent-encoded, escaped as in JSON, or quoted for
    a shell.
    """
    return re.compile("".join(_sign(sign) for sign in value))


def _sign(sign: str) -> str:
    """Return what matches one character in any of the forms of `_written`."""
    if sign.isascii() and (sign.isalnum() or sign in "_.-~"):
        return re.escape(sign)
    code = "".join(f"%{byte:02X}" for byte in sign.encode("utf-8", "surrogatepass"))
    forms = [json.dumps(sign)[1:-1], sign]
    if sign == "'":
        forms += ["'\"'\"'"]
    if sign == " ":
        forms += ["+"]
    encoded = code.replace("%", "%(?:25)*")
    return "(?:" + "|".join([*map(re.escape, forms), f"(?i:{encoded})"]) + ")"


def redacted(text: str) -> str:
    """Return the text with the name of the variable in the place of every secret of the
    environment, and *** for all others.
    """
    for name, value in sorted(secrets().items(), key=lambda item: -len(item[1])):
        text = _written(value).sub(f"${name}".replace("\\", r"\\"), text)
    text = _without_credentials(text)
    text = BRACES.sub(lambda match: ENTRY.sub(_hide_entry, match[0]), text)
    text = WORD.sub(_hide_word, text)
    return OPTION.sub(_hide_word, text)


def _without_credentials(text: str) -> str:
    """Return a text without credentials in addresses, query strings and headers."""
    text = HEADER.sub(rf"\1{GONE}", text)
    text = BEARER.sub(rf"\1{GONE}", text)
    text = KEY_HEADER.sub(rf"\1{GONE}", text)
    text = SLASHED.sub(rf"\1{GONE}@", text)
    text = USER.sub(rf"\1{GONE}@", text)
    text = PORT.sub(f"{GONE}@", text)
    text = BARE.sub(f"{GONE}@", text)
    text = ENCODED.sub(_hide_parameter, text)
    return QUERY.sub(_hide_parameter, text)


def _hide_parameter(match: re.Match[str]) -> str:
    """Return a parameter of an address, plain or encoded, without the value of a secret key."""
    key, _, value = match.groups()[-3:]
    if not is_secret_key(key, in_address=True) or REFERENCE.fullmatch(value):
        return match[0]
    return match[0].removesuffix(value) + GONE


def _hide_word(match: re.Match[str]) -> str:
    """Return KEY=VALUE, or an option and its value, without the value of a secret key."""
    key, between, value = match.groups()
    if not is_secret_key(key) or REFERENCE.fullmatch(value.strip("'\"")):
        return match[0]
    return f"{key}{between}{GONE}"


def _hide_entry(match: re.Match[str]) -> str:
    mark, key, colon, value = match.groups()
    if not is_secret_key(key) or REFERENCE.fullmatch(value.strip().strip("'\"")):
        return match[0]
    end = ""
    if value[:1] in ("'", '"'):
        end = value[0]
    return f"{mark}{key}{mark}{colon}{end}{GONE}{end}"


def word(text: str) -> str:
    """Return one word of a command line without secrets: the whole value of a secret-named key,
    blanks and all.
    """
    key, equals, value = text.partition("=")
    is_key = bool(equals and re.fullmatch(r"[\w.+~/@-]+", key))
    if is_key and is_secret_key(key) and not REFERENCE.fullmatch(value):
        return f"{key}={GONE}"
    head, brace, entries = text.partition("{")
    return _whole(redacted(head + brace + ENTRY.sub(_hide_entry, entries)))


def _whole(text: str) -> str:
    """Return one value without credentials, in which quotes and angle brackets end nothing."""
    return _without_credentials(text.translate(MARKS)).translate(UNMARKED)


def words(texts: Sequence[str]) -> list[str]:
    """Return the words of a command line without secrets; call it before the words are quoted and
    joined.
    """
    shown, before = [], ""
    for text in texts:
        is_option = before.startswith("-") and "=" not in before and is_secret_key(before)
        if is_option and not text.startswith("-") and not REFERENCE.fullmatch(text):
            shown.append(GONE)
        else:
            shown.append(word(text))
        before = text
    return shown


def clean(node: Any, shown: Callable[[str], str] = redacted) -> Any:
    """Return the same nested value without any secret in its texts; shown: what a text becomes."""
    if isinstance(node, Mapping):
        return {name: clean(value, shown) for name, value in node.items()}
    if isinstance(node, list | tuple):
        return [clean(value, shown) for value in node]
    if isinstance(node, str):
        return shown(node)
    return node


def line_of(error: Exception) -> str:
    """Return one line on an exception, without secrets."""
    return redacted(f"{type(error).__name__}: {error}".splitlines()[0])


def check(config: Any) -> None:
    """Raise UserError where a config, a dataclass, holds a secret: it would be written into the
    files of every run.
    """
    by_name = secrets()
    for key, text in _texts(dataclasses.asdict(config), ""):
        for name, value in by_name.items():
            if _written(value).search(text):
                raise UserError(
                    f"{key}: holds the value of ${name}, and would write that secret into every"
                    " run's files",
                    key="config.secret",
                )
        if _whole(text) != text:
            raise UserError(
                f"{key}: an address with a password, a token or a key in it would write that into"
                " every run's files; leave it out",
                key="config.secret_address",
            )


def _texts(node: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _texts(value, f"{key}.{name}" if key else str(name))
            yield f"{key}.{name}" if key else str(name), str(name)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _texts(value, key)
    elif isinstance(node, str):
        yield key, node


def guard() -> None:
    """Redact what this process prints and logs from now on: an error of a library can quote the key
    it was given.
    """
    for stream in (sys.stdout, sys.stderr):
        write = stream.write
        stream.write = lambda text, write=write: write(redacted(text))  # type: ignore[method-assign]
