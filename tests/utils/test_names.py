"""Names from files and users: what can be a folder, a key or a code, and what is refused."""

import pytest

from hybrid_sweep.utils import names
from tests.refused import refused

HOSTILE = [
    "",
    " ",
    "..",
    ".",
    "../x",
    "/etc",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "\x1b[31m",
    "a\u202eb",
    "-rf",
    ".git",
]
OTHER_TYPES = [None, 3, 1.5, True, [], {}, ["a"]]


@pytest.mark.parametrize("value", [*HOSTILE, *OTHER_TYPES, "x" * 300, "a b", "é"])
def test_what_is_no_run_id(value: object) -> None:
    with refused("names.run_id", "points.json"):
        names.run_id(value, "points.json")


@pytest.mark.parametrize(
    "value", [*sorted({*HOSTILE} - {"a\\b"}), *OTHER_TYPES, "x" * 300, "é" * 150]
)
def test_what_is_no_folder_name(value: object) -> None:
    with refused("names.folder", "points.json"):
        names.folder_name(value, "points.json")


@pytest.mark.parametrize("value", [*HOSTILE, *OTHER_TYPES, "x" * 300, "a b"])
def test_what_is_no_name_of_a_collection(value: object) -> None:
    with refused("names.collection", "points.json"):
        names.collection(value, "points.json")


@pytest.mark.parametrize(
    "value",
    [*HOSTILE, *OTHER_TYPES, "x" * 300, "macro", "trained", "unseen", "*", "de>en", "a b", "a,b"],
)
def test_what_is_no_language(value: object) -> None:
    key = "names.language_reserved" if value in ("macro", "trained", "unseen") else "names.language"
    with refused(key, "data.languages"):
        names.language(value, "data.languages")


def test_ordinary_names_pass() -> None:
    assert names.run_id("0a1b2c3d4e5f", "x") == "0a1b2c3d4e5f"
    assert names.folder_name("shape, 5 seeds é", "x") == "shape, 5 seeds é"
    assert names.collection("xquad_r_pool_1000", "x") == "xquad_r_pool_1000"
    for code in ("en", "pt_BR", "zh-Hans", "ca@valencia", "constructor"):
        assert names.language(code, "x") == code


def test_a_shown_value_is_one_short_line_of_ascii() -> None:
    for value in (*HOSTILE, *OTHER_TYPES, "x" * 10_000, "\ud800"):
        text = names.shown(value)
        assert text.isascii() and text.isprintable() and len(text) <= 60
